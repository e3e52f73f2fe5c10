//! Brings a database to the newest schema, one migration a transaction. Knows the order of the migrations,
//! not what is in them.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::connect::{self, APPLICATION_ID, Access};
use super::failure::During;
use crate::domain::digest::hex_sha256;
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::infrastructure::disk::{io_failure, rename, sync_folder};

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Migration {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

/// Every migration, oldest first; the n-th leads to schema version n. Append only.
pub(super) const MIGRATIONS: [Migration; 7] = [
    Migration {
        name: "0001_initial",
        sql: include_str!("../../../migrations/0001_initial.sql"),
    },
    Migration {
        name: "0002_jobs",
        sql: include_str!("../../../migrations/0002_jobs.sql"),
    },
    Migration {
        name: "0003_derivation",
        sql: include_str!("../../../migrations/0003_derivation.sql"),
    },
    Migration {
        name: "0004_findings",
        sql: include_str!("../../../migrations/0004_findings.sql"),
    },
    Migration {
        name: "0005_metrics",
        sql: include_str!("../../../migrations/0005_metrics.sql"),
    },
    Migration {
        name: "0006_redo_counts",
        sql: include_str!("../../../migrations/0006_redo_counts.sql"),
    },
    Migration {
        name: "0007_expected_minutes",
        sql: include_str!("../../../migrations/0007_expected_minutes.sql"),
    },
];

impl Migration {
    /// SHA-256 of the text, lower-case hexadecimal; line ends of any system count the same.
    fn sha256(&self) -> String {
        hex_sha256(self.sql.replace("\r\n", "\n"))
    }
}

/// Applies the migrations that are missing.
///
/// Before an older database is changed a copy of it is kept beside it, as `<file>.backup-v<version>`. Safe
/// for two processes at once: whoever comes second finds the work done.
///
/// # Errors
/// [`StoreErrorKind::NewerSchema`] when the database is ahead of `migrations`, [`StoreErrorKind::Damaged`]
/// when an applied one had another text.
pub(super) fn upgrade(
    conn: &mut Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    // Looking first costs no lock, so opening an up-to-date database never waits for a writer.
    while pending_from(conn, path, migrations)? < migrations.len() {
        let transaction = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .during_at(path, "begin a migration")?;
        let version = pending_from(&transaction, path, migrations)?;
        let missing = migrations.get(version..).unwrap_or_default();
        // A new database comes to be at once: nobody must take its first half for an older one.
        let steps = if version == 0 { missing.len() } else { 1 };
        if version > 0 && !missing.is_empty() {
            keep_backup(path, version)?;
        }
        for (step, migration) in missing.iter().take(steps).enumerate() {
            apply(&transaction, version + step, migration)?;
        }
        transaction.commit().during_at(path, "commit a migration")?;
    }
    Ok(())
}

/// Refuses a database that is older or newer than `migrations`.
pub(super) fn check_current(
    conn: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let version = pending_from(conn, path, migrations)?;
    if version == migrations.len() {
        return Ok(());
    }
    let context = format!(
        "{} has schema version {version}, {} is needed: the next command that writes upgrades it",
        path.display(),
        migrations.len()
    );
    Err(StoreError::new(StoreErrorKind::Failed, context))
}

/// Refuses a database in which a row refers to one that does not exist.
pub(super) fn check_references(conn: &Connection) -> Result<(), StoreError> {
    let table: Option<String> = conn
        .query_row("PRAGMA foreign_key_check", [], |row| row.get(0))
        .optional()
        .during(conn, "check the references")?;
    table.map_or(Ok(()), |table| {
        let file = conn.path().unwrap_or("the database");
        let context =
            format!("{file} is damaged: a row of table {table} refers to one that does not exist");
        Err(StoreError::new(StoreErrorKind::Damaged, context))
    })
}

/// The index of the first migration that is not applied; those before it are compared with what was applied.
fn pending_from(
    conn: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<usize, StoreError> {
    let version: i32 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .during(conn, "read the schema version")?;
    let known = usize::try_from(version).ok();
    let Some(applied) = known.and_then(|version| migrations.get(..version)) else {
        let context = format!(
            "{} has schema version {version}, newer than {}, the newest that this program knows",
            path.display(),
            migrations.len()
        );
        return Err(StoreError::new(StoreErrorKind::NewerSchema, context));
    };
    for (number, migration) in (1_i64..).zip(applied) {
        let found: Option<String> = conn
            .query_row(
                "SELECT sha256 FROM migration WHERE version = ?",
                [number],
                |row| row.get(0),
            )
            .optional()
            .during(conn, "read the applied migrations")?;
        let expected = migration.sha256();
        if found.as_ref() != Some(&expected) {
            let context = format!(
                "migration {} was applied to {} with another text: sha256 {} instead of {expected}",
                migration.name,
                path.display(),
                found.as_deref().unwrap_or("unknown"),
            );
            return Err(StoreError::new(StoreErrorKind::Damaged, context));
        }
    }
    Ok(applied.len())
}

/// Applies the migration that leads from `version` to the next one.
fn apply(
    transaction: &Transaction<'_>,
    version: usize,
    migration: &Migration,
) -> Result<(), StoreError> {
    let next = i64::try_from(version + 1).expect("there are fewer migrations than 2^63");
    let run = || -> rusqlite::Result<()> {
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO migration (version, name, sha256, applied_at_us)
             VALUES (?, ?, ?, CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000)",
            params![next, migration.name, migration.sha256()],
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", next)
    };
    run().during(
        transaction,
        format_args!("apply migration {}", migration.name),
    )?;
    check_references(transaction)
}

/// Copies the database as it is before it leaves `version`.
///
/// The caller's transaction keeps every other writer out; the copy is complete when it gets its name.
fn keep_backup(path: &Path, version: usize) -> Result<(), StoreError> {
    let kept = beside(path, &format!(".backup-v{version}"));
    let partial = beside(path, &format!(".backup-v{version}.partial"));
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_failure("remove", &partial, error));
        }
        _ => {}
    }
    copy_durable(path, &partial)?;
    rename(&partial, &kept)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Copies a database, its log included, to a path where nothing is, and makes the copy durable.
pub(super) fn copy_durable(from: &Path, to: &Path) -> Result<(), StoreError> {
    connect::create_file(to)?;
    copy_database(from, to)?;
    OpenOptions::new()
        .write(true)
        .open(to)
        .and_then(|file| file.sync_all())
        .map_err(|error| io_failure("make durable", to, error))
}

/// Copies a database, its log included, into an empty file.
pub(super) fn copy_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = connect::open_connection(from, Access::ReadOnly)?;
    let mut target = connect::open_connection(to, Access::ReadWrite)?;
    // Nobody else knows of the copy, so there is nothing to wait for.
    target
        .busy_timeout(Duration::ZERO)
        .during_at(to, "open the copy")?;
    let copied = Backup::new(&source, &mut target)
        .and_then(|backup| backup.step(-1))
        .during_at(to, "copy the database")?;
    if copied == StepResult::Done {
        return Ok(());
    }
    let context = format!(
        "cannot copy {} to {}: it is locked",
        from.display(),
        to.display()
    );
    Err(StoreError::new(StoreErrorKind::Locked, context))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
