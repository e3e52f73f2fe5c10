//! Claims of the redo records and the fence.

use super::super::catalog::put_files_in;
use super::super::fence::append_commit_in;
use super::super::redo::delete_redo_in;
use super::catalog::{COMMIT, catalog, july, redo};
use super::*;
use crate::domain::ports::BarSelection;

#[test]
fn redo_records_read_back_until_they_are_forgotten() {
    let (_folder, database) = database();
    let catalog = catalog(&database);
    let epoch = catalog.bump_epoch().unwrap();
    let fresh = RedoRecord {
        old_sha256: None,
        ..redo("AAPL", epoch)
    };
    catalog
        .put_redo(epoch, &[redo("MSFT", epoch), fresh.clone()])
        .unwrap();
    assert_eq!(
        catalog.list_redo().unwrap(),
        [fresh.clone(), redo("MSFT", epoch)]
    );
    assert!(
        catalog
            .list_files(&BarSelection::default())
            .unwrap()
            .is_empty(),
        "they are not in the catalog yet"
    );
    assert_eq!(
        catalog
            .delete_redo(&[fresh.file.path, "lake/none".into()])
            .unwrap(),
        1
    );
    assert_eq!(catalog.list_redo().unwrap(), [redo("MSFT", epoch)]);
}

#[test]
fn recovery_finishes_a_commit_in_one_transaction() {
    let (_folder, database) = database();
    let catalog = catalog(&database);
    catalog.put_redo(0, &[redo("AAPL", 0)]).unwrap();
    let commit = database
        .write(|transaction| {
            let record = catalog.list_redo()?.remove(0);
            let commit = append_commit_in(transaction, &COMMIT)?;
            put_files_in(transaction, std::slice::from_ref(&record.file), commit)?;
            delete_redo_in(transaction, &[record.file.path])?;
            Ok(commit)
        })
        .unwrap();
    let entries = catalog.list_entries(&BarSelection::default()).unwrap();
    assert_eq!(
        entries,
        [CatalogFile {
            commit_seq: Some(commit),
            ..july("AAPL")
        }]
    );
    assert!(catalog.list_redo().unwrap().is_empty());
}

#[test]
fn a_path_has_one_redo_record_and_a_batch_is_all_or_nothing() {
    let (_folder, database) = database();
    let catalog = catalog(&database);
    catalog.put_redo(0, &[redo("AAPL", 0)]).unwrap();
    let again = RedoRecord {
        staged_name: "another".into(),
        ..redo("AAPL", 0)
    };
    failure(&database, catalog.put_redo(0, &[redo("MSFT", 0), again]));
    let stolen_name = RedoRecord {
        staged_name: "staged-AAPL".into(),
        ..redo("MSFT", 0)
    };
    failure(&database, catalog.put_redo(0, &[stolen_name]));
    assert_eq!(catalog.list_redo().unwrap().len(), 1);
}

#[test]
fn whoever_was_overtaken_writes_nothing() {
    let (folder, first) = database();
    let second = Database::open(&folder.path().join("marketpipe.db")).unwrap();
    let mine = catalog(&first).bump_epoch().unwrap();
    let theirs = catalog(&second).bump_epoch().unwrap();
    assert_eq!((mine, theirs), (1, 2));
    let error = catalog(&first)
        .put_redo(mine, &[redo("AAPL", mine)])
        .unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Locked);
    assert_eq!(
        error.to_string(),
        "another process took over the store: its epoch is 2, this commit began under 1"
    );
    assert_eq!((count(&first, "pending"), count(&first, "series")), (0, 0));
    catalog(&second)
        .put_redo(theirs, &[redo("AAPL", theirs)])
        .unwrap();
}
