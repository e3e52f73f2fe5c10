//! Packing: from the stretches of sessions that symbols need to units of fetching with full pages. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::ports::ProviderProfile;
use crate::domain::{InstantRange, Session, Symbol, as_u64};

use super::plan::FetchUnit;

/// Rows one unit should have: some twenty full pages, a few tens of megabytes in memory.
pub(super) const TARGET_ROWS_PER_UNIT: u64 = 200_000;

/// A stretch with fewer pages may be cut into sessions: its last page, which is rarely full, weighs too much.
const WELL_FILLED_PAGES: u64 = 4;

/// Sessions that follow one another, asked for as one range, and the symbols that need exactly these.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) range: InstantRange,
    pub(super) sessions: Vec<Session>,
    /// Each with the rows expected of a session.
    pub(super) symbols: Vec<(Symbol, u64)>,
}

/// Stretches by calendar and range: a pair and a share never share sessions.
pub(super) type Stretches = BTreeMap<(bool, InstantRange), Stretch>;

impl Stretch {
    fn expected_rows(&self) -> u64 {
        let sessions = as_u64(self.sessions.len());
        let rows = self.symbols.iter().map(|(_, rows)| *rows);
        rows.sum::<u64>().saturating_mul(sessions)
    }
}

/// Packs stretches into units: many symbols a request, full pages, bounded memory. Every session of every symbol is
/// in exactly one unit.
///
/// Symbols with the same stretch are asked for together, and a symbol's long stretch is cut at month ends, so that no
/// month is in two units. Where that leaves many small stretches, as with symbols that lack one session each, they
/// are cut into sessions and all symbols that lack a session share its requests, if that takes fewer pages.
pub(super) fn pack(stretches: Stretches, profile: &ProviderProfile) -> Vec<FetchUnit> {
    let per_page = as_u64(profile.rows_per_page).max(1);
    let (small, large): (Stretches, Stretches) = stretches
        .into_iter()
        .partition(|(_, stretch)| stretch.expected_rows() < WELL_FILLED_PAGES * per_page);
    let by_session = units_of(cut_into_sessions(&small), profile);
    let as_they_are = units_of(small, profile);
    let mut units = if pages_of(&by_session, per_page) < pages_of(&as_they_are, per_page) {
        by_session
    } else {
        as_they_are
    };
    units.extend(units_of(large, profile));
    units.sort_by_key(|unit| (unit.range, unit.symbols.first().cloned()));
    for (number, unit) in units.iter_mut().enumerate() {
        unit.number = u32::try_from(number).unwrap_or(u32::MAX);
    }
    units
}

/// Pages that units are expected to have in all; each has at least one.
pub(super) fn pages_of(units: &[FetchUnit], per_page: u64) -> u64 {
    let pages = |unit: &FetchUnit| unit.expected_rows.div_ceil(per_page).max(1);
    units.iter().map(pages).sum()
}

/// The same needs, a session at a time; neighbours that the same symbols need are one stretch again.
fn cut_into_sessions(stretches: &Stretches) -> Stretches {
    let mut columns: Stretches = BTreeMap::new();
    for ((is_pair, _), stretch) in stretches {
        for session in &stretch.sessions {
            let range = session.window().intersection(&stretch.range);
            columns
                .entry((*is_pair, range))
                .or_insert_with(|| Stretch {
                    range,
                    sessions: vec![*session],
                    symbols: Vec::new(),
                })
                .symbols
                .extend_from_slice(&stretch.symbols);
        }
    }
    let mut joined: Vec<(bool, Stretch)> = Vec::new();
    for ((is_pair, _), mut column) in columns {
        column.symbols.sort();
        match joined.last_mut() {
            Some((of_pairs, last))
                if *of_pairs == is_pair
                    && last.range.end_us == column.range.start_us
                    && last.symbols == column.symbols =>
            {
                last.range.end_us = column.range.end_us;
                last.sessions.append(&mut column.sessions);
            }
            _ => joined.push((is_pair, column)),
        }
    }
    let keyed = joined
        .into_iter()
        .map(|(is_pair, stretch)| ((is_pair, stretch.range), stretch));
    keyed.collect()
}

fn units_of(stretches: Stretches, profile: &ProviderProfile) -> Vec<FetchUnit> {
    let mut units = Vec::new();
    for stretch in stretches.into_values() {
        let Stretch {
            range,
            sessions,
            mut symbols,
        } = stretch;
        symbols.sort();
        let session_count = as_u64(sessions.len());
        let sessions: Arc<[Session]> = sessions.into();
        let mut batch = FetchUnit {
            number: 0,
            symbols: Vec::new(),
            range,
            sessions: Arc::clone(&sessions),
            nights: Vec::new(),
            expected_rows: 0,
        };
        for (symbol, rows_per_session) in symbols {
            let rows = rows_per_session.saturating_mul(session_count);
            if rows > TARGET_ROWS_PER_UNIT && sessions.len() > 1 {
                split_by_months(&mut units, &symbol, range, &sessions, rows_per_session);
                continue;
            }
            let is_full = batch.symbols.len() >= profile.max_symbols_per_request
                || batch.expected_rows + rows > TARGET_ROWS_PER_UNIT;
            if is_full && !batch.symbols.is_empty() {
                units.push(FetchUnit {
                    symbols: std::mem::take(&mut batch.symbols),
                    ..batch.clone()
                });
                batch.expected_rows = 0;
            }
            batch.symbols.push(symbol);
            batch.expected_rows += rows;
        }
        if !batch.symbols.is_empty() {
            units.push(batch);
        }
    }
    units
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
            let rows = rows_per_session * as_u64(month_end - start);
            if end > start && rows > TARGET_ROWS_PER_UNIT {
                break;
            }
            end = month_end;
        }
        let part = InstantRange {
            start_us: sessions[start].window_start_us(),
            end_us: sessions[end - 1].window_end_us(),
        };
        units.push(FetchUnit {
            number: 0,
            symbols: vec![symbol.clone()],
            range: part.intersection(&range),
            sessions: sessions[start..end].into(),
            nights: Vec::new(),
            expected_rows: rows_per_session * as_u64(end - start),
        });
        start = end;
    }
}
