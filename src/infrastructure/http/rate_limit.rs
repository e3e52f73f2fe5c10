//! When the next request may be sent: a pace a little below the plan, and a gate that the server's answers close.
//! Knows neither requests nor repetition.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::domain::Event;
use crate::domain::ports::EventPublisher;

use super::hints::{Pause, ServerHints};
use super::pace::Pacer;
use super::retry::Budget;

/// Waits up to this long are the ordinary pace and not worth an event.
const SILENT_WAIT: Duration = Duration::from_millis(200);

/// The shortest pause after a 429 that says nothing about waiting.
const BARE_REFUSAL_PAUSE: Duration = Duration::from_millis(500);

/// Plans outside of this are taken for a mistake of the server, requests a minute.
const PLAUSIBLE_LIMITS: std::ops::RangeInclusive<u32> = 10..=100_000;

/// Nothing is sent before `opens_at`.
#[derive(Debug, Clone, Copy)]
struct Gate {
    opens_at: Instant,
    /// What the server asked for, which may be later.
    asked_until: Instant,
    until_us: Option<i64>,
}

/// Lets requests through one by one, in the order in which they came.
pub(super) struct RequestLimit {
    pacer: Mutex<Option<Arc<Pacer>>>,
    gate: Mutex<Option<Gate>>,
    /// Only whoever holds it waits for pace and gate; the others wait for it. Tokio's mutex is fair.
    turn: tokio::sync::Mutex<()>,
    max_pause: Duration,
    publisher: Arc<dyn EventPublisher>,
}

impl RequestLimit {
    /// A limit of `per_minute` requests, `None` for no pace at all; the gate never closes for longer than `max_pause`.
    pub(super) fn new(
        per_minute: Option<u32>,
        max_pause: Duration,
        publisher: Arc<dyn EventPublisher>,
    ) -> Self {
        Self {
            pacer: Mutex::new(per_minute.map(|per_minute| Arc::new(Pacer::new(per_minute)))),
            gate: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
            max_pause,
            publisher,
        }
    }

    /// Waits until one more request may be sent. Waits at the gate are spent from `budget`; the pace is not.
    ///
    /// # Errors
    /// The pause that the server asked for, when the gate stays closed for longer than the budget lasts.
    pub(super) async fn acquire(&self, budget: &mut Budget) -> Result<(), Pause> {
        let _turn = self.turn.lock().await;
        loop {
            let gate = *lock(&self.gate);
            if let Some(gate) = gate {
                let now = Instant::now();
                let wait = gate.opens_at.saturating_duration_since(now);
                if wait > budget.left() {
                    let wait = gate.asked_until.saturating_duration_since(now);
                    return Err(Pause {
                        wait,
                        until_us: gate.until_us,
                    });
                }
                if !wait.is_zero() {
                    self.wait(wait).await;
                    budget.spend(wait);
                    continue;
                }
            }
            let pacer = lock(&self.pacer).clone();
            let Some(pacer) = pacer else { return Ok(()) };
            match pacer.take() {
                Ok(()) => return Ok(()),
                Err(wait) => self.wait(wait).await,
            }
        }
    }

    /// Learns from an answer. Returns how long the server wants to be left alone, if it refused because of its limit.
    pub(super) fn observe(&self, is_refusal: bool, hints: &ServerHints) -> Option<Pause> {
        if let Some(limit) = hints.limit {
            self.adapt(limit);
        }
        let bare = || Pause {
            wait: self.refill_time().max(BARE_REFUSAL_PAUSE),
            until_us: None,
        };
        let pause = if is_refusal {
            let pauses = [hints.retry_after, hints.reset];
            let longest = pauses
                .into_iter()
                .flatten()
                .max_by_key(|pause| pause.wait)
                .filter(|pause| !pause.wait.is_zero());
            longest.unwrap_or_else(bare)
        } else if hints.remaining == Some(0) {
            hints.reset.unwrap_or(Pause {
                wait: self.refill_time(),
                until_us: None,
            })
        } else {
            return None;
        };
        self.close(pause);
        if !is_refusal {
            return None;
        }
        // What the pace has saved up is worth nothing to a server that has nothing left.
        let mut pacer = lock(&self.pacer);
        if let Some(present) = pacer.as_ref() {
            *pacer = Some(Arc::new(Pacer::drained(present.per_minute)));
        }
        Some(pause)
    }

    /// Takes over another plan than configured. Without a configured one there is nothing to adapt.
    fn adapt(&self, limit: u32) {
        let mut pacer = lock(&self.pacer);
        let Some(present) = pacer.as_ref() else {
            return;
        };
        if present.per_minute == limit {
            return;
        }
        let limit = limit.clamp(*PLAUSIBLE_LIMITS.start(), *PLAUSIBLE_LIMITS.end());
        if present.per_minute != limit {
            tracing::debug!(
                from = present.per_minute,
                to = limit,
                "the server names another rate limit"
            );
            *pacer = Some(Arc::new(Pacer::drained(limit)));
        }
    }

    /// How long the server needs for one more request, as far as the plan is known.
    fn refill_time(&self) -> Duration {
        lock(&self.pacer).as_ref().map_or(Duration::ZERO, |pacer| {
            Duration::from_secs(60) / pacer.per_minute.max(1)
        })
    }

    /// Closes the gate, never for shorter than it is closed already.
    fn close(&self, pause: Pause) {
        let now = Instant::now();
        let opens_at = now + pause.wait.min(self.max_pause);
        let mut gate = lock(&self.gate);
        if gate.is_none_or(|present| present.opens_at < opens_at) {
            *gate = Some(Gate {
                opens_at,
                asked_until: now + pause.wait,
                until_us: pause.until_us,
            });
        }
    }

    async fn wait(&self, wait: Duration) {
        if wait > SILENT_WAIT {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            self.publisher.publish(&Event::RateLimitWaited { wait_ms });
        }
        sleep(wait).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::stub::Recorder;
    use super::*;

    const NO_HINTS: ServerHints = ServerHints {
        limit: None,
        remaining: None,
        reset: None,
        retry_after: None,
    };
    const MAX_PAUSE: Duration = Duration::from_secs(120);

    fn limit(per_minute: Option<u32>) -> (RequestLimit, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        (
            RequestLimit::new(
                per_minute,
                MAX_PAUSE,
                Arc::clone(&recorder) as Arc<dyn EventPublisher>,
            ),
            recorder,
        )
    }

    fn pause_s(wait_s: u64) -> Option<Pause> {
        Some(Pause {
            wait: Duration::from_secs(wait_s),
            until_us: None,
        })
    }

    async fn acquire(limit: &RequestLimit) -> Result<(), Pause> {
        limit.acquire(&mut Budget::new(MAX_PAUSE)).await
    }

    /// Requests sent within each of the first `minutes` minutes.
    async fn sent_by_minute(limit: RequestLimit, minutes: usize) -> Vec<u32> {
        let (limit, began) = (Arc::new(limit), Instant::now());
        let mut sent = vec![0; minutes];
        while acquire(&limit).await.is_ok() {
            let minute = usize::try_from(began.elapsed().as_secs() / 60).unwrap();
            if minute >= minutes {
                break;
            }
            sent[minute] += 1;
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_plan_nothing_waits() {
        let (limit, recorder) = limit(None);
        let began = Instant::now();
        for _ in 0..10_000 {
            acquire(&limit).await.unwrap();
        }
        assert_eq!(
            (began.elapsed(), recorder.events()),
            (Duration::ZERO, vec![])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_stops_everybody_for_as_long_as_the_server_says() {
        let (limit, recorder) = limit(None);
        let began = Instant::now();
        assert_eq!(
            limit.observe(
                true,
                &ServerHints {
                    retry_after: pause_s(7),
                    ..NO_HINTS
                }
            ),
            pause_s(7)
        );
        assert_eq!(
            limit.observe(false, &NO_HINTS),
            None,
            "an answer that was on its way opens nothing"
        );
        acquire(&limit).await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(7));
        assert_eq!(
            recorder.events(),
            [Event::RateLimitWaited { wait_ms: 7000 }]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_later_of_retry_after_and_reset_counts() {
        let (limit, _) = limit(None);
        let hints = ServerHints {
            retry_after: pause_s(3),
            reset: pause_s(9),
            ..NO_HINTS
        };
        assert_eq!(limit.observe(true, &hints), pause_s(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bare_refusal_or_a_wait_of_zero_still_makes_a_pause() {
        for retry_after in [None, pause_s(0)] {
            let (limit, _) = limit(Some(200));
            let pause = limit
                .observe(
                    true,
                    &ServerHints {
                        retry_after,
                        ..NO_HINTS
                    },
                )
                .unwrap();
            assert_eq!(pause.wait, BARE_REFUSAL_PAUSE);
            let sent = sent_by_minute(limit, 1).await;
            assert!(sent[0] < 190, "{sent:?}: the saved burst was kept");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_is_too_small_is_refused_without_waiting() {
        let (limit, _) = limit(None);
        let asked = Pause {
            wait: Duration::from_secs(3600),
            until_us: Some(1),
        };
        limit.observe(
            true,
            &ServerHints {
                retry_after: Some(asked),
                ..NO_HINTS
            },
        );
        let began = Instant::now();
        let mut budget = Budget::new(Duration::from_secs(5));
        assert_eq!(
            limit.acquire(&mut budget).await,
            Err(asked),
            "the server's wish, not the clamped one"
        );
        assert_eq!(
            (began.elapsed(), budget.left()),
            (Duration::ZERO, Duration::from_secs(5))
        );
        acquire(&limit).await.unwrap();
        assert_eq!(
            began.elapsed(),
            MAX_PAUSE,
            "nobody is kept for longer than the clamp"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_left_on_success_waits_for_the_reset() {
        let (limit, _) = limit(Some(200));
        let began = Instant::now();
        let hints = ServerHints {
            remaining: Some(0),
            reset: pause_s(12),
            limit: Some(200),
            ..NO_HINTS
        };
        assert_eq!(
            limit.observe(false, &hints),
            None,
            "the answer itself was fine"
        );
        acquire(&limit).await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(12));
    }

    #[tokio::test(start_paused = true)]
    async fn another_plan_is_taken_over_without_a_second_burst() {
        let (limit, _) = limit(Some(200));
        for _ in 0..10 {
            acquire(&limit).await.unwrap();
            limit.observe(
                false,
                &ServerHints {
                    limit: Some(60),
                    ..NO_HINTS
                },
            );
        }
        let sent = sent_by_minute(limit, 2).await;
        assert!(sent.iter().all(|&sent| sent <= 60), "{sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn absurd_plans_are_cut_to_the_plausible() {
        for (named, taken) in [(0, 10), (1, 10), (u32::MAX, 100_000), (1000, 1000)] {
            let (limit, _) = limit(Some(200));
            limit.observe(
                false,
                &ServerHints {
                    limit: Some(named),
                    ..NO_HINTS
                },
            );
            assert_eq!(lock(&limit.pacer).as_ref().unwrap().per_minute, taken);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_leave_in_the_order_in_which_they_came() {
        let (limit, _) = limit(Some(20));
        let (limit, order) = (Arc::new(limit), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..20 {
            let (limit, order) = (Arc::clone(&limit), Arc::clone(&order));
            tasks.spawn(async move {
                acquire(&limit).await.unwrap();
                lock(&order).push(number);
            });
            tokio::task::yield_now().await;
        }
        tasks.join_all().await;
        assert!(lock(&order).is_sorted(), "{order:?}");
    }
}
