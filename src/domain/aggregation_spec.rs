//! What a derived bar is, declared: frame, anchor, segments, closing auction, calendar. Its hash is kept with every
//! derived file; a file of another hash is stale. Knows how buckets are cut, not how bars are added up.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::calendar::Calendar;
use super::digest::hex_sha256;
use super::instant::MINUTE_US;
use super::session::{Segment, Session};
use super::timeframe::Timeframe;

/// Raised whenever the meaning of equal words changes, so that older files become stale.
const SPEC_VERSION: u32 = 1;

/// Where the buckets of intraday frames begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Anchor {
    /// At the start of each segment: regular hours run 09:30, 10:30, ..
    #[default]
    Open,
    /// On the exchange's clock: 09:00, 10:00, .., cut at the borders of segments. A bucket that a segment's start cuts
    /// is stamped with that start.
    Clock,
}

/// Whether `1d` includes the minute that starts at the close, where some feeds print the closing auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum ClosingAuction {
    /// `1d` is `[open, close)`.
    #[default]
    Exclude,
    /// That one minute is added, to `1d` alone.
    Include,
}

/// A text that names none of the choices.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} `{shown}` is unknown, expected {expected}")]
pub struct ChoiceError {
    what: &'static str,
    shown: String,
    expected: &'static str,
}

impl Anchor {
    /// The name in files, flags and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Clock => "clock",
        }
    }
}

impl ClosingAuction {
    /// The name in files and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclude => "exclude",
            Self::Include => "include",
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for ClosingAuction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Anchor {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let known = [Self::Open, Self::Clock];
        let found = known.into_iter().find(|anchor| anchor.as_str() == text);
        found.ok_or_else(|| ChoiceError {
            what: "anchor",
            shown: text.escape_default().to_string(),
            expected: "open or clock",
        })
    }
}

impl FromStr for ClosingAuction {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let known = [Self::Exclude, Self::Include];
        let found = known.into_iter().find(|choice| choice.as_str() == text);
        found.ok_or_else(|| ChoiceError {
            what: "closing auction",
            shown: text.escape_default().to_string(),
            expected: "exclude or include",
        })
    }
}

/// Some of the four segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentSet([bool; 4]);

impl SegmentSet {
    /// All of them.
    pub const ALL: Self = Self([true; 4]);

    /// Whether `segment` is one of them.
    pub const fn contains(self, segment: Segment) -> bool {
        self.0[segment.code() as usize]
    }

    /// Those that are in, in the order of the day.
    pub fn iter(self) -> impl Iterator<Item = Segment> {
        Segment::ALL
            .into_iter()
            .filter(move |&segment| self.contains(segment))
    }
}

impl FromIterator<Segment> for SegmentSet {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        let mut set = Self([false; 4]);
        for segment in segments {
            set.0[usize::from(segment.code())] = true;
        }
        set
    }
}

impl Default for SegmentSet {
    fn default() -> Self {
        Self::ALL
    }
}

/// What a user may decide about derived bars, frame by frame the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AggregationChoice {
    /// Where intraday buckets begin.
    pub anchor: Anchor,
    /// Segments of intraday frames.
    pub segments: SegmentSet,
    /// Whether `1d` includes the minute at the close.
    pub closing_auction: ClosingAuction,
}

/// A frame that derives from nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("1m is what the provider sends; it is not derived from anything")]
pub struct NotDerived;

/// What the bars of one derived frame are.
///
/// Only what matters to the frame counts: two choices that give the same bars give the same spec. `1d` is the regular
/// session, whatever segments the intraday frames have; an anchor makes a difference only where a segment's start is
/// no multiple of the frame on the exchange's clock, from `1h` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AggregationSpec {
    frame: Timeframe,
    anchor: Anchor,
    segments: SegmentSet,
    closing_auction: ClosingAuction,
    calendar: Calendar,
}

/// A frame whose length divides this has buckets that begin at the same instants under either anchor: every segment of every
/// session starts on a multiple of it.
const ANCHOR_FREE_MINUTES: u16 = 30;

/// The bars that frames of a multiple of their length are added up from: their buckets nest in those of every such frame,
/// whatever the anchor.
pub const CELL_MINUTES: u16 = 5;

impl AggregationSpec {
    /// The spec of `frame` under `choice` in the market of `calendar`.
    ///
    /// # Errors
    /// [`NotDerived`] for `1m`.
    pub fn new(
        frame: Timeframe,
        choice: AggregationChoice,
        calendar: Calendar,
    ) -> Result<Self, NotDerived> {
        if !frame.is_derived() {
            return Err(NotDerived);
        }
        let is_anchored = frame
            .minutes()
            .is_some_and(|minutes| !ANCHOR_FREE_MINUTES.is_multiple_of(minutes));
        let is_daily = frame.minutes().is_none();
        Ok(Self {
            frame,
            anchor: if is_anchored {
                choice.anchor
            } else {
                Anchor::Open
            },
            segments: if is_daily {
                [Segment::Regular].into_iter().collect()
            } else {
                choice.segments
            },
            closing_auction: if is_daily {
                choice.closing_auction
            } else {
                ClosingAuction::Exclude
            },
            calendar,
        })
    }

    /// The frame.
    pub const fn frame(&self) -> Timeframe {
        self.frame
    }

    /// Where its buckets begin.
    pub const fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The segments that have bars.
    pub const fn segments(&self) -> SegmentSet {
        self.segments
    }

    /// Whether the minute at the close belongs to `1d`.
    pub const fn closing_auction(&self) -> ClosingAuction {
        self.closing_auction
    }

    /// The market's calendar.
    pub const fn calendar(&self) -> Calendar {
        self.calendar
    }

    /// The spec in words, the same for equal specs: what is hashed and written into files.
    pub fn canonical(&self) -> String {
        let segments: Vec<&str> = self.segments.iter().map(Segment::as_str).collect();
        format!(
            "v{SPEC_VERSION} frame={} anchor={} segments={} closing_auction={} calendar={}",
            self.frame,
            self.anchor,
            segments.join("+"),
            self.closing_auction,
            self.calendar.version(),
        )
    }

    /// The anchor that a spec's canonical words name.
    pub fn anchor_of(canonical: &str) -> Anchor {
        match canonical.contains(" anchor=clock ") {
            true => Anchor::Clock,
            false => Anchor::Open,
        }
    }

    /// SHA-256 of [`canonical`](Self::canonical), hexadecimal.
    pub fn hash(&self) -> String {
        hex_sha256(self.canonical())
    }

    /// The start of the bucket that holds the minute `ts_us` of `segment`; `None` when no bar of this spec holds it.
    pub fn bucket_start_us(&self, session: &Session, segment: Segment, ts_us: i64) -> Option<i64> {
        if self.frame.minutes().is_none() {
            return self
                .is_of_the_day(session, segment, ts_us)
                .then(|| session.open_us());
        }
        self.grid(session, segment).map(|grid| grid.start_of(ts_us))
    }

    /// The buckets of one segment of a session; `None` for `1d` and for segments that are left out.
    pub fn grid(&self, session: &Session, segment: Segment) -> Option<BucketGrid> {
        let length_us = i64::from(self.frame.minutes()?) * MINUTE_US;
        self.segments
            .contains(segment)
            .then(|| BucketGrid::new(session, segment, self.anchor, length_us))
    }

    /// Whether a minute belongs to the `1d` bar of its session.
    fn is_of_the_day(&self, session: &Session, segment: Segment, ts_us: i64) -> bool {
        segment == Segment::Regular
            || (self.closing_auction == ClosingAuction::Include
                && segment == Segment::Post
                && ts_us == session.close_us())
    }
}

/// The buckets of one segment of one session: of equal length, cut at the segment's borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketGrid {
    segment_start_us: i64,
    origin_us: i64,
    length_us: i64,
}

impl BucketGrid {
    /// Buckets of `length_us` in `segment`, counted from `anchor`.
    pub fn new(session: &Session, segment: Segment, anchor: Anchor, length_us: i64) -> Self {
        // Overnight begins at 20:00 of the evening before; what a weekend leaves before that counts back from it.
        let frame_start_us = session.minute_ts_us(0);
        let official_start_us = match segment {
            Segment::Overnight => frame_start_us,
            Segment::Pre => session.pre_open_us(),
            Segment::Regular => session.open_us(),
            Segment::Post => session.close_us(),
        };
        Self {
            segment_start_us: match segment {
                Segment::Overnight => session.window_start_us(),
                _ => official_start_us,
            },
            // The clock's buckets count from 20:00, four hours before midnight: every length there is divides these.
            origin_us: match anchor {
                Anchor::Open => official_start_us,
                Anchor::Clock => frame_start_us,
            },
            length_us,
        }
    }

    /// Where the segment begins, UTC microseconds: no bucket starts earlier.
    pub const fn segment_start_us(&self) -> i64 {
        self.segment_start_us
    }

    /// The instant from which buckets are counted, both ways, UTC microseconds.
    pub const fn origin_us(&self) -> i64 {
        self.origin_us
    }

    /// The start of the bucket that holds `ts_us`, which lies in the segment.
    pub fn start_of(&self, ts_us: i64) -> i64 {
        let buckets = (ts_us - self.origin_us).div_euclid(self.length_us);
        (self.origin_us + buckets * self.length_us).max(self.segment_start_us)
    }

    /// Where the bucket that holds `ts_us` ends, the segment's end aside.
    pub fn end_of(&self, ts_us: i64) -> i64 {
        let buckets = (ts_us - self.origin_us).div_euclid(self.length_us);
        self.origin_us + (buckets + 1) * self.length_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(date: &str) -> Session {
        let date = date.parse().unwrap();
        Calendar::nyse().session(date).unwrap().unwrap()
    }

    fn spec(frame: Timeframe, choice: AggregationChoice) -> AggregationSpec {
        AggregationSpec::new(frame, choice, Calendar::nyse()).unwrap()
    }

    #[test]
    fn only_what_makes_a_difference_is_part_of_a_spec() {
        let clock = AggregationChoice {
            anchor: Anchor::Clock,
            ..AggregationChoice::default()
        };
        let regular = AggregationChoice {
            segments: [Segment::Regular].into_iter().collect(),
            ..AggregationChoice::default()
        };
        let auction = AggregationChoice {
            closing_auction: ClosingAuction::Include,
            ..AggregationChoice::default()
        };
        for frame in Timeframe::ALL.into_iter().skip(1) {
            let plain = spec(frame, AggregationChoice::default()).hash();
            let is_long = frame.minutes().is_some_and(|minutes| 30 % minutes != 0);
            let is_daily = frame == Timeframe::D1;
            assert_eq!(spec(frame, clock).hash() != plain, is_long, "{frame}");
            assert_eq!(spec(frame, regular).hash() == plain, is_daily, "{frame}");
            assert_eq!(spec(frame, auction).hash() != plain, is_daily, "{frame}");
        }
        let minutes = AggregationSpec::new(Timeframe::M1, clock, Calendar::nyse());
        assert_eq!(minutes, Err(NotDerived));
    }

    #[test]
    fn the_canonical_words_and_their_hash_are_stable() {
        let spec = spec(Timeframe::H1, AggregationChoice::default());
        let words = "v1 frame=1h anchor=open segments=overnight+pre+regular+post closing_auction=exclude calendar=";
        assert!(spec.canonical().starts_with(words), "{}", spec.canonical());
        assert_eq!(spec.hash().len(), 64);
        assert_eq!(AggregationSpec::anchor_of(&spec.canonical()), Anchor::Open);
        let clock = spec.canonical().replace("=open", "=clock");
        assert_eq!(AggregationSpec::anchor_of(&clock), Anchor::Clock);
        let crypto = AggregationSpec::new(
            Timeframe::H1,
            AggregationChoice::default(),
            Calendar::always_open(),
        );
        assert_ne!(crypto.unwrap().hash(), spec.hash());
    }

    #[test]
    fn a_frame_without_an_anchor_has_the_same_buckets_under_either() {
        let clock = AggregationChoice {
            anchor: Anchor::Clock,
            ..AggregationChoice::default()
        };
        let is_free = |frame: &Timeframe| spec(*frame, clock).anchor() == Anchor::Open;
        let frames = Timeframe::ALL.into_iter().skip(1).filter(is_free);
        let lengths: Vec<u16> = frames.filter_map(Timeframe::minutes).collect();
        assert!(lengths.len() > 4, "{lengths:?}");
        let sessions = ["1991-12-24", "2024-07-03", "2024-03-11", "2024-11-04"];
        for session in sessions.map(session) {
            for segment in Segment::ALL {
                for &minutes in &lengths {
                    let grid = |anchor| {
                        BucketGrid::new(&session, segment, anchor, i64::from(minutes) * MINUTE_US)
                    };
                    for minute in session.expected_range(segment) {
                        let ts_us = session.minute_ts_us(minute);
                        assert_eq!(
                            grid(Anchor::Open).start_of(ts_us),
                            grid(Anchor::Clock).start_of(ts_us),
                            "{} {segment} {minutes}m",
                            session.date()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_length_divides_what_lies_between_the_clock_s_origin_and_midnight() {
        for minutes in Timeframe::ALL.into_iter().filter_map(Timeframe::minutes) {
            assert_eq!(
                240 % minutes,
                0,
                "{minutes}m would not begin at midnight on the clock"
            );
        }
    }

    #[test]
    fn clock_hours_are_cut_by_the_open_and_stamped_with_it() {
        let session = session("2024-07-03");
        let clock = AggregationChoice {
            anchor: Anchor::Clock,
            ..AggregationChoice::default()
        };
        let start = |choice, segment, minutes_from_open: i64| {
            let ts_us = session.open_us() + minutes_from_open * MINUTE_US;
            let start = spec(Timeframe::H1, choice).bucket_start_us(&session, segment, ts_us);
            (start.unwrap() - session.open_us()) / MINUTE_US
        };
        assert_eq!(start(clock, Segment::Pre, -1), -30);
        assert_eq!(start(clock, Segment::Regular, 29), 0);
        assert_eq!(start(clock, Segment::Regular, 30), 30);
        assert_eq!(start(clock, Segment::Regular, 209), 150);
        assert_eq!(
            start(AggregationChoice::default(), Segment::Regular, 209),
            180
        );
    }

    #[test]
    fn the_auction_minute_belongs_to_the_day_only_where_it_is_asked_for() {
        let session = session("2024-07-03");
        let auction = AggregationChoice {
            closing_auction: ClosingAuction::Include,
            ..AggregationChoice::default()
        };
        let close = session.close_us();
        let of = |choice, ts_us| {
            spec(Timeframe::D1, choice).bucket_start_us(&session, Segment::Post, ts_us)
        };
        assert_eq!(of(AggregationChoice::default(), close), None);
        assert_eq!(of(auction, close), Some(session.open_us()));
        assert_eq!(of(auction, close + MINUTE_US), None);
    }

    #[test]
    fn a_weekend_across_a_clock_change_stays_in_its_session() {
        // Friday 2024-03-08 20:00 to Monday's pre-market, an hour shorter than usual.
        let session = session("2024-03-11");
        for anchor in [Anchor::Open, Anchor::Clock] {
            let choice = AggregationChoice {
                anchor,
                ..AggregationChoice::default()
            };
            let start = session.window_start_us();
            let bucket =
                spec(Timeframe::H4, choice).bucket_start_us(&session, Segment::Overnight, start);
            assert_eq!(bucket, Some(start));
        }
    }
}
