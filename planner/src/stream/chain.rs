//! Joins that compare one key, while the joins above them are still to come.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::logical_expr::{self as logical, Expr};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use tidemill_exec::Result;
use tidemill_exec::operators::{JoinKind, with_columns_at};

use super::bound::Bound;
use super::join::{Identity, Pair, Side, by_place, key};

/// Joins that others may be merged with.
pub(super) struct Chain<'a> {
    /// Whose keys are equal to each other, in this order.
    pub sides: Vec<Side>,
    /// How each is joined with those before it; the first is not.
    pub steps: Vec<Step>,
    pub null_equals_null: bool,
    /// Where the columns of the result are among those of all sides.
    pub columns: Vec<usize>,
    /// Nodes above the joins that only choose among their columns, outermost first.
    pub above: Vec<&'a logical::Projection>,
}

#[derive(Default)]
pub(super) struct Step {
    /// A left join.
    pub outer: bool,
    /// Outer sides whose keys it compares.
    pub joined_by: Vec<usize>,
    /// What must be true once this side is joined, over the columns of all sides.
    pub conditions: Vec<Arc<dyn PhysicalExpr>>,
}

impl<'a> Chain<'a> {
    /// Of one join, if others may be merged with it.
    pub fn of(pair: Pair) -> Result<Chain<'a>, Box<Pair>> {
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
        let conditions = condition.into_iter().collect();
        let step = Step { outer: kind == JoinKind::Left, joined_by: Vec::new(), conditions };
        let (sides, steps) = (vec![left, right], vec![Step::default(), step]);
        Ok(Chain { sides, steps, null_equals_null, columns, above: Vec::new() })
    }

    /// Of a side that nothing has been joined with.
    pub fn one(side: Side) -> Chain<'a> {
        let columns = (0..side.width).collect();
        let (sides, steps) = (vec![side], vec![Step::default()]);
        Chain { sides, steps, null_equals_null: false, columns, above: Vec::new() }
    }

    /// What two are, joined by their keys; `filter` is over the columns that come out.
    pub fn joined(
        left: Chain<'a>,
        right: Chain<'a>,
        step: Step,
        filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<Chain<'a>> {
        let (before, offset) = (left.sides.len(), left.width());
        let moved = right.chosen().into_iter().map(|column| offset + column);
        let columns: Vec<usize> = left.chosen().into_iter().chain(moved).collect();
        let mut steps = left.steps;
        steps.push(step);
        for Step { outer, joined_by, conditions } in right.steps.into_iter().skip(1) {
            let moved = |condition| with_columns_at(condition, |column| offset + column);
            let conditions = conditions.iter().map(moved).collect::<Result<_>>()?;
            let joined_by = joined_by.into_iter().map(|side| before + side).collect();
            steps.push(Step { outer, joined_by, conditions });
        }
        // It may speak of all sides of the right.
        if let (Some(filter), Some(last)) = (filter, steps.last_mut()) {
            last.conditions.push(with_columns_at(filter, |column| columns[column])?);
        }
        let sides = left.sides.into_iter().chain(right.sides).collect();
        Ok(Chain { sides, steps, null_equals_null: false, columns, above: Vec::new() })
    }

    /// With its keys in this order; `found`: where they are now.
    pub fn in_order(mut self, found: &[Key], order: &[usize]) -> Chain<'a> {
        for side in &mut self.sides {
            side.keys = order.iter().map(|&n| side.keys[found[n].place]).collect();
            side.on = order.iter().map(|&n| side.on[found[n].place].clone()).collect();
        }
        self
    }

    /// How many columns the sides have.
    pub fn width(&self) -> usize {
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
    pub fn chosen(&self) -> Vec<usize> {
        self.above.iter().rev().fold(self.columns.clone(), |columns, node| {
            let place = |expr| node.input.schema().maybe_index_of_column(chosen(expr)?);
            node.expr.iter().map(|expr| columns[place(expr).expect("it passes on a column of its input")]).collect()
        })
    }

    /// The columns above all, which a query knows by the names of `schema`.
    pub fn fields(&self, schema: &DFSchema) -> Vec<(Option<TableReference>, FieldRef)> {
        let columns = schema.iter().zip(self.chosen());
        let field = |((qualifier, field), column): ((Option<&TableReference>, &FieldRef), usize)| {
            let (side, place) = self.side_of(column);
            let data_type = self.sides[side].columns[place].1.data_type().clone();
            (qualifier.cloned(), Arc::new(field.as_ref().clone().with_data_type(data_type).with_nullable(true)))
        };
        columns.map(field).collect()
    }

    /// Where these are, if they are the keys of the chain and all of them.
    pub fn keys_among(&self, keys: &[Expr], schema: &DFSchema) -> Option<Vec<Key>> {
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
    pub fn conditions(&self) -> Vec<Vec<Arc<dyn PhysicalExpr>>> {
        let mut conditions = vec![Vec::new(); self.sides.len()];
        for (n, step) in self.steps.iter().enumerate() {
            for part in step.conditions.iter().flat_map(split_conjunction) {
                let last = collect_columns(part).iter().map(|column| self.side_of(column.index()).0).max();
                // The condition of a left join would say which rows match.
                let earliest = (last.unwrap_or(n).max(1)..n).find(|&earlier| !self.steps[earlier].outer);
                conditions[earliest.unwrap_or(n)].push(Arc::clone(part));
            }
        }
        conditions
    }

    /// The columns that identify a row that comes out, if any do: as of one join after the other.
    pub fn key(&self) -> Option<Vec<usize>> {
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
    pub fn shown(&self, column: usize) -> usize {
        let (side, place) = self.side_of(column);
        let key = self.sides[side].keys.iter().position(|&key| key == place).filter(|_| !self.steps[side].outer);
        let equal = key.into_iter().flat_map(|key| {
            let inner = (0..self.sides.len()).filter(|&n| !self.steps[n].outer);
            inner.map(move |n| self.offset(n) + self.sides[n].keys[key])
        });
        [column].into_iter().chain(equal).find(|column| self.columns.contains(column)).unwrap_or(column)
    }
}

/// Where a key of a join is among those of a chain.
pub(super) struct Key {
    pub side: usize,
    pub place: usize,
}

/// By place in the chain, which key is there.
pub(super) fn in_order(keys: &[Key]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|&n| keys[n].place);
    order
}

/// The column that an expression passes on.
pub(super) fn chosen(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Alias(alias) => chosen(&alias.expr),
        Expr::Column(column) => Some(column),
        _ => None,
    }
}
