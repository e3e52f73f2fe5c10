//! Why a request failed on the way. Knows no status meanings: an answer with any status is not a failure here.

use std::error::Error as StdError;
use std::io;

use thiserror::Error;

use super::printable::printable;
use crate::domain::event::RequestResult;

/// The most characters of a cause that go into a message.
const MAX_CAUSE_CHARS: usize = 160;

/// What kind of failure. Decides whether the request is repeated and what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpErrorKind {
    /// The request could not be built.
    Invalid,
    /// No connection: name not found, refused, no route.
    Unreachable,
    /// The TLS handshake failed: a wrong or expired certificate, no common protocol.
    Tls,
    /// Connecting, the next bytes or the whole answer took too long.
    TimedOut,
    /// The connection broke, or the answer ended early or is no HTTP.
    Broken,
    /// The body's compression is damaged or unknown.
    BadEncoding,
    /// The body is larger than allowed.
    TooLarge,
    /// The answer points elsewhere; nobody followed.
    Redirected,
    /// The rate limit is used up for longer than may be waited; nothing was sent.
    RateLimited,
    /// The host failed so often that it is not asked for a while; nothing was sent.
    CircuitOpen,
}

impl HttpErrorKind {
    /// Whether the same request may succeed at once.
    pub(super) const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::TimedOut | Self::Broken | Self::BadEncoding
        )
    }

    /// What the failure counts as.
    pub(super) const fn result(self) -> RequestResult {
        match self {
            Self::TimedOut => RequestResult::TimedOut,
            Self::Invalid | Self::Unreachable | Self::Tls | Self::CircuitOpen => {
                RequestResult::Unreachable
            }
            Self::RateLimited => RequestResult::RateLimited,
            Self::Broken | Self::BadEncoding | Self::TooLarge | Self::Redirected => {
                RequestResult::Broken
            }
        }
    }

    /// Whether the failure speaks against the host's health.
    pub(super) const fn speaks_against_host(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Tls | Self::TimedOut | Self::Broken
        )
    }
}

/// A request's failure: what kind, of what, why. Holds neither query nor headers.
#[derive(Debug, Error)]
#[error("{context}")]
pub struct HttpError {
    /// Decides what happens next.
    pub kind: HttpErrorKind,
    /// Host and cause, in one line, without secrets.
    pub context: String,
    /// Requests that were sent in vain.
    pub requests: u32,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl HttpError {
    pub(super) fn new(kind: HttpErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            requests: 0,
            source: None,
        }
    }

    pub(super) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure with the number of requests that were sent.
    pub(super) fn having_sent(mut self, requests: u32) -> Self {
        self.requests = requests;
        self
    }

    /// Sorts a transport failure into its kind.
    pub(super) fn from_transport(host: &str, error: reqwest::Error) -> Self {
        let error = error.without_url();
        let (kind, what) = if error.is_builder() {
            (HttpErrorKind::Invalid, "request cannot be built for")
        } else if error.is_timeout() {
            (HttpErrorKind::TimedOut, "no answer in time from")
        } else if error.is_connect() && is_tls_failure(&error) {
            (HttpErrorKind::Tls, "no trusted connection to")
        } else if error.is_connect() {
            (HttpErrorKind::Unreachable, "no connection to")
        } else {
            (HttpErrorKind::Broken, "broken answer from")
        };
        let cause = shown_cause(&error);
        Self::new(kind, format!("{what} {host}: {cause}")).caused_by(error)
    }

    /// The same failure with the number of attempts in its message.
    pub(super) fn after(mut self, attempts: u32) -> Self {
        if attempts > 1 {
            self.context = format!("{} ({attempts} attempts)", self.context);
        }
        self
    }
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost cause, fit to be shown.
pub(super) fn shown_cause(error: &(dyn StdError + 'static)) -> String {
    let innermost = chain(error).last().unwrap_or(error);
    printable(&innermost.to_string(), MAX_CAUSE_CHARS)
}

/// Whether a failed connection failed in the TLS handshake for a reason that repeating does not cure.
///
/// The TLS layer reports every such reason as [`io::ErrorKind::InvalidData`]; a handshake that is merely cut off is
/// an unexpected end instead. An `io::Error` inside another one is not among its sources.
fn is_tls_failure(error: &(dyn StdError + 'static)) -> bool {
    let inner = |error: &'_ io::Error| error.get_ref().is_some_and(|inner| is_tls_failure(inner));
    chain(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::InvalidData || inner(cause))
}
