//! What the headers of an answer say about waiting, read without trusting them. Decides nothing.
//!
//! Instants in headers are measured against the answer's own `Date`, never against the local clock, which may be
//! wrong; without `Date` they say nothing. Alpaca's 429 carries none of these headers (seen 2026-09, `/v2/stocks/bars`).

use std::fmt;
use std::time::Duration;

use chrono::NaiveDateTime;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::retry::LONGEST_WAIT;
use crate::domain::instant::format_utc;

/// The longest wait that is believed; callers clamp to what they can afford.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the server wants to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// From the answer on, at most a day.
    pub wait: Duration,
    /// The end by the server's clock, UTC microseconds, where its clock is known.
    pub until_us: Option<i64>,
}

impl Pause {
    /// Whether it is longer than any request waits.
    pub(crate) fn is_lasting(self) -> bool {
        self.wait > LONGEST_WAIT
    }
}

impl fmt::Display for Pause {
    /// An instant where the server's clock is known, else a time from now.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until_us {
            Some(until_us) => write!(f, "until {}", format_utc(until_us)),
            None => write!(f, "for another {} s", self.wait.as_secs().max(1)),
        }
    }
}

/// Everything that an answer says about its rate limit; each part may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerHints {
    /// `X-RateLimit-Limit`: requests a minute.
    pub(crate) limit: Option<u32>,
    /// `X-RateLimit-Remaining`: requests left now.
    pub(crate) remaining: Option<u32>,
    /// `X-RateLimit-Reset`: when the limit is whole again.
    pub(crate) reset: Option<Pause>,
    /// `Retry-After`, in seconds or as a date.
    pub(crate) retry_after: Option<Pause>,
}

impl ServerHints {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
        };
        let now_s = text(DATE.as_str()).and_then(parse_http_date);
        let number = |name: &str| {
            text(name)
                .and_then(parse_digits)
                .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
        };
        Self {
            limit: number("x-ratelimit-limit"),
            remaining: number("x-ratelimit-remaining"),
            reset: text("x-ratelimit-reset")
                .and_then(parse_digits)
                .and_then(|reset_s| {
                    pause_until(i64::try_from(reset_s).unwrap_or(i64::MAX), now_s?)
                }),
            retry_after: text(RETRY_AFTER.as_str()).and_then(|value| match parse_digits(value) {
                Some(wait_s) => Some(pause_for(wait_s, now_s)),
                None => pause_until(parse_http_date(value)?, now_s?),
            }),
        }
    }
}

fn pause_for(wait_s: u64, now_s: Option<i64>) -> Pause {
    let wait = Duration::from_secs(wait_s).min(MAX_PAUSE);
    let until_us = now_s.and_then(|now_s| {
        now_s
            .checked_add_unsigned(wait.as_secs())?
            .checked_mul(1_000_000)
    });
    Pause { wait, until_us }
}

/// The pause from `now_s` to `until_s`; `None` when that is past.
fn pause_until(until_s: i64, now_s: i64) -> Option<Pause> {
    let wait_s = u64::try_from(until_s.saturating_sub(now_s))
        .ok()
        .filter(|&wait_s| wait_s > 0)?;
    Some(pause_for(wait_s, Some(now_s)))
}

/// A number of digits only; more than fit are the largest number.
fn parse_digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// When the server answered by its own clock, UTC microseconds; `None` when it does not say.
pub fn answered_at_us(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    parse_http_date(date.trim())?.checked_mul(1_000_000)
}

/// An HTTP date in the one form that servers may send today, as seconds since 1970.
fn parse_http_date(text: &str) -> Option<i64> {
    let date = NaiveDateTime::parse_from_str(text, "%a, %d %b %Y %H:%M:%S GMT").ok()?;
    Some(date.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const DATE_TEXT: &str = "Thu, 03 Sep 2026 13:30:00 GMT";
    const DATE_S: i64 = 1_788_442_200;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn retry_after(value: &str) -> Option<Duration> {
        ServerHints::read(&headers(&[("date", DATE_TEXT), ("retry-after", value)]))
            .retry_after
            .map(|pause| pause.wait)
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("0"), Some(Duration::ZERO));
        assert_eq!(
            retry_after("Thu, 03 Sep 2026 13:30:40 GMT"),
            Some(Duration::from_secs(40))
        );
    }

    #[test]
    fn past_negative_and_garbage_values_are_no_hint() {
        for value in [
            "-1",
            "",
            " ",
            "1e12",
            "soon",
            "1.5",
            "0x10",
            "Thu, 03 Sep 2026 13:29:59 GMT",
            "Thu, 99 Sep 2026 13:30:40 GMT",
        ] {
            assert_eq!(retry_after(value), None, "{value:?}");
        }
    }

    #[test]
    fn huge_values_are_a_day() {
        for value in [
            "1000000000000",
            "99999999999999999999999999",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            assert_eq!(retry_after(value), Some(MAX_PAUSE), "{value}");
        }
    }

    #[test]
    fn the_reset_is_measured_by_the_servers_own_clock() {
        let reset = (DATE_S + 30).to_string();
        let hints = ServerHints::read(&headers(&[
            ("date", DATE_TEXT),
            ("X-Ratelimit-Limit", "200"),
            ("X-Ratelimit-Remaining", "0"),
            ("X-Ratelimit-Reset", &reset),
        ]));
        let pause = Pause {
            wait: Duration::from_secs(30),
            until_us: Some((DATE_S + 30) * 1_000_000),
        };
        assert_eq!(
            hints,
            ServerHints {
                limit: Some(200),
                remaining: Some(0),
                reset: Some(pause),
                retry_after: None
            }
        );
        let without_date = ServerHints::read(&headers(&[("X-Ratelimit-Reset", &reset)]));
        assert_eq!(without_date.reset, None);
        let past = ServerHints::read(&headers(&[("date", DATE_TEXT), ("X-Ratelimit-Reset", "1")]));
        assert_eq!(past.reset, None);
    }

    proptest! {
        #[test]
        fn no_header_makes_a_pause_longer_than_a_day(value in "[ -~]{0,40}|[0-9]{1,30}", date in "[ -~]{0,40}|[0-9]{1,30}") {
            let hints = ServerHints::read(&headers(&[
                ("date", &date), ("retry-after", &value), ("x-ratelimit-reset", &value), ("x-ratelimit-limit", &value),
            ]));
            prop_assert!(hints.retry_after.is_none_or(|pause| pause.wait <= MAX_PAUSE));
            prop_assert!(hints.reset.is_none_or(|pause| pause.wait <= MAX_PAUSE));
        }
    }
}
