//! The knobs of the fake server; the defaults are what was measured at the vendor in September 2026. Holds values only.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Key id that the default configuration accepts.
pub const FAKE_KEY_ID: &str = "FAKEKEYID";
/// Secret that the default configuration accepts.
pub const FAKE_SECRET: &str = "fake-secret";

/// How the server listens and behaves. Deliberately without `Debug`: it holds a secret.
#[derive(Clone)]
pub struct FakeConfig {
    /// Port on 127.0.0.1; 0 lets the system choose.
    pub port: u16,
    /// The only accepted value of `APCA-API-KEY-ID`.
    pub key_id: String,
    /// The only accepted value of `APCA-API-SECRET-KEY`.
    pub secret: String,
    /// Token bucket of the key; `None` is no limit and no rate-limit headers.
    pub rate_limit: Option<RateLimit>,
    /// A plan with real-time data: no 403 for a recent `end` on the consolidated feed.
    pub real_time: bool,
    /// What the server takes for the present moment; `None` is the system's clock.
    pub fixed_now: Option<DateTime<Utc>>,
    /// What a page token names.
    pub token_style: TokenStyle,
    /// How a walk over pages ends.
    pub walk_end: WalkEnd,
    /// Bytes of finished bodies to keep, by request target; 0 keeps none. Full means full: nothing is evicted.
    pub cache_bytes: usize,
    /// How many of the latest requests [`super::FakeStats::log`] keeps.
    pub logged_requests: usize,
    /// Added before each answer, to stand for the network between client and vendor.
    pub latency: Duration,
}

impl Default for FakeConfig {
    fn default() -> Self {
        Self {
            port: 0,
            key_id: FAKE_KEY_ID.to_owned(),
            secret: FAKE_SECRET.to_owned(),
            rate_limit: None,
            real_time: false,
            fixed_now: None,
            token_style: TokenStyle::NextBar,
            walk_end: WalkEnd::NullToken,
            cache_bytes: 0,
            logged_requests: 4096,
            latency: Duration::ZERO,
        }
    }
}

/// A token bucket; every request costs one token, whatever it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Tokens when full.
    pub capacity: u32,
    /// Time until one token comes back.
    pub refill_every: Duration,
    /// `Retry-After` of a 429, verbatim. The vendor sends none (113 of 113, 2026-09-07).
    pub retry_after: Option<String>,
}

impl RateLimit {
    /// A plan of `requests` a minute: that many at once, then evenly.
    #[must_use]
    pub fn per_minute(requests: u32) -> Self {
        Self {
            capacity: requests,
            refill_every: Duration::from_secs(60) / requests.max(1),
            retry_after: None,
        }
    }
}

/// What a page token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStyle {
    /// The first bar of the next page, in Unix nanoseconds: since 2024.
    NextBar,
    /// The last bar of this page, as RFC-3339 text: until 2023.
    LastBar,
}

/// How a walk over pages ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkEnd {
    /// The page with the last bar carries a null token.
    NullToken,
    /// The page with the last bar carries a token, and an empty page follows.
    ExtraEmptyPage,
}
