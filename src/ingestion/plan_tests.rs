//! Tests of the planner: which sessions are asked for, and how requests are packed.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::packing::TARGET_ROWS_PER_UNIT;
use super::*;
use crate::domain::minute_set::MinuteSet;
use crate::domain::services::ohlcv_calculation::DailySummary;

fn profile() -> ProviderProfile {
    ProviderProfile {
        name: "alpaca".into(),
        dataset: "alpaca/sip/raw".parse().unwrap(),
        is_real: true,
        max_symbols_per_request: 200,
        rows_per_page: 10_000,
        hold_back_us: 16 * MINUTE_US,
        requests_per_minute: Some(200),
    }
}

fn date(text: &str) -> SessionDate {
    text.parse().unwrap()
}

fn session(text: &str) -> Session {
    Calendar::nyse().session(date(text)).unwrap().unwrap()
}

/// Noon in New York on a day in July.
fn noon(day: &str) -> i64 {
    session(day).open_us() + 150 * MINUTE_US
}

fn record(day: &str, asked_at_us: i64, rows: u16) -> SessionRecord {
    let session = session(day);
    let mut present = MinuteSet::empty();
    (0..rows).for_each(|minute| _ = present.insert(minute));
    SessionRecord {
        date: session.date(),
        asked: InstantRange {
            start_us: session.window_start_us(),
            end_us: session.window_end_us(),
        },
        asked_at_us,
        is_settled: asked_at_us
            >= Calendar::nyse()
                .next_session(session.date())
                .unwrap()
                .pre_open_us(),
        present,
        off_frame_rows: 0,
        quarantined: MinuteSet::empty(),
        summary: DailySummary::default(),
    }
}

fn days(first: &str, last: &str) -> RequestedRange {
    RequestedRange::Sessions {
        first: date(first),
        last: Some(date(last)),
    }
}

fn plan_one(
    range: RequestedRange,
    now_us: i64,
    records: Vec<SessionRecord>,
    refresh: RefreshPolicy,
) -> IngestPlan {
    let last_settled = records
        .iter()
        .filter(|record| record.is_settled)
        .map(|record| record.date)
        .max();
    let resolved = resolve_range(
        range,
        Calendar::nyse(),
        last_settled,
        now_us,
        profile().hold_back_us,
    )
    .unwrap();
    let mut planner = Planner::new(profile(), refresh);
    planner
        .add_symbol(
            "AAPL".parse().unwrap(),
            &resolved,
            &SymbolLedger { records },
        )
        .unwrap();
    planner.finish()
}

fn asked_dates(plan: &IngestPlan) -> Vec<String> {
    plan.units
        .iter()
        .flat_map(|unit| {
            unit.sessions
                .iter()
                .map(|session| session.date().to_string())
        })
        .collect()
}

#[test]
fn settled_sessions_are_never_asked_for_again_unless_refreshed() {
    let range = days("2024-07-01", "2024-07-05");
    let later = noon("2024-07-31");
    let held = vec![
        record("2024-07-02", later, 390),
        record("2024-07-03", later, 0),
    ];
    let plan = plan_one(range, later, held.clone(), RefreshPolicy::OnlyMissing);
    assert_eq!(
        asked_dates(&plan),
        ["2024-07-01", "2024-07-05"],
        "an empty settled session is settled too; 4 July is no session"
    );
    assert_eq!(
        (
            plan.symbols[0].sessions_settled(),
            plan.symbols[0].held_rows
        ),
        (2, 390)
    );
    assert_eq!(plan.symbols[0].skipped_words(), "2 settled");
    let refreshed = plan_one(
        range,
        later,
        held.clone(),
        RefreshPolicy::AskedBefore(later + 1),
    );
    assert_eq!(
        asked_dates(&refreshed),
        ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
    );
    let resumed = plan_one(
        range,
        later,
        held.clone(),
        RefreshPolicy::AskedBefore(later),
    );
    assert_eq!(
        asked_dates(&resumed),
        ["2024-07-01", "2024-07-05"],
        "a refresh that goes on asks for the rest only"
    );
    let repaired = plan_one(range, later, held, RefreshPolicy::MissingOrEmpty);
    assert_eq!(
        asked_dates(&repaired),
        ["2024-07-01", "2024-07-03", "2024-07-05"]
    );
}

#[test]
fn a_provisional_session_is_asked_for_again() {
    let asked_the_same_day = record("2024-07-02", session("2024-07-02").post_close_us(), 390);
    let plan = plan_one(
        days("2024-07-02", "2024-07-02"),
        noon("2024-07-05"),
        vec![asked_the_same_day],
        RefreshPolicy::OnlyMissing,
    );
    assert_eq!(asked_dates(&plan), ["2024-07-02"]);
}

#[test]
fn nothing_newer_than_the_hold_back_is_asked_for() {
    let now = noon("2024-07-02") + 30_000_000;
    let plan = plan_one(
        RequestedRange::Sessions {
            first: date("2024-07-01"),
            last: None,
        },
        now,
        vec![],
        RefreshPolicy::OnlyMissing,
    );
    assert_eq!(asked_dates(&plan), ["2024-07-01", "2024-07-02"]);
    assert_eq!(
        plan.units[0].range.end_us,
        noon("2024-07-02") - 16 * MINUTE_US
    );
    let future = plan_one(
        days("2024-07-08", "2024-07-09"),
        now,
        vec![],
        RefreshPolicy::OnlyMissing,
    );
    assert!(future.units.is_empty());
    assert_eq!(future.symbols[0].skipped_words(), "2 not to be had yet");
    let weekend = plan_one(
        days("2024-07-06", "2024-07-07"),
        noon("2024-07-31"),
        vec![],
        RefreshPolicy::OnlyMissing,
    );
    assert_eq!(
        weekend.symbols[0].skipped_words(),
        "no session lies in the range"
    );
}

#[test]
fn without_dates_a_new_symbol_goes_back_thirty_days_and_a_known_one_to_its_last_settled_session() {
    let now = noon("2024-07-31");
    let plan = plan_one(
        RequestedRange::Incremental,
        now,
        vec![],
        RefreshPolicy::OnlyMissing,
    );
    assert_eq!(
        asked_dates(&plan).first().map(String::as_str),
        Some("2024-07-01")
    );
    let known = plan_one(
        RequestedRange::Incremental,
        now,
        vec![record("2024-07-29", now, 390)],
        RefreshPolicy::OnlyMissing,
    );
    assert_eq!(asked_dates(&known), ["2024-07-30", "2024-07-31"]);
}

#[test]
fn a_part_of_a_session_is_asked_for_once_it_is_over_and_never_again() {
    let open = session("2024-07-02").open_us();
    let hour = InstantRange {
        start_us: open,
        end_us: open + 60 * MINUTE_US,
    };
    let later = noon("2024-07-31");
    let first = plan_one(
        RequestedRange::Instants(hour),
        later,
        vec![],
        RefreshPolicy::OnlyMissing,
    );
    assert_eq!((first.units.len(), first.units[0].range), (1, hour));
    let part = SessionRecord {
        asked: hour,
        is_settled: false,
        ..record("2024-07-02", later, 60)
    };
    let again = plan_one(
        RequestedRange::Instants(hour),
        later,
        vec![part.clone()],
        RefreshPolicy::OnlyMissing,
    );
    assert!(again.units.is_empty());
    let apart = InstantRange {
        start_us: open + 120 * MINUTE_US,
        end_us: open + 180 * MINUTE_US,
    };
    let bridged = plan_one(
        RequestedRange::Instants(apart),
        later,
        vec![part],
        RefreshPolicy::OnlyMissing,
    );
    assert_eq!(
        bridged.units[0].range,
        InstantRange {
            start_us: hour.end_us,
            end_us: apart.end_us
        },
        "the ledger keeps one range a session"
    );
}

#[test]
fn a_thousand_symbols_for_a_day_take_few_requests() {
    let now = noon("2024-07-05");
    let resolved = resolve_range(
        days("2024-07-03", "2024-07-03"),
        Calendar::nyse(),
        None,
        now,
        0,
    )
    .unwrap();
    let mut planner = Planner::new(profile(), RefreshPolicy::OnlyMissing);
    for number in 0..1000_u32 {
        let symbol: Symbol = format!("S{number}").parse().unwrap();
        planner
            .add_symbol(symbol, &resolved, &SymbolLedger::default())
            .unwrap();
    }
    let plan = planner.finish();
    assert_eq!(plan.units.len(), 5);
    let pages_of_390_rows: u64 = plan
        .units
        .iter()
        .map(|unit| (u64::try_from(unit.symbols.len()).unwrap() * 390).div_ceil(10_000))
        .sum();
    assert!(pages_of_390_rows <= 45, "{pages_of_390_rows} requests");
}

#[test]
fn long_stretches_are_cut_at_month_ends_and_cover_every_session_once() {
    let range = days("2014-01-02", "2023-12-29");
    let plan = plan_one(
        range,
        noon("2024-07-05"),
        vec![],
        RefreshPolicy::OnlyMissing,
    );
    let all = Calendar::nyse()
        .sessions(date("2014-01-02"), date("2023-12-29"))
        .unwrap();
    assert_eq!(
        asked_dates(&plan),
        all.iter()
            .map(|session| session.date().to_string())
            .collect::<Vec<_>>()
    );
    for pair in plan.units.windows(2) {
        let (last, first) = (
            pair[0].sessions.last().unwrap().date(),
            pair[1].sessions[0].date(),
        );
        assert!(
            last.month() < first.month(),
            "{last} and {first} share a file"
        );
        assert_eq!(pair[0].range.end_us, pair[1].range.start_us);
    }
    assert!(
        plan.units
            .iter()
            .all(|unit| unit.expected_rows <= TARGET_ROWS_PER_UNIT)
    );
    assert!(plan.units.len() > 5);
}

#[test]
fn an_empty_range_of_instants_asks_for_nothing() {
    let open = session("2024-07-02").open_us();
    let range = RequestedRange::Instants(InstantRange {
        start_us: open,
        end_us: open,
    });
    assert!(
        plan_one(
            range,
            noon("2024-07-05"),
            vec![],
            RefreshPolicy::OnlyMissing
        )
        .units
        .is_empty()
    );
}

/// A plan of symbols that each lack some of the sessions of July 2024, `true` for held.
fn plan_of_holes(holes: &[Vec<bool>], rows: u16) -> (IngestPlan, BTreeSet<(Symbol, SessionDate)>) {
    let now = noon("2024-08-15");
    let range = days("2024-07-01", "2024-07-31");
    let resolved = resolve_range(range, Calendar::nyse(), None, now, 0).unwrap();
    let mut planner = Planner::new(profile(), RefreshPolicy::OnlyMissing);
    let mut lacking = BTreeSet::new();
    for (number, held) in holes.iter().enumerate() {
        let symbol: Symbol = format!("S{number}").parse().unwrap();
        let mut records = Vec::new();
        for (session, is_held) in resolved
            .sessions
            .iter()
            .zip(held.iter().chain(std::iter::repeat(&false)))
        {
            if *is_held {
                records.push(record(&session.date().to_string(), now, rows));
            } else {
                lacking.insert((symbol.clone(), session.date()));
            }
        }
        planner
            .add_symbol(symbol, &resolved, &SymbolLedger { records })
            .unwrap();
    }
    (planner.finish(), lacking)
}

#[test]
fn symbols_that_lack_one_session_each_share_its_requests() {
    // A thousand symbols, each lacking another one of twenty-two sessions.
    let holes: Vec<Vec<bool>> = (0..1000)
        .map(|n| (0..22).map(|day| day != n % 22).collect())
        .collect();
    let (plan, lacking) = plan_of_holes(&holes, 390);
    assert_eq!(lacking.len(), 1000);
    assert_eq!(plan.units.len(), 22, "one a session, none a symbol");
    // As many symbols, each held up to another session: the rest of the month is cut by session as well.
    let holes: Vec<Vec<bool>> = (0..200)
        .map(|n| (0..22).map(|day| day < n % 22).collect())
        .collect();
    let (plan, _) = plan_of_holes(&holes, 390);
    assert!(plan.units.len() <= 22, "{} units", plan.units.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_missing_session_is_asked_for_exactly_once_and_pages_are_full(
        holes in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..22), 1..40),
        rows in 0_u16..900,
    ) {
        let (plan, lacking) = plan_of_holes(&holes, rows);
        let mut asked = BTreeSet::new();
        for unit in &plan.units {
            prop_assert!(unit.symbols.len() <= 200 && unit.symbols.is_sorted());
            prop_assert_eq!(unit.range.start_us, unit.sessions[0].window_start_us());
            prop_assert_eq!(unit.range.end_us, unit.sessions.last().unwrap().window_end_us());
            for symbol in &unit.symbols {
                for session in unit.sessions.iter() {
                    prop_assert!(asked.insert((symbol.clone(), session.date())), "asked for twice");
                }
            }
        }
        prop_assert_eq!(asked, lacking);
        let full_pages = plan.expected_rows().div_ceil(10_000);
        let bound = full_pages * 105 / 100 + u64::try_from(plan.units.len()).unwrap();
        prop_assert!(plan.expected_requests(10_000) <= bound);
        let of_symbols: u64 = plan.symbols.iter().map(|symbol| symbol.expected_rows).sum();
        prop_assert_eq!(of_symbols, plan.expected_rows());
    }
}
