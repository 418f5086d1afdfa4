//! The driver's side of checkpoints: gathers what tasks hand over, and has one written at a time.

use tidemill_state::CheckpointId;
use tidemill_state::checkpoint::Kind;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Checkpointer, Published, TaskSnapshot};
use crate::coordinator::{Rhythm, TaskId};
use crate::error::Result;
use crate::runtime::catch_panic;
use crate::task::Report;

pub struct Checkpoints {
    /// Away while it writes.
    checkpointer: Option<Box<Checkpointer>>,
    /// In order of arrival; without a checkpoint from tasks that have ended.
    arrived: Vec<(TaskId, Option<CheckpointId>, TaskSnapshot)>,
    reports: mpsc::UnboundedSender<Report>,
    failures: u32,
    is_last: bool,
}

impl Checkpoints {
    /// What becomes of each checkpoint goes to `reports`.
    pub fn new(checkpointer: Checkpointer, reports: mpsc::UnboundedSender<Report>) -> Checkpoints {
        let checkpointer = Some(Box::new(checkpointer));
        Checkpoints { checkpointer, arrived: Vec::new(), reports, failures: 0, is_last: false }
    }

    /// The rhythm of checkpoints, and the number of the first.
    pub fn begin(&self) -> (Rhythm, CheckpointId) {
        let checkpointer = self.checkpointer.as_ref().expect("it is only away while a checkpoint is written");
        (checkpointer.durability().rhythm, checkpointer.token.first)
    }

    pub fn arrived(&mut self, task: TaskId, checkpoint: Option<CheckpointId>, snapshot: TaskSnapshot) {
        self.arrived.push((task, checkpoint, snapshot));
    }

    /// Begins to write a checkpoint, beside the tasks. All its snapshots have arrived; if it is the last, nothing comes after.
    pub fn publish(&mut self, checkpoint: CheckpointId, is_last: bool, deadline: Instant) {
        let mut checkpointer = self.checkpointer.take().expect("one checkpoint is under way at a time");
        self.is_last = is_last;
        let passed: Vec<TaskId> =
            self.arrived.iter().filter(|(_, of, _)| *of == Some(checkpoint)).map(|entry| entry.0).collect();
        // What a task left at its end belongs to this one, unless it had passed the barrier before.
        let belongs = |(task, of, _): &mut (TaskId, Option<CheckpointId>, TaskSnapshot)| match of {
            Some(of) => *of <= checkpoint,
            None => !passed.contains(task),
        };
        for (task, _, snapshot) in self.arrived.extract_if(.., belongs) {
            checkpointer.take(task, snapshot);
        }
        let kind = if is_last { Kind::Last } else { Kind::Periodic };
        let reports = self.reports.clone();
        tokio::spawn(async move {
            let published = catch_panic(checkpointer.publish(checkpoint, kind, deadline)).await;
            let failed = |error| Published { checkpoint, outcome: Err(error), notes: Vec::new() };
            let published = published.unwrap_or_else(failed);
            // The job may be over.
            let _ = reports.send(Report::Checkpoint(checkpointer, published));
        });
    }

    /// The checkpoint has been written, or has failed. Says so if it failed and the job goes on.
    ///
    /// # Errors
    /// The job must not go on: another process has it, more checkpoints have failed than may, or there will be no other.
    pub fn returned(&mut self, checkpointer: Box<Checkpointer>, published: Published) -> Result<Option<String>> {
        let tolerable = checkpointer.durability().tolerable_failures;
        let is_taken_over = checkpointer.is_taken_over();
        self.checkpointer = Some(checkpointer);
        match published.outcome {
            Ok(()) => {
                self.failures = 0;
                Ok(None)
            }
            Err(error) => {
                self.failures += 1;
                let is_too_often = tolerable.is_some_and(|tolerable| self.failures > tolerable);
                match is_taken_over || is_too_often || self.is_last {
                    true => Err(error),
                    false => {
                        Ok(Some(format!("checkpoint {} failed, the job goes on: {error}", published.checkpoint.0)))
                    }
                }
            }
        }
    }

    /// A checkpoint is being written.
    pub fn is_away(&self) -> bool {
        self.checkpointer.is_none()
    }

    /// Another process has the job.
    pub fn is_taken_over(&self) -> bool {
        self.checkpointer.as_ref().is_some_and(|checkpointer| checkpointer.is_taken_over())
    }

    /// The job has ended and its last checkpoint is there.
    pub async fn end(self, was_stopped: bool) -> Result<()> {
        match self.checkpointer {
            Some(checkpointer) => checkpointer.end(was_stopped).await,
            None => Ok(()),
        }
    }
}
