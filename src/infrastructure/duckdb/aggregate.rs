//! The SQL engine of aggregation: statements made from the specs, run on minutes that are handed over as columns. Must
//! agree with the columnar engine to the last bit, so sums are ordered and buckets are whole numbers of microseconds.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray as _, BooleanArray, Float64Array, Int32Array,
    Int64Array, RecordBatch,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema};
use duckdb::{Config, Connection};

use crate::domain::aggregation_spec::{BucketGrid, CELL_MINUTES};
use crate::domain::instant::MINUTE_US;
use crate::domain::ports::{AggregateError, BarAggregator};
use crate::domain::services::ohlcv_calculation::session_of;
use crate::domain::{
    AggregationSpec, Anchor, BarBatch, BarColumns, ClosingAuction, DerivedBatch, NullableColumn,
    Segment,
};

/// Adds bars up in DuckDB.
#[derive(Default)]
pub struct DuckdbAggregator {
    /// Databases that nobody uses just now; opening one takes longer than a year of minutes.
    idle: Mutex<Vec<Connection>>,
}

impl DuckdbAggregator {
    /// An engine that opens its databases, in memory, when they are needed.
    pub fn new() -> Self {
        Self::default()
    }

    fn connection(&self) -> Result<Connection, duckdb::Error> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        // Symbol-years are worked on side by side, each on one thread.
        let config = Config::default()
            .enable_autoload_extension(false)?
            .with("autoinstall_known_extensions", "false")?
            .threads(1)?;
        let connection = Connection::open_in_memory_with_flags(config)?;
        connection.execute_batch(TABLES)?;
        Ok(connection)
    }
}

/// `part` holds what can be added up: minutes, `border` the segments of the sessions; instants in UTC microseconds.
const TABLES: &str = "
    CREATE TABLE part (
        day INTEGER NOT NULL, segment INTEGER NOT NULL, ts BIGINT NOT NULL,
        open DOUBLE NOT NULL, high DOUBLE NOT NULL, low DOUBLE NOT NULL, close DOUBLE NOT NULL,
        volume DOUBLE NOT NULL, weighted DOUBLE, has_vwap BOOLEAN NOT NULL, trade_count BIGINT,
        minutes INTEGER NOT NULL);
    CREATE TABLE border (
        day INTEGER NOT NULL, segment INTEGER NOT NULL, segment_start BIGINT NOT NULL,
        open_origin BIGINT NOT NULL, clock_origin BIGINT NOT NULL,
        session_open BIGINT NOT NULL, session_close BIGINT NOT NULL);";

impl BarAggregator for DuckdbAggregator {
    fn name(&self) -> &'static str {
        "duckdb"
    }

    fn aggregate(
        &self,
        minutes: &[&BarBatch],
        specs: &[AggregationSpec],
    ) -> Result<Vec<DerivedBatch>, AggregateError> {
        let Some(calendar) = specs.first().map(AggregationSpec::calendar) else {
            return Ok(Vec::new());
        };
        let mut borders = Borders::default();
        for (day, _) in minutes.iter().flat_map(|batch| batch.sessions()) {
            let session = session_of(calendar, day).map_err(|error| failure(&error))?;
            for segment in Segment::ALL {
                let grid = |anchor| BucketGrid::new(&session, segment, anchor, MINUTE_US);
                borders.days.push(day);
                borders.segments.push(segment.code().into());
                let instants = [
                    grid(Anchor::Open).segment_start_us(),
                    grid(Anchor::Open).origin_us(),
                    grid(Anchor::Clock).origin_us(),
                    session.open_us(),
                    session.close_us(),
                ];
                for (column, instant_us) in borders.instants.iter_mut().zip(instants) {
                    column.push(instant_us);
                }
            }
        }
        let run = || -> Result<Vec<RecordBatch>, Box<dyn std::error::Error>> {
            let connection = self.connection()?;
            connection.execute_batch("DELETE FROM part; DELETE FROM border;")?;
            for batch in minutes {
                append(&connection, "part", parts(batch)?)?;
            }
            append(&connection, "border", borders.into_record_batch()?)?;
            connection.execute_batch(&format!(
                "CREATE OR REPLACE TEMP TABLE cell AS {}",
                rolled(("part", 1), "open_origin", CELL_MINUTES, "true")
            ))?;
            let mut results = Vec::with_capacity(specs.len());
            for spec in specs {
                let mut statement = connection.prepare(&select(spec))?;
                let stream = statement.query_arrow([])?;
                let schema = stream.get_schema();
                let batches: Vec<RecordBatch> = stream.collect();
                results.push(arrow::compute::concat_batches(&schema, &batches)?);
            }
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(connection);
            Ok(results)
        };
        let results = run().map_err(|error| failure(&error))?;
        results.iter().map(derived).collect()
    }
}

/// Segment borders as columns.
#[derive(Default)]
struct Borders {
    days: Vec<i32>,
    segments: Vec<i32>,
    instants: [Vec<i64>; 5],
}

impl Borders {
    fn into_record_batch(self) -> Result<RecordBatch, arrow::error::ArrowError> {
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("day", Arc::new(Int32Array::from(self.days))),
            ("segment", Arc::new(Int32Array::from(self.segments))),
        ];
        let names = [
            "segment_start",
            "open_origin",
            "clock_origin",
            "session_open",
            "session_close",
        ];
        for (name, instants) in names.into_iter().zip(self.instants) {
            columns.push((name, Arc::new(Int64Array::from(instants))));
        }
        record_batch(columns)
    }
}

/// The minutes as parts of longer bars.
fn parts(minutes: &BarBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = minutes.columns();
    let doubles = |values: &[f64]| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(values.iter().copied()))
    };
    let rows = 0..columns.len();
    let has_volume = |row: usize| columns.volume[row] > 0.0;
    let weighted = rows.clone().map(|row| {
        if has_volume(row) {
            columns.vwap.get(row).map(|vwap| vwap * columns.volume[row])
        } else {
            Some(0.0)
        }
    });
    let has_vwap = rows
        .clone()
        .map(|row| Some(!has_volume(row) || columns.vwap.get(row).is_some()));
    let segments = minutes.segments().iter();
    record_batch(vec![
        (
            "day",
            Arc::new(Int32Array::from(minutes.session_days().to_vec())),
        ),
        (
            "segment",
            Arc::new(Int32Array::from_iter_values(
                segments.map(|segment| i32::from(segment.code())),
            )),
        ),
        ("ts", Arc::new(Int64Array::from(columns.ts_us.clone()))),
        ("open", doubles(&columns.open)),
        ("high", doubles(&columns.high)),
        ("low", doubles(&columns.low)),
        ("close", doubles(&columns.close)),
        ("volume", doubles(&columns.volume)),
        ("weighted", Arc::new(weighted.collect::<Float64Array>())),
        ("has_vwap", Arc::new(has_vwap.collect::<BooleanArray>())),
        (
            "trade_count",
            Arc::new(
                rows.clone()
                    .map(|row| columns.trade_count.get(row))
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "minutes",
            Arc::new(Int32Array::from(vec![1; columns.len()])),
        ),
    ])
}

fn record_batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, arrow::error::ArrowError> {
    let field = |(name, array): &(&str, ArrayRef)| {
        Field::new(*name, array.data_type().clone(), array.is_nullable())
    };
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn append(connection: &Connection, table: &str, rows: RecordBatch) -> Result<(), duckdb::Error> {
    let mut appender = connection.appender(table)?;
    appender.append_record_batch(rows)?;
    appender.flush()
}

/// How a bucket's rows are brought into order before they are summed: sums of fractions depend on it.
enum InOrder {
    /// By their place in the bucket, of which there are so many, each of so many microseconds and with one row at most.
    ///
    /// Twenty times faster than sorting. DuckDB's plain `sum` has no order even on one thread: where a bucket's rows come
    /// in two chunks it may add up both and then the two sums.
    Places { places: u16, place_us: i64 },
    /// By time.
    Sorted,
}

impl InOrder {
    fn sum(&self, column: &str) -> String {
        match self {
            Self::Sorted => format!("sum({column} ORDER BY ts)"),
            Self::Places { places, place_us } => {
                let place = |n: u16| {
                    format!(
                        " + ifnull(max({column}) FILTER ((ts - bucket) // {place_us} = {n}), 0.0)"
                    )
                };
                format!(
                    "(0.0::DOUBLE{})",
                    (0..*places).map(place).collect::<String>()
                )
            }
        }
    }
}

/// What adding up means, over the rows of one bucket.
fn sums(order: &InOrder) -> String {
    format!(
        "arg_min(open, ts) AS open, max(high) AS high, min(low) AS low, arg_max(close, ts) AS close,
         {} AS volume, {} AS weighted, bool_and(has_vwap) AS has_vwap,
         CASE WHEN count(trade_count) = count(*) THEN try_cast(sum(trade_count) AS BIGINT) END
             AS trade_count,
         CAST(sum(minutes) AS INTEGER) AS minutes",
        order.sum("volume"),
        order.sum("weighted"),
    )
}

/// The rows of `source`, each of `place_minutes`, rolled up into the buckets of `minutes`, counted from `origin`, within
/// their segments.
fn rolled(
    (source, place_minutes): (&str, u16),
    origin: &str,
    minutes: u16,
    condition: &str,
) -> String {
    let length_us = i64::from(minutes) * MINUTE_US;
    let sums = sums(&InOrder::Places {
        places: minutes / place_minutes,
        place_us: i64::from(place_minutes) * MINUTE_US,
    });
    // The remainder of a division is negative before the origin, as on weekends: made positive before it is taken off.
    let since = format!("(ts - {origin})");
    let start = format!("ts - (({since} % {length_us}) + {length_us}) % {length_us}");
    format!(
        "SELECT day, segment, bucket AS ts, {sums}
         FROM (SELECT {source}.*, greatest({start}, segment_start) AS bucket
               FROM {source} JOIN border USING (day, segment) WHERE {condition})
         GROUP BY day, segment, bucket"
    )
}

/// The statement that gives the bars of a spec.
fn select(spec: &AggregationSpec) -> String {
    let codes: Vec<String> = spec
        .segments()
        .iter()
        .map(|segment| segment.code().to_string())
        .collect();
    let condition = format!("segment IN ({})", codes.join(", "));
    let bars = match spec.frame().minutes() {
        Some(CELL_MINUTES) => format!("SELECT * FROM cell WHERE {condition}"),
        Some(minutes) => {
            let source = if minutes.is_multiple_of(CELL_MINUTES) {
                ("cell", CELL_MINUTES)
            } else {
                ("part", 1)
            };
            let origin = match spec.anchor() {
                Anchor::Open => "open_origin",
                Anchor::Clock => "clock_origin",
            };
            rolled(source, origin, minutes, &condition)
        }
        None => {
            let regular = Segment::Regular.code();
            let auction = match spec.closing_auction() {
                ClosingAuction::Exclude => String::new(),
                ClosingAuction::Include => format!(
                    " UNION ALL SELECT part.*, session_open FROM part JOIN border USING (day, segment)
                     WHERE segment = {} AND ts = session_close",
                    Segment::Post.code()
                ),
            };
            format!(
                "SELECT day, {regular} AS segment, session_open AS ts, {}
                 FROM (SELECT cell.*, session_open FROM cell JOIN border USING (day, segment)
                       WHERE segment = {regular}{auction})
                 GROUP BY day, session_open",
                sums(&InOrder::Sorted)
            )
        }
    };
    format!(
        "SELECT ts, open, high, low, close, volume, trade_count,
                CASE WHEN has_vwap AND volume > 0 THEN weighted / volume END AS vwap, day, segment, minutes
         FROM ({bars}) ORDER BY ts"
    )
}

/// The bars that a statement gave.
fn derived(rows: &RecordBatch) -> Result<DerivedBatch, AggregateError> {
    let doubles = |name| values::<Float64Type>(rows, name, &DataType::Float64);
    let integers = |name| values::<Int32Type>(rows, name, &DataType::Int32);
    let segments = integers("segment")?.into_iter().map(|code| {
        let segment = u8::try_from(code).ok().and_then(Segment::from_code);
        segment.ok_or_else(|| failure(&format!("{code} is no segment")))
    });
    let columns = BarColumns {
        ts_us: values::<Int64Type>(rows, "ts", &DataType::Int64)?,
        open: doubles("open")?,
        high: doubles("high")?,
        low: doubles("low")?,
        close: doubles("close")?,
        volume: doubles("volume")?,
        trade_count: nullable::<Int64Type>(rows, "trade_count", &DataType::Int64)?,
        vwap: nullable::<Float64Type>(rows, "vwap", &DataType::Float64)?,
    };
    DerivedBatch::from_parts(
        columns,
        integers("day")?,
        segments.collect::<Result<_, _>>()?,
        integers("minutes")?,
    )
    .map_err(|error| failure(&error))
}

fn column<'a>(
    rows: &'a RecordBatch,
    name: &str,
    expected: &DataType,
) -> Result<&'a ArrayRef, AggregateError> {
    let found = rows.column_by_name(name);
    found
        .filter(|array| array.data_type() == expected)
        .ok_or_else(|| {
            let found = found.map(|array| array.data_type().to_string());
            failure(&format!(
                "column {name} came as {}, expected {expected}",
                found.as_deref().unwrap_or("nothing")
            ))
        })
}

fn values<T: ArrowPrimitiveType>(
    rows: &RecordBatch,
    name: &str,
    expected: &DataType,
) -> Result<Vec<T::Native>, AggregateError> {
    let array = column(rows, name, expected)?.as_primitive::<T>();
    if array.null_count() > 0 {
        return Err(failure(&format!("column {name} has nulls")));
    }
    Ok(array.values().to_vec())
}

fn nullable<T: ArrowPrimitiveType>(
    rows: &RecordBatch,
    name: &str,
    expected: &DataType,
) -> Result<NullableColumn<T::Native>, AggregateError>
where
    T::Native: Copy + Default,
{
    let array = column(rows, name, expected)?.as_primitive::<T>();
    let mut values = NullableColumn::with_capacity(array.len());
    for value in array {
        values.push(value);
    }
    Ok(values)
}

fn failure(cause: &dyn std::fmt::Display) -> AggregateError {
    AggregateError {
        engine: "duckdb",
        context: cause.to_string(),
    }
}

#[cfg(test)]
mod tests;
