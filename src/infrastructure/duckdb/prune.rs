//! Which files a statement cannot need, read off its text before any file is opened. Knows one shape of statement, the
//! everyday one, and leaves every other alone: a file is left out only if no row of it can pass the conditions.

use crate::domain::ports::BarSelection;
use crate::domain::{SessionDate, Symbol};

/// A word, literal or sign of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// An identifier, keyword or number, in lower case.
    Word(String),
    /// A text literal without quotes inside.
    Text(String),
    /// An operator or bracket.
    Sign(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }
}

/// The symbols and sessions that alone can matter to `sql`; everything, when the statement is of another shape.
///
/// The shape: one table, `FROM view WHERE a AND b ..`, no `OR`, no `NOT`, nothing nested. Every condition of a
/// conjunction over one table holds for each row that counts, so `symbol = 'A'`, `symbol IN ('A', 'B')` and comparisons of
/// `session_date` and `ts` with a literal bound the files. Conditions of other forms are DuckDB's business and bound
/// nothing.
pub(super) fn bounds_of(sql: &str) -> BarSelection {
    bounds(sql).unwrap_or_default()
}

fn bounds(sql: &str) -> Option<BarSelection> {
    let tokens = tokens_of(sql)?;
    let count = |word: &str| tokens.iter().filter(|token| token.is(word)).count();
    const OTHER_SHAPES: [&str; 14] = [
        "or",
        "not",
        "join",
        "union",
        "except",
        "intersect",
        "with",
        "lateral",
        "pivot",
        "unpivot",
        "exists",
        "case",
        // A sample is drawn before the conditions are looked at: from all rows, not from those that pass.
        "using",
        "sample",
    ];
    if count("from") != 1 || count("where") != 1 || count("select") > 1 {
        return None;
    }
    if OTHER_SHAPES.iter().any(|word| count(word) > 0) {
        return None;
    }
    // Bars are read in one place alone: `TABLE bars_1m` and its like need no second FROM.
    let names_bars = |token: &&Token| match token {
        Token::Word(word) => word.starts_with("bars"),
        Token::Text(text) => text.to_ascii_lowercase().contains("bars"),
        Token::Sign(_) => false,
    };
    if tokens.iter().filter(names_bars).count() != 1 {
        return None;
    }
    let from = tokens.iter().position(|token| token.is("from"))?;
    let place = tokens.iter().position(|token| token.is("where"))?;
    let is_one_table = match &tokens[from + 1..place] {
        [Token::Word(view)] => view.starts_with("bars_"),
        // The macro keeps the sessions of a symbol together.
        [
            Token::Word(bars),
            Token::Sign('('),
            arguments @ ..,
            Token::Sign(')'),
        ] => {
            bars == "bars"
                && !arguments
                    .iter()
                    .any(|token| matches!(token, Token::Sign('(' | ')')))
        }
        _ => false,
    };
    if !is_one_table || has_alias(&tokens[..from]) {
        return None;
    }
    let rest = &tokens[place + 1..];
    let ends = [
        "group", "order", "limit", "having", "qualify", "window", "offset",
    ];
    let end = rest
        .iter()
        .position(|token| ends.iter().any(|word| token.is(word)));
    let mut selection = BarSelection::default();
    let mut sessions = (EARLIEST, LATEST);
    let mut has_sessions = false;
    for condition in conjunction(&rest[..end.unwrap_or(rest.len())]) {
        if let Some(symbols) = symbols_of(condition) {
            // Of two conditions on the symbol each holds: one of them bounds enough.
            selection.symbols = symbols;
        } else if let Some((first, last)) =
            sessions_of(condition).or_else(|| sessions_by_time(condition))
        {
            sessions = (sessions.0.max(first), sessions.1.min(last));
            has_sessions = true;
        }
    }
    if has_sessions && sessions.0 <= sessions.1 {
        selection.sessions = Some(sessions);
    }
    Some(selection)
}

const EARLIEST: SessionDate = SessionDate::from_ymd(1, 1, 1).expect("a date");
const LATEST: SessionDate = SessionDate::from_ymd(9999, 12, 31).expect("a date");

/// Whether the list of columns gives the name of a column to something else.
fn has_alias(columns: &[Token]) -> bool {
    let is_column = |token: &Token| {
        ["symbol", "session_date", "ts"]
            .iter()
            .any(|name| token.is(name))
    };
    columns.windows(2).any(|pair| {
        let is_plain = pair[0].is("select")
            || pair[0].is("distinct")
            || matches!(pair[0], Token::Sign(',' | '('));
        is_column(&pair[1]) && !is_plain
    })
}

/// The conditions that `AND` joins outside of brackets; the `AND` of a `BETWEEN` joins none.
fn conjunction(tokens: &[Token]) -> Vec<&[Token]> {
    let mut conditions = Vec::new();
    let (mut start, mut depth, mut between) = (0, 0_i32, false);
    for (place, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ if depth != 0 => {}
            token if token.is("between") => between = true,
            token if token.is("and") && between => between = false,
            token if token.is("and") => {
                conditions.push(&tokens[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    conditions.push(&tokens[start..]);
    conditions
}

/// `symbol = 'A'` or `symbol IN ('A', 'B')`.
fn symbols_of(condition: &[Token]) -> Option<Vec<Symbol>> {
    let texts = match condition {
        [column, Token::Sign('='), Token::Text(text)] if column.is("symbol") => vec![text],
        [
            column,
            within,
            Token::Sign('('),
            list @ ..,
            Token::Sign(')'),
        ] if column.is("symbol") && within.is("in") => {
            let is_list = list.iter().enumerate().all(|(place, token)| match token {
                Token::Text(_) => place % 2 == 0,
                Token::Sign(',') => place % 2 == 1,
                _ => false,
            });
            if !is_list {
                return None;
            }
            list.iter()
                .filter_map(|token| match token {
                    Token::Text(text) => Some(text),
                    _ => None,
                })
                .collect()
        }
        _ => return None,
    };
    // What is no legal symbol has no file; a list without any legal one would mean all.
    let symbols: Option<Vec<Symbol>> = texts.iter().map(|text| text.parse().ok()).collect();
    symbols
        .filter(|symbols| !symbols.is_empty())
        .filter(|symbols| {
            symbols
                .iter()
                .zip(&texts)
                .all(|(symbol, text)| symbol.as_str() == text.as_str())
        })
}

/// A comparison of `session_date` with a date, or with two: the first and the last date that pass.
fn sessions_of(condition: &[Token]) -> Option<(SessionDate, SessionDate)> {
    dates_of("session_date", condition, |text| text.parse().ok())
}

/// A bar's UTC date is at most so many days after its session's, zone offsets in literals and `24:00` included.
const DAYS_AFTER_SESSION: i32 = 3;

/// A session's date is at most so many days after the UTC date of its bars: the evening before the longest closure
/// belongs to it already.
const DAYS_BEFORE_SESSION: i32 = 16;

/// A comparison of `ts` with an instant, or with two: the first and the last session that can have such bars.
fn sessions_by_time(condition: &[Token]) -> Option<(SessionDate, SessionDate)> {
    let (first, last) = dates_of("ts", condition, date_of_instant)?;
    let moved = |date: SessionDate, days: i32| {
        SessionDate::from_days_since_epoch(date.days_since_epoch() + days)
    };
    Some((
        moved(first, -DAYS_AFTER_SESSION).unwrap_or(EARLIEST),
        moved(last, DAYS_BEFORE_SESSION).unwrap_or(LATEST),
    ))
}

/// The date of `2024-07-02`, `2024-07-02 13:30:00` and `2024-07-02T13:30:00Z`; `None` for what may be meant otherwise.
fn date_of_instant(text: &str) -> Option<SessionDate> {
    let (date, time) = text.split_at_checked(10)?;
    let is_time = |sign: char| sign.is_ascii_digit() || [' ', ':', '.', 'T', 'Z'].contains(&sign);
    date.parse().ok().filter(|_| time.chars().all(is_time))
}

/// A comparison of `name` with a literal, or with two: the first and the last date that pass, as `read` reads them.
fn dates_of(
    name: &str,
    condition: &[Token],
    read: impl Fn(&str) -> Option<SessionDate>,
) -> Option<(SessionDate, SessionDate)> {
    let (column, comparison) = condition.split_first()?;
    if !column.is(name) {
        return None;
    }
    // `DATE '2024-07-02'` is what the bare text is taken for.
    let is_type = |place: usize| {
        matches!(comparison.get(place + 1), Some(Token::Text(_)))
            && ["date", "timestamp"]
                .iter()
                .any(|word| comparison[place].is(word))
    };
    let untyped: Vec<&Token> = (0..comparison.len())
        .filter(|&place| !is_type(place))
        .map(|place| &comparison[place])
        .collect();
    match untyped[..] {
        [Token::Sign('='), Token::Text(text)] => read(text).map(|day| (day, day)),
        [Token::Sign('>'), Token::Sign('='), Token::Text(text)]
        | [Token::Sign('>'), Token::Text(text)] => read(text).map(|day| (day, LATEST)),
        [Token::Sign('<'), Token::Sign('='), Token::Text(text)]
        | [Token::Sign('<'), Token::Text(text)] => read(text).map(|day| (EARLIEST, day)),
        [between, Token::Text(first), and, Token::Text(last)]
            if between.is("between") && and.is("and") =>
        {
            read(first).zip(read(last))
        }
        _ => None,
    }
}

/// The tokens of a statement; `None` when it has comments, quoted names, lists, texts with a prefix (in `e'..'` a
/// backslash may hide a quote) or other things that need a real parser.
fn tokens_of(sql: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut characters = sql.trim().trim_end_matches(';').chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        let is_prefixed = before.is_alphanumeric() || ['_', '&'].contains(&before);
        before = character;
        match character {
            _ if character.is_whitespace() => {}
            '\'' if is_prefixed => return None,
            '\'' => {
                let mut text = String::new();
                loop {
                    match characters.next()? {
                        '\'' if characters.peek() == Some(&'\'') => return None,
                        '\'' => break,
                        other => text.push(other),
                    }
                }
                tokens.push(Token::Text(text));
            }
            '-' if characters.peek() == Some(&'-') => return None,
            '/' if characters.peek() == Some(&'*') => return None,
            '"' | '$' | ';' | '#' | '\\' | '{' | '}' | '[' | ']' => return None,
            _ if character.is_alphanumeric() || character == '_' => {
                let mut word = character.to_lowercase().to_string();
                while let Some(next) =
                    characters.next_if(|next| next.is_alphanumeric() || *next == '_')
                {
                    word.extend(next.to_lowercase());
                    before = next;
                }
                tokens.push(Token::Word(word));
            }
            sign => tokens.push(Token::Sign(sign)),
        }
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Calendar;

    fn bound(sql: &str) -> String {
        let selection = bounds_of(sql);
        let symbols: Vec<&str> = selection.symbols.iter().map(Symbol::as_str).collect();
        let sessions = selection
            .sessions
            .map_or(String::new(), |(first, last)| format!(" {first}..{last}"));
        format!("{}{sessions}", symbols.join(","))
    }

    #[test]
    fn everyday_statements_are_bounded() {
        for (sql, expected) in [
            ("select * from bars_1m where symbol = 'AAPL'", "AAPL"),
            (
                "FROM bars_1d WHERE symbol IN ('AAPL', 'BRK.B') ORDER BY ts;",
                "AAPL,BRK.B",
            ),
            (
                "select symbol, max(high) from bars_1h where session_date between '2024-01-02' and '2024-01-31' and symbol = 'X' group by all",
                "X 2024-01-02..2024-01-31",
            ),
            (
                "from bars('10m', anchor := 'clock') where session_date >= '2024-01-02' and session_date < '2024-02-01' and close > 5",
                " 2024-01-02..2024-02-01",
            ),
            (
                "select count(*) from bars_1m where session_date between date '2024-01-02' and date '2024-01-31'",
                " 2024-01-02..2024-01-31",
            ),
            (
                "from bars_5m where ts >= '2024-01-20 14:30:00' and ts < timestamp '2024-02-01'",
                " 2024-01-17..2024-02-17",
            ),
            (
                "from bars_1m where ts = '2024-01-20T14:30:00Z'",
                " 2024-01-17..2024-02-05",
            ),
            (
                "from bars_1m where ts < '9999-12-30'",
                " 0001-01-01..9999-12-31",
            ),
        ] {
            assert_eq!(bound(sql), expected, "{sql}");
        }
    }

    #[test]
    fn whatever_might_mean_something_else_is_not_bounded() {
        for sql in [
            "from bars_1m",
            "from bars_1m where symbol = 'A' or close > 5",
            "from bars_1m where not symbol = 'A'",
            "from bars_1m where (symbol = 'A') = false",
            "from bars_1m where lower(symbol) = 'a'",
            "from bars_1m where symbol = 'A' || 'B'",
            "from bars_1m where symbol <> 'A'",
            "from bars_1m where symbol = 'it''s'",
            "from bars_1m where symbol = 'a'",
            "from bars_1m where symbol in (select symbol from bars_1d)",
            "from bars_1m a, bars_1m b where symbol = 'A'",
            "from bars_1m join bars_1d using (symbol) where symbol = 'A'",
            "from bars_1m where symbol = 'A' union all from bars_1m",
            "from bars_1m tablesample 10% where symbol = 'A'",
            "select 'A' as symbol from bars_1m where symbol = 'A'",
            "select open symbol from bars_1m where symbol = 'A'",
            "select \"symbol\" from bars_1m where symbol = 'A'",
            "from bars_1m where symbol = 'A' -- or symbol = 'B'",
            "from bars_1m where session_date = '2 Jan 2024'",
            "from jobs where symbol = 'A'",
            "with t as (from bars_1m) from t where symbol = 'A'",
            "from bars_1m where [true and symbol = 'A' and true][1] = false",
            "from bars_1m where symbol = 'A' and e'\\'a' <> 'x' or close > 0 /* ' */",
            "from bars_1m where symbol = 'A' and close > 0 using sample 100 rows",
            "select len(array(table bars_1m)) from bars_1m where symbol = 'A'",
            "select array(summarize bars_1m) from bars_1m where symbol = 'A'",
            "from bars_1m where symbol = 'A' and close in (table query_table('BARS_1m'))",
            "select open ts from bars_1m where ts > '2024-01-02'",
            "from bars_1m where ts > '2024-01-02 (BC)'",
            "from bars_1m where ts > '2024-01-02 12:00:00+15'",
            "from bars_1m where ts::date > '2024-01-02'",
            "from bars_1m where ts > '2024-01-02' = false",
            "from bars_1m where session_date > timestamp '2024-01-02 12:00:00'",
        ] {
            assert_eq!(bound(sql), "", "{sql}");
        }
    }

    #[test]
    fn a_session_lies_within_the_days_that_its_bars_are_looked_for() {
        let calendar = Calendar::nyse();
        let (first, last) = calendar.coverage();
        let sessions = calendar.sessions(first, last).unwrap();
        let utc_day = |ts_us: i64| i32::try_from(ts_us.div_euclid(86_400_000_000)).unwrap();
        let mut most = (0, 0);
        for session in &sessions {
            let day = session.date().days_since_epoch();
            most.0 = most.0.max(day - utc_day(session.window_start_us()));
            most.1 = most.1.max(utc_day(session.window_end_us() - 1) - day);
        }
        assert_eq!(
            most,
            (6, 1),
            "the closure of September 2001; an evening in winter"
        );
        // One more day on either side for what a literal's time may add.
        assert!(most.0 + 1 < DAYS_BEFORE_SESSION && most.1 + 1 < DAYS_AFTER_SESSION);
    }
}
