//! The price axis: a range with room around the prices, and round prices to label.

/// A linear scale of prices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceScale {
    /// The lowest price that is drawn.
    pub low: f64,
    /// The highest price that is drawn.
    pub high: f64,
    /// From one labelled price to the next: 1, 2 or 5 times a power of ten.
    pub step: f64,
}

impl PriceScale {
    /// A scale over `prices`, all finite, with some room around them and at most `most_steps` steps; without prices from
    /// 0 to 1.
    pub fn over(prices: impl Iterator<Item = f64>, most_steps: u8) -> Self {
        let (low, high) = prices.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), price| {
            (low.min(price), high.max(price))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let room = ((high - low) * 0.06)
            .max(low.abs().max(high.abs()) * 0.0005)
            .max(1e-6);
        let (low, high) = (low - room, high + room);
        // Found by multiplying, because logarithms need not give the same last bit on every machine.
        let rough = (high - low) / f64::from(most_steps.max(1));
        let mut power = 1.0;
        while power * 10.0 <= rough {
            power *= 10.0;
        }
        while power > rough {
            power /= 10.0;
        }
        let steps = [0.5, 1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        let wide_enough = steps
            .iter()
            .rposition(|step| *step < rough)
            .map_or(0, |below| below + 1);
        // A step longer than the whole range may pass over it; the next smaller one cannot.
        let is_seen = |step: &f64| (low / step).ceil() * step <= high;
        let step = steps[..=wide_enough.min(4)]
            .iter()
            .copied()
            .rfind(is_seen)
            .unwrap_or(rough);
        Self { low, high, step }
    }

    /// The round prices within the scale, ascending.
    pub fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step).ceil();
        (0..=u32::from(u8::MAX))
            // Adding 0 turns a negative zero into a plain one.
            .map(|index| (first + f64::from(index)) * self.step + 0.0)
            .take_while(|price| *price <= self.high)
            .collect()
    }

    /// Decimals that tell neighbouring ticks apart, 8 at most.
    pub fn decimals(&self) -> usize {
        let mut decimals = 0;
        let mut shown = self.step;
        while shown < 0.999 && decimals < 8 {
            shown *= 10.0;
            decimals += 1;
        }
        decimals
    }

    /// Where a price lies, 0 at the lowest and 1 at the highest.
    pub fn share(&self, price: f64) -> f64 {
        (price - self.low) / (self.high - self.low)
    }
}
