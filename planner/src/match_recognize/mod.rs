//! `MATCH_RECOGNIZE`: from SQL to one node over its input, and from that to the operator.
//!
//! Conditions and measures are expressions over the input in which `LAST(A.price, 1)` is `__last(price, 'A', 1)` and `SUM(A.price)` is
//! `SUM(price) FILTER (WHERE __is_variable(.., 'A'))`, so that types are resolved and expressions are simplified as everywhere; a column of a
//! variable is that of its last row. [`operator`] puts columns in place of these.

mod navigation;
mod operator;
mod pattern;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, LogicalPlanBuilder, SortExpr, UserDefinedLogicalNodeCore, cast,
};
use datafusion::sql::sqlparser::ast::{self, AfterMatchSkip, RowsPerMatch, TableFactor};
use tidemill_exec::Error;
use tidemill_exec::operators::{Automaton, Pattern, Skip};

use crate::dialect::{self, Interval};
use crate::types;
use navigation::Scope;
pub use operator::operator;

/// One row per match: the columns of PARTITION BY, then the measures.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MatchNode {
    pub input: LogicalPlan,
    /// Columns of the input.
    pub partition: Vec<Expr>,
    /// Columns of the input, the first of them a point in time in milliseconds.
    pub order: Vec<SortExpr>,
    pub measures: Vec<(String, Expr)>,
    /// Conditions by variable; a variable without one is any row.
    pub definitions: Vec<(usize, Expr)>,
    pub pattern: Pattern,
    /// Of the variables.
    pub names: Vec<String>,
    pub skip: Skip,
    /// In milliseconds.
    pub within: Option<i64>,
    schema: DFSchemaRef,
}

impl MatchNode {
    fn with_schema(mut self) -> DataFusionResult<MatchNode> {
        let input = self.input.schema();
        let mut fields = Vec::new();
        for key in &self.partition {
            fields.push((None, key.to_field(input)?.1));
        }
        for (name, measure) in &self.measures {
            let field = measure.to_field(input)?.1;
            fields.push((None, Arc::new(field.as_ref().clone().with_name(name).with_nullable(true))));
        }
        self.schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        Ok(self)
    }

    pub fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
}

impl PartialOrd for MatchNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (&self.input, &self.partition, &self.measures).partial_cmp(&(&other.input, &other.partition, &other.measures))
    }
}

impl UserDefinedLogicalNodeCore for MatchNode {
    fn name(&self) -> &str {
        "MatchRecognize"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let order = self.order.iter().map(|order| &order.expr);
        let measures = self.measures.iter().map(|(_, measure)| measure);
        let conditions = self.definitions.iter().map(|(_, condition)| condition);
        self.partition.iter().chain(order).chain(measures).chain(conditions).cloned().collect()
    }

    /// A row that is filtered out before it is matched would be missing from the matches.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "MatchRecognize: ({})", self.pattern.display(&self.names))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        let mut node = MatchNode { input: inputs.swap_remove(0), ..self.clone() };
        let order = node.order.iter_mut().map(|order| &mut order.expr);
        let measures = node.measures.iter_mut().map(|(_, measure)| measure);
        let conditions = node.definitions.iter_mut().map(|(_, condition)| condition);
        let places = node.partition.iter_mut().chain(order).chain(measures).chain(conditions);
        places.zip(exprs).for_each(|(place, expr)| *place = expr.unalias());
        node.with_schema()
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let expressions = self.expressions();
        let used = expressions.iter().flat_map(Expr::column_refs);
        let mut needed: Vec<usize> = used.filter_map(|column| schema.maybe_index_of_column(column)).collect();
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// Plans `t MATCH_RECOGNIZE (..)`.
#[derive(Debug)]
pub struct MatchPlanner;

impl RelationPlanner for MatchPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        let TableFactor::MatchRecognize {
            table,
            partition_by,
            order_by,
            measures,
            rows_per_match,
            after_match_skip,
            pattern,
            symbols,
            alias,
        } = relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if let Some(RowsPerMatch::AllRows(_)) = rows_per_match {
            return Err(Error::new("cannot give ALL ROWS PER MATCH")
                .why("as in Flink, a match comes out as one row")
                .fix("write ONE ROW PER MATCH, and say in MEASURES what of its rows is wanted")
                .into());
        }
        let input = context.plan(*table)?;
        let (pattern, names) = pattern::translate(&pattern)?;
        Automaton::new(&pattern)?;
        let partition = partition_by
            .into_iter()
            .map(|key| match context.sql_to_expr(key, input.schema())? {
                key @ Expr::Column(_) => Ok(key),
                other => Err(Error::new(format!("cannot partition a pattern by {other}"))
                    .why("it is no column")
                    .fix("compute it in a view, or as a column of the table")
                    .into()),
            })
            .collect::<DataFusionResult<Vec<_>>>()?;
        let time = order_by.first().map(|order| order.expr.clone());
        let (input, order) = ordered(input, order_by, context)?;
        let mut scope = Scope::new(&input, &names, time, context)?;
        let measures = measures
            .into_iter()
            .map(|measure| Ok((measure.alias.value, scope.expression(measure.expr)?)))
            .collect::<DataFusionResult<Vec<_>>>()?;
        let (mut within, mut definitions) = (None, Vec::new());
        for symbol in symbols {
            let name = symbol.symbol.value;
            if name == dialect::WITHIN {
                within = Some(milliseconds(&symbol.definition)?);
                continue;
            }
            let variable = variable(&names, &name)?;
            if definitions.iter().any(|(defined, _)| *defined == variable) {
                return Err(Error::new(format!("variable {name} is defined twice"))
                    .fix("write one condition, joined with AND or OR")
                    .into());
            }
            definitions.push((variable, scope.expression(symbol.definition)?));
        }
        let skip = match after_match_skip {
            // Flink's, where the standard has PAST LAST ROW.
            None | Some(AfterMatchSkip::ToNextRow) => Skip::ToNextRow,
            Some(AfterMatchSkip::PastLastRow) => Skip::PastLastRow,
            Some(AfterMatchSkip::ToFirst(name)) => Skip::ToFirst(variable(&names, &name.value)?),
            Some(AfterMatchSkip::ToLast(name)) => Skip::ToLast(variable(&names, &name.value)?),
        };
        let schema = Arc::new(DFSchema::empty());
        let node = MatchNode { input, partition, order, measures, definitions, pattern, names, skip, within, schema };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node.with_schema()?) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn variable(names: &[String], name: &str) -> DataFusionResult<usize> {
    match names.iter().position(|known| known == name) {
        Some(variable) => Ok(variable),
        None => Err(Error::new(format!("the pattern has no variable {name}"))
            .nearest(name, names.iter().map(String::as_str))
            .into()),
    }
}

/// Columns to order by, the first of them in milliseconds; for that the input may get a column more.
fn ordered(
    input: LogicalPlan,
    order_by: Vec<ast::OrderByExpr>,
    context: &mut dyn RelationPlannerContext,
) -> DataFusionResult<(LogicalPlan, Vec<SortExpr>)> {
    let no_time = |why: String| {
        Error::new("rows to find patterns in are ordered by time")
            .why(why)
            .fix("begin with a time attribute: ORDER BY ts, where the table has a WATERMARK FOR ts")
    };
    let mut order = Vec::new();
    for by in order_by {
        let ascending = by.options.asc.unwrap_or(true);
        let expr = context.sql_to_expr(by.expr, input.schema())?;
        if !matches!(expr, Expr::Column(_)) {
            return Err(no_time(format!("{expr} is no column")).into());
        }
        // Null is the smallest value.
        order.push(SortExpr::new(expr, ascending, by.options.nulls_first.unwrap_or(ascending)));
    }
    let Some(first) = order.first_mut() else { return Err(no_time("there is no ORDER BY".to_string()).into()) };
    if !first.asc {
        return Err(no_time(format!("{} is descending, and time is not", first.expr)).into());
    }
    let field = first.expr.to_field(input.schema())?.1;
    match field.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => Ok((input, order)),
        DataType::Timestamp(_, zone) if types::precision(&field) <= 3 => {
            let millis = cast(first.expr.clone(), DataType::Timestamp(TimeUnit::Millisecond, zone.clone()));
            let name = "$time";
            first.expr = Expr::Column(Column::new_unqualified(name));
            let columns = input.schema().columns().into_iter().map(Expr::Column);
            let columns: Vec<Expr> = columns.chain([millis.alias(name)]).collect();
            Ok((LogicalPlanBuilder::from(input).project(columns)?.build()?, order))
        }
        _ => Err(no_time(format!("{} is of type {}", field.name(), types::flink_type(&field))).into()),
    }
}

fn milliseconds(expr: &ast::Expr) -> DataFusionResult<i64> {
    match dialect::interval(expr) {
        Some(Interval::Milliseconds(within)) if within > 0 => Ok(within),
        _ => Err(Error::new("WITHIN takes an interval of fixed length")
            .fix("write a positive interval of days, hours, minutes or seconds, such as WITHIN INTERVAL '1' HOUR")
            .into()),
    }
}
