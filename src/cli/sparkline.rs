//! A line of block glyphs for a series of numbers.

const GLYPHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The values as `width` glyphs at most, each the mean of its share; empty without values.
pub(super) fn sparkline(values: &[f64], width: usize) -> String {
    let count = values.len();
    let width = width.min(count);
    if width == 0 {
        return String::new();
    }
    let means: Vec<f64> = (0..width)
        .map(|cell| {
            let share = &values[cell * count / width..(cell + 1) * count / width];
            share.iter().sum::<f64>() / f64::from(u32::try_from(share.len()).unwrap_or(u32::MAX))
        })
        .collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    means
        .iter()
        .map(|mean| glyph((mean - low) / (high - low)))
        .collect()
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
        let values: Vec<f64> = (0..80).map(f64::from).collect();
        assert_eq!(sparkline(&values, 8), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[5.0, 5.0], 8), "▄▄");
        assert_eq!(sparkline(&[], 8), "");
    }
}
