//! Bytes into rows: nothing that a file says is taken for granted, and damage is an error.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use super::caught::catch_panic;
use super::description::{FileDescription, read_description, session_span};
use super::engine::FileError;
use super::schema::{self, FileColumns};
use crate::domain::BarBatch;

/// A year of 2-minute bars around the clock has a quarter of it.
pub(super) const MOST_ROWS: usize = 1 << 20;

/// The columns of a file of minutes and its footer.
pub(super) fn decode_minutes(bytes: Vec<u8>) -> Result<(FileColumns, FileDescription), FileError> {
    let (columns, description) = decode_columns(bytes)?;
    if columns.minutes.is_some() {
        return Err(FileError::OtherKind("derived bars"));
    }
    Ok((columns, description))
}

/// The columns of a file and its footer, which agree on the number of rows.
pub(super) fn decode_columns(bytes: Vec<u8>) -> Result<(FileColumns, FileDescription), FileError> {
    // On damaged pages the reader panics instead of returning an error (seen with parquet 60.1); nothing of
    // it outlives the call.
    catch_panic(|| decode_trusting(bytes)).unwrap_or(Err(FileError::Unreadable))
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
pub(super) fn check_sessions(
    batch: &BarBatch,
    description: &FileDescription,
) -> Result<(), FileError> {
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

pub(super) fn check_content(
    content: String,
    description: &FileDescription,
) -> Result<(), FileError> {
    if content == description.content {
        return Ok(());
    }
    Err(FileError::Mismatch {
        what: "content hash",
        found: content,
        described: description.content.clone(),
    })
}
