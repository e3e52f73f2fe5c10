//! Claims of the status of series.

use super::super::symbol_bars::put_sessions_in;
use super::symbol_bars::{ledger, record};
use super::*;
use crate::domain::ports::{PartitionFile, SymbolBarsRepository};
use crate::domain::{PartitionKey, Period, Timeframe};

fn file(symbol_text: &str, frame: Timeframe, first: &str, last: &str, rows: u64) -> CatalogFile {
    let (first, last) = (date(first), date(last));
    let period = Period::of(frame, first);
    let key = PartitionKey {
        dataset: dataset(),
        timeframe: frame,
        symbol: symbol(symbol_text),
        period,
    };
    let path = format!("lake/{key}");
    let file = PartitionFile {
        key,
        sha256: "aa".into(),
        content_hash: "bb".into(),
        bytes: 1000,
        rows,
        first_ts_us: 0,
        last_ts_us: 1,
        first_session: first,
        last_session: last,
    };
    CatalogFile {
        file,
        path,
        schema_version: 1,
        spec_hash: None,
        commit_seq: None,
    }
}

fn put_files(database: &Database, files: &[CatalogFile]) {
    let commit = CommitSummary {
        job: None,
        at_us: 0,
        partitions: 1,
        rows_new: 0,
        rows_revised: 0,
    };
    SqliteCatalog::new(database.clone())
        .put_files(files, &commit)
        .unwrap();
}

#[test]
fn status_sums_up_by_series_in_order() {
    let (_folder, database) = database();
    let ledger = ledger(&database);
    // A full day, a half day, a holiday, an empty day.
    let days = [
        record("2024-07-02", 390),
        record("2024-07-03", 200),
        record("2024-07-04", 0),
        record("2024-07-05", 0),
    ];
    ledger
        .put_sessions(&dataset(), &symbol("MSFT"), &days)
        .unwrap();
    ledger
        .put_sessions(&dataset(), &symbol("BTC/USD"), &[record("2024-07-04", 100)])
        .unwrap();
    // '-' comes before '/', but a dataset's parts are compared one by one.
    ledger
        .put_sessions(
            &"alpaca-x/a/b".parse().unwrap(),
            &symbol("AAPL"),
            &days[..1],
        )
        .unwrap();
    let statuses = ledger.list_status(&[]).unwrap();
    let names: Vec<_> = statuses
        .iter()
        .map(|status| format!("{} {}", status.dataset, status.symbol))
        .collect();
    assert_eq!(
        names,
        [
            "alpaca/sip/raw BTC/USD",
            "alpaca/sip/raw MSFT",
            "alpaca-x/a/b AAPL"
        ]
    );
    assert_eq!(
        (statuses[0].regular_minutes, statuses[0].expected_minutes),
        (100, 1440)
    );
    let msft = &statuses[1];
    assert_eq!(
        (
            msft.asked_sessions,
            msft.filled_sessions,
            msft.rows,
            msft.bytes
        ),
        (4, 2, 590, 0)
    );
    assert_eq!(
        (msft.regular_minutes, msft.expected_minutes),
        (590, 390 + 210 + 390)
    );
    assert_eq!(
        msft.sessions,
        Some((date("2024-07-02"), date("2024-07-03")))
    );
    assert_eq!(msft.timeframe, Timeframe::M1);
}

#[test]
fn sessions_between_two_that_were_asked_for_are_expected_whole() {
    let (_folder, database) = database();
    let ledger = ledger(&database);
    // Between them lie a half day, a holiday, a weekend and two full days.
    let days = [record("2024-07-02", 390), record("2024-07-09", 390)];
    ledger
        .put_sessions(&dataset(), &symbol("MSFT"), &days)
        .unwrap();
    ledger
        .put_sessions(&dataset(), &symbol("AAPL"), &days[..1])
        .unwrap();
    // What the plan does not include was asked for, too.
    ledger
        .note_not_entitled(&dataset(), &[symbol("AAPL")], &[date("2024-07-05")], 1)
        .unwrap();
    let statuses = ledger.list_status(&[]).unwrap();
    let minutes: Vec<_> = statuses
        .iter()
        .map(|status| (status.regular_minutes, status.expected_minutes))
        .collect();
    assert_eq!(
        minutes,
        [(390, 390 + 210 + 390), (780, 390 + 210 + 390 + 390 + 390)]
    );
}

#[test]
fn status_counts_minutes_by_their_files_and_derived_bars_beside_them() {
    let (_folder, database) = database();
    let ledger = ledger(&database);
    ledger
        .put_sessions(
            &dataset(),
            &symbol("AAPL"),
            &[record("2024-07-02", 390), record("2024-08-01", 0)],
        )
        .unwrap();
    let files = [
        file("AAPL", Timeframe::M1, "2024-06-03", "2024-06-28", 7000),
        file("AAPL", Timeframe::M1, "2024-07-01", "2024-07-02", 700),
        file("AAPL", Timeframe::D1, "2024-01-02", "2024-07-02", 120),
        file("ONLY", Timeframe::M1, "2024-07-01", "2024-07-02", 5),
    ];
    put_files(&database, &files);
    let statuses = ledger.list_status(&[]).unwrap();
    let held: Vec<_> = statuses
        .iter()
        .map(|status| (status.rows, status.bytes, status.asked_sessions))
        .collect();
    assert_eq!(held, [(7700, 2000, 2), (120, 1000, 0), (5, 1000, 0)]);
    assert_eq!(
        statuses[0].sessions,
        Some((date("2024-06-03"), date("2024-07-02")))
    );
}

#[test]
fn status_leaves_out_series_of_which_nothing_is_held() {
    let (_folder, database) = database();
    let ledger = ledger(&database);
    ledger
        .put_sessions(&dataset(), &symbol("GONE"), &[record("2024-07-02", 1)])
        .unwrap();
    ledger
        .delete_sessions(
            &dataset(),
            &symbol("GONE"),
            date("2024-07-02"),
            date("2024-07-02"),
        )
        .unwrap();
    assert!(ledger.list_status(&[]).unwrap().is_empty());
    ledger
        .put_sessions(&dataset(), &symbol("NIL"), &[record("2024-07-02", 0)])
        .unwrap();
    let statuses = ledger
        .list_status(&[symbol("NIL"), symbol("GONE")])
        .unwrap();
    assert_eq!(
        (
            statuses.len(),
            statuses[0].asked_sessions,
            statuses[0].sessions
        ),
        (1, 1, None)
    );
}

#[test]
fn ten_thousand_symbols_can_be_named() {
    let (_folder, database) = database();
    let symbols = many_symbols(10_000);
    let records = [record("2024-07-02", 3)];
    database
        .write(|transaction| {
            symbols
                .iter()
                .try_for_each(|symbol| put_sessions_in(transaction, &dataset(), symbol, &records))
        })
        .unwrap();
    let ledger = ledger(&database);
    assert_eq!(ledger.list_status(&symbols[1..]).unwrap().len(), 9_999);
    assert_eq!(
        ledger.list_status(&symbols[..1]).unwrap()[0].symbol,
        symbols[0]
    );
}
