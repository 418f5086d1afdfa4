//! Expressions as columns.

use arrow::compute::SortOptions;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, SortExpr};
use tidemill_exec::Result;
use tidemill_exec::operators::Order;

/// Columns for expressions: those of `schema` as they are, others as columns behind them.
pub(super) struct Columns<'a> {
    pub schema: &'a DFSchema,
    pub extra: Vec<(String, Expr)>,
}

impl Columns<'_> {
    pub fn new(schema: &DFSchema) -> Columns<'_> {
        Columns { schema, extra: Vec::new() }
    }

    pub fn place(&mut self, expr: &Expr) -> Result<usize> {
        if let Expr::Column(column) = expr {
            return Ok(self.schema.index_of_column(column)?);
        }
        let known = self.extra.iter().position(|(_, known)| known == expr);
        let place = known.unwrap_or_else(|| {
            self.extra.push((format!("$column{}", self.extra.len()), expr.clone()));
            self.extra.len() - 1
        });
        Ok(self.schema.fields().len() + place)
    }

    pub fn order(&mut self, sort: &[SortExpr]) -> Result<Vec<Order>> {
        let order = |sort: &SortExpr| {
            let options = SortOptions { descending: !sort.asc, nulls_first: sort.nulls_first };
            Ok(Order { column: self.place(&sort.expr)?, options })
        };
        sort.iter().map(order).collect()
    }
}
