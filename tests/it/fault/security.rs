//! Attacks: by the provider's server, the network, files in the data directory, SQL, strings, and pages in a browser.
//! SECURITY.md says what is promised; here is what was tried.

mod links;
mod modes;
mod secrets;
mod servers;
mod sql;
mod strings;
mod transport;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::lab::{Lab, Ran};

const SECTION: &str = "security";

/// Everything in a folder, links not followed: what it is, who may use it, what is in it.
fn listing(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in std::fs::read_dir(&current).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_symlink() {
                format!("link to {}", std::fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                folders.push(path.clone());
                "folder".to_owned()
            } else {
                String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()
            };
            let mode = mode_of(&metadata);
            found.insert(path, format!("{mode:o} {content}"));
        }
    }
    found
}

#[cfg(unix)]
fn mode_of(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode_of(_: &std::fs::Metadata) -> u32 {
    0
}

/// What lies beside the data directory: a test that is about to hurt something outside finds it changed here.
struct Outside {
    folder: PathBuf,
    data: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Outside {
    /// Looks at everything in the laboratory's folder but the data directory.
    fn of(lab: &Lab) -> Self {
        let mut outside = Self {
            folder: lab.folder.path().to_owned(),
            data: lab.data(),
            before: BTreeMap::new(),
        };
        outside.before = outside.now();
        outside
    }

    fn now(&self) -> BTreeMap<PathBuf, String> {
        let mut all = listing(&self.folder);
        all.retain(|path, _| !path.starts_with(&self.data));
        all
    }

    /// Everything is as it was, byte for byte.
    fn assert_untouched(&self, after: &str) {
        let now = self.now();
        let differing: Vec<_> = now
            .iter()
            .filter(|(path, content)| self.before.get(*path) != Some(content))
            .map(|(path, _)| path)
            .chain(self.before.keys().filter(|path| !now.contains_key(*path)))
            .collect();
        assert!(differing.is_empty(), "after {after}: {differing:?}");
    }
}

/// Nothing in a text would be obeyed by a terminal.
fn assert_harmless(ran: &Ran, after: &str) {
    for (name, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        let bad = text
            .chars()
            .find(|&c| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)));
        assert_eq!(bad, None, "{name} after {after}: {text:?}");
    }
}

/// A run that may fail in any promised way, but in no other.
fn assert_orderly(ran: &Ran, after: &str) {
    let promised = [0, 2, 3, 4, 5, 6, 7, 8];
    assert!(
        promised.contains(&ran.code),
        "{after}: {}\n{}",
        ran.code,
        ran.stderr
    );
}
