//! `status`: what is held of each series.

use clap::Args;

use super::args::SeriesArgs;
use super::exit::{CliError, Exit};
use super::output::Value;
use super::session::CliSession;
use super::symbols::{read_legal_symbols, tell_absent};
use crate::domain::Timeframe;
use crate::domain::ports::{SeriesStatus, SymbolBarsRepository};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) series: SeriesArgs,
}

const COLUMNS: [&str; 9] = [
    "dataset",
    "symbol",
    "timeframe",
    "first_session",
    "last_session",
    "sessions",
    "rows",
    "completeness_pct",
    "bytes",
];

/// What a narrow terminal can do without, the least missed first.
const COLUMNS_TO_DROP: [&str; 4] = ["bytes", "sessions", "rows", "dataset"];

/// Prints one row for each series.
pub(super) fn run(session: &CliSession, args: &StatusArgs) -> Result<Exit, CliError> {
    let SeriesArgs { symbols, dataset } = &args.series;
    let symbols = read_legal_symbols(session, symbols)?;
    let stores = session.stores()?;
    let mut held = stores.ledger.list_status(&symbols)?;
    if held.is_empty() && symbols.is_empty() {
        return Err(session.nothing_kept());
    }
    let wanted = dataset.as_ref();
    held.retain(|row| wanted.is_none_or(|wanted| *wanted == row.dataset));
    let there = held.iter().map(|row| &row.symbol);
    let is_short = tell_absent(session, "nothing is held", &symbols, wanted, there);
    let rows = held.iter().map(row).collect();
    let written = session.write_fitting("status", &COLUMNS, rows, &COLUMNS_TO_DROP)?;
    Ok(written.or_partial(is_short))
}

fn row(status: &SeriesStatus) -> Vec<Value> {
    let date = |pick: fn(
        &(crate::domain::SessionDate, crate::domain::SessionDate),
    ) -> crate::domain::SessionDate| {
        status.sessions.as_ref().map_or(Value::Null, |sessions| {
            Value::Text(pick(sessions).to_string())
        })
    };
    vec![
        Value::Text(status.dataset.to_string()),
        Value::Text(status.symbol.to_string()),
        Value::Text(status.timeframe.to_string()),
        date(|sessions| sessions.0),
        date(|sessions| sessions.1),
        match status.timeframe {
            Timeframe::M1 => Value::UInt(status.filled_sessions),
            _ => Value::Null,
        },
        Value::UInt(status.rows),
        completeness_pct(status).map_or(Value::Null, Value::Float),
        Value::UInt(status.bytes),
    ]
}

/// Regular minutes present of those from the first to the last session asked for, in percent, cut to two decimals: 100
/// means all.
pub(super) fn completeness_pct(status: &SeriesStatus) -> Option<f64> {
    if status.expected_minutes == 0 {
        return None;
    }
    let hundredths =
        u128::from(status.regular_minutes) * 10_000 / u128::from(status.expected_minutes);
    Some(f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0)
}
