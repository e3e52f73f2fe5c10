//! Claims of the handle: what its connections are set to, how they share, and what they leave behind.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::super::connect;
use super::*;

pub(super) fn put(database: &Database, pid: i64) -> Result<(), StoreError> {
    database.write(|transaction| {
        let sql = "INSERT INTO job (state, request, owner_pid, owner_host, created_at_us)
                   VALUES ('pending', '', ?, '', 0)";
        transaction.execute(sql, [pid]).unwrap();
        Ok(())
    })
}

#[test]
fn every_connection_has_the_settings_that_durability_and_safety_need() {
    let (_folder, database) = database();
    let settings = |conn: &Connection| {
        let read = |name| {
            conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .unwrap()
        };
        let mode: String = conn
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        let names = [
            "synchronous",
            "trusted_schema",
            "cell_size_check",
            "mmap_size",
            "busy_timeout",
        ];
        assert_eq!(
            (mode.as_str(), names.map(read)),
            ("wal", [2, 0, 1, 0, 30_000])
        );
        assert!(conn.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE).unwrap());
        read("foreign_keys")
    };
    assert_eq!(
        database
            .write(|transaction| Ok(settings(transaction)))
            .unwrap(),
        1
    );
    database.read(|conn| Ok(settings(conn))).unwrap();
}

#[test]
fn verify_finds_rows_that_refer_to_nothing_or_break_a_rule() {
    let (_folder, database) = database();
    database.verify().unwrap();
    damage(&database, "INSERT INTO checkpoint VALUES (99, 0, '', 0, 0)");
    let (kind, text) = failure(&database, database.verify());
    assert_eq!(kind, StoreErrorKind::Damaged);
    assert!(text.contains("table checkpoint"), "{text}");
    damage(
        &database,
        "DELETE FROM checkpoint; INSERT INTO series VALUES (1, 'a/b/c', 'A');
         PRAGMA ignore_check_constraints = ON;
         INSERT INTO session_record
         VALUES (1, 2, 3, 4, 5, 6, x'00', 7, x'00', 8, 9, 1, 1, 1, 1, 1, 1, 1)",
    );
    let (kind, text) = failure(&database, database.verify());
    assert_eq!(kind, StoreErrorKind::Damaged, "{text}");
}

#[test]
fn an_error_rolls_everything_back() {
    let (_folder, database) = database();
    let outcome: Result<(), StoreError> = database.write(|transaction| {
        transaction
            .execute(
                "INSERT INTO series (dataset, symbol) VALUES ('a/b/c', 'A')",
                [],
            )
            .unwrap();
        Err(StoreError::new(StoreErrorKind::Failed, "changed my mind"))
    });
    assert_eq!(outcome.unwrap_err().to_string(), "changed my mind");
    assert_eq!(count(&database, "series"), 0);
}

#[test]
fn a_panic_rolls_everything_back_and_spares_the_handle() {
    let (_folder, database) = database();
    let panicking = database.clone();
    let outcome = std::thread::spawn(move || {
        panicking.write::<()>(|transaction| {
            transaction
                .execute(
                    "INSERT INTO series (dataset, symbol) VALUES ('a/b/c', 'A')",
                    [],
                )
                .unwrap();
            panic!("on purpose")
        })
    });
    assert!(outcome.join().is_err());
    assert_eq!(count(&database, "series"), 0);
    put(&database, 1).unwrap();
}

#[test]
fn a_second_writer_waits_and_then_reports_the_lock() {
    let (folder, first) = database();
    let second = Database::open(&folder.path().join("marketpipe.db")).unwrap();
    second.set_busy_timeout(Duration::ZERO);
    first
        .write(|_| {
            assert_eq!(failure(&second, put(&second, 1)).0, StoreErrorKind::Locked);
            assert_eq!(count(&second, "job"), 0, "readers wait for nobody");
            Ok(())
        })
        .unwrap();
    put(&second, 1).unwrap();
}

#[test]
fn a_full_disk_is_reported_as_such() {
    let (_folder, database) = database();
    put(&database, 1).unwrap();
    let outcome = database.write(|transaction| {
        use super::super::failure::During;
        let pages: i64 = transaction
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        transaction
            .pragma_update(None, "max_page_count", pages)
            .unwrap();
        let row =
            "INSERT INTO quarantine (dataset, symbol, rule, evidence, source, job_id, seen_at_us)
                   VALUES ('', '', '', hex(randomblob(100000)), '', 1, 0)";
        transaction
            .execute(row, [])
            .during(transaction, "fill the disk")
    });
    assert_eq!(failure(&database, outcome).0, StoreErrorKind::NoSpace);
    database.verify().unwrap();
}

#[test]
fn handles_of_one_file_never_lose_a_write() {
    let (folder, first) = database();
    let second = Database::open(&folder.path().join("marketpipe.db")).unwrap();
    let catalogs =
        [&first, &second, &first, &second].map(|database| SqliteCatalog::new(database.clone()));
    let mut epochs: Vec<i64> = std::thread::scope(|scope| {
        let raise = |catalog: SqliteCatalog| {
            move || {
                (0..25)
                    .map(|_| catalog.bump_epoch().unwrap())
                    .collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = catalogs
            .into_iter()
            .map(|catalog| scope.spawn(raise(catalog)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=100).collect::<Vec<i64>>());
}

#[test]
fn more_readers_than_are_kept_do_not_wait_for_each_other() {
    fn nested(database: &Database, depth: usize) {
        if depth > 0 {
            database
                .read(|_| {
                    nested(database, depth - 1);
                    Ok(())
                })
                .unwrap();
        }
    }
    let (_folder, database) = database();
    nested(&database, 6);
    assert_eq!(database.idle_readers(), 4);
}

#[test]
fn the_last_handle_leaves_no_log_behind() {
    let (folder, database) = database();
    let path = folder.path().join("marketpipe.db");
    let log = folder.path().join("marketpipe.db-wal");
    let clone = database.clone();
    put(&database, 1).unwrap();
    drop(database);
    assert!(connect::has_log(&path), "a clone is still open");
    let outsider = Connection::open(&path).unwrap();
    outsider
        .query_row("SELECT count(*) FROM job", [], |_| Ok(()))
        .unwrap();
    drop(clone);
    assert_eq!(
        fs::metadata(&log).unwrap().len(),
        0,
        "another connection keeps the log, emptied"
    );
    drop(outsider);
    assert!(!log.exists());
}

#[test]
fn a_reader_elsewhere_does_not_hold_up_the_end() {
    let (folder, database) = database();
    let path = folder.path().join("marketpipe.db");
    let outsider = Connection::open(&path).unwrap();
    let snapshot = outsider.unchecked_transaction().unwrap();
    let jobs = || -> i64 {
        snapshot
            .query_row("SELECT count(*) FROM job", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(jobs(), 0);
    put(&database, 1).unwrap();
    drop(database);
    assert_eq!(jobs(), 0, "its moment stays the same");
    drop(snapshot);
    assert!(connect::has_log(&path));
    assert_eq!(count(&Database::open(&path).unwrap(), "job"), 1);
}

#[test]
fn a_database_that_was_set_aside_is_not_written_any_more_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marketpipe.db");
    let old = Database::open(&path).unwrap();
    let first = Database::set_aside(&path, ".damaged-1").unwrap().unwrap();
    let new = Database::open(&path).unwrap();
    let refused = old.write(|_| Ok(())).unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Locked, "{refused}");
    assert!(refused.to_string().contains("replaced"), "{refused}");
    new.write(|_| Ok(())).unwrap();
    let second = Database::set_aside(&path, ".damaged-1").unwrap().unwrap();
    assert_ne!(first, second);
    assert!(first.exists() && second.exists() && !path.exists());
}
