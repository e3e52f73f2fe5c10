//! What the formats promise.

use proptest::prelude::*;

use super::*;

fn written(
    format: OutputFormat,
    columns: &[&str],
    rows: &[Vec<Value>],
    width: Option<u16>,
) -> String {
    let mut out = Vec::new();
    let mut writer = RowWriter::begin("bars", columns, format, &mut out)
        .unwrap()
        .fit_width(width);
    for row in rows {
        writer.row(row).unwrap();
    }
    writer.finish().unwrap();
    String::from_utf8(out).unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Fails every write with the given kind.
struct Failing(io::ErrorKind);

impl Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

const ALL: [OutputFormat; 4] = [
    OutputFormat::Table,
    OutputFormat::Csv,
    OutputFormat::Json,
    OutputFormat::Jsonl,
];

fn sample() -> Vec<Vec<Value>> {
    vec![
        vec![
            text("AAPL"),
            Value::Float(189.25),
            Value::UInt(7),
            Value::Bool(true),
        ],
        vec![
            text("BRK.B, \"B\""),
            Value::Float(f64::NAN),
            Value::Int(-12),
            Value::Null,
        ],
    ]
}

const COLUMNS: [&str; 4] = ["symbol", "close", "rows", "half_day"];

#[test]
fn csv_has_a_header_and_quotes_only_where_needed() {
    let expected =
        "symbol,close,rows,half_day\nAAPL,189.25,7,true\n\"BRK.B, \"\"B\"\"\",NaN,-12,\n";
    assert_eq!(
        written(OutputFormat::Csv, &COLUMNS, &sample(), None),
        expected
    );
}

#[test]
fn csv_does_not_change_texts_that_spreadsheets_would_run() {
    let rows = ["=1+1", "+1", "-1", "@x"].map(|value| vec![text(value), Value::Null]);
    assert_eq!(
        written(OutputFormat::Csv, &["a", "b"], &rows, None),
        "a,b\n=1+1,\n+1,\n-1,\n@x,\n"
    );
}

#[test]
fn a_json_document_names_its_schema_and_has_numbers_as_numbers() {
    let json = written(OutputFormat::Json, &COLUMNS, &sample(), None);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["schema"], "marketpipe.bars/1");
    assert_eq!(value["rows"][0]["close"], 189.25);
    assert_eq!(value["rows"][0]["half_day"], true);
    assert_eq!(value["rows"][1]["symbol"], "BRK.B, \"B\"");
    assert!(value["rows"][1]["close"].is_null() && value["rows"][1]["half_day"].is_null());
    assert_eq!(json.lines().count(), 4, "one row a line");
}

#[test]
fn json_lines_are_one_object_each() {
    let lines = written(
        OutputFormat::Jsonl,
        &["a", "a"],
        &[vec![text("x\ny"), Value::Int(1)]],
        None,
    );
    assert_eq!(lines, "{\"a\":\"x\\ny\",\"a_2\":1}\n");
}

#[test]
fn a_table_aligns_numbers_to_the_right_and_has_no_trailing_blanks() {
    let table = written(OutputFormat::Table, &COLUMNS, &sample(), None);
    let expected = "\
symbol        close   rows   half_day
─────────── ──────── ────── ──────────
AAPL         189.25      7   true
BRK.B, \"B\"      NaN    -12   -
";
    assert_eq!(table, expected);
}

#[test]
fn a_table_fits_the_terminal() {
    let rows = vec![vec![
        text(&"word ".repeat(40)),
        text(&"x".repeat(90)),
        Value::Int(1),
    ]];
    for width in [40, 80, 120] {
        let table = written(
            OutputFormat::Table,
            &["first", "second", "third"],
            &rows,
            Some(width),
        );
        let longest = table
            .lines()
            .map(|line| line.chars().count())
            .max()
            .unwrap();
        assert!(
            longest <= usize::from(width),
            "{longest} of {width}:\n{table}"
        );
    }
}

#[test]
fn a_table_shows_no_control_character() {
    let rows = vec![vec![text("\u{1b}]0;owned\u{7}\nx\u{202e}")]];
    let table = written(OutputFormat::Table, &["a\u{1b}[2J"], &rows, None);
    assert!(
        table.chars().all(|char| char == '\n' || !char.is_control()),
        "{table:?}"
    );
    assert!(table.contains(r"\u{1b}]0;owned\u{7}\nx\u{202e}"), "{table}");
}

#[test]
fn a_long_table_says_how_many_rows_it_leaves_out() {
    let rows = vec![vec![Value::Int(1)]; 11_234];
    let table = written(OutputFormat::Table, &["n"], &rows, None);
    assert_eq!(table.lines().count(), 10_003);
    assert_eq!(
        table.lines().last(),
        Some("(1,234 more rows; --format csv shows all)")
    );
}

#[test]
fn one_row_that_is_left_out_is_no_rows() {
    let rows = vec![vec![Value::Int(1)]; 10_001];
    let table = written(OutputFormat::Table, &["n"], &rows, None);
    let note = table.lines().last();
    assert_eq!(note, Some("(1 more row; --format csv shows all)"));
}

#[test]
fn an_empty_result_is_visible_in_every_format() {
    assert_eq!(written(OutputFormat::Csv, &["a", "b"], &[], None), "a,b\n");
    assert_eq!(
        written(OutputFormat::Json, &["a"], &[], None),
        "{\"schema\":\"marketpipe.bars/1\",\"rows\":[]}\n"
    );
    assert_eq!(written(OutputFormat::Jsonl, &["a"], &[], None), "");
    assert_eq!(
        written(OutputFormat::Table, &["a", "b"], &[], None),
        "a   b\n── ───\n(no rows)\n"
    );
}

#[test]
fn a_closed_pipe_is_told_from_other_failures() {
    for format in ALL {
        for (kind, is_closed) in [
            (io::ErrorKind::BrokenPipe, true),
            (io::ErrorKind::StorageFull, false),
        ] {
            let mut out = Failing(kind);
            let mut written = || -> Result<(), OutputError> {
                let mut writer = RowWriter::begin("bars", &["a"], format, &mut out)?;
                for _ in 0..20_000 {
                    writer.row(&[text("some cell to fill the buffer")])?;
                }
                writer.finish()
            };
            let error = written().unwrap_err();
            assert_eq!(error.is_closed_pipe(), is_closed, "{format:?}");
            assert_eq!(error.into_io().kind(), kind);
        }
    }
}

#[test]
fn a_row_that_does_not_fit_the_header_is_refused() {
    for format in ALL {
        let mut out = Vec::new();
        let mut writer = RowWriter::begin("bars", &["a", "b"], format, &mut out).unwrap();
        let error = writer.row(&[Value::Null]).unwrap_err();
        assert_eq!(error.to_string(), "a row has 1 values for 2 columns");
    }
}

#[test]
fn tables_are_for_terminals() {
    assert_eq!(default_format(true), OutputFormat::Table);
    assert_eq!(default_format(false), OutputFormat::Csv);
}

proptest! {
    #[test]
    fn floats_read_back_to_the_last_bit(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
        let rows = [vec![Value::Float(number)]];
        let csv = written(OutputFormat::Csv, &["x"], &rows, None);
        let read: f64 = csv.lines().nth(1).unwrap().parse().unwrap();
        prop_assert_eq!(read.to_bits(), number.to_bits());
        let json = written(OutputFormat::Jsonl, &["x"], &rows, None);
        let text = json.trim_start_matches("{\"x\":").trim_end_matches("}\n");
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
    }

    #[test]
    fn any_text_reads_back_from_csv_and_json(cell in "\\PC*|[\\x00-\\x7f]*") {
        let rows = [vec![text(&cell), Value::Int(1)]];
        let csv = written(OutputFormat::Csv, &["x", "n"], &rows, None);
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let record = reader.records().next().unwrap().unwrap();
        prop_assert_eq!(&record[0], cell.as_str());
        let json: serde_json::Value = serde_json::from_str(&written(OutputFormat::Json, &["x", "n"], &rows, None)).unwrap();
        prop_assert_eq!(json["rows"][0]["x"].as_str().unwrap(), cell.as_str());
    }
}

#[test]
fn a_narrow_terminal_gets_close_columns_then_wrapped_texts_then_one_line_a_value() {
    let columns = ["symbol", "first_session", "rows_quarantined", "message"];
    let row = vec![
        text("AAPL"),
        text("2024-07-02"),
        Value::UInt(12),
        text("the answer had far fewer rows than are stored"),
    ];
    let at = |width: u16| {
        written(
            OutputFormat::Table,
            &columns,
            std::slice::from_ref(&row),
            Some(width),
        )
    };
    let widest = |table: &str| {
        table
            .lines()
            .map(|line| line.chars().count())
            .max()
            .unwrap()
    };
    let wide = at(120);
    assert_eq!(wide.lines().count(), 3, "{wide}");
    let close = at(76);
    assert!(
        close.contains("first_\n") || close.contains("first_  "),
        "{close}"
    );
    assert!(
        close.contains("session") && close.lines().count() == 4,
        "{close}"
    );
    for width in [60, 70, 76] {
        let table = at(width);
        assert!(widest(&table) <= usize::from(width), "{table}");
        assert!(!table.contains("first_session"), "{table}");
        let words = table
            .split_whitespace()
            .filter(|word| word.chars().all(char::is_alphabetic));
        let sentence: Vec<&str> = words.collect();
        for word in ["answer", "fewer", "stored"] {
            assert!(sentence.contains(&word), "no word is broken: {table}");
        }
    }
    let records = at(40);
    assert!(
        records.starts_with("symbol            AAPL\nfirst_session     2024-07-02\n"),
        "{records}"
    );
    assert!(widest(&records) <= 40, "{records}");
}

proptest! {
    #[test]
    fn tables_fit_the_terminal_and_keep_every_word(
        cells in proptest::collection::vec(("[a-z]{1,8}( [a-z]{1,12}){0,6}", 0_u64..1_000_000), 1..5),
        width in 40_u16..120,
    ) {
        let rows: Vec<Vec<Value>> = cells.iter().map(|(words, number)| vec![text(words), Value::UInt(*number)]).collect();
        let table = written(OutputFormat::Table, &["what_it_is", "how_many"], &rows, Some(width));
        prop_assert!(table.lines().all(|line| line.chars().count() <= usize::from(width)), "{}", table);
        for (words, number) in &cells {
            for word in words.split(' ') {
                prop_assert!(table.contains(word), "{word}: {}", table);
            }
            prop_assert!(table.contains(&number.to_string()));
        }
    }
}
