//! Where an export goes: stdout, a file that is complete or not there, or LEAN's folders.

use std::io;
use std::path::{Path, PathBuf};

use super::super::exit::{CliError, Exit};
use super::super::output::OutputFormat;
use super::super::query::Printer;
use super::super::query_file::{Destination, FileFormat, counted, exists, refuse_in_data_folder};
use super::super::session::CliSession;
use super::walk::{Part, Span, Walk};
use super::{ExportArgs, ExportFormat, Fill};
use crate::domain::services::fill::RowSource;
use crate::infrastructure::duckdb::RowSink;
use crate::infrastructure::export::lean::{LeanError, LeanFrame, LeanWriter, Replaces};
use crate::infrastructure::export::table::{SymbolRows, TableLayout, TimeStyle};

/// Where rows go.
pub(super) enum Target {
    Stdout(TableLayout),
    File(Destination, TableLayout),
    Lean {
        root: PathBuf,
        frame: LeanFrame,
        replaces: Replaces,
    },
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) rows: u64,
    pub(super) filled: u64,
    /// How many files, and their bytes; `None` for stdout.
    pub(super) files: Option<(u64, u64)>,
}

/// Why an export ended early.
enum Failure {
    Told(CliError),
    Sink(io::Error),
    /// Somebody wants it to end.
    Stopped,
    /// There is not a single row.
    Empty,
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Self::Told(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Sink(error)
    }
}

/// Whether rows go to stdout.
pub(super) fn is_stdout(output: Option<&Path>) -> bool {
    output.is_none_or(|path| path == Path::new("-"))
}

impl Target {
    /// The target that the arguments name.
    pub(super) fn of(
        session: &CliSession,
        args: &ExportArgs,
        format: ExportFormat,
    ) -> Result<Self, CliError> {
        let table = TableLayout {
            zone: args.tz,
            times: match format {
                ExportFormat::Csv => TimeStyle::Text,
                ExportFormat::Parquet | ExportFormat::Arrow | ExportFormat::Lean => {
                    TimeStyle::Typed
                }
            },
            has_minutes: args.timeframe.is_derived(),
            has_filled: args.fill != Fill::None,
        };
        let Some(path) = args.output.as_deref().filter(|path| !is_stdout(Some(path))) else {
            return Ok(Self::Stdout(table));
        };
        let file_format = match format {
            ExportFormat::Csv => FileFormat::Text(OutputFormat::Csv),
            ExportFormat::Parquet => FileFormat::Parquet,
            ExportFormat::Arrow => FileFormat::Arrow,
            ExportFormat::Lean => {
                let frame = LeanFrame::of(args.timeframe).ok_or_else(|| {
                    let message = format!("LEAN has no folder for {}", args.timeframe);
                    CliError::new(Exit::Usage, message).with_hint("it knows 1m, 1h and 1d")
                })?;
                // Folders that do not exist yet are made: the nearest one that does says where they will lie.
                let nearest = path.ancestors().find(|folder| folder.exists());
                let nearest = nearest.unwrap_or(Path::new("."));
                refuse_in_data_folder(&nearest.join("equity"), &session.app.directory())?;
                return Ok(Self::Lean {
                    root: path.to_owned(),
                    frame,
                    replaces: match args.force {
                        true => Replaces::SameNames,
                        false => Replaces::Nothing,
                    },
                });
            }
        };
        let kept = session.app.directory();
        let file = Destination::in_format(path, file_format, args.force, kept.root())?;
        Ok(Self::File(file, table))
    }

    /// Writes the rows of all spans; `None` when the export was told to end, which leaves nothing behind.
    ///
    /// Without a single row no file is written either.
    pub(super) fn write(
        self,
        spans: &[Span],
        walk: &mut Walk<'_>,
    ) -> Result<Option<Written>, CliError> {
        let mut written = Written::default();
        let (done, place) = match self {
            Self::Stdout(table) => {
                let mut stdout = io::stdout().lock();
                let mut printer = Printer::new(OutputFormat::Csv, &mut stdout, None);
                let mut rows = 0;
                let sent = send(&table, spans, walk, &mut counted(&mut printer, &mut rows));
                written.rows = rows;
                let sent = sent.and_then(|filled| {
                    written.filled = filled;
                    Ok(printer.finish()?)
                });
                (sent, "stdout".to_owned())
            }
            Self::File(file, table) => {
                let place = file.path().display().to_string();
                let mut filled = 0;
                let sent = file.write(|sink| {
                    filled = send(&table, spans, walk, sink)?;
                    Ok(())
                });
                let sent = sent.map(|(rows, bytes)| {
                    written = Written {
                        rows,
                        filled,
                        files: Some((1, bytes)),
                    };
                });
                (sent, place)
            }
            Self::Lean {
                root,
                frame,
                replaces,
            } => {
                let place = root.display().to_string();
                let sent = write_lean(&root, frame, replaces, spans, walk);
                (sent.map(|done| written = done), place)
            }
        };
        match done {
            Ok(()) => Ok(Some(written)),
            Err(Failure::Empty) => Ok(Some(Written::default())),
            Err(Failure::Stopped) => Ok(None),
            Err(Failure::Told(error)) => Err(error),
            Err(Failure::Sink(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(CliError::closed_pipe())
            }
            Err(Failure::Sink(error)) => {
                let message = format!("cannot write {place}: {error}");
                Err(CliError::new(Exit::Storage, message))
            }
        }
    }
}

/// Sends the rows of all spans; returns how many of them were filled in.
fn send(
    table: &TableLayout,
    spans: &[Span],
    walk: &mut Walk<'_>,
    sink: &mut dyn RowSink,
) -> Result<u64, Failure> {
    let mut filled = 0;
    let mut has_begun = false;
    let mut take = |part: &Part<'_>| -> Result<(), Failure> {
        // Only now: what has no row has no header either.
        if !has_begun {
            sink.begin(&table.schema())?;
            has_begun = true;
        }
        let of_part = part.rows.iter();
        let of_part = of_part.filter(|row| matches!(row.source, RowSource::Filled(_)));
        filled += u64::try_from(of_part.count()).unwrap_or(0);
        let rows = SymbolRows {
            symbol: part.symbol,
            bars: part.bars,
            minutes: part.minutes,
            rows: part.rows,
        };
        let columns = table.columns(&rows).map_err(io::Error::other)?;
        sink.take(&columns)?;
        Ok(())
    };
    for span in spans {
        walk.symbol(span, &mut take)?;
    }
    match (walk.stop.is_stopped(), has_begun) {
        (true, _) => Err(Failure::Stopped),
        (false, false) => Err(Failure::Empty),
        (false, true) => Ok(filled),
    }
}

fn write_lean(
    root: &Path,
    frame: LeanFrame,
    replaces: Replaces,
    spans: &[Span],
    walk: &mut Walk<'_>,
) -> Result<Written, Failure> {
    if let Some(pair) = spans.iter().find(|span| span.symbol.is_pair()) {
        let message = format!(
            "{} is no share, and LEAN's equity folders hold shares",
            pair.symbol
        );
        let hint = "name the others with --symbols, or choose another format";
        return Err(CliError::new(Exit::Usage, message).with_hint(hint).into());
    }
    let mut writer = LeanWriter::new(root, frame).map_err(told)?;
    for span in spans {
        walk.symbol(span, &mut |part: &Part<'_>| {
            let appended = writer.append(part.symbol, part.bars, part.rows, part.anchor);
            appended.map_err(told)
        })?;
    }
    if walk.stop.is_stopped() {
        return Err(Failure::Stopped);
    }
    let done = writer.finish(replaces).map_err(told)?;
    Ok(Written {
        rows: done.rows,
        filled: 0,
        files: Some((done.files, done.bytes)),
    })
}

fn told(error: LeanError) -> Failure {
    let message = error.to_string();
    Failure::Told(match error {
        LeanError::NotWhole { .. } => CliError::new(Exit::Usage, message).with_hint(
            "LEAN's files hold prices of four decimals and whole volumes, and nothing is rounded; export to csv, parquet or arrow, or narrow --start, --end and --symbols",
        ),
        LeanError::Exists(path) => exists(&path),
        LeanError::Write { .. } => CliError::new(Exit::Storage, message),
        LeanError::Folder(error) => error.into(),
    })
}
