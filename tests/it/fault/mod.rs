//! Faults of the machine, of storage and of people: no bar that was reported as committed is lost, doubled or altered, and
//! no input makes the program lie. Each fault leaves a row for `tests/fault/RESULTS.md`, see CONTRIBUTING.md.

mod clock;
mod concurrency;
mod crash;
mod damage;
mod security;
mod storage;

use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

/// Whether `strace` is at hand and may trace; says that the test is skipped if not.
pub(crate) fn strace() -> bool {
    let tried = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync",
            "true",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let can_trace = tried.is_ok_and(|status| status.success());
    if !can_trace {
        eprintln!("skipped: no strace");
    }
    can_trace
}

/// The same command, run by `wrapper`, which ends with the program's words.
pub(crate) fn wrapped(wrapper: &[&str], inner: &Command) -> Command {
    let mut command = Command::new(wrapper[0]);
    command
        .args(&wrapper[1..])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .current_dir(inner.get_current_dir().unwrap());
    for (name, value) in inner.get_envs() {
        command.envs(value.map(|value| (name, value)));
    }
    command
}

/// Copies the files and folders below `from` into `to`, which exists.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// What ledger, catalog, quarantine and derivations say, without times and numbers of commits.
pub(crate) fn ledger_of(data: &Path) -> Vec<String> {
    const SQL: &str = "
        SELECT 'session ' || dataset || ' ' || symbol || ' ' || session_day || ' ' || asked_start_us || ' ' ||
               asked_end_us || ' ' || is_settled || ' ' || hex(present) || ' ' || hex(quarantined) || ' ' || rows || ' ' || volume
        FROM session_record JOIN series USING (series_id)
        UNION ALL SELECT 'file ' || path || ' ' || sha256 || ' ' || rows || ' ' || ifnull(spec_hash, '') FROM partition_file
        UNION ALL SELECT 'derived ' || dataset || ' ' || symbol || ' ' || timeframe || ' ' || period || ' ' || spec_hash || ' ' || source_hash
        FROM derivation JOIN series USING (series_id)
        UNION ALL SELECT 'quarantine ' || dataset || ' ' || symbol || ' ' || ifnull(ts_us, '') || ' ' || rule FROM quarantine
        UNION ALL SELECT 'revision ' || dataset || ' ' || symbol || ' ' || ts_us || ' ' || old_volume || ' ' || ifnull(new_volume, '')
        FROM revision JOIN series USING (series_id)
        ORDER BY 1";
    let database = rusqlite::Connection::open(data.join("marketpipe.db")).unwrap();
    let mut select = database.prepare(SQL).unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Makes a database of this program one of the first version with the same content, as far as that one had it.
pub(crate) fn downgrade(path: &Path) {
    const INITIAL: &str = include_str!("../../../migrations/0001_initial.sql");
    let old_path = path.with_extension("old");
    let old = rusqlite::Connection::open(&old_path).unwrap();
    old.pragma_update(None, "foreign_keys", false).unwrap();
    old.execute_batch(INITIAL).unwrap();
    let digest = Sha256::digest(INITIAL.as_bytes());
    let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    old.execute(
        "INSERT INTO migration (version, name, sha256, applied_at_us) VALUES (1, '0001_initial', ?, 0)",
        [sha256],
    )
    .unwrap();
    old.execute("ATTACH ? AS new", [path.to_str().unwrap()])
        .unwrap();
    let tables = names(
        &old,
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'migration'",
    );
    for table in tables {
        let columns_of = |database: &str| {
            let sql = format!("SELECT name FROM pragma_table_info('{table}', '{database}')");
            names(&old, &sql)
        };
        let (columns, present) = (columns_of("main"), columns_of("new"));
        // A column that is gone was of no use at the end, so that any value will do.
        let values = columns.iter().map(|column| match present.contains(column) {
            true => column.as_str(),
            false => "0",
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let columns = columns.join(", ");
        let copy = format!(
            "DELETE FROM main.{table}; INSERT INTO main.{table} ({columns}) SELECT {values} FROM new.{table}"
        );
        old.execute_batch(&copy).unwrap();
    }
    let application: i64 = old
        .pragma_query_value(Some("new"), "application_id", |row| row.get(0))
        .unwrap();
    old.execute_batch("DETACH new").unwrap();
    old.pragma_update(None, "application_id", application)
        .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    old.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
        .unwrap();
    old.close().unwrap();
    std::fs::rename(old_path, path).unwrap();
}

fn names(database: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let mut select = database.prepare(sql).unwrap();
    let found = select.query_map([], |row| row.get(0)).unwrap();
    found.map(Result::unwrap).collect()
}
