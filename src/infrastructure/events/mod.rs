//! Who hears of events: the bus that hands them on, the log, and the progress line. None of them steers.

mod bus;
mod log;
mod progress;

pub use bus::{EventBus, EventBusBuilder};
pub use log::LogSubscriber;
pub use progress::{
    ProgressAwareStderr, ProgressSubscriber, end_progress_line, progress_aware_stderr,
};

/// Foreign text for one line of a terminal: control characters are shown instead of obeyed.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}
