//! One question, one answer: what every request of a provider goes through. Knows no vendor's address or format.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::redirect;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::domain::Event;
use crate::domain::ports::EventPublisher;

use super::attempt::{Decoded, Get};
use super::base_url::{BaseUrl, BaseUrlError};
use super::circuit_breaker::{BreakerPolicy, CircuitBreaker, Health, Permit, Refusal};
use super::delay::FullJitter;
use super::error::{HttpError, HttpErrorKind, shown_cause};
use super::hints::Pause;
use super::rate_limit::RequestLimit;
use super::retry::{self, RetryPolicy};

/// How often those look who wait for the outcome of a probe.
const PROBE_POLL: Duration = Duration::from_millis(100);

/// What a client is allowed to do and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// The address, see [`BaseUrl`].
    pub base_url: String,
    /// Longest time to a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest silence while an answer is awaited or read.
    pub read_timeout: Duration,
    /// Longest time for one attempt, from connecting to the last byte.
    pub total_timeout: Duration,
    /// Largest body, packed or unpacked.
    pub max_body_bytes: usize,
    /// The plan's requests a minute; `None` for no pace. Refusals by the server are honoured either way.
    pub requests_per_minute: Option<u32>,
    /// How failed requests are repeated.
    pub retry: RetryPolicy,
    /// When the host counts as dead.
    pub breaker: BreakerPolicy,
}

impl HttpOptions {
    /// The usual limits for `base_url`: 5 s to connect, 30 s of silence, 120 s in all, 64 MiB, no pace.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(120),
            max_body_bytes: 64 * 1024 * 1024,
            requests_per_minute: None,
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
        }
    }
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum HttpSetupError {
    /// The address is refused.
    #[error(transparent)]
    BaseUrl(#[from] BaseUrlError),
    /// The system gives no TLS or no resolver.
    #[error("http client cannot be set up: {cause}")]
    Client {
        /// The innermost reason.
        cause: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
}

/// A client for one host.
///
/// Redirects are never followed, certificates always verified, nobody but the host is asked. The proxies of the
/// environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`) are obeyed, except for loopback addresses, which are always
/// asked directly.
///
/// A dead host is left alone after [`BreakerPolicy::failures`] failed requests in a row (5). One request fails after at
/// most [`RetryPolicy::max_total_wait`] and one more attempt: a host that refuses connections within 7.5 s, one that
/// cannot be reached within 33 s, one that accepts and stays silent within 4 attempts of 30 s, about 125 s.
/// Requests at the same time fail at the same time. Asked one after another, a host that refuses is left alone after
/// less than 40 s, a silent one after about 10 minutes.
///
/// A host that has never answered is then given up. One that has is tried again by one probe after 30, 60 and 120 s,
/// while all other requests wait; when no probe is answered either, it is given up after 3.5 minutes and the probes'
/// own time.
pub struct HttpClient {
    pub(super) inner: reqwest::Client,
    pub(super) host: String,
    pub(super) max_body_bytes: usize,
    pub(super) limit: RequestLimit,
    pub(super) breaker: CircuitBreaker,
    base: BaseUrl,
    retry: RetryPolicy,
    pub(super) publisher: Arc<dyn EventPublisher>,
}

impl HttpClient {
    /// Makes a client; connects to nobody.
    ///
    /// # Errors
    /// [`HttpSetupError::BaseUrl`] when the address is refused, [`HttpSetupError::Client`] when the system has no
    /// certificates or the like.
    pub fn new(
        options: HttpOptions,
        publisher: Arc<dyn EventPublisher>,
    ) -> Result<Self, HttpSetupError> {
        let base = BaseUrl::parse(&options.base_url)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("marketpipe/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            // Repeating is the work of `retry` alone.
            .retry(reqwest::retry::never())
            .https_only(!base.is_plain())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .timeout(options.total_timeout)
            .tcp_nodelay(true)
            // `attempt` unpacks by itself.
            .no_gzip();
        if base.is_loopback() {
            builder = builder.no_proxy();
        }
        if base.is_plain() {
            // No certificate will be looked at: do not fail on a machine that has none.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            inner: builder.build().map_err(no_client)?,
            host: base.host(),
            max_body_bytes: options.max_body_bytes,
            limit: RequestLimit::new(
                options.requests_per_minute,
                options.retry.max_total_wait,
                Arc::clone(&publisher),
            ),
            breaker: CircuitBreaker::new(options.breaker),
            base,
            retry: options.retry,
            publisher,
        })
    }

    /// Host and port, for messages.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Asks for `path` with `query` and brings the last answer, whatever its status, with what `decode` made of the
    /// body of a 2xx: repeated when that may help, never for a 4xx other than 408, 425 and 429. A body that `decode`
    /// refuses counts as cut off on the way and is asked for again.
    ///
    /// Values of `query` are percent-encoded here. Mark secret `headers` as sensitive.
    ///
    /// # Errors
    /// [`HttpError`] when there is no whole answer within the limits, or the answer is a redirect.
    pub async fn get<T: Send, E: Send>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: HeaderMap,
        decode: &(dyn Fn(&[u8]) -> Result<T, E> + Sync),
    ) -> Result<Decoded<T, E>, HttpError> {
        let mut request = Get::new(self, self.base.join(path, query), headers, decode);
        let mut rounds = 0;
        loop {
            let permit = match self.admitted().await {
                Ok(permit) => permit,
                Err(error) => return Err(error.having_sent(request.sent())),
            };
            let is_probe = permit.is_probe();
            let policy = RetryPolicy {
                max_attempts: if is_probe { 1 } else { self.retry.max_attempts },
                ..self.retry
            };
            let mut delays = FullJitter::new(&policy);
            let result = retry::run(&policy, &mut delays, &*self.publisher, &mut request).await;
            let health = health_after(&result);
            if let Some(health) = health {
                self.tell(permit.settle(health, Instant::now()));
            }
            // A failed probe, or one whom others told that the host is dead, waits for the next probe.
            rounds += 1;
            let waits = rounds <= self.breaker.policy().trials
                && match &result {
                    Err(error) if error.kind == HttpErrorKind::CircuitOpen => true,
                    _ => is_probe && health == Some(Health::Failing),
                };
            if !waits {
                return result.map_err(|error| error.having_sent(request.sent()));
            }
        }
    }

    /// Waits for the permission to send, as long as there is hope.
    async fn admitted(&self) -> Result<Permit<'_>, HttpError> {
        loop {
            match self.breaker.admit(Instant::now()) {
                Ok(permit) => return Ok(permit),
                Err(refusal) if refusal.gives_up => return Err(self.circuit_open(refusal.wait)),
                Err(refusal) => sleep(refusal.wait.max(PROBE_POLL)).await,
            }
        }
    }

    fn tell(&self, opening: Option<Refusal>) {
        let Some(Refusal { wait, gives_up }) = opening else {
            return;
        };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.publisher.publish(&Event::CircuitOpened {
            host: self.host.clone(),
            retry_in_ms: (!gives_up).then_some(wait_ms),
        });
    }

    pub(super) fn circuit_open(&self, wait: Duration) -> HttpError {
        let failures = self.breaker.policy().failures;
        let rest = match wait.as_millis().div_ceil(1000) {
            0 => "is being tried by one request alone".into(),
            seconds => format!("is not asked for another {seconds} s"),
        };
        let context = format!(
            "{} failed {failures} requests in a row and {rest}",
            self.host
        );
        HttpError::new(HttpErrorKind::CircuitOpen, context)
    }

    pub(super) fn rate_limited(&self, pause: Pause) -> HttpError {
        let context = format!("rate limit of {} is used up {}", self.host, pause);
        HttpError::new(HttpErrorKind::RateLimited, context)
    }
}

fn no_client(source: reqwest::Error) -> HttpSetupError {
    let cause = shown_cause(&source);
    HttpSetupError::Client { cause, source }
}

/// What the end of a request says about the host; `None` when nothing was sent.
fn health_after<T, E>(result: &Result<Decoded<T, E>, HttpError>) -> Option<Health> {
    let is_failing = match result {
        Ok(decoded) => decoded.answer.status.is_server_error(),
        Err(error) => match error.kind {
            HttpErrorKind::Invalid | HttpErrorKind::RateLimited | HttpErrorKind::CircuitOpen => {
                return None;
            }
            kind => kind.speaks_against_host(),
        },
    };
    Some(if is_failing {
        Health::Failing
    } else {
        Health::Alive
    })
}
