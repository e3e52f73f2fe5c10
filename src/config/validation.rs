//! The `[validation]` section: from which size on something is worth a finding, and how much it matters.

use std::path::Path;

use super::ConfigError;
use super::file::ValidationValues;
use super::origin::{ConfigEntry, Layered};
use crate::domain::rule::{Rule, Severities, Severity};
use crate::domain::services::market_data_validation::Thresholds;

/// How bars are checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidationConfig {
    /// From which size on something is worth a finding.
    pub thresholds: Thresholds,
    /// How much each rule's findings matter.
    pub severities: Severities,
    /// Findings of each rule that are kept of a series; the others are counted.
    pub findings_a_rule: usize,
}

pub(super) fn load(
    path: Option<&Path>,
    values: &ValidationValues,
    entries: &mut Vec<ConfigEntry>,
) -> Result<ValidationConfig, ConfigError> {
    let defaults = Thresholds::default();
    let mut number =
        |key: &'static str, value: Option<f64>, default: f64, least: f64, most: f64| {
            let setting = Layered::new(key).file(path, value).or_default(default);
            let setting = setting.within(least, most)?;
            Ok::<f64, ConfigError>(setting.note(entries, f64::to_string))
        };
    let most = 1e9;
    let thresholds = Thresholds {
        jump_units: number(
            "validation.jump_units",
            values.jump_units,
            defaults.jump_units,
            1.0,
            most,
        )?,
        jump_share: number(
            "validation.jump_pct",
            values.jump_pct,
            defaults.jump_share * 100.0,
            0.01,
            most,
        )? / 100.0,
        gap_units: number(
            "validation.gap_units",
            values.gap_units,
            defaults.gap_units,
            1.0,
            most,
        )?,
        gap_share: number(
            "validation.gap_pct",
            values.gap_pct,
            defaults.gap_share * 100.0,
            0.01,
            most,
        )? / 100.0,
        split_tolerance: number(
            "validation.split_tolerance_pct",
            values.split_tolerance_pct,
            defaults.split_tolerance * 100.0,
            0.0,
            20.0,
        )? / 100.0,
        volume_units: number(
            "validation.volume_units",
            values.volume_units,
            defaults.volume_units,
            1.0,
            most,
        )?,
        volume_factor: number(
            "validation.volume_factor",
            values.volume_factor,
            defaults.volume_factor,
            1.0,
            most,
        )?,
        session_volume_factor: number(
            "validation.session_volume_factor",
            values.session_volume_factor,
            defaults.session_volume_factor,
            1.0,
            most,
        )?,
        ..defaults
    };
    let mut count = |key: &'static str, value: Option<u32>, default: usize, most: u32| {
        let default = u32::try_from(default).unwrap_or(u32::MAX);
        let setting = Layered::new(key).file(path, value).or_default(default);
        let setting = setting.within(1, most)?;
        let count = setting.note(entries, u32::to_string);
        Ok::<usize, ConfigError>(usize::try_from(count).unwrap_or(usize::MAX))
    };
    let thresholds = Thresholds {
        spike_bars: count(
            "validation.spike_bars",
            values.spike_bars,
            thresholds.spike_bars,
            60,
        )?,
        stale_bars: count(
            "validation.stale_bars",
            values.stale_bars,
            thresholds.stale_bars,
            1_440,
        )?,
        ..thresholds
    };
    let findings_a_rule = count(
        "validation.findings_per_rule",
        values.findings_per_rule,
        100,
        1_000_000,
    )?;
    let said: Vec<String> = values
        .severity
        .iter()
        .map(|(rule, severity)| format!("{rule} = {severity}"))
        .collect();
    let severity = Layered::new("validation.severity")
        .file(path, (!said.is_empty()).then(|| said.join(", ")))
        .or_default("(as the rules say)".into());
    let mut severities = Severities::default();
    for (rule, level) in &values.severity {
        let refuse = |expected: String| {
            let shown = format!("{rule} = {level}").escape_default().to_string();
            severity.refuse(shown, expected)
        };
        let parsed: Rule = rule
            .parse()
            .map_err(|error| refuse(format!("rules: {error}")))?;
        let level = match level.as_str() {
            "off" => None,
            level => Some(
                level
                    .parse::<Severity>()
                    .map_err(|_| refuse("off, info, warning or error".to_owned()))?,
            ),
        };
        severities.set(parsed, level);
    }
    severity.note(entries, String::clone);
    Ok(ValidationConfig {
        thresholds,
        severities,
        findings_a_rule,
    })
}
