//! Rows that cannot be part of a batch: hard rules and order.

use super::{about_bar, stored_date};
use crate::domain::bar_batch::{FaultyRow, RowFault};
use crate::domain::finding::{Collector, Evidence};
use crate::domain::{Bar, HardRule, Rule, Timeframe};

/// Notes what keeps `row` out of a batch.
pub(super) fn note_fault(row: &FaultyRow, findings: &mut Collector<'_>) {
    let bar = row.bar;
    let (rule, evidence): (Rule, Box<dyn FnOnce() -> Evidence>) = match row.fault {
        RowFault::NotAscending => (Rule::NotAscending, {
            let session = stored_date(row);
            Box::new(move || {
                let what = "does not lie between its neighbours in time, or repeats one of them";
                about_bar(
                    session,
                    bar,
                    "out of order",
                    "ascending, one a minute",
                    what,
                )
            })
        }),
        RowFault::SessionNotAscending => (Rule::WrongSession, {
            let session = stored_date(row);
            Box::new(move || {
                let what = "belongs to a session that does not lie between those of its neighbours";
                about_bar(
                    session,
                    bar,
                    "session out of order",
                    "ascending sessions",
                    what,
                )
            })
        }),
        RowFault::Rule(broken) => (rule_of(broken, &bar), {
            let session = stored_date(row);
            Box::new(move || {
                let what = format!("breaks the rule {broken}");
                about_bar(
                    session,
                    bar,
                    values_of(broken, &bar),
                    expected_of(broken),
                    &what,
                )
            })
        }),
    };
    findings.take(rule, Timeframe::M1, evidence);
}

/// The rule of validation for a broken hard rule.
fn rule_of(broken: HardRule, bar: &Bar) -> Rule {
    let prices = [bar.open, bar.high, bar.low, bar.close];
    let is_about_volume = prices
        .iter()
        .all(|price| price.is_finite() && *price > 0.0 && *price < 1e12);
    match broken {
        HardRule::LowAboveBody | HardRule::HighBelowBody => Rule::Inconsistent,
        HardRule::NegativeVolume => Rule::BadVolume,
        HardRule::NotFinite if !is_vwap_finite(bar) => Rule::BadPrice,
        HardRule::NotFinite | HardRule::Implausible if is_about_volume => Rule::BadVolume,
        HardRule::OffMinute => Rule::OffMinute,
        _ => Rule::BadPrice,
    }
}

fn is_vwap_finite(bar: &Bar) -> bool {
    bar.vwap.is_none_or(f64::is_finite)
}

fn values_of(broken: HardRule, bar: &Bar) -> String {
    match broken {
        HardRule::OffMinute => format!("{} us past the minute", bar.ts_us.rem_euclid(60_000_000)),
        HardRule::NegativeVolume if bar.volume < 0.0 => format!("volume {}", bar.volume),
        HardRule::NegativeVolume => {
            let count = bar.trade_count.map(|count| count.to_string());
            format!("count {}", count.unwrap_or_default())
        }
        HardRule::NotFinite if !is_vwap_finite(bar) => {
            format!("vwap {}", bar.vwap.unwrap_or_default())
        }
        _ => format!(
            "open {} high {} low {} close {} volume {}",
            bar.open, bar.high, bar.low, bar.close, bar.volume
        ),
    }
}

const fn expected_of(broken: HardRule) -> &'static str {
    match broken {
        HardRule::LowAboveBody => "low <= min(open, close)",
        HardRule::HighBelowBody => "high >= max(open, close)",
        HardRule::NegativeVolume => "volume and count >= 0",
        HardRule::OffMinute => "a whole minute",
        _ => "finite, positive prices below 1e12 and a volume below 1e15",
    }
}
