//! Aggregation: longer bars from minutes, rebuilt where and only where something changed. Knows the domain and its
//! ports, no file and no database.

mod check;
pub mod frame_bars;
pub mod plan;
pub mod report;
pub mod rollup;
pub mod runner;

pub use frame_bars::{FrameBarsError, FrameBarsRequest};
pub use plan::{AggregationPlan, AggregationRequest, FrameChoice, Scope};
pub use report::{AggregationReport, CheckFinding, CheckReport};
pub use rollup::RollupAggregator;
pub use runner::{AggregationPorts, AggregationRunnerService};
