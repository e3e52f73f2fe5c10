//! The lake: where a partition's file lies, what lies there, and loading it. Knows no catalog.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::description::{DerivedDescription, FileDescription};
use super::engine::{FileError, Known, ParquetStorageEngine};
use crate::domain::ports::{BarSelection, StoreError, StoreErrorKind};
use crate::domain::{
    BarBatch, Dataset, DerivedBatch, PartitionKey, Period, SessionDate, Timeframe,
};
use crate::infrastructure::disk;

/// Kept as they are in a path; everything else is percent-encoded, `/` above all.
const PATH_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

const FILE_NAME: &str = "bars.parquet";

/// The tree of finished files below one folder, Hive style.
#[derive(Debug, Clone)]
pub struct ParquetDataStorage {
    root: PathBuf,
    engine: ParquetStorageEngine,
}

/// Where `key` lies, relative to the lake's root, `/` between folders.
///
/// The only place where a path is made from a name: every part is validated by its type and percent-encoded.
pub fn relative_path(key: &PartitionKey) -> String {
    let value = |text: &str| utf8_percent_encode(text, PATH_VALUE).to_string();
    let period = match key.period {
        Period::Month(month) => format!("month={month}"),
        Period::Year(year) => format!("year={year:04}"),
    };
    format!(
        "provider={}/feed={}/adjustment={}/timeframe={}/symbol={}/{period}/{FILE_NAME}",
        value(key.dataset.provider()),
        value(key.dataset.feed()),
        value(key.dataset.adjustment()),
        key.timeframe,
        value(key.symbol.as_str()),
    )
}

/// The partition whose file lies in `folder`, relative to the lake's root; `None` when the folder is none of ours.
pub fn key_of_folder(folder: &Path) -> Option<PartitionKey> {
    key_of_path(&folder.join(FILE_NAME))
}

/// The partition that lies at `path`, relative to the lake's root; `None` when the path is none of ours.
pub fn key_of_path(path: &Path) -> Option<PartitionKey> {
    let parts = path
        .iter()
        .map(|part| part.to_str())
        .collect::<Option<Vec<_>>>()?;
    let [provider, feed, adjustment, timeframe, symbol, period, file] = parts[..] else {
        return None;
    };
    let value = |part: &str, name: &str| {
        let encoded = part.strip_prefix(name)?.strip_prefix('=')?;
        percent_decode_str(encoded)
            .decode_utf8()
            .ok()
            .map(|text| text.into_owned())
    };
    let dataset = Dataset::new(
        &value(provider, "provider")?,
        &value(feed, "feed")?,
        &value(adjustment, "adjustment")?,
    )
    .ok()?;
    let timeframe: Timeframe = value(timeframe, "timeframe")?.parse().ok()?;
    let symbol = value(symbol, "symbol")?.parse().ok()?;
    // Minutes by year or longer bars by month would be second copies of the same bars.
    let unit = if timeframe.is_derived() {
        "year"
    } else {
        "month"
    };
    let period: Period = value(period, unit)?.parse().ok()?;
    let key = PartitionKey {
        dataset,
        timeframe,
        symbol,
        period,
    };
    // Another spelling of the same path is not ours.
    (file == FILE_NAME && Path::new(&relative_path(&key)) == path).then_some(key)
}

impl ParquetDataStorage {
    /// The lake below `root`, which need not exist yet.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            engine: ParquetStorageEngine::new(),
        }
    }

    /// The lake's root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The engine that reads and writes its files.
    pub fn engine(&self) -> &ParquetStorageEngine {
        &self.engine
    }

    /// The file of `key`.
    pub fn path_of(&self, key: &PartitionKey) -> PathBuf {
        self.root.join(relative_path(key))
    }

    /// The partitions on disk that belong to `selection`, in order; files that are none of ours are left out.
    ///
    /// # Errors
    /// [`StoreError`] when a folder cannot be listed.
    pub fn list_partitions(
        &self,
        selection: &BarSelection,
    ) -> Result<Vec<PartitionKey>, StoreError> {
        let files = disk::list_files_below(&self.root)?;
        let mut keys: Vec<PartitionKey> = files
            .iter()
            .filter_map(|path| key_of_path(path.strip_prefix(&self.root).ok()?))
            .filter(|key| selects(selection, key))
            .collect();
        keys.sort();
        Ok(keys)
    }

    /// The rows of one partition; `None` when it has no file.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] when the file is not what its path and footer say.
    pub fn load_partition(&self, key: &PartitionKey) -> Result<Option<BarBatch>, StoreError> {
        let path = self.path_of(key);
        disk::read_if_present(&path)?
            .map(|bytes| self.decode(key, &path, bytes, Known::Nothing))
            .transpose()
    }

    /// The bars of a file's bytes, proven to be those of `key`; of derived ones without the number of minutes.
    pub(crate) fn decode(
        &self,
        key: &PartitionKey,
        path: &Path,
        bytes: Vec<u8>,
        known: Known,
    ) -> Result<BarBatch, StoreError> {
        if key.timeframe.is_derived() {
            let (derived, _) = self.decode_derived(key, path, bytes, known)?;
            return Ok(derived.into_parts().0);
        }
        let decoded = self.engine.decode(bytes, known);
        let (batch, description) = decoded.map_err(|error| damaged(path, error))?;
        refuse_other(&description, key, path)?;
        Ok(batch)
    }

    /// The derived bars of a file's bytes, proven to be those of `key`, and how they were made.
    pub(crate) fn decode_derived(
        &self,
        key: &PartitionKey,
        path: &Path,
        bytes: Vec<u8>,
        known: Known,
    ) -> Result<(DerivedBatch, DerivedDescription), StoreError> {
        let decoded = self.engine.decode_derived(bytes, known);
        let (derived, mut description) = decoded.map_err(|error| damaged(path, error))?;
        refuse_other(&description, key, path)?;
        match description.derived.take() {
            Some(made) => Ok((derived, made)),
            None => Err(damaged(
                path,
                FileError::OtherKind("bars of unknown origin"),
            )),
        }
    }

    /// The bars of `selection`, one batch a partition, cut to the selected sessions; partitions without such rows are left out.
    ///
    /// # Errors
    /// [`StoreErrorKind::Damaged`] names the first file that cannot be trusted.
    pub fn load(
        &self,
        selection: &BarSelection,
    ) -> Result<Vec<(PartitionKey, BarBatch)>, StoreError> {
        let mut loaded = Vec::new();
        for key in self.list_partitions(selection)? {
            let batch = self
                .load_partition(&key)?
                .map(|batch| cut_to_sessions(batch, selection.sessions));
            if let Some(batch) = batch.filter(|batch| !batch.is_empty()) {
                loaded.push((key, batch));
            }
        }
        Ok(loaded)
    }
}

/// The rows of `batch` whose session lies between the two dates, both inside.
pub(crate) fn cut_to_sessions(
    batch: BarBatch,
    sessions: Option<(SessionDate, SessionDate)>,
) -> BarBatch {
    let Some((first, last)) = sessions else {
        return batch;
    };
    let rows = batch.rows_between(first, last);
    if rows == (0..batch.len()) {
        batch
    } else {
        batch.slice(rows)
    }
}

fn damaged(path: &Path, error: FileError) -> StoreError {
    let kind = if matches!(error, FileError::NewerLayout { .. }) {
        StoreErrorKind::NewerSchema
    } else {
        StoreErrorKind::Damaged
    };
    StoreError::new(kind, format!("{} is damaged: {error}", path.display())).caused_by(error)
}

/// Refuses a file that lies in another one's place.
pub(crate) fn refuse_other(
    description: &FileDescription,
    key: &PartitionKey,
    path: &Path,
) -> Result<(), StoreError> {
    if describes(description, key) {
        return Ok(());
    }
    let found = format!(
        "{} {} {} {}",
        description.dataset, description.symbol, description.timeframe, description.period
    );
    let context = format!("{} holds {found}, expected {key}", path.display());
    Err(StoreError::new(StoreErrorKind::Damaged, context))
}

fn describes(description: &FileDescription, key: &PartitionKey) -> bool {
    description.dataset == key.dataset.to_string()
        && description.symbol == key.symbol.as_str()
        && description.timeframe == key.timeframe.as_str()
        && description.period == key.period.to_string()
}

/// Whether `key` belongs to `selection`.
fn selects(selection: &BarSelection, key: &PartitionKey) -> bool {
    let overlaps = |(first, last): (SessionDate, SessionDate)| match key.period {
        Period::Month(month) => first <= month.last_day() && month.first_day() <= last,
        Period::Year(year) => (first.year()..=last.year()).contains(&year),
    };
    selection
        .dataset
        .as_ref()
        .is_none_or(|dataset| *dataset == key.dataset)
        && (selection.symbols.is_empty() || selection.symbols.contains(&key.symbol))
        && selection
            .timeframe
            .is_none_or(|timeframe| timeframe == key.timeframe)
        && selection.sessions.is_none_or(overlaps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Bar, Calendar};

    fn key(symbol: &str, month: &str) -> PartitionKey {
        PartitionKey {
            dataset: "alpaca/sip/raw".parse().unwrap(),
            timeframe: Timeframe::M1,
            symbol: symbol.parse().unwrap(),
            period: Period::Month(month.parse().unwrap()),
        }
    }

    /// Two bars on 2024-07-02 and one on 2024-07-03, regular hours.
    fn rows() -> BarBatch {
        let bar = |ts_us| Bar {
            ts_us,
            open: 1.0,
            high: 1.0,
            low: 1.0,
            close: 1.0,
            volume: 1.0,
            trade_count: None,
            vwap: None,
        };
        let open = 1_719_927_000_000_000;
        BarBatch::from_columns(
            [
                bar(open),
                bar(open + 60_000_000),
                bar(open + 86_400_000_000),
            ]
            .into_iter()
            .collect(),
            Calendar::nyse(),
        )
        .unwrap()
    }

    fn write(storage: &ParquetDataStorage, key: &PartitionKey, at: &PartitionKey) {
        let path = storage.path_of(at);
        disk::create_folders(path.parent().unwrap(), disk::Access::Readable).unwrap();
        disk::write_new_durable(&path, &storage.engine().encode(key, rows()).unwrap().bytes)
            .unwrap();
    }

    #[test]
    fn paths_are_hive_style_and_read_back() {
        for symbol in ["AAPL", "BRK.B", "BTC/USD", "CON", "0700"] {
            let key = key(symbol, "2024-07");
            assert_eq!(key_of_path(Path::new(&relative_path(&key))), Some(key));
        }
        assert_eq!(
            relative_path(&key("BTC/USD", "2024-07")),
            "provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=BTC%2FUSD/month=2024-07/bars.parquet"
        );
        for stray in [
            "bars.parquet",
            "provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=%41APL/month=2024-07/bars.parquet",
        ] {
            assert_eq!(key_of_path(Path::new(stray)), None, "{stray}");
        }
    }

    #[test]
    fn loading_cuts_to_the_selected_symbols_and_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let storage = ParquetDataStorage::new(folder.path().join("lake"));
        assert!(storage.load(&BarSelection::default()).unwrap().is_empty());
        for symbol in ["AAPL", "MSFT"] {
            write(&storage, &key(symbol, "2024-07"), &key(symbol, "2024-07"));
        }
        let date: SessionDate = "2024-07-02".parse().unwrap();
        let selection = BarSelection {
            symbols: vec!["MSFT".parse().unwrap()],
            sessions: Some((date, date)),
            ..BarSelection::default()
        };
        let loaded = storage.load(&selection).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(
            (loaded[0].0.clone(), loaded[0].1.len()),
            (key("MSFT", "2024-07"), 2)
        );
        let other = BarSelection {
            timeframe: Some(Timeframe::H1),
            ..BarSelection::default()
        };
        assert!(storage.load(&other).unwrap().is_empty());
    }

    #[test]
    fn another_symbols_file_in_its_place_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let storage = ParquetDataStorage::new(folder.path().to_owned());
        write(&storage, &key("AAPL", "2024-07"), &key("MSFT", "2024-07"));
        let refused = storage.load_partition(&key("MSFT", "2024-07")).unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Damaged);
        assert!(
            refused
                .to_string()
                .contains("holds alpaca/sip/raw AAPL 1m 2024-07"),
            "{refused}"
        );
    }
}
