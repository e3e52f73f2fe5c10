//! OHLCV arithmetic over batches: the plain definitions that faster engines are checked against.
//! Knows no store and no query engine.

use std::ops::Range;

use super::super::bar::Bar;
use super::super::bar_batch::BarBatch;
use super::super::bar_columns::BarColumns;
use super::super::calendar::{Calendar, CalendarError};
use super::super::instant::MINUTE_US;
use super::super::session::{Segment, Session, SessionDate};
use super::super::timeframe::Timeframe;

/// The regular session of one day in one line; prices are `None` when it has no bar.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DailySummary {
    /// First open of the regular session.
    pub open: Option<f64>,
    /// Highest high.
    pub high: Option<f64>,
    /// Lowest low.
    pub low: Option<f64>,
    /// Last close.
    pub close: Option<f64>,
    /// Sum of volumes, shares or units.
    pub volume: f64,
    /// Sum of trade counts; `None` when any bar has none.
    pub trade_count: Option<i64>,
    /// Volume-weighted average price; `None` when a bar with volume has none.
    pub vwap: Option<f64>,
    /// Number of bars.
    pub minutes: u32,
}

/// VWAP, daily summary, resampling, returns, moving average and volatility as pure functions over batches.
#[derive(Debug, Clone, Copy, Default)]
pub struct OhlcvCalculationService;

impl OhlcvCalculationService {
    /// Volume-weighted average price over the rows with volume above zero: `sum(vwap * volume) / sum(volume)`.
    ///
    /// `None` when no such row exists or any such row has no VWAP.
    pub fn vwap(self, batch: &BarBatch, rows: Range<usize>) -> Option<f64> {
        let columns = batch.columns();
        let (mut weighted, mut volume) = (0.0, 0.0);
        for row in rows.filter(|&row| columns.volume[row] > 0.0) {
            weighted += columns.vwap.get(row)? * columns.volume[row];
            volume += columns.volume[row];
        }
        (volume > 0.0).then(|| weighted / volume)
    }

    /// One bar over `rows`, stamped `ts_us`: first, max, min, last, sums. `None` when `rows` is empty.
    ///
    /// The trade count is `None` when any row has none.
    pub fn combine(self, batch: &BarBatch, rows: Range<usize>, ts_us: i64) -> Option<Bar> {
        if rows.is_empty() {
            return None;
        }
        let columns = batch.columns();
        let counts = rows.clone().map(|row| columns.trade_count.get(row));
        Some(Bar {
            ts_us,
            open: columns.open[rows.start],
            high: columns.high[rows.clone()]
                .iter()
                .copied()
                .fold(f64::NEG_INFINITY, f64::max),
            low: columns.low[rows.clone()]
                .iter()
                .copied()
                .fold(f64::INFINITY, f64::min),
            close: columns.close[rows.end - 1],
            volume: columns.volume[rows.clone()].iter().sum(),
            trade_count: counts.sum(),
            vwap: self.vwap(batch, rows),
        })
    }

    /// The regular session `date` in one line, from minute bars.
    pub fn daily_summary(self, batch: &BarBatch, date: SessionDate) -> DailySummary {
        let rows = batch.session_rows(date);
        let segments = &batch.segments()[rows.clone()];
        let start = rows.start + segments.partition_point(|&segment| segment < Segment::Regular);
        let end = rows.start + segments.partition_point(|&segment| segment <= Segment::Regular);
        match self.combine(batch, start..end, 0) {
            None => DailySummary::default(),
            Some(bar) => DailySummary {
                open: Some(bar.open),
                high: Some(bar.high),
                low: Some(bar.low),
                close: Some(bar.close),
                volume: bar.volume,
                trade_count: bar.trade_count,
                vwap: bar.vwap,
                minutes: u32::try_from(end - start).unwrap_or(u32::MAX),
            },
        }
    }

    /// Longer bars from minute bars: buckets start at each segment's start and end at its end at the latest.
    ///
    /// Intraday frames keep all segments apart; `1d` is the regular session, stamped with its open. Buckets
    /// without a row do not exist. Returned ascending, with the same definitions as [`combine`](Self::combine).
    ///
    /// # Errors
    /// [`CalendarError`] when a session lies beyond the calendar.
    pub fn resample(
        self,
        batch: &BarBatch,
        frame: Timeframe,
        calendar: Calendar,
    ) -> Result<BarColumns, CalendarError> {
        let mut resampled = BarColumns::default();
        for (day, rows) in batch.sessions() {
            let Some(session) = SessionDate::from_days_since_epoch(day)
                .map(|date| calendar.session(date))
                .transpose()?
                .flatten()
            else {
                continue;
            };
            let mut start = rows.start;
            while start < rows.end {
                let segment = batch.segments()[start];
                let bucket_us =
                    bucket_start_us(&session, segment, frame, batch.columns().ts_us[start]);
                let same_bucket = |row: usize| {
                    batch.segments()[row] == segment
                        && bucket_start_us(&session, segment, frame, batch.columns().ts_us[row])
                            == bucket_us
                };
                let end = (start..rows.end)
                    .find(|&row| !same_bucket(row))
                    .unwrap_or(rows.end);
                if let (Some(ts_us), Some(bar)) = (bucket_us, self.combine(batch, start..end, 0)) {
                    resampled.push(Bar { ts_us, ..bar });
                }
                start = end;
            }
        }
        Ok(resampled)
    }

    /// Simple returns of consecutive closes, `close[i] / close[i - 1] - 1`; one fewer than there are rows.
    pub fn returns(self, batch: &BarBatch) -> Vec<f64> {
        batch
            .columns()
            .close
            .windows(2)
            .map(|pair| pair[1] / pair[0] - 1.0)
            .collect()
    }

    /// The simple moving average of the last `window` closes; the first `window - 1` rows have none.
    ///
    /// An empty result when `window` is zero or longer than the batch.
    pub fn moving_average(self, batch: &BarBatch, window: usize) -> Vec<f64> {
        if window == 0 {
            return Vec::new();
        }
        let divisor = count_as_f64(window);
        batch
            .columns()
            .close
            .windows(window)
            .map(|closes| closes.iter().sum::<f64>() / divisor)
            .collect()
    }

    /// The sample standard deviation of the [`returns`](Self::returns), per bar and not annualised.
    ///
    /// `None` with fewer than two returns.
    pub fn volatility(self, batch: &BarBatch) -> Option<f64> {
        let returns = self.returns(batch);
        if returns.len() < 2 {
            return None;
        }
        let mean = returns.iter().sum::<f64>() / count_as_f64(returns.len());
        let squares: f64 = returns.iter().map(|value| (value - mean).powi(2)).sum();
        Some((squares / count_as_f64(returns.len() - 1)).sqrt())
    }
}

/// Start of the bucket that holds `ts_us`; `None` for a minute that the frame leaves out.
fn bucket_start_us(
    session: &Session,
    segment: Segment,
    frame: Timeframe,
    ts_us: i64,
) -> Option<i64> {
    let Some(minutes) = frame.minutes() else {
        return (segment == Segment::Regular).then(|| session.open_us());
    };
    let anchor_us = match segment {
        Segment::Overnight => session.pre_open_us() - 8 * 60 * MINUTE_US,
        Segment::Pre => session.pre_open_us(),
        Segment::Regular => session.open_us(),
        Segment::Post => session.close_us(),
    };
    let length_us = i64::from(minutes) * MINUTE_US;
    Some(anchor_us + (ts_us - anchor_us).div_euclid(length_us) * length_us)
}

#[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^53")]
const fn count_as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::super::bar::tests::bar_at;
    use super::*;

    const SERVICE: OhlcvCalculationService = OhlcvCalculationService;

    fn session() -> Session {
        Calendar::nyse()
            .session("2024-07-03".parse().unwrap())
            .unwrap()
            .unwrap()
    }

    fn batch(bars: impl IntoIterator<Item = Bar>) -> BarBatch {
        BarBatch::from_columns(bars.into_iter().collect(), Calendar::nyse()).unwrap()
    }

    /// The half day 2024-07-03 in full: pre-market from 09:00, 210 regular minutes, ten after the close.
    fn half_day() -> BarBatch {
        let open = session().open_us();
        batch((-30..220).map(|n| {
            bar_at(
                open + n * MINUTE_US,
                100.0 + f64::from(i32::try_from(n).unwrap()) / 100.0,
            )
        }))
    }

    #[test]
    fn the_daily_summary_is_the_regular_session_alone() {
        let summary = SERVICE.daily_summary(&half_day(), session().date());
        assert_eq!(
            (summary.minutes, summary.volume, summary.trade_count),
            (210, 21_000.0, Some(630))
        );
        assert_eq!(summary.open, Some(100.0));
        assert_eq!(summary.close, Some(100.0 + 2.09 + 0.25));
        assert_eq!(
            SERVICE.daily_summary(&half_day(), "2024-07-02".parse().unwrap()),
            DailySummary::default()
        );
    }

    #[test]
    fn hours_are_anchored_at_the_open_and_clamped_to_the_close() {
        let hours = SERVICE
            .resample(&half_day(), Timeframe::H1, Calendar::nyse())
            .unwrap();
        let open = session().open_us();
        let starts: Vec<i64> = hours
            .ts_us
            .iter()
            .map(|ts| (ts - open) / MINUTE_US)
            .collect();
        assert_eq!(
            starts,
            [-30, 0, 60, 120, 180, 210],
            "pre-market, four regular hours, post-market"
        );
        assert_eq!(
            hours.volume,
            [3000.0, 6000.0, 6000.0, 6000.0, 3000.0, 1000.0]
        );
        let days = SERVICE
            .resample(&half_day(), Timeframe::D1, Calendar::nyse())
            .unwrap();
        assert_eq!(
            (days.ts_us.clone(), days.volume.clone()),
            (vec![open], vec![21_000.0])
        );
    }

    #[test]
    fn vwap_needs_every_row_that_has_volume() {
        let open = session().open_us();
        let full = batch([
            bar_at(open, 10.0),
            Bar {
                volume: 300.0,
                ..bar_at(open + MINUTE_US, 20.0)
            },
        ]);
        let vwap = SERVICE.vwap(&full, 0..2).unwrap();
        assert!((vwap - (10.1 * 100.0 + 20.1 * 300.0) / 400.0).abs() < 1e-12);
        let absent = batch([
            bar_at(open, 10.0),
            Bar {
                vwap: None,
                ..bar_at(open + MINUTE_US, 20.0)
            },
        ]);
        assert_eq!(SERVICE.vwap(&absent, 0..2), None);
        let without_volume = batch([
            bar_at(open, 10.0),
            Bar {
                vwap: None,
                volume: 0.0,
                ..bar_at(open + MINUTE_US, 20.0)
            },
        ]);
        assert!(SERVICE.vwap(&without_volume, 0..2).is_some());
    }

    #[test]
    fn returns_averages_and_volatility_follow_their_definitions() {
        let open = session().open_us();
        let closes = [10.0, 11.0, 12.1];
        let rows = closes.iter().enumerate().map(|(n, &close)| Bar {
            close,
            open: close,
            high: close,
            low: close,
            ..bar_at(open + i64::try_from(n).unwrap() * MINUTE_US, close)
        });
        let batch = batch(rows);
        let returns = SERVICE.returns(&batch);
        assert!(returns.iter().all(|r| (r - 0.1).abs() < 1e-12));
        assert!(SERVICE.volatility(&batch).unwrap() < 1e-12);
        assert_eq!(SERVICE.moving_average(&batch, 2), [10.5, 11.55]);
        assert!(
            SERVICE.moving_average(&batch, 0).is_empty()
                && SERVICE.moving_average(&batch, 4).is_empty()
        );
    }
}
