//! Asking work under way to stop: Ctrl-C, a deadline, a failure that ends the run.

use std::sync::Arc;

use tokio::sync::watch;

/// A signal that can be given once and is seen by everyone who holds a clone.
#[derive(Debug, Clone)]
pub struct StopSignal {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for StopSignal {
    fn default() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl StopSignal {
    /// Gives the signal.
    pub fn stop(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the signal was given.
    pub fn is_stopped(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until the signal is given.
    pub async fn stopped(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        _ = self.sender.subscribe().wait_for(|stopped| *stopped).await;
    }
}
