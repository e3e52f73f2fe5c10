//! Waits between attempts. The one place that names the crate behind them, which is used as a source of delays only:
//! its own loop has no limit of attempts and knows no budget.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use super::retry::RetryPolicy;

/// Where waits come from. A seam for tests, and the one place to change when the crate behind it does.
pub(super) trait DelaySource: Send {
    /// The wait before the next attempt.
    fn next_delay(&mut self) -> Duration;
}

/// Full jitter: each wait is uniform between zero and a bound that doubles.
pub(super) struct FullJitter {
    backoff: ExponentialBackoff,
    max_delay: Duration,
}

impl FullJitter {
    pub(super) fn new(policy: &RetryPolicy) -> Self {
        // The crate draws from `interval * (1 ± factor)`: half the bound and a factor of 1 make it `0..=bound`.
        let interval = policy.base_delay.min(policy.max_delay) / 2;
        let backoff = ExponentialBackoff {
            current_interval: interval,
            initial_interval: interval,
            randomization_factor: 1.0,
            multiplier: 2.0,
            max_interval: policy.max_delay / 2,
            // Attempts and budget are counted by the loop; the crate would stop after 15 minutes by its own clock.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self {
            backoff,
            max_delay: policy.max_delay,
        }
    }
}

impl DelaySource for FullJitter {
    fn next_delay(&mut self) -> Duration {
        self.backoff
            .next_backoff()
            .unwrap_or(self.max_delay)
            .min(self.max_delay)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn jitter_fills_the_whole_range_and_the_range_doubles() {
        let policy = RetryPolicy::default();
        for step in 0..8_u32 {
            let bound = (policy.base_delay * 2_u32.pow(step)).min(policy.max_delay);
            let drawn: Vec<Duration> = (0..400)
                .map(|_| {
                    let mut delays = FullJitter::new(&policy);
                    (0..step).map(|_| delays.next_delay()).count();
                    delays.next_delay()
                })
                .collect();
            // A crate-made delay can exceed the bound by its rounding of one nanosecond.
            assert!(
                drawn
                    .iter()
                    .all(|delay| *delay <= bound + Duration::from_nanos(1)),
                "step {step}"
            );
            assert!(
                drawn.iter().any(|delay| *delay < bound / 4),
                "step {step} never waits briefly"
            );
            assert!(
                drawn.iter().any(|delay| *delay > bound / 4 * 3),
                "step {step} never waits long"
            );
        }
    }

    proptest! {
        #[test]
        fn no_policy_makes_a_delay_above_its_cap(base_ms in 0_u64..100_000, cap_ms in 0_u64..100_000) {
            let policy = RetryPolicy {
                base_delay: Duration::from_millis(base_ms),
                max_delay: Duration::from_millis(cap_ms),
                ..RetryPolicy::default()
            };
            let mut delays = FullJitter::new(&policy);
            for _ in 0..20 {
                prop_assert!(delays.next_delay() <= policy.max_delay);
            }
        }
    }
}
