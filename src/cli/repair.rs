//! `repair`: asks the provider for what `gaps` shows as not asked and for what was lost with damaged files, dataset by
//! dataset.

use std::collections::BTreeMap;

use super::args::RepairArgs;
use super::doctor::tell_set_aside;
use super::exit::{CliError, Exit};
use super::gaps::request_of;
use super::order::{AskAgain, IngestOrder, RunLimits};
use super::output::counted;
use super::session::CliSession;
use crate::domain::Dataset;
use crate::domain::gaps::GapReason;
use crate::domain::ports::{BarSelection, SymbolBarsRepository};
use crate::ingestion::{GapsRequest, list_gaps};

/// Fetches what was never asked for, and with `--empty` what was answered with nothing.
pub(super) fn run(session: &CliSession, args: &RepairArgs) -> Result<Exit, CliError> {
    let request = request_of(session, &args.held)?;
    set_damaged_aside(session, args, &request)?;
    let missing = find_missing(session, args, &request)?;
    if missing.is_empty() {
        session.say("nothing to repair: everything in the range was asked for and is there");
        return Ok(Exit::Done);
    }
    let limits = RunLimits::of(&args.limits);
    let mut worst = Ok(Exit::Done);
    for (dataset, symbols) in missing {
        let Some(choice) = session.app.choice_of(&dataset) else {
            session.insist(&format!(
                "{dataset} is left as it is: no provider of this configuration has its bars"
            ));
            worst = worse(worst, Ok(Exit::Partial));
            continue;
        };
        let order = IngestOrder {
            provider: choice.name,
            feed: choice.feed,
            adjustment: choice.adjustment,
            symbols,
            start: args.held.start.clone(),
            end: args.held.end.clone(),
            whole_series: args.held.start.is_none(),
            again: if args.empty {
                AskAgain::Empty
            } else {
                AskAgain::Nothing
            },
            accept_shrink: false,
        };
        let ended = order
            .run(session, limits, None)
            .and_then(|ran| ran.tell(session));
        let is_over = matches!(ended, Ok(Exit::Interrupted | Exit::Terminated));
        worst = worse(worst, ended);
        if is_over {
            break;
        }
    }
    worst
}

/// Moves files that are not what was written out of the way, so that what they held counts as not asked for.
fn set_damaged_aside(
    session: &CliSession,
    args: &RepairArgs,
    request: &GapsRequest,
) -> Result<(), CliError> {
    // Where nothing was ever kept, nothing is made.
    session.stores()?;
    let wait = RunLimits::of(&args.limits).wait;
    let stores = session.app.open_stores(session.events(), wait)?;
    let selection = BarSelection {
        symbols: request.symbols.clone(),
        sessions: request.first.zip(request.last),
        ..BarSelection::default()
    };
    let found = session.app.withdraw_damaged(&stores, &selection)?;
    tell_set_aside(session, &found.set_aside);
    let (derived, minutes): (Vec<_>, Vec<_>) = found
        .withdrawn
        .iter()
        .partition(|key| key.timeframe.is_derived());
    if !minutes.is_empty() {
        session.say(&format!(
            "{} of minutes gone or damaged: what they held is asked for again",
            counted(minutes.len() as u64, "file")
        ));
    }
    if !derived.is_empty() {
        session.say(&format!(
            "{} of longer bars gone or damaged: `marketpipe aggregate` makes them again",
            counted(derived.len() as u64, "file")
        ));
    }
    Ok(())
}

/// The first failure, or else the first exit that is not [`Exit::Done`]; the other failures are told at once.
fn worse(before: Result<Exit, CliError>, ended: Result<Exit, CliError>) -> Result<Exit, CliError> {
    match (before, ended) {
        (Err(first), Err(other)) => {
            tracing::error!("{other}");
            Err(first)
        }
        (Err(first), Ok(_)) => Err(first),
        (Ok(_), Err(error)) => Err(error),
        (Ok(Exit::Done), ended) => ended,
        (before, Ok(_)) => before,
    }
}

/// The symbols of each dataset that lack anything that is worth asking for.
fn find_missing(
    session: &CliSession,
    args: &RepairArgs,
    request: &GapsRequest,
) -> Result<BTreeMap<Dataset, Vec<String>>, CliError> {
    let stores = session.job_stores()?;
    // What an earlier repair left half done may be all that is to be repaired.
    stores.bars.recover_if_possible();
    let mut missing: BTreeMap<Dataset, Vec<String>> = BTreeMap::new();
    for found in list_gaps(stores.ledger.as_ref(), request)? {
        let gap = found.gap;
        let is_wanted = match gap.reason {
            GapReason::NotAsked | GapReason::NotEntitled => true,
            // The answer is not final.
            GapReason::NoTrade if gap.is_settled == Some(false) => true,
            GapReason::NoTrade if args.empty => {
                let records = stores.ledger.list_sessions(
                    &found.dataset,
                    &found.symbol,
                    gap.first_session,
                    gap.last_session,
                )?;
                records.iter().any(|record| record.rows() == 0)
            }
            _ => false,
        };
        if !is_wanted {
            continue;
        }
        let symbols = missing.entry(found.dataset).or_default();
        let symbol = found.symbol.to_string();
        // Gaps come symbol by symbol.
        if symbols.last() != Some(&symbol) {
            symbols.push(symbol);
        }
    }
    // What was never asked for is not known to be all there is, even where no regular minute is missing: files that a
    // rebuilt catalog took over, and commits that were cut short.
    for series in stores.ledger.list_series(&request.symbols)? {
        let first = request.first.unwrap_or(series.sessions.0);
        let last = request.last.unwrap_or(series.sessions.1);
        let records = stores
            .ledger
            .list_sessions(&series.dataset, &series.symbol, first, last)?;
        if records.iter().any(|record| record.asked.is_empty()) {
            let symbols = missing.entry(series.dataset).or_default();
            let symbol = series.symbol.to_string();
            if !symbols.contains(&symbol) {
                symbols.push(symbol);
            }
        }
    }
    Ok(missing)
}
