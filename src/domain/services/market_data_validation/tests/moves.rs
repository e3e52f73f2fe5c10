//! Moves of prices: cheap ones, those that mostly stand still, and what is said of them.

use super::*;

/// Quiet minutes of a stock of about one dollar.
fn cheap() -> Vec<Bar> {
    let mut bars = quiet_sessions(1);
    bars.iter_mut().for_each(|bar| scale(bar, 0.01));
    bars
}

#[test]
fn a_cheap_stock_is_judged_by_shares_and_not_by_dollars() {
    let with = |change: fn(&mut [Bar])| {
        let mut bars = cheap();
        change(&mut bars);
        let thresholds = two_percent();
        rules(&found_in(&thresholds, RAW, None, vec![unproven(&bars)]))
    };
    assert_eq!(with(|_| ()), []);
    assert_eq!(with(|bars| bars[60].high = 1.025), [Rule::Spike]);
    assert_eq!(with(|bars| bars[60].high = 1.019), []);
    assert_eq!(with(|bars| bars[60].low = 0.975), [Rule::Spike]);
    assert_eq!(with(|bars| bars[60].low = 0.985), []);
    let jump = |bars: &mut [Bar]| bars[60..].iter_mut().for_each(|bar| scale(bar, 1.5));
    assert!(with(jump).contains(&Rule::Jump));
}

#[test]
fn what_is_said_of_a_move_names_price_share_and_units() {
    let said = |change: fn(&mut [Bar])| {
        let mut bars = quiet_sessions(1);
        change(&mut bars);
        let mut findings = found_in(&two_percent(), RAW, None, vec![unproven(&bars)]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        let found = findings.remove(0);
        (found.value, found.expected, found.message)
    };
    let words = |value: &str, expected: &str, message: &str| {
        (value.to_owned(), expected.to_owned(), message.to_owned())
    };
    // The usual move is 1.4826 x 0.02 percent; the bar's closes are 100.02 and 100.
    assert_eq!(
        said(|bars| bars[60].high = 105.0),
        words(
            "105",
            "within 2.00 % of 100.02",
            "the bar at 2024-06-03T14:30:00Z has a high of 105, +4.98 % from the closes around it: \
             168 times the usual minute's move"
        )
    );
    assert_eq!(
        said(|bars| bars[60].low = 95.0),
        words(
            "95",
            "within 2.00 % of 100.02",
            "the bar at 2024-06-03T14:30:00Z has a low of 95, -5.00 % from the closes around it: \
             169 times the usual minute's move"
        )
    );
    assert_eq!(
        said(|bars| bars[60..].iter_mut().for_each(|bar| scale(bar, 1.25))),
        words(
            "125",
            "within 2.00 % of 100.02",
            "the bar at 2024-06-03T14:30:00Z closes at 125, +25.0 % from the bar before, and stays there: \
             842 times the usual minute's move"
        )
    );
    assert_eq!(
        said(|bars| bars[60..62].iter_mut().for_each(|bar| scale(bar, 1.25))),
        words(
            "125",
            "within 2.00 % of 100.02",
            "the bar at 2024-06-03T14:30:00Z closes at 125, +25.0 % from the minute before, and is back after 2 bars: \
             842 times the usual minute's move"
        )
    );
}

#[test]
fn a_price_at_the_limit_is_within_it() {
    let thresholds = Thresholds {
        jump_units: 0.0,
        jump_share: 0.5,
        ..Thresholds::default()
    };
    let quiet = quiet_sessions(1);
    let with = |row: usize, change: &dyn Fn(&mut Bar)| {
        let mut bars = quiet.clone();
        change(&mut bars[row]);
        rules(&found_in(&thresholds, RAW, None, vec![unproven(&bars)]))
    };
    // The close before is the higher one of the closes around it, its own the lower one.
    let (high, low) = (1.5 * quiet[59].close, 0.5 * quiet[60].close);
    assert_eq!(with(60, &|bar| bar.high = high), []);
    assert_eq!(with(60, &|bar| bar.high = high.next_up()), [Rule::Spike]);
    assert_eq!(with(60, &|bar| bar.low = low), []);
    assert_eq!(with(60, &|bar| bar.low = low.next_down()), [Rule::Spike]);
    // From a close of 100 up and back.
    let close = |price: f64| {
        with(61, &|bar| {
            (bar.open, bar.high, bar.low, bar.close) = (price, price, price, price);
            bar.vwap = Some(price);
        })
    };
    assert_eq!(close(150.0), []);
    assert_eq!(close(150.01), [Rule::Spike]);
}

#[test]
fn a_price_is_back_when_less_than_a_quarter_of_its_move_is_left() {
    let from_double_to = |factor: f64| {
        let mut bars = quiet_sessions(1);
        let bar = &mut bars[61];
        (bar.open, bar.high, bar.low, bar.close) = (200.0, 200.0, 200.0, 200.0);
        bar.vwap = Some(200.0);
        bars[62..].iter_mut().for_each(|bar| scale(bar, factor));
        let findings = found_in(&two_percent(), RAW, None, vec![unproven(&bars)]);
        (places(&findings), bars[61].ts_us, bars[62].ts_us)
    };
    // The closes before and two minutes after it are 100 and 125.
    let (findings, double, after) = from_double_to(1.25);
    assert_eq!(findings, [(Rule::Jump, double), (Rule::Jump, after)]);
    let (findings, double, _) = from_double_to(1.2499);
    assert_eq!(findings, [(Rule::Spike, double)]);
}

#[test]
fn after_nights_without_a_move_a_gap_is_told_without_a_multiple() {
    let findings = found(&moved(14, 12, 1.21));
    assert_eq!(rules(&findings), [Rule::OvernightGap]);
    assert_eq!(
        findings[0].message,
        "the bar at 2024-06-20T13:30:00Z opens +21.0 % from the last close of 100.02"
    );
}

#[test]
fn a_hundred_moves_tell_what_is_usual() {
    let jump = |bars: usize| {
        let mut bars = quiet_sessions(1)[..bars].to_vec();
        bars[60..].iter_mut().for_each(|bar| scale(bar, 1.25));
        rules(&found_in(&two_percent(), RAW, None, vec![unproven(&bars)]))
    };
    assert_eq!(jump(100), [], "ninety-nine");
    assert_eq!(jump(101), [Rule::Jump]);
}

#[test]
fn a_price_that_mostly_stands_still_is_measured_by_its_ticks() {
    // Every third minute it moves by a tenth of a percent: 50 units are 50 x 1.4826 x 0.001 = 7.4 percent.
    let jump = |factor: f64| {
        let mut bars = quiet_sessions(1);
        for (number, bar) in bars.iter_mut().enumerate() {
            let price = if (number / 3).is_multiple_of(2) {
                100.0
            } else {
                100.1
            };
            (bar.open, bar.high, bar.low, bar.close) = (price, price, price, price);
            bar.vwap = Some(price);
        }
        bars[200..].iter_mut().for_each(|bar| scale(bar, factor));
        round(&mut bars);
        rules(&found(&bars))
    };
    assert_eq!(jump(1.05), []);
    assert_eq!(jump(1.09), [Rule::Jump]);
}

#[test]
fn shares_below_a_tenth_have_two_decimals() {
    assert_eq!(percent(0.1), "+10.0 %");
    assert_eq!(percent(-0.1), "-10.0 %");
    assert_eq!(percent(0.0999), "+9.99 %");
}
