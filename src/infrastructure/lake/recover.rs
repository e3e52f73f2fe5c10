//! Recovery: finishes or forgets what a dead writer left. Runs under the store lock, as often as one likes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::domain::causes::with_causes;
use crate::domain::digest::hex_sha256;
use crate::domain::job::{JobCounts, JobId};
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::domain::{BarBatch, Event, PartitionKey, SessionRecord};
use crate::infrastructure::disk::{self, Access};
use crate::infrastructure::sqlite::catalog::{delete_files_in, put_files_in};
use crate::infrastructure::sqlite::job::add_counts_in;
use crate::infrastructure::sqlite::symbol_bars::{list_sessions_in, put_sessions_in};
use crate::infrastructure::sqlite::{CommitSummary, JobShare, RedoRecord, fence, redo};

use super::commit::{catalog_path, take_back_revisions};
use super::presence::refuse_absent;
use super::settle::realigned;
use super::{DataDirectory, LakeStore, REMOVAL_PREFIX};

/// A commit that can be neither finished nor forgotten now.
pub(super) struct Blocked {
    /// Whether somebody else changed the file: waiting does not help. Otherwise the system failed, and may not the next time.
    pub(super) is_contradiction: bool,
    /// Why, in words.
    pub(super) why: String,
}

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
    /// partition and no other. A lake that is not there is refused: commits would be finished in its mount point.
    pub(super) fn recover(&self) -> Result<BTreeSet<String>, StoreError> {
        refuse_absent(&self.directory, &self.catalog)?;
        Ok(self.finish_interrupted()?.into_keys().collect())
    }

    /// The same for whoever takes the lake as it is, absent or not: with the paths why nothing can be done.
    pub(super) fn finish_interrupted(&self) -> Result<BTreeMap<String, Blocked>, StoreError> {
        let mut blocked = BTreeMap::new();
        let mut still_staged = BTreeSet::new();
        for record in self.catalog.list_redo()? {
            if let Err(error) = self.redo(&record) {
                tracing::warn!("an interrupted commit cannot be finished: {error}");
                let prospect = prospect_of(&self.directory, &record);
                let is_contradiction = matches!(prospect, Ok(Prospect::Contradiction(_)));
                let why = with_causes(&error);
                let path = record.file.path;
                blocked.insert(
                    path,
                    Blocked {
                        is_contradiction,
                        why,
                    },
                );
                still_staged.insert(record.staged_name);
            }
        }
        self.clear_staging(&still_staged)?;
        Ok(blocked)
    }

    /// Finishes or forgets one interrupted commit. The caller holds the store lock.
    pub(super) fn redo(&self, record: &RedoRecord) -> Result<(), StoreError> {
        self.refuse_foreign(record)?;
        // Until files and catalog agree again, or a reader would take what lies there for damaged.
        let _readers_wait = self.keep_readers_away()?;
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
        let realigned = match verdict {
            Verdict::Forget => self.realigned_records(key)?,
            Verdict::Finish | Verdict::Remove => Vec::new(),
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
                Verdict::Forget => {
                    take_back_revisions(transaction, key, record.created_at_us)?;
                    put_sessions_in(transaction, &key.dataset, &key.symbol, &realigned)?;
                }
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

    /// What the ledger has to say of sessions whose new rows never came into the lake.
    pub(super) fn realigned_records(
        &self,
        key: &PartitionKey,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let Some((first, last)) = key.period.month_dates() else {
            return Ok(Vec::new());
        };
        let stored = match self.catalog.find_file(key)? {
            None => BarBatch::empty(),
            Some(file) => match self.read_catalogued(&file) {
                Ok(stored) => stored,
                // What a damaged file held is told by whoever looks for damage.
                Err(_) => return Ok(Vec::new()),
            },
        };
        let before = self
            .database
            .read(|conn| list_sessions_in(conn, &key.dataset, &key.symbol, first, last))?;
        Ok(realigned(key, &before, &stored))
    }

    /// A database may come from elsewhere: where a commit of it is finished is decided by what it is about, not by what
    /// a record says, and never through a link.
    fn refuse_foreign(&self, record: &RedoRecord) -> Result<(), StoreError> {
        let file = &record.file;
        let is_name =
            Path::new(&record.staged_name).file_name() == Some(record.staged_name.as_ref());
        if file.path != catalog_path(&file.file.key) || !is_name {
            let context = format!(
                "the record of an interrupted commit of {} names other files than its own: `{}`, `{}`",
                file.file.key,
                file.path.escape_debug(),
                record.staged_name.escape_debug()
            );
            return Err(StoreError::new(StoreErrorKind::Damaged, context));
        }
        let path = self.directory.root().join(&file.path);
        let folder = path.parent().unwrap_or(Path::new("."));
        disk::refuse_links_below(self.directory.root(), folder)
    }

    fn redo_replacement(&self, record: &RedoRecord) -> Result<Verdict, StoreError> {
        match prospect_of(&self.directory, record)? {
            Prospect::Contradiction(why) => {
                return Err(StoreError::new(StoreErrorKind::Damaged, why));
            }
            Prospect::Forget => return Ok(Verdict::Forget),
            Prospect::Finish => {}
        }
        let path = self.directory.root().join(&record.file.path);
        let folder = path.parent().unwrap_or(Path::new("."));
        if sha256_of(&path)?.as_deref() != Some(&record.file.file.sha256) {
            disk::create_folders(folder, Access::Readable)?;
            let staged = self.directory.staging().join(&record.staged_name);
            disk::rename(&staged, &path)?;
        }
        disk::sync_folder(folder)?;
        Ok(Verdict::Finish)
    }

    fn redo_removal(&self, record: &RedoRecord) -> Result<Verdict, StoreError> {
        if let Prospect::Contradiction(why) = prospect_of(&self.directory, record)? {
            return Err(StoreError::new(StoreErrorKind::Damaged, why));
        }
        let path = self.directory.root().join(&record.file.path);
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
            let is_ours = is_staged_bars(&self.directory.staging(), &path);
            if is_ours && entry.file_type().is_ok_and(|file_type| file_type.is_file()) {
                disk::remove_if_present(&path)?;
            }
        }
        Ok(())
    }
}

/// Whether the file at `path` is one that a commit puts into the staging area, and recovery removes.
pub(super) fn is_staged_bars(staging: &Path, path: &Path) -> bool {
    let is_bars = path
        .extension()
        .is_some_and(|extension| extension == "parquet");
    is_bars && path.parent() == Some(staging)
}

fn sha256_of(path: &Path) -> Result<Option<String>, StoreError> {
    Ok(disk::read_if_present(path)?.map(|bytes| hex_sha256(&bytes)))
}

/// What recovery can do with a redo record, by what lies there now.
pub(super) enum Prospect {
    /// Finish it: the file is in place, or goes there.
    Finish,
    /// Forget it: nothing of it can be seen.
    Forget,
    /// Neither: somebody else changed the file; why, in words.
    Contradiction(String),
}

/// What recovery can do with `record`. Changes nothing.
pub(super) fn prospect_of(
    directory: &DataDirectory,
    record: &RedoRecord,
) -> Result<Prospect, StoreError> {
    let path = directory.root().join(&record.file.path);
    let present = match sha256_of(&path) {
        // A link, a folder: somebody else's work as well.
        Err(error) if error.kind == StoreErrorKind::Damaged => {
            return Ok(Prospect::Contradiction(with_causes(&error)));
        }
        present => present?,
    };
    // Derived bars can be made again, whatever lies in their place; minutes may be all that is left of something.
    let is_derived = record.file.file.key.timeframe.is_derived();
    let is_as_before = is_derived || present == record.old_sha256;
    if record.staged_name.starts_with(REMOVAL_PREFIX) {
        return Ok(if present.is_none() || is_as_before {
            Prospect::Finish
        } else {
            Prospect::Contradiction(contradiction(&path, present, record))
        });
    }
    let new = Some(record.file.file.sha256.as_str());
    if present.as_deref() == new {
        return Ok(Prospect::Finish);
    }
    let is_staged = is_staged(directory, record)?;
    // Where nothing is left of what was there before, what was to follow it is all there is.
    Ok(match (is_staged, is_as_before) {
        (true, true) => Prospect::Finish,
        (true, false) if present.is_none() => Prospect::Finish,
        (false, true) => Prospect::Forget,
        (_, false) => Prospect::Contradiction(contradiction(&path, present, record)),
    })
}

/// Whether the file that is to take the place is still in the staging area, sound to the last byte.
pub(super) fn is_staged(
    directory: &DataDirectory,
    record: &RedoRecord,
) -> Result<bool, StoreError> {
    let staged = sha256_of(&directory.staging().join(&record.staged_name))?;
    Ok(staged.as_deref() == Some(&record.file.file.sha256))
}

fn contradiction(path: &Path, present: Option<String>, record: &RedoRecord) -> String {
    let found = present.unwrap_or_else(|| "missing".to_owned());
    let old = record.old_sha256.as_deref().unwrap_or("no file");
    format!(
        "{} was changed by somebody else during a commit: it is {found}, expected {old} or {}",
        path.display(),
        record.file.file.sha256
    )
}
