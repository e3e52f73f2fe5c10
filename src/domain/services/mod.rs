//! Domain services: pure calculations over batches. They read no store and no clock.

pub mod fill;
pub mod market_data_validation;
pub mod ohlcv_calculation;

pub use market_data_validation::MarketDataValidationService;
pub use ohlcv_calculation::OhlcvCalculationService;
