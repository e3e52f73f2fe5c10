//! Prices within regular hours: jumps, spikes, stale runs, and prices that are finer than any quote.
//!
//! Before and after regular hours prices are wide and odd by nature; they are not judged here.

use std::ops::Range;

use super::robust::unit_around_zero;
use super::{RegularRows, SeriesHistory, Thresholds, about_row, nearest_whole, percent};
use crate::domain::finding::{Collector, Evidence};
use crate::domain::instant::{MINUTE_US, format_utc};
use crate::domain::{BarBatch, BarColumns, Rule, Timeframe, as_u64, counted};

/// Moves that a median needs to mean something.
const FEWEST_MOVES: usize = 100;
/// How often a run of equal bars in a batch may be due to chance alone.
const CHANCE: f64 = 0.001;
/// Half of a mill on a price of one: the unit is never taken for smaller than what a tick makes.
const SMALLEST_UNIT: f64 = 1e-5;

/// Checks prices.
pub(super) fn check(
    thresholds: &Thresholds,
    batch: &BarBatch,
    regular: &[RegularRows<'_>],
    history: &mut SeriesHistory,
    findings: &mut Collector<'_>,
) {
    let unit = move_unit(batch.columns(), regular).or(history.move_unit);
    history.move_unit = unit;
    // Without a measure of what is usual nothing is unusual.
    let unit = unit.map(|unit| unit.max(SMALLEST_UNIT));
    for session in regular {
        if !findings.wants(session.session.date()) {
            continue;
        }
        if let Some(unit) = unit {
            check_moves(thresholds, unit, batch, session, findings);
        }
    }
}

/// Checks what only bars of trades can be judged by: finer prices than any quote, and stale runs.
pub(super) fn check_traded(
    thresholds: &Thresholds,
    batch: &BarBatch,
    regular: &[RegularRows<'_>],
    findings: &mut Collector<'_>,
) {
    check_ticks(batch, findings);
    let runs: Vec<(&RegularRows<'_>, Range<usize>)> = regular
        .iter()
        .flat_map(|session| {
            flat_runs(batch, session)
                .into_iter()
                .map(move |run| (session, run))
        })
        .collect();
    // How often a bar just repeats the price of the one before it.
    let rows: usize = regular.iter().map(|session| session.rows.len()).sum();
    let repeated: usize = runs.iter().map(|(_, run)| run.len() - 1).sum();
    for (session, run) in &runs {
        let others = (repeated + 1 - run.len(), rows - run.len());
        // A whole session at one price is no chance, however many of them there are.
        let by_chance = longest_by_chance(others).min(session.rows.len());
        if run.len() >= thresholds.stale_bars.max(by_chance)
            && findings.wants(session.session.date())
        {
            note_stale(thresholds, batch, session, run, findings);
        }
    }
}

/// The robust unit of moves from one minute's close to the next one's.
fn move_unit(columns: &BarColumns, regular: &[RegularRows<'_>]) -> Option<f64> {
    let mut moves = Vec::with_capacity(regular.iter().map(|regular| regular.rows.len()).sum());
    for RegularRows { rows, .. } in regular {
        let close = &columns.close[rows.clone()];
        let ts_us = &columns.ts_us[rows.clone()];
        for (close, ts_us) in close.windows(2).zip(ts_us.windows(2)) {
            if ts_us[1] - ts_us[0] == MINUTE_US {
                moves.push((close[1] / close[0] - 1.0).abs());
            }
        }
    }
    if moves.len() < FEWEST_MOVES {
        return None;
    }
    match unit_around_zero(&mut moves) {
        // A price that mostly stands still moves by whole ticks when it moves.
        Some(0.0) => {
            moves.retain(|&share| share > 0.0);
            unit_around_zero(&mut moves)
        }
        unit => unit,
    }
}

/// The move that counts after `minutes` minutes without a bar, as a share.
fn limit(thresholds: &Thresholds, unit: f64, elapsed_us: i64) -> f64 {
    let minutes = i32::try_from(elapsed_us / MINUTE_US).unwrap_or(i32::MAX);
    let usual = thresholds.jump_units * unit;
    thresholds
        .jump_share
        .max(usual * f64::from(minutes.max(1)).sqrt())
}

fn check_moves(
    thresholds: &Thresholds,
    unit: f64,
    batch: &BarBatch,
    regular: &RegularRows<'_>,
    findings: &mut Collector<'_>,
) {
    let columns = batch.columns();
    let (open, close) = (&columns.open, &columns.close);
    let (high, low, ts_us) = (&columns.high, &columns.low, &columns.ts_us);
    let rows = regular.rows.clone();
    let of_a_minute = limit(thresholds, unit, MINUTE_US);
    let mut row = rows.start;
    while row < rows.end {
        let is_first = row == rows.start;
        let before = if is_first { open[row] } else { close[row - 1] };
        let (above, below) = (close[row].max(before), close[row].min(before));
        let is_high = |limit: f64| high[row] > (1.0 + limit) * above;
        let is_low = |limit: f64| low[row] < (1.0 - limit) * below;
        let has_moved = |limit: f64| (close[row] - before).abs() > limit * before;
        // No limit is lower: nearly all bars are done here.
        if !(is_high(of_a_minute) || is_low(of_a_minute) || has_moved(of_a_minute)) {
            row += 1;
            continue;
        }
        let elapsed_us = if is_first {
            MINUTE_US
        } else {
            ts_us[row] - ts_us[row - 1]
        };
        let limit = limit(thresholds, unit, elapsed_us);
        let in_units =
            |share: f64| format!("{:.0} times the usual minute's move", share.abs() / unit);
        let expected = || {
            format!(
                "within {} of {before}",
                percent(limit).trim_start_matches('+')
            )
        };
        let odd = if is_high(limit) {
            Some((high[row], "high", above))
        } else if is_low(limit) {
            Some((low[row], "low", below))
        } else {
            None
        };
        if let Some((price, name, from)) = odd {
            findings.take(Rule::Spike, Timeframe::M1, || {
                let share = price / from - 1.0;
                let what = format!(
                    "has a {name} of {price}, {} from the closes around it: {}",
                    percent(share),
                    in_units(share)
                );
                about_row(batch, row, price, expected(), &what)
            });
            row += 1;
            continue;
        }
        if is_first || !has_moved(limit) {
            row += 1;
            continue;
        }
        let share = close[row] / before - 1.0;
        let soon = row..(row + 1 + thresholds.spike_bars).min(rows.end);
        // The bar itself is not back, so that the place is the number of bars.
        let back = close[soon]
            .iter()
            .position(|close| (close / before - 1.0).abs() < share.abs() / 4.0);
        match back {
            Some(bars) => findings.take(Rule::Spike, Timeframe::M1, || {
                let what = format!(
                    "closes at {}, {} from the minute before, and is back after {}: {}",
                    close[row],
                    percent(share),
                    counted(as_u64(bars), "bar"),
                    in_units(share)
                );
                about_row(batch, row, close[row], expected(), &what)
            }),
            None => findings.take(Rule::Jump, Timeframe::M1, || {
                let what = format!(
                    "closes at {}, {} from the bar before, and stays there: {}",
                    close[row],
                    percent(share),
                    in_units(share)
                );
                about_row(batch, row, close[row], expected(), &what)
            }),
        }
        row += 1 + back.unwrap_or(0);
    }
}

/// Runs of bars in consecutive minutes that have one and the same price, all of them with volume.
fn flat_runs(batch: &BarBatch, regular: &RegularRows<'_>) -> Vec<Range<usize>> {
    let columns = batch.columns();
    let (close, ts_us) = (&columns.close, &columns.ts_us);
    let is_flat = |row: usize| columns.high[row] == columns.low[row] && columns.volume[row] > 0.0;
    let goes_on = |row: usize| {
        is_flat(row) && close[row] == close[row - 1] && ts_us[row] - ts_us[row - 1] == MINUTE_US
    };
    let mut runs = Vec::new();
    let mut start = regular.rows.start;
    while start < regular.rows.end {
        let next = start + 1;
        if !is_flat(start) {
            start = next;
            continue;
        }
        let end = (next..regular.rows.end)
            .find(|&row| !goes_on(row))
            .unwrap_or(regular.rows.end);
        runs.push(start..end);
        start = end;
    }
    runs
}

/// The run that is hardly ever seen by chance where so many bars, out of so many, repeat the one before.
///
/// Some symbols trade at one price for days: what is stale in others is usual there.
fn longest_by_chance((repeated, rows): (usize, usize)) -> usize {
    let as_f64 = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    // Each run has a first bar, which repeats none: there are always fewer that do than bars.
    if repeated == 0 {
        return 0;
    }
    let share = as_f64(repeated) / as_f64(rows);
    let bars = (as_f64(rows) / CHANCE).ln() / -share.ln();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of bars; what is beyond the largest is never reached"
    )]
    let bars = bars.ceil() as usize;
    bars
}

fn note_stale(
    thresholds: &Thresholds,
    batch: &BarBatch,
    regular: &RegularRows<'_>,
    run: &Range<usize>,
    findings: &mut Collector<'_>,
) {
    findings.take(Rule::Stale, Timeframe::M1, || {
        let (first, last) = (batch.bar(run.start), batch.bar(run.end - 1));
        Evidence {
            session: Some(regular.session.date()),
            ts_us: Some(first.ts_us),
            value: format!("{} bars", run.len()),
            expected: format!("fewer than {}", thresholds.stale_bars),
            message: format!(
                "{} bars from {} to {} have the one price {}, with volume",
                run.len(),
                format_utc(first.ts_us),
                format_utc(last.ts_us),
                first.close
            ),
            bar: Some(first),
        }
    });
}

/// Prices with more than six decimals.
fn check_ticks(batch: &BarBatch, findings: &mut Collector<'_>) {
    let columns = batch.columns();
    let is_fine = |price: f64| {
        let scaled = price * 1e6;
        // Larger prices have no room for such digits.
        (scaled < 1e13) & ((scaled - nearest_whole(scaled)).abs() > 0.02)
    };
    let has_fine = |prices: &[f64]| {
        prices
            .iter()
            .fold(false, |found, &price| found | is_fine(price))
    };
    let prices = [&columns.open, &columns.high, &columns.low, &columns.close];
    if !prices.iter().any(|prices| has_fine(prices)) {
        return;
    }
    for row in 0..batch.len() {
        let fine = prices.iter().find(|prices| is_fine(prices[row]));
        if let Some(prices) = fine {
            findings.take(Rule::FineTick, Timeframe::M1, || {
                let what = format!("has the price {}", prices[row]);
                about_row(batch, row, prices[row], "at most six decimals", &what)
            });
        }
    }
}
