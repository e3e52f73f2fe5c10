//! One series from its files to its findings: months in order, then its sessions, then what is derived from it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::bar_batch::FaultyRow;
use crate::domain::finding::{Collector, Evidence};
use crate::domain::instant::MINUTE_US;
use crate::domain::ports::{Derivation, PartitionFile, StoreError};
use crate::domain::rule::Severities;
use crate::domain::services::market_data_validation::{MarketDataValidationService, SeriesHistory};
use crate::domain::{
    BarBatch, Calendar, Dataset, Finding, PartitionKey, Period, Rule, Session, SessionDate,
    Severity, Symbol,
};

use super::completeness::{self, Held, SeriesLedger};
use super::cross_frame::{self, DerivedChecks, DerivedYear};
use super::report::SeriesSummary;
use super::runner::ValidationPorts;

/// What is to be checked of one series.
#[derive(Debug, Clone)]
pub(super) struct SeriesWork {
    pub(super) dataset: Dataset,
    pub(super) symbol: Symbol,
    /// Its files of minutes that matter, ascending: those to check, and those before that tell what is usual.
    pub(super) files: Vec<PartitionFile>,
    /// The sessions that were asked for, both inside; `None` when the ledger knows none.
    pub(super) asked: Option<(SessionDate, SessionDate)>,
    /// What was derived from it.
    pub(super) derivations: Vec<Derivation>,
    /// The files of derived bars.
    pub(super) derived_files: Vec<PartitionFile>,
    /// Files in its folders that the catalog does not know.
    pub(super) uncatalogued: Vec<(PartitionKey, String)>,
}

/// How a series is checked.
pub(super) struct SeriesChecks<'a> {
    pub(super) ports: &'a ValidationPorts,
    pub(super) rules: &'a MarketDataValidationService,
    pub(super) severities: &'a Severities,
    pub(super) sessions: Option<(SessionDate, SessionDate)>,
    pub(super) most: usize,
    pub(super) derived: DerivedChecks<'a>,
    pub(super) now_us: i64,
}

/// What was found in a series.
pub(super) struct SeriesOutcome {
    pub(super) findings: Vec<Finding>,
    pub(super) summary: SeriesSummary,
    pub(super) files: u64,
    pub(super) minutes: u64,
    /// Whether files changed while they were read.
    pub(super) has_changed: bool,
}

/// What is gathered while a series' files are read.
#[derive(Default)]
struct Read {
    history: SeriesHistory,
    held: BTreeMap<SessionDate, Held>,
    /// Spans of files that could not be read.
    unread: Vec<(SessionDate, SessionDate)>,
    files: u64,
    minutes: u64,
    has_changed: bool,
}

/// The minutes of one year.
struct YearMinutes {
    number: i32,
    /// Kept where something is derived from them.
    batches: Vec<BarBatch>,
    /// Whether all of the year's files could be read and are sound.
    is_sound: bool,
}

/// Findings that a commit in between could have made: files, ledger and derived bars are not read at one moment.
const OF_SEVERAL_PLACES: [Rule; 9] = [
    Rule::Unreadable,
    Rule::NotAsCatalogued,
    Rule::NotAsDescribed,
    Rule::Uncatalogued,
    Rule::MissingMinutes,
    Rule::MissingSession,
    Rule::DerivedDiffers,
    Rule::DerivedStale,
    Rule::LedgerDiffers,
];

impl SeriesOutcome {
    /// Whether it may be wrong because something was committed meanwhile.
    pub(super) fn is_doubtful(&self) -> bool {
        self.has_changed
            || self.findings.iter().any(|found| {
                found.severity > Severity::Info && OF_SEVERAL_PLACES.contains(&found.rule)
            })
    }
}

/// Checks one series.
pub(super) fn check(
    checks: &SeriesChecks<'_>,
    work: &SeriesWork,
) -> Result<SeriesOutcome, StoreError> {
    let SeriesWork {
        dataset, symbol, ..
    } = work;
    let mut findings = Collector::new(
        dataset,
        Some(symbol),
        checks.severities,
        checks.sessions,
        checks.most,
    );
    let mut read = Read::default();
    for year in years_of(work) {
        let mut minutes = YearMinutes {
            number: year,
            batches: Vec::new(),
            is_sound: true,
        };
        let of_year = |file: &&PartitionFile| file.first_session.year() == year;
        for file in work.files.iter().filter(of_year) {
            check_file(checks, work, file, &mut read, &mut minutes, &mut findings)?;
        }
        check_derived(checks, work, &minutes, &mut findings)?;
    }
    note_uncatalogued(&work.uncatalogued, &mut findings);
    let sessions = check_sessions(checks, work, &read, &mut findings)?;
    let (found, left_out) = findings.finish();
    Ok(SeriesOutcome {
        findings: found,
        summary: SeriesSummary {
            dataset: dataset.clone(),
            symbol: symbol.clone(),
            sessions,
            left_out,
        },
        files: read.files,
        minutes: read.minutes,
        has_changed: read.has_changed,
    })
}

/// The years of which anything is kept, ascending.
fn years_of(work: &SeriesWork) -> BTreeSet<i32> {
    let files = work.files.iter().map(|file| file.first_session.year());
    let derived = work.derived_files.iter().map(|file| file.key.period);
    let derivations = work.derivations.iter().map(|made| made.key.period);
    let years = derived
        .chain(derivations)
        .filter_map(|period| match period {
            Period::Year(year) => Some(year),
            Period::Month(_) => None,
        });
    files.chain(years).collect()
}

/// Notes stray files, those of one partition together.
fn note_uncatalogued(strays: &[(PartitionKey, String)], findings: &mut Collector<'_>) {
    for of_partition in strays.chunk_by(|one, next| one.0 == next.0) {
        let key = &of_partition[0].0;
        let place = (key.timeframe, key.period);
        findings.take_about_file(Rule::Uncatalogued, place, || {
            let paths: Vec<&str> = of_partition.iter().map(|(_, path)| &**path).collect();
            let paths = paths.join(", ");
            let lies = if of_partition.len() == 1 {
                "lies in the lake and is"
            } else {
                "lie in the lake and are"
            };
            Evidence {
                session: key.period.dates().map(|(first, _)| first),
                ts_us: None,
                message: format!("{paths} {lies} not in the catalog"),
                value: paths,
                expected: "no file".to_owned(),
                bar: None,
            }
        });
    }
}

fn check_file(
    checks: &SeriesChecks<'_>,
    work: &SeriesWork,
    file: &PartitionFile,
    read: &mut Read,
    year: &mut YearMinutes,
    findings: &mut Collector<'_>,
) -> Result<(), StoreError> {
    let inspected = checks.ports.inspector.inspect_minutes(file)?;
    read.files += 1;
    cross_frame::note_file_faults(
        &inspected.faults,
        &file.key,
        Some(file.first_session),
        findings,
    );
    read.has_changed |= inspected.is_other;
    year.is_sound &= inspected.faults.is_empty() && inspected.rows.is_some();
    let Some(rows) = inspected.rows else {
        let span = file.key.period.month_dates();
        read.unread
            .push(span.unwrap_or((file.first_session, file.last_session)));
        return Ok(());
    };
    read.minutes += u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let (batch, faulty) =
        checks
            .rules
            .check_minutes(&work.symbol, rows, &mut read.history, findings);
    year.is_sound &= faulty.is_empty();
    note_held(Calendar::of(&work.symbol), &batch, &faulty, &mut read.held);
    if !work.derivations.is_empty() {
        year.batches.push(batch);
    }
    Ok(())
}

/// Enters the minutes of a batch, and those of rows that are no part of it: they are there, whatever is wrong with them.
fn note_held(
    calendar: Calendar,
    batch: &BarBatch,
    faulty: &[FaultyRow],
    held: &mut BTreeMap<SessionDate, Held>,
) {
    let mut note = |session: &Session, ts_us: &[i64]| {
        let held = held.entry(session.date()).or_default();
        for &ts_us in ts_us {
            match session.minute_index(ts_us.div_euclid(MINUTE_US) * MINUTE_US) {
                Some(minute) => _ = held.present.insert(minute),
                None => held.off_frame_rows += 1,
            }
        }
    };
    let containing = |ts_us| calendar.session_containing(ts_us).ok();
    for (day, rows) in batch.sessions() {
        let ts_us = &batch.columns().ts_us[rows];
        let named = SessionDate::from_days_since_epoch(day)
            .and_then(|date| calendar.session(date).ok().flatten())
            .filter(|session| {
                let window = session.window();
                window.contains(ts_us[0]) && window.contains(ts_us[ts_us.len() - 1])
            });
        match named {
            Some(session) => note(&session, ts_us),
            // By the calendar, not by what the rows say of themselves.
            None => {
                for &ts_us in ts_us {
                    if let Some(session) = containing(ts_us) {
                        note(&session, &[ts_us]);
                    }
                }
            }
        }
    }
    for row in faulty {
        if let Some(session) = containing(row.bar.ts_us) {
            note(&session, &[row.bar.ts_us]);
        }
    }
}

/// Checks what was derived from the year that was read.
fn check_derived(
    checks: &SeriesChecks<'_>,
    work: &SeriesWork,
    minutes: &YearMinutes,
    findings: &mut Collector<'_>,
) -> Result<(), StoreError> {
    let period = Period::Year(minutes.number);
    let year = DerivedYear {
        period,
        derivations: work
            .derivations
            .iter()
            .filter(|derivation| derivation.key.period == period)
            .collect(),
        files: work
            .derived_files
            .iter()
            .filter(|file| file.key.period == period)
            .map(|file| (file.key.timeframe, file))
            .collect(),
        sources: work
            .files
            .iter()
            .filter(|file| file.first_session.year() == minutes.number)
            .collect(),
    };
    let batches = minutes.is_sound.then_some(&minutes.batches[..]);
    let calendar = Calendar::of(&work.symbol);
    cross_frame::check(&checks.derived, calendar, &year, batches, findings)
}

fn check_sessions(
    checks: &SeriesChecks<'_>,
    work: &SeriesWork,
    read: &Read,
    findings: &mut Collector<'_>,
) -> Result<Vec<super::SessionFacts>, StoreError> {
    let held = read
        .held
        .first_key_value()
        .zip(read.held.last_key_value())
        .map(|((&first, _), (&last, _))| (first, last));
    let span = match (work.asked, held) {
        (Some(asked), Some(held)) => Some((asked.0.min(held.0), asked.1.max(held.1))),
        (asked, held) => asked.or(held),
    };
    let wanted = match (span, checks.sessions) {
        (Some(span), Some(wanted)) => Some((span.0.max(wanted.0), span.1.min(wanted.1))),
        (span, _) => span,
    };
    let Some((first, last)) = wanted.filter(|(first, last)| first <= last) else {
        return Ok(Vec::new());
    };
    let ledger = checks.ports.ledger.as_ref();
    let records = ledger.list_sessions(&work.dataset, &work.symbol, first, last)?;
    let not_entitled = ledger.list_not_entitled(&work.dataset, &work.symbol)?;
    let ledger = SeriesLedger {
        calendar: Calendar::of(&work.symbol),
        records: &records,
        not_entitled: &not_entitled,
        held: &read.held,
        unread: &read.unread,
        until_us: checks.now_us,
    };
    Ok(completeness::check(&ledger, (first, last), findings))
}

#[cfg(test)]
mod tests;
