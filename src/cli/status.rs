//! `status`: what is held of each series.

use clap::Args;

use super::exit::{CliError, Exit};
use super::output::Value;
use super::session::CliSession;
use super::symbols::read_legal_symbols;
use crate::domain::Timeframe;
use crate::domain::ports::{SeriesStatus, SymbolBarsRepository};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Symbols, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub(super) symbols: Vec<String>,
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
    let symbols = read_legal_symbols(session, &args.symbols)?;
    let stores = session.stores()?;
    let held = stores.ledger.list_status(&symbols)?;
    if held.is_empty() && symbols.is_empty() {
        return Err(session.nothing_kept());
    }
    let missing: Vec<&str> = symbols
        .iter()
        .filter(|symbol| !held.iter().any(|row| row.symbol == **symbol))
        .map(|symbol| symbol.as_str())
        .collect();
    if !missing.is_empty() {
        session.insist(&format!("nothing is held of {}", missing.join(", ")));
    }
    let rows = held.iter().map(row).collect();
    let written = session.write_fitting("status", &COLUMNS, rows, &COLUMNS_TO_DROP)?;
    Ok(match missing.is_empty() {
        true => written,
        false => Exit::Partial,
    })
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

/// Regular minutes present of those that the asked sessions have, in percent, cut to two decimals: 100 means all.
pub(super) fn completeness_pct(status: &SeriesStatus) -> Option<f64> {
    if status.expected_minutes == 0 {
        return None;
    }
    let hundredths =
        u128::from(status.regular_minutes) * 10_000 / u128::from(status.expected_minutes);
    Some(f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0)
}
