//! Adds up what events tell, in memory. Writes nothing: a lock and a few additions are all that the work waits for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::instant::SECOND_US;
use crate::domain::job::{JobCounts, JobId};
use crate::domain::metric::{
    FAILED, Histogram, Metric, MetricPoint, MetricSeries, RunCommand, RunRecord, Sample, as_f64,
};
use crate::domain::ports::{Clock, EventSubscriber, MetricsBatch};
use crate::domain::{Dataset, Event};

/// Length of the intervals of which measurements are kept, seconds.
pub const POINT_LENGTH_S: i64 = 10;

/// Listens to events and adds up.
pub struct MetricsRecorder {
    clock: std::sync::Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What happened since it was taken last, by series and start of the interval.
    pending: BTreeMap<(MetricSeries, i64), Sample>,
    /// The run at work.
    current: Option<RunRecord>,
    /// Runs that ended since they were taken last.
    ended: Vec<RunRecord>,
    /// Runs so far.
    runs: u32,
}

impl MetricsRecorder {
    /// A recorder that has heard of nothing yet.
    pub fn new(clock: std::sync::Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
        }
    }

    /// Begins a run; one that is at work has failed.
    pub fn begin_run(&self, command: RunCommand, process: u32) {
        self.end_run(FAILED);
        let now_us = self.clock.now_us();
        let mut state = self.state();
        state.runs += 1;
        state.current = Some(RunRecord {
            key: format!("{now_us}-{process}-{}", state.runs),
            command,
            dataset: None,
            job: None,
            started_us: now_us,
            last_seen_us: now_us,
            outcome: None,
            rows: 0,
            failures: 0,
        });
    }

    /// Ends the run at work, if there is one.
    pub fn end_run(&self, outcome: &str) {
        let now_us = self.clock.now_us();
        let mut state = self.state();
        let Some(mut run) = state.current.take() else {
            return;
        };
        run.last_seen_us = now_us;
        run.outcome = Some(outcome.to_owned());
        let command = run.command.as_str();
        state.count(now_us, Metric::Runs.of(&[command, outcome]), 1);
        state.observe(now_us, Metric::RunSeconds.of(&[command]), run.seconds());
        state.ended.push(run);
    }

    /// Sets what something is now.
    pub fn set(&self, series: MetricSeries, value: f64) {
        let now_us = self.clock.now_us();
        self.state().add(now_us, series, Sample::Gauge(value));
    }

    /// Takes what was added up, and the runs as they are.
    pub fn take(&self) -> MetricsBatch {
        let now_us = self.clock.now_us();
        let mut state = self.state();
        if let Some(run) = &mut state.current {
            run.last_seen_us = now_us;
        }
        let mut runs = std::mem::take(&mut state.ended);
        runs.extend(state.current.clone());
        let pending = std::mem::take(&mut state.pending);
        let points = pending
            .into_iter()
            .map(|((series, start_s), sample)| MetricPoint {
                series,
                start_s,
                length_s: POINT_LENGTH_S,
                sample,
            });
        MetricsBatch {
            points: points.collect(),
            runs,
            events: Vec::new(),
        }
    }

    /// Puts back what could not be kept: it is taken again with what comes meanwhile.
    pub fn put_back(&self, batch: MetricsBatch) {
        let mut state = self.state();
        for point in batch.points {
            let place = (point.series, point.start_s);
            let mut sample = point.sample;
            if let Some(later) = state.pending.remove(&place) {
                sample.merge(&later);
            }
            state.pending.insert(place, sample);
        }
        let ended = batch.runs.into_iter().filter(|run| run.outcome.is_some());
        let ended: Vec<RunRecord> = ended.collect();
        state.ended.splice(..0, ended);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Sums stay usable whatever happened while they were held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, now_us: i64, series: MetricSeries, sample: Sample) {
        let second = now_us.div_euclid(SECOND_US);
        let start_s = second.div_euclid(POINT_LENGTH_S) * POINT_LENGTH_S;
        match self.pending.entry((series, start_s)) {
            std::collections::btree_map::Entry::Occupied(mut kept) => kept.get_mut().merge(&sample),
            std::collections::btree_map::Entry::Vacant(place) => _ = place.insert(sample),
        }
    }

    fn count(&mut self, now_us: i64, series: MetricSeries, more: u64) {
        if more > 0 {
            self.add(now_us, series, Sample::Counter(as_f64(more)));
        }
    }

    fn observe(&mut self, now_us: i64, series: MetricSeries, seconds: f64) {
        let mut histogram = Histogram::default();
        histogram.observe(seconds);
        self.add(now_us, series, Sample::Histogram(Box::new(histogram)));
    }

    fn count_job(&mut self, now_us: i64, dataset: &Dataset, counts: &JobCounts) {
        let dataset = dataset.to_string();
        for (metric, more) in [
            (Metric::RowsReceived, counts.rows_received),
            (Metric::RowsNew, counts.rows_new),
            (Metric::RowsRevised, counts.rows_revised),
            (Metric::RowsQuarantined, counts.rows_quarantined),
            (Metric::Requests, counts.requests),
            (Metric::Retries, counts.retries),
            (Metric::ReceivedBytes, counts.wire_bytes),
            (Metric::FilesWritten, counts.files_written),
            (Metric::FilesUnchanged, counts.files_unchanged),
            (Metric::EmptySessions, counts.empty_sessions),
        ] {
            self.count(now_us, metric.of(&[&dataset]), more);
        }
        self.add_rows(counts.rows_received);
    }

    fn fail(&mut self, now_us: i64, dataset: &Dataset, symbol: &str, kind: &str) {
        let dataset = dataset.to_string();
        self.count(now_us, Metric::Failures.of(&[&dataset, kind]), 1);
        self.count(now_us, Metric::SymbolFailures.of(&[&dataset, symbol]), 1);
        if let Some(run) = &mut self.current {
            run.failures += 1;
        }
    }

    fn add_rows(&mut self, rows: u64) {
        if let Some(run) = &mut self.current {
            run.rows += rows;
        }
    }

    fn note_job(&mut self, job: JobId, dataset: &Dataset) {
        if let Some(run) = &mut self.current {
            run.job = Some(job);
            run.dataset = Some(dataset.clone());
        }
    }
}

impl EventSubscriber for MetricsRecorder {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn receive(&self, event: &Event) {
        let now_us = self.clock.now_us();
        let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut state = self.state();
        match event {
            Event::JobStarted { job, dataset, .. } => state.note_job(*job, dataset),
            Event::JobCounted { dataset, counts } => state.count_job(now_us, dataset, counts),
            Event::RequestAnswered {
                host,
                result,
                took_us,
            } => {
                let series = Metric::RequestSeconds.of(&[host, result.as_str()]);
                state.observe(now_us, series, as_f64(*took_us) / 1e6);
            }
            Event::RateLimitWaited { wait_ms } => {
                state.count(now_us, Metric::RateLimitWaits.of(&[]), 1);
                let waited = Sample::Counter(as_f64(*wait_ms) / 1e3);
                state.add(now_us, Metric::RateLimitWaitSeconds.of(&[]), waited);
            }
            Event::CircuitOpened { host, .. } => {
                state.count(now_us, Metric::CircuitOpenings.of(&[host]), 1);
            }
            Event::StoreLockAwaited { .. } => {
                state.count(now_us, Metric::StoreLockWaits.of(&[]), 1);
            }
            Event::PartitionCommitted { key, rows_new, .. } => {
                let (dataset, symbol) = (key.dataset.to_string(), key.symbol.as_str());
                let series = Metric::SymbolRows.of(&[&dataset, symbol]);
                state.count(now_us, series, as_u64(*rows_new));
            }
            Event::ShrinkRefused {
                dataset, symbol, ..
            } => state.fail(now_us, dataset, symbol.as_str(), "shrunk"),
            Event::SymbolFailed {
                dataset,
                symbol,
                kind,
                ..
            } => state.fail(now_us, dataset, symbol.as_str(), kind),
            Event::AggregationCompleted {
                dataset,
                files_written,
                rows,
                ..
            } => {
                let name = dataset.to_string();
                let files = as_u64(*files_written);
                state.count(now_us, Metric::DerivedFiles.of(&[&name]), files);
                state.count(now_us, Metric::DerivedRows.of(&[&name]), as_u64(*rows));
                state.add_rows(as_u64(*rows));
            }
            Event::AggregationFailed {
                dataset, symbol, ..
            } => state.fail(now_us, dataset, symbol.as_str(), "aggregation"),
            Event::ValidationCompleted {
                dataset, minutes, ..
            } => {
                let series = Metric::ValidatedBars.of(&[&dataset.to_string()]);
                state.count(now_us, series, *minutes);
                state.add_rows(*minutes);
            }
            Event::ValidationFailed {
                dataset, symbol, ..
            } => state.fail(now_us, dataset, symbol.as_str(), "validation"),
            // Counted with their job, or with the attempt that failed.
            Event::PageFetched { .. }
            | Event::RequestRetried { .. }
            | Event::BarsQuarantined { .. }
            | Event::AggregationStarted { .. }
            | Event::ValidationStarted { .. }
            | Event::JobFinished { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::domain::event::RequestResult;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now_us(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn counted(rows_new: u64) -> Event {
        Event::JobCounted {
            dataset: "alpaca/sip/raw".parse().unwrap(),
            counts: JobCounts {
                rows_new,
                rows_received: rows_new + 1,
                ..JobCounts::default()
            },
        }
    }

    fn values(batch: &MetricsBatch, metric: Metric) -> Vec<(i64, f64)> {
        let points = batch.points.iter();
        points
            .filter(|point| point.series.metric == metric)
            .map(|point| (point.start_s, point.sample.number()))
            .collect()
    }

    #[test]
    fn what_happens_in_an_interval_is_added_up_and_taken_once() {
        let clock = Arc::new(Hand::default());
        let recorder = MetricsRecorder::new(clock.clone());
        recorder.begin_run(RunCommand::Ingest, 7);
        for second in [0, 9, 10] {
            clock.0.store(second * SECOND_US, Ordering::Relaxed);
            recorder.receive(&counted(5));
        }
        let batch = recorder.take();
        assert_eq!(values(&batch, Metric::RowsNew), [(0, 10.0), (10, 5.0)]);
        assert_eq!(
            values(&batch, Metric::RowsRevised),
            [],
            "nothing is no point"
        );
        let [run] = &batch.runs[..] else {
            panic!("{:?}", batch.runs)
        };
        assert_eq!((run.rows, run.outcome.as_deref()), (18, None));
        assert_eq!(run.last_seen_us, 10 * SECOND_US);
        recorder.end_run("completed");
        let batch = recorder.take();
        assert_eq!(values(&batch, Metric::RowsNew), []);
        assert_eq!(values(&batch, Metric::Runs), [(10, 1.0)]);
        assert_eq!(batch.runs[0].outcome.as_deref(), Some("completed"));
        assert!(recorder.take().is_empty());
    }

    #[test]
    fn what_could_not_be_kept_is_taken_again_with_what_came_meanwhile() {
        let recorder = MetricsRecorder::new(Arc::new(Hand::default()));
        recorder.begin_run(RunCommand::Ingest, 7);
        recorder.receive(&counted(5));
        recorder.set(Metric::StoredRows.of(&["a/b/c", "1m"]), 1.0);
        recorder.end_run("completed");
        let failed = recorder.take();
        recorder.receive(&counted(2));
        recorder.set(Metric::StoredRows.of(&["a/b/c", "1m"]), 2.0);
        recorder.put_back(failed);
        let batch = recorder.take();
        assert_eq!(values(&batch, Metric::RowsNew), [(0, 7.0)]);
        assert_eq!(values(&batch, Metric::StoredRows), [(0, 2.0)]);
        assert_eq!(batch.runs.len(), 1);
    }

    #[test]
    fn a_run_that_never_ended_has_failed_when_the_next_begins() {
        let recorder = MetricsRecorder::new(Arc::new(Hand::default()));
        recorder.begin_run(RunCommand::Ingest, 7);
        recorder.begin_run(RunCommand::Aggregate, 7);
        let outcomes: Vec<_> = recorder
            .take()
            .runs
            .into_iter()
            .map(|run| run.outcome)
            .collect();
        assert_eq!(outcomes, [Some("failed".to_owned()), None]);
    }

    #[test]
    fn requests_and_failures_have_their_labels() {
        let recorder = MetricsRecorder::new(Arc::new(Hand::default()));
        recorder.begin_run(RunCommand::Ingest, 7);
        recorder.receive(&Event::RequestAnswered {
            host: "h".into(),
            result: RequestResult::RateLimited,
            took_us: 20_000,
        });
        recorder.receive(&Event::SymbolFailed {
            dataset: "alpaca/sip/raw".parse().unwrap(),
            symbol: "AAPL".parse().unwrap(),
            kind: "timed_out",
            reason: "x".into(),
        });
        let batch = recorder.take();
        let labels: Vec<Vec<(&str, &str)>> = batch
            .points
            .iter()
            .map(|point| point.series.labels().collect())
            .collect();
        assert_eq!(
            labels,
            [
                vec![("host", "h"), ("result", "rate_limited")],
                vec![("dataset", "alpaca/sip/raw"), ("kind", "timed_out")],
                vec![("dataset", "alpaca/sip/raw"), ("symbol", "AAPL")],
            ]
        );
        assert_eq!(batch.runs[0].failures, 1);
    }
}
