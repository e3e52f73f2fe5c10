//! Bars as Parquet: what a file looks like, how one is written and read, and where in the lake it lies.
//! Knows no catalog and no ledger.

pub(crate) mod caught;
mod content;
pub mod data_storage;
mod decode;
mod description;
mod encode;
pub mod engine;
mod schema;
#[cfg(test)]
mod tests;

pub use data_storage::ParquetDataStorage;
pub use description::{DerivedDescription, FileDescription, SourceDescription};
pub use engine::ParquetStorageEngine;
