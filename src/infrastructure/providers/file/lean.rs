//! LEAN's zipped days of minutes: `SYMBOL/YYYYMMDD_trade.zip` with one CSV without a header. The name of the entry
//! inside means nothing here, and nothing is unpacked to a disk.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::America::New_York;
use zip::ZipArchive;

use super::collector::{Collector, RawRow};
use super::spool::RowPlace;
use super::time::{TimeRule, TimeUnit, shown};
use super::{ReadError, ReadOptions, SymbolSource};
use crate::domain::Symbol;
use crate::infrastructure::disk;
use crate::infrastructure::export::lean::TICKS;
use crate::infrastructure::parquet::caught::catch_panic;

/// A day has 1,440 lines of some 60 bytes; what unfolds to more is no day.
const MOST_BYTES: u64 = 16 << 20;

/// Ends the name of every file of minutes.
const TRADES: &str = "_trade.zip";

const NEW_YORK: TimeRule = TimeRule {
    unit: TimeUnit::ByLength,
    zone: Some(New_York),
};

/// Reads a day, or all days below a folder.
pub(super) fn read(
    path: &Path,
    options: &ReadOptions,
    collector: &mut Collector,
) -> Result<(), ReadError> {
    let days: Vec<PathBuf> = match path.is_dir() {
        true => {
            let mut days = disk::list_files_below(path)?;
            days.retain(|path| date_of(path).is_some());
            days
        }
        false => vec![path.to_owned()],
    };
    if days.is_empty() {
        let reason = "holds no minutes in LEAN's layout, minute/SYMBOL/YYYYMMDD_trade.zip";
        return Err(ReadError::malformed(path, reason));
    }
    for day in &days {
        let date = date_of(day).ok_or_else(|| {
            ReadError::malformed(
                day,
                "is no day of minutes, which are named YYYYMMDD_trade.zip",
            )
        })?;
        let symbol = symbol_of(day, options)?;
        let text = unzip(day)?;
        let name = day.display().to_string();
        for (number, line) in (1..).zip(text.lines()) {
            let place = RowPlace {
                file: &name,
                line: number,
            };
            match read_line(line, date) {
                Ok(row) => {
                    let symbol = Some(symbol.as_str());
                    collector.take(day, place, RawRow { symbol, ..row })?;
                }
                Err(reason) => collector.refuse(place, reason),
            }
        }
    }
    Ok(())
}

/// The date in a file's name.
fn date_of(path: &Path) -> Option<NaiveDate> {
    let date = path.file_name()?.to_str()?.strip_suffix(TRADES)?;
    let is_date = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    is_date
        .then(|| NaiveDate::parse_from_str(date, "%Y%m%d").ok())
        .flatten()
}

/// The symbol that is given, or the name of the file's folder.
fn symbol_of(path: &Path, options: &ReadOptions) -> Result<Symbol, ReadError> {
    if let SymbolSource::One(symbol) = &options.symbol {
        return Ok(symbol.clone());
    }
    let folder = path.parent().and_then(Path::file_name);
    let folder = folder
        .and_then(|folder| folder.to_str())
        .unwrap_or_default();
    Symbol::spelled(folder).map_err(|_| {
        let reason = format!(
            "its folder `{}` is no symbol; name one with --symbol",
            shown(folder)
        );
        ReadError::malformed(path, reason)
    })
}

/// The text of the only entry.
fn unzip(path: &Path) -> Result<String, ReadError> {
    let file = File::open(path).map_err(ReadError::unreadable(path))?;
    let read = catch_panic(|| -> Result<Vec<u8>, String> {
        let no_zip = |error: &dyn std::fmt::Display| format!("is no readable zip file: {error}");
        let mut archive = ZipArchive::new(file).map_err(|error| no_zip(&error))?;
        if archive.len() != 1 {
            return Err(format!("holds {} files, expected one", archive.len()));
        }
        let entry = archive.by_index(0).map_err(|error| no_zip(&error))?;
        let mut bytes = Vec::new();
        let read = entry.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| no_zip(&error))?;
        match bytes.len() as u64 > MOST_BYTES {
            true => Err(format!(
                "unfolds to more than {MOST_BYTES} bytes, which no day of minutes has"
            )),
            false => Ok(bytes),
        }
    });
    let read = read.unwrap_or_else(|| Err("the zip reader gave up on damaged content".to_owned()));
    let bytes = read.map_err(|reason| ReadError::malformed(path, reason))?;
    String::from_utf8(bytes).map_err(|_| ReadError::malformed(path, "holds no text in UTF-8"))
}

/// Milliseconds since midnight New York, open, high, low, close (x 10,000), volume.
fn read_line(line: &str, date: NaiveDate) -> Result<RawRow<'static>, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [time, open, high, low, close, volume] = fields[..] else {
        return Err(format!(
            "has {} fields, a minute of LEAN has 6",
            fields.len()
        ));
    };
    let mut unclear = None;
    let mut number = |text: &str| {
        text.parse::<f64>().unwrap_or_else(|_| {
            unclear.get_or_insert_with(|| format!("`{}` is no number", shown(text)));
            f64::NAN
        })
    };
    let mut ticks = |text: &str| match text.parse::<u32>() {
        Ok(ticks) => f64::from(ticks) / TICKS,
        Err(_) => number(text) / TICKS,
    };
    let since_midnight = time.parse::<u32>().ok().filter(|&since| since < 86_400_000);
    let since_midnight =
        since_midnight.ok_or_else(|| format!("time `{}` is no time of a day", shown(time)))?;
    let since_midnight = TimeDelta::milliseconds(since_midnight.into());
    let local = NaiveDateTime::new(date, NaiveTime::MIN) + since_midnight;
    let [open, high, low, close] = [open, high, low, close].map(&mut ticks);
    let values = [open, high, low, close, number(volume)];
    Ok(RawRow {
        symbol: None,
        ts_us: NEW_YORK.of_local(local),
        values,
        unclear,
        trade_count: None,
        vwap: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: NaiveDate = NaiveDate::from_ymd_opt(2014, 6, 5).expect("a date");

    #[test]
    fn a_line_is_a_minute_of_new_york() {
        let row = read_line("34200000,6448000,6455001,6448000,6450000,90", DAY).unwrap();
        assert_eq!(row.ts_us, Ok(1_401_975_000_000_000), "09:30 in June");
        assert_eq!(row.values, [644.8, 645.5001, 644.8, 645.0, 90.0]);
        for line in [
            "",
            "1,2,3",
            "86400000,1,1,1,1,1",
            "x,1,1,1,1,1",
            "-1,1,1,1,1,1",
        ] {
            assert!(read_line(line, DAY).is_err(), "{line}");
        }
        assert!(read_line("0,x,1,1,1,1", DAY).unwrap().values[0].is_nan());
    }

    #[test]
    fn only_days_of_minutes_have_a_date() {
        for (name, is_day) in [
            ("20140605_trade.zip", true),
            ("20140605_quote.zip", false),
            ("aapl.zip", false),
            ("20141305_trade.zip", false),
            ("2014é605_trade.zip", false),
        ] {
            assert_eq!(date_of(Path::new(name)).is_some(), is_day, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_reading_panic(line in "[0-9,.eE+x\\PC-]{0,60}") {
            _ = read_line(&line, DAY);
        }

        #[test]
        fn every_price_of_four_decimals_is_read_as_it_is(ticks in 1_u64..10_000_000_000) {
            let text = format!("{}.{:04}", ticks / 10_000, ticks % 10_000);
            let row = read_line(&format!("0,{ticks},{ticks},{ticks},{ticks},1"), DAY).unwrap();
            prop_assert_eq!(row.values[0], text.parse::<f64>().unwrap());
        }
    }
}
