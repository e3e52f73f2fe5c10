//! The row store for what must not wait for a file: rows in quarantine and revisions. Both are minute bars.
//! Judges no row.

use rusqlite::{Connection, Row, Transaction, params};

use super::columns::Columns;
use super::failure::During;
use super::pool::Database;
use super::selection::{Conditions, json_array};
use super::series::{series_id_in, session_day};
use crate::domain::bar::HardRule;
use crate::domain::dataset::Dataset;
use crate::domain::job::JobId;
use crate::domain::ports::{
    BarSelection, OhlcvRepository, QuarantinedRow, RevisionRow, StoreError,
};
use crate::domain::session::SessionDate;
use crate::domain::symbol::Symbol;
use crate::domain::timeframe::Timeframe;

/// Quarantine and revisions in SQLite.
///
/// Both hold minute bars, so a selection of another frame selects nothing; one with session dates leaves
/// out the rows that belong to no session, for example for want of a timestamp.
#[derive(Debug, Clone)]
pub struct SqliteOhlcvRepository {
    database: Database,
}

impl SqliteOhlcvRepository {
    /// The row store of `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl OhlcvRepository for SqliteOhlcvRepository {
    fn put_quarantined(&self, rows: &[QuarantinedRow]) -> Result<usize, StoreError> {
        self.database
            .write(|transaction| put_quarantined_in(transaction, rows))
    }

    fn for_each_quarantined(
        &self,
        selection: &BarSelection,
        visit: &mut dyn FnMut(QuarantinedRow) -> bool,
    ) -> Result<(), StoreError> {
        let Some(conditions) = conditions_of(selection) else {
            return Ok(());
        };
        // The order is the unique index's, so rows stream without being sorted first.
        let sql = format!(
            "SELECT dataset, symbol, ts_us, rule, evidence, source, job_id, seen_at_us
             FROM quarantine{}
             ORDER BY dataset, symbol, ts_us IS NULL, coalesce(ts_us, 0)",
            conditions.sql()
        );
        self.database.read(|conn| {
            for_each(conn, &sql, &conditions, quarantined_row, visit)
                .during(conn, "list the rows in quarantine")
        })
    }

    fn release_quarantined(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        minutes_us: &[i64],
    ) -> Result<usize, StoreError> {
        self.database
            .write(|transaction| release_quarantined_in(transaction, dataset, symbol, minutes_us))
    }

    fn put_revisions(&self, rows: &[RevisionRow]) -> Result<(), StoreError> {
        self.database
            .write(|transaction| put_revisions_in(transaction, rows))
    }

    fn for_each_revision(
        &self,
        selection: &BarSelection,
        visit: &mut dyn FnMut(RevisionRow) -> bool,
    ) -> Result<(), StoreError> {
        let Some(conditions) = conditions_of(selection) else {
            return Ok(());
        };
        let sql = format!(
            "SELECT dataset, symbol, ts_us, job_id, seen_at_us,
                    old_open, old_high, old_low, old_close, old_volume, old_trade_count, old_vwap,
                    new_open IS NOT NULL,
                    new_open, new_high, new_low, new_close, new_volume, new_trade_count, new_vwap
             FROM revision JOIN series USING (series_id){} ORDER BY revision_id",
            conditions.sql()
        );
        self.database.read(|conn| {
            for_each(conn, &sql, &conditions, revision_row, visit)
                .during(conn, "list the revisions")
        })
    }
}

/// Keeps rows apart; returns how many were not kept already.
pub(in crate::infrastructure) fn put_quarantined_in(
    transaction: &Transaction<'_>,
    rows: &[QuarantinedRow],
) -> Result<usize, StoreError> {
    let put = || -> rusqlite::Result<usize> {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO quarantine
                 (dataset, symbol, ts_us, session_day, rule, evidence, source, job_id, seen_at_us)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?;
        let mut kept_rows = 0;
        for row in rows {
            kept_rows += insert.execute(params![
                row.dataset.to_string(),
                row.symbol,
                row.ts_us,
                row.ts_us.and_then(|ts_us| session_day(&row.symbol, ts_us)),
                row.rule.as_str(),
                row.evidence,
                row.source,
                row.job.0,
                row.seen_at_us,
            ])?;
        }
        Ok(kept_rows)
    };
    put().during(
        transaction,
        format_args!("put {} rows into quarantine", rows.len()),
    )
}

/// Lets go of the rows in quarantine of one series' minutes; returns how many.
pub(in crate::infrastructure) fn release_quarantined_in(
    transaction: &Transaction<'_>,
    dataset: &Dataset,
    symbol: &Symbol,
    minutes_us: &[i64],
) -> Result<usize, StoreError> {
    transaction
        .prepare_cached(
            "DELETE FROM quarantine
             WHERE dataset = ? AND symbol = ? AND ts_us IN (SELECT value FROM json_each(?))",
        )
        .and_then(|mut delete| {
            delete.execute(params![
                dataset.to_string(),
                symbol.as_str(),
                json_array(minutes_us)
            ])
        })
        .during(
            transaction,
            format_args!(
                "release {} minutes of {dataset} {symbol} from quarantine",
                minutes_us.len()
            ),
        )
}

/// Records revisions.
pub(in crate::infrastructure) fn put_revisions_in(
    transaction: &Transaction<'_>,
    rows: &[RevisionRow],
) -> Result<(), StoreError> {
    for row in rows {
        let series_id = series_id_in(transaction, &row.dataset, &row.symbol)?;
        put_revision(transaction, series_id, row).during(
            transaction,
            format_args!("record a revision of {} {}", row.dataset, row.symbol),
        )?;
    }
    Ok(())
}

/// Takes back the revisions of the sessions from `first` to `last`, both inside, that a commit of the moment
/// `seen_at_us` announced and did not make; returns how many.
///
/// The sessions are those of one partition: another one of the same series may have been committed in the same moment.
pub(in crate::infrastructure) fn delete_revisions_in(
    transaction: &Transaction<'_>,
    dataset: &Dataset,
    symbol: &Symbol,
    (first, last): (SessionDate, SessionDate),
    seen_at_us: i64,
) -> Result<usize, StoreError> {
    let series_id = series_id_in(transaction, dataset, symbol)?;
    transaction
        .prepare_cached("DELETE FROM revision WHERE series_id = ? AND seen_at_us = ? AND session_day BETWEEN ? AND ?")
        .and_then(|mut delete| delete.execute(params![series_id, seen_at_us, first.days_since_epoch(), last.days_since_epoch()]))
        .during(
            transaction,
            format_args!("take back revisions of {dataset} {symbol}"),
        )
}

fn put_revision(
    transaction: &Transaction<'_>,
    series_id: i64,
    row: &RevisionRow,
) -> rusqlite::Result<()> {
    let (old, new) = (&row.old, row.new.as_ref());
    transaction
        .prepare_cached(
            "INSERT INTO revision
                 (series_id, ts_us, session_day,
                  old_open, old_high, old_low, old_close, old_volume, old_trade_count, old_vwap,
                  new_open, new_high, new_low, new_close, new_volume, new_trade_count, new_vwap,
                  job_id, seen_at_us)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            series_id,
            old.ts_us,
            session_day(row.symbol.as_str(), old.ts_us),
            old.open,
            old.high,
            old.low,
            old.close,
            old.volume,
            old.trade_count,
            old.vwap,
            new.map(|bar| bar.open),
            new.map(|bar| bar.high),
            new.map(|bar| bar.low),
            new.map(|bar| bar.close),
            new.map(|bar| bar.volume),
            new.and_then(|bar| bar.trade_count),
            new.and_then(|bar| bar.vwap),
            row.job.0,
            row.seen_at_us,
        ])
        .map(|_| ())
}

/// The conditions of a selection on `dataset`, `symbol` and `session_day`; `None` when it can select nothing.
fn conditions_of(selection: &BarSelection) -> Option<Conditions> {
    if selection
        .timeframe
        .is_some_and(|frame| frame != Timeframe::M1)
    {
        return None;
    }
    let mut conditions = Conditions::default();
    if let Some(dataset) = &selection.dataset {
        conditions.and("dataset = ?", [dataset.to_string().into()]);
    }
    conditions.and_symbols(
        "symbol IN (SELECT value FROM json_each(?))",
        &selection.symbols,
    );
    if let Some((first, last)) = selection.sessions {
        conditions.and_days("session_day BETWEEN ? AND ?", first, last);
    }
    Some(conditions)
}

/// Reads rows one by one until `visit` returns `false`.
fn for_each<T>(
    conn: &Connection,
    sql: &str,
    conditions: &Conditions,
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
    visit: &mut dyn FnMut(T) -> bool,
) -> rusqlite::Result<()> {
    let mut list = conn.prepare_cached(sql)?;
    for row in list.query_map(conditions.values(), read)? {
        if !visit(row?) {
            break;
        }
    }
    Ok(())
}

fn quarantined_row(row: &Row<'_>) -> rusqlite::Result<QuarantinedRow> {
    let mut columns = Columns::of(row);
    Ok(QuarantinedRow {
        dataset: columns.parsed()?,
        symbol: columns.take()?,
        ts_us: columns.take()?,
        rule: columns.converted("hard rule", |name: String| HardRule::find_by_name(&name))?,
        evidence: columns.take()?,
        source: columns.take()?,
        job: JobId(columns.take()?),
        seen_at_us: columns.take()?,
    })
}

fn revision_row(row: &Row<'_>) -> rusqlite::Result<RevisionRow> {
    let mut columns = Columns::of(row);
    let (dataset, symbol, ts_us) = (columns.parsed()?, columns.parsed()?, columns.take()?);
    let (job, seen_at_us) = (JobId(columns.take()?), columns.take()?);
    let old = columns.bar(ts_us)?;
    let new = if columns.take()? {
        Some(columns.bar(ts_us)?)
    } else {
        None
    };
    Ok(RevisionRow {
        dataset,
        symbol,
        old,
        new,
        job,
        seen_at_us,
    })
}
