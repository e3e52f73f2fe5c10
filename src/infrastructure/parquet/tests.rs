//! What is written is read back, and nothing that was not.

use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use proptest::prelude::*;

use super::content::{Rows, content_hash_by_value, content_hash_in_place};
use super::decode::MOST_ROWS;
use super::description::{DESCRIPTION_KEY, FileDescription, describe, read_description};
use super::encode::{Effort, writer_properties};
use super::engine::{FileError, Known, ParquetStorageEngine};
use crate::domain::ports::SourceFile;
use crate::domain::{
    AggregationSpec, Bar, BarBatch, Calendar, DerivedBatch, PartitionKey, Period, Timeframe,
};

fn key() -> PartitionKey {
    PartitionKey {
        dataset: "alpaca/sip/raw".parse().unwrap(),
        timeframe: Timeframe::M1,
        symbol: "AAPL".parse().unwrap(),
        period: Period::Month("2024-07".parse().unwrap()),
    }
}

/// 2024-07-02 13:30 UTC, the open.
const OPEN: i64 = 1_719_927_000_000_000;

fn bar(minute: i64, price: f64) -> Bar {
    Bar {
        ts_us: OPEN + minute * 60_000_000,
        open: price,
        high: price + 0.5,
        low: price - 0.5,
        close: price + 0.25,
        volume: 100.5,
        trade_count: (minute % 3 != 0).then_some(minute),
        vwap: (minute % 2 == 0).then_some(price + 0.123_456),
    }
}

fn batch(bars: impl IntoIterator<Item = Bar>) -> BarBatch {
    BarBatch::from_columns(bars.into_iter().collect(), Calendar::nyse()).unwrap()
}

#[test]
fn rows_read_back_and_the_same_rows_give_the_same_bytes() {
    let engine = ParquetStorageEngine::new();
    let rows = batch(
        (0..390)
            .map(|n| bar(n, 100.0))
            .chain([bar(700, 99.0), bar(1200, 98.0)]),
    );
    let file = engine.encode(&key(), rows.clone()).unwrap();
    let again = engine.encode(&key(), rows.clone()).unwrap();
    assert_eq!(file.sha256, again.sha256);
    let (read, description) = engine.decode(file.bytes, Known::Nothing).unwrap();
    assert_eq!(read, rows);
    assert_eq!(description, file.description);
    assert_eq!(
        (
            description.first_session.as_str(),
            description.last_session.as_str()
        ),
        ("2024-07-02", "2024-07-03")
    );
}

#[test]
fn only_a_short_month_that_is_over_is_worth_the_effort() {
    const DAY: i64 = 1440;
    let effort = |bars: Vec<Bar>| Effort::for_file(&key(), &batch(bars));
    let days_later = |days, minutes| (0..minutes).map(move |n| bar(days * DAY + n, 100.0));
    assert_eq!(
        effort(days_later(0, 390).collect()),
        Effort::Usual,
        "on the second session"
    );
    assert_eq!(
        effort(days_later(28, 390).collect()),
        Effort::Usual,
        "2024-07-30, one session is missing"
    );
    assert_eq!(
        effort(days_later(0, 1).chain(days_later(29, 1)).collect()),
        Effort::High,
        "2024-07-31"
    );
    let every_session = (0..30).filter(|days| ![2, 4, 5, 11, 12, 18, 19, 25, 26].contains(days));
    assert_eq!(
        effort(
            every_session
                .flat_map(|days| days_later(days, 390))
                .collect()
        ),
        Effort::Usual,
        "a long month"
    );
}

#[test]
fn derived_bars_read_back_with_how_they_were_made() {
    let engine = ParquetStorageEngine::new();
    let key = PartitionKey {
        timeframe: Timeframe::H1,
        period: Period::Year(2024),
        ..key()
    };
    let choice = crate::domain::AggregationChoice::default();
    let spec = AggregationSpec::new(Timeframe::H1, choice, Calendar::nyse()).unwrap();
    let (columns, days, segments) = batch([bar(0, 100.0), bar(60, 99.0)]).into_parts();
    let derived = DerivedBatch::from_parts(columns, days, segments, vec![60, 58]).unwrap();
    let sources = [SourceFile {
        period: Period::Month("2024-07".parse().unwrap()),
        content_hash: "ab".into(),
    }];
    let encode = || {
        engine
            .encode_derived(&key, &spec, &sources, derived.clone())
            .unwrap()
    };
    assert_eq!(encode().sha256, encode().sha256);
    let (read, description) = engine
        .decode_derived(encode().bytes, Known::Nothing)
        .unwrap();
    assert_eq!(read, derived);
    let made = description.derived.unwrap();
    assert_eq!(made.spec, spec.canonical());
    assert_eq!(
        (
            made.sources[0].period.as_str(),
            made.sources[0].content.as_str()
        ),
        ("2024-07", "ab")
    );
    let refused = engine.decode(encode().bytes, Known::Nothing).unwrap_err();
    assert_eq!(refused.to_string(), "the file holds derived bars");
    let minutes = engine.encode(&key, batch([bar(0, 1.0)])).unwrap();
    let refused = engine
        .decode_derived(minutes.bytes, Known::EveryByte)
        .unwrap_err();
    assert_eq!(refused.to_string(), "the file holds minutes");
}

proptest! {
    #[test]
    fn the_hash_of_the_rows_is_the_same_on_any_machine(count in 1_i64..50, price in 1.0..1e6_f64) {
        let rows = batch((0..count).map(|n| bar(n, price)));
        prop_assert_eq!(content_hash_in_place(Rows::of(&rows), None), content_hash_by_value(Rows::of(&rows), None));
        let minutes = vec![7; rows.len()];
        prop_assert_eq!(
            content_hash_in_place(Rows::of(&rows), Some(&minutes)),
            content_hash_by_value(Rows::of(&rows), Some(&minutes))
        );
    }
}

#[test]
fn a_file_without_rows_is_never_written() {
    let refused = ParquetStorageEngine::new()
        .encode(&key(), BarBatch::empty())
        .unwrap_err();
    assert!(matches!(refused, FileError::Empty));
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let engine = ParquetStorageEngine::new();
    let rows = batch((0..50).map(|n| bar(n, 100.0)));
    let file = engine.encode(&key(), rows.clone()).unwrap();
    for cut in [0, 1, 4, 8, file.bytes.len() / 2, file.bytes.len() - 1] {
        assert!(
            engine
                .decode(file.bytes[..cut].to_vec(), Known::Nothing)
                .is_err(),
            "cut at {cut}"
        );
    }
    for position in 0..file.bytes.len() {
        let mut flipped = file.bytes.clone();
        flipped[position] ^= 0x10;
        if let Ok((read, _)) = engine.decode(flipped, Known::Nothing) {
            assert_eq!(
                read, rows,
                "bit flipped at {position} changed rows without an error"
            );
        }
    }
}

/// `bytes` with the last `old` replaced by `new`, which is as long.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let found = bytes.windows(old.len()).rposition(|window| window == old);
    let place = found.unwrap();
    let mut replaced = bytes.to_vec();
    replaced[place..place + old.len()].copy_from_slice(new);
    replaced
}

#[test]
fn a_footer_that_tells_other_sessions_or_instants_than_the_rows_is_damage() {
    let engine = ParquetStorageEngine::new();
    let file = engine.encode(&key(), batch((0..50).map(|n| bar(n, 100.0))));
    let bytes = file.unwrap().bytes;
    let last_us = OPEN + 49 * 60_000_000;
    for (old, new) in [
        (
            &br#""first_session":"2024-07-02""#[..],
            &br#""first_session":"2024-07-01""#[..],
        ),
        (
            br#""last_session":"2024-07-02""#,
            br#""last_session":"2024-07-22""#,
        ),
        (br#""schema":1"#, br#""schema":0"#),
        (&OPEN.to_le_bytes(), &(OPEN + 60_000_000).to_le_bytes()),
        (&last_us.to_le_bytes(), &(last_us ^ 1).to_le_bytes()),
    ] {
        let refused = engine.decode(replaced(&bytes, old, new), Known::Nothing);
        assert!(refused.is_err(), "{}", String::from_utf8_lossy(old));
    }
}

#[test]
fn more_rows_than_any_partition_has_are_not_even_read() {
    let rows = MOST_ROWS + 1;
    let described = FileDescription {
        rows: u64::try_from(rows).unwrap(),
        ..describe(&key(), &batch([bar(0, 1.0)]), None, None).unwrap()
    };
    let json = serde_json::to_string(&described).unwrap();
    let entry = KeyValue::new(DESCRIPTION_KEY.to_owned(), json);
    let field = arrow::datatypes::Field::new("ts", arrow::datatypes::DataType::Int64, false);
    let schema = Arc::new(arrow::datatypes::Schema::new(vec![field]));
    let ts = Arc::new(arrow::array::Int64Array::from(vec![OPEN; rows]));
    let record_batch = RecordBatch::try_new(Arc::clone(&schema), vec![ts]).unwrap();
    let properties = writer_properties(Effort::Least, Some(entry));
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
    writer.write(&record_batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let refused = ParquetStorageEngine::new().decode(bytes, Known::Nothing);
    assert!(matches!(
        refused,
        Err(FileError::TooLong { found: 1_048_577 })
    ));
}

#[test]
fn a_newer_layout_and_foreign_files_are_refused() {
    let entry = |json: &str| {
        Some(vec![KeyValue::new(
            DESCRIPTION_KEY.to_owned(),
            json.to_owned(),
        )])
    };
    assert!(matches!(
        read_description(None),
        Err(FileError::Undescribed(_))
    ));
    assert!(matches!(
        read_description(entry("{}").as_ref()),
        Err(FileError::Undescribed(_))
    ));
    let newer = FileDescription {
        schema: 99,
        ..describe(&key(), &batch([bar(0, 1.0)]), None, None).unwrap()
    };
    let json = serde_json::to_string(&newer).unwrap();
    assert!(matches!(
        read_description(entry(&json).as_ref()),
        Err(FileError::NewerLayout { found: 99 })
    ));
}

proptest! {
    #[test]
    fn any_sound_rows_read_back(rows in proptest::collection::btree_map(0_i64..2000, (1_u32..10_000_000, any::<bool>()), 1..80)) {
        let rows = batch(rows.into_iter().map(|(minute, (ticks, nulls))| {
            let price = f64::from(ticks) / 10_000.0 + 1.0;
            Bar { vwap: nulls.then_some(price), ..bar(minute, price) }
        }));
        let engine = ParquetStorageEngine::new();
        let file = engine.encode(&key(), rows.clone()).unwrap();
        prop_assert_eq!(engine.decode(file.bytes, Known::Nothing).unwrap().0, rows);
    }
}
