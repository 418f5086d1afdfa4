//! Logical plan to streaming plan: operators chosen, changes resolved.

mod aggregate;
mod lower;
mod plan;

pub use lower::{Lowering, stream};
pub use plan::{Distribution, PlanOp, Props, StreamPlan};
