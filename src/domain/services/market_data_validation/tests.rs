//! Each rule on made-up minutes: what it finds, where, from which size on, and what it leaves alone.

use super::*;
use crate::domain::bar_batch::UnprovenBars;
use crate::domain::finding::Finding;
use crate::domain::instant::MINUTE_US;
use crate::domain::rule::Severities;
use crate::domain::{BarColumns, Dataset, Rule, Segment, Severity};

mod moves;
mod order;
mod usual;

const RAW: &str = "alpaca/sip/raw";

/// Sessions from 2024-06-03 on.
fn sessions(count: usize) -> Vec<Session> {
    let date = |text: &str| text.parse().unwrap();
    let all = Calendar::nyse()
        .sessions(date("2024-06-03"), date("2024-12-31"))
        .unwrap();
    all.into_iter().take(count).collect()
}

/// A quiet minute: the close goes up and down by two cents around a hundred, every second minute up.
fn quiet(ts_us: i64, number: usize) -> Bar {
    let up = if number.is_multiple_of(2) { 0.0 } else { 0.02 };
    Bar {
        ts_us,
        open: 100.02 - up,
        high: 100.04,
        low: 99.98,
        close: 100.0 + up,
        volume: 1_000.0 + f64::from(u32::try_from(number % 7).unwrap()),
        trade_count: Some(5),
        vwap: Some(100.01),
    }
}

/// Quiet regular minutes of sessions.
fn quiet_sessions(count: usize) -> Vec<Bar> {
    sessions(count).iter().flat_map(quiet_session).collect()
}

fn quiet_session(session: &Session) -> Vec<Bar> {
    let minutes = session.expected_range(Segment::Regular);
    minutes
        .enumerate()
        .map(|(number, minute)| quiet(session.minute_ts_us(minute), number))
        .collect()
}

/// Rows as a file would hold them, by the calendar.
fn rows(bars: &[Bar]) -> (BarColumns, Vec<i32>, Vec<Segment>) {
    let mut locator = Calendar::nyse().locator();
    let (mut days, mut segments) = (Vec::new(), Vec::new());
    for bar in bars {
        let (date, segment) = locator.locate(bar.ts_us).unwrap();
        days.push(date.days_since_epoch());
        segments.push(segment);
    }
    (bars.iter().copied().collect(), days, segments)
}

/// What is found in batches that follow one another.
fn found_in(
    thresholds: &Thresholds,
    dataset: &str,
    wanted: Option<(SessionDate, SessionDate)>,
    batches: Vec<UnprovenBars>,
) -> Vec<Finding> {
    let dataset: Dataset = dataset.parse().unwrap();
    let symbol: Symbol = "AAPL".parse().unwrap();
    let severities = Severities::default();
    let mut findings = Collector::new(&dataset, Some(&symbol), &severities, wanted, 1_000);
    let service = MarketDataValidationService::new(thresholds.clone(), i64::MAX);
    let mut history = SeriesHistory::default();
    for batch in batches {
        service.check_minutes(&symbol, batch, &mut history, &mut findings);
    }
    findings.finish().0
}

fn unproven(bars: &[Bar]) -> UnprovenBars {
    let (columns, days, segments) = rows(bars);
    UnprovenBars::new(columns, days, segments).unwrap()
}

fn found(bars: &[Bar]) -> Vec<Finding> {
    found_in(&Thresholds::default(), RAW, None, vec![unproven(bars)])
}

/// Rules and instants of findings.
fn places(findings: &[Finding]) -> Vec<(Rule, i64)> {
    findings
        .iter()
        .map(|finding| (finding.rule, finding.ts_us.unwrap()))
        .collect()
}

fn rules(findings: &[Finding]) -> Vec<Rule> {
    findings.iter().map(|finding| finding.rule).collect()
}

/// Moves all prices of a bar by a factor.
fn scale(bar: &mut Bar, factor: f64) {
    for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
        *price *= factor;
    }
    bar.vwap = bar.vwap.map(|vwap| vwap * factor);
}

/// Large changes with a price that stays on whole cents.
fn round(bars: &mut [Bar]) {
    for bar in bars {
        for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
            *price = (*price * 100.0).round() / 100.0;
        }
        bar.vwap = bar.vwap.map(|vwap| vwap.clamp(bar.low, bar.high));
    }
}

#[test]
fn quiet_minutes_are_as_they_should_be_in_one_batch_and_in_several() {
    let bars = quiet_sessions(30);
    assert_eq!(found(&bars), []);
    let batches = bars.chunks(390).map(unproven).collect();
    assert_eq!(found_in(&Thresholds::default(), RAW, None, batches), []);
    assert_eq!(found(&[]), []);
    assert_eq!(found(&bars[..1]), []);
}

#[test]
fn every_hard_rule_has_its_finding_and_costs_no_other_row() {
    let bars = quiet_sessions(1);
    let broken = |change: fn(&mut Bar)| {
        let mut bars = bars.clone();
        change(&mut bars[60]);
        let findings = found(&bars);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].severity, Severity::Error);
        assert_eq!(
            findings[0].bar.unwrap().volume.to_bits(),
            bars[60].volume.to_bits()
        );
        (findings[0].rule, findings[0].value.clone())
    };
    assert_eq!(broken(|bar| bar.low = 100.03).0, Rule::Inconsistent);
    assert_eq!(broken(|bar| bar.high = 99.99).0, Rule::Inconsistent);
    assert_eq!(broken(|bar| bar.close = f64::NAN).0, Rule::BadPrice);
    assert_eq!(broken(|bar| bar.low = 0.0).0, Rule::BadPrice);
    assert_eq!(broken(|bar| bar.high = 1e12).0, Rule::BadPrice);
    assert_eq!(broken(|bar| bar.volume = f64::INFINITY).0, Rule::BadVolume);
    assert_eq!(broken(|bar| bar.volume = 1e15).0, Rule::BadVolume);
    assert_eq!(
        broken(|bar| bar.volume = -5.0),
        (Rule::BadVolume, "volume -5".to_owned())
    );
    assert_eq!(broken(|bar| bar.trade_count = Some(-1)).0, Rule::BadVolume);
    assert_eq!(
        broken(|bar| bar.ts_us += 1_000_000),
        (Rule::OffMinute, "1000000 us past the minute".to_owned())
    );
}

#[test]
fn rows_out_of_order_and_sessions_that_go_back_are_found() {
    let bars = quiet_sessions(2);
    let mut twice = bars.clone();
    twice.insert(60, bars[59]);
    assert_eq!(
        places(&found(&twice)),
        [(Rule::NotAscending, bars[59].ts_us)]
    );
    let (columns, mut days, segments) = rows(&bars);
    days[500] = days[0];
    let batch = UnprovenBars::new(columns, days, segments).unwrap();
    let findings = found_in(&Thresholds::default(), RAW, None, vec![batch]);
    assert_eq!(places(&findings), [(Rule::WrongSession, bars[500].ts_us)]);
    assert!(UnprovenBars::new(bars.iter().copied().collect(), Vec::new(), Vec::new()).is_none());
}

#[test]
fn session_and_segment_are_those_of_the_calendar() {
    let bars = quiet_sessions(2);
    let with = |change: &dyn Fn(&mut Vec<i32>, &mut Vec<Segment>)| {
        let (columns, mut days, mut segments) = rows(&bars);
        change(&mut days, &mut segments);
        let batch = UnprovenBars::new(columns, days, segments).unwrap();
        found_in(&Thresholds::default(), RAW, None, vec![batch])
    };
    let last_of_first = with(&|days, _| days[389] = days[390]);
    assert_eq!(
        places(&last_of_first),
        [(Rule::WrongSession, bars[389].ts_us)]
    );
    let first_of_second = with(&|days, _| days[390] = days[389]);
    assert_eq!(
        places(&first_of_second),
        [(Rule::WrongSession, bars[390].ts_us)]
    );
    assert_eq!(first_of_second[0].value, "2024-06-03");
    assert_eq!(first_of_second[0].expected, "2024-06-04");
    // 2024-06-02 is a Sunday: no session has that date.
    let no_session = with(&|days, _| days[0] -= 1);
    assert_eq!(places(&no_session), [(Rule::WrongSession, bars[0].ts_us)]);
    for segment in [Segment::Pre, Segment::Post, Segment::Overnight] {
        let wrong = with(&|_, segments| segments[60] = segment);
        assert_eq!(places(&wrong), [(Rule::WrongSegment, bars[60].ts_us)]);
        assert_eq!(wrong[0].expected, "regular");
    }
    let session = &sessions(1)[0];
    for (ts_us, segment) in [
        (session.open_us() - MINUTE_US, Segment::Pre),
        (session.close_us(), Segment::Post),
        (session.pre_open_us() - MINUTE_US, Segment::Overnight),
    ] {
        let bars = [quiet(ts_us, 0)];
        assert_eq!(found(&bars), [], "{segment} is right");
        let (columns, days, _) = rows(&bars);
        let batch = UnprovenBars::new(columns, days, vec![Segment::Regular]).unwrap();
        let wrong = found_in(&Thresholds::default(), RAW, None, vec![batch]);
        assert_eq!(wrong[0].expected, segment.as_str());
    }
}

#[test]
fn bars_on_a_weekend_and_after_a_half_day_are_found_once_a_session() {
    let monday = "2024-06-10".parse().unwrap();
    let monday = Calendar::nyse().session(monday).unwrap().unwrap();
    let sunday = monday.minute_ts_us(0) - 10 * MINUTE_US;
    let bars = [quiet(sunday, 0), quiet(sunday + MINUTE_US, 1)];
    let findings = found(&bars);
    assert_eq!(places(&findings), [(Rule::MarketClosed, sunday)]);
    assert_eq!(findings[0].value, "2");
    assert_eq!(
        found(&[quiet(monday.minute_ts_us(0), 0)]),
        [],
        "Sunday, 20:00"
    );
    let half = "2024-07-03".parse().unwrap();
    let half = Calendar::nyse().session(half).unwrap().unwrap();
    let late = half.post_close_us();
    assert_eq!(
        places(&found(&[quiet(late, 0)])),
        [(Rule::MarketClosed, late)]
    );
    assert_eq!(found(&[quiet(late - MINUTE_US, 0)]), []);
}

#[test]
fn finer_than_a_millionth_is_no_quote() {
    let mut bars = quiet_sessions(1);
    bars[10].open = 100.012_345;
    assert_eq!(found(&bars), []);
    for change in [
        (|bar: &mut Bar| bar.open = 100.012_345_1) as fn(&mut Bar),
        |bar| bar.high = 100.040_000_3,
        |bar| bar.low = 99.979_999_9,
        |bar| bar.close = 100.000_000_1,
    ] {
        let mut bars = bars.clone();
        change(&mut bars[60]);
        assert_eq!(places(&found(&bars)), [(Rule::FineTick, bars[60].ts_us)]);
    }
    // Where a price has no room for such digits, there are none.
    let mut large = quiet_sessions(1);
    large.iter_mut().for_each(|bar| scale(bar, 654_321.0));
    round(&mut large);
    assert_eq!(found(&large), []);
}

/// Thresholds that make the limit two percent, whatever is usual.
fn two_percent() -> Thresholds {
    Thresholds {
        jump_units: 1.0,
        jump_share: 0.02,
        ..Thresholds::default()
    }
}

#[test]
fn a_jump_stays_and_a_spike_comes_back() {
    let bars = quiet_sessions(1);
    let jump = |from: usize, until: usize, factor: f64| {
        let mut bars = bars.clone();
        bars[from..until]
            .iter_mut()
            .for_each(|bar| scale(bar, factor));
        round(&mut bars);
        found_in(&two_percent(), RAW, None, vec![unproven(&bars)])
    };
    let at = |row: usize| bars[row].ts_us;
    assert_eq!(jump(60, 390, 1.015), []);
    assert_eq!(jump(60, 390, 0.985), []);
    for factor in [1.03, 0.97] {
        assert_eq!(places(&jump(60, 390, factor)), [(Rule::Jump, at(60))]);
        // Back within three bars.
        for length in 1..=3 {
            assert_eq!(
                places(&jump(60, 60 + length, factor)),
                [(Rule::Spike, at(60))]
            );
        }
        // Later it is two jumps.
        assert_eq!(
            places(&jump(60, 64, factor)),
            [(Rule::Jump, at(60)), (Rule::Jump, at(64))]
        );
        // At the end nobody knows.
        assert_eq!(places(&jump(389, 390, factor)), [(Rule::Jump, at(389))]);
        assert_eq!(places(&jump(1, 2, factor)), [(Rule::Spike, at(1))]);
    }
}

#[test]
fn an_odd_print_is_a_spike_within_its_bar() {
    let bars = quiet_sessions(1);
    let odd = |row: usize, change: fn(&mut Bar)| {
        let mut bars = bars.clone();
        change(&mut bars[row]);
        places(&found_in(&two_percent(), RAW, None, vec![unproven(&bars)]))
    };
    for row in [0, 60, 389] {
        let spike = [(Rule::Spike, bars[row].ts_us)];
        assert_eq!(odd(row, |bar| bar.high = 102.5), spike);
        assert_eq!(odd(row, |bar| bar.low = 97.5), spike);
        assert_eq!(odd(row, |bar| bar.high = 101.9), []);
        assert_eq!(odd(row, |bar| bar.low = 98.1), []);
    }
}

#[test]
fn moves_are_measured_in_units_of_the_symbol_itself_and_grow_with_the_root_of_time() {
    // Each minute moves by two hundredths of a percent: 100 units are 100 x 1.4826 x 0.0002 = 2.97 percent.
    let thresholds = Thresholds {
        jump_units: 100.0,
        jump_share: 0.0,
        ..Thresholds::default()
    };
    let jump = |factor: f64, minutes_missing: usize| {
        let mut bars = quiet_sessions(1);
        bars[200..].iter_mut().for_each(|bar| scale(bar, factor));
        round(&mut bars);
        bars.drain(200 - minutes_missing..200);
        rules(&found_in(&thresholds, RAW, None, vec![unproven(&bars)]))
    };
    assert_eq!(jump(1.029, 0), []);
    assert_eq!(jump(1.031, 0), [Rule::Jump]);
    // After four minutes twice as much is usual.
    assert_eq!(jump(1.055, 3), []);
    assert_eq!(jump(1.062, 3), [Rule::Jump]);
}

#[test]
fn without_enough_moves_nothing_is_unusual_until_the_month_before_tells() {
    let mut bars = quiet_sessions(2);
    bars.truncate(390 + 50);
    bars[420..].iter_mut().for_each(|bar| scale(bar, 1.1));
    round(&mut bars);
    let first = unproven(&bars[..390]);
    let second = || unproven(&bars[390..]);
    assert_eq!(found_in(&two_percent(), RAW, None, vec![second()]), []);
    let findings = found_in(&two_percent(), RAW, None, vec![first, second()]);
    assert_eq!(places(&findings), [(Rule::Jump, bars[420].ts_us)]);
}

#[test]
fn equal_bars_in_a_row_are_stale_from_thirty_on() {
    let stale = |range: Range<usize>, change: &dyn Fn(&mut Vec<Bar>)| {
        let mut bars = quiet_sessions(1);
        for bar in &mut bars[range] {
            (bar.open, bar.high, bar.low, bar.close) = (100.0, 100.0, 100.0, 100.0);
            bar.vwap = Some(100.0);
        }
        change(&mut bars);
        let at = |row: usize| bars[row].ts_us;
        (places(&found(&bars)), at(60), at(360))
    };
    assert_eq!(stale(60..89, &|_| ()).0, []);
    let (findings, start, _) = stale(60..90, &|_| ());
    assert_eq!(findings, [(Rule::Stale, start)]);
    let (findings, _, start) = stale(360..390, &|_| ());
    assert_eq!(findings, [(Rule::Stale, start)], "until the close");
    // A bar without volume, another price or a range between them ends the run.
    assert_eq!(stale(60..95, &|bars| bars[70].volume = 0.0).0, []);
    assert_eq!(stale(60..95, &|bars| bars[70].high = 100.01).0, []);
    assert_eq!(
        stale(60..95, &|bars| {
            let bar = &mut bars[70];
            (bar.open, bar.high, bar.low, bar.close) = (100.01, 100.01, 100.01, 100.01);
            bar.vwap = Some(100.01);
        })
        .0,
        []
    );
}

/// Sessions of which those from the `from`-th on have other prices.
fn moved(count: usize, from: usize, factor: f64) -> Vec<Bar> {
    let mut bars = quiet_sessions(count);
    bars[390 * from..]
        .iter_mut()
        .for_each(|bar| scale(bar, factor));
    round(&mut bars);
    bars
}

#[test]
fn a_gap_counts_from_a_fifth_on_or_from_ten_times_what_is_usual() {
    assert_eq!(found(&moved(3, 2, 1.19)), []);
    let bars = moved(3, 2, 1.21);
    let findings = found(&bars);
    assert_eq!(places(&findings), [(Rule::OvernightGap, bars[780].ts_us)]);
    assert!(
        !findings[0].message.contains("usual"),
        "two nights tell nothing"
    );
    assert_eq!(rules(&found(&moved(3, 2, 0.62))), [Rule::OvernightGap]);
    // Every night by three percent: ten times 1.4826 x 3 percent are 44 percent.
    let nightly = |last: f64| {
        let mut bars = quiet_sessions(14);
        for (number, session) in bars.chunks_mut(390).enumerate() {
            let up = if number % 2 == 0 { 1.0 } else { 1.03 };
            let factor = if number == 13 { last } else { up };
            session.iter_mut().for_each(|bar| scale(bar, factor));
        }
        round(&mut bars);
        found(&bars)
    };
    assert_eq!(nightly(1.40), []);
    let findings = nightly(1.58);
    assert_eq!(rules(&findings), [Rule::OvernightGap]);
    assert!(findings[0].message.contains("times the usual night's move"));
}

#[test]
fn a_gap_over_missing_weeks_is_no_gap() {
    let mut bars = moved(8, 7, 1.5);
    bars.drain(390..390 * 7);
    // From Monday to the Wednesday after next.
    assert_eq!(found(&bars), []);
    let mut bars = moved(6, 5, 1.42);
    bars.drain(390..390 * 5);
    assert_eq!(
        rules(&found(&bars)),
        [Rule::OvernightGap],
        "a week is still judged"
    );
}

#[test]
fn a_split_is_named_and_matters_where_prices_are_adjusted() {
    let bars = moved(4, 2, 1.0 / 7.0);
    let findings = found(&bars);
    assert_eq!(places(&findings), [(Rule::Split, bars[780].ts_us)]);
    assert_eq!(findings[0].severity, Severity::Info);
    assert_eq!(findings[0].expected, "7:1");
    assert!(
        findings[0].message.contains("as a 7:1 split makes"),
        "{}",
        findings[0].message
    );
    let adjusted = found_in(
        &Thresholds::default(),
        "alpaca/sip/split",
        None,
        vec![unproven(&bars)],
    );
    assert_eq!(adjusted[0].severity, Severity::Warning);
    let reverse = found(&moved(4, 2, 10.0));
    assert_eq!(
        (reverse[0].rule, &*reverse[0].expected),
        (Rule::Split, "1:10")
    );
    // A price that does not stay is no split.
    let mut bars = moved(3, 2, 0.5);
    bars[900..].iter_mut().for_each(|bar| scale(bar, 1.3));
    round(&mut bars);
    assert!(rules(&found(&bars)).contains(&Rule::OvernightGap));
    // Five for four is the least.
    assert_eq!(found(&moved(3, 2, 0.8))[0].expected, "5:4");
}

#[test]
fn a_vwap_lies_within_its_bar_and_is_there_where_others_are() {
    let bars = quiet_sessions(1);
    let with = |change: fn(&mut Bar)| {
        let mut bars = bars.clone();
        change(&mut bars[60]);
        found(&bars)
    };
    let at = bars[60].ts_us;
    assert_eq!(
        places(&with(|bar| bar.vwap = Some(100.041))),
        [(Rule::VwapOutside, at)]
    );
    assert_eq!(
        places(&with(|bar| bar.vwap = Some(99.979))),
        [(Rule::VwapOutside, at)]
    );
    assert_eq!(with(|bar| bar.vwap = Some(100.04)), []);
    assert_eq!(with(|bar| bar.vwap = Some(99.98)), []);
    assert_eq!(
        with(|bar| bar.vwap = Some(99.979_999_6)),
        [],
        "the last digit is rounded"
    );
    assert_eq!(with(|bar| bar.vwap = Some(100.040_000_4)), []);
    assert_eq!(
        places(&with(|bar| bar.vwap = None)),
        [(Rule::VwapMissing, at)]
    );
    assert_eq!(
        places(&with(|bar| bar.vwap = Some(0.0))),
        [(Rule::VwapMissing, at)]
    );
    for vwap in [None, Some(0.0)] {
        let mut bars = bars.clone();
        let bar = &mut bars[60];
        (bar.open, bar.high, bar.low, bar.close) = (100.0, 100.0, 100.0, 100.0);
        (bar.volume, bar.vwap) = (0.0, vwap);
        assert_eq!(found(&bars), [], "nothing traded");
    }
    let mut without = bars.clone();
    without.iter_mut().for_each(|bar| bar.vwap = None);
    assert_eq!(found(&without), []);
}

#[test]
fn fractions_are_odd_where_they_are_rare() {
    let mut bars = quiet_sessions(3);
    bars[60].volume += 0.5;
    assert_eq!(
        places(&found(&bars)),
        [(Rule::FractionalVolume, bars[60].ts_us)]
    );
    bars[61].volume += 0.25;
    assert_eq!(
        found(&bars),
        [],
        "two of 1,170 are more than one in a thousand"
    );
    let mut first = quiet_sessions(4);
    first.truncate(390);
    first[0].volume += 0.5;
    assert_eq!(
        rules(&found(&first)),
        [Rule::FractionalVolume],
        "one alone is odd"
    );
}

#[test]
fn a_move_without_volume_is_found_and_a_still_price_is_not() {
    let with = |change: fn(&mut Bar)| {
        let mut bars = quiet_sessions(1);
        bars[60].volume = 0.0;
        change(&mut bars[60]);
        rules(&found(&bars))
    };
    assert_eq!(with(|_| ()), [Rule::ZeroVolume]);
    let mut two = quiet_sessions(1);
    (two[60].volume, two[70].volume) = (0.0, 0.0);
    assert_eq!(rules(&found(&two)), [Rule::ZeroVolume; 2]);
    assert_eq!(
        with(|bar| (bar.open, bar.high, bar.low, bar.close) = (100.0, 100.01, 100.0, 100.0)),
        [Rule::VwapOutside, Rule::ZeroVolume][1..]
    );
    assert_eq!(
        with(|bar| {
            (bar.open, bar.high, bar.low, bar.close) = (100.0, 100.0, 100.0, 100.0);
            bar.vwap = None;
        }),
        []
    );
}

#[test]
fn a_minute_far_above_the_others_is_a_spike_but_for_the_auctions() {
    // Median 1003, median deviation 2: 200 units are 593 more, and 50 times the median counts at least.
    let with = |row: usize, volume: f64| {
        let mut bars = quiet_sessions(1);
        bars[row].volume = volume;
        let at = bars[row].ts_us;
        (places(&found(&bars)), at)
    };
    assert_eq!(with(60, 50_000.0).0, []);
    let (findings, at) = with(60, 50_400.0);
    assert_eq!(findings, [(Rule::VolumeSpike, at)]);
    assert_eq!(with(0, 90_000.0).0, []);
    assert_eq!(with(389, 90_000.0).0, []);
    assert_eq!(with(1, 90_000.0).0.len(), 1);
    assert_eq!(with(388, 90_000.0).0.len(), 1);
    let mut few = quiet_sessions(1);
    few.truncate(99);
    few[60].volume = 90_000.0;
    assert_eq!(found(&few), [], "too few to tell");
    let mut hundred = quiet_sessions(1);
    hundred.truncate(100);
    hundred[60].volume = 90_000.0;
    assert_eq!(rules(&found(&hundred)), [Rule::VolumeSpike]);
}

#[test]
fn units_of_volume_count_where_they_are_more_than_the_multiple() {
    let spread = |volume: f64| {
        let mut bars = quiet_sessions(1);
        for (number, bar) in bars.iter_mut().enumerate() {
            bar.volume = if number % 2 == 0 { 500.0 } else { 1_500.0 };
        }
        bars[60].volume = volume;
        rules(&found(&bars))
    };
    // Median 1500, deviations 0 or 1000, their upper median 1000: 200 units are 296,520 more.
    assert_eq!(spread(290_000.0), []);
    assert_eq!(spread(300_000.0), [Rule::VolumeSpike]);
}

#[test]
fn a_session_of_another_size_is_found_after_ten_usual_ones_and_half_days_are_shorter() {
    let with = |count: usize, factor: f64| {
        let mut bars = quiet_sessions(count);
        let start = 390 * (count - 1);
        for bar in &mut bars[start..] {
            bar.volume = (bar.volume * factor).round();
        }
        found(&bars)
    };
    assert_eq!(with(11, 0.06), []);
    let thin = with(11, 0.04);
    assert_eq!(rules(&thin), [Rule::SessionVolume]);
    assert_eq!(
        (thin[0].ts_us, thin[0].session),
        (None, Some(sessions(11)[10].date()))
    );
    assert!(
        thin[0].message.contains("4.0 % of the usual"),
        "{}",
        thin[0].message
    );
    assert_eq!(with(11, 19.0), []);
    let thick = with(11, 21.0);
    assert_eq!(rules(&thick), [Rule::SessionVolume]);
    assert!(
        thick[0].message.contains("21 times the usual"),
        "{}",
        thick[0].message
    );
    assert_eq!(with(10, 0.04), [], "nine tell too little");
    // 2024-07-03 is a half day, the 22nd session.
    assert!(sessions(22)[21].is_half_day());
    let half = |factor: f64| {
        let mut bars = quiet_sessions(22);
        for bar in &mut bars[390 * 21..] {
            bar.volume = (bar.volume * factor).round();
        }
        rules(&found(&bars))
    };
    assert_eq!(half(1.0), []);
    assert_eq!(half(0.06), [], "of a half day's usual");
    assert_eq!(half(0.04), [Rule::SessionVolume]);
}

#[test]
fn sessions_that_are_not_wanted_tell_what_is_usual_and_are_not_judged() {
    let mut bars = quiet_sessions(12);
    for bar in &mut bars[390 * 11..] {
        bar.volume = 2.0;
    }
    // Faults of every kind in a session that is not wanted.
    let fault = 390 * 3;
    bars[fault + 60].vwap = Some(0.0);
    bars[fault + 70].volume = 90_000.0;
    bars[fault + 80].volume = 0.0;
    scale(&mut bars[fault + 90], 1.5);
    round(&mut bars);
    let last = sessions(12)[11].date();
    let findings = found_in(
        &Thresholds::default(),
        RAW,
        Some((last, last)),
        vec![unproven(&bars)],
    );
    assert_eq!(rules(&findings), [Rule::SessionVolume]);
}

#[test]
fn only_the_latest_sessions_are_remembered() {
    let mut list = VecDeque::new();
    for number in 0..REMEMBERED_SESSIONS + 2 {
        remember(&mut list, f64::from(u32::try_from(number).unwrap()));
    }
    assert_eq!(list.len(), REMEMBERED_SESSIONS);
    assert_eq!(list.front(), Some(&2.0));
    assert_eq!(percent(0.5), "+50.0 %");
    assert_eq!(percent(-0.0123), "-1.23 %");
}
