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
//! 6. Out of the lake and into it: [`domain::chart`] and [`domain::services::fill`] say what is drawn and exported,
//!    [`infrastructure::export`] and [`infrastructure::chart_page`] write it; [`infrastructure::providers::file`] reads files as
//!    a provider, of which [`ingestion::exact_plan`] asks what they hold.
//! 7. The outside: [`infrastructure::providers`], [`infrastructure::http`], [`infrastructure::sqlite`],
//!    [`infrastructure::parquet`], [`infrastructure::duckdb`].
//!
//! What hostile input may not do is said in `fuzzing`, which only tests and fuzzers are built with.
//!
//! # Use as a library
//!
//! The program is this crate behind a thin `main.rs`. A lake is opened with the same parts, and bars come as columns:
//!
//! ```
//! use std::sync::Arc;
//!
//! use marketpipe::app::App;
//! use marketpipe::config::{Config, Environment, Flags};
//! use marketpipe::domain::Timeframe;
//! use marketpipe::domain::ports::{BarSelection, BarStore};
//! use marketpipe::infrastructure::events::EventBus;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("marketpipe-example-{}", std::process::id()));
//! # let words = ["marketpipe", "--quiet", "--data-dir", folder.to_str().ok_or("a path")?, "ingest", "--provider", "synthetic",
//! #     "--symbols", "AAPL", "--start", "2024-07-03", "--end", "2024-07-05"];
//! # marketpipe::cli::main(words.into_iter().map(Into::into));
//! # let data_dir = folder.clone();
//! let flags = Flags {
//!     data_dir: Some(data_dir),
//!     ..Flags::default()
//! };
//! let app = App::new(Config::load(&flags, &Environment::of_process())?);
//! let nobody_listens = Arc::new(EventBus::builder().build());
//! let stores = app.open_existing_stores(nobody_listens)?.ok_or("nothing is kept there")?;
//!
//! let selection = BarSelection {
//!     symbols: vec!["AAPL".parse()?],
//!     timeframe: Some(Timeframe::M1),
//!     sessions: Some(("2024-07-03".parse()?, "2024-07-03".parse()?)),
//!     ..BarSelection::default()
//! };
//! let mut volume = 0.0;
//! for (partition, bars) in stores.bars.load(&selection)? {
//!     // Shares; `ts_us` is the start of the minute, UTC microseconds.
//!     volume += bars.columns().volume.iter().sum::<f64>();
//!     println!("{} {}: {} minutes", partition.dataset, partition.symbol, bars.len());
//! }
//! assert!(volume > 0.0);
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! A file whose SHA-256 is not the one that was written is an error there, too. Only the command line's promises (flags, exit codes,
//! the fields of what is printed, the layout of the lake) are kept by SemVer; what this crate makes public may change with each minor
//! version.

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
