//! The sections on rules and findings. What filters the findings is the script's.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::super::markup::{Html, Sentence};
use super::{FindingLine, Page, RuleLine};
use crate::domain::{counted, with_thousands};

/// How many characters of a message stand in the open.
pub(super) const LONG_MESSAGE: usize = 320;

impl Page {
    pub(super) fn write_rules(&self, out: &mut dyn Write) -> io::Result<()> {
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
            let count = counted(quiet.len() as u64, "rule");
            writeln!(out, "<details><summary>{count} found nothing</summary>")?;
            write_rule_table(out, &quiet)?;
            out.write_all(b"</details>\n")?;
        }
        out.write_all(b"</section>\n")
    }

    pub(super) fn write_findings(&self, out: &mut dyn Write) -> io::Result<()> {
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
                with_thousands(self.findings_left_out),
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
            Sentence(session),
            Sentence(&self.time),
            Sentence(&self.value),
            Sentence(&self.expected),
        )?;
        // One endless message must not push all the others off the window.
        match self.message.char_indices().nth(LONG_MESSAGE) {
            Some((cut, _)) => write!(
                out,
                "<details><summary>{}\u{2026}</summary>\u{2026}{}</details>",
                Sentence(&self.message[..cut]),
                Sentence(&self.message[cut..]),
            )?,
            None => write!(out, "{}", Sentence(&self.message))?,
        }
        if !self.hint.is_empty() {
            write!(out, "<p class=\"hint\">{}</p>", Sentence(&self.hint))?;
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
            with_thousands(rule.found),
            Sentence(&rule.title),
            Sentence(&rule.why),
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
