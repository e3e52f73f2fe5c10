//! SQL: what `query` must not reach, and what strings elsewhere must not become.

use std::time::Instant;

use marketpipe::infrastructure::fake_alpaca::Tape;

use super::{Outside, SECTION, assert_orderly, listing};
use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{Lab, run};

const CANARY: &str = "canary-of-a-file-outside";

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-07-01", "2024-07-02");
    lab.ingest("AAPL,MSFT", "2024-07-01", "2024-07-02");
    for name in ["outside.csv", "outside.json", "outside.txt"] {
        std::fs::write(lab.folder.path().join(name), format!("{CANARY}\n1\n")).unwrap();
    }
    lab
}

/// Statements that read, write, load, reconfigure or ask somebody else. `{out}` is the folder outside.
const STATEMENTS: [&str; 96] = [
    // Reading files.
    "from '{out}/outside.csv'",
    "from \"{out}/outside.csv\"",
    "select * from read_csv('{out}/outside.csv')",
    "select * from read_csv_auto('{out}/outside.csv')",
    "select * from read_csv(['{out}/outside.csv'])",
    "select * from sniff_csv('{out}/outside.csv')",
    "select * from read_text('{out}/outside.txt')",
    "select * from read_text('{out}/*')",
    "select * from read_blob('{out}/outside.txt')",
    "select * from read_json('{out}/outside.json')",
    "select * from read_json_auto('{out}/outside.json')",
    "select * from read_ndjson('{out}/outside.json')",
    "select * from read_json_objects('{out}/outside.json')",
    "select * from read_parquet('{out}/**/*.parquet')",
    "select * from parquet_scan('{out}/data/lake/**/*.parquet')",
    "select * from parquet_metadata('{out}/outside.csv')",
    "select * from parquet_schema('{out}/outside.csv')",
    "select * from parquet_kv_metadata('{out}/outside.csv')",
    "select * from glob('{out}/*')",
    "select * from glob('/etc/*')",
    "select * from read_text('/etc/passwd')",
    "select * from read_csv('/etc/passwd', sep = ':')",
    "select * from read_csv('/proc/self/environ')",
    "select * from read_blob('/proc/self/mem')",
    "select * from read_text('/dev/stdin')",
    "select * from read_text('{out}/data/marketpipe.db')",
    "select * from read_duckdb('{out}/data/marketpipe.db')",
    "select * from sqlite_scan('{out}/data/marketpipe.db', 'job')",
    "select * from query_table('{out}/outside.csv')",
    "select * from query('from ''{out}/outside.csv''')",
    "select * from bars_1m where symbol in (select content from read_text('{out}/outside.txt'))",
    "with a as (select * from read_text('{out}/outside.txt')) select * from a",
    "select (select content from read_text('{out}/outside.txt'))",
    "select * from (values (1)) v, lateral (select * from read_text('{out}/outside.txt'))",
    "select * from read_text('{out}/data/lake/../../outside.txt')",
    "select * from read_text('file://{out}/outside.txt')",
    "select * from read_text('{out}/./outside.txt')",
    "describe '{out}/outside.csv'",
    "summarize '{out}/outside.csv'",
    "from '{out}/outside.csv' union all select 1",
    "pivot '{out}/outside.csv' on 1",
    // The environment and secrets.
    "select getenv('MY_CANARY')",
    "select getenv('APCA_API_SECRET_KEY')",
    "select * from which_secret('s3://x', 's3')",
    "create secret (type s3, key_id 'x', secret 'y')",
    // Writing.
    "copy (select 1) to '{out}/written.csv'",
    "copy bars_1m to '{out}/written.parquet' (format parquet)",
    "copy calendar from '{out}/outside.csv'",
    "export database '{out}/written'",
    "import database '{out}'",
    "select * from query('copy (select 1) to ''{out}/written.csv''')",
    "create table t as select 1",
    "create view v as select 1",
    "create macro m() as 1",
    "create schema s",
    "create type t as enum ('a')",
    "create sequence s",
    "create index i on calendar (session_date)",
    "insert into calendar select * from calendar",
    "update calendar set half_day = true",
    "delete from calendar",
    "truncate calendar",
    "drop table calendar",
    "drop view bars_1m",
    "alter table calendar rename to c",
    "checkpoint",
    "force checkpoint",
    "vacuum",
    "analyze",
    "begin",
    "with x as (delete from calendar returning *) select * from x",
    "explain analyze copy (select 1) to '{out}/written.csv'",
    // Databases and extensions.
    "attach '{out}/written.db'",
    "attach '{out}/data/marketpipe.db' as m (type sqlite)",
    "attach ':memory:' as m",
    "detach memory",
    "use memory",
    "install httpfs",
    "load httpfs",
    "load '{out}/outside.csv'",
    "install sqlite from 'http://127.0.0.1:9'",
    "update extensions",
    // Settings.
    "set enable_external_access = true",
    "set lock_configuration = false",
    "set allowed_paths = ['{out}']",
    "set threads = 64",
    "reset all",
    "set variable a = 1",
    "pragma enable_profiling",
    "pragma profile_output = '{out}/written.json'",
    "call enable_logging(storage = 'file', storage_path = '{out}/written')",
    "select * from enable_logging(storage := 'file', storage_path := '{out}/written')",
    "prepare p as select 1",
    "execute p",
    // The network.
    "select * from read_csv('http://{server}/x.csv')",
    "select * from read_parquet('s3://bucket/x.parquet')",
];

/// Two statements, and texts that try to leave the literal that they are put into.
const CHAINED: [&str; 12] = [
    "select 1; select * from read_text('{out}/outside.txt')",
    "select 1; copy (select 1) to '{out}/written.csv'",
    "select 1); copy (select 1) to '{out}/written.csv'; --",
    "select 1'); copy (select 1) to '{out}/written.csv'; --",
    "select 1''); copy (select 1) to '{out}/written.csv'; --",
    "select 1\\'); copy (select 1) to '{out}/written.csv'; --",
    "select 1 -- ') ; copy (select 1) to '{out}/written.csv'",
    "select 1 /* */ ; /* */ attach '{out}/written.db'",
    "select $$'); copy (select 1) to '{out}/written.csv'; --$$; select 2",
    "'); copy (select 1) to '{out}/written.csv'; --",
    "select 1\0; copy (select 1) to '{out}/written.csv'",
    "; copy (select 1) to '{out}/written.csv'",
];

fn filled(lab: &Lab, statement: &str) -> String {
    let server = lab.server.base_url().replace("http://", "");
    statement
        .replace("{out}", lab.folder.path().to_str().unwrap())
        .replace("{server}", &server)
}

#[test]
fn no_statement_reaches_a_file_a_setting_or_the_network() {
    let lab = lab();
    let outside = Outside::of(&lab);
    let kept = listing(&lab.data());
    lab.server.reset_stats();
    // Each costs a start of the program: every third of them each day, all with each release.
    let step = trials(3, 1);
    let mut runs = 0;
    let experiment = Experiment::begin(
        SECTION,
        "SQL that reads or writes files, attaches, installs, reconfigures, asks the network",
        "query with each of them, on its own and behind a harmless one",
        "refused with exit 2; no byte of a file outside in the answer, nothing written, nobody asked",
    );
    let chained = CHAINED.iter().filter(|text| !text.contains('\0'));
    for statement in STATEMENTS.iter().step_by(step).chain(chained) {
        let sql = filled(&lab, statement);
        let ran = run(lab
            .command(&["query", &sql, "--format", "csv"])
            .env("MY_CANARY", CANARY)
            .stdin(std::process::Stdio::null()));
        // Behind a comment it is no statement but a comment.
        let is_comment = sql.contains("-- '") && ran.stdout == "1\n1\n";
        assert!(
            ran.code == 2 || is_comment,
            "{sql}: {} {}{}",
            ran.code,
            ran.stdout,
            ran.stderr
        );
        let told = ran.stdout.clone() + &ran.stderr;
        assert!(
            !told.contains(CANARY) && !told.contains("root:x:"),
            "{sql}: {told}"
        );
        runs += 1;
    }
    outside.assert_untouched("all statements");
    let mut now = listing(&lab.data());
    now.retain(|path, _| kept.contains_key(path));
    assert_eq!(now, kept, "what is kept is as it was");
    assert_eq!(lab.server.stats().connections, 0, "nobody was asked");
    experiment.passed(runs, "all refused");
}

#[test]
fn sql_in_a_file_may_hold_anything_without_a_panic() {
    let lab = lab();
    let mut runs = 0;
    let experiment = Experiment::begin(
        SECTION,
        "SQL that is no SQL",
        "from standard input: zeros, half a character, a megabyte, ten thousand brackets, quotes without end",
        "exit 2 with one message, no panic, no crash of the engine",
    );
    let deep = "(".repeat(10_000);
    let nested = format!("{}1{}", "(select ".repeat(400), ")".repeat(400));
    let texts: [Vec<u8>; 11] = [
        b"select 1\0; copy (select 1) to 'written.csv'".to_vec(),
        b"\0\0\0".to_vec(),
        vec![b'x', 0xff, 0xc3],
        vec![b'a'; 1 << 20],
        deep.into_bytes(),
        nested.into_bytes(),
        b"select '".to_vec(),
        b"select \"".to_vec(),
        b"/*".to_vec(),
        "select '\u{202e}\u{1b}[2J' as \"\u{1b}]0;x\u{7}\""
            .as_bytes()
            .to_vec(),
        Vec::new(),
    ];
    for text in &texts {
        let input = lab.folder.path().join("input.sql");
        std::fs::write(&input, text).unwrap();
        let ran = run(lab
            .command(&["query", "-", "--format", "table"])
            .stdin(std::fs::File::open(&input).unwrap()));
        let shown = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
        assert!(
            [0, 2].contains(&ran.code),
            "{shown}: {} {}",
            ran.code,
            ran.stderr
        );
        super::assert_harmless(&ran, &shown);
        runs += 1;
    }
    assert!(!lab.folder.path().join("written.csv").exists());
    experiment.passed(runs, "all orderly");
}

#[test]
fn a_query_without_end_ends_by_its_limits() {
    let lab = lab();
    lab.configure("[query]\ntimeout_s = 1\nmemory_limit_mb = 64\nthreads = 1\n");
    let experiment = Experiment::begin(
        SECTION,
        "SQL that would take all time or memory",
        "a cross join of a trillion rows, a list of a billion numbers, with limits of 1 s and 64 MiB",
        "ends within seconds with exit 8 or 2",
    );
    let statements = [
        "select count(*) from range(1000000) a, range(1000000) b where a.range + b.range = 7",
        "select list(range) from range(1000000000)",
        "with recursive r(n) as (select 1 union all select n + 1 from r) select max(n) from r",
        "select repeat('x', 1000000000) || repeat('x', 1000000000)",
    ];
    for sql in statements.into_iter().take(trials(2, 4)) {
        let begun = Instant::now();
        let ran = lab.run(&["query", sql]);
        assert!(
            [2, 8].contains(&ran.code),
            "{sql}: {} {}",
            ran.code,
            ran.stderr
        );
        assert!(
            begun.elapsed().as_secs() < 20,
            "{sql}: {:?}",
            begun.elapsed()
        );
    }
    experiment.passed(trials(2, 4), "all ended");
}

/// Texts that would change the meaning of SQL into which they are pasted.
const INJECTIONS: [&str; 9] = [
    "' or '1'='1",
    "'; drop table job; --",
    "AAPL'); delete from partition_file; --",
    "\" or \"\"=\"",
    "1 or 1=1",
    "1; attach 'x.db' as x",
    "%' or 1=1 --",
    "') union select sql from sqlite_schema --",
    "\\'; drop table series; --",
];

#[test]
fn a_string_of_the_user_is_a_value_and_never_sql() {
    let lab = lab();
    let outside = Outside::of(&lab);
    let held = |lab: &Lab| -> Vec<String> {
        let database = rusqlite::Connection::open(lab.data().join("marketpipe.db")).unwrap();
        let mut names = database
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'metric%' AND name NOT IN ('run', 'event_count') AND name NOT LIKE 'sqlite%' ORDER BY name")
            .unwrap();
        let names: Vec<String> = names
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        names
            .into_iter()
            .map(|name| {
                let count: i64 = database
                    .query_row(&format!("SELECT count(*) FROM \"{name}\""), [], |row| {
                        row.get(0)
                    })
                    .unwrap();
                format!("{name} {count}")
            })
            .collect()
    };
    let before = held(&lab);
    assert!(before.len() > 5, "{before:?}");
    type Command<'a> = &'a dyn Fn(&str) -> Vec<String>;
    let places: [Command<'_>; 14] = [
        &|text| words(&["status", "--symbols", text]),
        &|text| words(&["gaps", "--symbols", text]),
        &|text| words(&["gaps", "--start", text]),
        &|text| words(&["gaps", "--reason", text]),
        &|text| words(&["validate", "--symbols", text]),
        &|text| words(&["validate", "ack", text, "--reason", "x"]),
        &|text| words(&["validate", "unack", text]),
        &|text| words(&["jobs", "show", text]),
        &|text| words(&["jobs", "cancel", text]),
        &|text| words(&["jobs", "prune", "--older-than", text]),
        &|text| words(&["metrics", "--since", text]),
        &|text| words(&["metrics", "history", text]),
        &|text| {
            words(&[
                "ingest",
                "--symbols",
                text,
                "--start",
                "2024-07-01",
                "--end",
                "2024-07-02",
                "--dry-run",
            ])
        },
        &|text| words(&["aggregate", "--timeframes", text]),
    ];
    let experiment = Experiment::begin(
        SECTION,
        "SQL in every string that a user can give",
        format!(
            "{} texts in symbols, dates, reasons, ids, names and spans of {} commands",
            INJECTIONS.len(),
            places.len()
        ),
        "refused by its form, or not found; the database holds what it held",
    );
    let mut runs = 0;
    for (number, text) in INJECTIONS.iter().enumerate() {
        // Each text in every second place of the everyday run.
        for place in places
            .iter()
            .skip(number % trials(2, 1))
            .step_by(trials(2, 1))
        {
            let arguments = place(text);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let ran = lab.run(&arguments);
            assert_orderly(&ran, &format!("{arguments:?}"));
            // Some have words that could be symbols, of which a plan can be made.
            let is_plan = arguments[0] == "ingest";
            assert!(is_plan || ran.code != 0, "{arguments:?}: {}", ran.stdout);
            runs += 1;
        }
    }
    assert_eq!(held(&lab), before);
    outside.assert_untouched("injections");
    experiment.passed(runs, "none had a meaning");
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_name_that_is_sql_is_kept_as_a_name() {
    // As the server may send one: it goes into the quarantine, through SQLite and DuckDB, and comes back as it is.
    let mut tape = Tape::new();
    tape.insert(
        "sip",
        "AAPL",
        crate::support::lab::made_up("AAPL", "2024-07-01", "2024-07-01"),
    );
    let lab = Lab::with_tape(tape);
    let body = "{\"bars\":{\"AAPL\":[],\"x'); drop--\":[{\"t\":\"2024-07-01T13:30:00Z\",\"o\":1,\"h\":1,\"l\":1,\"c\":1,\"v\":1}]},\"next_page_token\":null}";
    lab.server.set_faults(
        marketpipe::infrastructure::fake_alpaca::FaultScript::new().on(
            marketpipe::infrastructure::fake_alpaca::When::Always,
            marketpipe::infrastructure::fake_alpaca::Fault::BodyReplace(body.as_bytes().to_vec()),
        ),
    );
    lab.run(&[
        "ingest",
        "--symbols",
        "AAPL",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-01",
    ]);
    lab.server
        .set_faults(marketpipe::infrastructure::fake_alpaca::FaultScript::new());
    assert_eq!(
        lab.query("select distinct symbol from quarantine"),
        ["x'); drop--"]
    );
    lab.refresh("AAPL", "2024-07-01", "2024-07-01");
}
