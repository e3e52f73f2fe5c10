//! Alpaca's wire format and nothing else: which query asks for bars, what an answer means, which refusal is which.
//! Limits, repetition and connections belong to `http`; paging, merging and judging bars to the use cases.
//!
//! Reading order: `options` (what can be chosen), `adapter` (question and answer), `page`, `rows`, `bar_row`,
//! `timestamp` (from bytes to columns), `error` (refusals).

mod adapter;
mod bar_row;
mod error;
mod options;
mod page;
mod rows;
mod timestamp;

#[cfg(test)]
mod tests;

#[cfg(any(test, fuzzing))]
pub(crate) use page::{
    MAX_ROWS, MAX_STRAY_SYMBOLS, MAX_TOKEN_BYTES, Page, decode_page, decode_thoroughly,
};
#[cfg(any(test, fuzzing))]
pub(crate) use timestamp::parse_timestamp;

pub use adapter::AlpacaMarketDataAdapter;
pub use options::{
    AlpacaCredentials, AlpacaOptions, DEFAULT_BASE_URL, DEFAULT_REQUESTS_PER_MINUTE,
};
