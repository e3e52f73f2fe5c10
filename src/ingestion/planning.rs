//! Planning: reads for the planner what the ledger holds. Changes nothing and asks no provider.

use crate::domain::ports::{ProviderProfile, StoreError, SymbolBarsRepository};
use crate::domain::{Calendar, Dataset, SessionDate, Symbol};

use super::coordinator::IngestError;
use super::plan::{
    IngestPlan, IngestRequest, Planner, RequestedRange, SymbolLedger, resolve_range,
};

/// How many days before the last settled session an incremental run looks for sessions that are not final.
const HEALED_DAYS: i32 = 30;

/// Plans `request` from the ledger, `None` when nothing was ever kept: what is missing or provisional, packed into
/// units.
///
/// # Errors
/// When the request leaves the calendar or the ledger cannot be read.
pub fn plan_ingest(
    request: &IngestRequest,
    profile: &ProviderProfile,
    ledger: Option<&dyn SymbolBarsRepository>,
) -> Result<IngestPlan, IngestError> {
    let mut planner = Planner::new(profile.clone(), request.refresh);
    for symbol in &request.symbols {
        let begins_at = match (request.range, ledger) {
            (RequestedRange::Incremental, Some(ledger)) => {
                first_open_session(ledger, &profile.dataset, symbol)?
            }
            (RequestedRange::WholeSeries { .. }, Some(ledger)) => {
                let series = ledger.list_series(std::slice::from_ref(symbol))?;
                let mut series = series.into_iter();
                series
                    .find(|series| series.dataset == profile.dataset)
                    .map(|series| series.sessions.0)
            }
            _ => None,
        };
        let resolved = resolve_range(
            request.range,
            Calendar::of(symbol),
            begins_at,
            request.now_us,
            profile.hold_back_us,
        )?;
        let records = match (ledger, resolved.sessions.first(), resolved.sessions.last()) {
            (Some(ledger), Some(first), Some(last)) => {
                ledger.list_sessions(&profile.dataset, symbol, first.date(), last.date())?
            }
            _ => Vec::new(),
        };
        planner.add_symbol(symbol.clone(), &resolved, &SymbolLedger { records })?;
    }
    Ok(planner.finish())
}

/// Where an incremental run begins: a month before the last settled session, or with the first one that is held
/// since. Settled sessions are not asked for again; what failed or was refused in between is.
fn first_open_session(
    ledger: &dyn SymbolBarsRepository,
    dataset: &Dataset,
    symbol: &Symbol,
) -> Result<Option<SessionDate>, StoreError> {
    let Some(last) = ledger.find_last_settled(dataset, symbol)? else {
        return Ok(None);
    };
    let days = last.days_since_epoch() - HEALED_DAYS;
    let first = SessionDate::from_days_since_epoch(days).unwrap_or(last);
    let records = ledger.list_sessions(dataset, symbol, first, last)?;
    Ok(records.first().map(|record| record.date))
}
