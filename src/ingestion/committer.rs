//! The committer: judges what the fetchers bring, in order of arrival, commits it, and turns every failure into data.
//! Knows only ports.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::domain::event::Event;
use crate::domain::job::JobCounts;
use crate::domain::merge::ShrinkRefusal;
use crate::domain::ports::{
    CommitBatch, CommitReceipt, PartitionOutcome, ProviderError, ProviderErrorKind, QuarantinedRow,
    StoreError, StoreErrorKind,
};
use crate::domain::{Checkpoint, Symbol};

use super::coordinator::Ports;
use super::fetch::{FetchedUnit, Traffic};
use super::judge::{JudgeContext, judge_unit};
use super::report::{FailureCause, SymbolFailure};
use super::stop::StopSignal;

/// Partitions that one commit holds at most: two database syncs are shared by many files.
const PARTITIONS_PER_COMMIT: usize = 64;

/// What the committer collects.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) counts: JobCounts,
    pub(super) failures: Vec<SymbolFailure>,
    pub(super) shrunk: Vec<(Symbol, ShrinkRefusal)>,
    pub(super) rows_of: BTreeMap<Symbol, u64>,
    /// The failure that ended the run early.
    pub(super) fatal: Option<Fatal>,
    pub(super) is_stopped: bool,
}

#[derive(Debug)]
pub(super) enum Fatal {
    Provider(String),
    Store(StoreError),
}

/// What a fetcher hands to the committer.
pub(super) enum Fetched {
    Unit(Box<FetchedUnit>),
    Failed {
        symbols: Vec<Symbol>,
        part: String,
        error: ProviderError,
        traffic: Traffic,
    },
    Stopped,
}

/// Judges and commits what the fetchers bring, in order of arrival, on a thread that may block.
pub(super) struct Committer {
    pub(super) ports: Ports,
    pub(super) context: JudgeContext,
    pub(super) halt: StopSignal,
    pub(super) outcome: Outcome,
}

impl Committer {
    /// Works until no fetcher is left.
    pub(super) fn run(mut self, mut receiver: mpsc::Receiver<Fetched>) -> Outcome {
        while let Some(fetched) = receiver.blocking_recv() {
            match fetched {
                Fetched::Stopped => {}
                Fetched::Failed {
                    symbols,
                    part,
                    error,
                    traffic,
                } => {
                    self.note_traffic(traffic);
                    self.note_provider_failure(symbols, &part, &error);
                }
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

    fn note_provider_failure(&mut self, symbols: Vec<Symbol>, part: &str, error: &ProviderError) {
        let reason = with_causes(error);
        for symbol in symbols {
            self.note_failure(
                symbol,
                part.to_owned(),
                FailureCause::Provider(error.kind),
                reason.clone(),
            );
        }
        if error.kind.ends_the_run() {
            self.outcome.fatal.get_or_insert(Fatal::Provider(reason));
            self.halt.stop();
        }
    }

    fn note_traffic(&mut self, traffic: Traffic) {
        let counts = &mut self.outcome.counts;
        counts.requests += traffic.requests;
        counts.retries += traffic.retries;
        counts.wire_bytes += traffic.wire_bytes;
        counts.rows_received += traffic.rows;
    }

    fn note_failure(&mut self, symbol: Symbol, part: String, cause: FailureCause, reason: String) {
        self.ports.events.publish(&Event::SymbolFailed {
            symbol: symbol.clone(),
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
        self.note_traffic(fetched.traffic);
        for (symbol, reason) in &fetched.refused {
            self.note_failure(
                symbol.clone(),
                fetched.unit.describe(),
                FailureCause::Provider(ProviderErrorKind::InvalidSymbol),
                reason.clone(),
            );
        }
        let mut judged = match judge_unit(fetched, &self.context) {
            Ok(judged) => judged,
            Err(error) => {
                for symbol in fetched.unit.symbols.clone() {
                    self.note_failure(
                        symbol,
                        fetched.unit.describe(),
                        FailureCause::Internal,
                        error.to_string(),
                    );
                }
                return Ok(());
            }
        };
        self.publish_quarantined(&judged.quarantined);
        self.outcome.counts.rows_quarantined +=
            u64::try_from(judged.quarantined.len()).unwrap_or(u64::MAX);
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
                symbol: symbol.to_owned(),
                rows,
            });
        }
    }

    fn note_receipt(&mut self, receipt: CommitReceipt) -> Result<(), StoreError> {
        let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
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
                PartitionOutcome::Written => self.outcome.counts.files_written += 1,
                PartitionOutcome::Unchanged => self.outcome.counts.files_unchanged += 1,
            }
            *self.outcome.rows_of.entry(symbol.clone()).or_default() +=
                as_u64(partition.rows_asked);
            self.outcome.counts.rows_new += as_u64(partition.rows_new);
            self.outcome.counts.rows_revised += as_u64(partition.rows_revised);
            self.outcome.counts.empty_sessions += as_u64(partition.empty_sessions);
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

/// An error with its causes, each once, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
