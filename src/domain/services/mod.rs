//! Domain services: pure calculations over batches. They read no store and no clock.

pub mod ohlcv_calculation;

pub use ohlcv_calculation::OhlcvCalculationService;
