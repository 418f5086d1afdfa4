//! Joins above each other that all compare one key become one operator, which keeps the rows of its inputs and nothing in between.
//!
//! `a JOIN b ON a.k = b.k JOIN c ON b.k = c.k` compares one key: what is equal to `c.k` in the join above is a key of the join below. Joins on the
//! right of an inner one are merged too, `a JOIN (b JOIN c ON ..) ON ..`. Not merged are
//!
//! - joins whose keys are others or more than those below: what they have in common may be a hot key;
//! - joins bounded in time;
//! - left joins with further conditions or with state that is forgotten: which of their rows have a match must be remembered row by row.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::{self as logical, Expr, LogicalPlan};
use datafusion::physical_expr::utils::conjunction_opt;
use tidemill_exec::operators::{JoinInput, JoinKind, MultiJoin};
use tidemill_exec::{Changes, Result};

use super::bound::Bound;
use super::chain::{Chain, Key, Step, chosen, in_order};
use super::join::{Pair, Side, check_keys};
use super::lower::{Lowering, kept, nullable};
use super::plan::{Distribution, StreamPlan};

/// A join of more than these is one of the result of a join of these.
const INPUTS_MAX: usize = 32;

/// An input of a join as it is planned.
enum Operand<'a> {
    Plan(Box<StreamPlan>),
    Chain(Chain<'a>),
}

impl Lowering<'_> {
    /// An inner or left join, as one with the joins below it where that can be.
    pub(super) fn multi_join(&self, node: &logical::Join) -> Result<StreamPlan> {
        let joins = self.joins(node)?;
        self.planned(joins)
    }

    /// An input of a join: the joins that it is, or its plan.
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

    /// A join with those of its inputs that have its key; or its plan, if no other can be merged with it.
    fn joins<'a>(&self, node: &'a logical::Join) -> Result<Operand<'a>> {
        let [left, right] = [self.operand(&node.left)?, self.operand(&node.right)?];
        let (of_left, of_right): (Vec<Expr>, Vec<Expr>) = node.on.iter().cloned().unzip();
        let (mut in_left, mut in_right) = (None, None);
        if self.may_merge(node, &left, &right) {
            in_left = left.keys_among(&of_left, node.left.schema());
            // The right of a left join has a match or has none as a whole. That of an inner one is merged unless the key or the condition
            // may see nulls that its own left joins make.
            let sees_nulls =
                |keys: &Vec<Key>| !right.outer_among(keys).is_empty() || right.has_outer() && node.filter.is_some();
            if node.join_type == JoinType::Inner {
                in_right = right.keys_among(&of_right, node.right.schema()).filter(|keys| !sees_nulls(keys));
            }
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
        let fields = [left.fields(node.left.schema()), right.fields(node.right.schema())].concat();
        let both = DFSchema::new_with_metadata(fields, Default::default())?;
        let filter = node.filter.as_ref().map(|filter| self.expression(filter, &both)).transpose()?;
        let step = Step { outer: node.join_type == JoinType::Left, joined_by, conditions: Vec::new() };
        let null_equals_null = node.null_equality == NullEquality::NullEqualsNull;
        let chain = Chain::joined(left, right, step, filter.as_ref())?;
        Ok(Operand::Chain(Chain { null_equals_null, ..chain }))
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
        let has_outer = is_left || left.has_outer() || right.has_outer();
        let inputs = [left, right].map(|operand| operand.chain().map_or(1, |chain| chain.sides.len()));
        chains().all(|chain| chain.null_equals_null == null_equals_null)
            && !(has_outer && forgets)
            && (!is_left || node.filter.is_none() && !null_equals_null)
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
            (Operand::Chain(chain), Some(found)) => Ok(chain.in_order(&found, order)),
            (operand, _) => {
                let keys: Vec<Expr> = order.iter().map(|&n| keys[n].clone()).collect();
                self.side(self.planned(operand)?, input, &keys).map(Chain::one)
            }
        }
    }

    /// The plan of what has not been merged with a join above it.
    fn planned(&self, joins: Operand) -> Result<StreamPlan> {
        let mut chain = match joins {
            Operand::Plan(plan) => return Ok(*plan),
            Operand::Chain(chain) => chain,
        };
        let above = std::mem::take(&mut chain.above);
        let plan = match <[Side; 2]>::try_from(std::mem::take(&mut chain.sides)) {
            Ok([left, right]) => {
                let Step { outer, conditions, .. } = chain.steps.swap_remove(1);
                let condition = conjunction_opt(conditions);
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

    fn has_outer(&self) -> bool {
        self.chain().is_some_and(|chain| chain.steps.iter().any(|step| step.outer))
    }

    /// Those of the sides that these keys are of that may be null.
    fn outer_among(&self, keys: &[Key]) -> Vec<usize> {
        let Some(chain) = self.chain() else { return Vec::new() };
        (0..chain.sides.len()).filter(|&n| chain.steps[n].outer && keys.iter().any(|key| key.side == n)).collect()
    }
}
