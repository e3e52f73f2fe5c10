//! Tests of reading whole files: every row is kept or named, whatever its neighbours are.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::domain::InstantRange;
use crate::domain::instant::MINUTE_US;

/// 2024-07-02T13:30:00Z, a Tuesday's open.
const OPEN_US: i64 = 1_719_927_000_000_000;

fn options(symbol: SymbolSource) -> ReadOptions {
    ReadOptions {
        dataset: "import/x/raw".parse().unwrap(),
        format: None,
        symbol,
        columns: Vec::new(),
        time: TimeRule::default(),
        label: BarLabel::Left,
        now_us: OPEN_US + 1_000_000 * MINUTE_US,
    }
}

fn collect(options: &ReadOptions, text: &str) -> Result<(Spool, Refused, u64), ReadError> {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::new(options, Spool::new(folder.path()));
    let names = ColumnNames::of(options);
    csv::read_lines(
        Path::new("x.csv"),
        Cursor::new(text),
        &names,
        &mut collector,
    )?;
    Ok(collector.into_parts())
}

fn rows(spool: &mut Spool) -> Vec<(String, crate::domain::Bar)> {
    let mut rows = Vec::new();
    for month in spool.months() {
        let of = month.sessions[0].date().month();
        let (columns, ..) = spool.rows_of(&month.symbol, of).unwrap().unwrap();
        rows.extend((0..columns.len()).map(|row| (month.symbol.to_string(), columns.bar(row))));
    }
    rows
}

#[test]
fn bad_lines_are_named_and_cost_no_neighbour() {
    let text = format!(
        "ts,symbol,open,high,low,close,volume,trade_count,vwap\n\
         {OPEN_US},AAPL,1,2,0.5,1.5,10,3,1.2\n\
         noon,AAPL,1,2,0.5,1.5,10,3,1.2\n\
         {OPEN_US},../etc,1,2,0.5,1.5,10,3,1.2\n\
         {OPEN_US},AAPL,1,2\n\
         \n\
         {OPEN_US},MSFT,x,2,0.5,1.5,10,,\n\
         {OPEN_US},MSFT,1,2,0.5,1.5,10,many,\n"
    );
    let (mut spool, refused, _) = collect(&options(SymbolSource::Usual), &text).unwrap();
    let named: Vec<_> = refused.first.iter().chain(&refused.first_unclear).collect();
    let lines: Vec<u64> = named.iter().map(|line| line.line).collect();
    assert_eq!((refused.lines, refused.unclear), (3, 2));
    assert_eq!(lines, [3, 4, 5, 7, 8]);
    for (line, words) in [
        (0, "`noon`"),
        (3, "`x` is no number"),
        (4, "`many` is no whole"),
    ] {
        assert!(named[line].reason.contains(words), "{refused:?}");
    }
    let rows = rows(&mut spool);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].1.broken_rule(), None);
    assert_eq!(
        (rows[0].1.trade_count, rows[0].1.vwap),
        (Some(3), Some(1.2))
    );
    for (symbol, bar) in &rows[1..] {
        // What is no number is judged like any bad bar.
        assert_eq!(symbol, "MSFT");
        assert_eq!(
            bar.broken_rule().map(|rule| rule.as_str()),
            Some("not-finite")
        );
    }
}

#[test]
fn a_file_without_the_columns_of_bars_says_which_it_has() {
    for (text, words) in [
        ("", "empty"),
        (
            "time,o,h,l,c\n",
            "has no column volume; its columns are time, o, h, l, c",
        ),
        ("ts,open,high,low,close,volume\n", "--symbol-column"),
        (
            "ts,open,high,low,close,volume,symbol,minutes\n",
            "longer bars",
        ),
    ] {
        let error = collect(&options(SymbolSource::Usual), text)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(words), "{error}");
    }
    let mut named = options(SymbolSource::One("A".parse().unwrap()));
    named.columns = read_columns(&["open=first".to_owned()]).unwrap();
    assert!(collect(&named, "ts,first,high,low,close,volume\n").is_ok());
    assert!(collect(&named, "ts,open,high,low,close,volume\n").is_err());
    assert!(
        read_columns(&["price=x".to_owned()])
            .unwrap_err()
            .contains("known are ts, open")
    );
}

#[test]
fn a_time_at_the_end_of_its_minute_belongs_to_the_session_of_its_start() {
    let mut right = options(SymbolSource::One("A".parse().unwrap()));
    right.label = BarLabel::Right;
    let end_us = OPEN_US + 390 * MINUTE_US;
    let text = format!("ts,open,high,low,close,volume\n{end_us},1,1,1,1,1\n");
    let (mut spool, ..) = collect(&right, &text).unwrap();
    assert_eq!(rows(&mut spool)[0].1.ts_us, end_us - MINUTE_US);
}

#[test]
fn a_line_without_an_end_is_refused_before_it_fills_the_memory() {
    let text = "x".repeat(1 << 20);
    let error = collect(&options(SymbolSource::Usual), &text)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn what_finds_no_room_in_memory_comes_back_in_the_order_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::new(folder.path());
    let symbols: Vec<Symbol> = ["A", "B", "C"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let session = Calendar::nyse().session_containing(OPEN_US).unwrap();
    // More than fits: the rows of each symbol are in several pieces.
    let each = u32::try_from(spool::MOST_BUFFERED_BYTES / 65).unwrap() / 2;
    for row in 0..each {
        for symbol in &symbols {
            let bar = crate::domain::Bar {
                ts_us: i64::from(row),
                open: f64::from(row),
                high: 1.0,
                low: 1.0,
                close: 1.0,
                volume: 1.0,
                trade_count: (row % 2 == 0).then_some(row.into()),
                vwap: None,
            };
            let place = spool::RowPlace {
                file: "x",
                line: row.into(),
            };
            spool.push(symbol, &session, &bar, place).unwrap();
        }
    }
    for symbol in &symbols {
        let month = session.date().month();
        let (columns, bytes, _) = spool.rows_of(symbol, month).unwrap().unwrap();
        assert_eq!(bytes, u64::from(each) * 65);
        assert!(columns.ts_us.iter().copied().eq((0..each).map(i64::from)));
        assert_eq!(
            (columns.trade_count.get(2), columns.trade_count.get(3)),
            (Some(2), None)
        );
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, usize::from(!cfg!(unix)), "the file has no name");
}

#[test]
fn a_page_has_the_rows_of_the_sessions_that_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let text = format!("ts,open,high,low,close,volume\n{OPEN_US},1,1,1,1,1\n");
    std::fs::write(&path, text).unwrap();
    let provider = FileProvider::read(
        &options(SymbolSource::One("A".parse().unwrap())),
        &[path],
        folder.path(),
    )
    .unwrap();
    let session = provider.months()[0].sessions[0];
    let request = |range: InstantRange| BarsRequest {
        symbols: vec!["A".parse().unwrap()],
        range,
    };
    let page = provider.page(&request(session.window())).unwrap();
    assert_eq!(page.bars[0].1.len(), 1);
    assert!(page.source.ends_with("a.csv, line 2"), "{}", page.source);
    let august = InstantRange {
        start_us: OPEN_US + 40 * 1440 * MINUTE_US,
        end_us: OPEN_US + 41 * 1440 * MINUTE_US,
    };
    assert!(provider.page(&request(august)).unwrap().bars.is_empty());
}

proptest! {
    #[test]
    fn every_line_is_a_row_or_is_refused_and_none_panics(
        lines in prop::collection::vec(
            prop_oneof![
                "[0-9]{8,19},[A-Z./]{0,6},[-0-9.einfa]{0,6},1,1,1,1",
                "[,\"0-9:TZ\\PC-]{1,60}",
                Just(format!("{OPEN_US},A,1,1,1,1,1")),
            ],
            0..40,
        ),
    ) {
        let given: Vec<&String> = lines.iter().filter(|line| !line.trim().is_empty()).collect();
        // A character that ends a line for some is none for us: one line stays one line.
        let text = format!("ts,symbol,open,high,low,close,volume\n{}\n", lines.join("\n"));
        let (mut spool, refused, filled) = collect(&options(SymbolSource::Usual), &text).unwrap();
        prop_assert_eq!(filled, 0);
        prop_assert_eq!(rows(&mut spool).len() as u64 + refused.lines, given.len() as u64);
    }
}
