//! Checkpoints of running jobs: what is in them, how one comes about, and how a job goes on from one.
//!
//! The coordinator decides when, barriers carry the decision, each task hands over what it knows at its barrier (a [`TaskSnapshot`])
//! and goes on. A [`Checkpointer`] beside the driver turns all of them into files, publishes the manifest, and has the sinks commit.
//! A job that starts is a [`Recovery`] first: the newest whole checkpoint becomes what its tasks begin with.

mod checkpointer;
mod collect;
mod commit;
mod meaning;
mod place;
mod recovery;
mod rescale;
mod restart;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidemill_state::checkpoint::{CheckpointError, SplitState, Store};

pub(crate) use checkpointer::put;
pub use checkpointer::{Checkpointer, Published};
pub use collect::Checkpoints;
pub use meaning::{Identity, Meaning, meaning};
pub use place::{in_memory, place, place_as_found, place_for, place_of, places};
pub use recovery::{Begin, Fate, Recovery, check, savepoint, state};
pub use rescale::rescale;
pub use restart::{RestartStrategy, Restarts};

use crate::coordinator::Rhythm;
use crate::error::Error;
use crate::operator::TableSnapshot;

/// Where and how a job keeps its checkpoints.
#[derive(Clone, Debug)]
pub struct Durability {
    pub store: Store,
    pub rhythm: Rhythm,
    /// So many checkpoints in a row may fail before the job does; `None`: any number.
    pub tolerable_failures: Option<u32>,
    /// So many checkpoints stay, the newest.
    pub retained: usize,
    pub retention: Retention,
    /// The statement, for whoever looks into the directory.
    pub statement: String,
    /// Whether the job starts again by itself when it has failed.
    pub restart: RestartStrategy,
    /// Where a job begins that has no checkpoint of its own yet: a savepoint.
    pub start_from: Option<Store>,
    /// State that no operator of the job takes is left behind, rather than refused.
    pub allow_non_restored: bool,
}

impl Durability {
    /// With defaults: a checkpoint every ten seconds.
    pub fn new(store: Store) -> Durability {
        let rhythm =
            Rhythm { interval: Duration::from_secs(10), min_pause: Duration::ZERO, timeout: Duration::from_secs(600) };
        let (tolerable_failures, retained, start_from) = (None, 2, None);
        let (statement, retention, allow_non_restored) = (String::new(), Retention::new(true), false);
        Durability {
            store,
            rhythm,
            tolerable_failures,
            retained,
            restart: RestartStrategy::None,
            retention,
            statement,
            start_from,
            allow_non_restored,
        }
    }
}

/// Whether checkpoints stay when the job is told to stop. When it has come to the end of its input they go.
#[derive(Clone, Debug)]
pub struct Retention(Arc<AtomicBool>);

impl Retention {
    pub fn new(stays: bool) -> Retention {
        Retention(Arc::new(AtomicBool::new(stays)))
    }

    pub fn stays(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// From now on they stay, for all who share this. Whether they would have without that.
    pub fn stay(&self) -> bool {
        self.0.swap(true, Ordering::Relaxed)
    }
}

/// What one task knows at a barrier, or at its end.
#[derive(Debug, Default)]
pub struct TaskSnapshot {
    /// How far each of its splits is read, if it reads a table.
    pub splits: Vec<SplitState>,
    /// By place in the chain.
    pub operators: Vec<Vec<TableSnapshot>>,
    /// What its sink has prepared since the last one.
    pub prepared: Vec<Bytes>,
    /// How long the task was held up at the barrier by handing over its state.
    pub stall: Duration,
}

impl From<CheckpointError> for Error {
    fn from(error: CheckpointError) -> Error {
        let text = error.to_string();
        match error {
            CheckpointError::Store { path, why } => Error::new(format!("cannot use the checkpoint file {path}"))
                .why(why)
                .fix("see to its directory, or give another one with --state-dir"),
            CheckpointError::Damaged { .. } | CheckpointError::Missing { .. } => Error::new(text),
            CheckpointError::TooNew { .. } => {
                Error::new(text).fix("use the version of tidemill that wrote it, or a newer one")
            }
            CheckpointError::Locked { .. } | CheckpointError::TakenOver { .. } => {
                Error::new("this job is run by another process")
                    .why(text)
                    .fix("stop one of the two, or give this one a directory of its own with --state-dir")
            }
        }
    }
}
