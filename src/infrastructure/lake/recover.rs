//! Recovery: finishes or forgets what a dead writer left. Runs under the store lock, as often as one likes.

use std::collections::BTreeSet;
use std::path::Path;

use crate::domain::Event;
use crate::domain::digest::hex_sha256;
use crate::domain::job::{JobCounts, JobId};
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::infrastructure::disk;
use crate::infrastructure::sqlite::catalog::{delete_files_in, put_files_in};
use crate::infrastructure::sqlite::job::add_counts_in;
use crate::infrastructure::sqlite::{CommitSummary, JobShare, RedoRecord, fence, redo};

use super::commit::take_back_announced;
use super::lock::PublishLock;
use super::{LakeStore, REMOVAL_PREFIX};

/// What becomes of one redo record.
enum Verdict {
    /// The file is in place; its catalog row is written.
    Finish,
    /// The file is gone as intended; its catalog row goes.
    Remove,
    /// Nothing of it can be seen; the record is dropped and the next run asks again.
    Forget,
}

/// The job of a change that was finished late, and what it counts then; none for derived bars.
fn counts_of(share: &JobShare) -> Option<(JobId, JobCounts)> {
    let counts = JobCounts {
        rows_new: share.rows_new,
        rows_revised: share.rows_revised,
        files_written: 1,
        ..JobCounts::default()
    };
    share.job.map(|job| (job, counts))
}

impl LakeStore {
    /// Brings lake and catalog together after a writer died. The caller holds the store lock.
    ///
    /// Returns the paths of commits that can be neither finished nor forgotten now; they hold up their own
    /// partition and no other.
    pub(super) fn recover(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut blocked = BTreeSet::new();
        let mut still_staged = BTreeSet::new();
        for record in self.catalog.list_redo()? {
            if let Err(error) = self.redo(&record) {
                tracing::warn!("an interrupted commit cannot be finished: {error}");
                blocked.insert(record.file.path);
                still_staged.insert(record.staged_name);
            }
        }
        self.clear_staging(&still_staged)?;
        Ok(blocked)
    }

    fn redo(&self, record: &RedoRecord) -> Result<(), StoreError> {
        let verdict = if record.staged_name.starts_with(REMOVAL_PREFIX) {
            self.redo_removal(record)?
        } else {
            self.redo_replacement(record)?
        };
        tracing::info!(path = %record.file.path, "finished what an interrupted commit left");
        let key = &record.file.file.key;
        let counts = match verdict {
            Verdict::Finish | Verdict::Remove => counts_of(&record.share),
            Verdict::Forget => None,
        };
        self.database.write(|transaction| {
            if let Some((job, counts)) = &counts {
                match add_counts_in(transaction, *job, counts) {
                    // It was forgotten meanwhile, and its counters with it.
                    Err(error) if error.kind == StoreErrorKind::Missing => {}
                    added => added?,
                }
            }
            match verdict {
                Verdict::Finish => {
                    let summary = CommitSummary {
                        job: record.share.job,
                        at_us: record.created_at_us,
                        partitions: 1,
                        rows_new: record.share.rows_new,
                        rows_revised: record.share.rows_revised,
                    };
                    let commit_seq = fence::append_commit_in(transaction, &summary)?;
                    put_files_in(transaction, std::slice::from_ref(&record.file), commit_seq)?;
                }
                Verdict::Remove => _ = delete_files_in(transaction, std::slice::from_ref(key))?,
                Verdict::Forget => take_back_announced(transaction, key, record.created_at_us)?,
            }
            redo::delete_redo_in(transaction, std::slice::from_ref(&record.file.path))?;
            Ok(())
        })?;
        if let Some((_, counts)) = counts {
            let dataset = key.dataset.clone();
            self.events.publish(&Event::JobCounted { dataset, counts });
        }
        Ok(())
    }

    fn redo_replacement(&self, record: &RedoRecord) -> Result<Verdict, StoreError> {
        let path = self.directory.root().join(&record.file.path);
        let staged = self.directory.staging().join(&record.staged_name);
        let folder = path.parent().unwrap_or(Path::new("."));
        let present = sha256_of(&path)?;
        if present.as_deref() == Some(&record.file.file.sha256) {
            disk::sync_folder(folder)?;
            return Ok(Verdict::Finish);
        }
        // Derived bars can be made again, whatever lies in their place; minutes may be all that is left of something.
        let is_derived = record.file.file.key.timeframe.is_derived();
        if present != record.old_sha256 && !is_derived {
            return Err(contradiction(&path, present, record));
        }
        if sha256_of(&staged)?.as_deref() != Some(&record.file.file.sha256) {
            return Ok(Verdict::Forget);
        }
        disk::create_folders(folder)?;
        {
            let _readers_wait =
                PublishLock::new(self.directory.publish_lock()).exclusive(self.lock_wait)?;
            disk::rename(&staged, &path)?;
        }
        disk::sync_folder(folder)?;
        Ok(Verdict::Finish)
    }

    fn redo_removal(&self, record: &RedoRecord) -> Result<Verdict, StoreError> {
        let path = self.directory.root().join(&record.file.path);
        let present = sha256_of(&path)?;
        let is_derived = record.file.file.key.timeframe.is_derived();
        if present.is_some() && present != record.old_sha256 && !is_derived {
            return Err(contradiction(&path, present, record));
        }
        disk::remove_if_present(&path)?;
        disk::sync_folder(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Verdict::Remove)
    }

    /// Removes staged files: under the lock, without redo records, nobody needs them.
    fn clear_staging(&self, still_staged: &BTreeSet<String>) -> Result<(), StoreError> {
        let entries = std::fs::read_dir(self.directory.staging())
            .map_err(|error| disk::io_failure("list", &self.directory.staging(), error))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if entry
                .file_name()
                .to_str()
                .is_some_and(|name| still_staged.contains(name))
            {
                continue;
            }
            let is_ours = path
                .extension()
                .is_some_and(|extension| extension == "parquet");
            if is_ours && entry.file_type().is_ok_and(|file_type| file_type.is_file()) {
                disk::remove_if_present(&path)?;
            }
        }
        Ok(())
    }
}

fn sha256_of(path: &Path) -> Result<Option<String>, StoreError> {
    Ok(disk::read_if_present(path)?.map(|bytes| hex_sha256(&bytes)))
}

fn contradiction(path: &Path, present: Option<String>, record: &RedoRecord) -> StoreError {
    let found = present.unwrap_or_else(|| "missing".to_owned());
    let old = record.old_sha256.as_deref().unwrap_or("no file");
    let context = format!(
        "{} was changed by somebody else during a commit: it is {found}, expected {old} or {}",
        path.display(),
        record.file.file.sha256
    );
    StoreError::new(StoreErrorKind::Damaged, context)
}
