//! Gaps: the regular minutes that a series does not have, with the reason. Pure; reads the completeness ledger's records.
//!
//! Weekends, holidays and the afternoon of a half day are never gaps; neither are minutes outside the regular hours,
//! where most have no trade.

use std::fmt;

use super::instant::MINUTE_US;
use super::session::{Segment, Session, SessionDate};
use super::symbol_bars::SessionRecord;

/// Why a minute has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapReason {
    /// The provider was never asked for it.
    NotAsked,
    /// The provider was asked and had no bar.
    NoTrade,
    /// Its only row broke a hard rule.
    Quarantined,
    /// The provider's plan did not include it.
    NotEntitled,
}

impl GapReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::NotAsked,
        Self::NoTrade,
        Self::Quarantined,
        Self::NotEntitled,
    ];

    /// The stable name in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not asked",
            Self::NoTrade => "no trade",
            Self::Quarantined => "quarantined",
            Self::NotEntitled => "not entitled",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Regular minutes that follow one another, in one session or over several, and are missing for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// Whether the answer is final; `None` where there is none.
    pub is_settled: Option<bool>,
    /// Session of the first minute.
    pub first_session: SessionDate,
    /// Session of the last minute.
    pub last_session: SessionDate,
    /// Sessions that it touches.
    pub sessions: u32,
    /// The first missing minute, UTC microseconds.
    pub start_us: i64,
    /// The end of the last one, UTC microseconds.
    pub end_us: i64,
    /// Regular minutes that are missing.
    pub minutes: u32,
}

/// What the ledger knows of one series.
#[derive(Debug, Clone, Copy)]
pub struct SeriesLedger<'a> {
    /// Records, ascending by date.
    pub records: &'a [SessionRecord],
    /// Sessions that the plan did not include, ascending.
    pub not_entitled: &'a [SessionDate],
}

/// The gaps of `sessions`, which ascend, ascending. Minutes that begin at or after `until_us` are not missing yet.
pub fn find_gaps(sessions: &[Session], ledger: SeriesLedger<'_>, until_us: i64) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    // Whether the last gap reaches the end of the session before.
    let mut is_open = false;
    for session in sessions {
        let record = ledger
            .records
            .binary_search_by_key(&session.date(), |record| record.date)
            .ok()
            .map(|at| &ledger.records[at]);
        let is_refused = ledger.not_entitled.binary_search(&session.date()).is_ok();
        let mut continues = is_open;
        is_open = false;
        for minute in session.expected_range(Segment::Regular) {
            let start_us = session.minute_ts_us(minute);
            if start_us >= until_us {
                return gaps;
            }
            let Some((reason, is_settled)) = why_missing(record, is_refused, minute, start_us)
            else {
                continues = false;
                is_open = false;
                continue;
            };
            let end_us = start_us + MINUTE_US;
            match gaps
                .last_mut()
                .filter(|gap| continues && gap.reason == reason && gap.is_settled == is_settled)
            {
                Some(gap) => {
                    if gap.last_session != session.date() {
                        gap.last_session = session.date();
                        gap.sessions += 1;
                    }
                    gap.end_us = end_us;
                    gap.minutes += 1;
                }
                None => gaps.push(Gap {
                    reason,
                    is_settled,
                    first_session: session.date(),
                    last_session: session.date(),
                    sessions: 1,
                    start_us,
                    end_us,
                    minutes: 1,
                }),
            }
            continues = true;
            is_open = true;
        }
    }
    gaps
}

/// The reason for a minute without a row, and whether it is final; `None` when there is a row.
fn why_missing(
    record: Option<&SessionRecord>,
    is_refused: bool,
    minute: u16,
    start_us: i64,
) -> Option<(GapReason, Option<bool>)> {
    let never = if is_refused {
        GapReason::NotEntitled
    } else {
        GapReason::NotAsked
    };
    match record {
        None => Some((never, None)),
        Some(record) if record.present.contains(minute) => None,
        Some(record) if record.quarantined.contains(minute) => {
            Some((GapReason::Quarantined, Some(record.is_settled)))
        }
        Some(record) if record.asked.contains(start_us) => {
            Some((GapReason::NoTrade, Some(record.is_settled)))
        }
        Some(_) => Some((never, None)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::calendar::Calendar;
    use super::super::instant::InstantRange;
    use super::super::minute_set::MinuteSet;
    use super::super::services::ohlcv_calculation::DailySummary;
    use super::*;

    fn sessions(first: &str, last: &str) -> Vec<Session> {
        Calendar::nyse()
            .sessions(first.parse().unwrap(), last.parse().unwrap())
            .unwrap()
    }

    /// A session whose regular minutes are all present but `missing`.
    pub(in crate::domain) fn record(session: &Session, missing: &[u16]) -> SessionRecord {
        let mut present = MinuteSet::empty();
        for minute in session.expected_range(Segment::Regular) {
            if !missing.contains(&minute) {
                present.insert(minute);
            }
        }
        SessionRecord {
            date: session.date(),
            asked: session.window(),
            asked_at_us: 0,
            is_settled: true,
            present,
            off_frame_rows: 0,
            quarantined: MinuteSet::empty(),
            summary: DailySummary::default(),
        }
    }

    pub(in crate::domain) fn gaps_of(sessions: &[Session], records: &[SessionRecord]) -> Vec<Gap> {
        let ledger = SeriesLedger {
            records,
            not_entitled: &[],
        };
        find_gaps(sessions, ledger, i64::MAX)
    }

    #[test]
    fn one_missing_minute_is_a_gap_and_weekends_and_holidays_are_none() {
        // Thursday is a holiday, Wednesday a half day, then a weekend.
        let sessions = sessions("2024-07-01", "2024-07-08");
        assert_eq!(sessions.len(), 5);
        let full: Vec<SessionRecord> = sessions.iter().map(|s| record(s, &[])).collect();
        assert_eq!(gaps_of(&sessions, &full), []);
        let open = sessions[2].expected_range(Segment::Regular).start;
        let mut holed = full;
        holed[2] = record(&sessions[2], &[open + 7]);
        let gap = gaps_of(&sessions, &holed)[0];
        assert_eq!(
            (gap.reason, gap.is_settled),
            (GapReason::NoTrade, Some(true))
        );
        assert_eq!((gap.minutes, gap.sessions), (1, 1));
        assert_eq!(gap.start_us, sessions[2].open_us() + 7 * MINUTE_US);
    }

    #[test]
    fn whole_sessions_that_were_never_asked_for_are_one_gap() {
        let sessions = sessions("2024-07-01", "2024-07-08");
        let gaps = gaps_of(&sessions, &[record(&sessions[4], &[])]);
        assert_eq!(gaps.len(), 1);
        let gap = gaps[0];
        assert_eq!((gap.reason, gap.is_settled), (GapReason::NotAsked, None));
        assert_eq!(
            (gap.sessions, gap.minutes),
            (4, 390 * 3 + 210),
            "with a half day"
        );
        assert_eq!(gap.first_session, sessions[0].date());
        assert_eq!(gap.last_session, sessions[3].date());
        assert_eq!(gap.end_us, sessions[3].close_us());
    }

    #[test]
    fn each_reason_is_told_and_the_future_is_no_gap() {
        let sessions = sessions("2024-07-01", "2024-07-03");
        let open = sessions[0].expected_range(Segment::Regular).start;
        let mut first = record(&sessions[0], &[open, open + 1]);
        first.quarantined.insert(open + 1);
        first.is_settled = false;
        let mut second = record(&sessions[1], &[open, open + 389]);
        second.asked = InstantRange {
            end_us: sessions[1].close_us() - MINUTE_US,
            ..second.asked
        };
        let ledger = SeriesLedger {
            records: &[first, second],
            not_entitled: &[sessions[2].date()],
        };
        let until_us = sessions[2].open_us() + 5 * MINUTE_US;
        let told: Vec<(GapReason, Option<bool>, u32)> = find_gaps(&sessions, ledger, until_us)
            .iter()
            .map(|gap| (gap.reason, gap.is_settled, gap.minutes))
            .collect();
        let expected = [
            (GapReason::NoTrade, Some(false), 1),
            (GapReason::Quarantined, Some(false), 1),
            (GapReason::NoTrade, Some(true), 1),
            (GapReason::NotAsked, None, 1),
            (GapReason::NotEntitled, None, 5),
        ];
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn gaps_hold_exactly_the_missing_minutes(
            missing in prop::collection::vec(prop::collection::btree_set(0_u16..390, 0..390), 1..4),
            held in prop::collection::vec(any::<bool>(), 4),
        ) {
            let sessions = sessions("2024-07-08", "2024-07-11");
            let mut records = Vec::new();
            let mut expected = 0;
            for ((session, minutes), is_held) in sessions.iter().zip(&missing).zip(&held) {
                let open = session.expected_range(Segment::Regular).start;
                let minutes: Vec<u16> = minutes.iter().map(|minute| open + minute).collect();
                if *is_held {
                    expected += minutes.len();
                    records.push(record(session, &minutes));
                }
            }
            expected += (sessions.len() - records.len()) * 390;
            let gaps = gaps_of(&sessions, &records);
            prop_assert_eq!(gaps.iter().map(|gap| gap.minutes as usize).sum::<usize>(), expected);
            for pair in gaps.windows(2) {
                prop_assert!(pair[0].end_us <= pair[1].start_us);
                let touches = pair[0].end_us == pair[1].start_us;
                prop_assert!(!touches || pair[0].reason != pair[1].reason, "one gap in two");
            }
        }
    }
}
