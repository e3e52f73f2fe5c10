//! `fake-alpaca`: the built-in server with made-up bars, until Ctrl-C.

use std::io::Write as _;

use clap::Args;

use super::exit::{CliError, Exit};
use super::output::counted;
use super::session::CliSession;
use super::stopping::wait_for_end;
use super::symbols::read_legal_symbols;
use crate::domain::{BarColumns, Calendar, SessionDate, Symbol};
use crate::infrastructure::fake_alpaca::{
    FAKE_KEY_ID, FAKE_SECRET, FakeAlpaca, FakeConfig, RateLimit, Tape, TapeBar,
};
use crate::infrastructure::providers::synthetic::synthetic_session;

#[derive(Debug, Args)]
pub(super) struct FakeAlpacaArgs {
    /// Symbols that have bars
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "A,B",
        default_value = "AAPL,MSFT,BRK.B"
    )]
    pub(super) symbols: Vec<String>,
    /// First session date with bars
    #[arg(long, value_name = "D", default_value = "2024-06-03")]
    pub(super) start: String,
    /// Last session date with bars
    #[arg(long, value_name = "D", default_value = "2024-07-05")]
    pub(super) end: String,
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 8081)]
    pub(super) port: u16,
    /// Requests a minute before 429 [default: no limit]
    #[arg(long, value_name = "N")]
    pub(super) requests_per_minute: Option<u32>,
    /// Mebibytes of finished pages to keep, for benchmarks
    #[arg(long, value_name = "MB", default_value_t = 0)]
    pub(super) cache_mb: usize,
    /// Seed of the made-up bars
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

/// Serves until Ctrl-C.
pub(super) fn run(session: &CliSession, args: &FakeAlpacaArgs) -> Result<Exit, CliError> {
    let symbols = read_legal_symbols(session, &args.symbols)?;
    let date = |flag: &str, text: &str| {
        text.parse::<SessionDate>()
            .map_err(|error| CliError::new(Exit::Usage, format!("{flag}: {error}")))
    };
    let (first, last) = (date("--start", &args.start)?, date("--end", &args.end)?);
    let named = counted(u64::try_from(symbols.len()).unwrap_or(u64::MAX), "symbol");
    if last < first || symbols.is_empty() {
        let message = format!("nothing to serve: {named} from {first} to {last}");
        return Err(CliError::new(Exit::Usage, message));
    }
    let mut tape = Tape::new();
    for symbol in &symbols {
        for feed in ["sip", "iex"] {
            tape.insert(
                feed,
                symbol.as_str(),
                tape_bars(&made_up_bars(symbol, args.seed, first, last)?),
            );
        }
    }
    let config = FakeConfig {
        port: args.port,
        cache_bytes: args.cache_mb * 1024 * 1024,
        rate_limit: args.requests_per_minute.map(RateLimit::per_minute),
        ..FakeConfig::default()
    };
    let server = FakeAlpaca::start(tape, config).map_err(|error| {
        CliError::new(
            Exit::Usage,
            format!("cannot listen on 127.0.0.1:{}: {error}", args.port),
        )
    })?;
    let text = format!(
        "serving made-up bars of {named} from {first} to {last}; Ctrl-C ends it\n\
         export MARKETPIPE_ALPACA_URL={} APCA_API_KEY_ID={FAKE_KEY_ID} APCA_API_SECRET_KEY={FAKE_SECRET}\n",
        server.base_url()
    );
    _ = std::io::stderr().write_all(text.as_bytes());
    wait_for_end()?;
    Ok(Exit::Done)
}

/// The made-up bars of a symbol, both dates inside.
pub(super) fn made_up_bars(
    symbol: &Symbol,
    seed: u64,
    first: SessionDate,
    last: SessionDate,
) -> Result<BarColumns, CliError> {
    let mut columns = BarColumns::default();
    for session in Calendar::of(symbol).sessions(first, last)? {
        let bars = synthetic_session(symbol, seed, &session);
        columns.extend_from(&bars, 0..bars.len());
    }
    Ok(columns)
}

/// Bars as the server keeps them.
pub(super) fn tape_bars(columns: &BarColumns) -> Vec<TapeBar> {
    (0..columns.len())
        .map(|row| {
            let bar = columns.bar(row);
            TapeBar {
                ts_us: bar.ts_us,
                open: bar.open,
                high: bar.high,
                low: bar.low,
                close: bar.close,
                volume: bar.volume,
                trade_count: bar.trade_count,
                vwap: bar.vwap,
            }
        })
        .collect()
}
