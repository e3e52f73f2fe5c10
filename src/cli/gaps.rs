//! `gaps`: what is missing, one row for each missing range, with its reason.

use super::args::{GapsArgs, HeldArgs};
use super::dates::read_dates;
use super::exit::{CliError, Exit};
use super::output::{Value, with_thousands};
use super::session::CliSession;
use super::symbols::read_legal_symbols;
use crate::domain::Gap;
use crate::domain::gaps::GapReason;
use crate::domain::instant::format_utc;
use crate::ingestion::{GapsRequest, SeriesGap, list_gaps};

const COLUMNS: [&str; 10] = [
    "dataset",
    "symbol",
    "reason",
    "state",
    "first_session",
    "last_session",
    "sessions",
    "start",
    "end",
    "minutes",
];

/// Prints the gaps of regular hours.
pub(super) fn run(session: &CliSession, args: &GapsArgs) -> Result<Exit, CliError> {
    let stores = session.stores()?;
    let request = request_of(session, &args.held)?;
    let mut gaps = list_gaps(stores.ledger.as_ref(), &request)?;
    gaps.retain(|found| {
        found.gap.minutes >= args.min_minutes
            && args.reason.is_none_or(|reason| found.gap.reason == reason)
    });
    if gaps.is_empty() {
        session.say("no gaps");
    } else {
        session.say(&totals(&gaps));
    }
    session.write_rows("gaps", &COLUMNS, gaps.iter().map(row))
}

/// The gaps that the arguments mean.
pub(super) fn request_of(session: &CliSession, held: &HeldArgs) -> Result<GapsRequest, CliError> {
    let (first, last) = read_dates(held.start.as_deref(), held.end.as_deref())?;
    Ok(GapsRequest {
        symbols: read_legal_symbols(session, &held.symbols)?,
        first,
        last,
        now_us: session.app.clock().now_us(),
    })
}

/// Minutes by reason, for people.
fn totals(gaps: &[SeriesGap]) -> String {
    let words = GapReason::ALL.into_iter().filter_map(|reason| {
        let minutes = gaps
            .iter()
            .filter(|found| found.gap.reason == reason)
            .map(|found| u64::from(found.gap.minutes))
            .sum();
        (minutes > 0).then(|| format!("{} minutes {reason}", with_thousands(minutes)))
    });
    let words: Vec<String> = words.collect();
    let count = with_thousands(u64::try_from(gaps.len()).unwrap_or(u64::MAX));
    format!("{count} gaps in regular hours: {}", words.join(", "))
}

fn row(found: &SeriesGap) -> Vec<Value> {
    let Gap {
        reason,
        is_settled,
        first_session,
        last_session,
        sessions,
        start_us,
        end_us,
        minutes,
    } = found.gap;
    let state = is_settled.map(|is_settled| if is_settled { "settled" } else { "provisional" });
    vec![
        Value::Text(found.dataset.to_string()),
        Value::Text(found.symbol.to_string()),
        Value::Text(reason.to_string()),
        state.map_or(Value::Null, |state| Value::Text(state.to_owned())),
        Value::Text(first_session.to_string()),
        Value::Text(last_session.to_string()),
        Value::UInt(sessions.into()),
        Value::Text(format_utc(start_us)),
        Value::Text(format_utc(end_us)),
        Value::UInt(minutes.into()),
    ]
}
