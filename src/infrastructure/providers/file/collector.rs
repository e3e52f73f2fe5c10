//! Takes rows from readers of any format: proves symbol and time, and keeps the rows by session.

use std::collections::HashMap;
use std::path::Path;

use super::spool::{RowPlace, Spool};
use super::time::{TimeRule, shown};
use super::{MOST_ROWS_PER_MONTH, ReadError, ReadOptions, SymbolSource};
use crate::domain::instant::{MINUTE_US, format_utc};
use crate::domain::services::fill::BarLabel;
use crate::domain::{Bar, Calendar, Session, Symbol};

/// Lines that are kept by name; the others are counted.
const NAMED_LINES: usize = 10;

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its file.
    pub file: String,
    /// Its number, from 1; of Parquet the row's.
    pub line: u64,
    /// Why, in words.
    pub reason: String,
}

/// The lines that could not be read, as a whole or in part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many have no symbol, no time or another shape: nothing is known of them.
    pub lines: u64,
    /// How many have a value that is none. Their rows break a rule by that and are kept apart.
    pub unclear: u64,
    /// The first lines.
    pub first: Vec<RefusedLine>,
    /// The first unclear ones.
    pub first_unclear: Vec<RefusedLine>,
}

/// A row as a reader gives it.
pub(super) struct RawRow<'a> {
    /// As it is written; `None` where the file has no such column.
    pub(super) symbol: Option<&'a str>,
    /// The time, in UTC microseconds, or why it cannot be read.
    pub(super) ts_us: Result<i64, String>,
    /// Open, high, low, close, volume; NaN for what is missing or no number.
    pub(super) values: [f64; 5],
    /// What is no number although something is written there, in words: whatever column it is in, it spoils the row.
    pub(super) unclear: Option<String>,
    pub(super) trade_count: Option<i64>,
    pub(super) vwap: Option<f64>,
}

/// What all files come to.
pub(super) struct Collector {
    pub(super) time: TimeRule,
    only: Option<Symbol>,
    label: BarLabel,
    now_us: i64,
    spool: Spool,
    refused: Refused,
    filled_rows: u64,
    /// The symbol of the last row as it was written, and the session that its symbol was in.
    latest: Option<(String, Symbol)>,
    sessions: HashMap<Symbol, Session>,
}

impl Collector {
    pub(super) fn new(options: &ReadOptions, spool: Spool) -> Self {
        Self {
            time: options.time,
            only: match &options.symbol {
                SymbolSource::One(symbol) => Some(symbol.clone()),
                _ => None,
            },
            label: options.label,
            now_us: options.now_us,
            spool,
            refused: Refused::default(),
            filled_rows: 0,
            latest: None,
            sessions: HashMap::new(),
        }
    }

    pub(super) fn into_parts(self) -> (Spool, Refused, u64) {
        (self.spool, self.refused, self.filled_rows)
    }

    /// Notes a line that cannot be read.
    pub(super) fn refuse(&mut self, place: RowPlace<'_>, reason: String) {
        self.refused.lines += 1;
        name_line(&mut self.refused.first, place, reason);
    }

    /// Notes a row that an export filled in.
    pub(super) fn leave_out_filled(&mut self) {
        self.filled_rows += 1;
    }

    /// Keeps a row, or notes why it cannot be read. Whether its values make a bar is judged later.
    ///
    /// # Errors
    /// When a symbol-month has more rows than any can have, or the spool fails.
    pub(super) fn take(
        &mut self,
        path: &Path,
        place: RowPlace<'_>,
        row: RawRow<'_>,
    ) -> Result<(), ReadError> {
        let placed = self
            .symbol_of(row.symbol)
            .and_then(|symbol| Ok((self.session_of(&symbol, row.ts_us)?, symbol)));
        let ((session, ts_us), symbol) = match placed {
            Ok(placed) => placed,
            Err(reason) => {
                self.refuse(place, reason);
                return Ok(());
            }
        };
        let [open, high, low, close, mut volume] = row.values;
        if let Some(reason) = row.unclear {
            self.refused.unclear += 1;
            let reason = format!("{reason}; the row is kept apart");
            name_line(&mut self.refused.first_unclear, place, reason);
            volume = f64::NAN;
        }
        let bar = Bar {
            ts_us,
            open,
            high,
            low,
            close,
            volume,
            trade_count: row.trade_count,
            vwap: row.vwap,
        };
        let rows = self.spool.push(&symbol, &session, &bar, place)?;
        if rows > MOST_ROWS_PER_MONTH {
            let reason = format!(
                "there are more than {MOST_ROWS_PER_MONTH} rows of {symbol} in {}, a month has 44640 minutes",
                session.date().month()
            );
            return Err(ReadError::malformed(path, reason));
        }
        Ok(())
    }

    fn symbol_of(&mut self, written: Option<&str>) -> Result<Symbol, String> {
        let written = match (&self.only, written) {
            (Some(only), _) => return Ok(only.clone()),
            (None, written) => written.unwrap_or_default().trim(),
        };
        if let Some((_, symbol)) = self.latest.as_ref().filter(|(text, _)| text == written) {
            return Ok(symbol.clone());
        }
        let symbol =
            Symbol::spelled(written).map_err(|_| format!("symbol `{}` is none", shown(written)))?;
        self.latest = Some((written.to_owned(), symbol.clone()));
        Ok(symbol)
    }

    /// The session of a time, and the start of its minute.
    fn session_of(
        &mut self,
        symbol: &Symbol,
        ts_us: Result<i64, String>,
    ) -> Result<(Session, i64), String> {
        let named_us = ts_us?;
        let ts_us = match self.label {
            BarLabel::Left => Some(named_us),
            BarLabel::Right => named_us.checked_sub(MINUTE_US),
        };
        let ts_us = ts_us.ok_or_else(|| format!("time {named_us} is out of range"))?;
        if ts_us > self.now_us.saturating_sub(MINUTE_US) {
            return Err(format!("the minute {} is not over", format_utc(ts_us)));
        }
        if let Some(session) = self.sessions.get(symbol)
            && session.window().contains(ts_us)
        {
            return Ok((*session, ts_us));
        }
        let session = Calendar::of(symbol).session_containing(ts_us);
        let session = session.map_err(|error| error.to_string())?;
        self.sessions.insert(symbol.clone(), session);
        Ok((session, ts_us))
    }
}

/// Notes a line with its reason, while there is room.
fn name_line(named: &mut Vec<RefusedLine>, place: RowPlace<'_>, reason: String) {
    if named.len() < NAMED_LINES {
        named.push(RefusedLine {
            file: place.file.to_owned(),
            line: place.line,
            reason,
        });
    }
}
