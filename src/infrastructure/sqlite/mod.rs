//! The SQLite database of a data directory: completeness ledger, catalog of the lake, quarantine, revisions,
//! checkpoints, jobs, findings and measurements.
//!
//! Reading order: `pool` (what a handle promises), `migrate`, then one file for each repository. Every
//! repository's writes exist twice: as a method that is a transaction of its own, and as a function ending
//! in `_in` that joins the caller's transaction, so that a commit of the lake is one transaction.
//!
//! Knows no Parquet, no folder of the lake and no provider.

pub(in crate::infrastructure) mod catalog;
pub(in crate::infrastructure) mod checkpoint;
mod columns;
mod connect;
pub(in crate::infrastructure) mod derivation;
mod examine;
pub(in crate::infrastructure) mod failure;
pub(in crate::infrastructure) mod fence;
mod finding;
pub(in crate::infrastructure) mod job;
mod metrics;
mod migrate;
pub(in crate::infrastructure) mod ohlcv;
mod pool;
pub(in crate::infrastructure) mod redo;
mod selection;
mod series;
mod status;
mod stock;
pub(in crate::infrastructure) mod symbol_bars;
#[cfg(test)]
mod tests;

pub use catalog::{CatalogFile, SqliteCatalog};
pub use checkpoint::SqliteCheckpointRepository;
pub use connect::library_version;
pub use examine::{LedgerDifference, list_ledger_differences, newest_instant_us};
pub use fence::CommitSummary;
pub use finding::SqliteFindingRepository;
pub use job::{PrunedJobs, SqliteJobRepository};
pub use metrics::SqliteMetricsRepository;
pub use ohlcv::SqliteOhlcvRepository;
pub use pool::Database;
pub use redo::{JobShare, RedoRecord};
pub use symbol_bars::SqliteSymbolBarsRepository;
