//! What the adapter makes of refusals and damage, against a server that misbehaves on request.

use std::sync::Arc;

use crate::domain::instant::MINUTE_US;
use crate::domain::ports::{ProviderError, ProviderErrorKind};
use crate::infrastructure::fake_alpaca::{
    BarKey, FAKE_KEY_ID, FAKE_SECRET, Fault, FaultScript, When,
};
use crate::infrastructure::http::{HttpOptions, Recorder, Reply, RetryPolicy, Stub};

use super::*;

async fn error_under(fault: Fault) -> (ProviderError, u64) {
    let (page, fake) = fetch_under(fault).await;
    (page.unwrap_err(), fake.stats().requests)
}

#[tokio::test]
async fn wrong_credentials_are_unauthorized_after_one_request() {
    let fake = start(tape("A", 1), FaultScript::new());
    let wrong = AlpacaCredentials {
        secret: "wrong-secret".into(),
        ..credentials()
    };
    let (adapter, _) = adapter_of(AlpacaOptions {
        credentials: Some(wrong),
        ..options(fake.base_url())
    });
    let error = adapter
        .fetch_page(&request("A", 1), None)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, fake.stats().requests),
        (ProviderErrorKind::Unauthorized, 1)
    );
    assert!(
        error
            .to_string()
            .ends_with("status 401: 401 Authorization Required"),
        "{error}"
    );
}

#[tokio::test]
async fn a_recent_end_on_the_consolidated_tape_is_not_entitled() {
    let fake = start(tape("A", 1), FaultScript::new());
    fake.set_now(chrono::DateTime::from_timestamp_micros(SESSION_US + 5 * MINUTE_US).unwrap());
    let error = adapter(&fake)
        .0
        .fetch_page(&request("A", 1), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::NotEntitled);
    assert_eq!(
        error.to_string(),
        "alpaca answered for A with status 403: subscription does not permit querying recent SIP data"
    );
}

#[tokio::test]
async fn an_illegal_symbol_is_named() {
    let fake = start(tape("A", 1), FaultScript::new());
    let error = adapter(&fake)
        .0
        .fetch_page(&request("A,BRK-B,Z", 1), None)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.symbol),
        (ProviderErrorKind::InvalidSymbol, symbols("BRK-B").pop())
    );
}

#[tokio::test]
async fn statuses_mean_what_they_mean() {
    use ProviderErrorKind::{BadRequest, RateLimited, ServerError, Unauthorized};
    for (status, body, kind, requests) in [
        (
            400,
            r#"{"message":"end should not be before start"}"#,
            BadRequest,
            1,
        ),
        (
            400,
            r#"{"message":"invalid symbol: NOBODY-ASKED"}"#,
            BadRequest,
            1,
        ),
        (403, r#"{"message":"forbidden."}"#, Unauthorized, 1),
        (404, r#"{"message":"not found"}"#, BadRequest, 1),
        (414, "Request-URI Too Large", BadRequest, 1),
        (
            422,
            r#"{"code":42210000,"message":"invalid limit"}"#,
            BadRequest,
            1,
        ),
        (
            500,
            r#"{"code":50010000,"message":"internal server error occurred"}"#,
            ServerError,
            5,
        ),
        (503, "", ServerError, 5),
        (501, "", ServerError, 1),
    ] {
        let (error, sent) = error_under(Fault::json(status, body)).await;
        assert_eq!(
            (error.kind, sent, error.symbol),
            (kind, requests, None),
            "{status} {body}"
        );
    }
    let stub = Stub::start([Reply::new(
        429,
        "",
        b"{\"message\": \"too many requests.\"}\n",
    )])
    .await;
    let (adapter, _) = {
        let http = HttpOptions {
            retry: RetryPolicy {
                max_attempts: 1,
                ..RetryPolicy::default()
            },
            ..HttpOptions::new("")
        };
        let recorder = Arc::new(Recorder::default());
        (
            AlpacaMarketDataAdapter::with_http(options(&stub.base_url()), http, recorder.clone())
                .unwrap(),
            recorder,
        )
    };
    let error = adapter
        .fetch_page(&request("A", 1), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, RateLimited);
    assert_eq!(
        error.to_string(),
        "alpaca answered for A with status 429, rate limited for another 1 s: too many requests."
    );
}

#[tokio::test]
async fn damage_on_the_way_is_repaired_by_asking_again() {
    for fault in [
        Fault::ResetMidBody,
        Fault::CutBody,
        Fault::CutChunked,
        Fault::CloseUnanswered,
        Fault::CutGzip,
        Fault::BadGzipChecksum,
        Fault::GzipTrailingJunk,
        Fault::NotGzip,
        Fault::internal_server_error(),
        Fault::gateway_timeout(),
    ] {
        let name = fault.name();
        let fake = start(
            tape("A,B", 390),
            FaultScript::new().on_times(When::Always, 2, fault),
        );
        let page = adapter(&fake)
            .0
            .fetch_page(&request("A,B", 390), None)
            .await
            .unwrap();
        let rows: usize = page.bars.iter().map(|(_, columns)| columns.len()).sum();
        assert_eq!((rows, page.requests), (780, 3), "{name}");
    }
}

#[tokio::test]
async fn what_is_no_page_is_malformed_and_shown_briefly() {
    for fault in [
        Fault::HtmlOk,
        Fault::EmptyBody,
        Fault::CutJson,
        Fault::MissingToken,
        Fault::DuplicateSymbolKey,
        Fault::InvalidUtf8,
        Fault::BodyReplace(b"[]".to_vec()),
        Fault::BodyReplace(b"{\"message\":\"x\"}".to_vec()),
        Fault::BodyReplace([b"<\x1b[31m\r\n"[..].to_vec(), vec![b'x'; 100_000]].concat()),
        Fault::FieldText {
            key: BarKey::Close,
            text: b"NaN".to_vec(),
        },
        Fault::FieldText {
            key: BarKey::Close,
            text: b"1e999".to_vec(),
        },
        Fault::GzipBomb {
            decoded_bytes: 100 << 20,
        },
        Fault::Flood {
            body_bytes: 5_000_000_000,
        },
        Fault::Redirect {
            code: 302,
            location: "https://evil.example/".into(),
        },
    ] {
        let name = fault.name();
        // What may have been cut off on the way is asked for again; what is too large or points elsewhere is not.
        let is_final = matches!(
            fault,
            Fault::GzipBomb { .. } | Fault::Flood { .. } | Fault::Redirect { .. }
        );
        let expected = if is_final { 1 } else { 5 };
        let (error, requests) = error_under(fault).await;
        assert_eq!(
            (error.kind, requests, error.requests),
            (ProviderErrorKind::Malformed, expected, expected),
            "{name}: {error}"
        );
        let text = error.to_string();
        assert!(
            text.chars().count() < 600 && !text.chars().any(char::is_control),
            "{name}: {text}"
        );
    }
}

#[tokio::test]
async fn no_failure_repeats_the_credentials() {
    let echo = format!("{{\"message\":\"who is {FAKE_KEY_ID} with {FAKE_SECRET}\"}}");
    let html = format!("<html><title>{FAKE_SECRET}</title></html>");
    let wrong_type = format!("{{\"bars\":\"{FAKE_SECRET}\",\"next_page_token\":null}}");
    for fault in [
        Fault::json(400, &echo),
        Fault::json(500, &echo),
        Fault::BodyReplace(html.into_bytes()),
        Fault::BodyReplace(wrong_type.into_bytes()),
        Fault::Redirect {
            code: 307,
            location: format!("https://evil.example/{FAKE_SECRET}?{FAKE_KEY_ID}"),
        },
        Fault::ResetMidBody,
    ] {
        let (page, fake) = fetch_under(fault).await;
        let shown = format!("{:?}", page.unwrap_err());
        assert!(
            !shown.contains(FAKE_SECRET) && !shown.contains(FAKE_KEY_ID),
            "{shown}"
        );
        drop(fake);
    }
}
