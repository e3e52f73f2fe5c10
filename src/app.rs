//! The composition root: the only place that knows both the use cases and what stands behind their ports.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::config::{Config, ConfigError};
use crate::domain::Timeframe;
use crate::domain::ports::{
    BarSelection, BarStore, Clock, EventPublisher, MarketDataProvider, PartitionFile,
    ProviderError, StoreError, StoreErrorKind,
};
use crate::infrastructure::clock::SystemClock;
use crate::infrastructure::duckdb::{QueryError, QueryLimits, QuerySession, views};
use crate::infrastructure::lake::{DataDirectory, LakeStore, LockGuard};
use crate::infrastructure::providers::alpaca::{
    AlpacaCredentials, AlpacaMarketDataAdapter, AlpacaOptions,
};
use crate::infrastructure::providers::synthetic::SyntheticProvider;
use crate::infrastructure::sqlite::{
    Database, SqliteCheckpointRepository, SqliteJobRepository, SqliteSymbolBarsRepository,
};
use crate::ingestion::{IngestionCoordinatorService, Ports};

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
    #[error("provider `{0}` is unknown, expected one of alpaca, iex, synthetic")]
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
    /// `alpaca`, `iex` or `synthetic`.
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
}

/// The program with its configuration.
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
        directory.create()?;
        let path = directory.database();
        if !path.exists() {
            refuse_files_without_database(&directory)?;
        }
        let database = Database::open(&path)?;
        let bars = LakeStore::open(directory, database.clone(), events, lock_wait)?;
        Ok(stores(bars, database))
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
        Ok(AlpacaMarketDataAdapter::new(options, events)?)
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
            events,
            clock: self.clock(),
        })
    }

    /// A locked-down query session over the catalog's files; the guard keeps them in place while it is used.
    ///
    /// # Errors
    /// When the catalog or the query engine fails.
    pub fn query_session(
        &self,
        stores: Option<&Stores>,
        sql: &str,
    ) -> Result<(QuerySession, Option<LockGuard>), AppError> {
        let (files, guard): (Vec<(PartitionFile, PathBuf)>, _) = match stores {
            Some(stores) => {
                let selection = BarSelection {
                    timeframe: Some(Timeframe::M1),
                    ..BarSelection::default()
                };
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
            memory_mb: self.config.query.memory_limit_mb,
            threads: self.config.query.threads,
        };
        let session = views::open_session(
            &files,
            sql,
            limits,
            &self.directory().staging().join("query"),
        )?;
        Ok((session, guard))
    }
}

/// A database that is gone beside a lake that is not: never taken for an empty directory.
fn refuse_files_without_database(directory: &DataDirectory) -> Result<(), StoreError> {
    if !directory.has_files()? {
        return Ok(());
    }
    let context = format!(
        "{} is missing although {} holds files; it is not made anew",
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
        checkpoints: Arc::new(SqliteCheckpointRepository::new(database)),
    }
}
