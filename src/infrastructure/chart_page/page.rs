//! The page: candles that can be zoomed and moved, with the library that draws them, its licence, and a still picture for
//! where no script runs.

use std::fmt::{self, Display};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::super::candle_svg::{CANDLE_STYLE, Exact};
use super::super::markup::{Html, Json};
use super::svg::{Inline, PICTURE_STYLE, title};
use super::{last_text, local_text, missing_text};
use crate::domain::chart::{Chart, Slot};
use crate::domain::instant::SECOND_US;

/// Buckets of one frame that a page holds at most: more would take seconds to open.
pub const MOST_BARS: usize = 50_000;

/// TradingView's Lightweight Charts as it was published, its licence comment included.
pub(super) const LIBRARY: &str = include_str!(
    "../../../assets/lightweight-charts-5.2.1/lightweight-charts.standalone.production.js"
);
const LICENCE: &str = include_str!("../../../assets/lightweight-charts-5.2.1/LICENSE");
const NOTICE: &str = include_str!("../../../assets/lightweight-charts-5.2.1/NOTICE");

/// The link that the notice demands.
const SITE: &str = "https://www.tradingview.com/";

const SCRIPT: &str = include_str!("script.js");
const STYLE: &str = include_str!("style.css");

/// A page about one series.
pub struct ChartPage<'a> {
    frames: Vec<&'a Chart>,
}

impl<'a> ChartPage<'a> {
    /// A page that shows `chart`.
    pub fn new(chart: &'a Chart) -> Self {
        Self {
            frames: vec![chart],
        }
    }

    /// The same bars in another frame, to switch to.
    pub fn add_frame(&mut self, chart: &'a Chart) {
        self.frames.push(chart);
    }

    /// The page as HTML; equal charts give equal bytes.
    pub fn render(&self) -> String {
        let chart = self.frames[0];
        let title = title(chart);
        let mut frames: Vec<&Chart> = self.frames.clone();
        frames.sort_by_key(|frame| frame.frame);
        // Only these two scripts may run, so a text that slipped through as a tag would still do nothing; and nothing at all
        // may be loaded or sent.
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'sha256-{library_hash}' 'sha256-{script_hash}'; img-src data:; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>{title}</title>\n<style>{STYLE}{CANDLE_STYLE}{PICTURE_STYLE}</style>\n</head>\n<body>\n<main>\n\
             <header><h1>{symbol}</h1><p class=\"last\">{last}</p>\n<p class=\"scope\">{dataset} \u{b7} {range} \u{b7} {zone} time</p>\n\
             <nav id=\"frames\" aria-label=\"Length of the bars\"></nav></header>\n\
             <p id=\"legend\" role=\"status\"></p>\n<div id=\"chart\"></div>\n\
             <noscript><style>#chart, #legend, nav {{ display: none; }}</style>\n{still}</noscript>\n\
             <p class=\"missing\">{missing}</p>\n\
             <p class=\"key\"><span><i class=\"gap\"></i>no bar</span> <span><i class=\"skip\"></i>never asked for, or not in the \
             plan</span> <span><i class=\"faint\"></i>bar of fewer minutes than there should be</span></p>\n\
             <footer><p>Drawn with {notice} <a href=\"{SITE}\" rel=\"noopener noreferrer\">{SITE}</a></p>\n\
             <details><summary>Licence of Lightweight Charts</summary><pre>{licence}</pre></details></footer>\n\
             </main>\n<script type=\"application/json\" id=\"bars\">{data}</script>\n\
             <script>{LIBRARY}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
            library_hash = digest(LIBRARY),
            script_hash = digest(SCRIPT),
            title = Html(&title),
            symbol = Html(chart.symbol.as_str()),
            last = Html(&last_text(chart)),
            dataset = Html(&chart.dataset.to_string()),
            range = Html(&chart.range()),
            zone = chart.calendar().zone(),
            still = Inline(chart),
            missing = Html(&missing_text(chart)),
            notice = Html(NOTICE.trim().trim_end_matches(SITE).trim()),
            licence = Lines(LICENCE),
            data = Data {
                frames: &frames,
                shown: chart
            },
        )
    }
}

/// A text of several lines, each of them escaped.
struct Lines<'a>(&'a str);

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .lines()
            .try_for_each(|line| writeln!(f, "{}", Html(line)))
    }
}

fn digest(script: &str) -> String {
    STANDARD.encode(Sha256::digest(script))
}

/// What the script draws: for each frame its points, one array a bucket.
struct Data<'a> {
    frames: &'a [&'a Chart],
    shown: &'a Chart,
}

impl Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{\"shown\":{},\"frames\":[",
            Json(self.shown.frame.as_str())
        )?;
        for (at, chart) in self.frames.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(
                f,
                "{comma}{{\"name\":{},\"points\":[",
                Json(chart.frame.as_str())
            )?;
            // The library shows times as UTC: it is given the exchange's clock as if it were. Two instants of one clock time,
            // when clocks are set back, stay two points in their order.
            let mut before_s = i64::MIN;
            for (at, slot) in chart.slots.iter().enumerate() {
                let local = chart.calendar().local_time(slot.start_us);
                let local_s = local.map_or(slot.start_us / SECOND_US, |local| {
                    local.and_utc().timestamp()
                });
                let time_s = local_s.max(before_s.saturating_add(1));
                before_s = time_s;
                let comma = if at == 0 { "\n" } else { ",\n" };
                f.write_str(comma)?;
                write_point(f, chart, slot, time_s)?;
            }
            f.write_str("]}")?;
        }
        f.write_str("]}")
    }
}

/// `[time, open, high, low, close, volume, missing minutes]`, or of a bucket without a bar
/// `[time, missing minutes, sessions skipped, words]`.
fn write_point(f: &mut fmt::Formatter<'_>, chart: &Chart, slot: &Slot, time_s: i64) -> fmt::Result {
    let missing = slot.missing.total();
    match slot.candle {
        Some(candle) => write!(
            f,
            "[{time_s},{},{},{},{},{},{missing}]",
            Exact(candle.open),
            Exact(candle.high),
            Exact(candle.low),
            Exact(candle.close),
            Exact(candle.volume),
        ),
        None => {
            let until = match slot.skipped_sessions {
                0 | 1 => String::new(),
                sessions => format!(" ({sessions} sessions)"),
            };
            let words = format!(
                "{}{until}: {}",
                local_text(chart, slot.start_us),
                slot.missing.words()
            );
            write!(
                f,
                "[{time_s},{missing},{},{}]",
                slot.skipped_sessions,
                Json(&words)
            )
        }
    }
}
