//! The scalar functions of the dialect, with Flink's meaning where DataFusion has another or none.
//!
//! Names that start with `__` are what the dialect turns special syntax into (`CAST(x AS INT)` is `__cast(x, 'INT')`);
//! nobody writes them by hand.

pub mod access;
pub mod arithmetic;
pub mod cast;
pub mod collection;
pub mod conditional;
mod function;
pub mod json;
mod lists;
pub mod row;
pub mod split;
pub mod text;
pub mod zone;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::planner::ExprPlanner;
use tidemill_exec::Result;

pub use function::{Call, Function, Rows};
pub use zone::Zone;

/// All scalar functions for a session in this time zone (`UTC`, `Europe/Berlin`, `+08:00`).
///
/// # Errors
/// A time zone that does not exist.
pub fn all(time_zone: &str) -> Result<Vec<Arc<ScalarUDF>>> {
    let zone = Zone::parse(time_zone)?;
    let functions = [
        cast::all(),
        conditional::all(),
        collection::all(),
        split::all(),
        row::all(),
        access::all(),
        arithmetic::all(),
        json::all(),
    ];
    Ok(functions.into_iter().flatten().map(|function| function.into_udf(&zone)).collect())
}

/// The planners of expressions that go with the functions, to be asked before DataFusion's own.
pub fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(access::FieldAccess::default()), Arc::new(arithmetic::DecimalArithmetic::default())]
}

#[cfg(test)]
mod tests;
