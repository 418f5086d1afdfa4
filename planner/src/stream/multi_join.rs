//! Joins above each other that all compare one key become one operator, which keeps the rows of its inputs and nothing in between.
//!
//! `a JOIN b ON a.k = b.k JOIN c ON b.k = c.k` compares one key: what is equal to `b.k` in the join above is a key of the join below. So is
//! the right side of an inner join merged, `a JOIN (b JOIN c ON ..) ON ..`. Not merged, as their result would be another one or as much more work, are
//! joins whose keys are others or more, joins bounded in time, and left joins with further conditions or with state that is forgotten: which of their
//! rows have a match must be remembered row by row.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, TableReference};
use datafusion::logical_expr::{self as logical, Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, conjunction_opt, split_conjunction};
use tidemill_exec::operators::{JoinInput, JoinKind, MultiJoin, with_columns_at};
use tidemill_exec::{Changes, Result};

use super::bound::Bound;
use super::join::{Identity, Pair, Side, by_place, check_keys, key};
use super::lower::{Lowering, kept, nullable};
use super::plan::{Distribution, StreamPlan};

/// A join of more than these is one of the result of a join of these.
const INPUTS_MAX: usize = 32;

/// An input of a join as it is planned.
enum Operand<'a> {
    Plan(Box<StreamPlan>),
    Chain(Chain<'a>),
}

/// Joins that others may be merged with.
struct Chain<'a> {
    /// Whose keys are equal to each other, in this order.
    sides: Vec<Side>,
    /// How each is joined with those before it; the first is not.
    steps: Vec<Step>,
    null_equals_null: bool,
    /// Where the columns of the result are among those of all sides.
    columns: Vec<usize>,
    /// Nodes above the joins that only choose among their columns, outermost first.
    above: Vec<&'a logical::Projection>,
}

#[derive(Default)]
struct Step {
    /// A left join.
    outer: bool,
    /// Outer sides whose keys it compares.
    joined_by: Vec<usize>,
    /// Over the columns of all sides.
    condition: Option<Arc<dyn PhysicalExpr>>,
}

impl Lowering<'_> {
    /// An inner or left join, as one with the joins below it where that can be.
    pub(super) fn multi_join(&self, node: &logical::Join) -> Result<StreamPlan> {
        let joins = self.joins(node)?;
        self.planned(joins)
    }

    fn operand<'a>(&self, input: &'a LogicalPlan) -> Result<Operand<'a>> {
        let mut above = Vec::new();
        match join_below(input, &mut above) {
            None => self.plan(input).map(Operand::of),
            Some(node) => match self.joins(node)? {
                Operand::Chain(chain) => Ok(Operand::Chain(Chain { above, ..chain })),
                Operand::Plan(plan) => self.chosen(*plan, &above).map(Operand::of),
            },
        }
    }

    fn joins<'a>(&self, node: &'a logical::Join) -> Result<Operand<'a>> {
        let [left, right] = [self.operand(&node.left)?, self.operand(&node.right)?];
        let (of_left, of_right): (Vec<Expr>, Vec<Expr>) = node.on.iter().cloned().unzip();
        let (mut in_left, mut in_right) = (None, None);
        if self.may_merge(node, &left, &right) {
            in_left = left.keys_among(&of_left, node.left.schema());
            // Rows of the right whose key is null would have to go once they are joined.
            in_right =
                right.keys_among(&of_right, node.right.schema()).filter(|keys| right.outer_among(keys).is_empty());
        }
        // In the order of the chain that is there already, or the one on the left.
        let order = match (&in_left, &in_right) {
            (Some(keys), _) | (None, Some(keys)) => in_order(keys),
            (None, None) => {
                let pair = self.pair(node, self.planned(left)?, self.planned(right)?)?;
                return match Chain::of(pair) {
                    Ok(chain) => Ok(Operand::Chain(chain)),
                    Err(pair) => self.joined(*pair).map(Operand::of),
                };
            }
        };
        let joined_by = in_left.as_ref().map_or(Vec::new(), |keys| left.outer_among(keys));
        let left = self.ordered(left, &node.left, &of_left, in_left, &order)?;
        let right = self.ordered(right, &node.right, &of_right, in_right, &order)?;
        check_keys(&left.sides[0], &right.sides[0])?;

        let offset = left.width();
        let columns = left.chosen().into_iter().chain(right.chosen().into_iter().map(|column| offset + column));
        let columns: Vec<usize> = columns.collect();
        let fields = [left.fields(node.left.schema()), right.fields(node.right.schema())].concat();
        let both = DFSchema::new_with_metadata(fields, Default::default())?;
        let condition = node
            .filter
            .as_ref()
            .map(|filter| with_columns_at(&self.expression(filter, &both)?, |column| columns[column]));
        let outer = node.join_type == JoinType::Left;
        let (before, mut steps) = (left.sides.len(), left.steps);
        steps.push(Step { outer, joined_by, condition: condition.transpose()? });
        for step in right.steps.into_iter().skip(1) {
            let condition = step.condition.map(|condition| with_columns_at(&condition, |column| offset + column));
            let joined_by = step.joined_by.into_iter().map(|side| before + side).collect();
            steps.push(Step { joined_by, condition: condition.transpose()?, ..step });
        }
        let sides = left.sides.into_iter().chain(right.sides).collect();
        let null_equals_null = node.null_equality == NullEquality::NullEqualsNull;
        Ok(Operand::Chain(Chain { sides, steps, null_equals_null, columns, above: Vec::new() }))
    }

    /// Whether a join may become one with the joins of its inputs, if their keys are the same.
    fn may_merge(&self, node: &logical::Join, left: &Operand, right: &Operand) -> bool {
        let is_left = node.join_type == JoinType::Left;
        let null_equals_null = node.null_equality == NullEquality::NullEqualsNull;
        let chains = || [left, right].into_iter().filter_map(Operand::chain);
        let forgets = [(left, &node.left), (right, &node.right)].into_iter().any(|(operand, input)| match operand {
            Operand::Chain(chain) => chain.sides.iter().any(|side| side.ttl.is_some()),
            Operand::Plan(_) => self.ttl_of(input).is_some(),
        });
        let has_outer = is_left || chains().any(|chain| chain.steps.iter().any(|step| step.outer));
        let is_as_in_a_left_join = node.filter.is_none() && !null_equals_null && right.chain().is_none();
        let inputs = [left, right].map(|operand| operand.chain().map_or(1, |chain| chain.sides.len()));
        chains().all(|chain| chain.null_equals_null == null_equals_null)
            && !(has_outer && forgets)
            && (!is_left || is_as_in_a_left_join)
            && inputs.iter().sum::<usize>() <= INPUTS_MAX
    }

    /// An operand with its keys in this order; `found`: where they are in a chain that is to be merged.
    fn ordered<'a>(
        &self,
        operand: Operand<'a>,
        input: &LogicalPlan,
        keys: &[Expr],
        found: Option<Vec<Key>>,
        order: &[usize],
    ) -> Result<Chain<'a>> {
        match (operand, found) {
            (Operand::Chain(mut chain), Some(found)) => {
                for side in &mut chain.sides {
                    side.keys = order.iter().map(|&n| side.keys[found[n].place]).collect();
                    side.on = order.iter().map(|&n| side.on[found[n].place].clone()).collect();
                }
                Ok(chain)
            }
            (operand, _) => {
                let keys: Vec<Expr> = order.iter().map(|&n| keys[n].clone()).collect();
                let side = self.side(self.planned(operand)?, input, &keys)?;
                let columns = (0..side.width).collect();
                let (sides, steps) = (vec![side], vec![Step::default()]);
                Ok(Chain { sides, steps, null_equals_null: false, columns, above: Vec::new() })
            }
        }
    }

    fn planned(&self, joins: Operand) -> Result<StreamPlan> {
        let mut chain = match joins {
            Operand::Plan(plan) => return Ok(*plan),
            Operand::Chain(chain) => chain,
        };
        let above = std::mem::take(&mut chain.above);
        let plan = match <[Side; 2]>::try_from(std::mem::take(&mut chain.sides)) {
            Ok([left, right]) => {
                let Step { outer, condition, .. } = chain.steps.swap_remove(1);
                let kind = if outer { JoinKind::Left } else { JoinKind::Inner };
                let (null_equals_null, bound, grows_old) = (chain.null_equals_null, Bound::None, false);
                self.joined(Pair { kind, left, right, null_equals_null, condition, bound, grows_old })?
            }
            Err(sides) => self.joined_at_once(Chain { sides, ..chain })?,
        };
        self.chosen(plan, &above)
    }

    /// What these nodes choose of the rows of a plan.
    fn chosen(&self, plan: StreamPlan, above: &[&logical::Projection]) -> Result<StreamPlan> {
        above.iter().rev().try_fold(plan, |plan, node| {
            self.projected(plan, node.input.schema(), &node.expr, Arc::clone(node.schema.inner()))
        })
    }

    fn joined_at_once(&self, mut chain: Chain) -> Result<StreamPlan> {
        let mut conditions = chain.conditions();
        let append = chain.sides.iter().all(|side| side.plan.props.changes.is_append());
        let is_monotonic = !chain.steps.iter().any(|step| step.outer);
        let changes = match append && is_monotonic {
            true => Changes::Append,
            false => Changes::Retract { key: chain.key() },
        };
        let distribution = Distribution::Hash(chain.sides[0].keys.iter().map(|&key| chain.shown(key)).collect());
        let fields = chain.sides.iter().flat_map(|side| side.columns.iter().map(|(_, field)| Arc::clone(field)));
        let schema: SchemaRef = nullable(&(Arc::new(Schema::new(fields.collect::<Vec<_>>())) as SchemaRef));
        let mut joined = Vec::with_capacity(chain.sides.len());
        let mut inputs = Vec::with_capacity(chain.sides.len());
        for (n, (side, step)) in chain.sides.drain(..).zip(chain.steps.drain(..)).enumerate() {
            let required = side.distribution(0);
            joined.push(JoinInput {
                schema: Arc::clone(&side.plan.props.schema),
                keys: side.keys,
                outer: step.outer,
                joined_by: step.joined_by,
                condition: conjunction_opt(std::mem::take(&mut conditions[n])),
                ttl: side.ttl,
            });
            inputs.push((side.plan, required));
        }
        let (null_equals_null, emit) = (chain.null_equals_null, self.emit);
        let join = MultiJoin { inputs: joined, null_equals_null, append, emit, schema };
        kept(StreamPlan::of_inputs(join, inputs, changes, distribution), &chain.columns)
    }
}

/// Where a key of a join is among those of a chain.
struct Key {
    side: usize,
    place: usize,
}

/// By place in the chain, which key is there.
fn in_order(keys: &[Key]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&n| keys[n].place);
    order
}

/// The join that a plan is, but for a choice of columns.
fn join_below<'a>(plan: &'a LogicalPlan, above: &mut Vec<&'a logical::Projection>) -> Option<&'a logical::Join> {
    match plan {
        LogicalPlan::Join(node) if matches!(node.join_type, JoinType::Inner | JoinType::Left) => Some(node),
        LogicalPlan::SubqueryAlias(node) => join_below(&node.input, above),
        LogicalPlan::Projection(node) if node.expr.iter().all(|expr| chosen(expr).is_some()) => {
            above.push(node);
            join_below(&node.input, above)
        }
        _ => None,
    }
}

/// The column that an expression passes on.
fn chosen(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Alias(alias) => chosen(&alias.expr),
        Expr::Column(column) => Some(column),
        _ => None,
    }
}

impl<'a> Operand<'a> {
    fn of(plan: StreamPlan) -> Operand<'a> {
        Operand::Plan(Box::new(plan))
    }

    fn chain(&self) -> Option<&Chain<'a>> {
        match self {
            Operand::Chain(chain) => Some(chain),
            Operand::Plan(_) => None,
        }
    }

    fn keys_among(&self, keys: &[Expr], schema: &DFSchema) -> Option<Vec<Key>> {
        self.chain()?.keys_among(keys, schema)
    }

    /// Those of the sides that these keys are of that may be null.
    fn outer_among(&self, keys: &[Key]) -> Vec<usize> {
        let Some(chain) = self.chain() else { return Vec::new() };
        (0..chain.sides.len()).filter(|&n| chain.steps[n].outer && keys.iter().any(|key| key.side == n)).collect()
    }
}

impl<'a> Chain<'a> {
    /// Of one join, if others may be merged with it.
    fn of(pair: Pair) -> Result<Chain<'a>, Box<Pair>> {
        let Pair { kind, left, right, null_equals_null, condition, bound, grows_old } = &pair;
        let by_key_alone = condition.is_none() && !null_equals_null && left.ttl.is_none() && right.ttl.is_none();
        let is_open = matches!(bound, Bound::None) && !grows_old && !left.keys.is_empty();
        let can_be = match kind {
            JoinKind::Inner => is_open,
            JoinKind::Left => is_open && by_key_alone,
            _ => false,
        };
        if !can_be {
            return Err(Box::new(pair));
        }
        let Pair { kind, left, right, null_equals_null, condition, .. } = pair;
        let offset = left.columns.len();
        let columns = (0..left.width).chain(offset..offset + right.width).collect();
        let step = Step { outer: kind == JoinKind::Left, joined_by: Vec::new(), condition };
        let (sides, steps) = (vec![left, right], vec![Step::default(), step]);
        Ok(Chain { sides, steps, null_equals_null, columns, above: Vec::new() })
    }

    /// How many columns the sides have.
    fn width(&self) -> usize {
        self.sides.iter().map(|side| side.columns.len()).sum()
    }

    /// The side that a column is of, and which of its columns it is.
    fn side_of(&self, column: usize) -> (usize, usize) {
        let mut start = 0;
        for (n, side) in self.sides.iter().enumerate() {
            if column < start + side.columns.len() {
                return (n, column - start);
            }
            start += side.columns.len();
        }
        unreachable!("a column is of some side")
    }

    /// How many columns stand before those of a side.
    fn offset(&self, side: usize) -> usize {
        self.sides[..side].iter().map(|side| side.columns.len()).sum()
    }

    /// Where the columns above all are among those of all sides.
    fn chosen(&self) -> Vec<usize> {
        self.above.iter().rev().fold(self.columns.clone(), |columns, node| {
            let place = |expr| node.input.schema().maybe_index_of_column(chosen(expr)?);
            node.expr.iter().map(|expr| columns[place(expr).expect("it passes on a column of its input")]).collect()
        })
    }

    /// The columns above all, which a query knows by the names of `schema`.
    fn fields(&self, schema: &DFSchema) -> Vec<(Option<TableReference>, FieldRef)> {
        let columns = schema.iter().zip(self.chosen());
        let field = |((qualifier, field), column): ((Option<&TableReference>, &FieldRef), usize)| {
            let (side, place) = self.side_of(column);
            let data_type = self.sides[side].columns[place].1.data_type().clone();
            (qualifier.cloned(), Arc::new(field.as_ref().clone().with_data_type(data_type).with_nullable(true)))
        };
        columns.map(field).collect()
    }

    /// Where these are, if they are the keys of the chain and all of them.
    fn keys_among(&self, keys: &[Expr], schema: &DFSchema) -> Option<Vec<Key>> {
        let chosen = self.chosen();
        let found = keys.iter().map(|key| {
            // Of one side only.
            let refs = key.column_refs();
            let column = |column: &Column| Some(self.side_of(chosen[schema.maybe_index_of_column(column)?]));
            let (side, _) = column(refs.iter().next()?)?;
            let on = by_place(key, |of| column(of).filter(|(of_side, _)| *of_side == side).map(|(_, place)| place))?;
            let place = self.sides[side].on.iter().position(|known| *known == on)?;
            Some(Key { side, place })
        });
        let found = found.collect::<Option<Vec<Key>>>()?;
        let are_all = (0..self.sides[0].keys.len()).all(|place| found.iter().any(|key| key.place == place));
        (are_all && found.len() == self.sides[0].keys.len()).then_some(found)
    }

    /// By side, what must be true once its rows are there: each condition as early as can be.
    fn conditions(&self) -> Vec<Vec<Arc<dyn PhysicalExpr>>> {
        let mut conditions = vec![Vec::new(); self.sides.len()];
        for (n, step) in self.steps.iter().enumerate() {
            for part in step.condition.iter().flat_map(split_conjunction) {
                let last = collect_columns(part).iter().map(|column| self.side_of(column.index()).0).max();
                // The condition of a left join would say which rows match.
                let earliest = (last.unwrap_or(n).max(1)..n).find(|&earlier| !self.steps[earlier].outer);
                conditions[earliest.unwrap_or(n)].push(Arc::clone(part));
            }
        }
        conditions
    }

    /// The columns that identify a row that comes out, if any do: as of one join after the other.
    fn key(&self) -> Option<Vec<usize>> {
        let mut before = Identity::of(&self.sides[0], 0);
        for (n, side) in self.sides.iter().enumerate().skip(1) {
            let of_side = Identity::of(side, self.offset(n));
            let kind = if self.steps[n].outer { JoinKind::Left } else { JoinKind::Inner };
            before.unique = key(kind, &before, &of_side);
            if !self.steps[n].outer {
                before.joined.extend(of_side.joined);
            }
        }
        before.unique.map(|key| key.into_iter().map(|column| self.shown(column)).collect())
    }

    /// A column that comes out and equals this one; or this one, if there is none.
    fn shown(&self, column: usize) -> usize {
        let (side, place) = self.side_of(column);
        let key = self.sides[side].keys.iter().position(|&key| key == place).filter(|_| !self.steps[side].outer);
        let equal = key.into_iter().flat_map(|key| {
            let inner = (0..self.sides.len()).filter(|&n| !self.steps[n].outer);
            inner.map(move |n| self.offset(n) + self.sides[n].keys[key])
        });
        [column].into_iter().chain(equal).find(|column| self.columns.contains(column)).unwrap_or(column)
    }
}
