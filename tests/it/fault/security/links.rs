//! Links planted in a data directory, pipes and devices in the place of files, a database that was made by somebody
//! else: nothing outside is written, removed or made.

#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Outside, SECTION, assert_orderly};
use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{Lab, made_up, run};

const MONTH: &str =
    "provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=AAPL/month=2024-06";

/// A laboratory with bars of June, to which July may be added, beside a folder of somebody else's.
fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-06-27", "2024-07-02");
    lab.configure("[http]\nbase_delay_ms = 1\n");
    lab.ingest("AAPL", "2024-06-27", "2024-06-28");
    let victim = lab.folder.path().join("victim");
    std::fs::create_dir_all(victim.join("month=2024-06")).unwrap();
    for name in [
        "letter.txt",
        "bars.parquet",
        "1-0-0123456789abcdef.parquet",
        "1-0",
        "month=2024-06/bars.parquet",
    ] {
        std::fs::write(victim.join(name), format!("mine: {name}")).unwrap();
    }
    std::fs::write(victim.join("empty"), "").unwrap();
    lab
}

/// Every command that writes or clears up.
const COMMANDS: [&[&str]; 8] = [
    &[
        "ingest",
        "--symbols",
        "AAPL,MSFT",
        "--start",
        "2024-06-27",
        "--end",
        "2024-07-02",
        "--wait",
        "1",
    ],
    &[
        "ingest",
        "--symbols",
        "AAPL",
        "--start",
        "2024-06-27",
        "--end",
        "2024-06-28",
        "--refresh",
        "--wait",
        "1",
    ],
    &["aggregate", "--timeframes", "1h", "--full", "--wait", "1"],
    &["validate"],
    &["repair", "--wait", "1"],
    &["query", "select count(*) from bars_1m"],
    &["jobs", "list"],
    &["metrics"],
];

/// The places in a data directory at which a link may be planted, and what it points to in the folder outside.
fn plants() -> Vec<(&'static str, &'static str)> {
    vec![
        ("lake", "."),
        ("lake/provider=alpaca", "."),
        (
            "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1m",
            ".",
        ),
        (
            "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1h",
            ".",
        ),
        (
            "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=AAPL",
            ".",
        ),
        (
            "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=MSFT",
            ".",
        ),
        (
            "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=AAPL/month=2024-06",
            "month=2024-06",
        ),
        (
            "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=AAPL/month=2024-06/bars.parquet",
            "bars.parquet",
        ),
        (
            "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=AAPL/month=2024-07",
            ".",
        ),
        ("staging", "."),
        ("staging", "not/there"),
        ("staging/1-0-0123456789abcdef.parquet", "bars.parquet"),
        ("store.lock", "letter.txt"),
        ("store.lock", "not-there"),
        ("publish.lock", "letter.txt"),
        ("publish.lock", "not-there"),
        ("marketpipe.db", "letter.txt"),
        ("marketpipe.db", "empty"),
        ("marketpipe.db", "not-there"),
        ("marketpipe.db-wal", "letter.txt"),
        ("marketpipe.db-wal", "not-there"),
        ("marketpipe.db-shm", "letter.txt"),
        ("marketpipe.db-shm", "not-there"),
        ("reports", "."),
        ("running", "."),
        ("running/1-0", "letter.txt"),
    ]
}

/// Puts a link in the place of whatever is there; what was there can be put back.
fn plant(lab: &Lab, place: &str, target: &Path) -> (PathBuf, PathBuf) {
    let place = lab.data().join(place);
    let aside = lab.data().join("aside");
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    if place.exists() {
        std::fs::rename(&place, &aside).unwrap();
    }
    symlink(target, &place).unwrap();
    (place, aside)
}

#[test]
fn a_planted_link_costs_nobody_outside_a_byte() {
    let mut refused = 0;
    let mut runs = 0;
    // An ingest and another of the commands in turn each day, all of them at each place in the long run.
    for (number, (place, target)) in plants().into_iter().enumerate() {
        let experiment = Experiment::begin(
            SECTION,
            format!("a link at {place}"),
            format!(
                "to {target} of a folder outside; {} commands",
                COMMANDS.len()
            ),
            "the folder outside is as it was; without the link everything works again",
        );
        let lab = lab();
        let outside = Outside::of(&lab);
        let target = lab.folder.path().join("victim").join(target);
        let (place, aside) = plant(&lab, place, &target);
        // Another answer than the one that is stored, so that there is something to write.
        let shifted = made_up("AAPL", "2024-06-27", "2024-07-02")
            .into_iter()
            .map(|mut bar| {
                bar.volume += 1.0;
                bar
            })
            .collect();
        lab.server
            .update_tape(|tape| tape.insert("sip", "AAPL", shifted));
        let others = COMMANDS[1..].iter().cycle().skip(number);
        let commands = COMMANDS[..1].iter().chain(others);
        for command in commands.take(trials(2, COMMANDS.len())) {
            let ran = lab.run(command);
            assert_orderly(
                &ran,
                &format!("{command:?} with a link at {}", place.display()),
            );
            outside.assert_untouched(&format!("{command:?} with a link at {}", place.display()));
            refused += usize::from(ran.code != 0);
            runs += 1;
        }
        // A link that the program has replaced by its own file is gone already.
        if place.is_symlink() {
            std::fs::remove_file(&place).unwrap();
            if aside.exists() {
                std::fs::rename(&aside, &place).unwrap();
            }
        }
        let ran = lab.run(&COMMANDS[0][..7]);
        assert_eq!(ran.code, 0, "{}: {}", place.display(), ran.stderr);
        outside.assert_untouched("the link is gone");
        experiment.passed(trials(2, COMMANDS.len()) + 1, "nothing outside has changed");
    }
    assert!(refused * 4 > runs, "{refused} of {runs} runs said so");
}

#[test]
fn a_refusal_names_the_link() {
    let lab = lab();
    for place in [
        "lake",
        "staging",
        "store.lock",
        "marketpipe.db",
        "running",
        "reports",
    ] {
        let victim = lab.folder.path().join("victim/letter.txt");
        let (place, aside) = plant(&lab, place, &victim);
        let ran = lab.run(COMMANDS[0]);
        assert_eq!(ran.code, 7, "{}", ran.stderr);
        let words = format!("{} is a symbolic link", place.display());
        assert!(ran.stderr.contains(&words), "{words}: {}", ran.stderr);
        std::fs::remove_file(&place).unwrap();
        if aside.exists() {
            std::fs::rename(&aside, &place).unwrap();
        }
    }
}

#[test]
fn a_data_directory_may_itself_be_reached_by_a_link() {
    let lab = lab();
    let link = lab.folder.path().join("elsewhere");
    symlink(lab.data(), &link).unwrap();
    let mut command = lab.command(COMMANDS[0]);
    command.env("MARKETPIPE_DATA_DIR", &link);
    let ran = run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn a_pipe_or_a_device_in_the_place_of_a_file_neither_hangs_nor_fills_the_memory() {
    let experiment = Experiment::begin(
        SECTION,
        "a named pipe, a link to /dev/zero, a file of a terabyte in the place of a data file",
        "validate, ingest --refresh, aggregate and query on each",
        "an orderly end; the file is named as damaged",
    );
    let mut runs = 0;
    for kind in ["pipe", "device", "terabyte", "folder"] {
        let lab = lab();
        let path = lab.data().join("lake").join(MONTH).join("bars.parquet");
        std::fs::remove_file(&path).unwrap();
        match kind {
            "pipe" => {
                let made = std::process::Command::new("mkfifo").arg(&path).status();
                assert!(made.unwrap().success());
            }
            "device" => symlink("/dev/zero", &path).unwrap(),
            "terabyte" => {
                let file = std::fs::File::create(&path).unwrap();
                if file.set_len(1 << 40).is_err() {
                    // A file system without holes cannot have such a file.
                    continue;
                }
            }
            _ => std::fs::create_dir(&path).unwrap(),
        }
        for command in [COMMANDS[3], COMMANDS[1], COMMANDS[2]] {
            let ran = lab.run(command);
            assert_orderly(&ran, &format!("{command:?} with a {kind}"));
            assert_ne!(ran.code, 0, "{command:?} with a {kind}: {}", ran.stderr);
            assert!(
                ran.stderr.contains("month=2024-06") || ran.stderr.contains("MP-"),
                "{}",
                ran.stderr
            );
            runs += 1;
        }
        let ran = lab.run(COMMANDS[5]);
        assert_ne!(ran.code, 0, "query with a {kind}: {}", ran.stdout);
        runs += 1;
    }
    experiment.passed(runs, "all ended orderly");
}

#[test]
fn an_unfinished_report_is_not_written_through_a_link() {
    let lab = lab();
    let outside_file = lab.folder.path().join("victim/letter.txt");
    let before = std::fs::read(&outside_file).unwrap();
    let experiment = Experiment::begin(
        SECTION,
        "a link in the place of an unfinished report",
        "in the folder of the report, under the name that the process will use; CSV, HTML, JUnit, textfile, query --output",
        "what it points to is as it was",
    );
    let program = lab.command(&[]);
    let program = program.get_program().to_str().unwrap().to_owned();
    let shared = lab.folder.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let commands = [
        ("r.csv", "validate --report shared/r.csv"),
        ("r.html", "validate --html shared/r.html"),
        ("r.xml", "validate --junit shared/r.xml"),
        ("m.prom", "metrics --textfile shared/m.prom"),
        ("q.csv", "query 'select 1' --output shared/q.csv"),
    ];
    for (name, arguments) in commands {
        let script =
            format!("ln -s ../victim/letter.txt shared/.{name}.$$ && exec {program} {arguments}");
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", &script])
            .current_dir(lab.folder.path())
            .env_clear();
        for (name, value) in lab.command(&[]).get_envs() {
            command.env(name, value.unwrap());
        }
        let ran = run(&mut command);
        assert_orderly(&ran, arguments);
        assert_eq!(std::fs::read(&outside_file).unwrap(), before, "{arguments}");
        if ran.code == 0 {
            assert!(!shared.join(name).is_symlink(), "{arguments}");
        }
    }
    experiment.passed(commands.len(), "untouched");
}

#[test]
fn a_foreign_database_makes_recovery_touch_nothing_but_its_own_files() {
    let lab = lab();
    let outside = Outside::of(&lab);
    let victim = lab.folder.path().join("victim");
    let letter = std::fs::read(victim.join("letter.txt")).unwrap();
    let sha256 = marketpipe::domain::digest::hex_sha256(&letter);
    let records = [
        ("../victim/letter.txt", "remove-x", "1m", "2024-06"),
        ("../victim/letter.txt", "remove-x", "1h", "2024"),
        ("lake/../../victim/letter.txt", "remove-x", "5m", "2024"),
        (
            victim.join("letter.txt").to_str().unwrap(),
            "remove-x",
            "1h",
            "2024",
        ),
        (
            "../victim/new.parquet",
            "1-0-0123456789abcdef.parquet",
            "1h",
            "2024",
        ),
        ("lake/x.parquet", "../../victim/letter.txt", "1h", "2024"),
        (
            "lake/x.parquet",
            "../victim/1-0-0123456789abcdef.parquet",
            "1m",
            "2024-06",
        ),
        ("marketpipe.db", "remove-x", "1h", "2024"),
    ]
    .map(|(path, staged, frame, period)| [path, staged, frame, period].map(str::to_owned));
    let experiment = Experiment::begin(
        SECTION,
        "a database from somebody else, with records of interrupted commits",
        "paths and staged names that lead out of the lake, absolute and relative; ingest, aggregate, validate",
        "nothing outside is moved, replaced or removed; the record is named",
    );
    for [path, staged, frame, period] in &records {
        let database = rusqlite::Connection::open(lab.data().join("marketpipe.db")).unwrap();
        let planted = database.execute(
            "INSERT INTO pending (path, series_id, timeframe, period, new_sha256, content_hash, bytes, rows,
                 first_ts_us, last_ts_us, first_session_day, last_session_day, schema_version, spec_hash,
                 staged_name, old_sha256, epoch, created_at_us, job_id, rows_new, rows_revised)
             SELECT ?1, series_id, ?2, ?3, ?4, content_hash, bytes, rows, first_ts_us, last_ts_us, first_session_day,
                 last_session_day, schema_version, CASE WHEN ?2 = '1m' THEN NULL ELSE ?5 END, ?6, ?4, 1, 1, NULL, 0, 0
             FROM partition_file WHERE timeframe = '1m' LIMIT 1",
            rusqlite::params![path, frame, period, sha256, sha256, staged],
        );
        assert_eq!(planted.unwrap(), 1, "{path}");
        let place = lab.data().join("marketpipe.db");
        drop(database);
        for command in [COMMANDS[1], COMMANDS[2], COMMANDS[3]] {
            let ran = lab.run(command);
            assert_orderly(&ran, path);
            outside.assert_untouched(&format!("{command:?} with a record of {path}"));
            assert!(place.is_file(), "{path}");
            assert!(
                ran.stderr.contains("names other files than its own") || command[0] == "validate",
                "{path}: {}",
                ran.stderr
            );
        }
        let database = rusqlite::Connection::open(lab.data().join("marketpipe.db")).unwrap();
        database.execute("DELETE FROM pending", []).unwrap();
    }
    experiment.passed(records.len() * 3, "nothing outside has changed");
}

#[test]
fn a_pipe_in_the_place_of_state_hangs_nobody() {
    let experiment = Experiment::begin(
        SECTION,
        "a named pipe in the place of the database, its log, a lock or a lease",
        "ingest and jobs on each",
        "ends within seconds with a message",
    );
    let mut runs = 0;
    for place in [
        "marketpipe.db",
        "marketpipe.db-wal",
        "store.lock",
        "publish.lock",
        "running/1-0",
        "staging",
    ] {
        let lab = lab();
        let path = lab.data().join(place);
        _ = std::fs::remove_file(&path);
        _ = std::fs::remove_dir_all(&path);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        if place == "running/1-0" {
            let database = rusqlite::Connection::open(lab.data().join("marketpipe.db")).unwrap();
            let changed = database.execute(
                "UPDATE job SET state = 'running', owner_lease = '1-0', finished_at_us = NULL",
                [],
            );
            assert_eq!(changed.unwrap(), 1);
        }
        for command in [COMMANDS[6], COMMANDS[0]] {
            let begun = std::time::Instant::now();
            let ran = lab.run(command);
            assert_orderly(&ran, &format!("{command:?} with a pipe at {place}"));
            assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
            runs += 1;
        }
    }
    experiment.passed(runs, "none hung");
}
