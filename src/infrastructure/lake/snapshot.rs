//! Snapshots: what the catalog says at one moment, under a name of its own, for readers that know no lock. Files are linked,
//! not copied: the lake never changes a file, it replaces it, so a link keeps what was there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::LakeStore;
use super::layout::DataDirectory;
use crate::domain::ports::{BarSelection, PartitionFile, StoreError, StoreErrorKind};
use crate::infrastructure::disk::{self, Access, io_failure};
use crate::infrastructure::parquet::data_storage::relative_path;

/// What a snapshot holds, one line for each file; written last but for the name.
pub(super) const MANIFEST: &str = "manifest.csv";

/// Begins the names of folders that are being made or removed.
const UNFINISHED: &str = ".";

/// Longest name of a snapshot, bytes.
const LONGEST_NAME: usize = 64;

/// The name of a snapshot, which is that of its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName(String);

impl SnapshotName {
    /// `text` as a name; `None` where it would be no plain folder name: 1 to 64 of `A-Z a-z 0-9 . _ -`, no point first.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_name = !text.is_empty()
            && text.len() <= LONGEST_NAME
            && !text.starts_with(['.', '-'])
            && text.chars().all(is_plain);
        is_name.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Its folder, which is a data directory.
    pub folder: PathBuf,
    /// When it was made, UTC microseconds; `None` where the file system does not tell.
    pub made_at_us: Option<i64>,
    /// Its Parquet files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes, shared with the lake as long as it has the same files.
    pub bytes: u64,
}

impl LakeStore {
    /// Makes a snapshot of all that the catalog holds, with a copy of the database. No commit comes between; readers and
    /// fetching are not held up.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotWritable`] when there is one of that name or the file system has no hard links,
    /// [`StoreErrorKind::Damaged`] when a file is not there or has another size than the catalog says.
    pub fn make_snapshot(&self, name: &SnapshotName) -> Result<Snapshot, StoreError> {
        let folder = folder_of(&self.directory, name);
        let _no_commit = self.lock()?;
        let blocked = self.recover()?;
        if let Some(path) = blocked.first() {
            let context = format!("an interrupted commit of {path} cannot be finished");
            return Err(StoreError::new(StoreErrorKind::Damaged, context));
        }
        if folder.symlink_metadata().is_ok() {
            let context = format!("{} is there already", folder.display());
            return Err(StoreError::new(StoreErrorKind::NotWritable, context));
        }
        remove_unfinished(&self.directory)?;
        let files = self.catalog.list_files(&BarSelection::default())?;
        let making = unfinished_of(&self.directory, name);
        // Readable like the lake: whoever may look into the data directory may read both.
        disk::create_folders(&self.directory.snapshots(), Access::Readable)?;
        let made = self.fill(&making, &files).and_then(|()| {
            disk::rename(&making, &folder)?;
            disk::sync_folder(&self.directory.snapshots())
        });
        if let Err(error) = made {
            _ = fs::remove_dir_all(&making);
            return Err(error);
        }
        read(folder, name.clone())
    }

    fn fill(&self, making: &Path, files: &[PartitionFile]) -> Result<(), StoreError> {
        let copy = DataDirectory::new(making.to_owned());
        let mut changed = BTreeSet::new();
        disk::create_folders_noting(&copy.lake(), Access::Readable, &mut changed)?;
        changed.insert(making.to_owned());
        let mut manifest = String::from("path,rows,bytes,sha256\n");
        for file in files {
            let relative = relative_path(&file.key);
            let (from, to) = (self.storage.path_of(&file.key), copy.lake().join(&relative));
            let parent = to.parent().unwrap_or(making);
            disk::create_folders_noting(parent, Access::Readable, &mut changed)?;
            changed.insert(parent.to_owned());
            link(&from, &to, file.bytes)?;
            let PartitionFile {
                rows,
                bytes,
                sha256,
                ..
            } = file;
            manifest.push_str(&format!("lake/{relative},{rows},{bytes},{sha256}\n"));
        }
        self.database.copy_to(&copy.database())?;
        disk::write_new_durable(&making.join(MANIFEST), manifest.as_bytes())?;
        changed
            .iter()
            .try_for_each(|folder| disk::sync_folder(folder))
    }
}

/// The snapshots of a data directory, by name. What is no snapshot is passed over.
///
/// # Errors
/// When the folder cannot be listed.
pub fn list_snapshots(directory: &DataDirectory) -> Result<Vec<Snapshot>, StoreError> {
    let mut snapshots = Vec::new();
    for name in entries(directory)? {
        if let Some(name) = SnapshotName::parse(&name)
            && let Ok(snapshot) = read(folder_of(directory, &name), name)
        {
            snapshots.push(snapshot);
        }
    }
    snapshots.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(snapshots)
}

/// Removes a snapshot; the lake keeps its files. Returns whether there was one.
///
/// # Errors
/// When the folder cannot be removed; it is no snapshot any more then.
pub fn drop_snapshot(directory: &DataDirectory, name: &SnapshotName) -> Result<bool, StoreError> {
    let folder = folder_of(directory, name);
    disk::refuse_links_below(directory.root(), &folder)?;
    if !folder.join(MANIFEST).is_file() {
        return Ok(false);
    }
    let going = unfinished_of(directory, name);
    // First out of sight, so that nobody meets half of it.
    disk::rename(&folder, &going)?;
    disk::sync_folder(&directory.snapshots())?;
    fs::remove_dir_all(&going).map_err(|error| io_failure("remove", &going, error))?;
    Ok(true)
}

fn folder_of(directory: &DataDirectory, name: &SnapshotName) -> PathBuf {
    directory.snapshots().join(name.as_str())
}

fn unfinished_of(directory: &DataDirectory, name: &SnapshotName) -> PathBuf {
    let hidden = format!("{UNFINISHED}{}.{}", name.as_str(), std::process::id());
    directory.snapshots().join(hidden)
}

/// Removes what processes left that died while they made or removed a snapshot. The caller holds the store lock, under
/// which snapshots are made; one that is being removed just now is removed by both.
fn remove_unfinished(directory: &DataDirectory) -> Result<(), StoreError> {
    for name in entries(directory)? {
        if name.starts_with(UNFINISHED) {
            let path = directory.snapshots().join(name);
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io_failure("remove", &path, error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The names in the folder of snapshots; none when there is no such folder.
fn entries(directory: &DataDirectory) -> Result<Vec<String>, StoreError> {
    let folder = directory.snapshots();
    disk::refuse_links_below(directory.root(), &folder)?;
    let failed = |error| io_failure("list", &folder, error);
    let listed = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in listed {
        // A name that is not Unicode is none that a snapshot has.
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Links a file of the lake, which must be there with the size that the catalog knows.
fn link(from: &Path, to: &Path, bytes: u64) -> Result<(), StoreError> {
    disk::refuse_no_file(from)?;
    fs::hard_link(from, to).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => StoreErrorKind::Damaged,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                StoreErrorKind::NoSpace
            }
            _ => StoreErrorKind::NotWritable,
        };
        let context = format!(
            "cannot link {} to {}: {error}",
            from.display(),
            to.display()
        );
        StoreError::new(kind, context).caused_by(error)
    })?;
    let found = fs::metadata(to).map_err(|error| io_failure("look at", to, error))?;
    if found.len() == bytes {
        return Ok(());
    }
    let context = format!(
        "{} has {} bytes, the catalog says {bytes}",
        from.display(),
        found.len()
    );
    Err(StoreError::new(StoreErrorKind::Damaged, context))
}

/// What the manifest says of the snapshot in `folder`.
fn read(folder: PathBuf, name: SnapshotName) -> Result<Snapshot, StoreError> {
    let path = folder.join(MANIFEST);
    let not_one = |what: &str| {
        StoreError::new(
            StoreErrorKind::Damaged,
            format!("{}: {what}", path.display()),
        )
    };
    let bytes = disk::read_if_present(&path)?.ok_or_else(|| not_one("there is no manifest"))?;
    let text = String::from_utf8(bytes).map_err(|_| not_one("is not text"))?;
    let mut snapshot = Snapshot {
        name,
        made_at_us: made_at_us(&path),
        folder,
        files: 0,
        rows: 0,
        bytes: 0,
    };
    for line in text.lines().skip(1) {
        // Paths have no comma: their parts are percent-encoded.
        let mut numbers = line.split(',').skip(1).map(str::parse::<u64>);
        let (Some(Ok(rows)), Some(Ok(size))) = (numbers.next(), numbers.next()) else {
            return Err(not_one(&format!("what is `{}`?", line.escape_debug())));
        };
        snapshot.files += 1;
        snapshot.rows = snapshot.rows.saturating_add(rows);
        snapshot.bytes = snapshot.bytes.saturating_add(size);
    }
    Ok(snapshot)
}

fn made_at_us(path: &Path) -> Option<i64> {
    let made = fs::metadata(path).and_then(|found| found.modified()).ok()?;
    let since = made.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_folder_names() {
        for text in ["20240701T153000Z", "before-repair", "a.b_c-1", "A"] {
            assert_eq!(SnapshotName::parse(text).unwrap().as_str(), text);
        }
        let long = "a".repeat(LONGEST_NAME + 1);
        for text in [
            "", ".", "..", ".a", "-a", "a/b", "a\\b", "a b", "ä", "a\n", &long,
        ] {
            assert_eq!(SnapshotName::parse(text), None, "{text:?}");
        }
    }
}
