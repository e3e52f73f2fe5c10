//! A file that is complete or not there: written beside its place, then moved.

use std::io::Write as _;
use std::path::Path;

use super::exit::{CliError, Exit};
use crate::infrastructure::disk::{beside, create_anew};

/// Makes a folder of the user's choosing, and those above it, if they are not there.
pub(super) fn make_folder(folder: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(folder).map_err(|error| {
        let message = format!("cannot make {}: {error}", folder.display());
        CliError::new(Exit::Storage, message)
    })
}

/// Writes a file that is complete or as it was.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let beside = beside(path);
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("cannot write {}: {error}", path.display());
        CliError::new(Exit::Storage, message)
    };
    let mut file = create_anew(&beside).map_err(|error| failed(&error))?;
    let written = file
        .write_all(bytes)
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        _ = std::fs::remove_file(&beside);
        failed(&error)
    })
}
