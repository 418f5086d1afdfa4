//! Recorded Flink cases: what Flink printed for a script, and whether we give the same.

mod case;
mod compare;

pub use case::{Case, Comparison, cases};
pub use compare::{Verdict, verdict};
