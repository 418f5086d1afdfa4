//! The open sessions of every key: which one a row belongs to, and which of them close.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use tidemill_state::{EventTime, KeyTable};

use crate::error::Result;
use crate::window::{LocalClock, Session, Window};

/// Intervals only; what sessions hold is kept beside this, addressed by the number of the session's slot.
///
/// Two sessions of a key are more than a gap apart, so a row touches two of them at most. Nearly all rows belong to the latest session of
/// their key, which an array leads to; the earlier ones, which wait for the watermark, are in a tree.
pub(super) struct OpenSessions {
    session: Session,
    keys: KeyTable,
    /// Per key: the slot of its latest session, or [`NONE`].
    latest: Vec<u32>,
    /// The slots of all others, by key and start.
    earlier: BTreeMap<(u32, i64), u32>,
    slots: Vec<Open>,
    free: Vec<u32>,
    /// Sessions begun so far.
    begun: u64,
    /// A time before which a session does not close, its number, its slot. Sessions that grow keep their entry, and get a new one only
    /// when that is due; an entry whose number is not that of its slot is of no session any more.
    closings: BinaryHeap<Reverse<(EventTime, u64, u32)>>,
    merged: Merged,
    /// Keys that may have no session any more.
    idle: Vec<u32>,
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Open {
    key: u32,
    start: i64,
    /// The time of its last row.
    last: i64,
    /// Sessions count in the order in which their first rows came. [`u64::MAX`]: the slot has no session.
    number: u64,
}

/// Sessions that became part of others: slots, in the order in which that happened.
#[derive(Default)]
pub(super) struct Merged {
    pub from: Vec<u32>,
    pub into: Vec<u32>,
}

/// A session that has closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub slot: u32,
    pub window: Window,
    number: u64,
    key: u32,
}

impl OpenSessions {
    pub fn new(session: Session, key_types: &[DataType]) -> Result<OpenSessions> {
        Ok(OpenSessions {
            session,
            keys: KeyTable::new(key_types)?,
            latest: Vec::new(),
            earlier: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            begun: 0,
            closings: BinaryHeap::new(),
            merged: Merged::default(),
            idle: Vec::new(),
        })
    }

    pub fn clock(&self) -> LocalClock {
        self.session.clock
    }

    /// How many slots there are, used or not.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The number of each row's key, for [`place`](Self::place); good until [`forget_idle_keys`](Self::forget_idle_keys).
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, keys: &mut Vec<u32>) -> Result<()> {
        self.keys.intern(columns, rows, keys)?;
        self.latest.resize(self.keys.groups(), NONE);
        Ok(())
    }

    /// The slot of the session that a row joins or begins; `None` if it begins one that had closed at `watermark`.
    ///
    /// Where it joins two, they become one: see [`take_merged`](Self::take_merged).
    #[inline]
    pub fn place(&mut self, key: u32, time: i64, watermark: EventTime) -> Option<u32> {
        let latest = self.latest[key as usize];
        if latest != NONE {
            let open = &mut self.slots[latest as usize];
            if time >= open.start && time.saturating_sub(open.last) <= self.session.gap {
                open.last = open.last.max(time);
                return Some(latest);
            }
        }
        self.place_elsewhere(key, time, watermark)
    }

    fn place_elsewhere(&mut self, key: u32, time: i64, watermark: EventTime) -> Option<u32> {
        let (before, after) = self.neighbours(key, time);
        let before = before.filter(|&slot| time.saturating_sub(self.slots[slot as usize].last) <= self.session.gap);
        let after = after.filter(|&slot| self.slots[slot as usize].start.saturating_sub(time) <= self.session.gap);
        match (before, after) {
            (Some(into), Some(from)) => self.absorb(into, from),
            (Some(slot), None) => {
                let last = &mut self.slots[slot as usize].last;
                *last = time.max(*last);
            }
            (None, Some(slot)) => self.begin_at(slot, time),
            (None, None) if self.session.clock.closes_at(self.end(time)) <= watermark => self.idle.push(key),
            (None, None) => return Some(self.begin(key, time, time)),
        }
        before.or(after)
    }

    /// The last session of the key that starts at `time` or before, and the first that starts after.
    fn neighbours(&self, key: u32, time: i64) -> (Option<u32>, Option<u32>) {
        let latest = Some(self.latest[key as usize]).filter(|&slot| slot != NONE);
        if latest.is_none_or(|slot| self.slots[slot as usize].start <= time) {
            return (latest, None);
        }
        let before = self.earlier.range((key, i64::MIN)..=(key, time)).next_back();
        let after = self.earlier.range((key, time.saturating_add(1))..=(key, i64::MAX)).next();
        (before.map(|(_, slot)| *slot), after.map(|(_, slot)| *slot).or(latest))
    }

    /// Begins a session, given its first and last row.
    fn begin(&mut self, key: u32, start: i64, last: i64) -> u32 {
        let open = Open { key, start, last, number: self.begun };
        self.begun += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = open;
                slot
            }
            None => {
                self.slots.push(open);
                (self.slots.len() - 1) as u32
            }
        };
        let latest = &mut self.latest[key as usize];
        match self.slots.get(*latest as usize).map(|open| open.start) {
            None => *latest = slot,
            Some(former) if former < start => {
                self.earlier.insert((key, former), *latest);
                *latest = slot;
            }
            Some(_) => {
                self.earlier.insert((key, start), slot);
            }
        }
        self.expect_closing(slot);
        slot
    }

    /// Begins sessions anew that [`all`](Self::all) gave, in that order: of these keys, from these starts to these ends.
    pub fn restore(&mut self, keys: &[ArrayRef], starts: &[i64], ends: &[i64]) -> Result<Vec<u32>> {
        let mut of_row = Vec::new();
        self.intern(keys, starts.len(), &mut of_row)?;
        let sessions = of_row.into_iter().zip(starts).zip(ends);
        let gap = self.session.gap;
        Ok(sessions.map(|((key, &start), &end)| self.begin(key, start, end.saturating_sub(gap))).collect())
    }

    fn begin_at(&mut self, slot: u32, time: i64) {
        let open = &mut self.slots[slot as usize];
        let former = std::mem::replace(&mut open.start, time);
        if self.latest[open.key as usize] != slot {
            let key = open.key;
            self.earlier.remove(&(key, former));
            self.earlier.insert((key, time), slot);
        }
    }

    /// Makes two neighbours one.
    fn absorb(&mut self, into: u32, from: u32) {
        let gone = std::mem::replace(&mut self.slots[from as usize].number, u64::MAX);
        let Open { key, start, last, .. } = self.slots[from as usize];
        let open = &mut self.slots[into as usize];
        open.last = last;
        let is_younger = gone < open.number;
        open.number = open.number.min(gone);
        if self.latest[key as usize] == from {
            self.latest[key as usize] = into;
            let start = open.start;
            self.earlier.remove(&(key, start));
        } else {
            self.earlier.remove(&(key, start));
        }
        if is_younger {
            self.expect_closing(into);
        }
        self.merged.from.push(from);
        self.merged.into.push(into);
    }

    pub fn has_merged(&self) -> bool {
        !self.merged.from.is_empty()
    }

    /// What was merged since the last call, each directly into what it is part of now. The slots of `from` may be used again.
    pub fn take_merged(&mut self) -> Merged {
        let mut merged = std::mem::take(&mut self.merged);
        let mut whole = hashbrown::HashMap::with_capacity(merged.from.len());
        for (from, into) in merged.from.iter().zip(&mut merged.into).rev() {
            *into = *whole.get(into).unwrap_or(into);
            whole.insert(*from, *into);
        }
        self.free.extend(&merged.from);
        merged
    }

    fn expect_closing(&mut self, slot: u32) {
        let Open { last, number, .. } = self.slots[slot as usize];
        self.closings.push(Reverse((self.closes_after(self.end(last)), number, slot)));
    }

    /// A time before which no session closes that ends at `end` or later.
    ///
    /// That is when `end` itself closes; unless clocks skip it, for then it closes with what they show after the gap, and later than an end right
    /// behind the gap.
    fn closes_after(&self, end: i64) -> EventTime {
        let clock = self.session.clock;
        let closes = clock.closes_at(end).0;
        let skipped = clock.local(closes.saturating_add(1)).saturating_sub(end);
        EventTime(closes.saturating_sub(skipped.max(0)))
    }

    /// Where a session ends whose last row has this time.
    fn end(&self, last: i64) -> i64 {
        last.saturating_add(self.session.gap)
    }

    /// Whether [`close`](Self::close) may find anything.
    #[inline]
    pub fn may_close(&self, watermark: EventTime) -> bool {
        self.closings.peek().is_some_and(|Reverse((time, ..))| *time <= watermark)
    }

    /// Takes out the sessions that close at `watermark` or before, in order of their ends, then of their first rows. Their slots are in use
    /// until [`release`](Self::release).
    pub fn close(&mut self, watermark: EventTime) -> Vec<Closed> {
        let mut closed = Vec::new();
        while self.may_close(watermark)
            && let Some(Reverse((_, number, slot))) = self.closings.pop()
        {
            let Open { key, start, last, number: present } = self.slots[slot as usize];
            if number != present {
                continue;
            }
            let end = self.end(last);
            if self.session.clock.closes_at(end) > watermark {
                let next = EventTime(watermark.0.saturating_add(1));
                self.closings.push(Reverse((self.closes_after(end).max(next), number, slot)));
                continue;
            }
            self.slots[slot as usize].number = u64::MAX;
            if self.latest[key as usize] == slot {
                let before = self.earlier.range((key, i64::MIN)..=(key, start)).next_back();
                self.latest[key as usize] = before.map_or(NONE, |(_, slot)| *slot);
                before.map(|(at, _)| *at).and_then(|at| self.earlier.remove(&at));
                self.idle.push(key);
            } else {
                self.earlier.remove(&(key, start));
            }
            closed.push(Closed { slot, window: Window { start, end }, number, key });
        }
        closed.sort_unstable_by_key(|closed| (closed.window.end, closed.number));
        closed
    }

    pub fn release(&mut self, closed: &[Closed]) {
        self.free.extend(closed.iter().map(|closed| closed.slot));
    }

    /// Forgets keys without sessions.
    pub fn forget_idle_keys(&mut self) {
        self.idle.sort_unstable();
        self.idle.dedup();
        for key in self.idle.drain(..).filter(|&key| self.latest[key as usize] == NONE) {
            self.keys.remove(key);
        }
    }

    /// The key columns of sessions.
    pub fn key_columns(&self, closed: &[Closed]) -> Result<Vec<ArrayRef>> {
        let keys: Vec<u32> = closed.iter().map(|closed| closed.key).collect();
        Ok(self.keys.columns(&keys)?)
    }

    /// All open sessions as if they had closed, in the order of their first rows.
    pub fn all(&self) -> Vec<Closed> {
        let open = |(slot, &Open { key, start, last, number }): (u32, &Open)| {
            let window = Window { start, end: self.end(last) };
            (number != u64::MAX).then_some(Closed { slot, window, number, key })
        };
        let mut all: Vec<Closed> = (0u32..).zip(&self.slots).filter_map(open).collect();
        all.sort_unstable_by_key(|open| open.number);
        all
    }

    /// A session that closes among the first, and when.
    pub fn next_to_close(&self) -> Option<(Window, EventTime)> {
        let is_open = |entry: &&Reverse<(EventTime, u64, u32)>| self.slots[entry.0.2 as usize].number == entry.0.1;
        let Reverse((_, _, slot)) = self.closings.iter().find(is_open)?;
        let Open { start, last, .. } = self.slots[*slot as usize];
        let window = Window { start, end: self.end(last) };
        Some((window, self.session.clock.closes_at(window.end)))
    }
}
