//! Tests of the repositories on real databases in temporary folders. What several of them need is here.

mod catalog;
mod checkpoint;
mod job;
mod metrics;
mod migrate;
mod ohlcv;
mod opening;
mod pool;
mod redo;
mod status;
mod stock;
mod symbol_bars;

use tempfile::TempDir;

use super::*;
use crate::domain::job::{IngestionJob, JobId, JobOwner, JobRequest};
use crate::domain::ports::{JobRepository, StoreError, StoreErrorKind};
use crate::domain::{Dataset, SessionDate, Symbol};

/// A new database; it lives as long as the folder.
fn database() -> (TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("marketpipe.db")).unwrap();
    (folder, database)
}

fn date(text: &str) -> SessionDate {
    text.parse().unwrap()
}

fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

fn dataset() -> Dataset {
    "alpaca/sip/raw".parse().unwrap()
}

fn owner() -> JobOwner {
    JobOwner {
        pid: 4711,
        host: "here".into(),
        lease: Some("4711-1".into()),
    }
}

fn request(words: &str) -> JobRequest {
    JobRequest {
        words: words.into(),
        spec: Some("{}".into()),
    }
}

fn new_job(database: &Database) -> IngestionJob {
    SqliteJobRepository::new(database.clone())
        .create_job(&request("ingest AAPL"), &owner(), 1_000_000)
        .unwrap()
}

/// Runs SQL behind the repositories' back, without foreign keys, the way damage looks.
fn damage(database: &Database, sql: &str) {
    let conn = rusqlite::Connection::open(database.path()).unwrap();
    conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}"))
        .unwrap();
}

fn count(database: &Database, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    database
        .read(|conn| Ok(conn.query_row(&sql, [], |row| row.get(0)).unwrap()))
        .unwrap()
}

/// The failure, which names the database's file.
#[track_caller]
fn failure<T: std::fmt::Debug>(
    database: &Database,
    outcome: Result<T, StoreError>,
) -> (StoreErrorKind, String) {
    let error = outcome.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&database.path().display().to_string()),
        "{text}"
    );
    (error.kind, text)
}

/// The symbols `S0000`, `S0001`, ...
fn many_symbols(number: usize) -> Vec<Symbol> {
    (0..number).map(|n| symbol(&format!("S{n:04}"))).collect()
}

fn missing_job() -> JobId {
    JobId(4711)
}
