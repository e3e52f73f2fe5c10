//! Reads the zipped CSV of LEAN's minute data: an independent source of real bars.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use chrono::{NaiveDate, TimeDelta, TimeZone as _};
use chrono_tz::America::New_York;
use marketpipe::infrastructure::fake_alpaca::TapeBar;

/// The symbols of the real data with their sessions' bars, ascending.
pub(crate) fn minutes(folder: &Path) -> BTreeMap<String, Vec<TapeBar>> {
    let mut series = BTreeMap::new();
    for symbol_folder in entries(&folder.join("minute")) {
        let symbol = symbol_folder
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .to_uppercase();
        let bars = entries(&symbol_folder)
            .iter()
            .flat_map(|zip| minutes_of_day(zip))
            .collect();
        series.insert(symbol, bars);
    }
    assert!(!series.is_empty(), "no symbol below {}", folder.display());
    series
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// `YYYYMMDD_trade.zip`: milliseconds since midnight New York, open, high, low, close (x 10,000), volume.
fn minutes_of_day(path: &Path) -> Vec<TapeBar> {
    let date =
        NaiveDate::parse_from_str(&path.file_name().unwrap().to_str().unwrap()[..8], "%Y%m%d")
            .unwrap();
    let midnight = New_York
        .from_local_datetime(&date.and_hms_opt(0, 0, 0).unwrap())
        .unwrap();
    read_zip(path)
        .lines()
        .map(|line| {
            let fields: Vec<i64> = line
                .split(',')
                .map(|field| field.parse().unwrap())
                .collect();
            let [ms, open, high, low, close, volume] = fields[..] else {
                panic!("{line}")
            };
            let ts = midnight + TimeDelta::milliseconds(ms);
            // Local midnight plus a duration is local time only on days without a clock change, as all sessions are.
            let price = |ticks: i64| {
                format!("{}.{:04}", ticks / 10_000, ticks % 10_000)
                    .parse()
                    .unwrap()
            };
            TapeBar {
                ts_us: ts.timestamp_micros(),
                open: price(open),
                high: price(high),
                low: price(low),
                close: price(close),
                volume: volume as f64,
                trade_count: None,
                vwap: None,
            }
        })
        .collect()
}

/// The only entry of a zip file as text.
pub(crate) fn read_zip(path: &Path) -> String {
    let mut archive = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut text = String::new();
    archive
        .by_index(0)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}
