//! One series from its files to its findings.

use std::sync::Arc;

use super::super::fakes::{
    NOW_US, Seen, World, dataset, date, fault, file, key, quiet, regular, regular_of, session,
    sessions_of, symbol, unproven,
};
use super::*;
use crate::domain::bar_batch::UnprovenBars;
use crate::domain::services::market_data_validation::Thresholds;
use crate::domain::{AggregationChoice, Bar, Timeframe};

/// A month of a symbol, complete, with its ledger.
fn july() -> Arc<World> {
    let world = World::new();
    world.store_month("AAPL", "2024-07", &regular_of(&sessions_of("2024-07")));
    world
}

/// Everything that is known of the symbol.
fn work_of(world: &World) -> SeriesWork {
    let things = world.things();
    let (files, derived_files) = things
        .files
        .iter()
        .cloned()
        .partition(|file| file.key.timeframe == Timeframe::M1);
    SeriesWork {
        dataset: dataset(),
        symbol: symbol("AAPL"),
        files,
        asked: things.asked.first().map(|asked| asked.sessions),
        derivations: things.derivations.clone(),
        derived_files,
        uncatalogued: things.uncatalogued.clone(),
    }
}

fn check_of(
    world: &Arc<World>,
    work: &SeriesWork,
    sessions: Option<(SessionDate, SessionDate)>,
) -> SeriesOutcome {
    let (ports, severities) = (world.ports(), Severities::default());
    let rules = MarketDataValidationService::new(Thresholds::default(), NOW_US);
    let checks = SeriesChecks {
        ports: &ports,
        rules: &rules,
        severities: &severities,
        sessions,
        most: 100,
        derived: DerivedChecks {
            inspector: &**world,
            aggregator: &**world,
            choice: AggregationChoice::default(),
        },
        now_us: NOW_US,
    };
    check(&checks, work).unwrap()
}

fn checked(world: &Arc<World>) -> SeriesOutcome {
    check_of(world, &work_of(world), None)
}

fn rules(outcome: &SeriesOutcome) -> Vec<Rule> {
    outcome.findings.iter().map(|found| found.rule).collect()
}

/// Puts other rows in place of a month's.
fn hold(world: &World, month: &str, change: impl FnOnce(&mut Seen)) {
    let mut things = world.things();
    change(
        things
            .seen
            .get_mut(&key("AAPL", Timeframe::M1, month))
            .unwrap(),
    );
}

#[test]
fn a_sound_series_has_no_findings_and_is_counted() {
    let outcome = checked(&july());
    assert_eq!(outcome.findings, []);
    // 21 sessions and the half day before the fourth.
    let (present, expected) = outcome.summary.minutes();
    assert_eq!((present, expected), (21 * 390 + 210, 21 * 390 + 210));
    assert_eq!((outcome.files, outcome.minutes), (1, present));
    assert_eq!(outcome.summary.sessions.len(), 22);
    assert_eq!(
        (outcome.summary.dataset, outcome.summary.symbol),
        (dataset(), symbol("AAPL"))
    );
    assert!(!outcome.has_changed);
}

#[test]
fn what_a_series_has_too_much_of_is_counted() {
    let world = july();
    let mut bars = regular_of(&sessions_of("2024-07"));
    bars[..103].iter_mut().for_each(|bar| bar.vwap = Some(90.0));
    hold(&world, "2024-07", |seen| seen.rows = Some(unproven(&bars)));
    let outcome = checked(&world);
    assert_eq!(outcome.findings.len(), 100);
    assert_eq!(
        outcome.summary.left_out,
        [(Rule::VwapOutside, Severity::Warning, 3)]
    );
}

#[test]
fn years_without_minutes_still_have_their_derived_files_looked_at() {
    let world = july();
    let stray = file(
        key("AAPL", Timeframe::D1, "2021"),
        "2021-01-04",
        "2021-12-31",
    );
    world.things().files.push(stray);
    world.derive_year("AAPL", Timeframe::M5, 2022, &[]);
    {
        let mut things = world.things();
        things.files.pop();
        things.derivations[0].source_hash = "of minutes that are gone".into();
    }
    let outcome = checked(&world);
    let found: Vec<_> = outcome
        .findings
        .iter()
        .map(|found| (found.rule, found.timeframe, found.session.unwrap().year()))
        .collect();
    assert_eq!(
        found,
        [
            (Rule::DerivedStale, Timeframe::D1, 2021),
            (Rule::DerivedStale, Timeframe::M5, 2022)
        ]
    );
}

#[test]
fn derived_bars_are_compared_with_the_minutes_of_their_own_year() {
    let world = july();
    world.store_month("AAPL", "2023-07", &regular_of(&sessions_of("2023-07")));
    world
        .things()
        .files
        .sort_by(|one, other| one.key.cmp(&other.key));
    for year in [2023, 2024] {
        let bars = regular_of(&sessions_of(&format!("{year}-07")));
        world.derive_year("AAPL", Timeframe::M5, year, &bars);
    }
    let mut work = work_of(&world);
    // What lies between is somebody else's concern.
    work.asked = None;
    let found = |work: &SeriesWork| {
        let mut rules = rules(&check_of(&world, work, None));
        rules.retain(|rule| *rule != Rule::MissingSession);
        rules
    };
    assert_eq!(found(&work), []);
    // Minutes that are not as they should be are no measure.
    hold(&world, "2024-07", |seen| {
        let mut bars = regular_of(&sessions_of("2024-07"));
        bars[5].volume = 7.0;
        seen.rows = Some(unproven(&bars));
    });
    assert_eq!(found(&work), [Rule::DerivedDiffers]);
    hold(&world, "2024-07", |seen| {
        seen.faults = vec![fault(Rule::NotAsCatalogued)]
    });
    assert_eq!(found(&work), [Rule::NotAsCatalogued]);
    hold(&world, "2024-07", |seen| {
        let mut bars = regular_of(&sessions_of("2024-07"));
        bars[5].volume = -7.0;
        *seen = Seen {
            rows: Some(unproven(&bars)),
            ..Seen::default()
        };
    });
    assert_eq!(found(&work), [Rule::BadVolume]);
}

#[test]
fn sessions_of_an_unread_file_are_those_of_the_ledger_for_the_whole_month() {
    let world = july();
    hold(&world, "2024-07", |seen| {
        *seen = Seen {
            faults: vec![fault(Rule::Unreadable)],
            ..Seen::default()
        };
    });
    let mut work = work_of(&world);
    // The file holds less than its month.
    work.files[0].first_session = date("2024-07-10");
    work.files[0].last_session = date("2024-07-12");
    let outcome = check_of(&world, &work, None);
    assert_eq!(rules(&outcome), [Rule::Unreadable]);
    assert_eq!(outcome.findings[0].session, Some(date("2024-07-10")));
    assert_eq!((outcome.files, outcome.minutes), (1, 0));
    assert_eq!(outcome.summary.missing_pct(), 0.0);
}

#[test]
fn rows_are_held_by_the_session_of_the_calendar_whatever_they_say_of_themselves() {
    let world = july();
    hold(&world, "2024-07", |seen| {
        let rows = seen.rows.take().unwrap();
        let mut days = rows.session_days().to_vec();
        // The last row of the first session calls itself one of the second, and a whole session one of no session.
        days[389] = days[390];
        let fifth = days.iter().position(|&day| day == days[0] + 4).unwrap();
        let saturday = days[0] + 5;
        days[fifth..fifth + 390].fill(saturday);
        seen.rows = UnprovenBars::new(rows.columns().clone(), days, rows.segments().to_vec());
    });
    let outcome = checked(&world);
    assert!(
        outcome
            .findings
            .iter()
            .all(|found| found.rule == Rule::WrongSession)
    );
    assert!(!outcome.findings.is_empty());
    assert_eq!(outcome.summary.missing_pct(), 0.0);
}

#[test]
fn faulty_rows_are_held_too_in_the_minute_in_which_they_lie() {
    let world = july();
    hold(&world, "2024-07", |seen| {
        let mut bars = regular_of(&sessions_of("2024-07"));
        bars[3].high = 1.0;
        bars[7].ts_us += 1_000_000;
        seen.rows = Some(unproven(&bars));
    });
    let outcome = checked(&world);
    assert_eq!(rules(&outcome), [Rule::Inconsistent, Rule::OffMinute]);
    assert_eq!(outcome.summary.missing_pct(), 0.0);
}

#[test]
fn rows_outside_the_frame_are_counted_in_their_session() {
    let world = World::new();
    let sunday = session("2024-07-08").minute_ts_us(0) - 10 * MINUTE_US;
    let mut bars: Vec<Bar> = regular_of(&sessions_of("2024-07"));
    let at = bars.partition_point(|bar| bar.ts_us < sunday);
    bars.insert(at, quiet(sunday));
    world.store_month("AAPL", "2024-07", &bars);
    assert_eq!(rules(&checked(&world)), [Rule::MarketClosed]);
    hold(&world, "2024-07", |seen| {
        bars.remove(at);
        seen.rows = Some(unproven(&bars));
    });
    let outcome = checked(&world);
    assert_eq!(rules(&outcome), [Rule::LedgerDiffers]);
    assert_eq!(outcome.findings[0].session, Some(date("2024-07-08")));
}

#[test]
fn stray_files_are_told_once_a_partition() {
    let world = july();
    let stray = |frame, period: &str, path: &str| (key("AAPL", frame, period), path.to_owned());
    world.things().uncatalogued = vec![
        stray(Timeframe::M1, "2024-07", "a.parquet"),
        stray(Timeframe::M1, "2024-07", "b.parquet"),
        stray(Timeframe::D1, "2024", "c.parquet"),
    ];
    let outcome = checked(&world);
    let found: Vec<_> = outcome
        .findings
        .iter()
        .map(|found| (found.timeframe, &*found.value, &*found.message))
        .collect();
    assert_eq!(
        found,
        [
            (
                Timeframe::D1,
                "c.parquet",
                "c.parquet lies in the lake and is not in the catalog"
            ),
            (
                Timeframe::M1,
                "a.parquet, b.parquet",
                "a.parquet, b.parquet lie in the lake and are not in the catalog"
            ),
        ]
    );
    assert_eq!(rules(&outcome), [Rule::Uncatalogued; 2]);
    assert_eq!(outcome.findings[1].session, Some(date("2024-07-01")));
}

#[test]
fn sessions_are_those_asked_for_and_those_held() {
    let spans = |asked: Option<(&str, &str)>, wanted: Option<(&str, &str)>| {
        let world = july();
        let dates = |(first, last): (&str, &str)| (date(first), date(last));
        let mut work = work_of(&world);
        work.asked = asked.map(dates);
        let facts = check_of(&world, &work, wanted.map(dates)).summary.sessions;
        let ends = facts.first().zip(facts.last());
        ends.map(|(first, last)| (first.date.to_string(), last.date.to_string()))
    };
    let of = |first: &str, last: &str| Some((first.to_owned(), last.to_owned()));
    assert_eq!(spans(None, None), of("2024-07-01", "2024-07-31"));
    assert_eq!(
        spans(Some(("2024-07-10", "2024-08-02")), None),
        of("2024-07-01", "2024-08-02")
    );
    assert_eq!(
        spans(Some(("2024-06-03", "2024-07-10")), None),
        of("2024-06-03", "2024-07-31")
    );
    assert_eq!(
        spans(None, Some(("2024-07-10", "2024-07-12"))),
        of("2024-07-10", "2024-07-12")
    );
    assert_eq!(
        spans(None, Some(("2024-07-31", "2025-01-31"))),
        of("2024-07-31", "2024-07-31")
    );
    assert_eq!(spans(None, Some(("2024-08-01", "2024-08-31"))), None);
    let nothing = SeriesWork {
        files: Vec::new(),
        asked: None,
        ..work_of(&july())
    };
    assert_eq!(check_of(&july(), &nothing, None).summary.sessions, []);
}

#[test]
fn minutes_that_the_plan_does_not_include_are_told_as_such() {
    let world = july();
    {
        let mut things = world.things();
        things.records.pop();
        things.not_entitled = vec![date("2024-07-31")];
    }
    hold(&world, "2024-07", |seen| {
        let last = regular(&session("2024-07-31"));
        let bars = regular_of(&sessions_of("2024-07"));
        seen.rows = Some(unproven(&bars[..bars.len() - last.len()]));
    });
    let outcome = checked(&world);
    assert_eq!(rules(&outcome), [Rule::MissingSession]);
    assert_eq!(outcome.findings[0].value, "not entitled");
}

#[test]
fn doubtful_is_what_a_commit_meanwhile_could_have_made() {
    assert!(!checked(&july()).is_doubtful());
    let world = july();
    hold(&world, "2024-07", |seen| seen.is_other = true);
    let outcome = checked(&world);
    assert!(outcome.has_changed && outcome.is_doubtful());
    let with = |change: fn(&mut Vec<Bar>), is_recorded| {
        let world = World::new();
        let mut bars = regular_of(&sessions_of("2024-07"));
        change(&mut bars);
        if is_recorded {
            world.store_month("AAPL", "2024-07", &bars);
        } else {
            world.store_month("AAPL", "2024-07", &regular_of(&sessions_of("2024-07")));
            hold(&world, "2024-07", |seen| seen.rows = Some(unproven(&bars)));
        }
        let outcome = checked(&world);
        assert!(!outcome.findings.is_empty());
        outcome.is_doubtful()
    };
    let silent = |bars: &mut Vec<Bar>| _ = bars.remove(9);
    assert!(with(silent, false), "the ledger differs");
    assert!(!with(silent, true), "no trade is information");
    assert!(
        !with(|bars| bars[9].vwap = Some(90.0), true),
        "one file tells it all"
    );
}
