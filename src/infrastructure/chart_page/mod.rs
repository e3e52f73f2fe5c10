//! A chart as a file of its own: an SVG picture, or an HTML page that loads and sends nothing. Knows no lake.

mod page;
mod svg;
#[cfg(test)]
mod tests;

pub use page::{ChartPage, MOST_BARS};
pub use svg::{SVG_COLUMNS, svg_file};

use crate::domain::Timeframe;
use crate::domain::chart::Chart;
use crate::domain::with_thousands;

/// The exchange's time of an instant, as detailed as the frame is.
fn local_text(chart: &Chart, ts_us: i64) -> String {
    let format = match chart.frame {
        Timeframe::D1 => "%Y-%m-%d",
        _ => "%Y-%m-%d %H:%M",
    };
    let local = chart.calendar().local_time(ts_us);
    local.map_or_else(String::new, |local| local.format(format).to_string())
}

/// What is missing of the chart, in a sentence.
fn missing_text(chart: &Chart) -> String {
    let missing = chart.missing();
    match missing.total() {
        0 => "No regular minute is missing.".to_owned(),
        total => format!(
            "{} of {} regular minutes are missing: {}.",
            with_thousands(total.into()),
            with_thousands(chart.expected_minutes().into()),
            missing.words()
        ),
    }
}

/// The last price and its change, `187.12 (+1.34 % since Jul 01)`; empty without bars.
fn last_text(chart: &Chart) -> String {
    chart.last_price().map_or_else(String::new, |last| {
        format!("{} ({})", last.price, last.change_words())
    })
}
