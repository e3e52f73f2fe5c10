//! What must hold of every drawing, on terminals of any size.

use super::*;
use crate::domain::chart::{BarOrigin, MissingMinutes, Slot};
use crate::domain::instant::MINUTE_US;
use crate::domain::{Segment, Timeframe};

/// 2024-07-02 13:30 UTC, the open.
const OPEN_US: i64 = 1_719_927_000_000_000;

fn slot(minute: u32) -> Slot {
    let mut missing = MissingMinutes::default();
    let is_missing = (90..120).contains(&minute);
    if is_missing {
        missing.add(GapReason::NoTrade, 1);
    }
    let open = 100.0 + f64::from(minute * 7 % 31);
    let close = 100.0 + f64::from((minute + 1) * 7 % 31);
    Slot {
        start_us: OPEN_US + i64::from(minute) * MINUTE_US,
        end_us: OPEN_US + i64::from(minute + 1) * MINUTE_US,
        session: "2024-07-02".parse().unwrap(),
        segment: Segment::Regular,
        expected_minutes: 1,
        missing,
        candle: (!is_missing).then_some(Candle {
            open,
            high: open.max(close) + 1.0,
            low: open.min(close) - 1.0,
            close,
            volume: f64::from(minute % 40),
            minutes: 1,
        }),
        skipped_sessions: 0,
    }
}

fn chart(minutes: std::ops::Range<u32>) -> Chart {
    let date = "2024-07-02".parse().unwrap();
    Chart {
        dataset: "alpaca/sip/raw".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        frame: Timeframe::M1,
        origin: BarOrigin::Kept,
        sessions: (date, date),
        slots: minutes.map(slot).collect(),
    }
}

fn drawn(chart: &Chart, width: usize, height: usize) -> String {
    let ink = Ink::Plain;
    draw(chart, Canvas { width, height, ink })
}

#[test]
fn no_line_is_wider_than_the_terminal_and_a_line_is_left_for_the_prompt() {
    let chart = chart(0..390);
    for width in LEAST_WIDTH..200 {
        for height in [16, 24, 50] {
            let text = drawn(&chart, width, height);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest.unwrap() <= width, "{width}x{height}:\n{text}");
            let lines = text.lines().count();
            assert!(
                width < 40 || lines < height,
                "{width}x{height}: {lines}\n{text}"
            );
        }
    }
}

#[test]
fn a_narrow_terminal_shows_bars_put_together_and_says_so() {
    let text = drawn(&chart(0..390), 40, 18);
    assert!(
        text.contains("12 bars a column") || text.contains("13 bars a column"),
        "{text}"
    );
    assert!(text.contains("30 of 390"), "{text}");
    assert!(text.contains("New York time"), "{text}");
}

#[test]
fn a_column_without_a_bar_breaks_the_axis_and_holds_no_candle() {
    let text = drawn(&chart(80..130), 64, 24);
    let axis = text.lines().find(|line| line.starts_with("──")).unwrap();
    let pitch = 1;
    assert_eq!(axis.matches('·').count(), 30 * pitch, "{text}");
    assert!(text.contains("· no bar"), "{text}");
}

#[test]
fn rising_and_falling_candles_differ_without_colour_and_colours_are_asked_for() {
    let chart = chart(0..40);
    let plain = drawn(&chart, 80, 24);
    assert!(plain.contains('┃') && plain.contains('█'), "{plain}");
    assert!(!plain.contains('\u{1b}'));
    let canvas = Canvas {
        width: 80,
        height: 24,
        ink: Ink::Colours,
    };
    let coloured = draw(&chart, canvas);
    assert!(coloured.contains("\u{1b}[32m┃\u{1b}[0m") && coloured.contains("\u{1b}[31m█"));
    let mut stripped = String::new();
    for part in coloured.split('\u{1b}') {
        stripped.push_str(part.split_once('m').map_or(part, |(code, rest)| {
            if code.starts_with('[') { rest } else { part }
        }));
    }
    assert_eq!(stripped, plain, "colours change nothing else");
}
