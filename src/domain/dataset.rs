//! Datasets and partitions: which bars belong together. Knows no folder layout.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::session::{SessionDate, SessionMonth};
use super::symbol::Symbol;
use super::timeframe::Timeframe;

/// The longest part of a dataset's name, in characters.
const MAX_PART_CHARS: usize = 24;

/// What an adjustment can be, in words.
pub const ADJUSTMENTS: &str =
    "raw, all, or split, dividend and spin-off joined by commas, each at most once";

/// The corporate actions that can be applied one by one, in the order in which they are named.
const PARTIAL_ADJUSTMENTS: [&str; 3] = ["split", "dividend", "spin-off"];

/// Reads which corporate actions are applied: the same ones always have the same name, parts joined by commas. `None` for
/// what is none of [`ADJUSTMENTS`].
pub fn read_adjustment(text: &str) -> Option<String> {
    if matches!(text, "raw" | "all") {
        return Some(text.to_owned());
    }
    let asked: Vec<&str> = text.split(',').map(str::trim).collect();
    let mut parts = PARTIAL_ADJUSTMENTS.to_vec();
    parts.retain(|part| asked.contains(part));
    match parts.len() {
        found if found != asked.len() => None,
        all if all == PARTIAL_ADJUSTMENTS.len() => Some("all".to_owned()),
        _ => Some(parts.join(",")),
    }
}

/// `provider / feed / adjustment`, for example `alpaca/sip/raw`.
///
/// Bars of two datasets never share a file: feeds differ in volume by orders of magnitude, and adjusted
/// prices change after the fact. Parts are lower case, `a-z0-9` with inner `-`, at most 24 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dataset {
    provider: String,
    feed: String,
    adjustment: String,
}

/// Why a text is not a [`Dataset`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatasetError {
    /// Not three parts joined by `/`.
    #[error("dataset `{0}` is not provider/feed/adjustment")]
    NotThreeParts(String),
    /// A part that is empty, too long or has other characters than `a-z0-9-`.
    #[error(
        "dataset {part} `{shown}` is malformed: expected up to 24 characters of a-z, 0-9 and inner -"
    )]
    MalformedPart {
        /// `provider`, `feed` or `adjustment`.
        part: &'static str,
        /// The text, escaped.
        shown: String,
    },
}

impl Dataset {
    /// Joins the three parts.
    ///
    /// # Errors
    /// [`DatasetError::MalformedPart`] names the first part that breaks the rule above.
    pub fn new(provider: &str, feed: &str, adjustment: &str) -> Result<Self, DatasetError> {
        for (part, text) in [
            ("provider", provider),
            ("feed", feed),
            ("adjustment", adjustment),
        ] {
            let legal = !text.is_empty()
                && text.len() <= MAX_PART_CHARS
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !text.starts_with('-')
                && !text.ends_with('-');
            if !legal {
                let shown = text
                    .chars()
                    .take(MAX_PART_CHARS)
                    .flat_map(char::escape_default)
                    .collect();
                return Err(DatasetError::MalformedPart { part, shown });
            }
        }
        Ok(Self {
            provider: provider.into(),
            feed: feed.into(),
            adjustment: adjustment.into(),
        })
    }

    /// Who answers, for example `alpaca`.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Which tape, for example `sip` or `iex`.
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// Which corporate actions are applied, for example `raw`.
    pub fn adjustment(&self) -> &str {
        &self.adjustment
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!(
            "{}/{}/{}",
            self.provider, self.feed, self.adjustment
        ))
    }
}

impl FromStr for Dataset {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        match text.split('/').collect::<Vec<_>>()[..] {
            [provider, feed, adjustment] => Self::new(provider, feed, adjustment),
            _ => Err(DatasetError::NotThreeParts(
                text.escape_default().to_string(),
            )),
        }
    }
}

/// The stretch of session dates that one file covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// One month of sessions: minute bars.
    Month(SessionMonth),
    /// One year of sessions: derived frames.
    Year(i32),
}

/// A text that is neither `YYYY-MM` nor `YYYY`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("period `{0}` is neither YYYY-MM nor YYYY")]
pub struct PeriodError(String);

impl Period {
    /// The first and the last date of a month, both inside; a year's bars are derived and have no such use for them.
    pub fn month_dates(self) -> Option<(SessionDate, SessionDate)> {
        match self {
            Self::Month(month) => Some((month.first_day(), month.last_day())),
            Self::Year(_) => None,
        }
    }

    /// The first and the last date of the period, both inside; `None` for a year that no calendar has.
    pub fn dates(self) -> Option<(SessionDate, SessionDate)> {
        match self {
            Self::Month(_) => self.month_dates(),
            Self::Year(year) => {
                SessionDate::from_ymd(year, 1, 1).zip(SessionDate::from_ymd(year, 12, 31))
            }
        }
    }

    /// The period of `frame` that holds `date`: minutes are kept by month, every other frame by year.
    pub fn of(frame: Timeframe, date: SessionDate) -> Self {
        match frame {
            Timeframe::M1 => Self::Month(date.month()),
            _ => Self::Year(date.year()),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Month(month) => write!(f, "{month}"),
            Self::Year(year) => write!(f, "{year:04}"),
        }
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let refused = || PeriodError(text.escape_default().to_string());
        if text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Year).map_err(|_| refused());
        }
        text.parse().map(Self::Month).map_err(|_| refused())
    }
}

/// Names one file of the lake: dataset, frame, symbol and period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// Provider, feed and adjustment.
    pub dataset: Dataset,
    /// Length of the bars.
    pub timeframe: Timeframe,
    /// Ticker.
    pub symbol: Symbol,
    /// Month or year of session dates.
    pub period: Period,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {}",
            self.dataset, self.symbol, self.timeframe, self.period
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_reads_back_from_its_name() {
        let dataset: Dataset = "alpaca/sip/spin-off".parse().unwrap();
        assert_eq!(dataset.to_string(), "alpaca/sip/spin-off");
        assert_eq!(
            (dataset.provider(), dataset.feed(), dataset.adjustment()),
            ("alpaca", "sip", "spin-off")
        );
    }

    #[test]
    fn parts_that_could_leave_a_folder_are_refused() {
        for text in [
            "alpaca/sip",
            "a/b/c/d",
            "../x/y",
            "A/b/c",
            "a//c",
            "a/b/c ",
            "-a/b/c",
            "a/b/\u{e9}",
        ] {
            assert!(text.parse::<Dataset>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn minutes_are_kept_by_month_and_other_frames_by_year() {
        let date: SessionDate = "2015-12-24".parse().unwrap();
        assert_eq!(Period::of(Timeframe::M1, date).to_string(), "2015-12");
        assert_eq!(Period::of(Timeframe::H1, date).to_string(), "2015");
        for text in ["2015-12", "2015"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        assert!("2015-13".parse::<Period>().is_err());
    }
}
