//! What the resolved configuration promises, with real files in a temporary folder.

use std::fs;

use tempfile::TempDir;

use super::*;

fn resolve(flags: &Flags, pairs: &[(&str, &str)], folder: &TempDir) -> Result<Config, ConfigError> {
    let environment = Environment::from_pairs(pairs.iter().copied());
    Config::load_in(flags, &environment, folder.path())
}

fn folder_with(text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(FILE_NAME), text).unwrap();
    folder
}

fn shown(config: &Config, key: &str) -> String {
    let entry = config
        .entries()
        .iter()
        .find(|entry| entry.key == key)
        .unwrap();
    format!("{} from {}", entry.value, entry.origin)
}

#[test]
fn without_anything_said_the_defaults_hold() {
    let folder = TempDir::new().unwrap();
    let config = resolve(&Flags::default(), &[], &folder).unwrap();
    assert_eq!(config.data_dir, Path::new("./data"));
    assert_eq!((config.parallel_units, config.synthetic_seed), (4, 1));
    assert_eq!(config.alpaca.base_url, "https://data.alpaca.markets");
    assert_eq!(config.alpaca.requests_per_minute, 200);
    assert_eq!(
        config.query,
        QueryConfig {
            memory_limit_mb: 1024,
            threads: 0,
            timeout_s: 0
        }
    );
    assert_eq!(config.file, None);
    assert!(
        config
            .entries()
            .iter()
            .all(|entry| entry.origin == Origin::Default)
    );
    assert!(config.alpaca.credentials.load().unwrap().is_none());
}

#[test]
fn the_example_file_says_exactly_the_defaults_and_names_every_key() {
    let empty = TempDir::new().unwrap();
    let defaults = resolve(&Flags::default(), &[], &empty).unwrap();
    // A relative data folder starts at the file's folder: here the test's own current one.
    let file = ConfigFile {
        values: toml::from_str(EXAMPLE_FILE).unwrap(),
        path: Some(FILE_NAME.into()),
        home: None,
    };
    let example = Config::resolve(&Flags::default(), &Environment::default(), file).unwrap();
    let values = |config: &Config| {
        let entries = config.entries().iter();
        entries
            .map(|entry| (entry.key, entry.value.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&example), values(&defaults));
    for entry in example.entries() {
        let name = entry.key.rsplit('.').next().unwrap();
        let is_file = matches!(entry.origin, Origin::File(_));
        let is_commented = EXAMPLE_FILE.contains(&format!("\n# {name} = "));
        let sections = [
            "providers.alpaca.credentials",
            "lists",
            "validation.severity",
        ];
        let is_derived = sections.contains(&entry.key);
        assert!(
            is_file || is_commented || is_derived,
            "{} is not in the example",
            entry.key
        );
    }
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let folder = folder_with(
        "data_dir = 'f'\nlog = 'debug'\n[providers.alpaca]\nfeed = 'iex'\nbase_url = 'https://f.example'\n",
    );
    let variables = [
        ("MARKETPIPE_DATA_DIR", "e"),
        ("MARKETPIPE_LOG", "info"),
        ("MARKETPIPE_ALPACA_URL", "http://127.0.0.1:9"),
    ];
    let flags = Flags {
        data_dir: Some("x".into()),
        verbosity: Some(Verbosity::Quiet),
        feed: Some("otc".into()),
        ..Flags::default()
    };
    let config = resolve(&flags, &variables, &folder).unwrap();
    assert_eq!(shown(&config, "data_dir"), "x from flag --data-dir");
    assert_eq!(shown(&config, "log"), "error from flag -q/-v");
    assert_eq!(
        shown(&config, "providers.alpaca.feed"),
        "otc from flag --feed"
    );
    let config = resolve(&Flags::default(), &variables, &folder).unwrap();
    assert_eq!(
        shown(&config, "data_dir"),
        "e from environment MARKETPIPE_DATA_DIR"
    );
    assert_eq!(
        shown(&config, "log"),
        "info from environment MARKETPIPE_LOG"
    );
    assert_eq!(
        shown(&config, "providers.alpaca.base_url"),
        "http://127.0.0.1:9 from environment MARKETPIPE_ALPACA_URL"
    );
    let config = resolve(&Flags::default(), &[], &folder).unwrap();
    assert_eq!(config.data_dir, folder.path().join("f"));
    let file = folder.path().join(FILE_NAME);
    assert_eq!(
        shown(&config, "log"),
        format!("debug from file {}", file.display())
    );
    assert_eq!(config.file, Some(file));
}

#[test]
fn the_named_file_goes_before_the_local_one_and_that_before_the_users() {
    let folder = folder_with("log = 'local=warn'");
    let home = TempDir::new().unwrap();
    let user_folder = home.path().join(".config/marketpipe");
    fs::create_dir_all(&user_folder).unwrap();
    fs::write(user_folder.join(FILE_NAME), "log = 'user=warn'").unwrap();
    let named = home.path().join("named.toml");
    fs::write(&named, "log = 'named=warn'").unwrap();
    let home_text = home.path().to_str().unwrap();
    let variables = [
        ("HOME", home_text),
        ("MARKETPIPE_CONFIG", named.to_str().unwrap()),
    ];
    let log_of =
        |flags: &Flags, variables: &[_], folder| resolve(flags, variables, folder).unwrap().log;
    assert_eq!(log_of(&Flags::default(), &variables, &folder), "named=warn");
    assert_eq!(
        log_of(&Flags::default(), &variables[..1], &folder),
        "local=warn"
    );
    let empty = TempDir::new().unwrap();
    assert_eq!(
        log_of(&Flags::default(), &variables[..1], &empty),
        "user=warn"
    );
    let flags = Flags {
        config: Some(folder.path().join(FILE_NAME)),
        ..Flags::default()
    };
    assert_eq!(log_of(&flags, &variables, &empty), "local=warn");
    let xdg = [
        ("HOME", "/nonexistent"),
        ("XDG_CONFIG_HOME", &format!("{home_text}/.config")),
    ];
    assert_eq!(log_of(&Flags::default(), &xdg, &empty), "user=warn");
    assert_eq!(
        log_of(&Flags::default(), &[("HOME", "/dev/null")], &empty),
        "warn"
    );
}

#[test]
fn a_named_file_must_exist() {
    let folder = folder_with("log = 'info'");
    let flags = Flags {
        config: Some("no/such.toml".into()),
        ..Flags::default()
    };
    let error = resolve(&flags, &[], &folder).unwrap_err();
    assert_eq!(error.to_string(), "cannot read no/such.toml");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn values_out_of_range_name_key_value_place_and_limits() {
    let cases = [
        (
            "[ingest]\nparallel = 0",
            "ingest.parallel is `0`",
            "expected 1 to 64",
        ),
        (
            "[query]\nmemory_limit_mb = 1",
            "query.memory_limit_mb is `1`",
            "expected 64 to 16777216",
        ),
        (
            "[providers.alpaca]\nrequests_per_minute = 0",
            "providers.alpaca.requests_per_minute is `0`",
            "expected 1 to 100000",
        ),
        (
            "[providers.alpaca]\nfeed = '../sip'",
            "providers.alpaca.feed is `../sip`",
            "a-z",
        ),
        (
            "[providers.alpaca]\nbase_url = 'http://a.example'",
            "providers.alpaca.base_url is",
            "loopback",
        ),
        (
            "log = 'marketpipe=loud'",
            "log is `marketpipe=loud`",
            "expected a filter",
        ),
    ];
    for (text, start, part) in cases {
        let folder = folder_with(text);
        let error = resolve(&Flags::default(), &[], &folder)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(start), "{error}");
        assert!(error.contains(part), "{error}");
        assert!(error.contains("(file "), "{error}");
    }
}

#[test]
fn colour_ends_with_no_color_and_with_a_dumb_terminal() {
    let folder = folder_with("color = 'always'");
    let color_of = |variables: &[_]| {
        let config = resolve(&Flags::default(), variables, &folder).unwrap();
        (config.color, shown(&config, "color"))
    };
    assert_eq!(color_of(&[]).0, ColorWhen::Always);
    assert_eq!(
        color_of(&[("NO_COLOR", "1")]),
        (ColorWhen::Never, "never from environment NO_COLOR".into())
    );
    assert_eq!(
        color_of(&[("NO_COLOR", ""), ("TERM", "xterm")]).0,
        ColorWhen::Always
    );
    assert_eq!(
        color_of(&[("TERM", "dumb")]),
        (ColorWhen::Never, "never from environment TERM".into())
    );
}

#[test]
fn a_word_that_is_no_level_is_refused() {
    let folder = TempDir::new().unwrap();
    let of = |word: &str| resolve(&Flags::default(), &[("MARKETPIPE_LOG", word)], &folder);
    for word in ["warning", "loud", "info,verbose"] {
        let refused = of(word).unwrap_err().to_string();
        assert!(refused.contains("is no level"), "{refused}");
    }
    for word in [
        "WARN",
        "off",
        "marketpipe",
        "warn,marketpipe=debug",
        "info,marketpipe::cli=trace",
    ] {
        assert!(of(word).is_ok(), "{word}");
    }
}

#[test]
fn every_verbosity_is_a_well_formed_filter() {
    for verbosity in [Verbosity::Quiet, Verbosity::Verbose, Verbosity::Debug] {
        let folder = TempDir::new().unwrap();
        let flags = Flags {
            verbosity: Some(verbosity),
            ..Flags::default()
        };
        assert_eq!(
            resolve(&flags, &[], &folder).unwrap().log,
            verbosity.filter()
        );
    }
}

#[test]
fn secrets_never_reach_the_listing_or_debug_output() {
    let folder = TempDir::new().unwrap();
    let variables = [
        ("APCA_API_KEY_ID", "PKPUBLIC"),
        ("APCA_API_SECRET_KEY", "hunter2"),
    ];
    let config = resolve(&Flags::default(), &variables, &folder).unwrap();
    assert_eq!(
        shown(&config, "providers.alpaca.credentials"),
        "*** from environment APCA_API_KEY_ID + APCA_API_SECRET_KEY"
    );
    let debug = format!("{config:?} {:?}", config.alpaca.credentials.load().unwrap());
    assert!(
        !debug.contains("hunter2") && !debug.contains("PKPUBLIC"),
        "{debug}"
    );
}
