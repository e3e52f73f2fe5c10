//! What derived partitions were made from. Knows no spec and no file, only their hashes.

use rusqlite::{Connection, Transaction, params};

use super::columns::Columns;
use super::failure::During;
use super::selection::Conditions;
use super::series::{find_series_id, series_id_in};
use crate::domain::PartitionKey;
use crate::domain::ports::{BarSelection, StoreError};

/// A derived partition with what the database knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::infrastructure) struct StoredDerivation {
    /// The partition.
    pub(in crate::infrastructure) key: PartitionKey,
    /// The spec's hash.
    pub(in crate::infrastructure) spec_hash: String,
    /// The hash of its sources.
    pub(in crate::infrastructure) source_hash: String,
    /// Size of its file in the catalog; `None` without a file.
    pub(in crate::infrastructure) bytes: Option<u64>,
}

/// The derivations of a selection, in no order.
pub(in crate::infrastructure) fn list_derivations_in(
    conn: &Connection,
    selection: &BarSelection,
) -> Result<Vec<StoredDerivation>, StoreError> {
    let conditions = Conditions::of_partitions(selection);
    let sql = format!(
        "SELECT dataset, symbol, timeframe, period, derivation.spec_hash, source_hash, bytes
         FROM series CROSS JOIN derivation USING (series_id)
              LEFT JOIN partition_file USING (series_id, timeframe, period){}",
        conditions.sql()
    );
    let list = || -> rusqlite::Result<Vec<StoredDerivation>> {
        conn.prepare_cached(&sql)?
            .query_map(conditions.values(), |row| {
                let mut columns = Columns::of(row);
                let (dataset, symbol) = (columns.parsed()?, columns.parsed()?);
                Ok(StoredDerivation {
                    key: PartitionKey {
                        dataset,
                        symbol,
                        timeframe: columns.parsed()?,
                        period: columns.parsed()?,
                    },
                    spec_hash: columns.take()?,
                    source_hash: columns.take()?,
                    bytes: columns
                        .take::<Option<i64>>()?
                        .and_then(|bytes| u64::try_from(bytes).ok()),
                })
            })?
            .collect()
    };
    list().during(conn, "list what derived partitions were made from")
}

/// Remembers what a partition was made from.
pub(in crate::infrastructure) fn put_derivation_in(
    transaction: &Transaction<'_>,
    key: &PartitionKey,
    spec_hash: &str,
    source_hash: &str,
) -> Result<(), StoreError> {
    let series_id = series_id_in(transaction, &key.dataset, &key.symbol)?;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO derivation (series_id, timeframe, period, spec_hash, source_hash)
             VALUES (?, ?, ?, ?, ?)",
        )
        .and_then(|mut put| {
            put.execute(params![
                series_id,
                key.timeframe.as_str(),
                key.period.to_string(),
                spec_hash,
                source_hash
            ])
        })
        .during(
            transaction,
            format_args!("remember what {key} was made from"),
        )?;
    Ok(())
}

/// Forgets what a partition was made from.
pub(in crate::infrastructure) fn delete_derivation_in(
    transaction: &Transaction<'_>,
    key: &PartitionKey,
) -> Result<(), StoreError> {
    let Some(series_id) = find_series_id(transaction, &key.dataset, &key.symbol)? else {
        return Ok(());
    };
    transaction
        .prepare_cached(
            "DELETE FROM derivation WHERE series_id = ? AND timeframe = ? AND period = ?",
        )
        .and_then(|mut delete| {
            delete.execute(params![
                series_id,
                key.timeframe.as_str(),
                key.period.to_string()
            ])
        })
        .during(transaction, format_args!("forget what {key} was made from"))?;
    Ok(())
}
