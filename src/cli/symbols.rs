//! Lists of symbols as users write them. Knows no provider.

use std::io::Read;
use std::path::Path;

use super::exit::{CliError, Exit};
use crate::domain::Symbol;
use crate::domain::symbol::SymbolError;

/// Symbols of a list: the legal ones without duplicates in the order given, and the others with the reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SymbolList {
    pub(super) symbols: Vec<Symbol>,
    pub(super) malformed: Vec<(String, SymbolError)>,
}

/// Reads `--symbols A,B` and `--symbols-file FILE`; for both `-` is standard input.
pub(super) fn read_symbols(list: &[String], file: Option<&Path>) -> Result<SymbolList, CliError> {
    let mut text = match list {
        [only] if only == "-" => read_file(Path::new("-"))?,
        _ => list.join(","),
    };
    if let Some(path) = file {
        text.push('\n');
        text.push_str(&read_file(path)?);
    }
    Ok(parse_symbols(&text))
}

fn read_file(path: &Path) -> Result<String, CliError> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| {
        CliError::new(
            Exit::Usage,
            format!("cannot read the symbols file {}: {error}", path.display()),
        )
    })
}

/// Parses symbols separated by commas or white space; `#` begins a comment that ends with the line.
///
/// Case does not matter, and a share class may be written with a hyphen: `brk-b` is `BRK.B`.
fn parse_symbols(text: &str) -> SymbolList {
    let mut list = SymbolList::default();
    let words = text
        .lines()
        .map(|line| line.split_once('#').map_or(line, |(before, _)| before))
        .flat_map(|line| line.split(|c: char| c == ',' || c.is_whitespace()))
        .filter(|word| !word.is_empty());
    let mut seen = std::collections::HashSet::new();
    for word in words {
        match word
            .to_ascii_uppercase()
            .replace('-', ".")
            .parse::<Symbol>()
        {
            Ok(symbol) if seen.insert(symbol.clone()) => list.symbols.push(symbol),
            Ok(_) => {}
            Err(error) => {
                // In the words of the user, not in ours.
                let error = word.parse::<Symbol>().err().unwrap_or(error);
                list.malformed
                    .push((word.escape_default().to_string(), error));
            }
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &SymbolList) -> Vec<&str> {
        list.symbols.iter().map(Symbol::as_str).collect()
    }

    #[test]
    fn lists_are_read_as_people_write_them() {
        let list = parse_symbols("AAPL, msft\nbrk-b # a share class\n# nothing\nBTC/USD,AAPL");
        assert_eq!(names(&list), ["AAPL", "MSFT", "BRK.B", "BTC/USD"]);
        assert!(list.malformed.is_empty());
    }

    #[test]
    fn a_malformed_symbol_does_not_cost_the_others() {
        let list = parse_symbols("AAPL,../etc,MSFT");
        assert_eq!(names(&list), ["AAPL", "MSFT"]);
        assert_eq!(list.malformed[0].0, "../etc");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_symbols(&[], Some(Path::new("no/such/list"))).unwrap_err();
        assert!(error.message.contains("no/such/list"), "{}", error.message);
    }
}
