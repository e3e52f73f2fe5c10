//! The rules of validation: stable ids, how much each matters by default, and why it exists.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; usually as it should be.
    Info,
    /// Worth a look: unusual, and sometimes wrong.
    Warning,
    /// Wrong: what is stored contradicts itself or what a bar is.
    Error,
}

impl Severity {
    /// Every severity, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that no rule and no severity has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` is none of: {known}")]
pub struct UnknownName {
    name: String,
    known: String,
}

impl FromStr for Severity {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let named = Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == text);
        named.ok_or_else(|| UnknownName {
            name: text.escape_default().to_string(),
            known: Self::ALL.map(Self::as_str).join(", "),
        })
    }
}

/// What is known of a rule beside its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleText {
    /// The stable id.
    pub id: &'static str,
    /// How much its findings matter, unless the finding or the configuration says otherwise.
    pub severity: Severity,
    /// What it finds, in a few words.
    pub title: &'static str,
    /// Why it exists.
    pub why: &'static str,
    /// What to do about a finding.
    pub hint: &'static str,
}

/// A rule of validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A file is gone or cannot be read as bars.
    Unreadable,
    /// A file is not the one that was written.
    NotAsCatalogued,
    /// A file's footer does not describe its content or its place.
    NotAsDescribed,
    /// Rows do not ascend, or a minute has two.
    NotAscending,
    /// A file lies in the lake that the catalog does not know.
    Uncatalogued,
    /// Low and high do not enclose open and close.
    Inconsistent,
    /// A price is no price.
    BadPrice,
    /// A price has more than six decimals.
    FineTick,
    /// A price jumps within a session and stays there.
    Jump,
    /// A price jumps and comes back.
    Spike,
    /// A session opens far from the last close.
    OvernightGap,
    /// Prices changed by a ratio as splits do.
    Split,
    /// The same bar again and again, with volume.
    Stale,
    /// The VWAP is outside low and high.
    VwapOutside,
    /// A bar with volume has no VWAP where others have one.
    VwapMissing,
    /// A volume or count is none.
    BadVolume,
    /// A fraction of a share where there never are any.
    FractionalVolume,
    /// A minute's volume is far above the others.
    VolumeSpike,
    /// A price moved without volume.
    ZeroVolume,
    /// A session's volume is far from the usual.
    SessionVolume,
    /// A bar does not start on a minute.
    OffMinute,
    /// A bar has the wrong session date.
    WrongSession,
    /// A bar has the wrong segment.
    WrongSegment,
    /// A bar while the market is closed.
    MarketClosed,
    /// Regular minutes are missing.
    MissingMinutes,
    /// A whole session is missing.
    MissingSession,
    /// A minute is missing in all liquid symbols at once.
    ProviderHole,
    /// Derived bars are not what their minutes give.
    DerivedDiffers,
    /// Derived bars are older than their minutes.
    DerivedStale,
    /// The ledger does not say what the files hold.
    LedgerDiffers,
}

impl Rule {
    /// Every rule, by id.
    pub const ALL: [Self; 30] = [
        Self::Unreadable,
        Self::NotAsCatalogued,
        Self::NotAsDescribed,
        Self::NotAscending,
        Self::Uncatalogued,
        Self::Inconsistent,
        Self::BadPrice,
        Self::FineTick,
        Self::Jump,
        Self::Spike,
        Self::OvernightGap,
        Self::Split,
        Self::Stale,
        Self::VwapOutside,
        Self::VwapMissing,
        Self::BadVolume,
        Self::FractionalVolume,
        Self::VolumeSpike,
        Self::ZeroVolume,
        Self::SessionVolume,
        Self::OffMinute,
        Self::WrongSession,
        Self::WrongSegment,
        Self::MarketClosed,
        Self::MissingMinutes,
        Self::MissingSession,
        Self::ProviderHole,
        Self::DerivedDiffers,
        Self::DerivedStale,
        Self::LedgerDiffers,
    ];

    /// Rules that can be about a whole file, or what was made in its place, rather than a session or a bar.
    pub const ABOUT_FILES: [Self; 6] = [
        Self::Unreadable,
        Self::NotAsCatalogued,
        Self::NotAsDescribed,
        Self::Uncatalogued,
        Self::DerivedDiffers,
        Self::DerivedStale,
    ];

    /// The stable id.
    pub const fn id(self) -> &'static str {
        self.text().id
    }

    /// The place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Id, severity and reasons.
    pub const fn text(self) -> RuleText {
        use Severity::{Error, Info, Warning};
        let (id, severity, title, why, hint) = match self {
            Self::Unreadable => (
                "MP-S001",
                Error,
                "a file is missing or unreadable",
                "What the catalog lists must be there and be Parquet with the columns, types and nulls of a bar file.",
                "restore the file from a backup or a snapshot, or fetch its sessions again",
            ),
            Self::NotAsCatalogued => (
                "MP-S002",
                Error,
                "a file is not the one that was written",
                "Its SHA-256 was recorded when it was written; another one means damage or a change from outside.",
                "restore the file from a backup or a snapshot, or fetch its sessions again",
            ),
            Self::NotAsDescribed => (
                "MP-S003",
                Error,
                "a file's footer does not describe it",
                "Dataset, symbol, frame, period, number and hash of the rows must be those of the content and of the place.",
                "a file was put in another one's place: restore it, or fetch its sessions again",
            ),
            Self::NotAscending => (
                "MP-S004",
                Error,
                "rows out of order or twice",
                "One row a minute, ascending: joins and resampling rely on it.",
                "the file was rewritten by another program: restore it, or fetch its sessions again",
            ),
            Self::Uncatalogued => (
                "MP-S005",
                Warning,
                "a file that the catalog does not know",
                "Programs that read the folder see its rows, MarketPipe does not.",
                "move it out of the lake",
            ),
            Self::Inconsistent => (
                "MP-P001",
                Error,
                "low and high do not enclose open and close",
                "Such a bar never traded.",
                "fetch the session again with `ingest --refresh`",
            ),
            Self::BadPrice => (
                "MP-P002",
                Error,
                "a price is not finite, not positive or implausible",
                "Stocks have positive prices below a million millions.",
                "fetch the session again with `ingest --refresh`",
            ),
            Self::FineTick => (
                "MP-P003",
                Warning,
                "a price has more than six decimals",
                "No exchange quotes so finely: the price was computed, or passed through a narrower number.",
                "see whether the dataset is adjusted, or was converted on its way",
            ),
            Self::Jump => (
                "MP-P004",
                Warning,
                "a price jumps within a session and stays",
                "Far beyond what this symbol's minutes usually move, measured by their median.",
                "look for news or a halt at that minute; compare with another feed",
            ),
            Self::Spike => (
                "MP-P005",
                Warning,
                "a price jumps and comes back",
                "Mostly a print at a wrong price, which makes highs, lows and returns that nobody could trade.",
                "compare with another feed; acknowledge it when it is real",
            ),
            Self::OvernightGap => (
                "MP-P006",
                Warning,
                "a session opens far from the last close",
                "Far beyond what this symbol usually moves from one session to the next.",
                "look for news, a dividend or a change of the symbol's owner",
            ),
            Self::Split => (
                "MP-P007",
                Warning,
                "prices changed by a ratio as splits do",
                "Raw prices do that on the day of a split; adjusted ones must not. Info for raw datasets.",
                "check the split calendar; in an adjusted dataset fetch the whole series again with `ingest --refresh`",
            ),
            Self::Stale => (
                "MP-P008",
                Warning,
                "the same bar again and again",
                "One price for many minutes with volume: a feed that repeats its last value.",
                "compare with another feed",
            ),
            Self::VwapOutside => (
                "MP-P009",
                Warning,
                "the VWAP is outside low and high",
                "It covers trades that do not make highs and lows; far outside it is wrong.",
                "compare with the provider's trades",
            ),
            Self::VwapMissing => (
                "MP-P010",
                Warning,
                "a bar with volume has no VWAP, or zero",
                "The other bars of the file have one; a zero would drag every average down.",
                "fetch the session again with `ingest --refresh`",
            ),
            Self::BadVolume => (
                "MP-V001",
                Error,
                "a volume or count is negative, not finite or implausible",
                "Volumes are sums of trades.",
                "fetch the session again with `ingest --refresh`",
            ),
            Self::FractionalVolume => (
                "MP-V002",
                Warning,
                "a fraction of a share where there never are any",
                "The other volumes of this series are whole: this one was computed or damaged.",
                "compare with the provider's answer",
            ),
            Self::VolumeSpike => (
                "MP-V003",
                Info,
                "a minute's volume is far above the others",
                "Measured by the median of the month's minutes; block trades and index days do that, doubled volumes too.",
                "compare with another feed; acknowledge it when it is real",
            ),
            Self::ZeroVolume => (
                "MP-V004",
                Warning,
                "a price moved without volume",
                "A bar is made of trades, and trades have volume.",
                "compare with the provider's trades",
            ),
            Self::SessionVolume => (
                "MP-V005",
                Warning,
                "a session's volume is far from the usual",
                "Many times more or less than this symbol's recent sessions: doubled, partial, or another feed's.",
                "compare with a daily reference; see `gaps` for what is missing",
            ),
            Self::OffMinute => (
                "MP-T001",
                Error,
                "a bar does not start on a minute",
                "A 1-minute bar is stamped with the start of its minute.",
                "the file was written by another program: fetch its sessions again",
            ),
            Self::WrongSession => (
                "MP-T002",
                Error,
                "a bar has the wrong session date",
                "The exchange's calendar says to which session an instant belongs.",
                "the file was written by another program: fetch its sessions again",
            ),
            Self::WrongSegment => (
                "MP-T003",
                Error,
                "a bar has the wrong segment",
                "Daily bars are sums of the regular segment: a wrong one makes them wrong.",
                "the file was written by another program: fetch its sessions again",
            ),
            Self::MarketClosed => (
                "MP-T004",
                Warning,
                "bars while the market is closed",
                "On weekends, holidays and after a half day's late trading nothing trades; test data and other markets do.",
                "compare with the provider's trades",
            ),
            Self::MissingMinutes => (
                "MP-C001",
                Warning,
                "regular minutes are missing",
                "Asked and answered without a bar is `no trade` (info); never asked, in quarantine or not entitled can be mended.",
                "`gaps` lists them, `repair` asks the provider again",
            ),
            Self::MissingSession => (
                "MP-C002",
                Warning,
                "a whole session has no bar",
                "Not listed yet, halted, never asked for, or a hole at the provider.",
                "`repair`, with --empty where the provider had nothing",
            ),
            Self::ProviderHole => (
                "MP-C003",
                Warning,
                "minutes are missing in all liquid symbols at once",
                "Markets do not fall silent together: the provider has a hole.",
                "`ingest --refresh` that session later, or compare with another feed",
            ),
            Self::DerivedDiffers => (
                "MP-X001",
                Error,
                "derived bars are not what their minutes give",
                "Every derived bar can be computed again from minutes, to the last bit.",
                "`aggregate --full` for that symbol",
            ),
            Self::DerivedStale => (
                "MP-X002",
                Warning,
                "derived bars are older than their minutes",
                "Minutes changed after they were aggregated.",
                "`aggregate` for that symbol",
            ),
            Self::LedgerDiffers => (
                "MP-X003",
                Error,
                "the ledger does not say what the files hold",
                "What is asked for next is planned by the ledger: where it is wrong, holes stay.",
                "fetch the session again with `ingest --refresh`",
            ),
        };
        RuleText {
            id,
            severity,
            title,
            why,
            hint,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Rule {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let named = Self::ALL.into_iter().find(|rule| rule.id() == text);
        named.ok_or_else(|| UnknownName {
            name: text.escape_default().to_string(),
            known: Self::ALL.map(Self::id).join(", "),
        })
    }
}

/// How much the findings of each rule matter in one run: as the rule says, as the configuration says, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Severities([Level; Rule::ALL.len()]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    AsTheRuleSays,
    Fixed(Severity),
    Off,
}

impl Default for Severities {
    fn default() -> Self {
        Self([Level::AsTheRuleSays; Rule::ALL.len()])
    }
}

impl Severities {
    /// Gives the findings of `rule` this severity, or switches the rule off.
    pub fn set(&mut self, rule: Rule, severity: Option<Severity>) {
        self.0[rule.index()] = severity.map_or(Level::Off, Level::Fixed);
    }

    /// The severity of a finding for which the rule itself suggests `own`; `None` when the rule is off.
    pub fn of(&self, rule: Rule, own: Severity) -> Option<Severity> {
        match self.0[rule.index()] {
            Level::AsTheRuleSays => Some(own),
            Level::Fixed(severity) => Some(severity),
            Level::Off => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_ascending_within_a_family_and_read_back() {
        for (at, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule.index(), at);
            assert_eq!(rule.id().parse(), Ok(rule));
            assert_eq!(rule.to_string(), rule.id());
        }
        let mut ids = Rule::ALL.map(Rule::id).to_vec();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Rule::ALL.len());
        let unknown = "MP-Z001".parse::<Rule>().unwrap_err().to_string();
        assert!(
            unknown.starts_with("`MP-Z001` is none of: MP-S001, MP-S002"),
            "{unknown}"
        );
    }

    #[test]
    fn severities_ascend_and_can_be_changed_or_switched_off() {
        assert!(Severity::Info < Severity::Warning && Severity::Warning < Severity::Error);
        for severity in Severity::ALL {
            assert_eq!(severity.as_str().parse(), Ok(severity));
        }
        assert!("fatal".parse::<Severity>().is_err());
        let mut severities = Severities::default();
        assert_eq!(
            severities.of(Rule::Jump, Severity::Info),
            Some(Severity::Info)
        );
        severities.set(Rule::Jump, Some(Severity::Error));
        severities.set(Rule::Spike, None);
        assert_eq!(
            severities.of(Rule::Jump, Severity::Info),
            Some(Severity::Error)
        );
        assert_eq!(severities.of(Rule::Spike, Severity::Error), None);
    }
}
