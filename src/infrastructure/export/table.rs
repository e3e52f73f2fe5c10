//! Bars as columns for CSV, Parquet and Arrow files of the user's own.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use chrono::{DateTime, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use crate::domain::instant::MINUTE_US;
use crate::domain::services::fill::{LaidOutRow, RowSource};
use crate::domain::{BarBatch, NullableColumn, Symbol};

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeStyle {
    /// Timestamps whose type names the time zone.
    Typed,
    /// RFC 3339 with the zone's offset, `Z` for UTC.
    Text,
}

/// The columns of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableLayout {
    /// The zone of the times.
    pub zone: Tz,
    /// How they are written.
    pub times: TimeStyle,
    /// Whether there is a column of how many minutes a bar was made of.
    pub has_minutes: bool,
    /// Whether there is a column that tells rows that were filled in.
    pub has_filled: bool,
}

/// Rows of one symbol.
#[derive(Debug, Clone, Copy)]
pub struct SymbolRows<'a> {
    /// The symbol.
    pub symbol: &'a Symbol,
    /// The bars that rows refer to.
    pub bars: &'a BarBatch,
    /// Of how many minutes each bar was made; `None` for minutes themselves.
    pub minutes: Option<&'a [i32]>,
    /// The rows in order.
    pub rows: &'a [LaidOutRow],
}

impl TableLayout {
    /// Names and types.
    ///
    /// `symbol`, `ts`, `open`, `high`, `low`, `close`, `volume`, `trade_count`, `vwap`, `session_date`, `segment`, then
    /// `minutes` and `filled` where they are wanted. Values are nullable only where rows can be without them.
    pub fn schema(&self) -> SchemaRef {
        let ts = match self.times {
            TimeStyle::Typed => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(self.zone.name().into()))
            }
            TimeStyle::Text => DataType::Utf8,
        };
        let value = |name: &str| Field::new(name, DataType::Float64, self.has_filled);
        let mut fields = vec![
            Field::new("symbol", DataType::Utf8, false),
            Field::new("ts", ts, false),
            value("open"),
            value("high"),
            value("low"),
            value("close"),
            value("volume"),
            Field::new("trade_count", DataType::Int64, true),
            Field::new("vwap", DataType::Float64, true),
            Field::new("session_date", DataType::Date32, false),
            Field::new("segment", DataType::Utf8, false),
        ];
        if self.has_minutes {
            fields.push(Field::new("minutes", DataType::Int32, self.has_filled));
        }
        if self.has_filled {
            fields.push(Field::new("filled", DataType::Boolean, false));
        }
        Arc::new(Schema::new(fields))
    }

    /// The rows as columns of [`schema`](Self::schema).
    ///
    /// # Errors
    /// Only when the columns do not fit the schema, which is a mistake of the program.
    pub fn columns(&self, given: &SymbolRows<'_>) -> Result<RecordBatch, ArrowError> {
        let columns = given.bars.columns();
        let rows = given.rows;
        let price = |kept: &[f64]| -> ArrayRef {
            let values = rows.iter().map(|row| match row.source {
                RowSource::Kept(at) => Some(kept[at]),
                RowSource::Filled(close) => close,
            });
            Arc::new(values.collect::<Float64Array>())
        };
        // A row that repeats a close stands for a minute without trades.
        let kept_or = |row: &LaidOutRow| match row.source {
            RowSource::Kept(at) => Ok(at),
            RowSource::Filled(close) => Err(close),
        };
        let volume = rows.iter().map(|row| match kept_or(row) {
            Ok(at) => Some(columns.volume[at]),
            Err(close) => close.map(|_| 0.0),
        });
        let trade_count = rows.iter().map(|row| match kept_or(row) {
            Ok(at) => columns.trade_count.get(at),
            Err(close) => close.map(|_| 0),
        });
        let vwap = rows.iter().map(|row| get(&columns.vwap, row));
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|_| given.symbol.as_str()),
            )),
            self.times(rows),
            price(&columns.open),
            price(&columns.high),
            price(&columns.low),
            price(&columns.close),
            Arc::new(volume.collect::<Float64Array>()),
            Arc::new(trade_count.collect::<Int64Array>()),
            Arc::new(vwap.collect::<Float64Array>()),
            Arc::new(Date32Array::from_iter_values(
                rows.iter().map(|row| row.session_day),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| row.segment.as_str()),
            )),
        ];
        if self.has_minutes {
            let minutes = rows.iter().map(|row| match kept_or(row) {
                Ok(at) => given
                    .minutes
                    .map_or(Some(1), |minutes| minutes.get(at).copied()),
                Err(close) => close.map(|_| 0),
            });
            arrays.push(Arc::new(minutes.collect::<Int32Array>()));
        }
        if self.has_filled {
            let filled = rows.iter().map(|row| Some(kept_or(row).is_err()));
            arrays.push(Arc::new(filled.collect::<BooleanArray>()));
        }
        RecordBatch::try_new(self.schema(), arrays)
    }

    fn times(&self, rows: &[LaidOutRow]) -> ArrayRef {
        let instants = rows.iter().map(|row| row.label_us);
        match self.times {
            TimeStyle::Typed => Arc::new(
                TimestampMicrosecondArray::from_iter_values(instants)
                    .with_timezone(self.zone.name()),
            ),
            TimeStyle::Text => {
                let mut clock = ZoneClock::new(self.zone);
                Arc::new(StringArray::from_iter_values(
                    instants.map(|instant_us| clock.show(instant_us)),
                ))
            }
        }
    }
}

fn get(column: &NullableColumn<f64>, row: &LaidOutRow) -> Option<f64> {
    match row.source {
        RowSource::Kept(at) => column.get(at),
        RowSource::Filled(_) => None,
    }
}

/// Shows instants in one zone; remembers the offset of the hour, which no zone changes in between.
#[derive(Debug)]
pub struct ZoneClock {
    zone: Tz,
    hour: Option<(i64, i32)>,
}

/// Zones change their offsets on multiples of a quarter of an hour.
const OFFSET_HOLDS_US: i64 = 15 * MINUTE_US;

impl ZoneClock {
    /// A clock of `zone`.
    pub fn new(zone: Tz) -> Self {
        Self { zone, hour: None }
    }

    /// The local time and how many seconds it is ahead of UTC; `None` beyond the years that chrono knows.
    pub fn local(&mut self, instant_us: i64) -> Option<(NaiveDateTime, i32)> {
        let utc = DateTime::from_timestamp_micros(instant_us)?.naive_utc();
        let hour = instant_us.div_euclid(OFFSET_HOLDS_US);
        let offset_s = match self.hour {
            Some((known, offset_s)) if known == hour => offset_s,
            _ => {
                let offset = self.zone.offset_from_utc_datetime(&utc);
                offset.fix().local_minus_utc()
            }
        };
        self.hour = Some((hour, offset_s));
        let local = utc.checked_add_signed(TimeDelta::seconds(offset_s.into()))?;
        Some((local, offset_s))
    }

    /// The instant in RFC 3339.
    pub fn show(&mut self, instant_us: i64) -> String {
        let Some((local, offset_s)) = self.local(instant_us) else {
            return instant_us.to_string();
        };
        let mut text = local.format("%Y-%m-%dT%H:%M:%S").to_string();
        if self.zone == Tz::UTC {
            text.push('Z');
        } else {
            let minutes = offset_s.unsigned_abs() / 60;
            let sign = if offset_s < 0 { '-' } else { '+' };
            text.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_zone_s_offset_on_both_sides_of_a_change() {
        let mut clock = ZoneClock::new(chrono_tz::America::New_York);
        for (instant, shown) in [
            ("2024-11-01T20:00:00Z", "2024-11-01T16:00:00-04:00"),
            ("2024-11-03T05:59:00Z", "2024-11-03T01:59:00-04:00"),
            ("2024-11-03T06:00:00Z", "2024-11-03T01:00:00-05:00"),
            ("2024-11-04T14:30:00Z", "2024-11-04T09:30:00-05:00"),
        ] {
            let instant_us = DateTime::parse_from_rfc3339(instant)
                .unwrap()
                .timestamp_micros();
            assert_eq!(clock.show(instant_us), shown);
            assert_eq!(ZoneClock::new(Tz::UTC).show(instant_us), instant);
        }
        assert_eq!(
            ZoneClock::new(chrono_tz::Asia::Kolkata).show(0),
            "1970-01-01T05:30:00+05:30"
        );
    }
}
