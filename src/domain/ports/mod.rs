//! Ports: what the use cases need from the outside, as traits. Implementations live in `infrastructure`.

pub mod clock;
pub mod derive;
pub mod events;
pub mod metrics;
pub mod provider;
pub mod store;
pub mod validate;

pub use clock::Clock;
pub use derive::{
    AggregateError, BarAggregator, Derivation, DerivedOutcome, DerivedPartition, DerivedReceipt,
    DerivedStore, KeptBars, SourceFile, Sources,
};
pub use events::{EventPublisher, EventStatistics, EventSubscriber};
pub use metrics::{MetricsBatch, MetricsRepository, Retention};
pub use provider::{
    BarsPage, BarsRequest, MarketDataProvider, PageToken, ProviderError, ProviderErrorKind,
    ProviderProfile, StrayRows,
};
pub use store::{
    AskedSeries, BarSelection, BarStore, CheckpointRepository, CommitBatch, CommitReceipt,
    Forgotten, JobRepository, OhlcvRepository, PartitionAnswer, PartitionFile, PartitionOutcome,
    PartitionReceipt, QuarantinedRow, RevisionRow, SeriesStatus, SessionAnswer, StoreError,
    StoreErrorKind, SymbolBarsRepository,
};
pub use validate::{
    FileFault, FileInspector, FilesHeld, FindingRepository, InspectedDerived, InspectedMinutes,
    KeptFinding, SeriesFindings,
};
