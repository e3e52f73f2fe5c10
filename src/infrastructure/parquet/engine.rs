//! One bar file: encode, decode, describe. The same rows always give the same bytes. Knows no path layout and no catalog.

use std::cell::Cell;
use std::sync::{Arc, Once};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::ToByteSlice as _;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{BrotliLevel, Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

pub(crate) use super::schema::SCHEMA_VERSION;
use super::schema::{self, FileColumns, SchemaError};
use crate::domain::bar_batch::{BatchError, UnprovenBars};
use crate::domain::digest::{hex, hex_sha256};
use crate::domain::ports::SourceFile;
use crate::domain::{
    AggregationSpec, BarBatch, BarColumns, Calendar, DerivedBatch, PartitionKey, Segment,
    SessionDate,
};

/// The key of the footer entry that describes the file.
const DESCRIPTION_KEY: &str = "marketpipe";

/// Written into every footer instead of a program version: the same rows must give the same bytes for years.
const CREATED_BY: &str = "marketpipe lake 1";

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

/// A year of 2-minute bars around the clock has a quarter of it.
const MOST_ROWS: usize = 1 << 20;

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

fn encode_described(
    description: FileDescription,
    effort: Effort,
    batch: BarBatch,
    minutes: Option<Vec<i32>>,
) -> Result<EncodedFile, FileError> {
    let json = serde_json::to_string(&description)
        .map_err(|error| FileError::Undescribed(error.to_string()))?;
    let entry = KeyValue::new(DESCRIPTION_KEY.to_owned(), json);
    let record_batch = schema::to_record_batch(batch, minutes)?;
    let options = ArrowWriterOptions::new()
        .with_properties(writer_properties(effort, Some(entry)))
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(
        Vec::with_capacity(64 * 1024),
        record_batch.schema(),
        options,
    )?;
    writer.write(&record_batch)?;
    let bytes = writer.into_inner()?;
    let sha256 = hex_sha256(&bytes);
    Ok(EncodedFile {
        bytes,
        sha256,
        description,
    })
}

/// The columns of a file of minutes and its footer.
fn decode_minutes(bytes: Vec<u8>) -> Result<(FileColumns, FileDescription), FileError> {
    let (columns, description) = decode_columns(bytes)?;
    if columns.minutes.is_some() {
        return Err(FileError::OtherKind("derived bars"));
    }
    Ok((columns, description))
}

/// The columns of a file and its footer, which agree on the number of rows.
fn decode_columns(bytes: Vec<u8>) -> Result<(FileColumns, FileDescription), FileError> {
    // On damaged pages the reader panics instead of returning an error (seen with parquet 60.1); nothing of
    // it outlives the call.
    catch_panic(|| decode_trusting(bytes)).unwrap_or(Err(FileError::Unreadable))
}

/// Does `work` on foreign bytes with a reader that may panic; `None` when it did. Nobody takes that for a mistake of the
/// program. What `work` has changed must not be used afterwards.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    silently(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))).ok()
}

thread_local! {
    /// Whether a panic of this thread is expected, and caught.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`, which catches its panics, without a word about them on stderr.
fn silently<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_CAUGHT.get() {
                before(panic);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let done = work();
    IS_CAUGHT.set(false);
    done
}

fn decode_trusting(bytes: Vec<u8>) -> Result<(FileColumns, FileDescription), FileError> {
    let bytes = Bytes::from(bytes);
    let options = ArrowReaderOptions::new();
    let found = ArrowReaderMetadata::load(&bytes, options.clone())?;
    let wanted = Arc::new(schema::reading_schema(found.schema()));
    let metadata =
        ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options.with_schema(wanted))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
    let description = read_description(builder.metadata().file_metadata().key_value_metadata())?;
    let rows = usize::try_from(description.rows).unwrap_or(usize::MAX);
    let counted = builder.metadata().file_metadata().num_rows();
    if i64::try_from(description.rows).ok() != Some(counted) {
        return Err(FileError::Mismatch {
            what: "row count",
            found: counted.to_string(),
            described: description.rows.to_string(),
        });
    }
    // A few bytes can stand for any number of equal values: what is claimed is not even tried.
    let row_groups = builder.metadata().row_groups().iter();
    let claimed = row_groups.fold(0_i64, |sum, group| sum.saturating_add(group.num_rows()));
    if claimed.max(counted) > i64::try_from(MOST_ROWS).unwrap_or(i64::MAX) {
        return Err(FileError::TooLong {
            found: claimed.max(counted),
        });
    }
    let span_us = ts_statistics(builder.metadata());
    // One read for the whole file, but never more than the rows it claims nor an absurd allocation.
    let reader = builder.with_batch_size(rows.clamp(1, MOST_ROWS)).build()?;
    let mut record_batches = reader.collect::<Result<Vec<RecordBatch>, _>>()?;
    let record_batch = match (record_batches.pop(), record_batches.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            let schema = last.schema();
            record_batches.push(last);
            concat_batches(&schema, &record_batches)?
        }
        (None, _) => return Err(FileError::Empty),
    };
    let columns = schema::from_record_batch(record_batch)?;
    check_statistics(span_us, &columns.columns.ts_us)?;
    Ok((columns, description))
}

/// The least and the greatest `ts` by the statistics of the row groups, UTC microseconds, where each has them.
fn ts_statistics(metadata: &ParquetMetaData) -> Option<(i64, i64)> {
    let spans = metadata.row_groups().iter().map(|group| {
        let mut columns = group.columns().iter();
        let ts = columns.find(|column| column.column_path().string() == "ts")?;
        match ts.statistics()? {
            Statistics::Int64(ts) => ts.min_opt().copied().zip(ts.max_opt().copied()),
            _ => None,
        }
    });
    let spans: Vec<(i64, i64)> = spans.collect::<Option<_>>()?;
    let least = spans.iter().map(|span| span.0).min();
    least.zip(spans.iter().map(|span| span.1).max())
}

/// Refuses statistics of `ts` other than those of the rows: readers leave a file out by them.
fn check_statistics(described: Option<(i64, i64)>, ts_us: &[i64]) -> Result<(), FileError> {
    let found = ts_us.iter().min().copied().zip(ts_us.iter().max().copied());
    let (Some(described), Some(found)) = (described, found) else {
        return Ok(());
    };
    if described == found {
        return Ok(());
    }
    Err(FileError::Mismatch {
        what: "span of ts, in UTC microseconds,",
        found: format!("{} to {}", found.0, found.1),
        described: format!("{} to {}", described.0, described.1),
    })
}

/// Refuses a footer that tells other sessions or another layout than the rows have: the hash is of the rows alone.
fn check_sessions(batch: &BarBatch, description: &FileDescription) -> Result<(), FileError> {
    let found = session_span(batch).ok_or(FileError::Empty)?;
    let described = (&description.first_session, &description.last_session);
    if described != (&found.0, &found.1) {
        return Err(FileError::Mismatch {
            what: "span of sessions",
            found: format!("{} to {}", found.0, found.1),
            described: format!("{} to {}", described.0, described.1),
        });
    }
    if description.schema == 0 {
        let words = "layout version 0 never was".to_owned();
        return Err(FileError::Undescribed(words));
    }
    Ok(())
}

/// The first and the last session of the rows, which ascend; `None` without rows.
fn session_span(batch: &BarBatch) -> Option<(String, String)> {
    let date = |&day: &i32| SessionDate::from_days_since_epoch(day).map(|date| date.to_string());
    let days = batch.session_days();
    days.first().and_then(date).zip(days.last().and_then(date))
}

fn check_content(content: String, description: &FileDescription) -> Result<(), FileError> {
    if content == description.content {
        return Ok(());
    }
    Err(FileError::Mismatch {
        what: "content hash",
        found: content,
        described: description.content.clone(),
    })
}

/// Finished files with fewer rows than this are compressed harder.
///
/// A whole month of a traded symbol has more and compresses well at little cost (zstd 3: about 8 bytes a bar, 0.3
/// microseconds). Short files pay more for every repetition that is found late; Brotli finds them, at sixty
/// times the cost: 9.0 instead of 10.6 bytes a bar, 18 instead of 0.3 microseconds.
const SMALL_FILE_ROWS: usize = 6_000;

/// How hard a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// It is large, or it will be replaced by a longer one within days.
    Usual,
    /// It is small and is there to stay.
    High,
    /// It is derived: made again whenever its minutes change, and a fraction of their size.
    Least,
}

impl Effort {
    /// A nightly update replaces the file of the current month of every symbol: only after a month's last session its
    /// file is worth the time.
    fn for_file(key: &PartitionKey, batch: &BarBatch) -> Self {
        let last_session = batch
            .session_days()
            .last()
            .and_then(|&day| SessionDate::from_days_since_epoch(day));
        let next_session = last_session
            .and_then(|date| Calendar::of(&key.symbol).next_session(date).ok())
            .map(|next| next.date());
        let is_growing = key
            .period
            .month_dates()
            .is_some_and(|(_, last)| next_session.is_some_and(|next| next <= last));
        if is_growing || batch.len() >= SMALL_FILE_ROWS {
            Self::Usual
        } else {
            Self::High
        }
    }
}

/// The encodings, chosen by measuring size and time on real minutes (`tests/it/size.rs` holds the result).
///
/// Prices are whole cents, of which the same few return again and again: plain values compress better than
/// dictionaries (whose packed indices hide repetitions) and split bytes. Volumes and counts are whole numbers with
/// idle bytes: split. Statistics and indices other than those of `ts` would cost more than they save in files this short.
fn writer_properties(effort: Effort, entry: Option<KeyValue>) -> WriterProperties {
    let column = |name: &str| ColumnPath::from(name);
    let zstd = |level| Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default());
    let brotli = |level| Compression::BROTLI(BrotliLevel::try_new(level).unwrap_or_default());
    // Split bytes hide nothing that zstd 3 would find and zstd 1 would not.
    let (values, prices, vwap) = match effort {
        Effort::Usual => (zstd(1), zstd(3), Encoding::BYTE_STREAM_SPLIT),
        Effort::Least => (zstd(1), zstd(1), Encoding::BYTE_STREAM_SPLIT),
        Effort::High => (brotli(5), brotli(10), Encoding::PLAIN),
    };
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(entry.map(|entry| vec![entry]))
        .set_compression(values)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        // One page a column: a second one would only repeat its header.
        .set_data_page_row_count_limit(1 << 20)
        .set_column_statistics_enabled(column("ts"), EnabledStatistics::Chunk)
        .set_column_encoding(column("ts"), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding(column("volume"), Encoding::BYTE_STREAM_SPLIT)
        .set_column_encoding(column("trade_count"), Encoding::BYTE_STREAM_SPLIT)
        .set_column_encoding(column("vwap"), vwap)
        .set_column_encoding(column(schema::MINUTES), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(column("segment"), true);
    // Dictionaries are short and slow to build: where only time counts the dates are counted up.
    properties = match effort {
        Effort::Least => properties
            .set_column_encoding(column("trade_count"), Encoding::DELTA_BINARY_PACKED)
            .set_column_encoding(column("session_date"), Encoding::DELTA_BINARY_PACKED),
        Effort::Usual | Effort::High => {
            properties.set_column_dictionary_enabled(column("session_date"), true)
        }
    };
    for name in ["open", "high", "low", "close"] {
        properties = properties
            .set_column_encoding(column(name), Encoding::PLAIN)
            .set_column_compression(column(name), prices);
    }
    properties.build()
}

fn read_description(entries: Option<&Vec<KeyValue>>) -> Result<FileDescription, FileError> {
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

fn describe(
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

/// The rows of a file, proven or not.
#[derive(Clone, Copy)]
struct Rows<'a> {
    columns: &'a BarColumns,
    session_days: &'a [i32],
    segments: &'a [Segment],
}

impl<'a> Rows<'a> {
    fn of(batch: &'a BarBatch) -> Self {
        Self {
            columns: batch.columns(),
            session_days: batch.session_days(),
            segments: batch.segments(),
        }
    }
}

/// SHA-256 over the rows, column by column, little endian: independent of encodings and of the file format.
fn content_hash(batch: Rows<'_>, minutes: Option<&[i32]>) -> String {
    if cfg!(target_endian = "little") {
        content_hash_in_place(batch, minutes)
    } else {
        content_hash_by_value(batch, minutes)
    }
}

/// The same value by value, whatever the machine.
fn content_hash_by_value(batch: Rows<'_>, minutes: Option<&[i32]>) -> String {
    let columns = batch.columns;
    let mut bytes: Vec<u8> = Vec::with_capacity(columns.len() * 8);
    let mut hasher = Sha256::new();
    let mut take = |bytes: &mut Vec<u8>| {
        hasher.update(&*bytes);
        bytes.clear();
    };
    put(&mut bytes, &columns.ts_us, i64::to_le_bytes);
    take(&mut bytes);
    for values in [
        &columns.open,
        &columns.high,
        &columns.low,
        &columns.close,
        &columns.volume,
        columns.vwap.values(),
    ] {
        put(&mut bytes, values, f64::to_le_bytes);
        take(&mut bytes);
    }
    put(&mut bytes, columns.trade_count.values(), i64::to_le_bytes);
    take(&mut bytes);
    let flag = |present| [u8::from(present)];
    put(&mut bytes, columns.trade_count.present(), flag);
    put(&mut bytes, columns.vwap.present(), flag);
    put(&mut bytes, batch.session_days, i32::to_le_bytes);
    put(&mut bytes, batch.segments, |segment| [segment.code()]);
    put(&mut bytes, minutes.unwrap_or_default(), i32::to_le_bytes);
    take(&mut bytes);
    hex(&hasher.finalize())
}

/// The same where numbers lie in memory as they are hashed.
fn content_hash_in_place(batch: Rows<'_>, minutes: Option<&[i32]>) -> String {
    let columns = batch.columns;
    let mut hasher = Sha256::new();
    hasher.update(columns.ts_us.to_byte_slice());
    for values in [
        &columns.open,
        &columns.high,
        &columns.low,
        &columns.close,
        &columns.volume,
    ] {
        hasher.update(values.to_byte_slice());
    }
    hasher.update(columns.vwap.values().to_byte_slice());
    hasher.update(columns.trade_count.values().to_byte_slice());
    let mut flags: Vec<u8> = Vec::with_capacity(columns.len());
    for present in [columns.trade_count.present(), columns.vwap.present()] {
        flags.clear();
        flags.extend(present.iter().map(|&present| u8::from(present)));
        hasher.update(&flags);
    }
    hasher.update(batch.session_days.to_byte_slice());
    flags.clear();
    flags.extend(batch.segments.iter().map(|segment| segment.code()));
    hasher.update(&flags);
    hasher.update(minutes.unwrap_or_default().to_byte_slice());
    hex(&hasher.finalize())
}

/// Appends `values`, each as so many bytes.
fn put<T: Copy, const N: usize>(bytes: &mut Vec<u8>, values: &[T], of: impl Fn(T) -> [u8; N]) {
    let start = bytes.len();
    bytes.resize(start + values.len() * N, 0);
    for (place, &value) in bytes[start..].chunks_exact_mut(N).zip(values) {
        place.copy_from_slice(&of(value));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Bar, Period, Timeframe};

    fn key() -> PartitionKey {
        PartitionKey {
            dataset: "alpaca/sip/raw".parse().unwrap(),
            timeframe: Timeframe::M1,
            symbol: "AAPL".parse().unwrap(),
            period: Period::Month("2024-07".parse().unwrap()),
        }
    }

    /// 2024-07-02 13:30 UTC, the open.
    const OPEN: i64 = 1_719_927_000_000_000;

    fn bar(minute: i64, price: f64) -> Bar {
        Bar {
            ts_us: OPEN + minute * 60_000_000,
            open: price,
            high: price + 0.5,
            low: price - 0.5,
            close: price + 0.25,
            volume: 100.5,
            trade_count: (minute % 3 != 0).then_some(minute),
            vwap: (minute % 2 == 0).then_some(price + 0.123_456),
        }
    }

    fn batch(bars: impl IntoIterator<Item = Bar>) -> BarBatch {
        BarBatch::from_columns(bars.into_iter().collect(), Calendar::nyse()).unwrap()
    }

    #[test]
    fn rows_read_back_and_the_same_rows_give_the_same_bytes() {
        let engine = ParquetStorageEngine::new();
        let rows = batch(
            (0..390)
                .map(|n| bar(n, 100.0))
                .chain([bar(700, 99.0), bar(1200, 98.0)]),
        );
        let file = engine.encode(&key(), rows.clone()).unwrap();
        let again = engine.encode(&key(), rows.clone()).unwrap();
        assert_eq!(file.sha256, again.sha256);
        let (read, description) = engine.decode(file.bytes, Known::Nothing).unwrap();
        assert_eq!(read, rows);
        assert_eq!(description, file.description);
        assert_eq!(
            (
                description.first_session.as_str(),
                description.last_session.as_str()
            ),
            ("2024-07-02", "2024-07-03")
        );
    }

    #[test]
    fn only_a_short_month_that_is_over_is_worth_the_effort() {
        const DAY: i64 = 1440;
        let effort = |bars: Vec<Bar>| Effort::for_file(&key(), &batch(bars));
        let days_later = |days, minutes| (0..minutes).map(move |n| bar(days * DAY + n, 100.0));
        assert_eq!(
            effort(days_later(0, 390).collect()),
            Effort::Usual,
            "on the second session"
        );
        assert_eq!(
            effort(days_later(28, 390).collect()),
            Effort::Usual,
            "2024-07-30, one session is missing"
        );
        assert_eq!(
            effort(days_later(0, 1).chain(days_later(29, 1)).collect()),
            Effort::High,
            "2024-07-31"
        );
        let every_session =
            (0..30).filter(|days| ![2, 4, 5, 11, 12, 18, 19, 25, 26].contains(days));
        assert_eq!(
            effort(
                every_session
                    .flat_map(|days| days_later(days, 390))
                    .collect()
            ),
            Effort::Usual,
            "a long month"
        );
    }

    #[test]
    fn derived_bars_read_back_with_how_they_were_made() {
        let engine = ParquetStorageEngine::new();
        let key = PartitionKey {
            timeframe: Timeframe::H1,
            period: Period::Year(2024),
            ..key()
        };
        let choice = crate::domain::AggregationChoice::default();
        let spec = AggregationSpec::new(Timeframe::H1, choice, Calendar::nyse()).unwrap();
        let (columns, days, segments) = batch([bar(0, 100.0), bar(60, 99.0)]).into_parts();
        let derived = DerivedBatch::from_parts(columns, days, segments, vec![60, 58]).unwrap();
        let sources = [SourceFile {
            period: Period::Month("2024-07".parse().unwrap()),
            content_hash: "ab".into(),
        }];
        let encode = || {
            engine
                .encode_derived(&key, &spec, &sources, derived.clone())
                .unwrap()
        };
        assert_eq!(encode().sha256, encode().sha256);
        let (read, description) = engine
            .decode_derived(encode().bytes, Known::Nothing)
            .unwrap();
        assert_eq!(read, derived);
        let made = description.derived.unwrap();
        assert_eq!(made.spec, spec.canonical());
        assert_eq!(
            (
                made.sources[0].period.as_str(),
                made.sources[0].content.as_str()
            ),
            ("2024-07", "ab")
        );
        let refused = engine.decode(encode().bytes, Known::Nothing).unwrap_err();
        assert_eq!(refused.to_string(), "the file holds derived bars");
        let minutes = engine.encode(&key, batch([bar(0, 1.0)])).unwrap();
        let refused = engine
            .decode_derived(minutes.bytes, Known::EveryByte)
            .unwrap_err();
        assert_eq!(refused.to_string(), "the file holds minutes");
    }

    proptest! {
        #[test]
        fn the_hash_of_the_rows_is_the_same_on_any_machine(count in 1_i64..50, price in 1.0..1e6_f64) {
            let rows = batch((0..count).map(|n| bar(n, price)));
            prop_assert_eq!(content_hash_in_place(Rows::of(&rows), None), content_hash_by_value(Rows::of(&rows), None));
            let minutes = vec![7; rows.len()];
            prop_assert_eq!(
                content_hash_in_place(Rows::of(&rows), Some(&minutes)),
                content_hash_by_value(Rows::of(&rows), Some(&minutes))
            );
        }
    }

    #[test]
    fn a_file_without_rows_is_never_written() {
        let refused = ParquetStorageEngine::new()
            .encode(&key(), BarBatch::empty())
            .unwrap_err();
        assert!(matches!(refused, FileError::Empty));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let engine = ParquetStorageEngine::new();
        let rows = batch((0..50).map(|n| bar(n, 100.0)));
        let file = engine.encode(&key(), rows.clone()).unwrap();
        for cut in [0, 1, 4, 8, file.bytes.len() / 2, file.bytes.len() - 1] {
            assert!(
                engine
                    .decode(file.bytes[..cut].to_vec(), Known::Nothing)
                    .is_err(),
                "cut at {cut}"
            );
        }
        for position in 0..file.bytes.len() {
            let mut flipped = file.bytes.clone();
            flipped[position] ^= 0x10;
            if let Ok((read, _)) = engine.decode(flipped, Known::Nothing) {
                assert_eq!(
                    read, rows,
                    "bit flipped at {position} changed rows without an error"
                );
            }
        }
    }

    /// `bytes` with the last `old` replaced by `new`, which is as long.
    fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
        let found = bytes.windows(old.len()).rposition(|window| window == old);
        let place = found.unwrap();
        let mut replaced = bytes.to_vec();
        replaced[place..place + old.len()].copy_from_slice(new);
        replaced
    }

    #[test]
    fn a_footer_that_tells_other_sessions_or_instants_than_the_rows_is_damage() {
        let engine = ParquetStorageEngine::new();
        let file = engine.encode(&key(), batch((0..50).map(|n| bar(n, 100.0))));
        let bytes = file.unwrap().bytes;
        let last_us = OPEN + 49 * 60_000_000;
        for (old, new) in [
            (
                &br#""first_session":"2024-07-02""#[..],
                &br#""first_session":"2024-07-01""#[..],
            ),
            (
                br#""last_session":"2024-07-02""#,
                br#""last_session":"2024-07-22""#,
            ),
            (br#""schema":1"#, br#""schema":0"#),
            (&OPEN.to_le_bytes(), &(OPEN + 60_000_000).to_le_bytes()),
            (&last_us.to_le_bytes(), &(last_us ^ 1).to_le_bytes()),
        ] {
            let refused = engine.decode(replaced(&bytes, old, new), Known::Nothing);
            assert!(refused.is_err(), "{}", String::from_utf8_lossy(old));
        }
    }

    #[test]
    fn more_rows_than_any_partition_has_are_not_even_read() {
        let rows = MOST_ROWS + 1;
        let described = FileDescription {
            rows: u64::try_from(rows).unwrap(),
            ..describe(&key(), &batch([bar(0, 1.0)]), None, None).unwrap()
        };
        let json = serde_json::to_string(&described).unwrap();
        let entry = KeyValue::new(DESCRIPTION_KEY.to_owned(), json);
        let field = arrow::datatypes::Field::new("ts", arrow::datatypes::DataType::Int64, false);
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![field]));
        let ts = Arc::new(arrow::array::Int64Array::from(vec![OPEN; rows]));
        let record_batch = RecordBatch::try_new(Arc::clone(&schema), vec![ts]).unwrap();
        let properties = writer_properties(Effort::Least, Some(entry));
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
        writer.write(&record_batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let refused = ParquetStorageEngine::new().decode(bytes, Known::Nothing);
        assert!(matches!(
            refused,
            Err(FileError::TooLong { found: 1_048_577 })
        ));
    }

    #[test]
    fn a_newer_layout_and_foreign_files_are_refused() {
        let entry = |json: &str| {
            Some(vec![KeyValue::new(
                DESCRIPTION_KEY.to_owned(),
                json.to_owned(),
            )])
        };
        assert!(matches!(
            read_description(None),
            Err(FileError::Undescribed(_))
        ));
        assert!(matches!(
            read_description(entry("{}").as_ref()),
            Err(FileError::Undescribed(_))
        ));
        let newer = FileDescription {
            schema: 99,
            ..describe(&key(), &batch([bar(0, 1.0)]), None, None).unwrap()
        };
        let json = serde_json::to_string(&newer).unwrap();
        assert!(matches!(
            read_description(entry(&json).as_ref()),
            Err(FileError::NewerLayout { found: 99 })
        ));
    }

    proptest! {
        #[test]
        fn any_sound_rows_read_back(rows in proptest::collection::btree_map(0_i64..2000, (1_u32..10_000_000, any::<bool>()), 1..80)) {
            let rows = batch(rows.into_iter().map(|(minute, (ticks, nulls))| {
                let price = f64::from(ticks) / 10_000.0 + 1.0;
                Bar { vwap: nulls.then_some(price), ..bar(minute, price) }
            }));
            let engine = ParquetStorageEngine::new();
            let file = engine.encode(&key(), rows.clone()).unwrap();
            prop_assert_eq!(engine.decode(file.bytes, Known::Nothing).unwrap().0, rows);
        }
    }
}
