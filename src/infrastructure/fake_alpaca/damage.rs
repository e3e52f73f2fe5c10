//! Applies scripted faults to what a page says and to how its body is coded. Knows nothing of sockets.

use std::borrow::Cow;

use super::config::TokenStyle;
use super::faults::Fault;
use super::json::{BarKey, FieldEdit};
use super::page::{NextToken, Page, Part, bar_ns, last_bar};
use super::query::BarsRequest;
use super::reply::{Coding, GZIP_FROM_BYTES, gzip};
use super::script::Encounter;
use super::tape::TapeBar;
use super::token::resume_at;

const HALF_MINUTE_US: i64 = 30_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// What became of a page under a fault.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Damage {
    /// The page is the true one.
    #[default]
    None,
    /// The page itself was changed.
    Page,
    /// One value is to be written differently.
    Value(FieldEdit),
}

/// Changes `page` as the fault of `met` says; faults that do not concern pages change nothing.
pub(super) fn damage_page(
    page: &mut Page<'_>,
    met: &Encounter,
    request: &BarsRequest,
    style: TokenStyle,
) -> Damage {
    match &met.fault {
        Fault::ShortPages(bars) if page.bar_count() == (*bars).max(1) => Damage::Page,
        Fault::ShortPages(_) => Damage::None,
        Fault::MissingToken => {
            page.next = NextToken::Absent;
            Damage::Page
        }
        Fault::TokenLoop => set_token(page, looped_token(page, request, style)),
        Fault::TokenPingPong => {
            let back = met.previous_token.clone().filter(|token| {
                request.page_token.is_some() && request.page_token.as_ref() != Some(token)
            });
            set_token(page, back)
        }
        Fault::RepeatLastBar if page.next == NextToken::Null => Damage::None,
        Fault::RepeatLastBar => {
            let token = last_bar(page).map(|(symbol, bar)| resume_at(style, symbol, bar_ns(bar)));
            set_token(page, token)
        }
        Fault::EmptyPageWithToken => {
            let token = unused_token(page, request, style, met.serial);
            page.parts.clear();
            set_token(page, token)
        }
        Fault::UnaskedSymbol | Fault::LowerCaseSymbol | Fault::DuplicateSymbolKey
            if !request.multi =>
        {
            Damage::None
        }
        fault => damage_bars(page, fault, request),
    }
}

fn set_token(page: &mut Page<'_>, token: Option<String>) -> Damage {
    let Some(token) = token else {
        return Damage::None;
    };
    page.next = NextToken::Text(token);
    Damage::Page
}

/// The token of the request; for a first page its natural one, else that of its first bar.
fn looped_token(page: &Page<'_>, request: &BarsRequest, style: TokenStyle) -> Option<String> {
    let natural = match &page.next {
        NextToken::Text(token) => Some(token.clone()),
        NextToken::Absent | NextToken::Null => None,
    };
    request.page_token.clone().or(natural).or_else(|| {
        let part = page.parts.first()?;
        Some(resume_at(style, &part.symbol, bar_ns(part.bars.first()?)))
    })
}

/// A token a few nanoseconds before the first bar left to serve: new each time, and nothing is lost behind it.
fn unused_token(
    page: &Page<'_>,
    request: &BarsRequest,
    style: TokenStyle,
    serial: u64,
) -> Option<String> {
    let serial = i64::try_from(serial).unwrap_or(i64::MAX);
    let first = page
        .parts
        .first()
        .and_then(|part| Some((part.symbol.as_ref(), bar_ns(part.bars.first()?))));
    match first {
        Some((symbol, first_ns)) => Some(resume_at(style, symbol, first_ns.saturating_sub(serial))),
        None => {
            let symbol = request.symbols.last()?;
            Some(resume_at(
                style,
                symbol,
                request.end_ns.saturating_add(serial),
            ))
        }
    }
}

fn damage_bars(page: &mut Page<'_>, fault: &Fault, request: &BarsRequest) -> Damage {
    let Some((part, row)) = middle_bar(page) else {
        return Damage::None;
    };
    let edit = |key, text: &[u8]| {
        Damage::Value(FieldEdit {
            part,
            row,
            key,
            text: text.to_vec(),
        })
    };
    match fault {
        Fault::NullPrice => edit(BarKey::Close, b"null"),
        Fault::NegativePrice => edit(BarKey::Low, b"-1"),
        Fault::HugePrice => edit(BarKey::High, b"1e308"),
        Fault::InvalidUtf8 => edit(BarKey::Time, b"\"2026-09-03T13:3\xff:00Z\""),
        Fault::FieldText { key, text } => edit(*key, text),
        _ => change_rows(page, fault, (part, row), request),
    }
}

/// Changes the rows themselves, if `fault` is one that does.
fn change_rows(
    page: &mut Page<'_>,
    fault: &Fault,
    (part, row): (usize, usize),
    request: &BarsRequest,
) -> Damage {
    let middle = page.parts[part].bars[row];
    match fault {
        Fault::ReversedRows => {
            for part in &mut page.parts {
                part.bars.to_mut().reverse();
            }
        }
        Fault::BarsOutsideWindow => {
            let stray = TapeBar {
                ts_us: (request.end_ns / 1_000).saturating_add(HOUR_US),
                ..middle
            };
            if let Some(last) = page.parts.last_mut() {
                last.bars.to_mut().push(stray);
            }
        }
        Fault::UnaskedSymbol => page.parts.push(Part {
            symbol: Cow::Borrowed("UNASKED"),
            bars: Cow::Owned(vec![middle]),
        }),
        Fault::LowerCaseSymbol => {
            let first = &mut page.parts[0];
            first.symbol = Cow::Owned(first.symbol.to_lowercase());
        }
        Fault::DuplicateSymbolKey => return split_last_symbol(page),
        Fault::SameMinuteTwice => {
            let again = TapeBar {
                volume: middle.volume + 1.0,
                ..middle
            };
            page.parts[part].bars.to_mut().insert(row + 1, again);
        }
        Fault::LowAboveHigh => page.parts[part].bars.to_mut()[row].low = middle.high + 1.0,
        Fault::OffMinute => {
            page.parts[part].bars.to_mut()[row].ts_us = middle.ts_us + HALF_MINUTE_US;
        }
        _ => return Damage::None,
    }
    Damage::Page
}

fn split_last_symbol(page: &mut Page<'_>) -> Damage {
    let Some(last) = page.parts.last_mut() else {
        return Damage::None;
    };
    if last.bars.len() < 2 {
        return Damage::None;
    }
    let bars = last.bars.to_mut();
    let second_half = bars.split_off(bars.len() / 2);
    let symbol = last.symbol.clone();
    page.parts.push(Part {
        symbol,
        bars: Cow::Owned(second_half),
    });
    Damage::Page
}

/// Part and row of the middle bar of the page.
fn middle_bar(page: &Page<'_>) -> Option<(usize, usize)> {
    let mut row = page.bar_count() / 2;
    for (part, bars) in page.parts.iter().map(|part| &part.bars).enumerate() {
        if row < bars.len() {
            return Some((part, row));
        }
        row -= bars.len();
    }
    None
}

/// Codes a body for sending, wrongly where `fault` says so. Returns what the body is, or claims to be.
pub(super) fn encode_body(
    mut plain: Vec<u8>,
    accepted: Coding,
    fault: Option<&Fault>,
) -> (Vec<u8>, Coding) {
    match fault {
        Some(Fault::CutGzip) => {
            let mut coded = gzip(&plain);
            coded.truncate(coded.len() / 2);
            (coded, Coding::Gzip)
        }
        Some(Fault::BadGzipChecksum) => {
            let mut coded = gzip(&plain);
            // The last eight bytes are the checksum and the length.
            if let Some(byte) = coded.iter_mut().nth_back(7) {
                *byte ^= 0xff;
            }
            (coded, Coding::Gzip)
        }
        Some(Fault::GzipTrailingJunk) => {
            let mut coded = gzip(&plain);
            coded.extend_from_slice(b"trailing junk");
            (coded, Coding::Gzip)
        }
        Some(Fault::NotGzip) => (plain, Coding::Gzip),
        fault => {
            if fault == Some(&Fault::CutJson) {
                plain.truncate(plain.len() / 2);
            }
            if accepted == Coding::Gzip && plain.len() > GZIP_FROM_BYTES {
                (gzip(&plain), Coding::Gzip)
            } else {
                (plain, Coding::Plain)
            }
        }
    }
}
