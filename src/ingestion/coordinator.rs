//! The coordinator: executes a plan. Plans from the ledger, fetches units in parallel, hands them to the committer and
//! closes the job with a report. Knows only ports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::domain::event::Event;
use crate::domain::job::{IngestionJob, JobCounts, JobId, JobOwner, JobState, JobTransitionError};
use crate::domain::merge::ShrinkPolicy;
use crate::domain::ports::{
    BarSelection, BarStore, Clock, EventPublisher, JobRepository, MarketDataProvider, StoreError,
    SymbolBarsRepository,
};
use crate::domain::{Calendar, CalendarError, SessionDate, Symbol, Timeframe};

use super::committer::{Committer, Fatal, Fetched, Outcome};
use super::fetch::{FetchFailure, fetch_unit};
use super::judge::JudgeContext;
use super::plan::{
    FetchUnit, IngestPlan, IngestRequest, Planner, RequestedRange, SymbolLedger, resolve_range,
};
use super::report::IngestReport;
use super::stop::StopSignal;

/// How many days before the last settled session an incremental run looks for sessions that are not final.
const HEALED_DAYS: i32 = 30;

/// Fetched units that may wait for the committer: back-pressure keeps memory bounded.
const UNITS_IN_WAITING: usize = 1;

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
    /// What to do when far fewer rows come than are stored.
    pub shrink: ShrinkPolicy,
    /// Who runs the job.
    pub owner: JobOwner,
    /// The request in words, without secrets.
    pub description: String,
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

    /// Plans `request` from the ledger: what is missing or provisional, packed into units.
    ///
    /// # Errors
    /// When the request leaves the calendar or the ledger cannot be read.
    pub fn plan(&self, request: &IngestRequest) -> Result<IngestPlan, IngestError> {
        let profile = self.ports.provider.profile();
        let mut planner = Planner::new(profile.clone(), request.refresh);
        for symbol in &request.symbols {
            let calendar = Calendar::of(symbol);
            let begins_at = match request.range {
                RequestedRange::Incremental => self.first_open_session(symbol)?,
                _ => None,
            };
            let resolved = resolve_range(
                request.range,
                calendar,
                begins_at,
                request.now_us,
                profile.hold_back_us,
            )?;
            let records = match (resolved.sessions.first(), resolved.sessions.last()) {
                (Some(first), Some(last)) => self.ports.ledger.list_sessions(
                    &profile.dataset,
                    symbol,
                    first.date(),
                    last.date(),
                )?,
                _ => Vec::new(),
            };
            planner.add_symbol(symbol.clone(), &resolved, &SymbolLedger { records })?;
        }
        Ok(planner.finish())
    }

    /// Where an incremental run begins: a month before the last settled session, or with the first one that is held
    /// since. Settled sessions are not asked for again; what failed or was refused in between is.
    fn first_open_session(&self, symbol: &Symbol) -> Result<Option<SessionDate>, StoreError> {
        let dataset = &self.ports.provider.profile().dataset;
        let Some(last) = self.ports.ledger.find_last_settled(dataset, symbol)? else {
            return Ok(None);
        };
        let days = last.days_since_epoch() - HEALED_DAYS;
        let first = SessionDate::from_days_since_epoch(days).unwrap_or(last);
        let records = self
            .ports
            .ledger
            .list_sessions(dataset, symbol, first, last)?;
        Ok(records.first().map(|record| record.date))
    }

    /// Executes `plan`. Everything that was committed stays, whatever happens afterwards.
    ///
    /// # Errors
    /// Only when no job could be made or closed; failures of symbols are in the report.
    pub async fn execute(
        &self,
        request: &IngestRequest,
        plan: IngestPlan,
        options: IngestOptions,
        stop: &StopSignal,
    ) -> Result<IngestReport, IngestError> {
        let begun = Instant::now();
        let mut report = self.empty_report(&plan);
        if plan.units.is_empty() {
            report.no_data = self.symbols_without_data(request, &plan, &BTreeMap::new())?;
            report.elapsed = begun.elapsed();
            return Ok(report);
        }
        let job = self
            .ports
            .jobs
            .create_job(
                &options.description,
                &options.owner,
                self.ports.clock.now_us(),
            )?
            .start(options.owner.clone())?;
        self.ports.jobs.save_job(&job)?;
        let profile = self.ports.provider.profile();
        self.ports.events.publish(&Event::JobStarted {
            job: job.id(),
            symbols: plan.symbols.len(),
            units: plan.units.len(),
            requests: plan.expected_requests(profile.rows_per_page),
            expected_rows: plan.expected_rows(),
        });
        let outcome = self.run_units(&plan, job.id(), &options, stop).await?;
        report.job = Some(job.id());
        if outcome.fatal.is_none() && !outcome.is_stopped {
            report.no_data = self.symbols_without_data(request, &plan, &outcome.rows_of)?;
            let failed = |symbol: &Symbol| {
                outcome
                    .failures
                    .iter()
                    .any(|failure| failure.symbol == *symbol)
            };
            report.no_data.retain(|symbol| !failed(symbol));
        }
        self.close_job(job, report, outcome, begun)
    }

    /// Fetches and commits all units: fetchers on the runtime, one committer on a thread of its own.
    async fn run_units(
        &self,
        plan: &IngestPlan,
        job: JobId,
        options: &IngestOptions,
        stop: &StopSignal,
    ) -> Result<Outcome, IngestError> {
        // Failures that end the run stop the fetchers, without looking like the user's Ctrl-C.
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
        };
        let committing = tokio::task::spawn_blocking(move || committer.run(receiver));
        let fetching = stream::iter(plan.units.iter().cloned()).for_each_concurrent(
            options.parallel_units.max(1),
            |unit| {
                let (sender, halt) = (sender.clone(), halt.clone());
                async move {
                    if stop.is_stopped() || halt.is_stopped() {
                        return;
                    }
                    let result = self.fetch(unit, job, stop, &halt).await;
                    if stop.is_stopped() && !matches!(result, Fetched::Unit(_)) {
                        return;
                    }
                    // The committer only goes away when it has failed; its result says so.
                    _ = sender.send(result).await;
                }
            },
        );
        fetching.await;
        drop(sender);
        let mut outcome = committing
            .await
            .map_err(|error| IngestError::Lost(error.to_string()))?;
        outcome.is_stopped = stop.is_stopped();
        Ok(outcome)
    }

    async fn fetch(
        &self,
        unit: FetchUnit,
        job: JobId,
        stop: &StopSignal,
        halt: &StopSignal,
    ) -> Fetched {
        let asked_at_us = self.ports.clock.now_us();
        let number = unit.number;
        let (symbols, part) = (unit.symbols.clone(), unit.describe());
        tracing::debug!(unit = number, covers = %part, "fetching");
        let events = self.ports.events.as_ref();
        let fetched = tokio::select! {
            () = halt.stopped() => return Fetched::Stopped,
            fetched = fetch_unit(self.ports.provider.as_ref(), events, stop, job, unit, asked_at_us) => fetched,
        };
        match fetched {
            Ok(fetched) => Fetched::Unit(Box::new(fetched)),
            Err(FetchFailure::Stopped) => Fetched::Stopped,
            Err(FetchFailure::Provider(error, traffic)) => Fetched::Failed {
                symbols,
                part,
                error,
                traffic,
            },
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
                .map(|symbol| count(symbol.sessions_settled))
                .sum(),
            sessions_to_fetch: plan
                .symbols
                .iter()
                .map(|symbol| count(symbol.sessions_to_fetch))
                .sum(),
            counts: JobCounts::default(),
            failures: Vec::new(),
            shrunk: Vec::new(),
            no_data: Vec::new(),
            elapsed: std::time::Duration::ZERO,
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
        outcome: Outcome,
        begun: Instant,
    ) -> Result<IngestReport, IngestError> {
        report.counts = outcome.counts;
        report.failures = outcome.failures;
        report.shrunk = outcome.shrunk;
        let (state, message) = match outcome.fatal {
            Some(Fatal::Store(error)) => {
                let message = error.to_string();
                // The disk may be full or gone; the store's own failure is the one to tell.
                _ = self.finish(job, JobState::Failed, &report, Some(message));
                return Err(error.into());
            }
            Some(Fatal::Provider(reason)) => (JobState::Failed, Some(reason)),
            None if outcome.is_stopped => (JobState::Interrupted, Some("interrupted".to_owned())),
            None if report.is_partial() => {
                let failed: BTreeSet<&Symbol> = report
                    .failures
                    .iter()
                    .map(|failure| &failure.symbol)
                    .collect();
                let state = if failed.len() >= report.symbols {
                    JobState::Failed
                } else {
                    JobState::Partial
                };
                (
                    state,
                    Some(format!(
                        "{} symbols incomplete, {} without data",
                        report.failures.len(),
                        report.no_data.len()
                    )),
                )
            }
            None => (JobState::Completed, None),
        };
        report.state = state;
        report.elapsed = begun.elapsed();
        self.finish(job, state, &report, message)?;
        Ok(report)
    }

    fn finish(
        &self,
        job: IngestionJob,
        state: JobState,
        report: &IngestReport,
        message: Option<String>,
    ) -> Result<(), IngestError> {
        let id = job.id();
        let job = job.finish(state, report.counts, message, self.ports.clock.now_us())?;
        self.ports.jobs.save_job(&job)?;
        self.ports.events.publish(&Event::JobFinished {
            job: id,
            state,
            counts: report.counts,
        });
        Ok(())
    }
}
