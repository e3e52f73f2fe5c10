//! Measurements: what runs did and how long it took, kept from run to run, and the figures that come of it. Knows the
//! domain and its ports only.
//!
//! [`recorder`] listens to events and adds up, [`recording`] writes what it added up once a second, [`gauges`] tells
//! what is stored now, [`trends`] and [`summary`] make figures of the history, [`exposition`] puts them into
//! Prometheus' text.

pub mod exposition;
#[cfg(test)]
mod fakes;
pub mod gauges;
pub mod recorder;
pub mod recording;
pub mod summary;
pub mod trends;

pub use recorder::MetricsRecorder;
pub use recording::{Recording, RecordingPorts, RunGuard};
