//! Fault scripts: which requests go wrong. Counts requests and picks faults; never carries one out.

use super::faults::Fault;

/// An ordered list of rules; of those that match a request, the first one acts.
///
/// Only requests to a bars route with accepted credentials and a token of the rate limit are counted and matched.
/// ```text
/// let script = FaultScript::new()
///     .on_times(When::Always, 2, Fault::too_many_requests())
///     .on(When::EveryNth(10), Fault::ResetMidBody);
/// ```
#[derive(Debug, Clone, Default)]
pub struct FaultScript {
    rules: Vec<FaultRule>,
}

/// One line of a script.
#[derive(Debug, Clone)]
pub struct FaultRule {
    /// The requests it matches.
    pub when: When,
    /// How many requests meet it at most; `None` is without limit.
    pub times: Option<u32>,
    /// What goes wrong.
    pub what: Fault,
}

/// Which requests a rule matches; they are counted from 1 since the script was set, retries included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Every request.
    Always,
    /// This one request.
    Nth(u64),
    /// The n-th, the 2n-th, and so on.
    EveryNth(u64),
    /// Every request that names this symbol.
    MatchesSymbol(String),
}

impl FaultScript {
    /// A script without rules: nothing goes wrong.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a rule without a limit.
    #[must_use]
    pub fn on(self, when: When, what: Fault) -> Self {
        self.with_rule(FaultRule {
            when,
            times: None,
            what,
        })
    }

    /// Appends a rule that acts at most `times` times.
    #[must_use]
    pub fn on_times(self, when: When, times: u32, what: Fault) -> Self {
        self.with_rule(FaultRule {
            when,
            times: Some(times),
            what,
        })
    }

    /// Appends a rule.
    #[must_use]
    pub fn with_rule(mut self, rule: FaultRule) -> Self {
        self.rules.push(rule);
        self
    }
}

/// A script with its counters.
#[derive(Debug, Default)]
pub(super) struct RunningScript {
    script: FaultScript,
    /// Requests seen.
    seen: u64,
    /// How often each rule acted.
    acted: Vec<u32>,
    /// Token of the request before the present one.
    previous_token: Option<String>,
}

/// The fault that one request meets.
#[derive(Debug, Clone)]
pub(super) struct Encounter {
    pub(super) fault: Fault,
    /// Number of the request, counted from 1: makes tokens unique.
    pub(super) serial: u64,
    /// Token of the request before, if that had one.
    pub(super) previous_token: Option<String>,
}

impl RunningScript {
    pub(super) fn new(script: FaultScript) -> Self {
        let acted = vec![0; script.rules.len()];
        Self {
            script,
            seen: 0,
            acted,
            previous_token: None,
        }
    }

    /// Whether no request can meet a fault.
    pub(super) fn is_empty(&self) -> bool {
        self.script.rules.is_empty()
    }

    /// Counts one request and finds the fault it meets.
    pub(super) fn meet(&mut self, symbols: &str, token: Option<&str>) -> Option<Encounter> {
        self.seen += 1;
        let previous_token = self.previous_token.take();
        self.previous_token = token.map(str::to_owned);
        let seen = self.seen;
        let (rule, acted) =
            self.script
                .rules
                .iter()
                .zip(&mut self.acted)
                .find(|(rule, acted)| {
                    rule.times.is_none_or(|times| **acted < times)
                        && matches(&rule.when, seen, symbols)
                })?;
        *acted += 1;
        Some(Encounter {
            fault: rule.what.clone(),
            serial: seen,
            previous_token,
        })
    }
}

fn matches(when: &When, seen: u64, symbols: &str) -> bool {
    match when {
        When::Always => true,
        When::Nth(n) => seen == *n,
        When::EveryNth(n) => *n > 0 && seen.is_multiple_of(*n),
        When::MatchesSymbol(symbol) => symbols.split(',').any(|asked| asked == symbol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_acts_until_it_is_used_up() {
        let mut script = RunningScript::new(
            FaultScript::new()
                .on_times(When::MatchesSymbol("B".to_owned()), 2, Fault::HtmlOk)
                .on(When::EveryNth(2), Fault::EmptyBody)
                .on(When::Nth(5), Fault::CutJson),
        );
        let mut met = |symbols| script.meet(symbols, None).map(|met| met.fault.name());
        assert_eq!(met("A,B"), Some("html_ok"));
        assert_eq!(met("A"), Some("empty_body"));
        assert_eq!(met("AB"), None);
        assert_eq!(met("B"), Some("html_ok"));
        assert_eq!(met("B"), Some("cut_json"));
        assert_eq!(met("B"), Some("empty_body"));
    }
}
