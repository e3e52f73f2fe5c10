//! Instants as UTC microseconds: showing them and ranges of them. Reads no clock.

use chrono::{DateTime, SecondsFormat, Utc};

/// One minute, in microseconds.
pub const MINUTE_US: i64 = 60_000_000;

/// One second, in microseconds.
pub const SECOND_US: i64 = 1_000_000;

/// Seconds of an hour.
pub const HOUR_S: i64 = 3_600;

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;

/// Shows an instant as RFC 3339 in UTC, with fractions only where there are any.
pub fn format_utc(instant_us: i64) -> String {
    match DateTime::<Utc>::from_timestamp_micros(instant_us) {
        Some(instant) => instant.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{instant_us} us since 1970"),
    }
}

/// A half-open range of instants, `[start_us, end_us)`, UTC microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InstantRange {
    /// First instant inside.
    pub start_us: i64,
    /// First instant after.
    pub end_us: i64,
}

impl InstantRange {
    /// Whether `instant_us` lies inside.
    pub const fn contains(&self, instant_us: i64) -> bool {
        self.start_us <= instant_us && instant_us < self.end_us
    }

    /// Whether the range holds no instant.
    pub const fn is_empty(&self) -> bool {
        self.start_us >= self.end_us
    }

    /// The instants that lie in both ranges; empty when there are none.
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            start_us: self.start_us.max(other.start_us),
            end_us: self.end_us.min(other.end_us),
        }
    }

    /// Whether every instant of `other` lies inside.
    pub const fn covers(&self, other: &Self) -> bool {
        self.start_us <= other.start_us && other.end_us <= self.end_us
    }
}

impl std::fmt::Display for InstantRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}..{}",
            format_utc(self.start_us),
            format_utc(self.end_us)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_in_utc_without_needless_fractions() {
        assert_eq!(format_utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_utc(1_500_000), "1970-01-01T00:00:01.500Z");
    }

    #[test]
    fn ranges_are_half_open() {
        let range = InstantRange {
            start_us: 10,
            end_us: 20,
        };
        assert!(range.contains(10) && !range.contains(20));
        assert!(
            range
                .intersection(&InstantRange {
                    start_us: 20,
                    end_us: 30
                })
                .is_empty()
        );
    }
}
