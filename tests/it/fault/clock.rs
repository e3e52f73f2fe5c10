//! Clocks that are wrong or jump, time zones and languages: bars, sessions and their order are the same everywhere, and
//! nothing is called complete that has not happened.

use std::path::Path;
use std::process::Command;

use chrono::{DateTime, TimeDelta, Utc};
use marketpipe::infrastructure::fake_alpaca::{BarKey, Fault, FaultScript, StallPoint, Tape, When};

use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{Lab, Ran, files_below, made_up, run};

const SECTION: &str = "clock";

/// Whether clocks can be faked here.
fn has_faketime() -> bool {
    let found = Command::new("faketime").arg("--version").output();
    if found.is_err() {
        eprintln!("skipped: no faketime");
    }
    found.is_ok()
}

/// The command with the wall clock at `moment`, in the notation of faketime; time goes on from there.
fn at(moment: &str, inner: &Command) -> Command {
    let mut command = Command::new("faketime");
    command
        .args(["-f", moment])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .current_dir(inner.get_current_dir().unwrap());
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    // Durations are measured by another clock, which nobody sets.
    command
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("TZ", "UTC");
    command
}

const SYMBOLS: &str = "AAPL,MSFT";

/// The week in which the clocks of New York change, and a half day's week.
const RANGES: [(&str, &str); 2] = [("2024-03-07", "2024-03-12"), ("2024-11-27", "2024-12-02")];

fn lab() -> Lab {
    let mut tape = Tape::new();
    for symbol in ["AAPL", "MSFT"] {
        let mut bars = Vec::new();
        for (first, last) in RANGES {
            bars.extend(made_up(symbol, first, last));
        }
        tape.insert("sip", symbol, bars);
    }
    let lab = Lab::with_tape(tape);
    lab.configure("[http]\nbase_delay_ms = 1\n[providers.alpaca]\nrequests_per_minute = 100000\n");
    lab
}

fn ingest((first, last): (&'static str, &'static str)) -> [&'static str; 7] {
    [
        "ingest",
        "--symbols",
        SYMBOLS,
        "--start",
        first,
        "--end",
        last,
    ]
}

/// The bytes of all files of a lake.
fn bytes_of(data: &Path) -> Vec<(String, Vec<u8>)> {
    let lake = data.join("lake");
    let files = files_below(&lake);
    assert!(!files.is_empty(), "nothing is kept in {}", lake.display());
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&lake).unwrap().display().to_string();
            (name, std::fs::read(&path).unwrap())
        })
        .collect()
}

/// What an undisturbed run keeps.
fn reference() -> Vec<(String, Vec<u8>)> {
    let lab = lab();
    for range in RANGES {
        lab.done(&ingest(range));
    }
    lab.done(&["aggregate", "--timeframes", "1h,1d"]);
    bytes_of(&lab.data())
}

fn assert_orderly(ran: &Ran, what: &str) {
    let promised = [0, 2, 3, 4, 5, 6, 7, 8];
    assert!(
        promised.contains(&ran.code),
        "{what}: {}\n{}",
        ran.code,
        ran.stderr
    );
}

#[test]
fn a_clock_that_is_wrong_by_decades_leaves_the_same_bars_once_it_is_right() {
    if !has_faketime() {
        return;
    }
    let reference = reference();
    let clocks = [
        "@1970-01-01 00:00:00",
        "@1969-12-31 23:59:58",
        "@2001-09-09 01:46:39",
        "@2016-12-31 23:59:58",
        "@2038-01-19 03:14:06",
        "@2038-01-19 03:14:08",
        "@2100-02-28 23:59:58",
        "@2106-02-07 06:28:15",
    ];
    for clock in clocks.into_iter().step_by(trials(3, 1)) {
        let experiment = Experiment::begin(
            SECTION,
            format!("the clock says {}", &clock[1..]),
            "ingest with and without dates, status, gaps, aggregate, validate, jobs, metrics, query; then the right clock",
            "no panic; afterwards the lake is byte for byte that of an undisturbed run, and nothing is missing",
        );
        let lab = lab();
        let mut runs = 0;
        let mut fake = |arguments: &[&str]| {
            let ran = run(&mut at(clock, &lab.command(arguments)));
            assert_orderly(&ran, &format!("{arguments:?} at {clock}"));
            runs += 1;
            ran
        };
        fake(&ingest(RANGES[0]));
        fake(&["ingest", "--symbols", SYMBOLS]);
        for arguments in [
            &["aggregate", "--timeframes", "1h,1d"][..],
            &["validate"],
            &["status"],
            &["gaps"],
            &["repair"],
            &["jobs", "list"],
            &["jobs", "prune", "--older-than", "90d"],
            &["metrics"],
            &["metrics", "history", "rows_new", "--every", "1d"],
            &["query", "select count(*) from bars_1m"],
        ] {
            fake(arguments);
        }
        for range in RANGES {
            lab.done(&ingest(range));
        }
        lab.done(&["aggregate", "--timeframes", "1h,1d"]);
        assert!(
            bytes_of(&lab.data()) == reference,
            "another lake after {clock}"
        );
        lab.done(&["validate"]);
        let dates = [
            "--start",
            RANGES[0].0,
            "--end",
            RANGES[0].1,
            "--reason",
            "not asked",
            "--format",
            "csv",
        ];
        let missing = lab.done(&[&["gaps"], &dates[..]].concat());
        assert_eq!(missing.stdout.lines().count(), 1, "{}", missing.stdout);
        experiment.passed(runs + 6, "no panic, the same bytes");
    }
}

/// A laboratory whose server has bars up to now, beginning twelve days ago.
fn lab_of_today() -> (Lab, String, DateTime<Utc>) {
    let now = Utc::now();
    let date = |days: i64| (now + TimeDelta::days(days)).date_naive().to_string();
    let first = date(-12);
    let mut tape = Tape::new();
    for symbol in ["AAPL", "MSFT"] {
        let mut bars = made_up(symbol, &first, &date(1));
        bars.retain(|bar| bar.ts_us < now.timestamp_micros());
        tape.insert("iex", symbol, bars.clone());
        tape.insert("sip", symbol, bars);
    }
    (Lab::with_tape(tape), first, now)
}

#[test]
fn a_clock_that_is_ahead_makes_nothing_complete_that_has_not_been() {
    if !has_faketime() {
        return;
    }
    for feed in ["sip", "iex"] {
        for ahead in ["+2d", "+45d", "+1y"] {
            let experiment = Experiment::begin(
                SECTION,
                format!("the clock is ahead by {}, feed {feed}", &ahead[1..]),
                "an ingest up to now and one of the past; then the same with the right clock",
                "exit 5 that names both clocks; no session after today in the ledger; afterwards all bars are there",
            );
            let (lab, first, now) = lab_of_today();
            let up_to_now = [
                "ingest",
                "--symbols",
                SYMBOLS,
                "--feed",
                feed,
                "--start",
                &first,
            ];
            let ran = run(&mut at(ahead, &lab.command(&up_to_now)));
            assert_eq!(ran.code, 5, "{}", ran.stderr);
            assert!(
                ran.stderr.contains("this machine's clock is ahead"),
                "{}",
                ran.stderr
            );
            let yesterday = (now - TimeDelta::days(1)).date_naive().to_string();
            let past = run(&mut at(
                ahead,
                &lab.command(&[&up_to_now[..], &["--end", &yesterday]].concat()),
            ));
            assert_eq!(past.code, 0, "{}", past.stderr);
            let database = rusqlite::Connection::open(lab.data().join("marketpipe.db")).unwrap();
            let last: i64 = database
                .query_row("SELECT max(session_day) FROM session_record", [], |row| {
                    row.get(0)
                })
                .unwrap_or_else(|error| panic!("{error}"));
            drop(database);
            let today = now.timestamp().div_euclid(86_400);
            assert!(
                last <= today,
                "day {last} is in the ledger, today is {today}"
            );
            lab.done(&up_to_now);
            // The next day's bars, asked for as if it were tomorrow: whatever was asked for today was not final.
            let rows = lab.rows(&format!("alpaca/{feed}/raw"), "AAPL").len();
            let mut expected = made_up("AAPL", &first, &yesterday);
            expected.retain(|bar| bar.ts_us < now.timestamp_micros());
            assert!(rows >= expected.len(), "{rows} of {}", expected.len());
            experiment.passed(
                4,
                "refused for today, kept for the past, complete afterwards",
            );
        }
    }
}

#[test]
fn a_clock_that_jumps_between_runs_changes_neither_bars_nor_the_order_of_jobs() {
    if !has_faketime() {
        return;
    }
    let reference = reference();
    for jump in ["-2y", "-1h", "+1y", "-30d", "+1h"]
        .into_iter()
        .take(trials(3, 5))
    {
        let experiment = Experiment::begin(
            SECTION,
            format!("the clock jumps by {jump} between runs"),
            "ingest, jump, ingest and refresh, jump back, ingest",
            "the same bytes as without; jobs are listed in the order in which they ran",
        );
        let lab = lab();
        lab.done(&ingest(RANGES[0]));
        let shrunk = run(&mut at(
            jump,
            &lab.command(&[&ingest(RANGES[0])[..], &["--refresh"]].concat()),
        ));
        assert_orderly(&shrunk, jump);
        let other = run(&mut at(jump, &lab.command(&ingest(RANGES[1]))));
        assert_orderly(&other, jump);
        for range in RANGES {
            lab.done(&ingest(range));
        }
        lab.done(&["aggregate", "--timeframes", "1h,1d"]);
        assert!(
            bytes_of(&lab.data()) == reference,
            "another lake after {jump}"
        );
        let listed = lab.done(&["jobs", "list", "--format", "csv"]).stdout;
        let ids: Vec<u32> = listed
            .lines()
            .skip(1)
            .map(|line| line.split(',').next().unwrap().parse().unwrap())
            .collect();
        assert!(ids.len() >= 2 && ids.is_sorted_by(|a, b| a > b), "{listed}");
        for arguments in [
            &["metrics"][..],
            &["metrics", "runs"],
            &["metrics", "history", "rows_new", "--every", "1d"],
            &["validate"],
        ] {
            assert_orderly(&lab.run(arguments), jump);
        }
        experiment.passed(9, "the same bytes, jobs in order");
    }
}

#[test]
fn a_clock_that_jumps_in_the_middle_of_a_run_changes_no_bar() {
    if !has_faketime() {
        return;
    }
    let reference = reference();
    for jump in ["-3600", "+31536000", "-31536000"]
        .into_iter()
        .take(trials(2, 3))
    {
        let experiment = Experiment::begin(
            SECTION,
            format!("the clock jumps by {jump} s while a page is awaited"),
            "faketime reads the jump from a file that is changed in the middle",
            "ends orderly without waiting for the jump; after one more run the same bytes",
        );
        let lab = lab();
        let file = lab.folder.path().join("clock");
        std::fs::write(&file, "+0\n").unwrap();
        lab.server.set_faults(FaultScript::new().on(
            When::Nth(2),
            Fault::Stall {
                point: StallPoint::BeforeHead,
                lasting: std::time::Duration::from_millis(700),
            },
        ));
        lab.done(&ingest(RANGES[0]));
        let begun = std::time::Instant::now();
        let before = lab.server.stats().requests;
        let mut command = at("+0", &lab.command(&ingest(RANGES[1])));
        command
            .env("FAKETIME_TIMESTAMP_FILE", &file)
            .env("FAKETIME_NO_CACHE", "1")
            .env_remove("FAKETIME");
        let child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while lab.server.stats().requests == before {
            assert!(begun.elapsed().as_secs() < 20, "nothing was asked");
            std::thread::yield_now();
        }
        std::fs::write(&file, format!("{jump}\n")).unwrap();
        let ran = crate::support::lab::read_output(child.wait_with_output().unwrap());
        assert_orderly(&ran, jump);
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
        lab.done(&ingest(RANGES[1]));
        lab.done(&["aggregate", "--timeframes", "1h,1d"]);
        assert!(
            bytes_of(&lab.data()) == reference,
            "another lake after {jump}"
        );
        experiment.passed(1, format!("exit {}, the same bytes", ran.code));
    }
}

#[test]
fn a_leap_second_is_no_minute_of_its_own() {
    let lab = lab();
    let experiment = Experiment::begin(
        SECTION,
        "leap seconds",
        "as a date of the user, as the time of a bar: 23:59:60, 13:30:60, 24:00:00",
        "refused, or kept apart; the minute before is asked for again and the lake is as ever",
    );
    for moment in [
        "2016-12-31T23:59:60Z",
        "2024-07-01T13:30:60Z",
        "2024-07-01T24:00:00Z",
    ] {
        let ran = lab.run(&[
            "ingest",
            "--symbols",
            "AAPL",
            "--start",
            moment,
            "--end",
            "2024-07-02T00:00:00Z",
        ]);
        assert_orderly(&ran, moment);
    }
    let mut runs = 3;
    for text in [
        "\"2024-03-08T14:30:60Z\"",
        "\"2016-12-31T23:59:60Z\"",
        "\"2024-03-08T24:00:00Z\"",
        "\"2024-03-10T07:30:00-05:00\"",
        "\"2024-03-10T02:30:00\"",
    ] {
        let fault = Fault::FieldText {
            key: BarKey::Time,
            text: text.as_bytes().to_vec(),
        };
        lab.server
            .set_faults(FaultScript::new().on(When::Always, fault));
        let ran = lab.run(&[&ingest(RANGES[0])[..], &["--refresh"]].concat());
        assert_orderly(&ran, text);
        lab.server.set_faults(FaultScript::new());
        runs += 1;
    }
    for range in RANGES {
        lab.done(&[&ingest(range)[..], &["--refresh"]].concat());
    }
    lab.done(&["aggregate", "--timeframes", "1h,1d"]);
    assert!(bytes_of(&lab.data()) == reference(), "another lake");
    experiment.passed(runs, "the same bytes");
}

#[test]
fn time_zone_and_language_of_the_machine_change_no_byte() {
    let places = [
        ("TZ", "Asia/Kolkata"),
        ("TZ", "America/New_York"),
        ("TZ", "Pacific/Apia"),
        ("TZ", "Asia/Kathmandu"),
        ("TZ", "Pacific/Kiritimati"),
        ("TZ", "Nonsense/Nowhere"),
        ("TZ", ":/etc/passwd"),
        ("TZ", "AAA+25:99:99BBB,M13.9.9,J400"),
        ("TZ", ""),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("LC_ALL", "C"),
        ("LC_ALL", "ar_EG.UTF-8"),
        ("LANG", "xx_XX.nonsense"),
    ];
    let outputs: [&[&str]; 6] = [
        &["status", "--format", "csv"],
        &[
            "gaps",
            "--start",
            "2024-03-07",
            "--end",
            "2024-03-12",
            "--format",
            "csv",
        ],
        &["validate", "--format", "csv"],
        &[
            "query",
            "select symbol, ts, session_date, segment, close from bars_1m order by all",
            "--format",
            "csv",
        ],
        &[
            "query",
            "select * from bars('2h') order by all",
            "--format",
            "csv",
        ],
        &[
            "query",
            "from calendar where session_date between '2024-03-07' and '2024-03-12' order by all",
            "--format",
            "csv",
        ],
    ];
    let lab = lab();
    let all = |name: Option<(&str, &str)>, folder: &str| -> (Vec<(String, Vec<u8>)>, Vec<String>) {
        let data = lab.folder.path().join(folder);
        let go = |arguments: &[&str]| -> String {
            let mut command = lab.command(arguments);
            command.env("MARKETPIPE_DATA_DIR", &data);
            if let Some((name, value)) = name {
                command.env(name, value);
            }
            let ran = run(&mut command);
            assert_eq!(ran.code, 0, "{name:?} {arguments:?}: {}", ran.stderr);
            ran.stdout
        };
        for range in RANGES {
            go(&ingest(range));
        }
        go(&["aggregate", "--timeframes", "1h,1d"]);
        let printed = outputs.iter().map(|arguments| go(arguments)).collect();
        (bytes_of(&data), printed)
    };
    let (lake, printed) = all(None, "reference");
    assert!(lake == reference());
    for (number, (name, value)) in places.into_iter().enumerate() {
        if number % trials(3, 1) != 0 {
            continue;
        }
        let experiment = Experiment::begin(
            SECTION,
            format!("{name}={value}"),
            "ingest over a change of clocks and a half day, aggregate, status, gaps, validate, query",
            "the same bytes in every file, the same rows on stdout",
        );
        let (found, said) = all(Some((name, value)), &format!("place-{number}"));
        assert!(found == lake, "another lake with {name}={value}");
        assert_eq!(said, printed, "{name}={value}");
        experiment.passed(3 + outputs.len(), "the same bytes");
    }
}
