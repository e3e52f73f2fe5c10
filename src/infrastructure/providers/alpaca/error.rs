//! Which of Alpaca's refusals is which. Decides nothing about repetition.

use serde::Deserialize;

use crate::domain::Symbol;
use crate::domain::ports::{ProviderError, ProviderErrorKind};
use crate::infrastructure::http::{
    HttpAnswer, HttpError, HttpErrorKind, HttpSetupError, Pause, answered_at_us, printable,
};

use super::options::AlpacaCredentials;
use super::page::PageError;

/// The most characters of an answer that are shown.
const MAX_SNIPPET_CHARS: usize = 200;

/// So much of an answer is looked at for a snippet, far more than is shown.
const MAX_SNIPPET_BYTES: usize = 4096;

/// Alpaca's wording for what the plan does not include (seen 2026-09, `/v2/stocks/bars`, status 403).
const NOT_ENTITLED: &str = "subscription does not permit";

/// Alpaca's wording for a symbol that breaks its rules; it names the first one only (seen 2026-09, status 400).
const INVALID_SYMBOL: &str = "invalid symbol: ";

/// The shape of Alpaca's own errors; gateways answer in HTML instead.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// Who was asked for what, for messages.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) provider: &'a str,
    pub(super) symbols: &'a [Symbol],
    pub(super) credentials: &'a AlpacaCredentials,
}

impl Asked<'_> {
    /// The failure that an answer other than 2xx means.
    pub(super) fn refused(&self, answer: &HttpAnswer) -> ProviderError {
        let status = answer.status.as_u16();
        let message = self.message(&answer.body);
        let invalid = message
            .strip_prefix(INVALID_SYMBOL)
            .and_then(|name| self.find_symbol(name));
        let kind = match status {
            401 => ProviderErrorKind::Unauthorized,
            403 if message.to_lowercase().contains(NOT_ENTITLED) => ProviderErrorKind::NotEntitled,
            // Older bodies for bad credentials.
            403 => ProviderErrorKind::Unauthorized,
            400 | 422 if invalid.is_some() => ProviderErrorKind::InvalidSymbol,
            429 => ProviderErrorKind::RateLimited,
            408 | 425 => ProviderErrorKind::TimedOut,
            400..=499 => ProviderErrorKind::BadRequest,
            500.. => ProviderErrorKind::ServerError,
            // A 2xx other than 200 or a 1xx: no page comes with it.
            _ => ProviderErrorKind::Malformed,
        };
        let limited = match (kind, answer.pause) {
            (ProviderErrorKind::RateLimited, Some(pause)) => {
                format!(", rate limited {}", pause)
            }
            _ => String::new(),
        };
        let attempts = if answer.attempts > 1 {
            format!(" after {} attempts", answer.attempts)
        } else {
            String::new()
        };
        let request = answer
            .request_id
            .as_ref()
            .map(|id| format!(" (request {id})"))
            .unwrap_or_default();
        let context = format!(
            "{} answered {} with status {status}{attempts}{limited}: {message}{request}",
            self.provider,
            self.question(),
        );
        ProviderError {
            symbol: invalid,
            requests: u64::from(answer.attempts),
            answered_at_us: answered_at_us(&answer.headers),
            is_lasting: answer.pause.is_some_and(Pause::is_lasting),
            ..ProviderError::new(kind, context)
        }
    }

    /// The failure that a 200 without a page means.
    pub(super) fn malformed(&self, answer: &HttpAnswer, error: &PageError) -> ProviderError {
        let context = format!(
            "{} answered {} with something else than a page: {} in `{}`",
            self.provider,
            self.question(),
            self.shown(&error.to_string()),
            self.snippet(&answer.body),
        );
        // The cause goes no further: it may repeat parts of the answer, which only `shown` makes fit.
        ProviderError {
            requests: u64::from(answer.attempts),
            ..ProviderError::new(ProviderErrorKind::Malformed, context)
        }
    }

    /// The failure that no answer means.
    pub(super) fn unanswered(&self, error: HttpError) -> ProviderError {
        let context = format!(
            "{} did not answer {}: {}",
            self.provider,
            self.question(),
            self.shown(&error.to_string())
        );
        ProviderError {
            requests: u64::from(error.requests),
            ..ProviderError::new(kind_of(error.kind), context).caused_by(error)
        }
    }

    fn question(&self) -> String {
        match self.symbols {
            [] => "for nothing".into(),
            [one] => format!("for {one}"),
            [first, others @ ..] => format!("for {first} and {} more", others.len()),
        }
    }

    fn find_symbol(&self, name: &str) -> Option<Symbol> {
        let name = name.trim();
        self.symbols
            .iter()
            .find(|symbol| symbol.as_str() == name)
            .cloned()
    }

    /// Alpaca's own words, or the beginning of whatever came instead.
    fn message(&self, body: &[u8]) -> String {
        match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => self.shown(&refusal.message),
            Err(_) if body.trim_ascii().is_empty() => "no explanation".into(),
            Err(_) => self.snippet(body),
        }
    }

    fn snippet(&self, body: &[u8]) -> String {
        let beginning = &body[..body.len().min(MAX_SNIPPET_BYTES)];
        let text = String::from_utf8_lossy(beginning);
        self.shown(title_of(&text).unwrap_or(&text).trim())
    }

    /// Foreign text without secrets, fit to be shown.
    fn shown(&self, text: &str) -> String {
        printable(&self.credentials.redact(text), MAX_SNIPPET_CHARS)
    }
}

/// What a web page says of itself: proxies and load balancers answer with one, of which only that is worth a line.
fn title_of(text: &str) -> Option<&str> {
    if !text.trim_start().starts_with('<') {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let begin = lower.find("<title>")? + "<title>".len();
    let title = &text[begin..begin + lower[begin..].find("</title>")?];
    (!title.trim().is_empty()).then_some(title)
}

/// The failure that an address means which is refused.
pub(super) fn not_set_up(provider: &str, error: HttpSetupError) -> ProviderError {
    let kind = match error {
        HttpSetupError::BaseUrl(_) => ProviderErrorKind::BadRequest,
        HttpSetupError::Client { .. } => ProviderErrorKind::Unreachable,
    };
    ProviderError::new(kind, format!("{provider} cannot be asked: {error}")).caused_by(error)
}

const fn kind_of(kind: HttpErrorKind) -> ProviderErrorKind {
    match kind {
        HttpErrorKind::Invalid => ProviderErrorKind::BadRequest,
        HttpErrorKind::Unreachable | HttpErrorKind::Tls | HttpErrorKind::Broken => {
            ProviderErrorKind::Unreachable
        }
        HttpErrorKind::TimedOut => ProviderErrorKind::TimedOut,
        HttpErrorKind::BadEncoding | HttpErrorKind::TooLarge | HttpErrorKind::Redirected => {
            ProviderErrorKind::Malformed
        }
        HttpErrorKind::RateLimited => ProviderErrorKind::RateLimited,
        HttpErrorKind::CircuitOpen => ProviderErrorKind::CircuitOpen,
    }
}
