//! Rows that break a hard rule: which finding they make, and in what words.

use super::*;

/// What is said of a minute once it is changed like this.
fn said(change: fn(&mut Bar)) -> (Rule, String, String) {
    let mut bars = quiet_sessions(1);
    change(&mut bars[60]);
    let mut findings = found(&bars);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let found = findings.remove(0);
    assert_eq!(found.session, Some(sessions(1)[0].date()));
    (found.rule, found.value, found.expected)
}

#[test]
fn a_vwap_that_is_no_number_is_a_bad_price_and_named() {
    let expected = "finite, positive prices below 1e12 and a volume below 1e15".to_owned();
    type Change = fn(&mut Bar);
    let cases: [(Change, &str); 3] = [
        (|bar| bar.vwap = Some(f64::NAN), "vwap NaN"),
        (|bar| bar.vwap = Some(f64::INFINITY), "vwap inf"),
        (|bar| bar.vwap = Some(f64::NEG_INFINITY), "vwap -inf"),
    ];
    for (change, value) in cases {
        let said = said(change);
        assert_eq!(said, (Rule::BadPrice, value.to_owned(), expected.clone()));
    }
}

#[test]
fn a_negative_count_is_a_bad_volume_and_named() {
    let expected = "volume and count >= 0".to_owned();
    assert_eq!(
        said(|bar| bar.trade_count = Some(-1)),
        (Rule::BadVolume, "count -1".to_owned(), expected.clone())
    );
    assert_eq!(
        said(|bar| (bar.volume, bar.trade_count) = (-2.0, Some(-1))),
        (Rule::BadVolume, "volume -2".to_owned(), expected)
    );
}

#[test]
fn each_value_is_told_where_it_is_the_wrong_one() {
    assert_eq!(
        said(|bar| (bar.volume, bar.trade_count) = (0.0, Some(-1))).1,
        "count -1"
    );
    assert_eq!(
        said(|bar| bar.close = f64::NAN).1,
        "open 100.02 high 100.04 low 99.98 close NaN volume 1004"
    );
}

#[test]
fn prices_that_do_not_enclose_each_other_are_told_with_what_should_hold() {
    let (rule, value, expected) = said(|bar| bar.low = 100.03);
    assert_eq!(
        (rule, &*expected),
        (Rule::Inconsistent, "low <= min(open, close)")
    );
    assert_eq!(
        value,
        "open 100.02 high 100.04 low 100.03 close 100 volume 1004"
    );
    let (rule, _, expected) = said(|bar| bar.high = 99.99);
    assert_eq!(
        (rule, &*expected),
        (Rule::Inconsistent, "high >= max(open, close)")
    );
}

#[test]
fn what_is_no_number_is_a_volume_where_prices_are_sound() {
    let rule = |change| said(change).0;
    assert_eq!(rule(|bar| bar.volume = f64::NAN), Rule::BadVolume);
    assert_eq!(
        rule(|bar| (bar.volume, bar.open) = (f64::NAN, f64::NAN)),
        Rule::BadPrice
    );
    assert_eq!(
        rule(|bar| (bar.volume, bar.low) = (f64::NAN, 0.0)),
        Rule::BadPrice
    );
    assert_eq!(rule(|bar| bar.open = f64::INFINITY), Rule::BadPrice);
    assert_eq!(rule(|bar| bar.low = -1.0), Rule::BadPrice);
}

#[test]
fn a_bar_off_the_minute_is_told_by_how_much() {
    let (rule, value, expected) = said(|bar| bar.ts_us += 1);
    assert_eq!(rule, Rule::OffMinute);
    assert_eq!(
        (&*value, &*expected),
        ("1 us past the minute", "a whole minute")
    );
}

#[test]
fn a_row_that_does_not_fit_in_is_told_with_its_neighbours() {
    let mut bars = quiet_sessions(1);
    bars[60].ts_us = bars[200].ts_us;
    bars.remove(200);
    let findings = found(&bars);
    assert_eq!(places(&findings), [(Rule::NotAscending, bars[60].ts_us)]);
    assert_eq!(
        (&*findings[0].value, &*findings[0].expected),
        ("out of order", "ascending, one a minute")
    );
    assert_eq!(
        findings[0].message,
        "the bar at 2024-06-03T16:50:00Z does not lie between its neighbours in time, or repeats one of them"
    );
}

#[test]
fn a_session_far_ahead_costs_one_row() {
    let bars = quiet_sessions(2);
    let (columns, mut days, segments) = rows(&bars);
    days[100] += 30;
    let batch = UnprovenBars::new(columns, days, segments).unwrap();
    let findings = found_in(&Thresholds::default(), RAW, None, vec![batch]);
    assert_eq!(places(&findings), [(Rule::WrongSession, bars[100].ts_us)]);
    assert_eq!(findings[0].expected, "ascending sessions");
}
