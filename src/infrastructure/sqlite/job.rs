//! Jobs and their counters. Knows no transition: which state may follow which is the domain's business.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::columns::{Columns, stored_count};
use super::failure::During;
use super::pool::Database;
use crate::domain::job::{IngestionJob, JobCounts, JobFields, JobId, JobOwner, JobState};
use crate::domain::ports::{JobRepository, StoreError, StoreErrorKind};

const SELECT: &str = "
    SELECT job_id, state, request, owner_pid, owner_host, created_at_us, finished_at_us,
           rows_new, rows_revised, rows_quarantined, rows_received, requests, retries, wire_bytes,
           files_written, files_unchanged, empty_sessions, message
    FROM job";

/// Jobs in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteJobRepository {
    database: Database,
}

impl SqliteJobRepository {
    /// The jobs of `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Adds to a job's counters what one more commit did.
    ///
    /// # Errors
    /// [`StoreErrorKind::Missing`] when there is no such job.
    pub fn add_counts(&self, id: JobId, counts: &JobCounts) -> Result<(), StoreError> {
        self.database
            .write(|transaction| add_counts_in(transaction, id, counts))
    }
}

impl JobRepository for SqliteJobRepository {
    fn create_job(
        &self,
        request: &str,
        owner: &JobOwner,
        now_us: i64,
    ) -> Result<IngestionJob, StoreError> {
        let id = self.database.write(|transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO job (state, request, owner_pid, owner_host, created_at_us)
                     VALUES (?, ?, ?, ?, ?)",
                )
                .and_then(|mut insert| {
                    insert.insert(params![
                        JobState::Pending.as_str(),
                        request,
                        owner.pid,
                        owner.host,
                        now_us
                    ])
                })
                .during(transaction, "create a job")
        })?;
        Ok(IngestionJob::planned(
            JobId(id),
            request.into(),
            owner.clone(),
            now_us,
        ))
    }

    fn save_job(&self, job: &IngestionJob) -> Result<(), StoreError> {
        self.database
            .write(|transaction| save_job_in(transaction, job))
    }

    fn get_job(&self, id: JobId) -> Result<IngestionJob, StoreError> {
        self.database.read(|conn| {
            let found = conn
                .prepare_cached(&format!("{SELECT} WHERE job_id = ?"))
                .and_then(|mut find| find.query_row([id.0], job).optional())
                .during(conn, format_args!("read job {id}"))?;
            found.ok_or_else(|| missing(id))
        })
    }

    fn list_jobs(&self, limit: u32) -> Result<Vec<IngestionJob>, StoreError> {
        self.database.read(|conn| {
            let list = || -> rusqlite::Result<Vec<IngestionJob>> {
                conn.prepare_cached(&format!("{SELECT} ORDER BY job_id DESC LIMIT ?"))?
                    .query_map([limit], job)?
                    .collect()
            };
            list().during(conn, "list the jobs")
        })
    }
}

/// Writes a job's state, owner, counters and message.
pub(in crate::infrastructure) fn save_job_in(
    transaction: &Transaction<'_>,
    job: &IngestionJob,
) -> Result<(), StoreError> {
    let id = job.id();
    let save = || -> rusqlite::Result<usize> {
        let [
            new,
            revised,
            quarantined,
            received,
            requests,
            retries,
            wire,
            written,
            unchanged,
            empty,
        ] = stored(job.counts());
        transaction
            .prepare_cached(
                "UPDATE job SET state = ?, owner_pid = ?, owner_host = ?,
                     finished_at_us = ?, message = ?, rows_new = ?, rows_revised = ?,
                     rows_quarantined = ?, rows_received = ?, requests = ?, retries = ?,
                     wire_bytes = ?, files_written = ?, files_unchanged = ?, empty_sessions = ?
                 WHERE job_id = ?",
            )?
            .execute(params![
                job.state().as_str(),
                job.owner().pid,
                job.owner().host,
                job.finished_at_us(),
                job.message(),
                new,
                revised,
                quarantined,
                received,
                requests,
                retries,
                wire,
                written,
                unchanged,
                empty,
                id.0,
            ])
    };
    let changed = save().during(transaction, format_args!("save job {id}"))?;
    require(changed, id)
}

/// Adds to a job's counters.
pub(in crate::infrastructure) fn add_counts_in(
    transaction: &Transaction<'_>,
    id: JobId,
    counts: &JobCounts,
) -> Result<(), StoreError> {
    let add = || -> rusqlite::Result<usize> {
        let [
            new,
            revised,
            quarantined,
            received,
            requests,
            retries,
            wire,
            written,
            unchanged,
            empty,
        ] = stored(counts);
        transaction
            .prepare_cached(
                "UPDATE job SET rows_new = rows_new + ?, rows_revised = rows_revised + ?,
                     rows_quarantined = rows_quarantined + ?, rows_received = rows_received + ?,
                     requests = requests + ?, retries = retries + ?, wire_bytes = wire_bytes + ?,
                     files_written = files_written + ?, files_unchanged = files_unchanged + ?,
                     empty_sessions = empty_sessions + ?
                 WHERE job_id = ?",
            )?
            .execute(params![
                new,
                revised,
                quarantined,
                received,
                requests,
                retries,
                wire,
                written,
                unchanged,
                empty,
                id.0
            ])
    };
    let changed = add().during(transaction, format_args!("count for job {id}"))?;
    require(changed, id)
}

/// The counters in the order of the table's columns.
fn stored(counts: &JobCounts) -> [i64; 10] {
    let JobCounts {
        rows_new,
        rows_revised,
        rows_quarantined,
        rows_received,
        requests,
        retries,
        wire_bytes,
        files_written,
        files_unchanged,
        empty_sessions,
    } = *counts;
    [
        rows_new,
        rows_revised,
        rows_quarantined,
        rows_received,
        requests,
        retries,
        wire_bytes,
        files_written,
        files_unchanged,
        empty_sessions,
    ]
    .map(stored_count)
}

fn require(changed_rows: usize, id: JobId) -> Result<(), StoreError> {
    if changed_rows == 0 {
        Err(missing(id))
    } else {
        Ok(())
    }
}

fn missing(id: JobId) -> StoreError {
    StoreError::new(StoreErrorKind::Missing, format!("job {id} does not exist"))
}

fn job(row: &Row<'_>) -> rusqlite::Result<IngestionJob> {
    let mut columns = Columns::of(row);
    let fields = JobFields {
        id: JobId(columns.take()?),
        state: columns.converted("job state", |name: String| JobState::find_by_name(&name))?,
        request: columns.take()?,
        owner: JobOwner {
            pid: columns.take()?,
            host: columns.take()?,
        },
        created_at_us: columns.take()?,
        finished_at_us: columns.take()?,
        counts: JobCounts {
            rows_new: columns.count()?,
            rows_revised: columns.count()?,
            rows_quarantined: columns.count()?,
            rows_received: columns.count()?,
            requests: columns.count()?,
            retries: columns.count()?,
            wire_bytes: columns.count()?,
            files_written: columns.count()?,
            files_unchanged: columns.count()?,
            empty_sessions: columns.count()?,
        },
        message: columns.take()?,
    };
    Ok(fields.into())
}
