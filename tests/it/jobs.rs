//! Jobs: going on with one, ending one, recognising those of dead processes, forgetting old ones.

use std::process::Stdio;
use std::time::{Duration, Instant};

use marketpipe::infrastructure::fake_alpaca::{Fault, FaultScript, StallPoint, When};

use crate::support::lab::{Lab, read_output};

const RANGE: [&str; 4] = ["--start", "2023-01-03", "--end", "2024-06-28"];

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2023-01-03", "2024-06-28");
    // One unit after the other, so that a run is surely ended in the middle.
    lab.configure("[ingest]\nparallel = 1\n[http]\nbase_delay_ms = 1\n[providers.alpaca]\nrequests_per_minute = 100000\n");
    lab
}

fn ingest(more: &[&str]) -> Vec<String> {
    let words = ["ingest", "--symbols", "AAPL,MSFT"];
    let all = words.iter().chain(&RANGE).chain(more);
    all.map(|word| (*word).to_owned()).collect()
}

fn words(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

fn reference() -> Lab {
    let reference = lab();
    reference.done(&words(&ingest(&[])));
    reference
}

/// `state message` of a job.
fn state_of(lab: &Lab, job: u32) -> String {
    lab.query(&format!(
        "select state || ' ' || coalesce(message, '') from jobs where job = {job}"
    ))
    .remove(0)
}

/// Nothing after the first two thirds of the pages is answered.
fn fall_silent(lab: &Lab, pages: u64) {
    let silence = Fault::Stall {
        point: StallPoint::BeforeHead,
        lasting: Duration::from_secs(60),
    };
    let script = (pages * 2 / 3..pages * 4).fold(FaultScript::new(), |script, nth| {
        script.on(When::Nth(nth), silence.clone())
    });
    lab.server.set_faults(script);
}

/// Units of which something is committed.
fn checkpoints(lab: &Lab) -> i64 {
    let path = lab.data().join("marketpipe.db");
    let count = || {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(path, flags)?;
        database.query_row("SELECT count(*) FROM checkpoint", [], |row| row.get(0))
    };
    // Until the database is made there are none.
    count().unwrap_or(0)
}

/// Begins an ingest that will not end by itself, and waits until something of it is committed.
fn begin_without_end(lab: &Lab) -> std::process::Child {
    let child = lab
        .command(&words(&ingest(&[])))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while checkpoints(lab) == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nothing was committed"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn the_job_of_a_killed_process_is_closed_by_the_next_look_and_can_be_resumed() {
    let reference = reference();
    let pages = reference.server.stats().requests;
    let lab = lab();
    fall_silent(&lab, pages);
    let mut child = begin_without_end(&lab);
    let busy = lab.run(&["jobs", "resume", "1"]);
    assert_eq!(busy.code, 8, "{}", busy.stderr);
    assert!(
        busy.stderr.contains("job 1 is at work in process"),
        "{}",
        busy.stderr
    );
    child.kill().unwrap();
    child.wait().unwrap();
    lab.server.set_faults(FaultScript::new());
    lab.server.reset_stats();
    let listed = lab.done(&["jobs", "list", "--format", "csv"]);
    assert!(
        listed.stdout.contains("1,interrupted,"),
        "{}",
        listed.stdout
    );
    assert_eq!(
        state_of(&lab, 1),
        "interrupted its process ended without a word"
    );
    let counted: u64 = lab.query("select rows_new from jobs where job = 1")[0]
        .parse()
        .unwrap();
    let held: u64 = lab.query("select count(*) from bars_1m")[0]
        .parse()
        .unwrap();
    assert_eq!(counted, held, "what a killed job committed is counted");
    let resumed = lab.done(&["jobs", "resume", "1"]);
    assert!(
        resumed.stderr.contains("job 1 goes on"),
        "{}",
        resumed.stderr
    );
    assert_eq!(lab.files(), reference.files());
    assert!(
        lab.server.stats().requests < pages,
        "only the rest was asked for"
    );
    assert_eq!(state_of(&lab, 1), "completed ");
    let totals =
        lab.query("select rows_new = (select count(*) from bars_1m) from jobs where job = 1");
    assert_eq!(totals, ["true"], "both runs are counted");
    let again = lab.done(&["jobs", "resume", "1"]);
    assert!(
        again.stderr.contains("nothing to go on with"),
        "{}",
        again.stderr
    );
    let units = lab.done(&["jobs", "show", "1", "--format", "csv"]);
    assert!(units.stdout.lines().count() > 2, "{}", units.stdout);
}

#[test]
fn a_refresh_that_is_resumed_asks_for_the_rest_only() {
    let lab = lab();
    lab.done(&words(&ingest(&[])));
    let (pages, files) = (lab.server.stats().requests, lab.files());
    lab.server.reset_stats();
    // The key is refused after a while: that ends the run.
    let refused = Fault::json(401, "{\"message\":\"forbidden.\"}");
    lab.server
        .set_faults(FaultScript::new().on(When::Nth(pages * 2 / 3), refused));
    let ended = lab.run(&words(&ingest(&["--refresh"])));
    assert_eq!(ended.code, 6, "{}", ended.stderr);
    assert!(ended.stderr.contains("401"), "{}", ended.stderr);
    lab.server.reset_stats();
    lab.done(&["jobs", "resume", "2"]);
    let rest = lab.server.stats().requests;
    assert!(0 < rest && rest < pages, "{rest} of {pages}");
    assert_eq!(lab.files(), files);
}

#[test]
fn a_cancelled_job_ends_soon_keeps_its_work_and_blocks_nobody() {
    let reference = reference();
    let lab = lab();
    fall_silent(&lab, reference.server.stats().requests);
    let child = begin_without_end(&lab);
    lab.done(&["jobs", "cancel", "1"]);
    let begun = Instant::now();
    let ran = read_output(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert!(ran.stderr.contains("not done"), "{}", ran.stderr);
    assert_eq!(
        state_of(&lab, 1),
        "cancelled cancelled while it was running"
    );
    let kept = lab.files();
    assert!(!kept.is_empty());
    let resumed = lab.run(&["jobs", "resume", "1"]);
    assert_eq!(resumed.code, 2, "{}", resumed.stderr);
    lab.done(&["jobs", "cancel", "1"]);
    lab.server.set_faults(FaultScript::new());
    lab.done(&words(&ingest(&[])));
    assert_eq!(lab.files(), reference.files());
}

#[test]
fn failed_jobs_can_be_cancelled_and_old_ones_forgotten() {
    let lab = lab();
    let refused = Fault::json(401, "{\"message\":\"forbidden.\"}");
    lab.server
        .set_faults(FaultScript::new().on(When::Always, refused));
    assert_eq!(lab.run(&words(&ingest(&[]))).code, 6);
    lab.done(&["jobs", "cancel", "1"]);
    assert_eq!(state_of(&lab, 1), "cancelled cancelled after it was failed");
    let unknown = lab.run(&["jobs", "cancel", "7"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    let none = lab.done(&["jobs", "prune", "--older-than", "90d"]);
    assert!(none.stderr.contains("forgotten: 0 jobs"), "{}", none.stderr);
    let one = lab.done(&["jobs", "prune", "--older-than", "0d"]);
    assert!(one.stderr.contains("forgotten: 1 job\n"), "{}", one.stderr);
    assert_eq!(lab.query("select count(*) from jobs"), ["0"]);
    let bad = lab.run(&["jobs", "prune", "--older-than", "soon"]);
    assert_eq!(bad.code, 2, "{}", bad.stderr);
}
