//! What outlives a process: the store's objects and the sink's files; and what happens to one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;

/// Key, count, weight.
pub type Row = (i64, i64, i64);

#[derive(Default)]
pub struct World {
    pub objects: Arc<InMemory>,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    staged: BTreeMap<String, Vec<Row>>,
    visible: BTreeMap<String, Vec<Row>>,
    /// What a sink without transactions has written, without what it was right to write again.
    written: Vec<Vec<Row>>,
    /// What of that is not recorded.
    unrecorded: Vec<Vec<Row>>,
    /// The same when a process ended, or was told that it failed: it may come again, once.
    repeatable: Vec<Vec<Row>>,
    repeated: u32,
    /// There was a checkpoint at some time.
    had_checkpoint: bool,
    has_checkpoint: bool,
    violation: Option<String>,
}

impl World {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stage(&self, name: String, rows: Vec<Row>) {
        self.files().staged.insert(name, rows);
    }

    pub fn show(&self, name: &str) {
        let mut files = self.files();
        if let Some(rows) = files.staged.remove(name) {
            files.visible.insert(name.to_string(), rows);
        } else if !files.visible.contains_key(name) {
            files.violation = Some(format!("{name} is to be committed, and was lost"));
        }
    }

    /// Removes what belongs to no checkpoint up to this one. Nothing of that may be visible.
    pub fn remove_after(&self, checkpoint: u64) {
        let mut files = self.files();
        files.staged.clear();
        let of = |name: &str| name.split('-').next().and_then(|of| of.parse::<u64>().ok()).expect("names begin so");
        if let Some(name) = files.visible.keys().find(|name| of(name) > checkpoint).cloned() {
            files.violation = Some(format!("{name} was visible, and there is only checkpoint {checkpoint}"));
        }
    }

    /// A sink without transactions writes rows, and is told whether they are written.
    pub fn write(&self, rows: Vec<Row>, is_known: bool) {
        let mut files = self.files();
        match files.repeatable.iter().position(|known| *known == rows) {
            Some(place) => {
                files.repeatable.remove(place);
                files.repeated += 1;
            }
            None => files.written.push(rows.clone()),
        }
        match is_known {
            true => files.unrecorded.push(rows),
            false => files.repeatable.push(rows),
        }
    }

    /// What is written is recorded as such.
    pub fn record(&self) {
        self.files().unrecorded.clear();
    }

    /// A process begins.
    pub fn begin(&self) {
        let mut files = self.files();
        let unrecorded = std::mem::take(&mut files.unrecorded);
        files.repeatable.extend(unrecorded);
    }

    /// How often something was written again.
    pub fn repeated(&self) -> u32 {
        self.files().repeated
    }

    pub fn checkpoints(&self, has_checkpoint: bool) {
        let mut files = self.files();
        files.has_checkpoint = has_checkpoint;
        files.had_checkpoint |= has_checkpoint;
    }

    /// The job came to its end although it crashed then: its checkpoints are gone, and its rows are there.
    pub fn is_finished(&self) -> bool {
        let files = self.files();
        files.had_checkpoint && !files.has_checkpoint && !(files.visible.is_empty() && files.written.is_empty())
    }

    pub fn violation(&self) -> Option<String> {
        self.files().violation.clone()
    }

    /// Rows, and how often each is there.
    pub fn visible(&self) -> BTreeMap<(i64, i64), i64> {
        let mut rows = BTreeMap::new();
        let files = self.files();
        for (key, count, weight) in files.visible.values().chain(&files.written).flatten() {
            *rows.entry((*key, *count)).or_default() += weight;
        }
        rows.retain(|_, weight| *weight != 0);
        rows
    }
}

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The step at which the process ends.
    pub crash_at: Option<u64>,
    /// How likely it is that a step of the store or the sink fails.
    pub errors: f64,
    /// How likely that an entry is missing in a listing.
    pub lost_listings: f64,
    /// The longest a step may take, in milliseconds.
    pub slow: u64,
}

impl Faults {
    pub fn random(random: &mut StdRng) -> Faults {
        Faults {
            crash_at: random.random_bool(0.85).then(|| random.random_range(1..250)),
            errors: [0.0, 0.0, 0.01, 0.1][random.random_range(0..4)],
            lost_listings: [0.0, 0.0, 0.2][random.random_range(0..3)],
            slow: [0, 1, 3, 30][random.random_range(0..4)],
        }
    }
}

/// One process.
pub struct Run {
    pub world: Arc<World>,
    pub faults: Faults,
    random: Mutex<StdRng>,
    steps: Mutex<u64>,
    crash: Notify,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Done,
    /// It had no effect.
    Failed,
    /// It had its effect, and whoever asked is told that it failed.
    Unanswered,
}

impl Run {
    pub fn new(world: Arc<World>, seed: u64, faults: Faults) -> Run {
        world.begin();
        let (random, steps, crash) = (Mutex::new(StdRng::seed_from_u64(seed)), Mutex::new(0), Notify::new());
        Run { world, faults, random, steps, crash }
    }

    pub fn chance<T>(&self, of: impl FnOnce(&mut StdRng) -> T) -> T {
        of(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when the process has ended.
    pub async fn crashed(&self) {
        self.crash.notified().await;
    }

    /// Whether the process ends with this step.
    pub fn is_last_step(&self) -> bool {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        *steps += 1;
        self.faults.crash_at == Some(*steps)
    }

    pub async fn end(&self) -> ! {
        self.crash.notify_one();
        std::future::pending().await
    }

    /// Lets others go on, for a while.
    pub async fn pause(&self) {
        let (yields, slow) =
            self.chance(|random| (random.random_range(0..3), random.random_range(0..=self.faults.slow)));
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        if slow > 0 {
            tokio::time::sleep(Duration::from_millis(slow)).await;
        }
    }

    /// Something that may fail, and before and after which the process may end.
    pub async fn step(&self) -> Step {
        self.pause().await;
        if self.is_last_step() {
            self.end().await;
        }
        match self.chance(|random| random.random_bool(self.faults.errors)) {
            false => Step::Done,
            true if self.chance(|random| random.random_bool(0.5)) => Step::Failed,
            true => Step::Unanswered,
        }
    }
}
