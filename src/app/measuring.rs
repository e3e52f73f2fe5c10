//! Measurements put together: what keeps them while a command runs, and the page that Prometheus reads.

use std::sync::Arc;

use super::{App, AppError, Stores};
use crate::domain::causes::with_causes;
use crate::domain::ports::{
    EventPublisher, EventStatistics, MetricsRepository, Retention, StoreError, StoreErrorKind,
};
use crate::infrastructure::events::EventBus;
use crate::infrastructure::metrics_server::MetricsPage;
use crate::metrics::exposition::{self, Detail};
use crate::metrics::gauges::gauges_of;
use crate::metrics::{MetricsRecorder, Recording, RecordingPorts};

impl App {
    /// Who adds up what runs measure; `None` where nothing is to be kept.
    pub fn metrics_recorder(&self) -> Option<Arc<MetricsRecorder>> {
        let is_enabled = self.config.metrics.is_enabled;
        is_enabled.then(|| Arc::new(MetricsRecorder::new(self.clock())))
    }

    /// Begins to keep what `recorder` adds up and what became of events.
    pub fn begin_recording(
        &self,
        stores: &Stores,
        recorder: Arc<MetricsRecorder>,
        events: &Arc<EventBus>,
    ) -> Recording {
        let ports = RecordingPorts {
            recorder,
            events: Arc::clone(events) as Arc<dyn EventStatistics>,
            repository: Arc::clone(&stores.metrics) as Arc<dyn MetricsRepository>,
            clock: self.clock(),
        };
        let retention = Retention {
            raw_days: self.config.metrics.raw_days,
            hourly_days: self.config.metrics.hourly_days,
        };
        Recording::begin(ports, retention, std::process::id())
    }

    /// The page that Prometheus reads, made anew of what is kept each time it is asked for.
    pub fn metrics_page(&self, detail: Detail, events: Arc<dyn EventPublisher>) -> LivePage {
        LivePage {
            app: self.clone(),
            detail,
            events,
        }
    }
}

/// What is kept and stored at the moment when it is asked for.
pub struct LivePage {
    app: App,
    detail: Detail,
    events: Arc<dyn EventPublisher>,
}

impl LivePage {
    /// The stores as they are now: the data directory may be made, upgraded or replaced while the page is served.
    fn stores(&self) -> Result<Option<Stores>, AppError> {
        self.app.open_existing_stores(Arc::clone(&self.events))
    }

    /// The page; without a data directory it has no series but the program's.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn text(&self) -> Result<String, AppError> {
        let now_us = self.app.clock.now_us();
        let (totals, stock) = match self.stores()? {
            Some(stores) => (stores.metrics.list_totals()?, stores.metrics.take_stock()?),
            None => Default::default(),
        };
        Ok(exposition::render(
            &totals,
            &gauges_of(&stock, now_us),
            self.detail,
        ))
    }

    /// Whether database and lake can be read.
    fn check(&self) -> Result<(), AppError> {
        let directory = self.app.directory();
        let Some(stores) = self.stores()? else {
            let context = format!("nothing is kept in {} yet", directory.root().display());
            return Err(StoreError::new(StoreErrorKind::Missing, context).into());
        };
        stores.metrics.list_runs(1)?;
        Ok(directory.check_lake()?)
    }
}

impl MetricsPage for LivePage {
    fn render(&self) -> Result<String, String> {
        self.text().map_err(|error| with_causes(&error))
    }

    fn check_ready(&self) -> Result<(), String> {
        self.check().map_err(|error| with_causes(&error))
    }
}
