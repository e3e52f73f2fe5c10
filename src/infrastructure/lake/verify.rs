//! One file of the lake by itself, without the catalog's word for it: whether it is the sound file of its partition,
//! and what catalog and ledger would have to say of it.

use std::path::Path;

use crate::domain::causes::with_causes;
use crate::domain::derivation::source_hash;
use crate::domain::digest::hex_sha256;
use crate::domain::ports::{PartitionFile, SourceFile, StoreError, StoreErrorKind};
use crate::domain::symbol_bars::Asked;
use crate::domain::{BarBatch, Calendar, InstantRange, PartitionKey, SessionDate, SessionRecord};
use crate::infrastructure::disk;
use crate::infrastructure::parquet::ParquetDataStorage;
use crate::infrastructure::parquet::data_storage::refuse_other;
use crate::infrastructure::parquet::engine::{FileError, Known};

use super::prepare::{DerivedFrom, describe_file, span_us};

/// What a file turned out to be.
pub(super) enum Verified {
    /// Not there.
    Missing,
    /// A link or something else than a file.
    NoFile(String),
    /// There, but not to be trusted; why, in words.
    Damaged(String),
    /// Written by a newer program.
    Newer(String),
    /// The sound file of its partition.
    Sound(Box<SoundFile>),
}

/// What a sound file says of itself.
pub(super) struct SoundFile {
    /// As the catalog would keep it.
    pub(super) file: PartitionFile,
    /// Version of its layout.
    pub(super) schema_version: u32,
    /// How its bars were made; `None` for minutes.
    pub(super) derived: Option<DerivedFrom>,
    /// The ledger's records of its sessions, as not yet asked for; none for derived bars.
    pub(super) records: Vec<SessionRecord>,
}

/// Reads and proves the file of `key`.
///
/// # Errors
/// When the system cannot read what is there: that says nothing about the file.
pub(super) fn verify(
    storage: &ParquetDataStorage,
    key: &PartitionKey,
) -> Result<Verified, StoreError> {
    let path = storage.path_of(key);
    // Behind a link lies somebody else's folder: what is not in it is not gone.
    disk::refuse_links_below(storage.root(), path.parent().unwrap_or(storage.root()))?;
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Ok(Verified::NoFile(
                "is no file but a link or a folder".to_owned(),
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Verified::Missing),
        Err(error) => return Err(disk::io_failure("inspect", &path, error)),
    }
    let Some(bytes) = disk::read_if_present(&path)? else {
        return Ok(Verified::Missing);
    };
    let written = (hex_sha256(&bytes), bytes.len());
    let proven = if key.timeframe.is_derived() {
        prove_derived(storage, key, &path, bytes, &written)
    } else {
        prove_minutes(storage, key, &path, bytes, &written)
    };
    match proven {
        Ok(sound) => Ok(Verified::Sound(Box::new(sound))),
        Err(error) if error.kind == StoreErrorKind::NewerSchema => {
            Ok(Verified::Newer(with_causes(&error)))
        }
        Err(error) => Ok(Verified::Damaged(with_causes(&error))),
    }
}

fn prove_minutes(
    storage: &ParquetDataStorage,
    key: &PartitionKey,
    path: &Path,
    bytes: Vec<u8>,
    (sha256, size): &(String, usize),
) -> Result<SoundFile, StoreError> {
    let decoded = storage.engine().decode(bytes, Known::Nothing);
    let (batch, description) = decoded.map_err(damaged)?;
    refuse_other(&description, key, path)?;
    if batch.is_empty() {
        return Err(damaged(FileError::Empty));
    }
    refuse_sessions_beyond(key, &batch)?;
    Ok(SoundFile {
        file: describe_file(key, &description, (sha256, *size), span_us(&batch))?,
        schema_version: description.schema,
        derived: None,
        records: records_of(key, &batch),
    })
}

fn prove_derived(
    storage: &ParquetDataStorage,
    key: &PartitionKey,
    path: &Path,
    bytes: Vec<u8>,
    (sha256, size): &(String, usize),
) -> Result<SoundFile, StoreError> {
    let decoded = storage.engine().decode_derived(bytes, Known::Nothing);
    let (derived, mut description) = decoded.map_err(damaged)?;
    refuse_other(&description, key, path)?;
    let made = description.derived.take();
    let made = made.ok_or_else(|| damaged(FileError::OtherKind("bars of unknown origin")))?;
    let sources = made.sources.into_iter().map(|source| {
        let period = source
            .period
            .parse()
            .map_err(|_| damaged(FileError::Undescribed("a source is no month".to_owned())))?;
        Ok(SourceFile {
            period,
            content_hash: source.content,
        })
    });
    let sources: Result<Vec<SourceFile>, StoreError> = sources.collect();
    if derived.bars().is_empty() {
        return Err(damaged(FileError::Empty));
    }
    refuse_sessions_beyond(key, derived.bars())?;
    Ok(SoundFile {
        file: describe_file(key, &description, (sha256, *size), span_us(derived.bars()))?,
        schema_version: description.schema,
        derived: Some(DerivedFrom {
            spec_hash: hex_sha256(&made.spec),
            source_hash: Some(source_hash(&sources?)),
        }),
        records: Vec::new(),
    })
}

/// Refuses rows of sessions that another partition holds.
fn refuse_sessions_beyond(key: &PartitionKey, batch: &BarBatch) -> Result<(), StoreError> {
    let days = batch.session_days();
    let is_within = key.period.dates().is_some_and(|(first, last)| {
        let period = first.days_since_epoch()..=last.days_since_epoch();
        days.iter().all(|day| period.contains(day))
    });
    if is_within {
        return Ok(());
    }
    let context = format!("holds sessions that are not of {}", key.period);
    Err(StoreError::new(StoreErrorKind::Damaged, context))
}

fn damaged(error: FileError) -> StoreError {
    let kind = match error {
        FileError::NewerLayout { .. } => StoreErrorKind::NewerSchema,
        _ => StoreErrorKind::Damaged,
    };
    // Whoever tells of it names the file.
    StoreError::new(kind, error.to_string())
}

/// The ledger's records of the sessions that `batch` has rows of, as not yet asked for.
pub(super) fn records_of(key: &PartitionKey, batch: &BarBatch) -> Vec<SessionRecord> {
    let mut days = batch.session_days().to_vec();
    days.dedup();
    let dates = days
        .into_iter()
        .filter_map(SessionDate::from_days_since_epoch);
    dates
        .filter_map(|date| record_of(key, date, batch, None))
        .collect()
}

/// The record of session `date` as `batch`, the partition's rows, holds it and as not yet asked for. Minutes that are in
/// quarantine stay there. `None` on a day without a session.
pub(super) fn record_of(
    key: &PartitionKey,
    date: SessionDate,
    batch: &BarBatch,
    before: Option<&SessionRecord>,
) -> Option<SessionRecord> {
    let session = Calendar::of(&key.symbol).session(date).ok().flatten()?;
    let nothing = Asked {
        range: InstantRange {
            start_us: 0,
            end_us: 0,
        },
        at_us: 0,
        is_settled: false,
    };
    let quarantined: Vec<i64> = before
        .into_iter()
        .flat_map(|record| record.quarantined.ranges().into_iter().flatten())
        .map(|minute| session.minute_ts_us(minute))
        .collect();
    Some(SessionRecord::of_stored_rows(
        &session,
        batch,
        nothing,
        &quarantined,
    ))
}
