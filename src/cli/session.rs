//! What every command starts from: configuration, output format, the program's parts.

use std::io::IsTerminal as _;
use std::sync::{Arc, OnceLock};

use super::args::GlobalArgs;
use super::exit::{CliError, Exit};
use super::logging;
use super::output::{self, OutputError, OutputFormat, RowWriter, Value};
use crate::app::{App, Stores};
use crate::config::{Config, Environment, Flags, Verbosity};
use crate::domain::metric::RunCommand;
use crate::infrastructure::events::{
    EventBus, LogSubscriber, ProgressSubscriber, end_progress_line,
};
use crate::metrics::{MetricsRecorder, Recording, RunGuard};

/// One run of the program.
pub(super) struct CliSession {
    pub(super) app: App,
    pub(super) global: GlobalArgs,
    bus: Arc<EventBus>,
    recorder: Option<Arc<MetricsRecorder>>,
    /// Begins with the first run that is measured and ends with the session, when the last is written.
    recording: OnceLock<Recording>,
}

/// A run whose measurements are kept, if any are; it has failed unless it is told how it ended.
pub(super) struct MeasuredRun<'a>(Option<RunGuard<'a>>);

impl MeasuredRun<'_> {
    /// Ends the run.
    pub(super) fn end(self, exit: Exit) {
        if let Some(run) = self.0 {
            run.finish(exit.outcome());
        }
    }
}

impl CliSession {
    /// Reads the configuration and sets up logging.
    pub(super) fn open(global: &GlobalArgs) -> Result<Self, CliError> {
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Some(Verbosity::Quiet),
            (false, 0) => None,
            (false, 1) => Some(Verbosity::Verbose),
            (false, _) => Some(Verbosity::Debug),
        };
        let flags = Flags {
            data_dir: global.data_dir.clone(),
            config: global.config.clone(),
            verbosity,
            color: global.color,
            ..Flags::default()
        };
        let config = Config::load(&flags, &Environment::of_process())?;
        let use_color = config.color.is_for(|| std::io::stderr().is_terminal());
        logging::start(&config.log, use_color);
        App::prepare_process()?;
        Ok(Self::of(App::new(config), global))
    }

    fn of(app: App, global: &GlobalArgs) -> Self {
        let recorder = app.metrics_recorder();
        let mut bus = EventBus::builder().subscribe(Arc::new(LogSubscriber::default()));
        if !global.no_progress && !global.quiet && std::io::stderr().is_terminal() {
            bus = bus.subscribe(Arc::new(ProgressSubscriber::new()));
        }
        if let Some(recorder) = &recorder {
            bus = bus.subscribe(Arc::clone(recorder) as _);
        }
        Self {
            app,
            global: global.clone(),
            bus: Arc::new(bus.build()),
            recorder,
            recording: OnceLock::new(),
        }
    }

    /// A session with another configuration, for the demo.
    pub(super) fn with_config(&self, config: Config) -> Self {
        Self::of(App::new(config), &self.global)
    }

    /// The format of rows on stdout.
    pub(super) fn format(&self) -> OutputFormat {
        self.global
            .format
            .unwrap_or_else(|| output::default_format(std::io::stdout().is_terminal()))
    }

    /// Events to the log, to what is measured and, where wanted, to a progress line.
    pub(super) fn events(&self) -> Arc<EventBus> {
        Arc::clone(&self.bus)
    }

    /// Begins a run of `command`: what it measures is kept in `stores`.
    pub(super) fn begin_run(&self, stores: &Stores, command: RunCommand) -> MeasuredRun<'_> {
        MeasuredRun(self.recorder.as_ref().map(|recorder| {
            let recording = self.recording.get_or_init(|| {
                let recorder = Arc::clone(recorder);
                self.app.begin_recording(stores, recorder, &self.bus)
            });
            recording.begin_run(command)
        }))
    }

    /// The stores of the data directory, if anything was ever kept there.
    pub(super) fn existing_stores(&self) -> Result<Option<Stores>, CliError> {
        Ok(self.app.open_existing_stores(self.events())?)
    }

    /// The stores of the data directory, or the message that there is nothing yet.
    pub(super) fn stores(&self) -> Result<Stores, CliError> {
        self.existing_stores()?.ok_or_else(|| self.nothing_kept())
    }

    /// The stores for work on jobs: those of dead processes are closed on the way.
    pub(super) fn job_stores(&self) -> Result<Stores, CliError> {
        let stores = self.app.open_job_stores(self.events())?;
        stores.ok_or_else(|| self.nothing_kept())
    }

    /// The stores for commands that change jobs.
    pub(super) fn stores_to_change_jobs(&self) -> Result<Stores, CliError> {
        let stores = self.app.open_stores_to_change_jobs(self.events())?;
        stores.ok_or_else(|| self.nothing_kept())
    }

    /// The message that there is nothing yet.
    pub(super) fn nothing_kept(&self) -> CliError {
        let directory = self.app.directory();
        CliError::new(Exit::Storage, format!("nothing is kept in {} yet", directory.root().display()))
            .with_hint("run `marketpipe ingest --symbols AAPL --provider synthetic` or `marketpipe demo`, or name another --data-dir")
    }

    /// Writes rows to stdout.
    pub(super) fn write_rows(
        &self,
        name: &str,
        columns: &[&str],
        rows: impl IntoIterator<Item = Vec<Value>>,
    ) -> Result<Exit, CliError> {
        let mut stdout = std::io::stdout().lock();
        let written = || -> Result<(), OutputError> {
            let mut writer = RowWriter::begin(name, columns, self.format(), &mut stdout)?
                .fit_width(terminal_width());
            for row in rows {
                writer.row(&row)?;
            }
            writer.finish()
        };
        match written() {
            Ok(()) => Ok(Exit::Done),
            Err(error) if error.is_closed_pipe() => Ok(Exit::Done),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes rows, as a table without as many of the columns in `to_drop` as the terminal is too narrow for.
    pub(super) fn write_fitting(
        &self,
        name: &str,
        columns: &[&str],
        mut rows: Vec<Vec<Value>>,
        to_drop: &[&str],
    ) -> Result<Exit, CliError> {
        let mut columns = columns.to_vec();
        let width = match self.format() {
            OutputFormat::Table => terminal_width().map_or(usize::MAX, usize::from),
            _ => usize::MAX,
        };
        for dropped in to_drop {
            if output::table_width(&columns, &rows) <= width {
                break;
            }
            if let Some(place) = columns.iter().position(|column| column == dropped) {
                columns.remove(place);
                rows.iter_mut().for_each(|row| _ = row.remove(place));
            }
        }
        self.write_rows(name, &columns, rows)
    }

    /// Writes words to stdout, between rows that are meant for people.
    pub(super) fn write_text(&self, text: &str) -> Result<(), CliError> {
        Ok(output::write_stdout(text.as_bytes())?)
    }

    /// Says something to the user on stderr, even when asked to be quiet: what failed.
    pub(super) fn insist(&self, text: &str) {
        end_progress_line();
        output::write_stderr(text);
    }

    /// Says something to the user on stderr, unless asked to be quiet.
    pub(super) fn say(&self, text: &str) {
        if !self.global.quiet {
            self.insist(text);
        }
    }
}

/// Columns of the terminal on stdout; `None` when it is none.
pub(super) fn terminal_width() -> Option<u16> {
    terminal_extent().map(|(width, _)| width)
}

/// Columns and lines of the terminal on stdout; `None` when it is none.
pub(super) fn terminal_extent() -> Option<(u16, u16)> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, height)| (width.0, height.0))
}
