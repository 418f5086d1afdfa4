//! `ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...)` and its like under a bound on their value: top-N and deduplication, of a window or of
//! all rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{self as logical, BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{self as physical, Column as PhysicalColumn};
use tidemill_exec::operators::{Filter, Numbering, Order, OverFunction, Rank, TimeKind, Unique, WindowRank};
use tidemill_exec::{Changes, Result};

use super::columns::Columns;
use super::lower::{Lowering, kept};
use super::plan::{Props, StreamPlan};
use super::window::keyed;
use crate::functions::window::window_time;
use crate::settings::Settings;

/// The places that a condition leaves over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    first: u64,
    last: u64,
}

impl Lowering<'_> {
    /// A filter on the number that rows have in an order; `None` if it is none. `used`: the columns of its result that are looked at.
    pub(super) fn ranking(
        &self,
        node: &logical::Filter,
        used: Option<&BTreeSet<Column>>,
    ) -> Result<Option<StreamPlan>> {
        let Some((between, window)) = numbering(&node.input) else { return Ok(None) };
        let Some((numbering, function)) = number_function(window) else { return Ok(None) };
        let is_number = |expr: &Expr| is_last(expr, &between, &window.schema);
        let mut places = Places { first: 1, last: u64::MAX };
        let mut others = Vec::new();
        for condition in split_conjunction(&node.predicate) {
            match bound(condition, &is_number) {
                Some(bound) => {
                    places = Places { first: places.first.max(bound.first), last: places.last.min(bound.last) };
                }
                None => others.push(condition.clone()),
            }
        }
        if places.last == u64::MAX || places.last < places.first {
            return Ok(None);
        }
        let mentions =
            |expr: &Expr| expr.column_refs().into_iter().any(|column| is_number(&Expr::Column(column.clone())));
        let numbered = used.is_none_or(|used| used.iter().any(|column| is_number(&Expr::Column(column.clone()))))
            || others.iter().any(mentions)
            || is_computed_with(&between, &window.schema);
        let mut plan = self.ranked(window, numbering, function, places, numbered)?;
        for above in between.iter().rev() {
            if let LogicalPlan::Projection(projection) = above {
                let output = Arc::clone(projection.schema.inner());
                plan = self.projected(plan, projection.input.schema(), &projection.expr, output)?;
            }
        }
        Ok(Some(match conjunction(others) {
            Some(condition) => self.filtered(plan, &condition, node.input.schema())?,
            None => plan,
        }))
    }

    /// `ORDER BY ... LIMIT`: the first rows of all, in no order.
    pub(super) fn first_of_all(&self, sort: &logical::Sort, skip: usize, fetch: Option<usize>) -> Result<StreamPlan> {
        let schema = sort.input.schema();
        let width = schema.fields().len();
        let mut columns = Columns::new(schema);
        let order = columns.order(&sort.expr)?;
        let last = fetch.map_or(u64::MAX, |fetch| (skip as u64).saturating_add(fetch as u64));
        let places = Places { first: (skip as u64).saturating_add(1), last };
        if fetch == Some(0) {
            return self.plan(&LogicalPlan::EmptyRelation(logical::EmptyRelation {
                produce_one_row: false,
                schema: Arc::clone(schema),
            }));
        }
        let plan = self.extended(self.plan(&sort.input)?, schema, &columns.extra)?;
        let rank = self.rank(&plan, Numbering::RowNumber, vec![], order, places, false, "number");
        kept(ranked_by(rank, plan), &(0..width).collect::<Vec<_>>())
    }

    /// The rows of `window` in these places, with their numbers.
    fn ranked(
        &self,
        window: &logical::Window,
        numbering: Numbering,
        function: &WindowFunction,
        places: Places,
        numbered: bool,
    ) -> Result<StreamPlan> {
        let schema = window.input.schema();
        let width = schema.fields().len();
        let plan = self.plan(&window.input)?;
        let mut columns = Columns::new(schema);
        let partition: Vec<usize> =
            function.params.partition_by.iter().map(|key| columns.place(key)).collect::<Result<_>>()?;
        let order = columns.order(&function.params.order_by)?;
        let name = window.schema.field(width).name();
        let attached = match numbering {
            Numbering::RowNumber => self.attached_window(&plan, &partition, &mut columns)?,
            _ => None,
        };
        let (times, extended) = (plan.props.times.clone(), columns.extra.len());
        let plan = self.extended(plan, schema, &columns.extra)?;
        let plan = match attached {
            Some(window) => {
                let keys: Vec<usize> = partition.into_iter().filter(|column| !times.is_window(*column)).collect();
                let distribution = keyed(&keys);
                let rank = WindowRank {
                    window,
                    kind: times.window.as_ref().map_or(TimeKind::Event, |window| window.kind),
                    keys,
                    later_first: later_first(&order, places, &plan),
                    order,
                    first: places.first,
                    last: places.last,
                    numbered: true,
                    retracting: !plan.props.changes.is_append(),
                    schema: with_number(&plan, name),
                };
                StreamPlan::operator(rank, plan, Changes::Append, distribution.clone())
                    .requires(distribution)
                    .with_times(times)
            }
            None if is_final(&plan, numbering, &order, places) => {
                // Flink's deduplication takes rows at the watermark.
                let functions = vec![OverFunction::Number(numbering)];
                let rows = self.over(plan, &partition, &order, functions, &[name], true)?;
                between(rows, places)
            }
            None => ranked_by(self.rank(&plan, numbering, partition, order, places, numbered, name), plan),
        };
        if extended == 0 {
            return Ok(plan);
        }
        kept(plan, &(0..width).chain([width + extended]).collect::<Vec<_>>())
    }

    /// Where the start, end and time of the window are that rows are numbered in, if it is one.
    fn attached_window(
        &self,
        plan: &StreamPlan,
        partition: &[usize],
        columns: &mut Columns,
    ) -> Result<Option<(usize, usize, usize)>> {
        let Some(window) = &plan.props.times.window else { return Ok(None) };
        let among = |of: &[usize]| partition.iter().copied().find(|column| of.contains(column));
        let (Some(start), Some(end)) = (among(&window.start), among(&window.end)) else { return Ok(None) };
        let time = match window.time.first() {
            Some(&time) => time,
            None => {
                let end = Expr::Column(Column::from(columns.schema.qualified_field(end)));
                columns.place(&window_time(end, window.zone.as_deref())?)?
            }
        };
        Ok(Some((start, end, time)))
    }

    #[expect(clippy::too_many_arguments, reason = "all that a rank is")]
    fn rank(
        &self,
        plan: &StreamPlan,
        numbering: Numbering,
        keys: Vec<usize>,
        mut order: Vec<Order>,
        places: Places,
        numbered: bool,
        name: &str,
    ) -> Rank {
        let mut later_first = later_first(&order, places, plan);
        // By processing time is as they come.
        if let Some(place) = order.iter().position(|order| plan.props.times.processing.contains(&order.column)) {
            later_first = order[place].options.descending;
            order.truncate(place);
        }
        Rank {
            numbering,
            keys,
            order,
            first: places.first,
            last: places.last,
            numbered,
            later_first,
            append: plan.props.changes.is_append(),
            emit: self.emit,
            ttl: self.ttl,
            schema: with_number(plan, name),
        }
    }
}

/// No row that comes later can change the number of one that is there: rows are numbered as they come, or the first in event time is kept.
fn is_final(plan: &StreamPlan, numbering: Numbering, order: &[Order], places: Places) -> bool {
    let Some(first) = order.first().filter(|order| !order.options.descending) else { return false };
    let is_first = numbering == Numbering::RowNumber;
    plan.props.changes.is_append()
        && match plan.props.times.kind(first.column) {
            Some(TimeKind::Processing) => is_first,
            Some(TimeKind::Event) => is_first && places == Places { first: 1, last: 1 },
            None => false,
        }
}

/// The rows whose last column, a number, is one of these.
fn between(plan: StreamPlan, places: Places) -> StreamPlan {
    let number = plan.props.schema.fields().len() - 1;
    let column: Arc<dyn PhysicalExpr> = Arc::new(PhysicalColumn::new(plan.props.schema.field(number).name(), number));
    let bound = |place: u64| physical::lit(i64::try_from(place).unwrap_or(i64::MAX));
    let compared = |sign: Operator, place: u64| -> Arc<dyn PhysicalExpr> {
        Arc::new(physical::BinaryExpr::new(Arc::clone(&column), sign, bound(place)))
    };
    let condition = match places.first {
        1 => compared(Operator::LtEq, places.last),
        first => Arc::new(physical::BinaryExpr::new(
            compared(Operator::GtEq, first),
            Operator::And,
            compared(Operator::LtEq, places.last),
        )),
    };
    let Props { changes, distribution, times, .. } = plan.props.clone();
    let filter = Filter { condition, schema: Arc::clone(&plan.props.schema) };
    StreamPlan::operator(filter, plan, changes, distribution).with_times(times)
}

/// "Keep the last row": of rows at the same time the one that came last.
fn later_first(order: &[Order], places: Places, plan: &StreamPlan) -> bool {
    let is_time = |column: usize| plan.props.schema.field(column).data_type().is_temporal();
    let by_time = order.first().is_some_and(|order| order.options.descending && is_time(order.column));
    places == Places { first: 1, last: 1 } && by_time
}

fn with_number(plan: &StreamPlan, name: &str) -> SchemaRef {
    let number = Arc::new(Field::new(name, DataType::Int64, true));
    Arc::new(Schema::new(plan.props.schema.fields().iter().cloned().chain([number]).collect::<Vec<_>>()))
}

fn ranked_by(rank: Rank, plan: StreamPlan) -> StreamPlan {
    let (distribution, times) = (keyed(&rank.keys), plan.props.times.clone());
    let number = plan.props.schema.fields().len();
    let key = match rank.numbering {
        Numbering::RowNumber if rank.first == rank.last => Some(rank.keys.clone()),
        Numbering::RowNumber if rank.numbered => Some([rank.keys.as_slice(), &[number]].concat()),
        _ => plan.props.changes.key().map(<[usize]>::to_vec),
    };
    StreamPlan::operator(rank, plan, Changes::Retract { key }, distribution.clone())
        .requires(distribution)
        .with_times(times)
}

/// Of the rows that have the same `key` the one that came last, or first. When it is taken back, the one that came next to it is there
/// instead. This is what a table with that key has of rows that are not unique by it (Flink's upsert materialization).
pub fn one_of_key(plan: StreamPlan, key: &[usize], last: bool, settings: &Settings) -> Result<StreamPlan> {
    let width = plan.props.schema.fields().len();
    let rank = Rank { later_first: last, ..by_arrival(&plan, key, settings) };
    kept(ranked_by(rank, plan), &(0..width).collect::<Vec<_>>())
}

/// The rows, which fail the job when two have the same `key` of `table`.
pub fn only_of_key(plan: StreamPlan, key: &[usize], table: &str, settings: &Settings) -> Result<StreamPlan> {
    let width = plan.props.schema.fields().len();
    let rank = Rank { last: 2, numbered: true, ..by_arrival(&plan, key, settings) };
    let ranked = ranked_by(rank, plan);
    let Props { schema, distribution, .. } = ranked.props.clone();
    let unique = Unique { key: key.to_vec(), table: table.to_string(), schema };
    let changes = Changes::Retract { key: Some(key.to_vec()) };
    kept(StreamPlan::operator(unique, ranked, changes, distribution), &(0..width).collect::<Vec<_>>())
}

/// The first row of each key.
fn by_arrival(plan: &StreamPlan, key: &[usize], settings: &Settings) -> Rank {
    Rank {
        numbering: Numbering::RowNumber,
        keys: key.to_vec(),
        order: vec![],
        first: 1,
        last: 1,
        numbered: false,
        later_first: false,
        append: plan.props.changes.is_append(),
        emit: settings.emit(),
        ttl: settings.ttl(),
        schema: with_number(plan, "number"),
    }
}

/// Whether some projection makes other columns out of the number.
fn is_computed_with(between: &[&LogicalPlan], bottom: &DFSchema) -> bool {
    (0..between.len()).any(|n| {
        let LogicalPlan::Projection(node) = between[n] else { return false };
        let is_number = |expr: &Expr| is_last(expr, &between[n + 1..], bottom);
        let mentions =
            |expr: &Expr| expr.column_refs().into_iter().any(|column| is_number(&Expr::Column(column.clone())));
        node.expr.iter().any(|expr| !is_number(expr) && mentions(expr))
    })
}

/// The numbering below projections and renamings, and those, from the top.
fn numbering(plan: &LogicalPlan) -> Option<(Vec<&LogicalPlan>, &logical::Window)> {
    match plan {
        LogicalPlan::Window(window) => Some((Vec::new(), window)),
        LogicalPlan::Projection(node) => {
            numbering(&node.input).map(|(above, window)| ([vec![plan], above].concat(), window))
        }
        LogicalPlan::SubqueryAlias(node) => {
            numbering(&node.input).map(|(above, window)| ([vec![plan], above].concat(), window))
        }
        _ => None,
    }
}

/// The only function of the window, if it numbers rows.
fn number_function(window: &logical::Window) -> Option<(Numbering, &WindowFunction)> {
    let [expr] = &window.window_expr[..] else { return None };
    let expr = match expr {
        Expr::Alias(alias) => &alias.expr,
        other => other,
    };
    let Expr::WindowFunction(function) = expr else { return None };
    let WindowFunctionDefinition::WindowUDF(udf) = &function.fun else { return None };
    let numbering = match udf.name().to_ascii_lowercase().as_str() {
        "row_number" => Numbering::RowNumber,
        "rank" => Numbering::Rank,
        "dense_rank" => Numbering::DenseRank,
        _ => return None,
    };
    Some((numbering, function))
}

/// Whether an expression over the topmost of `between` is the last column of `bottom`, which is below them all.
fn is_last(expr: &Expr, between: &[&LogicalPlan], bottom: &DFSchema) -> bool {
    let expr = match expr {
        Expr::Cast(cast) => return is_last(&cast.expr, between, bottom),
        Expr::Alias(alias) => return is_last(&alias.expr, between, bottom),
        other => other,
    };
    let Expr::Column(column) = expr else { return false };
    let Some((top, below)) = between.split_first() else {
        return bottom.index_of_column(column).is_ok_and(|index| index == bottom.fields().len() - 1);
    };
    let Ok(index) = top.schema().index_of_column(column) else { return false };
    match top {
        LogicalPlan::Projection(node) => is_last(&node.expr[index], below, bottom),
        LogicalPlan::SubqueryAlias(node) => {
            is_last(&Expr::Column(Column::from(node.input.schema().qualified_field(index))), below, bottom)
        }
        _ => false,
    }
}

/// The places that a condition on the number leaves over; `None` if it is about something else.
fn bound(condition: &Expr, is_rank: &dyn Fn(&Expr) -> bool) -> Option<Places> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, value) = if is_rank(left) {
                (*op, number(right)?)
            } else if is_rank(right) {
                (op.swap()?, number(left)?)
            } else {
                return None;
            };
            let place = |value: i64| u64::try_from(value.max(0)).unwrap_or(0);
            Some(match op {
                Operator::LtEq => Places { first: 1, last: place(value) },
                Operator::Lt => Places { first: 1, last: place(value.saturating_sub(1)) },
                Operator::Eq => Places { first: place(value), last: place(value) },
                Operator::GtEq => Places { first: place(value), last: u64::MAX },
                Operator::Gt => Places { first: place(value.saturating_add(1)), last: u64::MAX },
                _ => return None,
            })
        }
        Expr::Between(between) if !between.negated && is_rank(&between.expr) => {
            let low = bound(
                &Expr::BinaryExpr(BinaryExpr::new(between.expr.clone(), Operator::GtEq, between.low.clone())),
                is_rank,
            )?;
            let high = bound(
                &Expr::BinaryExpr(BinaryExpr::new(between.expr.clone(), Operator::LtEq, between.high.clone())),
                is_rank,
            )?;
            Some(Places { first: low.first, last: high.last })
        }
        _ => None,
    }
}

fn number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64).ok()? {
            ScalarValue::Int64(value) => value,
            _ => None,
        },
        Expr::Cast(cast) => number(&cast.expr),
        _ => None,
    }
}
