//! The picture: candles, volumes, both axes, and what is missing as shaded bands.

use std::fmt::{self, Display};

use super::super::candle_svg::{BarLook, CANDLE_STYLE, ChartBar, Plot, count};
use super::super::markup::Html;
use super::{last_text, local_text, missing_text};
use crate::domain::Timeframe;
use crate::domain::chart::{Chart, Column, Place, clock_labels, date_labels, fit};

/// Columns that a picture has at most; of more bars several are one candle.
pub const SVG_COLUMNS: usize = 260;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 470.0;
const PLOT: Plot = Plot {
    left: 14.0,
    right: 882.0,
    price_top: 60.0,
    price_bottom: 322.0,
    volume_top: 338.0,
    volume_bottom: 398.0,
};
/// What labels of the time axis need, in the drawing's units.
const CHARACTER: f64 = 8.0;
const BETWEEN_LABELS: f64 = 14.0;

/// The picture's own colours; a page around it has its own.
const COLOURS: &str = ":root { --page: #fff; --card: #fff; --ink: #1d2126; --soft: #5b6470; --line: #e3e6e9; --tint: #f1f3f4; \
--band: #fbdccf; --error: #b83210; --error-mark: #dd3b0b; --up: #14805e; --down: #c2402a; --gap: #e9b44c; }\n\
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #14171a; --ink: #e4e7ea; --soft: #9ba5af; \
--line: #2b3137; --tint: #22272c; --band: #4a2a20; --error: #ff8f6b; --error-mark: #ff5c2b; --up: #4fc08d; --down: #f0795f; \
--gap: #b98a2e; } }\n\
text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif; }\n\
.page { fill: var(--page); }\n";

/// What the picture has beyond candles, here and in a page.
pub(super) const PICTURE_STYLE: &str = ".gap { fill: var(--gap); opacity: 0.3; } .skip { fill: var(--gap); opacity: 0.55; }\n\
.candles text.head { fill: var(--ink); font-size: 19px; font-weight: 650; } .candles text.sub { font-size: 13.5px; }\n\
.candles text.end { text-anchor: end; }\n";

/// The picture as an SVG file.
pub fn svg_file(chart: &Chart) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"candles tinted\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{label}\">\n<style>{COLOURS}{CANDLE_STYLE}{PICTURE_STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n{drawing}</svg>\n",
        label = Html(&title(chart)),
        drawing = Drawing(chart),
    )
}

/// The picture inside a page, which has the colours.
pub(super) struct Inline<'a>(pub(super) &'a Chart);

impl Display for Inline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<svg class=\"candles tinted\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
            Html(&title(self.0)),
            Drawing(self.0),
        )
    }
}

/// Which bars these are.
pub(super) fn title(chart: &Chart) -> String {
    format!(
        "{} {} {}, {}",
        chart.symbol,
        chart.dataset,
        chart.frame,
        chart.range()
    )
}

struct Drawing<'a>(&'a Chart);

impl Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chart = self.0;
        let (columns, merged) = fit(&chart.slots, SVG_COLUMNS);
        let slot = ((PLOT.right - PLOT.left) / count(columns.len().max(1))).min(24.0);
        let left_of = |column: usize| PLOT.left + slot * count(column);
        self.write_heading(f, merged)?;

        self.shade_gaps(f, &columns, &left_of)?;
        let bars: Vec<Option<ChartBar>> =
            columns.iter().map(|column| bar_of(chart, column)).collect();
        let plot = PLOT.over(bars.iter().flatten());
        plot.draw_axes(f)?;
        for (at, column) in columns.iter().enumerate() {
            let middle = left_of(at) + slot / 2.0;
            if column.place == Place::Break {
                write!(
                    f,
                    "<path class=\"day\" d=\"M{middle:.1} {}V{}\"/>",
                    PLOT.price_top, PLOT.volume_bottom
                )?;
            }
            if let Some(bar) = &bars[at] {
                plot.draw_bar(f, bar, middle, slot)?;
                f.write_str("\n")?;
            }
        }
        self.write_times(f, &columns, slot)
    }
}

impl Drawing<'_> {
    fn write_heading(&self, f: &mut fmt::Formatter<'_>, merged: usize) -> fmt::Result {
        let chart = self.0;
        let together = match merged {
            1 => String::new(),
            count => format!(", {count} bars a candle"),
        };
        let right = PLOT.right + 60.0;
        write!(
            f,
            "<text class=\"head\" x=\"{x}\" y=\"28\">{}</text><text class=\"head end\" x=\"{right}\" y=\"28\">{}</text>\n\
             <text class=\"sub\" x=\"{x}\" y=\"48\">{}</text>\n<text class=\"sub\" x=\"{x}\" y=\"{foot}\">{}</text>\n",
            Html(chart.symbol.as_str()),
            Html(&last_text(chart)),
            Html(&format!(
                "{} \u{b7} {}{together} \u{b7} {}",
                chart.dataset,
                chart.frame_words(),
                chart.range()
            )),
            Html(&format!(
                "{} {} time.",
                missing_text(chart),
                chart.calendar().zone()
            )),
            x = PLOT.left,
            foot = HEIGHT - 16.0,
        )
    }

    /// A band where columns that follow one another have no bar, with what is missing as its title.
    fn shade_gaps(
        &self,
        f: &mut fmt::Formatter<'_>,
        columns: &[Column],
        left_of: &impl Fn(usize) -> f64,
    ) -> fmt::Result {
        let is_gap = |column: &Column| column.candle.is_none() && column.missing.total() > 0;
        let mut at = 0;
        for run in columns.chunk_by(|a, b| is_gap(a) == is_gap(b) && a.place == b.place) {
            let (left, right) = (left_of(at), left_of(at + run.len()));
            at += run.len();
            if !is_gap(&run[0]) {
                continue;
            }
            let mut missing = run[0].missing;
            run[1..]
                .iter()
                .for_each(|column| missing.add_all(&column.missing));
            let class = match run[0].place {
                Place::Skipped(_) => "skip",
                Place::Buckets | Place::Break => "gap",
            };
            writeln!(
                f,
                "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: \
                 minutes missing: {}</title></rect>",
                PLOT.price_top,
                right - left,
                PLOT.volume_bottom - PLOT.price_top,
                Html(&local_text(self.0, run[0].start_us)),
                missing.words(),
            )?;
        }
        Ok(())
    }

    fn write_times(
        &self,
        f: &mut fmt::Formatter<'_>,
        columns: &[Column],
        slot: f64,
    ) -> fmt::Result {
        let apart = |characters: usize| {
            let room = count(characters) * CHARACTER + BETWEEN_LABELS;
            let step = (1..columns.len()).find(|&step| count(step) * slot >= room);
            step.unwrap_or(columns.len().max(1))
        };
        let low = PLOT.volume_bottom;
        let clocks = clock_labels(columns, self.0.calendar(), apart);
        let dates = date_labels(columns, apart);
        let date_y = if clocks.is_empty() { 17.0 } else { 34.0 };
        for label in clocks {
            let x = PLOT.left + slot * (count(label.column) + 0.5);
            write!(
                f,
                "<path class=\"grid\" d=\"M{x:.1} {low}v4\"/><text class=\"mid\" x=\"{x:.1}\" y=\"{}\">{}</text>",
                low + 17.0,
                label.text
            )?;
        }
        for label in dates {
            let x = PLOT.left + slot * count(label.column);
            if x + count(label.text.len()) * CHARACTER <= WIDTH {
                write!(
                    f,
                    "<text x=\"{x:.1}\" y=\"{}\">{}</text>",
                    low + date_y,
                    label.text
                )?;
            }
        }
        f.write_str("\n")
    }
}

fn bar_of(chart: &Chart, column: &Column) -> Option<ChartBar> {
    let candle = column.candle?;
    let time = match chart.frame {
        Timeframe::D1 => column.session.to_string(),
        _ => local_text(chart, column.start_us),
    };
    Some(ChartBar {
        time,
        open: candle.open,
        high: candle.high,
        low: candle.low,
        close: candle.close,
        volume: candle.volume,
        look: if column.is_partial() {
            BarLook::Partial
        } else {
            BarLook::Plain
        },
    })
}
