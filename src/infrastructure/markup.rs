//! Texts and numbers as pages and pictures show them; nothing that was written by others becomes a tag.

use std::fmt::{self, Display, Write as _};

use crate::domain::with_thousands;

/// The counts that are not 0 with their words, `12 not asked, 3 no trade`.
pub(crate) fn listing(counts: &[u64], words: &[&str]) -> String {
    let parts: Vec<_> = (counts.iter().zip(words).rev())
        .filter(|(count, _)| **count > 0)
        .map(|(count, words)| format!("{} {words}", with_thousands(*count)))
        .collect();
    parts.join(", ")
}

/// The whole hundredths of a percent that `part` is of `whole`: rounded down, so that only all of it is 100 %.
pub(crate) fn hundredths(part: u64, whole: u64) -> Option<u64> {
    let share = u128::from(part.min(whole)) * 10_000;
    let share = share.checked_div(u128::from(whole))?;
    u64::try_from(share).ok()
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
pub(crate) struct Html<'a>(pub(crate) &'a str);

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

/// A sentence inside HTML: what stands between backticks is shown as code, and dates and times are not broken at their
/// hyphens.
pub(crate) struct Sentence<'a>(pub(crate) &'a str);

impl Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((before, code, after)) = next_code(rest) {
            write_words(f, before)?;
            write!(f, "<code>{}</code>", Html(code))?;
            rest = after;
        }
        write_words(f, rest)
    }
}

/// What stands before the first text between backticks, it, and what comes after.
fn next_code(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (code, after) = rest.split_once('`')?;
    Some((before, code, after))
}

fn write_words(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for word in text.split_inclusive(' ') {
        if begins_with_date(word) {
            let blank = word.len() - word.trim_end_matches(' ').len();
            let (time, blank) = word.split_at(word.len() - blank);
            write!(f, "<span class=\"time\">{}</span>{blank}", Html(time))?;
        } else {
            write!(f, "{}", Html(word))?;
        }
    }
    Ok(())
}

fn begins_with_date(word: &str) -> bool {
    let mut bytes = word.bytes();
    let mut pattern = "dddd-dd-dd".bytes();
    pattern.all(|sign| match (sign, bytes.next()) {
        (b'd', Some(byte)) => byte.is_ascii_digit(),
        (sign, byte) => byte == Some(sign),
    })
}

/// A JSON string inside a script element: no character of it can end the element.
pub(crate) struct Json<'a>(pub(crate) &'a str);

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

/// The share of a part in a whole; a dash when the whole is nothing.
pub(crate) struct Percent(pub(crate) u64, pub(crate) u64);

impl Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match hundredths(self.0, self.1) {
            Some(share) => write!(f, "{}.{:02}\u{a0}%", share / 100, share % 100),
            None => f.write_str("\u{2013}"),
        }
    }
}

/// As `Percent`, for what is missing: a little is never shown as none.
pub(crate) struct MissingPercent(pub(crate) u64, pub(crate) u64);

impl Display for MissingPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 && hundredths(self.0, self.1) == Some(0) {
            return f.write_str("under 0.01\u{a0}%");
        }
        Percent(self.0, self.1).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backticks_is_code_and_still_no_tag() {
        for (text, shown) in [
            ("`a <b>` & c", "<code>a &lt;b&gt;</code> &amp; c"),
            ("one ` alone", "one ` alone"),
            (
                "`a` and `b` and `",
                "<code>a</code> and <code>b</code> and `",
            ),
            ("", ""),
        ] {
            assert_eq!(Sentence(text).to_string(), shown);
        }
    }

    #[test]
    fn dates_and_times_stay_on_one_line() {
        assert_eq!(
            Sentence("at 2024-06-24T16:40:00Z, not 2024-6 or 12-34").to_string(),
            "at <span class=\"time\">2024-06-24T16:40:00Z,</span> not 2024-6 or 12-34"
        );
    }
}
