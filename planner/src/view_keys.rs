//! Which keys of a materialized view a query asks for: its conditions `k = 1`, `k IN (1, 2)`, for every column of the key.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use tidemill_exec::Result;
use tidemill_exec::view::View;

/// More keys than this are not looked up one by one.
const KEYS_MAX: usize = 10_000;

/// Whether a condition says which values a column of the key may have.
pub fn names_keys(view: &View, condition: &Expr) -> bool {
    column_and_values(condition).is_some_and(|(column, values)| is_of_key(view, column, &values))
}

/// The keys that conditions leave, each once, as columns in the order of the key; `None` if they leave some column of it open.
pub fn keys(view: &View, conditions: &[Expr]) -> Result<Option<Vec<ArrayRef>>> {
    let Some(key) = view.key() else { return Ok(None) };
    let mut allowed: BTreeMap<&str, Vec<ScalarValue>> = BTreeMap::new();
    for (column, values) in conditions.iter().filter_map(column_and_values) {
        if is_of_key(view, column, &values) {
            // Another condition on the same column is left to the filter behind.
            allowed.entry(column).or_insert(values);
        }
    }
    let columns = key.iter().map(|&column| allowed.remove(view.schema().field(column).name().as_str()));
    let Some(columns) = columns.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let count = columns.iter().try_fold(1usize, |count, values| count.checked_mul(values.len()));
    let Some(count) = count.filter(|&count| count <= KEYS_MAX) else { return Ok(None) };
    // All combinations: value n of a column stands for as many keys as the columns behind it have together.
    let mut behind = count;
    let mut keys: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for values in columns {
        behind /= values.len();
        let (of, behind) = (values.len(), behind);
        let places: UInt32Array = (0..count).map(|key| (key / behind % of) as u32).collect();
        keys.push(arrow::compute::take(&ScalarValue::iter_to_array(values)?, &places, None)?);
    }
    Ok(Some(keys))
}

/// A column, and the values that it may have, each once.
fn column_and_values(condition: &Expr) -> Option<(&str, Vec<ScalarValue>)> {
    let (column, mut values) = match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => {
                (column.name.as_str(), vec![value.clone()])
            }
            _ => return None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let ((column, mut values), (other, more)) = (column_and_values(left)?, column_and_values(right)?);
            values.extend(more);
            (column == other).then_some((column, values))?
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(column) = expr.as_ref() else { return None };
            let values = list.iter().map(|value| match value {
                Expr::Literal(value, _) => Some(value.clone()),
                _ => None,
            });
            (column.name.as_str(), values.collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    };
    // Nothing equals null.
    values.retain(|value| !value.is_null());
    let mut distinct = std::collections::HashSet::new();
    values.retain(|value| distinct.insert(value.clone()));
    (!values.is_empty()).then_some((column, values))
}

/// Values of the very type of the column, and of one whose equal values look the same (0.0 and -0.0 do not).
fn is_of_key(view: &View, column: &str, values: &[ScalarValue]) -> bool {
    let of_key = |&n: &usize| {
        let field = view.schema().field(n);
        let is_exact = !matches!(field.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64);
        field.name() == column && is_exact && values.iter().all(|value| value.data_type() == *field.data_type())
    };
    view.key().is_some_and(|key| key.iter().any(of_key))
}

/// `(account) = (1), (2), ...`, for `EXPLAIN`.
pub fn shown(view: &Arc<View>, keys: &[ArrayRef]) -> String {
    let names = view.key().unwrap_or_default().iter().map(|&column| view.schema().field(column).name().as_str());
    let count = keys.first().map_or(0, |column| column.len());
    let what = if count == 1 { "key" } else { "keys" };
    format!("lookup={count} {what} of ({})", names.collect::<Vec<_>>().join(", "))
}
