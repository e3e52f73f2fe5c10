//! The outside of a validation, in memory: one world that is store, inspector, ledger, clock and all others at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::domain::bar_batch::UnprovenBars;
use crate::domain::derivation::source_hash;
use crate::domain::instant::MINUTE_US;
use crate::domain::ports::{
    AggregateError, AskedSeries, BarAggregator, BarSelection, BarStore, Clock, CommitBatch,
    CommitReceipt, Derivation, DerivedPartition, DerivedReceipt, DerivedStore, EventPublisher,
    FileFault, FileInspector, FilesHeld, FindingRepository, Forgotten, InspectedDerived,
    InspectedMinutes, KeptBars, KeptFinding, PartitionFile, SeriesFindings, SeriesStatus,
    SourceFile, Sources, StoreError, StoreErrorKind, SymbolBarsRepository,
};
use crate::domain::symbol_bars::Asked;
use crate::domain::{
    AggregationChoice, AggregationSpec, Bar, BarBatch, Calendar, Dataset, DerivedBatch, Event,
    Finding, PartitionKey, Period, Rule, Segment, Session, SessionDate, SessionRecord, Symbol,
    Timeframe,
};

use super::runner::ValidationPorts;

/// 2025-01-02T00:00:00Z: every session of the tests is over.
pub(super) const NOW_US: i64 = 1_735_776_000_000_000;

pub(super) fn dataset() -> Dataset {
    "alpaca/sip/raw".parse().unwrap()
}

pub(super) fn symbol(name: &str) -> Symbol {
    name.parse().unwrap()
}

pub(super) fn date(text: &str) -> SessionDate {
    text.parse().unwrap()
}

pub(super) fn session(text: &str) -> Session {
    Calendar::nyse().session(date(text)).unwrap().unwrap()
}

/// Sessions of a month like `2024-07`.
pub(super) fn sessions_of(month: &str) -> Vec<Session> {
    let (first, last) = month.parse::<Period>().unwrap().month_dates().unwrap();
    Calendar::nyse().sessions(first, last).unwrap()
}

/// A minute to which no rule objects.
pub(super) fn quiet(ts_us: i64) -> Bar {
    let up = if (ts_us / MINUTE_US) % 2 == 0 {
        0.0
    } else {
        0.02
    };
    Bar {
        ts_us,
        open: 100.02 - up,
        high: 100.04,
        low: 99.98,
        close: 100.0 + up,
        volume: 1_000.0,
        trade_count: Some(5),
        vwap: Some(100.01),
    }
}

/// The regular minutes of a session.
pub(super) fn regular(session: &Session) -> Vec<Bar> {
    let minutes = session.expected_range(Segment::Regular);
    minutes
        .map(|minute| quiet(session.minute_ts_us(minute)))
        .collect()
}

/// The regular minutes of sessions.
pub(super) fn regular_of(sessions: &[Session]) -> Vec<Bar> {
    sessions.iter().flat_map(regular).collect()
}

pub(super) fn batch(bars: &[Bar]) -> BarBatch {
    BarBatch::from_columns(bars.iter().copied().collect(), Calendar::nyse()).unwrap()
}

/// Rows as a file holds them, by the calendar.
pub(super) fn unproven(bars: &[Bar]) -> UnprovenBars {
    let mut locator = Calendar::nyse().locator();
    let located = bars.iter().map(|bar| locator.locate(bar.ts_us).unwrap());
    let (days, segments) = located
        .map(|(date, segment)| (date.days_since_epoch(), segment))
        .unzip();
    UnprovenBars::new(bars.iter().copied().collect(), days, segments).unwrap()
}

/// The record of a session that was asked for as a whole and answered with these bars.
pub(super) fn record(session: &Session, bars: &[Bar]) -> SessionRecord {
    let asked = Asked {
        range: session.window(),
        at_us: NOW_US,
        is_settled: true,
    };
    SessionRecord::of_stored_rows(session, &batch(bars), asked, &[])
}

/// Each minute as a bar of its own: what the fake aggregator makes of them.
pub(super) fn derived(bars: &[Bar]) -> DerivedBatch {
    let (columns, days, segments) = batch(bars).into_parts();
    let minutes = vec![1; columns.len()];
    DerivedBatch::from_parts(columns, days, segments, minutes).unwrap()
}

pub(super) fn key(symbol_name: &str, timeframe: Timeframe, period: &str) -> PartitionKey {
    PartitionKey {
        dataset: dataset(),
        timeframe,
        symbol: symbol(symbol_name),
        period: period.parse().unwrap(),
    }
}

/// A catalogued file from session to session.
pub(super) fn file(key: PartitionKey, first: &str, last: &str) -> PartitionFile {
    PartitionFile {
        sha256: format!("bytes of {key}"),
        content_hash: format!("rows of {key}"),
        key,
        bytes: 1,
        rows: 1,
        first_ts_us: 0,
        last_ts_us: 0,
        first_session: date(first),
        last_session: date(last),
    }
}

pub(super) fn fault(rule: Rule) -> FileFault {
    FileFault {
        rule,
        value: "damaged".into(),
        expected: "whole".into(),
        message: "the file is damaged".into(),
    }
}

pub(super) fn failed(context: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Failed, context)
}

/// What the inspector sees of a file of minutes.
#[derive(Clone, Default)]
pub(super) struct Seen {
    pub(super) rows: Option<UnprovenBars>,
    pub(super) faults: Vec<FileFault>,
    pub(super) is_other: bool,
}

type Change = Box<dyn FnOnce(&mut Things) + Send>;

/// All there is.
#[derive(Default)]
pub(super) struct Things {
    pub(super) files: Vec<PartitionFile>,
    /// Files of minutes by partition; one that is not here fails.
    pub(super) seen: BTreeMap<PartitionKey, Seen>,
    pub(super) kept_bars: BTreeMap<PartitionKey, KeptBars>,
    pub(super) derived_faults: Vec<FileFault>,
    pub(super) derivations: Vec<Derivation>,
    pub(super) asked: Vec<AskedSeries>,
    pub(super) records: Vec<(Symbol, SessionRecord)>,
    pub(super) not_entitled: Vec<SessionDate>,
    pub(super) uncatalogued: Vec<(PartitionKey, String)>,
    /// Reasons by the id of a finding.
    pub(super) acknowledged: BTreeMap<String, String>,
    /// Every transaction of findings.
    pub(super) kept: Vec<Vec<SeriesFindings>>,
    pub(super) events: Vec<Event>,
    /// How often files were held.
    pub(super) holds: usize,
    /// What others have done by the time that files are held.
    pub(super) before_hold: Option<Change>,
    /// Partitions of minutes in the order in which they were looked at.
    pub(super) looked_at: Vec<PartitionKey>,
    pub(super) cannot_keep: bool,
    pub(super) cannot_aggregate: bool,
    /// Microseconds that pass from one look at the clock to the next.
    pub(super) tick_us: i64,
    pub(super) now_us: i64,
}

#[derive(Default)]
pub(super) struct World(Mutex<Things>);

impl World {
    pub(super) fn new() -> Arc<Self> {
        let world = Self::default();
        world.things().now_us = NOW_US;
        Arc::new(world)
    }

    pub(super) fn things(&self) -> MutexGuard<'_, Things> {
        self.0.lock().unwrap()
    }

    pub(super) fn ports(self: &Arc<Self>) -> ValidationPorts {
        ValidationPorts {
            store: self.clone(),
            inspector: self.clone(),
            ledger: self.clone(),
            derived: self.clone(),
            aggregator: self.clone(),
            findings: self.clone(),
            events: self.clone(),
            clock: self.clone(),
        }
    }

    /// Stores a month of a symbol as an ingestion would: file, catalog, ledger.
    pub(super) fn store_month(&self, name: &str, month: &str, bars: &[Bar]) {
        let sessions = sessions_of(month);
        let mut things = self.things();
        for session in &sessions {
            let of_session: Vec<Bar> = bars
                .iter()
                .filter(|bar| session.window().contains(bar.ts_us))
                .copied()
                .collect();
            let record = record(session, &of_session);
            things.records.push((symbol(name), record));
        }
        let (first, last) = (sessions[0].date(), sessions[sessions.len() - 1].date());
        let asked = things
            .asked
            .iter_mut()
            .find(|asked| asked.symbol.as_str() == name);
        match asked {
            Some(asked) => {
                asked.sessions = (asked.sessions.0.min(first), asked.sessions.1.max(last))
            }
            None => things.asked.push(AskedSeries {
                dataset: dataset(),
                symbol: symbol(name),
                sessions: (first, last),
            }),
        }
        let key = key(name, Timeframe::M1, month);
        let rows = Some(unproven(bars));
        let seen = Seen {
            rows,
            ..Seen::default()
        };
        things.seen.insert(key.clone(), seen);
        things
            .files
            .push(file(key, &first.to_string(), &last.to_string()));
    }

    /// Derives a year of bars from the files of minutes that are there, as an aggregation would.
    pub(super) fn derive_year(&self, name: &str, frame: Timeframe, year: i32, bars: &[Bar]) {
        let mut things = self.things();
        let of_year = |file: &&PartitionFile| {
            file.key.timeframe == Timeframe::M1
                && file.key.symbol.as_str() == name
                && file.first_session.year() == year
        };
        let sources: Vec<SourceFile> = things
            .files
            .iter()
            .filter(of_year)
            .map(SourceFile::from)
            .collect();
        let spec = spec(frame);
        let key = key(name, frame, &year.to_string());
        things.derivations.push(Derivation {
            key: key.clone(),
            spec_hash: spec.hash(),
            source_hash: source_hash(&sources),
            is_in_place: true,
        });
        let kept = KeptBars {
            spec: spec.canonical(),
            sources,
            bars: derived(bars),
        };
        things.kept_bars.insert(key.clone(), kept);
        let (first, last) = (format!("{year}-01-02"), format!("{year}-12-31"));
        things.files.push(file(key, &first, &last));
    }
}

pub(super) fn spec(frame: Timeframe) -> AggregationSpec {
    AggregationSpec::new(frame, AggregationChoice::default(), Calendar::nyse()).unwrap()
}

fn is_selected(selection: &BarSelection, key: &PartitionKey) -> bool {
    selection
        .dataset
        .as_ref()
        .is_none_or(|dataset| *dataset == key.dataset)
        && (selection.symbols.is_empty() || selection.symbols.contains(&key.symbol))
}

impl BarStore for World {
    fn commit(&self, _: CommitBatch) -> Result<CommitReceipt, StoreError> {
        unreachable!("a validation writes no bars")
    }

    fn list_files(&self, selection: &BarSelection) -> Result<Vec<PartitionFile>, StoreError> {
        let mut files = self.things().files.clone();
        files.retain(|file| is_selected(selection, &file.key));
        files.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(files)
    }

    fn load(&self, _: &BarSelection) -> Result<Vec<(PartitionKey, BarBatch)>, StoreError> {
        unreachable!("a validation trusts no file")
    }
}

struct Held;

impl FilesHeld for Held {}

impl FileInspector for World {
    fn inspect_minutes(&self, file: &PartitionFile) -> Result<InspectedMinutes, StoreError> {
        let mut things = self.things();
        things.looked_at.push(file.key.clone());
        let seen = things.seen.get(&file.key).cloned();
        let Seen {
            rows,
            faults,
            is_other,
        } = seen.ok_or_else(|| failed(&format!("cannot read {}", file.key)))?;
        Ok(InspectedMinutes {
            rows,
            faults,
            is_other,
        })
    }

    fn inspect_derived(&self, file: &PartitionFile) -> Result<InspectedDerived, StoreError> {
        let things = self.things();
        Ok(InspectedDerived {
            kept: things.kept_bars.get(&file.key).cloned(),
            faults: things.derived_faults.clone(),
        })
    }

    fn hold_files(&self) -> Result<Box<dyn FilesHeld>, StoreError> {
        let mut things = self.things();
        things.holds += 1;
        if let Some(change) = things.before_hold.take() {
            change(&mut things);
        }
        Ok(Box::new(Held))
    }

    fn list_uncatalogued(&self) -> Result<Vec<(PartitionKey, String)>, StoreError> {
        Ok(self.things().uncatalogued.clone())
    }
}

impl SymbolBarsRepository for World {
    fn find_session(
        &self,
        _: &Dataset,
        _: &Symbol,
        _: SessionDate,
    ) -> Result<Option<SessionRecord>, StoreError> {
        unreachable!("sessions are listed")
    }

    fn list_sessions(
        &self,
        _: &Dataset,
        symbol: &Symbol,
        first: SessionDate,
        last: SessionDate,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        let things = self.things();
        let of_symbol = things.records.iter().filter(|(of, _)| of == symbol);
        let mut records: Vec<SessionRecord> = of_symbol.map(|(_, record)| record.clone()).collect();
        records.retain(|record| first <= record.date && record.date <= last);
        records.sort_by_key(|record| record.date);
        Ok(records)
    }

    fn find_last_settled(
        &self,
        _: &Dataset,
        _: &Symbol,
    ) -> Result<Option<SessionDate>, StoreError> {
        unreachable!("a validation plans no questions")
    }

    fn put_sessions(&self, _: &Dataset, _: &Symbol, _: &[SessionRecord]) -> Result<(), StoreError> {
        unreachable!("a validation leaves the ledger alone")
    }

    fn delete_sessions(
        &self,
        _: &Dataset,
        _: &Symbol,
        _: SessionDate,
        _: SessionDate,
    ) -> Result<usize, StoreError> {
        unreachable!("a validation leaves the ledger alone")
    }

    fn forget(
        &self,
        _: &Symbol,
        _: Option<&Dataset>,
    ) -> Result<Vec<(Dataset, Forgotten)>, StoreError> {
        unreachable!("a validation leaves the ledger alone")
    }

    fn note_not_entitled(
        &self,
        _: &Dataset,
        _: &[Symbol],
        _: &[SessionDate],
        _: i64,
    ) -> Result<(), StoreError> {
        unreachable!("a validation leaves the ledger alone")
    }

    fn list_not_entitled(&self, _: &Dataset, _: &Symbol) -> Result<Vec<SessionDate>, StoreError> {
        Ok(self.things().not_entitled.clone())
    }

    fn list_series(&self, symbols: &[Symbol]) -> Result<Vec<AskedSeries>, StoreError> {
        let mut asked = self.things().asked.clone();
        asked.retain(|asked| symbols.is_empty() || symbols.contains(&asked.symbol));
        Ok(asked)
    }

    fn list_status(&self, _: &[Symbol]) -> Result<Vec<SeriesStatus>, StoreError> {
        unreachable!("a validation counts for itself")
    }
}

impl DerivedStore for World {
    fn list_derivations(&self, selection: &BarSelection) -> Result<Vec<Derivation>, StoreError> {
        let mut derivations = self.things().derivations.clone();
        derivations.retain(|derivation| is_selected(selection, &derivation.key));
        Ok(derivations)
    }

    fn load_sources(
        &self,
        _: &Dataset,
        _: &Symbol,
        _: i32,
        _: &[SourceFile],
    ) -> Result<Sources, StoreError> {
        unreachable!("a validation trusts no file")
    }

    fn load_derived(&self, _: &PartitionKey) -> Result<Option<KeptBars>, StoreError> {
        unreachable!("a validation trusts no file")
    }

    fn commit_derived(
        &self,
        _: Vec<DerivedPartition>,
        _: i64,
    ) -> Result<Vec<DerivedReceipt>, StoreError> {
        unreachable!("a validation writes no bars")
    }
}

impl BarAggregator for World {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn aggregate(
        &self,
        minutes: &[&BarBatch],
        specs: &[AggregationSpec],
    ) -> Result<Vec<DerivedBatch>, AggregateError> {
        if self.things().cannot_aggregate {
            return Err(AggregateError {
                engine: "fake",
                context: "no memory".into(),
            });
        }
        let mut all = DerivedBatch::empty();
        for &batch in minutes {
            let (columns, days, segments) = batch.clone().into_parts();
            let counts = vec![1; columns.len()];
            let part = DerivedBatch::from_parts(columns, days, segments, counts).unwrap();
            all.append(part).unwrap();
        }
        Ok(vec![all; specs.len()])
    }
}

impl FindingRepository for World {
    fn replace_findings(&self, found: &[SeriesFindings], _: i64) -> Result<(), StoreError> {
        let mut things = self.things();
        things.kept.push(found.to_vec());
        if things.cannot_keep {
            return Err(failed("cannot keep findings").caused_by(failed("read-only")));
        }
        Ok(())
    }

    fn find_acknowledged(&self, findings: &[Finding]) -> Result<Vec<Option<String>>, StoreError> {
        let things = self.things();
        let reason = |found: &Finding| things.acknowledged.get(&found.id()).cloned();
        Ok(findings.iter().map(reason).collect())
    }

    fn acknowledge(&self, _: &str, _: &str, _: i64) -> Result<bool, StoreError> {
        unreachable!("people acknowledge")
    }

    fn withdraw(&self, _: &str) -> Result<bool, StoreError> {
        unreachable!("people withdraw")
    }

    fn list_findings(&self) -> Result<Vec<KeptFinding>, StoreError> {
        unreachable!("a validation reads no old findings")
    }
}

impl EventPublisher for World {
    fn publish(&self, event: &Event) {
        self.things().events.push(event.clone());
    }
}

impl Clock for World {
    fn now_us(&self) -> i64 {
        let mut things = self.things();
        let now_us = things.now_us;
        things.now_us += things.tick_us;
        now_us
    }
}
