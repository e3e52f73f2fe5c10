//! Two engines, one result: SQL in DuckDB and the columnar pass give the same bars to the last bit.

use marketpipe::aggregation::RollupAggregator;
use marketpipe::domain::ports::BarAggregator as _;
use marketpipe::domain::{
    AggregationChoice, AggregationSpec, Anchor, Bar, BarBatch, Calendar, ClosingAuction, Segment,
    Timeframe,
};
use marketpipe::infrastructure::duckdb::DuckdbAggregator;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const MINUTE_US: i64 = 60_000_000;

/// Both clock changes of 2024, half days, the sessions after weekends and holidays.
const DATES: [&str; 10] = [
    "2024-03-08",
    "2024-03-11",
    "2024-03-12",
    "2024-07-03",
    "2024-07-05",
    "2024-11-01",
    "2024-11-04",
    "2024-11-05",
    "2024-11-29",
    "2024-12-24",
];

/// Sparse minutes with fractions of shares and cents, so that the order of sums shows in the last bit.
fn minutes() -> impl Strategy<Value = BarBatch> {
    let minute = prop_oneof![
        4 => 0_i64..1440,
        3 => 805_i64..840,
        2 => 1015_i64..1025,
        1 => 1195_i64..1205,
        // What a weekend leaves before the session's last 24 hours.
        1 => -2880_i64..0,
    ];
    let volume = prop_oneof![4 => 0.0..1e6_f64, 1 => Just(0.0), 1 => Just(0.1), 1 => Just(-0.0)];
    let row = (
        (0..DATES.len(), minute),
        0.01..1000.0_f64,
        (0.0..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64),
        volume,
        proptest::option::weighted(0.95, 0_i64..1000),
        proptest::option::weighted(0.95, 0.01..1000.0_f64),
    );
    let rows = prop_oneof![
        1 => proptest::collection::vec(row.clone(), 1..3),
        4 => proptest::collection::vec(row, 1..400),
    ];
    rows.prop_map(|rows| {
        let calendar = Calendar::nyse();
        let mut bars = Vec::new();
        for ((date, minute), price, (a, b, up, down), volume, trade_count, vwap) in rows {
            let session = calendar
                .session(DATES[date].parse().unwrap())
                .unwrap()
                .unwrap();
            let ts_us = session.minute_ts_us(0) + minute * MINUTE_US;
            if session.segment_at(ts_us).is_none() {
                continue;
            }
            let (open, close) = (price + a, price + b);
            bars.push(Bar {
                ts_us,
                open,
                high: open.max(close) + up,
                low: open.min(close) - down * price / 2.0,
                close,
                volume,
                trade_count,
                vwap,
            });
        }
        bars.sort_by_key(|bar: &Bar| bar.ts_us);
        bars.dedup_by_key(|bar| bar.ts_us);
        BarBatch::from_columns(bars.into_iter().collect(), calendar).unwrap()
    })
}

fn specs(choice: AggregationChoice, calendar: Calendar) -> Vec<AggregationSpec> {
    let frames = Timeframe::ALL.into_iter().skip(1);
    frames
        .map(|frame| AggregationSpec::new(frame, choice, calendar).unwrap())
        .collect()
}

fn assert_equal(engine: &DuckdbAggregator, minutes: &BarBatch, specs: &[AggregationSpec]) {
    let by_sql = engine.aggregate(&[minutes], specs).unwrap();
    let by_columns = RollupAggregator.aggregate(&[minutes], specs).unwrap();
    for ((spec, sql), columns) in specs.iter().zip(&by_sql).zip(&by_columns) {
        if let Some(rows) = sql.first_difference(columns) {
            let bar = |batch: &marketpipe::domain::DerivedBatch, row: Option<usize>| {
                row.map(|row| (batch.bars().bar(row), batch.minutes()[row]))
            };
            panic!(
                "{}: {rows:?} are {:?} by SQL, {:?} by columns",
                spec.canonical(),
                bar(sql, rows.kept),
                bar(columns, rows.expected)
            );
        }
    }
}

#[test]
fn both_engines_give_the_same_bars_to_the_last_bit() {
    let engine = DuckdbAggregator::new();
    let choices: Vec<AggregationChoice> = [Anchor::Open, Anchor::Clock]
        .into_iter()
        .flat_map(|anchor| {
            [ClosingAuction::Exclude, ClosingAuction::Include].map(|closing_auction| {
                AggregationChoice {
                    anchor,
                    closing_auction,
                    ..AggregationChoice::default()
                }
            })
        })
        .chain([AggregationChoice {
            segments: [Segment::Pre, Segment::Regular].into_iter().collect(),
            ..AggregationChoice::default()
        }])
        .collect();
    let mut runner = TestRunner::new(Config {
        cases: 40,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&(minutes(), 0..choices.len()), |(minutes, choice)| {
            assert_equal(&engine, &minutes, &specs(choices[choice], Calendar::nyse()));
            Ok(())
        })
        .unwrap();
}

#[test]
fn equal_values_are_added_one_by_one() {
    // A tenth has no end in binary: ten of them are not one, and a sum by multiplication would be.
    let session = Calendar::nyse()
        .session("2024-07-02".parse().unwrap())
        .unwrap()
        .unwrap();
    let bar = |minute: i64| Bar {
        ts_us: session.open_us() + minute * MINUTE_US,
        open: 10.0,
        high: 10.0,
        low: 10.0,
        close: 10.0,
        volume: 0.1,
        trade_count: Some(1),
        vwap: Some(10.0),
    };
    let minutes = BarBatch::from_columns((0..390).map(bar).collect(), Calendar::nyse()).unwrap();
    let engine = DuckdbAggregator::new();
    let specs = specs(AggregationChoice::default(), Calendar::nyse());
    assert_equal(&engine, &minutes, &specs);
}

#[test]
fn markets_that_never_close_have_utc_days() {
    let calendar = Calendar::always_open();
    let midnight = 1_719_792_000_000_000;
    let bar = |n: i64| Bar {
        ts_us: midnight + n * 7 * MINUTE_US,
        open: 1.5,
        high: 2.5,
        low: 0.5,
        close: 1.0,
        volume: 0.001,
        trade_count: None,
        vwap: Some(1.0),
    };
    let minutes = BarBatch::from_columns((0..500).map(bar).collect(), calendar).unwrap();
    let specs = specs(AggregationChoice::default(), calendar);
    assert_equal(&DuckdbAggregator::new(), &minutes, &specs);
    let days = RollupAggregator
        .aggregate(&[&minutes], &specs)
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(
        days.bars().columns().ts_us[..2],
        [midnight, midnight + 1440 * MINUTE_US]
    );
    assert_eq!(days.minutes()[0], 206, "every seventh of 1,440 minutes");
}
