//! Who this process is, for the job table, what the system grants it, and what it may keep of it.

use crate::domain::job::JobOwner;
use crate::domain::ports::{StoreError, StoreErrorKind};

/// This process, which holds the lease of that name.
pub fn this_process(lease: &str) -> JobOwner {
    JobOwner {
        pid: std::process::id(),
        host: host_name(),
        lease: Some(lease.to_owned()),
    }
}

/// Forbids a memory image of this process, should it crash: the credentials are in it. What the system refuses stays as
/// it was.
#[cfg(unix)]
pub fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    _ = setrlimit(Resource::Core, none);
}

/// Elsewhere than on Unix there is nothing to forbid.
#[cfg(not(unix))]
pub fn forbid_core_dumps() {}

/// Files, folders and sockets that a run may have open at once, with room to spare: below that parts of the program that
/// cannot tell it would end it.
#[cfg(unix)]
const DESCRIPTORS: usize = 48;

/// Refuses to begin with fewer descriptors than a run needs.
///
/// # Errors
/// [`StoreErrorKind::Failed`] with the limit.
#[cfg(unix)]
pub fn check_descriptors() -> Result<(), StoreError> {
    // Trying tells what a limit does not: what was inherited counts against it too.
    let opened: std::io::Result<Vec<_>> = std::fs::File::open("/")
        .and_then(|root| (0..DESCRIPTORS).map(|_| root.try_clone()).collect());
    opened.map(drop).map_err(|error| {
        let context = format!(
            "cannot open {DESCRIPTORS} files at once, as many as a run may need (`ulimit -n`): {error}"
        );
        StoreError::new(StoreErrorKind::Failed, context).caused_by(error)
    })
}

/// Elsewhere there is no such limit.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn check_descriptors() -> Result<(), StoreError> {
    Ok(())
}

/// Makes a write beyond `ulimit -f` fail, so that it is told like a full disk; by default it ends the process at once.
#[cfg(unix)]
pub fn survive_file_size_limit() {
    use tokio::signal::unix::{SignalKind, signal};
    /// SIGXFSZ on Linux, macOS and the BSDs.
    const FILE_SIZE_LIMIT: i32 = 25;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    // Without the handler only this one limit ends the process, which is safe at any moment.
    if let Ok(runtime) = runtime {
        let _entered = runtime.enter();
        // The handler stays when signal and runtime are gone.
        _ = signal(SignalKind::from_raw(FILE_SIZE_LIMIT));
    }
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub fn survive_file_size_limit() {}

/// The machine's name where the system tells it in a file; it is shown to people and decides nothing.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"));
    name.map_or_else(
        |_| "this machine".to_owned(),
        |name| {
            name.trim()
                .chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect()
        },
    )
}
