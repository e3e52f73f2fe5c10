//! The commit: stage, write a redo record, rename, record. At no moment can a reader see half of it, and a
//! process that dies anywhere in between leaves what [`recover`](super::recover) can finish or forget.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Transaction;

use crate::domain::event::Event;
use crate::domain::job::{JobCounts, JobId};
use crate::domain::merge::Revision;
use crate::domain::ports::{
    CommitBatch, CommitReceipt, EventPublisher, PartitionAnswer, PartitionOutcome, QuarantinedRow,
    RevisionRow, StoreError, StoreErrorKind,
};
use crate::domain::{Checkpoint, PartitionKey, SessionRecord};
use crate::infrastructure::disk::{self, Access};
use crate::infrastructure::parquet::data_storage::relative_path;
use crate::infrastructure::parquet::engine::SCHEMA_VERSION;
use crate::infrastructure::sqlite::catalog::{delete_files_in, find_entry_in, put_files_in};
use crate::infrastructure::sqlite::checkpoint::advance_in;
use crate::infrastructure::sqlite::derivation::{delete_derivation_in, put_derivation_in};
use crate::infrastructure::sqlite::job::add_counts_in;
use crate::infrastructure::sqlite::ohlcv::{
    delete_revisions_in, put_quarantined_in, put_revisions_in, release_quarantined_in,
};
use crate::infrastructure::sqlite::symbol_bars::put_sessions_in;
use crate::infrastructure::sqlite::{
    CatalogFile, CommitSummary, JobShare, RedoRecord, fence, redo,
};

use super::lock::{LockGuard, PublishLock, lock_store};
use super::prepare::{DerivedFrom, FileChange, PreparedPartition};
use super::{DataDirectory, LakeStore, REMOVAL_PREFIX};

/// How long readers of files, this process's own among them, may take to leave, whatever the wait for other writers is.
const READERS_LEAVE: Duration = Duration::from_secs(5);

/// What is recorded together with the files of a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommitContext<'a> {
    /// The ingest at work; `None` in aggregation.
    pub(super) job: Option<JobId>,
    pub(super) quarantined: &'a [QuarantinedRow],
    pub(super) checkpoints: &'a [Checkpoint],
    pub(super) counts: JobCounts,
    pub(super) at_us: i64,
}

impl<'a> CommitContext<'a> {
    /// What belongs to an ingest's batch beside the answers.
    pub(super) fn of(batch: &'a CommitBatch) -> Self {
        Self {
            job: Some(batch.job),
            quarantined: &batch.quarantined,
            checkpoints: &batch.checkpoints,
            counts: batch.counts,
            at_us: batch.at_us,
        }
    }
}

impl LakeStore {
    /// Takes the store lock; tells the user when somebody else has it.
    pub(super) fn lock(&self) -> Result<LockGuard, StoreError> {
        lock_lake(&self.directory, self.events.as_ref(), self.lock_wait)
    }

    /// Commits a batch; see [`BarStore::commit`](crate::domain::ports::BarStore::commit).
    pub(super) fn commit_batch(&self, mut batch: CommitBatch) -> Result<CommitReceipt, StoreError> {
        let _lock = self.lock()?;
        // From here on whoever held the lock before and does not know that it lost it can commit nothing.
        let epoch = self.catalog.bump_epoch()?;
        let blocked = self.recover()?;
        let answers = std::mem::take(&mut batch.answers);
        let mut prepared = self.prepare_all(answers, &blocked);
        let outcome = self.publish(&mut prepared, &CommitContext::of(&batch), epoch);
        if outcome.is_err() {
            self.forget_staged(&prepared);
        }
        outcome?;
        Ok(CommitReceipt {
            partitions: prepared
                .into_iter()
                .map(|partition| partition.receipt)
                .collect(),
        })
    }

    /// Prepares all answers, on as many threads as there are cores: encoding and syncing overlap.
    fn prepare_all(
        &self,
        answers: Vec<PartitionAnswer>,
        blocked: &BTreeSet<String>,
    ) -> Vec<PreparedPartition> {
        on_all_cores(answers, |answer| self.prepare(answer, blocked))
    }

    /// Takes the lock that readers share: they have the time to leave, whatever the wait for other writers is.
    pub(super) fn keep_readers_away(&self) -> Result<LockGuard, StoreError> {
        let lock = PublishLock::new(self.directory.publish_lock());
        lock.exclusive(self.lock_wait.max(READERS_LEAVE))
    }

    pub(super) fn publish(
        &self,
        prepared: &mut [PreparedPartition],
        batch: &CommitContext<'_>,
        epoch: i64,
    ) -> Result<(), StoreError> {
        let changes_files = prepared
            .iter()
            .any(|partition| !matches!(partition.change, FileChange::Keep));
        let mut readers_wait = None;
        if changes_files {
            // The staged files must be findable before anything names them.
            disk::sync_folder(&self.directory.staging())?;
            // Before the redo record: who waits here in vain leaves nothing to be finished.
            readers_wait = Some(self.keep_readers_away()?);
            self.write_ahead(prepared, batch, epoch)?;
            let folders = self.rename_all(prepared);
            folders
                .iter()
                .try_for_each(|folder| disk::sync_folder(folder))?;
        }
        let recorded = self.record(prepared, batch, epoch, changes_files);
        // Only now files and catalog agree again: who read in between would take a new file for a damaged one.
        drop(readers_wait);
        recorded
    }

    /// What must be known before a file changes: how to finish the change, what is replaced, what was refused.
    ///
    /// The ledger's new records are written as not yet asked for: should this process die now, the next run asks again.
    pub(super) fn write_ahead(
        &self,
        prepared: &[PreparedPartition],
        batch: &CommitContext<'_>,
        epoch: i64,
    ) -> Result<(), StoreError> {
        self.database.write(|transaction| {
            fence::check_epoch_in(transaction, epoch)?;
            let records: Vec<RedoRecord> = prepared
                .iter()
                .filter_map(|partition| redo_record(partition, epoch, batch))
                .collect();
            for record in &records {
                let present = find_entry_in(transaction, &record.file.file.key)?;
                if present.map(|entry| entry.file.sha256) != record.old_sha256 {
                    let context = format!("another process changed {} meanwhile", record.file.path);
                    return Err(StoreError::new(StoreErrorKind::Locked, context));
                }
            }
            redo::put_redo_in(transaction, &records)?;
            put_quarantined_in(transaction, batch.quarantined)?;
            for partition in prepared
                .iter()
                .filter(|partition| !matches!(partition.change, FileChange::Keep))
            {
                let key = &partition.key;
                // Should this process die now, the next run makes it again.
                if partition.derived.is_some() {
                    delete_derivation_in(transaction, key)?;
                }
                let unasked: Vec<SessionRecord> = partition
                    .records
                    .iter()
                    .map(|record| record.clone().unasked())
                    .collect();
                put_sessions_in(transaction, &key.dataset, &key.symbol, &unasked)?;
                put_revisions_in(transaction, &revision_rows(partition, batch))?;
            }
            Ok(())
        })
    }

    /// Puts every staged file in its place and returns the folders to sync. A file that cannot be moved fails its
    /// partition alone: nothing of it has changed.
    fn rename_all(&self, prepared: &mut [PreparedPartition]) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for partition in prepared {
            let path = self.storage.path_of(&partition.key);
            let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
            let moved = match &partition.change {
                FileChange::Keep => continue,
                FileChange::Replace { staged_name, .. } => {
                    disk::refuse_links_below(self.directory.root(), &folder)
                        .and_then(|()| {
                            let access = Access::Readable;
                            disk::create_folders_noting(&folder, access, &mut folders)
                        })
                        .and_then(|()| {
                            disk::rename(&self.directory.staging().join(staged_name), &path)
                        })
                }
                FileChange::Remove { .. } => {
                    disk::refuse_links_below(self.directory.root(), &folder)
                        .and_then(|()| disk::remove_if_present(&path))
                }
            };
            match moved {
                Ok(()) => _ = folders.insert(folder),
                Err(error) => partition.fail(error),
            }
        }
        folders
    }

    /// The commit point: catalog, ledger, quarantine and checkpoints in one transaction; the redo records go.
    fn record(
        &self,
        prepared: &[PreparedPartition],
        batch: &CommitContext<'_>,
        epoch: i64,
        has_redo_records: bool,
    ) -> Result<(), StoreError> {
        let (failed, succeeded): (Vec<_>, Vec<_>) = prepared.iter().partition(|partition| {
            matches!(partition.receipt.outcome, PartitionOutcome::Failed(_))
        });
        // What was announced of a file that could not be moved: the ledger counts what is there.
        let realigned = failed
            .iter()
            .filter(|partition| !partition.is_blocked)
            .map(|partition| Ok((&partition.key, self.realigned_records(&partition.key)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.database.write(|transaction| {
            fence::check_epoch_in(transaction, epoch)?;
            if has_redo_records {
                let files: Vec<CatalogFile> = prepared.iter().filter_map(replaced_file).collect();
                let removed: Vec<_> = prepared
                    .iter()
                    .filter(|partition| matches!(partition.change, FileChange::Remove { .. }))
                    .map(|partition| partition.key.clone())
                    .collect();
                let summary = CommitSummary {
                    job: batch.job,
                    at_us: batch.at_us,
                    partitions: as_u64(files.len() + removed.len()),
                    rows_new: succeeded
                        .iter()
                        .map(|partition| as_u64(partition.receipt.rows_new))
                        .sum(),
                    rows_revised: succeeded
                        .iter()
                        .map(|partition| as_u64(partition.receipt.rows_revised))
                        .sum(),
                };
                let commit_seq = fence::append_commit_in(transaction, &summary)?;
                put_files_in(transaction, &files, commit_seq)?;
                delete_files_in(transaction, &removed)?;
                let paths: Vec<String> = prepared
                    .iter()
                    .filter(|partition| !partition.is_blocked)
                    .map(|partition| catalog_path(&partition.key))
                    .collect();
                redo::delete_redo_in(transaction, &paths)?;
                for partition in failed.iter().filter(|partition| !partition.is_blocked) {
                    take_back_revisions(transaction, &partition.key, batch.at_us)?;
                }
            }
            for (key, records) in &realigned {
                put_sessions_in(transaction, &key.dataset, &key.symbol, records)?;
            }
            for partition in &succeeded {
                let key = &partition.key;
                put_sessions_in(transaction, &key.dataset, &key.symbol, &partition.records)?;
                release_quarantined_in(
                    transaction,
                    &key.dataset,
                    &key.symbol,
                    &partition.released_us,
                )?;
                match &partition.derived {
                    Some(DerivedFrom {
                        spec_hash,
                        source_hash: Some(source_hash),
                    }) => put_derivation_in(transaction, key, spec_hash, source_hash)?,
                    Some(_) => delete_derivation_in(transaction, key)?,
                    None => {}
                }
            }
            // After the releases: the evidence of this answer stays.
            put_quarantined_in(transaction, batch.quarantined)?;
            for checkpoint in batch.checkpoints {
                advance_in(transaction, checkpoint)?;
            }
            let Some(job) = batch.job else {
                return Ok(());
            };
            let mut counts = batch.counts;
            for partition in prepared {
                counts += partition.receipt.counts();
            }
            add_counts_in(transaction, job, &counts)
        })
    }

    /// Removes staged files that no redo record names. Those that one names are recovery's.
    pub(super) fn forget_staged(&self, prepared: &[PreparedPartition]) {
        let Ok(named) = self.catalog.list_redo() else {
            return;
        };
        for partition in prepared {
            if let FileChange::Replace { staged_name, .. } = &partition.change
                && !named
                    .iter()
                    .any(|record| record.staged_name == *staged_name)
            {
                // What cannot be removed now is removed by the next recovery.
                _ = std::fs::remove_file(self.directory.staging().join(staged_name));
            }
        }
    }
}

/// Takes the store lock of `directory`, waiting `wait` at most; `events` are told when somebody else has it.
///
/// # Errors
/// [`StoreErrorKind::Locked`] names the holder when the wait was in vain.
pub fn lock_lake(
    directory: &DataDirectory,
    events: &dyn EventPublisher,
    wait: Duration,
) -> Result<LockGuard, StoreError> {
    directory.refuse_links()?;
    let holder = format!("process {}", std::process::id());
    lock_store(&directory.store_lock(), &holder, wait, |holder| {
        events.publish(&Event::StoreLockAwaited {
            holder: holder.to_owned(),
        });
    })
}

/// Does the same to all items, on as many threads as there are cores; the results are in the order of the items.
pub(super) fn on_all_cores<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    on_threads(cores, items, work)
}

/// The same on `threads` threads at most.
pub(super) fn on_threads<T: Send, R: Send>(
    threads: usize,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let threads = threads.min(items.len().max(1));
    if threads == 1 {
        return items.into_iter().map(work).collect();
    }
    let share = items.len().div_ceil(threads);
    let mut rest = items;
    let mut shares = Vec::with_capacity(threads);
    while rest.len() > share {
        let tail = rest.split_off(share);
        shares.push(std::mem::replace(&mut rest, tail));
    }
    shares.push(rest);
    let work = &work;
    std::thread::scope(|scope| {
        let workers: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(work).collect::<Vec<_>>()))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// A partition's path as the catalog keeps it: relative to the data directory.
pub(super) fn catalog_path(key: &PartitionKey) -> String {
    format!("lake/{}", relative_path(key))
}

/// Takes back the revisions that a commit announced for a partition that did not change.
pub(super) fn take_back_revisions(
    transaction: &Transaction<'_>,
    key: &PartitionKey,
    at_us: i64,
) -> Result<(), StoreError> {
    if let Some(dates) = key.period.month_dates() {
        delete_revisions_in(transaction, &key.dataset, &key.symbol, dates, at_us)?;
    }
    Ok(())
}

fn revision_rows(partition: &PreparedPartition, batch: &CommitContext<'_>) -> Vec<RevisionRow> {
    let key = &partition.key;
    // Derived bars have no revisions: they follow their minutes.
    let Some(job) = batch.job else {
        return Vec::new();
    };
    let row = |revision: &Revision| RevisionRow {
        dataset: key.dataset.clone(),
        symbol: key.symbol.clone(),
        old: revision.old,
        new: revision.new,
        job,
        seen_at_us: batch.at_us,
    };
    partition.revisions.iter().map(row).collect()
}

fn replaced_file(partition: &PreparedPartition) -> Option<CatalogFile> {
    let FileChange::Replace { file, .. } = &partition.change else {
        return None;
    };
    Some(CatalogFile {
        file: file.as_ref().clone(),
        path: catalog_path(&partition.key),
        schema_version: SCHEMA_VERSION,
        spec_hash: spec_hash(partition),
        commit_seq: None,
    })
}

fn spec_hash(partition: &PreparedPartition) -> Option<String> {
    let derived = partition.derived.as_ref();
    derived.map(|derived| derived.spec_hash.clone())
}

fn redo_record(
    partition: &PreparedPartition,
    epoch: i64,
    batch: &CommitContext<'_>,
) -> Option<RedoRecord> {
    let (file, staged_name, old_sha256) = match &partition.change {
        FileChange::Keep => return None,
        FileChange::Replace {
            staged_name,
            file,
            old_sha256,
        } => (file, staged_name.clone(), old_sha256.clone()),
        FileChange::Remove { old } => (
            old,
            format!("{REMOVAL_PREFIX}{}", old.sha256),
            Some(old.sha256.clone()),
        ),
    };
    let path = catalog_path(&partition.key);
    let file = CatalogFile {
        file: file.as_ref().clone(),
        path,
        schema_version: SCHEMA_VERSION,
        spec_hash: spec_hash(partition),
        commit_seq: None,
    };
    let counts = partition.receipt.counts();
    Some(RedoRecord {
        file,
        staged_name,
        old_sha256,
        epoch,
        created_at_us: batch.at_us,
        share: JobShare {
            job: batch.job,
            rows_new: counts.rows_new,
            rows_revised: counts.rows_revised,
        },
    })
}
