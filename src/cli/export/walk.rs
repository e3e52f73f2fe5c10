//! The walk of an export: symbol by symbol and file by file through what is kept, one file in memory at a time.

use std::collections::BTreeMap;

use super::super::exit::CliError;
use super::super::session::CliSession;
use crate::app::Stores;
use crate::domain::ports::{
    BarSelection, BarStore as _, DerivedStore as _, PartitionFile, SymbolBarsRepository as _,
};
use crate::domain::services::fill::{LaidOutRow, RowLayout, SessionToFill};
use crate::domain::stop::StopSignal;
use crate::domain::{
    AggregationSpec, Anchor, BarBatch, Calendar, Dataset, InstantRange, PartitionKey, Period,
    Session, SessionDate, Symbol, Timeframe,
};

/// What is wanted of one symbol.
pub(super) struct Span {
    pub(super) symbol: Symbol,
    /// First and last session date, both inside.
    pub(super) first: SessionDate,
    pub(super) last: SessionDate,
    /// Its files, by period.
    files: BTreeMap<Period, PartitionKey>,
}

/// The bars of a file.
struct Loaded {
    bars: BarBatch,
    /// Of how many minutes each was made, for derived ones.
    minutes: Option<Vec<i32>>,
    anchor: Anchor,
}

impl Loaded {
    fn nothing(anchor: Anchor) -> Self {
        Self {
            bars: BarBatch::empty(),
            minutes: None,
            anchor,
        }
    }
}

/// One file's share of the rows.
pub(super) struct Part<'a> {
    pub(super) symbol: &'a Symbol,
    pub(super) bars: &'a BarBatch,
    /// Of how many minutes each bar was made, for derived bars.
    pub(super) minutes: Option<&'a [i32]>,
    pub(super) anchor: Anchor,
    pub(super) rows: &'a [LaidOutRow],
}

/// Sessions that were never asked for in full, by symbol, in ranges of neighbours.
#[derive(Debug, Default)]
pub(super) struct Missing {
    ranges: Vec<MissingRange>,
    /// The session that was looked at last.
    latest: Option<SessionDate>,
    /// How many of them are over.
    past: u64,
}

#[derive(Debug)]
struct MissingRange {
    symbol: Symbol,
    first: SessionDate,
    last: SessionDate,
    sessions: u64,
    is_partly_asked: bool,
}

impl Missing {
    /// The ranges in words.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.ranges.iter().map(|range| {
            let dates = match range.first == range.last {
                true => range.first.to_string(),
                false => format!("{} to {}", range.first, range.last),
            };
            let words = match range.is_partly_asked {
                true => "asked for in part only",
                false => "never asked for",
            };
            format!("{} {dates}: {words}", range.symbol)
        })
    }

    /// How many of them are over: the others may still be asked for in time.
    pub(super) fn past_sessions(&self) -> u64 {
        self.past
    }

    /// How many sessions in all.
    pub(super) fn sessions(&self) -> u64 {
        self.ranges.iter().map(|range| range.sessions).sum()
    }
}

/// The spans of `symbols`, or of every symbol; those of which nothing is kept are left out.
pub(super) fn spans(
    session: &CliSession,
    stores: &Stores,
    dataset: &Dataset,
    symbols: &[Symbol],
    frame: Timeframe,
    (start, end): (Option<SessionDate>, Option<SessionDate>),
) -> Result<Vec<Span>, CliError> {
    let selection = BarSelection {
        dataset: Some(dataset.clone()),
        symbols: symbols.to_vec(),
        timeframe: Some(frame),
        sessions: None,
    };
    let mut spans: BTreeMap<Symbol, Span> = BTreeMap::new();
    let mut widen =
        |symbol: Symbol, first: SessionDate, last: SessionDate, key: Option<PartitionKey>| {
            let span = spans.entry(symbol.clone()).or_insert_with(|| Span {
                symbol,
                first,
                last,
                files: BTreeMap::new(),
            });
            span.first = span.first.min(first);
            span.last = span.last.max(last);
            span.files.extend(key.map(|key| (key.period, key)));
        };
    for file in stores.bars.list_files(&selection)? {
        let PartitionFile {
            key,
            first_session,
            last_session,
            ..
        } = file;
        widen(key.symbol.clone(), first_session, last_session, Some(key));
    }
    for series in stores.ledger.list_series(symbols)? {
        if series.dataset == *dataset {
            widen(series.symbol, series.sessions.0, series.sessions.1, None);
        }
    }
    let now_us = session.app.clock().now_us();
    let mut wanted = Vec::new();
    for mut span in spans.into_values() {
        // What has not been is not missing.
        let newest = Calendar::of(&span.symbol)
            .session_containing(now_us)?
            .date();
        span.first = start.unwrap_or(span.first);
        span.last = end.map_or(span.last, |end| end.min(newest.max(span.last)));
        wanted.push(span);
    }
    Ok(wanted)
}

/// How an export goes through what is kept.
pub(super) struct Walk<'a> {
    pub(super) stores: &'a Stores,
    pub(super) dataset: &'a Dataset,
    pub(super) layout: RowLayout,
    pub(super) stop: &'a StopSignal,
    pub(super) missing: &'a mut Missing,
    /// UTC microseconds.
    pub(super) now_us: i64,
}

impl Walk<'_> {
    /// Hands the rows of `span` to `receive`, one file at a time in order; stops between two files when it is told to.
    ///
    /// # Errors
    /// Those of `receive`; a damaged file by its name.
    pub(super) fn symbol<E: From<CliError>>(
        &mut self,
        span: &Span,
        receive: &mut dyn FnMut(&Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last_close = None;
        let mut next = (span.first <= span.last).then_some(span.first);
        while let Some(first) = next.filter(|_| !self.stop.is_stopped()) {
            let period = Period::of(self.layout.frame, first);
            let period_last = period.dates().map_or(first, |(_, last)| last);
            let last = period_last.min(span.last);
            next = period_last.succ().filter(|date| *date <= span.last);
            let calendar = Calendar::of(&span.symbol);
            let sessions = calendar.sessions(first, last).map_err(CliError::from)?;
            let asked = self.asked_of(&span.symbol, &sessions)?;
            let loaded = match span.files.get(&period) {
                Some(key) => self.load(key, (first, last))?,
                None => Loaded::nothing(self.layout.anchor),
            };
            self.note_missing(&span.symbol, &asked, &loaded.bars);
            let layout = RowLayout {
                anchor: loaded.anchor,
                ..self.layout
            };
            let rows = layout.lay_out(&loaded.bars, &asked, &mut last_close);
            if rows.is_empty() {
                continue;
            }
            receive(&Part {
                symbol: &span.symbol,
                bars: &loaded.bars,
                minutes: loaded.minutes.as_deref(),
                anchor: layout.anchor,
                rows: &rows,
            })?;
        }
        Ok(())
    }

    fn asked_of(
        &self,
        symbol: &Symbol,
        sessions: &[Session],
    ) -> Result<Vec<SessionToFill>, CliError> {
        let (Some(first), Some(last)) = (sessions.first(), sessions.last()) else {
            return Ok(Vec::new());
        };
        let ledger = &self.stores.ledger;
        let records = ledger.list_sessions(self.dataset, symbol, first.date(), last.date())?;
        let to_fill = |session: &Session| {
            let record = records.binary_search_by_key(&session.date(), |record| record.date);
            SessionToFill {
                session: *session,
                asked: record.map_or(InstantRange::default(), |at| records[at].asked),
            }
        };
        Ok(sessions.iter().map(to_fill).collect())
    }

    /// The bars of a file between two dates.
    fn load(
        &self,
        key: &PartitionKey,
        sessions: (SessionDate, SessionDate),
    ) -> Result<Loaded, CliError> {
        let nothing = Loaded::nothing(self.layout.anchor);
        if key.timeframe.is_derived() {
            let Some(kept) = self.stores.bars.load_derived(key)? else {
                return Ok(nothing);
            };
            let rows = kept.bars.bars().rows_between(sessions.0, sessions.1);
            let (bars, minutes) = kept.bars.slice(rows).into_parts();
            return Ok(Loaded {
                bars,
                minutes: Some(minutes),
                anchor: AggregationSpec::anchor_of(&kept.spec),
            });
        }
        let selection = BarSelection {
            dataset: Some(key.dataset.clone()),
            symbols: vec![key.symbol.clone()],
            timeframe: Some(key.timeframe),
            sessions: Some(sessions),
        };
        let loaded = self.stores.bars.load(&selection)?.into_iter().next();
        Ok(Loaded {
            bars: loaded.map_or(nothing.bars, |(_, bars)| bars),
            ..Loaded::nothing(self.layout.anchor)
        })
    }

    fn note_missing(&mut self, symbol: &Symbol, asked: &[SessionToFill], bars: &BarBatch) {
        for to_fill in asked {
            let session = &to_fill.session;
            let regular = InstantRange {
                start_us: session.open_us(),
                end_us: session.close_us(),
            };
            let date = session.date();
            let before = self.missing.latest.replace(date);
            let is_known = to_fill.asked.covers(&regular)
                || (to_fill.asked.is_empty()
                    && self.layout.fill.is_none()
                    && !bars.session_rows(date).is_empty());
            if is_known {
                continue;
            }
            self.missing.past += u64::from(session.post_close_us() <= self.now_us);
            let is_partly_asked = !to_fill.asked.is_empty();
            let neighbour = self.missing.ranges.last_mut().filter(|range| {
                range.symbol == *symbol
                    && range.is_partly_asked == is_partly_asked
                    && before == Some(range.last)
            });
            match neighbour {
                Some(range) => {
                    range.last = date;
                    range.sessions += 1;
                }
                None => self.missing.ranges.push(MissingRange {
                    symbol: symbol.clone(),
                    first: date,
                    last: date,
                    sessions: 1,
                    is_partly_asked,
                }),
            }
        }
    }
}
