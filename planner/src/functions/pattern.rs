//! What stands for navigation in the rows of a match while `MATCH_RECOGNIZE` is planned. None of it is ever computed: operators see columns
//! in its place.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use tidemill_exec::operators::End;
use tidemill_exec::{Error, Result};

use super::function::{Call, Function, Rows};
use crate::types::SqlType;

/// `FIRST(x)`, `FIRST(x, offset)`; once the variable is known, `__first(x, variable, offset)`. Without a variable it is of all rows.
pub const FIRST: &str = "__first";
pub const LAST: &str = "__last";
/// `__is_variable(any column, variable)`: the row is one of the variable, in the filter of an aggregate.
pub const IS_VARIABLE: &str = "__is_variable";
/// `__classifier(any column)`
pub const CLASSIFIER: &str = "__classifier";

pub fn all() -> Vec<Function> {
    let same = |call: &Call<'_>| Ok(SqlType::of(&call.fields[0]).nullable(true));
    vec![
        // Of a constant, which the optimizer may compute, every value is the same.
        Function::new(FIRST, 1, 3, same, |rows| rows.array(0)),
        Function::new(LAST, 1, 3, same, |rows| rows.array(0)),
        Function::new(IS_VARIABLE, 2, 2, |_| Ok(SqlType::new(DataType::Boolean, false)), nowhere),
        Function::new(CLASSIFIER, 1, 1, |_| Ok(SqlType::new(DataType::Utf8, true)), nowhere),
    ]
}

fn nowhere(_: &Rows<'_>) -> Result<arrow::array::ArrayRef> {
    Err(Error::new("CLASSIFIER() has no meaning here").why("it is known to the MEASURES and DEFINE of MATCH_RECOGNIZE"))
}

/// The name and arguments of one of these calls.
pub fn as_call(expr: &Expr) -> Option<(&'static str, &[Expr])> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let name = [FIRST, LAST, IS_VARIABLE, CLASSIFIER].into_iter().find(|name| *name == call.func.name())?;
    Some((name, &call.args))
}

/// One row of a match.
pub struct Navigated<'a> {
    pub end: End,
    pub value: &'a Expr,
    /// Its name; empty for all rows.
    pub variable: &'a str,
    pub offset: usize,
}

/// What `__first(x, variable, offset)` and `__last(..)` say.
pub fn navigated(expr: &Expr) -> Option<Navigated<'_>> {
    let (name, [value, variable, offset]) = as_call(expr)? else { return None };
    let end = if name == FIRST { End::First } else { End::Last };
    Some(Navigated { end, value, variable: literal_text(variable)?, offset: offset_of(offset)? })
}

/// What [`IS_VARIABLE`] asks for.
pub fn variable_asked(expr: &Expr) -> Option<&str> {
    match as_call(expr)? {
        (IS_VARIABLE, [_, variable]) => literal_text(variable),
        _ => None,
    }
}

fn literal_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// A literal number of rows.
pub fn offset_of(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64).ok()? {
            ScalarValue::Int64(Some(offset)) => usize::try_from(offset).ok(),
            _ => None,
        },
        _ => None,
    }
}
