//! Fetching one unit: the walk through its pages into columns. Knows nothing of what is stored.

use std::collections::{HashMap, HashSet};

use crate::domain::event::Event;
use crate::domain::ports::{
    BarsRequest, EventPublisher, MarketDataProvider, ProviderError, ProviderErrorKind, StrayRows,
};
use crate::domain::{BarColumns, JobId, Symbol};

use super::plan::FetchUnit;
use super::stop::StopSignal;

/// Pages beyond this many times the expected number are taken for a walk without end.
const PAGE_ALLOWANCE: u64 = 4;

/// The complete answer for one unit.
#[derive(Debug)]
pub(super) struct FetchedUnit {
    pub(super) unit: FetchUnit,
    /// Rows by symbol; a symbol without rows has no entry.
    pub(super) bars: HashMap<Symbol, FetchedBars>,
    pub(super) strays: Vec<(StrayRows, String)>,
    /// Symbols that the provider refused, with its words.
    pub(super) refused: Vec<(Symbol, String)>,
    /// When the first page was asked for, UTC microseconds.
    pub(super) asked_at_us: i64,
    pub(super) traffic: Traffic,
}

/// One symbol's rows and the page that brought the first of them.
#[derive(Debug, Default)]
pub(super) struct FetchedBars {
    pub(super) columns: BarColumns,
    pub(super) source: String,
}

/// What a fetch cost.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Traffic {
    pub(super) requests: u64,
    pub(super) retries: u64,
    pub(super) wire_bytes: u64,
    pub(super) rows: u64,
}

/// Why a unit was not fetched.
#[derive(Debug)]
pub(super) enum FetchFailure {
    /// The provider failed for good, after so much traffic.
    Provider(ProviderError, Traffic),
    /// The run was asked to stop.
    Stopped,
}

/// Fetches all pages of `unit`. Nothing of an incomplete walk is returned.
///
/// A symbol that the provider refuses is taken out and the walk begins again with the others.
pub(super) async fn fetch_unit(
    provider: &dyn MarketDataProvider,
    events: &dyn EventPublisher,
    stop: &StopSignal,
    job: JobId,
    mut unit: FetchUnit,
    asked_at_us: i64,
) -> Result<FetchedUnit, FetchFailure> {
    let mut refused = Vec::new();
    let mut traffic = Traffic::default();
    loop {
        if unit.symbols.is_empty() {
            return Ok(FetchedUnit {
                unit,
                bars: HashMap::new(),
                strays: Vec::new(),
                refused,
                asked_at_us,
                traffic,
            });
        }
        let mut walk = PageWalk::default();
        let walked = tokio::select! {
            biased;
            () = stop.stopped() => return Err(FetchFailure::Stopped),
            walked = walk.run(provider, events, job, &unit, &mut traffic) => walked,
        };
        match walked {
            Ok(()) => {
                return Ok(FetchedUnit {
                    unit,
                    bars: walk.bars,
                    strays: walk.strays,
                    refused,
                    asked_at_us,
                    traffic,
                });
            }
            Err(error) => match refused_symbol(&error, &unit) {
                Some(symbol) => {
                    unit.symbols.retain(|other| *other != symbol);
                    refused.push((symbol, error.context));
                }
                None => return Err(FetchFailure::Provider(error, traffic)),
            },
        }
    }
}

fn refused_symbol(error: &ProviderError, unit: &FetchUnit) -> Option<Symbol> {
    let symbol = error
        .symbol
        .as_ref()
        .filter(|_| error.kind == ProviderErrorKind::InvalidSymbol)?;
    unit.symbols.contains(symbol).then(|| symbol.clone())
}

#[derive(Default)]
struct PageWalk {
    bars: HashMap<Symbol, FetchedBars>,
    strays: Vec<(StrayRows, String)>,
}

impl PageWalk {
    async fn run(
        &mut self,
        provider: &dyn MarketDataProvider,
        events: &dyn EventPublisher,
        job: JobId,
        unit: &FetchUnit,
        traffic: &mut Traffic,
    ) -> Result<(), ProviderError> {
        let request = BarsRequest {
            symbols: unit.symbols.clone(),
            range: unit.range,
        };
        let page_limit = most_pages(unit, provider.profile().rows_per_page);
        let mut seen = HashSet::new();
        let mut token = None;
        let mut pages: u64 = 0;
        loop {
            let page = provider.fetch_page(&request, token.as_ref()).await?;
            pages += 1;
            traffic.requests += page.requests;
            traffic.retries += page.requests.saturating_sub(1);
            traffic.wire_bytes += page.wire_bytes;
            let mut rows = 0;
            for (symbol, columns) in page.bars {
                rows += columns.len();
                let entry = self.bars.entry(symbol).or_insert_with(|| FetchedBars {
                    source: page.source.clone(),
                    ..FetchedBars::default()
                });
                if entry.columns.is_empty() {
                    entry.columns = columns;
                } else {
                    entry.columns.extend_from(&columns, 0..columns.len());
                }
            }
            rows += page.strays.iter().map(|stray| stray.rows).sum::<usize>();
            traffic.rows += u64::try_from(rows).unwrap_or(u64::MAX);
            self.strays.extend(
                page.strays
                    .into_iter()
                    .map(|stray| (stray, page.source.clone())),
            );
            events.publish(&Event::PageFetched {
                job,
                rows,
                wire_bytes: page.wire_bytes,
            });
            let Some(next) = page.next else {
                return Ok(());
            };
            if !seen.insert(next.clone()) {
                let context = format!(
                    "the provider names page {} of {} twice, the walk would never end",
                    pages + 1,
                    unit.describe()
                );
                return Err(ProviderError::new(ProviderErrorKind::Malformed, context));
            }
            if pages >= page_limit {
                let context = format!(
                    "the provider keeps naming further pages of {} after {pages}, more than it can have",
                    unit.describe()
                );
                return Err(ProviderError::new(ProviderErrorKind::Malformed, context));
            }
            token = Some(next);
        }
    }
}

/// More pages than this a unit cannot have, even if every minute of every symbol traded and pages came short.
fn most_pages(unit: &FetchUnit, rows_per_page: usize) -> u64 {
    let minutes = u64::try_from(
        (unit.range.end_us - unit.range.start_us) / crate::domain::instant::MINUTE_US,
    )
    .unwrap_or(0);
    let symbols = u64::try_from(unit.symbols.len()).unwrap_or(u64::MAX);
    let per_page = u64::try_from(rows_per_page).unwrap_or(u64::MAX).max(1);
    minutes
        .saturating_mul(symbols)
        .div_ceil(per_page)
        .saturating_mul(PAGE_ALLOWANCE)
        .saturating_add(20)
}
