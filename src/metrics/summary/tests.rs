//! Claims of the figures: what a window came to beside what is usual, and nothing that was not measured.

use super::*;
use crate::domain::Timeframe;
use crate::domain::metric::{Histogram, Stock, StoredFrame};
use crate::metrics::fakes::History;

/// Length of the windows: the last one is `[4000, 5000)`.
const LENGTH_S: i64 = 1_000;

/// 4999.5 s after 1970.
const NOW_US: i64 = 4_999_500_000;

const DATASET: &str = "alpaca/sip/raw";

/// The figures of the last window.
struct Found(Vec<Figure>);

impl Found {
    fn of(history: &History) -> Self {
        Self(list_figures(history, LENGTH_S, NOW_US).unwrap())
    }

    #[track_caller]
    fn get(&self, group: FigureGroup, name: &str, of: &str) -> &Figure {
        self.find(group, name, of)
            .unwrap_or_else(|| panic!("there is no {group:?} {name} {of}: {:#?}", self.0))
    }

    fn find(&self, group: FigureGroup, name: &str, of: &str) -> Option<&Figure> {
        let mut figures = self.0.iter();
        figures.find(|figure| (figure.group, figure.name, figure.of.as_str()) == (group, name, of))
    }

    /// Value and usual value.
    #[track_caller]
    fn values(&self, group: FigureGroup, name: &str, of: &str) -> (Option<f64>, Option<f64>) {
        let trend = &self.get(group, name, of).trend;
        (trend.value, trend.usual)
    }
}

/// A history that began with a run at a second.
fn known_since(second: i64) -> History {
    let history = History::default();
    history.put_run(RunCommand::Ingest, second, 0, 0);
    history
}

fn counters<const N: usize>(points: [(i64, f64); N]) -> [(i64, Sample); N] {
    points.map(|(start_s, value)| (start_s, Sample::Counter(value)))
}

fn durations(seconds: &[f64]) -> Sample {
    let mut histogram = Histogram::default();
    for &seconds in seconds {
        histogram.observe(seconds);
    }
    Sample::Histogram(Box::new(histogram))
}

fn frame(rows: u64) -> StoredFrame {
    StoredFrame {
        dataset: DATASET.parse().unwrap(),
        timeframe: Timeframe::M1,
        files: 3,
        rows,
        bytes: 0,
    }
}

/// What is stored: one frame.
fn stock(rows: u64) -> Stock {
    Stock {
        frames: vec![frame(rows)],
        ..Stock::default()
    }
}

#[test]
fn counters_add_up_and_the_median_of_the_windows_before_is_usual() {
    let history = known_since(0);
    let of_windows = [
        (0, 70.0),
        (990, 1.0),
        // Nothing from 1000 on is nothing counted.
        (2_000, 5.0),
        (3_999, 9.0),
        (4_000, 100.0),
        (4_500, 20.0),
        (4_990, 3.0),
    ];
    history.put(&Metric::RowsNew.of(&[DATASET]), counters(of_windows));
    history.put(&Metric::RowsNew.of(&["a/b/c"]), counters([(3_500, 4.0)]));
    let found = Found::of(&history);
    let new = found.get(FigureGroup::Rows, "new", DATASET);
    assert_eq!(new.unit, "rows");
    // The median of 71, 0, 5 and 9.
    assert_eq!((new.trend.value, new.trend.usual), (Some(123.0), Some(7.0)));
    let course: Vec<f64> = new.trend.course.iter().copied().flatten().collect();
    assert_eq!((course.len(), course[0], course[27]), (28, 100.0, 3.0));
    assert_eq!(course.iter().sum::<f64>(), 123.0);
    // What happened before and not in the window came to nothing.
    assert_eq!(
        found.values(FigureGroup::Rows, "new", "a/b/c"),
        (Some(0.0), Some(0.0))
    );
    assert_eq!(found.find(FigureGroup::Rows, "received", DATASET), None);
}

#[test]
fn every_counter_that_is_a_figure_has_its_place_and_unit() {
    let history = known_since(0);
    for (metric, ..) in COUNTED {
        let labels = vec!["x"; metric.text().labels.len()];
        history.put(&metric.of(&labels), counters([(4_500, 2.0)]));
    }
    let found = Found::of(&history);
    for (metric, group, name) in COUNTED {
        let labels = vec!["x"; metric.text().labels.len()];
        let figure = found.get(group, name, &labels.join(" "));
        assert_eq!(figure.trend.value, Some(2.0), "{metric}");
        assert_eq!(figure.unit, metric.text().unit, "{metric}");
    }
    let places: Vec<_> = found
        .0
        .iter()
        .map(|figure| (figure.group, figure.name))
        .collect();
    let mut distinct = places.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), places.len(), "{places:?}");
    assert!(found.0.is_sorted_by_key(|figure| figure.group));
}

#[test]
fn latencies_are_those_of_all_results_of_a_host() {
    let history = known_since(0);
    let of = |result: &str| Metric::RequestSeconds.of(&["data.alpaca.markets", result]);
    // Three of four requests lie in the bucket up to 0.1 s, in two series and two intervals.
    history.put(
        &of("ok"),
        [
            (4_100, durations(&[0.09])),
            (4_200, durations(&[0.09])),
            (3_500, durations(&[2.0])),
            (1_500, durations(&[4.0])),
        ],
    );
    history.put(
        &of("timed_out"),
        [
            (4_900, durations(&[0.09, 30.0])),
            (3_900, durations(&[2.0])),
        ],
    );
    history.put(
        &Metric::RequestSeconds.of(&["other", "ok"]),
        [(4_100, durations(&[1.2]))],
    );
    let found = Found::of(&history);
    let place = "data.alpaca.markets";
    let (value, usual) = found.values(FigureGroup::Requests, "latency_p50", place);
    let within = |value: Option<f64>, low: f64, high: f64| {
        let value = value.unwrap();
        assert!(
            low < value && value <= high,
            "{value} is not in {low}..{high}"
        );
    };
    within(value, 0.068, 0.1);
    // Windows without a request say nothing: the median of about 2 and about 4 seconds.
    within(usual, (1.5 + 3.3) / 2.0, (2.2 + 4.7) / 2.0);
    let (value, _) = found.values(FigureGroup::Requests, "latency_p99", place);
    within(value, 22.0, 33.0);
    let median = found.get(FigureGroup::Requests, "latency_p50", place);
    let course = &median.trend.course;
    assert_eq!(
        course.iter().flatten().count(),
        3,
        "one part for each interval"
    );
    let (value, usual) = found.values(FigureGroup::Requests, "latency_p95", "other");
    within(value, 1.0, 1.5);
    assert_eq!(usual, None);
}

#[test]
fn failed_requests_are_told_by_host_and_result() {
    let history = known_since(0);
    let of = |host: &str, result: &str| Metric::RequestSeconds.of(&[host, result]);
    history.put(&of("a", "ok"), [(4_100, durations(&[0.1; 90]))]);
    history.put(
        &of("a", "timed_out"),
        [(4_100, durations(&[30.0; 2])), (4_900, durations(&[30.0]))],
    );
    history.put(&of("a", "rate_limited"), [(3_100, durations(&[0.1; 8]))]);
    history.put(&of("b", "timed_out"), [(4_300, durations(&[30.0; 5]))]);
    let found = Found::of(&history);
    let failed = |of| found.values(FigureGroup::Requests, "failed", of);
    assert_eq!(failed("a timed_out"), (Some(3.0), Some(0.0)));
    // In one of four windows before.
    assert_eq!(failed("a rate_limited"), (Some(0.0), Some(0.0)));
    assert_eq!(failed("b timed_out"), (Some(5.0), Some(0.0)));
    assert_eq!(found.find(FigureGroup::Requests, "failed", "a ok"), None);
}

#[test]
fn failures_and_outcomes_are_counted_by_their_labels() {
    let history = known_since(2_000);
    history.put(
        &Metric::Failures.of(&[DATASET, "timed_out"]),
        counters([(4_000, 2.0), (2_500, 4.0)]),
    );
    history.put(
        &Metric::Runs.of(&["ingest", "partial"]),
        counters([(4_000, 1.0)]),
    );
    let found = Found::of(&history);
    let of = format!("{DATASET} timed_out");
    // Two windows before are known, with 4 and 0.
    let failures = found.values(FigureGroup::Failures, "failed", &of);
    assert_eq!(failures, (Some(2.0), Some(2.0)));
    let runs = found.values(FigureGroup::Runs, "runs", "ingest partial");
    assert_eq!(runs, (Some(1.0), Some(0.0)));
}

#[test]
fn speed_is_all_rows_by_all_the_time_of_runs_that_had_any() {
    let history = known_since(0);
    history.put_run(RunCommand::Ingest, 4_000, 10, 1_000);
    history.put_run(RunCommand::Ingest, 4_999, 30, 200);
    // Had nothing to do.
    history.put_run(RunCommand::Ingest, 4_500, 600, 0);
    history.put_run(RunCommand::Ingest, 3_999, 10, 50);
    history.put_run(RunCommand::Ingest, 1_200, 10, 150);
    history.put_run(RunCommand::Validate, 4_200, 2, 100);
    // Not in this window.
    history.put_run(RunCommand::Aggregate, 3_200, 2, 100);
    let found = Found::of(&history);
    let speed = |of| found.values(FigureGroup::Runs, "speed", of);
    // Usual is the median of 5 and 15: no run, no speed.
    assert_eq!(speed("ingest"), (Some(30.0), Some(10.0)));
    assert_eq!(speed("validate"), (Some(50.0), None));
    assert_eq!(found.find(FigureGroup::Runs, "speed", "aggregate"), None);
}

#[test]
fn of_what_is_stored_the_value_at_the_start_is_usual_and_each_lasts_until_the_next() {
    let history = known_since(0);
    history.kept().stock = stock(500);
    let rows = Metric::StoredRows.of(&[DATASET, "1m"]);
    let noted = [
        (1_200, 100.0),
        (3_990, 200.0),
        (4_000, 300.0),
        (4_600, 450.0),
    ];
    history.put(&rows, noted.map(|(at_s, rows)| (at_s, Sample::Gauge(rows))));
    let other = Metric::StoredRows.of(&[DATASET, "1d"]);
    history.put(&other, [(3_995, Sample::Gauge(7.0))]);
    let found = Found::of(&history);
    let of = format!("{DATASET} 1m");
    let stored = found.get(FigureGroup::Lake, "rows", &of);
    assert_eq!(
        (stored.trend.value, stored.trend.usual),
        (Some(500.0), Some(200.0))
    );
    let course: Vec<f64> = stored.trend.course.iter().copied().flatten().collect();
    assert_eq!(course.len(), 28, "it is known all the time");
    assert_eq!(
        [course[0], course[15], course[16], course[17]],
        [300.0, 300.0, 450.0, 450.0]
    );
    // Of what it is now alone there is no course.
    let files = found.get(FigureGroup::Lake, "files", &of);
    assert_eq!((files.trend.value, files.trend.usual), (Some(3.0), None));
    assert!(files.trend.course.iter().all(Option::is_none));
    // A frame that is gone is no figure.
    let gone = format!("{DATASET} 1d");
    assert_eq!(found.find(FigureGroup::Lake, "rows", &gone), None);
}

#[test]
fn what_was_stored_long_ago_and_never_since_is_still_usual() {
    let history = known_since(-90_000);
    history.kept().stock = stock(500);
    let rows = Metric::StoredRows.of(&[DATASET, "1m"]);
    history.put(&rows, [(-80_000, Sample::Gauge(480.0))]);
    let of = format!("{DATASET} 1m");
    let found = Found::of(&history);
    let stored = found.get(FigureGroup::Lake, "rows", &of);
    assert_eq!(stored.trend.usual, Some(480.0));
    assert_eq!(stored.trend.course, [Some(480.0); 28]);
}

#[test]
fn nothing_is_invented_without_a_history() {
    let history = History::default();
    assert_eq!(Found::of(&history).0, []);
    // Runs without a measurement are none either.
    assert_eq!(Found::of(&known_since(0)).0, []);
    history.kept().stock = stock(500);
    let found = Found::of(&history);
    assert_eq!(found.0.len(), 3, "rows, bytes, files");
    for figure in found.0 {
        assert_eq!(
            (figure.group, figure.trend.usual),
            (FigureGroup::Lake, None)
        );
        assert!(figure.trend.value.is_some());
        assert!(figure.trend.course.iter().all(Option::is_none));
    }
}

#[test]
fn a_window_that_begins_before_anything_is_known_has_no_usual_value() {
    for (since_s, usual) in [
        (3_000, Some(6.0)),
        (3_001, None),
        (4_000, None),
        (4_200, None),
        // Of two windows.
        (2_000, Some(3.0)),
    ] {
        let history = known_since(since_s);
        let new = Metric::RowsNew.of(&[DATASET]);
        history.put(&new, counters([(3_500, 6.0), (4_300, 1.0)]));
        let found = Found::of(&history);
        assert_eq!(
            found.values(FigureGroup::Rows, "new", DATASET),
            (Some(1.0), usual),
            "known since {since_s}"
        );
    }
}

#[test]
fn no_metric_is_read_twice_however_many_series_it_has() {
    let history = known_since(0);
    let frames = Timeframe::ALL.map(|timeframe| StoredFrame {
        timeframe,
        ..frame(500)
    });
    history.kept().stock = Stock {
        frames: frames.to_vec(),
        ..Stock::default()
    };
    Found::of(&history);
    let asked = std::mem::take(&mut history.kept().asked);
    let mut distinct = asked.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), asked.len(), "{asked:?}");
}

#[test]
fn a_history_that_cannot_be_read_is_an_error() {
    let history = known_since(0);
    history.kept().is_broken = true;
    let failed = list_figures(&history, LENGTH_S, NOW_US);
    assert_eq!(failed.unwrap_err().to_string(), "somebody else writes");
}
