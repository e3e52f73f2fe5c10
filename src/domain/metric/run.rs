//! Runs of commands, and how they end.

use std::fmt;
use std::str::FromStr;

use super::{UnknownMetric, as_f64};
use crate::domain::{Dataset, JobId};

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
