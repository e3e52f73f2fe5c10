//! The files: each one against the catalog, the ledger against the files, and what lies in the lake unasked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::domain::causes::with_causes;
use crate::domain::ports::{BarSelection, PartitionFile, StoreError};
use crate::domain::{Check, Diagnosis, Health, PartitionKey};
use crate::infrastructure::disk;
use crate::infrastructure::lake::commit::{catalog_path, on_all_cores};
use crate::infrastructure::lake::layout::DataDirectory;
use crate::infrastructure::lake::lock::{LockGuard, PublishLock};
use crate::infrastructure::lake::presence::{IF_LOST, absence, count_if_absent};
use crate::infrastructure::lake::verify::{Verified, verify};
use crate::infrastructure::parquet::ParquetDataStorage;
use crate::infrastructure::parquet::data_storage::key_of_path;
use crate::infrastructure::sqlite::{Database, SqliteCatalog, list_ledger_differences};

use super::Look;

const REFETCH: &str =
    "marketpipe repair sets it aside and asks the provider again; or put back a copy";
const FETCH: &str = "marketpipe repair asks the provider for what it held; or put back a copy";
const REMAKE: &str = "marketpipe repair sets it aside, marketpipe aggregate then makes it again from the minutes; or at once \
     marketpipe aggregate --full";
const ADOPT: &str = "marketpipe doctor --rebuild-catalog takes it as it is; marketpipe repair sets it aside and asks the provider again";
const REMOVE: &str =
    "move it out of the lake if nobody needs it: readers of lake/**/*.parquet would read it too";

/// Looks at all files with the catalog at hand.
pub(super) fn examine(
    directory: &DataDirectory,
    database: &Database,
    look: Look,
) -> Vec<Diagnosis> {
    let doctor = FileDoctor {
        directory,
        storage: ParquetDataStorage::new(directory.lake()),
        catalog: SqliteCatalog::new(database.clone()),
        look,
    };
    let mut seen = doctor.files();
    seen.extend(doctor.unknown_files());
    seen.extend(doctor.ledger(database));
    seen
}

/// Looks at all files by themselves.
pub(super) fn examine_without_catalog(directory: &DataDirectory) -> Vec<Diagnosis> {
    let storage = ParquetDataStorage::new(directory.lake());
    let keys = match storage.list_partitions(&BarSelection::default()) {
        Ok(keys) => keys,
        Err(error) => return vec![failed(Check::Files, &error)],
    };
    let count = keys.len();
    let findings = on_all_cores(keys, |key| {
        let finding =
            |health, why: String| Diagnosis::new(Check::Files, health, why).of(catalog_path(&key));
        match verify(&storage, &key) {
            Ok(Verified::Sound(_) | Verified::Missing) => None,
            Ok(Verified::NoFile(why) | Verified::Damaged(why)) => Some(finding(Health::Error, why)),
            Ok(Verified::Newer(why)) => {
                Some(finding(Health::Error, why).remedy("use the newer marketpipe that wrote it"))
            }
            Err(error) => Some(finding(Health::Error, with_causes(&error))),
        }
    });
    super::told(
        Check::Files,
        findings.into_iter().flatten().collect(),
        || {
            format!(
                "{count} files are sound by themselves; without a catalog nobody can say whether any is missing"
            )
        },
    )
}

fn failed(check: Check, error: &StoreError) -> Diagnosis {
    Diagnosis::new(check, Health::Error, with_causes(error))
}

/// What lies in the lake and is not the catalog's.
struct Unknown {
    paths: Vec<PathBuf>,
    unlisted: Vec<Diagnosis>,
}

struct FileDoctor<'a> {
    directory: &'a DataDirectory,
    storage: ParquetDataStorage,
    catalog: SqliteCatalog,
    look: Look,
}

impl FileDoctor<'_> {
    /// Keeps files and catalog together while something is looked at once more.
    fn hold(&self) -> Result<Option<LockGuard>, StoreError> {
        PublishLock::new(self.directory.publish_lock()).shared_if_possible()
    }

    fn files(&self) -> Vec<Diagnosis> {
        match self.list_bad_files() {
            Ok((count, findings)) => super::told(Check::Files, findings, || {
                let how = if self.look.is_deep {
                    "to the last byte what was written"
                } else {
                    "in place with the size that was written; --deep reads every byte"
                };
                format!("{count} files are {how}")
            }),
            Err(error) => vec![failed(Check::Files, &error)],
        }
    }

    fn list_bad_files(&self) -> Result<(usize, Vec<Diagnosis>), StoreError> {
        if let Some(count) = count_if_absent(self.directory, &self.catalog)? {
            // Not one by one: nobody should fetch again what is on a disk that is not mounted.
            let why = absence(self.directory, count);
            let seen = Diagnosis::new(Check::Files, Health::Error, why).remedy(IF_LOST);
            return Ok((count, vec![seen]));
        }
        let files = self.catalog.list_files(&BarSelection::default())?;
        let count = files.len();
        let suspects = on_all_cores(files, |file| {
            self.judge(&file).is_some().then_some(file.key)
        });
        let suspects: Vec<PartitionKey> = suspects.into_iter().flatten().collect();
        if suspects.is_empty() {
            return Ok((count, Vec::new()));
        }
        // They may have been replaced since they were listed: looked at again as the catalog has them now, and what still
        // looks bad counts if the catalog has it so afterwards, too. Nobody waits for the reading.
        let now = self.list_held(&suspects)?;
        let judged = on_all_cores(now, |file| self.judge(&file).map(|finding| (file, finding)));
        let judged: Vec<_> = judged.into_iter().flatten().collect();
        let _files_stay = self.hold()?;
        let mut findings = Vec::new();
        for (file, finding) in judged {
            match self.catalog.find_file(&file.key)? {
                Some(now) if now == file => findings.push(finding),
                Some(now) => findings.extend(self.judge(&now)),
                None => {}
            }
        }
        Ok((count, findings))
    }

    /// The files of these partitions as the catalog has them at a moment at which nobody commits; not those of an
    /// interrupted commit, which is a check of its own.
    fn list_held(&self, keys: &[PartitionKey]) -> Result<Vec<PartitionFile>, StoreError> {
        let _files_stay = self.hold()?;
        let unfinished: BTreeSet<String> = self
            .catalog
            .list_redo()?
            .into_iter()
            .map(|record| record.file.path)
            .collect();
        let held = keys
            .iter()
            .filter(|key| !unfinished.contains(&catalog_path(key)));
        let found = held.map(|key| self.catalog.find_file(key));
        found.filter_map(Result::transpose).collect()
    }

    /// What is wrong with a file of the catalog.
    fn judge(&self, file: &PartitionFile) -> Option<Diagnosis> {
        let again = if file.key.timeframe.is_derived() {
            REMAKE
        } else {
            REFETCH
        };
        let finding = |why: String, remedy: &str| {
            let seen = Diagnosis::new(Check::Files, Health::Error, why);
            Some(seen.of(catalog_path(&file.key)).remedy(remedy))
        };
        let path = self.storage.path_of(&file.key);
        let is_alike = match path.symlink_metadata() {
            Ok(found) => found.is_file() && found.len() == file.bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => {
                return finding(
                    format!("cannot be looked at: {error}"),
                    "check its permissions",
                );
            }
        };
        if is_alike && !self.look.is_deep {
            return None;
        }
        match verify(&self.storage, &file.key) {
            Ok(Verified::Sound(sound)) if sound.file.sha256 == file.sha256 => None,
            Ok(Verified::Sound(sound)) => {
                let why = format!(
                    "is sound but not the file that was written: {} rows and SHA-256 {}, the catalog says {} rows and {}",
                    sound.file.rows, sound.file.sha256, file.rows, file.sha256
                );
                finding(
                    why,
                    if file.key.timeframe.is_derived() {
                        REMAKE
                    } else {
                        ADOPT
                    },
                )
            }
            Ok(Verified::Missing) => finding(
                "is in the catalog but not on disk".to_owned(),
                if file.key.timeframe.is_derived() {
                    REMAKE
                } else {
                    FETCH
                },
            ),
            Ok(Verified::NoFile(why) | Verified::Damaged(why)) => finding(why, again),
            Ok(Verified::Newer(why)) => finding(why, "use the newer marketpipe that wrote it"),
            Err(error) => finding(with_causes(&error), "check its permissions and the disk"),
        }
    }

    fn unknown_files(&self) -> Vec<Diagnosis> {
        let listed = || -> Result<Unknown, StoreError> {
            let unknown = self.list_unknown()?;
            if unknown.paths.is_empty() {
                return Ok(unknown);
            }
            // One that is just being published is none. Names alone: who commits does not wait for files to be read.
            let _files_stay = self.hold()?;
            self.list_unknown()
        };
        let judged = listed().map(|unknown| {
            let mut findings = on_all_cores(unknown.paths, |path| self.judge_unknown(&path));
            findings.extend(unknown.unlisted);
            findings
        });
        match judged {
            Ok(findings) => super::told(Check::UnknownFiles, findings, || {
                "none in the lake".to_owned()
            }),
            Err(error) => vec![failed(Check::UnknownFiles, &error)],
        }
    }

    fn list_unknown(&self) -> Result<Unknown, StoreError> {
        let known = self.catalog.list_files(&BarSelection::default())?;
        let known: BTreeSet<PathBuf> = known
            .iter()
            .map(|file| self.storage.path_of(&file.key))
            .collect();
        let unfinished: BTreeSet<PathBuf> = self
            .catalog
            .list_redo()?
            .iter()
            .map(|record| self.storage.path_of(&record.file.file.key))
            .collect();
        let (entries, unlisted) = disk::list_all_below(self.storage.root());
        // A folder is nobody's business unless it lies in a file's place.
        let is_in_place = |path: &PathBuf| {
            let relative = path.strip_prefix(self.storage.root()).unwrap_or(path);
            let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
            !is_folder || key_of_path(relative).is_some()
        };
        let strays = entries
            .into_iter()
            .filter(|path| !known.contains(path) && !unfinished.contains(path))
            .filter(is_in_place);
        let unlisted = unlisted.into_iter().map(|(folder, error)| {
            let seen = Diagnosis::new(Check::UnknownFiles, Health::Error, with_causes(&error));
            seen.of(folder.display().to_string())
                .remedy("check its permissions and the disk: what it holds is not known")
        });
        Ok(Unknown {
            paths: strays.collect(),
            unlisted: unlisted.collect(),
        })
    }

    fn judge_unknown(&self, path: &Path) -> Diagnosis {
        let relative = path.strip_prefix(self.storage.root()).unwrap_or(path);
        let finding = |health, why: String, remedy: &str| {
            Diagnosis::new(Check::UnknownFiles, health, why)
                .of(Path::new("lake").join(relative).display().to_string())
                .remedy(remedy)
        };
        let Some(key) = key_of_path(relative) else {
            let is_link = path
                .symlink_metadata()
                .is_ok_and(|found| found.is_symlink());
            let why = if is_link {
                "is a link, which is never followed"
            } else {
                "is in no partition's place"
            };
            let remedy = if is_link && path.is_dir() {
                "replace the link by the folder itself, or move it out of the lake if nobody needs it"
            } else {
                REMOVE
            };
            return finding(Health::Warning, why.to_owned(), remedy);
        };
        match verify(&self.storage, &key) {
            Ok(Verified::Sound(sound)) => {
                let why = format!(
                    "is a sound file of {} rows that the catalog does not know",
                    sound.file.rows
                );
                finding(
                    Health::Error,
                    why,
                    "marketpipe doctor --rebuild-catalog takes it into the catalog; until then nothing is written over it",
                )
            }
            Ok(Verified::Newer(why)) => {
                finding(Health::Error, why, "use the newer marketpipe that wrote it")
            }
            Ok(Verified::Missing) => finding(
                Health::Note,
                "has just been removed".to_owned(),
                "look again",
            ),
            Ok(Verified::NoFile(why) | Verified::Damaged(why)) => finding(
                Health::Error,
                why,
                "move it away, or let `marketpipe doctor --rebuild-catalog` set it aside: until then nothing is written in its place",
            ),
            Err(error) => finding(
                Health::Error,
                with_causes(&error),
                "check its permissions and the disk",
            ),
        }
    }

    fn ledger(&self, database: &Database) -> Vec<Diagnosis> {
        let differences = match list_ledger_differences(database) {
            Ok(differences) => differences,
            Err(error) => return vec![failed(Check::Ledger, &error)],
        };
        let findings = differences.iter().map(|difference| {
            let why = format!(
                "the ledger counts {} minutes of {}, the catalog's file has {}",
                difference.ledger_rows, difference.month, difference.file_rows
            );
            Diagnosis::new(Check::Ledger, Health::Error, why)
                .of(format!("{} {} {}", difference.dataset, difference.symbol, difference.month))
                .remedy("marketpipe ingest --refresh of these sessions asks again and records what comes")
        });
        super::told(Check::Ledger, findings.collect(), || {
            "counts the same rows as the files".to_owned()
        })
    }
}
