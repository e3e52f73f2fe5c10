//! What `import` makes of files: the very bars that an export wrote, the rules of every provider, and no more claims than
//! there are rows.

use std::path::Path;

use crate::support::lab::{Lab, Ran, files_below, program, run};
use crate::support::lean;
use crate::support::real_data;

/// The week of a clock change with its half days in a thin and a thick symbol.
fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "BRK.B"], "2024-10-31", "2024-12-02");
    for (first, last) in [("2024-10-31", "2024-11-05"), ("2024-11-29", "2024-12-02")] {
        lab.ingest("AAPL,BRK.B", first, last);
    }
    lab
}

/// Runs the program on another data folder of the laboratory.
fn on(lab: &Lab, data: &str, arguments: &[&str]) -> Ran {
    let mut command = program(lab.folder.path());
    command.env("MARKETPIPE_DATA_DIR", data).args(arguments);
    run(&mut command)
}

fn done(lab: &Lab, data: &str, arguments: &[&str]) -> Ran {
    let ran = on(lab, data, arguments);
    assert_eq!(ran.code, 0, "{arguments:?}\n{}", ran.stderr);
    ran
}

fn query(lab: &Lab, data: &str, sql: &str) -> Vec<String> {
    let ran = done(lab, data, &["query", sql, "--format", "csv"]);
    ran.stdout.lines().skip(1).map(str::to_owned).collect()
}

fn csv_of(lab: &Lab, data: &str) -> String {
    done(lab, data, &["export"]).stdout
}

fn write(lab: &Lab, name: &str, text: &str) {
    std::fs::write(lab.folder.path().join(name), text).unwrap();
}

const HEADER: &str = "ts,open,high,low,close,volume\n";

#[test]
fn what_was_exported_comes_back_to_the_last_bit_whatever_the_form() {
    let lab = lab();
    let original = lab.done(&["export"]).stdout;
    for (name, how) in [
        ("utc.csv", &[][..]),
        ("new-york.csv", &["--tz", "America/New_York"]),
        (
            "ends.csv",
            &["--label", "right", "--tz", "America/New_York"],
        ),
        ("filled.csv", &["--fill", "ffill"]),
        ("empty.csv", &["--fill", "null"]),
        ("utc.parquet", &[]),
        ("ends.parquet", &["--label", "right", "--tz", "Asia/Tokyo"]),
        ("filled.parquet", &["--fill", "null"]),
    ] {
        lab.done(&[&["export", "--output", name], how].concat());
        let label = if name.starts_with("ends") {
            "right"
        } else {
            "left"
        };
        let import = ["import", name, "--dataset-name", "back", "--label", label];
        let first = done(&lab, name.split('.').next().unwrap(), &import);
        assert!(first.stderr.contains("0 quarantined"), "{}", first.stderr);
        let data = name.split('.').next().unwrap();
        assert_eq!(csv_of(&lab, data), original, "{name}");
        let files = files_below(&lab.folder.path().join(data).join("lake"));
        let before: Vec<Vec<u8>> = files
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect();
        let again = done(&lab, data, &import);
        assert!(
            again.stderr.contains("0 new, 0 revised"),
            "{}",
            again.stderr
        );
        assert!(again.stderr.contains("0 written"), "{}", again.stderr);
        let after: Vec<Vec<u8>> = files
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect();
        assert!(before == after, "{name}");
        std::fs::remove_dir_all(lab.folder.path().join(data)).unwrap();
    }
}

#[test]
fn lean_s_folders_come_back_without_what_they_cannot_hold() {
    let lab = lab();
    lab.done(&["export", "--to", "lean", "--output", "lean"]);
    done(&lab, "back", &["import", "lean", "--dataset-name", "lean"]);
    let kept = "select symbol, ts, open, high, low, close, volume, session_date, segment from bars_1m order by all";
    assert_eq!(query(&lab, "back", kept), lab.query(kept));
    let lost = query(
        &lab,
        "back",
        "select count(vwap) + count(trade_count) from bars_1m",
    );
    assert_eq!(lost, ["0"]);
    done(
        &lab,
        "back",
        &["export", "--to", "lean", "--output", "again"],
    );
    let [one, two] = ["lean", "again"].map(|name| files_below(&lab.folder.path().join(name)));
    assert!(one.len() > 10 && one.len() == two.len());
    for (one, two) in one.iter().zip(&two) {
        assert_eq!(
            std::fs::read(one).unwrap(),
            std::fs::read(two).unwrap(),
            "{}",
            one.display()
        );
    }
}

#[test]
fn rows_of_any_order_give_the_same_files() {
    let lab = lab();
    let text = lab.done(&["export"]).stdout;
    let (header, rows) = text.split_once('\n').unwrap();
    let mut rows: Vec<&str> = rows.lines().collect();
    write(&lab, "sorted.csv", &text);
    // A fixed shuffle: far neighbours change places.
    let count = rows.len();
    for at in 0..count {
        rows.swap(at, (at * 7_919 + 13) % count);
    }
    write(
        &lab,
        "shuffled.csv",
        &format!("{header}\n{}\n", rows.join("\n")),
    );
    for name in ["sorted", "shuffled"] {
        let file = format!("{name}.csv");
        done(&lab, name, &["import", &file, "--dataset-name", "x"]);
    }
    let lake = |name: &str| lab.folder.path().join(name).join("lake");
    let [one, two] = ["sorted", "shuffled"].map(|name| files_below(&lake(name)));
    assert_eq!(one.len(), two.len());
    for (one, two) in one.iter().zip(&two) {
        assert_eq!(std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
    }
}

#[test]
fn bad_rows_go_to_quarantine_and_unreadable_lines_are_named() {
    let lab = lab();
    let text = format!(
        "{HEADER}\
         2024-07-02T13:30:00Z,10,11,9,10,100\n\
         2024-07-02T13:31:00Z,10,9,9,10,100\n\
         2024-07-02T13:32:30Z,10,11,9,10,100\n\
         2024-07-02T13:33:00Z,ten,11,9,10,100\n\
         yesterday,10,11,9,10,100\n\
         2024-07-02T13:34:00Z,10,11\n\
         2024-07-02 13:35:00,10,11,9,10,100\n\
         2024-07-02T13:36:00Z,10,11,9,10,100\n"
    );
    write(&lab, "a.csv", &text);
    let ran = on(
        &lab,
        "x",
        &["import", "a.csv", "--symbol", "AAPL", "--dataset-name", "x"],
    );
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    for words in [
        "a.csv, line 5: `ten` is no number; the row is kept apart",
        "a.csv, line 6: time `yesterday`",
        "a.csv, line 7: has 3 fields",
        "line 8: ",
        "--tz",
        "3 lines could not be read",
        "1 row kept apart",
    ] {
        assert!(ran.stderr.contains(words), "{words}\n{}", ran.stderr);
    }
    assert_eq!(
        query(
            &lab,
            "x",
            "select strftime(ts, '%H:%M') from bars_1m order by ts"
        ),
        ["13:30", "13:36"]
    );
    let apart = query(&lab, "x", "select rule from quarantine order by rule");
    assert_eq!(apart, ["high-below-body", "not-finite", "off-minute"]);
    let source = query(&lab, "x", "select distinct source from quarantine");
    assert_eq!(source, ["\"a.csv, lines 2 to 9\""]);
}

#[test]
fn local_times_that_are_there_twice_or_never_are_named() {
    let lab = lab();
    let text = format!(
        "{HEADER}2024-11-03 01:30:00,1,1,1,1,1\n2024-03-10 02:30:00,1,1,1,1,1\n2024-11-04 09:30:00,1,1,1,1,1\n"
    );
    write(&lab, "a.csv", &text);
    let how = [
        "import",
        "a.csv",
        "--symbol",
        "A",
        "--dataset-name",
        "x",
        "--tz",
        "America/New_York",
    ];
    let ran = on(&lab, "x", &how);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("line 2: time `2024-11-03 01:30:00` is there twice"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("line 3: time `2024-03-10 02:30:00` is not there"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        query(&lab, "x", "select ts from bars_1m"),
        ["2024-11-04 14:30:00"]
    );
}

#[test]
fn only_sessions_with_a_row_count_as_asked_for() {
    let lab = lab();
    let text = format!("{HEADER}2024-07-01T13:30:00Z,1,1,1,1,1\n2024-07-03T13:30:00Z,1,1,1,1,1\n");
    write(&lab, "a.csv", &text);
    done(
        &lab,
        "x",
        &["import", "a.csv", "--symbol", "A", "--dataset-name", "x"],
    );
    let gaps = query(
        &lab,
        "x",
        "select first_session, reason, minutes from gaps where first_session < '2024-07-04' order by start_ts, reason",
    );
    assert_eq!(
        gaps,
        [
            "2024-07-01,no trade,389",
            "2024-07-02,not asked,390",
            "2024-07-03,no trade,209"
        ]
    );
    let repair = on(&lab, "x", &["repair"]);
    assert_eq!(repair.code, 3, "{}", repair.stderr);
    assert!(
        repair.stderr.contains("import/x/raw is left as it is"),
        "{}",
        repair.stderr
    );
    done(&lab, "x", &["aggregate"]);
    done(&lab, "x", &["aggregate", "--check"]);
    let status = done(&lab, "x", &["status", "--format", "csv"]).stdout;
    assert!(
        status.contains("import/x/raw,A,1m,2024-07-01,2024-07-03,2,2"),
        "{status}"
    );
    let validated = on(&lab, "x", &["validate", "--fail-on", "never"]);
    assert_eq!(validated.code, 0, "{}", validated.stderr);
}

#[test]
fn rows_of_a_weekend_say_nothing_of_the_session_after_it() {
    let lab = lab();
    let text = format!(
        "{HEADER}2024-07-06T15:00:00Z,1,1,1,1,1\n2024-07-09T13:30:00Z,1,1,1,1,1\n2024-07-08T07:59:00Z,1,1,1,1,1\n"
    );
    write(&lab, "a.csv", &text);
    let import = ["import", "a.csv", "--symbol", "A", "--dataset-name", "x"];
    done(&lab, "x", &import);
    let rows = "select session_date, segment from bars_1m order by ts";
    assert_eq!(
        query(&lab, "x", rows),
        [
            "2024-07-08,overnight",
            "2024-07-08,overnight",
            "2024-07-09,regular"
        ]
    );
    let gaps = "select first_session, reason, minutes from gaps where first_session < '2024-07-10' order by start_ts";
    let expected = ["2024-07-08,not asked,390", "2024-07-09,no trade,389"];
    assert_eq!(query(&lab, "x", gaps), expected);
    done(&lab, "x", &import);
    assert_eq!(query(&lab, "x", gaps), expected, "the same file again");
}

#[test]
fn symbols_are_read_as_people_write_them_and_found_again() {
    let lab = lab();
    let text = "symbol,ts,open,high,low,close,volume\n\
                brk-b,2024-07-02T13:30:00Z,1,1,1,1,1\nBRK.B,2024-07-02T13:31:00Z,1,1,1,1,1\n";
    write(&lab, "a.csv", text);
    done(&lab, "x", &["import", "a.csv", "--dataset-name", "x"]);
    let status = done(&lab, "x", &["status", "--symbols", "BRK-B"]).stdout;
    assert!(status.contains("import/x/raw,BRK.B,1m"), "{status}");
    write(
        &lab,
        "b.csv",
        &format!("{HEADER}2024-07-02T13:30:00Z,1,1,1,1,1\n"),
    );
    let import = ["import", "b.csv", "--symbol", "aapl", "--dataset-name", "x"];
    done(&lab, "x", &import);
    assert_eq!(
        query(
            &lab,
            "x",
            "select distinct symbol from bars_1m order by all"
        ),
        ["AAPL", "BRK.B"]
    );
}

#[test]
fn a_minute_with_two_values_is_counted() {
    let lab = lab();
    let text = format!(
        "{HEADER}2024-07-02T13:30:00Z,1,1,1,1,1\n2024-07-02T13:30:00Z,2,2,2,2,1\n2024-07-02T13:30:00Z,2,2,2,2,1\n"
    );
    write(&lab, "a.csv", &text);
    let ran = done(
        &lab,
        "x",
        &["import", "a.csv", "--symbol", "A", "--dataset-name", "x"],
    );
    assert!(
        ran.stderr.contains("1 minute came twice with other values"),
        "{}",
        ran.stderr
    );
    assert_eq!(query(&lab, "x", "select close from bars_1m"), ["2.0"]);
}

#[test]
fn a_corrected_file_revises_and_a_short_one_is_not_believed() {
    let lab = lab();
    let rows = |close: &str, count: u32| {
        let row = |minute: u32| format!("2024-07-02T14:{minute:02}:00Z,10,11,9,{close},100\n");
        HEADER.to_owned() + &(0..count).map(row).collect::<String>()
    };
    let import = |name: &str, text: &str| {
        write(&lab, name, text);
        on(
            &lab,
            "x",
            &["import", name, "--symbol", "A", "--dataset-name", "x"],
        )
    };
    assert_eq!(import("a.csv", &rows("10", 60)).code, 0);
    let corrected = import("b.csv", &rows("10.5", 60));
    assert!(
        corrected.stderr.contains("0 new, 60 revised"),
        "{}",
        corrected.stderr
    );
    let short = import("c.csv", &rows("10.5", 2));
    assert_eq!(short.code, 3, "{}", short.stderr);
    assert_eq!(query(&lab, "x", "select count(*) from bars_1m"), ["60"]);
}

#[test]
fn hostile_files_are_refused_by_name_and_write_nothing() {
    let lab = lab();
    let folder = lab.folder.path();
    lab.done(&["export", "--output", "good.parquet"]);
    let parquet = std::fs::read(folder.join("good.parquet")).unwrap();
    write(&lab, "text.parquet", "no parquet");
    write(&lab, "20240702_trade.zip", "no zip");
    std::fs::create_dir(folder.join("empty")).unwrap();
    std::fs::create_dir(folder.join("bomb")).unwrap();
    // 64 MiB of zeros in 64 KiB.
    let bomb = std::fs::File::create(folder.join("bomb/20240702_trade.zip")).unwrap();
    let mut bomb = zip::ZipWriter::new(bomb);
    let options = zip::write::SimpleFileOptions::default();
    bomb.start_file("../../escape.csv", options).unwrap();
    for _ in 0..64 {
        std::io::Write::write_all(&mut bomb, &vec![b'0'; 1 << 20]).unwrap();
    }
    bomb.finish().unwrap();
    for (file, words) in [
        ("none.csv", "cannot read none.csv"),
        ("text.parquet", "not a readable Parquet file"),
        ("20240702_trade.zip", "no readable zip file"),
        ("empty", "holds no minutes in LEAN's layout"),
        ("bomb", "unfolds to more than"),
        ("marketpipe", "its name tells no format"),
    ] {
        let ran = on(
            &lab,
            "x",
            &["import", file, "--symbol", "A", "--dataset-name", "x"],
        );
        assert_eq!(ran.code, 2, "{file}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{file}: {}", ran.stderr);
    }
    // Damage at any place: an error or the rows that are left, never a panic.
    for at in (4..parquet.len()).step_by(parquet.len() / 40) {
        let mut damaged = parquet.clone();
        damaged[at] ^= 0x55;
        std::fs::write(folder.join("damaged.parquet"), damaged).unwrap();
        let ran = on(
            &lab,
            "y",
            &["import", "damaged.parquet", "--dataset-name", "x"],
        );
        assert!(
            [0, 2, 3].contains(&ran.code),
            "{at}: {} {}",
            ran.code,
            ran.stderr
        );
    }
    for (wrong, words) in [
        (
            &["--dataset-name", "../x"][..],
            "--dataset-name `../x`: expected",
        ),
        (
            &["--dataset-name", "x", "--adjustment", "splitt"],
            "--adjustment `splitt`: expected raw",
        ),
        (&["--dataset-name", "x", "--symbol", "../x"], "--symbol: "),
        (
            &["--dataset-name", "x", "--columns", "price=x"],
            "no column of bars",
        ),
        (
            &["--dataset-name", "x", "--from", "lean", "--label", "right"],
            "--from lean has no",
        ),
    ] {
        let ran = on(&lab, "x", &[&["import", "good.parquet"], wrong].concat());
        assert_eq!(ran.code, 2, "{wrong:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{wrong:?}: {}", ran.stderr);
    }
    assert!(files_below(&folder.join("x/lake")).is_empty());
    assert!(!folder.parent().unwrap().join("escape.csv").exists());
}

#[test]
fn parquet_of_other_writers_is_read_by_its_types() {
    let lab = lab();
    lab.done(&[
        "query",
        "select ts as when, symbol as ticker, open as o, high as h, low as l, close as c, volume::bigint as v from bars_1m",
        "--output",
        "other.parquet",
    ]);
    let how = [
        "import",
        "other.parquet",
        "--dataset-name",
        "x",
        "--columns",
        "ts=when",
    ];
    let without = on(&lab, "x", &how);
    assert_eq!(
        without.code, 3,
        "times without a zone mean nothing: {}",
        without.stderr
    );
    assert!(without.stderr.contains("--tz"), "{}", without.stderr);
    done(&lab, "x", &[&how[..], &["--tz", "UTC"]].concat());
    let sums = "select count(*), sum(volume), min(ts), max(ts), round(sum(close), 2) from bars_1m";
    assert_eq!(query(&lab, "x", sums), lab.query(sums));
}

#[test]
fn parquet_is_read_as_its_writers_usually_pack_it() {
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::basic::Compression;
    use parquet::file::properties::WriterProperties;

    let lab = lab();
    lab.done(&["export", "--output", "good.parquet"]);
    let good = std::fs::File::open(lab.folder.path().join("good.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(good).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let sums = "select count(*), sum(volume), min(ts), max(ts), round(sum(close), 2) from bars_1m";
    let pack = |packed: Compression| {
        let properties = WriterProperties::builder().set_compression(packed).build();
        let file = std::fs::File::create(lab.folder.path().join("packed.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).unwrap();
        for batch in &batches {
            writer.write(batch).unwrap();
        }
        writer.close().unwrap();
    };
    let import = ["import", "packed.parquet", "--dataset-name", "x"];
    for packed in [
        Compression::UNCOMPRESSED,
        // pandas' and Spark's own choice.
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::ZSTD(Default::default()),
    ] {
        pack(packed);
        let data = format!("{packed}").replace(['(', ')'], "-");
        done(&lab, &data, &import);
        assert_eq!(query(&lab, &data, sums), lab.query(sums), "{packed}");
    }
    // What is unfolded without a limit is not read at all.
    for packed in [Compression::LZ4, Compression::BROTLI(Default::default())] {
        pack(packed);
        let ran = on(&lab, "bomb", &import);
        assert_eq!(ran.code, 2, "{packed}: {}", ran.stderr);
        assert!(ran.stderr.contains("is packed with"), "{}", ran.stderr);
    }
}

#[test]
fn stdin_is_read_as_csv() {
    let lab = lab();
    let csv = lab.done(&["export", "--symbols", "AAPL"]).stdout;
    let mut command = program(lab.folder.path());
    command
        .env("MARKETPIPE_DATA_DIR", "x")
        .args(["import", "-", "--dataset-name", "x"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), csv.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(csv_of(&lab, "x"), csv);
}

#[test]
fn real_days_of_lean_come_in_and_go_out_line_for_line() {
    let Some(real) = real_data() else { return };
    let lab = lab();
    let source = lean::minutes(&real);
    let folder = real.join("minute");
    let folder = folder.to_str().unwrap();
    done(&lab, "x", &["import", folder, "--dataset-name", "lean"]);
    for (symbol, bars) in &source {
        let sums = query(
            &lab,
            "x",
            &format!(
                "select count(*), sum(volume)::bigint, min(low), max(high) from bars_1m where symbol = '{symbol}'"
            ),
        );
        let volume: f64 = bars.iter().map(|bar| bar.volume).sum();
        let low = bars.iter().map(|bar| bar.low).fold(f64::INFINITY, f64::min);
        let high = bars.iter().map(|bar| bar.high).fold(0.0, f64::max);
        assert_eq!(
            sums,
            [format!("{},{volume},{low:?},{high:?}", bars.len())],
            "{symbol}"
        );
    }
    done(&lab, "x", &["export", "--to", "lean", "--output", "out"]);
    let written = lab.folder.path().join("out/equity/usa/minute");
    let mut lines = 0;
    for path in files_below(Path::new(folder)) {
        let relative = path.strip_prefix(folder).unwrap();
        let text = lean::read_zip(&written.join(relative));
        let original = lean::read_zip(&path).replace('\r', "");
        lines += text.lines().count();
        assert_eq!(
            text.trim_end(),
            original.trim_end(),
            "{}",
            relative.display()
        );
    }
    assert!(lines > 5_000, "{lines}");
}
