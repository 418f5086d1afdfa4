//! Flink's built-in scalar functions, with Flink's meaning.
//!
//! Each file holds one kind of function and offers `all`, the list the session registers. Names are lower case; the
//! session looks them up without regard to case. Names that start with `__` are what the dialect turns special syntax into
//! (`CAST(x AS INT)` is `__cast(x, 'INT')`); nobody writes them by hand.

pub mod access;
pub mod arithmetic;
pub mod call;
pub mod cast;
pub mod collection;
pub mod conditional;
pub mod datetime;
mod function;
pub mod json;
mod lists;
pub mod math;
pub mod numbering;
pub mod pattern;
pub mod row;
pub mod split;
pub mod string;
pub mod syntax;
pub mod window;
pub mod zone;

use std::sync::Arc;

use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{ScalarUDF, Volatility};
use tidemill_exec::Result;

pub use function::{Call, Function, Rows};
pub use zone::Zone;

/// Every scalar function, for a session in this time zone (`UTC`, `Europe/Berlin`, `+08:00`). `streaming` decides whether functions of the
/// current time give the instant of each row or one instant for the query.
///
/// # Errors
/// A time zone that does not exist.
pub fn all(time_zone: &str, streaming: bool) -> Result<Vec<Arc<ScalarUDF>>> {
    let zone = Zone::named(time_zone)?;
    let now = if streaming { Volatility::Volatile } else { Volatility::Stable };
    let functions = [
        cast::all(),
        conditional::all(),
        collection::all(),
        split::all(),
        row::all(),
        access::all(),
        arithmetic::all(),
        json::all(),
        window::all(),
        pattern::all(),
    ];
    let mut all: Vec<Arc<ScalarUDF>> =
        functions.into_iter().flatten().map(|function| function.into_udf(&zone)).collect();
    all.extend(string::all());
    all.extend(math::all());
    all.extend(datetime::all(time_zone, now));
    Ok(all)
}

/// What gives special syntax its meaning; to come before DataFusion's own.
///
/// `functions` are what [`all`] gave.
pub fn planners(functions: &[Arc<ScalarUDF>]) -> Vec<Arc<dyn ExprPlanner>> {
    vec![
        Arc::new(crate::dialect::Literals),
        Arc::new(syntax::FlinkSyntax::new(functions)),
        Arc::new(access::FieldAccess::default()),
        Arc::new(arithmetic::DecimalArithmetic::default()),
    ]
}
