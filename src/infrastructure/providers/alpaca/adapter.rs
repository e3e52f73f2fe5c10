//! A question for bars as Alpaca wants it asked, and the page that answers it. Neither pages nor repeats.

use std::sync::Arc;

use chrono::{DateTime, Datelike};

use crate::domain::instant::{InstantRange, MINUTE_US, format_utc};
use crate::domain::ports::provider::BoxFuture;
use crate::domain::ports::{
    BarsPage, BarsRequest, EventPublisher, MarketDataProvider, PageToken, ProviderError,
    ProviderErrorKind, ProviderProfile,
};
use crate::infrastructure::http::{
    Decoded, HttpAnswer, HttpClient, HttpOptions, StatusCode, answered_at_us,
};

use super::error::{Asked, not_set_up};
use super::options::{AlpacaCredentials, AlpacaOptions, Tape};
use super::page::decode_page;

/// Every symbol list is sent to the multi-symbol endpoint: it costs one request whatever its length.
const BARS_PATH: &str = "/v2/stocks/bars";

/// The largest page that Alpaca gives; without asking for it pages have 1,000 rows.
const ROWS_PER_PAGE: usize = 10_000;

/// Longer lists make addresses that gateways refuse (status 414).
const MAX_SYMBOLS_PER_REQUEST: usize = 200;

/// Alpaca's historical stock bars.
pub struct AlpacaMarketDataAdapter {
    http: HttpClient,
    profile: ProviderProfile,
    credentials: Option<AlpacaCredentials>,
    tape: Tape,
}

impl AlpacaMarketDataAdapter {
    /// Makes an adapter with the usual limits; connects to nobody. Missing credentials fail the first question.
    ///
    /// # Errors
    /// [`ProviderErrorKind::BadRequest`] when address, feed or adjustment are not legal,
    /// [`ProviderErrorKind::CredentialsMissing`] when given credentials cannot be sent,
    /// [`ProviderErrorKind::Unreachable`] when the system has no TLS certificates.
    pub fn new(
        options: AlpacaOptions,
        publisher: Arc<dyn EventPublisher>,
    ) -> Result<Self, ProviderError> {
        let http = HttpOptions::new(options.base_url.clone());
        Self::with_http(options, http, publisher)
    }

    /// The same with other limits; address and rate limit are taken from `options`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_http(
        options: AlpacaOptions,
        http: HttpOptions,
        publisher: Arc<dyn EventPublisher>,
    ) -> Result<Self, ProviderError> {
        let tape = Tape::parse(&options.feed, &options.adjustment)?;
        if let Some(credentials) = &options.credentials {
            credentials.headers()?;
        }
        let profile = ProviderProfile {
            name: options.name.clone(),
            dataset: tape.dataset()?,
            is_real: true,
            max_symbols_per_request: MAX_SYMBOLS_PER_REQUEST,
            rows_per_page: ROWS_PER_PAGE,
            hold_back_us: options.hold_back_us(),
            requests_per_minute: options.requests_per_minute,
        };
        let http = HttpOptions {
            base_url: options.base_url,
            requests_per_minute: options.requests_per_minute,
            ..http
        };
        let http =
            HttpClient::new(http, publisher).map_err(|error| not_set_up(&options.name, error))?;
        Ok(Self {
            http,
            profile,
            credentials: options.credentials,
            tape,
        })
    }

    async fn fetch(
        &self,
        request: &BarsRequest,
        token: Option<&PageToken>,
    ) -> Result<BarsPage, ProviderError> {
        let name = &self.profile.name;
        let Some(credentials) = &self.credentials else {
            let context = format!("{name} needs credentials: key id and secret are not set");
            return Err(ProviderError::new(
                ProviderErrorKind::CredentialsMissing,
                context,
            ));
        };
        let question = Question::new(request).map_err(|why| {
            ProviderError::new(
                ProviderErrorKind::BadRequest,
                format!("{name} cannot be asked: {why}"),
            )
        })?;
        let rows = ROWS_PER_PAGE.to_string();
        let mut query = vec![
            ("symbols", question.symbols.as_str()),
            ("timeframe", "1Min"),
            ("start", &question.start),
            ("end", &question.end),
            ("limit", &rows),
            ("feed", self.tape.feed),
            ("adjustment", &self.tape.adjustment),
            ("sort", "asc"),
        ];
        if let Some(PageToken(token)) = token {
            query.push(("page_token", token));
        }
        let asked = Asked {
            provider: name,
            symbols: &request.symbols,
            credentials,
        };
        let decode = |body: &[u8]| decode_page(body, &request.symbols);
        let decoded = self
            .http
            .get(BARS_PATH, &query, credentials.headers()?, &decode)
            .await;
        let Decoded { answer, content } = decoded.map_err(|error| asked.unanswered(error))?;
        let page = match content {
            Some(content) if answer.status == StatusCode::OK => {
                content.map_err(|error| asked.malformed(&answer, &error))?
            }
            _ => return Err(asked.refused(&answer)),
        };
        Ok(BarsPage {
            bars: page.bars,
            strays: page.strays,
            next: page.next,
            wire_bytes: answer.wire_bytes,
            requests: u64::from(answer.attempts),
            source: self.source(&answer, &question),
            answered_at_us: answered_at_us(&answer.headers),
        })
    }

    /// Names a page for evidence.
    fn source(&self, answer: &HttpAnswer, question: &Question) -> String {
        let name = &self.profile.name;
        match &answer.request_id {
            Some(id) => format!("{name} request {id}"),
            None => format!("{name} bars {}..{}", question.start, question.end),
        }
    }
}

impl MarketDataProvider for AlpacaMarketDataAdapter {
    fn profile(&self) -> &ProviderProfile {
        &self.profile
    }

    fn fetch_page<'a>(
        &'a self,
        request: &'a BarsRequest,
        token: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<BarsPage, ProviderError>> {
        Box::pin(self.fetch(request, token))
    }
}

/// A request as it goes into a query.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    symbols: String,
    start: String,
    end: String,
}

impl Question {
    /// # Errors
    /// Why the request cannot be asked, in words.
    fn new(request: &BarsRequest) -> Result<Self, String> {
        let BarsRequest { symbols, range } = request;
        if symbols.is_empty() || symbols.len() > MAX_SYMBOLS_PER_REQUEST {
            return Err(format!(
                "{} symbols, expected 1 to {MAX_SYMBOLS_PER_REQUEST}",
                symbols.len()
            ));
        }
        if !symbols.is_sorted_by(|a, b| a < b) {
            return Err("symbols do not ascend or are there twice".into());
        }
        let last_us =
            find_last_minute(*range).ok_or_else(|| format!("no full minute begins in {range}"))?;
        for instant_us in [range.start_us, last_us] {
            // Other years have no RFC 3339 text.
            if !DateTime::from_timestamp_micros(instant_us)
                .is_some_and(|instant| (1..=9999).contains(&instant.year()))
            {
                return Err(format!("{range} leaves the years 1 to 9999"));
            }
        }
        let names: Vec<&str> = symbols.iter().map(|symbol| symbol.as_str()).collect();
        Ok(Self {
            symbols: names.join(","),
            start: format_utc(range.start_us),
            end: format_utc(last_us),
        })
    }
}

/// The last full minute that begins in `range`: Alpaca's `end` belongs to the window (seen 2026-09,
/// `/v2/stocks/bars`), so the range's own end would bring a bar of the next window.
fn find_last_minute(range: InstantRange) -> Option<i64> {
    let last_us = range
        .end_us
        .checked_sub(1)?
        .div_euclid(MINUTE_US)
        .checked_mul(MINUTE_US)?;
    (last_us >= range.start_us).then_some(last_us)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(symbols: &[&str], start_us: i64, end_us: i64) -> BarsRequest {
        let symbols = symbols
            .iter()
            .map(|symbol| symbol.parse().unwrap())
            .collect();
        BarsRequest {
            symbols,
            range: InstantRange { start_us, end_us },
        }
    }

    #[test]
    fn the_inclusive_end_is_the_last_minute_inside() {
        let question = Question::new(&request(&["AAPL", "BRK.B"], 0, 390 * MINUTE_US)).unwrap();
        let expected = Question {
            symbols: "AAPL,BRK.B".into(),
            start: "1970-01-01T00:00:00Z".into(),
            end: "1970-01-01T06:29:00Z".into(),
        };
        assert_eq!(question, expected);
        let one_more = Question::new(&request(&["A"], 0, 390 * MINUTE_US + 1)).unwrap();
        assert_eq!(one_more.end, "1970-01-01T06:30:00Z");
    }

    #[test]
    fn questions_that_cannot_be_asked_are_refused() {
        let many: Vec<String> = (0..201).map(|n| format!("A{n:03}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for refused in [
            request(&[], 0, MINUTE_US),
            request(&many, 0, MINUTE_US),
            request(&["B", "A"], 0, MINUTE_US),
            request(&["A", "A"], 0, MINUTE_US),
            request(&["A"], 0, 0),
            request(&["A"], 1, MINUTE_US),
            request(&["A"], i64::MIN, i64::MIN),
            request(&["A"], i64::MIN, i64::MAX),
        ] {
            assert!(Question::new(&refused).is_err(), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn the_last_minute_is_inside_and_the_next_one_is_not(start_us in -1_000_000_000_i64..1_000_000_000, length_us in 1_i64..1_000_000_000) {
            let range = InstantRange { start_us, end_us: start_us + length_us };
            if let Some(last_us) = find_last_minute(range) {
                prop_assert!(range.contains(last_us) && last_us % MINUTE_US == 0);
                prop_assert!(!range.contains(last_us + MINUTE_US));
            }
        }
    }
}
