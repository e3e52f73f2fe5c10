//! How far the units of jobs are. Safe for two processes: a number only ever grows, whoever writes it last.

use rusqlite::{Row, Transaction, params};

use super::columns::Columns;
use super::failure::During;
use super::pool::Database;
use crate::domain::checkpoint::Checkpoint;
use crate::domain::job::JobId;
use crate::domain::ports::{CheckpointRepository, StoreError};

/// Checkpoints in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteCheckpointRepository {
    database: Database,
}

impl SqliteCheckpointRepository {
    /// The checkpoints of `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl CheckpointRepository for SqliteCheckpointRepository {
    fn advance(&self, checkpoint: &Checkpoint) -> Result<Checkpoint, StoreError> {
        self.database
            .write(|transaction| advance_in(transaction, checkpoint))
    }

    fn list_checkpoints(&self, job: JobId) -> Result<Vec<Checkpoint>, StoreError> {
        self.database.read(|conn| {
            let list = || -> rusqlite::Result<Vec<Checkpoint>> {
                conn.prepare_cached(
                    "SELECT job_id, unit, description, committed, total
                     FROM checkpoint WHERE job_id = ? ORDER BY unit",
                )?
                .query_map([job.0], checkpoint)?
                .collect()
            };
            list().during(conn, format_args!("list the checkpoints of job {job}"))
        })
    }
}

/// Moves a unit forward, never back; returns the state that is now stored.
///
/// The first description of a unit stays. A job that does not exist is [`StoreErrorKind::Missing`].
///
/// [`StoreErrorKind::Missing`]: crate::domain::ports::StoreErrorKind::Missing
pub(in crate::infrastructure) fn advance_in(
    transaction: &Transaction<'_>,
    moved: &Checkpoint,
) -> Result<Checkpoint, StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO checkpoint (job_id, unit, description, committed, total)
             VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (job_id, unit) DO UPDATE
             SET committed = max(committed, excluded.committed),
                 total = max(total, excluded.total)
             RETURNING job_id, unit, description, committed, total",
        )
        .and_then(|mut advance| {
            let values = params![
                moved.job.0,
                moved.unit,
                moved.description,
                moved.committed,
                moved.total
            ];
            advance.query_one(values, checkpoint)
        })
        .during(
            transaction,
            format_args!("advance unit {} of job {}", moved.unit, moved.job),
        )
}

fn checkpoint(row: &Row<'_>) -> rusqlite::Result<Checkpoint> {
    let mut columns = Columns::of(row);
    Ok(Checkpoint {
        job: JobId(columns.take()?),
        unit: columns.take()?,
        description: columns.take()?,
        committed: columns.take()?,
        total: columns.take()?,
    })
}
