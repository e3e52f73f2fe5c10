//! What the doctor asks of the database: figures that must agree with each other. Changes nothing.

use super::columns::Columns;
use super::failure::During;
use super::pool::Database;
use crate::domain::dataset::Dataset;
use crate::domain::ports::StoreError;
use crate::domain::symbol::Symbol;

/// A month of which ledger and catalog count different rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerDifference {
    /// The dataset.
    pub dataset: Dataset,
    /// The symbol.
    pub symbol: Symbol,
    /// `YYYY-MM`.
    pub month: String,
    /// Rows by the ledger's sessions.
    pub ledger_rows: u64,
    /// Rows by the catalog's file.
    pub file_rows: u64,
}

/// The months of which ledger and catalog count different rows, except those with an unfinished commit.
///
/// # Errors
/// When the database cannot be read.
pub fn list_ledger_differences(database: &Database) -> Result<Vec<LedgerDifference>, StoreError> {
    const SQL: &str = "
        WITH ledger AS (
            SELECT series_id, strftime('%Y-%m', session_day * 86400, 'unixepoch') AS month, sum(rows) AS rows
            FROM session_record GROUP BY series_id, month
        ),
        files AS (SELECT series_id, period AS month, rows FROM partition_file WHERE timeframe = '1m')
        SELECT dataset, symbol, month, ifnull(ledger.rows, 0), ifnull(files.rows, 0)
        FROM ledger FULL JOIN files USING (series_id, month) JOIN series USING (series_id)
        WHERE ifnull(ledger.rows, 0) <> ifnull(files.rows, 0)
          AND NOT EXISTS (
              SELECT 1 FROM pending
              WHERE pending.series_id = series.series_id AND timeframe = '1m' AND period = month)
        ORDER BY dataset, symbol, month";
    database.read(|conn| {
        let list = || -> rusqlite::Result<Vec<LedgerDifference>> {
            conn.prepare(SQL)?
                .query_map([], |row| {
                    let mut columns = Columns::of(row);
                    Ok(LedgerDifference {
                        dataset: columns.parsed()?,
                        symbol: columns.parsed()?,
                        month: columns.take()?,
                        ledger_rows: columns.count()?,
                        file_rows: columns.count()?,
                    })
                })?
                .collect()
        };
        list().during(conn, "compare ledger and catalog")
    })
}

/// The latest instant that anything was recorded at, UTC microseconds; `None` where nothing ever was.
///
/// # Errors
/// When the database cannot be read.
pub fn newest_instant_us(database: &Database) -> Result<Option<i64>, StoreError> {
    const SQL: &str = "
        SELECT max(at_us) FROM (
            SELECT max(at_us) AS at_us FROM commit_log
            UNION ALL SELECT max(created_at_us) FROM job
            UNION ALL SELECT max(asked_at_us) FROM session_record
        )";
    database.read(|conn| {
        conn.query_row(SQL, [], |row| row.get(0))
            .during(conn, "find the latest record")
    })
}
