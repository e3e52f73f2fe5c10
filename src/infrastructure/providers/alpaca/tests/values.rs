//! The values of one bar: exact where they are numbers, marked where they are not.

use proptest::prelude::*;

use crate::domain::{Bar, HardRule};

use super::{OPEN_US, decode};

/// The one bar of a page whose bar is written as `fields`.
fn decode_bar(fields: &str) -> Bar {
    let body = format!(r#"{{"bars":{{"A":[{{{fields}}}]}},"next_page_token":null}}"#);
    let page = decode(&body, "A").unwrap();
    assert_eq!((page.bars.len(), page.bars[0].1.len()), (1, 1));
    assert!(page.bars[0].1.has_equal_lengths());
    page.bars[0].1.bar(0)
}

/// The bar with one field replaced by `text`.
fn decode_with(key: &str, text: &str) -> Bar {
    let mut fields: Vec<String> = Vec::new();
    for (name, value) in [
        ("c", "2"),
        ("h", "3"),
        ("l", "1"),
        ("n", "4"),
        ("o", "2.5"),
        ("v", "7"),
        ("vw", "2.25"),
    ] {
        fields.push(format!(
            r#""{name}":{}"#,
            if name == key { text } else { value }
        ));
    }
    let time = if key == "t" {
        text
    } else {
        r#""2026-09-03T13:30:00Z""#
    };
    decode_bar(&format!(r#"{},"t":{time}"#, fields.join(",")))
}

#[test]
fn values_that_are_no_number_spoil_their_row_only() {
    for text in ["null", r#""1.5""#, "true", "[1,[2]]", r#"{"a":{}}"#] {
        for key in ["o", "h", "l", "c", "v"] {
            let bar = decode_with(key, text);
            let values = [bar.open, bar.high, bar.low, bar.close, bar.volume];
            assert_eq!(
                values.iter().filter(|value| value.is_nan()).count(),
                1,
                "{key} {text}: {bar:?}"
            );
            assert_eq!(bar.broken_rule(), Some(HardRule::NotFinite));
        }
    }
    let missing = decode_bar(r#""t":"2026-09-03T13:30:00Z","h":3,"l":1,"c":2,"v":7"#);
    assert!(missing.open.is_nan() && missing.close == 2.0);
    assert_eq!((missing.trade_count, missing.vwap), (None, None));
}

#[test]
fn a_missing_vwap_or_count_is_absent_and_a_wrong_one_spoils_the_row() {
    assert_eq!(
        (
            decode_with("vw", "null").vwap,
            decode_with("n", "null").trade_count
        ),
        (None, None)
    );
    assert_eq!(decode_with("vw", "null").broken_rule(), None);
    for (key, text) in [
        ("vw", r#""2""#),
        ("n", r#""2""#),
        ("n", "1.5"),
        ("n", "9223372036854775808"),
        ("n", "1e300"),
        ("n", "[]"),
    ] {
        assert_eq!(
            decode_with(key, text).broken_rule(),
            Some(HardRule::NotFinite),
            "{key} {text}"
        );
    }
    for (text, count) in [
        ("0", 0),
        ("5.0", 5),
        ("1e3", 1000),
        ("-3", -3),
        ("9223372036854775807", i64::MAX),
        ("-0", 0),
    ] {
        assert_eq!(decode_with("n", text).trade_count, Some(count), "{text}");
    }
}

#[test]
fn numbers_are_read_to_the_last_bit() {
    for text in [
        "324.6807",
        "1e-2",
        "0.1",
        "17",
        "123456789.123456789",
        "0.30000000000000004",
        "9007199254740993",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854776833",
        "9223372036854777856",
        "1.7976931348623157e308",
        "2.2250738585072011e-308",
        "5e-324",
        "8.41e21",
        "1234567890123456789012345",
        "-1.5",
        "-7",
        "179769313486231570e291",
    ] {
        let exact: f64 = text.parse().unwrap();
        assert_eq!(
            decode_with("c", text).close.to_bits(),
            exact.to_bits(),
            "{text}"
        );
    }
    assert_eq!(
        decode_with("v", "-0.0").volume.to_bits(),
        0,
        "a negative zero volume is zero"
    );
}

#[test]
fn numbers_that_json_does_not_have_refuse_the_page() {
    for text in [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "01",
        "1.",
        ".5",
        "+1",
        "0x10",
        "1_000",
        "",
    ] {
        let body = format!(r#"{{"bars":{{"A":[{{"c":{text}}}]}},"next_page_token":null}}"#);
        assert!(decode(&body, "A").is_err(), "{text:?}");
    }
}

#[test]
fn timestamps_are_kept_to_the_microsecond_and_unreadable_ones_marked() {
    for (text, ts_us) in [
        (r#""2026-09-03T13:30:30Z""#, OPEN_US + 30_000_000),
        (r#""2026-09-03T13:30:00.0000015Z""#, OPEN_US + 1),
        (r#""2026-09-03T19:00:00+05:30""#, OPEN_US),
        (r#""2026-09-03\u005413:30:00Z""#, OPEN_US),
    ] {
        assert_eq!(decode_with("t", text).ts_us, ts_us, "{text}");
    }
    for text in [
        r#""2026-09-03T13:30:00""#,
        r#""2016-12-31T23:59:60Z""#,
        "1788442200",
        "-1",
        "1.5",
        "null",
        "false",
        "[]",
        "{}",
        r#""""#,
    ] {
        let bar = decode_with("t", text);
        assert_eq!(
            (bar.ts_us, bar.broken_rule()),
            (i64::MIN, Some(HardRule::OffMinute)),
            "{text}"
        );
    }
}

#[test]
fn a_huge_number_is_read_without_harm() {
    let digits = "9".repeat(1 << 20);
    assert!(
        decode(
            &format!(r#"{{"bars":{{"A":[{{"c":{digits}}}]}},"next_page_token":null}}"#),
            "A"
        )
        .is_err()
    );
    let fraction = decode_with("c", &format!("1.{digits}"));
    assert_eq!(fraction.close, 2.0);
}

proptest! {
    #[test]
    fn any_decimal_is_read_as_the_standard_library_reads_it(whole in 0_u64..10_000_000, fraction in "[0-9]{1,18}", exponent in -30_i32..30) {
        for text in [format!("{whole}.{fraction}"), format!("{whole}.{fraction}e{exponent}"), format!("-{whole}{fraction}")] {
            let exact: f64 = text.parse().unwrap();
            prop_assert_eq!(decode_with("c", &text).close.to_bits(), exact.to_bits(), "{}", text);
        }
    }
}
