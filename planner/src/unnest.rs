//! `UNNEST` in FROM: from SQL to one node over its left neighbour.
//!
//! SQL puts the collection beside the rows it comes from: `FROM t CROSS JOIN UNNEST(t.tags) AS u (tag)`. DataFusion plans the right
//! side as a lateral subquery; [`pull_up`] turns the join into what it means, one row per element.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, JoinType, ScalarValue, TableReference};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, Filter, Join, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore,
};
use datafusion::sql::sqlparser::ast::TableFactor;
use tidemill_exec::Error;

use crate::dialect::marker;
use crate::types;

/// Each row of `input`, once per element of `collection`: its columns, then the element's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnnestNode {
    pub input: LogicalPlan,
    /// An array, map or multiset over `input`.
    pub collection: Expr,
    /// The columns an element becomes, with `WITH ORDINALITY` one more.
    elements: Vec<(Option<TableReference>, FieldRef)>,
    pub form: Form,
    schema: DFSchemaRef,
}

/// In which of its forms UNNEST is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    /// `WITH ORDINALITY`
    pub ordinality: bool,
    /// Rows without elements come out once, with nulls.
    pub outer: bool,
    /// The collection is a map from elements to how often they are in it.
    pub multiset: bool,
}

impl UnnestNode {
    pub fn new(
        input: LogicalPlan,
        collection: Expr,
        elements: Vec<(Option<TableReference>, FieldRef)>,
        form: Form,
    ) -> DataFusionResult<UnnestNode> {
        let columns = input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
        let schema = Arc::new(DFSchema::new_with_metadata(
            columns.chain(elements.iter().cloned()).collect(),
            Default::default(),
        )?);
        Ok(UnnestNode { input, collection, elements, form, schema })
    }

    /// How many columns come after the input's.
    pub fn element_columns(&self) -> usize {
        self.elements.len()
    }
}

impl PartialOrd for UnnestNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (&self.input, &self.collection).partial_cmp(&(&other.input, &other.collection))
    }
}

impl UserDefinedLogicalNodeCore for UnnestNode {
    fn name(&self) -> &str {
        "Unnest"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.collection.clone()]
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        self.elements.iter().map(|(_, field)| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Unnest: {}", self.collection)?;
        if self.form.outer { f.write_str(" LEFT") } else { Ok(()) }
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        UnnestNode::new(inputs.swap_remove(0), exprs.swap_remove(0), self.elements.clone(), self.form)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let collected =
            self.collection.column_refs().into_iter().filter_map(|column| schema.maybe_index_of_column(column));
        let mut needed: Vec<usize> =
            output_columns.iter().copied().filter(|&column| column < schema.fields().len()).chain(collected).collect();
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// Plans `UNNEST(x) [WITH ORDINALITY]`, and `TABLE(f(x))` and `LATERAL TABLE(f(x))` where `f` gives an array.
#[derive(Debug)]
pub struct UnnestPlanner;

impl RelationPlanner for UnnestPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        if let Some(what) = to_come(&relation) {
            return Err(Error::new(format!("cannot run {what} yet"))
                .fix("leave it out, or run the script on a Flink cluster")
                .into());
        }
        let (collection, alias, ordinality) = match relation {
            TableFactor::UNNEST { mut array_exprs, alias, with_ordinality, .. } if array_exprs.len() == 1 => {
                (array_exprs.swap_remove(0), alias, with_ordinality)
            }
            TableFactor::TableFunction { expr, alias } => (expr, alias, false),
            TableFactor::Function { name, args, alias, with_ordinality, .. } => {
                (marker::function(name, args), alias, with_ordinality)
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let no_columns = DFSchema::empty();
        let collection = context.sql_to_expr(collection, &no_columns)?;
        let (_, field) = collection.to_field(&no_columns)?;
        let multiset = types::is_multiset(&field);
        let mut elements = element_fields(field.data_type())?;
        if multiset {
            elements.truncate(1);
        }
        if ordinality {
            elements.push(Arc::new(Field::new("ORDINALITY", DataType::Int32, false)));
        }
        let elements = elements.into_iter().map(|field| (None, field)).collect();
        let input = LogicalPlanBuilder::empty(true).build()?;
        let node = UnnestNode::new(input, collection, elements, Form { ordinality, outer: false, multiset })?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// What this relation is, if it is something of Flink's that is not there yet.
fn to_come(relation: &TableFactor) -> Option<String> {
    match relation {
        TableFactor::Table { version: Some(_), .. } => Some("FOR SYSTEM_TIME AS OF".to_string()),
        _ => None,
    }
}

/// The columns an element of this collection becomes.
fn element_fields(collection: &DataType) -> DataFusionResult<Vec<FieldRef>> {
    let of_entry = |entry: &FieldRef| match entry.data_type() {
        DataType::Struct(fields) => {
            fields.iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect()
        }
        _ => vec![Arc::new(entry.as_ref().clone().with_name("EXPR$0").with_nullable(true))],
    };
    match collection {
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            Ok(of_entry(element))
        }
        DataType::Map(entries, _) => Ok(of_entry(entries)),
        other => Err(Error::new("cannot UNNEST this value")
            .why(format!("it is of type {other}, which has no elements"))
            .fix("give UNNEST an ARRAY, MAP or MULTISET, such as UNNEST(SPLIT(line, ' '))")
            .into()),
    }
}

/// Turns every join with a lateral UNNEST into an [`UnnestNode`] over the left side.
pub fn pull_up(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) => match unnest_of(&join.right) {
            Some(node) => over_left(&join, &node).map(Transformed::yes),
            None => Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// The node behind a right side that consists of a lateral UNNEST and renamings of its columns.
fn unnest_of(plan: &LogicalPlan) -> Option<UnnestNode> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => unnest_of(&alias.input),
        LogicalPlan::Subquery(subquery) => unnest_of(&subquery.subquery),
        LogicalPlan::Projection(projection) => unnest_of(&projection.input),
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any().downcast_ref::<UnnestNode>()?;
            matches!(node.input, LogicalPlan::EmptyRelation(_)).then(|| node.clone())
        }
        _ => None,
    }
}

fn over_left(join: &Join, node: &UnnestNode) -> DataFusionResult<LogicalPlan> {
    let condition = join.filter.clone().filter(|filter| !is_true(filter));
    let outer = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left if condition.is_none() => true,
        JoinType::Left => {
            return Err(Error::new("LEFT JOIN UNNEST takes no condition")
                .fix("write LEFT JOIN UNNEST(...) ON TRUE, and filter with WHERE")
                .into());
        }
        other => {
            return Err(Error::new(format!("{other} JOIN UNNEST has no meaning"))
                .fix("use CROSS JOIN or LEFT JOIN ... ON TRUE")
                .into());
        }
    };
    // The right side's schema carries the alias's names; the join's makes them nullable where it is outer.
    let elements =
        join.right.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    let collection = node
        .collection
        .clone()
        .transform(|expr| {
            Ok(match expr {
                Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
                other => Transformed::no(other),
            })
        })?
        .data;
    let input = join.left.as_ref().clone();
    let unnest = UnnestNode::new(input, collection, elements, Form { outer, ..node.form })?;
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(unnest) });
    match condition {
        Some(condition) => Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?)),
        None => Ok(plan),
    }
}

fn is_true(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}
