//! The log on stderr.

use tracing_subscriber::EnvFilter;

use crate::infrastructure::events::progress_aware_stderr;

/// Starts logging what `filter` lets through; the first call counts.
pub(super) fn start(filter: &str, use_color: bool) {
    // The configuration has checked the filter already.
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
    _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(progress_aware_stderr)
        .with_ansi(use_color)
        .with_target(false)
        // A log that cannot be written must not end the work.
        .log_internal_errors(false)
        .try_init();
}
