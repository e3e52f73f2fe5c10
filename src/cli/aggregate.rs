//! `aggregate`: makes longer bars from minutes where something changed, or checks those that there are.

use std::time::Duration;

use clap::Args;

use super::args::{HeldArgs, LimitArgs};
use super::dates::read_dates;
use super::exit::{CliError, Exit};
use super::output::{Value, counted, human_bytes, human_duration, with_thousands};
use super::session::CliSession;
use super::stopping::Stopping;
use super::symbols::{read_legal_symbols, tell_absent};
use crate::aggregation::plan::SymbolYear;
use crate::aggregation::{
    AggregationReport, AggregationRequest, CheckFinding, CheckReport, FrameChoice, Scope,
};
use crate::app::Stores;
use crate::config::Engine;
use crate::domain::metric::RunCommand;
use crate::domain::ports::{BarSelection, BarStore as _, StoreErrorKind};
use crate::domain::{
    Anchor, Calendar, Dataset, PartitionKey, SessionDate, Symbol, Timeframe, as_u64,
};

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe aggregate
  marketpipe aggregate --symbols AAPL,MSFT --timeframes 10m,2h --start 2024-01-01
  marketpipe aggregate --check
  marketpipe aggregate --check --sample 20

Buckets begin at the start of each segment (pre, regular, post, overnight) and never cross its end; 1d is the regular \
session. One file for each symbol, frame and year; exactly those are made whose minutes or spec changed. The lake keeps one \
kind of bars a frame: another --anchor replaces the 1h, 2h and 4h bars. [aggregation] in the configuration has the defaults.";

#[derive(Debug, Args)]
pub(super) struct AggregateArgs {
    #[command(flatten)]
    pub(super) held: HeldArgs,
    /// Frames, separated by commas: 2m, 3m, 5m, 10m, 15m, 30m, 1h, 2h, 4h, 1d [default: aggregation.timeframes and those that
    /// a symbol already has]
    #[arg(long, value_delimiter = ',', value_name = "F,G")]
    pub(super) timeframes: Vec<Timeframe>,
    /// Where the buckets of 1h, 2h and 4h begin: open (at the start of each segment) or clock (on the hour) [default: open]
    #[arg(long, value_name = "WHERE")]
    pub(super) anchor: Option<Anchor>,
    /// What adds up: columnar or duckdb; both give the same bars [default: columnar, for --check the other one]
    #[arg(long, value_enum, value_name = "NAME")]
    pub(super) engine: Option<Engine>,
    /// Make everything anew
    #[arg(long, conflicts_with = "check")]
    pub(super) full: bool,
    /// Recompute and compare to the last bit, write nothing; exit 4 on a difference
    #[arg(long)]
    pub(super) check: bool,
    /// Check at most so many symbol-years, others each day
    #[arg(long, value_name = "N", requires = "check")]
    pub(super) sample: Option<usize>,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// Failures that the summary names; the others are counted.
const NAMED_FAILURES: usize = 10;

/// Aggregates or checks, from the arguments to the exit code.
pub(super) fn run(session: &CliSession, args: &AggregateArgs) -> Result<Exit, CliError> {
    let request = request_of(session, args)?;
    // Nothing is made where nothing is kept; what is kept may be of an older version, which only writers bring up to date.
    if !session.app.directory().database().exists() {
        return Err(session.nothing_kept());
    }
    let stores = if args.check {
        session.stores()?
    } else {
        let wait = Duration::from_secs(args.limits.wait);
        session.app.open_stores(session.events(), wait)?
    };
    let is_short = tell_without_minutes(session, &stores, &request)?;
    let stopping = Stopping::default();
    stopping.watch_beside(args.limits.max_runtime.map(Duration::from_secs))?;
    let configured = session.app.config().aggregation.engine;
    let exit = if args.check {
        let engine = args.engine.unwrap_or(configured.other());
        check(session, &stores, &request, engine, args.sample, &stopping)?
    } else {
        let engine = args.engine.unwrap_or(configured);
        let report = aggregate(session, &stores, &request, engine, &stopping)?;
        if session.global.format.is_some() {
            session.write_rows("aggregate", &COLUMNS, [row(&report)])?;
        }
        exit_of(&report, &stopping)
    };
    Ok(exit.or_partial(is_short))
}

/// What `ingest --aggregate` does afterwards: the ingested symbols, in the years of the sessions that were asked for.
pub(super) fn after_ingest(
    session: &CliSession,
    stores: &Stores,
    dataset: &Dataset,
    symbols: Vec<Symbol>,
    sessions: Option<(SessionDate, SessionDate)>,
    stopping: &Stopping,
) -> Result<Exit, CliError> {
    let config = &session.app.config().aggregation;
    let request = AggregationRequest {
        dataset: Some(dataset.clone()),
        symbols,
        sessions,
        frames: FrameChoice::AtLeast(config.timeframes.clone()),
        choice: config.choice,
        scope: Scope::Stale,
    };
    // The ingest's row is the one document on stdout.
    let report = aggregate(session, stores, &request, config.engine, stopping)?;
    Ok(exit_of(&report, stopping))
}

fn request_of(session: &CliSession, args: &AggregateArgs) -> Result<AggregationRequest, CliError> {
    let config = &session.app.config().aggregation;
    let mut choice = config.choice;
    choice.anchor = args.anchor.unwrap_or(choice.anchor);
    let frames = if args.timeframes.is_empty() {
        FrameChoice::AtLeast(config.timeframes.clone())
    } else {
        FrameChoice::Exactly(args.timeframes.clone())
    };
    if args.timeframes.contains(&Timeframe::M1) {
        let message = "1m is what the provider sends; it is not derived from anything";
        return Err(CliError::new(Exit::Usage, message)
            .with_hint("`marketpipe ingest` gets it; frames to derive are 2m to 4h and 1d"));
    }
    let (first, last) = read_dates(args.held.start.as_deref(), args.held.end.as_deref())?;
    let (earliest, latest) = Calendar::always_open().coverage();
    let sessions = (first.is_some() || last.is_some())
        .then(|| (first.unwrap_or(earliest), last.unwrap_or(latest)));
    Ok(AggregationRequest {
        dataset: args.held.series.dataset.clone(),
        symbols: read_legal_symbols(session, &args.held.series.symbols)?,
        sessions,
        frames,
        choice,
        scope: if args.full { Scope::Full } else { Scope::Stale },
    })
}

/// Says what was named and has no minutes in the range, if anything.
fn tell_without_minutes(
    session: &CliSession,
    stores: &Stores,
    request: &AggregationRequest,
) -> Result<bool, CliError> {
    let dataset = request.dataset.as_ref();
    if request.symbols.is_empty() && dataset.is_none() {
        return Ok(false);
    }
    let selection = BarSelection {
        timeframe: Some(Timeframe::M1),
        sessions: request.sessions,
        ..request.selection()
    };
    let files = stores.bars.list_files(&selection)?;
    let held = files.iter().map(|file| &file.key.symbol);
    let what = "no minutes are held";
    Ok(tell_absent(session, what, &request.symbols, dataset, held))
}

fn aggregate(
    session: &CliSession,
    stores: &Stores,
    request: &AggregationRequest,
    engine: Engine,
    stopping: &Stopping,
) -> Result<AggregationReport, CliError> {
    let report = carry_out(session, stores, request, engine, stopping)?;
    let words = render(&report);
    if report.failures.is_empty() {
        session.say(&words);
    } else {
        session.insist(&words);
    }
    Ok(report)
}

fn carry_out(
    session: &CliSession,
    stores: &Stores,
    request: &AggregationRequest,
    engine: Engine,
    stopping: &Stopping,
) -> Result<AggregationReport, CliError> {
    let run = session.begin_run(stores, RunCommand::Aggregate);
    let runner = session
        .app
        .aggregation_runner(stores, engine, session.events());
    let report = runner.run(request, &stopping.signal)?;
    run.end(exit_of(&report, stopping));
    Ok(report)
}

/// What `demo` shows: the usual frames of everything that is kept; the summary in words.
pub(super) fn make_all(session: &CliSession, stores: &Stores) -> Result<String, CliError> {
    let config = &session.app.config().aggregation;
    let request = AggregationRequest {
        dataset: None,
        symbols: Vec::new(),
        sessions: None,
        frames: FrameChoice::AtLeast(config.timeframes.clone()),
        choice: config.choice,
        scope: Scope::Stale,
    };
    let stopping = Stopping::default();
    Ok(render(&carry_out(
        session,
        stores,
        &request,
        config.engine,
        &stopping,
    )?))
}

fn exit_of(report: &AggregationReport, stopping: &Stopping) -> Exit {
    let has = |kind| report.failures.iter().any(|failure| failure.kind == kind);
    if report.is_stopped && report.years_not_done > 0 {
        stopping.exit()
    } else if has(StoreErrorKind::NoSpace) || has(StoreErrorKind::NotWritable) {
        Exit::Storage
    } else if report.failures.is_empty() {
        Exit::Done
    } else {
        Exit::Partial
    }
}

const COLUMNS: [&str; 10] = [
    "symbol_years",
    "symbol_years_done",
    "files_written",
    "files_unchanged",
    "files_fresh",
    "minutes_read",
    "rows",
    "bytes",
    "failures",
    "elapsed_ms",
];

fn row(report: &AggregationReport) -> Vec<Value> {
    vec![
        count(report.years_held),
        count(report.years_done),
        count(report.files_written),
        count(report.files_unchanged),
        count(report.files_fresh),
        Value::UInt(report.minutes_read),
        Value::UInt(report.rows),
        Value::UInt(report.bytes),
        count(report.failures.len()),
        Value::UInt(u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX)),
    ]
}

/// What is said before derived bars are read that are not up to date.
pub(super) fn stale_note(files: usize) -> String {
    let are = match files {
        1 => "is missing or older than its minutes",
        _ => "are missing or older than their minutes",
    };
    format!(
        "note: {} {are}; `marketpipe aggregate` mends that",
        counted(as_u64(files), "derived file")
    )
}

fn count(count: usize) -> Value {
    Value::UInt(as_u64(count))
}

fn render(report: &AggregationReport) -> String {
    let mut lines = Vec::new();
    if report.years_done == 0 && report.failures.is_empty() && report.years_not_done == 0 {
        lines.push(match (report.years_held, report.files_fresh) {
            (0, _) => "there are no minutes to aggregate".to_owned(),
            (_, fresh) => format!(
                "up to date: {}, checked by the catalog alone in {}",
                counted(as_u64(fresh), "derived file"),
                human_duration(report.elapsed)
            ),
        });
    } else {
        lines.push(format!(
            "aggregated {} in {}: {} written ({}, {}), {} unchanged, {} up to date; {} read",
            counted(as_u64(report.years_done), "symbol-year"),
            human_duration(report.elapsed),
            counted(as_u64(report.files_written), "file"),
            counted(report.rows, "row"),
            human_bytes(report.bytes),
            with_thousands(as_u64(report.files_unchanged)),
            with_thousands(as_u64(report.files_fresh)),
            counted(report.minutes_read, "minute"),
        ));
    }
    for failure in report.failures.iter().take(NAMED_FAILURES) {
        let SymbolYear {
            dataset,
            symbol,
            year,
        } = &failure.of;
        lines.push(format!(
            "failed: {dataset} {symbol} {year}: {}",
            failure.reason
        ));
    }
    if report.failures.len() > NAMED_FAILURES {
        let more = report.failures.len() - NAMED_FAILURES;
        lines.push(format!(
            "failed: {} more; -v names them",
            with_thousands(as_u64(more))
        ));
    }
    if report.years_not_done > 0 {
        lines.push(format!(
            "stopped: {} left; the same command goes on",
            counted(as_u64(report.years_not_done), "symbol-year")
        ));
    }
    lines.join("\n")
}

const CHECK_COLUMNS: [&str; 6] = [
    "dataset",
    "symbol",
    "timeframe",
    "year",
    "finding",
    "evidence",
];

fn check(
    session: &CliSession,
    stores: &Stores,
    request: &AggregationRequest,
    engine: Engine,
    sample: Option<usize>,
    stopping: &Stopping,
) -> Result<Exit, CliError> {
    let runner = session
        .app
        .aggregation_runner(stores, engine, session.events());
    let report = runner.check(request, sample, &stopping.signal)?;
    session.say(&format!(
        "checked {} of {}, {}: {}",
        with_thousands(as_u64(report.checked)),
        counted(as_u64(report.partitions), "derived file"),
        counted(report.rows, "row"),
        match report.findings.len() {
            0 => "all are what their minutes give".to_owned(),
            1 => "one is not what its minutes give".to_owned(),
            findings => format!(
                "{} are not what their minutes give",
                with_thousands(as_u64(findings))
            ),
        }
    ));
    let has_findings = !report.findings.is_empty();
    let is_stopped = report.is_stopped;
    session.write_rows("aggregate-check", &CHECK_COLUMNS, finding_rows(&report))?;
    Ok(match (has_findings, is_stopped) {
        (true, _) => Exit::Findings,
        (false, true) => stopping.exit(),
        (false, false) => Exit::Done,
    })
}

fn finding_rows(report: &CheckReport) -> impl Iterator<Item = Vec<Value>> {
    report.findings.iter().map(|found| {
        let (name, evidence) = match &found.finding {
            CheckFinding::Missing => ("missing", "`marketpipe aggregate` makes it"),
            CheckFinding::Stale => (
                "stale",
                "its minutes or its spec changed; `marketpipe aggregate` makes it anew",
            ),
            CheckFinding::Damaged(words) => {
                let advice = format!("{words}; `marketpipe aggregate --full` makes it anew");
                return finding_row(&found.key, "damaged", &advice);
            }
            CheckFinding::Different(words) => ("different", words.as_str()),
            CheckFinding::Failed(words) => ("failed", words.as_str()),
        };
        finding_row(&found.key, name, evidence)
    })
}

fn finding_row(key: &PartitionKey, name: &str, evidence: &str) -> Vec<Value> {
    let text = |text: &dyn std::fmt::Display| Value::Text(text.to_string());
    vec![
        text(&key.dataset),
        text(&key.symbol),
        text(&key.timeframe),
        text(&key.period),
        text(&name),
        text(&evidence),
    ]
}
