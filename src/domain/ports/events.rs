//! Publishing and receiving events.

use super::super::event::Event;

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
