//! Checks derived bars: recomputes them and compares, to the last bit. Writes nothing.

use std::collections::BTreeMap;

use crate::domain::DerivedBatch;
use crate::domain::parallel::for_each;
use crate::domain::ports::StoreError;
use crate::domain::stop::StopSignal;

use super::plan::{AggregationRequest, FrameWork, Scope, Staleness, YearWork};
use super::report::{CheckFinding, CheckReport, CheckedPartition};
use super::runner::AggregationRunnerService;

/// A year's findings, partitions checked and rows compared.
type YearCheck = (Vec<CheckedPartition>, usize, u64);

impl AggregationRunnerService {
    /// Recomputes derived partitions and compares them with what is kept; at most `sample` symbol-years, another
    /// choice each day.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn check(
        &self,
        request: &AggregationRequest,
        sample: Option<usize>,
        stop: &StopSignal,
    ) -> Result<CheckReport, StoreError> {
        let everything = AggregationRequest {
            scope: Scope::Full,
            ..request.clone()
        };
        let plan = self.plan(&everything)?;
        let mut report = CheckReport {
            partitions: plan.partitions(),
            ..CheckReport::default()
        };
        let day = self.ports.clock.now_us().div_euclid(86_400_000_000);
        let years = sampled(plan.years, sample, usize::try_from(day).unwrap_or(0));
        for_each(
            &years,
            stop,
            &|year| self.check_year(year),
            |(findings, checked, rows): YearCheck| {
                report.findings.extend(findings);
                report.checked += checked;
                report.rows += rows;
                Ok(())
            },
        )?;
        report.findings.sort_by(|a, b| a.key.cmp(&b.key));
        report.is_stopped = stop.is_stopped();
        Ok(report)
    }

    fn check_year(&self, year: &YearWork) -> YearCheck {
        let mut findings = Vec::new();
        let mut note = |frame: &FrameWork, finding: CheckFinding| {
            findings.push(CheckedPartition {
                key: year.of.partition(frame.spec.frame()),
                finding,
            });
        };
        let of = &year.of;
        let sources = self
            .ports
            .derived
            .load_sources(&of.dataset, &of.symbol, of.year, &[]);
        let expected = sources
            .map_err(super::runner::Failed::from)
            .and_then(|sources| {
                let expected = self.derive(&year.frames, &sources, &BTreeMap::new())?;
                Ok((expected, sources.files))
            });
        let (expected, files) = match expected {
            Ok(expected) => expected,
            Err(failed) => {
                for frame in &year.frames {
                    note(frame, CheckFinding::Failed(failed.reason.clone()));
                }
                return (findings, 0, 0);
            }
        };
        let mut rows = 0;
        for (frame, expected) in year.frames.iter().zip(&expected) {
            let key = of.partition(frame.spec.frame());
            match frame.staleness {
                Staleness::Missing => note(frame, CheckFinding::Missing),
                Staleness::OtherSpec | Staleness::OtherMinutes => note(frame, CheckFinding::Stale),
                Staleness::Damaged | Staleness::Fresh => {
                    let kept = match self.ports.derived.load_derived(&key) {
                        // Minutes that came after the plan was made are no fault of the bars.
                        Ok(Some(kept)) if kept.sources != files => {
                            note(frame, CheckFinding::Stale);
                            continue;
                        }
                        Ok(kept) => kept.map_or_else(DerivedBatch::empty, |kept| kept.bars),
                        Err(error) => {
                            note(frame, CheckFinding::Damaged(error.to_string()));
                            continue;
                        }
                    };
                    rows += u64::try_from(expected.len()).unwrap_or(u64::MAX);
                    if let Some(rows) = kept.first_difference(expected) {
                        note(
                            frame,
                            CheckFinding::Different(kept.difference_at(expected, rows)),
                        );
                    }
                }
            }
        }
        (findings, year.frames.len(), rows)
    }
}

/// At most `sample` of the years, evenly spread; which ones turns with `day`.
fn sampled(years: Vec<YearWork>, sample: Option<usize>, day: usize) -> Vec<YearWork> {
    let Some(sample) = sample.filter(|&sample| sample < years.len()) else {
        return years;
    };
    let count = years.len();
    // One out of each of `sample` equal stretches.
    let chosen: Vec<usize> = (0..sample)
        .map(|n| {
            let (start, end) = (n * count / sample, (n + 1) * count / sample);
            start + day % (end - start)
        })
        .collect();
    let mut number = 0;
    let is_chosen = |_: &YearWork| {
        number += 1;
        chosen.binary_search(&(number - 1)).is_ok()
    };
    years.into_iter().filter(is_chosen).collect()
}
