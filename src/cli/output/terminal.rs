//! Making foreign text harmless on a terminal. Data formats do not need it.

use std::borrow::Cow;

/// Escapes what a terminal would obey instead of show: control characters and reversals of direction.
///
/// Text from providers and files could otherwise move the cursor, rename the window or fake other output.
pub fn escape_for_terminal(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if is_harmful(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

/// Controls (C0, DEL, C1), line separators, and characters without width that reorder or hide others.
const fn is_harmful(char: char) -> bool {
    matches!(char,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_text_stays_as_it_is() {
        for text in ["", "AAPL", "größer – 価格 😀"] {
            assert!(matches!(escape_for_terminal(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        for (text, shown) in [
            ("\u{1b}[31mred", r"\u{1b}[31mred"),
            ("a\nb\tc\r", r"a\nb\tc\r"),
            ("\u{9b}2J", r"\u{9b}2J"),
            ("\u{202e}lpaa", r"\u{202e}lpaa"),
            ("\0\u{7f}", r"\u{0}\u{7f}"),
        ] {
            assert_eq!(escape_for_terminal(text), shown);
        }
    }
}
