//! What survives a crash: keyed tables, in memory and on local disk, key groups, and the files of checkpoints.
//!
//! This crate knows Arrow, but no operator, no plan and no SQL.

pub mod checkpoint;
mod ids;
mod key_table;
mod keys;
mod spill;

pub use ids::{CheckpointId, Epoch, EventTime, KEY_GROUPS, KeyGroup, KeyGroupRange};
pub use key_table::KeyTable;
pub use keys::hash_rows;
pub use spill::{Batches, Spill, SpillError, SpillTable, SpilledFile, SpilledRows, SpilledTable};
