//! Bars as plain columns without any promise: what providers deliver and batches are built from.

use super::bar::Bar;

/// A column some of whose values are absent; absent ones hold `T::default()`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NullableColumn<T> {
    values: Vec<T>,
    present: Vec<bool>,
}

impl<T: Copy + Default> NullableColumn<T> {
    /// An empty column with room for `rows`.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows),
            present: Vec::with_capacity(rows),
        }
    }

    /// Makes room for `rows` more.
    pub fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
        self.present.reserve(rows);
    }

    /// Joins values and their presence; `None` when the lengths differ.
    pub fn from_parts(values: Vec<T>, present: Vec<bool>) -> Option<Self> {
        (values.len() == present.len()).then_some(Self { values, present })
    }

    /// Appends one value.
    pub fn push(&mut self, value: Option<T>) {
        self.values.push(value.unwrap_or_default());
        self.present.push(value.is_some());
    }

    /// The value in `row`, `None` when absent.
    ///
    /// # Panics
    /// When `row` is not below [`len`](Self::len).
    pub fn get(&self, row: usize) -> Option<T> {
        self.present[row].then(|| self.values[row])
    }

    /// Replaces the value in `row`.
    ///
    /// # Panics
    /// When `row` is not below [`len`](Self::len).
    pub fn set(&mut self, row: usize, value: Option<T>) {
        self.values[row] = value.unwrap_or_default();
        self.present[row] = value.is_some();
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values, absent ones as `T::default()`.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Which rows have a value.
    pub fn present(&self) -> &[bool] {
        &self.present
    }

    /// Takes the column apart: the values, absent ones as `T::default()`, and which rows have one.
    pub fn into_parts(self) -> (Vec<T>, Vec<bool>) {
        (self.values, self.present)
    }

    /// Appends the rows `rows` of `other`.
    pub fn extend_from(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        self.values.extend_from_slice(&other.values[rows.clone()]);
        self.present.extend_from_slice(&other.present[rows]);
    }
}

/// Bars in columns of equal length, in any order and unproven.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarColumns {
    /// Start of each bar, UTC microseconds.
    pub ts_us: Vec<i64>,
    /// First prices.
    pub open: Vec<f64>,
    /// Highest prices.
    pub high: Vec<f64>,
    /// Lowest prices.
    pub low: Vec<f64>,
    /// Last prices.
    pub close: Vec<f64>,
    /// Volumes, shares or units.
    pub volume: Vec<f64>,
    /// Numbers of trades.
    pub trade_count: NullableColumn<i64>,
    /// Volume-weighted average prices.
    pub vwap: NullableColumn<f64>,
}

impl BarColumns {
    /// Empty columns with room for `rows`.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            ts_us: Vec::with_capacity(rows),
            open: Vec::with_capacity(rows),
            high: Vec::with_capacity(rows),
            low: Vec::with_capacity(rows),
            close: Vec::with_capacity(rows),
            volume: Vec::with_capacity(rows),
            trade_count: NullableColumn::with_capacity(rows),
            vwap: NullableColumn::with_capacity(rows),
        }
    }

    /// The rows of all `parts`, one part after the other.
    pub fn concat(parts: &[Self]) -> Self {
        let mut columns = Self::with_capacity(parts.iter().map(Self::len).sum());
        for part in parts {
            columns.extend_from(part, 0..part.len());
        }
        columns
    }

    /// Makes room for `rows` more.
    pub fn reserve(&mut self, rows: usize) {
        self.ts_us.reserve(rows);
        self.open.reserve(rows);
        self.high.reserve(rows);
        self.low.reserve(rows);
        self.close.reserve(rows);
        self.volume.reserve(rows);
        self.trade_count.reserve(rows);
        self.vwap.reserve(rows);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ts_us.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ts_us.is_empty()
    }

    /// Appends one bar.
    pub fn push(&mut self, bar: Bar) {
        self.ts_us.push(bar.ts_us);
        self.open.push(bar.open);
        self.high.push(bar.high);
        self.low.push(bar.low);
        self.close.push(bar.close);
        self.volume.push(bar.volume);
        self.trade_count.push(bar.trade_count);
        self.vwap.push(bar.vwap);
    }

    /// The bar in `row`.
    ///
    /// # Panics
    /// When `row` is not below [`len`](Self::len).
    pub fn bar(&self, row: usize) -> Bar {
        Bar {
            ts_us: self.ts_us[row],
            open: self.open[row],
            high: self.high[row],
            low: self.low[row],
            close: self.close[row],
            volume: self.volume[row],
            trade_count: self.trade_count.get(row),
            vwap: self.vwap.get(row),
        }
    }

    /// Replaces the bar in `row`.
    ///
    /// # Panics
    /// When `row` is not below [`len`](Self::len).
    pub fn set(&mut self, row: usize, bar: Bar) {
        self.ts_us[row] = bar.ts_us;
        self.open[row] = bar.open;
        self.high[row] = bar.high;
        self.low[row] = bar.low;
        self.close[row] = bar.close;
        self.volume[row] = bar.volume;
        self.trade_count.set(row, bar.trade_count);
        self.vwap.set(row, bar.vwap);
    }

    /// Appends the rows `rows` of `other`.
    pub fn extend_from(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        self.ts_us.extend_from_slice(&other.ts_us[rows.clone()]);
        self.open.extend_from_slice(&other.open[rows.clone()]);
        self.high.extend_from_slice(&other.high[rows.clone()]);
        self.low.extend_from_slice(&other.low[rows.clone()]);
        self.close.extend_from_slice(&other.close[rows.clone()]);
        self.volume.extend_from_slice(&other.volume[rows.clone()]);
        self.trade_count
            .extend_from(&other.trade_count, rows.clone());
        self.vwap.extend_from(&other.vwap, rows);
    }

    /// Whether all columns have the same length.
    pub fn has_equal_lengths(&self) -> bool {
        let rows = self.len();
        [
            self.open.len(),
            self.high.len(),
            self.low.len(),
            self.close.len(),
            self.volume.len(),
            self.trade_count.len(),
            self.vwap.len(),
        ]
        .iter()
        .all(|&len| len == rows)
    }

    /// The same rows ascending by time; rows of equal time keep their order.
    pub fn sorted_by_time(self) -> Self {
        if self.ts_us.is_sorted() {
            return self;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&row| self.ts_us[row]);
        let mut sorted = Self::with_capacity(self.len());
        for row in order {
            sorted.push(self.bar(row));
        }
        sorted
    }
}

impl FromIterator<Bar> for BarColumns {
    fn from_iter<I: IntoIterator<Item = Bar>>(bars: I) -> Self {
        let mut columns = Self::default();
        for bar in bars {
            columns.push(bar);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::super::bar::tests::bar_at;
    use super::*;

    #[test]
    fn sorting_keeps_whole_rows_together() {
        let columns: BarColumns = [
            bar_at(120_000_000, 3.0),
            bar_at(0, 1.0),
            bar_at(60_000_000, 2.0),
        ]
        .into_iter()
        .collect();
        let sorted = columns.sorted_by_time();
        for (row, price) in [(0, 1.0), (1, 2.0), (2, 3.0)] {
            assert_eq!(sorted.bar(row), bar_at(sorted.ts_us[row], price));
        }
    }

    #[test]
    fn absent_values_stay_absent() {
        let mut columns = BarColumns::default();
        columns.push(Bar {
            vwap: None,
            trade_count: None,
            ..bar_at(0, 1.0)
        });
        assert_eq!(columns.bar(0).vwap, None);
        columns.set(0, bar_at(0, 2.0));
        assert_eq!(columns.bar(0), bar_at(0, 2.0));
        assert!(columns.has_equal_lengths());
    }
}
