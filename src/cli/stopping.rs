//! What ends a run early: Ctrl-C, a termination signal, `--max-runtime`. Gives the signal, and keeps why.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::exit::{CliError, Exit};
use crate::domain::stop::StopSignal;

/// The codes by which a stopped run tells who stopped it.
const STOPPED_BY_TIME: u8 = 1;
const STOPPED_BY_TERMINATION: u8 = 2;

/// The signal to stop and who gave it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stopping {
    pub(super) signal: StopSignal,
    by: Arc<AtomicU8>,
}

impl Stopping {
    /// How a run that was ended by the signal exits.
    pub(super) fn exit(&self) -> Exit {
        match self.by.load(Ordering::Relaxed) {
            STOPPED_BY_TIME => Exit::TryLater,
            STOPPED_BY_TERMINATION => Exit::Terminated,
            _ => Exit::Interrupted,
        }
    }

    /// Gives the stop signal on Ctrl-C, on termination or when the time is up; a second Ctrl-C ends the program at once.
    pub(super) async fn watch(self, max_runtime: Option<Duration>) {
        let time_is_up = async {
            match max_runtime {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = interrupted() => {
                self.signal.stop();
                tracing::warn!("stopping: what is committed is kept; press Ctrl-C again to end at once");
            }
            () = terminated() => {
                self.by.store(STOPPED_BY_TERMINATION, Ordering::Relaxed);
                self.signal.stop();
            }
            () = time_is_up => {
                self.by.store(STOPPED_BY_TIME, Ordering::Relaxed);
                self.signal.stop();
                tracing::warn!("stopping: --max-runtime is over; what is committed is kept");
            }
        }
        // Asked again: at once. What is half done is finished or forgotten by the next run.
        let exit = tokio::select! {
            () = interrupted() => Exit::Interrupted,
            () = terminated() => Exit::Terminated,
        };
        std::process::exit(exit.code().into());
    }

    /// Watches on a thread of its own, for work that blocks; until the program ends.
    pub(super) fn watch_beside(&self, max_runtime: Option<Duration>) -> Result<(), CliError> {
        let runtime = current_thread_runtime()?;
        let watch = self.clone().watch(max_runtime);
        // Unlike `std::thread::spawn` this does not panic when the system has no thread left.
        std::thread::Builder::new()
            .spawn(move || runtime.block_on(watch))
            .map_err(|error| CliError::refused_by_system("start a thread", &error))?;
        Ok(())
    }
}

/// Blocks until Ctrl-C or a termination signal: for what serves until it is told to end.
pub(super) fn wait_for_end() -> Result<(), CliError> {
    current_thread_runtime()?.block_on(async {
        tokio::select! {
            () = interrupted() => {}
            () = terminated() => {}
        }
    });
    Ok(())
}

fn current_thread_runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::refused_by_system("start the runtime", &error))
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the default action ends the program, which is safe at any moment.
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => _ = signal.recv().await,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
