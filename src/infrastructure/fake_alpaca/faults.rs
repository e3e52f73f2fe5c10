//! The ways in which an answer can go wrong. Says what should happen; doing it is the work of `damage` (what a page
//! says), `reply` (another answer), `service` (the head) and `connection` (how bytes travel).

use std::time::Duration;

use super::json::BarKey;
use super::reply::{HTML, JSON, TOO_MANY_REQUESTS, nginx_page};

/// Where an answer stalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StallPoint {
    /// Before the first byte.
    BeforeHead,
    /// After the head, before the body.
    AfterHead,
}

/// One thing that goes wrong.
///
/// Faults inside a page change one bar, the middle one, unless they say otherwise, and leave an empty page alone;
/// those about symbol keys leave the single-symbol route alone. Only what took effect is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This answer instead of a page.
    Status {
        /// HTTP status.
        code: u16,
        /// Body as sent.
        body: Vec<u8>,
        /// `Content-Type`.
        content_type: String,
        /// `Retry-After`, verbatim: seconds, a date, or nonsense.
        retry_after: Option<String>,
    },
    /// A redirect with this `Location`.
    Redirect {
        /// HTTP status, such as 302 or 308.
        code: u16,
        /// `Location`, verbatim.
        location: String,
    },
    /// 200 with an HTML page, as a captive portal answers.
    HtmlOk,
    /// 200 as JSON with no byte of body.
    EmptyBody,
    /// 200 as JSON with these bytes.
    BodyReplace(Vec<u8>),

    /// Half the promised body, then a TCP reset.
    ResetMidBody,
    /// Half the promised body, then an orderly close.
    CutBody,
    /// A chunked body without its last chunk.
    CutChunked,
    /// The connection is closed without an answer, as when a kept-alive connection is used too late.
    CloseUnanswered,
    /// Nothing for this long, then the answer.
    Stall {
        /// Where it stalls.
        point: StallPoint,
        /// For how long.
        lasting: Duration,
    },
    /// The body in pieces.
    SlowBody {
        /// Bytes of a piece.
        chunk_bytes: usize,
        /// Pause before each piece.
        pause: Duration,
    },
    /// These bytes instead of an HTTP answer, in pieces, then a close: broken heads, endless heads, slow heads.
    Raw {
        /// Everything that is sent.
        bytes: Vec<u8>,
        /// Bytes of a piece.
        chunk_bytes: usize,
        /// Pause before each piece.
        pause: Duration,
    },
    /// A gzip stream of zeros, made while it is sent.
    GzipBomb {
        /// Length once decoded.
        decoded_bytes: u64,
    },
    /// Zeros without compression, made while they are sent.
    Flood {
        /// Length, promised and sent.
        body_bytes: u64,
    },

    /// Valid HTTP whose gzip stream ends early.
    CutGzip,
    /// A gzip stream with a wrong checksum.
    BadGzipChecksum,
    /// A gzip stream with other bytes after it.
    GzipTrailingJunk,
    /// A plain body that claims to be gzip.
    NotGzip,
    /// Valid HTTP whose JSON ends in the middle.
    CutJson,

    /// The page's token is the one that the request came with.
    TokenLoop,
    /// The page's token is the one before the request's: A, B, A, B.
    TokenPingPong,
    /// The key `next_page_token` is left out.
    MissingToken,
    /// The next page begins with the last bar of this one.
    RepeatLastBar,
    /// No bars and a token never given before, from which the walk goes on without loss.
    EmptyPageWithToken,
    /// At most this many bars on the page, whatever `limit` asks for.
    ShortPages(usize),

    /// The bars of each symbol in descending order.
    ReversedRows,
    /// One more bar, an hour after the window.
    BarsOutsideWindow,
    /// One more symbol that nobody asked for, `UNASKED`, with one bar.
    UnaskedSymbol,
    /// The first symbol in lower case.
    LowerCaseSymbol,
    /// The last symbol twice, each time with one half of its bars.
    DuplicateSymbolKey,
    /// The middle bar a second time, with another volume.
    SameMinuteTwice,
    /// A close of `null`.
    NullPrice,
    /// A low of -1, which no rule about high and low catches.
    NegativePrice,
    /// A high of 1e308, which no rule about high and low catches.
    HugePrice,
    /// A low above the high.
    LowAboveHigh,
    /// A time of half past the minute.
    OffMinute,
    /// A time that is not UTF-8.
    InvalidUtf8,
    /// Any text in place of a value: `NaN`, `"1.5"`, `1e999`, `-0.0`, an offset, a year 9999.
    FieldText {
        /// Which value.
        key: BarKey,
        /// The bytes written for it.
        text: Vec<u8>,
    },
}

impl Fault {
    /// The vendor's 429: no `Retry-After`, no rate-limit headers (113 of 113, 2026-09-07).
    #[must_use]
    pub fn too_many_requests() -> Self {
        Self::json(429, TOO_MANY_REQUESTS)
    }

    /// A 429 with a `Retry-After`, verbatim.
    #[must_use]
    pub fn too_many_requests_retry_after(retry_after: &str) -> Self {
        Self::Status {
            code: 429,
            body: TOO_MANY_REQUESTS.as_bytes().to_vec(),
            content_type: JSON.to_owned(),
            retry_after: Some(retry_after.to_owned()),
        }
    }

    /// The vendor's 500.
    #[must_use]
    pub fn internal_server_error() -> Self {
        let body = "{\"code\":50010000,\"message\":\"internal server error occurred\"}\n";
        Self::json(500, body)
    }

    /// The gateway's 502, in HTML.
    #[must_use]
    pub fn bad_gateway() -> Self {
        Self::html(502)
    }

    /// The gateway's 503, in HTML.
    #[must_use]
    pub fn service_unavailable() -> Self {
        Self::html(503)
    }

    /// The gateway's 504, in HTML.
    #[must_use]
    pub fn gateway_timeout() -> Self {
        Self::html(504)
    }

    /// A JSON body under any status, such as a 400 for an expired token.
    #[must_use]
    pub fn json(code: u16, body: &str) -> Self {
        Self::Status {
            code,
            body: body.as_bytes().to_vec(),
            content_type: JSON.to_owned(),
            retry_after: None,
        }
    }

    fn html(code: u16) -> Self {
        Self::Status {
            code,
            body: nginx_page(code).into_bytes(),
            content_type: HTML.to_owned(),
            retry_after: None,
        }
    }

    /// Whether it spoils an error answer as well as a page.
    pub(super) fn spoils_any_answer(&self) -> bool {
        matches!(
            self,
            Self::ResetMidBody
                | Self::CutBody
                | Self::CutChunked
                | Self::Stall { .. }
                | Self::SlowBody { .. }
                | Self::CutGzip
                | Self::BadGzipChecksum
                | Self::GzipTrailingJunk
                | Self::NotGzip
                | Self::CutJson
        )
    }

    /// Name in the counters of [`super::FakeStats`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::HtmlOk => "html_ok",
            Self::EmptyBody => "empty_body",
            Self::BodyReplace(_) => "body_replace",
            Self::ResetMidBody => "reset_mid_body",
            Self::CutBody => "cut_body",
            Self::CutChunked => "cut_chunked",
            Self::CloseUnanswered => "close_unanswered",
            Self::Stall { .. } => "stall",
            Self::SlowBody { .. } => "slow_body",
            Self::Raw { .. } => "raw",
            Self::GzipBomb { .. } => "gzip_bomb",
            Self::Flood { .. } => "flood",
            Self::CutGzip => "cut_gzip",
            Self::BadGzipChecksum => "bad_gzip_checksum",
            Self::GzipTrailingJunk => "gzip_trailing_junk",
            Self::NotGzip => "not_gzip",
            Self::CutJson => "cut_json",
            Self::TokenLoop => "token_loop",
            Self::TokenPingPong => "token_ping_pong",
            Self::MissingToken => "missing_token",
            Self::RepeatLastBar => "repeat_last_bar",
            Self::EmptyPageWithToken => "empty_page_with_token",
            Self::ShortPages(_) => "short_pages",
            Self::ReversedRows => "reversed_rows",
            Self::BarsOutsideWindow => "bars_outside_window",
            Self::UnaskedSymbol => "unasked_symbol",
            Self::LowerCaseSymbol => "lower_case_symbol",
            Self::DuplicateSymbolKey => "duplicate_symbol_key",
            Self::SameMinuteTwice => "same_minute_twice",
            Self::NullPrice => "null_price",
            Self::NegativePrice => "negative_price",
            Self::HugePrice => "huge_price",
            Self::LowAboveHigh => "low_above_high",
            Self::OffMinute => "off_minute",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::FieldText { .. } => "field_text",
        }
    }
}
