//! Instants and dates as the bars endpoints read them, with Go's error texts. Knows no other parameter.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};

/// Which end of the window a bare date stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// The first instant of the day.
    Start,
    /// The last nanosecond of the day.
    End,
}

/// Reads an RFC-3339 instant or a bare `YYYY-MM-DD` (a New York day) as Unix nanoseconds.
///
/// # Errors
/// The vendor's text for a parameter that is neither (recorded 2026-09-07 for `start`).
pub(super) fn parse_instant(parameter: &str, text: &str, edge: Edge) -> Result<i64, String> {
    if let Some(instant) = strict_rfc3339(text) {
        return Ok(instant_ns(instant));
    }
    match parse_date(text) {
        Ok(date) => Ok(day_edge_ns(date, edge)),
        Err(cause) => Err(format!(
            "Invalid format for parameter {parameter}: error parsing '{text}' as RFC3339 or 2006-01-02 time: {cause}"
        )),
    }
}

/// Midnight in New York of the day that `now_ns` falls in there.
pub(super) fn new_york_midnight_ns(now_ns: i64) -> i64 {
    let local = DateTime::from_timestamp_nanos(now_ns) - TimeDelta::hours(4);
    let summer = local.date_naive();
    let midnight = day_edge_ns(summer, Edge::Start);
    if midnight <= now_ns {
        midnight
    } else {
        // Between midnight EDT and midnight EST in winter: still the day before.
        day_edge_ns(previous_day(summer), Edge::Start)
    }
}

/// Reads `YYYY-MM-DD`.
///
/// # Errors
/// What Go's `time.Parse` says for the layout `2006-01-02`.
pub(super) fn parse_date(text: &str) -> Result<NaiveDate, String> {
    let mut rest = text;
    let year = digits(text, &mut rest, 4, "2006")?;
    literal_dash(text, &mut rest)?;
    let month = digits(text, &mut rest, 2, "01")?;
    if !(1..=12).contains(&month) {
        return Err(format!("parsing time {text:?}: month out of range"));
    }
    literal_dash(text, &mut rest)?;
    let day = digits(text, &mut rest, 2, "02")?;
    if !rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {rest:?}"));
    }
    i32::try_from(year)
        .ok()
        .and_then(|year| NaiveDate::from_ymd_opt(year, month, day))
        .ok_or_else(|| format!("parsing time {text:?}: day out of range"))
}

fn digits(text: &str, rest: &mut &str, count: usize, layout: &str) -> Result<u32, String> {
    let parsed = rest
        .get(..count)
        .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|part| part.parse().ok());
    match parsed {
        Some(number) => {
            *rest = &rest[count..];
            Ok(number)
        }
        None => Err(mismatch(text, rest, layout)),
    }
}

fn literal_dash(text: &str, rest: &mut &str) -> Result<(), String> {
    match rest.strip_prefix('-') {
        Some(after) => {
            *rest = after;
            Ok(())
        }
        None => Err(mismatch(text, rest, "-")),
    }
}

fn mismatch(text: &str, rest: &str, layout: &str) -> String {
    format!("parsing time {text:?} as \"2006-01-02\": cannot parse {rest:?} as {layout:?}")
}

/// chrono also takes a space or a lower-case `t`, which the vendor's parser refuses.
fn strict_rfc3339(text: &str) -> Option<DateTime<Utc>> {
    let upper = text.as_bytes().get(10) == Some(&b'T') && !text.ends_with('z');
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    upper.then(|| instant.with_timezone(&Utc))
}

/// Nanoseconds reach from 1677 to 2262; instants beyond are held at the ends.
fn instant_ns(instant: DateTime<Utc>) -> i64 {
    instant
        .timestamp_nanos_opt()
        .unwrap_or(if instant.timestamp() < 0 {
            i64::MIN
        } else {
            i64::MAX
        })
}

fn day_edge_ns(date: NaiveDate, edge: Edge) -> i64 {
    match edge {
        Edge::Start => {
            let offset = TimeDelta::hours(midnight_offset_hours(date));
            instant_ns((date.and_time(NaiveTime::MIN) + offset).and_utc())
        }
        Edge::End => {
            let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
            day_edge_ns(next, Edge::Start).saturating_sub(1)
        }
    }
}

/// Hours that UTC is ahead of New York at midnight of `date`, by the rule in force since 2007: summer time from
/// the second Sunday of March to the first of November, both changing at 02:00.
fn midnight_offset_hours(date: NaiveDate) -> i64 {
    let begins = NaiveDate::from_weekday_of_month_opt(date.year(), 3, Weekday::Sun, 2);
    let ends = NaiveDate::from_weekday_of_month_opt(date.year(), 11, Weekday::Sun, 1);
    let summer =
        begins.is_some_and(|begins| date > begins) && ends.is_some_and(|ends| date <= ends);
    if summer { 4 } else { 5 }
}

fn previous_day(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(Days::new(1)).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(ns: i64) -> String {
        DateTime::from_timestamp_nanos(ns).to_rfc3339()
    }

    fn error(text: &str) -> String {
        parse_instant("start", text, Edge::Start).unwrap_err()
    }

    #[test]
    fn a_bare_date_is_a_new_york_day_up_to_its_last_nanosecond() {
        let day = |text, edge| utc(parse_instant("end", text, edge).unwrap());
        assert_eq!(day("2025-11-28", Edge::Start), "2025-11-28T05:00:00+00:00");
        assert_eq!(
            day("2025-11-28", Edge::End),
            "2025-11-29T04:59:59.999999999+00:00"
        );
        // The days on which the clocks change begin by the old rule.
        assert_eq!(day("2026-03-08", Edge::Start), "2026-03-08T05:00:00+00:00");
        assert_eq!(
            day("2026-03-08", Edge::End),
            "2026-03-09T03:59:59.999999999+00:00"
        );
        assert_eq!(day("2026-11-01", Edge::Start), "2026-11-01T04:00:00+00:00");
    }

    #[test]
    fn any_offset_is_the_same_instant() {
        let parse = |text| parse_instant("start", text, Edge::Start).unwrap();
        let expected = parse("2026-09-03T13:30:00Z");
        assert_eq!(parse("2026-09-03T13:30:00+00:00"), expected);
        assert_eq!(parse("2026-09-03T09:30:00.000000000-04:00"), expected);
    }

    #[test]
    fn error_texts_are_those_of_go() {
        let tail = |text| -> String { error(text).split_once(" time: ").unwrap().1.to_owned() };
        assert_eq!(
            error("not-a-date"),
            "Invalid format for parameter start: error parsing 'not-a-date' as RFC3339 or 2006-01-02 time: \
             parsing time \"not-a-date\" as \"2006-01-02\": cannot parse \"not-a-date\" as \"2006\""
        );
        assert_eq!(
            tail("2026-09-03T15:49:12.774699"),
            "parsing time \"2026-09-03T15:49:12.774699\": extra text: \"T15:49:12.774699\""
        );
        assert_eq!(
            tail("2026/09/03"),
            "parsing time \"2026/09/03\" as \"2006-01-02\": cannot parse \"/09/03\" as \"-\""
        );
        assert_eq!(
            tail("2026-13-01"),
            "parsing time \"2026-13-01\": month out of range"
        );
        assert_eq!(
            tail("2026-02-30"),
            "parsing time \"2026-02-30\": day out of range"
        );
    }

    #[test]
    fn the_new_york_day_turns_at_its_own_midnight() {
        let at = |text| {
            utc(new_york_midnight_ns(
                parse_instant("x", text, Edge::Start).unwrap(),
            ))
        };
        assert_eq!(at("2026-01-15T04:30:00Z"), "2026-01-14T05:00:00+00:00");
        assert_eq!(at("2026-01-15T05:00:00Z"), "2026-01-15T05:00:00+00:00");
        assert_eq!(at("2026-07-15T04:00:00Z"), "2026-07-15T04:00:00+00:00");
    }
}
