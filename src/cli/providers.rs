//! `providers`: who can be asked for bars.

use super::exit::{CliError, Exit};
use super::output::Value;
use super::session::CliSession;
use crate::app::{PROVIDERS, ProviderChoice};

/// Prints one row for each provider as it is configured.
pub(super) fn run(session: &CliSession) -> Result<Exit, CliError> {
    let events = session.events();
    let mut rows = Vec::new();
    for name in PROVIDERS {
        let choice = ProviderChoice {
            name: name.to_owned(),
            ..ProviderChoice::default()
        };
        let provider = session.app.provider(&choice, events.clone())?;
        let profile = provider.profile();
        let needs_credentials = name != "synthetic";
        let credentials = match (
            needs_credentials,
            session.app.config().alpaca.credentials.load()?.is_some(),
        ) {
            (false, _) => "not needed",
            (true, true) => "set",
            (true, false) => "missing",
        };
        rows.push(vec![
            Value::Text(name.to_owned()),
            Value::Text(profile.dataset.to_string()),
            Value::Bool(profile.is_real),
            Value::Text(credentials.to_owned()),
            profile
                .requests_per_minute
                .map_or(Value::Null, |limit| Value::UInt(limit.into())),
            Value::Int(profile.hold_back_us / crate::domain::instant::MINUTE_US),
        ]);
    }
    session.write_rows(
        "providers",
        &[
            "provider",
            "dataset",
            "real_data",
            "credentials",
            "requests_per_minute",
            "hold_back_minutes",
        ],
        rows,
    )
}
