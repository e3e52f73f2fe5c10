//! `chart`: what is drawn, what is said to be missing, and files that need nothing else.

use std::io::Read as _;
use std::process::Stdio;

use marketpipe::domain::{Calendar, SessionDate};
use marketpipe::infrastructure::fake_alpaca::Tape;

use crate::support::lab::{Lab, Ran, made_up, program, run};

/// Minutes of the gap, counted from the open: 11:00 to 11:30.
const GAP: std::ops::Range<i64> = 90..120;
const GAP_SESSION: &str = "2024-07-02";

/// A laboratory with one symbol: a week with a half day, a holiday and half an hour that the server has no bars of.
fn lab() -> Lab {
    let date: SessionDate = GAP_SESSION.parse().unwrap();
    let open_us = Calendar::nyse().session(date).unwrap().unwrap().open_us();
    let mut bars = made_up("AAPL", "2024-06-24", "2024-07-05");
    bars.retain(|bar| !GAP.contains(&((bar.ts_us - open_us).div_euclid(60_000_000))));
    let mut tape = Tape::new();
    tape.insert("sip", "AAPL", bars);
    let lab = Lab::with_tape(tape);
    lab.ingest("AAPL", "2024-07-01", "2024-07-05");
    lab
}

fn axis_of(ran: &Ran) -> &str {
    let mut lines = ran.stdout.lines();
    lines.find(|line| line.starts_with("──")).unwrap()
}

#[test]
fn a_pipe_gets_eighty_columns_without_colour_and_the_same_ones_each_time() {
    let lab = lab();
    let ran = lab.done(&["chart", "AAPL"]);
    assert_eq!(ran.stdout, include_str!("chart.txt"), "{}", ran.stdout);
    assert!(ran.stdout.lines().count() < 24);
}

#[test]
fn a_gap_is_drawn_as_no_bar_and_counted_as_gaps_counts_it() {
    let lab = lab();
    let day = ["--start", GAP_SESSION, "--end", GAP_SESSION];
    let gaps = lab.done(&[&["gaps", "--format", "csv"], &day[..]].concat());
    let rows = gaps.stdout.lines().skip(1);
    let minutes: u32 = rows
        .map(|row| row.rsplit(',').next().unwrap().parse::<u32>().unwrap())
        .sum();
    assert!(minutes >= 30, "{}", gaps.stdout);
    let drawn = lab.done(&[&["chart", "AAPL", "--timeframe", "10m"], &day[..]].concat());
    let told = format!("{minutes} of 390 regular minutes missing: {minutes} no trade");
    assert!(drawn.stdout.contains(&told), "{}", drawn.stdout);
    assert_eq!(axis_of(&drawn).matches('·').count(), 3, "{}", drawn.stdout);
    let rows = lab.done(
        &[
            &["chart", "AAPL", "--timeframe", "10m", "--format", "csv"],
            &day[..],
        ]
        .concat(),
    );
    assert_eq!(rows.stdout.lines().count(), 1 + 39 - 3, "{}", rows.stdout);
    assert!(!rows.stdout.contains("T15:10:00Z"), "nothing is filled in");
}

#[test]
fn a_half_day_ends_at_one_and_the_holiday_is_no_gap() {
    let lab = lab();
    let range = ["--start", "2024-07-03", "--end", "2024-07-04"];
    let rows = lab.done(
        &[
            &["chart", "AAPL", "--timeframe", "30m", "--format", "csv"],
            &range[..],
        ]
        .concat(),
    );
    let last = rows.stdout.lines().last().unwrap();
    assert_eq!(rows.stdout.lines().count(), 1 + 7, "{}", rows.stdout);
    assert!(
        last.contains("2024-07-03T16:30:00Z,2024-07-03,regular"),
        "{last}"
    );
    let drawn = lab.done(&[&["chart", "AAPL"], &range[..]].concat());
    assert!(
        drawn.stdout.contains("of 210 regular minutes")
            || drawn.stdout.contains("no regular minute missing"),
        "{}",
        drawn.stdout
    );
}

#[test]
fn sessions_that_were_never_asked_for_are_left_out_and_counted() {
    let lab = lab();
    let ran = lab.done(&[
        "chart",
        "AAPL",
        "--start",
        "2024-06-24",
        "--end",
        "2024-07-09",
    ]);
    assert!(
        ran.stdout.contains("≈ 7 sessions never asked for"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("2,730 not asked"), "{}", ran.stdout);
}

#[test]
fn bars_are_the_same_whether_they_are_kept_or_made_of_minutes() {
    let lab = lab();
    let arguments = ["chart", "AAPL", "--timeframe", "15m"];
    let rows = [&arguments[..], &["--format", "csv"]].concat();
    let made = (lab.done(&arguments), lab.done(&rows));
    lab.done(&["aggregate", "--timeframes", "15m"]);
    let kept = (lab.done(&arguments), lab.done(&rows));
    assert_eq!(made.1.stdout, kept.1.stdout);
    assert!(made.0.stdout.contains("15m from 1m"), "{}", made.0.stdout);
    assert!(!kept.0.stdout.contains("from 1m"), "{}", kept.0.stdout);
    let sums = lab.query("select sum(volume) from bars_15m where segment = 'regular'");
    let volumes = kept.1.stdout.lines().skip(1).map(|row| {
        let volume = row.split(',').nth(10).unwrap();
        volume.parse::<f64>().unwrap()
    });
    assert_eq!(volumes.sum::<f64>(), sums[0].parse::<f64>().unwrap());
}

#[test]
fn the_page_loads_nothing_names_the_licence_and_links_to_its_author() {
    let lab = lab();
    let path = lab.folder.path().join("page.html");
    let ran = lab.done(&["chart", "AAPL", "--html", path.to_str().unwrap()]);
    assert_eq!(ran.stdout, "", "stdout carries data only");
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(
        page.contains("Licensed under Apache License 2.0") && page.contains("Apache License\n")
    );
    assert!(page.contains("TradingView Lightweight Charts") && page.contains("</style>\n<svg"));
    assert!(
        page.contains("content=\"default-src 'none';")
            && !page.contains("script-src 'unsafe-inline'")
    );
    let outside_scripts: String = page
        .split("<script")
        .map(|part| part.split_once("</script>").map_or(part, |(_, rest)| rest))
        .collect();
    let links: Vec<&str> = outside_scripts
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(links, ["https://www.tradingview.com/"]);
    for loads in [
        "src=", "@import", "url(", "<link", "<iframe", "<img", "<base",
    ] {
        assert!(!outside_scripts.contains(loads), "{loads}");
    }
    assert_eq!(page.matches("<script>").count(), 2);
}

/// The tags of a document in order; fails where it is not well-formed.
fn tags(xml: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for part in xml.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        assert!(
            !text.replace("&amp;", "").replace("&#39;", "").contains('&'),
            "{text}"
        );
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let name = tag.trim_end_matches('/').split(' ').next().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{tag}");
        assert!(tag.matches('"').count() % 2 == 0, "{tag}");
        seen.push(name.to_owned());
        if !tag.ends_with('/') {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, Vec::<String>::new());
    seen
}

#[test]
fn the_picture_is_well_formed_and_shades_the_gap() {
    let lab = lab();
    let path = lab.folder.path().join("picture.svg");
    lab.done(&["chart", "AAPL", "--svg", path.to_str().unwrap()]);
    let picture = std::fs::read_to_string(&path).unwrap();
    let tags = tags(&picture);
    assert_eq!(tags[0], "svg");
    assert!(tags.iter().filter(|tag| *tag == "g").count() > 50);
    assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    assert!(picture.contains("viewBox=") && picture.contains("prefers-color-scheme: dark"));
    assert!(picture.contains("<rect class=\"gap\""));
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let lab = lab();
    assert!(!lab.done(&["chart", "AAPL"]).stdout.contains('\u{1b}'));
    let asked = lab.done(&["chart", "AAPL", "--color", "always"]);
    assert!(asked.stdout.contains("\u{1b}[31m"));
    lab.configure("color = 'always'\n");
    assert!(lab.done(&["chart", "AAPL"]).stdout.contains("\u{1b}[31m"));
    let output = lab
        .command(&["chart", "AAPL"])
        .env("NO_COLOR", "1")
        .output();
    assert!(!output.unwrap().stdout.contains(&0x1b));
    let demo = lab.done(&["demo", "--color", "always"]);
    assert!(demo.stdout.contains("\u{1b}[31m"), "{}", demo.stdout);
}

#[test]
fn a_page_for_a_device_leaves_the_device_where_it_is() {
    let lab = lab();
    let is_link = || std::fs::symlink_metadata("/dev/stdout").is_ok_and(|found| found.is_symlink());
    if !is_link() {
        eprintln!("skipped: there is no /dev/stdout");
        return;
    }
    let page = lab.run(&["chart", "AAPL", "--html", "/dev/stdout"]);
    assert_eq!(page.code, 0, "{}", page.stderr);
    assert!(
        page.stdout.starts_with("<!DOCTYPE html>"),
        "{}",
        page.stdout
    );
    assert!(is_link());
    std::os::unix::fs::symlink("/dev/null", lab.folder.path().join("device.csv")).unwrap();
    for command in [
        &["export", "--symbols", "AAPL", "--to", "csv"][..],
        &["query", "from bars_1m limit 1"],
    ] {
        let ran = lab.run(&[command, &["--output", "device.csv", "--force"]].concat());
        assert_eq!(ran.code, 2, "{command:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("is no file"), "{}", ran.stderr);
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let lab = lab();
    let mut child = lab
        .command(&["chart", "AAPL", "--timeframe", "1m", "--format", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn what_cannot_be_drawn_is_said_and_is_no_success() {
    let lab = lab();
    let page = lab.data().join("lake/page.html");
    for (arguments, code, words) in [
        (&["ZZZZ"][..], 3, "nothing is kept of ZZZZ"),
        (&["b!"], 2, "SYMBOL `b!`"),
        (
            &["AAPL", "--start", "2024-05-01", "--end", "2024-05-03"],
            3,
            "it is kept from 2024-07-01 to 2024-07-05",
        ),
        (
            &["AAPL", "--start", "2024-07-03", "--end", "2024-07-01"],
            2,
            "is after --end",
        ),
        (
            &["AAPL", "--dataset", "alpaca/iex/raw"],
            3,
            "it is kept in alpaca/sip/raw",
        ),
        (&["AAPL", "--dataset", "iex"], 2, "--dataset"),
        (&["AAPL", "--timeframe", "7m"], 2, "`7m` is unknown"),
        (
            &["AAPL", "--html", page.to_str().unwrap()],
            2,
            "lies in the data folder",
        ),
        (
            &["AAPL", "--svg", "no/such/folder/a.svg"],
            7,
            "cannot write",
        ),
    ] {
        let ran = lab.run(&[&["chart"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    let empty = tempfile::tempdir().unwrap();
    let nothing = run(program(empty.path()).args(["chart", "AAPL"]));
    assert_eq!(nothing.code, 7, "{}", nothing.stderr);
    assert!(
        nothing.stderr.contains("nothing is kept in"),
        "{}",
        nothing.stderr
    );
}

#[test]
fn a_market_that_never_closes_is_drawn_in_utc_and_a_page_has_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let marketpipe = |arguments: &[&str]| run(program(folder.path()).args(arguments));
    let range = ["--start", "2024-05-01", "--end", "2024-06-05"];
    let ingest = ["ingest", "--provider", "synthetic", "--symbols", "BTC/USD"];
    assert_eq!(marketpipe(&[&ingest[..], &range[..]].concat()).code, 0);
    let drawn = marketpipe(&["chart", "btc/usd"]);
    assert!(drawn.stdout.contains("UTC time"), "{}", drawn.stdout);
    assert!(
        drawn.stdout.contains("2024-06-01 to 2024-06-05"),
        "{}",
        drawn.stdout
    );
    let page = ["chart", "btc/usd", "--html", "page.html"];
    let minutes = marketpipe(&[&page[..], &["--timeframe", "1m"], &range[..]].concat());
    assert_eq!(minutes.code, 2, "{}", minutes.stderr);
    assert!(
        minutes.stderr.contains("51,840 bars of 1m are too many"),
        "{}",
        minutes.stderr
    );
    assert!(!folder.path().join("page.html").exists());
    let readable = marketpipe(&[&page[..], &range[..]].concat());
    assert!(
        readable.stderr.contains("BTC/USD synthetic/seed-1/raw 30m"),
        "{}",
        readable.stderr
    );
}
