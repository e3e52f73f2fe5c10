//! The validation report as JUnit XML, which CI systems show: one suite a series, one case a rule that found something.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::domain::{Finding, Rule, Severity, Symbol};

/// Findings that the text of a case names; the others are counted.
const NAMED_FINDINGS: usize = 20;

/// Collects findings and writes them as JUnit XML.
#[derive(Debug, Default)]
pub struct JunitReport {
    suites: BTreeMap<String, BTreeMap<Rule, Case>>,
}

#[derive(Debug, Default)]
struct Case {
    worst: Option<Severity>,
    findings: u64,
    lines: Vec<String>,
}

impl JunitReport {
    /// Notes that a series was checked.
    pub fn add_series(&mut self, dataset: &str, symbol: &str) {
        self.suites
            .entry(format!("{dataset} {symbol}"))
            .or_default();
    }

    /// Adds a finding that is not acknowledged.
    pub fn add(&mut self, finding: &Finding) {
        let symbol = finding.symbol.as_ref().map_or("(all)", Symbol::as_str);
        let suite = self.suites.entry(format!("{} {symbol}", finding.dataset));
        let case = suite.or_default().entry(finding.rule).or_default();
        case.worst = case.worst.max(Some(finding.severity));
        case.findings += 1;
        if case.lines.len() < NAMED_FINDINGS {
            let session = finding
                .session
                .map(|date| format!("{date}: "))
                .unwrap_or_default();
            case.lines.push(format!("{session}{}", finding.message));
        }
    }

    /// The document. A case fails when its gravest finding is at least `fails_from`.
    pub fn render(&self, fails_from: Option<Severity>) -> String {
        let fails = |case: &Case| {
            fails_from.is_some_and(|least| case.worst.is_some_and(|worst| worst >= least))
        };
        let cases = |suite: &BTreeMap<Rule, Case>| {
            (
                suite.len().max(1),
                suite.values().filter(|case| fails(case)).count(),
            )
        };
        let (tests, failures) = self
            .suites
            .values()
            .map(cases)
            .fold((0, 0), |sum, cases| (sum.0 + cases.0, sum.1 + cases.1));
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        _ = writeln!(
            xml,
            "<testsuites name=\"marketpipe validate\" tests=\"{tests}\" failures=\"{failures}\">"
        );
        for (name, suite) in &self.suites {
            let (tests, failures) = cases(suite);
            let name = escaped(name);
            _ = writeln!(
                xml,
                "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">"
            );
            if suite.is_empty() {
                _ = writeln!(
                    xml,
                    "    <testcase classname=\"{name}\" name=\"all rules\"/>"
                );
            }
            for (rule, case) in suite {
                let title = escaped(&format!("{rule} {}", rule.text().title));
                let more = case.findings - u64::try_from(case.lines.len()).unwrap_or(case.findings);
                let mut text = case.lines.join("\n");
                if more > 0 {
                    _ = write!(text, "\n{more} more");
                }
                let (text, worst) = (escaped(&text), case.worst.map_or("", Severity::as_str));
                let inside = if fails(case) {
                    let message = format!("{} findings: {}", case.findings, rule.text().hint);
                    format!(
                        "<failure type=\"{worst}\" message=\"{}\">{text}</failure>",
                        escaped(&message)
                    )
                } else {
                    format!("<system-out>{text}</system-out>")
                };
                _ = writeln!(
                    xml,
                    "    <testcase classname=\"{name}\" name=\"{title}\">{inside}</testcase>"
                );
            }
            xml.push_str("  </testsuite>\n");
        }
        xml.push_str("</testsuites>\n");
        xml
    }
}

/// Text for XML: what it may not hold at all is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timeframe;

    #[test]
    fn cases_fail_from_the_severity_that_was_asked_for() {
        let mut report = JunitReport::default();
        report.add_series("a/b/raw", "CLEAN");
        let finding = |severity| Finding {
            rule: Rule::Spike,
            severity,
            dataset: "a/b/raw".parse().unwrap(),
            symbol: Some("AAPL".parse().unwrap()),
            timeframe: Timeframe::M1,
            session: Some("2024-07-02".parse().unwrap()),
            ts_us: None,
            value: String::new(),
            expected: String::new(),
            message: "<a> & \"b\" \u{1b}".into(),
            bar: None,
        };
        for _ in 0..25 {
            report.add(&finding(Severity::Warning));
        }
        let passing = report.render(Some(Severity::Error));
        assert!(passing.contains("tests=\"2\" failures=\"0\""), "{passing}");
        assert!(passing.contains("<system-out>2024-07-02: &lt;a&gt; &amp; &quot;b&quot; \u{fffd}"));
        assert!(passing.contains("\n5 more</system-out>"));
        let failing = report.render(Some(Severity::Warning));
        assert!(failing.contains("failures=\"1\""));
        assert!(failing.contains("<failure type=\"warning\" message=\"25 findings: "));
        assert!(!report.render(None).contains("<failure"));
    }
}
