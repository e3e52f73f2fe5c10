//! A candle chart of characters: each cell holds two halves of a candle, rising ones thin, falling ones full, so that it is
//! read without colour, too. Knows no store and no file.

use std::fmt::Write as _;

use crate::cli::output::{LongWords, counted, with_thousands, wrapped};
use crate::domain::GapReason;
use crate::domain::chart::{
    Candle, Chart, Column, Place, PriceScale, clock_labels, date_labels, fit,
};

/// The room for a picture and whether it may have colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canvas {
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// Lines of the terminal.
    pub(crate) height: usize,
    /// Whether to use colours.
    pub(crate) ink: Ink,
}

/// Whether characters are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// As they come.
    Plain,
    /// By escape sequences.
    Colours,
}

/// What colours tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hue {
    Plain,
    Faint,
    Up,
    Down,
    UpFaint,
    DownFaint,
    Gap,
}

/// A canvas is never taken for smaller: below, nothing can be read.
const LEAST_WIDTH: usize = 16;
const LEAST_HEIGHT: usize = 12;

/// Lines of volumes below the prices, where there is room for more than the prices.
const VOLUME_LINES: usize = 3;
const ROOM_FOR_VOLUMES: usize = 10;

/// The bar glyphs from an eighth to the whole of a cell.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns that a chart has at most beside its price axis, of a terminal of `width` columns.
pub(crate) fn plot_width(width: usize, price_width: usize) -> usize {
    let width = width.max(LEAST_WIDTH);
    width.saturating_sub(price_width + 2).max(1)
}

/// Characters of the widest label of the price axis.
pub(crate) fn price_width(chart: &Chart) -> usize {
    let scale = scale_over(chart.candles(), 10);
    let decimals = scale.decimals();
    let labels = scale.ticks().into_iter();
    labels
        .map(|price| format!("{price:.decimals$}").len())
        .max()
        .unwrap_or(1)
        .max(5)
}

fn scale_over<'a>(candles: impl Iterator<Item = &'a Candle>, lines: usize) -> PriceScale {
    let steps = u8::try_from(lines / 3).unwrap_or(u8::MAX).clamp(2, 8);
    PriceScale::over(candles.flat_map(|candle| [candle.low, candle.high]), steps)
}

/// Draws `chart`: header, prices, volumes, time axis, footer.
pub(crate) fn draw(chart: &Chart, canvas: Canvas) -> String {
    let height = canvas.height.max(LEAST_HEIGHT);
    let label_width = price_width(chart);
    let room = plot_width(canvas.width, label_width);
    let (columns, merged) = fit(&chart.slots, room);
    let pitch = (room / columns.len().max(1)).clamp(1, 4);
    let width = canvas.width.max(LEAST_WIDTH);
    let header = header(chart, merged, width);
    let footer = footer(chart, &columns, width);
    // One line stays free for the prompt.
    let taken = header.len() + 3 + footer.len() + 1;
    let left = height.saturating_sub(taken);
    let volume_lines = if left < ROOM_FOR_VOLUMES {
        1
    } else {
        VOLUME_LINES
    };
    let picture = Picture {
        columns: &columns,
        pitch,
        label_width,
        lines: left.saturating_sub(volume_lines).max(4),
        volume_lines,
        ink: canvas.ink,
    };
    let mut text = String::new();
    for line in header {
        picture.paint(&mut text, &line, Hue::Plain);
        text.push('\n');
    }
    picture.draw_prices(&mut text);
    picture.draw_volumes(&mut text);
    picture.draw_axis(&mut text);
    let room_of = |characters: usize| (characters + 1).div_ceil(pitch);
    let clocks = clock_labels(&columns, chart.calendar(), room_of);
    let dates = date_labels(&columns, room_of);
    for labels in [clocks, dates] {
        if !labels.is_empty() {
            picture.draw_labels(&mut text, &labels);
        }
    }
    for line in footer {
        picture.paint(&mut text, &line, Hue::Faint);
        text.push('\n');
    }
    text
}

/// What is drawn, in a line, or more where it is narrow.
fn header(chart: &Chart, merged: usize, width: usize) -> Vec<String> {
    let mut frame = chart.frame_words();
    if merged > 1 {
        _ = write!(frame, ", {merged} bars a column");
    }
    let mut parts = vec![
        format!("{} {}", chart.symbol, chart.dataset),
        frame,
        chart.range(),
    ];
    if let Some(last) = chart.last_price() {
        parts.push(format!("{} {}", last.price, last.change_words()));
    }
    joined(&parts, "  ", width)
}

/// What is missing and what the signs mean.
fn footer(chart: &Chart, columns: &[Column], width: usize) -> Vec<String> {
    let missing = chart.missing();
    let mut parts = vec![format!("{} time", chart.calendar().zone())];
    if missing.total() == 0 {
        parts.push("no regular minute missing".to_owned());
    } else {
        parts.push(format!(
            "{} of {} regular minutes missing: {}",
            with_thousands(missing.total().into()),
            with_thousands(chart.expected_minutes().into()),
            missing.words()
        ));
    }
    let signs: Vec<char> = columns.iter().map(axis_sign).collect();
    for (sign, meaning) in [
        ('·', "no bar"),
        ('?', "never asked for"),
        ('x', "quarantined"),
        ('!', "not entitled"),
        ('╌', "bar of fewer minutes"),
    ] {
        if signs.contains(&sign) {
            parts.push(format!("{sign} {meaning}"));
        }
    }
    let skipped: u32 = columns
        .iter()
        .map(|column| match column.place {
            Place::Skipped(sessions) => sessions,
            Place::Buckets | Place::Break => 0,
        })
        .sum();
    if skipped > 0 {
        parts.push(format!(
            "≈ {} never asked for",
            counted(skipped.into(), "session")
        ));
    }
    joined(&parts, "  ", width)
}

/// The parts on as few lines as they fit; longer parts are broken at blanks.
fn joined(parts: &[String], between: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let length = |text: &str| text.chars().count();
    for part in parts {
        let room = |line: &&mut String| length(line) + length(between) + length(part) <= width;
        match lines.last_mut().filter(room) {
            Some(line) => {
                line.push_str(between);
                line.push_str(part);
            }
            None => lines.extend(wrapped(part, width, LongWords::Broken)),
        }
    }
    lines
}

/// The sign of a column on the time axis: whether its bar is there, and if not, why.
fn axis_sign(column: &Column) -> char {
    match (column.place, column.missing.main_reason()) {
        (Place::Break, _) => '┴',
        (Place::Skipped(_), _) => '≈',
        (Place::Buckets, Some(_)) if column.candle.is_some() => '╌',
        (Place::Buckets, None) => '─',
        (Place::Buckets, Some(GapReason::NoTrade)) => '·',
        (Place::Buckets, Some(GapReason::NotAsked)) => '?',
        (Place::Buckets, Some(GapReason::Quarantined)) => 'x',
        (Place::Buckets, Some(GapReason::NotEntitled)) => '!',
    }
}

/// One half of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Nothing,
    Wick,
    Body,
}

/// The plot between header and footer.
struct Picture<'a> {
    columns: &'a [Column],
    /// Cells of one column; its candle stands in the first.
    pitch: usize,
    label_width: usize,
    /// Lines of prices.
    lines: usize,
    /// Lines of volumes.
    volume_lines: usize,
    ink: Ink,
}

impl Picture<'_> {
    fn draw_prices(&self, text: &mut String) {
        let candles = self
            .columns
            .iter()
            .filter_map(|column| column.candle.as_ref());
        let scale = scale_over(candles, self.lines);
        let halves = self.lines * 2;
        let half_of = |price: f64| lowest_of(scale.share(price), halves);
        let decimals = scale.decimals();
        let labels: Vec<(usize, String)> = scale
            .ticks()
            .into_iter()
            .map(|price| (half_of(price) / 2, format!("{price:.decimals$}")))
            .collect();
        for line in (0..self.lines).rev() {
            let label = labels.iter().find(|(at, _)| *at == line);
            for column in self.columns {
                let (glyph, hue) = match (&column.candle, column.place) {
                    (Some(candle), _) => {
                        let halves =
                            [line * 2 + 1, line * 2].map(|half| half_at(candle, half, half_of));
                        (glyph_of(candle, halves), hue_of(column, candle))
                    }
                    (None, Place::Break) => ('┊', Hue::Faint),
                    (None, Place::Skipped(_)) => ('╎', Hue::Gap),
                    (None, Place::Buckets) => (' ', Hue::Plain),
                };
                let glyph = if glyph == ' ' && label.is_some() {
                    ('┈', Hue::Faint)
                } else {
                    (glyph, hue)
                };
                let rest = if label.is_some() { "┈" } else { " " };
                self.paint(text, &glyph.0.to_string(), glyph.1);
                self.paint(text, &rest.repeat(self.pitch - 1), Hue::Faint);
            }
            self.end_line(text, label.map(|(_, label)| label.as_str()));
        }
    }

    fn draw_volumes(&self, text: &mut String) {
        let candles = || self.columns.iter().filter_map(|column| column.candle);
        let tallest = candles().map(|candle| candle.volume).fold(0.0, f64::max);
        let steps = self.volume_lines * EIGHTHS.len();
        for line in (0..self.volume_lines).rev() {
            for column in self.columns {
                let height = column.candle.filter(|candle| candle.volume > 0.0);
                let height =
                    height.map_or(0, |candle| 1 + lowest_of(candle.volume / tallest, steps));
                let eighths = height.saturating_sub(line * EIGHTHS.len());
                let glyph = match eighths {
                    0 if column.place == Place::Break => '┊',
                    0 if column.candle.is_none() && column.missing.total() > 0 => '·',
                    0 => ' ',
                    eighths => EIGHTHS[eighths.min(EIGHTHS.len()) - 1],
                };
                let hue = match column.candle {
                    Some(candle) => hue_of(column, &candle),
                    None if column.missing.total() > 0 => Hue::Gap,
                    None => Hue::Faint,
                };
                self.paint(text, &glyph.to_string(), hue);
                self.paint(text, &" ".repeat(self.pitch - 1), Hue::Plain);
            }
            let label = match self.volume_lines - 1 - line {
                0 => Some(short(tallest)),
                1 => Some("vol".to_owned()),
                _ => None,
            };
            self.end_line(text, label.as_deref());
        }
    }

    fn draw_axis(&self, text: &mut String) {
        for column in self.columns {
            let sign = axis_sign(column);
            let hue = if matches!(sign, '─' | '┴') {
                Hue::Faint
            } else {
                Hue::Gap
            };
            let rest = if sign == '┴' { '─' } else { sign };
            let rest = if sign == '≈' { ' ' } else { rest };
            let cells: String = std::iter::once(sign)
                .chain(std::iter::repeat_n(rest, self.pitch - 1))
                .collect();
            self.paint(text, &cells, hue);
        }
        self.end_line(text, None);
    }

    fn draw_labels(&self, text: &mut String, labels: &[crate::domain::chart::TimeLabel]) {
        let width = self.columns.len() * self.pitch + 1 + self.label_width;
        let mut line = String::new();
        for label in labels {
            let at = label.column * self.pitch;
            let length = line.chars().count();
            if at + label.text.len() > width || (length > 0 && at <= length) {
                continue;
            }
            line.push_str(&" ".repeat(at - length));
            line.push_str(&label.text);
        }
        self.paint(text, &line, Hue::Faint);
        text.push('\n');
    }

    /// The end of a line of the plot with its label of the axis.
    fn end_line(&self, text: &mut String, label: Option<&str>) {
        if let Some(label) = label {
            self.paint(
                text,
                &format!(" {label:>width$}", width = self.label_width),
                Hue::Faint,
            );
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }

    fn paint(&self, text: &mut String, cells: &str, hue: Hue) {
        let code = match hue {
            _ if self.ink == Ink::Plain || cells.trim().is_empty() => "",
            Hue::Plain => "",
            Hue::Faint => "2",
            Hue::Up => "32",
            Hue::Down => "31",
            Hue::UpFaint => "2;32",
            Hue::DownFaint => "2;31",
            Hue::Gap => "33",
        };
        if code.is_empty() {
            text.push_str(cells);
        } else {
            _ = write!(text, "\u{1b}[{code}m{cells}\u{1b}[0m");
        }
    }
}

/// Which of `parts` equal parts, counted from the lowest, holds a share of the whole.
fn lowest_of(share: f64, parts: usize) -> usize {
    let parts = u32::try_from(parts).unwrap_or(u32::MAX);
    let place = share * f64::from(parts);
    (1..parts)
        .take_while(|&part| f64::from(part) <= place)
        .count()
}

fn half_at(candle: &Candle, half: usize, half_of: impl Fn(f64) -> usize) -> Half {
    let body = half_of(candle.open.min(candle.close))..=half_of(candle.open.max(candle.close));
    let wick = half_of(candle.low)..=half_of(candle.high);
    if body.contains(&half) {
        Half::Body
    } else if wick.contains(&half) {
        Half::Wick
    } else {
        Half::Nothing
    }
}

/// The glyph for the upper and the lower half of a cell.
fn glyph_of(candle: &Candle, halves: [Half; 2]) -> char {
    use Half::{Body, Nothing, Wick};
    let fell = candle.fell();
    match halves {
        [Nothing, Nothing] => ' ',
        [Wick, Wick] => '│',
        [Nothing, Wick] => '╷',
        [Wick, Nothing] => '╵',
        [Body, Body] if fell => '█',
        [Body, _] if fell => '▀',
        [_, Body] if fell => '▄',
        [Body, Body] => '┃',
        [Body, Nothing] => '╹',
        [Nothing, Body] => '╻',
        [Body, Wick] => '╿',
        [Wick, Body] => '╽',
    }
}

fn hue_of(column: &Column, candle: &Candle) -> Hue {
    match (candle.fell(), column.is_partial()) {
        (false, false) => Hue::Up,
        (true, false) => Hue::Down,
        (false, true) => Hue::UpFaint,
        (true, true) => Hue::DownFaint,
    }
}

/// A volume in few characters.
fn short(number: f64) -> String {
    for (unit, letter) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if number >= unit * 100.0 {
            return format!("{:.0}{letter}", number / unit);
        }
        if number >= unit {
            return format!("{:.1}{letter}", number / unit);
        }
    }
    format!("{number:.0}")
}

#[cfg(test)]
mod tests;
