//! What `query` leaves unopened: no answer changes by it, and files that cannot matter are not looked at.

use crate::support::lab::Lab;

/// Two symbols in three months, around two half days, a clock change and holidays.
fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-10-31", "2024-12-26");
    for (first, last) in [
        ("2024-10-31", "2024-11-04"),
        ("2024-11-29", "2024-12-02"),
        ("2024-12-24", "2024-12-26"),
    ] {
        lab.ingest("AAPL,MSFT", first, last);
    }
    lab
}

/// Statements that a hasty reader of SQL takes for something else. `{bars}` is a view or the macro.
const TRICKY: [&str; 26] = [
    "select * from {bars} where symbol = 'AAPL' and (symbol = 'MSFT' or close > 0)",
    "select * from {bars} where symbol = 'AAPL' or session_date = '2024-12-24'",
    "select * from {bars} where not symbol = 'AAPL' and session_date > '2024-12-01'",
    "select * from {bars} where not (symbol = 'AAPL' and session_date > '2024-11-01')",
    "select a.symbol, b.symbol, a.ts from {bars} a join {bars} b using (ts) where a.symbol = 'AAPL' and b.symbol = 'MSFT'",
    "select a.ts from {bars} a, {bars} b where a.ts = b.ts and a.symbol = 'AAPL' and b.symbol <> a.symbol",
    "select * from {bars} where symbol = 'AAPL' and close > (select avg(close) from {bars})",
    "select * from {bars} where symbol in (select max(symbol) from {bars}) and session_date >= '2024-12-02'",
    "select * from {bars} where symbol = 'AAPL' union all select * from {bars} where session_date = '2024-11-29'",
    "select * from {bars} where symbol = 'aapl'",
    "select * from {bars} where upper(symbol) = 'AAPL' and lower(symbol) = 'aapl'",
    "select * from {bars} where symbol = 'aapl' collate nocase",
    "select * from {bars} where symbol = 'AAPL' || ''",
    "select * from {bars} where month(session_date) = 11 and ts::date > '2024-11-28'",
    "select * from {bars} where [true and symbol = 'AAPL' and true][1] = false",
    "select * from {bars} where symbol = 'AAPL' and e'\\'a' <> 'x' or close > 0 /* ' */",
    "select len(array(table {bars})) from {bars} where symbol = 'AAPL'",
    "select symbol: 'MSFT', ts from {bars} where symbol = 'AAPL'",
    "select * from {bars} where ts >= '2024-11-29 14:30:00' and ts < '2024-12-02 01:00:00'",
    "select * from {bars} where ts > '2024-11-01' and ts <= timestamp '2024-11-04 05:00:00'",
    "select * from {bars} where ts between '2024-12-24T18:00:00Z' and '2024-12-27'",
    "select * from {bars} where ts = '2024-11-04 14:30:00'",
    "select * from {bars} where ts < '2024-12-24 24:00:00' and session_date >= date '2024-12-23'",
    "select * from {bars} where session_date = date '2024-11-29' and symbol in ('AAPL', 'NONE')",
    "select * from {bars} where symbol = 'AAPL' and session_date <= '2024-11-01' having true",
    "select symbol, count(*) as n from {bars} where session_date < '2024-11-04' group by rollup (symbol)",
];

#[test]
fn no_statement_is_answered_otherwise_because_files_were_left_out() {
    let lab = lab();
    for bars in ["bars_1m", "bars('2h')"] {
        for sql in TRICKY {
            let sql = sql.replace("{bars}", bars);
            let digest = |sql: &str| {
                let ran = lab.run(&["query", sql, "--format", "csv"]);
                // DuckDB gives rows in no order.
                let mut lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
                lines.sort_unstable();
                (ran.code, lines)
            };
            // A comment is more than the reader of conditions takes on: nothing is left out.
            let whole = digest(&format!("{sql} /* all files */"));
            assert_eq!(digest(&sql), whole, "{sql}");
        }
    }
}

#[test]
fn a_sample_is_drawn_from_all_rows() {
    let lab = lab();
    let sampled = lab.query(
        "select count(*) from bars_1m where symbol = 'AAPL' and close > 0 using sample 1000 rows",
    );
    let drawn: u32 = sampled[0].parse().unwrap();
    assert!(
        (300..700).contains(&drawn),
        "half of the rows are of another symbol: {drawn}"
    );
}

#[test]
fn files_that_cannot_matter_are_not_opened() {
    let lab = lab();
    for (path, _) in lab.files() {
        let name = path.to_string_lossy();
        if !name.contains("timeframe=1m/symbol=AAPL/month=2024-12") {
            std::fs::write(lab.data().join("lake").join(&path), "no bars").unwrap();
        }
    }
    let code = |condition: &str| {
        let sql = format!("select count(*) from bars_1m where {condition}");
        lab.run(&["query", &sql]).code
    };
    for condition in [
        "symbol = 'AAPL' and session_date >= '2024-12-24'",
        "symbol in ('AAPL') and session_date between date '2024-12-24' and date '2024-12-26'",
        "symbol = 'AAPL' and ts >= '2024-12-24 14:30:00'",
        "symbol = 'AAPL' and ts between timestamp '2024-12-24' and timestamp '2024-12-25' and volume > 0",
    ] {
        assert_eq!(code(condition), 0, "{condition}");
    }
    for condition in [
        "symbol = 'AAPL'",
        "session_date >= '2024-12-24'",
        "ts >= '2024-12-24'",
        "symbol = 'AAPL' and session_date >= '2024-12-24' or volume > 0",
    ] {
        assert_ne!(code(condition), 0, "{condition}");
    }
}

#[test]
fn the_catalog_s_files_are_all_that_sql_can_reach() {
    let lab = lab();
    let (known, bytes) = lab.files().into_iter().next().unwrap();
    let known = lab.data().join("lake").join(known);
    // As a writer of another program might leave it: in the lake, and not in the catalog.
    let orphan = known.with_file_name("orphan.parquet");
    std::fs::write(&orphan, bytes).unwrap();
    let outside = lab.folder.path().join("outside.csv");
    std::fs::write(&outside, "secret\n1\n").unwrap();
    let written = lab.folder.path().join("written");
    let (orphan, outside) = (orphan.display(), outside.display());
    let database = lab.data().join("marketpipe.db");
    for sql in [
        format!("select * from bars_1m, read_parquet('{orphan}')"),
        format!("from parquet_metadata('{orphan}')"),
        format!("from '{outside}'"),
        format!("from sniff_csv('{outside}')"),
        format!("from read_blob('{outside}')"),
        format!("from bars_1m where symbol = (select content from read_text('{outside}'))"),
        format!("from glob('{}/*')", lab.folder.path().display()),
        format!("from read_duckdb('{}')", database.display()),
        format!("from query('copy (select 1) to ''{}''')", written.display()),
        format!(
            "from enable_logging(storage='file', storage_path='{}')",
            written.display()
        ),
        format!("export database '{}'", written.display()),
        "insert into calendar default values".to_owned(),
        "set variable a = 1".to_owned(),
        "call pragma_version()".to_owned(),
    ] {
        let ran = lab.run(&["query", &sql, "--format", "csv"]);
        assert_eq!(ran.code, 2, "{sql}: {}{}", ran.stdout, ran.stderr);
        let is_header_alone = ran.stdout.lines().count() <= 1;
        assert!(is_header_alone, "{sql}: {}", ran.stdout);
    }
    assert!(!written.exists());
}
