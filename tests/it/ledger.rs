//! The ledger: which session a bar belongs to, what is missing and why, what is kept apart and what was revised.

use chrono::{DateTime, Days, Utc};
use marketpipe::domain::{Calendar, Segment, SessionDate};
use marketpipe::infrastructure::fake_alpaca::{Fault, FaultScript, Tape, TapeBar, When};

use crate::support::lab::Lab;

fn bar_at(ts_us: i64) -> TapeBar {
    TapeBar {
        ts_us,
        open: 10.0,
        high: 10.5,
        low: 9.5,
        close: 10.25,
        volume: 100.0,
        trade_count: Some(7),
        vwap: Some(10.1),
    }
}

fn instant(text: &str) -> i64 {
    text.parse::<DateTime<Utc>>().unwrap().timestamp_micros()
}

/// A bar for every regular minute, both dates inside.
fn every_minute(first: &str, last: &str) -> Vec<TapeBar> {
    let date = |text: &str| text.parse::<SessionDate>().unwrap();
    let sessions = Calendar::nyse().sessions(date(first), date(last)).unwrap();
    let minutes = sessions.iter().flat_map(|session| {
        let range = session.expected_range(Segment::Regular);
        range.map(|minute| bar_at(session.minute_ts_us(minute)))
    });
    minutes.collect()
}

fn lab_with(symbol: &str, bars: Vec<TapeBar>) -> Lab {
    let mut tape = Tape::new();
    tape.insert("sip", symbol, bars);
    Lab::with_tape(tape)
}

#[test]
fn bars_land_on_the_right_session_around_clock_changes_holidays_and_year_ends() {
    // Instant, session and segment, by the exchange's own hours.
    let cases = [
        // Before and after the clocks go forward on Sunday 10 March 2024.
        ("2024-03-08T14:29:00Z", "2024-03-08", "pre"),
        ("2024-03-08T14:30:00Z", "2024-03-08", "regular"),
        ("2024-03-08T20:59:00Z", "2024-03-08", "regular"),
        ("2024-03-08T21:00:00Z", "2024-03-08", "post"),
        ("2024-03-11T00:00:00Z", "2024-03-11", "overnight"),
        ("2024-03-11T13:29:00Z", "2024-03-11", "pre"),
        ("2024-03-11T13:30:00Z", "2024-03-11", "regular"),
        ("2024-03-11T20:00:00Z", "2024-03-11", "post"),
        // Before and after they go back on Sunday 3 November 2024.
        ("2024-11-01T13:30:00Z", "2024-11-01", "regular"),
        ("2024-11-01T20:00:00Z", "2024-11-01", "post"),
        ("2024-11-04T14:29:00Z", "2024-11-04", "pre"),
        ("2024-11-04T14:30:00Z", "2024-11-04", "regular"),
        ("2024-11-04T21:00:00Z", "2024-11-04", "post"),
        // The day after Thanksgiving and Christmas Eve end at 13:00.
        ("2024-11-29T17:59:00Z", "2024-11-29", "regular"),
        ("2024-11-29T18:00:00Z", "2024-11-29", "post"),
        ("2024-12-24T17:59:00Z", "2024-12-24", "regular"),
        ("2024-12-24T18:00:00Z", "2024-12-24", "post"),
        // The year ends in New York, not in Greenwich; New Year's Day is no session.
        ("2024-12-31T20:59:00Z", "2024-12-31", "regular"),
        ("2025-01-01T00:59:00Z", "2024-12-31", "post"),
        ("2025-01-01T01:00:00Z", "2025-01-02", "overnight"),
        ("2025-01-02T14:30:00Z", "2025-01-02", "regular"),
        // Exactly 20:00 in New York in January.
        ("2025-01-14T00:59:00Z", "2025-01-13", "post"),
        ("2025-01-14T01:00:00Z", "2025-01-14", "overnight"),
    ];
    let bars = cases.iter().map(|(ts, ..)| bar_at(instant(ts))).collect();
    let lab = lab_with("AAPL", bars);
    lab.ingest("AAPL", "2024-03-08", "2025-01-14");
    let rows = lab.query(
        "select strftime(ts, '%Y-%m-%dT%H:%M:%SZ'), session_date, segment from bars_1m order by ts",
    );
    let expected = cases.map(|(ts, session, segment)| format!("{ts},{session},{segment}"));
    assert_eq!(rows, expected);
}

#[test]
fn a_symbol_that_was_never_asked_for_is_no_complete_one() {
    let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-02");
    lab.done(&["ingest", "--symbols", "AAPL", "--start", "2024-07-01"]);
    for command in ["gaps", "status"] {
        for symbols in ["NOPE", "AAPL,NOPE"] {
            let ran = lab.run(&["--quiet", command, "--symbols", symbols]);
            assert_eq!(ran.code, 3, "{command} {symbols}: {}", ran.stderr);
            assert_eq!(ran.stderr, "nothing is held of NOPE\n", "{command}");
        }
    }
}

#[test]
fn weekends_holidays_and_half_days_are_no_gaps_and_one_missing_minute_is() {
    // Two clock changes, Thanksgiving with its Friday, Christmas Eve and Christmas, the year's end.
    let (first, last) = ("2024-03-04", "2025-01-06");
    let mut bars = every_minute(first, last);
    let lost = instant("2024-11-29T15:07:00Z");
    bars.retain(|bar| bar.ts_us != lost);
    let lab = lab_with("AAPL", bars);
    lab.ingest("AAPL", first, last);
    let shown = lab.done(&["gaps", "--start", first, "--end", last, "--format", "csv"]);
    let rows: Vec<&str> = shown.stdout.lines().skip(1).collect();
    let expected = "alpaca/sip/raw,AAPL,no trade,settled,2024-11-29,2024-11-29,1,\
                    2024-11-29T15:07:00Z,2024-11-29T15:08:00Z,1";
    assert_eq!(rows, [expected]);
    let sql = "select symbol, reason, settled, start_ts, minutes from gaps where last_session <= '2025-01-06'";
    assert_eq!(lab.query(sql), ["AAPL,no trade,true,2024-11-29 15:07:00,1"]);
}

#[test]
fn repair_asks_for_what_was_never_asked_and_on_request_for_what_was_empty() {
    let lab = lab_with("AAPL", every_minute("2024-07-01", "2024-07-12"));
    lab.server.update_tape(|tape| {
        // The provider has a hole, which it fills later.
        tape.edit("sip", "AAPL", |bars| {
            bars.retain(|bar| {
                !(instant("2024-07-10T00:00:00Z")..instant("2024-07-11T00:00:00Z"))
                    .contains(&bar.ts_us)
            });
        });
    });
    lab.ingest("AAPL", "2024-07-01", "2024-07-02");
    lab.ingest("AAPL", "2024-07-09", "2024-07-12");
    let gaps = |reason: &str| {
        let range = ["--end", "2024-07-12", "--reason", reason, "--format", "csv"];
        let shown = lab.done(&[&["gaps"], &range[..]].concat());
        shown
            .stdout
            .lines()
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let expected = "alpaca/sip/raw,AAPL,not asked,,2024-07-03,2024-07-08,3,2024-07-03T13:30:00Z,2024-07-08T20:00:00Z,990";
    assert_eq!(
        gaps("not asked"),
        [expected],
        "3 July is a half day, 4 July a holiday"
    );
    let empty = "alpaca/sip/raw,AAPL,no trade,settled,2024-07-10,2024-07-10,1,2024-07-10T13:30:00Z,2024-07-10T20:00:00Z,390";
    assert_eq!(gaps("no trade"), [empty]);
    lab.server.reset_stats();
    lab.done(&["repair", "--end", "2024-07-12"]);
    assert_eq!(lab.server.stats().requests, 1);
    assert_eq!((gaps("not asked").len(), gaps("no trade").len()), (0, 1));
    let whole = every_minute("2024-07-01", "2024-07-12");
    lab.server
        .update_tape(|tape| tape.insert("sip", "AAPL", whole.clone()));
    let nothing = lab.done(&["repair", "--end", "2024-07-12"]);
    assert!(
        nothing.stderr.contains("nothing to repair"),
        "{}",
        nothing.stderr
    );
    lab.done(&["repair", "--end", "2024-07-12", "--empty"]);
    assert_eq!(gaps("no trade"), [] as [String; 0]);
    assert_eq!(lab.rows("alpaca/sip/raw", "AAPL"), whole);
    assert_eq!(
        lab.server.stats().requests,
        2,
        "one session was asked for, once"
    );
}

#[test]
fn what_the_plan_does_not_include_is_told_apart_from_what_was_not_asked() {
    let lab = lab_with("AAPL", Vec::new());
    // The configuration promises more than the plan: the server refuses.
    lab.configure("[providers.alpaca]\nrealtime = true\n");
    let start = Utc::now().date_naive() - Days::new(6);
    let ran = lab.run(&["ingest", "--symbols", "AAPL", "--start", &start.to_string()]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("subscription does not permit"),
        "{}",
        ran.stderr
    );
    let reasons = lab.query("select distinct reason from gaps");
    assert_eq!(reasons, ["not entitled"]);
    // With the right configuration the provider answers, and the reason goes.
    lab.configure("");
    lab.run(&["repair"]);
    let before = Utc::now().date_naive() - Days::new(2);
    let sql = format!(
        "select count(*) from gaps where reason = 'not entitled' and last_session < '{before}'"
    );
    assert_eq!(lab.query(&sql), ["0"]);
}

#[test]
fn a_bad_row_is_kept_apart_with_its_evidence_until_a_good_one_comes() {
    let lab = lab_with("AAPL", every_minute("2024-07-01", "2024-07-01"));
    let whole = every_minute("2024-07-01", "2024-07-01");
    lab.server
        .set_faults(FaultScript::new().on(When::Always, Fault::LowAboveHigh));
    let ran = lab.ingest("AAPL", "2024-07-01", "2024-07-01");
    assert!(
        ran.stderr
            .contains("AAPL 2024-07-01T16:45:00Z: low-above-body"),
        "{}",
        ran.stderr
    );
    assert_eq!(lab.rows("alpaca/sip/raw", "AAPL").len(), whole.len() - 1);
    let sql = "select symbol, ts, session_date, rule, evidence like '%low=11.5%', source, job from quarantine";
    let rows = lab.query(sql);
    assert_eq!(rows.len(), 1);
    assert!(
        rows[0].starts_with("AAPL,2024-07-01 16:45:00,2024-07-01,low-above-body,true,alpaca"),
        "{rows:?}"
    );
    let gaps = lab.done(&["gaps", "--end", "2024-07-01", "--format", "csv"]);
    assert!(
        gaps.stdout.contains(",quarantined,settled,"),
        "{}",
        gaps.stdout
    );
    lab.server.set_faults(FaultScript::new());
    lab.refresh("AAPL", "2024-07-01", "2024-07-01");
    assert_eq!(lab.query("select count(*) from quarantine"), ["0"]);
    assert_eq!(lab.rows("alpaca/sip/raw", "AAPL"), whole);
}

#[test]
fn a_late_correction_is_kept_as_a_revision() {
    let lab = lab_with("AAPL", every_minute("2024-07-01", "2024-07-02"));
    lab.ingest("AAPL", "2024-07-01", "2024-07-02");
    lab.server.update_tape(|tape| {
        tape.edit("sip", "AAPL", |bars| {
            bars[3].close = 10.3;
            bars.remove(5);
        });
    });
    lab.refresh("AAPL", "2024-07-01", "2024-07-02");
    let sql = "select ts, session_date, old_close, new_close, new_volume is null, job from revisions order by ts";
    let expected = [
        "2024-07-01 13:33:00,2024-07-01,10.25,10.3,false,2",
        "2024-07-01 13:35:00,2024-07-01,10.25,,true,2",
    ];
    assert_eq!(lab.query(sql), expected);
}

#[test]
fn a_dry_run_of_repair_says_what_would_be_asked_and_changes_nothing() {
    let lab = lab_with("AAPL", every_minute("2024-07-01", "2024-07-12"));
    lab.ingest("AAPL", "2024-07-01", "2024-07-02");
    lab.ingest("AAPL", "2024-07-09", "2024-07-12");
    let range = ["--end", "2024-07-12", "--format", "csv"];
    let repair = |more: &[&str]| lab.run(&[&["repair"], &range[..], more].concat());
    let before = (
        lab.done(&["gaps", "--end", "2024-07-12"]).stdout,
        lab.query("select job from jobs"),
    );
    lab.server.reset_stats();
    let planned = repair(&["--dry-run"]);
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    assert!(
        planned
            .stderr
            .contains("plan for alpaca/sip/raw: 1 request in 1 unit"),
        "{}",
        planned.stderr
    );
    let rows: Vec<&str> = planned.stdout.lines().collect();
    assert!(
        rows[0].starts_with("dataset,symbol,sessions,sessions_to_fetch,"),
        "{rows:?}"
    );
    assert!(
        rows[1].starts_with("alpaca/sip/raw,AAPL,9,3,6,"),
        "{rows:?}"
    );
    assert_eq!((rows.len(), lab.server.stats().requests), (2, 0));
    assert_eq!(
        before,
        (
            lab.done(&["gaps", "--end", "2024-07-12"]).stdout,
            lab.query("select job from jobs")
        )
    );
    repair(&[]);
    let planned = repair(&["--dry-run"]);
    assert_eq!(
        (planned.code, planned.stdout.lines().count()),
        (0, 1),
        "{}",
        planned.stderr
    );
    assert!(
        planned.stderr.contains("nothing is known to be missing"),
        "{}",
        planned.stderr
    );
}

#[test]
fn status_tells_the_share_of_all_sessions_between_the_first_and_the_last() {
    let lab = lab_with("AAPL", every_minute("2024-07-01", "2024-07-12"));
    lab.ingest("AAPL", "2024-07-01", "2024-07-02");
    lab.ingest("AAPL", "2024-07-09", "2024-07-12");
    let share = || {
        let shown = lab.done(&["status", "--format", "csv"]).stdout;
        let row = shown.lines().nth(1).unwrap().to_owned();
        row.split(',').nth(7).unwrap().parse::<f64>().unwrap()
    };
    // Six full days of eight and a half day.
    let (present, expected) = (6.0 * 390.0, 8.0 * 390.0 + 210.0);
    let missing = 100.0 * (1.0 - present / expected);
    assert!(
        (100.0 - share() - missing).abs() < 0.01,
        "{} {missing}",
        share()
    );
    let validated = lab.run(&["validate"]);
    let words = format!("regular minutes missing ({missing:.2} %)");
    assert!(
        validated.stderr.contains(&words),
        "{words}: {}",
        validated.stderr
    );
    lab.done(&["repair", "--end", "2024-07-12"]);
    assert!((share() - 100.0).abs() < 1e-9);
}

#[test]
fn commands_that_read_what_is_held_can_be_kept_to_one_dataset() {
    let (first, last) = ("2024-07-01", "2024-07-02");
    let mut tape = Tape::new();
    tape.insert("sip", "AAPL", every_minute(first, last));
    let mut sparse = every_minute(first, last);
    sparse.truncate(700);
    tape.insert("iex", "AAPL", sparse);
    let lab = Lab::with_tape(tape);
    lab.ingest("AAPL", first, last);
    let iex = [
        "ingest",
        "--provider",
        "iex",
        "--symbols",
        "AAPL",
        "--start",
        first,
        "--end",
        last,
    ];
    lab.done(&iex);
    let only = |arguments: &[&str], dataset: &str| {
        let ran = lab.run(&[arguments, &["--dataset", dataset, "--format", "csv"]].concat());
        let rows: Vec<String> = ran.stdout.lines().skip(1).map(str::to_owned).collect();
        (ran.code, rows, ran.stderr)
    };
    let range: [&str; 3] = ["gaps", "--end", last];
    assert_eq!(only(&range, "alpaca/sip/raw").1, [] as [&str; 0]);
    assert_eq!(only(&range, "alpaca/iex/raw").1.len(), 1);
    for dataset in ["alpaca/sip/raw", "alpaca/iex/raw"] {
        let (code, rows, stderr) = only(&["status"], dataset);
        assert_eq!((code, rows.len()), (0, 1), "{stderr}");
        assert!(rows[0].starts_with(dataset), "{rows:?}");
    }
    assert!(
        only(&["validate"], "alpaca/sip/raw")
            .2
            .contains("checked 1 series")
    );
    lab.done(&["aggregate", "--dataset", "alpaca/iex/raw"]);
    let held = lab.query("select dataset, count(*) from bars_1d group by dataset");
    assert_eq!(held, ["alpaca/iex/raw,2"]);
    let (code, rows, stderr) = only(&["repair", "--dry-run", "--end", last], "alpaca/sip/raw");
    assert_eq!((code, rows.len()), (0, 0), "{stderr}");
}

#[test]
fn what_nothing_is_held_of_is_named_by_every_command_that_reads() {
    let lab = lab_with("AAPL", every_minute("2024-07-01", "2024-07-01"));
    lab.ingest("AAPL", "2024-07-01", "2024-07-01");
    let commands: [&[&str]; 6] = [
        &["status"],
        &["gaps", "--end", "2024-07-01"],
        &["validate"],
        &["aggregate"],
        &["repair", "--end", "2024-07-01"],
        &["repair", "--end", "2024-07-01", "--dry-run"],
    ];
    for command in commands {
        for (named, words) in [
            (&["--symbols", "AAPL,ZZZ"][..], "of ZZZ"),
            (&["--dataset", "alpaca/sip/all"], "in alpaca/sip/all"),
            (
                &["--symbols", "AAPL", "--dataset", "alpaca/sip/all"],
                "of AAPL in alpaca/sip/all",
            ),
        ] {
            let ran = lab.run(&[command, named].concat());
            assert_eq!(ran.code, 3, "{command:?} {named:?}: {}", ran.stderr);
            assert!(!ran.stderr.contains("no gaps"), "{named:?}");
            assert!(
                ran.stderr.contains(words),
                "{command:?} {named:?}: {}",
                ran.stderr
            );
        }
    }
    let other = lab.run(&["validate", "--job", "1", "--dataset", "alpaca/sip/all"]);
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(
        other.stderr.contains("job 1 is about alpaca/sip/raw"),
        "{}",
        other.stderr
    );
    assert_eq!(lab.run(&["status", "--dataset", "sip"]).code, 2);
}

#[test]
fn a_misspelt_symbol_can_be_forgotten_and_nothing_that_is_held() {
    let day = "2024-07-01";
    let lab = lab_with("AAPL", every_minute(day, day));
    let both = [
        "ingest",
        "--symbols",
        "AAPL,APPL",
        "--start",
        day,
        "--end",
        day,
    ];
    let ran = lab.run(&both);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("no data   APPL") && ran.stderr.contains("marketpipe forget"),
        "{}",
        ran.stderr
    );
    lab.run(&["validate"]);
    let traces = || {
        let gaps = lab.query(
            "select count(*) from gaps where symbol = 'APPL' and last_session = '2024-07-01'",
        );
        let findings = lab.query("select count(*) from findings where symbol = 'APPL'");
        let status = lab.done(&["status", "--format", "csv"]).stdout;
        (gaps, findings, status.contains(",APPL,"))
    };
    let before = traces();
    assert_eq!((before.0, before.2), (vec!["1".to_owned()], true));
    assert_ne!(before.1, ["0"]);
    let forgot = lab.done(&["forget", "--symbols", "APPL"]);
    assert!(
        forgot
            .stderr
            .contains("forgot APPL in alpaca/sip/raw: 1 session without a bar"),
        "{}",
        forgot.stderr
    );
    assert_eq!(
        traces(),
        (vec!["0".to_owned()], vec!["0".to_owned()], false)
    );
    let held = lab.rows("alpaca/sip/raw", "AAPL");
    let kept = lab.run(&["forget", "--symbols", "AAPL,APPL"]);
    assert_eq!(kept.code, 3);
    for words in [
        "AAPL in alpaca/sip/raw stays",
        "nothing was asked for of APPL",
    ] {
        assert!(kept.stderr.contains(words), "{}", kept.stderr);
    }
    assert_eq!(lab.rows("alpaca/sip/raw", "AAPL"), held);
    assert_eq!(
        lab.done(&["gaps", "--symbols", "AAPL", "--end", day, "--format", "csv"])
            .stdout
            .lines()
            .count(),
        1
    );
    assert_eq!(lab.run(&["forget"]).code, 2);
    // It can be asked for again.
    assert_eq!(lab.run(&both).code, 3);
    assert_eq!(traces().0, ["1"]);
}
