//! Real minute bars, served in the vendor's wire format, land in the lake row for row.

use std::collections::BTreeMap;
use std::path::Path;

use marketpipe::domain::{Segment, SessionDate};
use marketpipe::infrastructure::fake_alpaca::{Tape, TapeBar};

use crate::support::lab::Lab;
use crate::support::{lean, oracle_python, oracle_script, real_data};

const SYMBOLS: &str = "AAPL,GOOG,SPY";

fn lab(folder: &Path, feed: &str) -> (Lab, BTreeMap<String, Vec<TapeBar>>) {
    let source = lean::minutes(folder);
    let mut tape = Tape::new();
    for (symbol, bars) in &source {
        tape.insert(feed, symbol, bars.clone());
    }
    (Lab::with_tape(tape), source)
}

fn ingest(lab: &Lab, provider: &str) {
    lab.done(&[
        "ingest",
        "--provider",
        provider,
        "--symbols",
        SYMBOLS,
        "--start",
        "2013-10-01",
        "--end",
        "2023-08-31",
    ]);
}

#[test]
fn the_lake_equals_the_source_row_for_row_in_both_feeds() {
    let Some(folder) = real_data() else { return };
    for (provider, feed) in [("alpaca", "sip"), ("iex", "iex")] {
        let (lab, source) = lab(&folder, feed);
        ingest(&lab, provider);
        let dataset = format!("alpaca/{feed}/raw");
        let mut rows = 0;
        for (symbol, bars) in &source {
            assert_eq!(&lab.rows(&dataset, symbol), bars, "{symbol}");
            rows += bars.len();
        }
        assert!(rows > 5_000, "the real data have {rows} rows");
        let held: usize = lab.partitions().iter().map(|(_, batch)| batch.len()).sum();
        assert_eq!(held, rows, "nothing but the source's rows");
    }
}

#[test]
fn the_half_day_of_2015_has_its_own_segments() {
    let Some(folder) = real_data() else { return };
    let (lab, _) = lab(&folder, "sip");
    ingest(&lab, "alpaca");
    let date: SessionDate = "2015-12-24".parse().unwrap();
    let partitions = lab.partitions();
    let (_, batch) = partitions
        .iter()
        .find(|(key, _)| key.symbol.as_str() == "GOOG")
        .unwrap();
    let rows = batch.session_rows(date);
    let volume_of = |segment: Segment| {
        rows.clone()
            .filter(|&row| batch.segments()[row] == segment)
            .map(|row| batch.columns().volume[row])
            .sum::<f64>()
    };
    assert_eq!(
        volume_of(Segment::Regular),
        515_572.0,
        "[09:30, 13:00), as the independent daily reference has it"
    );
    let first_after = rows
        .clone()
        .find(|&row| batch.segments()[row] == Segment::Post)
        .unwrap();
    assert_eq!(
        batch.columns().volume[first_after],
        1_512.0,
        "the minute of the closing auction is the first one after the close"
    );
    assert!(
        rows.clone()
            .all(|row| batch.segments()[row] != Segment::Overnight)
    );
}

#[test]
fn status_query_and_pandas_agree_with_the_source() {
    let Some(folder) = real_data() else { return };
    let (lab, source) = lab(&folder, "sip");
    ingest(&lab, "alpaca");
    let mut expected: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for (symbol, bars) in &source {
        expected.insert(
            symbol.clone(),
            (bars.len(), bars.iter().map(|bar| bar.volume).sum()),
        );
    }
    let status = lab.done(&["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    for row in status["rows"].as_array().unwrap() {
        let symbol = row["symbol"].as_str().unwrap();
        assert_eq!(
            row["rows"].as_u64().unwrap(),
            expected[symbol].0 as u64,
            "{symbol}"
        );
    }
    let query = lab.done(&[
        "query",
        "select symbol, count(*) n, sum(volume) v from bars_1m group by symbol order by symbol",
        "--format",
        "csv",
    ]);
    let lines: Vec<String> = expected
        .iter()
        .map(|(symbol, (rows, volume))| format!("{symbol},{rows},{volume}"))
        .collect();
    let shown: Vec<String> = query
        .stdout
        .lines()
        .skip(1)
        .map(|line| line.trim_end_matches(".0").to_owned())
        .collect();
    assert_eq!(shown, lines);
    let Some(mut python) = oracle_python() else {
        return;
    };
    let pandas = python
        .arg(oracle_script("pandas_lake.py"))
        .arg(lab.data().join("lake"))
        .output()
        .unwrap();
    assert!(
        pandas.status.success(),
        "{}",
        String::from_utf8_lossy(&pandas.stderr)
    );
    assert_eq!(
        String::from_utf8(pandas.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>(),
        lines
    );
}
