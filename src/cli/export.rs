//! `export`: bars out of the lake, as CSV, Parquet, Arrow or LEAN's folders. Knows no file format.

mod target;
mod walk;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::aggregate::stale_note;
use super::args::{HeldArgs, TimeLabel};
use super::dates::read_dates;
use super::exit::{CliError, Exit};
use super::output::{OutputFormat, counted, human_bytes, with_thousands};
use super::session::CliSession;
use super::stopping::Stopping;
use super::symbols::read_legal_symbols;
use crate::app::Stores;
use crate::domain::ports::{BarSelection, SymbolBarsRepository as _};
use crate::domain::services::fill::{FillPolicy, RowLayout};
use crate::domain::{Dataset, Segment, SegmentSet, Symbol, Timeframe, as_u64};

use target::{Target, Written};
use walk::{Missing, Span, Walk};

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe export --symbols AAPL --start 2024-07-01 --end 2024-07-31 > aapl.csv
  marketpipe export --symbols AAPL,MSFT --timeframe 1h --output hours.parquet
  marketpipe export --symbols @tech --fill ffill --segment regular --label right --tz America/New_York --output bars.csv
  marketpipe export --symbols AAPL --to lean --output lean-data

Rows come symbol by symbol in order of time; a file is complete or not there. --fill null and --fill ffill add a row for every \
bar that regular hours should have and have not, in sessions that the provider was asked for, and a column `filled`: without \
values, or with the last close as all four prices and volume 0, never before the first bar. Pre- and post-market stay as they are. \
Sessions never asked for are named on stderr and never filled. LEAN holds 1m, 1h and 1d, prices of four decimals and whole \
volumes; what does not fit is refused, nothing is rounded. Exit code 3: something that was asked for is not there.";

/// Sessions and symbols that a message names; the others are counted.
const NAMED: usize = 10;

#[derive(Debug, Args)]
#[command(mut_arg("dataset", |arg| arg.help(
    "Dataset: provider/feed/adjustment, such as alpaca/sip/raw [default: the only one that has these symbols]"
)))]
pub(super) struct ExportArgs {
    #[command(flatten)]
    held: HeldArgs,
    /// Length of the bars: 1m, 2m, 3m, 5m, 10m, 15m, 30m, 1h, 2h, 4h or 1d; longer ones as `aggregate` keeps them
    #[arg(long, value_name = "FRAME", default_value = "1m")]
    timeframe: Timeframe,
    /// Format [default: by the ending of --output, or else csv]
    #[arg(long, value_enum)]
    to: Option<ExportFormat>,
    /// The file, or for LEAN the folder; - for stdout, which takes CSV
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long, requires = "output")]
    force: bool,
    /// What stands for bars that regular hours should have and have not
    #[arg(long, value_enum, default_value = "none")]
    fill: Fill,
    /// Which end of a bar its time names
    #[arg(long, value_enum, default_value = "left")]
    label: TimeLabel,
    /// Time zone of the times, such as America/New_York
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: chrono_tz::Tz,
    /// Segments: all, or some of overnight, pre, regular, post [default: all; regular for LEAN's 1h and 1d]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    segment: Vec<String>,
}

/// A format of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// Comma-separated values with a header
    Csv,
    /// Parquet
    Parquet,
    /// Arrow IPC file
    Arrow,
    /// Folders of zipped CSV as QuantConnect LEAN reads them
    Lean,
}

/// What stands for bars that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fill {
    /// Nothing
    None,
    /// A row without values
    Null,
    /// The last close, with volume 0
    Ffill,
}

/// Exports, from the arguments to the exit code.
pub(super) fn run(session: &CliSession, args: &ExportArgs) -> Result<Exit, CliError> {
    if session
        .global
        .format
        .is_some_and(|format| format != OutputFormat::Csv)
    {
        return Err(CliError::usage("--format is for rows that are shown")
            .with_hint("`--to` says how bars are written: csv, parquet, arrow or lean"));
    }
    let format = format_of(args)?;
    let layout = layout_of(session, args, format)?;
    let dates = read_dates(args.held.start.as_deref(), args.held.end.as_deref())?;
    let symbols = read_legal_symbols(session, &args.held.series.symbols)?;
    let target = Target::of(session, args, format)?;
    let stores = session.job_stores()?;
    // A commit that died half-way is no damage.
    stores.bars.recover_if_possible();
    let dataset = find_dataset(args, &stores, &symbols)?;
    let spans = walk::spans(session, &stores, &dataset, &symbols, layout.frame, dates)?;
    let absent: Vec<&Symbol> = symbols
        .iter()
        .filter(|symbol| !spans.iter().any(|span| span.symbol == **symbol))
        .collect();
    note_stale(session, &stores, &dataset, args, &spans)?;
    let stopping = Stopping::default();
    stopping.watch_beside(None)?;
    let mut missing = Missing::default();
    let mut walk = Walk {
        stores: &stores,
        dataset: &dataset,
        layout,
        stop: &stopping.signal,
        missing: &mut missing,
        now_us: session.app.clock().now_us(),
    };
    let Some(written) = target.write(&spans, &mut walk)? else {
        return Ok(stopping.exit());
    };
    tell_missing(session, &missing, &absent);
    if written.rows == 0 {
        return Err(nothing_found(args, &dataset, &absent));
    }
    session.say(&summary(&written, &missing));
    // Without dates all that is kept was asked for, and no more.
    let is_short = dates != (None, None) && missing.past_sessions() > 0;
    Ok(Exit::Done.or_partial(is_short || !absent.is_empty()))
}

fn format_of(args: &ExportArgs) -> Result<ExportFormat, CliError> {
    let ending = args.output.as_deref().and_then(Path::extension);
    let ending = ending
        .and_then(|ending| ending.to_str())
        .map(str::to_ascii_lowercase);
    let by_name = match ending.as_deref() {
        Some("csv") => Some(ExportFormat::Csv),
        Some("parquet") => Some(ExportFormat::Parquet),
        Some("arrow") => Some(ExportFormat::Arrow),
        _ => None,
    };
    match (
        args.to.or(by_name),
        target::is_stdout(args.output.as_deref()),
    ) {
        (Some(ExportFormat::Csv) | None, true) => Ok(ExportFormat::Csv),
        (Some(_), true) => Err(CliError::usage("stdout takes CSV alone")
            .with_hint("name a file or folder with --output")),
        (Some(format), false) => Ok(format),
        (None, false) => Err(CliError::usage(format!(
            "--output {}: its ending names no format",
            args.output.as_deref().unwrap_or(Path::new("")).display()
        ))
        .with_hint("name one with --to csv, parquet, arrow or lean")),
    }
}

fn layout_of(
    session: &CliSession,
    args: &ExportArgs,
    format: ExportFormat,
) -> Result<RowLayout, CliError> {
    let layout = RowLayout {
        frame: args.timeframe,
        anchor: session.app.config().aggregation.choice.anchor,
        segments: segments_of(args, format)?,
        label: args.label.into(),
        fill: match args.fill {
            Fill::None => None,
            Fill::Null => Some(FillPolicy::Null),
            Fill::Ffill => Some(FillPolicy::Forward),
        },
    };
    if layout.fill.is_some() && !layout.segments.contains(Segment::Regular) {
        return Err(CliError::usage(
            "--fill fills regular hours, which --segment leaves out",
        ));
    }
    if format == ExportFormat::Lean {
        let refused = match args {
            _ if args.fill != Fill::None => Some("--fill: LEAN fills by itself"),
            _ if args.label != TimeLabel::Left => Some("--label right: LEAN's times are starts"),
            _ if args.tz != chrono_tz::Tz::UTC => Some("--tz: LEAN's times are New York's"),
            _ => None,
        };
        if let Some(refused) = refused {
            return Err(CliError::usage(format!("--to lean has no {refused}")));
        }
    }
    Ok(layout)
}

fn segments_of(args: &ExportArgs, format: ExportFormat) -> Result<SegmentSet, CliError> {
    let only_regular = format == ExportFormat::Lean && args.timeframe.is_derived();
    match &args.segment[..] {
        [] if only_regular => Ok([Segment::Regular].into_iter().collect()),
        [] => Ok(SegmentSet::ALL),
        [all] if all == "all" => Ok(SegmentSet::ALL),
        named => {
            let parsed = named.iter().map(|name| name.parse::<Segment>());
            let parsed: Result<SegmentSet, _> = parsed.collect();
            parsed.map_err(|error| CliError::usage(format!("--segment: {error}, or all")))
        }
    }
}

/// The dataset of the export: the one that is named, or the only one that holds anything of the symbols.
fn find_dataset(
    args: &ExportArgs,
    stores: &Stores,
    symbols: &[Symbol],
) -> Result<Dataset, CliError> {
    if let Some(dataset) = &args.held.series.dataset {
        return Ok(dataset.clone());
    }
    let series = stores.ledger.list_series(symbols)?;
    let mut datasets: Vec<Dataset> = series.into_iter().map(|series| series.dataset).collect();
    datasets.sort();
    datasets.dedup();
    match &datasets[..] {
        [only] => Ok(only.clone()),
        [] => Err(nothing_kept(symbols)),
        several => {
            let names: Vec<String> = several.iter().map(Dataset::to_string).collect();
            Err(
                CliError::usage(format!("{} hold these symbols", names.join(" and ")))
                    .with_hint("bars of two datasets are not mixed; choose one with --dataset"),
            )
        }
    }
}

fn nothing_kept(symbols: &[Symbol]) -> CliError {
    let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
    let what = match names.is_empty() {
        true => "any symbol".to_owned(),
        false => names.join(", "),
    };
    CliError::new(Exit::Partial, format!("nothing is kept of {what}"))
        .with_hint("`marketpipe status` lists what is kept")
}

/// Says how many derived files are older than their minutes.
fn note_stale(
    session: &CliSession,
    stores: &Stores,
    dataset: &Dataset,
    args: &ExportArgs,
    spans: &[Span],
) -> Result<(), CliError> {
    let dates = spans.iter().map(|span| (span.first, span.last));
    let sessions = dates.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    if !args.timeframe.is_derived() || sessions.is_none() {
        return Ok(());
    }
    let selection = BarSelection {
        dataset: Some(dataset.clone()),
        symbols: spans.iter().map(|span| span.symbol.clone()).collect(),
        timeframe: Some(args.timeframe),
        sessions,
    };
    let stale =
        session
            .app
            .stale_files(stores, vec![args.timeframe], selection, session.events())?;
    if stale > 0 {
        session.insist(&stale_note(stale));
    }
    Ok(())
}

fn tell_missing(session: &CliSession, missing: &Missing, absent: &[&Symbol]) {
    for symbol in absent.iter().take(NAMED) {
        session.insist(&format!("missing: nothing is kept of {symbol}"));
    }
    if absent.len() > NAMED {
        let more = counted(as_u64(absent.len() - NAMED), "more symbol");
        session.insist(&format!("missing: {more}"));
    }
    for line in missing.lines().take(NAMED) {
        session.insist(&format!("missing: {line}"));
    }
    let more = missing.lines().skip(NAMED).count();
    if more > 0 {
        session.insist(&format!(
            "missing: {}; `marketpipe gaps` shows all",
            counted(as_u64(more), "more range")
        ));
    }
}

fn nothing_found(args: &ExportArgs, dataset: &Dataset, absent: &[&Symbol]) -> CliError {
    let range = match (&args.held.start, &args.held.end) {
        (None, None) => String::new(),
        (start, end) => format!(
            " from {} to {}",
            start.as_deref().unwrap_or("the first session"),
            end.as_deref().unwrap_or("the last")
        ),
    };
    let hint = match args.timeframe.is_derived() {
        true => "`marketpipe aggregate` makes longer bars; `marketpipe status` lists what is kept",
        false => "`marketpipe status` lists what is kept",
    };
    let named = absent.iter().map(|symbol| symbol.as_str());
    let named: Vec<&str> = named.take(NAMED).collect();
    let of = match named.is_empty() {
        true => String::new(),
        false => format!(" of {}", named.join(", ")),
    };
    let message = format!(
        "there is no {} bar{of} in {dataset}{range}; nothing was written",
        args.timeframe
    );
    CliError::new(Exit::Partial, message).with_hint(hint)
}

fn summary(written: &Written, missing: &Missing) -> String {
    let mut words = counted(written.rows, "row");
    if let Some((files, bytes)) = written.files {
        words = format!(
            "{words} in {}, {}",
            counted(files, "file"),
            human_bytes(bytes)
        );
    }
    if written.filled > 0 {
        words = format!(
            "{words}; {} of them filled in",
            with_thousands(written.filled)
        );
    }
    let sessions = missing.sessions();
    if sessions > 0 {
        words = format!("{words}; {} missing", counted(sessions, "session"));
    }
    words
}
