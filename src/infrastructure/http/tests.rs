//! The client against a real socket: what it sends, what it survives, what it refuses.

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::AsyncWriteExt;

use crate::domain::Event;
use crate::domain::event::RequestResult;
use crate::domain::ports::EventPublisher;

use super::stub::{Recorder, Reply, Stub};
use super::*;

struct Setup {
    stub: Stub,
    client: HttpClient,
    recorder: Arc<Recorder>,
}

/// Limits that make failures quick.
fn quick_options(base_url: String) -> HttpOptions {
    HttpOptions {
        read_timeout: Duration::from_millis(300),
        max_body_bytes: 1 << 20,
        retry: RetryPolicy {
            base_delay: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..HttpOptions::new(base_url)
    }
}

async fn setup(replies: impl IntoIterator<Item = Reply>) -> Setup {
    let stub = Stub::start(replies).await;
    let recorder = Arc::new(Recorder::default());
    let publisher = Arc::clone(&recorder) as Arc<dyn EventPublisher>;
    let client = HttpClient::new(quick_options(stub.base_url()), publisher).unwrap();
    Setup {
        stub,
        client,
        recorder,
    }
}

impl Setup {
    async fn get(&self) -> Result<HttpAnswer, HttpError> {
        get(&self.client, "/v2/x", &[("q", "a,b=c")], HeaderMap::new()).await
    }
}

/// Asks and takes any body for a sound one.
async fn get(
    client: &HttpClient,
    path: &str,
    query: &[(&str, &str)],
    headers: HeaderMap,
) -> Result<HttpAnswer, HttpError> {
    let decoded = client
        .get(path, query, headers, &|_| Ok::<(), Infallible>(()))
        .await?;
    Ok(decoded.answer)
}

fn ok(body: &[u8]) -> Reply {
    Reply::new(200, "", body)
}

fn status(status: u16) -> Reply {
    Reply::new(status, "", b"{\"message\":\"no\"}\n")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzipped(packed: &[u8]) -> Reply {
    Reply::new(
        200,
        "content-encoding: gzip\r\nX-Request-ID: a\tb\r\n",
        packed,
    )
}

#[tokio::test]
async fn a_request_says_who_asks_and_encodes_its_query() {
    let setup = setup([ok(b"{}")]).await;
    let mut headers = HeaderMap::new();
    let mut secret = HeaderValue::from_static("hunter2");
    secret.set_sensitive(true);
    headers.insert("apca-api-secret-key", secret);
    let answer = get(&setup.client, "/v2/x", &[("q", "a,b=c")], headers)
        .await
        .unwrap();
    assert_eq!(
        (
            answer.status,
            &answer.body[..],
            answer.wire_bytes,
            answer.attempts
        ),
        (StatusCode::OK, &b"{}"[..], 2, 1)
    );
    let head = setup.stub.heads().remove(0).to_lowercase();
    assert!(
        head.starts_with("get /v2/x?q=a%2cb%3dc http/1.1\r\n"),
        "{head}"
    );
    for line in [
        "user-agent: marketpipe/",
        "accept-encoding: gzip\r\n",
        "apca-api-secret-key: hunter2\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("referer"), "{head}");
}

#[tokio::test]
async fn gzip_is_unpacked_and_the_packed_bytes_counted() {
    let body = b"{\"bars\":{}}".repeat(1000);
    let packed = gzip(&body);
    let answer = setup([gzipped(&packed)]).await.get().await.unwrap();
    assert_eq!(answer.body, body);
    assert_eq!(usize::try_from(answer.wire_bytes), Ok(packed.len()));
    assert_eq!(answer.request_id.as_deref(), Some("a\\tb"));
}

#[tokio::test]
async fn damaged_bodies_are_discarded_whole_and_asked_for_again() {
    let packed = gzip(b"{\"bars\":{}}");
    let mut bad_checksum = packed.clone();
    *bad_checksum.iter_mut().nth_back(5).unwrap() ^= 1;
    for damaged in [
        gzipped(&packed[..packed.len() - 3]),
        gzipped(&bad_checksum),
        gzipped(&[&packed[..], b"junk"].concat()),
        gzipped(b"{\"bars\":{}}"),
        Reply::new(200, "content-encoding: br\r\n", b"x"),
        Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort".to_vec()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n".to_vec()),
        Reply::Raw(b"HTTP/1.1 abc\r\n\r\n".to_vec()),
        Reply::Raw(Vec::new()),
        Reply::Silence,
    ] {
        let setup = setup([damaged.clone(), ok(b"whole")]).await;
        let answer = setup.get().await.unwrap();
        assert_eq!(
            (&answer.body[..], answer.attempts),
            (&b"whole"[..], 2),
            "{damaged:?}"
        );
        assert!(matches!(
            setup.recorder.events()[..],
            [Event::RequestRetried { attempt: 1, .. }]
        ));
        let first = match damaged {
            Reply::Silence => RequestResult::TimedOut,
            _ => RequestResult::Broken,
        };
        assert_eq!(
            setup.recorder.results(),
            [first, RequestResult::Ok],
            "{damaged:?}"
        );
    }
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_cut_off_and_not_asked_for_again() {
    let mib = vec![b' '; 1 << 20];
    assert_eq!(
        setup([ok(&mib)]).await.get().await.unwrap().body.len(),
        1 << 20
    );
    let unannounced = [
        &b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"[..],
        &mib,
        b" ",
    ]
    .concat();
    for reply in [
        ok(&[&mib[..], b" "].concat()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5000000000\r\n\r\n".to_vec()),
        Reply::Raw(unannounced),
        gzipped(&gzip(&vec![0; 40 << 20])),
    ] {
        let setup = setup([reply]).await;
        let error = setup.get().await.unwrap_err();
        assert_eq!(
            (error.kind, setup.stub.heads().len()),
            (HttpErrorKind::TooLarge, 1),
            "{error}"
        );
    }
}

#[tokio::test]
async fn passing_failures_of_the_server_are_retried() {
    for code in [408, 425, 429, 500, 502, 503, 504] {
        let setup = setup([status(code), ok(b"x")]).await;
        let answer = setup.get().await.unwrap();
        assert_eq!(
            (answer.status, answer.attempts),
            (StatusCode::OK, 2),
            "{code}"
        );
        let [
            Event::RequestRetried {
                attempt: 1, reason, ..
            },
            ..,
        ] = &setup.recorder.events()[..]
        else {
            panic!("{code}: no retry was published");
        };
        assert_eq!(*reason, format!("status {code}"));
        let first = match code {
            429 => RequestResult::RateLimited,
            408 | 425 => RequestResult::Refused,
            _ => RequestResult::ServerError,
        };
        assert_eq!(setup.recorder.results(), [first, RequestResult::Ok]);
    }
}

#[tokio::test]
async fn lasting_failures_are_brought_after_five_attempts() {
    let setup = setup([status(503)]).await;
    let answer = setup.get().await.unwrap();
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.attempts,
            setup.stub.heads().len()
        ),
        (503, 5, 5)
    );
    assert_eq!(answer.body, b"{\"message\":\"no\"}\n");
}

#[tokio::test]
async fn refusals_are_brought_after_one_attempt() {
    for code in [400, 401, 403, 404, 414, 422, 501] {
        let setup = setup([status(code)]).await;
        let answer = setup.get().await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), setup.stub.heads().len()),
            (code, 1)
        );
        assert_eq!(answer.body, b"{\"message\":\"no\"}\n");
        assert_eq!(setup.recorder.events(), []);
    }
}

#[tokio::test]
async fn a_damaged_explanation_does_not_hide_a_refusal() {
    let cut = Reply::Raw(b"HTTP/1.1 401 X\r\ncontent-length: 50\r\n\r\nshort".to_vec());
    let setup = setup([cut]).await;
    assert_eq!(setup.get().await.unwrap().status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        setup.stub.heads().len(),
        1,
        "no second try that could lock the key"
    );
}

#[tokio::test]
async fn redirects_are_named_and_not_followed() {
    let elsewhere = Stub::start([ok(b"caught")]).await;
    let same_path = format!("{}/v2/x?key=secret", elsewhere.base_url());
    for (location, named) in [
        (same_path.as_str(), "127.0.0.1"),
        ("http://169.254.169.254/latest", "169.254.169.254 (http)"),
        ("file:///etc/passwd", "no host (file)"),
        ("//evil.example", "evil.example (http)"),
        ("http://[", "an address that cannot be read"),
    ] {
        for code in [301, 302, 307, 308] {
            let setup = setup([Reply::new(code, &format!("location: {location}\r\n"), b"")]).await;
            let error = setup.get().await.unwrap_err();
            assert_eq!(error.kind, HttpErrorKind::Redirected);
            assert!(
                error.context.contains(named) && !error.context.contains("secret"),
                "{error}"
            );
            assert_eq!(setup.stub.heads().len(), 1);
        }
    }
    assert!(elsewhere.heads().is_empty(), "the other server was asked");
}

#[tokio::test]
async fn a_closed_port_is_unreachable_after_bounded_attempts_and_then_not_asked_any_more() {
    let stub = Stub::start([ok(b"")]).await;
    let base_url = stub.base_url();
    drop(stub);
    tokio::task::yield_now().await;
    let recorder = Arc::new(Recorder::default());
    let client = HttpClient::new(
        quick_options(base_url),
        Arc::clone(&recorder) as Arc<dyn EventPublisher>,
    )
    .unwrap();
    for _ in 0..5 {
        let error = get(&client, "/", &[], HeaderMap::new()).await.unwrap_err();
        assert_eq!(error.kind, HttpErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains("(5 attempts)"), "{error}");
    }
    let retries = recorder.events().len();
    let error = get(&client, "/", &[], HeaderMap::new()).await.unwrap_err();
    assert_eq!(error.kind, HttpErrorKind::CircuitOpen);
    let events = recorder.events();
    assert_eq!(events.len(), retries, "nothing was sent");
    assert!(matches!(
        events.last(),
        Some(Event::CircuitOpened {
            retry_in_ms: None,
            ..
        })
    ));
}

#[tokio::test]
async fn a_host_that_comes_back_is_found_by_one_probe_while_the_others_wait() {
    let recorder = Arc::new(Recorder::default());
    let silent = || Reply::Raw(Vec::new());
    // One answer, two requests of two attempts each in vain, one probe in vain, then all is well.
    let mut replies = vec![ok(b"x")];
    replies.extend([silent(), silent(), silent(), silent(), silent()]);
    replies.push(ok(b"y"));
    let stub = Stub::start(replies).await;
    let mut options = quick_options(stub.base_url());
    options.retry.max_attempts = 2;
    options.breaker = BreakerPolicy {
        failures: 2,
        open_for: Duration::from_millis(40),
        trials: 3,
    };
    let publisher = Arc::clone(&recorder) as Arc<dyn EventPublisher>;
    let client = HttpClient::new(options, publisher).unwrap();
    let ask = || get(&client, "/", &[], HeaderMap::new());
    ask().await.unwrap();
    for _ in 0..2 {
        assert_eq!(ask().await.unwrap_err().requests, 2);
    }
    let (first, second) = tokio::join!(ask(), ask());
    assert_eq!(
        (&first.unwrap().body[..], &second.unwrap().body[..]),
        (&b"y"[..], &b"y"[..])
    );
    assert_eq!(
        stub.heads().len(),
        1 + 4 + 1 + 2,
        "one request probed, twice"
    );
    let openings: Vec<Option<u64>> = recorder
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::CircuitOpened { retry_in_ms, .. } => Some(*retry_in_ms),
            _ => None,
        })
        .collect();
    assert_eq!(openings, [Some(40), Some(80)]);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_asked_for_again() {
    let setup = setup([ok(b"cut"), ok(b"whole")]).await;
    let whole = |body: &[u8]| match body {
        b"whole" => Ok(body.len()),
        _ => Err("cut"),
    };
    let ask = || setup.client.get("/", &[], HeaderMap::new(), &whole);
    let decoded = ask().await.unwrap();
    assert_eq!((decoded.content, decoded.answer.attempts), (Some(Ok(5)), 2));
}

#[tokio::test]
async fn refusals_never_open_the_circuit() {
    let setup = setup([status(403)]).await;
    for _ in 0..20 {
        assert_eq!(setup.get().await.unwrap().status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_failed_tls_handshake_is_not_repeated() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://{}", listener.local_addr().unwrap());
    let recorder = Arc::new(Recorder::default());
    let client = HttpClient::new(
        quick_options(base_url),
        Arc::clone(&recorder) as Arc<dyn EventPublisher>,
    )
    .unwrap();
    let serve = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
            stream.readable().await.unwrap();
        }
    };
    tokio::select! {
        () = serve => {}
        result = get(&client, "/", &[], HeaderMap::new()) => {
            let error = result.unwrap_err();
            assert_eq!(error.kind, HttpErrorKind::Tls, "{error:?}");
        }
    }
    assert_eq!(recorder.events(), []);
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_waited_for() {
    let setup = setup([Reply::new(429, "retry-after: 1\r\n", b""), ok(b"x")]).await;
    let began = tokio::time::Instant::now();
    assert_eq!(setup.get().await.unwrap().attempts, 2);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_refused_request_tells_until_when() {
    let stub = Stub::start([Reply::new(
        429,
        "date: Thu, 03 Sep 2026 13:30:00 GMT\r\nretry-after: 3600\r\n",
        b"{\"message\": \"too many requests.\"}\n",
    )])
    .await;
    let mut options = quick_options(stub.base_url());
    options.retry.max_attempts = 1;
    options.retry.max_total_wait = Duration::from_millis(10);
    let client = HttpClient::new(options, Arc::new(Recorder::default())).unwrap();
    let answer = get(&client, "/", &[], HeaderMap::new()).await.unwrap();
    assert_eq!(
        answer.pause.unwrap().to_string(),
        "until 2026-09-03T14:30:00Z"
    );
    assert_eq!(stub.heads().len(), 1);
}

#[test]
fn a_bad_address_gives_no_client() {
    let error = HttpClient::new(
        HttpOptions::new("http://example.com"),
        Arc::new(Recorder::default()),
    )
    .err()
    .unwrap();
    assert!(matches!(
        error,
        HttpSetupError::BaseUrl(BaseUrlError::PlainHttp { .. })
    ));
}
