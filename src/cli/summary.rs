//! The closing summary of an ingest, for people and for scripts.

use super::import::PROVIDER as IMPORT;
use super::output::{Value, counted, human_bytes, human_duration, with_thousands};
use crate::domain::Symbol;
use crate::domain::instant::format_utc;
use crate::domain::job::JobState;
use crate::ingestion::{IngestReport, SymbolFailure};

/// Failures that are listed one by one; the rest is counted.
const LISTED_FAILURES: usize = 10;

/// Symbols that are named one by one.
const NAMED_SYMBOLS: usize = 20;

/// The summary in a few lines.
pub(super) fn render(report: &IngestReport) -> String {
    let counts = &report.counts;
    let made_up = if report.is_real {
        ""
    } else {
        " (made-up bars, not market data)"
    };
    let symbols = counted(u64::try_from(report.symbols).unwrap_or(u64::MAX), "symbol");
    let title = match report.job {
        None => format!("nothing to fetch: {}{made_up}, {symbols}", report.dataset),
        Some(job) => format!(
            "job {job} {}: {}{made_up}, {symbols}",
            report.state, report.dataset
        ),
    };
    let mut lines = vec![title];
    if report.job.is_some() {
        let seconds = report.elapsed.as_secs_f64().max(0.001);
        lines.push(format!(
            "  rows      {} new, {} revised, {} quarantined",
            with_thousands(counts.rows_new),
            with_thousands(counts.rows_revised),
            with_thousands(counts.rows_quarantined)
        ));
        lines.push(format!(
            "  files     {} written, {} unchanged",
            with_thousands(counts.files_written),
            with_thousands(counts.files_unchanged)
        ));
        lines.push(format!(
            "  requests  {} ({} repeated), {}",
            with_thousands(counts.requests),
            with_thousands(counts.retries),
            human_bytes(counts.wire_bytes)
        ));
        lines.push(format!(
            "  time      {} ({} rows/s)",
            human_duration(report.elapsed),
            with_thousands(per_second(counts.rows_received, seconds))
        ));
    }
    let empty = if counts.empty_sessions > 0 {
        format!(
            ", {} without a trade",
            with_thousands(counts.empty_sessions)
        )
    } else {
        String::new()
    };
    lines.push(format!(
        "  sessions  {} to fetch{empty}, {} settled and left out",
        with_thousands(report.sessions_to_fetch),
        with_thousands(report.sessions_settled)
    ));
    lines.extend(problems(report));
    lines.join("\n")
}

/// Only what failed, for those who asked to be told no more.
pub(super) fn render_problems(report: &IngestReport) -> String {
    let mut lines = vec![format!("{} {}", report.dataset, report.state)];
    lines.extend(problems(report));
    lines.join("\n")
}

fn problems(report: &IngestReport) -> Vec<String> {
    let mut lines = Vec::new();
    // Symbols that were asked for together fail together.
    let mut failures: Vec<(&SymbolFailure, Vec<Symbol>)> = Vec::new();
    for failure in &report.failures {
        match failures.last_mut() {
            Some((first, symbols))
                if first.part == failure.part && first.reason == failure.reason =>
            {
                symbols.push(failure.symbol.clone());
            }
            _ => failures.push((failure, vec![failure.symbol.clone()])),
        }
    }
    for (failure, symbols) in failures.iter().take(LISTED_FAILURES) {
        lines.push(format!(
            "  failed    {} {}: {}",
            names(symbols),
            failure.part,
            failure.reason
        ));
    }
    if failures.len() > LISTED_FAILURES {
        let rest = failures.iter().skip(LISTED_FAILURES);
        let symbols: std::collections::BTreeSet<Symbol> = rest
            .flat_map(|(_, symbols)| symbols.iter().cloned())
            .collect();
        let symbols: Vec<Symbol> = symbols.into_iter().collect();
        lines.push(format!(
            "  failed    and {} of {}; `marketpipe gaps --reason 'not asked'` has them all",
            counted(
                u64::try_from(failures.len() - LISTED_FAILURES).unwrap_or(u64::MAX),
                "more part"
            ),
            names(&symbols)
        ));
    }
    for row in &report.quarantined {
        let at = row
            .ts_us
            .map_or_else(|| "without a readable time".to_owned(), format_utc);
        lines.push(format!("  apart     {} {at}: {}", row.symbol, row.rule));
    }
    let listed = u64::try_from(report.quarantined.len()).unwrap_or(u64::MAX);
    if report.counts.rows_quarantined > listed {
        lines.push(format!(
            "  apart     and {}: `marketpipe query \"from quarantine\"` has them all",
            counted(report.counts.rows_quarantined - listed, "more row")
        ));
    }
    if report.overruled_rows > 0 {
        lines.push(format!(
            "  twice     {} came twice with other values; the later row counts",
            counted(report.overruled_rows, "minute")
        ));
    }
    if report.not_done.sessions > 0 {
        // A job that was cancelled is not resumed, and an import is begun again.
        let is_resumable =
            report.state != JobState::Cancelled && report.dataset.provider() != IMPORT;
        let resumable = report.job.filter(|_| is_resumable);
        lines.push(format!(
            "  not done  {} of {}: the same command{} goes on",
            counted(
                u64::try_from(report.not_done.sessions).unwrap_or(u64::MAX),
                "session"
            ),
            names(&report.not_done.symbols),
            resumable
                .map(|job| format!(" or `marketpipe jobs resume {job}`"))
                .unwrap_or_default(),
        ));
    }
    if !report.no_data.is_empty() {
        let why = match report.sessions_begun {
            0 => "no session in the requested range has begun, or its data are held back",
            _ => {
                "not a single bar in the requested range; `marketpipe forget` takes misspelt ones off the books"
            }
        };
        lines.push(format!("  no data   {}: {why}", names(&report.no_data)));
    }
    lines
}

/// The first symbols by name, the others as a number.
fn names(symbols: &[Symbol]) -> String {
    let names: Vec<&str> = symbols
        .iter()
        .take(NAMED_SYMBOLS)
        .map(Symbol::as_str)
        .collect();
    let more = match symbols.len() - names.len() {
        0 => String::new(),
        more => format!(
            " and {} more",
            with_thousands(u64::try_from(more).unwrap_or(u64::MAX))
        ),
    };
    names.join(", ") + &more
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people, finite and positive"
)]
fn per_second(rows: u64, seconds: f64) -> u64 {
    (rows as f64 / seconds) as u64
}

/// The summary as one row.
pub(super) fn row(report: &IngestReport) -> ([&'static str; 16], Vec<Value>) {
    let counts = &report.counts;
    let columns = [
        "job",
        "state",
        "dataset",
        "symbols",
        "rows_new",
        "rows_revised",
        "rows_quarantined",
        "requests",
        "retries",
        "wire_bytes",
        "files_written",
        "files_unchanged",
        "sessions_to_fetch",
        "sessions_settled",
        "failed",
        "elapsed_s",
    ];
    // A symbol that failed in several parts is named once.
    let incomplete: std::collections::BTreeSet<&str> = report
        .failures
        .iter()
        .map(|failure| failure.symbol.as_str())
        .chain(report.no_data.iter().map(|symbol| symbol.as_str()))
        .collect();
    let values = vec![
        report.job.map_or(Value::Null, |job| Value::Int(job.0)),
        Value::Text(report.state.to_string()),
        Value::Text(report.dataset.to_string()),
        Value::UInt(u64::try_from(report.symbols).unwrap_or(u64::MAX)),
        Value::UInt(counts.rows_new),
        Value::UInt(counts.rows_revised),
        Value::UInt(counts.rows_quarantined),
        Value::UInt(counts.requests),
        Value::UInt(counts.retries),
        Value::UInt(counts.wire_bytes),
        Value::UInt(counts.files_written),
        Value::UInt(counts.files_unchanged),
        Value::UInt(report.sessions_to_fetch),
        Value::UInt(report.sessions_settled),
        Value::Text(incomplete.into_iter().collect::<Vec<_>>().join(" ")),
        Value::Float(report.elapsed.as_secs_f64()),
    ];
    (columns, values)
}
