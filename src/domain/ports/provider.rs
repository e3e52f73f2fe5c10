//! The port to whoever sells or makes bars. Knows no vendor.

use std::fmt;
use std::pin::Pin;

use thiserror::Error;

use super::super::bar::HardRule;
use super::super::bar_columns::BarColumns;
use super::super::dataset::Dataset;
use super::super::instant::InstantRange;
use super::super::symbol::Symbol;

/// A boxed future, so that providers can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the planner must know of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderProfile {
    /// The name on the command line.
    pub name: String,
    /// Where its bars are kept.
    pub dataset: Dataset,
    /// Whether the bars are real market data.
    pub is_real: bool,
    /// Most symbols in one request.
    pub max_symbols_per_request: usize,
    /// Most rows on one page.
    pub rows_per_page: usize,
    /// How long before now the newest bar may be asked for, microseconds.
    pub hold_back_us: i64,
    /// Requests a minute that the plan allows; `None` without a limit.
    pub requests_per_minute: Option<u32>,
}

/// A question for 1-minute bars of several symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarsRequest {
    /// Symbols, ascending, without duplicates.
    pub symbols: Vec<Symbol>,
    /// Bar starts asked for.
    pub range: InstantRange,
}

/// Where the next page begins; opaque.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PageToken(pub String);

impl fmt::Debug for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageToken({} characters)", self.0.len())
    }
}

/// Rows that belong to no requested symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrayRows {
    /// The symbol as the provider spelled it, escaped and shortened.
    pub symbol: String,
    /// How many rows.
    pub rows: usize,
    /// The rule they break.
    pub rule: HardRule,
    /// The first of them, in words.
    pub evidence: String,
}

/// One page of an answer, unproven.
#[derive(Debug, Clone, PartialEq)]
pub struct BarsPage {
    /// Bars by requested symbol, in the order of arrival. Values that are missing or no number are NaN.
    pub bars: Vec<(Symbol, BarColumns)>,
    /// Rows that nobody asked for.
    pub strays: Vec<StrayRows>,
    /// The next page; `None` on the last one.
    pub next: Option<PageToken>,
    /// Bytes on the wire.
    pub wire_bytes: u64,
    /// Requests sent for this page, repetitions included.
    pub requests: u64,
    /// Names the page for evidence: the provider's request id or the like.
    pub source: String,
    /// When the provider answered by its own clock, UTC microseconds; `None` when it does not say.
    pub answered_at_us: Option<i64>,
}

/// Why a provider did not answer. Decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderErrorKind {
    /// Credentials are not set.
    CredentialsMissing,
    /// Credentials were refused.
    Unauthorized,
    /// The plan does not include what was asked for.
    NotEntitled,
    /// One symbol of the request is not legal for the provider.
    InvalidSymbol,
    /// The request was refused for another reason.
    BadRequest,
    /// Too many requests, for longer than was allowed to wait.
    RateLimited,
    /// No connection, or it broke.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The server failed.
    ServerError,
    /// The answer is not what the protocol promises.
    Malformed,
    /// The host failed so often that it is not asked for a while.
    CircuitOpen,
    /// This machine's clock is ahead of the provider's: what was asked for has not happened yet.
    ClockAhead,
}

impl ProviderErrorKind {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "credentials_missing",
            Self::Unauthorized => "unauthorized",
            Self::NotEntitled => "not_entitled",
            Self::InvalidSymbol => "invalid_symbol",
            Self::BadRequest => "bad_request",
            Self::RateLimited => "rate_limited",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::ServerError => "server_error",
            Self::Malformed => "malformed",
            Self::CircuitOpen => "circuit_open",
            Self::ClockAhead => "clock_ahead",
        }
    }

    /// Whether the same request may succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::Unreachable
                | Self::TimedOut
                | Self::ServerError
                | Self::Malformed
        )
    }

    /// Whether no other request to the same provider can succeed now either.
    pub const fn ends_the_run(self) -> bool {
        matches!(
            self,
            Self::CredentialsMissing | Self::Unauthorized | Self::CircuitOpen | Self::ClockAhead
        )
    }
}

/// A provider's failure: what kind, of what, why.
#[derive(Debug, Error)]
#[error("{context}")]
pub struct ProviderError {
    /// Decides what happens next.
    pub kind: ProviderErrorKind,
    /// What was asked and what came, in one line, without secrets.
    pub context: String,
    /// The symbol that was refused, for [`ProviderErrorKind::InvalidSymbol`].
    pub symbol: Option<Symbol>,
    /// Requests that were sent in vain, repetitions included.
    pub requests: u64,
    /// When the provider refused by its own clock, UTC microseconds; `None` when it does not say.
    pub answered_at_us: Option<i64>,
    /// Whether the provider wants to be left alone for longer than any request waits.
    pub is_lasting: bool,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ProviderError {
    /// A failure without a further cause.
    pub fn new(kind: ProviderErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            symbol: None,
            requests: 0,
            answered_at_us: None,
            is_lasting: false,
            source: None,
        }
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// Whoever answers questions for 1-minute bars.
///
/// A provider that cannot answer gives an error, never an empty page.
pub trait MarketDataProvider: Send + Sync {
    /// What the planner must know.
    fn profile(&self) -> &ProviderProfile;

    /// Fetches one page; the first one when `token` is `None`. Repeats failed requests by itself, within limits.
    fn fetch_page<'a>(
        &'a self,
        request: &'a BarsRequest,
        token: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<BarsPage, ProviderError>>;
}
