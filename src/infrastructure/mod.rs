//! The outside: everything that touches a disk, a network or a clock. Implements the domain's ports.

pub mod candle_svg;
pub mod chart_page;
pub mod clock;
pub mod csv_report;
pub(crate) mod disk;
pub mod duckdb;
pub mod events;
pub mod export;
pub mod fake_alpaca;
pub mod host;
pub mod html_report;
pub mod http;
pub mod junit_report;
pub mod lake;
mod markup;
pub mod metrics_server;
pub mod parquet;
pub mod providers;
pub mod sqlite;
