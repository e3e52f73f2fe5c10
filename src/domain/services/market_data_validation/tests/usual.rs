//! What is unusual only against what is usual for the symbol: flat runs, sessions' volumes, fractions.

use super::*;

/// Gives a bar one price.
fn flatten(bar: &mut Bar, price: f64) {
    (bar.open, bar.high, bar.low, bar.close) = (price, price, price, price);
    bar.vwap = Some(price);
}

/// Where stale runs begin, counted in rows.
fn stale_rows(bars: &[Bar]) -> Vec<usize> {
    let findings = found(bars).into_iter();
    let stale = findings.filter(|finding| finding.rule == Rule::Stale);
    let row_of = |ts_us| bars.iter().position(|bar| bar.ts_us == ts_us).unwrap();
    stale
        .map(|finding| row_of(finding.ts_us.unwrap()))
        .collect()
}

#[test]
fn a_stale_run_has_a_bar_in_every_minute() {
    let mut bars = quiet_sessions(1);
    bars[60..101].iter_mut().for_each(|bar| flatten(bar, 100.0));
    assert_eq!(stale_rows(&bars), [60]);
    let mut with_a_gap = bars.clone();
    with_a_gap.remove(80);
    assert_eq!(stale_rows(&with_a_gap), [] as [usize; 0]);
    // Thirty after the gap are enough.
    let mut with_an_early_gap = bars.clone();
    with_an_early_gap.remove(70);
    assert_eq!(stale_rows(&with_an_early_gap), [70]);
}

#[test]
fn sessions_that_stand_still_do_not_excuse_each_other() {
    let mut bars = quiet_sessions(3);
    bars.iter_mut().for_each(|bar| flatten(bar, 100.0));
    assert_eq!(stale_rows(&bars), [0, 390, 780]);
}

#[test]
fn a_run_ends_with_its_session() {
    let mut bars = quiet_sessions(2);
    bars[370..410]
        .iter_mut()
        .for_each(|bar| flatten(bar, 100.0));
    assert_eq!(stale_rows(&bars), [] as [usize; 0]);
}

#[test]
fn what_is_said_of_a_stale_run_names_its_ends_and_its_price() {
    let mut bars = quiet_sessions(1);
    bars[60..95].iter_mut().for_each(|bar| flatten(bar, 100.0));
    let found = &found(&bars)[0];
    assert_eq!(
        (&*found.value, &*found.expected),
        ("35 bars", "fewer than 30")
    );
    assert_eq!(
        found.message,
        "35 bars from 2024-06-03T14:30:00Z to 2024-06-03T15:04:00Z have the one price 100, with volume"
    );
    assert_eq!(found.bar, Some(bars[60]));
}

/// A session that begins with one run, after which the price changes every `every` bars.
fn mostly_flat(run: usize, every: usize) -> Vec<Bar> {
    let mut bars = quiet_sessions(1);
    for (row, bar) in bars.iter_mut().enumerate() {
        let number = if row < run {
            0
        } else {
            1 + (row - run) / every
        };
        flatten(
            bar,
            if number.is_multiple_of(2) {
                100.0
            } else {
                100.01
            },
        );
    }
    bars
}

#[test]
fn where_a_price_mostly_stands_still_a_run_must_be_longer_than_chance_makes() {
    // Half of the bars repeat the one before: 30 in a row are far beyond chance.
    assert_eq!(stale_rows(&mostly_flat(30, 2)), [0]);
    // Four of five: ln(330 / 0.001) / -ln(0.8) are 57.
    assert_eq!(stale_rows(&mostly_flat(55, 5)), [] as [usize; 0]);
    assert_eq!(stale_rows(&mostly_flat(60, 5)), [0]);
    // Nineteen of twenty: 230 to 250.
    assert_eq!(stale_rows(&mostly_flat(210, 20)), [] as [usize; 0]);
    assert_eq!(stale_rows(&mostly_flat(250, 20)), [0]);
}

#[test]
fn a_batch_that_is_one_run_is_stale() {
    assert_eq!(stale_rows(&mostly_flat(390, 1)), [0]);
    assert_eq!(stale_rows(&mostly_flat(390, 1)[..30]), [0]);
    assert_eq!(stale_rows(&mostly_flat(390, 1)[..29]), [] as [usize; 0]);
}

/// Sessions of which some have another volume than usual, by number and factor; what is found in the last.
fn last_session(count: usize, factors: &[(usize, f64)]) -> Vec<Rule> {
    let mut bars = quiet_sessions(count);
    for &(number, factor) in factors {
        for bar in &mut bars[390 * number..390 * (number + 1)] {
            bar.volume = (bar.volume * factor).round();
        }
    }
    let last = sessions(count)[count - 1].date();
    let wanted = Some((last, last));
    let findings = found_in(&Thresholds::default(), RAW, wanted, vec![unproven(&bars)]);
    let of_session = rules(&findings).into_iter();
    of_session
        .filter(|rule| *rule == Rule::SessionVolume)
        .collect()
}

#[test]
fn a_session_counts_beyond_half_of_the_lowest_and_twice_the_highest_before_it() {
    let found = [Rule::SessionVolume];
    assert_eq!(last_session(20, &[(19, 0.04)]), found);
    // One of nineteen was as low: half of it is the limit.
    assert_eq!(last_session(20, &[(3, 0.04), (19, 0.04)]), []);
    assert_eq!(last_session(20, &[(3, 0.04), (19, 0.022)]), []);
    assert_eq!(last_session(20, &[(3, 0.04), (19, 0.018)]), found);
    assert_eq!(last_session(20, &[(19, 30.0)]), found);
    assert_eq!(last_session(20, &[(3, 30.0), (19, 30.0)]), []);
    assert_eq!(last_session(20, &[(3, 30.0), (19, 58.0)]), []);
    assert_eq!(last_session(20, &[(3, 30.0), (19, 62.0)]), found);
}

#[test]
fn a_session_counts_from_twenty_times_the_usual_on_and_from_a_twentieth_down() {
    let with = |volume: f64| {
        let mut bars = quiet_sessions(11);
        bars.iter_mut().for_each(|bar| bar.volume = 2_000.0);
        bars[390 * 10..]
            .iter_mut()
            .for_each(|bar| bar.volume = volume);
        rules(&found(&bars))
    };
    let found = [Rule::SessionVolume];
    assert_eq!(with(39_999.0), []);
    assert_eq!(with(40_000.0), found);
    assert_eq!(with(101.0), []);
    assert_eq!(with(100.0), found);
}

#[test]
fn one_odd_session_of_twenty_does_not_make_the_next_one_usual() {
    let found = [Rule::SessionVolume];
    assert_eq!(last_session(21, &[(3, 0.04), (20, 0.04)]), found);
    assert_eq!(last_session(21, &[(3, 30.0), (20, 30.0)]), found);
    assert_eq!(last_session(21, &[(3, 0.04), (4, 0.04), (20, 0.04)]), []);
    assert_eq!(last_session(21, &[(3, 30.0), (4, 30.0), (20, 30.0)]), []);
}

#[test]
fn a_hundred_rows_tell_whether_there_are_fractions() {
    let mut bars = quiet_sessions(1);
    bars[60].volume += 0.5;
    assert_eq!(found(&bars[..99]), []);
    assert_eq!(rules(&found(&bars[..100])), [Rule::FractionalVolume]);
    let batches = |sizes: [usize; 2]| {
        let (first, second) = bars[60 - sizes[0]..60 + sizes[1]].split_at(sizes[0]);
        let batches = vec![unproven(first), unproven(second)];
        rules(&found_in(&Thresholds::default(), RAW, None, batches))
    };
    assert_eq!(batches([50, 49]), [], "those before count too");
    assert_eq!(batches([50, 50]), [Rule::FractionalVolume]);
}

#[test]
fn two_fractions_are_odd_among_more_than_two_thousand_rows() {
    let mut bars = quiet_sessions(6);
    for row in [60, 1_500] {
        bars[row].volume += 0.5;
    }
    assert_eq!(rules(&found(&bars)), [Rule::FractionalVolume; 2]);
}

#[test]
fn two_fine_ticks_in_one_column_are_both_told() {
    let mut bars = quiet_sessions(1);
    for row in [60, 70] {
        bars[row].high = 100.040_000_5;
    }
    let expected = [60, 70].map(|row| (Rule::FineTick, bars[row].ts_us));
    assert_eq!(places(&found(&bars)), expected);
}

#[test]
fn after_sessions_without_any_volume_nothing_is_usual() {
    let mut bars = quiet_sessions(12);
    let last = bars.len() - 390;
    bars[..last].iter_mut().for_each(|bar| bar.volume = 0.0);
    let findings = found(&bars);
    assert!(!rules(&findings).contains(&Rule::SessionVolume));
}
