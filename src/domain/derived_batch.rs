//! Bars that were made from shorter ones, in proven columns. Knows nothing of how they were made.

use std::cmp::Ordering;

use super::bar::Bar;
use super::bar_batch::{BarBatch, BatchError};
use super::bar_columns::BarColumns;
use super::instant::format_utc;
use super::session::Segment;

/// Derived bars of one series and frame: a [`BarBatch`], and of how many minutes each bar was made.
#[derive(Debug, Clone, PartialEq)]
pub struct DerivedBatch {
    bars: BarBatch,
    minutes: Vec<i32>,
}

/// Rows of a kept and an expected batch that are about the same time and differ, or that one of them lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowDifference {
    /// Row of the kept batch.
    pub kept: Option<usize>,
    /// Row of the expected batch.
    pub expected: Option<usize>,
}

impl DerivedBatch {
    /// A batch without rows.
    pub fn empty() -> Self {
        Self {
            bars: BarBatch::empty(),
            minutes: Vec::new(),
        }
    }

    /// Proves `columns` as [`BarBatch`] does, but for the volume of a single minute, which a longer bar may exceed.
    ///
    /// # Errors
    /// The first broken invariant; [`BatchError::UnequalLengths`] also for a bar that was made of no minute.
    pub fn from_parts(
        columns: BarColumns,
        session_days: Vec<i32>,
        segments: Vec<Segment>,
        minutes: Vec<i32>,
    ) -> Result<Self, BatchError> {
        if minutes.len() != columns.len() || minutes.iter().any(|&count| count < 1) {
            return Err(BatchError::UnequalLengths);
        }
        let bars = BarBatch::from_derived_parts(columns, session_days, segments)?;
        Ok(Self { bars, minutes })
    }

    /// The bars.
    pub fn bars(&self) -> &BarBatch {
        &self.bars
    }

    /// Of how many minutes each bar was made, at least one.
    pub fn minutes(&self) -> &[i32] {
        &self.minutes
    }

    /// Number of bars.
    pub fn len(&self) -> usize {
        self.bars.len()
    }

    /// Whether there is no bar.
    pub fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    /// Takes the batch apart.
    pub fn into_parts(self) -> (BarBatch, Vec<i32>) {
        (self.bars, self.minutes)
    }

    /// A batch of the rows `rows` alone.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        Self {
            bars: self.bars.slice(rows.clone()),
            minutes: self.minutes[rows].to_vec(),
        }
    }

    /// Appends the bars of `later`, all of which follow.
    ///
    /// # Errors
    /// [`BatchError::NotAscending`] when they do not.
    pub fn append(&mut self, later: Self) -> Result<(), BatchError> {
        if self.is_empty() {
            *self = later;
            return Ok(());
        }
        let last = |batch: &Self| batch.bars.columns().ts_us.last().copied();
        let first_us = later.bars.columns().ts_us.first().copied();
        if let (Some(last_us), Some(first_us)) = (last(self), first_us)
            && last_us >= first_us
        {
            return Err(BatchError::NotAscending {
                row: self.len(),
                ts_us: first_us,
            });
        }
        self.bars.extend_unproven(&later.bars, 0..later.len());
        self.minutes.extend_from_slice(&later.minutes);
        Ok(())
    }

    /// The first bar in which the two differ, to the last bit; `None` when they are equal.
    pub fn first_difference(&self, expected: &Self) -> Option<RowDifference> {
        self.differences(expected).into_iter().next()
    }

    /// The bars in which the two differ, each of them beside the one of the same time, ascending.
    pub fn differences(&self, expected: &Self) -> Vec<RowDifference> {
        let mut differences = Vec::new();
        let (mut kept, mut wanted) = (0, 0);
        let ts_of = |batch: &Self, row: usize| batch.bars.columns().ts_us.get(row).copied();
        loop {
            let order = match (ts_of(self, kept), ts_of(expected, wanted)) {
                (None, None) => return differences,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(kept_us), Some(wanted_us)) => kept_us.cmp(&wanted_us),
            };
            let rows = RowDifference {
                kept: order.is_le().then_some(kept),
                expected: order.is_ge().then_some(wanted),
            };
            if order.is_ne() || !self.is_same_row(kept, expected, wanted) {
                differences.push(rows);
            }
            kept += usize::from(order.is_le());
            wanted += usize::from(order.is_ge());
        }
    }

    fn is_same_row(&self, row: usize, other: &Self, other_row: usize) -> bool {
        self.bars.bar(row).same_values(&other.bars.bar(other_row))
            && self.bars.session_days()[row] == other.bars.session_days()[other_row]
            && self.bars.segments()[row] == other.bars.segments()[other_row]
            && self.minutes[row] == other.minutes[other_row]
    }

    /// What differs from what is expected, in words.
    pub fn difference_at(&self, expected: &Self, rows: RowDifference) -> String {
        let bar = |batch: &Self, row: usize| (batch.bars().bar(row), batch.minutes()[row]);
        let at = |bar: &Bar| format_utc(bar.ts_us);
        let kept = rows.kept.map(|row| bar(self, row));
        let wanted = rows.expected.map(|row| bar(expected, row));
        match (kept, wanted) {
            (Some((kept, _)), None) => format!("the bar at {} should not exist", at(&kept)),
            (None, Some((expected, _))) => format!("the bar at {} is missing", at(&expected)),
            (Some((kept, kept_minutes)), Some((expected, expected_minutes))) => {
                let vwap = |bar: &Bar| bar.vwap.map_or("none".to_owned(), |vwap| vwap.to_string());
                let count = |bar: &Bar| {
                    bar.trade_count
                        .map_or("none".to_owned(), |count| count.to_string())
                };
                let values = [
                    ("open", kept.open.to_string(), expected.open.to_string()),
                    ("high", kept.high.to_string(), expected.high.to_string()),
                    ("low", kept.low.to_string(), expected.low.to_string()),
                    ("close", kept.close.to_string(), expected.close.to_string()),
                    (
                        "volume",
                        kept.volume.to_string(),
                        expected.volume.to_string(),
                    ),
                    ("trade_count", count(&kept), count(&expected)),
                    ("vwap", vwap(&kept), vwap(&expected)),
                    (
                        "minutes",
                        kept_minutes.to_string(),
                        expected_minutes.to_string(),
                    ),
                ];
                let differing = values.iter().find(|(_, kept, expected)| kept != expected);
                let words = differing.map_or_else(
                    || "differs in its session or segment".to_owned(),
                    |(column, kept, expected)| {
                        format!("has {column} {kept}, its minutes give {expected}")
                    },
                );
                format!("the bar at {} {words}", at(&expected))
            }
            (None, None) => "differs".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bar::tests::bar_at;
    use super::super::bar::{Bar, HardRule};
    use super::*;

    /// 2024-07-02 13:30 UTC, the open.
    const OPEN: i64 = 1_719_927_000_000_000;
    const DAY: i32 = 19_906;

    fn derived(bars: &[Bar], minutes: &[i32]) -> Result<DerivedBatch, BatchError> {
        let columns: BarColumns = bars.iter().copied().collect();
        let (days, segments) = (vec![DAY; bars.len()], vec![Segment::Regular; bars.len()]);
        DerivedBatch::from_parts(columns, days, segments, minutes.to_vec())
    }

    #[test]
    fn a_bar_is_made_of_minutes_and_may_hold_more_volume_than_one() {
        let bar = bar_at(OPEN, 10.0);
        assert_eq!(
            derived(&[bar], &[0]).unwrap_err(),
            BatchError::UnequalLengths
        );
        let large = Bar {
            volume: 2e15,
            ..bar
        };
        assert_eq!(derived(&[large], &[390]).unwrap().len(), 1);
        let negative = Bar {
            volume: -1.0,
            ..bar
        };
        assert!(matches!(
            derived(&[negative], &[1]).unwrap_err(),
            BatchError::BrokenRule {
                rule: HardRule::NegativeVolume,
                ..
            }
        ));
    }

    #[test]
    fn batches_are_joined_in_order_and_compared_to_the_last_bit() {
        let rows = |kept: &DerivedBatch, expected: &DerivedBatch| -> Vec<_> {
            let differences = kept.differences(expected).into_iter();
            differences.map(|rows| (rows.kept, rows.expected)).collect()
        };
        let first = derived(&[bar_at(OPEN, 10.0)], &[5]).unwrap();
        let second = derived(&[bar_at(OPEN + 300_000_000, 10.0)], &[4]).unwrap();
        let mut joined = first.clone();
        joined.append(second.clone()).unwrap();
        assert_eq!(joined.minutes(), [5, 4]);
        assert!(joined.clone().append(first.clone()).is_err());
        assert_eq!(joined.first_difference(&joined.clone()), None);
        assert_eq!(rows(&joined, &first), [(Some(1), None)]);
        assert_eq!(rows(&first, &joined), [(None, Some(1))]);
        assert_eq!(rows(&second, &joined), [(None, Some(0))]);
        assert_eq!(rows(&joined, &second), [(Some(0), None)]);
        assert_eq!(rows(&first, &second), [(Some(0), None), (None, Some(0))]);
        let other = derived(&[bar_at(OPEN, 10.0)], &[4]).unwrap();
        assert_eq!(rows(&first, &other), [(Some(0), Some(0))]);
        let words = |kept: &DerivedBatch, expected: &DerivedBatch| {
            kept.difference_at(expected, kept.first_difference(expected).unwrap())
        };
        assert_eq!(
            words(&first, &other),
            "the bar at 2024-07-02T13:30:00Z has minutes 5, its minutes give 4"
        );
        assert_eq!(
            words(&joined, &first),
            "the bar at 2024-07-02T13:35:00Z should not exist"
        );
        assert_eq!(
            words(&second, &joined),
            "the bar at 2024-07-02T13:30:00Z is missing"
        );
    }
}
