//! The handle to the database: one connection that writes, a few that read. Knows no table.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::connect::{self, Access, Content};
use super::failure::During;
use super::migrate;
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::infrastructure::disk::{identity_of, io_failure, refuse_no_file, sync_folder};

/// How many idle reading connections are kept.
const KEPT_READERS: usize = 4;

/// A shared handle to the database file; clones use the same connections.
///
/// Writes wait for each other, within the process and between processes, and are on the disk when they
/// return. Reads see the last commit and wait for nobody. Dropping the last handle moves the log into the
/// database file.
#[derive(Debug, Clone)]
pub struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Which file was opened; `None` where the system does not tell.
    identity: Option<(u64, u64)>,
    /// `None` when opened for reading only.
    writer: Option<Mutex<Connection>>,
    idle_readers: Mutex<Vec<Connection>>,
}

impl Database {
    /// Opens the database at `path`, creating it (mode 0600) or upgrading it where needed.
    ///
    /// Small databases, and larger ones that were not closed, are checked for damage on the way.
    ///
    /// # Errors
    /// [`StoreErrorKind::Missing`] without the folder, [`StoreErrorKind::Damaged`] for a damaged or foreign
    /// file, [`StoreErrorKind::NewerSchema`] for one that a newer program wrote.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        connect::check_library(rusqlite::version_number())?;
        let path = connect::absolute(path)?;
        connect::refuse_link(&path)?;
        let has_log = connect::has_log(&path);
        connect::create_file(&path)?;
        let mut writer = connect::open_connection(&path, Access::ReadWrite)?;
        connect::inspect(&writer)?;
        connect::enter_wal_mode(&writer, connect::WAL_ATTEMPTS)?;
        let bytes = fs::metadata(&path).map_or(0, |file| file.len());
        if connect::is_worth_checking(bytes, has_log) {
            connect::check_pages(&writer, "quick_check")?;
        }
        migrate::upgrade(&mut writer, &path, &migrate::MIGRATIONS)?;
        writer
            .pragma_update(None, "foreign_keys", true)
            .during_at(&path, "enforce foreign keys")?;
        Ok(Self::shared(path, Some(Mutex::new(writer))))
    }

    /// Opens the database at `path` for reading; `None` when there is none yet. Creates and upgrades nothing.
    ///
    /// Beside a database that exists SQLite makes its two shared files (`-wal`, `-shm`), so the folder must be
    /// writable; the next handle that can write takes them away.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`StoreErrorKind::Failed`] when the database needs an upgrade first.
    pub fn open_existing_read_only(path: &Path) -> Result<Option<Self>, StoreError> {
        connect::check_library(rusqlite::version_number())?;
        let path = connect::absolute(path)?;
        connect::refuse_link(&path)?;
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_failure("find", &path, error)),
            // Its creation was cut short; SQLite would make a log beside it.
            Ok(file) if file.len() == 0 => return Ok(None),
            Ok(_) => {}
        }
        let (reader, content) = connect::open_to_read(&path)?;
        if content == Content::Blank {
            return Ok(None);
        }
        migrate::check_current(&reader, &path, &migrate::MIGRATIONS)?;
        let database = Self::shared(path, None);
        database.keep(reader);
        Ok(Some(database))
    }

    /// Whether the file at `path` holds a database of ours, whatever its state; an empty file holds none.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] for a damaged or foreign file.
    pub fn is_there(path: &Path) -> Result<bool, StoreError> {
        refuse_no_file(path)?;
        match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_failure("find", path, error)),
            Ok(file) if file.len() == 0 => return Ok(false),
            Ok(_) => {}
        }
        let (_, content) = connect::open_to_read(&connect::absolute(path)?)?;
        Ok(content == Content::Ours)
    }

    /// Gives the database at `path` and its logs another name, ending in `suffix`, so that a new one can be made in its
    /// place; nothing of it is lost. Returns the new name, `None` when there was nothing.
    ///
    /// # Errors
    /// When a file cannot be renamed.
    pub fn set_aside(path: &Path, suffix: &str) -> Result<Option<PathBuf>, StoreError> {
        const LOGS: [&str; 3] = ["-wal", "-shm", ""];
        let named = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        // Never over another one that was set aside: it may be all that is left of something.
        let is_free = |suffix: &String| {
            let names = LOGS.map(|log| named(&format!("{suffix}{log}")));
            names.iter().all(|name| name.symlink_metadata().is_err())
        };
        let others = (1_u32..).map(|number| format!("{suffix}.{number}"));
        let suffix = std::iter::once(suffix.to_owned())
            .chain(others)
            .find(is_free);
        let suffix = suffix.unwrap_or_default();
        let mut aside = None;
        // The logs first: one that stayed behind would be played into the new database.
        for log in LOGS {
            let to = named(&format!("{suffix}{log}"));
            match fs::rename(named(log), &to) {
                Ok(()) => aside = Some(to),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_failure("set aside", &named(log), error)),
            }
        }
        path.parent().map_or(Ok(()), sync_folder)?;
        Ok(aside)
    }

    fn shared(path: PathBuf, writer: Option<Mutex<Connection>>) -> Self {
        Self(Arc::new(Shared {
            identity: fs::metadata(&path)
                .ok()
                .and_then(|found| identity_of(&found)),
            path,
            writer,
            idle_readers: Mutex::default(),
        }))
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Runs `work` in a transaction that nobody else writes in, and commits it; an error rolls it back.
    ///
    /// Not to be called from within another `write` of the same handle: that would wait for itself.
    ///
    /// # Errors
    /// Those of `work`; [`StoreErrorKind::NotWritable`] when opened for reading;
    /// [`StoreErrorKind::Locked`] when another process writes for longer than thirty seconds.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer()?;
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .during_at(&self.0.path, "begin a transaction")?;
        // Not before: others may have written, and moved the file, for as long as this waited.
        self.refuse_another()?;
        let value = work(&transaction)?;
        transaction
            .commit()
            .during_at(&self.0.path, "commit a transaction")?;
        Ok(value)
    }

    /// Runs `work` on one moment's state of the database.
    ///
    /// At most four connections are kept for reading; one more reader at the same time opens its own.
    ///
    /// # Errors
    /// Those of `work`, and when a connection cannot be opened.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = lock(&self.0.idle_readers).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => {
                let reader = connect::open_connection(&self.0.path, Access::ReadOnly)?;
                self.refuse_another()?;
                reader
            }
        };
        let snapshot = reader
            .unchecked_transaction()
            .during(&reader, "begin to read")?;
        let outcome = work(&snapshot);
        drop(snapshot);
        self.keep(reader);
        outcome
    }

    /// Copies the database as it is now to a path where nothing is, and makes the copy durable. Commits that come while it
    /// is copied make it begin anew: the caller keeps them away.
    ///
    /// # Errors
    /// When the copy cannot be written.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        migrate::copy_durable(&self.0.path, path)
    }

    /// Checks the pages, without comparing indexes with their tables: a tenth of the time of [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] with the first finding.
    pub fn verify_pages(&self) -> Result<(), StoreError> {
        self.read(|conn| connect::check_pages(conn, "quick_check"))
    }

    /// Checks every page, index and reference; takes seconds for each gigabyte and holds up writers meanwhile.
    ///
    /// A handle for reading cannot check what the tables' CHECK clauses demand.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] with the first finding.
    pub fn verify(&self) -> Result<(), StoreError> {
        let verify = |conn: &Connection| {
            connect::check_pages(conn, "integrity_check")?;
            migrate::check_references(conn)
        };
        match &self.0.writer {
            // SQLite does not even read the CHECK clauses on a connection that cannot write.
            Some(writer) => verify(&lock(writer)),
            None => self.read(verify),
        }
    }

    /// Refuses to go on where another database has taken this one's place, or none: what is written into this one, nobody
    /// would find.
    fn refuse_another(&self) -> Result<(), StoreError> {
        let path = &self.0.path;
        let found = fs::metadata(path).map_err(|error| io_failure("find", path, error))?;
        if identity_of(&found) == self.0.identity {
            return Ok(());
        }
        let context = format!(
            "{} was replaced by another database while it was in use",
            path.display()
        );
        Err(StoreError::new(StoreErrorKind::Locked, context))
    }

    fn writer(&self) -> Result<MutexGuard<'_, Connection>, StoreError> {
        let writer = self.0.writer.as_ref().ok_or_else(|| {
            let context = format!("{} was opened for reading only", self.0.path.display());
            StoreError::new(StoreErrorKind::NotWritable, context)
        })?;
        Ok(lock(writer))
    }

    fn keep(&self, reader: Connection) {
        let mut idle = lock(&self.0.idle_readers);
        if idle.len() < KEPT_READERS {
            idle.push(reader);
        }
    }

    #[cfg(test)]
    pub(super) fn set_busy_timeout(&self, timeout: Duration) {
        self.writer().unwrap().busy_timeout(timeout).unwrap();
    }

    #[cfg(test)]
    pub(super) fn idle_readers(&self) -> usize {
        lock(&self.0.idle_readers).len()
    }
}

/// A panic in the middle of a transaction rolls it back on its way, so what the lock guards is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Shared {
    fn drop(&mut self) {
        lock(&self.idle_readers).clear();
        let Some(writer) = &self.writer else { return };
        let writer = lock(writer);
        // Another process may be reading; then the log stays and its last user moves it.
        let moved = writer
            .busy_timeout(Duration::ZERO)
            .and_then(|()| writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        if let Err(error) = moved {
            tracing::warn!(file = %self.path.display(), %error, "the log of the database was left behind");
        }
    }
}
