//! Jobs and their counters. Knows no transition: which state may follow which is the domain's business.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::columns::{Columns, stored_count};
use super::failure::During;
use super::pool::Database;
use crate::domain::job::{
    IngestionJob, JobCounts, JobFields, JobId, JobOwner, JobRequest, JobState,
};
use crate::domain::ports::{JobRepository, StoreError, StoreErrorKind};

const SELECT: &str = "
    SELECT job_id, state, request, spec, owner_pid, owner_host, owner_lease, created_at_us, finished_at_us,
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

    /// The jobs that a process works on or was about to, as far as the table knows; oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list_unfinished(&self) -> Result<Vec<IngestionJob>, StoreError> {
        self.database.read(|conn| {
            let list = || -> rusqlite::Result<Vec<IngestionJob>> {
                conn.prepare_cached(&format!(
                    "{SELECT} WHERE state IN ('pending', 'running') ORDER BY job_id"
                ))?
                .query_map([], job)?
                .collect()
            };
            list().during(conn, "list the unfinished jobs")
        })
    }

    /// Closes a job whose owner is gone as interrupted; tells whether it still was that owner's.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn close_dead(&self, dead: &IngestionJob, at_us: i64) -> Result<bool, StoreError> {
        self.database.write(|transaction| {
            transaction
                .prepare_cached(
                    "UPDATE job SET state = ?, finished_at_us = ?, message = ?
                     WHERE job_id = ? AND state IN ('pending', 'running') AND owner_lease IS ?",
                )
                .and_then(|mut close| {
                    close.execute(params![
                        JobState::Interrupted.as_str(),
                        at_us,
                        "its process ended without a word",
                        dead.id().0,
                        dead.owner().lease,
                    ])
                })
                .map(|changed| changed > 0)
                .during(transaction, format_args!("close job {}", dead.id()))
        })
    }

    /// Asks the owner of a job to end it; tells whether it has one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn request_cancel(&self, id: JobId) -> Result<bool, StoreError> {
        self.database.write(|transaction| {
            transaction
                .prepare_cached(
                    "UPDATE job SET cancel_requested = 1
                     WHERE job_id = ? AND state IN ('pending', 'running')",
                )
                .and_then(|mut request| request.execute([id.0]))
                .map(|changed| changed > 0)
                .during(transaction, format_args!("cancel job {id}"))
        })
    }

    /// Deletes the jobs that ended before `before_us`, with their checkpoints. Jobs that rows in quarantine or
    /// revisions refer to stay.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn prune_jobs(&self, before_us: i64) -> Result<PrunedJobs, StoreError> {
        // `finished_at_us` is null for jobs under way, so they are never old.
        const OLD: &str = "SELECT job_id FROM job WHERE finished_at_us < ?1
             AND state NOT IN ('pending', 'running')";
        const REFERRED: &str = "(SELECT job_id FROM quarantine UNION SELECT job_id FROM revision)";
        self.database.write(|transaction| {
            let prune = || -> rusqlite::Result<PrunedJobs> {
                let count = |sql: &str| -> rusqlite::Result<u64> {
                    let count: i64 = transaction.query_row(sql, [before_us], |row| row.get(0))?;
                    Ok(u64::try_from(count).unwrap_or(0))
                };
                let kept = count(&format!(
                    "SELECT count(*) FROM ({OLD} AND job_id IN {REFERRED})"
                ))?;
                let doomed = format!("({OLD} AND job_id NOT IN {REFERRED})");
                for sql in [
                    format!("DELETE FROM checkpoint WHERE job_id IN {doomed}"),
                    format!("UPDATE commit_log SET job_id = NULL WHERE job_id IN {doomed}"),
                ] {
                    transaction.execute(&sql, [before_us])?;
                }
                let sql = format!("DELETE FROM job WHERE job_id IN {doomed}");
                let deleted = transaction.execute(&sql, [before_us])?;
                Ok(PrunedJobs {
                    deleted: u64::try_from(deleted).unwrap_or(u64::MAX),
                    kept,
                })
            };
            prune().during(transaction, "delete old jobs")
        })
    }
}

/// What [`SqliteJobRepository::prune_jobs`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrunedJobs {
    /// Jobs that are gone.
    pub deleted: u64,
    /// Old jobs that evidence refers to.
    pub kept: u64,
}

impl JobRepository for SqliteJobRepository {
    fn create_job(
        &self,
        request: &JobRequest,
        owner: &JobOwner,
        now_us: i64,
    ) -> Result<IngestionJob, StoreError> {
        let id = self.database.write(|transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO job
                         (state, request, spec, owner_pid, owner_host, owner_lease, created_at_us)
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
                )
                .and_then(|mut insert| {
                    insert.insert(params![
                        JobState::Pending.as_str(),
                        request.words,
                        request.spec,
                        owner.pid,
                        owner.host,
                        owner.lease,
                        now_us
                    ])
                })
                .during(transaction, "create a job")
        })?;
        Ok(IngestionJob::planned(
            JobId(id),
            request.clone(),
            owner.clone(),
            now_us,
        ))
    }

    fn save_job(&self, job: &IngestionJob) -> Result<(), StoreError> {
        self.database
            .write(|transaction| save_job_in(transaction, job))
    }

    fn claim_job(&self, job: &IngestionJob, from: JobState) -> Result<(), StoreError> {
        let id = job.id();
        self.database.write(|transaction| {
            let claimed = transaction
                .prepare_cached(
                    "UPDATE job SET cancel_requested = (state = 'pending' AND cancel_requested)
                     WHERE job_id = ? AND state = ?",
                )
                .and_then(|mut claim| claim.execute(params![id.0, from.as_str()]))
                .during(transaction, format_args!("claim job {id}"))?;
            if claimed == 0 {
                let context = format!("job {id} is no longer {from}, another process was faster");
                return Err(StoreError::new(StoreErrorKind::Locked, context));
            }
            save_job_in(transaction, job)
        })
    }

    fn is_cancel_requested(&self, id: JobId) -> Result<bool, StoreError> {
        self.database.read(|conn| {
            conn.prepare_cached("SELECT cancel_requested FROM job WHERE job_id = ?")
                .and_then(|mut find| find.query_row([id.0], |row| row.get(0)).optional())
                .map(|requested| requested.unwrap_or(false))
                .during(conn, format_args!("look whether job {id} is to end"))
        })
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
                "UPDATE job SET state = ?, owner_pid = ?, owner_host = ?, owner_lease = ?,
                     finished_at_us = ?, message = ?, rows_new = ?, rows_revised = ?,
                     rows_quarantined = ?, rows_received = ?, requests = ?, retries = ?,
                     wire_bytes = ?, files_written = ?, files_unchanged = ?, empty_sessions = ?
                 WHERE job_id = ?",
            )?
            .execute(params![
                job.state().as_str(),
                job.owner().pid,
                job.owner().host,
                job.owner().lease,
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
        request: JobRequest {
            words: columns.take()?,
            spec: columns.take()?,
        },
        owner: JobOwner {
            pid: columns.take()?,
            host: columns.take()?,
            lease: columns.take()?,
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
