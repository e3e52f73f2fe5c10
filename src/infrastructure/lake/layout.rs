//! What lies where in a data directory. Knows names, not contents.

use std::path::{Path, PathBuf};

use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::infrastructure::disk;

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
        for folder in [self.root.clone(), self.lake(), self.staging()] {
            disk::create_folders(&folder)?;
        }
        self.refuse_staging_elsewhere()
    }

    /// A finished file must get into the lake by a rename, which no two file systems share: told before anything is fetched.
    #[cfg(unix)]
    fn refuse_staging_elsewhere(&self) -> Result<(), StoreError> {
        use std::os::unix::fs::MetadataExt as _;
        let device = |folder: &Path| {
            let found = std::fs::metadata(folder);
            found
                .map(|found| found.dev())
                .map_err(|error| disk::io_failure("inspect", folder, error))
        };
        let (lake, staging) = (self.lake(), self.staging());
        if device(&lake)? == device(&staging)? {
            return Ok(());
        }
        let context = format!(
            "{} lies on another file system than {}: a finished file cannot be moved from one to the other in one step",
            staging.display(),
            lake.display()
        );
        Err(StoreError::new(StoreErrorKind::NotWritable, context))
    }

    #[cfg(not(unix))]
    fn refuse_staging_elsewhere(&self) -> Result<(), StoreError> {
        Ok(())
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
        std::fs::read_dir(&lake)
            .map(|_| ())
            .map_err(|error| disk::io_failure("list", &lake, error))
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

    /// Validation reports.
    pub fn reports(&self) -> PathBuf {
        self.root.join("reports")
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
