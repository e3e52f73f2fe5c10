//! `query`: DuckDB SQL over the lake.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;

use super::aggregate::stale_note;
use super::exit::{CliError, Exit};
use super::output::{OutputError, OutputFormat, RowWriter, Value, counted, human_bytes};
use super::query_file::Destination;
use super::session::{CliSession, terminal_width};
use crate::infrastructure::duckdb::{InterruptHandle, QueryError, RowSink};

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe query \"select symbol, session_date, sum(volume) from bars_1m where segment = 'regular' group by all order by all\"
  marketpipe query \"from calendar where half_day and session_date > '2024-01-01'\" --format csv
  marketpipe query \"describe bars_1m\"
  marketpipe query \"from revisions where symbol = 'AAPL' order by seen_at desc limit 20\"
  marketpipe query \"select rule, count(*) from quarantine group by rule\"
  marketpipe query \"from bars_1d where symbol = 'AAPL'\" --output aapl.parquet
  marketpipe query \"from bars('10m', anchor := 'clock') where session_date = '2024-07-02'\"

Views: bars_1m, bars_5m, bars_15m, bars_1h, bars_1d and those of the other frames hold what `ingest` and `aggregate` keep; \
bars('10m') makes bars of any frame from minutes as they are asked for. findings has what `validate` found. \
Times are TIMESTAMP in UTC.
Conditions on symbol, session_date and ts, joined by AND, keep other files unopened. One reading statement; no file, network or write access from SQL.";

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// DuckDB SQL, one reading statement; - for stdin
    #[arg(value_name = "SQL")]
    pub(super) sql: String,
    /// Write the rows to a file instead: .parquet, .csv, .json, .jsonl or .arrow
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Replace the file if there is one
    #[arg(long, requires = "output")]
    pub(super) force: bool,
    /// End the query after this time; 0 for never [default: query.timeout_s]
    #[arg(long, value_name = "SECONDS")]
    pub(super) timeout: Option<u32>,
    /// Memory of the query, MiB [default: query.memory_limit_mb]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(64..))]
    pub(super) memory: Option<u32>,
}

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
    if let Some(stores) = &stores {
        let stale = session
            .app
            .stale_partitions(stores, &sql, session.events())?;
        if stale > 0 {
            session.say(&stale_note(stale));
        }
    }
    let destination = args
        .output
        .as_deref()
        .map(|path| Destination::at(path, args.force, session.app.directory().root()))
        .transpose()?;
    let (query_session, _files_stay) =
        session
            .app
            .query_session(stores.as_ref(), &sql, args.memory)?;
    let timeout_s = args.timeout.unwrap_or(session.app.config().query.timeout_s);
    let has_timed_out = interrupt_when_asked(query_session.interrupt_handle(), timeout_s)?;
    let done = match destination {
        Some(destination) => {
            let path = destination.path().display().to_string();
            destination
                .write(|sink| query_session.select(&sql, sink))
                .map(|(rows, bytes)| {
                    session.say(&format!(
                        "{}, {} in {path}",
                        counted(rows, "row"),
                        human_bytes(bytes)
                    ));
                })
        }
        None => {
            let mut stdout = io::stdout().lock();
            let mut printer = Printer::new(session.format(), &mut stdout, terminal_width());
            query_session
                .select(&sql, &mut printer)
                .and_then(|()| printer.finish().map_err(QueryError::Sink))
        }
    };
    match done {
        Ok(()) => Ok(Exit::Done),
        Err(QueryError::Sink(error))
            if args.output.is_none() && error.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(Exit::Done)
        }
        // The file is named: where rows on stdout go everybody knows.
        Err(QueryError::Sink(error)) if let Some(path) = &args.output => {
            let message = format!("cannot write {}: {error}", path.display());
            Err(CliError::new(Exit::Storage, message))
        }
        Err(QueryError::Interrupted) if has_timed_out.load(Ordering::Relaxed) => {
            let message = format!("the query took longer than {timeout_s} s");
            Err(CliError::new(Exit::TryLater, message)
                .with_hint("give it more with --timeout SECONDS, or raise query.timeout_s in the configuration"))
        }
        Err(QueryError::Interrupted) => Ok(Exit::Interrupted),
        Err(error) => Err(error.into()),
    }
}

/// How often a query that should end is told so.
const INTERRUPT_EVERY: Duration = Duration::from_millis(50);

/// Cancels the query on Ctrl-C and when its time is up; the flag tells which.
fn interrupt_when_asked(
    query: Arc<InterruptHandle>,
    timeout_s: u32,
) -> Result<Arc<AtomicBool>, CliError> {
    let has_timed_out = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&has_timed_out);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::refused_by_system("start the runtime", &error))?;
    let watch = move || {
        runtime.block_on(async {
            let time_is_up = async {
                match timeout_s {
                    0 => std::future::pending().await,
                    seconds => tokio::time::sleep(Duration::from_secs(seconds.into())).await,
                }
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                () = time_is_up => flag.store(true, Ordering::Relaxed),
            }
            // A query that is still being prepared forgets an interruption: it is told until it ends.
            loop {
                query.interrupt();
                tokio::time::sleep(INTERRUPT_EVERY).await;
            }
        });
    };
    std::thread::Builder::new()
        .spawn(watch)
        .map_err(|error| CliError::refused_by_system("start a thread", &error))?;
    Ok(has_timed_out)
}

/// Prints the rows of a query as they come.
pub(super) struct Printer<'a> {
    format: OutputFormat,
    width: Option<u16>,
    /// Goes to the writer when the columns are known.
    out: Option<&'a mut dyn io::Write>,
    writer: Option<RowWriter<'a>>,
}

impl<'a> Printer<'a> {
    /// Rows to `out`; a table fits into `width`.
    pub(super) fn new(
        format: OutputFormat,
        out: &'a mut dyn io::Write,
        width: Option<u16>,
    ) -> Self {
        Self {
            format,
            width,
            out: Some(out),
            writer: None,
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.writer.map_or(Ok(()), |writer| {
            writer.finish().map_err(OutputError::into_io)
        })
    }
}

impl RowSink for Printer<'_> {
    fn begin(&mut self, columns: &SchemaRef) -> io::Result<()> {
        let names: Vec<&str> = columns
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        if let Some(out) = self.out.take() {
            let writer = RowWriter::begin("query", &names, self.format, out)
                .map_err(OutputError::into_io)?;
            self.writer = Some(writer.fit_width(self.width));
        }
        Ok(())
    }

    fn take(&mut self, rows: &RecordBatch) -> io::Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let options = FormatOptions::default()
            .with_display_error(false)
            .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
            .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.fZ"));
        let columns: Vec<ArrayRef> = rows.columns().iter().map(with_numeric_zone).collect();
        let formatters = columns
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()
            .map_err(io::Error::other)?;
        let mut values = Vec::with_capacity(rows.num_columns());
        for row in 0..rows.num_rows() {
            values.clear();
            for (column, formatter) in columns.iter().zip(&formatters) {
                values.push(value_of(column.as_ref(), row, formatter)?);
            }
            writer.row(&values).map_err(OutputError::into_io)?;
        }
        Ok(())
    }
}

/// One cell: numbers and truth values as such, everything else as text.
fn value_of(column: &dyn Array, row: usize, formatter: &ArrayFormatter<'_>) -> io::Result<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
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
        _ => Value::Text(
            formatter
                .value(row)
                .try_to_string()
                .map_err(io::Error::other)?,
        ),
    })
}

/// Timestamps with a time zone as UTC by its offset: its name means nothing to the formatter.
fn with_numeric_zone(column: &ArrayRef) -> ArrayRef {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(instants) if instants.timezone().is_some() => {
            Arc::new(instants.clone().with_timezone("+00:00"))
        }
        _ => Arc::clone(column),
    }
}
