//! Trading calendars: which dates are sessions, and to which session and segment an instant belongs.
//!
//! The only place that knows New York's clock. Reads no clock itself, and knows no symbol and no bar.

mod table;

use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Weekday};
use chrono_tz::America::New_York;
use thiserror::Error;

use super::instant::{MINUTE_US, format_utc};
use super::minute_set::MINUTES_PER_FRAME;
use super::session::{Segment, Session, SessionDate, SessionHours};
use super::symbol::Symbol;

/// One day, in microseconds.
const DAY_US: i64 = 1440 * MINUTE_US;

/// 20:00, when a session's window ends and the next one's begins.
const EVENING: NaiveTime = NaiveTime::from_hms_opt(20, 0, 0).expect("20:00 is a time of day");

/// Minutes from a frame's start to midnight.
const MIDNIGHT: u16 = 4 * 60;

/// 04:00 as a minute of the frame.
const PRE_OPEN: u16 = MIDNIGHT + 4 * 60;

/// 09:30 as a minute of the frame.
const OPEN: u16 = MIDNIGHT + 9 * 60 + 30;

/// 13:00 as a minute of the frame: the close of today's half days.
const HALF_DAY_CLOSE: u16 = MIDNIGHT + 13 * 60;

/// 16:00 as a minute of the frame.
const CLOSE: u16 = MIDNIGHT + 16 * 60;

/// 17:00 as a minute of the frame: where late trading ends on half days, by the exchange's announcements.
const HALF_DAY_POST_CLOSE: u16 = MIDNIGHT + 17 * 60;

/// The calendar of a market: a handle to a table inside the program.
///
/// The NYSE's table covers 1990-01-01 to 2028-12-31 and is compared with `exchange_calendars` (XNYS). Like
/// that package it knows whole days off and planned early closes, but not the few days on which trading
/// began late or was broken off (2002-09-11 began at 12:00); their silent minutes look like minutes without
/// a trade. Dates outside the table are refused, never guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Calendar(Market);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Market {
    Nyse,
    AlwaysOpen,
}

/// The dates that a calendar knows, inclusive.
#[derive(Debug, Clone, Copy)]
struct Coverage {
    first: SessionDate,
    last: SessionDate,
    /// The last session before `first`: where the first window starts.
    session_before: SessionDate,
}

const NYSE: Coverage = Coverage {
    first: date(table::FIRST),
    last: date(table::LAST),
    session_before: date(table::SESSION_BEFORE),
};

const ALWAYS_OPEN: Coverage = Coverage {
    first: date((1970, 1, 1)),
    last: date((2199, 12, 31)),
    session_before: date((1969, 12, 31)),
};

const fn date((year, month, day): (i32, u32, u32)) -> SessionDate {
    SessionDate::from_ymd(year, month, day).expect("the tables hold dates that exist")
}

/// Why a calendar cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CalendarError {
    /// A date, or a search for a session that arrived at it, beyond the table.
    #[error("{date} is outside calendar {calendar}, which covers {first} to {last}")]
    OutOfRange {
        /// The calendar's version.
        calendar: &'static str,
        /// The date that is not covered.
        date: SessionDate,
        /// First date that is.
        first: SessionDate,
        /// Last date that is.
        last: SessionDate,
    },
    /// An instant that belongs to no session of the table.
    #[error(
        "{} belongs to no session of calendar {calendar}, which covers {first} to {last}",
        format_utc(*ts_us)
    )]
    InstantOutOfRange {
        /// The calendar's version.
        calendar: &'static str,
        /// The instant, UTC microseconds.
        ts_us: i64,
        /// First date that is covered.
        first: SessionDate,
        /// Last date that is covered.
        last: SessionDate,
    },
}

impl Calendar {
    /// The New York Stock Exchange: all US stock exchanges keep its days.
    pub const fn nyse() -> Self {
        Self(Market::Nyse)
    }

    /// A market that never closes: each UTC date is a session, all of it `regular`.
    pub const fn always_open() -> Self {
        Self(Market::AlwaysOpen)
    }

    /// The calendar that `symbol` trades by: currency pairs (`BTC/USD`) never rest.
    pub fn of(symbol: &Symbol) -> Self {
        Self::of_name(symbol.as_str())
    }

    /// The same for a provider's own spelling, which need not be a legal symbol.
    pub fn of_name(name: &str) -> Self {
        if name.contains('/') {
            Self::always_open()
        } else {
            Self::nyse()
        }
    }

    /// The calendar's name, which is another one whenever its table is.
    pub const fn version(self) -> &'static str {
        match self.0 {
            Market::Nyse => table::VERSION,
            Market::AlwaysOpen => "always-open-1",
        }
    }

    /// The first and the last date that the calendar knows, both inclusive.
    pub const fn coverage(self) -> (SessionDate, SessionDate) {
        let Coverage { first, last, .. } = self.limits();
        (first, last)
    }

    /// The session of `date`; `None` when the market is closed all day.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] outside [`Calendar::coverage`].
    pub fn session(self, date: SessionDate) -> Result<Option<Session>, CalendarError> {
        self.check(date)?;
        Ok(self.is_open(date).then(|| self.build(date)))
    }

    /// The sessions from `first` to `last`, both inclusive, ascending; none when `last` is before `first`.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] when one of the two is outside [`Calendar::coverage`].
    pub fn sessions(
        self,
        first: SessionDate,
        last: SessionDate,
    ) -> Result<Vec<Session>, CalendarError> {
        self.check(first)?;
        self.check(last)?;
        let mut sessions = Vec::new();
        let mut next = self.find_open_from(first);
        while let Some(date) = next.filter(|&date| date <= last) {
            sessions.push(self.build(date));
            next = date.succ().and_then(|date| self.find_open_from(date));
        }
        Ok(sessions)
    }

    /// How many regular minutes the sessions from `first` to `last` have, both inclusive; dates beyond
    /// [`Calendar::coverage`] have none.
    pub fn regular_minutes(self, first: SessionDate, last: SessionDate) -> u64 {
        let (earliest, latest) = self.coverage();
        let mut next = self.find_open_from(first.max(earliest));
        let mut minutes = 0;
        while let Some(date) = next.filter(|&date| date <= last.min(latest)) {
            let hours = self.hours(date);
            minutes += u64::from(hours.close - hours.open);
            next = date.succ().and_then(|date| self.find_open_from(date));
        }
        minutes
    }

    /// The first session after the date `after`, which itself need not be one.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] when the search leaves [`Calendar::coverage`].
    pub fn next_session(self, after: SessionDate) -> Result<Session, CalendarError> {
        let limits = self.limits();
        let from = after.succ().ok_or_else(|| self.out_of_range(after))?;
        self.check(from)?;
        match self.find_open_from(from) {
            Some(date) => Ok(self.build(date)),
            None => Err(self.out_of_range(limits.last.succ().unwrap_or(limits.last))),
        }
    }

    /// The last session before the date `before`, which itself need not be one.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] when the search leaves [`Calendar::coverage`].
    pub fn previous_session(self, before: SessionDate) -> Result<Session, CalendarError> {
        let to = before.pred().ok_or_else(|| self.out_of_range(before))?;
        self.check(to)?;
        let date = self.last_open_before(before);
        self.check(date)?;
        Ok(self.build(date))
    }

    /// The session to which the instant `ts_us` (UTC microseconds) belongs.
    ///
    /// Every instant from the first session's window to the last one's belongs to exactly one. For the NYSE
    /// these are 1989-12-29 20:00 to 2028-12-29 20:00 New York: the instants after the last session's
    /// window belong to a session beyond the table.
    ///
    /// # Errors
    /// [`CalendarError::InstantOutOfRange`] when it belongs to none.
    pub fn session_containing(self, ts_us: i64) -> Result<Session, CalendarError> {
        let Coverage {
            first,
            last,
            session_before,
        } = self.limits();
        self.frame_date(ts_us)
            .filter(|&date| date > session_before)
            .and_then(|date| self.find_open_from(date.max(first)))
            .map(|date| self.build(date))
            .ok_or(CalendarError::InstantOutOfRange {
                calendar: self.version(),
                ts_us,
                first,
                last,
            })
    }

    /// What the exchange's clock shows at `ts_us` (UTC microseconds); `None` beyond the years that chrono knows.
    pub fn local_time(self, ts_us: i64) -> Option<NaiveDateTime> {
        let instant = DateTime::from_timestamp_micros(ts_us)?.naive_utc();
        match self.0 {
            Market::AlwaysOpen => Some(instant),
            Market::Nyse => {
                instant.checked_add_offset(New_York.offset_from_utc_datetime(&instant).fix())
            }
        }
    }

    /// Whose clock that is, for people.
    pub const fn zone(self) -> &'static str {
        match self.0 {
            Market::AlwaysOpen => "UTC",
            Market::Nyse => "New York",
        }
    }

    /// A locator: for asking about many instants that mostly lie in the same session.
    pub const fn locator(self) -> SessionLocator {
        SessionLocator {
            calendar: self,
            current: None,
        }
    }

    const fn limits(self) -> Coverage {
        match self.0 {
            Market::Nyse => NYSE,
            Market::AlwaysOpen => ALWAYS_OPEN,
        }
    }

    fn check(self, date: SessionDate) -> Result<(), CalendarError> {
        let Coverage { first, last, .. } = self.limits();
        if first <= date && date <= last {
            Ok(())
        } else {
            Err(self.out_of_range(date))
        }
    }

    fn out_of_range(self, date: SessionDate) -> CalendarError {
        let Coverage { first, last, .. } = self.limits();
        CalendarError::OutOfRange {
            calendar: self.version(),
            date,
            first,
            last,
        }
    }

    /// Whether `date`, which is covered, is a session.
    fn is_open(self, date: SessionDate) -> bool {
        match self.0 {
            Market::AlwaysOpen => true,
            Market::Nyse => {
                !matches!(date.naive().weekday(), Weekday::Sat | Weekday::Sun)
                    && table::CLOSED_WEEKDAYS.binary_search(&number(date)).is_err()
            }
        }
    }

    /// The first session date from `date` (not before the coverage) on; `None` when it lies beyond.
    fn find_open_from(self, date: SessionDate) -> Option<SessionDate> {
        let last = self.limits().last;
        let mut date = Some(date);
        while let Some(candidate) = date.filter(|&candidate| candidate <= last) {
            if self.is_open(candidate) {
                return Some(candidate);
            }
            date = candidate.succ();
        }
        None
    }

    /// The last session date before `date`; for the first one it is the one before the coverage.
    fn last_open_before(self, date: SessionDate) -> SessionDate {
        let Coverage {
            first,
            session_before,
            ..
        } = self.limits();
        let mut date = date.pred();
        while let Some(candidate) = date.filter(|&candidate| candidate >= first) {
            if self.is_open(candidate) {
                return candidate;
            }
            date = candidate.pred();
        }
        session_before
    }

    /// The session of `date`, which is a covered session date.
    fn build(self, date: SessionDate) -> Session {
        let window_start_us = self.frame_end_us(self.last_open_before(date));
        Session::new(
            date,
            window_start_us,
            self.frame_end_us(date),
            self.hours(date),
        )
    }

    fn hours(self, date: SessionDate) -> SessionHours {
        let day_end = MINUTES_PER_FRAME;
        match self.0 {
            Market::AlwaysOpen => SessionHours {
                pre_open: 0,
                open: 0,
                close: day_end,
                post_close: day_end,
                is_half_day: false,
            },
            Market::Nyse => {
                let early =
                    table::EARLY_CLOSES.binary_search_by_key(&number(date), |&(day, _)| day);
                let close = early.map_or(CLOSE, |row| MIDNIGHT + table::EARLY_CLOSES[row].1);
                // Nothing is known of late trading after the closes at 14:00 (1990 to 1992): until 20:00.
                let post_close = if close == HALF_DAY_CLOSE {
                    HALF_DAY_POST_CLOSE
                } else {
                    day_end
                };
                let is_half_day = early.is_ok();
                SessionHours {
                    pre_open: PRE_OPEN,
                    open: OPEN,
                    close,
                    post_close,
                    is_half_day,
                }
            }
        }
    }

    /// The end of the 24 hours that are numbered as minutes of `date`, UTC microseconds.
    fn frame_end_us(self, date: SessionDate) -> i64 {
        match self.0 {
            Market::AlwaysOpen => (i64::from(date.days_since_epoch()) + 1) * DAY_US,
            Market::Nyse => New_York
                .from_local_datetime(&date.naive().and_time(EVENING))
                .earliest()
                .expect("New York never changes its clocks at 20:00")
                .timestamp_micros(),
        }
    }

    /// The date whose 24 hours hold the instant, session or not; `None` beyond the years 1 to 9999.
    fn frame_date(self, ts_us: i64) -> Option<SessionDate> {
        let local = self.local_time(ts_us)?;
        match self.0 {
            Market::AlwaysOpen => SessionDate::from_naive(local.date()),
            Market::Nyse => {
                let until_midnight = TimeDelta::minutes(i64::from(MIDNIGHT));
                SessionDate::from_naive(local.checked_add_signed(until_midnight)?.date())
            }
        }
    }
}

/// A date as the table writes it: YYYYMMDD.
fn number(date: SessionDate) -> u32 {
    let day = date.naive();
    date.year().cast_unsigned() * 10_000 + day.month() * 100 + day.day()
}

/// Finds the session and segment of one instant after the other, remembering the last session.
///
/// Instants in any order are answered alike; one in the same session as the last costs a few comparisons.
#[derive(Debug, Clone)]
pub struct SessionLocator {
    calendar: Calendar,
    current: Option<Session>,
}

impl SessionLocator {
    /// The session date and segment to which `ts_us` (UTC microseconds) belongs.
    ///
    /// # Errors
    /// [`CalendarError::InstantOutOfRange`] as [`Calendar::session_containing`].
    pub fn locate(&mut self, ts_us: i64) -> Result<(SessionDate, Segment), CalendarError> {
        if let Some(session) = &self.current
            && let Some(segment) = session.segment_at(ts_us)
        {
            return Ok((session.date(), segment));
        }
        let session = self.calendar.session_containing(ts_us)?;
        self.current = Some(session);
        let segment = session
            .segment_at(ts_us)
            .expect("the instant lies in the window of its session");
        Ok((session.date(), segment))
    }
}

#[cfg(test)]
mod tests;
