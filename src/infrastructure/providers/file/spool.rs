//! Rows by symbol and month until they are asked for: in memory up to a limit, beyond it in one file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::FileMonth;
use crate::domain::ports::StoreError;
use crate::domain::{Bar, BarColumns, Calendar, Session, SessionDate, SessionMonth, Symbol};
use crate::infrastructure::disk::{self, Access};

/// Rows that wait in memory, in bytes.
pub(super) const MOST_BUFFERED_BYTES: usize = 32 << 20;

/// Bytes of a row: time, four prices, volume, trade count, VWAP, and which of the last two there are.
const ROW_BYTES: usize = 8 * 8 + 1;

/// The rows of all files.
pub(super) struct Spool {
    months: BTreeMap<(Symbol, SessionMonth), Month>,
    buffered_bytes: usize,
    staging: PathBuf,
    file: Option<File>,
    file_bytes: u64,
}

/// The rows of one symbol and month.
#[derive(Default)]
struct Month {
    /// Bit `n` for a row of the month's day `n + 1`.
    days: u32,
    /// The same for a row at or after its session's pre-market open.
    days_traded: u32,
    rows: u32,
    buffer: Vec<u8>,
    /// Offset and length of what lies in the file, in order.
    chunks: Vec<(u64, usize)>,
    source: String,
    first_line: u64,
    last_line: u64,
    has_other_files: bool,
}

/// Where a row comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPlace<'a> {
    pub(super) file: &'a str,
    pub(super) line: u64,
}

impl Spool {
    pub(super) fn new(staging: &Path) -> Self {
        Self {
            months: BTreeMap::new(),
            buffered_bytes: 0,
            staging: staging.to_owned(),
            file: None,
            file_bytes: 0,
        }
    }

    /// Adds a row of `session`; returns how many rows its symbol-month has now.
    pub(super) fn push(
        &mut self,
        symbol: &Symbol,
        session: &Session,
        bar: &Bar,
        place: RowPlace<'_>,
    ) -> Result<u32, StoreError> {
        let date = session.date();
        let key = (symbol.clone(), date.month());
        let month = self.months.entry(key).or_insert_with(|| Month {
            source: place.file.to_owned(),
            first_line: place.line,
            ..Month::default()
        });
        if month.source != place.file {
            month.has_other_files = true;
        }
        month.last_line = place.line;
        let day = 1 << (date.days_since_epoch() - date.month().first_day().days_since_epoch());
        month.days |= day;
        if bar.ts_us >= session.pre_open_us() {
            month.days_traded |= day;
        }
        month.rows = month.rows.saturating_add(1);
        let rows = month.rows;
        put(&mut month.buffer, bar);
        self.buffered_bytes += ROW_BYTES;
        if self.buffered_bytes >= MOST_BUFFERED_BYTES {
            self.spill()?;
        }
        Ok(rows)
    }

    /// What there is, by symbol and month.
    pub(super) fn months(&self) -> Vec<FileMonth> {
        let session_on = |symbol: &Symbol, month: SessionMonth, day: u32| -> Option<Session> {
            let first = month.first_day().days_since_epoch();
            let date = SessionDate::from_days_since_epoch(first + i32::try_from(day).ok()?)?;
            Calendar::of(symbol).session(date).ok().flatten()
        };
        let sessions_on = |symbol: &Symbol, month: SessionMonth, days: u32| -> Vec<Session> {
            let days = (0..31).filter(|day| days & (1 << day) != 0);
            days.filter_map(|day| session_on(symbol, month, day))
                .collect()
        };
        let months = self.months.iter().map(|((symbol, month), rows)| FileMonth {
            symbol: symbol.clone(),
            sessions: sessions_on(symbol, *month, rows.days),
            nights: sessions_on(symbol, *month, rows.days & !rows.days_traded)
                .iter()
                .map(Session::date)
                .collect(),
            rows: rows.rows,
        });
        months.collect()
    }

    /// The rows of a symbol and month in the order they came, their bytes, and where they are from; `None` without any.
    pub(super) fn rows_of(
        &mut self,
        symbol: &Symbol,
        month: SessionMonth,
    ) -> io::Result<Option<(BarColumns, u64, String)>> {
        let Some(found) = self.months.get(&(symbol.clone(), month)) else {
            return Ok(None);
        };
        let rows = usize::try_from(found.rows).unwrap_or(0);
        let mut columns = BarColumns::with_capacity(rows);
        if let Some(file) = &mut self.file {
            let mut bytes = Vec::new();
            for &(offset, length) in &found.chunks {
                bytes.resize(length, 0);
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(&mut bytes)?;
                take(&bytes, &mut columns);
            }
        }
        take(&found.buffer, &mut columns);
        let bytes = u64::from(found.rows) * ROW_BYTES as u64;
        Ok(Some((columns, bytes, found.describe())))
    }

    fn spill(&mut self) -> Result<(), StoreError> {
        let path = self.staging.join(format!("import-{}", std::process::id()));
        let failed = |error| disk::io_failure("write", &path, error);
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                disk::remove_if_present(&path)?;
                let mut options = disk::options_of_own_files(Access::Private);
                let opened = options.read(true).write(true).create_new(true).open(&path);
                let file = opened.map_err(failed)?;
                // Without a name it goes away with this process, however that ends. Elsewhere than on Unix it stays
                // until the spool goes.
                if cfg!(unix) {
                    disk::remove_if_present(&path)?;
                }
                self.file.insert(file)
            }
        };
        for month in self.months.values_mut() {
            if month.buffer.is_empty() {
                continue;
            }
            file.write_all(&month.buffer).map_err(failed)?;
            month.chunks.push((self.file_bytes, month.buffer.len()));
            self.file_bytes += month.buffer.len() as u64;
            month.buffer = Vec::new();
        }
        self.buffered_bytes = 0;
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !cfg!(unix) && self.file.take().is_some() {
            let path = self.staging.join(format!("import-{}", std::process::id()));
            _ = std::fs::remove_file(path);
        }
    }
}

impl Month {
    fn describe(&self) -> String {
        match (self.has_other_files, self.first_line == self.last_line) {
            (false, true) => format!("{}, line {}", self.source, self.first_line),
            (false, false) => format!(
                "{}, lines {} to {}",
                self.source, self.first_line, self.last_line
            ),
            (true, _) => format!("{} and others", self.source),
        }
    }
}

fn put(buffer: &mut Vec<u8>, bar: &Bar) {
    buffer.extend_from_slice(&bar.ts_us.to_le_bytes());
    for value in [bar.open, bar.high, bar.low, bar.close, bar.volume] {
        buffer.extend_from_slice(&value.to_le_bytes());
    }
    buffer.extend_from_slice(&bar.trade_count.unwrap_or_default().to_le_bytes());
    buffer.extend_from_slice(&bar.vwap.unwrap_or_default().to_le_bytes());
    buffer.push(u8::from(bar.trade_count.is_some()) | u8::from(bar.vwap.is_some()) << 1);
}

fn take(bytes: &[u8], columns: &mut BarColumns) {
    for row in bytes.chunks_exact(ROW_BYTES) {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&row[at * 8..at * 8 + 8]);
            word
        };
        let value = |at: usize| f64::from_le_bytes(word(at));
        let flags = row[ROW_BYTES - 1];
        columns.push(Bar {
            ts_us: i64::from_le_bytes(word(0)),
            open: value(1),
            high: value(2),
            low: value(3),
            close: value(4),
            volume: value(5),
            trade_count: (flags & 1 != 0).then(|| i64::from_le_bytes(word(6))),
            vwap: (flags & 2 != 0).then(|| value(7)),
        });
    }
}
