//! Page tokens: the place in a walk over symbols and minutes, as opaque text. Knows no bars.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};

use super::config::TokenStyle;

/// Where a walk goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resume {
    pub(super) symbol: String,
    /// The first instant that belongs to the rest, Unix nanoseconds.
    pub(super) from_ns: i64,
}

/// The token from which a walk goes on with the first bar of `symbol` at or after `from_ns`.
///
/// The older style names an instant that is already served, here the nanosecond before.
pub(super) fn resume_at(style: TokenStyle, symbol: &str, from_ns: i64) -> String {
    match style {
        TokenStyle::NextBar => encode(&format!("{symbol}|M|{from_ns}")),
        TokenStyle::LastBar => resume_after(symbol, from_ns.saturating_sub(1)),
    }
}

/// The token of the older style: the walk goes on after the bar of `symbol` at `last_ns`.
pub(super) fn resume_after(symbol: &str, last_ns: i64) -> String {
    let time = DateTime::from_timestamp_nanos(last_ns).to_rfc3339_opts(SecondsFormat::Nanos, true);
    encode(&format!("{symbol}|M|{time}"))
}

/// Reads a token of either style.
pub(super) fn parse_token(text: &str) -> Option<Resume> {
    let decoded = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let mut parts = decoded.split('|');
    let (symbol, kind, place) = (parts.next()?, parts.next()?, parts.next()?);
    if kind != "M" || symbol.is_empty() || parts.next().is_some() {
        return None;
    }
    let from_ns = match place.parse() {
        Ok(from_ns) => from_ns,
        Err(_) => DateTime::parse_from_rfc3339(place)
            .ok()?
            .timestamp_nanos_opt()?
            .saturating_add(1),
    };
    Some(Resume {
        symbol: symbol.to_owned(),
        from_ns,
    })
}

fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_token_is_read_and_written() {
        // From the recorded walk of 2026-09-07: page 2 begins with MSFT at 15:20Z.
        let recorded = "TVNGVHxNfDE3ODg0NDg4MDAwMDAwMDAwMDA=";
        let resume = parse_token(recorded).unwrap();
        assert_eq!(resume.symbol, "MSFT");
        assert_eq!(
            DateTime::from_timestamp_nanos(resume.from_ns).to_rfc3339(),
            "2026-09-03T15:20:00+00:00"
        );
        assert_eq!(
            resume_at(TokenStyle::NextBar, "MSFT", resume.from_ns),
            recorded
        );
    }

    #[test]
    fn a_token_of_the_older_style_resumes_after_its_bar() {
        // AAPL|M|2022-01-03T09:00:00.000000000Z, from the API description.
        let recorded = "QUFQTHxNfDIwMjItMDEtMDNUMDk6MDA6MDAuMDAwMDAwMDAwWg==";
        let resume = parse_token(recorded).unwrap();
        assert_eq!(resume_after("AAPL", resume.from_ns - 1), recorded);
    }

    #[test]
    fn other_texts_are_no_tokens() {
        for text in ["", "nonsense", "QUFQTA==", "fE18MQ==", "QUFQTHxEfDE="] {
            assert_eq!(parse_token(text), None, "{text}");
        }
    }
}
