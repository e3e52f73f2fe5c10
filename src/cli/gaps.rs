//! `gaps`: what is missing, one row for each missing range, with its reason.

use clap::Args;

use super::args::HeldArgs;
use super::dates::read_dates;
use super::exit::{CliError, Exit};
use super::output::{Value, counted};
use super::session::CliSession;
use super::symbols::{read_legal_symbols, tell_absent};
use crate::domain::Gap;
use crate::domain::gaps::GapReason;
use crate::domain::instant::format_utc;
use crate::domain::ports::SymbolBarsRepository;
use crate::ingestion::{GapsRequest, SeriesGap, list_gaps};

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe gaps --symbols AAPL --start 2024-07-01
  marketpipe gaps --reason 'not asked'
  marketpipe gaps --min-minutes 5 --format json

Reasons: not asked, no trade (asked, and the provider had no bar), quarantined (its only row broke a rule), not entitled \
(the plan did not include it or something asked for with it). Weekends, holidays and the afternoon of a half day are no gaps. \
Without dates: from the first session that was ever asked for up to now.";

#[derive(Debug, Args)]
pub(super) struct GapsArgs {
    #[command(flatten)]
    pub(super) held: HeldArgs,
    /// Only gaps for this reason
    #[arg(long, value_name = "REASON", value_parser = read_reason)]
    pub(super) reason: Option<GapReason>,
    /// Only gaps of at least so many minutes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) min_minutes: u32,
}

/// The reasons as words that a shell does not take apart.
pub(super) const REASONS: [&str; GapReason::ALL.len()] =
    ["no-trade", "not-asked", "quarantined", "not-entitled"];

fn read_reason(text: &str) -> Result<GapReason, String> {
    let named = GapReason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == text.replace(['-', '_'], " "));
    named.ok_or_else(|| {
        let known = GapReason::ALL.map(GapReason::as_str);
        format!("expected one of: {}", known.join(", "))
    })
}

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

/// What a narrow terminal can do without, the least missed first.
const COLUMNS_TO_DROP: [&str; 6] = [
    "state",
    "end",
    "sessions",
    "start",
    "dataset",
    "last_session",
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
    let is_short = tell_never_asked(session, stores.ledger.as_ref(), &request)?;
    match gaps.is_empty() {
        false => session.say(&totals(&gaps)),
        // Of what was never asked for it would be no comfort.
        true if is_short => {}
        true => session.say("no gaps"),
    }
    let rows = gaps.iter().map(row).collect();
    let written = session.write_fitting("gaps", &COLUMNS, rows, &COLUMNS_TO_DROP)?;
    Ok(written.or_partial(is_short))
}

/// Says what of the request was never asked for at all, if anything: it has no gaps, and no bars either.
pub(super) fn tell_never_asked(
    session: &CliSession,
    ledger: &dyn SymbolBarsRepository,
    request: &GapsRequest,
) -> Result<bool, CliError> {
    let GapsRequest {
        symbols, dataset, ..
    } = request;
    if symbols.is_empty() && dataset.is_none() {
        return Ok(false);
    }
    let asked = request.list_series(ledger)?;
    let asked = asked.iter().map(|series| &series.symbol);
    Ok(tell_absent(
        session,
        "nothing is held",
        symbols,
        dataset.as_ref(),
        asked,
    ))
}

/// The gaps that the arguments mean.
pub(super) fn request_of(session: &CliSession, held: &HeldArgs) -> Result<GapsRequest, CliError> {
    let (first, last) = read_dates(held.start.as_deref(), held.end.as_deref())?;
    Ok(GapsRequest {
        symbols: read_legal_symbols(session, &held.series.symbols)?,
        dataset: held.series.dataset.clone(),
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
        (minutes > 0).then(|| format!("{} {reason}", counted(minutes, "minute")))
    });
    let words: Vec<String> = words.collect();
    let count = counted(u64::try_from(gaps.len()).unwrap_or(u64::MAX), "gap");
    format!("{count} in regular hours: {}", words.join(", "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_can_be_given_as_one_word() {
        let read = REASONS.map(|reason| read_reason(reason).unwrap());
        assert!(GapReason::ALL.iter().all(|reason| read.contains(reason)));
    }

    #[test]
    fn reasons_are_read_as_people_write_them() {
        for text in ["not asked", "not-asked", "not_asked"] {
            assert_eq!(read_reason(text), Ok(GapReason::NotAsked));
        }
        assert!(read_reason("lost").unwrap_err().contains("not entitled"));
    }
}
