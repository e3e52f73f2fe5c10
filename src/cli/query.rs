//! `query`: DuckDB SQL over the lake.

use std::io::{self, Read as _};

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::args::QueryArgs;
use super::exit::{CliError, Exit};
use super::output::{OutputError, RowWriter, Value};
use super::session::CliSession;
use crate::infrastructure::duckdb::QueryError;

/// Runs one statement and prints its rows as they come.
pub(super) fn run(session: &CliSession, args: &QueryArgs) -> Result<Exit, CliError> {
    let sql = if args.sql == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(|error| {
            CliError::new(Exit::Usage, format!("cannot read SQL from stdin: {error}"))
        })?;
        text
    } else {
        args.sql.clone()
    };
    let stores = session.existing_stores()?;
    if stores.is_none() {
        session.say(&format!(
            "nothing is kept in {} yet: the views are empty",
            session.app.directory().root().display()
        ));
    }
    let (query_session, _files_stay) = session.app.query_session(stores.as_ref(), &sql)?;
    let interrupt = query_session.interrupt_handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Bug, format!("cannot start the runtime: {error}")))?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            interrupt.interrupt();
        }
    });
    let mut stdout = io::stdout().lock();
    // The writer is made when the columns are known; both closures need it.
    let writer: std::cell::RefCell<Option<RowWriter<'_>>> = std::cell::RefCell::new(None);
    let stdout_cell = std::cell::RefCell::new(Some(&mut stdout));
    let outcome = query_session.select(
        &sql,
        |schema| {
            let names: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            let Some(out) = stdout_cell.borrow_mut().take() else {
                return Ok(());
            };
            *writer.borrow_mut() = Some(
                RowWriter::begin("query", &names, session.format(), out)
                    .map_err(OutputError::into_io)?,
            );
            Ok(())
        },
        |batch| {
            let mut writer = writer.borrow_mut();
            let Some(writer) = writer.as_mut() else {
                return Ok(());
            };
            write_batch(writer, batch)
        },
    );
    let finished = outcome.and_then(|()| match writer.into_inner() {
        Some(writer) => writer
            .finish()
            .map_err(|error| QueryError::Sink(error.into_io())),
        None => Ok(()),
    });
    match finished {
        Ok(()) => Ok(Exit::Done),
        Err(QueryError::Sink(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(QueryError::Interrupted) => Ok(Exit::Interrupted),
        Err(error) => Err(error.into()),
    }
}

fn write_batch(writer: &mut RowWriter<'_>, batch: &RecordBatch) -> io::Result<()> {
    let options = FormatOptions::default()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.fZ"));
    let formatters = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)?;
    let mut values = Vec::with_capacity(batch.num_columns());
    for row in 0..batch.num_rows() {
        values.clear();
        for (column, formatter) in batch.columns().iter().zip(&formatters) {
            values.push(value_of(column.as_ref(), row, formatter));
        }
        writer.row(&values).map_err(OutputError::into_io)?;
    }
    Ok(())
}

/// One cell: numbers and truth values as such, everything else as text.
fn value_of(column: &dyn Array, row: usize, formatter: &ArrayFormatter<'_>) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int8 => Value::Int(column.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Value::Int(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => Value::UInt(column.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => Value::UInt(column.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => Value::UInt(column.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => Value::UInt(column.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => Value::Float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        // Sums of integers are 128-bit integers in DuckDB, which Arrow knows as decimals without a fraction.
        DataType::Decimal128(_, 0) => {
            let value = column
                .as_primitive::<arrow::datatypes::Decimal128Type>()
                .value(row);
            i64::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Int)
        }
        _ => Value::Text(formatter.value(row).to_string()),
    }
}
