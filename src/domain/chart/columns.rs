//! Columns: as many buckets together as the width demands, and a narrow one where a session ends.

use super::super::session::SessionDate;
use super::slots::Slot;
use super::{Candle, MissingMinutes};

/// What a column stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Buckets.
    Buckets,
    /// The time between two sessions.
    Break,
    /// So many whole sessions that were never asked for.
    Skipped(u32),
}

/// One column of a chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    /// What it stands for.
    pub place: Place,
    /// Its first instant, UTC microseconds; of a break the one after it.
    pub start_us: i64,
    /// The first instant after it, UTC microseconds.
    pub end_us: i64,
    /// The session of its first instant.
    pub session: SessionDate,
    /// The bars in it, added up.
    pub candle: Option<Candle>,
    /// Regular minutes in it that have no row.
    pub missing: MissingMinutes,
    /// Buckets in it.
    pub buckets: u32,
}

impl Column {
    fn of(slot: &Slot) -> Self {
        Self {
            place: match slot.skipped_sessions {
                0 => Place::Buckets,
                sessions => Place::Skipped(sessions),
            },
            start_us: slot.start_us,
            end_us: slot.end_us,
            session: slot.session,
            candle: slot.candle,
            missing: slot.missing,
            buckets: 1,
        }
    }

    fn absorb(&mut self, slot: &Slot) {
        self.end_us = slot.end_us;
        self.missing.add_all(&slot.missing);
        self.buckets += 1;
        if slot.skipped_sessions == 0 {
            self.place = Place::Buckets;
        }
        match (&mut self.candle, &slot.candle) {
            (Some(candle), Some(later)) => candle.absorb(later),
            (none, later) => *none = none.or(*later),
        }
    }

    /// Whether it has a bar of fewer minutes than there should be.
    pub fn is_partial(&self) -> bool {
        self.candle.is_some() && self.missing.total() > 0
    }
}

/// How buckets are put together.
#[derive(Clone, Copy)]
enum Merging {
    /// So many of one session at most.
    WithinSessions(usize),
    /// So many, whatever their sessions.
    Across(usize),
}

/// The columns of `slots`, at most `width` of them: neighbouring buckets are put together as far as that takes, those of
/// one session first. Also returns how many make a column.
///
/// Between sessions of several buckets stands a break.
pub fn fit(slots: &[Slot], width: usize) -> (Vec<Column>, usize) {
    let width = width.max(1);
    let longest = slots
        .chunk_by(|a, b| a.session == b.session)
        .map(<[Slot]>::len)
        .max()
        .unwrap_or(1);
    let fewest = slots.len().div_ceil(width).max(1);
    let within = (fewest..=longest)
        .map(|count| (columns(slots, Merging::WithinSessions(count)), count))
        .find(|(columns, _)| columns.len() <= width);
    within.unwrap_or_else(|| (columns(slots, Merging::Across(fewest)), fewest))
}

fn columns(slots: &[Slot], merging: Merging) -> Vec<Column> {
    let mut columns = Vec::new();
    match merging {
        Merging::Across(count) => columns.extend(slots.chunks(count).map(join)),
        Merging::WithinSessions(count) => {
            let mut was_long = false;
            for session in slots.chunk_by(|a, b| a.session == b.session) {
                let is_long = session.len() > 1;
                if let Some(before) = columns.last().filter(|_| is_long && was_long) {
                    let rest = between(before, &session[0]);
                    columns.push(rest);
                }
                was_long = is_long;
                columns.extend(session.chunks(count).map(join));
            }
        }
    }
    columns
}

fn join(slots: &[Slot]) -> Column {
    let mut column = Column::of(&slots[0]);
    for slot in &slots[1..] {
        column.absorb(slot);
    }
    column
}

fn between(before: &Column, after: &Slot) -> Column {
    Column {
        place: Place::Break,
        start_us: before.end_us,
        end_us: after.start_us,
        session: after.session,
        candle: None,
        missing: MissingMinutes::default(),
        buckets: 0,
    }
}
