//! From slices to windows, incrementally: what is combined for one window serves the next.

use tidemill_state::EventTime;

use super::slices::{Part, Pool, Slice, Slices};
use crate::error::Result;
use crate::operators::aggregate::Groups;
use crate::window::{Shape, Window};

/// How the slices of a window are combined. Windows must be asked for in the order in which they close.
pub(super) enum Combine {
    /// A window is one slice.
    Whole,
    /// Cumulating: each window is the one before it and what has come since. What is combined so far counts as one slice.
    Growing { prefixes: Slices, max: i64 },
    /// Hopping, where all aggregates can be inverted: slices go in as the window reaches them, and out as it leaves them.
    Running { sum: Option<Groups>, window: Option<Window> },
    /// Hopping, where they cannot: two stacks (Tangwongsan et al., "General Incremental Sliding-Window Aggregation", PVLDB 2015).
    Stacks(Stacks),
    /// Hopping, where results depend on the order of rows: each window anew, the newest slice first as in Flink. Such results are lists
    /// or need one, so they cost their length in any case.
    Anew,
}

/// The slices of a window, the older in `front` and the newer in `back`. A slice is merged once into the back and at most once into the
/// front.
#[derive(Default)]
pub(super) struct Stacks {
    /// Per slice it and all newer ones up to `turned_at`; the oldest last.
    front: Vec<(Window, Groups)>,
    back: Option<Groups>,
    /// The end of the newest slice of the front.
    turned_at: i64,
    /// What came to slices of the front after they were put there.
    late: Slices,
    window: Option<Window>,
}

/// The answer for one window.
pub(super) enum Combined<'a> {
    Ready(&'a Groups),
    /// Made for this window, to be given back to the pool.
    Made(Box<Groups>),
}

impl Combined<'_> {
    fn made(groups: Groups) -> Self {
        Combined::Made(Box::new(groups))
    }
}

impl Combine {
    pub fn of(shape: Shape, pool: &mut Pool, is_ordered: bool) -> Result<Combine> {
        let groups = pool.take()?;
        let is_invertible = groups.is_invertible();
        pool.give_back(groups);
        Ok(match shape {
            Shape::Tumble { .. } => Combine::Whole,
            Shape::Cumulate { max, .. } => Combine::Growing { prefixes: Slices::default(), max },
            Shape::Hop { .. } if is_ordered => Combine::Anew,
            Shape::Hop { .. } if is_invertible => Combine::Running { sum: None, window: None },
            Shape::Hop { .. } => Combine::Stacks(Stacks::default()),
        })
    }

    /// Adds rows to what was combined already, if their slice is in it, so that later windows have them.
    pub fn add_late(&mut self, slice: Window, part: &Part, pool: &mut Pool) -> Result<Kept> {
        match self {
            Combine::Growing { prefixes, .. } => {
                if let Some((_, prefix)) = prefixes.0.iter_mut().find(|(prefix, _)| holds(**prefix, slice)) {
                    part.add_to(&mut prefix.groups)?;
                    return Ok(Kept::Elsewhere);
                }
            }
            Combine::Running { sum: Some(sum), window: Some(window) } if holds(*window, slice) => part.add_to(sum)?,
            Combine::Stacks(stacks) if stacks.window.is_some_and(|window| holds(window, slice)) => {
                let in_front = slice.end <= stacks.turned_at;
                match &mut stacks.back {
                    Some(back) if !in_front => part.add_to(back)?,
                    _ => part.add_to(stacks.late.get(slice, EventTime::MAX, pool)?)?,
                }
            }
            _ => {}
        }
        Ok(Kept::InSlice)
    }

    /// All rows of `window`. Drops the slices that no later window has.
    pub fn combine(&mut self, window: Window, slices: &mut Slices, pool: &mut Pool) -> Result<Combined<'_>> {
        match self {
            Combine::Whole => Ok(Combined::made(match slices.0.remove(&window) {
                Some(slice) => slice.groups,
                None => pool.take()?,
            })),
            Combine::Growing { prefixes, max } => {
                let begun = prefixes.0.keys().find(|prefix| prefix.start == window.start).copied();
                let (reached, mut groups) = match begun.and_then(|begun| prefixes.0.remove_entry(&begun)) {
                    Some((prefix, slice)) => (prefix.end, slice.groups),
                    None => (window.start, pool.take()?),
                };
                for (_, slice) in slices.within(Window { start: reached, end: window.end }) {
                    groups.absorb(slice)?;
                }
                while let Some(first) = slices.0.first_entry()
                    && first.key().end <= window.end
                {
                    pool.give_back(first.remove().groups);
                }
                if window.end - window.start == *max {
                    return Ok(Combined::made(groups));
                }
                let prefix = Slice { groups, closes: EventTime::MAX };
                Ok(Combined::Ready(&prefixes.0.entry(window).or_insert(prefix).groups))
            }
            Combine::Running { sum, window: former } => {
                let mut groups = match sum.take() {
                    Some(groups) => groups,
                    None => pool.take()?,
                };
                let former = former.replace(window).filter(|former| former.end > window.start);
                let reached = match former {
                    Some(former) => {
                        for (_, leaving) in slices.within(former).take_while(|(slice, _)| slice.start < window.start) {
                            groups.take_out(leaving)?;
                        }
                        former.end
                    }
                    None => {
                        groups.clear();
                        i64::MIN
                    }
                };
                for (_, entering) in slices.within_after(reached, window) {
                    groups.absorb(entering)?;
                }
                slices.drop_before(window.start, pool);
                Ok(Combined::Ready(sum.insert(groups)))
            }
            Combine::Stacks(stacks) => stacks.combine(window, slices, pool).map(Combined::made),
            Combine::Anew => {
                let mut groups = pool.take()?;
                for (_, slice) in slices.within(window).rev() {
                    groups.absorb(slice)?;
                }
                slices.drop_before(window.start, pool);
                Ok(Combined::made(groups))
            }
        }
    }

    /// What is combined of windows that still grow, and in no slice any more.
    pub fn prefixes(&self) -> impl Iterator<Item = Window> {
        let prefixes = match self {
            Combine::Growing { prefixes, .. } => Some(prefixes),
            _ => None,
        };
        prefixes.into_iter().flat_map(|prefixes| prefixes.0.keys().copied())
    }

    /// The same, for snapshots; all else is made again from slices.
    pub fn prefixes_mut(&mut self) -> Option<&mut Slices> {
        match self {
            Combine::Growing { prefixes, .. } => Some(prefixes),
            _ => None,
        }
    }

    /// Forgets what was combined, as no window is under way.
    pub fn rest(&mut self, slices: &mut Slices, pool: &mut Pool) {
        match self {
            Combine::Whole | Combine::Growing { .. } | Combine::Anew => {}
            Combine::Running { sum, window } => {
                sum.take().into_iter().for_each(|groups| pool.give_back(groups));
                *window = None;
            }
            Combine::Stacks(stacks) => *stacks = Stacks::default(),
        }
        slices.drop_before(i64::MAX, pool);
    }
}

/// Where late rows went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// They must still be added to their slice.
    InSlice,
    /// The slice itself is no longer needed.
    Elsewhere,
}

fn holds(window: Window, slice: Window) -> bool {
    window.start <= slice.start && slice.end <= window.end
}

impl Stacks {
    fn combine(&mut self, window: Window, slices: &mut Slices, pool: &mut Pool) -> Result<Groups> {
        let former = self.window.replace(window).filter(|former| former.end > window.start);
        if former.is_none() {
            self.front.drain(..).for_each(|(_, groups)| pool.give_back(groups));
            self.turned_at = i64::MIN;
        }
        while let Some((oldest, _)) = self.front.last()
            && oldest.start < window.start
        {
            self.front.pop().into_iter().for_each(|(_, groups)| pool.give_back(groups));
        }
        self.late.drop_before(window.start, pool);
        slices.drop_before(window.start, pool);
        if self.front.is_empty() {
            // Turn over: all slices of the window go to the front, each with the newer ones merged in.
            let mut front: Vec<(Window, Groups)> = Vec::new();
            for (slice, groups) in slices.within(window).rev() {
                let mut suffix = pool.take()?;
                suffix.absorb(groups)?;
                if let Some((_, newer)) = front.last() {
                    suffix.absorb(newer)?;
                }
                front.push((*slice, suffix));
            }
            self.front = front;
            self.turned_at = window.end;
            self.late.drop_before(i64::MAX, pool);
            self.back.take().into_iter().for_each(|groups| pool.give_back(groups));
        } else {
            let reached = former.map_or(i64::MIN, |former| former.end);
            let mut back = match self.back.take() {
                Some(back) => back,
                None => pool.take()?,
            };
            for (_, entering) in slices.within_after(reached.max(self.turned_at), window) {
                back.absorb(entering)?;
            }
            self.back = Some(back);
        }
        let mut whole = pool.take()?;
        let front = self.front.last().map(|(_, groups)| groups);
        let late = self.late.within(window).map(|(_, groups)| groups);
        for groups in front.into_iter().chain(&self.back).chain(late) {
            whole.absorb(groups)?;
        }
        Ok(whole)
    }
}
