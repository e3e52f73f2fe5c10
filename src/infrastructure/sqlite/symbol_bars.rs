//! The completeness ledger: what is known of each symbol's sessions. Knows no file of the lake.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::columns::Columns;
use super::failure::During;
use super::pool::Database;
use super::series::{find_series_id, series_id_in};
use super::status::{list_series_in, list_status_in};
use crate::domain::calendar::Calendar;
use crate::domain::dataset::Dataset;
use crate::domain::instant::InstantRange;
use crate::domain::minute_set::MinuteSet;
use crate::domain::number::as_u64;
use crate::domain::ports::{
    AskedSeries, Forgotten, SeriesStatus, StoreError, StoreErrorKind, SymbolBarsRepository,
};
use crate::domain::services::ohlcv_calculation::DailySummary;
use crate::domain::session::SessionDate;
use crate::domain::symbol::Symbol;
use crate::domain::symbol_bars::SessionRecord;

/// The completeness ledger in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteSymbolBarsRepository {
    database: Database,
}

impl SqliteSymbolBarsRepository {
    /// The ledger of `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl SymbolBarsRepository for SqliteSymbolBarsRepository {
    fn find_session(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        date: SessionDate,
    ) -> Result<Option<SessionRecord>, StoreError> {
        Ok(self.list_sessions(dataset, symbol, date, date)?.pop())
    }

    fn list_sessions(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        first: SessionDate,
        last: SessionDate,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.database
            .read(|conn| list_sessions_in(conn, dataset, symbol, first, last))
    }

    fn find_last_settled(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
    ) -> Result<Option<SessionDate>, StoreError> {
        self.database.read(|conn| {
            let Some(series_id) = find_series_id(conn, dataset, symbol)? else {
                return Ok(None);
            };
            conn.prepare_cached(
                "SELECT session_day FROM session_record WHERE series_id = ? AND is_settled = 1
                 ORDER BY session_day DESC LIMIT 1",
            )
            .and_then(|mut find| {
                find.query_row([series_id], |row| Columns::of(row).session_date())
                    .optional()
            })
            .during(
                conn,
                format_args!("find the last settled session of {dataset} {symbol}"),
            )
        })
    }

    fn put_sessions(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        records: &[SessionRecord],
    ) -> Result<(), StoreError> {
        self.database
            .write(|transaction| put_sessions_in(transaction, dataset, symbol, records))
    }

    fn delete_sessions(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        first: SessionDate,
        last: SessionDate,
    ) -> Result<usize, StoreError> {
        self.database
            .write(|transaction| delete_sessions_in(transaction, dataset, symbol, first, last))
    }

    fn forget(
        &self,
        symbol: &Symbol,
        dataset: Option<&Dataset>,
    ) -> Result<Vec<(Dataset, Forgotten)>, StoreError> {
        self.database
            .write(|transaction| forget_in(transaction, symbol, dataset))
    }

    fn note_not_entitled(
        &self,
        dataset: &Dataset,
        symbols: &[Symbol],
        dates: &[SessionDate],
        asked_at_us: i64,
    ) -> Result<(), StoreError> {
        self.database.write(|transaction| {
            for symbol in symbols {
                let series_id = series_id_in(transaction, dataset, symbol)?;
                let note = || -> rusqlite::Result<()> {
                    let mut insert = transaction.prepare_cached(
                        "INSERT OR REPLACE INTO not_entitled (series_id, session_day, asked_at_us)
                         SELECT ?1, ?2, ?3 WHERE NOT EXISTS (
                             SELECT 1 FROM session_record
                             WHERE series_id = ?1 AND session_day = ?2 AND asked_at_us > 0)",
                    )?;
                    for date in dates {
                        insert.execute(params![series_id, date.days_since_epoch(), asked_at_us])?;
                    }
                    Ok(())
                };
                note().during(
                    transaction,
                    format_args!("note what the plan does not include of {dataset} {symbol}"),
                )?;
            }
            Ok(())
        })
    }

    fn list_not_entitled(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
    ) -> Result<Vec<SessionDate>, StoreError> {
        self.database.read(|conn| {
            let Some(series_id) = find_series_id(conn, dataset, symbol)? else {
                return Ok(Vec::new());
            };
            let list = || -> rusqlite::Result<Vec<SessionDate>> {
                conn.prepare_cached(
                    "SELECT session_day FROM not_entitled WHERE series_id = ? ORDER BY session_day",
                )?
                .query_map([series_id], |row| Columns::of(row).session_date())?
                .collect()
            };
            list().during(
                conn,
                format_args!("list what the plan does not include of {dataset} {symbol}"),
            )
        })
    }

    fn list_series(&self, symbols: &[Symbol]) -> Result<Vec<AskedSeries>, StoreError> {
        self.database.read(|conn| list_series_in(conn, symbols))
    }

    fn list_status(&self, symbols: &[Symbol]) -> Result<Vec<SeriesStatus>, StoreError> {
        self.database.read(|conn| list_status_in(conn, symbols))
    }
}

/// The records from `first` to `last`, both inside, ascending.
pub(in crate::infrastructure) fn list_sessions_in(
    conn: &Connection,
    dataset: &Dataset,
    symbol: &Symbol,
    first: SessionDate,
    last: SessionDate,
) -> Result<Vec<SessionRecord>, StoreError> {
    let Some(series_id) = find_series_id(conn, dataset, symbol)? else {
        return Ok(Vec::new());
    };
    let list = || -> rusqlite::Result<Vec<SessionRecord>> {
        conn.prepare_cached(
            "SELECT session_day, asked_start_us, asked_end_us, asked_at_us, is_settled,
                    present, off_frame_rows, quarantined,
                    open, high, low, close, volume, trade_count, vwap, regular_minutes
             FROM session_record WHERE series_id = ? AND session_day BETWEEN ? AND ?
             ORDER BY session_day",
        )?
        .query_map(
            params![series_id, first.days_since_epoch(), last.days_since_epoch()],
            session_record,
        )?
        .collect()
    };
    list().during(
        conn,
        format_args!("list the sessions {first} to {last} of {dataset} {symbol}"),
    )
}

/// Forgets a symbol where there is nothing but that it was asked for, and what a validation said of that.
fn forget_in(
    transaction: &Transaction<'_>,
    symbol: &Symbol,
    dataset: Option<&Dataset>,
) -> Result<Vec<(Dataset, Forgotten)>, StoreError> {
    // A validation that ran beside an earlier call may have left findings about what was forgotten.
    let known = || -> rusqlite::Result<Vec<Dataset>> {
        transaction
            .prepare_cached(
                "SELECT dataset FROM series WHERE symbol = ?1
                 UNION SELECT dataset FROM finding WHERE symbol = ?1 ORDER BY dataset",
            )?
            .query_map([symbol.as_str()], |row| Columns::of(row).parsed())?
            .collect()
    };
    let mut known = known().during(transaction, format_args!("look for {symbol}"))?;
    known.retain(|known| dataset.is_none_or(|wanted| wanted == known));
    let mut became = Vec::with_capacity(known.len());
    for dataset in known {
        let series_id = find_series_id(transaction, &dataset, symbol)?;
        let forgotten = forget_series(transaction, series_id, &dataset, symbol)
            .during(transaction, format_args!("forget {dataset} {symbol}"))?;
        became.push((dataset, forgotten));
    }
    Ok(became)
}

fn forget_series(
    transaction: &Transaction<'_>,
    series_id: Option<i64>,
    dataset: &Dataset,
    symbol: &Symbol,
) -> rusqlite::Result<Forgotten> {
    // Sessions without a row that nobody asked for are those whose file was lost.
    let holds = [
        "session_record WHERE series_id = ? AND (rows > 0 OR asked_start_us >= asked_end_us)",
        "partition_file WHERE series_id = ?",
        "pending WHERE series_id = ?",
        "revision WHERE series_id = ?",
    ];
    for rows in holds {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {rows})");
        if transaction.query_row(&sql, [series_id], |row| row.get(0))? {
            return Ok(Forgotten::Nothing);
        }
    }
    let dataset = dataset.to_string();
    let name = params![dataset, symbol.as_str()];
    let sql = "SELECT EXISTS (SELECT 1 FROM quarantine WHERE dataset = ? AND symbol = ?)";
    if transaction.query_row(sql, name, |row| row.get(0))? {
        return Ok(Forgotten::Nothing);
    }
    transaction.execute(
        "DELETE FROM acknowledgement WHERE finding_id IN
             (SELECT finding_id FROM finding WHERE dataset = ? AND symbol = ?)",
        name,
    )?;
    transaction.execute("DELETE FROM finding WHERE dataset = ? AND symbol = ?", name)?;
    let mut sessions = 0;
    for table in ["session_record", "not_entitled"] {
        let sql = format!("DELETE FROM {table} WHERE series_id = ?");
        sessions += as_u64(transaction.execute(&sql, [series_id])?);
    }
    for table in ["derivation", "series"] {
        transaction.execute(
            &format!("DELETE FROM {table} WHERE series_id = ?"),
            [series_id],
        )?;
    }
    Ok(Forgotten::Sessions(sessions))
}

/// Writes records, replacing those of the same session.
pub(in crate::infrastructure) fn put_sessions_in(
    transaction: &Transaction<'_>,
    dataset: &Dataset,
    symbol: &Symbol,
    records: &[SessionRecord],
) -> Result<(), StoreError> {
    let series_id = series_id_in(transaction, dataset, symbol)?;
    for record in records {
        check_known(symbol, record.date)?;
        transaction
            .prepare_cached("DELETE FROM not_entitled WHERE series_id = ? AND session_day = ?")
            .and_then(|mut forget| {
                forget.execute(params![series_id, record.date.days_since_epoch()])
            })
            .during(
                transaction,
                format_args!(
                    "note that session {} of {dataset} {symbol} is included",
                    record.date
                ),
            )?;
        put_session(transaction, series_id, record).during(
            transaction,
            format_args!("write session {} of {dataset} {symbol}", record.date),
        )?;
    }
    Ok(())
}

/// Forgets the records from `first` to `last`, both inside; returns how many.
pub(in crate::infrastructure) fn delete_sessions_in(
    transaction: &Transaction<'_>,
    dataset: &Dataset,
    symbol: &Symbol,
    first: SessionDate,
    last: SessionDate,
) -> Result<usize, StoreError> {
    let Some(series_id) = find_series_id(transaction, dataset, symbol)? else {
        return Ok(0);
    };
    transaction
        .prepare_cached(
            "DELETE FROM session_record WHERE series_id = ? AND session_day BETWEEN ? AND ?",
        )
        .and_then(|mut delete| {
            delete.execute(params![
                series_id,
                first.days_since_epoch(),
                last.days_since_epoch()
            ])
        })
        .during(
            transaction,
            format_args!("forget the sessions {first} to {last} of {dataset} {symbol}"),
        )
}

fn put_session(
    transaction: &Transaction<'_>,
    series_id: i64,
    record: &SessionRecord,
) -> rusqlite::Result<()> {
    let summary = &record.summary;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO session_record
                 (series_id, session_day, asked_start_us, asked_end_us, asked_at_us, is_settled,
                  present, off_frame_rows, quarantined, rows, regular_minutes,
                  open, high, low, close, volume, trade_count, vwap)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            series_id,
            record.date.days_since_epoch(),
            record.asked.start_us,
            record.asked.end_us,
            record.asked_at_us,
            record.is_settled,
            record.present.to_bytes(),
            record.off_frame_rows,
            record.quarantined.to_bytes(),
            record.rows(),
            summary.minutes,
            summary.open,
            summary.high,
            summary.low,
            summary.close,
            summary.volume,
            summary.trade_count,
            summary.vwap,
        ])
        .map(|_| ())
}

/// Refuses a session of which the calendar cannot tell the minutes.
fn check_known(symbol: &Symbol, date: SessionDate) -> Result<(), StoreError> {
    let known = Calendar::of(symbol).session(date);
    known.map(|_| ()).map_err(|error| {
        let context = format!("cannot tell the minutes of session {date} of {symbol}");
        StoreError::new(StoreErrorKind::Failed, context).caused_by(error)
    })
}

fn session_record(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    const MINUTES: &str = "set of minutes";
    let minutes = |bytes: Vec<u8>| MinuteSet::from_bytes(&bytes);
    let mut columns = Columns::of(row);
    Ok(SessionRecord {
        date: columns.session_date()?,
        asked: InstantRange {
            start_us: columns.take()?,
            end_us: columns.take()?,
        },
        asked_at_us: columns.take()?,
        is_settled: columns.take()?,
        present: columns.converted(MINUTES, minutes)?,
        off_frame_rows: columns.take()?,
        quarantined: columns.converted(MINUTES, minutes)?,
        summary: DailySummary {
            open: columns.take()?,
            high: columns.take()?,
            low: columns.take()?,
            close: columns.take()?,
            volume: columns.take()?,
            trade_count: columns.take()?,
            vwap: columns.take()?,
            minutes: columns.take()?,
        },
    })
}
