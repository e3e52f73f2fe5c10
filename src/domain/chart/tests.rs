//! What every picture relies on.

use proptest::prelude::*;

use super::super::calendar::Calendar;
use super::super::gaps::tests::gaps_of;
use super::super::gaps::{self, GapReason};
use super::super::instant::MINUTE_US;
use super::super::session::{Segment, Session};
use super::super::symbol_bars::SessionRecord;
use super::super::timeframe::Timeframe;
use super::super::{Anchor, Bar, SegmentSet};
use super::*;

/// Regular hours alone.
fn regular() -> SegmentSet {
    [Segment::Regular].into_iter().collect()
}

fn sessions(first: &str, last: &str) -> Vec<Session> {
    Calendar::nyse()
        .sessions(first.parse().unwrap(), last.parse().unwrap())
        .unwrap()
}

/// A record of a session that has all regular minutes but `missing`, counted from the open.
fn record(session: &Session, missing: &[u16]) -> SessionRecord {
    let open = session.expected_range(Segment::Regular).start;
    let missing: Vec<u16> = missing.iter().map(|minute| open + minute).collect();
    gaps::tests::record(session, &missing)
}

/// A bar for each minute that is there, its price and volume made of its number.
fn minutes(sessions: &[Session], records: &[SessionRecord]) -> Vec<PlacedBar> {
    let mut bars = Vec::new();
    for record in records {
        let session = sessions
            .iter()
            .find(|session| session.date() == record.date);
        let session = session.unwrap();
        for minute in session.expected_range(Segment::Regular) {
            if record.present.contains(minute) {
                let price = 100.0 + f64::from(minute * 37 % 101);
                bars.push(PlacedBar {
                    bar: Bar {
                        ts_us: session.minute_ts_us(minute),
                        open: price,
                        high: price + 2.0,
                        low: price - 1.0,
                        close: price + 1.0,
                        volume: f64::from(minute),
                        trade_count: None,
                        vwap: None,
                    },
                    session: session.date(),
                    segment: Segment::Regular,
                    minutes: 1,
                });
            }
        }
    }
    bars
}

fn slots_of(sessions: &[Session], records: &[SessionRecord]) -> Vec<Slot> {
    lay_out(&ChartSource {
        sessions,
        frame: Timeframe::M1,
        anchor: Anchor::Open,
        segments: regular(),
        bars: &minutes(sessions, records),
        gaps: &gaps_of(sessions, records),
        until_us: i64::MAX,
    })
}

#[test]
fn a_half_day_has_its_own_length_and_breaks_stand_between_sessions() {
    let sessions = sessions("2024-07-02", "2024-07-05");
    let records: Vec<_> = sessions
        .iter()
        .map(|session| record(session, &[]))
        .collect();
    let slots = slots_of(&sessions, &records);
    assert_eq!(slots.len(), 390 + 210 + 390);
    let (columns, count) = fit(&slots, 70);
    assert_eq!(count, 15, "26 + 14 + 26 and two breaks");
    let breaks = columns.iter().filter(|column| column.place == Place::Break);
    assert_eq!((columns.len(), breaks.count()), (68, 2));
}

#[test]
fn sessions_never_asked_for_are_one_narrow_column_that_says_how_many() {
    let sessions = sessions("2024-07-01", "2024-07-10");
    let records = [record(&sessions[0], &[]), record(&sessions[6], &[5])];
    let slots = slots_of(&sessions, &records);
    assert_eq!(slots.len(), 390 + 1 + 390);
    let (columns, _) = fit(&slots, 100);
    let skipped: Vec<_> = columns
        .iter()
        .filter(|column| column.place == Place::Skipped(5))
        .collect();
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].missing.of(GapReason::NotAsked), 4 * 390 + 210);
    assert!(columns.iter().all(|column| column.place != Place::Break));
}

#[test]
fn a_bar_outside_of_official_hours_is_not_lost_and_what_lies_ahead_is_no_gap() {
    let sessions = sessions("2024-07-03", "2024-07-03");
    let mut bars = minutes(&sessions, &[record(&sessions[0], &[])]);
    bars.truncate(100);
    let late = PlacedBar {
        bar: Bar {
            ts_us: sessions[0].post_close_us() + 30 * MINUTE_US,
            ..bars[0].bar
        },
        segment: Segment::Post,
        ..bars[0]
    };
    bars.push(late);
    let source = ChartSource {
        sessions: &sessions,
        frame: Timeframe::M1,
        anchor: Anchor::Open,
        segments: SegmentSet::ALL,
        bars: &bars,
        gaps: &[],
        until_us: sessions[0].open_us() + 120 * MINUTE_US,
    };
    let slots = lay_out(&source);
    assert_eq!(
        slots.len(),
        480 + 330 + 120 + 1,
        "overnight, pre, regular, late"
    );
    assert_eq!(slots[930].candle.map(|candle| candle.minutes), Some(1));
    let in_regular_hours = lay_out(&ChartSource {
        segments: regular(),
        ..source
    });
    assert_eq!(in_regular_hours.len(), 120);
}

#[test]
fn hours_are_round_minutes_of_the_exchanges_day() {
    let sessions = sessions("2024-07-02", "2024-07-02");
    let slots = slots_of(&sessions, &[record(&sessions[0], &[])]);
    let (columns, _) = fit(&slots, 70);
    let labels = clock_labels(&columns, Calendar::nyse(), |_| 8);
    let texts: Vec<&str> = labels.iter().map(|label| label.text.as_str()).collect();
    assert_eq!(
        texts,
        ["10:00", "11:00", "12:00", "13:00", "14:00", "15:00"]
    );
    assert_eq!(date_labels(&columns, |_| 8)[0].text, "Jul 02");
}

#[test]
fn dates_grow_coarser_where_there_is_less_room() {
    let sessions = sessions("2023-01-03", "2024-12-31");
    let slots = lay_out(&ChartSource {
        sessions: &sessions,
        frame: Timeframe::D1,
        anchor: Anchor::Open,
        segments: SegmentSet::ALL,
        bars: &[],
        gaps: &[],
        until_us: i64::MAX,
    });
    assert_eq!(slots.len(), sessions.len());
    let (columns, count) = fit(&slots, 100);
    assert_eq!((columns.len(), count), (84, 6));
    let texts = |apart: usize| -> Vec<String> {
        let labels = date_labels(&columns, |_| apart);
        labels.into_iter().map(|label| label.text).collect()
    };
    assert_eq!(texts(9)[..2], ["Jan 2023", "Apr 2023"]);
    assert_eq!(texts(20), ["2023", "2024"]);
    assert_eq!(texts(90), ["2023"]);
    assert!(clock_labels(&columns, Calendar::nyse(), |_| 8).is_empty());
}

#[test]
fn days_too_close_for_their_month_have_it_where_it_begins() {
    let sessions = sessions("2024-06-28", "2024-07-05");
    let slots = lay_out(&ChartSource {
        sessions: &sessions,
        frame: Timeframe::M30,
        anchor: Anchor::Open,
        segments: regular(),
        bars: &[],
        gaps: &[],
        until_us: i64::MAX,
    });
    let (columns, _) = fit(&slots, 36);
    let texts = |between: usize| -> Vec<String> {
        let labels = date_labels(&columns, |characters| characters + between);
        labels.into_iter().map(|label| label.text).collect()
    };
    assert_eq!(texts(1), ["Jun 28", "Jul 01", "02", "03", "05"]);
    assert_eq!(texts(4), ["Jun 28", "Jul 02", "Jul 05"]);
}

#[test]
fn a_range_that_the_round_step_passes_over_has_a_label_all_the_same() {
    let scale = PriceScale::over([542.7, 934.4].into_iter(), 2);
    assert_eq!(scale.ticks(), [600.0, 800.0]);
    let scale = PriceScale::over([100.0, 101.0].into_iter(), 4);
    assert_eq!(scale.ticks(), [100.0, 100.5, 101.0]);
}

proptest! {
    #[test]
    fn nothing_is_lost_when_buckets_are_put_together(
        missing in prop::collection::vec(prop::collection::vec(0_u16..390, 0..390), 4),
        held in prop::collection::vec(any::<bool>(), 4),
        width in 1_usize..500,
    ) {
        let sessions = sessions("2024-07-01", "2024-07-05");
        let records: Vec<SessionRecord> = sessions
            .iter()
            .zip(&missing)
            .zip(held)
            .filter(|(_, is_held)| *is_held)
            .map(|((session, missing), _)| record(session, missing))
            .collect();
        let bars = minutes(&sessions, &records);
        let gaps = gaps_of(&sessions, &records);
        let slots = slots_of(&sessions, &records);
        let (columns, _) = fit(&slots, width);

        prop_assert!(columns.len() <= width);
        for pair in columns.windows(2) {
            prop_assert!(pair[0].start_us < pair[1].start_us && pair[0].end_us <= pair[1].start_us);
        }
        let candles: Vec<Candle> = columns.iter().filter_map(|column| column.candle).collect();
        let volume: f64 = candles.iter().map(|candle| candle.volume).sum();
        prop_assert_eq!(volume, bars.iter().map(|placed| placed.bar.volume).sum::<f64>());
        let made_of: u32 = candles.iter().map(|candle| candle.minutes).sum();
        prop_assert_eq!(made_of as usize, bars.len());

        let prices = candles.iter().flat_map(|candle| [candle.low, candle.high]);
        let scale = PriceScale::over(prices, 6);
        for placed in &bars {
            prop_assert!(scale.low <= placed.bar.low && placed.bar.high <= scale.high);
        }

        for reason in GapReason::ALL {
            let told: u32 = gaps.iter().filter(|gap| gap.reason == reason).map(|gap| gap.minutes).sum();
            let drawn: u32 = columns.iter().map(|column| column.missing.of(reason)).sum();
            prop_assert_eq!(drawn, told);
        }
        // At full width a minute without a bar is a column without a candle.
        let (widest, count) = fit(&slots, slots.len() + sessions.len());
        prop_assert_eq!(count, 1);
        for column in widest.iter().filter(|column| column.place == Place::Buckets) {
            prop_assert_eq!(column.candle.is_none(), column.missing.total() == 1);
        }
    }

    #[test]
    fn round_prices_lie_within_the_scale_and_are_told_apart(
        low in 0.0001_f64..1e9, spread in 0.0_f64..2.0, steps in 2_u8..12,
    ) {
        let scale = PriceScale::over([low, low * (1.0 + spread)].into_iter(), steps);
        let ticks = scale.ticks();
        prop_assert!(!ticks.is_empty() && ticks.len() <= usize::from(steps) + 1);
        prop_assert!(ticks.iter().all(|tick| (scale.low..=scale.high).contains(tick)));
        let decimals = scale.decimals();
        let mut texts: Vec<String> = ticks.iter().map(|tick| format!("{tick:.decimals$}")).collect();
        texts.dedup();
        prop_assert!(scale.step < 1e-8 || texts.len() == ticks.len());
    }
}
