//! The ingest use case: plan what is missing, fetch it, judge it, commit it, report it.
//!
//! Names no vendor, no database and no file format: everything outside comes through the domain's ports.

mod committer;
pub mod completeness;
pub mod coordinator;
pub mod exact_plan;
mod fetch;
mod fetchers;
mod judge;
mod packing;
pub mod plan;
mod planning;
pub mod report;

pub use completeness::{GapsRequest, SeriesGap, list_gaps};
pub use coordinator::{IngestionCoordinatorService, Ports};
pub use plan::{IngestPlan, IngestRequest, RefreshPolicy, RequestedRange};
pub use planning::plan_ingest;
pub use report::{IngestReport, SymbolFailure};
