//! The wire format against recorded bodies (`page`, `values`) and against the fake server (`question`, `failure`).

mod failure;
mod page;
mod question;
mod values;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::Symbol;
use crate::domain::instant::{InstantRange, MINUTE_US};
use crate::domain::ports::{
    BarsPage, BarsRequest, EventPublisher, MarketDataProvider, ProviderError,
};
use crate::infrastructure::fake_alpaca::{
    FAKE_KEY_ID, FAKE_SECRET, FakeAlpaca, FakeConfig, Fault, FaultScript, Tape, TapeBar, When,
};
use crate::infrastructure::http::{HttpOptions, Recorder, RetryPolicy};

use super::page::{Page, PageError, decode_page};
use super::{AlpacaCredentials, AlpacaMarketDataAdapter, AlpacaOptions};

/// 2026-09-03T13:30:00Z.
const OPEN_US: i64 = 1_788_442_200_000_000;

/// 2025-01-02T14:30:00Z, long past for the fake server's clock.
const SESSION_US: i64 = 1_735_828_200_000_000;

/// Symbols from a list joined by commas.
fn symbols(list: &str) -> Vec<Symbol> {
    list.split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.parse().unwrap())
        .collect()
}

fn decode(body: &str, asked: &str) -> Result<Page, PageError> {
    decode_page(body.as_bytes(), &symbols(asked))
}

fn tape_bar(ts_us: i64) -> TapeBar {
    TapeBar {
        ts_us,
        open: 10.5,
        high: 11.0,
        low: 10.0,
        close: 10.25,
        volume: 100.0,
        trade_count: Some(3),
        vwap: Some(10.4),
    }
}

/// Bars of `minutes` minutes from the open for each symbol of the list.
fn tape(list: &str, minutes: i64) -> Tape {
    let mut tape = Tape::new();
    for symbol in symbols(list) {
        tape.insert(
            "sip",
            symbol.as_str(),
            (0..minutes)
                .map(|minute| tape_bar(SESSION_US + minute * MINUTE_US))
                .collect(),
        );
    }
    tape
}

fn request(list: &str, minutes: i64) -> BarsRequest {
    let range = InstantRange {
        start_us: SESSION_US,
        end_us: SESSION_US + minutes * MINUTE_US,
    };
    BarsRequest {
        symbols: symbols(list),
        range,
    }
}

fn credentials() -> AlpacaCredentials {
    AlpacaCredentials {
        key_id: FAKE_KEY_ID.into(),
        secret: FAKE_SECRET.into(),
    }
}

fn options(base_url: &str) -> AlpacaOptions {
    AlpacaOptions {
        base_url: base_url.into(),
        requests_per_minute: None,
        ..AlpacaOptions::new(Some(credentials()))
    }
}

fn adapter_of(options: AlpacaOptions) -> (AlpacaMarketDataAdapter, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let retry = RetryPolicy {
        base_delay: Duration::from_millis(1),
        ..RetryPolicy::default()
    };
    let http = HttpOptions {
        retry,
        read_timeout: Duration::from_secs(2),
        ..HttpOptions::new("")
    };
    let publisher = Arc::clone(&recorder) as Arc<dyn EventPublisher>;
    (
        AlpacaMarketDataAdapter::with_http(options, http, publisher).unwrap(),
        recorder,
    )
}

fn adapter(fake: &FakeAlpaca) -> (AlpacaMarketDataAdapter, Arc<Recorder>) {
    adapter_of(options(fake.base_url()))
}

fn start(tape: Tape, faults: FaultScript) -> FakeAlpaca {
    let fake = FakeAlpaca::start(tape, FakeConfig::default()).unwrap();
    fake.set_faults(faults);
    fake
}

/// One page of `A` and `B` under a fault that lasts.
async fn fetch_under(fault: Fault) -> (Result<BarsPage, ProviderError>, FakeAlpaca) {
    let fake = start(tape("A,B", 390), FaultScript::new().on(When::Always, fault));
    let page = adapter(&fake)
        .0
        .fetch_page(&request("A,B", 390), None)
        .await;
    (page, fake)
}
