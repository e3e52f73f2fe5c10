//! `--start` and `--end` as users write them: session dates or instants.

use std::time::Duration;

use chrono::DateTime;

use super::exit::CliError;
use crate::domain::{Calendar, InstantRange, SessionDate};
use crate::ingestion::RequestedRange;

/// A bound of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Session(SessionDate),
    Instant(i64),
}

/// The range that `--start` and `--end` mean.
///
/// Two dates mean whole sessions, both inside. As soon as one of them is an instant the range is
/// `[start, end)`, and a date stands for the beginning or the end of its session.
pub(crate) fn read_range(
    start: Option<&str>,
    end: Option<&str>,
    now_us: i64,
) -> Result<RequestedRange, CliError> {
    let start = start.map(|text| read_bound("--start", text)).transpose()?;
    let end = end.map(|text| read_bound("--end", text)).transpose()?;
    match (start, end) {
        (None, None) => Ok(RequestedRange::Incremental),
        (None, Some(_)) => Err(CliError::usage("--end needs --start as well".to_owned())),
        (Some(Bound::Session(first)), None) => Ok(RequestedRange::Sessions { first, last: None }),
        (Some(Bound::Session(first)), Some(Bound::Session(last))) if last < first => Err(
            CliError::usage(format!("--start {first} is after --end {last}")),
        ),
        (Some(Bound::Session(first)), Some(Bound::Session(last))) => Ok(RequestedRange::Sessions {
            first,
            last: Some(last),
        }),
        (Some(start), end) => {
            let start_us = start_of(start)?;
            let end_us = end.map_or(Ok(now_us), end_of)?;
            if end_us < start_us {
                let range = InstantRange { start_us, end_us };
                return Err(CliError::usage(format!("--start is after --end: {range}")));
            }
            Ok(RequestedRange::Instants(InstantRange { start_us, end_us }))
        }
    }
}

/// The session date of a flag.
pub(super) fn read_date(flag: &str, text: Option<&str>) -> Result<Option<SessionDate>, CliError> {
    let Some(text) = text else { return Ok(None) };
    let date = text.parse();
    date.map(Some)
        .map_err(|error| CliError::usage(format!("{flag}: {error}")))
}

/// The session dates of `--start` and `--end`, where both are optional.
pub(super) fn read_dates(
    start: Option<&str>,
    end: Option<&str>,
) -> Result<(Option<SessionDate>, Option<SessionDate>), CliError> {
    let dates = (read_date("--start", start)?, read_date("--end", end)?);
    match dates {
        (Some(first), Some(last)) if last < first => Err(CliError::usage(format!(
            "--start {first} is after --end {last}"
        ))),
        dates => Ok(dates),
    }
}

fn read_bound(flag: &str, text: &str) -> Result<Bound, CliError> {
    if let Ok(date) = text.parse::<SessionDate>() {
        return Ok(Bound::Session(date));
    }
    DateTime::parse_from_rfc3339(text).map(|instant| Bound::Instant(instant.timestamp_micros())).map_err(|_| {
        CliError::usage(format!(
            "{flag} `{}` is neither a session date (2024-07-01) nor an instant with its offset (2024-07-01T13:30:00Z)",
            text.escape_default()
        ))
    })
}

fn start_of(bound: Bound) -> Result<i64, CliError> {
    match bound {
        Bound::Instant(instant_us) => Ok(instant_us),
        Bound::Session(date) => {
            let before =
                SessionDate::from_days_since_epoch(date.days_since_epoch() - 1).unwrap_or(date);
            Ok(Calendar::nyse().next_session(before)?.window_start_us())
        }
    }
}

fn end_of(bound: Bound) -> Result<i64, CliError> {
    match bound {
        Bound::Instant(instant_us) => Ok(instant_us),
        Bound::Session(date) => {
            let after =
                SessionDate::from_days_since_epoch(date.days_since_epoch() + 1).unwrap_or(date);
            Ok(Calendar::nyse().previous_session(after)?.window_end_us())
        }
    }
}

/// An age such as `90d`.
pub(super) fn read_age(text: &str) -> Result<Duration, String> {
    let seconds_of = |unit: &str| match unit {
        "w" => Some(7 * 86_400),
        "d" => Some(86_400),
        "h" => Some(3_600),
        "m" => Some(60),
        "s" => Some(1),
        _ => None,
    };
    let parsed = text
        .char_indices()
        .last()
        .map(|(at, _)| text.split_at(at))
        .and_then(|(number, unit)| Some((number.parse::<u32>().ok()?, seconds_of(unit)?)));
    parsed
        .map(|(number, seconds)| Duration::from_secs(u64::from(number) * seconds))
        .ok_or_else(|| "expected a number with its unit, such as 90d, 12h or 30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    fn read(start: &str, end: &str) -> Result<RequestedRange, CliError> {
        read_range(Some(start), Some(end), 0)
    }

    #[test]
    fn two_dates_are_whole_sessions() {
        let date = |text: &str| text.parse().unwrap();
        let range = RequestedRange::Sessions {
            first: date("2024-07-01"),
            last: Some(date("2024-07-05")),
        };
        assert_eq!(read("2024-07-01", "2024-07-05").unwrap(), range);
        assert_eq!(
            read_range(None, None, 0).unwrap(),
            RequestedRange::Incremental
        );
    }

    #[test]
    fn instants_are_a_half_open_range_and_dates_beside_them_the_whole_session() {
        let RequestedRange::Instants(range) =
            read("2024-07-02T15:00:00Z", "2024-07-02T12:00:00-04:00").unwrap()
        else {
            panic!("instants expected");
        };
        assert_eq!(
            range.to_string(),
            "2024-07-02T15:00:00Z..2024-07-02T16:00:00Z"
        );
        let RequestedRange::Instants(range) = read("2024-07-02", "2024-07-02T16:00:00Z").unwrap()
        else {
            panic!("instants expected");
        };
        assert_eq!(
            range.to_string(),
            "2024-07-02T00:00:00Z..2024-07-02T16:00:00Z"
        );
    }

    #[test]
    fn what_makes_no_range_is_refused_with_its_text() {
        for (start, end, words) in [
            (
                "2024-07-05",
                "2024-07-01",
                "--start 2024-07-05 is after --end 2024-07-01",
            ),
            (
                "2024-07-02T16:00:00Z",
                "2024-07-02T15:00:00Z",
                "--start is after --end",
            ),
            (
                "2024-07-02T16:00:00",
                "2024-07-03",
                "neither a session date",
            ),
            ("yesterday", "2024-07-03", "`yesterday`"),
        ] {
            let error = read(start, end).unwrap_err();
            assert!(error.message.contains(words), "{}", error.message);
            assert_eq!(error.exit, Exit::Usage);
        }
        assert!(read_range(None, Some("2024-07-01"), 0).is_err());
    }

    #[test]
    fn ages_have_a_number_and_a_unit() {
        for (text, hours) in [("90d", 2160), ("2w", 336), ("12h", 12), ("120m", 2)] {
            assert_eq!(
                read_age(text),
                Ok(Duration::from_secs(hours * 3600)),
                "{text}"
            );
        }
        for text in [
            "",
            "90",
            "d",
            "-1d",
            "1.5d",
            "90y",
            "90 d",
            "99999999999d",
            "9é",
        ] {
            assert!(read_age(text).is_err(), "{text}");
        }
    }
}
