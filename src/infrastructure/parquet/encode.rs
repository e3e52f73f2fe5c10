//! Rows into bytes: encodings and compression. The same rows always give the same bytes.

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{BrotliLevel, Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::description::{DESCRIPTION_KEY, FileDescription};
use super::engine::{EncodedFile, FileError};
use super::schema;
use crate::domain::digest::hex_sha256;
use crate::domain::{BarBatch, Calendar, PartitionKey, SessionDate};

/// Written into every footer instead of a program version: the same rows must give the same bytes for years.
const CREATED_BY: &str = "marketpipe lake 1";

pub(super) fn encode_described(
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

/// Finished files with fewer rows than this are compressed harder.
///
/// A whole month of a traded symbol has more and compresses well at little cost (zstd 3: about 8 bytes a bar, 0.3
/// microseconds). Short files pay more for every repetition that is found late; Brotli finds them, at sixty
/// times the cost: 9.0 instead of 10.6 bytes a bar, 18 instead of 0.3 microseconds.
const SMALL_FILE_ROWS: usize = 6_000;

/// How hard a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
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
    pub(super) fn for_file(key: &PartitionKey, batch: &BarBatch) -> Self {
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
pub(super) fn writer_properties(effort: Effort, entry: Option<KeyValue>) -> WriterProperties {
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
