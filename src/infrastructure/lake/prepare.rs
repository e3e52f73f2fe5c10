//! Preparing one partition for a commit: read, merge, record, encode, stage. Changes nothing that anybody can see.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::merge::{self, Merged, Revision};
use crate::domain::minute_set::MINUTES_PER_FRAME;
use crate::domain::ports::{
    PartitionAnswer, PartitionFile, PartitionOutcome, PartitionReceipt, SessionAnswer, StoreError,
    StoreErrorKind, SymbolBarsRepository,
};
use crate::domain::symbol_bars::Asked;
use crate::domain::{BarBatch, PartitionKey, SessionDate, SessionRecord};
use crate::infrastructure::disk;
use crate::infrastructure::parquet::FileDescription;
use crate::infrastructure::parquet::engine::{EncodedFile, FileError};
use crate::infrastructure::sqlite::SqliteSymbolBarsRepository;

use super::LakeStore;
use super::commit::catalog_path;

static STAGED_FILES: AtomicU64 = AtomicU64::new(0);

/// What one partition contributes to a commit.
pub(super) struct PreparedPartition {
    pub(super) key: PartitionKey,
    pub(super) change: FileChange,
    pub(super) records: Vec<SessionRecord>,
    pub(super) revisions: Vec<Revision>,
    /// Minutes in quarantine that now have a sound row, UTC microseconds.
    pub(super) released_us: Vec<i64>,
    pub(super) receipt: PartitionReceipt,
    /// What a derived partition is made from; `None` for minutes.
    pub(super) derived: Option<DerivedFrom>,
    /// An earlier commit of this partition is not finished; its redo record must stay.
    pub(super) is_blocked: bool,
}

impl PreparedPartition {
    /// Nothing of the answer is stored or recorded, for this reason.
    pub(super) fn fail(&mut self, error: StoreError) {
        self.change = FileChange::Keep;
        self.records.clear();
        self.released_us.clear();
        self.receipt.outcome = PartitionOutcome::Failed(error);
    }
}

/// What a derived partition is made from.
pub(super) struct DerivedFrom {
    pub(super) spec_hash: String,
    /// `None` when there are no minutes any more, and so nothing to remember.
    pub(super) source_hash: Option<String>,
}

/// What happens to the partition's file.
pub(super) enum FileChange {
    /// Nothing: the rows are the same, or there are none and never were.
    Keep,
    /// The staged file takes its place.
    Replace {
        staged_name: String,
        file: Box<PartitionFile>,
        old_sha256: Option<String>,
    },
    /// No row is left.
    Remove { old: Box<PartitionFile> },
}

impl LakeStore {
    /// Prepares `answer`; a failure is part of the receipt. `blocked` holds the paths of unfinished commits.
    pub(super) fn prepare(
        &self,
        answer: PartitionAnswer,
        blocked: &BTreeSet<String>,
    ) -> PreparedPartition {
        let key = answer.key.clone();
        let is_blocked = blocked.contains(&catalog_path(&key));
        let prepared = if is_blocked {
            let context = format!(
                "{key} waits for an earlier commit to be finished, see the warning about its file"
            );
            Err(StoreError::new(StoreErrorKind::Failed, context))
        } else {
            self.try_prepare(answer)
        };
        prepared.unwrap_or_else(|error| PreparedPartition {
            change: FileChange::Keep,
            records: Vec::new(),
            revisions: Vec::new(),
            released_us: Vec::new(),
            receipt: PartitionReceipt {
                key: key.clone(),
                outcome: PartitionOutcome::Failed(error),
                rows: 0,
                rows_new: 0,
                rows_revised: 0,
                refused: Vec::new(),
                rows_asked: 0,
                empty_sessions: 0,
                bytes: 0,
            },
            derived: None,
            is_blocked,
            key,
        })
    }

    fn try_prepare(&self, answer: PartitionAnswer) -> Result<PreparedPartition, StoreError> {
        let PartitionAnswer {
            key,
            answer,
            sessions,
            shrink,
        } = answer;
        let old = self.catalog.find_file(&key)?;
        let stored = match &old {
            Some(file) => self.read_catalogued(file)?,
            None => self.refuse_unknown_file(&key)?,
        };
        let before = match (sessions.first(), sessions.last()) {
            (Some(first), Some(last)) => SqliteSymbolBarsRepository::new(self.database.clone())
                .list_sessions(&key.dataset, &key.symbol, first.asked.date, last.asked.date)?,
            _ => Vec::new(),
        };
        let earlier_of = |session: &SessionAnswer| {
            before
                .iter()
                .find(|record| record.date == session.asked.date)
        };
        let asked_dates: Vec<SessionDate> =
            sessions.iter().map(|session| session.asked.date).collect();
        // Another process may have asked later and committed first: the newer answer stands.
        let is_outdated = |session: &SessionAnswer| {
            earlier_of(session).is_some_and(|earlier| {
                earlier.asked_at_us > session.asked_at_us
                    && earlier.asked.covers(&session.asked.range)
            })
        };
        let sessions: Vec<SessionAnswer> = sessions
            .into_iter()
            .filter(|session| !is_outdated(session))
            .collect();
        let asked: Vec<_> = sessions
            .iter()
            .map(|session| session.asked.clone())
            .collect();
        let Merged {
            batch,
            new_rows,
            revisions,
            refused,
        } = merge::merge_answer(&stored, &answer, &asked, shrink);
        let (mut records, mut released_us) = (Vec::new(), Vec::new());
        for session in sessions.iter().filter(|session| {
            !refused
                .iter()
                .any(|refusal| refusal.date == session.asked.date)
        }) {
            let (record, released) = record_of(session, earlier_of(session), &batch);
            records.push(record);
            released_us.extend(released);
        }
        let rows_asked = asked_dates
            .iter()
            .map(|date| batch.session_rows(*date).len())
            .sum();
        let empty_sessions = records.iter().filter(|record| record.rows() == 0).count();
        let rows = batch.len();
        let is_changed = new_rows > 0 || !revisions.is_empty();
        let change = match old {
            _ if !is_changed => FileChange::Keep,
            Some(old) if batch.is_empty() => FileChange::Remove { old: Box::new(old) },
            old => self.stage(&key, batch, old)?,
        };
        let bytes = match &change {
            FileChange::Replace { file, .. } => file.bytes,
            _ => 0,
        };
        let outcome = if is_changed {
            PartitionOutcome::Written
        } else {
            PartitionOutcome::Unchanged
        };
        let receipt = PartitionReceipt {
            key: key.clone(),
            outcome,
            rows,
            rows_new: new_rows,
            rows_revised: revisions.len(),
            refused,
            rows_asked,
            empty_sessions,
            bytes,
        };
        Ok(PreparedPartition {
            key,
            change,
            records,
            revisions,
            released_us,
            receipt,
            derived: None,
            is_blocked: false,
        })
    }

    /// A file that the catalog does not know is never overwritten: it may be all that is left of something.
    fn refuse_unknown_file(&self, key: &PartitionKey) -> Result<BarBatch, StoreError> {
        let path = self.storage.path_of(key);
        match path.symlink_metadata() {
            Ok(_) => {
                let context = format!(
                    "{} is on disk but not in the catalog, and is not overwritten; `marketpipe doctor` says what to do",
                    path.display()
                );
                Err(StoreError::new(StoreErrorKind::Damaged, context))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BarBatch::empty()),
            // Whether there is one cannot be told: no reason to write over it.
            Err(error) => Err(disk::io_failure("inspect", &path, error)),
        }
    }

    /// Writes the new file beside the lake, durable and checked.
    fn stage(
        &self,
        key: &PartitionKey,
        batch: BarBatch,
        old: Option<PartitionFile>,
    ) -> Result<FileChange, StoreError> {
        let span_us = span_us(&batch);
        let encoded = self.storage.engine().encode(key, batch);
        let encoded = encoded.map_err(|error| cannot_encode(key, error))?;
        self.stage_encoded(key, &encoded, span_us, old)
    }

    /// Writes an encoded file beside the lake, durable and checked.
    pub(super) fn stage_encoded(
        &self,
        key: &PartitionKey,
        encoded: &EncodedFile,
        span_us: (i64, i64),
        old: Option<PartitionFile>,
    ) -> Result<FileChange, StoreError> {
        let number = STAGED_FILES.fetch_add(1, Ordering::Relaxed);
        let staged_name = format!(
            "{}-{number}-{}.parquet",
            std::process::id(),
            &encoded.sha256[..16]
        );
        let path = self.directory.staging().join(&staged_name);
        disk::write_new_durable(&path, &encoded.bytes)?;
        // A lying or short write shows here, before anything points to the file.
        let read_back = disk::read_if_present(&path).inspect_err(|_| {
            // The disk that cannot read it should at least have its room back.
            _ = std::fs::remove_file(&path);
        })?;
        if read_back.as_deref() != Some(&encoded.bytes[..]) {
            _ = std::fs::remove_file(&path);
            let context = format!(
                "{} reads back differently than it was written",
                path.display()
            );
            return Err(StoreError::new(StoreErrorKind::Failed, context));
        }
        let written = (encoded.sha256.as_str(), encoded.bytes.len());
        let file = Box::new(describe_file(key, &encoded.description, written, span_us)?);
        Ok(FileChange::Replace {
            staged_name,
            file,
            old_sha256: old.map(|old| old.sha256),
        })
    }
}

/// The first and the last bar of a batch that is not empty, UTC microseconds.
pub(super) fn span_us(batch: &BarBatch) -> (i64, i64) {
    let ts_us = &batch.columns().ts_us;
    let span_us = ts_us.first().copied().zip(ts_us.last().copied());
    span_us.unwrap_or_default()
}

pub(super) fn cannot_encode(key: &PartitionKey, error: FileError) -> StoreError {
    let context = format!("cannot encode {key}: {error}");
    StoreError::new(StoreErrorKind::Failed, context).caused_by(error)
}

/// The ledger's record of an answered session, and the minutes that leave quarantine because they have a sound row now.
fn record_of(
    session: &SessionAnswer,
    earlier: Option<&SessionRecord>,
    batch: &BarBatch,
) -> (SessionRecord, Vec<i64>) {
    let asked = Asked::again(
        earlier,
        &session.session,
        session.asked.range,
        session.asked_at_us,
        session.next_pre_open_us,
    );
    let was_quarantined: Vec<i64> = (0..MINUTES_PER_FRAME)
        .filter(|&minute| earlier.is_some_and(|earlier| earlier.quarantined.contains(minute)))
        .map(|minute| session.session.minute_ts_us(minute))
        .collect();
    // What was not asked for this time is as bad as it was.
    let mut quarantined = session.asked.quarantined_ts_us.clone();
    quarantined.extend(
        was_quarantined
            .iter()
            .filter(|&&ts_us| !session.asked.range.contains(ts_us)),
    );
    let record = SessionRecord::of_stored_rows(&session.session, batch, asked, &quarantined);
    let has_row = |ts_us: &i64| {
        session
            .session
            .minute_index(*ts_us)
            .is_some_and(|minute| record.present.contains(minute))
    };
    let released = was_quarantined.into_iter().filter(has_row).collect();
    (record, released)
}

/// What the catalog keeps of a file of `bytes` bytes that says this of itself.
pub(super) fn describe_file(
    key: &PartitionKey,
    description: &FileDescription,
    (sha256, bytes): (&str, usize),
    (first_ts_us, last_ts_us): (i64, i64),
) -> Result<PartitionFile, StoreError> {
    let date = |text: &str| {
        text.parse().map_err(|error| {
            StoreError::new(
                StoreErrorKind::Failed,
                format!("cannot describe {key}: session date `{text}`"),
            )
            .caused_by(error)
        })
    };
    Ok(PartitionFile {
        key: key.clone(),
        sha256: sha256.to_owned(),
        content_hash: description.content.clone(),
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        rows: description.rows,
        first_ts_us,
        last_ts_us,
        first_session: date(&description.first_session)?,
        last_session: date(&description.last_session)?,
    })
}
