//! The batch: one partition's bars in proven columns. The only form in which bars reach a store or a rule.

use thiserror::Error;

use super::bar::{Bar, HardRule, IMPLAUSIBLE_PRICE, IMPLAUSIBLE_VOLUME};
use super::bar_columns::BarColumns;
use super::calendar::{Calendar, CalendarError};
use super::instant::{MINUTE_US, format_utc};
use super::session::{Segment, SessionDate};

/// Bars of one series: ascending by time, without duplicates, each of them sound.
///
/// Proven once by the constructors: columns of equal length; `ts` strictly ascending and on full minutes;
/// no [`HardRule`] broken; session dates ascending. Empty batches are legal.
#[derive(Debug, Clone, PartialEq)]
pub struct BarBatch {
    columns: BarColumns,
    session_days: Vec<i32>,
    segments: Vec<Segment>,
}

/// Why columns do not make a [`BarBatch`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// Columns of different lengths.
    #[error("columns of a batch differ in length")]
    UnequalLengths,
    /// A timestamp that does not follow its predecessor.
    #[error("row {row} at {} does not follow its predecessor in time", format_utc(*.ts_us))]
    NotAscending {
        /// Row number, from 0.
        row: usize,
        /// Its timestamp, UTC microseconds.
        ts_us: i64,
    },
    /// A row that breaks a hard rule.
    #[error("row {row} at {} breaks the rule {rule}", format_utc(*.ts_us))]
    BrokenRule {
        /// Row number, from 0.
        row: usize,
        /// Its timestamp, UTC microseconds.
        ts_us: i64,
        /// The rule.
        rule: HardRule,
    },
    /// Session dates that go back in time.
    #[error("row {row} has an earlier session date than its predecessor")]
    SessionsNotAscending {
        /// Row number, from 0.
        row: usize,
    },
    /// A timestamp beyond the calendar.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
}

impl BarBatch {
    /// A batch without rows.
    pub fn empty() -> Self {
        Self {
            columns: BarColumns::default(),
            session_days: Vec::new(),
            segments: Vec::new(),
        }
    }

    /// Proves `columns` and gives every row its session date and segment by `calendar`.
    ///
    /// # Errors
    /// The first broken invariant, see [`BatchError`].
    pub fn from_columns(columns: BarColumns, calendar: Calendar) -> Result<Self, BatchError> {
        let mut locator = calendar.locator();
        let mut session_days = Vec::with_capacity(columns.len());
        let mut segments = Vec::with_capacity(columns.len());
        for &ts_us in &columns.ts_us {
            let (date, segment) = locator.locate(ts_us)?;
            session_days.push(date.days_since_epoch());
            segments.push(segment);
        }
        Self::from_parts(columns, session_days, segments)
    }

    /// Proves `columns` whose session dates (days since 1970-01-01) and segments are already known.
    ///
    /// # Errors
    /// The first broken invariant, see [`BatchError`].
    pub fn from_parts(
        columns: BarColumns,
        session_days: Vec<i32>,
        segments: Vec<Segment>,
    ) -> Result<Self, BatchError> {
        Self::proven(columns, session_days, segments, |_| true)
    }

    /// The same for bars that were made from shorter ones, whose volume has no limit.
    ///
    /// # Errors
    /// The first broken invariant, see [`BatchError`].
    pub(super) fn from_derived_parts(
        columns: BarColumns,
        session_days: Vec<i32>,
        segments: Vec<Segment>,
    ) -> Result<Self, BatchError> {
        Self::proven(columns, session_days, segments, |rule| {
            rule != HardRule::Implausible
        })
    }

    fn proven(
        columns: BarColumns,
        session_days: Vec<i32>,
        segments: Vec<Segment>,
        counts: impl Fn(HardRule) -> bool,
    ) -> Result<Self, BatchError> {
        if !columns.has_equal_lengths()
            || session_days.len() != columns.len()
            || segments.len() != columns.len()
        {
            return Err(BatchError::UnequalLengths);
        }
        if is_sound(&columns, &session_days) {
            return Ok(Self {
                columns,
                session_days,
                segments,
            });
        }
        // Something is wrong, or looks so at first sight: what, and where?
        for row in 0..columns.len() {
            let bar = columns.bar(row);
            let before = row
                .checked_sub(1)
                .map(|before| (columns.ts_us[before], session_days[before]));
            let ts_us = bar.ts_us;
            match fault_of(&bar, session_days[row], before, &counts) {
                None => {}
                Some(RowFault::Rule(rule)) => {
                    return Err(BatchError::BrokenRule { row, ts_us, rule });
                }
                Some(RowFault::NotAscending) => {
                    return Err(BatchError::NotAscending { row, ts_us });
                }
                Some(RowFault::SessionNotAscending) => {
                    return Err(BatchError::SessionsNotAscending { row });
                }
            }
        }
        Ok(Self {
            columns,
            session_days,
            segments,
        })
    }

    /// Number of bars.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no bar.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The value columns.
    pub fn columns(&self) -> &BarColumns {
        &self.columns
    }

    /// Session date of each bar, days since 1970-01-01, ascending.
    pub fn session_days(&self) -> &[i32] {
        &self.session_days
    }

    /// Segment of each bar.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The bar in `row`.
    ///
    /// # Panics
    /// When `row` is not below [`len`](Self::len).
    pub fn bar(&self, row: usize) -> Bar {
        self.columns.bar(row)
    }

    /// The rows of one session, as a range of row numbers.
    pub fn session_rows(&self, date: SessionDate) -> std::ops::Range<usize> {
        self.rows_between(date, date)
    }

    /// The rows of the sessions from `first` to `last`, both inside, as a range of row numbers.
    pub fn rows_between(&self, first: SessionDate, last: SessionDate) -> std::ops::Range<usize> {
        let (first, last) = (first.days_since_epoch(), last.days_since_epoch());
        let start = self.session_days.partition_point(|&day| day < first);
        let end = self.session_days.partition_point(|&day| day <= last);
        start..end.max(start)
    }

    /// The distinct session dates, as days since 1970-01-01, ascending, each with its rows.
    pub fn sessions(&self) -> Vec<(i32, std::ops::Range<usize>)> {
        let mut sessions = Vec::new();
        let mut start = 0;
        while start < self.len() {
            let day = self.session_days[start];
            let end = start + self.session_days[start..].partition_point(|&d| d <= day);
            sessions.push((day, start..end));
            start = end;
        }
        sessions
    }

    /// A batch of the rows `rows` alone.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        let mut slice = Self::empty();
        slice.extend_unproven(self, rows);
        slice
    }

    /// Takes the batch apart: value columns, session days, segments.
    pub fn into_parts(self) -> (BarColumns, Vec<i32>, Vec<Segment>) {
        (self.columns, self.session_days, self.segments)
    }

    /// Appends rows of `other`; the caller sees to the order.
    pub(super) fn extend_unproven(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        debug_assert!(
            self.columns
                .ts_us
                .last()
                .is_none_or(|last| rows.is_empty() || *last < other.columns.ts_us[rows.start])
        );
        if self.is_empty() {
            // Usually all rows of `other` come, session by session.
            self.columns.reserve(other.len());
            self.session_days.reserve(other.len());
            self.segments.reserve(other.len());
        }
        self.columns.extend_from(&other.columns, rows.clone());
        self.session_days
            .extend_from_slice(&other.session_days[rows.clone()]);
        self.segments.extend_from_slice(&other.segments[rows]);
    }
}

/// Rows as a file holds them: nothing is proven but that all columns have the same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnprovenBars {
    columns: BarColumns,
    session_days: Vec<i32>,
    segments: Vec<Segment>,
}

/// What keeps a row out of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFault {
    /// It breaks a hard rule.
    Rule(HardRule),
    /// It does not follow its predecessor in time.
    NotAscending,
    /// Its session is before its predecessor's.
    SessionNotAscending,
}

/// A row that cannot be part of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaultyRow {
    /// The row.
    pub bar: Bar,
    /// Its session date as stored, days since 1970-01-01.
    pub session_day: i32,
    /// What is wrong with it.
    pub fault: RowFault,
}

impl UnprovenBars {
    /// Rows of columns; `None` when these differ in length.
    pub fn new(
        columns: BarColumns,
        session_days: Vec<i32>,
        segments: Vec<Segment>,
    ) -> Option<Self> {
        let rows = columns.len();
        let is_whole =
            columns.has_equal_lengths() && session_days.len() == rows && segments.len() == rows;
        is_whole.then_some(Self {
            columns,
            session_days,
            segments,
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The value columns.
    pub fn columns(&self) -> &BarColumns {
        &self.columns
    }

    /// Session date of each row as stored, days since 1970-01-01.
    pub fn session_days(&self) -> &[i32] {
        &self.session_days
    }

    /// Segment of each row as stored.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The rows that make a batch, and those that cannot be part of it.
    pub fn prove(self) -> (BarBatch, Vec<FaultyRow>) {
        if is_sound(&self.columns, &self.session_days) {
            let Self {
                columns,
                session_days,
                segments,
            } = self;
            let batch = BarBatch {
                columns,
                session_days,
                segments,
            };
            return (batch, Vec::new());
        }
        let rule_of = |row: usize| self.columns.bar(row).broken_rule();
        let mut sound: Vec<usize> = (0..self.len())
            .filter(|&row| rule_of(row).is_none())
            .collect();
        let ts_us: Vec<i64> = sound.iter().map(|&row| self.columns.ts_us[row]).collect();
        sound = fewest_left_out(&sound, &ts_us, |before, after| before < after);
        let mut faults = vec![Some(RowFault::NotAscending); self.len()];
        for &row in &sound {
            faults[row] = Some(RowFault::SessionNotAscending);
        }
        let days: Vec<i32> = sound.iter().map(|&row| self.session_days[row]).collect();
        for row in fewest_left_out(&sound, &days, |before, after| before <= after) {
            faults[row] = None;
        }
        let mut batch = BarBatch::empty();
        let mut faulty = Vec::new();
        for (row, fault) in faults.into_iter().enumerate() {
            let (bar, session_day) = (self.columns.bar(row), self.session_days[row]);
            match rule_of(row).map(RowFault::Rule).or(fault) {
                Some(fault) => faulty.push(FaultyRow {
                    bar,
                    session_day,
                    fault,
                }),
                None => {
                    batch.columns.push(bar);
                    batch.session_days.push(session_day);
                    batch.segments.push(self.segments[row]);
                }
            }
        }
        (batch, faulty)
    }
}

/// What keeps a row out of a batch, after the one `before` it: its timestamp and session day. Of the hard rules only those
/// matter that `counts` takes.
fn fault_of(
    bar: &Bar,
    session_day: i32,
    before: Option<(i64, i32)>,
    counts: impl Fn(HardRule) -> bool,
) -> Option<RowFault> {
    if let Some(rule) = bar.broken_rule().filter(|&rule| counts(rule)) {
        return Some(RowFault::Rule(rule));
    }
    let (ts_us_before, day_before) = before?;
    if ts_us_before >= bar.ts_us {
        Some(RowFault::NotAscending)
    } else if day_before > session_day {
        Some(RowFault::SessionNotAscending)
    } else {
        None
    }
}

/// The most of `rows` that can be kept so that each one's key follows the key before: of a row far ahead and those
/// behind it, it is the one that goes. Of equal choices the rows that come first stay.
fn fewest_left_out<K: Copy + Ord>(
    rows: &[usize],
    keys: &[K],
    follows: impl Fn(K, K) -> bool,
) -> Vec<usize> {
    // From the last row to the first. By length, the place where the best chain of that length begins; and of each place
    // the next one of its chain.
    let mut starts: Vec<usize> = Vec::new();
    let mut next: Vec<Option<usize>> = vec![None; rows.len()];
    for (at, &key) in keys.iter().enumerate().rev() {
        let length = starts.partition_point(|&start| follows(key, keys[start]));
        next[at] = length.checked_sub(1).map(|shorter| starts[shorter]);
        match starts.get_mut(length) {
            None => starts.push(at),
            Some(start) if key >= keys[*start] => *start = at,
            Some(_) => {}
        }
    }
    std::iter::successors(starts.last().copied(), |&at| next[at])
        .map(|at| rows[at])
        .collect()
}

/// Whether columns of equal length break no rule, column by column: many times faster than row by row, and for batches
/// that are as they should be the only look.
fn is_sound(columns: &BarColumns, session_days: &[i32]) -> bool {
    let is_price = |price: f64| (price > 0.0) & (price < IMPLAUSIBLE_PRICE);
    let is_volume = |volume: f64| (0.0..IMPLAUSIBLE_VOLUME).contains(&volume);
    let all_prices = |prices: &[f64]| {
        prices
            .iter()
            .fold(true, |sound, &price| sound & is_price(price))
    };
    let pairs_hold = |smaller: &[f64], larger: &[f64]| {
        smaller
            .iter()
            .zip(larger)
            .fold(true, |sound, (smaller, larger)| sound & (smaller <= larger))
    };
    let BarColumns {
        ts_us,
        open,
        high,
        low,
        close,
        volume,
        trade_count,
        vwap,
    } = columns;
    [open, high, low, close]
        .into_iter()
        .all(|prices| all_prices(prices))
        && pairs_hold(low, open)
        && pairs_hold(low, close)
        && pairs_hold(open, high)
        && pairs_hold(close, high)
        && volume
            .iter()
            .fold(true, |sound, &volume| sound & is_volume(volume))
        && trade_count
            .values()
            .iter()
            .fold(true, |sound, &count| sound & (count >= 0))
        && vwap
            .values()
            .iter()
            .fold(true, |sound, vwap| sound & vwap.is_finite())
        && ts_us
            .iter()
            .fold(true, |sound, ts_us| sound & (ts_us % MINUTE_US == 0))
        && ts_us
            .windows(2)
            .fold(true, |sound, pair| sound & (pair[0] < pair[1]))
        && session_days
            .windows(2)
            .fold(true, |sound, pair| sound & (pair[0] <= pair[1]))
}

#[cfg(test)]
mod prove_tests;
#[cfg(test)]
mod tests {
    use super::super::bar::tests::bar_at;
    use super::*;

    /// 2024-07-02 14:00 UTC, ten in the morning in New York.
    const TEN: i64 = 1_719_928_800_000_000;

    fn batch(bars: impl IntoIterator<Item = Bar>) -> Result<BarBatch, BatchError> {
        BarBatch::from_columns(bars.into_iter().collect(), Calendar::nyse())
    }

    #[test]
    fn rows_get_their_session_and_segment() {
        let batch = batch([bar_at(TEN, 1.0), bar_at(TEN + 600 * MINUTE_US, 1.0)]).unwrap();
        let dates: Vec<_> = batch
            .session_days()
            .iter()
            .map(|d| SessionDate::from_days_since_epoch(*d).unwrap().to_string())
            .collect();
        assert_eq!(
            dates,
            ["2024-07-02", "2024-07-03"],
            "20:00 New York belongs to the next session"
        );
        assert_eq!(batch.segments(), [Segment::Regular, Segment::Overnight]);
    }

    #[test]
    fn what_breaks_an_invariant_is_no_batch() {
        assert_eq!(
            batch([bar_at(TEN, 1.0), bar_at(TEN, 1.0)]).unwrap_err(),
            BatchError::NotAscending { row: 1, ts_us: TEN }
        );
        assert!(matches!(
            batch([Bar {
                low: 9.0,
                ..bar_at(TEN, 1.0)
            }])
            .unwrap_err(),
            BatchError::BrokenRule { row: 0, .. }
        ));
        let mut columns: BarColumns = [bar_at(TEN, 1.0)].into_iter().collect();
        columns.open.clear();
        assert_eq!(
            BarBatch::from_columns(columns, Calendar::nyse()).unwrap_err(),
            BatchError::UnequalLengths
        );
        assert!(
            matches!(
                batch([bar_at(0, 1.0)]).unwrap_err(),
                BatchError::Calendar(_)
            ),
            "1970 is beyond the calendar"
        );
    }

    #[test]
    fn sessions_are_found_by_date_and_in_order() {
        let batch = batch([
            bar_at(TEN, 1.0),
            bar_at(TEN + MINUTE_US, 1.0),
            bar_at(TEN + 1440 * MINUTE_US, 1.0),
        ])
        .unwrap();
        let sessions = batch.sessions();
        assert_eq!(
            sessions
                .iter()
                .map(|(_, rows)| rows.clone())
                .collect::<Vec<_>>(),
            [0..2, 2..3]
        );
        let date = SessionDate::from_days_since_epoch(sessions[1].0).unwrap();
        assert_eq!(batch.session_rows(date), 2..3);
        assert_eq!(batch.slice(2..3).len(), 1);
    }
}
