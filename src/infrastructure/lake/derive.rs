//! Derived bars in the lake: which there are and whether they are in place, the minutes they are made from, and their
//! commit, which is an ingest's without a ledger.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use crate::domain::derivation::source_hash;
use crate::domain::job::JobCounts;
use crate::domain::ports::{
    BarSelection, Derivation, DerivedOutcome, DerivedPartition, DerivedReceipt, DerivedStore,
    KeptBars, PartitionFile, PartitionOutcome, PartitionReceipt, SourceFile, Sources, StoreError,
    StoreErrorKind,
};
use crate::domain::{Dataset, PartitionKey, Period, SessionDate, Symbol, Timeframe};
use crate::infrastructure::disk;
use crate::infrastructure::parquet::engine::{EncodedFile, Known};
use crate::infrastructure::sqlite::derivation::{StoredDerivation, list_derivations_in};

use super::LakeStore;
use super::commit::{CommitContext, catalog_path, on_threads};
use super::lock::PublishLock;
use super::prepare::{DerivedFrom, FileChange, PreparedPartition, cannot_encode, span_us};

/// Threads that write the files of one commit. They wait for the disk, which syncs many files in the time of one.
const THREADS_THAT_SYNC: usize = 8;

/// A derived partition on its way into the lake.
struct EncodedPartition {
    key: PartitionKey,
    from: DerivedFrom,
    rows: usize,
    /// `None` without rows.
    file: Option<(EncodedFile, (i64, i64))>,
}

impl DerivedStore for LakeStore {
    fn list_derivations(&self, selection: &BarSelection) -> Result<Vec<Derivation>, StoreError> {
        let stored = self
            .database
            .read(|conn| list_derivations_in(conn, selection))?;
        let derivation = |stored: StoredDerivation| {
            let size = self
                .storage
                .path_of(&stored.key)
                .symlink_metadata()
                .ok()
                .map(|found| found.len());
            Derivation {
                is_in_place: stored.bytes.is_none_or(|bytes| size == Some(bytes)),
                key: stored.key,
                spec_hash: stored.spec_hash,
                source_hash: stored.source_hash,
            }
        };
        Ok(stored.into_iter().map(derivation).collect())
    }

    fn load_sources(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        year: i32,
        known: &[SourceFile],
    ) -> Result<Sources, StoreError> {
        let read = self.read_proven(|| {
            let files = self.list_sources(dataset, symbol, year)?;
            files
                .into_iter()
                .map(|file| {
                    let is_wanted = !known.contains(&SourceFile::from(&file));
                    let bytes = is_wanted.then(|| self.read_bytes(&file)).transpose();
                    bytes.map(|bytes| (file, bytes))
                })
                .collect::<Result<Vec<_>, _>>()
        })?;
        let mut sources = Sources::default();
        for (file, bytes) in read {
            let path = self.storage.path_of(&file.key);
            let decode = |bytes| {
                self.storage
                    .decode(&file.key, &path, bytes, Known::EveryByte)
            };
            sources.minutes.push(bytes.map(decode).transpose()?);
            sources.files.push(SourceFile::from(&file));
        }
        Ok(sources)
    }

    fn load_derived(&self, key: &PartitionKey) -> Result<Option<KeptBars>, StoreError> {
        let read = self.read_proven(|| {
            let file = self.catalog.find_file(key)?;
            file.map(|file| self.read_bytes(&file)).transpose()
        })?;
        let Some(bytes) = read else {
            return Ok(None);
        };
        let path = self.storage.path_of(key);
        let (derived, made) = self
            .storage
            .decode_derived(key, &path, bytes, Known::EveryByte)?;
        let sources = made.sources.into_iter().map(|source| {
            let period = source.period.parse().map_err(|error| {
                StoreError::new(
                    StoreErrorKind::Damaged,
                    format!("{} names a source that is no month", path.display()),
                )
                .caused_by(error)
            })?;
            Ok(SourceFile {
                period,
                content_hash: source.content,
            })
        });
        let sources: Result<Vec<SourceFile>, StoreError> = sources.collect();
        Ok(Some(KeptBars {
            spec: made.spec,
            sources: sources?,
            bars: derived,
        }))
    }

    fn commit_derived(
        &self,
        partitions: Vec<DerivedPartition>,
        at_us: i64,
    ) -> Result<Vec<DerivedReceipt>, StoreError> {
        let encoded: Vec<_> = partitions
            .into_iter()
            .map(|partition| self.encode_partition(partition))
            .collect();
        // Among the threads of this process first: the lock between processes is tried again at intervals.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = self.lock()?;
        let epoch = self.catalog.bump_epoch()?;
        let blocked = self.recover()?;
        let (mut prepared, mut receipts) = (Vec::new(), Vec::new());
        let staged = on_threads(THREADS_THAT_SYNC, encoded, |(key, encoded)| {
            let staged = encoded.and_then(|encoded| self.stage_derived(encoded, &blocked));
            (key, staged)
        });
        for (key, staged) in staged {
            match staged {
                Ok(Staged::Ready(partition)) => prepared.push(*partition),
                Ok(Staged::Not(receipt)) => receipts.push(receipt),
                Err(error) => receipts.push(receipt(key, DerivedOutcome::Failed(error))),
            }
        }
        let context = CommitContext {
            job: None,
            quarantined: &[],
            checkpoints: &[],
            counts: JobCounts::default(),
            at_us,
        };
        let published = self.publish(&mut prepared, &context, epoch);
        if published.is_err() {
            self.forget_staged(&prepared);
        }
        published?;
        receipts.extend(prepared.into_iter().map(|partition| DerivedReceipt {
            key: partition.key,
            outcome: match partition.receipt.outcome {
                PartitionOutcome::Written => DerivedOutcome::Written,
                PartitionOutcome::Unchanged => DerivedOutcome::Unchanged,
                PartitionOutcome::Failed(error) => DerivedOutcome::Failed(error),
            },
            rows: partition.receipt.rows,
            bytes: partition.receipt.bytes,
        }));
        Ok(receipts)
    }
}

/// What came of staging a partition.
enum Staged {
    /// It takes part in the commit.
    Ready(Box<PreparedPartition>),
    /// It does not, and why.
    Not(DerivedReceipt),
}

fn receipt(key: PartitionKey, outcome: DerivedOutcome) -> DerivedReceipt {
    DerivedReceipt {
        key,
        outcome,
        rows: 0,
        bytes: 0,
    }
}

impl LakeStore {
    /// What `read` finds by the catalog and proves against it.
    ///
    /// Bytes that are what the catalog says need no lock to be believed. Only what seems missing or damaged is read
    /// again with files and catalog held together: it may have been replaced in between.
    fn read_proven<T>(&self, read: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        match read() {
            Err(error) if error.kind == StoreErrorKind::Damaged => {
                let _files_stay = PublishLock::new(self.directory.publish_lock()).shared()?;
                read()
            }
            proven => proven,
        }
    }

    /// The files of minutes of one symbol and year, ascending by month.
    fn list_sources(
        &self,
        dataset: &Dataset,
        symbol: &Symbol,
        year: i32,
    ) -> Result<Vec<PartitionFile>, StoreError> {
        let day = |month, day| SessionDate::from_ymd(year, month, day);
        let selection = BarSelection {
            dataset: Some(dataset.clone()),
            symbols: vec![symbol.clone()],
            timeframe: Some(Timeframe::M1),
            sessions: day(1, 1).zip(day(12, 31)),
        };
        self.catalog.list_files(&selection)
    }

    /// Encodes a partition, outside of every lock.
    fn encode_partition(
        &self,
        partition: DerivedPartition,
    ) -> (PartitionKey, Result<EncodedPartition, StoreError>) {
        let DerivedPartition {
            key,
            spec,
            sources,
            bars,
        } = partition;
        let rows = bars.len();
        let span_us = span_us(bars.bars());
        let engine = self.storage.engine();
        let file = (rows > 0).then(|| engine.encode_derived(&key, &spec, &sources, bars));
        let file = file.transpose().map_err(|error| cannot_encode(&key, error));
        let encoded = file.map(|file| EncodedPartition {
            key: key.clone(),
            from: DerivedFrom {
                spec_hash: spec.hash(),
                source_hash: (!sources.is_empty()).then(|| source_hash(&sources)),
            },
            rows,
            file: file.map(|file| (file, span_us)),
        });
        (key, encoded)
    }

    /// Decides what happens to a partition's file and stages the new one. The caller holds the store lock.
    fn stage_derived(
        &self,
        encoded: EncodedPartition,
        blocked: &BTreeSet<String>,
    ) -> Result<Staged, StoreError> {
        let EncodedPartition {
            key,
            from,
            rows,
            file,
        } = encoded;
        if blocked.contains(&catalog_path(&key)) {
            let context = format!(
                "{key} waits for an earlier commit to be finished, see the warning about its file"
            );
            return Err(StoreError::new(StoreErrorKind::Failed, context));
        }
        if let Period::Year(year) = key.period {
            let sources = self.list_sources(&key.dataset, &key.symbol, year)?;
            let sources: Vec<SourceFile> = sources.iter().map(SourceFile::from).collect();
            let now = (!sources.is_empty()).then(|| source_hash(&sources));
            if now != from.source_hash {
                return Ok(Staged::Not(receipt(key, DerivedOutcome::Outdated)));
            }
        }
        let old = self.catalog.find_file(&key)?;
        let path = self.storage.path_of(&key);
        let bytes = file.as_ref().map(|(file, _)| byte_count(file));
        let change = match (file, old) {
            // Who makes everything anew wants to be sure: a file may be damaged without having changed in size.
            (Some((file, _)), Some(old))
                if old.sha256 == file.sha256
                    && disk::read_if_present(&path)?.as_deref() == Some(&file.bytes) =>
            {
                FileChange::Keep
            }
            (Some((file, span_us)), old) => self.stage_encoded(&key, &file, span_us, old)?,
            (None, Some(old)) => FileChange::Remove { old: Box::new(old) },
            (None, None) => FileChange::Keep,
        };
        let outcome = match change {
            FileChange::Keep => PartitionOutcome::Unchanged,
            _ => PartitionOutcome::Written,
        };
        Ok(Staged::Ready(Box::new(PreparedPartition {
            change,
            records: Vec::new(),
            revisions: Vec::new(),
            released_us: Vec::new(),
            receipt: PartitionReceipt {
                key: key.clone(),
                outcome,
                rows,
                rows_new: 0,
                rows_revised: 0,
                refused: Vec::new(),
                rows_asked: 0,
                empty_sessions: 0,
                bytes: bytes.unwrap_or(0),
            },
            derived: Some(from),
            is_blocked: false,
            key,
        })))
    }
}

fn byte_count(file: &EncodedFile) -> u64 {
    u64::try_from(file.bytes.len()).unwrap_or(u64::MAX)
}
