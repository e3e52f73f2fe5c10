//! Preparing one partition for a commit: read, merge, record, encode, stage. Changes nothing that anybody can see.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::merge::{self, Merged, Revision};
use crate::domain::ports::{
    PartitionAnswer, PartitionFile, PartitionOutcome, PartitionReceipt, StoreError, StoreErrorKind,
    SymbolBarsRepository,
};
use crate::domain::symbol_bars::Asked;
use crate::domain::{BarBatch, PartitionKey, SessionRecord};
use crate::infrastructure::disk;
use crate::infrastructure::parquet::engine::EncodedFile;
use crate::infrastructure::sqlite::SqliteSymbolBarsRepository;

use super::LakeStore;

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
    /// Prepares `answer`; a failure is part of the receipt.
    pub(super) fn prepare(&self, answer: PartitionAnswer) -> PreparedPartition {
        let key = answer.key.clone();
        self.try_prepare(answer)
            .unwrap_or_else(|error| PreparedPartition {
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
                    empty_sessions: 0,
                    bytes: 0,
                },
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
        let before = match (sessions.first(), sessions.last()) {
            (Some(first), Some(last)) => SqliteSymbolBarsRepository::new(self.database.clone())
                .list_sessions(&key.dataset, &key.symbol, first.asked.date, last.asked.date)?,
            _ => Vec::new(),
        };
        let (mut records, mut released_us, mut empty_sessions) = (Vec::new(), Vec::new(), 0);
        for session in sessions.iter().filter(|session| {
            !refused
                .iter()
                .any(|refusal| refusal.date == session.asked.date)
        }) {
            let earlier = before
                .iter()
                .find(|record| record.date == session.asked.date);
            let asked = Asked::again(
                earlier,
                &session.session,
                session.asked.range,
                session.asked_at_us,
                session.next_pre_open_us,
            );
            let record = SessionRecord::of_stored_rows(
                &session.session,
                &batch,
                asked,
                &session.asked.quarantined_ts_us,
            );
            if let Some(earlier) = earlier.filter(|earlier| !earlier.quarantined.is_empty()) {
                let released =
                    (0..crate::domain::minute_set::MINUTES_PER_FRAME).filter(|&minute| {
                        earlier.quarantined.contains(minute) && record.present.contains(minute)
                    });
                released_us.extend(released.map(|minute| session.session.minute_ts_us(minute)));
            }
            empty_sessions += usize::from(record.rows() == 0);
            records.push(record);
        }
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
        })
    }

    /// A file that the catalog does not know is never overwritten: it may be all that is left of something.
    fn refuse_unknown_file(&self, key: &PartitionKey) -> Result<BarBatch, StoreError> {
        let path = self.storage.path_of(key);
        if path.symlink_metadata().is_ok() {
            let context = format!(
                "{} is on disk but not in the catalog, and is not overwritten",
                path.display()
            );
            return Err(StoreError::new(StoreErrorKind::Damaged, context));
        }
        Ok(BarBatch::empty())
    }

    /// Writes the new file beside the lake, durable and checked.
    fn stage(
        &self,
        key: &PartitionKey,
        batch: BarBatch,
        old: Option<PartitionFile>,
    ) -> Result<FileChange, StoreError> {
        let columns = batch.columns();
        let first_last = |values: &[i64]| {
            values
                .first()
                .copied()
                .zip(values.last().copied())
                .unwrap_or_default()
        };
        let (first_ts_us, last_ts_us) = first_last(&columns.ts_us);
        let encoded = self.storage.engine().encode(key, batch).map_err(|error| {
            StoreError::new(
                StoreErrorKind::Failed,
                format!("cannot encode {key}: {error}"),
            )
            .caused_by(error)
        })?;
        let number = STAGED_FILES.fetch_add(1, Ordering::Relaxed);
        let staged_name = format!(
            "{}-{number}-{}.parquet",
            std::process::id(),
            &encoded.sha256[..16]
        );
        let path = self.directory.staging().join(&staged_name);
        disk::write_new_durable(&path, &encoded.bytes)?;
        // A lying or short write shows here, before anything points to the file.
        if disk::read_if_present(&path)?.as_deref() != Some(&encoded.bytes[..]) {
            _ = std::fs::remove_file(&path);
            let context = format!(
                "{} reads back differently than it was written",
                path.display()
            );
            return Err(StoreError::new(StoreErrorKind::Failed, context));
        }
        let file = Box::new(describe_file(key, &encoded, first_ts_us, last_ts_us)?);
        Ok(FileChange::Replace {
            staged_name,
            file,
            old_sha256: old.map(|old| old.sha256),
        })
    }
}

fn describe_file(
    key: &PartitionKey,
    encoded: &EncodedFile,
    first_ts_us: i64,
    last_ts_us: i64,
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
        sha256: encoded.sha256.clone(),
        content_hash: encoded.description.content.clone(),
        bytes: u64::try_from(encoded.bytes.len()).unwrap_or(u64::MAX),
        rows: encoded.description.rows,
        first_ts_us,
        last_ts_us,
        first_session: date(&encoded.description.first_session)?,
        last_session: date(&encoded.description.last_session)?,
    })
}
