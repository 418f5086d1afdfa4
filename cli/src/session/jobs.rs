//! The jobs a session has started, and what became of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tidemill_exec::view::View;
use tidemill_exec::{Error, Job, JobEvent, Metrics, Result, Stop, catch_panic};
use tidemill_state::checkpoint::Store;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::Purpose;
use crate::connection::{News, Report};

#[derive(Clone, Debug)]
pub enum JobStatus {
    Running,
    Finished,
    Failed(Error),
    Stopped,
}

impl JobStatus {
    /// Flink's word for it.
    pub fn label(&self) -> &'static str {
        match self {
            JobStatus::Running => "RUNNING",
            JobStatus::Finished => "FINISHED",
            JobStatus::Failed(_) => "FAILED",
            JobStatus::Stopped => "CANCELED",
        }
    }
}

/// A line of SHOW JOBS.
pub struct JobSummary {
    pub id: String,
    pub name: String,
    pub status: JobStatus,
    pub started: Instant,
    pub rows_read: u64,
    pub rows_written: u64,
}

/// All jobs of a session, running or not. Dropping it cancels those that run.
pub struct Jobs {
    jobs: Vec<Entry>,
    reports: mpsc::UnboundedSender<Report>,
    heard: mpsc::UnboundedReceiver<Report>,
}

struct Entry {
    /// 1, 2, 3 ...: short, because people type it.
    id: String,
    name: String,
    started: Instant,
    metrics: Arc<Metrics>,
    status: watch::Receiver<JobStatus>,
    driver: Driver,
    /// If the job takes checkpoints.
    stop: Option<Stop>,
    /// Where it keeps them.
    store: Option<Store>,
    purpose: Purpose,
}

/// The checkpoints of a job that was stopped.
pub struct Kept {
    pub store: Store,
    /// They need not be removed.
    pub stays: bool,
}

/// The task that drives a job: when it ends, so does the job.
struct Driver {
    task: AbortHandle,
    status: Arc<Mutex<watch::Sender<JobStatus>>>,
    /// The job has been told to end.
    is_stopping: Arc<AtomicBool>,
    /// As if its sources had.
    is_draining: Arc<AtomicBool>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Entry {
    fn is_running(&self) -> bool {
        matches!(*self.status.borrow(), JobStatus::Running)
    }
}

impl Default for Jobs {
    fn default() -> Jobs {
        let (reports, heard) = mpsc::unbounded_channel();
        Jobs { jobs: Vec::new(), reports, heard }
    }
}

impl Jobs {
    /// Looks after a job that runs.
    pub fn start(&mut self, name: String, mut job: Job, store: Option<Store>, purpose: Purpose) -> String {
        let metrics = Arc::clone(&job.metrics);
        let written = Arc::clone(&job.metrics);
        let stop = job.stop();
        let view = purpose.keeps.clone();
        let id = self.supervise(name, metrics, stop, purpose, async move |note| {
            loop {
                match job.event().await {
                    Some(JobEvent::Note(text)) => note(text),
                    Some(JobEvent::CaughtUp) => view.iter().for_each(|view| view.caught_up()),
                    Some(JobEvent::Epoch(_) | JobEvent::Checkpoint(_)) => {}
                    Some(JobEvent::Failed(error)) => return Err(error),
                    Some(JobEvent::Finished) | None => return Ok(written.rows_written.load(Ordering::Relaxed)),
                }
            }
        });
        self.jobs.iter_mut().filter(|entry| entry.id == id).for_each(|entry| entry.store = store.clone());
        id
    }

    /// Runs a batch job; `work` gives the number of rows it wrote.
    pub fn start_batch(
        &mut self,
        name: String,
        work: impl Future<Output = Result<u64>> + Send + 'static,
        mut notes: mpsc::UnboundedReceiver<String>,
    ) -> String {
        let metrics = Arc::new(Metrics::default());
        let written = Arc::clone(&metrics);
        self.supervise(name, metrics, None, Purpose::default(), async move |note| {
            let outcome = work.await;
            while let Ok(text) = notes.try_recv() {
                note(text);
            }
            let rows = outcome?;
            written.rows_written.store(rows, Ordering::Relaxed);
            Ok(rows)
        })
    }

    fn supervise<F, W>(
        &mut self,
        name: String,
        metrics: Arc<Metrics>,
        stop: Option<Stop>,
        purpose: Purpose,
        work: W,
    ) -> String
    where
        W: FnOnce(Box<dyn Fn(String) + Send>) -> F,
        F: Future<Output = Result<u64>> + Send + 'static,
    {
        let id = (self.jobs.len() + 1).to_string();
        let (sender, status) = watch::channel(JobStatus::Running);
        let sender = Arc::new(Mutex::new(sender));
        let reports = self.reports.clone();
        let notes = reports.clone();
        let job = id.clone();
        let work = work(Box::new(move |note| drop(notes.send(Report { job: job.clone(), news: News::Note(note) }))));
        let job = id.clone();
        let ended = Arc::clone(&sender);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let was_stopped = Arc::clone(&is_stopping);
        let is_draining = Arc::new(AtomicBool::new(false));
        let was_drained = Arc::clone(&is_draining);
        let view = purpose.keeps.clone();
        let task = tokio::spawn(async move {
            let outcome = catch_panic(work).await.and_then(|outcome| outcome);
            if let Some(view) = view {
                match &outcome {
                    Ok(_) if was_stopped.load(Ordering::Relaxed) && !was_drained.load(Ordering::Relaxed) => {
                        view.stopped()
                    }
                    Ok(_) => view.ended(),
                    Err(error) => view.has_failed(error.clone()),
                }
            }
            let (status, news) = match outcome {
                Ok(rows) if was_stopped.load(Ordering::Relaxed) => {
                    (JobStatus::Stopped, News::Stopped(format!("{} written", super::query::rows(rows))))
                }
                Ok(rows) => (JobStatus::Finished, News::Finished(format!("{} written", super::query::rows(rows)))),
                Err(error) => (JobStatus::Failed(error.clone()), News::Failed(error)),
            };
            let _ = reports.send(Report { job, news });
            locked(&ended).send_replace(status);
        });
        let driver = Driver { task: task.abort_handle(), status: sender, is_stopping, is_draining };
        self.jobs.push(Entry {
            id: id.clone(),
            name,
            started: Instant::now(),
            metrics,
            status,
            driver,
            stop,
            store: None,
            purpose,
        });
        id
    }

    /// Waits for a job; its end is not reported again.
    pub async fn wait(&mut self, id: &str) -> Result<u64> {
        let Some(entry) = self.jobs.iter_mut().find(|entry| entry.id == id) else { return Ok(0) };
        let _ = entry.status.wait_for(|status| !matches!(status, JobStatus::Running)).await;
        let status = entry.status.borrow().clone();
        let rows = entry.metrics.rows_written.load(Ordering::Relaxed);
        let heard: Vec<Report> = std::iter::from_fn(|| self.heard.try_recv().ok()).collect();
        for report in heard {
            if report.job != id || matches!(report.news, News::Note(_)) {
                let _ = self.reports.send(report);
            }
        }
        match status {
            JobStatus::Failed(error) => Err(error),
            _ => Ok(rows),
        }
    }

    /// Ends a job: behind a last checkpoint if it takes any, else where it is. `drain`: as if its sources had ended. Gives where its
    /// checkpoints are. `keep`: they are there even if they are to go, which is up to the caller then.
    ///
    /// # Errors
    /// No job has this id, or it has ended already; the last checkpoint failed; it takes none, and is to be drained.
    pub async fn stop(&mut self, id: &str, drain: bool, keep: bool) -> Result<Option<Kept>> {
        let known: Vec<String> = self.jobs.iter().map(|entry| entry.id.clone()).collect();
        let Some(entry) = self.jobs.iter_mut().find(|entry| entry.id == id) else {
            return Err(Error::new(format!("unknown job {id}")).nearest(id, known.iter().map(String::as_str)));
        };
        let status = entry.status.borrow().clone();
        if !matches!(status, JobStatus::Running) {
            return Err(Error::new(format!("job {id} does not run")).why(format!("it is {}", status.label())));
        }
        if let Some(stop) = &entry.stop {
            entry.driver.is_draining.store(drain, Ordering::Relaxed);
            entry.driver.is_stopping.store(true, Ordering::Relaxed);
            let stays = if keep { stop.retention.stay() } else { stop.retention.stays() };
            if drain {
                stop.drain()
            } else {
                stop.stop()
            }
            let kept = entry.store.clone().map(|store| Kept { store, stays });
            self.wait(id).await?;
            return Ok(kept);
        }
        if drain {
            return Err(Error::new(format!("cannot drain job {id}"))
                .why("it takes no checkpoints")
                .fix("SET 'execution.checkpointing.interval' before it is started"));
        }
        entry.driver.task.abort();
        entry.purpose.keeps.iter().for_each(|view| view.stopped());
        locked(&entry.driver.status).send_replace(JobStatus::Stopped);
        Ok(None)
    }

    /// Ends a job if it runs, and removes its checkpoints.
    pub async fn discard(&mut self, id: &str) -> Result<()> {
        if self.is_running(id) {
            // However it ends, nothing of it stays.
            let _ = self.stop(id, false, false).await;
        }
        match self.store(id) {
            Some(store) => Ok(store.clear().await?),
            None => Ok(()),
        }
    }

    pub fn is_running(&self, id: &str) -> bool {
        self.jobs.iter().any(|entry| entry.id == id && entry.is_running())
    }

    /// The view that a job keeps.
    pub fn keeps(&self, id: &str) -> Option<Arc<View>> {
        self.jobs.iter().find(|entry| entry.id == id)?.purpose.keeps.clone()
    }

    /// Id and name of the running jobs that read a view.
    pub fn readers(&self, view: &Arc<View>) -> Vec<(String, String)> {
        let reads = |entry: &&Entry| entry.purpose.reads.iter().any(|read| Arc::ptr_eq(read, view));
        let running = self.jobs.iter().filter(reads).filter(|entry| entry.is_running());
        running.map(|entry| (entry.id.clone(), entry.name.clone())).collect()
    }

    /// Ends all jobs that take checkpoints. How each ended is reported.
    pub async fn stop_durable(&mut self) {
        let is_running = |entry: &&mut Entry| matches!(*entry.status.borrow(), JobStatus::Running);
        let mut stopping = Vec::new();
        for entry in self.jobs.iter_mut().filter(is_running) {
            let Some(stop) = &entry.stop else { continue };
            entry.driver.is_stopping.store(true, Ordering::Relaxed);
            stop.stop();
            stopping.push(&mut entry.status);
        }
        for status in stopping {
            let _ = status.wait_for(|status| !matches!(status, JobStatus::Running)).await;
        }
    }

    /// Whether a job runs that takes checkpoints.
    pub fn any_durable(&self) -> bool {
        self.jobs.iter().any(|entry| entry.stop.is_some() && matches!(*entry.status.borrow(), JobStatus::Running))
    }

    /// How many jobs of this name keep checkpoints and have not been stopped, nor failed.
    pub fn places_taken(&self, name: &str) -> usize {
        let is_taken = |entry: &&Entry| {
            let is_over = matches!(*entry.status.borrow(), JobStatus::Stopped | JobStatus::Failed(_));
            entry.name == name && entry.store.is_some() && !is_over
        };
        self.jobs.iter().filter(is_taken).count()
    }

    /// Where a job keeps its checkpoints.
    pub fn store(&self, id: &str) -> Option<Store> {
        self.jobs.iter().find(|entry| entry.id == id)?.store.clone()
    }

    pub fn summaries(&self) -> Vec<JobSummary> {
        self.jobs
            .iter()
            .map(|entry| JobSummary {
                id: entry.id.clone(),
                name: entry.name.clone(),
                status: entry.status.borrow().clone(),
                started: entry.started,
                rows_read: entry.metrics.rows_read.load(Ordering::Relaxed),
                rows_written: entry.metrics.rows_written.load(Ordering::Relaxed),
            })
            .collect()
    }

    /// The next thing a job reports; `None` once no job runs and everything was reported. Cancel-safe.
    pub async fn next_report(&mut self) -> Option<Report> {
        loop {
            if let Ok(report) = self.heard.try_recv() {
                return Some(report);
            }
            let running = self.jobs.iter_mut().find(|entry| matches!(*entry.status.borrow(), JobStatus::Running))?;
            tokio::select! {
                biased;
                report = self.heard.recv() => return report,
                _ = running.status.changed() => {}
            }
        }
    }
}

/// Nothing panics while holding this lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
