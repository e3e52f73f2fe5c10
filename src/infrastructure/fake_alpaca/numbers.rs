//! Writes numbers, instants and plain text onto a byte buffer, fast. Knows neither bars nor JSON's structure.

use chrono::DateTime;

const US_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A growing text.
#[derive(Debug, Default)]
pub(super) struct TextBuffer {
    out: Vec<u8>,
    /// The day whose date stands in `date`.
    day: Option<i64>,
    date: String,
}

impl TextBuffer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn push(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes RFC-3339 UTC; a fraction only when there is one.
    pub(super) fn instant(&mut self, ts_us: i64) {
        let (seconds, micros) = (
            ts_us.div_euclid(US_PER_SECOND),
            ts_us.rem_euclid(US_PER_SECOND),
        );
        let (day, second) = (
            seconds.div_euclid(SECONDS_PER_DAY),
            seconds.rem_euclid(SECONDS_PER_DAY),
        );
        if self.day != Some(day) {
            self.day = Some(day);
            self.date = DateTime::from_timestamp(seconds, 0)
                .map(|time| time.format("%Y-%m-%dT").to_string())
                .unwrap_or_default();
        }
        self.out.extend_from_slice(self.date.as_bytes());
        self.two_digits(second / 3_600);
        self.push(":");
        self.two_digits(second / 60 % 60);
        self.push(":");
        self.two_digits(second % 60);
        self.fraction(micros.unsigned_abs());
        self.push("Z");
    }

    /// Writes the shortest decimal that reads back as `value`.
    ///
    /// Up to six decimals below a thousand million take the short way: two decimals of at most 15 digits are never
    /// the same double, so the one found is the shortest. What is no number comes out as text that is no JSON.
    pub(super) fn number(&mut self, value: f64) {
        const SCALE: f64 = 1e6;
        let negative_zero = value == 0.0 && value.is_sign_negative();
        if value.abs() < 1e9 && !negative_zero {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "below 1e15, and the comparison proves the result"
            )]
            {
                let scaled = (value * SCALE + 0.5_f64.copysign(value)) as i64;
                if scaled as f64 / SCALE == value {
                    return self.millionths(scaled);
                }
            }
        }
        self.push(&value.to_string());
    }

    fn millionths(&mut self, scaled: i64) {
        if scaled < 0 {
            self.push("-");
        }
        let magnitude = scaled.unsigned_abs();
        self.unsigned(magnitude / 1_000_000);
        self.fraction(magnitude % 1_000_000);
    }

    /// Writes millionths after a point, without trailing zeros; nothing for zero.
    fn fraction(&mut self, mut millionths: u64) {
        if millionths == 0 {
            return;
        }
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit = digit_of(millionths);
            millionths /= 10;
        }
        let kept = digits
            .iter()
            .rposition(|digit| *digit != b'0')
            .map_or(0, |last| last + 1);
        self.push(".");
        self.out.extend_from_slice(&digits[..kept]);
    }

    pub(super) fn integer(&mut self, value: i64) {
        if value < 0 {
            self.push("-");
        }
        self.unsigned(value.unsigned_abs());
    }

    fn unsigned(&mut self, mut value: u64) {
        let mut digits = [b'0'; 20];
        let mut begin = digits.len();
        loop {
            begin -= 1;
            digits[begin] = digit_of(value);
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[begin..]);
    }

    fn two_digits(&mut self, value: i64) {
        let value = value.unsigned_abs();
        self.out
            .extend_from_slice(&[digit_of(value / 10), digit_of(value)]);
    }
}

fn digit_of(value: u64) -> u8 {
    b'0' + (value % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64) -> String {
        let mut text = TextBuffer::default();
        text.number(value);
        String::from_utf8(text.into_bytes()).unwrap()
    }

    fn instant(ts_us: i64) -> String {
        let mut text = TextBuffer::default();
        text.instant(ts_us);
        String::from_utf8(text.into_bytes()).unwrap()
    }

    #[test]
    fn numbers_are_the_shortest_decimals_that_read_back() {
        for (value, text) in [
            (326.0, "326"),
            (324.6807, "324.6807"),
            (206.90723, "206.90723"),
            (0.000_001, "0.000001"),
            (-1.5, "-1.5"),
            (0.0, "0"),
            (-0.0, "-0"),
            (2_315_350.0, "2315350"),
            (5e9, "5000000000"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-9, "0.000000001"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_short_way_agrees_with_the_standard_library() {
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let digits = u32::try_from(seed >> 40).unwrap();
            let value = f64::from(digits) / 10_f64.powi(i32::try_from(seed % 9).unwrap());
            assert_eq!(number(value), value.to_string());
        }
    }

    #[test]
    fn instants_carry_a_fraction_only_when_there_is_one() {
        assert_eq!(instant(1_788_448_800_000_000), "2026-09-03T15:20:00Z");
        assert_eq!(instant(1_788_448_830_500_000), "2026-09-03T15:20:30.5Z");
        assert_eq!(instant(-1), "1969-12-31T23:59:59.999999Z");
    }
}
