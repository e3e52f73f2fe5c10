//! The ports of aggregation: what adds bars up, and where the sum is kept. Synchronous; one method one transaction.

use thiserror::Error;

use super::super::aggregation_spec::AggregationSpec;
use super::super::bar_batch::BarBatch;
use super::super::dataset::{Dataset, PartitionKey, Period};
use super::super::derived_batch::DerivedBatch;
use super::super::symbol::Symbol;
use super::store::{BarSelection, PartitionFile, StoreError};

/// Why bars could not be added up.
#[derive(Debug, Error)]
#[error("{engine} cannot aggregate: {context}")]
pub struct AggregateError {
    /// The engine's name.
    pub engine: &'static str,
    /// What went wrong.
    pub context: String,
}

/// Adds minute bars up to longer ones.
///
/// There are two, and they give equal rows to the last bit. Sums are defined down to the order of additions: the
/// minutes of each 5-minute bar in time order; frames of a multiple of five minutes, and `1d`, over 5-minute bars (then
/// the auction minute) in time order; `2m` and `3m` over minutes. `vwap` is the sum of `vwap * volume` over rows with
/// volume, divided by the sum of volumes.
pub trait BarAggregator: Send + Sync {
    /// The engine's name, as `--engine` takes it.
    fn name(&self) -> &'static str;

    /// The bars of every spec, in the order of `specs`, which share one calendar.
    ///
    /// `minutes` are of one symbol, one batch after the other in time, and no session lies in two of them.
    ///
    /// # Errors
    /// [`AggregateError`] when the minutes are beyond the calendar, or the engine fails.
    fn aggregate(
        &self,
        minutes: &[&BarBatch],
        specs: &[AggregationSpec],
    ) -> Result<Vec<DerivedBatch>, AggregateError>;
}

/// A file of minutes that derived bars were made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// Its month.
    pub period: Period,
    /// SHA-256 of its rows, hexadecimal.
    pub content_hash: String,
}

impl From<&PartitionFile> for SourceFile {
    fn from(file: &PartitionFile) -> Self {
        Self {
            period: file.key.period,
            content_hash: file.content_hash.clone(),
        }
    }
}

/// The minutes of one symbol and year; each session lies in one file.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The files, ascending by month.
    pub files: Vec<SourceFile>,
    /// Their rows, in the same order; `None` for files that were not asked for.
    pub minutes: Vec<Option<BarBatch>>,
}

/// Derived bars as they are kept.
#[derive(Debug, Clone)]
pub struct KeptBars {
    /// The spec that made them, in its canonical words.
    pub spec: String,
    /// The files of minutes that they were made from, ascending by month.
    pub sources: Vec<SourceFile>,
    /// The bars.
    pub bars: DerivedBatch,
}

/// What the store remembers of a derived partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// The partition.
    pub key: PartitionKey,
    /// The spec's hash.
    pub spec_hash: String,
    /// Which minutes it was made from: [`source_hash`](super::super::derivation::source_hash) of the files.
    pub source_hash: String,
    /// Whether its file, if it has one, lies in its place in full size.
    pub is_in_place: bool,
}

/// A derived partition as it should be.
#[derive(Debug, Clone)]
pub struct DerivedPartition {
    /// The partition.
    pub key: PartitionKey,
    /// What its bars are.
    pub spec: AggregationSpec,
    /// What they were made from.
    pub sources: Vec<SourceFile>,
    /// The bars; without any there is no file.
    pub bars: DerivedBatch,
}

/// What happened to a derived partition.
#[derive(Debug)]
pub enum DerivedOutcome {
    /// Its file was replaced, made or removed.
    Written,
    /// Its file is as it was.
    Unchanged,
    /// Its minutes have changed since they were read; nothing was written.
    Outdated,
    /// It could not be written; nothing of it has changed.
    Failed(StoreError),
}

/// One partition's part of a commit.
#[derive(Debug)]
pub struct DerivedReceipt {
    /// The partition.
    pub key: PartitionKey,
    /// What happened.
    pub outcome: DerivedOutcome,
    /// Rows in it now.
    pub rows: usize,
    /// Size of its file; 0 without one.
    pub bytes: u64,
}

/// Where derived bars are kept, beside the minutes that they are made from.
pub trait DerivedStore: Send + Sync {
    /// What is remembered of the derived partitions of a selection, at one moment.
    fn list_derivations(&self, selection: &BarSelection) -> Result<Vec<Derivation>, StoreError>;

    /// The minutes of one symbol and year, each file proven against the catalog; files that are in `known` are not read.
    fn load_sources(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        year: i32,
        known: &[SourceFile],
    ) -> Result<Sources, StoreError>;

    /// The bars of a derived partition with how they were made, proven against the catalog; `None` without a file.
    fn load_derived(&self, key: &PartitionKey) -> Result<Option<KeptBars>, StoreError>;

    /// Makes the partitions durable; may be called from several threads at once. One that cannot be written is reported in its receipt and holds up no other.
    ///
    /// # Errors
    /// When nothing at all could be committed: the lock, the database or the disk.
    fn commit_derived(
        &self,
        partitions: Vec<DerivedPartition>,
        at_us: i64,
    ) -> Result<Vec<DerivedReceipt>, StoreError>;
}
