//! The doctor put together: a look at everything that is kept, and a catalog made anew of what the lake holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;

use super::{App, AppError, Stores, stores};
use crate::domain::causes::with_causes;
use crate::domain::ports::{
    BarSelection, EventPublisher, StoreError, StoreErrorKind, SymbolBarsRepository as _,
};
use crate::domain::{Check, Dataset, Diagnosis, Health};
use crate::infrastructure::lake::{
    LakeStore, Look, Reconciled, examine, lock_lake, refuse_while_at_work,
};
use crate::infrastructure::sqlite::{
    Database, SqliteCatalog, SqliteJobRepository, SqliteSymbolBarsRepository,
};

/// What came of making the catalog anew.
#[derive(Debug)]
pub struct Rebuilt {
    /// Where the database is now that could not be used; `None` when it was kept.
    pub old_database: Option<PathBuf>,
    /// What became of the files.
    pub files: Reconciled,
}

impl App {
    /// Looks at configuration and data directory; with `is_deep` at every byte.
    pub fn examine(&self, is_deep: bool) -> Vec<Diagnosis> {
        let look = Look {
            is_deep,
            now_us: self.clock.now_us(),
        };
        let mut seen = vec![self.examine_credentials()];
        seen.extend(examine(&self.directory(), look));
        seen
    }

    fn examine_credentials(&self) -> Diagnosis {
        match self.config.alpaca.credentials.load() {
            Ok(Some(_)) => {
                Diagnosis::ok(Check::Configuration, "is read, with credentials for Alpaca")
            }
            Ok(None) => Diagnosis::new(
                Check::Configuration,
                Health::Note,
                "is read; without credentials Alpaca cannot be asked",
            )
            .remedy(
                "export APCA_API_KEY_ID and APCA_API_SECRET_KEY; `--provider synthetic` needs none",
            ),
            Err(error) => Diagnosis::new(Check::Configuration, Health::Error, with_causes(&error))
                .remedy("`marketpipe config show` says where each value comes from"),
        }
    }

    /// Makes catalog and ledger say what the lake holds, be it nothing. A database that cannot be used is set aside first.
    ///
    /// # Errors
    /// When ingests are at work, and when lock, disk or database fail. Doing it again goes on where it ended.
    pub fn rebuild_catalog(
        &self,
        events: Arc<dyn EventPublisher>,
        lock_wait: Duration,
    ) -> Result<Rebuilt, AppError> {
        let directory = self.directory();
        directory.check_lake()?;
        directory.refuse_snapshot()?;
        directory.create()?;
        // From before the database is looked at: whoever else makes a new one has ended, or waits and finds the new one.
        let lock = lock_lake(&directory, events.as_ref(), lock_wait)?;
        refuse_while_at_work(&directory)?;
        let path = directory.database();
        let now_us = self.clock.now_us();
        let (database, old_database) = match open_verified(&path) {
            Ok(database) => (database, None),
            Err(error) if error.kind == StoreErrorKind::Damaged => {
                let stamp = DateTime::from_timestamp_micros(now_us).unwrap_or_default();
                let suffix = stamp.format(".damaged-%Y%m%dT%H%M%S").to_string();
                let aside = Database::set_aside(&path, &suffix)?;
                (Database::open(&path)?, aside)
            }
            Err(error) => return Err(error.into()),
        };
        // Not as writers open it: they refuse a lake of which nothing is left, and this is how to say that it is lost.
        let bars = LakeStore::open_for_reading(directory, database.clone(), events, lock_wait);
        let files = bars.adopt_lake(&lock, now_us)?;
        self.close_dead_jobs(&stores(bars, database))?;
        Ok(Rebuilt {
            old_database,
            files,
        })
    }

    /// Refuses to go on while any process works on a job here.
    ///
    /// # Errors
    /// When one does.
    pub fn refuse_while_at_work(&self) -> Result<(), AppError> {
        Ok(refuse_while_at_work(&self.directory())?)
    }

    /// Sets aside the files of `selection` that are not what was written, so that they are asked for again; not those of
    /// minutes that no provider of this configuration has.
    ///
    /// # Errors
    /// When lock, disk or database fail.
    pub fn withdraw_damaged(
        &self,
        stores: &Stores,
        selection: &BarSelection,
    ) -> Result<Reconciled, AppError> {
        let can_fetch = |dataset: &Dataset| self.choice_of(dataset).is_some();
        let now_us = self.clock.now_us();
        Ok(stores
            .bars
            .withdraw_damaged(selection, &can_fetch, now_us)?)
    }
}

/// The database at `path`, every page of which is sound and every value of which can be read that reconciliation reads; a
/// new one where there is none.
fn open_verified(path: &std::path::Path) -> Result<Database, StoreError> {
    let database = Database::open(path)?;
    database.verify()?;
    let catalog = SqliteCatalog::new(database.clone());
    catalog.list_files(&BarSelection::default())?;
    catalog.list_redo()?;
    SqliteJobRepository::new(database.clone()).list_unfinished()?;
    let ledger = SqliteSymbolBarsRepository::new(database.clone());
    for series in ledger.list_series(&[])? {
        let (first, last) = series.sessions;
        ledger.list_sessions(&series.dataset, &series.symbol, first, last)?;
    }
    Ok(database)
}
