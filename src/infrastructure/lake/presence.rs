//! Whether the lake is there at all: an empty folder where its disk should be mounted has lost nothing. Opens no file.

use std::io;

use super::layout::DataDirectory;
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::infrastructure::sqlite::SqliteCatalog;

/// What to do where the lake is not there.
pub(super) const IF_LOST: &str = "mount it; if the files are really lost, `marketpipe doctor --rebuild-catalog` says so to the \
     catalog and `marketpipe repair` fetches them again";

/// Refuses a lake in which nothing is left of what the catalog knows: whoever wrote into it now would write beside the
/// real one.
///
/// # Errors
/// [`StoreErrorKind::Missing`] says so.
pub fn refuse_absent(directory: &DataDirectory, catalog: &SqliteCatalog) -> Result<(), StoreError> {
    match count_if_absent(directory, catalog)? {
        None => Ok(()),
        Some(count) => {
            let context = format!("{}; {IF_LOST}", absence(directory, count));
            Err(StoreError::new(StoreErrorKind::Missing, context))
        }
    }
}

/// Says that nothing is there of the `count` files that the catalog knows.
pub(super) fn absence(directory: &DataDirectory, count: usize) -> String {
    format!(
        "{} has nothing of the {count} files that the catalog knows, not even a folder of one; is its disk mounted?",
        directory.lake().display()
    )
}

/// How many files the catalog knows, if not even the folder of one of them is there.
///
/// Folders stay where somebody deletes files, and nobody else's entry in the place of a lake (`lost+found`) is one of them.
pub(super) fn count_if_absent(
    directory: &DataDirectory,
    catalog: &SqliteCatalog,
) -> Result<Option<usize>, StoreError> {
    let (mut count, mut is_absent) = (0, true);
    catalog.for_each_path(&mut |path| {
        count += 1;
        let path = directory.root().join(path);
        let folder = path.parent().unwrap_or(directory.root());
        // What cannot be looked at is not gone.
        is_absent = matches!(folder.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound);
        is_absent
    })?;
    Ok((is_absent && count > 0).then_some(count))
}
