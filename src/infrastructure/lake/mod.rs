//! The store of bars: Parquet files that are the data, a SQLite catalog that says which of them count, and the
//! commit that keeps both together whatever happens. Knows no provider and no command.

mod commit;
mod derive;
mod examine;
mod inspect;
mod layout;
mod lease;
mod lock;
mod prepare;
mod presence;
mod reconcile;
mod recover;
mod settle;
mod snapshot;
mod verify;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::domain::causes::with_causes;
use crate::domain::digest::hex_sha256;
use crate::domain::ports::{
    BarSelection, BarStore, CommitBatch, CommitReceipt, EventPublisher, PartitionFile, StoreError,
    StoreErrorKind,
};
use crate::domain::{BarBatch, PartitionKey};
use crate::infrastructure::disk;
use crate::infrastructure::parquet::ParquetDataStorage;
use crate::infrastructure::parquet::data_storage::cut_to_sessions;
use crate::infrastructure::parquet::engine::Known;
use crate::infrastructure::sqlite::{Database, SqliteCatalog};

pub use commit::lock_lake;
pub use examine::{Look, examine};
pub use layout::DataDirectory;
pub use lease::{JobLease, close_dead_jobs, refuse_while_at_work};
pub use lock::{LockGuard, PublishLock};
pub use presence::refuse_absent;
pub use reconcile::{Left, Reconciled, SetAside};
pub use snapshot::{Snapshot, SnapshotName, drop_snapshot, list_snapshots};

/// Begins the staged name in the redo record of a file that goes away.
const REMOVAL_PREFIX: &str = "remove-";

/// Bars on disk with their catalog.
pub struct LakeStore {
    directory: DataDirectory,
    database: Database,
    catalog: SqliteCatalog,
    storage: ParquetDataStorage,
    events: Arc<dyn EventPublisher>,
    lock_wait: Duration,
    /// Taken by the threads of this process that commit side by side.
    turn: Mutex<()>,
}

impl LakeStore {
    /// The store of `directory`, whose folders exist, with `database` as its catalog. Finishes what a dead writer left.
    ///
    /// A commit waits `lock_wait` for the store lock at most.
    ///
    /// # Errors
    /// When the lock, the database or the disk fails, and when nothing is left of the files that the catalog knows: then
    /// the lake's disk is not mounted.
    pub fn open(
        directory: DataDirectory,
        database: Database,
        events: Arc<dyn EventPublisher>,
        lock_wait: Duration,
    ) -> Result<Self, StoreError> {
        let store = Self::open_for_reading(directory, database, events, lock_wait);
        let _lock = store.lock()?;
        store.recover()?;
        Ok(store)
    }

    /// The same for those who only read, and for [`adopt_lake`](Self::adopt_lake): takes no lock and finishes nothing.
    pub fn open_for_reading(
        directory: DataDirectory,
        database: Database,
        events: Arc<dyn EventPublisher>,
        lock_wait: Duration,
    ) -> Self {
        let storage = ParquetDataStorage::new(directory.lake());
        Self {
            catalog: SqliteCatalog::new(database.clone()),
            directory,
            database,
            storage,
            events,
            lock_wait,
            turn: Mutex::new(()),
        }
    }

    /// Finishes what a dead writer left, if nobody else is at it and this process may: who only looks goes on without.
    pub fn recover_if_possible(&self) {
        let recovered = self.lock().and_then(|_lock| self.recover());
        if let Err(error) = recovered {
            tracing::debug!(
                "what a dead writer may have left stays: {}",
                with_causes(&error)
            );
        }
    }

    /// The files of a selection with their paths, proven against the catalog, and the lock that keeps them in place while
    /// they are read.
    ///
    /// Whoever reads them afterwards reads what was written: Parquet itself notices few flipped bits.
    ///
    /// # Errors
    /// When the catalog cannot be read, the lock cannot be had, or a file is not what was written.
    pub fn pin_files(
        &self,
        selection: &BarSelection,
    ) -> Result<(Vec<(PartitionFile, std::path::PathBuf)>, LockGuard), StoreError> {
        let guard = PublishLock::new(self.directory.publish_lock()).shared()?;
        let files = self.catalog.list_files(selection)?;
        let pinned = commit::on_all_cores(files, |file| {
            self.read_bytes(&file)?;
            let path = self.storage.path_of(&file.key);
            Ok((file, path))
        });
        Ok((
            pinned.into_iter().collect::<Result<_, StoreError>>()?,
            guard,
        ))
    }

    /// The rows of a catalogued file, proven against the catalog.
    fn read_catalogued(&self, file: &PartitionFile) -> Result<BarBatch, StoreError> {
        let path = self.storage.path_of(&file.key);
        let bytes = self.read_bytes(file)?;
        self.storage
            .decode(&file.key, &path, bytes, Known::EveryByte)
    }

    /// The bytes of a catalogued file, which are those that the catalog knows.
    fn read_bytes(&self, file: &PartitionFile) -> Result<Vec<u8>, StoreError> {
        let path = self.storage.path_of(&file.key);
        let Some(bytes) = disk::read_if_present(&path)? else {
            let context = format!("{} is in the catalog but not on disk", path.display());
            return Err(StoreError::new(StoreErrorKind::Damaged, context));
        };
        let found = hex_sha256(&bytes);
        if found != file.sha256 {
            let context = format!(
                "{} is damaged: its SHA-256 is {found}, the catalog says {}",
                path.display(),
                file.sha256
            );
            return Err(StoreError::new(StoreErrorKind::Damaged, context));
        }
        Ok(bytes)
    }
}

impl BarStore for LakeStore {
    fn commit(&self, batch: CommitBatch) -> Result<CommitReceipt, StoreError> {
        self.commit_batch(batch)
    }

    fn list_files(&self, selection: &BarSelection) -> Result<Vec<PartitionFile>, StoreError> {
        self.catalog.list_files(selection)
    }

    fn load(&self, selection: &BarSelection) -> Result<Vec<(PartitionKey, BarBatch)>, StoreError> {
        let _files_stay = PublishLock::new(self.directory.publish_lock()).shared()?;
        let mut loaded = Vec::new();
        for file in self.catalog.list_files(selection)? {
            let batch = cut_to_sessions(self.read_catalogued(&file)?, selection.sessions);
            if !batch.is_empty() {
                loaded.push((file.key, batch));
            }
        }
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests;
