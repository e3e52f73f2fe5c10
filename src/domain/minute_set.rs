//! A set of minutes of one session as a bitmap. Knows minute numbers, not times.

use std::ops::Range;

/// Minutes in a session's frame, which begins at 20:00 New York of the day before.
pub const MINUTES_PER_FRAME: u16 = 1440;

const WORDS: usize = 23;

/// Which of the 1,440 minutes of a session's frame are in the set.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct MinuteSet([u64; WORDS]);

impl MinuteSet {
    /// A set without minutes.
    pub const fn empty() -> Self {
        Self([0; WORDS])
    }

    /// The minutes of a range.
    pub fn of_range(range: Range<u16>) -> Self {
        let mut set = Self::empty();
        for minute in range {
            set.insert(minute);
        }
        set
    }

    /// The minutes that are in both sets.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// The minutes of this set that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Adds a minute; tells whether it was not there before. Numbers from 1,440 on are refused with `false`.
    pub fn insert(&mut self, minute: u16) -> bool {
        if minute >= MINUTES_PER_FRAME {
            return false;
        }
        let (word, bit) = (usize::from(minute / 64), 1_u64 << (minute % 64));
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Whether the minute is in the set.
    pub fn contains(&self, minute: u16) -> bool {
        minute < MINUTES_PER_FRAME
            && self.0[usize::from(minute / 64)] & (1_u64 << (minute % 64)) != 0
    }

    /// How many minutes are in the set.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether the set has no minute.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// How many of the minutes in `range` are in the set.
    pub fn count_in(&self, range: Range<u16>) -> u32 {
        range.map(|minute| u32::from(self.contains(minute))).sum()
    }

    /// The minutes in `range` that are not in the set, as ascending maximal ranges.
    pub fn missing_in(&self, range: Range<u16>) -> Vec<Range<u16>> {
        Self::of_range(range).without(self).ranges()
    }

    /// The minutes of the set, as ascending maximal ranges.
    pub fn ranges(&self) -> Vec<Range<u16>> {
        let mut ranges: Vec<Range<u16>> = Vec::new();
        for minute in (0..MINUTES_PER_FRAME).filter(|&minute| self.contains(minute)) {
            match ranges.last_mut() {
                Some(last) if last.end == minute => last.end = minute + 1,
                _ => ranges.push(minute..minute + 1),
            }
        }
        ranges
    }

    /// The set as bytes: the number of leading zero bytes, then the bytes up to the last one that is not zero.
    ///
    /// A regular session takes 50 bytes, an empty set one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        let Some(first) = bytes.iter().position(|&b| b != 0) else {
            return vec![0];
        };
        let last = bytes.iter().rposition(|&b| b != 0).unwrap_or(first);
        let mut encoded = vec![u8::try_from(first).unwrap_or(u8::MAX)];
        encoded.extend_from_slice(&bytes[first..=last]);
        encoded
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` when `bytes` are anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&skip, rest) = bytes.split_first()?;
        let mut all = [0_u8; WORDS * 8];
        all.get_mut(usize::from(skip)..usize::from(skip) + rest.len())?
            .copy_from_slice(rest);
        let mut set = Self::empty();
        for (word, chunk) in set.0.iter_mut().zip(all.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().ok()?);
        }
        let beyond = usize::from(MINUTES_PER_FRAME / 64);
        (set.0[beyond] >> (MINUTES_PER_FRAME % 64) == 0).then_some(set)
    }
}

impl std::fmt::Debug for MinuteSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MinuteSet({} minutes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_regular_session_takes_fifty_bytes() {
        let mut set = MinuteSet::empty();
        for minute in 810..1200 {
            assert!(set.insert(minute) && !set.insert(minute));
        }
        assert_eq!(set.to_bytes().len(), 50);
        assert_eq!((set.len(), set.count_in(800..820)), (390, 10));
        assert!(!set.insert(MINUTES_PER_FRAME) && !set.contains(MINUTES_PER_FRAME));
    }

    #[test]
    fn damaged_bytes_are_no_set() {
        assert_eq!(MinuteSet::from_bytes(&[]), None);
        assert_eq!(MinuteSet::from_bytes(&[200, 1]), None);
        assert_eq!(
            MinuteSet::from_bytes(&[180, 1]),
            None,
            "minute 1440 does not exist"
        );
        assert_eq!(MinuteSet::from_bytes(&[0]), Some(MinuteSet::empty()));
    }

    proptest! {
        #[test]
        fn bytes_read_back_and_missing_is_the_complement(minutes in proptest::collection::btree_set(0_u16..1440, 0..200)) {
            let mut set = MinuteSet::empty();
            for &minute in &minutes {
                set.insert(minute);
            }
            prop_assert_eq!(MinuteSet::from_bytes(&set.to_bytes()), Some(set));
            let missing: Vec<u16> = set.missing_in(0..1440).into_iter().flatten().collect();
            prop_assert_eq!(missing.len() + minutes.len(), 1440);
            prop_assert!(missing.iter().all(|minute| !minutes.contains(minute)));
        }
    }
}
