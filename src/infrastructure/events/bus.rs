//! The event bus: hands each event to every subscriber and counts. Knows no subscriber in particular.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Event;
use crate::domain::ports::{EventPublisher, EventSubscriber};

/// How often one subscriber took one kind of event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryCount {
    /// The subscriber's name.
    pub subscriber: &'static str,
    /// The event's name.
    pub event: &'static str,
    /// Events that it took.
    pub delivered: u64,
    /// Events at which it panicked.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counts {
    published: BTreeMap<&'static str, u64>,
    /// Delivered and failed, by the subscriber's place and the event's name.
    deliveries: BTreeMap<(usize, &'static str), (u64, u64)>,
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

    /// How many events of each kind were published, by name; kinds that never occurred are absent.
    pub fn published(&self) -> Vec<(&'static str, u64)> {
        self.counts()
            .published
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect()
    }

    /// What became of them, in the order of subscription and by name of the event.
    pub fn deliveries(&self) -> Vec<DeliveryCount> {
        let counts = self.counts();
        let rows = counts
            .deliveries
            .iter()
            .map(|(&(place, event), &(delivered, failed))| {
                let subscriber = self.subscribers[place].name();
                DeliveryCount {
                    subscriber,
                    event,
                    delivered,
                    failed,
                }
            });
        rows.collect()
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
            let outcome = catch_unwind(AssertUnwindSafe(|| subscriber.receive(event)));
            let mut counts = self.counts();
            let (delivered, failed) = counts.deliveries.entry((place, name)).or_default();
            match outcome {
                Ok(()) => *delivered += 1,
                Err(_) => *failed += 1,
            }
        }
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

    fn waited() -> Event {
        Event::RateLimitWaited { wait_ms: 1 }
    }

    fn quarantined() -> Event {
        Event::BarsQuarantined {
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
            bus.published(),
            [("BarsQuarantined", 1), ("RateLimitWaited", 2)]
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
        let count = |subscriber, event, delivered, failed| DeliveryCount {
            subscriber,
            event,
            delivered,
            failed,
        };
        let expected = [
            count("bad", "BarsQuarantined", 1, 0),
            count("bad", "RateLimitWaited", 0, 1),
            count("good", "BarsQuarantined", 1, 0),
            count("good", "RateLimitWaited", 1, 0),
        ];
        assert_eq!(bus.deliveries(), expected);
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
        assert_eq!(bus.published(), [("RateLimitWaited", 400)]);
        assert_eq!(bus.deliveries()[0].delivered, 400);
    }

    #[test]
    fn without_subscribers_events_are_only_counted() {
        let bus = EventBus::builder().build();
        bus.publish(&waited());
        assert_eq!(bus.published(), [("RateLimitWaited", 1)]);
        assert!(bus.deliveries().is_empty());
    }
}
