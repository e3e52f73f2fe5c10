//! The outside of measurements, in memory: a history that may fail, a clock that is set by hand, events counted by hand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::domain::instant::SECOND_US;
use crate::domain::metric::{
    EventCount, Metric, MetricPoint, MetricSeries, RunCommand, RunRecord, Sample, Stock,
};
use crate::domain::ports::{
    Clock, EventStatistics, MetricsBatch, MetricsRepository, Retention, StoreError, StoreErrorKind,
};

/// A clock that stands still until it is set.
#[derive(Default)]
pub(super) struct Hand(AtomicI64);

impl Hand {
    pub(super) fn set_s(&self, second: i64) {
        self.0.store(second * SECOND_US, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now_us(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Events that were counted.
#[derive(Default)]
pub(super) struct Counted(Mutex<Vec<EventCount>>);

impl Counted {
    pub(super) fn set(&self, counts: &[EventCount]) {
        *self.0.lock().unwrap() = counts.to_vec();
    }
}

impl EventStatistics for Counted {
    fn event_counts(&self) -> Vec<EventCount> {
        self.0.lock().unwrap().clone()
    }
}

pub(super) fn event(
    event: &str,
    subscriber: &str,
    (delivered, failed, slowest_us): (u64, u64, u64),
) -> EventCount {
    EventCount {
        event: event.into(),
        subscriber: subscriber.into(),
        delivered,
        failed,
        slowest_us,
    }
}

/// What is kept of measurements, and what was asked of it.
#[derive(Default)]
pub(super) struct History {
    kept: Mutex<Kept>,
    tried: Condvar,
}

#[derive(Default)]
pub(super) struct Kept {
    /// By start, series and length: the order in which points are listed.
    points: BTreeMap<(i64, MetricSeries, i64), Sample>,
    totals: BTreeMap<MetricSeries, Sample>,
    runs: BTreeMap<String, RunRecord>,
    events: BTreeMap<(String, String), EventCount>,
    /// What is stored.
    pub(super) stock: Stock,
    /// So many batches are refused before one is kept.
    pub(super) refusals: u32,
    /// Whether neither the stock can be taken nor anything be rolled up.
    pub(super) is_broken: bool,
    /// Batches that were kept or refused.
    pub(super) tries: u32,
    /// Each time that points were rolled up, and when.
    pub(super) rolled_up: Vec<(Retention, i64)>,
    /// Metrics whose points were asked for.
    pub(super) asked: Vec<Metric>,
}

impl History {
    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// Waits until so many batches were kept or refused.
    pub(super) fn wait_for_tries(&self, tries: u32) {
        let waited = self
            .tried
            .wait_timeout_while(self.kept(), Duration::from_secs(60), |kept| {
                kept.tries < tries
            });
        assert!(!waited.unwrap().1.timed_out(), "nobody writes");
    }

    /// Keeps points of a series, by start in seconds.
    pub(super) fn put(
        &self,
        series: &MetricSeries,
        points: impl IntoIterator<Item = (i64, Sample)>,
    ) {
        let points = points.into_iter().map(|(start_s, sample)| MetricPoint {
            series: series.clone(),
            start_s,
            length_s: 10,
            sample,
        });
        self.put_batch(MetricsBatch {
            points: points.collect(),
            ..MetricsBatch::default()
        });
    }

    /// Keeps a completed run that began at a second and took so many.
    pub(super) fn put_run(&self, command: RunCommand, started_s: i64, seconds: i64, rows: u64) {
        let started_us = started_s * SECOND_US;
        let run = RunRecord {
            key: format!("{command}-{started_s}"),
            command,
            dataset: None,
            job: None,
            started_us,
            last_seen_us: started_us + seconds * SECOND_US,
            outcome: Some("completed".into()),
            rows,
            failures: 0,
        };
        self.put_batch(MetricsBatch {
            runs: vec![run],
            ..MetricsBatch::default()
        });
    }

    fn put_batch(&self, batch: MetricsBatch) {
        self.add(&batch, 0).unwrap();
    }

    /// What a metric came to, by the values of its labels.
    pub(super) fn totals(&self, metric: Metric) -> Vec<(String, f64)> {
        let totals = self.list_totals().unwrap().into_iter();
        totals
            .filter(|(series, _)| series.metric == metric)
            .map(|(series, sample)| (series.values.join(" "), sample.number()))
            .collect()
    }

    /// Command and outcome of each run, the newest first.
    pub(super) fn outcomes(&self) -> Vec<(RunCommand, Option<String>)> {
        let runs = self.list_runs(u32::MAX).unwrap().into_iter();
        runs.map(|run| (run.command, run.outcome)).collect()
    }
}

fn failed() -> StoreError {
    StoreError::new(StoreErrorKind::Locked, "somebody else writes")
}

impl MetricsRepository for History {
    fn add(&self, batch: &MetricsBatch, _at_us: i64) -> Result<(), StoreError> {
        let mut kept = self.kept();
        kept.tries += 1;
        self.tried.notify_all();
        if kept.refusals > 0 {
            kept.refusals -= 1;
            return Err(failed());
        }
        for point in &batch.points {
            let place = (point.start_s, point.series.clone(), point.length_s);
            merge(&mut kept.points, place, &point.sample);
            merge(&mut kept.totals, point.series.clone(), &point.sample);
        }
        for run in &batch.runs {
            kept.runs.insert(run.key.clone(), run.clone());
        }
        for more in &batch.events {
            let place = (more.event.clone(), more.subscriber.clone());
            let none = event(&more.event, &more.subscriber, (0, 0, 0));
            let count = kept.events.entry(place).or_insert(none);
            count.delivered += more.delivered;
            count.failed += more.failed;
            count.slowest_us = count.slowest_us.max(more.slowest_us);
        }
        Ok(())
    }

    fn list_totals(&self) -> Result<Vec<(MetricSeries, Sample)>, StoreError> {
        Ok(self.kept().totals.clone().into_iter().collect())
    }

    fn list_points(
        &self,
        metric: Metric,
        start_s: i64,
        end_s: i64,
    ) -> Result<Vec<MetricPoint>, StoreError> {
        let mut kept = self.kept();
        kept.asked.push(metric);
        let points = kept.points.iter().filter(|((start, series, _), _)| {
            series.metric == metric && (start_s..end_s).contains(start)
        });
        let points = points.map(|((start_s, series, length_s), sample)| MetricPoint {
            series: series.clone(),
            start_s: *start_s,
            length_s: *length_s,
            sample: sample.clone(),
        });
        Ok(points.collect())
    }

    fn list_runs(&self, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        let mut runs: Vec<RunRecord> = self.kept().runs.values().cloned().collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.started_us));
        runs.truncate(usize::try_from(limit).unwrap());
        Ok(runs)
    }

    fn list_event_counts(&self) -> Result<Vec<EventCount>, StoreError> {
        Ok(self.kept().events.values().cloned().collect())
    }

    fn roll_up(&self, retention: Retention, now_us: i64) -> Result<(), StoreError> {
        let mut kept = self.kept();
        kept.rolled_up.push((retention, now_us));
        if kept.is_broken {
            Err(failed())
        } else {
            Ok(())
        }
    }

    fn take_stock(&self) -> Result<Stock, StoreError> {
        let kept = self.kept();
        if kept.is_broken {
            return Err(failed());
        }
        Ok(kept.stock.clone())
    }
}

fn merge<K: Ord>(samples: &mut BTreeMap<K, Sample>, place: K, more: &Sample) {
    match samples.entry(place) {
        std::collections::btree_map::Entry::Occupied(mut kept) => kept.get_mut().merge(more),
        std::collections::btree_map::Entry::Vacant(place) => _ = place.insert(more.clone()),
    }
}
