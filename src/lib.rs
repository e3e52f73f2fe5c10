//! MarketPipe fetches 1-minute stock bars, keeps them in a Parquet lake with a SQLite catalog, and says
//! precisely what is missing.
//!
//! # The house
//!
//! Layers point one way; `tests/architecture.rs` keeps it so.
//!
//! ```text
//! main.rs -> cli -> app (composition root)
//!                    |
//!    ingestion, aggregation, validation, metrics  use cases: know the domain and its ports only, never each other
//!                    |
//!                  domain              values, rules, events, ports: names no I/O crate
//!                    ^
//!              infrastructure          implements the ports: sqlite, parquet, duckdb, http, providers
//! ```
//!
//! # Reading order
//!
//! 1. [`domain`]: [`domain::Symbol`], [`domain::Session`], [`domain::Bar`], [`domain::BarBatch`], then
//!    [`domain::merge`] and [`domain::ports`].
//! 2. One ingest, from the command to the file: [`cli`] reads the arguments, [`app`] puts the parts together,
//!    [`ingestion::plan`] decides what is missing, [`ingestion::coordinator`] fetches and judges,
//!    [`infrastructure::lake`] commits. [`domain::gaps`] says what is missing afterwards.
//! 3. Longer bars: [`domain::aggregation_spec`] says what they are, [`aggregation::plan`] which are stale,
//!    [`aggregation::rollup`] adds them up, [`aggregation::runner`] commits them.
//! 4. What is wrong with what is stored: [`domain::rule`] lists the rules, [`domain::services::market_data_validation`]
//!    applies them to minutes, [`validation`] to whole series.
//! 5. What runs measured: [`domain::metric`] says what is counted, [`metrics::recorder`] counts it,
//!    [`metrics::recording`] keeps it, [`metrics::summary`] and [`metrics::exposition`] show it.
//! 6. The outside: [`infrastructure::providers`], [`infrastructure::http`], [`infrastructure::sqlite`],
//!    [`infrastructure::parquet`], [`infrastructure::duckdb`].

pub mod aggregation;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod infrastructure;
pub mod ingestion;
pub mod metrics;
pub mod validation;
