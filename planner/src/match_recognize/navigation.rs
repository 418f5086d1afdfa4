//! `LAST(A.price, 1)`, `A.price`, `SUM(A.price)`: resolved, and written so that the variable is an argument.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF, lit};
use datafusion::sql::sqlparser::ast::{self, Ident, VisitMut};
use tidemill_exec::{Error, Result};

use crate::dialect::marker;
use crate::functions::Zone;
use crate::functions::pattern::{self, CLASSIFIER, FIRST, IS_VARIABLE, LAST};
use crate::functions::window::EVENT_TIME;

/// The variable that columns without one are of: every row is one.
const ANY: &str = "";

/// What expressions in MEASURES and DEFINE see.
pub struct Scope<'a> {
    input: &'a LogicalPlan,
    names: &'a [String],
    /// What rows are ordered by.
    time: Option<ast::Expr>,
    /// The columns of the input once per variable, and once for all rows.
    columns: DFSchema,
    context: &'a mut dyn RelationPlannerContext,
}

impl<'a> Scope<'a> {
    pub fn new(
        input: &'a LogicalPlan,
        names: &'a [String],
        time: Option<ast::Expr>,
        context: &'a mut dyn RelationPlannerContext,
    ) -> DataFusionResult<Scope<'a>> {
        let variables = names.iter().map(String::as_str).chain([ANY]);
        let fields = variables.flat_map(|variable| {
            let columns = input.schema().fields().iter();
            columns.map(move |field| (Some(TableReference::bare(variable)), Arc::clone(field)))
        });
        let columns = DFSchema::new_with_metadata(fields.collect(), Default::default())?;
        Ok(Scope { input, names, time, columns, context })
    }

    /// An expression over the input, with calls of [`pattern`] in it.
    pub fn expression(&mut self, mut expr: ast::Expr) -> DataFusionResult<Expr> {
        if let ControlFlow::Break(error) = expr.visit(&mut Rewrite { scope: self }) {
            return Err(error.into());
        }
        let planned = self.context.sql_to_expr(expr, &self.columns)?;
        let resolved = planned.transform_down(|expr| match &expr {
            Expr::Column(column) => {
                let (variable, column) = self.resolved(column)?;
                Ok(Transformed::new(
                    navigation(LAST, Expr::Column(column), &variable, 0),
                    true,
                    TreeNodeRecursion::Jump,
                ))
            }
            Expr::ScalarFunction(_) if pattern::as_call(&expr).is_some() => {
                let resolved = self.call(&expr)?;
                Ok(Transformed::new(resolved, true, TreeNodeRecursion::Jump))
            }
            Expr::AggregateFunction(_) => {
                let resolved = self.aggregate(expr)?;
                Ok(Transformed::new(resolved, true, TreeNodeRecursion::Jump))
            }
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(resolved.data)
    }

    /// The variable and the column of the input that a column here means.
    fn resolved(&self, column: &Column) -> DataFusionResult<(String, Column)> {
        let place = self.columns.index_of_column(column)? % self.input.schema().fields().len();
        let variable = column.relation.as_ref().map_or(ANY, TableReference::table).to_string();
        Ok((variable, Column::from(self.input.schema().qualified_field(place))))
    }

    fn call(&self, expr: &Expr) -> DataFusionResult<Expr> {
        let Some((name @ (FIRST | LAST), [value, offset @ ..])) = pattern::as_call(expr) else {
            // CLASSIFIER() has a column of every row.
            return Ok(self.of_one_variable(expr.clone(), "CLASSIFIER")?.0);
        };
        let shown = name.trim_start_matches('_').to_uppercase();
        let offset = match offset.first() {
            None => 0,
            Some(offset) => pattern::offset_of(offset).ok_or_else(|| {
                Error::new(format!("{shown} goes {offset} rows back")).why("that is no literal number of rows")
            })?,
        };
        let (value, variable) = self.of_one_variable(value.clone(), &shown)?;
        Ok(navigation(name, value, &variable, offset))
    }

    fn aggregate(&self, expr: Expr) -> DataFusionResult<Expr> {
        let (resolved, variable) = self.of_one_variable(expr, "an aggregate")?;
        let Expr::AggregateFunction(mut aggregate) = resolved else { return Ok(resolved) };
        if variable != ANY {
            let column = Expr::Column(Column::from(self.input.schema().qualified_field(0)));
            let is_one = call(IS_VARIABLE, vec![column, lit(variable)]);
            let filter = aggregate.params.filter.take();
            aggregate.params.filter = Some(Box::new(filter.map_or(is_one.clone(), |filter| is_one.and(*filter))));
        }
        Ok(Expr::AggregateFunction(aggregate))
    }

    /// `expr` over the input, and the variable whose columns it has.
    fn of_one_variable(&self, expr: Expr, around: &str) -> DataFusionResult<(Expr, String)> {
        let mut variables: Vec<String> = Vec::new();
        let inner = expr.transform_down(|expr| {
            if let Expr::Column(column) = &expr {
                let (variable, column) = self.resolved(column)?;
                variables.push(variable);
                return Ok(Transformed::yes(Expr::Column(column)));
            }
            Ok(Transformed::no(expr))
        })?;
        variables.sort_unstable();
        variables.dedup();
        let wrong = |why: String| {
            let fix = "give it columns of one variable, such as LAST(A.price), and combine the results";
            Err(Error::new(format!("what {around} is given is not of one variable's rows")).why(why).fix(fix).into())
        };
        let is_nested = |expr: &Expr| {
            Ok(matches!(pattern::as_call(expr), Some((FIRST | LAST, _))) || matches!(expr, Expr::AggregateFunction(_)))
        };
        let mut nested = inner.data.exists(is_nested)?;
        if let Expr::AggregateFunction(aggregate) = &inner.data {
            nested = false;
            for argument in &aggregate.params.args {
                nested |= argument.exists(is_nested)?;
            }
        }
        if nested {
            return wrong("FIRST, LAST and aggregates do not nest".to_string());
        }
        match &variables[..] {
            [] => Ok((inner.data, ANY.to_string())),
            [variable] => Ok((inner.data, variable.clone())),
            several => {
                let named = several.iter().map(|name| if name == ANY { "no variable" } else { name });
                wrong(format!("it has columns of {}", named.collect::<Vec<_>>().join(" and ")))
            }
        }
    }
}

fn navigation(name: &'static str, value: Expr, variable: &str, offset: usize) -> Expr {
    call(name, vec![value, lit(variable), lit(offset as i64)])
}

fn call(name: &'static str, arguments: Vec<Expr>) -> Expr {
    let function = pattern::all().into_iter().find(|function| function.name() == name);
    let udf: Arc<ScalarUDF> = function.expect("it is one of the list").into_udf(&Zone::utc());
    Expr::ScalarFunction(ScalarFunction::new_udf(udf, arguments))
}

/// Gives the functions of patterns their own names, and columns without a variable one.
struct Rewrite<'a, 'b> {
    scope: &'a Scope<'b>,
}

impl ast::VisitorMut for Rewrite<'_, '_> {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<Error> {
        match self.rewritten(expr) {
            Ok(Some(rewritten)) => *expr = rewritten,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

impl Rewrite<'_, '_> {
    fn rewritten(&self, expr: &ast::Expr) -> Result<Option<ast::Expr>> {
        let is_column = |name: &str| self.scope.input.schema().has_column_with_unqualified_name(name);
        let of_all = |parts: &[Ident]| {
            let any = Ident::with_quote('`', ANY);
            ast::Expr::CompoundIdentifier(std::iter::once(any).chain(parts.iter().cloned()).collect())
        };
        let time = || match &self.scope.time {
            Some(ast::Expr::Identifier(name)) => Ok(of_all(std::slice::from_ref(name))),
            Some(ast::Expr::CompoundIdentifier(parts)) if !parts.is_empty() => Ok(of_all(&parts[parts.len() - 1..])),
            _ => Err(Error::new("the order of the rows is by no column")),
        };
        let (name, arguments) = match expr {
            ast::Expr::Identifier(name) if is_column(&name.value) => {
                return Ok(Some(of_all(std::slice::from_ref(name))));
            }
            ast::Expr::CompoundIdentifier(parts)
                if !self.scope.names.contains(&parts[0].value) && is_column(&parts[0].value) =>
            {
                return Ok(Some(of_all(parts)));
            }
            ast::Expr::Function(_) => match marker::as_call(expr) {
                Some((name, arguments)) => (name, arguments.into_iter().cloned().collect::<Vec<_>>()),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(match name.as_str() {
            "first" => Some(marker::call(FIRST, arguments)),
            "last" => Some(marker::call(LAST, arguments)),
            "match_rowtime" => Some(marker::call(EVENT_TIME, vec![marker::call(LAST, vec![time()?])])),
            "match_proctime" => Some(marker::call(LAST, vec![time()?])),
            "classifier" => Some(marker::call(CLASSIFIER, vec![time()?])),
            "prev" | "next" => {
                return Err(Error::new(format!("{} is not supported in a pattern", name.to_uppercase()))
                    .why("as in Flink, rows are found by their variable and not by their distance")
                    .fix("write LAST(A.price, 1) for the row of A before the last"));
            }
            "match_number" => {
                return Err(Error::new("MATCH_NUMBER() is not supported")
                    .why("as in Flink, matches are not counted: the count would have to be kept for every partition for good"));
            }
            _ => None,
        })
    }
}
