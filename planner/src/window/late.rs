//! `FROM late('SELECT ...')`: the rows that a query with windows leaves out.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlannerContext};
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::sql::sqlparser::ast::{TableAlias, TableFactor};
use tidemill_exec::Error;

use super::{WindowNode, Windowing, legacy};
use crate::dialect::{self, ParsedStatement, Statement, marker};

/// The text of the query in `late('SELECT ...')`, and the alias; otherwise the relation.
pub(super) fn call(relation: TableFactor) -> std::result::Result<(String, Option<TableAlias>), Box<TableFactor>> {
    let text = || {
        let (name, arguments, alias) = marker::table_function(&relation)?;
        let [argument] = arguments else { return None };
        let is_late = marker::last_name(name)?.eq_ignore_ascii_case("late");
        let text = marker::text_argument(argument).filter(|_| is_late)?;
        Some((text.to_string(), alias.cloned()))
    };
    text().ok_or_else(|| Box::new(relation))
}

/// The rows that a query leaves out because they come too late for its windows.
pub(super) fn rows(
    query: &str,
    alias: Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
) -> DataFusionResult<PlannedRelation> {
    let misused = |why: &str| {
        Error::new(format!("late('{query}') names no query with windows"))
            .why(why)
            .fix("write late('SELECT ... FROM TABLE(TUMBLE(...)) GROUP BY window_start, window_end'), with quotes inside doubled")
    };
    if query.trim().parse::<u64>().is_ok() {
        return Err(Error::new(format!("cannot read the late rows of job {} yet", query.trim()))
            .fix("give its query: late('SELECT ... FROM TABLE(TUMBLE(...)) ...')")
            .into());
    }
    let statements = dialect::parse(query, &|_| None)?;
    let [ParsedStatement { statement: Statement::Query(query), .. }] = &statements[..] else {
        return Err(misused("it must be one SELECT").into());
    };
    let mut query = query.as_ref().clone();
    legacy::rewrite(&mut query)?;
    let subquery = TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: None, sample: None };
    let plan = context.plan(subquery)?;
    let mut found: Option<WindowNode> = None;
    plan.apply(|node| {
        if let LogicalPlan::Extension(extension) = node
            && let Some(window) = extension.node.as_any().downcast_ref::<WindowNode>()
        {
            found = Some(window.clone());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let window = found.ok_or_else(|| misused("there is no window in it"))?;
    if let Windowing::Sessions(_) = window.windows {
        return Err(Error::new("cannot read the late rows of sessions yet")
            .why("whether a row is late depends on the sessions of its key that are open")
            .fix("leave it out; how many rows are late is told while the query runs")
            .into());
    }
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(window.as_late()?) });
    Ok(PlannedRelation::new(plan, alias))
}
