//! What is written for people is what the program does: every command of the documents runs, the reference pages are what
//! the program says, and links lead somewhere.

#[cfg(unix)]
mod commands;
mod links;
mod reference;

use std::path::{Path, PathBuf};

/// A file of the repository.
fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(in_repository(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}
