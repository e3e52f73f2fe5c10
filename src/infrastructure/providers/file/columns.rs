//! Which column of a file is what, by name.

use super::{ReadOptions, SymbolSource};

/// What a column can be, and the names that it is known by without being told, lower case.
const USUAL: [(&str, &[&str]); 10] = [
    ("ts", &["ts", "timestamp", "time", "datetime", "date", "t"]),
    ("open", &["open", "o"]),
    ("high", &["high", "h"]),
    ("low", &["low", "l"]),
    ("close", &["close", "c"]),
    ("volume", &["volume", "vol", "v"]),
    ("trade_count", &["trade_count", "trades", "n"]),
    ("vwap", &["vwap", "vw"]),
    ("symbol", &["symbol", "ticker"]),
    ("filled", &["filled"]),
];

/// The column that only derived bars have.
const MINUTES: &str = "minutes";

/// Reads `ts=time,open=o`: what a column is and its name in the file.
///
/// # Errors
/// In words, naming what is no column of bars.
pub fn read_columns(list: &[String]) -> Result<Vec<(String, String)>, String> {
    let read = |pair: &String| {
        let (what, name) = pair
            .split_once('=')
            .filter(|(_, name)| !name.is_empty())
            .ok_or_else(|| format!("`{}` is not WHAT=NAME", pair.escape_default()))?;
        match USUAL.iter().any(|(known, _)| *known == what) {
            true => Ok((what.to_owned(), name.to_owned())),
            false => {
                let known: Vec<&str> = USUAL.iter().map(|(known, _)| *known).collect();
                Err(format!(
                    "`{}` is no column of bars, known are {}",
                    what.escape_default(),
                    known.join(", ")
                ))
            }
        }
    };
    list.iter().map(read).collect()
}

/// The names that columns are looked for by.
pub(super) struct ColumnNames {
    named: Vec<(String, String)>,
    needs_symbol: bool,
}

/// Places of the columns of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) ts: usize,
    /// Open, high, low, close, volume.
    pub(super) values: [usize; 5],
    pub(super) trade_count: Option<usize>,
    pub(super) vwap: Option<usize>,
    pub(super) symbol: Option<usize>,
    pub(super) filled: Option<usize>,
}

impl ColumnNames {
    pub(super) fn of(options: &ReadOptions) -> Self {
        let mut named = options.columns.clone();
        if let SymbolSource::Column(name) = &options.symbol {
            named.retain(|(what, _)| what != "symbol");
            named.push(("symbol".to_owned(), name.clone()));
        }
        Self {
            named,
            needs_symbol: !matches!(options.symbol, SymbolSource::One(_)),
        }
    }

    /// Finds the columns in a header.
    ///
    /// # Errors
    /// In words: what is missing, and what there is.
    pub(super) fn find(&self, header: &[&str]) -> Result<Places, String> {
        let is = |name: &str, wanted: &str| name.trim().eq_ignore_ascii_case(wanted);
        if header.iter().any(|name| is(name, MINUTES)) {
            return Err("has a column `minutes`, so it holds longer bars; minutes are imported and longer bars made of them by `aggregate`".to_owned());
        }
        let place = |what: &str| -> Result<Option<usize>, String> {
            if let Some((_, name)) = self.named.iter().find(|(named, _)| named == what) {
                let found = header.iter().position(|found| found.trim() == name);
                return found
                    .map(Some)
                    .ok_or_else(|| missing(&format!("`{}`", name.escape_default()), header));
            }
            let usual = USUAL.iter().find(|(known, _)| *known == what);
            let usual = usual.map_or(&[][..], |(_, names)| names);
            Ok(usual
                .iter()
                .find_map(|name| header.iter().position(|found| is(found, name))))
        };
        let required = |what: &str| place(what)?.ok_or_else(|| missing(what, header));
        Ok(Places {
            ts: required("ts")?,
            values: [
                required("open")?,
                required("high")?,
                required("low")?,
                required("close")?,
                required("volume")?,
            ],
            trade_count: place("trade_count")?,
            vwap: place("vwap")?,
            symbol: match self.needs_symbol {
                true => Some(place("symbol")?.ok_or_else(|| {
                    missing("symbol", header)
                        + "; name the symbol with --symbol or its column with --symbol-column"
                })?),
                false => None,
            },
            filled: place("filled")?,
        })
    }
}

/// Columns that an error shows.
const SHOWN_COLUMNS: usize = 20;

fn missing(what: &str, header: &[&str]) -> String {
    let names = header.iter().take(SHOWN_COLUMNS);
    let names: Vec<String> = names.map(|name| super::time::shown(name)).collect();
    if let [only] = header
        && let Some(other) = [';', '\t', '|']
            .into_iter()
            .find(|&other| only.contains(other))
    {
        let other = other.escape_default();
        return format!(
            "has the columns {} between `{other}`; commas are read",
            names.join(", ")
        );
    }
    format!(
        "has no column {what}; its columns are {} (--columns ts=NAME,open=NAME,.. says which is which)",
        names.join(", ")
    )
}
