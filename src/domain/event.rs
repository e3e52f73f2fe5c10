//! What happens while work is done, as small typed values. Events inform; no outcome depends on who listens.

use super::dataset::{Dataset, PartitionKey};
use super::job::{JobCounts, JobId, JobState};
use super::session::SessionDate;
use super::symbol::Symbol;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A job began.
    JobStarted {
        /// The job.
        job: JobId,
        /// Where its bars go.
        dataset: Dataset,
        /// Symbols in the request.
        symbols: usize,
        /// Units of work to fetch.
        units: usize,
        /// Requests the plan expects.
        requests: u64,
        /// Rows the plan expects.
        expected_rows: u64,
    },
    /// A page arrived and was decoded.
    PageFetched {
        /// The job.
        job: JobId,
        /// Rows on the page.
        rows: usize,
        /// Bytes on the wire.
        wire_bytes: u64,
    },
    /// A job's counters grew.
    JobCounted {
        /// Where its bars go.
        dataset: Dataset,
        /// By how much.
        counts: JobCounts,
    },
    /// A request was answered, or failed.
    RequestAnswered {
        /// The host.
        host: String,
        /// How.
        result: RequestResult,
        /// From sending it to the last byte, microseconds.
        took_us: u64,
    },
    /// A request failed and will be repeated.
    RequestRetried {
        /// Number of the attempt that failed, from 1.
        attempt: u32,
        /// Wait before the next one, milliseconds.
        wait_ms: u64,
        /// What went wrong.
        reason: String,
    },
    /// The client waits because the provider's rate limit is used up.
    RateLimitWaited {
        /// The wait, milliseconds.
        wait_ms: u64,
    },
    /// The provider is taken for dead for a while.
    CircuitOpened {
        /// The host.
        host: String,
        /// When it is tried again, milliseconds from now; `None` when it is given up.
        retry_in_ms: Option<u64>,
    },
    /// Another process holds the store; this one waits.
    StoreLockAwaited {
        /// Who holds it, as far as is known.
        holder: String,
    },
    /// A partition's rows are durable.
    PartitionCommitted {
        /// The partition.
        key: PartitionKey,
        /// Rows in it now.
        rows: usize,
        /// Rows for minutes that were not stored before.
        rows_new: usize,
        /// Rows replaced or withdrawn.
        rows_revised: usize,
        /// Size of its file.
        bytes: u64,
    },
    /// Rows of a session broke a hard rule and were kept apart.
    BarsQuarantined {
        /// Where its other bars go.
        dataset: Dataset,
        /// The symbol as the provider spelled it.
        symbol: String,
        /// How many rows.
        rows: usize,
    },
    /// An answer with far fewer rows than are stored was refused.
    ShrinkRefused {
        /// The dataset.
        dataset: Dataset,
        /// The symbol.
        symbol: Symbol,
        /// The session.
        date: SessionDate,
        /// Rows stored.
        stored_rows: usize,
        /// Rows answered.
        answered_rows: usize,
    },
    /// A symbol could not be ingested in full.
    SymbolFailed {
        /// The dataset.
        dataset: Dataset,
        /// The symbol.
        symbol: Symbol,
        /// What kind of failure, in a stable word or two.
        kind: &'static str,
        /// Why.
        reason: String,
    },
    /// An aggregation began.
    AggregationStarted {
        /// Symbol-years to do.
        years: usize,
        /// Derived files to make.
        files: usize,
    },
    /// The derived bars of one symbol and year are durable.
    AggregationCompleted {
        /// The dataset.
        dataset: Dataset,
        /// The symbol.
        symbol: Symbol,
        /// The year.
        year: i32,
        /// Files written.
        files_written: usize,
        /// Files whose bytes were the same.
        files_unchanged: usize,
        /// Derived rows, over all frames.
        rows: usize,
        /// Size of the files.
        bytes: u64,
    },
    /// The derived bars of one symbol and year could not be made; what there was stays.
    AggregationFailed {
        /// The dataset.
        dataset: Dataset,
        /// The symbol.
        symbol: Symbol,
        /// The year.
        year: i32,
        /// Why.
        reason: String,
    },
    /// A validation began.
    ValidationStarted {
        /// Series to check.
        series: usize,
    },
    /// One symbol's bars were checked.
    ValidationCompleted {
        /// The dataset.
        dataset: Dataset,
        /// The symbol.
        symbol: Symbol,
        /// Minutes that were read.
        minutes: u64,
        /// Open findings of severity error.
        errors: usize,
        /// Open findings of severity warning.
        warnings: usize,
    },
    /// One symbol's bars could not be checked.
    ValidationFailed {
        /// The dataset.
        dataset: Dataset,
        /// The symbol.
        symbol: Symbol,
        /// Why.
        reason: String,
    },
    /// A job ended.
    JobFinished {
        /// The job.
        job: JobId,
        /// How.
        state: JobState,
        /// What it did.
        counts: JobCounts,
    },
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestResult {
    /// Answered as asked.
    Ok,
    /// Refused because of the rate limit: 429.
    RateLimited,
    /// Refused for another reason: any other status that is no success and no failure of the server.
    Refused,
    /// The server failed: 5xx.
    ServerError,
    /// Answered with something that cannot be read.
    Broken,
    /// Not answered in time.
    TimedOut,
    /// No connection.
    Unreachable,
}

impl RequestResult {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::ServerError => "server_error",
            Self::Broken => "broken",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Event {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::JobStarted { .. } => "JobStarted",
            Self::PageFetched { .. } => "PageFetched",
            Self::JobCounted { .. } => "JobCounted",
            Self::RequestAnswered { .. } => "RequestAnswered",
            Self::RequestRetried { .. } => "RequestRetried",
            Self::RateLimitWaited { .. } => "RateLimitWaited",
            Self::CircuitOpened { .. } => "CircuitOpened",
            Self::StoreLockAwaited { .. } => "StoreLockAwaited",
            Self::PartitionCommitted { .. } => "PartitionCommitted",
            Self::BarsQuarantined { .. } => "BarsQuarantined",
            Self::ShrinkRefused { .. } => "ShrinkRefused",
            Self::SymbolFailed { .. } => "SymbolFailed",
            Self::AggregationStarted { .. } => "AggregationStarted",
            Self::AggregationCompleted { .. } => "AggregationCompleted",
            Self::AggregationFailed { .. } => "AggregationFailed",
            Self::ValidationStarted { .. } => "ValidationStarted",
            Self::ValidationCompleted { .. } => "ValidationCompleted",
            Self::ValidationFailed { .. } => "ValidationFailed",
            Self::JobFinished { .. } => "JobFinished",
        }
    }
}
