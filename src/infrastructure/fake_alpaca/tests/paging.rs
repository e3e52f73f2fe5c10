//! Claims about windows, pages, tokens and the form of a page.

use super::*;

const WALK: &str = "symbols=NVDA%2CAAPL%2CMSFT&limit=500";

fn named(counts: &[(&str, usize)]) -> Vec<(String, usize)> {
    counts
        .iter()
        .map(|(symbol, count)| ((*symbol).to_owned(), *count))
        .collect()
}

#[tokio::test]
async fn the_recorded_walk_is_cut_into_the_recorded_pages() {
    let server = server();
    let pages = walk(&server, &format!("{WALK}&{SESSION}")).await;
    let counts: Vec<_> = pages.iter().map(Got::counts).collect();
    assert_eq!(
        counts,
        [
            named(&[("AAPL", 390), ("MSFT", 110)]),
            named(&[("MSFT", 280), ("NVDA", 220)]),
            named(&[("NVDA", 170)]),
        ]
    );
    // Byte for byte the tokens of the recording: each names the first bar of the page that follows.
    let tokens: Vec<_> = pages.iter().map(Got::token).collect();
    assert_eq!(
        tokens,
        [
            Some("TVNGVHxNfDE3ODg0NDg4MDAwMDAwMDAwMDA=".to_owned()),
            Some("TlZEQXxNfDE3ODg0NTU0MDAwMDAwMDAwMDA=".to_owned()),
            None,
        ]
    );
    assert_eq!(pages[1].times("MSFT")[0], "2026-09-03T15:20:00Z");
    assert_eq!(pages[2].times("NVDA")[0], "2026-09-03T17:10:00Z");
    let stats = server.stats();
    assert_eq!((stats.requests, stats.pages, stats.bars), (3, 3, 1170));
    assert_eq!(stats.with_status(200), 3);
    assert_eq!(stats.credentials_seen, 3);
    assert!(
        stats.log[0]
            .target
            .starts_with("/v2/stocks/bars?symbols=NVDA%2CAAPL")
    );
}

#[tokio::test]
async fn the_older_token_names_the_last_bar_and_loses_none() {
    let server = server_with(FakeConfig {
        token_style: TokenStyle::LastBar,
        ..late_config()
    });
    let pages = walk(&server, &format!("{WALK}&{SESSION}")).await;
    let total: usize = pages
        .iter()
        .flat_map(Got::counts)
        .map(|(_, count)| count)
        .sum();
    assert_eq!((pages.len(), total), (3, 1170));
    assert_eq!(pages[1].times("MSFT")[0], "2026-09-03T15:20:00Z");
}

#[tokio::test]
async fn data_ending_exactly_at_the_limit_ends_with_null_or_on_request_with_an_empty_page() {
    let query = format!("symbols=AAPL&limit=390&{SESSION}");
    assert_eq!(walk(&server(), &query).await.len(), 1);
    for token_style in [TokenStyle::NextBar, TokenStyle::LastBar] {
        let server = server_with(FakeConfig {
            walk_end: WalkEnd::ExtraEmptyPage,
            token_style,
            ..late_config()
        });
        let pages = walk(&server, &query).await;
        assert_eq!(pages.len(), 2);
        assert_eq!(pages[1].text(), r#"{"bars":{},"next_page_token":null}"#);
    }
}

#[tokio::test]
async fn both_ends_of_the_window_belong_to_it() {
    let server = server();
    let window =
        |start, end| format!("/v2/stocks/bars?symbols=AAPL&timeframe=1Min&start={start}&end={end}");
    let got = get(
        &server,
        &window("2026-09-03T13%3A35%3A00Z", "2026-09-03T13:40:00Z"),
    )
    .await;
    assert_eq!(got.counts(), named(&[("AAPL", 6)]));
    let one = get(
        &server,
        &window("2026-09-03T13:35:00Z", "2026-09-03T13:35:00Z"),
    )
    .await;
    assert_eq!(one.times("AAPL"), ["2026-09-03T13:35:00Z"]);
    let none = get(
        &server,
        &window(
            "2026-09-03T13:35:00.000000001Z",
            "2026-09-03T09:35:59.999-04:00",
        ),
    )
    .await;
    assert_eq!(none.text(), r#"{"bars":{},"next_page_token":null}"#);
    let day = get(&server, &window("2026-09-03", "2026-09-03")).await;
    assert_eq!(day.counts(), named(&[("AAPL", 390)]));
}

#[tokio::test]
async fn a_bar_has_the_recorded_form() {
    let mut tape = Tape::new();
    let recorded = TapeBar {
        ts_us: OPEN_US,
        open: 324.87,
        high: 326.0,
        low: 324.25,
        close: 324.6807,
        volume: 626_759.0,
        trade_count: Some(10_822),
        vwap: Some(324.786206),
    };
    let bare = TapeBar {
        ts_us: OPEN_US + MINUTE_US,
        trade_count: None,
        vwap: None,
        ..recorded
    };
    tape.insert("iex", "AAPL", vec![recorded, bare]);
    let server = FakeAlpaca::start(tape, late_config()).unwrap();
    let bars = "[{\"c\":324.6807,\"h\":326,\"l\":324.25,\"n\":10822,\"o\":324.87,\
        \"t\":\"2026-09-03T13:30:00Z\",\"v\":626759,\"vw\":324.786206},\
        {\"c\":324.6807,\"h\":326,\"l\":324.25,\"o\":324.87,\"t\":\"2026-09-03T13:31:00Z\",\"v\":626759}]";
    let query = format!("feed=iex&currency=USD&{SESSION}");
    let multi = get(
        &server,
        &format!("/v2/stocks/bars?symbols=AAPL,ZZZQQ&{query}"),
    )
    .await;
    assert_eq!(
        multi.text(),
        format!("{{\"bars\":{{\"AAPL\":{bars}}},\"currency\":\"USD\",\"next_page_token\":null}}")
    );
    let single = get(&server, &format!("/v2/stocks/AAPL/bars?{query}")).await;
    assert_eq!(
        single.text(),
        format!(
            "{{\"bars\":{bars},\"currency\":\"USD\",\"next_page_token\":null,\"symbol\":\"AAPL\"}}"
        )
    );
    assert_eq!(multi.header("content-type"), Some("application/json"));
    let other_feed = get(&server, &format!("/v2/stocks/bars?symbols=AAPL&{SESSION}")).await;
    assert_eq!(other_feed.text(), r#"{"bars":{},"next_page_token":null}"#);
}

#[tokio::test]
async fn gzip_comes_only_when_asked_for_and_above_256_bytes() {
    let server = server();
    let plain_client = client_with(reqwest::Client::builder().no_gzip());
    let full = format!("/v2/stocks/bars?symbols=AAPL&{SESSION}");
    let empty = format!("/v2/stocks/bars?symbols=ZZZ&{SESSION}");
    let plain = try_get(&plain_client, &server, &full).await.unwrap();
    assert_eq!(plain.header("content-encoding"), None);
    let plain_bytes = server.stats().body_bytes;
    assert_eq!(plain_bytes, plain.body.len() as u64);
    server.reset_stats();
    let unpacked = get(&server, &full).await;
    assert_eq!(unpacked.body, plain.body);
    assert!(server.stats().body_bytes * 2 < plain_bytes);
    server.reset_stats();
    let small = get(&server, &empty).await;
    assert_eq!(server.stats().body_bytes, small.body.len() as u64);
}

#[tokio::test]
async fn a_warm_cache_answers_the_same_until_the_tape_changes() {
    let server = server_with(FakeConfig {
        cache_bytes: 1 << 20,
        ..late_config()
    });
    let target = format!("/v2/stocks/bars?symbols=AAPL&{SESSION}");
    let cold = get(&server, &target).await;
    let warm = get(&server, &target).await;
    assert_eq!(cold.body, warm.body);
    let stats = server.stats();
    assert_eq!((stats.cache_hits, stats.pages, stats.bars), (1, 2, 780));
    server.update_tape(|tape| {
        tape.edit("sip", "AAPL", |bars| {
            bars[7].close = 999.5;
            bars.remove(0);
        });
    });
    let corrected = get(&server, &target).await;
    assert_eq!(corrected.counts(), named(&[("AAPL", 389)]));
    assert_eq!(corrected.json()["bars"]["AAPL"][6]["c"], 999.5);
    // A window whose end the server chose depends on the moment.
    let open = "/v2/stocks/bars?symbols=AAPL&timeframe=1Min&start=2026-09-03";
    get(&server, open).await;
    get(&server, open).await;
    assert_eq!(server.stats().cache_hits, 1);
}

#[tokio::test]
async fn an_omitted_window_is_today_up_to_fifteen_minutes_ago() {
    let server = server_with(FakeConfig {
        fixed_now: Some("2026-09-03T14:00:00Z".parse().unwrap()),
        ..FakeConfig::default()
    });
    let target = "/v2/stocks/bars?symbols=AAPL&timeframe=1Min";
    let delayed = get(&server, target).await;
    assert_eq!(
        delayed.times("AAPL").last().unwrap(),
        "2026-09-03T13:45:00Z"
    );
    server.set_now("2026-09-03T14:01:00Z".parse().unwrap());
    assert_eq!(get(&server, target).await.counts(), named(&[("AAPL", 17)]));
}

#[tokio::test]
async fn the_date_header_is_the_servers_moment() {
    let got = get(&server(), "/").await;
    assert_eq!(got.header("date"), Some("Mon, 07 Sep 2026 12:00:00 GMT"));
}
