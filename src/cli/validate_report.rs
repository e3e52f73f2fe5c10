//! Where findings go as they are found: rows on stdout, the CSV report, JUnit XML, and the HTML page.

mod page_lines;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::PathBuf;

use page_lines::{chart_of, finding_line, rule_lines, series_line};

use super::exit::CliError;
use super::output::{
    OutputError, OutputFormat, RowWriter, Value, escape_for_terminal, with_thousands,
};
use crate::app::Stores;
use crate::domain::instant::{SECOND_US, format_utc};
use crate::domain::ports::{StoreError, StoreErrorKind};
use crate::domain::{Finding, Severity, Symbol, Timeframe};
use crate::infrastructure::csv_report::{CsvReport, REPORT_COLUMNS, report_row};
use crate::infrastructure::html_report::{Chart, NotCheckedLine, Page, Totals};
use crate::infrastructure::junit_report::JunitReport;
use crate::validation::{FindingSink, JudgedFinding, SeriesSummary, ValidationReport};

/// Findings on the page; all of them are in the CSV report.
const FINDINGS_ON_PAGE: usize = 1_000;
/// Findings whose bars are drawn.
const CHARTS_ON_PAGE: usize = 12;
/// Findings that are remembered for the summary.
const REMEMBERED: usize = 100;

/// Everything that wants to hear of findings.
#[derive(Default)]
pub(super) struct Reports<'a> {
    pub(super) csv: Option<CsvReport>,
    rows: Option<RowWriter<'a>>,
    junit: Option<JunitReport>,
    page: Option<Page>,
    /// What charts are drawn of.
    to_draw: Vec<Finding>,
    /// Open findings of severity error and warning, the first of each.
    remembered: [Vec<JudgedFinding>; 2],
    open: [u64; 2],
}

impl<'a> Reports<'a> {
    /// Writes a row for each finding to `out`.
    pub(super) fn stream_rows(
        &mut self,
        format: OutputFormat,
        out: &'a mut dyn Write,
    ) -> Result<(), CliError> {
        self.rows = Some(RowWriter::begin("findings", &REPORT_COLUMNS, format, out)?);
        Ok(())
    }

    pub(super) fn collect_junit(&mut self, is_wanted: bool) {
        self.junit = is_wanted.then(JunitReport::default);
    }

    pub(super) fn collect_page(&mut self, is_wanted: bool) {
        self.page = is_wanted.then(Page::default);
    }

    /// Ends the rows on stdout; a reader that went away is no failure.
    pub(super) fn finish_rows(&mut self) -> Result<(), CliError> {
        match self.rows.take().map(RowWriter::finish) {
            Some(Err(error)) if !error.is_closed_pipe() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Puts the CSV report in its place.
    pub(super) fn finish_csv(&mut self) -> Result<Option<PathBuf>, CliError> {
        Ok(self.csv.take().map(CsvReport::finish).transpose()?)
    }

    /// The JUnit document about the run that ended with `report`.
    pub(super) fn junit(
        &mut self,
        report: &ValidationReport,
        fails_from: Option<Severity>,
    ) -> String {
        let mut junit = self.junit.take().unwrap_or_default();
        for (dataset, symbol, reason) in &report.failures {
            junit.add_not_checked(&dataset.to_string(), symbol.as_str(), reason);
        }
        if let Some(how) = how_partial(report) {
            junit.mark_partial(&how);
        }
        junit.render(fails_from)
    }

    /// The gravest findings in a line each, and how many more there are.
    pub(super) fn gravest(&self, most: usize) -> Vec<String> {
        let mut lines: Vec<String> = self
            .remembered
            .iter()
            .flatten()
            .take(most)
            .map(line_of)
            .collect();
        let shown = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let more = self.open.iter().sum::<u64>().saturating_sub(shown);
        if more > 0 {
            let nouns = match more {
                1 => "error or warning",
                _ => "errors and warnings",
            };
            lines.push(format!("and {more} more {nouns} in the report"));
        }
        lines
    }

    /// The page about the run that ended with `report` at `ended_us`; its charts are still to be drawn.
    pub(super) fn page(&mut self, report: &ValidationReport, scope: &str, ended_us: i64) -> Page {
        let mut page = self.page.take().unwrap_or_default();
        page.title = "MarketPipe: what is wrong with these bars".to_owned();
        page.scope = scope.to_owned();
        page.generated = format_utc(ended_us - ended_us.rem_euclid(SECOND_US));
        page.partial = how_partial(report);
        let not_checked = report.failures.iter();
        page.not_checked = not_checked
            .map(|(dataset, symbol, reason)| NotCheckedLine {
                series: format!("{dataset} {symbol}"),
                reason: reason.clone(),
            })
            .collect();
        page.totals = Totals {
            errors: report.open(Severity::Error),
            warnings: report.open(Severity::Warning),
            infos: report.open(Severity::Info),
            acknowledged: report.acknowledged(),
            series: u64::try_from(report.series).unwrap_or(u64::MAX),
            sessions: report.sessions,
            minutes: report.minutes,
            missing_minutes: report
                .minutes_expected
                .saturating_sub(report.minutes_present),
            expected_minutes: report.minutes_expected,
        };
        page.rules = rule_lines(report);
        page
    }

    /// The bars around a few of the findings.
    pub(super) fn charts(&self, stores: &Stores) -> Vec<Chart> {
        self.to_draw
            .iter()
            .filter_map(|finding| chart_of(stores, finding))
            .collect()
    }
}

/// How much less was checked than was asked for, in words; `None` when all of it was.
fn how_partial(report: &ValidationReport) -> Option<String> {
    let failed = report.failures.len();
    if !report.is_stopped && report.series_not_done == 0 && failed == 0 {
        return None;
    }
    let number = |count: usize| with_thousands(u64::try_from(count).unwrap_or(u64::MAX));
    let mut parts = vec![format!(
        "{} of {} series {} checked",
        number(report.series),
        number(report.series + report.series_not_done + failed),
        if report.series == 1 { "was" } else { "were" },
    )];
    if failed > 0 {
        parts.push(format!("{} could not be", number(failed)));
    }
    if report.series_not_done > 0 {
        let left = number(report.series_not_done);
        parts.push(format!("the run was ended with {left} still to go"));
    } else if report.is_stopped {
        parts.push("the run was ended before it compared them with one another".to_owned());
    }
    Some(parts.join(", "))
}

/// A finding for the terminal.
fn line_of(found: &JudgedFinding) -> String {
    let finding = &found.finding;
    let symbol = finding
        .symbol
        .as_ref()
        .map_or("all symbols", Symbol::as_str);
    let session = finding
        .session
        .map_or_else(String::new, |date| format!(" {date}"));
    let words = format!(
        "{} {} {} {symbol}{session}: {} [{}]",
        finding.severity, finding.rule, finding.dataset, finding.message, found.id
    );
    escape_for_terminal(&words).into_owned()
}

impl FindingSink for Reports<'_> {
    fn take_finding(&mut self, found: &JudgedFinding) -> Result<(), StoreError> {
        let JudgedFinding {
            finding,
            acknowledged,
            ..
        } = found;
        let acknowledged = acknowledged.as_deref();
        if let Some(csv) = &mut self.csv {
            csv.add(finding, acknowledged)?;
        }
        self.write_row(finding, acknowledged)?;
        if acknowledged.is_none() {
            if let Some(junit) = &mut self.junit {
                junit.add(finding);
            }
            let place = match finding.severity {
                Severity::Error => Some(0),
                Severity::Warning => Some(1),
                Severity::Info => None,
            };
            if let Some(place) = place {
                self.open[place] += 1;
                if self.remembered[place].len() < REMEMBERED {
                    self.remembered[place].push(found.clone());
                }
            }
        }
        if let Some(page) = &mut self.page {
            if page.findings.len() < FINDINGS_ON_PAGE {
                page.findings.push(finding_line(found));
            } else {
                page.findings_left_out += 1;
            }
            let is_drawn = acknowledged.is_none()
                && finding.severity > Severity::Info
                && finding.timeframe == Timeframe::M1
                && finding.bar.is_some();
            let of_rule = self
                .to_draw
                .iter()
                .filter(|drawn| drawn.rule == finding.rule)
                .count();
            // A few of each rule say more than twelve of the first.
            if is_drawn && of_rule < 3 && self.to_draw.len() < CHARTS_ON_PAGE {
                self.to_draw.push(finding.clone());
            }
        }
        Ok(())
    }

    fn take_series(&mut self, series: &SeriesSummary) -> Result<(), StoreError> {
        if let Some(junit) = &mut self.junit {
            junit.add_series(&series.dataset.to_string(), series.symbol.as_str());
        }
        if let Some(page) = &mut self.page {
            page.series.push(series_line(series));
        }
        Ok(())
    }
}

impl Reports<'_> {
    fn write_row(
        &mut self,
        finding: &Finding,
        acknowledged: Option<&str>,
    ) -> Result<(), StoreError> {
        let Some(rows) = &mut self.rows else {
            return Ok(());
        };
        let row = report_row(finding, acknowledged);
        let values = row
            .into_iter()
            .map(|text| text.map_or(Value::Null, Value::Text));
        match rows.row(&values.collect::<Vec<_>>()) {
            Ok(()) => Ok(()),
            // Nobody reads on: the report is still made.
            Err(error) if error.is_closed_pipe() => {
                self.rows = None;
                Ok(())
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

fn failed(error: &OutputError) -> StoreError {
    StoreError::new(StoreErrorKind::Failed, error.to_string())
}
