//! What reconciliation writes into catalog and ledger, each in the transaction of the caller.

use rusqlite::Transaction;

use crate::domain::ports::StoreError;
use crate::domain::{BarBatch, Calendar, PartitionKey, SessionDate, SessionRecord};
use crate::infrastructure::sqlite::CatalogFile;
use crate::infrastructure::sqlite::catalog::{delete_files_in, put_files_in};
use crate::infrastructure::sqlite::derivation::{delete_derivation_in, put_derivation_in};
use crate::infrastructure::sqlite::symbol_bars::{
    delete_sessions_in, list_sessions_in, put_sessions_in,
};

use super::commit::catalog_path;
use super::verify::{SoundFile, record_of};

/// Enters a sound file, and its sessions as not asked for.
pub(super) fn adopt_in(
    transaction: &Transaction<'_>,
    sound: &SoundFile,
    commit_seq: i64,
) -> Result<(), StoreError> {
    let key = &sound.file.key;
    let derived = sound.derived.as_ref();
    let file = CatalogFile {
        file: sound.file.clone(),
        path: catalog_path(key),
        schema_version: sound.schema_version,
        spec_hash: derived.map(|derived| derived.spec_hash.clone()),
        commit_seq: None,
    };
    put_files_in(transaction, &[file], commit_seq)?;
    if let Some(derived) = derived {
        let source_hash = derived.source_hash.as_deref().unwrap_or_default();
        return put_derivation_in(transaction, key, &derived.spec_hash, source_hash);
    }
    // What is in quarantine has no row in any file: only the ledger knows of it.
    let mut records = sound.records.clone();
    if let Some((first, last)) = key.period.month_dates() {
        let before = list_sessions_in(transaction, &key.dataset, &key.symbol, first, last)?;
        for record in &mut records {
            let before = before.iter().find(|before| before.date == record.date);
            if let Some(before) = before {
                record.quarantined = before.quarantined.without(&record.present);
            }
        }
    }
    // Of a session that the file has no row of nothing is left to be believed.
    forget_rows_in(transaction, key, |date| {
        sound.records.iter().any(|record| record.date == date)
    })?;
    put_sessions_in(transaction, &key.dataset, &key.symbol, &records)
}

/// Forgets the file of `key`; its sessions count as not asked for.
pub(super) fn withdraw_in(
    transaction: &Transaction<'_>,
    key: &PartitionKey,
) -> Result<(), StoreError> {
    delete_files_in(transaction, std::slice::from_ref(key))?;
    if key.timeframe.is_derived() {
        return delete_derivation_in(transaction, key);
    }
    forget_rows_in(transaction, key, |_| false)
}

/// Records the sessions of a month of which nothing is left but a file that is no good and that the catalog never knew:
/// those that had begun by `at_us` and that the ledger has no word of count as not asked for, so that they are missed.
pub(super) fn note_lost_in(
    transaction: &Transaction<'_>,
    key: &PartitionKey,
    at_us: i64,
) -> Result<(), StoreError> {
    let Some((first, last)) = key.period.month_dates() else {
        return Ok(());
    };
    let before = list_sessions_in(transaction, &key.dataset, &key.symbol, first, last)?;
    let days = first.days_since_epoch()..=last.days_since_epoch();
    let has_begun = |date: &SessionDate| {
        let session = Calendar::of(&key.symbol).session(*date).ok().flatten();
        session.is_some_and(|session| session.window_start_us() < at_us)
    };
    let nothing = BarBatch::empty();
    let lost: Vec<SessionRecord> = days
        .filter_map(SessionDate::from_days_since_epoch)
        .filter(|date| before.iter().all(|record| record.date != *date))
        .filter(has_begun)
        .filter_map(|date| record_of(key, date, &nothing, None))
        .collect();
    put_sessions_in(transaction, &key.dataset, &key.symbol, &lost)
}

/// Makes the ledger say that no minute of the partition is there and none was asked for, except of sessions to keep and
/// of those that were answered with nothing.
fn forget_rows_in(
    transaction: &Transaction<'_>,
    key: &PartitionKey,
    is_kept: impl Fn(SessionDate) -> bool,
) -> Result<(), StoreError> {
    let Some((first, last)) = key.period.month_dates() else {
        return Ok(());
    };
    let (dataset, symbol) = (&key.dataset, &key.symbol);
    let before = list_sessions_in(transaction, dataset, symbol, first, last)?;
    let nothing = BarBatch::empty();
    for record in before
        .iter()
        .filter(|record| record.rows() > 0 && !is_kept(record.date))
    {
        match record_of(key, record.date, &nothing, Some(record)) {
            Some(emptied) => put_sessions_in(transaction, dataset, symbol, &[emptied])?,
            None => {
                let date = record.date;
                _ = delete_sessions_in(transaction, dataset, symbol, date, date)?;
            }
        }
    }
    Ok(())
}

/// The records of `before` that were never asked for, as `stored`, the partition's rows, really holds them; only those
/// that say something else.
pub(super) fn realigned(
    key: &PartitionKey,
    before: &[SessionRecord],
    stored: &BarBatch,
) -> Vec<SessionRecord> {
    let unasked = before.iter().filter(|record| record.asked.is_empty());
    unasked
        .filter_map(|record| {
            let real = record_of(key, record.date, stored, Some(record))?;
            (real != *record).then_some(real)
        })
        .collect()
}
