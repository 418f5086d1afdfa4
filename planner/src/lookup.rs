//! The right side of a lookup join: a table that can be asked, and what the query makes of its rows.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Values};
use tidemill_exec::{Error, Result};

use crate::scan::Scan;

/// What is computed of each row of a table by itself.
pub struct Asked<'a> {
    pub of: Of<'a>,
    /// Of the table's rows.
    pub schema: &'a DFSchema,
    /// Which rows count, and the columns that come out, over the table's.
    pub filters: Vec<Expr>,
    pub columns: Vec<Expr>,
}

/// Where the rows are.
#[derive(Clone, Copy)]
pub enum Of<'a> {
    Table(&'a TableScan, &'a Scan),
    Rows(&'a Values),
}

impl<'a> Asked<'a> {
    /// `None` if rows of `plan` cannot be asked for: it is a stream, or made of several rows.
    pub fn of(plan: &'a LogicalPlan) -> Result<Option<Asked<'a>>> {
        Ok(match plan {
            LogicalPlan::TableScan(node) => match Scan::of(&node.source) {
                Ok(scan) if scan.offers_lookups => {
                    let asked = Asked::all(Of::Table(node, scan), &node.projected_schema);
                    Some(Asked { filters: node.filters.clone(), ..asked })
                }
                _ => None,
            },
            LogicalPlan::Values(node) => Some(Asked::all(Of::Rows(node), &node.schema)),
            LogicalPlan::SubqueryAlias(node) => Asked::of(&node.input)?,
            LogicalPlan::Filter(node) => match Asked::of(&node.input)? {
                Some(mut asked) => {
                    asked.filters.push(asked.over_table(&node.predicate, node.input.schema())?);
                    Some(asked)
                }
                None => None,
            },
            LogicalPlan::Projection(node) => match Asked::of(&node.input)? {
                Some(asked) => {
                    let over_table = |expr: &Expr| asked.over_table(expr, node.input.schema());
                    let columns = node.expr.iter().map(over_table).collect::<Result<Vec<_>>>()?;
                    Some(Asked { columns, ..asked })
                }
                None => None,
            },
            _ => None,
        })
    }

    /// The key of a view, as columns of its definition: it cannot be asked by others.
    pub fn only_key(&self) -> Option<&'a [usize]> {
        match self.of {
            Of::Table(_, scan) => scan.view.as_ref().map(|_| scan.definition.key.as_slice()),
            Of::Rows(_) => None,
        }
    }

    /// Which column of the definition a column of the rows is.
    pub fn stored(&self, column: usize) -> usize {
        match self.of {
            Of::Table(node, _) => node.projection.as_ref().map_or(column, |read| read[column]),
            Of::Rows(_) => column,
        }
    }

    fn all(of: Of<'a>, schema: &'a DFSchema) -> Asked<'a> {
        let columns = schema.columns().into_iter().map(Expr::Column).collect();
        Asked { of, schema, filters: Vec::new(), columns }
    }

    /// An expression over the columns that come out, which `schema` names, as one over the table's.
    pub fn over_table(&self, expr: &Expr, schema: &DFSchema) -> Result<Expr> {
        let substituted = expr.clone().transform(|expr| {
            Ok(match &expr {
                Expr::Column(column) => {
                    Transformed::yes(self.columns[schema.index_of_column(column)?].clone().unalias())
                }
                _ => Transformed::no(expr),
            })
        });
        Ok(substituted.map_err(Error::from)?.data)
    }
}
