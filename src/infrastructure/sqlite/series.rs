//! The short numbers of series, and which session a minute of a symbol belongs to.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::failure::During;
use crate::domain::calendar::Calendar;
use crate::domain::dataset::Dataset;
use crate::domain::ports::StoreError;
use crate::domain::symbol::Symbol;

/// The number of a series, if it has one.
pub(super) fn find_series_id(
    conn: &Connection,
    dataset: &Dataset,
    symbol: &Symbol,
) -> Result<Option<i64>, StoreError> {
    conn.prepare_cached("SELECT series_id FROM series WHERE dataset = ? AND symbol = ?")
        .and_then(|mut find| {
            find.query_row(params![dataset.to_string(), symbol.as_str()], |row| {
                row.get(0)
            })
            .optional()
        })
        .during(conn, format_args!("find series {dataset} {symbol}"))
}

/// The number of a series, a new one where it has none.
pub(super) fn series_id_in(
    transaction: &Transaction<'_>,
    dataset: &Dataset,
    symbol: &Symbol,
) -> Result<i64, StoreError> {
    if let Some(series_id) = find_series_id(transaction, dataset, symbol)? {
        return Ok(series_id);
    }
    transaction
        .prepare_cached("INSERT INTO series (dataset, symbol) VALUES (?, ?)")
        .and_then(|mut insert| insert.insert(params![dataset.to_string(), symbol.as_str()]))
        .during(transaction, format_args!("add series {dataset} {symbol}"))
}

/// The session date of an instant, in days since 1970; `None` when it belongs to no session.
pub(super) fn session_day(symbol: &str, ts_us: i64) -> Option<i32> {
    let session = Calendar::of_name(symbol).session_containing(ts_us).ok()?;
    Some(session.date().days_since_epoch())
}
