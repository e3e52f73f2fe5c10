//! Keeps what the recorder adds up: once a second, on a thread of its own. What cannot be written waits and never stops
//! the work.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::gauges::gauges_of;
use super::recorder::MetricsRecorder;
use crate::domain::causes::with_causes;
use crate::domain::metric::{EventCount, FAILED, Keeping, RunCommand};
use crate::domain::ports::{Clock, EventStatistics, MetricsRepository, Retention, StoreError};

/// How often measurements are written: what a killed process loses at most.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What a recording needs.
#[derive(Clone)]
pub struct RecordingPorts {
    /// Who adds up.
    pub recorder: Arc<MetricsRecorder>,
    /// Who counts events.
    pub events: Arc<dyn EventStatistics>,
    /// Where measurements are kept.
    pub repository: Arc<dyn MetricsRepository>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Writes measurements for as long as it lives, and the rest at its end.
pub struct Recording {
    ports: RecordingPorts,
    process: u32,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: Mutex<bool>,
    ended: Condvar,
    /// Events that are kept already; held while a batch is written, so that none is counted twice.
    kept_events: Mutex<EventCounts>,
}

/// By event and subscriber.
type EventCounts = BTreeMap<(String, String), EventCount>;

/// A run at work; it has failed unless it is told how it ended.
pub struct RunGuard<'a> {
    recorder: &'a MetricsRecorder,
}

impl RunGuard<'_> {
    /// Ends the run.
    pub fn finish(self, outcome: &str) {
        self.recorder.end_run(outcome);
    }
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.recorder.end_run(FAILED);
    }
}

impl Recording {
    /// Begins to write; first of all what is old is rolled up.
    pub fn begin(ports: RecordingPorts, retention: Retention, process: u32) -> Self {
        let shared = Arc::new(Shared::default());
        let writer = {
            let (ports, shared) = (ports.clone(), Arc::clone(&shared));
            std::thread::spawn(move || {
                roll_up(&ports, retention);
                let mut is_over = lock(&shared.is_over);
                while !*is_over {
                    let waited = shared.ended.wait_timeout(is_over, WRITE_EVERY);
                    is_over = waited.unwrap_or_else(PoisonError::into_inner).0;
                    if !*is_over {
                        drop(is_over);
                        if let Err(error) = write(&ports, &shared) {
                            tracing::debug!("measurements wait: {}", with_causes(&error));
                        }
                        is_over = lock(&shared.is_over);
                    }
                }
            })
        };
        Self {
            ports,
            process,
            shared,
            writer: Some(writer),
        }
    }

    /// Begins a run.
    pub fn begin_run(&self, command: RunCommand) -> RunGuard<'_> {
        self.ports.recorder.begin_run(command, self.process);
        RunGuard {
            recorder: &self.ports.recorder,
        }
    }

    fn write(&self) -> Result<(), StoreError> {
        write(&self.ports, &self.shared)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        *lock(&self.shared.is_over) = true;
        self.shared.ended.notify_all();
        if let Some(writer) = self.writer.take() {
            _ = writer.join();
            note_stock(&self.ports);
            if let Err(error) = self.write() {
                let causes = with_causes(&error);
                tracing::warn!("the last measurements are lost, and nothing else: {causes}");
            }
        }
    }
}

fn write(ports: &RecordingPorts, shared: &Shared) -> Result<(), StoreError> {
    let mut kept_events = lock(&shared.kept_events);
    let mut batch = ports.recorder.take();
    let counted = by_place(ports.events.event_counts());
    batch.events = since(&kept_events, &counted);
    if let Err(error) = ports.repository.add(&batch, ports.clock.now_us()) {
        ports.recorder.put_back(batch);
        return Err(error);
    }
    *kept_events = counted;
    Ok(())
}

/// What was counted by event and subscriber; subscribers of the same name are counted together.
fn by_place(counted: Vec<EventCount>) -> EventCounts {
    let mut counts = EventCounts::new();
    for count in counted {
        match counts.entry((count.event.clone(), count.subscriber.clone())) {
            Entry::Occupied(mut same) => {
                let same = same.get_mut();
                same.delivered += count.delivered;
                same.failed += count.failed;
                same.slowest_us = same.slowest_us.max(count.slowest_us);
            }
            Entry::Vacant(place) => _ = place.insert(count),
        }
    }
    counts
}

/// What was counted beyond what is kept.
fn since(kept: &EventCounts, counted: &EventCounts) -> Vec<EventCount> {
    let more = counted.iter().filter_map(|(place, count)| {
        let before = kept.get(place);
        let beyond = |now: u64, before: Option<u64>| now.saturating_sub(before.unwrap_or(0));
        let delivered = beyond(count.delivered, before.map(|before| before.delivered));
        let failed = beyond(count.failed, before.map(|before| before.failed));
        (delivered + failed > 0).then(|| EventCount {
            delivered,
            failed,
            ..count.clone()
        })
    });
    more.collect()
}

/// Notes what is stored now, as far as its course is kept: its growth can be seen then.
fn note_stock(ports: &RecordingPorts) {
    let stock = match ports.repository.take_stock() {
        Ok(stock) => stock,
        Err(error) => {
            tracing::debug!("what is stored is not counted: {}", with_causes(&error));
            return;
        }
    };
    for (series, value) in gauges_of(&stock, ports.clock.now_us()) {
        if series.metric.text().keeping == Keeping::History {
            ports.recorder.set(series, value);
        }
    }
}

fn roll_up(ports: &RecordingPorts, retention: Retention) {
    if let Err(error) = ports.repository.roll_up(retention, ports.clock.now_us()) {
        tracing::debug!("old measurements stay as they are: {}", with_causes(&error));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
