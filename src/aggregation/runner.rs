//! Carries an aggregation out: parallel over symbol-years, one pass over the minutes of each, committed in batches.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::causes::with_causes;
use crate::domain::event::Event;
use crate::domain::parallel::{for_each, threads};
use crate::domain::ports::{
    BarAggregator, BarSelection, BarStore, Clock, DerivedOutcome, DerivedPartition, DerivedStore,
    EventPublisher, KeptBars, SourceFile, Sources, StoreError, StoreErrorKind,
};
use crate::domain::stop::StopSignal;
use crate::domain::{AggregationSpec, BarBatch, DerivedBatch, Period, Timeframe};

use super::plan::{
    AggregationPlan, AggregationRequest, FrameWork, Staleness, SymbolYear, YearWork,
    plan_aggregation,
};
use super::report::{AggregationFailure, AggregationReport};

/// Files that a thread commits together: few enough to be held in memory, many enough that the commit costs little.
const FILES_A_COMMIT: usize = 32;

/// How often minutes that changed under the work are aggregated again before that is told as a failure.
const ROUNDS: usize = 3;

/// What an aggregation needs from the outside.
pub struct AggregationPorts {
    /// Where minutes are listed.
    pub store: Arc<dyn BarStore>,
    /// Where derived bars are kept.
    pub derived: Arc<dyn DerivedStore>,
    /// What adds them up.
    pub aggregator: Arc<dyn BarAggregator>,
    /// Who is told.
    pub events: Arc<dyn EventPublisher>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Finds stale derived partitions, makes exactly these, and checks those that there are.
pub struct AggregationRunnerService {
    pub(super) ports: AggregationPorts,
}

/// What one thread made and committed at once.
#[derive(Default)]
struct Made {
    /// What became of each symbol-year.
    tallies: BTreeMap<SymbolYear, YearTally>,
    /// Symbol-years that were begun.
    years: usize,
    minutes_read: u64,
}

/// Why a year could not be aggregated.
pub(super) struct Failed {
    pub(super) kind: StoreErrorKind,
    pub(super) reason: String,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self {
            kind: error.kind,
            reason: with_causes(&error),
        }
    }
}

impl AggregationRunnerService {
    /// The service over these ports.
    pub fn new(ports: AggregationPorts) -> Self {
        Self { ports }
    }

    /// Compares what there is with what was derived from it.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn plan(&self, request: &AggregationRequest) -> Result<AggregationPlan, StoreError> {
        let selection = request.selection();
        let minutes = BarSelection {
            timeframe: Some(Timeframe::M1),
            ..selection.clone()
        };
        let files = self.ports.store.list_files(&minutes)?;
        let derivations = self.ports.derived.list_derivations(&selection)?;
        Ok(plan_aggregation(request, &files, &derivations))
    }

    /// Makes what is stale. A symbol-year that cannot be aggregated is reported and holds up no other.
    ///
    /// # Errors
    /// When nothing more can be committed: the lock, the database or the disk. What was committed is kept.
    pub fn run(
        &self,
        request: &AggregationRequest,
        stop: &StopSignal,
    ) -> Result<AggregationReport, StoreError> {
        let begun_us = self.ports.clock.now_us();
        let mut plan = self.plan(request)?;
        let mut report = AggregationReport {
            years_held: plan.years_held,
            files_fresh: plan.fresh,
            ..AggregationReport::default()
        };
        for round in 1..=ROUNDS {
            if plan.years.is_empty() {
                break;
            }
            self.ports.events.publish(&Event::AggregationStarted {
                years: plan.years.len(),
                files: plan.partitions(),
            });
            let outdated = self.carry_out(&plan.years, request, stop, &mut report)?;
            if outdated.is_empty() || stop.is_stopped() {
                report.years_not_done += outdated.len();
                break;
            }
            if round == ROUNDS {
                for of in outdated {
                    let reason = "its minutes change faster than they are aggregated".to_owned();
                    self.fail(of, StoreErrorKind::Locked, reason, &mut report);
                }
                break;
            }
            // What changed meanwhile is stale now: the same question again, of those alone.
            let again = self.plan(request)?;
            let is_outdated = |year: &YearWork| outdated.contains(&year.of);
            plan.years = again.years.into_iter().filter(is_outdated).collect();
        }
        report.is_stopped = stop.is_stopped();
        let elapsed_us = self.ports.clock.now_us().saturating_sub(begun_us);
        report.elapsed = Duration::from_micros(u64::try_from(elapsed_us).unwrap_or(0));
        Ok(report)
    }

    /// Makes the partitions of `years`; returns the symbol-years whose minutes changed meanwhile.
    fn carry_out(
        &self,
        years: &[YearWork],
        request: &AggregationRequest,
        stop: &StopSignal,
        report: &mut AggregationReport,
    ) -> Result<Vec<SymbolYear>, StoreError> {
        let mut outdated = Vec::new();
        let mut years_done = 0;
        // While one thread commits what it made, the others go on adding up.
        for_each(
            &chunks_of(years),
            stop,
            &|chunk| self.make(chunk, request, stop),
            |made: Result<Made, StoreError>| {
                let made = made?;
                report.minutes_read += made.minutes_read;
                years_done += made.years;
                for (of, tally) in made.tallies {
                    self.settle(of, tally, report, &mut outdated);
                }
                Ok(())
            },
        )?;
        report.years_not_done += years.len() - years_done;
        Ok(outdated)
    }

    /// Adds the minutes of some symbol-years up and commits what comes of it.
    fn make(
        &self,
        years: &[YearWork],
        request: &AggregationRequest,
        stop: &StopSignal,
    ) -> Result<Made, StoreError> {
        let mut made = Made::default();
        let mut partitions = Vec::new();
        for year in years.iter().take_while(|_| !stop.is_stopped()) {
            made.years += 1;
            let tally = made.tallies.entry(year.of.clone()).or_default();
            match self.aggregate_year(year, request, &mut made.minutes_read) {
                Ok(of_year) => partitions.extend(of_year),
                Err(failed) => tally.failed = Some(failed),
            }
        }
        if partitions.is_empty() {
            return Ok(made);
        }
        let now_us = self.ports.clock.now_us();
        for receipt in self.ports.derived.commit_derived(partitions, now_us)? {
            let Period::Year(year) = receipt.key.period else {
                continue;
            };
            let of = SymbolYear {
                dataset: receipt.key.dataset.clone(),
                symbol: receipt.key.symbol.clone(),
                year,
            };
            let tally = made.tallies.entry(of).or_default();
            tally.rows += receipt.rows;
            tally.bytes += receipt.bytes;
            match receipt.outcome {
                DerivedOutcome::Written => tally.files_written += 1,
                DerivedOutcome::Unchanged => tally.files_unchanged += 1,
                DerivedOutcome::Outdated => tally.is_outdated = true,
                DerivedOutcome::Failed(error) => tally.failed = Some(error.into()),
            }
        }
        Ok(made)
    }

    fn aggregate_year(
        &self,
        year: &YearWork,
        request: &AggregationRequest,
        minutes_read: &mut u64,
    ) -> Result<Vec<DerivedPartition>, Failed> {
        let kept = self.find_kept(year, request);
        let SymbolYear {
            dataset,
            symbol,
            year: number,
        } = &year.of;
        let known = common_sources(&kept, year.frames.len());
        let sources = self
            .ports
            .derived
            .load_sources(dataset, symbol, *number, &known)?;
        let read = sources.minutes.iter().flatten().map(BarBatch::len);
        *minutes_read += u64::try_from(read.sum::<usize>()).unwrap_or(u64::MAX);
        let derived = self.derive(&year.frames, &sources, &kept)?;
        let partitions = year
            .frames
            .iter()
            .zip(derived)
            .map(|(frame, bars)| DerivedPartition {
                key: year.of.partition(frame.spec.frame()),
                spec: frame.spec,
                sources: sources.files.clone(),
                bars,
            });
        Ok(partitions.collect())
    }

    /// The bars of each frame: from minutes that were read, and from what was made of those that were not.
    pub(super) fn derive(
        &self,
        frames: &[FrameWork],
        sources: &Sources,
        kept: &BTreeMap<Timeframe, KeptBars>,
    ) -> Result<Vec<DerivedBatch>, Failed> {
        let specs: Vec<AggregationSpec> = frames.iter().map(|frame| frame.spec).collect();
        let mut derived = vec![DerivedBatch::empty(); specs.len()];
        let mut append = |parts: Vec<DerivedBatch>| {
            derived
                .iter_mut()
                .zip(parts)
                .try_for_each(|(whole, part)| whole.append(part))
                .map_err(|error| internal(error.to_string()))
        };
        let months: Vec<_> = sources.files.iter().zip(&sources.minutes).collect();
        for run in months.chunk_by(|(_, a), (_, b)| a.is_some() == b.is_some()) {
            let minutes: Vec<&BarBatch> = run
                .iter()
                .filter_map(|(_, minutes)| minutes.as_ref())
                .collect();
            if !minutes.is_empty() {
                let made = self.ports.aggregator.aggregate(&minutes, &specs);
                append(made.map_err(|error| internal(error.to_string()))?)?;
                continue;
            }
            for (file, _) in run {
                let of_month =
                    |spec: &AggregationSpec| month_of(kept.get(&spec.frame()), file.period);
                append(specs.iter().map(of_month).collect())?;
            }
        }
        Ok(derived)
    }

    /// What was made of the same minutes by the same specs, as far as it can be trusted.
    fn find_kept(
        &self,
        year: &YearWork,
        request: &AggregationRequest,
    ) -> BTreeMap<Timeframe, KeptBars> {
        let mut kept = BTreeMap::new();
        // A year is worth reading in full when one of its frames has to be.
        let is_incremental = request.scope == super::plan::Scope::Stale
            && year
                .frames
                .iter()
                .all(|frame| frame.staleness == Staleness::OtherMinutes);
        if !is_incremental {
            return kept;
        }
        for frame in &year.frames {
            let key = year.of.partition(frame.spec.frame());
            match self.ports.derived.load_derived(&key) {
                // Another process may have made it by another spec since the plan.
                Ok(Some(found)) if found.spec == frame.spec.canonical() => {
                    kept.insert(frame.spec.frame(), found);
                }
                Ok(_) => {}
                // It is made anew from minutes.
                Err(error) => tracing::debug!("{key} is not reused: {error}"),
            }
        }
        kept
    }

    /// Enters what became of one symbol-year into the report, and tells it.
    fn settle(
        &self,
        of: SymbolYear,
        tally: YearTally,
        report: &mut AggregationReport,
        outdated: &mut Vec<SymbolYear>,
    ) {
        report.files_written += tally.files_written;
        report.files_unchanged += tally.files_unchanged;
        report.rows += u64::try_from(tally.rows).unwrap_or(u64::MAX);
        report.bytes += tally.bytes;
        if let Some(failed) = tally.failed {
            self.fail(of, failed.kind, failed.reason, report);
        } else if tally.is_outdated {
            outdated.push(of);
        } else {
            report.years_done += 1;
            self.ports.events.publish(&Event::AggregationCompleted {
                dataset: of.dataset,
                symbol: of.symbol,
                year: of.year,
                files_written: tally.files_written,
                files_unchanged: tally.files_unchanged,
                rows: tally.rows,
                bytes: tally.bytes,
            });
        }
    }

    fn fail(
        &self,
        of: SymbolYear,
        kind: StoreErrorKind,
        reason: String,
        report: &mut AggregationReport,
    ) {
        self.ports.events.publish(&Event::AggregationFailed {
            dataset: of.dataset.clone(),
            symbol: of.symbol.clone(),
            year: of.year,
            reason: reason.clone(),
        });
        report
            .failures
            .push(AggregationFailure { of, kind, reason });
    }
}

/// The work in portions that are committed together: smaller ones towards the end, so that all threads end at once.
fn chunks_of(years: &[YearWork]) -> Vec<&[YearWork]> {
    let files: usize = years.iter().map(|year| year.frames.len()).sum();
    let files_a_year = files.div_ceil(years.len().max(1)).max(1);
    let most = (FILES_A_COMMIT / files_a_year).max(1);
    let mut rest = years;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let share = rest.len() / (threads() * 2);
        let (chunk, later) = rest.split_at(share.clamp(1, most));
        chunks.push(chunk);
        rest = later;
    }
    chunks
}

/// What became of one symbol-year's files.
#[derive(Default)]
struct YearTally {
    files_written: usize,
    files_unchanged: usize,
    rows: usize,
    bytes: u64,
    is_outdated: bool,
    failed: Option<Failed>,
}

fn internal(reason: String) -> Failed {
    Failed {
        kind: StoreErrorKind::Failed,
        reason,
    }
}

/// The sources that all frames were made from; none unless all frames are there.
fn common_sources(kept: &BTreeMap<Timeframe, KeptBars>, frames: usize) -> Vec<SourceFile> {
    let mut lists = kept.values().map(|kept| &kept.sources);
    match lists.next() {
        Some(first) if kept.len() == frames => {
            let mut common = first.clone();
            for other in lists {
                common.retain(|source| other.contains(source));
            }
            common
        }
        _ => Vec::new(),
    }
}

/// The bars of one month out of a year's.
fn month_of(kept: Option<&KeptBars>, period: Period) -> DerivedBatch {
    let (Some(KeptBars { bars, .. }), Some((first, last))) = (kept, period.month_dates()) else {
        return DerivedBatch::empty();
    };
    let days = bars.bars().session_days();
    let start = days.partition_point(|&day| day < first.days_since_epoch());
    let end = days.partition_point(|&day| day <= last.days_since_epoch());
    let rows: Range<usize> = start..end;
    bars.slice(rows)
}
