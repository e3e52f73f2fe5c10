//! The ingest use case: plan what is missing, fetch it, judge it, commit it, report it.
//!
//! Names no vendor, no database and no file format: everything outside comes through the domain's ports.

mod committer;
pub mod coordinator;
mod fetch;
mod judge;
pub mod plan;
pub mod report;
pub mod stop;

pub use coordinator::{IngestionCoordinatorService, Ports};
pub use plan::{IngestPlan, IngestRequest, RefreshPolicy, RequestedRange};
pub use report::{IngestReport, SymbolFailure};
pub use stop::StopSignal;
