//! One page of `/v2/stocks/bars`, from bytes straight into columns. Believes nothing: what nobody asked for is set
//! aside, what is ambiguous refuses the whole page.

mod quick;

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use thiserror::Error;

use crate::domain::ports::{PageToken, StrayRows};
use crate::domain::{BarColumns, HardRule, Symbol};
use crate::infrastructure::http::printable;

use super::rows::{RowsSeed, Strays};

/// What a bar takes on a page, roughly; decides how much room is made in advance.
const BAR_BYTES: usize = 110;

/// Twice what is asked for. A page of nothing but empty rows would be twenty times as large in memory.
pub(crate) const MAX_ROWS: usize = 20_000;

/// An answer with more symbols that nobody asked for belongs to another question.
pub(crate) const MAX_STRAY_SYMBOLS: usize = 100;

/// The longest token that is passed on. Real ones have about 40 characters.
pub(crate) const MAX_TOKEN_BYTES: usize = 2048;

const MAX_SYMBOL_CHARS: usize = 40;

/// A page's content.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Page {
    /// Rows by requested symbol, in the order of the page; symbols without rows are left out.
    pub(crate) bars: Vec<(Symbol, BarColumns)>,
    /// Rows of other symbols.
    pub(crate) strays: Vec<StrayRows>,
    /// `None` on the last page.
    pub(crate) next: Option<PageToken>,
}

/// Why bytes are not a page.
#[derive(Debug, Error)]
pub(crate) enum PageError {
    /// Not text at all.
    #[error("answer is not UTF-8 from byte {at}")]
    NotUtf8 { at: usize },
    /// No JSON, or not of the promised shape.
    #[error("answer is not a page of bars: {0}")]
    Shape(#[from] serde_json::Error),
}

/// Decodes a page that answers a question for `requested`, which ascends.
///
/// # Errors
/// [`PageError`] when the page as a whole cannot be trusted: no JSON, another shape, `bars` or `next_page_token`
/// missing, a key twice. A missing token must not pass for the last page.
pub(crate) fn decode_page(body: &[u8], requested: &[Symbol]) -> Result<Page, PageError> {
    let rows_per_symbol = (body.len() / BAR_BYTES / requested.len().max(1) + 1).min(MAX_ROWS);
    match quick::read_page(body, requested, rows_per_symbol) {
        Some(page) => Ok(page),
        None => decode_thoroughly(body, requested, rows_per_symbol),
    }
}

/// Reads any page, word by word.
pub(crate) fn decode_thoroughly(
    body: &[u8],
    requested: &[Symbol],
    rows_per_symbol: usize,
) -> Result<Page, PageError> {
    let text = std::str::from_utf8(body).map_err(|error| PageError::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let page = PageSeed {
        requested,
        rows_per_symbol,
    }
    .deserialize(&mut json)?;
    json.end()?;
    Ok(page)
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum PageKey {
    Bars,
    NextPageToken,
    #[serde(other)]
    Other,
}

struct PageSeed<'a> {
    requested: &'a [Symbol],
    rows_per_symbol: usize,
}

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `bars` and `next_page_token`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page, A::Error> {
        let (mut symbols, mut token) = (None, None);
        while let Some(key) = map.next_key()? {
            match key {
                PageKey::Bars if symbols.is_some() => {
                    return Err(A::Error::duplicate_field("bars"));
                }
                PageKey::Bars => symbols = Some(map.next_value_seed(SymbolsSeed::new(&self))?),
                PageKey::NextPageToken if token.is_some() => {
                    return Err(A::Error::duplicate_field("next_page_token"));
                }
                PageKey::NextPageToken => token = Some(map.next_value::<Option<String>>()?),
                PageKey::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let page = symbols.ok_or_else(|| A::Error::missing_field("bars"))?;
        let token = token
            .ok_or_else(|| A::Error::missing_field("next_page_token"))?
            .filter(|token| !token.is_empty());
        if token
            .as_ref()
            .is_some_and(|token| token.len() > MAX_TOKEN_BYTES)
        {
            return Err(A::Error::custom(format_args!(
                "next_page_token is longer than {MAX_TOKEN_BYTES} bytes"
            )));
        }
        Ok(Page {
            next: token.map(PageToken),
            ..page
        })
    }
}

/// Reads the object of all symbols; null is an empty one.
struct SymbolsSeed<'a> {
    asked: &'a PageSeed<'a>,
    /// Which of the requested symbols came already.
    seen: Vec<bool>,
    /// How many more rows may come.
    room: Cell<usize>,
    page: Page,
}

impl<'a> SymbolsSeed<'a> {
    fn new(asked: &'a PageSeed<'a>) -> Self {
        Self {
            asked,
            seen: vec![false; asked.requested.len()],
            room: Cell::new(MAX_ROWS),
            page: Page::default(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for SymbolsSeed<'_> {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SymbolsSeed<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of symbols, or null")
    }

    fn visit_unit<E>(self) -> Result<Page, E> {
        Ok(self.page)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Page, A::Error> {
        while let Some(owner) = map.next_key_seed(OwnerSeed(self.asked.requested))? {
            match owner {
                Owner::Requested(at) => {
                    if std::mem::replace(&mut self.seen[at], true) {
                        let symbol = &self.asked.requested[at];
                        return Err(A::Error::custom(format_args!(
                            "symbol {symbol} is there twice"
                        )));
                    }
                    let columns = BarColumns::with_capacity(self.asked.rows_per_symbol);
                    let rows = RowsSeed {
                        taker: columns,
                        room: &self.room,
                    };
                    let columns = map.next_value_seed(rows)?;
                    if !columns.is_empty() {
                        self.page
                            .bars
                            .push((self.asked.requested[at].clone(), columns));
                    }
                }
                Owner::Stray(symbol) => {
                    let strays = &mut self.page.strays;
                    if strays.iter().any(|stray| stray.symbol == symbol) {
                        return Err(A::Error::custom(format_args!(
                            "symbol `{symbol}` is there twice"
                        )));
                    }
                    if strays.len() == MAX_STRAY_SYMBOLS {
                        return Err(A::Error::custom(format_args!(
                            "more than {MAX_STRAY_SYMBOLS} symbols were not asked for"
                        )));
                    }
                    let rows = RowsSeed {
                        taker: Strays::default(),
                        room: &self.room,
                    };
                    let Strays { rows, first } = map.next_value_seed(rows)?;
                    if let Some(evidence) = first {
                        strays.push(StrayRows {
                            symbol,
                            rows,
                            rule: HardRule::SymbolNotAsked,
                            evidence,
                        });
                    }
                }
            }
        }
        Ok(self.page)
    }
}

/// Whose rows follow.
enum Owner {
    /// The requested symbol at this place.
    Requested(usize),
    /// A symbol that nobody asked for, made fit to be shown.
    Stray(String),
}

struct OwnerSeed<'a>(&'a [Symbol]);

impl<'de> DeserializeSeed<'de> for OwnerSeed<'_> {
    type Value = Owner;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Owner, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for OwnerSeed<'_> {
    type Value = Owner;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a symbol")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Owner, E> {
        let find = |text: &str| self.0.binary_search_by(|symbol| symbol.as_str().cmp(text));
        match find(text) {
            Ok(at) => Ok(Owner::Requested(at)),
            // Rows of a requested symbol in another spelling: neither to be believed nor to be missed.
            Err(_) if find(&text.to_ascii_uppercase()).is_ok() => Err(E::custom(format_args!(
                "a requested symbol is written `{}`",
                printable(text, MAX_SYMBOL_CHARS)
            ))),
            Err(_) => Ok(Owner::Stray(shown_name(text))),
        }
    }
}

/// A name that nobody asked for, made fit to be shown: also in a spreadsheet, which would take some for a formula.
fn shown_name(text: &str) -> String {
    let shown = printable(text, MAX_SYMBOL_CHARS - 2);
    match text.starts_with(['=', '+', '-', '@']) {
        true => format!("`{shown}`"),
        false => printable(text, MAX_SYMBOL_CHARS),
    }
}
