//! Prometheus' text format 0.0.4: what servers, the node exporter's textfile collector and `promtool` read alike.

use std::fmt::Write as _;

use crate::domain::metric::{
    BUCKET_BOUNDS, Histogram, Metric, MetricSeries, OUTCOMES, RunCommand, Sample,
};

/// Which series are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Those of which there are few.
    #[default]
    Usual,
    /// Those of single symbols, too: one or two for each.
    Symbols,
}

impl Detail {
    fn shows(self, metric: Metric) -> bool {
        self == Self::Symbols || !metric.text().labels.contains(&"symbol")
    }
}

/// Writes every series with its value: counters and durations as `totals` have them, what is stored as `gauges` have it.
///
/// A metric that nothing was heard of yet is left out; of runs there is a zero for each way to end.
pub fn render(
    totals: &[(MetricSeries, Sample)],
    gauges: &[(MetricSeries, f64)],
    detail: Detail,
) -> String {
    let mut text = String::new();
    for metric in Metric::ALL {
        if !detail.shows(metric) {
            continue;
        }
        let is_it = |series: &MetricSeries| series.metric == metric;
        let mut lines = String::new();
        for (series, sample) in totals.iter().filter(|(series, _)| is_it(series)) {
            match sample {
                Sample::Counter(number) => {
                    push_line(&mut lines, series, "", None, &number.to_string());
                }
                Sample::Histogram(histogram) => push_histogram(&mut lines, series, histogram),
                // What it was at the end of the last run; the gauges have what it is.
                Sample::Gauge(_) => {}
            }
        }
        for (series, number) in gauges.iter().filter(|(series, _)| is_it(series)) {
            push_line(&mut lines, series, "", None, &number.to_string());
        }
        if metric == Metric::Runs {
            lines.push_str(&runs_that_never_were(totals));
        }
        if !lines.is_empty() {
            let about = metric.text();
            let (name, help, kind) = (about.name, escaped(about.help), about.kind.as_str());
            text.push_str(&format!(
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}"
            ));
        }
    }
    text
}

/// Outcomes of which there was no run yet, as zeros: the first failure is an increase then, and not a new series.
fn runs_that_never_were(totals: &[(MetricSeries, Sample)]) -> String {
    let mut lines = String::new();
    for command in RunCommand::ALL {
        for outcome in OUTCOMES {
            let series = Metric::Runs.of(&[command.as_str(), outcome]);
            if !totals.iter().any(|(known, _)| *known == series) {
                push_line(&mut lines, &series, "", None, "0");
            }
        }
    }
    lines
}

fn push_histogram(lines: &mut String, series: &MetricSeries, histogram: &Histogram) {
    let mut below = 0;
    for (bucket, count) in histogram.counts.iter().enumerate() {
        below += count;
        let bound = BUCKET_BOUNDS.get(bucket).map(ToString::to_string);
        let bound = bound.unwrap_or_else(|| "+Inf".to_owned());
        push_line(lines, series, "_bucket", Some(&bound), &below.to_string());
    }
    push_line(lines, series, "_sum", None, &histogram.sum.to_string());
    push_line(lines, series, "_count", None, &below.to_string());
}

fn push_line(
    lines: &mut String,
    series: &MetricSeries,
    ending: &str,
    bound: Option<&str>,
    value: &str,
) {
    let labels = series.labels().chain(bound.map(|bound| ("le", bound)));
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value).replace('"', "\\\"")))
        .collect();
    let labels = match labels.len() {
        0 => String::new(),
        _ => format!("{{{}}}", labels.join(",")),
    };
    _ = writeln!(lines, "{}{ending}{labels} {value}", series.metric.name());
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_gauges_and_durations_have_help_type_and_labels() {
        let mut durations = Histogram::default();
        durations.observe(0.0012);
        durations.observe(0.5);
        durations.observe(1e6);
        let totals = [
            (
                Metric::RowsNew.of(&["alpaca/sip/raw"]),
                Sample::Counter(1_234_567.0),
            ),
            (
                Metric::RequestSeconds.of(&["h", "ok"]),
                Sample::Histogram(Box::new(durations)),
            ),
            (Metric::StoredRows.of(&["a/b/c", "1m"]), Sample::Gauge(7.0)),
            (
                Metric::SymbolRows.of(&["alpaca/sip/raw", "AAPL"]),
                Sample::Counter(1.0),
            ),
        ];
        let gauges = [(Metric::FreeBytes.of(&[]), 1e15)];
        let text = render(&totals, &gauges, Detail::Usual);
        let counter = "# HELP marketpipe_rows_new_total Rows stored for minutes that were not stored before.\n\
                       # TYPE marketpipe_rows_new_total counter\n\
                       marketpipe_rows_new_total{dataset=\"alpaca/sip/raw\"} 1234567\n";
        assert!(text.starts_with(counter), "{text}");
        for line in [
            "marketpipe_request_duration_seconds_bucket{host=\"h\",result=\"ok\",le=\"0.001\"} 0",
            "marketpipe_request_duration_seconds_bucket{host=\"h\",result=\"ok\",le=\"0.0015\"} 1",
            "marketpipe_request_duration_seconds_bucket{host=\"h\",result=\"ok\",le=\"0.68\"} 2",
            "marketpipe_request_duration_seconds_bucket{host=\"h\",result=\"ok\",le=\"100\"} 2",
            "marketpipe_request_duration_seconds_bucket{host=\"h\",result=\"ok\",le=\"+Inf\"} 3",
            "marketpipe_request_duration_seconds_count{host=\"h\",result=\"ok\"} 3",
            "# TYPE marketpipe_disk_free_bytes gauge",
            "marketpipe_disk_free_bytes 1000000000000000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(
            !text.contains("stored_rows"),
            "a gauge of the past is not shown"
        );
        assert!(!text.contains("AAPL"), "{text}");
        let all = render(&totals, &gauges, Detail::Symbols);
        assert!(all.contains("symbol=\"AAPL\"} 1\n"), "{all}");
    }

    #[test]
    fn values_of_labels_are_escaped() {
        let series = Metric::CircuitOpenings.of(&["a\"b\\c\nd"]);
        let text = render(&[(series, Sample::Counter(1.0))], &[], Detail::Usual);
        assert!(text.contains("{host=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
    }
}
