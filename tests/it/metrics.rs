//! Metrics: their numbers are those of jobs, status and files; they are kept from run to run; Prometheus can read them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use marketpipe::infrastructure::fake_alpaca::{Fault, FaultScript, StallPoint, When};

use crate::support::lab::{Lab, read_output};

const DATASET: &str = "alpaca/sip/raw";

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-06-03", "2024-07-05");
    lab.configure("[http]\nbase_delay_ms = 1\n[providers.alpaca]\nrequests_per_minute = 100000\n");
    lab
}

/// Every series of the exposition by its name with labels.
fn exposition(lab: &Lab) -> BTreeMap<String, f64> {
    let file = lab.folder.path().join("metrics.prom");
    lab.done(&["metrics", "--textfile", file.to_str().unwrap()]);
    read_series(&std::fs::read_to_string(file).unwrap())
}

fn read_series(text: &str) -> BTreeMap<String, f64> {
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// The value of a metric of the dataset.
fn of_dataset(series: &BTreeMap<String, f64>, name: &str) -> f64 {
    let name = format!("marketpipe_{name}{{dataset=\"{DATASET}\"}}");
    *series.get(&name).unwrap_or(&0.0)
}

fn number(lab: &Lab, sql: &str) -> f64 {
    lab.query(sql)[0].parse().unwrap()
}

/// What SQL counts, what jobs and status say, and what is measured: all the same.
fn assert_numbers_agree(lab: &Lab) {
    let series = exposition(lab);
    for counter in [
        "rows_new",
        "rows_revised",
        "rows_quarantined",
        "requests",
        "retries",
        "files_written",
    ] {
        let of_jobs = number(lab, &format!("select sum({counter}) from jobs"));
        let measured = of_dataset(&series, &format!("{counter}_total"));
        assert_eq!(measured, of_jobs, "{counter}");
    }
    let shown: f64 = lab
        .query("select job from jobs")
        .iter()
        .map(|job| {
            let shown = lab.done(&["jobs", "show", job]).stderr;
            let (before, _) = shown.split_once(" rows new").unwrap();
            let digits = before.rsplit(' ').next().unwrap();
            digits.replace(',', "").parse::<f64>().unwrap()
        })
        .sum();
    assert_eq!(of_dataset(&series, "rows_new_total"), shown, "jobs show");
    let status = lab.done(&["status", "--format", "json"]).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let frames: Vec<String> = lab.query("select distinct timeframe from (values ('1m'), ('5m'), ('15m'), ('1h'), ('1d')) as frames(timeframe)");
    assert_eq!(frames.len(), 5);
    for frame in frames {
        let counted = number(lab, &format!("select count(*) from bars_{frame}"));
        let of_status: f64 = status["rows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["timeframe"] == frame.as_str())
            .map(|row| row["rows"].as_f64().unwrap())
            .sum();
        let name = format!("marketpipe_stored_rows{{dataset=\"{DATASET}\",timeframe=\"{frame}\"}}");
        let measured = *series.get(&name).unwrap_or(&0.0);
        assert_eq!((measured, of_status), (counted, counted), "{frame}");
    }
    let apart = number(lab, "select count(*) from quarantine");
    assert_eq!(of_dataset(&series, "quarantine_rows"), apart);
}

#[test]
fn the_numbers_agree_after_ingest_quarantine_revision_and_aggregation() {
    let lab = lab();
    lab.server.set_faults(
        FaultScript::new()
            .on(When::Nth(1), Fault::too_many_requests())
            .on_times(When::Nth(3), 1, Fault::LowAboveHigh),
    );
    lab.run(&[
        "ingest",
        "--symbols",
        "AAPL,MSFT",
        "--start",
        "2024-06-03",
        "--end",
        "2024-07-03",
    ]);
    assert!(number(&lab, "select count(*) from quarantine") > 0.0);
    assert_numbers_agree(&lab);
    let asked = lab.server.stats().requests;
    assert_eq!(
        of_dataset(&exposition(&lab), "requests_total"),
        asked as f64
    );

    lab.server.update_tape(|tape| {
        tape.edit("sip", "AAPL", |bars| {
            bars[100].volume += 1.0;
            bars.remove(200);
        });
    });
    lab.refresh("AAPL", "2024-06-03", "2024-07-05");
    assert_numbers_agree(&lab);
    let series = exposition(&lab);
    assert!(of_dataset(&series, "rows_revised_total") >= 2.0);

    lab.done(&["aggregate"]);
    assert_numbers_agree(&lab);
    let derived: f64 = ["5m", "15m", "1h", "1d"]
        .iter()
        .map(|frame| number(&lab, &format!("select count(*) from bars_{frame}")))
        .sum();
    let series = exposition(&lab);
    assert_eq!(of_dataset(&series, "derived_rows_total"), derived);

    // The summary, the history and the symbols say the same.
    let new = of_dataset(&series, "rows_new_total");
    let summary = lab.done(&["metrics", "--format", "csv"]).stdout;
    let line = format!("rows,new,{DATASET},{new:?},rows,,");
    assert!(
        summary.lines().any(|found| found == line),
        "{line}\n{summary}"
    );
    let total_of = |arguments: &[&str], column: usize| -> f64 {
        let rows = lab.done(arguments).stdout;
        let values = rows
            .lines()
            .skip(1)
            .map(|row| row.split(',').nth(column).unwrap());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    };
    assert_eq!(
        total_of(
            &[
                "metrics", "history", "rows_new", "--every", "10s", "--format", "csv"
            ],
            2
        ),
        new
    );
    assert_eq!(
        total_of(
            &[
                "metrics", "history", "rows_new", "--every", "1d", "--format", "csv"
            ],
            2
        ),
        new
    );
    assert_eq!(total_of(&["metrics", "symbols", "--format", "csv"], 6), new);
}

#[test]
fn two_processes_at_once_add_up() {
    let lab = lab();
    let begin = |symbol: &str| -> Child {
        let arguments = [
            "ingest",
            "--symbols",
            symbol,
            "--start",
            "2024-06-03",
            "--end",
            "2024-07-05",
        ];
        let mut command = lab.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let running = [begin("AAPL"), begin("MSFT")];
    for child in running {
        let ran = read_output(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    assert_numbers_agree(&lab);
    let series = exposition(&lab);
    let runs = "marketpipe_runs_total{command=\"ingest\",outcome=\"completed\"}";
    assert_eq!(series[runs], 2.0);
    let outcomes = lab.done(&["metrics", "runs", "--format", "csv"]).stdout;
    assert_eq!(
        outcomes.matches(",ingest,completed,").count(),
        2,
        "{outcomes}"
    );
}

#[test]
fn runs_are_remembered_by_how_they_ended() {
    let lab = lab();
    lab.ingest("AAPL", "2024-07-01", "2024-07-02");
    let partial = lab.run(&[
        "ingest",
        "--symbols",
        "AAPL,NOSUCH",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-03",
    ]);
    assert_eq!(partial.code, 3, "{}", partial.stderr);
    lab.done(&["aggregate"]);
    lab.done(&["validate"]);
    lab.server.set_faults(FaultScript::new().on(
        When::Always,
        Fault::json(403, "{\"message\":\"forbidden.\"}"),
    ));
    let refused = lab.run(&[
        "ingest",
        "--symbols",
        "MSFT",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-02",
    ]);
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    let runs = lab.done(&["metrics", "runs", "--format", "jsonl"]).stdout;
    let ended: Vec<(String, String)> = runs
        .lines()
        .map(|line| {
            let run: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| run[key].as_str().unwrap().to_owned();
            (text("command"), text("outcome"))
        })
        .collect();
    let expected = [
        ("ingest", "failed"),
        ("validate", "completed"),
        ("aggregate", "completed"),
        ("ingest", "partial"),
        ("ingest", "completed"),
    ];
    assert_eq!(
        ended,
        expected.map(|(command, outcome)| (command.to_owned(), outcome.to_owned()))
    );
    let events = lab.done(&["metrics", "events", "--format", "csv"]).stdout;
    for line in [
        "JobStarted,(published),3,,",
        "JobStarted,metrics,3,0,",
        "AggregationCompleted,log,1,0,",
    ] {
        assert!(
            events.lines().any(|found| found.starts_with(line)),
            "{line}\n{events}"
        );
    }
}

#[test]
fn a_killed_run_keeps_what_was_measured_and_is_called_lost() {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2023-01-03", "2024-06-28");
    lab.configure("[ingest]\nparallel = 1\n[providers.alpaca]\nrequests_per_minute = 100000\n");
    let silence = Fault::Stall {
        point: StallPoint::BeforeHead,
        lasting: Duration::from_secs(60),
    };
    let script = (20..60).fold(FaultScript::new(), |script, nth| {
        script.on(When::Nth(nth), silence.clone())
    });
    lab.server.set_faults(script);
    let mut child = lab
        .command(&[
            "ingest",
            "--symbols",
            "AAPL,MSFT",
            "--start",
            "2023-01-03",
            "--end",
            "2024-06-28",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let measured = |lab: &Lab| -> f64 {
        match lab.data().join("marketpipe.db").exists() {
            true => of_dataset(&exposition(lab), "requests_total"),
            false => 0.0,
        }
    };
    while measured(&lab) == 0.0 {
        assert!(begun.elapsed().as_secs() < 60, "nothing was measured");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Looking at jobs closes those of the dead.
    lab.done(&["jobs", "list"]);
    let runs = lab.done(&["metrics", "runs", "--format", "csv"]).stdout;
    assert!(runs.contains(",ingest,lost,"), "{runs}");
    assert!(measured(&lab) > 0.0);
    lab.server.set_faults(FaultScript::new());
    lab.done(&["jobs", "resume", "1"]);
    let runs = lab.done(&["metrics", "runs", "--format", "csv"]).stdout;
    assert!(runs.contains(",ingest,completed,"), "{runs}");
}

#[test]
fn what_is_served_is_what_is_kept_until_it_is_told_to_end() {
    let lab = lab();
    let serve = |arguments: &[&str]| -> (Child, String) {
        let mut command = lab.command(arguments);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stderr = child.stderr.as_mut().unwrap();
        BufReader::new(stderr).read_line(&mut line).unwrap();
        let address = line
            .split("http://")
            .nth(1)
            .unwrap()
            .split('/')
            .next()
            .unwrap();
        (child, address.to_owned())
    };
    let (mut server, address) = serve(&["metrics", "serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(get(&address, "/healthz"), (200, "ok\n".to_owned()));
    // Nothing is kept yet: alive, but not ready, and the page has the program alone.
    assert_eq!(get(&address, "/readyz").0, 503);
    let (status, page) = get(&address, "/metrics");
    assert_eq!(status, 200);
    let mut series = read_series(&page);
    series.retain(|name, _| !name.starts_with("marketpipe_runs_total"));
    assert_eq!(series.len(), 1, "{page}");
    lab.ingest("AAPL", "2024-07-01", "2024-07-03");
    assert_eq!(get(&address, "/readyz"), (200, "ready\n".to_owned()));
    let (_, page) = get(&address, "/metrics");
    let mut served = read_series(&page);
    let mut kept = exposition(&lab);
    // Other tests write to the same disk.
    for series in [&mut served, &mut kept] {
        series.remove("marketpipe_disk_free_bytes").unwrap();
    }
    assert_eq!(served, kept);
    let second = lab.run(&["metrics", "serve", "--listen", &address]);
    assert_eq!(second.code, 2, "{}", second.stderr);
    assert!(
        second.stderr.contains("cannot listen on"),
        "{}",
        second.stderr
    );
    let pid = server.id().to_string();
    let told = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(told.unwrap().success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

/// Status and body of what a loopback server answers.
fn get(address: &str, path: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let answer = reqwest::get(format!("http://{address}{path}"))
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

#[test]
fn what_cannot_be_shown_is_said() {
    let lab = lab();
    let nothing = lab.run(&["metrics"]);
    assert_eq!(nothing.code, 7, "{}", nothing.stderr);
    assert!(
        nothing.stderr.contains("nothing is kept in"),
        "{}",
        nothing.stderr
    );
    let unknown = lab.run(&["metrics", "history", "rows"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("there is no metric `rows`"),
        "{}",
        unknown.stderr
    );
    assert!(
        unknown.stderr.contains("marketpipe metrics list"),
        "{}",
        unknown.stderr
    );
    let without_course = lab.run(&["metrics", "history", "symbol_rows_new"]);
    assert_eq!(without_course.code, 2, "{}", without_course.stderr);
}

#[test]
fn nothing_is_measured_where_nothing_is_to_be() {
    let lab = lab();
    lab.configure("[metrics]\nenabled = false\n");
    lab.ingest("AAPL", "2024-07-01", "2024-07-03");
    let series = exposition(&lab);
    let mut counters = series.iter().filter(|(name, _)| name.contains("_total"));
    assert!(counters.all(|(_, value)| *value == 0.0), "{series:?}");
    assert!(
        series.keys().any(|name| name.contains("stored_rows")),
        "what is stored is known all the same"
    );
}
