//! A plan of exactly the sessions that somebody already has: files are not asked what is missing, they say what they hold.
//! Pure.

use std::collections::BTreeMap;

use crate::domain::{InstantRange, Session, SessionDate, Symbol};

use super::plan::{FetchUnit, IngestPlan, SymbolPlan};

/// Some sessions of one symbol that are fetched together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSessions {
    /// The symbol.
    pub symbol: Symbol,
    /// The sessions, ascending, none of them in another entry of the same symbol.
    pub sessions: Vec<Session>,
    /// Those among them of which only the time before their pre-market open is known.
    pub nights: Vec<SessionDate>,
    /// Rows that are there.
    pub rows: u64,
}

/// A unit of fetching for each of `held`; what the ledger holds of these sessions makes no difference.
pub fn plan_exactly(held: &[HeldSessions]) -> IngestPlan {
    let mut plan = IngestPlan::default();
    let mut symbols: BTreeMap<&Symbol, SymbolPlan> = BTreeMap::new();
    for part in held {
        let (Some(first), Some(last)) = (part.sessions.first(), part.sessions.last()) else {
            continue;
        };
        plan.units.push(FetchUnit {
            number: u32::try_from(plan.units.len()).unwrap_or(u32::MAX),
            symbols: vec![part.symbol.clone()],
            range: InstantRange {
                start_us: first.window_start_us(),
                end_us: last.window_end_us(),
            },
            sessions: part.sessions.as_slice().into(),
            nights: part.nights.clone(),
            expected_rows: part.rows,
        });
        let symbol = symbols.entry(&part.symbol).or_insert_with(|| SymbolPlan {
            symbol: part.symbol.clone(),
            sessions: 0,
            sessions_to_fetch: 0,
            skipped: BTreeMap::new(),
            expected_rows: 0,
            held_rows: 0,
        });
        symbol.sessions += part.sessions.len();
        symbol.sessions_to_fetch += part.sessions.len();
        symbol.expected_rows += part.rows;
    }
    plan.symbols = symbols.into_values().collect();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Calendar;

    #[test]
    fn only_sessions_that_are_there_are_asked_for() {
        let session = |date: &str| {
            Calendar::nyse()
                .session(date.parse().unwrap())
                .unwrap()
                .unwrap()
        };
        let part = |symbol: &str, dates: &[&str]| HeldSessions {
            symbol: symbol.parse().unwrap(),
            sessions: dates.iter().map(|date| session(date)).collect(),
            nights: Vec::new(),
            rows: 5,
        };
        let held = [
            part("AAPL", &["2024-06-28"]),
            part("AAPL", &["2024-07-01", "2024-07-03"]),
            part("MSFT", &[]),
        ];
        let plan = plan_exactly(&held);
        let sessions: Vec<usize> = plan.units.iter().map(|unit| unit.sessions.len()).collect();
        assert_eq!(
            sessions,
            [1, 2],
            "the session between the two is not asked for"
        );
        assert_eq!(plan.symbols.len(), 1);
        assert_eq!(
            (plan.symbols[0].sessions_to_fetch, plan.expected_rows()),
            (3, 10)
        );
        assert!(
            plan.units
                .iter()
                .zip(0..)
                .all(|(unit, number)| unit.number == number)
        );
    }
}
