//! Joins to operators.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, TableReference};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{self as logical, BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::physical_expr::PhysicalExpr;
use tidemill_exec::operators::{Emit, IntervalJoin, Join, JoinKind, TimeKind, Ttl, WindowJoin};
use tidemill_exec::{Changes, Error, Result};

use super::lower::{Lowering, kept, nullable, projected};
use super::over::milliseconds;
use super::plan::{Distribution, StreamPlan, Times, WindowColumns};
use crate::functions::window::{as_event_time, window_time};
use crate::state_ttl;

/// What bounds the state of a join.
enum Bound {
    None,
    Window(Windows),
    Interval(Interval),
}

/// By input, where the start, the end and the time of the window are.
struct Windows {
    columns: [(usize, usize, usize); 2],
    kind: TimeKind,
}

/// Bounds of the left time minus the right one, in milliseconds.
struct Interval {
    times: [usize; 2],
    least: i64,
    greatest: i64,
}

impl Bound {
    /// Time attributes of the columns of the left and, behind them, of the right. Those of a side that may be null are none.
    fn times(&self, kind: JoinKind, left: &Side, right: &Side) -> Times {
        use JoinKind::{Anti, Full, Inner, Mark, Right, Semi};
        let (of_left, of_right) = match kind {
            Inner => (true, true),
            JoinKind::Left | Semi | Anti | Mark => (true, false),
            Right => (false, true),
            Full => (false, false),
        };
        let offset = left.columns.len();
        match self {
            Bound::None => Times::default(),
            Bound::Window(windows) => {
                let moved = |of: fn(&WindowColumns) -> &Vec<usize>| {
                    let columns = |side: &Side, offset: usize| -> Vec<usize> {
                        let window = side.plan.props.times.window.iter();
                        window.flat_map(of).map(|column| column + offset).collect()
                    };
                    let left = if of_left { columns(left, 0) } else { vec![] };
                    let right = if of_right { columns(right, offset) } else { vec![] };
                    [left, right].concat()
                };
                let zone = left.plan.props.times.window.as_ref().and_then(|window| window.zone.clone());
                let window = WindowColumns {
                    start: moved(|window| &window.start),
                    end: moved(|window| &window.end),
                    time: moved(|window| &window.time),
                    kind: windows.kind,
                    zone,
                };
                let event = if windows.kind == TimeKind::Event { window.time.clone() } else { vec![] };
                let is_known = !window.start.is_empty() && !window.end.is_empty();
                Times { event, window: is_known.then_some(window), ..Times::default() }
            }
            Bound::Interval(Interval { times, .. }) => {
                let left = of_left.then_some(times[0]);
                let right = of_right.then_some(times[1] + offset);
                Times { event: left.into_iter().chain(right).collect(), ..Times::default() }
            }
        }
    }
}

/// One input of a join.
pub(super) struct Side {
    pub plan: StreamPlan,
    /// The columns of the plan: those of the query, then those that are only there to be compared.
    pub columns: Vec<(Option<TableReference>, FieldRef)>,
    /// How many the query has.
    pub width: usize,
    pub keys: Vec<usize>,
    ttl: Option<Ttl>,
}

impl Side {
    /// Rows match nothing that comes more than so many milliseconds after them.
    fn keep_at_most(&mut self, millis: i64) {
        let most = Duration::from_millis(millis.max(1).unsigned_abs());
        self.ttl = Some(self.ttl.map_or(Ttl(most), |Ttl(ttl)| Ttl(ttl.min(most))));
    }
}

impl Lowering<'_> {
    pub(super) fn join(&self, node: &logical::Join) -> Result<StreamPlan> {
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
        let mut inputs = [(&node.left, on[0].as_slice()), (&node.right, on[1].as_slice())];
        if is_mirrored {
            inputs.reverse();
        }
        let [left, right] = inputs.map(|(input, keys)| self.side(input, keys));
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
        if let Some(Interval { least, greatest, .. }) = processing.filter(|_| rows_stay) {
            left.keep_at_most(least.saturating_neg());
            right.keep_at_most(greatest);
        }
        let null_equals_null = node.null_equality == NullEquality::NullEqualsNull;
        self.joined(kind, left, right, null_equals_null, condition, bound, &nullable(node.schema.inner()))
    }

    #[expect(clippy::too_many_arguments, reason = "a step of `join` and of nothing else")]
    fn joined(
        &self,
        kind: JoinKind,
        left: Side,
        right: Side,
        null_equals_null: bool,
        condition: Option<Arc<dyn PhysicalExpr>>,
        bound: Bound,
        output: &SchemaRef,
    ) -> Result<StreamPlan> {
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
            (Bound::None, false) => Changes::Retract { key: key(kind, &left, &right) },
            _ => Changes::Append,
        };
        let times = bound.times(kind, &left, &right);
        let distribution = |side: &Side, offset: usize| match side.keys.is_empty() {
            true => Distribution::Single,
            false => Distribution::Hash(side.keys.iter().map(|key| key + offset).collect()),
        };
        let distributed = match kind {
            // Nulls stand in the keys of either side.
            JoinKind::Full if !left.keys.is_empty() => Distribution::Any,
            JoinKind::Right => distribution(&right, offset),
            _ => distribution(&left, 0),
        };
        let required = [distribution(&left, 0), distribution(&right, 0)];
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
            Bound::None => StreamPlan::binary(join, inputs, changes, distributed),
            Bound::Window(window) => {
                let join = WindowJoin {
                    join: Join { append: false, emit: Emit::Epoch, ttl: [None; 2], ..join },
                    windows: window.columns,
                    kind: window.kind,
                };
                StreamPlan::binary(join, inputs, changes, distributed)
            }
            Bound::Interval(Interval { times, least, greatest }) => {
                let join =
                    IntervalJoin { join: Join { emit: Emit::Epoch, ttl: [None; 2], ..join }, times, least, greatest };
                StreamPlan::binary(join, inputs, changes, distributed)
            }
        };
        let plan = kept(plan.with_times(times), &columns)?;
        debug_assert_eq!(plan.props.schema.fields().len(), output.fields().len());
        Ok(plan)
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
        let Side { plan, mut columns, width, keys, ttl } = side;
        let schema = DFSchema::new_with_metadata(columns.clone(), Default::default())?;
        let end = Expr::Column(Column::from(schema.qualified_field(end)));
        let time = window_time(end, window.zone.as_deref())?;
        let plan = self.extended(plan, &schema, &[(format!("$window_time of {name}"), time)])?;
        columns.push((None, Arc::clone(&plan.props.schema.fields()[columns.len()])));
        let time = columns.len() - 1;
        Ok((Side { plan, columns, width, keys, ttl }, time))
    }

    /// An input with its keys as columns.
    fn side(&self, input: &logical::LogicalPlan, keys: &[Expr]) -> Result<Side> {
        let ttl = state_ttl::of(input).unwrap_or(self.ttl);
        Ok(Side { ttl, ..self.keyed(self.plan(input)?, input.schema(), keys)? })
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
            return Ok(Side { plan, columns, width, keys: places, ttl });
        }
        let passed = schema.columns().into_iter().map(Expr::Column);
        let expressions = passed.chain(computed).map(|expr| self.expression(&expr, schema));
        let output = Schema::new(columns.iter().map(|(_, field)| Arc::clone(field)).collect::<Vec<_>>());
        let plan = projected(plan, expressions.collect::<Result<Vec<_>>>()?, Arc::new(output))?;
        Ok(Side { plan, columns, width, keys: places, ttl })
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

/// The columns that identify a row that comes out, if any do.
fn key(kind: JoinKind, left: &Side, right: &Side) -> Option<Vec<usize>> {
    let unique = |side: &Side| side.plan.props.changes.key().map(<[usize]>::to_vec);
    // At most one row of that side has a given join key.
    let is_single = |side: &Side| unique(side).is_some_and(|key| key.iter().all(|column| side.keys.contains(column)));
    let of_right = || -> Option<Vec<usize>> {
        Some(unique(right)?.into_iter().map(|column| left.columns.len() + column).collect())
    };
    match kind {
        JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => unique(left),
        // A row of either side whose key is null looks like one that is padded, and both may be there.
        JoinKind::Full => None,
        JoinKind::Inner | JoinKind::Left if is_single(right) && unique(left).is_some() => unique(left),
        JoinKind::Inner | JoinKind::Right if is_single(left) && unique(right).is_some() => of_right(),
        _ => Some([unique(left)?, of_right()?].concat()),
    }
}

/// The bounds that a condition sets to how far such times of a pair are apart, if it sets both.
fn interval(
    kind: TimeKind,
    [left, right]: [&Side; 2],
    equal: impl Iterator<Item = (Expr, Expr)>,
    filter: Option<&Expr>,
    both: &DFSchema,
) -> Option<Interval> {
    let offset = left.columns.len();
    let is_time = |side: &Side, column: usize| side.plan.props.times.kind(column) == Some(kind);
    let mut bounds: Vec<Interval> = Vec::new();
    let mut bound = |a: &Expr, sign: Operator, b: &Expr| {
        let (Some((a, after_a)), Some((b, after_b))) = (shifted(a, both), shifted(b, both)) else { return };
        let (mut sign, mut pair, mut apart) = (sign, [a, b], after_b.saturating_sub(after_a));
        if a >= offset {
            (sign, pair, apart) = (sign.swap().unwrap_or(sign), [b, a], -apart);
        }
        let times = [pair[0], pair[1].wrapping_sub(offset)];
        if pair[0] >= offset || !is_time(left, times[0]) || !is_time(right, times[1]) {
            return;
        }
        let place = bounds.iter().position(|known| known.times == times).unwrap_or_else(|| {
            bounds.push(Interval { times, least: i64::MIN, greatest: i64::MAX });
            bounds.len() - 1
        });
        let known = &mut bounds[place];
        match sign {
            Operator::LtEq => known.greatest = known.greatest.min(apart),
            Operator::Lt => known.greatest = known.greatest.min(apart - 1),
            Operator::GtEq => known.least = known.least.max(apart),
            Operator::Gt => known.least = known.least.max(apart + 1),
            Operator::Eq => (known.least, known.greatest) = (known.least.max(apart), known.greatest.min(apart)),
            _ => {}
        }
    };
    equal.for_each(|(left, right)| bound(&left, Operator::Eq, &right));
    for condition in filter.into_iter().flat_map(split_conjunction) {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => bound(left, *op, right),
            Expr::Between(between) if !between.negated => {
                bound(&between.expr, Operator::GtEq, &between.low);
                bound(&between.expr, Operator::LtEq, &between.high);
            }
            _ => {}
        }
    }
    bounds.into_iter().find(|bound| bound.least > i64::MIN && bound.greatest < i64::MAX)
}

/// A column, and how many milliseconds are added to it.
fn shifted(expr: &Expr, schema: &DFSchema) -> Option<(usize, i64)> {
    match expr {
        Expr::Column(column) => Some((schema.maybe_index_of_column(column)?, 0)),
        Expr::Alias(alias) => shifted(&alias.expr, schema),
        Expr::Cast(cast) => shifted(&cast.expr, schema),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => match right.as_ref() {
            Expr::Literal(by, _) => {
                shifted(left, schema).and_then(|(column, at)| Some((column, at + milliseconds(by)?)))
            }
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => match right.as_ref() {
            Expr::Literal(by, _) => {
                shifted(left, schema).and_then(|(column, at)| Some((column, at - milliseconds(by)?)))
            }
            _ => None,
        },
        other => as_event_time(other).and_then(|inner| shifted(inner, schema)),
    }
}
