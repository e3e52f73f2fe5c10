//! Jobs: one ingest from start to end. A state machine whose transitions consume it.

use std::fmt;

use thiserror::Error;

/// Identifies a job within one data directory; assigned by the job repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Planned, nothing fetched.
    Pending,
    /// A process works on it.
    Running,
    /// Everything that was asked for is stored.
    Completed,
    /// Ended, but some symbols or partitions failed.
    Partial,
    /// Ended without its work done.
    Failed,
    /// Stopped by the user; what was committed stays.
    Interrupted,
    /// Given up by the user; will not be resumed.
    Cancelled,
}

impl JobState {
    const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Partial,
        Self::Failed,
        Self::Interrupted,
        Self::Cancelled,
    ];

    /// The stable name in the job table and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this stable name.
    pub fn find_by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether no process works on the job any more.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(
                next,
                Self::Running | Self::Cancelled | Self::Failed | Self::Interrupted
            ),
            Self::Running => next.is_final(),
            Self::Partial | Self::Failed | Self::Interrupted => {
                matches!(next, Self::Running | Self::Cancelled)
            }
            Self::Completed | Self::Cancelled => false,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A transition that a job's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("job {id} is {from} and cannot become {to}")]
pub struct JobTransitionError {
    id: JobId,
    from: JobState,
    to: JobState,
}

/// What a job has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobCounts {
    /// Rows for minutes that were not stored before.
    pub rows_new: u64,
    /// Rows that replaced or withdrew a stored one.
    pub rows_revised: u64,
    /// Rows that broke a hard rule.
    pub rows_quarantined: u64,
    /// Rows received, before any judgement.
    pub rows_received: u64,
    /// Requests sent, repetitions included.
    pub requests: u64,
    /// Repetitions among them.
    pub retries: u64,
    /// Bytes on the wire.
    pub wire_bytes: u64,
    /// Files written.
    pub files_written: u64,
    /// Files whose rows did not change.
    pub files_unchanged: u64,
    /// Sessions that the provider answered with nothing.
    pub empty_sessions: u64,
}

impl std::ops::AddAssign for JobCounts {
    fn add_assign(&mut self, more: Self) {
        self.rows_new += more.rows_new;
        self.rows_revised += more.rows_revised;
        self.rows_quarantined += more.rows_quarantined;
        self.rows_received += more.rows_received;
        self.requests += more.requests;
        self.retries += more.retries;
        self.wire_bytes += more.wire_bytes;
        self.files_written += more.files_written;
        self.files_unchanged += more.files_unchanged;
        self.empty_sessions += more.empty_sessions;
    }
}

/// Which process runs a job: to recognise the jobs of dead ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOwner {
    /// Process id, for people.
    pub pid: u32,
    /// Host name, for people.
    pub host: String,
    /// Names what only a living owner holds; `None` for jobs of versions that had no such thing.
    pub lease: Option<String>,
}

/// What a job was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// In words that can be shown, without secrets.
    pub words: String,
    /// In a form that can be run again; opaque here.
    pub spec: Option<String>,
}

/// One ingest: what was asked, where it stands, what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestionJob {
    id: JobId,
    state: JobState,
    request: JobRequest,
    owner: JobOwner,
    created_at_us: i64,
    finished_at_us: Option<i64>,
    counts: JobCounts,
    message: Option<String>,
}

/// The stored fields of a job, to bring one back from a repository.
#[derive(Debug, Clone)]
pub struct JobFields {
    /// Identity.
    pub id: JobId,
    /// Where it stands.
    pub state: JobState,
    /// What was asked.
    pub request: JobRequest,
    /// Who runs or ran it.
    pub owner: JobOwner,
    /// UTC microseconds.
    pub created_at_us: i64,
    /// UTC microseconds.
    pub finished_at_us: Option<i64>,
    /// What it has done.
    pub counts: JobCounts,
    /// Why it ended as it did.
    pub message: Option<String>,
}

impl From<JobFields> for IngestionJob {
    fn from(fields: JobFields) -> Self {
        let JobFields {
            id,
            state,
            request,
            owner,
            created_at_us,
            finished_at_us,
            counts,
            message,
        } = fields;
        Self {
            id,
            state,
            request,
            owner,
            created_at_us,
            finished_at_us,
            counts,
            message,
        }
    }
}

impl IngestionJob {
    /// A job that was just planned.
    pub fn planned(id: JobId, request: JobRequest, owner: JobOwner, created_at_us: i64) -> Self {
        Self {
            id,
            state: JobState::Pending,
            request,
            owner,
            created_at_us,
            finished_at_us: None,
            counts: JobCounts::default(),
            message: None,
        }
    }

    /// Identity.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Where it stands.
    pub fn state(&self) -> JobState {
        self.state
    }

    /// The request in words.
    pub fn request(&self) -> &str {
        &self.request.words
    }

    /// The request in a form that can be run again.
    pub fn spec(&self) -> Option<&str> {
        self.request.spec.as_deref()
    }

    /// Who runs or ran it.
    pub fn owner(&self) -> &JobOwner {
        &self.owner
    }

    /// When it was planned, UTC microseconds.
    pub fn created_at_us(&self) -> i64 {
        self.created_at_us
    }

    /// When it ended, UTC microseconds.
    pub fn finished_at_us(&self) -> Option<i64> {
        self.finished_at_us
    }

    /// What it has done.
    pub fn counts(&self) -> &JobCounts {
        &self.counts
    }

    /// Why it ended as it did.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Begins or resumes the work under `owner`.
    ///
    /// # Errors
    /// [`JobTransitionError`] when the job is completed, cancelled or already running.
    pub fn start(self, owner: JobOwner) -> Result<Self, JobTransitionError> {
        let mut job = self.become_state(JobState::Running)?;
        job.owner = owner;
        job.finished_at_us = None;
        job.message = None;
        Ok(job)
    }

    /// Ends the work in `state`, one of the final ones.
    ///
    /// # Errors
    /// [`JobTransitionError`] when the job is not under way or `state` is not final.
    pub fn finish(
        self,
        state: JobState,
        counts: JobCounts,
        message: Option<String>,
        at_us: i64,
    ) -> Result<Self, JobTransitionError> {
        if !state.is_final() {
            return Err(JobTransitionError {
                id: self.id,
                from: self.state,
                to: state,
            });
        }
        let mut job = self.become_state(state)?;
        job.counts = counts;
        job.message = message;
        job.finished_at_us = Some(at_us);
        Ok(job)
    }

    fn become_state(mut self, next: JobState) -> Result<Self, JobTransitionError> {
        if !self.state.may_become(next) {
            return Err(JobTransitionError {
                id: self.id,
                from: self.state,
                to: next,
            });
        }
        self.state = next;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> JobOwner {
        JobOwner {
            pid: 1,
            host: "here".into(),
            lease: None,
        }
    }

    fn job() -> IngestionJob {
        let request = JobRequest {
            words: "ingest AAPL".into(),
            spec: None,
        };
        IngestionJob::planned(JobId(7), request, owner(), 0)
    }

    #[test]
    fn a_job_runs_and_ends_once() {
        let done = job()
            .start(owner())
            .unwrap()
            .finish(JobState::Completed, JobCounts::default(), None, 5)
            .unwrap();
        assert_eq!(
            (done.state(), done.finished_at_us()),
            (JobState::Completed, Some(5))
        );
        let refused = done.start(owner()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "job 7 is completed and cannot become running"
        );
    }

    #[test]
    fn an_interrupted_job_can_be_resumed_and_a_cancelled_one_cannot() {
        let stopped = job()
            .start(owner())
            .unwrap()
            .finish(JobState::Interrupted, JobCounts::default(), None, 5)
            .unwrap();
        let resumed = stopped.start(owner()).unwrap();
        assert_eq!(
            (resumed.state(), resumed.finished_at_us()),
            (JobState::Running, None)
        );
        let cancelled = resumed
            .finish(JobState::Cancelled, JobCounts::default(), None, 6)
            .unwrap();
        assert!(cancelled.start(owner()).is_err());
    }

    #[test]
    fn a_job_cannot_finish_into_a_state_that_is_not_final() {
        assert!(
            job()
                .start(owner())
                .unwrap()
                .finish(JobState::Running, JobCounts::default(), None, 5)
                .is_err()
        );
    }

    #[test]
    fn state_names_read_back() {
        for state in JobState::ALL {
            assert_eq!(JobState::find_by_name(state.as_str()), Some(state));
        }
    }
}
