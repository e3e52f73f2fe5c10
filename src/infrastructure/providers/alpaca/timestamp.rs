//! RFC 3339 timestamps, read fast and strictly. Knows no calendar rule beyond the date's own.

use crate::domain::instant::SECOND_US;

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction](Z|+hh:mm|-hh:mm)` as UTC microseconds; digits below a microsecond are cut off.
///
/// `None` for everything else: no zone, a leap second, lower-case letters, a day that does not exist.
pub(crate) fn parse_timestamp(text: impl AsRef<[u8]>) -> Option<i64> {
    let (head, rest) = text.as_ref().split_first_chunk::<19>()?;
    let separated = head[4] == b'-'
        && head[7] == b'-'
        && head[10] == b'T'
        && head[13] == b':'
        && head[16] == b':';
    if !separated {
        return None;
    }
    let (year, month, day) = (
        two(head, 0)? * 100 + two(head, 2)?,
        two(head, 5)?,
        two(head, 8)?,
    );
    let (hour, minute, second) = (two(head, 11)?, two(head, 14)?, two(head, 17)?);
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in_month(year, month)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let (fraction_us, zone) = match rest {
        [b'.', digits @ ..] => parse_fraction(digits)?,
        zone => (0, zone),
    };
    let local_s = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((local_s - parse_offset(zone)?) * SECOND_US + fraction_us)
}

/// Two digits at `at`.
fn two<const N: usize>(text: &[u8; N], at: usize) -> Option<i64> {
    Some(digit(text[at])? * 10 + digit(text[at + 1])?)
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// Microseconds of a fraction of at least one digit, and what follows it.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let (fraction, zone) = text.split_at(digits);
    let us = (0..6).fold(0, |us, at| {
        us * 10 + fraction.get(at).map_or(0, |byte| i64::from(byte - b'0'))
    });
    Some((us, zone))
}

/// Seconds that local time is ahead of UTC.
fn parse_offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = digit(*h1)? * 10 + digit(*h2)?;
            let minutes = digit(*m1)? * 10 + digit(*m2)?;
            let ahead = hours * 3600 + minutes * 60;
            (hours <= 23 && minutes <= 59).then_some(if *sign == b'+' { ahead } else { -ahead })
        }
        _ => None,
    }
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the years 0 to 9999, counting years from March so that leap days come last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, SecondsFormat};
    use proptest::prelude::*;

    use super::*;

    fn by_chrono(text: &str) -> Option<i64> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|instant| instant.timestamp_micros())
    }

    #[test]
    fn real_timestamps_are_read() {
        for text in [
            "2026-09-03T13:30:00Z",
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "2022-10-17T13:30:00.189598208Z",
            "2024-02-29T23:59:59+05:30",
            "2024-02-29T00:00:00-04:00",
            "9999-12-31T23:59:00Z",
            "0001-01-01T00:00:00Z",
        ] {
            assert!(parse_timestamp(text).is_some(), "{text}");
            assert_eq!(parse_timestamp(text), by_chrono(text), "{text}");
        }
        assert_eq!(
            parse_timestamp("2022-10-17T13:30:00.189598999Z"),
            Some(1_666_013_400_189_598),
            "cut, not rounded"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "2026-09-03",
            "2026-09-03T13:30:00",
            "2026-09-03 13:30:00Z",
            "2026-09-03t13:30:00z",
            "2026-09-03T13:30Z",
            "2026-13-03T13:30:00Z",
            "2026-00-03T13:30:00Z",
            "2026-02-29T13:30:00Z",
            "2026-04-31T13:30:00Z",
            "2026-09-00T13:30:00Z",
            "2026-09-03T24:00:00Z",
            "2026-09-03T13:60:00Z",
            "2016-12-31T23:59:60Z",
            "2026-09-03T13:30:00.Z",
            "2026-09-03T13:30:00.1",
            "2026-09-03T13:30:00+5:30",
            "2026-09-03T13:30:00+0530",
            "2026-09-03T13:30:00+24:00",
            "2026-09-03T13:30:00Zjunk",
            "+026-09-03T13:30:00Z",
            "2026-09-03T13:30:00 Z",
            "２026-09-03T13:30:00Z",
            "1788442200",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_counted_right() {
        let mut date = NaiveDate::from_ymd_opt(1799, 12, 31).unwrap();
        let epoch = NaiveDate::default();
        while date.year() < 2201 {
            let (year, month, day) = (
                i64::from(date.year()),
                i64::from(date.month()),
                i64::from(date.day()),
            );
            assert_eq!(
                days_since_1970(year, month, day),
                (date - epoch).num_days(),
                "{date}"
            );
            date = date.succ_opt().unwrap();
        }
    }

    proptest! {
        #[test]
        fn it_reads_whatever_chrono_writes(us in -62_135_596_800_000_000_i64..253_402_300_799_999_999, east_min in -1439_i32..1440, digits in 0..4) {
            let format = [SecondsFormat::AutoSi, SecondsFormat::Secs, SecondsFormat::Millis, SecondsFormat::Nanos][usize::try_from(digits).unwrap()];
            let instant = DateTime::from_timestamp_micros(us).unwrap().with_timezone(&FixedOffset::east_opt(east_min * 60).unwrap());
            prop_assume!((0..=9999).contains(&instant.year()));
            let text = instant.to_rfc3339_opts(format, true);
            prop_assert_eq!(parse_timestamp(&text), by_chrono(&text), "{}", text);
        }

        #[test]
        fn it_never_reads_what_chrono_does_not(text in "[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|[+-][0-2][0-9]:[0-6][0-9])?|.{0,40}") {
            if let Some(us) = parse_timestamp(&text) {
                prop_assert_eq!(Some(us), by_chrono(&text), "{}", text);
            }
        }
    }
}
