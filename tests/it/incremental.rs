//! Nothing is asked twice, nothing appears twice, and what was committed stays.

use std::time::{Duration, Instant};

use marketpipe::infrastructure::fake_alpaca::{Fault, FaultScript, StallPoint, When};

use crate::support::lab::{Lab, files_below, made_up, program, run};

#[test]
fn the_second_run_asks_for_nothing_and_changes_no_byte() {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-06-24", "2024-07-05");
    lab.ingest("AAPL,MSFT", "2024-06-24", "2024-07-05");
    let (files, asked) = (lab.files(), lab.server.stats().requests);
    assert_eq!(files.len(), 4, "two symbols, two months");
    let again = lab.ingest("AAPL,MSFT", "2024-06-24", "2024-07-05");
    assert!(
        again.stderr.contains("nothing to fetch"),
        "{}",
        again.stderr
    );
    assert_eq!(lab.server.stats().requests, asked);
    assert_eq!(lab.files(), files);
    lab.refresh("AAPL,MSFT", "2024-06-24", "2024-07-05");
    assert!(lab.server.stats().requests > asked);
    assert_eq!(
        lab.files(),
        files,
        "a refresh with the same rows rewrites nothing"
    );
}

#[test]
fn overlapping_ranges_give_the_union_without_duplicates() {
    let symbols = ["AAPL"];
    let lab = Lab::with_made_up(&symbols, "2024-05-28", "2024-07-12");
    lab.ingest("AAPL", "2024-06-10", "2024-06-21");
    lab.ingest("AAPL", "2024-06-17", "2024-07-12");
    lab.ingest("AAPL", "2024-05-28", "2024-06-12");
    let whole = Lab::with_made_up(&symbols, "2024-05-28", "2024-07-12");
    whole.ingest("AAPL", "2024-05-28", "2024-07-12");
    assert_eq!(
        lab.files(),
        whole.files(),
        "the same bytes, whatever the order of the parts"
    );
    assert_eq!(
        lab.rows("alpaca/sip/raw", "AAPL"),
        made_up("AAPL", "2024-05-28", "2024-07-12")
    );
}

#[test]
fn instants_fetch_exactly_what_they_say() {
    let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-05");
    let range = [
        "--start",
        "2024-07-02T14:00:00Z",
        "--end",
        "2024-07-02T15:00:00Z",
    ];
    let ingest = |range: [&str; 4]| {
        let mut arguments = vec!["ingest", "--symbols", "AAPL"];
        arguments.extend(range);
        lab.done(&arguments)
    };
    ingest(range);
    // 14:00 to 15:00 UTC.
    let hour = 1_719_928_800_000_000..1_719_932_400_000_000;
    let mut expected = made_up("AAPL", "2024-07-02", "2024-07-02");
    expected.retain(|bar| hour.contains(&bar.ts_us));
    assert!(expected.len() > 40);
    assert_eq!(lab.rows("alpaca/sip/raw", "AAPL"), expected);
    let asked = lab.server.stats().requests;
    ingest(range);
    assert_eq!(
        lab.server.stats().requests,
        asked,
        "a part of a past session is not asked for again either"
    );
    lab.ingest("AAPL", "2024-07-02", "2024-07-02");
    assert_eq!(
        lab.rows("alpaca/sip/raw", "AAPL"),
        made_up("AAPL", "2024-07-02", "2024-07-02")
    );
}

#[test]
fn a_correction_replaces_the_row_and_the_third_run_changes_nothing() {
    let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-02");
    lab.ingest("AAPL", "2024-07-01", "2024-07-02");
    lab.server.update_tape(|tape| {
        tape.edit("sip", "AAPL", |bars| {
            bars[100].volume += 1.0;
            bars.remove(200);
        });
    });
    let refresh = [
        "ingest",
        "--symbols",
        "AAPL",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-02",
        "--refresh",
        "--format",
        "json",
    ];
    let second: serde_json::Value = serde_json::from_str(&lab.done(&refresh).stdout).unwrap();
    assert_eq!(
        second["rows"][0]["rows_revised"], 2,
        "one corrected, one withdrawn"
    );
    let files = lab.files();
    let third: serde_json::Value = serde_json::from_str(&lab.done(&refresh).stdout).unwrap();
    assert_eq!(
        (
            &third["rows"][0]["rows_revised"],
            &third["rows"][0]["rows_new"]
        ),
        (&0.into(), &0.into())
    );
    assert_eq!(lab.files(), files);
}

#[test]
fn a_much_shorter_answer_is_refused_until_accepted() {
    let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-02");
    lab.ingest("AAPL", "2024-07-01", "2024-07-02");
    let files = lab.files();
    lab.server.update_tape(|tape| {
        tape.edit("sip", "AAPL", |bars| {
            bars.retain(|bar| bar.ts_us % 120_000_000 == 0)
        })
    });
    let mut refresh = vec![
        "ingest",
        "--symbols",
        "AAPL",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-02",
        "--refresh",
    ];
    let refused = lab.run(&refresh);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("the stored ones stay"),
        "{}",
        refused.stderr
    );
    assert_eq!(lab.files(), files);
    refresh.push("--accept-shrink");
    lab.done(&refresh);
    assert_ne!(lab.files(), files);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_committed_and_the_rest_comes_next_time() {
    let symbols = ["AAPL", "MSFT"];
    let lab = Lab::with_made_up(&symbols, "2023-01-03", "2024-06-28");
    let reference = Lab::with_made_up(&symbols, "2023-01-03", "2024-06-28");
    reference.ingest("AAPL,MSFT", "2023-01-03", "2024-06-28");
    // One unit after the other, so that the first ones are done when the server falls silent, and
    // the run is surely interrupted in the middle.
    std::fs::write(
        lab.folder.path().join("marketpipe.toml"),
        "[ingest]\nparallel = 1\n",
    )
    .unwrap();
    let silence = Fault::Stall {
        point: StallPoint::BeforeHead,
        lasting: Duration::from_secs(60),
    };
    let pages = reference.server.stats().requests;
    assert!(pages > 20, "{pages} pages");
    let script = (pages * 2 / 3..pages * 3).fold(FaultScript::new(), |script, nth| {
        script.on(When::Nth(nth), silence.clone())
    });
    lab.server.set_faults(script);
    let child = lab
        .command(&[
            "ingest",
            "--symbols",
            "AAPL,MSFT",
            "--start",
            "2023-01-03",
            "--end",
            "2024-06-28",
        ])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while files_below(&lab.data().join("lake")).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nothing was committed"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let kept = lab.files();
    assert!(!kept.is_empty() && kept.len() < reference.files().len());
    for (path, bytes) in &kept {
        assert_eq!(
            reference.files().get(path),
            Some(bytes),
            "{}",
            path.display()
        );
    }
    let jobs = lab.done(&["jobs", "list", "--format", "csv"]);
    assert!(jobs.stdout.contains("interrupted"), "{}", jobs.stdout);
    lab.server.set_faults(FaultScript::new());
    lab.server.reset_stats();
    lab.ingest("AAPL,MSFT", "2023-01-03", "2024-06-28");
    assert_eq!(lab.files(), reference.files());
    assert!(
        lab.server.stats().requests < pages,
        "only the rest was asked for"
    );
    assert!(files_below(&lab.data().join("staging")).is_empty());
}

#[test]
fn a_pair_and_a_share_in_one_request_keep_their_own_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let ingest = |symbols: &str, start: &str, end: &str| {
        let arguments = [
            "ingest",
            "--provider",
            "synthetic",
            "--symbols",
            symbols,
            "--start",
            start,
            "--end",
            end,
        ];
        let ran = run(program(folder.path()).args(arguments));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    ingest(
        "AAPL,BTC/USD",
        "2024-06-29T00:00:00Z",
        "2024-07-02T00:00:00Z",
    );
    ingest("BTC/USD", "2024-06-29", "2024-07-01");
    let sql = "select count(*) - count(distinct ts) as doubled, count(distinct session_date) as days from bars_1m where symbol = 'BTC/USD'";
    let shown = run(program(folder.path()).args(["query", sql]));
    assert_eq!(shown.stdout, "doubled,days\n0,3\n", "{}", shown.stderr);
}

#[test]
fn no_data_is_said_the_first_time_and_every_time() {
    let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-03");
    lab.ingest("AAPL", "2024-07-01", "2024-07-03");
    for _ in 0..2 {
        let ran = lab.run(&[
            "ingest",
            "--symbols",
            "AAPL",
            "--start",
            "2024-07-08",
            "--end",
            "2024-07-12",
        ]);
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        assert!(ran.stderr.contains("no data   AAPL"), "{}", ran.stderr);
    }
}
