//! What a file says of itself in its footer. Knows no rows but those it is told of.

use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::content::{Rows, content_hash};
use super::engine::FileError;
use super::schema::SCHEMA_VERSION;
use crate::domain::{BarBatch, PartitionKey, SessionDate};

/// The key of the footer entry that describes the file.
pub(super) const DESCRIPTION_KEY: &str = "marketpipe";

/// What a file says of itself in its footer. Holds no clock and no machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDescription {
    /// Layout version.
    pub schema: u32,
    /// `provider/feed/adjustment`.
    pub dataset: String,
    /// Ticker.
    pub symbol: String,
    /// Frame.
    pub timeframe: String,
    /// `YYYY-MM` or `YYYY`.
    pub period: String,
    /// First session date with a row.
    pub first_session: String,
    /// Last session date with a row.
    pub last_session: String,
    /// Number of rows.
    pub rows: u64,
    /// SHA-256 of the rows, hexadecimal.
    pub content: String,
    /// How derived bars were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<DerivedDescription>,
}

/// How the bars of a derived file were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedDescription {
    /// The spec in its canonical words.
    pub spec: String,
    /// The files of minutes, ascending by month.
    pub sources: Vec<SourceDescription>,
}

/// A file of minutes that derived bars were made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDescription {
    /// Its month.
    pub period: String,
    /// SHA-256 of its rows, hexadecimal.
    pub content: String,
}

pub(super) fn read_description(
    entries: Option<&Vec<KeyValue>>,
) -> Result<FileDescription, FileError> {
    let json = entries
        .and_then(|entries| entries.iter().find(|entry| entry.key == DESCRIPTION_KEY))
        .and_then(|entry| entry.value.as_deref())
        .ok_or_else(|| FileError::Undescribed(format!("no entry `{DESCRIPTION_KEY}`")))?;
    let description: FileDescription =
        serde_json::from_str(json).map_err(|error| FileError::Undescribed(error.to_string()))?;
    if description.schema > SCHEMA_VERSION {
        return Err(FileError::NewerLayout {
            found: description.schema,
        });
    }
    Ok(description)
}

pub(super) fn describe(
    key: &PartitionKey,
    batch: &BarBatch,
    minutes: Option<&[i32]>,
    derived: Option<DerivedDescription>,
) -> Result<FileDescription, FileError> {
    let (first_session, last_session) = session_span(batch).ok_or(FileError::Empty)?;
    Ok(FileDescription {
        schema: SCHEMA_VERSION,
        dataset: key.dataset.to_string(),
        symbol: key.symbol.to_string(),
        timeframe: key.timeframe.to_string(),
        period: key.period.to_string(),
        first_session,
        last_session,
        rows: u64::try_from(batch.len()).unwrap_or(u64::MAX),
        content: content_hash(Rows::of(batch), minutes),
        derived,
    })
}

/// The first and the last session of the rows, which ascend; `None` without rows.
pub(super) fn session_span(batch: &BarBatch) -> Option<(String, String)> {
    let date = |&day: &i32| SessionDate::from_days_since_epoch(day).map(|date| date.to_string());
    let days = batch.session_days();
    days.first().and_then(date).zip(days.last().and_then(date))
}
