//! Claims about the answers that are no pages: credentials, rate limit, parameters, recency.

use super::*;

async fn message(server: &FakeAlpaca, target: &str) -> (u16, String) {
    let got = get(server, target).await;
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert!(got.text().ends_with("}\n"), "an error ends with a line end");
    (
        got.status,
        got.json()["message"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn parameters_are_refused_with_the_vendors_texts() {
    let server = server();
    let window = "start=2026-09-03T13:30:00Z&end=2026-09-03T19:59:00Z";
    let cases = [
        (
            "timeframe=1Min".to_owned(),
            "Invalid format for parameter symbols: query parameter 'symbols' is required",
        ),
        (
            "symbols=AAPL".to_owned(),
            "Invalid format for parameter timeframe: query parameter 'timeframe' is required",
        ),
        (
            "symbols=AAPL&timeframe=3Fortnight".to_owned(),
            "invalid timeframe: 3Fortnight",
        ),
        (
            "symbols=AAPL&timeframe=1Min&start=not-a-date".to_owned(),
            "Invalid format for parameter start: error parsing 'not-a-date' as RFC3339 or 2006-01-02 time: \
             parsing time \"not-a-date\" as \"2006-01-02\": cannot parse \"not-a-date\" as \"2006\"",
        ),
        (
            "symbols=AAPL&timeframe=1Min&end=2026-09-03T15:49:12.774699".to_owned(),
            "Invalid format for parameter end: error parsing '2026-09-03T15:49:12.774699' as RFC3339 or 2006-01-02 \
             time: parsing time \"2026-09-03T15:49:12.774699\": extra text: \"T15:49:12.774699\"",
        ),
        (
            "symbols=AAPL&timeframe=1Min&start=2026-09-04&end=2026-09-03T13:30:00Z".to_owned(),
            "end should not be before start",
        ),
        (
            format!("symbols=AAPL%2CBRK-B%2CCSP1&timeframe=1Min&{window}"),
            "invalid symbol: BRK-B",
        ),
        (
            format!("symbols=AAPL&timeframe=1Min&limit=10001&{window}"),
            "invalid limit, limit must be between 1 and 10000",
        ),
        (
            format!("symbols=AAPL&timeframe=1Min&limit=many&{window}"),
            "Invalid format for parameter limit: error binding string parameter: strconv.ParseInt: \
             parsing \"many\": invalid syntax",
        ),
        (
            format!("symbols=AAPL&timeframe=1Min&_=17&{window}"),
            "unexpected query parameter(s): _",
        ),
        (
            format!("symbols=AAPL&symbols=MSFT&timeframe=1Min&{window}"),
            "Invalid format for parameter symbols: multiple values for single value parameter 'symbols'",
        ),
        (
            format!("symbols=AAPL&timeframe=1Min&feed=delayed_sip&{window}"),
            "invalid feed: delayed_sip",
        ),
        (
            format!("symbols=AAPL&timeframe=1Min&page_token=nonsense&{window}"),
            "invalid page token",
        ),
        (
            // A token of another walk: NVDA was not asked for.
            format!(
                "symbols=AAPL&timeframe=1Min&page_token=TlZEQXxNfDE3ODg0NTU0MDAwMDAwMDAwMDA%3D&{window}"
            ),
            "invalid page token",
        ),
    ];
    for (query, text) in cases {
        let answer = message(&server, &format!("/v2/stocks/bars?{query}")).await;
        assert_eq!(answer, (400, text.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn everything_else_is_404_and_other_methods_are_405() {
    let server = server();
    let answer = message(&server, "/v2/stocks/trades?symbols=AAPL").await;
    assert_eq!(answer, (404, "endpoint not found.".to_owned()));
    let url = format!("{}/v2/stocks/bars", server.base_url());
    let deleted = client().delete(url).send().await.unwrap();
    assert_eq!(deleted.status(), 405);
}

#[tokio::test]
async fn wrong_or_missing_credentials_get_the_gateways_html() {
    let server = server();
    let target = format!(
        "{}/v2/stocks/bars?symbols=AAPL&{SESSION}",
        server.base_url()
    );
    let bare = reqwest::Client::new();
    let missing = bare.get(&target).send().await.unwrap();
    assert_eq!(missing.status(), 401);
    assert_eq!(missing.headers()["content-type"], "text/html");
    assert!(
        missing
            .text()
            .await
            .unwrap()
            .contains("<h1>401 Authorization Required</h1>")
    );
    assert_eq!(server.stats().credentials_seen, 0);
    let wrong = bare
        .get(&target)
        .header("APCA-API-KEY-ID", FAKE_KEY_ID)
        .header("APCA-API-SECRET-KEY", "wrong")
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 401);
    assert_eq!(server.stats().credentials_seen, 1);
    assert_eq!(server.stats().with_status(401), 2);
}

#[tokio::test]
async fn a_drained_rate_bucket_answers_a_bare_429() {
    let limit = RateLimit {
        capacity: 2,
        refill_every: Duration::from_secs(3_600),
        retry_after: None,
    };
    let server = server_with(FakeConfig {
        rate_limit: Some(limit.clone()),
        ..late_config()
    });
    let target = format!("/v2/stocks/bars?symbols=AAPL&{SESSION}");
    let first = get(&server, &target).await;
    assert_eq!(first.header("x-ratelimit-limit"), Some("2"));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("1"));
    // One token is missing: full again an hour after 2026-09-07T12:00:00Z.
    assert_eq!(first.header("x-ratelimit-reset"), Some("1788786000"));
    // A refused request costs a token as well, and carries no headers of the limit.
    let refused = get(&server, "/v2/stocks/bars").await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.header("x-ratelimit-limit"), None);
    let drained = get(&server, &target).await;
    assert_eq!(drained.status, 429);
    assert_eq!(drained.text(), "{\"message\": \"too many requests.\"}\n");
    assert_eq!(drained.header("retry-after"), None);
    assert_eq!(drained.header("x-ratelimit-reset"), None);

    let talkative = server_with(FakeConfig {
        rate_limit: Some(RateLimit {
            capacity: 0,
            retry_after: Some("7".to_owned()),
            ..limit
        }),
        ..late_config()
    });
    let got = get(&talkative, &target).await;
    assert_eq!((got.status, got.header("retry-after")), (429, Some("7")));
}

#[tokio::test]
async fn a_recent_end_on_the_consolidated_feed_is_refused_whole() {
    let config = || FakeConfig {
        fixed_now: Some("2026-09-03T14:00:00Z".parse().unwrap()),
        ..FakeConfig::default()
    };
    let target = |end: &str| {
        format!(
            "/v2/stocks/bars?symbols=AAPL&timeframe=1Min&start=2026-09-03&end=2026-09-03T{end}Z"
        )
    };
    let server = server_with(config());
    assert_eq!(get(&server, &target("13:45:00")).await.status, 200);
    let refused = message(&server, &target("13:46:00")).await;
    let text = "subscription does not permit querying recent SIP data";
    assert_eq!(refused, (403, text.to_owned()));
    let other_feed = format!("{}&feed=iex", target("23:00:00"));
    assert_eq!(get(&server, &other_feed).await.status, 200);
    let real_time = server_with(FakeConfig {
        real_time: true,
        ..config()
    });
    assert_eq!(get(&real_time, &target("13:59:00")).await.status, 200);
}
