//! What is measured: names, kinds, units and labels of every metric, and the values that are kept of it. Pure; the
//! names are those of the Prometheus exposition, everywhere.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::dataset::Dataset;
use super::job::JobId;
use super::symbol::Symbol;
use super::timeframe::Timeframe;

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Rows received from providers.
    RowsReceived,
    /// Rows stored for new minutes.
    RowsNew,
    /// Rows replaced or withdrawn.
    RowsRevised,
    /// Rows kept apart.
    RowsQuarantined,
    /// Requests of jobs.
    Requests,
    /// Repeated requests of jobs.
    Retries,
    /// Bytes of answers.
    ReceivedBytes,
    /// Files of minutes written.
    FilesWritten,
    /// Files of minutes that did not change.
    FilesUnchanged,
    /// Sessions answered with nothing.
    EmptySessions,
    /// Duration of requests.
    RequestSeconds,
    /// Waits for the rate limit.
    RateLimitWaits,
    /// Time spent waiting for the rate limit.
    RateLimitWaitSeconds,
    /// Hosts taken for dead.
    CircuitOpenings,
    /// Waits for another process.
    StoreLockWaits,
    /// What failed.
    Failures,
    /// Derived rows made.
    DerivedRows,
    /// Derived files written.
    DerivedFiles,
    /// Minutes checked.
    ValidatedBars,
    /// Runs of commands.
    Runs,
    /// Duration of runs.
    RunSeconds,
    /// Rows new of one symbol.
    SymbolRows,
    /// Failures of one symbol.
    SymbolFailures,
    /// Rows in the lake.
    StoredRows,
    /// Bytes in the lake.
    StoredBytes,
    /// Files in the lake.
    StoredFiles,
    /// Symbols of which anything is known.
    Symbols,
    /// How much of what was asked for is there.
    Completeness,
    /// The newest bar.
    NewestBar,
    /// Sessions since the newest bar's.
    SessionsBehind,
    /// Rows in quarantine.
    QuarantineRows,
    /// Open findings.
    OpenFindings,
    /// When a command was last at work.
    LastRun,
    /// When a command last ended with nothing left to do.
    LastSuccess,
    /// Room on the disk.
    FreeBytes,
    /// The program.
    BuildInfo,
}

/// How the values of a metric add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// The latest value counts.
    Gauge,
    /// Durations by size, seconds.
    Histogram,
}

impl MetricKind {
    /// The name in the Prometheus exposition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The unit of instants: seconds since 1970, UTC.
pub const UNIX_SECONDS: &str = "unix seconds";

/// What is kept of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// Its course in time.
    History,
    /// Its sum alone: one series for each symbol would be too many for a history.
    Total,
    /// Nothing: what it is now is asked for when it is wanted.
    Now,
}

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub struct MetricText {
    /// Its name.
    pub name: &'static str,
    /// How its values add up.
    pub kind: MetricKind,
    /// Its unit, for people.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
    /// What is kept of it.
    pub keeping: Keeping,
}

/// A name that no metric has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no metric `{0}`")]
pub struct UnknownMetric(pub String);

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 36] = [
        Self::RowsReceived,
        Self::RowsNew,
        Self::RowsRevised,
        Self::RowsQuarantined,
        Self::Requests,
        Self::Retries,
        Self::ReceivedBytes,
        Self::FilesWritten,
        Self::FilesUnchanged,
        Self::EmptySessions,
        Self::RequestSeconds,
        Self::RateLimitWaits,
        Self::RateLimitWaitSeconds,
        Self::CircuitOpenings,
        Self::StoreLockWaits,
        Self::Failures,
        Self::DerivedRows,
        Self::DerivedFiles,
        Self::ValidatedBars,
        Self::Runs,
        Self::RunSeconds,
        Self::SymbolRows,
        Self::SymbolFailures,
        Self::StoredRows,
        Self::StoredBytes,
        Self::StoredFiles,
        Self::Symbols,
        Self::Completeness,
        Self::NewestBar,
        Self::SessionsBehind,
        Self::QuarantineRows,
        Self::OpenFindings,
        Self::LastRun,
        Self::LastSuccess,
        Self::FreeBytes,
        Self::BuildInfo,
    ];

    /// What it is.
    pub const fn text(self) -> MetricText {
        use Keeping::{History, Now, Total};
        use MetricKind::{Counter, Gauge, Histogram};
        type Labels = &'static [&'static str];
        const NONE: Labels = &[];
        const OF_COMMAND: Labels = &["command"];
        const OF_DATASET: Labels = &["dataset"];
        const OF_FRAME: Labels = &["dataset", "timeframe"];
        const OF_HOST: Labels = &["host"];
        const OF_REQUEST: Labels = &["host", "result"];
        const OF_SYMBOL: Labels = &["dataset", "symbol"];
        const BY_KIND: Labels = &["dataset", "kind"];
        const BY_OUTCOME: Labels = &["command", "outcome"];
        const BY_SEVERITY: Labels = &["dataset", "severity"];
        const OF_VERSION: Labels = &["version"];
        let (name, kind, unit, labels, help, keeping) = match self {
            Self::RowsReceived => (
                "marketpipe_rows_received_total",
                Counter,
                "rows",
                OF_DATASET,
                "Rows received from the provider, before any judgement.",
                History,
            ),
            Self::RowsNew => (
                "marketpipe_rows_new_total",
                Counter,
                "rows",
                OF_DATASET,
                "Rows stored for minutes that were not stored before.",
                History,
            ),
            Self::RowsRevised => (
                "marketpipe_rows_revised_total",
                Counter,
                "rows",
                OF_DATASET,
                "Stored rows that a later answer replaced or withdrew.",
                History,
            ),
            Self::RowsQuarantined => (
                "marketpipe_rows_quarantined_total",
                Counter,
                "rows",
                OF_DATASET,
                "Rows that broke a hard rule and were kept apart.",
                History,
            ),
            Self::Requests => (
                "marketpipe_requests_total",
                Counter,
                "requests",
                OF_DATASET,
                "Requests that ingests sent, repetitions included.",
                History,
            ),
            Self::Retries => (
                "marketpipe_retries_total",
                Counter,
                "requests",
                OF_DATASET,
                "Repeated requests among those that ingests sent.",
                History,
            ),
            Self::ReceivedBytes => (
                "marketpipe_received_bytes_total",
                Counter,
                "bytes",
                OF_DATASET,
                "Bytes of answers as they came over the wire.",
                History,
            ),
            Self::FilesWritten => (
                "marketpipe_files_written_total",
                Counter,
                "files",
                OF_DATASET,
                "Files of minutes that were written.",
                History,
            ),
            Self::FilesUnchanged => (
                "marketpipe_files_unchanged_total",
                Counter,
                "files",
                OF_DATASET,
                "Files of minutes that an answer did not change.",
                History,
            ),
            Self::EmptySessions => (
                "marketpipe_empty_sessions_total",
                Counter,
                "sessions",
                OF_DATASET,
                "Sessions that the provider answered with nothing.",
                History,
            ),
            Self::RequestSeconds => (
                "marketpipe_request_duration_seconds",
                Histogram,
                "seconds",
                OF_REQUEST,
                "Time from sending a request to the last byte of its answer.",
                History,
            ),
            Self::RateLimitWaits => (
                "marketpipe_rate_limit_waits_total",
                Counter,
                "waits",
                NONE,
                "Waits because the provider's rate limit was used up.",
                History,
            ),
            Self::RateLimitWaitSeconds => (
                "marketpipe_rate_limit_wait_seconds_total",
                Counter,
                "seconds",
                NONE,
                "Time that requests waited for the rate limit, added up over requests.",
                History,
            ),
            Self::CircuitOpenings => (
                "marketpipe_circuit_openings_total",
                Counter,
                "times",
                OF_HOST,
                "How often a host was taken for dead for a while.",
                History,
            ),
            Self::StoreLockWaits => (
                "marketpipe_store_lock_waits_total",
                Counter,
                "waits",
                NONE,
                "Waits for another process that held the store.",
                History,
            ),
            Self::Failures => (
                "marketpipe_failures_total",
                Counter,
                "failures",
                BY_KIND,
                "What failed: parts of symbols in ingests, symbol-years in aggregations, series in validations.",
                History,
            ),
            Self::DerivedRows => (
                "marketpipe_derived_rows_total",
                Counter,
                "rows",
                OF_DATASET,
                "Derived bars that were made, over all frames.",
                History,
            ),
            Self::DerivedFiles => (
                "marketpipe_derived_files_written_total",
                Counter,
                "files",
                OF_DATASET,
                "Files of derived bars that were written.",
                History,
            ),
            Self::ValidatedBars => (
                "marketpipe_validated_bars_total",
                Counter,
                "rows",
                OF_DATASET,
                "Minute bars that validation has read.",
                History,
            ),
            Self::Runs => (
                "marketpipe_runs_total",
                Counter,
                "runs",
                BY_OUTCOME,
                "Runs of ingest, aggregate and validate by how they ended.",
                History,
            ),
            Self::RunSeconds => (
                "marketpipe_run_duration_seconds",
                Histogram,
                "seconds",
                OF_COMMAND,
                "Time from the start of a run to its end.",
                History,
            ),
            Self::SymbolRows => (
                "marketpipe_symbol_rows_new_total",
                Counter,
                "rows",
                OF_SYMBOL,
                "Rows of one symbol stored for minutes that were not stored before.",
                Total,
            ),
            Self::SymbolFailures => (
                "marketpipe_symbol_failures_total",
                Counter,
                "failures",
                OF_SYMBOL,
                "Failures of one symbol in ingests, aggregations and validations.",
                Total,
            ),
            Self::StoredRows => (
                "marketpipe_stored_rows",
                Gauge,
                "rows",
                OF_FRAME,
                "Rows in the lake.",
                History,
            ),
            Self::StoredBytes => (
                "marketpipe_stored_bytes",
                Gauge,
                "bytes",
                OF_FRAME,
                "Bytes of the files in the lake.",
                History,
            ),
            Self::StoredFiles => (
                "marketpipe_stored_files",
                Gauge,
                "files",
                OF_FRAME,
                "Files in the lake.",
                Now,
            ),
            Self::Symbols => (
                "marketpipe_symbols",
                Gauge,
                "symbols",
                OF_DATASET,
                "Symbols of which anything was asked for.",
                Now,
            ),
            Self::Completeness => (
                "marketpipe_completeness_ratio",
                Gauge,
                "ratio",
                OF_DATASET,
                "Regular minutes that are stored, of those that the sessions asked for have.",
                History,
            ),
            Self::NewestBar => (
                "marketpipe_newest_bar_timestamp_seconds",
                Gauge,
                UNIX_SECONDS,
                OF_DATASET,
                "Start of the newest stored minute.",
                Now,
            ),
            Self::SessionsBehind => (
                "marketpipe_sessions_behind",
                Gauge,
                "sessions",
                OF_DATASET,
                "Sessions that have closed since the one that the newest stored minute belongs to.",
                Now,
            ),
            Self::QuarantineRows => (
                "marketpipe_quarantine_rows",
                Gauge,
                "rows",
                OF_DATASET,
                "Rows that are kept apart.",
                History,
            ),
            Self::OpenFindings => (
                "marketpipe_open_findings",
                Gauge,
                "findings",
                BY_SEVERITY,
                "Findings of validation that nobody has acknowledged.",
                Now,
            ),
            Self::LastRun => (
                "marketpipe_last_run_timestamp_seconds",
                Gauge,
                UNIX_SECONDS,
                OF_COMMAND,
                "When the command was last at work.",
                Now,
            ),
            Self::LastSuccess => (
                "marketpipe_last_success_timestamp_seconds",
                Gauge,
                UNIX_SECONDS,
                OF_COMMAND,
                "When the command last ended with nothing left to do.",
                Now,
            ),
            Self::FreeBytes => (
                "marketpipe_disk_free_bytes",
                Gauge,
                "bytes",
                NONE,
                "Room that is left where the data lie.",
                History,
            ),
            Self::BuildInfo => (
                "marketpipe_build_info",
                Gauge,
                "",
                OF_VERSION,
                "The program's version, as a label.",
                Now,
            ),
        };
        MetricText {
            name,
            kind,
            unit,
            labels,
            help,
            keeping,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.text().name
    }

    /// The metric's series with these values of its labels, in their order.
    ///
    /// # Panics
    /// In debug builds when the metric has another number of labels.
    pub fn of(self, values: &[&str]) -> MetricSeries {
        debug_assert_eq!(values.len(), self.text().labels.len(), "{self:?}");
        MetricSeries {
            metric: self,
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads a name with or without what all names begin with and counters end with.
impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        let bare = |name: &str| {
            let name = name.strip_prefix("marketpipe_").unwrap_or(name);
            name.strip_suffix("_total").unwrap_or(name).to_owned()
        };
        Self::ALL
            .into_iter()
            .find(|metric| bare(metric.name()) == bare(text))
            .ok_or_else(|| UnknownMetric(text.to_owned()))
    }
}

/// One metric with the values of its labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricSeries {
    /// The metric.
    pub metric: Metric,
    /// The values of its labels, in their order.
    pub values: Vec<String>,
}

impl MetricSeries {
    /// Names and values of the labels.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let names = self.metric.text().labels.iter().copied();
        names.zip(self.values.iter().map(String::as_str))
    }

    /// The value of the label of that name.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels()
            .find(|(label, _)| *label == name)
            .map(|(_, value)| value)
    }
}

/// Upper bounds of a histogram's buckets, seconds: six a decade, from a millisecond to nearly three hours.
pub const BUCKET_BOUNDS: [f64; 43] = [
    0.001, 0.0015, 0.0022, 0.0033, 0.0047, 0.0068, 0.01, 0.015, 0.022, 0.033, 0.047, 0.068, 0.1,
    0.15, 0.22, 0.33, 0.47, 0.68, 1.0, 1.5, 2.2, 3.3, 4.7, 6.8, 10.0, 15.0, 22.0, 33.0, 47.0, 68.0,
    100.0, 150.0, 220.0, 330.0, 470.0, 680.0, 1000.0, 1500.0, 2200.0, 3300.0, 4700.0, 6800.0,
    10_000.0,
];

/// Durations by size.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// How many lie in each bucket, the last one above all bounds.
    pub counts: [u64; BUCKET_BOUNDS.len() + 1],
    /// Their sum, seconds.
    pub sum: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKET_BOUNDS.len() + 1],
            sum: 0.0,
        }
    }
}

impl Histogram {
    /// Adds a duration, seconds.
    pub fn observe(&mut self, seconds: f64) {
        let bucket = BUCKET_BOUNDS.partition_point(|&bound| bound < seconds);
        self.counts[bucket] += 1;
        self.sum += seconds;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds those of another one.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }

    /// The duration below which the share `quantile` of them lies, within its bucket in proportion, seconds; `None` without
    /// any. What is above all bounds is taken for the last bound.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = quantile * as_f64(count);
        let mut below = 0.0;
        for (bucket, &in_bucket) in self.counts.iter().enumerate() {
            let in_bucket = as_f64(in_bucket);
            if in_bucket > 0.0 && below + in_bucket >= rank {
                let Some(&upper) = BUCKET_BOUNDS.get(bucket) else {
                    break;
                };
                let lower = bucket.checked_sub(1).map_or(0.0, |at| BUCKET_BOUNDS[at]);
                let share = ((rank - below) / in_bucket).clamp(0.0, 1.0);
                return Some(lower + (upper - lower) * share);
            }
            below += in_bucket;
        }
        BUCKET_BOUNDS.last().copied()
    }
}

/// A count as a number that can be divided; exact below 2^53.
pub fn as_f64(count: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts stay far below 2^53 in any lake"
    )]
    let number = count as f64;
    number
}

/// A value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// What was added.
    Counter(f64),
    /// What it is.
    Gauge(f64),
    /// What was observed.
    Histogram(Box<Histogram>),
}

impl Sample {
    /// Takes a later value in: counters and histograms add up, of gauges the later one counts.
    pub fn merge(&mut self, later: &Self) {
        match (self, later) {
            (Self::Counter(sum), Self::Counter(more)) => *sum += more,
            (Self::Histogram(all), Self::Histogram(more)) => all.merge(more),
            (value, later) => *value = later.clone(),
        }
    }

    /// The value as one number: of a histogram the sum.
    pub fn number(&self) -> f64 {
        match self {
            Self::Counter(number) | Self::Gauge(number) => *number,
            Self::Histogram(histogram) => histogram.sum,
        }
    }
}

/// What happened to a series within an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPoint {
    /// The series.
    pub series: MetricSeries,
    /// Start of the interval, UTC seconds.
    pub start_s: i64,
    /// Length of the interval, seconds.
    pub length_s: i64,
    /// The value.
    pub sample: Sample,
}

/// A command that worked on the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunCommand {
    /// An ingest, also as `repair` or `jobs resume`.
    Ingest,
    /// An aggregation.
    Aggregate,
    /// A validation.
    Validate,
}

impl RunCommand {
    /// Every command.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Aggregate, Self::Validate];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Aggregate => "aggregate",
            Self::Validate => "validate",
        }
    }
}

impl fmt::Display for RunCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RunCommand {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        let found = Self::ALL
            .into_iter()
            .find(|command| command.as_str() == text);
        found.ok_or_else(|| UnknownMetric(text.to_owned()))
    }
}

/// One run of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Names the run: no two have the same.
    pub key: String,
    /// The command.
    pub command: RunCommand,
    /// Its dataset, where it is about one.
    pub dataset: Option<Dataset>,
    /// Its job, where it has one.
    pub job: Option<JobId>,
    /// When it began, UTC microseconds.
    pub started_us: i64,
    /// When it was last known to be at work, UTC microseconds.
    pub last_seen_us: i64,
    /// How it ended; `None` while it is at work, and for ever when its process died.
    pub outcome: Option<String>,
    /// Rows received, derived bars made or minutes checked.
    pub rows: u64,
    /// What failed.
    pub failures: u64,
}

/// How the outcome of a run is named that ended with nothing left to do.
pub const COMPLETED: &str = "completed";

/// How the outcome of a run is named that failed.
pub const FAILED: &str = "failed";

/// How runs end.
pub const OUTCOMES: [&str; 6] = [
    COMPLETED,
    "partial",
    "findings",
    "try_later",
    "interrupted",
    FAILED,
];

impl RunRecord {
    /// How long it took, or takes until now, seconds.
    pub fn seconds(&self) -> f64 {
        let elapsed_us = self.last_seen_us.saturating_sub(self.started_us);
        as_f64(u64::try_from(elapsed_us).unwrap_or(0)) / 1e6
    }

    /// Rows a second.
    pub fn rows_per_second(&self) -> Option<f64> {
        let seconds = self.seconds();
        (seconds > 0.0).then(|| as_f64(self.rows) / seconds)
    }
}

/// How often an event was published, or handed to one subscriber.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCount {
    /// The event's name.
    pub event: String,
    /// The subscriber's name; empty for what was published.
    pub subscriber: String,
    /// Events published, or delivered.
    pub delivered: u64,
    /// Events at which the subscriber panicked.
    pub failed: u64,
    /// The longest that it took for one, microseconds.
    pub slowest_us: u64,
}

/// What the lake holds of a dataset's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFrame {
    /// The dataset.
    pub dataset: Dataset,
    /// The frame.
    pub timeframe: Timeframe,
    /// Files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What is known of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetStock {
    /// The dataset.
    pub dataset: Dataset,
    /// Symbols of which anything is known.
    pub symbols: u64,
    /// Regular minutes that are there, of the sessions that were asked for.
    pub minutes_present: u64,
    /// Regular minutes that these sessions have.
    pub minutes_expected: u64,
    /// Start of the newest bar, UTC microseconds; `None` without any.
    pub newest_bar_us: Option<i64>,
    /// A symbol that has it: it tells which market's calendar counts.
    pub newest_symbol: Option<Symbol>,
    /// Rows in quarantine.
    pub quarantined_rows: u64,
    /// Open findings of the severities info, warning, error.
    pub open_findings: [u64; 3],
}

/// When a command was at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRuns {
    /// The command.
    pub command: RunCommand,
    /// When it was last at work, UTC microseconds.
    pub last_seen_us: i64,
    /// When it last ended with nothing left to do, UTC microseconds.
    pub last_success_us: Option<i64>,
}

/// What is stored, counted at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stock {
    /// By dataset and frame.
    pub frames: Vec<StoredFrame>,
    /// By dataset.
    pub datasets: Vec<DatasetStock>,
    /// By command.
    pub runs: Vec<LastRuns>,
    /// Room that is left on the disk, where that can be told.
    pub free_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_buckets_are_those_that_every_database_counts_by() {
        // Stored counts name their bucket by its number: with other bounds old measurements would mean something else.
        let decade = [1.0, 1.5, 2.2, 3.3, 4.7, 6.8];
        let bounds = (-3..4).flat_map(|power| decade.map(|step| step * 10_f64.powi(power)));
        let bounds: Vec<f64> = bounds.chain([10_000.0]).collect();
        assert_eq!(bounds.len(), BUCKET_BOUNDS.len());
        for (bound, expected) in BUCKET_BOUNDS.iter().zip(bounds) {
            assert!((bound / expected - 1.0).abs() < 1e-9, "{bound} {expected}");
        }
    }

    #[test]
    fn names_follow_the_conventions_and_read_back() {
        for metric in Metric::ALL {
            let text = metric.text();
            assert!(text.name.starts_with("marketpipe_"), "{}", text.name);
            assert_eq!(
                text.name.ends_with("_total"),
                text.kind == MetricKind::Counter,
                "{}",
                text.name
            );
            assert!(text.help.ends_with('.'));
            assert_eq!(text.name.parse(), Ok(metric));
            let short = text.name.strip_prefix("marketpipe_").unwrap();
            assert_eq!(short.trim_end_matches("_total").parse(), Ok(metric));
        }
        assert_eq!(
            "rows".parse::<Metric>(),
            Err(UnknownMetric("rows".to_owned()))
        );
        let mut names = Metric::ALL.map(Metric::name).to_vec();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
    }

    #[test]
    fn quantiles_lie_within_a_bucket_of_the_true_ones() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for millis in 1..=1000 {
            histogram.observe(f64::from(millis) / 1000.0);
        }
        for (quantile, truth) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99), (0.1, 0.1)] {
            let found = histogram.quantile(quantile).unwrap();
            assert!((found / truth - 1.0).abs() < 0.05, "{quantile}: {found}");
        }
        assert_eq!(histogram.count(), 1000);
        let mut slow = Histogram::default();
        slow.observe(1e6);
        assert_eq!(slow.quantile(0.5), Some(10_000.0));
        // A bound belongs to the bucket below it.
        let mut exact = Histogram::default();
        exact.observe(0.001);
        assert_eq!(exact.counts[0], 1);
        exact.merge(&slow);
        assert_eq!((exact.count(), exact.sum), (2, 1e6 + 0.001));
    }

    #[test]
    fn counters_add_up_and_of_gauges_the_later_counts() {
        let mut counter = Sample::Counter(1.0);
        counter.merge(&Sample::Counter(2.0));
        assert_eq!(counter, Sample::Counter(3.0));
        let mut gauge = Sample::Gauge(5.0);
        gauge.merge(&Sample::Gauge(2.0));
        assert_eq!(gauge.number(), 2.0);
        let series = Metric::Failures.of(&["alpaca/sip/raw", "network"]);
        assert_eq!(series.label("kind"), Some("network"));
        assert_eq!(series.label("symbol"), None);
    }
}
