//! Checkpoints: what a job was at one instant, in files that outlive its process.
//!
//! ```text
//! <dir>/<job>/chk-7/manifest.json            the checkpoint exists if and only if this does
//! <dir>/<job>/chk-7/<operator>.<table>.<shard>.parquet
//! <dir>/<job>/latest                         "7 2": the number published last, and by which generation
//! ```
//!
//! A manifest names all files it needs, be they in its own directory or in those of earlier checkpoints. Files never change once
//! they are written, so a checkpoint costs what has changed since the last one.

mod files;
mod manifest;
mod store;

pub use files::{CheckpointError, fingerprint, merge};
pub use manifest::{
    Cost, Distribution, FORMAT, FileEntry, Kind, Manifest, OperatorState, SinkState, SourceState, SplitState,
    TableState, hex, unhex,
};
pub use store::{Found, Lock, Store};
