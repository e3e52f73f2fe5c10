//! The bars a fake server serves, per feed and symbol. Knows nothing of HTTP, paging or the wire format.

use std::collections::BTreeMap;
use std::sync::Arc;

/// One bar as the vendor would hold it; nothing about it is checked, so a tape can also hold nonsense.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TapeBar {
    /// Left edge of the minute, UTC, in microseconds since 1970.
    pub ts_us: i64,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares traded; written as an integer when whole.
    pub volume: f64,
    /// Number of trades; `None` leaves the key `n` out.
    pub trade_count: Option<i64>,
    /// Volume-weighted price; `None` leaves the key `vw` out.
    pub vwap: Option<f64>,
}

/// All bars of a fake server. A clone is cheap: the series are shared until one of them is edited.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    feeds: BTreeMap<String, BTreeMap<String, Arc<Vec<TapeBar>>>>,
}

impl Tape {
    /// An empty tape: every well-formed request gets an empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the series of one symbol on one feed (`sip`, `iex`, ..), replacing what was there.
    ///
    /// The bars may come in any order. Of two bars with the same time the later one in `bars` stays.
    pub fn insert(&mut self, feed: &str, symbol: &str, mut bars: Vec<TapeBar>) {
        settle(&mut bars);
        self.feeds
            .entry(feed.to_owned())
            .or_default()
            .insert(symbol.to_owned(), Arc::new(bars));
    }

    /// Changes the series of one symbol in place: a late correction, insertion or deletion.
    ///
    /// A symbol that is not there starts empty. Order and uniqueness are restored as by [`Tape::insert`].
    pub fn edit(&mut self, feed: &str, symbol: &str, change: impl FnOnce(&mut Vec<TapeBar>)) {
        let series = self
            .feeds
            .entry(feed.to_owned())
            .or_default()
            .entry(symbol.to_owned())
            .or_default();
        let bars = Arc::make_mut(series);
        change(bars);
        settle(bars);
    }

    /// The series of one symbol, ascending; empty when there is none.
    #[must_use]
    pub fn bars(&self, feed: &str, symbol: &str) -> &[TapeBar] {
        self.feeds
            .get(feed)
            .and_then(|symbols| symbols.get(symbol))
            .map_or(&[], |bars| bars.as_slice())
    }

    /// Number of bars over all feeds and symbols.
    #[must_use]
    pub fn bar_count(&self) -> usize {
        self.feeds
            .values()
            .flat_map(BTreeMap::values)
            .map(|bars| bars.len())
            .sum()
    }
}

/// Sorts by time and keeps the last bar of equal times, so that a page token can name a bar by its time.
fn settle(bars: &mut Vec<TapeBar>) {
    bars.sort_by_key(|bar| bar.ts_us);
    bars.dedup_by(|later, earlier| {
        let same = later.ts_us == earlier.ts_us;
        if same {
            *earlier = *later;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(ts_us: i64, close: f64) -> TapeBar {
        TapeBar {
            ts_us,
            open: 1.0,
            high: 2.0,
            low: 0.5,
            close,
            volume: 10.0,
            trade_count: None,
            vwap: None,
        }
    }

    #[test]
    fn insert_sorts_and_keeps_the_last_of_equal_times() {
        let mut tape = Tape::new();
        tape.insert("sip", "A", vec![bar(2, 1.0), bar(1, 1.0), bar(2, 1.5)]);
        assert_eq!(tape.bars("sip", "A"), [bar(1, 1.0), bar(2, 1.5)]);
        assert_eq!(tape.bars("iex", "A"), []);
    }

    #[test]
    fn an_edit_does_not_reach_an_earlier_clone() {
        let mut tape = Tape::new();
        tape.insert("sip", "A", vec![bar(1, 1.0)]);
        let before = tape.clone();
        tape.edit("sip", "A", |bars| bars.insert(0, bar(9, 3.0)));
        assert_eq!(before.bar_count(), 1);
        assert_eq!(tape.bars("sip", "A"), [bar(1, 1.0), bar(9, 3.0)]);
    }
}
