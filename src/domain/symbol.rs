//! Ticker symbols: what may name a series. Knows no provider's spelling and no path encoding.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The longest symbol that is accepted, in characters.
pub const MAX_SYMBOL_CHARS: usize = 15;

/// A ticker in exchange spelling, upper case: `AAPL`, `BRK.B`, `BTC/USD`.
///
/// Groups of `A-Z0-9` joined by single `.`, `-` or `/`, at most [`MAX_SYMBOL_CHARS`] characters. Nothing
/// else gets in, so a symbol can be shown, logged and looked up without escaping; paths encode the `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(Arc<str>);

/// Why a text is not a [`Symbol`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SymbolError {
    /// Nothing was given.
    #[error("symbol is empty")]
    Empty,
    /// More than [`MAX_SYMBOL_CHARS`] characters.
    #[error("symbol `{shown}` has {chars} characters, the limit is {MAX_SYMBOL_CHARS}")]
    TooLong {
        /// The beginning of the text, escaped.
        shown: String,
        /// Its length in characters.
        chars: usize,
    },
    /// A character outside `A-Z`, `0-9`, `.`, `-`, `/`, or a separator in the wrong place.
    #[error(
        "symbol `{shown}` is malformed: expected upper-case letters and digits, in groups joined by one `.`, `-` or `/`"
    )]
    Malformed {
        /// The text, escaped.
        shown: String,
    },
}

impl Symbol {
    /// Reads a symbol as people write it. Case does not matter, and a share class may be written with a hyphen: `brk-b` is
    /// `BRK.B`.
    ///
    /// # Errors
    /// [`SymbolError`] in the words of the writer, not in ours.
    pub fn spelled(word: &str) -> Result<Self, SymbolError> {
        let spelled = word.to_ascii_uppercase().replace('-', ".");
        spelled
            .parse()
            .map_err(|error| word.parse::<Self>().err().unwrap_or(error))
    }

    /// The ticker as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the symbol is a currency pair (`BTC/USD`), which trades round the clock.
    pub fn is_pair(&self) -> bool {
        self.0.contains('/')
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        if text.is_empty() {
            return Err(SymbolError::Empty);
        }
        let chars = text.chars().count();
        if chars > MAX_SYMBOL_CHARS {
            let shown = text
                .chars()
                .take(MAX_SYMBOL_CHARS)
                .flat_map(char::escape_default)
                .collect::<String>()
                + "…";
            return Err(SymbolError::TooLong { shown, chars });
        }
        let well_formed = text.split(['.', '-', '/']).all(|group| {
            !group.is_empty()
                && group
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        });
        if !well_formed {
            return Err(SymbolError::Malformed {
                shown: text.escape_default().to_string(),
            });
        }
        Ok(Self(Arc::from(text)))
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_tickers_are_accepted_unchanged() {
        for text in [
            "A", "AAPL", "BRK.B", "BF.A", "BTC/USD", "NAN", "NA", "TRUE", "CON", "PRN", "0700",
            "NULL", "BRK-B",
        ] {
            assert_eq!(text.parse::<Symbol>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn hostile_texts_are_refused() {
        for text in [
            "",
            "../../etc",
            "/etc/passwd",
            "A//B",
            "A\\B",
            "..",
            ".",
            "A.",
            ".A",
            "A\nB",
            "A\0",
            "%2e%2e",
            "A'; DROP TABLE files;--",
            "*",
            "[AB]",
            "aapl",
            "😀",
            "\u{410}APL",
            "A\u{200f}",
            "ABCDEFGHIJKLMNOP",
        ] {
            assert!(text.parse::<Symbol>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn messages_escape_what_they_show() {
        let message = "A\u{1b}[31m".parse::<Symbol>().unwrap_err().to_string();
        assert!(!message.contains('\u{1b}'), "{message}");
    }
}
