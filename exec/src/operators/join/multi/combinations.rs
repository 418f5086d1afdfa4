//! Which combinations of rows have changed, one row of each input, and how often each is there.
//!
//! A combination is there as often as its rows together: the product of their weights, before the changes and now. Those that may have
//! changed are found input by input. A combination of the first inputs that has changed goes on with all rows of the next one; one that has
//! not only if a later input has changes, and at the last such input with the rows that changed alone. So each combination that has
//! changed is met once, and of the others only those that begin one. Where nothing of a group can come out, as an input has no row of it, none is.
//!
//! Combinations are columns of row numbers, and at most [`PIECE_ROWS`] of each length are there at a time: when so many of the first n
//! inputs are found, they are judged by the condition and followed to their ends before the next are looked for.

use arrow::array::{Array, BooleanArray};

use crate::error::{Error, Result};
use crate::operators::aggregate::PIECE_ROWS;
use crate::operators::join::condition::Condition;
use crate::operators::join::groups::Groups;
use crate::operators::join::side::{NONE, Side};

/// How an input is joined with those before it.
pub(super) struct Step {
    pub outer: bool,
    pub joined_by: Vec<usize>,
    pub condition: Option<Condition>,
}

/// A row of each of the first inputs; by place.
#[derive(Default)]
pub(super) struct Combinations {
    /// The rank of the group; [`NONE`] if the key equals nothing.
    pub ranks: Vec<u32>,
    /// By input; [`NONE`] where nothing has matched.
    pub rows: Vec<Vec<u32>>,
    /// How often it was there, and how often it is.
    pub before: Vec<i64>,
    pub now: Vec<i64>,
    /// It changes as half of an update.
    pub is_update: Vec<bool>,
}

/// Rows that have changed.
struct Changed {
    /// By input, rows with the ranks of their groups, in the order of these.
    rows: Vec<Vec<(u32, u32)>>,
    /// By rank, one more than the last input with such rows, or 0.
    until: Vec<usize>,
}

/// Calls `found` with combinations that have changed, those of a group behind each other, in the order in which groups were touched.
pub(super) fn each_change(
    sides: &[Side],
    groups: &Groups,
    steps: &[Step],
    found: impl FnMut(Combinations) -> Result<()>,
) -> Result<()> {
    let changed = Changed::of(sides, groups);
    // Nothing yet, once per group of which something may come out.
    let mut start = Combinations::default();
    for (rank, &group) in (0u32..).zip(groups.touched()) {
        let is_possible = || sides.iter().zip(steps).all(|(side, step)| step.outer || side.has_group(group));
        if changed.until[rank as usize] > 0 && is_possible() {
            start.push(rank, [], 1, 1, false);
        }
    }
    Search { sides, groups, steps, changed: &changed, found }.join(0, start)
}

struct Search<'a, F> {
    sides: &'a [Side],
    groups: &'a Groups,
    steps: &'a [Step],
    changed: &'a Changed,
    found: F,
}

impl<F: FnMut(Combinations) -> Result<()>> Search<'_, F> {
    /// Joins combinations of the inputs before `input` with it, and with all that follow.
    fn join(&mut self, input: usize, from: Combinations) -> Result<()> {
        if from.is_empty() {
            return Ok(());
        }
        let (sides, groups, steps, changed) = (self.sides, self.groups, self.steps, self.changed);
        let Some(step) = steps.get(input) else { return (self.found)(from) };
        let side = &sides[input];
        let (mut to, mut judged) = (Combinations::of(input + 1), 0);
        for n in 0..from.len() {
            let (rank, was, is) = (from.ranks[n], from.before[n], from.now[n]);
            let group = groups.touched()[rank as usize];
            // Whether something may change by the inputs that follow.
            let goes_on = changed.until[rank as usize] > input + 1;
            let is_wanted = |was: i64, is: i64| was != is || goes_on && was != 0;
            let is_joined = step.joined_by.iter().all(|&by| from.rows[by][n] != NONE);
            let partners = match is_joined {
                true if was != is || goes_on => Partners::All(side, side.first_of(group)),
                true => Partners::Some(changed.of_group(input, rank).iter()),
                false => Partners::Some([].iter()),
            };
            for partner in partners {
                let (row_was, row_is, row_is_update) = side.change_of(partner);
                let (was, is) = (times(was, row_was)?, times(is, row_is)?);
                if is_wanted(was, is) {
                    to.push(rank, from.at(n).chain([partner]), was, is, from.is_update[n] || row_is_update);
                    self.follow(input, &mut to, &mut judged)?;
                }
            }
            if step.outer {
                let had = is_joined && groups.total_before(group, input) != 0;
                let has = is_joined && groups.total(group, input) != 0;
                let (was, is) = (if had { 0 } else { was }, if has { 0 } else { is });
                if is_wanted(was, is) {
                    // What comes in place of a match is no half of an update.
                    let is_update = from.is_update[n] && !had && !has;
                    to.push(rank, from.at(n).chain([NONE]), was, is, is_update);
                    self.follow(input, &mut to, &mut judged)?;
                }
            }
        }
        self.judge(input, &mut to, judged)?;
        self.join(input + 1, to)
    }

    /// Follows combinations to their ends if they are many enough, of which the first `judged` fulfil the condition.
    fn follow(&mut self, input: usize, to: &mut Combinations, judged: &mut usize) -> Result<()> {
        if to.len() < PIECE_ROWS {
            return Ok(());
        }
        self.judge(input, to, *judged)?;
        *judged = to.len();
        // Few may be left, which wait for more.
        if *judged > PIECE_ROWS / 2 {
            *judged = 0;
            let full = std::mem::replace(to, Combinations::of(input + 1));
            self.join(input + 1, full)?;
        }
        Ok(())
    }

    /// Keeps those that fulfil the condition; the first `judged` do.
    fn judge(&self, input: usize, combinations: &mut Combinations, judged: usize) -> Result<()> {
        let Some(condition) = &self.steps[input].condition else { return Ok(()) };
        let count = combinations.len() - judged;
        if count == 0 {
            return Ok(());
        }
        let holds = condition.holds(self.sides, |input| combinations.rows[input][judged..].to_vec(), count)?;
        combinations.retain(judged, &holds);
        Ok(())
    }
}

/// How often two are there together.
fn times(a: i64, b: i64) -> Result<i64> {
    a.checked_mul(b).ok_or_else(|| {
        Error::new("rows come out of a join more often than can be counted")
            .why("each is there as often as all the rows it is made of, multiplied")
            .fix("make the rows of its inputs distinct, or aggregate them before the join")
    })
}

/// Rows of an input, for one combination.
enum Partners<'a> {
    /// Those of a group from this one on.
    All(&'a Side, Option<u32>),
    Some(std::slice::Iter<'a, (u32, u32)>),
}

impl Iterator for Partners<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Partners::All(side, next) => {
                let row = (*next)?;
                *next = side.next_of(row);
                Some(row)
            }
            Partners::Some(rows) => rows.next().map(|(_, row)| *row),
        }
    }
}

impl Changed {
    fn of(sides: &[Side], groups: &Groups) -> Changed {
        let mut until = vec![0; groups.touched().len()];
        let mut rows = Vec::with_capacity(sides.len());
        for (input, side) in sides.iter().enumerate() {
            let mut changed = Vec::with_capacity(side.touched().len());
            for touched in side.touched() {
                let row = side.row(touched.row);
                if row.group != NONE && row.weight != touched.weight {
                    let rank = groups.rank(row.group);
                    until[rank as usize] = input + 1;
                    changed.push((rank, touched.row));
                }
            }
            changed.sort_by_key(|(rank, _)| *rank);
            rows.push(changed);
        }
        Changed { rows, until }
    }

    fn of_group(&self, input: usize, rank: u32) -> &[(u32, u32)] {
        let rows = &self.rows[input];
        let start = rows.partition_point(|(of, _)| *of < rank);
        let count = rows[start..].partition_point(|(of, _)| *of == rank);
        &rows[start..start + count]
    }
}

impl Combinations {
    pub fn of(inputs: usize) -> Combinations {
        Combinations { rows: vec![Vec::new(); inputs], ..Combinations::default() }
    }

    pub fn len(&self) -> usize {
        self.ranks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty()
    }

    fn at(&self, n: usize) -> impl Iterator<Item = u32> {
        self.rows.iter().map(move |rows| rows[n])
    }

    pub fn push(&mut self, rank: u32, rows: impl IntoIterator<Item = u32>, before: i64, now: i64, is_update: bool) {
        self.ranks.push(rank);
        self.rows.iter_mut().zip(rows).for_each(|(column, row)| column.push(row));
        self.before.push(before);
        self.now.push(now);
        self.is_update.push(is_update);
    }

    pub fn extend(&mut self, other: Combinations) {
        self.ranks.extend(other.ranks);
        self.rows.iter_mut().zip(other.rows).for_each(|(rows, others)| rows.extend(others));
        self.before.extend(other.before);
        self.now.extend(other.now);
        self.is_update.extend(other.is_update);
    }

    /// Without the first `count`.
    pub fn drop_first(&mut self, count: usize) {
        self.ranks.drain(..count);
        self.rows.iter_mut().for_each(|rows| drop(rows.drain(..count)));
        self.before.drain(..count);
        self.now.drain(..count);
        self.is_update.drain(..count);
    }

    /// Of those from `start` on only where `keep` is true.
    fn retain(&mut self, start: usize, keep: &BooleanArray) {
        let keep: Vec<usize> =
            (0..keep.len()).filter(|&n| keep.is_valid(n) && keep.value(n)).map(|n| start + n).collect();
        fn compact<T: Copy>(values: &mut Vec<T>, start: usize, keep: &[usize]) {
            keep.iter().zip(start..).for_each(|(&from, to)| values[to] = values[from]);
            values.truncate(start + keep.len());
        }
        compact(&mut self.ranks, start, &keep);
        self.rows.iter_mut().for_each(|rows| compact(rows, start, &keep));
        compact(&mut self.before, start, &keep);
        compact(&mut self.now, start, &keep);
        compact(&mut self.is_update, start, &keep);
    }
}
