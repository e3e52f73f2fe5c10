//! The section on completeness: the heat map's frame and data, and the same in numbers. The drawing is the script's.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::super::markup::{Html, Json, Percent, hundredths, listing};
use super::Page;
use crate::domain::with_thousands;

/// The words for `Cell::reason`.
const REASONS: [&str; 5] = [
    "for another reason",
    "not asked",
    "no trade",
    "quarantined",
    "not entitled",
];

impl Page {
    pub(super) fn write_completeness(&self, out: &mut dyn Write) -> io::Result<()> {
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
    pub(super) fn write_heat_data(&self, out: &mut dyn Write) -> io::Result<()> {
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
                with_thousands(line.present),
                with_thousands(line.expected),
                with_thousands(line.expected.saturating_sub(line.present)),
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
}

pub(super) fn base_36(mut number: usize) -> String {
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
