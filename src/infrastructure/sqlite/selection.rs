//! Turns selections into conditions. Every value is bound; the texts of conditions are constants.

use std::fmt::Display;

use rusqlite::types::Value;
use rusqlite::{Params, params_from_iter};

use crate::domain::ports::BarSelection;
use crate::domain::session::SessionDate;
use crate::domain::symbol::Symbol;

/// The conditions of a query and the values that they bind, in order.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// The dataset, the symbols and the frame of a selection, over the columns of `series` and of a table of partitions.
    pub(super) fn of_partitions(selection: &BarSelection) -> Self {
        let mut conditions = Self::default();
        if let Some(dataset) = &selection.dataset {
            conditions.and("dataset = ?", [dataset.to_string().into()]);
        }
        conditions.and_symbols(
            "symbol IN (SELECT value FROM json_each(?))",
            &selection.symbols,
        );
        if let Some(frame) = selection.timeframe {
            conditions.and("timeframe = ?", [frame.as_str().to_owned().into()]);
        }
        conditions
    }

    /// Adds a condition with one `?` for each of `values`.
    pub(super) fn and(&mut self, condition: &'static str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() {
            " WHERE "
        } else {
            " AND "
        });
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    /// Adds a condition of the form `column IN (SELECT value FROM json_each(?))`, unless no symbols means all.
    pub(super) fn and_symbols(&mut self, condition: &'static str, symbols: &[Symbol]) {
        if !symbols.is_empty() {
            let quoted = symbols.iter().map(|symbol| format!("\"{symbol}\""));
            self.and(condition, [Value::Text(json_array(quoted))]);
        }
    }

    /// Adds a condition on two days, in the order `first`, `last`.
    pub(super) fn and_days(
        &mut self,
        condition: &'static str,
        first: SessionDate,
        last: SessionDate,
    ) {
        let days = [first, last].map(|date| Value::Integer(date.days_since_epoch().into()));
        self.and(condition, days);
    }

    /// The conditions as text: empty, or beginning with ` WHERE`.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// The values to bind.
    pub(super) fn values(&self) -> impl Params {
        params_from_iter(&self.values)
    }
}

/// A JSON array: the way to bind any number of values to one parameter.
///
/// The items are numbers, or quoted texts without anything to escape, as symbols are.
pub(super) fn json_array(items: impl IntoIterator<Item = impl Display>) -> String {
    let mut array = String::from("[");
    for item in items {
        if array.len() > 1 {
            array.push(',');
        }
        array.push_str(&item.to_string());
    }
    array.push(']');
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_bind_their_values_in_order() {
        let mut conditions = Conditions::default();
        assert_eq!(conditions.sql(), "");
        conditions.and_symbols("symbol IN (SELECT value FROM json_each(?))", &[]);
        assert_eq!(conditions.sql(), "", "no symbols means all");
        conditions.and("dataset = ?", [Value::Text("a/b/c".into())]);
        conditions.and_symbols(
            "symbol IN (SELECT value FROM json_each(?))",
            &["BTC/USD".parse().unwrap()],
        );
        let day: SessionDate = "1970-01-02".parse().unwrap();
        conditions.and_days("day BETWEEN ? AND ?", day, day);
        assert_eq!(
            conditions.sql(),
            " WHERE dataset = ? AND symbol IN (SELECT value FROM json_each(?)) AND day BETWEEN ? AND ?"
        );
        let bound = ["a/b/c", "[\"BTC/USD\"]"].map(|text| Value::Text(text.into()));
        assert_eq!(
            conditions.values,
            [&bound[..], &[Value::Integer(1), Value::Integer(1)]].concat()
        );
    }

    #[test]
    fn arrays_of_any_length_are_json() {
        assert_eq!(json_array([0_i64; 0]), "[]");
        assert_eq!(json_array([1, -2]), "[1,-2]");
    }
}
