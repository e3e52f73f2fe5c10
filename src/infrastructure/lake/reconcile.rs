//! Reconciliation: makes catalog and ledger say what the lake holds, where they do not. Sound files are adopted, what is
//! none is set aside and never deleted, and what is gone is withdrawn, so that it counts as not asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::DateTime;

use crate::domain::causes::with_causes;
use crate::domain::ports::{BarSelection, StoreError};
use crate::domain::{Dataset, PartitionKey};
use crate::infrastructure::disk::{self, Access};
use crate::infrastructure::parquet::data_storage::{key_of_path, relative_path};
use crate::infrastructure::parquet::engine::SCHEMA_VERSION;
use crate::infrastructure::sqlite::{CatalogFile, CommitSummary, fence, redo};

use super::commit::{catalog_path, on_all_cores};
use super::presence::refuse_absent;
use super::recover::{Blocked, is_staged};
use super::settle::{adopt_in, note_lost_in, withdraw_in};
use super::verify::{SoundFile, Verified, verify};
use super::{LakeStore, LockGuard};

/// Partitions that are read and entered together: enough to keep all cores busy, few enough to be held in memory.
const PARTITIONS_AT_ONCE: usize = 256;

/// What reconciliation found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Files that were as the catalog says.
    pub kept: usize,
    /// Sound files that the catalog did not know, or knew otherwise: it knows them now.
    pub adopted: Vec<PartitionKey>,
    /// What lay in a partition's place and is not its file.
    pub set_aside: Vec<SetAside>,
    /// Partitions of the catalog that have no file any more: their sessions count as not asked for.
    pub withdrawn: Vec<PartitionKey>,
    /// What is not as it should be and stays as it is, in the lake and in the catalog.
    pub left: Vec<Left>,
}

/// Something that was moved out of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The partition in whose place it lay.
    pub key: PartitionKey,
    /// Where it is now.
    pub to: PathBuf,
    /// Why it is not the partition's file.
    pub why: String,
}

/// Something that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// A file, or a folder whose content cannot be told, relative to the data directory.
    pub path: String,
    /// What is the matter, and why nothing is done about it.
    pub why: String,
}

/// What becomes of one partition.
enum Verdict {
    Keep,
    Adopt(Box<SoundFile>),
    SetAside(String),
    Withdraw,
    Leave(String),
}

/// Whether a sound file that is not the catalog's takes its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strangers {
    Adopt,
    SetAside,
}

/// By what partitions are judged.
struct Terms {
    known: BTreeMap<PartitionKey, CatalogFile>,
    strangers: Strangers,
    /// Commits that did not end and cannot be finished now, by the paths of their files.
    blocked: BTreeMap<String, Blocked>,
    /// Datasets whose minutes nobody can fetch again: as long as they lie there, something may be saved of them.
    kept: BTreeSet<Dataset>,
    epoch: i64,
    at_us: i64,
}

impl LakeStore {
    /// Makes catalog and ledger say what the lake holds; sound files are adopted, whoever put them there, and what is not
    /// there counts as lost, be it everything.
    ///
    /// What the provider was asked is not known of adopted sessions, so they count as not asked for. The caller has the store
    /// lock since before it opened the database.
    ///
    /// # Errors
    /// When lock, disk or database fail; what was done so far stays, and doing it again goes on.
    pub fn adopt_lake(&self, _lock: &LockGuard, at_us: i64) -> Result<Reconciled, StoreError> {
        let epoch = self.catalog.bump_epoch()?;
        let blocked = self.finish_interrupted()?;
        let mut terms = Terms {
            known: BTreeMap::new(),
            strangers: Strangers::Adopt,
            blocked,
            kept: BTreeSet::new(),
            epoch,
            at_us,
        };
        let mut reconciled = Reconciled::default();
        self.finish_over_damaged(&mut terms, |_| true, &mut reconciled)?;
        terms.known = by_key(self.catalog.list_entries(&BarSelection::default())?);
        // Links, pipes and folders in a file's place, too: nothing is written there until they are gone.
        let (entries, unlisted) = disk::list_all_below(self.storage.root());
        for (folder, error) in unlisted {
            let path = folder.strip_prefix(self.directory.root());
            reconciled.left.push(Left {
                path: path.unwrap_or(&folder).display().to_string(),
                why: with_causes(&error),
            });
        }
        let on_disk = entries
            .iter()
            .filter_map(|path| key_of_path(path.strip_prefix(self.storage.root()).ok()?));
        let keys: BTreeSet<PartitionKey> = terms.known.keys().cloned().chain(on_disk).collect();
        self.reconcile(keys.into_iter().collect(), &terms, reconciled)
    }

    /// Sets aside the files of `selection` that are not what was written, and withdraws them and those that are gone: except
    /// minutes that, by `can_fetch`, nobody has again.
    ///
    /// # Errors
    /// When lock, disk or database fail; what was done so far stays, and doing it again goes on.
    pub fn withdraw_damaged(
        &self,
        selection: &BarSelection,
        can_fetch: &dyn Fn(&Dataset) -> bool,
        at_us: i64,
    ) -> Result<Reconciled, StoreError> {
        refuse_absent(&self.directory, &self.catalog)?;
        // Nobody has to wait for the reading: only what looks bad is read again under the lock.
        let files = self.catalog.list_files(selection)?;
        let looked_at = on_all_cores(files, |file| {
            let is_sound = self.read_bytes(&file).is_ok();
            (!is_sound).then_some(file.key)
        });
        let suspects: BTreeSet<PartitionKey> = looked_at.into_iter().flatten().collect();
        if suspects.is_empty() {
            return Ok(Reconciled::default());
        }
        let datasets: BTreeSet<&Dataset> = suspects.iter().map(|key| &key.dataset).collect();
        let kept = datasets.into_iter().filter(|dataset| !can_fetch(dataset));
        let kept = kept.cloned().collect();
        let _lock = self.lock()?;
        let epoch = self.catalog.bump_epoch()?;
        let blocked = self.finish_interrupted()?;
        let mut terms = Terms {
            known: BTreeMap::new(),
            strangers: Strangers::SetAside,
            blocked,
            kept,
            epoch,
            at_us,
        };
        let mut reconciled = Reconciled::default();
        self.finish_over_damaged(&mut terms, |key| suspects.contains(key), &mut reconciled)?;
        terms.known = by_key(self.catalog.list_entries(selection)?);
        terms.known.retain(|key, _| suspects.contains(key));
        let suspects = terms.known.keys().cloned().collect();
        self.reconcile(suspects, &terms, reconciled)
    }

    /// Finishes interrupted commits whose new file is there, sound, while what lies in its place is not: that goes aside.
    fn finish_over_damaged(
        &self,
        terms: &mut Terms,
        is_meant: impl Fn(&PartitionKey) -> bool,
        reconciled: &mut Reconciled,
    ) -> Result<(), StoreError> {
        for record in self.catalog.list_redo()? {
            let key = &record.file.file.key;
            let Some(blocked) = terms.blocked.get_mut(&record.file.path) else {
                continue;
            };
            if !is_meant(key)
                || !blocked.is_contradiction
                || record.file.path != catalog_path(key)
                || !is_staged(&self.directory, &record).unwrap_or(false)
            {
                continue;
            }
            let Ok(Verified::NoFile(why) | Verified::Damaged(why)) = verify(&self.storage, key)
            else {
                continue;
            };
            let readers_wait = self.keep_readers_away()?;
            let moved = self.set_aside(key, terms.at_us);
            drop(readers_wait);
            // It is judged, and told, with the others.
            let Ok(to) = moved else { continue };
            reconciled.set_aside.push(SetAside {
                key: key.clone(),
                to,
                why,
            });
            match self.redo(&record) {
                Ok(()) => _ = terms.blocked.remove(&record.file.path),
                Err(error) => {
                    *blocked = Blocked {
                        is_contradiction: false,
                        why: with_causes(&error),
                    }
                }
            }
        }
        Ok(())
    }

    fn reconcile(
        &self,
        keys: Vec<PartitionKey>,
        terms: &Terms,
        mut reconciled: Reconciled,
    ) -> Result<Reconciled, StoreError> {
        for keys in keys.chunks(PARTITIONS_AT_ONCE) {
            let judged = on_all_cores(keys.to_vec(), |key| {
                let verdict = self.judge(&key, terms);
                (key, verdict)
            });
            if let Err(error) = self.settle(judged, terms, &mut reconciled) {
                // Told here, or nobody would know where they are.
                for SetAside { to, why, .. } in &reconciled.set_aside {
                    tracing::warn!("set aside {}: {why}", to.display());
                }
                return Err(error);
            }
        }
        Ok(reconciled)
    }

    fn judge(&self, key: &PartitionKey, terms: &Terms) -> Verdict {
        let blocked = terms.blocked.get(&catalog_path(key));
        if let Some(blocked) = blocked.filter(|blocked| !blocked.is_contradiction) {
            // What lies there may be right, and the catalog not yet told.
            return Verdict::Leave(format!(
                "an interrupted commit of it cannot be finished now: {}",
                blocked.why
            ));
        }
        let known = terms.known.get(key);
        let verdict = match verify(&self.storage, key) {
            // That it cannot be read now says nothing about it.
            Err(error) => Verdict::Leave(with_causes(&error)),
            Ok(Verified::Missing) => Verdict::Withdraw,
            Ok(Verified::NoFile(why) | Verified::Damaged(why)) => Verdict::SetAside(why),
            Ok(Verified::Newer(why)) => match known {
                // A flipped bit says so as well: the program that wrote it did not.
                Some(known)
                    if known.schema_version <= SCHEMA_VERSION
                        && self.read_bytes(&known.file).is_err() =>
                {
                    Verdict::SetAside(why)
                }
                _ => Verdict::Leave(why),
            },
            Ok(Verified::Sound(sound)) => match known {
                Some(known) if known.file == sound.file => Verdict::Keep,
                Some(known)
                    if terms.strangers == Strangers::SetAside
                        && known.file.sha256 == sound.file.sha256 =>
                {
                    Verdict::Keep
                }
                Some(known) if terms.strangers == Strangers::SetAside => {
                    Verdict::SetAside(format!(
                        "its SHA-256 is {}, the catalog says {}",
                        sound.file.sha256, known.file.sha256
                    ))
                }
                // Whoever put it there may not have waited for the disk.
                _ => match disk::sync_with_folders(self.storage.root(), &self.storage.path_of(key))
                {
                    Ok(()) => Verdict::Adopt(sound),
                    Err(error) => Verdict::Leave(with_causes(&error)),
                },
            },
        };
        let is_kept = !key.timeframe.is_derived() && terms.kept.contains(&key.dataset);
        let why = match verdict {
            Verdict::SetAside(why) if is_kept => why,
            Verdict::Withdraw if is_kept => "is in the catalog but not on disk".to_owned(),
            verdict => return verdict,
        };
        Verdict::Leave(format!(
            "{why}; no provider of this configuration has the bars of {}: put back a copy, or let `marketpipe doctor \
             --rebuild-catalog` take it out of the catalog",
            key.dataset
        ))
    }

    /// Does to some partitions what was decided, in one transaction.
    fn settle(
        &self,
        judged: Vec<(PartitionKey, Verdict)>,
        terms: &Terms,
        reconciled: &mut Reconciled,
    ) -> Result<(), StoreError> {
        let _readers_wait = self.keep_readers_away()?;
        let (mut adopted, mut withdrawn, mut strange) = (Vec::new(), Vec::new(), Vec::new());
        for (key, verdict) in judged {
            let mut leave = |why| {
                let path = catalog_path(&key);
                reconciled.left.push(Left { path, why });
            };
            match verdict {
                Verdict::Keep => reconciled.kept += 1,
                Verdict::Leave(why) => leave(why),
                Verdict::Adopt(sound) => adopted.push(*sound),
                Verdict::Withdraw if terms.known.contains_key(&key) => withdrawn.push(key),
                Verdict::Withdraw => {}
                // Moved before the catalog forgets it: who dies in between finds a file that is gone.
                Verdict::SetAside(why) => match self.set_aside(&key, terms.at_us) {
                    Ok(to) => {
                        let gone = match terms.known.contains_key(&key) {
                            true => &mut withdrawn,
                            false => &mut strange,
                        };
                        gone.push(key.clone());
                        reconciled.set_aside.push(SetAside { key, to, why });
                    }
                    Err(error) => leave(format!("{why}; {}", with_causes(&error))),
                },
            }
        }
        self.database.write(|transaction| {
            fence::check_epoch_in(transaction, terms.epoch)?;
            if !adopted.is_empty() {
                let rows_new = adopted
                    .iter()
                    .filter(|sound| !terms.known.contains_key(&sound.file.key))
                    .map(|sound| sound.file.rows)
                    .sum();
                let summary = CommitSummary {
                    job: None,
                    at_us: terms.at_us,
                    partitions: u64::try_from(adopted.len()).unwrap_or(u64::MAX),
                    rows_new,
                    rows_revised: 0,
                };
                let commit_seq = fence::append_commit_in(transaction, &summary)?;
                for sound in &adopted {
                    adopt_in(transaction, sound, commit_seq)?;
                }
            }
            for key in &withdrawn {
                withdraw_in(transaction, key)?;
            }
            for key in &strange {
                note_lost_in(transaction, key, terms.at_us)?;
            }
            let settled = adopted.iter().map(|sound| &sound.file.key);
            let settled = settled.chain(&withdrawn).chain(&strange);
            let paths: Vec<String> = settled.map(catalog_path).collect();
            // What an interrupted commit meant to do to them is settled with it.
            redo::delete_redo_in(transaction, &paths)?;
            Ok(())
        })?;
        let adopted = adopted.into_iter().map(|sound| sound.file.key);
        reconciled.adopted.extend(adopted);
        reconciled.withdrawn.extend(withdrawn);
        Ok(())
    }

    /// Moves what lies in the place of `key` out of the lake and returns where it is now.
    fn set_aside(&self, key: &PartitionKey, at_us: i64) -> Result<PathBuf, StoreError> {
        let from = self.storage.path_of(key);
        let place = self.directory.damaged().join(relative_path(key));
        let stamp = DateTime::from_timestamp_micros(at_us).unwrap_or_default();
        let stamp = stamp.format("%Y%m%dT%H%M%S");
        let to = (0_u32..)
            .map(|number| place.with_extension(format!("parquet.{stamp}.{number}")))
            .find(|path| path.symlink_metadata().is_err())
            .unwrap_or(place);
        let folder = to.parent().unwrap_or(self.directory.root());
        disk::create_folders(folder, Access::Private)?;
        disk::rename(&from, &to)?;
        disk::sync_folder(folder)?;
        from.parent().map_or(Ok(()), disk::sync_folder)?;
        Ok(to)
    }
}

fn by_key(files: Vec<CatalogFile>) -> BTreeMap<PartitionKey, CatalogFile> {
    files
        .into_iter()
        .map(|entry| (entry.file.key.clone(), entry))
        .collect()
}
