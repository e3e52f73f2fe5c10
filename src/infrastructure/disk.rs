//! Small durable file operations and the meaning of their failures. Knows no file format.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::domain::ports::{StoreError, StoreErrorKind};

/// No file of the lake comes near this size; what is larger was put there by somebody else and is not read into memory.
const MOST_BYTES: u64 = 256 << 20;

/// Who may look into a new folder, whatever the umask allows beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Its owner alone.
    Private,
    /// Everybody whom the folders above let through; its owner alone may change it.
    Readable,
}

/// Turns a failed file operation into a [`StoreError`] that names what was attempted on which path.
pub(crate) fn io_failure(action: &str, path: &Path, error: io::Error) -> StoreError {
    use io::ErrorKind as Io;
    let kind = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => StoreErrorKind::NoSpace,
        Io::PermissionDenied
        | Io::ReadOnlyFilesystem
        | Io::NotADirectory
        | Io::AlreadyExists
        | Io::CrossesDevices => StoreErrorKind::NotWritable,
        Io::NotFound => StoreErrorKind::Missing,
        Io::UnexpectedEof | Io::InvalidData => StoreErrorKind::Damaged,
        _ => StoreErrorKind::Failed,
    };
    StoreError::new(kind, format!("cannot {action} {}: {error}", path.display())).caused_by(error)
}

/// Makes `folder` and what is missing above it, and makes each new entry durable.
pub(crate) fn create_folders(folder: &Path, access: Access) -> Result<(), StoreError> {
    let mut changed = BTreeSet::new();
    create_folders_noting(folder, access, &mut changed)?;
    changed.iter().try_for_each(|folder| sync_folder(folder))
}

/// Makes `folder` and what is missing above it; the folders that got a new entry are added to `changed`, for the caller
/// to sync, once each however many entries they got.
pub(crate) fn create_folders_noting(
    folder: &Path,
    access: Access,
    changed: &mut BTreeSet<PathBuf>,
) -> Result<(), StoreError> {
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut made = create_folder(folder, access);
    if let (Err(error), Some(parent)) = (&made, parent)
        && error.kind() == io::ErrorKind::NotFound
    {
        create_folders_noting(parent, access, changed)?;
        // Once: below some folders, such as /proc, nothing can be made although they are there.
        made = create_folder(folder, access);
    }
    match made {
        Ok(()) => {
            changed.insert(parent.unwrap_or(Path::new(".")).to_owned());
            Ok(())
        }
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(io_failure("create folder", folder, error)),
    }
}

fn create_folder(folder: &Path, access: Access) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(
        &mut builder,
        match access {
            Access::Private => 0o700,
            Access::Readable => 0o755,
        },
    );
    #[cfg(not(unix))]
    let _ = access;
    builder.create(folder)
}

/// Refuses a path below `root` of which any part is a symbolic link: what seems to lie there lies elsewhere, and what
/// is written or removed there would be somebody else's. `root` itself may be a link.
pub(crate) fn refuse_links_below(root: &Path, path: &Path) -> Result<(), StoreError> {
    let Ok(relative) = path.strip_prefix(root) else {
        return Ok(());
    };
    let mut current = root.to_owned();
    for part in relative {
        current.push(part);
        match current.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                return Err(is_a_link(StoreErrorKind::NotWritable, &current));
            }
            // What is not there yet will be made by us.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

fn is_a_link(kind: StoreErrorKind, path: &Path) -> StoreError {
    let context = format!(
        "{} is a symbolic link, and none is followed in a data directory",
        path.display()
    );
    StoreError::new(kind, context)
}

/// Turns a failure to open one of the program's own files into an error that says so when a link is in the way.
pub(crate) fn open_failure(action: &str, path: &Path, error: io::Error) -> StoreError {
    match path.is_symlink() {
        true => is_a_link(StoreErrorKind::NotWritable, path).caused_by(error),
        false => io_failure(action, path, error),
    }
}

/// How the program opens its own files: never through a link at the end of the path, and a new one with a mode that
/// no umask can widen.
pub(crate) fn options_of_own_files(access: Access) -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options
            .mode(match access {
                Access::Private => 0o600,
                Access::Readable => 0o644,
            })
            .custom_flags(no_link_and_no_waiting());
    }
    #[cfg(not(unix))]
    let _ = access;
    options
}

/// Refuses a link at the end of the path, and does not wait for the other end of a pipe that somebody put there.
#[cfg(unix)]
fn no_link_and_no_waiting() -> i32 {
    use rustix::fs::OFlags;
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// Whether every user of the machine may add and remove entries of `folder`.
#[cfg(unix)]
pub(crate) fn is_writable_by_all(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o002 != 0)
}

/// Whether every user of the machine may add and remove entries of `folder`; nobody knows here.
#[cfg(not(unix))]
pub(crate) fn is_writable_by_all(_folder: &Path) -> bool {
    false
}

/// Makes the entries of `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // Only Unix can open and sync a folder; elsewhere the file system journals renames by itself.
    if cfg!(unix) {
        let handle =
            File::open(folder).map_err(|error| io_failure("open folder", folder, error))?;
        handle
            .sync_all()
            .map_err(|error| io_failure("sync folder", folder, error))?;
    }
    Ok(())
}

/// Makes a file that somebody else wrote durable, and the folders between it and `root`, that one included.
pub(crate) fn sync_with_folders(root: &Path, path: &Path) -> Result<(), StoreError> {
    // Elsewhere than on Unix only a file that may be written can be synced.
    if cfg!(unix) {
        let file = options_of_own_files(Access::Readable).read(true).open(path);
        let synced = file.and_then(|file| file.sync_all());
        synced.map_err(|error| io_failure("sync", path, error))?;
    }
    let above = path.ancestors().skip(1);
    let mut folders = above.take_while(|folder| folder.starts_with(root));
    folders.try_for_each(sync_folder)
}

/// Writes a new file that must not exist yet and makes its content durable. On failure nothing is left behind.
pub(crate) fn write_new_durable(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = options_of_own_files(Access::Readable)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| io_failure("create", path, error))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // A failed fsync must not be tried again on the same file: what it lost is gone.
        drop(file);
        _ = fs::remove_file(path);
        return Err(io_failure("write", path, error));
    }
    Ok(())
}

/// A new file at `path`, which is [`beside`] another one: what a dead process left there goes first. A link that somebody
/// put there, in a folder that all may write to, is not followed.
pub(crate) fn create_anew(path: &Path) -> Result<File, StoreError> {
    remove_if_present(path)?;
    File::create_new(path).map_err(|error| io_failure("create", path, error))
}

/// Where what becomes the file at `path` is written until it is complete: in the same folder, so that a rename puts it in
/// its place, hidden, and another for each process.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

/// Bytes that may still be written where `path` lies; `None` where the system does not tell.
#[cfg(unix)]
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let room = rustix::fs::statvfs(path).ok()?;
    room.f_bavail.checked_mul(room.f_frsize)
}

/// Bytes that may still be written where `path` lies; `None` where the system does not tell.
#[cfg(not(unix))]
pub(crate) fn free_bytes(_path: &Path) -> Option<u64> {
    None
}

/// Whether this process may make files in `folder`.
pub(crate) fn may_write_in(folder: &Path) -> bool {
    #[cfg(unix)]
    {
        use rustix::fs::Access;
        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }
    #[cfg(not(unix))]
    {
        fs::metadata(folder).is_ok_and(|found| !found.permissions().readonly())
    }
}

/// The kind of the network file system that `path` lies on; `None` on a local one and where the system does not tell.
pub(crate) fn network_file_system(path: &Path) -> Option<&'static str> {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    {
        // Magic numbers of statfs(2).
        const KINDS: [(rustix::fs::FsWord, &str); 5] = [
            (0x6969, "NFS"),
            (0x517b, "SMB"),
            (0xff53_4d42, "CIFS"),
            (0xfe53_4d42, "SMB2"),
            (0x0102_1997, "9p"),
        ];
        let found = rustix::fs::statfs(path).ok()?.f_type & 0xffff_ffff;
        KINDS
            .iter()
            .find(|(magic, _)| *magic == found)
            .map(|(_, kind)| *kind)
    }
    #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
    {
        _ = path;
        None
    }
}

/// What tells a file from every other; `None` where the system does not say, and where an open file cannot be moved.
pub(crate) fn identity_of(found: &fs::Metadata) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        Some((found.dev(), found.ino()))
    }
    #[cfg(not(unix))]
    {
        _ = found;
        None
    }
}

/// Whether two folders that exist lie on different file systems, where the system tells.
pub(crate) fn are_on_different_file_systems(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        matches!((device(one), device(other)), (Some(one), Some(other)) if one != other)
    }
    #[cfg(not(unix))]
    {
        _ = (one, other);
        false
    }
}

/// Moves a finished file to its place, replacing what is there. The folder is synced by the caller.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|error| io_failure("move a finished file to", to, error))
}

/// Removes a file; one that is gone already is fine.
pub(crate) fn remove_if_present(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_failure("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// The whole file; `None` when there is none. What is a link, a pipe, a device or far too large is not read.
pub(crate) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |error| io_failure("read", path, error);
    let file = match options_of_own_files(Access::Readable).read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) if path.is_symlink() => return Err(is_a_link(StoreErrorKind::Damaged, path)),
        Err(error) => return Err(failed(error)),
    };
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() || found.len() > MOST_BYTES {
        return Err(is_not_ours(path));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0));
    file.take(MOST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(Some(bytes))
}

/// Refuses what is there and no file: a link, a pipe, a device, a folder.
pub(crate) fn refuse_no_file(path: &Path) -> Result<(), StoreError> {
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => Err(is_a_link(StoreErrorKind::Damaged, path)),
        Ok(found) if !found.is_file() => Err(is_not_ours(path)),
        _ => Ok(()),
    }
}

fn is_not_ours(path: &Path) -> StoreError {
    let context = format!("{} is not a file that this program wrote", path.display());
    StoreError::new(StoreErrorKind::Damaged, context)
}

/// The regular files below `folder`, at any depth, in order; none when there is no such folder. Links are not followed.
pub(crate) fn list_files_below(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for (path, file_type) in entries_of(&current)? {
            if file_type.is_dir() {
                folders.push(path);
            } else if file_type.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Everything below `folder`, folders too, and which folders cannot be listed, and why: what is in those is not known.
pub(crate) fn list_all_below(folder: &Path) -> (Vec<PathBuf>, Vec<(PathBuf, StoreError)>) {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        match entries_of(&current) {
            Ok(entries) => {
                for (path, file_type) in entries {
                    if file_type.is_dir() {
                        folders.push(path.clone());
                    }
                    found.push(path);
                }
            }
            Err(error) => failed.push((current, error)),
        }
    }
    found.sort();
    (found, failed)
}

/// What is in `folder`; nothing when there is no such folder.
fn entries_of(folder: &Path) -> Result<Vec<(PathBuf, fs::FileType)>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| io_failure("list", folder, error))?,
    };
    let look = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.map_err(|error| io_failure("list", folder, error))?;
        let file_type = entry.file_type();
        let file_type = file_type.map_err(|error| io_failure("inspect", &entry.path(), error))?;
        Ok((entry.path(), file_type))
    };
    entries.map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_nothing_can_be_made_in_is_an_error_and_no_endless_descent() {
        let refused = create_folders(Path::new("/proc/marketpipe/data"), Access::Private);
        let words = refused.unwrap_err().to_string();
        assert!(words.contains("/proc/marketpipe"), "{words}");
    }

    #[test]
    fn a_new_file_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_new_durable(&path, b"one").unwrap();
        let refused = write_new_durable(&path, b"two").unwrap_err();
        assert!(refused.to_string().contains("cannot create"), "{refused}");
        assert_eq!(read_if_present(&path).unwrap().unwrap(), b"one");
        assert_eq!(read_if_present(&folder.path().join("b")).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_of_ours_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let [link, large] = ["link", "large"].map(|name| folder.path().join(name));
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        File::create(&large).unwrap().set_len(1 << 40).unwrap();
        for path in [link, large, folder.path().to_owned()] {
            let refused = read_if_present(&path).unwrap_err();
            assert_eq!(refused.kind, StoreErrorKind::Damaged, "{refused}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_on_the_way_is_found_and_one_above_the_root_is_not_our_business() {
        let folder = tempfile::tempdir().unwrap();
        let [real, linked] = ["real", "linked"].map(|name| folder.path().join(name));
        create_folders(&real.join("a/b"), Access::Readable).unwrap();
        std::os::unix::fs::symlink(&real, &linked).unwrap();
        std::os::unix::fs::symlink("b", real.join("a/c")).unwrap();
        for (path, is_fine) in [
            ("a/b/x", true),
            ("a/c", false),
            ("a/c/x", false),
            ("z/c", true),
        ] {
            let looked = refuse_links_below(&linked, &linked.join(path));
            assert_eq!(looked.is_ok(), is_fine, "{path}");
        }
    }

    #[test]
    fn an_unfinished_file_lies_hidden_in_the_folder_of_its_place() {
        for (path, folder) in [("a/b.csv", "a"), ("b.csv", "")] {
            let beside = beside(Path::new(path));
            assert_eq!(beside.parent(), Some(Path::new(folder)));
            let name = beside.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(".b.csv."), "{name}");
        }
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_new_durable(&path, b"one").unwrap();
        let refused = create_folders(&path.join("b"), Access::Private).unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::NotWritable);
        create_folders(&folder.path().join("x/y/z"), Access::Private).unwrap();
        write_new_durable(&folder.path().join("x/y/z/f"), b"").unwrap();
        assert_eq!(list_files_below(folder.path()).unwrap().len(), 2);
        assert!(
            list_files_below(&folder.path().join("none"))
                .unwrap()
                .is_empty()
        );
    }
}
