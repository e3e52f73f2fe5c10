//! What an aggregation did, as data: for the summary and the exit code. Prints nothing.

use std::time::Duration;

use crate::domain::PartitionKey;
use crate::domain::ports::StoreErrorKind;

use super::plan::SymbolYear;

/// A symbol-year that could not be aggregated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregationFailure {
    /// Whose.
    pub of: SymbolYear,
    /// What kind of failure.
    pub kind: StoreErrorKind,
    /// Why, in one line.
    pub reason: String,
}

/// The result of an aggregation.
#[derive(Debug, Clone, Default)]
pub struct AggregationReport {
    /// Symbol-years that have minutes.
    pub years_held: usize,
    /// Symbol-years that were made.
    pub years_done: usize,
    /// Symbol-years that were not begun because the run was ended.
    pub years_not_done: usize,
    /// Derived files that were as they should be.
    pub files_fresh: usize,
    /// Files made, replaced or removed.
    pub files_written: usize,
    /// Files that were made again and came out the same.
    pub files_unchanged: usize,
    /// Minutes that were read.
    pub minutes_read: u64,
    /// Derived rows in the files that were made.
    pub rows: u64,
    /// Size of these files.
    pub bytes: u64,
    /// What could not be made.
    pub failures: Vec<AggregationFailure>,
    /// Whether the run was ended before its work was done.
    pub is_stopped: bool,
    /// Wall time.
    pub elapsed: Duration,
}

/// What is wrong with a derived partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckFinding {
    /// There is none, although there are minutes.
    Missing,
    /// It is older than its minutes, or was made by another spec.
    Stale,
    /// Its file cannot be read, or is not the one that was written.
    Damaged(String),
    /// A bar differs from what its minutes give; what and where, in words.
    Different(String),
    /// It could not be recomputed.
    Failed(String),
}

/// A finding and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedPartition {
    /// The partition.
    pub key: PartitionKey,
    /// What is wrong with it.
    pub finding: CheckFinding,
}

/// The result of a check.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// Partitions that were recomputed and compared.
    pub checked: usize,
    /// Partitions of the selection, whether checked or not.
    pub partitions: usize,
    /// Derived rows that were compared.
    pub rows: u64,
    /// What is wrong, by partition.
    pub findings: Vec<CheckedPartition>,
    /// Whether the run was ended before its work was done.
    pub is_stopped: bool,
}
