//! The made-up market: which minutes trade, at what prices, how much. Pure; knows no request and no clock.
//!
//! Only additions, multiplications, divisions and roundings of floats, which every machine does alike.

use crate::domain::{Bar, BarColumns, Segment, Session, Symbol};

/// One day, in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// The waves that a price's level is made of: length in days, and greatest distance from the middle.
///
/// Their sum stays below one half, so a price never leaves half to one and a half times its middle.
const WAVES: [(i64, f64); 5] = [(1, 0.008), (5, 0.02), (21, 0.05), (126, 0.12), (630, 0.22)];

/// How far a session's path may leave the band between its first and last level.
const STRAY: f64 = 0.03;

/// A stream of numbers that looks random: splitmix64, by Sebastiano Vigna, public domain.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A float from 0 to below 1.
    fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    /// A float from -1 to below 1.
    fn signed(&mut self) -> f64 {
        2.0 * self.unit() - 1.0
    }

    /// A whole number below `bound`, which is far below 2^32.
    fn below(&mut self, bound: u64) -> u64 {
        ((self.next() >> 32) * bound) >> 32
    }
}

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The highest 52 bits as a float from 0 to below 1.
fn unit(bits: u64) -> f64 {
    f64::from_bits(0x3ff0_0000_0000_0000 | (bits >> 12)) - 1.0
}

/// One symbol's character in the market of a seed.
pub(super) struct Instrument {
    key: u64,
    is_pair: bool,
    /// The price around which everything happens.
    middle: f64,
    /// Largest relative step of a minute.
    step: f64,
    /// Shares of a calm minute.
    calm_volume: u64,
    /// Regular minutes without a trade, of ten thousand.
    missing_regular: u64,
    /// Pre and post minutes with a trade, of ten thousand.
    traded_extended: u64,
}

impl Instrument {
    pub(super) fn new(symbol: &Symbol, seed: u64) -> Self {
        let mut key = mix(seed ^ 0x7472_6164_6562_6172);
        for byte in symbol.as_str().bytes() {
            key = mix(key
                .wrapping_add(u64::from(byte))
                .wrapping_add(0x9e37_79b9_7f4a_7c15));
        }
        let mut stream = Stream(key);
        let place = stream.unit();
        let is_thin = stream.below(8) == 0;
        Self {
            key,
            is_pair: symbol.is_pair(),
            middle: 20.0 + 480.0 * place * place,
            step: 0.000_4 + 0.000_5 * stream.unit(),
            calm_volume: if is_thin {
                120
            } else {
                2_000 + stream.below(20_000)
            },
            missing_regular: if is_thin {
                400 + stream.below(1_200)
            } else {
                stream.below(40)
            },
            traded_extended: if is_thin {
                stream.below(300)
            } else {
                400 + stream.below(3_600)
            },
        }
    }

    /// The bars of a whole session, ascending.
    pub(super) fn session_bars(&self, session: &Session) -> BarColumns {
        let end_day = session.window_end_us().div_euclid(DAY_US);
        let mut stream = Stream(mix(self.key ^ mix(end_day.cast_unsigned())));
        // The last level of a session is the first one of the next: windows tile time.
        let first_level = self.level(session.window_start_us().div_euclid(DAY_US));
        let last_level = self.level(end_day);
        let lowest = first_level.min(last_level) - STRAY;
        let highest = first_level.max(last_level) + STRAY;
        let hours = [Segment::Pre, Segment::Regular, Segment::Post];
        let hours = hours.map(|segment| (segment, session.expected_range(segment)));
        let minutes = hours.iter().map(|(_, range)| range.len()).sum();
        let mut steps_left = minutes;
        let mut columns = BarColumns::with_capacity(minutes);
        let mut level = first_level;
        for (segment, range) in hours {
            for minute in range.clone() {
                let before = level;
                // Pulled ever harder towards the last level, so that the path arrives there.
                let pull = (last_level - level) / count(steps_left);
                level = (level + pull + self.step * stream.signed()).clamp(lowest, highest);
                steps_left -= 1;
                let place = Place {
                    segment,
                    minute: minute - range.start,
                    minutes: range.end - range.start,
                };
                if self.trades(&place, &mut stream) {
                    let ts_us = session.minute_ts_us(minute);
                    columns.push(self.bar(ts_us, [before, level], &place, &mut stream));
                }
            }
        }
        columns
    }

    /// The distance of the price from its middle, as a share of it, at the end of a day since 1970.
    fn level(&self, day: i64) -> f64 {
        let mut level = 0.0;
        for (length, reach) in WAVES {
            let (from, to) = (
                self.knot(length, day.div_euclid(length)),
                self.knot(length, day.div_euclid(length) + 1),
            );
            let place = f64::from(i32::try_from(day.rem_euclid(length)).unwrap_or(0))
                / f64::from(i32::try_from(length).unwrap_or(1));
            let eased = place * place * (3.0 - 2.0 * place);
            level += reach * (from + (to - from) * eased);
        }
        level
    }

    /// Where a wave of that length is at one of its knots, from -1 to 1.
    fn knot(&self, length: i64, number: i64) -> f64 {
        let bits = mix(self.key
            ^ mix(length.cast_unsigned())
            ^ mix(number.cast_unsigned()).rotate_left(17));
        2.0 * unit(mix(bits)) - 1.0
    }

    fn trades(&self, place: &Place, stream: &mut Stream) -> bool {
        let draw = stream.below(10_000);
        match place.segment {
            // The auctions always trade.
            Segment::Regular => place.is_first() || place.is_last() || draw >= self.missing_regular,
            _ => draw < self.traded_extended,
        }
    }

    fn bar(
        &self,
        ts_us: i64,
        [before, after]: [f64; 2],
        place: &Place,
        stream: &mut Stream,
    ) -> Bar {
        let cents = |level: f64| (self.middle * (1.0 + level) * 100.0).round();
        let (open, close) = (cents(before), cents(after));
        let (top, bottom) = (open.max(close), open.min(close));
        let reach = self.step * self.middle * 60.0;
        let wick = |draw: f64| (reach * draw * draw).round();
        let high = top + wick(stream.unit());
        let low = (bottom - wick(stream.unit())).max(1.0);
        // In millionths of the currency both borders are whole numbers, and so is what lies between.
        let vwap = low * 10_000.0 + ((high - low) * 10_000.0 * stream.unit()).round();
        let shares = self.shares(place, stream);
        let trades = 1 + shares / (40 + stream.below(120));
        let volume = f64::from(u32::try_from(shares).unwrap_or(u32::MAX));
        Bar {
            ts_us,
            open: open / 100.0,
            high: high / 100.0,
            low: low / 100.0,
            close: close / 100.0,
            // Pairs trade in fractions.
            volume: if self.is_pair {
                volume / 10_000.0
            } else {
                volume
            },
            trade_count: Some(i64::try_from(trades).unwrap_or(i64::MAX)),
            vwap: Some(vwap / 1_000_000.0),
        }
    }

    /// Shares of a minute: most at the open and the close, little outside regular hours.
    fn shares(&self, place: &Place, stream: &mut Stream) -> u64 {
        let weight = match place.segment {
            Segment::Regular if self.is_pair => 1_000,
            Segment::Regular => {
                let (minute, minutes) = (u64::from(place.minute), u64::from(place.minutes));
                let from_middle = (2 * minute).abs_diff(minutes);
                let auction = if place.is_last() { 9_000 } else { 0 };
                600 + 2_400 * from_middle * from_middle / (minutes * minutes) + auction
            }
            _ => 60,
        };
        1 + self.calm_volume * weight * (200 + stream.below(1_600)) / 1_000_000
    }
}

/// A minute within its segment.
struct Place {
    segment: Segment,
    minute: u16,
    minutes: u16,
}

impl Place {
    const fn is_first(&self) -> bool {
        self.minute == 0
    }

    const fn is_last(&self) -> bool {
        self.minute + 1 == self.minutes
    }
}

/// A number of minutes of one session as a float, at least 1.
fn count(minutes: usize) -> f64 {
    f64::from(u32::try_from(minutes).unwrap_or(u32::MAX).max(1))
}

#[cfg(test)]
mod tests;
