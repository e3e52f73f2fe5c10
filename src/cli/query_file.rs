//! `query --output` and `export`: rows into a file that is complete or not there. Knows the formats by their extensions.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::exit::{CliError, Exit};
use super::output::OutputFormat;
use super::query::Printer;
use super::whole_file::is_stream;
use crate::infrastructure::disk::beside;
use crate::infrastructure::duckdb::RowSink;
use crate::infrastructure::lake::DataDirectory;

/// Whether the folder of the file at `path`, links followed, is `folder` or below it.
pub(super) fn lies_below(path: &Path, folder: &Path) -> bool {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")));
    matches!((parent, fs::canonicalize(folder)), (Ok(parent), Ok(folder)) if parent.starts_with(&folder))
}

/// Refuses a file in the data folder: what is kept there is replaced by the program itself alone. Reports have a folder of
/// their own there.
pub(super) fn refuse_in_data_folder(
    path: &Path,
    directory: &DataDirectory,
) -> Result<(), CliError> {
    if !lies_below(path, directory.root()) || lies_below(path, &directory.reports()) {
        return Ok(());
    }
    Err(lies_in_data_folder(path))
}

fn lies_in_data_folder(path: &Path) -> CliError {
    CliError::usage(format!("{} lies in the data folder", path.display())).with_hint(
        "what is kept there is replaced by ingests and aggregations alone; name another folder",
    )
}

/// Refuses to replace what nobody said may be replaced.
pub(super) fn exists(path: &Path) -> CliError {
    CliError::new(Exit::Usage, format!("{} exists", path.display()))
        .with_hint("name another file, or replace it with --force")
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileFormat {
    Parquet,
    Arrow,
    Text(OutputFormat),
}

/// A file to be written.
pub(super) struct Destination {
    path: PathBuf,
    format: FileFormat,
    replaces: bool,
}

impl Destination {
    /// The file at `path`, whose ending names its format; it is replaced only when that is wanted and never lies in the
    /// data folder `kept`.
    pub(super) fn at(path: &Path, replaces: bool, kept: &Path) -> Result<Self, CliError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let format = match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("parquet") => FileFormat::Parquet,
            Some("arrow") => FileFormat::Arrow,
            Some("csv") => FileFormat::Text(OutputFormat::Csv),
            Some("json") => FileFormat::Text(OutputFormat::Json),
            Some("jsonl") => FileFormat::Text(OutputFormat::Jsonl),
            _ => {
                let message = format!("--output {}: its ending names no format", path.display());
                return Err(CliError::new(Exit::Usage, message)
                    .with_hint("known are .parquet, .csv, .json, .jsonl and .arrow"));
            }
        };
        Self::in_format(path, format, replaces, kept)
    }

    /// The same, whatever its ending.
    pub(super) fn in_format(
        path: &Path,
        format: FileFormat,
        replaces: bool,
        kept: &Path,
    ) -> Result<Self, CliError> {
        if lies_below(path, kept) {
            return Err(lies_in_data_folder(path));
        }
        if !replaces && path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        if is_stream(path) {
            let message = format!("{} is no file", path.display());
            return Err(CliError::usage(message)
                .with_hint("without --output rows go to stdout, for a pipe"));
        }
        Ok(Self {
            path: path.to_owned(),
            format,
            replaces,
        })
    }

    /// Where the rows go.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets `send` write rows into a file beside and moves it to its place when it is complete; returns rows and bytes.
    pub(super) fn write<E: From<io::Error>>(
        self,
        send: impl FnOnce(&mut dyn RowSink) -> Result<(), E>,
    ) -> Result<(u64, u64), E> {
        let beside = beside(&self.path);
        let written = self.write_to(&beside, send).and_then(|rows| {
            let bytes = fs::metadata(&beside)?.len();
            if self.replaces {
                fs::rename(&beside, &self.path)?;
            } else {
                // Unlike a rename this fails where somebody else was faster.
                fs::hard_link(&beside, &self.path)?;
                fs::remove_file(&beside)?;
            }
            Ok((rows, bytes))
        });
        if written.is_err() {
            _ = fs::remove_file(&beside);
        }
        written
    }

    fn write_to<E: From<io::Error>>(
        &self,
        path: &Path,
        send: impl FnOnce(&mut dyn RowSink) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut out = File::create_new(path).map(BufWriter::new)?;
        let mut rows = 0;
        match self.format {
            FileFormat::Text(format) => {
                let mut printer = Printer::new(format, &mut out, None);
                send(&mut counted(&mut printer, &mut rows))?;
                printer.finish()?;
            }
            FileFormat::Parquet => {
                let mut sink = ParquetSink {
                    out: Some(&mut out),
                    writer: None,
                };
                send(&mut counted(&mut sink, &mut rows))?;
                if let Some(writer) = sink.writer {
                    writer.close().map_err(io::Error::other)?;
                }
            }
            FileFormat::Arrow => {
                let mut sink = ArrowSink {
                    out: Some(&mut out),
                    writer: None,
                };
                send(&mut counted(&mut sink, &mut rows))?;
                if let Some(mut writer) = sink.writer {
                    writer.finish().map_err(io::Error::other)?;
                }
            }
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(rows)
    }
}

/// Counts the rows on their way to `sink`.
pub(super) fn counted<'a>(sink: &'a mut dyn RowSink, rows: &'a mut u64) -> Counted<'a> {
    Counted { sink, rows }
}

pub(super) struct Counted<'a> {
    sink: &'a mut dyn RowSink,
    rows: &'a mut u64,
}

impl RowSink for Counted<'_> {
    fn begin(&mut self, columns: &SchemaRef) -> io::Result<()> {
        self.sink.begin(columns)
    }

    fn take(&mut self, rows: &RecordBatch) -> io::Result<()> {
        *self.rows += u64::try_from(rows.num_rows()).unwrap_or(0);
        self.sink.take(rows)
    }
}

struct ParquetSink<'a> {
    /// Goes to the writer when the columns are known.
    out: Option<&'a mut BufWriter<File>>,
    writer: Option<ArrowWriter<&'a mut BufWriter<File>>>,
}

impl RowSink for ParquetSink<'_> {
    fn begin(&mut self, columns: &SchemaRef) -> io::Result<()> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        if let Some(out) = self.out.take() {
            let writer = ArrowWriter::try_new(out, columns.clone(), Some(properties));
            self.writer = Some(writer.map_err(io::Error::other)?);
        }
        Ok(())
    }

    fn take(&mut self, rows: &RecordBatch) -> io::Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        writer.write(rows).map_err(io::Error::other)
    }
}

struct ArrowSink<'a> {
    /// Goes to the writer when the columns are known.
    out: Option<&'a mut BufWriter<File>>,
    writer: Option<FileWriter<&'a mut BufWriter<File>>>,
}

impl RowSink for ArrowSink<'_> {
    fn begin(&mut self, columns: &SchemaRef) -> io::Result<()> {
        if let Some(out) = self.out.take() {
            let writer = FileWriter::try_new(out, columns).map_err(io::Error::other)?;
            self.writer = Some(writer);
        }
        Ok(())
    }

    fn take(&mut self, rows: &RecordBatch) -> io::Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        writer.write(rows).map_err(io::Error::other)
    }
}
