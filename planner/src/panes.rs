//! Windows in batch: rows are aggregated in panes first, and panes are put into windows, so that no row is multiplied.
//!
//! ```text
//! AggregateExec: Final,   gby=[k, window_start, window_end]           AggregateExec: Final, as before
//!   AggregateExec: Partial, gby=[k, window_start, window_end]           window-assign(hop(slide=2 s, size=10 s)), over the panes' starts
//!     window-assign(hop(slide=2 s, size=10 s))                   =>       AggregateExec: Partial, gby=[k, window_start]
//!                                                                           window-assign(tumble(size=2 s))
//! ```
//!
//! A pane is what a slice is in a stream: a piece of time that belongs to each window whole or not at all.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::projection::ProjectionExec;
use tidemill_exec::batch::OperatorExec;
use tidemill_exec::operators::WindowAssign;
use tidemill_exec::window::{LocalClock, Shape, Windows};

type DataFusionResult<T> = datafusion::common::Result<T>;

/// Aggregates whose results are those of their panes, in any order.
const OF_PANES: [&str; 5] = ["count", "sum", "min", "max", "avg"];

#[derive(Debug)]
pub struct Panes;

impl PhysicalOptimizerRule for Panes {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let changed = plan.transform_down(|plan| {
            Ok(match in_panes(plan.as_ref())? {
                Some(changed) => Transformed::yes(changed),
                None => Transformed::no(plan),
            })
        });
        Ok(changed?.data)
    }

    fn name(&self) -> &str {
        "panes"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The windows that rows get below an aggregation.
struct Assigned<'a> {
    exec: &'a OperatorExec,
    assign: &'a WindowAssign,
    /// Which of its columns the aggregation sees.
    projection: Option<&'a ProjectionExec>,
}

impl<'a> Assigned<'a> {
    fn below(partial: &'a AggregateExec) -> Option<Assigned<'a>> {
        let projection = partial.input().downcast_ref::<ProjectionExec>();
        let exec = projection.map_or(partial.input(), ProjectionExec::input).downcast_ref::<OperatorExec>()?;
        Some(Assigned { exec, assign: exec.operator()?, projection })
    }

    /// Which column of the window an expression of the aggregation is: 0 start, 1 end, 2 time.
    fn part(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
        let mut expr = expr;
        if let Some(projection) = self.projection {
            expr = &projection.expr().get(expr.downcast_ref::<Column>()?.index())?.expr;
        }
        let index = expr.downcast_ref::<Column>()?.index();
        index.checked_sub(self.assign.schema.fields().len() - PARTS)
    }

    /// Whether a value follows from the window, and so would be another in a pane.
    fn is_of_window(&self, expr: &Arc<dyn PhysicalExpr>) -> bool {
        let first = self.assign.schema.fields().len() - PARTS;
        let is_part = |column: &Column| column.index() >= first;
        collect_columns(expr).iter().any(|column| match self.projection.map(ProjectionExec::expr) {
            Some(exprs) => {
                exprs.get(column.index()).is_none_or(|inner| collect_columns(&inner.expr).iter().any(is_part))
            }
            None => is_part(column),
        })
    }

    /// The same rows with their panes instead.
    fn panes(&self) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let windows = self.assign.windows;
        let panes = Windows { shape: Shape::Tumble { size: windows.slice_length() }, ..windows };
        let assign = WindowAssign { windows: panes, schema: Arc::clone(&self.assign.schema), time: self.assign.time };
        let exec: Arc<dyn ExecutionPlan> = Arc::new(OperatorExec::new(Arc::new(assign), Arc::clone(self.exec.input())));
        Ok(match self.projection {
            Some(projection) => Arc::new(ProjectionExec::try_new(projection.expr().to_vec(), exec)?),
            None => exec,
        })
    }
}

/// Columns that a window has: start, end, time.
const PARTS: usize = 3;

/// The aggregation in panes, if it is one of windows that can be made of them.
fn in_panes(plan: &dyn ExecutionPlan) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(last) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let Some(first) = last.input().downcast_ref::<AggregateExec>() else { return Ok(None) };
    let Some(assigned) = Assigned::below(first) else { return Ok(None) };
    let windows = assigned.assign.windows;
    let merges = matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned);
    let keys = first.group_expr();
    let parts: Vec<Option<usize>> = keys.expr().iter().map(|(key, _)| assigned.part(key)).collect();
    let is_pane = matches!(windows.shape, Shape::Tumble { .. });
    let values = || {
        let others =
            keys.expr().iter().zip(&parts).filter(|(_, part)| part.is_none()).map(|((key, _), _)| Arc::clone(key));
        let arguments = first.aggr_expr().iter().flat_map(|call| call.expressions());
        others.chain(arguments).chain(first.filter_expr().iter().flatten().cloned())
    };
    let can = merges
        && *first.mode() == AggregateMode::Partial
        && keys.is_single()
        && windows.clock == LocalClock::UTC
        && parts.contains(&Some(0))
        && (is_pane || parts.contains(&Some(1)))
        && (is_pane || !values().any(|value| assigned.is_of_window(&value)))
        && first.aggr_expr().iter().all(|call| is_pane || OF_PANES.contains(&call.fun().name()));
    if !can {
        return Ok(None);
    }
    // By the start of the pane instead of all that is known of the window.
    let kept: Vec<usize> = (0..parts.len()).filter(|&key| matches!(parts[key], None | Some(0))).collect();
    let group_by = PhysicalGroupBy::new_single(kept.iter().map(|&key| keys.expr()[key].clone()).collect());
    let input = assigned.panes()?;
    let (calls, filters) = (first.aggr_expr().to_vec(), first.filter_expr().to_vec());
    let aggregated =
        AggregateExec::try_new(AggregateMode::Partial, group_by, calls, filters, input, first.input_schema())?;
    let aggregated_schema = aggregated.schema();

    let start = kept.iter().position(|&key| parts[key] == Some(0)).expect("one of the keys is the start");
    let schema = with_window(&aggregated_schema, &assigned.assign.schema);
    let width = aggregated_schema.fields().len();
    let windowed = OperatorExec::new(
        Arc::new(WindowAssign { windows, time: start, schema: Arc::clone(&schema) }),
        Arc::new(aggregated),
    );

    // As the aggregation gave them before.
    let place = |column: usize| match parts.get(column) {
        Some(Some(part)) => width + part,
        Some(None) => kept.iter().position(|&key| key == column).expect("other keys are kept"),
        None => column - parts.len() + kept.len(),
    };
    let wanted = first.schema();
    let columns = wanted.fields().iter().enumerate().map(|(column, field)| {
        let place = place(column);
        (Arc::new(Column::new(schema.field(place).name(), place)) as Arc<dyn PhysicalExpr>, field.name().clone())
    });
    let columns: Vec<_> = columns.collect();
    let rows = Arc::new(ProjectionExec::try_new(columns, Arc::new(windowed))?);
    let (calls, filters) = (last.aggr_expr().to_vec(), last.filter_expr().to_vec());
    let keys = Arc::new(last.group_expr().clone());
    Ok(Some(Arc::new(AggregateExec::try_new(*last.mode(), keys, calls, filters, rows, last.input_schema())?)))
}

/// Partial results, and the columns of their windows.
fn with_window(partial: &Schema, assigned: &Schema) -> SchemaRef {
    let window = &assigned.fields()[assigned.fields().len() - PARTS..];
    Arc::new(Schema::new(partial.fields().iter().chain(window).cloned().collect::<Vec<_>>()))
}
