//! Claims of the completeness ledger.

use proptest::prelude::*;

use super::catalog::{COMMIT, catalog, july, redo};
use super::ohlcv::{bad_row, revision};
use super::*;
use crate::domain::SessionRecord;
use crate::domain::instant::InstantRange;
use crate::domain::minute_set::MinuteSet;
use crate::domain::ports::{Forgotten, OhlcvRepository, SymbolBarsRepository};
use crate::domain::services::ohlcv_calculation::DailySummary;

pub(super) fn ledger(database: &Database) -> SqliteSymbolBarsRepository {
    SqliteSymbolBarsRepository::new(database.clone())
}

/// A settled session with `minutes` bars from the regular open on.
pub(super) fn record(day: &str, minutes: u16) -> SessionRecord {
    let mut present = MinuteSet::empty();
    for minute in 0..minutes {
        present.insert(810 + minute);
    }
    let price = (minutes > 0).then_some(100.0);
    SessionRecord {
        date: date(day),
        asked: InstantRange {
            start_us: -5,
            end_us: 7,
        },
        asked_at_us: 11,
        is_settled: true,
        present,
        off_frame_rows: 0,
        quarantined: MinuteSet::empty(),
        summary: DailySummary {
            open: price,
            close: price,
            minutes: minutes.into(),
            ..DailySummary::default()
        },
    }
}

fn any_record() -> impl Strategy<Value = SessionRecord> {
    let minutes = || {
        proptest::collection::vec(0_u16..1440, 0..50).prop_map(|minutes| {
            let mut set = MinuteSet::empty();
            for minute in minutes {
                set.insert(minute);
            }
            set
        })
    };
    let price = || proptest::option::of(0.0001..1e12_f64);
    let asked = (
        any::<i64>(),
        any::<i64>(),
        any::<i64>(),
        any::<bool>(),
        any::<u16>(),
    );
    let prices = (price(), price(), price(), price(), 0.0..1e15_f64, price());
    (
        0..9000_i32,
        asked,
        minutes(),
        minutes(),
        prices,
        any::<Option<i64>>(),
        0..1440_u32,
    )
        .prop_map(
            |(day, asked, present, quarantined, prices, trade_count, minutes)| SessionRecord {
                date: SessionDate::from_days_since_epoch(9000 + day).unwrap(),
                asked: InstantRange {
                    start_us: asked.0,
                    end_us: asked.1,
                },
                asked_at_us: asked.2,
                is_settled: asked.3,
                present,
                off_frame_rows: asked.4.into(),
                quarantined,
                summary: DailySummary {
                    open: prices.0,
                    high: prices.1,
                    low: prices.2,
                    close: prices.3,
                    volume: prices.4,
                    trade_count,
                    vwap: prices.5,
                    minutes,
                },
            },
        )
}

#[test]
fn every_record_reads_back_unchanged() {
    let (_folder, database) = database();
    let (ledger, aapl) = (ledger(&database), symbol("AAPL"));
    proptest!(|(record in any_record())| {
        ledger.put_sessions(&dataset(), &aapl, std::slice::from_ref(&record)).unwrap();
        let found = ledger.find_session(&dataset(), &aapl, record.date).unwrap();
        prop_assert_eq!(found, Some(record));
    });
}

#[test]
fn a_later_record_replaces_the_earlier_one_whole() {
    let (_folder, database) = database();
    let (ledger, aapl) = (ledger(&database), symbol("AAPL"));
    ledger
        .put_sessions(
            &dataset(),
            &aapl,
            &[record("2024-07-01", 390), record("2024-07-02", 390)],
        )
        .unwrap();
    let emptied = record("2024-07-02", 0);
    ledger
        .put_sessions(&dataset(), &aapl, std::slice::from_ref(&emptied))
        .unwrap();
    let sessions = ledger
        .list_sessions(&dataset(), &aapl, date("2024-07-01"), date("2024-07-31"))
        .unwrap();
    assert_eq!(sessions, [record("2024-07-01", 390), emptied]);
}

#[test]
fn ranges_hold_both_ends_and_only_their_own_series() {
    let (_folder, database) = database();
    let (ledger, aapl, msft) = (ledger(&database), symbol("AAPL"), symbol("MSFT"));
    let days = ["2024-07-05", "2024-07-01", "2024-07-03", "2024-07-02"];
    ledger
        .put_sessions(&dataset(), &aapl, &days.map(|day| record(day, 1)))
        .unwrap();
    let dates = |first, last| {
        let listed = ledger
            .list_sessions(&dataset(), &aapl, date(first), date(last))
            .unwrap();
        listed
            .iter()
            .map(|record| record.date.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        dates("2024-07-01", "2024-07-03"),
        ["2024-07-01", "2024-07-02", "2024-07-03"]
    );
    assert!(dates("2024-07-03", "2024-07-01").is_empty());
    assert!(
        ledger
            .list_sessions(&dataset(), &msft, date("2024-07-01"), date("2024-07-31"))
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        ledger
            .find_session(&dataset(), &aapl, date("2024-07-04"))
            .unwrap(),
        None
    );
    assert_eq!(
        ledger
            .find_session(
                &"alpaca/iex/raw".parse().unwrap(),
                &aapl,
                date("2024-07-01")
            )
            .unwrap(),
        None
    );
}

#[test]
fn the_last_settled_session_is_found() {
    let (_folder, database) = database();
    let (ledger, aapl) = (ledger(&database), symbol("AAPL"));
    assert_eq!(ledger.find_last_settled(&dataset(), &aapl).unwrap(), None);
    let open = |day| SessionRecord {
        is_settled: false,
        ..record(day, 5)
    };
    ledger
        .put_sessions(&dataset(), &aapl, &[open("2024-07-05")])
        .unwrap();
    assert_eq!(ledger.find_last_settled(&dataset(), &aapl).unwrap(), None);
    ledger
        .put_sessions(
            &dataset(),
            &aapl,
            &[record("2024-07-02", 5), record("2024-07-03", 5)],
        )
        .unwrap();
    assert_eq!(
        ledger.find_last_settled(&dataset(), &aapl).unwrap(),
        Some(date("2024-07-03"))
    );
}

#[test]
fn forgotten_sessions_are_counted_and_gone() {
    let (_folder, database) = database();
    let (ledger, aapl) = (ledger(&database), symbol("AAPL"));
    assert_eq!(
        ledger
            .delete_sessions(&dataset(), &aapl, date("2024-07-01"), date("2024-07-31"))
            .unwrap(),
        0
    );
    ledger
        .put_sessions(
            &dataset(),
            &aapl,
            &["2024-07-01", "2024-07-02", "2024-07-03"].map(|day| record(day, 1)),
        )
        .unwrap();
    assert_eq!(
        ledger
            .delete_sessions(&dataset(), &aapl, date("2024-07-02"), date("2024-07-31"))
            .unwrap(),
        2
    );
    assert_eq!(count(&database, "session_record"), 1);
}

#[test]
fn a_session_beyond_the_calendar_is_refused_with_its_neighbours() {
    let (_folder, database) = database();
    let records = [record("2024-07-01", 1), record("2199-01-02", 1)];
    let error = ledger(&database)
        .put_sessions(&dataset(), &symbol("AAPL"), &records)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot tell the minutes of session 2199-01-02 of AAPL"),
        "{error}"
    );
    assert_eq!(
        (
            count(&database, "session_record"),
            count(&database, "series")
        ),
        (0, 0)
    );
}

#[test]
fn a_series_is_forgotten_only_where_nothing_is_held_of_it() {
    let (_folder, database) = database();
    let ledger = ledger(&database);
    let rows = SqliteOhlcvRepository::new(database.clone());
    let job = new_job(&database).id();
    let ask = |name: &str| {
        ledger
            .put_sessions(&dataset(), &symbol(name), &[record("2024-07-02", 0)])
            .unwrap();
    };
    let holders: [(&str, &dyn Fn()); 6] = [
        ("LOST", &|| {
            let lost = record("2024-07-03", 0).unasked();
            ledger
                .put_sessions(&dataset(), &symbol("LOST"), &[lost])
                .unwrap();
        }),
        ("BARS", &|| {
            ledger
                .put_sessions(&dataset(), &symbol("BARS"), &[record("2024-07-03", 1)])
                .unwrap();
        }),
        ("FILE", &|| {
            catalog(&database)
                .put_files(&[july("FILE")], &COMMIT)
                .unwrap();
        }),
        ("REDO", &|| {
            catalog(&database).put_redo(0, &[redo("REDO", 0)]).unwrap();
        }),
        ("BAD", &|| {
            rows.put_quarantined(&[bad_row(job, "BAD", Some(1))])
                .unwrap();
        }),
        ("OLD", &|| {
            rows.put_revisions(&[revision(job, "OLD", 0, None)])
                .unwrap();
        }),
    ];
    for (name, hold) in holders {
        ask(name);
        hold();
    }
    ask("APPL");
    let refused = [date("2024-07-05"), date("2024-07-08")];
    ledger
        .note_not_entitled(&dataset(), &[symbol("APPL")], &refused, 1)
        .unwrap();
    let other: Dataset = "alpaca/iex/raw".parse().unwrap();
    ledger
        .put_sessions(&other, &symbol("APPL"), &[record("2024-07-02", 0)])
        .unwrap();
    let records = count(&database, "session_record");
    let forget = |name: &str| ledger.forget(&symbol(name), Some(&dataset())).unwrap();
    for (name, _) in holders {
        assert_eq!(forget(name), [(dataset(), Forgotten::Nothing)], "{name}");
    }
    assert_eq!(count(&database, "session_record"), records);
    assert_eq!(forget("APPL"), [(dataset(), Forgotten::Sessions(3))]);
    assert_eq!(
        (
            count(&database, "session_record"),
            count(&database, "not_entitled")
        ),
        (records - 1, 0)
    );
    let left = ledger.list_series(&[symbol("APPL")]).unwrap();
    assert_eq!(left.len(), 1, "that of the other dataset");
    assert_eq!(forget("APPL"), []);
    let everywhere = ledger.forget(&symbol("APPL"), None).unwrap();
    assert_eq!(everywhere, [(other, Forgotten::Sessions(1))]);
}

#[test]
fn damaged_records_are_reported_not_guessed() {
    let (_folder, database) = database();
    let (ledger, aapl) = (ledger(&database), symbol("AAPL"));
    ledger
        .put_sessions(&dataset(), &aapl, &[record("2024-07-02", 1)])
        .unwrap();
    damage(&database, "UPDATE session_record SET present = x'ff00'");
    let (kind, text) = failure(
        &database,
        ledger.find_session(&dataset(), &aapl, date("2024-07-02")),
    );
    assert_eq!(kind, StoreErrorKind::Damaged);
    assert!(text.contains("stored value is no set of minutes"), "{text}");
    damage(
        &database,
        "UPDATE session_record SET session_day = 99999999",
    );
    assert_eq!(
        failure(&database, ledger.find_last_settled(&dataset(), &aapl)).0,
        StoreErrorKind::Damaged
    );
    assert_eq!(
        failure(&database, ledger.list_status(&[])).0,
        StoreErrorKind::Damaged
    );
}

#[test]
fn every_method_names_the_file_when_it_fails() {
    let (_folder, database) = database();
    let (ledger, aapl, day) = (ledger(&database), symbol("AAPL"), date("2024-07-02"));
    ledger
        .put_sessions(&dataset(), &aapl, &[record("2024-07-02", 1)])
        .unwrap();
    for table in ["session_record", "series"] {
        damage(
            &database,
            &format!("ALTER TABLE {table} RENAME TO lost_{table}"),
        );
        failure(&database, ledger.find_session(&dataset(), &aapl, day));
        failure(&database, ledger.find_last_settled(&dataset(), &aapl));
        failure(
            &database,
            ledger.put_sessions(&dataset(), &aapl, &[record("2024-07-02", 1)]),
        );
        failure(
            &database,
            ledger.delete_sessions(&dataset(), &aapl, day, day),
        );
        failure(&database, ledger.forget(&aapl, None));
        failure(&database, ledger.list_status(&[]));
    }
}
