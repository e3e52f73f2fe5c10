//! An HTTP answer before it is sent, and the texts the vendor and its gateway answer with. Decides nothing.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::faults::{Fault, StallPoint};
use super::json::write_message;

pub(super) const JSON: &str = "application/json";
pub(super) const HTML: &str = "text/html";
/// Recorded 2026-09-07, with the space after the colon.
pub(super) const TOO_MANY_REQUESTS: &str = "{\"message\": \"too many requests.\"}\n";
/// Bodies up to this size are sent plain.
pub(super) const GZIP_FROM_BYTES: usize = 256;

/// Status, headers and body.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: String,
    /// Beyond the ones that every answer has.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    /// What the body is, or claims to be.
    pub(super) coding: Coding,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            headers: Vec::new(),
            body: body.into(),
            coding: Coding::Plain,
        }
    }

    pub(super) fn message(status: u16, message: &str) -> Self {
        Self::new(status, JSON, write_message(message))
    }

    pub(super) fn nginx(status: u16) -> Self {
        Self::new(status, HTML, nginx_page(status))
    }

    /// The answer that a fault gives instead of the true one; `None` for faults that spoil the true one.
    pub(super) fn in_place_of_page(fault: &Fault) -> Option<Self> {
        let reply = match fault {
            Fault::Status {
                code,
                body,
                content_type,
                retry_after,
            } => {
                let mut reply = Self::new(*code, content_type, body.clone());
                reply
                    .headers
                    .extend(retry_after.clone().map(|text| ("Retry-After", text)));
                reply
            }
            Fault::Redirect { code, location } => {
                let mut reply = Self::nginx(*code);
                reply.headers.push(("Location", location.clone()));
                reply
            }
            Fault::HtmlOk => {
                let body = "<html><head><title>Sign in</title></head><body>Welcome to the network</body></html>\n";
                Self::new(200, HTML, body)
            }
            Fault::BodyReplace(body) => Self::new(200, JSON, body.clone()),
            Fault::EmptyBody | Fault::CloseUnanswered | Fault::Raw { .. } | Fault::Flood { .. } => {
                Self::new(200, JSON, Bytes::new())
            }
            Fault::GzipBomb { .. } => {
                let mut reply = Self::new(200, JSON, Bytes::new());
                reply.coding = Coding::Gzip;
                reply
            }
            _ => return None,
        };
        Some(reply)
    }

    /// Writes the status line and the headers, with the empty line at their end.
    pub(super) fn head(&self, framing: Framing, date: &str, keep_alive: KeepAlive) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nServer: nginx\r\nDate: {date}\r\nContent-Type: {}\r\n",
            self.status,
            reason(self.status),
            self.content_type
        );
        match framing {
            Framing::Length(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        if self.coding == Coding::Gzip {
            head.push_str("Content-Encoding: gzip\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(match keep_alive {
            KeepAlive::Yes => "Connection: keep-alive\r\n\r\n",
            KeepAlive::No => "Connection: close\r\n\r\n",
        });
        head.into_bytes()
    }
}

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Gzip,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// Whether the connection serves another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepAlive {
    Yes,
    No,
}

/// How an answer travels.
#[derive(Debug, Clone)]
pub(super) enum Delivery {
    Whole,
    Stalled {
        point: StallPoint,
        lasting: Duration,
    },
    Slow {
        chunk_bytes: usize,
        pause: Duration,
    },
    /// Half the body, then a reset.
    Reset,
    /// Half the body, then a close.
    Cut,
    /// Half the body as one chunk, then a close.
    CutChunked,
    /// No byte at all.
    Silence,
    Raw {
        bytes: Vec<u8>,
        chunk_bytes: usize,
        pause: Duration,
    },
    Bomb {
        decoded_bytes: u64,
    },
    Flood {
        body_bytes: u64,
    },
}

impl Delivery {
    pub(super) fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Stall { point, lasting } => Self::Stalled {
                point: *point,
                lasting: *lasting,
            },
            Fault::SlowBody { chunk_bytes, pause } => Self::Slow {
                chunk_bytes: *chunk_bytes,
                pause: *pause,
            },
            Fault::ResetMidBody => Self::Reset,
            Fault::CutBody => Self::Cut,
            Fault::CutChunked => Self::CutChunked,
            Fault::CloseUnanswered => Self::Silence,
            Fault::Raw {
                bytes,
                chunk_bytes,
                pause,
            } => Self::Raw {
                bytes: bytes.clone(),
                chunk_bytes: *chunk_bytes,
                pause: *pause,
            },
            Fault::GzipBomb { decoded_bytes } => Self::Bomb {
                decoded_bytes: *decoded_bytes,
            },
            Fault::Flood { body_bytes } => Self::Flood {
                body_bytes: *body_bytes,
            },
            _ => Self::Whole,
        }
    }

    /// Whether the client gets an HTTP status from the reply.
    pub(super) fn has_status(&self) -> bool {
        !matches!(self, Self::Silence | Self::Raw { .. })
    }
}

/// Compresses at level 1, as a busy gateway does.
pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder
        .write_all(plain)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec does not fail")
}

/// The page nginx makes for a status.
pub(super) fn nginx_page(status: u16) -> String {
    let title = match status {
        401 => "Authorization Required",
        other => reason(other),
    };
    format!(
        "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n\
         <center><h1>{status} {title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        408 => "Request Time-out",
        414 => "Request-URI Too Large",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => "Unknown",
    }
}
