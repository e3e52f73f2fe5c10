//! `config show`: every value in force and where it comes from.

use clap::{Args, Subcommand};

use super::exit::{CliError, Exit};
use super::output::Value;
use super::session::CliSession;

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    pub(super) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Every value and where it comes from, secrets masked
    #[command(
        after_help = "Examples:\n  marketpipe config show\n  marketpipe config show --config other.toml"
    )]
    Show,
}

/// Prints the configuration, secrets masked.
pub(super) fn run(session: &CliSession, args: &ConfigArgs) -> Result<Exit, CliError> {
    let ConfigCommand::Show = args.command;
    let entries = session.app.config().entries();
    let rows = entries.iter().map(|entry| {
        vec![
            Value::Text(entry.key.to_string()),
            Value::Text(entry.value.clone()),
            Value::Text(entry.origin.to_string()),
        ]
    });
    session.write_rows("config", &["key", "value", "origin"], rows)
}
