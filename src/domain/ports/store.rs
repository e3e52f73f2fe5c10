//! The ports to what is kept: bars, ledger, quarantine, checkpoints, jobs. Synchronous, one method one transaction.

use thiserror::Error;

use super::super::bar::{Bar, HardRule};
use super::super::bar_batch::BarBatch;
use super::super::checkpoint::Checkpoint;
use super::super::dataset::{Dataset, PartitionKey};
use super::super::job::{IngestionJob, JobCounts, JobId, JobOwner, JobRequest, JobState};
use super::super::merge::{AskedSession, ShrinkPolicy, ShrinkRefusal};
use super::super::session::{Session, SessionDate};
use super::super::symbol::Symbol;
use super::super::symbol_bars::SessionRecord;
use super::super::timeframe::Timeframe;

/// What kind of failure a store reports. Decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// Missing permission, or a read-only medium.
    NotWritable,
    /// Disk, quota or file size limit reached.
    NoSpace,
    /// Content that does not match its description.
    Damaged,
    /// Another process holds a lock for longer than was allowed to wait.
    Locked,
    /// Written by a newer version of the program.
    NewerSchema,
    /// Something that should be there is not.
    Missing,
    /// Any other failure of the operating system or the database.
    Failed,
}

/// A store's failure: what kind, of what, why.
#[derive(Debug, Error)]
#[error("{context}")]
pub struct StoreError {
    /// Decides what happens next.
    pub kind: StoreErrorKind,
    /// What was attempted on what, in one line.
    pub context: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// A failure without a further cause.
    pub fn new(kind: StoreErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// One session's share of an answer, with what the ledger needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionAnswer {
    /// Which instants were asked for and which minutes are in quarantine.
    pub asked: AskedSession,
    /// The session.
    pub session: Session,
    /// When the provider was asked, UTC microseconds.
    pub asked_at_us: i64,
    /// When the next session begins, UTC microseconds; from then on an answer is final.
    pub next_pre_open_us: i64,
}

/// One partition's share of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionAnswer {
    /// The partition.
    pub key: PartitionKey,
    /// The answered rows, all within the asked sessions; may be empty.
    pub answer: BarBatch,
    /// What was asked, ascending by date.
    pub sessions: Vec<SessionAnswer>,
    /// What to do when far fewer rows came than are stored.
    pub shrink: ShrinkPolicy,
}

/// A row that broke a hard rule.
#[derive(Debug, Clone, PartialEq)]
pub struct QuarantinedRow {
    /// Where it would have gone.
    pub dataset: Dataset,
    /// The symbol as the provider spelled it, escaped.
    pub symbol: String,
    /// Its timestamp, UTC microseconds; `None` when it has none.
    pub ts_us: Option<i64>,
    /// The rule.
    pub rule: HardRule,
    /// The row in words.
    pub evidence: String,
    /// The page it came on.
    pub source: String,
    /// The job that fetched it.
    pub job: JobId,
    /// When, UTC microseconds.
    pub seen_at_us: i64,
}

/// A stored row that a later answer replaced or withdrew.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionRow {
    /// Dataset of the row.
    pub dataset: Dataset,
    /// Symbol of the row.
    pub symbol: Symbol,
    /// The row before.
    pub old: Bar,
    /// The row after; `None` when withdrawn.
    pub new: Option<Bar>,
    /// The job that brought the change.
    pub job: JobId,
    /// When, UTC microseconds.
    pub seen_at_us: i64,
}

/// What is committed together.
#[derive(Debug, Clone)]
pub struct CommitBatch {
    /// The job.
    pub job: JobId,
    /// Answers by partition, no partition twice.
    pub answers: Vec<PartitionAnswer>,
    /// Rows kept apart.
    pub quarantined: Vec<QuarantinedRow>,
    /// Progress of the job's units once this is committed.
    pub checkpoints: Vec<Checkpoint>,
    /// What the job did since its last commit, without what this commit does.
    pub counts: JobCounts,
    /// When, UTC microseconds.
    pub at_us: i64,
}

/// What happened to one partition.
#[derive(Debug)]
pub enum PartitionOutcome {
    /// Its file was replaced or made.
    Written,
    /// Its rows did not change, so neither did its file.
    Unchanged,
    /// It could not be read or written; nothing of its answer is stored or recorded.
    Failed(StoreError),
}

/// One partition's part of a commit.
#[derive(Debug)]
pub struct PartitionReceipt {
    /// The partition.
    pub key: PartitionKey,
    /// What happened.
    pub outcome: PartitionOutcome,
    /// Rows in it now.
    pub rows: usize,
    /// Rows for minutes that were not stored before.
    pub rows_new: usize,
    /// Rows replaced or withdrawn.
    pub rows_revised: usize,
    /// Sessions that kept their rows because the answer was too short.
    pub refused: Vec<ShrinkRefusal>,
    /// Rows in the asked sessions.
    pub rows_asked: usize,
    /// Asked sessions that have no bar at all.
    pub empty_sessions: usize,
    /// Size of its file; 0 without one.
    pub bytes: u64,
}

impl PartitionReceipt {
    /// The partition's share of its job's counters; nothing when it failed.
    pub fn counts(&self) -> JobCounts {
        let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (files_written, files_unchanged) = match self.outcome {
            PartitionOutcome::Written => (1, 0),
            // Without a row there is no file.
            PartitionOutcome::Unchanged => (0, u64::from(self.rows > 0)),
            PartitionOutcome::Failed(_) => return JobCounts::default(),
        };
        JobCounts {
            rows_new: as_u64(self.rows_new),
            rows_revised: as_u64(self.rows_revised),
            empty_sessions: as_u64(self.empty_sessions),
            files_written,
            files_unchanged,
            ..JobCounts::default()
        }
    }
}

/// What a commit did.
#[derive(Debug)]
pub struct CommitReceipt {
    /// One entry for each answer, in the same order.
    pub partitions: Vec<PartitionReceipt>,
}

/// One file of the lake as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFile {
    /// What it holds.
    pub key: PartitionKey,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// SHA-256 of its rows, hexadecimal.
    pub content_hash: String,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// First bar, UTC microseconds.
    pub first_ts_us: i64,
    /// Last bar, UTC microseconds.
    pub last_ts_us: i64,
    /// First session date.
    pub first_session: SessionDate,
    /// Last session date.
    pub last_session: SessionDate,
}

/// Which partitions or bars are meant; an empty list or `None` means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BarSelection {
    /// The dataset.
    pub dataset: Option<Dataset>,
    /// Symbols.
    pub symbols: Vec<Symbol>,
    /// The frame.
    pub timeframe: Option<Timeframe>,
    /// First and last session date, both inside.
    pub sessions: Option<(SessionDate, SessionDate)>,
}

/// A series that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedSeries {
    /// Dataset of the series.
    pub dataset: Dataset,
    /// Symbol of the series.
    pub symbol: Symbol,
    /// First and last session that was asked for.
    pub sessions: (SessionDate, SessionDate),
}

/// What became of a series that was to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// So many sessions without a bar; nothing is known of the series any more.
    Sessions(u64),
    /// There is or was something of it: everything stays.
    Nothing,
}

/// What is held of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesStatus {
    /// Dataset of the series.
    pub dataset: Dataset,
    /// Symbol of the series.
    pub symbol: Symbol,
    /// Frame of the series.
    pub timeframe: Timeframe,
    /// First and last session with a row.
    pub sessions: Option<(SessionDate, SessionDate)>,
    /// Sessions in the ledger: asked for; of derived bars none.
    pub asked_sessions: u64,
    /// Sessions with at least one row.
    pub filled_sessions: u64,
    /// Regular minutes that are present.
    pub regular_minutes: u64,
    /// Regular minutes of all sessions from the first to the last that was asked for.
    pub expected_minutes: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// Bars on disk.
pub trait BarStore: Send + Sync {
    /// Merges the answers and makes them durable together with ledger, quarantine, revisions and checkpoints.
    ///
    /// A partition that cannot be written is reported in the receipt and does not hold up the others.
    ///
    /// # Errors
    /// When nothing at all could be committed: the lock, the database or the disk.
    fn commit(&self, batch: CommitBatch) -> Result<CommitReceipt, StoreError>;

    /// The files of a selection, ordered by dataset, symbol, frame and period.
    fn list_files(&self, selection: &BarSelection) -> Result<Vec<PartitionFile>, StoreError>;

    /// The bars of a selection, one batch a partition, cut to the selected sessions; ordered like [`list_files`](Self::list_files).
    fn load(&self, selection: &BarSelection) -> Result<Vec<(PartitionKey, BarBatch)>, StoreError>;
}

/// The completeness ledger: what is known of each symbol's sessions.
pub trait SymbolBarsRepository: Send + Sync {
    /// The record of one session, if the provider was ever asked for it.
    fn find_session(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        date: SessionDate,
    ) -> Result<Option<SessionRecord>, StoreError>;

    /// The records from `first` to `last`, both inside, ascending.
    fn list_sessions(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        first: SessionDate,
        last: SessionDate,
    ) -> Result<Vec<SessionRecord>, StoreError>;

    /// The latest settled session.
    fn find_last_settled(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
    ) -> Result<Option<SessionDate>, StoreError>;

    /// Writes records, replacing those of the same session.
    fn put_sessions(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        records: &[SessionRecord],
    ) -> Result<(), StoreError>;

    /// Forgets the records from `first` to `last`, both inside; returns how many.
    fn delete_sessions(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        first: SessionDate,
        last: SessionDate,
    ) -> Result<usize, StoreError>;

    /// Forgets that a symbol was ever asked for, in one dataset or in all: not where anything of it is held, set apart, revised,
    /// being written or lost. By dataset what became of it; nothing where it is not known.
    fn forget(
        &self,
        symbol: &Symbol,
        dataset: Option<&Dataset>,
    ) -> Result<Vec<(Dataset, Forgotten)>, StoreError>;

    /// Records that the plan does not include these sessions, as far as they were never answered.
    fn note_not_entitled(
        &self,
        dataset: &Dataset,
        symbols: &[Symbol],
        dates: &[SessionDate],
        asked_at_us: i64,
    ) -> Result<(), StoreError>;

    /// The sessions of one series that the plan did not include when they were asked for, ascending.
    fn list_not_entitled(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
    ) -> Result<Vec<SessionDate>, StoreError>;

    /// The series that were ever asked for, with the first and the last session asked for; no symbols means all.
    fn list_series(&self, symbols: &[Symbol]) -> Result<Vec<AskedSeries>, StoreError>;

    /// What is held, by series, ordered by dataset and symbol; no symbols means all.
    fn list_status(&self, symbols: &[Symbol]) -> Result<Vec<SeriesStatus>, StoreError>;
}

/// The row store for what must not wait for a file: rows in quarantine and revisions.
pub trait OhlcvRepository: Send + Sync {
    /// Keeps rows apart, in one transaction. A row already kept (same series, minute, rule and evidence) is not kept twice.
    fn put_quarantined(&self, rows: &[QuarantinedRow]) -> Result<usize, StoreError>;

    /// Streams the rows in quarantine, by dataset, symbol and time, until `visit` returns `false`.
    fn for_each_quarantined(
        &self,
        selection: &BarSelection,
        visit: &mut dyn FnMut(QuarantinedRow) -> bool,
    ) -> Result<(), StoreError>;

    /// Lets go of the rows in quarantine of one series' minutes; returns how many.
    fn release_quarantined(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        minutes_us: &[i64],
    ) -> Result<usize, StoreError>;

    /// Records revisions, in one transaction.
    fn put_revisions(&self, rows: &[RevisionRow]) -> Result<(), StoreError>;

    /// Streams revisions, oldest first, until `visit` returns `false`.
    fn for_each_revision(
        &self,
        selection: &BarSelection,
        visit: &mut dyn FnMut(RevisionRow) -> bool,
    ) -> Result<(), StoreError>;
}

/// How far the units of jobs are.
pub trait CheckpointRepository: Send + Sync {
    /// Moves a unit forward; never back, whoever comes first. Returns the state that is now stored.
    fn advance(&self, checkpoint: &Checkpoint) -> Result<Checkpoint, StoreError>;

    /// The units of a job, by number.
    fn list_checkpoints(&self, job: JobId) -> Result<Vec<Checkpoint>, StoreError>;
}

/// Jobs.
pub trait JobRepository: Send + Sync {
    /// Makes a job in state pending with a new id.
    fn create_job(
        &self,
        request: &JobRequest,
        owner: &JobOwner,
        now_us: i64,
    ) -> Result<IngestionJob, StoreError>;

    /// Writes a job's state and counters.
    fn save_job(&self, job: &IngestionJob) -> Result<(), StoreError>;

    /// Writes a job that was just started, if it still is in the state `from`.
    ///
    /// # Errors
    /// [`StoreErrorKind::Locked`] when another process was faster.
    fn claim_job(&self, job: &IngestionJob, from: JobState) -> Result<(), StoreError>;

    /// Whether somebody wants the job to end.
    fn is_cancel_requested(&self, id: JobId) -> Result<bool, StoreError>;

    /// One job.
    ///
    /// # Errors
    /// [`StoreErrorKind::Missing`] when there is no such job.
    fn get_job(&self, id: JobId) -> Result<IngestionJob, StoreError>;

    /// All jobs, newest first, at most `limit`.
    fn list_jobs(&self, limit: u32) -> Result<Vec<IngestionJob>, StoreError>;
}
