//! The bars of one series in any frame, for looking at them: those that are kept where they are up to date, else made of
//! minutes in memory. Writes nothing.

use thiserror::Error;

use crate::domain::chart::{BarOrigin, PlacedBar};
use crate::domain::ports::{AggregateError, BarSelection, StoreError};
use crate::domain::{
    AggregationChoice, AggregationSpec, BarBatch, Calendar, Dataset, DerivedBatch, SessionDate,
    Symbol, Timeframe,
};

use super::plan::{AggregationRequest, FrameChoice, Scope, SymbolYear};
use super::runner::AggregationRunnerService;

/// Which bars are wanted.
#[derive(Debug, Clone)]
pub struct FrameBarsRequest {
    /// The dataset.
    pub dataset: Dataset,
    /// The symbol.
    pub symbol: Symbol,
    /// First and last session, both inside.
    pub sessions: (SessionDate, SessionDate),
    /// The length of the bars.
    pub frame: Timeframe,
    /// What bars are that are longer than a minute.
    pub choice: AggregationChoice,
}

/// Why there are no bars.
#[derive(Debug, Error)]
pub enum FrameBarsError {
    /// They could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They could not be added up.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
}

impl AggregationRunnerService {
    /// The bars of the request, ascending, and where they come from.
    ///
    /// # Errors
    /// When a file cannot be read or is not what the catalog says, or minutes cannot be added up.
    pub fn frame_bars(
        &self,
        request: &FrameBarsRequest,
    ) -> Result<(Vec<PlacedBar>, BarOrigin), FrameBarsError> {
        let calendar = Calendar::of(&request.symbol);
        let spec = AggregationSpec::new(request.frame, request.choice, calendar).ok();
        if spec.is_some() && self.is_up_to_date(request)? {
            return Ok((self.kept_bars(request)?, BarOrigin::Kept));
        }
        let selection = BarSelection {
            dataset: Some(request.dataset.clone()),
            symbols: vec![request.symbol.clone()],
            timeframe: Some(Timeframe::M1),
            sessions: Some(request.sessions),
        };
        let minutes = self.ports.store.load(&selection)?;
        let batches: Vec<&BarBatch> = minutes.iter().map(|(_, batch)| batch).collect();
        let Some(spec) = spec else {
            let bars = batches.iter().flat_map(|batch| placed(batch, |_| 1));
            return Ok((bars.collect(), BarOrigin::Kept));
        };
        let made = self.ports.aggregator.aggregate(&batches, &[spec])?;
        let bars = made.iter().flat_map(placed_derived).collect();
        Ok((bars, BarOrigin::MadeOfMinutes))
    }

    /// Whether the frame is kept for every year of the range that has minutes, and made of what they are now.
    fn is_up_to_date(&self, request: &FrameBarsRequest) -> Result<bool, StoreError> {
        let plan = self.plan(&AggregationRequest {
            dataset: Some(request.dataset.clone()),
            symbols: vec![request.symbol.clone()],
            sessions: Some(request.sessions),
            frames: FrameChoice::Exactly(vec![request.frame]),
            choice: request.choice,
            scope: Scope::Stale,
        })?;
        Ok(plan.partitions() == 0 && plan.fresh > 0)
    }

    fn kept_bars(&self, request: &FrameBarsRequest) -> Result<Vec<PlacedBar>, StoreError> {
        let (first, last) = request.sessions;
        let mut bars = Vec::new();
        for year in first.year()..=last.year() {
            let of = SymbolYear {
                dataset: request.dataset.clone(),
                symbol: request.symbol.clone(),
                year,
            };
            if let Some(kept) = self
                .ports
                .derived
                .load_derived(&of.partition(request.frame))?
            {
                bars.extend(placed_derived(&kept.bars));
            }
        }
        bars.retain(|bar| first <= bar.session && bar.session <= last);
        Ok(bars)
    }
}

fn placed_derived(derived: &DerivedBatch) -> impl Iterator<Item = PlacedBar> {
    placed(derived.bars(), |row| derived.minutes()[row])
}

/// The bars of a batch with their places; `minutes` says of how many each was made.
fn placed(batch: &BarBatch, minutes: impl Fn(usize) -> i32) -> impl Iterator<Item = PlacedBar> {
    (0..batch.len()).filter_map(move |row| {
        Some(PlacedBar {
            bar: batch.bar(row),
            // Proven batches hold dates that exist.
            session: SessionDate::from_days_since_epoch(batch.session_days()[row])?,
            segment: batch.segments()[row],
            minutes: u32::try_from(minutes(row)).unwrap_or(0),
        })
    })
}
