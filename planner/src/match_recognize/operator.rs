//! The node to the operator: conditions split into what can be said of a row by itself and what looks at the match so far, and columns put in
//! place of what is said of a match.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use tidemill_exec::operators::{Automaton, End, MatchRecognize, Navigation, Navigations, Order, TimeKind, Variable};
use tidemill_exec::{Error, Result};

use super::MatchNode;
use crate::aggregates;
use crate::functions::pattern::{self, CLASSIFIER};
use crate::types;

/// An expression over a schema, ready to run.
type Physical<'a> = &'a dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>>;

/// The operator over rows of `input`, which are the node's.
///
/// # Errors
/// A condition that is not true or false.
pub fn operator(node: &MatchNode, kind: TimeKind, input: SchemaRef, physical: Physical<'_>) -> Result<MatchRecognize> {
    let schema = node.input.schema();
    let column = |expr: &Expr| match expr {
        Expr::Column(column) => Ok(schema.index_of_column(column)?),
        other => Err(Error::new(format!("{other} is no column"))),
    };
    let lowering = Lowering { names: node.names.clone().into(), schema, input: &input, physical };
    let mut variables = vec![Variable::default(); node.names.len()];
    let mut definitions = Vec::new();
    for (variable, condition) in &node.definitions {
        let name = &node.names[*variable];
        let field = condition.to_field(schema)?.1;
        if !matches!(field.data_type(), DataType::Boolean | DataType::Null) {
            return Err(Error::new(format!("the definition of {name} is no condition"))
                .why(format!("it is of type {}", types::flink_type(&field)))
                .fix("write a comparison"));
        }
        variables[*variable] = lowering.variable(name, condition)?;
        definitions.push(format!("{name} AS {}", shown(condition)?));
    }
    let outputs = node.partition.iter().chain(node.measures.iter().map(|(_, measure)| measure));
    // The partition is that of any row.
    let outputs = outputs.cloned().collect::<Vec<_>>();
    let (navigations, measures) = lowering.navigated(&outputs)?;
    let fields = measures.iter().zip(node.schema().fields()).map(|(measure, field)| {
        let data_type = measure.data_type(navigations.schema())?;
        Ok(field.as_ref().clone().with_data_type(data_type).with_nullable(true))
    });
    let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
    let order = node.order[1..].iter().map(|order| {
        let options = SortOptions { descending: !order.asc, nulls_first: order.nulls_first };
        Ok(Order { column: column(&order.expr)?, options })
    });
    Ok(MatchRecognize {
        partition: node.partition.iter().map(column).collect::<Result<_>>()?,
        time: column(&node.order[0].expr)?,
        kind,
        order: order.collect::<Result<_>>()?,
        pattern: node.pattern.clone(),
        automaton: Automaton::new(&node.pattern)?,
        names: node.names.clone().into(),
        looks_back: variables.iter().any(|variable| variable.path.is_some()),
        variables,
        navigations,
        measures,
        skip: node.skip,
        within: node.within,
        input,
        schema,
        definitions,
    })
}

struct Lowering<'a> {
    names: Arc<[String]>,
    schema: &'a DFSchema,
    input: &'a SchemaRef,
    physical: Physical<'a>,
}

impl Lowering<'_> {
    fn variable(&self, name: &str, condition: &Expr) -> Result<Variable> {
        let (mut rows, mut paths) = (Vec::new(), Vec::new());
        for condition in split_conjunction(condition) {
            match of_row(condition, name)? {
                Some(condition) => rows.push(condition),
                None => paths.push(condition.clone()),
            }
        }
        let row = conjunction(rows).map(|condition| (self.physical)(&condition, self.schema)).transpose()?;
        let path = match conjunction(paths) {
            None => None,
            Some(condition) => {
                let (navigations, mut conditions) = self.navigated(&[condition])?;
                Some((conditions.swap_remove(0), navigations))
            }
        };
        Ok(Variable { row, path })
    }

    /// Expressions over columns of navigations, and those.
    fn navigated(&self, exprs: &[Expr]) -> Result<(Navigations, Vec<Arc<dyn PhysicalExpr>>)> {
        let mut navigations: Vec<Expr> = Vec::new();
        let mut over = Vec::new();
        for expr in exprs {
            over.push(replaced(expr, |navigation| {
                let known = navigations.iter().position(|known| known == navigation);
                let place = known.unwrap_or_else(|| {
                    navigations.push(navigation.clone());
                    navigations.len() - 1
                });
                Ok(Column::new_unqualified(format!("${place}")))
            })?);
        }
        let columns = navigations.iter().map(|navigation| self.navigation(navigation)).collect::<Result<Vec<_>>>()?;
        let navigations = Navigations::new(columns, Arc::clone(&self.names), self.input)?;
        let schema = DFSchema::try_from(navigations.schema().as_ref().clone())?;
        let physical = over.iter().map(|expr| (self.physical)(expr, &schema)).collect::<Result<Vec<_>>>()?;
        Ok((navigations, physical))
    }

    fn navigation(&self, expr: &Expr) -> Result<Navigation> {
        let number = |name: &str| self.names.iter().position(|known| known == name);
        let physical = |expr: &Expr| (self.physical)(expr, self.schema);
        if let Some(navigated) = pattern::navigated(expr) {
            let (end, offset) = (navigated.end, navigated.offset);
            return Ok(Navigation::Row {
                end,
                offset,
                variable: number(navigated.variable),
                value: physical(navigated.value)?,
            });
        }
        match expr {
            Expr::AggregateFunction(aggregate) => {
                let planned = aggregates::call_of(aggregate, self.schema)?;
                let filters = planned.filter.as_ref().map(split_conjunction).unwrap_or_default();
                let variable = filters.iter().find_map(|filter| number(pattern::variable_asked(filter)?));
                let others = filters.into_iter().filter(|filter| pattern::variable_asked(filter).is_none());
                let filter = conjunction(others.cloned());
                Ok(Navigation::Aggregate {
                    arguments: planned.arguments.iter().map(physical).collect::<Result<_>>()?,
                    filter: filter.as_ref().map(physical).transpose()?,
                    call: planned.call,
                    variable,
                })
            }
            Expr::Column(_) => {
                Ok(Navigation::Row { end: End::Last, offset: 0, variable: None, value: physical(expr)? })
            }
            _ => Ok(Navigation::Classifier),
        }
    }
}

/// A condition of the variable `name` that looks at no other row than that it is about, over the input; `None` if it does.
fn of_row(condition: &Expr, name: &str) -> Result<Option<Expr>> {
    let mut looks_away = false;
    let of_row = condition.clone().transform_down(|expr| {
        if let Some(navigated) = pattern::navigated(&expr) {
            let is_row =
                navigated.end == End::Last && navigated.offset == 0 && ["", name].contains(&navigated.variable);
            looks_away |= !is_row;
            return Ok(Transformed::new(navigated.value.clone(), true, TreeNodeRecursion::Jump));
        }
        looks_away |= pattern::as_call(&expr).is_some() || matches!(expr, Expr::AggregateFunction(_));
        Ok(Transformed::no(expr))
    })?;
    Ok((!looks_away).then_some(of_row.data))
}

/// `expr` with columns in place of all that is said of a match.
fn replaced(expr: &Expr, mut by: impl FnMut(&Expr) -> Result<Column>) -> Result<Expr> {
    let replaced = expr.clone().transform_down(|expr| {
        let is_navigation = pattern::navigated(&expr).is_some()
            || matches!(pattern::as_call(&expr), Some((CLASSIFIER, _)))
            || matches!(expr, Expr::AggregateFunction(_) | Expr::Column(_));
        match is_navigation {
            true => Ok(Transformed::new(Expr::Column(by(&expr)?), true, TreeNodeRecursion::Jump)),
            false => Ok(Transformed::no(expr)),
        }
    })?;
    Ok(replaced.data)
}

/// As it was written, more or less.
fn shown(expr: &Expr) -> Result<String> {
    let text = |text: String| Expr::Column(Column::new_unqualified(text));
    let of = |value: &Expr, variable: &str| -> Result<String> {
        let qualified = value.clone().transform_down(|expr| match &expr {
            Expr::Column(column) if variable.is_empty() => Ok(Transformed::yes(text(column.name.clone()))),
            Expr::Column(column) => Ok(Transformed::yes(text(format!("{variable}.{}", column.name)))),
            Expr::Literal(value, _) => Ok(Transformed::yes(text(value.to_string()))),
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(qualified.data.to_string())
    };
    let named = replaced(expr, |navigation| {
        let shown = match (pattern::navigated(navigation), navigation) {
            (Some(navigated), _) => {
                let value = of(navigated.value, navigated.variable)?;
                match (navigated.end, navigated.offset) {
                    (End::Last, 0) => value,
                    (end, 0) => format!("{end}({value})"),
                    (end, offset) => format!("{end}({value}, {offset})"),
                }
            }
            (None, Expr::AggregateFunction(aggregate)) => {
                let mut aggregate = aggregate.clone();
                let filter = aggregate.params.filter.take();
                let filters = filter.as_deref().map(split_conjunction).unwrap_or_default();
                let variable = filters.iter().find_map(|filter| pattern::variable_asked(filter)).unwrap_or_default();
                of(&Expr::AggregateFunction(aggregate), variable)?
            }
            (None, Expr::Column(column)) => column.name.clone(),
            _ => "CLASSIFIER()".to_string(),
        };
        Ok(Column::new_unqualified(shown))
    })?;
    of(&named, "")
}
