//! Writes what a validation found as one HTML page that needs nothing else; knows no rules, no lake and no calendar.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

/// Everything one page shows, in the order in which it shows it.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The heading and the window's title.
    pub title: String,
    /// What was checked, in words.
    pub scope: String,
    /// When the check ended, UTC, as text.
    pub generated: String,
    /// The counts over the whole scope.
    pub totals: Totals,
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

/// Counts over the whole scope.
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

/// One bar of a chart.
#[derive(Debug, Clone, Default)]
pub struct ChartBar {
    /// When the bar begins; a text that starts as `2024-03-05 14:30` or `2024-03-05` gives short labels.
    pub time: String,
    /// The first price.
    pub open: f64,
    /// The highest price.
    pub high: f64,
    /// The lowest price.
    pub low: f64,
    /// The last price.
    pub close: f64,
    /// Shares traded.
    pub volume: f64,
    /// Whether this is an offending bar.
    pub is_marked: bool,
}

impl Page {
    /// Writes the page as UTF-8 HTML; equal pages give equal bytes.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        // The sections write in many small pieces.
        let mut out = io::BufWriter::new(out);
        self.write_header(&mut out)?;
        self.write_completeness(&mut out)?;
        self.write_rules(&mut out)?;
        self.write_charts(&mut out)?;
        self.write_findings(&mut out)?;
        write!(
            out,
            "</main>\n<div id=\"tip\" role=\"status\" hidden></div>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
        )?;
        out.flush()
    }

    fn write_header(&self, out: &mut dyn Write) -> io::Result<()> {
        // Only the one script whose digest stands here may run, so a text that slipped through as a tag would still
        // do nothing; and nothing at all may be loaded or sent.
        write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'sha256-{SCRIPT_SHA256}'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
            title = Html(&self.title),
        )?;
        let (mood, verdict) = self.verdict();
        write!(
            out,
            "<header>\n<p class=\"eyebrow\">{}</p>\n<h1 class=\"{mood}\">{verdict}</h1>\n<p class=\"scope\">{}</p>\n\
             <p class=\"quiet\">Checked {}{}</p>\n",
            Html(&self.title),
            Html(&self.scope),
            Html(&self.generated),
            if self.generated.ends_with('Z') || self.generated.ends_with("UTC") {
                ""
            } else {
                " UTC"
            },
        )?;
        out.write_all(b"<nav aria-label=\"Sections\"><a href=\"#completeness\">Completeness</a>")?;
        out.write_all(b"<a href=\"#rules\">Rules</a>")?;
        if !self.charts.is_empty() {
            out.write_all(b"<a href=\"#charts\">Charts</a>")?;
        }
        out.write_all(b"<a href=\"#findings\">Findings</a></nav>\n</header>\n")?;

        let t = &self.totals;
        out.write_all(b"<dl class=\"totals\">\n")?;
        for (name, mood, count) in [
            ("Errors", "error", t.errors),
            ("Warnings", "warning", t.warnings),
            ("Infos", "info", t.infos),
            ("Acknowledged", "", t.acknowledged),
            ("Series", "", t.series),
            ("Sessions", "", t.sessions),
            ("Minutes checked", "", t.minutes),
        ] {
            let mood = if count == 0 { "" } else { mood };
            let count = Grouped(count);
            writeln!(
                out,
                "<div class=\"{mood}\"><dt>{name}</dt><dd>{count}</dd></div>"
            )?;
        }
        write!(
            out,
            "<div><dt>Missing minutes</dt><dd>{}</dd>",
            Grouped(t.missing_minutes)
        )?;
        if t.expected_minutes > 0 {
            write!(
                out,
                "<dd class=\"quiet\">{} of {}</dd>",
                MissingPercent(t.missing_minutes, t.expected_minutes),
                Grouped(t.expected_minutes),
            )?;
        }
        out.write_all(b"</div>\n</dl>\n")
    }

    /// The page's first sentence, and the class that colours it.
    fn verdict(&self) -> (&'static str, String) {
        let t = &self.totals;
        let series = counted(t.series, "series", "series");
        if t.errors == 0 && t.warnings == 0 {
            if t.series == 0 && self.series.is_empty() {
                return (
                    "",
                    "Nothing was checked: no series in this scope".to_owned(),
                );
            }
            return ("good", format!("Nothing at or above a warning in {series}"));
        }
        let mut parts = Vec::new();
        if t.errors > 0 {
            parts.push(counted(t.errors, "error", "errors"));
        }
        if t.warnings > 0 {
            parts.push(counted(t.warnings, "warning", "warnings"));
        }
        let mood = if t.errors > 0 { "error" } else { "warning" };
        (mood, format!("{} in {series}", parts.join(", ")))
    }

    fn write_completeness(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"<section id=\"completeness\">\n<h2>Completeness</h2>\n")?;
        if self.series.is_empty() {
            return out
                .write_all(b"<p class=\"quiet\">There are no series to show.</p>\n</section>\n");
        }
        out.write_all(HEAT_MAP.as_bytes())?;
        self.write_heat_data(out)?;
        self.write_series_table(out)?;
        out.write_all(b"</section>\n")
    }

    /// The heat map's data: each distinct cell once, and a series as runs of their numbers in base 36 (`-` where the
    /// series has no entry). Most sessions are complete, so even hundreds of series over ten years stay small.
    fn write_heat_data(&self, out: &mut dyn Write) -> io::Result<()> {
        let dates: BTreeSet<_> = (self.series.iter())
            .flat_map(|line| line.cells.iter().map(|cell| cell.date))
            .collect();
        let dates: Vec<_> = dates.into_iter().collect();
        let mut kinds = BTreeMap::new();
        let mut listed = Vec::new();

        out.write_all(b"<script type=\"application/json\" id=\"heat-data\">{\"rows\":[")?;
        for (index, line) in self.series.iter().enumerate() {
            let mut slots: Vec<Option<usize>> = vec![None; dates.len()];
            for cell in &line.cells {
                let reason = if cell.reason > 4 { 0 } else { cell.reason };
                let kind = (cell.present, cell.expected, cell.worst.min(3), reason);
                let number = *kinds.entry(kind).or_insert_with(|| {
                    listed.push(kind);
                    listed.len() - 1
                });
                if let Ok(slot) = dates.binary_search(&cell.date) {
                    slots[slot] = Some(number);
                }
            }
            let comma = if index == 0 { "" } else { ",\n" };
            write!(out, "{comma}[{},\"", Json(&line.label))?;
            for (index, run) in slots.chunk_by(|a, b| a == b).enumerate() {
                let space = if index == 0 { "" } else { " " };
                let token = run[0].map_or_else(|| "-".to_owned(), base_36);
                write!(out, "{space}{token}")?;
                if run.len() > 1 {
                    write!(out, "*{}", base_36(run.len()))?;
                }
            }
            out.write_all(b"\"]")?;
        }
        out.write_all(b"],\n\"kinds\":[")?;
        for (index, (present, expected, worst, reason)) in listed.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}[{present},{expected},{worst},{reason}]")?;
        }
        out.write_all(b"],\n\"sessions\":[")?;
        for (index, (year, month, day)) in dates.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}\"{year:04}-{month:02}-{day:02}\"")?;
        }
        out.write_all(b"]}</script>\n")
    }

    /// The same as the heat map, in numbers: it is what a reader without scripts, or of a printout, has.
    fn write_series_table(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(
            b"<details id=\"series-table\" open><summary>The series in numbers</summary>\n<div class=\"scroll\"><table>\n\
              <thead><tr><th>Series</th><th class=\"n\">Present</th><th class=\"n\">Expected</th>\
              <th class=\"n\">Missing</th><th class=\"n\">Complete</th><th class=\"barcol\"></th>\
              <th>Sessions with gaps, by main reason</th><th>Sessions with findings</th></tr></thead>\n<tbody>\n",
        )?;
        for line in &self.series {
            let percent = Percent(line.present, line.expected);
            write!(
                out,
                "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{percent}</td><td class=\"barcol\">",
                Html(&line.label),
                Grouped(line.present),
                Grouped(line.expected),
                Grouped(line.expected.saturating_sub(line.present)),
            )?;
            if let Some(width) = hundredths(line.present, line.expected) {
                write!(
                    out,
                    "<svg class=\"bar\" viewBox=\"0 0 10000 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
                     <rect width=\"{width}\" height=\"1\"/></svg>"
                )?;
            }
            let mut gaps = [0_u64; REASONS.len()];
            let mut worst = [0_u64; 4];
            for cell in &line.cells {
                worst[usize::from(cell.worst.min(3))] += 1;
                if cell.present < cell.expected {
                    let reason = usize::from(cell.reason);
                    gaps[if reason < gaps.len() { reason } else { 0 }] += 1;
                }
            }
            let gaps = listing(&gaps, &REASONS);
            let found = listing(&worst[2..], &["with a warning", "with an error"]);
            writeln!(out, "</td><td>{gaps}</td><td>{found}</td></tr>")?;
        }
        out.write_all(b"</tbody></table></div></details>\n")
    }

    fn write_rules(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"<section id=\"rules\">\n<h2>Rules</h2>\n")?;
        let (mut hit, quiet): (Vec<_>, Vec<_>) = self.rules.iter().partition(|rule| rule.found > 0);
        hit.sort_by_key(|rule| {
            (
                std::cmp::Reverse((rank(rule.severity), rule.found)),
                rule.id,
            )
        });
        if hit.is_empty() {
            out.write_all(b"<p class=\"quiet\">No rule found anything.</p>\n")?;
        } else {
            write_rule_table(out, &hit)?;
        }
        if !quiet.is_empty() {
            let count = counted(quiet.len() as u64, "rule", "rules");
            writeln!(out, "<details><summary>{count} found nothing</summary>")?;
            write_rule_table(out, &quiet)?;
            out.write_all(b"</details>\n")?;
        }
        out.write_all(b"</section>\n")
    }

    fn write_charts(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.charts.is_empty() {
            return Ok(());
        }
        out.write_all(
            b"<section id=\"charts\">\n<h2>Offending bars</h2>\n<p class=\"quiet\">Filled candles fell, hollow ones \
              rose; the marked bars stand on a tinted band. The lower part is the volume.</p>\n<div class=\"charts\">\n",
        )?;
        for chart in &self.charts {
            write!(
                out,
                "<figure><figcaption><b>{}</b> {}</figcaption>\n{}</figure>\n",
                Html(&chart.title),
                Html(&chart.message),
                Candles(chart),
            )?;
        }
        out.write_all(b"</div>\n</section>\n")
    }

    fn write_findings(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"<section id=\"findings\">\n<h2>Findings</h2>\n")?;
        if self.findings.is_empty() {
            out.write_all(b"<p class=\"quiet\">There are no findings to list.</p>\n")?;
        } else {
            self.write_filter(out)?;
            out.write_all(
                b"<table class=\"stacks\"><thead><tr><th>Severity</th><th>Rule</th><th>Series</th><th>When</th>\
                  <th>Found</th><th>Expected</th><th>What is wrong</th></tr></thead>\n<tbody id=\"list\">\n",
            )?;
            for finding in &self.findings {
                finding.write_row(out)?;
            }
            out.write_all(b"</tbody></table>\n")?;
        }
        if self.findings_left_out > 0 {
            let (more, are) = if self.findings_left_out == 1 {
                ("finding", "is")
            } else {
                ("findings", "are")
            };
            writeln!(
                out,
                "<p class=\"left-out\">{} more {more} {are} not listed here; the CSV report has them all.</p>",
                Grouped(self.findings_left_out),
            )?;
        }
        out.write_all(b"</section>\n")
    }

    /// The controls over the findings. They stay hidden until the script, which makes them work, has started.
    fn write_filter(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(
            b"<form id=\"filter\" class=\"controls\" autocomplete=\"off\" hidden>\n<fieldset><legend>Severity</legend>",
        )?;
        for severity in ["error", "warning", "info"] {
            let count = (self.findings.iter())
                .filter(|finding| finding.severity == severity)
                .count();
            write!(
                out,
                "<label><input type=\"checkbox\" name=\"{severity}\" checked> {severity} <small>{count}</small></label>"
            )?;
        }
        let acknowledged = (self.findings.iter())
            .filter(|finding| finding.acknowledged.is_some())
            .count();
        if acknowledged > 0 {
            write!(
                out,
                "<label><input type=\"checkbox\" name=\"acknowledged\" checked> acknowledged <small>{acknowledged}\
                 </small></label>"
            )?;
        }
        out.write_all(
            b"</fieldset>\n<label>Rule <select name=\"rule\"><option value=\"\">all</option>",
        )?;
        let rules: BTreeSet<_> = self.findings.iter().map(|finding| finding.rule).collect();
        for rule in rules {
            write!(out, "<option>{}</option>", Html(rule))?;
        }
        out.write_all(
            b"</select></label>\n<label>Text <input type=\"search\" name=\"text\" placeholder=\"symbol, date, words\">\
              </label>\n<output id=\"shown\"></output>\n</form>\n",
        )
    }
}

impl FindingLine {
    fn write_row(&self, out: &mut dyn Write) -> io::Result<()> {
        let class = if self.acknowledged.is_some() {
            " class=\"acknowledged\""
        } else {
            ""
        };
        // A time that begins with its session's date says both.
        let session = if !self.session.is_empty() && self.time.starts_with(&self.session) {
            ""
        } else {
            &self.session
        };
        write!(
            out,
            "<tr{class} data-severity=\"{0}\" data-rule=\"{1}\"><td data-name=\"Severity\" class=\"tagged\"><span class=\"tag {2}\">{0}</span>\
             </td><td data-name=\"Rule\" class=\"tagged\"><code>{1}</code></td><td data-name=\"Series\" class=\"series\">{3} <small>{4}</small></td>\
             <td data-name=\"When\" class=\"when\">{5} {6}</td>\
             <td data-name=\"Found\" class=\"value\">{7}</td><td data-name=\"Expected\" class=\"value\">{8}</td>\
             <td data-name=\"What is wrong\" class=\"what\">",
            Html(self.severity),
            Html(self.rule),
            severity_class(self.severity),
            Html(&self.series),
            Html(&self.timeframe),
            Html(session),
            Html(&self.time),
            Html(&self.value),
            Html(&self.expected),
        )?;
        // One endless message must not push all the others off the window.
        match self.message.char_indices().nth(LONG_MESSAGE) {
            Some((cut, _)) => write!(
                out,
                "<details><summary>{}\u{2026}</summary>\u{2026}{}</details>",
                Html(&self.message[..cut]),
                Html(&self.message[cut..]),
            )?,
            None => write!(out, "{}", Html(&self.message))?,
        }
        if !self.hint.is_empty() {
            write!(out, "<p class=\"hint\">{}</p>", Html(&self.hint))?;
        }
        if let Some(reason) = &self.acknowledged {
            write!(
                out,
                "<p class=\"hint\"><b>Acknowledged:</b> {}</p>",
                Html(reason)
            )?;
        }
        writeln!(out, "<p class=\"id\">{}</p></td></tr>", Html(&self.id))
    }
}

/// How many characters of a message stand in the open.
const LONG_MESSAGE: usize = 320;

/// The words for `Cell::reason`.
const REASONS: [&str; 5] = [
    "for another reason",
    "not asked",
    "no trade",
    "quarantined",
    "not entitled",
];

fn write_rule_table(out: &mut dyn Write, rules: &[&RuleLine]) -> io::Result<()> {
    out.write_all(
        b"<table class=\"stacks rules\"><thead><tr><th>Severity</th><th>Rule</th><th class=\"n\">Found</th>\
          <th>What it looks for, and why</th></tr></thead>\n<tbody>\n",
    )?;
    for rule in rules {
        write!(
            out,
            "<tr><td data-name=\"Severity\" class=\"tagged\"><span class=\"tag {}\">{}</span></td><td data-name=\"Rule\" class=\"tagged\">",
            severity_class(rule.severity),
            Html(rule.severity),
        )?;
        if rule.found > 0 {
            write!(
                out,
                "<a href=\"#findings\" data-rule=\"{0}\"><code>{0}</code></a>",
                Html(rule.id)
            )?;
        } else {
            write!(out, "<code>{}</code>", Html(rule.id))?;
        }
        writeln!(
            out,
            "</td><td data-name=\"Found\" class=\"tagged n\">{}</td><td class=\"what\"><b>{}</b><p class=\"hint\">{}</p></td></tr>",
            Grouped(rule.found),
            Html(&rule.title),
            Html(&rule.why),
        )?;
    }
    out.write_all(b"</tbody></table>\n")
}

/// Orders severities; what is none of the three comes last.
fn rank(severity: &str) -> u8 {
    match severity {
        "error" => 3,
        "warning" => 2,
        "info" => 1,
        _ => 0,
    }
}

fn severity_class(severity: &str) -> &'static str {
    ["info", "info", "warning", "error"][usize::from(rank(severity))]
}

/// The counts that are not 0 with their words, `12 not asked, 3 no trade`.
fn listing(counts: &[u64], words: &[&str]) -> String {
    let parts: Vec<_> = (counts.iter().zip(words).rev())
        .filter(|(count, _)| **count > 0)
        .map(|(count, words)| format!("{} {words}", Grouped(*count)))
        .collect();
    parts.join(", ")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", Grouped(count), if count == 1 { one } else { many })
}

/// The whole hundredths of a percent that `part` is of `whole`: rounded down, so that only all of it is 100 %.
fn hundredths(part: u64, whole: u64) -> Option<u64> {
    let share = u128::from(part.min(whole)) * 10_000;
    let share = share.checked_div(u128::from(whole))?;
    u64::try_from(share).ok()
}

fn base_36(mut number: usize) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[number % 36]);
        number /= 36;
        if number == 0 {
            return digits
                .iter()
                .rev()
                .map(|digit| char::from(*digit))
                .collect();
        }
    }
}

/// What stands for a character that would not be seen, or would reorder the text around it.
fn visible(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => ' ',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fffe}'..='\u{ffff}' => '\u{fffd}',
        _ => c,
    }
}

/// A text inside HTML or SVG, between tags or within a quoted attribute.
struct Html<'a>(&'a str);

impl Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match visible(c) {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A JSON string inside a script element: no character of it can end the element.
struct Json<'a>(&'a str);

impl Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match visible(c) {
                c @ ('"' | '\\' | '<' | '>' | '&' | '\'') => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// A count with a comma before every three digits.
struct Grouped(u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// The share of a part in a whole; a dash when the whole is nothing.
struct Percent(u64, u64);

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match hundredths(self.0, self.1) {
            Some(share) => write!(f, "{}.{:02}\u{a0}%", share / 100, share % 100),
            None => f.write_str("\u{2013}"),
        }
    }
}

/// As `Percent`, for what is missing: a little is never shown as none.
struct MissingPercent(u64, u64);

impl Display for MissingPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 && hundredths(self.0, self.1) == Some(0) {
            return f.write_str("under 0.01\u{a0}%");
        }
        Percent(self.0, self.1).fmt(f)
    }
}

/// A chart as an inline SVG of candles above their volumes.
struct Candles<'a>(&'a Chart);

// The drawing's own units. The window scales it, so they are chosen to be read at half the width of a wide window
// and at the whole of a narrow one.
const CHART_WIDTH: f64 = 480.0;
const CHART_HEIGHT: f64 = 290.0;
const PLOT_LEFT: f64 = 4.0;
const PLOT_RIGHT: f64 = 412.0;
const PRICE_TOP: f64 = 22.0;
const PRICE_BOTTOM: f64 = 198.0;
const VOLUME_TOP: f64 = 208.0;
const VOLUME_BOTTOM: f64 = 250.0;
/// Larger numbers than this are no prices or volumes, and would leave no room for the others.
const DRAWABLE: f64 = 1e15;

impl Display for Candles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bars = &self.0.bars;
        if bars.is_empty() {
            return f.write_str("<p class=\"quiet\">There are no bars to draw.</p>\n");
        }
        write!(
            f,
            "<svg class=\"candles\" viewBox=\"0 0 {CHART_WIDTH} {CHART_HEIGHT}\" role=\"img\" aria-label=\"{}. {}\">",
            Html(&self.0.title),
            Html(&self.0.message),
        )?;
        let prices = Axis::over(bars.iter().filter_map(prices).flatten());
        let tallest = (bars.iter().map(|bar| bar.volume))
            .filter(|volume| is_drawable(*volume))
            .fold(0.0, f64::max);
        prices.draw(f)?;
        write!(
            f,
            "<path class=\"grid\" d=\"M{PLOT_LEFT} {VOLUME_BOTTOM}H{PLOT_RIGHT}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            PLOT_RIGHT + 6.0,
            VOLUME_TOP + 9.0,
            Short(tallest),
        )?;

        let times: Vec<_> = bars.iter().map(|bar| Moment::of(&bar.time)).collect();
        let slot = (PLOT_RIGHT - PLOT_LEFT) / count(bars.len());
        let middle = |index: usize| PLOT_LEFT + slot * (count(index) + 0.5);
        for (index, pair) in times.windows(2).enumerate() {
            if pair[0].clock.is_some() && pair[0].date != pair[1].date {
                let x = middle(index) + slot / 2.0;
                write!(
                    f,
                    "<path class=\"day\" d=\"M{x:.1} {PRICE_TOP}V{VOLUME_BOTTOM}\"/>"
                )?;
            }
        }
        for (index, bar) in bars.iter().enumerate() {
            draw_bar(f, bar, &prices, tallest, middle(index), slot)?;
        }
        draw_times(f, bars, &times, middle)?;
        f.write_str("</svg>\n")
    }
}

/// The prices of a bar that can be drawn.
fn prices(bar: &ChartBar) -> Option<[f64; 4]> {
    let prices = [bar.open, bar.high, bar.low, bar.close];
    prices
        .iter()
        .all(|price| is_drawable(*price))
        .then_some(prices)
}

fn is_drawable(number: f64) -> bool {
    number.is_finite() && number.abs() <= DRAWABLE
}

/// A number of bars for computing places.
fn count(bars: usize) -> f64 {
    u32::try_from(bars).map_or(f64::from(u32::MAX), f64::from)
}

fn draw_bar(
    f: &mut fmt::Formatter<'_>,
    bar: &ChartBar,
    axis: &Axis,
    tallest: f64,
    x: f64,
    slot: f64,
) -> fmt::Result {
    let trend = if bar.close < bar.open { "fell" } else { "rose" };
    let marked = if bar.is_marked { " marked" } else { "" };
    write!(
        f,
        "<g class=\"{trend}{marked}\"><title>{}\u{a0} open {}, high {}, low {}, close {}, volume {}{}</title>\
         <rect class=\"band\" x=\"{:.1}\" y=\"{PRICE_TOP}\" width=\"{slot:.1}\" height=\"{:.1}\"/>",
        Html(&bar.time),
        Exact(bar.open),
        Exact(bar.high),
        Exact(bar.low),
        Exact(bar.close),
        Exact(bar.volume),
        if bar.is_marked { " (marked)" } else { "" },
        x - slot / 2.0,
        VOLUME_BOTTOM - PRICE_TOP,
    )?;
    let width = (slot * 0.64).clamp(0.6, 11.0);
    let left = x - width / 2.0;
    if let Some([open, high, low, close]) = prices(bar).map(|all| all.map(|price| axis.y(price))) {
        // Offending bars may have a high below their low, so nothing here relies on their order.
        let (top, height) = (open.min(close), (open - close).abs().max(1.0));
        write!(
            f,
            "<path d=\"M{x:.1} {high:.1}V{low:.1}\"/>\
             <rect class=\"body\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        )?;
    } else {
        write!(
            f,
            "<text class=\"bad\" x=\"{x:.1}\" y=\"{:.1}\">\u{d7}</text>",
            PRICE_BOTTOM - 4.0
        )?;
    }
    if is_drawable(bar.volume) && bar.volume > 0.0 && tallest > 0.0 {
        let height = ((VOLUME_BOTTOM - VOLUME_TOP) * (bar.volume / tallest)).max(0.5);
        write!(
            f,
            "<rect class=\"volume\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
            VOLUME_BOTTOM - height
        )?;
    }
    f.write_str("</g>")
}

/// The times: a few under the plot, and those of marked bars above it.
fn draw_times(
    f: &mut fmt::Formatter<'_>,
    bars: &[ChartBar],
    times: &[Moment<'_>],
    middle: impl Fn(usize) -> f64,
) -> fmt::Result {
    let is_one_day = times.iter().all(|time| time.date == times[0].date);
    let has_clocks = times.iter().any(|time| time.clock.is_some());
    let (low, high) = (VOLUME_BOTTOM + 15.0, VOLUME_BOTTOM + 31.0);
    let mut next_free = 0.0;
    for (index, time) in times.iter().enumerate().step_by(times.len().div_ceil(4)) {
        let x = middle(index);
        let inside = x.clamp(36.0, PLOT_RIGHT - 20.0);
        if inside < next_free {
            continue;
        }
        next_free = inside + 76.0;
        write!(
            f,
            "<path class=\"grid\" d=\"M{x:.1} {VOLUME_BOTTOM}v4\"/>\
             <text class=\"mid\" x=\"{inside:.1}\" y=\"{low}\">{}</text>",
            Html(time.clock.unwrap_or(time.date)),
        )?;
        if time.clock.is_some() && !is_one_day {
            write!(
                f,
                "<text class=\"mid\" x=\"{inside:.1}\" y=\"{high}\">{}</text>",
                Html(time.date)
            )?;
        }
    }
    if has_clocks && is_one_day {
        write!(
            f,
            "<text x=\"{PLOT_LEFT}\" y=\"{high}\">{} {}</text>",
            Html(times[0].date),
            Html(times[0].zone),
        )?;
    } else if has_clocks {
        write!(
            f,
            "<text x=\"{:.1}\" y=\"{low}\">{}</text>",
            PLOT_RIGHT + 6.0,
            Html(times[0].zone),
        )?;
    }

    let mut next_free = 0.0;
    for (index, time) in times.iter().enumerate() {
        let is_first_of_run = bars[index].is_marked && (index == 0 || !bars[index - 1].is_marked);
        let x = middle(index).clamp(36.0, PLOT_RIGHT - 20.0);
        if is_first_of_run && x >= next_free {
            next_free = x + 76.0;
            write!(
                f,
                "<text class=\"mid mark\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                PRICE_TOP - 7.0,
                Html(time.clock.unwrap_or(time.date)),
            )?;
        }
    }
    Ok(())
}

/// A bar's time in the pieces that labels need.
#[derive(Debug)]
struct Moment<'a> {
    /// The date; of a text in another form as much as a label can hold.
    date: &'a str,
    /// Hour and minute, where there are any.
    clock: Option<&'a str>,
    zone: &'a str,
}

impl<'a> Moment<'a> {
    fn of(text: &'a str) -> Self {
        let is_like = |part: &str, form: &str| {
            part.bytes()
                .zip(form.bytes())
                .all(|(byte, form)| byte == form || (form == b'0' && byte.is_ascii_digit()))
        };
        let date = (text.get(..10)).filter(|part| is_like(part, "0000-00-00"));
        let Some(date) = date else {
            let end = text.char_indices().nth(12).map_or(text.len(), |(at, _)| at);
            return Self {
                date: &text[..end],
                clock: None,
                zone: "",
            };
        };
        let clock = (text.get(11..16)).filter(|part| is_like(part, "00:00"));
        let rest = clock.and_then(|_| text.get(16..)).unwrap_or("");
        let rest = rest.trim_start_matches(|c: char| c == ':' || c == '.' || c.is_ascii_digit());
        let zone = match rest.trim() {
            "Z" => "UTC",
            zone => zone,
        };
        Self { date, clock, zone }
    }
}

/// The price axis.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// An axis with some room around the prices, all of them drawable.
    fn over(prices: impl Iterator<Item = f64>) -> Self {
        let (low, high) = prices.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), price| {
            (low.min(price), high.max(price))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let room = ((high - low) * 0.06)
            .max(low.abs().max(high.abs()) * 0.0005)
            .max(1e-6);
        let (low, high) = (low - room, high + room);
        // At most six steps of 1, 2 or 5 times a power of ten. Found by multiplying, because logarithms need not give
        // the same last bit on every machine.
        let rough = (high - low) / 6.0;
        let mut power = 1.0;
        while power * 10.0 <= rough {
            power *= 10.0;
        }
        while power > rough {
            power /= 10.0;
        }
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        let step = step
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        Self { low, high, step }
    }

    fn y(&self, price: f64) -> f64 {
        PRICE_BOTTOM - (price - self.low) / (self.high - self.low) * (PRICE_BOTTOM - PRICE_TOP)
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut decimals = 0;
        let mut shown = self.step;
        while shown < 0.999 && decimals < 8 {
            shown *= 10.0;
            decimals += 1;
        }
        let first = (self.low / self.step).ceil();
        for index in 0..12_u32 {
            // Adding 0 turns a negative zero into a plain one.
            let price = (first + f64::from(index)) * self.step + 0.0;
            if price > self.high {
                break;
            }
            let (y, x) = (self.y(price), PLOT_RIGHT + 6.0);
            write!(
                f,
                "<path class=\"grid\" d=\"M{PLOT_LEFT} {y:.1}H{PLOT_RIGHT}\"/><text x=\"{x:.1}\" y=\"{:.1}\">",
                y + 4.0
            )?;
            if price.abs() < 1e7 {
                write!(f, "{price:.decimals$}</text>")?;
            } else {
                write!(f, "{}</text>", Short(price))?;
            }
        }
        Ok(())
    }
}

/// A number with all its digits, unless they would be hundreds.
struct Exact(f64);

impl Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if !is_drawable(self.0) || (size > 0.0 && size < 1e-6) {
            return write!(f, "{:e}", self.0);
        }
        write!(f, "{}", self.0)
    }
}

/// A number in few characters, for an axis.
struct Short(f64);

impl Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        for (least, unit, letter) in [
            (1e12, 1e12, 'T'),
            (1e9, 1e9, 'G'),
            (1e6, 1e6, 'M'),
            (1e4, 1e3, 'k'),
        ] {
            if size >= least {
                let number = format!("{:.1}", self.0 / unit);
                return write!(f, "{}{letter}", number.trim_end_matches(".0"));
            }
        }
        Exact(self.0).fmt(f)
    }
}

/// The heat map's frame; the script fills it. The legend's swatches take their colours from the same variables.
const HEAT_MAP: &str = r#"<div id="heat" hidden>
<form class="controls" autocomplete="off">
<fieldset><legend>Columns</legend><label><input type="radio" name="unit" value="session"> sessions</label>
<label><input type="radio" name="unit" value="week"> weeks</label>
<label><input type="radio" name="unit" value="month"> months</label></fieldset>
<fieldset><legend>Colour</legend><label><input type="radio" name="colour" value="share" checked> how complete</label>
<label><input type="radio" name="colour" value="reason"> why incomplete</label></fieldset>
<label><input type="checkbox" name="worst"> least complete first</label>
</form>
<div class="box"><div><canvas tabindex="0" role="application" aria-label="Completeness of each series over its sessions. Arrow keys move from cell to cell and say what is in it; the table below has the same in numbers."></canvas></div></div>
<p class="legend">
<span data-for="share">Present <i class="c7"></i>all <i class="c6"></i>&#8805;99&#8239;% <i class="c5"></i>&#8805;95&#8239;% <i class="c4"></i>&#8805;90&#8239;% <i class="c3"></i>&#8805;75&#8239;% <i class="c2"></i>&#8805;50&#8239;% <i class="c1"></i>less <i class="c0"></i>none</span>
<span data-for="reason" hidden>Missing <i class="r1"></i>not asked <i class="r2"></i>no trade <i class="r3"></i>quarantined <i class="r4"></i>not entitled <i class="r0"></i>another reason <i class="c7"></i>present</span>
<span><i class="mark warning"></i>warning <i class="mark error"></i>error</span>
<span><i class="blank"></i>no entry</span>
</p>
</div>
"#;

/// The page's only script. Without it the page shows the same in tables.
const SCRIPT: &str = r#"
(() => {
'use strict';
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const one = id => document.getElementById(id);

// The findings: a row is shown when its severity, its rule and all words of the text fit.
const filter = one('filter');
if (filter) {
  const rows = all('#list > tr').map(row => ({ row, text: row.textContent.toLowerCase() }));
  const field = filter.elements;
  const apply = () => {
    const words = field.text.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const { row, text } of rows) {
      const severity = field[row.dataset.severity];
      const fits = !(severity && severity.type === 'checkbox' && !severity.checked)
        && !(row.className && field.acknowledged && !field.acknowledged.checked)
        && (field.rule.value === '' || field.rule.value === row.dataset.rule)
        && words.every(word => text.includes(word));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    one('shown').textContent = shown + ' of ' + rows.length + ' shown';
  };
  filter.addEventListener('input', apply);
  filter.addEventListener('submit', event => event.preventDefault());
  for (const link of all('a[data-rule]'))
    link.addEventListener('click', () => { filter.reset(); field.rule.value = link.dataset.rule; apply(); });
  filter.hidden = false;
  apply();
}

const table = one('series-table');
window.addEventListener('beforeprint', () => all('details').forEach(part => { part.open = true; }));

// The heat map: one canvas of the size of the box, drawn anew for the part that is scrolled into it.
const source = one('heat-data');
if (!source) return;
const { rows, kinds, sessions } = JSON.parse(source.textContent);
if (!sessions.length) return;
const heat = one('heat'), tip = one('tip'), form = heat.querySelector('form');
const box = heat.querySelector('.box'), space = box.firstElementChild, canvas = space.firstElementChild;
const pen = canvas.getContext('2d');
const REASONS = ['', 'not asked', 'no trade', 'quarantined', 'not entitled'];
const FOUND = ['', 'an info', 'a warning', 'an error'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const dayNumber = date => { const [y, m, d] = date.split('-').map(Number); return Date.UTC(y, m - 1, d) / 864e5; };
const year = date => date.slice(0, -6), month = date => Number(date.slice(-5, -3)), dayOf = date => Number(date.slice(-2));
const keyOf = {
  session: date => date,
  week: date => Math.floor((dayNumber(date) + 3) / 7),
  month: date => date.slice(0, -3),
};
const cells = rows.map(([, runs]) => {
  const row = new Int32Array(sessions.length).fill(-1);
  let at = 0;
  for (const run of runs.split(' ')) {
    const [kind, times] = run.split('*'), end = at + (times ? parseInt(times, 36) : 1);
    if (kind !== '-') row.fill(parseInt(kind, 36), at, end);
    at = end;
  }
  return row;
});

// What every label begins with is said once, in the corner.
let shared = rows.length > 1 ? rows[0][0].slice(0, rows[0][0].lastIndexOf(' ') + 1) : '';
if (!rows.every(([label]) => label.startsWith(shared))) shared = '';
const names = rows.map(([label]) => label.slice(shared.length));

// The columns: one session each, or the sessions of a week or a month together.
let columns, sums;
const countOf = unit => new Set(sessions.map(keyOf[unit])).size;
const counts = { session: sessions.length, week: countOf('week'), month: countOf('month') };
const group = unit => {
  columns = [];
  let last;
  sessions.forEach((date, index) => {
    const key = keyOf[unit](date);
    if (key !== last) columns.push({ from: index, to: index });
    columns[columns.length - 1].to = index;
    last = key;
  });
  sums = new Map();
};
const sumOf = (row, from, to) => {
  const sum = { sessions: 0, present: 0, expected: 0, worst: 0, reason: 0, gaps: 0 }, missing = [0, 0, 0, 0, 0];
  for (let i = from; i <= to; i++) {
    if (row[i] < 0) continue;
    const [present, expected, worst, reason] = kinds[row[i]];
    sum.sessions++;
    sum.present += present;
    sum.expected += expected;
    sum.worst = Math.max(sum.worst, worst);
    if (present < expected) { sum.gaps++; missing[reason] += expected - present; }
  }
  sum.reason = missing.indexOf(Math.max(...missing));
  return sum.sessions ? sum : null;
};
// Only what comes into sight is summed up, once; cells of one session have few distinct contents.
const contents = kinds.map((_, kind) => sumOf([kind], 0, 0));
const cellOf = (place, column) => {
  const row = order[place], { from, to } = columns[column];
  if (from === to) return contents[cells[row][from]] || null;
  const key = row * columns.length + column;
  if (!sums.has(key)) sums.set(key, sumOf(cells[row], from, to));
  return sums.get(key);
};
const missingOf = row => cells[row].reduce((sum, kind) =>
  sum + (kind < 0 ? 0 : Math.max(0, kinds[kind][1] - kinds[kind][0])), 0);
const missingMinutes = rows.map((_, row) => missingOf(row));
const step = (present, expected) => {
  if (present >= expected) return 7;
  const share = present / expected;
  return share === 0 ? 0 : 1 + [0.5, 0.75, 0.9, 0.95, 0.99].filter(least => share >= least).length;
};

let chosen = '', unit = '', left, top, cellWidth, rowHeight, order, picked = null;
const font = () => '12.5px ' + getComputedStyle(document.body).fontFamily;
const layout = () => {
  pen.font = font();
  order = names.map((_, row) => row);
  if (form.elements.worst.checked) order.sort((a, b) => missingMinutes[b] - missingMinutes[a] || a - b);
  rowHeight = rows.length > 60 ? 15 : 19;
  const widest = Math.max(...names.map(name => pen.measureText(name).width), Math.min(pen.measureText(shared).width, 150));
  left = Math.ceil(Math.min(widest + 22, heat.clientWidth * 0.4, 240));
  const room = heat.clientWidth - (box.offsetWidth - box.clientWidth) - left - 8;
  const fitting = ['session', 'week', 'month'].find(name => room / counts[name] >= 2.4) || 'month';
  const wanted = chosen || fitting;
  if (wanted !== unit) { unit = form.elements.unit.value = wanted; picked = null; group(unit); }
  const fit = room / columns.length;
  cellWidth = fit >= 2.4 ? Math.min(fit, 26) : 4;
  top = cellWidth >= 17 && unit === 'session' ? 58 : 42;
  space.style.height = top + rows.length * rowHeight + 8 + 'px';
  const whole = Math.ceil(left + columns.length * cellWidth) + 7;
  space.style.width = whole + 'px';
  box.style.maxWidth = whole + 60 + 'px';
  const width = box.clientWidth, height = Math.min(box.clientHeight, space.offsetHeight);
  const dense = window.devicePixelRatio || 1;
  canvas.style.width = width + 'px';
  canvas.style.height = height + 'px';
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  // A new size resets the pen.
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.font = font();
  draw();
};
const clipped = (text, width) => {
  if (pen.measureText(text).width <= width) return text;
  // The end of a series' name tells more than its beginning.
  while (text.length > 1 && pen.measureText('\u2026' + text).width > width) text = text.slice(1);
  return '\u2026' + text;
};
const draw = () => {
  const style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue('--' + name).trim();
  const share = [0, 1, 2, 3, 4, 5, 6, 7].map(index => colour('c' + index));
  const why = [0, 1, 2, 3, 4].map(index => colour('r' + index));
  const byReason = form.elements.colour.value === 'reason';
  const card = colour('card'), ink = colour('ink'), soft = colour('soft'), line = colour('line');
  const marks = [null, null, colour('warning-mark'), colour('error-mark')];
  const width = canvas.clientWidth, height = canvas.clientHeight, dx = box.scrollLeft, dy = box.scrollTop;
  const x = column => left + Math.round(column * cellWidth) - dx;
  const firstColumn = Math.max(0, Math.floor(dx / cellWidth));
  const lastColumn = Math.min(columns.length - 1, Math.floor((dx + width - left) / cellWidth));
  const firstRow = Math.max(0, Math.floor(dy / rowHeight));
  const lastRow = Math.min(rows.length - 1, Math.floor((dy + height - top) / rowHeight));
  pen.fillStyle = card;
  pen.fillRect(0, 0, width, height);
  pen.textBaseline = 'middle';
  const gap = cellWidth >= 6 ? 1 : 0;
  for (let place = firstRow; place <= lastRow; place++) {
    const y = top + place * rowHeight - dy, tall = rowHeight - 2;
    for (let column = firstColumn; column <= lastColumn; column++) {
      const cell = cellOf(place, column);
      if (!cell) continue;
      const from = x(column), wide = Math.max(1, x(column + 1) - from - gap);
      if (cell.expected === 0 && cell.present === 0) {
        pen.fillStyle = line;
        pen.fillRect(from, y + tall / 2, wide, 1);
      } else if (byReason) {
        const lacks = Math.max(0, 1 - cell.present / cell.expected);
        pen.fillStyle = share[7];
        pen.fillRect(from, y, wide, tall);
        pen.fillStyle = why[cell.reason];
        if (lacks > 0) pen.fillRect(from, y, wide, Math.max(3, Math.round(lacks * tall)));
      } else {
        pen.fillStyle = share[step(cell.present, cell.expected)];
        pen.fillRect(from, y, wide, tall);
      }
      if (cell.worst > 1) {
        const high = cell.worst > 2 ? 6 : 3;
        pen.fillStyle = card;
        pen.fillRect(from, y + tall - high - 1, wide, high + 1);
        pen.fillStyle = marks[cell.worst];
        pen.fillRect(from, y + tall - high, wide, high);
      }
    }
  }
  if (picked) {
    pen.strokeStyle = ink;
    pen.lineWidth = 2;
    pen.strokeRect(x(picked.column) - 1, top + picked.place * rowHeight - dy - 1, Math.max(3, cellWidth - gap) + 2, rowHeight);
  }
  // Over what was scrolled under them: the row labels, the dates, the corner.
  pen.fillStyle = card;
  pen.fillRect(0, 0, left - 1, height);
  pen.fillRect(0, 0, width, top - 2);
  for (let place = firstRow; place <= lastRow; place++) {
    pen.fillStyle = picked && picked.place === place ? ink : soft;
    pen.fillText(clipped(names[order[place]], left - 20), 12, top + place * rowHeight - dy + rowHeight / 2 - 1);
  }
  pen.fillStyle = card;
  pen.fillRect(0, 0, width, top - 2);
  const dates = (y, key, words, room, rule) => {
    for (let column = firstColumn, end; column <= lastColumn; column = end) {
      const value = key(sessions[columns[column].from]);
      for (end = column + 1; end < columns.length && key(sessions[columns[end].from]) === value; end++);
      let start = column;
      while (start > 0 && key(sessions[columns[start - 1].from]) === value) start--;
      const from = Math.max(x(start), left), to = x(end);
      if (rule && x(start) >= left) { pen.fillStyle = line; pen.fillRect(x(start), y - 8, 1, 17); }
      const wide = pen.measureText(words(sessions[columns[column].from])).width;
      pen.fillStyle = soft;
      if (to - from >= Math.min(room, wide + 4)) pen.fillText(words(sessions[columns[column].from]), from + (rule ? 5 : 1), y);
    }
  };
  pen.save();
  pen.beginPath();
  pen.rect(left - 1, 0, width, top);
  pen.clip();
  dates(13, year, year, 40, true);
  const monthRoom = cellWidth * columns.length / counts.month;
  const every = [1, 2, 3, 6].find(months => monthRoom * months >= 30);
  if (every) dates(31, date => year(date) + Math.floor((month(date) - 1) / every), date => MONTHS[month(date) - 1] || '', 18, true);
  if (top > 50) dates(48, date => date, date => String(dayOf(date)), 16, false);
  pen.restore();
  pen.fillStyle = soft;
  if (shared) pen.fillText(clipped(shared.trim(), left - 20), 12, 13);
};
const describe = ({ place, column }) => {
  const number = value => value.toLocaleString('en-US');
  let text = rows[order[place]][0] + '\n';
  if (column < 0) return text + number(missingMinutes[order[place]]) + ' minutes missing in all';
  const cell = cellOf(place, column), { from, to } = columns[column], first = sessions[from], last = sessions[to];
  text += from === to ? (WEEKDAYS[(dayNumber(first) + 4) % 7] || '') + ' ' + first : first + ' to ' + last;
  if (!cell) return text + ': no entry';
  const missing = cell.expected - cell.present;
  text += ': ' + number(cell.present) + ' of ' + number(cell.expected) + ' minutes';
  if (cell.expected > 0) text += ' (' + (Math.floor(Math.min(1, cell.present / cell.expected) * 1e4) / 100).toFixed(2) + '\u00a0%)';
  if (missing > 0) text += ', ' + number(missing) + ' missing' + (cell.reason ? ', mostly ' + REASONS[cell.reason] : '');
  if (missing > 0 && from < to) text += ', in ' + cell.gaps + ' of ' + cell.sessions + ' sessions';
  if (cell.worst) text += '. Worst finding: ' + FOUND[cell.worst];
  return text;
};
const say = (cell, x, y) => {
  tip.hidden = !cell;
  if (!cell) return;
  const text = describe(cell);
  if (tip.textContent !== text) tip.textContent = text;
  const width = tip.offsetWidth, height = tip.offsetHeight, right = document.documentElement.clientWidth;
  tip.style.left = Math.max(8, Math.min(x + 14, right - width - 8)) + 'px';
  tip.style.top = (y + 18 + height < window.innerHeight ? y + 18 : Math.max(8, y - height - 12)) + 'px';
};
const cellAt = event => {
  if (event.offsetY < top) return null;
  // Over a row's label, which may be cut short, the answer is about the whole row.
  const column = event.offsetX < left ? -1 : Math.floor((event.offsetX - left + box.scrollLeft) / cellWidth);
  const place = Math.floor((event.offsetY - top + box.scrollTop) / rowHeight);
  return column < columns.length && place < rows.length ? { place, column } : null;
};
const pick = cell => {
  picked = cell;
  const x = cell.column * cellWidth, y = cell.place * rowHeight;
  const wide = box.clientWidth - left, tall = box.clientHeight - top;
  if (x < box.scrollLeft || x + cellWidth > box.scrollLeft + wide) box.scrollLeft = x - wide / 2;
  if (y < box.scrollTop || y + rowHeight > box.scrollTop + tall) box.scrollTop = y - tall / 2;
  draw();
  const at = canvas.getBoundingClientRect();
  say(cell, at.left + left + x + cellWidth - box.scrollLeft, at.top + top + y - box.scrollTop);
};
for (const kind of ['pointermove', 'pointerdown'])
  canvas.addEventListener(kind, event => say(cellAt(event), event.clientX, event.clientY));
canvas.addEventListener('pointerleave', () => say(null));
canvas.addEventListener('focus', () => {
  if (canvas.matches(':focus-visible')) pick(picked || { place: 0, column: columns.length - 1 });
});
canvas.addEventListener('blur', () => { picked = null; say(null); draw(); });
canvas.addEventListener('keydown', event => {
  const { place, column } = picked || { place: 0, column: columns.length - 1 };
  const page = Math.max(1, Math.floor((box.clientHeight - top) / rowHeight) - 1);
  const to = {
    ArrowLeft: [place, column - 1], ArrowRight: [place, column + 1], Home: [place, 0], End: [place, columns.length - 1],
    ArrowUp: [place - 1, column], ArrowDown: [place + 1, column], PageUp: [place - page, column], PageDown: [place + page, column],
  }[event.key];
  if (event.key === 'Escape') say(null);
  if (!to) return;
  event.preventDefault();
  const within = (value, count) => Math.max(0, Math.min(count - 1, value));
  pick({ place: within(to[0], rows.length), column: within(to[1], columns.length) });
});
box.addEventListener('scroll', () => { if (!picked) say(null); draw(); });
form.addEventListener('submit', event => event.preventDefault());
form.addEventListener('input', event => {
  if (event.target.name === 'unit') chosen = event.target.value;
  layout();
  for (const part of all('[data-for]', heat)) part.hidden = part.dataset.for !== form.elements.colour.value;
});
window.addEventListener('resize', layout);
// Paper cannot be scrolled: the box opens to the whole height.
window.addEventListener('beforeprint', () => { box.style.maxHeight = 'none'; layout(); });
window.addEventListener('afterprint', () => { box.style.maxHeight = ''; layout(); });
for (const query of ['(prefers-color-scheme: dark)', 'print']) matchMedia(query).addEventListener('change', draw);
heat.hidden = false;
table.open = false;
layout();
box.scrollLeft = space.offsetWidth;
})();
"#;

/// The SHA-256 of `SCRIPT` in base64: the page allows no other script. A test says what it must be after a change.
const SCRIPT_SHA256: &str = "EGfKePIKaQo5Gg9jaKG+oyjsty0aMc3Tr0h7o5biZZQ=";

const STYLE: &str = r#"
:root {
  --page: #fbfbfa; --card: #fff; --ink: #1d2126; --soft: #5b6470; --line: #dfe2e5; --tint: #f1f3f4; --link: #0b5a8f;
  --error: #b83210; --error-tint: #fdebe4; --warning: #855600; --warning-tint: #fdf1d3; --info: #2c5f87;
  --info-tint: #e6f0f7; --good: #1f6b45; --error-mark: #dd3b0b; --warning-mark: #e89a00; --band: #fbdccf;
  --c7: #d0e0e4; --c6: #a4ccd2; --c5: #7ab5c0; --c4: #5096b0; --c3: #3c759e; --c2: #3b5389; --c1: #37326b; --c0: #1c0f3a;
  --r0: #b8a13c; --r1: #3b6fb0; --r2: #868e96; --r3: #b0487f; --r4: #2b2b2b;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1b1f23; --ink: #e4e7ea; --soft: #9ba5af; --line: #30363c; --tint: #22272c; --link: #7cbdf0;
    --error: #ff8f6b; --error-tint: #43221a; --warning: #efb94d; --warning-tint: #3a2e13; --info: #8cc0ea;
    --info-tint: #1d3040; --good: #74cf9f; --error-mark: #ff5c2b; --warning-mark: #ffb020; --band: #4a2a20;
    --c7: #25404a; --c6: #2b5b66; --c5: #307778; --c4: #41948e; --c3: #68b293; --c2: #9fcd8c; --c1: #d9e389; --c0: #fff6cf;
    --r0: #d9c35a; --r1: #6fa5e8; --r2: #98a1aa; --r3: #e07fb4; --r4: #f4f4f4;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif; }
main { max-width: 1640px; margin: 0 auto; padding: 28px clamp(14px, 3vw, 44px) 64px; }
h1 { font-size: clamp(23px, 1.1rem + 1.4vw, 34px); line-height: 1.2; margin: 2px 0 8px; letter-spacing: -0.01em;
  font-weight: 650; text-wrap: balance; }
h1.error { color: var(--error); } h1.warning { color: var(--warning); } h1.good { color: var(--good); }
h2 { font-size: 20px; line-height: 1.3; margin: 44px 0 10px; font-weight: 650; }
p { margin: 0 0 8px; }
a { color: var(--link); }
code, .id, .value { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
small { font-size: 12.5px; color: var(--soft); }
.quiet, .hint, .eyebrow { color: var(--soft); }
.eyebrow { font-size: 14px; margin: 0; }
.scope { max-width: 90ch; font-size: 16px; }
nav { display: flex; flex-wrap: wrap; gap: 4px 20px; margin-top: 12px; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }

.totals { display: flex; flex-wrap: wrap; gap: 1px; margin: 22px 0 0;
  background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.totals div { flex: 1 1 128px; background: var(--card); padding: 9px 14px 10px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; font-size: 21px; line-height: 1.3; font-variant-numeric: tabular-nums; }
dd.quiet { font-size: 12.5px; }
.totals .error dd { color: var(--error); } .totals .warning dd { color: var(--warning); }
.totals .info dd { color: var(--info); }

.controls { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 22px; margin: 0 0 10px; font-size: 14px; }
fieldset { border: 0; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 12px; min-width: 0; }
fieldset legend { float: left; color: var(--soft); padding: 0; margin-right: 2px; }
input, select { font: inherit; accent-color: var(--link); max-width: 100%; }
input[type=search], select { background: var(--card); color: var(--ink); border: 1px solid var(--line);
  border-radius: 6px; padding: 4px 8px; }
output { color: var(--soft); font-variant-numeric: tabular-nums; }

.box { position: relative; overflow: auto; max-height: min(78vh, 900px); background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; }
canvas { display: block; position: sticky; top: 0; left: 0; }
canvas:focus-visible { outline-offset: -2px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 26px; margin: 10px 0 20px; font-size: 13.5px; color: var(--soft); }
.legend i { display: inline-block; width: 16px; height: 12px; margin: 0 5px 0 9px; vertical-align: -1px;
  background: var(--c7); border-radius: 2px; }
.legend span:not([data-for]) > i:first-child { margin-left: 0; }
.c0 { background: var(--c0) !important; } .c1 { background: var(--c1) !important; } .c2 { background: var(--c2) !important; }
.c3 { background: var(--c3) !important; } .c4 { background: var(--c4) !important; } .c5 { background: var(--c5) !important; }
.c6 { background: var(--c6) !important; } .r0 { background: var(--r0) !important; } .r1 { background: var(--r1) !important; }
.r2 { background: var(--r2) !important; } .r3 { background: var(--r3) !important; } .r4 { background: var(--r4) !important; }
.legend .mark.warning { border-bottom: 3px solid var(--warning-mark); }
.legend .mark.error { border-bottom: 6px solid var(--error-mark); }
.legend .blank { background: none; border: 1px dashed var(--soft); }
#tip { position: fixed; z-index: 9; max-width: min(340px, calc(100vw - 20px)); padding: 7px 11px; pointer-events: none;
  background: var(--ink); color: var(--page); border-radius: 6px; font-size: 13.5px; line-height: 1.4; white-space: pre-line; }

table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); font-size: 13px; background: var(--page); white-space: nowrap; }
.n { text-align: right; white-space: nowrap; }
.scroll { overflow: auto; max-height: 70vh; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
.scroll table { min-width: 760px; }
.scroll th:first-child, .scroll td:first-child { padding-left: 14px; }
.scroll tbody th { min-width: 170px; max-width: 320px; }
.scroll thead th { position: sticky; top: 0; background: var(--card); box-shadow: 0 1px var(--line); }
.scroll tr:last-child > * { border-bottom: 0; }
.barcol { width: 120px; min-width: 70px; }
.bar { display: block; width: 100%; height: 8px; margin-top: 7px; background: var(--tint); }
.bar rect { fill: var(--c3); }
summary { cursor: pointer; padding: 4px 0; color: var(--link); }
td summary { color: inherit; padding: 0; }
.tag { display: inline-block; white-space: nowrap; padding: 0 8px; border-radius: 4px; font-size: 13px; line-height: 1.55; }
.tag.error { background: var(--error-tint); color: var(--error); }
.tag.warning { background: var(--warning-tint); color: var(--warning); }
.tag.info { background: var(--info-tint); color: var(--info); }
.stacks td { padding-right: 18px; }
.stacks code { white-space: nowrap; }
.stacks .what { width: 52%; }
.rules .what { width: 74%; }
.what b { font-weight: 600; }
.what .hint, .id { margin: 2px 0 0; font-size: 13px; }
.id { color: var(--soft); font-size: 12px; }
.value { min-width: 112px; max-width: 200px; }
.when { min-width: 180px; } .series { min-width: 196px; }
.acknowledged > td { opacity: 0.72; }
#findings thead th { position: sticky; top: 0; box-shadow: 0 1px var(--line); }
.left-out { margin-top: 14px; font-weight: 600; }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 20px; }
figure { margin: 0; max-width: 640px; padding: 12px 14px 6px; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; display: flex; flex-direction: column; justify-content: space-between; }
figcaption { font-size: 14px; color: var(--soft); margin-bottom: 8px; max-height: 9em; overflow: auto; }
figcaption b { display: block; color: var(--ink); font-weight: 600; }
.candles { display: block; width: 100%; height: auto; fill: none; stroke: none; }
.candles text { fill: var(--soft); font-size: 12.5px; font-variant-numeric: tabular-nums; }
.candles .mid { text-anchor: middle; }
.candles .mark { fill: var(--error); font-weight: 600; }
.candles .bad { fill: var(--error); font-size: 17px; text-anchor: middle; }
.grid { stroke: var(--line); } .day { stroke: var(--soft); stroke-dasharray: 2 3; }
.candles g { color: var(--ink); } .candles g.marked { color: var(--error-mark); }
.candles g path { stroke: currentColor; } .body { stroke: currentColor; fill: currentColor; }
.rose .body { fill: var(--card); }
.volume { fill: currentColor; opacity: 0.45; } .marked .volume { opacity: 1; }
.band { fill: transparent; } .marked .band { fill: var(--band); } g:hover > .band { fill: var(--tint); }
.marked:hover > .band { fill: var(--band); }

@media (max-width: 1200px) {
  .series { min-width: 140px; } .when { min-width: 106px; } .value { min-width: 84px; }
}
@media screen and (max-width: 860px) {
  .stacks, .stacks tbody, .stacks tr, .stacks td { display: block; width: auto !important; min-width: 0; max-width: none; }
  .stacks thead { display: none; }
  .stacks tr { padding: 10px 0; border-bottom: 1px solid var(--line); }
  .stacks td { border: 0; padding: 1px 0 1px 80px; text-align: left; }
  .stacks td::before { content: attr(data-name); float: left; width: 80px; margin-left: -80px; color: var(--soft);
    font: 13px/1.6 system-ui, sans-serif; }
  .stacks td.tagged { display: inline-block; padding: 0 12px 4px 0; }
  .stacks td.tagged::before { float: none; margin: 0; width: auto; padding-right: 6px; }
  .stacks td.tagged:not(.n)::before { content: none; }
  .stacks td.what { padding: 4px 0 0; }
  .stacks td.what::before { content: none; }
  .stacks td:empty, .stacks td.value:empty { display: none; }
}
@media print {
  body { font-size: 11px; background: #fff; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { padding: 0; max-width: none; }
  nav, .controls, #tip { display: none !important; }
  .box, .scroll { max-height: none; overflow: visible; border: 0; }
  .barcol { display: none; }
  .box > div { width: auto !important; height: auto !important; }
  canvas { position: static; max-width: 100%; height: auto !important; }
  .scroll table { min-width: 0; }
  .scroll tbody th, .series { min-width: 96px; }
  .when, .value { min-width: 72px; }
  table, thead th, table small, .value, .tag, code, .id, .what .hint { font-size: 10.5px; }
  .stacks td { padding: 4px 8px 4px 0; }
  .charts { display: block; }
  figure { margin-bottom: 12px; max-width: 460px; }
  h2 { margin-top: 24px; }
  tr, figure { break-inside: avoid; }
  h2 { break-after: avoid; }
  thead th { position: static !important; }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "</script><img src=x onerror=alert(1)>\"'`&\\\u{0}\u{7}\u{2028}\u{202e}]]>{{0}}";

    fn html(page: &Page) -> String {
        let mut out = Vec::new();
        page.write_to(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn bar(time: &str, price: f64) -> ChartBar {
        ChartBar {
            time: time.to_owned(),
            open: price,
            high: price + 1.0,
            low: price - 1.0,
            close: price + 0.5,
            volume: 1_000.0,
            is_marked: false,
        }
    }

    fn cell(day: u8, present: u16, worst: u8, reason: u8) -> Cell {
        Cell {
            date: (2024, 3, day),
            present,
            expected: 390,
            worst,
            reason,
        }
    }

    /// A page that holds `text` wherever a text can stand.
    fn page_of(text: &str) -> Page {
        let text = || text.to_owned();
        Page {
            title: text(),
            scope: text(),
            generated: text(),
            totals: Totals {
                errors: 1,
                series: 1,
                ..Totals::default()
            },
            rules: vec![RuleLine {
                id: "MP-P001",
                severity: "error",
                title: text(),
                why: text(),
                found: 1,
            }],
            series: vec![SeriesLine {
                label: text(),
                present: 389,
                expected: 390,
                cells: vec![cell(4, 389, 3, 1)],
            }],
            findings: vec![FindingLine {
                id: text(),
                rule: "MP-P001",
                severity: "error",
                series: text(),
                timeframe: text(),
                session: text(),
                time: text(),
                value: text(),
                expected: text(),
                message: text(),
                hint: text(),
                acknowledged: Some(text()),
            }],
            findings_left_out: 0,
            charts: vec![Chart {
                title: text(),
                message: text(),
                bars: vec![ChartBar {
                    is_marked: true,
                    ..bar(&text(), 10.0)
                }],
            }],
        }
    }

    #[test]
    fn hostile_text_stays_text_wherever_it_stands() {
        let (plain, hostile) = (html(&page_of("x")), html(&page_of(HOSTILE)));
        // The same tags, as often, whatever the texts are.
        for tag in ["</script", "<script", "<", ">"] {
            let count = |text: &str| text.matches(tag).count();
            assert_eq!(count(&plain), count(&hostile), "{tag}");
        }
        assert!(!hostile.contains("<img"));
        let outside = hostile.replace(SCRIPT, "");
        assert!(outside.contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&#39;"));
        assert!(outside.contains("\\u003c/script\\u003e\\u003cimg"));
        assert!(!outside.contains(['\u{0}', '\u{7}', '\u{2028}', '\u{202e}']));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let page = page_of(&"é".repeat(LONG_MESSAGE + 1));
        let written = html(&page);
        assert!(written.contains("é\u{2026}</summary>\u{2026}é</details>"));
    }

    #[test]
    fn numbers_that_are_not_finite_leave_no_trace_in_the_drawing() {
        let odd = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            -0.0,
        ];
        let mut bars = vec![bar("2024-03-05 14:30", 10.0)];
        for number in odd {
            bars.push(bar("2024-03-05 14:31", number));
            bars.push(ChartBar {
                volume: number,
                ..bar("2024-03-05 14:32", 11.0)
            });
            bars.push(ChartBar {
                high: number,
                ..bar("2024-03-05 14:33", 12.0)
            });
        }
        for bars in [
            bars.clone(),
            vec![bar("", f64::NAN)],
            vec![bar("", 5.0)],
            vec![],
        ] {
            let chart = Chart {
                bars,
                ..Chart::default()
            };
            let drawing = Candles(&chart).to_string();
            // Only a title, which is read, may name such a number.
            for piece in drawing.split("<title>") {
                let drawn = piece
                    .split_once("</title>")
                    .map_or(piece, |(_, drawn)| drawn);
                assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
                assert!(!drawn.contains("e30") && !drawn.contains("e-"), "{drawn}");
            }
        }
    }

    #[test]
    fn an_axis_has_a_few_round_steps_at_any_size() {
        for (low, high) in [
            (10.0, 10.0),
            (0.0, 0.0),
            (-5.0, 5.0),
            (99.99, 100.01),
            (1e-7, 2e-7),
            (-DRAWABLE, DRAWABLE),
        ] {
            let axis = Axis::over([high, low].into_iter());
            let steps = (axis.high - axis.low) / axis.step;
            assert!((2.0..=6.0).contains(&steps), "{low} {high}: {steps}");
            assert!(axis.y(high) >= PRICE_TOP && axis.y(low) <= PRICE_BOTTOM);
        }
    }

    #[test]
    fn an_empty_page_says_that_nothing_was_checked() {
        let written = html(&Page::default());
        assert!(written.contains("Nothing was checked"));
        assert!(written.contains("There are no series to show."));
        assert!(written.contains("No rule found anything."));
        assert!(written.contains("There are no findings to list."));
        assert!(!written.contains("id=\"charts\""));
        assert!(written.ends_with("</html>\n"));
    }

    #[test]
    fn the_verdict_counts_in_words() {
        let verdict = |errors, warnings, infos, series| {
            let totals = Totals {
                errors,
                warnings,
                infos,
                series,
                ..Totals::default()
            };
            let page = Page {
                totals,
                ..Page::default()
            };
            page.verdict().1
        };
        assert_eq!(
            verdict(2, 1_400, 0, 40),
            "2 errors, 1,400 warnings in 40 series"
        );
        assert_eq!(verdict(1, 0, 5, 1), "1 error in 1 series");
        assert_eq!(
            verdict(0, 0, 5, 3),
            "Nothing at or above a warning in 3 series"
        );
    }

    #[test]
    fn the_heat_map_holds_each_distinct_cell_once_and_series_as_runs() {
        let line = |cells| SeriesLine {
            label: "A".to_owned(),
            cells,
            ..SeriesLine::default()
        };
        let full = |day| cell(day, 390, 0, 0);
        let page = Page {
            series: vec![
                line(vec![
                    full(6),
                    full(4),
                    full(5),
                    cell(7, 12, 9, 9),
                    cell(6, 390, 0, 0),
                ]),
                line(vec![full(5)]),
            ],
            ..Page::default()
        };
        let mut out = Vec::new();
        page.write_heat_data(&mut out).unwrap();
        let data = String::from_utf8(out).unwrap();
        assert!(
            data.contains("\"rows\":[[\"A\",\"0*3 1\"],\n[\"A\",\"- 0 -*2\"]]"),
            "{data}"
        );
        assert!(
            data.contains("\"kinds\":[[390,390,0,0],[12,390,3,0]]"),
            "{data}"
        );
        assert!(data.contains("\"2024-03-04\",\"2024-03-05\""), "{data}");
        assert_eq!(
            [0, 35, 36, 1_295].map(base_36),
            ["0", "z", "10", "zz"].map(str::to_owned)
        );
    }

    #[test]
    fn shares_are_rounded_away_from_all_and_none() {
        assert_eq!(Percent(99_999, 100_000).to_string(), "99.99\u{a0}%");
        assert_eq!(Percent(7, 7).to_string(), "100.00\u{a0}%");
        assert_eq!(Percent(8, 7).to_string(), "100.00\u{a0}%");
        assert_eq!(Percent(0, 0).to_string(), "\u{2013}");
        assert_eq!(Percent(u64::MAX / 2, u64::MAX).to_string(), "49.99\u{a0}%");
        assert_eq!(
            MissingPercent(1, 1_000_000).to_string(),
            "under 0.01\u{a0}%"
        );
        assert_eq!(MissingPercent(0, 5).to_string(), "0.00\u{a0}%");
    }

    #[test]
    fn times_are_taken_apart_where_their_form_is_known() {
        let parts = |text| {
            let Moment { date, clock, zone } = Moment::of(text);
            (date, clock, zone)
        };
        assert_eq!(
            parts("2024-03-05T14:30:00Z"),
            ("2024-03-05", Some("14:30"), "UTC")
        );
        assert_eq!(
            parts("2024-03-05 09:30 ET"),
            ("2024-03-05", Some("09:30"), "ET")
        );
        assert_eq!(parts("2024-03-05"), ("2024-03-05", None, ""));
        assert_eq!(parts("ééééééééééééééé"), ("éééééééééééé", None, ""));
    }

    #[test]
    fn rules_that_found_something_come_first_the_severe_before_the_frequent() {
        let rule = |id, severity, found| RuleLine {
            id,
            severity,
            found,
            ..RuleLine::default()
        };
        let page = Page {
            rules: vec![
                rule("MP-1", "error", 0),
                rule("MP-2", "warning", 9),
                rule("MP-3", "error", 1),
                rule("MP-4", "warning", 10),
            ],
            ..Page::default()
        };
        let mut out = Vec::new();
        page.write_rules(&mut out).unwrap();
        let written = String::from_utf8(out).unwrap();
        let at = |id: &str| written.find(&format!("<code>{id}")).unwrap();
        assert!(at("MP-3") < at("MP-4") && at("MP-4") < at("MP-2") && at("MP-2") < at("MP-1"));
    }

    #[test]
    fn what_was_left_out_is_said() {
        let page = Page {
            findings_left_out: 1_234,
            ..Page::default()
        };
        assert!(html(&page).contains("1,234 more findings are not listed here"));
    }

    #[test]
    fn equal_pages_give_equal_bytes_that_name_nothing_elsewhere() {
        let page = page_of("x");
        let written = html(&page);
        assert_eq!(written, html(&page.clone()));
        for elsewhere in ["http://", "https://", "url(", "@import", " src=", "<link"] {
            assert!(!written.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_writer_that_fails_is_reported() {
        let mut full = &mut [0_u8; 100][..];
        assert!(page_of("x").write_to(&mut full).is_err());
    }

    #[test]
    fn the_page_allows_exactly_its_own_script() {
        assert!(!SCRIPT.contains("</") && !STYLE.contains("</"));
        assert_eq!(base_64(&sha_256(SCRIPT.as_bytes())), SCRIPT_SHA256);
        assert_eq!(
            base_64(&sha_256(b"abc")),
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
    }

    /// SHA-256 as in FIPS 180-4, here because this file uses the standard library alone.
    fn sha_256(message: &[u8]) -> Vec<u8> {
        // The first 32 bits of the fractional parts of the roots of the first primes.
        let primes: Vec<u64> = (2..312).filter(|n| (2..*n).all(|d| n % d != 0)).collect();
        let root = |prime: u64, power: u32, shift: u32| {
            let target = u128::from(prime) << shift;
            let mut root = 0_u128;
            for bit in (0..40).rev() {
                let next = root | 1 << bit;
                if next.pow(power) <= target {
                    root = next;
                }
            }
            u32::try_from(root & 0xffff_ffff).unwrap()
        };
        let constants: Vec<u32> = primes.iter().map(|prime| root(*prime, 3, 96)).collect();
        let mut state: Vec<u32> = (primes.iter().take(8))
            .map(|prime| root(*prime, 2, 64))
            .collect();
        let mut padded = message.to_vec();
        padded.push(0x80);
        while padded.len() % 64 != 56 {
            padded.push(0);
        }
        padded.extend((message.len() as u64 * 8).to_be_bytes());
        for block in padded.chunks(64) {
            let mut words: Vec<u32> = (block.chunks(4))
                .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
                .collect();
            for i in 16..64 {
                let (a, b) = (words[i - 15], words[i - 2]);
                let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
                let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
                let sum = [words[i - 16], s0, words[i - 7], s1];
                words.push(sum.into_iter().fold(0, u32::wrapping_add));
            }
            let mut v = state.clone();
            for (constant, word) in constants.iter().zip(&words) {
                let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
                let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
                let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
                let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
                let first = [v[7], s1, choice, *constant, *word]
                    .into_iter()
                    .fold(0, u32::wrapping_add);
                v.rotate_right(1);
                v[4] = v[4].wrapping_add(first);
                v[0] = first.wrapping_add(s0).wrapping_add(majority);
            }
            for (sum, part) in state.iter_mut().zip(v) {
                *sum = sum.wrapping_add(part);
            }
        }
        state.into_iter().flat_map(u32::to_be_bytes).collect()
    }

    fn base_64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let mut three = [0; 3];
            three[..chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            for index in 0..4 {
                let digit = DIGITS[usize::try_from(bits >> (18 - 6 * index) & 63).unwrap()];
                text.push(if index > chunk.len() {
                    '='
                } else {
                    char::from(digit)
                });
            }
        }
        text
    }
}
