//! Publishing and receiving events.

use super::super::event::Event;
use super::super::metric::EventCount;

/// Takes events for whoever listens. Publishing never fails and never blocks for long.
pub trait EventPublisher: Send + Sync {
    /// Hands `event` to every subscriber.
    fn publish(&self, event: &Event);
}

/// Listens to events. What a subscriber does never changes the outcome of the work.
pub trait EventSubscriber: Send + Sync {
    /// The subscriber's name, for reports about it.
    fn name(&self) -> &'static str;

    /// Takes note of one event.
    fn receive(&self, event: &Event);
}

/// Counts what became of events.
pub trait EventStatistics: Send + Sync {
    /// Every event and subscriber so far, in no order in particular.
    fn event_counts(&self) -> Vec<EventCount>;
}
