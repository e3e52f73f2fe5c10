//! Stops asking a host that is dead. Reads no clock: every method is told the time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a host counts as dead and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Finished requests that must fail in a row; 0 counts as 1.
    pub failures: u32,
    /// How long nothing is sent then; twice as long each further time in a row.
    pub open_for: Duration,
    /// How often in a row a host that has answered before is tried again until it is given up. One that has never
    /// answered is given up at once: most likely its address is wrong or the network is down.
    pub trials: u32,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(30),
            trials: 3,
        }
    }
}

/// The longest wait is this many times `open_for`.
const MAX_DOUBLINGS: u32 = 6;

/// Counts failed requests in a row; when there are too many, lets nothing through for a while and then one probe.
///
/// A request counts once, when it is finished, that is after its repetitions. Only failures to get an answer and
/// statuses from 500 on count; any other answer shows that the host lives.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    policy: BreakerPolicy,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    state: State,
    /// How often it opened since the last answer.
    openings: u32,
    has_answered: bool,
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

/// Why nothing may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// How long to wait; zero while a probe is on its way.
    pub(super) wait: Duration,
    /// Whether waiting is not worth it any more.
    pub(super) gives_up: bool,
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
            memory: Mutex::new(Memory {
                state: State::Closed { failures: 0 },
                openings: 0,
                has_answered: false,
            }),
        }
    }

    pub(super) const fn policy(&self) -> BreakerPolicy {
        self.policy
    }

    /// Asks to send a request.
    ///
    /// # Errors
    /// [`Refusal`] while the host is taken for dead.
    pub(super) fn admit(&self, now: Instant) -> Result<Permit<'_>, Refusal> {
        let mut memory = self.memory();
        let gives_up = self.gives_up(&memory);
        let probe_since = match memory.state {
            State::Closed { .. } => None,
            State::Open { until } if now < until => {
                let wait = until - now;
                return Err(Refusal { wait, gives_up });
            }
            State::HalfOpen => {
                let wait = Duration::ZERO;
                return Err(Refusal { wait, gives_up });
            }
            State::Open { .. } => {
                memory.state = State::HalfOpen;
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
        match self.memory().state {
            State::Open { until } if now < until => Some(until - now),
            _ => None,
        }
    }

    fn gives_up(&self, memory: &Memory) -> bool {
        !memory.has_answered || memory.openings > self.policy.trials
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Whether this request alone finds out whether the host is back.
    pub(super) const fn is_probe(&self) -> bool {
        self.probe_since.is_some()
    }

    /// Tells how the request ended. Returns for how long the host is left alone if this made it so.
    pub(super) fn settle(mut self, health: Health, now: Instant) -> Option<Refusal> {
        self.is_settled = true;
        let policy = self.breaker.policy;
        let mut memory = self.breaker.memory();
        let opens = match (health, memory.state) {
            (Health::Alive, _) => {
                *memory = Memory {
                    state: State::Closed { failures: 0 },
                    openings: 0,
                    has_answered: true,
                };
                false
            }
            (Health::Failing, State::Closed { failures }) => {
                let failures = failures.saturating_add(1);
                memory.state = State::Closed { failures };
                failures >= policy.failures
            }
            (Health::Failing, State::HalfOpen) => self.probe_since.is_some(),
            // Late news of a request that began before.
            (Health::Failing, State::Open { .. }) => false,
        };
        opens.then(|| {
            let doublings = memory.openings.min(MAX_DOUBLINGS);
            let wait = policy.open_for.saturating_mul(2_u32.pow(doublings));
            memory.openings = memory.openings.saturating_add(1);
            memory.state = State::Open { until: now + wait };
            Refusal {
                wait,
                gives_up: self.breaker.gives_up(&memory),
            }
        })
    }
}

impl Drop for Permit<'_> {
    /// A probe that was given up proved nothing: the next request is the probe.
    fn drop(&mut self) {
        if let (false, Some(since)) = (self.is_settled, self.probe_since) {
            let mut memory = self.breaker.memory();
            if matches!(memory.state, State::HalfOpen) {
                memory.state = State::Open { until: since };
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
        trials: 2,
    };

    /// Fails a request; returns for how long the host is left alone then.
    fn fail(breaker: &CircuitBreaker, now: Instant) -> Option<Duration> {
        let opening = breaker.admit(now).unwrap().settle(Health::Failing, now);
        opening.map(|opening| opening.wait)
    }

    fn answer(breaker: &CircuitBreaker, now: Instant) {
        assert_eq!(breaker.admit(now).unwrap().settle(Health::Alive, now), None);
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
        assert_eq!(breaker.admit(now).unwrap_err().wait, POLICY.open_for);
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
            answer(&breaker, now);
        }
    }

    #[test]
    fn a_host_that_never_answered_is_given_up_at_once_and_another_after_its_trials() {
        let mut now = Instant::now();
        assert!(opened(now).admit(now).unwrap_err().gives_up);
        let breaker = CircuitBreaker::new(POLICY);
        answer(&breaker, now);
        for _ in 0..3 {
            let _ = fail(&breaker, now);
        }
        for wait_s in [30, 60] {
            let refusal = breaker.admit(now).unwrap_err();
            let expected = Refusal {
                wait: Duration::from_secs(wait_s),
                gives_up: false,
            };
            assert_eq!(refusal, expected);
            now += refusal.wait;
            let probe = breaker.admit(now).unwrap();
            assert!(probe.is_probe());
            let _ = probe.settle(Health::Failing, now);
        }
        assert!(breaker.admit(now).unwrap_err().gives_up);
        now += POLICY.open_for * 4;
        answer(&breaker, now);
        assert!(!breaker.admit(now).unwrap().is_probe(), "all is forgotten");
    }

    #[test]
    fn one_probe_decides_for_all() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + POLICY.open_for;
        let probe = breaker.admit(later).unwrap();
        let wait = breaker.admit(later).unwrap_err().wait;
        assert_eq!(wait, Duration::ZERO, "only one");
        let longer = POLICY.open_for * 2;
        let opening = probe.settle(Health::Failing, later).unwrap();
        assert_eq!(opening.wait, longer);
        let much_later = later + longer;
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
            let (mut failures, mut openings, mut dead_until) = (0, 0, None::<Instant>);
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
                if !is_failure {
                    openings = 0;
                }
                dead_until = opens.then(|| now + POLICY.open_for * 2_u32.pow(openings.min(MAX_DOUBLINGS)));
                if opens {
                    failures = 0;
                    openings += 1;
                }
            }
        }
    }
}
