//! Cuts one page out of the tape: which bars, and where the walk goes on. Knows no JSON and no faults.

use std::borrow::Cow;

use super::config::{TokenStyle, WalkEnd};
use super::query::BarsRequest;
use super::tape::{Tape, TapeBar};
use super::token::{resume_after, resume_at};

const NS_PER_US: i64 = 1_000;
const MINUTE_NS: i64 = 60_000_000_000;

/// The value of `next_page_token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NextToken {
    /// The key is left out, which the vendor never does.
    Absent,
    /// `null`: the walk is over.
    Null,
    /// The walk goes on.
    Text(String),
}

/// The bars of one symbol on one page.
#[derive(Debug, Clone)]
pub(super) struct Part<'t> {
    pub(super) symbol: Cow<'t, str>,
    pub(super) bars: Cow<'t, [TapeBar]>,
}

/// One page, borrowed from the tape until something is changed in it.
#[derive(Debug, Clone)]
pub(super) struct Page<'t> {
    /// Ascending by symbol; none is empty.
    pub(super) parts: Vec<Part<'t>>,
    pub(super) next: NextToken,
}

impl Page<'_> {
    pub(super) fn bar_count(&self) -> usize {
        self.parts.iter().map(|part| part.bars.len()).sum()
    }
}

/// How tokens are given out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paging {
    pub(super) token_style: TokenStyle,
    pub(super) walk_end: WalkEnd,
}

/// Cuts the page of `request`: by symbol, then by time, exactly `limit` bars unless fewer are left.
pub(super) fn cut_page<'t>(tape: &'t Tape, request: &'t BarsRequest, paging: Paging) -> Page<'t> {
    let mut page = Page {
        parts: Vec::new(),
        next: NextToken::Null,
    };
    let mut room = request.limit;
    for symbol in &request.symbols {
        let bars = remaining_bars(tape, request, symbol);
        let Some(first_left_out) = bars.get(room) else {
            room -= bars.len();
            push_part(&mut page, symbol, bars);
            continue;
        };
        push_part(&mut page, symbol, &bars[..room]);
        page.next = NextToken::Text(next_token(&page, paging, symbol, first_left_out));
        return page;
    }
    if paging.walk_end == WalkEnd::ExtraEmptyPage
        && let Some((symbol, last)) = last_bar(&page)
    {
        page.next = NextToken::Text(match paging.token_style {
            TokenStyle::NextBar => resume_at(TokenStyle::NextBar, symbol, bar_ns(last) + MINUTE_NS),
            TokenStyle::LastBar => resume_after(symbol, bar_ns(last)),
        });
    }
    page
}

/// Time of a bar in Unix nanoseconds.
pub(super) fn bar_ns(bar: &TapeBar) -> i64 {
    bar.ts_us.saturating_mul(NS_PER_US)
}

/// The last bar of a page and its symbol.
pub(super) fn last_bar<'p>(page: &'p Page<'_>) -> Option<(&'p str, &'p TapeBar)> {
    let part = page.parts.last()?;
    Some((&part.symbol, part.bars.last()?))
}

/// The bars of one symbol inside the window and not before the place where the walk goes on.
fn remaining_bars<'t>(tape: &'t Tape, request: &BarsRequest, symbol: &str) -> &'t [TapeBar] {
    let from_ns = match &request.resume {
        Some(resume) if symbol < resume.symbol.as_str() => return &[],
        Some(resume) if symbol == resume.symbol => request.start_ns.max(resume.from_ns),
        _ => request.start_ns,
    };
    let bars = tape.bars(&request.feed, symbol);
    let begin = bars.partition_point(|bar| bar_ns(bar) < from_ns);
    let stop = bars.partition_point(|bar| bar_ns(bar) <= request.end_ns);
    bars.get(begin..stop).unwrap_or(&[])
}

fn push_part<'t>(page: &mut Page<'t>, symbol: &'t str, bars: &'t [TapeBar]) {
    if !bars.is_empty() {
        page.parts.push(Part {
            symbol: Cow::Borrowed(symbol),
            bars: Cow::Borrowed(bars),
        });
    }
}

fn next_token(page: &Page<'_>, paging: Paging, symbol: &str, first_left_out: &TapeBar) -> String {
    match (paging.token_style, last_bar(page)) {
        (TokenStyle::LastBar, Some((symbol, last))) => resume_after(symbol, bar_ns(last)),
        (style, _) => resume_at(style, symbol, bar_ns(first_left_out)),
    }
}
