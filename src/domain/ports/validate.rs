//! The ports of validation: files looked at without trust, and what is kept of findings. Synchronous.

use super::super::bar_batch::UnprovenBars;
use super::super::dataset::{Dataset, PartitionKey};
use super::super::finding::Finding;
use super::super::rule::Rule;
use super::super::session::SessionDate;
use super::super::symbol::Symbol;
use super::derive::KeptBars;
use super::store::{PartitionFile, StoreError};

/// What is wrong with a file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// The rule.
    pub rule: Rule,
    /// What was found, in short.
    pub value: String,
    /// What would have been expected, in short.
    pub expected: String,
    /// What was found, in a sentence that names the file.
    pub message: String,
}

/// A file of minutes as it was found.
#[derive(Debug, Default)]
pub struct InspectedMinutes {
    /// Its rows, as far as they can be read at all.
    pub rows: Option<UnprovenBars>,
    /// What is wrong with the file.
    pub faults: Vec<FileFault>,
    /// Whether another file was found in its place than was listed, as whole as it: it was replaced or removed meanwhile.
    pub is_other: bool,
}

/// Files and catalog held together, as long as this lives.
pub trait FilesHeld {}

/// A file of derived bars as it was found.
#[derive(Debug, Default)]
pub struct InspectedDerived {
    /// Its bars, as far as they can be read.
    pub kept: Option<KeptBars>,
    /// What is wrong with the file.
    pub faults: Vec<FileFault>,
}

/// Looks at files without trusting them: whatever is wrong with one is a fault, not a failure.
pub trait FileInspector: Send + Sync {
    /// The minutes of a catalogued file.
    ///
    /// # Errors
    /// When the disk or the lock fails.
    fn inspect_minutes(&self, file: &PartitionFile) -> Result<InspectedMinutes, StoreError>;

    /// The derived bars of a catalogued file.
    ///
    /// # Errors
    /// When the disk or the lock fails.
    fn inspect_derived(&self, file: &PartitionFile) -> Result<InspectedDerived, StoreError>;

    /// Keeps files, catalog and ledger from being changed by anybody, who waits.
    ///
    /// # Errors
    /// When the lock cannot be had.
    fn hold_files(&self) -> Result<Box<dyn FilesHeld>, StoreError>;

    /// The Parquet files in partitions' folders that the catalog does not know, by path, with what they should be by their
    /// place.
    ///
    /// # Errors
    /// When the folders or the catalog cannot be read.
    fn list_uncatalogued(&self) -> Result<Vec<(PartitionKey, String)>, StoreError>;
}

/// The findings of one series, or of a whole dataset, in one run.
#[derive(Debug, Clone)]
pub struct SeriesFindings {
    /// Dataset of the series.
    pub dataset: Dataset,
    /// Symbol of the series; `None` for what concerns the dataset as a whole.
    pub symbol: Option<Symbol>,
    /// The sessions that were checked, both inside; `None` for all.
    pub sessions: Option<(SessionDate, SessionDate)>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// A finding that is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptFinding {
    /// Its id.
    pub id: String,
    /// The finding, without its bar.
    pub finding: Finding,
    /// When it was found first, UTC microseconds.
    pub first_seen_us: i64,
    /// When it was found last, UTC microseconds.
    pub last_seen_us: i64,
    /// Why it was acknowledged, as long as that counts.
    pub acknowledged: Option<String>,
}

/// Findings as they are kept from run to run.
pub trait FindingRepository: Send + Sync {
    /// Replaces what was kept of these series and sessions, in one transaction.
    fn replace_findings(&self, found: &[SeriesFindings], at_us: i64) -> Result<(), StoreError>;

    /// For each of `findings` the reason for which it is acknowledged, if it is and its bar has not changed since.
    fn find_acknowledged(&self, findings: &[Finding]) -> Result<Vec<Option<String>>, StoreError>;

    /// Acknowledges the kept finding with this id; `false` when there is none.
    fn acknowledge(&self, id: &str, reason: &str, at_us: i64) -> Result<bool, StoreError>;

    /// Takes an acknowledgement back; `false` when there is none.
    fn withdraw(&self, id: &str) -> Result<bool, StoreError>;

    /// Everything that is kept, by series and place.
    fn list_findings(&self) -> Result<Vec<KeptFinding>, StoreError>;
}
