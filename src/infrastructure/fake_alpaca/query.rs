//! From a decoded query to a checked bars request, or to the refusal the vendor would send. Sees no bars.

use super::dates::{Edge, new_york_midnight_ns, parse_date, parse_instant};
use super::target::{Query, Route};
use super::token::{Resume, parse_token};

const MINUTE_NS: i64 = 60_000_000_000;
/// Without a real-time plan the consolidated feed ends this long ago.
const DELAY_NS: i64 = 15 * MINUTE_NS;
const DEFAULT_LIMIT: usize = 1_000;
const MAX_LIMIT: usize = 10_000;
/// Feeds with history; `delayed_sip` and `overnight` exist for latest endpoints only.
const FEEDS: [&str; 4] = ["sip", "iex", "boats", "otc"];
const ADJUSTMENTS: [&str; 5] = ["raw", "split", "dividend", "spin-off", "all"];
const PARAMETERS: [&str; 10] = [
    "timeframe",
    "start",
    "end",
    "limit",
    "adjustment",
    "asof",
    "feed",
    "currency",
    "page_token",
    "sort",
];

/// An error answer of the bars endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Refusal {
    fn bad_request(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            message: message.into(),
        }
    }
}

fn invalid_format(parameter: &str, cause: &str) -> Refusal {
    Refusal::bad_request(format!("Invalid format for parameter {parameter}: {cause}"))
}

/// The server's view of the moment and of the plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) now_ns: i64,
    pub(super) real_time: bool,
}

/// A request that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BarsRequest {
    /// The answer has a key for each symbol.
    pub(super) multi: bool,
    /// Ascending, each once.
    pub(super) symbols: Vec<String>,
    pub(super) feed: String,
    /// Both ends belong to the window; Unix nanoseconds.
    pub(super) start_ns: i64,
    pub(super) end_ns: i64,
    pub(super) limit: usize,
    pub(super) currency: Option<String>,
    pub(super) page_token: Option<String>,
    pub(super) resume: Option<Resume>,
    /// The answer depends on the moment, because an end of the window was left to the server.
    pub(super) open_window: bool,
}

impl BarsRequest {
    /// Checks a query in the vendor's order: parameters, `end` before `start`, symbols, recency.
    ///
    /// # Errors
    /// The first refusal met.
    pub(super) fn parse(route: &Route, query: &Query, standing: Standing) -> Result<Self, Refusal> {
        check_names(query, route)?;
        let symbols_text = match route {
            Route::Multi => required(query, "symbols")?,
            Route::Single(symbol) => symbol,
        };
        check_timeframe(required(query, "timeframe")?)?;
        check_choices(query)?;
        let feed = query.find("feed").unwrap_or("sip");
        let delayed = feed == "sip" && !standing.real_time;
        let newest_ns = if delayed {
            standing.now_ns - DELAY_NS
        } else {
            standing.now_ns
        };
        let instant = |key, edge| {
            query
                .find(key)
                .map(|text| parse_instant(key, text, edge).map_err(Refusal::bad_request))
                .transpose()
        };
        let (start, end) = (instant("start", Edge::Start)?, instant("end", Edge::End)?);
        let (page_token, resume) = parse_page_token(query)?;
        let request = Self {
            multi: *route == Route::Multi,
            symbols: ordered_symbols(symbols_text),
            feed: feed.to_owned(),
            start_ns: start.unwrap_or_else(|| new_york_midnight_ns(standing.now_ns).min(newest_ns)),
            end_ns: end.unwrap_or(newest_ns),
            limit: parse_limit(query.find("limit"))?,
            currency: query.find("currency").map(str::to_owned),
            page_token,
            resume,
            open_window: start.is_none() || end.is_none(),
        };
        if request.end_ns < request.start_ns {
            return Err(Refusal::bad_request("end should not be before start"));
        }
        if let Some(symbol) = symbols_text.split(',').find(|text| !is_symbol(text)) {
            return Err(Refusal::bad_request(format!("invalid symbol: {symbol}")));
        }
        if let Some(resume) = &request.resume
            && request.symbols.binary_search(&resume.symbol).is_err()
        {
            return Err(invalid_token());
        }
        // Keyed on `end` alone; the whole request is refused (seen 2026-09-07).
        if delayed && request.end_ns > newest_ns {
            return Err(Refusal {
                status: 403,
                message: "subscription does not permit querying recent SIP data".to_owned(),
            });
        }
        Ok(request)
    }
}

fn check_names(query: &Query, route: &Route) -> Result<(), Refusal> {
    let known =
        |name: &str| PARAMETERS.contains(&name) || (name == "symbols" && *route == Route::Multi);
    for (index, name) in query.names().enumerate() {
        if !known(name) {
            // The wording is known from the crypto endpoint; what follows the colon is a guess.
            return Err(Refusal::bad_request(format!(
                "unexpected query parameter(s): {name}"
            )));
        }
        if query.names().take(index).any(|earlier| earlier == name) {
            let cause = format!("multiple values for single value parameter '{name}'");
            return Err(invalid_format(name, &cause));
        }
    }
    Ok(())
}

fn required<'q>(query: &'q Query, key: &str) -> Result<&'q str, Refusal> {
    query
        .find(key)
        .ok_or_else(|| invalid_format(key, &format!("query parameter '{key}' is required")))
}

/// Only minute bars are on the tape: other timeframes, legal ones of the vendor included, are refused with its text.
fn check_timeframe(text: &str) -> Result<(), Refusal> {
    match text {
        "1Min" | "1T" => Ok(()),
        _ => Err(Refusal::bad_request(format!("invalid timeframe: {text}"))),
    }
}

/// Checks the parameters that change nothing here: every adjustment serves the tape as it is (a world without
/// corporate actions), `asof` maps no symbol, and the only order is ascending. These texts are guesses.
fn check_choices(query: &Query) -> Result<(), Refusal> {
    let refuse = |key: &str, text: &str| Refusal::bad_request(format!("invalid {key}: {text}"));
    if let Some(feed) = query.find("feed")
        && !FEEDS.contains(&feed)
    {
        return Err(refuse("feed", feed));
    }
    if let Some(list) = query.find("adjustment")
        && !list.split(',').all(|text| ADJUSTMENTS.contains(&text))
    {
        return Err(refuse("adjustment", list));
    }
    if let Some(sort) = query.find("sort")
        && sort != "asc"
    {
        return Err(refuse("sort", sort));
    }
    if let Some(currency) = query.find("currency")
        && !(currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        return Err(refuse("currency", currency));
    }
    if let Some(asof) = query.find("asof")
        && asof != "-"
        && let Err(cause) = parse_date(asof)
    {
        return Err(invalid_format("asof", &cause));
    }
    Ok(())
}

fn parse_limit(text: Option<&str>) -> Result<usize, Refusal> {
    let Some(text) = text else {
        return Ok(DEFAULT_LIMIT);
    };
    let limit: i64 = text.parse().map_err(|_| {
        invalid_format(
            "limit",
            &format!(
                "error binding string parameter: strconv.ParseInt: parsing {text:?}: invalid syntax"
            ),
        )
    })?;
    usize::try_from(limit)
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| {
            // The text of 2022; today's was not captured. No clamping.
            Refusal::bad_request("invalid limit, limit must be between 1 and 10000")
        })
}

/// An empty token is no token: one official client sends `page_token=` after an empty one.
fn parse_page_token(query: &Query) -> Result<(Option<String>, Option<Resume>), Refusal> {
    match query.find("page_token") {
        None | Some("") => Ok((None, None)),
        Some(text) => {
            let resume = parse_token(text).ok_or_else(invalid_token)?;
            Ok((Some(text.to_owned()), Some(resume)))
        }
    }
}

/// The status is known, the text is not.
fn invalid_token() -> Refusal {
    Refusal::bad_request("invalid page token")
}

fn ordered_symbols(text: &str) -> Vec<String> {
    let mut symbols: Vec<String> = text.split(',').map(str::to_owned).collect();
    symbols.sort_unstable();
    symbols.dedup();
    symbols
}

/// `^[A-Z]+(\.[A-Z]+)*$`: the rule that fits every symbol seen accepted or refused.
fn is_symbol(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_shares_take_a_dot_and_nothing_else() {
        assert!(is_symbol("BRK.B") && is_symbol("ZZZQQXNOTAREALTICKER"));
        for refused in ["BRK-B", "CSP1", "aapl", "", "A.", ".A", "A..B", "A B"] {
            assert!(!is_symbol(refused), "{refused}");
        }
    }
}
