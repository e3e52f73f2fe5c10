//! `import`: minute bars out of files, through the same rules and commits as those of any provider.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::{LimitArgs, TimeLabel};
use super::exit::{CliError, Exit};
use super::order::{FollowUp, RunLimits, Work};
use super::output::counted;
use super::session::CliSession;
use crate::domain::causes::with_causes;
use crate::domain::dataset::{ADJUSTMENTS, read_adjustment};
use crate::domain::job::JobRequest;
use crate::domain::merge::ShrinkPolicy;
use crate::domain::metric::RunCommand;
use crate::domain::{Dataset, SessionDate, Symbol};
use crate::infrastructure::providers::file::{
    FileFormat, FileProvider, ReadError, ReadOptions, SymbolSource, TimeRule, TimeUnit,
    read_columns,
};
use crate::ingestion::coordinator::JobStart;
use crate::ingestion::exact_plan::{HeldSessions, plan_exactly};
use crate::ingestion::{IngestRequest, RefreshPolicy, RequestedRange};

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe import aapl.csv --symbol AAPL --tz America/New_York --dataset-name vendor
  marketpipe import bars.parquet --symbol-column ticker --columns ts=time,open=o,high=h --dataset-name vendor
  marketpipe import lean-data/equity/usa/minute --from lean --dataset-name lean
  marketpipe import bars.csv --label right --ts-unit ms --dataset-name vendor --adjustment split --aggregate

Bars go to the dataset import/NAME/ADJUSTMENT. Every session of which the files have a row counts as asked for, and each of them \
whole (one with rows of the night or weekend before alone: that night): name files that share a session in one import, and correct a session by importing all of it again. Sessions without a row \
stay unknown. The same file twice changes nothing. Rows in any order; of two for one minute the later one counts. Bars that break \
a rule go to quarantine; lines that cannot be read are named and make exit code 3. Rows that `export --fill` filled in are left out.";

/// The name under which imports are kept.
pub(super) const PROVIDER: &str = "import";

/// Units that are read from the spool while one is committed.
const UNITS_AT_ONCE: usize = 2;

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Files of minute bars, or folders of LEAN's; - for CSV on stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Format [default: by the names of the files]
    #[arg(long, value_enum)]
    from: Option<ImportFormat>,
    /// The symbol of all rows [default: the column `symbol`, or LEAN's folder]
    #[arg(long, value_name = "S", conflicts_with = "symbol_column")]
    symbol: Option<String>,
    /// The column that names each row's symbol
    #[arg(long, value_name = "NAME")]
    symbol_column: Option<String>,
    /// Names of other columns: ts, open, high, low, close, volume, trade_count, vwap
    #[arg(long, value_name = "ts=NAME,..", value_delimiter = ',')]
    columns: Vec<String>,
    /// Time zone of times without an offset, such as America/New_York
    #[arg(long, value_name = "ZONE")]
    tz: Option<chrono_tz::Tz>,
    /// What numbers in the column of times mean [default: by their length]
    #[arg(long, value_enum)]
    ts_unit: Option<TsUnit>,
    /// Which end of its minute a time names
    #[arg(long, value_enum, default_value = "left")]
    label: TimeLabel,
    /// The name of the dataset, import/NAME/ADJUSTMENT
    #[arg(long, value_name = "NAME")]
    dataset_name: String,
    /// Corporate actions that are applied in the files: raw, all, or split, dividend and spin-off joined by commas
    #[arg(long, value_name = "KIND", default_value = "raw")]
    adjustment: String,
    /// Believe files with far fewer rows of a session than are stored
    #[arg(long)]
    accept_shrink: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// Bring the derived bars of these symbols up to date afterwards
    #[arg(long)]
    aggregate: bool,
    /// Check what was imported afterwards; exit 4 on an error
    #[arg(long)]
    validate: bool,
}

/// A format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ImportFormat {
    /// Comma-separated values with a header
    Csv,
    /// Parquet
    Parquet,
    /// QuantConnect LEAN's zipped days of minutes
    Lean,
}

/// What a number means as a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TsUnit {
    /// Seconds since 1970
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
    /// No numbers: RFC 3339 alone
    Rfc3339,
}

/// Imports, from the arguments to the exit code.
pub(super) fn run(session: &CliSession, args: &ImportArgs) -> Result<Exit, CliError> {
    let options = options_of(session, args)?;
    let wait = Duration::from_secs(args.limits.wait);
    let stores = session.app.open_stores(session.events(), wait)?;
    let run = session.begin_run(&stores, RunCommand::Ingest);
    let staging = session.app.directory().staging();
    let provider = FileProvider::read(&options, &args.files, &staging).map_err(refused)?;
    tell_refused(session, &provider);
    let held: Vec<HeldSessions> = provider
        .months()
        .iter()
        .map(|month| HeldSessions {
            symbol: month.symbol.clone(),
            sessions: month.sessions.clone(),
            nights: month.nights.clone(),
            rows: month.rows.into(),
        })
        .collect();
    let Some((first, last)) = dates_of(&held) else {
        return Err(CliError::new(
            Exit::Partial,
            match (provider.refused().lines, provider.filled_rows()) {
                (0, 0) => "the files have no row; nothing was imported",
                (0, _) => "all rows of the files were filled in; nothing was imported",
                _ => {
                    "no row of the files could be read; nothing was imported, and the lines above say why"
                }
            },
        ));
    };
    let has_refused = provider.refused().lines > 0;
    let plan = plan_exactly(&held);
    let request = IngestRequest {
        symbols: plan
            .symbols
            .iter()
            .map(|symbol| symbol.symbol.clone())
            .collect(),
        range: RequestedRange::Sessions {
            first,
            last: Some(last),
        },
        refresh: RefreshPolicy::AskedBefore(options.now_us),
        now_us: options.now_us,
    };
    let work = Work {
        run,
        stores,
        request,
        plan,
        provider: Arc::new(provider),
        job: JobStart::New(JobRequest {
            words: words_of(args, &options.dataset),
            spec: None,
        }),
        shrink: match args.accept_shrink {
            true => ShrinkPolicy::Accept,
            false => ShrinkPolicy::Refuse,
        },
        parallel_units: UNITS_AT_ONCE,
    };
    let ran = work.carry_out(session, RunLimits::of(&args.limits))?;
    let follow_up = FollowUp {
        aggregates: args.aggregate,
        validates: args.validate,
    };
    let exit = ran.follow_up_and_tell(session, follow_up)?;
    Ok(exit.or_partial(has_refused))
}

fn options_of(session: &CliSession, args: &ImportArgs) -> Result<ReadOptions, CliError> {
    // The dataset's own name of it will do, too.
    let spelled = args
        .adjustment
        .replace('-', ",")
        .replace("spin,off", "spin-off");
    let adjustment = read_adjustment(&spelled).ok_or_else(|| {
        let shown = args.adjustment.escape_debug();
        CliError::usage(format!("--adjustment `{shown}`: expected {ADJUSTMENTS}"))
    })?;
    let adjustment = adjustment.replace(',', "-");
    let dataset = Dataset::new(PROVIDER, &args.dataset_name, &adjustment).map_err(|_| {
        CliError::usage(format!(
            "--dataset-name `{}`: expected up to 24 characters of a-z, 0-9 and inner -",
            args.dataset_name.escape_debug()
        ))
    })?;
    let columns = read_columns(&args.columns)
        .map_err(|reason| CliError::usage(format!("--columns: {reason}")))?;
    let symbol = match (&args.symbol, &args.symbol_column) {
        (Some(symbol), _) => {
            let symbol = Symbol::spelled(symbol);
            SymbolSource::One(
                symbol.map_err(|error| CliError::usage(format!("--symbol: {error}")))?,
            )
        }
        (None, Some(column)) => SymbolSource::Column(column.clone()),
        (None, None) => SymbolSource::Usual,
    };
    let format = args.from.map(|format| match format {
        ImportFormat::Csv => FileFormat::Csv,
        ImportFormat::Parquet => FileFormat::Parquet,
        ImportFormat::Lean => FileFormat::Lean,
    });
    if format == Some(FileFormat::Lean) {
        let is_usual = args.tz.is_none()
            && args.ts_unit.is_none()
            && args.columns.is_empty()
            && args.symbol_column.is_none()
            && args.label == TimeLabel::Left;
        if !is_usual {
            return Err(CliError::usage(
                "--from lean has no --tz, --ts-unit, --label, --columns or --symbol-column: its files say all of it",
            ));
        }
    }
    Ok(ReadOptions {
        dataset,
        format,
        symbol,
        columns,
        time: TimeRule {
            unit: args.ts_unit.map_or(TimeUnit::ByLength, |unit| match unit {
                TsUnit::S => TimeUnit::Seconds,
                TsUnit::Ms => TimeUnit::Milliseconds,
                TsUnit::Us => TimeUnit::Microseconds,
                TsUnit::Ns => TimeUnit::Nanoseconds,
                TsUnit::Rfc3339 => TimeUnit::Rfc3339,
            }),
            zone: args.tz,
        },
        label: args.label.into(),
        now_us: session.app.clock().now_us(),
    })
}

/// Says which lines could not be read, and what was left out on purpose.
fn tell_refused(session: &CliSession, provider: &FileProvider) {
    let refused = provider.refused();
    for line in refused.first.iter().chain(&refused.first_unclear) {
        session.insist(&format!(
            "{}, line {}: {}",
            line.file, line.line, line.reason
        ));
    }
    if refused.lines > 0 {
        session.insist(&format!(
            "{} could not be read",
            counted(refused.lines, "line")
        ));
    }
    if refused.unclear > 0 {
        session.insist(&format!(
            "{} kept apart for a value that is no number",
            counted(refused.unclear, "row")
        ));
    }
    if provider.filled_rows() > 0 {
        session.say(&format!(
            "{} left out: what is filled is no bar",
            counted(provider.filled_rows(), "filled row")
        ));
    }
}

fn dates_of(held: &[HeldSessions]) -> Option<(SessionDate, SessionDate)> {
    let dates = || {
        held.iter()
            .flat_map(|part| &part.sessions)
            .map(|session| session.date())
    };
    dates().min().zip(dates().max())
}

/// The import in words that can be repeated.
fn words_of(args: &ImportArgs, dataset: &Dataset) -> String {
    const NAMED: usize = 10;
    let names = args
        .files
        .iter()
        .take(NAMED)
        .map(|path| path.display().to_string());
    let mut words = format!("import {dataset} {}", names.collect::<Vec<_>>().join(" "));
    if args.files.len() > NAMED {
        let more = u64::try_from(args.files.len() - NAMED).unwrap_or(u64::MAX);
        words = format!("{words} and {}", counted(more, "more file"));
    }
    words
}

fn refused(error: ReadError) -> CliError {
    match error {
        ReadError::Store(error) => error.into(),
        error => CliError::new(Exit::Usage, with_causes(&error)).with_hint(
            "nothing was imported; leave the file out or mend it, then run the same command again",
        ),
    }
}
