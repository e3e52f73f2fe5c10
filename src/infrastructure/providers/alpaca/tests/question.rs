//! What the adapter sends and what it makes of answers, against a server that behaves like Alpaca.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::Event;
use crate::domain::ports::{BarsPage, MarketDataProvider, PageToken, ProviderErrorKind};
use crate::infrastructure::fake_alpaca::{
    BarKey, FakeAlpaca, FakeConfig, Fault, FaultScript, RateLimit, Tape, When,
};
use crate::infrastructure::http::Recorder;

use super::*;

#[tokio::test]
async fn a_walk_brings_every_bar_once_and_ends() {
    let fake = start(tape("A,B,C", 9_000), FaultScript::new());
    let (adapter, _) = adapter(&fake);
    let (mut rows, mut pages, mut token) = ([0_usize; 3], 0, None::<PageToken>);
    loop {
        let page = adapter
            .fetch_page(&request("A,B,C", 8_000), token.as_ref())
            .await
            .unwrap();
        assert_eq!((page.strays.len(), page.requests), (0, 1));
        for (symbol, columns) in &page.bars {
            rows[symbols("A,B,C")
                .iter()
                .position(|asked| asked == symbol)
                .unwrap()] += columns.len();
        }
        pages += 1;
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(
        (rows, pages),
        ([8_000; 3], 3),
        "no bar at the end of the range, none twice at a seam"
    );
    assert_eq!(fake.stats().connections, 1, "connections are kept");
}

#[tokio::test]
async fn the_question_is_asked_as_alpaca_documents_it() {
    let fake = start(tape("A,BRK.B", 1), FaultScript::new());
    let (adapter, _) = adapter(&fake);
    let token = PageToken("QXxNfDE3MzU4MjgyMDAwMDAwMDAwMDA=".into());
    adapter
        .fetch_page(&request("A,BRK.B", 390), Some(&token))
        .await
        .unwrap();
    let target = fake.stats().log[0].target.clone();
    assert_eq!(
        target,
        "/v2/stocks/bars?symbols=A%2CBRK.B&timeframe=1Min&start=2025-01-02T14%3A30%3A00Z&end=2025-01-02T20%3A59%3A00Z\
         &limit=10000&feed=sip&adjustment=raw&sort=asc&page_token=QXxNfDE3MzU4MjgyMDAwMDAwMDAwMDA%3D"
    );
}

#[tokio::test]
async fn feed_and_adjustment_reach_query_and_dataset() {
    let fake = start(Tape::new(), FaultScript::new());
    let chosen = AlpacaOptions {
        name: "iex".into(),
        feed: "iex".into(),
        adjustment: "spin-off,split".into(),
        ..options(fake.base_url())
    };
    let (adapter, _) = adapter_of(chosen);
    let profile = adapter.profile();
    assert_eq!(
        (profile.name.as_str(), profile.dataset.to_string().as_str()),
        ("iex", "alpaca/iex/split-spin-off")
    );
    assert_eq!(
        (
            profile.hold_back_us,
            profile.max_symbols_per_request,
            profile.rows_per_page
        ),
        (0, 200, 10_000)
    );
    adapter.fetch_page(&request("A", 1), None).await.unwrap();
    assert!(
        fake.stats().log[0]
            .target
            .contains("feed=iex&adjustment=split%2Cspin-off&")
    );
}

#[tokio::test]
async fn a_page_counts_its_bytes_and_requests() {
    let faults = FaultScript::new().on_times(When::Always, 2, Fault::service_unavailable());
    let fake = start(tape("A", 390), faults);
    let (adapter, recorder) = adapter(&fake);
    let page = adapter.fetch_page(&request("A", 390), None).await.unwrap();
    assert_eq!((page.requests, page.bars[0].1.len()), (3, 390));
    assert!(
        page.wire_bytes > 500 && page.wire_bytes < 20_000,
        "{} bytes are not the packed ones",
        page.wire_bytes
    );
    assert!(page.source.starts_with("alpaca "), "{}", page.source);
    let events = recorder.events();
    assert!(
        matches!(
            events[..],
            [
                Event::RequestRetried { attempt: 1, .. },
                Event::RequestRetried { attempt: 2, .. }
            ]
        ),
        "{events:?}"
    );
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let fake = start(tape("A", 1), FaultScript::new());
    let (adapter, _) = adapter_of(AlpacaOptions {
        credentials: None,
        ..options(fake.base_url())
    });
    let error = adapter
        .fetch_page(&request("A", 1), None)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, fake.stats().requests),
        (ProviderErrorKind::CredentialsMissing, 0)
    );
}

#[tokio::test]
async fn a_drained_bucket_is_waited_for() {
    let rate_limit = RateLimit {
        capacity: 3,
        refill_every: Duration::from_millis(100),
        retry_after: None,
    };
    let config = FakeConfig {
        rate_limit: Some(rate_limit),
        ..FakeConfig::default()
    };
    let fake = FakeAlpaca::start(tape("A", 1), config).unwrap();
    let (adapter, _) = adapter(&fake);
    for _ in 0..6 {
        assert_eq!(
            adapter
                .fetch_page(&request("A", 1), None)
                .await
                .unwrap()
                .bars
                .len(),
            1
        );
    }
}

#[tokio::test]
async fn oddities_reach_the_caller_as_they_are() {
    let rows = |page: &BarsPage| {
        page.bars
            .iter()
            .map(|(_, columns)| columns.len())
            .sum::<usize>()
    };
    for (fault, rows_kept, strays) in [
        (Fault::NullPrice, 780, 0),
        (Fault::NegativePrice, 780, 0),
        (Fault::OffMinute, 780, 0),
        (Fault::ReversedRows, 780, 0),
        (Fault::SameMinuteTwice, 781, 0),
        (Fault::UnaskedSymbol, 780, 1),
        (
            Fault::FieldText {
                key: BarKey::Volume,
                text: br#""1.5""#.to_vec(),
            },
            780,
            0,
        ),
        (
            Fault::FieldText {
                key: BarKey::Time,
                text: b"\"9999-12-31T23:59:00Z\"".to_vec(),
            },
            780,
            0,
        ),
    ] {
        let name = fault.name();
        let page = fetch_under(fault).await.0.unwrap();
        assert_eq!(
            (rows(&page), page.strays.len()),
            (rows_kept, strays),
            "{name}"
        );
    }
}

#[test]
fn illegal_options_give_no_adapter() {
    let good = options("https://data.alpaca.markets");
    for (bad, kind) in [
        (
            AlpacaOptions {
                feed: "delayed_sip".into(),
                ..good.clone()
            },
            ProviderErrorKind::BadRequest,
        ),
        (
            AlpacaOptions {
                adjustment: "raw,split".into(),
                ..good.clone()
            },
            ProviderErrorKind::BadRequest,
        ),
        (
            options("http://data.alpaca.markets"),
            ProviderErrorKind::BadRequest,
        ),
        (
            options("https://data.alpaca.markets/v2"),
            ProviderErrorKind::BadRequest,
        ),
        (
            AlpacaOptions {
                credentials: Some(AlpacaCredentials {
                    secret: "a\nb".into(),
                    ..credentials()
                }),
                ..good
            },
            ProviderErrorKind::CredentialsMissing,
        ),
    ] {
        let error = AlpacaMarketDataAdapter::new(bad, Arc::new(Recorder::default()))
            .err()
            .unwrap();
        assert_eq!(error.kind, kind, "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}
