//! Stops asking a host that is dead. Reads no clock: every method is told the time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a host counts as dead and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Finished requests that must fail in a row; 0 counts as 1.
    pub failures: u32,
    /// How long nothing is sent then.
    pub open_for: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(30),
        }
    }
}

/// Counts failed requests in a row; when there are too many, lets nothing through for a while and then one probe.
///
/// A request counts once, when it is finished, that is after its repetitions. Only failures to get an answer and
/// statuses from 500 on count; any other answer shows that the host lives.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    policy: BreakerPolicy,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One probe is on its way.
    HalfOpen,
}

/// How a request ended, as far as the host's health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Alive,
    Failing,
}

/// The permission to send one request; given back by [`Permit::settle`], or unsettled by dropping it.
#[derive(Debug)]
#[must_use]
pub(super) struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    /// The time at which a probe was let through.
    probe_since: Option<Instant>,
    is_settled: bool,
}

impl CircuitBreaker {
    pub(super) const fn new(policy: BreakerPolicy) -> Self {
        Self {
            policy,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    pub(super) const fn policy(&self) -> BreakerPolicy {
        self.policy
    }

    /// Asks to send a request.
    ///
    /// # Errors
    /// How long to wait while the host is taken for dead; zero while a probe is on its way.
    pub(super) fn admit(&self, now: Instant) -> Result<Permit<'_>, Duration> {
        let mut state = self.state();
        let probe_since = match *state {
            State::Closed { .. } => None,
            State::Open { until } if now < until => return Err(until - now),
            State::HalfOpen => return Err(Duration::ZERO),
            State::Open { .. } => {
                *state = State::HalfOpen;
                Some(now)
            }
        };
        Ok(Permit {
            breaker: self,
            probe_since,
            is_settled: false,
        })
    }

    /// How long the host is taken for dead still; `None` when it is not.
    pub(super) fn find_wait(&self, now: Instant) -> Option<Duration> {
        match *self.state() {
            State::Open { until } if now < until => Some(until - now),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Tells how the request ended. Returns for how long the host is left alone if this made it so.
    pub(super) fn settle(mut self, health: Health, now: Instant) -> Option<Duration> {
        self.is_settled = true;
        let policy = self.breaker.policy;
        let mut state = self.breaker.state();
        let opens = match (health, *state) {
            (Health::Alive, _) => {
                *state = State::Closed { failures: 0 };
                false
            }
            (Health::Failing, State::Closed { failures }) => {
                let failures = failures.saturating_add(1);
                *state = State::Closed { failures };
                failures >= policy.failures
            }
            (Health::Failing, State::HalfOpen) => self.probe_since.is_some(),
            // Late news of a request that began before.
            (Health::Failing, State::Open { .. }) => false,
        };
        if opens {
            *state = State::Open {
                until: now + policy.open_for,
            };
        }
        opens.then_some(policy.open_for)
    }
}

impl Drop for Permit<'_> {
    /// A probe that was given up proved nothing: the next request is the probe.
    fn drop(&mut self) {
        if let (false, Some(since)) = (self.is_settled, self.probe_since) {
            let mut state = self.breaker.state();
            if matches!(*state, State::HalfOpen) {
                *state = State::Open { until: since };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failures: 3,
        open_for: Duration::from_secs(30),
    };

    fn fail(breaker: &CircuitBreaker, now: Instant) -> Option<Duration> {
        breaker.admit(now).unwrap().settle(Health::Failing, now)
    }

    fn opened(now: Instant) -> CircuitBreaker {
        let breaker = CircuitBreaker::new(POLICY);
        assert_eq!(
            (
                fail(&breaker, now),
                fail(&breaker, now),
                fail(&breaker, now)
            ),
            (None, None, Some(POLICY.open_for))
        );
        breaker
    }

    #[test]
    fn it_opens_after_the_last_allowed_failure_and_not_before() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.admit(now).unwrap_err(), POLICY.open_for);
        assert_eq!(
            breaker.find_wait(now + Duration::from_secs(10)),
            Some(Duration::from_secs(20))
        );
    }

    #[test]
    fn one_success_forgets_all_failures() {
        let now = Instant::now();
        let breaker = CircuitBreaker::new(POLICY);
        for _ in 0..10 {
            assert_eq!((fail(&breaker, now), fail(&breaker, now)), (None, None));
            assert_eq!(breaker.admit(now).unwrap().settle(Health::Alive, now), None);
        }
    }

    #[test]
    fn one_probe_decides_for_all() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + POLICY.open_for;
        let probe = breaker.admit(later).unwrap();
        assert_eq!(
            breaker.admit(later).unwrap_err(),
            Duration::ZERO,
            "only one"
        );
        assert_eq!(probe.settle(Health::Failing, later), Some(POLICY.open_for));
        let much_later = later + POLICY.open_for;
        assert_eq!(
            breaker
                .admit(much_later)
                .unwrap()
                .settle(Health::Alive, much_later),
            None
        );
        assert!(
            breaker.admit(much_later).is_ok() && breaker.admit(much_later).is_ok(),
            "closed again"
        );
    }

    #[test]
    fn a_probe_that_was_given_up_is_replaced_by_the_next_request() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + POLICY.open_for;
        drop(breaker.admit(later).unwrap());
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn late_failures_do_not_prolong_the_wait() {
        let now = Instant::now();
        let breaker = CircuitBreaker::new(POLICY);
        let late = breaker.admit(now).unwrap();
        for _ in 0..3 {
            let _ = fail(&breaker, now);
        }
        assert_eq!(
            late.settle(Health::Failing, now + Duration::from_secs(29)),
            None
        );
        assert!(breaker.admit(now + POLICY.open_for).is_ok());
    }

    proptest! {
        /// Requests one after another against a model that only counts.
        #[test]
        fn it_behaves_like_a_counter(steps in prop::collection::vec((any::<bool>(), 0_u64..40), 1..200)) {
            let mut now = Instant::now();
            let breaker = CircuitBreaker::new(POLICY);
            let (mut failures, mut dead_until) = (0, None::<Instant>);
            for (is_failure, pause_s) in steps {
                now += Duration::from_secs(pause_s);
                let is_dead = dead_until.is_some_and(|until| now < until);
                let permit = breaker.admit(now);
                prop_assert_eq!(permit.is_err(), is_dead);
                let Ok(permit) = permit else { continue };
                let health = if is_failure { Health::Failing } else { Health::Alive };
                failures = if is_failure { failures + 1 } else { 0 };
                let opens = is_failure && (dead_until.is_some() || failures >= POLICY.failures);
                prop_assert_eq!(permit.settle(health, now).is_some(), opens);
                dead_until = if opens { Some(now + POLICY.open_for) } else { None };
                if opens {
                    failures = 0;
                }
            }
        }
    }
}
