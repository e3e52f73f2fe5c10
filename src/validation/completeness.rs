//! Completeness: which regular minutes of each session are there, why the others are not, and whether the ledger says
//! the same as the files. Pure.

use std::collections::BTreeMap;

use crate::domain::finding::{Collector, Evidence};
use crate::domain::instant::format_utc;
use crate::domain::minute_set::MinuteSet;
use crate::domain::{
    Calendar, Dataset, GapReason, Rule, Segment, Session, SessionDate, SessionRecord, Severity,
    Timeframe,
};

/// What is known of one session of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionFacts {
    /// The session.
    pub date: SessionDate,
    /// Regular minutes that are there.
    pub present: u16,
    /// Regular minutes that should be there by now.
    pub expected: u16,
    /// The main reason for missing ones; `None` when there are none.
    pub reason: Option<GapReason>,
    /// The gravest open finding about the session.
    pub worst: Option<Severity>,
    /// Regular minutes that were asked for and had no bar.
    pub(super) silent: MinuteSet,
}

impl SessionFacts {
    /// The share of the expected minutes that is there.
    fn share(&self) -> f64 {
        f64::from(self.present) / f64::from(self.expected)
    }
}

/// What the files hold of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) present: MinuteSet,
    pub(super) off_frame_rows: u32,
}

/// What is needed to judge the sessions of one series.
pub(super) struct SeriesLedger<'a> {
    pub(super) calendar: Calendar,
    /// Records, by date.
    pub(super) records: &'a [SessionRecord],
    /// Sessions that the plan did not include, ascending.
    pub(super) not_entitled: &'a [SessionDate],
    /// What the files hold, by session.
    pub(super) held: &'a BTreeMap<SessionDate, Held>,
    /// Sessions whose file could not be read: nothing is known of their rows.
    pub(super) unread: &'a [(SessionDate, SessionDate)],
    /// Minutes that begin at or after this instant are not missing yet.
    pub(super) until_us: i64,
}

/// Judges the sessions `first` to `last`, both inside.
pub(super) fn check(
    ledger: &SeriesLedger<'_>,
    (first, last): (SessionDate, SessionDate),
    findings: &mut Collector<'_>,
) -> Vec<SessionFacts> {
    let sessions = ledger.calendar.sessions(first, last).unwrap_or_default();
    let mut facts = Vec::with_capacity(sessions.len());
    for session in &sessions {
        let date = session.date();
        if !findings.wants(date) || session.open_us() >= ledger.until_us {
            continue;
        }
        let record = ledger
            .records
            .binary_search_by_key(&date, |record| record.date)
            .ok()
            .map(|at| &ledger.records[at]);
        let is_unread = ledger
            .unread
            .iter()
            .any(|&(first, last)| first <= date && date <= last);
        let held = if is_unread {
            // The file's own finding says what is wrong; the ledger says what should be there.
            record.map_or_else(Held::default, |record| Held {
                present: record.present,
                off_frame_rows: record.off_frame_rows,
            })
        } else {
            ledger.held.get(&date).copied().unwrap_or_default()
        };
        if !is_unread {
            check_ledger(session, record, &held, findings);
        }
        facts.push(check_session(ledger, session, record, &held, findings));
    }
    facts
}

/// Whether the ledger's record says what the files hold.
fn check_ledger(
    session: &Session,
    record: Option<&SessionRecord>,
    held: &Held,
    findings: &mut Collector<'_>,
) {
    let recorded = record.map_or_else(Held::default, |record| Held {
        present: record.present,
        off_frame_rows: record.off_frame_rows,
    });
    if recorded == *held {
        return;
    }
    findings.take(Rule::LedgerDiffers, Timeframe::M1, || {
        let unrecorded = held.present.without(&recorded.present).len();
        let gone = recorded.present.without(&held.present).len();
        let rows = |held: &Held| held.present.len() + held.off_frame_rows;
        Evidence {
            session: Some(session.date()),
            ts_us: None,
            value: format!("{} minutes in the ledger", rows(&recorded)),
            expected: format!("{} minutes in the files", rows(held)),
            message: format!(
                "the ledger has {} minutes of this session, the files {}: {gone} are gone from the files, \
                 {unrecorded} are not in the ledger",
                rows(&recorded),
                rows(held)
            ),
            bar: None,
        }
    });
}

fn check_session(
    ledger: &SeriesLedger<'_>,
    session: &Session,
    record: Option<&SessionRecord>,
    held: &Held,
    findings: &mut Collector<'_>,
) -> SessionFacts {
    let date = session.date();
    let official = session.expected_range(Segment::Regular);
    let due = if session.close_us() <= ledger.until_us {
        official.end
    } else {
        official
            .clone()
            .find(|&minute| session.minute_ts_us(minute) >= ledger.until_us)
            .unwrap_or(official.end)
    };
    let expected = MinuteSet::of_range(official.start..due);
    let missing = expected.without(&held.present);
    let count = |set: &MinuteSet| u16::try_from(set.len()).unwrap_or(u16::MAX);
    let mut facts = SessionFacts {
        date,
        present: count(&expected.and(&held.present)),
        expected: count(&expected),
        reason: None,
        worst: None,
        silent: MinuteSet::empty(),
    };
    if missing.is_empty() {
        return facts;
    }
    let reasons = reasons_of(ledger, session, record, &missing);
    let silent = reasons
        .iter()
        .find(|(reason, _)| *reason == GapReason::NoTrade);
    facts.silent = silent.map_or(MinuteSet::empty(), |&(_, minutes)| minutes);
    let main = reasons.iter().max_by_key(|(_, minutes)| minutes.len());
    facts.reason = main.map(|&(reason, _)| reason);
    if facts.present == 0 {
        note_missing_session(ledger, session, &facts, findings);
    } else {
        note_missing_minutes(ledger, session, &reasons, findings);
    }
    facts
}

/// The missing minutes by reason, those without any left out.
fn reasons_of(
    ledger: &SeriesLedger<'_>,
    session: &Session,
    record: Option<&SessionRecord>,
    missing: &MinuteSet,
) -> Vec<(GapReason, MinuteSet)> {
    let is_refused = ledger.not_entitled.binary_search(&session.date()).is_ok();
    let never = if is_refused {
        GapReason::NotEntitled
    } else {
        GapReason::NotAsked
    };
    let Some(record) = record else {
        return vec![(never, *missing)];
    };
    let quarantined = missing.and(&record.quarantined);
    let mut asked = MinuteSet::empty();
    for minute in session.expected_range(Segment::Regular) {
        if record.asked.contains(session.minute_ts_us(minute)) {
            asked.insert(minute);
        }
    }
    let rest = missing.without(&quarantined);
    let reasons = [
        (never, rest.without(&asked)),
        (GapReason::NoTrade, rest.and(&asked)),
        (GapReason::Quarantined, quarantined),
    ];
    reasons
        .into_iter()
        .filter(|(_, minutes)| !minutes.is_empty())
        .collect()
}

fn note_missing_session(
    ledger: &SeriesLedger<'_>,
    session: &Session,
    facts: &SessionFacts,
    findings: &mut Collector<'_>,
) {
    let reason = facts.reason.map_or("none", GapReason::as_str);
    // A session that is not over is asked for again.
    let is_over = session.window_end_us() <= ledger.until_us;
    let severity = if is_over {
        Severity::Warning
    } else {
        Severity::Info
    };
    findings.take_as(Rule::MissingSession, severity, Timeframe::M1, || Evidence {
        session: Some(facts.date),
        ts_us: None,
        value: reason.to_owned(),
        expected: format!("{} minutes", facts.expected),
        message: format!("the session has no bar in regular hours: {reason}"),
        bar: None,
    });
}

fn note_missing_minutes(
    ledger: &SeriesLedger<'_>,
    session: &Session,
    reasons: &[(GapReason, MinuteSet)],
    findings: &mut Collector<'_>,
) {
    let is_over = session.window_end_us() <= ledger.until_us;
    let is_graver = |reason| match reason {
        // What was answered is as it should be, and a running session is asked for again.
        GapReason::NoTrade | GapReason::NotEntitled => false,
        GapReason::NotAsked => is_over,
        GapReason::Quarantined => true,
    };
    let severity = if reasons.iter().any(|&(reason, _)| is_graver(reason)) {
        Severity::Warning
    } else {
        Severity::Info
    };
    findings.take_as(Rule::MissingMinutes, severity, Timeframe::M1, || {
        let by_reason: Vec<String> = reasons
            .iter()
            .map(|(reason, minutes)| format!("{} {reason}", minutes.len()))
            .collect();
        let by_reason = by_reason.join(", ");
        let official = session.expected_range(Segment::Regular);
        let first = official
            .clone()
            .find(|&minute| reasons.iter().any(|(_, minutes)| minutes.contains(minute)));
        Evidence {
            session: Some(session.date()),
            ts_us: None,
            value: by_reason.clone(),
            expected: format!("{} minutes", official.len()),
            message: format!(
                "regular minutes are missing: {by_reason}{}",
                first.map_or_else(String::new, |minute| format!(
                    "; the first at {}",
                    format_utc(session.minute_ts_us(minute))
                ))
            ),
            bar: None,
        }
    });
}

/// Minutes that are missing in all liquid symbols of a dataset at once.
#[derive(Debug, Default)]
pub(super) struct HoleFinder {
    sessions: BTreeMap<(Dataset, &'static str, SessionDate), SharedGap>,
}

#[derive(Debug)]
struct SharedGap {
    calendar: Calendar,
    missing: MinuteSet,
    symbols: u32,
    /// Minutes of the session that one would expect to be missing in all symbols by chance.
    by_chance: f64,
}

/// Share of regular minutes that a liquid symbol has in most sessions.
const LIQUID_SHARE: f64 = 0.9;
/// Liquid symbols that make a silence remarkable.
const FEWEST_SYMBOLS: u32 = 3;
/// Minutes a session that may be missing in all symbols by chance alone.
const CHANCE: f64 = 0.001;

impl HoleFinder {
    /// Takes the sessions of one series.
    pub(super) fn add(&mut self, dataset: &Dataset, calendar: Calendar, sessions: &[SessionFacts]) {
        let full = sessions.iter().filter(|session| session.expected > 0);
        let mut shares: Vec<f64> = full.clone().map(SessionFacts::share).collect();
        shares.sort_unstable_by(f64::total_cmp);
        // By most of its sessions, so that a hole takes nobody's word away who would tell of it.
        let Some(&usual) = shares.get(shares.len() / 2) else {
            return;
        };
        if usual < LIQUID_SHARE {
            return;
        }
        for session in full {
            let place = (dataset.clone(), calendar.version(), session.date);
            let minutes = f64::from(session.expected);
            let shared = self.sessions.entry(place).or_insert_with(|| SharedGap {
                calendar,
                missing: session.silent,
                symbols: 0,
                by_chance: minutes,
            });
            shared.missing = shared.missing.and(&session.silent);
            shared.symbols += 1;
            // Even who never misses one could miss the next.
            shared.by_chance *= (1.0 - usual).max(1.0 / minutes);
        }
    }

    /// Notes the holes of `dataset`.
    pub(super) fn note(&self, dataset: &Dataset, findings: &mut Collector<'_>) {
        for ((of, _, date), shared) in &self.sessions {
            if of != dataset || !shared.is_hole() {
                continue;
            }
            let Ok(Some(session)) = shared.calendar.session(*date) else {
                continue;
            };
            let Some(first) = shared.missing.ranges().first().map(|range| range.start) else {
                continue;
            };
            let first_us = session.minute_ts_us(first);
            findings.take(Rule::ProviderHole, Timeframe::M1, || Evidence {
                session: Some(*date),
                ts_us: Some(first_us),
                value: format!("{} minutes", shared.missing.len()),
                expected: "trades".to_owned(),
                message: format!(
                    "{} minutes, the first at {}, are missing in all {} liquid symbols",
                    shared.missing.len(),
                    format_utc(first_us),
                    shared.symbols
                ),
                bar: None,
            });
        }
    }
}

impl SharedGap {
    fn is_hole(&self) -> bool {
        self.symbols >= FEWEST_SYMBOLS && self.by_chance <= CHANCE && !self.missing.is_empty()
    }
}

#[cfg(test)]
mod hole_tests;
#[cfg(test)]
mod tests;
