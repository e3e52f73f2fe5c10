//! What lies where in a data directory. Knows names, not contents.

use std::path::{Path, PathBuf};

use super::snapshot::MANIFEST;
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::infrastructure::disk::{self, Access};

/// A data directory: database, lake, staging area, reports and locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDirectory {
    root: PathBuf,
}

impl DataDirectory {
    /// The directory at `root`, which need not exist.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the folders that are missing.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn create(&self) -> Result<(), StoreError> {
        self.refuse_links()?;
        disk::create_folders(&self.root, Access::Private)?;
        if disk::is_writable_by_all(&self.root) {
            let root = self.root.display();
            tracing::warn!(
                "every user of this machine may change what is in {root}: `chmod o-w` it"
            );
        }
        disk::create_folders(&self.lake(), Access::Readable)?;
        disk::create_folders(&self.staging(), Access::Private)?;
        self.refuse_staging_elsewhere()
    }

    /// A finished file must get into the lake by a rename, which no two file systems share: told before anything is fetched.
    fn refuse_staging_elsewhere(&self) -> Result<(), StoreError> {
        let (lake, staging) = (self.lake(), self.staging());
        if !disk::are_on_different_file_systems(&lake, &staging) {
            return Ok(());
        }
        let context = format!(
            "{} lies on another file system than {}: a finished file cannot be moved from one to the other in one step",
            staging.display(),
            lake.display()
        );
        Err(StoreError::new(StoreErrorKind::NotWritable, context))
    }

    /// Refuses a directory of which a folder is a symbolic link: whoever clears the staging area or removes the leases
    /// of the dead would otherwise empty a folder of somebody else's. The directory itself may be a link.
    ///
    /// # Errors
    /// Names the link.
    pub fn refuse_links(&self) -> Result<(), StoreError> {
        let folders = [
            self.lake(),
            self.staging(),
            self.damaged(),
            self.leases(),
            self.reports(),
            self.snapshots(),
        ];
        folders
            .iter()
            .try_for_each(|folder| disk::refuse_links_below(&self.root, folder))
    }

    /// Refuses a snapshot where it was made: it stays as it was. A copy of one elsewhere is a data directory like any other.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotWritable`], naming it.
    pub fn refuse_snapshot(&self) -> Result<(), StoreError> {
        let root = self
            .root
            .canonicalize()
            .unwrap_or_else(|_| self.root.clone());
        let folder = root.parent().unwrap_or(&root);
        let is_where_made = folder.file_name() == self.snapshots().file_name()
            && folder
                .parent()
                .is_some_and(|data| Self::new(data.to_owned()).database().exists());
        if !is_where_made || !root.join(MANIFEST).exists() {
            return Ok(());
        }
        let context = format!(
            "{} is a snapshot and stays as it was made; a copy of the folder elsewhere takes new bars",
            self.root.display()
        );
        Err(StoreError::new(StoreErrorKind::NotWritable, context))
    }

    /// Whether the lake holds any file.
    ///
    /// # Errors
    /// When the lake cannot be listed.
    pub fn has_files(&self) -> Result<bool, StoreError> {
        Ok(!disk::list_files_below(&self.lake())?.is_empty())
    }

    /// Refuses a lake that cannot be listed.
    ///
    /// # Errors
    /// When it is not there or may not be read.
    pub fn check_lake(&self) -> Result<(), StoreError> {
        let lake = self.lake();
        match std::fs::read_dir(&lake) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let context = format!(
                    "{} is not there; is its disk mounted? An empty folder in its place would say that it is lost",
                    lake.display()
                );
                Err(StoreError::new(StoreErrorKind::Missing, context))
            }
            Err(error) => Err(disk::io_failure("list", &lake, error)),
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.root.join("marketpipe.db")
    }

    /// Finished files, and nothing else.
    pub fn lake(&self) -> PathBuf {
        self.root.join("lake")
    }

    /// Files on their way into the lake; same file system.
    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// What was moved out of the lake because it is not what should lie there.
    pub fn damaged(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// Validation reports.
    pub fn reports(&self) -> PathBuf {
        self.root.join("reports")
    }

    /// What the lake was at moments that somebody wanted to keep.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// One locked file for each process that works on a job.
    pub fn leases(&self) -> PathBuf {
        self.root.join("running")
    }

    /// Held by whoever commits.
    pub fn store_lock(&self) -> PathBuf {
        self.root.join("store.lock")
    }

    /// Held shared by readers of files, exclusively while files are replaced.
    pub fn publish_lock(&self) -> PathBuf {
        self.root.join("publish.lock")
    }
}
