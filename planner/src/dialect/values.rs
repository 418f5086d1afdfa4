//! `VALUES` whose rows agree on a type but not on its details.
//!
//! DataFusion insists that the cells of a column carry the same metadata, which is where `TIMESTAMP(2)` and `VARCHAR(3)` are kept.
//! Where a column's cells may differ in it, they are asked for their plain types, `TIMESTAMP` and `STRING`, which hold them all.

use datafusion::sql::sqlparser::ast::{Expr, SetExpr, TypedString, Value, Values};

use super::marker::call;

/// Drops the details of its argument's type.
const PLAIN: &str = "__plain";

/// Evens out the columns of every `VALUES` that is directly in `body`.
pub(super) fn even(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            even(left);
            even(right);
        }
        SetExpr::Values(Values { rows, .. }) if rows.len() > 1 => {
            let columns = rows.iter().map(|row| row.content.len()).min().unwrap_or(0);
            for column in 0..columns {
                let first = detail(&rows[0].content[column]);
                if first.is_some() && rows.iter().all(|row| detail(&row.content[column]) == first) {
                    continue;
                }
                for row in rows.iter_mut() {
                    let cell = &mut row.content[column];
                    if detail(cell).as_deref() != Some("") {
                        let bare = std::mem::replace(cell, Expr::value(Value::Null));
                        *cell = call(PLAIN, vec![bare]);
                    }
                }
            }
        }
        _ => {}
    }
}

/// The details a cell's type has: none for a plain literal, those it is written with, or unknown.
fn detail(cell: &Expr) -> Option<String> {
    match cell {
        Expr::Value(_) => Some(String::new()),
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) => detail(expr).filter(String::is_empty),
        Expr::Cast { data_type, .. } => Some(data_type.to_string()),
        Expr::TypedString(TypedString { data_type, value, .. }) => {
            let text = value.to_string();
            let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            Some(format!("{data_type} {fraction}"))
        }
        _ => None,
    }
}
