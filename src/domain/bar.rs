//! One bar as a row, and the hard rules that decide whether it may be stored. For single rows and evidence;
//! whole series travel as columns.

use std::fmt;

use super::instant::MINUTE_US;

/// One bar: prices in the quote currency exactly as the provider sent them, volume in shares or units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Start of the interval, UTC microseconds.
    pub ts_us: i64,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares or units traded; can be fractional.
    pub volume: f64,
    /// Number of trades, where the provider tells it.
    pub trade_count: Option<i64>,
    /// Volume-weighted average price, where the provider tells it.
    pub vwap: Option<f64>,
}

/// Up to 2^53 every whole number is a float of its own.
pub const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// The count that was written as a float; `None` for one with a fraction, and beyond [`LARGEST_EXACT`], where nobody knows
/// which number was written.
pub fn whole_count(number: f64) -> Option<i64> {
    let is_exact = number.abs() <= LARGEST_EXACT;
    // The text of a whole float has no fraction.
    is_exact.then(|| number.to_string().parse().ok()).flatten()
}

/// A rule whose breach keeps a row out of the store and puts it into quarantine.
///
/// Source: design decision "what a bar means", rule 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HardRule {
    /// A price, the volume or the VWAP is missing, not a number or infinite.
    NotFinite,
    /// A price is zero or negative.
    PriceNotPositive,
    /// A price of 10^12 or more, or a volume of 10^15 or more: no market has them in any currency.
    Implausible,
    /// `low > min(open, close)`.
    LowAboveBody,
    /// `high < max(open, close)`.
    HighBelowBody,
    /// The volume or the trade count is negative.
    NegativeVolume,
    /// The timestamp is not on a full minute, or no timestamp at all.
    OffMinute,
    /// The timestamp lies outside the requested window.
    OutsideWindow,
    /// The symbol was not asked for.
    SymbolNotAsked,
}

impl HardRule {
    /// Every rule, for listings and tests.
    pub const ALL: [Self; 9] = [
        Self::NotFinite,
        Self::PriceNotPositive,
        Self::Implausible,
        Self::LowAboveBody,
        Self::HighBelowBody,
        Self::NegativeVolume,
        Self::OffMinute,
        Self::OutsideWindow,
        Self::SymbolNotAsked,
    ];

    /// The stable name in the quarantine table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFinite => "not-finite",
            Self::PriceNotPositive => "price-not-positive",
            Self::Implausible => "implausible",
            Self::LowAboveBody => "low-above-body",
            Self::HighBelowBody => "high-below-body",
            Self::NegativeVolume => "negative-volume",
            Self::OffMinute => "off-minute",
            Self::OutsideWindow => "outside-window",
            Self::SymbolNotAsked => "symbol-not-asked",
        }
    }

    /// The rule with this stable name.
    pub fn find_by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name)
    }
}

impl fmt::Display for HardRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No market has a price like this, in any currency.
pub(super) const IMPLAUSIBLE_PRICE: f64 = 1e12;
/// No market has a minute's volume like this.
pub(super) const IMPLAUSIBLE_VOLUME: f64 = 1e15;

impl Bar {
    /// The first hard rule that the values of this bar break, the requested window aside.
    pub fn broken_rule(&self) -> Option<HardRule> {
        let prices = [self.open, self.high, self.low, self.close];
        if !(prices.iter().all(|p| p.is_finite())
            && self.volume.is_finite()
            && self.vwap.is_none_or(f64::is_finite))
        {
            return Some(HardRule::NotFinite);
        }
        if prices.iter().any(|&p| p <= 0.0) {
            return Some(HardRule::PriceNotPositive);
        }
        if self.high >= IMPLAUSIBLE_PRICE
            || self.low >= IMPLAUSIBLE_PRICE
            || self.volume >= IMPLAUSIBLE_VOLUME
        {
            return Some(HardRule::Implausible);
        }
        if self.low > self.open.min(self.close) {
            return Some(HardRule::LowAboveBody);
        }
        if self.high < self.open.max(self.close) {
            return Some(HardRule::HighBelowBody);
        }
        if self.volume < 0.0 || self.trade_count.is_some_and(|count| count < 0) {
            return Some(HardRule::NegativeVolume);
        }
        if self.ts_us.rem_euclid(MINUTE_US) != 0 {
            return Some(HardRule::OffMinute);
        }
        None
    }

    /// Whether both bars hold the same values to the last bit.
    pub fn same_values(&self, other: &Self) -> bool {
        let bits = |bar: &Self| {
            (
                [bar.open, bar.high, bar.low, bar.close, bar.volume].map(f64::to_bits),
                bar.trade_count,
                bar.vwap.map(f64::to_bits),
            )
        };
        self.ts_us == other.ts_us && bits(self) == bits(other)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plausible bar at `ts_us` around `price`.
    pub(crate) fn bar_at(ts_us: i64, price: f64) -> Bar {
        Bar {
            ts_us,
            open: price,
            high: price + 0.5,
            low: price - 0.5,
            close: price + 0.25,
            volume: 100.0,
            trade_count: Some(3),
            vwap: Some(price + 0.1),
        }
    }

    #[test]
    fn a_float_is_a_count_as_long_as_it_names_one_number() {
        for (number, count) in [
            (0.0, 0),
            (-0.0, 0),
            (12.0, 12),
            (-3.0, -3),
            (LARGEST_EXACT, 9_007_199_254_740_992),
        ] {
            assert_eq!(whole_count(number), Some(count), "{number}");
        }
        // The last one is the nearest float of a number with a fraction, as a fuzzer found.
        for number in [
            0.5,
            f64::NAN,
            f64::INFINITY,
            LARGEST_EXACT * 2.0,
            900_925_004_956_988_895.037,
        ] {
            assert_eq!(whole_count(number), None, "{number}");
        }
    }

    #[test]
    fn a_plausible_bar_breaks_no_rule() {
        assert_eq!(bar_at(0, 10.0).broken_rule(), None);
        let zero_volume = Bar {
            volume: 0.0,
            vwap: Some(99.0),
            ..bar_at(0, 10.0)
        };
        assert_eq!(
            zero_volume.broken_rule(),
            None,
            "zero volume and a vwap outside low..high are warnings, not faults"
        );
    }

    #[test]
    fn each_rule_is_found() {
        let good = bar_at(0, 10.0);
        let cases = [
            (
                Bar {
                    close: f64::NAN,
                    ..good
                },
                HardRule::NotFinite,
            ),
            (
                Bar {
                    vwap: Some(f64::INFINITY),
                    ..good
                },
                HardRule::NotFinite,
            ),
            (Bar { low: 0.0, ..good }, HardRule::PriceNotPositive),
            (
                Bar {
                    high: 1e308,
                    ..good
                },
                HardRule::Implausible,
            ),
            (
                Bar {
                    volume: 1e15,
                    ..good
                },
                HardRule::Implausible,
            ),
            (Bar { open: -1.0, ..good }, HardRule::PriceNotPositive),
            (Bar { low: 10.1, ..good }, HardRule::LowAboveBody),
            (Bar { high: 10.2, ..good }, HardRule::HighBelowBody),
            (
                Bar {
                    volume: -1.0,
                    ..good
                },
                HardRule::NegativeVolume,
            ),
            (
                Bar {
                    trade_count: Some(-1),
                    ..good
                },
                HardRule::NegativeVolume,
            ),
            (
                Bar {
                    ts_us: 30_000_000,
                    ..good
                },
                HardRule::OffMinute,
            ),
        ];
        for (bar, rule) in cases {
            assert_eq!(bar.broken_rule(), Some(rule), "{bar:?}");
        }
    }

    #[test]
    fn rule_names_are_stable_and_read_back() {
        for rule in HardRule::ALL {
            assert_eq!(HardRule::find_by_name(rule.as_str()), Some(rule));
        }
    }
}
