//! Who may be asked: the checked address of a provider. Knows no request.

use std::net::IpAddr;

use reqwest::Url;
use thiserror::Error;

use super::printable::printable;

/// The most characters of an address that are shown.
const MAX_SHOWN_CHARS: usize = 80;

/// The address of a provider: scheme, host and port, nothing else.
///
/// `https` always; plain `http` only to this machine, where there is nobody to listen on the way. Text in front of
/// an `@` is refused because it would be sent, logged and shown as if it were no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    url: Url,
    is_loopback: bool,
}

/// Why a text is not a [`BaseUrl`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BaseUrlError {
    /// Not an address, or one without a host.
    #[error("base url `{shown}` is not an address such as https://host or http://127.0.0.1:8080")]
    NotAnAddress {
        /// The text, escaped; `***` when it may hold a password.
        shown: String,
    },
    /// Another scheme than `https` and `http`.
    #[error("base url scheme `{scheme}` is not https")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// A user name or a password inside.
    #[error(
        "base url of host `{host}` holds a user name or a password, credentials belong into the environment or a file"
    )]
    Userinfo {
        /// The host.
        host: String,
    },
    /// Plain http to another machine.
    #[error(
        "base url of host `{host}` is plain http, which is accepted for loopback addresses only"
    )]
    PlainHttp {
        /// The host.
        host: String,
    },
    /// A path, a query or a fragment behind the host.
    #[error(
        "base url of host `{host}` ends in `{extra}`, expected nothing behind the host and port"
    )]
    Extra {
        /// The host.
        host: String,
        /// What is too much, escaped.
        extra: String,
    },
}

impl BaseUrl {
    /// Reads and checks an address.
    ///
    /// # Errors
    /// [`BaseUrlError`] names what is wrong; its text never holds user name or password.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let not_an_address = || BaseUrlError::NotAnAddress {
            shown: if text.contains('@') {
                "***".into()
            } else {
                printable(text, MAX_SHOWN_CHARS)
            },
        };
        let url = Url::parse(text.trim()).map_err(|_| not_an_address())?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(BaseUrlError::Scheme {
                scheme: printable(url.scheme(), MAX_SHOWN_CHARS),
            });
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(not_an_address)?
            .to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Userinfo { host });
        }
        let is_loopback = is_loopback(&host);
        if url.scheme() == "http" && !is_loopback {
            return Err(BaseUrlError::PlainHttp { host });
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            // A query is named, not shown: it may hold a key.
            let extra = match (url.path(), url.query()) {
                ("/", Some(_)) => "?…".into(),
                ("/", None) => "#…".into(),
                (path, _) => printable(path, MAX_SHOWN_CHARS),
            };
            return Err(BaseUrlError::Extra { host, extra });
        }
        Ok(Self { url, is_loopback })
    }

    /// Host and, unless it is the scheme's own, port; for messages.
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether the address is this machine.
    pub const fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// Whether nothing is encrypted on the way; only ever true for this machine.
    pub(super) fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// The address of `path` with `query`; every value is percent-encoded.
    pub(super) fn join(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_hosts_and_plain_loopback_are_accepted() {
        for (text, host, is_loopback) in [
            ("https://data.alpaca.markets", "data.alpaca.markets", false),
            ("https://data.alpaca.markets/", "data.alpaca.markets", false),
            ("https://example.com:8443", "example.com:8443", false),
            ("http://127.0.0.1:9", "127.0.0.1:9", true),
            ("http://127.3.2.1", "127.3.2.1", true),
            ("http://[::1]:80", "[::1]", true),
            ("http://localhost:1234", "localhost:1234", true),
        ] {
            let base = BaseUrl::parse(text).unwrap();
            assert_eq!(
                (base.host().as_str(), base.is_loopback()),
                (host, is_loopback),
                "{text}"
            );
        }
    }

    #[test]
    fn plain_http_to_another_machine_is_refused() {
        for text in [
            "http://data.alpaca.markets",
            "http://169.254.169.254",
            "http://localhost.evil.com",
            "http://0.0.0.0:1",
        ] {
            assert!(
                matches!(BaseUrl::parse(text), Err(BaseUrlError::PlainHttp { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn other_schemes_paths_and_rubbish_are_refused() {
        for text in ["ftp://example.com", "file:///etc/passwd", "data:x"] {
            assert!(
                matches!(BaseUrl::parse(text), Err(BaseUrlError::Scheme { .. })),
                "{text}"
            );
        }
        for text in [
            "https://example.com/v2",
            "https://example.com/?a=b",
            "https://example.com/#x",
        ] {
            assert!(
                matches!(BaseUrl::parse(text), Err(BaseUrlError::Extra { .. })),
                "{text}"
            );
        }
        for text in ["", "example.com", "https://", "https//example.com"] {
            assert!(
                matches!(BaseUrl::parse(text), Err(BaseUrlError::NotAnAddress { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn userinfo_is_refused_and_never_repeated() {
        for text in [
            "https://me:hunter2@example.com",
            "https://hunter2@example.com/x",
            "https://me:hunter2@",
            "https//me:hunter2@x",
        ] {
            let message = BaseUrl::parse(text).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn query_values_are_percent_encoded() {
        let base = BaseUrl::parse("http://127.0.0.1:9").unwrap();
        let url = base.join(
            "/v2/stocks/bars",
            &[
                ("symbols", "AAPL,BTC/USD"),
                ("page_token", "TVNG+/==&limit=1"),
            ],
        );
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:9/v2/stocks/bars?symbols=AAPL%2CBTC%2FUSD&page_token=TVNG%2B%2F%3D%3D%26limit%3D1"
        );
    }
}
