//! Findings, series and rules as the lines and charts of the HTML page. Decides nothing about what is shown.

use crate::app::Stores;
use crate::domain::instant::format_utc;
use crate::domain::ports::{BarSelection, BarStore as _};
use crate::domain::{Calendar, Finding, GapReason, Rule, SessionDate, Severity, Symbol};
use crate::infrastructure::candle_svg::{BarLook, ChartBar};
use crate::infrastructure::html_report::{Cell, Chart, FindingLine, RuleLine, SeriesLine};
use crate::validation::{JudgedFinding, SeriesSummary, ValidationReport};

/// Bars on each side of the one that a chart is about.
const BARS_AROUND: usize = 20;

/// Every rule with what it found, by its gravest severity.
pub(super) fn rule_lines(report: &ValidationReport) -> Vec<RuleLine> {
    Rule::ALL
        .into_iter()
        .map(|rule| {
            let text = rule.text();
            let of_rule = report.rules.iter().filter(|count| count.rule == rule);
            let severity = of_rule.clone().map(|count| count.severity).max();
            RuleLine {
                id: text.id,
                severity: severity.unwrap_or(text.severity).as_str(),
                title: text.title.to_owned(),
                why: text.why.to_owned(),
                found: of_rule
                    .map(|count| count.open + count.acknowledged + count.left_out)
                    .sum(),
            }
        })
        .collect()
}

/// A finding with all that is known of it.
pub(super) fn finding_line(found: &JudgedFinding) -> FindingLine {
    let finding = &found.finding;
    let symbol = finding.symbol.as_ref().map_or("", Symbol::as_str);
    FindingLine {
        id: found.id.clone(),
        rule: finding.rule.id(),
        severity: finding.severity.as_str(),
        series: format!("{} {symbol}", finding.dataset)
            .trim_end()
            .to_owned(),
        timeframe: finding.timeframe.to_string(),
        session: finding
            .session
            .map_or_else(String::new, |date| date.to_string()),
        time: finding.ts_us.map_or_else(String::new, format_utc),
        value: finding.value.clone(),
        expected: finding.expected.clone(),
        message: finding.message.clone(),
        hint: finding.hint().to_owned(),
        acknowledged: found.acknowledged.clone(),
    }
}

/// A series with its sessions.
pub(super) fn series_line(series: &SeriesSummary) -> SeriesLine {
    let (present, expected) = series.minutes();
    let cells = series.sessions.iter().map(|session| {
        let date = session.date;
        let day = date.naive();
        let small = |number: u32| u8::try_from(number).unwrap_or_default();
        Cell {
            date: (
                date.year(),
                small(chrono::Datelike::month(&day)),
                small(chrono::Datelike::day(&day)),
            ),
            present: session.present,
            expected: session.expected,
            worst: match session.worst {
                None => 0,
                Some(Severity::Info) => 1,
                Some(Severity::Warning) => 2,
                Some(Severity::Error) => 3,
            },
            reason: match session.reason {
                None => 0,
                Some(GapReason::NotAsked) => 1,
                Some(GapReason::NoTrade) => 2,
                Some(GapReason::Quarantined) => 3,
                Some(GapReason::NotEntitled) => 4,
            },
        }
    });
    SeriesLine {
        label: format!("{} {}", series.dataset, series.symbol),
        present,
        expected,
        cells: cells.collect(),
    }
}

/// The first and the last session of a chart: a gap is seen against the session before it.
pub(super) fn sessions_drawn(symbol: &Symbol, session: SessionDate) -> (SessionDate, SessionDate) {
    let before = Calendar::of(symbol).previous_session(session);
    // What the calendar does not know may still be drawn alone.
    (before.map_or(session, |before| before.date()), session)
}

/// The bar of a finding and those around it, as far as they can be read.
pub(super) fn chart_of(stores: &Stores, finding: &Finding) -> Option<Chart> {
    let (symbol, session, ts_us) = (finding.symbol.clone()?, finding.session?, finding.ts_us?);
    let selection = BarSelection {
        dataset: Some(finding.dataset.clone()),
        symbols: vec![symbol.clone()],
        timeframe: Some(finding.timeframe),
        sessions: Some(sessions_drawn(&symbol, session)),
    };
    let loaded = stores.bars.load(&selection).ok()?;
    let mut bars: Vec<_> = loaded
        .iter()
        .flat_map(|(_, batch)| (0..batch.len()).map(|row| batch.bar(row)))
        .collect();
    let at = bars.partition_point(|bar| bar.ts_us < ts_us);
    let until = (at + BARS_AROUND + 1).min(bars.len());
    bars.truncate(until);
    let bars = bars.split_off(at.saturating_sub(BARS_AROUND).min(bars.len()));
    let bars = bars.iter().map(|bar| ChartBar {
        time: format_utc(bar.ts_us),
        open: bar.open,
        high: bar.high,
        low: bar.low,
        close: bar.close,
        volume: bar.volume,
        look: if bar.ts_us == ts_us {
            BarLook::Marked
        } else {
            BarLook::Plain
        },
    });
    let bars: Vec<ChartBar> = bars.collect();
    (!bars.is_empty()).then(|| Chart {
        title: format!("{} {symbol} {session} {}", finding.rule, finding.timeframe),
        message: finding.message.clone(),
        bars,
    })
}
