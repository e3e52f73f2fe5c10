//! Breaking words into lines. Knows no terminal.

/// What becomes of a word that is longer than a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LongWords {
    /// It is broken where it must be.
    Broken,
    /// It stays whole, so that a path or a command can be copied.
    Whole,
}

/// Lines of at most `room` characters, broken at blanks.
pub fn wrapped(text: &str, room: usize, long_words: LongWords) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let line = lines.last_mut().map(|line| (line.chars().count(), line));
        if let Some((length, line)) = line {
            let blank = usize::from(length > 0);
            if length + blank + word.len() <= room {
                line.extend(std::iter::repeat_n(' ', blank));
                line.extend(word);
                continue;
            }
        }
        while long_words == LongWords::Broken && word.len() > room {
            let rest = word.split_off(room);
            lines.push(std::mem::replace(&mut word, rest).into_iter().collect());
        }
        lines.push(word.into_iter().collect());
    }
    if lines.len() > 1 && lines[0].is_empty() {
        lines.remove(0);
    }
    lines
}

/// Each line of `text` broken into lines of at most `width` characters, which begin as far in as it does.
pub fn wrapped_lines(text: &str, width: usize) -> String {
    let wrapped_line = |line: &str| {
        let words = line.trim_start_matches(' ');
        let (indentation, _) = line.split_at(line.len() - words.len());
        let room = width.saturating_sub(indentation.len()).max(1);
        let lines = wrapped(words, room, LongWords::Whole).into_iter();
        let lines: Vec<String> = lines.map(|line| format!("{indentation}{line}")).collect();
        lines.join("\n")
    };
    let lines: Vec<String> = text.split('\n').map(wrapped_line).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_broken_only_where_that_is_wanted() {
        let text = "a word/that/is/long b";
        let broken = ["a", "word/tha", "t/is/lon", "g b"];
        assert_eq!(wrapped(text, 8, LongWords::Broken), broken);
        let whole = ["a", "word/that/is/long", "b"];
        assert_eq!(wrapped(text, 8, LongWords::Whole), whole);
    }

    #[test]
    fn lines_go_on_as_far_in_as_they_began() {
        let text = "title\n\n   three blanks and more words\nend";
        let lines = "title\n\n   three\n   blanks and\n   more words\nend";
        assert_eq!(wrapped_lines(text, 13), lines);
        assert_eq!(wrapped_lines(text, 80), text);
    }
}
