//! Derived bars against the minutes that they are made of. Pure but for the ports it is handed.

use std::collections::BTreeMap;

use crate::domain::derivation::source_hash;
use crate::domain::finding::{Collector, Evidence};
use crate::domain::ports::{
    BarAggregator, Derivation, FileInspector, PartitionFile, SourceFile, StoreError,
};
use crate::domain::{
    AggregationChoice, AggregationSpec, BarBatch, Calendar, DerivedBatch, Period, Rule,
    SessionDate, Timeframe,
};

/// Findings of one partition: further differences mostly repeat the first.
const DIFFERENCES_A_PARTITION: usize = 5;

/// The derived partitions of one series and year.
pub(super) struct DerivedYear<'a> {
    pub(super) derivations: Vec<&'a Derivation>,
    /// Their files, by frame.
    pub(super) files: BTreeMap<Timeframe, &'a PartitionFile>,
    /// The files of minutes, ascending by month.
    pub(super) sources: Vec<&'a PartitionFile>,
}

/// How derived bars are made and looked at.
pub(super) struct DerivedChecks<'a> {
    pub(super) inspector: &'a dyn FileInspector,
    pub(super) aggregator: &'a dyn BarAggregator,
    pub(super) choice: AggregationChoice,
}

/// Checks one year; `minutes` are its batches, or `None` when not all of them could be trusted.
pub(super) fn check(
    checks: &DerivedChecks<'_>,
    calendar: Calendar,
    year: &DerivedYear<'_>,
    minutes: Option<&[BarBatch]>,
    findings: &mut Collector<'_>,
) -> Result<(), StoreError> {
    let sources: Vec<SourceFile> = year
        .sources
        .iter()
        .map(|file| SourceFile {
            period: file.key.period,
            content_hash: file.content_hash.clone(),
        })
        .collect();
    let sources_now = source_hash(&sources);
    for derivation in &year.derivations {
        let frame = derivation.key.timeframe;
        let Ok(spec) = AggregationSpec::new(frame, checks.choice, calendar) else {
            continue;
        };
        let place = |what: &str| about(year, derivation.key.period, frame, what);
        if derivation.source_hash != sources_now || derivation.spec_hash != spec.hash() {
            let what = if derivation.source_hash == sources_now {
                "were made by another spec than the configuration's"
            } else {
                "are older than their minutes"
            };
            findings.take_about_file(Rule::DerivedStale, frame, || place(what));
            continue;
        }
        let kept = match year.files.get(&frame) {
            None => DerivedBatch::empty(),
            Some(file) => {
                let inspected = checks.inspector.inspect_derived(file)?;
                for fault in &inspected.faults {
                    findings.take_about_file(fault.rule, frame, || Evidence {
                        value: fault.value.clone(),
                        expected: fault.expected.clone(),
                        message: fault.message.clone(),
                        ..place("")
                    });
                }
                match inspected.kept {
                    // Another process made it anew meanwhile.
                    Some(kept) if kept.sources != sources || kept.spec != spec.canonical() => {
                        continue;
                    }
                    Some(kept) => kept.bars,
                    None => continue,
                }
            }
        };
        let Some(minutes) = minutes else {
            continue;
        };
        let minutes: Vec<&BarBatch> = minutes.iter().collect();
        let expected = match checks.aggregator.aggregate(&minutes, &[spec]) {
            Ok(mut made) => made.pop().unwrap_or_else(DerivedBatch::empty),
            Err(error) => {
                let message = error.to_string();
                findings.take_about_file(Rule::DerivedDiffers, frame, || Evidence {
                    message,
                    ..place("")
                });
                continue;
            }
        };
        note_differences(&kept, &expected, frame, findings);
    }
    Ok(())
}

fn note_differences(
    kept: &DerivedBatch,
    expected: &DerivedBatch,
    frame: Timeframe,
    findings: &mut Collector<'_>,
) {
    let is_wanted = |row: &usize| {
        let batch = if *row < kept.len() { kept } else { expected };
        let day = batch.bars().session_days()[*row];
        SessionDate::from_days_since_epoch(day).is_none_or(|date| findings.wants(date))
    };
    let rows: Vec<usize> = kept
        .differences(expected)
        .into_iter()
        .filter(is_wanted)
        .take(DIFFERENCES_A_PARTITION)
        .collect();
    for row in rows {
        findings.take(Rule::DerivedDiffers, frame, || {
            let batch = if row < kept.len() { kept } else { expected };
            let message = kept.difference_at(expected, row);
            Evidence {
                session: SessionDate::from_days_since_epoch(batch.bars().session_days()[row]),
                ts_us: Some(batch.bars().columns().ts_us[row]),
                value: "stored bar".to_owned(),
                expected: "what its minutes give".to_owned(),
                message,
                bar: Some(batch.bars().bar(row)),
            }
        });
    }
}

fn about(year: &DerivedYear<'_>, period: Period, frame: Timeframe, what: &str) -> Evidence {
    Evidence {
        session: year.sources.first().map(|file| file.first_session),
        ts_us: None,
        value: period.to_string(),
        expected: "made from the minutes that are stored".to_owned(),
        message: format!("the {frame} bars of {period} {what}"),
        bar: None,
    }
}
