//! Files of minute bars as a provider: CSV, Parquet and LEAN's zipped days answer like anybody else who sells bars, so
//! that rules, ledger, quarantine, revisions and commits are those of every ingest.
//!
//! All files are read once, before anything is committed, and sorted into symbol-months; a page is one symbol-month. At
//! most 32 MiB of rows wait in memory; what is more lies in one unlinked file of the staging
//! area, at 65 bytes a row. Rows of any order are welcome: of two rows for one minute the later one counts.
//!
//! What the ledger learns: exactly the sessions of which a file has a row were asked for, and each of them whole; of a
//! session with rows of the night before alone, this night. Nothing is claimed of the sessions in between. Files that share a session belong into one import: a later import
//! that has fewer minutes of a session says that the others did not happen.

mod collector;
mod columns;
mod csv;
mod lean;
mod parquet;
mod spool;
mod time;

use std::future;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use collector::Collector;
use columns::ColumnNames;
use spool::Spool;

use crate::domain::ports::provider::BoxFuture;
use crate::domain::ports::{
    BarsPage, BarsRequest, MarketDataProvider, PageToken, ProviderError, ProviderErrorKind,
    ProviderProfile, StoreError,
};
use crate::domain::services::fill::BarLabel;
use crate::domain::{Calendar, Dataset, Session, SessionDate, SessionMonth, Symbol};

pub use collector::{Refused, RefusedLine};
pub use columns::read_columns;
pub use time::{TimeRule, TimeUnit};

/// Rows that one symbol-month may have: a month has 44,640 minutes.
pub const MOST_ROWS_PER_MONTH: u32 = 500_000;

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Comma-separated values with a header.
    Csv,
    /// Parquet.
    Parquet,
    /// LEAN's zipped days of minutes, or a folder of them.
    Lean,
}

/// Which symbol rows belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SymbolSource {
    /// All to the same.
    One(Symbol),
    /// Each to the one in this column.
    Column(String),
    /// To the one in the column `symbol`, or of LEAN's folder.
    Usual,
}

/// What the files mean.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Where the bars will be kept.
    pub dataset: Dataset,
    /// The format; `None` to go by each file's name.
    pub format: Option<FileFormat>,
    /// Whose bars.
    pub symbol: SymbolSource,
    /// Names of columns that differ from the usual ones, as [`read_columns`] gives them.
    pub columns: Vec<(String, String)>,
    /// What times mean.
    pub time: TimeRule,
    /// Which end of the minute they name.
    pub label: BarLabel,
    /// Now, UTC microseconds: a bar whose minute is not over cannot be.
    pub now_us: i64,
}

/// Why a file cannot be imported. Nothing of any file is, then.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system cannot read it.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The rows could not be kept until they are committed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReadError {
    fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Unreadable { path, source }
    }
}

/// The sessions of one symbol-month of which there are rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMonth {
    /// The symbol.
    pub symbol: Symbol,
    /// The sessions, ascending.
    pub sessions: Vec<Session>,
    /// Those among them that have no row at or after their pre-market open, but of the night before.
    pub nights: Vec<SessionDate>,
    /// Rows, as they were read.
    pub rows: u32,
}

/// Files that were read.
pub struct FileProvider {
    profile: ProviderProfile,
    spool: Mutex<Spool>,
    months: Vec<FileMonth>,
    refused: Refused,
    filled_rows: u64,
}

impl FileProvider {
    /// Reads `files`; rows that find no room in memory wait in the folder `staging`.
    ///
    /// # Errors
    /// [`ReadError`] names the first file that is not what it should be; a line that cannot be read is no error but
    /// among [`refused`](Self::refused).
    pub fn read(
        options: &ReadOptions,
        files: &[PathBuf],
        staging: &Path,
    ) -> Result<Self, ReadError> {
        let names = ColumnNames::of(options);
        let mut collector = Collector::new(options, Spool::new(staging));
        for path in files {
            match options.format.map_or_else(|| format_of(path), Ok)? {
                FileFormat::Csv => csv::read(path, &names, &mut collector)?,
                FileFormat::Parquet => parquet::read(path, &names, &mut collector)?,
                FileFormat::Lean => lean::read(path, options, &mut collector)?,
            }
        }
        let (spool, refused, filled_rows) = collector.into_parts();
        Ok(Self {
            profile: ProviderProfile {
                name: "import".to_owned(),
                dataset: options.dataset.clone(),
                is_real: true,
                max_symbols_per_request: 1,
                rows_per_page: usize::try_from(MOST_ROWS_PER_MONTH).unwrap_or(usize::MAX),
                hold_back_us: 0,
                requests_per_minute: None,
            },
            months: spool.months(),
            spool: Mutex::new(spool),
            refused,
            filled_rows,
        })
    }

    /// Reads CSV that lies in no file: how many rows were kept, left out as filled, and refused.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[cfg(any(test, fuzzing))]
    pub(crate) fn count_csv(options: &ReadOptions, bytes: &[u8]) -> Result<[u64; 3], ReadError> {
        let names = ColumnNames::of(options);
        let mut collector = Collector::new(options, Spool::new(Path::new("")));
        csv::read_lines(Path::new("x.csv"), bytes, &names, &mut collector)?;
        let (spool, refused, filled) = collector.into_parts();
        let months = spool.months();
        let kept = months.iter().map(|month| u64::from(month.rows)).sum();
        Ok([kept, filled, refused.lines])
    }

    /// What there is, by symbol and month.
    pub fn months(&self) -> &[FileMonth] {
        &self.months
    }

    /// Lines that could not be read.
    pub fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Rows that an export had filled in, which are no bars and were left out.
    pub fn filled_rows(&self) -> u64 {
        self.filled_rows
    }

    fn page(&self, request: &BarsRequest) -> Result<BarsPage, ProviderError> {
        let mut page = BarsPage {
            bars: Vec::new(),
            strays: Vec::new(),
            next: None,
            wire_bytes: 0,
            requests: 1,
            source: String::new(),
            answered_at_us: None,
        };
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        for symbol in &request.symbols {
            for month in months_of(symbol, request)? {
                let Some((columns, bytes, source)) = spool
                    .rows_of(symbol, month)
                    .map_err(|error| bad_request(error.to_string()).caused_by(error))?
                else {
                    continue;
                };
                page.wire_bytes += bytes;
                page.source = source;
                page.bars.push((symbol.clone(), columns));
            }
        }
        Ok(page)
    }
}

/// The months of sessions that a request touches.
fn months_of(symbol: &Symbol, request: &BarsRequest) -> Result<Vec<SessionMonth>, ProviderError> {
    let month_at = |instant_us: i64| {
        let session = Calendar::of(symbol).session_containing(instant_us);
        session
            .map(|session| session.date().month())
            .map_err(|error| bad_request(error.to_string()).caused_by(error))
    };
    let (first, last) = (
        month_at(request.range.start_us)?,
        month_at(request.range.end_us - 1)?,
    );
    let following = std::iter::successors(Some(first), |month| month.next());
    Ok(following.take_while(|month| *month <= last).collect())
}

fn bad_request(context: String) -> ProviderError {
    ProviderError::new(ProviderErrorKind::BadRequest, context)
}

/// The format that a path's name tells.
fn format_of(path: &Path) -> Result<FileFormat, ReadError> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("csv" | "txt") => Ok(FileFormat::Csv),
        Some("parquet" | "pq") => Ok(FileFormat::Parquet),
        Some("zip") => Ok(FileFormat::Lean),
        _ if path == Path::new("-") => Ok(FileFormat::Csv),
        _ if path.is_dir() => Ok(FileFormat::Lean),
        _ => Err(ReadError::malformed(
            path,
            "its name tells no format; name one with --from csv, parquet or lean",
        )),
    }
}

impl MarketDataProvider for FileProvider {
    fn profile(&self) -> &ProviderProfile {
        &self.profile
    }

    fn fetch_page<'a>(
        &'a self,
        request: &'a BarsRequest,
        _token: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<BarsPage, ProviderError>> {
        Box::pin(future::ready(self.page(request)))
    }
}

#[cfg(test)]
mod tests;
