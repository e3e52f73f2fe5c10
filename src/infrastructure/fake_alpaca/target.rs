//! Splits a request target into its route and its decoded query. Judges no value.

use percent_encoding::percent_decode_str;

/// What a target asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/stocks/bars`
    Multi,
    /// `/v2/stocks/{symbol}/bars`
    Single(String),
}

/// Finds the route of a target; `None` is a 404.
pub(super) fn find_route(target: &str) -> Option<Route> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    match path.strip_prefix("/v2/stocks/")? {
        "bars" => Some(Route::Multi),
        rest => {
            let symbol = rest.strip_suffix("/bars")?;
            (!symbol.contains('/'))
                .then(|| Route::Single(percent_decode_str(symbol).decode_utf8_lossy().into_owned()))
        }
    }
}

/// The decoded query of a target, in order of arrival.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Splits and decodes; `+` is a space, so an unescaped `+00:00` offset is refused later, as by the vendor.
    pub(super) fn decode(target: &str) -> Self {
        let text = target.split_once('?').map_or("", |(_, query)| query);
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(key), decode(value))
            })
            .collect();
        Self { pairs }
    }

    /// The first value of a parameter.
    pub(super) fn find(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The names of all parameters, in order of arrival.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bars_routes_are_found_and_nothing_else() {
        assert_eq!(find_route("/v2/stocks/bars?x=1"), Some(Route::Multi));
        assert_eq!(
            find_route("/v2/stocks/BRK.B/bars"),
            Some(Route::Single("BRK.B".to_owned()))
        );
        assert_eq!(find_route("/v2/stocks/bars/latest"), None);
        assert_eq!(find_route("//v2/stocks/bars"), None);
    }

    #[test]
    fn a_bare_plus_is_a_space() {
        let query = Query::decode("/x?start=2026-09-03T13:30:00+00:00&a=%2B&symbols=A%2CB");
        assert_eq!(query.find("start"), Some("2026-09-03T13:30:00 00:00"));
        assert_eq!(query.find("a"), Some("+"));
        assert_eq!(query.find("symbols"), Some("A,B"));
    }
}
