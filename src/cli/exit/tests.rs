//! What scripts and people may rely on when a run fails.

use std::collections::HashSet;
use std::path::PathBuf;

use super::*;
use crate::config::{Config, Environment, Flags};
use crate::domain::Calendar;
use crate::domain::metric::OUTCOMES;

#[test]
fn the_codes_are_the_promised_ones_and_all_different() {
    let codes = Exit::ALL.map(Exit::code);
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 130, 143]);
    let meanings: HashSet<_> = Exit::ALL.map(Exit::meaning).into_iter().collect();
    assert_eq!(meanings.len(), codes.len());
}

#[test]
fn store_failures_are_storage_except_for_a_lock() {
    use StoreErrorKind as Kind;
    let kinds = [
        Kind::NotWritable,
        Kind::NoSpace,
        Kind::Damaged,
        Kind::NewerSchema,
        Kind::Missing,
        Kind::Failed,
    ];
    for kind in kinds {
        assert_eq!(
            CliError::from(StoreError::new(kind, "x")).exit,
            Exit::Storage,
            "{kind:?}"
        );
    }
    assert_eq!(
        CliError::from(StoreError::new(Kind::Locked, "x")).exit,
        Exit::TryLater
    );
}

#[test]
fn provider_failures_are_told_apart_by_what_helps() {
    use ProviderErrorKind as Kind;
    for (kind, exit) in [
        (Kind::CredentialsMissing, Exit::Configuration),
        (Kind::Unauthorized, Exit::Provider),
        (Kind::NotEntitled, Exit::Provider),
        (Kind::InvalidSymbol, Exit::Provider),
        (Kind::BadRequest, Exit::Provider),
        (Kind::RateLimited, Exit::TryLater),
        (Kind::Unreachable, Exit::Provider),
        (Kind::TimedOut, Exit::Provider),
        (Kind::ServerError, Exit::Provider),
        (Kind::Malformed, Exit::Provider),
        (Kind::CircuitOpen, Exit::Provider),
        (Kind::ClockAhead, Exit::Configuration),
    ] {
        let error = CliError::from(ProviderError::new(kind, "x"));
        assert_eq!(error.exit, exit, "{kind:?}");
        assert!(error.hint.is_some(), "{kind:?}");
    }
    let missing = CliError::from_provider_kind(Kind::CredentialsMissing, "no credentials");
    assert!(
        missing
            .render()
            .contains("hint: export APCA_API_KEY_ID=..."),
        "{}",
        missing.render()
    );
}

#[test]
fn an_option_that_a_provider_does_not_know_is_a_usage_error() {
    let refused = ProviderError::new(ProviderErrorKind::BadRequest, "feed `x` is unknown");
    assert_eq!(
        CliError::from(AppError::Provider(refused)).exit,
        Exit::Usage
    );
    assert_eq!(
        CliError::from(AppError::UnknownProvider("x".into())).exit,
        Exit::Usage
    );
}

#[test]
fn configuration_failures_say_what_to_do() {
    let path = PathBuf::from("/srv/keys.toml");
    let loose = CliError::from(ConfigError::LoosePermissions { path, mode: 0o644 });
    assert_eq!(loose.exit, Exit::Configuration);
    assert_eq!(
        loose.render(),
        "error: /srv/keys.toml holds credentials and has mode 0644, expected 0600\n\
         hint: chmod 600 /srv/keys.toml\n"
    );
    let flags = Flags {
        config: Some("no/such.toml".into()),
        ..Flags::default()
    };
    let missing = CliError::from(Config::load(&flags, &Environment::default()).unwrap_err());
    assert!(
        missing.message.starts_with("cannot read no/such.toml: "),
        "{}",
        missing.message
    );
    assert!(missing.hint.is_some());
}

#[test]
fn dates_beyond_the_calendar_are_a_usage_error() {
    let error = Calendar::nyse()
        .session("1980-01-02".parse().unwrap())
        .unwrap_err();
    assert_eq!(CliError::from(error).exit, Exit::Usage);
}

#[test]
fn a_closed_pipe_ends_without_a_word() {
    for error in [
        CliError::from(OutputError::Write(io::ErrorKind::BrokenPipe.into())),
        CliError::from(QueryError::Sink(io::ErrorKind::BrokenPipe.into())),
    ] {
        assert_eq!((error.exit, error.render().as_str()), (Exit::Done, ""));
    }
    let full = CliError::from(OutputError::Write(io::ErrorKind::StorageFull.into()));
    assert_eq!(full.exit, Exit::Storage);
    assert!(
        full.render().starts_with("error: cannot write rows: "),
        "{}",
        full.render()
    );
}

#[test]
fn refused_sql_is_a_usage_error_and_keeps_its_lines() {
    let error = CliError::from(QueryError::Refused(
        "Parser Error: x\nLINE 1: y\n        ^".into(),
    ));
    assert_eq!(error.exit, Exit::Usage);
    assert_eq!(
        error.render(),
        "error: Parser Error: x\n  LINE 1: y\n          ^\n"
    );
    assert_eq!(
        CliError::from(QueryError::Interrupted).exit,
        Exit::Interrupted
    );
}

#[test]
fn causes_are_named_once_each() {
    let cause = io::Error::other("disk on fire");
    let error =
        StoreError::new(StoreErrorKind::Failed, "cannot write bars.parquet").caused_by(cause);
    assert_eq!(
        CliError::from(error).message,
        "cannot write bars.parquet: disk on fire"
    );
    let cause = io::Error::other("disk on fire");
    let error =
        StoreError::new(StoreErrorKind::Failed, "cannot write: disk on fire").caused_by(cause);
    assert_eq!(CliError::from(error).message, "cannot write: disk on fire");
}

#[test]
fn foreign_text_can_neither_move_the_cursor_nor_fake_a_hint() {
    let error = CliError::new(Exit::Provider, "bad\u{1b}[2J\nhint: rm -rf /\r\n");
    assert_eq!(error.render(), "error: bad\\u{1b}[2J\n  hint: rm -rf /\n");
}

#[test]
fn every_end_of_a_run_has_an_outcome_that_is_known() {
    for exit in Exit::ALL {
        assert!(OUTCOMES.contains(&exit.outcome()), "{exit:?}");
    }
}
