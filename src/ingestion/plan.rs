//! The plan of an ingest: from what was asked and what the ledger holds to units of fetching. Pure, no I/O.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::domain::instant::MINUTE_US;
use crate::domain::ports::ProviderProfile;
use crate::domain::{
    Calendar, CalendarError, InstantRange, Session, SessionDate, SessionRecord, Symbol,
};

use super::packing::{Stretch, Stretches, pack, pages_of};

/// Rows a session of an unknown symbol is expected to have, extended hours included.
const DEFAULT_ROWS_PER_SESSION: u64 = 800;

/// A thin symbol may trade more tomorrow: no session is expected to have fewer rows.
const LEAST_ROWS_PER_SESSION: u64 = 100;

/// The shortest window of a session.
const DAY_US: i64 = 1440 * MINUTE_US;

/// Bytes of a row on the wire, gzipped, as measured on made-up bars; real ones repeat themselves about as much.
const WIRE_BYTES_PER_ROW: u64 = 26;

/// Bytes of a row in the lake, as measured on real minutes with trade count and VWAP.
const LAKE_BYTES_PER_ROW: u64 = 17;

/// How many days a symbol that was never ingested goes back when no dates are given.
const DEFAULT_DAYS_BACK: i32 = 30;

/// Which bars are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedRange {
    /// From the last settled session on, or the last 30 days for a new symbol, up to now.
    Incremental,
    /// Whole sessions, both dates inside; without an end up to now.
    Sessions {
        /// First session date.
        first: SessionDate,
        /// Last session date; `None` for the newest.
        last: Option<SessionDate>,
    },
    /// From the first session that was ever asked for; without an end up to now.
    WholeSeries {
        /// Last session date; `None` for the newest.
        last: Option<SessionDate>,
    },
    /// Bar starts in a range of instants.
    Instants(InstantRange),
}

/// Whether settled sessions are asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshPolicy {
    /// Only missing and provisional sessions.
    OnlyMissing,
    /// Those, and the sessions that were answered with nothing.
    MissingOrEmpty,
    /// Everything that was last asked for before this instant, UTC microseconds.
    AskedBefore(i64),
}

/// What is wanted, of whom, when.
#[derive(Debug, Clone)]
pub struct IngestRequest {
    /// Symbols in the order given, without duplicates.
    pub symbols: Vec<Symbol>,
    /// Which bars.
    pub range: RequestedRange,
    /// Whether settled sessions are asked for again.
    pub refresh: RefreshPolicy,
    /// Now, UTC microseconds.
    pub now_us: i64,
}

/// What the ledger holds of one symbol in the requested range.
#[derive(Debug, Clone, Default)]
pub struct SymbolLedger {
    /// Records of the range, ascending by date.
    pub records: Vec<SessionRecord>,
}

/// Some sessions of some symbols, fetched by one walk through pages and committed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchUnit {
    /// Number within the plan, from 0.
    pub number: u32,
    /// Symbols, ascending.
    pub symbols: Vec<Symbol>,
    /// Bar starts asked for.
    pub range: InstantRange,
    /// The sessions that `range` touches, ascending.
    pub sessions: Arc<[Session]>,
    /// Those among them that are asked for up to their pre-market open alone.
    pub nights: Vec<SessionDate>,
    /// Rows expected.
    pub expected_rows: u64,
}

impl FetchUnit {
    /// What of `session` is asked for.
    pub fn asked_of(&self, session: &Session) -> InstantRange {
        let asked = session.window().intersection(&self.range);
        match self.nights.contains(&session.date()) {
            true => InstantRange {
                end_us: asked.end_us.min(session.pre_open_us()),
                ..asked
            },
            false => asked,
        }
    }

    /// The sessions it covers, in words.
    pub fn dates(&self) -> String {
        match (self.sessions.first(), self.sessions.last()) {
            (Some(first), Some(last)) if first.date() != last.date() => {
                format!("{} to {}", first.date(), last.date())
            }
            (Some(first), _) => first.date().to_string(),
            _ => "no session".to_owned(),
        }
    }

    /// What the unit covers, in words.
    pub fn describe(&self) -> String {
        let dates = self.dates();
        match &self.symbols[..] {
            [only] => format!("{only} {dates}"),
            [first, .., last] => {
                format!("{first}..{last} ({} symbols) {dates}", self.symbols.len())
            }
            [] => dates,
        }
    }
}

/// One symbol's part of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolPlan {
    /// The symbol.
    pub symbol: Symbol,
    /// Sessions in the requested range.
    pub sessions: usize,
    /// Sessions that are fetched.
    pub sessions_to_fetch: usize,
    /// Sessions that are left out, by reason.
    pub skipped: BTreeMap<SkipReason, usize>,
    /// Rows expected of the sessions that are fetched.
    pub expected_rows: u64,
    /// Rows held of the sessions that are left out.
    pub held_rows: u64,
}

impl SymbolPlan {
    /// Settled sessions that are left out.
    pub fn sessions_settled(&self) -> usize {
        self.skipped.get(&SkipReason::Settled).copied().unwrap_or(0)
    }

    /// What is left out and why, in words; empty when nothing is.
    pub fn skipped_words(&self) -> String {
        if self.sessions == 0 && self.skipped.is_empty() {
            return "no session lies in the range".to_owned();
        }
        let words = self
            .skipped
            .iter()
            .map(|(reason, sessions)| format!("{sessions} {reason}"));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Why a session is not fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// It was asked for after it settled.
    Settled,
    /// The part that is wanted was asked for after the session was over.
    Answered,
    /// It was asked for since the refresh began.
    Refreshed,
    /// It has not begun, or only so lately that the provider's plan does not show it.
    NotYet,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Settled => "settled",
            Self::Answered => "answered in the part that is wanted",
            Self::Refreshed => "refreshed already",
            Self::NotYet => "not to be had yet",
        })
    }
}

/// What will be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestPlan {
    /// Units of fetching, in order.
    pub units: Vec<FetchUnit>,
    /// One entry for each symbol, in the order asked.
    pub symbols: Vec<SymbolPlan>,
}

impl IngestPlan {
    /// Rows expected in all.
    pub fn expected_rows(&self) -> u64 {
        self.units.iter().map(|unit| unit.expected_rows).sum()
    }

    /// Requests expected in all, with pages of `rows_per_page`.
    pub fn expected_requests(&self, rows_per_page: usize) -> u64 {
        pages_of(
            &self.units,
            u64::try_from(rows_per_page).unwrap_or(u64::MAX).max(1),
        )
    }

    /// Bytes expected on the wire, gzipped.
    pub fn expected_wire_bytes(&self) -> u64 {
        self.expected_rows().saturating_mul(WIRE_BYTES_PER_ROW)
    }

    /// Bytes that the expected rows will take in the lake.
    pub fn expected_lake_bytes(&self) -> u64 {
        self.expected_rows().saturating_mul(LAKE_BYTES_PER_ROW)
    }
}

/// The sessions and the exact instants that a request means for one symbol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedRange {
    /// Bar starts that are wanted and may be asked for now.
    pub wanted: InstantRange,
    /// The sessions it touches, ascending.
    pub sessions: Vec<Session>,
    /// Sessions of the range of which nothing may be asked for yet.
    pub not_yet: usize,
}

/// The sessions that `range` means; an incremental one begins with the session `begins_at`, or 30 days back, a whole
/// series with `begins_at`, and there is none without.
///
/// Nothing later than `now_us - hold_back_us` is wanted, cut to the minute.
///
/// # Errors
/// [`CalendarError`] when the range leaves the calendar.
pub fn resolve_range(
    range: RequestedRange,
    calendar: Calendar,
    begins_at: Option<SessionDate>,
    now_us: i64,
    hold_back_us: i64,
) -> Result<ResolvedRange, CalendarError> {
    let newest_us = (now_us - hold_back_us).div_euclid(MINUTE_US) * MINUTE_US;
    let newest = || {
        calendar
            .session_containing(newest_us)
            .map(|session| session.date())
    };
    let (first, last, asked) = match range {
        RequestedRange::Incremental => {
            let newest = newest()?;
            let first = match begins_at {
                Some(date) => date,
                None => SessionDate::from_days_since_epoch(
                    newest.days_since_epoch() - DEFAULT_DAYS_BACK,
                )
                .unwrap_or(newest),
            };
            (first.max(calendar.coverage().0), newest, None)
        }
        RequestedRange::Sessions { first, last } => {
            let last = match last {
                Some(last) => last,
                None => newest()?.max(first),
            };
            (first, last, None)
        }
        RequestedRange::WholeSeries { last } => {
            let last = match last {
                Some(last) => last,
                None => newest()?,
            };
            match begins_at.filter(|first| *first <= last) {
                Some(first) => (first, last, None),
                None => return Ok(ResolvedRange::default()),
            }
        }
        RequestedRange::Instants(asked) if to_whole_minutes(asked).is_empty() => {
            return Ok(ResolvedRange::default());
        }
        RequestedRange::Instants(asked) => {
            let asked = to_whole_minutes(asked);
            let first = calendar.session_containing(asked.start_us)?.date();
            let last = calendar.session_containing(asked.end_us - 1)?.date();
            (first, last, Some(asked))
        }
    };
    let mut sessions = calendar.sessions(first, last)?;
    let in_range = sessions.len();
    sessions.retain(|session| session.window_start_us() < newest_us);
    let not_yet = in_range - sessions.len();
    let whole = InstantRange {
        start_us: sessions.first().map_or(0, Session::window_start_us),
        end_us: sessions
            .last()
            .map_or(0, Session::window_end_us)
            .min(newest_us),
    };
    let wanted = asked.map_or(whole, |asked| asked.intersection(&whole));
    Ok(ResolvedRange {
        wanted,
        sessions,
        not_yet,
    })
}

/// The minutes that begin in a range, as a range of whole minutes.
fn to_whole_minutes(range: InstantRange) -> InstantRange {
    let up = |instant_us: i64| -(-instant_us).div_euclid(MINUTE_US) * MINUTE_US;
    InstantRange {
        start_us: up(range.start_us),
        end_us: up(range.end_us),
    }
}

/// Collects symbols and packs them into units.
#[derive(Debug)]
pub struct Planner {
    profile: ProviderProfile,
    refresh: RefreshPolicy,
    symbols: Vec<SymbolPlan>,
    stretches: Stretches,
}

impl Planner {
    /// A planner for one provider.
    pub fn new(profile: ProviderProfile, refresh: RefreshPolicy) -> Self {
        Self {
            profile,
            refresh,
            symbols: Vec::new(),
            stretches: BTreeMap::new(),
        }
    }

    /// Adds one symbol with what the ledger holds of `resolved`.
    ///
    /// # Errors
    /// [`CalendarError`] when the session after the last one lies beyond the calendar.
    pub fn add_symbol(
        &mut self,
        symbol: Symbol,
        resolved: &ResolvedRange,
        ledger: &SymbolLedger,
    ) -> Result<(), CalendarError> {
        let calendar = Calendar::of(&symbol);
        let record_of = |date| {
            ledger
                .records
                .binary_search_by_key(&date, |record| record.date)
                .ok()
                .map(|i| &ledger.records[i])
        };
        let mut runs: Vec<(InstantRange, Vec<Session>)> = Vec::new();
        let mut is_open_run = false;
        let mut sessions_to_fetch = 0;
        let mut held_rows = 0;
        let mut skipped: BTreeMap<SkipReason, usize> = BTreeMap::new();
        if resolved.not_yet > 0 {
            skipped.insert(SkipReason::NotYet, resolved.not_yet);
        }
        for session in &resolved.sessions {
            let record = record_of(session.date());
            let wanted = session.window().intersection(&resolved.wanted);
            let range = match self.range_to_ask(record, wanted, session, calendar)? {
                Ok(range) => range,
                Err(reason) => {
                    *skipped.entry(reason).or_default() += 1;
                    is_open_run = false;
                    held_rows += record.map_or(0, |record| u64::from(record.rows()));
                    continue;
                }
            };
            sessions_to_fetch += 1;
            match runs
                .last_mut()
                .filter(|(run, _)| is_open_run && run.end_us == range.start_us)
            {
                Some((run, sessions)) => {
                    run.end_us = range.end_us;
                    sessions.push(*session);
                }
                None => runs.push((range, vec![*session])),
            }
            is_open_run = true;
        }
        let rows_per_session = expected_rows_per_session(&ledger.records);
        for (range, sessions) in runs {
            self.stretches
                .entry((symbol.is_pair(), range))
                .or_insert_with(|| Stretch {
                    range,
                    sessions,
                    symbols: Vec::new(),
                })
                .symbols
                .push((symbol.clone(), rows_per_session));
        }
        let expected_sessions = u64::try_from(sessions_to_fetch).unwrap_or(u64::MAX);
        self.symbols.push(SymbolPlan {
            symbol,
            sessions: resolved.sessions.len(),
            sessions_to_fetch,
            skipped,
            expected_rows: rows_per_session.saturating_mul(expected_sessions),
            held_rows,
        });
        Ok(())
    }

    /// What to ask for of one session, or why nothing.
    fn range_to_ask(
        &self,
        record: Option<&SessionRecord>,
        wanted: InstantRange,
        session: &Session,
        calendar: Calendar,
    ) -> Result<Result<InstantRange, SkipReason>, CalendarError> {
        if wanted.is_empty() {
            return Ok(Err(SkipReason::NotYet));
        }
        let Some(record) = record else {
            return Ok(Ok(wanted));
        };
        let is_over = || {
            let next = calendar.next_session(session.date())?;
            Ok(record.asked_at_us >= next.pre_open_us())
        };
        let skips = match self.refresh {
            RefreshPolicy::AskedBefore(since_us) => (record.asked_at_us >= since_us
                && record.asked.covers(&wanted))
            .then_some(SkipReason::Refreshed),
            RefreshPolicy::MissingOrEmpty if record.rows() == 0 => None,
            _ if record.is_settled => Some(SkipReason::Settled),
            _ if record.asked.covers(&wanted) && is_over()? => Some(SkipReason::Answered),
            _ => None,
        };
        if let Some(reason) = skips {
            return Ok(Err(reason));
        }
        // The ledger keeps one range a session: a question must touch what was asked before.
        let mut range = wanted;
        if !record.asked.is_empty() {
            range.start_us = range.start_us.min(record.asked.end_us);
            range.end_us = range.end_us.max(record.asked.start_us);
        }
        Ok(Ok(range))
    }

    /// Packs what was added into units.
    pub fn finish(self) -> IngestPlan {
        IngestPlan {
            units: pack(self.stretches, &self.profile),
            symbols: self.symbols,
        }
    }
}

/// The mean rows of the sessions that are held whole, or a cautious guess.
fn expected_rows_per_session(records: &[SessionRecord]) -> u64 {
    let is_whole = |record: &&SessionRecord| record.asked.end_us - record.asked.start_us >= DAY_US;
    let filled: Vec<u64> = records
        .iter()
        .filter(is_whole)
        .map(|record| u64::from(record.rows()))
        .filter(|&rows| rows > 0)
        .collect();
    match u64::try_from(filled.len()) {
        Ok(count) if count > 0 => filled
            .iter()
            .sum::<u64>()
            .div_ceil(count)
            .max(LEAST_ROWS_PER_SESSION),
        _ => DEFAULT_ROWS_PER_SESSION,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
