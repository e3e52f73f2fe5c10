//! The only loop that repeats requests: how often, after which waits, within which budget. Knows no HTTP; an
//! [`Repeatable`] says whether a failure is worth a repetition.

use std::time::Duration;

use tokio::time::sleep;

use crate::domain::Event;
use crate::domain::ports::EventPublisher;

use super::delay::DelaySource;
use super::error::HttpError;
use super::hints::Pause;

/// The usual budget of one request for failures and waits.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// How often and how patiently a request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most attempts, the first one included; 0 counts as 1.
    pub max_attempts: u32,
    /// The first wait is random between zero and this; each further one up to twice as long.
    pub base_delay: Duration,
    /// No wait of our own choice is longer. A server may ask for longer ones, within the budget.
    pub max_delay: Duration,
    /// Budget of one request: attempts without an answer and all waits, together. A longer wish of the server is
    /// shortened to this once; one that does not fit into what is left ends the request.
    pub max_total_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
            max_total_wait: LONGEST_WAIT,
        }
    }
}

/// What one request may still lose to failures and waits.
#[derive(Debug)]
pub(super) struct Budget {
    left: Duration,
}

impl Budget {
    pub(super) const fn new(total: Duration) -> Self {
        Self { left: total }
    }

    pub(super) const fn left(&self) -> Duration {
        self.left
    }

    pub(super) const fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }
}

/// What one attempt came to.
#[derive(Debug)]
pub(super) enum Outcome<T> {
    /// The last word.
    Final(Result<T, HttpError>),
    /// May end otherwise when repeated.
    Retryable {
        /// The last word if it is not repeated.
        result: Result<T, HttpError>,
        /// What went wrong, in a few words.
        reason: String,
        /// How long the server wants to be left alone.
        pause: Option<Pause>,
    },
}

/// Something that can be attempted again.
pub(super) trait Repeatable: Send {
    /// What success brings.
    type Answer: Send;

    /// Makes attempt `number`, counted from 1, and spends what it lost on `budget`.
    fn attempt(
        &mut self,
        number: u32,
        budget: &mut Budget,
    ) -> impl Future<Output = Outcome<Self::Answer>> + Send;

    /// Why no further attempt makes sense, when others found out meanwhile.
    fn find_stop(&self) -> Option<HttpError>;
}

/// Attempts until the last word is spoken or attempts or budget are used up.
///
/// # Errors
/// The last attempt's, with the number of attempts.
pub(super) async fn run<R: Repeatable>(
    policy: &RetryPolicy,
    delays: &mut dyn DelaySource,
    publisher: &dyn EventPublisher,
    request: &mut R,
) -> Result<R::Answer, HttpError> {
    let mut budget = Budget::new(policy.max_total_wait);
    let mut number = 1;
    loop {
        let (result, reason, pause) = match request.attempt(number, &mut budget).await {
            Outcome::Final(result) => return result.map_err(|error| error.after(number)),
            Outcome::Retryable {
                result,
                reason,
                pause,
            } => (result, reason, pause),
        };
        if number >= policy.max_attempts || budget.left().is_zero() {
            return result.map_err(|error| error.after(number));
        }
        if let Some(stop) = request.find_stop() {
            return Err(stop.after(number));
        }
        let wish = pause.map_or(Duration::ZERO, |pause| {
            pause.wait.min(policy.max_total_wait)
        });
        if wish > budget.left() {
            return result.map_err(|error| error.after(number));
        }
        let wait = wish.saturating_add(delays.next_delay()).min(budget.left());
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        publisher.publish(&Event::RequestRetried {
            attempt: number,
            wait_ms,
            reason,
        });
        sleep(wait).await;
        budget.spend(wait);
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::error::HttpErrorKind;
    use super::super::stub::Recorder;
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        base_delay: Duration::from_millis(500),
        max_delay: Duration::from_secs(30),
        max_total_wait: Duration::from_secs(120),
    };

    struct Fixed(Duration);

    impl DelaySource for Fixed {
        fn next_delay(&mut self) -> Duration {
            self.0
        }
    }

    /// Fails `failures` times, each after `takes`, then succeeds with the number of the attempt.
    struct Scripted {
        failures: u32,
        takes: Duration,
        pause: Option<Duration>,
        stop_after: Option<u32>,
        attempts: u32,
    }

    impl Scripted {
        const fn failing(failures: u32) -> Self {
            Self {
                failures,
                takes: Duration::ZERO,
                pause: None,
                stop_after: None,
                attempts: 0,
            }
        }
    }

    impl Repeatable for Scripted {
        type Answer = u32;

        async fn attempt(&mut self, number: u32, budget: &mut Budget) -> Outcome<u32> {
            self.attempts += 1;
            assert_eq!(number, self.attempts);
            if number > self.failures {
                return Outcome::Final(Ok(number));
            }
            sleep(self.takes).await;
            budget.spend(self.takes);
            Outcome::Retryable {
                result: Err(HttpError::new(HttpErrorKind::Broken, "broken")),
                reason: "broken".into(),
                pause: self.pause.map(|wait| Pause {
                    wait,
                    until_us: None,
                }),
            }
        }

        fn find_stop(&self) -> Option<HttpError> {
            (self.stop_after == Some(self.attempts))
                .then(|| HttpError::new(HttpErrorKind::CircuitOpen, "open"))
        }
    }

    async fn run_fixed(request: &mut Scripted) -> (Result<u32, HttpError>, Duration, Vec<Event>) {
        let (recorder, began) = (Recorder::default(), Instant::now());
        let result = run(
            &POLICY,
            &mut Fixed(Duration::from_secs(1)),
            &recorder,
            request,
        )
        .await;
        (result, began.elapsed(), recorder.events())
    }

    #[tokio::test(start_paused = true)]
    async fn success_after_failures_says_how_many_attempts_it_took() {
        let (result, took, events) = run_fixed(&mut Scripted::failing(2)).await;
        assert_eq!((result.unwrap(), took), (3, Duration::from_secs(2)));
        let retried = |attempt| Event::RequestRetried {
            attempt,
            wait_ms: 1000,
            reason: "broken".into(),
        };
        assert_eq!(events, [retried(1), retried(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn five_attempts_are_the_end() {
        let mut request = Scripted::failing(u32::MAX);
        let (result, took, events) = run_fixed(&mut request).await;
        assert_eq!(result.unwrap_err().to_string(), "broken (5 attempts)");
        assert_eq!(
            (request.attempts, took, events.len()),
            (5, Duration::from_secs(4), 4)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_wish_is_honoured_and_jitter_added() {
        let mut request = Scripted {
            pause: Some(Duration::from_secs(20)),
            ..Scripted::failing(1)
        };
        assert_eq!(run_fixed(&mut request).await.1, Duration::from_secs(21));
    }

    #[tokio::test(start_paused = true)]
    async fn a_huge_wish_is_cut_to_the_budget_and_asked_about_once_more() {
        let mut request = Scripted {
            pause: Some(Duration::MAX),
            ..Scripted::failing(u32::MAX)
        };
        let (result, took, _) = run_fixed(&mut request).await;
        assert!(result.is_err());
        assert_eq!((request.attempts, took), (2, POLICY.max_total_wait));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_that_no_longer_fits_ends_the_request_at_once() {
        let mut request = Scripted {
            pause: Some(Duration::from_secs(50)),
            ..Scripted::failing(u32::MAX)
        };
        let (result, took, _) = run_fixed(&mut request).await;
        assert!(result.is_err());
        assert_eq!((request.attempts, took), (3, Duration::from_secs(2 * 51)));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_failures_use_up_the_budget_too() {
        let mut request = Scripted {
            takes: Duration::from_secs(30),
            ..Scripted::failing(u32::MAX)
        };
        let (result, took, _) = run_fixed(&mut request).await;
        assert!(result.is_err());
        assert_eq!(
            (request.attempts, took),
            (4, Duration::from_secs(4 * 30 + 3))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_when_others_found_the_host_dead() {
        let mut request = Scripted {
            stop_after: Some(2),
            ..Scripted::failing(u32::MAX)
        };
        let (result, _, _) = run_fixed(&mut request).await;
        assert_eq!(result.unwrap_err().kind, HttpErrorKind::CircuitOpen);
        assert_eq!(request.attempts, 2);
    }
}
