//! The engine against a slow reference that spells the order of additions out, and against the plain definition.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::domain::aggregation_spec::BucketGrid;
use crate::domain::{
    AggregationChoice, Bar, Calendar, OhlcvCalculationService, SegmentSet, Session, SessionDate,
    Timeframe,
};

/// Opening a database costs more than all that a test does with it.
static ENGINE: LazyLock<DuckdbAggregator> = LazyLock::new(DuckdbAggregator::default);

/// Two weeks in which clocks change, and a half day between two others.
const DATES: [&str; 12] = [
    "2024-03-08",
    "2024-03-11",
    "2024-03-12",
    "2024-07-02",
    "2024-07-03",
    "2024-07-05",
    "2024-11-01",
    "2024-11-04",
    "2024-11-05",
    "2024-11-29",
    "2024-12-24",
    "2024-12-26",
];

fn session(date: &str, calendar: Calendar) -> Session {
    let date: SessionDate = date.parse().unwrap();
    calendar.session(date).unwrap().unwrap()
}

/// Every spec that differs from the others in a frame, an anchor or the auction.
fn all_specs(calendar: Calendar, segments: SegmentSet) -> Vec<AggregationSpec> {
    let mut specs: Vec<AggregationSpec> = Vec::new();
    for frame in Timeframe::ALL.into_iter().skip(1) {
        for anchor in [Anchor::Open, Anchor::Clock] {
            for closing_auction in [ClosingAuction::Exclude, ClosingAuction::Include] {
                let choice = AggregationChoice {
                    anchor,
                    segments,
                    closing_auction,
                };
                let spec = AggregationSpec::new(frame, choice, calendar).unwrap();
                if !specs.contains(&spec) {
                    specs.push(spec);
                }
            }
        }
    }
    specs
}

/// What a sum is made of: a minute, or the sum of some.
#[derive(Debug, Clone, Copy)]
struct Part {
    bar: Bar,
    weighted: f64,
    is_known: bool,
    minutes: i32,
}

impl Part {
    fn of_minute(bar: Bar) -> Self {
        let has_volume = bar.volume > 0.0;
        Self {
            bar,
            weighted: if has_volume {
                bar.vwap.unwrap_or(0.0) * bar.volume
            } else {
                0.0
            },
            is_known: !has_volume || bar.vwap.is_some(),
            minutes: 1,
        }
    }

    /// The sum of `parts` in their order, beginning with zero.
    fn sum(parts: &[Self], ts_us: i64) -> Self {
        let mut sum = Self {
            bar: Bar {
                ts_us,
                volume: 0.0,
                trade_count: Some(0),
                ..parts[0].bar
            },
            weighted: 0.0,
            is_known: true,
            minutes: 0,
        };
        for part in parts {
            sum.bar.high = sum.bar.high.max(part.bar.high);
            sum.bar.low = sum.bar.low.min(part.bar.low);
            sum.bar.close = part.bar.close;
            sum.bar.volume += part.bar.volume;
            sum.bar.trade_count = (sum.bar.trade_count)
                .zip(part.bar.trade_count)
                .and_then(|(sum, count)| sum.checked_add(count));
            sum.weighted += part.weighted;
            sum.is_known &= part.is_known;
            sum.minutes += part.minutes;
        }
        sum.bar.vwap =
            (sum.is_known && sum.bar.volume > 0.0).then(|| sum.weighted / sum.bar.volume);
        sum
    }
}

/// The sums of runs of `parts` with equal keys, each stamped with its key.
fn sums_by(parts: &[Part], start_of: impl Fn(i64) -> i64) -> Vec<Part> {
    parts
        .chunk_by(|a, b| start_of(a.bar.ts_us) == start_of(b.bar.ts_us))
        .map(|run| Part::sum(run, start_of(run[0].bar.ts_us)))
        .collect()
}

/// The definition in words, bar by bar.
fn reference(minutes: &BarBatch, spec: &AggregationSpec) -> DerivedBatch {
    let mut rows: Vec<(Part, i32, Segment)> = Vec::new();
    for (day, range) in minutes.sessions() {
        let session = session_of(spec.calendar(), day).unwrap();
        let parts_of = |segment: Segment| -> Vec<Part> {
            (range.clone())
                .filter(|&row| minutes.segments()[row] == segment)
                .map(|row| Part::of_minute(minutes.bar(row)))
                .collect()
        };
        let cells_of = |segment: Segment| {
            let grid = BucketGrid::new(&session, segment, Anchor::Open, 5 * MINUTE_US);
            sums_by(&parts_of(segment), |ts_us| grid.start_of(ts_us))
        };
        if spec.frame() == Timeframe::D1 {
            let mut parts = cells_of(Segment::Regular);
            if spec.closing_auction() == ClosingAuction::Include {
                let post = parts_of(Segment::Post).into_iter();
                parts.extend(post.filter(|part| part.bar.ts_us == session.close_us()));
            }
            if !parts.is_empty() {
                rows.push((Part::sum(&parts, session.open_us()), day, Segment::Regular));
            }
            continue;
        }
        for segment in spec.segments().iter() {
            let is_rolled_up = spec.frame().minutes().unwrap().is_multiple_of(5);
            let parts = if is_rolled_up {
                cells_of(segment)
            } else {
                parts_of(segment)
            };
            let grid = spec.grid(&session, segment).unwrap();
            let sums = sums_by(&parts, |ts_us| grid.start_of(ts_us));
            rows.extend(sums.into_iter().map(|sum| (sum, day, segment)));
        }
    }
    DerivedBatch::from_parts(
        rows.iter().map(|(part, ..)| part.bar).collect(),
        rows.iter().map(|(_, day, _)| *day).collect(),
        rows.iter().map(|(.., segment)| *segment).collect(),
        rows.iter().map(|(part, ..)| part.minutes).collect(),
    )
    .unwrap()
}

/// Where a run of minutes begins.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// At this share of the window, weekends included.
    Window(f64),
    /// So many minutes from one of the session's borders: the frame's start, the pre-market, the open, the close.
    Border(usize, i64),
}

/// Bars of one session in a few runs.
#[derive(Debug, Clone)]
struct Runs {
    date: &'static str,
    runs: Vec<(Place, Vec<Bar>)>,
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        (0.0..1.0).prop_map(Place::Window),
        (0_usize..4, -12_i64..12).prop_map(|(border, minutes)| Place::Border(border, minutes)),
    ]
}

/// A bar whose volume is fractional, or a whole number; its time is set later.
fn bar(volume: impl Strategy<Value = f64>) -> impl Strategy<Value = Bar> {
    let count = prop_oneof![
        8 => option::weighted(0.9, 0_i64..1_000),
        1 => Just(Some(i64::MAX / 2)),
    ];
    let prices = (10.0..1_000.0, -1.0..1.0, 0.0..1.0, 0.0..1.0);
    let vwap = option::weighted(0.95, 5.0..1_000.0);
    (prices, volume, count, vwap).prop_map(
        |((open, change, above, below), volume, trade_count, vwap)| Bar {
            ts_us: 0,
            open,
            high: open.max(open + change) + above,
            low: open.min(open + change) - below,
            close: open + change,
            volume,
            trade_count,
            vwap,
        },
    )
}

fn fractional() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![
        2 => Just(0.0),
        // Many equal ones, which an engine may take for a constant times a count.
        3 => Just(EQUAL_VOLUME),
        4 => 0.0..1e9,
        1 => 0.0..1e-9,
    ]
}

fn whole() -> impl Strategy<Value = f64> + Clone {
    (0_u32..1_000_000).prop_map(f64::from)
}

fn sparse(volume: impl Strategy<Value = f64> + Clone) -> impl Strategy<Value = Vec<Runs>> {
    let run = (place(), vec(bar(volume), 1..14));
    let session = (select(DATES.as_slice()), vec(run, 1..5));
    vec(session.prop_map(|(date, runs)| Runs { date, runs }), 0..4)
}

fn batch_of(sessions: &[Runs], calendar: Calendar) -> BarBatch {
    let mut bars: Vec<Bar> = Vec::new();
    for Runs { date, runs } in sessions {
        let session = session(date, calendar);
        let (start_us, end_us) = (session.window_start_us(), session.window_end_us());
        for (place, run) in runs {
            let first_us = match *place {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_precision_loss,
                    reason = "a share of a few days in minutes"
                )]
                Place::Window(share) => {
                    let minutes = (end_us - start_us) / MINUTE_US;
                    start_us + (minutes as f64 * share) as i64 * MINUTE_US
                }
                Place::Border(border, minutes) => {
                    let borders = [
                        session.minute_ts_us(0),
                        session.pre_open_us(),
                        session.open_us(),
                        session.close_us(),
                    ];
                    borders[border] + minutes * MINUTE_US
                }
            };
            let starts_us = (0..).map(|n| first_us + n * MINUTE_US);
            bars.extend(starts_us.zip(run).map(|(ts_us, bar)| Bar { ts_us, ..*bar }));
        }
    }
    bars.sort_by_key(|bar| bar.ts_us);
    bars.dedup_by_key(|bar| bar.ts_us);
    BarBatch::from_columns(bars.into_iter().collect(), calendar).unwrap()
}

fn calendars() -> impl Strategy<Value = Calendar> {
    prop_oneof![
        6 => Just(Calendar::nyse()),
        1 => Just(Calendar::always_open()),
    ]
}

fn segment_sets() -> impl Strategy<Value = SegmentSet> {
    let some = vec(select(Segment::ALL.as_slice()), 0..4);
    prop_oneof![
        3 => Just(SegmentSet::ALL),
        1 => some.prop_map(|segments| segments.into_iter().collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn bars_equal_the_reference_to_the_last_bit(
        sessions in sparse(fractional()),
        calendar in calendars(),
        segments in segment_sets(),
    ) {
        let minutes = batch_of(&sessions, calendar);
        let specs = all_specs(calendar, segments);
        let derived = ENGINE.aggregate(&[&minutes], &specs).unwrap();
        prop_assert_eq!(derived.len(), specs.len());
        for (spec, bars) in specs.iter().zip(&derived) {
            let expected = reference(&minutes, spec);
            let difference = bars.first_difference(&expected);
            prop_assert_eq!(difference, None, "{}: {:?}, not {:?}", spec.canonical(), bars, expected);
        }
    }

    #[test]
    fn bars_of_whole_volumes_equal_the_plain_definition(
        sessions in sparse(whole()),
        calendar in calendars(),
    ) {
        let minutes = batch_of(&sessions, calendar);
        let specs = all_specs(calendar, SegmentSet::ALL);
        let derived = ENGINE.aggregate(&[&minutes], &specs).unwrap();
        for (spec, bars) in specs.iter().zip(&derived) {
            let expected = OhlcvCalculationService.resample(&minutes, spec).unwrap();
            prop_assert_eq!(bars.minutes(), expected.minutes());
            prop_assert_eq!(bars.bars().segments(), expected.bars().segments());
            prop_assert_eq!(bars.bars().session_days(), expected.bars().session_days());
            for row in 0..bars.len() {
                let (bar, plain) = (bars.bars().bar(row), expected.bars().bar(row));
                // Prices differ by the order in which their products with the volume were added.
                let are_close = match (bar.vwap, plain.vwap) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * b.abs(),
                    (a, b) => a == b,
                };
                prop_assert!(are_close, "{}: {bar:?}, not {plain:?}", spec.canonical());
                let bar = Bar { vwap: plain.vwap, ..bar };
                prop_assert!(bar.same_values(&plain), "{}: {bar:?}, not {plain:?}", spec.canonical());
            }
        }
    }
}

/// A number whose multiples are not its repeated sums.
const EQUAL_VOLUME: f64 = 0.123;

/// A session's minutes of equal fractional volumes, from the first to the last of its frame.
fn full_day(date: &str) -> BarBatch {
    let session = session(date, Calendar::nyse());
    let bar = |minute| Bar {
        ts_us: session.minute_ts_us(minute),
        open: 10.0,
        high: 10.5,
        low: 9.5,
        close: 10.1,
        volume: EQUAL_VOLUME,
        trade_count: Some(3),
        vwap: Some(10.3),
    };
    let bars: BarColumns = (0..1_440).map(bar).collect();
    BarBatch::from_columns(bars, Calendar::nyse()).unwrap()
}

#[test]
fn equal_volumes_are_added_one_by_one() {
    // Up to five equal numbers have the same sum either way; from six on a constant times a count is another number.
    let minutes = full_day("2024-07-02");
    let specs = all_specs(Calendar::nyse(), SegmentSet::ALL);
    let derived = ENGINE.aggregate(&[&minutes], &specs).unwrap();
    for (spec, bars) in specs.iter().zip(&derived) {
        let expected = reference(&minutes, spec);
        assert_eq!(bars.first_difference(&expected), None, "{spec:?}");
    }
    let of_a_day = |spec: &&AggregationSpec| spec.frame() == Timeframe::D1;
    let day = specs.iter().zip(&derived).find(|(spec, _)| of_a_day(spec));
    let day = day.unwrap().1.bars().bar(0);
    assert_ne!(day.volume.to_bits(), (EQUAL_VOLUME * 390.0).to_bits());
}

#[test]
fn a_session_of_the_auction_alone_has_a_day_where_it_is_asked_for() {
    let session = session("2024-07-03", Calendar::nyse());
    let minutes = full_day("2024-07-03");
    let close = minutes.columns().ts_us.binary_search(&session.close_us());
    let minutes = minutes.slice(close.unwrap()..close.unwrap() + 2);
    let of = |closing_auction| {
        let choice = AggregationChoice {
            closing_auction,
            ..AggregationChoice::default()
        };
        let spec = AggregationSpec::new(Timeframe::D1, choice, Calendar::nyse()).unwrap();
        ENGINE.aggregate(&[&minutes], &[spec]).unwrap().remove(0)
    };
    assert!(of(ClosingAuction::Exclude).is_empty());
    let day = of(ClosingAuction::Include);
    assert_eq!(day.minutes(), [1]);
    assert_eq!(day.bars().columns().ts_us, [session.open_us()]);
    assert_eq!(day.bars().segments(), [Segment::Regular]);
}

#[test]
fn nothing_is_made_of_nothing_and_nothing_is_left_of_the_call_before() {
    let specs = all_specs(Calendar::nyse(), SegmentSet::ALL);
    let engine = DuckdbAggregator::default();
    assert!(
        engine
            .aggregate(&[&BarBatch::empty()], &[])
            .unwrap()
            .is_empty()
    );
    engine
        .aggregate(&[&full_day("2024-07-02")], &specs)
        .unwrap();
    let derived = engine.aggregate(&[&BarBatch::empty()], &specs).unwrap();
    assert_eq!(derived.len(), specs.len());
    assert!(derived.iter().all(DerivedBatch::is_empty));
}

#[test]
fn minutes_on_a_date_that_is_no_session_are_refused_and_the_engine_goes_on() {
    let specs = all_specs(Calendar::nyse(), SegmentSet::ALL);
    let (columns, days, segments) = full_day("2024-07-03").into_parts();
    let holiday = days.iter().map(|day| day + 1).collect();
    let minutes = BarBatch::from_parts(columns, holiday, segments).unwrap();
    let error = ENGINE.aggregate(&[&minutes], &specs).unwrap_err();
    let words = "duckdb cannot aggregate: there are bars on 2024-07-04, which is no session";
    assert_eq!(error.to_string(), words);
    let derived = ENGINE
        .aggregate(&[&full_day("2024-07-03")], &specs)
        .unwrap();
    assert_eq!(derived[2].len(), 288, "5-minute bars of a whole frame");
}
