//! The catalog of the lake: which files there are, what is in them, and which commit put them there.
//! Opens no file.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::columns::{Columns, stored_count};
use super::failure::During;
use super::fence::{CommitSummary, append_commit_in, bump_epoch_in, check_epoch_in};
use super::pool::Database;
use super::redo::{self, RedoRecord};
use super::selection::Conditions;
use super::series::{find_series_id, series_id_in};
use crate::domain::dataset::PartitionKey;
use crate::domain::ports::{BarSelection, PartitionFile, StoreError};

/// A file of the lake with what only the catalog knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// What the file holds.
    pub file: PartitionFile,
    /// Where it lies, relative to the data directory; no two files have the same.
    pub path: String,
    /// Version of the file's own schema.
    pub schema_version: u32,
    /// How a derived file was made; `None` for the provider's own frame.
    pub spec_hash: Option<String>,
    /// The commit that put it into the catalog; `None` until then.
    pub commit_seq: Option<i64>,
}

/// The catalog, the redo records and the fence of the store, in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteCatalog {
    database: Database,
}

impl SqliteCatalog {
    /// The catalog of `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// The data directory's own name: 32 hexadecimal digits, given when it was made.
    pub fn store_id(&self) -> Result<String, StoreError> {
        self.database.read(|conn| {
            conn.query_row("SELECT store_id FROM store", [], |row| row.get(0))
                .during(conn, "read the store's id")
        })
    }

    /// Raises the epoch and returns the new one: for whoever has just taken the store lock.
    pub fn bump_epoch(&self) -> Result<i64, StoreError> {
        self.database.write(bump_epoch_in)
    }

    /// The file of one partition.
    pub fn find_file(&self, key: &PartitionKey) -> Result<Option<PartitionFile>, StoreError> {
        Ok(self.find_entry(key)?.map(|entry| entry.file))
    }

    /// The file of one partition with what only the catalog knows of it.
    pub fn find_entry(&self, key: &PartitionKey) -> Result<Option<CatalogFile>, StoreError> {
        self.database.read(|conn| find_entry_in(conn, key))
    }

    /// The files of a selection at one moment, ordered by dataset, symbol, frame and period.
    pub fn list_files(&self, selection: &BarSelection) -> Result<Vec<PartitionFile>, StoreError> {
        Ok(self
            .list_entries(selection)?
            .into_iter()
            .map(|entry| entry.file)
            .collect())
    }

    /// As [`list_files`](Self::list_files), with what only the catalog knows of them.
    pub fn list_entries(&self, selection: &BarSelection) -> Result<Vec<CatalogFile>, StoreError> {
        self.database.read(|conn| list_entries_in(conn, selection))
    }

    /// Gives the paths of all files to `work` until that says no; only as many are read.
    pub fn for_each_path(&self, work: &mut dyn FnMut(&str) -> bool) -> Result<(), StoreError> {
        self.database.read(|conn| {
            let mut give = || -> rusqlite::Result<()> {
                let mut select = conn.prepare_cached("SELECT path FROM partition_file")?;
                let mut rows = select.query([])?;
                while let Some(row) = rows.next()? {
                    if !work(&row.get::<_, String>(0)?) {
                        break;
                    }
                }
                Ok(())
            };
            give().during(conn, "list the paths of the lake")
        })
    }

    /// Enters files as one commit, replacing those of the same partitions; returns the commit's number.
    pub fn put_files(
        &self,
        files: &[CatalogFile],
        commit: &CommitSummary,
    ) -> Result<i64, StoreError> {
        self.database.write(|transaction| {
            let commit_seq = append_commit_in(transaction, commit)?;
            put_files_in(transaction, files, commit_seq)?;
            Ok(commit_seq)
        })
    }

    /// Removes the files of partitions from the catalog; returns how many there were.
    pub fn delete_files(&self, keys: &[PartitionKey]) -> Result<usize, StoreError> {
        self.database
            .write(|transaction| delete_files_in(transaction, keys))
    }

    /// Writes redo records, all of them or none, if nobody has taken the store since `epoch`.
    pub fn put_redo(&self, epoch: i64, records: &[RedoRecord]) -> Result<(), StoreError> {
        self.database.write(|transaction| {
            check_epoch_in(transaction, epoch)?;
            redo::put_redo_in(transaction, records)
        })
    }

    /// The redo records that were not finished, by path.
    pub fn list_redo(&self) -> Result<Vec<RedoRecord>, StoreError> {
        self.database.read(redo::list_redo_in)
    }

    /// Forgets the redo records of these paths; returns how many there were.
    pub fn delete_redo(&self, paths: &[String]) -> Result<usize, StoreError> {
        self.database
            .write(|transaction| redo::delete_redo_in(transaction, paths))
    }
}

/// The file of one partition.
pub(in crate::infrastructure) fn find_entry_in(
    conn: &Connection,
    key: &PartitionKey,
) -> Result<Option<CatalogFile>, StoreError> {
    let Some(series_id) = find_series_id(conn, &key.dataset, &key.symbol)? else {
        return Ok(None);
    };
    conn.prepare_cached(&format!(
        "{SELECT} WHERE series_id = ? AND timeframe = ? AND period = ?"
    ))
    .and_then(|mut find| {
        let values = params![series_id, key.timeframe.as_str(), key.period.to_string()];
        find.query_row(values, |row| catalog_file(&mut Columns::of(row)))
            .optional()
    })
    .during(conn, format_args!("find the file of {key}"))
}

/// The files of a selection, ordered by dataset, symbol, frame and period.
pub(in crate::infrastructure) fn list_entries_in(
    conn: &Connection,
    selection: &BarSelection,
) -> Result<Vec<CatalogFile>, StoreError> {
    let mut conditions = Conditions::of_partitions(selection);
    if let Some((first, last)) = selection.sessions {
        conditions.and_days(
            "? <= last_session_day AND first_session_day <= ?",
            first,
            last,
        );
    }
    let sql = format!("{SELECT}{}", conditions.sql());
    let list = || -> rusqlite::Result<Vec<CatalogFile>> {
        conn.prepare_cached(&sql)?
            .query_map(conditions.values(), |row: &Row<'_>| {
                catalog_file(&mut Columns::of(row))
            })?
            .collect()
    };
    let mut files = list().during(conn, "list the files of the lake")?;
    files.sort_by(|a, b| {
        let order = |file: &CatalogFile| (file.file.key.timeframe, file.file.key.period);
        let (left, right) = (&a.file.key, &b.file.key);
        (&left.dataset, &left.symbol)
            .cmp(&(&right.dataset, &right.symbol))
            .then_with(|| order(a).cmp(&order(b)))
    });
    Ok(files)
}

/// Enters files under commit `commit_seq`, replacing those of the same partitions.
pub(in crate::infrastructure) fn put_files_in(
    transaction: &Transaction<'_>,
    files: &[CatalogFile],
    commit_seq: i64,
) -> Result<(), StoreError> {
    for CatalogFile {
        file,
        path,
        schema_version,
        spec_hash,
        ..
    } in files
    {
        let series_id = series_id_in(transaction, &file.key.dataset, &file.key.symbol)?;
        // The upsert names its key: the path of another partition is an error and replaces nothing.
        transaction
            .prepare_cached(
                "INSERT INTO partition_file
                     (series_id, timeframe, period, path, sha256, content_hash, bytes, rows,
                      first_ts_us, last_ts_us, first_session_day, last_session_day,
                      schema_version, commit_seq, spec_hash)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (series_id, timeframe, period) DO UPDATE
                 SET path = excluded.path, sha256 = excluded.sha256,
                     content_hash = excluded.content_hash, bytes = excluded.bytes,
                     rows = excluded.rows, first_ts_us = excluded.first_ts_us,
                     last_ts_us = excluded.last_ts_us,
                     first_session_day = excluded.first_session_day,
                     last_session_day = excluded.last_session_day,
                     schema_version = excluded.schema_version,
                     commit_seq = excluded.commit_seq, spec_hash = excluded.spec_hash",
            )
            .and_then(|mut put| {
                put.execute(params![
                    series_id,
                    file.key.timeframe.as_str(),
                    file.key.period.to_string(),
                    path,
                    file.sha256,
                    file.content_hash,
                    stored_count(file.bytes),
                    stored_count(file.rows),
                    file.first_ts_us,
                    file.last_ts_us,
                    file.first_session.days_since_epoch(),
                    file.last_session.days_since_epoch(),
                    schema_version,
                    commit_seq,
                    spec_hash,
                ])
            })
            .during(
                transaction,
                format_args!("enter the file of {} into the catalog", file.key),
            )?;
    }
    Ok(())
}

/// Removes the files of partitions from the catalog; returns how many there were.
pub(in crate::infrastructure) fn delete_files_in(
    transaction: &Transaction<'_>,
    keys: &[PartitionKey],
) -> Result<usize, StoreError> {
    let mut deleted_rows = 0;
    for key in keys {
        let Some(series_id) = find_series_id(transaction, &key.dataset, &key.symbol)? else {
            continue;
        };
        deleted_rows += transaction
            .prepare_cached(
                "DELETE FROM partition_file WHERE series_id = ? AND timeframe = ? AND period = ?",
            )
            .and_then(|mut delete| {
                delete.execute(params![
                    series_id,
                    key.timeframe.as_str(),
                    key.period.to_string()
                ])
            })
            .during(
                transaction,
                format_args!("remove the file of {key} from the catalog"),
            )?;
    }
    Ok(deleted_rows)
}

/// `CROSS JOIN` fixes the order: first the series that are meant, then their files by key.
const SELECT: &str = "
    SELECT dataset, symbol, timeframe, period, path, sha256, content_hash, bytes, rows,
           first_ts_us, last_ts_us, first_session_day, last_session_day, schema_version, spec_hash,
           commit_seq
    FROM series CROSS JOIN partition_file USING (series_id)";

/// Reads the sixteen columns that a catalog row and a redo record have in common.
pub(super) fn catalog_file(columns: &mut Columns<'_, '_>) -> rusqlite::Result<CatalogFile> {
    let (dataset, symbol) = (columns.parsed()?, columns.parsed()?);
    let key = PartitionKey {
        dataset,
        symbol,
        timeframe: columns.parsed()?,
        period: columns.parsed()?,
    };
    let path = columns.take()?;
    let file = PartitionFile {
        key,
        sha256: columns.take()?,
        content_hash: columns.take()?,
        bytes: columns.count()?,
        rows: columns.count()?,
        first_ts_us: columns.take()?,
        last_ts_us: columns.take()?,
        first_session: columns.session_date()?,
        last_session: columns.session_date()?,
    };
    Ok(CatalogFile {
        file,
        path,
        schema_version: columns.take()?,
        spec_hash: columns.take()?,
        commit_seq: columns.take()?,
    })
}
