//! Kernel advisory locks between processes. They vanish with their holder, so nothing can be left locked.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::infrastructure::disk::{
    Access, identity_of, io_failure, open_failure, options_of_own_files,
};

/// How often a lock that somebody else holds is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// How long readers wait for a replacement of files, which takes milliseconds.
const PUBLISH_WAIT: Duration = Duration::from_secs(60);

/// A lock while it is held; freed when dropped.
#[derive(Debug)]
pub struct LockGuard {
    file: File,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // Closing the file would free it as well; a failure has no consequence.
        _ = self.file.unlock();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Shared,
    Exclusive,
}

/// Takes the store lock at `path` exclusively, waiting `wait` at most. `on_wait` is told once who holds it.
///
/// # Errors
/// [`StoreErrorKind::Locked`] names the holder when the wait was in vain.
pub(super) fn lock_store(
    path: &Path,
    holder: &str,
    wait: Duration,
    on_wait: impl FnOnce(&str),
) -> Result<LockGuard, StoreError> {
    let mut guard = acquire(path, Mode::Exclusive, wait, on_wait)?;
    // A hint for messages only: the kernel's lock decides.
    let written = guard
        .file
        .set_len(0)
        .and_then(|()| guard.file.rewind())
        .and_then(|()| guard.file.write_all(holder.as_bytes()));
    written.map_err(|error| io_failure("write", path, error))?;
    Ok(guard)
}

/// Takes the lock at `path` exclusively, making the file, waiting `wait` at most.
///
/// # Errors
/// [`StoreErrorKind::Locked`] when the wait was in vain.
pub(super) fn lock_exclusive(path: &Path, wait: Duration) -> Result<LockGuard, StoreError> {
    acquire(path, Mode::Exclusive, wait, |_| ())
}

/// The lock between readers of files and whoever replaces them.
#[derive(Debug, Clone)]
pub struct PublishLock {
    path: PathBuf,
}

impl PublishLock {
    /// The lock at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Keeps files from being replaced while they are read.
    ///
    /// # Errors
    /// [`StoreErrorKind::Locked`] after a minute of waiting.
    pub fn shared(&self) -> Result<LockGuard, StoreError> {
        acquire(&self.path, Mode::Shared, PUBLISH_WAIT, |_| ())
    }

    /// The same for whoever may only look: who may not write beside the files holds nobody up.
    ///
    /// # Errors
    /// [`StoreErrorKind::Locked`] after a minute of waiting.
    pub(super) fn shared_if_possible(&self) -> Result<Option<LockGuard>, StoreError> {
        match self.shared() {
            Ok(guard) => Ok(Some(guard)),
            Err(error) if error.kind == StoreErrorKind::NotWritable => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps readers away while files are replaced; waits `wait` at most for those that read.
    pub(super) fn exclusive(&self, wait: Duration) -> Result<LockGuard, StoreError> {
        acquire(&self.path, Mode::Exclusive, wait, |_| ())
    }
}

fn acquire(
    path: &Path,
    mode: Mode,
    wait: Duration,
    on_wait: impl FnOnce(&str),
) -> Result<LockGuard, StoreError> {
    let begun = Instant::now();
    let mut on_wait = Some(on_wait);
    loop {
        // Not through a link: the holder's name is written into the file, whose content goes.
        let file = options_of_own_files(Access::Private)
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| open_failure("open lock", path, error))?;
        let tried = match mode {
            Mode::Shared => file.try_lock_shared(),
            Mode::Exclusive => file.try_lock(),
        };
        match tried {
            // A lock on a file that was deleted meanwhile locks nobody out.
            Ok(()) if is_still_at(&file, path) => return Ok(LockGuard { file }),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(file);
                if begun.elapsed() >= wait {
                    let context = format!(
                        "{} is locked by {holder} for longer than {} s",
                        path.display(),
                        wait.as_secs()
                    );
                    return Err(StoreError::new(StoreErrorKind::Locked, context));
                }
                if let Some(on_wait) = on_wait.take() {
                    on_wait(&holder);
                }
                std::thread::sleep(RETRY_EVERY);
            }
            Err(TryLockError::Error(error)) => return Err(io_failure("lock", path, error)),
        }
    }
}

fn read_holder(mut file: File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text
            .trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect(),
        _ => "another process".to_owned(),
    }
}

/// Whether `path` still names the file that was locked. Where the system cannot tell, a locked file cannot be deleted.
fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(found)) => identity_of(&held) == identity_of(&found),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_waits_and_is_told_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.lock");
        let held = lock_store(&path, "process 1", Duration::ZERO, |_| ()).unwrap();
        let mut told = String::new();
        let refused = lock_store(&path, "process 2", Duration::from_millis(30), |holder| {
            told = holder.to_owned()
        })
        .unwrap_err();
        assert_eq!(
            (refused.kind, told.as_str()),
            (StoreErrorKind::Locked, "process 1")
        );
        drop(held);
        lock_store(&path, "process 2", Duration::ZERO, |_| ()).unwrap();
    }

    #[test]
    fn readers_share_and_writers_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let lock = PublishLock::new(folder.path().join("publish.lock"));
        let first = lock.shared().unwrap();
        let second = lock.shared().unwrap();
        drop((first, second));
        drop(lock.exclusive(Duration::ZERO).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_deleted_lock_file_locks_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.lock");
        let old = lock_store(&path, "one", Duration::ZERO, |_| ()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!is_still_at(&old.file, &path));
        lock_store(&path, "two", Duration::ZERO, |_| ()).unwrap();
    }
}
