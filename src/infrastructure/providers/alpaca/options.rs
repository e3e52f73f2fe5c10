//! What can be chosen about Alpaca: whose account, which feed, which adjustment. Sends nothing.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::domain::Dataset;
use crate::domain::dataset::{ADJUSTMENTS, read_adjustment};
use crate::domain::instant::MINUTE_US;
use crate::domain::ports::{ProviderError, ProviderErrorKind};
use crate::infrastructure::http::{HeaderMap, HeaderName, HeaderValue, printable};

/// Where Alpaca serves market data, for paper and live accounts alike.
pub const DEFAULT_BASE_URL: &str = "https://data.alpaca.markets";

/// What the Basic plan allows.
pub const DEFAULT_REQUESTS_PER_MINUTE: u32 = 200;

/// Feeds with history; `delayed_sip` and `overnight` exist for other endpoints only.
const FEEDS: [&str; 4] = ["sip", "iex", "boats", "otc"];
/// The Basic plan refuses the whole request when it ends less than 15 minutes ago (seen 2026-09, `/v2/stocks/bars`,
/// feed sip); one more minute covers the difference of two clocks.
const SIP_HOLD_BACK_US: i64 = 16 * MINUTE_US;

/// Anything shorter is no secret, and would be found in every other word.
const MIN_SECRET_BYTES: usize = 4;

const KEY_ID: HeaderName = HeaderName::from_static("apca-api-key-id");
const SECRET: HeaderName = HeaderName::from_static("apca-api-secret-key");

/// What Alpaca knows an account by. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct AlpacaCredentials {
    /// The key's id.
    pub key_id: String,
    /// The key's secret.
    pub secret: SecretString,
}

impl fmt::Debug for AlpacaCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlpacaCredentials(***)")
    }
}

impl AlpacaCredentials {
    /// The headers that prove them; both are marked as sensitive.
    ///
    /// # Errors
    /// [`ProviderErrorKind::CredentialsMissing`] when one of them is empty or cannot be sent in a header.
    pub(super) fn headers(&self) -> Result<HeaderMap, ProviderError> {
        let mut headers = HeaderMap::new();
        for (header, what, text) in [
            (KEY_ID, "key id", self.key_id.as_str()),
            (SECRET, "secret", self.secret.expose_secret()),
        ] {
            let refused = |why: &str| {
                ProviderError::new(
                    ProviderErrorKind::CredentialsMissing,
                    format!("alpaca {what} {why}"),
                )
            };
            if text.trim().is_empty() {
                return Err(refused("is empty"));
            }
            let mut value = HeaderValue::from_str(text)
                .map_err(|_| refused("holds a character that cannot be sent"))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        Ok(headers)
    }

    /// The text with both replaced by `***`: a server may repeat what it was sent.
    pub(super) fn redact(&self, text: &str) -> String {
        [self.secret.expose_secret(), self.key_id.as_str()]
            .into_iter()
            .filter(|secret| secret.len() >= MIN_SECRET_BYTES)
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// How Alpaca is asked.
#[derive(Debug, Clone)]
pub struct AlpacaOptions {
    /// The name on the command line: `alpaca`, or `iex` for the same with `feed` iex.
    pub name: String,
    /// Scheme, host and port, see [`crate::infrastructure::http::BaseUrl`].
    pub base_url: String,
    /// The account; without one the first question fails.
    pub credentials: Option<AlpacaCredentials>,
    /// `sip`, `iex`, `boats` or `otc`.
    pub feed: String,
    /// `raw`, `all`, or one or more of `split`, `dividend`, `spin-off`, joined by commas.
    pub adjustment: String,
    /// The plan's limit; `None` for none.
    pub requests_per_minute: Option<u32>,
    /// Whether the plan includes the last 15 minutes of the consolidated tape.
    pub realtime: bool,
}

impl AlpacaOptions {
    /// The usual options: consolidated tape, raw prices, Basic plan.
    pub fn new(credentials: Option<AlpacaCredentials>) -> Self {
        Self {
            name: "alpaca".into(),
            base_url: DEFAULT_BASE_URL.into(),
            credentials,
            feed: "sip".into(),
            adjustment: "raw".into(),
            requests_per_minute: Some(DEFAULT_REQUESTS_PER_MINUTE),
            realtime: false,
        }
    }

    /// How long before now the newest bar may be asked for, microseconds.
    pub(super) fn hold_back_us(&self) -> i64 {
        if self.feed == "sip" && !self.realtime {
            SIP_HOLD_BACK_US
        } else {
            0
        }
    }
}

/// A feed and an adjustment that Alpaca knows, as they go into a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tape {
    pub(super) feed: &'static str,
    /// Parts joined by commas, in one order only.
    pub(super) adjustment: String,
}

impl Tape {
    /// # Errors
    /// [`ProviderErrorKind::BadRequest`] names the value and what would be legal.
    pub(super) fn parse(feed: &str, adjustment: &str) -> Result<Self, ProviderError> {
        let refused = |what: &str, text: &str, legal: &str| {
            let context = format!(
                "alpaca {what} `{}` is unknown, expected {legal}",
                printable(text, 40)
            );
            ProviderError::new(ProviderErrorKind::BadRequest, context)
        };
        let known = FEEDS.into_iter().find(|known| *known == feed);
        let feed = known.ok_or_else(|| refused("feed", feed, "sip, iex, boats or otc"))?;
        let bad_adjustment = || refused("adjustment", adjustment, ADJUSTMENTS);
        let adjustment = read_adjustment(adjustment).ok_or_else(bad_adjustment)?;
        Ok(Self { feed, adjustment })
    }

    /// Where its bars are kept: `alpaca/sip/raw`, `alpaca/sip/split-spin-off`.
    ///
    /// # Errors
    /// [`ProviderErrorKind::BadRequest`] when that is no legal name, which no known value leads to.
    pub(super) fn dataset(&self) -> Result<Dataset, ProviderError> {
        Dataset::new("alpaca", self.feed, &self.adjustment.replace(',', "-")).map_err(|error| {
            ProviderError::new(ProviderErrorKind::BadRequest, error.to_string()).caused_by(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_adjustment_always_has_the_same_name() {
        for (text, sent, dataset) in [
            ("raw", "raw", "alpaca/sip/raw"),
            ("all", "all", "alpaca/sip/all"),
            ("split", "split", "alpaca/sip/split"),
            (
                "split,spin-off",
                "split,spin-off",
                "alpaca/sip/split-spin-off",
            ),
            (
                "spin-off, split",
                "split,spin-off",
                "alpaca/sip/split-spin-off",
            ),
            ("dividend,spin-off,split", "all", "alpaca/sip/all"),
        ] {
            let tape = Tape::parse("sip", text).unwrap();
            assert_eq!(
                (
                    tape.adjustment.as_str(),
                    tape.dataset().unwrap().to_string().as_str()
                ),
                (sent, dataset)
            );
        }
    }

    #[test]
    fn unknown_feeds_and_adjustments_are_refused() {
        for (feed, adjustment) in [
            ("SIP", "raw"),
            ("delayed_sip", "raw"),
            ("", "raw"),
            ("sip", ""),
            ("sip", "raw,split"),
            ("sip", "split,split"),
            ("sip", "Raw"),
        ] {
            let error = Tape::parse(feed, adjustment).unwrap_err();
            assert_eq!(
                error.kind,
                ProviderErrorKind::BadRequest,
                "{feed} {adjustment}"
            );
        }
    }

    #[test]
    fn credentials_show_nothing_of_themselves() {
        let credentials = AlpacaCredentials {
            key_id: "AKHUNTER".into(),
            secret: "hunter2".into(),
        };
        let options = AlpacaOptions::new(Some(credentials.clone()));
        let headers = credentials.headers().unwrap();
        for shown in [
            format!("{credentials:?}"),
            format!("{options:#?}"),
            format!("{headers:?}"),
        ] {
            assert!(
                !shown.contains("AKHUNTER") && !shown.contains("hunter2"),
                "{shown}"
            );
        }
        assert_eq!(
            credentials.redact("id AKHUNTER secret hunter2"),
            "id *** secret ***"
        );
    }

    #[test]
    fn credentials_that_cannot_be_sent_are_missing() {
        for (key_id, secret) in [
            ("", "s"),
            ("k", ""),
            ("k", " "),
            ("k", "s\n"),
            ("k\r\nx: y", "s"),
        ] {
            let credentials = AlpacaCredentials {
                key_id: key_id.into(),
                secret: secret.into(),
            };
            assert_eq!(
                credentials.headers().unwrap_err().kind,
                ProviderErrorKind::CredentialsMissing,
                "{key_id:?} {secret:?}"
            );
        }
    }

    #[test]
    fn only_the_consolidated_tape_is_held_back() {
        let options = AlpacaOptions::new(None);
        assert_eq!(options.hold_back_us(), 16 * MINUTE_US);
        assert_eq!(
            AlpacaOptions {
                realtime: true,
                ..options.clone()
            }
            .hold_back_us(),
            0
        );
        assert_eq!(
            AlpacaOptions {
                feed: "iex".into(),
                ..options
            }
            .hold_back_us(),
            0
        );
    }
}
