//! A file that is complete or not there: written beside its place, then moved.

use std::fs::{Metadata, OpenOptions};
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

/// Whether the path is a device, a pipe or another name of an open file, which a rename would put out of the way.
pub(super) fn is_stream(path: &Path) -> bool {
    let is_special = |found: Metadata| !found.is_file() && !found.is_dir();
    let open_files = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd"];
    open_files.iter().any(|name| path.starts_with(name)) || path.metadata().is_ok_and(is_special)
}

/// Writes a file that is complete or as it was; a device or a pipe takes the bytes as they come.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("cannot write {}: {error}", path.display());
        CliError::new(Exit::Storage, message)
    };
    if is_stream(path) {
        // At its end, where it leads to a file that others write to as well.
        let stream = OpenOptions::new().append(true).open(path);
        let written = stream.and_then(|mut stream| stream.write_all(bytes));
        return written.map_err(|error| failed(&error));
    }
    let beside = beside(path);
    let mut file = create_anew(&beside).map_err(|error| failed(&error))?;
    let written = file
        .write_all(bytes)
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        _ = std::fs::remove_file(&beside);
        failed(&error)
    })
}
