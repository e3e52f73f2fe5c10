//! A line of block glyphs for a series of numbers.

const GLYPHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The values as `width` glyphs at most, each the mean of its share, a blank where nothing is known; empty without values.
pub(super) fn sparkline(values: &[Option<f64>], width: usize) -> String {
    let count = values.len();
    let width = width.min(count);
    let means: Vec<Option<f64>> = (0..width)
        .map(|cell| mean(&values[cell * count / width..(cell + 1) * count / width]))
        .collect();
    let known = || means.iter().copied().flatten();
    let low = known().fold(f64::INFINITY, f64::min);
    let high = known().fold(f64::NEG_INFINITY, f64::max);
    means
        .iter()
        .map(|mean| mean.map_or(' ', |mean| glyph((mean - low) / (high - low))))
        .collect()
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    let count = u32::try_from(known.len()).unwrap_or(u32::MAX);
    (count > 0).then(|| known.iter().sum::<f64>() / f64::from(count))
}

/// The glyph for a share of the height; a flat line is drawn in the middle.
fn glyph(share: f64) -> char {
    let steps = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875];
    if share.is_nan() {
        return GLYPHS[3];
    }
    GLYPHS[steps.iter().filter(|&&step| share >= step).count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_rises_from_the_lowest_to_the_highest_glyph() {
        let values: Vec<Option<f64>> = (0..80).map(|value| Some(f64::from(value))).collect();
        assert_eq!(sparkline(&values, 8), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[Some(5.0), Some(5.0)], 8), "▄▄");
        assert_eq!(sparkline(&[], 8), "");
    }

    #[test]
    fn what_is_not_known_is_left_blank() {
        let values = [None, Some(1.0), None, Some(2.0)];
        assert_eq!(sparkline(&values, 4), " ▁ █");
        assert_eq!(sparkline(&values, 2), "▁█");
        assert_eq!(sparkline(&[None], 8), " ");
    }
}
