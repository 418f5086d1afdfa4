//! `FROM state('directory', 'operator')`: what an operator of a job keeps, as a table.
//!
//! The rows are read by whoever runs the statement, before it is planned: planning opens no files.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{Query, TableAlias, TableFactor, Visit, Visitor};
use tidemill_exec::Error;
use tidemill_exec::connect::{Options, Registry, TableDefinition};
use tidemill_exec::connectors::inline::Rows;

use crate::dialect::marker;
use crate::scan::Scan;

/// Whose state is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateOf {
    /// A directory of checkpoints, or the id of a job.
    pub job: String,
    /// A name or uid; behind a dot, which of its tables.
    pub operator: String,
}

/// Every state that a query asks for.
pub fn asked_for(query: &Query) -> Vec<StateOf> {
    struct Calls(Vec<StateOf>);
    impl Visitor for Calls {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            self.0.extend(call(factor).map(|(state, _)| state));
            ControlFlow::Continue(())
        }
    }
    let mut calls = Calls(Vec::new());
    let _ = query.visit(&mut calls);
    calls.0
}

fn call(relation: &TableFactor) -> Option<(StateOf, Option<&TableAlias>)> {
    let (name, arguments, alias) = marker::table_function(relation)?;
    let [job, operator] = arguments else { return None };
    if !marker::last_name(name)?.eq_ignore_ascii_case("state") {
        return None;
    }
    let (job, operator) = (marker::text_argument(job)?, marker::text_argument(operator)?);
    Some((StateOf { job: job.to_string(), operator: operator.to_string() }, alias))
}

/// Plans such calls over rows that have been read.
#[derive(Debug)]
pub struct StatePlanner(pub Vec<(StateOf, RecordBatch)>);

impl RelationPlanner for StatePlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        _: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        let Some((state, alias)) = call(&relation) else { return Ok(RelationPlanning::Original(Box::new(relation))) };
        let Some((_, rows)) = self.0.iter().find(|(known, _)| *known == state) else {
            return Err(Error::new("state('...', '...') cannot be read here")
                .fix("ask for it in a query of its own, not in an INSERT or a view")
                .into());
        };
        let mut registry = Registry::default();
        registry.add_connector(Arc::new(Rows(rows.clone())));
        let definition = TableDefinition {
            name: "state".to_string(),
            schema: rows.schema(),
            metadata: Vec::new(),
            key: Vec::new(),
            partitioned_by: Vec::new(),
            options: Options::new([("connector".to_string(), "rows".to_string())]),
            time_zone: "UTC".to_string(),
            unread: Default::default(),
        };
        let scan = Scan::new(definition, &registry, None)?;
        let plan = LogicalPlanBuilder::scan("state", Arc::new(scan), None)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.cloned()))))
    }
}
