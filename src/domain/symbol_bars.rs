//! The aggregate root: one symbol, one session. Judges every bar that arrives and keeps the session's record.
//! Knows no store and no provider.

use std::ops::Range;

use thiserror::Error;

use super::bar::{Bar, HardRule};
use super::bar_batch::BarBatch;
use super::bar_columns::BarColumns;
use super::instant::{InstantRange, format_utc};
use super::minute_set::MinuteSet;
use super::services::ohlcv_calculation::{DailySummary, OhlcvCalculationService};
use super::session::{Session, SessionDate};
use super::symbol::Symbol;

/// What became of one bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Stored.
    Kept,
    /// The same bar came before; nothing changed.
    Repeated,
    /// Another bar of the same minute came before; this one took its place.
    Replaced,
    /// Breaks a hard rule; kept apart.
    Quarantined(HardRule),
}

/// A bar that never belonged to this aggregate: a mistake of the caller, not of the provider.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForeignBar {
    /// Another symbol's bar.
    #[error("bar of {got} offered to the session of {expected}")]
    Symbol {
        /// The aggregate's symbol.
        expected: Symbol,
        /// The bar's symbol.
        got: Symbol,
    },
    /// A bar of another session.
    #[error("bar at {} offered to session {session}", format_utc(*.ts_us))]
    Session {
        /// The aggregate's session.
        session: SessionDate,
        /// The bar's timestamp, UTC microseconds.
        ts_us: i64,
    },
}

/// One symbol's bars of one session while they arrive.
///
/// [`close`](Self::close) consumes it, so that nothing can be added afterwards.
#[derive(Debug)]
pub struct SymbolBarsAggregate {
    symbol: Symbol,
    session: Session,
    asked: InstantRange,
    kept: BarColumns,
    latest_ts_us: Option<i64>,
    quarantined: Vec<(Bar, HardRule)>,
    repeated_rows: usize,
    replaced_rows: usize,
}

/// A session that takes no more bars.
#[derive(Debug)]
pub struct ClosedSession {
    /// The session.
    pub session: Session,
    /// The instants that the provider was asked for.
    pub asked: InstantRange,
    /// Sound bars, ascending, one a minute.
    pub kept: BarColumns,
    /// Bars that break a hard rule, in order of arrival.
    pub quarantined: Vec<(Bar, HardRule)>,
    /// Bars that came twice with the same values.
    pub repeated_rows: usize,
    /// Bars that came twice with other values; the last one counts.
    pub replaced_rows: usize,
}

impl SymbolBarsAggregate {
    /// Opens `session` of `symbol` for the bars of `asked`, which lies within the session's window.
    pub fn open(symbol: Symbol, session: Session, asked: InstantRange) -> Self {
        Self {
            symbol,
            session,
            asked,
            kept: BarColumns::default(),
            latest_ts_us: None,
            quarantined: Vec::new(),
            repeated_rows: 0,
            replaced_rows: 0,
        }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Judges one bar: keeps it, recognises it as a repetition, or puts it into quarantine.
    ///
    /// # Errors
    /// [`ForeignBar`] when the bar is another symbol's or another session's.
    pub fn accept(&mut self, symbol: &Symbol, bar: Bar) -> Result<Verdict, ForeignBar> {
        if *symbol != self.symbol {
            return Err(ForeignBar::Symbol {
                expected: self.symbol.clone(),
                got: symbol.clone(),
            });
        }
        if bar.ts_us < self.session.window_start_us() || bar.ts_us >= self.session.window_end_us() {
            return Err(ForeignBar::Session {
                session: self.session.date(),
                ts_us: bar.ts_us,
            });
        }
        let outside = (!self.asked.contains(bar.ts_us)).then_some(HardRule::OutsideWindow);
        if let Some(rule) = bar.broken_rule().or(outside) {
            self.quarantined.push((bar, rule));
            return Ok(Verdict::Quarantined(rule));
        }
        if self.latest_ts_us.is_none_or(|latest| latest < bar.ts_us) {
            self.latest_ts_us = Some(bar.ts_us);
            self.kept.push(bar);
            return Ok(Verdict::Kept);
        }
        Ok(self.accept_late(bar))
    }

    /// Judges the rows `rows` of `columns` one after the other, each as [`accept`](Self::accept) does.
    ///
    /// # Errors
    /// [`ForeignBar`] as [`accept`](Self::accept).
    pub fn accept_rows(
        &mut self,
        symbol: &Symbol,
        columns: &BarColumns,
        rows: Range<usize>,
    ) -> Result<(), ForeignBar> {
        // Nearly always all of them are sound and in order: then they are kept in one go.
        if *symbol == self.symbol && self.would_keep_all(columns, rows.clone()) {
            self.latest_ts_us = columns.ts_us[rows.clone()]
                .last()
                .copied()
                .or(self.latest_ts_us);
            self.kept.extend_from(columns, rows);
            return Ok(());
        }
        for row in rows {
            self.accept(symbol, columns.bar(row))?;
        }
        Ok(())
    }

    /// Whether every one of these rows would be kept, none of them late.
    fn would_keep_all(&self, columns: &BarColumns, mut rows: Range<usize>) -> bool {
        let mut latest = self.latest_ts_us;
        rows.all(|row| {
            let bar = columns.bar(row);
            let follows = latest.is_none_or(|latest| latest < bar.ts_us);
            latest = Some(bar.ts_us);
            follows && self.asked.contains(bar.ts_us) && bar.broken_rule().is_none()
        })
    }

    /// A bar that does not follow the latest one: a repetition, a replacement, or simply out of order.
    fn accept_late(&mut self, bar: Bar) -> Verdict {
        // Out of order is rare, so a scan from the end is enough; `kept` is sorted again on closing.
        match self.kept.ts_us.iter().rposition(|&ts| ts == bar.ts_us) {
            Some(row) if self.kept.bar(row).same_values(&bar) => {
                self.repeated_rows += 1;
                Verdict::Repeated
            }
            Some(row) => {
                self.kept.set(row, bar);
                self.replaced_rows += 1;
                Verdict::Replaced
            }
            None => {
                self.kept.push(bar);
                Verdict::Kept
            }
        }
    }

    /// Ends the session; nothing can be added afterwards.
    pub fn close(self) -> ClosedSession {
        // A sound bar of the same minute, in whatever order it came, stands for a bad one.
        let kept = self.kept.sorted_by_time();
        ClosedSession {
            session: self.session,
            asked: self.asked,
            kept,
            quarantined: self.quarantined,
            repeated_rows: self.repeated_rows,
            replaced_rows: self.replaced_rows,
        }
    }
}

impl ClosedSession {
    /// Minutes whose only row broke a rule, ascending, UTC microseconds: what is stored there already stays.
    pub fn quarantined_ts_us(&self) -> Vec<i64> {
        let mut minutes: Vec<i64> = self
            .quarantined
            .iter()
            .map(|(bar, _)| bar.ts_us)
            .filter(|ts| self.asked.contains(*ts) && self.kept.ts_us.binary_search(ts).is_err())
            .collect();
        minutes.sort_unstable();
        minutes.dedup();
        minutes
    }
}

/// What is known of one symbol's session: the completeness ledger's entry.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// Session date.
    pub date: SessionDate,
    /// The instants the provider was asked for, one range; empty when never.
    pub asked: InstantRange,
    /// When it was last asked, UTC microseconds.
    pub asked_at_us: i64,
    /// Whether the answer is final: the whole session was asked for after the next one began.
    pub is_settled: bool,
    /// Which minutes of the session's frame have a bar.
    pub present: MinuteSet,
    /// Bars outside the frame: weekend and holiday hours before the session.
    pub off_frame_rows: u32,
    /// Minutes whose only row is in quarantine.
    pub quarantined: MinuteSet,
    /// Open, high, low, close, volume of the regular session and the number of bars.
    pub summary: DailySummary,
}

impl SessionRecord {
    /// The record of `session` as `stored`, the partition's rows, holds it.
    pub fn of_stored_rows(
        session: &Session,
        stored: &BarBatch,
        asked: Asked,
        quarantined_ts_us: &[i64],
    ) -> Self {
        let mut present = MinuteSet::empty();
        let mut off_frame_rows = 0;
        for &ts_us in &stored.columns().ts_us[stored.session_rows(session.date())] {
            match session.minute_index(ts_us) {
                Some(minute) => _ = present.insert(minute),
                None => off_frame_rows += 1,
            }
        }
        let mut quarantined = MinuteSet::empty();
        for minute in quarantined_ts_us
            .iter()
            .filter_map(|&ts_us| session.minute_index(ts_us))
        {
            if !present.contains(minute) {
                quarantined.insert(minute);
            }
        }
        Self {
            date: session.date(),
            asked: asked.range,
            asked_at_us: asked.at_us,
            is_settled: asked.is_settled,
            present,
            off_frame_rows,
            quarantined,
            summary: OhlcvCalculationService.daily_summary(stored, session.date()),
        }
    }

    /// The same record of a session that must be asked for again: what is known of the questions is forgotten.
    #[must_use]
    pub fn unasked(self) -> Self {
        let nothing = InstantRange {
            start_us: 0,
            end_us: 0,
        };
        Self {
            asked: nothing,
            asked_at_us: 0,
            is_settled: false,
            ..self
        }
    }

    /// Number of stored bars of the session.
    pub fn rows(&self) -> u32 {
        self.present.len() + self.off_frame_rows
    }
}

/// What the provider was asked of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The instants asked for, one range.
    pub range: InstantRange,
    /// When it was asked last, UTC microseconds.
    pub at_us: i64,
    /// Whether the answer is final.
    pub is_settled: bool,
}

impl Asked {
    /// Adds a new question to what was asked before.
    ///
    /// The range is kept as one, and its age is that of its oldest part. A question that does not touch what was
    /// asked before adds nothing to the record (the planner bridges such gaps; two processes that plan at the
    /// same time cannot): what lies between is asked for later. Once the whole session was asked for after the
    /// next one began, it is settled and stays so.
    pub fn again(
        before: Option<&SessionRecord>,
        session: &Session,
        range: InstantRange,
        at_us: i64,
        next_pre_open_us: i64,
    ) -> Self {
        let window = session.window();
        let was_settled = before.is_some_and(|record| record.is_settled);
        let (range, at_us) = match before
            .filter(|record| !record.asked.is_empty() && !range.covers(&record.asked))
        {
            None => (range, at_us),
            Some(record)
                if range.start_us > record.asked.end_us || range.end_us < record.asked.start_us =>
            {
                (record.asked, record.asked_at_us)
            }
            Some(record) => (
                InstantRange {
                    start_us: record.asked.start_us.min(range.start_us),
                    end_us: record.asked.end_us.max(range.end_us),
                },
                record.asked_at_us.min(at_us),
            ),
        };
        Self {
            range,
            at_us,
            is_settled: was_settled || (range.covers(&window) && at_us >= next_pre_open_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bar::tests::bar_at;
    use super::super::calendar::Calendar;
    use super::super::instant::MINUTE_US;
    use super::*;

    fn session() -> Session {
        Calendar::nyse()
            .session("2024-07-02".parse().unwrap())
            .unwrap()
            .unwrap()
    }

    fn aggregate() -> (SymbolBarsAggregate, Symbol, i64) {
        let session = session();
        let symbol: Symbol = "AAPL".parse().unwrap();
        let open = session.open_us();
        let asked = session.window();
        (
            SymbolBarsAggregate::open(symbol.clone(), session, asked),
            symbol,
            open,
        )
    }

    #[test]
    fn repeated_replaced_and_unordered_bars_end_as_one_row_a_minute() {
        let (mut bars, symbol, open) = aggregate();
        let minute = |n: i64| open + n * MINUTE_US;
        assert_eq!(
            bars.accept(&symbol, bar_at(minute(1), 1.0)),
            Ok(Verdict::Kept)
        );
        assert_eq!(
            bars.accept(&symbol, bar_at(minute(1), 1.0)),
            Ok(Verdict::Repeated)
        );
        assert_eq!(
            bars.accept(&symbol, bar_at(minute(0), 1.0)),
            Ok(Verdict::Kept)
        );
        assert_eq!(
            bars.accept(&symbol, bar_at(minute(1), 2.0)),
            Ok(Verdict::Replaced)
        );
        let closed = bars.close();
        assert_eq!(closed.kept.ts_us, [minute(0), minute(1)]);
        assert_eq!(closed.kept.bar(1), bar_at(minute(1), 2.0));
        assert_eq!((closed.repeated_rows, closed.replaced_rows), (1, 1));
    }

    proptest! {
        #[test]
        fn rows_in_one_go_end_like_rows_one_by_one(
            rows in proptest::collection::vec((0_i64..12, 1_u8..3, proptest::bool::weighted(0.1)), 0..12),
            is_sorted in proptest::bool::ANY,
            split in 0_usize..12,
        ) {
            let (_, symbol, open) = aggregate();
            // Asked for ten of twelve minutes only.
            let asked = InstantRange { start_us: open, end_us: open + 10 * MINUTE_US };
            let mut columns: BarColumns = rows
                .iter()
                .map(|&(n, price, is_bad)| Bar {
                    low: if is_bad { 50.0 } else { 0.5 },
                    ..bar_at(open + n * MINUTE_US, f64::from(price))
                })
                .collect();
            if is_sorted {
                columns = columns.sorted_by_time();
            }
            let split = split.min(columns.len());
            let mut by_row = SymbolBarsAggregate::open(symbol.clone(), session(), asked);
            for row in 0..columns.len() {
                by_row.accept(&symbol, columns.bar(row)).unwrap();
            }
            let mut in_one_go = SymbolBarsAggregate::open(symbol.clone(), session(), asked);
            in_one_go.accept_rows(&symbol, &columns, 0..split).unwrap();
            in_one_go.accept_rows(&symbol, &columns, split..columns.len()).unwrap();
            prop_assert_eq!(format!("{:?}", in_one_go.close()), format!("{:?}", by_row.close()));
        }
    }

    #[test]
    fn a_bad_bar_never_costs_its_neighbours() {
        let (mut bars, symbol, open) = aggregate();
        let bad = Bar {
            low: 50.0,
            ..bar_at(open + MINUTE_US, 1.0)
        };
        bars.accept(&symbol, bar_at(open, 1.0)).unwrap();
        assert_eq!(
            bars.accept(&symbol, bad),
            Ok(Verdict::Quarantined(HardRule::LowAboveBody))
        );
        bars.accept(&symbol, bar_at(open + 2 * MINUTE_US, 1.0))
            .unwrap();
        let closed = bars.close();
        assert_eq!(closed.kept.len(), 2);
        assert_eq!(closed.quarantined_ts_us(), [bad.ts_us]);
    }

    #[test]
    fn a_sound_bar_of_the_same_minute_releases_the_bad_one() {
        let (mut bars, symbol, open) = aggregate();
        bars.accept(
            &symbol,
            Bar {
                low: 50.0,
                ..bar_at(open, 1.0)
            },
        )
        .unwrap();
        bars.accept(&symbol, bar_at(open, 1.0)).unwrap();
        assert_eq!(bars.close().quarantined_ts_us(), [] as [i64; 0]);
    }

    #[test]
    fn foreign_symbols_and_sessions_are_refused() {
        let (mut bars, symbol, open) = aggregate();
        assert!(matches!(
            bars.accept(&"MSFT".parse().unwrap(), bar_at(open, 1.0)),
            Err(ForeignBar::Symbol { .. })
        ));
        assert!(matches!(
            bars.accept(&symbol, bar_at(open + 1440 * MINUTE_US, 1.0)),
            Err(ForeignBar::Session { .. })
        ));
    }

    #[test]
    fn bars_outside_the_question_are_kept_apart() {
        let session = session();
        let symbol: Symbol = "AAPL".parse().unwrap();
        let asked = InstantRange {
            start_us: session.open_us(),
            end_us: session.open_us() + 10 * MINUTE_US,
        };
        let mut bars = SymbolBarsAggregate::open(symbol.clone(), session, asked);
        let verdict = bars.accept(&symbol, bar_at(session.open_us() + 10 * MINUTE_US, 1.0));
        assert_eq!(verdict, Ok(Verdict::Quarantined(HardRule::OutsideWindow)));
    }

    #[test]
    fn questions_that_do_not_touch_never_claim_what_lies_between() {
        let session = session();
        let window = session.window();
        let after = session.window_end_us() + 1440 * MINUTE_US;
        let morning = InstantRange {
            end_us: session.open_us(),
            ..window
        };
        let evening = InstantRange {
            start_us: session.close_us(),
            ..window
        };
        let first = Asked::again(None, &session, morning, after, after);
        let record = SessionRecord::of_stored_rows(&session, &BarBatch::empty(), first, &[]);
        let second = Asked::again(Some(&record), &session, evening, after, after);
        assert_eq!((second.range, second.is_settled), (morning, false));
        let rest = InstantRange {
            start_us: morning.end_us,
            ..window
        };
        assert!(Asked::again(Some(&record), &session, rest, after, after).is_settled);
        assert!(record.unasked().asked.is_empty());
    }

    #[test]
    fn a_session_settles_only_by_a_whole_question_after_the_next_one_began() {
        let session = session();
        let next = session.pre_open_us() + 1440 * MINUTE_US;
        let asked = session.window();
        assert!(!Asked::again(None, &session, asked, next - 1, next).is_settled);
        assert!(Asked::again(None, &session, asked, next, next).is_settled);
        let part = InstantRange {
            start_us: session.open_us(),
            ..asked
        };
        assert!(!Asked::again(None, &session, part, next, next).is_settled);
    }
}
