//! What is missing of the series that are held, from the ledger and the calendar. Asks no provider.

use crate::domain::gaps::{Gap, SeriesLedger, find_gaps};
use crate::domain::ports::{AskedSeries, StoreError, SymbolBarsRepository};
use crate::domain::{Calendar, Dataset, SessionDate, Symbol};

use super::coordinator::IngestError;

/// Which gaps are meant.
#[derive(Debug, Clone)]
pub struct GapsRequest {
    /// Symbols; none means all.
    pub symbols: Vec<Symbol>,
    /// The dataset; `None` means all.
    pub dataset: Option<Dataset>,
    /// First session date; `None` for the first that was ever asked for.
    pub first: Option<SessionDate>,
    /// Last session date; `None` for the newest.
    pub last: Option<SessionDate>,
    /// Now, UTC microseconds: what begins later is not missing yet.
    pub now_us: i64,
}

impl GapsRequest {
    /// The series that are meant, by dataset and symbol.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn list_series(
        &self,
        ledger: &dyn SymbolBarsRepository,
    ) -> Result<Vec<AskedSeries>, StoreError> {
        let mut series = ledger.list_series(&self.symbols)?;
        let wanted = self.dataset.as_ref();
        series.retain(|series| wanted.is_none_or(|wanted| *wanted == series.dataset));
        Ok(series)
    }
}

/// A gap and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesGap {
    /// Dataset of the series.
    pub dataset: Dataset,
    /// Symbol of the series.
    pub symbol: Symbol,
    /// The gap.
    pub gap: Gap,
}

/// The gaps of all series that were ever asked for, by dataset, symbol and time.
///
/// # Errors
/// When the ledger cannot be read or a date lies beyond the calendar.
pub fn list_gaps(
    ledger: &dyn SymbolBarsRepository,
    request: &GapsRequest,
) -> Result<Vec<SeriesGap>, IngestError> {
    let mut gaps = Vec::new();
    for series in request.list_series(ledger)? {
        let calendar = Calendar::of(&series.symbol);
        let newest = calendar.session_containing(request.now_us)?.date();
        let first = request.first.unwrap_or(series.sessions.0);
        let last = request.last.unwrap_or(newest);
        if last < first {
            continue;
        }
        let sessions = calendar.sessions(first, last)?;
        let records = ledger.list_sessions(&series.dataset, &series.symbol, first, last)?;
        let not_entitled = ledger.list_not_entitled(&series.dataset, &series.symbol)?;
        let ledger = SeriesLedger {
            records: &records,
            not_entitled: &not_entitled,
        };
        let found = find_gaps(&sessions, ledger, request.now_us);
        gaps.extend(found.into_iter().map(|gap| SeriesGap {
            dataset: series.dataset.clone(),
            symbol: series.symbol.clone(),
            gap,
        }));
    }
    Ok(gaps)
}
