//! Recorded Flink cases: what Flink printed for a script, and whether we give the same.

mod case;
mod compare;
mod killed;

pub use case::{Case, Comparison, cases, listed};
pub use compare::{Verdict, Way, run, verdict};
pub use killed::killed;
