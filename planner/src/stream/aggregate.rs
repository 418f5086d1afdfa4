//! GROUP BY, GROUPING SETS and DISTINCT to operators.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::{self as logical, Expr, ExprSchemable, LogicalPlan, lit};
use tidemill_exec::aggregate::AggregateCall;
use tidemill_exec::operators::{Aggregate, AggregateColumn, Emit, Expand, LocalAggregate};
use tidemill_exec::{Changes, Error, Result};

use super::lower::{Lowering, nullable, reordered};
use super::own::OwnWindows;
use super::plan::{Distribution, StreamPlan};
use super::window::Grouping;
use crate::{aggregates, state_ttl};

impl Lowering<'_> {
    /// Project keys, arguments and filters into columns; then aggregate, in two phases where an exchange lies between.
    pub(super) fn aggregate(&self, node: &logical::Aggregate) -> Result<StreamPlan> {
        let input = node.input.schema();
        let calls = node
            .aggr_expr
            .iter()
            .map(|expr| match expr.clone().unalias() {
                Expr::AggregateFunction(function) => aggregates::call_of(&function, input),
                other => Err(Error::new(format!("{other} is no aggregate"))),
            })
            .collect::<Result<Vec<_>>>()?;

        let sets = GroupingSets::of(&node.group_expr);
        let mut columns: Vec<Expr> = sets.keys.clone();
        let mut position = |expr: Expr| match columns.iter().position(|known| *known == expr) {
            Some(index) => index,
            None => {
                columns.push(expr);
                columns.len() - 1
            }
        };
        let aggregates: Vec<AggregateColumn> = calls
            .into_iter()
            .map(|call| AggregateColumn {
                arguments: call.arguments.into_iter().map(&mut position).collect(),
                filter: call.filter.map(&mut position),
                call: call.call,
            })
            .collect();

        // Windows made for this GROUP BY alone are made by its operator.
        let own = OwnWindows::of(node, &sets.keys).filter(|own| self.settings.firing().is_none() || own.is_session());
        let (plan, schema) = self.input_of(&columns, own.as_ref().map_or(&*node.input, |own| &own.input))?;
        let grouping = match &own {
            Some(own) => Some(self.own(&plan, &schema, own, &sets.keys)?),
            None => self.attached(&plan, &schema, &sets.keys)?,
        };
        if let Some(grouping) = grouping {
            return self.by_windows(node, plan, &schema, &sets, aggregates, (&columns, &grouping));
        }
        let fields =
            columns.iter().enumerate().map(|(n, expr)| Ok(Field::new(name_of(expr, n), expr.get_type(&schema)?, true)));
        let projected: SchemaRef = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
        let output = nullable(node.schema.inner());
        // An argument that is a key too is a column twice when sets null it, so that aggregates see the value.
        let (plan, keys, shift) = match &sets.sets {
            None => (self.projected(plan, &schema, &columns, projected)?, sets.keys.len(), 0),
            Some(_) => {
                let id_type = output.field(sets.keys.len()).data_type();
                let all: Vec<usize> = (0..sets.keys.len()).collect();
                let expanded = self.expand(plan, &schema, &sets, &all, &columns, &projected, id_type)?;
                (expanded, sets.keys.len() + 1, sets.keys.len() + 1)
            }
        };

        let retracting = !plan.props.changes.is_append();
        let ttl = state_ttl::of(&node.input).unwrap_or(self.ttl);
        Lowering { ttl, ..*self }.grouped(plan, keys, shifted(aggregates, shift, retracting), output)
    }

    /// The same with windows among the keys: only the other keys are grouped by, in each window.
    fn by_windows(
        &self,
        node: &logical::Aggregate,
        plan: StreamPlan,
        schema: &DFSchema,
        sets: &GroupingSets,
        mut aggregates: Vec<AggregateColumn>,
        (columns, grouping): (&[Expr], &Grouping),
    ) -> Result<StreamPlan> {
        let others: Vec<usize> = (0..sets.keys.len()).filter(|&key| grouping.columns[key].is_none()).collect();
        // Other keys, the window's columns, then arguments and filters.
        let mut exprs: Vec<Expr> = others.iter().map(|&key| sets.keys[key].clone()).collect();
        exprs.extend(grouping.exprs.iter().cloned());
        let before = exprs.len();
        let used = |aggregate: &AggregateColumn| [&aggregate.arguments[..], aggregate.filter.as_slice()].concat();
        let mut used: Vec<usize> = aggregates.iter().flat_map(used).collect();
        used.sort_unstable();
        used.dedup();
        exprs.extend(used.iter().map(|&column| columns[column].clone()));
        let place = |column: usize| used.binary_search(&column).expect("every column in use is among them");
        for aggregate in &mut aggregates {
            aggregate.arguments.iter_mut().chain(&mut aggregate.filter).for_each(|column| *column = place(*column));
        }
        let fields =
            exprs.iter().enumerate().map(|(n, expr)| Ok(Field::new(name_of(expr, n), expr.get_type(schema)?, true)));
        let projected: SchemaRef = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
        let retracting = !plan.props.changes.is_append();
        let output = nullable(node.schema.inner());
        let (plan, keys, shift) = match &sets.sets {
            None => (self.projected(plan, schema, &exprs, projected)?, others.len(), before),
            Some(_) => {
                let id_type = output.field(sets.keys.len()).data_type();
                let plan = self.expand(plan, schema, sets, &others, &exprs[others.len()..], &projected, id_type)?;
                (plan, others.len() + 1, before + 1)
            }
        };
        let plan = self.windowed(plan, keys, shifted(aggregates, shift, retracting), grouping)?;
        // Back to the order of the query: its keys, the number of the set, the aggregates.
        let mut order: Vec<usize> = Vec::with_capacity(output.fields().len());
        let mut next = 0;
        for column in &grouping.columns {
            order.push(match column {
                Some(column) => keys + column,
                None => {
                    next += 1;
                    next - 1
                }
            });
        }
        order.extend(sets.sets.as_ref().map(|_| keys - 1));
        order.extend((order.len()..output.fields().len()).enumerate().map(|(n, _)| keys + 3 + n));
        reordered(plan, &order, output)
    }

    /// Groups by the first `keys` columns of `plan`.
    fn grouped(
        &self,
        plan: StreamPlan,
        keys: usize,
        columns: Vec<AggregateColumn>,
        schema: SchemaRef,
    ) -> Result<StreamPlan> {
        let keys: Vec<usize> = (0..keys).collect();
        let retracting = !plan.props.changes.is_append();
        let distribution = if keys.is_empty() { Distribution::Single } else { Distribution::Hash(keys.clone()) };
        let changes = if columns.is_empty() && !retracting {
            Changes::Append
        } else {
            Changes::Retract { key: Some(keys.clone()) }
        };
        // A local phase pays where rows would travel, and must not run where every row is to be seen on its own.
        let local = self.parallelism > 1
            && self.emit == Emit::Epoch
            && !columns.is_empty()
            // Where keys may have been forgotten, each row that is taken back is looked at.
            && !(retracting && self.ttl.is_some())
            && plan.props.distribution != distribution
            && columns.iter().all(|column| {
                // A distinct set is no smaller than its rows, and an order is lost where equal rows cancel.
                !(column.call.distinct || retracting && column.call.function.is_ordered())
            });
        let input = Arc::clone(&plan.props.schema);
        let plan = match local {
            false => plan,
            true => {
                let plan = if in_any_order(&columns) { plan.spread() } else { plan };
                let local = LocalAggregate::new(keys.clone(), columns.clone(), Arc::clone(&input))?;
                let changes = plan.props.changes.clone();
                StreamPlan::operator(local, plan, changes, Distribution::Any)
            }
        };
        let (emit, ttl) = (self.emit, self.ttl);
        let aggregate = Aggregate { keys, columns, input, partial: local, retracting, emit, ttl, schema };
        Ok(StreamPlan::operator(aggregate, plan, changes, distribution.clone()).requires(distribution))
    }

    pub(super) fn distinct(&self, input: &LogicalPlan) -> Result<StreamPlan> {
        let plan = self.plan(input)?;
        let schema = Arc::clone(&plan.props.schema);
        let ttl = state_ttl::of(input).unwrap_or(self.ttl);
        Lowering { ttl, ..*self }.grouped(plan, schema.fields().len(), Vec::new(), schema)
    }

    /// For each grouping set a copy of the row, with the keys outside the set null, and the set's number: the keys `kept`, number, columns.
    /// `projected` has the types of the keys, then of the columns.
    #[expect(clippy::too_many_arguments, reason = "a step of `aggregate` and of nothing else")]
    fn expand(
        &self,
        plan: StreamPlan,
        input: &DFSchema,
        sets: &GroupingSets,
        kept: &[usize],
        columns: &[Expr],
        projected: &SchemaRef,
        id_type: &DataType,
    ) -> Result<StreamPlan> {
        let key_types: Vec<DataType> =
            sets.keys.iter().map(|key| Ok(key.get_type(input)?)).collect::<Result<Vec<_>>>()?;
        let mut fields: Vec<Field> =
            kept.iter().map(|&key| Field::new(format!("key{key}"), key_types[key].clone(), true)).collect();
        fields.push(Field::new(logical::Aggregate::INTERNAL_GROUPING_ID, id_type.clone(), true));
        fields.extend(
            projected.fields()[projected.fields().len() - columns.len()..].iter().map(|field| field.as_ref().clone()),
        );
        let chosen = sets.sets.as_deref().unwrap_or_default();
        let mut projections = Vec::with_capacity(chosen.len());
        for (number, set) in chosen.iter().enumerate() {
            let mut expressions = Vec::with_capacity(fields.len());
            for &key in kept {
                expressions.push(if set[key] {
                    sets.keys[key].clone()
                } else {
                    lit(ScalarValue::try_from(&key_types[key])?)
                });
            }
            // Bit n from the left is set when key n is not in the set; above these bits, equal sets are told apart by a count.
            let repeats = chosen[..number].iter().filter(|earlier| *earlier == set).count() as u64;
            let id = set.iter().fold(repeats, |id, is_in| (id << 1) | u64::from(!is_in));
            expressions.push(lit(ScalarValue::UInt64(Some(id)).cast_to(id_type)?));
            expressions.extend(columns.iter().cloned());
            projections.push(expressions.iter().map(|expr| self.expression(expr, input)).collect::<Result<Vec<_>>>()?);
        }
        let changes = match &plan.props.changes {
            Changes::Append => Changes::Append,
            Changes::Retract { .. } => Changes::Retract { key: None },
        };
        let expand = Expand { projections, schema: Arc::new(Schema::new(fields)) };
        Ok(StreamPlan::operator(expand, plan, changes, Distribution::Any))
    }
}

/// The aggregates over columns that lie further behind, and over rows that may disappear or not.
fn shifted(aggregates: Vec<AggregateColumn>, by: usize, retracting: bool) -> Vec<AggregateColumn> {
    let shifted = |aggregate: AggregateColumn| AggregateColumn {
        call: AggregateCall { retracting, ..aggregate.call },
        arguments: aggregate.arguments.into_iter().map(|column| column + by).collect(),
        filter: aggregate.filter.map(|column| column + by),
    };
    aggregates.into_iter().map(shifted).collect()
}

/// Whether none of these aggregates minds in which order rows come.
pub(super) fn in_any_order(columns: &[AggregateColumn]) -> bool {
    !columns.iter().any(|column| column.call.function.is_ordered())
}

fn name_of(expr: &Expr, position: usize) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        _ => format!("expr{position}"),
    }
}

/// The keys of a GROUP BY, and which of them each grouping set has.
struct GroupingSets {
    keys: Vec<Expr>,
    /// `None`: all keys, once.
    sets: Option<Vec<Vec<bool>>>,
}

impl GroupingSets {
    fn of(group: &[Expr]) -> GroupingSets {
        let [Expr::GroupingSet(set)] = group else { return GroupingSets { keys: group.to_vec(), sets: None } };
        let keys: Vec<Expr> = set.distinct_expr().into_iter().cloned().collect();
        let of = |members: &[Expr]| keys.iter().map(|key| members.contains(key)).collect::<Vec<bool>>();
        let sets = match set {
            GroupingSet::Rollup(columns) => (0..=columns.len()).rev().map(|n| of(&columns[..n])).collect(),
            GroupingSet::Cube(columns) => (0..1usize << columns.len())
                .rev()
                .map(|mask| {
                    let members: Vec<Expr> = columns
                        .iter()
                        .enumerate()
                        .filter(|(n, _)| mask >> (columns.len() - 1 - n) & 1 == 1)
                        .map(|(_, column)| column.clone())
                        .collect();
                    of(&members)
                })
                .collect(),
            GroupingSet::GroupingSets(sets) => sets.iter().map(|members| of(members)).collect(),
        };
        GroupingSets { keys, sets: Some(sets) }
    }
}
