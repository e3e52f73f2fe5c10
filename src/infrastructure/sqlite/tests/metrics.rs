//! Claims of what is kept of measurements.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::instant::{DAY_S, HOUR_S, SECOND_US};
use crate::domain::metric::{
    BUCKET_BOUNDS, COMPLETED, EventCount, Histogram, Metric, MetricPoint, MetricSeries, RunCommand,
    RunRecord, Sample,
};
use crate::domain::ports::{MetricsBatch, MetricsRepository, Retention};

/// The start of an hour.
const START_S: i64 = 472_223 * HOUR_S;

const KEPT_FOR: Retention = Retention {
    raw_days: 30,
    hourly_days: 365,
};

fn metrics(database: &Database) -> SqliteMetricsRepository {
    SqliteMetricsRepository::new(database.clone())
}

fn rows_new() -> MetricSeries {
    Metric::RowsNew.of(&["alpaca/sip/raw"])
}

fn stored_rows() -> MetricSeries {
    Metric::StoredRows.of(&["alpaca/sip/raw", "1m"])
}

fn latencies() -> MetricSeries {
    Metric::RequestSeconds.of(&["data.alpaca.markets", "ok"])
}

fn durations(seconds: &[f64]) -> Sample {
    let mut histogram = Histogram::default();
    for &seconds in seconds {
        histogram.observe(seconds);
    }
    Sample::Histogram(Box::new(histogram))
}

/// A point of ten seconds.
fn point(series: MetricSeries, start_s: i64, sample: Sample) -> MetricPoint {
    MetricPoint {
        series,
        start_s,
        length_s: 10,
        sample,
    }
}

fn hour(series: MetricSeries, start_s: i64, sample: Sample) -> MetricPoint {
    MetricPoint {
        length_s: HOUR_S,
        ..point(series, start_s, sample)
    }
}

fn batch(points: impl IntoIterator<Item = MetricPoint>) -> MetricsBatch {
    MetricsBatch {
        points: points.into_iter().collect(),
        ..MetricsBatch::default()
    }
}

fn run(key: &str, started_us: i64) -> RunRecord {
    RunRecord {
        key: key.into(),
        command: RunCommand::Ingest,
        dataset: Some(dataset()),
        job: Some(JobId(3)),
        started_us,
        last_seen_us: started_us + 5,
        outcome: None,
        rows: 7,
        failures: 1,
    }
}

fn runs(runs: impl IntoIterator<Item = RunRecord>) -> MetricsBatch {
    MetricsBatch {
        runs: runs.into_iter().collect(),
        ..MetricsBatch::default()
    }
}

fn event(subscriber: &str, (delivered, failed, slowest_us): (u64, u64, u64)) -> EventCount {
    EventCount {
        event: "PageFetched".into(),
        subscriber: subscriber.into(),
        delivered,
        failed,
        slowest_us,
    }
}

fn events(events: impl IntoIterator<Item = EventCount>) -> MetricsBatch {
    MetricsBatch {
        events: events.into_iter().collect(),
        ..MetricsBatch::default()
    }
}

/// All points of a metric.
fn course(metrics: &SqliteMetricsRepository, metric: Metric) -> Vec<MetricPoint> {
    metrics.list_points(metric, i64::MIN, i64::MAX).unwrap()
}

/// The instant so many days after a second, UTC microseconds.
fn days_after(second: i64, days: i64) -> i64 {
    (second + days * DAY_S) * SECOND_US
}

#[test]
fn totals_add_up_over_batches_and_of_gauges_the_later_counts() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let batches = [
        batch([
            point(rows_new(), START_S, Sample::Counter(2.0)),
            point(rows_new(), START_S + 10, Sample::Counter(3.0)),
            point(stored_rows(), START_S, Sample::Gauge(100.0)),
            point(stored_rows(), START_S + 10, Sample::Gauge(300.0)),
            point(latencies(), START_S, durations(&[0.25, 0.5])),
        ]),
        batch([
            point(rows_new(), START_S + 20, Sample::Counter(0.5)),
            point(stored_rows(), START_S + 20, Sample::Gauge(200.0)),
            point(latencies(), START_S + 20, durations(&[0.5, 8.0])),
        ]),
    ];
    for batch in &batches {
        metrics.add(batch, 1).unwrap();
    }
    // By metric and labels.
    assert_eq!(
        metrics.list_totals().unwrap(),
        [
            (rows_new(), Sample::Counter(5.5)),
            (latencies(), durations(&[0.25, 0.5, 0.5, 8.0])),
            (stored_rows(), Sample::Gauge(200.0)),
        ]
    );
    assert_eq!(
        course(&metrics, Metric::StoredRows),
        [
            point(stored_rows(), START_S, Sample::Gauge(100.0)),
            point(stored_rows(), START_S + 10, Sample::Gauge(300.0)),
            point(stored_rows(), START_S + 20, Sample::Gauge(200.0)),
        ]
    );
}

#[test]
fn points_of_the_same_interval_add_up_whichever_process_they_come_from() {
    let (_folder, first) = database();
    let second = Database::open(first.path()).unwrap();
    for (database, rows, stored) in [
        (&first, 2.0, 10.0),
        (&second, 3.0, 20.0),
        (&first, 4.0, 15.0),
    ] {
        let points = [
            point(rows_new(), START_S, Sample::Counter(rows)),
            point(stored_rows(), START_S, Sample::Gauge(stored)),
            point(latencies(), START_S, durations(&[rows])),
        ];
        metrics(database).add(&batch(points), 1).unwrap();
    }
    for database in [&first, &second] {
        let metrics = metrics(database);
        let rows = point(rows_new(), START_S, Sample::Counter(9.0));
        assert_eq!(course(&metrics, Metric::RowsNew), [rows]);
        let stored = point(stored_rows(), START_S, Sample::Gauge(15.0));
        assert_eq!(course(&metrics, Metric::StoredRows), [stored]);
        let latencies = point(latencies(), START_S, durations(&[2.0, 3.0, 4.0]));
        assert_eq!(course(&metrics, Metric::RequestSeconds), [latencies]);
    }
}

#[test]
fn handles_that_add_at_once_lose_nothing() {
    let (_folder, first) = database();
    let second = Database::open(first.path()).unwrap();
    std::thread::scope(|scope| {
        for database in [&first, &second] {
            scope.spawn(|| {
                for _ in 0..25 {
                    let mut all = batch([
                        point(rows_new(), START_S, Sample::Counter(1.0)),
                        point(latencies(), START_S, durations(&[0.5, 1e6])),
                    ]);
                    all.events.push(event("log", (2, 1, 9)));
                    metrics(database).add(&all, 1).unwrap();
                }
            });
        }
    });
    let metrics = metrics(&first);
    let rows = Sample::Counter(50.0);
    let durations = durations(&[[0.5; 50], [1e6; 50]].concat());
    assert_eq!(
        metrics.list_totals().unwrap(),
        [(rows_new(), rows.clone()), (latencies(), durations.clone())]
    );
    let expected = point(rows_new(), START_S, rows);
    assert_eq!(course(&metrics, Metric::RowsNew), [expected]);
    let expected = point(latencies(), START_S, durations);
    assert_eq!(course(&metrics, Metric::RequestSeconds), [expected]);
    let counted = event("log", (100, 50, 9));
    assert_eq!(metrics.list_event_counts().unwrap(), [counted]);
}

#[test]
fn durations_read_back_with_every_bucket_and_their_sum() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    // One in each bucket, the last one above all bounds, and one more in the first.
    let mut all: Vec<f64> = BUCKET_BOUNDS.to_vec();
    all.extend([1e-9, 12_345.678]);
    let one = durations(&all);
    metrics
        .add(&batch([point(latencies(), START_S, one.clone())]), 1)
        .unwrap();
    let Sample::Histogram(histogram) = &one else {
        panic!("{one:?}")
    };
    assert_eq!(histogram.counts[..2], [2, 1]);
    assert_eq!(histogram.counts[BUCKET_BOUNDS.len()], 1);
    let kept = point(latencies(), START_S, one.clone());
    assert_eq!(course(&metrics, Metric::RequestSeconds), [kept]);
    assert_eq!(metrics.list_totals().unwrap(), [(latencies(), one)]);
    let none = Metric::RequestSeconds.of(&["other", "ok"]);
    metrics
        .add(&batch([point(none.clone(), START_S, durations(&[]))]), 1)
        .unwrap();
    let totals = metrics.list_totals().unwrap();
    assert_eq!(totals[1], (none, durations(&[])));
}

#[test]
fn of_single_symbols_the_sum_is_kept_and_no_course() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let series = Metric::SymbolRows.of(&["alpaca/sip/raw", "AAPL"]);
    for start_s in [START_S, START_S + 10] {
        let rows = point(series.clone(), start_s, Sample::Counter(390.0));
        metrics.add(&batch([rows]), 1).unwrap();
    }
    assert_eq!(course(&metrics, Metric::SymbolRows), []);
    assert_eq!(count(&database, "metric_point"), 0);
    let total = (series, Sample::Counter(780.0));
    assert_eq!(metrics.list_totals().unwrap(), [total]);
}

#[test]
fn points_are_listed_by_time_and_series_without_the_end() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let of = |dataset: &str| Metric::RowsNew.of(&[dataset]);
    let expected = [
        point(of("a/b/c"), -10, Sample::Counter(1.0)),
        point(of("z/b/c"), -10, Sample::Counter(2.0)),
        point(of("a/b/c"), 0, Sample::Counter(3.0)),
        point(of("a/b/c"), 10, Sample::Counter(4.0)),
    ];
    let other = point(latencies(), 0, durations(&[1.0]));
    let mut shuffled = batch([3, 0, 2, 1].map(|at: usize| expected[at].clone()));
    shuffled.points.push(other);
    metrics.add(&shuffled, 1).unwrap();
    assert_eq!(course(&metrics, Metric::RowsNew), expected);
    let within = |start_s, end_s| {
        let points = metrics.list_points(Metric::RowsNew, start_s, end_s);
        points.unwrap()
    };
    assert_eq!(within(-10, 10), expected[..3]);
    assert_eq!(within(-9, 11), expected[2..]);
    assert_eq!(within(0, 0), []);
}

#[test]
fn a_handle_for_reading_keeps_nothing() {
    let (_folder, writing) = database();
    let kept = batch([point(rows_new(), START_S, Sample::Counter(1.0))]);
    metrics(&writing).add(&kept, 1).unwrap();
    let reading = Database::open_existing_read_only(writing.path());
    let reading = reading.unwrap().unwrap();
    let metrics = metrics(&reading);
    let (kind, _) = failure(&reading, metrics.add(&kept, 1));
    assert_eq!(kind, StoreErrorKind::NotWritable);
    let total = (rows_new(), Sample::Counter(1.0));
    assert_eq!(metrics.list_totals().unwrap(), [total]);
    assert_eq!(course(&metrics, Metric::RowsNew), kept.points);
    metrics.add(&MetricsBatch::default(), 1).unwrap();
}

#[test]
fn a_batch_that_fails_on_the_way_leaves_nothing() {
    let (_folder, database) = database();
    damage(&database, "DROP TABLE event_count");
    let metrics = metrics(&database);
    let mut all = batch([point(rows_new(), START_S, Sample::Counter(1.0))]);
    all.runs.push(run("a", 1));
    all.events.push(event("log", (1, 0, 1)));
    let (_, text) = failure(&database, metrics.add(&all, 1));
    assert!(text.contains("cannot keep measurements in"), "{text}");
    for table in ["metric_series", "metric_total", "metric_point", "run"] {
        assert_eq!(count(&database, table), 0, "{table}");
    }
}

#[test]
fn old_points_become_hours_with_the_same_sums() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let starts = [0, 10, 3_590, 3_600, 7_190, 7_200].map(|after_s| START_S + after_s);
    for (start_s, value) in starts.into_iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]) {
        let points = [
            point(rows_new(), start_s, Sample::Counter(value)),
            point(stored_rows(), start_s, Sample::Gauge(value)),
            point(latencies(), start_s, durations(&[value, 1e6])),
        ];
        metrics.add(&batch(points), 1).unwrap();
    }
    let totals = metrics.list_totals().unwrap();
    // In the middle of the third hour: the hour is left whole.
    let now_us = days_after(START_S + 9_000, 30);
    metrics.roll_up(KEPT_FOR, now_us).unwrap();
    let hours = [START_S, START_S + HOUR_S];
    let last = starts[5];
    assert_eq!(
        course(&metrics, Metric::RowsNew),
        [
            hour(rows_new(), hours[0], Sample::Counter(7.0)),
            hour(rows_new(), hours[1], Sample::Counter(24.0)),
            point(rows_new(), last, Sample::Counter(32.0)),
        ]
    );
    assert_eq!(
        course(&metrics, Metric::StoredRows),
        [
            hour(stored_rows(), hours[0], Sample::Gauge(4.0)),
            hour(stored_rows(), hours[1], Sample::Gauge(16.0)),
            point(stored_rows(), last, Sample::Gauge(32.0)),
        ]
    );
    assert_eq!(
        course(&metrics, Metric::RequestSeconds),
        [
            hour(
                latencies(),
                hours[0],
                durations(&[1.0, 1e6, 2.0, 1e6, 4.0, 1e6])
            ),
            hour(latencies(), hours[1], durations(&[8.0, 1e6, 16.0, 1e6])),
            point(latencies(), last, durations(&[32.0, 1e6])),
        ]
    );
    assert_eq!(metrics.list_totals().unwrap(), totals);
    let rolled_up = course(&metrics, Metric::RequestSeconds);
    metrics.roll_up(KEPT_FOR, now_us).unwrap();
    assert_eq!(course(&metrics, Metric::RequestSeconds), rolled_up);
    // Half an hour later the third hour is over.
    let now_us = days_after(START_S + 3 * HOUR_S, 30);
    metrics.roll_up(KEPT_FOR, now_us).unwrap();
    let third = hour(rows_new(), START_S + 2 * HOUR_S, Sample::Counter(32.0));
    assert_eq!(course(&metrics, Metric::RowsNew)[2..], [third]);
}

#[test]
fn points_that_come_late_are_added_to_their_hour() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let now_us = days_after(START_S + HOUR_S, 30);
    for value in [1.0, 2.0] {
        let points = [
            point(rows_new(), START_S + 10, Sample::Counter(value)),
            point(latencies(), START_S + 10, durations(&[value])),
        ];
        metrics.add(&batch(points), 1).unwrap();
        metrics.roll_up(KEPT_FOR, now_us).unwrap();
    }
    let rows = hour(rows_new(), START_S, Sample::Counter(3.0));
    assert_eq!(course(&metrics, Metric::RowsNew), [rows]);
    let latencies = hour(latencies(), START_S, durations(&[1.0, 2.0]));
    assert_eq!(course(&metrics, Metric::RequestSeconds), [latencies]);
}

/// What the points of a series within a window come to.
fn sums(points: &[MetricPoint], start_s: i64, end_s: i64) -> BTreeMap<MetricSeries, Sample> {
    let mut sums: BTreeMap<MetricSeries, Sample> = BTreeMap::new();
    let within = |point: &&MetricPoint| start_s <= point.start_s && point.start_s < end_s;
    for point in points.iter().filter(within) {
        match sums.get_mut(&point.series) {
            Some(sum) => sum.merge(&point.sample),
            None => _ = sums.insert(point.series.clone(), point.sample.clone()),
        }
    }
    sums
}

#[test]
fn rolling_up_changes_no_sum_of_whole_hours() {
    const HOURS: i64 = 6;
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let all = || {
        [Metric::RowsNew, Metric::StoredRows, Metric::RequestSeconds]
            .map(|metric| course(&metrics, metric))
            .concat()
    };
    // Sums of eighths are exact in any order.
    let value = (0_u32..4_000).prop_map(|eighths| f64::from(eighths) / 8.0);
    let points = proptest::collection::vec((0..HOURS * 360, 0..3_usize, value), 0..60);
    let config = ProptestConfig::with_cases(48);
    proptest!(config, |(points in points, now_s in -HOUR_S..(HOURS + 1) * HOUR_S)| {
        damage(&database, "DELETE FROM metric_point; DELETE FROM metric_total");
        let points = points.into_iter().map(|(step, kind, value)| {
            let start_s = START_S + step * 10;
            match kind {
                0 => point(rows_new(), start_s, Sample::Counter(value)),
                1 => point(stored_rows(), start_s, Sample::Gauge(value)),
                _ => point(latencies(), start_s, durations(&[value, value + 1.0])),
            }
        });
        metrics.add(&batch(points), 1).unwrap();
        let before = all();
        let now_us = days_after(START_S + now_s, 30);
        metrics.roll_up(KEPT_FOR, now_us).unwrap();
        let after = all();
        // Of a gauge this is the last value of the last hour that has one.
        for first in 0..HOURS {
            for end in first..=HOURS {
                let (start_s, end_s) = (START_S + first * HOUR_S, START_S + end * HOUR_S);
                prop_assert_eq!(sums(&after, start_s, end_s), sums(&before, start_s, end_s));
            }
        }
        let raw_from_s = (START_S + now_s).div_euclid(HOUR_S) * HOUR_S;
        for point in &after {
            let length_s = if point.start_s < raw_from_s { HOUR_S } else { 10 };
            prop_assert_eq!(point.length_s, length_s);
        }
        metrics.roll_up(KEPT_FOR, now_us).unwrap();
        prop_assert_eq!(all(), after);
    });
}

#[test]
fn what_is_older_than_is_to_be_kept_is_forgotten_but_in_the_totals() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let mut all = batch([0, 1, 2].map(|hours| {
        let start_s = START_S + hours * HOUR_S;
        point(rows_new(), start_s, Sample::Counter(1.0))
    }));
    all.runs = vec![
        run("old", START_S * SECOND_US - 1),
        run("new", START_S * SECOND_US + 1),
    ];
    metrics.add(&all, 1).unwrap();
    metrics.roll_up(KEPT_FOR, days_after(START_S, 360)).unwrap();
    assert_eq!(course(&metrics, Metric::RowsNew).len(), 3);
    assert_eq!(metrics.list_runs(9).unwrap().len(), 2);
    metrics.roll_up(KEPT_FOR, days_after(START_S, 365)).unwrap();
    assert_eq!(course(&metrics, Metric::RowsNew).len(), 3);
    assert_eq!(
        metrics.list_runs(9).unwrap(),
        [run("new", START_S * SECOND_US + 1)]
    );
    let an_hour_later = days_after(START_S + HOUR_S, 365);
    metrics.roll_up(KEPT_FOR, an_hour_later).unwrap();
    let left = [1, 2].map(|hours| {
        let start_s = START_S + hours * HOUR_S;
        hour(rows_new(), start_s, Sample::Counter(1.0))
    });
    assert_eq!(course(&metrics, Metric::RowsNew), left);
    assert_eq!(metrics.list_runs(9).unwrap(), []);
    metrics
        .roll_up(KEPT_FOR, days_after(START_S, 1_000))
        .unwrap();
    assert_eq!(course(&metrics, Metric::RowsNew), []);
    let total = (rows_new(), Sample::Counter(3.0));
    assert_eq!(metrics.list_totals().unwrap(), [total]);
}

#[test]
fn nothing_is_forgotten_before_it_may_be_rolled_up() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let points = batch([point(rows_new(), START_S, Sample::Counter(1.0))]);
    metrics.add(&points, 1).unwrap();
    let kept_for = Retention {
        raw_days: 30,
        hourly_days: 1,
    };
    metrics.roll_up(kept_for, days_after(START_S, 29)).unwrap();
    assert_eq!(course(&metrics, Metric::RowsNew), points.points);
    let beyond = days_after(START_S + HOUR_S, 30);
    metrics.roll_up(kept_for, beyond).unwrap();
    assert_eq!(course(&metrics, Metric::RowsNew), []);
}

#[test]
fn where_nothing_is_old_rolling_up_waits_for_no_writer() {
    let (_folder, writing) = database();
    let rolling = Database::open(writing.path()).unwrap();
    rolling.set_busy_timeout(Duration::ZERO);
    let metrics = metrics(&rolling);
    let mut all = batch([point(rows_new(), START_S, Sample::Counter(1.0))]);
    all.runs.push(run("a", START_S * SECOND_US));
    metrics.add(&all, 1).unwrap();
    writing
        .write(|_| {
            let now_us = days_after(START_S, 30);
            metrics.roll_up(KEPT_FOR, now_us).unwrap();
            let later_us = days_after(START_S + HOUR_S, 30);
            let (kind, _) = failure(&rolling, metrics.roll_up(KEPT_FOR, later_us));
            assert_eq!(kind, StoreErrorKind::Locked);
            Ok(())
        })
        .unwrap();
    assert_eq!(course(&metrics, Metric::RowsNew), all.points);
}

#[test]
fn runs_of_a_command_that_only_a_newer_program_knows_are_passed_over() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    metrics.add(&runs([run("a", 10), run("b", 20)]), 1).unwrap();
    database
        .write(|transaction| {
            let rename = "UPDATE run SET command = 'teleport' WHERE run_key = 'b'";
            Ok(transaction.execute(rename, []).unwrap())
        })
        .unwrap();
    assert_eq!(metrics.list_runs(9).unwrap(), [run("a", 10)]);
    assert_eq!(metrics.take_stock().unwrap().runs.len(), 1);
}

#[test]
fn a_run_is_replaced_by_its_key_and_the_newest_come_first() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let ended = RunRecord {
        command: RunCommand::Validate,
        dataset: None,
        job: None,
        last_seen_us: 99,
        outcome: Some(COMPLETED.into()),
        rows: 8,
        failures: 0,
        ..run("b", 20)
    };
    metrics.add(&runs([run("a", 10), run("b", 20)]), 1).unwrap();
    metrics
        .add(&runs([run("c", 20), ended.clone(), run("d", -5)]), 1)
        .unwrap();
    let expected = [run("c", 20), ended, run("a", 10), run("d", -5)];
    assert_eq!(metrics.list_runs(9).unwrap(), expected);
    assert_eq!(metrics.list_runs(2).unwrap(), expected[..2]);
    assert_eq!(metrics.list_runs(0).unwrap(), []);
}

#[test]
fn events_add_up_and_the_slowest_counts() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let published = |count| event("", (count, 0, 0));
    let batches = [
        [published(3), event("log", (2, 1, 70))],
        [published(4), event("log", (4, 0, 20))],
    ];
    for batch in batches {
        metrics.add(&events(batch), 1).unwrap();
    }
    assert_eq!(
        metrics.list_event_counts().unwrap(),
        [published(7), event("log", (6, 1, 70))]
    );
    metrics
        .add(&events([event("log", (0, 0, u64::MAX))]), 1)
        .unwrap();
    let slowest = metrics.list_event_counts().unwrap()[1].slowest_us;
    assert_eq!(i64::try_from(slowest), Ok(i64::MAX));
}

#[test]
fn series_of_metrics_that_are_not_known_are_passed_over_and_left_as_they_are() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let known = batch([point(rows_new(), START_S, Sample::Counter(1.0))]);
    metrics.add(&known, 1).unwrap();
    // A later version's metric, and one that later got another label.
    damage(
        &database,
        &format!(
            r#"INSERT INTO metric_series VALUES (91, 'marketpipe_later_total', '["a","b"]'),
                                                (92, 'marketpipe_rows_new_total', '["a/b/c","1m"]');
               INSERT INTO metric_total VALUES (91, 5.0, NULL, 1), (92, 5.0, NULL, 1);
               INSERT INTO metric_point VALUES (91, 10, {START_S}, 2.0, NULL), (91, 10, {START_S} + 10, 3.0, NULL),
                                               (92, 10, {START_S}, 5.0, NULL);"#
        ),
    );
    let total = (rows_new(), Sample::Counter(1.0));
    assert_eq!(metrics.list_totals().unwrap(), [total]);
    assert_eq!(course(&metrics, Metric::RowsNew), known.points);
    metrics
        .roll_up(KEPT_FOR, days_after(START_S + HOUR_S, 30))
        .unwrap();
    let rolled_up = hour(rows_new(), START_S, Sample::Counter(1.0));
    assert_eq!(course(&metrics, Metric::RowsNew), [rolled_up]);
    assert_eq!(count(&database, "metric_point WHERE length_s = 10"), 3);
    // Too old is too old, whatever it means.
    metrics
        .roll_up(KEPT_FOR, days_after(START_S, 1_000))
        .unwrap();
    assert_eq!(count(&database, "metric_point"), 0);
    assert_eq!(count(&database, "metric_total"), 3);
}

#[test]
fn labels_that_are_no_list_are_damage() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let known = batch([point(rows_new(), START_S, Sample::Counter(1.0))]);
    metrics.add(&known, 1).unwrap();
    damage(&database, "UPDATE metric_series SET label_values = '[1]'");
    let (kind, _) = failure(&database, metrics.list_totals());
    assert_eq!(kind, StoreErrorKind::Damaged);
    let points = metrics.list_points(Metric::RowsNew, 0, i64::MAX);
    assert_eq!(failure(&database, points).0, StoreErrorKind::Damaged);
}

#[test]
fn labels_read_back_whatever_they_say() {
    let (_folder, database) = database();
    let metrics = metrics(&database);
    let labels = [
        "",
        " ",
        "a\"b'c`d",
        "[\"a\",\"b\"]",
        "line\nfeed\r\ttab\\n",
        "nul\0byte",
        "naïve 数 🦀 \u{202e}",
    ];
    let mut expected = BTreeMap::new();
    for (at, label) in (1_u32..).zip(labels) {
        let series = Metric::CircuitOpenings.of(&[label]);
        let other = Metric::RequestSeconds.of(&[label, "ok"]);
        let openings = Sample::Counter(at.into());
        for _ in 0..2 {
            let points = [
                point(series.clone(), START_S, openings.clone()),
                point(other.clone(), START_S, durations(&[at.into()])),
            ];
            metrics.add(&batch(points), 1).unwrap();
        }
        expected.insert(series, Sample::Counter(f64::from(2 * at)));
        expected.insert(other, durations(&[at.into(), at.into()]));
    }
    let totals: BTreeMap<_, _> = metrics.list_totals().unwrap().into_iter().collect();
    assert_eq!(totals, expected);
    let points = course(&metrics, Metric::CircuitOpenings).into_iter();
    for point in points {
        assert_eq!(expected[&point.series], point.sample);
    }
    assert_eq!(course(&metrics, Metric::RequestSeconds).len(), labels.len());
}
