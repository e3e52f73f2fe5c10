//! The configuration file: its place, its keys, and errors that say where in it they are. Knows no default.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::environment::Environment;
use super::{ColorWhen, ConfigError, Engine, Flags};

/// The file's name in the current folder and in the user's configuration folder.
pub const FILE_NAME: &str = "marketpipe.toml";

/// What a file says; `None` where it says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileValues {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) log: Option<String>,
    pub(super) color: Option<ColorWhen>,
    pub(super) ingest: IngestValues,
    pub(super) http: HttpValues,
    pub(super) providers: ProviderValues,
    pub(super) aggregation: AggregationValues,
    pub(super) validation: ValidationValues,
    pub(super) query: QueryValues,
    pub(super) metrics: MetricsValues,
    pub(super) lists: BTreeMap<String, ListValue>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpValues {
    pub(super) connect_timeout_ms: Option<u32>,
    pub(super) read_timeout_ms: Option<u32>,
    pub(super) total_timeout_ms: Option<u32>,
    pub(super) attempts: Option<u32>,
    pub(super) base_delay_ms: Option<u32>,
    pub(super) probe_after_ms: Option<u32>,
}

/// A list of symbols, or the file that holds it.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a list of symbols or the path of a file"
)]
pub(super) enum ListValue {
    Symbols(Vec<String>),
    File(PathBuf),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IngestValues {
    pub(super) parallel: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProviderValues {
    pub(super) alpaca: AlpacaValues,
    pub(super) synthetic: SyntheticValues,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AlpacaValues {
    pub(super) base_url: Option<String>,
    pub(super) feed: Option<String>,
    pub(super) adjustment: Option<String>,
    pub(super) requests_per_minute: Option<u32>,
    pub(super) realtime: Option<bool>,
    pub(super) key_id_env: Option<String>,
    pub(super) secret_key_env: Option<String>,
    pub(super) credentials_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SyntheticValues {
    pub(super) seed: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AggregationValues {
    pub(super) timeframes: Option<Vec<String>>,
    pub(super) anchor: Option<String>,
    pub(super) segments: Option<Vec<String>>,
    pub(super) closing_auction: Option<String>,
    pub(super) engine: Option<Engine>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ValidationValues {
    pub(super) jump_units: Option<f64>,
    pub(super) jump_pct: Option<f64>,
    pub(super) gap_units: Option<f64>,
    pub(super) gap_pct: Option<f64>,
    pub(super) split_tolerance_pct: Option<f64>,
    pub(super) volume_units: Option<f64>,
    pub(super) volume_factor: Option<f64>,
    pub(super) session_volume_factor: Option<f64>,
    pub(super) spike_bars: Option<u32>,
    pub(super) stale_bars: Option<u32>,
    pub(super) findings_per_rule: Option<u32>,
    pub(super) severity: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueryValues {
    pub(super) memory_limit_mb: Option<u32>,
    pub(super) threads: Option<u32>,
    pub(super) timeout_s: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MetricsValues {
    pub(super) enabled: Option<bool>,
    pub(super) raw_days: Option<u32>,
    pub(super) hourly_days: Option<u32>,
}

/// A file that was read.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    /// Where it lies; `None` when there is none.
    pub(super) path: Option<PathBuf>,
    /// What it says.
    pub(super) values: FileValues,
    pub(super) home: Option<PathBuf>,
}

impl ConfigFile {
    /// Finds and reads the file: the one that is named, else the one in `folder`, else the user's.
    pub(super) fn find(
        flags: &Flags,
        environment: &Environment,
        folder: &Path,
    ) -> Result<Self, ConfigError> {
        let home = environment.find_home();
        if let Some(path) = environment.config_path(flags.config.as_deref()) {
            let text = fs::read_to_string(&path).map_err(|source| ConfigError::Unreadable {
                path: path.clone(),
                source,
            })?;
            return Self::parse(path, &text, home);
        }
        let config_home = environment
            .find_path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| home.as_ref().map(|home| home.join(".config")));
        let user_file = config_home.map(|folder| folder.join("marketpipe").join(FILE_NAME));
        for path in [Some(folder.join(FILE_NAME)), user_file]
            .into_iter()
            .flatten()
        {
            match fs::read_to_string(&path) {
                Ok(text) => return Self::parse(path, &text, home),
                Err(error) if is_absence(&error) => {}
                Err(source) => return Err(ConfigError::Unreadable { path, source }),
            }
        }
        Ok(Self {
            home,
            ..Self::default()
        })
    }

    pub(super) fn parse(
        path: PathBuf,
        text: &str,
        home: Option<PathBuf>,
    ) -> Result<Self, ConfigError> {
        match toml::from_str(text) {
            Ok(values) => Ok(Self {
                path: Some(path),
                values,
                home,
            }),
            Err(error) => Err(refusal(path, text, &error)),
        }
    }

    /// A path that the file names: relative ones start at the file's folder, `~/` at the home folder.
    pub(super) fn resolve(&self, named: &Path) -> PathBuf {
        if let (Ok(rest), Some(home)) = (named.strip_prefix("~"), &self.home) {
            return home.join(rest);
        }
        match self.path.as_deref().and_then(Path::parent) {
            Some(folder) => folder.join(named),
            None => named.into(),
        }
    }
}

/// Whether there simply is no such file; `HOME=/dev/null` counts too.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Line and column of a byte offset, both from 1; columns in characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// Turns the parser's error into one that names the place and, for an unknown key, the nearest known one.
///
/// The parser's own text would quote the whole line, which may hold a secret in the wrong place.
fn refusal(path: PathBuf, text: &str, error: &toml::de::Error) -> ConfigError {
    let (line, column) = position(text, error.span().map_or(0, |span| span.start));
    let message = error.message();
    let mut names = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field `")
        && let Some(key) = names.next()
    {
        let known: Vec<&str> = names.collect();
        let key = key.escape_default().to_string();
        let nearest = nearest(&key, &known).map(str::to_owned);
        let advice = match nearest {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        return ConfigError::UnknownKey {
            path,
            line,
            column,
            key,
            advice,
        };
    }
    let message = message.lines().collect::<Vec<_>>().join(", ");
    let message = match key_at(text, line) {
        Some(key) => format!("{key}: {message}"),
        None => message,
    };
    ConfigError::Malformed {
        path,
        line,
        column,
        message,
    }
}

/// The key of a line `key = value`, counted from 1. Never the value, which may be a secret in the wrong place.
fn key_at(text: &str, line: usize) -> Option<&str> {
    let (key, _) = text.lines().nth(line.checked_sub(1)?)?.split_once('=')?;
    let key = key.trim();
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (!key.is_empty() && key.bytes().all(is_key)).then_some(key)
}

/// The known name that `key` most likely stands for.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = key.len().max(3) / 3;
    let by_distance = known.iter().map(|name| (distance(key, name), *name)).min();
    by_distance
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, name)| name)
        .or_else(|| known.iter().copied().find(|name| name.starts_with(key)))
}

/// How many characters must be added, dropped or exchanged to turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a_char) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b_char) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(a_char != *b_char);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        ConfigFile::parse("m.toml".into(), text, None)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_one() {
        assert_eq!(
            refused("log = \"info\"\n[providers.alpaca]\nfed = \"iex\"\n"),
            "unknown key `fed` in m.toml, line 3, column 1: did you mean `feed`?"
        );
        assert_eq!(
            refused("[query]\nmemory = 1"),
            "unknown key `memory` in m.toml, line 2, column 1: did you mean `memory_limit_mb`?"
        );
        assert_eq!(
            refused("[query]\nquux = 1"),
            "unknown key `quux` in m.toml, line 2, column 1: \
             known here: memory_limit_mb, threads, timeout_s"
        );
        assert_eq!(
            refused("[providers.alpacca]\nfeed = \"iex\"\n"),
            "unknown key `alpacca` in m.toml, line 1, column 12: did you mean `alpaca`?"
        );
    }

    #[test]
    fn a_secret_in_the_file_is_refused_without_being_quoted() {
        let error = refused("[providers.alpaca]\nsecret_key = \"hunter2\"\n");
        assert!(error.contains("did you mean `secret_key_env`?"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn malformed_text_and_wrong_types_name_their_place() {
        assert!(refused("data_dir = \n").starts_with("m.toml is malformed at line 1, column "));
        let error = refused("[ingest]\nparallel = -1\n");
        assert!(
            error.starts_with("m.toml is malformed at line 2, column 12: parallel: invalid "),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn columns_count_characters_and_lines_start_at_one() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("é = 1\nx", 3), (1, 3));
        assert_eq!(position("é = 1\nx", 7), (2, 1));
    }

    #[test]
    fn paths_in_the_file_start_at_its_folder_or_at_home() {
        let path = PathBuf::from("/etc/marketpipe.toml");
        let file = ConfigFile::parse(path, "", Some("/home/me".into())).unwrap();
        assert_eq!(file.resolve(Path::new("data")), Path::new("/etc/data"));
        assert_eq!(file.resolve(Path::new("/srv/data")), Path::new("/srv/data"));
        assert_eq!(
            file.resolve(Path::new("~/data")),
            Path::new("/home/me/data")
        );
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, expected) in [
            ("", "", 0),
            ("feed", "fed", 1),
            ("seed", "feed", 1),
            ("", "ab", 2),
        ] {
            assert_eq!(distance(a, b), expected);
            assert_eq!(distance(b, a), expected);
        }
    }
}
