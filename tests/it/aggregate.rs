//! Derived bars: equal to independent references, rebuilt exactly where something changed, whatever interrupts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::TimeZone as _;
use chrono_tz::America::New_York;
use marketpipe::domain::ports::BarSelection;
use marketpipe::domain::{Segment, Timeframe};
use marketpipe::infrastructure::fake_alpaca::Tape;
use marketpipe::infrastructure::parquet::ParquetDataStorage;

use crate::kills::{assert_catalog_agrees, kills};
use crate::support::lab::{Lab, read_output};
use crate::support::{lean, real_data};

/// Two symbols over a year's end, with a half day and clock changes inside.
const FIRST: &str = "2023-10-30";
const LAST: &str = "2024-01-31";

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], FIRST, LAST);
    lab.ingest("AAPL,MSFT", FIRST, LAST);
    lab
}

/// The derived files among the lake's.
fn derived(files: &BTreeMap<PathBuf, Vec<u8>>) -> BTreeMap<PathBuf, Vec<u8>> {
    files
        .iter()
        .filter(|(path, _)| !path.to_str().unwrap().contains("timeframe=1m"))
        .map(|(path, bytes)| (path.clone(), bytes.clone()))
        .collect()
}

/// The names of the files that are not the same in both.
fn changed(
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
) -> BTreeSet<String> {
    let paths = before.keys().chain(after.keys());
    paths
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

/// A bar of the reference data: open, high, low, close in ten-thousandths, volume.
type Reference = [i64; 5];

/// `YYYYMMDD HH:MM` New York with its bar.
fn references(path: &Path) -> BTreeMap<String, Reference> {
    let text = lean::read_zip(path);
    text.lines()
        .map(|line| {
            let (time, rest) = line.split_once(',').unwrap();
            let values: Vec<i64> = rest
                .split(',')
                .map(|field| field.parse().unwrap())
                .collect();
            (time.to_owned(), values.try_into().unwrap())
        })
        .collect()
}

/// A laboratory whose lake holds the real minutes.
fn real_lab(folder: &Path) -> Lab {
    let mut tape = Tape::new();
    for (symbol, bars) in lean::minutes(folder) {
        tape.insert("sip", &symbol, bars);
    }
    let lab = Lab::with_tape(tape);
    lab.ingest("AAPL,GOOG,SPY", "2013-10-01", "2023-08-31");
    lab
}

/// The regular bars of a symbol in ten-thousandths, by New York time as the reference writes it.
fn bars(lab: &Lab, frame: Timeframe, symbol: &str) -> BTreeMap<String, Reference> {
    let selection = BarSelection {
        symbols: vec![symbol.parse().unwrap()],
        timeframe: Some(frame),
        ..BarSelection::default()
    };
    let lake = ParquetDataStorage::new(lab.data().join("lake"));
    let mut bars = BTreeMap::new();
    for (_, batch) in lake.load(&selection).unwrap() {
        let is_regular = |row: &usize| batch.segments()[*row] == Segment::Regular;
        for bar in (0..batch.len())
            .filter(is_regular)
            .map(|row| batch.bar(row))
        {
            let ticks = |price: f64| (price * 10_000.0).round() as i64;
            let time = New_York.timestamp_micros(bar.ts_us).unwrap();
            bars.insert(
                time.format("%Y%m%d %H:%M").to_string(),
                [
                    ticks(bar.open),
                    ticks(bar.high),
                    ticks(bar.low),
                    ticks(bar.close),
                    bar.volume as i64,
                ],
            );
        }
    }
    bars
}

/// What differs, in ten-thousandths of a dollar and shares: ours, theirs.
fn differing(ours: &Reference, theirs: &Reference) -> Vec<(&'static str, i64, i64)> {
    ["open", "high", "low", "close", "volume"]
        .into_iter()
        .zip(ours.iter().zip(theirs))
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|(name, (ours, theirs))| (name, *ours, *theirs))
        .collect()
}

/// Every value in which the daily bars differ from the reference.
///
/// The reference leaves out odd prints: trades that count for the volume but are not eligible for a high or a low. The
/// minutes have them, so that their highs are higher and their lows lower. The volume of the half day differs by the
/// minute that starts at the close (1,512 shares), which `closing_auction = "include"` adds.
const DAILY_DIFFERENCES: [(&str, &str, &str, i64, i64); 7] = [
    ("AAPL", "20140605", "high", 6_493_700, 6_493_500),
    ("AAPL", "20140606", "high", 6_512_600, 6_512_500),
    ("AAPL", "20140606", "low", 6_444_700, 6_444_800),
    ("GOOG", "20151224", "high", 7_513_500, 7_513_000),
    ("GOOG", "20151224", "low", 7_463_400, 7_465_600),
    ("GOOG", "20151224", "volume", 515_572, 517_084),
    ("SPY", "20131008", "low", 1_653_600, 1_653_700),
];

#[test]
fn daily_bars_equal_the_independent_reference() {
    let Some(folder) = real_data() else { return };
    let lab = real_lab(&folder);
    let compare = || {
        let (mut compared, mut found) = (0, Vec::new());
        for symbol in ["AAPL", "GOOG", "SPY"] {
            let zip = format!("daily/{}.zip", symbol.to_lowercase());
            let reference = references(&folder.join(zip));
            for (time, ours) in bars(&lab, Timeframe::D1, symbol) {
                assert!(time.ends_with("09:30"), "stamped with the open: {time}");
                let day = time[..8].to_owned();
                // The reference ends in 2021.
                let Some(theirs) = reference.get(&format!("{day} 00:00")) else {
                    assert_eq!((symbol, day.as_str()), ("SPY", "20230803"));
                    continue;
                };
                compared += 1;
                let differing = differing(&ours, theirs).into_iter();
                found.extend(differing.map(|(name, a, b)| (symbol, day.clone(), name, a, b)));
            }
        }
        (compared, found)
    };
    let expected: Vec<_> = DAILY_DIFFERENCES
        .iter()
        .map(|&(symbol, day, name, ours, theirs)| (symbol, day.to_owned(), name, ours, theirs))
        .collect();
    lab.done(&["aggregate"]);
    assert_eq!(compare(), (12, expected.clone()));
    lab.configure("[aggregation]\nclosing_auction = \"include\"\n");
    lab.done(&["aggregate"]);
    let (_, found) = compare();
    let half_day = found.iter().filter(|found| found.1 == "20151224");
    let names: Vec<&str> = half_day.map(|found| found.2).collect();
    assert_eq!(
        names,
        ["high", "low"],
        "517,084 shares with the minute at the close"
    );
}

/// Hours whose high or low differs by more than five cents: one print each that the reference filters.
const ODD_PRINTS: [(&str, &str, &str, i64, i64); 2] = [
    ("SPY", "20131008 15:00", "high", 1_675_100, 1_662_500),
    ("SPY", "20131011 15:00", "low", 1_692_000, 1_697_800),
];

#[test]
fn hourly_bars_on_the_clock_equal_the_independent_reference() {
    let Some(folder) = real_data() else { return };
    let lab = real_lab(&folder);
    lab.done(&["aggregate", "--timeframes", "1h", "--anchor", "clock"]);
    let (mut compared, mut odd) = (0, Vec::new());
    for symbol in ["AAPL", "SPY"] {
        let zip = format!("hour/{}.zip", symbol.to_lowercase());
        let reference = references(&folder.join(zip));
        for (time, ours) in bars(&lab, Timeframe::H1, symbol) {
            // The first hour is cut by the open: stamped 09:30 here, 09:00 there.
            let Some(theirs) = reference.get(&format!("{}:00", &time[..11])) else {
                assert!(
                    symbol == "SPY" && time.starts_with("20230803"),
                    "{symbol} {time}"
                );
                continue;
            };
            compared += 1;
            for (name, ours, theirs) in differing(&ours, theirs) {
                // The reference is made of ticks: which of two trades of one second was the last differs by cents, at
                // prices between 165 and 650 dollars; odd prints as above. Every hour's volume is equal.
                assert_ne!(name, "volume", "{symbol} {time}");
                let is_edge = name == "open" || name == "close";
                let allowed = if is_edge { 1_200 } else { 500 };
                if (ours - theirs).abs() > allowed {
                    odd.push((symbol, time.clone(), name, ours, theirs));
                }
            }
        }
    }
    assert_eq!(compared, 63, "three sessions of AAPL, six of SPY");
    let expected = ODD_PRINTS
        .map(|(symbol, hour, name, ours, theirs)| (symbol, hour.to_owned(), name, ours, theirs));
    assert_eq!(odd, expected);
}

#[test]
fn the_second_run_reads_nothing_and_full_changes_no_byte() {
    let lab = lab();
    lab.done(&["aggregate"]);
    let files = lab.files();
    assert_eq!(derived(&files).len(), 2 * 2 * 4, "symbols, years, frames");
    let again = lab.done(&["aggregate", "--format", "json"]);
    let again: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    let row = &again["rows"][0];
    assert_eq!(
        [
            &row["files_written"],
            &row["files_fresh"],
            &row["minutes_read"]
        ],
        [0, 16, 0]
    );
    let full = lab.done(&["aggregate", "--full", "--format", "json"]);
    let full: serde_json::Value = serde_json::from_str(&full.stdout).unwrap();
    assert_eq!(full["rows"][0]["files_unchanged"], 16);
    assert_eq!(lab.files(), files);
    lab.done(&["aggregate", "--full", "--engine", "duckdb"]);
    assert_eq!(lab.files(), files, "the other engine gives the same bytes");
    let checked = lab.done(&["aggregate", "--check"]);
    assert!(
        checked.stderr.contains("all are what their minutes give"),
        "{}",
        checked.stderr
    );
}

#[test]
fn a_corrected_minute_rebuilds_exactly_its_derived_files() {
    let lab = lab();
    lab.done(&["aggregate"]);
    let before = lab.files();
    lab.server.update_tape(|tape| {
        tape.edit("sip", "AAPL", |bars| {
            let corrected = bars
                .iter_mut()
                .find(|bar| bar.ts_us >= SOME_MINUTE)
                .unwrap();
            corrected.volume += 100.0;
        });
    });
    lab.refresh("AAPL", "2023-12-11", "2023-12-11");
    lab.done(&["aggregate"]);
    let after = lab.files();
    let of = |frame: &str, period: &str| {
        format!(
            "provider=alpaca/feed=sip/adjustment=raw/timeframe={frame}/symbol=AAPL/{period}/bars.parquet"
        )
    };
    let mut expected: BTreeSet<String> = ["5m", "15m", "1h", "1d"]
        .map(|frame| of(frame, "year=2023"))
        .into();
    expected.insert(of("1m", "month=2023-12"));
    assert_eq!(changed(&before, &after), expected);
    lab.done(&["aggregate", "--full"]);
    assert_eq!(
        lab.files(),
        after,
        "what was rebuilt in part is what is built in full"
    );
}

#[test]
fn kept_bars_and_those_made_on_the_way_are_the_same_in_sql() {
    let lab = lab();
    let nothing = lab.query("select count(*) from bars_1h");
    assert_eq!(nothing, ["0"], "a view without a file");
    let stale = lab.done(&["query", "from bars_1h where symbol = 'AAPL'"]);
    assert!(
        stale
            .stderr
            .contains("2 derived files are missing or older than their minutes"),
        "{}",
        stale.stderr
    );
    lab.done(&["aggregate"]);
    let fresh = lab.done(&["query", "select count(*) from bars_1h"]);
    assert_eq!(fresh.stderr, "");
    let columns = lab.query("select string_agg(column_name, ' ') from (describe bars_5m)");
    assert_eq!(
        columns,
        [
            "dataset symbol ts open high low close volume trade_count vwap session_date segment minutes"
        ]
    );
    lab.done(&["aggregate", "--timeframes", "2m,3m,10m,30m,2h,4h"]);
    for frame in [
        "2m", "3m", "5m", "10m", "15m", "30m", "1h", "2h", "4h", "1d",
    ] {
        let kept = lab.query(&format!(
            "select * exclude (vwap), round(vwap, 9) from bars_{frame} order by symbol, ts"
        ));
        let made = lab.query(&format!(
            "select * exclude (vwap), round(vwap, 9) from bars('{frame}') order by symbol, ts"
        ));
        assert!(kept.len() > 100, "{frame}: {}", kept.len());
        assert_eq!(kept, made, "{frame}");
    }
    for frame in ["1h", "2h", "4h"] {
        lab.done(&["aggregate", "--timeframes", frame, "--anchor", "clock"]);
        let clock = format!(
            "select * exclude (vwap) from bars('{frame}', anchor := 'clock') order by symbol, ts"
        );
        let kept = format!("select * exclude (vwap) from bars_{frame} order by symbol, ts");
        assert_eq!(lab.query(&clock), lab.query(&kept), "{frame}");
    }
    let unknown = lab.run(&["query", "from bars('7m')"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(
        unknown
            .stderr
            .contains("timeframe 7m is unknown, expected one of 1m, 2m"),
        "{}",
        unknown.stderr
    );
    let anchor = lab.run(&["query", "from bars('1h', anchor := 'noon')"]);
    assert_eq!(anchor.code, 2, "{}", anchor.stderr);
    let volumes = "select count(*) from (select symbol, session_date, sum(volume) v from bars_1h where segment = 'regular' group by all)
                   join bars_1d d using (symbol, session_date) where v <> d.volume";
    assert_eq!(
        lab.query(volumes),
        ["0"],
        "every regular frame sums to the day's volume"
    );
}

#[test]
fn rows_go_to_a_file_that_is_complete_or_not_there() {
    let lab = lab();
    lab.done(&["aggregate"]);
    let folder = lab.folder.path();
    let days = "select symbol, session_date, close, volume from bars_1d order by all";
    let expected = lab.query(days);
    for name in [
        "days.parquet",
        "days.arrow",
        "days.csv",
        "days.json",
        "days.jsonl",
    ] {
        let ran = lab.done(&["query", days, "--output", name]);
        assert_eq!(ran.stdout, "", "{name}");
        assert!(
            ran.stderr.contains(&format!("{} rows, ", expected.len())),
            "{}",
            ran.stderr
        );
        let again = lab.run(&["query", days, "--output", name]);
        assert_eq!(again.code, 2, "{name}");
        assert!(
            again.stderr.contains("exists") && again.stderr.contains("--force"),
            "{}",
            again.stderr
        );
        lab.done(&["query", days, "--output", name, "--force"]);
    }
    let csv = std::fs::read_to_string(folder.join("days.csv")).unwrap();
    assert_eq!(csv.lines().skip(1).collect::<Vec<_>>(), expected);
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("days.json")).unwrap()).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), expected.len());
    let file = std::fs::File::open(folder.join("days.parquet")).unwrap();
    let parquet =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert_eq!(
        parquet.metadata().file_metadata().num_rows(),
        i64::try_from(expected.len()).unwrap()
    );
    let file = std::fs::File::open(folder.join("days.arrow")).unwrap();
    let arrow = arrow_ipc::reader::FileReader::try_new(file, None).unwrap();
    assert_eq!(
        arrow.map(|rows| rows.unwrap().num_rows()).sum::<usize>(),
        expected.len()
    );
    let before = std::fs::read_dir(folder).unwrap().count();
    let unknown = lab.run(&["query", days, "--output", "days.xlsx"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(unknown.stderr.contains(".parquet"), "{}", unknown.stderr);
    let kept = lab.run(&["query", days, "--output", "data/lake/days.parquet"]);
    assert_eq!(kept.code, 2, "{}", kept.stderr);
    assert!(
        kept.stderr.contains("lies in the data folder"),
        "{}",
        kept.stderr
    );
    let wrong = lab.run(&[
        "query",
        "select no_such from bars_1d",
        "--output",
        "wrong.csv",
    ]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    let endless =
        "select count(*) from bars_1m a, bars_1m b, bars_1m c where a.open + b.open > c.open";
    let late = lab.run(&["query", endless, "--timeout", "1", "--output", "late.csv"]);
    assert_eq!(late.code, 8, "{}", late.stderr);
    assert!(
        late.stderr.contains("longer than 1 s") && late.stderr.contains("--timeout"),
        "{}",
        late.stderr
    );
    assert_eq!(
        std::fs::read_dir(folder).unwrap().count(),
        before,
        "nothing is left behind"
    );
}

#[test]
fn leaving_files_unopened_changes_no_answer() {
    let lab = lab();
    lab.done(&["aggregate"]);
    let conditions = [
        "symbol = 'AAPL'",
        "symbol in ('MSFT')",
        "symbol = 'NOSUCH'",
        "symbol = 'AAPL' and session_date >= '2024-01-02' and session_date < '2024-01-05'",
        "session_date between '2023-12-28' and '2024-01-03' and segment = 'regular'",
        "session_date = '2023-11-24' and volume > 100",
        "symbol = 'AAPL' and symbol = 'MSFT'",
        "session_date > '2024-01-10' and session_date < '2024-01-02'",
        "symbol = 'AAPL' or symbol = 'MSFT'",
        "symbol <> 'AAPL' and session_date <= '2023-11-01'",
    ];
    for view in ["bars_1m", "bars_1h", "bars_1d", "bars('2h')"] {
        for condition in conditions {
            let columns = "symbol, ts, open, close, volume, session_date";
            let bounded = lab.query(&format!(
                "select {columns} from {view} where {condition} order by all"
            ));
            // A nested statement is left to DuckDB alone.
            let whole = lab.query(&format!(
                "select {columns} from (from {view}) where {condition} order by all"
            ));
            assert_eq!(bounded, whole, "{view} {condition}");
        }
    }
}

#[test]
fn sql_cannot_reach_what_it_may_not() {
    let lab = lab();
    lab.done(&["aggregate"]);
    let secret = lab.folder.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n").unwrap();
    let database = lab.data().join("marketpipe.db");
    for sql in [
        format!("from read_csv('{}')", secret.display()),
        format!("from bars_5m, read_text('{}')", secret.display()),
        format!("from sqlite_scan('{}', 'job')", database.display()),
        format!(
            "copy (from bars_5m) to '{}/out.csv'",
            lab.folder.path().display()
        ),
        "set enable_external_access = true".to_owned(),
        "install httpfs".to_owned(),
        "create table t as from bars_5m".to_owned(),
        "from read_parquet('https://example.com/a.parquet')".to_owned(),
        "drop view bars_5m".to_owned(),
    ] {
        let ran = lab.run(&["query", &sql]);
        assert_eq!(ran.code, 2, "{sql}: {}{}", ran.stdout, ran.stderr);
    }
    assert!(!lab.folder.path().join("out.csv").exists());
}

/// 2023-12-11 15:00 UTC, ten in the morning in New York.
const SOME_MINUTE: i64 = 1_702_306_800_000_000;

#[test]
fn what_is_wrong_is_found_and_made_good() {
    let lab = lab();
    lab.done(&["aggregate"]);
    let files = lab.files();
    let hours = lab.data().join(
        "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1h/symbol=MSFT/year=2023/bars.parquet",
    );
    let days = PathBuf::from(
        hours
            .to_str()
            .unwrap()
            .replace("timeframe=1h", "timeframe=1d"),
    );
    // A file cut short and one that is gone are seen without reading any.
    std::fs::write(&hours, b"PAR1").unwrap();
    std::fs::remove_file(&days).unwrap();
    let checked = lab.run(&["aggregate", "--check", "--format", "csv"]);
    assert_eq!(checked.code, 4, "{}", checked.stderr);
    let findings: Vec<&str> = checked.stdout.lines().skip(1).collect();
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(
        findings[0].starts_with("alpaca/sip/raw,MSFT,1h,2023,damaged,"),
        "{findings:?}"
    );
    assert!(
        findings[1].starts_with("alpaca/sip/raw,MSFT,1d,2023,damaged,"),
        "{findings:?}"
    );
    lab.done(&["aggregate"]);
    assert_eq!(lab.files(), files);
    // Damage of the same length is found by reading.
    let mut bytes = std::fs::read(&hours).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&hours, &bytes).unwrap();
    lab.done(&["aggregate"]);
    let checked = lab.run(&[
        "aggregate",
        "--check",
        "--symbols",
        "MSFT",
        "--format",
        "csv",
    ]);
    assert_eq!(checked.code, 4);
    assert!(
        checked.stdout.contains("MSFT,1h,2023,damaged"),
        "{}",
        checked.stdout
    );
    let other = lab.done(&["aggregate", "--check", "--symbols", "AAPL"]);
    assert!(other.stderr.contains("checked 8 of 8"), "{}", other.stderr);
    lab.done(&["aggregate", "--full", "--symbols", "MSFT"]);
    lab.done(&["aggregate", "--check"]);
    assert_eq!(lab.files(), files);
    lab.done(&["aggregate", "--full", "--wait", "0"]);
}

#[test]
fn a_damaged_month_costs_its_own_year_alone() {
    let lab = lab();
    let month = lab.data().join(
        "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=AAPL/month=2023-11/bars.parquet",
    );
    let sound = std::fs::read(&month).unwrap();
    let mut bytes = sound.clone();
    bytes[100] ^= 1;
    std::fs::write(&month, &bytes).unwrap();
    let ran = lab.run(&["aggregate"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("failed: alpaca/sip/raw AAPL 2023:"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("is damaged"), "{}", ran.stderr);
    assert_eq!(derived(&lab.files()).len(), 3 * 4);
    std::fs::write(&month, &sound).unwrap();
    lab.done(&["aggregate"]);
    assert_eq!(derived(&lab.files()).len(), 4 * 4);
}

#[test]
fn an_ingest_aggregates_what_it_was_about() {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], FIRST, LAST);
    lab.ingest("AAPL,MSFT", FIRST, "2024-01-30");
    assert!(derived(&lab.files()).is_empty());
    let range = [
        "--start",
        "2024-01-31",
        "--end",
        "2024-01-31",
        "--aggregate",
    ];
    let format = ["--format", "json"];
    let ran = lab.done(&[&["ingest", "--symbols", "AAPL"], &range[..], &format[..]].concat());
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["schema"], "marketpipe.ingest/1", "one document");
    let names: Vec<String> = derived(&lab.files())
        .keys()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(
        names
            .iter()
            .all(|name| name.contains("symbol=AAPL/year=2024")),
        "{names:?}"
    );
}

#[test]
fn what_cannot_be_aggregated_is_said() {
    let lab = lab();
    let unknown = lab.run(&["aggregate", "--symbols", "AAPL,NOSUCH"]);
    assert_eq!(unknown.code, 3);
    assert!(
        unknown.stderr.contains("no minutes are held of NOSUCH"),
        "{}",
        unknown.stderr
    );
    assert_eq!(
        derived(&lab.files()).len(),
        8,
        "its neighbour is aggregated"
    );
    for (arguments, words) in [
        (["--timeframes", "1m"], "1m is what the provider sends"),
        (["--timeframes", "7m"], "timeframe `7m` is unknown"),
        (
            ["--anchor", "noon"],
            "anchor `noon` is unknown, expected open or clock",
        ),
        (["--sample", "3"], "--check"),
    ] {
        let ran = lab.run(&[&["aggregate"], &arguments[..]].concat());
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    let nothing = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-01");
    assert_eq!(nothing.run(&["aggregate"]).code, 7);
}

#[test]
fn killed_at_any_moment_one_plain_rerun_makes_the_derived_bars_whole() {
    let reference = lab();
    let minutes = reference.files();
    let begun = Instant::now();
    reference.done(&["aggregate"]);
    let undisturbed = begun.elapsed();
    let expected = reference.files();
    let lab = lab();
    assert_eq!(lab.files(), minutes);
    let mut cut_short = 0;
    for kill in 0..kills() {
        for path in derived(&lab.files()).keys() {
            // Every other time some files are there already.
            if kill % 2 == 0 || path.to_str().unwrap().contains("MSFT") {
                std::fs::remove_file(lab.data().join("lake").join(path)).unwrap();
            }
        }
        let mut child = lab
            .command(&["aggregate"])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let share = (f64::from(kill) * 0.618_033_988_75).fract();
        std::thread::sleep(undisturbed.mul_f64(share));
        child.kill().unwrap();
        cut_short += u32::from(!child.wait().unwrap().success());
        lab.done(&["aggregate"]);
        assert_eq!(lab.files(), expected, "kill {kill} after {share}");
        assert_catalog_agrees(&lab.data());
    }
    println!(
        "{} aggregations were killed, {cut_short} of them before their end",
        kills()
    );
    assert!(cut_short > 0);
}

#[test]
fn aggregations_and_ingests_at_once_give_the_lake_of_one_after_the_other() {
    let reference = lab();
    reference.done(&["aggregate"]);
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], FIRST, LAST);
    lab.ingest("AAPL,MSFT", FIRST, "2023-12-29");
    let start = |arguments: &[&str]| {
        lab.command(arguments)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let range = ["--start", FIRST, "--end", LAST];
    let children = [
        start(&["aggregate"]),
        start(&[&["ingest", "--symbols", "AAPL,MSFT"], &range[..]].concat()),
        start(&["aggregate"]),
    ];
    for child in children {
        let ran = read_output(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    lab.done(&["aggregate"]);
    assert_eq!(lab.files(), reference.files());
    assert_catalog_agrees(&lab.data());
}
