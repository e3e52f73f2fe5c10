//! Who hears of events: the bus that hands them on, the log, and the progress line. None of them steers.

mod bus;
mod log;
mod progress;

pub use bus::{DeliveryCount, EventBus, EventBusBuilder};
pub use log::LogSubscriber;
pub use progress::{ProgressAwareStderr, ProgressSubscriber, progress_aware_stderr};

/// Foreign text for one line of a terminal: control characters are shown instead of obeyed.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|char| {
            let (escaped, plain) = match char.is_control() {
                true => (Some(char.escape_default()), None),
                false => (None, Some(char)),
            };
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}
