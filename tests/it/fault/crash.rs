//! Killed at every step: whatever a command does to the disk, it is killed right before its n-th time. What is stored is
//! sound at once, and one plain rerun gives what an undisturbed run gives.
//!
//! The steps are the system calls that change anything; `strace` kills at their entry, each thread counting its own.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{copy_tree, ledger_of, strace, wrapped};
use crate::kills::assert_catalog_agrees;
use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{Lab, files_below, made_up, run};

/// Groups of system calls, by what they are to the commit protocol.
const STEPS: [(&str, &str); 9] = [
    ("open", "openat"),
    ("make folder", "?mkdir,?mkdirat"),
    ("write", "write"),
    ("write to the database", "pwrite64"),
    ("sync", "fsync,fdatasync"),
    ("rename", "?rename,?renameat,?renameat2"),
    ("remove", "?unlink,?unlinkat"),
    ("cut", "ftruncate"),
    ("lock", "flock"),
];

const SYMBOLS: &str = "AAPL,BRK.B";
const FIRST: &str = "2024-01-02";
const LAST: &str = "2024-04-30";

/// A command that is killed, from a data directory that was made ready for it.
struct Workload {
    name: &'static str,
    command: Vec<&'static str>,
    /// What its data directory is before.
    ready: PathBuf,
}

/// A data directory as it is after an undisturbed run.
#[derive(Debug, PartialEq)]
struct Undisturbed {
    files: BTreeMap<PathBuf, Vec<u8>>,
    ledger: Vec<String>,
}

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "BRK.B"], FIRST, LAST);
    lab.configure("[providers.alpaca]\nrequests_per_minute = 100000\n");
    lab
}

fn ingest(more: &[&'static str]) -> Vec<&'static str> {
    let range = ["--start", FIRST, "--end", LAST];
    [&["ingest", "--symbols", SYMBOLS], &range[..], more].concat()
}

impl Workload {
    fn command(&self, lab: &Lab, data: &Path) -> Command {
        let mut command = lab.command(&self.command);
        command.env("MARKETPIPE_DATA_DIR", data);
        command
    }

    /// A data directory to try on.
    fn begin(&self, lab: &Lab) -> tempfile::TempDir {
        let folder = tempfile::tempdir_in(lab.folder.path()).unwrap();
        copy_tree(&self.ready, folder.path());
        folder
    }
}

fn state_of(data: &Path) -> Undisturbed {
    let lake = data.join("lake");
    let files = files_below(&lake).into_iter().map(|path| {
        let name = path.strip_prefix(&lake).unwrap().to_owned();
        (name, std::fs::read(&path).unwrap())
    });
    Undisturbed {
        files: files.collect(),
        ledger: ledger_of(data),
    }
}

/// `command` under `strace` with these arguments, in silence.
fn under_strace(arguments: &[&str], command: &Command) -> Command {
    // Not with --seccomp-bpf: strace 6.1 then counts wrongly before a signal.
    let wrapper = [&["strace", "-f", "-qq"], arguments].concat();
    let mut command = wrapped(&wrapper, command);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// How often the busiest thread comes to each step, in an undisturbed run.
fn count_steps(lab: &Lab, workload: &Workload) -> Vec<(usize, usize)> {
    let data = workload.begin(lab);
    let log = lab.folder.path().join("trace");
    let names: Vec<&str> = STEPS.iter().map(|(_, calls)| *calls).collect();
    let trace = format!("trace={}", names.join(","));
    let command = workload.command(lab, data.path());
    let ran = under_strace(&["-o", log.to_str().unwrap(), "-e", &trace], &command)
        .status()
        .unwrap();
    assert!(ran.success(), "{}: {ran}", workload.name);
    let mut counts: BTreeMap<(String, usize), usize> = BTreeMap::new();
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start().split('(').next().unwrap();
        let is_of = |calls: &str| {
            calls
                .split(',')
                .any(|name| name.trim_start_matches('?') == call)
        };
        if let Some(step) = STEPS.iter().position(|(_, calls)| is_of(calls)) {
            *counts.entry((thread.to_owned(), step)).or_default() += 1;
        }
    }
    let most = |step| {
        counts
            .iter()
            .filter(|((_, of), _)| *of == step)
            .map(|(_, &count)| count)
            .max()
    };
    (0..STEPS.len())
        .map(|step| (step, most(step).unwrap_or(0)))
        .collect()
}

/// At most `wanted` of all `points`, evenly spread.
fn spread(points: Vec<(usize, usize)>, wanted: usize) -> Vec<(usize, usize)> {
    let all = points.len();
    let wanted = wanted.min(all);
    (0..wanted).map(|at| points[at * all / wanted]).collect()
}

/// Kills the command right before the `nth` time that a thread comes to `step`; whether it came there.
fn kill_at(lab: &Lab, workload: &Workload, data: &Path, (step, nth): (usize, usize)) -> bool {
    let inject = format!("inject={}:signal=KILL:when={nth}", STEPS[step].1);
    let command = workload.command(lab, data);
    let trace = format!("trace={}", STEPS[step].1);
    let ended = under_strace(&["-o", "/dev/null", "-e", &trace, "-e", &inject], &command)
        .status()
        .unwrap();
    let was_killed = ended.signal() == Some(9);
    assert!(was_killed || ended.success(), "{}: {ended}", workload.name);
    was_killed
}

/// What is stored is sound, whatever was cut short: the doctor finds notes, never an error.
fn assert_sound(lab: &Lab, data: &Path, context: &str) {
    let mut doctor = lab.command(&["doctor", "--deep", "--format", "csv"]);
    let looked = run(doctor.env("MARKETPIPE_DATA_DIR", data));
    assert_eq!(
        looked.code, 0,
        "{context}\n{}\n{}",
        looked.stdout, looked.stderr
    );
}

fn assert_made_good(
    lab: &Lab,
    workload: &Workload,
    data: &Path,
    undisturbed: &Undisturbed,
    context: &str,
) {
    let again = run(&mut workload.command(lab, data));
    assert_eq!(again.code, 0, "{context}\n{}", again.stderr);
    let state = state_of(data);
    let names = |state: &Undisturbed| state.files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&state), names(undisturbed), "{context}");
    let differing: Vec<_> = undisturbed
        .ledger
        .iter()
        .filter(|line| !state.ledger.contains(line))
        .chain(
            state
                .ledger
                .iter()
                .filter(|line| !undisturbed.ledger.contains(line)),
        )
        .map(|line| line.split(" 0000").next())
        .collect();
    assert_eq!(differing, [], "{context}\n{}", again.stderr);
    assert!(
        state == *undisturbed,
        "{context}: another state than the undisturbed"
    );
    assert_catalog_agrees(data);
    assert_sound(lab, data, context);
}

/// What holds of a data directory when a command was killed, before the rerun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtOnce {
    /// The doctor finds no error; every other rerun is killed too, two levels deep.
    Sound,
    /// It was damaged before, and is until the command has ended once.
    AsDamagedAsBefore,
}

/// Kills the workload at its steps: one plain rerun gives what an undisturbed run gives.
fn assert_survives_every_kill(lab: &Lab, workload: &Workload, at_once: AtOnce) {
    let is_sound = at_once == AtOnce::Sound;
    let experiment = Experiment::begin(
        "crash",
        format!("SIGKILL during {}", workload.name),
        "strace, right before the n-th call of each kind that changes the disk",
        if is_sound {
            "sound at once, and the undisturbed state after a plain rerun, also where that was killed too"
        } else {
            "the undisturbed state after a plain rerun"
        },
    );
    let undisturbed = {
        let data = workload.begin(lab);
        let ran = run(&mut workload.command(lab, data.path()));
        assert_eq!(ran.code, 0, "{}: {}", workload.name, ran.stderr);
        state_of(data.path())
    };
    let steps = count_steps(lab, workload);
    let points: Vec<_> = steps
        .iter()
        .flat_map(|&(step, most)| (1..=most).map(move |nth| (step, nth)))
        .collect();
    let all = points.len();
    let points = spread(points, trials(5, 180));
    let tried = points.len();
    let (mut killed, mut in_recovery) = (0, 0);
    for (number, point) in points.into_iter().enumerate() {
        let context = format!(
            "{}: killed before {} {}",
            workload.name, STEPS[point.0].0, point.1
        );
        let data = workload.begin(lab);
        killed += usize::from(kill_at(lab, workload, data.path(), point));
        if is_sound {
            assert_sound(lab, data.path(), &context);
        }
        if is_sound && number % 2 == 1 {
            // As far into the rerun as the number says.
            let (step, most) = steps[number % steps.len()];
            let nth = 1 + number % most.max(1);
            in_recovery += usize::from(kill_at(lab, workload, data.path(), (step, nth)));
            assert_sound(lab, data.path(), &context);
        }
        assert_made_good(lab, workload, data.path(), &undisturbed, &context);
    }
    assert!(
        2 * killed > tried,
        "{}: {killed} of {tried} were killed",
        workload.name
    );
    experiment.passed(
        killed + in_recovery,
        format!(
            "{killed} kills at {all} points, {in_recovery} more during recovery: 0 lost, 0 doubled"
        ),
    );
}

/// Each workload on a data directory that `prepare` makes ready.
fn workload(
    lab: &Lab,
    name: &'static str,
    command: Vec<&'static str>,
    prepare: impl FnOnce(&Lab),
) -> Workload {
    prepare(lab);
    let ready = lab.folder.path().join("ready");
    if lab.data().exists() {
        std::fs::rename(lab.data(), &ready).unwrap();
    } else {
        std::fs::create_dir(&ready).unwrap();
    }
    Workload {
        name,
        command,
        ready,
    }
}

#[test]
fn an_ingest_killed_at_any_step_loses_and_doubles_nothing() {
    if !strace() {
        return;
    }
    let lab = lab();
    let first = workload(&lab, "a first ingest", ingest(&[]), |_| ());
    assert_survives_every_kill(&lab, &first, AtOnce::Sound);
}

#[test]
fn a_revision_killed_at_any_step_loses_and_doubles_nothing() {
    if !strace() {
        return;
    }
    let lab = lab();
    let revision = workload(
        &lab,
        "an ingest of revised bars",
        ingest(&["--refresh", "--aggregate"]),
        |lab| {
            lab.done(&ingest(&["--aggregate"]));
            lab.server.update_tape(|tape| {
                for symbol in ["AAPL", "BRK.B"] {
                    let mut bars = made_up(symbol, FIRST, LAST);
                    for bar in bars.iter_mut().step_by(1000) {
                        bar.volume += 1.0;
                    }
                    tape.insert("sip", symbol, bars);
                }
            });
        },
    );
    assert_survives_every_kill(&lab, &revision, AtOnce::Sound);
}

#[test]
fn an_aggregation_killed_at_any_step_loses_and_doubles_nothing() {
    if !strace() {
        return;
    }
    let lab = lab();
    let aggregation = workload(&lab, "an aggregation", vec!["aggregate"], |lab| {
        lab.done(&ingest(&[]));
    });
    assert_survives_every_kill(&lab, &aggregation, AtOnce::Sound);
}

#[test]
fn a_repair_killed_at_any_step_loses_and_doubles_nothing() {
    if !strace() {
        return;
    }
    let lab = lab();
    let repair = workload(
        &lab,
        "a repair of two damaged files",
        vec!["repair", "--start", FIRST, "--end", LAST],
        |lab| {
            lab.done(&ingest(&[]));
            let files = files_below(&lab.data().join("lake"));
            std::fs::remove_file(&files[0]).unwrap();
            std::fs::write(&files[3], "damaged").unwrap();
        },
    );
    assert_survives_every_kill(&lab, &repair, AtOnce::AsDamagedAsBefore);
}

#[test]
fn a_catalog_that_is_made_anew_and_killed_at_any_step_is_made_anew_by_the_next() {
    if !strace() {
        return;
    }
    let lab = lab();
    let command = vec!["doctor", "--rebuild-catalog"];
    let rebuild = workload(&lab, "a rebuild of the catalog", command, |lab| {
        lab.done(&ingest(&["--aggregate"]));
        std::fs::write(lab.data().join("marketpipe.db"), "damaged").unwrap();
    });
    assert_survives_every_kill(&lab, &rebuild, AtOnce::AsDamagedAsBefore);
}

#[test]
fn pruning_and_validating_killed_at_any_step_lose_and_double_nothing() {
    if !strace() {
        return;
    }
    let lab = lab();
    let prune = workload(
        &lab,
        "jobs prune",
        vec!["jobs", "prune", "--older-than", "0d"],
        |lab| {
            lab.done(&ingest(&[]));
            lab.refresh(SYMBOLS, FIRST, "2024-01-31");
        },
    );
    assert_survives_every_kill(&lab, &prune, AtOnce::Sound);
    let validate = Workload {
        name: "a validation",
        command: vec!["validate", "--fail-on", "never"],
        ready: prune.ready,
    };
    assert_survives_every_kill(&lab, &validate, AtOnce::Sound);
}

#[test]
fn an_upgrade_of_an_old_database_killed_at_any_step_is_done_by_the_next_command() {
    if !strace() {
        return;
    }
    let lab = lab();
    let upgrade = workload(
        &lab,
        "an upgrade of a database of version 1",
        ingest(&[]),
        |lab| {
            lab.done(&ingest(&[]));
            super::downgrade(&lab.data().join("marketpipe.db"));
        },
    );
    assert_survives_every_kill(&lab, &upgrade, AtOnce::AsDamagedAsBefore);
}
