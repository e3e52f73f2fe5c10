//! Fetching one unit: the walk through its pages into columns. Knows nothing of what is stored.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::event::Event;
use crate::domain::instant::{MINUTE_US, format_utc};
use crate::domain::ports::{
    BarsRequest, EventPublisher, MarketDataProvider, ProviderError, ProviderErrorKind, StrayRows,
};
use crate::domain::{BarColumns, JobId, Symbol};

use super::plan::FetchUnit;

/// Pages beyond this many times the expected number are taken for a walk without end.
const PAGE_ALLOWANCE: u64 = 4;

/// How far this machine's clock may be ahead of the provider's before its word counts less.
const CLOCK_TOLERANCE_US: i64 = 10 * MINUTE_US;

/// The complete answer for one unit.
#[derive(Debug)]
pub(super) struct FetchedUnit {
    pub(super) unit: FetchUnit,
    /// Rows by symbol; a symbol without rows has no entry.
    pub(super) bars: HashMap<Symbol, FetchedBars>,
    pub(super) strays: Vec<(StrayRows, String)>,
    /// When the first page was asked for, UTC microseconds.
    pub(super) asked_at_us: i64,
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

/// Symbols that the provider refused in this run, with its words: no other unit asks for them again.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<Symbol, String>>);

impl Refusals {
    fn retain_legal(&self, symbols: &mut Vec<Symbol>) {
        let refused = self.lock();
        symbols.retain(|symbol| !refused.contains_key(symbol));
    }

    /// Takes all of them, by symbol.
    pub(super) fn take(&self) -> BTreeMap<Symbol, String> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Symbol, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What every fetch of a run needs.
#[derive(Clone, Copy)]
pub(super) struct FetchContext<'a> {
    pub(super) provider: &'a dyn MarketDataProvider,
    pub(super) events: &'a dyn EventPublisher,
    pub(super) job: JobId,
    pub(super) refusals: &'a Refusals,
}

/// Fetches all pages of `unit`. Nothing of an incomplete walk is returned; what it cost is counted in `traffic`, also
/// when the future is dropped.
///
/// A symbol that the provider refuses is taken out and the walk begins again with the others. It also begins again,
/// once, when a page further on is refused: the token was no longer good.
pub(super) async fn fetch_unit(
    context: FetchContext<'_>,
    mut unit: FetchUnit,
    asked_at_us: i64,
    traffic: &mut Traffic,
) -> Result<FetchedUnit, ProviderError> {
    let mut has_begun_again = false;
    loop {
        context.refusals.retain_legal(&mut unit.symbols);
        let mut walk = PageWalk::default();
        if !unit.symbols.is_empty()
            && let Err(error) = walk.run(context, &unit, traffic).await
        {
            traffic.requests += error.requests;
            traffic.retries += error.requests.saturating_sub(1);
            if let Some(symbol) = refused_symbol(&error, &unit) {
                context.refusals.lock().insert(symbol, error.context);
            } else if error.kind == ProviderErrorKind::BadRequest
                && walk.pages > 0
                && !has_begun_again
            {
                tracing::info!("{error}; the walk begins again");
                has_begun_again = true;
            } else {
                return Err(error);
            }
            continue;
        }
        return Ok(FetchedUnit {
            unit,
            bars: walk.bars,
            strays: walk.strays,
            asked_at_us: settled_by(asked_at_us, walk.answered_at_us),
        });
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
    /// Pages that came.
    pages: u64,
    bars: HashMap<Symbol, FetchedBars>,
    strays: Vec<(StrayRows, String)>,
    /// When the first page came by the provider's clock, if it says so.
    answered_at_us: Option<i64>,
}

/// A clock that is ahead asks for sessions that have not been: their emptiness is no answer, and must not be kept as one.
fn refuse_future(unit: &FetchUnit, answered_at_us: Option<i64>) -> Result<(), ProviderError> {
    match answered_at_us {
        Some(now_us) if unit.range.end_us > now_us.saturating_add(CLOCK_TOLERANCE_US) => {
            let context = format!(
                "{} were asked for up to {}, but by the provider's clock it is {}: this machine's clock is ahead",
                unit.describe(),
                format_utc(unit.range.end_us),
                format_utc(now_us)
            );
            Err(ProviderError::new(ProviderErrorKind::ClockAhead, context))
        }
        _ => Ok(()),
    }
}

/// When the answer was asked for. Later answers replace earlier ones, and those after the next session's beginning are
/// final: a clock that is ahead must neither make an answer final too early nor keep later ones out.
fn settled_by(asked_at_us: i64, answered_at_us: Option<i64>) -> i64 {
    match answered_at_us {
        Some(now_us) if asked_at_us > now_us.saturating_add(CLOCK_TOLERANCE_US) => now_us,
        _ => asked_at_us,
    }
}

impl PageWalk {
    async fn run(
        &mut self,
        context: FetchContext<'_>,
        unit: &FetchUnit,
        traffic: &mut Traffic,
    ) -> Result<(), ProviderError> {
        let FetchContext {
            provider,
            events,
            job,
            ..
        } = context;
        let request = BarsRequest {
            symbols: unit.symbols.clone(),
            range: unit.range,
        };
        let page_limit = most_pages(unit, provider.profile().rows_per_page);
        let mut seen = HashSet::new();
        let mut token = None;
        loop {
            let page = match provider.fetch_page(&request, token.as_ref()).await {
                Ok(page) => page,
                Err(error) => {
                    // A plan without the newest bars has none of the future either: the clock is the reason.
                    refuse_future(unit, error.answered_at_us).map_err(|ahead| ProviderError {
                        requests: error.requests,
                        ..ahead
                    })?;
                    return Err(error);
                }
            };
            self.pages += 1;
            traffic.requests += page.requests;
            traffic.retries += page.requests.saturating_sub(1);
            traffic.wire_bytes += page.wire_bytes;
            self.answered_at_us = self.answered_at_us.or(page.answered_at_us);
            refuse_future(unit, page.answered_at_us)?;
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
                    self.pages + 1,
                    unit.describe()
                );
                return Err(ProviderError::new(ProviderErrorKind::Malformed, context));
            }
            if self.pages >= page_limit {
                let context = format!(
                    "the provider keeps naming further pages of {} after {}, more than it can have",
                    unit.describe(),
                    self.pages
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::InstantRange;

    const NOW_US: i64 = 1_790_000_000_000_000;

    fn unit_up_to(end_us: i64) -> FetchUnit {
        FetchUnit {
            number: 0,
            symbols: vec!["AAPL".parse().unwrap()],
            range: InstantRange {
                start_us: NOW_US - 1_000 * MINUTE_US,
                end_us,
            },
            sessions: std::sync::Arc::from([]),
            nights: Vec::new(),
            expected_rows: 0,
        }
    }

    #[test]
    fn what_lies_in_the_provider_s_future_is_no_answer() {
        let within = unit_up_to(NOW_US + CLOCK_TOLERANCE_US);
        let beyond = unit_up_to(NOW_US + CLOCK_TOLERANCE_US + MINUTE_US);
        assert!(refuse_future(&within, Some(NOW_US)).is_ok());
        let refused = refuse_future(&beyond, Some(NOW_US)).unwrap_err();
        assert_eq!(refused.kind, ProviderErrorKind::ClockAhead);
        assert!(refused.kind.ends_the_run() && !refused.kind.is_retryable());
        // Who says no time cannot contradict.
        assert!(refuse_future(&beyond, None).is_ok());
    }

    #[test]
    fn a_clock_that_is_far_ahead_does_not_say_when_an_answer_was_asked_for() {
        let year_us = 365 * 1_440 * MINUTE_US;
        assert_eq!(settled_by(NOW_US + year_us, Some(NOW_US)), NOW_US);
        for asked_at_us in [NOW_US - year_us, NOW_US, NOW_US + CLOCK_TOLERANCE_US] {
            assert_eq!(settled_by(asked_at_us, Some(NOW_US)), asked_at_us);
            assert_eq!(settled_by(asked_at_us, None), asked_at_us);
        }
    }
}
