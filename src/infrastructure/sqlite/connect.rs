//! Opens single connections: creates the file, refuses what is not ours, sets what every connection needs.
//! Knows no table and keeps no connection.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::failure::{During, is_busy};
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::infrastructure::disk::{io_failure, refuse_no_file};

/// Marks a file as MarketPipe's in its header: `MktP`.
pub(super) const APPLICATION_ID: i32 = 0x4d6b_7450;

/// The oldest SQLite that is trusted: earlier ones can lose a transaction when the WAL is reset.
const OLDEST_LIBRARY: i32 = 3_051_003;

/// How long a statement waits for another connection's lock. SQLite gives it to whoever asks at the right moment: where
/// many write at once on a busy machine, one of them went away empty-handed after five seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The switch to WAL does not wait for locks by itself: how often and after what pause it is tried again.
pub(super) const WAL_ATTEMPTS: u32 = 500;
const WAL_PAUSE: Duration = Duration::from_millis(10);

/// Up to this size a database is checked whenever it is opened: that takes at most about 20 ms.
const ALWAYS_CHECKED_BYTES: u64 = 8 << 20;

/// Beyond this size a database is not checked on opening even after a crash: that takes about 2 s for each
/// gigabyte, and [`Database::verify`](super::Database::verify) does it when asked.
const NEVER_CHECKED_BYTES: u64 = 1 << 30;

/// What every connection needs. Foreign keys are off until the migrations are through.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = OFF;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -16384;
";

/// More distinct statements than all repositories have together.
const CACHED_STATEMENTS: usize = 64;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
}

/// What lies in a file that can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing yet: just created, or its creation was cut short.
    Blank,
    /// A MarketPipe database.
    Ours,
}

/// The version of the SQLite library inside the program.
pub fn library_version() -> &'static str {
    rusqlite::version()
}

/// Refuses a SQLite library with known faults; `version` counts like `sqlite3_libversion_number`.
pub(super) fn check_library(version: i32) -> Result<(), StoreError> {
    if version >= OLDEST_LIBRARY {
        return Ok(());
    }
    let shown = |number: i32| {
        format!(
            "{}.{}.{}",
            number / 1_000_000,
            number / 1000 % 1000,
            number % 1000
        )
    };
    let context = format!(
        "sqlite library {} is older than {}, the oldest that is safe",
        shown(version),
        shown(OLDEST_LIBRARY)
    );
    Err(StoreError::new(StoreErrorKind::Failed, context))
}

/// The path from the root, so that it means the same file for good and SQLite sees no special name in it
/// (`:memory:`, `file:...`).
pub(super) fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|error| io_failure("find", path, error))
}

/// Refuses a database behind a symbolic link: the file that would be written, or made a database, is not ours. SQLite
/// itself refuses links in the place of the files beside a database. On a pipe it would wait for ever.
pub(super) fn refuse_link(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() && !path.is_symlink() {
        // SQLite has words for that.
        return Ok(());
    }
    refuse_no_file(path)
}

/// Makes an empty file that only its owner may read, unless there is a file already.
pub(super) fn create_file(path: &Path) -> Result<(), StoreError> {
    // Closing any descriptor of a file drops all locks that this process holds on it, SQLite's included. So
    // an existing file is never opened here, and nobody may open a new one before it is closed.
    static CREATION: Mutex<()> = Mutex::new(());
    let _guard = CREATION.lock().unwrap_or_else(PoisonError::into_inner);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io_failure("create", path, error)),
    }
}

/// Opens a file that exists.
pub(super) fn open_connection(path: &Path, access: Access) -> Result<Connection, StoreError> {
    let mode = match access {
        Access::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let open = || -> rusqlite::Result<Connection> {
        let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        conn.execute_batch(SETTINGS)?;
        Ok(conn)
    };
    open().during_at(path, "open the database")
}

/// Opens a file that exists for reading, and says what lies in it.
///
/// A database whose creation was cut short before it had its write-ahead log is rolled back first, which only they can
/// do who may write.
pub(super) fn open_to_read(path: &Path) -> Result<(Connection, Content), StoreError> {
    let open = || {
        let reader = open_connection(path, Access::ReadOnly)?;
        let content = inspect(&reader)?;
        Ok((reader, content))
    };
    match open() {
        Err(_) if has_rollback_journal(path) => {
            inspect(&open_connection(path, Access::ReadWrite)?)?;
            open()
        }
        opened => opened,
    }
}

fn has_rollback_journal(path: &Path) -> bool {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    fs::metadata(journal).is_ok_and(|journal| journal.len() > 0)
}

/// Tells an empty database from one of ours, and refuses every other one. Changes nothing.
pub(super) fn inspect(conn: &Connection) -> Result<Content, StoreError> {
    let header = || -> rusqlite::Result<(i32, i32, i64)> {
        // One moment, or a database that another process makes just now would look like a foreign one.
        let moment = conn.unchecked_transaction()?;
        Ok((
            moment.pragma_query_value(None, "application_id", |row| row.get(0))?,
            moment.pragma_query_value(None, "user_version", |row| row.get(0))?,
            moment.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
        ))
    };
    match header().during(conn, "read the header")? {
        (APPLICATION_ID, _, _) => Ok(Content::Ours),
        (0, 0, 0) => Ok(Content::Blank),
        (application_id, _, _) => {
            let file = conn.path().unwrap_or("the file");
            let context = format!(
                "{file} is not a marketpipe database: its application id is {application_id:#x}, \
                 not {APPLICATION_ID:#x}"
            );
            Err(StoreError::new(StoreErrorKind::Damaged, context))
        }
    }
}

/// Switches to the write-ahead log, which stays with the file.
pub(super) fn enter_wal_mode(conn: &Connection, attempts: u32) -> Result<(), StoreError> {
    const ACTION: &str = "switch to the write-ahead log";
    let switch =
        || conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
    let mut mode = switch();
    for _ in 0..attempts {
        match &mode {
            // Another process creates the same database at this moment.
            Err(error) if is_busy(error) => thread::sleep(WAL_PAUSE),
            _ => break,
        }
        mode = switch();
    }
    let mode = mode.during(conn, ACTION)?;
    if mode != "wal" {
        let context = format!(
            "cannot {ACTION} in {}: it stays in mode {mode}",
            conn.path().unwrap_or("the database")
        );
        return Err(StoreError::new(StoreErrorKind::Failed, context));
    }
    Ok(())
}

/// Whether a log was left behind: the database was not closed, or another process has it open.
pub(super) fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// Whether a database is checked on opening: small ones always, others when they were left open.
pub(super) fn is_worth_checking(bytes: u64, has_log: bool) -> bool {
    bytes <= ALWAYS_CHECKED_BYTES || (has_log && bytes <= NEVER_CHECKED_BYTES)
}

/// Runs `check`, one of SQLite's two integrity checks, and reports the first finding.
pub(super) fn check_pages(conn: &Connection, check: &'static str) -> Result<(), StoreError> {
    let finding: String = conn
        .pragma_query_value(None, check, |row| row.get(0))
        .during(conn, "check the pages")?;
    if finding != "ok" {
        let context = format!(
            "{} is damaged: {finding}",
            conn.path().unwrap_or("the database")
        );
        return Err(StoreError::new(StoreErrorKind::Damaged, context));
    }
    Ok(())
}
