//! Decides when epochs begin and end. Performs no I/O and reads no clock: feed it what happened, do what it says.
//!
//! An epoch ends as soon as every source that has read something has caught up with its input, so that a trickle of rows is
//! answered at once; under load it ends after the epoch interval, or later if barriers take long. One barrier is under way at a time: slow sinks make epochs
//! longer, not more of them.
//!
//! Some barriers are checkpoints too: one at a time, in their own rhythm, and only if something was read since the last. The job ends
//! with one, so that what sinks have prepared is committed; so does a job that is told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tidemill_state::{CheckpointId, Epoch, EventTime};

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
    /// A source has read all that was there when the job began.
    ReadBacklog(TaskId),
    /// A task has no memory for more of this epoch.
    WantsBarrier(Epoch),
    /// A task has passed the barrier of this epoch on.
    Acknowledged(TaskId, Epoch),
    /// A task has ended in good order.
    Finished(TaskId),
    /// The checkpoint is there, or will never be.
    CheckpointEnded(CheckpointId),
    /// The job is to take a last checkpoint and end where it is.
    Stop,
    /// The job is to end as if its sources had, and keep its last checkpoint.
    Drain,
}

/// What to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand this barrier to every source that still runs, with the time at which that happens.
    InjectBarrier(Barrier),
    /// Send [`Signal::Tick`] then. The last one counts.
    WakeAt(Instant),
    /// Have all sources come to their ends.
    EndSources,
    /// Every task has passed the barrier: the epoch is complete at the sinks.
    EpochComplete(Epoch),
    /// The epoch is the first that has all that was there when the job began.
    CaughtUp(Epoch),
    /// Every task has handed over its state as of this checkpoint, or has ended: write it down, by then at the latest. Send
    /// [`Signal::CheckpointEnded`] when that is done, or has failed.
    Publish(CheckpointId, Instant),
    /// All tasks have ended.
    Finish,
}

/// When checkpoints are taken.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    pub interval: Duration,
    /// Between the end of one and the beginning of the next, at least.
    pub min_pause: Duration,
    /// Longer than this none may take.
    pub timeout: Duration,
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
    /// When the open epoch began, with the barrier before it.
    began: Option<Instant>,
    /// How long it lasts at least.
    least: Duration,
    /// When it ends at the earliest.
    earliest: Option<Instant>,
    /// How long the last barrier took to pass all tasks.
    took: Duration,
    clock: Option<Clock>,
    backlog: Backlog,
    checkpoints: Option<Checkpoints>,
    is_drained: bool,
    /// When it was told to stop.
    stopping: Option<Instant>,
    /// The checkpoint that the barrier under way is.
    checkpoint: Option<CheckpointId>,
}

struct Checkpoints {
    rhythm: Rhythm,
    next: CheckpointId,
    /// Not before this.
    earliest: Instant,
    /// There is something in the job that the last one lacks.
    is_due: bool,
    under_way: Option<UnderWay>,
    /// Nothing follows it.
    is_last_taken: bool,
}

/// Whether the job has read what was there when it began.
enum Backlog {
    /// Nobody asks.
    Unknown,
    /// These sources have not read it.
    Unread(BTreeSet<TaskId>),
    /// The next barrier is behind it.
    Read,
    /// This epoch is the first behind it.
    In(Epoch),
}

struct UnderWay {
    checkpoint: CheckpointId,
    deadline: Instant,
}

/// Epochs end in this rhythm also while nothing is read, because an operator goes by processing time.
struct Clock {
    every: Duration,
    next: Option<Instant>,
}

/// How long an epoch lasts at least. The first rows after a pause do not wait.
const EPOCH_MIN: Duration = Duration::from_millis(1);

/// The same where all results wait for event time to pass.
pub(crate) const PATIENT_EPOCH_MIN: Duration = Duration::from_millis(10);

/// How long it lasts in terms of what the barrier before took to pass all tasks, so that a source that has caught up again and again while
/// its next rows are being decoded does not spend its time on barriers.
const EPOCH_PER_BARRIER: u32 = 4;

/// The same under load, where nobody waits for a certain row: results that change again and again are told less often if telling takes long. But
/// not less often than each so many intervals.
const LOADED_EPOCH_PER_BARRIER: u32 = 10;
const INTERVALS_MAX: u32 = 10;

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
            began: None,
            least: EPOCH_MIN,
            earliest: None,
            took: Duration::ZERO,
            clock: None,
            backlog: Backlog::Unknown,
            checkpoints: None,
            is_drained: false,
            stopping: None,
            checkpoint: None,
        }
    }

    /// The same, with checkpoints, counted from `first`.
    pub fn with_checkpoints(mut self, rhythm: Rhythm, first: CheckpointId, now: Instant) -> Coordinator {
        self.checkpoints = Some(Checkpoints {
            rhythm,
            next: first,
            earliest: now + rhythm.interval,
            is_due: false,
            under_way: None,
            is_last_taken: false,
        });
        self
    }

    /// The same for a job whose results all wait for event time to pass.
    pub fn patient(self) -> Coordinator {
        Coordinator { least: PATIENT_EPOCH_MIN, ..self }
    }

    /// The same, with barriers `every` so often even if nothing is read: they carry processing time.
    pub fn with_clock(mut self, every: Duration) -> Coordinator {
        self.clock = Some(Clock { every, next: None });
        self
    }

    /// The same, which says when these sources have read what was there when the job began. Then an epoch ends, also if nothing was.
    pub fn with_backlog(mut self, sources: impl IntoIterator<Item = TaskId>) -> Coordinator {
        self.backlog = Backlog::Unread(sources.into_iter().collect());
        self
    }

    /// Nothing is read any more: the checkpoint under way is the last.
    pub fn is_ending(&self) -> bool {
        self.is_last_taken()
    }

    /// It was told to end before its input had.
    pub fn was_stopped(&self) -> bool {
        self.stopping.is_some() || self.is_drained
    }

    /// Advances the protocol by one signal.
    pub fn step(&mut self, signal: Signal, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match signal {
            Signal::Tick => {}
            Signal::Active(task) => {
                self.progress(task, Progress::Reading);
                self.checkpoints.iter_mut().for_each(|checkpoints| checkpoints.is_due = true);
                let interval =
                    (self.took * LOADED_EPOCH_PER_BARRIER).clamp(self.interval, self.interval * INTERVALS_MAX);
                self.deadline.get_or_insert(now + interval);
            }
            Signal::CaughtUp(task) => self.progress(task, Progress::CaughtUp),
            Signal::ReadBacklog(task) => self.has_read_backlog(task),
            Signal::WantsBarrier(epoch) if epoch == self.epoch.next() => self.deadline = Some(now),
            // The barrier that ends it is under way.
            Signal::WantsBarrier(_) => {}
            Signal::Acknowledged(task, epoch) => {
                debug_assert_eq!(epoch, self.epoch, "one barrier is under way at a time");
                self.passed(task);
            }
            Signal::Finished(task) => {
                self.running.remove(&task);
                self.sources.remove(&task);
                self.has_read_backlog(task);
                self.passed(task);
            }
            Signal::CheckpointEnded(ended) => {
                if let Some(checkpoints) = &mut self.checkpoints
                    && checkpoints.under_way.take_if(|under_way| under_way.checkpoint == ended).is_some()
                {
                    checkpoints.earliest = checkpoints.earliest.max(now + checkpoints.rhythm.min_pause);
                }
            }
            Signal::Stop => drop(self.stopping.get_or_insert(now)),
            Signal::Drain => {
                self.is_drained = true;
                actions.push(Action::EndSources);
            }
        }
        if let Some(clock) = &mut self.clock {
            clock.next.get_or_insert(now + clock.every);
        }
        if self.outstanding.as_ref().is_some_and(BTreeSet::is_empty) {
            self.outstanding = None;
            if let Some(began) = self.began {
                self.took = now - began;
                self.earliest = Some(began + self.least.max(self.took * EPOCH_PER_BARRIER));
            }
            actions.push(Action::EpochComplete(self.epoch));
            if let Backlog::In(epoch) = self.backlog {
                actions.push(Action::CaughtUp(epoch));
                self.backlog = Backlog::Unknown;
            }
            if let Some(barrier) = self.checkpoint.take()
                && let Some(UnderWay { deadline, .. }) =
                    self.checkpoints.as_ref().and_then(|all| all.under_way.as_ref())
            {
                actions.push(Action::Publish(barrier, *deadline));
            }
        }
        if self.running.is_empty() {
            actions.extend(self.end(now));
        } else if self.outstanding.is_none() && !self.is_last_taken() {
            match self.due(now) {
                Some(due) if due <= now => actions.push(Action::InjectBarrier(self.begin_barrier(now))),
                Some(due) => actions.push(Action::WakeAt(due)),
                None => {}
            }
        }
        actions
    }

    /// All tasks have ended: what has come since the last checkpoint needs one more.
    fn end(&mut self, now: Instant) -> Option<Action> {
        match &mut self.checkpoints {
            None => Some(Action::Finish),
            Some(checkpoints) if checkpoints.under_way.is_some() => None,
            Some(checkpoints) if checkpoints.is_last_taken => Some(Action::Finish),
            Some(checkpoints) => {
                checkpoints.is_last_taken = true;
                let checkpoint = checkpoints.begin(now);
                Some(Action::Publish(checkpoint, now + checkpoints.rhythm.timeout))
            }
        }
    }

    fn is_last_taken(&self) -> bool {
        self.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.is_last_taken)
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

    fn has_read_backlog(&mut self, task: TaskId) {
        if let Backlog::Unread(sources) = &mut self.backlog
            && sources.remove(&task)
            && sources.is_empty()
        {
            self.backlog = Backlog::Read;
        }
    }

    /// When the open epoch is to end; `None` while nothing has been read in it and no clock ticks.
    fn due(&self, now: Instant) -> Option<Instant> {
        let tick = self.clock.as_ref().and_then(|clock| clock.next);
        // Without sources nobody would carry the barrier; the job ends.
        let caught_up = (matches!(self.backlog, Backlog::Read) && !self.sources.is_empty()).then_some(now);
        self.work_due().into_iter().chain(tick).chain(self.checkpoint_due()).chain(caught_up).min()
    }

    fn checkpoint_due(&self) -> Option<Instant> {
        let checkpoints = self.checkpoints.as_ref().filter(|checkpoints| checkpoints.under_way.is_none())?;
        let in_rhythm = || (checkpoints.is_due || self.clock.is_some()).then_some(checkpoints.earliest);
        self.stopping.or_else(in_rhythm)
    }

    fn work_due(&self) -> Option<Instant> {
        let deadline = self.deadline.filter(|_| !self.sources.is_empty())?;
        let mut active = self.sources.values().filter(|progress| **progress != Progress::Quiet);
        // If there is none, who read something has ended since, and the others may have nothing to read for long.
        match active.all(|progress| *progress == Progress::CaughtUp) {
            true => Some(self.earliest.map_or(deadline - self.interval, |earliest| earliest.min(deadline))),
            false => Some(deadline),
        }
    }

    fn begin_barrier(&mut self, now: Instant) -> Barrier {
        self.epoch = self.epoch.next();
        self.deadline = None;
        self.began = Some(now);
        if let Some(clock) = &mut self.clock {
            clock.next = Some(now + clock.every);
        }
        self.sources.values_mut().for_each(|progress| *progress = Progress::Quiet);
        self.outstanding = Some(self.running.clone());
        if matches!(self.backlog, Backlog::Read) {
            self.backlog = Backlog::In(self.epoch);
        }
        let is_checkpoint = self.checkpoint_due().is_some_and(|due| due <= now);
        self.checkpoint = self.checkpoints.as_mut().filter(|_| is_checkpoint).map(|checkpoints| checkpoints.begin(now));
        let stops = self.stopping.is_some() && self.checkpoint.is_some();
        self.checkpoints.iter_mut().for_each(|checkpoints| checkpoints.is_last_taken |= stops);
        Barrier { epoch: self.epoch, time: EventTime::MIN, checkpoint: self.checkpoint, stops }
    }
}

impl Checkpoints {
    fn begin(&mut self, now: Instant) -> CheckpointId {
        let checkpoint = self.next;
        self.next = CheckpointId(checkpoint.0 + 1);
        self.earliest = now + self.rhythm.interval;
        self.is_due = false;
        self.under_way = Some(UnderWay { checkpoint, deadline: now + self.rhythm.timeout });
        checkpoint
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
        Action::InjectBarrier(Barrier { epoch: Epoch(epoch), time: EventTime::MIN, checkpoint: None, stops: false })
    }

    #[test]
    fn a_source_that_has_caught_up_ends_the_epoch_at_once() {
        let (mut coordinator, now) = coordinator();
        assert_eq!(coordinator.step(Signal::Active(SOURCE), now), [Action::WakeAt(now + INTERVAL)]);
        assert_eq!(coordinator.step(Signal::CaughtUp(SOURCE), now), [barrier(1)]);
    }

    #[test]
    fn the_first_epoch_behind_what_was_there_ends_even_if_that_was_nothing() {
        let (coordinator, now) = coordinator();
        let mut coordinator = coordinator.with_backlog([SOURCE, OTHER_SOURCE]);
        let pass = |coordinator: &mut Coordinator, epoch| {
            [SOURCE, OTHER_SOURCE, SINK]
                .into_iter()
                .flat_map(|task| coordinator.step(Signal::Acknowledged(task, Epoch(epoch)), now))
                .collect::<Vec<_>>()
        };
        assert_eq!(coordinator.step(Signal::ReadBacklog(SOURCE), now), []);
        coordinator.step(Signal::Active(OTHER_SOURCE), now);
        assert_eq!(coordinator.step(Signal::WantsBarrier(Epoch(1)), now), [barrier(1)]);
        // The barrier under way is before it.
        assert_eq!(coordinator.step(Signal::ReadBacklog(OTHER_SOURCE), now), []);
        assert_eq!(pass(&mut coordinator, 1), [Action::EpochComplete(Epoch(1)), barrier(2)]);
        assert_eq!(
            pass(&mut coordinator, 2),
            [Action::EpochComplete(Epoch(2)), Action::CaughtUp(Epoch(2))],
            "and it is said once"
        );
        coordinator.step(Signal::Active(SOURCE), now);
        coordinator.step(Signal::CaughtUp(SOURCE), now + INTERVAL);
        assert_eq!(pass(&mut coordinator, 3), [Action::EpochComplete(Epoch(3))]);
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
    fn under_load_an_epoch_is_longer_if_barriers_take_long() {
        for (took, interval) in [(INTERVAL / 20, INTERVAL), (INTERVAL / 5, 2 * INTERVAL), (9 * INTERVAL, 10 * INTERVAL)]
        {
            let (mut coordinator, now) = coordinator();
            coordinator.step(Signal::Active(SOURCE), now);
            assert_eq!(coordinator.step(Signal::Tick, now + INTERVAL), [barrier(1)]);
            let now = now + INTERVAL + took;
            for task in [SOURCE, OTHER_SOURCE, SINK] {
                coordinator.step(Signal::Acknowledged(task, Epoch(1)), now);
            }
            assert_eq!(coordinator.step(Signal::Active(SOURCE), now), [Action::WakeAt(now + interval)]);
        }
    }

    #[test]
    fn a_task_without_memory_ends_the_epoch_it_is_in() {
        let (mut coordinator, now) = coordinator();
        coordinator.step(Signal::Active(SOURCE), now);
        assert_eq!(coordinator.step(Signal::WantsBarrier(Epoch(1)), now), [barrier(1)]);
        coordinator.step(Signal::Active(SOURCE), now);
        for task in [SOURCE, OTHER_SOURCE] {
            coordinator.step(Signal::Acknowledged(task, Epoch(1)), now);
        }
        let late = coordinator.step(Signal::WantsBarrier(Epoch(1)), now);
        assert_eq!(late, [], "that epoch has ended meanwhile");
        assert_eq!(
            coordinator.step(Signal::Acknowledged(SINK, Epoch(1)), now),
            [Action::EpochComplete(Epoch(1)), Action::WakeAt(now + INTERVAL)]
        );
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
    fn barriers_that_take_long_come_less_often() {
        let (mut coordinator, now) = coordinator();
        let took = Duration::from_millis(3);
        coordinator.step(Signal::Active(SOURCE), now);
        coordinator.step(Signal::CaughtUp(SOURCE), now);
        coordinator.step(Signal::Active(SOURCE), now);
        coordinator.step(Signal::CaughtUp(SOURCE), now);
        for task in [SOURCE, OTHER_SOURCE] {
            coordinator.step(Signal::Acknowledged(task, Epoch(1)), now + took);
        }
        let next = now + took * EPOCH_PER_BARRIER;
        assert_eq!(
            coordinator.step(Signal::Acknowledged(SINK, Epoch(1)), now + took),
            [Action::EpochComplete(Epoch(1)), Action::WakeAt(next)]
        );
        assert_eq!(coordinator.step(Signal::Tick, next), [barrier(2)]);
    }

    #[test]
    fn a_patient_job_has_fewer_barriers() {
        let (coordinator, now) = coordinator();
        let mut coordinator = coordinator.patient();
        coordinator.step(Signal::Active(SOURCE), now);
        assert_eq!(coordinator.step(Signal::CaughtUp(SOURCE), now), [barrier(1)], "the first does not wait");
        for task in [SOURCE, OTHER_SOURCE, SINK] {
            coordinator.step(Signal::Acknowledged(task, Epoch(1)), now);
        }
        coordinator.step(Signal::Active(SOURCE), now);
        let next = now + PATIENT_EPOCH_MIN;
        assert_eq!(coordinator.step(Signal::CaughtUp(SOURCE), now), [Action::WakeAt(next)]);
        assert_eq!(coordinator.step(Signal::Tick, next), [barrier(2)]);
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
    fn what_a_source_has_read_that_has_ended_does_not_wait_for_others_to_read() {
        let (mut coordinator, now) = coordinator();
        assert_eq!(coordinator.step(Signal::Active(SOURCE), now), [Action::WakeAt(now + INTERVAL)]);
        assert_eq!(coordinator.step(Signal::Finished(SOURCE), now), [barrier(1)]);
        coordinator.step(Signal::Acknowledged(OTHER_SOURCE, Epoch(1)), now);
        assert_eq!(coordinator.step(Signal::Acknowledged(SINK, Epoch(1)), now), [Action::EpochComplete(Epoch(1))]);
    }

    #[test]
    fn the_job_finishes_with_its_last_task() {
        let (mut coordinator, now) = coordinator();
        assert_eq!(coordinator.step(Signal::Finished(SOURCE), now), []);
        assert_eq!(coordinator.step(Signal::Finished(OTHER_SOURCE), now), []);
        assert_eq!(coordinator.step(Signal::Finished(SINK), now), [Action::Finish]);
    }
    fn with_checkpoints() -> (Coordinator, Instant) {
        let (coordinator, now) = coordinator();
        let rhythm = Rhythm { interval: 10 * INTERVAL, min_pause: INTERVAL, timeout: 100 * INTERVAL };
        (coordinator.with_checkpoints(rhythm, CheckpointId(7), now), now)
    }

    fn checkpoint(epoch: u64, checkpoint: u64, stops: bool) -> Action {
        let checkpoint = Some(CheckpointId(checkpoint));
        Action::InjectBarrier(Barrier { epoch: Epoch(epoch), time: EventTime::MIN, checkpoint, stops })
    }

    fn pass(coordinator: &mut Coordinator, epoch: u64, now: Instant) -> Vec<Action> {
        let tasks = [SOURCE, OTHER_SOURCE, SINK];
        tasks.into_iter().flat_map(|task| coordinator.step(Signal::Acknowledged(task, Epoch(epoch)), now)).collect()
    }

    #[test]
    fn a_barrier_is_a_checkpoint_when_one_is_due_and_something_was_read() {
        let (mut coordinator, now) = with_checkpoints();
        coordinator.step(Signal::Active(SOURCE), now);
        assert_eq!(coordinator.step(Signal::CaughtUp(SOURCE), now), [barrier(1)]);
        let due = now + 10 * INTERVAL;
        assert_eq!(pass(&mut coordinator, 1, now), [Action::EpochComplete(Epoch(1)), Action::WakeAt(due)]);
        assert_eq!(coordinator.step(Signal::Tick, due), [checkpoint(2, 7, false)]);
        let passed = pass(&mut coordinator, 2, due);
        assert_eq!(passed, [Action::EpochComplete(Epoch(2)), Action::Publish(CheckpointId(7), due + 100 * INTERVAL)]);
        assert_eq!(coordinator.step(Signal::CheckpointEnded(CheckpointId(7)), due), [], "nothing was read since");
    }

    #[test]
    fn while_a_checkpoint_is_being_written_epochs_go_on_and_no_other_begins() {
        let (mut coordinator, now) = with_checkpoints();
        coordinator.step(Signal::Active(SOURCE), now);
        let due = now + 10 * INTERVAL;
        assert_eq!(coordinator.step(Signal::Tick, due), [checkpoint(1, 7, false)]);
        pass(&mut coordinator, 1, due);
        let later = due + 20 * INTERVAL;
        coordinator.step(Signal::Active(SOURCE), later);
        assert_eq!(coordinator.step(Signal::CaughtUp(SOURCE), later), [barrier(2)]);
        pass(&mut coordinator, 2, later);
        let pause = coordinator.step(Signal::CheckpointEnded(CheckpointId(7)), later);
        assert_eq!(pause, [Action::WakeAt(later + INTERVAL)]);
        assert_eq!(coordinator.step(Signal::Tick, later + INTERVAL), [checkpoint(3, 8, false)]);
    }

    #[test]
    fn a_job_that_ends_takes_a_last_checkpoint_of_what_its_tasks_left() {
        let (mut coordinator, now) = with_checkpoints();
        coordinator.step(Signal::Active(SOURCE), now);
        let due = now + 10 * INTERVAL;
        assert_eq!(coordinator.step(Signal::Tick, due), [checkpoint(1, 7, false)]);
        for task in [SOURCE, OTHER_SOURCE] {
            assert_eq!(coordinator.step(Signal::Finished(task), due), []);
        }
        let deadline = due + 100 * INTERVAL;
        assert_eq!(
            coordinator.step(Signal::Finished(SINK), due),
            [Action::EpochComplete(Epoch(1)), Action::Publish(CheckpointId(7), deadline)]
        );
        assert_eq!(
            coordinator.step(Signal::CheckpointEnded(CheckpointId(7)), due),
            [Action::Publish(CheckpointId(8), deadline)]
        );
        assert_eq!(coordinator.step(Signal::CheckpointEnded(CheckpointId(8)), due), [Action::Finish]);
    }

    #[test]
    fn a_job_told_to_stop_does_so_behind_a_checkpoint_even_if_nothing_was_read() {
        let (mut coordinator, now) = with_checkpoints();
        assert_eq!(coordinator.step(Signal::Stop, now), [checkpoint(1, 7, true)]);
        assert_eq!(coordinator.step(Signal::Acknowledged(SOURCE, Epoch(1)), now), []);
        coordinator.step(Signal::Finished(SOURCE), now);
        coordinator.step(Signal::Active(OTHER_SOURCE), now);
        coordinator.step(Signal::Finished(OTHER_SOURCE), now);
        let passed = coordinator.step(Signal::Acknowledged(SINK, Epoch(1)), now);
        let deadline = now + 100 * INTERVAL;
        assert_eq!(passed, [Action::EpochComplete(Epoch(1)), Action::Publish(CheckpointId(7), deadline)]);
        assert_eq!(coordinator.step(Signal::Finished(SINK), now), []);
        assert_eq!(coordinator.step(Signal::CheckpointEnded(CheckpointId(7)), now), [Action::Finish]);
    }
    #[test]
    fn a_job_told_to_drain_ends_its_sources_and_counts_as_stopped() {
        let (mut coordinator, now) = with_checkpoints();
        assert!(!coordinator.was_stopped());
        assert_eq!(coordinator.step(Signal::Drain, now), [Action::EndSources]);
        for task in [SOURCE, OTHER_SOURCE] {
            assert_eq!(coordinator.step(Signal::Finished(task), now), []);
        }
        let last = Action::Publish(CheckpointId(7), now + 100 * INTERVAL);
        assert_eq!(coordinator.step(Signal::Finished(SINK), now), [last]);
        assert!(coordinator.is_ending() && coordinator.was_stopped());
        assert_eq!(coordinator.step(Signal::CheckpointEnded(CheckpointId(7)), now), [Action::Finish]);
    }
}
