//! Rows to stdout as table, CSV, JSON or JSON lines. Knows no command and no column in particular.

mod human;
mod json;
mod table;
mod terminal;
mod wrap;

use std::io::{self, Write};

use clap::ValueEnum;
use thiserror::Error;

pub use crate::domain::{counted, with_thousands};
pub use human::{human_bytes, human_duration};
pub use table::table_width;
pub use terminal::escape_for_terminal;
pub use wrap::{LongWords, wrapped, wrapped_lines};

use json::JsonRows;
use table::TableRows;

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns, for people
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One document: {"schema": .., "rows": [..]}
    Json,
    /// One object a line
    Jsonl,
}

/// Writes words to stdout.
///
/// # Errors
/// [`OutputError::Write`], which also says whether nobody reads any more.
pub fn write_stdout(words: &[u8]) -> Result<(), OutputError> {
    let mut stdout = io::stdout();
    let written = stdout.write_all(words).and_then(|()| stdout.flush());
    written.map_err(OutputError::Write)
}

/// Says something on stderr.
///
/// A server's words, a database's or a path may be in it: on a terminal they are shown and never obeyed.
pub fn write_stderr(text: &str) {
    let lines: String = text
        .split('\n')
        .map(|line| format!("{}\n", escape_for_terminal(line)))
        .collect();
    _ = io::stderr().write_all(lines.as_bytes());
}

/// The format when none is asked for: a table on a terminal, CSV otherwise.
pub const fn default_format(is_terminal: bool) -> OutputFormat {
    if is_terminal {
        OutputFormat::Table
    } else {
        OutputFormat::Csv
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value: `null` in JSON, nothing in CSV, `-` in a table.
    Null,
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A whole number.
    UInt(u64),
    /// Any number; written so that it reads back to the last bit. In JSON, NaN and infinities are `null`.
    Float(f64),
    /// A truth value.
    Bool(bool),
}

impl Value {
    /// The value as CSV and tables write it; `None` for [`Value::Null`].
    fn to_text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            Self::Int(number) => Some(number.to_string()),
            Self::UInt(number) => Some(number.to_string()),
            // The shortest digits that read back, always recognisable as a float, exponents only where
            // zeros would fill the line.
            Self::Float(number) => Some(format!("{number:?}")),
            Self::Bool(truth) => Some(truth.to_string()),
        }
    }

    const fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::UInt(_) | Self::Float(_))
    }
}

/// Why rows could not be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The receiver failed.
    #[error("cannot write rows")]
    Write(#[from] io::Error),
    /// A row does not fit the header: a mistake of the program.
    #[error("a row has {found} values for {expected} columns")]
    ColumnCount {
        /// Columns of the header.
        expected: usize,
        /// Values of the row.
        found: usize,
    },
}

impl OutputError {
    /// Whether the receiver has simply stopped reading, as `head` does: no failure at all.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The failure as an I/O error of the same kind.
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Write(error) => error,
            other => io::Error::other(other),
        }
    }
}

impl From<csv::Error> for OutputError {
    fn from(error: csv::Error) -> Self {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => Self::Write(error),
            other => Self::Write(io::Error::other(format!("{other:?}"))),
        }
    }
}

/// Writes rows under one header.
///
/// CSV and both JSON formats stream. CSV holds the exact values: a text that begins with `=`, `+`, `-` or
/// `@` is not changed for the sake of spreadsheets, and an empty text looks like [`Value::Null`]. A table
/// waits for [`finish`](Self::finish), shows at most 10,000 rows and says how many it left out. In JSON a
/// second column of the same name is called `name_2`.
pub struct RowWriter<'a> {
    columns: usize,
    rows: Rows<'a>,
}

enum Rows<'a> {
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
    Json(JsonRows<'a>),
    Table(TableRows, &'a mut dyn Write),
}

impl<'a> RowWriter<'a> {
    /// Begins with the header; `schema_name` names the rows in a JSON document.
    ///
    /// # Errors
    /// [`OutputError::Write`].
    pub fn begin(
        schema_name: &str,
        columns: &[&str],
        format: OutputFormat,
        out: &'a mut dyn Write,
    ) -> Result<Self, OutputError> {
        let rows = match format {
            OutputFormat::Csv => {
                let mut builder = csv::WriterBuilder::new();
                let mut writer = builder.buffer_capacity(BUFFER_BYTES).from_writer(out);
                writer.write_record(columns)?;
                Rows::Csv(Box::new(writer))
            }
            OutputFormat::Json => Rows::Json(JsonRows::document(schema_name, columns, out)?),
            OutputFormat::Jsonl => Rows::Json(JsonRows::lines(columns, out)),
            OutputFormat::Table => Rows::Table(TableRows::new(columns), out),
        };
        Ok(Self {
            columns: columns.len(),
            rows,
        })
    }

    /// Makes a table fit into `width` columns of the terminal by breaking cells; no effect on other formats.
    #[must_use]
    pub fn fit_width(mut self, width: Option<u16>) -> Self {
        if let Rows::Table(table, _) = &mut self.rows {
            table.fit_width(width);
        }
        self
    }

    /// Writes one row.
    ///
    /// # Errors
    /// [`OutputError::ColumnCount`] when it does not fit the header, [`OutputError::Write`].
    pub fn row(&mut self, values: &[Value]) -> Result<(), OutputError> {
        if values.len() != self.columns {
            return Err(OutputError::ColumnCount {
                expected: self.columns,
                found: values.len(),
            });
        }
        match &mut self.rows {
            Rows::Csv(writer) => {
                for value in values {
                    match value {
                        Value::Text(text) => writer.write_field(text)?,
                        other => writer.write_field(other.to_text().unwrap_or_default())?,
                    }
                }
                writer.write_record(None::<&[u8]>)?;
            }
            Rows::Json(rows) => rows.row(values)?,
            Rows::Table(table, _) => table.row(values),
        }
        Ok(())
    }

    /// Writes what is still to be written. Without it a JSON document stays incomplete, on purpose.
    ///
    /// # Errors
    /// [`OutputError::Write`].
    pub fn finish(self) -> Result<(), OutputError> {
        match self.rows {
            Rows::Csv(mut writer) => writer.flush()?,
            Rows::Json(rows) => rows.finish()?,
            Rows::Table(table, out) => {
                out.write_all(table.render().as_bytes())?;
                out.flush()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
