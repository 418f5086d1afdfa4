//! Which windows a GROUP BY can make itself, so that rows are never multiplied into windows.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::{self as logical, Expr, Extension, LogicalPlan};

use crate::window::{WindowNode, Windowing};

/// Windows that a GROUP BY makes itself: the input with the window as a stand-in for the time, and the names of the window's columns at
/// the GROUP BY.
pub(super) struct OwnWindows {
    pub input: LogicalPlan,
    pub windows: Windowing,
    /// Start, end, time.
    pub columns: [Column; 3],
}

impl OwnWindows {
    pub fn is_session(&self) -> bool {
        matches!(self.windows, Windowing::Sessions(_))
    }

    /// Which of the window's columns this is.
    pub fn position(&self, expr: &Expr) -> Option<usize> {
        let Expr::Column(column) = expr else { return None };
        self.columns.iter().position(|own| own == column)
    }

    /// Those of `node`, if it groups by both ends of windows that are made below it, and nothing in between or in its aggregates needs the
    /// window of a row.
    pub fn of(node: &logical::Aggregate, keys: &[Expr]) -> Option<OwnWindows> {
        let (input, windows, columns, partition) = own_input(&node.input)?;
        let own = OwnWindows { input, windows, columns };
        let places: Vec<Option<usize>> = keys.iter().map(|key| own.position(key)).collect();
        let others = || keys.iter().zip(&places).filter(|(_, place)| place.is_none()).map(|(key, _)| key);
        let groups_by_window = places.contains(&Some(0)) && places.contains(&Some(1));
        if !groups_by_window || others().chain(&node.aggr_expr).any(|expr| own.uses_window(expr)) {
            return None;
        }
        if let Windowing::Sessions(_) = own.windows {
            // The sessions of a key are those of the group only if the key is the group.
            let is_partition = |key: &Expr| matches!(key, Expr::Column(column) if partition.contains(column));
            if others().count() != partition.len() || !others().all(is_partition) {
                return None;
            }
        }
        Some(own)
    }

    fn uses_window(&self, expr: &Expr) -> bool {
        expr.column_refs().into_iter().any(|column| self.columns.contains(column))
    }
}

/// The plan with the windows under it made stand-ins; which windows; their columns at the top of the plan; and there the columns whose values
/// have sessions of their own.
fn own_input(plan: &LogicalPlan) -> Option<(LogicalPlan, Windowing, [Column; 3], Vec<Column>)> {
    let rebuilt = |input: LogicalPlan| plan.with_new_exprs(plan.expressions(), vec![input]).ok();
    match plan {
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any().downcast_ref::<WindowNode>()?;
            let width = node.width();
            let schema = plan.schema();
            let column = |index: usize| Column::from(schema.qualified_field(index));
            let keys = node.keys().ok()?.into_iter().map(column).collect();
            let sliced = node.as_slices();
            let plan = LogicalPlan::Extension(Extension { node: Arc::new(sliced) });
            Some((plan, node.windows, [column(width), column(width + 1), column(width + 2)], keys))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, windows, columns, keys) = own_input(&alias.input)?;
            let below = alias.input.schema();
            let above = |column: Column| -> Option<Column> {
                Some(Column::from(plan.schema().qualified_field(below.index_of_column(&column).ok()?)))
            };
            let [start, end, time] = columns.map(above);
            let keys = keys.into_iter().map(above).collect::<Option<_>>()?;
            Some((rebuilt(input)?, windows, [start?, end?, time?], keys))
        }
        LogicalPlan::Filter(filter) => {
            let (input, windows, columns, keys) = own_input(&filter.input)?;
            let uses = |column: &Column| filter.predicate.column_refs().contains(column);
            // A row that is filtered out still holds its session together.
            let holds_sessions = matches!(windows, Windowing::Sessions(_))
                && !filter.predicate.column_refs().iter().all(|column| keys.contains(column));
            match columns.iter().any(uses) || holds_sessions {
                true => None,
                false => Some((rebuilt(input)?, windows, columns, keys)),
            }
        }
        LogicalPlan::Projection(projection) => {
            let (input, windows, columns, keys) = own_input(&projection.input)?;
            let above = |wanted: &Column| {
                let passes = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Column(column) if column == *wanted);
                let index = projection.expr.iter().position(passes)?;
                Some(Column::from(plan.schema().qualified_field(index)))
            };
            let computes = projection.expr.iter().any(|expr| {
                let refs = expr.column_refs();
                !matches!(expr.clone().unalias(), Expr::Column(_)) && columns.iter().any(|column| refs.contains(column))
            });
            if computes {
                return None;
            }
            let [start, end, time] = [0, 1, 2].map(|n| above(&columns[n]));
            // A time that is not passed on has a name that nothing uses.
            let nowhere = || Column::new_unqualified("no column");
            let keys = keys.iter().map(above).collect::<Option<_>>()?;
            Some((rebuilt(input)?, windows, [start.unwrap_or_else(nowhere), end?, time.unwrap_or_else(nowhere)], keys))
        }
        _ => None,
    }
}
