//! What survives a crash: keyed tables, key groups, and (with checkpoints) the files they are kept in.
//!
//! This crate knows Arrow, but no operator, no plan and no SQL.

pub mod checkpoint;
mod ids;
mod key_table;
mod keys;

pub use ids::{CheckpointId, Epoch, EventTime, KEY_GROUPS, KeyGroup, KeyGroupRange};
pub use key_table::KeyTable;
pub use keys::hash_rows;
