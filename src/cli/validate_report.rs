//! Where findings go as they are found: rows on stdout, the CSV report, JUnit XML, and the HTML page.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::exit::{CliError, Exit};
use super::output::{OutputError, OutputFormat, RowWriter, Value, escape_for_terminal};
use super::session::CliSession;
use crate::app::Stores;
use crate::domain::instant::format_utc;
use crate::domain::ports::{BarSelection, BarStore as _, StoreError, StoreErrorKind};
use crate::domain::{Finding, GapReason, Severity, Symbol, Timeframe};
use crate::infrastructure::csv_report::{CsvReport, REPORT_COLUMNS, report_row};
use crate::infrastructure::html_report::{
    Cell, Chart, ChartBar, FindingLine, Page, RuleLine, SeriesLine, Totals,
};
use crate::infrastructure::junit_report::JunitReport;
use crate::validation::{FindingSink, JudgedFinding, SeriesSummary, ValidationReport};

/// Findings on the page; all of them are in the CSV report.
const FINDINGS_ON_PAGE: usize = 1_000;
/// Findings whose bars are drawn.
const CHARTS_ON_PAGE: usize = 12;
/// Bars on each side of the one that a chart is about.
const BARS_AROUND: usize = 20;
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

    /// The JUnit document.
    pub(super) fn junit(&self, fails_from: Option<Severity>) -> String {
        self.junit
            .as_ref()
            .map_or_else(String::new, |junit| junit.render(fails_from))
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
            lines.push(format!("and {more} more errors and warnings in the report"));
        }
        lines
    }

    /// The page, with charts drawn from the bars around findings.
    pub(super) fn page(
        &mut self,
        session: &CliSession,
        stores: &Stores,
        report: &ValidationReport,
        scope: &str,
    ) -> Page {
        let mut page = self.page.take().unwrap_or_default();
        page.title = "MarketPipe: what is wrong with these bars".to_owned();
        page.scope = scope.to_owned();
        page.generated = format_utc(session.app.clock().now_us());
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
        page.charts = self
            .to_draw
            .iter()
            .filter_map(|finding| chart_of(stores, finding))
            .collect();
        page
    }
}

/// Every rule with what it found, by its gravest severity.
fn rule_lines(report: &ValidationReport) -> Vec<RuleLine> {
    crate::domain::Rule::ALL
        .into_iter()
        .map(|rule| {
            let text = rule.text();
            let of_rule = report.rules.iter().filter(|count| count.rule == rule);
            let severity = of_rule.clone().map(|count| count.severity).max();
            RuleLine {
                id: text.id,
                severity: severity.unwrap_or(text.severity).as_str(),
                title: text.title.to_owned(),
                why: text.why.to_owned(),
                found: of_rule
                    .map(|count| count.open + count.acknowledged + count.left_out)
                    .sum(),
            }
        })
        .collect()
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
        "{} {} {symbol}{session}: {} [{}]",
        finding.severity, finding.rule, finding.message, found.id
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

fn finding_line(found: &JudgedFinding) -> FindingLine {
    let finding = &found.finding;
    let symbol = finding.symbol.as_ref().map_or("", Symbol::as_str);
    FindingLine {
        id: found.id.clone(),
        rule: finding.rule.id(),
        severity: finding.severity.as_str(),
        series: format!("{} {symbol}", finding.dataset)
            .trim_end()
            .to_owned(),
        timeframe: finding.timeframe.to_string(),
        session: finding
            .session
            .map_or_else(String::new, |date| date.to_string()),
        time: finding.ts_us.map_or_else(String::new, format_utc),
        value: finding.value.clone(),
        expected: finding.expected.clone(),
        message: finding.message.clone(),
        hint: finding.hint().to_owned(),
        acknowledged: found.acknowledged.clone(),
    }
}

fn series_line(series: &SeriesSummary) -> SeriesLine {
    let (present, expected) = series.minutes();
    let cells = series.sessions.iter().map(|session| {
        let date = session.date;
        let day = date.naive();
        let small = |number: u32| u8::try_from(number).unwrap_or_default();
        Cell {
            date: (
                date.year(),
                small(chrono::Datelike::month(&day)),
                small(chrono::Datelike::day(&day)),
            ),
            present: session.present,
            expected: session.expected,
            worst: match session.worst {
                None => 0,
                Some(Severity::Info) => 1,
                Some(Severity::Warning) => 2,
                Some(Severity::Error) => 3,
            },
            reason: match session.reason {
                None => 0,
                Some(GapReason::NotAsked) => 1,
                Some(GapReason::NoTrade) => 2,
                Some(GapReason::Quarantined) => 3,
                Some(GapReason::NotEntitled) => 4,
            },
        }
    });
    SeriesLine {
        label: format!("{} {}", series.dataset, series.symbol),
        present,
        expected,
        cells: cells.collect(),
    }
}

/// The bar of a finding and those around it, as far as they can be read.
fn chart_of(stores: &Stores, finding: &Finding) -> Option<Chart> {
    let (symbol, session, ts_us) = (finding.symbol.clone()?, finding.session?, finding.ts_us?);
    let selection = BarSelection {
        dataset: Some(finding.dataset.clone()),
        symbols: vec![symbol.clone()],
        timeframe: Some(finding.timeframe),
        // A gap is seen against the session before it.
        sessions: Some((session.pred().unwrap_or(session), session)),
    };
    let loaded = stores.bars.load(&selection).ok()?;
    let mut bars: Vec<_> = loaded
        .iter()
        .flat_map(|(_, batch)| (0..batch.len()).map(|row| batch.bar(row)))
        .collect();
    let at = bars.partition_point(|bar| bar.ts_us < ts_us);
    let until = (at + BARS_AROUND + 1).min(bars.len());
    bars.truncate(until);
    let bars = bars.split_off(at.saturating_sub(BARS_AROUND).min(bars.len()));
    let bars = bars.iter().map(|bar| ChartBar {
        time: format_utc(bar.ts_us),
        open: bar.open,
        high: bar.high,
        low: bar.low,
        close: bar.close,
        volume: bar.volume,
        is_marked: bar.ts_us == ts_us,
    });
    let bars: Vec<ChartBar> = bars.collect();
    (!bars.is_empty()).then(|| Chart {
        title: format!("{} {symbol} {session} {}", finding.rule, finding.timeframe),
        message: finding.message.clone(),
        bars,
    })
}

/// Writes a file that is complete or as it was.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        _ = std::fs::remove_file(&beside);
        CliError::new(
            Exit::Storage,
            format!("cannot write {}: {error}", path.display()),
        )
    })
}
