//! What the made-up market looks like.

use proptest::prelude::*;

use super::*;
use crate::domain::instant::MINUTE_US;
use crate::domain::{BarBatch, Calendar, SessionDate};

const NYSE: Calendar = Calendar::nyse();

fn session(date: &str) -> Session {
    NYSE.session(date.parse().unwrap()).unwrap().unwrap()
}

fn bars_of(symbol: &str, session: &Session) -> BarColumns {
    instrument(symbol).session_bars(session)
}

fn rows_in(columns: &BarColumns, session: &Session, segment: Segment) -> usize {
    columns
        .ts_us
        .iter()
        .filter(|ts_us| session.segment_at(**ts_us) == Some(segment))
        .count()
}

fn instrument(symbol: &str) -> Instrument {
    Instrument::new(&symbol.parse().unwrap(), 1)
}

#[test]
fn the_stream_is_that_of_splitmix64() {
    // Source: the reference implementation with seed 1234567.
    let mut stream = Stream(1_234_567);
    let expected = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
    ];
    assert_eq!([stream.next(), stream.next(), stream.next()], expected);
}

#[test]
fn draws_stay_within_their_bounds() {
    assert_eq!((unit(0), unit(u64::MAX) < 1.0), (0.0, true));
    let mut stream = Stream(7);
    for _ in 0..10_000 {
        assert!(stream.below(10) < 10);
        assert!((-1.0..1.0).contains(&stream.signed()));
    }
}

#[test]
fn levels_stay_within_half_of_the_middle_and_move_little_from_day_to_day() {
    let reach: f64 = WAVES.iter().map(|(_, reach)| reach).sum();
    assert!(reach + STRAY < 0.5);
    for symbol in ["AAPL", "F", "BTC/USD"] {
        let instrument = instrument(symbol);
        for day in 0..40_000 {
            let (level, next) = (instrument.level(day), instrument.level(day + 1));
            assert!(
                level.abs() <= reach && (next - level).abs() < 0.06,
                "{symbol} {day}"
            );
        }
    }
}

/// Guards what users may have built on: a change of the market needs another dataset name.
#[test]
fn the_market_of_a_seed_never_changes() {
    let columns = bars_of("AAPL", &session("2024-07-02"));
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for row in 0..columns.len() {
        for byte in format!("{:?}", columns.bar(row)).bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    assert_eq!((columns.len(), hash), (460, 6_172_818_944_660_240_328));
}

#[test]
fn a_half_day_ends_early() {
    let half_day = session("2024-07-03");
    let columns = bars_of("AAPL", &half_day);
    assert_eq!(
        columns
            .ts_us
            .iter()
            .filter(|ts_us| **ts_us >= half_day.post_close_us())
            .count(),
        0
    );
    let regular = rows_in(&columns, &half_day, Segment::Regular);
    assert!((200..=210).contains(&regular), "{regular}");
}

#[test]
fn regular_minutes_are_nearly_all_there_and_others_are_sparse() {
    for name in [
        "AAPL", "MSFT", "SPY", "F", "BRK.B", "TSLA", "KO", "GE", "T", "X",
    ] {
        let day = session("2024-07-02");
        let columns = bars_of(name, &day);
        let regular = rows_in(&columns, &day, Segment::Regular);
        assert!((300..=390).contains(&regular), "{name}: {regular}");
        let extended = columns.len() - regular;
        assert!(extended < 330, "{name}: {extended} of 570");
        assert_eq!(rows_in(&columns, &day, Segment::Overnight), 0);
    }
}

#[test]
fn pairs_trade_round_the_clock_in_fractions() {
    let saturday = Calendar::always_open()
        .session("2024-07-06".parse().unwrap())
        .unwrap()
        .unwrap();
    let columns = bars_of("BTC/USD", &saturday);
    assert!(columns.len() > 1_200, "{}", columns.len());
    assert!(columns.volume.iter().any(|volume| volume.fract() != 0.0));
}

#[test]
fn volume_is_highest_at_the_open_and_the_close() {
    let day = session("2024-07-02");
    let columns = bars_of("AAPL", &day);
    let mean = |from_us: i64, minutes: i64| {
        let rows = (0..columns.len())
            .filter(|row| (from_us..from_us + minutes * MINUTE_US).contains(&columns.ts_us[*row]));
        let volumes: Vec<f64> = rows.map(|row| columns.volume[row]).collect();
        volumes.iter().sum::<f64>() / f64::from(u32::try_from(volumes.len()).unwrap())
    };
    let noon = mean(day.open_us() + 180 * MINUTE_US, 30);
    assert!(mean(day.open_us(), 30) > 2.0 * noon);
    assert!(mean(day.close_us() - 30 * MINUTE_US, 30) > 2.0 * noon);
}

#[test]
fn prices_connect_from_session_to_session() {
    let (first, last): (SessionDate, SessionDate) =
        ("2000-01-03".parse().unwrap(), "2027-12-31".parse().unwrap());
    for name in ["AAPL", "F"] {
        let mut before = None;
        for day in NYSE.sessions(first, last).unwrap() {
            let columns = bars_of(name, &day);
            let (open, close) = (columns.open[0], *columns.close.last().unwrap());
            if let Some(before) = before.replace(close) {
                let change: f64 = open / before - 1.0;
                assert!(
                    change.abs() < 0.04,
                    "{name} {}: {before} to {open}",
                    day.date()
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn every_bar_is_sound_and_in_expected_hours(name in "[A-Z]{1,4}(/USD)?", seed: u64, days in 7_305_i32..21_540) {
        let symbol: Symbol = name.parse().unwrap();
        let calendar = Calendar::of(&symbol);
        let after = SessionDate::from_days_since_epoch(days).unwrap();
        let session = calendar.next_session(after).unwrap();
        let columns = Instrument::new(&symbol, seed).session_bars(&session);
        for row in 0..columns.len() {
            let bar = columns.bar(row);
            prop_assert_eq!(bar.broken_rule(), None, "{:?}", bar);
            let minute = session.minute_index(bar.ts_us).unwrap();
            let segment = session.segment_at(bar.ts_us).unwrap();
            prop_assert!(session.expected_range(segment).contains(&minute));
            let vwap = bar.vwap.unwrap();
            prop_assert!(bar.low <= vwap && vwap <= bar.high, "{:?}", bar);
            prop_assert!(bar.volume > 0.0 && bar.trade_count.unwrap() > 0);
            prop_assert!((5.0..=1_000.0).contains(&bar.low));
            for (value, decimals) in [(bar.open, 2), (bar.high, 2), (bar.low, 2), (bar.close, 2), (vwap, 6)] {
                let digits = value.to_string();
                prop_assert!(digits.split_once('.').is_none_or(|(_, fraction)| fraction.len() <= decimals), "{}", digits);
            }
        }
        let rows = columns.len();
        prop_assert_eq!(BarBatch::from_columns(columns, calendar).unwrap().len(), rows);
    }
}
