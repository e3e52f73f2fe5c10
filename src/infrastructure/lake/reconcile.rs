//! Reconciliation: makes catalog and ledger say what the lake holds, where they do not. Sound files are adopted, what is
//! none is set aside and never deleted, and what is gone is withdrawn, so that it counts as not asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::DateTime;
use rusqlite::Transaction;

use crate::domain::ports::{BarSelection, PartitionFile, StoreError};
use crate::domain::{BarBatch, PartitionKey, SessionDate, SessionRecord};
use crate::infrastructure::disk::{self, Access};
use crate::infrastructure::parquet::data_storage::relative_path;
use crate::infrastructure::sqlite::catalog::{delete_files_in, put_files_in};
use crate::infrastructure::sqlite::derivation::{delete_derivation_in, put_derivation_in};
use crate::infrastructure::sqlite::symbol_bars::{
    delete_sessions_in, list_sessions_in, put_sessions_in,
};
use crate::infrastructure::sqlite::{CatalogFile, CommitSummary, fence, redo};

use super::LakeStore;
use super::commit::{catalog_path, on_all_cores};
use super::lock::PublishLock;
use super::presence::refuse_absent;
use super::verify::{SoundFile, Verified, record_of, verify};

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
    /// Files of a newer program, in words: they stay as they are.
    pub newer: Vec<String>,
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

/// What becomes of one partition.
enum Verdict {
    Keep,
    Adopt(Box<SoundFile>),
    SetAside(String),
    Withdraw,
    LeaveNewer(String),
}

/// Whether a sound file that is not the catalog's takes its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strangers {
    Adopt,
    SetAside,
}

impl LakeStore {
    /// Makes catalog and ledger say what the lake holds; sound files are adopted, whoever put them there, and what is not
    /// there counts as lost, be it everything.
    ///
    /// What the provider was asked is not known of adopted sessions, so they count as not asked for.
    ///
    /// # Errors
    /// When lock, disk or database fail; what was done so far stays, and doing it again goes on.
    pub fn adopt_lake(&self, at_us: i64) -> Result<Reconciled, StoreError> {
        let _lock = self.lock()?;
        let epoch = self.catalog.bump_epoch()?;
        self.finish_interrupted()?;
        let known = self.catalog.list_files(&BarSelection::default())?;
        let on_disk = self.storage.list_partitions(&BarSelection::default())?;
        let keys: BTreeSet<PartitionKey> = known
            .iter()
            .map(|file| file.key.clone())
            .chain(on_disk)
            .collect();
        let known = by_key(known);
        self.reconcile(
            keys.into_iter().collect(),
            &known,
            Strangers::Adopt,
            (epoch, at_us),
        )
    }

    /// Sets aside the files of `selection` that are not what was written, and withdraws them and those that are gone.
    ///
    /// # Errors
    /// When lock, disk or database fail; what was done so far stays, and doing it again goes on.
    pub fn withdraw_damaged(
        &self,
        selection: &BarSelection,
        at_us: i64,
    ) -> Result<Reconciled, StoreError> {
        refuse_absent(&self.directory, &self.catalog)?;
        // Nobody has to wait for the reading: only what looks bad is read again under the lock.
        let files = self.catalog.list_files(selection)?;
        let looked_at = on_all_cores(files, |file| {
            let is_sound = self.read_bytes(&file).is_ok();
            (!is_sound).then_some(file.key)
        });
        let suspects: Vec<PartitionKey> = looked_at.into_iter().flatten().collect();
        if suspects.is_empty() {
            return Ok(Reconciled::default());
        }
        let _lock = self.lock()?;
        let epoch = self.catalog.bump_epoch()?;
        self.recover()?;
        let mut known = by_key(self.catalog.list_files(selection)?);
        known.retain(|key, _| suspects.contains(key));
        let suspects = known.keys().cloned().collect();
        self.reconcile(suspects, &known, Strangers::SetAside, (epoch, at_us))
    }

    fn reconcile(
        &self,
        keys: Vec<PartitionKey>,
        known: &BTreeMap<PartitionKey, PartitionFile>,
        strangers: Strangers,
        moment: (i64, i64),
    ) -> Result<Reconciled, StoreError> {
        let mut reconciled = Reconciled::default();
        for keys in keys.chunks(PARTITIONS_AT_ONCE) {
            let judged = on_all_cores(keys.to_vec(), |key| {
                let verdict = self.judge(&key, known.get(&key), strangers);
                verdict.map(|verdict| (key, verdict))
            });
            let judged: Vec<_> = judged.into_iter().collect::<Result<_, _>>()?;
            self.settle(judged, known, moment, &mut reconciled)?;
        }
        Ok(reconciled)
    }

    fn judge(
        &self,
        key: &PartitionKey,
        known: Option<&PartitionFile>,
        strangers: Strangers,
    ) -> Result<Verdict, StoreError> {
        Ok(match verify(&self.storage, key)? {
            Verified::Missing => Verdict::Withdraw,
            Verified::NoFile(why) | Verified::Damaged(why) => Verdict::SetAside(why),
            Verified::Newer(why) => Verdict::LeaveNewer(why),
            Verified::Sound(sound) => match known {
                Some(known) if known.sha256 == sound.file.sha256 => Verdict::Keep,
                Some(known) if strangers == Strangers::SetAside => Verdict::SetAside(format!(
                    "its SHA-256 is {}, the catalog says {}",
                    sound.file.sha256, known.sha256
                )),
                _ => Verdict::Adopt(sound),
            },
        })
    }

    /// Does to some partitions what was decided, in one transaction.
    fn settle(
        &self,
        judged: Vec<(PartitionKey, Verdict)>,
        known: &BTreeMap<PartitionKey, PartitionFile>,
        (epoch, at_us): (i64, i64),
        reconciled: &mut Reconciled,
    ) -> Result<(), StoreError> {
        let lock = PublishLock::new(self.directory.publish_lock());
        let _readers_wait = lock.exclusive(super::commit::READERS_LEAVE.max(self.lock_wait))?;
        let (mut adopted, mut withdrawn) = (Vec::new(), Vec::new());
        for (key, verdict) in judged {
            match verdict {
                Verdict::Keep => reconciled.kept += 1,
                Verdict::LeaveNewer(why) => reconciled.newer.push(why),
                Verdict::Adopt(sound) => adopted.push(*sound),
                Verdict::Withdraw => withdrawn.push(key),
                Verdict::SetAside(why) => {
                    // Moved before the catalog forgets it: who dies in between finds a file that is gone.
                    let to = self.set_aside(&key, at_us)?;
                    reconciled.set_aside.push(SetAside {
                        key: key.clone(),
                        to,
                        why,
                    });
                    withdrawn.push(key);
                }
            }
        }
        withdrawn.retain(|key| known.contains_key(key));
        self.database.write(|transaction| {
            fence::check_epoch_in(transaction, epoch)?;
            if !adopted.is_empty() {
                let rows_new = adopted
                    .iter()
                    .filter(|sound| !known.contains_key(&sound.file.key))
                    .map(|sound| sound.file.rows)
                    .sum();
                let summary = CommitSummary {
                    job: None,
                    at_us,
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
            let settled = adopted.iter().map(|sound| &sound.file.key);
            let paths: Vec<String> = settled.chain(&withdrawn).map(catalog_path).collect();
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

fn by_key(files: Vec<PartitionFile>) -> BTreeMap<PartitionKey, PartitionFile> {
    files
        .into_iter()
        .map(|file| (file.key.clone(), file))
        .collect()
}

/// Enters a sound file, and its sessions as not asked for.
fn adopt_in(
    transaction: &Transaction<'_>,
    sound: &SoundFile,
    commit_seq: i64,
) -> Result<(), StoreError> {
    let key = &sound.file.key;
    let derived = sound.derived.as_ref();
    let file = CatalogFile {
        file: sound.file.clone(),
        path: catalog_path(key),
        schema_version: sound.schema_version,
        spec_hash: derived.map(|derived| derived.spec_hash.clone()),
        commit_seq: None,
    };
    put_files_in(transaction, &[file], commit_seq)?;
    if let Some(derived) = derived {
        let source_hash = derived.source_hash.as_deref().unwrap_or_default();
        return put_derivation_in(transaction, key, &derived.spec_hash, source_hash);
    }
    // Of a session that the file has no row of nothing is left to be believed.
    forget_rows_in(transaction, key, |date| {
        sound.records.iter().any(|record| record.date == date)
    })?;
    put_sessions_in(transaction, &key.dataset, &key.symbol, &sound.records)
}

/// Forgets the file of `key`; its sessions count as not asked for.
fn withdraw_in(transaction: &Transaction<'_>, key: &PartitionKey) -> Result<(), StoreError> {
    delete_files_in(transaction, std::slice::from_ref(key))?;
    if key.timeframe.is_derived() {
        return delete_derivation_in(transaction, key);
    }
    forget_rows_in(transaction, key, |_| false)
}

/// Makes the ledger say that no minute of the partition is there and none was asked for, except of sessions to keep and
/// of those that were answered with nothing.
fn forget_rows_in(
    transaction: &Transaction<'_>,
    key: &PartitionKey,
    is_kept: impl Fn(SessionDate) -> bool,
) -> Result<(), StoreError> {
    let Some((first, last)) = key.period.month_dates() else {
        return Ok(());
    };
    let (dataset, symbol) = (&key.dataset, &key.symbol);
    let before = list_sessions_in(transaction, dataset, symbol, first, last)?;
    let nothing = BarBatch::empty();
    for record in before
        .iter()
        .filter(|record| record.rows() > 0 && !is_kept(record.date))
    {
        match record_of(key, record.date, &nothing, Some(record)) {
            Some(emptied) => put_sessions_in(transaction, dataset, symbol, &[emptied])?,
            None => {
                let date = record.date;
                _ = delete_sessions_in(transaction, dataset, symbol, date, date)?;
            }
        }
    }
    Ok(())
}

/// The records of `before` that were never asked for, as `stored`, the partition's rows, really holds them; only those
/// that say something else.
pub(super) fn realigned(
    key: &PartitionKey,
    before: &[SessionRecord],
    stored: &BarBatch,
) -> Vec<SessionRecord> {
    let unasked = before.iter().filter(|record| record.asked.is_empty());
    unasked
        .filter_map(|record| {
            let real = record_of(key, record.date, stored, Some(record))?;
            (real != *record).then_some(real)
        })
        .collect()
}
