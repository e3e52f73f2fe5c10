//! `chart`: the bars of one symbol as candles in the terminal, as SVG, as a page that needs nothing else, or as rows.

pub(super) mod series;
mod terminal;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::dates::read_dates;
use super::exit::{CliError, Exit};
use super::output::{Value, counted, with_thousands};
use super::query_file::refuse_in_data_folder;
use super::session::{CliSession, terminal_extent};
use super::whole_file::write_beside;
use crate::domain::chart::Chart;
use crate::domain::instant::format_utc;
use crate::domain::{Dataset, Symbol, Timeframe, as_u64};
use crate::infrastructure::chart_page::{ChartPage, MOST_BARS, SVG_COLUMNS, svg_file};

use series::{Series, SeriesRequest};
use terminal::{Canvas, Ink, draw, plot_width, price_width};

/// Examples for the help text.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe chart AAPL
  marketpipe chart AAPL --timeframe 5m --start 2024-07-02 --end 2024-07-03
  marketpipe chart AAPL --start 2024-01-01 --html aapl.html
  marketpipe chart AAPL --timeframe 1d --format csv

Without dates: the last five sessions that are held. Without --timeframe: the finest frame that fits; bars that are not kept by \
`aggregate` are made of minutes. Rising candles are thin, falling ones full. Nothing is interpolated: where a regular minute is \
missing the time axis is broken, and the last line says how many are missing and why, as `gaps` does. Times are the \
exchange's.";

/// Arguments of `chart`.
#[derive(Debug, Args)]
pub(super) struct ChartArgs {
    /// The symbol
    #[arg(value_name = "SYMBOL")]
    symbol: String,
    /// 1m, 2m, 3m, 5m, 10m, 15m, 30m, 1h, 2h, 4h or 1d [default: the finest that fits]
    #[arg(long, value_name = "F")]
    timeframe: Option<Timeframe>,
    /// First session date [default: the fifth last session that is held]
    #[arg(long, value_name = "D")]
    start: Option<String>,
    /// Last session date [default: the last session that is held]
    #[arg(long, value_name = "D")]
    end: Option<String>,
    /// Provider, feed and adjustment, such as alpaca/sip/raw [default: the one with the newest bars]
    #[arg(long, value_name = "A/B/C")]
    dataset: Option<Dataset>,
    /// Which hours are drawn
    #[arg(long, value_enum, value_name = "HOURS", default_value_t = DrawnHours::Regular)]
    segment: DrawnHours,
    /// Write a page that can be zoomed and needs neither network nor other files
    #[arg(long, value_name = "FILE", conflicts_with = "svg")]
    html: Option<PathBuf>,
    /// Write a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Which hours of a session are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DrawnHours {
    /// Regular hours
    Regular,
    /// Every segment that has a bar
    All,
}

/// Lines of a picture where there is no terminal.
const PIPE: (u16, u16) = (80, 24);

/// Buckets on a page of the frame that is chosen when none is named.
const READABLE_ON_PAGE: usize = 2_500;

/// Characters of a price, before any is known.
const USUAL_PRICE_WIDTH: usize = 6;

/// Draws the chart.
pub(super) fn run(session: &CliSession, args: &ChartArgs) -> Result<Exit, CliError> {
    for path in [&args.html, &args.svg].into_iter().flatten() {
        refuse_in_data_folder(path, &session.app.directory())?;
    }
    let request = SeriesRequest {
        symbol: Symbol::spelled(&args.symbol).map_err(|error| {
            let shown = args.symbol.escape_default();
            CliError::new(Exit::Usage, format!("SYMBOL `{shown}`: {error}"))
        })?,
        dataset: args.dataset.clone(),
        dates: read_dates(args.start.as_deref(), args.end.as_deref())?,
        hours: args.segment,
    };
    let stores = session.stores()?;
    let series = Series::open(session, &stores, &request)?;
    if let Some(path) = &args.html {
        let chart = write_page(&series, args.timeframe, path)?;
        session.say(&written(&chart, path));
        return Ok(Exit::Done);
    }
    if let Some(path) = &args.svg {
        let chart = chart_of(&series, args.timeframe, SVG_COLUMNS)?;
        write_beside(path, svg_file(&chart).as_bytes())?;
        session.say(&written(&chart, path));
        return Ok(Exit::Done);
    }
    let chart = fitting(&series, args.timeframe)?;
    if session.global.format.is_some() {
        return session.write_rows("chart", &COLUMNS, rows(&chart));
    }
    session.write_text(&picture(session, &chart))?;
    Ok(Exit::Done)
}

/// The chart in the frame asked for, else in the finest that makes at most `columns` columns.
fn chart_of(
    series: &Series<'_>,
    frame: Option<Timeframe>,
    columns: usize,
) -> Result<Chart, CliError> {
    series.chart(frame.unwrap_or_else(|| series.finest(columns)))
}

/// The chart for the terminal, or for 80 columns where there is none.
pub(super) fn fitting(series: &Series<'_>, frame: Option<Timeframe>) -> Result<Chart, CliError> {
    let width = usize::from(terminal_extent().unwrap_or(PIPE).0);
    let room = plot_width(width, USUAL_PRICE_WIDTH);
    let chart = chart_of(series, frame, room)?;
    // How wide prices are is known only now.
    match plot_width(width, price_width(&chart)) {
        left if left < room => chart_of(series, frame, left),
        _ => Ok(chart),
    }
}

/// The chart as characters for stdout.
pub(super) fn picture(session: &CliSession, chart: &Chart) -> String {
    let extent = terminal_extent();
    let color = session.app.config().color;
    let (width, height) = extent.unwrap_or(PIPE);
    let canvas = Canvas {
        width: width.into(),
        height: height.into(),
        ink: match color.is_for(|| extent.is_some()) {
            true => Ink::Colours,
            false => Ink::Plain,
        },
    };
    draw(chart, canvas)
}

/// Writes the page of the frame asked for, else of the finest that is readable, and of those that are kept.
pub(super) fn write_page(
    series: &Series<'_>,
    frame: Option<Timeframe>,
    path: &Path,
) -> Result<Chart, CliError> {
    let chart = chart_of(series, frame, READABLE_ON_PAGE)?;
    if chart.slots.len() > MOST_BARS {
        let message = format!(
            "{} of {} are too many for a page, which holds {}",
            counted(as_u64(chart.slots.len()), "bar"),
            chart.frame,
            with_thousands(as_u64(MOST_BARS))
        );
        return Err(CliError::new(Exit::Usage, message)
            .with_hint("choose a longer --timeframe, or a later --start"));
    }
    let mut page = ChartPage::new(&chart);
    let finest = series.finest(MOST_BARS / 4);
    let others: Vec<Chart> = series
        .kept_frames()
        .into_iter()
        .filter(|&kept| kept != chart.frame && kept >= finest)
        .map(|kept| series.chart(kept))
        .collect::<Result<_, _>>()?;
    others.iter().for_each(|other| page.add_frame(other));
    write_beside(path, page.render().as_bytes())?;
    Ok(chart)
}

fn written(chart: &Chart, path: &Path) -> String {
    let missing = match chart.missing() {
        missing if missing.total() == 0 => "no regular minute missing".to_owned(),
        missing => format!("missing minutes: {}", missing.words()),
    };
    format!(
        "{} {} {}, {}: {}, {missing}; {}",
        chart.symbol,
        chart.dataset,
        chart.frame,
        chart.range(),
        counted(as_u64(chart.candles().count()), "bar"),
        path.display()
    )
}

const COLUMNS: [&str; 12] = [
    "dataset",
    "symbol",
    "timeframe",
    "ts",
    "session_date",
    "segment",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "minutes",
];

/// The bars of the chart, none put together.
fn rows(chart: &Chart) -> Vec<Vec<Value>> {
    let row = |slot: &crate::domain::chart::Slot| {
        let candle = slot.candle?;
        Some(vec![
            Value::Text(chart.dataset.to_string()),
            Value::Text(chart.symbol.to_string()),
            Value::Text(chart.frame.to_string()),
            Value::Text(format_utc(slot.start_us)),
            Value::Text(slot.session.to_string()),
            Value::Text(slot.segment.to_string()),
            Value::Float(candle.open),
            Value::Float(candle.high),
            Value::Float(candle.low),
            Value::Float(candle.close),
            Value::Float(candle.volume),
            Value::UInt(candle.minutes.into()),
        ])
    };
    chart.slots.iter().filter_map(row).collect()
}
