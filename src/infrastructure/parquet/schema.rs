//! The columns of a bar file, and the conversion between batches and Arrow. Knows no path and no encoding.

use std::sync::Arc;

use arrow::array::types::Int8Type;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray as _, Date32Array, DictionaryArray, Float64Array,
    Int8Array, Int32Array, PrimitiveArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_empty_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Field, Float64Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType,
};
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

/// Takes a bar file's rows apart into columns, without a copy where nobody else holds them.
pub(super) fn from_record_batch(record_batch: RecordBatch) -> Result<FileColumns, SchemaError> {
    let mut segments: Vec<Segment> = Vec::with_capacity(record_batch.num_rows());
    extend_segments(&mut segments, &record_batch)?;
    let (schema, arrays, _) = record_batch.into_parts();
    let mut columns = NamedColumns {
        names: schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect(),
        arrays,
    };
    Ok(FileColumns {
        columns: BarColumns {
            ts_us: columns.required::<TimestampMicrosecondType>("ts", &timestamp_type())?,
            open: columns.required::<Float64Type>("open", &DataType::Float64)?,
            high: columns.required::<Float64Type>("high", &DataType::Float64)?,
            low: columns.required::<Float64Type>("low", &DataType::Float64)?,
            close: columns.required::<Float64Type>("close", &DataType::Float64)?,
            volume: columns.required::<Float64Type>("volume", &DataType::Float64)?,
            trade_count: columns.nullable::<Int64Type>("trade_count", &DataType::Int64)?,
            vwap: columns.nullable::<Float64Type>("vwap", &DataType::Float64)?,
        },
        session_days: columns.required::<Date32Type>("session_date", &DataType::Date32)?,
        segments,
        minutes: if columns.names.iter().any(|name| name == MINUTES) {
            Some(columns.required::<Int32Type>(MINUTES, &DataType::Int32)?)
        } else {
            None
        },
    })
}

/// The columns of a record batch, to be taken one by one.
struct NamedColumns {
    names: Vec<String>,
    arrays: Vec<ArrayRef>,
}

impl NamedColumns {
    fn take<T: ArrowPrimitiveType>(
        &mut self,
        name: &'static str,
        expected: &DataType,
    ) -> Result<PrimitiveArray<T>, SchemaError> {
        let place = self.names.iter().position(|found| found == name);
        let found = place.map(|place| &mut self.arrays[place]);
        let mismatch = |found: Option<&ArrayRef>| SchemaError::Column {
            name,
            expected: expected.to_string(),
            found: found.map_or_else(|| "none".to_owned(), |array| array.data_type().to_string()),
        };
        match found {
            Some(array) if array.data_type() == expected => {
                let taken = std::mem::replace(array, new_empty_array(&DataType::Null));
                let typed = taken.as_primitive_opt::<T>().cloned();
                typed.ok_or_else(|| mismatch(Some(&taken)))
            }
            found => Err(mismatch(found.as_deref())),
        }
    }

    fn required<T: ArrowPrimitiveType>(
        &mut self,
        name: &'static str,
        expected: &DataType,
    ) -> Result<Vec<T::Native>, SchemaError> {
        let array = self.take::<T>(name, expected)?;
        if array.null_count() > 0 {
            return Err(SchemaError::Nulls(name));
        }
        Ok(array.into_parts().1.into())
    }

    fn nullable<T: ArrowPrimitiveType>(
        &mut self,
        name: &'static str,
        expected: &DataType,
    ) -> Result<NullableColumn<T::Native>, SchemaError>
    where
        T::Native: Copy + Default,
    {
        let array = self.take::<T>(name, expected)?;
        let rows = array.len();
        let (_, values, nulls) = array.into_parts();
        let mut values: Vec<T::Native> = values.into();
        let present = match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => vec![true; rows],
            Some(nulls) => nulls.iter().collect(),
        };
        for (value, _) in values
            .iter_mut()
            .zip(&present)
            .filter(|(_, present)| !**present)
        {
            *value = T::Native::default();
        }
        let column = NullableColumn::from_parts(values, present);
        Ok(column.unwrap_or_default())
    }
}

/// The schema to ask a reader for, given a file's own: segments as a dictionary, as they are encoded.
pub(super) fn reading_schema(found: &Schema) -> Schema {
    let field = |field: &Arc<Field>| {
        if field.name() == "segment" && *field.data_type() == DataType::Utf8 {
            Arc::new(Field::new("segment", segment_type(), field.is_nullable()))
        } else {
            Arc::clone(field)
        }
    };
    Schema::new_with_metadata(
        found.fields().iter().map(field).collect::<Vec<_>>(),
        found.metadata().clone(),
    )
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
