//! Which rows of a file that was tampered with are the wrong ones.

use proptest::prelude::*;

use super::super::bar::tests::bar_at;
use super::*;

/// 2024-07-02, 10:00 New York.
const TEN: i64 = 1_719_928_800_000_000;

fn rows(minutes: &[i64], days: &[i32]) -> UnprovenBars {
    let bars = minutes.iter().zip(1_u32..);
    // Prices tell rows of the same minute apart.
    let bars = bars.map(|(minute, number)| bar_at(TEN + minute * MINUTE_US, f64::from(number)));
    let segments = vec![Segment::Regular; minutes.len()];
    UnprovenBars::new(bars.collect(), days.to_vec(), segments).unwrap()
}

/// The numbers of the rows that are no part of the batch, with what is wrong with them.
fn faulty(rows: UnprovenBars) -> Vec<(usize, RowFault)> {
    let all = rows.clone();
    let (batch, faulty) = rows.prove();
    let row_of = |bar: Bar| (0..all.len()).find(|&row| all.columns().bar(row) == bar);
    assert_eq!(batch.len() + faulty.len(), all.len());
    faulty
        .iter()
        .map(|row| (row_of(row.bar).unwrap(), row.fault))
        .collect()
}

/// The numbers of the rows that are out of order.
fn out_of_order(minutes: &[i64]) -> Vec<usize> {
    let faulty = faulty(rows(minutes, &vec![0; minutes.len()]));
    assert!(
        faulty
            .iter()
            .all(|(_, fault)| *fault == RowFault::NotAscending)
    );
    faulty.into_iter().map(|(row, _)| row).collect()
}

#[test]
fn rows_in_order_are_all_there() {
    assert_eq!(out_of_order(&[]), [0_usize; 0]);
    assert_eq!(out_of_order(&[0]), [0_usize; 0]);
    assert_eq!(out_of_order(&[0, 1, 5, 9]), [0_usize; 0]);
}

#[test]
fn a_row_far_ahead_is_the_wrong_one_and_not_those_behind_it() {
    assert_eq!(out_of_order(&[0, 1, 99, 2, 3, 4]), [2]);
    assert_eq!(out_of_order(&[99, 0, 1, 2, 3]), [0], "at the start");
    assert_eq!(out_of_order(&[0, 1, 2, 99, 3, 4]), [3], "before the last");
    assert_eq!(
        out_of_order(&[0, 1, 2, 99]),
        [0_usize; 0],
        "at the end it may be right"
    );
    assert_eq!(
        out_of_order(&[0, 1, 97, 98, 99, 2, 3, 4, 5]),
        [2, 3, 4],
        "several"
    );
    assert_eq!(
        out_of_order(&[98, 99, 0, 1, 2]),
        [0, 1],
        "several at the start"
    );
    assert_eq!(out_of_order(&[0, 50, 1, 60, 2, 70, 3, 4]), [1, 3, 5]);
}

#[test]
fn a_row_that_comes_too_late_is_the_wrong_one() {
    assert_eq!(out_of_order(&[10, 11, 3, 12, 13]), [2]);
    assert_eq!(out_of_order(&[10, 11, 12, 3]), [3], "at the end");
    assert_eq!(
        out_of_order(&[10, 11, 12, 13, 3, 4]),
        [4, 5],
        "several at the end"
    );
}

#[test]
fn of_neighbours_in_each_others_place_the_second_is_wrong() {
    assert_eq!(out_of_order(&[0, 2, 1, 3]), [2]);
    assert_eq!(out_of_order(&[1, 0, 2, 3]), [1]);
    assert_eq!(out_of_order(&[0, 1, 3, 2]), [3]);
}

#[test]
fn of_rows_of_one_minute_the_first_counts() {
    assert_eq!(out_of_order(&[0, 1, 1, 2]), [2]);
    assert_eq!(out_of_order(&[0, 0, 1]), [1]);
    assert_eq!(out_of_order(&[0, 1, 1, 1]), [2, 3]);
    assert_eq!(
        out_of_order(&[0, 1, 2, 0, 1, 2]),
        [3, 4, 5],
        "a file written twice"
    );
}

#[test]
fn of_sessions_that_go_back_the_fewest_rows_are_wrong() {
    let wrong = |days: &[i32]| -> Vec<usize> {
        let minutes: Vec<i64> = (0..).take(days.len()).collect();
        let faulty = faulty(rows(&minutes, days));
        let all_of_sessions = faulty
            .iter()
            .all(|(_, fault)| *fault == RowFault::SessionNotAscending);
        assert!(all_of_sessions);
        faulty.into_iter().map(|(row, _)| row).collect()
    };
    assert_eq!(wrong(&[1, 1, 2, 2]), [0_usize; 0]);
    assert_eq!(wrong(&[1, 1, 9, 2, 2]), [2]);
    assert_eq!(wrong(&[5, 5, 1, 6, 6]), [2]);
    assert_eq!(wrong(&[9, 1, 1, 2]), [0]);
}

#[test]
fn a_row_that_breaks_a_rule_says_nothing_of_the_order_of_others() {
    let all = rows(&[0, 99, 1, 2], &[0; 4]);
    let mut columns = all.columns().clone();
    columns.high[1] = 0.1;
    let all = UnprovenBars::new(columns, vec![0, 9, 0, 0], all.segments().to_vec()).unwrap();
    assert_eq!(faulty(all), [(1, RowFault::Rule(HardRule::HighBelowBody))]);
}

proptest! {
    #[test]
    fn what_remains_is_a_batch_and_no_row_can_be_added_to_it(
        minutes in proptest::collection::vec(0_i64..40, 0..40)
    ) {
        let all = rows(&minutes, &vec![0; minutes.len()]);
        let (batch, faulty) = all.prove();
        let (columns, days, segments) = batch.clone().into_parts();
        prop_assert!(BarBatch::from_parts(columns, days, segments).is_ok());
        // The fewest rows are wrong: the longest ascending choice by the slow and certain way.
        let mut longest = vec![1_usize; minutes.len()];
        for row in 0..minutes.len() {
            let before = (0..row).filter(|&at| minutes[at] < minutes[row]);
            longest[row] = before.map(|at| longest[at] + 1).max().unwrap_or(1);
        }
        prop_assert_eq!(batch.len(), longest.iter().copied().max().unwrap_or(0));
        prop_assert_eq!(batch.len() + faulty.len(), minutes.len());
    }
}
