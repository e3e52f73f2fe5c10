//! Claims of the recording: while writing fails nothing is lost, nothing counts twice, and nothing stops the work.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;
use crate::domain::job::JobCounts;
use crate::domain::metric::{COMPLETED, DatasetStock, FAILED, Metric, Stock, StoredFrame};
use crate::domain::ports::EventSubscriber as _;
use crate::domain::{Dataset, Event, Timeframe};
use crate::metrics::fakes::{Counted, Hand, History, event};

const KEPT_FOR: Retention = Retention {
    raw_days: 30,
    hourly_days: 365,
};

/// What a recording stands between.
#[derive(Default)]
struct World {
    clock: Arc<Hand>,
    events: Arc<Counted>,
    history: Arc<History>,
}

impl World {
    fn recorder(&self) -> Arc<MetricsRecorder> {
        Arc::new(MetricsRecorder::new(Arc::clone(&self.clock) as _))
    }

    fn begin(&self, recorder: &Arc<MetricsRecorder>) -> Recording {
        let ports = RecordingPorts {
            recorder: Arc::clone(recorder),
            events: Arc::clone(&self.events) as _,
            repository: Arc::clone(&self.history) as _,
            clock: Arc::clone(&self.clock) as _,
        };
        Recording::begin(ports, KEPT_FOR, 7)
    }
}

fn dataset() -> Dataset {
    "alpaca/sip/raw".parse().unwrap()
}

fn counted(rows_new: u64) -> Event {
    Event::JobCounted {
        dataset: dataset(),
        counts: JobCounts {
            rows_new,
            ..JobCounts::default()
        },
    }
}

fn of_dataset(value: f64) -> Vec<(String, f64)> {
    vec![(dataset().to_string(), value)]
}

#[test]
fn at_the_end_everything_is_written() {
    let world = World::default();
    world.clock.set_s(1_000);
    let recorder = world.recorder();
    let recording = world.begin(&recorder);
    let run = recording.begin_run(RunCommand::Ingest);
    recorder.receive(&counted(5));
    run.finish("partial");
    let run = recording.begin_run(RunCommand::Validate);
    run.finish(COMPLETED);
    recorder.receive(&counted(2));
    drop(recording);
    assert_eq!(world.history.totals(Metric::RowsNew), of_dataset(7.0));
    let outcomes = world.history.outcomes();
    assert_eq!(outcomes.len(), 2);
    for outcome in [
        (RunCommand::Ingest, Some("partial".to_owned())),
        (RunCommand::Validate, Some(COMPLETED.to_owned())),
    ] {
        assert!(outcomes.contains(&outcome), "{outcomes:?}");
    }
    assert_eq!(
        world.history.totals(Metric::Runs),
        [
            ("ingest partial".to_owned(), 1.0),
            ("validate completed".to_owned(), 1.0)
        ]
    );
}

#[test]
fn what_is_old_is_rolled_up_once_at_the_beginning() {
    let world = World::default();
    world.clock.set_s(1_000);
    let recording = world.begin(&world.recorder());
    _ = recording.write();
    drop(recording);
    assert_eq!(world.history.kept().rolled_up, [(KEPT_FOR, 1_000_000_000)]);
}

#[test]
fn a_run_at_work_is_written_as_it_is() {
    let world = World::default();
    let recorder = world.recorder();
    let recording = world.begin(&recorder);
    let run = recording.begin_run(RunCommand::Aggregate);
    world.clock.set_s(3);
    _ = recording.write();
    assert_eq!(world.history.outcomes(), [(RunCommand::Aggregate, None)]);
    let seen_us = world.history.list_runs(1).unwrap()[0].last_seen_us;
    assert_eq!(seen_us, 3_000_000);
    run.finish(COMPLETED);
    _ = recording.write();
    let ended = (RunCommand::Aggregate, Some(COMPLETED.to_owned()));
    assert_eq!(world.history.outcomes(), [ended]);
}

#[test]
fn a_run_that_is_not_told_how_it_ended_has_failed() {
    let world = World::default();
    let recording = world.begin(&world.recorder());
    drop(recording.begin_run(RunCommand::Ingest));
    world.clock.set_s(1);
    // resume_unwind is a panic that prints nothing.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _run = recording.begin_run(RunCommand::Validate);
        resume_unwind(Box::new("work"));
    }));
    assert!(outcome.is_err());
    drop(recording);
    let failed = || Some(FAILED.to_owned());
    assert_eq!(
        world.history.outcomes(),
        [
            (RunCommand::Validate, failed()),
            (RunCommand::Ingest, failed())
        ]
    );
}

#[test]
fn what_goes_on_is_written_without_being_asked_for() {
    let world = World::default();
    world.history.kept().refusals = 1;
    let recorder = world.recorder();
    recorder.receive(&counted(5));
    let recording = world.begin(&recorder);
    // The first is refused.
    world.history.wait_for_tries(2);
    assert_eq!(world.history.totals(Metric::RowsNew), of_dataset(5.0));
    drop(recording);
    assert_eq!(world.history.totals(Metric::RowsNew), of_dataset(5.0));
}

#[test]
fn while_writing_fails_nothing_is_lost_and_later_nothing_counts_twice() {
    let world = World::default();
    world.history.kept().refusals = 4;
    let recorder = world.recorder();
    let recording = world.begin(&recorder);
    let mut run = Some(recording.begin_run(RunCommand::Ingest));
    for second in 1..=6 {
        world.clock.set_s(second * 7);
        recorder.receive(&counted(u64::try_from(second).unwrap()));
        let delivered = u64::try_from(second).unwrap() * 10;
        world.events.set(&[
            event("JobCounted", "", (delivered, 0, 0)),
            event("JobCounted", "log", (delivered - 1, 1, delivered)),
        ]);
        if second == 3 {
            run.take().unwrap().finish("partial");
        }
        _ = recording.write();
    }
    drop(run);
    drop(recording);
    assert_eq!(world.history.totals(Metric::RowsNew), of_dataset(21.0));
    let partial = (RunCommand::Ingest, Some("partial".to_owned()));
    assert_eq!(world.history.outcomes(), [partial]);
    assert_eq!(
        world.history.list_event_counts().unwrap(),
        [
            event("JobCounted", "", (60, 0, 0)),
            event("JobCounted", "log", (59, 1, 60))
        ]
    );
    // Also the course is the one that was.
    let points = world.history.list_points(Metric::RowsNew, 0, 100).unwrap();
    let course: Vec<(i64, f64)> = points
        .iter()
        .map(|point| (point.start_s, point.sample.number()))
        .collect();
    assert_eq!(
        course,
        [(0, 1.0), (10, 2.0), (20, 3.0 + 4.0), (30, 5.0), (40, 6.0)]
    );
}

#[test]
fn threads_that_count_while_others_write_lose_nothing() {
    let world = World::default();
    world.history.kept().refusals = 50;
    let recorder = world.recorder();
    let recording = world.begin(&recorder);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..200).for_each(|_| recorder.receive(&counted(1))));
        }
        for _ in 0..2 {
            scope.spawn(|| (0..100).for_each(|_| _ = recording.write()));
        }
    });
    drop(recording);
    assert_eq!(world.history.totals(Metric::RowsNew), of_dataset(600.0));
}

#[test]
fn what_never_works_stops_nothing() {
    let world = World::default();
    world.history.kept().refusals = u32::MAX;
    world.history.kept().is_broken = true;
    let recorder = world.recorder();
    let recording = world.begin(&recorder);
    let run = recording.begin_run(RunCommand::Ingest);
    recorder.receive(&counted(5));
    _ = recording.write();
    run.finish(COMPLETED);
    drop(recording);
    assert_eq!(world.history.totals(Metric::RowsNew), []);
    assert_eq!(world.history.outcomes(), []);
    assert_eq!(
        recorder.take().runs.len(),
        1,
        "it waits for a later attempt"
    );
}

#[test]
fn events_are_counted_once_in_however_many_batches_they_are_written() {
    let world = World::default();
    let recording = world.begin(&world.recorder());
    for delivered in [3, 3, 8] {
        world.events.set(&[
            event("PageFetched", "", (delivered, 0, 0)),
            event("PageFetched", "log", (delivered, 2, delivered * 100)),
        ]);
        _ = recording.write();
    }
    world.events.set(&[
        event("PageFetched", "", (8, 0, 0)),
        event("PageFetched", "log", (8, 2, 800)),
        event("RequestRetried", "log", (0, 1, 5)),
    ]);
    drop(recording);
    assert_eq!(
        world.history.list_event_counts().unwrap(),
        [
            event("PageFetched", "", (8, 0, 0)),
            event("PageFetched", "log", (8, 2, 800)),
            event("RequestRetried", "log", (0, 1, 5)),
        ]
    );
}

#[test]
fn subscribers_of_the_same_name_are_counted_together() {
    let world = World::default();
    let recording = world.begin(&world.recorder());
    for delivered in [3, 5] {
        world.events.set(&[
            event("PageFetched", "log", (delivered, 0, 70)),
            event("PageFetched", "log", (0, delivered, 20)),
        ]);
        _ = recording.write();
    }
    drop(recording);
    assert_eq!(
        world.history.list_event_counts().unwrap(),
        [event("PageFetched", "log", (5, 5, 70))]
    );
}

#[test]
fn what_is_stored_at_the_end_is_noted_where_its_course_is_kept() {
    let world = World::default();
    world.clock.set_s(55);
    let recording = world.begin(&world.recorder());
    world.history.kept().stock = Stock {
        frames: vec![StoredFrame {
            dataset: dataset(),
            timeframe: Timeframe::M1,
            files: 2,
            rows: 780,
            bytes: 9_000,
        }],
        datasets: vec![DatasetStock {
            dataset: dataset(),
            symbols: 2,
            minutes_present: 780,
            minutes_expected: 1_560,
            newest_bar_us: None,
            newest_symbol: None,
            quarantined_rows: 4,
            open_findings: [1, 0, 0],
        }],
        free_bytes: Some(1_000_000),
        ..Stock::default()
    };
    _ = recording.write();
    assert_eq!(world.history.totals(Metric::StoredRows), []);
    drop(recording);
    let frame = |value| vec![(format!("{} 1m", dataset()), value)];
    assert_eq!(world.history.totals(Metric::StoredRows), frame(780.0));
    assert_eq!(world.history.totals(Metric::StoredBytes), frame(9_000.0));
    assert_eq!(world.history.totals(Metric::Completeness), of_dataset(0.5));
    assert_eq!(
        world.history.totals(Metric::QuarantineRows),
        of_dataset(4.0)
    );
    let free = [(String::new(), 1_000_000.0)];
    assert_eq!(world.history.totals(Metric::FreeBytes), free);
    for asked_for in [Metric::StoredFiles, Metric::Symbols, Metric::OpenFindings] {
        assert_eq!(world.history.totals(asked_for), [], "{asked_for}");
    }
    let points = world.history.list_points(Metric::StoredRows, 0, 100);
    assert_eq!(points.unwrap()[0].start_s, 50);
}

#[test]
fn what_cannot_be_counted_at_the_end_holds_up_nothing_else() {
    let world = World::default();
    world.history.kept().is_broken = true;
    let recorder = world.recorder();
    let recording = world.begin(&recorder);
    recorder.receive(&counted(5));
    drop(recording);
    assert_eq!(world.history.totals(Metric::RowsNew), of_dataset(5.0));
}
