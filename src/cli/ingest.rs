//! `ingest`: fetches what is missing.

use std::sync::Arc;
use std::time::Duration;

use super::args::IngestArgs;
use super::dates::read_range;
use super::exit::{CliError, Exit};
use super::output::Value;
use super::session::CliSession;
use super::summary;
use super::symbols::{SymbolList, read_symbols};
use crate::app::ProviderChoice;
use crate::domain::job::JobState;
use crate::domain::merge::ShrinkPolicy;
use crate::domain::ports::{EventPublisher, ProviderErrorKind, ProviderProfile};
use crate::ingestion::coordinator::{IngestError, IngestOptions};
use crate::ingestion::report::FailureCause;
use crate::ingestion::{IngestPlan, IngestReport, IngestRequest, RefreshPolicy, StopSignal};

/// Runs one ingest from the arguments to the exit code.
pub(super) fn run(session: &CliSession, args: &IngestArgs) -> Result<Exit, CliError> {
    let list = read_list(args)?;
    let (report, exit) = match execute(session, args, &list)? {
        Executed::Planned(exit) => return Ok(exit),
        Executed::Ran(report, exit) => (report, exit),
    };
    if session.global.quiet && exit != Exit::Done {
        session.insist(&summary::render_problems(&report));
    } else {
        session.say(&summary::render(&report));
    }
    if session.global.format.is_some() {
        let (columns, row) = summary::row(&report);
        session.write_rows("ingest", &columns, [row])?;
    }
    let exit = if list.malformed.is_empty() || exit != Exit::Done {
        exit
    } else {
        Exit::Partial
    };
    Ok(exit)
}

/// What came of the arguments.
pub(super) enum Executed {
    /// The plan was shown.
    Planned(Exit),
    /// The ingest ran.
    Ran(Box<IngestReport>, Exit),
}

fn read_list(args: &IngestArgs) -> Result<SymbolList, CliError> {
    let list = read_symbols(&args.symbols, args.symbols_file.as_deref())?;
    for (_, error) in &list.malformed {
        // An error, so that it is told even when asked to be quiet: the run will end with its code.
        tracing::error!("{error}; it is left out");
    }
    if list.symbols.is_empty() {
        let message = list.malformed.first().map_or_else(
            || "no symbol was given".to_owned(),
            |(_, error)| error.to_string(),
        );
        return Err(CliError::new(Exit::Usage, message)
            .with_hint("symbols look like AAPL, BRK.B or BTC/USD"));
    }
    Ok(list)
}

/// Plans and executes an ingest; the demo uses it as well.
pub(super) fn execute(
    session: &CliSession,
    args: &IngestArgs,
    list: &SymbolList,
) -> Result<Executed, CliError> {
    let app = &session.app;
    let now_us = app.clock().now_us();
    let request = IngestRequest {
        symbols: list.symbols.clone(),
        range: read_range(args.start.as_deref(), args.end.as_deref(), now_us)?,
        refresh: if args.refresh {
            RefreshPolicy::Everything
        } else {
            RefreshPolicy::OnlyMissing
        },
        now_us,
    };
    let events = session.events();
    let publisher: Arc<dyn EventPublisher> = events.clone();
    let choice = ProviderChoice {
        name: args.provider.clone(),
        feed: args.feed.clone(),
        adjustment: args.adjustment.clone(),
    };
    let provider = app.provider(&choice, publisher.clone())?;
    let profile = provider.profile().clone();
    // The store first: a full or locked disk is told before a single request is made.
    let stores = app.open_stores(publisher.clone(), Duration::from_secs(args.wait))?;
    let coordinator = app.coordinator(&stores, provider, publisher);
    let plan = coordinator.plan(&request)?;
    if args.dry_run {
        return show_plan(session, &plan, &profile).map(Executed::Planned);
    }
    let options = IngestOptions {
        parallel_units: app.config().parallel_units,
        shrink: if args.accept_shrink {
            ShrinkPolicy::Accept
        } else {
            ShrinkPolicy::Refuse
        },
        owner: crate::infrastructure::host::this_process(),
        description: describe(args, &request, &profile),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Bug, format!("cannot start the runtime: {error}")))?;
    let stop = StopSignal::default();
    let interrupted_by = Arc::new(std::sync::atomic::AtomicU8::new(0));
    let report = runtime.block_on(async {
        let watcher = tokio::spawn(watch_for_stop(
            stop.clone(),
            args.max_runtime,
            Arc::clone(&interrupted_by),
        ));
        let report = coordinator.execute(&request, plan, options, &stop).await;
        watcher.abort();
        report
    })?;
    // Blocking work that was abandoned must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let exit = exit_of(
        &report,
        interrupted_by.load(std::sync::atomic::Ordering::Relaxed),
    )?;
    Ok(Executed::Ran(Box::new(report), exit))
}

/// The codes by which a stopped run tells who stopped it.
const STOPPED_BY_TIME: u8 = 1;
const STOPPED_BY_TERMINATION: u8 = 2;

/// Gives the stop signal on Ctrl-C, on termination or when the time is up; a second Ctrl-C ends the program at once.
async fn watch_for_stop(
    stop: StopSignal,
    max_runtime: Option<u64>,
    reason: Arc<std::sync::atomic::AtomicU8>,
) {
    let time_is_up = async {
        match max_runtime {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = interrupted() => {
            stop.stop();
            tracing::warn!("stopping: what is committed is kept; press Ctrl-C again to end at once");
        }
        () = terminated() => {
            reason.store(STOPPED_BY_TERMINATION, std::sync::atomic::Ordering::Relaxed);
            stop.stop();
        }
        () = time_is_up => {
            reason.store(STOPPED_BY_TIME, std::sync::atomic::Ordering::Relaxed);
            stop.stop();
            tracing::warn!("stopping: --max-runtime is over; what is committed is kept");
        }
    }
    // Asked again: at once. What is half done is finished or forgotten by the next run.
    let exit = tokio::select! {
        () = interrupted() => Exit::Interrupted,
        () = terminated() => Exit::Terminated,
    };
    std::process::exit(exit.code().into());
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the default action ends the program, which is safe at any moment.
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

/// The request in words that can be repeated, without secrets.
fn describe(args: &IngestArgs, request: &IngestRequest, profile: &ProviderProfile) -> String {
    let mut names: Vec<&str> = request
        .symbols
        .iter()
        .take(10)
        .map(|symbol| symbol.as_str())
        .collect();
    let more = format!(
        "and {} more",
        request.symbols.len().saturating_sub(names.len())
    );
    if request.symbols.len() > names.len() {
        names.push(&more);
    }
    let mut words = format!("ingest {} --symbols {}", profile.dataset, names.join(","));
    for (flag, value) in [("--start", &args.start), ("--end", &args.end)] {
        if let Some(value) = value {
            words = format!("{words} {flag} {value}");
        }
    }
    if args.refresh {
        words + " --refresh"
    } else {
        words
    }
}

fn show_plan(
    session: &CliSession,
    plan: &IngestPlan,
    profile: &ProviderProfile,
) -> Result<Exit, CliError> {
    let requests = plan.expected_requests(profile.rows_per_page);
    let pace = match profile.requests_per_minute {
        None => "without a rate limit".to_owned(),
        Some(limit) => match requests.div_ceil(u64::from(limit.max(1))) {
            0 | 1 => format!("a minute at most at {limit} requests a minute"),
            minutes => format!("{minutes} minutes at {limit} requests a minute"),
        },
    };
    session.say(&format!(
        "plan: {requests} requests in {} units, about {} rows, {pace}",
        plan.units.len(),
        super::output::with_thousands(plan.expected_rows()),
    ));
    let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let rows = plan.symbols.iter().map(|symbol| {
        vec![
            Value::Text(symbol.symbol.to_string()),
            Value::UInt(as_u64(symbol.sessions)),
            Value::UInt(as_u64(symbol.sessions_to_fetch)),
            Value::UInt(as_u64(symbol.sessions_settled)),
            Value::UInt(symbol.held_rows),
        ]
    });
    session.write_rows(
        "plan",
        &[
            "symbol",
            "sessions",
            "sessions_to_fetch",
            "sessions_settled",
            "rows_held",
        ],
        rows,
    )
}

/// The promised exit code of a report.
fn exit_of(report: &IngestReport, stopped_by: u8) -> Result<Exit, CliError> {
    let provider_failure = report
        .failures
        .iter()
        .find_map(|failure| match &failure.cause {
            FailureCause::Provider(kind) => Some((*kind, failure)),
            _ => None,
        });
    match report.state {
        JobState::Interrupted if stopped_by == STOPPED_BY_TIME => Ok(Exit::TryLater),
        JobState::Interrupted if stopped_by == STOPPED_BY_TERMINATION => Ok(Exit::Terminated),
        JobState::Interrupted => Ok(Exit::Interrupted),
        JobState::Failed => match provider_failure {
            Some((kind, failure)) => {
                Err(CliError::from_provider_kind(kind, failure.reason.clone()))
            }
            None if report
                .failures
                .iter()
                .any(|failure| matches!(failure.cause, FailureCause::Store(_))) =>
            {
                Ok(Exit::Storage)
            }
            None if report
                .failures
                .iter()
                .any(|failure| failure.cause == FailureCause::Internal) =>
            {
                Ok(Exit::Bug)
            }
            None => Ok(Exit::Partial),
        },
        // The failure that says when to come back goes before the one that says that something is missing.
        _ if provider_failure.is_some_and(|(kind, _)| kind == ProviderErrorKind::RateLimited) => {
            Ok(Exit::TryLater)
        }
        _ if report.is_partial() => Ok(Exit::Partial),
        _ => Ok(Exit::Done),
    }
}

impl From<IngestError> for CliError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Calendar(error) => error.into(),
            IngestError::Store(error) => error.into(),
            IngestError::Job(error) => Self::new(Exit::Bug, error.to_string()),
            IngestError::Lost(error) => Self::new(Exit::Bug, error),
        }
    }
}
