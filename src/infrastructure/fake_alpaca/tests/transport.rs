//! Claims about connections: reuse, resets, silence, floods, and the server's own end.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

const PAGE: &str = "/v2/stocks/bars?symbols=AAPL&timeframe=1Min&start=2026-09-03&end=2026-09-03";

/// The innermost I/O error of a failed request.
fn io_kind(error: &reqwest::Error) -> Option<std::io::ErrorKind> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut kind = None;
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            kind = Some(io.kind());
        }
        cause = inner.source();
    }
    kind
}

async fn error_under(fault: Fault) -> reqwest::Error {
    let server = faulty_server(fault);
    try_get(&client(), &server, PAGE).await.err().unwrap()
}

/// Sends `request` as it is and reads until the server closes.
fn raw_exchange(server: &FakeAlpaca, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn authorised(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nAPCA-API-KEY-ID: {FAKE_KEY_ID}\r\n\
         apca-api-secret-key: {FAKE_SECRET}\r\n{more}\r\n"
    )
}

#[test]
fn a_kept_connection_serves_the_next_request() {
    let server = server();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let mut first = String::new();
    stream.write_all(authorised("/a", "").as_bytes()).unwrap();
    while !first.ends_with("}\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        first.push(char::from(byte[0]));
    }
    let last = authorised(PAGE, "Connection: close\r\n");
    stream.write_all(last.as_bytes()).unwrap();
    let mut second = String::new();
    stream.read_to_string(&mut second).unwrap();
    assert!(second.starts_with("HTTP/1.1 200 OK\r\n"));
    let stats = server.stats();
    assert_eq!((stats.connections, stats.requests), (1, 2));
}

#[test]
fn pipelined_requests_are_answered_in_order_and_close_is_honoured() {
    let server = server();
    let request = authorised("/a", "") + &authorised(PAGE, "Connection: close\r\n");
    let answers = raw_exchange(&server, &request);
    assert!(answers.starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(answers.contains("Connection: keep-alive\r\n"));
    assert!(answers.ends_with("\"next_page_token\":null}"));
    let plain = raw_exchange(&server, "GET / HTTP/1.0\r\n\r\n");
    assert!(plain.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
}

#[test]
fn a_head_beyond_the_limit_is_414_and_one_that_is_no_http_400() {
    let server = server();
    let long = raw_exchange(&server, &"A".repeat(64 * 1024 + 1));
    assert!(long.starts_with("HTTP/1.1 414 Request-URI Too Large\r\n"));
    let foreign = raw_exchange(&server, "hello\r\n\r\n");
    assert!(foreign.starts_with("HTTP/1.1 400 Bad Request\r\n"));
}

#[tokio::test]
async fn a_cut_body_is_an_error_and_a_reset_is_a_reset() {
    let reset = error_under(Fault::ResetMidBody).await;
    assert_eq!(io_kind(&reset), Some(std::io::ErrorKind::ConnectionReset));
    for fault in [Fault::CutBody, Fault::CutChunked] {
        let cut = error_under(fault).await;
        assert!(cut.is_decode() || cut.is_body(), "{cut:?}");
    }
}

#[tokio::test]
async fn a_connection_closed_unanswered_is_an_error_of_the_request() {
    let server = server();
    server.set_faults(FaultScript::new().on(When::Nth(2), Fault::CloseUnanswered));
    let client = client();
    assert!(try_get(&client, &server, PAGE).await.is_ok());
    let error = try_get(&client, &server, PAGE).await.err().unwrap();
    assert!(error.is_request());
    assert!(try_get(&client, &server, PAGE).await.is_ok());
    let log = server.stats().log;
    assert_eq!(
        (log[1].status, log[1].fault),
        (None, Some("close_unanswered"))
    );
}

#[tokio::test]
async fn a_stall_outlasts_an_impatient_client_and_not_a_patient_one() {
    for point in [StallPoint::BeforeHead, StallPoint::AfterHead] {
        let stall = |lasting| Fault::Stall { point, lasting };
        let impatient =
            client_with(reqwest::Client::builder().read_timeout(Duration::from_millis(50)));
        let server = faulty_server(stall(Duration::from_secs(60)));
        let error = try_get(&impatient, &server, PAGE).await.err().unwrap();
        assert!(error.is_timeout());
        server.set_faults(FaultScript::new().on(When::Always, stall(Duration::from_millis(1))));
        assert_eq!(get(&server, PAGE).await.status, 200);
    }
}

#[tokio::test]
async fn a_slow_body_arrives_whole() {
    let clean = get(&server(), PAGE).await;
    let server = faulty_server(Fault::SlowBody {
        chunk_bytes: 1_000,
        pause: Duration::from_millis(1),
    });
    assert_eq!(get(&server, PAGE).await.body, clean.body);
}

#[tokio::test]
async fn raw_bytes_are_no_http() {
    let bytes = b"HTTP/1.1 BEST OK\r\nX: y\r\n\r\n".to_vec();
    let error = error_under(Fault::Raw {
        bytes,
        chunk_bytes: 1,
        pause: Duration::ZERO,
    })
    .await;
    assert!(error.is_request());
}

#[tokio::test]
async fn floods_arrive_in_full_for_those_who_read_them() {
    let flood = faulty_server(Fault::Flood {
        body_bytes: 1_000_000,
    });
    assert_eq!(get(&flood, PAGE).await.body.len(), 1_000_000);
    let bomb = faulty_server(Fault::GzipBomb {
        decoded_bytes: 4_000_000,
    });
    let coded = try_get(
        &client_with(reqwest::Client::builder().no_gzip()),
        &bomb,
        PAGE,
    )
    .await;
    assert!(coded.unwrap().body.len() < 40_000);
    let decoded = get(&bomb, PAGE).await.body;
    assert!(decoded.len() == 4_000_000 && decoded.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_a_stall_short() {
    let server = faulty_server(Fault::Stall {
        point: StallPoint::BeforeHead,
        lasting: Duration::from_secs(600),
    });
    let url = format!("{}{PAGE}", server.base_url());
    let waiting = tokio::spawn(client().get(&url).send());
    while server.stats().requests == 0 {
        tokio::task::yield_now().await;
    }
    drop(server);
    let cut_short = waiting.await.unwrap().unwrap_err();
    assert!(!cut_short.is_timeout());
    assert!(client().get(&url).send().await.unwrap_err().is_connect());
}

#[test]
fn a_taken_port_is_an_error() {
    let server = server();
    let config = FakeConfig {
        port: server.address().port(),
        ..FakeConfig::default()
    };
    let error = FakeAlpaca::start(Tape::new(), config).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
