//! From a job graph to running tasks: messages, operators, exchanges, barriers, connectors and formats.
//!
//! This crate never sees SQL text, a logical plan or a catalog.

pub mod aggregate;
pub mod batch;
pub mod changelog;
pub mod checkpoint;
mod compare;
pub mod connect;
pub mod connectors;
pub mod coordinator;
mod copying;
pub mod error;
pub mod exchange;
pub mod formats;
pub mod graph;
pub mod lookup;
pub mod message;
mod news;
pub mod operator;
pub mod operators;
pub mod planted;
pub mod progress;
pub mod runtime;
mod task;
#[cfg(test)]
pub mod testing;
pub mod text;
pub mod view;
pub mod window;
pub mod write_ahead;

pub use changelog::{ChangeBatch, RowKind};
pub use error::{Error, Place, Result};
pub use graph::JobGraph;
pub use message::{Barrier, Batch, Changes, Message};
pub use operator::{ExplainLine, Input, JobToken, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
pub use runtime::{Job, JobEvent, JobOptions, Metrics, StateBackend, Stop, catch_panic, launch};
