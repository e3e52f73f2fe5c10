//! What is said of derived bars whose minutes, spec or rows are not those they were made from.

use std::sync::Arc;

use super::super::fakes::{
    World, batch, dataset, date, derived, fault, file, key, quiet, regular, session, spec,
};
use super::*;
use crate::domain::instant::MINUTE_US;
use crate::domain::rule::Severities;
use crate::domain::{Bar, ClosingAuction, Dataset, Finding, Severity};

/// One month of minutes and what was derived from it.
struct Year {
    world: Arc<World>,
    minutes: Option<Vec<Bar>>,
    sources: Vec<PartitionFile>,
    choice: AggregationChoice,
    wanted: Option<(SessionDate, SessionDate)>,
}

fn day() -> Vec<Bar> {
    regular(&session("2024-07-02"))
}

fn source() -> PartitionFile {
    file(
        key("AAPL", Timeframe::M1, "2024-07"),
        "2024-07-02",
        "2024-07-31",
    )
}

/// A year whose bars of these frames are what its minutes give.
fn year(frames: &[Timeframe]) -> Year {
    let world = World::new();
    world.things().files.push(source());
    for &frame in frames {
        world.derive_year("AAPL", frame, 2024, &day());
    }
    Year {
        world,
        minutes: Some(day()),
        sources: vec![source()],
        choice: AggregationChoice::default(),
        wanted: None,
    }
}

impl Year {
    fn keeps(&self, frame: Timeframe, bars: &[Bar]) {
        let key = key("AAPL", frame, "2024");
        let mut things = self.world.things();
        things.kept_bars.get_mut(&key).unwrap().bars = derived(bars);
    }

    fn check(&self) -> Vec<Finding> {
        let (derivations, files) = {
            let things = self.world.things();
            (things.derivations.clone(), things.files.clone())
        };
        let derived_files = files
            .iter()
            .filter(|file| file.key.timeframe != Timeframe::M1);
        let year = DerivedYear {
            period: Period::Year(2024),
            derivations: derivations.iter().collect(),
            files: derived_files
                .map(|file| (file.key.timeframe, file))
                .collect(),
            sources: self.sources.iter().collect(),
        };
        let checks = DerivedChecks {
            inspector: &*self.world,
            aggregator: &*self.world,
            choice: self.choice,
        };
        let (dataset, severities): (Dataset, _) = (dataset(), Severities::default());
        let mut findings = Collector::new(&dataset, None, &severities, self.wanted, 100);
        let minutes = self.minutes.as_ref().map(|bars| [batch(bars)]);
        let minutes = minutes.as_ref().map(|batches| &batches[..]);
        super::check(&checks, Calendar::nyse(), &year, minutes, &mut findings).unwrap();
        findings.finish().0
    }
}

fn rules(findings: &[Finding]) -> Vec<(Rule, Timeframe)> {
    let places = findings.iter();
    places.map(|found| (found.rule, found.timeframe)).collect()
}

#[test]
fn bars_that_their_minutes_give_are_as_they_should_be() {
    assert_eq!(year(&[]).check(), []);
    assert_eq!(year(&[Timeframe::M5, Timeframe::D1]).check(), []);
}

#[test]
fn bars_of_other_minutes_are_stale_whatever_they_hold() {
    let mut year = year(&[Timeframe::M5, Timeframe::D1]);
    year.sources[0].content_hash = "other rows".into();
    year.keeps(Timeframe::M5, &[]);
    let found = year.check();
    assert_eq!(
        rules(&found),
        [
            (Rule::DerivedStale, Timeframe::M5),
            (Rule::DerivedStale, Timeframe::D1)
        ]
    );
    assert_eq!(
        found[0].message,
        "the 5m bars of 2024 are older than their minutes"
    );
    assert_eq!(
        (found[0].session, found[0].severity, &*found[0].value),
        (Some(date("2024-07-02")), Severity::Warning, "2024")
    );
    assert_eq!(found[0].expected, "made from the minutes that are stored");
    year.sources.clear();
    let found = year.check();
    assert_eq!(found.len(), 2, "all minutes are gone");
    assert_eq!(found[0].session, Some(date("2024-01-01")));
}

#[test]
fn bars_of_another_spec_are_stale_for_the_frames_that_it_changes() {
    let mut year = year(&[Timeframe::M5, Timeframe::D1]);
    year.choice.closing_auction = ClosingAuction::Include;
    let found = year.check();
    assert_eq!(rules(&found), [(Rule::DerivedStale, Timeframe::D1)]);
    assert_eq!(
        found[0].message,
        "the 1d bars of 2024 were made by another spec than the configuration's"
    );
}

#[test]
fn a_file_that_nobody_recorded_is_stale() {
    let year = year(&[Timeframe::M5, Timeframe::D1]);
    year.world.things().derivations.remove(0);
    let found = year.check();
    assert_eq!(rules(&found), [(Rule::DerivedStale, Timeframe::M5)]);
    assert_eq!(
        found[0].message,
        "the 5m bars of 2024 are kept without a record of what they were made from"
    );
    year.world.things().derivations.clear();
    assert_eq!(year.check().len(), 2);
}

#[test]
fn a_bar_that_differs_is_told_with_what_its_minutes_give() {
    let year = year(&[Timeframe::M5, Timeframe::D1]);
    let mut bars = day();
    bars[7].volume = 5.0;
    year.keeps(Timeframe::M5, &bars);
    let found = year.check();
    assert_eq!(rules(&found), [(Rule::DerivedDiffers, Timeframe::M5)]);
    let found = &found[0];
    assert_eq!(
        (found.session, found.ts_us),
        (Some(date("2024-07-02")), Some(bars[7].ts_us))
    );
    assert_eq!(
        (found.bar, found.severity),
        (Some(bars[7]), Severity::Error)
    );
    assert_eq!(
        found.message,
        "the bar at 2024-07-02T13:37:00Z has volume 5, its minutes give 1000"
    );
}

#[test]
fn missing_and_surplus_bars_are_found_at_their_times_and_move_no_others() {
    let year = year(&[Timeframe::M5]);
    let mut bars = day();
    let missing = bars.remove(3);
    let surplus = quiet(session("2024-07-02").open_us() - MINUTE_US);
    bars.insert(0, surplus);
    year.keeps(Timeframe::M5, &bars);
    let found = year.check();
    let places: Vec<_> = found
        .iter()
        .map(|found| (found.ts_us.unwrap(), found.bar))
        .collect();
    assert_eq!(
        places,
        [
            (surplus.ts_us, Some(surplus)),
            (missing.ts_us, Some(missing))
        ]
    );
    assert!(found[0].message.ends_with("should not exist"));
    assert!(found[1].message.ends_with("is missing"));
    year.keeps(Timeframe::M5, &day()[..388]);
    assert_eq!(year.check().len(), 2, "the last two");
}

#[test]
fn five_differences_of_a_partition_are_told() {
    let year = year(&[Timeframe::M5, Timeframe::D1]);
    year.keeps(Timeframe::M5, &day()[4..]);
    assert_eq!(year.check().len(), 4);
    year.keeps(Timeframe::M5, &[]);
    let found = year.check();
    let times: Vec<_> = found.iter().map(|found| found.ts_us.unwrap()).collect();
    let first: Vec<_> = day()[..5].iter().map(|bar| bar.ts_us).collect();
    assert_eq!(times, first);
    year.keeps(Timeframe::D1, &[]);
    assert_eq!(year.check().len(), 10, "five each");
}

#[test]
fn differences_count_in_the_sessions_that_are_wanted() {
    let mut year = year(&[]);
    let days = [day(), regular(&session("2024-07-03"))].concat();
    year.world.derive_year("AAPL", Timeframe::M5, 2024, &days);
    year.minutes = Some(days);
    year.keeps(Timeframe::M5, &[]);
    let wanted = date("2024-07-03");
    year.wanted = Some((wanted, wanted));
    let found = year.check();
    assert_eq!(found.len(), 5, "none of them is lost to the day before");
    assert!(found.iter().all(|found| found.session == Some(wanted)));
}

#[test]
fn bars_that_should_have_a_file_and_have_none_are_missing() {
    let year = year(&[Timeframe::M5]);
    year.world
        .things()
        .files
        .retain(|file| file.key.timeframe == Timeframe::M1);
    let found = year.check();
    assert_eq!(found.len(), 5);
    assert!(found[0].message.ends_with("is missing"));
}

#[test]
fn faults_of_a_derived_file_are_told_and_its_bars_compared_if_there_are_any() {
    let mut year = year(&[Timeframe::M5]);
    year.world.things().derived_faults = vec![fault(Rule::NotAsCatalogued)];
    year.keeps(Timeframe::M5, &day()[1..]);
    let of_file = (Rule::NotAsCatalogued, Timeframe::M5);
    let found = year.check();
    assert_eq!(
        rules(&found),
        [of_file, (Rule::DerivedDiffers, Timeframe::M5)]
    );
    assert_eq!(
        (
            found[0].session,
            &*found[0].value,
            &*found[0].expected,
            &*found[0].message
        ),
        (
            Some(date("2024-07-02")),
            "damaged",
            "whole",
            "the file is damaged"
        )
    );
    year.world.things().kept_bars.clear();
    assert_eq!(rules(&year.check()), [of_file]);
    year.wanted = Some((date("2023-01-03"), date("2023-12-29")));
    assert_eq!(year.check(), []);
}

#[test]
fn a_file_that_was_made_anew_meanwhile_is_not_compared() {
    for change in [
        (|kept: &mut crate::domain::ports::KeptBars| kept.spec = "another".into()) as fn(&mut _),
        |kept| kept.sources[0].content_hash = "other rows".into(),
    ] {
        let year = year(&[Timeframe::M5]);
        year.keeps(Timeframe::M5, &[]);
        let key = key("AAPL", Timeframe::M5, "2024");
        change(year.world.things().kept_bars.get_mut(&key).unwrap());
        assert_eq!(year.check(), []);
    }
    assert_ne!(spec(Timeframe::M5).canonical(), "another");
}

#[test]
fn minutes_that_cannot_be_trusted_prove_nothing_but_age() {
    let mut year = year(&[Timeframe::M5]);
    year.keeps(Timeframe::M5, &[]);
    year.minutes = None;
    assert_eq!(year.check(), []);
    year.sources[0].content_hash = "other rows".into();
    assert_eq!(rules(&year.check()), [(Rule::DerivedStale, Timeframe::M5)]);
}

#[test]
fn an_engine_that_fails_is_told_for_every_frame() {
    let year = year(&[Timeframe::M5, Timeframe::D1]);
    year.world.things().cannot_aggregate = true;
    let found = year.check();
    assert_eq!(
        rules(&found),
        [
            (Rule::DerivedDiffers, Timeframe::M5),
            (Rule::DerivedDiffers, Timeframe::D1)
        ]
    );
    assert_eq!(found[0].message, "fake cannot aggregate: no memory");
    assert_eq!(
        (found[0].session, &*found[0].value),
        (Some(date("2024-07-02")), "2024")
    );
}

#[test]
fn what_a_file_of_minutes_without_a_known_session_lacks_is_told_under_its_first_day() {
    let (dataset, severities) = (dataset(), Severities::default());
    let mut findings = Collector::new(&dataset, None, &severities, None, 100);
    let key = key("AAPL", Timeframe::M1, "2024-07");
    note_file_faults(&[fault(Rule::Unreadable)], &key, None, &mut findings);
    let found = &findings.finish().0[0];
    assert_eq!(
        (found.session, found.timeframe),
        (Some(date("2024-07-01")), Timeframe::M1)
    );
}
