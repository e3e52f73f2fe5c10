//! Silence in all liquid symbols at once: when it is told, and when it may be chance.

use std::ops::Range;

use super::super::fakes::{dataset, date};
use super::*;
use crate::domain::Finding;
use crate::domain::rule::Severities;

const DAY: &str = "2024-07-02";

fn facts(day: &str, present: u16, silent: Range<u16>) -> SessionFacts {
    SessionFacts {
        date: date(day),
        present,
        expected: 390,
        reason: None,
        worst: None,
        silent: MinuteSet::of_range(silent),
    }
}

/// A session of the day with silent minutes between usual ones that have a share of their minutes.
fn usually(present: u16, silent: Range<u16>) -> Vec<SessionFacts> {
    vec![
        facts("2024-07-01", present, 0..0),
        facts(DAY, present, silent),
        facts("2024-07-03", present, 0..0),
    ]
}

fn noted(finder: &HoleFinder, dataset: &Dataset) -> Vec<Finding> {
    let severities = Severities::default();
    let mut findings = Collector::new(dataset, None, &severities, None, 100);
    finder.note(dataset, &mut findings);
    findings.finish().0
}

fn holes(series: &[Vec<SessionFacts>]) -> Vec<Finding> {
    let mut finder = HoleFinder::default();
    for sessions in series {
        finder.add(&dataset(), Calendar::nyse(), sessions);
    }
    noted(&finder, &dataset())
}

#[test]
fn minutes_that_three_liquid_symbols_miss_together_are_a_hole() {
    let found = holes(&[
        usually(390, 900..910),
        usually(390, 905..920),
        usually(390, 890..912),
    ]);
    assert_eq!(found.len(), 1);
    let hole = &found[0];
    assert_eq!(
        (hole.rule, hole.session, hole.symbol.as_ref()),
        (Rule::ProviderHole, Some(date(DAY)), None)
    );
    assert_eq!(
        (&*hole.value, &*hole.expected),
        ("5 minutes", "trades"),
        "only those that are missing in all"
    );
    assert_eq!(
        hole.message,
        "5 minutes, the first at 2024-07-02T15:05:00Z, are missing in all 3 liquid symbols"
    );
    assert_eq!(hole.ts_us, Some(1_719_932_700_000_000));
}

#[test]
fn two_symbols_or_one_that_trades_make_no_hole() {
    let silent = || usually(390, 900..910);
    assert_eq!(holes(&[silent(), silent()]), []);
    assert_eq!(holes(&[silent(), silent(), usually(390, 0..0)]), []);
    assert_eq!(holes(&[silent(), silent(), usually(390, 910..920)]), []);
}

#[test]
fn two_symbols_are_too_few_in_a_market_that_never_closes_too() {
    let day = || SessionFacts {
        expected: 1440,
        ..facts(DAY, 1440, 0..5)
    };
    let holes = |symbols: usize| {
        let mut finder = HoleFinder::default();
        for _ in 0..symbols {
            finder.add(&dataset(), Calendar::always_open(), &[day()]);
        }
        noted(&finder, &dataset()).len()
    };
    assert_eq!((holes(2), holes(3)), (0, 1));
}

#[test]
fn illiquid_symbols_neither_count_nor_object() {
    let silent = || usually(390, 900..910);
    let illiquid = |silent| usually(350, silent);
    assert_eq!(holes(&[silent(), silent(), illiquid(900..910)]), []);
    let found = holes(&[silent(), silent(), silent(), illiquid(0..0)]);
    assert!(found[0].message.ends_with("all 3 liquid symbols"));
}

#[test]
fn who_is_liquid_in_most_sessions_keeps_a_say_in_those_with_a_hole() {
    let with_a_day_off = || {
        vec![
            facts("2024-07-01", 390, 0..0),
            facts(DAY, 0, 810..1200),
            facts("2024-07-03", 390, 0..0),
        ]
    };
    let found = holes(&[with_a_day_off(), with_a_day_off(), with_a_day_off()]);
    assert_eq!(found[0].value, "390 minutes");
    let mostly_off = || {
        vec![
            facts("2024-07-01", 0, 810..1200),
            facts(DAY, 0, 810..1200),
            facts("2024-07-03", 390, 0..0),
        ]
    };
    assert_eq!(holes(&[mostly_off(), mostly_off(), mostly_off()]), []);
}

#[test]
fn the_more_minutes_symbols_miss_anyway_the_more_of_them_it_takes() {
    // Nine of ten minutes: 390 x 0.1^n are at most 0.001 from six on.
    let at = |count: usize, present: u16| {
        let all: Vec<_> = (0..count).map(|_| usually(present, 900..901)).collect();
        holes(&all).len()
    };
    assert_eq!((at(5, 351), at(6, 351)), (0, 1));
    assert_eq!(at(20, 350), 0, "less than nine of ten is not liquid");
}

#[test]
fn sessions_of_which_nothing_is_due_tell_nothing() {
    let empty = || {
        vec![SessionFacts {
            expected: 0,
            ..facts(DAY, 0, 900..910)
        }]
    };
    assert_eq!(holes(&[empty(), empty(), empty()]), []);
    let with_one = || [empty(), usually(390, 900..910)].concat();
    let found = holes(&[with_one(), with_one(), with_one()]);
    assert_eq!(found.len(), 1);
}

#[test]
fn datasets_and_markets_are_apart() {
    let other: Dataset = "alpaca/iex/raw".parse().unwrap();
    let silent = usually(390, 900..910);
    let mut finder = HoleFinder::default();
    for _ in 0..2 {
        finder.add(&dataset(), Calendar::nyse(), &silent);
        finder.add(&dataset(), Calendar::always_open(), &silent);
        finder.add(&other, Calendar::nyse(), &silent);
    }
    assert_eq!(noted(&finder, &dataset()), []);
    finder.add(&other, Calendar::nyse(), &silent);
    assert_eq!(noted(&finder, &dataset()), []);
    assert_eq!(noted(&finder, &other).len(), 1);
}
