//! The rows of a series as readers outside want them: dense or sparse, labelled by the start or the end of the bar.
//!
//! What is stored is sparse. Filling is done here, on the way out, by these rules:
//!
//! - Only **regular hours** are filled. Before the open and after the close most minutes are silent and nobody expects
//!   otherwise: such rows pass through as they are.
//! - Only the calendar's sessions are filled, half days to their early close, and only instants that the provider was
//!   **asked for**: what it has never answered is not known to be silent.
//! - [`FillPolicy::Null`] gives every bar that is expected and not there a row without values.
//! - [`FillPolicy::Forward`] repeats the last close as open, high, low and close with volume 0, trade count 0 and no
//!   VWAP. The last close is that of the row before, of whatever session and segment, as long as it is part of what is
//!   laid out; there is no row before the first bar.
//! - A minute whose only row is in quarantine is filled like a silent one.

use super::super::aggregation_spec::{Anchor, BucketGrid, SegmentSet};
use super::super::bar_batch::BarBatch;
use super::super::instant::{InstantRange, MINUTE_US};
use super::super::session::{Segment, Session};
use super::super::timeframe::Timeframe;

/// Which end of a bar names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BarLabel {
    /// Its start, as it is stored.
    #[default]
    Left,
    /// Its end: start and length of the frame, cut at the end of its segment.
    Right,
}

/// What stands for a bar that is expected and not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillPolicy {
    /// A row without values.
    Null,
    /// The last close, without volume.
    Forward,
}

/// How a series is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowLayout {
    /// Length of the bars.
    pub frame: Timeframe,
    /// Where the buckets of the frame begin.
    pub anchor: Anchor,
    /// Segments whose rows count; the others are left out as if they were not there.
    pub segments: SegmentSet,
    /// Which end names a bar.
    pub label: BarLabel,
    /// What stands for bars that are not there; `None` for nothing.
    pub fill: Option<FillPolicy>,
}

/// A session and which of its instants the provider was asked for; an empty range for a session never asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionToFill {
    /// The session.
    pub session: Session,
    /// What was asked for.
    pub asked: InstantRange,
}

/// Where the values of a row come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowSource {
    /// The bar in this row of the batch.
    Kept(usize),
    /// No bar: the close that is repeated, if one is.
    Filled(Option<f64>),
}

/// One row of what is laid out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LaidOutRow {
    /// The start or the end of the bar, UTC microseconds.
    pub label_us: i64,
    /// Session date, in days since 1970-01-01.
    pub session_day: i32,
    /// Segment.
    pub segment: Segment,
    /// Its values.
    pub source: RowSource,
}

impl RowLayout {
    /// Where the bar ends that begins at `start_us` in `segment` of `session`, UTC microseconds.
    pub fn end_us(&self, session: &Session, segment: Segment, start_us: i64) -> i64 {
        let segment_end_us = match segment {
            Segment::Overnight => session.pre_open_us(),
            Segment::Pre => session.open_us(),
            Segment::Regular => session.close_us(),
            Segment::Post => session.window_end_us(),
        };
        match self.frame.minutes() {
            Some(minutes) => {
                let length_us = i64::from(minutes) * MINUTE_US;
                let grid = BucketGrid::new(session, segment, self.anchor, length_us);
                grid.end_of(start_us).min(segment_end_us)
            }
            None => segment_end_us,
        }
    }

    /// The starts of the bars that regular hours of `session` have, as far as the whole bar lies in what was asked for.
    pub fn expected_starts(&self, session: &Session, asked: InstantRange) -> Vec<i64> {
        let mut starts = Vec::new();
        let mut start_us = session.open_us();
        while start_us < session.close_us() {
            let end_us = self.end_us(session, Segment::Regular, start_us);
            if asked.covers(&InstantRange { start_us, end_us }) {
                starts.push(start_us);
            }
            start_us = end_us;
        }
        starts
    }

    /// The rows of `bars`, whose sessions are among `sessions`, ascending; `last_close` is carried from one batch of a
    /// series to the next, and is `None` before its first bar.
    pub fn lay_out(
        &self,
        bars: &BarBatch,
        sessions: &[SessionToFill],
        last_close: &mut Option<f64>,
    ) -> Vec<LaidOutRow> {
        let mut rows = Vec::with_capacity(bars.len());
        for to_fill in sessions {
            self.lay_out_session(bars, to_fill, last_close, &mut rows);
        }
        rows
    }

    fn lay_out_session(
        &self,
        bars: &BarBatch,
        to_fill: &SessionToFill,
        last_close: &mut Option<f64>,
        rows: &mut Vec<LaidOutRow>,
    ) {
        let session = &to_fill.session;
        let session_day = session.date().days_since_epoch();
        let is_filled = self.fill.is_some() && self.segments.contains(Segment::Regular);
        let expected = match is_filled {
            true => self.expected_starts(session, to_fill.asked),
            false => Vec::new(),
        };
        let mut expected = expected.into_iter().peekable();
        let columns = bars.columns();
        let row_at = |start_us: i64, segment: Segment, source: RowSource| LaidOutRow {
            label_us: match self.label {
                BarLabel::Left => start_us,
                BarLabel::Right => self.end_us(session, segment, start_us),
            },
            session_day,
            segment,
            source,
        };
        for row in bars.session_rows(session.date()) {
            let (segment, ts_us) = (bars.segments()[row], columns.ts_us[row]);
            if !self.segments.contains(segment) {
                continue;
            }
            while let Some(start_us) = expected.next_if(|&start_us| start_us < ts_us) {
                let filled = self.filled(*last_close);
                rows.extend(filled.map(|source| row_at(start_us, Segment::Regular, source)));
            }
            expected.next_if_eq(&ts_us);
            rows.push(row_at(ts_us, segment, RowSource::Kept(row)));
            *last_close = Some(columns.close[row]);
        }
        for start_us in expected {
            let filled = self.filled(*last_close);
            rows.extend(filled.map(|source| row_at(start_us, Segment::Regular, source)));
        }
    }

    /// What stands for a bar that is not there after `last_close`; `None` for no row.
    fn filled(&self, last_close: Option<f64>) -> Option<RowSource> {
        match self.fill? {
            FillPolicy::Null => Some(RowSource::Filled(None)),
            FillPolicy::Forward => last_close.map(|close| RowSource::Filled(Some(close))),
        }
    }
}

#[cfg(test)]
mod tests;
