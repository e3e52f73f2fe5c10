//! The views of `query`: bars over exactly the catalog's files, and the trading calendar. Knows no SQL of the user's.

use std::path::{Path, PathBuf};

use super::connection::{QueryError, QueryLimits, QuerySession, sql_text};
use super::tables::QueryTable;
use crate::domain::{Calendar, Session, Timeframe};
use ::duckdb::types::{TimeUnit, Value};

/// A catalogued file: its frame and its path.
pub type CataloguedFile = (Timeframe, PathBuf);

/// Opens a session with all views, locked down to `files`.
///
/// Views: `bars_1m` (dataset, symbol, ts, open, high, low, close, volume, trade_count, vwap, session_date,
/// segment; `ts` is a TIMESTAMP in UTC), `calendar` (session_date, pre_open, open, close, post_close in UTC,
/// half_day) and `tables`. `sql` is the text that will run: what it does not name is not filled.
///
/// # Errors
/// [`QueryError::Setup`].
pub fn open_session(
    files: &[CataloguedFile],
    tables: &[QueryTable<'_>],
    sql: &str,
    limits: QueryLimits,
    spill_folder: &Path,
) -> Result<QuerySession, QueryError> {
    let session = QuerySession::open(limits, spill_folder)?;
    let paths: Vec<PathBuf> = files.iter().map(|(_, path)| path.clone()).collect();
    let lower_sql = sql.to_ascii_lowercase();
    // DuckDB opens a file to make the view; a damaged one must not cost statements that do not need it.
    if lower_sql.contains("bars_") || lower_sql.contains("show") {
        refuse_odd_folders(&paths)?;
        session.prepare(&bars_view(Timeframe::M1, files))?;
    }
    session.prepare("CREATE TABLE calendar (session_date DATE, pre_open TIMESTAMP, open TIMESTAMP, close TIMESTAMP, post_close TIMESTAMP, half_day BOOLEAN)")?;
    if lower_sql.contains("calendar") {
        session.fill("calendar", calendar_rows()?)?;
    }
    for table in tables {
        session.prepare(&format!("CREATE TABLE {} ({})", table.name, table.columns))?;
        if lower_sql.contains(table.name) {
            session.fill(table.name, (table.rows)()?)?;
        }
    }
    session.lock_down(&paths)?;
    Ok(session)
}

/// The statement that makes the view of one frame.
fn bars_view(frame: Timeframe, files: &[CataloguedFile]) -> String {
    let list: Vec<String> = files
        .iter()
        .filter(|(of, _)| *of == frame)
        .map(|(_, path)| sql_text(&path.to_string_lossy()))
        .collect();
    let columns = "ts::TIMESTAMP AS ts, open, high, low, close, volume, trade_count, vwap, session_date, segment";
    if list.is_empty() {
        return format!(
            "CREATE VIEW bars_{frame} AS SELECT NULL::VARCHAR AS dataset, NULL::VARCHAR AS symbol, NULL::TIMESTAMP AS ts, \
             NULL::DOUBLE AS open, NULL::DOUBLE AS high, NULL::DOUBLE AS low, NULL::DOUBLE AS close, NULL::DOUBLE AS volume, \
             NULL::BIGINT AS trade_count, NULL::DOUBLE AS vwap, NULL::DATE AS session_date, NULL::VARCHAR AS segment WHERE false"
        );
    }
    // Partition columns are texts, whatever they look like: the symbols `0700` and `TRUE` exist.
    format!(
        "CREATE VIEW bars_{frame} AS SELECT provider || '/' || feed || '/' || adjustment AS dataset, symbol, {columns} \
         FROM read_parquet([{}], hive_partitioning = true, hive_types = {{'provider': VARCHAR, 'feed': VARCHAR, \
         'adjustment': VARCHAR, 'timeframe': VARCHAR, 'symbol': VARCHAR, 'month': VARCHAR}})",
        list.join(", ")
    )
}

/// Refuses a lake in a folder whose name means something to DuckDB: a wildcard, or a partition like those below.
fn refuse_odd_folders(paths: &[PathBuf]) -> Result<(), QueryError> {
    let Some(path) = paths.first() else {
        return Ok(());
    };
    let text = path.to_string_lossy();
    let above = text.split("/lake/provider=").next().unwrap_or(&text);
    let means_a_partition = |folder: &str| {
        let keys = [
            "provider=",
            "feed=",
            "adjustment=",
            "timeframe=",
            "symbol=",
            "month=",
            "year=",
        ];
        keys.iter().any(|key| folder.starts_with(key))
    };
    if above.contains(['*', '?', '[']) || above.split('/').any(means_a_partition) {
        let words = format!(
            "the data folder {above} cannot be queried: rename it, without *, ?, [ and names like symbol="
        );
        return Err(QueryError::Setup(words));
    }
    Ok(())
}

fn calendar_rows() -> Result<Vec<Vec<Value>>, QueryError> {
    let calendar = Calendar::nyse();
    let (first, last) = calendar.coverage();
    let sessions = calendar
        .sessions(first, last)
        .map_err(|error| QueryError::Setup(error.to_string()))?;
    let instant = |instant_us| Value::Timestamp(TimeUnit::Microsecond, instant_us);
    let row = |session: &Session| {
        vec![
            Value::Date32(session.date().days_since_epoch()),
            instant(session.pre_open_us()),
            instant(session.open_us()),
            instant(session.close_us()),
            instant(session.post_close_us()),
            Value::Boolean(session.is_half_day()),
        ]
    };
    Ok(sessions.iter().map(row).collect())
}
