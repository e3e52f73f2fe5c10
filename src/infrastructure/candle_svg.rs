//! One way to draw candles above their volumes as SVG, for every picture and page. Knows no lake, no calendar and no labels
//! of time: those are the pictures' own.

use std::fmt::{self, Display};

use super::markup::Html;
use crate::domain::chart::PriceScale;

/// How candles look; wants the colours `--ink`, `--soft`, `--line`, `--card`, `--tint`, `--band`, `--error` and
/// `--error-mark`, and for coloured ones `--up` and `--down`.
pub(crate) const CANDLE_STYLE: &str = include_str!("candle_svg.css");

/// Larger numbers than this are no prices or volumes, and would leave no room for the others.
pub(crate) const DRAWABLE: f64 = 1e15;

/// Steps of the price axis at most.
pub(crate) const MOST_STEPS: u8 = 6;

/// One bar of a picture.
#[derive(Debug, Clone, Default)]
pub struct ChartBar {
    /// When the bar begins; a text that starts as `2024-03-05 14:30` or `2024-03-05` gives short labels.
    pub time: String,
    /// The first price.
    pub open: f64,
    /// The highest price.
    pub high: f64,
    /// The lowest price.
    pub low: f64,
    /// The last price.
    pub close: f64,
    /// Shares traded.
    pub volume: f64,
    /// What makes it another than the others.
    pub look: BarLook,
}

/// How a bar stands out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BarLook {
    /// Not at all.
    #[default]
    Plain,
    /// It is the bar in question.
    Marked,
    /// Some of its minutes are missing.
    Partial,
}

impl ChartBar {
    /// The prices, if all of them can be drawn.
    fn prices(&self) -> Option<[f64; 4]> {
        let prices = [self.open, self.high, self.low, self.close];
        prices
            .iter()
            .all(|price| is_drawable(*price))
            .then_some(prices)
    }
}

/// Where things are, in the drawing's own units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plot {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) price_top: f64,
    pub(crate) price_bottom: f64,
    pub(crate) volume_top: f64,
    pub(crate) volume_bottom: f64,
}

/// A plot with the scales of its bars.
pub(crate) struct CandlePlot {
    plot: Plot,
    scale: PriceScale,
    tallest: f64,
}

impl Plot {
    pub(crate) fn y(&self, scale: &PriceScale, price: f64) -> f64 {
        self.price_bottom - scale.share(price) * (self.price_bottom - self.price_top)
    }

    /// The plot with scales over `bars`.
    pub(crate) fn over<'a>(self, bars: impl Iterator<Item = &'a ChartBar> + Clone) -> CandlePlot {
        let tallest = (bars.clone().map(|bar| bar.volume))
            .filter(|volume| is_drawable(*volume))
            .fold(0.0, f64::max);
        let prices = bars.filter_map(ChartBar::prices).flatten();
        CandlePlot {
            plot: self,
            scale: PriceScale::over(prices, MOST_STEPS),
            tallest,
        }
    }
}

impl CandlePlot {
    /// The grid with its prices, and the line under the volumes with the tallest.
    pub(crate) fn draw_axes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plot {
            left,
            right,
            volume_top,
            volume_bottom,
            ..
        } = self.plot;
        let decimals = self.scale.decimals();
        for price in self.scale.ticks() {
            let (y, x) = (self.plot.y(&self.scale, price), right + 6.0);
            write!(
                f,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/><text x=\"{x:.1}\" y=\"{:.1}\">",
                y + 4.0
            )?;
            if price.abs() < 1e7 {
                write!(f, "{price:.decimals$}</text>")?;
            } else {
                write!(f, "{}</text>", Short(price))?;
            }
        }
        write!(
            f,
            "<path class=\"grid\" d=\"M{left} {volume_bottom}H{right}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            right + 6.0,
            volume_top + 9.0,
            Short(self.tallest),
        )
    }

    /// One bar with its middle at `x`, in a column that is `slot` wide.
    pub(crate) fn draw_bar(
        &self,
        f: &mut fmt::Formatter<'_>,
        bar: &ChartBar,
        x: f64,
        slot: f64,
    ) -> fmt::Result {
        let Plot {
            price_top,
            price_bottom,
            volume_top,
            volume_bottom,
            ..
        } = self.plot;
        let trend = if bar.close < bar.open { "fell" } else { "rose" };
        let (look, remark) = match bar.look {
            BarLook::Plain => ("", ""),
            BarLook::Marked => (" marked", " (marked)"),
            BarLook::Partial => (" partial", " (minutes are missing)"),
        };
        write!(
            f,
            "<g class=\"{trend}{look}\"><title>{}\u{a0} open {}, high {}, low {}, close {}, volume {}{remark}</title>\
             <rect class=\"band\" x=\"{:.1}\" y=\"{price_top}\" width=\"{slot:.1}\" height=\"{:.1}\"/>",
            Html(&bar.time),
            Exact(bar.open),
            Exact(bar.high),
            Exact(bar.low),
            Exact(bar.close),
            Exact(bar.volume),
            x - slot / 2.0,
            volume_bottom - price_top,
        )?;
        let width = (slot * 0.64).clamp(0.6, 11.0);
        let left = x - width / 2.0;
        let y = |price| self.plot.y(&self.scale, price);
        if let Some([open, high, low, close]) = bar.prices().map(|all| all.map(y)) {
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
                price_bottom - 4.0
            )?;
        }
        if is_drawable(bar.volume) && bar.volume > 0.0 && self.tallest > 0.0 {
            let height = ((volume_bottom - volume_top) * (bar.volume / self.tallest)).max(0.5);
            write!(
                f,
                "<rect class=\"volume\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
                volume_bottom - height
            )?;
        }
        f.write_str("</g>")
    }
}

fn is_drawable(number: f64) -> bool {
    number.is_finite() && number.abs() <= DRAWABLE
}

/// A number of bars for computing places.
pub(crate) fn count(bars: usize) -> f64 {
    u32::try_from(bars).map_or(f64::from(u32::MAX), f64::from)
}

/// A number with all its digits, unless they would be hundreds.
pub(crate) struct Exact(pub(crate) f64);

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
