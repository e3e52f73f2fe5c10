//! Which derived partitions are stale: a comparison of hashes, no file is opened. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::derivation::source_hash;
use crate::domain::ports::{BarSelection, Derivation, PartitionFile, SourceFile};
use crate::domain::{
    AggregationChoice, AggregationSpec, Calendar, Dataset, PartitionKey, Period, SessionDate,
    Symbol, Timeframe,
};

/// Which frames are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameChoice {
    /// These.
    Exactly(Vec<Timeframe>),
    /// These, and those that a symbol already has: no frame grows old unnoticed.
    AtLeast(Vec<Timeframe>),
}

/// How much is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What is stale, missing or damaged.
    Stale,
    /// Everything.
    Full,
}

/// What an aggregation is asked to do.
#[derive(Debug, Clone)]
pub struct AggregationRequest {
    /// The dataset; `None` for all.
    pub dataset: Option<Dataset>,
    /// Symbols; none means all.
    pub symbols: Vec<Symbol>,
    /// Whole years that have a session from the first date to the last.
    pub sessions: Option<(SessionDate, SessionDate)>,
    /// Which frames.
    pub frames: FrameChoice,
    /// What their bars are.
    pub choice: AggregationChoice,
    /// How much.
    pub scope: Scope,
}

impl AggregationRequest {
    /// The series of the request, all years and frames.
    pub fn selection(&self) -> BarSelection {
        BarSelection {
            dataset: self.dataset.clone(),
            symbols: self.symbols.clone(),
            ..BarSelection::default()
        }
    }

    fn has_year(&self, year: i32) -> bool {
        self.sessions
            .is_none_or(|(first, last)| (first.year()..=last.year()).contains(&year))
    }
}

/// One symbol's year.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SymbolYear {
    /// The dataset.
    pub dataset: Dataset,
    /// The symbol.
    pub symbol: Symbol,
    /// The year.
    pub year: i32,
}

impl SymbolYear {
    /// The partition of one of its frames.
    pub fn partition(&self, timeframe: Timeframe) -> PartitionKey {
        PartitionKey {
            dataset: self.dataset.clone(),
            timeframe,
            symbol: self.symbol.clone(),
            period: Period::Year(self.year),
        }
    }
}

/// Why a partition is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staleness {
    /// It never was.
    Missing,
    /// Its file is gone, or of another size than it was.
    Damaged,
    /// It was made by another spec.
    OtherSpec,
    /// Its minutes changed.
    OtherMinutes,
    /// It is as it should be, and made again because that was asked for.
    Fresh,
}

/// A frame of a year that is to be made.
#[derive(Debug, Clone)]
pub struct FrameWork {
    /// What its bars are.
    pub spec: AggregationSpec,
    /// Why it is made.
    pub staleness: Staleness,
}

/// The frames of one symbol's year that are to be made, in one pass over its minutes.
#[derive(Debug, Clone)]
pub struct YearWork {
    /// Whose.
    pub of: SymbolYear,
    /// Which, shortest first.
    pub frames: Vec<FrameWork>,
}

/// What is to be done.
#[derive(Debug, Clone, Default)]
pub struct AggregationPlan {
    /// The work, by dataset, symbol and year.
    pub years: Vec<YearWork>,
    /// Derived partitions that are as they should be and are left alone.
    pub fresh: usize,
    /// Symbol-years that have minutes.
    pub years_held: usize,
}

impl AggregationPlan {
    /// Derived partitions that are to be made.
    pub fn partitions(&self) -> usize {
        self.years.iter().map(|year| year.frames.len()).sum()
    }
}

/// What the catalog knows of one symbol's year.
#[derive(Default)]
struct KnownYear<'a> {
    sources: Vec<SourceFile>,
    derived: BTreeMap<Timeframe, &'a Derivation>,
}

/// Compares what there is (`files` of minutes, ascending by month within a symbol) with what was derived from it.
pub fn plan_aggregation(
    request: &AggregationRequest,
    files: &[PartitionFile],
    derivations: &[Derivation],
) -> AggregationPlan {
    let mut known: BTreeMap<(&Dataset, &Symbol, i32), KnownYear<'_>> = BTreeMap::new();
    for file in files {
        let key = &file.key;
        if let (Timeframe::M1, Period::Month(month)) = (key.timeframe, key.period) {
            let year = known.entry((&key.dataset, &key.symbol, month.year()));
            year.or_default().sources.push(SourceFile::from(file));
        }
    }
    let mut kept: BTreeMap<(&Dataset, &Symbol), BTreeSet<Timeframe>> = BTreeMap::new();
    for derivation in derivations {
        let key = &derivation.key;
        if let Period::Year(year) = key.period {
            let known = known.entry((&key.dataset, &key.symbol, year)).or_default();
            known.derived.insert(key.timeframe, derivation);
            let kept = kept.entry((&key.dataset, &key.symbol)).or_default();
            kept.insert(key.timeframe);
        }
    }
    let mut hashes: HashMap<AggregationSpec, String> = HashMap::new();
    let mut plan = AggregationPlan::default();
    for ((dataset, symbol, year), known) in known {
        if !request.has_year(year) {
            continue;
        }
        plan.years_held += usize::from(!known.sources.is_empty());
        let kept = kept.get(&(dataset, symbol));
        let wanted = wanted_frames(&request.frames, kept);
        let source_hash = source_hash(&known.sources);
        let mut frames = Vec::new();
        for frame in wanted {
            let spec = AggregationSpec::new(frame, request.choice, Calendar::of(symbol));
            // Minutes derive from nothing; who asks for them gets them by `ingest`.
            let Ok(spec) = spec else { continue };
            let derivation = known.derived.get(&frame);
            if known.sources.is_empty() && derivation.is_none() {
                continue;
            }
            let spec_hash = hashes.entry(spec).or_insert_with(|| spec.hash());
            let staleness = staleness_of(derivation.copied(), spec_hash, &source_hash);
            if staleness == Staleness::Fresh && request.scope == Scope::Stale {
                plan.fresh += 1;
            } else {
                frames.push(FrameWork { spec, staleness });
            }
        }
        if !frames.is_empty() {
            plan.years.push(YearWork {
                of: SymbolYear {
                    dataset: dataset.clone(),
                    symbol: symbol.clone(),
                    year,
                },
                frames,
            });
        }
    }
    plan
}

fn wanted_frames(choice: &FrameChoice, kept: Option<&BTreeSet<Timeframe>>) -> BTreeSet<Timeframe> {
    match choice {
        FrameChoice::Exactly(frames) => frames.iter().copied().collect(),
        FrameChoice::AtLeast(frames) => {
            let kept = kept.into_iter().flatten();
            frames.iter().chain(kept).copied().collect()
        }
    }
}

fn staleness_of(derivation: Option<&Derivation>, spec_hash: &str, source_hash: &str) -> Staleness {
    match derivation {
        None => Staleness::Missing,
        Some(derivation) if derivation.spec_hash != spec_hash => Staleness::OtherSpec,
        Some(derivation) if !derivation.is_in_place => Staleness::Damaged,
        Some(derivation) if derivation.source_hash != source_hash => Staleness::OtherMinutes,
        Some(_) => Staleness::Fresh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Anchor;

    fn minutes(symbol: &str, month: &str, content: &str) -> PartitionFile {
        let date = |day: &str| format!("{month}-{day}").parse().unwrap();
        PartitionFile {
            key: PartitionKey {
                dataset: "alpaca/sip/raw".parse().unwrap(),
                timeframe: Timeframe::M1,
                symbol: symbol.parse().unwrap(),
                period: Period::Month(month.parse().unwrap()),
            },
            sha256: String::new(),
            content_hash: content.to_owned(),
            bytes: 1,
            rows: 1,
            first_ts_us: 0,
            last_ts_us: 0,
            first_session: date("01"),
            last_session: date("28"),
        }
    }

    fn request() -> AggregationRequest {
        AggregationRequest {
            dataset: None,
            symbols: Vec::new(),
            sessions: None,
            frames: FrameChoice::AtLeast(vec![Timeframe::M5, Timeframe::D1]),
            choice: AggregationChoice::default(),
            scope: Scope::Stale,
        }
    }

    /// What is remembered once a plan was carried out over `files`.
    fn done(plan: &AggregationPlan, files: &[PartitionFile]) -> Vec<Derivation> {
        let sources = |of: &SymbolYear| -> Vec<SourceFile> {
            let of_year = |file: &&PartitionFile| {
                file.key.symbol == of.symbol && file.first_session.year() == of.year
            };
            files.iter().filter(of_year).map(SourceFile::from).collect()
        };
        plan.years
            .iter()
            .flat_map(|year| {
                year.frames.iter().map(|frame| Derivation {
                    key: year.of.partition(frame.spec.frame()),
                    spec_hash: frame.spec.hash(),
                    source_hash: source_hash(&sources(&year.of)),
                    is_in_place: true,
                })
            })
            .collect()
    }

    fn names(plan: &AggregationPlan) -> Vec<String> {
        let frames = |year: &YearWork| {
            let of = year.of.clone();
            let name = move |frame: &FrameWork| {
                format!(
                    "{} {} {} {:?}",
                    of.symbol,
                    of.year,
                    frame.spec.frame(),
                    frame.staleness
                )
            };
            year.frames.iter().map(name).collect::<Vec<_>>()
        };
        plan.years.iter().flat_map(frames).collect()
    }

    #[test]
    fn exactly_what_changed_is_stale() {
        let mut files = vec![
            minutes("AAPL", "2023-12", "a"),
            minutes("AAPL", "2024-01", "b"),
            minutes("MSFT", "2024-01", "c"),
        ];
        let first = plan_aggregation(&request(), &files, &[]);
        assert_eq!((first.partitions(), first.fresh), (6, 0));
        let mut derivations = done(&first, &files);
        let second = plan_aggregation(&request(), &files, &derivations);
        assert_eq!((second.partitions(), second.fresh), (0, 6));
        files[1].content_hash = "changed".into();
        let third = plan_aggregation(&request(), &files, &derivations);
        assert_eq!(
            names(&third),
            ["AAPL 2024 5m OtherMinutes", "AAPL 2024 1d OtherMinutes"]
        );
        files[1].content_hash = "b".into();
        let damaged = derivations
            .iter_mut()
            .find(|derivation| derivation.key.symbol.as_str() == "MSFT")
            .unwrap();
        damaged.is_in_place = false;
        let fourth = plan_aggregation(&request(), &files, &derivations);
        assert_eq!(names(&fourth), ["MSFT 2024 5m Damaged"]);
    }

    #[test]
    fn another_choice_makes_only_those_frames_stale_that_it_concerns() {
        let files = [minutes("AAPL", "2024-01", "a")];
        let request = AggregationRequest {
            frames: FrameChoice::Exactly(vec![Timeframe::M5, Timeframe::H1, Timeframe::D1]),
            ..request()
        };
        let derivations = done(&plan_aggregation(&request, &files, &[]), &files);
        let clock = AggregationRequest {
            choice: AggregationChoice {
                anchor: Anchor::Clock,
                ..AggregationChoice::default()
            },
            ..request
        };
        let plan = plan_aggregation(&clock, &files, &derivations);
        assert_eq!(names(&plan), ["AAPL 2024 1h OtherSpec"]);
    }

    #[test]
    fn frames_that_a_symbol_has_are_kept_up_and_years_that_were_not_asked_for_left_alone() {
        let mut files = vec![
            minutes("AAPL", "2023-12", "a"),
            minutes("AAPL", "2024-01", "b"),
        ];
        let ten = AggregationRequest {
            frames: FrameChoice::Exactly(vec![Timeframe::M10]),
            ..request()
        };
        let derivations = done(&plan_aggregation(&ten, &files, &[]), &files);
        files[1].content_hash = "changed".into();
        let day = "2024-06-03".parse().unwrap();
        let of_2024 = AggregationRequest {
            sessions: Some((day, day)),
            ..request()
        };
        let plan = plan_aggregation(&of_2024, &files, &derivations);
        assert_eq!(
            names(&plan),
            [
                "AAPL 2024 5m Missing",
                "AAPL 2024 10m OtherMinutes",
                "AAPL 2024 1d Missing"
            ]
        );
    }

    #[test]
    fn what_has_no_minutes_any_more_is_work_too() {
        let files = [minutes("AAPL", "2024-01", "a")];
        let derivations = done(&plan_aggregation(&request(), &files, &[]), &files);
        let plan = plan_aggregation(&request(), &[], &derivations);
        assert_eq!(plan.partitions(), 2);
        assert_eq!(plan_aggregation(&request(), &[], &[]).partitions(), 0);
    }
}
