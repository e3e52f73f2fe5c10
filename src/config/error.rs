//! What can be wrong with a configuration. Never holds a secret.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::origin::Origin;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file that cannot be opened or read; the one that is named must exist.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that is not TOML, or has a value of another type than its key.
    #[error("{} is malformed at line {line}, column {column}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {}, line {line}, column {column}: {advice}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// The key without its sections, escaped.
        key: String,
        /// The nearest known key, or all of them.
        advice: String,
    },
    /// A value out of range or of the wrong form.
    #[error("{key} is `{}` ({origin}), expected {expected}", shown.escape_debug())]
    InvalidValue {
        /// The key with its sections.
        key: &'static str,
        /// The value; masked where it may be a secret.
        shown: String,
        /// Where it came from.
        origin: Origin,
        /// What would be accepted.
        expected: String,
    },
    /// A file with credentials that others may read.
    #[error("{} holds credentials and has mode {mode:04o}, expected 0600", path.display())]
    LoosePermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A variable that the file names for a credential and that is not set.
    #[error("{key} names the environment variable {name}, which is not set")]
    VariableUnset {
        /// The key with its sections.
        key: &'static str,
        /// The variable.
        name: String,
    },
    /// A credential that no key can be: empty, with blanks or other than ASCII.
    #[error("the credential in {place} is malformed: expected printable ASCII without blanks")]
    MalformedCredential {
        /// The variable or file, never the value.
        place: String,
    },
}
