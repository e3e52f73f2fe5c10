//! What a candle chart shows, before anybody draws it: which bucket goes to which column, what is missing where, which
//! prices and times are labelled. Pure; the terminal, the picture and the page draw the same.

mod columns;
mod scale;
mod slots;
#[cfg(test)]
mod tests;
mod ticks;

pub use columns::{Column, Place, fit};
pub use scale::PriceScale;
pub use slots::{ChartSource, PlacedBar, Slot, lay_out};
pub use ticks::{TimeLabel, clock_labels, date_labels};

use chrono::Datelike as _;

use super::calendar::Calendar;
use super::dataset::Dataset;
use super::gaps::GapReason;
use super::number::with_thousands;
use super::session::{Segment, SessionDate};
use super::symbol::Symbol;
use super::timeframe::Timeframe;

/// Where bars come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarOrigin {
    /// As they are kept.
    Kept,
    /// Made of the minutes that are kept.
    MadeOfMinutes,
}

/// The bars of one series in a range of sessions, as they are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The dataset.
    pub dataset: Dataset,
    /// The symbol.
    pub symbol: Symbol,
    /// The length of the bars.
    pub frame: Timeframe,
    /// Where the bars come from.
    pub origin: BarOrigin,
    /// First and last session, both inside.
    pub sessions: (SessionDate, SessionDate),
    /// The buckets in time order.
    pub slots: Vec<Slot>,
}

impl Chart {
    /// The calendar of the series: whose clock the time axis shows.
    pub fn calendar(&self) -> Calendar {
        Calendar::of(&self.symbol)
    }

    /// The bars in time order.
    pub fn candles(&self) -> impl Iterator<Item = &Candle> {
        self.slots.iter().filter_map(|slot| slot.candle.as_ref())
    }

    /// Regular minutes without a row in the whole range.
    pub fn missing(&self) -> MissingMinutes {
        let mut missing = MissingMinutes::default();
        for slot in &self.slots {
            missing.add_all(&slot.missing);
        }
        missing
    }

    /// Regular minutes of the whole range, as far as it is drawn.
    pub fn expected_minutes(&self) -> u32 {
        let regular = self
            .slots
            .iter()
            .filter(|slot| slot.segment == Segment::Regular);
        regular.map(|slot| slot.expected_minutes).sum()
    }

    /// The length of the bars in words, with their origin where they are not kept.
    pub fn frame_words(&self) -> String {
        match self.origin {
            BarOrigin::Kept => self.frame.to_string(),
            BarOrigin::MadeOfMinutes => format!("{} from 1m", self.frame),
        }
    }

    /// The range in words: one session or two with `to` between them.
    pub fn range(&self) -> String {
        match self.sessions {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first} to {last}"),
        }
    }

    /// The last price, and how far it is from the first one; `None` without bars.
    pub fn last_price(&self) -> Option<LastPrice> {
        let first = self.slots.iter().find(|slot| slot.candle.is_some())?;
        let last = self.slots.iter().rfind(|slot| slot.candle.is_some())?;
        let price = last.candle?.close;
        Some(LastPrice {
            price,
            change_percent: (price / first.candle?.open - 1.0) * 100.0,
            sessions: (first.session, last.session),
        })
    }
}

/// The last price of a chart and its change since the first bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastPrice {
    /// The last price.
    pub price: f64,
    /// Its change since the first price, percent.
    pub change_percent: f64,
    /// The sessions of the first and of the last price.
    sessions: (SessionDate, SessionDate),
}

impl LastPrice {
    /// The change in words, `+1.34 % since Jul 01`: beside a last price, people take it for the day's.
    pub fn change_words(&self) -> String {
        let (first, last) = (self.sessions.0.naive(), self.sessions.1.naive());
        let format = if first.year() == last.year() {
            "%b %d"
        } else {
            "%Y-%m-%d"
        };
        format!(
            "{:+.2} % since {}",
            self.change_percent,
            first.format(format)
        )
    }
}

/// One candle: a bar, or several that follow one another added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candle {
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares or units traded.
    pub volume: f64,
    /// Of how many stored minutes it was made.
    pub minutes: u32,
}

impl Candle {
    /// Adds what follows in time.
    pub const fn absorb(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume += later.volume;
        self.minutes += later.minutes;
    }

    /// Whether the price fell.
    pub fn fell(&self) -> bool {
        self.close < self.open
    }
}

/// Regular minutes without a row, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MissingMinutes([u32; GapReason::ALL.len()]);

impl MissingMinutes {
    /// Adds `minutes` that are missing for `reason`.
    pub fn add(&mut self, reason: GapReason, minutes: u32) {
        self.0[reason as usize] += minutes;
    }

    /// Adds those of `other`.
    pub fn add_all(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// Minutes missing for `reason`.
    pub const fn of(&self, reason: GapReason) -> u32 {
        self.0[reason as usize]
    }

    /// All of them.
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// The reason of most of them, of equals the first; `None` when nothing is missing.
    pub fn main_reason(&self) -> Option<GapReason> {
        let most = self.0.into_iter().max().filter(|&most| most > 0)?;
        GapReason::ALL
            .into_iter()
            .find(|&reason| self.of(reason) == most)
    }

    /// In words, `30 no trade, 1 quarantined`; empty when nothing is missing.
    pub fn words(&self) -> String {
        let words = GapReason::ALL
            .into_iter()
            .filter(|&reason| self.of(reason) > 0)
            .map(|reason| format!("{} {reason}", with_thousands(self.of(reason).into())));
        words.collect::<Vec<_>>().join(", ")
    }
}
