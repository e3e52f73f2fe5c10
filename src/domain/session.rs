//! Session dates, months of them, segments of the day, and the hours of one session.
//!
//! Knows nothing of holidays or time zones: which dates are sessions, and when, is the calendar's business.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use chrono::{Datelike, Days, Months, NaiveDate};
use thiserror::Error;

use super::instant::{InstantRange, MINUTE_US};
use super::minute_set::MINUTES_PER_FRAME;

/// How much of a refused text an error shows, in characters.
const SHOWN_CHARS: usize = 24;

/// The date of an exchange session, in the exchange's own time zone; years 1 to 9999.
///
/// It is the key by which bars are kept and joined. An overnight bar belongs to the session that follows it,
/// so this is not the UTC date of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionDate(NaiveDate);

/// Why a text is not a [`SessionDate`] or a [`SessionMonth`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionDateError {
    /// Not of the form that is expected.
    #[error("`{shown}` is malformed: expected {expected}")]
    Malformed {
        /// The beginning of the text, escaped.
        shown: String,
        /// `YYYY-MM-DD` or `YYYY-MM`.
        expected: &'static str,
    },
    /// Well formed, but no such day or month exists (30 February, month 13, year 0).
    #[error("`{0}` does not exist in the calendar of the years 0001 to 9999")]
    DoesNotExist(String),
}

impl SessionDate {
    /// The date of a year (1 to 9999), a month (1 to 12) and a day (1 to 31); `None` when there is none.
    pub const fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        match NaiveDate::from_ymd_opt(year, month, day) {
            Some(date) => Self::from_naive(date),
            None => None,
        }
    }

    /// The date `date`; `None` outside the years 1 to 9999.
    pub const fn from_naive(date: NaiveDate) -> Option<Self> {
        // `NaiveDate::year` is a trait method and so not const: days since the year 1 decide.
        let days = date.to_epoch_days();
        if MIN_EPOCH_DAYS <= days && days <= MAX_EPOCH_DAYS {
            Some(Self(date))
        } else {
            None
        }
    }

    /// The date as chrono knows it.
    pub const fn naive(self) -> NaiveDate {
        self.0
    }

    /// Days since 1970-01-01, negative before: the value of an Arrow or Parquet `date32`.
    pub const fn days_since_epoch(self) -> i32 {
        self.0.to_epoch_days()
    }

    /// The date `days` after 1970-01-01; `None` outside the years 1 to 9999.
    pub const fn from_days_since_epoch(days: i32) -> Option<Self> {
        match NaiveDate::from_epoch_days(days) {
            Some(date) => Self::from_naive(date),
            None => None,
        }
    }

    /// The year, 1 to 9999.
    pub fn year(self) -> i32 {
        self.0.year()
    }

    /// The month that holds the date.
    pub fn month(self) -> SessionMonth {
        let first = self.0.with_day(1).expect("every month has a first day");
        SessionMonth(Self(first))
    }

    /// The following date; `None` after 9999-12-31.
    pub fn succ(self) -> Option<Self> {
        self.0.succ_opt().and_then(Self::from_naive)
    }

    /// The date before; `None` before 0001-01-01.
    pub fn pred(self) -> Option<Self> {
        self.0.pred_opt().and_then(Self::from_naive)
    }
}

/// 0001-01-01 in days since 1970-01-01.
const MIN_EPOCH_DAYS: i32 = -719_162;

/// 9999-12-31 in days since 1970-01-01.
const MAX_EPOCH_DAYS: i32 = 2_932_896;

impl fmt::Display for SessionDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for SessionDate {
    type Err = SessionDateError;

    fn from_str(text: &str) -> Result<Self, SessionDateError> {
        let [year, month, day] = numbers(text, [4, 2, 2], "YYYY-MM-DD")?;
        Self::from_ymd(year.cast_signed(), month, day)
            .ok_or_else(|| SessionDateError::DoesNotExist(text.into()))
    }
}

/// A month of session dates; years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionMonth(SessionDate);

impl SessionMonth {
    /// The month `month` (1 to 12) of `year` (1 to 9999); `None` when there is none.
    pub fn new(year: i32, month: u32) -> Option<Self> {
        SessionDate::from_ymd(year, month, 1).map(Self)
    }

    /// The year, 1 to 9999.
    pub fn year(self) -> i32 {
        self.0.year()
    }

    /// The number of the month within its year, 1 to 12.
    pub fn month(self) -> u32 {
        self.0.0.month()
    }

    /// The first date of the month, whether or not it is a session.
    pub const fn first_day(self) -> SessionDate {
        self.0
    }

    /// The last date of the month, whether or not it is a session.
    pub fn last_day(self) -> SessionDate {
        let last = self.0.0.checked_add_months(Months::new(1));
        let last = last.and_then(|next| next.checked_sub_days(Days::new(1)));
        SessionDate(last.expect("the dates of chrono go far beyond the year 9999"))
    }

    /// The following month; `None` after 9999-12.
    pub fn next(self) -> Option<Self> {
        self.last_day().succ().map(Self)
    }
}

impl fmt::Display for SessionMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:04}-{:02}", self.year(), self.month()))
    }
}

impl FromStr for SessionMonth {
    type Err = SessionDateError;

    fn from_str(text: &str) -> Result<Self, SessionDateError> {
        let [year, month] = numbers(text, [4, 2], "YYYY-MM")?;
        Self::new(year.cast_signed(), month)
            .ok_or_else(|| SessionDateError::DoesNotExist(text.into()))
    }
}

/// The numbers of a text that consists of digits in groups of `widths`, joined by `-`.
fn numbers<const N: usize>(
    text: &str,
    widths: [usize; N],
    expected: &'static str,
) -> Result<[u32; N], SessionDateError> {
    let mut groups = text.split('-');
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        *number = groups
            .next()
            .filter(|group| group.len() == width && group.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|group| group.parse().ok())
            .ok_or_else(|| malformed(text, expected))?;
    }
    match groups.next() {
        None => Ok(numbers),
        Some(_) => Err(malformed(text, expected)),
    }
}

fn malformed(text: &str, expected: &'static str) -> SessionDateError {
    let shown = text
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_default)
        .collect();
    SessionDateError::Malformed { shown, expected }
}

/// A part of a session's day; ordered as the day goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Segment {
    /// 20:00 of the evening before until 04:00.
    Overnight,
    /// 04:00 until the open.
    Pre,
    /// From the open until the close.
    Regular,
    /// From the close until 20:00.
    Post,
}

/// A text that names no [`Segment`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("segment `{shown}` is unknown, expected one of overnight, pre, regular, post")]
pub struct SegmentError {
    shown: String,
}

impl Segment {
    /// Every segment, in the order of the day.
    pub const ALL: [Self; 4] = [Self::Overnight, Self::Pre, Self::Regular, Self::Post];

    /// The name in files and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overnight => "overnight",
            Self::Pre => "pre",
            Self::Regular => "regular",
            Self::Post => "post",
        }
    }

    /// The segment's place in [`Segment::ALL`]: its dictionary code in files.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The segment with this code; `None` from 4 on.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Segment {
    type Err = SegmentError;

    fn from_str(text: &str) -> Result<Self, SegmentError> {
        Self::ALL
            .into_iter()
            .find(|segment| segment.as_str() == text)
            .ok_or_else(|| SegmentError {
                shown: text
                    .chars()
                    .take(SHOWN_CHARS)
                    .flat_map(char::escape_default)
                    .collect(),
            })
    }
}

/// The borders of a session's segments, as minutes of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionHours {
    /// End of `overnight`, start of `pre`.
    pub(super) pre_open: u16,
    /// Start of `regular`.
    pub(super) open: u16,
    /// End of `regular`, start of `post`.
    pub(super) close: u16,
    /// Official end of `post`; at most the frame's length.
    pub(super) post_close: u16,
    /// Whether `regular` ends before its usual time.
    pub(super) is_half_day: bool,
}

/// One session of a calendar: its date, the instants that belong to it and its hours.
///
/// Two ranges must be told apart. The **window** says which instants belong to the session: from 20:00 New
/// York of the previous session's date to 20:00 of this date, so that windows tile time and an instant of a
/// weekend or holiday falls to `overnight` of the session that follows. The **frame** is the window's last
/// 24 hours; its 1,440 minutes are numbered, and only there are bars expected ([`Session::expected_range`]).
/// New York changes its clocks on Sundays at 02:00, so no frame of a weekday session is shorter or longer.
///
/// In a market that never closes window and frame are both the UTC day, all of it `regular`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session {
    date: SessionDate,
    window_start_us: i64,
    window_end_us: i64,
    hours: SessionHours,
}

impl Session {
    /// The session `date` with the window `[window_start_us, window_end_us)`, at least one frame long.
    pub(super) const fn new(
        date: SessionDate,
        window_start_us: i64,
        window_end_us: i64,
        hours: SessionHours,
    ) -> Self {
        Self {
            date,
            window_start_us,
            window_end_us,
            hours,
        }
    }

    /// The session's date.
    pub const fn date(&self) -> SessionDate {
        self.date
    }

    /// The first instant that belongs to the session, UTC microseconds.
    pub const fn window_start_us(&self) -> i64 {
        self.window_start_us
    }

    /// The first instant that belongs to the next session, UTC microseconds.
    pub const fn window_end_us(&self) -> i64 {
        self.window_end_us
    }

    /// Everything that belongs to the session.
    pub const fn window(&self) -> InstantRange {
        InstantRange {
            start_us: self.window_start_us,
            end_us: self.window_end_us,
        }
    }

    /// The start of `pre`, UTC microseconds: 04:00 New York.
    pub fn pre_open_us(&self) -> i64 {
        self.minute_ts_us(self.hours.pre_open)
    }

    /// The start of `regular`, UTC microseconds: 09:30 New York.
    pub fn open_us(&self) -> i64 {
        self.minute_ts_us(self.hours.open)
    }

    /// The end of `regular`, UTC microseconds: 16:00 New York, earlier on half days.
    pub fn close_us(&self) -> i64 {
        self.minute_ts_us(self.hours.close)
    }

    /// The official end of `post`, UTC microseconds: 20:00 New York, 17:00 after a close at 13:00.
    pub fn post_close_us(&self) -> i64 {
        self.minute_ts_us(self.hours.post_close)
    }

    /// Whether `regular` ends before its usual time.
    pub const fn is_half_day(&self) -> bool {
        self.hours.is_half_day
    }

    /// The segment that `ts_us` (UTC microseconds) belongs to; `None` outside the window.
    ///
    /// Whatever follows the close is `post` until the window ends, on half days too: a trade reported at
    /// 18:00 of a half day is `post` of that day, though no bar is expected there.
    pub fn segment_at(&self, ts_us: i64) -> Option<Segment> {
        if ts_us < self.window_start_us || ts_us >= self.window_end_us {
            None
        } else if ts_us < self.pre_open_us() {
            Some(Segment::Overnight)
        } else if ts_us < self.open_us() {
            Some(Segment::Pre)
        } else if ts_us < self.close_us() {
            Some(Segment::Regular)
        } else {
            Some(Segment::Post)
        }
    }

    /// The number of the minute that starts at `ts_us`, 0 to 1439, counted from the frame's start.
    ///
    /// `None` when `ts_us` is no whole minute or outside the frame, as weekends and holidays are.
    pub fn minute_index(&self, ts_us: i64) -> Option<u16> {
        let since_us = ts_us.checked_sub(self.minute_ts_us(0))?;
        if since_us % MINUTE_US != 0 {
            return None;
        }
        u16::try_from(since_us / MINUTE_US)
            .ok()
            .filter(|&minute| minute < MINUTES_PER_FRAME)
    }

    /// The start of minute `index` of the frame, UTC microseconds; 1440 gives the frame's end.
    ///
    /// Numbers beyond 1440 give instants of later sessions.
    pub fn minute_ts_us(&self, index: u16) -> i64 {
        self.window_end_us + (i64::from(index) - i64::from(MINUTES_PER_FRAME)) * MINUTE_US
    }

    /// The minutes of the frame in which `segment` has its official hours; empty if it has none.
    ///
    /// After a close at 13:00 `post` ends at 17:00, although later instants still belong to it.
    pub const fn expected_range(&self, segment: Segment) -> Range<u16> {
        match segment {
            Segment::Overnight => 0..self.hours.pre_open,
            Segment::Pre => self.hours.pre_open..self.hours.open,
            Segment::Regular => self.hours.open..self.hours.close,
            Segment::Post => self.hours.close..self.hours.post_close,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date(text: &str) -> SessionDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_date_reads_back_from_its_text_and_from_its_days() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
        ] {
            assert_eq!(date(text).to_string(), text);
            assert_eq!(date(text).days_since_epoch(), days);
            assert_eq!(SessionDate::from_days_since_epoch(days), Some(date(text)));
        }
        assert_eq!(format!("[{:>12}]", date("2015-12-24")), "[  2015-12-24]");
    }

    #[test]
    fn dates_outside_four_digit_years_are_refused() {
        assert_eq!(date("9999-12-31").succ(), None);
        assert_eq!(date("0001-01-01").pred(), None);
        for days in [-719_163, 2_932_897, i32::MIN, i32::MAX] {
            assert_eq!(SessionDate::from_days_since_epoch(days), None);
        }
    }

    #[test]
    fn a_malformed_date_says_what_was_expected() {
        let texts = [
            "",
            "2015",
            "2015-12",
            "2015-12-24-",
            "15-12-24",
            "2015-1-02",
            "2015/12/24",
            "+015-12-24",
        ];
        for text in texts
            .into_iter()
            .chain(["2015-12-24T00:00", " 2015-12-24", "２０１５-12-24"])
        {
            let error = text.parse::<SessionDate>().unwrap_err();
            assert!(
                error
                    .to_string()
                    .ends_with("is malformed: expected YYYY-MM-DD"),
                "{text:?}: {error}"
            );
        }
        let long = "\n".repeat(1000).parse::<SessionMonth>().unwrap_err();
        assert_eq!(
            long.to_string(),
            format!("`{}` is malformed: expected YYYY-MM", r"\n".repeat(24))
        );
    }

    #[test]
    fn a_day_that_does_not_exist_is_refused_by_name() {
        for text in ["2015-02-29", "2015-13-01", "2015-00-10", "0000-01-01"] {
            assert_eq!(
                text.parse::<SessionDate>(),
                Err(SessionDateError::DoesNotExist(text.into()))
            );
        }
        assert_eq!(
            "2015-13".parse::<SessionMonth>(),
            Err(SessionDateError::DoesNotExist("2015-13".into()))
        );
    }

    #[test]
    fn a_month_runs_from_its_first_to_its_last_day() {
        for (text, last) in [
            ("2015-12", "2015-12-31"),
            ("2016-02", "2016-02-29"),
            ("9999-12", "9999-12-31"),
        ] {
            let month: SessionMonth = text.parse().unwrap();
            assert_eq!(month.to_string(), text);
            assert_eq!(month.first_day().to_string(), format!("{text}-01"));
            assert_eq!(month.last_day(), date(last));
            assert_eq!(date(last).month(), month);
            assert_eq!(SessionMonth::new(month.year(), month.month()), Some(month));
        }
    }

    #[test]
    fn december_is_followed_by_january() {
        let month: SessionMonth = "2015-12".parse().unwrap();
        assert_eq!(month.next().unwrap().to_string(), "2016-01");
        assert!(month < month.next().unwrap());
        assert_eq!("9999-12".parse::<SessionMonth>().unwrap().next(), None);
    }

    #[test]
    fn segments_read_back_from_name_and_code_in_the_order_of_the_day() {
        for (code, segment) in (0_u8..).zip(Segment::ALL) {
            assert_eq!(segment.code(), code);
            assert_eq!(Segment::from_code(code), Some(segment));
            assert_eq!(segment.to_string().parse(), Ok(segment));
        }
        assert!(Segment::ALL.is_sorted());
        assert_eq!(Segment::from_code(4), None);
        let error = "Regular".parse::<Segment>().unwrap_err().to_string();
        assert_eq!(
            error,
            "segment `Regular` is unknown, expected one of overnight, pre, regular, post"
        );
    }

    proptest! {
        #[test]
        fn every_date_reads_back(days in MIN_EPOCH_DAYS..=MAX_EPOCH_DAYS) {
            let date = SessionDate::from_days_since_epoch(days).unwrap();
            prop_assert_eq!(date.days_since_epoch(), days);
            prop_assert_eq!(date.to_string().parse(), Ok(date));
            prop_assert_eq!(date.month().to_string(), &date.to_string()[..7]);
            prop_assert!(date.month().first_day() <= date && date <= date.month().last_day());
            prop_assert!(date.succ().is_none_or(|next| next > date && next.pred() == Some(date)));
        }

        #[test]
        fn no_text_makes_parsing_panic(text in "\\PC*") {
            if let Ok(date) = text.parse::<SessionDate>() {
                prop_assert_eq!(date.to_string(), text);
            }
        }
    }
}
