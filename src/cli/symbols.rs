//! Lists of symbols as users write them. Knows no provider.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::Path;

use super::exit::{CliError, Exit};
use super::session::CliSession;
use crate::config::SymbolListSource;
use crate::domain::symbol::SymbolError;
use crate::domain::{Dataset, Symbol};

/// Symbols of a list: the legal ones without duplicates in the order given, and the others with the reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SymbolList {
    pub(super) symbols: Vec<Symbol>,
    pub(super) malformed: Vec<(String, SymbolError)>,
}

/// Reads `--symbols A,B` and `--symbols-file FILE`; for both `-` is standard input, and `@NAME` in either is a list
/// of the configuration.
pub(super) fn read_symbols(
    list: &[String],
    file: Option<&Path>,
    lists: &BTreeMap<String, SymbolListSource>,
) -> Result<SymbolList, CliError> {
    let mut text = match list {
        [only] if only == "-" => read_file(Path::new("-"))?,
        _ => list.join(","),
    };
    if let Some(path) = file {
        text.push('\n');
        text.push_str(&read_file(path)?);
    }
    let mut reader = SymbolReader {
        lists,
        open_lists: Vec::new(),
        seen: HashSet::new(),
        list: SymbolList::default(),
    };
    reader.read(&text)?;
    Ok(reader.list)
}

/// Reads `--symbols A,B` where every symbol must be legal; none means all.
pub(super) fn read_legal_symbols(
    session: &CliSession,
    list: &[String],
) -> Result<Vec<Symbol>, CliError> {
    legal_symbols(list, &session.app.config().lists)
}

/// The same with the lists that `@NAME` may name.
pub(super) fn legal_symbols(
    list: &[String],
    lists: &BTreeMap<String, SymbolListSource>,
) -> Result<Vec<Symbol>, CliError> {
    let list = read_symbols(list, None, lists)?;
    match list.malformed.first() {
        Some((text, error)) => Err(CliError::new(
            Exit::Usage,
            format!("--symbols: `{text}`: {error}"),
        )),
        None => Ok(list.symbols),
    }
}

/// Names what there is nothing of: those of the symbols that are not among `held`, or the dataset where nothing of it is.
/// Returns whether there was anything to name. `what` begins the sentence, such as "nothing is held".
pub(super) fn tell_absent<'a>(
    session: &CliSession,
    what: &str,
    symbols: &[Symbol],
    dataset: Option<&Dataset>,
    held: impl IntoIterator<Item = &'a Symbol>,
) -> bool {
    let held: HashSet<&Symbol> = held.into_iter().collect();
    let absent = symbols.iter().filter(|symbol| !held.contains(symbol));
    let absent: Vec<&str> = absent.map(Symbol::as_str).collect();
    let in_dataset = dataset.map_or_else(String::new, |dataset| format!(" in {dataset}"));
    let words = match (absent.is_empty(), dataset.is_some() && held.is_empty()) {
        (false, _) => format!("{what} of {}{in_dataset}", absent.join(", ")),
        (true, true) => format!("{what}{in_dataset}; `marketpipe status` names every dataset"),
        (true, false) => return false,
    };
    session.insist(&words);
    true
}

fn read_file(path: &Path) -> Result<String, CliError> {
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    // Some editors mark a text as UTF-8 by its first character.
    let unmarked = |text: String| text.trim_start_matches('\u{feff}').to_owned();
    read.map(unmarked).map_err(|error| {
        CliError::new(
            Exit::Usage,
            format!("cannot read the symbols file {}: {error}", path.display()),
        )
    })
}

struct SymbolReader<'a> {
    lists: &'a BTreeMap<String, SymbolListSource>,
    /// Lists that are being read, the outermost first.
    open_lists: Vec<String>,
    seen: HashSet<Symbol>,
    list: SymbolList,
}

impl SymbolReader<'_> {
    /// Reads symbols separated by commas or white space; `#` begins a comment that ends with the line.
    fn read(&mut self, text: &str) -> Result<(), CliError> {
        let words = text
            .lines()
            .map(|line| line.split_once('#').map_or(line, |(before, _)| before))
            .flat_map(|line| line.split(|c: char| c == ',' || c.is_whitespace()))
            .filter(|word| !word.is_empty());
        for word in words {
            if let Some(name) = word.strip_prefix('@') {
                self.read_list(name)?;
                continue;
            }
            match Symbol::spelled(word) {
                Ok(symbol) if self.seen.insert(symbol.clone()) => self.list.symbols.push(symbol),
                Ok(_) => {}
                Err(error) => {
                    self.list
                        .malformed
                        .push((word.escape_default().to_string(), error));
                }
            }
        }
        Ok(())
    }

    /// Reads a list of the configuration, which may name other lists but not itself.
    fn read_list(&mut self, name: &str) -> Result<(), CliError> {
        let shown = name.escape_default();
        let Some(source) = self.lists.get(name) else {
            let known: Vec<&str> = self.lists.keys().map(String::as_str).collect();
            let hint = if known.is_empty() {
                "the configuration has no [lists]; `marketpipe config show` says which file is in use"
                    .to_owned()
            } else {
                format!("known lists: {}", known.join(", "))
            };
            let message = format!("there is no list of symbols `@{shown}`");
            return Err(CliError::new(Exit::Usage, message).with_hint(hint));
        };
        if self.open_lists.iter().any(|open| open == name) {
            let message = format!("the list of symbols `@{shown}` names itself");
            return Err(CliError::new(Exit::Configuration, message));
        }
        let text = match source {
            SymbolListSource::Symbols(symbols) => symbols.join("\n"),
            SymbolListSource::File(path) => read_file(path)?,
        };
        self.open_lists.push(name.to_owned());
        self.read(&text)?;
        self.open_lists.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_symbols(text: &str) -> SymbolList {
        read_symbols(&[text.to_owned()], None, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn lists_of_the_configuration_are_read_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tech.txt");
        std::fs::write(&path, "msft # the second\nNVDA\n").unwrap();
        let symbols = |list: &[&str]| {
            SymbolListSource::Symbols(list.iter().map(|text| (*text).to_owned()).collect())
        };
        let lists: BTreeMap<String, SymbolListSource> = [
            ("mega".to_owned(), symbols(&["AAPL", "brk-b", "@tech"])),
            ("tech".to_owned(), SymbolListSource::File(path)),
            ("loop".to_owned(), symbols(&["A", "@loop"])),
        ]
        .into();
        let read = |text: &str| read_symbols(&[text.to_owned()], None, &lists);
        let list = read("SPY,@mega,NVDA,@tech").unwrap();
        assert_eq!(names(&list), ["SPY", "AAPL", "BRK.B", "MSFT", "NVDA"]);
        let unknown = read("@nothing").unwrap_err();
        assert_eq!(unknown.exit, Exit::Usage);
        assert!(unknown.hint.unwrap().contains("loop, mega, tech"));
        assert!(read("@loop").unwrap_err().message.contains("names itself"));
    }

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
        let error =
            read_symbols(&[], Some(Path::new("no/such/list")), &BTreeMap::new()).unwrap_err();
        assert!(error.message.contains("no/such/list"), "{}", error.message);
    }
}
