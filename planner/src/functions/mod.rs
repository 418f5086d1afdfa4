//! Flink's built-in scalar functions, with Flink's meaning.
//!
//! Each file holds one kind of function and offers `all`, the list the session registers. Names are lower case; the
//! session looks them up without regard to case.

pub mod call;
pub mod datetime;
pub mod math;
pub mod string;
pub mod syntax;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::planner::ExprPlanner;

/// Every scalar function, for a session in this time zone. `streaming` decides whether functions of the current time give the instant
/// of each row or one instant for the query.
pub fn all(_time_zone: &str, _streaming: bool) -> Vec<Arc<ScalarUDF>> {
    string::all()
}

/// What gives special syntax its meaning; to come before DataFusion's own.
pub fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(crate::dialect::Literals)]
}
