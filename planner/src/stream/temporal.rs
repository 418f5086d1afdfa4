//! `FOR SYSTEM_TIME AS OF`: by event time, with what a table has when a row comes, or with what a stream has come to by then.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::physical_expr::PhysicalExpr;
use tidemill_exec::operators::{Emit, Given, LatestJoin, TemporalJoin, TimeKind};
use tidemill_exec::{Changes, Error, Result};

use super::join::{Side, check_keys};
use super::lookup::Key;
use super::lower::{Lowering, attribute_of, kept, nullable, unsupported};
use super::plan::{Distribution, StreamPlan, Times};
use super::window::keyed;
use crate::functions::window::as_event_time;
use crate::lookup::Asked;
use crate::scan::Scan;
use crate::temporal::TemporalNode;

/// What must be true of a pair.
struct Conditions {
    /// Equalities between the sides.
    pairs: Vec<(Expr, Expr)>,
    others: Vec<Expr>,
}

impl Conditions {
    fn of(node: &TemporalNode) -> Conditions {
        let is_of = |expr: &Expr, schema: &DFSchema| {
            let columns = expr.column_refs();
            !columns.is_empty() && columns.into_iter().all(|column| schema.has_column(column))
        };
        let (left, right) = (node.left.schema(), node.right.schema());
        let mut conditions = Conditions { pairs: Vec::new(), others: Vec::new() };
        for condition in split_conjunction(&node.condition) {
            match condition {
                Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b })
                    if is_of(a, left) && is_of(b, right) =>
                {
                    conditions.pairs.push((a.as_ref().clone(), b.as_ref().clone()));
                }
                Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b })
                    if is_of(b, left) && is_of(a, right) =>
                {
                    conditions.pairs.push((b.as_ref().clone(), a.as_ref().clone()));
                }
                other => conditions.others.push(other.clone()),
            }
        }
        conditions
    }
}

/// What both kinds of temporal join are made of.
struct Joined {
    outer: bool,
    sides: [Side; 2],
    condition: Option<Arc<dyn PhysicalExpr>>,
}

impl Lowering<'_> {
    pub(super) fn temporal_join(&self, node: &TemporalNode) -> Result<StreamPlan> {
        let left = self.plan(&node.left)?;
        match time_of(node, &left) {
            Some((Some(column), TimeKind::Event)) => self.event_time_join(node, left, column),
            Some((_, TimeKind::Processing)) => {
                let Some(asked) = Asked::of(&node.right)? else { return self.latest_join(node, left) };
                match Key::of(node, &asked)? {
                    Some(key) => self.lookup_join(node, left, &asked, key),
                    None => self.latest_join(node, left),
                }
            }
            _ => Err(Error::new(format!("{} is no time attribute", node.time))
                .why("FOR SYSTEM_TIME AS OF takes the event time or the processing time of the other table")
                .fix("declare WATERMARK FOR it, or give the table a column AS PROCTIME()")),
        }
    }

    fn event_time_join(&self, node: &TemporalNode, left: StreamPlan, time: usize) -> Result<StreamPlan> {
        if !left.props.changes.is_append() {
            return Err(unsupported("a temporal join of rows that change"));
        }
        // Each version of a row counts, not only the last of an epoch.
        let right = Lowering { emit: Emit::EachRow, ..*self }.plan(&node.right)?;
        let joined = self.joined_in_time(node, left, right, Conditions::of(node))?;
        let right = &joined.sides[1];
        let key = match &right.plan.props.changes {
            Changes::Append => primary_key(&node.right),
            Changes::Retract { key } => key.clone(),
        };
        if !key.is_some_and(|key| key.iter().all(|column| right.keys.contains(column))) {
            return Err(no_key());
        }
        let Some(&version) = right.plan.props.times.event.first() else {
            return Err(Error::new("the table of a temporal join has no event time")
                .why("that says from when on a version is there")
                .fix("declare WATERMARK FOR a column of it"));
        };
        let times = Times { event: vec![time], ..Times::default() };
        joined.plan(Changes::Append, times, |keys, inputs, condition, schema| TemporalJoin {
            outer: node.outer,
            keys,
            times: [time, version],
            condition,
            inputs,
            schema,
        })
    }

    /// In processing time, with a stream: what has come of it so far is kept.
    fn latest_join(&self, node: &TemporalNode, left: StreamPlan) -> Result<StreamPlan> {
        let right = self.plan(&node.right)?;
        let mut conditions = Conditions::of(node);
        let replaces = right.props.changes.is_append();
        if replaces {
            // A later row takes the place of the one with its primary key, whatever else it is joined on.
            let key = primary_key(&node.right).ok_or_else(no_key)?;
            if is_filtered(&node.right) {
                return Err(Error::new("cannot keep the last row of each key of a table that is filtered before")
                    .why("a row that the filter leaves out would not take the place of the one before it")
                    .fix("write the condition in ON"));
            }
            let schema = node.right.schema();
            let place = |of_right: &Expr| match of_right {
                Expr::Column(column) => schema.maybe_index_of_column(column),
                _ => None,
            };
            let mut of_key = Vec::new();
            for (left, right) in std::mem::take(&mut conditions.pairs) {
                match place(&right) {
                    Some(column) if key.contains(&column) && !of_key.contains(&column) => {
                        of_key.push(column);
                        conditions.pairs.push((left, right));
                    }
                    _ => conditions.others.push(left.eq(right)),
                }
            }
            if of_key.len() < key.len() {
                return Err(no_key());
            }
        } else if conditions.pairs.is_empty() {
            return Err(Error::new("a temporal join has no key")
                .why("ON has no equality between the two sides")
                .fix("write ON o.currency = r.currency"));
        }
        let (times, changes) = (left.props.times.clone(), left.props.changes.clone());
        let is_marked = !changes.is_append();
        let joined = self.joined_in_time(node, left, right, conditions)?;
        joined.plan(changes, times, |keys, inputs, condition, schema| LatestJoin {
            outer: node.outer,
            keys,
            replaces,
            is_marked,
            condition,
            inputs,
            schema,
        })
    }

    fn joined_in_time(
        &self,
        node: &TemporalNode,
        left: StreamPlan,
        right: StreamPlan,
        conditions: Conditions,
    ) -> Result<Joined> {
        let (of_left, of_right): (Vec<Expr>, Vec<Expr>) = conditions.pairs.into_iter().unzip();
        let left = self.keyed(left, node.left.schema(), &of_left)?;
        let right = self.keyed(right, node.right.schema(), &of_right)?;
        check_keys(&left, &right)?;
        let both = [left.columns.clone(), right.columns.clone()].concat();
        let both = DFSchema::new_with_metadata(both, Default::default())?;
        let condition = conditions.others.into_iter().reduce(Expr::and);
        let condition = condition.map(|condition| self.expression(&condition, &both)).transpose()?;
        Ok(Joined { outer: node.outer, sides: [left, right], condition })
    }
}

impl Joined {
    /// The plan of the operator that `make` makes of keys, inputs, condition and output, over both sides by their keys.
    fn plan<O: tidemill_exec::OperatorSpec + 'static>(
        self,
        left_changes: Changes,
        times: Times,
        make: impl FnOnce([Vec<usize>; 2], [SchemaRef; 2], Option<Arc<dyn PhysicalExpr>>, SchemaRef) -> O,
    ) -> Result<StreamPlan> {
        let [left, right] = self.sides;
        let distribution = |side: &Side| -> Distribution { keyed(&side.keys) };
        let (of_left, of_right) = (distribution(&left), distribution(&right));
        let offset = left.columns.len();
        let columns: Vec<usize> = (0..left.width).chain(offset..offset + right.width).collect();
        let fields = left.columns.iter().chain(&right.columns).map(|(_, field)| Arc::clone(field));
        let schema = nullable(&Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        let (width, outer) = (left.columns.len(), self.outer);
        let inputs = [&left, &right].map(|side| Arc::clone(&side.plan.props.schema));
        let operator = make([left.keys, right.keys], inputs, self.condition, Arc::clone(&schema));
        let inputs = [(left.plan, of_left.clone()), (right.plan, of_right)];
        let plan = StreamPlan::of_inputs(operator, inputs, left_changes, of_left).with_times(times);
        kept(if plan.props.changes.is_append() { plan } else { given(plan, width, outer, schema) }, &columns)
    }
}

/// Behind a join that says in a column more how its rows belong together: takes back what was given. The left has `width` columns.
pub(super) fn given(mut plan: StreamPlan, width: usize, outer: bool, schema: SchemaRef) -> StreamPlan {
    let (times, distribution) = (plan.props.times.clone(), plan.props.distribution.clone());
    let keys = match &distribution {
        Distribution::Hash(keys) => keys.clone(),
        Distribution::Any | Distribution::Single | Distribution::Even => Vec::new(),
    };
    let known_by = (0..width).filter(|column| !times.processing.contains(column)).collect();
    let given = Given { known_by, keys, outer, schema };
    plan.props.changes = Changes::Retract { key: None };
    StreamPlan::operator(given, plan, Changes::Retract { key: None }, distribution).with_times(times)
}

/// The column of the left that is asked for, if it is one, and what kind of time it is.
fn time_of(node: &TemporalNode, left: &StreamPlan) -> Option<(Option<usize>, TimeKind)> {
    let column = match &node.time {
        Expr::Column(column) => node.left.schema().maybe_index_of_column(column),
        other => as_event_time(other).and_then(|inner| match inner {
            Expr::Column(column) => node.left.schema().maybe_index_of_column(column),
            _ => None,
        }),
    };
    match column {
        Some(column) => Some((Some(column), left.props.times.kind(column)?)),
        None => attribute_of(&node.time).filter(|kind| *kind == TimeKind::Processing).map(|kind| (None, kind)),
    }
}

fn no_key() -> Error {
    Error::new("the table of a temporal join has no key that the join is on")
        .why("at any time there must be one version for each row")
        .fix(
            "declare PRIMARY KEY (...) NOT ENFORCED, or join a view that keeps the last row of each key: \
             ROW_NUMBER() OVER (PARTITION BY key ORDER BY time DESC) = 1",
        )
}

/// The primary key that a table is declared with, as columns of `plan`, which has all of it.
fn primary_key(plan: &LogicalPlan) -> Option<Vec<usize>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let key = &Scan::of(&scan.source).ok()?.definition.key;
            let place = |column: &usize| match &scan.projection {
                None => Some(*column),
                Some(read) => read.iter().position(|read| read == column),
            };
            let key: Option<Vec<usize>> = key.iter().map(place).collect();
            key.filter(|key| !key.is_empty())
        }
        LogicalPlan::SubqueryAlias(node) => primary_key(&node.input),
        LogicalPlan::Filter(node) => primary_key(&node.input),
        LogicalPlan::Projection(node) => {
            let below = primary_key(&node.input)?;
            let place = |column: &usize| {
                let wanted = Column::from(node.input.schema().qualified_field(*column));
                let is_it = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Column(column) if column == wanted);
                node.expr.iter().position(is_it)
            };
            below.iter().map(place).collect()
        }
        _ => None,
    }
}

/// Whether the rows of its table do not all come.
fn is_filtered(plan: &LogicalPlan) -> bool {
    let is_filter = |node: &LogicalPlan| match node {
        LogicalPlan::TableScan(scan) => !scan.filters.is_empty(),
        other => matches!(other, LogicalPlan::Filter(_)),
    };
    plan.exists(|node| Ok(is_filter(node))).unwrap_or(true)
}
