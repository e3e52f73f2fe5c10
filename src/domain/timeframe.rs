//! Bar lengths. Knows which frames exist and how long they are, not how a bucket is cut.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The length of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timeframe {
    /// 1 minute: what providers are asked for; all other frames derive from it.
    M1,
    /// 2 minutes.
    M2,
    /// 3 minutes.
    M3,
    /// 5 minutes.
    M5,
    /// 10 minutes.
    M10,
    /// 15 minutes.
    M15,
    /// 30 minutes.
    M30,
    /// 1 hour.
    H1,
    /// 2 hours.
    H2,
    /// 4 hours.
    H4,
    /// The regular session of one day.
    D1,
}

/// A text that names no [`Timeframe`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "timeframe `{shown}` is unknown, expected one of 1m, 2m, 3m, 5m, 10m, 15m, 30m, 1h, 2h, 4h, 1d"
)]
pub struct TimeframeError {
    shown: String,
}

impl Timeframe {
    /// Every frame, shortest first.
    pub const ALL: [Self; 11] = [
        Self::M1,
        Self::M2,
        Self::M3,
        Self::M5,
        Self::M10,
        Self::M15,
        Self::M30,
        Self::H1,
        Self::H2,
        Self::H4,
        Self::D1,
    ];

    /// The name in paths, views and output: `1m`, `1h`, `1d`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M1 => "1m",
            Self::M2 => "2m",
            Self::M3 => "3m",
            Self::M5 => "5m",
            Self::M10 => "10m",
            Self::M15 => "15m",
            Self::M30 => "30m",
            Self::H1 => "1h",
            Self::H2 => "2h",
            Self::H4 => "4h",
            Self::D1 => "1d",
        }
    }

    /// Whether bars of this length are made from minutes, and so can be made again.
    pub const fn is_derived(self) -> bool {
        !matches!(self, Self::M1)
    }

    /// The length in minutes; `None` for `1d`, whose length is the session's.
    pub const fn minutes(self) -> Option<u16> {
        match self {
            Self::M1 => Some(1),
            Self::M2 => Some(2),
            Self::M3 => Some(3),
            Self::M5 => Some(5),
            Self::M10 => Some(10),
            Self::M15 => Some(15),
            Self::M30 => Some(30),
            Self::H1 => Some(60),
            Self::H2 => Some(120),
            Self::H4 => Some(240),
            Self::D1 => None,
        }
    }
}

impl FromStr for Timeframe {
    type Err = TimeframeError;

    fn from_str(text: &str) -> Result<Self, TimeframeError> {
        Self::ALL
            .into_iter()
            .find(|frame| frame.as_str() == text)
            .ok_or_else(|| TimeframeError {
                shown: text.escape_default().to_string(),
            })
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_reads_back_from_its_name() {
        for frame in Timeframe::ALL {
            assert_eq!(frame.as_str().parse::<Timeframe>().unwrap(), frame);
        }
        assert!(
            "7m".parse::<Timeframe>()
                .unwrap_err()
                .to_string()
                .contains("`7m`")
        );
    }

    #[test]
    fn frames_are_ordered_by_length() {
        let minutes: Vec<_> = Timeframe::ALL.iter().filter_map(|f| f.minutes()).collect();
        assert!(minutes.is_sorted());
        assert_eq!(Timeframe::D1.minutes(), None);
    }
}
