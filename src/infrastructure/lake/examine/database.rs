//! The database: whether it can be read, and what it says of work that did not end.

use crate::domain::causes::with_causes;
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::domain::{Check, Diagnosis, Health};
use crate::infrastructure::disk;
use crate::infrastructure::lake::layout::DataDirectory;
use crate::infrastructure::lake::lease::is_held;
use crate::infrastructure::lake::lock::PublishLock;
use crate::infrastructure::lake::recover::{Prospect, is_staged_bars, prospect_of};
use crate::infrastructure::sqlite::{
    Database, SqliteCatalog, SqliteJobRepository, library_version,
};

use super::Look;

/// What to do where the database cannot be used but the files can.
pub(super) const REBUILD: &str = "restore marketpipe.db from a copy, or run `marketpipe doctor --rebuild-catalog`: \
     it sets this one aside and makes a new one of what the files say";

/// A write-ahead log beyond this size is not moved into the database: something holds it up.
const LONG_LOG_BYTES: u64 = 64 << 20;

/// Opens the database for reading, and says how it is.
pub(super) fn open(directory: &DataDirectory, look: Look) -> (Option<Database>, Vec<Diagnosis>) {
    let path = directory.database();
    let finding = |health, message: String| {
        Diagnosis::new(Check::Database, health, message).of(path.display().to_string())
    };
    let opened = match Database::open_existing_read_only(&path) {
        Ok(Some(database)) => database,
        Ok(None) => {
            let has_files = directory.has_files();
            let said = match has_files {
                Ok(false) => finding(
                    Health::Note,
                    "there is none yet, and no file that it should know".to_owned(),
                ),
                Ok(true) => finding(
                    Health::Error,
                    "is missing or empty although the lake holds files".to_owned(),
                )
                .remedy(REBUILD),
                Err(error) => finding(Health::Error, with_causes(&error)),
            };
            return (None, vec![said]);
        }
        Err(error) => {
            let said = finding(Health::Error, with_causes(&error)).remedy(remedy_of(&error));
            return (None, vec![said]);
        }
    };
    let checked = if look.is_deep {
        opened.verify()
    } else {
        opened.verify_pages()
    };
    if let Err(error) = checked {
        let said = finding(Health::Error, with_causes(&error)).remedy(remedy_of(&error));
        return (None, vec![said]);
    }
    let mut findings = Vec::new();
    let log_bytes =
        std::fs::metadata(directory.root().join("marketpipe.db-wal")).map_or(0, |file| file.len());
    if log_bytes > LONG_LOG_BYTES {
        findings.push(
            finding(Health::Warning, format!("its write-ahead log has grown to {} MiB", log_bytes >> 20))
                .remedy("end the program that reads it for so long; the next command that writes shortens it"),
        );
    }
    let told = super::told(Check::Database, findings, || {
        format!("{} is sound, SQLite {}", path.display(), library_version())
    });
    (Some(opened), told)
}

fn remedy_of(error: &StoreError) -> &'static str {
    match error.kind {
        StoreErrorKind::NewerSchema => "use the newer marketpipe that wrote it",
        StoreErrorKind::NotWritable | StoreErrorKind::NoSpace => {
            "make the folder writable for this user: SQLite needs to write beside the database even to read it"
        }
        StoreErrorKind::Locked => "another process is at work there; look again later",
        StoreErrorKind::Damaged => REBUILD,
        // Among others a database of an older version: any command that writes brings it up to date.
        StoreErrorKind::Missing | StoreErrorKind::Failed => {
            "run any command that writes, for example `marketpipe jobs list`; should that fail too, restore a copy"
        }
    }
}

/// Looks at commits that did not end.
pub(super) fn examine_commits(directory: &DataDirectory, database: &Database) -> Vec<Diagnosis> {
    match list_commits(directory, database) {
        Ok(findings) => super::told(Check::Commits, findings, || {
            "none was cut short, and staging/ is empty".to_owned()
        }),
        Err(error) => vec![Diagnosis::new(
            Check::Commits,
            Health::Error,
            with_causes(&error),
        )],
    }
}

fn list_commits(
    directory: &DataDirectory,
    database: &Database,
) -> Result<Vec<Diagnosis>, StoreError> {
    // Nobody is in the middle of a commit while readers hold their lock.
    let _no_commit = PublishLock::new(directory.publish_lock()).shared_if_possible()?;
    let unfinished = SqliteCatalog::new(database.clone()).list_redo()?;
    let mut findings = Vec::new();
    for record in &unfinished {
        let said = match prospect_of(directory, record) {
            Err(error) => Diagnosis::new(Check::Commits, Health::Error, with_causes(&error))
                .remedy("check its permissions and the disk"),
            Ok(Prospect::Finish) => Diagnosis::new(
                Check::Commits,
                Health::Note,
                "a commit was cut short after its file was written: the next command that writes finishes it",
            ),
            Ok(Prospect::Forget) => Diagnosis::new(
                Check::Commits,
                Health::Note,
                "a commit was cut short before its file was in place: the next command that writes forgets it, and the next ingest asks again",
            ),
            Ok(Prospect::Contradiction(why)) => Diagnosis::new(Check::Commits, Health::Error, why).remedy(
                "put back the file that was there, or run `marketpipe doctor --rebuild-catalog`: it takes what lies there, if it is sound, or sets it aside",
            ),
        };
        findings.push(said.of(record.file.path.clone()));
    }
    for path in disk::list_files_below(&directory.staging())? {
        let is_named = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| unfinished.iter().any(|record| record.staged_name == name));
        let is_at_work = is_store_locked(directory);
        if !is_named && !is_at_work {
            let is_cleared = is_staged_bars(&directory.staging(), &path);
            let said = if is_cleared {
                Diagnosis::new(
                    Check::Commits,
                    Health::Note,
                    "was left by a process that ended early: the next command that writes removes it",
                )
            } else {
                Diagnosis::new(
                    Check::Commits,
                    Health::Note,
                    "is nothing that a commit left, and nobody removes it",
                )
                .remedy("move it away while no query runs: one that needs room for a moment has it there")
            };
            findings.push(said.of(path.display().to_string()));
        }
    }
    Ok(findings)
}

/// Whether somebody commits at this moment.
fn is_store_locked(directory: &DataDirectory) -> bool {
    std::fs::File::open(directory.store_lock()).is_ok_and(|file| {
        matches!(
            file.try_lock_shared(),
            Err(std::fs::TryLockError::WouldBlock)
        )
    })
}

/// Looks at jobs whose processes died.
pub(super) fn examine_jobs(directory: &DataDirectory, database: &Database) -> Vec<Diagnosis> {
    let jobs = SqliteJobRepository::new(database.clone());
    let unfinished = match jobs.list_unfinished() {
        Ok(unfinished) => unfinished,
        Err(error) => {
            return vec![Diagnosis::new(
                Check::Jobs,
                Health::Error,
                with_causes(&error),
            )];
        }
    };
    let count = unfinished.len();
    let dead = unfinished.into_iter().filter(|job| {
        let lease = job.owner().lease.as_deref();
        !lease.is_some_and(|name| is_held(directory, name))
    });
    let findings = dead.map(|job| {
        let id = job.id();
        Diagnosis::new(
            Check::Jobs,
            Health::Note,
            "its process ended without a word; what it committed is kept",
        )
        .of(format!("job {id}"))
        .remedy(format!(
            "marketpipe jobs resume {id}, or simply the same command again"
        ))
    });
    super::told(Check::Jobs, findings.collect(), || match count {
        0 => "none is open".to_owned(),
        1 => "one is at work".to_owned(),
        count => format!("{count} are at work"),
    })
}
