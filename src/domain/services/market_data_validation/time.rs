//! Session dates, segments, and bars while the market is closed.

use std::ops::Range;

use super::{about_row, date_of, rows_between};
use crate::domain::finding::{Collector, Evidence};
use crate::domain::instant::format_utc;
use crate::domain::{BarBatch, Calendar, Rule, Segment, Session, Timeframe};

/// Checks that every row lies in the session and segment that it names. Rows ascend, so that a session's first and last
/// row speak for those between.
pub(super) fn check(
    batch: &BarBatch,
    calendar: Calendar,
    sessions: &[(Option<Session>, Range<usize>)],
    findings: &mut Collector<'_>,
) {
    let ts_us = &batch.columns().ts_us;
    for (session, rows) in sessions {
        if date_of(batch, rows.start).is_some_and(|date| !findings.wants(date)) {
            continue;
        }
        let Some(session) = session else {
            note_wrong_sessions(batch, calendar, rows, findings);
            continue;
        };
        let window = session.window();
        if !(window.contains(ts_us[rows.start]) && window.contains(ts_us[rows.end - 1])) {
            note_wrong_sessions(batch, calendar, rows, findings);
        }
        for (segment, start_us, end_us) in [
            (Segment::Overnight, window.start_us, session.pre_open_us()),
            (Segment::Pre, session.pre_open_us(), session.open_us()),
            (Segment::Regular, session.open_us(), session.close_us()),
            (Segment::Post, session.close_us(), window.end_us),
        ] {
            let within = rows_between(batch, rows, start_us, end_us);
            let named = &batch.segments()[within.clone()];
            if named.iter().all(|&named| named == segment) {
                continue;
            }
            for row in within.filter(|&row| batch.segments()[row] != segment) {
                findings.take(Rule::WrongSegment, Timeframe::M1, || {
                    let named = batch.segments()[row];
                    let what = format!("is marked {named}, by the calendar it is {segment}");
                    about_row(batch, row, named, segment, &what)
                });
            }
        }
        note_closed_hours(batch, session, rows, findings);
    }
}

fn note_wrong_sessions(
    batch: &BarBatch,
    calendar: Calendar,
    rows: &Range<usize>,
    findings: &mut Collector<'_>,
) {
    let mut locator = calendar.locator();
    for row in rows.clone() {
        let located = locator.locate(batch.columns().ts_us[row]).ok();
        let expected = located.map(|(date, _)| date);
        if expected == date_of(batch, row) {
            continue;
        }
        findings.take(Rule::WrongSession, Timeframe::M1, || {
            let words = |date: Option<_>| {
                date.map_or_else(
                    || "no session".to_owned(),
                    |date: crate::domain::SessionDate| date.to_string(),
                )
            };
            let (named, expected) = (words(date_of(batch, row)), words(expected));
            let what = format!("is filed under {named}, by the calendar it belongs to {expected}");
            about_row(batch, row, named, expected, &what)
        });
    }
}

/// Weekends and holidays before the session, and the evening of a half day.
fn note_closed_hours(
    batch: &BarBatch,
    session: &Session,
    rows: &Range<usize>,
    findings: &mut Collector<'_>,
) {
    let window = session.window();
    let frame_start_us = session.minute_ts_us(0);
    let closed = [
        (window.start_us, frame_start_us, "on days without a session"),
        (
            session.post_close_us(),
            window.end_us,
            "after late trading had ended",
        ),
    ];
    for (start_us, end_us, when) in closed {
        let within = rows_between(batch, rows, start_us, end_us);
        if within.is_empty() {
            continue;
        }
        findings.take(Rule::MarketClosed, Timeframe::M1, || {
            let first = batch.bar(within.start);
            Evidence {
                session: Some(session.date()),
                ts_us: Some(first.ts_us),
                value: within.len().to_string(),
                expected: "0".to_owned(),
                message: format!(
                    "{} bars {when}, the first at {}",
                    within.len(),
                    format_utc(first.ts_us)
                ),
                bar: Some(first),
            }
        });
    }
}
