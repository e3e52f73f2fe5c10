//! What guards commits: the store's epoch, which tells a process that another one took over, and the log of
//! commits. Takes no lock itself.

use rusqlite::{Transaction, params};

use super::columns::stored_count;
use super::failure::During;
use crate::domain::job::JobId;
use crate::domain::ports::{StoreError, StoreErrorKind};

/// What one commit changed, for the commit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitSummary {
    /// The job at work; `None` in recovery, aggregation and repair.
    pub job: Option<JobId>,
    /// When, UTC microseconds.
    pub at_us: i64,
    /// Files written.
    pub partitions: u64,
    /// Rows for minutes that were not stored before.
    pub rows_new: u64,
    /// Rows replaced or withdrawn.
    pub rows_revised: u64,
}

/// Raises the epoch and returns the new one.
pub(in crate::infrastructure) fn bump_epoch_in(
    transaction: &Transaction<'_>,
) -> Result<i64, StoreError> {
    transaction
        .query_row(
            "UPDATE store SET epoch = epoch + 1 RETURNING epoch",
            [],
            |row| row.get(0),
        )
        .during(transaction, "raise the epoch")
}

/// Refuses to go on when the store was taken by somebody else since `epoch`.
///
/// The kernel's lock should make this impossible; it does not where a network file system ignores locks or
/// the lock's file was deleted.
pub(in crate::infrastructure) fn check_epoch_in(
    transaction: &Transaction<'_>,
    epoch: i64,
) -> Result<(), StoreError> {
    let stored: i64 = transaction
        .query_row("SELECT epoch FROM store", [], |row| row.get(0))
        .during(transaction, "read the epoch")?;
    if stored == epoch {
        return Ok(());
    }
    let context = format!(
        "another process took over the store: its epoch is {stored}, this commit began under {epoch}"
    );
    Err(StoreError::new(StoreErrorKind::Locked, context))
}

/// Appends to the commit log; returns the commit's number.
pub(in crate::infrastructure) fn append_commit_in(
    transaction: &Transaction<'_>,
    commit: &CommitSummary,
) -> Result<i64, StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO commit_log (job_id, at_us, partitions, rows_new, rows_revised)
             VALUES (?, ?, ?, ?, ?)",
        )
        .and_then(|mut insert| {
            insert.insert(params![
                commit.job.map(|job| job.0),
                commit.at_us,
                stored_count(commit.partitions),
                stored_count(commit.rows_new),
                stored_count(commit.rows_revised),
            ])
        })
        .during(transaction, "append to the commit log")
}
