//! The event bus: hands each event to every subscriber and counts. Knows no subscriber in particular.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::Event;
use crate::domain::metric::EventCount;
use crate::domain::ports::{EventPublisher, EventStatistics, EventSubscriber};

#[derive(Debug, Default)]
struct Counts {
    published: BTreeMap<&'static str, u64>,
    /// By the subscriber's place and the event's name.
    deliveries: BTreeMap<(usize, &'static str), Deliveries>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Deliveries {
    delivered: u64,
    failed: u64,
    slowest: Duration,
}

/// Hands events on at once, in the order of subscription, on the thread that publishes.
///
/// A subscriber that panics is counted and otherwise ignored: what listens must not stop the work.
pub struct EventBus {
    subscribers: Vec<Arc<dyn EventSubscriber>>,
    counts: Mutex<Counts>,
}

/// An event bus that still takes subscribers.
#[derive(Default)]
pub struct EventBusBuilder {
    subscribers: Vec<Arc<dyn EventSubscriber>>,
}

impl EventBusBuilder {
    /// Adds a subscriber behind those that are there.
    #[must_use]
    pub fn subscribe(mut self, subscriber: Arc<dyn EventSubscriber>) -> Self {
        self.subscribers.push(subscriber);
        self
    }

    /// The bus; from now on its subscribers are fixed.
    pub fn build(self) -> EventBus {
        EventBus {
            subscribers: self.subscribers,
            counts: Mutex::default(),
        }
    }
}

impl EventBus {
    /// A bus to be, without subscribers.
    pub fn builder() -> EventBusBuilder {
        EventBusBuilder::default()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counters stay usable whatever happened while they were held.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventPublisher for EventBus {
    fn publish(&self, event: &Event) {
        let name = event.name();
        *self.counts().published.entry(name).or_default() += 1;
        for (place, subscriber) in self.subscribers.iter().enumerate() {
            // The lock is not held here: a subscriber may publish in turn.
            let begun = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| subscriber.receive(event)));
            let took = begun.elapsed();
            let mut counts = self.counts();
            let deliveries = counts.deliveries.entry((place, name)).or_default();
            deliveries.slowest = deliveries.slowest.max(took);
            match outcome {
                Ok(()) => deliveries.delivered += 1,
                Err(_) => deliveries.failed += 1,
            }
            if outcome.is_err() && deliveries.failed == 1 {
                drop(counts);
                // Told once of each: what fails once mostly fails again.
                tracing::warn!(
                    "{} failed at {name}; the work goes on without it, `metrics events` counts",
                    subscriber.name()
                );
            }
        }
    }
}

impl EventStatistics for EventBus {
    fn event_counts(&self) -> Vec<EventCount> {
        let counts = self.counts();
        let published = counts.published.iter().map(|(&event, &count)| EventCount {
            event: event.to_owned(),
            subscriber: String::new(),
            delivered: count,
            failed: 0,
            slowest_us: 0,
        });
        let deliveries = counts.deliveries.iter();
        let delivered = deliveries.map(|(&(place, event), deliveries)| EventCount {
            event: event.to_owned(),
            subscriber: self.subscribers[place].name().to_owned(),
            delivered: deliveries.delivered,
            failed: deliveries.failed,
            slowest_us: u64::try_from(deliveries.slowest.as_micros()).unwrap_or(u64::MAX),
        });
        published.chain(delivered).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers the names of what it hears and panics at one of them.
    struct Listener {
        name: &'static str,
        panics_at: &'static str,
        heard: Mutex<Vec<&'static str>>,
    }

    impl Listener {
        fn new(name: &'static str, panics_at: &'static str) -> Arc<Self> {
            Arc::new(Self {
                name,
                panics_at,
                heard: Mutex::default(),
            })
        }
    }

    impl EventSubscriber for Listener {
        fn name(&self) -> &'static str {
            self.name
        }

        fn receive(&self, event: &Event) {
            // resume_unwind is a panic that prints nothing.
            if event.name() == self.panics_at {
                std::panic::resume_unwind(Box::new("listener"));
            }
            self.heard.lock().unwrap().push(event.name());
        }
    }

    /// Subscriber, event, delivered and failed; what was published has no subscriber.
    fn counts(bus: &EventBus) -> Vec<(String, String, u64, u64)> {
        let counts = bus.event_counts().into_iter();
        counts
            .map(|count| (count.subscriber, count.event, count.delivered, count.failed))
            .collect()
    }

    fn count(
        subscriber: &str,
        event: &str,
        delivered: u64,
        failed: u64,
    ) -> (String, String, u64, u64) {
        (subscriber.into(), event.into(), delivered, failed)
    }

    fn waited() -> Event {
        Event::RateLimitWaited { wait_ms: 1 }
    }

    fn quarantined() -> Event {
        Event::BarsQuarantined {
            dataset: "alpaca/sip/raw".parse().unwrap(),
            symbol: "A".into(),
            rows: 1,
        }
    }

    #[test]
    fn every_subscriber_hears_every_event_in_order() {
        let (first, second) = (Listener::new("first", ""), Listener::new("second", ""));
        let bus = EventBus::builder()
            .subscribe(first.clone())
            .subscribe(second.clone())
            .build();
        for event in [waited(), quarantined(), waited()] {
            bus.publish(&event);
        }
        let expected = ["RateLimitWaited", "BarsQuarantined", "RateLimitWaited"];
        assert_eq!(*first.heard.lock().unwrap(), expected);
        assert_eq!(*second.heard.lock().unwrap(), expected);
        assert_eq!(
            counts(&bus)[..2],
            [
                count("", "BarsQuarantined", 1, 0),
                count("", "RateLimitWaited", 2, 0)
            ]
        );
    }

    #[test]
    fn a_panicking_subscriber_is_counted_and_stops_neither_the_work_nor_the_others() {
        let (bad, good) = (
            Listener::new("bad", "RateLimitWaited"),
            Listener::new("good", ""),
        );
        let bus = EventBus::builder()
            .subscribe(bad)
            .subscribe(good.clone())
            .build();
        for event in [waited(), quarantined()] {
            bus.publish(&event);
        }
        assert_eq!(
            *good.heard.lock().unwrap(),
            ["RateLimitWaited", "BarsQuarantined"]
        );
        let expected = [
            count("bad", "BarsQuarantined", 1, 0),
            count("bad", "RateLimitWaited", 0, 1),
            count("good", "BarsQuarantined", 1, 0),
            count("good", "RateLimitWaited", 1, 0),
        ];
        assert_eq!(counts(&bus)[2..], expected);
    }

    #[test]
    fn events_from_several_threads_are_all_counted() {
        let bus = EventBus::builder()
            .subscribe(Listener::new("listener", ""))
            .build();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| bus.publish(&waited())));
            }
        });
        assert_eq!(
            counts(&bus),
            [
                count("", "RateLimitWaited", 400, 0),
                count("listener", "RateLimitWaited", 400, 0)
            ]
        );
    }

    #[test]
    fn without_subscribers_events_are_only_counted() {
        let bus = EventBus::builder().build();
        bus.publish(&waited());
        assert_eq!(counts(&bus), [count("", "RateLimitWaited", 1, 0)]);
    }

    #[test]
    fn the_slowest_delivery_is_known() {
        struct Slow;
        impl EventSubscriber for Slow {
            fn name(&self) -> &'static str {
                "slow"
            }

            fn receive(&self, _event: &Event) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let bus = EventBus::builder().subscribe(Arc::new(Slow)).build();
        bus.publish(&waited());
        assert!(bus.event_counts()[1].slowest_us >= 2_000);
    }
}
