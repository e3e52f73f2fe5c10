//! The commit: stage, write a redo record, rename, record. At no moment can a reader see half of it, and a
//! process that dies anywhere in between leaves what [`recover`](super::recover) can finish or forget.

use std::collections::BTreeSet;
use std::path::Path;

use crate::domain::event::Event;
use crate::domain::ports::{
    CommitBatch, CommitReceipt, PartitionAnswer, PartitionOutcome, RevisionRow, StoreError,
};
use crate::infrastructure::disk;
use crate::infrastructure::parquet::data_storage::relative_path;
use crate::infrastructure::parquet::engine::SCHEMA_VERSION;
use crate::infrastructure::sqlite::catalog::{delete_files_in, put_files_in};
use crate::infrastructure::sqlite::checkpoint::advance_in;
use crate::infrastructure::sqlite::ohlcv::{
    put_quarantined_in, put_revisions_in, release_quarantined_in,
};
use crate::infrastructure::sqlite::symbol_bars::put_sessions_in;
use crate::infrastructure::sqlite::{CatalogFile, CommitSummary, RedoRecord, fence, redo};

use super::lock::{LockGuard, PublishLock, lock_store};
use super::prepare::{FileChange, PreparedPartition};
use super::{LakeStore, REMOVAL_PREFIX};

impl LakeStore {
    /// Takes the store lock; tells the user when somebody else has it.
    pub(super) fn lock(&self) -> Result<LockGuard, StoreError> {
        let holder = format!("process {}", std::process::id());
        lock_store(
            &self.directory.store_lock(),
            &holder,
            self.lock_wait,
            |holder| {
                self.events.publish(&Event::StoreLockAwaited {
                    holder: holder.to_owned(),
                });
            },
        )
    }

    /// Commits a batch; see [`BarStore::commit`](crate::domain::ports::BarStore::commit).
    pub(super) fn commit_batch(&self, mut batch: CommitBatch) -> Result<CommitReceipt, StoreError> {
        let _lock = self.lock()?;
        self.recover()?;
        let answers = std::mem::take(&mut batch.answers);
        let mut prepared = self.prepare_all(answers);
        let outcome = self.publish(&mut prepared, &batch);
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
    fn prepare_all(&self, answers: Vec<PartitionAnswer>) -> Vec<PreparedPartition> {
        let threads = std::thread::available_parallelism()
            .map_or(1, std::num::NonZero::get)
            .min(answers.len().max(1));
        if threads == 1 {
            return answers
                .into_iter()
                .map(|answer| self.prepare(answer))
                .collect();
        }
        let share = answers.len().div_ceil(threads);
        let mut rest = answers;
        let mut shares = Vec::with_capacity(threads);
        while rest.len() > share {
            let tail = rest.split_off(share);
            shares.push(std::mem::replace(&mut rest, tail));
        }
        shares.push(rest);
        std::thread::scope(|scope| {
            let workers: Vec<_> = shares
                .into_iter()
                .map(|share| {
                    scope.spawn(move || {
                        share
                            .into_iter()
                            .map(|answer| self.prepare(answer))
                            .collect::<Vec<_>>()
                    })
                })
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

    fn publish(
        &self,
        prepared: &mut [PreparedPartition],
        batch: &CommitBatch,
    ) -> Result<(), StoreError> {
        let redo_records = |epoch| {
            prepared
                .iter()
                .filter_map(|partition| redo_record(partition, epoch, batch.at_us))
                .collect::<Vec<_>>()
        };
        let changes_files = prepared
            .iter()
            .any(|partition| !matches!(partition.change, FileChange::Keep));
        let epoch = if changes_files {
            // The staged files must be findable before anything names them.
            disk::sync_folder(&self.directory.staging())?;
            let epoch = self.database.write(|transaction| {
                let epoch = fence::bump_epoch_in(transaction)?;
                redo::put_redo_in(transaction, &redo_records(epoch))?;
                Ok(epoch)
            })?;
            self.rename_all(prepared)?;
            Some(epoch)
        } else {
            None
        };
        self.record(prepared, batch, epoch)
    }

    /// Puts every staged file in its place, with readers kept away for that moment, and makes the folders durable.
    fn rename_all(&self, prepared: &[PreparedPartition]) -> Result<(), StoreError> {
        let mut folders = BTreeSet::new();
        for partition in prepared
            .iter()
            .filter(|partition| matches!(partition.change, FileChange::Replace { .. }))
        {
            let path = self.storage.path_of(&partition.key);
            let folder = path.parent().unwrap_or(Path::new("."));
            disk::create_folders(folder)?;
            folders.insert(folder.to_owned());
        }
        {
            let _readers_wait = PublishLock::new(self.directory.publish_lock()).exclusive()?;
            for partition in prepared {
                let path = self.storage.path_of(&partition.key);
                match &partition.change {
                    FileChange::Keep => {}
                    FileChange::Replace { staged_name, .. } => {
                        disk::rename(&self.directory.staging().join(staged_name), &path)?
                    }
                    FileChange::Remove { .. } => {
                        disk::remove_if_present(&path)?;
                        folders.insert(path.parent().unwrap_or(Path::new(".")).to_owned());
                    }
                }
            }
        }
        folders
            .iter()
            .try_for_each(|folder| disk::sync_folder(folder))
    }

    /// The commit point: catalog, ledger, quarantine, revisions and checkpoints in one transaction.
    fn record(
        &self,
        prepared: &[PreparedPartition],
        batch: &CommitBatch,
        epoch: Option<i64>,
    ) -> Result<(), StoreError> {
        let succeeded = || {
            prepared.iter().filter(|partition| {
                !matches!(partition.receipt.outcome, PartitionOutcome::Failed(_))
            })
        };
        let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.database.write(|transaction| {
            if let Some(epoch) = epoch {
                fence::check_epoch_in(transaction, epoch)?;
                let files: Vec<CatalogFile> = prepared.iter().filter_map(replaced_file).collect();
                let removed: Vec<_> = prepared
                    .iter()
                    .filter(|partition| matches!(partition.change, FileChange::Remove { .. }))
                    .map(|partition| partition.key.clone())
                    .collect();
                let summary = CommitSummary {
                    job: Some(batch.job),
                    at_us: batch.at_us,
                    partitions: as_u64(files.len() + removed.len()),
                    rows_new: succeeded()
                        .map(|partition| as_u64(partition.receipt.rows_new))
                        .sum(),
                    rows_revised: succeeded()
                        .map(|partition| as_u64(partition.receipt.rows_revised))
                        .sum(),
                };
                let commit_seq = fence::append_commit_in(transaction, &summary)?;
                put_files_in(transaction, &files, commit_seq)?;
                delete_files_in(transaction, &removed)?;
                let paths: Vec<String> = prepared
                    .iter()
                    .map(|partition| catalog_path(&partition.key))
                    .collect();
                redo::delete_redo_in(transaction, &paths)?;
            }
            put_quarantined_in(transaction, &batch.quarantined)?;
            for partition in succeeded() {
                let key = &partition.key;
                put_sessions_in(transaction, &key.dataset, &key.symbol, &partition.records)?;
                release_quarantined_in(
                    transaction,
                    &key.dataset,
                    &key.symbol,
                    &partition.released_us,
                )?;
                let revisions: Vec<RevisionRow> = partition
                    .revisions
                    .iter()
                    .map(|revision| RevisionRow {
                        dataset: key.dataset.clone(),
                        symbol: key.symbol.clone(),
                        old: revision.old,
                        new: revision.new,
                        job: batch.job,
                        seen_at_us: batch.at_us,
                    })
                    .collect();
                put_revisions_in(transaction, &revisions)?;
            }
            for checkpoint in &batch.checkpoints {
                advance_in(transaction, checkpoint)?;
            }
            Ok(())
        })
    }

    /// Removes staged files that no redo record names. Those that one names are recovery's.
    fn forget_staged(&self, prepared: &[PreparedPartition]) {
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

/// A partition's path as the catalog keeps it: relative to the data directory.
pub(super) fn catalog_path(key: &crate::domain::PartitionKey) -> String {
    format!("lake/{}", relative_path(key))
}

fn replaced_file(partition: &PreparedPartition) -> Option<CatalogFile> {
    let FileChange::Replace { file, .. } = &partition.change else {
        return None;
    };
    Some(CatalogFile {
        file: file.as_ref().clone(),
        path: catalog_path(&partition.key),
        schema_version: SCHEMA_VERSION,
        spec_hash: None,
        commit_seq: None,
    })
}

fn redo_record(partition: &PreparedPartition, epoch: i64, at_us: i64) -> Option<RedoRecord> {
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
        spec_hash: None,
        commit_seq: None,
    };
    Some(RedoRecord {
        file,
        staged_name,
        old_sha256,
        epoch,
        created_at_us: at_us,
    })
}
