//! The rules over one series' minutes, a batch at a time, column by column. Pure: reads no store and no clock.
//!
//! Batches come in the order of time; what the next one needs of those before lies in a [`SeriesHistory`]. What is
//! usual is measured by medians of the series itself, so that no percentage fits one symbol and fails the next.

mod order;
mod price;
mod robust;
mod split;
mod time;
mod volume;
mod vwap;

use std::collections::VecDeque;
use std::ops::Range;

use crate::domain::bar_batch::{FaultyRow, UnprovenBars};
use crate::domain::finding::{Collector, Evidence};
use crate::domain::instant::format_utc;
use crate::domain::{Bar, BarBatch, Calendar, Session, SessionDate, Symbol};

/// Sessions that tell what is usual for the next one.
const REMEMBERED_SESSIONS: usize = 120;

/// From which size on something is worth a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    /// A move within a session, in robust units of this symbol's one-minute moves.
    pub jump_units: f64,
    /// The least move that counts, as a share of the price.
    pub jump_share: f64,
    /// Bars within which a price that comes back makes a spike of a jump.
    pub spike_bars: usize,
    /// A move from one session to the next, in robust units of such moves.
    pub gap_units: f64,
    /// The least move from one session to the next that counts, as a share of the price.
    pub gap_share: f64,
    /// How far from a ratio of small whole numbers a split may be, as a share.
    pub split_tolerance: f64,
    /// Equal bars in a row.
    pub stale_bars: usize,
    /// A minute's volume, in robust units above the month's median.
    pub volume_units: f64,
    /// The least multiple of the month's median that counts.
    pub volume_factor: f64,
    /// A session's volume, as a multiple or fraction of the usual.
    pub session_volume_factor: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            jump_units: 50.0,
            jump_share: 0.01,
            spike_bars: 3,
            gap_units: 10.0,
            gap_share: 0.2,
            split_tolerance: 0.03,
            stale_bars: 30,
            volume_units: 200.0,
            volume_factor: 50.0,
            session_volume_factor: 20.0,
        }
    }
}

/// What the rules remember of a series from batch to batch.
#[derive(Debug, Clone, Default)]
pub struct SeriesHistory {
    /// The last regular close and its session.
    last_close: Option<(SessionDate, f64)>,
    /// Moves from one session's close to the next one's open, as shares, without sign.
    gaps: VecDeque<f64>,
    /// Volume an expected regular minute of sessions before.
    session_volumes: VecDeque<f64>,
    /// The robust unit of one-minute moves of the batch before.
    move_unit: Option<f64>,
    /// Rows so far.
    rows: u64,
    /// Those among them with a fraction of a share.
    fractional_rows: u64,
}

/// Adds to a list that forgets its oldest entries.
fn remember(list: &mut VecDeque<f64>, value: f64) {
    if list.len() == REMEMBERED_SESSIONS {
        list.pop_front();
    }
    list.push_back(value);
}

/// One session's regular rows.
struct RegularRows<'a> {
    session: &'a Session,
    rows: Range<usize>,
}

/// Runs the rules over minutes and returns findings.
#[derive(Debug, Clone)]
pub struct MarketDataValidationService {
    thresholds: Thresholds,
    now_us: i64,
}

impl MarketDataValidationService {
    /// The rules with these thresholds. Sessions that are not over at `now_us` (UTC microseconds) have no volume yet that
    /// could be compared.
    pub fn new(thresholds: Thresholds, now_us: i64) -> Self {
        Self { thresholds, now_us }
    }

    /// Checks the minutes `rows` of `symbol`, which follow in time what `history` has seen. Returns those that make a
    /// batch, and those that cannot be part of one: what is wrong with a row costs no other.
    ///
    /// Rows of sessions that `findings` does not want still count as history.
    pub fn check_minutes(
        &self,
        symbol: &Symbol,
        rows: UnprovenBars,
        history: &mut SeriesHistory,
        findings: &mut Collector<'_>,
    ) -> (BarBatch, Vec<FaultyRow>) {
        let calendar = Calendar::of(symbol);
        let (batch, faulty) = rows.prove();
        for row in &faulty {
            order::note_fault(row, findings);
        }
        let sessions = sessions_of(&batch, calendar);
        time::check(&batch, calendar, &sessions, findings);
        let regular: Vec<RegularRows<'_>> = sessions
            .iter()
            .filter_map(|(session, rows)| {
                let session = session.as_ref()?;
                let rows = rows_between(&batch, rows, session.open_us(), session.close_us());
                (!rows.is_empty()).then_some(RegularRows { session, rows })
            })
            .collect();
        price::check(&self.thresholds, &batch, &regular, history, findings);
        let splits = split::check(&self.thresholds, &batch, &regular, history, findings);
        vwap::check(&batch, findings);
        volume::check_fractions(&batch, history, findings);
        // Markets that never close have finer quotes, pegged prices, and bars that are made of quotes alone.
        if calendar != Calendar::always_open() {
            price::check_traded(&self.thresholds, &batch, &regular, findings);
            volume::check_zero(&batch, findings);
        }
        for session in &regular {
            // Shares before and after a split are not the same.
            if splits.contains(&session.session.date()) {
                history.session_volumes.clear();
            }
            if session.session.close_us() <= self.now_us {
                volume::check_session(&self.thresholds, &batch, session, history, findings);
            }
        }
        volume::check_spikes(&self.thresholds, &batch, &regular, findings);
        (batch, faulty)
    }
}

/// The sessions that the rows name, each with its rows; `None` for a date that is none.
fn sessions_of(batch: &BarBatch, calendar: Calendar) -> Vec<(Option<Session>, Range<usize>)> {
    let session_of = |day| {
        let date = SessionDate::from_days_since_epoch(day)?;
        calendar.session(date).ok().flatten()
    };
    let sessions = batch.sessions().into_iter();
    sessions
        .map(|(day, rows)| (session_of(day), rows))
        .collect()
}

/// Those of `rows` that lie in `[start_us, end_us)`.
fn rows_between(batch: &BarBatch, rows: &Range<usize>, start_us: i64, end_us: i64) -> Range<usize> {
    let ts_us = &batch.columns().ts_us[rows.clone()];
    let start = rows.start + ts_us.partition_point(|&ts| ts < start_us);
    let end = rows.start + ts_us.partition_point(|&ts| ts < end_us);
    start..end.max(start)
}

/// The session date of a row, as stored.
fn date_of(batch: &BarBatch, row: usize) -> Option<SessionDate> {
    SessionDate::from_days_since_epoch(batch.session_days()[row])
}

/// A finding about one bar.
fn about_bar(
    session: Option<SessionDate>,
    bar: Bar,
    value: impl ToString,
    expected: impl ToString,
    what: &str,
) -> Evidence {
    Evidence {
        session,
        ts_us: Some(bar.ts_us),
        value: value.to_string(),
        expected: expected.to_string(),
        message: format!("the bar at {} {what}", format_utc(bar.ts_us)),
        bar: Some(bar),
    }
}

/// A finding about the row `row` of `batch`.
fn about_row(
    batch: &BarBatch,
    row: usize,
    value: impl ToString,
    expected: impl ToString,
    what: &str,
) -> Evidence {
    about_bar(date_of(batch, row), batch.bar(row), value, expected, what)
}

/// The nearest whole number, of numbers below 2^51. Unlike `f64::round` it is computed for several at once.
fn nearest_whole(number: f64) -> f64 {
    const ROUNDING: f64 = 6_755_399_441_055_744.0;
    (number + ROUNDING) - ROUNDING
}

/// A share as a percentage in words.
fn percent(share: f64) -> String {
    let digits = if share.abs() < 0.1 { 2 } else { 1 };
    format!("{:+.digits$} %", share * 100.0)
}

/// A row that is no part of a batch, in the words of a finding about it.
fn stored_date(row: &FaultyRow) -> Option<SessionDate> {
    SessionDate::from_days_since_epoch(row.session_day)
}

#[cfg(test)]
mod tests;
