//! Labels of the time axis, in the exchange's time: hours within sessions, dates where sessions, weeks or months begin.

use chrono::{Datelike as _, NaiveDate, Timelike as _};

use super::super::calendar::Calendar;
use super::super::instant::MINUTE_US;
use super::columns::{Column, Place};

/// A label under a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeLabel {
    /// The column's number.
    pub column: usize,
    /// What it says.
    pub text: String,
}

/// Steps between labelled minutes of the day.
const CLOCK_STEPS: [u32; 10] = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360];

/// Hours and minutes that are round, as many as there is room for; none when columns are days or longer.
///
/// `room_of` says how many columns a label of so many characters needs.
pub fn clock_labels(
    columns: &[Column],
    calendar: Calendar,
    room_of: impl Fn(usize) -> usize,
) -> Vec<TimeLabel> {
    let longest_us = 360 * MINUTE_US;
    let is_intraday = |column: &Column| column.end_us - column.start_us <= longest_us;
    let buckets = || {
        columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.place == Place::Buckets)
    };
    if !buckets().all(|(_, column)| is_intraday(column)) {
        return Vec::new();
    }
    let labels_of = |step: u32| -> Vec<TimeLabel> {
        buckets()
            .filter_map(|(at, column)| {
                let minute = round_minute(column, calendar, step)?;
                let text = format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
                Some(TimeLabel { column: at, text })
            })
            .collect()
    };
    let mut labels = CLOCK_STEPS.into_iter().map(labels_of);
    labels
        .find(|labels| are_apart(labels, &room_of))
        .unwrap_or_default()
}

/// The first minute of the exchange's day within the column that is a multiple of `step`.
fn round_minute(column: &Column, calendar: Calendar, step: u32) -> Option<u32> {
    let start = calendar.local_time(column.start_us)?;
    let minute = start.hour() * 60 + start.minute();
    let length = u32::try_from((column.end_us - column.start_us) / MINUTE_US).ok()?;
    let round = minute.next_multiple_of(step);
    (round < minute + length).then_some(round)
}

/// So few days are named as far as there is room; of more, weeks or months are.
const FEW_DAYS: usize = 12;

/// Dates at the columns where a session begins, or a week, a month, a quarter or a year if sessions lie too close.
///
/// `room_of` says how many columns a label of so many characters needs.
pub fn date_labels(columns: &[Column], room_of: impl Fn(usize) -> usize) -> Vec<TimeLabel> {
    type Unit = fn(NaiveDate) -> (i32, u32);
    let units: [(Unit, &str); 5] = [
        (|date| (date.year(), date.ordinal()), "%b %d"),
        (
            |date| (date.iso_week().year(), date.iso_week().week()),
            "%b %d",
        ),
        (|date| (date.year(), date.month()), "%b %Y"),
        (|date| (date.year(), date.month0() / 3), "%b %Y"),
        (|date| (date.year(), 0), "%Y"),
    ];
    let labels_of = |(unit, format): (Unit, &str)| -> Vec<TimeLabel> {
        let mut before = None;
        let mut labels = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let date = column.session.naive();
            let now = unit(date);
            if column.place == Place::Break || before == Some(now) {
                continue;
            }
            before = Some(now);
            let text = date.format(format).to_string();
            labels.push(TimeLabel { column: at, text });
        }
        labels
    };
    let [days, .., years] = units.map(labels_of);
    if days.len() <= FEW_DAYS {
        let short = without_repeated_months(columns, &days);
        return match are_apart(&days, &room_of) || !are_apart(&short, &room_of) {
            true => thinned(days, &room_of),
            false => short,
        };
    }
    let mut labels = units.into_iter().map(labels_of);
    let found = labels.find(|labels| are_apart(labels, &room_of));
    found.unwrap_or_else(|| thinned(years, &room_of))
}

/// The days with their month only where another one begins: `Jul 01`, `02`, `03`.
fn without_repeated_months(columns: &[Column], days: &[TimeLabel]) -> Vec<TimeLabel> {
    let date_of = |label: &TimeLabel| columns[label.column].session.naive();
    let mut before = None;
    let mut labels = Vec::new();
    for label in days {
        let date = date_of(label);
        let text = match before == Some((date.year(), date.month())) {
            true => date.format("%d").to_string(),
            false => label.text.clone(),
        };
        before = Some((date.year(), date.month()));
        labels.push(TimeLabel { text, ..*label });
    }
    labels
}

/// The labels that have room, from the left.
fn thinned(labels: Vec<TimeLabel>, room_of: &impl Fn(usize) -> usize) -> Vec<TimeLabel> {
    let mut next_free = 0;
    let mut kept = labels;
    kept.retain(|label| {
        let has_room = label.column >= next_free;
        if has_room {
            next_free = label.column + room_of(label.text.len());
        }
        has_room
    });
    kept
}

fn are_apart(labels: &[TimeLabel], room_of: &impl Fn(usize) -> usize) -> bool {
    labels
        .windows(2)
        .all(|pair| pair[0].column + room_of(pair[0].text.len()) <= pair[1].column)
}
