//! `repair`: asks the provider for what `gaps` shows as not asked and for what was lost with damaged files, dataset by
//! dataset.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use super::args::{HeldArgs, LimitArgs};
use super::doctor::tell_moved_and_left;
use super::exit::{CliError, Exit};
use super::gaps::{request_of, tell_never_asked};
use super::ingest::{PLAN_COLUMNS, show_plan};
use super::order::{AskAgain, IngestOrder, RunLimits};
use super::output::{Value, counted};
use super::session::CliSession;
use crate::app::Stores;
use crate::domain::gaps::GapReason;
use crate::domain::ports::{BarSelection, SymbolBarsRepository as _};
use crate::domain::{Calendar, Dataset, SessionDate, Symbol};
use crate::ingestion::{GapsRequest, list_gaps};

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe repair
  marketpipe repair --symbols AAPL,MSFT --start 2024-07-01 --end 2024-07-31
  marketpipe repair --empty --start 2024-07-01
  marketpipe repair --dry-run

Every dataset is asked of the provider that it came from, for what `gaps` shows as not asked, as not entitled, or as \
provisional. Rows in quarantine are asked for again by `ingest --refresh`.";

#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    pub(super) held: HeldArgs,
    /// Ask again for sessions that were answered with nothing, too
    #[arg(long)]
    pub(super) empty: bool,
    /// Show the plan; fetch nothing and set nothing aside
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// Sessions, of which the dataset's provider is asked together: without a bound as far as they are known.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ask {
    dataset: Dataset,
    first: Option<SessionDate>,
    last: Option<SessionDate>,
}

/// What came of setting damaged files aside.
#[derive(Default)]
struct Lost {
    /// Whether something is left as it is although it is not as it should be.
    has_left: bool,
    /// The first and the last session that files held which are gone now.
    sessions: BTreeMap<(Dataset, Symbol), (SessionDate, SessionDate)>,
}

impl Lost {
    /// What to ask of a symbol for the sake of `request`: a file goes aside whole, and so is fetched again what it held
    /// beyond the range.
    fn ask(&self, request: &GapsRequest, dataset: &Dataset, symbol: &Symbol) -> Ask {
        let lost = self.sessions.get(&(dataset.clone(), symbol.clone()));
        let earliest = |first: SessionDate| lost.map_or(first, |lost| first.min(lost.0));
        let latest = |last: SessionDate| lost.map_or(last, |lost| last.max(lost.1));
        Ask {
            dataset: dataset.clone(),
            first: request.first.map(earliest),
            last: request.last.map(latest),
        }
    }
}

/// Fetches what was never asked for, and with `--empty` what was answered with nothing.
pub(super) fn run(session: &CliSession, args: &RepairArgs) -> Result<Exit, CliError> {
    let request = request_of(session, &args.held)?;
    if args.dry_run {
        return show(session, args, &request);
    }
    let lost = set_damaged_aside(session, args, &request)?;
    let stores = session.job_stores()?;
    // What an earlier repair left half done may be all that is to be repaired.
    stores.bars.recover_if_possible();
    let found = find_orders(session, &stores, args, &request, &lost)?;
    let is_short = found.is_short || lost.has_left;
    if found.orders.is_empty() {
        if !is_short {
            session.say("nothing to repair: everything in the range was asked for and is there");
        }
        return Ok(Exit::Done.or_partial(is_short));
    }
    let limits = RunLimits::of(&args.limits);
    let mut worst = Ok(Exit::Done);
    for order in found.orders {
        let ended = order
            .run(session, limits, None)
            .and_then(|ran| ran.tell(session));
        let is_over = matches!(ended, Ok(Exit::Interrupted | Exit::Terminated));
        worst = worse(worst, ended);
        if is_over {
            break;
        }
    }
    worst.map(|exit| exit.or_partial(is_short))
}

/// What a narrow terminal can do without, the least missed first.
const COLUMNS_TO_DROP: [&str; 4] = ["rows_held", "sessions_settled", "dataset", "sessions"];

/// Prints what would be asked for. Reads no file of the lake, and so knows of no damage.
fn show(session: &CliSession, args: &RepairArgs, request: &GapsRequest) -> Result<Exit, CliError> {
    let stores = session.stores()?;
    let found = find_orders(session, &stores, args, request, &Lost::default())?;
    if found.orders.is_empty() && !found.is_short {
        session.say("nothing is known to be missing in the range");
    }
    session.say("no file was read: `marketpipe doctor --deep` says which are damaged");
    let mut rows = Vec::new();
    for order in &found.orders {
        let (dataset, planned) = show_plan(session, order)?;
        rows.extend(planned.into_iter().map(|mut row| {
            row.insert(0, Value::Text(dataset.to_string()));
            row
        }));
    }
    let columns = [&["dataset"], &PLAN_COLUMNS[..]].concat();
    let shown = session.write_fitting("repair", &columns, rows, &COLUMNS_TO_DROP)?;
    Ok(shown.or_partial(found.is_short))
}

/// What is to be asked for.
struct Found {
    orders: Vec<IngestOrder>,
    /// Whether something of the request is not known, or is missing and cannot be asked for.
    is_short: bool,
}

/// What to ask each dataset's provider for; says what nobody can be asked for.
fn find_orders(
    session: &CliSession,
    stores: &Stores,
    args: &RepairArgs,
    request: &GapsRequest,
    lost: &Lost,
) -> Result<Found, CliError> {
    let mut found = Found {
        orders: Vec::new(),
        is_short: tell_never_asked(session, stores.ledger.as_ref(), request)?,
    };
    for (ask, symbols) in find_missing(stores, args, request, lost)? {
        let Some(choice) = session.app.choice_of(&ask.dataset) else {
            session.insist(&format!(
                "{} is left as it is: no provider of this configuration has its bars",
                ask.dataset
            ));
            found.is_short = true;
            continue;
        };
        found.orders.push(IngestOrder {
            provider: choice.name,
            feed: choice.feed,
            adjustment: choice.adjustment,
            symbols: symbols.iter().map(Symbol::to_string).collect(),
            start: ask.first.map(|date| date.to_string()),
            end: ask.last.map(|date| date.to_string()),
            whole_series: ask.first.is_none(),
            again: if args.empty {
                AskAgain::Empty
            } else {
                AskAgain::Nothing
            },
            accept_shrink: false,
        });
    }
    Ok(found)
}

/// Moves files that are not what was written out of the way, so that what they held counts as not asked for.
fn set_damaged_aside(
    session: &CliSession,
    args: &RepairArgs,
    request: &GapsRequest,
) -> Result<Lost, CliError> {
    // Where nothing was ever kept, nothing is made; what is kept may be of an older version, which only writers bring up
    // to date.
    if !session.app.directory().database().exists() {
        session.stores()?;
    }
    let wait = RunLimits::of(&args.limits).wait;
    let stores = session.app.open_stores(session.events(), wait)?;
    let (earliest, latest) = Calendar::always_open().coverage();
    let sessions = (request.first.is_some() || request.last.is_some()).then(|| {
        (
            request.first.unwrap_or(earliest),
            request.last.unwrap_or(latest),
        )
    });
    let selection = BarSelection {
        dataset: request.dataset.clone(),
        symbols: request.symbols.clone(),
        sessions,
        ..BarSelection::default()
    };
    let found = session.app.withdraw_damaged(&stores, &selection)?;
    tell_moved_and_left(session, &found);
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
    let mut lost = Lost {
        has_left: !found.left.is_empty(),
        ..Lost::default()
    };
    for key in minutes {
        let Some((first, last)) = key.period.month_dates() else {
            continue;
        };
        let records = stores
            .ledger
            .list_sessions(&key.dataset, &key.symbol, first, last)?;
        for record in records.iter().filter(|record| record.asked.is_empty()) {
            let date = record.date;
            let held = lost
                .sessions
                .entry((key.dataset.clone(), key.symbol.clone()))
                .or_insert((date, date));
            *held = (held.0.min(date), held.1.max(date));
        }
    }
    Ok(lost)
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

/// The symbols that lack anything that is worth asking for, and what to ask of them.
fn find_missing(
    stores: &Stores,
    args: &RepairArgs,
    request: &GapsRequest,
    lost: &Lost,
) -> Result<BTreeMap<Ask, BTreeSet<Symbol>>, CliError> {
    let mut missing: BTreeSet<(Dataset, Symbol)> = lost.sessions.keys().cloned().collect();
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
        if is_wanted {
            missing.insert((found.dataset, found.symbol));
        }
    }
    // What was never asked for is not known to be all there is, even where no regular minute is missing: files that a
    // rebuilt catalog took over, and commits that were cut short.
    for series in request.list_series(stores.ledger.as_ref())? {
        let first = request.first.unwrap_or(series.sessions.0);
        let last = request.last.unwrap_or(series.sessions.1);
        let records = stores
            .ledger
            .list_sessions(&series.dataset, &series.symbol, first, last)?;
        if records.iter().any(|record| record.asked.is_empty()) {
            missing.insert((series.dataset, series.symbol));
        }
    }
    let mut asks: BTreeMap<Ask, BTreeSet<Symbol>> = BTreeMap::new();
    for (dataset, symbol) in missing {
        let ask = lost.ask(request, &dataset, &symbol);
        asks.entry(ask).or_default().insert(symbol);
    }
    Ok(asks)
}
