//! Minute bars in Parquet files of any writer, one batch of rows in memory at a time; only the columns of bars are read.

use std::fs::File;
use std::path::Path;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit as ArrowUnit};
use chrono::DateTime;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;

use super::ReadError;
use super::collector::{Collector, RawRow};
use super::columns::{ColumnNames, Places};
use super::spool::RowPlace;
use super::time::{TimeRule, TimeUnit};
use crate::domain::whole_count;
use crate::infrastructure::parquet::caught::catch_panic;

/// Rows that are read at once.
const ROWS_PER_BATCH: usize = 8_192;

/// Bytes that one column of a row group may unfold to: a few tens of millions of values.
const MOST_COLUMN_BYTES: i64 = 512 << 20;

/// Why a column of a row group is not read, in words: it is too large, or packed in a way whose reader unfolds all that there
/// is before it looks at the size that the page claims.
fn refusal_of(chunk: &ColumnChunkMetaData) -> Option<String> {
    let column = chunk.column_path();
    match chunk.compression() {
        Compression::UNCOMPRESSED
        | Compression::SNAPPY
        | Compression::LZ4_RAW
        | Compression::ZSTD(_) => {}
        packed => {
            return Some(format!(
                "column {column} is packed with {packed}; read are Snappy, Zstandard, LZ4_RAW and plain columns"
            ));
        }
    }
    let bytes = chunk.uncompressed_size();
    (bytes > MOST_COLUMN_BYTES).then(|| {
        format!(
            "column {column} unfolds to {bytes} bytes in one row group, the limit is {MOST_COLUMN_BYTES}"
        )
    })
}

/// Reads a file.
pub(super) fn read(
    path: &Path,
    names: &ColumnNames,
    collector: &mut Collector,
) -> Result<(), ReadError> {
    let file = File::open(path).map_err(ReadError::unreadable(path))?;
    // On damaged pages the reader panics; whatever is half done then is thrown away with the whole import.
    let read = catch_panic(|| read_rows(path, file, names, collector));
    read.unwrap_or_else(|| {
        Err(ReadError::malformed(
            path,
            "the Parquet reader gave up on damaged content",
        ))
    })
}

fn read_rows(
    path: &Path,
    file: File,
    names: &ColumnNames,
    collector: &mut Collector,
) -> Result<(), ReadError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        ReadError::malformed(path, format!("not a readable Parquet file: {error}"))
    };
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(&error))?;
    let schema = builder.schema().clone();
    let header: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let places = names.find(&header);
    let places = places.map_err(|reason| ReadError::malformed(path, reason))?;
    let needed = needed_columns(&places);
    let described = builder.parquet_schema();
    for group in builder.metadata().row_groups() {
        let columns = group.columns().iter().enumerate();
        let mut needed_chunks =
            columns.filter(|(leaf, _)| needed.contains(&described.get_column_root_idx(*leaf)));
        let refused = needed_chunks.find_map(|(_, chunk)| refusal_of(chunk));
        if let Some(reason) = refused {
            return Err(ReadError::malformed(path, reason));
        }
    }
    let mask = ProjectionMask::roots(described, needed.iter().copied());
    let reader = builder
        .with_projection(mask)
        .with_batch_size(ROWS_PER_BATCH)
        .build();
    let reader = reader.map_err(|error| unreadable(&error))?;
    let name = path.display().to_string();
    let mut line = 0;
    for batch in reader {
        let batch = batch.map_err(|error| unreadable(&error))?;
        let columns = BatchColumns::of(&batch, &schema, &places);
        let columns = columns.map_err(|reason| ReadError::malformed(path, reason))?;
        for row in 0..batch.num_rows() {
            line += 1;
            let place = RowPlace { file: &name, line };
            if columns.is_filled(row) {
                collector.leave_out_filled();
                continue;
            }
            let given = columns.row(row, &collector.time);
            collector.take(path, place, given)?;
        }
    }
    Ok(())
}

fn needed_columns(places: &Places) -> Vec<usize> {
    let optional = [
        places.trade_count,
        places.vwap,
        places.symbol,
        places.filled,
    ];
    let mut needed: Vec<usize> = places.values.into_iter().chain([places.ts]).collect();
    needed.extend(optional.into_iter().flatten());
    needed
}

/// The columns of a batch as they are needed.
struct BatchColumns {
    ts: Times,
    values: [Float64Array; 5],
    trade_count: Option<Counts>,
    vwap: Option<Float64Array>,
    symbol: Option<StringArray>,
    filled: Option<BooleanArray>,
}

/// Times by their type.
enum Times {
    Numbers(Int64Array),
    Texts(StringArray),
    /// Numbers of a unit, with a zone of their own or local.
    Stamps {
        numbers: Int64Array,
        unit: TimeUnit,
        is_local: bool,
    },
}

/// Counts, which writers without nulls in whole numbers keep as floats.
enum Counts {
    Whole(Int64Array),
    Floats(Float64Array),
}

impl BatchColumns {
    fn of(batch: &RecordBatch, schema: &SchemaRef, places: &Places) -> Result<Self, String> {
        let column = |at: usize| -> Result<&ArrayRef, String> {
            let name = schema.field(at).name();
            let found = batch.column_by_name(name);
            found.ok_or_else(|| format!("column {name} cannot be read"))
        };
        let floats = |at: usize| -> Result<Float64Array, String> {
            let array = column(at)?;
            match is_number(array.data_type()) {
                true => Ok(cast_to(array, &DataType::Float64)?
                    .as_primitive::<Float64Type>()
                    .clone()),
                false => Err(mistyped(schema.field(at).name(), array, "numbers")),
            }
        };
        let [open, high, low, close, volume] = places.values;
        Ok(Self {
            ts: Times::of(schema.field(places.ts).name(), column(places.ts)?)?,
            values: [
                floats(open)?,
                floats(high)?,
                floats(low)?,
                floats(close)?,
                floats(volume)?,
            ],
            trade_count: places
                .trade_count
                .map(|at| match column(at)?.data_type() {
                    DataType::Float32 | DataType::Float64 => Ok(Counts::Floats(floats(at)?)),
                    _ => {
                        floats(at)?;
                        let cast = cast_to(column(at)?, &DataType::Int64)?;
                        Ok::<_, String>(Counts::Whole(cast.as_primitive::<Int64Type>().clone()))
                    }
                })
                .transpose()?,
            vwap: places.vwap.map(floats).transpose()?,
            symbol: places.symbol.map(|at| texts(column(at)?)).transpose()?,
            filled: places
                .filled
                .map(|at| {
                    let array = column(at)?;
                    let flags = array.as_boolean_opt().cloned();
                    flags.ok_or_else(|| mistyped("filled", array, "true or false"))
                })
                .transpose()?,
        })
    }

    fn is_filled(&self, row: usize) -> bool {
        self.filled
            .as_ref()
            .is_some_and(|filled| filled.is_valid(row) && filled.value(row))
    }

    fn row(&self, row: usize, time: &TimeRule) -> RawRow<'_> {
        let value = |array: &Float64Array| match array.is_valid(row) {
            true => array.value(row),
            false => f64::NAN,
        };
        let mut unclear = None;
        let mut values = [0.0; 5];
        for (value_of, array) in values.iter_mut().zip(&self.values) {
            *value_of = value(array);
        }
        let trade_count =
            self.trade_count.as_ref().and_then(|counts| match counts {
                Counts::Whole(array) => array.is_valid(row).then(|| array.value(row)),
                // NaN is how such writers say that there is none.
                Counts::Floats(array) => Some(value(array))
                    .filter(|count| !count.is_nan())
                    .and_then(|count| {
                        let whole = whole_count(count);
                        if whole.is_none() {
                            unclear = Some(format!("trade count {count} is no whole number"));
                        }
                        whole
                    }),
            });
        let vwap = self.vwap.as_ref();
        RawRow {
            symbol: self
                .symbol
                .as_ref()
                .map(|symbols| match symbols.is_valid(row) {
                    true => symbols.value(row),
                    false => "",
                }),
            ts_us: self.ts.at(row, time),
            values,
            unclear,
            trade_count,
            vwap: vwap
                .filter(|array| array.is_valid(row))
                .map(|array| array.value(row)),
        }
    }
}

impl Times {
    fn of(name: &str, array: &ArrayRef) -> Result<Self, String> {
        let numbers = || -> Result<Int64Array, String> {
            Ok(cast_to(array, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .clone())
        };
        match array.data_type() {
            DataType::Timestamp(unit, zone) => Ok(Self::Stamps {
                numbers: numbers()?,
                unit: match unit {
                    ArrowUnit::Second => TimeUnit::Seconds,
                    ArrowUnit::Millisecond => TimeUnit::Milliseconds,
                    ArrowUnit::Microsecond => TimeUnit::Microseconds,
                    ArrowUnit::Nanosecond => TimeUnit::Nanoseconds,
                },
                is_local: zone.is_none(),
            }),
            DataType::Int64 | DataType::Int32 | DataType::UInt32 => Ok(Self::Numbers(numbers()?)),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Ok(Self::Texts(texts(array)?))
            }
            _ => Err(mistyped(name, array, "times, whole numbers or texts")),
        }
    }

    fn at(&self, row: usize, time: &TimeRule) -> Result<i64, String> {
        let none = || Err("there is no time".to_owned());
        match self {
            Self::Numbers(array) if array.is_valid(row) => time.of_number(array.value(row)),
            Self::Texts(array) if array.is_valid(row) => time.parse(array.value(row)),
            Self::Stamps {
                numbers,
                unit,
                is_local,
            } if numbers.is_valid(row) => {
                let stamp = TimeRule {
                    unit: *unit,
                    zone: None,
                };
                let instant_us = stamp.of_number(numbers.value(row))?;
                if !is_local {
                    return Ok(instant_us);
                }
                let local = DateTime::from_timestamp_micros(instant_us);
                let local = local.ok_or_else(|| format!("time {instant_us} is out of range"))?;
                time.of_local(local.naive_utc())
            }
            _ => none(),
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Float32 | DataType::Float64)
}

fn texts(array: &ArrayRef) -> Result<StringArray, String> {
    Ok(cast_to(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn cast_to(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, String> {
    cast(array, wanted).map_err(|error| format!("a column cannot be read: {error}"))
}

fn mistyped(name: &str, array: &ArrayRef, wanted: &str) -> String {
    format!("column {name} is {}, expected {wanted}", array.data_type())
}
