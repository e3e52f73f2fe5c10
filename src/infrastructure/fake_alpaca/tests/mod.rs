//! Claims about the fake server, checked over real connections by a plain HTTP client.

mod bodies;
mod paging;
mod refusals;
mod transport;

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::*;

/// 2026-09-03T13:30:00Z, the open of the recorded walk.
const OPEN_US: i64 = 1_788_442_200_000_000;
const MINUTE_US: i64 = 60_000_000;
const SESSION: &str = "timeframe=1Min&start=2026-09-03T13%3A30%3A00Z&end=2026-09-03T19%3A59%3A00Z";

fn made_bars(count: u32, price: f64) -> Vec<TapeBar> {
    (0..count)
        .map(|minute| {
            let open = price + f64::from(minute) / 100.0;
            TapeBar {
                ts_us: OPEN_US + i64::from(minute) * MINUTE_US,
                open,
                high: open + 0.5,
                low: open - 0.5,
                close: open + 0.25,
                volume: f64::from(1_000 + minute),
                trade_count: Some(i64::from(minute)),
                vwap: Some(open + 0.125),
            }
        })
        .collect()
}

/// The symbols and the session of the recorded walk.
fn recorded_walk_tape() -> Tape {
    let mut tape = Tape::new();
    for (symbol, price) in [("AAPL", 324.0), ("MSFT", 502.0), ("NVDA", 227.0)] {
        tape.insert("sip", symbol, made_bars(390, price));
    }
    tape
}

fn late_config() -> FakeConfig {
    FakeConfig {
        fixed_now: Some("2026-09-07T12:00:00Z".parse().unwrap()),
        ..FakeConfig::default()
    }
}

fn server_with(config: FakeConfig) -> FakeAlpaca {
    FakeAlpaca::start(recorded_walk_tape(), config).unwrap()
}

fn server() -> FakeAlpaca {
    server_with(late_config())
}

/// A server on which every request meets `fault`.
fn faulty_server(fault: Fault) -> FakeAlpaca {
    let server = server();
    server.set_faults(FaultScript::new().on(When::Always, fault));
    server
}

fn client() -> reqwest::Client {
    client_with(reqwest::Client::builder())
}

fn client_with(builder: reqwest::ClientBuilder) -> reqwest::Client {
    let mut headers = HeaderMap::new();
    headers.insert("apca-api-key-id", FAKE_KEY_ID.parse().unwrap());
    headers.insert("Apca-Api-Secret-Key", FAKE_SECRET.parse().unwrap());
    builder
        .default_headers(headers)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

struct Got {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Symbol and number of bars, in the order of the page.
    fn counts(&self) -> Vec<(String, usize)> {
        let page = self.json();
        let symbols = page["bars"].as_object().unwrap();
        symbols
            .iter()
            .map(|(symbol, bars)| (symbol.clone(), bars.as_array().unwrap().len()))
            .collect()
    }

    fn times(&self, symbol: &str) -> Vec<String> {
        let page = self.json();
        let bars = page["bars"][symbol].as_array().unwrap();
        bars.iter()
            .map(|bar| bar["t"].as_str().unwrap().to_owned())
            .collect()
    }

    fn token(&self) -> Option<String> {
        self.json()["next_page_token"].as_str().map(str::to_owned)
    }
}

async fn try_get(
    client: &reqwest::Client,
    server: &FakeAlpaca,
    target: &str,
) -> Result<Got, reqwest::Error> {
    let response = client
        .get(format!("{}{target}", server.base_url()))
        .send()
        .await?;
    Ok(Got {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.bytes().await?.to_vec(),
    })
}

async fn get(server: &FakeAlpaca, target: &str) -> Got {
    try_get(&client(), server, target).await.unwrap()
}

/// All pages of a walk, at most ten.
async fn walk(server: &FakeAlpaca, query: &str) -> Vec<Got> {
    let client = client();
    let mut pages: Vec<Got> = Vec::new();
    let mut token: Option<String> = None;
    while pages.len() < 10 {
        let target = match &token {
            None => format!("/v2/stocks/bars?{query}"),
            Some(token) => format!("/v2/stocks/bars?{query}&page_token={}", escape(token)),
        };
        pages.push(try_get(&client, server, &target).await.unwrap());
        token = pages.last().and_then(Got::token);
        if token.is_none() {
            break;
        }
    }
    pages
}

fn escape(token: &str) -> String {
    token
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
}
