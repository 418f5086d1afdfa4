//! Logical plan to streaming plan: operators chosen, changes resolved.

mod aggregate;
mod bound;
mod chain;
mod columns;
mod join;
mod lookup;
mod lower;
mod matching;
mod multi_join;
mod over;
mod own;
mod plan;
mod rank;
mod recursion;
mod shared;
mod temporal;
mod watermark;
mod window;

pub use lower::stream;
pub(crate) use lower::{nullable, unqualified};
pub use plan::{Distribution, PlanOp, Props, Recursion, StreamPlan, Times, WindowColumns};
pub use rank::{one_of_key, only_of_key};
