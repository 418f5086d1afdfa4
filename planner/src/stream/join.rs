//! Joins to operators.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{DFSchema, JoinType, NullEquality, TableReference};
use datafusion::logical_expr::{self as logical, Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use tidemill_exec::operators::{Join, JoinKind};
use tidemill_exec::{Changes, Error, Result};

use super::lower::{Lowering, kept, nullable, projected};
use super::plan::{Distribution, StreamPlan};

/// One input of a join.
struct Side {
    plan: StreamPlan,
    /// The columns of the plan: those of the query, then those that are only there to be compared.
    columns: Vec<(Option<TableReference>, FieldRef)>,
    /// How many the query has.
    width: usize,
    keys: Vec<usize>,
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

        let both = [left.columns.clone(), right.columns.clone()].concat();
        let condition = match &filter {
            None => None,
            Some(filter) => Some(self.expression(filter, &DFSchema::new_with_metadata(both, Default::default())?)?),
        };
        self.joined(kind, left, right, node.null_equality == NullEquality::NullEqualsNull, condition, node)
    }

    fn joined(
        &self,
        kind: JoinKind,
        left: Side,
        right: Side,
        null_equals_null: bool,
        condition: Option<Arc<dyn PhysicalExpr>>,
        node: &logical::Join,
    ) -> Result<StreamPlan> {
        let output = nullable(node.schema.inner());
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
        let changes = match append && kind.is_monotonic() {
            true => Changes::Append,
            false => Changes::Retract { key: key(kind, &left, &right) },
        };
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
            schema: nullable(&(Arc::new(Schema::new(fields)) as SchemaRef)),
        };
        let [of_left, of_right] = required;
        let plan = StreamPlan::binary(join, [(left.plan, of_left), (right.plan, of_right)], changes, distributed);
        let plan = kept(plan, &columns)?;
        debug_assert_eq!(plan.props.schema.fields().len(), output.fields().len());
        Ok(plan)
    }

    /// An input with its keys as columns.
    fn side(&self, input: &logical::LogicalPlan, keys: &[Expr]) -> Result<Side> {
        let plan = self.plan(input)?;
        let schema = input.schema();
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
            return Ok(Side { plan, columns, width, keys: places });
        }
        let passed = schema.columns().into_iter().map(Expr::Column);
        let expressions = passed.chain(computed).map(|expr| self.expression(&expr, schema));
        let output = Schema::new(columns.iter().map(|(_, field)| Arc::clone(field)).collect::<Vec<_>>());
        let plan = projected(plan, expressions.collect::<Result<Vec<_>>>()?, Arc::new(output))?;
        Ok(Side { plan, columns, width, keys: places })
    }
}

fn check_keys(left: &Side, right: &Side) -> Result<()> {
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
        JoinKind::Inner | JoinKind::Left if is_single(right) && unique(left).is_some() => unique(left),
        JoinKind::Inner | JoinKind::Right if is_single(left) && unique(right).is_some() => of_right(),
        _ => Some([unique(left)?, of_right()?].concat()),
    }
}
