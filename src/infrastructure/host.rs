//! Who this process is, for the job table, and what the system may keep of it.

use crate::domain::job::JobOwner;

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
