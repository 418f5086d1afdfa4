//! `CREATE MATERIALIZED VIEW`: the job that keeps its rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use tidemill_exec::operators::Materialize;
use tidemill_exec::view::{Kept, Shape, View};
use tidemill_exec::{Error, Result};

use crate::analyze::Analyzer;
use crate::catalog;
use crate::insert;
use crate::scan::Scan;
use crate::settings::Settings;
use crate::stream::{self, Distribution, StreamPlan};

/// A materialized view that nobody keeps yet, and the plan that would.
pub struct Materialized {
    pub view: Arc<View>,
    pub plan: StreamPlan,
    /// Optimized.
    pub logical: LogicalPlan,
    /// The materialized views that it reads.
    pub reads: Vec<Arc<View>>,
}

/// Plans the job of a view: its query, its rows by their key, and who keeps them.
///
/// # Errors
/// The query cannot run as a stream, or two of its columns have the same name.
pub fn materialize(
    definition: &catalog::View,
    analyzer: &Analyzer<'_>,
    settings: &Settings,
    state: &SessionState,
) -> Result<Materialized> {
    let name = &definition.name;
    let mut names = BTreeSet::new();
    if let Some(twice) = definition.schema.fields().iter().find(|field| !names.insert(field.name())) {
        return Err(Error::new(format!("the materialized view {name} has two columns {}", twice.name()))
            .fix("give each a name of its own"));
    }
    let logical = analyzer.optimize_for_stream(analyzer.view(definition)?)?;
    let input = stream::stream(&logical, settings, state.execution_props())?;
    let changes = input.props.changes.clone();
    let renamed = input.props.schema.fields().iter().zip(definition.schema.fields());
    let schema = renamed.map(|(field, named)| field.as_ref().clone().with_name(named.name()));
    let shape = Shape::new(&arrow::datatypes::Schema::new(schema.collect::<Vec<_>>()), changes.key());
    let distribution = match changes.key() {
        Some([]) => Distribution::Single,
        _ => Distribution::Hash(shape.key.clone()),
    };
    let view = Arc::new(View::new(name, shape, changes.is_append(), input.props.bounded)?);
    let keep = Materialize { view: Arc::clone(&view) };
    let plan = StreamPlan::operator(keep, input, changes, distribution.clone()).requires(distribution);
    let reads = views(&logical)?;
    Ok(Materialized { plan: insert::with_sink(name, Arc::new(Kept), plan), view, logical, reads })
}

/// The materialized views that a plan reads.
pub fn views(plan: &LogicalPlan) -> Result<Vec<Arc<View>>> {
    let mut views: Vec<Arc<View>> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(node) = node
            && let Ok(Scan { view: Some(view), .. }) = Scan::of(&node.source)
            && !views.iter().any(|known| Arc::ptr_eq(known, view))
        {
            views.push(Arc::clone(view));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(views)
}
