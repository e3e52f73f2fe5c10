//! Claims of the migrations: applied once, in order, never edited, with a copy of what was there before.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::super::connect::{self, Access};
use super::super::migrate::{MIGRATIONS, Migration, check_current, copy_database, upgrade};
use super::*;

const SECOND: Migration = Migration {
    name: "0002_note",
    sql: "CREATE TABLE note (text TEXT) STRICT;\nINSERT INTO note VALUES ('v2');",
};

const NEXT: [Migration; 2] = [MIGRATIONS[0], SECOND];

/// A database of the first schema with one series in it, and a connection to it.
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
        let sql = "SELECT name, sha256, applied_at_us FROM migration";
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
    let partial = folder.path().join("marketpipe.db.backup-v1.partial");
    fs::write(&partial, "what a crash left").unwrap();
    upgrade(&mut conn, &path, &NEXT).unwrap();
    assert_eq!(version(&conn), 2);
    let copy = folder.path().join("marketpipe.db.backup-v1");
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
    fs::create_dir(folder.path().join("marketpipe.db.backup-v1.partial")).unwrap();
    let error = upgrade(&mut conn, &path, &NEXT).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("marketpipe.db.backup-v1.partial"),
        "{error}"
    );
    assert_eq!(version(&conn), 1);
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
    upgrade(&mut conn, &path, &NEXT).unwrap();
    drop(conn);
    for outcome in [
        Database::open(&path).map(Some),
        Database::open_existing_read_only(&path),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NewerSchema);
        let expected = "has schema version 2, newer than 1, the newest that this program knows";
        assert_eq!(error.to_string(), format!("{} {expected}", path.display()));
    }
}

#[test]
fn an_older_database_is_not_read_before_its_upgrade() {
    let (_folder, path, conn) = older();
    let error = check_current(&conn, &path, &NEXT).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(
        error.to_string().ends_with(
            "has schema version 1, 2 is needed: the next command that writes upgrades it"
        )
    );
    check_current(&conn, &path, &MIGRATIONS).unwrap();
}

#[test]
fn an_edited_migration_is_refused() {
    let (_folder, path, mut conn) = older();
    let edited = [
        Migration {
            sql: "CREATE TABLE t (x);",
            ..MIGRATIONS[0]
        },
        SECOND,
    ];
    let error = upgrade(&mut conn, &path, &edited).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Damaged);
    assert!(
        error
            .to_string()
            .starts_with("migration 0001_initial was applied to"),
        "{error}"
    );
    conn.execute("DELETE FROM migration", []).unwrap();
    let error = upgrade(&mut conn, &path, &NEXT).unwrap_err();
    assert!(error.to_string().contains("sha256 unknown"), "{error}");
    assert_eq!(version(&conn), 1);
}

#[test]
fn line_ends_are_no_edit() {
    let (_folder, path, mut conn) = older();
    upgrade(&mut conn, &path, &NEXT).unwrap();
    let sql = "CREATE TABLE note (text TEXT) STRICT;\r\nINSERT INTO note VALUES ('v2');";
    upgrade(
        &mut conn,
        &path,
        &[MIGRATIONS[0], Migration { sql, ..SECOND }],
    )
    .unwrap();
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let (_folder, path, mut conn) = older();
    for sql in [
        "CREATE TABLE note (text TEXT); INSERT INTO nowhere VALUES (1);",
        "CREATE TABLE note (text TEXT); INSERT INTO checkpoint VALUES (99, 0, '', 0, 0);",
    ] {
        let broken = [
            MIGRATIONS[0],
            Migration {
                name: "0002_broken",
                sql,
            },
        ];
        let error = upgrade(&mut conn, &path, &broken).unwrap_err();
        assert!(
            error.to_string().contains("0002_broken") || error.kind == StoreErrorKind::Damaged,
            "{error}"
        );
        let tables: i64 = conn
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE name = 'note'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!((version(&conn), tables), (1, 0));
    }
    upgrade(&mut conn, &path, &NEXT).unwrap();
    assert_eq!(version(&conn), 2, "the failed attempts are no obstacle");
}

#[test]
fn processes_that_upgrade_at_once_apply_each_migration_once() {
    let (_folder, path, conn) = older();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn = connect::open_connection(&path, Access::ReadWrite).unwrap();
                upgrade(&mut conn, &path, &NEXT).unwrap();
            });
        }
    });
    let notes: i64 = conn
        .query_row("SELECT count(*) FROM note", [], |row| row.get(0))
        .unwrap();
    assert_eq!((version(&conn), notes), (2, 1));
}
