//! The arguments of every command, with their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::output::OutputFormat;
use crate::config::ColorWhen;

const AFTER_HELP: &str = "\
Examples:
  marketpipe demo
  marketpipe ingest --symbols AAPL,MSFT --start 2024-07-01 --end 2024-07-05
  marketpipe query \"select symbol, count(*) from bars_1m group by symbol\"

Exit codes:
  0 done   1 a bug   2 usage   3 some symbols failed   5 configuration or credentials
  6 provider refused or unreachable   7 storage   8 try later
  130 interrupted, 143 terminated (committed work is kept)

New here? `marketpipe demo` shows everything in seconds, without an account.";

/// 1-minute stock bars: fetched, kept, and complete or saying precisely what is missing.
#[derive(Debug, Parser)]
#[command(name = "marketpipe", version, about = "1-minute stock bars: fetched, kept, and complete or saying precisely what is missing", after_help = AFTER_HELP, arg_required_else_help = true, max_term_width = 110)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: GlobalArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct GlobalArgs {
    /// Where the data lie [env: MARKETPIPE_DATA_DIR] [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Configuration file [env: MARKETPIPE_CONFIG] [default: ./marketpipe.toml if present]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// How rows are written [default: table on a terminal, csv otherwise]
    #[arg(long, global = true, value_enum)]
    pub(super) format: Option<OutputFormat>,
    /// Say less: errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more; twice for details [env: MARKETPIPE_LOG]
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Show no progress
    #[arg(long, global = true)]
    pub(super) no_progress: bool,
    /// When to use colour [env: NO_COLOR]
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub(super) color: Option<ColorWhen>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show everything in seconds: a real ingest from a built-in server, no account, no network
    #[command(after_help = "Examples:\n  marketpipe demo\n  marketpipe demo --keep /tmp/tour")]
    Demo(DemoArgs),
    /// Fetch what is missing, and nothing else
    #[command(after_help = INGEST_EXAMPLES)]
    Ingest(IngestArgs),
    /// What is held: dataset, symbol, first and last session, completeness
    #[command(
        after_help = "Examples:\n  marketpipe status\n  marketpipe status --symbols AAPL,MSFT --format json"
    )]
    Status(StatusArgs),
    /// Past and running ingests
    #[command(after_help = "Examples:\n  marketpipe jobs list\n  marketpipe jobs show 12")]
    Jobs(JobsArgs),
    /// Ask the lake in SQL: views bars_1m and calendar
    #[command(after_help = QUERY_EXAMPLES)]
    Query(QueryArgs),
    /// The configuration in force
    #[command(
        after_help = "Examples:\n  marketpipe config show\n  marketpipe config show --format json"
    )]
    Config(ConfigArgs),
    /// Who can be asked for bars
    #[command(
        after_help = "Examples:\n  marketpipe providers\n  marketpipe providers --format json"
    )]
    Providers,
    /// Serve made-up bars on loopback in Alpaca's wire format, for trying and testing
    #[command(
        after_help = "Examples:\n  marketpipe fake-alpaca --symbols AAPL,MSFT --start 2024-07-01 --end 2024-07-05\n  MARKETPIPE_ALPACA_URL=http://127.0.0.1:8081 marketpipe ingest --symbols AAPL --start 2024-07-01"
    )]
    FakeAlpaca(FakeAlpacaArgs),
}

const INGEST_EXAMPLES: &str = "\
Examples:
  marketpipe ingest --symbols AAPL,MSFT
  marketpipe ingest --symbols AAPL --start 2024-07-01 --end 2024-07-05
  marketpipe ingest --symbols-file sp500.txt --provider iex --dry-run
  marketpipe ingest --symbols AAPL --provider synthetic --start 2024-07-01

Dates are session dates, both inside; instants such as 2024-07-01T13:30:00Z make a half-open range.
Without dates: from the last settled session on, or the last 30 days for a new symbol, up to now.
Credentials: APCA_API_KEY_ID and APCA_API_SECRET_KEY.";

const QUERY_EXAMPLES: &str = "\
Examples:
  marketpipe query \"select symbol, session_date, sum(volume) from bars_1m where segment = 'regular' group by all order by all\"
  marketpipe query \"from calendar where half_day and session_date > '2024-01-01'\" --format csv
  marketpipe query \"describe bars_1m\"

Times are TIMESTAMP in UTC. One reading statement; no file, network or write access from SQL.";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where the demo's lake is made [default: ./marketpipe-demo]
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub(super) struct IngestArgs {
    /// Symbols, separated by commas
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "A,B",
        required_unless_present = "symbols_file"
    )]
    pub(super) symbols: Vec<String>,
    /// File of symbols, separated by commas, blanks or lines, # for comments; - for stdin
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
    /// How long to wait for another process that commits
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(super) wait: u64,
    /// Stop after this time; what was committed is kept
    #[arg(long, value_name = "SECONDS")]
    pub(super) max_runtime: Option<u64>,
    /// Show the plan, fetch nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Symbols, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub(super) symbols: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct JobsArgs {
    #[command(subcommand)]
    pub(super) command: JobsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// The newest jobs first
    #[command(
        after_help = "Examples:\n  marketpipe jobs list\n  marketpipe jobs list --limit 5 --format json"
    )]
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// One job and how far its units are
    #[command(
        after_help = "Examples:\n  marketpipe jobs show 12\n  marketpipe jobs show 12 --format json"
    )]
    Show {
        /// Its number
        id: i64,
    },
}

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// DuckDB SQL, one reading statement; - for stdin
    #[arg(value_name = "SQL")]
    pub(super) sql: String,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    pub(super) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Every value and where it comes from, secrets masked
    #[command(
        after_help = "Examples:\n  marketpipe config show\n  marketpipe config show --config other.toml"
    )]
    Show,
}

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
