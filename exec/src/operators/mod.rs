//! Every operator, one file each.

mod aggregate;
pub(crate) mod dirty;
mod expand;
mod filter;
mod idle;
mod in_time;
mod iterate;
mod join;
mod limit;
mod matching;
mod materialize;
mod normalize;
mod not_null;
mod order;
mod over;
mod over_changes;
mod partitions;
mod project;
mod rank;
mod resync;
mod sort;
mod unique;
mod unnest;
mod updating_limit;
mod upserts;
mod window;

pub(crate) use aggregate::take_all;
pub use aggregate::{Aggregate, AggregateColumn, Emit, LocalAggregate};
pub use expand::Expand;
pub use filter::Filter;
pub use idle::Ttl;
pub use iterate::Iterate;
pub(crate) use join::pairs::{Pairs, numbered};
pub use join::{
    Given, IntervalJoin, Join, JoinInput, JoinKind, LatestJoin, MultiJoin, TemporalJoin, WindowJoin, with_mark,
};
pub use limit::Limit;
pub use matching::{Automaton, End, MatchRecognize, Navigation, Navigations, Pattern, Skip, VARIABLES_MAX, Variable};
pub use materialize::Materialize;
pub use normalize::Normalize;
pub use not_null::NotNull;
pub use order::Order;
pub use over::{Frame, Over, OverFunction};
pub use over_changes::OverChanges;
pub use project::Project;
pub use rank::{Numbering, Rank};
pub use resync::Resync;
pub use sort::Sort;
pub use unique::Unique;
pub use unnest::Unnest;
pub use updating_limit::UpdatingLimit;
pub use upserts::Upserts;
pub use window::{
    CurrentWatermark, Firing, LateRows, LocalWindowAggregate, RowWindow, SessionAggregate, SessionAssign, TimeKind,
    UpdatingWindowAggregate, WindowAggregate, WindowAssign, WindowRank, late_fields, window_fields,
};

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use crate::error::Result;

/// Evaluates `expressions` over `rows` into the columns of `schema`. Also right when there are no columns at all.
pub(crate) fn evaluate(
    expressions: &[Arc<dyn PhysicalExpr>],
    rows: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = expressions
        .iter()
        .map(|expression| Ok(expression.evaluate(rows)?.into_array(rows.num_rows())?))
        .collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// `expression` over rows whose columns are elsewhere: column n at `place(n)`.
pub fn with_columns_at(
    expression: &Arc<dyn PhysicalExpr>,
    place: impl Fn(usize) -> usize,
) -> Result<Arc<dyn PhysicalExpr>> {
    let moved = Arc::clone(expression).transform_down(|expression| match expression.downcast_ref::<Column>() {
        Some(column) => Ok(Transformed::yes(Arc::new(Column::new(column.name(), place(column.index()))) as _)),
        None => Ok(Transformed::no(expression)),
    });
    Ok(moved?.data)
}
