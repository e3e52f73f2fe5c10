//! What an ingest did, as data: for the summary, the exit code and the job table. Prints nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::job::{JobCounts, JobId, JobState};
use crate::domain::merge::ShrinkRefusal;
use crate::domain::ports::{ProviderErrorKind, QuarantinedRow, StoreErrorKind};
use crate::domain::{Dataset, Symbol};

use super::plan::FetchUnit;

/// Why a symbol is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureCause {
    /// The provider failed.
    Provider(ProviderErrorKind),
    /// The store failed.
    Store(StoreErrorKind),
    /// An answer was refused because far fewer rows came than are stored.
    Shrunk,
    /// A mistake in this program.
    Internal,
}

impl FailureCause {
    /// The stable name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Provider(kind) => kind.as_str(),
            Self::Store(_) => "storage",
            Self::Shrunk => "shrunk",
            Self::Internal => "internal",
        }
    }
}

/// A symbol that could not be ingested in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolFailure {
    /// The symbol.
    pub symbol: Symbol,
    /// What of it, in words: dates.
    pub part: String,
    /// What kind of failure.
    pub cause: FailureCause,
    /// Why, in one line.
    pub reason: String,
}

/// The result of an ingest.
#[derive(Debug, Clone)]
pub struct IngestReport {
    /// The job; `None` when nothing had to be fetched.
    pub job: Option<JobId>,
    /// How it ended.
    pub state: JobState,
    /// The dataset.
    pub dataset: Dataset,
    /// Whether the bars are real market data.
    pub is_real: bool,
    /// Symbols asked for.
    pub symbols: usize,
    /// Settled sessions that were left out, over all symbols.
    pub sessions_settled: u64,
    /// Sessions in the requested range that have begun, over all symbols.
    pub sessions_begun: u64,
    /// Sessions that were to be fetched, over all symbols.
    pub sessions_to_fetch: u64,
    /// What it did.
    pub counts: JobCounts,
    /// Symbols that are not complete.
    pub failures: Vec<SymbolFailure>,
    /// The first rows that were kept apart.
    pub quarantined: Vec<QuarantinedRow>,
    /// Rows in whose place a later one for the same minute came, with other values.
    pub overruled_rows: u64,
    /// Sessions that kept their stored rows.
    pub shrunk: Vec<(Symbol, ShrinkRefusal)>,
    /// Symbols without a single bar in the requested range.
    pub no_data: Vec<Symbol>,
    /// What was not asked for because the run was ended.
    pub not_done: NotDone,
    /// The provider's failure that ended the run early.
    pub ended_by: Option<(ProviderErrorKind, String)>,
    /// Wall time.
    pub elapsed: Duration,
}

/// What a run that was ended left to the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotDone {
    /// The symbols, ascending.
    pub symbols: Vec<Symbol>,
    /// Sessions, over all symbols.
    pub sessions: usize,
}

impl NotDone {
    pub(super) fn of(units: &[FetchUnit]) -> Self {
        let symbols: BTreeSet<&Symbol> = units.iter().flat_map(|unit| &unit.symbols).collect();
        Self {
            symbols: symbols.into_iter().cloned().collect(),
            sessions: units
                .iter()
                .map(|unit| unit.symbols.len() * unit.sessions.len())
                .sum(),
        }
    }
}

impl IngestReport {
    /// Whether a symbol is incomplete or without data.
    pub fn is_partial(&self) -> bool {
        !self.failures.is_empty() || !self.no_data.is_empty() || self.not_done.sessions > 0
    }
}
