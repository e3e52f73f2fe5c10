//! Tests of the commit and of what recovery makes of one that was cut short.

use std::path::PathBuf;

use super::*;
use crate::domain::event::Event;
use crate::domain::instant::{InstantRange, MINUTE_US};
use crate::domain::job::{JobCounts, JobRequest};
use crate::domain::merge::{AskedSession, ShrinkPolicy};
use crate::domain::ports::{
    JobRepository, OhlcvRepository, PartitionAnswer, PartitionOutcome, SessionAnswer,
    SymbolBarsRepository,
};
use crate::domain::{Bar, Calendar, JobId, Period, Session, Timeframe};
use crate::infrastructure::host::this_process;
use crate::infrastructure::sqlite::{
    CatalogFile, JobShare, RedoRecord, SqliteJobRepository, SqliteOhlcvRepository,
    SqliteSymbolBarsRepository,
};

struct Nobody;

impl EventPublisher for Nobody {
    fn publish(&self, _event: &Event) {}
}

struct Fixture {
    folder: tempfile::TempDir,
    store: LakeStore,
    job: JobId,
}

impl Fixture {
    /// What a removal of the only file would leave if it were cut short.
    fn removal_record(&self) -> RedoRecord {
        let old = self.store.catalog.find_entry(&key()).unwrap().unwrap();
        RedoRecord {
            old_sha256: Some(old.file.sha256.clone()),
            staged_name: format!("{REMOVAL_PREFIX}{}", old.file.sha256),
            file: old,
            epoch: self.store.catalog.bump_epoch().unwrap(),
            created_at_us: 0,
            share: JobShare::default(),
        }
    }

    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).unwrap();
        let jobs = SqliteJobRepository::new(store.database.clone());
        let request = JobRequest {
            words: "test".into(),
            spec: None,
        };
        let owner = this_process("test");
        let job = jobs.create_job(&request, &owner, 0).unwrap().id();
        Self { folder, store, job }
    }

    /// Rows new and revised by the count of the job.
    fn counted(&self) -> (u64, u64) {
        let jobs = SqliteJobRepository::new(self.store.database.clone());
        let job = jobs.get_job(self.job).unwrap();
        (job.counts().rows_new, job.counts().rows_revised)
    }

    fn reopened(&self) -> Result<LakeStore, StoreError> {
        open(&self.folder)
    }

    fn commit(&self, bars: &[Bar]) -> PartitionOutcome {
        let mut receipt = self.store.commit(self.batch(bars)).unwrap();
        receipt.partitions.remove(0).outcome
    }

    fn batch(&self, bars: &[Bar]) -> CommitBatch {
        let session = session();
        let range = InstantRange {
            start_us: session.window_start_us(),
            end_us: session.window_end_us(),
        };
        let answer = PartitionAnswer {
            key: key(),
            answer: BarBatch::from_columns(bars.iter().copied().collect(), Calendar::nyse())
                .unwrap(),
            sessions: vec![SessionAnswer {
                asked: AskedSession {
                    date: session.date(),
                    range,
                    quarantined_ts_us: Vec::new(),
                },
                session,
                asked_at_us: range.end_us + 86_400_000_000,
                next_pre_open_us: range.end_us + 8 * 60 * MINUTE_US,
            }],
            shrink: ShrinkPolicy::Accept,
        };
        CommitBatch {
            job: self.job,
            answers: vec![answer],
            quarantined: Vec::new(),
            checkpoints: Vec::new(),
            counts: JobCounts::default(),
            at_us: 0,
        }
    }

    fn path(&self) -> PathBuf {
        self.store.storage.path_of(&key())
    }

    fn staged(&self, name: &str) -> PathBuf {
        self.store.directory.staging().join(name)
    }

    fn rows(&self) -> usize {
        self.store
            .load(&BarSelection::default())
            .unwrap()
            .iter()
            .map(|(_, batch)| batch.len())
            .sum()
    }

    /// Leaves what a process leaves that dies after writing the redo record for `bars`: the staged file's bytes.
    fn interrupted(&self, bars: &[Bar]) -> Vec<u8> {
        let old = self.store.catalog.find_file(&key()).unwrap();
        let prepared = self.store.prepare(
            self.batch(bars).answers.remove(0),
            &std::collections::BTreeSet::new(),
        );
        let prepare::FileChange::Replace {
            staged_name, file, ..
        } = prepared.change
        else {
            panic!("the rows change nothing");
        };
        let bytes = std::fs::read(self.staged(&staged_name)).unwrap();
        let record = RedoRecord {
            file: CatalogFile {
                file: *file,
                path: commit::catalog_path(&key()),
                schema_version: 1,
                spec_hash: None,
                commit_seq: None,
            },
            staged_name,
            old_sha256: old.map(|old| old.sha256),
            epoch: self.store.catalog.bump_epoch().unwrap(),
            created_at_us: 0,
            share: JobShare {
                job: Some(self.job),
                rows_new: 2,
                rows_revised: 3,
            },
        };
        self.store
            .catalog
            .put_redo(record.epoch, &[record])
            .unwrap();
        bytes
    }
}

fn open(folder: &tempfile::TempDir) -> Result<LakeStore, StoreError> {
    let directory = DataDirectory::new(folder.path().join("data"));
    directory.create()?;
    let database = Database::open(&directory.database())?;
    LakeStore::open(
        directory,
        database,
        Arc::new(Nobody),
        Duration::from_secs(5),
    )
}

fn session() -> Session {
    Calendar::nyse()
        .session("2024-07-02".parse().unwrap())
        .unwrap()
        .unwrap()
}

fn key() -> PartitionKey {
    PartitionKey {
        dataset: "alpaca/sip/raw".parse().unwrap(),
        timeframe: Timeframe::M1,
        symbol: "AAPL".parse().unwrap(),
        period: Period::Month("2024-07".parse().unwrap()),
    }
}

fn bars(count: i64, price: f64) -> Vec<Bar> {
    let open_us = session().open_us();
    (0..count)
        .map(|minute| Bar {
            ts_us: open_us + minute * MINUTE_US,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 1.0,
            trade_count: None,
            vwap: None,
        })
        .collect()
}

#[test]
fn a_commit_is_seen_by_whoever_opens_the_store_next() {
    let fixture = Fixture::new();
    assert!(matches!(
        fixture.commit(&bars(10, 1.0)),
        PartitionOutcome::Written
    ));
    let again = fixture.reopened().unwrap();
    let files = again.list_files(&BarSelection::default()).unwrap();
    assert_eq!((files.len(), files[0].rows), (1, 10));
    let ledger = SqliteSymbolBarsRepository::new(fixture.store.database.clone());
    let record = ledger
        .find_session(&key().dataset, &key().symbol, session().date())
        .unwrap()
        .unwrap();
    assert_eq!((record.rows(), record.is_settled), (10, true));
    assert!(
        std::fs::read_dir(fixture.store.directory.staging())
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn the_same_rows_again_write_no_file() {
    let fixture = Fixture::new();
    fixture.commit(&bars(10, 1.0));
    let before = std::fs::metadata(fixture.path())
        .unwrap()
        .modified()
        .unwrap();
    assert!(matches!(
        fixture.commit(&bars(10, 1.0)),
        PartitionOutcome::Unchanged
    ));
    assert_eq!(
        std::fs::metadata(fixture.path())
            .unwrap()
            .modified()
            .unwrap(),
        before
    );
}

#[test]
fn corrections_are_kept_as_revisions_and_a_file_without_rows_goes_away() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    fixture.commit(&bars(3, 2.0));
    fixture.commit(&[]);
    assert_eq!(fixture.rows(), 0);
    assert!(!fixture.path().exists());
    let mut revisions = 0;
    SqliteOhlcvRepository::new(fixture.store.database.clone())
        .for_each_revision(&BarSelection::default(), &mut |_| {
            revisions += 1;
            true
        })
        .unwrap();
    assert_eq!(revisions, 6, "three corrected, three withdrawn");
}

#[test]
fn a_commit_cut_short_before_the_rename_is_finished() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    fixture.interrupted(&bars(5, 2.0));
    assert_eq!((fixture.rows(), fixture.counted()), (3, (3, 0)));
    fixture.reopened().unwrap();
    assert_eq!((fixture.rows(), fixture.counted()), (5, (5, 3)));
    fixture.reopened().unwrap();
    let again = (fixture.rows(), fixture.counted());
    assert_eq!(again, (5, (5, 3)), "recovery can run again");
}

#[test]
fn a_commit_cut_short_after_the_rename_is_finished() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    let bytes = fixture.interrupted(&bars(5, 2.0));
    std::fs::write(fixture.path(), bytes).unwrap();
    fixture.reopened().unwrap();
    assert_eq!((fixture.rows(), fixture.counted()), (5, (5, 3)));
    assert!(
        std::fs::read_dir(fixture.store.directory.staging())
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn a_commit_whose_staged_file_is_lost_is_forgotten() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    fixture.interrupted(&bars(5, 2.0));
    for entry in std::fs::read_dir(fixture.store.directory.staging()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fixture.reopened().unwrap();
    assert_eq!((fixture.rows(), fixture.counted()), (3, (3, 0)));
    assert!(fixture.store.catalog.list_redo().unwrap().is_empty());
}

#[test]
fn a_file_that_somebody_else_changed_meanwhile_is_not_overwritten() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    fixture.interrupted(&bars(5, 2.0));
    std::fs::write(fixture.path(), b"something else").unwrap();
    let again = fixture.reopened().unwrap();
    let receipt = again.commit(fixture.batch(&bars(7, 3.0))).unwrap();
    assert!(
        matches!(receipt.partitions[0].outcome, PartitionOutcome::Failed(_)),
        "its own partition waits"
    );
    assert_eq!(std::fs::read(fixture.path()).unwrap(), b"something else");
    assert_eq!(again.catalog.list_redo().unwrap().len(), 1);
}

#[test]
fn a_removal_cut_short_is_finished() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    let record = fixture.removal_record();
    fixture
        .store
        .catalog
        .put_redo(record.epoch, &[record])
        .unwrap();
    fixture.reopened().unwrap();
    assert!(!fixture.path().exists());
    assert!(
        fixture
            .store
            .list_files(&BarSelection::default())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn damaged_missing_and_unknown_files_fail_their_partition_alone() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    let bytes = std::fs::read(fixture.path()).unwrap();
    let fails_with = |words: &str| {
        let PartitionOutcome::Failed(error) = fixture.commit(&bars(5, 2.0)) else {
            panic!("the commit went through: {words}");
        };
        assert_eq!(error.kind, StoreErrorKind::Damaged);
        assert!(error.to_string().contains(words), "{error}");
    };
    let mut flipped = bytes.clone();
    flipped[10] ^= 1;
    std::fs::write(fixture.path(), &flipped).unwrap();
    fails_with("its SHA-256 is");
    assert_eq!(
        std::fs::read(fixture.path()).unwrap(),
        flipped,
        "nothing is overwritten"
    );
    assert!(fixture.store.load(&BarSelection::default()).is_err());
    std::fs::remove_file(fixture.path()).unwrap();
    fails_with("in the catalog but not on disk");
    fixture.store.catalog.delete_files(&[key()]).unwrap();
    std::fs::write(fixture.path(), &bytes).unwrap();
    fails_with("on disk but not in the catalog");
}

#[test]
fn whoever_took_over_stops_the_other() {
    let fixture = Fixture::new();
    let epoch = fixture.store.catalog.bump_epoch().unwrap();
    fixture.store.catalog.bump_epoch().unwrap();
    let refused = fixture.store.catalog.put_redo(epoch, &[]).unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Locked);
}

#[test]
fn a_held_store_lock_is_waited_for_and_then_told() {
    let fixture = Fixture::new();
    let _held = fixture.store.lock().unwrap();
    let impatient = LakeStore::open(
        fixture.store.directory.clone(),
        fixture.store.database.clone(),
        Arc::new(Nobody),
        Duration::from_millis(20),
    );
    assert_eq!(impatient.err().unwrap().kind, StoreErrorKind::Locked);
}

#[test]
fn reading_one_session_leaves_the_others_out() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    let day = |text: &str| text.parse().unwrap();
    let selection = BarSelection {
        sessions: Some((day("2024-07-01"), day("2024-07-01"))),
        ..BarSelection::default()
    };
    assert!(fixture.store.load(&selection).unwrap().is_empty());
}

#[test]
fn a_commit_cut_short_is_asked_for_again_and_keeps_its_revisions() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    let ledger = SqliteSymbolBarsRepository::new(fixture.store.database.clone());
    let record = || {
        ledger
            .find_session(&key().dataset, &key().symbol, session().date())
            .unwrap()
            .unwrap()
    };
    assert!(record().is_settled);
    let batch = fixture.batch(&bars(3, 2.0));
    let epoch = fixture.store.catalog.bump_epoch().unwrap();
    let prepared = vec![
        fixture
            .store
            .prepare(batch.answers[0].clone(), &std::collections::BTreeSet::new()),
    ];
    let context = commit::CommitContext::of(&batch);
    fixture
        .store
        .write_ahead(&prepared, &context, epoch)
        .unwrap();
    fixture.reopened().unwrap();
    assert_eq!(fixture.rows(), 3);
    assert!(
        !record().is_settled && record().asked.is_empty(),
        "the next run asks again"
    );
    let mut revisions = 0;
    let count = &mut |_| {
        revisions += 1;
        true
    };
    SqliteOhlcvRepository::new(fixture.store.database.clone())
        .for_each_revision(&BarSelection::default(), count)
        .unwrap();
    assert_eq!(revisions, 3);
}

#[test]
fn a_folder_in_the_way_fails_its_partition_alone() {
    let fixture = Fixture::new();
    let folder = fixture.path().parent().unwrap().to_owned();
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    std::fs::write(&folder, b"a file where a folder should be").unwrap();
    assert!(matches!(
        fixture.commit(&bars(3, 1.0)),
        PartitionOutcome::Failed(_)
    ));
    assert!(
        fixture.store.catalog.list_redo().unwrap().is_empty(),
        "nothing is left to be finished"
    );
    std::fs::remove_file(&folder).unwrap();
    assert!(matches!(
        fixture.commit(&bars(3, 1.0)),
        PartitionOutcome::Written
    ));
}

#[test]
fn an_older_answer_that_comes_late_changes_nothing() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    let mut late = fixture.batch(&bars(3, 2.0));
    late.answers[0].sessions[0].asked_at_us -= 1;
    let receipt = fixture.store.commit(late).unwrap();
    assert!(matches!(
        receipt.partitions[0].outcome,
        PartitionOutcome::Unchanged
    ));
    assert_eq!(
        fixture.store.load(&BarSelection::default()).unwrap()[0]
            .1
            .bar(0)
            .open,
        1.0
    );
}

#[test]
fn a_second_question_keeps_what_the_first_one_put_into_quarantine() {
    let fixture = Fixture::new();
    let open_us = session().open_us();
    let ask = |from: i64, to: i64, bad: Vec<i64>, rows: &[Bar]| {
        let mut batch = fixture.batch(rows);
        let asked = &mut batch.answers[0].sessions[0].asked;
        asked.range = InstantRange {
            start_us: open_us + from * MINUTE_US,
            end_us: open_us + to * MINUTE_US,
        };
        asked.quarantined_ts_us = bad;
        fixture.store.commit(batch).unwrap();
    };
    ask(0, 10, vec![open_us + 5 * MINUTE_US], &bars(5, 1.0));
    ask(10, 20, Vec::new(), &[]);
    let ledger = SqliteSymbolBarsRepository::new(fixture.store.database.clone());
    let record = ledger
        .find_session(&key().dataset, &key().symbol, session().date())
        .unwrap()
        .unwrap();
    assert_eq!(record.quarantined.len(), 1);
}

#[test]
fn a_failed_month_takes_back_its_own_revisions_alone() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    // August is in the way of its folder; July is revised in the same commit.
    let mut batch = fixture.batch(&bars(3, 2.0));
    batch.at_us = 1;
    let august = PartitionKey {
        period: Period::Month("2024-08".parse().unwrap()),
        ..key()
    };
    let folder = fixture
        .store
        .storage
        .path_of(&august)
        .parent()
        .unwrap()
        .to_owned();
    std::fs::write(&folder, b"in the way").unwrap();
    let month_us = 31 * 86_400_000_000;
    let mut answer = batch.answers[0].clone();
    let session = Calendar::nyse()
        .session("2024-08-02".parse().unwrap())
        .unwrap()
        .unwrap();
    answer.key = august;
    answer.answer = BarBatch::from_columns(
        bars(3, 1.0)
            .into_iter()
            .map(|bar| Bar {
                ts_us: bar.ts_us + month_us,
                ..bar
            })
            .collect(),
        Calendar::nyse(),
    )
    .unwrap();
    answer.sessions[0].session = session;
    answer.sessions[0].asked.date = session.date();
    answer.sessions[0].asked.range = InstantRange {
        start_us: session.window_start_us(),
        end_us: session.window_end_us(),
    };
    batch.answers.push(answer);
    let receipt = fixture.store.commit(batch).unwrap();
    assert!(matches!(
        receipt.partitions[1].outcome,
        PartitionOutcome::Failed(_)
    ));
    let mut revisions = 0;
    let count = &mut |_| {
        revisions += 1;
        true
    };
    SqliteOhlcvRepository::new(fixture.store.database.clone())
        .for_each_revision(&BarSelection::default(), count)
        .unwrap();
    assert_eq!(revisions, 3, "July's stay");
    let ledger = SqliteSymbolBarsRepository::new(fixture.store.database.clone());
    let key = key();
    let record = |date| {
        let found = ledger.find_session(&key.dataset, &key.symbol, date);
        found.unwrap()
    };
    assert!(
        record(session.date()).is_none(),
        "it counts as not asked for"
    );
    assert!(record(self::session().date()).unwrap().rows() > 0);
}

/// Everything that lies below `folder`, by its content.
fn contents(folder: &std::path::Path) -> Vec<Vec<u8>> {
    let files = disk::list_files_below(folder).unwrap();
    files
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

impl Fixture {
    fn rebuilt(&self) -> Reconciled {
        let lock = self.store.lock().unwrap();
        self.store.adopt_lake(&lock, 0).unwrap()
    }

    fn withdrawn(&self, can_fetch: bool) -> Reconciled {
        let selection = BarSelection::default();
        let withdrawn = self
            .store
            .withdraw_damaged(&selection, &|_| can_fetch, 0)
            .unwrap();
        assert_eq!(withdrawn.kept, 0, "the others are not even looked at");
        withdrawn
    }

    fn execute(&self, sql: &str) {
        let executed = self.store.database.write(|transaction| {
            transaction.execute_batch(sql).unwrap();
            Ok(())
        });
        executed.unwrap();
    }
}

#[test]
fn a_commit_that_cannot_be_finished_now_is_not_taken_for_damage() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    let bytes = fixture.interrupted(&bars(5, 2.0));
    std::fs::write(fixture.path(), &bytes).unwrap();
    fixture.execute(
        "CREATE TRIGGER full BEFORE INSERT ON commit_log BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    for found in [fixture.withdrawn(true), fixture.rebuilt()] {
        assert_eq!((found.set_aside, found.adopted), (vec![], vec![]));
        assert!(found.left[0].why.contains("no room"), "{:?}", found.left);
    }
    assert_eq!(std::fs::read(fixture.path()).unwrap(), bytes);
    fixture.execute("DROP TRIGGER full");
    fixture.reopened().unwrap();
    assert_eq!((fixture.rows(), fixture.counted()), (5, (5, 3)));
}

#[test]
fn a_sound_file_on_its_way_replaces_what_was_damaged_or_removed_meanwhile() {
    for by in ["repair", "rebuild"] {
        let fixture = Fixture::new();
        fixture.commit(&bars(3, 1.0));
        fixture.interrupted(&bars(5, 2.0));
        std::fs::write(fixture.path(), b"half a file").unwrap();
        let found = match by {
            "repair" => {
                let selection = BarSelection::default();
                let withdrawn = fixture.store.withdraw_damaged(&selection, &|_| true, 0);
                withdrawn.unwrap()
            }
            _ => fixture.rebuilt(),
        };
        assert_eq!(
            (found.set_aside.len(), found.withdrawn.len()),
            (1, 0),
            "{by}"
        );
        assert_eq!(fixture.rows(), 5, "{by}");
        assert_eq!(
            contents(&fixture.store.directory.damaged()),
            [b"half a file"]
        );
    }
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    fixture.interrupted(&bars(5, 2.0));
    std::fs::remove_file(fixture.path()).unwrap();
    fixture.reopened().unwrap();
    assert_eq!(fixture.rows(), 5);
}

#[test]
fn what_nobody_can_fetch_again_stays_where_it_is() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    std::fs::write(fixture.path(), b"half a file").unwrap();
    let found = fixture.withdrawn(false);
    assert_eq!((found.set_aside.len(), found.withdrawn.len()), (0, 0));
    assert!(
        found.left[0].why.contains("no provider"),
        "{:?}",
        found.left
    );
    assert_eq!(std::fs::read(fixture.path()).unwrap(), b"half a file");
    assert_eq!(fixture.withdrawn(true).set_aside.len(), 1);
}

#[test]
fn rows_of_another_month_are_not_the_files_of_this_one() {
    let fixture = Fixture::new();
    let august = PartitionKey {
        period: Period::Month("2024-08".parse().unwrap()),
        ..key()
    };
    let batch = BarBatch::from_columns(bars(3, 1.0).into_iter().collect(), Calendar::nyse());
    let encoded = fixture
        .store
        .storage
        .engine()
        .encode(&august, batch.unwrap());
    let path = fixture.store.storage.path_of(&august);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, encoded.unwrap().bytes).unwrap();
    let found = fixture.rebuilt();
    assert_eq!((found.adopted.len(), found.set_aside.len()), (0, 1));
    assert!(found.set_aside[0].why.contains("not of 2024-08"));
}

#[test]
fn a_damaged_month_that_the_catalog_never_knew_is_missed() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    fixture.execute("DELETE FROM partition_file; DELETE FROM session_record");
    std::fs::write(fixture.path(), b"half a file").unwrap();
    let lock = fixture.store.lock().unwrap();
    let mid_july_us = session().window_end_us() + 10 * 86_400_000_000;
    let found = fixture.store.adopt_lake(&lock, mid_july_us).unwrap();
    assert_eq!(found.set_aside.len(), 1);
    let ledger = SqliteSymbolBarsRepository::new(fixture.store.database.clone());
    let (first, last) = key().period.month_dates().unwrap();
    let records = ledger.list_sessions(&key().dataset, &key().symbol, first, last);
    let records = records.unwrap();
    assert!(records.iter().all(|record| record.asked.is_empty()));
    let dates: Vec<String> = records
        .iter()
        .map(|record| record.date.to_string())
        .collect();
    assert_eq!(dates.first().map(String::as_str), Some("2024-07-01"));
    assert_eq!(
        dates.last().map(String::as_str),
        Some("2024-07-12"),
        "no later one had begun"
    );
    assert_eq!(dates.len(), 9, "without the holiday: {dates:?}");
}

#[test]
fn recovery_waits_for_those_who_read() {
    let fixture = Fixture::new();
    fixture.commit(&bars(3, 1.0));
    let bytes = std::fs::read(fixture.path()).unwrap();
    let record = fixture.removal_record();
    let put = fixture.store.catalog.put_redo(record.epoch, &[record]);
    put.unwrap();
    let (_, reading) = fixture.store.pin_files(&BarSelection::default()).unwrap();
    fixture.reopened().unwrap();
    assert_eq!(
        std::fs::read(fixture.path()).unwrap(),
        bytes,
        "somebody reads it"
    );
    drop(reading);
    fixture.reopened().unwrap();
    assert!(!fixture.path().exists());
}

#[test]
fn a_rebuilt_catalog_says_of_a_file_what_the_file_says_and_keeps_what_is_in_quarantine() {
    let fixture = Fixture::new();
    let mut batch = fixture.batch(&bars(3, 1.0));
    let bad_us = session().open_us() + 5 * MINUTE_US;
    batch.answers[0].sessions[0].asked.quarantined_ts_us = vec![bad_us];
    fixture.store.commit(batch).unwrap();
    assert_eq!(fixture.rebuilt().kept, 1);
    fixture.execute("UPDATE partition_file SET rows = 4");
    assert_eq!(fixture.rebuilt().adopted, [key()]);
    let files = fixture.store.list_files(&BarSelection::default()).unwrap();
    assert_eq!(files[0].rows, 3);
    let ledger = SqliteSymbolBarsRepository::new(fixture.store.database.clone());
    let (dataset, symbol) = (&key().dataset, &key().symbol);
    let record = ledger.find_session(dataset, symbol, session().date());
    assert_eq!(record.unwrap().unwrap().quarantined.len(), 1);
}
