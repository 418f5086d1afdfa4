//! Windows over event time: which there are, which slice a row belongs to, when they close. All arithmetic, no state.
//!
//! Windows of one kind overlap, but their starts and ends cut time into **slices** that belong to each window whole or not at all. A row
//! is put into its slice once, and windows are made of slices ("No pane, no gain", Li et al., SIGMOD Record 2005; the slices are those of
//! Carbone et al., "Cutty", CIKM 2016).
//!
//! Windows are left-closed and right-open, and aligned to 1970-01-01 00:00 plus an offset, of the local clock if there is a zone:
//! `start = ts - (ts - offset) mod size`, where `mod` is never negative. Times are in milliseconds.

use std::fmt::{self, Display};

use arrow::datatypes::TimeUnit;
use tidemill_state::EventTime;

use crate::text::Zone;

/// A stretch of time: `start <= t < end`, as the local clock shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First, because windows close in the order of their ends.
    pub end: i64,
    pub start: i64,
}

/// Windows that are the same for all keys. (Sessions are not: see [`Session`].)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    pub shape: Shape,
    /// Of all starts, from 1970 on; may be negative.
    pub offset: i64,
    pub clock: LocalClock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Each time is in one window.
    Tumble { size: i64 },
    /// A window of `size` begins every `slide`. Each time is in `size / slide` windows, or in one more or fewer if that is no whole
    /// number; in none, some of the time, if `slide` is larger.
    Hop { slide: i64, size: i64 },
    /// Every `max` milliseconds a window begins that grows by `step` until it is `max` long. Each length is a window. `max` is a
    /// multiple of `step`.
    Cumulate { step: i64, max: i64 },
}

/// Windows around bursts of rows of one key: rows closer than `gap`, or just so far apart, are in one window, which ends `gap` after its
/// last row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    pub gap: i64,
    pub clock: LocalClock,
}

/// What windows are aligned to: event time itself, or the clock on the wall of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalClock(pub Zone);

impl std::hash::Hash for LocalClock {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self.0 {
            Zone::Fixed(seconds) => seconds.hash(state),
            Zone::Named(zone) => zone.name().hash(state),
        }
    }
}

impl LocalClock {
    /// The times of `TIMESTAMP`: they are local already.
    pub const UTC: LocalClock = LocalClock(Zone::UTC);

    /// What the clock shows at a moment.
    pub fn local(&self, moment: i64) -> i64 {
        self.0.to_local(moment, TimeUnit::Millisecond)
    }

    /// The watermark at which what ends at `end` is complete: the last moment before the clock shows `end`.
    pub fn closes_at(&self, end: i64) -> EventTime {
        // No zone has a history so far away.
        if self.0 == Zone::UTC || end.unsigned_abs() > FAR {
            return EventTime(end.saturating_sub(1));
        }
        let (seconds, millis) = (end.div_euclid(1000), end.rem_euclid(1000));
        let first = self.0.from_local(seconds) * 1000 + millis;
        // Where clocks are set back, they show `end` twice: only the second time no row before it can come any more.
        let half_hour = 1_800_000;
        let comes_to_end = |moment: &i64| self.local(moment - 1) == end - 1;
        let second = (1..=4).map(|n| first + n * half_hour).find(comes_to_end);
        EventTime(second.unwrap_or(first).saturating_sub(1))
    }
}

impl Windows {
    pub fn tumble(size: i64) -> Windows {
        Windows { shape: Shape::Tumble { size }, offset: 0, clock: LocalClock::UTC }
    }

    pub fn hop(slide: i64, size: i64) -> Windows {
        Windows { shape: Shape::Hop { slide, size }, offset: 0, clock: LocalClock::UTC }
    }

    pub fn cumulate(step: i64, max: i64) -> Windows {
        Windows { shape: Shape::Cumulate { step, max }, offset: 0, clock: LocalClock::UTC }
    }

    /// How long slices are.
    pub fn slice_length(&self) -> i64 {
        match self.shape {
            Shape::Tumble { size } => size,
            Shape::Hop { slide, size } => greatest_common_divisor(slide, size),
            Shape::Cumulate { step, .. } => step,
        }
    }

    /// The slice that a time of the local clock is in.
    pub fn slice_of(&self, local: i64) -> Window {
        let length = self.slice_length();
        let start = local.saturating_sub((local.wrapping_sub(self.offset)).rem_euclid(length));
        Window { start, end: start.saturating_add(length) }
    }

    /// The windows that a slice is part of, in the order in which they end.
    pub fn of_slice(&self, slice: Window) -> impl Iterator<Item = Window> + use<> {
        let (first, count, next, grows) = match self.shape {
            Shape::Tumble { .. } => (slice, 1, 0, false),
            Shape::Hop { slide, size } => {
                // The first start after `slice.end - size` (or just there), then every slide up to the slice's own start.
                let earliest = slice.end.saturating_sub(size);
                let start = earliest.saturating_add((self.offset.wrapping_sub(earliest)).rem_euclid(slide));
                let count = if start > slice.start { 0 } else { (slice.start - start) / slide + 1 };
                (Window { start, end: start.saturating_add(size) }, count, slide, false)
            }
            Shape::Cumulate { step, max } => {
                let start = slice.start.saturating_sub((slice.start.wrapping_sub(self.offset)).rem_euclid(max));
                (Window { start, end: slice.end }, (start + max - slice.end) / step + 1, step, true)
            }
        };
        (0..count).map(move |n| Window {
            start: if grows { first.start } else { first.start + n * next },
            end: first.end.saturating_add(n * next),
        })
    }

    /// The first window with the slice in it that is not closed at a watermark and ends after `closed`.
    pub fn first_open(&self, slice: Window, watermark: EventTime, closed: i64) -> Option<Window> {
        let is_open = |window: &Window| window.end > closed && self.clock.closes_at(window.end) > watermark;
        if !self.last_of_slice(slice).as_ref().is_some_and(is_open) {
            return None;
        }
        // Windows that end before this are closed for sure, whatever the local clock does: they are skipped by arithmetic.
        let before = if self.clock.0 == Zone::UTC { 0 } else { SHIFT };
        let reached = self.clock.local(watermark.0.saturating_add(1)).saturating_sub(before);
        let all = self.of_slice(slice);
        let every = match self.shape {
            Shape::Tumble { .. } => 1,
            Shape::Hop { slide, .. } => slide,
            Shape::Cumulate { step, .. } => step,
        };
        let first_end = self.of_slice(slice).next()?.end;
        let skip = reached.saturating_sub(first_end).max(0) / every;
        all.skip(usize::try_from(skip).unwrap_or(0)).find(is_open)
    }

    /// A watermark before which no window closes, later than the given one: the next to close one, or an earlier time.
    pub fn next_closing(&self, watermark: EventTime) -> EventTime {
        let local = self.clock.local(watermark.0.saturating_add(1));
        let end = match self.shape {
            Shape::Tumble { .. } | Shape::Cumulate { .. } => self.slice_of(local).end,
            Shape::Hop { slide, size } => {
                let since = local.wrapping_sub(self.offset).wrapping_sub(size).rem_euclid(slide);
                local.saturating_add(slide - since)
            }
        };
        match self.clock.0 == Zone::UTC {
            true => self.clock.closes_at(end),
            false => self.clock.closes_at(end).min(EventTime(watermark.0.saturating_add(SHIFT / 8))),
        }
    }

    /// The last of the windows that a slice is part of to close; `None` if it is in none (hopping by more than the size).
    pub fn last_of_slice(&self, slice: Window) -> Option<Window> {
        match self.shape {
            Shape::Tumble { .. } => Some(slice),
            Shape::Hop { slide, size } => {
                let start = slice.start.saturating_sub((slice.start.wrapping_sub(self.offset)).rem_euclid(slide));
                let end = start.saturating_add(size);
                (end >= slice.end).then_some(Window { start, end })
            }
            Shape::Cumulate { max, .. } => {
                let start = slice.start.saturating_sub((slice.start.wrapping_sub(self.offset)).rem_euclid(max));
                Some(Window { start, end: start.saturating_add(max) })
            }
        }
    }
}

/// Some 10,000 years.
const FAR: u64 = 316_000_000_000_000;

/// By how much clocks are ever set back, generously.
const SHIFT: i64 = 3 * 3_600_000;

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Display for Windows {
    /// As in `EXPLAIN`: `hop(slide=5 s, size=10 s, offset=-1 s)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Tumble { size } => write!(f, "tumble(size={}", Length(size))?,
            Shape::Hop { slide, size } => write!(f, "hop(slide={}, size={}", Length(slide), Length(size))?,
            Shape::Cumulate { step, max } => write!(f, "cumulate(step={}, max={}", Length(step), Length(max))?,
        }
        if self.offset != 0 {
            write!(f, ", offset={}", Length(self.offset))?;
        }
        f.write_str(")")
    }
}

impl Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session(gap={})", Length(self.gap))
    }
}

/// A stretch of time in the largest unit that divides it.
pub struct Length(pub i64);

impl Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
        let (unit, name) = units.into_iter().find(|(unit, _)| self.0 % unit == 0 && self.0 != 0).unwrap_or((1, "ms"));
        write!(f, "{} {name}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows_of(windows: Windows, time: i64) -> Vec<(i64, i64)> {
        windows.of_slice(windows.slice_of(time)).map(|window| (window.start, window.end)).collect()
    }

    /// Every window of a shape, by its definition.
    fn by_definition(windows: Windows, time: i64) -> Vec<(i64, i64)> {
        let range = -400..400;
        let mut all: Vec<(i64, i64)> = match windows.shape {
            Shape::Tumble { size } => {
                range.map(|n| (windows.offset + n * size, windows.offset + (n + 1) * size)).collect()
            }
            Shape::Hop { slide, size } => {
                range.map(|n| (windows.offset + n * slide, windows.offset + n * slide + size)).collect()
            }
            Shape::Cumulate { step, max } => range
                .map(|n| windows.offset + n * max)
                .flat_map(|start| (1..=max / step).map(move |steps| (start, start + steps * step)))
                .collect(),
        };
        all.retain(|(start, end)| *start <= time && time < *end);
        all.sort_by_key(|(start, end)| (*end, *start));
        all
    }

    #[test]
    fn slices_lead_to_exactly_the_windows_that_hold_a_time() {
        let shapes = [
            Shape::Tumble { size: 10 },
            Shape::Hop { slide: 5, size: 15 },
            Shape::Hop { slide: 4, size: 10 },
            Shape::Hop { slide: 10, size: 4 },
            Shape::Hop { slide: 7, size: 7 },
            Shape::Cumulate { step: 3, max: 12 },
        ];
        for shape in shapes {
            for offset in [0, 1, -3, 20] {
                let windows = Windows { shape, offset, clock: LocalClock::UTC };
                for time in -60..60 {
                    let expected = by_definition(windows, time);
                    assert_eq!(windows_of(windows, time), expected, "{windows} at {time}");
                    let last = windows.last_of_slice(windows.slice_of(time)).map(|window| (window.start, window.end));
                    assert_eq!(last, expected.last().copied(), "{windows} at {time}");
                }
            }
        }
    }

    #[test]
    fn the_next_to_close_is_found_by_arithmetic() {
        let shapes = [
            Windows::tumble(10),
            Windows::hop(5, 15),
            Windows::hop(4, 10),
            Windows::hop(10, 4),
            Windows { offset: -3, ..Windows::cumulate(3, 12) },
        ];
        for windows in shapes {
            for watermark in -40..40 {
                let watermark = EventTime(watermark);
                let ends = (-100..100).flat_map(|time| by_definition(windows, time)).map(|(_, end)| end - 1);
                assert_eq!(
                    windows.next_closing(watermark).0,
                    ends.filter(|end| *end > watermark.0).min().expect("one")
                );
                for time in -50..50 {
                    let slice = windows.slice_of(time);
                    let expected = windows.of_slice(slice).find(|window| window.end - 1 > watermark.0);
                    assert_eq!(
                        windows.first_open(slice, watermark, i64::MIN),
                        expected,
                        "{windows} {time} {watermark:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn windows_before_1970_begin_before_the_rows_in_them() {
        assert_eq!(windows_of(Windows::tumble(10_000), -1), [(-10_000, 0)]);
        assert_eq!(windows_of(Windows::tumble(10_000), -10_000), [(-10_000, 0)]);
    }

    #[test]
    fn a_day_of_the_local_clock_closes_when_it_is_over_there() {
        let hour = 3_600_000;
        let shanghai = LocalClock(Zone::parse("Asia/Shanghai").expect("a zone"));
        assert_eq!(shanghai.closes_at(24 * hour), EventTime(16 * hour - 1));
        // On 2020-10-25 Berlin sets clocks back from 3:00 to 2:00: what ends at 2:30 closes with the second 2:30.
        let berlin = LocalClock(Zone::parse("Europe/Berlin").expect("a zone"));
        let half_past_two = 1_603_593_000_000; // 2020-10-25 02:30 as the clock shows it
        assert_eq!(berlin.closes_at(half_past_two), EventTime(half_past_two - hour - 1));
        assert_eq!(berlin.closes_at(i64::MAX), EventTime(i64::MAX - 1));
    }

    #[test]
    fn lengths_read_well() {
        let texts: Vec<String> =
            [86_400_000, 90_000, 1500, -180_000, 0].map(|length| Length(length).to_string()).to_vec();
        assert_eq!(texts, ["1 d", "90 s", "1500 ms", "-3 min", "0 ms"]);
    }
}
