//! Medians: what is usual, however wrong a few values are.

/// Makes a median of absolute deviations comparable with a standard deviation of normally distributed values.
const NORMAL: f64 = 1.4826;

/// The upper median; reorders `values`. `None` without any.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*median)
}

/// The robust unit of values without sign that vary around zero: their median, scaled. Reorders them.
pub(super) fn unit_around_zero(values: &mut [f64]) -> Option<f64> {
    median(values).map(|median| NORMAL * median)
}

/// Median and robust unit around it; leaves deviations in `values`.
pub(super) fn median_and_unit(values: &mut [f64]) -> Option<(f64, f64)> {
    let middle = median(values)?;
    for value in values.iter_mut() {
        *value = (*value - middle).abs();
    }
    Some((middle, unit_around_zero(values)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_wild_values_change_neither_median_nor_unit() {
        let mut values = vec![3.0, 1.0, 2.0, 1e9, 2.5];
        assert_eq!(median(&mut values), Some(2.5));
        let (middle, unit) = median_and_unit(&mut values).unwrap();
        assert_eq!((middle, unit), (2.5, NORMAL * 0.5));
        assert_eq!(median(&mut []), None);
        assert_eq!(median_and_unit(&mut []), None);
        assert_eq!(unit_around_zero(&mut [4.0]), Some(NORMAL * 4.0));
    }
}
