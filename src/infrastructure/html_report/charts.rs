//! The section of charts: bars as candles above their volumes, drawn as inline SVG.

use std::fmt::{self, Display};
use std::io::{self, Write};

use super::text::Html;
use super::{Chart, ChartBar, Page};

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
                Html(&chart.title),
                Html(&chart.message),
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
const PLOT_LEFT: f64 = 4.0;
const PLOT_RIGHT: f64 = 412.0;
pub(super) const PRICE_TOP: f64 = 22.0;
pub(super) const PRICE_BOTTOM: f64 = 198.0;
const VOLUME_TOP: f64 = 208.0;
const VOLUME_BOTTOM: f64 = 250.0;
/// Larger numbers than this are no prices or volumes, and would leave no room for the others.
pub(super) const DRAWABLE: f64 = 1e15;

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
        let prices = Axis::over(bars.iter().filter_map(prices).flatten());
        let tallest = (bars.iter().map(|bar| bar.volume))
            .filter(|volume| is_drawable(*volume))
            .fold(0.0, f64::max);
        prices.draw(f)?;
        write!(
            f,
            "<path class=\"grid\" d=\"M{PLOT_LEFT} {VOLUME_BOTTOM}H{PLOT_RIGHT}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            PLOT_RIGHT + 6.0,
            VOLUME_TOP + 9.0,
            Short(tallest),
        )?;

        let times: Vec<_> = bars.iter().map(|bar| Moment::of(&bar.time)).collect();
        let slot = (PLOT_RIGHT - PLOT_LEFT) / count(bars.len());
        let middle = |index: usize| PLOT_LEFT + slot * (count(index) + 0.5);
        for (index, pair) in times.windows(2).enumerate() {
            if pair[0].clock.is_some() && pair[0].date != pair[1].date {
                let x = middle(index) + slot / 2.0;
                write!(
                    f,
                    "<path class=\"day\" d=\"M{x:.1} {PRICE_TOP}V{VOLUME_BOTTOM}\"/>"
                )?;
            }
        }
        for (index, bar) in bars.iter().enumerate() {
            draw_bar(f, bar, &prices, tallest, middle(index), slot)?;
        }
        draw_times(f, bars, &times, middle)?;
        f.write_str("</svg>\n")
    }
}

/// The prices of a bar that can be drawn.
fn prices(bar: &ChartBar) -> Option<[f64; 4]> {
    let prices = [bar.open, bar.high, bar.low, bar.close];
    prices
        .iter()
        .all(|price| is_drawable(*price))
        .then_some(prices)
}

fn is_drawable(number: f64) -> bool {
    number.is_finite() && number.abs() <= DRAWABLE
}

/// A number of bars for computing places.
fn count(bars: usize) -> f64 {
    u32::try_from(bars).map_or(f64::from(u32::MAX), f64::from)
}

fn draw_bar(
    f: &mut fmt::Formatter<'_>,
    bar: &ChartBar,
    axis: &Axis,
    tallest: f64,
    x: f64,
    slot: f64,
) -> fmt::Result {
    let trend = if bar.close < bar.open { "fell" } else { "rose" };
    let marked = if bar.is_marked { " marked" } else { "" };
    write!(
        f,
        "<g class=\"{trend}{marked}\"><title>{}\u{a0} open {}, high {}, low {}, close {}, volume {}{}</title>\
         <rect class=\"band\" x=\"{:.1}\" y=\"{PRICE_TOP}\" width=\"{slot:.1}\" height=\"{:.1}\"/>",
        Html(&bar.time),
        Exact(bar.open),
        Exact(bar.high),
        Exact(bar.low),
        Exact(bar.close),
        Exact(bar.volume),
        if bar.is_marked { " (marked)" } else { "" },
        x - slot / 2.0,
        VOLUME_BOTTOM - PRICE_TOP,
    )?;
    let width = (slot * 0.64).clamp(0.6, 11.0);
    let left = x - width / 2.0;
    if let Some([open, high, low, close]) = prices(bar).map(|all| all.map(|price| axis.y(price))) {
        // Offending bars may have a high below their low, so nothing here relies on their order.
        let (top, height) = (open.min(close), (open - close).abs().max(1.0));
        write!(
            f,
            "<path d=\"M{x:.1} {high:.1}V{low:.1}\"/>\
             <rect class=\"body\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        )?;
    } else {
        write!(
            f,
            "<text class=\"bad\" x=\"{x:.1}\" y=\"{:.1}\">\u{d7}</text>",
            PRICE_BOTTOM - 4.0
        )?;
    }
    if is_drawable(bar.volume) && bar.volume > 0.0 && tallest > 0.0 {
        let height = ((VOLUME_BOTTOM - VOLUME_TOP) * (bar.volume / tallest)).max(0.5);
        write!(
            f,
            "<rect class=\"volume\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
            VOLUME_BOTTOM - height
        )?;
    }
    f.write_str("</g>")
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
    let (low, high) = (VOLUME_BOTTOM + 15.0, VOLUME_BOTTOM + 31.0);
    let mut next_free = 0.0;
    for (index, time) in times.iter().enumerate().step_by(times.len().div_ceil(4)) {
        let x = middle(index);
        let inside = x.clamp(36.0, PLOT_RIGHT - 20.0);
        if inside < next_free {
            continue;
        }
        next_free = inside + 76.0;
        write!(
            f,
            "<path class=\"grid\" d=\"M{x:.1} {VOLUME_BOTTOM}v4\"/>\
             <text class=\"mid\" x=\"{inside:.1}\" y=\"{low}\">{}</text>",
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
            "<text x=\"{PLOT_LEFT}\" y=\"{high}\">{} {}</text>",
            Html(times[0].date),
            Html(times[0].zone),
        )?;
    } else if has_clocks {
        write!(
            f,
            "<text x=\"{:.1}\" y=\"{low}\">{}</text>",
            PLOT_RIGHT + 6.0,
            Html(times[0].zone),
        )?;
    }

    let mut next_free = 0.0;
    for (index, time) in times.iter().enumerate() {
        let is_first_of_run = bars[index].is_marked && (index == 0 || !bars[index - 1].is_marked);
        let x = middle(index).clamp(36.0, PLOT_RIGHT - 20.0);
        if is_first_of_run && x >= next_free {
            next_free = x + 76.0;
            write!(
                f,
                "<text class=\"mid mark\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                PRICE_TOP - 7.0,
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

/// The price axis.
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) step: f64,
}

impl Axis {
    /// An axis with some room around the prices, all of them drawable.
    pub(super) fn over(prices: impl Iterator<Item = f64>) -> Self {
        let (low, high) = prices.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), price| {
            (low.min(price), high.max(price))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let room = ((high - low) * 0.06)
            .max(low.abs().max(high.abs()) * 0.0005)
            .max(1e-6);
        let (low, high) = (low - room, high + room);
        // At most six steps of 1, 2 or 5 times a power of ten. Found by multiplying, because logarithms need not give
        // the same last bit on every machine.
        let rough = (high - low) / 6.0;
        let mut power = 1.0;
        while power * 10.0 <= rough {
            power *= 10.0;
        }
        while power > rough {
            power /= 10.0;
        }
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        let step = step
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        Self { low, high, step }
    }

    pub(super) fn y(&self, price: f64) -> f64 {
        PRICE_BOTTOM - (price - self.low) / (self.high - self.low) * (PRICE_BOTTOM - PRICE_TOP)
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut decimals = 0;
        let mut shown = self.step;
        while shown < 0.999 && decimals < 8 {
            shown *= 10.0;
            decimals += 1;
        }
        let first = (self.low / self.step).ceil();
        for index in 0..12_u32 {
            // Adding 0 turns a negative zero into a plain one.
            let price = (first + f64::from(index)) * self.step + 0.0;
            if price > self.high {
                break;
            }
            let (y, x) = (self.y(price), PLOT_RIGHT + 6.0);
            write!(
                f,
                "<path class=\"grid\" d=\"M{PLOT_LEFT} {y:.1}H{PLOT_RIGHT}\"/><text x=\"{x:.1}\" y=\"{:.1}\">",
                y + 4.0
            )?;
            if price.abs() < 1e7 {
                write!(f, "{price:.decimals$}</text>")?;
            } else {
                write!(f, "{}</text>", Short(price))?;
            }
        }
        Ok(())
    }
}

/// A number with all its digits, unless they would be hundreds.
struct Exact(f64);

impl Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if !is_drawable(self.0) || (size > 0.0 && size < 1e-6) {
            return write!(f, "{:e}", self.0);
        }
        write!(f, "{}", self.0)
    }
}

/// A number in few characters, for an axis.
struct Short(f64);

impl Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        for (least, unit, letter) in [
            (1e12, 1e12, 'T'),
            (1e9, 1e9, 'G'),
            (1e6, 1e6, 'M'),
            (1e4, 1e3, 'k'),
        ] {
            if size >= least {
                let number = format!("{:.1}", self.0 / unit);
                return write!(f, "{}{letter}", number.trim_end_matches(".0"));
            }
        }
        Exact(self.0).fmt(f)
    }
}
