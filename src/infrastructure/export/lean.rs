//! LEAN's folders: `equity/usa/FRAME/..` with zipped CSV, prices x 10,000 as whole numbers, New York time.
//!
//! Nothing is rounded: a price that is no whole number of 1/10,000 and a volume that is no whole number are refused.
//! The same rows always give the same bytes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chrono::{NaiveDate, NaiveDateTime, Timelike as _};
use chrono_tz::America::New_York;
use thiserror::Error;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::table::ZoneClock;
use crate::domain::instant::format_utc;
use crate::domain::ports::StoreError;
use crate::domain::services::fill::{LaidOutRow, RowSource};
use crate::domain::{Anchor, Bar, BarBatch, LARGEST_EXACT, Symbol, Timeframe};
use crate::infrastructure::disk::{self, Access};

/// LEAN's prices are whole numbers of 1/10,000.
pub const TICKS: f64 = 10_000.0;

/// Frames that LEAN has folders for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeanFrame {
    /// One file a symbol and day.
    Minute,
    /// One file a symbol.
    Hour,
    /// One file a symbol.
    Daily,
}

impl LeanFrame {
    /// LEAN's frame for ours; `None` where it has none.
    pub const fn of(frame: Timeframe) -> Option<Self> {
        match frame {
            Timeframe::M1 => Some(Self::Minute),
            Timeframe::H1 => Some(Self::Hour),
            Timeframe::D1 => Some(Self::Daily),
            _ => None,
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Daily => "daily",
        }
    }
}

/// Why a folder could not be written.
#[derive(Debug, Error)]
pub enum LeanError {
    /// A value that the format cannot hold.
    #[error("{symbol} at {}: {column} {value} is no whole number {unit}", format_utc(*.ts_us))]
    NotWhole {
        /// The symbol.
        symbol: Symbol,
        /// Start of the bar, UTC microseconds.
        ts_us: i64,
        /// Which value.
        column: &'static str,
        /// The value.
        value: f64,
        /// Of what.
        unit: &'static str,
    },
    /// A file that is there and may not be replaced.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder could not be made.
    #[error(transparent)]
    Folder(#[from] StoreError),
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeanWritten {
    /// Files.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Writes the files of one frame beside their places, and moves all of them there when all are complete.
#[derive(Debug)]
pub struct LeanWriter {
    frame: LeanFrame,
    root: PathBuf,
    staging: PathBuf,
    clock: ZoneClock,
    open: Option<OpenFile>,
    /// Relative to the root.
    finished: Vec<PathBuf>,
    written: LeanWritten,
}

/// The file that rows go to now.
#[derive(Debug)]
struct OpenFile {
    relative: PathBuf,
    entry: String,
    text: String,
}

impl LeanWriter {
    /// A writer of files below `root`, which is made if need be.
    ///
    /// # Errors
    /// [`LeanError::Folder`].
    pub fn new(root: &Path, frame: LeanFrame) -> Result<Self, LeanError> {
        disk::create_folders(root, Access::Readable)?;
        let staging = disk::beside(&root.join("export"));
        // What a dead process of the same number left there is of no use.
        _ = fs::remove_dir_all(&staging);
        disk::create_folders(&staging, Access::Private)?;
        Ok(Self {
            frame,
            root: root.to_owned(),
            staging,
            clock: ZoneClock::new(New_York),
            open: None,
            finished: Vec::new(),
            written: LeanWritten::default(),
        })
    }

    /// Appends rows of `symbol`, which follow those before; symbols come one after the other. Hours of buckets that are
    /// anchored to the clock are stamped with their hour.
    ///
    /// # Errors
    /// [`LeanError`] names the first value that does not fit, or the file that could not be written.
    pub fn append(
        &mut self,
        symbol: &Symbol,
        bars: &BarBatch,
        rows: &[LaidOutRow],
        anchor: Anchor,
    ) -> Result<(), LeanError> {
        for row in rows {
            let RowSource::Kept(at) = row.source else {
                continue;
            };
            let bar = bars.bar(at);
            let Some((local, _)) = self.clock.local(bar.ts_us) else {
                continue;
            };
            let (relative, entry) = self.place_of(symbol, local.date());
            if self
                .open
                .as_ref()
                .is_none_or(|open| open.relative != relative)
            {
                self.close_file()?;
                self.open = Some(OpenFile {
                    relative,
                    entry,
                    text: String::new(),
                });
            }
            let stamp = self.stamp(local, row.session_day, anchor);
            let values = values_of(symbol, &bar)?;
            if let Some(open) = &mut self.open {
                open.text.push_str(&format!("{stamp},{values}\n"));
            }
            self.written.rows += 1;
        }
        Ok(())
    }

    /// Where the bar of a local date goes, relative to the root, and the name inside.
    fn place_of(&self, symbol: &Symbol, date: NaiveDate) -> (PathBuf, String) {
        let name = symbol.as_str().to_ascii_lowercase();
        let folder = Path::new("equity/usa").join(self.frame.folder());
        match self.frame {
            LeanFrame::Minute => {
                let day = date.format("%Y%m%d");
                let file = folder.join(&name).join(format!("{day}_trade.zip"));
                (file, format!("{day}_{name}_minute_trade.csv"))
            }
            LeanFrame::Hour | LeanFrame::Daily => {
                (folder.join(format!("{name}.zip")), format!("{name}.csv"))
            }
        }
    }

    fn stamp(&self, local: NaiveDateTime, session_day: i32, anchor: Anchor) -> String {
        match self.frame {
            LeanFrame::Minute => {
                let seconds = u64::from(local.num_seconds_from_midnight());
                (seconds * 1_000).to_string()
            }
            LeanFrame::Hour if anchor == Anchor::Clock => local.format("%Y%m%d %H:00").to_string(),
            LeanFrame::Hour => local.format("%Y%m%d %H:%M").to_string(),
            LeanFrame::Daily => {
                let date = NaiveDate::from_epoch_days(session_day).unwrap_or(local.date());
                date.format("%Y%m%d 00:00").to_string()
            }
        }
    }

    fn close_file(&mut self) -> Result<(), LeanError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let path = self.staging.join(&open.relative);
        if let Some(folder) = path.parent() {
            disk::create_folders(folder, Access::Readable)?;
        }
        let bytes = write_zip(&path, &open).map_err(|source| LeanError::Write { path, source })?;
        self.written.files += 1;
        self.written.bytes += bytes;
        self.finished.push(open.relative);
        Ok(())
    }

    /// Moves all files to their places, replacing what is there if `replaces`.
    ///
    /// # Errors
    /// [`LeanError::Exists`] before anything is moved; a failure to move leaves whole files only.
    pub fn finish(mut self, replaces: Replaces) -> Result<LeanWritten, LeanError> {
        self.close_file()?;
        if replaces == Replaces::Nothing {
            let mut places = self.finished.iter().map(|file| self.root.join(file));
            if let Some(path) = places.find(|path| path.symlink_metadata().is_ok()) {
                return Err(LeanError::Exists(path));
            }
        }
        for file in &self.finished {
            let place = self.root.join(file);
            if let Some(folder) = place.parent() {
                disk::create_folders(folder, Access::Readable)?;
            }
            fs::rename(self.staging.join(file), &place).map_err(|source| LeanError::Write {
                path: place.clone(),
                source,
            })?;
        }
        Ok(self.written)
    }
}

/// What may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// No file.
    Nothing,
    /// Files of the same names.
    SameNames,
}

impl Drop for LeanWriter {
    fn drop(&mut self) {
        // What was not moved is of no use; a failure leaves a hidden folder.
        _ = fs::remove_dir_all(&self.staging);
    }
}

/// Writes a zip file of one entry without the time of writing, and makes it durable; returns its size.
fn write_zip(path: &Path, open: &OpenFile) -> io::Result<u64> {
    let options = SimpleFileOptions::default()
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(File::create_new(path)?);
    writer.start_file(open.entry.as_str(), options)?;
    writer.write_all(open.text.as_bytes())?;
    let file = writer.finish()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Open, high, low, close and volume as whole numbers.
fn values_of(symbol: &Symbol, bar: &Bar) -> Result<String, LeanError> {
    let refused = |column, value, unit| LeanError::NotWhole {
        symbol: symbol.clone(),
        ts_us: bar.ts_us,
        column,
        value,
        unit,
    };
    let ticks = |column: &'static str, value: f64| {
        // Only a price with four decimals at most comes back from its rounded ticks.
        let ticks = (value * TICKS).round();
        let is_whole = ticks < LARGEST_EXACT && (ticks / TICKS).to_bits() == value.to_bits();
        is_whole
            .then(|| format!("{ticks:.0}"))
            .ok_or_else(|| refused(column, value, "of 1/10000"))
    };
    let volume = bar.volume;
    if volume.fract() != 0.0 || volume >= LARGEST_EXACT {
        return Err(refused("volume", volume, "of shares"));
    }
    Ok(format!(
        "{},{},{},{},{volume:.0}",
        ticks("open", bar.open)?,
        ticks("high", bar.high)?,
        ticks("low", bar.low)?,
        ticks("close", bar.close)?,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bar(price: f64, volume: f64) -> Bar {
        Bar {
            ts_us: 0,
            open: price,
            high: price,
            low: price,
            close: price,
            volume,
            trade_count: None,
            vwap: None,
        }
    }

    #[test]
    fn values_that_do_not_fit_are_named_and_not_rounded() {
        let symbol: Symbol = "AAPL".parse().unwrap();
        let words = |bar: &Bar| values_of(&symbol, bar).unwrap_err().to_string();
        assert_eq!(
            words(&bar(1.00005, 1.0)),
            "AAPL at 1970-01-01T00:00:00Z: open 1.00005 is no whole number of 1/10000"
        );
        assert!(words(&bar(1.0, 0.5)).contains("volume 0.5 is no whole number of shares"));
        let zero = values_of(&symbol, &bar(644.8, 0.0)).unwrap();
        assert_eq!(zero, "6448000,6448000,6448000,6448000,0");
    }

    proptest! {
        #[test]
        fn every_price_of_four_decimals_is_written_as_it_is(ticks in 1_i64..100_000_000_000) {
            let symbol: Symbol = "A".parse().unwrap();
            let text = format!("{}.{:04}", ticks / 10_000, ticks % 10_000);
            let written = values_of(&symbol, &bar(text.parse().unwrap(), 1.0)).unwrap();
            prop_assert_eq!(written, format!("{ticks},{ticks},{ticks},{ticks},1"));
        }
    }
}
