//! `WITH RECURSIVE r AS (seed UNION [ALL] step)` as a loop: rows of the seed, and what the step makes of rows of r, again and again.
//!
//! A row of r is sent round once and stays, so the step must be *monotone*: more rows of r only ever mean more rows of the step. The nodes
//! between a reference to r and the top of the step are checked one by one ([`refuse`]); that they append says the plan.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{self as logical, Expr, LogicalPlan, TableScan};
use tidemill_exec::exchange::Limits;
use tidemill_exec::operators::{Aggregate, Emit, Iterate};
use tidemill_exec::{Changes, Error, OperatorSpec, Result};

use super::lower::{Lowering, kept, nullable};
use super::plan::{Distribution, PlanOp, Props, Recursion, StreamPlan, Times};
use crate::recursion::referred;
use crate::unnest::UnnestNode;

/// A recursive query whose step is being planned.
pub(super) struct Open {
    name: String,
    id: usize,
    props: Props,
}

impl Lowering<'_> {
    pub(super) fn recursion(&self, node: &logical::RecursiveQuery) -> Result<StreamPlan> {
        let name = node.name.clone();
        let seed = self.plan(&node.static_term)?;
        if !seed.props.changes.is_append() {
            return Err(updating(&name, "the part before UNION"));
        }
        refuse(&node.recursive_term, &name)?;
        let schema = nullable(node.static_term.schema().inner());
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let distribution = match node.is_distinct {
            true => Distribution::Hash(columns.clone()),
            false => Distribution::Any,
        };
        let seed = self.conformed(seed, &node.static_term, &schema)?;
        let (changes, bounded) = (Changes::Append, seed.props.bounded);
        let times = Times::default();
        let props = Props { schema: Arc::clone(&schema), changes, distribution: distribution.clone(), times, bounded };

        let id = self.recursions.replace(self.recursions.get() + 1);
        // What refers to r ends when r does, which is known once the step is.
        self.open.borrow_mut().push(Open { name: name.clone(), id, props: Props { bounded: true, ..props.clone() } });
        let step = self.plan(&node.recursive_term);
        self.open.borrow_mut().pop();
        let step = step?;
        if !step.props.changes.is_append() {
            return Err(updating(&name, "what its recursive part reads beside it"));
        }
        let step = self.conformed(step, &node.recursive_term, &schema)?;

        let iterate = Iterate { name: name.clone(), schema: Arc::clone(&schema) };
        let mut head: Vec<Arc<dyn OperatorSpec>> = vec![Arc::new(iterate)];
        if node.is_distinct {
            head.push(Arc::new(Aggregate {
                keys: columns,
                columns: Vec::new(),
                input: Arc::clone(&schema),
                partial: false,
                retracting: false,
                emit: Emit::Epoch,
                // A row that was forgotten would go round again.
                ttl: None,
                schema,
            }));
        }
        let limits = Limits { rounds: self.settings.recursion_rounds(), bytes: self.settings.recursion_memory() };
        let bounded = bounded && step.props.bounded;
        Ok(StreamPlan {
            op: PlanOp::Recursion(Recursion { id, head, limits }),
            inputs: vec![seed, step],
            required: vec![distribution.clone(), distribution],
            props: Props { bounded, ..props },
        })
    }

    /// The rows of r, where `scan` stands for them.
    pub(super) fn reference(&self, scan: &TableScan) -> Result<Option<StreamPlan>> {
        let Some(name) = referred(scan) else { return Ok(None) };
        let open = self.open.borrow();
        let Some(of) = open.iter().rev().find(|open| open.name == name) else {
            return Err(Error::new(format!("{name} is not known here")).why("it is read outside of its own query"));
        };
        if of.id != open.last().map_or(of.id, |innermost| innermost.id) {
            return Err(nested(name));
        }
        let (op, props) = (PlanOp::Reference { id: of.id, name: name.to_string() }, of.props.clone());
        let plan = StreamPlan { op, inputs: vec![], required: vec![], props };
        match &scan.projection {
            None => Ok(Some(plan)),
            Some(columns) => kept(plan, columns).map(Some),
        }
    }

    /// With exactly the columns of `schema`.
    fn conformed(
        &self,
        plan: StreamPlan,
        logical: &LogicalPlan,
        schema: &arrow::datatypes::SchemaRef,
    ) -> Result<StreamPlan> {
        let columns: Vec<Expr> = logical.schema().columns().into_iter().map(Expr::Column).collect();
        let plan = self.projected(plan, logical.schema(), &columns, Arc::clone(schema))?;
        for (have, want) in plan.props.schema.fields().iter().zip(schema.fields()) {
            if have.data_type() != want.data_type() {
                return Err(Error::new(format!("column {} of a recursive query has two types", want.name()))
                    .why(format!("{} before UNION, and {} behind it", want.data_type(), have.data_type()))
                    .fix("write a CAST in one of the two"));
            }
        }
        Ok(StreamPlan { props: Props { times: Times::default(), ..plan.props }, ..plan })
    }
}

/// Whether rows of r come into this plan.
fn reads(plan: &LogicalPlan, name: &str) -> bool {
    plan.exists(|node| Ok(matches!(node, LogicalPlan::TableScan(scan) if referred(scan) == Some(name))))
        .unwrap_or(false)
}

/// # Errors
/// Something between a reference to r and the top of its step takes rows back when more come in, or waits for all of them.
fn refuse(step: &LogicalPlan, name: &str) -> Result<()> {
    if !reads(step, name) {
        return Ok(());
    }
    let reads_input = |input: &LogicalPlan| reads(input, name);
    let what = match step {
        LogicalPlan::TableScan(_)
        | LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Distinct(logical::Distinct::All(_)) => None,
        LogicalPlan::Extension(extension) if extension.node.as_any().is::<UnnestNode>() => None,
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => None,
            JoinType::LeftAnti | JoinType::RightAnti => Some("NOT IN or NOT EXISTS"),
            JoinType::LeftMark | JoinType::RightMark => Some("IN or EXISTS beside OR"),
            JoinType::Left | JoinType::Right | JoinType::Full => Some("an outer join (or a subquery used as a value)"),
        },
        LogicalPlan::Aggregate(node) if node.aggr_expr.is_empty() => None,
        LogicalPlan::Aggregate(_) => Some("an aggregate"),
        LogicalPlan::Window(_) => Some("OVER (...)"),
        LogicalPlan::Sort(_) => Some("ORDER BY"),
        LogicalPlan::Limit(_) => Some("LIMIT"),
        LogicalPlan::RecursiveQuery(_) => return Err(nested(name)),
        _ => Some("this clause"),
    };
    match what {
        None => step.inputs().into_iter().filter(|input| reads_input(input)).try_for_each(|input| refuse(input, name)),
        Some(what) => Err(Error::new(format!("cannot use {what} in the recursive part of {name}"))
            .why("when more rows come it would take back what it has said, and a row that has gone round cannot be taken back")
            .fix(format!("apply it to {name} in the query behind WITH, where {name} is complete"))),
    }
}

fn updating(name: &str, what: &str) -> Error {
    Error::new(format!("cannot recurse over rows that change: {what} of {name} takes rows back"))
        .why("a row that has gone round a recursion cannot be taken back")
        .fix("read tables that only append, and aggregate in the query behind WITH")
}

fn nested(name: &str) -> Error {
    Error::new(format!("cannot read {name} within another recursive query in its own recursive part"))
        .why("a recursion within a recursion would have to begin anew for each row")
        .fix("write one WITH RECURSIVE whose rows carry the columns of both")
}
