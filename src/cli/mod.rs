//! The command line: arguments in, rows on stdout, everything else on stderr, and the promised exit code.
//! One file for each command; no business rule lives here.

mod aggregate;
mod args;
mod chart;
mod config_show;
mod dates;
mod demo;
mod doctor;
pub mod exit;
mod export;
mod fake_alpaca;
mod forget;
mod gaps;
mod import;
mod ingest;
mod init;
mod jobs;
mod logging;
mod metrics;
mod metrics_serve;
mod order;
pub mod output;
mod providers;
mod query;
mod query_file;
mod repair;
mod session;
mod shell;
mod snapshot;
mod sparkline;
mod status;
mod stopping;
mod summary;
mod symbols;
mod validate;
mod validate_report;
mod whole_file;

#[cfg(any(test, fuzzing))]
pub(crate) use dates::read_range;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};
use exit::{CliError, Exit};
use output::escape_for_terminal;
use session::CliSession;

use crate::config::Environment;
use crate::infrastructure::host;

/// Runs the program with `arguments`, the program's name first, and returns its exit code.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    host::forbid_core_dumps();
    let outcome = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => run(arguments),
        Err(error) => {
            // Help and version go to stdout, mistakes to stderr; a closed pipe is no mistake.
            if error.use_stderr() {
                _ = std::io::stderr().write_all(usage_error(&error).as_bytes());
            } else if let Err(error) = error.print()
                && error.kind() != std::io::ErrorKind::BrokenPipe
            {
                return ExitCode::from(Exit::Storage.code());
            }
            return ExitCode::from(if error.use_stderr() {
                Exit::Usage.code()
            } else {
                Exit::Done.code()
            });
        }
    };
    match outcome {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            let text = error.render();
            if !text.is_empty() {
                _ = std::io::stderr().write_all(text.as_bytes());
            }
            ExitCode::from(error.exit.code())
        }
    }
}

/// The text of a usage error. It repeats arguments, which a script may have from elsewhere: with a control character in
/// them it is shown without colours and escaped.
fn usage_error(error: &clap::Error) -> String {
    let plain = error.render().to_string();
    let lines: String = plain
        .lines()
        .map(|line| format!("{}\n", escape_for_terminal(line)))
        .collect();
    let is_harmless = lines.trim_end() == plain.trim_end();
    let environment = Environment::of_process();
    match is_harmless && std::io::stderr().is_terminal() && environment.refusal_of_color().is_none()
    {
        true => error.render().ansi().to_string(),
        false => lines,
    }
}

fn run(arguments: Arguments) -> Result<Exit, CliError> {
    let Arguments { global, command } = arguments;
    // Opened by those that need it: `init`, `completions` and `man` must work where the configuration is wrong.
    let session = || CliSession::open(&global);
    match command {
        Command::Demo(args) => demo::run(&session()?, &args),
        Command::Ingest(args) => ingest::run(&session()?, &args),
        Command::Aggregate(args) => aggregate::run(&session()?, &args),
        Command::Validate(args) => validate::run(&session()?, &args),
        Command::Status(args) => status::run(&session()?, &args),
        Command::Gaps(args) => gaps::run(&session()?, &args),
        Command::Repair(args) => repair::run(&session()?, &args),
        Command::Forget(args) => forget::run(&session()?, &args),
        Command::Jobs(args) => jobs::run(&session()?, args.command),
        Command::Query(args) => query::run(&session()?, &args),
        Command::Metrics(args) => metrics::run(&session()?, &args),
        Command::Doctor(args) => doctor::run(&session()?, &args),
        Command::Snapshot(args) => snapshot::run(&session()?, args),
        Command::Config(args) => config_show::run(&session()?, &args),
        Command::Providers => providers::run(&session()?),
        Command::FakeAlpaca(args) => fake_alpaca::run(&session()?, &args),
        Command::Init(args) => init::run(&global, &args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
        Command::Chart(args) => chart::run(&session()?, &args),
        Command::Import(args) => import::run(&session()?, &args),
        Command::Export(args) => export::run(&session()?, &args),
    }
}
