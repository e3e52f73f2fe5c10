//! Where a value came from, and the choice among the layers. Knows no key in particular.

use std::fmt;
use std::path::{Path, PathBuf};

use super::ConfigError;

/// Where a value came from; ordered from the strongest to the weakest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line, with its dashes.
    Flag(&'static str),
    /// One or more environment variables, by name.
    Environment(String),
    /// A file.
    File(PathBuf),
    /// Nothing was said.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key as the file spells it, with its sections: `ingest.parallel`.
    pub key: &'static str,
    /// The value in words; secrets are `***`.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// A key whose layers are asked one after the other; the first answer stays.
///
/// The order of the calls is the precedence: flag, environment, file, default.
#[derive(Debug)]
pub(super) struct Layered<T> {
    key: &'static str,
    found: Option<(T, Origin)>,
}

impl<T> Layered<T> {
    pub(super) fn new(key: &'static str) -> Self {
        Self { key, found: None }
    }

    fn or(mut self, value: Option<T>, origin: impl FnOnce() -> Origin) -> Self {
        if self.found.is_none() {
            self.found = value.map(|value| (value, origin()));
        }
        self
    }

    pub(super) fn flag(self, name: &'static str, value: Option<T>) -> Self {
        self.or(value, || Origin::Flag(name))
    }

    pub(super) fn environment(self, name: &'static str, value: Option<T>) -> Self {
        self.or(value, || Origin::Environment(name.into()))
    }

    pub(super) fn file(self, path: Option<&Path>, value: Option<T>) -> Self {
        self.or(value, || Origin::File(path.unwrap_or(Path::new("")).into()))
    }

    pub(super) fn or_default(self, value: T) -> Setting<T> {
        let (value, origin) = self.found.unwrap_or((value, Origin::Default));
        Setting {
            key: self.key,
            value,
            origin,
        }
    }
}

/// A chosen value with its origin.
#[derive(Debug)]
pub(super) struct Setting<T> {
    pub(super) key: &'static str,
    pub(super) value: T,
    pub(super) origin: Origin,
}

impl<T> Setting<T> {
    /// The refusal of this value.
    pub(super) fn refuse(&self, shown: String, expected: impl Into<String>) -> ConfigError {
        ConfigError::InvalidValue {
            key: self.key,
            shown,
            origin: self.origin.clone(),
            expected: expected.into(),
        }
    }

    /// The value, once its line is among `entries`.
    pub(super) fn note(self, entries: &mut Vec<ConfigEntry>, show: impl Fn(&T) -> String) -> T {
        let value = show(&self.value);
        entries.push(ConfigEntry {
            key: self.key,
            value,
            origin: self.origin,
        });
        self.value
    }
}

impl<T: Copy + PartialOrd + fmt::Display> Setting<T> {
    /// The same setting if its value lies from `least` to `most`, both inside.
    pub(super) fn within(self, least: T, most: T) -> Result<Self, ConfigError> {
        if least <= self.value && self.value <= most {
            Ok(self)
        } else {
            Err(self.refuse(self.value.to_string(), format!("{least} to {most}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layered() -> Layered<u32> {
        Layered::new("ingest.parallel")
    }

    #[test]
    fn the_first_layer_that_answers_wins_and_is_named() {
        let path = Path::new("a.toml");
        let of = |flag, environment, file| {
            let setting = layered()
                .flag("--parallel", flag)
                .environment("PARALLEL", environment)
                .file(Some(path), file)
                .or_default(4);
            format!("{} {}", setting.value, setting.origin)
        };
        assert_eq!(of(Some(1), Some(2), Some(3)), "1 flag --parallel");
        assert_eq!(of(None, Some(2), Some(3)), "2 environment PARALLEL");
        assert_eq!(of(None, None, Some(3)), "3 file a.toml");
        assert_eq!(of(None, None, None), "4 default");
    }

    #[test]
    fn a_value_out_of_range_names_key_value_origin_and_limits() {
        let setting = layered().flag("--parallel", Some(65)).or_default(4);
        let error = setting.within(1, 64).unwrap_err().to_string();
        assert_eq!(
            error,
            "ingest.parallel is `65` (flag --parallel), expected 1 to 64"
        );
        assert!(layered().or_default(64).within(1, 64).is_ok());
    }
}
