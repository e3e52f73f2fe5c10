//! Changes files of the lake from outside, as another program or a failing disk would.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Date32Array, Float64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Date32Type, Float64Type, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::properties::WriterProperties;
use sha2::{Digest as _, Sha256};

/// The columns of a file that tests change.
pub(crate) struct Rows {
    pub(crate) ts: Vec<i64>,
    pub(crate) open: Vec<f64>,
    pub(crate) high: Vec<f64>,
    pub(crate) low: Vec<f64>,
    pub(crate) close: Vec<f64>,
    pub(crate) volume: Vec<f64>,
    pub(crate) session_date: Vec<i32>,
    pub(crate) segment: Vec<String>,
    /// Where each row's trade count and VWAP stand in the file.
    order: Vec<u32>,
}

impl Rows {
    /// The row of this instant.
    pub(crate) fn find(&self, ts_us: i64) -> usize {
        self.ts.iter().position(|&ts| ts == ts_us).unwrap()
    }

    /// Exchanges two rows of one session and segment.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        self.ts.swap(a, b);
        self.order.swap(a, b);
        for column in [
            &mut self.open,
            &mut self.high,
            &mut self.low,
            &mut self.close,
            &mut self.volume,
        ] {
            column.swap(a, b);
        }
    }
}

/// Changes rows of a file and writes it anew with the footer that it had.
pub(crate) fn rewrite(path: &Path, change: impl FnOnce(&mut Rows)) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let metadata = builder.metadata().file_metadata();
    let entries = metadata.key_value_metadata().cloned().map(|entries| {
        let is_ours = |entry: &parquet::file::metadata::KeyValue| entry.key == "marketpipe";
        entries.into_iter().filter(is_ours).collect::<Vec<_>>()
    });
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
    let float = |name: &str| {
        let column = batch.column_by_name(name).unwrap();
        column.as_primitive::<Float64Type>().values().to_vec()
    };
    let segment = cast(batch.column_by_name("segment").unwrap(), &DataType::Utf8).unwrap();
    let segment = segment.as_string::<i32>();
    let ts = batch.column_by_name("ts").unwrap();
    let session_date = batch.column_by_name("session_date").unwrap();
    let mut rows = Rows {
        ts: ts
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .to_vec(),
        open: float("open"),
        high: float("high"),
        low: float("low"),
        close: float("close"),
        volume: float("volume"),
        session_date: session_date.as_primitive::<Date32Type>().values().to_vec(),
        segment: (0..segment.len())
            .map(|row| segment.value(row).to_owned())
            .collect(),
        order: (0..u32::try_from(segment.len()).unwrap()).collect(),
    };
    change(&mut rows);
    let column = |name: &str| -> Option<ArrayRef> {
        Some(match name {
            "ts" => Arc::new(TimestampMicrosecondArray::from(rows.ts.clone()).with_timezone("UTC")),
            "open" => Arc::new(Float64Array::from(rows.open.clone())),
            "high" => Arc::new(Float64Array::from(rows.high.clone())),
            "low" => Arc::new(Float64Array::from(rows.low.clone())),
            "close" => Arc::new(Float64Array::from(rows.close.clone())),
            "volume" => Arc::new(Float64Array::from(rows.volume.clone())),
            "session_date" => Arc::new(Date32Array::from(rows.session_date.clone())),
            "segment" => {
                let names: ArrayRef = Arc::new(StringArray::from(rows.segment.clone()));
                let of = batch.schema();
                cast(&names, of.field_with_name("segment").unwrap().data_type()).unwrap()
            }
            _ => return None,
        })
    };
    let order = UInt32Array::from(rows.order.clone());
    let schema = batch.schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        column(field.name()).unwrap_or_else(|| take(batch.column(at), &order, None).unwrap())
    });
    let changed = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    let options = ArrowWriterOptions::new()
        .with_skip_arrow_metadata(true)
        .with_properties(
            WriterProperties::builder()
                .set_key_value_metadata(entries)
                .build(),
        );
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new_with_options(file, schema, options).unwrap();
    writer.write(&changed).unwrap();
    writer.close().unwrap();
}

/// Makes the catalog believe that a file is as it was written.
pub(crate) fn forget_damage(data: &Path, path: &Path, symbol: &str, frame: &str) {
    let bytes = std::fs::read(path).unwrap();
    let sha256: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let period = path
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap();
    let period = period.split_once('=').unwrap().1;
    let database = rusqlite::Connection::open(data.join("marketpipe.db")).unwrap();
    let changed = database.execute(
        "UPDATE partition_file SET sha256 = ?, bytes = ? WHERE timeframe = ? AND period = ? AND series_id =
             (SELECT series_id FROM series WHERE symbol = ?)",
        rusqlite::params![sha256, i64::try_from(bytes.len()).unwrap(), frame, period, symbol],
    );
    assert_eq!(changed.unwrap(), 1);
}
