//! Snapshots put together: the one writer that makes them, and the folder that holds them.

use std::sync::Arc;
use std::time::Duration;

use super::{App, AppError};
use crate::domain::ports::EventPublisher;
use crate::infrastructure::lake::{Snapshot, SnapshotName, drop_snapshot, list_snapshots};
use crate::infrastructure::sqlite::Database;

impl App {
    /// Makes a snapshot; `None` when nothing was ever kept in the data directory.
    ///
    /// # Errors
    /// When lock, disk or database fail, and when there is one of that name.
    pub fn make_snapshot(
        &self,
        name: &SnapshotName,
        events: Arc<dyn EventPublisher>,
        lock_wait: Duration,
    ) -> Result<Option<Snapshot>, AppError> {
        if !Database::is_there(&self.directory().database())? {
            // Files without a database are told by this.
            self.open_existing_stores(events)?;
            return Ok(None);
        }
        let stores = self.open_stores(events, lock_wait)?;
        Ok(Some(stores.bars.make_snapshot(name)?))
    }

    /// The snapshots that there are, by name.
    ///
    /// # Errors
    /// When their folder cannot be listed.
    pub fn list_snapshots(&self) -> Result<Vec<Snapshot>, AppError> {
        Ok(list_snapshots(&self.directory())?)
    }

    /// Removes a snapshot; returns whether there was one.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn drop_snapshot(&self, name: &SnapshotName) -> Result<bool, AppError> {
        Ok(drop_snapshot(&self.directory(), name)?)
    }
}
