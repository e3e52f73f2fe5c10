//! Pages as bytes: recorded ones, legal variations, and everything that can be wrong with them.

use proptest::prelude::*;

use crate::domain::instant::MINUTE_US;
use crate::domain::ports::{PageToken, StrayRows};
use crate::domain::{Bar, BarColumns, HardRule};

use super::super::page::{Page, PageError, decode_page};
use super::{OPEN_US, decode, symbols};

/// Recorded 2026-09-07, shortened: two symbols on one page, cut inside the second.
const RECORDED: &str = r#"{"bars":{"AAPL":[{"c":324.6807,"h":325.25,"l":324.25,"n":10822,"o":324.87,"t":"2026-09-03T13:30:00Z","v":626759,"vw":324.786206},{"c":325.38,"h":326.1,"l":324.705,"n":3792,"o":324.705,"t":"2026-09-03T13:31:00Z","v":178331,"vw":325.521085}],"MSFT":[{"c":504.575,"h":505.47,"l":500.8,"n":10397,"o":501.99,"t":"2026-09-03T13:30:00Z","v":534888,"vw":502.552518}]},"next_page_token":"TVNGVHxNfDE3ODg0NDg4MDAwMDAwMDAwMDA="}"#;

/// 2021 to 2023: another order of keys, whole prices without a fraction, a token though nothing follows.
const OLD: &str = r#"{"bars":{"AMZN":[{"t":"2021-10-15T16:30:00Z","o":3377.982,"h":3380.86,"l":3377,"c":3380,"v":58531,"n":3679,"vw":3379.100605}]},"next_page_token":"TUVUQXxEfDIwMjItMDYtMTNUMDQ6MDA6MDAuMDAwMDAwMDAwWg=="}"#;

#[test]
fn a_recorded_page_comes_out_as_it_was_sent() {
    let page = decode(RECORDED, "AAPL,MSFT,NVDA").unwrap();
    let bar = |ts_us, open, high, low, close, volume, count, vwap| Bar {
        ts_us,
        open,
        high,
        low,
        close,
        volume,
        trade_count: Some(count),
        vwap: Some(vwap),
    };
    let aapl: BarColumns = [
        bar(
            OPEN_US, 324.87, 325.25, 324.25, 324.6807, 626_759.0, 10822, 324.786206,
        ),
        bar(
            OPEN_US + MINUTE_US,
            324.705,
            326.1,
            324.705,
            325.38,
            178_331.0,
            3792,
            325.521085,
        ),
    ]
    .into_iter()
    .collect();
    let msft: BarColumns = [bar(
        OPEN_US, 501.99, 505.47, 500.8, 504.575, 534_888.0, 10397, 502.552518,
    )]
    .into_iter()
    .collect();
    let [aapl_name, msft_name] = symbols("AAPL,MSFT").try_into().unwrap();
    assert_eq!(page.bars, [(aapl_name, aapl), (msft_name, msft)]);
    assert_eq!(
        page.next,
        Some(PageToken("TVNGVHxNfDE3ODg0NDg4MDAwMDAwMDAwMDA=".into()))
    );
    assert_eq!(page.strays, []);
}

#[test]
fn the_order_of_keys_is_free_and_unknown_keys_are_ignored() {
    let old = decode(OLD, "AMZN").unwrap().bars.remove(0).1.bar(0);
    assert_eq!(
        (old.open, old.high, old.low, old.close),
        (3377.982, 3380.86, 3377.0, 3380.0)
    );
    let body = r#"{"next_page_token":null,"x":[[{}]],"bars":{"A":[{"vw":1,"new":{"a":[1,"\ud800"]},"t":"2026-09-03T13:30:00Z","v":1,"o":1,"l":1,"h":1,"\u0063":9}]},"currency":"USD"}"#;
    let page = decode(body, "A").unwrap();
    assert_eq!((page.bars[0].1.bar(0).close, page.next), (9.0, None));
}

#[test]
fn space_between_tokens_is_legal() {
    let body = "\n {\n  \"bars\" : {  },\r\n\t\"next_page_token\": null\n}\n ";
    assert_eq!(decode(body, "A").unwrap(), Page::default());
}

#[test]
fn an_empty_answer_is_a_page_without_rows() {
    for bars in [
        "{}",
        "null",
        r#"{"A":[]}"#,
        r#"{"A":null}"#,
        r#"{"A":null,"B":[],"X":[]}"#,
    ] {
        let body = format!(r#"{{"bars":{bars},"next_page_token":null}}"#);
        assert_eq!(decode(&body, "A,B").unwrap(), Page::default(), "{bars}");
    }
}

#[test]
fn null_and_empty_tokens_are_the_end_and_a_missing_one_is_an_error() {
    for token in ["null", r#""""#] {
        assert_eq!(
            decode(
                &format!(r#"{{"bars":{{}},"next_page_token":{token}}}"#),
                "A"
            )
            .unwrap()
            .next,
            None
        );
    }
    for body in [
        r#"{"bars":{}}"#,
        r#"{"next_page_token":null}"#,
        r#"{"message":"x"}"#,
        "{}",
    ] {
        let error = decode(body, "A").unwrap_err().to_string();
        assert!(error.contains("missing field"), "{error}");
    }
    let long = format!(
        r#"{{"bars":{{}},"next_page_token":"{}"}}"#,
        "A".repeat(3000)
    );
    assert!(decode(&long, "A").is_err(), "a token without end");
}

#[test]
fn keys_that_are_there_twice_refuse_the_page() {
    let bar = r#"{"t":"2026-09-03T13:30:00Z"}"#;
    for (bars, rest) in [
        (format!(r#"{{"A":[{bar}],"A":[{bar}]}}"#), ""),
        (r#"{"A":[],"A":null}"#.into(), ""),
        (format!(r#"{{"X":[{bar}],"X":[{bar}]}}"#), ""),
        (r#"{"A":[{"c":1,"c":1}]}"#.into(), ""),
        ("{}".into(), r#","bars":{}"#),
        ("{}".into(), r#","next_page_token":null"#),
    ] {
        let body = format!(r#"{{"bars":{bars},"next_page_token":null{rest}}}"#);
        assert!(decode(&body, "A").is_err(), "{body}");
    }
}

#[test]
fn rows_of_symbols_that_nobody_asked_for_are_set_aside() {
    let bar = r#"{"t":"2026-09-03T13:30:00Z","o":1,"h":2.5,"l":1,"c":2,"v":7}"#;
    let long = "L".repeat(100);
    let body = format!(
        r#"{{"bars":{{"b":[{bar},{bar}],"A":[{bar}],"\u001b[31m":[{{}}],"{long}":[{bar}]}},"next_page_token":null}}"#
    );
    let page = decode(&body, "A").unwrap();
    assert_eq!(page.bars.len(), 1);
    let stray = |symbol: &str, rows, evidence: &str| StrayRows {
        symbol: symbol.into(),
        rows,
        rule: HardRule::SymbolNotAsked,
        evidence: evidence.into(),
    };
    let evidence = "2026-09-03T13:30:00Z: open 1 high 2.5 low 1 close 2 volume 7";
    let nothing = "no readable time: open NaN high NaN low NaN close NaN volume NaN";
    let cut = format!("{}…", "L".repeat(39));
    assert_eq!(
        page.strays,
        [
            stray("b", 2, evidence),
            stray(r"\u{1b}[31m", 1, nothing),
            stray(&cut, 1, evidence)
        ]
    );
}

#[test]
fn a_requested_symbol_in_another_spelling_is_neither_believed_nor_missed() {
    let bar = r#"{"t":"2026-09-03T13:30:00Z","o":1,"h":2.5,"l":1,"c":2,"v":7}"#;
    let body = format!(r#"{{"bars":{{"brk.b":[{bar}]}},"next_page_token":null}}"#);
    let error = decode(&body, "A,BRK.B").unwrap_err().to_string();
    assert!(
        error.contains("a requested symbol is written `brk.b`"),
        "{error}"
    );
}

#[test]
fn a_page_with_far_more_rows_than_asked_for_is_refused() {
    for (rows, is_page) in [(20_000, true), (20_001, false)] {
        let half = vec!["{}"; rows / 2].join(",");
        let rest = vec!["{}"; rows - rows / 2].join(",");
        let body = format!(r#"{{"bars":{{"A":[{half}],"X":[{rest}]}},"next_page_token":null}}"#);
        assert_eq!(decode(&body, "A").is_ok(), is_page, "{rows}");
    }
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let many: Vec<String> = (0..101).map(|n| format!(r#""S{n}":[{{}}]"#)).collect();
    let body = format!(
        r#"{{"bars":{{{}}},"next_page_token":null}}"#,
        many.join(",")
    );
    assert!(decode(&body, "A").is_err());
}

#[test]
fn what_is_no_page_is_refused_without_panic() {
    let deep_list = format!(r#"{{"bars":{{"A":[{{"c":{}"#, "[".repeat(200_000));
    let deep_unknown = format!(r#"{{"x":{}"#, r#"{"a":"#.repeat(200_000));
    for body in [
        "",
        " ",
        "null",
        "[]",
        "17",
        "<html>\n<head>",
        "{",
        r#"{"bars":"#,
        r#"{"bars":[],"next_page_token":null}"#,
        r#"{"bars":{"A":{}},"next_page_token":null}"#,
        r#"{"bars":{"A":[null]},"next_page_token":null}"#,
        r#"{"bars":{"A":[[]]},"next_page_token":null}"#,
        r#"{"bars":{"A":7},"next_page_token":null}"#,
        r#"{"bars":{},"next_page_token":7}"#,
        r#"{"bars":{},"next_page_token":null}x"#,
        "\u{feff}{\"bars\":{},\"next_page_token\":null}",
        r#"{"bars":{},"next_page_token":null}{"bars":{},"next_page_token":null}"#,
        "{\"bars\":{\"A\0\":[]},\"next_page_token\":null}",
        r#"{"bars":{"\ud800":[]},"next_page_token":null}"#,
        &deep_list,
        &deep_unknown,
    ] {
        assert!(decode(body, "A").is_err(), "{:.100}", body);
    }
    let invalid = RECORDED
        .as_bytes()
        .iter()
        .map(|&byte| if byte == b'T' { 0xff } else { byte })
        .collect::<Vec<u8>>();
    assert!(matches!(
        decode_page(&invalid, &symbols("AAPL,MSFT")),
        Err(PageError::NotUtf8 { .. })
    ));
}

#[test]
fn a_page_cut_anywhere_is_refused() {
    for len in 0..RECORDED.len() {
        assert!(
            decode(&RECORDED[..len], "AAPL,MSFT").is_err(),
            "cut to {len}"
        );
    }
}

proptest! {
    #[test]
    fn a_page_with_changed_bytes_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut body = RECORDED.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Ok(page) = decode_page(&body, &symbols("AAPL,MSFT")) {
            prop_assert!(page.bars.iter().all(|(_, columns)| columns.has_equal_lengths()));
        }
    }
}

#[test]
fn a_row_between_spoilt_ones_is_whole() {
    let good = r#"{"c":2,"h":3,"l":1,"n":4,"o":2.5,"t":"2026-09-03T13:30:00Z","v":7,"vw":2.25}"#;
    let body = format!(r#"{{"bars":{{"A":[{{"c":null}},{good},{{}}]}},"next_page_token":null}}"#);
    let page = decode(&body, "A").unwrap();
    assert_eq!(page.bars[0].1.len(), 3);
    assert_eq!(page.bars[0].1.bar(1).close, 2.0);
}
