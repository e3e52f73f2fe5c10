//! Reading what is kept: formats, views, pipes, and what SQL may not do.

use std::io::Read as _;
use std::process::Stdio;

use crate::support::lab::{Lab, program, run};

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "BRK.B"], "2024-07-01", "2024-07-05");
    lab.ingest("AAPL,BRK.B", "2024-07-01", "2024-07-05");
    lab
}

#[test]
fn rows_come_in_every_format() {
    let lab = lab();
    let sql = "select symbol, count(*) as n, min(ts) as first, avg(close) as mean from bars_1m group by symbol order by symbol";
    let csv = lab.done(&["query", sql]).stdout;
    assert!(
        csv.starts_with("symbol,n,first,mean\nAAPL,"),
        "csv when stdout is no terminal: {csv}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&lab.done(&["query", sql, "--format", "json"]).stdout).unwrap();
    assert_eq!(json["schema"], "marketpipe.query/1");
    assert!(json["rows"][0]["n"].is_u64() && json["rows"][0]["mean"].is_f64());
    let jsonl = lab.done(&["query", sql, "--format", "jsonl"]).stdout;
    assert_eq!(jsonl.lines().count(), 2);
    for line in jsonl.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    let table = lab.done(&["query", sql, "--format", "table"]).stdout;
    assert!(
        table.contains("symbol") && table.contains("BRK.B"),
        "{table}"
    );
}

#[test]
fn the_calendar_view_knows_the_half_day() {
    let lab = lab();
    let sql = "select session_date, open, close, half_day from calendar where session_date between '2024-07-03' and '2024-07-05' order by 1";
    let rows = lab.done(&["query", sql]).stdout;
    let expected = "session_date,open,close,half_day\n2024-07-03,2024-07-03 13:30:00,2024-07-03 17:00:00,true\n2024-07-05,2024-07-05 13:30:00,2024-07-05 20:00:00,false\n";
    assert_eq!(rows, expected);
}

#[test]
fn sql_reads_the_views_and_nothing_else() {
    let lab = lab();
    let out = lab.folder.path().join("out.csv");
    let copy = format!("copy (select 1) to '{}'", out.display());
    for sql in [
        copy.as_str(),
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/hostname')",
        "install httpfs",
        "attach 'x.db'",
        "create table t as select 1",
        "set memory_limit = '1TB'",
        "select 1; select 2",
        "select nonsense from bars_1m",
        "",
    ] {
        let ran = lab.run(&["query", sql]);
        assert_eq!(ran.code, 2, "{sql}: {} {}", ran.stdout, ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    }
    assert!(!out.exists());
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let lab = lab();
    let mut child = lab
        .command(&[
            "query",
            "select * from bars_1m, range(50)",
            "--format",
            "jsonl",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).as_ref()
        ),
        (Some(0), "")
    );
}

#[test]
fn an_empty_folder_gives_clear_words() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [["status"].as_slice(), &["jobs", "list"]] {
        let ran = run(program(folder.path()).args(arguments));
        assert_eq!(ran.code, 7, "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("nothing is kept in ./data yet"),
            "{}",
            ran.stderr
        );
    }
    let query = run(program(folder.path()).args(["query", "select count(*) as n from bars_1m"]));
    assert_eq!(
        (query.code, query.stdout.as_str()),
        (0, "n\n0\n"),
        "{}",
        query.stderr
    );
    assert!(
        std::fs::read_dir(folder.path()).unwrap().next().is_none(),
        "reading makes nothing"
    );
}

#[test]
fn config_show_tells_where_values_come_from_and_no_secret() {
    let lab = lab();
    let shown = lab.done(&["config", "show", "--format", "csv"]).stdout;
    assert!(
        shown.contains("MARKETPIPE_DATA_DIR") && shown.contains("APCA_API_SECRET_KEY"),
        "{shown}"
    );
    let providers = lab.done(&["providers", "--format", "csv"]).stdout;
    assert_eq!(providers.lines().count(), 4, "{providers}");
}

#[test]
fn a_job_can_be_looked_up() {
    let lab = lab();
    let list = lab.done(&["jobs", "list", "--format", "csv"]).stdout;
    assert!(
        list.lines().nth(1).unwrap().starts_with("1,completed,"),
        "{list}"
    );
    let show = lab.done(&["jobs", "show", "1", "--format", "csv"]);
    assert!(
        show.stdout
            .starts_with("unit,covers,partitions_committed,partitions\n0,"),
        "{}",
        show.stdout
    );
    assert_eq!(lab.run(&["jobs", "show", "99"]).code, 2);
}

#[test]
fn the_demo_runs_twice_without_an_account() {
    let folder = tempfile::tempdir().unwrap();
    for earlier_demos in 0..2 {
        let ran = run(program(folder.path()).arg("demo"));
        assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
        let lines = || ran.stdout.lines();
        let too_long = lines().find(|line| line.chars().count() > 80);
        assert_eq!(too_long, None, "a pipe has 80 columns");
        assert_eq!(
            ran.stdout.contains("An earlier demo has fetched"),
            earlier_demos > 0,
            "{}",
            ran.stdout
        );
        assert!(
            ran.stdout.contains("nothing to fetch") && ran.stdout.contains("DEMOB"),
            "{}",
            ran.stdout
        );
        let commands: Vec<&str> = ran
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("  marketpipe --data-dir "))
            .collect();
        assert_eq!(commands.len(), 3, "{}", ran.stdout);
        for command in commands {
            let script = format!("{} --data-dir {command}", env!("CARGO_BIN_EXE_marketpipe"));
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{script}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(
        folder
            .path()
            .join("marketpipe-demo/marketpipe.db")
            .is_file()
    );
}

#[test]
fn synthetic_bars_need_no_server_and_are_marked() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(program(folder.path()).args([
        "ingest",
        "--provider",
        "synthetic",
        "--symbols",
        "AAPL,BTC/USD",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-05",
    ]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("made-up bars"), "{}", ran.stderr);
    let status = run(program(folder.path()).args(["status", "--format", "csv"]));
    assert!(
        status.stdout.contains("synthetic/seed-1/raw,BTC/USD,1m"),
        "{}",
        status.stdout
    );
}

#[test]
fn the_demo_stays_away_from_what_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("marketpipe.toml"), "log = \"info\"\n").unwrap();
    let ran = run(program(folder.path()).args(["demo", "--keep", "."]));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("holds something else than a demo"),
        "{}",
        ran.stderr
    );
    let kept = std::fs::read_to_string(folder.path().join("marketpipe.toml")).unwrap();
    assert_eq!(kept, "log = \"info\"\n");
}

#[test]
fn instants_with_a_time_zone_are_shown_and_mistakes_say_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let query = |sql: &str| run(program(folder.path()).args(["query", sql]));
    let shown = query("select timestamptz '2024-07-02 13:30:00+00' as t, 1::hugeint as h");
    assert_eq!(
        shown.stdout, "t,h\n2024-07-02 13:30:00Z,1\n",
        "{}",
        shown.stderr
    );
    let refused = query("select now() at time zone 'America/New_York'");
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("hint: times are TIMESTAMP in UTC"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.lines().count() < 8, "{}", refused.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_does_not_end_the_work() {
    let lab = lab();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let arguments = [
        "ingest",
        "--symbols",
        "AAPL,b!",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-05",
        "--refresh",
        "-vv",
    ];
    let status = lab.command(&arguments).stderr(full).status().unwrap();
    assert_eq!(status.code(), Some(3), "the malformed symbol alone");
}

#[test]
fn a_database_that_is_gone_is_not_made_anew_beside_its_files() {
    let lab = lab();
    for name in ["marketpipe.db", "marketpipe.db-wal", "marketpipe.db-shm"] {
        _ = std::fs::remove_file(lab.data().join(name));
    }
    let ingest = [
        "ingest",
        "--symbols",
        "AAPL",
        "--start",
        "2024-07-08",
        "--end",
        "2024-07-09",
    ];
    for arguments in [
        &ingest[..],
        &["query", "select count(*) from bars_1m"],
        &["status"],
    ] {
        let ran = lab.run(arguments);
        assert_eq!(ran.code, 7, "{arguments:?}: {} {}", ran.stdout, ran.stderr);
        assert!(
            ran.stderr.contains("marketpipe.db is missing"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn quiet_runs_still_say_what_failed() {
    let lab = lab();
    let ran = lab.run(&[
        "ingest",
        "--symbols",
        "AAPL,ZZZZ",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-05",
        "-q",
    ]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("no data   ZZZZ"), "{}", ran.stderr);
}
