//! State that has not been used for long is forgotten (Flink's `table.exec.state.ttl`).

use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::time::Duration;

use tidemill_state::EventTime;

use crate::window::Length;

/// How long state stays that is not used; it is forgotten some time later, but not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(pub Duration);

impl Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Length(self.0.as_millis() as i64))
    }
}

/// What has not been used for long, of things that have numbers. After a restart, all count as used just now.
///
/// Numbers are on lists, of which one is open. A list is closed at a barrier, when it has been open for a sixteenth of the time; what is on
/// none that is younger is due when the time is over. So nothing is on more than seventeen lists, however often it is used.
pub(super) struct Idle {
    time: i64,
    /// By number, the last list it is on.
    last: Vec<u32>,
    open: List,
    closed: VecDeque<(EventTime, List)>,
}

#[derive(Default)]
struct List {
    id: u32,
    since: Option<EventTime>,
    numbers: Vec<u32>,
}

impl Idle {
    pub fn new(Ttl(time): Ttl) -> Idle {
        let open = List { id: 1, ..List::default() };
        Idle {
            time: i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
            last: Vec::new(),
            open,
            closed: VecDeque::new(),
        }
    }

    pub fn used(&mut self, number: u32) {
        if self.last.len() <= number as usize {
            self.last.resize((number as usize + 1).next_power_of_two(), 0);
        }
        let last = &mut self.last[number as usize];
        if *last != self.open.id {
            *last = self.open.id;
            self.open.numbers.push(number);
        }
    }

    /// What is due at the barrier of this processing time, of which some may not be there any more.
    pub fn due(&mut self, now: EventTime) -> Vec<u32> {
        // The end of the input is no time.
        if now == EventTime::MAX {
            return Vec::new();
        }
        if !self.open.numbers.is_empty() {
            let since = *self.open.since.get_or_insert(now);
            if now.0 - since.0 >= self.time / 16 {
                let next = List { id: self.open.id.wrapping_add(1).max(1), ..List::default() };
                self.closed.push_back((now, std::mem::replace(&mut self.open, next)));
            }
        }
        let mut due = Vec::new();
        while let Some((closed, list)) =
            self.closed.pop_front_if(|(closed, _)| closed.0.saturating_add(self.time) <= now.0)
        {
            debug_assert!(closed <= now);
            due.extend(list.numbers.into_iter().filter(|&number| self.last[number as usize] == list.id));
        }
        due.iter().for_each(|&number| self.last[number as usize] = 0);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_again_stays() {
        let mut idle = Idle::new(Ttl(Duration::from_millis(160)));
        idle.used(3);
        idle.used(5);
        assert!(idle.due(EventTime(1000)).is_empty(), "the list is open");
        assert!(idle.due(EventTime(1010)).is_empty(), "it is closed");
        idle.used(3);
        assert!(idle.due(EventTime(1169)).is_empty());
        assert_eq!(idle.due(EventTime(1170)), [5]);
        assert!(idle.due(EventTime(1338)).is_empty(), "the next is closed");
        assert!(idle.due(EventTime(1497)).is_empty());
        assert_eq!(idle.due(EventTime(1498)), [3]);
        idle.used(5);
        assert!(idle.due(EventTime(5000)).is_empty(), "what comes back is new");
        assert!(idle.due(EventTime::MAX).is_empty());
    }

    #[test]
    fn nothing_is_on_many_lists() {
        let mut idle = Idle::new(Ttl(Duration::from_secs(10)));
        for time in 0..100_000 {
            idle.used(0);
            assert!(idle.due(EventTime(time * 10)).is_empty());
        }
        assert!(idle.closed.len() <= 17, "{} lists", idle.closed.len());
    }
}
