//! What the integration tests share: a laboratory with a data folder and a server, and readers of other tools' data.

pub(crate) mod experiment;
pub(crate) mod lab;
pub(crate) mod lean;
pub(crate) mod tamper;

use std::path::PathBuf;
use std::process::Command;

/// The folder of real minute bars, or `None` after saying that the test is skipped.
pub(crate) fn real_data() -> Option<PathBuf> {
    let folder = std::env::var_os("MARKETPIPE_REAL_DATA")
        .map(PathBuf::from)
        .filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("skipped: no real data");
    }
    folder
}

/// A Python with the comparison packages, or `None` after saying that the test is skipped.
pub(crate) fn oracle_python() -> Option<Command> {
    let python = std::env::var_os("MARKETPIPE_ORACLE_PYTHON");
    if python.is_none() {
        eprintln!("skipped: no python with the comparison packages");
    }
    python.map(Command::new)
}

/// A script of the repository.
pub(crate) fn oracle_script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/oracle")
        .join(name)
}
