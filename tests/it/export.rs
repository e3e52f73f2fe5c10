//! What `export` writes: the rows of the lake in other forms, whole files or none, and nothing filled where nothing was asked.

use std::path::Path;

use marketpipe::infrastructure::fake_alpaca::Tape;

use crate::support::lab::{Lab, Ran, files_below, made_up};
use crate::support::lean::read_zip;

const FIRST: &str = "2024-07-02";
const LAST: &str = "2024-07-05";

/// Two symbols of a week with a half day and a holiday; the thin one has silent minutes.
fn lab() -> Lab {
    let mut tape = Tape::new();
    let all = |symbol: &str| made_up(symbol, "2024-07-01", "2024-07-08");
    let thin = all("BRK.B").into_iter().enumerate();
    let thin: Vec<_> = thin
        .filter(|(at, _)| at % 5 > 1)
        .map(|(_, bar)| bar)
        .collect();
    for feed in ["sip", "iex"] {
        tape.insert(feed, "AAPL", all("AAPL"));
        tape.insert(feed, "BRK.B", thin.clone());
    }
    let lab = Lab::with_tape(tape);
    lab.ingest("AAPL,BRK.B", FIRST, LAST);
    lab
}

fn export(lab: &Lab, arguments: &[&str]) -> Ran {
    lab.done(&[&["export"], arguments].concat())
}

fn lines(ran: &Ran) -> Vec<String> {
    ran.stdout.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn csv_has_every_row_as_it_is_stored() {
    let lab = lab();
    let ran = export(&lab, &["--symbols", "AAPL"]);
    let header = "symbol,ts,open,high,low,close,volume,trade_count,vwap,session_date,segment";
    assert_eq!(ran.stdout.lines().next(), Some(header));
    let stored = lab.query(
        "select symbol, strftime(ts, '%Y-%m-%dT%H:%M:%SZ'), open, high, low, close, volume, trade_count, vwap, session_date, segment \
         from bars_1m where symbol = 'AAPL' order by ts",
    );
    assert!(stored.len() > 1_000);
    assert_eq!(lines(&ran), stored);
}

#[test]
fn every_format_holds_the_same_rows_whatever_the_zone() {
    let lab = lab();
    let folder = lab.folder.path();
    for name in ["a.parquet", "a.arrow", "a.csv"] {
        let path = folder.join(name);
        let ran = export(
            &lab,
            &[
                "--tz",
                "America/New_York",
                "--output",
                path.to_str().unwrap(),
            ],
        );
        let rows = lab.query("select count(*) from bars_1m");
        let count: u64 = rows[0].parse().unwrap();
        let told: String = ran.stderr.chars().filter(char::is_ascii_digit).collect();
        assert!(told.starts_with(&count.to_string()), "{}", ran.stderr);
    }
    let csv = std::fs::read_to_string(folder.join("a.csv")).unwrap();
    assert!(csv.contains("2024-07-03T09:30:00-04:00"), "half day's open");
    assert!(!csv.contains('Z'), "no time in UTC");
}

#[test]
fn a_file_is_replaced_only_when_that_is_wanted_and_never_in_the_data_folder() {
    let lab = lab();
    let path = lab.folder.path().join("a.csv");
    let path = path.to_str().unwrap();
    std::fs::write(path, "mine").unwrap();
    let refused = lab.run(&["export", "--output", path]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
    export(&lab, &["--output", path, "--force"]);
    assert_ne!(std::fs::read_to_string(path).unwrap(), "mine");
    for (to, name) in [
        ("csv", "lake/a.csv"),
        ("lean", "lake"),
        ("lean", "not/there/yet"),
    ] {
        let inside = lab.data().join(name);
        let refused = lab.run(&["export", "--to", to, "--output", inside.to_str().unwrap()]);
        assert_eq!(refused.code, 2, "{to}: {}", refused.stderr);
        assert!(refused.stderr.contains("data folder"), "{}", refused.stderr);
    }
}

#[test]
fn a_damaged_file_is_named_and_leaves_nothing_at_the_target() {
    for (to, name) in [("csv", "a.csv"), ("parquet", "a.parquet"), ("lean", "lean")] {
        let lab = Lab::with_made_up(&["AAPL", "MSFT"], FIRST, LAST);
        lab.ingest("AAPL,MSFT", FIRST, LAST);
        // The second symbol's: the first one's rows are written by then.
        let file = files_below(&lab.data().join("lake")).pop().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let path = lab.folder.path().join(name);
        let ran = lab.run(&["export", "--to", to, "--output", path.to_str().unwrap()]);
        assert_eq!(ran.code, 7, "{}", ran.stderr);
        assert!(ran.stderr.contains("symbol=MSFT"), "{}", ran.stderr);
        let left: Vec<_> = files_below(lab.folder.path())
            .into_iter()
            .filter(|path| !path.starts_with(lab.data()))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn what_was_never_asked_for_is_named_and_not_filled() {
    let lab = lab();
    let fill = |policy: &str, more: &[&str]| {
        let range = ["--symbols", "BRK.B", "--start", "2024-07-01", "--end", LAST];
        let filled = ["export", "--segment", "regular", "--fill", policy];
        let ran = lab.run(&[&filled[..], &range, more].concat());
        assert_eq!(ran.code, 3, "a session is not there: {}", ran.stderr);
        ran
    };
    let sparse = lines(&export(
        &lab,
        &["--symbols", "BRK.B", "--segment", "regular"],
    ))
    .len();
    let ran = fill("null", &[]);
    let rows = lines(&ran);
    assert_eq!(
        rows.len(),
        390 + 210 + 390,
        "three sessions that were asked for"
    );
    assert!(sparse < rows.len(), "the symbol has silent minutes");
    assert!(
        ran.stderr.contains("BRK.B 2024-07-01: never asked for"),
        "{}",
        ran.stderr
    );
    let filled: Vec<&String> = rows.iter().filter(|row| row.ends_with(",true")).collect();
    assert_eq!(filled.len(), rows.len() - sparse);
    assert!(filled[0].contains(",,,,,,,"), "no values: {}", filled[0]);
    let repeated = lines(&fill("ffill", &[]));
    let mut close = None;
    for row in &repeated {
        let fields: Vec<&str> = row.split(',').collect();
        if fields[11] == "true" {
            let close = close.unwrap_or_else(|| panic!("before the first bar: {row}"));
            assert_eq!(
                fields[2..9],
                [close, close, close, close, "0.0", "0", ""],
                "{row}"
            );
        }
        close = Some(fields[5]);
    }
    let hours = lab.run(&["aggregate"]);
    assert_eq!(hours.code, 0, "{}", hours.stderr);
    let hours = lines(&fill("null", &["--timeframe", "1h"]));
    assert_eq!(hours.len(), 7 + 4 + 7);
    let days = lines(&fill("ffill", &["--timeframe", "1d", "--label", "right"]));
    let ends: Vec<&str> = days
        .iter()
        .map(|row| row.split(',').nth(1).unwrap())
        .collect();
    assert_eq!(
        ends,
        [
            "2024-07-02T20:00:00Z",
            "2024-07-03T17:00:00Z",
            "2024-07-05T20:00:00Z"
        ]
    );
}

#[test]
fn the_end_of_a_bar_is_cut_at_the_close() {
    let lab = lab();
    lab.done(&["aggregate"]);
    let ends = |frame: &str| {
        let range = [
            "--symbols",
            "AAPL",
            "--start",
            "2024-07-05",
            "--end",
            "2024-07-05",
        ];
        let how = [
            "--segment",
            "regular",
            "--timeframe",
            frame,
            "--label",
            "right",
        ];
        let rows = lines(&export(
            &lab,
            &[&range[..], &how, &["--tz", "America/New_York"]].concat(),
        ));
        let last = rows.last().unwrap().split(',').nth(1).unwrap().to_owned();
        (rows.len(), last)
    };
    let close = "2024-07-05T16:00:00-04:00".to_owned();
    assert_eq!(ends("1h"), (7, close.clone()));
    assert_eq!(ends("1d"), (1, close.clone()));
    assert_eq!(ends("1m"), (390, close));
}

#[test]
fn nothing_is_no_success_and_leaves_no_file() {
    let lab = lab();
    let path = lab.folder.path().join("a.csv");
    let path = path.to_str().unwrap();
    for arguments in [
        &["--symbols", "ZZZ"][..],
        &[
            "--symbols",
            "AAPL",
            "--start",
            "2023-01-03",
            "--end",
            "2023-01-05",
        ],
        &["--symbols", "AAPL", "--timeframe", "1h"],
        &["--dataset", "alpaca/iex/raw"],
    ] {
        let ran = lab.run(&[&["export", "--output", path], arguments].concat());
        assert_eq!(ran.code, 3, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("error: "), "{}", ran.stderr);
        assert!(!Path::new(path).exists());
    }
    let some = lab.run(&["export", "--output", path, "--symbols", "AAPL,ZZZ"]);
    assert_eq!(some.code, 3, "{}", some.stderr);
    assert!(
        some.stderr.contains("nothing is kept of ZZZ"),
        "{}",
        some.stderr
    );
    let nowhere = Lab::with_made_up(&["AAPL"], FIRST, LAST);
    assert_eq!(nowhere.run(&["export"]).code, 7);
}

#[test]
fn bars_of_two_datasets_are_not_mixed() {
    let lab = lab();
    lab.done(&[
        "ingest",
        "--provider",
        "iex",
        "--symbols",
        "AAPL",
        "--start",
        FIRST,
        "--end",
        FIRST,
    ]);
    let refused = lab.run(&["export", "--symbols", "AAPL"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("alpaca/iex/raw and alpaca/sip/raw"),
        "{}",
        refused.stderr
    );
    let rows = lines(&export(
        &lab,
        &["--symbols", "AAPL", "--dataset", "alpaca/iex/raw"],
    ));
    assert!(rows.iter().all(|row| row.contains(FIRST)));
}

#[test]
fn lean_s_folders_are_the_same_bytes_each_time() {
    let lab = lab();
    lab.done(&["aggregate", "--timeframes", "1h,1d"]);
    let [one, two] = ["one", "two"].map(|name| lab.folder.path().join(name));
    for root in [&one, &two] {
        for frame in ["1m", "1h", "1d"] {
            let root = root.to_str().unwrap();
            export(
                &lab,
                &["--to", "lean", "--output", root, "--timeframe", frame],
            );
        }
    }
    let below = |root: &Path| -> Vec<_> {
        let files = files_below(root).into_iter();
        let relative = |path: &Path| path.strip_prefix(root).unwrap().to_owned();
        files
            .map(|path| (relative(&path), std::fs::read(&path).unwrap()))
            .collect()
    };
    assert_eq!(below(&one), below(&two));
    let names: Vec<String> = below(&one)
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_eq!(names.len(), 2 * (3 + 1 + 1), "{names:?}");
    let day = one.join("equity/usa/minute/brk.b/20240703_trade.zip");
    let open = read_zip(&day);
    let regular = open
        .lines()
        .find(|line| line.starts_with("34200000,") || line.starts_with("342"))
        .unwrap();
    assert_eq!(regular.split(',').count(), 6);
    let days = read_zip(&one.join("equity/usa/daily/aapl.zip"));
    assert_eq!(days.lines().count(), 3);
    assert!(days.starts_with("20240702 00:00,"), "{days}");
    let hours = read_zip(&one.join("equity/usa/hour/aapl.zip"));
    assert!(hours.starts_with("20240702 09:30,"), "{hours}");
    lab.done(&["aggregate", "--timeframes", "1h", "--anchor", "clock"]);
    let root = one.to_str().unwrap();
    export(
        &lab,
        &[
            "--to",
            "lean",
            "--output",
            root,
            "--timeframe",
            "1h",
            "--force",
        ],
    );
    let hours = read_zip(&one.join("equity/usa/hour/aapl.zip"));
    assert!(hours.starts_with("20240702 09:00,"), "{hours}");
    for wrong in [
        &["--fill", "null"][..],
        &["--label", "right"],
        &["--timeframe", "5m"],
        &["--tz", "Asia/Tokyo"],
    ] {
        let ran = lab.run(&[&["export", "--to", "lean", "--output", root], wrong].concat());
        assert_eq!(ran.code, 2, "{wrong:?}: {}", ran.stderr);
    }
}

#[test]
fn a_price_that_lean_cannot_hold_is_named_and_nothing_is_written() {
    let mut tape = Tape::new();
    let mut bars = made_up("AAPL", FIRST, FIRST);
    let odd = bars.len() / 2;
    bars[odd].high = 5_000.123_45;
    tape.insert("sip", "AAPL", bars);
    let lab = Lab::with_tape(tape);
    lab.ingest("AAPL", FIRST, FIRST);
    let root = lab.folder.path().join("lean");
    let ran = lab.run(&["export", "--to", "lean", "--output", root.to_str().unwrap()]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("high 5000.12345 is no whole number of 1/10000"),
        "{}",
        ran.stderr
    );
    assert!(files_below(&root).is_empty());
}
