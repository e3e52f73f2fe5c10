//! `ingest`: fetches what is missing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::args::LimitArgs;
use super::exit::{CliError, Exit};
use super::metrics_serve;
use super::order::{AskAgain, FollowUp, IngestOrder, RunLimits};
use super::output::{Value, counted, human_bytes, with_thousands};
use super::session::CliSession;
use super::symbols::{SymbolList, read_symbols};
use crate::domain::ports::{EventPublisher, SymbolBarsRepository};
use crate::domain::{Dataset, Symbol, as_u64};
use crate::infrastructure::providers::alpaca::DEFAULT_BASE_URL;
use crate::ingestion::plan_ingest;
use crate::metrics::exposition::Detail;

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe ingest --symbols AAPL,MSFT
  marketpipe ingest --symbols AAPL --start 2024-07-01 --end 2024-07-05
  marketpipe ingest --symbols-file sp500.txt --provider iex --dry-run
  marketpipe ingest --symbols AAPL --provider synthetic --start 2024-07-01

Dates are session dates, both inside; instants such as 2024-07-01T13:30:00Z make a half-open range. \
Without dates: from the last settled session on, or the last 30 days for a new symbol, up to now. \
Credentials: APCA_API_KEY_ID and APCA_API_SECRET_KEY.";

#[derive(Debug, Clone, Default, Args)]
pub(super) struct IngestArgs {
    /// Symbols, separated by commas; @NAME for a list of the configuration
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "A,B",
        required_unless_present = "symbols_file"
    )]
    pub(super) symbols: Vec<String>,
    /// File of symbols and @NAMEs, separated by commas, blanks or lines, # for comments; - for stdin
    #[arg(long, value_name = "FILE")]
    pub(super) symbols_file: Option<PathBuf>,
    /// Who is asked: alpaca, iex (Alpaca's IEX feed) or synthetic (made up)
    #[arg(long, value_name = "NAME", default_value = "alpaca")]
    pub(super) provider: String,
    /// First session date, or an instant
    #[arg(long, value_name = "D")]
    pub(super) start: Option<String>,
    /// Last session date, or the instant before which the range ends
    #[arg(long, value_name = "D")]
    pub(super) end: Option<String>,
    /// Tape: sip, iex, boats or otc [default: sip]
    #[arg(long, value_name = "FEED")]
    pub(super) feed: Option<String>,
    /// Corporate actions applied by the provider: raw, split, dividend, spin-off or all [default: raw]
    #[arg(long, value_name = "KIND")]
    pub(super) adjustment: Option<String>,
    /// Ask again for settled sessions
    #[arg(long)]
    pub(super) refresh: bool,
    /// Believe answers with far fewer rows than are stored
    #[arg(long)]
    pub(super) accept_shrink: bool,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    /// Show the plan, fetch nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Bring the derived bars of these symbols up to date afterwards
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) aggregate: bool,
    /// Check what was asked for afterwards; exit 4 on an error
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) validate: bool,
    /// Answer Prometheus on this address as long as the run goes on, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS", conflicts_with = "dry_run")]
    pub(super) metrics_listen: Option<SocketAddr>,
}

/// Runs one ingest from the arguments to the exit code.
pub(super) fn run(session: &CliSession, args: &IngestArgs) -> Result<Exit, CliError> {
    let list = read_list(session, args)?;
    let order = order_of(session, args, &list.symbols);
    if args.dry_run {
        let (_, rows) = show_plan(session, &order)?;
        return session.write_rows("plan", &PLAN_COLUMNS, rows);
    }
    let alpaca = &session.app.config().alpaca;
    if order.provider != "synthetic" && alpaca.base_url != DEFAULT_BASE_URL {
        session.say(&format!(
            "note: {} is asked instead of {DEFAULT_BASE_URL}; its bars are kept as the provider's own",
            alpaca.base_url
        ));
    }
    // Until the run and what follows it have ended.
    let _server = args
        .metrics_listen
        .map(|address| metrics_serve::start(session, address, Detail::Usual))
        .transpose()?;
    let ran = order.run(session, RunLimits::of(&args.limits), None)?;
    let follow_up = FollowUp {
        aggregates: args.aggregate,
        validates: args.validate,
    };
    let exit = ran.follow_up_and_tell(session, follow_up)?;
    Ok(exit.or_partial(!list.malformed.is_empty()))
}

/// The order that the arguments give; what the configuration decides is written down, so that it can be run again.
pub(super) fn order_of(session: &CliSession, args: &IngestArgs, symbols: &[Symbol]) -> IngestOrder {
    let alpaca = &session.app.config().alpaca;
    let is_alpaca = args.provider == "alpaca";
    let takes_adjustment = is_alpaca || args.provider == "iex";
    let configured = |is_used: bool, value: &String| is_used.then(|| value.clone());
    IngestOrder {
        provider: args.provider.clone(),
        feed: args
            .feed
            .clone()
            .or_else(|| configured(is_alpaca, &alpaca.feed)),
        adjustment: args
            .adjustment
            .clone()
            .or_else(|| configured(takes_adjustment, &alpaca.adjustment)),
        symbols: symbols.iter().map(Symbol::to_string).collect(),
        start: args.start.clone(),
        end: args.end.clone(),
        whole_series: false,
        again: if args.refresh {
            AskAgain::Before(session.app.clock().now_us())
        } else {
            AskAgain::Nothing
        },
        accept_shrink: args.accept_shrink,
    }
}

fn read_list(session: &CliSession, args: &IngestArgs) -> Result<SymbolList, CliError> {
    let lists = &session.app.config().lists;
    let list = read_symbols(&args.symbols, args.symbols_file.as_deref(), lists)?;
    if list.symbols.is_empty() {
        let message = list.malformed.first().map_or_else(
            || "no symbol was given".to_owned(),
            |(_, error)| error.to_string(),
        );
        return Err(CliError::new(Exit::Usage, message)
            .with_hint("symbols look like AAPL, BRK.B or BTC/USD"));
    }
    for (_, error) in &list.malformed {
        // An error, so that it is told even when asked to be quiet: the run will end with its code.
        tracing::error!("{error}; it is left out");
    }
    Ok(list)
}

/// The columns of a plan.
pub(super) const PLAN_COLUMNS: [&str; 7] = [
    "symbol",
    "sessions",
    "sessions_to_fetch",
    "sessions_settled",
    "rows_expected",
    "rows_held",
    "skipped",
];

/// Says what an ingest would cost, and gives its dataset and a row for each symbol. Makes nothing and asks nobody.
pub(super) fn show_plan(
    session: &CliSession,
    order: &IngestOrder,
) -> Result<(Dataset, Vec<Vec<Value>>), CliError> {
    let publisher: Arc<dyn EventPublisher> = session.events();
    let (request, provider) = order.resolve(session, publisher)?;
    let profile = provider.profile();
    let stores = session.existing_stores()?;
    let ledger = stores
        .as_ref()
        .map(|stores| stores.ledger.as_ref() as &dyn SymbolBarsRepository);
    let plan = plan_ingest(&request, profile, ledger)?;
    let requests = plan.expected_requests(profile.rows_per_page);
    let pace = match profile.requests_per_minute {
        None => "without a rate limit".to_owned(),
        Some(limit) => match requests.div_ceil(u64::from(limit.max(1))) {
            0 | 1 => format!(
                "a minute at most at {} a minute",
                counted(limit.into(), "request")
            ),
            minutes => format!(
                "{} minutes at {} a minute",
                with_thousands(minutes),
                counted(limit.into(), "request")
            ),
        },
    };
    session.say(&format!(
        "plan for {}: {} in {}, about {}, {} to download, {} in the lake, {pace}",
        profile.dataset,
        counted(requests, "request"),
        counted(as_u64(plan.units.len()), "unit"),
        counted(plan.expected_rows(), "row"),
        human_bytes(plan.expected_wire_bytes()),
        human_bytes(plan.expected_lake_bytes()),
    ));
    let rows = plan.symbols.iter().map(|symbol| {
        vec![
            Value::Text(symbol.symbol.to_string()),
            Value::UInt(as_u64(symbol.sessions)),
            Value::UInt(as_u64(symbol.sessions_to_fetch)),
            Value::UInt(as_u64(symbol.sessions_settled())),
            Value::UInt(symbol.expected_rows),
            Value::UInt(symbol.held_rows),
            Some(symbol.skipped_words())
                .filter(|words| !words.is_empty())
                .map_or(Value::Null, Value::Text),
        ]
    });
    Ok((profile.dataset.clone(), rows.collect()))
}
