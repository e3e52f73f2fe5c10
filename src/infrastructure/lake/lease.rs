//! Which owners of jobs are alive. Each holds a kernel lock on a file of its own; the lock vanishes with its holder,
//! so no clock and no process id has to be believed.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::domain::JobId;
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::infrastructure::disk::{self, Access};
use crate::infrastructure::sqlite::SqliteJobRepository;

use super::layout::DataDirectory;
use super::lock::{LockGuard, lock_exclusive};

/// Leases that this process has taken.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// How long to wait for the lock on a file of one's own: only a look by somebody else can be in the way.
const OWN_LOCK_WAIT: Duration = Duration::from_secs(5);

/// Says that its holder lives; given back when dropped.
#[derive(Debug)]
pub struct JobLease {
    name: String,
    path: PathBuf,
    _guard: LockGuard,
}

impl JobLease {
    /// A new lease for a process with this id. The job that names it must be written afterwards.
    ///
    /// # Errors
    /// When the folder or the file cannot be made.
    pub fn take(directory: &DataDirectory, pid: u32) -> Result<Self, StoreError> {
        let folder = directory.leases();
        disk::refuse_links_below(directory.root(), &folder)?;
        disk::create_folders(&folder, Access::Private)?;
        loop {
            // Never the same name twice: whoever looks at an old file must not take it for a new one. A file that is
            // there already was left by a dead process with the same id.
            let number = TAKEN.fetch_add(1, Ordering::Relaxed);
            let name = format!("{pid}-{number}");
            let path = folder.join(&name);
            if path.symlink_metadata().is_err() {
                let guard = lock_exclusive(&path, OWN_LOCK_WAIT)?;
                return Ok(Self {
                    name,
                    path,
                    _guard: guard,
                });
            }
        }
    }

    /// The name to be kept with the job.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for JobLease {
    fn drop(&mut self) {
        // Under the lock, so that nobody else's is removed; one that stays is removed by the next process.
        _ = std::fs::remove_file(&self.path);
    }
}

/// Opens a lease; a link is not followed, and nobody waits for the other end of a pipe.
fn open(path: &Path) -> std::io::Result<File> {
    disk::options_of_own_files(Access::Private)
        .read(true)
        .open(path)
}

/// Whether the holder of a lease lives. A name that cannot be a lease's is nobody's.
pub(super) fn is_held(directory: &DataDirectory, name: &str) -> bool {
    if Path::new(name).file_name() != Some(OsStr::new(name)) {
        return false;
    }
    open(&directory.leases().join(name)).is_ok_and(|file| file.try_lock().is_err())
}

/// Refuses to go on while any process works on a job here.
///
/// # Errors
/// [`StoreErrorKind::Locked`] when one does.
pub fn refuse_while_at_work(directory: &DataDirectory) -> Result<(), StoreError> {
    let leases = disk::list_files_below(&directory.leases())?;
    let names = leases.iter().filter_map(|path| path.file_name()?.to_str());
    match names.filter(|name| is_held(directory, name)).count() {
        0 => Ok(()),
        count => {
            let context = format!(
                "{count} running jobs use {}; wait for their end or cancel them first",
                directory.root().display()
            );
            Err(StoreError::new(StoreErrorKind::Locked, context))
        }
    }
}

/// Closes the jobs whose owners are dead as interrupted, and removes what these left; returns the jobs.
///
/// # Errors
/// When the database cannot be read or written.
pub fn close_dead_jobs(
    directory: &DataDirectory,
    jobs: &SqliteJobRepository,
    now_us: i64,
) -> Result<Vec<JobId>, StoreError> {
    let mut closed = Vec::new();
    for job in jobs.list_unfinished()? {
        let lives = job
            .owner()
            .lease
            .as_deref()
            .is_some_and(|name| is_held(directory, name));
        if !lives && jobs.close_dead(&job, now_us)? {
            closed.push(job.id());
        }
    }
    // Behind a link there would be somebody else's files, which nobody has locked.
    disk::refuse_links_below(directory.root(), &directory.leases())?;
    for path in disk::list_files_below(&directory.leases())? {
        if let Ok(file) = open(&path)
            && file.try_lock().is_ok()
        {
            _ = std::fs::remove_file(&path);
        }
    }
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{JobOwner, JobRequest, JobState};
    use crate::domain::ports::JobRepository;
    use crate::infrastructure::sqlite::Database;

    fn fixture() -> (tempfile::TempDir, DataDirectory, SqliteJobRepository) {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path().to_owned());
        let database = Database::open(&directory.database()).unwrap();
        (folder, directory, SqliteJobRepository::new(database))
    }

    fn job(jobs: &SqliteJobRepository, lease: Option<&str>) -> JobId {
        let request = JobRequest {
            words: "ingest".into(),
            spec: None,
        };
        let owner = JobOwner {
            pid: 1,
            host: "here".into(),
            lease: lease.map(str::to_owned),
        };
        jobs.create_job(&request, &owner, 0).unwrap().id()
    }

    #[test]
    fn a_job_lives_as_long_as_its_lease() {
        let (_folder, directory, jobs) = fixture();
        let lease = JobLease::take(&directory, 7).unwrap();
        let alive = job(&jobs, Some(lease.name()));
        assert_eq!(close_dead_jobs(&directory, &jobs, 5).unwrap(), []);
        drop(lease);
        assert_eq!(close_dead_jobs(&directory, &jobs, 5).unwrap(), [alive]);
        assert_eq!(jobs.get_job(alive).unwrap().state(), JobState::Interrupted);
        assert_eq!(close_dead_jobs(&directory, &jobs, 6).unwrap(), []);
    }

    #[test]
    fn what_a_dead_process_left_is_recognised_and_removed() {
        let (_folder, directory, jobs) = fixture();
        disk::create_folders(&directory.leases(), Access::Private).unwrap();
        let taken = TAKEN.load(Ordering::Relaxed);
        for number in taken..taken + 50 {
            std::fs::write(directory.leases().join(format!("7-{number}")), "").unwrap();
        }
        let dead = [
            job(&jobs, Some(&format!("7-{taken}"))),
            job(&jobs, None),
            job(&jobs, Some("../marketpipe.db")),
        ];
        let lease = JobLease::take(&directory, 7).unwrap();
        let number: u32 = lease.name()[2..].parse().unwrap();
        assert!(number >= taken + 50, "a name is not taken over");
        assert_eq!(close_dead_jobs(&directory, &jobs, 5).unwrap(), dead);
        let left = disk::list_files_below(&directory.leases()).unwrap();
        assert_eq!(left, [directory.leases().join(lease.name())]);
        assert!(directory.database().exists());
    }
}
