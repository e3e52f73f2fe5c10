//! Times in files: numbers since 1970, RFC 3339, or local times of a named zone. Nothing is guessed that could be wrong.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeUnit {
    /// By its length: 9 or 10 digits are seconds, 12 or 13 milliseconds, 15 or 16 microseconds, 18 or 19 nanoseconds.
    #[default]
    ByLength,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// Nanoseconds since 1970.
    Nanoseconds,
    /// Only texts in RFC 3339 are read.
    Rfc3339,
}

/// How times are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRule {
    /// What numbers mean.
    pub unit: TimeUnit,
    /// The zone of times without an offset; `None` when there must not be any.
    pub zone: Option<Tz>,
}

/// Local times that are read.
const LOCAL_FORMATS: [&str; 5] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y%m%d %H:%M",
];

/// Characters of a refused text that are shown.
const SHOWN_CHARS: usize = 40;

impl TimeRule {
    /// The instant that `text` means, UTC microseconds.
    ///
    /// # Errors
    /// In words, naming the text.
    pub fn parse(&self, text: &str) -> Result<i64, String> {
        let is_number = text
            .bytes()
            .enumerate()
            .all(|(at, byte)| byte.is_ascii_digit() || (at == 0 && byte == b'-' && text.len() > 1));
        if is_number && !text.is_empty() {
            let number = text.parse().map_err(|_| unreadable(text))?;
            return self.of_number(number);
        }
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            let nanoseconds = instant.timestamp_subsec_nanos();
            return in_microseconds(instant.timestamp(), nanoseconds, text);
        }
        if self.unit == TimeUnit::Rfc3339 {
            return Err(unreadable(text));
        }
        let local = LOCAL_FORMATS
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        self.of_local(local.ok_or_else(|| unreadable(text))?)
    }

    /// The instant that a number means, UTC microseconds.
    ///
    /// # Errors
    /// In words, naming the number.
    pub fn of_number(&self, number: i64) -> Result<i64, String> {
        let unit = match self.unit {
            TimeUnit::ByLength => match number.unsigned_abs().to_string().len() {
                9 | 10 => TimeUnit::Seconds,
                12 | 13 => TimeUnit::Milliseconds,
                15 | 16 => TimeUnit::Microseconds,
                18 | 19 => TimeUnit::Nanoseconds,
                _ => {
                    return Err(format!(
                        "the unit of time {number} is not clear, name it with --ts-unit"
                    ));
                }
            },
            unit => unit,
        };
        let instant_us = match unit {
            TimeUnit::Seconds => number.checked_mul(1_000_000),
            TimeUnit::Milliseconds => number.checked_mul(1_000),
            TimeUnit::Microseconds => Some(number),
            TimeUnit::Nanoseconds if number % 1_000 != 0 => {
                return Err(too_fine(&number.to_string()));
            }
            TimeUnit::Nanoseconds => Some(number / 1_000),
            TimeUnit::ByLength | TimeUnit::Rfc3339 => None,
        };
        instant_us.ok_or_else(|| unreadable(&number.to_string()))
    }

    /// The instant of a local time, UTC microseconds.
    ///
    /// # Errors
    /// In words: without a zone, and for times that the zone's clocks show twice or never.
    pub fn of_local(&self, local: NaiveDateTime) -> Result<i64, String> {
        let Some(zone) = self.zone else {
            return Err(format!(
                "time `{local}` has no offset, name its zone with --tz"
            ));
        };
        match zone.from_local_datetime(&local) {
            LocalResult::Single(instant) => in_microseconds(
                instant.timestamp(),
                instant.timestamp_subsec_nanos(),
                &local.to_string(),
            ),
            LocalResult::Ambiguous(..) => Err(format!(
                "time `{local}` is there twice in {zone}, when clocks are set back"
            )),
            LocalResult::None => Err(format!(
                "time `{local}` is not there in {zone}, when clocks are set forward"
            )),
        }
    }
}

fn in_microseconds(seconds: i64, nanoseconds: u32, text: &str) -> Result<i64, String> {
    if !nanoseconds.is_multiple_of(1_000) || nanoseconds >= 1_000_000_000 {
        return Err(too_fine(text));
    }
    let whole_us = seconds.checked_mul(1_000_000);
    whole_us
        .and_then(|whole_us| whole_us.checked_add(i64::from(nanoseconds / 1_000)))
        .ok_or_else(|| unreadable(text))
}

fn unreadable(text: &str) -> String {
    format!(
        "time `{}` cannot be read; readable are 2024-07-02T13:30:00Z, 2024-07-02 09:30:00 with --tz, and whole numbers since 1970",
        shown(text)
    )
}

fn too_fine(text: &str) -> String {
    format!("time `{}` is finer than a microsecond", shown(text))
}

/// The beginning of a foreign text, harmless.
pub(super) fn shown(text: &str) -> String {
    let beginning = text.chars().take(SHOWN_CHARS);
    beginning.flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEW_YORK: TimeRule = TimeRule {
        unit: TimeUnit::ByLength,
        zone: Some(chrono_tz::America::New_York),
    };

    #[test]
    fn one_instant_is_read_in_every_way_it_is_written() {
        for text in [
            "1719927000",
            "1719927000000",
            "1719927000000000",
            "1719927000000000000",
            "2024-07-02T13:30:00Z",
            "2024-07-02T09:30:00-04:00",
            "2024-07-02 13:30:00+00:00",
            "2024-07-02 09:30:00",
            "2024-07-02T09:30",
            "20240702 09:30",
        ] {
            assert_eq!(NEW_YORK.parse(text), Ok(1_719_927_000_000_000), "{text}");
        }
    }

    #[test]
    fn what_clocks_show_twice_or_never_is_refused_by_name() {
        let twice = NEW_YORK.parse("2024-11-03 01:30:00").unwrap_err();
        assert!(
            twice.contains("2024-11-03 01:30:00") && twice.contains("twice"),
            "{twice}"
        );
        let never = NEW_YORK.parse("2024-03-10 02:30:00").unwrap_err();
        assert!(
            never.contains("2024-03-10 02:30:00") && never.contains("not there"),
            "{never}"
        );
        let without = TimeRule::default()
            .parse("2024-07-02 09:30:00")
            .unwrap_err();
        assert!(without.contains("--tz"), "{without}");
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for text in [
            "",
            "-",
            "20240702",
            "1719927000.5",
            "2024-13-01T00:00:00Z",
            "noon",
            "99999999999999999999",
        ] {
            assert!(NEW_YORK.parse(text).is_err(), "{text}");
        }
        assert!(
            NEW_YORK
                .parse("2024-07-02T13:30:00.0000001Z")
                .unwrap_err()
                .contains("finer")
        );
        let seconds = TimeRule {
            unit: TimeUnit::Seconds,
            zone: None,
        };
        assert_eq!(seconds.parse("60"), Ok(60_000_000));
        assert!(seconds.of_number(i64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,40}") {
            _ = NEW_YORK.parse(&text);
        }

        #[test]
        fn no_number_makes_reading_panic(number in any::<i64>(), unit in 0..6_usize) {
            let units = [
                TimeUnit::ByLength,
                TimeUnit::Seconds,
                TimeUnit::Milliseconds,
                TimeUnit::Microseconds,
                TimeUnit::Nanoseconds,
                TimeUnit::Rfc3339,
            ];
            let rule = TimeRule { unit: units[unit], zone: None };
            prop_assert_eq!(rule.of_number(number), rule.parse(&number.to_string()));
        }
    }
}
