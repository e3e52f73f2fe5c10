//! One bar of a page, from JSON to values. What is missing or no number becomes NaN, so that the row is judged later
//! and its neighbours stay; only what is no bar at all is an error.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::domain::{Bar, whole_count};

use super::timestamp::parse_timestamp;

/// Stands for a timestamp that cannot be read. It lies on no full minute, so the row goes into quarantine.
pub(super) const UNREADABLE_TS_US: i64 = i64::MIN;

/// A bar of which nothing was read yet; what stays so is judged later.
pub(super) const BLANK_BAR: Bar = Bar {
    ts_us: UNREADABLE_TS_US,
    open: f64::NAN,
    high: f64::NAN,
    low: f64::NAN,
    close: f64::NAN,
    volume: f64::NAN,
    trade_count: None,
    vwap: None,
};

/// The keys of a bar; their order is not stable (seen 2021 and 2026, `/v2/stocks/bars`).
#[derive(Deserialize, Clone, Copy)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    T,
    O,
    H,
    L,
    C,
    V,
    N,
    Vw,
    #[serde(other)]
    Other,
}

/// Reads one bar.
pub(super) struct BarRow;

impl<'de> DeserializeSeed<'de> for BarRow {
    type Value = Bar;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Bar, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BarRow {
    type Value = Bar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bar")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bar, A::Error> {
        let mut bar = BLANK_BAR;
        let mut count = Value::Absent;
        let mut seen = 0_u16;
        while let Some(key) = map.next_key::<Key>()? {
            let bit = match key {
                Key::T => {
                    bar.ts_us = map.next_value::<Timestamp>()?.0;
                    1
                }
                Key::O => {
                    bar.open = map.next_value::<Value>()?.into_f64();
                    1 << 1
                }
                Key::H => {
                    bar.high = map.next_value::<Value>()?.into_f64();
                    1 << 2
                }
                Key::L => {
                    bar.low = map.next_value::<Value>()?.into_f64();
                    1 << 3
                }
                Key::C => {
                    bar.close = map.next_value::<Value>()?.into_f64();
                    1 << 4
                }
                Key::V => {
                    // The sum makes a negative zero positive.
                    bar.volume = map.next_value::<Value>()?.into_f64() + 0.0;
                    1 << 5
                }
                Key::N => {
                    count = map.next_value()?;
                    1 << 6
                }
                Key::Vw => {
                    bar.vwap = match map.next_value()? {
                        Value::Absent => None,
                        value => Some(value.into_f64()),
                    };
                    1 << 7
                }
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    0
                }
            };
            if seen & bit != 0 {
                return Err(A::Error::custom("a bar has a value twice"));
            }
            seen |= bit;
        }
        match count.into_count() {
            Ok(count) => bar.trade_count = count,
            // There is no NaN among integers; the row must not pass for one without a count.
            Err(NotACount) => bar.volume = f64::NAN,
        }
        Ok(bar)
    }
}

/// A value of a bar: a number as it was written, or why there is none.
#[derive(Debug, Clone, Copy)]
enum Value {
    Absent,
    Integer(i64),
    Float(f64),
    NoNumber,
}

/// A trade count that is fractional, out of range or no number.
struct NotACount;

impl Value {
    /// The number, rounded once as the decimal would be; NaN for none.
    fn into_f64(self) -> f64 {
        match self {
            Self::Integer(number) if number < 0 => -float_of(number.unsigned_abs()),
            Self::Integer(number) => float_of(number.unsigned_abs()),
            Self::Float(number) => number,
            Self::Absent | Self::NoNumber => f64::NAN,
        }
    }

    /// The count; `1e3` and `5.0` are counts, too.
    fn into_count(self) -> Result<Option<i64>, NotACount> {
        match self {
            Self::Absent => Ok(None),
            Self::Integer(number) => Ok(Some(number)),
            Self::Float(number) => whole_count(number).map(Some).ok_or(NotACount),
            Self::NoNumber => Err(NotACount),
        }
    }
}

/// The nearest float. Both halves are exact, so that the sum rounds once.
pub(super) fn float_of(number: u64) -> f64 {
    let low = u32::try_from(number & 0xffff_ffff).unwrap_or_default();
    let high = u32::try_from(number >> 32).unwrap_or_default();
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or_else(|_| Value::Float(float_of(number)), Value::Integer))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::NoNumber)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::NoNumber)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::NoNumber)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::NoNumber)
    }
}

/// A timestamp, or [`UNREADABLE_TS_US`].
struct Timestamp(i64);

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimestampVisitor)
    }
}

struct TimestampVisitor;

impl<'de> Visitor<'de> for TimestampVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a timestamp")
    }

    fn visit_str<E>(self, text: &str) -> Result<Timestamp, E> {
        Ok(Timestamp(parse_timestamp(text).unwrap_or(UNREADABLE_TS_US)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Timestamp, E> {
        Ok(Timestamp(UNREADABLE_TS_US))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Timestamp, E> {
        Ok(Timestamp(UNREADABLE_TS_US))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Timestamp, E> {
        Ok(Timestamp(UNREADABLE_TS_US))
    }

    fn visit_unit<E>(self) -> Result<Timestamp, E> {
        Ok(Timestamp(UNREADABLE_TS_US))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Timestamp, E> {
        Ok(Timestamp(UNREADABLE_TS_US))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Timestamp, A::Error> {
        ValueVisitor
            .visit_seq(seq)
            .map(|_| Timestamp(UNREADABLE_TS_US))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Timestamp, A::Error> {
        ValueVisitor
            .visit_map(map)
            .map(|_| Timestamp(UNREADABLE_TS_US))
    }
}
