//! The section of charts: bars as candles above their volumes, drawn as inline SVG.

use std::fmt::{self, Display};
use std::io::{self, Write};

use super::super::candle_svg::{BarLook, ChartBar, Plot, count};
use super::super::markup::{Html, Sentence};
use super::{Chart, Page};

impl Page {
    pub(super) fn write_charts(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.charts.is_empty() {
            return Ok(());
        }
        out.write_all(
            b"<section id=\"charts\">\n<h2>Offending bars</h2>\n<p class=\"quiet\">Filled candles fell, hollow ones \
              rose; the marked bars stand on a tinted band. The lower part is the volume.</p>\n<div class=\"charts\">\n",
        )?;
        for chart in &self.charts {
            write!(
                out,
                "<figure><figcaption><b>{}</b> {}</figcaption>\n{}</figure>\n",
                Sentence(&chart.title),
                Sentence(&chart.message),
                Candles(chart),
            )?;
        }
        out.write_all(b"</div>\n</section>\n")
    }
}

/// A chart as an inline SVG of candles above their volumes.
pub(super) struct Candles<'a>(pub(super) &'a Chart);

// The drawing's own units. The window scales it, so they are chosen to be read at half the width of a wide window
// and at the whole of a narrow one.
const CHART_WIDTH: f64 = 480.0;
const CHART_HEIGHT: f64 = 290.0;
pub(super) const PLOT: Plot = Plot {
    left: 4.0,
    right: 412.0,
    price_top: 22.0,
    price_bottom: 198.0,
    volume_top: 208.0,
    volume_bottom: 250.0,
};

impl Display for Candles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bars = &self.0.bars;
        if bars.is_empty() {
            return f.write_str("<p class=\"quiet\">There are no bars to draw.</p>\n");
        }
        write!(
            f,
            "<svg class=\"candles\" viewBox=\"0 0 {CHART_WIDTH} {CHART_HEIGHT}\" role=\"img\" aria-label=\"{}. {}\">",
            Html(&self.0.title),
            Html(&self.0.message),
        )?;
        let drawing = PLOT.over(bars.iter());
        drawing.draw_axes(f)?;

        let times: Vec<_> = bars.iter().map(|bar| Moment::of(&bar.time)).collect();
        let slot = (PLOT.right - PLOT.left) / count(bars.len());
        let middle = |index: usize| PLOT.left + slot * (count(index) + 0.5);
        for (index, pair) in times.windows(2).enumerate() {
            if pair[0].clock.is_some() && pair[0].date != pair[1].date {
                let x = middle(index) + slot / 2.0;
                write!(
                    f,
                    "<path class=\"day\" d=\"M{x:.1} {}V{}\"/>",
                    PLOT.price_top, PLOT.volume_bottom
                )?;
            }
        }
        for (index, bar) in bars.iter().enumerate() {
            drawing.draw_bar(f, bar, middle(index), slot)?;
        }
        draw_times(f, bars, &times, middle)?;
        f.write_str("</svg>\n")
    }
}

/// The times: a few under the plot, and those of marked bars above it.
fn draw_times(
    f: &mut fmt::Formatter<'_>,
    bars: &[ChartBar],
    times: &[Moment<'_>],
    middle: impl Fn(usize) -> f64,
) -> fmt::Result {
    let is_one_day = times.iter().all(|time| time.date == times[0].date);
    let has_clocks = times.iter().any(|time| time.clock.is_some());
    let (low, high) = (PLOT.volume_bottom + 15.0, PLOT.volume_bottom + 31.0);
    let mut next_free = 0.0;
    for (index, time) in times.iter().enumerate().step_by(times.len().div_ceil(4)) {
        let x = middle(index);
        let inside = x.clamp(36.0, PLOT.right - 20.0);
        if inside < next_free {
            continue;
        }
        next_free = inside + 76.0;
        write!(
            f,
            "<path class=\"grid\" d=\"M{x:.1} {}v4\"/>\
             <text class=\"mid\" x=\"{inside:.1}\" y=\"{low}\">{}</text>",
            PLOT.volume_bottom,
            Html(time.clock.unwrap_or(time.date)),
        )?;
        if time.clock.is_some() && !is_one_day {
            write!(
                f,
                "<text class=\"mid\" x=\"{inside:.1}\" y=\"{high}\">{}</text>",
                Html(time.date)
            )?;
        }
    }
    if has_clocks && is_one_day {
        write!(
            f,
            "<text x=\"{}\" y=\"{high}\">{} {}</text>",
            PLOT.left,
            Html(times[0].date),
            Html(times[0].zone),
        )?;
    } else if has_clocks {
        write!(
            f,
            "<text x=\"{:.1}\" y=\"{low}\">{}</text>",
            PLOT.right + 6.0,
            Html(times[0].zone),
        )?;
    }

    let mut next_free = 0.0;
    for (index, time) in times.iter().enumerate() {
        let is_marked = |index: usize| bars[index].look == BarLook::Marked;
        let is_first_of_run = is_marked(index) && (index == 0 || !is_marked(index - 1));
        let x = middle(index).clamp(36.0, PLOT.right - 20.0);
        if is_first_of_run && x >= next_free {
            next_free = x + 76.0;
            write!(
                f,
                "<text class=\"mid mark\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                PLOT.price_top - 7.0,
                Html(time.clock.unwrap_or(time.date)),
            )?;
        }
    }
    Ok(())
}

/// A bar's time in the pieces that labels need.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    /// The date; of a text in another form as much as a label can hold.
    pub(super) date: &'a str,
    /// Hour and minute, where there are any.
    pub(super) clock: Option<&'a str>,
    pub(super) zone: &'a str,
}

impl<'a> Moment<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let is_like = |part: &str, form: &str| {
            part.bytes()
                .zip(form.bytes())
                .all(|(byte, form)| byte == form || (form == b'0' && byte.is_ascii_digit()))
        };
        let date = (text.get(..10)).filter(|part| is_like(part, "0000-00-00"));
        let Some(date) = date else {
            let end = text.char_indices().nth(12).map_or(text.len(), |(at, _)| at);
            return Self {
                date: &text[..end],
                clock: None,
                zone: "",
            };
        };
        let clock = (text.get(11..16)).filter(|part| is_like(part, "00:00"));
        let rest = clock.and_then(|_| text.get(16..)).unwrap_or("");
        let rest = rest.trim_start_matches(|c: char| c == ':' || c == '.' || c.is_ascii_digit());
        let zone = match rest.trim() {
            "Z" => "UTC",
            zone => zone,
        };
        Self { date, clock, zone }
    }
}
