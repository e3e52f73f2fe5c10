//! The command line: arguments in, rows on stdout, everything else on stderr, and the promised exit code.
//! One file for each command; no business rule lives here.

mod aggregate;
mod args;
mod config_show;
mod dates;
mod demo;
pub mod exit;
mod fake_alpaca;
mod gaps;
mod ingest;
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
mod sparkline;
mod status;
mod stopping;
mod summary;
mod symbols;
mod validate;
mod validate_report;
mod whole_file;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};
use exit::{CliError, Exit};
use session::CliSession;

/// Runs the program with `arguments`, the program's name first, and returns its exit code.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => run(arguments),
        Err(error) => {
            // Help and version go to stdout, mistakes to stderr; a closed pipe is no mistake.
            let printed = error.print();
            if let Err(error) = printed
                && !matches!(error.kind(), std::io::ErrorKind::BrokenPipe)
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

fn run(arguments: Arguments) -> Result<Exit, CliError> {
    let Arguments { global, command } = arguments;
    let session = CliSession::open(&global)?;
    match command {
        Command::Demo(args) => demo::run(&session, &args),
        Command::Ingest(args) => ingest::run(&session, &args),
        Command::Aggregate(args) => aggregate::run(&session, &args),
        Command::Validate(args) => validate::run(&session, &args),
        Command::Status(args) => status::run(&session, &args),
        Command::Gaps(args) => gaps::run(&session, &args),
        Command::Repair(args) => repair::run(&session, &args),
        Command::Jobs(args) => jobs::run(&session, args.command),
        Command::Query(args) => query::run(&session, &args),
        Command::Metrics(args) => metrics::run(&session, &args),
        Command::Config(args) => config_show::run(&session, &args),
        Command::Providers => providers::run(&session),
        Command::FakeAlpaca(args) => fake_alpaca::run(&session, &args),
    }
}
