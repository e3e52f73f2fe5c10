//! Reads the columns of a row from left to right as values of the domain. Knows no table.

use std::error::Error as StdError;
use std::str::FromStr;

use rusqlite::types::{FromSql, Type};
use rusqlite::{Error, Row};
use thiserror::Error;

use crate::domain::bar::Bar;
use crate::domain::session::SessionDate;

/// A stored value that the domain refuses.
#[derive(Debug, Error)]
#[error("stored value is no {0}")]
struct Unreadable(&'static str);

/// The columns of one row, each read once, in the order of the query.
pub(super) struct Columns<'row, 'statement> {
    row: &'row Row<'statement>,
    next: usize,
}

impl<'row, 'statement> Columns<'row, 'statement> {
    pub(super) const fn of(row: &'row Row<'statement>) -> Self {
        Self { row, next: 0 }
    }

    /// The next column as it is stored.
    pub(super) fn take<T: FromSql>(&mut self) -> Result<T, Error> {
        let column = self.next;
        self.next += 1;
        self.row.get(column)
    }

    /// The next column, a text, parsed.
    pub(super) fn parsed<T>(&mut self) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: StdError + Send + Sync + 'static,
    {
        let text: String = self.take()?;
        text.parse().map_err(|error| {
            Error::FromSqlConversionFailure(self.next - 1, Type::Text, Box::new(error))
        })
    }

    /// The next column, converted by `convert`; `None` means that it is no `expected`.
    pub(super) fn converted<S: FromSql, T>(
        &mut self,
        expected: &'static str,
        convert: impl FnOnce(S) -> Option<T>,
    ) -> Result<T, Error> {
        let stored = self.take()?;
        let column = self.next - 1;
        convert(stored).ok_or_else(|| {
            let kind = self
                .row
                .get_ref(column)
                .map_or(Type::Null, |value| value.data_type());
            Error::FromSqlConversionFailure(column, kind, Box::new(Unreadable(expected)))
        })
    }

    /// The next column, a number that is never negative.
    pub(super) fn count(&mut self) -> Result<u64, Error> {
        self.converted("count", |count: i64| u64::try_from(count).ok())
    }

    /// The next column, a session date.
    pub(super) fn session_date(&mut self) -> Result<SessionDate, Error> {
        self.converted("session date", SessionDate::from_days_since_epoch)
    }

    /// The next column, a session date or null.
    pub(super) fn optional_date(&mut self) -> Result<Option<SessionDate>, Error> {
        self.converted("session date", |day: Option<i32>| match day {
            None => Some(None),
            Some(day) => SessionDate::from_days_since_epoch(day).map(Some),
        })
    }

    /// The next seven columns, a bar's values.
    pub(super) fn bar(&mut self, ts_us: i64) -> Result<Bar, Error> {
        Ok(Bar {
            ts_us,
            open: self.take()?,
            high: self.take()?,
            low: self.take()?,
            close: self.take()?,
            volume: self.take()?,
            trade_count: self.take()?,
            vwap: self.take()?,
        })
    }
}

/// A count as SQLite stores it; what lies beyond 2^63 becomes the largest number there is.
pub(super) fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::domain::symbol::Symbol;

    fn read<T>(
        sql: &str,
        read: impl FnOnce(&mut Columns<'_, '_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let conn = Connection::open_in_memory().unwrap();
        conn.query_row(sql, [], |row| read(&mut Columns::of(row)))
    }

    #[test]
    fn columns_are_read_from_left_to_right() {
        let read = read("SELECT 7, 'AAPL', 0", |columns| {
            Ok((
                columns.count()?,
                columns.parsed::<Symbol>()?,
                columns.session_date()?,
            ))
        });
        assert_eq!(
            read,
            Ok((7, "AAPL".parse().unwrap(), "1970-01-01".parse().unwrap()))
        );
    }

    #[test]
    fn values_that_the_domain_refuses_are_reported_with_their_column() {
        let error = read("SELECT 1, -1", |columns| {
            Ok((columns.count()?, columns.count()?))
        })
        .unwrap_err();
        assert!(
            matches!(error, Error::FromSqlConversionFailure(1, Type::Integer, _)),
            "{error}"
        );
        let error = read("SELECT 'aapl'", |columns| columns.parsed::<Symbol>()).unwrap_err();
        assert!(
            matches!(error, Error::FromSqlConversionFailure(0, Type::Text, _)),
            "{error}"
        );
        assert!(read("SELECT 9999999", |columns| columns.session_date()).is_err());
        assert!(
            read("SELECT 1.0, NULL, 1.0, 1.0, 1.0, 1, 1.0", |columns| columns
                .bar(0))
            .is_err()
        );
    }

    #[test]
    fn counts_beyond_sqlite_are_clamped() {
        assert_eq!((stored_count(5), stored_count(u64::MAX)), (5, i64::MAX));
    }
}
