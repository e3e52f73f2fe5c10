//! How a run ends: every exit code, and errors with what to do next. The one place where failures of all
//! layers become a code, a message and a hint; must not know how they came about.

use std::error::Error;
use std::fmt;
use std::io;

use super::output::{OutputError, escape_for_terminal};
use crate::aggregation::FrameBarsError;
use crate::app::AppError;
use crate::config::ConfigError;
use crate::domain::CalendarError;
use crate::domain::causes::with_causes;
use crate::domain::metric::{COMPLETED, FAILED};
use crate::domain::ports::{ProviderError, ProviderErrorKind, StoreError, StoreErrorKind};
use crate::infrastructure::duckdb::QueryError;

/// How a run ended. Scripts rely on the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// A mistake of the program.
    Bug,
    /// The arguments make no sense.
    Usage,
    /// Finished, but some symbols or partitions failed.
    Partial,
    /// Findings at or above `--fail-on`.
    Findings,
    /// Configuration or credentials are missing or wrong.
    Configuration,
    /// The provider refused or could not be reached.
    Provider,
    /// The disk is full, damaged or not writable.
    Storage,
    /// The same command will do later: a lock was held too long, or a rate limit holds.
    TryLater,
    /// Interrupted by the user; what was committed is kept.
    Interrupted,
    /// Ended by a termination signal; what was committed is kept.
    Terminated,
}

impl Exit {
    /// Every way to end, by code.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Bug,
        Self::Usage,
        Self::Partial,
        Self::Findings,
        Self::Configuration,
        Self::Provider,
        Self::Storage,
        Self::TryLater,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// What is done is partial where something that was named is not there; how else it ended goes before that.
    #[must_use]
    pub const fn or_partial(self, is_short: bool) -> Self {
        match self {
            Self::Done if is_short => Self::Partial,
            exit => exit,
        }
    }

    /// The code that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Findings => 4,
            Self::Configuration => 5,
            Self::Provider => 6,
            Self::Storage => 7,
            Self::TryLater => 8,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// How a run that ends so is remembered.
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Done => COMPLETED,
            Self::Partial => "partial",
            Self::Findings => "findings",
            Self::TryLater => "try_later",
            Self::Interrupted | Self::Terminated => "interrupted",
            Self::Bug | Self::Usage | Self::Configuration | Self::Provider | Self::Storage => {
                FAILED
            }
        }
    }

    /// What the code means, for help texts.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Bug => "a bug",
            Self::Usage => "usage",
            Self::Partial => "finished, but some symbols or partitions failed",
            Self::Findings => "findings at or above --fail-on",
            Self::Configuration => "configuration or credentials",
            Self::Provider => "provider refused or unreachable",
            Self::Storage => "storage: disk full, damaged, not writable",
            Self::TryLater => "try later: lock held too long, or rate limited",
            Self::Interrupted => "interrupted; work committed so far is kept",
            Self::Terminated => "terminated; work committed so far is kept",
        }
    }
}

/// Why a command ends early: the code, what happened, what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// How the process ends.
    pub exit: Exit,
    /// What failed, of what, why; empty when there is nothing to say.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl CliError {
    /// An error without advice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// Arguments that make no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The system did not grant what a run needs beside files: threads, descriptors, memory.
    pub fn refused_by_system(action: &str, error: &io::Error) -> Self {
        Self::new(Exit::Storage, format!("cannot {action}: {error}"))
            .with_hint("raise the limits of this process (`ulimit -a`), or end other processes")
    }

    /// The end of a run whose reader has gone: no failure, and nothing to say.
    pub fn closed_pipe() -> Self {
        Self::new(Exit::Done, "")
    }

    /// A provider's failure, where only its kind and words are left.
    pub fn from_provider_kind(kind: ProviderErrorKind, message: impl Into<String>) -> Self {
        use ProviderErrorKind as Kind;
        let exit = match kind {
            Kind::CredentialsMissing | Kind::ClockAhead => Exit::Configuration,
            Kind::RateLimited => Exit::TryLater,
            _ => Exit::Provider,
        };
        let hint = match kind {
            Kind::CredentialsMissing => {
                "export APCA_API_KEY_ID=... APCA_API_SECRET_KEY=... (free keys at alpaca.markets), \
                 or try `--provider synthetic`, which needs none"
            }
            Kind::Unauthorized => {
                "check that key and secret belong together and are not revoked; \
                 `marketpipe config show` says where they come from"
            }
            Kind::NotEntitled => {
                "the plan does not include this; try `--provider iex`, or an earlier --end"
            }
            Kind::InvalidSymbol => "check its spelling (share classes: BRK.B), or leave it out",
            Kind::BadRequest => "run it again with -vv to see what was asked",
            Kind::RateLimited => "run the same command again later; what was committed is kept",
            Kind::Unreachable | Kind::TimedOut | Kind::ServerError | Kind::CircuitOpen => {
                "check the network and the provider's status page, then run the same command again; \
                 what was committed is kept"
            }
            Kind::ClockAhead => {
                "set this machine's clock and time zone (`date -u` shows it), then run the same command again"
            }
            Kind::Malformed => {
                "run the same command again; if it stays so, report it with the output of -vv"
            }
        };
        Self::new(exit, message).with_hint(hint)
    }

    /// The lines for stderr: `error: ..`, then `hint: ..`. Empty when there is nothing to say.
    ///
    /// Foreign text is harmless: control characters are escaped and further lines are indented.
    pub fn render(&self) -> String {
        if self.message.is_empty() {
            return String::new();
        }
        let mut text = format!("error: {}\n", lines_of(&self.message));
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {}\n", lines_of(hint)));
        }
        text
    }
}

fn lines_of(text: &str) -> String {
    let lines = text.trim_end().lines().map(escape_for_terminal);
    lines.collect::<Vec<_>>().join("\n  ")
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CliError {}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        use StoreErrorKind as Kind;
        let exit = match error.kind {
            Kind::Locked => Exit::TryLater,
            _ => Exit::Storage,
        };
        let hint = match error.kind {
            Kind::NotWritable => Some(
                "check its permissions and the room on its disk (`df`, `df -i`), or name another folder with --data-dir",
            ),
            Kind::NoSpace => {
                Some("free some space and run the same command again; what was committed is kept")
            }
            Kind::Damaged => Some(
                "it is left as it is and nothing is written over it; `marketpipe doctor` says what to do",
            ),
            Kind::Locked => Some(
                "another process is at work there; run it again later, or wait longer with --wait SECONDS",
            ),
            Kind::NewerSchema => Some(
                "use the newer marketpipe that wrote it, or name another folder with --data-dir",
            ),
            Kind::Missing => {
                Some("check --data-dir; `marketpipe config show` says which one is in use")
            }
            Kind::Failed => None,
        };
        let message = with_causes(&error);
        Self {
            exit,
            message,
            hint: hint.map(str::to_owned),
        }
    }
}

impl From<ProviderError> for CliError {
    fn from(error: ProviderError) -> Self {
        Self::from_provider_kind(error.kind, with_causes(&error))
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some(
                    "check the path; without --config and MARKETPIPE_CONFIG the defaults hold"
                        .to_owned(),
                )
            }
            ConfigError::LoosePermissions { path, .. } => {
                Some(format!("chmod 600 {}", path.display()))
            }
            ConfigError::VariableUnset { name, .. } => Some(format!(
                "export {name}=..., or take key_id_env and secret_key_env out of the file"
            )),
            ConfigError::Malformed { .. } | ConfigError::UnknownKey { .. } => Some(
                "`marketpipe init` writes a file with every key, its default and what it means"
                    .to_owned(),
            ),
            _ => None,
        };
        Self {
            exit: Exit::Configuration,
            message: with_causes(&error),
            hint,
        }
    }
}

impl From<CalendarError> for CliError {
    fn from(error: CalendarError) -> Self {
        Self::new(Exit::Usage, error.to_string()).with_hint("choose dates that the calendar covers")
    }
}

impl From<OutputError> for CliError {
    fn from(error: OutputError) -> Self {
        match &error {
            _ if error.is_closed_pipe() => Self::closed_pipe(),
            OutputError::Write(_) => Self::new(Exit::Storage, with_causes(&error)),
            OutputError::ColumnCount { .. } => Self::new(Exit::Bug, error.to_string()),
        }
    }
}

impl From<QueryError> for CliError {
    fn from(error: QueryError) -> Self {
        match error {
            // The statement is right: its files cannot be read, or what it spills has no room.
            QueryError::Refused(words) if words.starts_with("IO Error") => {
                Self::new(Exit::Storage, words)
            }
            QueryError::Refused(words) => {
                let hint = hint_for_sql(&words);
                let refusal = Self::new(Exit::Usage, words);
                match hint {
                    Some(hint) => refusal.with_hint(hint),
                    None => refusal,
                }
            }
            QueryError::Interrupted => Self::new(Exit::Interrupted, error.to_string()),
            QueryError::Setup(_) => Self::new(Exit::Storage, error.to_string()).with_hint(
                "`marketpipe doctor` says which file is gone or damaged, and what to do",
            ),
            QueryError::Sink(error) => OutputError::Write(error).into(),
        }
    }
}

/// What to do about a statement that DuckDB refused.
fn hint_for_sql(words: &str) -> Option<&'static str> {
    let lower = words.to_ascii_lowercase();
    if lower.contains("out of memory") {
        return Some(
            "give it more with --memory MB, or raise query.memory_limit_mb in the configuration",
        );
    }
    if ["icu", "time zone", "autoload", "timestamp with time zone"]
        .iter()
        .any(|sign| lower.contains(sign))
    {
        return Some(
            "times are TIMESTAMP in UTC and there are no time zones here; write `now()::timestamp`",
        );
    }
    (lower.contains("table with name") || lower.contains("does not exist"))
        .then_some("there are bars_1m, bars_5m, .. bars_1d, bars('10m'), calendar, gaps, jobs, findings, quarantine and revisions; `describe bars_1m` lists columns")
}

impl From<FrameBarsError> for CliError {
    fn from(error: FrameBarsError) -> Self {
        match error {
            FrameBarsError::Store(error) => error.into(),
            FrameBarsError::Aggregate(error) => Self::new(Exit::Storage, with_causes(&error))
                .with_hint("`marketpipe doctor` says what is damaged, and what to do"),
        }
    }
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Store(error) => error.into(),
            // Nothing was sent yet: an option that the adapter itself refuses is a mistake of the arguments.
            AppError::Provider(error) if error.kind == ProviderErrorKind::BadRequest => {
                Self::new(Exit::Usage, with_causes(&error))
            }
            AppError::Provider(error) => error.into(),
            AppError::Query(error) => error.into(),
            AppError::Config(error) => error.into(),
            AppError::UnknownProvider(_) | AppError::NoSuchOption { .. } => {
                Self::new(Exit::Usage, error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests;
