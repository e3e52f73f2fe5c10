//! Claims of the catalog.

use super::super::catalog::put_files_in;
use super::super::redo::put_redo_in;
use super::*;
use crate::domain::ports::{BarSelection, PartitionFile};
use crate::domain::{PartitionKey, Period, Timeframe};

pub(super) const COMMIT: CommitSummary = CommitSummary {
    job: None,
    at_us: 7,
    partitions: 1,
    rows_new: 2,
    rows_revised: 3,
};

pub(super) fn catalog(database: &Database) -> SqliteCatalog {
    SqliteCatalog::new(database.clone())
}

fn file_of(dataset: &str, name: &str, frame: Timeframe, first: &str, last: &str) -> CatalogFile {
    let (first_session, last_session) = (date(first), date(last));
    let key = PartitionKey {
        dataset: dataset.parse().unwrap(),
        timeframe: frame,
        symbol: symbol(name),
        period: Period::of(frame, first_session),
    };
    let path = format!("lake/{dataset}/{frame}/{name}/{}", key.period);
    let file = PartitionFile {
        key,
        sha256: "a1".repeat(32),
        content_hash: "b2".repeat(32),
        bytes: 3,
        rows: 4,
        first_ts_us: -5,
        last_ts_us: 6,
        first_session,
        last_session,
    };
    CatalogFile {
        file,
        path,
        schema_version: 2,
        spec_hash: Some("c3".into()),
        commit_seq: None,
    }
}

pub(super) fn july(name: &str) -> CatalogFile {
    file_of(
        "alpaca/sip/raw",
        name,
        Timeframe::M1,
        "2024-07-01",
        "2024-07-31",
    )
}

pub(super) fn redo(name: &str, epoch: i64) -> RedoRecord {
    let staged_name = format!("staged-{name}");
    RedoRecord {
        file: july(name),
        staged_name,
        old_sha256: Some("d4".into()),
        epoch,
        created_at_us: 8,
        share: JobShare {
            job: Some(JobId(3)),
            rows_new: 5,
            rows_revised: 2,
        },
    }
}

#[test]
fn a_file_reads_back_with_its_commit() {
    let (_folder, database) = database();
    let catalog = catalog(&database);
    let plain = CatalogFile {
        spec_hash: None,
        ..july("MSFT")
    };
    let commit = catalog
        .put_files(&[july("AAPL"), plain.clone()], &COMMIT)
        .unwrap();
    let stored = CatalogFile {
        commit_seq: Some(commit),
        ..july("AAPL")
    };
    let key = &stored.file.key;
    assert_eq!(catalog.find_entry(key).unwrap(), Some(stored.clone()));
    assert_eq!(catalog.find_file(key).unwrap(), Some(stored.file.clone()));
    assert_eq!(
        catalog.find_entry(&plain.file.key).unwrap(),
        Some(CatalogFile {
            commit_seq: Some(commit),
            ..plain
        })
    );
    assert_eq!(catalog.find_file(&july("NONE").file.key).unwrap(), None);
    let other_period = PartitionKey {
        period: "2024-08".parse().unwrap(),
        ..key.clone()
    };
    assert_eq!(catalog.find_file(&other_period).unwrap(), None);
}

#[test]
fn a_later_commit_replaces_the_file_of_a_partition() {
    let (_folder, database) = database();
    let catalog = catalog(&database);
    let first = catalog
        .put_files(&[july("AAPL"), july("MSFT")], &COMMIT)
        .unwrap();
    let mut changed = july("AAPL");
    changed.file.sha256 = "ee".repeat(32);
    let second = catalog
        .put_files(
            std::slice::from_ref(&changed),
            &CommitSummary {
                rows_new: 9,
                ..COMMIT
            },
        )
        .unwrap();
    assert!(second > first);
    let entries = catalog.list_entries(&BarSelection::default()).unwrap();
    assert_eq!(
        entries,
        [
            CatalogFile {
                commit_seq: Some(second),
                ..changed
            },
            CatalogFile {
                commit_seq: Some(first),
                ..july("MSFT")
            }
        ]
    );
    assert_eq!(count(&database, "commit_log"), 2);
}

#[test]
fn two_partitions_never_share_a_path() {
    let (_folder, database) = database();
    let catalog = catalog(&database);
    catalog.put_files(&[july("AAPL")], &COMMIT).unwrap();
    let thief = CatalogFile {
        path: july("AAPL").path,
        ..july("MSFT")
    };
    failure(
        &database,
        catalog.put_files(&[july("GOOD"), thief], &COMMIT),
    );
    assert_eq!(
        catalog.list_files(&BarSelection::default()).unwrap(),
        [july("AAPL").file]
    );
    assert_eq!(
        count(&database, "commit_log"),
        1,
        "the failed commit left nothing"
    );
}

#[test]
fn a_commit_of_an_unknown_job_is_refused() {
    let (_folder, database) = database();
    let job = Some(missing_job());
    let outcome = catalog(&database).put_files(&[july("AAPL")], &CommitSummary { job, ..COMMIT });
    assert_eq!(failure(&database, outcome).0, StoreErrorKind::Missing);
    let job = Some(new_job(&database).id());
    catalog(&database)
        .put_files(&[july("AAPL")], &CommitSummary { job, ..COMMIT })
        .unwrap();
}

#[test]
fn files_are_listed_by_dataset_symbol_frame_and_period() {
    let (_folder, database) = database();
    let raw = "alpaca/sip/raw";
    let expected = [
        file_of(raw, "AAPL", Timeframe::M1, "2023-12-01", "2023-12-29"),
        file_of(raw, "AAPL", Timeframe::M1, "2024-01-02", "2024-01-31"),
        file_of(raw, "AAPL", Timeframe::M10, "2023-01-03", "2023-12-29"),
        file_of(raw, "AAPL", Timeframe::D1, "2023-01-03", "2023-12-29"),
        file_of(raw, "BRK.B", Timeframe::M1, "2023-12-01", "2023-12-29"),
        file_of(
            "alpaca-x/sip/raw",
            "AAPL",
            Timeframe::M1,
            "2023-12-01",
            "2023-12-29",
        ),
    ];
    let shuffled = [5, 3, 0, 4, 2, 1].map(|n: usize| expected[n].clone());
    catalog(&database).put_files(&shuffled, &COMMIT).unwrap();
    let listed = |selection| {
        let files = catalog(&database).list_files(&selection).unwrap();
        let place = |file: &PartitionFile| {
            expected
                .iter()
                .position(|known| known.file == *file)
                .unwrap()
        };
        files.iter().map(place).collect::<Vec<_>>()
    };
    let all = BarSelection::default();
    assert_eq!(listed(all.clone()), [0, 1, 2, 3, 4, 5]);
    assert_eq!(
        listed(BarSelection {
            dataset: Some(dataset()),
            ..all.clone()
        }),
        [0, 1, 2, 3, 4]
    );
    assert_eq!(
        listed(BarSelection {
            symbols: vec![symbol("BRK.B"), symbol("NONE")],
            ..all.clone()
        }),
        [4]
    );
    assert_eq!(
        listed(BarSelection {
            timeframe: Some(Timeframe::M10),
            ..all.clone()
        }),
        [2]
    );
    let from_to = |first, last| BarSelection {
        sessions: Some((date(first), date(last))),
        ..all.clone()
    };
    assert_eq!(
        listed(from_to("2023-12-29", "2024-01-01")),
        [0, 2, 3, 4, 5],
        "a file that ends on the first day belongs"
    );
    assert_eq!(
        listed(from_to("2023-12-30", "2024-01-02")),
        [1],
        "and so does one that begins on the last"
    );
    assert!(listed(from_to("2023-12-30", "2024-01-01")).is_empty());
    let mut symbols = many_symbols(10_000);
    symbols.push(symbol("AAPL"));
    assert_eq!(
        listed(BarSelection {
            symbols,
            timeframe: Some(Timeframe::D1),
            ..all
        }),
        [3]
    );
}

#[test]
fn removed_files_are_counted_and_gone() {
    let (_folder, database) = database();
    let catalog = catalog(&database);
    catalog
        .put_files(&[july("AAPL"), july("MSFT")], &COMMIT)
        .unwrap();
    let keys = ["AAPL", "NONE", "AAPL"].map(|name| july(name).file.key);
    assert_eq!(catalog.delete_files(&keys).unwrap(), 1);
    assert_eq!(
        catalog.list_files(&BarSelection::default()).unwrap(),
        [july("MSFT").file]
    );
}

#[test]
fn every_store_has_a_name_of_its_own() {
    let ids: Vec<String> = (0..2)
        .map(|_| catalog(&database().1).store_id().unwrap())
        .collect();
    assert!(
        ids.iter()
            .all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())),
        "{ids:?}"
    );
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn damage_is_reported_not_guessed() {
    let (_folder, database) = database();
    let catalog = catalog(&database);
    catalog.put_files(&[july("AAPL")], &COMMIT).unwrap();
    catalog.put_redo(0, &[redo("MSFT", 0)]).unwrap();
    for sql in [
        "UPDATE partition_file SET period = '2024-13'; UPDATE pending SET period = 'July'",
        "UPDATE partition_file SET period = '2024-07', timeframe = '7m';
         UPDATE pending SET period = '2024-07', bytes = -1",
        "UPDATE partition_file SET timeframe = '1m', last_session_day = 99999999;
         UPDATE pending SET bytes = 1, schema_version = -1",
    ] {
        damage(&database, sql);
        assert_eq!(
            failure(&database, catalog.list_files(&BarSelection::default())).0,
            StoreErrorKind::Damaged,
            "{sql}"
        );
        assert_eq!(
            failure(&database, catalog.list_redo()).0,
            StoreErrorKind::Damaged,
            "{sql}"
        );
    }
}

#[test]
fn every_method_names_the_file_when_it_fails() {
    let (_folder, database) = database();
    let (catalog, key) = (catalog(&database), july("AAPL").file.key);
    catalog.put_files(&[july("AAPL")], &COMMIT).unwrap();
    damage(&database, "DROP TABLE partition_file; DROP TABLE pending");
    failure(&database, catalog.find_file(&key));
    failure(&database, catalog.list_files(&BarSelection::default()));
    failure(&database, catalog.put_files(&[july("AAPL")], &COMMIT));
    failure(&database, catalog.delete_files(std::slice::from_ref(&key)));
    failure(&database, catalog.put_redo(0, &[redo("AAPL", 0)]));
    failure(&database, catalog.list_redo());
    failure(&database, catalog.delete_redo(&[july("AAPL").path]));
    damage(
        &database,
        "DROP TABLE series; DROP TABLE commit_log; DROP TABLE store",
    );
    failure(&database, catalog.find_file(&key));
    failure(&database, catalog.delete_files(&[key]));
    failure(&database, catalog.put_files(&[], &COMMIT));
    failure(
        &database,
        database.write(|transaction| put_files_in(transaction, &[july("AAPL")], 1)),
    );
    failure(
        &database,
        database.write(|transaction| put_redo_in(transaction, &[redo("AAPL", 0)])),
    );
    failure(&database, catalog.put_redo(0, &[]));
    failure(&database, catalog.bump_epoch());
    failure(&database, catalog.store_id());
}
