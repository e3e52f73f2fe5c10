//! SQL over the lake: one in-memory DuckDB per command, with views over exactly the catalog's files.
//! Writes nothing and reaches nothing but those files.

mod aggregate;
mod connection;
mod prune;
pub mod tables;
pub mod views;

pub use ::duckdb::InterruptHandle;
pub use aggregate::DuckdbAggregator;
pub use connection::{QueryError, QueryLimits, QuerySession, RowSink};
