//! How SQLite's failures become a store's failures. Knows no table.

use std::fmt::Display;
use std::path::Path;

use rusqlite::ffi::{self, ErrorCode};
use rusqlite::{Connection, Error};

use crate::domain::ports::{StoreError, StoreErrorKind};

/// Gives a failure of SQLite the name of the file and of what was attempted.
pub(in crate::infrastructure) trait During<T> {
    /// The value, or a [`StoreError`] that reads `cannot {action} in {file}: {cause}`.
    fn during(self, conn: &Connection, action: impl Display) -> Result<T, StoreError>;

    /// As [`during`](Self::during), where there is no connection to ask for the file's name.
    fn during_at(self, file: &Path, action: impl Display) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, Error> {
    fn during(self, conn: &Connection, action: impl Display) -> Result<T, StoreError> {
        self.map_err(|error| {
            let file = conn.path().unwrap_or("the database");
            sqlite_failure(&action, &file, error)
        })
    }

    fn during_at(self, file: &Path, action: impl Display) -> Result<T, StoreError> {
        self.map_err(|error| sqlite_failure(&action, &file.display(), error))
    }
}

fn sqlite_failure(action: &dyn Display, file: &dyn Display, error: Error) -> StoreError {
    let words = match &error {
        // The same words with the number that tells apart what SQLite calls alike.
        Error::SqliteFailure(cause, Some(words)) if cause.to_string().ends_with(words.as_str()) => {
            cause.to_string()
        }
        other => other.to_string(),
    };
    let context = format!("cannot {action} in {file}: {words}");
    StoreError::new(kind_of(&error), context).caused_by(error)
}

/// Whether another connection holds the lock that was needed.
pub(super) fn is_busy(error: &Error) -> bool {
    kind_of(error) == StoreErrorKind::Locked
}

fn kind_of(error: &Error) -> StoreErrorKind {
    match error {
        Error::SqliteFailure(cause, _) => kind_of_code(cause),
        // A value that no version of the program writes.
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => StoreErrorKind::Damaged,
        Error::QueryReturnedNoRows => StoreErrorKind::Missing,
        _ => StoreErrorKind::Failed,
    }
}

fn kind_of_code(cause: &ffi::Error) -> StoreErrorKind {
    match cause.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreErrorKind::Locked,
        ErrorCode::DiskFull => StoreErrorKind::NoSpace,
        // The index of the log could not grow, which is how a full disk shows first.
        ErrorCode::SystemIoFailure if cause.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
            StoreErrorKind::NoSpace
        }
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            StoreErrorKind::NotWritable
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreErrorKind::Damaged,
        // A row that another one refers to, for example the job of a checkpoint.
        ErrorCode::ConstraintViolation
            if cause.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY =>
        {
            StoreErrorKind::Missing
        }
        _ => StoreErrorKind::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_code_has_the_kind_that_callers_branch_on() {
        for (code, kind) in [
            (ffi::SQLITE_BUSY, StoreErrorKind::Locked),
            (ffi::SQLITE_BUSY_SNAPSHOT, StoreErrorKind::Locked),
            (ffi::SQLITE_LOCKED, StoreErrorKind::Locked),
            (ffi::SQLITE_FULL, StoreErrorKind::NoSpace),
            (ffi::SQLITE_IOERR_SHMSIZE, StoreErrorKind::NoSpace),
            (ffi::SQLITE_READONLY, StoreErrorKind::NotWritable),
            (ffi::SQLITE_CANTOPEN, StoreErrorKind::NotWritable),
            (ffi::SQLITE_PERM, StoreErrorKind::NotWritable),
            (ffi::SQLITE_CORRUPT, StoreErrorKind::Damaged),
            (ffi::SQLITE_NOTADB, StoreErrorKind::Damaged),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, StoreErrorKind::Missing),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, StoreErrorKind::Failed),
            (ffi::SQLITE_IOERR_WRITE, StoreErrorKind::Failed),
        ] {
            let error = Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(kind_of(&error), kind, "result code {code}");
            assert_eq!(is_busy(&error), kind == StoreErrorKind::Locked);
        }
        assert_eq!(
            kind_of(&Error::QueryReturnedNoRows),
            StoreErrorKind::Missing
        );
        assert_eq!(kind_of(&Error::InvalidQuery), StoreErrorKind::Failed);
    }

    #[test]
    fn a_failure_names_the_action_the_file_and_the_cause() {
        let failed: Result<(), Error> = Err(Error::InvalidQuery);
        let error = failed.during_at(Path::new("/lake/marketpipe.db"), "count the sessions");
        let error = error.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot count the sessions in /lake/marketpipe.db: Query is not read-only"
        );
        assert!(error.source.is_some());
    }
}
