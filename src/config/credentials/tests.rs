//! What credentials promise: where they come from, and what is refused.

use std::fs;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::super::{Config, FILE_NAME, Flags};
use super::*;

/// Loads credentials with `text` as the configuration file in `folder`.
fn load(
    pairs: &[(&str, &str)],
    text: &str,
    folder: &TempDir,
) -> Result<Option<(String, String)>, String> {
    fs::write(folder.path().join(FILE_NAME), text).unwrap();
    let environment = Environment::from_pairs(pairs.iter().copied());
    let config = Config::load_in(&Flags::default(), &environment, folder.path());
    let credentials = config.and_then(|config| config.alpaca.credentials.load());
    match credentials {
        Ok(found) => Ok(found.map(|c| (c.key_id.clone(), c.secret.expose_secret().to_owned()))),
        Err(error) => Err(error.to_string()),
    }
}

fn pair(key_id: &str, secret: &str) -> Option<(String, String)> {
    Some((key_id.into(), secret.into()))
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_first_complete_pair_of_variables_counts() {
    let folder = TempDir::new().unwrap();
    let variables = [
        ("ALPACA_KEY", "k3"),
        ("ALPACA_SECRET", "s3"),
        ("ALPACA_API_KEY", "k2"),
        ("ALPACA_SECRET_KEY", " s2 "),
    ];
    assert_eq!(load(&variables, "", &folder).unwrap(), pair("k2", "s2"));
    let halves = [
        ("APCA_API_KEY_ID", "k1"),
        ("ALPACA_SECRET_KEY", "s2"),
        ("ALPACA_KEY", "k3"),
        ("ALPACA_SECRET", "s3"),
    ];
    assert_eq!(
        load(&halves, "", &folder).unwrap(),
        pair("k3", "s3"),
        "halves of two pairs are no pair"
    );
}

#[test]
fn a_lonely_half_of_a_pair_is_pointed_out() {
    let environment = Environment::from_pairs([("APCA_API_KEY_ID", "k1")]);
    let source = CredentialsSource::find(&environment, &ConfigFile::default()).unwrap();
    assert!(source.load().unwrap().is_none());
    assert_eq!(
        source.entry().value,
        "(not set: APCA_API_SECRET_KEY is missing)"
    );
}

#[test]
fn variables_that_the_file_names_go_before_the_well_known_ones() {
    let folder = TempDir::new().unwrap();
    let text = "[providers.alpaca]\nkey_id_env = 'MY_ID'\nsecret_key_env = 'MY_SECRET'\n";
    let known = [("APCA_API_KEY_ID", "k1"), ("APCA_API_SECRET_KEY", "s1")];
    let all = [
        known[0],
        known[1],
        ("MY_ID", "mine"),
        ("MY_SECRET", "hunter2"),
    ];
    assert_eq!(load(&all, text, &folder).unwrap(), pair("mine", "hunter2"));
    assert_eq!(
        load(&known, text, &folder).unwrap_err(),
        "providers.alpaca.key_id_env names the environment variable MY_ID, which is not set"
    );
}

#[test]
fn half_a_naming_and_both_ways_at_once_are_refused() {
    let folder = TempDir::new().unwrap();
    for (keys, part) in [
        ("key_id_env = 'A'", "providers.alpaca.secret_key_env is ``"),
        ("secret_key_env = 'A'", "providers.alpaca.key_id_env is ``"),
        (
            "key_id_env = 'A'\nsecret_key_env = 'B'\ncredentials_file = 'c'",
            "not both",
        ),
        (
            "key_id_env = ''\nsecret_key_env = 'B'",
            "the name of an environment variable",
        ),
    ] {
        let error = load(&[], &format!("[providers.alpaca]\n{keys}\n"), &folder).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_secret_pasted_in_place_of_a_name_is_refused_without_showing_it() {
    let folder = TempDir::new().unwrap();
    let text = "[providers.alpaca]\nkey_id_env = 'MY_ID'\nsecret_key_env = 'hunter2ABC'\n";
    let error = load(&[], text, &folder).unwrap_err();
    assert!(
        error.starts_with("providers.alpaca.secret_key_env is `***`"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_credentials_file_is_read_when_only_its_owner_may_read_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys.toml");
    fs::write(&path, "key_id = 'k'\nsecret_key = 's'\n").unwrap();
    let text = "[providers.alpaca]\ncredentials_file = 'keys.toml'\n";
    for mode in [0o600, 0o400] {
        set_mode(&path, mode);
        assert_eq!(
            load(&[("APCA_API_KEY_ID", "x")], text, &folder).unwrap(),
            pair("k", "s")
        );
    }
    for mode in [0o644, 0o640, 0o602] {
        set_mode(&path, mode);
        let error = load(&[], text, &folder).unwrap_err();
        let expected = format!(
            "{} holds credentials and has mode {mode:04o}, expected 0600",
            path.display()
        );
        assert_eq!(error, expected);
    }
}

#[test]
#[cfg(unix)]
fn a_malformed_credentials_file_is_refused_without_quoting_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys.toml");
    let text = "[providers.alpaca]\ncredentials_file = 'keys.toml'\n";
    for (content, part) in [
        (
            "key_id = 'k'\nsecret_key = 4711\n",
            "is malformed at line 2, column 14",
        ),
        ("key_id = 'k'\nsecret = '4711'\n", "is malformed at line 2"),
        (
            "key_id = 'k'\n",
            "expected the two texts key_id and secret_key",
        ),
        (
            "key_id = 'k'\nsecret_key = '47 11'\n",
            "the credential in secret_key in",
        ),
        ("key_id = 'k'\nsecret_key = '4711", "is malformed at line 2"),
    ] {
        fs::write(&path, content).unwrap();
        set_mode(&path, 0o600);
        let error = load(&[], text, &folder).unwrap_err();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("47"), "{error}");
    }
}

#[test]
fn a_missing_credentials_file_only_hurts_whoever_needs_credentials() {
    let folder = TempDir::new().unwrap();
    let text = "[providers.alpaca]\ncredentials_file = 'none.toml'\n";
    fs::write(folder.path().join(FILE_NAME), text).unwrap();
    let config =
        Config::load_in(&Flags::default(), &Environment::default(), folder.path()).unwrap();
    assert!(matches!(
        config.alpaca.credentials.load(),
        Err(ConfigError::Unreadable { .. })
    ));
}

#[test]
fn a_credential_that_no_header_can_carry_is_refused_by_the_name_of_its_place() {
    let folder = TempDir::new().unwrap();
    for value in ["a b", "a\nb", "schlüssel", " "] {
        let variables = [("APCA_API_KEY_ID", "k"), ("APCA_API_SECRET_KEY", value)];
        let error = load(&variables, "", &folder).unwrap_err();
        assert_eq!(
            error,
            "the credential in environment variable APCA_API_SECRET_KEY is malformed: \
             expected printable ASCII without blanks"
        );
    }
}
