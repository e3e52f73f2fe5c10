//! The validation report as JUnit XML, which CI systems show: one suite a series, one case a rule that found something.
//! What was not checked is an error, which no setting turns into a success.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};

use crate::domain::{Finding, Rule, Severity, Symbol};

/// Findings that the text of a case names; the others are counted.
const NAMED_FINDINGS: usize = 20;

/// The suite that stands for the run itself; no series is named like it.
const RUN: &str = "the run";

/// Collects findings and writes them as JUnit XML.
#[derive(Debug, Default)]
pub struct JunitReport {
    suites: BTreeMap<String, Suite>,
    partial: Option<String>,
}

#[derive(Debug, Default)]
struct Suite {
    cases: BTreeMap<Rule, Case>,
    /// Why the series could not be checked.
    not_checked: Option<String>,
}

#[derive(Debug, Default)]
struct Case {
    worst: Option<Severity>,
    findings: u64,
    lines: Vec<String>,
}

/// What the head of a suite, or of the document, says.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
}

impl JunitReport {
    /// Notes that a series was checked.
    pub fn add_series(&mut self, dataset: &str, symbol: &str) {
        self.suite(dataset, symbol);
    }

    /// Notes that a series could not be checked: an error in its suite, whatever severity fails a case.
    pub fn add_not_checked(&mut self, dataset: &str, symbol: &str, reason: &str) {
        self.suite(dataset, symbol).not_checked = Some(reason.to_owned());
    }

    /// Notes that less was checked than was asked for, and how much less: a suite of its own with an error, so that
    /// nobody takes the document for that of a whole run.
    pub fn mark_partial(&mut self, how: &str) {
        self.partial = Some(how.to_owned());
    }

    /// Adds a finding that is not acknowledged.
    pub fn add(&mut self, finding: &Finding) {
        let symbol = finding.symbol.as_ref().map_or("(all)", Symbol::as_str);
        let suite = self.suite(&finding.dataset.to_string(), symbol);
        let case = suite.cases.entry(finding.rule).or_default();
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

    fn suite(&mut self, dataset: &str, symbol: &str) -> &mut Suite {
        let name = format!("{dataset} {symbol}");
        self.suites.entry(name).or_default()
    }

    /// The document. A case fails when its gravest finding is at least `fails_from`.
    pub fn render(&self, fails_from: Option<Severity>) -> String {
        let mut all = Counts::default();
        let mut suites = String::new();
        if let Some(how) = &self.partial {
            let counts = Counts {
                tests: 1,
                failures: 0,
                errors: 1,
            };
            all.add(counts);
            write_partial(&mut suites, how, counts);
        }
        for (name, suite) in &self.suites {
            let counts = suite.counts(fails_from);
            all.add(counts);
            suite.write(&mut suites, name, fails_from, counts);
        }
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites name=\"marketpipe validate\" {all}>\n{suites}</testsuites>\n"
        )
    }
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.tests += more.tests;
        self.failures += more.failures;
        self.errors += more.errors;
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tests,
            failures,
            errors,
        } = self;
        write!(
            f,
            "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\""
        )
    }
}

impl Suite {
    fn counts(&self, fails_from: Option<Severity>) -> Counts {
        let errors = usize::from(self.not_checked.is_some());
        Counts {
            // A series without findings is one case that passes.
            tests: (self.cases.len() + errors).max(1),
            failures: (self.cases.values())
                .filter(|case| case.fails(fails_from))
                .count(),
            errors,
        }
    }

    fn write(&self, xml: &mut String, name: &str, fails_from: Option<Severity>, counts: Counts) {
        let name = escaped(name);
        _ = writeln!(xml, "  <testsuite name=\"{name}\" {counts}>");
        if let Some(reason) = &self.not_checked {
            write_error(xml, (&name, "all rules"), "not checked", reason);
        } else if self.cases.is_empty() {
            _ = writeln!(
                xml,
                "    <testcase classname=\"{name}\" name=\"all rules\"/>"
            );
        }
        for (rule, case) in &self.cases {
            let title = escaped(&format!("{rule} {}", rule.text().title));
            let inside = case.inside(*rule, fails_from);
            _ = writeln!(
                xml,
                "    <testcase classname=\"{name}\" name=\"{title}\">{inside}</testcase>"
            );
        }
        xml.push_str("  </testsuite>\n");
    }
}

impl Case {
    fn fails(&self, fails_from: Option<Severity>) -> bool {
        fails_from.is_some_and(|least| self.worst.is_some_and(|worst| worst >= least))
    }

    fn inside(&self, rule: Rule, fails_from: Option<Severity>) -> String {
        let more = self.findings - u64::try_from(self.lines.len()).unwrap_or(self.findings);
        let mut text = self.lines.join("\n");
        if more > 0 {
            _ = write!(text, "\n{more} more");
        }
        let (text, worst) = (escaped(&text), self.worst.map_or("", Severity::as_str));
        if !self.fails(fails_from) {
            return format!("<system-out>{text}</system-out>");
        }
        let noun = if self.findings == 1 {
            "finding"
        } else {
            "findings"
        };
        let message = format!("{} {noun}: {}", self.findings, rule.text().hint);
        let message = escaped(&message);
        format!("<failure type=\"{worst}\" message=\"{message}\">{text}</failure>")
    }
}

fn write_partial(xml: &mut String, how: &str, counts: Counts) {
    _ = writeln!(xml, "  <testsuite name=\"{RUN}\" {counts}>");
    _ = writeln!(
        xml,
        "    <properties><property name=\"partial\" value=\"{}\"/></properties>",
        escaped(how)
    );
    let case = (RUN, "everything was checked");
    write_error(xml, case, "partial", &format!("partial: {how}"));
    xml.push_str("  </testsuite>\n");
}

/// A case that could not be tried; both its names are escaped already.
fn write_error(xml: &mut String, (class, name): (&str, &str), kind: &str, reason: &str) {
    // Some readers show the message and others the text.
    let reason = escaped(reason);
    _ = writeln!(
        xml,
        "    <testcase classname=\"{class}\" name=\"{name}\">\
         <error type=\"{kind}\" message=\"{reason}\">{reason}</error></testcase>"
    );
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

    fn finding(severity: Severity) -> Finding {
        Finding {
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
        }
    }

    #[test]
    fn cases_fail_from_the_severity_that_was_asked_for() {
        let mut report = JunitReport::default();
        report.add_series("a/b/raw", "CLEAN");
        for _ in 0..25 {
            report.add(&finding(Severity::Warning));
        }
        let passing = report.render(Some(Severity::Error));
        assert!(
            passing.contains("tests=\"2\" failures=\"0\" errors=\"0\""),
            "{passing}"
        );
        assert!(passing.contains("<system-out>2024-07-02: &lt;a&gt; &amp; &quot;b&quot; \u{fffd}"));
        assert!(passing.contains("\n5 more</system-out>"));
        assert!(!passing.contains("partial"), "{passing}");
        let failing = report.render(Some(Severity::Warning));
        assert!(failing.contains("failures=\"1\""));
        assert!(failing.contains("<failure type=\"warning\" message=\"25 findings: "));
        assert!(!report.render(None).contains("<failure"));
    }

    #[test]
    fn one_finding_is_counted_in_the_singular() {
        let mut report = JunitReport::default();
        report.add(&finding(Severity::Warning));
        let failing = report.render(Some(Severity::Info));
        assert!(failing.contains("message=\"1 finding: "), "{failing}");
    }

    #[test]
    fn a_partial_run_is_an_error_whatever_severity_fails() {
        let mut report = JunitReport::default();
        report.add_series("a/b/raw", "CLEAN");
        report.mark_partial("1 of 2 series was checked & no more");
        for fails_from in [None, Some(Severity::Info)] {
            let xml = report.render(fails_from);
            assert!(
                xml.contains(
                    "<testsuites name=\"marketpipe validate\" tests=\"2\" failures=\"0\" errors=\"1\">"
                ),
                "{xml}"
            );
            assert!(xml.contains(
                "<property name=\"partial\" value=\"1 of 2 series was checked &amp; no more\"/>"
            ));
            assert!(xml.contains("<error type=\"partial\" message=\"partial: 1 of 2 series"));
        }
    }

    #[test]
    fn a_series_that_could_not_be_checked_is_an_error_of_its_suite() {
        let mut report = JunitReport::default();
        report.add_not_checked("a/b/raw", "MSFT", "disk <gone>");
        report.add_series("a/b/raw", "CLEAN");
        let xml = report.render(None);
        assert!(
            xml.contains(
                "<testsuite name=\"a/b/raw MSFT\" tests=\"1\" failures=\"0\" errors=\"1\">"
            ),
            "{xml}"
        );
        assert!(xml.contains(
            "<testcase classname=\"a/b/raw MSFT\" name=\"all rules\"><error type=\"not checked\" message=\"disk &lt;gone&gt;\">"
        ));
        assert!(xml.contains("<testcase classname=\"a/b/raw CLEAN\" name=\"all rules\"/>"));
    }
}
