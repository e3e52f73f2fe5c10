//! The composition root: the only place that knows both the use cases and what stands behind their ports.

mod doctoring;
mod measuring;
mod snapshotting;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::aggregation::{
    AggregationPorts, AggregationRequest, AggregationRunnerService, FrameChoice, RollupAggregator,
    Scope,
};
use crate::config::{Config, ConfigError, Engine};
use crate::domain::job::JobOwner;
use crate::domain::ports::{
    BarAggregator, BarSelection, BarStore, Clock, DerivedStore, EventPublisher, FileInspector,
    FindingRepository, JobRepository, MarketDataProvider, OhlcvRepository, PartitionFile,
    ProviderError, StoreError, StoreErrorKind,
};
use crate::domain::{Dataset, Symbol, Timeframe};
use crate::infrastructure::clock::SystemClock;
use crate::infrastructure::duckdb::tables::{self, QueryTable};
use crate::infrastructure::duckdb::{
    DuckdbAggregator, QueryError, QueryLimits, QuerySession, views,
};
use crate::infrastructure::host;
use crate::infrastructure::http::{BreakerPolicy, HttpOptions, RetryPolicy};
use crate::infrastructure::lake::{
    DataDirectory, JobLease, LakeStore, LockGuard, close_dead_jobs, refuse_absent,
};
use crate::infrastructure::providers::alpaca::{
    AlpacaCredentials, AlpacaMarketDataAdapter, AlpacaOptions,
};
use crate::infrastructure::providers::synthetic::SyntheticProvider;
use crate::infrastructure::sqlite::{
    Database, SqliteCatalog, SqliteCheckpointRepository, SqliteFindingRepository,
    SqliteJobRepository, SqliteMetricsRepository, SqliteOhlcvRepository,
    SqliteSymbolBarsRepository,
};
use crate::ingestion::coordinator::IngestError;
use crate::ingestion::{GapsRequest, IngestionCoordinatorService, Ports, list_gaps};
use crate::validation::{ValidationPorts, ValidationRunner};

pub use doctoring::Rebuilt;
pub use measuring::LivePage;

/// The names that `--provider` takes.
pub const PROVIDERS: [&str; 3] = ["alpaca", "iex", "synthetic"];

/// Why the parts could not be put together.
#[derive(Debug, Error)]
pub enum AppError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The provider's options are not usable.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The query engine failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The credentials cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `--provider` names nobody.
    #[error("provider `{0}` is unknown, expected one of {known}", known = PROVIDERS.join(", "))]
    UnknownProvider(String),
    /// An option that this provider does not have.
    #[error("provider {provider} has no {option}")]
    NoSuchOption {
        /// The provider.
        provider: &'static str,
        /// The option.
        option: &'static str,
    },
}

/// What the user wants of a provider beyond the configuration.
#[derive(Debug, Clone, Default)]
pub struct ProviderChoice {
    /// One of [`PROVIDERS`].
    pub name: String,
    /// Tape, where the provider has several.
    pub feed: Option<String>,
    /// Adjustment, where the provider has several.
    pub adjustment: Option<String>,
}

/// Everything that is kept in a data directory.
#[derive(Clone)]
pub struct Stores {
    /// Bars.
    pub bars: Arc<LakeStore>,
    /// The ledger.
    pub ledger: Arc<SqliteSymbolBarsRepository>,
    /// The jobs.
    pub jobs: Arc<SqliteJobRepository>,
    /// How far they are.
    pub checkpoints: Arc<SqliteCheckpointRepository>,
    /// Rows in quarantine and revisions.
    pub rows: Arc<SqliteOhlcvRepository>,
    /// What validation found.
    pub findings: Arc<SqliteFindingRepository>,
    /// What runs measured.
    pub metrics: Arc<SqliteMetricsRepository>,
}

/// Who works on a job: the name under which it is kept, and what makes it true.
pub struct JobWorker {
    /// To be kept with the job.
    pub owner: JobOwner,
    /// Held as long as the work goes on.
    _lease: JobLease,
}

/// The program with its configuration.
#[derive(Clone)]
pub struct App {
    config: Config,
    clock: Arc<dyn Clock>,
}

impl App {
    /// The program on this machine.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            clock: Arc::new(SystemClock),
        }
    }

    /// Prepares this process for what the system may refuse it later.
    ///
    /// # Errors
    /// When it may not even have as many files open as a run needs.
    pub fn prepare_process() -> Result<(), AppError> {
        host::check_descriptors()?;
        host::survive_file_size_limit();
        Ok(())
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The time.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The data directory.
    pub fn directory(&self) -> DataDirectory {
        DataDirectory::new(self.config.data_dir.clone())
    }

    /// Opens the stores, making the data directory if need be.
    ///
    /// # Errors
    /// When the directory is not usable.
    pub fn open_stores(
        &self,
        events: Arc<dyn EventPublisher>,
        lock_wait: Duration,
    ) -> Result<Stores, AppError> {
        let directory = self.directory();
        let path = directory.database();
        directory.refuse_links()?;
        directory.refuse_snapshot()?;
        let database = if Database::is_there(&path)? {
            let database = Database::open(&path)?;
            // Made anew, the folder of a lake that is elsewhere now would be in the way of its return.
            refuse_absent(&directory, &SqliteCatalog::new(database.clone()))?;
            directory.create()?;
            database
        } else {
            directory.create()?;
            refuse_files_without_database(&directory)?;
            Database::open(&path)?
        };
        let bars = LakeStore::open(directory, database.clone(), events, lock_wait)?;
        let stores = stores(bars, database);
        self.close_dead_jobs(&stores)?;
        Ok(stores)
    }

    /// Opens what is kept for commands that change no bar but the jobs; `None` when nothing was ever kept there.
    ///
    /// # Errors
    /// When the directory is not usable.
    pub fn open_job_stores(
        &self,
        events: Arc<dyn EventPublisher>,
    ) -> Result<Option<Stores>, AppError> {
        match self.open_stores_to_change_jobs(Arc::clone(&events)) {
            // Whoever may only look sees the table as it is.
            Err(AppError::Store(error)) if error.kind == StoreErrorKind::NotWritable => {
                self.open_existing_stores(events)
            }
            opened => opened,
        }
    }

    /// The same for commands that change jobs themselves: they must be told why that cannot be done.
    ///
    /// # Errors
    /// When the directory is not usable or may not be written.
    pub fn open_stores_to_change_jobs(
        &self,
        events: Arc<dyn EventPublisher>,
    ) -> Result<Option<Stores>, AppError> {
        let directory = self.directory();
        if !Database::is_there(&directory.database())? {
            return self.open_existing_stores(events);
        }
        directory.refuse_snapshot()?;
        let database = Database::open(&directory.database())?;
        let bars = LakeStore::open_for_reading(directory, database.clone(), events, Duration::ZERO);
        let stores = stores(bars, database);
        self.close_dead_jobs(&stores)?;
        Ok(Some(stores))
    }

    /// Jobs whose processes died are closed by whoever comes next, so that none stays open for ever.
    fn close_dead_jobs(&self, stores: &Stores) -> Result<(), StoreError> {
        for job in close_dead_jobs(&self.directory(), &stores.jobs, self.clock.now_us())? {
            tracing::info!("job {job} was closed: its process had ended without a word");
        }
        Ok(())
    }

    /// This process as the worker on a job.
    ///
    /// # Errors
    /// When its lease cannot be written.
    pub fn worker(&self) -> Result<JobWorker, AppError> {
        let lease = JobLease::take(&self.directory(), std::process::id())?;
        Ok(JobWorker {
            owner: host::this_process(lease.name()),
            _lease: lease,
        })
    }

    /// Opens the stores of a data directory for reading; `None` when nothing was ever kept there.
    ///
    /// # Errors
    /// When the directory is not usable.
    pub fn open_existing_stores(
        &self,
        events: Arc<dyn EventPublisher>,
    ) -> Result<Option<Stores>, AppError> {
        let directory = self.directory();
        let Some(database) = Database::open_existing_read_only(&directory.database())? else {
            refuse_files_without_database(&directory)?;
            return Ok(None);
        };
        let bars = LakeStore::open_for_reading(directory, database.clone(), events, Duration::ZERO);
        Ok(Some(stores(bars, database)))
    }

    /// The provider of that name with the configured options.
    ///
    /// # Errors
    /// When there is no such provider or an option does not fit it.
    pub fn provider(
        &self,
        choice: &ProviderChoice,
        events: Arc<dyn EventPublisher>,
    ) -> Result<Arc<dyn MarketDataProvider>, AppError> {
        match choice.name.as_str() {
            "alpaca" => {
                let feed = choice
                    .feed
                    .clone()
                    .unwrap_or_else(|| self.config.alpaca.feed.clone());
                Ok(Arc::new(self.alpaca("alpaca", feed, choice, events)?))
            }
            "iex" if choice.feed.as_deref().is_none_or(|feed| feed == "iex") => Ok(Arc::new(
                self.alpaca("iex", "iex".to_owned(), choice, events)?,
            )),
            "iex" => Err(AppError::NoSuchOption {
                provider: "iex",
                option: "other feed than iex; use --provider alpaca --feed",
            }),
            "synthetic" if choice.feed.is_some() => Err(AppError::NoSuchOption {
                provider: "synthetic",
                option: "--feed",
            }),
            "synthetic" if choice.adjustment.is_some() => Err(AppError::NoSuchOption {
                provider: "synthetic",
                option: "--adjustment",
            }),
            "synthetic" => Ok(Arc::new(SyntheticProvider::new(
                self.config.synthetic_seed,
                self.clock(),
            ))),
            other => Err(AppError::UnknownProvider(
                other.escape_default().to_string(),
            )),
        }
    }

    /// Which choice of provider keeps its bars in `dataset`; `None` when none does as things are configured.
    pub fn choice_of(&self, dataset: &Dataset) -> Option<ProviderChoice> {
        let choice = |name: &str| ProviderChoice {
            name: name.to_owned(),
            ..ProviderChoice::default()
        };
        match dataset.provider() {
            "alpaca" => Some(ProviderChoice {
                feed: Some(dataset.feed().to_owned()),
                // A dataset joins adjustments by hyphens, one of which has a hyphen of its own.
                adjustment: Some(
                    dataset
                        .adjustment()
                        .replace("spin-off", "spin_off")
                        .replace('-', ",")
                        .replace("spin_off", "spin-off"),
                ),
                ..choice("alpaca")
            }),
            "synthetic" => {
                let provider = SyntheticProvider::new(self.config.synthetic_seed, self.clock());
                (provider.profile().dataset == *dataset).then(|| choice("synthetic"))
            }
            _ => None,
        }
    }

    fn alpaca(
        &self,
        name: &str,
        feed: String,
        choice: &ProviderChoice,
        events: Arc<dyn EventPublisher>,
    ) -> Result<AlpacaMarketDataAdapter, AppError> {
        let alpaca = &self.config.alpaca;
        let credentials = alpaca
            .credentials
            .load()?
            .map(|credentials| AlpacaCredentials {
                key_id: credentials.key_id,
                secret: credentials.secret,
            });
        let options = AlpacaOptions {
            name: name.to_owned(),
            base_url: alpaca.base_url.clone(),
            credentials,
            feed,
            adjustment: choice
                .adjustment
                .clone()
                .unwrap_or_else(|| alpaca.adjustment.clone()),
            requests_per_minute: Some(alpaca.requests_per_minute),
            realtime: alpaca.is_realtime,
        };
        let limits = &self.config.http;
        let defaults = HttpOptions::new("");
        let http = HttpOptions {
            connect_timeout: limits.connect_timeout,
            read_timeout: limits.read_timeout,
            total_timeout: limits.total_timeout,
            retry: RetryPolicy {
                max_attempts: limits.attempts,
                base_delay: limits.base_delay,
                ..defaults.retry
            },
            breaker: BreakerPolicy {
                open_for: limits.probe_after,
                ..defaults.breaker
            },
            ..defaults
        };
        Ok(AlpacaMarketDataAdapter::with_http(options, http, events)?)
    }

    /// The ingest use case over these stores.
    pub fn coordinator(
        &self,
        stores: &Stores,
        provider: Arc<dyn MarketDataProvider>,
        events: Arc<dyn EventPublisher>,
    ) -> IngestionCoordinatorService {
        IngestionCoordinatorService::new(Ports {
            provider,
            store: Arc::clone(&stores.bars) as Arc<dyn BarStore>,
            ledger: stores.ledger.clone(),
            jobs: stores.jobs.clone(),
            checkpoints: stores.checkpoints.clone(),
            events,
            clock: self.clock(),
        })
    }

    /// The aggregation use case over these stores.
    pub fn aggregation_runner(
        &self,
        stores: &Stores,
        engine: Engine,
        events: Arc<dyn EventPublisher>,
    ) -> AggregationRunnerService {
        let aggregator: Arc<dyn BarAggregator> = match engine {
            Engine::Columnar => Arc::new(RollupAggregator),
            Engine::Duckdb => Arc::new(DuckdbAggregator::new()),
        };
        AggregationRunnerService::new(AggregationPorts {
            store: Arc::clone(&stores.bars) as Arc<dyn BarStore>,
            derived: Arc::clone(&stores.bars) as Arc<dyn DerivedStore>,
            aggregator,
            events,
            clock: self.clock(),
        })
    }

    /// The validation use case over these stores.
    pub fn validation_runner(
        &self,
        stores: &Stores,
        events: Arc<dyn EventPublisher>,
    ) -> ValidationRunner {
        ValidationRunner::new(ValidationPorts {
            store: Arc::clone(&stores.bars) as Arc<dyn BarStore>,
            inspector: Arc::clone(&stores.bars) as Arc<dyn FileInspector>,
            ledger: stores.ledger.clone(),
            derived: Arc::clone(&stores.bars) as Arc<dyn DerivedStore>,
            aggregator: Arc::new(RollupAggregator),
            findings: stores.findings.clone(),
            events,
            clock: self.clock(),
        })
    }

    /// How many of the kept derived bars that `sql` reads are older than their minutes, in symbol-years and frames.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn stale_partitions(
        &self,
        stores: &Stores,
        sql: &str,
        events: Arc<dyn EventPublisher>,
    ) -> Result<usize, AppError> {
        let (frames, selection) = views::derived_frames(sql);
        if frames.is_empty() {
            return Ok(0);
        }
        self.stale_files(stores, frames, selection, events)
    }

    /// The same for the frames `frames` of a selection.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn stale_files(
        &self,
        stores: &Stores,
        frames: Vec<Timeframe>,
        selection: BarSelection,
        events: Arc<dyn EventPublisher>,
    ) -> Result<usize, AppError> {
        let config = &self.config.aggregation;
        let request = AggregationRequest {
            dataset: selection.dataset,
            symbols: selection.symbols,
            sessions: selection.sessions,
            frames: FrameChoice::Exactly(frames),
            choice: config.choice,
            scope: Scope::Stale,
        };
        let runner = self.aggregation_runner(stores, config.engine, events);
        Ok(runner.plan(&request)?.partitions())
    }

    /// A locked-down query session over the catalog's files; the guard keeps them in place while it is used.
    ///
    /// # Errors
    /// When the catalog or the query engine fails.
    pub fn query_session(
        &self,
        stores: Option<&Stores>,
        sql: &str,
        memory_mb: Option<u32>,
    ) -> Result<(QuerySession, Option<LockGuard>), AppError> {
        // What a query has no memory for is written below the staging area.
        self.directory().refuse_links()?;
        let needed = stores.zip(views::needed_files(sql));
        let (files, guard): (Vec<(PartitionFile, PathBuf)>, _) = match needed {
            Some((stores, selection)) => {
                let (files, guard) = stores.bars.pin_files(&selection)?;
                (files, Some(guard))
            }
            None => (Vec::new(), None),
        };
        let files: Vec<views::CataloguedFile> = files
            .into_iter()
            .map(|(file, path)| {
                (
                    file.key.timeframe,
                    std::path::absolute(&path).unwrap_or(path),
                )
            })
            .collect();
        let limits = QueryLimits {
            memory_mb: memory_mb.unwrap_or(self.config.query.memory_limit_mb),
            threads: self.config.query.threads,
        };
        let tables = stores.map_or_else(Vec::new, |stores| self.query_tables(stores));
        let session = views::open_session(
            &files,
            &tables,
            sql,
            limits,
            &self.directory().staging().join("query"),
        )?;
        Ok((session, guard))
    }
}

impl App {
    /// What the database keeps beside the bars.
    fn query_tables<'a>(&'a self, stores: &'a Stores) -> Vec<QueryTable<'a>> {
        let all = BarSelection::default();
        let quarantine_of = all.clone();
        vec![
            QueryTable {
                name: "quarantine",
                columns: tables::QUARANTINE,
                rows: Box::new(move || {
                    let mut rows = Vec::new();
                    stores
                        .rows
                        .for_each_quarantined(&quarantine_of, &mut |row| {
                            rows.push(tables::quarantine_row(&row));
                            true
                        })?;
                    Ok(rows)
                }),
            },
            QueryTable {
                name: "revisions",
                columns: tables::REVISIONS,
                rows: Box::new(move || {
                    let mut rows = Vec::new();
                    stores.rows.for_each_revision(&all, &mut |row| {
                        rows.push(tables::revision_row(&row));
                        true
                    })?;
                    Ok(rows)
                }),
            },
            QueryTable {
                name: "jobs",
                columns: tables::JOBS,
                rows: Box::new(|| {
                    let jobs = stores.jobs.list_jobs(u32::MAX)?;
                    Ok(jobs.iter().map(tables::job_row).collect())
                }),
            },
            QueryTable {
                name: "findings",
                columns: tables::FINDINGS,
                rows: Box::new(|| {
                    let kept = stores.findings.list_findings()?;
                    Ok(kept.iter().map(tables::finding_row).collect())
                }),
            },
            QueryTable {
                name: "gaps",
                columns: tables::GAPS,
                rows: Box::new(|| {
                    let request = GapsRequest {
                        symbols: Vec::<Symbol>::new(),
                        dataset: None,
                        first: None,
                        last: None,
                        now_us: self.clock.now_us(),
                    };
                    let gaps = list_gaps(stores.ledger.as_ref(), &request);
                    let gaps =
                        gaps.map_err(|error: IngestError| QueryError::Setup(error.to_string()))?;
                    let row = |found: &crate::ingestion::SeriesGap| {
                        tables::gap_row(&found.dataset, &found.symbol, &found.gap)
                    };
                    Ok(gaps.iter().map(row).collect())
                }),
            },
        ]
    }
}

/// A database that is gone beside a lake that is not: never taken for an empty directory.
fn refuse_files_without_database(directory: &DataDirectory) -> Result<(), StoreError> {
    if !directory.has_files()? {
        return Ok(());
    }
    let context = format!(
        "{} is missing or empty although {} holds files; it is not made anew",
        directory.database().display(),
        directory.lake().display()
    );
    Err(StoreError::new(StoreErrorKind::Damaged, context))
}

fn stores(bars: LakeStore, database: Database) -> Stores {
    Stores {
        bars: Arc::new(bars),
        ledger: Arc::new(SqliteSymbolBarsRepository::new(database.clone())),
        jobs: Arc::new(SqliteJobRepository::new(database.clone())),
        checkpoints: Arc::new(SqliteCheckpointRepository::new(database.clone())),
        rows: Arc::new(SqliteOhlcvRepository::new(database.clone())),
        findings: Arc::new(SqliteFindingRepository::new(database.clone())),
        metrics: Arc::new(SqliteMetricsRepository::new(database)),
    }
}
