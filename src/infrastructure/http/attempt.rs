//! One attempt on the wire: send, read within limits, unpack, judge. Repeats nothing and knows no status of a vendor.

use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use reqwest::{Response, StatusCode, Url};
use tokio::time::Instant;

use crate::domain::Event;
use crate::domain::event::RequestResult;

use super::client::HttpClient;
use super::error::{HttpError, HttpErrorKind};
use super::hints::{Pause, ServerHints};
use super::inflate::{InflateError, inflate};
use super::printable::printable;
use super::retry::{Budget, Outcome, Repeatable};

/// Of an error answer only so much is read; it is for people.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;

/// No body is allocated in advance beyond this.
const MAX_RESERVED_BYTES: u64 = 8 * 1024 * 1024;

const MAX_REQUEST_ID_CHARS: usize = 64;

/// Anything shorter is no secret, and would be found in every other word.
const MIN_SECRET_BYTES: usize = 4;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The last answer to a request, whatever its status.
#[derive(Debug)]
pub struct HttpAnswer {
    /// Status; 2xx, or one that repeating does not or did not cure.
    pub status: StatusCode,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// Body, unpacked; of an answer other than 2xx perhaps only the beginning.
    pub body: Vec<u8>,
    /// Bytes of the body as they came over the wire; those of failed attempts are not counted.
    pub wire_bytes: u64,
    /// Requests sent, the last one included.
    pub attempts: u32,
    /// The server's name for the request, escaped and shortened.
    pub request_id: Option<String>,
    /// How long the server wants to be left alone, for a status that says so.
    pub pause: Option<Pause>,
}

/// An answer and what was made of its body.
#[derive(Debug)]
pub struct Decoded<T, E> {
    /// The answer.
    pub answer: HttpAnswer,
    /// The content of a 2xx, or why its body has none; `None` for any other status.
    pub content: Option<Result<T, E>>,
}

/// A GET that can be attempted again.
pub(super) struct Get<'a, T, E> {
    client: &'a HttpClient,
    url: Url,
    headers: HeaderMap,
    decode: &'a (dyn Fn(&[u8]) -> Result<T, E> + Sync),
    sent: u32,
}

impl<'a, T: Send, E: Send> Get<'a, T, E> {
    pub(super) fn new(
        client: &'a HttpClient,
        url: Url,
        mut headers: HeaderMap,
        decode: &'a (dyn Fn(&[u8]) -> Result<T, E> + Sync),
    ) -> Self {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        Self {
            client,
            url,
            headers,
            decode,
            sent: 0,
        }
    }

    /// Requests sent so far.
    pub(super) const fn sent(&self) -> u32 {
        self.sent
    }

    async fn send(&mut self) -> Result<HttpAnswer, HttpError> {
        self.sent += 1;
        let broken = |error| HttpError::from_transport(&self.client.host, error);
        let request = self
            .client
            .inner
            .get(self.url.clone())
            .headers(self.headers.clone());
        let response = request.send().await.map_err(broken)?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            return Err(self.redirected(status, &headers));
        }
        let (body, wire_bytes) = if status.is_success() {
            let packed = self.read_body(response, self.client.max_body_bytes).await?;
            let wire_bytes = u64::try_from(packed.len()).unwrap_or(u64::MAX);
            (
                self.unpack(packed, &headers, self.client.max_body_bytes)?,
                wire_bytes,
            )
        } else {
            // The status alone decides; a damaged explanation must not hide it.
            let packed = self
                .read_body(response, MAX_ERROR_BODY_BYTES)
                .await
                .unwrap_or_default();
            let wire_bytes = u64::try_from(packed.len()).unwrap_or(u64::MAX);
            (
                self.unpack(packed, &headers, MAX_ERROR_BODY_BYTES)
                    .unwrap_or_default(),
                wire_bytes,
            )
        };
        let request_id = headers
            .get(REQUEST_ID)
            .map(|id| String::from_utf8_lossy(id.as_bytes()));
        let request_id = request_id
            .map(|id| printable(&self.hide(&id), MAX_REQUEST_ID_CHARS))
            .filter(|id| !id.is_empty());
        Ok(HttpAnswer {
            status,
            headers,
            body,
            wire_bytes,
            attempts: self.sent,
            request_id,
            pause: None,
        })
    }

    /// The text with the sensitive headers' values replaced by `***`: a server may repeat what it was sent, also in the
    /// names of hosts, which are in lower case.
    fn hide(&self, text: &str) -> String {
        let secrets = self.headers.values().filter(|value| value.is_sensitive());
        secrets
            .filter_map(|value| value.to_str().ok())
            .filter(|secret| secret.len() >= MIN_SECRET_BYTES)
            .flat_map(|secret| [secret.to_owned(), secret.to_ascii_lowercase()])
            .fold(text.to_owned(), |text, secret| text.replace(&secret, "***"))
    }

    /// Reads the body as it is on the wire, at most `max_bytes` of it.
    async fn read_body(
        &self,
        mut response: Response,
        max_bytes: usize,
    ) -> Result<Vec<u8>, HttpError> {
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |announced| announced > max_bytes) {
            return Err(self.too_large(max_bytes));
        }
        let mut body =
            Vec::with_capacity(usize::try_from(announced.min(MAX_RESERVED_BYTES)).unwrap_or(0));
        loop {
            let chunk = response.chunk().await;
            let Some(chunk) =
                chunk.map_err(|error| HttpError::from_transport(&self.client.host, error))?
            else {
                return Ok(body);
            };
            if chunk.len() > max_bytes - body.len() {
                return Err(self.too_large(max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
    }

    fn unpack(
        &self,
        packed: Vec<u8>,
        headers: &HeaderMap,
        max_bytes: usize,
    ) -> Result<Vec<u8>, HttpError> {
        let host = &self.client.host;
        let encoding = headers
            .get(CONTENT_ENCODING)
            .map_or(&b"identity"[..], HeaderValue::as_bytes)
            .trim_ascii();
        if encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity") {
            return Ok(packed);
        }
        if !encoding.eq_ignore_ascii_case(b"gzip") && !encoding.eq_ignore_ascii_case(b"x-gzip") {
            let encoding = printable(&self.hide(&String::from_utf8_lossy(encoding)), 40);
            let context = format!(
                "broken answer from {host}: content encoding `{encoding}` was not asked for"
            );
            return Err(HttpError::new(HttpErrorKind::BadEncoding, context));
        }
        inflate(&packed, max_bytes).map_err(|error| match error {
            InflateError::TooLarge { .. } => self.too_large(max_bytes).caused_by(error),
            _ => HttpError::new(
                HttpErrorKind::BadEncoding,
                format!("broken answer from {host}: {error}"),
            )
            .caused_by(error),
        })
    }

    fn too_large(&self, max_bytes: usize) -> HttpError {
        let context = format!(
            "answer of {} is larger than {max_bytes} bytes",
            self.client.host
        );
        HttpError::new(HttpErrorKind::TooLarge, context)
    }

    /// Names the host that the answer points to, and nothing else of the address.
    fn redirected(&self, status: StatusCode, headers: &HeaderMap) -> HttpError {
        let location = headers
            .get(LOCATION)
            .and_then(|location| location.to_str().ok());
        let target = match location.map(|location| self.url.join(location)) {
            Some(Ok(target)) => {
                let port = target
                    .port()
                    .map(|port| format!(":{port}"))
                    .unwrap_or_default();
                let place = target
                    .host_str()
                    .map_or_else(|| "no host".into(), |host| format!("{host}{port}"));
                format!(
                    "{} ({})",
                    printable(&self.hide(&place), 100),
                    self.hide(target.scheme())
                )
            }
            Some(Err(_)) => "an address that cannot be read".into(),
            None => "nowhere".into(),
        };
        let context = format!(
            "{} redirects to {target} with status {}, which is not followed",
            self.client.host,
            status.as_u16()
        );
        HttpError::new(HttpErrorKind::Redirected, context)
    }
}

impl<T: Send, E: Send> Repeatable for Get<'_, T, E> {
    type Answer = Decoded<T, E>;

    async fn attempt(&mut self, _number: u32, budget: &mut Budget) -> Outcome<Decoded<T, E>> {
        if let Err(pause) = self.client.limit.acquire(budget).await {
            return Outcome::Final(Err(self.client.rate_limited(pause)));
        }
        let began = Instant::now();
        let result = self.send().await;
        let took = began.elapsed();
        match result {
            Ok(answer) => {
                let outcome = self.judge(answer, took, budget);
                if let Outcome::Final(Ok(decoded))
                | Outcome::Retryable {
                    result: Ok(decoded),
                    ..
                } = &outcome
                {
                    self.tell(decoded.result(), took);
                }
                outcome
            }
            Err(error) => {
                self.tell(error.kind.result(), took);
                tracing::debug!(attempt = self.sent, ?took, error = %error, "request failed");
                if !error.kind.is_retryable() {
                    return Outcome::Final(Err(error));
                }
                budget.spend(took);
                let reason = error.context.clone();
                Outcome::Retryable {
                    result: Err(error),
                    reason,
                    pause: None,
                }
            }
        }
    }

    fn find_stop(&self) -> Option<HttpError> {
        self.client
            .breaker
            .find_wait(Instant::now())
            .map(|wait| self.client.circuit_open(wait))
    }
}

impl<T, E> Decoded<T, E> {
    fn result(&self) -> RequestResult {
        match &self.content {
            Some(Ok(_)) => RequestResult::Ok,
            Some(Err(_)) => RequestResult::Broken,
            None if self.answer.status == StatusCode::TOO_MANY_REQUESTS => {
                RequestResult::RateLimited
            }
            None if self.answer.status.is_server_error() => RequestResult::ServerError,
            None => RequestResult::Refused,
        }
    }
}

impl<T: Send, E: Send> Get<'_, T, E> {
    fn tell(&self, result: RequestResult, took: Duration) {
        self.client.publisher.publish(&Event::RequestAnswered {
            host: self.client.host.clone(),
            result,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        });
    }

    fn judge(
        &self,
        mut answer: HttpAnswer,
        took: Duration,
        budget: &mut Budget,
    ) -> Outcome<Decoded<T, E>> {
        let status = answer.status;
        tracing::debug!(
            attempt = answer.attempts,
            ?took,
            status = status.as_u16(),
            wire_bytes = answer.wire_bytes,
            "answered"
        );
        let hints = ServerHints::read(&answer.headers);
        let refusal_pause = self
            .client
            .limit
            .observe(status == StatusCode::TOO_MANY_REQUESTS, &hints);
        if status.is_success() {
            let content = (self.decode)(&answer.body);
            let is_sound = content.is_ok();
            let result = Ok(Decoded {
                answer,
                content: Some(content),
            });
            if is_sound {
                return Outcome::Final(result);
            }
            budget.spend(took);
            return Outcome::Retryable {
                result,
                reason: "the answer is cut off or no answer at all".to_owned(),
                pause: None,
            };
        }
        let refused = |answer| {
            Ok(Decoded {
                answer,
                content: None,
            })
        };
        if !is_retryable(status) {
            return Outcome::Final(refused(answer));
        }
        // A server that is merely unwell speaks for this request only, not for the limit of all.
        let pause = refusal_pause.or(hints.retry_after);
        answer.pause = pause;
        Outcome::Retryable {
            result: refused(answer),
            reason: format!("status {}", status.as_u16()),
            pause,
        }
    }
}

/// Whether the same request may be answered otherwise soon.
const fn is_retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}
