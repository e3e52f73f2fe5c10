//! Findings as of the last look at each series, and acknowledgements. Judges nothing.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::columns::Columns;
use super::failure::During;
use super::pool::Database;
use crate::domain::ports::{FindingRepository, KeptFinding, SeriesFindings, StoreError};
use crate::domain::{Finding, Period, Rule, SessionDate, Symbol, Timeframe};

/// Findings in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteFindingRepository {
    database: Database,
}

impl SqliteFindingRepository {
    /// The findings of `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl FindingRepository for SqliteFindingRepository {
    fn replace_findings(&self, found: &[SeriesFindings], at_us: i64) -> Result<(), StoreError> {
        self.database.write(|transaction| {
            for series in found {
                replace_in(transaction, series, at_us)
                    .during(transaction, "keep what validation found")?;
            }
            Ok(())
        })
    }

    fn find_acknowledged(&self, findings: &[Finding]) -> Result<Vec<Option<String>>, StoreError> {
        self.database.read(|conn| {
            let find = || -> rusqlite::Result<Vec<Option<String>>> {
                let mut find = conn.prepare_cached(
                    "SELECT reason FROM acknowledgement WHERE finding_id = ? AND fingerprint = ?",
                )?;
                findings
                    .iter()
                    .map(|finding| {
                        let place = params![finding.id(), finding.fingerprint()];
                        find.query_row(place, |row| row.get(0)).optional()
                    })
                    .collect()
            };
            find().during(conn, "look for acknowledgements")
        })
    }

    fn acknowledge(&self, id: &str, reason: &str, at_us: i64) -> Result<bool, StoreError> {
        self.database.write(|transaction| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO acknowledgement (finding_id, fingerprint, reason, at_us)
                     SELECT finding_id, fingerprint, ?, ? FROM finding WHERE finding_id = ?",
                    params![reason, at_us, id],
                )
                .map(|changed| changed > 0)
                .during(transaction, format_args!("acknowledge {id}"))
        })
    }

    fn withdraw(&self, id: &str) -> Result<bool, StoreError> {
        self.database.write(|transaction| {
            transaction
                .execute("DELETE FROM acknowledgement WHERE finding_id = ?", [id])
                .map(|changed| changed > 0)
                .during(
                    transaction,
                    format_args!("take back the acknowledgement of {id}"),
                )
        })
    }

    fn list_findings(&self) -> Result<Vec<KeptFinding>, StoreError> {
        self.database
            .read(|conn| list(conn).during(conn, "list findings"))
    }
}

fn replace_in(
    transaction: &Transaction<'_>,
    series: &SeriesFindings,
    at_us: i64,
) -> rusqlite::Result<()> {
    let symbol = series.symbol.as_ref().map(Symbol::as_str);
    let days = series
        .sessions
        .map(|(first, last)| (first.days_since_epoch(), last.days_since_epoch()));
    // What was seen before keeps the time at which it was seen first.
    let mut before =
        transaction.prepare_cached("SELECT first_seen_us FROM finding WHERE finding_id = ?")?;
    let mut seen = Vec::with_capacity(series.findings.len());
    for finding in &series.findings {
        let first: Option<i64> = before
            .query_row([finding.id()], |row| row.get(0))
            .optional()?;
        seen.push(first.unwrap_or(at_us));
    }
    // What is about a file is filed under one session of it, and was looked at whichever of its sessions were.
    let periods = |frame| {
        let (first, last) = series.sessions?;
        let first = Period::of(frame, first).dates()?.0;
        let last = Period::of(frame, last).dates()?.1;
        Some((first.days_since_epoch(), last.days_since_epoch()))
    };
    let (months, years) = (periods(Timeframe::M1), periods(Timeframe::D1));
    let about_files: Vec<&str> = Rule::ABOUT_FILES.iter().map(|rule| rule.id()).collect();
    transaction
        .prepare_cached(
            "DELETE FROM finding WHERE dataset = ?1 AND symbol IS ?2
                 AND (?3 IS NULL OR session_day IS NULL OR session_day BETWEEN ?3 AND ?4
                      OR (ts_us IS NULL AND instr(?9, rule) > 0
                          AND CASE timeframe WHEN '1m' THEN session_day BETWEEN ?5 AND ?6
                                             ELSE session_day BETWEEN ?7 AND ?8 END))",
        )?
        .execute(params![
            series.dataset.to_string(),
            symbol,
            days.map(|(first, _)| first),
            days.map(|(_, last)| last),
            months.map(|(first, _)| first),
            months.map(|(_, last)| last),
            years.map(|(first, _)| first),
            years.map(|(_, last)| last),
            about_files.join(" ")
        ])?;
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO finding
             (finding_id, rule, severity, dataset, symbol, timeframe, session_day, ts_us,
              value, expected, message, fingerprint, first_seen_us, last_seen_us)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (finding, first_seen_us) in series.findings.iter().zip(seen) {
        insert.execute(params![
            finding.id(),
            finding.rule.id(),
            finding.severity.as_str(),
            finding.dataset.to_string(),
            finding.symbol.as_ref().map(Symbol::as_str),
            finding.timeframe.as_str(),
            finding.session.map(SessionDate::days_since_epoch),
            finding.ts_us,
            finding.value,
            finding.expected,
            finding.message,
            finding.fingerprint(),
            first_seen_us,
            at_us
        ])?;
    }
    Ok(())
}

fn list(conn: &Connection) -> rusqlite::Result<Vec<KeptFinding>> {
    conn.prepare_cached(
        "SELECT finding_id, rule, severity, dataset, symbol, timeframe, session_day, ts_us,
                value, expected, message, first_seen_us, last_seen_us, reason
         FROM finding LEFT JOIN acknowledgement USING (finding_id, fingerprint)
         ORDER BY dataset, symbol, session_day, ts_us, rule",
    )?
    .query_map([], kept_finding)?
    .collect()
}

fn kept_finding(row: &Row<'_>) -> rusqlite::Result<KeptFinding> {
    let mut columns = Columns::of(row);
    Ok(KeptFinding {
        id: columns.take()?,
        finding: Finding {
            rule: columns.parsed()?,
            severity: columns.parsed()?,
            dataset: columns.parsed()?,
            symbol: columns.converted("symbol", |text: Option<String>| match text {
                None => Some(None),
                Some(text) => text.parse().ok().map(Some),
            })?,
            timeframe: columns.parsed()?,
            session: columns.optional_date()?,
            ts_us: columns.take()?,
            value: columns.take()?,
            expected: columns.take()?,
            message: columns.take()?,
            bar: None,
        },
        first_seen_us: columns.take()?,
        last_seen_us: columns.take()?,
        acknowledged: columns.take()?,
    })
}
