//! Joins to operators.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, TableReference};
use datafusion::logical_expr::{self as logical, Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use tidemill_exec::operators::{Emit, IntervalJoin, Join, JoinKind, TimeKind, Ttl, WindowJoin};
use tidemill_exec::{Changes, Error, Result};

use super::bound::{Bound, Interval, Windows, interval};
use super::lower::{Lowering, kept, nullable, projected};
use super::plan::{Distribution, StreamPlan, WindowColumns};
use crate::functions::window::window_time;
use crate::state_ttl;

/// One input of a join.
pub(super) struct Side {
    pub plan: StreamPlan,
    /// The columns of the plan: those of the query, then those that are only there to be compared.
    pub columns: Vec<(Option<TableReference>, FieldRef)>,
    /// How many the query has.
    pub width: usize,
    pub keys: Vec<usize>,
    /// What the keys are, [by place](by_place) in the columns of the query.
    pub on: Vec<Expr>,
    pub ttl: Option<Ttl>,
}

/// Two inputs and how they are joined.
pub(super) struct Pair {
    pub kind: JoinKind,
    pub left: Side,
    pub right: Side,
    pub null_equals_null: bool,
    /// Over the columns of both sides.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    pub bound: Bound,
    /// Rows are forgotten when they are too old for all that comes later.
    pub grows_old: bool,
}

impl Side {
    /// How its rows must be spread; `offset` columns stand before its own.
    pub fn distribution(&self, offset: usize) -> Distribution {
        match self.keys.is_empty() {
            true => Distribution::Single,
            false => Distribution::Hash(self.keys.iter().map(|key| key + offset).collect()),
        }
    }

    /// Rows match nothing that comes more than so many milliseconds after them.
    fn keep_at_most(&mut self, millis: i64) {
        let most = Duration::from_millis(millis.max(1).unsigned_abs());
        self.ttl = Some(self.ttl.map_or(Ttl(most), |Ttl(ttl)| Ttl(ttl.min(most))));
    }
}

impl Lowering<'_> {
    pub(super) fn join(&self, node: &logical::Join) -> Result<StreamPlan> {
        match node.join_type {
            JoinType::Inner | JoinType::Left if self.settings.multi_join() => self.multi_join(node),
            _ => self.joined(self.pair(node, self.plan(&node.left)?, self.plan(&node.right)?)?),
        }
    }

    /// The inputs of a join, whose plans these are.
    pub(super) fn pair(&self, node: &logical::Join, left: StreamPlan, right: StreamPlan) -> Result<Pair> {
        use JoinType::{Full, Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
        let (kind, is_mirrored) = match node.join_type {
            Inner => (JoinKind::Inner, false),
            Left => (JoinKind::Left, false),
            Right => (JoinKind::Right, false),
            Full => (JoinKind::Full, false),
            LeftSemi => (JoinKind::Semi, false),
            LeftAnti => (JoinKind::Anti, false),
            LeftMark => (JoinKind::Mark, false),
            RightSemi => (JoinKind::Semi, true),
            RightAnti => (JoinKind::Anti, true),
            RightMark => (JoinKind::Mark, true),
        };
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = node.on.iter().cloned().unzip();
        let (mut on, mut filter) = ([left_keys, right_keys], node.filter.clone());
        if node.null_aware {
            // NOT IN: a row that may be equal counts as one that is. Which are equal no key can tell then.
            let [left, right] = std::mem::take(&mut on);
            let may_be_equal = left.into_iter().zip(right).map(|(left, right)| left.eq(right).is_not_false());
            filter = may_be_equal.chain(filter).reduce(Expr::and);
        }
        let mut inputs = [(left, &node.left, on[0].as_slice()), (right, &node.right, on[1].as_slice())];
        if is_mirrored {
            inputs.reverse();
        }
        let [left, right] = inputs.map(|(plan, input, keys)| self.side(plan, input, keys));
        let (left, right) = (left?, right?);
        check_keys(&left, &right)?;

        let (mut left, mut right, windows) = self.with_windows(left, right)?;
        let both = [left.columns.clone(), right.columns.clone()].concat();
        let both = DFSchema::new_with_metadata(both, Default::default())?;
        let condition = filter.as_ref().map(|filter| self.expression(filter, &both)).transpose()?;
        let apart = |time| interval(time, [&left, &right], node.on.iter().cloned(), filter.as_ref(), &both);
        let rows_stay = [&left, &right].iter().all(|side| side.plan.props.changes.is_append());
        let (event, processing) = (apart(TimeKind::Event), apart(TimeKind::Processing));
        let bound = match windows {
            Some(windows) => Bound::Window(windows),
            None if kind.has_pairs() && rows_stay => event.map_or(Bound::None, Bound::Interval),
            None => Bound::None,
        };
        // What is too old for all that is still to come is not used any more.
        let old = processing.filter(|_| rows_stay);
        if let Some(Interval { least, greatest, .. }) = old {
            left.keep_at_most(least.saturating_neg());
            right.keep_at_most(greatest);
        }
        let null_equals_null = node.null_equality == NullEquality::NullEqualsNull;
        Ok(Pair { kind, left, right, null_equals_null, condition, bound, grows_old: old.is_some() })
    }

    pub(super) fn joined(&self, pair: Pair) -> Result<StreamPlan> {
        let Pair { kind, left, right, null_equals_null, condition, bound, .. } = pair;
        let (left_width, offset) = (left.width, left.columns.len());
        let mut columns: Vec<usize> = (0..left_width).collect();
        let mut fields: Vec<FieldRef> = left.columns.iter().map(|(_, field)| Arc::clone(field)).collect();
        match kind {
            JoinKind::Semi | JoinKind::Anti => {}
            JoinKind::Mark => {
                columns.push(fields.len());
                fields.push(Arc::new(Field::new("mark", DataType::Boolean, true)));
            }
            _ => {
                columns.extend(offset..offset + right.width);
                fields.extend(right.columns.iter().map(|(_, field)| Arc::clone(field)));
            }
        }
        let append = left.plan.props.changes.is_append() && right.plan.props.changes.is_append();
        let changes = match (&bound, append && kind.is_monotonic()) {
            (Bound::None, false) => {
                Changes::Retract { key: key(kind, &Identity::of(&left, 0), &Identity::of(&right, offset)) }
            }
            _ => Changes::Append,
        };
        let times = bound.times(kind, &left, &right);
        let distributed = match kind {
            // Nulls stand in the keys of either side.
            JoinKind::Full if !left.keys.is_empty() => Distribution::Any,
            JoinKind::Right => right.distribution(offset),
            _ => left.distribution(0),
        };
        let required = [left.distribution(0), right.distribution(0)];
        let join = Join {
            kind,
            keys: [left.keys, right.keys],
            null_equals_null,
            condition,
            inputs: [Arc::clone(&left.plan.props.schema), Arc::clone(&right.plan.props.schema)],
            append,
            emit: self.emit,
            ttl: [left.ttl, right.ttl],
            schema: nullable(&(Arc::new(Schema::new(fields)) as SchemaRef)),
        };
        let [of_left, of_right] = required;
        let inputs = [(left.plan, of_left), (right.plan, of_right)];
        let plan = match bound {
            Bound::None => StreamPlan::of_inputs(join, inputs, changes, distributed),
            Bound::Window(window) => {
                let join = WindowJoin {
                    join: Join { append: false, emit: Emit::Epoch, ttl: [None; 2], ..join },
                    windows: window.columns,
                    kind: window.kind,
                };
                StreamPlan::of_inputs(join, inputs, changes, distributed)
            }
            Bound::Interval(Interval { times, least, greatest }) => {
                let join =
                    IntervalJoin { join: Join { emit: Emit::Epoch, ttl: [None; 2], ..join }, times, least, greatest };
                StreamPlan::of_inputs(join, inputs, changes, distributed)
            }
        };
        kept(plan.with_times(times), &columns)
    }

    /// If both sides are of windows that must be the same: where these are. The time at which they close may be a column more.
    fn with_windows(&self, left: Side, right: Side) -> Result<(Side, Side, Option<Windows>)> {
        let (Some(of_left), Some(of_right)) =
            (left.plan.props.times.window.clone(), right.plan.props.times.window.clone())
        else {
            return Ok((left, right, None));
        };
        let pair = |of_left: &[usize], of_right: &[usize]| {
            let mut pairs = left.keys.iter().copied().zip(right.keys.iter().copied());
            pairs.find(|(left, right)| of_left.contains(left) && of_right.contains(right))
        };
        let (Some(starts), Some(ends)) = (pair(&of_left.start, &of_right.start), pair(&of_left.end, &of_right.end))
        else {
            return Ok((left, right, None));
        };
        if of_left.kind != of_right.kind {
            return Ok((left, right, None));
        }
        let kind = of_left.kind;
        let (left, left_time) = self.with_window_time(left, &of_left, ends.0, "left")?;
        let (right, right_time) = self.with_window_time(right, &of_right, ends.1, "right")?;
        let columns = [(starts.0, ends.0, left_time), (starts.1, ends.1, right_time)];
        Ok((left, right, Some(Windows { columns, kind })))
    }

    fn with_window_time(&self, side: Side, window: &WindowColumns, end: usize, name: &str) -> Result<(Side, usize)> {
        if let Some(&time) = window.time.first() {
            return Ok((side, time));
        }
        let Side { plan, mut columns, width, keys, on, ttl } = side;
        let schema = DFSchema::new_with_metadata(columns.clone(), Default::default())?;
        let end = Expr::Column(Column::from(schema.qualified_field(end)));
        let time = window_time(end, window.zone.as_deref())?;
        let plan = self.extended(plan, &schema, &[(format!("$window_time of {name}"), time)])?;
        columns.push((None, Arc::clone(&plan.props.schema.fields()[columns.len()])));
        let time = columns.len() - 1;
        Ok((Side { plan, columns, width, keys, on, ttl }, time))
    }

    /// An input, whose plan this is, with its keys as columns.
    pub(super) fn side(&self, plan: StreamPlan, input: &logical::LogicalPlan, keys: &[Expr]) -> Result<Side> {
        Ok(Side { ttl: self.ttl_of(input), ..self.keyed(plan, input.schema(), keys)? })
    }

    pub(super) fn ttl_of(&self, input: &logical::LogicalPlan) -> Option<Ttl> {
        state_ttl::of(input).unwrap_or(self.ttl)
    }

    /// The rows of `plan`, which has the columns of `schema`, with keys as columns.
    pub(super) fn keyed(&self, plan: StreamPlan, schema: &DFSchema, keys: &[Expr]) -> Result<Side> {
        let ttl = self.ttl;
        let mut columns: Vec<(Option<TableReference>, FieldRef)> = schema
            .iter()
            .zip(plan.props.schema.fields())
            .map(|((qualifier, field), as_read)| {
                let field = field.as_ref().clone().with_data_type(as_read.data_type().clone()).with_nullable(true);
                (qualifier.cloned(), Arc::new(field))
            })
            .collect();
        let width = columns.len();
        let on = keys.iter().map(|key| by_place(key, |column| schema.index_of_column(column).ok()));
        let on = on.collect::<Option<Vec<Expr>>>().unwrap_or_default();
        let mut computed = Vec::new();
        let mut places = Vec::with_capacity(keys.len());
        for key in keys {
            let known = match key {
                Expr::Column(column) => schema.maybe_index_of_column(column),
                _ => None,
            };
            places.push(match known {
                Some(column) => column,
                None => {
                    let name = format!("key {key}");
                    columns.push((None, Arc::new(Field::new(name, key.get_type(schema)?, true))));
                    computed.push(key.clone());
                    columns.len() - 1
                }
            });
        }
        if computed.is_empty() {
            return Ok(Side { plan, columns, width, keys: places, on, ttl });
        }
        let passed = schema.columns().into_iter().map(Expr::Column);
        let expressions = passed.chain(computed).map(|expr| self.expression(&expr, schema));
        let output = Schema::new(columns.iter().map(|(_, field)| Arc::clone(field)).collect::<Vec<_>>());
        let plan = projected(plan, expressions.collect::<Result<Vec<_>>>()?, Arc::new(output))?;
        Ok(Side { plan, columns, width, keys: places, on, ttl })
    }
}

pub(super) fn check_keys(left: &Side, right: &Side) -> Result<()> {
    for (&of_left, &of_right) in left.keys.iter().zip(&right.keys) {
        let (of_left, of_right) = (&left.columns[of_left].1, &right.columns[of_right].1);
        let [left_type, right_type] = [of_left, of_right].map(|field| field.data_type());
        if left_type != right_type {
            return Err(Error::new(format!("cannot join {} with {}", of_left.name(), of_right.name()))
                .why(format!("one is of type {left_type}, the other of type {right_type}"))
                .fix("cast one of them to the type of the other"));
        }
    }
    Ok(())
}

/// The expression with columns named by their places, so that it is the same whatever they are called; `None` if one has none.
pub(super) fn by_place(expr: &Expr, place: impl Fn(&Column) -> Option<usize>) -> Option<Expr> {
    let mut is_known = true;
    let placed = expr.clone().transform(|expr| match &expr {
        Expr::Column(column) => {
            let place = place(column);
            is_known &= place.is_some();
            let name = place.unwrap_or_default().to_string();
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
        }
        _ => Ok(Transformed::no(expr)),
    });
    placed.ok().map(|placed| placed.data).filter(|_| is_known)
}

/// What is known of the rows of one side of a join.
pub(super) struct Identity {
    /// The columns that identify a row, if any do.
    pub unique: Option<Vec<usize>>,
    /// Columns that are join keys.
    pub joined: Vec<usize>,
}

impl Identity {
    /// Of a side before whose columns there are so many.
    pub fn of(side: &Side, offset: usize) -> Identity {
        let moved = |columns: &[usize]| columns.iter().map(|column| column + offset).collect();
        Identity { unique: side.plan.props.changes.key().map(moved), joined: moved(&side.keys) }
    }

    /// At most one row has a given join key.
    fn is_single(&self) -> bool {
        self.unique.as_ref().is_some_and(|key| key.iter().all(|column| self.joined.contains(column)))
    }
}

/// The columns that identify a row that comes out, if any do.
pub(super) fn key(kind: JoinKind, left: &Identity, right: &Identity) -> Option<Vec<usize>> {
    let unique = |side: &Identity| side.unique.clone();
    match kind {
        JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => unique(left),
        // A row of either side whose key is null looks like one that is padded, and both may be there.
        JoinKind::Full => None,
        JoinKind::Inner | JoinKind::Left if right.is_single() && left.unique.is_some() => unique(left),
        JoinKind::Inner | JoinKind::Right if left.is_single() && right.unique.is_some() => unique(right),
        _ => Some([unique(left)?, unique(right)?].concat()),
    }
}
