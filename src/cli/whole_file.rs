//! A file that is complete or not there: written beside its place, then moved.

use std::path::Path;

use super::exit::{CliError, Exit};
use crate::infrastructure::disk::beside;

/// Writes a file that is complete or as it was.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let beside = beside(path);
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        _ = std::fs::remove_file(&beside);
        CliError::new(
            Exit::Storage,
            format!("cannot write {}: {error}", path.display()),
        )
    })
}
