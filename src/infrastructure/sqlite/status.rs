//! What is held of each series, summed up by the database. Knows the files of the lake only by their sums.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use super::columns::Columns;
use super::failure::During;
use super::selection::Conditions;
use crate::domain::Calendar;
use crate::domain::ports::{AskedSeries, SeriesStatus, StoreError};
use crate::domain::session::SessionDate;
use crate::domain::symbol::Symbol;
use crate::domain::timeframe::Timeframe;

/// What is held of each series, ordered by dataset, symbol and frame; no symbols means all.
///
/// Rows are counted by the catalog's files, and by the ledger where no file is catalogued. Minutes are expected in every session
/// from the first to the last that was asked for, whether the sessions between them were or not. Of derived bars only files, rows and
/// bytes are known: sessions are asked for in minutes alone.
pub(super) fn list_status_in(
    conn: &Connection,
    symbols: &[Symbol],
) -> Result<Vec<SeriesStatus>, StoreError> {
    let mut of_symbols = Conditions::default();
    of_symbols.and_symbols("series.symbol IN (SELECT value FROM json_each(?))", symbols);
    let sql = format!(
        "WITH wanted AS MATERIALIZED (SELECT series_id, dataset, symbol FROM series{}),
         ledger AS (
             SELECT series_id, count(*) AS asked, sum(rows > 0) AS filled,
                    min(CASE WHEN rows > 0 THEN session_day END) AS first_day,
                    max(CASE WHEN rows > 0 THEN session_day END) AS last_day,
                    sum(regular_minutes) AS regular, sum(rows) AS rows,
                    min(session_day) AS asked_first, max(session_day) AS asked_last
             FROM session_record WHERE series_id IN (SELECT series_id FROM wanted)
             GROUP BY series_id
         ),
         refused AS (
             SELECT series_id, min(session_day) AS first_day, max(session_day) AS last_day
             FROM not_entitled WHERE series_id IN (SELECT series_id FROM wanted)
             GROUP BY series_id
         ),
         files AS (
             SELECT series_id, min(first_session_day) AS first_day,
                    max(last_session_day) AS last_day, sum(rows) AS rows, sum(bytes) AS bytes
             FROM partition_file
             WHERE series_id IN (SELECT series_id FROM wanted) AND timeframe = '1m'
             GROUP BY series_id
         )
         SELECT dataset, symbol, ledger.first_day, files.first_day, ledger.last_day, files.last_day,
                ifnull(asked, 0), ifnull(filled, 0), ifnull(regular, 0),
                asked_first, refused.first_day, asked_last, refused.last_day,
                coalesce(files.rows, ledger.rows, 0), ifnull(bytes, 0)
         FROM wanted LEFT JOIN ledger USING (series_id) LEFT JOIN refused USING (series_id)
              LEFT JOIN files USING (series_id)
         WHERE asked IS NOT NULL OR refused.first_day IS NOT NULL OR bytes IS NOT NULL",
        of_symbols.sql()
    );
    let mut expected = ExpectedMinutes::default();
    let mut list = || -> rusqlite::Result<Vec<SeriesStatus>> {
        conn.prepare_cached(&sql)?
            .query_map(of_symbols.values(), |row| series_status(row, &mut expected))?
            .collect()
    };
    let mut statuses = list().during(conn, "sum up what is held")?;
    statuses.extend(list_derived_in(conn, symbols)?);
    statuses.sort_by(|a, b| {
        let place = |status: &SeriesStatus| (status.dataset.clone(), status.symbol.clone());
        (place(a), a.timeframe).cmp(&(place(b), b.timeframe))
    });
    Ok(statuses)
}

fn list_derived_in(conn: &Connection, symbols: &[Symbol]) -> Result<Vec<SeriesStatus>, StoreError> {
    let mut of_symbols = Conditions::default();
    of_symbols.and_symbols("symbol IN (SELECT value FROM json_each(?))", symbols);
    let sql = format!(
        "WITH wanted AS MATERIALIZED (SELECT series_id, dataset, symbol FROM series{})
         SELECT dataset, symbol, timeframe, min(first_session_day), max(last_session_day),
                sum(rows), sum(bytes)
         FROM wanted JOIN partition_file USING (series_id)
         WHERE timeframe <> '1m' GROUP BY series_id, timeframe",
        of_symbols.sql()
    );
    let list = || -> rusqlite::Result<Vec<SeriesStatus>> {
        conn.prepare_cached(&sql)?
            .query_map(of_symbols.values(), |row| {
                let mut columns = Columns::of(row);
                Ok(SeriesStatus {
                    dataset: columns.parsed()?,
                    symbol: columns.parsed()?,
                    timeframe: columns.parsed()?,
                    sessions: Some((columns.session_date()?, columns.session_date()?)),
                    asked_sessions: 0,
                    filled_sessions: 0,
                    regular_minutes: 0,
                    expected_minutes: 0,
                    rows: columns.count()?,
                    bytes: columns.count()?,
                })
            })?
            .collect()
    };
    list().during(conn, "sum up derived bars")
}

/// The series that were ever asked for, ordered by dataset and symbol; no symbols means all.
pub(super) fn list_series_in(
    conn: &Connection,
    symbols: &[Symbol],
) -> Result<Vec<AskedSeries>, StoreError> {
    let mut of_symbols = Conditions::default();
    of_symbols.and_symbols("symbol IN (SELECT value FROM json_each(?))", symbols);
    let sql = format!(
        "WITH asked AS (
             SELECT series_id, session_day FROM session_record
             UNION ALL SELECT series_id, session_day FROM not_entitled
         )
         SELECT dataset, symbol, min(session_day), max(session_day)
         FROM series JOIN asked USING (series_id){} GROUP BY series_id",
        of_symbols.sql()
    );
    let list = || -> rusqlite::Result<Vec<AskedSeries>> {
        conn.prepare_cached(&sql)?
            .query_map(of_symbols.values(), |row| {
                let mut columns = Columns::of(row);
                Ok(AskedSeries {
                    dataset: columns.parsed()?,
                    symbol: columns.parsed()?,
                    sessions: (columns.session_date()?, columns.session_date()?),
                })
            })?
            .collect()
    };
    let mut series = list().during(conn, "list the series")?;
    series.sort_by(|a, b| (&a.dataset, &a.symbol).cmp(&(&b.dataset, &b.symbol)));
    Ok(series)
}

/// How many regular minutes ranges of sessions have. Most series share theirs, and so each is counted once.
#[derive(Default)]
pub(super) struct ExpectedMinutes(HashMap<(Calendar, SessionDate, SessionDate), u64>);

impl ExpectedMinutes {
    /// The minutes of `symbol` in the sessions of `span`, both inside; 0 without one.
    pub(super) fn of(&mut self, symbol: &Symbol, span: Option<(SessionDate, SessionDate)>) -> u64 {
        span.map_or(0, |(first, last)| {
            let calendar = Calendar::of(symbol);
            *self
                .0
                .entry((calendar, first, last))
                .or_insert_with(|| calendar.regular_minutes(first, last))
        })
    }
}

/// Reads two first and two last session dates, of which any may be null: from the earliest to the latest of them.
pub(super) fn widest_span(
    columns: &mut Columns<'_, '_>,
) -> rusqlite::Result<Option<(SessionDate, SessionDate)>> {
    let first_days = [columns.optional_date()?, columns.optional_date()?];
    let last_days = [columns.optional_date()?, columns.optional_date()?];
    let first = first_days.into_iter().flatten().min();
    Ok(first.zip(last_days.into_iter().flatten().max()))
}

fn series_status(row: &Row<'_>, expected: &mut ExpectedMinutes) -> rusqlite::Result<SeriesStatus> {
    let mut columns = Columns::of(row);
    let (dataset, symbol) = (columns.parsed()?, columns.parsed()?);
    let sessions = widest_span(&mut columns)?;
    let (asked_sessions, filled_sessions) = (columns.count()?, columns.count()?);
    let regular_minutes = columns.count()?;
    let asked = widest_span(&mut columns)?;
    Ok(SeriesStatus {
        dataset,
        timeframe: Timeframe::M1,
        sessions,
        asked_sessions,
        filled_sessions,
        regular_minutes,
        expected_minutes: expected.of(&symbol, asked),
        symbol,
        rows: columns.count()?,
        bytes: columns.count()?,
    })
}
