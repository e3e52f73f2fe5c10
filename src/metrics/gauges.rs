//! What is stored now, as gauges: how much, how complete, how old. A weekend makes nothing old: sessions count, not days.

use crate::domain::calendar::CalendarError;
use crate::domain::instant::SECOND_US;
use crate::domain::metric::{DatasetStock, Metric, MetricSeries, Stock, as_f64};
use crate::domain::rule::Severity;
use crate::domain::{Calendar, SessionDate, Symbol};

/// Every gauge at `now_us`, UTC microseconds, by metric; those of frames from the shortest to the longest.
pub fn gauges_of(stock: &Stock, now_us: i64) -> Vec<(MetricSeries, f64)> {
    let version = Metric::BuildInfo.of(&[env!("CARGO_PKG_VERSION")]);
    let mut gauges = vec![(version, 1.0)];
    for frame in &stock.frames {
        let (dataset, timeframe) = (frame.dataset.to_string(), frame.timeframe.to_string());
        for (metric, count) in [
            (Metric::StoredRows, frame.rows),
            (Metric::StoredBytes, frame.bytes),
            (Metric::StoredFiles, frame.files),
        ] {
            gauges.push((metric.of(&[&dataset, &timeframe]), as_f64(count)));
        }
    }
    for dataset in &stock.datasets {
        gauges.extend(gauges_of_dataset(dataset, now_us));
    }
    for runs in &stock.runs {
        let command = [runs.command.as_str()];
        gauges.push((Metric::LastRun.of(&command), seconds(runs.last_seen_us)));
        if let Some(success_us) = runs.last_success_us {
            gauges.push((Metric::LastSuccess.of(&command), seconds(success_us)));
        }
    }
    if let Some(bytes) = stock.free_bytes {
        gauges.push((Metric::FreeBytes.of(&[]), as_f64(bytes)));
    }
    // A stable sort: frames stay in their order.
    gauges.sort_by_key(|(series, _)| series.metric);
    gauges
}

fn gauges_of_dataset(stock: &DatasetStock, now_us: i64) -> Vec<(MetricSeries, f64)> {
    let name = stock.dataset.to_string();
    let of = |metric: Metric| metric.of(&[&name]);
    let mut gauges = vec![
        (of(Metric::Symbols), as_f64(stock.symbols)),
        (of(Metric::QuarantineRows), as_f64(stock.quarantined_rows)),
    ];
    if stock.minutes_expected > 0 {
        let ratio = as_f64(stock.minutes_present) / as_f64(stock.minutes_expected);
        gauges.push((of(Metric::Completeness), ratio));
    }
    if let Some((newest_us, symbol)) = stock.newest_bar_us.zip(stock.newest_symbol.as_ref()) {
        gauges.push((of(Metric::NewestBar), seconds(newest_us)));
        // Beyond the calendar nothing is known of sessions.
        if let Ok(behind) = sessions_behind(symbol, newest_us, now_us) {
            gauges.push((of(Metric::SessionsBehind), as_f64(behind)));
        }
    }
    for severity in Severity::ALL {
        let count = stock.open_findings[severity as usize];
        let series = Metric::OpenFindings.of(&[&name, severity.as_str()]);
        gauges.push((series, as_f64(count)));
    }
    gauges
}

/// How many sessions of the symbol's market have closed by `now_us` after the one that the minute at `newest_us` belongs
/// to.
///
/// # Errors
/// When the calendar does not cover the two instants.
pub fn sessions_behind(symbol: &Symbol, newest_us: i64, now_us: i64) -> Result<u64, CalendarError> {
    let newest = Calendar::of(symbol).session_containing(newest_us)?;
    sessions_closed_since(symbol, newest.date(), now_us)
}

/// How many sessions of the symbol's market after that of `date` have closed by `now_us`.
///
/// # Errors
/// When the calendar does not cover the two.
pub fn sessions_closed_since(
    symbol: &Symbol,
    date: SessionDate,
    now_us: i64,
) -> Result<u64, CalendarError> {
    let today = SessionDate::from_days_since_epoch(epoch_day(now_us));
    let (Some(first), Some(last)) = (date.succ(), today) else {
        return Ok(0);
    };
    if last < first {
        return Ok(0);
    }
    let later = Calendar::of(symbol).sessions(first, last)?;
    let closed = later.iter().filter(|session| session.close_us() <= now_us);
    Ok(u64::try_from(closed.count()).unwrap_or(u64::MAX))
}

fn epoch_day(at_us: i64) -> i32 {
    const DAY_US: i64 = crate::domain::instant::DAY_S * SECOND_US;
    i32::try_from(at_us.div_euclid(DAY_US)).unwrap_or(i32::MAX)
}

fn seconds(at_us: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds since 1970 stay below 2^53 until 2255"
    )]
    let micros = at_us as f64;
    micros / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        let instant = chrono::DateTime::parse_from_rfc3339(text);
        instant.unwrap().timestamp_micros()
    }

    fn behind(newest: &str, now: &str) -> u64 {
        sessions_behind(&"AAPL".parse().unwrap(), at(newest), at(now)).unwrap()
    }

    #[test]
    fn sessions_count_and_not_days() {
        // Friday's last minute, on Sunday: nothing has closed since.
        assert_eq!(behind("2024-07-05T19:59:00Z", "2024-07-07T12:00:00Z"), 0);
        // Monday is under way until its close.
        assert_eq!(behind("2024-07-05T19:59:00Z", "2024-07-08T19:59:59Z"), 0);
        assert_eq!(behind("2024-07-05T19:59:00Z", "2024-07-08T20:00:00Z"), 1);
        // A holiday is no session, a half day closes at 13:00.
        assert_eq!(behind("2024-07-03T16:59:00Z", "2024-07-05T12:00:00Z"), 0);
        assert_eq!(behind("2024-07-02T19:59:00Z", "2024-07-03T17:00:00Z"), 1);
        assert_eq!(behind("2024-07-02T19:59:00Z", "2024-07-02T10:00:00Z"), 0);
    }

    #[test]
    fn a_market_that_never_closes_counts_its_days() {
        let symbol: Symbol = "BTC/USD".parse().unwrap();
        let found = sessions_behind(
            &symbol,
            at("2024-07-05T19:59:00Z"),
            at("2024-07-08T00:00:00Z"),
        );
        assert_eq!(found.unwrap(), 2);
    }

    #[test]
    fn what_is_not_known_is_no_gauge() {
        let dataset = DatasetStock {
            dataset: "alpaca/sip/raw".parse().unwrap(),
            symbols: 1,
            minutes_present: 0,
            minutes_expected: 0,
            newest_bar_us: None,
            newest_symbol: None,
            quarantined_rows: 2,
            open_findings: [0, 0, 3],
        };
        let stock = Stock {
            datasets: vec![dataset],
            ..Stock::default()
        };
        let gauges = gauges_of(&stock, 0);
        let value = |metric: Metric| {
            let found: Vec<f64> = gauges
                .iter()
                .filter(|(series, _)| series.metric == metric)
                .map(|(_, value)| *value)
                .collect();
            found
        };
        assert_eq!(value(Metric::QuarantineRows), [2.0]);
        assert_eq!(value(Metric::OpenFindings), [0.0, 0.0, 3.0]);
        for unknown in [
            Metric::Completeness,
            Metric::NewestBar,
            Metric::SessionsBehind,
            Metric::FreeBytes,
        ] {
            assert!(value(unknown).is_empty(), "{unknown}");
        }
    }
}
