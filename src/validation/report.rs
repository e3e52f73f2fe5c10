//! What a validation found, as data. Prints nothing.

use std::time::Duration;

use crate::domain::ports::StoreError;
use crate::domain::{Dataset, Finding, Rule, Severity, Symbol};

use super::completeness::SessionFacts;

/// A finding with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedFinding {
    /// Its id.
    pub id: String,
    /// The finding.
    pub finding: Finding,
    /// Why it was acknowledged, if it was and its bar has not changed since.
    pub acknowledged: Option<String>,
}

/// Takes what a validation finds as it is found: series by series, by place.
pub trait FindingSink {
    /// Takes a finding.
    ///
    /// # Errors
    /// When it cannot be written; the run ends.
    fn take_finding(&mut self, found: &JudgedFinding) -> Result<(), StoreError>;

    /// Takes what was seen of a series.
    ///
    /// # Errors
    /// When it cannot be written; the run ends.
    fn take_series(&mut self, series: &SeriesSummary) -> Result<(), StoreError>;
}

/// What was seen of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSummary {
    /// Dataset of the series.
    pub dataset: Dataset,
    /// Symbol of the series.
    pub symbol: Symbol,
    /// Its sessions, ascending.
    pub sessions: Vec<SessionFacts>,
    /// Findings of each rule that are only counted, since there were too many.
    pub left_out: Vec<(Rule, Severity, u64)>,
}

impl SeriesSummary {
    /// Regular minutes that are there, and that should be.
    pub fn minutes(&self) -> (u64, u64) {
        self.sessions
            .iter()
            .fold((0, 0), |(present, expected), session| {
                (
                    present + u64::from(session.present),
                    expected + u64::from(session.expected),
                )
            })
    }

    /// Regular minutes that are missing, in percent.
    pub fn missing_pct(&self) -> f64 {
        let (present, expected) = self.minutes();
        percent_of(expected.saturating_sub(present), expected)
    }
}

/// So many out of so many, in percent; zero of nothing.
fn percent_of(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of minutes are far below 2^53"
    )]
    let share = part as f64 / whole as f64;
    share * 100.0
}

/// How often a rule found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleCount {
    /// The rule.
    pub rule: Rule,
    /// The severest of its findings.
    pub severity: Severity,
    /// Findings that are not acknowledged.
    pub open: u64,
    /// Acknowledged findings.
    pub acknowledged: u64,
    /// Findings beyond those that are kept of a series, only counted.
    pub left_out: u64,
}

/// The result of a validation.
#[derive(Debug, Clone, Default)]
pub struct ValidationReport {
    /// Series that were checked.
    pub series: usize,
    /// Series that were not checked because the run was ended.
    pub series_not_done: usize,
    /// Files that were read.
    pub files: u64,
    /// Minutes that were read.
    pub minutes: u64,
    /// Sessions that were checked, over all series.
    pub sessions: u64,
    /// Regular minutes that are there.
    pub minutes_present: u64,
    /// Regular minutes that should be there.
    pub minutes_expected: u64,
    /// Rules that found something, by id.
    pub rules: Vec<RuleCount>,
    /// Series of which more minutes are missing than is allowed, with the percentage.
    pub too_incomplete: Vec<(Dataset, Symbol, f64)>,
    /// Series that could not be checked, and why.
    pub failures: Vec<(Dataset, Symbol, String)>,
    /// Why findings could not be kept in the database, if they could not.
    pub not_kept: Option<String>,
    /// Whether the run was ended before its work was done.
    pub is_stopped: bool,
    /// Wall time.
    pub elapsed: Duration,
}

impl ValidationReport {
    /// Findings of a severity that are not acknowledged, those that are only counted among them.
    pub fn open(&self, severity: Severity) -> u64 {
        let of_severity = self.rules.iter().filter(|count| count.severity == severity);
        of_severity.map(|count| count.open + count.left_out).sum()
    }

    /// Acknowledged findings.
    pub fn acknowledged(&self) -> u64 {
        self.rules.iter().map(|count| count.acknowledged).sum()
    }

    /// Whether there are open findings of this severity or a graver one.
    pub fn reaches(&self, severity: Severity) -> bool {
        Severity::ALL
            .into_iter()
            .any(|graver| graver >= severity && self.open(graver) > 0)
    }

    /// Regular minutes that are missing, in percent.
    pub fn missing_pct(&self) -> f64 {
        let missing = self.minutes_expected.saturating_sub(self.minutes_present);
        percent_of(missing, self.minutes_expected)
    }

    pub(super) fn count(
        &mut self,
        rule: Rule,
        severity: Severity,
        add: impl FnOnce(&mut RuleCount),
    ) {
        let key = |count: &RuleCount| (count.rule, count.severity);
        let at = match self.rules.binary_search_by_key(&(rule, severity), key) {
            Ok(at) => at,
            Err(at) => {
                let fresh = RuleCount {
                    rule,
                    severity,
                    open: 0,
                    acknowledged: 0,
                    left_out: 0,
                };
                self.rules.insert(at, fresh);
                at
            }
        };
        add(&mut self.rules[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_minutes_are_a_share_of_those_that_should_be_there() {
        let report = |present, expected| ValidationReport {
            minutes_present: present,
            minutes_expected: expected,
            ..ValidationReport::default()
        };
        assert_eq!(report(390, 400).missing_pct(), 2.5);
        assert_eq!(report(0, 400).missing_pct(), 100.0);
        assert_eq!(report(400, 400).missing_pct(), 0.0);
    }

    #[test]
    fn counts_are_kept_apart_by_rule_and_severity_in_order() {
        let mut report = ValidationReport::default();
        for (rule, severity) in [
            (Rule::Split, Severity::Warning),
            (Rule::Jump, Severity::Warning),
            (Rule::Split, Severity::Info),
            (Rule::Split, Severity::Warning),
        ] {
            report.count(rule, severity, |count| count.open += 1);
        }
        let counts: Vec<_> = report
            .rules
            .iter()
            .map(|count| (count.rule, count.severity, count.open))
            .collect();
        assert_eq!(
            counts,
            [
                (Rule::Jump, Severity::Warning, 1),
                (Rule::Split, Severity::Info, 1),
                (Rule::Split, Severity::Warning, 2)
            ]
        );
        assert_eq!(
            (report.open(Severity::Warning), report.open(Severity::Info)),
            (3, 1)
        );
    }

    #[test]
    fn acknowledged_findings_reach_nothing_and_left_out_ones_do() {
        let mut report = ValidationReport::default();
        report.count(Rule::Jump, Severity::Warning, |count| {
            count.acknowledged += 1
        });
        report.count(Rule::Split, Severity::Info, |count| count.acknowledged += 2);
        assert!(!report.reaches(Severity::Info));
        report.count(Rule::Jump, Severity::Warning, |count| count.left_out += 3);
        assert!(report.reaches(Severity::Warning) && report.reaches(Severity::Info));
        assert!(!report.reaches(Severity::Error));
        assert_eq!(
            (report.open(Severity::Warning), report.acknowledged()),
            (3, 3)
        );
        assert_eq!(report.missing_pct(), 0.0);
    }
}
