//! What the fake server has seen and sent. Counts only; decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Counters since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FakeStats {
    /// Requests whose head arrived whole.
    pub requests: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Requests that carried any credential header, right or wrong.
    pub credentials_seen: u64,
    /// Answers by HTTP status; an answer without a status of its own (silence, raw bytes) is in none.
    pub by_status: BTreeMap<u16, u64>,
    /// Bars pages rendered or taken from the cache, damaged ones included.
    pub pages: u64,
    /// Bars on those pages.
    pub bars: u64,
    /// Body bytes as prepared for sending, after compression; streamed floods are not counted.
    pub body_bytes: u64,
    /// Pages that came from the cache.
    pub cache_hits: u64,
    /// Faults that took effect, by [`super::Fault::name`].
    pub faults: BTreeMap<&'static str, u64>,
    /// The latest requests, oldest first; [`super::FakeConfig::logged_requests`] bounds it.
    pub log: VecDeque<RequestRecord>,
}

/// One request in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// Arrival, as time since the server's start (monotonic).
    pub arrived: Duration,
    /// Path and query exactly as received.
    pub target: String,
    /// Status of the answer, when it had one.
    pub status: Option<u16>,
    /// The fault that took effect.
    pub fault: Option<&'static str>,
}

impl FakeStats {
    pub(super) fn record(&mut self, record: RequestRecord, log_limit: usize) {
        if let Some(status) = record.status {
            *self.by_status.entry(status).or_default() += 1;
        }
        if let Some(fault) = record.fault {
            *self.faults.entry(fault).or_default() += 1;
        }
        self.log.push_back(record);
        while self.log.len() > log_limit {
            self.log.pop_front();
        }
    }

    /// How many answers had this status.
    #[must_use]
    pub fn with_status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or_default()
    }

    /// How often a fault of this name took effect.
    #[must_use]
    pub fn with_fault(&self, name: &str) -> u64 {
        self.faults.get(name).copied().unwrap_or_default()
    }
}
