//! Writes what a validation found as one HTML page that needs nothing else; knows no rules, no lake and no calendar.
//!
//! Here is what a page shows; each file below writes a part of it.

mod charts;
mod findings;
mod heat_map;
mod page;
#[cfg(test)]
mod tests;

use super::candle_svg::ChartBar;

/// Everything one page shows, in the order in which it shows it.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The heading and the window's title.
    pub title: String,
    /// What was checked, in words.
    pub scope: String,
    /// When the check ended, UTC, as text.
    pub generated: String,
    /// How much less than the scope was checked, in words; `None` when all of it was.
    pub partial: Option<String>,
    /// The counts over what was checked.
    pub totals: Totals,
    /// The series of the scope that could not be checked.
    pub not_checked: Vec<NotCheckedLine>,
    /// Every rule that was applied, also those that found nothing.
    pub rules: Vec<RuleLine>,
    /// One line of the heat map for each series.
    pub series: Vec<SeriesLine>,
    /// The findings that are listed, in the order in which they are listed.
    pub findings: Vec<FindingLine>,
    /// How many findings the list does not hold.
    pub findings_left_out: u64,
    /// The bars around some of the findings.
    pub charts: Vec<Chart>,
}

/// Counts over what was checked.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Findings of severity error.
    pub errors: u64,
    /// Findings of severity warning.
    pub warnings: u64,
    /// Findings of severity info.
    pub infos: u64,
    /// Findings that someone acknowledged with a reason.
    pub acknowledged: u64,
    /// Series that were checked.
    pub series: u64,
    /// Sessions that were checked.
    pub sessions: u64,
    /// Minutes that were checked.
    pub minutes: u64,
    /// Minutes that were expected and are not there.
    pub missing_minutes: u64,
    /// Minutes that the calendar expects.
    pub expected_minutes: u64,
}

/// One series of which the page can say nothing else.
#[derive(Debug, Clone, Default)]
pub struct NotCheckedLine {
    /// The series' name, such as `alpaca/sip/raw AAPL`.
    pub series: String,
    /// Why it could not be checked.
    pub reason: String,
}

/// One rule and how often it found something.
#[derive(Debug, Clone, Default)]
pub struct RuleLine {
    /// The rule's id, such as `MP-P005`.
    pub id: &'static str,
    /// One of `error`, `warning`, `info`.
    pub severity: &'static str,
    /// What the rule looks for, in a few words.
    pub title: String,
    /// Why it matters, in a sentence.
    pub why: String,
    /// How many findings it made.
    pub found: u64,
}

/// How complete one series is, session by session.
#[derive(Debug, Clone, Default)]
pub struct SeriesLine {
    /// The series' name, such as `alpaca/sip/raw AAPL`.
    pub label: String,
    /// Minutes that are there, over all sessions.
    pub present: u64,
    /// Minutes that were expected, over all sessions.
    pub expected: u64,
    /// The sessions, in any order; of two for one date the last is shown.
    pub cells: Vec<Cell>,
}

/// How complete one session of a series is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cell {
    /// The session's date: year, month 1–12, day 1–31.
    pub date: (i32, u8, u8),
    /// Minutes that are there.
    pub present: u16,
    /// Minutes that were expected.
    pub expected: u16,
    /// The worst finding of the session: 0 none, 1 info, 2 warning, 3 error.
    pub worst: u8,
    /// Why most of the missing minutes are missing: 0 none missing or not known, 1 not asked, 2 no trade,
    /// 3 quarantined, 4 not entitled.
    pub reason: u8,
}

/// One finding, all of it as text that is ready to be read.
#[derive(Debug, Clone, Default)]
pub struct FindingLine {
    /// The finding's id.
    pub id: String,
    /// The id of the rule that made it.
    pub rule: &'static str,
    /// One of `error`, `warning`, `info`.
    pub severity: &'static str,
    /// The series' name.
    pub series: String,
    /// The bars' length, such as `1m`.
    pub timeframe: String,
    /// The session's date.
    pub session: String,
    /// The time of the bar, or empty when the finding is about a whole session.
    pub time: String,
    /// What was found.
    pub value: String,
    /// What was expected instead.
    pub expected: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What can be done about it, or empty.
    pub hint: String,
    /// The reason with which someone acknowledged it.
    pub acknowledged: Option<String>,
}

/// Bars around one finding.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    /// Which bars these are.
    pub title: String,
    /// What is wrong with the marked ones.
    pub message: String,
    /// The offending bars and some neighbours, in time order.
    pub bars: Vec<ChartBar>,
}
