use datafusion::logical_expr::*;
use std::sync::Arc;
pub fn all(_tz: &str, _s: bool) -> Vec<Arc<ScalarUDF>> {
    vec![]
}
pub fn planners() -> Vec<Arc<dyn datafusion::logical_expr::planner::ExprPlanner>> {
    vec![]
}
