//! One HTTP client for all providers: limits, repetition and the breaker live here and nowhere else.
//!
//! Reading order: `base_url` (who may be asked), `client` (one question, one answer), `attempt` and `inflate` (one
//! attempt on the wire), `retry` and `delay` (the only loop), `rate_limit`, `pace` and `hints` (when to ask),
//! `circuit_breaker` (when not to ask at all). Knows no vendor and no bar.

mod attempt;
mod base_url;
mod circuit_breaker;
mod client;
mod delay;
mod error;

mod hints;
mod inflate;
mod pace;
mod printable;
mod rate_limit;
mod retry;

#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;

#[cfg(any(test, fuzzing))]
pub(crate) use hints::{MAX_PAUSE, ServerHints};
#[cfg(any(test, fuzzing))]
pub(crate) use inflate::inflate;

pub use attempt::{Decoded, HttpAnswer};
pub use base_url::{BaseUrl, BaseUrlError};
pub use circuit_breaker::BreakerPolicy;
pub use client::{HttpClient, HttpOptions, HttpSetupError};
pub use error::{HttpError, HttpErrorKind};
pub use hints::{Pause, answered_at_us};
pub use printable::printable;
pub use reqwest::StatusCode;
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use retry::RetryPolicy;

#[cfg(test)]
pub(in crate::infrastructure) use stub::{Recorder, Reply, Stub};
