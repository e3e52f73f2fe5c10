//! The arguments of every command, with their help.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::chart::{CHART_EXAMPLES, ChartArgs};
use super::init::InitArgs;
use super::output::OutputFormat;
use super::shell::{CompletionsArgs, ManArgs};
use super::snapshot::SnapshotArgs;
use crate::config::{ColorWhen, Engine};
use crate::domain::services::fill::BarLabel;
use crate::domain::{Anchor, GapReason, Severity, Timeframe};

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
    Demo(DemoArgs),
    /// Fetch what is missing, and nothing else
    #[command(after_help = INGEST_EXAMPLES)]
    Ingest(IngestArgs),
    /// Take minute bars from CSV, Parquet or LEAN's files
    #[command(after_help = super::import::EXAMPLES)]
    Import(super::import::ImportArgs),
    /// Make 5m, 15m, 1h, 1d and other bars from minutes, where something changed
    #[command(after_help = AGGREGATE_EXAMPLES)]
    Aggregate(AggregateArgs),
    /// Say what is wrong with what is stored, where and why
    #[command(after_help = VALIDATE_EXAMPLES, args_conflicts_with_subcommands = true)]
    Validate(ValidateArgs),
    /// What is held: dataset, symbol, first and last session, completeness
    #[command(
        after_help = "Examples:\n  marketpipe status\n  marketpipe status --symbols AAPL,MSFT --format json"
    )]
    Status(StatusArgs),
    /// What is missing in regular hours, one row for each range, with its reason
    #[command(after_help = GAPS_EXAMPLES)]
    Gaps(GapsArgs),
    /// Ask the provider for what was never asked for, not final, not entitled, or lost with a damaged file
    #[command(after_help = REPAIR_EXAMPLES)]
    Repair(RepairArgs),
    /// Candles of one symbol: in the terminal, as SVG, or as a page of its own
    #[command(after_help = CHART_EXAMPLES)]
    Chart(ChartArgs),
    /// Past and running ingests: list, show, resume, cancel, prune
    #[command(after_help = "Examples:\n  marketpipe jobs list\n  marketpipe jobs resume 12")]
    Jobs(JobsArgs),
    /// Ask the lake in SQL: bars_1m to bars_1d, calendar, gaps, jobs, findings, quarantine, revisions
    #[command(after_help = QUERY_EXAMPLES)]
    Query(QueryArgs),
    /// Write bars to CSV, Parquet, Arrow or LEAN's folders, sparse or filled
    #[command(after_help = super::export::EXAMPLES)]
    Export(super::export::ExportArgs),
    /// What runs did, how fast, and how fresh and complete the bars are, beside what is usual
    #[command(after_help = METRICS_EXAMPLES, args_conflicts_with_subcommands = true)]
    Metrics(MetricsArgs),
    /// Check configuration, database and every file, and say what to do about what is wrong
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Keep the lake of this moment, for readers that know no lock; nothing is copied
    #[command(
        after_help = "Examples:\n  marketpipe snapshot\n  marketpipe snapshot --name before-repair\n  marketpipe snapshot list\n  marketpipe snapshot drop before-repair\n\nA snapshot is a data directory below snapshots/, of hard links to the lake's files, a copy of the database and a manifest with every file's SHA-256. The lake replaces files and never changes one, so a snapshot stays as it was. It takes room as far as the lake has moved on.",
        args_conflicts_with_subcommands = true
    )]
    Snapshot(SnapshotArgs),
    /// The configuration in force
    #[command(
        after_help = "Examples:\n  marketpipe config show\n  marketpipe config show --format json"
    )]
    Config(ConfigArgs),
    /// Write a configuration file to start from; asks on a terminal only
    #[command(
        after_help = "Examples:\n  marketpipe init\n  marketpipe init --yes --data-dir /srv/bars --symbols AAPL,MSFT\n  marketpipe init --plan plus --config ~/.config/marketpipe/marketpipe.toml\n\nWithout --config the file is ./marketpipe.toml. Keys for the provider are never asked for and never written."
    )]
    Init(InitArgs),
    /// Who can be asked for bars
    #[command(
        after_help = "Examples:\n  marketpipe providers\n  marketpipe providers --format json"
    )]
    Providers,
    /// Print what makes a shell complete commands and flags
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them
    #[command(
        after_help = "Examples:\n  marketpipe man | man -l -\n  marketpipe man ingest | man -l -\n  marketpipe man --output ~/.local/share/man/man1"
    )]
    Man(ManArgs),
    /// Serve made-up bars on loopback in Alpaca's wire format, for trying and testing
    #[command(
        after_help = "Examples:\n  marketpipe fake-alpaca --symbols AAPL,MSFT --start 2024-07-01 --end 2024-07-05\n  MARKETPIPE_ALPACA_URL=http://127.0.0.1:8081 marketpipe ingest --symbols AAPL --start 2024-07-01"
    )]
    FakeAlpaca(FakeAlpacaArgs),
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  marketpipe completions bash > ~/.local/share/bash-completion/completions/marketpipe
  marketpipe completions zsh > \"${fpath[1]}/_marketpipe\"
  marketpipe completions fish > ~/.config/fish/completions/marketpipe.fish
  marketpipe completions powershell >> $PROFILE";

const INGEST_EXAMPLES: &str = "\
Examples:
  marketpipe ingest --symbols AAPL,MSFT
  marketpipe ingest --symbols AAPL --start 2024-07-01 --end 2024-07-05
  marketpipe ingest --symbols-file sp500.txt --provider iex --dry-run
  marketpipe ingest --symbols AAPL --provider synthetic --start 2024-07-01

Dates are session dates, both inside; instants such as 2024-07-01T13:30:00Z make a half-open range. \
Without dates: from the last settled session on, or the last 30 days for a new symbol, up to now. \
Credentials: APCA_API_KEY_ID and APCA_API_SECRET_KEY.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  marketpipe doctor
  marketpipe doctor --deep
  marketpipe doctor --rebuild-catalog

Looks and changes nothing, unless --rebuild-catalog is given. Exit code 7: something is lost or damaged; 5: the \
configuration is wrong; 3: --rebuild-catalog set something aside or left it. `marketpipe validate` looks at what the bars \
say; this looks at what holds them.";

const AGGREGATE_EXAMPLES: &str = "\
Examples:
  marketpipe aggregate
  marketpipe aggregate --symbols AAPL,MSFT --timeframes 10m,2h --start 2024-01-01
  marketpipe aggregate --check
  marketpipe aggregate --check --sample 20

Buckets begin at the start of each segment (pre, regular, post, overnight) and never cross its end; 1d is the regular \
session. One file for each symbol, frame and year; exactly those are made whose minutes or spec changed. The lake keeps one \
kind of bars a frame: another --anchor replaces the 1h, 2h and 4h bars. [aggregation] in the configuration has the defaults.";

const VALIDATE_EXAMPLES: &str = "\
Examples:
  marketpipe validate
  marketpipe validate --symbols AAPL --start 2024-07-01 --html report.html
  marketpipe validate --fail-on warning --max-missing-pct 1 --junit junit.xml
  marketpipe validate --rules
  marketpipe validate ack 0f3c9a1b2d4e --reason 'halted, see the exchange'

Each run leaves a CSV report in reports/ of the data folder; `query` has the same as the view `findings`. Acknowledged findings \
stay silent until their bar changes. Exit code 4: findings at or above --fail-on, or a series with more missing minutes than \
--max-missing-pct. [validation] in the configuration has thresholds and severities.";

const GAPS_EXAMPLES: &str = "\
Examples:
  marketpipe gaps --symbols AAPL --start 2024-07-01
  marketpipe gaps --reason 'not asked'
  marketpipe gaps --min-minutes 5 --format json

Reasons: not asked, no trade (asked, and the provider had no bar), quarantined (its only row broke a rule), not entitled \
(the plan did not include it or something asked for with it). Weekends, holidays and the afternoon of a half day are no gaps. \
Without dates: from the first session that was ever asked for up to now.";

const REPAIR_EXAMPLES: &str = "\
Examples:
  marketpipe repair
  marketpipe repair --symbols AAPL,MSFT --start 2024-07-01 --end 2024-07-31
  marketpipe repair --empty --start 2024-07-01

Every dataset is asked of the provider that it came from, for what `gaps` shows as not asked, as not entitled, or as \
provisional. Rows in quarantine are asked for again by `ingest --refresh`.";

const METRICS_EXAMPLES: &str = "\
Examples:
  marketpipe metrics
  marketpipe metrics --since 1d --format json
  marketpipe metrics history rows_new --since 30d --every 1d
  marketpipe metrics --textfile /var/lib/node_exporter/textfile/marketpipe.prom
  marketpipe metrics serve

Figures add up over --since. `usual` is the median of the up to four spans of that length before, of what is stored the value at \
the span's start. `sessions_behind` counts sessions that have closed since the newest bar's: a weekend is not stale. \
[metrics] in the configuration says how long measurements are kept; totals are kept for ever.";

const QUERY_EXAMPLES: &str = "\
Examples:
  marketpipe query \"select symbol, session_date, sum(volume) from bars_1m where segment = 'regular' group by all order by all\"
  marketpipe query \"from calendar where half_day and session_date > '2024-01-01'\" --format csv
  marketpipe query \"describe bars_1m\"
  marketpipe query \"from revisions where symbol = 'AAPL' order by seen_at desc limit 20\"
  marketpipe query \"select rule, count(*) from quarantine group by rule\"
  marketpipe query \"from bars_1d where symbol = 'AAPL'\" --output aapl.parquet
  marketpipe query \"from bars('10m', anchor := 'clock') where session_date = '2024-07-02'\"

Views: bars_1m, bars_5m, bars_15m, bars_1h, bars_1d and those of the other frames hold what `ingest` and `aggregate` keep; \
bars('10m') makes bars of any frame from minutes as they are asked for. findings has what `validate` found. \
Times are TIMESTAMP in UTC.
Conditions on symbol, session_date and ts, joined by AND, keep other files unopened. One reading statement; no file, network or write access from SQL.";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where the demo's lake is made [default: ./marketpipe-demo]
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
}

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

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    pub(super) held: HeldArgs,
    /// Only what this ingest job asked for
    #[arg(long, value_name = "ID")]
    pub(super) job: Option<i64>,
    /// Where the CSV report goes [default: reports/ in the data folder]
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Write a page with a completeness map and the bars in question
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write JUnit XML for CI
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Exit 4 on findings of this severity or a graver one
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Error)]
    pub(super) fail_on: FailOn,
    /// Exit 4 when more of a series' regular minutes are missing
    #[arg(long, value_name = "PCT", value_parser = read_percentage)]
    pub(super) max_missing_pct: Option<f64>,
    /// List the rules with their reasons
    #[arg(long)]
    pub(super) rules: bool,
    #[command(subcommand)]
    pub(super) command: Option<ValidateCommand>,
}

/// From which severity on findings make the exit code 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Wrong for sure
    Error,
    /// Worth a look
    Warning,
    /// Never, but for --max-missing-pct
    Never,
}

impl FailOn {
    /// The severity; `None` for never.
    pub(super) const fn severity(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Never => None,
        }
    }
}

fn read_percentage(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim_end().parse::<f64>();
    number
        .ok()
        .filter(|number| (0.0..=100.0).contains(number))
        .ok_or_else(|| "expected a percentage from 0 to 100".to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum ValidateCommand {
    /// Acknowledge a finding: it stays silent until its bar changes
    #[command(
        after_help = "Examples:\n  marketpipe validate ack 0f3c9a1b2d4e --reason 'halted'\n  marketpipe validate ack 0f3c9a1b2d4e --reason 'real: earnings'"
    )]
    Ack {
        /// The finding's id, as the report and the view `findings` have it
        id: String,
        /// Why it is as it should be
        #[arg(long, value_name = "WORDS")]
        reason: String,
    },
    /// Take an acknowledgement back
    #[command(
        after_help = "Examples:\n  marketpipe validate unack 0f3c9a1b2d4e\n  marketpipe validate unack 0f3c9a1b2d4e --data-dir /srv/bars"
    )]
    Unack {
        /// The finding's id
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct AggregateArgs {
    #[command(flatten)]
    pub(super) held: HeldArgs,
    /// Frames, separated by commas: 2m, 3m, 5m, 10m, 15m, 30m, 1h, 2h, 4h, 1d [default: aggregation.timeframes and those that
    /// a symbol already has]
    #[arg(long, value_delimiter = ',', value_name = "F,G")]
    pub(super) timeframes: Vec<Timeframe>,
    /// Where the buckets of 1h, 2h and 4h begin: open (at the start of each segment) or clock (on the hour) [default: open]
    #[arg(long, value_name = "WHERE")]
    pub(super) anchor: Option<Anchor>,
    /// What adds up: columnar or duckdb; both give the same bars [default: columnar, for --check the other one]
    #[arg(long, value_enum, value_name = "NAME")]
    pub(super) engine: Option<Engine>,
    /// Make everything anew
    #[arg(long, conflicts_with = "check")]
    pub(super) full: bool,
    /// Recompute and compare to the last bit, write nothing; exit 4 on a difference
    #[arg(long)]
    pub(super) check: bool,
    /// Check at most so many symbol-years, others each day
    #[arg(long, value_name = "N", requires = "check")]
    pub(super) sample: Option<usize>,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Symbols, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub(super) symbols: Vec<String>,
}

/// Which part of what is held.
#[derive(Debug, Args)]
pub(super) struct HeldArgs {
    /// Symbols, separated by commas; @NAME for a list of the configuration [default: all]
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub(super) symbols: Vec<String>,
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

fn read_reason(text: &str) -> Result<GapReason, String> {
    let named = GapReason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == text.replace(['-', '_'], " "));
    named.ok_or_else(|| {
        let known = GapReason::ALL.map(GapReason::as_str);
        format!("expected one of: {}", known.join(", "))
    })
}

#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    pub(super) held: HeldArgs,
    /// Ask again for sessions that were answered with nothing, too
    #[arg(long)]
    pub(super) empty: bool,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Read every byte of every file and check every page of the database
    #[arg(long)]
    pub(super) deep: bool,
    /// Make the catalog anew of what the lake holds: files that are not there count as lost (is the lake's disk mounted?), a
    /// database that cannot be used is set aside, nothing is deleted
    #[arg(long)]
    pub(super) rebuild_catalog: bool,
    /// How long to wait for another process that commits
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(super) wait: u64,
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
    /// Go on with a job that ended before its work was done
    #[command(
        after_help = "Examples:\n  marketpipe jobs resume 12\n  marketpipe jobs resume 12 --max-runtime 3600"
    )]
    Resume {
        /// Its number
        id: i64,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// End a job, whoever runs it; what it has committed is kept
    #[command(
        after_help = "Examples:\n  marketpipe jobs cancel 12\n  marketpipe jobs cancel 12 --data-dir /srv/bars"
    )]
    Cancel {
        /// Its number
        id: i64,
    },
    /// Forget jobs that ended long ago; those that quarantine or revisions refer to stay
    #[command(
        after_help = "Examples:\n  marketpipe jobs prune --older-than 90d\n  marketpipe jobs prune --older-than 12h"
    )]
    Prune {
        /// An age in weeks, days, hours or minutes: 13w, 90d, 12h, 30m
        #[arg(long, value_name = "AGE", value_parser = read_age)]
        older_than: Duration,
    },
}

/// An age such as `90d`.
fn read_age(text: &str) -> Result<Duration, String> {
    let seconds_of = |unit: &str| match unit {
        "w" => Some(7 * 86_400),
        "d" => Some(86_400),
        "h" => Some(3_600),
        "m" => Some(60),
        "s" => Some(1),
        _ => None,
    };
    let parsed = text
        .char_indices()
        .last()
        .map(|(at, _)| text.split_at(at))
        .and_then(|(number, unit)| Some((number.parse::<u32>().ok()?, seconds_of(unit)?)));
    parsed
        .map(|(number, seconds)| Duration::from_secs(u64::from(number) * seconds))
        .ok_or_else(|| "expected a number with its unit, such as 90d, 12h or 30m".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct MetricsArgs {
    #[command(flatten)]
    pub(super) since: SinceArgs,
    /// Write all series for the node exporter's textfile collector instead, as a cron job does after an ingest
    #[arg(long, value_name = "FILE", conflicts_with = "since")]
    pub(super) textfile: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Option<MetricsCommand>,
}

/// How far back.
#[derive(Debug, Args)]
pub(super) struct SinceArgs {
    /// How far back, in weeks, days, hours or minutes: 4w, 7d, 12h, 30m
    #[arg(long, value_name = "AGE", value_parser = read_age, default_value = "7d")]
    pub(super) since: Duration,
}

#[derive(Debug, Subcommand)]
pub(super) enum MetricsCommand {
    /// The course of one metric
    #[command(
        after_help = "Examples:\n  marketpipe metrics history rows_new\n  marketpipe metrics history request_duration_seconds --since 2d --every 10m --format csv\n\nOlder than metrics.raw_days there are whole hours only."
    )]
    History {
        /// Its name, with or without `marketpipe_` and `_total`
        name: String,
        #[command(flatten)]
        since: SinceArgs,
        /// Length of the intervals: 1d, 1h, 10m, 10s
        #[arg(long, value_name = "AGE", value_parser = read_age, default_value = "1h")]
        every: Duration,
    },
    /// Every metric with its unit and meaning
    #[command(
        after_help = "Examples:\n  marketpipe metrics list\n  marketpipe metrics list --format json"
    )]
    List,
    /// The newest runs of ingest, aggregate and validate first
    #[command(
        after_help = "Examples:\n  marketpipe metrics runs\n  marketpipe metrics runs --limit 100 --format csv"
    )]
    Runs {
        /// At most so many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// What each symbol came to
    #[command(
        after_help = "Examples:\n  marketpipe metrics symbols\n  marketpipe metrics symbols --format json"
    )]
    Symbols,
    /// Every event: how often it was published, delivered to whom, and the slowest delivery
    #[command(
        after_help = "Examples:\n  marketpipe metrics events\n  marketpipe metrics events --format csv"
    )]
    Events,
    /// Answer Prometheus on /metrics, and /healthz and /readyz, until Ctrl-C
    #[command(
        after_help = "Examples:\n  marketpipe metrics serve\n  marketpipe metrics serve --listen 0.0.0.0:9464\n\nWhoever reaches the address can read the figures; only loopback is the default."
    )]
    Serve {
        /// Where to listen
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
        listen: SocketAddr,
        /// Show single symbols' series, too: two for each
        #[arg(long)]
        per_symbol: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// DuckDB SQL, one reading statement; - for stdin
    #[arg(value_name = "SQL")]
    pub(super) sql: String,
    /// Write the rows to a file instead: .parquet, .csv, .json, .jsonl or .arrow
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Replace the file if there is one
    #[arg(long, requires = "output")]
    pub(super) force: bool,
    /// End the query after this time; 0 for never [default: query.timeout_s]
    #[arg(long, value_name = "SECONDS")]
    pub(super) timeout: Option<u32>,
    /// Memory of the query, MiB [default: query.memory_limit_mb]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(64..))]
    pub(super) memory: Option<u32>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_number_and_a_unit() {
        for (text, hours) in [("90d", 2160), ("2w", 336), ("12h", 12), ("120m", 2)] {
            assert_eq!(
                read_age(text),
                Ok(Duration::from_secs(hours * 3600)),
                "{text}"
            );
        }
        for text in [
            "",
            "90",
            "d",
            "-1d",
            "1.5d",
            "90y",
            "90 d",
            "99999999999d",
            "9é",
        ] {
            assert!(read_age(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reasons_are_read_as_people_write_them() {
        for text in ["not asked", "not-asked", "not_asked"] {
            assert_eq!(read_reason(text), Ok(GapReason::NotAsked));
        }
        assert!(read_reason("lost").unwrap_err().contains("not entitled"));
    }
}
