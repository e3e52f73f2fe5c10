//! Redo records: what recovery needs to finish a commit that was cut short after its files were renamed, or
//! to forget one that was cut short before. Decides nothing about it and opens no file.

use rusqlite::{Connection, Row, Transaction, params};

use super::catalog::{CatalogFile, catalog_file};
use super::columns::{Columns, stored_count};
use super::failure::During;
use super::series::series_id_in;
use crate::domain::job::JobId;
use crate::domain::ports::StoreError;

/// What a change brings to its job's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobShare {
    /// The job; derived bars have none.
    pub job: Option<JobId>,
    /// Rows for minutes that were not stored before.
    pub rows_new: u64,
    /// Rows replaced or withdrawn.
    pub rows_revised: u64,
}

/// A file that is staged or was just renamed.
///
/// It holds the catalog row to be, and what it brings to its job. What else the lost transaction would have written, the ledger's sessions
/// above all, is asked for again by the next run, which is always safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedoRecord {
    /// The file as the catalog will know it, still without a commit.
    pub file: CatalogFile,
    /// Its name in the staging folder.
    pub staged_name: String,
    /// SHA-256 of the file that it replaces; `None` when there is none.
    pub old_sha256: Option<String>,
    /// The epoch of the store when it was staged.
    pub epoch: i64,
    /// When, UTC microseconds.
    pub created_at_us: i64,
    /// What its job counts of it.
    pub share: JobShare,
}

/// Writes redo records. A record of the same path is an error: recovery comes first.
pub(in crate::infrastructure) fn put_redo_in(
    transaction: &Transaction<'_>,
    records: &[RedoRecord],
) -> Result<(), StoreError> {
    for RedoRecord {
        file:
            CatalogFile {
                file,
                path,
                schema_version,
                spec_hash,
                ..
            },
        staged_name,
        old_sha256,
        epoch,
        created_at_us,
        share,
    } in records
    {
        let series_id = series_id_in(transaction, &file.key.dataset, &file.key.symbol)?;
        transaction
            .prepare_cached(
                "INSERT INTO pending
                     (path, series_id, timeframe, period, new_sha256, content_hash, bytes, rows,
                      first_ts_us, last_ts_us, first_session_day, last_session_day,
                      schema_version, spec_hash,
                      staged_name, old_sha256, epoch, created_at_us, job_id, rows_new, rows_revised)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    path,
                    series_id,
                    file.key.timeframe.as_str(),
                    file.key.period.to_string(),
                    file.sha256,
                    file.content_hash,
                    stored_count(file.bytes),
                    stored_count(file.rows),
                    file.first_ts_us,
                    file.last_ts_us,
                    file.first_session.days_since_epoch(),
                    file.last_session.days_since_epoch(),
                    schema_version,
                    spec_hash,
                    staged_name,
                    old_sha256,
                    epoch,
                    created_at_us,
                    share.job.map(|job| job.0),
                    stored_count(share.rows_new),
                    stored_count(share.rows_revised),
                ])
            })
            .during(transaction, format_args!("write the redo record of {path}"))?;
    }
    Ok(())
}

/// The redo records that were not finished, by path.
pub(in crate::infrastructure) fn list_redo_in(
    conn: &Connection,
) -> Result<Vec<RedoRecord>, StoreError> {
    let list = || -> rusqlite::Result<Vec<RedoRecord>> {
        conn.prepare_cached(
            "SELECT dataset, symbol, timeframe, period, path, new_sha256, content_hash, bytes, rows,
                    first_ts_us, last_ts_us, first_session_day, last_session_day, schema_version,
                    spec_hash, NULL,
                    staged_name, old_sha256, epoch, created_at_us, job_id,
                    pending.rows_new, pending.rows_revised
             FROM pending JOIN series USING (series_id) ORDER BY path",
        )?
        .query_map([], redo_record)?
        .collect()
    };
    list().during(conn, "list the redo records")
}

/// Forgets the redo records of these paths; returns how many there were.
pub(in crate::infrastructure) fn delete_redo_in(
    transaction: &Transaction<'_>,
    paths: &[String],
) -> Result<usize, StoreError> {
    let delete = || -> rusqlite::Result<usize> {
        let mut delete = transaction.prepare_cached("DELETE FROM pending WHERE path = ?")?;
        paths.iter().map(|path| delete.execute([path])).sum()
    };
    delete().during(
        transaction,
        format_args!("forget {} redo records", paths.len()),
    )
}

fn redo_record(row: &Row<'_>) -> rusqlite::Result<RedoRecord> {
    let mut columns = Columns::of(row);
    Ok(RedoRecord {
        file: catalog_file(&mut columns)?,
        staged_name: columns.take()?,
        old_sha256: columns.take()?,
        epoch: columns.take()?,
        created_at_us: columns.take()?,
        share: JobShare {
            job: columns.take::<Option<i64>>()?.map(JobId),
            rows_new: columns.count()?,
            rows_revised: columns.count()?,
        },
    })
}
