//! The port of measurements: what runs counted, kept from run to run, and what is stored. Synchronous.

use super::super::metric::{
    EventCount, Metric, MetricPoint, MetricSeries, RunRecord, Sample, Stock,
};
use super::store::StoreError;

/// What is added to the history at once.
#[derive(Debug, Clone, Default)]
pub struct MetricsBatch {
    /// What happened, by interval.
    pub points: Vec<MetricPoint>,
    /// Runs as they are now.
    pub runs: Vec<RunRecord>,
    /// Events since the batch before.
    pub events: Vec<EventCount>,
}

impl MetricsBatch {
    /// Whether there is nothing to add.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.runs.is_empty() && self.events.is_empty()
    }
}

/// How long the history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Days after which points are rolled up into hours.
    pub raw_days: u32,
    /// Days after which hours and runs are forgotten; totals stay.
    pub hourly_days: u32,
}

/// The history of measurements.
pub trait MetricsRepository: Send + Sync {
    /// Adds a batch, in one transaction: points of the same interval add up, whichever process they come from.
    ///
    /// # Errors
    /// When it cannot be written; nothing of it is kept then.
    fn add(&self, batch: &MetricsBatch, at_us: i64) -> Result<(), StoreError>;

    /// Every series with what it came to since the beginning, by metric and labels.
    fn list_totals(&self) -> Result<Vec<(MetricSeries, Sample)>, StoreError>;

    /// The points of a metric that begin in `[start_s, end_s)`, UTC seconds, by time and series.
    fn list_points(
        &self,
        metric: Metric,
        start_s: i64,
        end_s: i64,
    ) -> Result<Vec<MetricPoint>, StoreError>;

    /// The newest runs first, at most `limit`.
    fn list_runs(&self, limit: u32) -> Result<Vec<RunRecord>, StoreError>;

    /// Every event and subscriber, by name.
    fn list_event_counts(&self) -> Result<Vec<EventCount>, StoreError>;

    /// Rolls up and forgets what is older than is to be kept.
    fn roll_up(&self, retention: Retention, now_us: i64) -> Result<(), StoreError>;

    /// Counts what is stored, at one moment.
    fn take_stock(&self) -> Result<Stock, StoreError>;
}
