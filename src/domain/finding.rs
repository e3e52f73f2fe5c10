//! A finding of validation, with an identity that stays the same from run to run. Knows no rule's logic.

use super::bar::Bar;
use super::dataset::{Dataset, Period};
use super::digest::hex_sha256;
use super::rule::{Rule, Severities, Severity};
use super::session::SessionDate;
use super::symbol::Symbol;
use super::timeframe::Timeframe;

/// Something that a rule found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How much it matters.
    pub severity: Severity,
    /// Dataset of the series.
    pub dataset: Dataset,
    /// Symbol of the series; `None` for what concerns a whole dataset.
    pub symbol: Option<Symbol>,
    /// Frame of the bars.
    pub timeframe: Timeframe,
    /// Session, where it is about one.
    pub session: Option<SessionDate>,
    /// Start of the bar, UTC microseconds, where it is about one.
    pub ts_us: Option<i64>,
    /// What was found, in short.
    pub value: String,
    /// What would have been expected, in short.
    pub expected: String,
    /// What was found, in a sentence.
    pub message: String,
    /// The bar itself, where it is about one.
    pub bar: Option<Bar>,
}

impl Finding {
    /// The finding's id: the same in every run for the same rule and place. Twelve hexadecimal digits.
    pub fn id(&self) -> String {
        let place = format!(
            "{}|{}|{}|{}|{}|{}",
            self.rule,
            self.dataset,
            self.symbol.as_ref().map_or("", Symbol::as_str),
            self.timeframe,
            self.session
                .map_or_else(String::new, |date| date.to_string()),
            self.ts_us
                .map_or_else(String::new, |ts_us| ts_us.to_string()),
        );
        let mut id = hex_sha256(place.as_bytes());
        id.truncate(12);
        id
    }

    /// What the finding is about as it is now: the values of its bar, or what was found. An acknowledged finding stays
    /// so until this changes. Sixteen hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let evidence = match &self.bar {
            Some(bar) => format!(
                "{:?}",
                (
                    [bar.open, bar.high, bar.low, bar.close, bar.volume].map(f64::to_bits),
                    bar.trade_count,
                    bar.vwap.map(f64::to_bits),
                )
            ),
            None => self.value.clone(),
        };
        let mut fingerprint = hex_sha256(evidence.as_bytes());
        fingerprint.truncate(16);
        fingerprint
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        self.rule.text().hint
    }

    /// The order of reports: by place, then by rule.
    pub fn sort_key(&self) -> (Option<SessionDate>, Option<i64>, Timeframe, Rule) {
        (self.session, self.ts_us, self.timeframe, self.rule)
    }
}

/// Where and what a rule found; the collector adds the series.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Session, where it is about one.
    pub session: Option<SessionDate>,
    /// Start of the bar, UTC microseconds, where it is about one.
    pub ts_us: Option<i64>,
    /// What was found, in short.
    pub value: String,
    /// What would have been expected, in short.
    pub expected: String,
    /// What was found, in a sentence.
    pub message: String,
    /// The bar itself, where it is about one.
    pub bar: Option<Bar>,
}

/// Collects the findings of one series: counts them all, keeps so many of each rule.
#[derive(Debug, Clone)]
pub struct Collector<'a> {
    dataset: &'a Dataset,
    symbol: Option<&'a Symbol>,
    severities: &'a Severities,
    sessions: Option<(SessionDate, SessionDate)>,
    most: usize,
    findings: Vec<Finding>,
    /// By rule and severity.
    counts: [[u64; Severity::ALL.len()]; Rule::ALL.len()],
}

impl<'a> Collector<'a> {
    /// A collector for one series that keeps at most `most` findings of each rule, and only those of `sessions`
    /// (both inside), where they are given.
    pub fn new(
        dataset: &'a Dataset,
        symbol: Option<&'a Symbol>,
        severities: &'a Severities,
        sessions: Option<(SessionDate, SessionDate)>,
        most: usize,
    ) -> Self {
        Self {
            dataset,
            symbol,
            severities,
            sessions,
            most,
            findings: Vec::new(),
            counts: [[0; Severity::ALL.len()]; Rule::ALL.len()],
        }
    }

    /// The dataset of the series.
    pub fn dataset(&self) -> &Dataset {
        self.dataset
    }

    /// Whether findings of this session are wanted.
    pub fn wants(&self, session: SessionDate) -> bool {
        contains(self.sessions, session)
    }

    /// Takes a finding with the rule's own severity; `evidence` is made only when it is kept.
    pub fn take(&mut self, rule: Rule, frame: Timeframe, evidence: impl FnOnce() -> Evidence) {
        self.take_as(rule, rule.text().severity, frame, evidence);
    }

    /// Takes a finding with a severity of its own.
    pub fn take_as(
        &mut self,
        rule: Rule,
        severity: Severity,
        frame: Timeframe,
        evidence: impl FnOnce() -> Evidence,
    ) {
        let sessions = self.sessions;
        self.take_within(sessions, (rule, severity), frame, evidence);
    }

    /// Takes a finding about a whole file or what was made in its place, which is wanted where its period has a session
    /// that is, wherever in it the finding is filed.
    pub fn take_about_file(
        &mut self,
        rule: Rule,
        (frame, period): (Timeframe, Period),
        evidence: impl FnOnce() -> Evidence,
    ) {
        let is_wanted = match (self.sessions, period.dates()) {
            (Some((first, last)), Some((begin, end))) => begin <= last && first <= end,
            _ => true,
        };
        if is_wanted {
            self.take_within(None, (rule, rule.text().severity), frame, evidence);
        }
    }

    fn take_within(
        &mut self,
        sessions: Option<(SessionDate, SessionDate)>,
        (rule, severity): (Rule, Severity),
        frame: Timeframe,
        evidence: impl FnOnce() -> Evidence,
    ) {
        let Some(severity) = self.severities.of(rule, severity) else {
            return;
        };
        let counts = &mut self.counts[rule.index()];
        let so_far = counts[severity as usize];
        let is_kept = usize::try_from(so_far).is_ok_and(|count| count < self.most);
        // One that is not kept still has to be looked at where only some are wanted, or too many were counted.
        if is_kept || sessions.is_some() {
            let Evidence {
                session,
                ts_us,
                value,
                expected,
                message,
                bar,
            } = evidence();
            if session.is_some_and(|session| !contains(sessions, session)) {
                return;
            }
            counts[severity as usize] += 1;
            if !is_kept {
                return;
            }
            self.findings.push(Finding {
                rule,
                severity,
                dataset: self.dataset.clone(),
                symbol: self.symbol.cloned(),
                timeframe: frame,
                session,
                ts_us,
                value,
                expected,
                message,
                bar,
            });
        } else {
            counts[severity as usize] += 1;
        }
    }

    /// The findings, by place, and for each rule and severity how many more there were than are kept.
    pub fn finish(mut self) -> (Vec<Finding>, Vec<(Rule, Severity, u64)>) {
        self.findings.sort_by_key(Finding::sort_key);
        let mut left_out = Vec::new();
        for rule in Rule::ALL {
            for severity in Severity::ALL {
                let is_it = |found: &&Finding| found.rule == rule && found.severity == severity;
                let kept = self.findings.iter().filter(is_it).count();
                let kept = u64::try_from(kept).unwrap_or(u64::MAX);
                let more = self.counts[rule.index()][severity as usize].saturating_sub(kept);
                if more > 0 {
                    left_out.push((rule, severity, more));
                }
            }
        }
        (self.findings, left_out)
    }
}

fn contains(sessions: Option<(SessionDate, SessionDate)>, session: SessionDate) -> bool {
    sessions.is_none_or(|(first, last)| first <= session && session <= last)
}

#[cfg(test)]
mod tests {
    use super::super::bar::tests::bar_at;
    use super::*;

    fn finding() -> Finding {
        Finding {
            rule: Rule::Spike,
            severity: Severity::Warning,
            dataset: "alpaca/sip/raw".parse().unwrap(),
            symbol: Some("AAPL".parse().unwrap()),
            timeframe: Timeframe::M1,
            session: Some("2024-07-02".parse().unwrap()),
            ts_us: Some(1_719_928_800_000_000),
            value: "1".into(),
            expected: "2".into(),
            message: "words".into(),
            bar: Some(bar_at(1_719_928_800_000_000, 1.0)),
        }
    }

    #[test]
    fn the_id_is_the_place_and_the_fingerprint_is_the_bar() {
        let one = finding();
        let other_words = Finding {
            message: "other words".into(),
            value: "3".into(),
            severity: Severity::Info,
            ..finding()
        };
        assert_eq!(one.id(), other_words.id());
        assert_eq!(one.fingerprint(), other_words.fingerprint());
        let other_bar = Finding {
            bar: Some(bar_at(1_719_928_800_000_000, 1.5)),
            ..finding()
        };
        assert_eq!(one.id(), other_bar.id());
        assert_ne!(one.fingerprint(), other_bar.fingerprint());
        let elsewhere = Finding {
            ts_us: Some(0),
            ..finding()
        };
        assert_ne!(one.id(), elsewhere.id());
        let without_bar = |value: &str| Finding {
            bar: None,
            value: value.into(),
            ..finding()
        };
        assert_ne!(
            without_bar("1").fingerprint(),
            without_bar("2").fingerprint()
        );
        assert_eq!((one.id().len(), one.fingerprint().len()), (12, 16));
    }

    #[test]
    fn a_collector_keeps_so_many_and_counts_the_others() {
        let finding = finding();
        let severities = Severities::default();
        let sessions = Some((finding.session.unwrap(), finding.session.unwrap()));
        let symbol = finding.symbol.clone();
        let mut collector =
            Collector::new(&finding.dataset, symbol.as_ref(), &severities, sessions, 2);
        let evidence = |session: &str, ts_us: i64| Evidence {
            session: Some(session.parse().unwrap()),
            ts_us: Some(ts_us),
            value: String::new(),
            expected: String::new(),
            message: String::new(),
            bar: None,
        };
        collector.take(Rule::Spike, Timeframe::M1, || evidence("2024-07-01", 0));
        for ts_us in [3, 2, 1] {
            collector.take(Rule::Spike, Timeframe::M1, || evidence("2024-07-02", ts_us));
        }
        collector.take(Rule::Spike, Timeframe::M1, || evidence("2024-07-03", 0));
        let (findings, left_out) = collector.finish();
        let kept: Vec<_> = findings.iter().map(|found| found.ts_us.unwrap()).collect();
        assert_eq!(kept, [2, 3], "the first two, by place");
        assert_eq!(
            left_out,
            [(Rule::Spike, Severity::Warning, 1)],
            "those of other sessions do not count, neither before nor after the last that is kept"
        );
    }

    #[test]
    fn a_finding_about_a_file_is_wanted_where_its_period_has_a_wanted_session() {
        let finding = finding();
        let severities = Severities::default();
        let date = |text: &str| text.parse::<SessionDate>().unwrap();
        let taken = |first: &str, last: &str, period: &str| {
            let wanted = Some((date(first), date(last)));
            let mut collector = Collector::new(&finding.dataset, None, &severities, wanted, 2);
            let place = (Timeframe::M1, period.parse().unwrap());
            collector.take_about_file(Rule::Unreadable, place, || Evidence {
                session: Some(date("2024-07-15")),
                ts_us: None,
                value: String::new(),
                expected: String::new(),
                message: String::new(),
                bar: None,
            });
            collector.finish().0.len()
        };
        assert_eq!(taken("2024-06-03", "2024-06-28", "2024-07"), 0);
        assert_eq!(taken("2024-06-03", "2024-07-01", "2024-07"), 1);
        assert_eq!(taken("2024-07-31", "2024-08-05", "2024-07"), 1);
        assert_eq!(taken("2024-08-01", "2024-08-05", "2024-07"), 0);
        assert_eq!(taken("2024-08-01", "2024-08-05", "2024"), 1);
        assert_eq!(taken("2025-01-01", "2025-08-05", "2024"), 0);
        assert_eq!(taken("2023-01-01", "2023-12-31", "2024"), 0);
    }
}
