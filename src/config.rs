//! The configuration: every value with where it came from. The only place that reads the environment.
//!
//! Precedence: flag, environment, file, default. The file is the one named by `--config` or
//! `MARKETPIPE_CONFIG`, else `./marketpipe.toml`, else the one in the user's configuration folder; one
//! file counts, they are not merged. Must not know what the values are used for.

mod aggregation;
mod credentials;
mod environment;
mod error;
mod file;
mod origin;
mod starter;
mod url;
mod validation;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub use aggregation::{AggregationConfig, Engine};
pub use credentials::{CREDENTIAL_PAIRS, Credentials, CredentialsSource};
pub use environment::Environment;
pub use error::ConfigError;
pub use file::FILE_NAME;
pub use origin::{ConfigEntry, Origin};
pub use starter::{StarterChoices, starter_file};
pub use validation::ValidationConfig;

use file::{ConfigFile, HttpValues, ListValue};
use origin::{Layered, Setting};

/// A file with every key, its default and what it means: what `marketpipe init` starts from.
pub const EXAMPLE_FILE: &str = include_str!("../config/marketpipe.example.toml");

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorWhen {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorWhen {
    /// Whether there are colours on an output of which `is_terminal` says whether it is one.
    pub fn is_for(self, is_terminal: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => is_terminal(),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// How much is logged, as the flags `-q`, `-v` and `-vv` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// `-q`: errors.
    Quiet,
    /// `-v`: what the tool does, step by step.
    Verbose,
    /// `-vv`: every page and file, and what the libraries do.
    Debug,
}

impl Verbosity {
    /// The log filter that this stands for.
    pub const fn filter(self) -> &'static str {
        match self {
            Self::Quiet => "error",
            Self::Verbose => "warn,marketpipe=info",
            Self::Debug => "info,marketpipe=debug",
        }
    }
}

/// What the command line says; `None` where it says nothing.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `-q`, `-v`, `-vv`.
    pub verbosity: Option<Verbosity>,
    /// `--color`.
    pub color: Option<ColorWhen>,
    /// `--feed`.
    pub feed: Option<String>,
    /// `--adjustment`.
    pub adjustment: Option<String>,
}

/// How Alpaca is asked.
#[derive(Debug, Clone)]
pub struct AlpacaConfig {
    /// Scheme, host and port, without a slash at the end.
    pub base_url: String,
    /// Which tape.
    pub feed: String,
    /// Which corporate actions are applied.
    pub adjustment: String,
    /// Requests a minute that the plan allows.
    pub requests_per_minute: u32,
    /// Whether the plan includes the last quarter of an hour.
    pub is_realtime: bool,
    /// Where the credentials come from.
    pub credentials: CredentialsSource,
}

/// How long requests may take and how often they are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpConfig {
    /// Longest time to a connection.
    pub connect_timeout: Duration,
    /// Longest silence while an answer is awaited or read.
    pub read_timeout: Duration,
    /// Longest time for one attempt.
    pub total_timeout: Duration,
    /// Attempts of one request, the first one included.
    pub attempts: u32,
    /// The first wait between attempts is random up to this, each further one up to twice as long.
    pub base_delay: Duration,
    /// How long a host that failed too often is left alone before it is tried again.
    pub probe_after: Duration,
}

/// Where a named list of symbols comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SymbolListSource {
    /// The configuration itself.
    Symbols(Vec<String>),
    /// A file in the format of `--symbols-file`.
    File(PathBuf),
}

/// Limits of SQL queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryConfig {
    /// Memory, MiB.
    pub memory_limit_mb: u32,
    /// Threads; 0 for all cores.
    pub threads: u32,
    /// Time, seconds; 0 for no limit.
    pub timeout_s: u32,
}

/// What is kept of what runs measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Whether anything is.
    pub is_enabled: bool,
    /// Days after which points are rolled up into hours.
    pub raw_days: u32,
    /// Days after which hours and runs are forgotten.
    pub hourly_days: u32,
}

/// The resolved configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of the lake and its database.
    pub data_dir: PathBuf,
    /// The log filter, in the syntax of `tracing_subscriber::EnvFilter`; known to be well formed.
    pub log: String,
    /// When colour is used.
    pub color: ColorWhen,
    /// Units that are fetched at the same time.
    pub parallel_units: usize,
    /// Limits of requests.
    pub http: HttpConfig,
    /// How Alpaca is asked.
    pub alpaca: AlpacaConfig,
    /// Lists of symbols by name, for `@name`.
    pub lists: BTreeMap<String, SymbolListSource>,
    /// The seed of the synthetic provider.
    pub synthetic_seed: u64,
    /// How derived bars are made.
    pub aggregation: AggregationConfig,
    /// How bars are checked.
    pub validation: ValidationConfig,
    /// Limits of SQL queries.
    pub query: QueryConfig,
    /// What is kept of what runs measured.
    pub metrics: MetricsConfig,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    entries: Vec<ConfigEntry>,
}

impl Config {
    /// Resolves the configuration, looking for the file in the current folder.
    ///
    /// Credentials are located, not read: commands that need none work without them.
    ///
    /// # Errors
    /// [`ConfigError`] names the file or key, the value and what was expected.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        Self::load_in(flags, environment, Path::new(""))
    }

    /// The same with another folder in place of the current one.
    fn load_in(
        flags: &Flags,
        environment: &Environment,
        folder: &Path,
    ) -> Result<Self, ConfigError> {
        Self::resolve(
            flags,
            environment,
            ConfigFile::find(flags, environment, folder)?,
        )
    }

    /// The configuration of a file's text alone, without flags or variables.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_text(text: &str) -> Result<Self, ConfigError> {
        let file = ConfigFile::parse("marketpipe.toml".into(), text, None)?;
        Self::resolve(&Flags::default(), &Environment::default(), file)
    }

    fn resolve(
        flags: &Flags,
        environment: &Environment,
        file: ConfigFile,
    ) -> Result<Self, ConfigError> {
        let path = file.path.as_deref();
        let values = &file.values;
        let mut entries = Vec::new();
        let data_dir = Layered::new("data_dir")
            .flag("--data-dir", flags.data_dir.clone())
            .environment(
                "MARKETPIPE_DATA_DIR",
                environment.find_path("MARKETPIPE_DATA_DIR"),
            )
            .file(
                path,
                values.data_dir.as_deref().map(|named| file.resolve(named)),
            )
            .or_default("./data".into())
            .note(&mut entries, |path| path.display().to_string());
        let log = Layered::new("log")
            .flag(
                "-q/-v",
                flags
                    .verbosity
                    .map(|verbosity| verbosity.filter().to_owned()),
            )
            .environment(
                "MARKETPIPE_LOG",
                environment.find_text("MARKETPIPE_LOG")?.map(str::to_owned),
            )
            .file(path, values.log.clone())
            .or_default("warn".into());
        let log = checked_filter(log)?.note(&mut entries, String::clone);
        let refusal_of_color = environment.refusal_of_color();
        let color = Layered::new("color")
            .flag("--color", flags.color)
            .environment(
                refusal_of_color.unwrap_or_default(),
                refusal_of_color.map(|_| ColorWhen::Never),
            )
            .file(path, values.color)
            .or_default(ColorWhen::Auto)
            .note(&mut entries, |when| when.as_str().to_owned());
        let parallel_units = Layered::new("ingest.parallel")
            .file(path, values.ingest.parallel)
            .or_default(4)
            .within(1, 64)?
            .note(&mut entries, u32::to_string);
        let http = load_http(path, values.http, &mut entries)?;
        let alpaca = load_alpaca(flags, environment, &file, &mut entries)?;
        let synthetic_seed = Layered::new("providers.synthetic.seed")
            .file(path, values.providers.synthetic.seed)
            .or_default(1)
            .note(&mut entries, u64::to_string);
        let aggregation = aggregation::load(path, &values.aggregation, &mut entries)?;
        let validation = validation::load(path, &values.validation, &mut entries)?;
        let query = QueryConfig {
            memory_limit_mb: Layered::new("query.memory_limit_mb")
                .file(path, values.query.memory_limit_mb)
                .or_default(1024)
                .within(64, 16_777_216)?
                .note(&mut entries, u32::to_string),
            threads: Layered::new("query.threads")
                .file(path, values.query.threads)
                .or_default(0)
                .within(0, 1024)?
                .note(&mut entries, u32::to_string),
            timeout_s: Layered::new("query.timeout_s")
                .file(path, values.query.timeout_s)
                .or_default(0)
                .within(0, 604_800)?
                .note(&mut entries, u32::to_string),
        };
        let metrics = MetricsConfig {
            is_enabled: Layered::new("metrics.enabled")
                .file(path, values.metrics.enabled)
                .or_default(true)
                .note(&mut entries, bool::to_string),
            raw_days: Layered::new("metrics.raw_days")
                .file(path, values.metrics.raw_days)
                .or_default(30)
                .within(1, 36_500)?
                .note(&mut entries, u32::to_string),
            hourly_days: Layered::new("metrics.hourly_days")
                .file(path, values.metrics.hourly_days)
                .or_default(365)
                .within(1, 36_500)?
                .note(&mut entries, u32::to_string),
        };
        let lists = load_lists(&file, &mut entries);
        let parallel_units = usize::try_from(parallel_units).unwrap_or(1);
        let file = file.path;
        Ok(Self {
            data_dir,
            log,
            color,
            parallel_units,
            http,
            alpaca,
            lists,
            synthetic_seed,
            aggregation,
            validation,
            query,
            metrics,
            file,
            entries,
        })
    }

    /// Every key with its value and origin, in the order of the example file; secrets masked.
    pub fn entries(&self) -> &[ConfigEntry] {
        &self.entries
    }
}

fn load_http(
    path: Option<&Path>,
    values: HttpValues,
    entries: &mut Vec<ConfigEntry>,
) -> Result<HttpConfig, ConfigError> {
    let mut within =
        |key: &'static str, value: Option<u32>, default: u32, least: u32, most: u32| {
            let setting = Layered::new(key).file(path, value).or_default(default);
            setting
                .within(least, most)
                .map(|setting| setting.note(entries, u32::to_string))
        };
    const HOUR_MS: u32 = 3_600_000;
    let millis = |ms: u32| Duration::from_millis(ms.into());
    Ok(HttpConfig {
        connect_timeout: within(
            "http.connect_timeout_ms",
            values.connect_timeout_ms,
            5_000,
            1,
            HOUR_MS,
        )
        .map(millis)?,
        read_timeout: within(
            "http.read_timeout_ms",
            values.read_timeout_ms,
            30_000,
            1,
            HOUR_MS,
        )
        .map(millis)?,
        total_timeout: within(
            "http.total_timeout_ms",
            values.total_timeout_ms,
            120_000,
            1,
            HOUR_MS,
        )
        .map(millis)?,
        attempts: within("http.attempts", values.attempts, 5, 1, 20)?,
        base_delay: within("http.base_delay_ms", values.base_delay_ms, 500, 0, 60_000)
            .map(millis)?,
        probe_after: within(
            "http.probe_after_ms",
            values.probe_after_ms,
            30_000,
            1,
            HOUR_MS,
        )
        .map(millis)?,
    })
}

fn load_lists(
    file: &ConfigFile,
    entries: &mut Vec<ConfigEntry>,
) -> BTreeMap<String, SymbolListSource> {
    let mut lists = BTreeMap::new();
    let mut names = Vec::new();
    for (name, value) in &file.values.lists {
        let source = match value {
            ListValue::Symbols(symbols) => SymbolListSource::Symbols(symbols.clone()),
            ListValue::File(named) => SymbolListSource::File(file.resolve(named)),
        };
        lists.insert(name.clone(), source);
        names.push(name.escape_default().to_string());
    }
    Layered::new("lists")
        .file(
            file.path.as_deref(),
            (!names.is_empty()).then(|| names.join(", ")),
        )
        .or_default("(none)".into())
        .note(entries, String::clone);
    lists
}

fn load_alpaca(
    flags: &Flags,
    environment: &Environment,
    file: &ConfigFile,
    entries: &mut Vec<ConfigEntry>,
) -> Result<AlpacaConfig, ConfigError> {
    const URL_NAME: &str = "MARKETPIPE_ALPACA_URL";
    let path = file.path.as_deref();
    let values = &file.values.providers.alpaca;
    let base_url = Layered::new("providers.alpaca.base_url")
        .environment(
            URL_NAME,
            environment.find_text(URL_NAME)?.map(str::to_owned),
        )
        .file(path, values.base_url.clone())
        .or_default("https://data.alpaca.markets".into());
    let base_url = url::checked_base_url(base_url)?.note(entries, String::clone);
    let feed = Layered::new("providers.alpaca.feed")
        .flag("--feed", flags.feed.clone())
        .file(path, values.feed.clone())
        .or_default("sip".into());
    let feed = checked_name(feed)?.note(entries, String::clone);
    let adjustment = Layered::new("providers.alpaca.adjustment")
        .flag("--adjustment", flags.adjustment.clone())
        .file(path, values.adjustment.clone())
        .or_default("raw".into());
    let adjustment = checked_name(adjustment)?.note(entries, String::clone);
    let requests_per_minute = Layered::new("providers.alpaca.requests_per_minute")
        .file(path, values.requests_per_minute)
        .or_default(200)
        .within(1, 100_000)?
        .note(entries, u32::to_string);
    let is_realtime = Layered::new("providers.alpaca.realtime")
        .file(path, values.realtime)
        .or_default(false)
        .note(entries, bool::to_string);
    let credentials = CredentialsSource::find(environment, file)?;
    let credentials_file = values.credentials_file.as_deref();
    let credentials_file = credentials_file.map(|named| file.resolve(named).display().to_string());
    for (key, named) in [
        ("providers.alpaca.key_id_env", values.key_id_env.clone()),
        (
            "providers.alpaca.secret_key_env",
            values.secret_key_env.clone(),
        ),
        ("providers.alpaca.credentials_file", credentials_file),
    ] {
        Layered::new(key)
            .file(path, named)
            .or_default("(not set)".into())
            .note(entries, String::clone);
    }
    entries.push(credentials.entry());
    Ok(AlpacaConfig {
        base_url,
        feed,
        adjustment,
        requests_per_minute,
        is_realtime,
        credentials,
    })
}

/// Refuses a log filter that could not be applied.
fn checked_filter(log: Setting<String>) -> Result<Setting<String>, ConfigError> {
    let like = "a filter such as `info` or `warn,marketpipe=debug`";
    // A word that is no level would name a module, of which there is none, and let nothing through.
    let stray = log.value.split(',').map(str::trim).find(|part| {
        let is_plain = part.bytes().all(|byte| byte.is_ascii_alphabetic());
        let is_level = part.parse::<LevelFilter>().is_ok();
        is_plain && !part.is_empty() && !is_level && *part != env!("CARGO_PKG_NAME")
    });
    if let Some(word) = stray {
        let expected = format!(
            "{like}; `{word}` is no level, there are error, warn, info, debug, trace and off"
        );
        return Err(log.refuse(log.value.clone(), expected));
    }
    match EnvFilter::builder().parse(&log.value) {
        Ok(_) => Ok(log),
        Err(error) => {
            let expected = format!("{like}: {error}");
            Err(log.refuse(log.value.clone(), expected))
        }
    }
}

/// Refuses a feed or adjustment that could be none of any provider; which exist is the provider's business.
fn checked_name(name: Setting<String>) -> Result<Setting<String>, ConfigError> {
    let is_legal = (1..=24).contains(&name.value.len())
        && name
            .value
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if is_legal {
        Ok(name)
    } else {
        let expected = "1 to 24 characters of a-z, 0-9, - and _";
        Err(name.refuse(name.value.chars().take(40).collect(), expected))
    }
}

#[cfg(test)]
mod tests;
