//! Rows by the slices that their times are in.

use std::borrow::Cow;

use arrow::array::{TimestampMillisecondArray, UInt32Array};

use crate::window::{LocalClock, Window, Windows};

/// Times as the local clock shows them.
pub(super) fn local_times<'a>(times: &'a TimestampMillisecondArray, clock: &LocalClock) -> Cow<'a, [i64]> {
    match *clock == LocalClock::UTC {
        true => times.values().as_ref().into(),
        false => times.values().iter().map(|&time| clock.local(time)).collect::<Vec<_>>().into(),
    }
}

/// Rows by the slices of their times, in the order of the slices' ends; `None` for all rows.
pub(super) fn partition(times: &[i64], windows: &Windows) -> Vec<(Window, Option<UInt32Array>)> {
    if times.is_empty() {
        return Vec::new();
    }
    let (first, last) = reach(times.iter().copied(), windows);
    if first.start == last.start {
        return vec![(first, None)];
    }
    let mut parts = Vec::new();
    halve(times, (0..times.len() as u32).collect(), (first, last), windows, &mut parts);
    parts.into_iter().map(|(slice, rows)| (slice, Some(rows.into()))).collect()
}

/// Halves rows that are in slices `first` to `last`, by their times, until each part is in one slice. Most batches reach over two or three
/// slices, between which rows out of order go back and forth: halving has no branch for a processor to guess.
fn halve(
    times: &[i64],
    rows: Vec<u32>,
    (first, last): (Window, Window),
    windows: &Windows,
    parts: &mut Vec<(Window, Vec<u32>)>,
) {
    let middle = windows.slice_of(i64::midpoint(first.start, last.start - 1));
    let half = middle.end.min(last.start);
    let (mut left, mut right) = (vec![0; rows.len()], vec![0; rows.len()]);
    let (mut lefts, mut rights) = (0, 0);
    for &row in &rows {
        let is_left = times[row as usize] < half;
        left[lefts] = row;
        right[rights] = row;
        lefts += usize::from(is_left);
        rights += usize::from(!is_left);
    }
    left.truncate(lefts);
    right.truncate(rights);
    for (rows, first, last) in [(left, first, middle), (right, windows.slice_of(half), last)] {
        if first.start == last.start && !rows.is_empty() {
            parts.push((first, rows));
        } else if !rows.is_empty() {
            match reach(rows.iter().map(|&row| times[row as usize]), windows) {
                (first, last) if first.start == last.start => parts.push((first, rows)),
                slices => halve(times, rows, slices, windows, parts),
            }
        }
    }
}

/// The first and the last slice of some times.
fn reach(times: impl Iterator<Item = i64>, windows: &Windows) -> (Window, Window) {
    let (least, greatest) =
        times.fold((i64::MAX, i64::MIN), |(least, greatest), time| (least.min(time), greatest.max(time)));
    (windows.slice_of(least), windows.slice_of(greatest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_the_part_of_its_slice_whatever_its_time() {
        let year = 365 * 86_400_000;
        let near = (-25..25).map(|n| n * 7 % 23);
        let far = [-9 * year, 9 * year, 0, 1, -1, 40 * year, -40 * year, 9 * year + 1];
        for times in [near.collect::<Vec<i64>>(), far.to_vec(), vec![5, 5, 5], vec![]] {
            for size in [1, 2, 10, 1000, year] {
                let windows = Windows::tumble(size);
                let parts = partition(&times, &windows);
                assert!(parts.is_sorted_by(|(one, _), (next, _)| one.end < next.end), "{times:?} by {size}");
                let all: Vec<u32> = (0..times.len() as u32).collect();
                let mut seen = Vec::new();
                for (slice, rows) in parts {
                    let rows = rows.map_or(all.clone(), |rows| rows.values().to_vec());
                    assert!(rows.is_sorted(), "rows keep their order");
                    rows.iter().for_each(|&row| assert_eq!(windows.slice_of(times[row as usize]), slice));
                    seen.extend(rows);
                }
                seen.sort_unstable();
                assert_eq!(seen, all, "{times:?} by {size}");
            }
        }
    }

    #[test]
    fn times_at_the_limits_come_to_an_end() {
        let times = [i64::MIN, i64::MIN + 3, i64::MIN + 9, i64::MAX, i64::MAX - 3, 0];
        let rows: usize = partition(&times, &Windows::tumble(7))
            .iter()
            .map(|(_, rows)| rows.as_ref().map_or(6, UInt32Array::len))
            .sum();
        assert_eq!(rows, times.len());
    }
}
