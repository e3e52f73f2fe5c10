//! The token bucket of the fake server. Counts requests against time given to it; knows nothing of HTTP.

use std::time::Duration;

use super::config::RateLimit;

/// What the bucket says to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Passed, with this many tokens left and this long until the bucket is full again.
    Passed {
        limit: u32,
        remaining: u32,
        full_in: Duration,
    },
    /// No token was left.
    Refused,
}

/// A bucket that starts full.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: RateLimit,
    tokens: u32,
    credited_until: Duration,
}

impl Bucket {
    pub(super) fn new(limit: RateLimit, now: Duration) -> Self {
        let tokens = limit.capacity;
        Self {
            limit,
            tokens,
            credited_until: now,
        }
    }

    pub(super) fn retry_after(&self) -> Option<&str> {
        self.limit.retry_after.as_deref()
    }

    /// Takes one token at `now`, a monotonic reading.
    pub(super) fn take(&mut self, now: Duration) -> Verdict {
        let elapsed = now.saturating_sub(self.credited_until);
        let earned = elapsed
            .as_nanos()
            .checked_div(self.limit.refill_every.as_nanos())
            .and_then(|tokens| u32::try_from(tokens).ok())
            .unwrap_or(u32::MAX);
        if earned >= self.limit.capacity - self.tokens {
            self.tokens = self.limit.capacity;
            self.credited_until = now;
        } else {
            self.tokens += earned;
            self.credited_until += self.limit.refill_every * earned;
        }
        if self.tokens == 0 {
            return Verdict::Refused;
        }
        self.tokens -= 1;
        Verdict::Passed {
            limit: self.limit.capacity,
            remaining: self.tokens,
            full_in: self
                .limit
                .refill_every
                .saturating_mul(self.limit.capacity - self.tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drained_bucket_passes_one_request_per_refill() {
        let mut bucket = Bucket::new(RateLimit::per_minute(200), Duration::ZERO);
        let passed = |verdict| matches!(verdict, Verdict::Passed { .. });
        let burst = (0..320)
            .filter(|_| passed(bucket.take(Duration::ZERO)))
            .count();
        assert_eq!(burst, 200);
        // 42 requests spread over 10.2 s, as in the measurement that gave 33.
        let later = (1..=42_u32)
            .filter(|step| passed(bucket.take(Duration::from_secs_f64(10.2) * *step / 42)))
            .count();
        assert_eq!(later, 34);
    }
}
