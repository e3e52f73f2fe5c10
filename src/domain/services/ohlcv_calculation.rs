//! OHLCV arithmetic over batches: the plain definitions that faster engines are checked against.
//! Knows no store and no query engine.

use std::ops::Range;

use thiserror::Error;

use super::super::aggregation_spec::AggregationSpec;
use super::super::bar::Bar;
use super::super::bar_batch::{BarBatch, BatchError};
use super::super::bar_columns::BarColumns;
use super::super::calendar::{Calendar, CalendarError};
use super::super::derived_batch::DerivedBatch;
use super::super::session::{Segment, Session, SessionDate};

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
    /// The trade count is `None` when any row has none, or when the sum is beyond 64 bits.
    pub fn combine(self, batch: &BarBatch, rows: Range<usize>, ts_us: i64) -> Option<Bar> {
        if rows.is_empty() {
            return None;
        }
        let columns = batch.columns();
        let mut counts = rows.clone().map(|row| columns.trade_count.get(row));
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
            // From zero: the sum of no rows would be minus zero.
            volume: columns.volume[rows.clone()]
                .iter()
                .fold(0.0, |sum, volume| sum + volume),
            trade_count: counts.try_fold(0_i64, |sum, count| sum.checked_add(count?)),
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

    /// The bars that `spec` declares, from minute bars: the plain definition, bucket by bucket over its minutes.
    ///
    /// Buckets without a row do not exist. Returned ascending, each by [`combine`](Self::combine).
    ///
    /// # Errors
    /// [`ResampleError`] when a session lies beyond the calendar, or bars cannot be told apart by their start.
    pub fn resample(
        self,
        minutes: &BarBatch,
        spec: &AggregationSpec,
    ) -> Result<DerivedBatch, ResampleError> {
        let mut bars = BarColumns::default();
        let (mut session_days, mut segments, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for (day, rows) in minutes.sessions() {
            let session = session_of(spec.calendar(), day)?;
            let bucket_of = |row: usize| {
                let segment = minutes.segments()[row];
                spec.bucket_start_us(&session, segment, minutes.columns().ts_us[row])
                    .map(|start_us| (start_us, segment))
            };
            let is_daily = spec.frame().minutes().is_none();
            let rows: Vec<usize> = rows.filter(|&row| bucket_of(row).is_some()).collect();
            let same_bar = |a: &usize, b: &usize| is_daily || bucket_of(*a) == bucket_of(*b);
            for rows in rows.chunk_by(same_bar) {
                let (first, last) = (rows[0], rows[rows.len() - 1]);
                let Some((start_us, segment)) = bucket_of(first) else {
                    continue;
                };
                if let Some(bar) = self.combine(minutes, first..last + 1, start_us) {
                    bars.push(bar);
                    session_days.push(day);
                    segments.push(if is_daily { Segment::Regular } else { segment });
                    counts.push(i32::try_from(rows.len()).unwrap_or(i32::MAX));
                }
            }
        }
        Ok(DerivedBatch::from_parts(
            bars,
            session_days,
            segments,
            counts,
        )?)
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

/// Why minutes cannot be aggregated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResampleError {
    /// A session beyond the calendar.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// A row on a date that is no session.
    #[error("there are bars on {0}, which is no session")]
    NoSession(SessionDate),
    /// The derived bars are no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// The session of a batch's day, days since 1970-01-01.
///
/// # Errors
/// [`ResampleError`] when the calendar has no such session.
pub fn session_of(calendar: Calendar, day: i32) -> Result<Session, ResampleError> {
    let date = SessionDate::from_days_since_epoch(day).unwrap_or(calendar.coverage().1);
    let session = calendar.session(date)?;
    session.ok_or(ResampleError::NoSession(date))
}

#[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^53")]
const fn count_as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::super::bar::tests::bar_at;
    use super::super::super::instant::MINUTE_US;
    use super::super::super::{AggregationChoice, Timeframe};
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
        let resample = |frame| {
            let spec = AggregationSpec::new(frame, AggregationChoice::default(), Calendar::nyse());
            SERVICE.resample(&half_day(), &spec.unwrap()).unwrap()
        };
        let hours = resample(Timeframe::H1);
        let open = session().open_us();
        let starts: Vec<i64> = hours
            .bars()
            .columns()
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
            hours.bars().columns().volume,
            [3000.0, 6000.0, 6000.0, 6000.0, 3000.0, 1000.0]
        );
        assert_eq!(hours.minutes(), [30, 60, 60, 60, 30, 10]);
        let days = resample(Timeframe::D1);
        assert_eq!(days.bars().columns().ts_us, [open]);
        assert_eq!(days.bars().columns().volume, [21_000.0]);
        assert_eq!(days.minutes(), [210]);
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
