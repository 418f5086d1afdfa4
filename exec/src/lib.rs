//! From a job graph to running tasks: messages, operators, exchanges, barriers, connectors and formats.
//!
//! This crate never sees SQL text, a logical plan or a catalog.

pub mod aggregate;
pub mod changelog;
pub mod connect;
pub mod connectors;
pub mod error;
pub mod formats;
pub mod message;
pub mod operator;
pub mod text;

pub use changelog::{ChangeBatch, RowKind};
pub use error::{Error, Place, Result};
pub use message::{Barrier, Batch, Changes, Message};
pub use operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
