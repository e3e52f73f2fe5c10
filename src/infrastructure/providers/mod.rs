//! Whoever sells or makes bars, one module each, behind the domain's `MarketDataProvider`.

pub mod alpaca;
pub mod file;
pub mod synthetic;
