//! What must hold of every picture and page.

use super::super::markup::Html;
use super::page::LIBRARY;
use super::*;
use crate::domain::chart::{BarOrigin, Candle, MissingMinutes, Slot};
use crate::domain::instant::MINUTE_US;
use crate::domain::{GapReason, Segment};

/// 2024-07-02 13:30 UTC, the open.
const OPEN_US: i64 = 1_719_927_000_000_000;

fn slot(minute: i64, price: Option<f64>) -> Slot {
    let mut missing = MissingMinutes::default();
    if price.is_none() {
        missing.add(GapReason::NoTrade, 1);
    }
    Slot {
        start_us: OPEN_US + minute * MINUTE_US,
        end_us: OPEN_US + (minute + 1) * MINUTE_US,
        session: "2024-07-02".parse().unwrap(),
        segment: Segment::Regular,
        expected_minutes: 1,
        missing,
        candle: price.map(|price| Candle {
            open: price,
            high: price + 0.5,
            low: price - 0.5,
            close: price + 0.25,
            volume: 100.0,
            minutes: 1,
        }),
        skipped_sessions: 0,
    }
}

fn chart() -> Chart {
    let date = "2024-07-02".parse().unwrap();
    Chart {
        dataset: "alpaca/sip/raw".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        frame: Timeframe::M1,
        origin: BarOrigin::Kept,
        sessions: (date, date),
        slots: (0..30)
            .map(|minute| slot(minute, (minute != 7).then_some(10.0)))
            .collect(),
    }
}

#[test]
fn a_page_shows_the_exchanges_clock_and_a_bucket_without_a_bar_has_no_price() {
    let page = ChartPage::new(&chart()).render();
    // 09:30 of New York written as if it were UTC.
    assert!(
        page.contains("\n[1719912600,10,10.5,9.5,10.25,100,0],"),
        "the first bar"
    );
    assert!(page.contains("\n[1719913020,1,0,\"2024-07-02 09:37: 1 no trade\"],"));
}

#[test]
fn nothing_in_a_script_can_end_it_and_the_library_is_whole() {
    let page = ChartPage::new(&chart()).render();
    assert_eq!(page.matches("<script").count(), 3);
    assert_eq!(page.matches("</script").count(), 3);
    assert!(LIBRARY.starts_with("/*!\n * @license\n * TradingView Lightweight Charts"));
    assert!(page.contains(LIBRARY));
    assert_eq!(Html("<b>\"'&").to_string(), "&lt;b&gt;&quot;&#39;&amp;");
}

#[test]
fn a_picture_shades_what_is_missing_and_nothing_else() {
    let picture = svg_file(&chart());
    assert_eq!(picture.matches("<rect class=\"gap\"").count(), 1);
    assert_eq!(picture.matches("<g class=\"rose").count(), 29);
    let mut whole = chart();
    whole.slots.retain(|slot| slot.candle.is_some());
    assert!(!svg_file(&whole).contains("<rect class=\"gap\""));
}
