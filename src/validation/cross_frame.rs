//! Derived bars against the minutes that they are made of. Pure but for the ports it is handed.

use std::collections::BTreeMap;

use crate::domain::derivation::source_hash;
use crate::domain::derived_batch::RowDifference;
use crate::domain::finding::{Collector, Evidence};
use crate::domain::ports::{
    BarAggregator, Derivation, FileFault, FileInspector, PartitionFile, SourceFile, StoreError,
};
use crate::domain::{
    AggregationChoice, AggregationSpec, BarBatch, Calendar, DerivedBatch, PartitionKey, Period,
    Rule, SessionDate, Timeframe,
};

/// Findings of one partition: further differences mostly repeat the first.
const DIFFERENCES_A_PARTITION: usize = 5;

/// The derived partitions of one series and year.
pub(super) struct DerivedYear<'a> {
    pub(super) period: Period,
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
    let first_session = year.sources.first().map(|file| file.first_session);
    note_unrecorded(year, first_session, findings);
    if year.derivations.is_empty() {
        return Ok(());
    }
    let sources: Vec<SourceFile> = year.sources.iter().copied().map(SourceFile::from).collect();
    let sources_now = source_hash(&sources);
    let (mut specs, mut kept_bars) = (Vec::new(), Vec::new());
    for derivation in &year.derivations {
        let frame = derivation.key.timeframe;
        let Ok(spec) = AggregationSpec::new(frame, checks.choice, calendar) else {
            continue;
        };
        if derivation.source_hash != sources_now || derivation.spec_hash != spec.hash() {
            let what = if derivation.source_hash == sources_now {
                "were made by another spec than the configuration's"
            } else {
                "are older than their minutes"
            };
            let period = year.period;
            findings.take_about_file(Rule::DerivedStale, (frame, period), || Evidence {
                message: format!("the {frame} bars of {period} {what}"),
                ..about(first_session, period)
            });
            continue;
        }
        let kept = match year.files.get(&frame) {
            None => DerivedBatch::empty(),
            Some(file) => {
                let inspected = checks.inspector.inspect_derived(file)?;
                note_file_faults(&inspected.faults, &file.key, first_session, findings);
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
        specs.push(spec);
        kept_bars.push(kept);
    }
    let Some(minutes) = minutes else {
        return Ok(());
    };
    // One pass over the minutes for all frames.
    let minutes: Vec<&BarBatch> = minutes.iter().collect();
    match checks.aggregator.aggregate(&minutes, &specs) {
        Ok(expected) => {
            for ((spec, kept), expected) in specs.iter().zip(&kept_bars).zip(&expected) {
                note_differences(kept, expected, spec.frame(), findings);
            }
        }
        Err(error) => {
            for spec in &specs {
                let message = error.to_string();
                let place = (spec.frame(), year.period);
                findings.take_about_file(Rule::DerivedDiffers, place, || Evidence {
                    message,
                    ..about(first_session, year.period)
                });
            }
        }
    }
    Ok(())
}

/// Notes files of derived bars of which nobody knows what they were made from.
fn note_unrecorded(
    year: &DerivedYear<'_>,
    first_session: Option<SessionDate>,
    findings: &mut Collector<'_>,
) {
    for &frame in year.files.keys() {
        if year
            .derivations
            .iter()
            .any(|made| made.key.timeframe == frame)
        {
            continue;
        }
        let period = year.period;
        findings.take_about_file(Rule::DerivedStale, (frame, period), || Evidence {
            message: format!(
                "the {frame} bars of {period} are kept without a record of what they were made from"
            ),
            ..about(first_session, period)
        });
    }
}

/// Notes what is wrong with a file as a whole, under its first session.
pub(super) fn note_file_faults(
    faults: &[FileFault],
    key: &PartitionKey,
    first_session: Option<SessionDate>,
    findings: &mut Collector<'_>,
) {
    let first_day = key.period.dates().map(|(first, _)| first);
    for fault in faults {
        findings.take_about_file(fault.rule, (key.timeframe, key.period), || Evidence {
            session: first_session.or(first_day),
            ts_us: None,
            value: fault.value.clone(),
            expected: fault.expected.clone(),
            message: fault.message.clone(),
            bar: None,
        });
    }
}

fn note_differences(
    kept: &DerivedBatch,
    expected: &DerivedBatch,
    frame: Timeframe,
    findings: &mut Collector<'_>,
) {
    // The kept bar where there is one, else the one that is missing.
    let side_of = |rows: RowDifference| {
        let kept_row = rows.kept.map(|row| (kept, row));
        kept_row.or(rows.expected.map(|row| (expected, row)))
    };
    let places = kept.differences(expected).into_iter();
    let wanted = places
        .filter_map(|rows| side_of(rows).map(|(batch, row)| (rows, batch, row)))
        .filter(|(_, batch, row)| {
            let day = batch.bars().session_days()[*row];
            SessionDate::from_days_since_epoch(day).is_none_or(|date| findings.wants(date))
        });
    let first: Vec<_> = wanted.take(DIFFERENCES_A_PARTITION).collect();
    for (rows, batch, row) in first {
        findings.take(Rule::DerivedDiffers, frame, || Evidence {
            session: SessionDate::from_days_since_epoch(batch.bars().session_days()[row]),
            ts_us: Some(batch.bars().columns().ts_us[row]),
            value: "stored bar".to_owned(),
            expected: "what its minutes give".to_owned(),
            message: kept.difference_at(expected, rows),
            bar: Some(batch.bars().bar(row)),
        });
    }
}

/// A derived partition as the place of a finding.
fn about(first_session: Option<SessionDate>, period: Period) -> Evidence {
    Evidence {
        session: first_session.or(period.dates().map(|(first, _)| first)),
        ts_us: None,
        value: period.to_string(),
        expected: "made from the minutes that are stored".to_owned(),
        message: String::new(),
        bar: None,
    }
}

#[cfg(test)]
mod tests;
