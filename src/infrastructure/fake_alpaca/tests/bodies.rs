//! Claims about faults that are told by the answer's bytes, not by the connection.

use super::*;

const PAGE: &str =
    "/v2/stocks/bars?symbols=AAPL,MSFT&limit=500&timeframe=1Min&start=2026-09-03&end=2026-09-03";

async fn page_under(fault: Fault) -> Got {
    let name = fault.name();
    let server = faulty_server(fault);
    let got = get(&server, PAGE).await;
    assert_eq!(server.stats().with_fault(name), 1, "{name} was counted");
    got
}

/// The middle bar of [`PAGE`]: number 250 of AAPL's 390.
fn middle(got: &Got) -> Value {
    got.json()["bars"]["AAPL"][250].clone()
}

#[tokio::test]
async fn statuses_come_as_scripted() {
    for (fault, status, retry_after, starts) in [
        (Fault::too_many_requests(), 429, None, "{\"message\": "),
        (
            Fault::too_many_requests_retry_after("Wed, 21 Oct 2026 07:28:00 GMT"),
            429,
            Some("Wed, 21 Oct 2026 07:28:00 GMT"),
            "{\"message\": ",
        ),
        (
            Fault::internal_server_error(),
            500,
            None,
            "{\"code\":50010000",
        ),
        (Fault::json(422, "{}"), 422, None, "{}"),
        (Fault::bad_gateway(), 502, None, "<html>"),
        (Fault::service_unavailable(), 503, None, "<html>"),
        (Fault::gateway_timeout(), 504, None, "<html>"),
        (Fault::HtmlOk, 200, None, "<html>"),
        (Fault::EmptyBody, 200, None, ""),
        (Fault::BodyReplace(b"[]".to_vec()), 200, None, "[]"),
    ] {
        let got = page_under(fault.clone()).await;
        assert_eq!(got.status, status, "{fault:?}");
        assert_eq!(got.header("retry-after"), retry_after);
        assert!(got.text().starts_with(starts), "{fault:?}");
    }
    let redirect = page_under(Fault::Redirect {
        code: 308,
        location: "http://127.0.0.1:9/".to_owned(),
    })
    .await;
    assert_eq!(redirect.status, 308);
    assert_eq!(redirect.header("location"), Some("http://127.0.0.1:9/"));
}

#[tokio::test]
async fn one_value_of_the_middle_bar_is_changed() {
    let clean = get(&server(), PAGE).await;
    assert_eq!(
        middle(&page_under(Fault::NullPrice).await)["c"],
        Value::Null
    );
    assert_eq!(middle(&page_under(Fault::NegativePrice).await)["l"], -1);
    assert_eq!(middle(&page_under(Fault::HugePrice).await)["h"], 1e308);
    let inverted = middle(&page_under(Fault::LowAboveHigh).await);
    assert!(inverted["l"].as_f64().unwrap() > inverted["h"].as_f64().unwrap());
    let off_minute = middle(&page_under(Fault::OffMinute).await);
    assert_eq!(middle(&clean)["t"], "2026-09-03T17:40:00Z");
    assert_eq!(off_minute["t"], "2026-09-03T17:40:30Z");
    let text = page_under(Fault::FieldText {
        key: BarKey::Volume,
        text: b"9223372036854775808".to_vec(),
    })
    .await;
    assert_eq!(middle(&text)["v"].as_u64(), Some(1 << 63));
    let bytes = page_under(Fault::InvalidUtf8).await.body;
    assert!(std::str::from_utf8(&bytes).is_err());
}

#[tokio::test]
async fn rows_and_symbols_are_changed() {
    let clean = get(&server(), PAGE).await;
    let reversed = page_under(Fault::ReversedRows).await.times("AAPL");
    assert!(reversed.is_sorted_by(|a, b| a > b));
    let outside = page_under(Fault::BarsOutsideWindow).await.times("MSFT");
    assert_eq!(
        (outside.len(), outside[110].as_str()),
        (111, "2026-09-04T04:59:59.999999Z")
    );
    let unasked = page_under(Fault::UnaskedSymbol).await.counts();
    assert_eq!(unasked[2], ("UNASKED".to_owned(), 1));
    let lower = page_under(Fault::LowerCaseSymbol).await.counts();
    assert!(lower.contains(&("aapl".to_owned(), 390)));
    let twice = page_under(Fault::SameMinuteTwice).await.times("AAPL");
    assert_eq!((twice.len(), &twice[250]), (391, &twice[251]));
    let doubled = page_under(Fault::DuplicateSymbolKey).await;
    assert_eq!(doubled.text().matches("\"MSFT\":[").count(), 2);
    // A reader that lets the last key win sees half of the bars.
    assert_eq!(doubled.counts()[1], ("MSFT".to_owned(), 55));
    assert_eq!(doubled.text().matches("\"t\":").count(), 500);
    assert_eq!(clean.text().matches("\"t\":").count(), 500);
}

#[tokio::test]
async fn tokens_loop_go_missing_or_lead_back() {
    let loops = faulty_server(Fault::TokenLoop);
    let walk_of = |limit| format!("symbols=AAPL&limit={limit}&{SESSION}");
    let tokens: Vec<_> = walk(&loops, &walk_of(100))
        .await
        .iter()
        .map(Got::token)
        .collect();
    assert_eq!(tokens.len(), 10);
    assert!(
        tokens
            .iter()
            .all(|token| *token == tokens[0] && token.is_some())
    );

    let ping_pong = faulty_server(Fault::TokenPingPong);
    let pages = walk(&ping_pong, &walk_of(100)).await;
    let firsts: Vec<_> = pages
        .iter()
        .map(|page| page.times("AAPL")[0].clone())
        .collect();
    assert_eq!(firsts[1], firsts[3]);
    assert_eq!(firsts[2], firsts[4]);
    assert_ne!(firsts[1], firsts[2]);

    let missing = page_under(Fault::MissingToken).await;
    assert!(!missing.text().contains("next_page_token"));
}

#[tokio::test]
async fn pages_overlap_shrink_or_come_empty_without_losing_a_bar() {
    let query = format!("symbols=AAPL&limit=200&{SESSION}");
    for token_style in [TokenStyle::NextBar, TokenStyle::LastBar] {
        let server = server_with(FakeConfig {
            token_style,
            ..late_config()
        });
        server.set_faults(FaultScript::new().on(When::Always, Fault::RepeatLastBar));
        let pages = walk(&server, &query).await;
        assert_eq!(
            pages[0].times("AAPL").last(),
            pages[1].times("AAPL").first()
        );

        server.set_faults(FaultScript::new().on_times(When::Always, 3, Fault::EmptyPageWithToken));
        let pages = walk(&server, &query).await;
        let tokens: Vec<_> = pages.iter().map(Got::token).collect();
        assert!((0..3).all(|page| pages[page].counts().is_empty()));
        assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
        let times: Vec<_> = pages[3..]
            .iter()
            .flat_map(|page| page.times("AAPL"))
            .collect();
        assert_eq!(times.len(), 390);
    }
    let short = faulty_server(Fault::ShortPages(150));
    let counts: Vec<_> = walk(&short, &query)
        .await
        .iter()
        .map(|page| page.counts()[0].1)
        .collect();
    assert_eq!(counts, [150, 150, 90]);
}

#[tokio::test]
async fn damaged_gzip_fails_to_decode_and_is_whole_http() {
    for fault in [
        Fault::CutGzip,
        Fault::BadGzipChecksum,
        Fault::GzipTrailingJunk,
        Fault::NotGzip,
    ] {
        let server = faulty_server(fault.clone());
        let plain_client = client_with(reqwest::Client::builder().no_gzip());
        let got = try_get(&plain_client, &server, PAGE).await.unwrap();
        assert_eq!(got.header("content-encoding"), Some("gzip"), "{fault:?}");
        if fault != Fault::GzipTrailingJunk {
            let error = try_get(&client(), &server, PAGE).await.err().unwrap();
            assert!(error.is_decode() || error.is_body(), "{fault:?}: {error:?}");
        }
    }
    let cut = page_under(Fault::CutJson).await;
    assert!(
        serde_json::from_slice::<Value>(&cut.body)
            .unwrap_err()
            .is_eof()
    );
}
