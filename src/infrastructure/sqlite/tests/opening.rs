//! Claims of opening a database: what is created, refused, checked and left alone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::super::connect;
use super::pool::put;
use super::*;

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_a_new_database_and_its_log() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, database) = database();
    put(&database, 1).unwrap();
    for name in ["marketpipe.db", "marketpipe.db-wal", "marketpipe.db-shm"] {
        let mode = fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn opening_again_keeps_what_is_there() {
    let (folder, database) = database();
    let id = SqliteCatalog::new(database.clone()).store_id().unwrap();
    put(&database, 1).unwrap();
    drop(database);
    let again = Database::open(&folder.path().join("marketpipe.db")).unwrap();
    assert_eq!(SqliteCatalog::new(again.clone()).store_id().unwrap(), id);
    assert_eq!(count(&again, "job"), 1);
    again.verify().unwrap();
}

#[test]
fn a_foreign_file_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let tables = folder.path().join("tables.db");
    Connection::open(&tables)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    let marked = folder.path().join("marked.db");
    Connection::open(&marked)
        .unwrap()
        .pragma_update(None, "application_id", 7)
        .unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "these are no bars\n".repeat(100)).unwrap();
    for path in [tables, marked, text] {
        let before = fs::read(&path).unwrap();
        for outcome in [
            Database::open(&path).map(Some),
            Database::open_existing_read_only(&path),
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
            assert!(
                error.to_string().contains(&path.display().to_string()),
                "{error}"
            );
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "nothing was left beside them"
    );
}

#[test]
fn damage_is_found_on_opening() {
    let (folder, database) = database();
    let path = folder.path().join("marketpipe.db");
    drop(database);
    let mut bytes = fs::read(&path).unwrap();
    // The second page on hold tables and indexes; the first stays, so the header is sound.
    bytes[4096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let error = Database::open(&path).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
}

#[test]
fn damage_to_a_large_database_is_found_once_it_was_left_open() {
    let (folder, database) = database();
    put(&database, 1).unwrap();
    let fill =
        "INSERT INTO quarantine (dataset, symbol, rule, evidence, source, job_id, seen_at_us)
                SELECT 'a/b/c', 'A', 'off-minute', ? || value, hex(zeroblob(4000)), 1, 0
                FROM json_each('[1,2,3,4,5,6,7,8,9]')";
    database
        .write(|transaction| {
            (0..120).for_each(|row| assert_eq!(transaction.execute(fill, [row * 10]).unwrap(), 9));
            Ok(())
        })
        .unwrap();
    drop(database);
    let path = folder.path().join("marketpipe.db");
    let mut bytes = fs::read(&path).unwrap();
    assert!(
        !connect::is_worth_checking(bytes.len() as u64, false),
        "the database is not large"
    );
    let half = bytes.len() / 2 / 4096 * 4096;
    bytes[half..half + 40_960].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let running = Database::open(&path).unwrap();
    put(&running, 2).unwrap();
    let error = Database::open(&path).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
}

#[test]
fn a_folder_in_the_way_and_a_missing_folder_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let error = Database::open(folder.path()).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotWritable, "{error}");
    let error = Database::open(&folder.path().join("none/marketpipe.db")).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Missing, "{error}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Database::open_existing_read_only(&file.join("marketpipe.db")).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotWritable, "{error}");
}

#[test]
fn reading_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marketpipe.db");
    assert!(Database::open_existing_read_only(&path).unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(&path, "").unwrap();
    assert!(
        Database::open_existing_read_only(&path).unwrap().is_none(),
        "creation was cut short at once"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "journal_mode", "wal")
        .unwrap();
    assert!(
        Database::open_existing_read_only(&path).unwrap().is_none(),
        "creation was cut short a little later"
    );
    Database::open(&path).unwrap().verify().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_handle_for_reading_reads_and_refuses_to_write() {
    let (folder, database) = database();
    put(&database, 1).unwrap();
    let path = folder.path().join("marketpipe.db");
    let reading = Database::open_existing_read_only(&path).unwrap().unwrap();
    assert_eq!(count(&reading, "job"), 1);
    put(&database, 2).unwrap();
    assert_eq!(count(&reading, "job"), 2, "each read sees the last commit");
    assert_eq!(
        failure(&reading, put(&reading, 3)).0,
        StoreErrorKind::NotWritable
    );
    drop(database);
    assert_eq!(
        count(&reading, "job"),
        2,
        "also when the last writer is gone"
    );
    reading.verify().unwrap();
}

#[test]
fn processes_that_start_at_once_make_one_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marketpipe.db");
    let mut ids: Vec<String> = std::thread::scope(|scope| {
        let open = || {
            SqliteCatalog::new(Database::open(&path).unwrap())
                .store_id()
                .unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[test]
fn unsafe_libraries_are_refused() {
    connect::check_library(3_051_003).unwrap();
    let error = connect::check_library(3_051_002).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sqlite library 3.51.2 is older than 3.51.3, the oldest that is safe"
    );
    assert!(!library_version().is_empty());
}

#[test]
fn special_names_are_ordinary_files() {
    for name in [":memory:", "file:x?mode=memory"] {
        let path = connect::absolute(Path::new(name)).unwrap();
        assert!(path.is_absolute() && path.ends_with(name), "{path:?}");
    }
    assert!(connect::absolute(Path::new("")).is_err());
}

#[test]
fn large_databases_are_checked_only_when_they_were_left_open() {
    const MIB: u64 = 1 << 20;
    let cases = [
        (MIB, false, true),
        (MIB, true, true),
        (100 * MIB, false, false),
        (100 * MIB, true, true),
        (2048 * MIB, true, false),
    ];
    for (bytes, has_log, expected) in cases {
        assert_eq!(
            connect::is_worth_checking(bytes, has_log),
            expected,
            "{bytes} bytes, log {has_log}"
        );
    }
}

#[test]
fn a_database_that_cannot_have_a_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marketpipe.db");
    let blocking = Connection::open(&path).unwrap();
    blocking.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let conn = Connection::open(&path).unwrap();
    conn.busy_timeout(Duration::ZERO).unwrap();
    assert_eq!(
        connect::enter_wal_mode(&conn, 1).unwrap_err().kind,
        StoreErrorKind::Locked
    );
    drop(blocking);
    let reading = connect::open_connection(&path, connect::Access::ReadOnly).unwrap();
    let error = connect::enter_wal_mode(&reading, 1).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NotWritable, "{error}");
    let memory = Connection::open_in_memory().unwrap();
    let error = connect::enter_wal_mode(&memory, 1).unwrap_err();
    assert!(
        error.to_string().ends_with("it stays in mode memory"),
        "{error}"
    );
}
