//! `config show`: every value in force and where it comes from.

use super::args::{ConfigArgs, ConfigCommand};
use super::exit::{CliError, Exit};
use super::output::Value;
use super::session::CliSession;

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
