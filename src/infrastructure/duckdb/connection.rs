//! One locked-down DuckDB connection. Knows nothing of bars.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use duckdb::types::Value;
use duckdb::{Config, Connection, InterruptHandle, appender_params_from_iter};
use thiserror::Error;

/// How much a query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Memory, mebibytes.
    pub memory_mb: u32,
    /// Threads; 0 means one for each core.
    pub threads: u32,
}

/// Why a query gave no rows.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The SQL is wrong, or asks for something that is not allowed.
    #[error("{0}")]
    Refused(String),
    /// The query was cancelled.
    #[error("query was interrupted")]
    Interrupted,
    /// DuckDB could not be set up.
    #[error("cannot set up the query engine: {0}")]
    Setup(String),
    /// Whoever receives the rows gave up.
    #[error(transparent)]
    Sink(#[from] std::io::Error),
}

/// Takes the rows of a query.
pub trait RowSink {
    /// Takes the columns, once, before any row.
    fn begin(&mut self, columns: &SchemaRef) -> std::io::Result<()>;

    /// Takes some rows.
    fn take(&mut self, rows: &RecordBatch) -> std::io::Result<()>;
}

/// A connection that can be prepared and then only read.
pub struct QuerySession {
    connection: Connection,
}

impl QuerySession {
    /// Opens an empty in-memory database; what does not fit in memory goes to `spill_folder`.
    ///
    /// # Errors
    /// [`QueryError::Setup`].
    pub fn open(limits: QueryLimits, spill_folder: &Path) -> Result<Self, QueryError> {
        let config = || -> Result<Config, duckdb::Error> {
            let mut config = Config::default()
                .enable_autoload_extension(false)?
                .with("autoinstall_known_extensions", "false")?
                .max_memory(&format!("{}MB", limits.memory_mb))?
                .with("temp_directory", spill_folder.to_string_lossy())?;
            if limits.threads > 0 {
                config = config.threads(i64::from(limits.threads))?;
            }
            Ok(config)
        };
        let connection = config()
            .and_then(Connection::open_in_memory_with_flags)
            .map_err(setup)?;
        // An engine that knows time zones would show instants in the machine's; one that knows none has no such setting
        // and shows them in UTC anyway.
        _ = connection.execute_batch("SET TimeZone = 'UTC'");
        Ok(Self { connection })
    }

    /// Runs trusted statements: views and tables of our own making.
    ///
    /// # Errors
    /// [`QueryError::Setup`].
    pub fn prepare(&self, sql: &str) -> Result<(), QueryError> {
        self.connection.execute_batch(sql).map_err(setup)
    }

    /// Appends rows to a table of our own making.
    ///
    /// # Errors
    /// [`QueryError::Setup`].
    pub fn fill(&self, table: &str, rows: Vec<Vec<Value>>) -> Result<(), QueryError> {
        let fill = || -> Result<(), duckdb::Error> {
            let mut appender = self.connection.appender(table)?;
            for row in rows {
                appender.append_row(appender_params_from_iter(row))?;
            }
            appender.flush()
        };
        fill().map_err(setup)
    }

    /// Closes every way out: from now on only `files` can be read, nothing can be written, loaded or reconfigured.
    ///
    /// # Errors
    /// [`QueryError::Setup`].
    pub fn lock_down(&self, files: &[PathBuf]) -> Result<(), QueryError> {
        let list: Vec<String> = files
            .iter()
            .map(|path| sql_text(&path.to_string_lossy()))
            .collect();
        self.prepare(&format!(
            "SET allowed_paths = [{}]; SET enable_external_access = false; SET lock_configuration = true;",
            list.join(", ")
        ))
    }

    /// A handle that cancels the running query from another thread.
    pub fn interrupt_handle(&self) -> std::sync::Arc<InterruptHandle> {
        self.connection.interrupt_handle()
    }

    /// Runs one SELECT of the user's and hands its rows to `sink` as they come.
    ///
    /// The text is passed as a value to DuckDB's `query` function, which takes a single reading statement and
    /// nothing else, so that nothing can be written or chained behind it.
    ///
    /// # Errors
    /// [`QueryError::Refused`] with DuckDB's words, [`QueryError::Interrupted`], or the sink's own failure.
    pub fn select(&self, sql: &str, sink: &mut dyn RowSink) -> Result<(), QueryError> {
        let wrapped = format!("FROM query({})", sql_text(sql));
        let mut statement = self.connection.prepare(&wrapped).map_err(refused)?;
        let stream = statement.stream_arrow([]).map_err(refused)?;
        sink.begin(&stream.get_schema())?;
        for batch in stream {
            sink.take(&batch.map_err(refused)?)?;
        }
        Ok(())
    }
}

/// A text as an SQL literal.
pub(super) fn sql_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn setup(error: duckdb::Error) -> QueryError {
    QueryError::Setup(error.to_string())
}

/// DuckDB's words without the lines that quote our wrapping.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn refused(error: duckdb::Error) -> QueryError {
    let text = error.to_string();
    if text.trim_start().starts_with("INTERRUPT Error") {
        return QueryError::Interrupted;
    }
    // The first paragraph says it; what follows quotes our wrapping or lists dozens of candidates.
    let words = text.split("\n\n").next().unwrap_or(&text);
    let words = words.lines().take(4).collect::<Vec<_>>().join("\n");
    let words = words.replace(
        "Expected a single SELECT statement",
        "expected one reading statement (SELECT, FROM, VALUES, DESCRIBE, SUMMARIZE)",
    );
    QueryError::Refused(words)
}
