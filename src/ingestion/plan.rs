//! The plan of an ingest: from what was asked and what the ledger holds to units of fetching. Pure, no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::instant::MINUTE_US;
use crate::domain::ports::ProviderProfile;
use crate::domain::{
    Calendar, CalendarError, InstantRange, Session, SessionDate, SessionRecord, Symbol,
};

/// Rows a session of an unknown symbol is expected to have, extended hours included.
const DEFAULT_ROWS_PER_SESSION: u64 = 800;

/// A thin symbol may trade more tomorrow: no session is expected to have fewer rows.
const LEAST_ROWS_PER_SESSION: u64 = 100;

/// The shortest window of a session.
const DAY_US: i64 = 1440 * MINUTE_US;

/// Rows one unit should have: some twenty full pages, a few tens of megabytes in memory.
const TARGET_ROWS_PER_UNIT: u64 = 200_000;

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
    /// Bar starts in a range of instants.
    Instants(InstantRange),
}

/// Whether settled sessions are asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshPolicy {
    /// Only missing and provisional sessions.
    OnlyMissing,
    /// Everything in the range.
    Everything,
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
    /// Rows expected.
    pub expected_rows: u64,
}

impl FetchUnit {
    /// What the unit covers, in words.
    pub fn describe(&self) -> String {
        let dates = match (self.sessions.first(), self.sessions.last()) {
            (Some(first), Some(last)) if first.date() != last.date() => {
                format!("{} to {}", first.date(), last.date())
            }
            (Some(first), _) => first.date().to_string(),
            _ => "no session".to_owned(),
        };
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
    /// Settled sessions that are left out.
    pub sessions_settled: usize,
    /// Rows held of the sessions that are left out.
    pub held_rows: u64,
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
        let per_page = u64::try_from(rows_per_page).unwrap_or(u64::MAX).max(1);
        self.units
            .iter()
            .map(|unit| unit.expected_rows.div_ceil(per_page).max(1))
            .sum()
    }
}

/// The sessions and the exact instants that a request means for one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRange {
    /// Bar starts that are wanted and may be asked for now.
    pub wanted: InstantRange,
    /// The sessions it touches, ascending.
    pub sessions: Vec<Session>,
}

/// The sessions that `range` means; an incremental one begins with the session `begins_at`, or 30 days back.
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
        RequestedRange::Instants(asked) if to_whole_minutes(asked).is_empty() => {
            return Ok(ResolvedRange {
                wanted: asked,
                sessions: Vec::new(),
            });
        }
        RequestedRange::Instants(asked) => {
            let asked = to_whole_minutes(asked);
            let first = calendar.session_containing(asked.start_us)?.date();
            let last = calendar.session_containing(asked.end_us - 1)?.date();
            (first, last, Some(asked))
        }
    };
    let mut sessions = calendar.sessions(first, last)?;
    sessions.retain(|session| session.window_start_us() < newest_us);
    let whole = InstantRange {
        start_us: sessions.first().map_or(0, Session::window_start_us),
        end_us: sessions
            .last()
            .map_or(0, Session::window_end_us)
            .min(newest_us),
    };
    let wanted = asked.map_or(whole, |asked| asked.intersection(&whole));
    Ok(ResolvedRange { wanted, sessions })
}

/// The minutes that begin in a range, as a range of whole minutes.
fn to_whole_minutes(range: InstantRange) -> InstantRange {
    let up = |instant_us: i64| -(-instant_us).div_euclid(MINUTE_US) * MINUTE_US;
    InstantRange {
        start_us: up(range.start_us),
        end_us: up(range.end_us),
    }
}

/// Symbols that need the same stretch of sessions.
#[derive(Debug)]
struct Group {
    sessions: Vec<Session>,
    /// Each with the rows expected of a session.
    symbols: Vec<(Symbol, u64)>,
}

/// Collects symbols and packs them into units.
#[derive(Debug)]
pub struct Planner {
    profile: ProviderProfile,
    refresh: RefreshPolicy,
    symbols: Vec<SymbolPlan>,
    /// By calendar and range: a pair and a share never share sessions.
    groups: BTreeMap<(bool, InstantRange), Group>,
}

impl Planner {
    /// A planner for one provider.
    pub fn new(profile: ProviderProfile, refresh: RefreshPolicy) -> Self {
        Self {
            profile,
            refresh,
            symbols: Vec::new(),
            groups: BTreeMap::new(),
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
        for session in &resolved.sessions {
            let window = InstantRange {
                start_us: session.window_start_us(),
                end_us: session.window_end_us(),
            };
            let wanted = window.intersection(&resolved.wanted);
            let Some(range) =
                self.range_to_ask(record_of(session.date()), wanted, session, calendar)?
            else {
                is_open_run = false;
                held_rows += record_of(session.date()).map_or(0, |record| u64::from(record.rows()));
                continue;
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
            self.groups
                .entry((symbol.is_pair(), range))
                .or_insert_with(|| Group {
                    sessions,
                    symbols: Vec::new(),
                })
                .symbols
                .push((symbol.clone(), rows_per_session));
        }
        self.symbols.push(SymbolPlan {
            symbol,
            sessions: resolved.sessions.len(),
            sessions_to_fetch,
            sessions_settled: resolved.sessions.len() - sessions_to_fetch,
            held_rows,
        });
        Ok(())
    }

    /// What to ask for of one session; `None` when what is held is final.
    fn range_to_ask(
        &self,
        record: Option<&SessionRecord>,
        wanted: InstantRange,
        session: &Session,
        calendar: Calendar,
    ) -> Result<Option<InstantRange>, CalendarError> {
        if wanted.is_empty() {
            return Ok(None);
        }
        let Some(record) = record else {
            return Ok(Some(wanted));
        };
        if self.refresh == RefreshPolicy::OnlyMissing {
            let is_final = record.is_settled
                || (record.asked.covers(&wanted)
                    && record.asked_at_us >= calendar.next_session(session.date())?.pre_open_us());
            if is_final {
                return Ok(None);
            }
        }
        // The ledger keeps one range a session: a question must touch what was asked before.
        let mut range = wanted;
        if !record.asked.is_empty() {
            range.start_us = range.start_us.min(record.asked.end_us);
            range.end_us = range.end_us.max(record.asked.start_us);
        }
        Ok(Some(range))
    }

    /// Packs what was added into units: full pages, bounded memory, no month of a symbol in two units of one stretch.
    pub fn finish(self) -> IngestPlan {
        let mut units = Vec::new();
        for ((_, range), group) in self.groups {
            let Group {
                sessions,
                mut symbols,
            } = group;
            symbols.sort();
            let session_count = u64::try_from(sessions.len()).unwrap_or(u64::MAX);
            let sessions: Arc<[Session]> = sessions.into();
            let mut batch: Vec<Symbol> = Vec::new();
            let mut batch_rows = 0;
            for (symbol, rows_per_session) in symbols {
                let rows = rows_per_session.saturating_mul(session_count);
                if rows > TARGET_ROWS_PER_UNIT && sessions.len() > 1 {
                    split_by_months(&mut units, &symbol, range, &sessions, rows_per_session);
                    continue;
                }
                let is_full = batch.len() >= self.profile.max_symbols_per_request
                    || batch_rows + rows > TARGET_ROWS_PER_UNIT;
                if is_full && !batch.is_empty() {
                    push_unit(
                        &mut units,
                        std::mem::take(&mut batch),
                        range,
                        Arc::clone(&sessions),
                        std::mem::take(&mut batch_rows),
                    );
                }
                batch.push(symbol);
                batch_rows += rows;
            }
            if !batch.is_empty() {
                push_unit(&mut units, batch, range, sessions, batch_rows);
            }
        }
        IngestPlan {
            units,
            symbols: self.symbols,
        }
    }
}

fn push_unit(
    units: &mut Vec<FetchUnit>,
    symbols: Vec<Symbol>,
    range: InstantRange,
    sessions: Arc<[Session]>,
    expected_rows: u64,
) {
    let number = u32::try_from(units.len()).unwrap_or(u32::MAX);
    units.push(FetchUnit {
        number,
        symbols,
        range,
        sessions,
        expected_rows,
    });
}

/// Cuts one symbol's long stretch at month ends, as many months a unit as the target allows.
fn split_by_months(
    units: &mut Vec<FetchUnit>,
    symbol: &Symbol,
    range: InstantRange,
    sessions: &[Session],
    rows_per_session: u64,
) {
    let mut start = 0;
    while start < sessions.len() {
        let mut end = start;
        while end < sessions.len() {
            let month = sessions[end].date().month();
            let month_end =
                end + sessions[end..].partition_point(|session| session.date().month() <= month);
            let rows = rows_per_session * u64::try_from(month_end - start).unwrap_or(u64::MAX);
            if end > start && rows > TARGET_ROWS_PER_UNIT {
                break;
            }
            end = month_end;
        }
        let part = InstantRange {
            start_us: sessions[start].window_start_us(),
            end_us: sessions[end - 1].window_end_us(),
        };
        let rows = rows_per_session * u64::try_from(end - start).unwrap_or(u64::MAX);
        push_unit(
            units,
            vec![symbol.clone()],
            part.intersection(&range),
            sessions[start..end].into(),
            rows,
        );
        start = end;
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
