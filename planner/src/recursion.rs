//! References of a recursive query to itself, as they stand in logical plans.

use std::any::Any;

use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use tidemill_exec::{Error, Result};

use crate::plan_error::explained;

/// The recursive query that a scan refers to.
pub fn referred(scan: &TableScan) -> Option<&str> {
    let source: &dyn Any = scan.source.as_ref();
    let provider: &dyn Any = source.downcast_ref::<DefaultTableSource>()?.table_provider.as_ref();
    provider.downcast_ref::<CteWorkTable>().map(CteWorkTable::name)
}

/// # Errors
/// A query reads itself in a subquery only, which does not make it recursive.
pub fn check(plan: &LogicalPlan) -> Result<()> {
    within(plan, &[])
}

fn within(plan: &LogicalPlan, open: &[&str]) -> Result<()> {
    match plan {
        LogicalPlan::RecursiveQuery(query) => {
            within(&query.static_term, open)?;
            return within(&query.recursive_term, &[open, &[query.name.as_str()]].concat());
        }
        LogicalPlan::TableScan(scan) => match referred(scan) {
            Some(name) if !open.contains(&name) => return Err(in_subquery(name)),
            _ => {}
        },
        _ => plan.inputs().into_iter().try_for_each(|input| within(input, open))?,
    }
    let mut outcome = Ok(());
    let visited = plan.apply_subqueries(|subquery| {
        outcome = within(subquery, open);
        Ok(if outcome.is_ok() { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Stop })
    });
    visited.map_err(explained)?;
    outcome
}

fn in_subquery(name: &str) -> Error {
    Error::new(format!("cannot read {name} only in a subquery of its own recursive part"))
        .why("its rows must come into the recursive part by FROM or JOIN to go round")
        .fix(format!("join {name} instead of writing IN (SELECT ... FROM {name}) or EXISTS"))
}
