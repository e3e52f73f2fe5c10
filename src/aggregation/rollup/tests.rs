//! Tests of the columnar engine: against the plain definition, and for what no aggregation may lose.

use proptest::prelude::*;

use super::*;
use crate::domain::{AggregationChoice, Bar, Calendar, OhlcvCalculationService, Timeframe};

/// Dates around both clock changes of 2024, a half day, a long weekend and usual days.
const DATES: [&str; 10] = [
    "2024-03-08",
    "2024-03-11",
    "2024-03-12",
    "2024-07-02",
    "2024-07-03",
    "2024-07-05",
    "2024-11-01",
    "2024-11-04",
    "2024-11-29",
    "2024-12-24",
];

/// Sparse minutes of a few sessions: whole numbers of shares, so that sums are exact in any order.
fn minutes() -> impl Strategy<Value = BarBatch> {
    let row = (
        0..DATES.len(),
        prop_oneof![
            4 => 0_i64..1440,
            2 => 805_i64..830,
            2 => 1015_i64..1025,
            1 => 1195_i64..1205,
            // What a weekend leaves: before the frame, still of the session.
            1 => -2880_i64..0,
        ],
        1_u32..100_000,
        0_u32..50,
        0_u32..50,
        0_u32..3000,
        proptest::option::weighted(0.9, 0_i64..1000),
        proptest::option::weighted(0.9, 0.01..1000.0_f64),
    );
    proptest::collection::vec(row, 1..300).prop_map(|rows| {
        let mut bars: Vec<Bar> = rows
            .into_iter()
            .filter_map(
                |(date, minute, cents, up, down, volume, trade_count, vwap)| {
                    let session = session(DATES[date]);
                    let ts_us = session.minute_ts_us(0) + minute * MINUTE_US;
                    let price = f64::from(cents + 50) / 100.0;
                    session.segment_at(ts_us).map(|_| Bar {
                        ts_us,
                        open: price,
                        high: price + f64::from(up) / 100.0,
                        low: price - f64::from(down) / 200.0,
                        close: price,
                        volume: f64::from(volume.saturating_sub(100)),
                        trade_count,
                        vwap,
                    })
                },
            )
            .collect();
        bars.sort_by_key(|bar| bar.ts_us);
        bars.dedup_by_key(|bar| bar.ts_us);
        BarBatch::from_columns(bars.into_iter().collect(), Calendar::nyse()).unwrap()
    })
}

fn session(date: &str) -> Session {
    let date = date.parse().unwrap();
    Calendar::nyse().session(date).unwrap().unwrap()
}

fn choices() -> Vec<AggregationChoice> {
    let mut choices = Vec::new();
    for anchor in [Anchor::Open, Anchor::Clock] {
        for closing_auction in [ClosingAuction::Exclude, ClosingAuction::Include] {
            choices.push(AggregationChoice {
                anchor,
                closing_auction,
                ..AggregationChoice::default()
            });
        }
    }
    choices
}

fn specs(choice: AggregationChoice) -> Vec<AggregationSpec> {
    let frames = Timeframe::ALL.into_iter().skip(1);
    frames
        .map(|frame| AggregationSpec::new(frame, choice, Calendar::nyse()).unwrap())
        .collect()
}

/// As a batch of minutes, but with the VWAPs apart: they are divisions and differ in their last bits by the order of sums.
fn exact_values(batch: &DerivedBatch) -> (Vec<Bar>, Vec<i32>, Vec<Segment>, Vec<i32>) {
    let bars = batch.bars();
    let plain = |row: usize| Bar {
        vwap: None,
        ..bars.bar(row)
    };
    (
        (0..batch.len()).map(plain).collect(),
        bars.session_days().to_vec(),
        bars.segments().to_vec(),
        batch.minutes().to_vec(),
    )
}

fn is_close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()),
        (a, b) => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn one_pass_gives_the_bars_of_the_plain_definition(minutes in minutes()) {
        for choice in choices() {
            let specs = specs(choice);
            let rolled = RollupAggregator.aggregate(&[&minutes], &specs).unwrap();
            for (spec, rolled) in specs.iter().zip(&rolled) {
                let plain = OhlcvCalculationService.resample(&minutes, spec).unwrap();
                prop_assert_eq!(exact_values(rolled), exact_values(&plain), "{}", spec.canonical());
                for row in 0..plain.len() {
                    let vwaps = (rolled.bars().bar(row).vwap, plain.bars().bar(row).vwap);
                    prop_assert!(is_close(vwaps.0, vwaps.1), "{:?} {}", vwaps, spec.canonical());
                }
            }
        }
    }

    #[test]
    fn every_frame_conserves_volume_trades_and_minutes_of_each_segment(minutes in minutes()) {
        let of_segment = |bars: &BarBatch, day: i32, segment: Segment, value: &dyn Fn(usize) -> i64| -> i64 {
            (0..bars.len())
                .filter(|&row| bars.session_days()[row] == day && bars.segments()[row] == segment)
                .map(value)
                .sum()
        };
        #[expect(clippy::cast_possible_truncation, reason = "the volumes are small whole numbers")]
        let volume = |bars: &BarBatch, row: usize| bars.columns().volume[row] as i64;
        for spec in specs(AggregationChoice::default()) {
            let derived = &RollupAggregator.aggregate(&[&minutes], &[spec]).unwrap()[0];
            for (day, _) in minutes.sessions() {
                for segment in Segment::ALL {
                    if spec.frame() == Timeframe::D1 && segment != Segment::Regular {
                        continue;
                    }
                    let bars = derived.bars();
                    prop_assert_eq!(
                        of_segment(bars, day, segment, &|row| volume(bars, row)),
                        of_segment(&minutes, day, segment, &|row| volume(&minutes, row))
                    );
                    prop_assert_eq!(
                        of_segment(bars, day, segment, &|row| i64::from(derived.minutes()[row])),
                        of_segment(&minutes, day, segment, &|_| 1)
                    );
                    // Without a missing count in the segment, no trade is lost.
                    let counts = |bars: &BarBatch| {
                        (0..bars.len())
                            .filter(|&row| bars.session_days()[row] == day && bars.segments()[row] == segment)
                            .map(|row| bars.bar(row).trade_count)
                            .sum::<Option<i64>>()
                    };
                    if let Some(sum) = counts(&minutes) {
                        prop_assert_eq!(counts(bars), Some(sum));
                    }
                }
            }
        }
    }

    #[test]
    fn a_bucket_never_crosses_a_border(minutes in minutes()) {
        for choice in choices() {
            for spec in specs(choice) {
                let derived = &RollupAggregator.aggregate(&[&minutes], &[spec]).unwrap()[0];
                let bars = derived.bars();
                for row in 0..derived.len() {
                    let day = session_of(Calendar::nyse(), bars.session_days()[row]).unwrap();
                    prop_assert_eq!(day.segment_at(bars.columns().ts_us[row]), Some(bars.segments()[row]));
                }
            }
        }
    }

    #[test]
    fn hours_rolled_up_from_five_minute_bars_are_those_of_the_minutes(minutes in minutes()) {
        let spec = |frame| AggregationSpec::new(frame, AggregationChoice::default(), Calendar::nyse()).unwrap();
        let five = &RollupAggregator.aggregate(&[&minutes], &[spec(Timeframe::M5)]).unwrap()[0];
        let hours = &RollupAggregator.aggregate(&[&minutes], &[spec(Timeframe::H1)]).unwrap()[0];
        // 5-minute bars as if they were minutes of the same segments.
        let again = &RollupAggregator.aggregate(&[five.bars()], &[spec(Timeframe::H1)]).unwrap()[0];
        let values = |batch: &DerivedBatch| {
            let (bars, days, segments, _) = exact_values(batch);
            (bars, days, segments)
        };
        prop_assert_eq!(values(again), values(hours));
        let made_of = |row: usize| -> i32 {
            let start_us = hours.bars().columns().ts_us[row];
            let end_us = hours.bars().columns().ts_us.get(row + 1).copied().unwrap_or(i64::MAX);
            (0..five.len())
                .filter(|&cell| (start_us..end_us).contains(&five.bars().columns().ts_us[cell]))
                .map(|cell| five.minutes()[cell])
                .sum()
        };
        prop_assert_eq!((0..hours.len()).map(made_of).collect::<Vec<_>>(), hours.minutes());
    }
}

#[test]
fn a_day_that_traded_only_at_the_close_has_a_bar_where_the_auction_counts() {
    let session = session("2024-07-03");
    let bar = Bar {
        ts_us: session.close_us(),
        open: 10.0,
        high: 10.0,
        low: 10.0,
        close: 10.0,
        volume: 700.0,
        trade_count: Some(1),
        vwap: Some(10.0),
    };
    let minutes = BarBatch::from_columns([bar].into_iter().collect(), Calendar::nyse()).unwrap();
    let days = |closing_auction| {
        let choice = AggregationChoice {
            closing_auction,
            ..AggregationChoice::default()
        };
        let spec = AggregationSpec::new(Timeframe::D1, choice, Calendar::nyse()).unwrap();
        RollupAggregator
            .aggregate(&[&minutes], &[spec])
            .unwrap()
            .remove(0)
    };
    assert!(days(ClosingAuction::Exclude).is_empty());
    let day = days(ClosingAuction::Include);
    assert_eq!(day.bars().columns().ts_us, [session.open_us()]);
    assert_eq!(day.bars().segments(), [Segment::Regular]);
    assert_eq!(day.minutes(), [1]);
}

#[test]
fn counts_that_overflow_are_unknown() {
    let open_us = session("2024-07-02").open_us();
    let bar = |minute: i64| Bar {
        ts_us: open_us + minute * MINUTE_US,
        open: 1.0,
        high: 1.0,
        low: 1.0,
        close: 1.0,
        volume: 0.0,
        trade_count: Some(i64::MAX),
        vwap: None,
    };
    let columns = [bar(0), bar(1), bar(7)].into_iter().collect();
    let minutes = BarBatch::from_columns(columns, Calendar::nyse()).unwrap();
    let rolled = RollupAggregator
        .aggregate(&[&minutes], &specs(AggregationChoice::default()))
        .unwrap();
    let counts = |frame: Timeframe| {
        let at = Timeframe::ALL
            .iter()
            .position(|&other| other == frame)
            .unwrap()
            - 1;
        let bars = rolled[at].bars();
        (0..bars.len())
            .map(|row| bars.bar(row).trade_count)
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(Timeframe::M5), [None, Some(i64::MAX)]);
    assert_eq!(counts(Timeframe::D1), [None]);
}
