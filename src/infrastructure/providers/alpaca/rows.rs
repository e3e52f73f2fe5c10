//! The rows of one symbol, into columns when they were asked for, else counted as evidence.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use crate::domain::instant::format_utc;
use crate::domain::{Bar, BarColumns};

use super::bar_row::{BarRow, UNREADABLE_TS_US};

/// Takes the rows of one symbol.
pub(super) trait TakeRows {
    fn take(&mut self, bar: Bar);
}

impl TakeRows for BarColumns {
    fn take(&mut self, bar: Bar) {
        self.push(bar);
    }
}

/// Counts rows and keeps the first as evidence.
#[derive(Default)]
pub(super) struct Strays {
    pub(super) rows: usize,
    /// In words.
    pub(super) first: Option<String>,
}

impl TakeRows for Strays {
    fn take(&mut self, bar: Bar) {
        self.rows += 1;
        self.first.get_or_insert_with(|| describe_bar(&bar));
    }
}

/// Reads the list of one symbol's bars; null is an empty one.
pub(super) struct RowsSeed<'a, T> {
    pub(super) taker: T,
    /// How many more rows the page may have.
    pub(super) room: &'a Cell<usize>,
}

impl<'de, T: TakeRows> DeserializeSeed<'de> for RowsSeed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: TakeRows> Visitor<'de> for RowsSeed<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of bars, or null")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(self.taker)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<T, A::Error> {
        while let Some(bar) = seq.next_element_seed(BarRow)? {
            let Some(room) = self.room.get().checked_sub(1) else {
                return Err(A::Error::custom(
                    "the page has far more rows than were asked for",
                ));
            };
            self.room.set(room);
            self.taker.take(bar);
        }
        Ok(self.taker)
    }
}

/// The bar in words, as evidence.
fn describe_bar(bar: &Bar) -> String {
    let at = if bar.ts_us == UNREADABLE_TS_US {
        "no readable time".into()
    } else {
        format_utc(bar.ts_us)
    };
    let Bar {
        open,
        high,
        low,
        close,
        volume,
        ..
    } = bar;
    format!("{at}: open {open} high {high} low {low} close {close} volume {volume}")
}
