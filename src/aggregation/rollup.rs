//! The columnar engine: one pass over sorted minutes makes the bars of all frames at once. Pure; the other engine is
//! held against it.

use std::ops::Range;

use crate::domain::aggregation_spec::{BucketGrid, CELL_MINUTES};
use crate::domain::instant::MINUTE_US;
use crate::domain::ports::{AggregateError, BarAggregator};
use crate::domain::services::ohlcv_calculation::session_of;
use crate::domain::{
    AggregationSpec, Anchor, BarBatch, BarColumns, ClosingAuction, DerivedBatch, Segment, Session,
};

const CELL_US: i64 = CELL_MINUTES as i64 * MINUTE_US;

/// Adds minutes up column by column.
#[derive(Debug, Clone, Copy, Default)]
pub struct RollupAggregator;

/// A bar in the making: what can be added up further without loss.
#[derive(Debug, Clone, Copy)]
struct Partial {
    /// Start of its bucket, UTC microseconds.
    ts_us: i64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
    /// Sum of `vwap * volume`; meaningless unless `has_vwap`.
    weighted: f64,
    /// Whether every row with volume has a VWAP.
    has_vwap: bool,
    /// Sum of trade counts, `None` once one is missing.
    trade_count: Option<i64>,
    /// Number of minutes.
    minutes: i32,
}

impl Partial {
    /// One minute.
    fn of_minute(columns: &BarColumns, row: usize) -> Self {
        let volume = columns.volume[row];
        let has_volume = volume > 0.0;
        let vwap = columns.vwap.values()[row];
        Self {
            ts_us: columns.ts_us[row],
            open: columns.open[row],
            high: columns.high[row],
            low: columns.low[row],
            close: columns.close[row],
            // Sums start from zero: a volume of minus zero counts as nothing.
            volume: 0.0 + volume,
            weighted: if has_volume { 0.0 + vwap * volume } else { 0.0 },
            has_vwap: !has_volume || columns.vwap.present()[row],
            trade_count: columns.trade_count.get(row),
            minutes: 1,
        }
    }

    /// Adds what follows in time.
    fn absorb(&mut self, later: &Self) {
        // Prices are numbers: a comparison does.
        if later.high > self.high {
            self.high = later.high;
        }
        if later.low < self.low {
            self.low = later.low;
        }
        self.close = later.close;
        self.volume += later.volume;
        self.weighted += later.weighted;
        self.has_vwap &= later.has_vwap;
        self.trade_count = match (self.trade_count, later.trade_count) {
            (Some(sum), Some(count)) => sum.checked_add(count),
            _ => None,
        };
        self.minutes += later.minutes;
    }
}

/// Joins parts of one segment, ascending by time, into the buckets of `grid`.
fn roll(parts: impl Iterator<Item = Partial>, grid: BucketGrid, mut emit: impl FnMut(Partial)) {
    let mut current: Option<(Partial, i64)> = None;
    for part in parts {
        match &mut current {
            Some((bar, end_us)) if part.ts_us < *end_us => bar.absorb(&part),
            _ => {
                let started = Partial {
                    ts_us: grid.start_of(part.ts_us),
                    ..part
                };
                if let Some((finished, _)) = current.replace((started, grid.end_of(part.ts_us))) {
                    emit(finished);
                }
            }
        }
    }
    if let Some((finished, _)) = current {
        emit(finished);
    }
}

/// The bars of one spec as they come.
struct Output<'a> {
    spec: &'a AggregationSpec,
    columns: BarColumns,
    session_days: Vec<i32>,
    segments: Vec<Segment>,
    minutes: Vec<i32>,
    /// The bar of the day, until its session is over.
    day: Option<Partial>,
}

impl<'a> Output<'a> {
    fn new(spec: &'a AggregationSpec, minutes: usize) -> Self {
        let rows = minutes / usize::from(spec.frame().minutes().unwrap_or(390)) + 1;
        Self {
            spec,
            columns: BarColumns::with_capacity(rows),
            session_days: Vec::with_capacity(rows),
            segments: Vec::with_capacity(rows),
            minutes: Vec::with_capacity(rows),
            day: None,
        }
    }

    fn push(&mut self, bar: Partial, day: i32, segment: Segment) {
        let Self { columns, .. } = self;
        columns.ts_us.push(bar.ts_us);
        columns.open.push(bar.open);
        columns.high.push(bar.high);
        columns.low.push(bar.low);
        columns.close.push(bar.close);
        columns.volume.push(bar.volume);
        columns.trade_count.push(bar.trade_count);
        let vwap = (bar.has_vwap && bar.volume > 0.0).then(|| bar.weighted / bar.volume);
        columns.vwap.push(vwap);
        self.session_days.push(day);
        self.segments.push(segment);
        self.minutes.push(bar.minutes);
    }

    /// Takes one segment of a session: its minutes and the same as 5-minute cells.
    fn take(&mut self, run: &SegmentRun<'_>, cells: &[Partial]) {
        let SegmentRun {
            session,
            day,
            segment,
            ..
        } = *run;
        let Some(minutes) = self.spec.frame().minutes() else {
            return self.take_for_the_day(run, cells);
        };
        let Some(grid) = self.spec.grid(session, segment) else {
            return;
        };
        if minutes.is_multiple_of(CELL_MINUTES) {
            roll(cells.iter().copied(), grid, |bar| {
                self.push(bar, day, segment);
            });
        } else {
            roll(run.minutes(), grid, |bar| self.push(bar, day, segment));
        }
    }

    fn take_for_the_day(&mut self, run: &SegmentRun<'_>, cells: &[Partial]) {
        let mut add = |part: &Partial| match &mut self.day {
            Some(day) => day.absorb(part),
            none => *none = Some(*part),
        };
        if run.segment == Segment::Regular {
            cells.iter().for_each(&mut add);
        } else if run.segment == Segment::Post
            && self.spec.closing_auction() == ClosingAuction::Include
            && let Some(first) = run.minutes().next()
            && first.ts_us == run.session.close_us()
        {
            add(&first);
        }
    }

    fn end_session(&mut self, session: &Session, day: i32) {
        if let Some(bar) = self.day.take() {
            let bar = Partial {
                ts_us: session.open_us(),
                ..bar
            };
            self.push(bar, day, Segment::Regular);
        }
    }

    fn finish(self) -> Result<DerivedBatch, AggregateError> {
        DerivedBatch::from_parts(self.columns, self.session_days, self.segments, self.minutes)
            .map_err(|error| failure(error.to_string()))
    }
}

/// The rows of one segment of one session.
struct SegmentRun<'a> {
    session: &'a Session,
    day: i32,
    segment: Segment,
    columns: &'a BarColumns,
    rows: Range<usize>,
}

impl SegmentRun<'_> {
    fn minutes(&self) -> impl Iterator<Item = Partial> {
        self.rows
            .clone()
            .map(|row| Partial::of_minute(self.columns, row))
    }
}

impl BarAggregator for RollupAggregator {
    fn name(&self) -> &'static str {
        "columnar"
    }

    fn aggregate(
        &self,
        minutes: &[&BarBatch],
        specs: &[AggregationSpec],
    ) -> Result<Vec<DerivedBatch>, AggregateError> {
        let Some(calendar) = specs.first().map(AggregationSpec::calendar) else {
            return Ok(Vec::new());
        };
        let mut outputs: Vec<Output<'_>> = specs
            .iter()
            .map(|spec| Output::new(spec, minutes.iter().map(|batch| batch.len()).sum()))
            .collect();
        let mut cells = Vec::new();
        let sessions = minutes.iter().flat_map(|batch| {
            batch
                .sessions()
                .into_iter()
                .map(move |session| (batch, session))
        });
        for (minutes, (day, rows)) in sessions {
            let session = session_of(calendar, day).map_err(|error| failure(error.to_string()))?;
            let mut start = rows.start;
            for segments in minutes.segments()[rows].chunk_by(|a, b| a == b) {
                let run = SegmentRun {
                    session: &session,
                    day,
                    segment: segments[0],
                    columns: minutes.columns(),
                    rows: start..start + segments.len(),
                };
                start = run.rows.end;
                cells.clear();
                let grid = BucketGrid::new(&session, run.segment, Anchor::Open, CELL_US);
                roll(run.minutes(), grid, |cell| cells.push(cell));
                for output in &mut outputs {
                    output.take(&run, &cells);
                }
            }
            for output in &mut outputs {
                output.end_session(&session, day);
            }
        }
        outputs.into_iter().map(Output::finish).collect()
    }
}

fn failure(context: String) -> AggregateError {
    AggregateError {
        engine: "columnar",
        context,
    }
}

#[cfg(test)]
mod tests;
