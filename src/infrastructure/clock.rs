//! The system's clock: the only place that reads the time of day. Knows no calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::ports::Clock;

/// Tells the time of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the time is read"
    )]
    fn now_us(&self) -> i64 {
        // A clock may be set to any year, also one before 1970.
        let us = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => us(since),
            Err(before) => -us(before.duration()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_lies_within_this_century_in_microseconds() {
        let year_2020 = 1_577_836_800_000_000;
        let year_2100 = 4_102_444_800_000_000;
        assert!((year_2020..year_2100).contains(&SystemClock.now_us()));
    }
}
