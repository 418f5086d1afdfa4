//! Rows by the slices that their times are in.

use std::borrow::Cow;
use std::collections::BTreeMap;

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
    let (Some(&least), Some(&greatest)) = (times.iter().min(), times.iter().max()) else { return Vec::new() };
    let (first, last) = (windows.slice_of(least), windows.slice_of(greatest));
    if first == last {
        return vec![(first, None)];
    }
    let (base, length) = (first.start, windows.slice_length());
    let slices = (last.start.saturating_sub(base)) / length + 1;
    let rows = |(slice, rows): (Window, Vec<u32>)| (slice, Some(UInt32Array::from(rows)));
    let (Ok(length), true) =
        (u32::try_from(length), slices <= NEAR && greatest.saturating_sub(base) < i64::from(u32::MAX))
    else {
        let mut parts: BTreeMap<Window, Vec<u32>> = BTreeMap::new();
        for (row, &time) in (0u32..).zip(times) {
            parts.entry(windows.slice_of(time)).or_default().push(row);
        }
        return parts.into_iter().map(rows).collect();
    };
    // Slices next to each other have numbers: rows out of order, which go back and forth between two, cost no more than others.
    let numbers: Vec<u32> = times.iter().map(|&time| (time - base) as u32 / length).collect();
    let mut counts = vec![0; slices as usize];
    numbers.iter().for_each(|&number| counts[number as usize] += 1);
    let mut parts: Vec<Vec<u32>> = counts.iter().map(|&count| Vec::with_capacity(count)).collect();
    (0u32..).zip(&numbers).for_each(|(row, &number)| parts[number as usize].push(row));
    let slice = |number: i64| {
        let start = base + number * i64::from(length);
        Window { start, end: start + i64::from(length) }
    };
    let parts = (0i64..).zip(parts).filter(|(_, rows)| !rows.is_empty());
    parts.map(|(number, part)| rows((slice(number), part))).collect()
}

/// How many slices a batch may span to have them numbered.
const NEAR: i64 = 4096;
