//! What is measured: names, kinds, units and labels of every metric, with the values that are kept of it, the runs that
//! were measured and what is stored. Pure; the names are those of the Prometheus exposition, everywhere.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use run::{COMPLETED, FAILED, LastRuns, OUTCOMES, RunCommand, RunRecord};
pub use sample::{BUCKET_BOUNDS, Histogram, MetricPoint, Sample, as_f64};
pub use stock::{DatasetStock, EventCount, Stock, StoredFrame};

mod run;
mod sample;
mod stock;

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
                "Regular minutes that are stored, of those from each symbol's first to last session asked for.",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_and_read_back() {
        for (place, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, place, "{metric} is where it was declared");
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
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
    }
}
