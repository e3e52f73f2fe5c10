//! What an ingest is asked to do, in a form that is kept with its job and can be run again; and running it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::aggregate;
use super::args::LimitArgs;
use super::dates::{read_date, read_range};
use super::exit::{CliError, Exit};
use super::session::{CliSession, MeasuredRun};
use super::stopping::Stopping;
use super::{summary, validate};
use crate::app::{ProviderChoice, Stores};
use crate::domain::job::{IngestionJob, JobRequest, JobState};
use crate::domain::merge::ShrinkPolicy;
use crate::domain::metric::RunCommand;
use crate::domain::ports::{EventPublisher, MarketDataProvider, ProviderErrorKind};
use crate::domain::{Calendar, Dataset, SessionDate, Symbol};
use crate::ingestion::coordinator::{IngestError, IngestOptions, JobStart};
use crate::ingestion::report::FailureCause;
use crate::ingestion::{
    IngestPlan, IngestReport, IngestRequest, RefreshPolicy, RequestedRange, plan_ingest,
};

/// Symbols that a description names; the others are counted.
const NAMED_SYMBOLS: usize = 10;

/// What an ingest is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IngestOrder {
    pub(super) provider: String,
    pub(super) feed: Option<String>,
    pub(super) adjustment: Option<String>,
    /// Legal symbols, none twice.
    pub(super) symbols: Vec<String>,
    pub(super) start: Option<String>,
    pub(super) end: Option<String>,
    /// Without a start: each symbol from the first session that was ever asked for.
    #[serde(default)]
    pub(super) whole_series: bool,
    pub(super) again: AskAgain,
    pub(super) accept_shrink: bool,
}

/// What is asked for again although it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AskAgain {
    /// Nothing that is settled.
    Nothing,
    /// Sessions that were answered with nothing.
    Empty,
    /// Everything that was asked for before this instant, UTC microseconds: a refresh that goes on asks for the rest.
    Before(i64),
}

/// How long a run may take and wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunLimits {
    /// Longest wait for another process that commits.
    pub(super) wait: Duration,
    /// Longest run.
    pub(super) max_runtime: Option<Duration>,
}

impl RunLimits {
    /// The limits that the arguments give.
    pub(super) fn of(args: &LimitArgs) -> Self {
        Self {
            wait: Duration::from_secs(args.wait),
            max_runtime: args.max_runtime.map(Duration::from_secs),
        }
    }
}

/// What came of an order.
pub(super) struct Ran {
    pub(super) report: IngestReport,
    pub(super) exit: Exit,
    /// The failure that the run ends with, to be told after the summary.
    error: Option<CliError>,
    /// What to aggregate afterwards.
    touched: Touched,
}

/// What an ingest was about, for the aggregation that follows it.
struct Touched {
    stores: Stores,
    symbols: Vec<Symbol>,
    /// The first and the last session of the request, where it names one.
    sessions: Option<(SessionDate, SessionDate)>,
    stopping: Stopping,
}

impl Touched {
    /// The sessions that the request names, or else those that are to be fetched.
    fn sessions(request: &IngestRequest, plan: &IngestPlan) -> Option<(SessionDate, SessionDate)> {
        let latest = Calendar::always_open().coverage().1;
        match request.range {
            RequestedRange::Sessions { first, last } => Some((first, last.unwrap_or(latest))),
            _ => {
                let sessions = plan.units.iter().flat_map(|unit| unit.sessions.iter());
                let dates = || sessions.clone().map(|session| session.date());
                dates().min().zip(dates().max())
            }
        }
    }
}

impl Ran {
    /// Tells what was done: the summary on stderr, and as a row where a format is named.
    ///
    /// # Errors
    /// The failure that the run ends with, which has its own words and advice.
    pub(super) fn tell(self, session: &CliSession) -> Result<Exit, CliError> {
        let Self {
            report,
            exit,
            error,
            ..
        } = self;
        if session.global.quiet && exit != Exit::Done {
            session.insist(&summary::render_problems(&report));
        } else {
            session.say(&summary::render(&report));
        }
        if session.global.format.is_some() {
            let (columns, row) = summary::row(&report);
            session.write_rows("ingest", &columns, [row])?;
        }
        error.map_or(Ok(exit), Err)
    }

    /// Tells the ingest's end, and does with what was ingested what is wanted: whatever else failed.
    ///
    /// # Errors
    /// The first failure, the ingest's before those of what follows it.
    pub(super) fn follow_up_and_tell(
        self,
        session: &CliSession,
        follow_up: FollowUp,
    ) -> Result<Exit, CliError> {
        let Touched {
            stores,
            symbols,
            sessions,
            stopping,
        } = &self.touched;
        let (stores, stopping) = (stores.clone(), stopping.clone());
        let (symbols, sessions) = (symbols.clone(), *sessions);
        let (dataset, job) = (self.report.dataset.clone(), self.report.job);
        let mut outcome = self.tell(session);
        if follow_up.aggregates && !stopping.signal.is_stopped() {
            let symbols = symbols.clone();
            let aggregated =
                aggregate::after_ingest(session, &stores, &dataset, symbols, sessions, &stopping);
            outcome = graver(session, outcome, aggregated);
        }
        // Without dates and without anything to fetch there is nothing to check.
        if follow_up.validates && sessions.is_some() && !stopping.signal.is_stopped() {
            let validated = validate::after_ingest(
                session, &stores, &dataset, symbols, sessions, job, &stopping,
            );
            outcome = graver(session, outcome, validated);
        }
        outcome
    }
}

/// What an ingest is followed by.
#[derive(Debug, Clone, Copy)]
pub(super) struct FollowUp {
    pub(super) aggregates: bool,
    pub(super) validates: bool,
}

/// How two steps end together: by the first failure; full disks go before what is partial.
fn graver(
    session: &CliSession,
    first: Result<Exit, CliError>,
    then: Result<Exit, CliError>,
) -> Result<Exit, CliError> {
    match (first, then) {
        (Ok(Exit::Done), then) => then,
        (Ok(_), Ok(Exit::Storage)) => Ok(Exit::Storage),
        (Ok(_), Err(error)) => Err(error),
        (Err(first), Err(error)) => {
            session.insist(error.render().trim_end());
            Err(first)
        }
        (first, Ok(_)) => first,
    }
}

impl IngestOrder {
    /// The order as it is kept with its job.
    pub(super) fn to_spec(&self) -> Result<String, CliError> {
        serde_json::to_string(self)
            .map_err(|error| CliError::new(Exit::Bug, format!("cannot keep the request: {error}")))
    }

    /// Reads what [`to_spec`](Self::to_spec) wrote.
    pub(super) fn from_spec(spec: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(spec)
    }

    /// The order in words that can be repeated, without secrets.
    fn describe(&self, dataset: &Dataset) -> String {
        let mut names: Vec<&str> = self.symbols.iter().map(String::as_str).collect();
        let more = format!("and {} more", names.len().saturating_sub(NAMED_SYMBOLS));
        if names.len() > NAMED_SYMBOLS {
            names.truncate(NAMED_SYMBOLS);
            names.push(&more);
        }
        let mut words = format!("ingest {dataset} --symbols {}", names.join(","));
        for (flag, value) in [("--start", &self.start), ("--end", &self.end)] {
            if let Some(value) = value {
                words = format!("{words} {flag} {value}");
            }
        }
        match self.again {
            AskAgain::Nothing => words,
            AskAgain::Empty => words + " (repair --empty)",
            AskAgain::Before(_) => words + " --refresh",
        }
    }

    /// The request that the order means now, and who is asked.
    pub(super) fn resolve(
        &self,
        session: &CliSession,
        publisher: Arc<dyn EventPublisher>,
    ) -> Result<(IngestRequest, Arc<dyn MarketDataProvider>), CliError> {
        let app = &session.app;
        let now_us = app.clock().now_us();
        let symbols = self.symbols.iter().map(|text| text.parse::<Symbol>());
        let symbols: Result<Vec<Symbol>, _> = symbols.collect();
        let request = IngestRequest {
            symbols: symbols.map_err(|error| CliError::new(Exit::Usage, error.to_string()))?,
            range: if self.whole_series {
                RequestedRange::WholeSeries {
                    last: read_date("--end", self.end.as_deref())?,
                }
            } else {
                read_range(self.start.as_deref(), self.end.as_deref(), now_us)?
            },
            refresh: match self.again {
                AskAgain::Nothing => RefreshPolicy::OnlyMissing,
                AskAgain::Empty => RefreshPolicy::MissingOrEmpty,
                AskAgain::Before(instant_us) => RefreshPolicy::AskedBefore(instant_us),
            },
            now_us,
        };
        let choice = ProviderChoice {
            name: self.provider.clone(),
            feed: self.feed.clone(),
            adjustment: self.adjustment.clone(),
        };
        Ok((request, app.provider(&choice, publisher)?))
    }

    /// Opens the stores, plans and carries out the order, as a new job or going on with `resumed`.
    pub(super) fn run(
        &self,
        session: &CliSession,
        limits: RunLimits,
        resumed: Option<IngestionJob>,
    ) -> Result<Ran, CliError> {
        let app = &session.app;
        let publisher: Arc<dyn EventPublisher> = session.events();
        let (request, provider) = self.resolve(session, Arc::clone(&publisher))?;
        // Before a single request is made: a full or locked disk is told at once.
        let stores = app.open_stores(Arc::clone(&publisher), limits.wait)?;
        let run = session.begin_run(&stores, RunCommand::Ingest);
        let dataset = provider.profile().dataset.clone();
        let plan = plan_ingest(&request, provider.profile(), Some(stores.ledger.as_ref()))?;
        let job = match resumed {
            Some(job) => JobStart::Resumed(Box::new(job)),
            None => JobStart::New(JobRequest {
                words: self.describe(&dataset),
                spec: Some(self.to_spec()?),
            }),
        };
        let work = Work {
            run,
            stores,
            request,
            plan,
            provider,
            job,
            shrink: if self.accept_shrink {
                ShrinkPolicy::Accept
            } else {
                ShrinkPolicy::Refuse
            },
            parallel_units: app.config().parallel_units,
        };
        work.carry_out(session, limits)
    }
}

/// A planned ingest.
pub(super) struct Work<'a> {
    pub(super) run: MeasuredRun<'a>,
    pub(super) stores: Stores,
    pub(super) request: IngestRequest,
    pub(super) plan: IngestPlan,
    pub(super) provider: Arc<dyn MarketDataProvider>,
    pub(super) job: JobStart,
    pub(super) shrink: ShrinkPolicy,
    /// Units fetched at the same time.
    pub(super) parallel_units: usize,
}

impl Work<'_> {
    /// Fetches and commits what is planned, until it is done or told to end.
    pub(super) fn carry_out(
        self,
        session: &CliSession,
        limits: RunLimits,
    ) -> Result<Ran, CliError> {
        let Self {
            run,
            stores,
            request,
            plan,
            provider,
            ..
        } = self;
        let app = &session.app;
        let sessions = Touched::sessions(&request, &plan);
        let coordinator = app.coordinator(&stores, provider, session.events());
        let worker = app.worker()?;
        let options = IngestOptions {
            parallel_units: self.parallel_units,
            outage_pause: app.config().http.probe_after,
            shrink: self.shrink,
            owner: worker.owner.clone(),
            job: self.job,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| CliError::refused_by_system("start the runtime", &error))?;
        let stopping = Stopping::default();
        stopping.watch_beside(limits.max_runtime)?;
        let work = coordinator.execute(&request, plan, options, &stopping.signal);
        let report = runtime.block_on(work);
        // Blocking work that was abandoned must not hold up the end.
        runtime.shutdown_timeout(Duration::from_secs(1));
        let report = report?;
        let (exit, error) = match exit_of(&report, &stopping) {
            Ok(exit) => (exit, None),
            Err(error) => (error.exit, Some(error)),
        };
        run.end(exit);
        Ok(Ran {
            report,
            exit,
            error,
            touched: Touched {
                stores,
                symbols: request.symbols,
                sessions,
                stopping,
            },
        })
    }
}

/// The promised exit code of a report.
fn exit_of(report: &IngestReport, stopping: &Stopping) -> Result<Exit, CliError> {
    let provider_failure = report
        .failures
        .iter()
        .find_map(|failure| match &failure.cause {
            FailureCause::Provider(kind) => Some((*kind, failure)),
            _ => None,
        });
    let has_failed_by = |is_it: fn(&FailureCause) -> bool| {
        let mut failures = report.failures.iter();
        failures.any(|failure| is_it(&failure.cause))
    };
    match report.state {
        JobState::Interrupted => Ok(stopping.exit()),
        JobState::Cancelled => Ok(Exit::Interrupted),
        JobState::Failed => match (&report.ended_by, provider_failure) {
            (Some((kind, reason)), _) => Err(CliError::from_provider_kind(*kind, reason.clone())),
            (None, Some((kind, failure))) => {
                Err(CliError::from_provider_kind(kind, failure.reason.clone()))
            }
            _ if has_failed_by(|cause| matches!(cause, FailureCause::Store(_))) => {
                Ok(Exit::Storage)
            }
            _ if has_failed_by(|cause| *cause == FailureCause::Internal) => Ok(Exit::Bug),
            _ => Ok(Exit::Partial),
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
            IngestError::Job(error) => Self::new(Exit::Usage, error.to_string()),
            IngestError::Lost(error) => Self::new(Exit::Bug, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_reads_back_from_its_spec_and_is_described_shortly() {
        let order = IngestOrder {
            provider: "alpaca".into(),
            feed: Some("sip".into()),
            adjustment: None,
            symbols: (0..12).map(|n| format!("S{n}")).collect(),
            start: Some("2024-07-01".into()),
            end: None,
            whole_series: false,
            again: AskAgain::Before(5),
            accept_shrink: false,
        };
        let spec = order.to_spec().unwrap();
        assert_eq!(IngestOrder::from_spec(&spec).unwrap(), order);
        assert_eq!(
            order.describe(&"alpaca/sip/raw".parse().unwrap()),
            "ingest alpaca/sip/raw --symbols S0,S1,S2,S3,S4,S5,S6,S7,S8,S9,and 2 more \
             --start 2024-07-01 --refresh"
        );
        assert!(IngestOrder::from_spec("{}").is_err());
    }
}
