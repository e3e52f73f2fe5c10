//! Where the provider's credentials come from, and reading them. Never shows one.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::environment::Environment;
use super::file::{ConfigFile, position};
use super::origin::Origin;
use super::{ConfigEntry, ConfigError};

/// The pairs of variables that are tried in this order; the first complete one counts.
pub const CREDENTIAL_PAIRS: [(&str, &str); 3] = [
    ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"),
    ("ALPACA_API_KEY", "ALPACA_SECRET_KEY"),
    ("ALPACA_KEY", "ALPACA_SECRET"),
];

/// What identifies the user to the provider.
#[derive(Clone)]
pub struct Credentials {
    /// The key's public half.
    pub key_id: String,
    /// The key's secret half.
    pub secret: SecretString,
}

impl Credentials {
    fn new(key_id: &str, secret: &str) -> Self {
        Self {
            key_id: key_id.to_owned(),
            secret: SecretString::from(secret),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials { key_id: ***, secret: *** }")
    }
}

/// Where credentials come from. What the configuration file names goes before the well-known variables:
/// whoever writes a name down means that account, whatever else the shell happens to export.
#[derive(Debug, Clone)]
pub struct CredentialsSource(Source);

#[derive(Debug, Clone)]
enum Source {
    /// Two variables that are set.
    Variables {
        names: String,
        credentials: Credentials,
    },
    /// A variable that the file names and that is not set.
    Unset { key: &'static str, name: String },
    /// A file of their own.
    File(PathBuf),
    /// None; the second half of a pair whose first is set, if there is one.
    Missing { other_half: Option<&'static str> },
}

impl CredentialsSource {
    /// Finds the source: what `file` names, else the first complete pair of [`CREDENTIAL_PAIRS`].
    pub(super) fn find(environment: &Environment, file: &ConfigFile) -> Result<Self, ConfigError> {
        let alpaca = &file.values.providers.alpaca;
        let invalid = |key, shown: &str, expected: &str| ConfigError::InvalidValue {
            key,
            shown: shown.into(),
            origin: Origin::File(file.path.clone().unwrap_or_default()),
            expected: expected.into(),
        };
        let names = [
            ("providers.alpaca.key_id_env", &alpaca.key_id_env),
            ("providers.alpaca.secret_key_env", &alpaca.secret_key_env),
        ];
        for (key, name) in names {
            // A key pasted here by mistake is not shown: it is no legal name, as secrets have lower case.
            if name.as_ref().is_some_and(|name| !is_variable_name(name)) {
                let expected = "the name of an environment variable (A-Z, 0-9, _), not its value";
                return Err(invalid(key, "***", expected));
            }
        }
        match (
            &alpaca.key_id_env,
            &alpaca.secret_key_env,
            &alpaca.credentials_file,
        ) {
            (None, None, None) => Self::find_pair(environment),
            (None, None, Some(path)) => Ok(Self(Source::File(file.resolve(path)))),
            (Some(_), Some(_), Some(path)) => Err(invalid(
                "providers.alpaca.credentials_file",
                &path.display().to_string(),
                "either this file or the names of variables, not both",
            )),
            (Some(key_id_env), Some(secret_env), None) => {
                let mut values = Vec::new();
                for (key, name) in [(names[0].0, key_id_env), (names[1].0, secret_env)] {
                    match find_value(environment, name)? {
                        Some(value) => values.push(value),
                        None => {
                            return Ok(Self(Source::Unset {
                                key,
                                name: name.clone(),
                            }));
                        }
                    }
                }
                let names = format!("{key_id_env} + {secret_env}");
                let credentials = Credentials::new(&values[0], &values[1]);
                Ok(Self(Source::Variables { names, credentials }))
            }
            (None, ..) => Err(invalid(names[0].0, "", "a name, as secret_key_env has one")),
            (_, None, _) => Err(invalid(names[1].0, "", "a name, as key_id_env has one")),
        }
    }

    fn find_pair(environment: &Environment) -> Result<Self, ConfigError> {
        let mut other_half = None;
        for (key_id_name, secret_name) in CREDENTIAL_PAIRS {
            let key_id = find_value(environment, key_id_name)?;
            let secret = find_value(environment, secret_name)?;
            match (key_id, secret) {
                (Some(key_id), Some(secret)) => {
                    let names = format!("{key_id_name} + {secret_name}");
                    let credentials = Credentials::new(&key_id, &secret);
                    return Ok(Self(Source::Variables { names, credentials }));
                }
                (Some(_), None) => other_half = other_half.or(Some(secret_name)),
                (None, Some(_)) => other_half = other_half.or(Some(key_id_name)),
                (None, None) => {}
            }
        }
        Ok(Self(Source::Missing { other_half }))
    }

    /// The credentials; `None` when nothing was said about them. Reads their file, if they have one.
    ///
    /// # Errors
    /// [`ConfigError`] when a named variable is not set, or the named file is unreadable, malformed or
    /// readable by others.
    pub fn load(&self) -> Result<Option<Credentials>, ConfigError> {
        match &self.0 {
            Source::Variables { credentials, .. } => Ok(Some(credentials.clone())),
            Source::Unset { key, name } => Err(ConfigError::VariableUnset {
                key,
                name: name.clone(),
            }),
            Source::File(path) => read_file(path).map(Some),
            Source::Missing { .. } => Ok(None),
        }
    }

    /// The line of `config show`: where they come from, never what they are.
    pub(super) fn entry(&self) -> ConfigEntry {
        let (value, origin) = match &self.0 {
            Source::Variables { names, .. } => ("***".into(), Origin::Environment(names.clone())),
            Source::Unset { name, .. } => ("(not set)".into(), Origin::Environment(name.clone())),
            Source::File(path) => ("***".into(), Origin::File(path.clone())),
            Source::Missing {
                other_half: Some(name),
            } => (format!("(not set: {name} is missing)"), Origin::Default),
            Source::Missing { other_half: None } => ("(not set)".into(), Origin::Default),
        };
        ConfigEntry {
            key: "providers.alpaca.credentials",
            value,
            origin,
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// The value of a variable without blanks around it.
fn find_value(environment: &Environment, name: &str) -> Result<Option<String>, ConfigError> {
    let Some(value) = environment.find(name) else {
        return Ok(None);
    };
    let place = || format!("environment variable {name}");
    let value = value
        .to_str()
        .ok_or_else(|| ConfigError::MalformedCredential { place: place() })?;
    checked(value, place).map(Some)
}

/// A credential that can go into a header: printable ASCII without blanks inside.
fn checked(value: &str, place: impl Fn() -> String) -> Result<String, ConfigError> {
    let value = value.trim();
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ConfigError::MalformedCredential { place: place() });
    }
    Ok(value.to_owned())
}

/// What a credentials file holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    key_id: String,
    secret_key: String,
}

fn read_file(path: &Path) -> Result<Credentials, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.into(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    check_permissions(&file, path)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    let values: CredentialsFile = toml::from_str(&text).map_err(|error| {
        // The parser's message may quote the secret.
        let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
        let message = "expected the two texts key_id and secret_key, nothing else".into();
        ConfigError::Malformed {
            path: path.into(),
            line,
            column,
            message,
        }
    })?;
    let key_id = checked(&values.key_id, || format!("key_id in {}", path.display()))?;
    let secret = checked(&values.secret_key, || {
        format!("secret_key in {}", path.display())
    })?;
    Ok(Credentials::new(&key_id, &secret))
}

/// Refuses a file that its group or others may read or change; asks the open file, not the path again.
#[cfg(unix)]
fn check_permissions(file: &File, path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = file.metadata();
    let metadata = metadata.map_err(|source| ConfigError::Unreadable {
        path: path.into(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(ConfigError::LoosePermissions {
            path: path.into(),
            mode,
        })
    }
}

/// Elsewhere than on Unix a file has no such bits.
#[cfg(not(unix))]
fn check_permissions(_: &File, _: &Path) -> Result<(), ConfigError> {
    Ok(())
}

#[cfg(test)]
mod tests;
