//! Writes pages as the vendor's minified JSON: alphabetical keys, shortest numbers. Written by hand because a
//! benchmark counts on this server costing little. Knows no HTTP.

use super::numbers::TextBuffer;
use super::page::{NextToken, Page};
use super::tape::TapeBar;

const BYTES_PER_BAR: usize = 128;

/// What is written before each value; the first key is never left out.
const BAR_KEYS: [(BarKey, &str); 8] = [
    (BarKey::Close, "{\"c\":"),
    (BarKey::High, ",\"h\":"),
    (BarKey::Low, ",\"l\":"),
    (BarKey::TradeCount, ",\"n\":"),
    (BarKey::Open, ",\"o\":"),
    (BarKey::Time, ",\"t\":"),
    (BarKey::Volume, ",\"v\":"),
    (BarKey::Vwap, ",\"vw\":"),
];

/// One value of one bar, replaced by other bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldEdit {
    pub(super) part: usize,
    pub(super) row: usize,
    pub(super) key: BarKey,
    /// Written instead of the value, whatever it is.
    pub(super) text: Vec<u8>,
}

/// The keys of a bar on the wire, in their order there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarKey {
    /// `c`
    Close,
    /// `h`
    High,
    /// `l`
    Low,
    /// `n`
    TradeCount,
    /// `o`
    Open,
    /// `t`
    Time,
    /// `v`
    Volume,
    /// `vw`
    Vwap,
}

/// What surrounds the bars of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope<'r> {
    /// The symbol of the single-symbol endpoint, whose bars are a bare array.
    pub(super) single: Option<&'r str>,
    pub(super) currency: Option<&'r str>,
}

/// Writes a page; no line end follows.
pub(super) fn write_page(
    page: &Page<'_>,
    edit: Option<&FieldEdit>,
    envelope: Envelope<'_>,
) -> Vec<u8> {
    let mut text = TextBuffer::with_capacity(256 + page.bar_count() * BYTES_PER_BAR);
    text.push("{\"bars\":");
    let (open, close) = if envelope.single.is_some() {
        ("[", "]")
    } else {
        ("{", "}")
    };
    text.push(open);
    for (part_index, part) in page.parts.iter().enumerate() {
        if part_index > 0 {
            text.push(",");
        }
        if envelope.single.is_none() {
            write_string(&mut text, &part.symbol);
            text.push(":[");
        }
        for (row, bar) in part.bars.iter().enumerate() {
            if row > 0 {
                text.push(",");
            }
            write_bar(
                &mut text,
                bar,
                edit.filter(|edit| edit.part == part_index && edit.row == row),
            );
        }
        if envelope.single.is_none() {
            text.push("]");
        }
    }
    text.push(close);
    if let Some(currency) = envelope.currency {
        text.push(",\"currency\":");
        write_string(&mut text, currency);
    }
    match &page.next {
        NextToken::Absent => {}
        NextToken::Null => text.push(",\"next_page_token\":null"),
        NextToken::Text(token) => {
            text.push(",\"next_page_token\":");
            write_string(&mut text, token);
        }
    }
    if let Some(symbol) = envelope.single {
        text.push(",\"symbol\":");
        write_string(&mut text, symbol);
    }
    text.push("}");
    text.into_bytes()
}

/// Writes `{"message":".."}` with the line end that the vendor's errors have.
pub(super) fn write_message(message: &str) -> Vec<u8> {
    let mut body = serde_json::json!({ "message": message })
        .to_string()
        .into_bytes();
    body.push(b'\n');
    body
}

fn write_string(text: &mut TextBuffer, string: &str) {
    text.push(&serde_json::Value::from(string).to_string());
}

fn write_bar(text: &mut TextBuffer, bar: &TapeBar, edit: Option<&FieldEdit>) {
    for (key, lead) in BAR_KEYS {
        let replaced = edit.filter(|edit| edit.key == key);
        let absent = match key {
            BarKey::TradeCount => bar.trade_count.is_none(),
            BarKey::Vwap => bar.vwap.is_none(),
            _ => false,
        };
        if absent && replaced.is_none() {
            continue;
        }
        text.push(lead);
        match replaced {
            Some(edit) => text.push_bytes(&edit.text),
            None => write_value(text, bar, key),
        }
    }
    text.push("}");
}

fn write_value(text: &mut TextBuffer, bar: &TapeBar, key: BarKey) {
    match key {
        BarKey::Close => text.number(bar.close),
        BarKey::High => text.number(bar.high),
        BarKey::Low => text.number(bar.low),
        BarKey::Open => text.number(bar.open),
        BarKey::Volume => text.number(bar.volume),
        BarKey::TradeCount => text.integer(bar.trade_count.unwrap_or_default()),
        BarKey::Vwap => text.number(bar.vwap.unwrap_or_default()),
        BarKey::Time => {
            text.push("\"");
            text.instant(bar.ts_us);
            text.push("\"");
        }
    }
}
