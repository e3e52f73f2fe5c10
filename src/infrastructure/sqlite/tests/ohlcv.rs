//! Claims of the row store: quarantine and revisions.

use super::*;
use crate::domain::bar::tests::bar_at;
use crate::domain::instant::MINUTE_US;
use crate::domain::ports::{BarSelection, OhlcvRepository, QuarantinedRow, RevisionRow};
use crate::domain::{Bar, Calendar, HardRule, Timeframe};

fn rows_of(database: &Database) -> SqliteOhlcvRepository {
    SqliteOhlcvRepository::new(database.clone())
}

/// The regular open of a session.
fn open_us(day: &str) -> i64 {
    Calendar::nyse()
        .session(date(day))
        .unwrap()
        .unwrap()
        .open_us()
}

pub(super) fn bad_row(job: JobId, symbol: &str, ts_us: Option<i64>) -> QuarantinedRow {
    QuarantinedRow {
        dataset: dataset(),
        symbol: symbol.into(),
        ts_us,
        rule: HardRule::LowAboveBody,
        evidence: "low 50 is above close 10".into(),
        source: "page 3".into(),
        job,
        seen_at_us: 5,
    }
}

pub(super) fn revision(job: JobId, name: &str, ts_us: i64, new: Option<Bar>) -> RevisionRow {
    let old = Bar {
        vwap: None,
        ..bar_at(ts_us, 10.0)
    };
    RevisionRow {
        dataset: dataset(),
        symbol: symbol(name),
        old,
        new,
        job,
        seen_at_us: 5,
    }
}

fn quarantined(rows: &SqliteOhlcvRepository, selection: &BarSelection) -> Vec<QuarantinedRow> {
    let mut found = Vec::new();
    rows.for_each_quarantined(selection, &mut |row| {
        found.push(row);
        true
    })
    .unwrap();
    found
}

fn revisions(rows: &SqliteOhlcvRepository, selection: &BarSelection) -> Vec<RevisionRow> {
    let mut found = Vec::new();
    rows.for_each_revision(selection, &mut |row| {
        found.push(row);
        true
    })
    .unwrap();
    found
}

#[test]
fn a_row_is_kept_apart_once_whatever_it_lacks() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    let ts_us = open_us("2024-07-02");
    let bad = [
        bad_row(job, "AAPL", Some(ts_us)),
        bad_row(job, "AAPL", None),
        bad_row(job, "AAPL", Some(0)),
    ];
    assert_eq!(rows.put_quarantined(&bad).unwrap(), 3);
    let again = QuarantinedRow {
        source: "page 9".into(),
        seen_at_us: 9,
        ..bad[1].clone()
    };
    assert_eq!(
        rows.put_quarantined(&[bad[0].clone(), again, bad[2].clone()])
            .unwrap(),
        0
    );
    let other = QuarantinedRow {
        evidence: "low 51 is above close 10".into(),
        ..bad[0].clone()
    };
    assert_eq!(rows.put_quarantined(&[other]).unwrap(), 1);
    assert_eq!(rows.put_quarantined(&[]).unwrap(), 0);
}

#[test]
fn rows_in_quarantine_come_by_dataset_symbol_and_time() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    let iex = QuarantinedRow {
        dataset: "alpaca/iex/raw".parse().unwrap(),
        ..bad_row(job, "ZZZ", Some(9))
    };
    let expected = [
        iex,
        bad_row(job, "AAPL", Some(-7)),
        bad_row(job, "AAPL", Some(3)),
        bad_row(job, "AAPL", None),
        bad_row(job, "not a ticker\u{fffd}", None),
    ];
    for row in [3, 1, 4, 0, 2] {
        rows.put_quarantined(&expected[row..=row]).unwrap();
    }
    assert_eq!(quarantined(&rows, &BarSelection::default()), expected);
}

#[test]
fn selections_narrow_both_streams() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    let [day, next] = ["2024-07-02", "2024-07-03"].map(open_us);
    // 21:00 New York belongs to the next session; for a pair the UTC date counts.
    let evening = day + 690 * MINUTE_US;
    for (name, ts_us) in [
        ("AAPL", day),
        ("AAPL", evening),
        ("MSFT", next),
        ("BTC/USD", evening),
    ] {
        rows.put_quarantined(&[bad_row(job, name, Some(ts_us))])
            .unwrap();
        rows.put_revisions(&[revision(job, name, ts_us, None)])
            .unwrap();
    }
    rows.put_quarantined(&[bad_row(job, "AAPL", None)]).unwrap();
    let counts = |selection: &BarSelection| {
        (
            quarantined(&rows, selection).len(),
            revisions(&rows, selection).len(),
        )
    };
    let all = BarSelection::default();
    assert_eq!(counts(&all), (5, 4));
    let on = |day: &str| BarSelection {
        sessions: Some((date(day), date(day))),
        ..all.clone()
    };
    assert_eq!(counts(&on("2024-07-02")), (1, 1));
    assert_eq!(counts(&on("2024-07-03")), (3, 3));
    let of = |names: &[&str]| BarSelection {
        symbols: names.iter().map(|name| symbol(name)).collect(),
        ..all.clone()
    };
    assert_eq!(counts(&of(&["AAPL", "BTC/USD"])), (4, 3));
    assert_eq!(
        counts(&BarSelection {
            dataset: Some(dataset()),
            ..of(&["MSFT"])
        }),
        (1, 1)
    );
    assert_eq!(
        counts(&BarSelection {
            dataset: Some("a/b/c".parse().unwrap()),
            ..all.clone()
        }),
        (0, 0)
    );
    assert_eq!(
        counts(&BarSelection {
            timeframe: Some(Timeframe::M1),
            ..all.clone()
        }),
        (5, 4)
    );
    assert_eq!(
        counts(&BarSelection {
            timeframe: Some(Timeframe::D1),
            ..all.clone()
        }),
        (0, 0),
        "both hold minutes"
    );
    assert_eq!(
        counts(&BarSelection {
            symbols: many_symbols(10_000),
            ..all
        }),
        (0, 0)
    );
}

#[test]
fn streaming_stops_when_the_visitor_has_enough() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    for n in 0..10 {
        rows.put_quarantined(&[bad_row(job, "AAPL", Some(n))])
            .unwrap();
        rows.put_revisions(&[revision(job, "AAPL", n, None)])
            .unwrap();
    }
    let (mut seen, all) = (0, BarSelection::default());
    let mut three = || {
        seen += 1;
        seen % 3 != 0
    };
    rows.for_each_quarantined(&all, &mut |_| three()).unwrap();
    rows.for_each_revision(&all, &mut |_| three()).unwrap();
    assert_eq!(seen, 6);
}

#[test]
fn a_visitor_may_use_the_repository() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    rows.put_quarantined(&[bad_row(job, "AAPL", Some(1)), bad_row(job, "AAPL", Some(2))])
        .unwrap();
    rows.for_each_quarantined(&BarSelection::default(), &mut |row| {
        rows.release_quarantined(&row.dataset, &symbol("AAPL"), &[row.ts_us.unwrap()])
            .unwrap()
            == 1
    })
    .unwrap();
    assert_eq!(count(&database, "quarantine"), 0);
}

#[test]
fn only_the_named_minutes_of_one_series_are_released() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    let mut bad: Vec<_> = (0..5)
        .map(|n| bad_row(job, "AAPL", Some(n * MINUTE_US)))
        .collect();
    bad.push(QuarantinedRow {
        rule: HardRule::HighBelowBody,
        ..bad[1].clone()
    });
    bad.extend([
        bad_row(job, "AAPL", None),
        bad_row(job, "MSFT", Some(MINUTE_US)),
    ]);
    assert_eq!(rows.put_quarantined(&bad).unwrap(), 8);
    let minutes: Vec<i64> = (1..3).chain(50..20_000).map(|n| n * MINUTE_US).collect();
    assert_eq!(
        rows.release_quarantined(&dataset(), &symbol("AAPL"), &minutes)
            .unwrap(),
        3
    );
    assert_eq!(
        rows.release_quarantined(&dataset(), &symbol("AAPL"), &[])
            .unwrap(),
        0
    );
    assert_eq!(quarantined(&rows, &BarSelection::default()).len(), 5);
}

#[test]
fn revisions_read_back_oldest_first() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    let ts_us = open_us("2024-07-02");
    let written = [
        revision(
            job,
            "MSFT",
            ts_us + MINUTE_US,
            Some(Bar {
                trade_count: None,
                ..bar_at(ts_us + MINUTE_US, 0.1 + 0.2)
            }),
        ),
        revision(job, "AAPL", ts_us, None),
        revision(job, "MSFT", ts_us, Some(bar_at(ts_us, 1e300))),
    ];
    rows.put_revisions(&written).unwrap();
    assert_eq!(revisions(&rows, &BarSelection::default()), written);
}

#[test]
fn rows_of_an_unknown_job_are_refused_together() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    let bad = [
        bad_row(job, "AAPL", None),
        bad_row(missing_job(), "MSFT", None),
    ];
    assert_eq!(
        failure(&database, rows.put_quarantined(&bad)).0,
        StoreErrorKind::Missing
    );
    let changed = [
        revision(job, "AAPL", 0, None),
        revision(missing_job(), "AAPL", 0, None),
    ];
    assert_eq!(
        failure(&database, rows.put_revisions(&changed)).0,
        StoreErrorKind::Missing
    );
    assert_eq!(
        (count(&database, "quarantine"), count(&database, "revision")),
        (0, 0)
    );
}

#[test]
fn a_price_that_is_no_number_is_no_revision() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    let mut row = revision(job, "AAPL", 0, None);
    row.old.close = f64::NAN;
    failure(&database, rows.put_revisions(&[row]));
    assert_eq!(count(&database, "revision"), 0);
}

#[test]
fn damaged_rows_are_reported_not_skipped() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    rows.put_quarantined(&[bad_row(job, "AAPL", None)]).unwrap();
    rows.put_revisions(&[revision(job, "AAPL", 0, None)])
        .unwrap();
    damage(
        &database,
        "UPDATE quarantine SET rule = 'too-nice'; UPDATE series SET symbol = 'aapl'",
    );
    let all = BarSelection::default();
    let (kind, text) = failure(&database, rows.for_each_quarantined(&all, &mut |_| true));
    assert_eq!(kind, StoreErrorKind::Damaged);
    assert!(text.contains("stored value is no hard rule"), "{text}");
    assert_eq!(
        failure(&database, rows.for_each_revision(&all, &mut |_| true)).0,
        StoreErrorKind::Damaged
    );
}

#[test]
fn every_method_names_the_file_when_it_fails() {
    let (_folder, database) = database();
    let (rows, job) = (rows_of(&database), new_job(&database).id());
    damage(&database, "DROP TABLE quarantine; DROP TABLE revision");
    let all = BarSelection::default();
    failure(
        &database,
        rows.put_quarantined(&[bad_row(job, "AAPL", None)]),
    );
    failure(&database, rows.for_each_quarantined(&all, &mut |_| true));
    failure(
        &database,
        rows.release_quarantined(&dataset(), &symbol("AAPL"), &[0]),
    );
    failure(
        &database,
        rows.put_revisions(&[revision(job, "AAPL", 0, None)]),
    );
    failure(&database, rows.for_each_revision(&all, &mut |_| true));
    damage(&database, "DROP TABLE series");
    failure(
        &database,
        rows.put_revisions(&[revision(job, "AAPL", 0, None)]),
    );
}
