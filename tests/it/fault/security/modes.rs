//! Who may read and change what the program keeps, whatever the umask.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use marketpipe::infrastructure::fake_alpaca::{Fault, FaultScript, StallPoint, When};

use super::{SECTION, mode_of};
use crate::support::experiment::Experiment;
use crate::support::lab::{Lab, run};

/// The program under a umask of its own.
fn under(lab: &Lab, umask: &str, arguments: &[&str]) -> Command {
    let inner = lab.command(arguments);
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .current_dir(lab.folder.path());
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}

/// The modes of everything in the data directory, itself included.
fn modes(lab: &Lab) -> BTreeMap<PathBuf, u32> {
    let root = lab.data();
    let mut found = BTreeMap::from([(PathBuf::new(), mode_of(&root.metadata().unwrap()))]);
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // A lease or a log may go away at any moment.
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            let name = path.strip_prefix(&root).unwrap().to_owned();
            found.insert(name, mode_of(&metadata));
        }
    }
    found
}

fn assert_modes(found: &BTreeMap<PathBuf, u32>, umask: u32) {
    for (path, &mode) in found {
        let is_folder = mode & 0o100 != 0;
        let expected = match (path.starts_with("lake"), is_folder) {
            // Programs of other users may read the bars, once the owner opens the data directory to them.
            (true, true) => 0o755 & !umask,
            (true, false) => 0o644 & !umask,
            (false, true) => 0o700,
            (false, false) if path.starts_with("reports") => 0o666 & !umask,
            (false, false) => 0o600,
        };
        assert_eq!(mode, expected, "{} under {umask:03o}", path.display());
    }
}

#[test]
fn a_data_directory_that_everybody_may_change_is_told_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-01");
    std::fs::create_dir(lab.data()).unwrap();
    for (mode, is_told) in [
        (0o777, true),
        (0o1777, true),
        (0o775, false),
        (0o700, false),
    ] {
        std::fs::set_permissions(lab.data(), std::fs::Permissions::from_mode(mode)).unwrap();
        let ran = lab.ingest("AAPL", "2024-07-01", "2024-07-01");
        let words = "every user of this machine may change";
        assert_eq!(
            ran.stderr.contains(words),
            is_told,
            "{mode:o}: {}",
            ran.stderr
        );
    }
}

#[test]
fn state_is_its_owners_alone_whatever_the_umask() {
    for (umask, word) in [(0o000, "000"), (0o022, "022"), (0o077, "077")] {
        let experiment = Experiment::begin(
            SECTION,
            "modes of files",
            format!(
                "ingest, aggregate, validate, query and jobs under umask {word}, seen at rest and in the middle of a run"
            ),
            "data directory, staging, leases 0700; database, its log and locks 0600; lake 0755 and 0644 less the umask",
        );
        let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-05");
        let ingest = |first: &'static str, last: &'static str| {
            under(
                &lab,
                word,
                &[
                    "ingest",
                    "--symbols",
                    "AAPL",
                    "--start",
                    first,
                    "--end",
                    last,
                ],
            )
        };
        let mut looked = BTreeMap::new();
        let mut runs = 0;
        let mut look = |found: BTreeMap<PathBuf, u32>| {
            assert_modes(&found, umask);
            looked.extend(found);
            runs += 1;
        };
        assert_eq!(run(&mut ingest("2024-07-01", "2024-07-02")).code, 0);
        look(modes(&lab));
        lab.server.set_faults(FaultScript::new().on(
            When::Always,
            Fault::Stall {
                point: StallPoint::BeforeHead,
                lasting: Duration::from_secs(20),
            },
        ));
        lab.server.reset_stats();
        let mut child = ingest("2024-07-03", "2024-07-05")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while lab.server.stats().requests == 0 {
            assert!(begun.elapsed().as_secs() < 20, "nothing was asked");
            std::thread::yield_now();
        }
        look(modes(&lab));
        child.kill().unwrap();
        child.wait().unwrap();
        lab.server.set_faults(FaultScript::new());
        look(modes(&lab));
        assert_eq!(run(&mut ingest("2024-07-03", "2024-07-05")).code, 0);
        for arguments in [
            &["aggregate"][..],
            &["validate"],
            &["query", "from bars_1m limit 1"],
            &["jobs", "list"],
        ] {
            assert_eq!(
                run(&mut under(&lab, word, arguments)).code,
                0,
                "{arguments:?}"
            );
            look(modes(&lab));
        }
        for name in [
            "marketpipe.db",
            "marketpipe.db-wal",
            "marketpipe.db-shm",
            "store.lock",
            "publish.lock",
            "running",
            "staging",
            "reports",
            "lake",
        ] {
            assert!(
                looked.contains_key(&PathBuf::from(name)),
                "{name} was never seen"
            );
        }
        let leases = looked
            .keys()
            .filter(|path| path.parent() == Some("running".as_ref()))
            .count();
        assert!(leases > 0, "no lease was seen");
        experiment.passed(
            runs,
            format!("{} files and folders, all as expected", looked.len()),
        );
    }
}
