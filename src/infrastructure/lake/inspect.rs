//! Looking at files without trust, for validation: whatever is wrong with one is told, and the others are looked at.

use std::collections::BTreeSet;
use std::path::Path;

use super::LakeStore;
use super::lock::{LockGuard, PublishLock};
use crate::domain::causes::with_causes;
use crate::domain::digest::hex_sha256;
use crate::domain::ports::{
    BarSelection, DerivedStore as _, FileFault, FileInspector, FilesHeld, InspectedDerived,
    InspectedMinutes, PartitionFile, StoreError, StoreErrorKind,
};
use crate::domain::{PartitionKey, Rule};
use crate::infrastructure::disk;
use crate::infrastructure::parquet::FileDescription;
use crate::infrastructure::parquet::data_storage::{key_of_folder, refuse_other, relative_path};
use crate::infrastructure::parquet::engine::FileError;

impl FileInspector for LakeStore {
    fn inspect_minutes(&self, file: &PartitionFile) -> Result<InspectedMinutes, StoreError> {
        let inspected = self.look_at_minutes(file);
        if inspected.faults.is_empty() {
            return Ok(inspected);
        }
        // It may have been replaced since it was listed: once more, with files and catalog held together.
        let _files_stay = self.hold()?;
        let listed = self.catalog.find_file(&file.key)?;
        let is_other = listed
            .as_ref()
            .is_none_or(|listed| listed.sha256 != file.sha256);
        let inspected = listed.map_or_else(InspectedMinutes::default, |file| {
            self.look_at_minutes(&file)
        });
        Ok(InspectedMinutes {
            is_other,
            ..inspected
        })
    }

    fn inspect_derived(&self, file: &PartitionFile) -> Result<InspectedDerived, StoreError> {
        let loaded = self.load_derived(&file.key);
        match loaded {
            Ok(kept) => Ok(InspectedDerived {
                kept,
                faults: Vec::new(),
            }),
            Err(error) if error.kind == StoreErrorKind::Damaged => Ok(InspectedDerived {
                kept: None,
                faults: vec![unreadable(with_causes(&error))],
            }),
            Err(error) => Err(error),
        }
    }

    fn hold_files(&self) -> Result<Box<dyn FilesHeld>, StoreError> {
        Ok(Box::new(self.hold()?))
    }

    fn list_uncatalogued(&self) -> Result<Vec<(PartitionKey, String)>, StoreError> {
        let strays = self.list_strays()?;
        if strays.is_empty() {
            return Ok(strays);
        }
        // One that is just being published is none: once more, with files and catalog held together.
        let _files_stay = self.hold()?;
        self.list_strays()
    }
}

/// The lock, where it can be had.
struct Held {
    _guard: Option<LockGuard>,
}

impl FilesHeld for Held {}

impl LakeStore {
    fn hold(&self) -> Result<Held, StoreError> {
        let guard = PublishLock::new(self.directory.publish_lock()).shared_if_possible()?;
        Ok(Held { _guard: guard })
    }

    /// The Parquet files in partitions' folders that the catalog does not know, by whatever name.
    fn list_strays(&self) -> Result<Vec<(PartitionKey, String)>, StoreError> {
        let files = disk::list_files_below(self.storage.root())?;
        let known = self.catalog.list_files(&BarSelection::default())?;
        let known: BTreeSet<PartitionKey> = known.into_iter().map(|file| file.key).collect();
        let strays = files.iter().filter_map(|path| {
            let relative = path.strip_prefix(self.storage.root()).ok()?;
            let is_bars = relative
                .extension()
                .is_some_and(|extension| extension == "parquet");
            let key = is_bars
                .then(|| key_of_folder(relative.parent()?))
                .flatten()?;
            let is_known = known.contains(&key) && Path::new(&relative_path(&key)) == relative;
            (!is_known).then(|| (key, relative.display().to_string()))
        });
        Ok(strays.collect())
    }

    fn look_at_minutes(&self, file: &PartitionFile) -> InspectedMinutes {
        let path = self.storage.path_of(&file.key);
        let name = relative_path(&file.key);
        let mut inspected = InspectedMinutes::default();
        let bytes = match disk::read_if_present(&path) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let message = format!("{name} is in the catalog but not on disk");
                inspected.faults.push(unreadable(message));
                return inspected;
            }
            Err(error) => {
                inspected.faults.push(unreadable(with_causes(&error)));
                return inspected;
            }
        };
        let found = hex_sha256(&bytes);
        if found != file.sha256 {
            inspected.faults.push(FileFault {
                rule: Rule::NotAsCatalogued,
                message: format!(
                    "{name} is not the file that was written: its SHA-256 is {found}, the catalog says {}",
                    file.sha256
                ),
                value: format!("{found}, {} bytes", bytes.len()),
                expected: format!("{}, {} bytes", file.sha256, file.bytes),
            });
        }
        match self.storage.engine().decode_unproven(bytes) {
            Ok((rows, description, is_described)) => {
                inspected.rows = Some(rows);
                let differs = is_described.err().map(|error| error.to_string());
                let is_other = refuse_other(&description, &file.key, &path).err();
                let is_other = is_other.map(|error| error.to_string());
                let contradicts = contradiction(&description, file);
                let what: Vec<String> = [differs, is_other, contradicts]
                    .into_iter()
                    .flatten()
                    .collect();
                if !what.is_empty() {
                    inspected.faults.push(not_described(&name, what.join("; ")));
                }
            }
            Err(error @ (FileError::Undescribed(_) | FileError::Mismatch { .. })) => {
                inspected
                    .faults
                    .push(not_described(&name, error.to_string()));
            }
            Err(error) => {
                let message = format!("{name} cannot be read: {error}");
                inspected.faults.push(unreadable(message));
            }
        }
        inspected
    }
}

/// What the catalog says of a file's content other than its footer.
fn contradiction(description: &FileDescription, file: &PartitionFile) -> Option<String> {
    let said = [
        ("rows", description.rows.to_string(), file.rows.to_string()),
        (
            "first session",
            description.first_session.clone(),
            file.first_session.to_string(),
        ),
        (
            "last session",
            description.last_session.clone(),
            file.last_session.to_string(),
        ),
        (
            "hash of the rows",
            description.content.clone(),
            file.content_hash.clone(),
        ),
    ];
    let differing = said
        .into_iter()
        .find(|(_, footer, catalog)| footer != catalog);
    differing.map(|(what, footer, catalog)| {
        format!("{what}: the footer says {footer}, the catalog {catalog}")
    })
}

fn unreadable(message: String) -> FileFault {
    FileFault {
        rule: Rule::Unreadable,
        value: "unreadable".to_owned(),
        expected: "a bar file".to_owned(),
        message,
    }
}

fn not_described(name: &str, what: String) -> FileFault {
    FileFault {
        rule: Rule::NotAsDescribed,
        message: format!("{name}: {what}"),
        value: what,
        expected: "what the footer and the place say".to_owned(),
    }
}
