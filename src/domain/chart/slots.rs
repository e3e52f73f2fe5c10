//! The buckets of a chart: one for each that the sessions have, with its bar or with what is missing of it.

use std::collections::BTreeMap;

use super::super::aggregation_spec::{Anchor, BucketGrid, SegmentSet};
use super::super::bar::Bar;
use super::super::gaps::{Gap, GapReason};
use super::super::instant::MINUTE_US;
use super::super::session::{Segment, Session, SessionDate};
use super::super::timeframe::Timeframe;
use super::{Candle, MissingMinutes};

/// A bar with its place in the calendar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlacedBar {
    /// The bar.
    pub bar: Bar,
    /// The session it belongs to.
    pub session: SessionDate,
    /// The segment it belongs to.
    pub segment: Segment,
    /// Of how many stored minutes it was made.
    pub minutes: u32,
}

/// What a chart is made of.
#[derive(Debug, Clone, Copy)]
pub struct ChartSource<'a> {
    /// The sessions of the range, ascending.
    pub sessions: &'a [Session],
    /// The length of the bars.
    pub frame: Timeframe,
    /// Where the buckets begin.
    pub anchor: Anchor,
    /// Which segments are drawn, beside regular hours; of days none.
    pub segments: SegmentSet,
    /// The bars of the range, ascending.
    pub bars: &'a [PlacedBar],
    /// What the ledger knows to be missing in these sessions, ascending.
    pub gaps: &'a [Gap],
    /// Buckets that begin at or after this instant (UTC microseconds) lie in the future and are not drawn.
    pub until_us: i64,
}

/// One bucket, or a run of sessions that were never asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    /// Its first instant, UTC microseconds.
    pub start_us: i64,
    /// The first instant after it, UTC microseconds.
    pub end_us: i64,
    /// Its session, of a run the first.
    pub session: SessionDate,
    /// Its segment.
    pub segment: Segment,
    /// Minutes that it has in official hours.
    pub expected_minutes: u32,
    /// Regular minutes of it that have no row.
    pub missing: MissingMinutes,
    /// Its bar.
    pub candle: Option<Candle>,
    /// How many whole sessions it stands for that nobody ever got bars of; 0 for a bucket.
    pub skipped_sessions: u32,
}

/// The buckets of a chart in time order. Every bar of the hours that are drawn has one; sessions that were never asked
/// for, or that the plan did not include, are one slot together.
pub fn lay_out(source: &ChartSource<'_>) -> Vec<Slot> {
    let is_drawn = |segment: Segment| {
        segment == Segment::Regular
            || (source.frame != Timeframe::D1 && source.segments.contains(segment))
    };
    let segments: Vec<Segment> = Segment::ALL
        .into_iter()
        .filter(|&segment| is_drawn(segment))
        .collect();
    let mut slots: BTreeMap<i64, Slot> = BTreeMap::new();
    for session in source.sessions {
        for &segment in &segments {
            for slot in buckets(session, segment, source) {
                if slot.start_us < source.until_us {
                    slots.insert(slot.start_us, slot);
                }
            }
        }
    }
    for placed in source.bars {
        if segments.contains(&placed.segment) {
            put_bar(&mut slots, placed, source.frame);
        }
    }
    let mut slots: Vec<Slot> = slots.into_values().collect();
    put_gaps(&mut slots, source.gaps);
    skip_unasked(slots)
}

/// The buckets of the official hours of one segment.
fn buckets(session: &Session, segment: Segment, source: &ChartSource<'_>) -> Vec<Slot> {
    let hours = session.expected_range(segment);
    let (start_us, close_us) = (
        session.minute_ts_us(hours.start),
        session.minute_ts_us(hours.end),
    );
    let grid = source.frame.minutes().map(|minutes| {
        BucketGrid::new(
            session,
            segment,
            source.anchor,
            i64::from(minutes) * MINUTE_US,
        )
    });
    let mut slots = Vec::new();
    let mut next_us = start_us;
    while next_us < close_us {
        let end_us = grid.map_or(close_us, |grid| grid.end_of(next_us).min(close_us));
        slots.push(Slot {
            start_us: next_us,
            end_us,
            session: session.date(),
            segment,
            expected_minutes: minutes_between(next_us, end_us),
            missing: MissingMinutes::default(),
            candle: None,
            skipped_sessions: 0,
        });
        next_us = end_us;
    }
    slots
}

fn minutes_between(start_us: i64, end_us: i64) -> u32 {
    u32::try_from((end_us - start_us) / MINUTE_US).unwrap_or(0)
}

/// Puts a bar into its bucket; one outside of all official hours gets a bucket of its own.
fn put_bar(slots: &mut BTreeMap<i64, Slot>, placed: &PlacedBar, frame: Timeframe) {
    let bar = &placed.bar;
    let slot = slots.entry(bar.ts_us).or_insert_with(|| Slot {
        start_us: bar.ts_us,
        end_us: bar.ts_us + i64::from(frame.minutes().unwrap_or(1)) * MINUTE_US,
        session: placed.session,
        segment: placed.segment,
        expected_minutes: 0,
        missing: MissingMinutes::default(),
        candle: None,
        skipped_sessions: 0,
    });
    slot.candle = Some(Candle {
        open: bar.open,
        high: bar.high,
        low: bar.low,
        close: bar.close,
        volume: bar.volume,
        minutes: placed.minutes,
    });
}

/// Spreads the gaps over the buckets of regular hours. A gap holds regular minutes only, so whatever it shares with such a
/// bucket is missing.
fn put_gaps(slots: &mut [Slot], gaps: &[Gap]) {
    let mut gaps = gaps.iter().peekable();
    let regular = slots
        .iter_mut()
        .filter(|slot| slot.segment == Segment::Regular);
    for slot in regular {
        loop {
            while gaps.next_if(|gap| gap.end_us <= slot.start_us).is_some() {}
            let Some(gap) = gaps.peek().filter(|gap| gap.start_us < slot.end_us) else {
                break;
            };
            let shared_us = (gap.start_us.max(slot.start_us), gap.end_us.min(slot.end_us));
            slot.missing
                .add(gap.reason, minutes_between(shared_us.0, shared_us.1));
            if gap.end_us > slot.end_us {
                break;
            }
            gaps.next();
        }
    }
}

/// Makes one slot of sessions that follow one another and were never asked for.
fn skip_unasked(slots: Vec<Slot>) -> Vec<Slot> {
    let mut kept: Vec<Slot> = Vec::with_capacity(slots.len());
    for session in slots.chunk_by(|a, b| a.session == b.session) {
        let is_unasked = session.iter().all(|slot| {
            let MissingMinutes(missing) = slot.missing;
            let never =
                missing[GapReason::NotAsked as usize] + missing[GapReason::NotEntitled as usize];
            slot.candle.is_none()
                && (slot.segment != Segment::Regular || never == slot.expected_minutes)
        });
        let (true, [first, .., last] | [first @ last]) = (is_unasked, session) else {
            kept.extend_from_slice(session);
            continue;
        };
        let mut skipped = Slot {
            end_us: last.end_us,
            segment: Segment::Regular,
            skipped_sessions: 1,
            ..*first
        };
        for slot in &session[1..] {
            skipped.missing.add_all(&slot.missing);
            skipped.expected_minutes += slot.expected_minutes;
        }
        match kept.last_mut().filter(|slot| slot.skipped_sessions > 0) {
            Some(run) => {
                run.end_us = skipped.end_us;
                run.skipped_sessions += 1;
                run.expected_minutes += skipped.expected_minutes;
                run.missing.add_all(&skipped.missing);
            }
            None => kept.push(skipped),
        }
    }
    kept
}
