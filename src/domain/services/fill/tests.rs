//! Tests of laying out: known sessions, and any bars against the definition, minute by minute.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::super::bar::tests::bar_at;
use super::*;
use crate::domain::{BarColumns, Calendar};

const LAYOUT: RowLayout = RowLayout {
    frame: Timeframe::M1,
    anchor: Anchor::Open,
    segments: SegmentSet::ALL,
    label: BarLabel::Left,
    fill: None,
};

fn session(date: &str) -> Session {
    let date = date.parse().unwrap();
    Calendar::nyse().session(date).unwrap().unwrap()
}

fn asked(session: Session) -> SessionToFill {
    SessionToFill {
        session,
        asked: session.window(),
    }
}

/// Bars at these minutes of the frames of `sessions`, each with a close of its own.
fn bars(sessions: &[Session], minutes: &[(usize, u16)]) -> BarBatch {
    let mut starts: Vec<i64> = minutes
        .iter()
        .map(|&(session, minute)| sessions[session].minute_ts_us(minute))
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let prices = (1..).map(f64::from);
    let columns: BarColumns = starts
        .iter()
        .zip(prices)
        .map(|(&ts_us, price)| bar_at(ts_us, price))
        .collect();
    BarBatch::from_columns(columns, Calendar::nyse()).unwrap()
}

#[test]
fn the_last_hour_ends_with_the_session_and_a_day_at_the_close() {
    let full = session("2024-07-02");
    let half = session("2024-07-03");
    for (frame, anchor, count, last_minutes) in [
        (Timeframe::M1, Anchor::Open, [390, 210], 1),
        (Timeframe::H1, Anchor::Open, [7, 4], 30),
        (Timeframe::H1, Anchor::Clock, [7, 4], 60),
        (Timeframe::H4, Anchor::Clock, [2, 2], 240),
        (Timeframe::D1, Anchor::Open, [1, 1], 390),
    ] {
        let layout = RowLayout {
            frame,
            anchor,
            ..LAYOUT
        };
        for (session, count) in [full, half].iter().zip(count) {
            let starts = layout.expected_starts(session, session.window());
            assert_eq!(starts.len(), count, "{frame} {anchor} {}", session.date());
            let last = *starts.last().unwrap();
            let end = layout.end_us(session, Segment::Regular, last);
            assert_eq!(end, session.close_us(), "{frame} {anchor}");
            if last_minutes > 0 && session.date() == full.date() {
                assert_eq!((end - last) / MINUTE_US, last_minutes, "{frame} {anchor}");
            }
        }
    }
}

#[test]
fn nothing_is_filled_outside_regular_hours_nor_where_nothing_was_asked_for() {
    let [full, half] = ["2024-07-02", "2024-07-03"].map(session);
    let batch = bars(&[full, half], &[(0, 500), (0, 1300), (1, 900), (1, 1200)]);
    let never = SessionToFill {
        session: half,
        asked: InstantRange::default(),
    };
    let layout = RowLayout {
        fill: Some(FillPolicy::Null),
        ..LAYOUT
    };
    let rows = layout.lay_out(&batch, &[asked(full), never], &mut None);
    let of = |session: Session| {
        let day = session.date().days_since_epoch();
        rows.iter().filter(move |row| row.session_day == day)
    };
    assert_eq!(of(full).count(), 390 + 2, "regular minutes and two others");
    assert_eq!(of(half).count(), 2, "as stored");
    let rows = layout.lay_out(&batch, &[asked(full), asked(half)], &mut None);
    assert_eq!(rows.len(), 390 + 2 + 210 + 1, "a half day ends at 13:00");
}

#[test]
fn a_session_that_was_asked_for_in_part_is_filled_in_part() {
    let full = session("2024-07-02");
    let part = SessionToFill {
        session: full,
        asked: InstantRange {
            start_us: full.window_start_us(),
            end_us: full.open_us() + 90 * MINUTE_US,
        },
    };
    let fill = Some(FillPolicy::Null);
    for (frame, count) in [(Timeframe::M1, 90), (Timeframe::H1, 1), (Timeframe::D1, 0)] {
        let layout = RowLayout {
            frame,
            fill,
            ..LAYOUT
        };
        let rows = layout.lay_out(&BarBatch::empty(), &[part], &mut None);
        assert_eq!(rows.len(), count, "{frame}");
    }
}

/// What laying out promises, minute by minute and without a thought for speed.
fn by_definition(
    layout: &RowLayout,
    batch: &BarBatch,
    sessions: &[SessionToFill],
) -> Vec<(i64, RowSource)> {
    let bars: BTreeMap<i64, usize> = (0..batch.len())
        .map(|row| (batch.columns().ts_us[row], row))
        .collect();
    let mut rows = Vec::new();
    let mut close = None;
    for to_fill in sessions {
        for minute in 0..1440 {
            let start_us = to_fill.session.minute_ts_us(minute);
            let segment = to_fill.session.segment_at(start_us).unwrap();
            if !layout.segments.contains(segment) {
                continue;
            }
            if let Some(&row) = bars.get(&start_us) {
                close = Some(batch.columns().close[row]);
                rows.push((start_us, RowSource::Kept(row)));
            } else if segment == Segment::Regular && to_fill.asked.contains(start_us) {
                match layout.fill {
                    Some(FillPolicy::Null) => rows.push((start_us, RowSource::Filled(None))),
                    Some(FillPolicy::Forward) if close.is_some() => {
                        rows.push((start_us, RowSource::Filled(close)));
                    }
                    _ => {}
                }
            }
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_are_those_of_the_definition(
        minutes in prop::collection::vec((0..3_usize, 0..1440_u16), 0..60),
        asked_minutes in prop::collection::vec((0..1440_u16, 0..=1440_u16), 3),
        fill in prop::option::of(prop_oneof![Just(FillPolicy::Null), Just(FillPolicy::Forward)]),
        regular_only in any::<bool>(),
        cut in 0..4_usize,
    ) {
        let days = ["2024-07-01", "2024-07-02", "2024-07-03"].map(session);
        let batch = bars(&days, &minutes);
        let sessions: Vec<SessionToFill> = days
            .iter()
            .zip(asked_minutes)
            .map(|(session, (start, end))| SessionToFill {
                session: *session,
                asked: InstantRange {
                    start_us: session.minute_ts_us(start),
                    end_us: session.minute_ts_us(end),
                },
            })
            .collect();
        let segments = match regular_only {
            true => [Segment::Regular].into_iter().collect(),
            false => SegmentSet::ALL,
        };
        let layout = RowLayout { fill, segments, ..LAYOUT };
        // In two parts, as two files give it: the close is carried over.
        let mut close = None;
        let mut rows = layout.lay_out(&batch, &sessions[..cut.min(3)], &mut close);
        rows.extend(layout.lay_out(&batch, &sessions[cut.min(3)..], &mut close));
        let found: Vec<(i64, RowSource)> = rows.iter().map(|row| (row.label_us, row.source)).collect();
        prop_assert_eq!(found, by_definition(&layout, &batch, &sessions));
        let right = RowLayout { label: BarLabel::Right, ..layout };
        let labelled = right.lay_out(&batch, &sessions, &mut None);
        prop_assert!(labelled.iter().zip(&rows).all(|(end, start)| end.label_us == start.label_us + MINUTE_US));
    }
}
