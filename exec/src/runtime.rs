//! Runs job graphs in this process: opens sources and sinks, wires channels, spawns tasks, drives the coordinator.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use tidemill_state::{CheckpointId, Epoch, EventTime, Spill};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::checkpoint::{Begin, Checkpoints, Durability, Recovery, RestartStrategy, Restarts, Retention};
use crate::connect::Finder;
use crate::coordinator::{Action, Coordinator, PATIENT_EPOCH_MIN, Signal, TaskId};
use crate::error::{Error, Result};
use crate::exchange::{Inbox, LaneStart, Router, feedback, inbox};
use crate::graph::{Edge, Feedback, Head, JobGraph, SourceHead, StageId, Tail as GraphTail};
use crate::message::Barrier;
use crate::news::TimeNews;
use crate::operator::{JobToken, ShardContext};
use crate::progress::Progress;
use crate::task::{
    Alignments, Chain, HeadTask, LookupTask, Outgoing, Positions, Report, Reports, SourceTask, Tail, Watermarks,
    run_head, run_inputs, run_lookup, run_source,
};

/// What a job has done so far; shared by all its tasks.
#[derive(Debug, Default)]
pub struct Metrics {
    pub rows_read: AtomicU64,
    pub rows_written: AtomicU64,
    pub rows_skipped: AtomicU64,
    pub epochs: AtomicU64,
    pub progress: Progress,
}

/// A launched job. Dropping it cancels the job.
pub struct Job {
    pub metrics: Arc<Metrics>,
    events: mpsc::UnboundedReceiver<JobEvent>,
    driver: tokio::task::JoinHandle<()>,
    /// If it takes checkpoints.
    stop: Option<Stop>,
}

/// Tells a job that takes checkpoints to end.
#[derive(Clone)]
pub struct Stop {
    requests: mpsc::UnboundedSender<Signal>,
    /// Whether its checkpoints stay then.
    pub retention: Retention,
}

impl Stop {
    /// The job ends as if its sources had: open windows close.
    pub fn drain(&self) {
        let _ = self.requests.send(Signal::Drain); // It may have ended already.
    }

    /// The job takes a last checkpoint and ends where it is. Its last event comes when that is done.
    pub fn stop(&self) {
        let _ = self.requests.send(Signal::Stop); // It may have ended already.
    }
}

/// What a job reports while it runs.
#[derive(Debug)]
pub enum JobEvent {
    /// Something the user should know, but no failure: skipped records, a reconnect.
    Note(String),
    /// All sinks have passed this epoch's barrier.
    Epoch(Epoch),
    /// What was there when the job began, or began again, has been read, and all sinks have passed the barrier behind it. Only if an
    /// operator asks for that.
    CaughtUp,
    /// There is a new checkpoint, and what sinks had prepared for it is visible.
    Checkpoint(CheckpointId),
    /// The last event.
    Finished,
    /// The last event: a task failed, all others were cancelled.
    Failed(Error),
}

impl Job {
    /// The next event; `None` after the last one. Cancel-safe.
    pub async fn event(&mut self) -> Option<JobEvent> {
        self.events.recv().await
    }

    /// Waits for the end, handing notes to `note`.
    pub async fn wait(&mut self, mut note: impl FnMut(String)) -> Result<()> {
        while let Some(event) = self.event().await {
            match event {
                JobEvent::Note(text) => note(text),
                JobEvent::Failed(error) => return Err(error),
                JobEvent::Finished => return Ok(()),
                JobEvent::Epoch(_) | JobEvent::CaughtUp | JobEvent::Checkpoint(_) => {}
            }
        }
        Ok(())
    }

    /// How to end it behind a last checkpoint; `None` if it takes none.
    pub fn stop(&self) -> Option<Stop> {
        self.stop.clone()
    }

    /// Stops all tasks where they are. Sinks are not finished.
    pub fn cancel(&self) {
        self.driver.abort();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// How a job runs, whatever it computes.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// How long an epoch lasts at most under load.
    pub epoch_interval: Duration,
    pub state: StateBackend,
}

impl JobOptions {
    /// With state in memory.
    pub fn new(epoch_interval: Duration) -> JobOptions {
        JobOptions { epoch_interval, state: StateBackend::Memory }
    }
}

/// Where keyed state is while a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateBackend {
    Memory,
    /// In so many bytes of memory as long as it fits, and else below this directory.
    Disk {
        directory: PathBuf,
        memory: usize,
    },
}

/// Starts every task of `graph`, on the current tokio runtime: anew, or where the newest checkpoint left them. A job that fails
/// starts again if its restart strategy says so.
///
/// Returns once every source and sink is open.
///
/// # Errors
/// A source or sink that cannot be opened, named by its table; a checkpoint that cannot be gone on from.
pub async fn launch(graph: JobGraph, options: JobOptions, durability: Option<Durability>) -> Result<Job> {
    let metrics = Arc::new(Metrics::default());
    let (events, job_events) = mpsc::unbounded_channel();
    let (requests, mut requested) = mpsc::unbounded_channel();
    let stop = durability.as_ref().map(|durability| Stop { requests, retention: durability.retention.clone() });
    let mut restarts =
        Restarts::new(durability.as_ref().map_or(RestartStrategy::None, |durability| durability.restart));
    let job = Plan { graph, options, durability, metrics: Arc::clone(&metrics), events };
    let mut driver = job.start().await?;
    job.state_in_memory().into_iter().for_each(|note| drop(job.events.send(JobEvent::Note(note))));
    let driver = tokio::spawn(async move {
        loop {
            let mut error = match driver.drive(&mut requested).await {
                End::Finished => return drop(job.events.send(JobEvent::Finished)),
                End::Failed { error, for_good: true } => return drop(job.events.send(JobEvent::Failed(error))),
                End::Failed { error, for_good: false } => error,
            };
            driver = loop {
                let Some(delay) = restarts.failed(Instant::now().into_std()) else {
                    return drop(job.events.send(JobEvent::Failed(error)));
                };
                let note = format!("failed and starts again in {delay:?}: {error}");
                let _ = job.events.send(JobEvent::Note(note));
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    // Whoever wants it to end does not want it to start; its last checkpoint is there.
                    Some(_) = requested.recv() => return drop(job.events.send(JobEvent::Failed(error))),
                }
                match job.start().await {
                    Ok(driver) => break driver,
                    Err(again) => error = again,
                }
            };
        }
    });
    Ok(Job { metrics, events: job_events, driver, stop })
}

/// All that is needed to start a job, be it again.
struct Plan {
    graph: JobGraph,
    options: JobOptions,
    durability: Option<Durability>,
    metrics: Arc<Metrics>,
    events: mpsc::UnboundedSender<JobEvent>,
}

impl Plan {
    /// Which operators keep their state in memory although there is a disk for it.
    fn state_in_memory(&self) -> Option<String> {
        let operators = self.graph.stages.iter().flat_map(|stage| &stage.chain);
        let in_memory = operators.filter(|operator| operator.state_bound().is_some() && !operator.goes_to_disk());
        let names: BTreeSet<&str> = in_memory.map(|operator| operator.name()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let is_told = self.options.state != StateBackend::Memory && !names.is_empty();
        is_told.then(|| format!("state of {names} stays in memory: only that of GROUP BY and DISTINCT goes to disk"))
    }

    async fn start(&self) -> Result<Driver> {
        let Plan { graph, metrics, events, .. } = self;
        let spill = match &self.options.state {
            StateBackend::Memory => None,
            StateBackend::Disk { directory, memory } => Some(Spill::open(directory, *memory)?),
        };
        let mut recovery = match &self.durability {
            Some(durability) => Some(Recovery::of(durability.clone(), graph, spill.clone()).await?),
            None => None,
        };
        let durable = recovery.as_ref().map(Recovery::token);
        let (signals, reports) = mpsc::unbounded_channel();
        let mut wiring = Wiring::new(graph);
        let mut tasks = JoinSet::new();
        let mut barriers = BTreeMap::new();
        let mut sources = Vec::new();
        let mut readers = Vec::new();
        let mut places = Vec::new();
        let mut alignments = Alignments::default();

        let operators = || graph.stages.iter().flat_map(|stage| &stage.chain);
        let needs_clock = operators().any(|operator| operator.needs_clock());
        let is_patient = graph.waits_for_time();
        for (id, stage) in graph.stages.iter().enumerate() {
            let mut splits = match &stage.head {
                Head::Source(head) => {
                    let begun = match &recovery {
                        Some(recovery) => recovery.splits(id)?,
                        None => None,
                    };
                    let splits = begin(head, begun)
                        .await
                        .map_err(|error| error.in_operator(format!("source {}", head.table)))?;
                    Some(share(splits, stage.parallelism))
                }
                Head::Inputs | Head::Lookup(_) | Head::Loop(_) => None,
            };
            let finder: Option<Arc<dyn Finder>> = match &stage.head {
                Head::Lookup(join) => {
                    let events = events.clone();
                    let notes = Arc::new(move |note| drop(events.send(JobEvent::Note(note))));
                    let operator = format!("lookup {}", join.table.name);
                    Some(join.table.open(notes).await.map_err(|error| error.in_operator(operator))?.into())
                }
                _ => None,
            };
            let mut state = match &mut recovery {
                Some(recovery) => recovery.state(id).await?,
                None => Vec::new(),
            };
            let has_splits = match (&stage.head, &splits) {
                (Head::Source(head), Some(splits)) => {
                    splits.iter().flatten().any(|begin| !head.source.only_discovers(&begin.split))
                }
                _ => false,
            };
            for shard in 0..stage.parallelism {
                let durable = durable.map(|token| JobToken { part: id as u16, ..token });
                let spill = spill.clone();
                let context = ShardContext { shard, parallelism: stage.parallelism, durable, spill };
                let mut chain = Chain::open(&stage.chain, &context)?;
                if let Some(state) = state.get_mut(usize::from(shard)) {
                    chain.restore(std::mem::take(state))?;
                }
                let tail = match &stage.tail {
                    GraphTail::Exchange => wiring.tail(StageId(id), shard),
                    GraphTail::Sink { table, sink } => {
                        let sink = recovery.as_ref().and_then(|recovery| recovery.sink(id)).unwrap_or(sink);
                        let writer =
                            sink.open(&context).await.map_err(|error| error.in_operator(format!("sink {table}")))?;
                        let (table, metrics, next) =
                            (table.clone(), Arc::clone(metrics), durable.map(|token| token.first));
                        Tail::Sink { table, writer, metrics, prepared: Vec::new(), last: Vec::new(), next }
                    }
                };
                let reports = Reports {
                    task: TaskId(places.len()),
                    signals: signals.clone(),
                    metrics: Arc::clone(metrics),
                    checkpoints: durable.is_some(),
                };
                places.push((id, shard));
                match (&stage.head, &mut splits) {
                    (Head::Source(head), Some(splits)) => {
                        let splits = std::mem::take(&mut splits[usize::from(shard)]);
                        // Beside tasks that have something to read, one that has nothing yet does not hold event time back.
                        let silent = has_splits && splits.iter().all(|begin| head.source.only_discovers(&begin.split));
                        if silent {
                            wiring.silent.insert((StageId(id), shard));
                        }
                        let operator = format!("source {}", head.table);
                        let mut watermarks =
                            head.watermark.clone().map(|strategy| Watermarks::new(strategy, silent, Instant::now()));
                        for begin in &splits {
                            if let (Some(watermarks), Some(state)) = (&mut watermarks, &begin.state) {
                                watermarks.restore(&begin.split, state, Instant::now());
                            }
                        }
                        let positions = Positions::new(&splits);
                        let mut reader = head
                            .source
                            .open(splits.into_iter().map(|begin| (begin.split, begin.offset)).collect())
                            .await
                            .map_err(|error| error.in_operator(operator.clone()))?;
                        if is_patient {
                            reader.gather(PATIENT_EPOCH_MIN / 2);
                        }
                        let (barrier, barrier_inbox) = mpsc::unbounded_channel();
                        barriers.insert(reports.task, barrier);
                        readers.push(reports.task);
                        let alignment = head.watermark.as_ref().and_then(|strategy| strategy.alignment.as_ref());
                        let source = SourceTask {
                            table: head.table.clone(),
                            reader,
                            positions,
                            watermarks,
                            bounded: head.source.bounded(),
                            has_backlog: head.source.has_backlog(),
                            alignment: alignment.map(|alignment| alignments.join(alignment, reports.task)),
                        };
                        sources.push(tasks.spawn(supervise(reports, stage.name.clone(), async move |reports| {
                            run_source(source, barrier_inbox, chain, tail, reports)
                                .await
                                .map_err(|error| error.in_operator(operator))
                        })));
                    }
                    (Head::Loop(Feedback { exchange, limits, .. }), _) => {
                        let (inputs, lanes) = wiring.inbox(StageId(id), shard);
                        let (feedback, feedback_lanes) = wiring.feedback(StageId(id), shard);
                        let (barrier, barrier_inbox) = mpsc::unbounded_channel();
                        barriers.insert(reports.task, barrier);
                        let head = HeadTask {
                            inputs,
                            lanes,
                            feedback,
                            feedback_lanes,
                            barriers: barrier_inbox,
                            exchange: exchange.clone(),
                            schema: stage.chain.first().expect("a loop begins with an operator").schema(),
                            limits: *limits,
                        };
                        tasks.spawn(supervise(reports, stage.name.clone(), async move |reports| {
                            run_head(head, chain, tail, reports).await
                        }));
                    }
                    (Head::Lookup(join), _) => {
                        let (inbox, lanes) = wiring.inbox(StageId(id), shard);
                        let finder = finder.clone().expect("the table of a lookup join is open");
                        let task = LookupTask { inbox, lanes, join: Arc::clone(join), finder };
                        tasks.spawn(supervise(reports, stage.name.clone(), async move |reports| {
                            run_lookup(task, chain, tail, reports).await
                        }));
                    }
                    _ => {
                        let (inbox, lanes) = wiring.inbox(StageId(id), shard);
                        tasks.spawn(supervise(reports, stage.name.clone(), async move |reports| {
                            run_inputs(inbox, lanes, chain, tail, reports).await
                        }));
                    }
                }
            }
        }

        let interval = self.options.epoch_interval;
        let mut coordinator = Coordinator::new((0..places.len()).map(TaskId), barriers.keys().copied(), interval);
        if is_patient {
            coordinator = coordinator.patient();
        }
        if needs_clock {
            coordinator = coordinator.with_clock(interval);
        }
        if operators().any(|operator| operator.needs_backlog_read()) {
            coordinator = coordinator.with_backlog(readers);
        }
        let checkpoints = recovery.map(|mut recovery| {
            for note in recovery.notes.drain(..) {
                let _ = events.send(JobEvent::Note(note));
            }
            Checkpoints::new(recovery.checkpointer(places), signals.clone())
        });
        if let Some(checkpoints) = &checkpoints {
            let (rhythm, first) = checkpoints.begin();
            coordinator = coordinator.with_checkpoints(rhythm, first, Instant::now().into_std());
        }
        let (events, metrics) = (events.clone(), Arc::clone(metrics));
        Ok(Driver { coordinator, reports, tasks, sources, barriers, events, metrics, checkpoints, _signals: signals })
    }
}

/// The splits of a source with what each begins with: those of the checkpoint, and if it can have new ones, those too.
async fn begin(head: &SourceHead, begun: Option<Vec<Begin>>) -> Result<Vec<Begin>> {
    let Some(mut splits) = begun else {
        let new = |split| Begin { split, offset: None, state: None };
        return Ok(head.source.splits().await?.into_iter().map(new).collect());
    };
    if !head.source.bounded() {
        for split in head.source.splits().await? {
            if !splits.iter().any(|begin| begin.split == split) {
                splits.push(Begin { split, offset: None, state: None });
            }
        }
    }
    Ok(splits)
}

/// Deals splits out to shards, one after the other, so that each shard's splits keep their order.
fn share(splits: Vec<Begin>, parallelism: u16) -> Vec<Vec<Begin>> {
    let mut shares = vec![Vec::new(); usize::from(parallelism)];
    for (n, split) in splits.into_iter().enumerate() {
        shares[n % usize::from(parallelism)].push(split);
    }
    shares
}

/// Runs a task and reports how it ended. A panic is a failure like any other: the job ends, the process goes on. Which of the
/// task's `operators` panicked is not known; an error usually says its own.
async fn supervise(reports: Reports, operators: String, task: impl AsyncFnOnce(&Reports) -> Result<()>) {
    let outcome = catch_panic(task(&reports)).await.and_then(|outcome| outcome);
    reports.metrics.progress.ended(reports.task);
    match outcome {
        Ok(()) => reports.signal(Signal::Finished(reports.task)).await,
        Err(error) => {
            let _ = reports.signals.send(Report::Failed(error.in_operator(operators)));
        }
    }
}

/// Runs work that calls code of others, such as a connector of the user's. A panic in it becomes an error.
///
/// # Errors
/// The work panicked. What it had borrowed may be half changed, so nothing of it should be used again.
pub async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T> {
    std::panic::AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason");
        Error::new(format!("a bug: {text}"))
            .why("the code panicked: something it relies on does not hold")
            .fix("report it, with the statement; if the connector is yours, the lines above show where")
    })
}

/// What a running job consists of, beside the protocol. Dropping it aborts all tasks.
struct Driver {
    coordinator: Coordinator,
    reports: mpsc::UnboundedReceiver<Report>,
    /// The sending end, so that there is always one.
    _signals: mpsc::UnboundedSender<Report>,
    tasks: JoinSet<()>,
    sources: Vec<AbortHandle>,
    barriers: BTreeMap<TaskId, mpsc::UnboundedSender<Barrier>>,
    events: mpsc::UnboundedSender<JobEvent>,
    metrics: Arc<Metrics>,
    checkpoints: Option<Checkpoints>,
}

/// How a job ended.
enum End {
    Finished,
    /// `for_good`: starting again would change nothing.
    Failed {
        error: Error,
        for_good: bool,
    },
}

impl Driver {
    /// Feeds the coordinator and does what it says, until the job ends. Passes on what is requested meanwhile.
    async fn drive(mut self, requested: &mut mpsc::UnboundedReceiver<Signal>) -> End {
        // The first tick starts the clock, if there is one.
        let mut wake_at: Option<Instant> = Some(Instant::now());
        let mut news = TimeNews::new(Arc::clone(&self.metrics));
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let timer = async {
                match wake_at {
                    Some(time) => tokio::time::sleep_until(time).await,
                    None => std::future::pending().await,
                }
            };
            let report = tokio::select! {
                biased;
                report = self.reports.recv() => report.expect("the driver holds a sending end"),
                Some(request) = requested.recv() => Report::Signal(request),
                () = timer => {
                    wake_at = None;
                    Report::Signal(Signal::Tick)
                }
                _ = looks.tick() => {
                    news.look(Instant::now()).into_iter().for_each(|note| self.note(note));
                    continue;
                }
            };
            let signal = match report {
                Report::Signal(signal) => signal,
                Report::Note(note) => {
                    self.note(note);
                    continue;
                }
                Report::Failed(error) => return self.fail(error, false).await,
                Report::Snapshot(task, checkpoint, snapshot) => {
                    if let Some(checkpoints) = &mut self.checkpoints {
                        checkpoints.arrived(task, checkpoint, snapshot);
                    }
                    continue;
                }
                Report::Checkpoint(checkpointer, published) => {
                    let Some(checkpoints) = &mut self.checkpoints else { continue };
                    for note in &published.notes {
                        let _ = self.events.send(JobEvent::Note(note.clone()));
                    }
                    let checkpoint = published.checkpoint;
                    match checkpoints.returned(checkpointer, published) {
                        Ok(None) => drop(self.events.send(JobEvent::Checkpoint(checkpoint))),
                        Ok(Some(note)) => self.note(note),
                        Err(error) => {
                            let for_good = checkpoints.is_taken_over();
                            return self.fail(error, for_good).await;
                        }
                    }
                    Signal::CheckpointEnded(checkpoint)
                }
            };
            for action in self.coordinator.step(signal, Instant::now().into_std()) {
                match action {
                    Action::InjectBarrier(barrier) => {
                        let barrier = Barrier { time: wall_clock(), ..barrier };
                        self.barriers.values().for_each(|source| {
                            let _ = source.send(barrier); // A source that has ended needs no barrier.
                        });
                    }
                    // Who is told of no barrier any more ends.
                    Action::EndSources => self.barriers.clear(),
                    Action::WakeAt(time) => wake_at = Some(Instant::from_std(time)),
                    Action::EpochComplete(epoch) => {
                        self.metrics.epochs.store(epoch.0, Ordering::Relaxed);
                        let _ = self.events.send(JobEvent::Epoch(epoch));
                    }
                    Action::CaughtUp(_) => drop(self.events.send(JobEvent::CaughtUp)),
                    Action::Publish(checkpoint, deadline) => {
                        if let Some(checkpoints) = &mut self.checkpoints {
                            checkpoints.publish(checkpoint, self.coordinator.is_ending(), Instant::from_std(deadline));
                        }
                    }
                    Action::Finish => {
                        news.late_rows().into_iter().for_each(|note| self.note(note));
                        if let Some(checkpoints) = self.checkpoints.take()
                            && let Err(error) = checkpoints.end(self.coordinator.was_stopped()).await
                        {
                            self.note(format!("checkpoints could not be removed: {error}"));
                        }
                        return End::Finished;
                    }
                }
            }
        }
    }

    fn note(&self, note: String) {
        let _ = self.events.send(JobEvent::Note(note));
    }

    async fn fail(mut self, error: Error, for_good: bool) -> End {
        wind_down(&mut self.tasks, &self.sources).await;
        // Whoever is told may start the job again: by then its directory is free.
        let returned = async {
            while self.checkpoints.as_ref().is_some_and(Checkpoints::is_away) {
                if let Some(Report::Checkpoint(checkpointer, published)) = self.reports.recv().await
                    && let Some(checkpoints) = &mut self.checkpoints
                {
                    // What became of it shows when the job begins again.
                    let _ = checkpoints.returned(checkpointer, published);
                }
            }
        };
        let _ = tokio::time::timeout(LAST_CHECKPOINT, returned).await;
        // Who was told to end does not start again.
        let for_good = for_good || self.coordinator.was_stopped();
        End::Failed { error, for_good }
    }
}

/// How often the driver looks whether there is something to say of time.
const LOOK: Duration = Duration::from_millis(500);

/// Processing time.
pub(crate) fn wall_clock() -> EventTime {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    EventTime(since_1970.map_or(0, |time| time.as_millis() as i64))
}

/// How long a job that has failed waits for the checkpoint that is being written.
const LAST_CHECKPOINT: Duration = Duration::from_secs(10);

/// How long tasks may take to process what had been read when a task failed.
const WIND_DOWN: Duration = Duration::from_secs(2);

/// Ends the tasks of a job that has failed. Sources stop at once; the tasks behind them end by themselves once they have seen what was
/// sent to them, so that rows read before a bad one are not lost. A sink that blocks does not hold this up for long.
async fn wind_down(tasks: &mut JoinSet<()>, sources: &[AbortHandle]) {
    sources.iter().for_each(AbortHandle::abort);
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(WIND_DOWN, ended).await.is_err() {
        tasks.shutdown().await;
    }
}

/// How a lane begins, and the shard at its other end.
type LaneFrom = (LaneStart, StageId, u16);

/// The channels of a job: for every shard its inbox, and for every shard the senders it was given.
struct Wiring {
    inboxes: BTreeMap<(StageId, u16), (Inbox, Vec<LaneFrom>)>,
    /// What comes back to heads of loops, and on how many lanes.
    feedbacks: BTreeMap<(StageId, u16), (Inbox, usize)>,
    /// By sending shard and the place of the edge in the graph; that of a feedback is behind those of all edges.
    outputs: BTreeMap<(StageId, u16, usize), Outgoing>,
    /// Shards that have nothing to read for now, and those that only hear of such.
    silent: BTreeSet<(StageId, u16)>,
}

impl Wiring {
    fn new(graph: &JobGraph) -> Wiring {
        let (inboxes, feedbacks, outputs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut wiring = Wiring { inboxes, feedbacks, outputs, silent: BTreeSet::new() };
        let loops = graph.loops();
        let in_loop = |edge: &Edge| loops.iter().any(|(_, of)| of.contains(&edge.from) && of.contains(&edge.to));
        let tells_time =
            |edge: &Edge| graph.stages[edge.to.0].chain.first().is_none_or(|operator| operator.tells_time(edge.input));
        let shards = |stage: StageId| graph.stages[stage.0].parallelism;
        for (id, _) in graph.stages.iter().enumerate() {
            let to = StageId(id);
            let edges: Vec<(usize, &Edge)> = graph.edges.iter().enumerate().filter(|(_, edge)| edge.to == to).collect();
            for shard in 0..shards(to) {
                // Lanes in the order of edges, then of sending shards.
                let mut lanes = Vec::new();
                for (place, edge) in &edges {
                    for from_shard in 0..shards(edge.from) {
                        let router = Router::new(edge.exchange.clone(), from_shard, shards(to));
                        if router.reachable().contains(&shard) {
                            lanes.push((*edge, *place, from_shard));
                        }
                    }
                }
                let (senders, inbox) = inbox(lanes.len());
                wiring.inboxes.insert(
                    (to, shard),
                    (
                        inbox,
                        lanes
                            .iter()
                            .map(|(edge, _, from)| {
                                let (in_loop, tells_time) = (in_loop(edge), tells_time(edge));
                                let start = LaneStart { in_loop, tells_time, ..LaneStart::of(edge.input) };
                                (start, edge.from, *from)
                            })
                            .collect(),
                    ),
                );
                for ((edge, place, from_shard), sender) in lanes.into_iter().zip(senders) {
                    let outgoing = wiring.outputs.entry((edge.from, from_shard, place)).or_insert_with(|| Outgoing {
                        router: Router::new(edge.exchange.clone(), from_shard, shards(to)),
                        senders: (0..shards(to)).map(|_| None).collect(),
                        in_loop: in_loop(edge),
                    });
                    outgoing.senders[usize::from(shard)] = Some(sender);
                }
            }
        }
        for (id, stage) in graph.stages.iter().enumerate() {
            if let Head::Loop(feedback) = &stage.head {
                wiring.close_loop(StageId(id), graph.edges.len() + id, feedback, graph);
            }
        }
        wiring
    }

    /// The channels of a feedback, which has this place.
    fn close_loop(&mut self, to: StageId, place: usize, of: &Feedback, graph: &JobGraph) {
        let shards = |stage: StageId| graph.stages[stage.0].parallelism;
        let router = |from: u16| Router::new(of.exchange.clone(), from, shards(to));
        for shard in 0..shards(to) {
            let from: Vec<u16> =
                (0..shards(of.from)).filter(|&from| router(from).reachable().contains(&shard)).collect();
            let (senders, inbox) = feedback(from.len());
            self.feedbacks.insert((to, shard), (inbox, from.len()));
            for (from, sender) in from.into_iter().zip(senders) {
                let outgoing = self.outputs.entry((of.from, from, place)).or_insert_with(|| Outgoing {
                    router: router(from),
                    senders: (0..shards(to)).map(|_| None).collect(),
                    in_loop: true,
                });
                outgoing.senders[usize::from(shard)] = Some(sender);
            }
        }
    }

    fn feedback(&mut self, stage: StageId, shard: u16) -> (Inbox, usize) {
        self.feedbacks.remove(&(stage, shard)).expect("every head has one feedback, asked for once")
    }

    /// Stages are asked for in order, so it is known by then which shards before this one are silent.
    fn inbox(&mut self, stage: StageId, shard: u16) -> (Inbox, Vec<LaneStart>) {
        let (inbox, lanes) = self.inboxes.remove(&(stage, shard)).expect("every shard has one inbox, asked for once");
        let silent = |from: &StageId, shard: &u16| self.silent.contains(&(*from, *shard));
        let begin = |(start, from, shard): &LaneFrom| LaneStart { silent: silent(from, shard), ..*start };
        let lanes: Vec<LaneStart> = lanes.iter().map(begin).collect();
        if lanes.iter().filter(|lane| lane.tells_time).all(|lane| lane.silent) {
            self.silent.insert((stage, shard));
        }
        (inbox, lanes)
    }

    fn tail(&mut self, stage: StageId, shard: u16) -> Tail {
        let of_shard = (stage, shard, 0)..=(stage, shard, usize::MAX);
        Tail::Exchange(self.outputs.extract_if(of_shard, |_, _| true).map(|(_, outgoing)| outgoing).collect())
    }
}
