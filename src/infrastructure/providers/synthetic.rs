//! Made-up bars that look like a market's and need no account: for trying, testing and measuring.
//!
//! A provider like any other: pages, tokens, errors. Knows no network and no store.

mod market;

use std::future;
use std::sync::Arc;

use market::Instrument;

use crate::domain::instant::MINUTE_US;
use crate::domain::ports::provider::BoxFuture;
use crate::domain::ports::{
    BarsPage, BarsRequest, Clock, MarketDataProvider, PageToken, ProviderError, ProviderErrorKind,
    ProviderProfile,
};
use crate::domain::{BarColumns, Calendar, Dataset, InstantRange, Session, Symbol};

/// Rows on a page, as many as the real providers give.
const ROWS_PER_PAGE: usize = 10_000;

/// Symbols in a request.
const SYMBOLS_PER_REQUEST: usize = 100;

/// Makes up bars.
///
/// The bars of a session depend on nothing but symbol, seed and date, so requests that overlap agree, on
/// every machine. Sessions are the calendar's: the New York Stock Exchange's with its holidays and half
/// days, or every UTC day for pairs such as `BTC/USD`. A bar exists once its minute is over.
pub struct SyntheticProvider {
    profile: ProviderProfile,
    seed: u64,
    clock: Arc<dyn Clock>,
}

impl SyntheticProvider {
    /// The market of `seed`, kept as dataset `synthetic/seed-N/raw`; it ends at the clock's time.
    pub fn new(seed: u64, clock: Arc<dyn Clock>) -> Self {
        // Twenty digits do not fit into a dataset's name; sixteen hexadecimal ones do.
        let feed = match i64::try_from(seed) {
            Ok(seed) => format!("seed-{seed}"),
            Err(_) => format!("seed-x{seed:x}"),
        };
        let dataset = Dataset::new("synthetic", &feed, "raw")
            .expect("the parts are short and of legal characters");
        let profile = ProviderProfile {
            name: "synthetic".to_owned(),
            dataset,
            is_real: false,
            max_symbols_per_request: SYMBOLS_PER_REQUEST,
            rows_per_page: ROWS_PER_PAGE,
            hold_back_us: 0,
            requests_per_minute: None,
        };
        Self {
            profile,
            seed,
            clock,
        }
    }

    fn page(
        &self,
        request: &BarsRequest,
        token: Option<&PageToken>,
    ) -> Result<BarsPage, ProviderError> {
        check(request)?;
        let (first_symbol, mut from_us) = match token {
            Some(token) => position(request, token)?,
            None => (0, request.range.start_us),
        };
        let source = format!(
            "{} {} from {from_us}",
            self.profile.dataset, request.symbols[first_symbol]
        );
        // A bar whose minute is not over does not exist yet.
        let end_us = request
            .range
            .end_us
            .min(self.clock.now_us().saturating_sub(MINUTE_US - 1));
        let mut bars: Vec<(Symbol, BarColumns)> = Vec::new();
        let mut room = ROWS_PER_PAGE;
        let mut next = None;
        for symbol in &request.symbols[first_symbol..] {
            let range = InstantRange {
                start_us: from_us,
                end_us,
            };
            let mut columns = BarColumns::default();
            let rest_us = self.fill(symbol, range, room, &mut columns)?;
            room -= columns.len();
            if !columns.is_empty() {
                bars.push((symbol.clone(), columns));
            }
            if let Some(rest_us) = rest_us {
                next = Some(PageToken(format!("{symbol}@{rest_us}")));
                break;
            }
            from_us = request.range.start_us;
        }
        Ok(BarsPage {
            answered_at_us: None,
            bars,
            strays: Vec::new(),
            next,
            wire_bytes: 0,
            requests: 1,
            source,
        })
    }

    /// Appends the bars of `range` up to `room` rows; returns the first bar that found no room.
    fn fill(
        &self,
        symbol: &Symbol,
        range: InstantRange,
        room: usize,
        columns: &mut BarColumns,
    ) -> Result<Option<i64>, ProviderError> {
        let instrument = Instrument::new(symbol, self.seed);
        let calendar = Calendar::of(symbol);
        let mut from_us = range.start_us;
        while from_us < range.end_us {
            let session = session_at(calendar, from_us)?;
            let of_session = instrument.session_bars(&session);
            let start = of_session.ts_us.partition_point(|&ts_us| ts_us < from_us);
            let end = of_session
                .ts_us
                .partition_point(|&ts_us| ts_us < range.end_us);
            let fitting = end.min(start + (room - columns.len()));
            columns.extend_from(&of_session, start..fitting);
            if fitting < end {
                return Ok(Some(of_session.ts_us[fitting]));
            }
            from_us = session.window_end_us();
        }
        Ok(None)
    }
}

impl MarketDataProvider for SyntheticProvider {
    fn profile(&self) -> &ProviderProfile {
        &self.profile
    }

    fn fetch_page<'a>(
        &'a self,
        request: &'a BarsRequest,
        token: Option<&'a PageToken>,
    ) -> BoxFuture<'a, Result<BarsPage, ProviderError>> {
        Box::pin(future::ready(self.page(request, token)))
    }
}

/// The bars that a whole session of `symbol` has in the market of `seed`, ascending.
///
/// `session` is one of the calendar that the symbol trades by ([`Calendar::of`]).
pub fn synthetic_session(symbol: &Symbol, seed: u64, session: &Session) -> BarColumns {
    Instrument::new(symbol, seed).session_bars(session)
}

/// Refuses what cannot be answered: nothing asked for, or instants beyond a symbol's calendar.
fn check(request: &BarsRequest) -> Result<(), ProviderError> {
    let range = request.range;
    if request.symbols.is_empty() || range.is_empty() {
        return Err(bad_request(format!(
            "nothing is asked for: {} symbols, {range}",
            request.symbols.len()
        )));
    }
    if !request.symbols.is_sorted_by(|a, b| a < b) {
        return Err(bad_request("symbols are not in ascending order".to_owned()));
    }
    for symbol in &request.symbols {
        for instant_us in [range.start_us, range.end_us - 1] {
            session_at(Calendar::of(symbol), instant_us)?;
        }
    }
    Ok(())
}

fn session_at(calendar: Calendar, instant_us: i64) -> Result<Session, ProviderError> {
    calendar
        .session_containing(instant_us)
        .map_err(|error| bad_request(error.to_string()).caused_by(error))
}

/// Where a token points: the place of its symbol in the request and the instant to go on from.
fn position(request: &BarsRequest, token: &PageToken) -> Result<(usize, i64), ProviderError> {
    let found = token.0.split_once('@').and_then(|(name, from_us)| {
        let place = request
            .symbols
            .iter()
            .position(|symbol| symbol.as_str() == name)?;
        let from_us = from_us.parse().ok()?;
        request.range.contains(from_us).then_some((place, from_us))
    });
    found.ok_or_else(|| bad_request("the page token does not belong to this request".to_owned()))
}

fn bad_request(context: String) -> ProviderError {
    ProviderError::new(ProviderErrorKind::BadRequest, context)
}

#[cfg(test)]
mod tests;
