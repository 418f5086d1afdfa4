//! Benches: each answers one question about the whole program, over data it generates, and checks the answer.
//!
//! ```text
//! main ──> wordcount, nexmark, keys, latency, startup ... ──> engine   runs tidemill as a child process, measures it
//!               └──> text, events, number    make data        └──> figures   what is printed
//! ```

pub mod checkpoints;
pub mod engine;
pub mod events;
pub mod figures;
pub mod ingest;
pub mod jobs;
pub mod keys;
pub mod latency;
pub mod nexmark;
pub mod number;
pub mod passthrough;
pub mod startup;
pub mod text;
pub mod windows;
pub mod wordcount;

/// Why a bench gave no figure.
pub type Failure = Box<dyn std::error::Error>;
