//! From one session to the next: gaps, and ratios that look like splits.

use super::robust::unit_around_zero;
use super::{RegularRows, SeriesHistory, Thresholds, about_row, percent, remember};
use crate::domain::finding::Collector;
use crate::domain::{BarBatch, Rule, SessionDate, Severity, Timeframe};

/// Gaps that a median needs to mean something.
const FEWEST_GAPS: usize = 10;
/// Days after which a move from close to open is no longer overnight: data are missing in between.
const LONGEST_NIGHT_DAYS: i32 = 7;
/// The least change that a split makes: five for four.
const SMALLEST_SPLIT: f64 = 0.18;
/// New shares for old ones, as companies split: forward; a reverse split is the other way round.
const SPLITS: [(u32, u32); 22] = [
    (5, 4),
    (4, 3),
    (3, 2),
    (5, 3),
    (2, 1),
    (5, 2),
    (3, 1),
    (7, 2),
    (4, 1),
    (5, 1),
    (6, 1),
    (7, 1),
    (8, 1),
    (9, 1),
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (25, 1),
    (30, 1),
    (50, 1),
    (100, 1),
];

/// Checks each session's open against the last close before it; returns the sessions that begin after a split.
pub(super) fn check(
    thresholds: &Thresholds,
    batch: &BarBatch,
    regular: &[RegularRows<'_>],
    history: &mut SeriesHistory,
    findings: &mut Collector<'_>,
) -> Vec<SessionDate> {
    let mut splits = Vec::new();
    let columns = batch.columns();
    for RegularRows { session, rows } in regular {
        let date = session.date();
        let (first, last) = (rows.start, rows.end - 1);
        let before = history.last_close.replace((date, columns.close[last]));
        let Some((date_before, close)) = before else {
            continue;
        };
        if date.days_since_epoch() - date_before.days_since_epoch() > LONGEST_NIGHT_DAYS {
            continue;
        }
        let open = columns.open[first];
        let share = open / close - 1.0;
        let stays = columns.close[last];
        let is_large = |share: f64| share.abs() >= SMALLEST_SPLIT;
        let split = split_of(thresholds.split_tolerance, close / open)
            // A crash recovers or goes on; a split's price stays around its ratio.
            .filter(|_| is_large(share) && !is_large(stays / open - 1.0));
        if let Some((new, old)) = split {
            splits.push(date);
            let severity = severity_of(findings);
            findings.take_as(Rule::Split, severity, Timeframe::M1, || {
                let factor = format!("{:.4}", close / open);
                let what = format!(
                    "opens at {open} after a close of {close} on {date_before}: a factor of {factor}, \
                     as a {new}:{old} split makes"
                );
                about_row(batch, first, factor, format!("{new}:{old}"), &what)
            });
        } else {
            check_gap(thresholds, batch, first, (share, close), history, findings);
        }
        remember(&mut history.gaps, share.abs());
    }
    splits
}

/// A split is what raw prices must show and adjusted ones must not.
fn severity_of(findings: &Collector<'_>) -> Severity {
    let adjustment = findings.dataset().adjustment();
    if adjustment.contains("split") || adjustment == "all" {
        Severity::Warning
    } else {
        Severity::Info
    }
}

fn check_gap(
    thresholds: &Thresholds,
    batch: &BarBatch,
    row: usize,
    (share, close): (f64, f64),
    history: &SeriesHistory,
    findings: &mut Collector<'_>,
) {
    let mut gaps: Vec<f64> = history.gaps.iter().copied().collect();
    let unit = unit_around_zero(&mut gaps).filter(|_| gaps.len() >= FEWEST_GAPS);
    let limit = thresholds
        .gap_share
        .max(unit.map_or(0.0, |unit| thresholds.gap_units * unit));
    if share.abs() <= limit {
        return;
    }
    findings.take(Rule::OvernightGap, Timeframe::M1, || {
        let usual = unit
            .filter(|&unit| unit > 0.0)
            .map_or_else(String::new, |unit| {
                format!(": {:.0} times the usual night's move", share.abs() / unit)
            });
        let what = format!(
            "opens {} from the last close of {close}{usual}",
            percent(share)
        );
        let expected = format!(
            "within {} of {close}",
            percent(limit).trim_start_matches('+')
        );
        about_row(batch, row, batch.columns().open[row], expected, &what)
    });
}

/// The split, new shares for old ones, that divides prices by about `ratio`. Small ratios lie close together and within
/// reach of a crash: a third of the tolerance is theirs.
fn split_of(tolerance: f64, ratio: f64) -> Option<(u32, u32)> {
    let off = |new: u32, old: u32| (ratio * f64::from(old) / f64::from(new) - 1.0).abs();
    SPLITS
        .into_iter()
        .flat_map(|(new, old)| [(new, old), (old, new)])
        .min_by(|a, b| off(a.0, a.1).total_cmp(&off(b.0, b.1)))
        .filter(|&(new, old)| {
            let is_small = new < 2 * old && old < 2 * new;
            let tolerance = if is_small { tolerance / 3.0 } else { tolerance };
            off(new, old) <= tolerance
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_near_small_whole_numbers_are_splits() {
        // AAPL, 2014-06-09: 645.57 before, 92.70 after.
        assert_eq!(split_of(0.03, 645.57 / 92.70), Some((7, 1)));
        assert_eq!(split_of(0.03, 2.02), Some((2, 1)));
        assert_eq!(split_of(0.03, 0.1), Some((1, 10)));
        assert_eq!(split_of(0.03, 1.5), Some((3, 2)));
        assert_eq!(split_of(0.03, 1.51), Some((3, 2)));
        assert_eq!(split_of(0.03, 1.52), None, "small ratios must be nearer");
        assert_eq!(split_of(0.03, 0.664), Some((2, 3)));
        assert_eq!(split_of(0.03, 0.655), None);
        assert_eq!(split_of(0.03, 2.05), Some((2, 1)));
        assert_eq!(
            split_of(0.03, 0.51),
            Some((1, 2)),
            "a half is no small ratio"
        );
        assert_eq!(split_of(0.03, 2.2), None);
        assert_eq!(split_of(0.03, 400.0), None);
    }
}
