//! An even pace of requests a little below a plan. Waits for nobody; says how long to wait.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// Tokio's clock for the pace, so that tests can stop it.
#[derive(Debug, Clone, Copy)]
struct TokioClock {
    origin: Instant,
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// Requests of one plan, evenly spread.
pub(super) struct Pacer {
    pub(super) per_minute: u32,
    burst: NonZeroU32,
    clock: TokioClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
}

impl Pacer {
    /// 95 % of the plan, with a twentieth of it at once: together never more than the plan in any minute.
    ///
    /// The crate's own burst would be a whole minute's requests, and nearly twice the plan in the first minute.
    pub(super) fn new(per_minute: u32) -> Self {
        let burst = (per_minute / 20).clamp(1, 100);
        let rate = u32::try_from(u64::from(per_minute) * 95 / 100).unwrap_or(u32::MAX);
        let [rate, burst] = [rate, burst].map(|n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN));
        let clock = TokioClock {
            origin: Instant::now(),
        };
        let limiter =
            RateLimiter::direct_with_clock(Quota::per_minute(rate).allow_burst(burst), clock);
        Self {
            per_minute,
            burst,
            clock,
            limiter,
        }
    }

    /// The same with nothing left: the first request waits its turn. Without this each change of plan would grant a
    /// burst.
    pub(super) fn drained(per_minute: u32) -> Self {
        let pacer = Self::new(per_minute);
        // A new pacer always has room for its burst.
        let _ = pacer.limiter.check_n(pacer.burst);
        pacer
    }

    /// Takes one request, or says how long to wait for it.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.limiter
            .check()
            .map_err(|not_yet| not_yet.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Requests let through within each of the first `minutes` minutes.
    async fn taken_by_minute(pacer: Pacer, minutes: usize) -> Vec<u32> {
        let began = Instant::now();
        let mut taken = vec![0; minutes];
        loop {
            match pacer.take() {
                Ok(()) => {
                    match taken.get_mut(usize::try_from(began.elapsed().as_secs() / 60).unwrap()) {
                        Some(minute) => *minute += 1,
                        None => return taken,
                    }
                }
                Err(wait) => sleep(wait).await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_has_more_requests_than_the_plan() {
        for plan in [2, 5, 19, 20, 30, 200, 1000, 10_000] {
            let taken = taken_by_minute(Pacer::new(plan), 3).await;
            assert!(
                taken.iter().all(|&taken| taken <= plan),
                "{plan}: {taken:?}"
            );
            assert!(
                taken[0] >= plan / 2,
                "{plan}: {taken:?} leaves too much unused"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_saves_up_no_more_than_the_burst() {
        let pacer = Pacer::new(200);
        pacer.take().unwrap();
        sleep(Duration::from_secs(600)).await;
        let taken = taken_by_minute(pacer, 1).await;
        assert!(taken[0] <= 200, "{taken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_drained_pacer_has_no_burst() {
        let pacer = Pacer::drained(200);
        assert!(pacer.take().is_err());
        let taken = taken_by_minute(pacer, 1).await;
        assert!((185..=190).contains(&taken[0]), "{taken:?}");
    }
}
