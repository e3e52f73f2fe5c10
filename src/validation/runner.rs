//! Carries a validation out: series in parallel, findings in order, kept in the database as they come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::causes::with_causes;
use crate::domain::event::Event;
use crate::domain::finding::Collector;
use crate::domain::parallel::for_each_in_order;
use crate::domain::ports::{
    BarAggregator, BarSelection, BarStore, Clock, DerivedStore, EventPublisher, FileInspector,
    FindingRepository, PartitionFile, SeriesFindings, StoreError, SymbolBarsRepository,
};
use crate::domain::rule::Severities;
use crate::domain::services::market_data_validation::{MarketDataValidationService, Thresholds};
use crate::domain::stop::StopSignal;
use crate::domain::{
    AggregationChoice, Calendar, Dataset, Finding, PartitionKey, Period, SessionDate, Severity,
    Symbol, Timeframe,
};

use super::completeness::HoleFinder;
use super::cross_frame::DerivedChecks;
use super::report::{FindingSink, JudgedFinding, ValidationReport};
use super::series::{self, SeriesChecks, SeriesOutcome, SeriesWork};

/// Months before the first one to check that tell what is usual.
const MONTHS_OF_HISTORY: u32 = 2;
/// Findings that are kept together, in one transaction.
const FINDINGS_A_TRANSACTION: usize = 2_000;
/// Series that are kept together, in one transaction.
const SERIES_A_TRANSACTION: usize = 200;

/// What a validation needs from the outside.
pub struct ValidationPorts {
    /// Where files are listed.
    pub store: Arc<dyn BarStore>,
    /// What looks into them.
    pub inspector: Arc<dyn FileInspector>,
    /// What was asked for, and what came.
    pub ledger: Arc<dyn SymbolBarsRepository>,
    /// What was derived from what.
    pub derived: Arc<dyn DerivedStore>,
    /// What adds minutes up.
    pub aggregator: Arc<dyn BarAggregator>,
    /// Where findings are kept.
    pub findings: Arc<dyn FindingRepository>,
    /// Who is told.
    pub events: Arc<dyn EventPublisher>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What is to be checked, and how.
#[derive(Debug, Clone, Default)]
pub struct ValidationRequest {
    /// One dataset; `None` for all.
    pub dataset: Option<Dataset>,
    /// Symbols; none means all.
    pub symbols: Vec<Symbol>,
    /// First and last session, both inside.
    pub sessions: Option<(SessionDate, SessionDate)>,
    /// From which size on something is worth a finding.
    pub thresholds: Thresholds,
    /// How much each rule's findings matter.
    pub severities: Severities,
    /// What derived bars are.
    pub choice: AggregationChoice,
    /// Findings of each rule that are kept of a series; the others are counted.
    pub most: usize,
    /// The share of regular minutes of a series that may be missing, in percent.
    pub max_missing_pct: Option<f64>,
}

/// Checks what is stored.
pub struct ValidationRunner {
    ports: ValidationPorts,
}

/// What is gathered on the way.
struct Progress<'a> {
    report: ValidationReport,
    holes: HoleFinder,
    to_keep: Vec<SeriesFindings>,
    sink: &'a mut dyn FindingSink,
}

impl ValidationRunner {
    /// The runner over these ports.
    pub fn new(ports: ValidationPorts) -> Self {
        Self { ports }
    }

    /// Checks what the request names. `sink` gets the findings by series and place.
    ///
    /// # Errors
    /// When the catalog or the ledger cannot be read, or the sink fails. A series that cannot be checked is reported and
    /// holds up no other.
    pub fn run(
        &self,
        request: &ValidationRequest,
        sink: &mut dyn FindingSink,
        stop: &StopSignal,
    ) -> Result<ValidationReport, StoreError> {
        let begun_us = self.ports.clock.now_us();
        let work = self.plan(request)?;
        self.ports
            .events
            .publish(&Event::ValidationStarted { series: work.len() });
        let rules = MarketDataValidationService::new(request.thresholds.clone(), begun_us);
        let checks = SeriesChecks {
            ports: &self.ports,
            rules: &rules,
            severities: &request.severities,
            sessions: request.sessions,
            most: request.most,
            derived: DerivedChecks {
                inspector: self.ports.inspector.as_ref(),
                aggregator: self.ports.aggregator.as_ref(),
                choice: request.choice,
            },
            now_us: begun_us,
        };
        let mut progress = Progress {
            report: ValidationReport::default(),
            holes: HoleFinder::default(),
            to_keep: Vec::new(),
            sink,
        };
        for_each_in_order(
            &work,
            stop,
            &|work| {
                let of = (work.dataset.clone(), work.symbol.clone());
                (of, self.check_series(&checks, request, work))
            },
            |(of, outcome)| self.settle(of, outcome, request, &mut progress),
        )?;
        progress.report.series_not_done =
            work.len() - progress.report.series - progress.report.failures.len();
        progress.report.is_stopped = stop.is_stopped();
        if !progress.report.is_stopped {
            let mut datasets: Vec<Dataset> = work.iter().map(|work| work.dataset.clone()).collect();
            datasets.dedup();
            self.note_holes(request, &datasets, &mut progress)?;
        }
        self.keep(&mut progress);
        let elapsed_us = self.ports.clock.now_us().saturating_sub(begun_us);
        progress.report.elapsed = Duration::from_micros(u64::try_from(elapsed_us).unwrap_or(0));
        Ok(progress.report)
    }

    /// The series of the request with everything that is kept of them, by dataset and symbol.
    fn plan(&self, request: &ValidationRequest) -> Result<Vec<SeriesWork>, StoreError> {
        self.plan_listed(request, self.ports.inspector.list_uncatalogued()?)
    }

    fn plan_listed(
        &self,
        request: &ValidationRequest,
        uncatalogued: Vec<(PartitionKey, String)>,
    ) -> Result<Vec<SeriesWork>, StoreError> {
        let selection = BarSelection {
            dataset: request.dataset.clone(),
            symbols: request.symbols.clone(),
            ..BarSelection::default()
        };
        let mut work: BTreeMap<(Dataset, Symbol), SeriesWork> = BTreeMap::new();
        let mut of = |dataset: &Dataset, symbol: &Symbol, add: &mut dyn FnMut(&mut SeriesWork)| {
            let entry = work.entry((dataset.clone(), symbol.clone()));
            add(entry.or_insert_with(|| SeriesWork {
                dataset: dataset.clone(),
                symbol: symbol.clone(),
                files: Vec::new(),
                asked: None,
                derivations: Vec::new(),
                derived_files: Vec::new(),
                uncatalogued: Vec::new(),
            }));
        };
        for series in self.ports.ledger.list_series(&request.symbols)? {
            if request
                .dataset
                .as_ref()
                .is_none_or(|dataset| *dataset == series.dataset)
            {
                of(&series.dataset, &series.symbol, &mut |work| {
                    work.asked = Some(series.sessions)
                });
            }
        }
        for file in self.ports.store.list_files(&selection)? {
            let PartitionFile { key, .. } = &file;
            of(&key.dataset.clone(), &key.symbol.clone(), &mut |work| {
                if file.key.timeframe == Timeframe::M1 {
                    work.files.push(file.clone());
                } else {
                    work.derived_files.push(file.clone());
                }
            });
        }
        for derivation in self.ports.derived.list_derivations(&selection)? {
            let key = derivation.key.clone();
            of(&key.dataset, &key.symbol, &mut |work| {
                work.derivations.push(derivation.clone())
            });
        }
        for (key, path) in uncatalogued {
            let is_wanted = (request.symbols.is_empty() || request.symbols.contains(&key.symbol))
                && request
                    .dataset
                    .as_ref()
                    .is_none_or(|dataset| *dataset == key.dataset);
            if is_wanted {
                of(&key.dataset, &key.symbol, &mut |work| {
                    work.uncatalogued.push((key.clone(), path.clone()));
                });
            }
        }
        let mut work: Vec<SeriesWork> = work.into_values().collect();
        if let Some(sessions) = request.sessions {
            for series in &mut work {
                limit(series, sessions);
            }
            work.retain(|series| !series.files.is_empty() || series.asked.is_some());
        }
        Ok(work)
    }

    /// Checks one series; what looks wrong is looked at once more with files, catalog and ledger held together, since
    /// others may commit while this reads.
    fn check_series(
        &self,
        checks: &SeriesChecks<'_>,
        request: &ValidationRequest,
        work: &SeriesWork,
    ) -> Result<SeriesOutcome, StoreError> {
        let outcome = series::check(checks, work)?;
        if !outcome.is_doubtful() {
            return Ok(outcome);
        }
        let _files_stay = self.ports.inspector.hold_files()?;
        let this_series = ValidationRequest {
            dataset: Some(work.dataset.clone()),
            symbols: vec![work.symbol.clone()],
            ..request.clone()
        };
        let uncatalogued = work.uncatalogued.clone();
        let fresh = self.plan_listed(&this_series, uncatalogued)?.pop();
        fresh.map_or(Ok(outcome), |fresh| series::check(checks, &fresh))
    }

    /// Enters what was found in one series, and tells it.
    fn settle(
        &self,
        (dataset, symbol): (Dataset, Symbol),
        outcome: Result<SeriesOutcome, StoreError>,
        request: &ValidationRequest,
        progress: &mut Progress<'_>,
    ) -> Result<(), StoreError> {
        let SeriesOutcome {
            findings,
            mut summary,
            files,
            minutes,
            has_changed: _,
        } = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let reason = with_causes(&error);
                self.ports.events.publish(&Event::ValidationFailed {
                    dataset: dataset.clone(),
                    symbol: symbol.clone(),
                    reason: reason.clone(),
                });
                progress.report.failures.push((dataset, symbol, reason));
                return Ok(());
            }
        };
        let report = &mut progress.report;
        report.series += 1;
        report.files += files;
        report.minutes += minutes;
        report.sessions += u64::try_from(summary.sessions.len()).unwrap_or(u64::MAX);
        let (present, expected) = summary.minutes();
        report.minutes_present += present;
        report.minutes_expected += expected;
        let missing_pct = summary.missing_pct();
        if request
            .max_missing_pct
            .is_some_and(|most| missing_pct > most)
        {
            let too_incomplete = (dataset.clone(), symbol.clone(), missing_pct);
            report.too_incomplete.push(too_incomplete);
        }
        for &(rule, severity, more) in &summary.left_out {
            report.count(rule, severity, |count| count.left_out += more);
        }
        let judged = self.judge(&findings)?;
        let counted = |severity| {
            let open = judged
                .iter()
                .filter(|found| found.acknowledged.is_none() && found.finding.severity == severity);
            open.count()
        };
        self.ports.events.publish(&Event::ValidationCompleted {
            dataset: dataset.clone(),
            symbol: symbol.clone(),
            minutes,
            errors: counted(Severity::Error),
            warnings: counted(Severity::Warning),
        });
        for found in judged.iter().filter(|found| found.acknowledged.is_none()) {
            let Some(date) = found.finding.session else {
                continue;
            };
            if let Ok(at) = summary
                .sessions
                .binary_search_by_key(&date, |session| session.date)
            {
                let worst = &mut summary.sessions[at].worst;
                *worst = (*worst).max(Some(found.finding.severity));
            }
        }
        progress.take(&judged)?;
        progress.sink.take_series(&summary)?;
        progress
            .holes
            .add(&dataset, Calendar::of(&symbol), &summary.sessions);
        progress.to_keep.push(SeriesFindings {
            dataset,
            symbol: Some(symbol),
            sessions: request.sessions,
            findings,
        });
        let findings: usize = progress
            .to_keep
            .iter()
            .map(|kept| kept.findings.len())
            .sum();
        if progress.to_keep.len() >= SERIES_A_TRANSACTION || findings >= FINDINGS_A_TRANSACTION {
            self.keep(progress);
        }
        Ok(())
    }

    /// What concerns datasets as a whole.
    fn note_holes(
        &self,
        request: &ValidationRequest,
        datasets: &[Dataset],
        progress: &mut Progress<'_>,
    ) -> Result<(), StoreError> {
        // Silence together means something only when all symbols were looked at.
        if !request.symbols.is_empty() {
            return Ok(());
        }
        for dataset in datasets.iter().cloned() {
            let mut collector = Collector::new(
                &dataset,
                None,
                &request.severities,
                request.sessions,
                request.most,
            );
            progress.holes.note(&dataset, &mut collector);
            let (findings, left_out) = collector.finish();
            for (rule, severity, more) in left_out {
                progress
                    .report
                    .count(rule, severity, |count| count.left_out += more);
            }
            let judged = self.judge(&findings)?;
            progress.take(&judged)?;
            progress.to_keep.push(SeriesFindings {
                dataset,
                symbol: None,
                sessions: request.sessions,
                findings,
            });
        }
        Ok(())
    }

    /// Looks up what was acknowledged.
    fn judge(&self, findings: &[Finding]) -> Result<Vec<JudgedFinding>, StoreError> {
        let acknowledged = self.ports.findings.find_acknowledged(findings)?;
        let judged = findings.iter().zip(acknowledged);
        Ok(judged
            .map(|(finding, acknowledged)| JudgedFinding {
                id: finding.id(),
                finding: finding.clone(),
                acknowledged,
            })
            .collect())
    }

    /// Keeps what was found. Who may only read, or waits for others too long, still gets the report.
    fn keep(&self, progress: &mut Progress<'_>) {
        let found = std::mem::take(&mut progress.to_keep);
        if found.is_empty() || progress.report.not_kept.is_some() {
            return;
        }
        let now_us = self.ports.clock.now_us();
        if let Err(error) = self.ports.findings.replace_findings(&found, now_us) {
            progress.report.not_kept = Some(with_causes(&error));
        }
    }
}

impl Progress<'_> {
    fn take(&mut self, judged: &[JudgedFinding]) -> Result<(), StoreError> {
        for found in judged {
            let Finding { rule, severity, .. } = found.finding;
            self.report
                .count(rule, severity, |count| match found.acknowledged {
                    Some(_) => count.acknowledged += 1,
                    None => count.open += 1,
                });
            self.sink.take_finding(found)?;
        }
        Ok(())
    }
}

/// Leaves of a series what is needed to check `sessions`: their files, those of their years where something is derived
/// from them, and the months before that tell what is usual.
fn limit(series: &mut SeriesWork, (first, last): (SessionDate, SessionDate)) {
    let mut from = first.month().first_day();
    for _ in 0..MONTHS_OF_HISTORY {
        from = from.pred().map_or(from, |day| day.month().first_day());
    }
    let years = first.year()..=last.year();
    let is_of_years = |period| matches!(period, Period::Year(year) if years.contains(&year));
    series
        .derivations
        .retain(|derivation| is_of_years(derivation.key.period));
    series
        .derived_files
        .retain(|file| is_of_years(file.key.period));
    let needs_years = !series.derivations.is_empty();
    series.files.retain(|file| {
        let is_near = file.last_session >= from && file.first_session <= last;
        is_near || needs_years && years.contains(&file.first_session.year())
    });
    let touches = series
        .files
        .iter()
        .any(|file| file.last_session >= first && file.first_session <= last);
    let was_asked = series
        .asked
        .is_some_and(|(asked_first, asked_last)| asked_first <= last && asked_last >= first);
    if !touches && !was_asked {
        series.files.clear();
        series.asked = None;
    }
}

#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;
