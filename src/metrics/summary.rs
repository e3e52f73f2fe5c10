//! The figures of a morning: what runs did within a window beside what is usual, and what is stored now.

use std::collections::BTreeMap;

use super::gauges::gauges_of;
use super::trends::{Trend, Window, last_before_end, sum_within};
use crate::domain::instant::SECOND_US;
use crate::domain::metric::{
    Keeping, Metric, MetricPoint, MetricSeries, RunCommand, RunRecord, Sample, as_f64,
};
use crate::domain::ports::{MetricsRepository, StoreError};

/// Runs that rates are made of at most.
const MOST_RUNS: u32 = 100_000;

/// What a figure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FigureGroup {
    /// How old and how complete the bars are.
    Data,
    /// How runs ended and how fast they were.
    Runs,
    /// Rows by what became of them.
    Rows,
    /// The provider.
    Requests,
    /// What failed.
    Failures,
    /// The files.
    Lake,
}

impl FigureGroup {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Runs => "runs",
            Self::Rows => "rows",
            Self::Requests => "requests",
            Self::Failures => "failures",
            Self::Lake => "lake",
        }
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is about.
    pub group: FigureGroup,
    /// Its name within the group.
    pub name: &'static str,
    /// Of what: the values of its labels, separated by blanks.
    pub of: String,
    /// Its unit.
    pub unit: &'static str,
    /// Its value and what is usual.
    pub trend: Trend,
}

/// Makes the figures of the `length_s` seconds before `now_us`, UTC microseconds, by group and name.
///
/// Counters add up within the window. The usual value is the median of the up to four windows before it; of what is
/// stored it is the value at the window's start.
///
/// # Errors
/// When the history cannot be read.
pub fn list_figures(
    repository: &dyn MetricsRepository,
    length_s: i64,
    now_us: i64,
) -> Result<Vec<Figure>, StoreError> {
    let window = Window::up_to(now_us.div_euclid(SECOND_US), length_s);
    let runs = repository.list_runs(MOST_RUNS)?;
    let known_since_s = runs
        .iter()
        .map(|run| run.started_us.div_euclid(SECOND_US))
        .min();
    let mut figures = Figures {
        repository,
        window,
        known_since_s: known_since_s.unwrap_or(i64::MAX),
        figures: Vec::new(),
    };
    figures.add_stock(&gauges_of(&repository.take_stock()?, now_us))?;
    figures.add_runs(&runs)?;
    figures.add_requests()?;
    for (metric, group, name) in COUNTED {
        figures.add_counter(metric, group, name)?;
    }
    figures.add_failures()?;
    let mut figures = figures.figures;
    // A stable sort: within a group in the order of above.
    figures.sort_by_key(|figure| figure.group);
    Ok(figures)
}

/// Counters that are figures as they are.
const COUNTED: [(Metric, FigureGroup, &str); 14] = [
    (Metric::RowsReceived, FigureGroup::Rows, "received"),
    (Metric::RowsNew, FigureGroup::Rows, "new"),
    (Metric::RowsRevised, FigureGroup::Rows, "revised"),
    (Metric::RowsQuarantined, FigureGroup::Rows, "quarantined"),
    (Metric::DerivedRows, FigureGroup::Rows, "derived"),
    (Metric::ValidatedBars, FigureGroup::Rows, "validated"),
    (Metric::EmptySessions, FigureGroup::Rows, "empty_sessions"),
    (Metric::Requests, FigureGroup::Requests, "sent"),
    (Metric::Retries, FigureGroup::Requests, "retries"),
    (Metric::ReceivedBytes, FigureGroup::Requests, "received"),
    (
        Metric::RateLimitWaits,
        FigureGroup::Requests,
        "rate_limit_waits",
    ),
    (
        Metric::RateLimitWaitSeconds,
        FigureGroup::Requests,
        "rate_limit_waited",
    ),
    (
        Metric::CircuitOpenings,
        FigureGroup::Requests,
        "circuit_openings",
    ),
    (
        Metric::StoreLockWaits,
        FigureGroup::Runs,
        "store_lock_waits",
    ),
];

/// Quantiles of the durations of requests.
const QUANTILES: [(&str, f64); 3] = [
    ("latency_p50", 0.5),
    ("latency_p95", 0.95),
    ("latency_p99", 0.99),
];

struct Figures<'a> {
    repository: &'a dyn MetricsRepository,
    window: Window,
    known_since_s: i64,
    figures: Vec<Figure>,
}

impl Figures<'_> {
    fn points(&self, metric: Metric) -> Result<Vec<MetricPoint>, StoreError> {
        let all = self.window.with_usual();
        self.repository.list_points(metric, all.start_s, all.end_s)
    }

    /// Also those long ago: a gauge is what it was last, whenever that was.
    fn all_points(&self, metric: Metric) -> Result<Vec<MetricPoint>, StoreError> {
        let end_s = self.window.end_s;
        self.repository.list_points(metric, i64::MIN, end_s)
    }

    fn push(
        &mut self,
        group: FigureGroup,
        name: &'static str,
        of: String,
        unit: &'static str,
        trend: Trend,
    ) {
        self.figures.push(Figure {
            group,
            name,
            of,
            unit,
            trend,
        });
    }

    /// One figure for each `of` that points have.
    fn add(
        &mut self,
        points: &[MetricPoint],
        (group, name, unit): (FigureGroup, &'static str, &'static str),
        of: impl Fn(&MetricSeries) -> Option<String>,
        measure: impl Fn(Option<Sample>) -> Option<f64>,
    ) {
        let mut by_place: BTreeMap<String, Vec<&MetricPoint>> = BTreeMap::new();
        for point in points {
            if let Some(of) = of(&point.series) {
                by_place.entry(of).or_default().push(point);
            }
        }
        for (of, points) in by_place {
            let trend = Trend::of(self.window, self.known_since_s, |window| {
                measure(sum_within(&points, window))
            });
            self.push(group, name, of, unit, trend);
        }
    }

    fn add_counter(
        &mut self,
        metric: Metric,
        group: FigureGroup,
        name: &'static str,
    ) -> Result<(), StoreError> {
        let points = self.points(metric)?;
        let of = |series: &MetricSeries| Some(series.values.join(" "));
        self.add(&points, (group, name, metric.text().unit), of, counted);
        Ok(())
    }

    fn add_requests(&mut self) -> Result<(), StoreError> {
        let points = self.points(Metric::RequestSeconds)?;
        let host = |series: &MetricSeries| series.label("host").map(str::to_owned);
        for (name, quantile) in QUANTILES {
            let about = (FigureGroup::Requests, name, "seconds");
            self.add(&points, about, host, |sample| match sample? {
                Sample::Histogram(durations) => durations.quantile(quantile),
                _ => None,
            });
        }
        // By host and result, without those that went well.
        let failed = |series: &MetricSeries| {
            let result = series.label("result").filter(|result| *result != "ok")?;
            Some(format!("{} {result}", series.label("host")?))
        };
        let about = (FigureGroup::Requests, "failed", "requests");
        self.add(&points, about, failed, |sample| {
            Some(sample.map_or(0.0, |sample| match sample {
                Sample::Histogram(durations) => as_f64(durations.count()),
                other => other.number(),
            }))
        });
        Ok(())
    }

    fn add_failures(&mut self) -> Result<(), StoreError> {
        let points = self.points(Metric::Failures)?;
        let of = |series: &MetricSeries| Some(series.values.join(" "));
        let about = (FigureGroup::Failures, "failed", "failures");
        self.add(&points, about, of, counted);
        Ok(())
    }

    fn add_runs(&mut self, runs: &[RunRecord]) -> Result<(), StoreError> {
        let points = self.points(Metric::Runs)?;
        let of = |series: &MetricSeries| Some(series.values.join(" "));
        self.add(&points, (FigureGroup::Runs, "runs", "runs"), of, counted);
        for command in RunCommand::ALL {
            let runs: Vec<&RunRecord> = runs
                .iter()
                .filter(|run| run.command == command && run.rows > 0)
                .collect();
            let trend = Trend::of(self.window, self.known_since_s, |window| {
                rows_per_second(&runs, window)
            });
            if trend.value.is_some() {
                let of = command.as_str().to_owned();
                self.push(FigureGroup::Runs, "speed", of, "rows/s", trend);
            }
        }
        Ok(())
    }

    fn add_stock(&mut self, gauges: &[(MetricSeries, f64)]) -> Result<(), StoreError> {
        let mut courses: BTreeMap<Metric, Vec<MetricPoint>> = BTreeMap::new();
        for (series, value) in gauges {
            let Some((group, name)) = place_of(series.metric) else {
                continue;
            };
            let is_kept = series.metric.text().keeping == Keeping::History;
            if is_kept && !courses.contains_key(&series.metric) {
                courses.insert(series.metric, self.all_points(series.metric)?);
            }
            let points = courses.get(&series.metric).into_iter().flatten();
            let points: Vec<&MetricPoint> =
                points.filter(|point| point.series == *series).collect();
            let start = Window {
                start_s: i64::MIN,
                end_s: self.window.start_s,
            };
            let parts = self.window.parts().into_iter();
            let trend = Trend {
                value: Some(*value),
                usual: last_before_end(&points, start),
                course: parts.map(|part| last_before_end(&points, part)).collect(),
            };
            let (of, unit) = (series.values.join(" "), series.metric.text().unit);
            self.push(group, name, of, unit, trend);
        }
        Ok(())
    }
}

/// Where a gauge stands among the figures; `None` for those that say nothing to people.
fn place_of(gauge: Metric) -> Option<(FigureGroup, &'static str)> {
    let place = match gauge {
        Metric::StoredRows => (FigureGroup::Lake, "rows"),
        Metric::StoredBytes => (FigureGroup::Lake, "bytes"),
        Metric::StoredFiles => (FigureGroup::Lake, "files"),
        Metric::FreeBytes => (FigureGroup::Lake, "disk_free"),
        Metric::Symbols => (FigureGroup::Data, "symbols"),
        Metric::Completeness => (FigureGroup::Data, "completeness"),
        Metric::NewestBar => (FigureGroup::Data, "newest_bar"),
        Metric::SessionsBehind => (FigureGroup::Data, "sessions_behind"),
        Metric::QuarantineRows => (FigureGroup::Data, "quarantine"),
        Metric::OpenFindings => (FigureGroup::Data, "open_findings"),
        _ => return None,
    };
    Some(place)
}

/// What a counter came to: nothing heard is nothing counted.
fn counted(sample: Option<Sample>) -> Option<f64> {
    Some(sample.map_or(0.0, |sample| sample.number()))
}

/// Rows of the runs that began within the window by the time that they took.
fn rows_per_second(runs: &[&RunRecord], window: Window) -> Option<f64> {
    let began_within = |run: &&&RunRecord| window.contains(run.started_us.div_euclid(SECOND_US));
    let (mut rows, mut seconds) = (0, 0.0);
    for run in runs.iter().filter(began_within) {
        rows += run.rows;
        seconds += run.seconds();
    }
    (seconds > 0.0).then(|| as_f64(rows) / seconds)
}

#[cfg(test)]
mod tests;
