//! Volume-weighted prices against the bar that they belong to.

use super::about_row;
use crate::domain::finding::Collector;
use crate::domain::{BarBatch, Rule, Timeframe};

/// Half of the last digit that providers send.
const ROUNDING: f64 = 1e-6;

/// Checks VWAPs. A dataset that has none has none to be missed.
pub(super) fn check(batch: &BarBatch, findings: &mut Collector<'_>) {
    let columns = batch.columns();
    let (vwap, present) = (columns.vwap.values(), columns.vwap.present());
    let (low, high, volume) = (&columns.low, &columns.high, &columns.volume);
    let has_any = present.contains(&true);
    if !has_any {
        return;
    }
    let is_odd = |row: usize| {
        let is_inside = (vwap[row] >= low[row] - ROUNDING) & (vwap[row] <= high[row] + ROUNDING);
        !(present[row] & is_inside)
    };
    if !(0..batch.len()).fold(false, |found, row| found | is_odd(row)) {
        return;
    }
    for row in (0..batch.len()).filter(|&row| is_odd(row)) {
        if !present[row] {
            if volume[row] > 0.0 {
                findings.take(Rule::VwapMissing, Timeframe::M1, || {
                    about_row(batch, row, "none", "a VWAP", "has volume but no VWAP")
                });
            }
        } else if vwap[row] == 0.0 {
            // Where nothing traded a zero says just that.
            if volume[row] > 0.0 {
                findings.take(Rule::VwapMissing, Timeframe::M1, || {
                    about_row(batch, row, 0, "a VWAP", "has volume but a VWAP of zero")
                });
            }
        } else {
            findings.take(Rule::VwapOutside, Timeframe::M1, || {
                let range = format!("{} to {}", low[row], high[row]);
                let what = format!("has a VWAP of {}, outside {range}", vwap[row]);
                about_row(batch, row, vwap[row], range, &what)
            });
        }
    }
}
