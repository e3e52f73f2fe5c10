//! What is said of sessions and their missing minutes, and of silence in all symbols at once.

use super::super::fakes::{NOW_US, dataset, date, quiet, record, regular, session};
use super::*;
use crate::domain::instant::MINUTE_US;
use crate::domain::rule::Severities;
use crate::domain::{Bar, Finding, InstantRange};

/// A Tuesday; its regular minutes are 810 to 1199.
const DAY: &str = "2024-07-02";

struct Known {
    records: Vec<SessionRecord>,
    not_entitled: Vec<SessionDate>,
    held: BTreeMap<SessionDate, Held>,
    unread: Vec<(SessionDate, SessionDate)>,
    until_us: i64,
    wanted: Option<(SessionDate, SessionDate)>,
}

/// Files that hold what the records say.
fn known(records: Vec<SessionRecord>) -> Known {
    let held = records.iter().map(|record| {
        let held = Held {
            present: record.present,
            off_frame_rows: record.off_frame_rows,
        };
        (record.date, held)
    });
    Known {
        held: held.collect(),
        records,
        not_entitled: Vec::new(),
        unread: Vec::new(),
        until_us: NOW_US,
        wanted: None,
    }
}

impl Known {
    fn judge_span(&self, first: &str, last: &str) -> (Vec<SessionFacts>, Vec<Finding>) {
        let (dataset, severities) = (dataset(), Severities::default());
        let mut findings = Collector::new(&dataset, None, &severities, self.wanted, 100);
        let ledger = SeriesLedger {
            calendar: Calendar::nyse(),
            records: &self.records,
            not_entitled: &self.not_entitled,
            held: &self.held,
            unread: &self.unread,
            until_us: self.until_us,
        };
        let facts = check(&ledger, (date(first), date(last)), &mut findings);
        (facts, findings.finish().0)
    }

    /// The one session and what is found there, if anything.
    fn judge(&self) -> (SessionFacts, Option<Finding>) {
        let (facts, mut findings) = self.judge_span(DAY, DAY);
        assert!(facts.len() == 1 && findings.len() <= 1, "{findings:?}");
        (facts[0], findings.pop())
    }
}

/// The day's regular bars without those whose minutes, counted from the open, lie in `missing`.
fn without(missing: std::ops::Range<usize>) -> Vec<Bar> {
    let mut bars = regular(&session(DAY));
    bars.drain(missing);
    bars
}

fn day_record(bars: &[Bar]) -> SessionRecord {
    record(&session(DAY), bars)
}

#[test]
fn a_session_with_all_its_minutes_is_complete() {
    let (facts, found) = known(vec![day_record(&without(0..0))]).judge();
    assert_eq!(found, None);
    assert_eq!((facts.present, facts.expected), (390, 390));
    assert_eq!((facts.reason, facts.worst), (None, None));
    assert!(facts.silent.is_empty());
}

#[test]
fn missing_minutes_are_told_by_reason_with_the_first_of_them() {
    let open_us = session(DAY).open_us();
    let mut record = day_record(&without(5..35));
    // Asked up to the 20th minute; two of those asked for are in quarantine.
    record.asked.end_us = open_us + 20 * MINUTE_US;
    record.quarantined = MinuteSet::of_range(816..818);
    let mut bars = record.present;
    bars = bars.without(&MinuteSet::of_range(845..1200));
    let mut known = known(vec![SessionRecord {
        present: bars,
        ..record
    }]);
    let (facts, found) = known.judge();
    let found = found.unwrap();
    assert_eq!(
        (found.rule, found.severity, found.session, found.ts_us),
        (
            Rule::MissingMinutes,
            Severity::Warning,
            Some(date(DAY)),
            None
        )
    );
    assert_eq!(found.value, "370 not asked, 13 no trade, 2 quarantined");
    assert_eq!(found.expected, "390 minutes");
    assert_eq!(
        found.message,
        "regular minutes are missing: 370 not asked, 13 no trade, 2 quarantined; the first at 2024-07-02T13:35:00Z"
    );
    assert_eq!((facts.present, facts.expected), (5, 390));
    assert_eq!(facts.reason, Some(GapReason::NotAsked), "the main one");
    assert_eq!(facts.silent.len(), 13);
    assert!(facts.silent.contains(815) && !facts.silent.contains(816));
    known.not_entitled = vec![date("2024-07-01"), date(DAY)];
    let found = known.judge().1.unwrap();
    assert_eq!(found.value, "370 not entitled, 13 no trade, 2 quarantined");
}

#[test]
fn only_what_can_be_mended_is_worth_a_warning() {
    let severity = |record: SessionRecord, not_entitled: &[SessionDate], until_us| {
        let known = Known {
            not_entitled: not_entitled.to_vec(),
            until_us,
            ..known(vec![record])
        };
        known.judge().1.unwrap().severity
    };
    let silent = day_record(&without(10..20));
    assert_eq!(severity(silent.clone(), &[], NOW_US), Severity::Info);
    let quarantined = SessionRecord {
        quarantined: MinuteSet::of_range(820..821),
        ..silent.clone()
    };
    let unasked = silent.unasked();
    assert_eq!(severity(unasked.clone(), &[], NOW_US), Severity::Warning);
    assert_eq!(
        severity(unasked.clone(), &[date(DAY)], NOW_US),
        Severity::Info
    );
    assert_eq!(
        severity(quarantined.clone(), &[], NOW_US),
        Severity::Warning
    );
    // What was not asked for yet is asked for as long as the session runs, and a bad row stays bad.
    let end_us = session(DAY).window_end_us();
    assert_eq!(severity(unasked.clone(), &[], end_us - 1), Severity::Info);
    assert_eq!(severity(unasked, &[], end_us), Severity::Warning);
    assert_eq!(severity(quarantined, &[], end_us - 1), Severity::Warning);
}

#[test]
fn a_session_without_a_bar_is_missing_as_a_whole_and_says_why() {
    let mut known = known(Vec::new());
    let (facts, found) = known.judge();
    let found = found.unwrap();
    assert_eq!(
        (found.rule, found.severity, &*found.value, &*found.expected),
        (
            Rule::MissingSession,
            Severity::Warning,
            "not asked",
            "390 minutes"
        )
    );
    assert_eq!(
        found.message,
        "the session has no bar in regular hours: not asked"
    );
    assert_eq!((facts.present, facts.expected), (0, 390));
    assert!(facts.silent.is_empty(), "nobody asked");
    let end_us = session(DAY).window_end_us();
    for (until_us, severity) in [(end_us, Severity::Warning), (end_us - 1, Severity::Info)] {
        known.until_us = until_us;
        assert_eq!(known.judge().1.unwrap().severity, severity);
    }
    known.not_entitled = vec![date(DAY)];
    assert_eq!(known.judge().1.unwrap().value, "not entitled");
    known.records = vec![day_record(&[])];
    let (facts, found) = known.judge();
    assert_eq!(found.unwrap().value, "no trade");
    assert_eq!(facts.silent.len(), 390);
}

#[test]
fn what_trades_before_the_open_does_not_make_a_regular_session() {
    let early = [quiet(session(DAY).open_us() - MINUTE_US)];
    let (facts, found) = known(vec![day_record(&early)]).judge();
    assert_eq!((facts.present, facts.expected), (0, 390));
    assert_eq!(found.unwrap().rule, Rule::MissingSession);
}

#[test]
fn a_minute_is_due_once_it_has_begun_and_a_session_once_it_has_opened() {
    let day = session(DAY);
    let expected = |until_us: i64| {
        let known = Known {
            until_us,
            ..known(vec![day_record(&without(0..0))])
        };
        let (facts, findings) = known.judge_span(DAY, DAY);
        assert_eq!(findings, []);
        facts.first().map(|facts| (facts.present, facts.expected))
    };
    assert_eq!(expected(day.open_us() - 1), None);
    assert_eq!(expected(day.open_us()), None);
    assert_eq!(expected(day.open_us() + 1), Some((1, 1)));
    assert_eq!(expected(day.open_us() + 30 * MINUTE_US), Some((30, 30)));
    assert_eq!(expected(day.open_us() + 30 * MINUTE_US + 1), Some((31, 31)));
    assert_eq!(expected(day.close_us() - MINUTE_US), Some((389, 389)));
    assert_eq!(expected(day.close_us() - 1), Some((390, 390)));
    assert_eq!(expected(day.close_us()), Some((390, 390)));
}

#[test]
fn a_half_day_expects_half_as_much() {
    let half = session("2024-07-03");
    let known = known(vec![record(&half, &regular(&half))]);
    let (facts, findings) = known.judge_span("2024-07-03", "2024-07-03");
    assert_eq!((facts[0].present, facts[0].expected), (210, 210));
    assert_eq!(findings, []);
}

#[test]
fn sessions_come_in_order_and_those_that_are_not_wanted_are_left_out() {
    let mut known = known(Vec::new());
    let dates = |known: &Known| -> Vec<String> {
        let facts = known.judge_span("2024-07-01", "2024-07-08").0;
        facts.iter().map(|facts| facts.date.to_string()).collect()
    };
    assert_eq!(
        dates(&known),
        [
            "2024-07-01",
            "2024-07-02",
            "2024-07-03",
            "2024-07-05",
            "2024-07-08"
        ],
        "neither holiday nor weekend"
    );
    known.wanted = Some((date("2024-07-02"), date("2024-07-04")));
    assert_eq!(dates(&known), ["2024-07-02", "2024-07-03"]);
}

#[test]
fn the_ledger_must_say_what_the_files_hold() {
    let all = day_record(&without(0..0));
    let judge = |record: Option<SessionRecord>, held: Option<Held>| {
        let mut known = known(record.into_iter().collect());
        known.held = held.map(|held| (date(DAY), held)).into_iter().collect();
        let findings = known.judge_span(DAY, DAY).1;
        findings
            .into_iter()
            .find(|found| found.rule == Rule::LedgerDiffers)
    };
    let held = |minutes: std::ops::Range<u16>, off_frame_rows| {
        Some(Held {
            present: MinuteSet::of_range(minutes),
            off_frame_rows,
        })
    };
    assert_eq!(judge(Some(all.clone()), held(810..1200, 0)), None);
    assert_eq!(judge(None, None), None);
    let found = judge(Some(all.clone()), held(805..1190, 2)).unwrap();
    assert_eq!(
        (found.severity, found.session),
        (Severity::Error, Some(date(DAY)))
    );
    assert_eq!(found.value, "390 minutes in the ledger");
    assert_eq!(found.expected, "387 minutes in the files");
    assert_eq!(
        found.message,
        "the ledger has 390 minutes of this session, the files 387: 10 are gone from the files, \
         5 are not in the ledger"
    );
    assert!(judge(Some(all.clone()), held(810..1200, 1)).is_some());
    assert!(judge(Some(all), None).is_some());
    assert!(judge(None, held(810..811, 0)).is_some());
}

#[test]
fn where_a_file_cannot_be_read_the_ledger_is_believed() {
    let mut known = known(vec![day_record(&without(0..10))]);
    known.held.clear();
    let mut judge = |first: &str, last: &str| {
        known.unread = vec![(date(first), date(last))];
        let (facts, findings) = known.judge_span(DAY, DAY);
        (
            facts[0].present,
            findings.iter().map(|found| found.rule).collect::<Vec<_>>(),
        )
    };
    let believed = (380, vec![Rule::MissingMinutes]);
    assert_eq!(judge("2024-07-01", "2024-07-31"), believed);
    assert_eq!(judge(DAY, "2024-07-31"), believed);
    assert_eq!(judge("2024-07-01", DAY), believed);
    let (present, mut rules) = judge("2024-07-03", "2024-07-31");
    rules.sort_unstable();
    assert_eq!(
        (present, rules),
        (0, vec![Rule::MissingSession, Rule::LedgerDiffers])
    );
    assert_eq!(judge("2024-06-01", "2024-07-01").0, 0);
}

#[test]
fn who_was_asked_in_part_has_silent_minutes_only_there() {
    let day = session(DAY);
    let mut record = day_record(&[quiet(day.open_us())]);
    record.asked = InstantRange {
        start_us: day.open_us(),
        end_us: day.open_us() + 3 * MINUTE_US,
    };
    let (facts, _) = known(vec![record]).judge();
    assert_eq!(facts.silent, MinuteSet::of_range(811..813));
}
