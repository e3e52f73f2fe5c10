//! A fake of Alpaca's historical bars API on loopback, for the `demo` command, the tests and the benchmarks.
//!
//! It answers as the vendor was measured to answer in September 2026, from a [`Tape`] of bars, and goes wrong as a
//! [`FaultScript`] says. It knows nothing of the program around it: no domain type, no client, no calendar.
//!
//! Reading order: `config`, `tape`, `faults` (what a user sets); `service` (what happens to a request), with `query`,
//! `page`, `json`; `connection` (what happens on the wire).

mod cache;
mod config;
mod connection;
mod damage;
mod dates;
mod faults;
mod json;
mod numbers;
mod page;
mod query;
mod rate;
mod reply;
mod request;
mod script;
mod service;
mod state;
mod stats;
mod tape;
mod target;
mod token;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::config::{FAKE_KEY_ID, FAKE_SECRET, FakeConfig, RateLimit, TokenStyle, WalkEnd};
pub use self::faults::{Fault, StallPoint};
pub use self::json::BarKey;
pub use self::script::{FaultRule, FaultScript, When};
pub use self::stats::{FakeStats, RequestRecord};
pub use self::tape::{Tape, TapeBar};

use self::connection::Connection;
use self::service::Service;

/// How long a stop waits for answers that are being sent.
const STOP_GRACE: Duration = Duration::from_millis(500);
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(10);

/// A running server; dropping it stops it.
///
/// It lives on one thread of its own, so synchronous code can use it as well as asynchronous.
pub struct FakeAlpaca {
    address: SocketAddr,
    base_url: String,
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeAlpaca {
    /// Binds 127.0.0.1 and begins to serve `tape`.
    ///
    /// # Errors
    /// When the port is taken, or the system gives no socket or thread.
    pub fn start(tape: Tape, config: FakeConfig) -> Result<Self, io::Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let service = Arc::new(Service::new(tape, config));
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::clone(&service);
        let thread = std::thread::Builder::new()
            .name("fake-alpaca".to_owned())
            .spawn(move || {
                // An error here means no socket is left to serve; the clients see it as a refused connection.
                let _ = runtime.block_on(accept(listener, shared, stopped));
                runtime.shutdown_background();
            })?;
        Ok(Self {
            address,
            base_url: format!("http://{address}"),
            service,
            stop,
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`, without a path and without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counters so far.
    #[must_use]
    pub fn stats(&self) -> FakeStats {
        self.service.stats()
    }

    /// Sets all counters to zero and empties the log.
    pub fn reset_stats(&self) {
        self.service.reset_stats();
    }

    /// Replaces the fault script and counts its requests anew; an empty script ends all faults.
    pub fn set_faults(&self, script: FaultScript) {
        self.service.set_faults(script);
    }

    /// Replaces the tape; a walk in progress goes on in the new one.
    pub fn set_tape(&self, tape: Tape) {
        self.service.change_tape(|present| *present = tape);
    }

    /// Changes the tape in place, as a late correction does.
    pub fn update_tape(&self, change: impl FnOnce(&mut Tape)) {
        self.service.change_tape(change);
    }

    /// Fixes what the server takes for the present moment.
    pub fn set_now(&self, now: DateTime<Utc>) {
        self.service.set_now(now);
    }
}

impl Drop for FakeAlpaca {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of the server was already printed by its own thread.
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let for_connections = stopped.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = listener.accept() => {
                // A client that is gone again is no reason to stop; a lack of descriptors passes.
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                    continue;
                };
                service.count_connection();
                let stop = for_connections.clone();
                let connection = Connection::new(stream, Arc::clone(&service), stop);
                connections.spawn(connection.serve());
            }
            _ = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    let all_done = async { while connections.join_next().await.is_some() {} };
    // What is still being sent after the grace is cut off when the set is dropped.
    let _ = tokio::time::timeout(STOP_GRACE, all_done).await;
    Ok(())
}
