//! Bars as Parquet: what a file looks like, how one is written and read, and where in the lake it lies.
//! Knows no catalog and no ledger.

pub mod data_storage;
pub mod engine;
mod schema;

pub use data_storage::ParquetDataStorage;
pub use engine::ParquetStorageEngine;
