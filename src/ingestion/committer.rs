//! The committer: judges what the fetchers bring, in order of arrival, commits it, and turns every failure into data.
//! Knows only ports.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::domain::causes::with_causes;
use crate::domain::event::Event;
use crate::domain::job::JobCounts;
use crate::domain::merge::ShrinkRefusal;
use crate::domain::ports::{
    CommitBatch, CommitReceipt, PartitionOutcome, ProviderError, ProviderErrorKind, QuarantinedRow,
    StoreError, StoreErrorKind,
};
use crate::domain::{Checkpoint, SessionDate, Symbol};

use super::coordinator::Ports;
use super::fetch::{FetchedUnit, Traffic};
use super::judge::{JudgeContext, judge_unit};
use super::plan::FetchUnit;
use super::report::{FailureCause, SymbolFailure};
use crate::domain::stop::StopSignal;

/// Partitions that one commit holds at most: two database syncs are shared by many files.
const PARTITIONS_PER_COMMIT: usize = 64;

/// Rows in quarantine that a report names; all of them are in the database.
const REPORTED_QUARANTINED_ROWS: usize = 10;

/// What the committer collects.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) counts: JobCounts,
    pub(super) failures: Vec<SymbolFailure>,
    pub(super) shrunk: Vec<(Symbol, ShrinkRefusal)>,
    pub(super) rows_of: BTreeMap<Symbol, u64>,
    /// The first rows that were kept apart.
    pub(super) quarantined: Vec<QuarantinedRow>,
    /// Rows in whose place a later one for the same minute came.
    pub(super) overruled_rows: u64,
    /// The failure that ended the run early.
    pub(super) fatal: Option<Fatal>,
}

#[derive(Debug)]
pub(super) enum Fatal {
    Provider(ProviderErrorKind, String),
    Store(StoreError),
}

/// What a fetcher hands to the committer.
pub(super) enum Fetched {
    Unit(Box<FetchedUnit>),
    Failed {
        unit: FetchUnit,
        error: ProviderError,
        asked_at_us: i64,
    },
    /// A symbol that the provider does not know as one, with its words.
    Refused {
        symbol: Symbol,
        reason: String,
    },
    /// What a fetch cost.
    Spent(Traffic),
}

/// Judges and commits what the fetchers bring, in order of arrival, on a thread that may block.
pub(super) struct Committer {
    pub(super) ports: Ports,
    pub(super) context: JudgeContext,
    pub(super) halt: StopSignal,
    pub(super) outcome: Outcome,
    /// What is counted already and not yet committed with the job.
    pub(super) uncommitted: JobCounts,
}

impl Committer {
    /// Works until no fetcher is left.
    pub(super) fn run(mut self, mut receiver: mpsc::Receiver<Fetched>) -> Outcome {
        while let Some(fetched) = receiver.blocking_recv() {
            match fetched {
                Fetched::Spent(traffic) => self.note_traffic(traffic),
                Fetched::Refused { symbol, reason } => self.note_failure(
                    symbol,
                    "in all sessions".to_owned(),
                    FailureCause::Provider(ProviderErrorKind::InvalidSymbol),
                    reason,
                ),
                Fetched::Failed {
                    unit,
                    error,
                    asked_at_us,
                } => self.note_provider_failure(&unit, &error, asked_at_us),
                // After a failure of the store the rest is only drained: a later month must not settle before an earlier one.
                Fetched::Unit(_) if matches!(self.outcome.fatal, Some(Fatal::Store(_))) => {}
                Fetched::Unit(unit) => {
                    if let Err(error) = self.commit_unit(&unit) {
                        self.outcome.fatal = Some(Fatal::Store(error));
                        self.halt.stop();
                        // Whoever waits to send must not wait for ever.
                        receiver.close();
                    }
                }
            }
        }
        self.outcome
    }

    fn note_provider_failure(&mut self, unit: &FetchUnit, error: &ProviderError, asked_at_us: i64) {
        let reason = with_causes(error);
        for symbol in &unit.symbols {
            self.note_failure(
                symbol.clone(),
                unit.dates(),
                FailureCause::Provider(error.kind),
                reason.clone(),
            );
        }
        if error.kind == ProviderErrorKind::NotEntitled {
            let dates: Vec<SessionDate> =
                unit.sessions.iter().map(|session| session.date()).collect();
            let dataset = &self.context.dataset;
            let noted =
                self.ports
                    .ledger
                    .note_not_entitled(dataset, &unit.symbols, &dates, asked_at_us);
            if let Err(error) = noted {
                tracing::warn!("{error}: `gaps` will show these sessions as not asked");
            }
        }
        if error.kind.ends_the_run() {
            self.outcome
                .fatal
                .get_or_insert(Fatal::Provider(error.kind, reason));
            self.halt.stop();
        }
    }

    fn note_traffic(&mut self, traffic: Traffic) {
        self.count(JobCounts {
            requests: traffic.requests,
            retries: traffic.retries,
            wire_bytes: traffic.wire_bytes,
            rows_received: traffic.rows,
            ..JobCounts::default()
        });
    }

    fn count(&mut self, counts: JobCounts) {
        self.uncommitted += counts;
        self.note_counted(counts);
    }

    /// Enters what is in the job's row already, or will be with the next commit.
    fn note_counted(&mut self, counts: JobCounts) {
        self.outcome.counts += counts;
        self.ports.events.publish(&Event::JobCounted {
            dataset: self.context.dataset.clone(),
            counts,
        });
    }

    fn note_failure(&mut self, symbol: Symbol, part: String, cause: FailureCause, reason: String) {
        self.ports.events.publish(&Event::SymbolFailed {
            dataset: self.context.dataset.clone(),
            symbol: symbol.clone(),
            kind: cause.as_str(),
            reason: reason.clone(),
        });
        self.outcome.failures.push(SymbolFailure {
            symbol,
            part,
            cause,
            reason,
        });
    }

    fn commit_unit(&mut self, fetched: &FetchedUnit) -> Result<(), StoreError> {
        let mut judged = match judge_unit(fetched, &self.context) {
            Ok(judged) => judged,
            Err(error) => {
                for symbol in fetched.unit.symbols.clone() {
                    self.note_failure(
                        symbol,
                        fetched.unit.dates(),
                        FailureCause::Internal,
                        error.to_string(),
                    );
                }
                return Ok(());
            }
        };
        self.publish_quarantined(&judged.quarantined);
        self.outcome.overruled_rows += judged.overruled_rows;
        let room = REPORTED_QUARANTINED_ROWS.saturating_sub(self.outcome.quarantined.len());
        let first = judged.quarantined.iter().take(room).cloned();
        self.outcome.quarantined.extend(first);
        self.count(JobCounts {
            rows_quarantined: u64::try_from(judged.quarantined.len()).unwrap_or(u64::MAX),
            ..JobCounts::default()
        });
        let total = u32::try_from(judged.answers.len()).unwrap_or(u32::MAX);
        let mut committed = 0;
        while !judged.answers.is_empty() || !judged.quarantined.is_empty() {
            let rest = judged
                .answers
                .split_off(judged.answers.len().min(PARTITIONS_PER_COMMIT));
            let answers = std::mem::replace(&mut judged.answers, rest);
            committed += u32::try_from(answers.len()).unwrap_or(u32::MAX);
            let checkpoint = Checkpoint {
                job: self.context.job,
                unit: fetched.unit.number,
                description: fetched.unit.describe(),
                committed,
                total,
            };
            let receipt = self.ports.store.commit(CommitBatch {
                job: self.context.job,
                answers,
                quarantined: std::mem::take(&mut judged.quarantined),
                checkpoints: vec![checkpoint],
                counts: std::mem::take(&mut self.uncommitted),
                at_us: self.ports.clock.now_us(),
            })?;
            self.note_receipt(receipt)?;
        }
        Ok(())
    }

    fn publish_quarantined(&self, rows: &[QuarantinedRow]) {
        let mut by_symbol: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            *by_symbol.entry(row.symbol.as_str()).or_default() += 1;
        }
        for (symbol, rows) in by_symbol {
            self.ports.events.publish(&Event::BarsQuarantined {
                dataset: self.context.dataset.clone(),
                symbol: symbol.to_owned(),
                rows,
            });
        }
    }

    fn note_receipt(&mut self, receipt: CommitReceipt) -> Result<(), StoreError> {
        let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut counts = JobCounts::default();
        for partition in &receipt.partitions {
            counts += partition.counts();
        }
        // The store has added these to the job by itself.
        self.note_counted(counts);
        for partition in receipt.partitions {
            let symbol = partition.key.symbol.clone();
            match partition.outcome {
                PartitionOutcome::Failed(error) if error.kind == StoreErrorKind::NoSpace => {
                    return Err(error);
                }
                PartitionOutcome::Failed(error) => {
                    let part = partition.key.period.to_string();
                    self.note_failure(
                        symbol,
                        part,
                        FailureCause::Store(error.kind),
                        with_causes(&error),
                    );
                    continue;
                }
                PartitionOutcome::Written | PartitionOutcome::Unchanged => {}
            }
            *self.outcome.rows_of.entry(symbol.clone()).or_default() +=
                as_u64(partition.rows_asked);
            for refusal in partition.refused {
                self.note_shrink(&symbol, refusal);
            }
            self.ports.events.publish(&Event::PartitionCommitted {
                key: partition.key,
                rows: partition.rows,
                rows_new: partition.rows_new,
                rows_revised: partition.rows_revised,
                bytes: partition.bytes,
            });
        }
        Ok(())
    }

    fn note_shrink(&mut self, symbol: &Symbol, refusal: ShrinkRefusal) {
        self.ports.events.publish(&Event::ShrinkRefused {
            dataset: self.context.dataset.clone(),
            symbol: symbol.clone(),
            date: refusal.date,
            stored_rows: refusal.stored_rows,
            answered_rows: refusal.answered_rows,
        });
        let reason = format!(
            "{} rows were answered where {} are stored; the stored ones stay",
            refusal.answered_rows, refusal.stored_rows
        );
        self.outcome.failures.push(SymbolFailure {
            symbol: symbol.clone(),
            part: refusal.date.to_string(),
            cause: FailureCause::Shrunk,
            reason,
        });
        self.outcome.shrunk.push((symbol.clone(), refusal));
    }
}
