//! What is stored, counted by the database at one moment. Reads no file of the lake.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::columns::Columns;
use super::metrics::of_a_known_command;
use super::status::{ExpectedMinutes, widest_span};
use crate::domain::Dataset;
use crate::domain::metric::{COMPLETED, DatasetStock, LastRuns, Stock, StoredFrame};
use crate::domain::rule::Severity;

/// Counts files and rows by the catalog, completeness by the ledger.
pub(super) fn take_stock_in(conn: &Connection) -> rusqlite::Result<Stock> {
    let mut datasets = list_datasets(conn)?;
    note_newest(conn, &mut datasets)?;
    note_quarantined(conn, &mut datasets)?;
    note_findings(conn, &mut datasets)?;
    Ok(Stock {
        frames: list_frames(conn)?,
        datasets: datasets.into_values().collect(),
        runs: list_last_runs(conn)?,
        free_bytes: None,
    })
}

fn list_last_runs(conn: &Connection) -> rusqlite::Result<Vec<LastRuns>> {
    conn.prepare_cached(&format!(
        "SELECT command, max(last_seen_us), max(iif(outcome = ?, last_seen_us, NULL))
         FROM run WHERE {} GROUP BY command ORDER BY command",
        of_a_known_command()
    ))?
    .query_map([COMPLETED], |row| {
        let mut columns = Columns::of(row);
        Ok(LastRuns {
            command: columns.parsed()?,
            last_seen_us: columns.take()?,
            last_success_us: columns.take()?,
        })
    })?
    .collect()
}

fn list_frames(conn: &Connection) -> rusqlite::Result<Vec<StoredFrame>> {
    let mut frames = conn
        .prepare_cached(
            "SELECT dataset, timeframe, count(*), sum(rows), sum(bytes)
             FROM partition_file JOIN series USING (series_id) GROUP BY dataset, timeframe",
        )?
        .query_map([], |row| {
            let mut columns = Columns::of(row);
            Ok(StoredFrame {
                dataset: columns.parsed()?,
                timeframe: columns.parsed()?,
                files: columns.count()?,
                rows: columns.count()?,
                bytes: columns.count()?,
            })
        })?
        .collect::<rusqlite::Result<Vec<StoredFrame>>>()?;
    frames.sort_by(|a, b| (&a.dataset, a.timeframe).cmp(&(&b.dataset, b.timeframe)));
    Ok(frames)
}

fn list_datasets(conn: &Connection) -> rusqlite::Result<BTreeMap<Dataset, DatasetStock>> {
    let mut datasets: BTreeMap<Dataset, DatasetStock> = BTreeMap::new();
    let mut expected = ExpectedMinutes::default();
    let mut series = conn.prepare_cached(
        "WITH ledger AS (
             SELECT series_id, sum(regular_minutes) AS regular,
                    min(session_day) AS first_day, max(session_day) AS last_day
             FROM session_record GROUP BY series_id
         ),
         refused AS (
             SELECT series_id, min(session_day) AS first_day, max(session_day) AS last_day
             FROM not_entitled GROUP BY series_id
         )
         SELECT dataset, symbol, ifnull(regular, 0),
                ledger.first_day, refused.first_day, ledger.last_day, refused.last_day
         FROM series LEFT JOIN ledger USING (series_id) LEFT JOIN refused USING (series_id)",
    )?;
    let mut rows = series.query([])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let dataset: Dataset = columns.parsed()?;
        let symbol = columns.parsed()?;
        let stock = datasets
            .entry(dataset.clone())
            .or_insert_with(|| DatasetStock {
                dataset,
                symbols: 0,
                minutes_present: 0,
                minutes_expected: 0,
                newest_bar_us: None,
                newest_symbol: None,
                quarantined_rows: 0,
                open_findings: [0; 3],
            });
        stock.symbols += 1;
        stock.minutes_present += columns.count()?;
        stock.minutes_expected += expected.of(&symbol, widest_span(&mut columns)?);
    }
    Ok(datasets)
}

fn note_newest(
    conn: &Connection,
    datasets: &mut BTreeMap<Dataset, DatasetStock>,
) -> rusqlite::Result<()> {
    // SQLite gives the symbol of the row that has the maximum.
    let mut newest = conn.prepare_cached(
        "SELECT dataset, symbol, max(last_ts_us)
         FROM partition_file JOIN series USING (series_id) WHERE timeframe = '1m' GROUP BY dataset",
    )?;
    let mut rows = newest.query([])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        if let Some(stock) = datasets.get_mut(&columns.parsed()?) {
            stock.newest_symbol = Some(columns.parsed()?);
            stock.newest_bar_us = columns.take()?;
        }
    }
    Ok(())
}

fn note_quarantined(
    conn: &Connection,
    datasets: &mut BTreeMap<Dataset, DatasetStock>,
) -> rusqlite::Result<()> {
    let mut counts =
        conn.prepare_cached("SELECT dataset, count(*) FROM quarantine GROUP BY dataset")?;
    let mut rows = counts.query([])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        if let Some(stock) = datasets.get_mut(&columns.parsed()?) {
            stock.quarantined_rows = columns.count()?;
        }
    }
    Ok(())
}

fn note_findings(
    conn: &Connection,
    datasets: &mut BTreeMap<Dataset, DatasetStock>,
) -> rusqlite::Result<()> {
    let mut counts = conn.prepare_cached(
        "SELECT dataset, severity, count(*)
         FROM finding LEFT JOIN acknowledgement USING (finding_id, fingerprint)
         WHERE reason IS NULL GROUP BY dataset, severity",
    )?;
    let mut rows = counts.query([])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        if let Some(stock) = datasets.get_mut(&columns.parsed()?) {
            let severity: Severity = columns.parsed()?;
            stock.open_findings[severity as usize] = columns.count()?;
        }
    }
    Ok(())
}
