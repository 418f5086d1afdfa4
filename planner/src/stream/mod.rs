//! Logical plan to streaming plan: operators chosen, changes resolved.

mod aggregate;
mod join;
mod lower;
mod own;
mod plan;
mod rank;
mod recursion;
mod watermark;
mod window;

pub(crate) use lower::nullable;
pub use lower::stream;
pub use plan::{Distribution, PlanOp, Props, Recursion, StreamPlan, Times, WindowColumns};
