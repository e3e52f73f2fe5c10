//! What changes while a fake server runs. Reads the system's clock when no moment is fixed; sees no request.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::cache::PageCache;
use super::config::FakeConfig;
use super::rate::{Bucket, Verdict};
use super::reply::{JSON, Reply, TOO_MANY_REQUESTS};
use super::script::RunningScript;
use super::stats::FakeStats;
use super::tape::Tape;

/// Headers of the rate limit; empty when there is none.
pub(super) type RateHeaders = Vec<(&'static str, String)>;

/// Behind the server's lock.
pub(super) struct State {
    pub(super) tape: Arc<Tape>,
    /// Counts changes of the tape and of the moment: a page made before one must not enter the cache after it.
    pub(super) generation: u64,
    pub(super) script: RunningScript,
    pub(super) cache: PageCache,
    pub(super) stats: FakeStats,
    fixed_now: Option<DateTime<Utc>>,
    bucket: Option<Bucket>,
}

impl State {
    pub(super) fn new(tape: Tape, config: &FakeConfig) -> Self {
        let bucket = config
            .rate_limit
            .clone()
            .map(|limit| Bucket::new(limit, Duration::ZERO));
        Self {
            tape: Arc::new(tape),
            generation: 0,
            script: RunningScript::default(),
            cache: PageCache::new(config.cache_bytes),
            stats: FakeStats::default(),
            fixed_now: config.fixed_now,
            bucket,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the server stands for another machine, which has a clock of its own"
    )]
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.fixed_now.unwrap_or_else(Utc::now)
    }

    pub(super) fn set_now(&mut self, now: DateTime<Utc>) {
        self.fixed_now = Some(now);
        self.forget_pages();
    }

    pub(super) fn change_tape(&mut self, change: impl FnOnce(&mut Tape)) {
        change(Arc::make_mut(&mut self.tape));
        self.forget_pages();
    }

    /// Takes a token of the rate limit at `elapsed`; the headers belong on a success only.
    ///
    /// # Errors
    /// The 429 to send, bare unless the limit says otherwise.
    pub(super) fn take_rate_token(&mut self, elapsed: Duration) -> Result<RateHeaders, Reply> {
        let now = self.now();
        let Some(bucket) = &mut self.bucket else {
            return Ok(RateHeaders::new());
        };
        match bucket.take(elapsed) {
            Verdict::Passed {
                limit,
                remaining,
                full_in,
            } => {
                let reset = TimeDelta::from_std(full_in)
                    .ok()
                    .and_then(|full_in| now.checked_add_signed(full_in))
                    .unwrap_or(now);
                Ok(vec![
                    ("X-Ratelimit-Limit", limit.to_string()),
                    ("X-Ratelimit-Remaining", remaining.to_string()),
                    ("X-Ratelimit-Reset", reset.timestamp().to_string()),
                ])
            }
            Verdict::Refused => {
                let mut reply = Reply::new(429, JSON, TOO_MANY_REQUESTS);
                reply.headers.extend(
                    bucket
                        .retry_after()
                        .map(|text| ("Retry-After", text.to_owned())),
                );
                Err(reply)
            }
        }
    }

    fn forget_pages(&mut self) {
        self.generation += 1;
        self.cache.clear();
    }
}
