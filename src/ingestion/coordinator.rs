//! The coordinator: executes a plan. Starts or takes up the job, sets fetchers and committer to work, and closes the
//! job with a report. Knows only ports.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::mpsc;

use crate::domain::event::Event;
use crate::domain::job::{
    IngestionJob, JobCounts, JobId, JobOwner, JobRequest, JobState, JobTransitionError,
};
use crate::domain::merge::ShrinkPolicy;
use crate::domain::ports::{
    BarSelection, BarStore, CheckpointRepository, Clock, EventPublisher, JobRepository,
    MarketDataProvider, StoreError, SymbolBarsRepository,
};
use crate::domain::{CalendarError, Symbol, Timeframe};

use super::committer::{Committer, Fatal, Fetched, Outcome};
use super::fetchers::Fetchers;
use super::judge::JudgeContext;
use super::plan::{FetchUnit, IngestPlan, IngestRequest, RequestedRange};
use super::report::{IngestReport, NotDone};
use crate::domain::stop::StopSignal;

/// Fetched units that may wait for the committer: back-pressure keeps memory bounded.
const UNITS_IN_WAITING: usize = 1;

/// How often the coordinator looks whether somebody wants the job to end.
const CANCEL_POLL: Duration = Duration::from_secs(1);

/// What the coordinator needs from the outside.
#[derive(Clone)]
pub struct Ports {
    /// Who is asked.
    pub provider: Arc<dyn MarketDataProvider>,
    /// Where bars go.
    pub store: Arc<dyn BarStore>,
    /// The ledger.
    pub ledger: Arc<dyn SymbolBarsRepository>,
    /// The jobs.
    pub jobs: Arc<dyn JobRepository>,
    /// How far they are.
    pub checkpoints: Arc<dyn CheckpointRepository>,
    /// Who is told.
    pub events: Arc<dyn EventPublisher>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// How an ingest is carried out.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Units fetched at the same time.
    pub parallel_units: usize,
    /// How long a provider that is down gets to come back before what it failed is asked for once more.
    pub outage_pause: Duration,
    /// What to do when far fewer rows come than are stored.
    pub shrink: ShrinkPolicy,
    /// Who runs the job.
    pub owner: JobOwner,
    /// Which job.
    pub job: JobStart,
}

/// The job that an ingest works on.
#[derive(Debug, Clone)]
pub enum JobStart {
    /// A new one, if there is anything to fetch.
    New(JobRequest),
    /// One that ended before its work was done.
    Resumed(Box<IngestionJob>),
}

/// What running the units came to.
struct Ran {
    outcome: Outcome,
    /// Units that nobody asked for any more.
    left: Vec<FetchUnit>,
    end: RunEnd,
}

/// Who ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunEnd {
    /// Nobody: all units were tried, or a failure ended it.
    Through,
    /// The stop signal.
    Stopped,
    /// `jobs cancel`.
    Cancelled,
}

/// A failure that left no report: nothing was begun, or the store is unusable.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The request leaves the calendar.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The job was not in a state that can be worked on.
    #[error(transparent)]
    Job(#[from] JobTransitionError),
    /// A part of the program ended without a result.
    #[error("the committer ended without a result: {0}")]
    Lost(String),
}

/// Executes ingests.
#[derive(Clone)]
pub struct IngestionCoordinatorService {
    ports: Ports,
}

impl IngestionCoordinatorService {
    /// A coordinator over these ports.
    pub fn new(ports: Ports) -> Self {
        Self { ports }
    }

    /// Executes `plan`. Everything that was committed stays, whatever happens afterwards.
    ///
    /// # Errors
    /// Only when no job could be made or closed; failures of symbols are in the report.
    pub async fn execute(
        &self,
        request: &IngestRequest,
        mut plan: IngestPlan,
        options: IngestOptions,
        stop: &StopSignal,
    ) -> Result<IngestReport, IngestError> {
        let begun = Instant::now();
        let mut report = self.empty_report(&plan);
        if plan.units.is_empty() && matches!(options.job, JobStart::New(_)) {
            report.no_data = self.symbols_without_data(request, &plan, &BTreeMap::new())?;
            report.elapsed = begun.elapsed();
            return Ok(report);
        }
        let job = self.start_job(&options)?;
        match self.work_on(&job, request, &mut plan, &options, stop).await {
            Ok((ran, no_data)) => {
                report.job = Some(job.id());
                report.no_data = no_data;
                report.not_done = NotDone::of(&ran.left);
                self.close_job(job, report, ran, begun)
            }
            Err(error) => {
                // What went wrong is the one thing to tell, also when the job cannot be closed.
                let message = Some(error.to_string());
                _ = self.finish(job, JobState::Failed, JobCounts::default(), message);
                Err(error)
            }
        }
    }

    /// Runs the units of a job that was started; returns also the symbols without data.
    async fn work_on(
        &self,
        job: &IngestionJob,
        request: &IngestRequest,
        plan: &mut IngestPlan,
        options: &IngestOptions,
        stop: &StopSignal,
    ) -> Result<(Ran, Vec<Symbol>), IngestError> {
        self.number_after_earlier_units(plan, job.id())?;
        let profile = self.ports.provider.profile();
        self.ports.events.publish(&Event::JobStarted {
            job: job.id(),
            dataset: profile.dataset.clone(),
            symbols: plan.symbols.len(),
            units: plan.units.len(),
            requests: plan.expected_requests(profile.rows_per_page),
            expected_rows: plan.expected_rows(),
        });
        let ran = self.run_units(plan, job.id(), options, stop).await?;
        let mut no_data = Vec::new();
        if ran.outcome.fatal.is_none() && ran.end == RunEnd::Through {
            no_data = self.symbols_without_data(request, plan, &ran.outcome.rows_of)?;
            let failures = ran.outcome.failures.iter();
            let failed: BTreeSet<&Symbol> = failures.map(|failure| &failure.symbol).collect();
            no_data.retain(|symbol| !failed.contains(symbol));
        }
        Ok((ran, no_data))
    }

    fn start_job(&self, options: &IngestOptions) -> Result<IngestionJob, IngestError> {
        let planned = match &options.job {
            JobStart::New(request) => {
                let now_us = self.ports.clock.now_us();
                self.ports
                    .jobs
                    .create_job(request, &options.owner, now_us)?
            }
            JobStart::Resumed(job) => job.as_ref().clone(),
        };
        let state = planned.state();
        let job = planned.start(options.owner.clone())?;
        self.ports.jobs.claim_job(&job, state)?;
        Ok(job)
    }

    /// A resumed job has units already: the new ones are counted on from there.
    fn number_after_earlier_units(
        &self,
        plan: &mut IngestPlan,
        job: JobId,
    ) -> Result<(), IngestError> {
        let earlier = self.ports.checkpoints.list_checkpoints(job)?;
        if let Some(last) = earlier.last() {
            for unit in &mut plan.units {
                unit.number += last.unit + 1;
            }
        }
        Ok(())
    }

    /// Fetches and commits all units: fetchers on the runtime, one committer on a thread of its own.
    async fn run_units(
        &self,
        plan: &IngestPlan,
        job: JobId,
        options: &IngestOptions,
        stop: &StopSignal,
    ) -> Result<Ran, IngestError> {
        // The user's Ctrl-C and `jobs cancel` end the fetchers in the same way and are told apart afterwards.
        let ending = StopSignal::default();
        let halt = StopSignal::default();
        let (sender, receiver) = mpsc::channel::<Fetched>(UNITS_IN_WAITING);
        let committer = Committer {
            ports: self.ports.clone(),
            context: JudgeContext {
                dataset: self.ports.provider.profile().dataset.clone(),
                job,
                shrink: options.shrink,
            },
            halt: halt.clone(),
            outcome: Outcome::default(),
            uncommitted: JobCounts::default(),
        };
        let committing = tokio::task::spawn_blocking(move || committer.run(receiver));
        let fetchers = Fetchers::new(&self.ports, job, &ending, halt, sender);
        let units = plan.units.clone();
        let mut fetching = pin!(fetchers.run(units, options.parallel_units, options.outage_pause));
        let mut end = RunEnd::Through;
        let left = tokio::select! {
            left = &mut fetching => left,
            () = stop.stopped() => {
                end = RunEnd::Stopped;
                ending.stop();
                fetching.await
            }
            () = self.cancelled(job) => {
                end = RunEnd::Cancelled;
                ending.stop();
                fetching.await
            }
        };
        let outcome = committing
            .await
            .map_err(|error| IngestError::Lost(error.to_string()))?;
        Ok(Ran { outcome, left, end })
    }

    /// Waits until somebody wants the job to end. A look that fails is no wish.
    async fn cancelled(&self, job: JobId) {
        loop {
            tokio::time::sleep(CANCEL_POLL).await;
            let jobs = Arc::clone(&self.ports.jobs);
            let look = tokio::task::spawn_blocking(move || jobs.is_cancel_requested(job));
            if matches!(look.await, Ok(Ok(true))) {
                return;
            }
        }
    }

    fn empty_report(&self, plan: &IngestPlan) -> IngestReport {
        let profile = self.ports.provider.profile();
        let count = |sessions: usize| u64::try_from(sessions).unwrap_or(u64::MAX);
        IngestReport {
            job: None,
            state: JobState::Completed,
            dataset: profile.dataset.clone(),
            is_real: profile.is_real,
            symbols: plan.symbols.len(),
            sessions_settled: plan
                .symbols
                .iter()
                .map(|symbol| count(symbol.sessions_settled()))
                .sum(),
            sessions_begun: plan
                .symbols
                .iter()
                .map(|symbol| count(symbol.sessions))
                .sum(),
            sessions_to_fetch: plan
                .symbols
                .iter()
                .map(|symbol| count(symbol.sessions_to_fetch))
                .sum(),
            counts: JobCounts::default(),
            failures: Vec::new(),
            quarantined: Vec::new(),
            overruled_rows: 0,
            shrunk: Vec::new(),
            no_data: Vec::new(),
            not_done: NotDone::default(),
            ended_by: None,
            elapsed: Duration::ZERO,
        }
    }

    /// Symbols that have no bar in the requested range, neither held nor new.
    ///
    /// A daily run asks for a session that may have just begun; there a symbol counts as unknown only when nothing of it is held at all.
    fn symbols_without_data(
        &self,
        request: &IngestRequest,
        plan: &IngestPlan,
        rows_of: &BTreeMap<Symbol, u64>,
    ) -> Result<Vec<Symbol>, StoreError> {
        let mut without = Vec::new();
        for symbol_plan in &plan.symbols {
            let rows =
                symbol_plan.held_rows + rows_of.get(&symbol_plan.symbol).copied().unwrap_or(0);
            if rows > 0 {
                continue;
            }
            if request.range == RequestedRange::Incremental {
                let selection = BarSelection {
                    dataset: Some(self.ports.provider.profile().dataset.clone()),
                    symbols: vec![symbol_plan.symbol.clone()],
                    timeframe: Some(Timeframe::M1),
                    sessions: None,
                };
                if !self.ports.store.list_files(&selection)?.is_empty() {
                    continue;
                }
            }
            without.push(symbol_plan.symbol.clone());
        }
        Ok(without)
    }

    fn close_job(
        &self,
        job: IngestionJob,
        mut report: IngestReport,
        ran: Ran,
        begun: Instant,
    ) -> Result<IngestReport, IngestError> {
        let outcome = ran.outcome;
        report.counts = outcome.counts;
        report.failures = outcome.failures;
        report.shrunk = outcome.shrunk;
        report.quarantined = outcome.quarantined;
        report.overruled_rows = outcome.overruled_rows;
        let (state, message) = match outcome.fatal {
            Some(Fatal::Store(error)) => {
                let message = error.to_string();
                // The disk may be full or gone; the store's own failure is the one to tell.
                _ = self.finish(job, JobState::Failed, report.counts, Some(message));
                return Err(error.into());
            }
            Some(Fatal::Provider(kind, reason)) => {
                report.ended_by = Some((kind, reason.clone()));
                (JobState::Failed, Some(reason))
            }
            None if ran.end == RunEnd::Stopped => {
                (JobState::Interrupted, Some("interrupted".to_owned()))
            }
            None if ran.end == RunEnd::Cancelled => (
                JobState::Cancelled,
                Some("cancelled while it was running".to_owned()),
            ),
            None if report.is_partial() => {
                let failed: BTreeSet<&Symbol> = report
                    .failures
                    .iter()
                    .map(|failure| &failure.symbol)
                    .collect();
                let committed = report.counts.files_written + report.counts.files_unchanged;
                let state = if failed.len() >= report.symbols && committed == 0 {
                    JobState::Failed
                } else {
                    JobState::Partial
                };
                (
                    state,
                    Some(format!(
                        "{} symbols incomplete, {} without data",
                        failed.len(),
                        report.no_data.len()
                    )),
                )
            }
            None => (JobState::Completed, None),
        };
        report.state = state;
        report.elapsed = begun.elapsed();
        self.finish(job, state, report.counts, message)?;
        Ok(report)
    }

    fn finish(
        &self,
        job: IngestionJob,
        state: JobState,
        counted: JobCounts,
        message: Option<String>,
    ) -> Result<(), IngestError> {
        let id = job.id();
        let mut counts = *job.counts();
        counts += counted;
        let job = job.finish(state, counts, message, self.ports.clock.now_us())?;
        self.ports.jobs.save_job(&job)?;
        self.ports.events.publish(&Event::JobFinished {
            job: id,
            state,
            counts: counted,
        });
        Ok(())
    }
}
