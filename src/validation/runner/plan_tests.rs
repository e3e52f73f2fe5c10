//! Which series and which of their files are read for what was asked.

use std::sync::Arc;

use super::super::fakes::{World, dataset, date, file, key, symbol};
use super::*;
use crate::domain::ports::{AskedSeries, Derivation};

/// A year of monthly files of minutes, and a derived file of each of two years.
fn world() -> Arc<World> {
    let world = World::new();
    {
        let mut things = world.things();
        for month in 1..=12 {
            let period = format!("2024-{month:02}");
            let (first, last) = (format!("{period}-02"), format!("{period}-27"));
            let key = key("AAPL", Timeframe::M1, &period);
            things.files.push(file(key, &first, &last));
        }
        for year in [2023, 2024] {
            let key = key("AAPL", Timeframe::D1, &year.to_string());
            let (first, last) = (format!("{year}-01-03"), format!("{year}-12-29"));
            things.files.push(file(key, &first, &last));
        }
        things.asked.push(asked("AAPL", "2024-01-02", "2024-12-27"));
    }
    world
}

fn asked(name: &str, first: &str, last: &str) -> AskedSeries {
    AskedSeries {
        dataset: dataset(),
        symbol: symbol(name),
        sessions: (date(first), date(last)),
    }
}

fn derivation(year: &str) -> Derivation {
    Derivation {
        key: key("AAPL", Timeframe::D1, year),
        spec_hash: String::new(),
        source_hash: String::new(),
        is_in_place: true,
    }
}

fn plan(world: &Arc<World>, request: &ValidationRequest) -> Vec<SeriesWork> {
    ValidationRunner::new(world.ports()).plan(request).unwrap()
}

fn between(first: &str, last: &str) -> ValidationRequest {
    ValidationRequest {
        sessions: Some((date(first), date(last))),
        ..ValidationRequest::default()
    }
}

/// Months of the one series' files.
fn months(work: &[SeriesWork]) -> Vec<u32> {
    let files = work.iter().flat_map(|series| &series.files);
    files
        .map(|file| file.first_session.month().month())
        .collect()
}

fn derived_years(work: &[SeriesWork]) -> (Vec<i32>, Vec<i32>) {
    let year = |period| match period {
        Period::Year(year) => year,
        Period::Month(_) => 0,
    };
    let files = work[0]
        .derived_files
        .iter()
        .map(|file| year(file.key.period));
    let made = work[0].derivations.iter().map(|made| year(made.key.period));
    (files.collect(), made.collect())
}

#[test]
fn without_sessions_everything_is_read() {
    let world = world();
    world.things().derivations = vec![derivation("2023"), derivation("2024")];
    let work = plan(&world, &ValidationRequest::default());
    assert_eq!(work.len(), 1);
    assert_eq!(months(&work), (1..=12).collect::<Vec<_>>());
    assert_eq!(derived_years(&work), (vec![2023, 2024], vec![2023, 2024]));
    assert_eq!(
        work[0].asked,
        Some((date("2024-01-02"), date("2024-12-27")))
    );
}

#[test]
fn two_months_before_those_that_are_wanted_tell_what_is_usual() {
    let world = world();
    assert_eq!(
        months(&plan(&world, &between("2024-06-10", "2024-07-05"))),
        [4, 5, 6, 7]
    );
    assert_eq!(
        months(&plan(&world, &between("2024-01-10", "2024-01-10"))),
        [1]
    );
    // A file ends and begins at its own sessions, not at those of its month.
    assert_eq!(
        months(&plan(&world, &between("2024-06-10", "2024-07-01"))),
        [4, 5, 6]
    );
    assert_eq!(
        months(&plan(&world, &between("2024-06-10", "2024-07-02"))),
        [4, 5, 6, 7]
    );
}

#[test]
fn where_something_is_derived_its_whole_year_is_read() {
    let world = world();
    world.things().derivations = vec![derivation("2023"), derivation("2024")];
    let work = plan(&world, &between("2024-06-10", "2024-07-05"));
    assert_eq!(months(&work), (1..=12).collect::<Vec<_>>());
    assert_eq!(derived_years(&work), (vec![2024], vec![2024]));
    world.things().derivations.pop();
    let work = plan(&world, &between("2024-06-10", "2024-07-05"));
    assert_eq!(
        months(&work),
        [4, 5, 6, 7],
        "another year's bars need none of these minutes"
    );
    let work = plan(&world, &between("2023-12-29", "2024-01-10"));
    assert_eq!(derived_years(&work).0, [2023, 2024]);
}

#[test]
fn a_series_without_anything_in_those_sessions_is_left_out() {
    let world = world();
    world.things().asked = vec![asked("AAPL", "2024-01-02", "2024-12-27")];
    assert_eq!(plan(&world, &between("2025-01-02", "2025-01-31")).len(), 0);
    assert_eq!(plan(&world, &between("2023-11-01", "2024-01-01")).len(), 0);
    // The months before are history, not a reason.
    world.things().asked.clear();
    assert_eq!(plan(&world, &between("2025-01-02", "2025-01-31")).len(), 0);
    assert_eq!(plan(&world, &between("2024-12-27", "2025-01-31")).len(), 1);
    assert_eq!(plan(&world, &between("2024-12-28", "2025-01-31")).len(), 0);
    assert_eq!(plan(&world, &between("2023-11-01", "2024-01-02")).len(), 1);
}

#[test]
fn sessions_that_were_asked_for_are_checked_though_no_file_has_them() {
    let world = world();
    world.things().asked = vec![asked("AAPL", "2025-02-03", "2025-02-28")];
    let is_planned = |first: &str, last: &str| !plan(&world, &between(first, last)).is_empty();
    assert!(!is_planned("2025-03-03", "2025-03-31"));
    assert!(is_planned("2025-02-28", "2025-03-31"));
    assert!(is_planned("2025-01-02", "2025-02-03"));
    assert!(!is_planned("2025-01-02", "2025-02-02"));
}

#[test]
fn a_dataset_and_symbols_limit_everything_that_is_looked_at() {
    let world = world();
    let other: Dataset = "alpaca/iex/raw".parse().unwrap();
    {
        let mut things = world.things();
        things.asked.push(asked("MSFT", "2024-07-01", "2024-07-31"));
        things.asked.push(AskedSeries {
            dataset: other.clone(),
            ..asked("AAPL", "2024-07-01", "2024-07-31")
        });
        let stray = |name: &str, path: &str| (key(name, Timeframe::M1, "2024-07"), path.to_owned());
        let mut foreign = stray("AAPL", "c.parquet");
        foreign.0.dataset = other.clone();
        things.uncatalogued = vec![
            stray("NVDA", "a.parquet"),
            stray("AAPL", "b.parquet"),
            foreign,
        ];
    }
    let planned = |request: &ValidationRequest| -> Vec<String> {
        let work = plan(&world, request);
        work.iter()
            .map(|work| {
                let strays: Vec<&str> = work.uncatalogued.iter().map(|(_, path)| &**path).collect();
                format!(
                    "{} {} {}",
                    work.dataset.feed(),
                    work.symbol,
                    strays.join(" ")
                )
            })
            .collect()
    };
    let all = [
        "iex AAPL c.parquet",
        "sip AAPL b.parquet",
        "sip MSFT ",
        "sip NVDA a.parquet",
    ];
    assert_eq!(planned(&ValidationRequest::default()), all);
    let request = ValidationRequest {
        dataset: Some(other),
        ..ValidationRequest::default()
    };
    assert_eq!(planned(&request), all[..1]);
    let request = ValidationRequest {
        symbols: vec![symbol("MSFT"), symbol("NVDA")],
        ..ValidationRequest::default()
    };
    assert_eq!(planned(&request), all[2..]);
}
