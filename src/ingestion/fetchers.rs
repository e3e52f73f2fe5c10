//! The fetchers: all units of a plan in parallel, in order, and those that failed for a passing reason once more at the
//! end. Hand what they bring to the committer. Know only ports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;

use crate::domain::JobId;
use crate::domain::ports::{ProviderError, ProviderErrorKind};

use super::committer::Fetched;
use super::coordinator::Ports;
use super::fetch::{FetchContext, Refusals, Traffic, fetch_unit};
use super::plan::FetchUnit;
use crate::domain::stop::StopSignal;

/// Fetches the units of one run.
pub(super) struct Fetchers<'a> {
    ports: &'a Ports,
    job: JobId,
    stop: &'a StopSignal,
    /// Given by failures that end the run, so that they do not look like the user's Ctrl-C.
    halt: StopSignal,
    committer: mpsc::Sender<Fetched>,
    refusals: Refusals,
    /// Units that were neither brought nor reported as failed, by number.
    open: Mutex<BTreeMap<u32, FetchUnit>>,
    /// Whether the provider answered anything.
    has_answers: AtomicBool,
    /// Whether the last unit failed because the provider did.
    is_down: AtomicBool,
    /// Whether the last unit failed because of the rate limit.
    is_limited: AtomicBool,
}

/// A unit that failed for a reason that may pass.
struct Deferred {
    unit: FetchUnit,
    error: ProviderError,
    asked_at_us: i64,
}

/// What becomes of failures that may pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    First,
    Last,
}

impl<'a> Fetchers<'a> {
    pub(super) fn new(
        ports: &'a Ports,
        job: JobId,
        stop: &'a StopSignal,
        halt: StopSignal,
        committer: mpsc::Sender<Fetched>,
    ) -> Self {
        Self {
            ports,
            job,
            stop,
            halt,
            committer,
            refusals: Refusals::default(),
            open: Mutex::default(),
            has_answers: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
            is_limited: AtomicBool::new(false),
        }
    }

    /// Fetches `units`, `parallel` at a time; returns those that nobody asked for any more because the run was ended.
    ///
    /// A unit that failed for a passing reason is tried once more when all others are through, if the provider answered
    /// anything at all: an outage in the middle of a night's run costs nothing but time. When the provider was down to
    /// the last, it is given `pause` to come back.
    pub(super) async fn run(
        self,
        units: Vec<FetchUnit>,
        parallel: usize,
        pause: Duration,
    ) -> Vec<FetchUnit> {
        *self.open() = units
            .iter()
            .map(|unit| (unit.number, unit.clone()))
            .collect();
        let deferred = self.round(Round::First, units, parallel).await;
        let is_worth_it = self.has_answers.load(Ordering::Relaxed);
        if !deferred.is_empty() && is_worth_it && !self.is_ended() {
            if self.is_down.load(Ordering::Relaxed) {
                tracing::warn!(
                    "the provider fails; what it failed is asked for once more in {pause:?}"
                );
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.stop.stopped() => {}
                    () = self.halt.stopped() => {}
                }
            } else {
                tracing::info!(
                    "{} units failed and are asked for once more",
                    deferred.len()
                );
            }
            let units = deferred.into_iter().map(|deferred| deferred.unit).collect();
            self.round(Round::Last, units, parallel).await;
        } else {
            for Deferred {
                unit,
                error,
                asked_at_us,
            } in deferred
            {
                self.report(unit, error, asked_at_us).await;
            }
        }
        for (symbol, reason) in self.refusals.take() {
            self.send(Fetched::Refused { symbol, reason }).await;
        }
        std::mem::take(&mut *self.open()).into_values().collect()
    }

    async fn round(&self, round: Round, units: Vec<FetchUnit>, parallel: usize) -> Vec<Deferred> {
        let deferred = Mutex::new(Vec::new());
        stream::iter(units)
            .for_each_concurrent(parallel.max(1), |unit| {
                let deferred = &deferred;
                async move {
                    if let Some(failed) = self.fetch(round, unit).await {
                        let mut deferred = deferred.lock().unwrap_or_else(PoisonError::into_inner);
                        deferred.push(failed);
                    }
                }
            })
            .await;
        deferred
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches one unit and hands it on; returns it when it may be tried again.
    async fn fetch(&self, round: Round, unit: FetchUnit) -> Option<Deferred> {
        if self.is_ended() {
            return None;
        }
        let asked_at_us = self.ports.clock.now_us();
        tracing::debug!(unit = unit.number, covers = %unit.describe(), "fetching");
        let context = FetchContext {
            provider: self.ports.provider.as_ref(),
            events: self.ports.events.as_ref(),
            job: self.job,
            refusals: &self.refusals,
        };
        let mut traffic = Traffic::default();
        let fetched = tokio::select! {
            biased;
            () = self.stop.stopped() => None,
            () = self.halt.stopped() => None,
            fetched = fetch_unit(context, unit.clone(), asked_at_us, &mut traffic) => Some(fetched),
        };
        if traffic.wire_bytes > 0 {
            self.has_answers.store(true, Ordering::Relaxed);
        }
        self.send(Fetched::Spent(traffic)).await;
        match fetched {
            None => {}
            Some(Ok(fetched)) => {
                self.is_down.store(false, Ordering::Relaxed);
                self.is_limited.store(false, Ordering::Relaxed);
                self.send(Fetched::Unit(Box::new(fetched))).await;
                self.open().remove(&unit.number);
            }
            Some(Err(error)) => {
                self.is_down.store(is_outage(error.kind), Ordering::Relaxed);
                // Two units in a row that the limit starved for as long as one may wait, or one that was told to come back
                // later than that: the others would fare no better.
                let is_limited = error.kind == ProviderErrorKind::RateLimited;
                let was_limited = self.is_limited.swap(is_limited, Ordering::Relaxed);
                let is_exhausted = is_limited && (was_limited || error.is_lasting);
                if round == Round::First && error.kind.is_retryable() && !is_exhausted {
                    return Some(Deferred {
                        unit,
                        error,
                        asked_at_us,
                    });
                }
                self.report(unit, error, asked_at_us).await;
                if is_exhausted {
                    self.halt.stop();
                }
            }
        }
        None
    }

    async fn report(&self, unit: FetchUnit, error: ProviderError, asked_at_us: i64) {
        self.open().remove(&unit.number);
        self.send(Fetched::Failed {
            unit,
            error,
            asked_at_us,
        })
        .await;
    }

    async fn send(&self, fetched: Fetched) {
        // The committer only goes away when it has failed; its result says so, and nothing more is asked for.
        if self.committer.send(fetched).await.is_err() {
            self.halt.stop();
        }
    }

    fn is_ended(&self) -> bool {
        self.stop.is_stopped() || self.halt.is_stopped()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u32, FetchUnit>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the provider itself fails, and not one request of it.
const fn is_outage(kind: ProviderErrorKind) -> bool {
    matches!(
        kind,
        ProviderErrorKind::Unreachable
            | ProviderErrorKind::TimedOut
            | ProviderErrorKind::ServerError
    )
}
