//! What the JUnit document and the page say of a run, from its report.

use super::page_lines::sessions_drawn;
use super::*;
use crate::domain::{Calendar, SessionDate};

fn series(count: usize) -> ValidationReport {
    ValidationReport {
        series: count,
        ..ValidationReport::default()
    }
}

fn stopped(checked: usize, not_done: usize) -> ValidationReport {
    ValidationReport {
        series_not_done: not_done,
        is_stopped: true,
        ..series(checked)
    }
}

fn failed(mut report: ValidationReport, symbol: &str) -> ValidationReport {
    let dataset = "alpaca/sip/raw".parse().unwrap();
    let failure = (dataset, symbol.parse().unwrap(), "disk gone".to_owned());
    report.failures.push(failure);
    report
}

fn day(text: &str) -> SessionDate {
    text.parse().unwrap()
}

#[test]
fn a_run_says_how_much_of_it_is_missing() {
    let words = |report: &ValidationReport| how_partial(report).unwrap_or_default();
    assert_eq!(words(&series(3)), "");
    assert_eq!(
        words(&stopped(3, 4)),
        "3 of 7 series were checked, the run was ended with 4 still to go"
    );
    assert_eq!(
        words(&failed(series(1), "MSFT")),
        "1 of 2 series was checked, 1 could not be"
    );
    assert_eq!(
        words(&failed(stopped(1_200, 4), "MSFT")),
        "1,200 of 1,205 series were checked, 1 could not be, the run was ended with 4 still to go"
    );
    assert_eq!(
        words(&stopped(2, 0)),
        "2 of 2 series were checked, the run was ended before it compared them with one another"
    );
}

#[test]
fn the_junit_document_of_an_ended_run_has_an_error_whatever_fails_a_case() {
    let junit = |report: &ValidationReport| {
        let mut reports = Reports::default();
        reports.collect_junit(true);
        reports.junit(report, None)
    };
    assert!(!junit(&series(3)).contains("<error"));
    let ended = junit(&failed(stopped(3, 4), "MSFT"));
    assert!(
        ended.contains("<property name=\"partial\" value=\"3 of 8 series were checked, "),
        "{ended}"
    );
    assert!(ended.contains("<testsuite name=\"alpaca/sip/raw MSFT\""));
    assert_eq!(ended.matches("<error").count(), 2, "{ended}");
}

#[test]
fn the_page_of_an_ended_run_says_so_and_names_what_could_not_be_checked() {
    let page = |report: &ValidationReport| Reports::default().page(report, "all", 0);
    assert_eq!(page(&series(3)).partial, None);
    let ended = page(&failed(stopped(3, 4), "MSFT"));
    let said = ended.partial.unwrap();
    assert!(said.starts_with("3 of 8 series were checked, "), "{said}");
    let [line] = &ended.not_checked[..] else {
        panic!("one series could not be checked");
    };
    assert_eq!(
        (line.series.as_str(), line.reason.as_str()),
        ("alpaca/sip/raw MSFT", "disk gone")
    );
}

#[test]
fn the_page_was_made_in_a_whole_second_that_has_begun() {
    let made = |ended_us| Reports::default().page(&series(1), "all", ended_us);
    assert_eq!(
        made(1_719_927_000_999_999).generated,
        "2024-07-02T13:30:00Z"
    );
    assert_eq!(made(-1).generated, "1969-12-31T23:59:59Z");
}

#[test]
fn a_chart_begins_in_the_trading_session_before() {
    let first = |symbol: &str, session| sessions_drawn(&symbol.parse().unwrap(), day(session)).0;
    // A Monday, and the Tuesday after a Monday off.
    assert_eq!(first("AAPL", "2024-07-08"), day("2024-07-05"));
    assert_eq!(first("AAPL", "2024-05-28"), day("2024-05-24"));
    assert_eq!(first("AAPL", "2024-07-05"), day("2024-07-03"));
    assert_eq!(first("BTC/USD", "2024-07-08"), day("2024-07-07"));
    // Nothing is known of the day before the calendar's first session.
    let (calendar_first, _) = Calendar::nyse().coverage();
    let alone = sessions_drawn(&"AAPL".parse().unwrap(), calendar_first);
    assert_eq!(alone, (calendar_first, calendar_first));
}
