//! `metrics`: what runs did and what is stored, beside what is usual; the course of single metrics; runs and events.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::dates::read_age;
use super::exit::{CliError, Exit};
use super::metrics_serve;
use super::output::{OutputFormat, Value, human_bytes, human_duration, with_thousands};
use super::query_file::refuse_in_data_folder;
use super::session::CliSession;
use super::sparkline::sparkline;
use super::status::completeness_pct;
use super::whole_file::write_beside;
use crate::app::Stores;
use crate::domain::Timeframe;
use crate::domain::instant::{SECOND_US, format_utc};
use crate::domain::job::{JobId, JobState};
use crate::domain::metric::{
    EventCount, Keeping, Metric, MetricPoint, MetricSeries, RunRecord, Sample, UNIX_SECONDS,
};
use crate::domain::ports::{
    JobRepository as _, MetricsRepository as _, StoreErrorKind, SymbolBarsRepository as _,
};
use crate::metrics::exposition::Detail;
use crate::metrics::gauges::sessions_closed_since;
use crate::metrics::summary::{Figure, list_figures};

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe metrics
  marketpipe metrics --since 1d --format json
  marketpipe metrics history rows_new --since 30d --every 1d
  marketpipe metrics --textfile /var/lib/node_exporter/textfile/marketpipe.prom
  marketpipe metrics serve

Figures add up over --since. `usual` is the median of the up to four spans of that length before, of what is stored the value at \
the span's start. `sessions_behind` counts sessions that have closed since the newest bar's: a weekend is not stale. \
[metrics] in the configuration says how long measurements are kept; totals are kept for ever.";

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

/// Runs above the figures.
const RUNS_ABOVE: u32 = 5;

/// Glyphs of a course.
const COURSE_WIDTH: usize = 28;

/// A run that said nothing for so long without having ended is lost: it speaks once a second, and waits for the database
/// thirty seconds at most.
const LOST_AFTER_US: i64 = 60 * SECOND_US;

/// Shows figures, or does what is wanted of them.
pub(super) fn run(session: &CliSession, args: &MetricsArgs) -> Result<Exit, CliError> {
    match &args.command {
        Some(MetricsCommand::History { name, since, every }) => {
            history(session, name, since.since, *every)
        }
        Some(MetricsCommand::List) => list(session),
        Some(MetricsCommand::Runs { limit }) => {
            let rows = run_rows(session, &session.job_stores()?, *limit)?;
            session.write_rows("runs", &RUN_COLUMNS, rows)
        }
        Some(MetricsCommand::Symbols) => symbols(session),
        Some(MetricsCommand::Events) => {
            let stores = session.job_stores()?;
            let events = stores.metrics.list_event_counts()?;
            session.write_rows("events", &EVENT_COLUMNS, events.iter().map(event_row))
        }
        Some(MetricsCommand::Serve { listen, per_symbol }) => {
            let detail = match per_symbol {
                true => Detail::Symbols,
                false => Detail::Usual,
            };
            metrics_serve::run(session, *listen, detail)
        }
        None => match &args.textfile {
            Some(path) => {
                refuse_in_data_folder(path, &session.app.directory())?;
                let page = session.app.metrics_page(Detail::Usual, session.events());
                write_beside(path, page.text()?.as_bytes())?;
                Ok(Exit::Done)
            }
            None => summary(session, args.since.since),
        },
    }
}

fn summary(session: &CliSession, since: Duration) -> Result<Exit, CliError> {
    let stores = session.job_stores()?;
    let figures = list_figures(
        stores.metrics.as_ref(),
        seconds_of(since),
        session.app.clock().now_us(),
    )?;
    if session.format() != OutputFormat::Table {
        return session.write_rows("metrics", &FIGURE_COLUMNS, figures.iter().map(figure_row));
    }
    let runs = run_rows(session, &stores, RUNS_ABOVE)?;
    session.write_fitting("runs", &RUN_COLUMNS, runs, &RUN_COLUMNS_TO_DROP)?;
    session.write_text("\n")?;
    let mut rows: Vec<[String; 7]> = figures.iter().map(shown_row).collect();
    for column in ALIGNED_COLUMNS {
        align_right(&mut rows, column);
    }
    let rows = rows.into_iter().map(|row| row.map(Value::Text).to_vec());
    session.write_fitting(
        "metrics",
        &SHOWN_COLUMNS,
        rows.collect(),
        &SHOWN_COLUMNS_TO_DROP,
    )
}

/// Numbers with their units are texts: they are put one below the other here.
fn align_right(rows: &mut [[String; 7]], column: usize) {
    let width = rows.iter().map(|row| row[column].chars().count()).max();
    for row in rows {
        row[column] = format!("{:>1$}", row[column], width.unwrap_or(0));
    }
}

const FIGURE_COLUMNS: [&str; 7] = [
    "group",
    "figure",
    "of",
    "value",
    "unit",
    "usual",
    "change_pct",
];

fn figure_row(figure: &Figure) -> Vec<Value> {
    let number = |number: Option<f64>| number.map_or(Value::Null, Value::Float);
    vec![
        Value::Text(figure.group.as_str().to_owned()),
        Value::Text(figure.name.to_owned()),
        Value::Text(figure.of.clone()),
        number(figure.trend.value),
        Value::Text(figure.unit.to_owned()),
        number(figure.trend.usual),
        number(figure.trend.change_pct()),
    ]
}

const SHOWN_COLUMNS: [&str; 7] = ["group", "figure", "of", "value", "usual", "change", "trend"];

/// The places of value, usual value and change among them.
const ALIGNED_COLUMNS: [usize; 3] = [3, 4, 5];

/// What a narrow terminal can do without, the least missed first.
const SHOWN_COLUMNS_TO_DROP: [&str; 4] = ["trend", "group", "usual", "change"];

fn shown_row(figure: &Figure) -> [String; 7] {
    let shown = |number: Option<f64>| {
        number.map_or_else(|| "-".to_owned(), |number| show(number, figure.unit))
    };
    let change = figure.trend.change_pct();
    [
        figure.group.as_str().to_owned(),
        figure.name.to_owned(),
        figure.of.clone(),
        shown(figure.trend.value),
        shown(figure.trend.usual),
        change.map_or_else(|| "-".to_owned(), |change| format!("{change:+.0} %")),
        sparkline(&figure.trend.course, COURSE_WIDTH),
    ]
}

/// A number with its unit, for people.
fn show(number: f64, unit: &str) -> String {
    match unit {
        "bytes" => human_bytes(whole(number)),
        "seconds" => match Duration::try_from_secs_f64(number) {
            Ok(duration) => human_duration(duration),
            Err(_) => number.to_string(),
        },
        // Cut and not rounded: 100 % means all.
        "ratio" => format!("{:.2} %", (number * 10_000.0).floor() / 100.0),
        UNIX_SECONDS => format_utc(instant_us(number)),
        _ => with_thousands(whole(number)),
    }
}

/// The nearest whole number, of what is never negative.
fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and counts are below 2^53"
    )]
    let whole = number.round() as u64;
    whole
}

fn instant_us(seconds: f64) -> i64 {
    i64::try_from(whole(seconds)).map_or(i64::MAX, |seconds| seconds.saturating_mul(SECOND_US))
}

fn seconds_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

const RUN_COLUMNS: [&str; 10] = [
    "started",
    "command",
    "outcome",
    "dataset",
    "job",
    "seconds",
    "rows",
    "rows_per_second",
    "failures",
    "last_seen",
];

/// What a narrow terminal can do without, the least missed first.
const RUN_COLUMNS_TO_DROP: [&str; 5] =
    ["last_seen", "job", "rows_per_second", "failures", "seconds"];

/// The newest runs. The jobs of dead processes are closed when `stores` come from [`CliSession::job_stores`].
fn run_rows(
    session: &CliSession,
    stores: &Stores,
    limit: u32,
) -> Result<Vec<Vec<Value>>, CliError> {
    let now_us = session.app.clock().now_us();
    let mut rows = Vec::new();
    for run in stores.metrics.list_runs(limit)? {
        let is_silent = now_us.saturating_sub(run.last_seen_us) > LOST_AFTER_US;
        let has_ended = |job: JobId| match stores.jobs.get_job(job) {
            Ok(job) => Ok(!matches!(
                job.state(),
                JobState::Pending | JobState::Running
            )),
            Err(error) if error.kind == StoreErrorKind::Missing => Ok(true),
            Err(error) => Err(error),
        };
        let is_lost = match run.job {
            Some(job) if !is_silent && run.outcome.is_none() => has_ended(job)?,
            _ => is_silent,
        };
        rows.push(run_row(&run, is_lost));
    }
    Ok(rows)
}

fn run_row(run: &RunRecord, is_lost: bool) -> Vec<Value> {
    let outcome = match &run.outcome {
        Some(outcome) => outcome.as_str(),
        None if is_lost => "lost",
        None => "running",
    };
    let millis = (run.seconds() * 1000.0).round() / 1000.0;
    vec![
        Value::Text(format_utc(run.started_us.div_euclid(SECOND_US) * SECOND_US)),
        Value::Text(run.command.to_string()),
        Value::Text(outcome.to_owned()),
        run.dataset
            .as_ref()
            .map_or(Value::Null, |dataset| Value::Text(dataset.to_string())),
        run.job.map_or(Value::Null, |job| Value::Int(job.0)),
        Value::Float(millis),
        Value::UInt(run.rows),
        run.rows_per_second()
            .map_or(Value::Null, |speed| Value::UInt(whole(speed))),
        Value::UInt(run.failures),
        Value::Text(format_utc(
            run.last_seen_us.div_euclid(SECOND_US) * SECOND_US,
        )),
    ]
}

const HISTORY_COLUMNS: [&str; 7] = ["start", "of", "value", "count", "p50", "p95", "p99"];

/// The course of one metric, interval by interval; those in which nothing happened are left out.
fn history(
    session: &CliSession,
    name: &str,
    since: Duration,
    every: Duration,
) -> Result<Exit, CliError> {
    let metric: Metric = name.parse().map_err(|error| {
        CliError::new(Exit::Usage, format!("{error}"))
            .with_hint("`marketpipe metrics list` shows all")
    })?;
    if metric.text().keeping != Keeping::History {
        let message = format!("the course of {metric} is not kept");
        return Err(CliError::new(Exit::Usage, message)
            .with_hint("`marketpipe metrics list` shows of which it is"));
    }
    let stores = session.job_stores()?;
    let now_s = session.app.clock().now_us().div_euclid(SECOND_US);
    let start_s = now_s.saturating_sub(seconds_of(since));
    let points = stores.metrics.list_points(metric, start_s, i64::MAX)?;
    let intervals = by_interval(points, seconds_of(every).max(1));
    let rows = intervals.iter().map(|((start_s, series), sample)| {
        let start = Value::Text(format_utc(start_s.saturating_mul(SECOND_US)));
        let mut row = vec![start, Value::Text(series.values.join(" "))];
        row.extend(history_values(sample));
        row
    });
    session.write_rows("history", &HISTORY_COLUMNS, rows)
}

fn by_interval(points: Vec<MetricPoint>, every_s: i64) -> BTreeMap<(i64, MetricSeries), Sample> {
    let mut intervals: BTreeMap<(i64, MetricSeries), Sample> = BTreeMap::new();
    for point in points {
        let start_s = point.start_s.div_euclid(every_s) * every_s;
        match intervals.get_mut(&(start_s, point.series.clone())) {
            Some(sample) => sample.merge(&point.sample),
            None => _ = intervals.insert((start_s, point.series), point.sample),
        }
    }
    intervals
}

fn history_values(sample: &Sample) -> [Value; 5] {
    let value = Value::Float(sample.number());
    let Sample::Histogram(durations) = sample else {
        return [value, Value::Null, Value::Null, Value::Null, Value::Null];
    };
    let quantile = |share| durations.quantile(share).map_or(Value::Null, Value::Float);
    [
        value,
        Value::UInt(durations.count()),
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
    ]
}

const METRIC_COLUMNS: [&str; 6] = ["name", "kind", "unit", "labels", "history", "help"];

fn list(session: &CliSession) -> Result<Exit, CliError> {
    let rows = Metric::ALL.into_iter().map(|metric| {
        let about = metric.text();
        vec![
            Value::Text(about.name.to_owned()),
            Value::Text(about.kind.as_str().to_owned()),
            Value::Text(about.unit.to_owned()),
            Value::Text(about.labels.join(" ")),
            Value::Bool(about.keeping == Keeping::History),
            Value::Text(about.help.to_owned()),
        ]
    });
    session.write_rows("metric", &METRIC_COLUMNS, rows)
}

const SYMBOL_COLUMNS: [&str; 8] = [
    "dataset",
    "symbol",
    "last_session",
    "sessions_behind",
    "completeness_pct",
    "rows",
    "rows_new",
    "failures",
];

fn symbols(session: &CliSession) -> Result<Exit, CliError> {
    let stores = session.job_stores()?;
    let now_us = session.app.clock().now_us();
    let totals: BTreeMap<MetricSeries, Sample> =
        stores.metrics.list_totals()?.into_iter().collect();
    let held = stores.ledger.list_status(&[])?;
    let minutes = held
        .iter()
        .filter(|series| series.timeframe == Timeframe::M1);
    let rows = minutes.map(|series| {
        let (dataset, symbol) = (series.dataset.to_string(), series.symbol.as_str());
        let total = |metric: Metric| {
            let total = totals.get(&metric.of(&[&dataset, symbol]));
            Value::UInt(total.map_or(0, |sample| whole(sample.number())))
        };
        let last = series.sessions.map(|sessions| sessions.1);
        let behind = last.and_then(|last| {
            let behind = sessions_closed_since(&series.symbol, last, now_us);
            behind.ok()
        });
        vec![
            Value::Text(dataset.clone()),
            Value::Text(symbol.to_owned()),
            last.map_or(Value::Null, |last| Value::Text(last.to_string())),
            behind.map_or(Value::Null, Value::UInt),
            completeness_pct(series).map_or(Value::Null, Value::Float),
            Value::UInt(series.rows),
            total(Metric::SymbolRows),
            total(Metric::SymbolFailures),
        ]
    });
    session.write_rows("symbols", &SYMBOL_COLUMNS, rows)
}

const EVENT_COLUMNS: [&str; 5] = ["event", "subscriber", "delivered", "failed", "slowest_us"];

fn event_row(count: &EventCount) -> Vec<Value> {
    let is_published = count.subscriber.is_empty();
    let of_subscriber = |count: u64| match is_published {
        true => Value::Null,
        false => Value::UInt(count),
    };
    vec![
        Value::Text(count.event.clone()),
        Value::Text(match is_published {
            true => "(published)".to_owned(),
            false => count.subscriber.clone(),
        }),
        Value::UInt(count.delivered),
        of_subscriber(count.failed),
        of_subscriber(count.slowest_us),
    ]
}
