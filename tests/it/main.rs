//! The integration tests: one binary, because linking DuckDB takes long. They run the program itself against
//! the built-in server, in temporary folders.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "tests say what they skip, read the environment, and fail loudly"
)]

mod support;
mod validate;

mod aggregate;
mod bad_input;
mod calendar_oracle;
mod chart;
mod docs;
mod engines;
mod export;
#[cfg(unix)]
mod fault;
mod faults;
mod first_steps;
mod import;
mod incremental;
mod jobs;
mod kills;
mod ledger;
mod metrics;
mod peers;
mod query;
mod reading;
mod real_bars;
mod requests;
mod size;
mod snapshot;
