//! The columns of a bar file, and the conversion between batches and Arrow. Knows no path and no encoding.

use std::sync::Arc;

use arrow::array::types::Int8Type;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, Date32Array, DictionaryArray, Float64Array, Int8Array,
    Int32Array, Int64Array, PrimitiveArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use thiserror::Error;

use crate::domain::{BarBatch, BarColumns, BatchError, NullableColumn, Segment};

/// The column that only derived bars have.
pub(super) const MINUTES: &str = "minutes";

/// Version of the file layout; raised when a reader of the old one would misread the new one.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// Why Arrow data are not bars.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// A column is missing or has another type.
    #[error("column `{name}` should be {expected}, found {found}")]
    Column {
        /// The column.
        name: &'static str,
        /// Its Arrow type.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A required column has nulls.
    #[error("column `{0}` has nulls")]
    Nulls(&'static str),
    /// A segment that is none of the four.
    #[error("segment `{0}` is unknown")]
    Segment(String),
    /// The rows are no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn segment_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8))
}

fn required_field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

/// The columns of a minute bar file.
fn bar_fields() -> Vec<Field> {
    let required = required_field;
    vec![
        required("ts", timestamp_type()),
        required("open", DataType::Float64),
        required("high", DataType::Float64),
        required("low", DataType::Float64),
        required("close", DataType::Float64),
        required("volume", DataType::Float64),
        Field::new("trade_count", DataType::Int64, true),
        Field::new("vwap", DataType::Float64, true),
        required("session_date", DataType::Date32),
        required("segment", segment_type()),
    ]
}

/// The bars as one Arrow record batch, for derived ones with the number of minutes; vectors move without a copy.
pub(super) fn to_record_batch(
    batch: BarBatch,
    minutes: Option<Vec<i32>>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut fields = bar_fields();
    let (columns, session_days, segments) = batch.into_parts();
    let keys = Int8Array::from_iter_values(
        segments
            .iter()
            .map(|segment| i8::try_from(segment.code()).unwrap_or(i8::MAX)),
    );
    let names = StringArray::from_iter_values(Segment::ALL.map(Segment::as_str));
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(columns.ts_us).with_timezone("UTC")),
        Arc::new(Float64Array::from(columns.open)),
        Arc::new(Float64Array::from(columns.high)),
        Arc::new(Float64Array::from(columns.low)),
        Arc::new(Float64Array::from(columns.close)),
        Arc::new(Float64Array::from(columns.volume)),
        Arc::new(nullable::<arrow::datatypes::Int64Type>(columns.trade_count)),
        Arc::new(nullable::<arrow::datatypes::Float64Type>(columns.vwap)),
        Arc::new(Date32Array::from(session_days)),
        Arc::new(DictionaryArray::<Int8Type>::try_new(keys, Arc::new(names))?),
    ];
    if let Some(minutes) = minutes {
        fields.push(required_field(MINUTES, DataType::Int32));
        arrays.push(Arc::new(Int32Array::from(minutes)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn nullable<T: ArrowPrimitiveType>(column: NullableColumn<T::Native>) -> PrimitiveArray<T>
where
    T::Native: Copy + Default,
{
    let (values, present) = column.into_parts();
    let has_nulls = present.contains(&false);
    PrimitiveArray::new(values.into(), has_nulls.then(|| NullBuffer::from(present)))
}

/// What a bar file holds, not yet proven.
pub(super) struct FileColumns {
    pub(super) columns: BarColumns,
    pub(super) session_days: Vec<i32>,
    pub(super) segments: Vec<Segment>,
    /// Of derived bars alone.
    pub(super) minutes: Option<Vec<i32>>,
}

/// Reads a bar file's record batches back into columns.
pub(super) fn from_record_batches(
    record_batches: &[RecordBatch],
) -> Result<FileColumns, SchemaError> {
    let rows = record_batches.iter().map(RecordBatch::num_rows).sum();
    let mut columns = BarColumns::with_capacity(rows);
    let mut session_days: Vec<i32> = Vec::with_capacity(rows);
    let mut segments: Vec<Segment> = Vec::with_capacity(rows);
    let mut minutes: Option<Vec<i32>> = None;
    for record_batch in record_batches {
        let ts = required::<TimestampMicrosecondArray>(record_batch, "ts", &timestamp_type())?;
        columns.ts_us.extend_from_slice(ts.values());
        for (name, target) in [
            ("open", &mut columns.open),
            ("high", &mut columns.high),
            ("low", &mut columns.low),
            ("close", &mut columns.close),
            ("volume", &mut columns.volume),
        ] {
            target.extend_from_slice(
                required::<Float64Array>(record_batch, name, &DataType::Float64)?.values(),
            );
        }
        extend_nullable(
            &mut columns.trade_count,
            column::<Int64Array>(record_batch, "trade_count", &DataType::Int64)?,
        );
        extend_nullable(
            &mut columns.vwap,
            column::<Float64Array>(record_batch, "vwap", &DataType::Float64)?,
        );
        session_days.extend_from_slice(
            required::<Date32Array>(record_batch, "session_date", &DataType::Date32)?.values(),
        );
        extend_segments(&mut segments, record_batch)?;
        if record_batch.column_by_name(MINUTES).is_some() {
            let counts = required::<Int32Array>(record_batch, MINUTES, &DataType::Int32)?;
            let minutes = minutes.get_or_insert_default();
            minutes.extend_from_slice(counts.values());
        }
    }
    Ok(FileColumns {
        columns,
        session_days,
        segments,
        minutes,
    })
}

fn column<'a, A: Array + 'static>(
    record_batch: &'a RecordBatch,
    name: &'static str,
    expected: &DataType,
) -> Result<&'a A, SchemaError> {
    let found = record_batch.column_by_name(name);
    let mismatch = || SchemaError::Column {
        name,
        expected: expected.to_string(),
        found: found.map_or_else(|| "none".to_owned(), |array| array.data_type().to_string()),
    };
    let array = found
        .filter(|array| array.data_type() == expected)
        .ok_or_else(mismatch)?;
    array.as_any().downcast_ref().ok_or_else(mismatch)
}

fn required<'a, A: Array + 'static>(
    record_batch: &'a RecordBatch,
    name: &'static str,
    expected: &DataType,
) -> Result<&'a A, SchemaError> {
    let array: &A = column(record_batch, name, expected)?;
    if array.null_count() > 0 {
        return Err(SchemaError::Nulls(name));
    }
    Ok(array)
}

fn extend_nullable<T: ArrowPrimitiveType>(
    target: &mut NullableColumn<T::Native>,
    array: &PrimitiveArray<T>,
) where
    T::Native: Copy + Default,
{
    for row in 0..array.len() {
        target.push(array.is_valid(row).then(|| array.value(row)));
    }
}

/// Segments are a string dictionary for Arrow, plain strings for writers that keep no Arrow schema.
fn extend_segments(
    segments: &mut Vec<Segment>,
    record_batch: &RecordBatch,
) -> Result<(), SchemaError> {
    let parse = |text: &str| {
        text.parse::<Segment>()
            .map_err(|_| SchemaError::Segment(text.escape_default().to_string()))
    };
    let is_dictionary = record_batch
        .column_by_name("segment")
        .is_some_and(|array| *array.data_type() == segment_type());
    if is_dictionary {
        let array: &DictionaryArray<Int8Type> = required(record_batch, "segment", &segment_type())?;
        let names: &StringArray = array
            .values()
            .as_any()
            .downcast_ref()
            .ok_or(SchemaError::Nulls("segment"))?;
        let known = (0..names.len())
            .map(|i| parse(names.value(i)))
            .collect::<Result<Vec<_>, _>>()?;
        for key in array.keys().values() {
            let segment = usize::try_from(*key)
                .ok()
                .and_then(|key| known.get(key))
                .ok_or(SchemaError::Nulls("segment"))?;
            segments.push(*segment);
        }
    } else {
        let array: &StringArray = required(record_batch, "segment", &DataType::Utf8)?;
        for row in 0..array.len() {
            segments.push(parse(array.value(row))?);
        }
    }
    Ok(())
}
