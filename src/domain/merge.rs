//! Merging an answer into what is stored: which rows stay, change, come or go. Pure; the store calls it under its lock.

use super::bar::Bar;
use super::bar_batch::BarBatch;
use super::instant::InstantRange;
use super::session::SessionDate;

/// Sessions with fewer stored rows than this are not guarded against shrinking.
const SHRINK_GUARD_MIN_ROWS: usize = 20;

/// What to do when an answer holds far fewer rows than are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShrinkPolicy {
    /// Keep the stored rows of that session and report it.
    Refuse,
    /// Believe the answer.
    Accept,
}

/// One session's share of an answer: the answer is complete for `range`, so rows stored there and absent from it are withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedSession {
    /// Session date.
    pub date: SessionDate,
    /// The instants the answer speaks for; within the session's window.
    pub range: InstantRange,
    /// Minutes in `range` whose answered row went to quarantine, UTC microseconds ascending: a stored row there stays.
    pub quarantined_ts_us: Vec<i64>,
}

/// One minute whose stored row was replaced or withdrawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// The row before.
    pub old: Bar,
    /// The row now; `None` when the provider no longer reports the minute.
    pub new: Option<Bar>,
}

/// A session whose answer was refused by the shrink guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShrinkRefusal {
    /// Session date.
    pub date: SessionDate,
    /// Rows stored in the asked range.
    pub stored_rows: usize,
    /// Rows answered for it.
    pub answered_rows: usize,
}

/// The result of [`merge_answer`].
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The partition's rows from now on.
    pub batch: BarBatch,
    /// Rows for minutes that were not stored before.
    pub new_rows: usize,
    /// Rows that changed or went.
    pub revisions: Vec<Revision>,
    /// Sessions that kept their stored rows because the answer was too short.
    pub refused: Vec<ShrinkRefusal>,
}

/// Merges `answer` into `stored`, both of one partition.
///
/// `asked` lists the sessions that the answer is complete for, ascending, without overlap; every row of
/// `answer` lies in one of them. In those ranges the answer's rows replace the stored ones whole, never
/// field by field; outside them nothing changes. A session that would lose more than a tenth of at least
/// 20 stored rows keeps them all under [`ShrinkPolicy::Refuse`].
pub fn merge_answer(
    stored: &BarBatch,
    answer: &BarBatch,
    asked: &[AskedSession],
    policy: ShrinkPolicy,
) -> Merged {
    let mut merged = Merged {
        batch: BarBatch::empty(),
        new_rows: 0,
        revisions: Vec::new(),
        refused: Vec::new(),
    };
    let stored_ts = &stored.columns().ts_us;
    let answer_ts = &answer.columns().ts_us;
    let mut kept_to = 0;
    for session in asked {
        let old = stored_ts.partition_point(|&ts| ts < session.range.start_us)
            ..stored_ts.partition_point(|&ts| ts < session.range.end_us);
        let new = answer_ts.partition_point(|&ts| ts < session.range.start_us)
            ..answer_ts.partition_point(|&ts| ts < session.range.end_us);
        merged.batch.extend_unproven(stored, kept_to..old.start);
        kept_to = old.end;
        let answered_rows = new.len() + session.quarantined_ts_us.len();
        let lost_rows = old.len().saturating_sub(answered_rows);
        if policy == ShrinkPolicy::Refuse
            && old.len() >= SHRINK_GUARD_MIN_ROWS
            && lost_rows * 10 > old.len()
        {
            merged.refused.push(ShrinkRefusal {
                date: session.date,
                stored_rows: old.len(),
                answered_rows,
            });
            merged.batch.extend_unproven(stored, old);
            continue;
        }
        merge_session(
            &mut merged,
            stored,
            old,
            answer,
            new,
            &session.quarantined_ts_us,
        );
    }
    merged.batch.extend_unproven(stored, kept_to..stored.len());
    merged
}

/// Merges the rows `old` of `stored` with the rows `new` of `answer`, in one pass over both.
fn merge_session(
    merged: &mut Merged,
    stored: &BarBatch,
    old: std::ops::Range<usize>,
    answer: &BarBatch,
    new: std::ops::Range<usize>,
    quarantined_ts_us: &[i64],
) {
    if old.is_empty() {
        merged.new_rows += new.len();
        merged.batch.extend_unproven(answer, new);
        return;
    }
    let (mut i, mut j) = (old.start, new.start);
    while i < old.end || j < new.end {
        let old_ts = (i < old.end).then(|| stored.columns().ts_us[i]);
        let new_ts = (j < new.end).then(|| answer.columns().ts_us[j]);
        match (old_ts, new_ts) {
            (Some(o), Some(n)) if o == n => {
                let (before, now) = (stored.bar(i), answer.bar(j));
                if !before.same_values(&now) {
                    merged.revisions.push(Revision {
                        old: before,
                        new: Some(now),
                    });
                }
                merged.batch.extend_unproven(answer, j..j + 1);
                i += 1;
                j += 1;
            }
            (Some(o), n) if n.is_none_or(|n| o < n) => {
                if quarantined_ts_us.binary_search(&o).is_ok() {
                    merged.batch.extend_unproven(stored, i..i + 1);
                } else {
                    merged.revisions.push(Revision {
                        old: stored.bar(i),
                        new: None,
                    });
                }
                i += 1;
            }
            _ => {
                merged.new_rows += 1;
                merged.batch.extend_unproven(answer, j..j + 1);
                j += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::bar::tests::bar_at;
    use super::super::calendar::Calendar;
    use super::super::instant::MINUTE_US;
    use super::*;

    /// 2024-07-02 13:30 UTC, the open.
    const OPEN: i64 = 1_719_927_000_000_000;

    fn batch(bars: impl IntoIterator<Item = Bar>) -> BarBatch {
        BarBatch::from_columns(bars.into_iter().collect(), Calendar::nyse()).unwrap()
    }

    fn minute(n: i64) -> i64 {
        OPEN + n * MINUTE_US
    }

    fn asked(start: i64, end: i64, quarantined: Vec<i64>) -> AskedSession {
        AskedSession {
            date: "2024-07-02".parse().unwrap(),
            range: InstantRange {
                start_us: minute(start),
                end_us: minute(end),
            },
            quarantined_ts_us: quarantined,
        }
    }

    #[test]
    fn the_same_answer_twice_changes_nothing() {
        let answer = batch((0..390).map(|n| bar_at(minute(n), 10.0)));
        let first = merge_answer(
            &BarBatch::empty(),
            &answer,
            &[asked(0, 390, vec![])],
            ShrinkPolicy::Refuse,
        );
        assert_eq!((first.new_rows, first.revisions.len()), (390, 0));
        let second = merge_answer(
            &first.batch,
            &answer,
            &[asked(0, 390, vec![])],
            ShrinkPolicy::Refuse,
        );
        assert_eq!((second.new_rows, second.revisions.len()), (0, 0));
        assert_eq!(second.batch, answer);
    }

    #[test]
    fn corrected_withdrawn_and_late_rows_are_told_apart() {
        let stored = batch([
            bar_at(minute(0), 1.0),
            bar_at(minute(1), 2.0),
            bar_at(minute(2), 3.0),
        ]);
        let answer = batch([
            bar_at(minute(0), 1.0),
            bar_at(minute(2), 4.0),
            bar_at(minute(3), 5.0),
        ]);
        let merged = merge_answer(
            &stored,
            &answer,
            &[asked(0, 10, vec![])],
            ShrinkPolicy::Refuse,
        );
        assert_eq!(merged.batch, answer);
        assert_eq!(merged.new_rows, 1);
        assert_eq!(
            merged.revisions,
            [
                Revision {
                    old: bar_at(minute(1), 2.0),
                    new: None
                },
                Revision {
                    old: bar_at(minute(2), 3.0),
                    new: Some(bar_at(minute(2), 4.0))
                },
            ]
        );
    }

    #[test]
    fn a_bad_row_does_not_cost_the_good_one_that_is_stored() {
        let stored = batch([bar_at(minute(0), 1.0), bar_at(minute(1), 2.0)]);
        let answer = batch([bar_at(minute(0), 1.0)]);
        let merged = merge_answer(
            &stored,
            &answer,
            &[asked(0, 10, vec![minute(1)])],
            ShrinkPolicy::Refuse,
        );
        assert_eq!(merged.batch, stored);
        assert!(merged.revisions.is_empty());
    }

    #[test]
    fn a_much_shorter_answer_is_refused_until_accepted() {
        let stored = batch((0..100).map(|n| bar_at(minute(n), 10.0)));
        let answer = batch((0..60).map(|n| bar_at(minute(n), 11.0)));
        let refused = merge_answer(
            &stored,
            &answer,
            &[asked(0, 390, vec![])],
            ShrinkPolicy::Refuse,
        );
        assert_eq!(refused.batch, stored);
        assert_eq!(refused.refused[0].stored_rows, 100);
        let accepted = merge_answer(
            &stored,
            &answer,
            &[asked(0, 390, vec![])],
            ShrinkPolicy::Accept,
        );
        assert_eq!(accepted.batch, answer);
        assert_eq!(accepted.revisions.len(), 100);
    }

    proptest! {
        /// The definition: a map by timestamp, emptied in the asked range and refilled from the answer.
        #[test]
        fn merging_equals_the_map_definition(
            stored in proptest::collection::btree_map(0_i64..60, 1_u8..4, 0..40),
            answer in proptest::collection::btree_map(10_i64..50, 1_u8..4, 0..40),
        ) {
            let rows = |map: &BTreeMap<i64, u8>| batch(map.iter().map(|(&n, &p)| bar_at(minute(n), f64::from(p))));
            let mut expected = stored.clone();
            expected.retain(|n, _| !(10..50).contains(n));
            expected.extend(&answer);
            let merged = merge_answer(&rows(&stored), &rows(&answer), &[asked(10, 50, vec![])], ShrinkPolicy::Accept);
            prop_assert_eq!(&merged.batch, &rows(&expected));
            let new = answer.keys().filter(|n| !stored.contains_key(n)).count();
            prop_assert_eq!(merged.new_rows, new);
            let revised = stored.iter().filter(|(n, p)| (10..50).contains(*n) && answer.get(n) != Some(p)).count();
            prop_assert_eq!(merged.revisions.len(), revised);
        }
    }
}
