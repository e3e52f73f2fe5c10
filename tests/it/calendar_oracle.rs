//! The trading calendar against an independent one, session by session.

use marketpipe::domain::{Calendar, SessionDate};

use crate::support::{oracle_python, oracle_script};

#[test]
fn every_session_since_1990_opens_and_closes_as_the_independent_calendar_says() {
    let Some(mut python) = oracle_python() else {
        return;
    };
    let output = python
        .arg(oracle_script("nyse_calendar.py"))
        .arg("--check")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let oracle: Vec<(SessionDate, i64, i64)> = text
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let instant = |text: &str| {
                chrono::DateTime::parse_from_rfc3339(text)
                    .unwrap()
                    .timestamp_micros()
            };
            (
                fields[0].parse().unwrap(),
                instant(fields[1]),
                instant(fields[2]),
            )
        })
        .collect();
    let (first, last) = ("1990-01-01".parse().unwrap(), "2027-10-31".parse().unwrap());
    let ours: Vec<_> = Calendar::nyse()
        .sessions(first, last)
        .unwrap()
        .iter()
        .map(|session| (session.date(), session.open_us(), session.close_us()))
        .collect();
    assert!(oracle.len() > 9_500, "{} sessions", oracle.len());
    assert_eq!(ours, oracle);
}
