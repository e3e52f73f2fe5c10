//! The integration tests: one binary, because linking DuckDB takes long. They run the program itself against
//! the built-in server, in temporary folders.

mod support;

mod bad_input;
mod calendar_oracle;
mod faults;
mod incremental;
mod peers;
mod reading;
mod real_bars;
mod size;
