//! Claims of the migrations: applied once, in order, never edited, with a copy of what was there before.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::super::connect::{self, Access};
use super::super::migrate::{MIGRATIONS, Migration, check_current, copy_database, upgrade};
use super::*;
use crate::domain::ports::SymbolBarsRepository;

/// The version before the one that these tests add.
const LATEST: i64 = MIGRATIONS.len().cast_signed() as i64;

const ADDED: Migration = Migration {
    name: "9999_note",
    sql: "CREATE TABLE note (text TEXT) STRICT;\nINSERT INTO note VALUES ('v2');",
};

/// All migrations and one more.
fn next() -> Vec<Migration> {
    and_then(ADDED)
}

fn and_then(migration: Migration) -> Vec<Migration> {
    let mut migrations = MIGRATIONS.to_vec();
    migrations.push(migration);
    migrations
}

fn backup_name() -> String {
    format!("marketpipe.db.backup-v{LATEST}")
}

/// A database of the latest schema with one series in it, and a connection to it.
fn older() -> (TempDir, PathBuf, Connection) {
    let (folder, database) = database();
    database
        .write(|tx| {
            Ok(tx
                .execute("INSERT INTO series VALUES (1, 'a/b/c', 'A')", [])
                .unwrap())
        })
        .unwrap();
    let path = database.path().to_owned();
    drop(database);
    let conn = connect::open_connection(&path, Access::ReadWrite).unwrap();
    (folder, path, conn)
}

fn version(conn: &Connection) -> i64 {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

#[test]
fn migrations_are_applied_once_and_recorded() {
    let (_folder, database) = database();
    let path = database.path().to_owned();
    let records = |database: &Database| {
        let read = |row: &rusqlite::Row<'_>| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
            ))
        };
        let sql = "SELECT name, sha256, applied_at_us FROM migration ORDER BY version LIMIT 1";
        database
            .read(|conn| Ok(conn.query_row(sql, [], read).unwrap()))
            .unwrap()
    };
    let first = records(&database);
    assert_eq!((first.0.as_str(), first.1.len()), ("0001_initial", 64));
    assert!(first.2 > 1_700_000_000_000_000, "{first:?}");
    drop(database);
    assert_eq!(records(&Database::open(&path).unwrap()), first);
}

#[test]
fn a_copy_is_kept_before_an_older_database_is_changed() {
    let (folder, path, mut conn) = older();
    let partial = folder.path().join(format!("{}.partial", backup_name()));
    fs::write(&partial, "what a crash left").unwrap();
    upgrade(&mut conn, &path, &next()).unwrap();
    assert_eq!(version(&conn), LATEST + 1);
    let copy = folder.path().join(backup_name());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let copy = Database::open_existing_read_only(&copy).unwrap().unwrap();
    assert_eq!(count(&copy, "series"), 1);
    assert!(!partial.exists());
}

#[test]
fn a_new_database_needs_no_copy() {
    let (folder, _database) = database();
    assert!(!folder.path().join("marketpipe.db.backup-v0").exists());
}

#[test]
fn a_copy_that_cannot_be_made_stops_the_migration() {
    let (folder, path, mut conn) = older();
    fs::create_dir(folder.path().join(format!("{}.partial", backup_name()))).unwrap();
    let error = upgrade(&mut conn, &path, &next()).unwrap_err();
    assert!(error.to_string().contains(&backup_name()), "{error}");
    assert_eq!(version(&conn), LATEST);
}

#[test]
fn a_copy_whose_place_is_taken_is_not_made() {
    let (folder, path, _conn) = older();
    let taken = folder.path().join("taken.db");
    let holder = Connection::open(&taken).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = copy_database(&path, &taken).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Locked, "{error}");
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    let (_folder, path, mut conn) = older();
    upgrade(&mut conn, &path, &next()).unwrap();
    drop(conn);
    for outcome in [
        Database::open(&path).map(Some),
        Database::open_existing_read_only(&path),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NewerSchema);
        let expected = format!(
            "has schema version {}, newer than {LATEST}, the newest that this program knows",
            LATEST + 1
        );
        assert_eq!(error.to_string(), format!("{} {expected}", path.display()));
    }
}

#[test]
fn an_older_database_is_not_read_before_its_upgrade() {
    let (_folder, path, conn) = older();
    let error = check_current(&conn, &path, &next()).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(error.to_string().ends_with(&format!(
        "has schema version {LATEST}, {} is needed: the next command that writes upgrades it",
        LATEST + 1
    )));
    check_current(&conn, &path, &MIGRATIONS).unwrap();
}

#[test]
fn an_edited_migration_is_refused() {
    let (_folder, path, mut conn) = older();
    let mut edited = next();
    edited[0].sql = "CREATE TABLE t (x);";
    let error = upgrade(&mut conn, &path, &edited).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged);
    assert!(
        error
            .to_string()
            .starts_with("migration 0001_initial was applied to"),
        "{error}"
    );
    conn.execute("DELETE FROM migration", []).unwrap();
    let error = upgrade(&mut conn, &path, &next()).unwrap_err();
    assert!(error.to_string().contains("sha256 unknown"), "{error}");
    assert_eq!(version(&conn), LATEST);
}

#[test]
fn line_ends_are_no_edit() {
    let (_folder, path, mut conn) = older();
    upgrade(&mut conn, &path, &next()).unwrap();
    let sql = "CREATE TABLE note (text TEXT) STRICT;\r\nINSERT INTO note VALUES ('v2');";
    upgrade(&mut conn, &path, &and_then(Migration { sql, ..ADDED })).unwrap();
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let (_folder, path, mut conn) = older();
    for sql in [
        "CREATE TABLE note (text TEXT); INSERT INTO nowhere VALUES (1);",
        "CREATE TABLE note (text TEXT); INSERT INTO checkpoint VALUES (99, 0, '', 0, 0);",
    ] {
        let broken = and_then(Migration {
            name: "9999_broken",
            sql,
        });
        let error = upgrade(&mut conn, &path, &broken).unwrap_err();
        assert!(
            error.to_string().contains("9999_broken") || error.kind == StoreErrorKind::Damaged,
            "{error}"
        );
        let tables: i64 = conn
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE name = 'note'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!((version(&conn), tables), (LATEST, 0));
    }
    upgrade(&mut conn, &path, &next()).unwrap();
    assert_eq!(
        version(&conn),
        LATEST + 1,
        "the failed attempts are no obstacle"
    );
}

#[test]
fn processes_that_upgrade_at_once_apply_each_migration_once() {
    let (_folder, path, conn) = older();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn = connect::open_connection(&path, Access::ReadWrite).unwrap();
                upgrade(&mut conn, &path, &next()).unwrap();
            });
        }
    });
    let notes: i64 = conn
        .query_row("SELECT count(*) FROM note", [], |row| row.get(0))
        .unwrap();
    assert_eq!((version(&conn), notes), (LATEST + 1, 1));
}

#[test]
fn a_database_of_the_first_schema_is_upgraded_with_its_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marketpipe.db");
    connect::create_file(&path).unwrap();
    let mut conn = connect::open_connection(&path, Access::ReadWrite).unwrap();
    upgrade(&mut conn, &path, &MIGRATIONS[..1]).unwrap();
    conn.execute(
        "INSERT INTO job (state, request, owner_pid, owner_host, created_at_us)
         VALUES ('running', 'ingest', 7, 'here', 0)",
        [],
    )
    .unwrap();
    drop(conn);
    let database = Database::open(&path).unwrap();
    let jobs = SqliteJobRepository::new(database)
        .list_unfinished()
        .unwrap();
    assert_eq!((jobs[0].spec(), &jobs[0].owner().lease), (None, &None));
    assert!(folder.path().join("marketpipe.db.backup-v1").exists());
}

#[test]
fn a_ledger_with_expected_minutes_is_upgraded_with_its_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marketpipe.db");
    connect::create_file(&path).unwrap();
    let mut conn = connect::open_connection(&path, Access::ReadWrite).unwrap();
    upgrade(&mut conn, &path, &MIGRATIONS[..6]).unwrap();
    conn.execute_batch(
        "INSERT INTO series VALUES (1, 'alpaca/sip/raw', 'AAPL');
         INSERT INTO session_record
             (series_id, session_day, asked_start_us, asked_end_us, asked_at_us, is_settled, present,
              off_frame_rows, quarantined, rows, regular_minutes, expected_minutes, close, volume)
         VALUES (1, 19906, 1, 2, 3, 1, x'', 4, x'', 5, 3, 390, 10.5, 7.5);",
    )
    .unwrap();
    let columns =
        "asked_start_us, asked_end_us, off_frame_rows, rows, regular_minutes, close, volume";
    let stored = |conn: &Connection| {
        conn.query_row(
            &format!("SELECT {columns} FROM session_record WHERE session_day = 19906"),
            [],
            |row| {
                let whole: [i64; 5] = [
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ];
                let real: [f64; 2] = [row.get(5)?, row.get(6)?];
                Ok((whole, real))
            },
        )
        .unwrap()
    };
    let before = stored(&conn);
    assert_eq!(before, ([1, 2, 4, 5, 3], [10.5, 7.5]));
    upgrade(&mut conn, &path, &MIGRATIONS).unwrap();
    assert_eq!(stored(&conn), before);
    let statuses = SqliteSymbolBarsRepository::new(Database::open(&path).unwrap());
    let statuses = statuses.list_status(&[]).unwrap();
    assert_eq!(
        (statuses[0].regular_minutes, statuses[0].expected_minutes),
        (3, 390)
    );
}
