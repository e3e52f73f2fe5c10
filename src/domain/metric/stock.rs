//! What is stored, counted at one moment.

use super::LastRuns;
use crate::domain::{Dataset, Symbol, Timeframe};

/// How often an event was published, or handed to one subscriber.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCount {
    /// The event's name.
    pub event: String,
    /// The subscriber's name; empty for what was published.
    pub subscriber: String,
    /// Events published, or delivered.
    pub delivered: u64,
    /// Events at which the subscriber panicked.
    pub failed: u64,
    /// The longest that it took for one, microseconds.
    pub slowest_us: u64,
}

/// What the lake holds of a dataset's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFrame {
    /// The dataset.
    pub dataset: Dataset,
    /// The frame.
    pub timeframe: Timeframe,
    /// Files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What is known of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetStock {
    /// The dataset.
    pub dataset: Dataset,
    /// Symbols of which anything is known.
    pub symbols: u64,
    /// Regular minutes that are there.
    pub minutes_present: u64,
    /// Regular minutes of all sessions from the first to the last that was asked for, by symbol.
    pub minutes_expected: u64,
    /// Start of the newest bar, UTC microseconds; `None` without any.
    pub newest_bar_us: Option<i64>,
    /// A symbol that has it: it tells which market's calendar counts.
    pub newest_symbol: Option<Symbol>,
    /// Rows in quarantine.
    pub quarantined_rows: u64,
    /// Open findings of the severities info, warning, error.
    pub open_findings: [u64; 3],
}

/// What is stored, counted at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stock {
    /// By dataset and frame.
    pub frames: Vec<StoredFrame>,
    /// By dataset.
    pub datasets: Vec<DatasetStock>,
    /// By command.
    pub runs: Vec<LastRuns>,
    /// Room that is left on the disk, where that can be told.
    pub free_bytes: Option<u64>,
}
