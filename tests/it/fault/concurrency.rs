//! Many processes on the same partitions at once: each answer is right, nothing is lost, and outside readers that glob the
//! folder see only complete files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use marketpipe::infrastructure::fake_alpaca::Tape;

use crate::kills::assert_catalog_agrees;
use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{Lab, Ran, made_up, read_output};
use crate::support::{oracle_python, oracle_script};

const SYMBOLS: [&str; 2] = ["AAPL", "BRK.B"];
const FIRST: &str = "2024-05-01";
const LAST: &str = "2024-06-28";

/// Two states of the tape: in the second one each bar has one share more.
fn tape(is_revised: bool) -> Tape {
    let mut tape = Tape::new();
    for symbol in SYMBOLS {
        let mut bars = made_up(symbol, FIRST, LAST);
        if is_revised {
            bars.iter_mut().for_each(|bar| bar.volume += 1.0);
        }
        tape.insert("sip", symbol, bars);
    }
    tape
}

fn lab() -> Lab {
    let lab = Lab::with_tape(tape(false));
    lab.configure("[providers.alpaca]\nrequests_per_minute = 100000\n");
    lab
}

fn ingest(lab: &Lab, symbols: &str, more: &[&str]) -> Ran {
    let range = ["--start", FIRST, "--end", LAST];
    lab.run(&[&["ingest", "--symbols", symbols], &range[..], more].concat())
}

/// `SYMBOL YYYY-MM` with the sums of volume that a complete file of it can have.
fn allowed() -> BTreeMap<String, BTreeSet<i64>> {
    let mut sums: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for is_revised in [false, true] {
        let lab = Lab::with_tape(tape(is_revised));
        assert_eq!(ingest(&lab, "AAPL,BRK.B", &[]).code, 0);
        for line in lab.query(MONTHS) {
            let (key, sum) = line.split_once(',').unwrap();
            sums.entry(key.to_owned())
                .or_default()
                .insert(sum.parse::<f64>().unwrap() as i64);
        }
    }
    assert!(sums.values().all(|sums| sums.len() == 2), "{sums:?}");
    sums
}

const MONTHS: &str = "select symbol || ' ' || strftime(session_date, '%Y-%m') as k, sum(volume) from bars_1m group by k order by k";

/// Revises the lake to and fro while `beside` is done again and again; how often it was.
fn while_revised(lab: &Lab, rounds: usize, beside: impl Fn(usize) + Sync) -> usize {
    let (is_over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        beside(done.fetch_add(1, Ordering::Relaxed));
                    }
                })
            })
            .collect();
        for round in 0..rounds {
            lab.server.set_tape(tape(round % 2 == 0));
            let ran = ingest(lab, "AAPL,BRK.B", &["--refresh", "--aggregate"]);
            if ran.code != 0 {
                is_over.store(true, Ordering::Relaxed);
            }
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            if others
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
            {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    done.load(Ordering::Relaxed)
}

/// The lake is the one that a single run on the present tape makes.
fn assert_as_of_one_run(lab: &Lab, is_revised: bool) {
    let alone = Lab::with_tape(tape(is_revised));
    assert_eq!(ingest(&alone, "AAPL,BRK.B", &["--aggregate"]).code, 0);
    assert_eq!(lab.run(&["aggregate"]).code, 0);
    assert!(lab.files() == alone.files());
    assert_catalog_agrees(&lab.data());
    let looked = lab.run(&["doctor", "--deep"]);
    assert_eq!(looked.code, 0, "{}", looked.stdout);
}

#[test]
fn commands_beside_a_writer_answer_right() {
    let allowed = allowed();
    let lab = lab();
    assert_eq!(ingest(&lab, "AAPL,BRK.B", &["--aggregate"]).code, 0);
    let rounds = trials(4, 60);
    let commands: [(&str, &[&str]); 6] = [
        ("query", &["query", MONTHS, "--format", "csv"]),
        ("doctor --deep", &["doctor", "--deep"]),
        ("aggregate", &["aggregate"]),
        ("validate", &["validate", "--fail-on", "never"]),
        ("status", &["status"]),
        ("jobs prune", &["jobs", "prune", "--older-than", "0d"]),
    ];
    let experiments = commands.map(|(name, _)| {
        Experiment::begin(
            "concurrency",
            format!("{name} while an ingest revises and aggregates the same partitions"),
            "two processes in a loop beside the writer",
            "exit 0, every file of one state or the other, never between",
        )
    });
    let counts: [AtomicUsize; 6] = Default::default();
    while_revised(&lab, rounds, |number| {
        let (name, command) = commands[number % commands.len()];
        let ran = lab.run(command);
        assert_eq!(ran.code, 0, "{name}: {}\n{}", ran.stdout, ran.stderr);
        if name == "query" {
            let lines: Vec<&str> = ran.stdout.lines().skip(1).collect();
            assert_eq!(lines.len(), allowed.len(), "{}", ran.stdout);
            for line in lines {
                let (key, sum) = line.split_once(',').unwrap();
                let sum = sum.parse::<f64>().unwrap() as i64;
                assert!(allowed[key].contains(&sum), "{line}: {:?}", allowed[key]);
            }
        }
        counts[number % commands.len()].fetch_add(1, Ordering::Relaxed);
    });
    assert_as_of_one_run(&lab, rounds % 2 == 1);
    for (experiment, count) in experiments.into_iter().zip(&counts) {
        let count = count.load(Ordering::Relaxed);
        experiment.passed(
            count,
            format!("{count} runs beside {rounds} revisions: 0 wrong, 0 refused"),
        );
    }
}

#[test]
fn many_ingests_begun_at_once_give_the_lake_of_one() {
    let experiment = Experiment::begin(
        "concurrency",
        "many ingests of the same symbols begun in the same moment",
        "processes started together",
        "the lake of one, a job id each, each row counted once",
    );
    let lab = lab();
    let count = trials(6, 50);
    let begin = |_| -> Child {
        let range = ["--start", FIRST, "--end", LAST, "--wait", "600"];
        let mut command =
            lab.command(&[&["ingest", "--symbols", "AAPL,BRK.B"], &range[..]].concat());
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<Child> = (0..count).map(begin).collect();
    for child in children {
        let ran = read_output(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    assert_as_of_one_run(&lab, false);
    let rows = |sql: &str| lab.query(sql).remove(0);
    let stored = rows("select count(*) from bars_1m");
    assert_eq!(rows("select sum(rows_new) from jobs"), stored);
    assert_eq!(
        rows("select count(distinct job) from jobs"),
        count.to_string()
    );
    experiment.passed(
        count,
        format!("{count} jobs, {stored} rows, each counted once"),
    );
}

#[test]
fn readers_from_outside_see_only_complete_files() {
    let Some(mut python) = oracle_python() else {
        return;
    };
    let allowed = allowed();
    let lab = lab();
    assert_eq!(ingest(&lab, "AAPL,BRK.B", &[]).code, 0);
    let (stop, sums) = (
        lab.folder.path().join("stop"),
        lab.folder.path().join("allowed.json"),
    );
    std::fs::write(&sums, serde_json::to_string(&allowed).unwrap()).unwrap();
    let experiment = Experiment::begin(
        "concurrency",
        "pandas, DuckDB and Polars glob the lake while an ingest replaces its files",
        "a loop of reads beside a loop of revisions",
        "no read answers from half a file; one that fails says so",
    );
    let reader = python
        .arg(oracle_script("outside_readers.py"))
        .args([lab.data().join("lake").as_path(), &stop, &sums].map(Path::as_os_str))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let rounds = trials(6, 80);
    for round in 0..rounds {
        lab.server.set_tape(tape(round % 2 == 0));
        let ran = ingest(&lab, "AAPL,BRK.B", &["--refresh"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    // At least one read each, however long the packages take to load.
    std::fs::write(&stop, "").unwrap();
    // Other programs may panic; what counts is what they answer.
    let output = reader.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let (mut reads, mut told) = (0, Vec::new());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(fields[3], "0", "{line}\n{words}");
        assert_ne!(fields[1], fields[2], "{line}\n{words}");
        reads += fields[1].parse::<usize>().unwrap();
        told.push(format!(
            "{} {} reads, {} failed and said so",
            fields[0], fields[1], fields[2]
        ));
    }
    experiment.passed(
        reads.max(1),
        format!("{}; 0 wrong, {rounds} revisions", told.join("; ")),
    );
}
