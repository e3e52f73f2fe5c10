//! One bar file: encode, decode, describe. The same rows always give the same bytes. Knows no path layout and no catalog.

use thiserror::Error;

use super::content::{Rows, content_hash};
use super::decode::{MOST_ROWS, check_content, check_sessions, decode_columns, decode_minutes};
use super::description::{DerivedDescription, FileDescription, SourceDescription, describe};
use super::encode::{Effort, encode_described};
pub(crate) use super::schema::SCHEMA_VERSION;
use super::schema::{FileColumns, SchemaError};
use crate::domain::bar_batch::{BatchError, UnprovenBars};
use crate::domain::ports::SourceFile;
use crate::domain::{AggregationSpec, BarBatch, DerivedBatch, PartitionKey};

/// A file's bytes and what they hold.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`, hexadecimal.
    pub sha256: String,
    /// What the footer says.
    pub description: FileDescription,
}

/// Why bytes are not the bar file they should be.
#[derive(Debug, Error)]
pub enum FileError {
    /// Not readable as Parquet.
    #[error("not a readable Parquet file: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Arrow could not build or read the columns.
    #[error("columns cannot be read: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Other columns than a bar file has.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// No description in the footer, or an illegible one.
    #[error("the footer does not describe the file: {0}")]
    Undescribed(String),
    /// Written by a newer program.
    #[error("layout version {found} is newer than {SCHEMA_VERSION}, the newest this program knows")]
    NewerLayout {
        /// The file's version.
        found: u32,
    },
    /// The rows are not those that the footer describes.
    #[error("{what} is {found}, the footer says {described}")]
    Mismatch {
        /// Rows or hash.
        what: &'static str,
        /// As counted.
        found: String,
        /// As described.
        described: String,
    },
    /// More rows than any partition has: reading them would need more memory than there may be.
    #[error("the file claims {found} rows, more than {MOST_ROWS}, the most that any partition has")]
    TooLong {
        /// As the Parquet metadata say.
        found: i64,
    },
    /// The reader gave up on damaged content.
    #[error("the Parquet reader gave up on damaged content")]
    Unreadable,
    /// Minutes where derived bars should be, or the other way round.
    #[error("the file holds {0}")]
    OtherKind(&'static str),
    /// An empty batch has no file.
    #[error("a file without rows is never written")]
    Empty,
}

/// What is known of bytes before they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing: the rows are proven against the footer.
    Nothing,
    /// That they are, to the last bit, what was once written: the footer's hash of the rows would say so again.
    EveryByte,
}

/// Encodes and decodes bar files.
#[derive(Debug, Clone, Copy, Default)]
pub struct ParquetStorageEngine;

impl ParquetStorageEngine {
    /// An engine with the lake's encodings.
    pub fn new() -> Self {
        Self
    }

    /// The file of `batch`, which is not empty and belongs to `key` alone.
    ///
    /// # Errors
    /// [`FileError::Empty`] without rows; otherwise only when the encoder itself fails.
    pub fn encode(&self, key: &PartitionKey, batch: BarBatch) -> Result<EncodedFile, FileError> {
        let description = describe(key, &batch, None, None)?;
        let effort = Effort::for_file(key, &batch);
        encode_described(description, effort, batch, None)
    }

    /// The file of the derived bars `derived` of `key`, which are not empty, made by `spec` from `sources`.
    ///
    /// # Errors
    /// [`FileError::Empty`] without rows; otherwise only when the encoder itself fails.
    pub fn encode_derived(
        &self,
        key: &PartitionKey,
        spec: &AggregationSpec,
        sources: &[SourceFile],
        derived: DerivedBatch,
    ) -> Result<EncodedFile, FileError> {
        let made = DerivedDescription {
            spec: spec.canonical(),
            sources: sources
                .iter()
                .map(|source| SourceDescription {
                    period: source.period.to_string(),
                    content: source.content_hash.clone(),
                })
                .collect(),
        };
        let (bars, minutes) = derived.into_parts();
        let description = describe(key, &bars, Some(&minutes), Some(made))?;
        encode_described(description, Effort::Least, bars, Some(minutes))
    }

    /// The minutes of a file.
    ///
    /// # Errors
    /// [`FileError`] names the first thing that is not as it should be.
    pub fn decode(
        &self,
        bytes: Vec<u8>,
        known: Known,
    ) -> Result<(BarBatch, FileDescription), FileError> {
        let (file, description) = decode_minutes(bytes)?;
        let FileColumns {
            columns,
            session_days,
            segments,
            ..
        } = file;
        let batch =
            BarBatch::from_parts(columns, session_days, segments).map_err(SchemaError::from)?;
        if known == Known::Nothing {
            check_content(content_hash(Rows::of(&batch), None), &description)?;
            check_sessions(&batch, &description)?;
        }
        Ok((batch, description))
    }

    /// The minutes of a file as they are stored, proven by nothing, and whether they are those that the footer describes.
    ///
    /// # Errors
    /// [`FileError`] when there are no columns of minutes to be read.
    pub fn decode_unproven(
        &self,
        bytes: Vec<u8>,
    ) -> Result<(UnprovenBars, FileDescription, Result<(), FileError>), FileError> {
        let (file, description) = decode_minutes(bytes)?;
        let rows = UnprovenBars::new(file.columns, file.session_days, file.segments);
        let rows = rows.ok_or_else(|| SchemaError::from(BatchError::UnequalLengths))?;
        let stored = Rows {
            columns: rows.columns(),
            session_days: rows.session_days(),
            segments: rows.segments(),
        };
        let is_described = check_content(content_hash(stored, None), &description);
        Ok((rows, description, is_described))
    }

    /// The derived bars of a file.
    ///
    /// # Errors
    /// [`FileError`] names the first thing that is not as it should be.
    pub fn decode_derived(
        &self,
        bytes: Vec<u8>,
        known: Known,
    ) -> Result<(DerivedBatch, FileDescription), FileError> {
        let (columns, description) = decode_columns(bytes)?;
        let FileColumns {
            columns,
            session_days,
            segments,
            minutes,
        } = columns;
        let minutes = minutes.ok_or(FileError::OtherKind("minutes"))?;
        let derived = DerivedBatch::from_parts(columns, session_days, segments, minutes)
            .map_err(SchemaError::from)?;
        if known == Known::Nothing {
            let content = content_hash(Rows::of(derived.bars()), Some(derived.minutes()));
            check_content(content, &description)?;
            check_sessions(derived.bars(), &description)?;
        }
        Ok((derived, description))
    }
}
