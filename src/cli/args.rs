//! What every command has in common: the list of them with their examples, the flags of all of them, and parts of arguments
//! that several have. The arguments of one command stand beside what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::output::OutputFormat;
use super::{
    aggregate, chart, config_show, demo, doctor, export, fake_alpaca, forget, gaps, import, ingest,
    init, jobs, metrics, query, repair, shell, snapshot, status, validate,
};
use crate::config::ColorWhen;
use crate::domain::Dataset;
use crate::domain::services::fill::BarLabel;

const AFTER_HELP: &str = "\
Examples:
  marketpipe demo
  marketpipe ingest --symbols AAPL,MSFT --start 2024-07-01 --end 2024-07-05
  marketpipe query \"select symbol, count(*) from bars_1m group by symbol\"

Exit codes:
  0 done   1 a bug   2 usage   3 some symbols failed   4 findings   5 configuration or credentials
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
    Demo(demo::DemoArgs),
    /// Fetch what is missing, and nothing else
    #[command(after_help = ingest::EXAMPLES)]
    Ingest(ingest::IngestArgs),
    /// Take minute bars from CSV, Parquet or LEAN's files
    #[command(after_help = import::EXAMPLES)]
    Import(import::ImportArgs),
    /// Make 5m, 15m, 1h, 1d and other bars from minutes, where something changed
    #[command(after_help = aggregate::EXAMPLES)]
    Aggregate(aggregate::AggregateArgs),
    /// Say what is wrong with what is stored, where and why
    #[command(after_help = validate::EXAMPLES, args_conflicts_with_subcommands = true)]
    Validate(validate::ValidateArgs),
    /// What is held: dataset, symbol, first and last session, completeness
    #[command(
        after_help = "Examples:\n  marketpipe status\n  marketpipe status --symbols AAPL,MSFT --format json"
    )]
    Status(status::StatusArgs),
    /// What is missing in regular hours, one row for each range, with its reason
    #[command(after_help = gaps::EXAMPLES)]
    Gaps(gaps::GapsArgs),
    /// Ask the provider for what was never asked for, not final, not entitled, or lost with a damaged file
    #[command(after_help = repair::EXAMPLES)]
    Repair(repair::RepairArgs),
    /// Take symbols off the books of which there never was a bar, such as misspelt ones
    #[command(after_help = forget::EXAMPLES)]
    Forget(forget::ForgetArgs),
    /// Candles of one symbol: in the terminal, as SVG, or as a page of its own
    #[command(after_help = chart::EXAMPLES)]
    Chart(chart::ChartArgs),
    /// Past and running ingests: list, show, resume, cancel, prune
    #[command(after_help = "Examples:\n  marketpipe jobs list\n  marketpipe jobs resume 12")]
    Jobs(jobs::JobsArgs),
    /// Ask the lake in SQL: bars_1m to bars_1d, calendar, gaps, jobs, findings, quarantine, revisions
    #[command(after_help = query::EXAMPLES)]
    Query(query::QueryArgs),
    /// Write bars to CSV, Parquet, Arrow or LEAN's folders, sparse or filled
    #[command(after_help = export::EXAMPLES)]
    Export(export::ExportArgs),
    /// What runs did, how fast, and how fresh and complete the bars are, beside what is usual
    #[command(after_help = metrics::EXAMPLES, args_conflicts_with_subcommands = true)]
    Metrics(metrics::MetricsArgs),
    /// Check configuration, database and every file, and say what to do about what is wrong
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Keep the lake of this moment, for readers that know no lock; nothing is copied
    #[command(
        after_help = "Examples:\n  marketpipe snapshot\n  marketpipe snapshot --name before-repair\n  marketpipe snapshot list\n  marketpipe snapshot drop before-repair\n\nA snapshot is a data directory below snapshots/, of hard links to the lake's files, a copy of the database and a manifest with every file's SHA-256. The lake replaces files and never changes one, so a snapshot stays as it was. It takes room as far as the lake has moved on.",
        args_conflicts_with_subcommands = true
    )]
    Snapshot(snapshot::SnapshotArgs),
    /// The configuration in force
    #[command(
        after_help = "Examples:\n  marketpipe config show\n  marketpipe config show --format json"
    )]
    Config(config_show::ConfigArgs),
    /// Write a configuration file to start from; asks on a terminal only
    #[command(
        after_help = "Examples:\n  marketpipe init\n  marketpipe init --yes --data-dir /srv/bars --symbols AAPL,MSFT\n  marketpipe init --plan plus --config ~/.config/marketpipe/marketpipe.toml\n\nWithout --config the file is ./marketpipe.toml. Keys for the provider are never asked for and never written."
    )]
    Init(init::InitArgs),
    /// Who can be asked for bars
    #[command(
        after_help = "Examples:\n  marketpipe providers\n  marketpipe providers --format json"
    )]
    Providers,
    /// Print what makes a shell complete commands and flags
    #[command(after_help = shell::COMPLETIONS_EXAMPLES)]
    Completions(shell::CompletionsArgs),
    /// Print a manual page, or write all of them
    #[command(
        after_help = "Examples:\n  marketpipe man | man -l -\n  marketpipe man ingest | man -l -\n  marketpipe man --output ~/.local/share/man/man1"
    )]
    Man(shell::ManArgs),
    /// Serve made-up bars on loopback in Alpaca's wire format, for trying and testing
    #[command(
        after_help = "Examples:\n  marketpipe fake-alpaca --symbols AAPL,MSFT --start 2024-07-01 --end 2024-07-05\n  MARKETPIPE_ALPACA_URL=http://127.0.0.1:8081 marketpipe --data-dir /tmp/tried ingest --symbols AAPL --start 2024-07-01\n\nMade-up bars that come from such a server lie in the dataset of the real ones: give them a data directory of their own."
    )]
    FakeAlpaca(fake_alpaca::FakeAlpacaArgs),
}

/// Which series of those that are held.
#[derive(Debug, Args)]
pub(super) struct SeriesArgs {
    /// Symbols, separated by commas; @NAME for a list of the configuration [default: all]
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub(super) symbols: Vec<String>,
    /// Dataset: provider/feed/adjustment, such as alpaca/sip/raw [default: all]
    #[arg(long, value_name = "DATASET")]
    pub(super) dataset: Option<Dataset>,
}

/// Which part of what is held.
#[derive(Debug, Args)]
pub(super) struct HeldArgs {
    #[command(flatten)]
    pub(super) series: SeriesArgs,
    /// First session date
    #[arg(long, value_name = "D")]
    pub(super) start: Option<String>,
    /// Last session date
    #[arg(long, value_name = "D")]
    pub(super) end: Option<String>,
}

/// Which end of a bar its time names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TimeLabel {
    /// Its start
    Left,
    /// Its end
    Right,
}

impl From<TimeLabel> for BarLabel {
    fn from(label: TimeLabel) -> Self {
        match label {
            TimeLabel::Left => Self::Left,
            TimeLabel::Right => Self::Right,
        }
    }
}

/// How long a run may take and wait.
#[derive(Debug, Clone, Args)]
pub(super) struct LimitArgs {
    /// How long to wait for another process that commits
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(super) wait: u64,
    /// Stop after this time; what was committed is kept
    #[arg(long, value_name = "SECONDS")]
    pub(super) max_runtime: Option<u64>,
}

impl Default for LimitArgs {
    fn default() -> Self {
        Self {
            wait: 300,
            max_runtime: None,
        }
    }
}
