//! The environment as a value, so that nothing else reads ambient variables. Knows no key and no meaning.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::origin::Origin;

/// Environment variables by name. A variable that is set but empty counts as not set.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Exactly these variables; a later one replaces an earlier one of the same name.
    pub fn from_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// The variable by which colours are not wanted, if there is one.
    pub fn refusal_of_color(&self) -> Option<&'static str> {
        if self.find("NO_COLOR").is_some() {
            return Some("NO_COLOR");
        }
        let is_dumb = self.find("TERM").is_some_and(|term| term == "dumb");
        is_dumb.then_some("TERM")
    }

    /// The value of `name`, unless it is empty.
    pub(super) fn find(&self, name: &str) -> Option<&OsStr> {
        let value = self.0.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value)
    }

    /// The value of `name` as a path.
    pub(super) fn find_path(&self, name: &str) -> Option<PathBuf> {
        self.find(name).map(PathBuf::from)
    }

    /// The configuration file that is named: by `flag`, else by `MARKETPIPE_CONFIG`.
    pub fn config_path(&self, flag: Option<&Path>) -> Option<PathBuf> {
        flag.map(Path::to_owned)
            .or_else(|| self.find_path("MARKETPIPE_CONFIG"))
    }

    /// The value of `name` as text.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] when it is not Unicode; the value is not shown, it may be a secret.
    pub(super) fn find_text(&self, name: &'static str) -> Result<Option<&str>, ConfigError> {
        let Some(value) = self.find(name) else {
            return Ok(None);
        };
        value
            .to_str()
            .map(Some)
            .ok_or_else(|| ConfigError::InvalidValue {
                key: name,
                shown: "(not shown)".into(),
                origin: Origin::Environment(name.into()),
                expected: "Unicode text".into(),
            })
    }

    /// The home folder, as far as the variables tell.
    pub(super) fn find_home(&self) -> Option<PathBuf> {
        self.find_path("HOME")
            .or_else(|| self.find_path("USERPROFILE"))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let environment = Environment::from_pairs([("A", ""), ("B", "x")]);
        assert_eq!(environment.find("A"), None);
        assert_eq!(environment.find_text("B").unwrap(), Some("x"));
        assert_eq!(environment.find_text("C").unwrap(), None);
    }

    #[test]
    fn debug_output_holds_no_value() {
        let environment = Environment::from_pairs([("APCA_API_SECRET_KEY", "hunter2")]);
        assert_eq!(format!("{environment:?}"), "Environment(1 variables)");
    }

    #[test]
    #[cfg(unix)]
    fn a_text_that_is_not_unicode_is_refused_without_showing_it() {
        use std::os::unix::ffi::OsStringExt;
        let value = OsString::from_vec(vec![b'x', 0xff]);
        let environment = Environment::from_pairs([(OsString::from("MARKETPIPE_LOG"), value)]);
        let error = environment.find_text("MARKETPIPE_LOG").unwrap_err();
        assert_eq!(
            error.to_string(),
            "MARKETPIPE_LOG is `(not shown)` (environment MARKETPIPE_LOG), expected Unicode text"
        );
    }

    #[test]
    fn the_process_has_an_environment() {
        assert!(Environment::of_process().find("PATH").is_some());
    }
}
