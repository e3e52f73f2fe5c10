//! Killed at any moment: one plain rerun gives the undisturbed lake. `MARKETPIPE_KILLS` says how many runs are killed.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::support::experiment::Experiment;
use crate::support::lab::{Lab, files_below, read_output, run};

/// Runs that are killed when nothing else is said.
const KILLS: u32 = 12;

const SYMBOLS: &str = "AAPL,BRK.B,MSFT";
const FIRST: &str = "2023-07-03";
const LAST: &str = "2024-06-28";

/// A laboratory where nothing waits for the rate limit, so that kills hit work.
fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "BRK.B", "MSFT"], FIRST, LAST);
    lab.configure("[providers.alpaca]\nrequests_per_minute = 100000\n");
    lab
}

fn arguments(symbols: &str) -> [&str; 7] {
    [
        "ingest",
        "--symbols",
        symbols,
        "--start",
        FIRST,
        "--end",
        LAST,
    ]
}

/// How many runs to kill.
pub(crate) fn kills() -> u32 {
    let wanted = std::env::var("MARKETPIPE_KILLS").ok();
    wanted.map_or(KILLS, |text| {
        text.parse().expect("MARKETPIPE_KILLS is a number")
    })
}

/// Each stored row was counted as new by the job that stored it, also where recovery finished its commit.
fn assert_jobs_counted_each_row(data: &Path) {
    let database = rusqlite::Connection::open(data.join("marketpipe.db")).unwrap();
    let sum = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(
        sum("SELECT sum(rows_new) FROM job"),
        sum("SELECT sum(rows) FROM partition_file")
    );
}

/// A run that was begun and not waited for.
fn begin(lab: &Lab, symbols: &str) -> Child {
    lab.command(&arguments(symbols))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Each file is as the catalog says, no file is missing and none is left over.
pub(crate) fn assert_catalog_agrees(data: &Path) {
    let database = rusqlite::Connection::open(data.join("marketpipe.db")).unwrap();
    let mut select = database
        .prepare("SELECT path, sha256, bytes FROM partition_file ORDER BY path")
        .unwrap();
    let catalogued: Vec<(String, String, u64)> = select
        .query_map([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get::<_, i64>(2)?.cast_unsigned(),
            ))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut found = Vec::new();
    for path in files_below(&data.join("lake")) {
        let bytes = std::fs::read(&path).unwrap();
        let digest = Sha256::digest(&bytes);
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = path
            .strip_prefix(data)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        found.push((name, sha256, bytes.len() as u64));
    }
    found.sort();
    assert_eq!(catalogued, found);
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        database.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("pending"), 0);
    let unfinished: i64 = database
        .query_row(
            "SELECT count(*) FROM job WHERE state IN ('pending', 'running')",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(unfinished, 0, "no job stays open");
    for folder in ["staging", "running"] {
        assert_eq!(
            files_below(&data.join(folder)),
            [] as [std::path::PathBuf; 0]
        );
    }
}

#[test]
fn each_killed_run_is_made_good_by_one_plain_rerun() {
    let experiment = Experiment::begin(
        "crash",
        "SIGKILL at a moment of an ingest",
        "kill -9, the moments evenly spread over the run",
        "the undisturbed lake, byte for byte, after one plain rerun; each row counted once by its jobs",
    );
    let reference = lab();
    let begun = Instant::now();
    reference.done(&arguments(SYMBOLS));
    let undisturbed = begun.elapsed();
    let expected = reference.files();
    let server = lab();
    let mut cut_short = 0;
    for kill in 0..kills() {
        let data = tempfile::tempdir_in(server.folder.path()).unwrap();
        let command = || {
            let mut command = server.command(&arguments(SYMBOLS));
            command.env("MARKETPIPE_DATA_DIR", data.path());
            command
        };
        let mut child = command()
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The golden ratio spreads the moments evenly over the run, whatever their number.
        let share = (f64::from(kill) * 0.618_033_988_75).fract();
        std::thread::sleep(undisturbed.mul_f64(share));
        child.kill().unwrap();
        cut_short += u32::from(!child.wait().unwrap().success());
        let again = run(&mut command());
        assert_eq!(again.code, 0, "kill {kill} after {share}: {}", again.stderr);
        let lake = data.path().join("lake");
        let files = files_below(&lake).into_iter().map(|path| {
            let name = path.strip_prefix(&lake).unwrap().to_owned();
            (name, std::fs::read(&path).unwrap())
        });
        assert!(files.eq(expected.clone()), "kill {kill} after {share}");
        assert_catalog_agrees(data.path());
        assert_jobs_counted_each_row(data.path());
    }
    println!(
        "{} runs were killed, {cut_short} of them before their end",
        kills()
    );
    assert!(cut_short > kills() / 2, "{cut_short}");
    experiment.passed(
        usize::try_from(kills()).unwrap(),
        format!("{cut_short} cut short: 0 lost, 0 doubled"),
    );
}

#[test]
fn killed_again_and_again_the_lake_is_the_undisturbed_one() {
    let experiment = Experiment::begin(
        "crash",
        "SIGKILL of an ingest again and again on one lake",
        "kill -9, twelve times in a row before the rerun",
        "the undisturbed lake, byte for byte",
    );
    let reference = lab();
    let begun = Instant::now();
    reference.done(&arguments(SYMBOLS));
    let undisturbed = begun.elapsed();
    let lab = lab();
    const KILLS_IN_A_ROW: u32 = 12;
    for kill in 0..KILLS_IN_A_ROW {
        let mut child = begin(&lab, SYMBOLS);
        std::thread::sleep(undisturbed * (kill + 1) / (KILLS_IN_A_ROW + 1));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    lab.done(&arguments(SYMBOLS));
    assert_eq!(lab.files(), reference.files());
    assert_catalog_agrees(&lab.data());
    assert_jobs_counted_each_row(&lab.data());
    experiment.passed(
        usize::try_from(KILLS_IN_A_ROW).unwrap(),
        "0 lost, 0 doubled",
    );
}

#[test]
fn two_processes_at_once_give_the_lake_of_one() {
    let reference = lab();
    reference.done(&arguments(SYMBOLS));
    let lab = lab();
    let start = |symbols: &str| {
        lab.command(&arguments(symbols))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    for child in [start("AAPL,BRK.B"), start("BRK.B,MSFT")] {
        let ran = read_output(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    assert_eq!(lab.files(), reference.files());
    assert_catalog_agrees(&lab.data());
}

#[test]
fn whoever_waits_for_the_store_is_told_and_goes_on_when_it_is_free() {
    use std::io::{BufRead as _, BufReader, Read as _};
    let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-02");
    lab.ingest("AAPL", "2024-07-01", "2024-07-01");
    let path = lab.data().join("store.lock");
    let held = std::fs::File::options().write(true).open(path).unwrap();
    held.lock().unwrap();
    let more = [
        "ingest",
        "--symbols",
        "AAPL",
        "--start",
        "2024-07-02",
        "--end",
        "2024-07-02",
    ];
    let refused = lab.run(&[&more[..], &["--wait", "0"]].concat());
    assert_eq!(refused.code, 8, "{}", refused.stderr);
    let mut child = lab.command(&more).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    while !told.contains("waiting for the store, which is held by process") {
        assert!(stderr.read_line(&mut told).unwrap() > 0, "{told}");
    }
    held.unlock().unwrap();
    stderr.read_to_string(&mut told).unwrap();
    assert!(child.wait().unwrap().success(), "{told}");
    // Both died or ended: nobody holds anything.
    let begun = Instant::now();
    lab.ingest("AAPL", "2024-07-01", "2024-07-02");
    assert!(begun.elapsed() < Duration::from_secs(30));
}
