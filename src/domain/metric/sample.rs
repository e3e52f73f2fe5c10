//! What was counted: numbers, and durations by size.

use super::MetricSeries;

/// Upper bounds of a histogram's buckets, seconds: six a decade, from a millisecond to nearly three hours.
pub const BUCKET_BOUNDS: [f64; 43] = [
    0.001, 0.0015, 0.0022, 0.0033, 0.0047, 0.0068, 0.01, 0.015, 0.022, 0.033, 0.047, 0.068, 0.1,
    0.15, 0.22, 0.33, 0.47, 0.68, 1.0, 1.5, 2.2, 3.3, 4.7, 6.8, 10.0, 15.0, 22.0, 33.0, 47.0, 68.0,
    100.0, 150.0, 220.0, 330.0, 470.0, 680.0, 1000.0, 1500.0, 2200.0, 3300.0, 4700.0, 6800.0,
    10_000.0,
];

/// Durations by size.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// How many lie in each bucket, the last one above all bounds.
    pub counts: [u64; BUCKET_BOUNDS.len() + 1],
    /// Their sum, seconds.
    pub sum: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKET_BOUNDS.len() + 1],
            sum: 0.0,
        }
    }
}

impl Histogram {
    /// Adds a duration, seconds.
    pub fn observe(&mut self, seconds: f64) {
        let bucket = BUCKET_BOUNDS.partition_point(|&bound| bound < seconds);
        self.counts[bucket] += 1;
        self.sum += seconds;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds those of another one.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }

    /// The duration below which the share `quantile` of them lies, within its bucket in proportion, seconds; `None` without
    /// any. What is above all bounds is taken for the last bound.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = quantile * as_f64(count);
        let mut below = 0.0;
        for (bucket, &in_bucket) in self.counts.iter().enumerate() {
            let in_bucket = as_f64(in_bucket);
            if in_bucket > 0.0 && below + in_bucket >= rank {
                let Some(&upper) = BUCKET_BOUNDS.get(bucket) else {
                    break;
                };
                let lower = bucket.checked_sub(1).map_or(0.0, |at| BUCKET_BOUNDS[at]);
                let share = ((rank - below) / in_bucket).clamp(0.0, 1.0);
                return Some(lower + (upper - lower) * share);
            }
            below += in_bucket;
        }
        BUCKET_BOUNDS.last().copied()
    }
}

/// A count as a number that can be divided; exact below 2^53.
pub fn as_f64(count: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts stay far below 2^53 in any lake"
    )]
    let number = count as f64;
    number
}

/// A value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// What was added.
    Counter(f64),
    /// What it is.
    Gauge(f64),
    /// What was observed.
    Histogram(Box<Histogram>),
}

impl Sample {
    /// Takes a later value in: counters and histograms add up, of gauges the later one counts.
    pub fn merge(&mut self, later: &Self) {
        match (self, later) {
            (Self::Counter(sum), Self::Counter(more)) => *sum += more,
            (Self::Histogram(all), Self::Histogram(more)) => all.merge(more),
            (value, later) => *value = later.clone(),
        }
    }

    /// The value as one number: of a histogram the sum.
    pub fn number(&self) -> f64 {
        match self {
            Self::Counter(number) | Self::Gauge(number) => *number,
            Self::Histogram(histogram) => histogram.sum,
        }
    }
}

/// What happened to a series within an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPoint {
    /// The series.
    pub series: MetricSeries,
    /// Start of the interval, UTC seconds.
    pub start_s: i64,
    /// Length of the interval, seconds.
    pub length_s: i64,
    /// The value.
    pub sample: Sample,
}

#[cfg(test)]
mod tests {
    use super::super::Metric;
    use super::*;

    #[test]
    fn the_bounds_of_buckets_are_those_that_every_database_counts_by() {
        // Stored counts name their bucket by its number: with other bounds old measurements would mean something else.
        let decade = [1.0, 1.5, 2.2, 3.3, 4.7, 6.8];
        let bounds = (-3..4).flat_map(|power| decade.map(|step| step * 10_f64.powi(power)));
        let bounds: Vec<f64> = bounds.chain([10_000.0]).collect();
        assert_eq!(bounds.len(), BUCKET_BOUNDS.len());
        for (bound, expected) in BUCKET_BOUNDS.iter().zip(bounds) {
            assert!((bound / expected - 1.0).abs() < 1e-9, "{bound} {expected}");
        }
    }

    #[test]
    fn quantiles_lie_within_a_bucket_of_the_true_ones() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for millis in 1..=1000 {
            histogram.observe(f64::from(millis) / 1000.0);
        }
        for (quantile, truth) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99), (0.1, 0.1)] {
            let found = histogram.quantile(quantile).unwrap();
            assert!((found / truth - 1.0).abs() < 0.05, "{quantile}: {found}");
        }
        assert_eq!(histogram.count(), 1000);
        let mut slow = Histogram::default();
        slow.observe(1e6);
        assert_eq!(slow.quantile(0.5), Some(10_000.0));
        // A bound belongs to the bucket below it.
        let mut exact = Histogram::default();
        exact.observe(0.001);
        assert_eq!(exact.counts[0], 1);
        exact.merge(&slow);
        assert_eq!((exact.count(), exact.sum), (2, 1e6 + 0.001));
    }

    #[test]
    fn counters_add_up_and_of_gauges_the_later_counts() {
        let mut counter = Sample::Counter(1.0);
        counter.merge(&Sample::Counter(2.0));
        assert_eq!(counter, Sample::Counter(3.0));
        let mut gauge = Sample::Gauge(5.0);
        gauge.merge(&Sample::Gauge(2.0));
        assert_eq!(gauge.number(), 2.0);
        let series = Metric::Failures.of(&["alpaca/sip/raw", "network"]);
        assert_eq!(series.label("kind"), Some("network"));
        assert_eq!(series.label("symbol"), None);
    }
}
