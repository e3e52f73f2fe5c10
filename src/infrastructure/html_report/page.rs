//! The page around its sections: the head with what it allows itself, the verdict, the totals, the script.

use std::io::{self, Write};

use super::super::candle_svg::CANDLE_STYLE;
use super::super::markup::{Html, MissingPercent, Sentence};
use super::Page;
use crate::domain::{counted, with_thousands};

/// The page's only script. Without it the page shows the same in tables.
pub(super) const SCRIPT: &str = concat!("\n", include_str!("script.js"));

/// The SHA-256 of `SCRIPT` in base64: the page allows no other script. A test says what it must be after a change.
pub(super) const SCRIPT_SHA256: &str = "EGfKePIKaQo5Gg9jaKG+oyjsty0aMc3Tr0h7o5biZZQ=";

/// The page's only style sheet.
pub(super) const STYLE: &str = concat!("\n", include_str!("style.css"));

impl Page {
    /// Writes the page as UTF-8 HTML; equal pages give equal bytes.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        // The sections write in many small pieces.
        let mut out = io::BufWriter::new(out);
        self.write_header(&mut out)?;
        self.write_not_checked(&mut out)?;
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
             <title>{title}</title>\n<style>{STYLE}{CANDLE_STYLE}</style>\n</head>\n<body>\n<main>\n",
            title = Html(&self.title),
        )?;
        let (mood, verdict) = self.verdict();
        write!(
            out,
            "<header>\n<p class=\"eyebrow\">{}</p>\n<h1 class=\"{mood}\">{verdict}</h1>\n",
            Html(&self.title),
        )?;
        if let Some(partial) = &self.partial {
            writeln!(
                out,
                "<p class=\"partial\" role=\"note\"><b>Partial:</b> {}</p>",
                Html(partial)
            )?;
        }
        write!(
            out,
            "<p class=\"scope\">{}</p>\n<p class=\"quiet\">Checked {}{}</p>\n",
            Html(&self.scope),
            Html(&self.generated),
            if self.generated.ends_with('Z') || self.generated.ends_with("UTC") {
                ""
            } else {
                " UTC"
            },
        )?;
        out.write_all(b"<nav aria-label=\"Sections\">")?;
        if !self.not_checked.is_empty() {
            out.write_all(b"<a href=\"#not-checked\">Not checked</a>")?;
        }
        out.write_all(b"<a href=\"#completeness\">Completeness</a>")?;
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
            let count = with_thousands(count);
            writeln!(
                out,
                "<div class=\"{mood}\"><dt>{name}</dt><dd>{count}</dd></div>"
            )?;
        }
        write!(
            out,
            "<div><dt>Missing minutes</dt><dd>{}</dd>",
            with_thousands(t.missing_minutes)
        )?;
        if t.expected_minutes > 0 {
            write!(
                out,
                "<dd class=\"quiet\">{} of {}</dd>",
                MissingPercent(t.missing_minutes, t.expected_minutes),
                with_thousands(t.expected_minutes),
            )?;
        }
        out.write_all(b"</div>\n</dl>\n")
    }

    fn write_not_checked(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.not_checked.is_empty() {
            return Ok(());
        }
        out.write_all(
            b"<section id=\"not-checked\">\n<h2>Not checked</h2>\n<p class=\"quiet\">Nothing else on this page is about \
              these series.</p>\n<table class=\"stacks\"><thead><tr><th>Series</th><th>Why they could not be checked</th>\
              </tr></thead>\n<tbody>\n",
        )?;
        for line in &self.not_checked {
            writeln!(
                out,
                "<tr><td data-name=\"Series\" class=\"series\">{}</td><td class=\"what\">{}</td></tr>",
                Html(&line.series),
                Sentence(&line.reason),
            )?;
        }
        out.write_all(b"</tbody></table>\n</section>\n")
    }

    /// The page's first sentence, and the class that colours it.
    pub(super) fn verdict(&self) -> (&'static str, String) {
        let t = &self.totals;
        let series = format!("{} series", with_thousands(t.series));
        if t.errors == 0 && t.warnings == 0 {
            if t.series == 0 && self.series.is_empty() {
                let why = match self.partial {
                    None => ": no series in this scope",
                    Some(_) => "",
                };
                return ("", format!("Nothing was checked{why}"));
            }
            // Green would promise something of what was not looked at.
            let mood = if self.partial.is_none() { "good" } else { "" };
            return (mood, format!("Nothing at or above a warning in {series}"));
        }
        let mut parts = Vec::new();
        if t.errors > 0 {
            parts.push(counted(t.errors, "error"));
        }
        if t.warnings > 0 {
            parts.push(counted(t.warnings, "warning"));
        }
        let mood = if t.errors > 0 { "error" } else { "warning" };
        (mood, format!("{} in {series}", parts.join(", ")))
    }
}
