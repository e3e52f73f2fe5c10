//! Foreign text made fit to be shown: short, on one line, without control characters. Knows nothing of its origin.

/// The text with everything escaped that could move a cursor or hide, cut to `max_chars` characters.
///
/// Quotes and backslashes stay as they are, so that JSON remains readable. A cut is marked by `…`, which is within
/// the limit.
pub fn printable(text: &str, max_chars: usize) -> String {
    let mut shown = String::new();
    let mut chars = 0;
    let mut keep = 0;
    for (at, character) in text.char_indices() {
        let escaped = match character {
            '"' | '\'' | '\\' => character.to_string(),
            other => other.escape_debug().to_string(),
        };
        let width = escaped.chars().count();
        let is_last = at + character.len_utf8() == text.len();
        if chars + width + usize::from(!is_last) > max_chars {
            // `shown` may already hold the last character that leaves no room for the mark.
            shown.truncate(keep);
            shown.push('…');
            return shown;
        }
        shown.push_str(&escaped);
        chars += width;
        if chars < max_chars {
            keep = shown.len();
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::printable;

    #[test]
    fn control_and_invisible_characters_are_escaped() {
        let shown = printable("a\u{1b}[31m\r\n\u{202e}b\0\u{200b}", 200);
        assert_eq!(shown, r"a\u{1b}[31m\r\n\u{202e}b\0\u{200b}");
    }

    #[test]
    fn json_stays_readable() {
        assert_eq!(
            printable(r#"{"message":"a\b"}"#, 200),
            r#"{"message":"a\b"}"#
        );
    }

    #[test]
    fn a_cut_is_marked_and_within_the_limit() {
        assert_eq!(printable("abcdef", 6), "abcdef");
        assert_eq!(printable("abcdefg", 6), "abcde…");
        assert_eq!(printable("abc\n\n", 6), "abc\\n…");
    }

    proptest! {
        #[test]
        fn nothing_shown_is_longer_than_allowed_or_a_control_character(text in "\\PC*|.*", max in 1_usize..60) {
            let shown = printable(&text, max);
            prop_assert!(shown.chars().count() <= max);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
