//! Volumes: fractions, spikes, none where a price moved, and sessions far from the usual.

use super::robust::{median, median_and_unit};
use super::{RegularRows, SeriesHistory, Thresholds, about_row, nearest_whole, remember};
use crate::domain::finding::{Collector, Evidence};
use crate::domain::{BarBatch, Rule, Segment, Timeframe};

/// Volumes that a median needs to mean something.
const FEWEST_MINUTES: usize = 100;
/// Sessions that a median needs to mean something.
const FEWEST_SESSIONS: usize = 10;
/// One session in so many may be as odd as it likes without making its size usual.
const RARE_SESSIONS: usize = 20;
/// The share of rows up to which fractions of shares are exceptions.
const RARE: f64 = 0.001;

/// Whether a minute's volume, which is below 1e15, is no whole number of shares.
fn is_fractional(volume: f64) -> bool {
    nearest_whole(volume) != volume
}

/// Looks for fractions of shares where there never are any.
pub(super) fn check_fractions(
    batch: &BarBatch,
    history: &mut SeriesHistory,
    findings: &mut Collector<'_>,
) {
    let volume = &batch.columns().volume;
    let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let fractional = volume.iter().fold(0_usize, |sum, &volume| {
        sum + usize::from(is_fractional(volume))
    });
    history.rows += as_u64(batch.len());
    history.fractional_rows += as_u64(fractional);
    if fractional == 0 {
        return;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of rows need not be exact"
    )]
    let share = history.fractional_rows as f64 / history.rows as f64;
    let is_rare = share <= RARE || history.fractional_rows == 1;
    // A handful of rows does not tell what there never is.
    if !is_rare || history.rows < as_u64(FEWEST_MINUTES) {
        return;
    }
    for row in (0..batch.len()).filter(|&row| is_fractional(volume[row])) {
        findings.take(Rule::FractionalVolume, Timeframe::M1, || {
            let what = format!("has a volume of {}; the others are whole", volume[row]);
            about_row(batch, row, volume[row], "a whole number", &what)
        });
    }
}

/// Looks for moves without volume.
pub(super) fn check_zero(batch: &BarBatch, findings: &mut Collector<'_>) {
    let columns = batch.columns();
    let moved = |row: usize| {
        (columns.volume[row] == 0.0)
            & ((columns.high[row] != columns.low[row]) | (columns.open[row] != columns.close[row]))
    };
    if !(0..batch.len()).fold(false, |found, row| found | moved(row)) {
        return;
    }
    for row in (0..batch.len()).filter(|&row| moved(row)) {
        findings.take(Rule::ZeroVolume, Timeframe::M1, || {
            let range = format!("{} to {}", columns.low[row], columns.high[row]);
            let what = format!("moved from {range} without volume");
            about_row(batch, row, 0, "volume", &what)
        });
    }
}

/// A regular minute far above the others; the first and the last one hold the auctions.
pub(super) fn check_spikes(
    thresholds: &Thresholds,
    batch: &BarBatch,
    regular: &[RegularRows<'_>],
    findings: &mut Collector<'_>,
) {
    let columns = batch.columns();
    let mut volumes: Vec<f64> = Vec::with_capacity(batch.len());
    for RegularRows { rows, .. } in regular {
        volumes.extend_from_slice(&columns.volume[rows.clone()]);
    }
    if volumes.len() < FEWEST_MINUTES {
        return;
    }
    let Some((median, unit)) = median_and_unit(&mut volumes) else {
        return;
    };
    let limit = (median + thresholds.volume_units * unit).max(thresholds.volume_factor * median);
    if limit <= 0.0 {
        return;
    }
    for RegularRows { session, rows } in regular {
        if !findings.wants(session.date()) {
            continue;
        }
        let official = session.expected_range(Segment::Regular);
        let last_us = session.minute_ts_us(official.end.saturating_sub(1));
        for row in rows.clone() {
            let ts_us = columns.ts_us[row];
            if columns.volume[row] <= limit || ts_us == session.open_us() || ts_us == last_us {
                continue;
            }
            findings.take(Rule::VolumeSpike, Timeframe::M1, || {
                let volume = columns.volume[row];
                let what = format!(
                    "has a volume of {volume}, {:.0} times the month's median of {median}",
                    volume / median
                );
                about_row(batch, row, volume, format!("up to {limit:.0}"), &what)
            });
        }
    }
}

/// Compares a session's volume with those before it.
pub(super) fn check_session(
    thresholds: &Thresholds,
    batch: &BarBatch,
    RegularRows { session, rows }: &RegularRows<'_>,
    history: &mut SeriesHistory,
    findings: &mut Collector<'_>,
) {
    let volume: f64 = batch.columns().volume[rows.clone()].iter().sum();
    let minutes = session.expected_range(Segment::Regular).len();
    let minutes = f64::from(u16::try_from(minutes).unwrap_or(u16::MAX).max(1));
    // Half days are shorter, not quieter.
    let rate = volume / minutes;
    let mut before: Vec<f64> = history.session_volumes.iter().copied().collect();
    remember(&mut history.session_volumes, rate);
    if before.len() < FEWEST_SESSIONS || !findings.wants(session.date()) {
        return;
    }
    let Some(usual_rate) = median(&mut before).filter(|&usual| usual > 0.0) else {
        return;
    };
    let factor = thresholds.session_volume_factor;
    // Where volumes vary that much from day to day, one of them says nothing.
    before.sort_unstable_by(f64::total_cmp);
    let few = before.len() / RARE_SESSIONS;
    let (low, high) = (before[few], before[before.len() - 1 - few]);
    let usual = usual_rate * minutes;
    let what = if rate >= (usual_rate * factor).max(2.0 * high) {
        format!("{:.0} times the usual {usual:.0}", volume / usual)
    } else if rate <= (usual_rate / factor).min(low / 2.0) {
        format!("{:.1} % of the usual {usual:.0}", 100.0 * volume / usual)
    } else {
        return;
    };
    findings.take(Rule::SessionVolume, Timeframe::M1, || Evidence {
        session: Some(session.date()),
        ts_us: None,
        value: volume.to_string(),
        expected: format!("about {usual:.0}"),
        message: format!("the regular session's volume is {volume}: {what}"),
        bar: None,
    });
}
