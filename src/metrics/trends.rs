//! Windows of time, and what a series came to in them: in this one, usually, and part by part. Pure.

use crate::domain::metric::{MetricPoint, Sample};

/// Windows before this one of which the median is the usual value.
const USUAL_OF: u32 = 4;

/// Parts of a window that a course is drawn of: of a week a quarter of a day each.
const PARTS: u32 = 28;

/// A span of time, UTC seconds; the end is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub start_s: i64,
    /// The second after its last.
    pub end_s: i64,
}

impl Window {
    /// The `length_s` seconds up to and including the second `now_s`.
    pub fn up_to(now_s: i64, length_s: i64) -> Self {
        let end_s = now_s.saturating_add(1);
        Self {
            start_s: end_s.saturating_sub(length_s.max(1)),
            end_s,
        }
    }

    /// Its length, seconds.
    pub const fn length_s(self) -> i64 {
        self.end_s - self.start_s
    }

    /// Whether the second lies in it.
    pub const fn contains(self, second: i64) -> bool {
        self.start_s <= second && second < self.end_s
    }

    /// The windows of the same length before it of which the usual value is made, the newest first; none that begins
    /// before `known_since_s`.
    pub fn usual(self, known_since_s: i64) -> Vec<Self> {
        let before = (1..=USUAL_OF).map(|steps| {
            let shift_s = self.length_s().saturating_mul(steps.into());
            Self {
                start_s: self.start_s.saturating_sub(shift_s),
                end_s: self.end_s.saturating_sub(shift_s),
            }
        });
        before
            .filter(|window| window.start_s >= known_since_s)
            .collect()
    }

    /// This window and those before it of which the usual value may be made.
    pub fn with_usual(self) -> Self {
        let shift_s = self.length_s().saturating_mul(USUAL_OF.into());
        Self {
            start_s: self.start_s.saturating_sub(shift_s),
            end_s: self.end_s,
        }
    }

    /// Its equal parts, the oldest first; together they are the whole window.
    pub fn parts(self) -> Vec<Self> {
        let edge = |part: u32| {
            let share = i128::from(self.length_s()) * i128::from(part) / i128::from(PARTS);
            self.start_s
                .saturating_add(i64::try_from(share).unwrap_or(i64::MAX))
        };
        (0..PARTS)
            .map(|part| Self {
                start_s: edge(part),
                end_s: edge(part + 1),
            })
            .collect()
    }
}

/// What was measured in a window, beside what is usual.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trend {
    /// In the window; `None` when nothing can be said.
    pub value: Option<f64>,
    /// The median of the windows before.
    pub usual: Option<f64>,
    /// Part by part of the window, the oldest first.
    pub course: Vec<Option<f64>>,
}

impl Trend {
    /// Measures each window by itself.
    pub fn of(window: Window, known_since_s: i64, measure: impl Fn(Window) -> Option<f64>) -> Self {
        let usual = window.usual(known_since_s);
        let usual: Vec<f64> = usual.into_iter().filter_map(&measure).collect();
        Self {
            value: measure(window),
            usual: median(usual),
            course: window.parts().into_iter().map(measure).collect(),
        }
    }

    /// By how much the value differs from the usual one, in percent of that.
    pub fn change_pct(&self) -> Option<f64> {
        let (value, usual) = (self.value?, self.usual?);
        (usual != 0.0).then(|| (value - usual) / usual.abs() * 100.0)
    }
}

/// What the points within a window come to, added up; `None` without any.
pub fn sum_within(points: &[&MetricPoint], window: Window) -> Option<Sample> {
    let mut within = points
        .iter()
        .filter(|point| window.contains(point.start_s))
        .map(|point| &point.sample);
    let mut sum = within.next()?.clone();
    for sample in within {
        sum.merge(sample);
    }
    Some(sum)
}

/// The last value of a gauge before the end of the window; `points` are in the order of time.
pub fn last_before_end(points: &[&MetricPoint], window: Window) -> Option<f64> {
    let before = points.iter().rev();
    let mut before = before.skip_while(|point| point.start_s >= window.end_s);
    before.next().map(|point| point.sample.number())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((values[middle - 1] + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::DAY_S;
    use crate::domain::metric::Metric;

    fn point(start_s: i64, value: f64) -> MetricPoint {
        MetricPoint {
            series: Metric::RowsNew.of(&["a/b/c"]),
            start_s,
            length_s: 10,
            sample: Sample::Counter(value),
        }
    }

    #[test]
    fn parts_are_the_window_without_holes() {
        for length_s in [1, 27, 28, 29, DAY_S, 7 * DAY_S] {
            let window = Window::up_to(1_000_000, length_s);
            assert_eq!(window.length_s(), length_s);
            assert!(window.contains(1_000_000) && !window.contains(1_000_001));
            let parts = window.parts();
            assert_eq!(parts[0].start_s, window.start_s);
            assert_eq!(parts.last().unwrap().end_s, window.end_s);
            assert!(
                parts
                    .windows(2)
                    .all(|pair| pair[0].end_s == pair[1].start_s)
            );
        }
    }

    #[test]
    fn the_usual_is_the_median_of_the_windows_before_that_are_known_whole() {
        let points = [
            point(5, 100.0),
            point(15, 7.0),
            point(25, 1.0),
            point(35, 3.0),
        ];
        let points: Vec<&MetricPoint> = points.iter().collect();
        let count = |window| Some(sum_within(&points, window).map_or(0.0, |sum| sum.number()));
        let trend = Trend::of(Window::up_to(39, 10), 0, count);
        assert_eq!((trend.value, trend.usual), (Some(3.0), Some(7.0)));
        assert_eq!(trend.change_pct().map(f64::round), Some(-57.0));
        assert_eq!(trend.course.iter().flatten().sum::<f64>(), 3.0);
        // What began in the middle of a window says nothing about it.
        let trend = Trend::of(Window::up_to(39, 10), 12, count);
        assert_eq!(trend.usual, Some(1.0));
        let trend = Trend::of(Window::up_to(39, 10), 25, count);
        assert_eq!((trend.usual, trend.change_pct()), (None, None));
    }

    #[test]
    fn a_gauge_keeps_its_value_until_the_next_one() {
        let points = [point(5, 100.0), point(15, 7.0)];
        let points: Vec<&MetricPoint> = points.iter().collect();
        let at = |end_s| last_before_end(&points, Window { start_s: 0, end_s });
        assert_eq!(
            [at(5), at(6), at(15), at(99)],
            [None, Some(100.0), Some(100.0), Some(7.0)]
        );
    }

    #[test]
    fn nothing_usual_is_no_change() {
        let zero = Trend {
            value: Some(1.0),
            usual: Some(0.0),
            course: Vec::new(),
        };
        assert_eq!(zero.change_pct(), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
