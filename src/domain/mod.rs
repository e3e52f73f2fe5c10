//! The core: what a bar, a session, a dataset and a job are, the rules they obey, and the ports to the outside.
//!
//! Names no I/O crate and reads neither clock nor environment.

pub mod aggregation_spec;
pub mod bar;
pub mod bar_batch;
pub mod bar_columns;
pub mod calendar;
pub mod causes;
pub mod chart;
pub mod checkpoint;
pub mod dataset;
pub mod derivation;
pub mod derived_batch;
pub mod diagnosis;
pub mod digest;
pub mod event;
pub mod finding;
pub mod gaps;
pub mod instant;
pub mod job;
pub mod merge;
pub mod metric;
pub mod minute_set;
pub mod number;
pub mod parallel;
pub mod ports;
pub mod rule;
pub mod services;
pub mod session;
pub mod stop;
pub mod symbol;
pub mod symbol_bars;
pub mod timeframe;

pub use aggregation_spec::{
    AggregationChoice, AggregationSpec, Anchor, ClosingAuction, SegmentSet,
};
pub use bar::{Bar, HardRule, LARGEST_EXACT, whole_count};
pub use bar_batch::{BarBatch, BatchError};
pub use bar_columns::{BarColumns, NullableColumn};
pub use calendar::{Calendar, CalendarError};
pub use checkpoint::Checkpoint;
pub use dataset::{Dataset, PartitionKey, Period};
pub use derived_batch::DerivedBatch;
pub use diagnosis::{Check, Diagnosis, Health};
pub use event::Event;
pub use finding::Finding;
pub use gaps::{Gap, GapReason};
pub use instant::InstantRange;
pub use job::{IngestionJob, JobId, JobState};
pub use number::{as_u64, counted, with_thousands};
pub use rule::{Rule, Severity};
pub use services::{MarketDataValidationService, OhlcvCalculationService};
pub use session::{Segment, Session, SessionDate, SessionMonth};
pub use symbol::Symbol;
pub use symbol_bars::{SessionRecord, SymbolBarsAggregate};
pub use timeframe::Timeframe;
