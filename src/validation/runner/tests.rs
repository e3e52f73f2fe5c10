//! Which series are checked, in what order, and what becomes of what is found.

mod keeping;

use std::sync::Arc;

use super::*;
use crate::domain::Rule;
use crate::domain::instant::MINUTE_US;
use crate::domain::ports::AskedSeries;
use crate::validation::fakes::{
    NOW_US, Seen, World, dataset, date, fault, key, regular_of, sessions_of, symbol, unproven,
};
use crate::validation::report::SeriesSummary;

/// What was told, in the order in which it was.
#[derive(Default)]
struct Told {
    found: Vec<JudgedFinding>,
    series: Vec<SeriesSummary>,
    is_broken: bool,
    stop: StopSignal,
    stops_after: Option<usize>,
}

impl FindingSink for Told {
    fn take_finding(&mut self, found: &JudgedFinding) -> Result<(), StoreError> {
        self.found.push(found.clone());
        Ok(())
    }

    fn take_series(&mut self, series: &SeriesSummary) -> Result<(), StoreError> {
        self.series.push(series.clone());
        if self.stops_after == Some(self.series.len()) {
            self.stop.stop();
        }
        if self.is_broken {
            return Err(crate::validation::fakes::failed("no space"));
        }
        Ok(())
    }
}

impl Told {
    fn symbols(&self) -> Vec<&str> {
        self.series
            .iter()
            .map(|series| series.symbol.as_str())
            .collect()
    }

    fn rules(&self) -> Vec<Rule> {
        self.found.iter().map(|found| found.finding.rule).collect()
    }
}

fn request() -> ValidationRequest {
    ValidationRequest {
        most: 100,
        ..ValidationRequest::default()
    }
}

fn run(world: &Arc<World>, request: &ValidationRequest) -> (ValidationReport, Told) {
    let mut told = Told::default();
    let stop = told.stop.clone();
    let runner = ValidationRunner::new(world.ports());
    let report = runner.run(request, &mut told, &stop).unwrap();
    (report, told)
}

fn july() -> Vec<crate::domain::Bar> {
    regular_of(&sessions_of("2024-07"))
}

/// July of these symbols, complete.
fn world_of(symbols: &[&str]) -> Arc<World> {
    let world = World::new();
    for name in symbols {
        world.store_month(name, "2024-07", &july());
    }
    world
}

fn m1(name: &str, month: &str) -> PartitionKey {
    key(name, Timeframe::M1, month)
}

/// Puts a bad VWAP into the first minutes of a month that is there.
fn spoil(world: &World, name: &str, minutes: usize) {
    let mut bars = july();
    bars[..minutes]
        .iter_mut()
        .for_each(|bar| bar.vwap = Some(90.0));
    let seen = Seen {
        rows: Some(unproven(&bars)),
        ..Seen::default()
    };
    world.things().seen.insert(m1(name, "2024-07"), seen);
}

#[test]
fn every_series_is_checked_told_and_counted() {
    let world = world_of(&["MSFT", "AAPL"]);
    world.things().tick_us = 1_500_000;
    spoil(&world, "AAPL", 2);
    let (report, told) = run(&world, &request());
    assert_eq!(told.symbols(), ["AAPL", "MSFT"]);
    assert_eq!(told.rules(), [Rule::VwapOutside; 2]);
    let minutes = 2 * (21 * 390 + 210);
    assert_eq!(
        (report.series, report.series_not_done, report.files),
        (2, 0, 2)
    );
    assert_eq!((report.minutes, report.sessions), (minutes, 44));
    assert_eq!(
        (report.minutes_present, report.minutes_expected),
        (minutes, minutes)
    );
    assert_eq!(report.open(Severity::Warning), 2);
    assert!(!report.is_stopped && report.not_kept.is_none() && report.failures.is_empty());
    // The clock is read at the start, once to keep, and at the end.
    assert_eq!(report.elapsed, Duration::from_secs(3));
    let things = world.things();
    let started = matches!(things.events[0], Event::ValidationStarted { series: 2 });
    assert!(started, "{:?}", things.events);
    assert_eq!(things.events.len(), 3);
    let Event::ValidationCompleted {
        symbol,
        minutes,
        errors,
        warnings,
        ..
    } = &things.events[1]
    else {
        panic!("{:?}", things.events);
    };
    assert_eq!(
        (symbol.as_str(), *minutes, *errors, *warnings),
        ("AAPL", 8_400, 0, 2)
    );
}

#[test]
fn a_session_is_as_bad_as_its_gravest_open_finding() {
    let world = world_of(&["AAPL"]);
    spoil(&world, "AAPL", 1);
    let worst = |world: &Arc<World>| run(world, &request()).1.series[0].sessions[0].worst;
    assert_eq!(worst(&world), Some(Severity::Warning));
    let (_, told) = run(&world, &request());
    assert_eq!(told.series[0].sessions[1].worst, None);
    let reason = "known to the provider".to_owned();
    world
        .things()
        .acknowledged
        .insert(told.found[0].id.clone(), reason.clone());
    assert_eq!(worst(&world), None);
    let (report, told) = run(&world, &request());
    assert_eq!(told.found[0].acknowledged, Some(reason));
    assert_eq!(told.found[0].id, told.found[0].finding.id());
    assert_eq!(
        (report.open(Severity::Warning), report.acknowledged()),
        (0, 1)
    );
    let things = world.things();
    let last = things.events.last().unwrap();
    assert!(
        matches!(last, Event::ValidationCompleted { warnings: 0, .. }),
        "{last:?}"
    );
}

#[test]
fn the_gravest_counts_whatever_comes_last() {
    let world = world_of(&["AAPL"]);
    let mut bars = july();
    bars[3].high = 1.0;
    bars[7].vwap = Some(90.0);
    let seen = Seen {
        rows: Some(unproven(&bars)),
        ..Seen::default()
    };
    world.things().seen.insert(m1("AAPL", "2024-07"), seen);
    let (_, told) = run(&world, &request());
    assert_eq!(told.rules(), [Rule::Inconsistent, Rule::VwapOutside]);
    assert_eq!(told.series[0].sessions[0].worst, Some(Severity::Error));
}

#[test]
fn findings_beyond_those_that_are_kept_are_counted() {
    let world = world_of(&["AAPL"]);
    spoil(&world, "AAPL", 7);
    let (report, told) = run(
        &world,
        &ValidationRequest {
            most: 3,
            ..request()
        },
    );
    assert_eq!(told.found.len(), 3);
    let count = report.rules[0];
    assert_eq!(
        (count.open, count.left_out, report.open(Severity::Warning)),
        (3, 4, 7)
    );
}

#[test]
fn series_that_lack_more_than_is_allowed_are_named() {
    let world = World::new();
    let mut bars = july();
    bars.drain(..84);
    world.store_month("AAPL", "2024-07", &bars);
    let too_incomplete = |most| {
        let request = ValidationRequest {
            max_missing_pct: most,
            ..request()
        };
        run(&world, &request).0.too_incomplete
    };
    assert_eq!(too_incomplete(None), []);
    assert_eq!(
        too_incomplete(Some(1.0)),
        [],
        "84 of 8,400 are just one percent"
    );
    let named = too_incomplete(Some(0.9));
    assert_eq!(named, [(dataset(), symbol("AAPL"), 1.0)]);
}

#[test]
fn a_series_that_cannot_be_checked_holds_up_no_other() {
    let world = world_of(&["AAPL", "MSFT", "NVDA"]);
    world.things().seen.remove(&m1("MSFT", "2024-07"));
    let (report, told) = run(&world, &request());
    assert_eq!(told.symbols(), ["AAPL", "NVDA"]);
    let reason = format!("cannot read {}", m1("MSFT", "2024-07"));
    assert_eq!(
        report.failures,
        [(dataset(), symbol("MSFT"), reason.clone())]
    );
    assert_eq!((report.series, report.series_not_done), (2, 0));
    let things = world.things();
    let failed = things.events.iter().any(|event| {
        matches!(event, Event::ValidationFailed { symbol, reason: told, .. }
            if symbol.as_str() == "MSFT" && *told == reason)
    });
    assert!(failed, "{:?}", things.events);
}

#[test]
fn after_a_stop_the_rest_is_counted_and_what_was_found_is_kept() {
    let names: Vec<String> = (0..300).map(|number| format!("S{number:03}")).collect();
    let world = World::new();
    for name in &names {
        let asked = AskedSeries {
            dataset: dataset(),
            symbol: symbol(name),
            sessions: (date("2024-07-01"), date("2024-07-01")),
        };
        world.things().asked.push(asked);
    }
    let mut told = Told {
        stops_after: Some(1),
        ..Told::default()
    };
    let stop = told.stop.clone();
    let runner = ValidationRunner::new(world.ports());
    let report = runner.run(&request(), &mut told, &stop).unwrap();
    assert!(report.is_stopped && report.series < 300);
    assert_eq!(report.series + report.series_not_done, 300);
    let things = world.things();
    let kept: usize = things.kept.iter().map(Vec::len).sum();
    assert_eq!(
        kept, report.series,
        "nothing is said of the dataset as a whole"
    );
}

#[test]
fn a_sink_that_fails_ends_the_run() {
    let world = world_of(&["AAPL"]);
    let mut told = Told {
        is_broken: true,
        ..Told::default()
    };
    let runner = ValidationRunner::new(world.ports());
    let failed = runner.run(&request(), &mut told, &StopSignal::default());
    assert_eq!(failed.unwrap_err().to_string(), "no space");
}

#[test]
fn now_is_when_the_run_began() {
    let world = World::new();
    let last = sessions_of("2024-07")[21];
    let mut bars = july();
    bars.truncate(21 * 390 + 210 - 360);
    world.store_month("AAPL", "2024-07", &bars);
    world.things().now_us = last.open_us() + 30 * MINUTE_US;
    world.things().tick_us = MINUTE_US;
    let (report, told) = run(&world, &request());
    assert_eq!(told.found, []);
    assert_eq!(report.minutes_expected, 21 * 390 - 390 + 210 + 30);
    assert!(NOW_US > last.close_us());
}
