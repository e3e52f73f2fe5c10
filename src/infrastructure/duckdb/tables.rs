//! What the database keeps beside the bars, as tables for `query`: quarantine, revisions, jobs, findings and gaps. Knows their
//! columns, not where the rows come from.

use ::duckdb::types::{TimeUnit, Value};

use super::connection::QueryError;
use crate::domain::ports::{KeptFinding, QuarantinedRow, RevisionRow, StoreError};
use crate::domain::{Bar, Calendar, Dataset, Gap, IngestionJob, SessionDate, Symbol};

/// Makes the rows of a table when they are needed.
pub type MakeRows<'a> = Box<dyn Fn() -> Result<Vec<Vec<Value>>, QueryError> + 'a>;

/// A table that is made for a query.
pub struct QueryTable<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its columns with their types.
    pub columns: &'static str,
    /// Its rows.
    pub rows: MakeRows<'a>,
}

/// Columns of `quarantine`.
pub const QUARANTINE: &str = "dataset VARCHAR, symbol VARCHAR, ts TIMESTAMP, session_date DATE, rule VARCHAR, \
     evidence VARCHAR, source VARCHAR, job BIGINT, seen_at TIMESTAMP";

/// Columns of `revisions`; `new_` is null where the provider withdrew the row.
pub const REVISIONS: &str = "dataset VARCHAR, symbol VARCHAR, ts TIMESTAMP, session_date DATE, \
     old_open DOUBLE, old_high DOUBLE, old_low DOUBLE, old_close DOUBLE, old_volume DOUBLE, \
     old_trade_count BIGINT, old_vwap DOUBLE, \
     new_open DOUBLE, new_high DOUBLE, new_low DOUBLE, new_close DOUBLE, new_volume DOUBLE, \
     new_trade_count BIGINT, new_vwap DOUBLE, job BIGINT, seen_at TIMESTAMP";

/// Columns of `jobs`.
pub const JOBS: &str = "job BIGINT, state VARCHAR, started TIMESTAMP, finished TIMESTAMP, request VARCHAR, \
     rows_new BIGINT, rows_revised BIGINT, rows_quarantined BIGINT, rows_received BIGINT, \
     requests BIGINT, retries BIGINT, wire_bytes BIGINT, files_written BIGINT, files_unchanged BIGINT, \
     empty_sessions BIGINT, message VARCHAR";

/// Columns of `gaps`.
pub const GAPS: &str = "dataset VARCHAR, symbol VARCHAR, reason VARCHAR, settled BOOLEAN, first_session DATE, \
     last_session DATE, sessions INTEGER, start_ts TIMESTAMP, end_ts TIMESTAMP, minutes INTEGER";

/// Columns of `findings`: what the last validation of each series found.
pub const FINDINGS: &str = "finding_id VARCHAR, rule VARCHAR, severity VARCHAR, dataset VARCHAR, symbol VARCHAR, \
     session_date DATE, ts TIMESTAMP, timeframe VARCHAR, value VARCHAR, expected VARCHAR, message VARCHAR, hint VARCHAR, \
     acknowledged VARCHAR, first_seen TIMESTAMP, last_seen TIMESTAMP";

/// One row of `findings`.
pub fn finding_row(kept: &KeptFinding) -> Vec<Value> {
    let finding = &kept.finding;
    vec![
        text(&kept.id),
        text(&finding.rule),
        text(&finding.severity),
        text(&finding.dataset),
        finding.symbol.as_ref().map_or(Value::Null, text),
        finding.session.map_or(Value::Null, date),
        finding.ts_us.map_or(Value::Null, instant),
        text(&finding.timeframe),
        text(&finding.value),
        text(&finding.expected),
        text(&finding.message),
        text(&finding.hint()),
        kept.acknowledged.as_ref().map_or(Value::Null, text),
        instant(kept.first_seen_us),
        instant(kept.last_seen_us),
    ]
}

/// One row of `quarantine`.
pub fn quarantine_row(row: &QuarantinedRow) -> Vec<Value> {
    vec![
        text(&row.dataset),
        text(&row.symbol),
        row.ts_us.map_or(Value::Null, instant),
        row.ts_us
            .map_or(Value::Null, |ts_us| session_date(&row.symbol, ts_us)),
        text(row.rule.as_str()),
        text(&row.evidence),
        text(&row.source),
        Value::BigInt(row.job.0),
        instant(row.seen_at_us),
    ]
}

/// One row of `revisions`.
pub fn revision_row(row: &RevisionRow) -> Vec<Value> {
    let mut values = vec![
        text(&row.dataset),
        text(&row.symbol),
        instant(row.old.ts_us),
        session_date(row.symbol.as_str(), row.old.ts_us),
    ];
    values.extend(bar_values(Some(&row.old)));
    values.extend(bar_values(row.new.as_ref()));
    values.extend([Value::BigInt(row.job.0), instant(row.seen_at_us)]);
    values
}

/// One row of `jobs`.
pub fn job_row(job: &IngestionJob) -> Vec<Value> {
    let counts = job.counts();
    let count = |count: u64| Value::BigInt(i64::try_from(count).unwrap_or(i64::MAX));
    vec![
        Value::BigInt(job.id().0),
        text(&job.state()),
        instant(job.created_at_us()),
        job.finished_at_us().map_or(Value::Null, instant),
        text(job.request()),
        count(counts.rows_new),
        count(counts.rows_revised),
        count(counts.rows_quarantined),
        count(counts.rows_received),
        count(counts.requests),
        count(counts.retries),
        count(counts.wire_bytes),
        count(counts.files_written),
        count(counts.files_unchanged),
        count(counts.empty_sessions),
        job.message().map_or(Value::Null, text),
    ]
}

/// One row of `gaps`.
pub fn gap_row(dataset: &Dataset, symbol: &Symbol, gap: &Gap) -> Vec<Value> {
    let count = |count: u32| Value::Int(i32::try_from(count).unwrap_or(i32::MAX));
    vec![
        text(dataset),
        text(symbol),
        text(gap.reason.as_str()),
        gap.is_settled.map_or(Value::Null, Value::Boolean),
        date(gap.first_session),
        date(gap.last_session),
        count(gap.sessions),
        instant(gap.start_us),
        instant(gap.end_us),
        count(gap.minutes),
    ]
}

/// A store's failure in the middle of making a table.
impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        Self::Setup(error.to_string())
    }
}

fn text(value: &(impl std::fmt::Display + ?Sized)) -> Value {
    Value::Text(value.to_string())
}

const fn instant(instant_us: i64) -> Value {
    Value::Timestamp(TimeUnit::Microsecond, instant_us)
}

const fn date(date: SessionDate) -> Value {
    Value::Date32(date.days_since_epoch())
}

/// The session date of an instant; null when it belongs to no session.
fn session_date(symbol: &str, ts_us: i64) -> Value {
    let session = Calendar::of_name(symbol).session_containing(ts_us);
    session.map_or(Value::Null, |session| date(session.date()))
}

fn bar_values(bar: Option<&Bar>) -> [Value; 7] {
    let Some(bar) = bar else {
        return [const { Value::Null }; 7];
    };
    [
        Value::Double(bar.open),
        Value::Double(bar.high),
        Value::Double(bar.low),
        Value::Double(bar.close),
        Value::Double(bar.volume),
        bar.trade_count.map_or(Value::Null, Value::BigInt),
        bar.vwap.map_or(Value::Null, Value::Double),
    ]
}
