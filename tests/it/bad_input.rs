//! Bad input: each kind with its own message and its promised exit code.

use crate::support::lab::{Lab, Ran, program, run};

const RANGE: [&str; 4] = ["--start", "2024-07-01", "--end", "2024-07-02"];

fn lab() -> Lab {
    Lab::with_made_up(&["AAPL", "MSFT"], "2024-07-01", "2024-07-02")
}

fn ingest(lab: &Lab, more: &[&str]) -> Ran {
    let mut arguments = vec!["ingest", "--symbols", "AAPL,MSFT"];
    arguments.extend(RANGE);
    arguments.extend(more);
    lab.run(&arguments)
}

fn assert_refused(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, code, "{}", ran.stderr);
    assert!(
        ran.stderr.contains(words),
        "`{words}` is not in:\n{}",
        ran.stderr
    );
    assert!(ran.stdout.is_empty(), "stdout is for data: {}", ran.stdout);
}

#[test]
fn missing_credentials_are_a_matter_of_configuration_and_wrong_ones_of_the_provider() {
    let lab = lab();
    let mut without = program(lab.folder.path());
    without
        .env("MARKETPIPE_ALPACA_URL", lab.server.base_url())
        .args(["ingest", "--symbols", "AAPL"])
        .args(RANGE);
    assert_refused(&run(&mut without), 5, "APCA_API_KEY_ID");
    let wrong = run(lab
        .command(&["ingest", "--symbols", "AAPL"])
        .args(RANGE)
        .env("APCA_API_SECRET_KEY", "wrong"));
    assert_refused(&wrong, 6, "401");
    assert_eq!(
        lab.server.stats().requests,
        1,
        "a refused key is not tried again"
    );
}

#[test]
fn ranges_providers_and_options_that_make_no_sense_are_usage_errors() {
    let lab = lab();
    let refused = lab.run(&[
        "ingest",
        "--symbols",
        "AAPL",
        "--start",
        "2024-07-02",
        "--end",
        "2024-07-01",
    ]);
    assert_refused(&refused, 2, "--start 2024-07-02 is after --end 2024-07-01");
    assert_refused(
        &ingest(&lab, &["--provider", "nobody"]),
        2,
        "provider `nobody` is unknown",
    );
    assert_refused(
        &ingest(&lab, &["--provider", "synthetic", "--feed", "sip"]),
        2,
        "synthetic has no --feed",
    );
    assert_refused(&ingest(&lab, &["--feed", "everything"]), 2, "everything");
    assert_refused(
        &lab.run(&[
            "ingest",
            "--symbols",
            "AAPL",
            "--start",
            "1980-01-02",
            "--end",
            "1980-01-03",
        ]),
        2,
        "1980-01-02",
    );
    assert_refused(&lab.run(&["ingest"]), 2, "--symbols");
    assert_refused(&lab.run(&["nonsense"]), 2, "nonsense");
    assert_refused(&lab.run(&["ingest", "--symbols", "../etc"]), 2, "../etc");
}

#[test]
fn a_malformed_symbol_does_not_cost_the_others() {
    let lab = lab();
    let ran = lab.run(&[
        "ingest",
        "--symbols",
        "AAPL,A'; DROP TABLE,MSFT",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-02",
    ]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(lab.partitions().len(), 2);
    // Legal for the tool, refused by the provider.
    let refused = lab.run(&[
        "ingest",
        "--symbols",
        "AAPL,S0700,MSFT",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-02",
        "--refresh",
    ]);
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("invalid symbol: S0700"),
        "{}",
        refused.stderr
    );
}

#[test]
fn an_unknown_symbol_is_reported_by_name() {
    let lab = lab();
    let ran = lab.run(&[
        "ingest",
        "--symbols",
        "AAPL,ZZZZ",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-02",
    ]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("no data   ZZZZ"), "{}", ran.stderr);
    assert_eq!(lab.partitions().len(), 1);
    let again = lab.run(&[
        "ingest",
        "--symbols",
        "AAPL,ZZZZ",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-02",
    ]);
    assert_eq!(
        again.code, 3,
        "the second run says so as well: {}",
        again.stderr
    );
}

#[test]
fn an_unreadable_configuration_is_named() {
    let lab = lab();
    let path = lab.folder.path().join("bad.toml");
    std::fs::write(&path, "data_dirr = \"x\"\n").unwrap();
    let unknown_key = lab.run(&["status", "--config", path.to_str().unwrap()]);
    assert_refused(&unknown_key, 5, "data_dirr");
    std::fs::write(&path, "data_dir = \n").unwrap();
    assert_refused(
        &lab.run(&["status", "--config", path.to_str().unwrap()]),
        5,
        "bad.toml",
    );
    assert_refused(
        &lab.run(&["status", "--config", "no/such.toml"]),
        5,
        "no/such.toml",
    );
}

#[test]
fn a_data_directory_that_cannot_be_written_is_told_before_any_request() {
    let lab = lab();
    let in_the_way = lab.folder.path().join("file");
    std::fs::write(&in_the_way, "x").unwrap();
    let ran = run(lab
        .command(&["ingest", "--symbols", "AAPL"])
        .args(RANGE)
        .env("MARKETPIPE_DATA_DIR", in_the_way.join("data")));
    assert_refused(&ran, 7, "file");
    assert_eq!(lab.server.stats().requests, 0);
}

#[test]
fn plain_http_to_another_host_is_refused() {
    let lab = lab();
    let ran = run(lab
        .command(&["ingest", "--symbols", "AAPL"])
        .args(RANGE)
        .env("MARKETPIPE_ALPACA_URL", "http://data.example.com"));
    assert_refused(&ran, 5, "http");
}

#[test]
fn a_dead_server_ends_the_run_in_bounded_time() {
    let lab = lab();
    let begun = std::time::Instant::now();
    // Nobody listens on the discard port of loopback.
    let ran = run(lab
        .command(&["ingest", "--symbols", "AAPL"])
        .args(RANGE)
        .env("MARKETPIPE_ALPACA_URL", "http://127.0.0.1:9"));
    assert_refused(&ran, 6, "127.0.0.1:9");
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
