//! Claims of what is stored, counted at one moment.

use super::catalog::{COMMIT, catalog, july};
use super::symbol_bars::{ledger, record};
use super::*;
use crate::domain::metric::{
    COMPLETED, DatasetStock, FAILED, LastRuns, RunCommand, RunRecord, Stock, StoredFrame,
};
use crate::domain::ports::{
    FindingRepository, MetricsBatch, MetricsRepository, OhlcvRepository, QuarantinedRow,
    SeriesFindings, SymbolBarsRepository,
};
use crate::domain::rule::Severity;
use crate::domain::{Finding, HardRule, Rule, Timeframe};

fn stock(database: &Database) -> Stock {
    SqliteMetricsRepository::new(database.clone())
        .take_stock()
        .unwrap()
}

/// The stock of the only dataset.
#[track_caller]
fn only(database: &Database) -> DatasetStock {
    let [only] = &stock(database).datasets[..] else {
        panic!("there is not one dataset")
    };
    only.clone()
}

/// A dataset of which nothing is stored.
fn nothing_of(dataset: Dataset, symbols: u64) -> DatasetStock {
    DatasetStock {
        dataset,
        symbols,
        minutes_present: 0,
        minutes_expected: 0,
        newest_bar_us: None,
        newest_symbol: None,
        quarantined_rows: 0,
        open_findings: [0; 3],
    }
}

fn iex() -> Dataset {
    "alpaca/iex/raw".parse().unwrap()
}

/// The file of July, with so many rows of ten bytes each up to an instant.
fn file(of: &Dataset, name: &str, frame: Timeframe, rows: u64, last_ts_us: i64) -> CatalogFile {
    let mut file = july(name);
    file.file.key.dataset = of.clone();
    file.file.key.timeframe = frame;
    file.file.key.period = crate::domain::Period::of(frame, date("2024-07-01"));
    file.path = format!("lake/{}", file.file.key);
    file.file.rows = rows;
    file.file.bytes = rows * 10;
    file.file.last_ts_us = last_ts_us;
    file
}

fn put_files(database: &Database, files: &[CatalogFile]) {
    catalog(database).put_files(files, &COMMIT).unwrap();
}

fn put_run(database: &Database, command: RunCommand, last_seen_us: i64, outcome: Option<&str>) {
    let run = RunRecord {
        key: format!("{command}-{last_seen_us}"),
        command,
        dataset: None,
        job: None,
        started_us: last_seen_us - 1,
        last_seen_us,
        outcome: outcome.map(ToOwned::to_owned),
        rows: 0,
        failures: 0,
    };
    let batch = MetricsBatch {
        runs: vec![run],
        ..MetricsBatch::default()
    };
    SqliteMetricsRepository::new(database.clone())
        .add(&batch, 1)
        .unwrap();
}

fn finding(severity: Severity, name: Option<&str>, day: &str) -> Finding {
    Finding {
        rule: Rule::Jump,
        severity,
        dataset: dataset(),
        symbol: name.map(symbol),
        timeframe: Timeframe::M1,
        session: Some(date(day)),
        ts_us: None,
        value: "8 %".into(),
        expected: "5 %".into(),
        message: "8 % in a minute".into(),
        bar: None,
    }
}

fn put_findings(database: &Database, findings: &[Finding]) {
    let repository = SqliteFindingRepository::new(database.clone());
    let series = findings.iter().map(|finding| SeriesFindings {
        dataset: finding.dataset.clone(),
        symbol: finding.symbol.clone(),
        sessions: finding.session.map(|date| (date, date)),
        findings: vec![finding.clone()],
    });
    let series: Vec<SeriesFindings> = series.collect();
    repository.replace_findings(&series, 1).unwrap();
}

#[test]
fn of_an_empty_database_there_is_nothing_but_room() {
    let (_folder, database) = database();
    let stock = stock(&database);
    assert!(!cfg!(unix) || stock.free_bytes > Some(0));
    let free_bytes = stock.free_bytes;
    assert_eq!(
        stock,
        Stock {
            free_bytes,
            ..Stock::default()
        }
    );
}

#[test]
fn files_rows_and_bytes_are_summed_by_dataset_and_frame() {
    let (_folder, database) = database();
    let august = {
        let mut file = file(&dataset(), "AAPL", Timeframe::M1, 5, 1);
        file.file.key.period = "2024-08".parse().unwrap();
        file.path = "lake/august".into();
        file
    };
    put_files(
        &database,
        &[
            file(&dataset(), "AAPL", Timeframe::M1, 100, 1),
            august,
            file(&dataset(), "MSFT", Timeframe::M1, 20, 1),
            file(&dataset(), "AAPL", Timeframe::D1, 3, 1),
            file(&dataset(), "AAPL", Timeframe::M10, 7, 1),
            file(&iex(), "AAPL", Timeframe::M1, 1, 1),
        ],
    );
    let frame = |dataset, timeframe, files, rows| StoredFrame {
        dataset,
        timeframe,
        files,
        rows,
        bytes: rows * 10,
    };
    // Frames from the shortest to the longest: `10m` is not before `1m`.
    assert_eq!(
        stock(&database).frames,
        [
            frame(iex(), Timeframe::M1, 1, 1),
            frame(dataset(), Timeframe::M1, 3, 125),
            frame(dataset(), Timeframe::M10, 1, 7),
            frame(dataset(), Timeframe::D1, 1, 3),
        ]
    );
}

#[test]
fn minutes_are_summed_over_the_sessions_that_were_asked_for() {
    let (_folder, database) = database();
    let ledger = ledger(&database);
    // A full day, a half day, a holiday.
    let days = [
        record("2024-07-02", 390),
        record("2024-07-03", 200),
        record("2024-07-04", 0),
    ];
    ledger
        .put_sessions(&dataset(), &symbol("AAPL"), &days)
        .unwrap();
    ledger
        .put_sessions(&dataset(), &symbol("MSFT"), &[record("2024-07-05", 0)])
        .unwrap();
    ledger
        .put_sessions(&iex(), &symbol("AAPL"), &[record("2024-07-05", 390)])
        .unwrap();
    // Files say nothing of what was asked for.
    put_files(&database, &[file(&dataset(), "ONLY", Timeframe::M1, 9, 1)]);
    let datasets = stock(&database).datasets;
    let minutes: Vec<_> = datasets
        .iter()
        .map(|stock| {
            let name = stock.dataset.to_string();
            (
                name,
                stock.symbols,
                stock.minutes_present,
                stock.minutes_expected,
            )
        })
        .collect();
    assert_eq!(
        minutes,
        [
            ("alpaca/iex/raw".to_owned(), 1, 390, 390),
            ("alpaca/sip/raw".to_owned(), 3, 590, 390 + 210 + 390),
        ]
    );
}

#[test]
fn a_dataset_is_expected_to_have_what_its_series_are() {
    let (_folder, database) = database();
    let ledger = ledger(&database);
    let days = [record("2024-07-02", 390), record("2024-07-05", 390)];
    ledger
        .put_sessions(&dataset(), &symbol("AAPL"), &days)
        .unwrap();
    ledger
        .put_sessions(&dataset(), &symbol("BTC/USD"), &days)
        .unwrap();
    ledger
        .note_not_entitled(&dataset(), &[symbol("ONLY")], &[date("2024-07-03")], 1)
        .unwrap();
    let statuses = ledger.list_status(&[]).unwrap();
    let expected: u64 = statuses.iter().map(|status| status.expected_minutes).sum();
    assert_eq!(expected, 390 + 210 + 390 + 4 * 1440 + 210);
    assert_eq!(only(&database).minutes_expected, expected);
    assert_eq!(only(&database).minutes_present, 4 * 390);
}

#[test]
fn the_newest_minute_is_told_with_a_symbol_that_has_it() {
    let (_folder, database) = database();
    put_files(
        &database,
        &[
            file(&dataset(), "AAPL", Timeframe::M1, 1, 50),
            file(&dataset(), "MSFT", Timeframe::M1, 1, 70),
            file(&dataset(), "ZZZ", Timeframe::M1, 1, 60),
            // Derived bars and other datasets do not count.
            file(&dataset(), "AAPL", Timeframe::D1, 1, 99),
            file(&iex(), "BTC/USD", Timeframe::M1, 1, -7),
        ],
    );
    let datasets = stock(&database).datasets;
    let newest: Vec<_> = datasets
        .iter()
        .map(|stock| (stock.newest_bar_us, stock.newest_symbol.clone()))
        .collect();
    assert_eq!(
        newest,
        [
            (Some(-7), Some(symbol("BTC/USD"))),
            (Some(70), Some(symbol("MSFT")))
        ]
    );
}

#[test]
fn rows_in_quarantine_are_counted_by_dataset_whatever_their_symbol() {
    let (_folder, database) = database();
    let job = new_job(&database).id();
    for of in [dataset(), iex()] {
        ledger(&database)
            .put_sessions(&of, &symbol("AAPL"), &[record("2024-07-02", 1)])
            .unwrap();
    }
    let row = |of: &Dataset, name: &str, ts_us| QuarantinedRow {
        dataset: of.clone(),
        symbol: name.into(),
        ts_us,
        rule: HardRule::LowAboveBody,
        evidence: "low 50 is above close 10".into(),
        source: "page 3".into(),
        job,
        seen_at_us: 5,
    };
    SqliteOhlcvRepository::new(database.clone())
        .put_quarantined(&[
            row(&dataset(), "AAPL", Some(1)),
            row(&dataset(), "AAPL", Some(2)),
            row(&dataset(), "not a ticker", None),
            row(&iex(), "AAPL", Some(1)),
        ])
        .unwrap();
    let datasets = stock(&database).datasets;
    let rows: Vec<u64> = datasets
        .iter()
        .map(|stock| stock.quarantined_rows)
        .collect();
    assert_eq!(rows, [1, 3]);
}

#[test]
fn findings_are_counted_by_severity_until_they_are_acknowledged() {
    let (_folder, database) = database();
    ledger(&database)
        .put_sessions(&dataset(), &symbol("AAPL"), &[record("2024-07-02", 1)])
        .unwrap();
    let findings = [
        finding(Severity::Error, Some("AAPL"), "2024-07-02"),
        finding(Severity::Error, Some("AAPL"), "2024-07-03"),
        finding(Severity::Warning, Some("AAPL"), "2024-07-05"),
        finding(Severity::Info, None, "2024-07-02"),
    ];
    put_findings(&database, &findings);
    assert_eq!(only(&database).open_findings, [1, 1, 2]);
    let repository = SqliteFindingRepository::new(database.clone());
    for finding in [&findings[0], &findings[2]] {
        assert!(repository.acknowledge(&finding.id(), "known", 2).unwrap());
    }
    assert_eq!(only(&database).open_findings, [1, 0, 1]);
    // What has changed since is open again.
    let changed = Finding {
        value: "9 %".into(),
        ..findings[0].clone()
    };
    put_findings(&database, &[changed]);
    assert_eq!(only(&database).open_findings, [1, 0, 2]);
    assert!(repository.withdraw(&findings[2].id()).unwrap());
    assert_eq!(only(&database).open_findings, [1, 1, 2]);
}

#[test]
fn of_each_command_the_last_run_and_the_last_success_are_known() {
    let (_folder, database) = database();
    put_run(&database, RunCommand::Validate, 10, Some(FAILED));
    put_run(&database, RunCommand::Ingest, 20, Some(COMPLETED));
    put_run(&database, RunCommand::Ingest, 30, Some(COMPLETED));
    put_run(&database, RunCommand::Ingest, 40, Some("partial"));
    put_run(&database, RunCommand::Ingest, 50, None);
    let runs = stock(&database).runs;
    assert_eq!(
        runs,
        [
            LastRuns {
                command: RunCommand::Ingest,
                last_seen_us: 50,
                last_success_us: Some(30)
            },
            LastRuns {
                command: RunCommand::Validate,
                last_seen_us: 10,
                last_success_us: None
            },
        ]
    );
}

#[test]
fn a_dataset_of_which_nothing_is_left_has_nothing() {
    let (_folder, database) = database();
    let ledger = ledger(&database);
    let (aapl, day) = (symbol("AAPL"), date("2024-07-02"));
    ledger
        .put_sessions(&dataset(), &aapl, &[record("2024-07-02", 390)])
        .unwrap();
    ledger.delete_sessions(&dataset(), &aapl, day, day).unwrap();
    assert_eq!(only(&database), nothing_of(dataset(), 1));
    assert_eq!(stock(&database).frames, []);
}

#[test]
fn a_stored_value_that_means_nothing_is_damage() {
    let (_folder, database) = database();
    damage(
        &database,
        "INSERT INTO series VALUES (1, 'not a dataset', 'A')",
    );
    let taken = SqliteMetricsRepository::new(database.clone()).take_stock();
    assert_eq!(failure(&database, taken).0, StoreErrorKind::Damaged);
}
