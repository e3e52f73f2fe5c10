//! The `[aggregation]` section: which frames are made, and what their bars are.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;

use super::ConfigError;
use super::file::AggregationValues;
use super::origin::{ConfigEntry, Layered, Setting};
use crate::domain::{AggregationChoice, Segment, Timeframe};

/// What adds bars up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// One pass over columns.
    #[default]
    Columnar,
    /// SQL in DuckDB.
    Duckdb,
}

impl Engine {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Columnar => "columnar",
            Self::Duckdb => "duckdb",
        }
    }

    /// The engine that this one is checked by.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Columnar => Self::Duckdb,
            Self::Duckdb => Self::Columnar,
        }
    }
}

/// How derived bars are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregationConfig {
    /// The frames that are made when none is named.
    pub timeframes: Vec<Timeframe>,
    /// What their bars are.
    pub choice: AggregationChoice,
    /// What adds them up.
    pub engine: Engine,
}

pub(super) fn load(
    path: Option<&Path>,
    values: &AggregationValues,
    entries: &mut Vec<ConfigEntry>,
) -> Result<AggregationConfig, ConfigError> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let timeframes = Layered::new("aggregation.timeframes")
        .file(path, values.timeframes.clone())
        .or_default(words(&["5m", "15m", "1h", "1d"]));
    let frames: Vec<Timeframe> = each(&timeframes)?;
    if frames.contains(&Timeframe::M1) {
        return Err(timeframes.refuse("1m".into(), "frames that derive from 1m, such as 5m or 1d"));
    }
    timeframes.note(entries, |words| words.join(", "));
    let anchor = Layered::new("aggregation.anchor")
        .file(path, values.anchor.clone())
        .or_default("open".into());
    let closing_auction = Layered::new("aggregation.closing_auction")
        .file(path, values.closing_auction.clone())
        .or_default("exclude".into());
    let segments = Layered::new("aggregation.segments")
        .file(path, values.segments.clone())
        .or_default(words(&Segment::ALL.map(Segment::as_str)));
    let choice = AggregationChoice {
        anchor: one(&anchor)?,
        segments: each::<Segment>(&segments)?.into_iter().collect(),
        closing_auction: one(&closing_auction)?,
    };
    anchor.note(entries, String::clone);
    segments.note(entries, |words| words.join(", "));
    closing_auction.note(entries, String::clone);
    let engine = Layered::new("aggregation.engine")
        .file(path, values.engine)
        .or_default(Engine::default())
        .note(entries, |engine| engine.as_str().to_owned());
    Ok(AggregationConfig {
        timeframes: frames,
        choice,
        engine,
    })
}

fn one<T: FromStr<Err: fmt::Display>>(setting: &Setting<String>) -> Result<T, ConfigError> {
    let parsed = setting.value.parse();
    parsed.map_err(|error| {
        setting.refuse(
            setting.value.escape_default().to_string(),
            format!("another one: {error}"),
        )
    })
}

/// The words of a list that is not empty, each parsed.
fn each<T: FromStr<Err: fmt::Display>>(
    setting: &Setting<Vec<String>>,
) -> Result<Vec<T>, ConfigError> {
    if setting.value.is_empty() {
        return Err(setting.refuse(String::new(), "one or more"));
    }
    let parse = |word: &String| {
        word.parse().map_err(|error| {
            setting.refuse(
                word.escape_default().to_string(),
                format!("others: {error}"),
            )
        })
    };
    setting.value.iter().map(parse).collect()
}
