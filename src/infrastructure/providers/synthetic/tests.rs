//! What the made-up market promises.

use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

const NYSE: Calendar = Calendar::nyse();

/// A clock that stands still.
struct Standing(i64);

impl Clock for Standing {
    fn now_us(&self) -> i64 {
        self.0
    }
}

fn provider_at(now_us: i64) -> SyntheticProvider {
    SyntheticProvider::new(1, Arc::new(Standing(now_us)))
}

fn provider() -> SyntheticProvider {
    provider_at(i64::MAX)
}

fn symbol(name: &str) -> Symbol {
    name.parse().unwrap()
}

fn symbols(names: &[&str]) -> Vec<Symbol> {
    names.iter().map(|name| symbol(name)).collect()
}

fn session(date: &str) -> Session {
    NYSE.session(date.parse().unwrap()).unwrap().unwrap()
}

/// From the window of the first date's session to that of the last one's.
fn whole(first: &str, last: &str) -> InstantRange {
    InstantRange {
        start_us: session(first).window_start_us(),
        end_us: session(last).window_end_us(),
    }
}

fn fetch(
    provider: &SyntheticProvider,
    request: &BarsRequest,
    token: Option<&PageToken>,
) -> Result<BarsPage, ProviderError> {
    let mut page = provider.fetch_page(request, token);
    match page.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(page) => page,
        Poll::Pending => panic!("made-up bars need no waiting"),
    }
}

/// All pages of a request.
fn walk(provider: &SyntheticProvider, request: &BarsRequest) -> Vec<BarsPage> {
    let mut pages = vec![fetch(provider, request, None).unwrap()];
    while let Some(token) = pages.last().unwrap().next.clone() {
        pages.push(fetch(provider, request, Some(&token)).unwrap());
    }
    pages
}

/// All bars of a request, by symbol.
fn bars(
    provider: &SyntheticProvider,
    names: &[&str],
    range: InstantRange,
) -> Vec<(Symbol, BarColumns)> {
    let request = BarsRequest {
        symbols: symbols(names),
        range,
    };
    let mut all: Vec<(Symbol, BarColumns)> = Vec::new();
    for (symbol, columns) in walk(provider, &request)
        .into_iter()
        .flat_map(|page| page.bars)
    {
        match all.last_mut().filter(|(last, _)| *last == symbol) {
            Some((_, whole)) => whole.extend_from(&columns, 0..columns.len()),
            None => all.push((symbol, columns)),
        }
    }
    all
}

#[test]
fn the_profile_says_that_nothing_is_real() {
    let provider = provider();
    let profile = provider.profile();
    assert_eq!(profile.dataset.to_string(), "synthetic/seed-1/raw");
    assert!(!profile.is_real);
    assert_eq!(profile.requests_per_minute, None);
    let largest = SyntheticProvider::new(u64::MAX, Arc::new(Standing(0)));
    assert_eq!(
        largest.profile().dataset.to_string(),
        "synthetic/seed-xffffffffffffffff/raw"
    );
}

#[test]
fn pages_are_full_but_for_the_last_and_go_by_symbol_and_time() {
    let request = BarsRequest {
        symbols: symbols(&["AAPL", "MSFT", "SPY"]),
        range: whole("2024-05-01", "2024-07-05"),
    };
    let pages = walk(&provider(), &request);
    assert!(pages.len() > 2);
    let rows = |page: &BarsPage| {
        page.bars
            .iter()
            .map(|(_, columns)| columns.len())
            .sum::<usize>()
    };
    let (last, full) = pages.split_last().unwrap();
    assert!(
        full.iter()
            .all(|page| rows(page) == ROWS_PER_PAGE && page.next.is_some())
    );
    assert!(rows(last) <= ROWS_PER_PAGE && last.next.is_none());
    let order: Vec<_> = pages
        .iter()
        .flat_map(|page| &page.bars)
        .flat_map(|(symbol, columns)| columns.ts_us.iter().map(move |ts_us| (symbol, ts_us)))
        .collect();
    assert!(
        order.is_sorted_by(|a, b| a < b),
        "no bar comes twice or too late"
    );
}

#[test]
fn a_range_that_fills_a_page_exactly_has_no_empty_page_behind() {
    let provider = provider();
    let request = BarsRequest {
        symbols: symbols(&["AAPL"]),
        range: whole("2024-05-01", "2024-07-05"),
    };
    let token = fetch(&provider, &request, None).unwrap().next.unwrap();
    let (_, end_us) = position(&request, &token).unwrap();
    let exact = BarsRequest {
        range: InstantRange {
            end_us,
            ..request.range
        },
        ..request
    };
    let page = fetch(&provider, &exact, None).unwrap();
    assert_eq!((page.bars[0].1.len(), page.next), (ROWS_PER_PAGE, None));
}

#[test]
fn bars_of_the_same_session_are_the_same_whoever_asks() {
    let session = session("2024-07-02");
    let of_range = bars(&provider(), &["AAPL"], whole("2024-07-02", "2024-07-02"));
    assert_eq!(
        of_range[0].1,
        synthetic_session(&symbol("AAPL"), 1, &session)
    );
    assert_ne!(
        of_range[0].1,
        synthetic_session(&symbol("AAPL"), 2, &session)
    );
    assert_ne!(
        of_range[0].1,
        synthetic_session(&symbol("MSFT"), 1, &session)
    );
}

#[test]
fn a_bar_exists_once_its_minute_is_over() {
    let session = session("2024-07-02");
    let range = whole("2024-07-02", "2024-07-02");
    let newest = |now_us| {
        bars(&provider_at(now_us), &["AAPL"], range)
            .first()
            .and_then(|(_, columns)| columns.ts_us.last().copied())
    };
    let (open_us, close_us) = (session.open_us(), session.close_us());
    assert_eq!(
        newest(open_us + MINUTE_US),
        Some(open_us),
        "the opening auction always trades"
    );
    assert!(newest(open_us + MINUTE_US - 1).is_none_or(|ts_us| ts_us < open_us));
    assert_eq!(
        newest(close_us),
        Some(close_us - MINUTE_US),
        "so does the closing one"
    );
    assert_eq!(newest(range.start_us), None);
    assert_eq!(newest(i64::MIN), None);
}

#[test]
fn requests_that_cannot_be_answered_are_refused() {
    let provider = provider();
    let first_us = NYSE
        .sessions("1990-01-02".parse().unwrap(), "1990-01-02".parse().unwrap())
        .unwrap()[0]
        .window_start_us();
    let last_us = session("2028-12-29").window_end_us();
    let range = |start_us, end_us| InstantRange { start_us, end_us };
    let cases = [
        (symbols(&["AAPL"]), range(first_us - 1, last_us)),
        (symbols(&["AAPL"]), range(first_us, last_us + 1)),
        (
            symbols(&["AAPL", "BTC/USD"]),
            range(last_us, last_us + MINUTE_US),
        ),
        (symbols(&["AAPL"]), range(last_us, last_us)),
        (symbols(&["AAPL"]), range(i64::MIN, i64::MAX)),
        (symbols(&["MSFT", "AAPL"]), range(first_us, last_us)),
        (symbols(&["AAPL", "AAPL"]), range(first_us, last_us)),
        (vec![], range(first_us, last_us)),
    ];
    for (symbols, range) in cases {
        let request = BarsRequest { symbols, range };
        assert_eq!(
            fetch(&provider, &request, None)
                .err()
                .map(|error| error.kind),
            Some(ProviderErrorKind::BadRequest),
            "{request:?}"
        );
    }
    let edge = BarsRequest {
        symbols: symbols(&["AAPL"]),
        range: range(last_us - 1, last_us),
    };
    assert!(fetch(&provider, &edge, None).is_ok());
}

#[test]
fn a_token_of_another_request_is_refused() {
    let request = BarsRequest {
        symbols: symbols(&["AAPL"]),
        range: whole("2024-07-02", "2024-07-02"),
    };
    for token in [
        "",
        "AAPL",
        "MSFT@1719928800000000",
        "AAPL@x",
        "AAPL@0",
        "AAPL@9999999999999999999",
    ] {
        let error = fetch(&provider(), &request, Some(&PageToken(token.into()))).unwrap_err();
        assert_eq!(error.kind, ProviderErrorKind::BadRequest, "{token}");
    }
}

#[test]
fn holidays_have_no_bars() {
    let after = session("2024-07-05");
    let night = InstantRange {
        start_us: after.window_start_us(),
        end_us: after.pre_open_us(),
    };
    assert!(
        bars(&provider(), &["AAPL"], night).is_empty(),
        "4 July and the night to the 5th"
    );
}

/// A symbol and a range of up to a month within the calendar.
fn request() -> impl Strategy<Value = (String, InstantRange)> {
    let start = session("1990-01-02").window_start_us() / MINUTE_US;
    let end = session("2028-12-29").window_end_us() / MINUTE_US - 45_000;
    ("[A-Z]{1,4}(/USD)?", start..end, 1_i64..44_000).prop_map(|(name, start, minutes)| {
        (
            name,
            InstantRange {
                start_us: start * MINUTE_US,
                end_us: (start + minutes) * MINUTE_US,
            },
        )
    })
}

proptest! {
    #[test]
    fn the_same_request_gets_the_same_answer((name, range) in request()) {
        prop_assert_eq!(bars(&provider(), &[&name], range), bars(&provider(), &[&name], range));
    }

    #[test]
    fn the_parts_of_a_range_make_the_whole((name, range) in request(), share in 0.0..1.0_f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any instant inside will do")]
        let middle_us = range.start_us + ((range.end_us - range.start_us) as f64 * share) as i64;
        let mut parts = BarColumns::default();
        for part in [InstantRange { end_us: middle_us, ..range }, InstantRange { start_us: middle_us, ..range }] {
            if !part.is_empty() {
                for (_, columns) in bars(&provider(), &[&name], part) {
                    parts.extend_from(&columns, 0..columns.len());
                }
            }
        }
        let whole = bars(&provider(), &[&name], range).pop().map(|(_, columns)| columns).unwrap_or_default();
        prop_assert_eq!(parts, whole);
    }
}
