//! Decides when epochs begin and end. Performs no I/O and reads no clock: feed it what happened, do what it says.
//!
//! An epoch ends as soon as every source that has read something has caught up with its input, so that a trickle of rows is
//! answered at once; under load it ends after the epoch interval. One barrier is under way at a time: slow sinks make epochs
//! longer, not more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tidemill_state::{Epoch, EventTime};

use crate::message::Barrier;

/// One task of a job, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub usize);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The time of the last [`Action::WakeAt`] has come.
    Tick,
    /// A source has read its first rows since the last barrier.
    Active(TaskId),
    /// A source has read all there is for now.
    CaughtUp(TaskId),
    /// A task has passed the barrier of this epoch on.
    Acknowledged(TaskId, Epoch),
    /// A task has ended in good order.
    Finished(TaskId),
}

/// What to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand this barrier to every source that still runs, with the time at which that happens.
    InjectBarrier(Barrier),
    /// Send [`Signal::Tick`] then. The last one counts.
    WakeAt(Instant),
    /// Every task has passed the barrier: the epoch is complete at the sinks.
    EpochComplete(Epoch),
    /// All tasks have ended.
    Finish,
}

pub struct Coordinator {
    interval: Duration,
    running: BTreeSet<TaskId>,
    sources: BTreeMap<TaskId, Progress>,
    epoch: Epoch,
    /// Tasks that have not passed the barrier under way.
    outstanding: Option<BTreeSet<TaskId>>,
    /// When the open epoch ends at the latest; set by its first rows.
    deadline: Option<Instant>,
    /// When the open epoch ends at the earliest.
    earliest: Option<Instant>,
    clock: Option<Clock>,
}

/// Epochs end in this rhythm also while nothing is read, because an operator goes by processing time.
struct Clock {
    every: Duration,
    next: Option<Instant>,
}

/// How long an epoch lasts at least, so that a source that has caught up again and again while its next rows are being decoded does
/// not spend its time on barriers. The first rows after a pause do not wait.
const EPOCH_MIN: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Quiet,
    Reading,
    CaughtUp,
}

impl Coordinator {
    /// A job of these tasks, of which `sources` read tables.
    pub fn new(
        tasks: impl IntoIterator<Item = TaskId>,
        sources: impl IntoIterator<Item = TaskId>,
        interval: Duration,
    ) -> Coordinator {
        Coordinator {
            interval,
            running: tasks.into_iter().collect(),
            sources: sources.into_iter().map(|task| (task, Progress::Quiet)).collect(),
            epoch: Epoch(0),
            outstanding: None,
            deadline: None,
            earliest: None,
            clock: None,
        }
    }

    /// The same, with barriers `every` so often even if nothing is read: they carry processing time.
    pub fn with_clock(mut self, every: Duration) -> Coordinator {
        self.clock = Some(Clock { every, next: None });
        self
    }

    /// Advances the protocol by one signal.
    pub fn step(&mut self, signal: Signal, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match signal {
            Signal::Tick => {}
            Signal::Active(task) => {
                self.progress(task, Progress::Reading);
                self.deadline.get_or_insert(now + self.interval);
            }
            Signal::CaughtUp(task) => self.progress(task, Progress::CaughtUp),
            Signal::Acknowledged(task, epoch) => {
                debug_assert_eq!(epoch, self.epoch, "one barrier is under way at a time");
                self.passed(task);
            }
            Signal::Finished(task) => {
                self.running.remove(&task);
                self.sources.remove(&task);
                self.passed(task);
            }
        }
        if let Some(clock) = &mut self.clock {
            clock.next.get_or_insert(now + clock.every);
        }
        if self.outstanding.as_ref().is_some_and(BTreeSet::is_empty) {
            self.outstanding = None;
            actions.push(Action::EpochComplete(self.epoch));
        }
        if self.running.is_empty() {
            actions.push(Action::Finish);
        } else if self.outstanding.is_none() {
            match self.due() {
                Some(due) if due <= now => actions.push(Action::InjectBarrier(self.begin_barrier(now))),
                Some(due) => actions.push(Action::WakeAt(due)),
                None => {}
            }
        }
        actions
    }

    fn progress(&mut self, task: TaskId, progress: Progress) {
        if let Some(known) = self.sources.get_mut(&task) {
            *known = progress;
        }
    }

    fn passed(&mut self, task: TaskId) {
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.remove(&task);
        }
    }

    /// When the open epoch is to end; `None` while nothing has been read in it and no clock ticks.
    fn due(&self) -> Option<Instant> {
        let tick = self.clock.as_ref().and_then(|clock| clock.next);
        self.work_due().into_iter().chain(tick).min()
    }

    fn work_due(&self) -> Option<Instant> {
        let deadline = self.deadline?;
        let mut active = self.sources.values().filter(|progress| **progress != Progress::Quiet).peekable();
        active.peek()?;
        match active.all(|progress| *progress == Progress::CaughtUp) {
            true => Some(self.earliest.map_or(deadline - self.interval, |earliest| earliest.min(deadline))),
            false => Some(deadline),
        }
    }

    fn begin_barrier(&mut self, now: Instant) -> Barrier {
        self.epoch = self.epoch.next();
        self.deadline = None;
        self.earliest = Some(now + EPOCH_MIN);
        if let Some(clock) = &mut self.clock {
            clock.next = Some(now + clock.every);
        }
        self.sources.values_mut().for_each(|progress| *progress = Progress::Quiet);
        self.outstanding = Some(self.running.clone());
        Barrier { epoch: self.epoch, time: EventTime::MIN, checkpoint: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: TaskId = TaskId(0);
    const OTHER_SOURCE: TaskId = TaskId(1);
    const SINK: TaskId = TaskId(2);
    const INTERVAL: Duration = Duration::from_millis(100);

    fn coordinator() -> (Coordinator, Instant) {
        let tasks = [SOURCE, OTHER_SOURCE, SINK];
        (Coordinator::new(tasks, [SOURCE, OTHER_SOURCE], INTERVAL), Instant::now())
    }

    fn barrier(epoch: u64) -> Action {
        Action::InjectBarrier(Barrier { epoch: Epoch(epoch), time: EventTime::MIN, checkpoint: None })
    }

    #[test]
    fn a_source_that_has_caught_up_ends_the_epoch_at_once() {
        let (mut coordinator, now) = coordinator();
        assert_eq!(coordinator.step(Signal::Active(SOURCE), now), [Action::WakeAt(now + INTERVAL)]);
        assert_eq!(coordinator.step(Signal::CaughtUp(SOURCE), now), [barrier(1)]);
    }

    #[test]
    fn under_load_the_epoch_ends_after_the_interval() {
        let (mut coordinator, now) = coordinator();
        coordinator.step(Signal::Active(SOURCE), now);
        coordinator.step(Signal::Active(OTHER_SOURCE), now);
        assert_eq!(coordinator.step(Signal::CaughtUp(OTHER_SOURCE), now), [Action::WakeAt(now + INTERVAL)]);
        assert_eq!(coordinator.step(Signal::Tick, now + INTERVAL / 2), [Action::WakeAt(now + INTERVAL)]);
        assert_eq!(coordinator.step(Signal::Tick, now + INTERVAL), [barrier(1)]);
    }

    #[test]
    fn the_next_barrier_waits_until_every_task_has_passed_this_one() {
        let (mut coordinator, now) = coordinator();
        coordinator.step(Signal::Active(SOURCE), now);
        coordinator.step(Signal::CaughtUp(SOURCE), now);
        coordinator.step(Signal::Active(SOURCE), now);
        assert_eq!(coordinator.step(Signal::CaughtUp(SOURCE), now), []);
        assert_eq!(coordinator.step(Signal::Acknowledged(SOURCE, Epoch(1)), now), []);
        assert_eq!(coordinator.step(Signal::Acknowledged(SINK, Epoch(1)), now), []);
        assert_eq!(
            coordinator.step(Signal::Finished(OTHER_SOURCE), now),
            [Action::EpochComplete(Epoch(1)), Action::WakeAt(now + EPOCH_MIN)],
            "a task that ended need not pass the barrier, and the next one follows after a moment"
        );
        assert_eq!(coordinator.step(Signal::Tick, now + EPOCH_MIN), [barrier(2)]);
    }

    #[test]
    fn a_clock_ends_epochs_in_which_nothing_is_read() {
        let (coordinator, now) = coordinator();
        let mut coordinator = coordinator.with_clock(INTERVAL);
        assert_eq!(coordinator.step(Signal::Tick, now), [Action::WakeAt(now + INTERVAL)]);
        assert_eq!(coordinator.step(Signal::Tick, now + INTERVAL), [barrier(1)]);
        for task in [SOURCE, OTHER_SOURCE] {
            coordinator.step(Signal::Acknowledged(task, Epoch(1)), now + INTERVAL);
        }
        assert_eq!(
            coordinator.step(Signal::Acknowledged(SINK, Epoch(1)), now + INTERVAL),
            [Action::EpochComplete(Epoch(1)), Action::WakeAt(now + 2 * INTERVAL)]
        );
    }

    #[test]
    fn the_job_finishes_with_its_last_task() {
        let (mut coordinator, now) = coordinator();
        assert_eq!(coordinator.step(Signal::Finished(SOURCE), now), []);
        assert_eq!(coordinator.step(Signal::Finished(OTHER_SOURCE), now), []);
        assert_eq!(coordinator.step(Signal::Finished(SINK), now), [Action::Finish]);
    }
}
