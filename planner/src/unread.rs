//! Fields of rows that a query does not look at: sources need not read them.
//!
//! The optimizer knows columns and nothing inside. A column that is a row of many fields (an event of several kinds, a nested record) is
//! therefore followed here from what asks for its fields down to the scan.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Alias, ScalarFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use tidemill_exec::connect::Unread;

use crate::functions::access::FIELD;
use crate::scan::Scan;

/// What is looked at of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// These fields of it, or nothing.
    Fields(BTreeMap<String, Wanted>),
}

const NOTHING: Wanted = Wanted::Fields(BTreeMap::new());

impl Wanted {
    fn add(&mut self, more: Wanted) {
        match (self, more) {
            (Wanted::All, _) => {}
            (this, Wanted::All) => *this = Wanted::All,
            (Wanted::Fields(fields), Wanted::Fields(more)) => {
                for (field, wanted) in more {
                    fields.entry(field).or_insert(NOTHING).add(wanted);
                }
            }
        }
    }

    /// What of a row's fields is not among it. Fields that cannot be NULL are read.
    fn unread(&self, row: &DataType) -> Unread {
        let mut unread = Unread::default();
        if let (Wanted::Fields(wanted), DataType::Struct(fields)) = (self, row) {
            for field in fields {
                match wanted.get(field.name()) {
                    None if field.is_nullable() => unread.add(field.name(), Unread::default()),
                    None => {}
                    Some(wanted) => add_inside(&mut unread, field, wanted),
                }
            }
        }
        unread
    }
}

fn add_inside(unread: &mut Unread, field: &Field, wanted: &Wanted) {
    let inside = wanted.unread(field.data_type());
    if !inside.is_empty() {
        unread.add(field.name(), inside);
    }
}

/// The plan with what is unread marked in its scans.
pub fn mark(plan: LogicalPlan) -> Result<LogicalPlan> {
    // What a subquery looks at outside of it is not followed.
    let has_subquery = |node: &LogicalPlan| {
        let mut found = false;
        node.apply_subqueries(|_| {
            found = true;
            Ok(TreeNodeRecursion::Stop)
        })?;
        Ok(found)
    };
    if plan.exists(has_subquery)? {
        return Ok(plan);
    }
    let all = vec![Wanted::All; plan.schema().fields().len()];
    below(plan, all)
}

/// `wanted` is looked at of each column of `plan`.
fn below(plan: LogicalPlan, wanted: Vec<Wanted>) -> Result<LogicalPlan> {
    let below_it = match &plan {
        LogicalPlan::TableScan(scan) => return Ok(LogicalPlan::TableScan(marked(scan.clone(), wanted)?)),
        LogicalPlan::SubqueryAlias(_) => wanted,
        LogicalPlan::Filter(filter) => {
            let mut below = wanted;
            look(&filter.predicate, Wanted::All, filter.input.schema(), &mut below)?;
            below
        }
        LogicalPlan::Projection(node) => {
            let mut below = vec![NOTHING; node.input.schema().fields().len()];
            for (expr, wanted) in node.expr.iter().zip(wanted) {
                look(expr, wanted, node.input.schema(), &mut below)?;
            }
            below
        }
        LogicalPlan::Aggregate(node) => {
            let mut below = vec![NOTHING; node.input.schema().fields().len()];
            for expr in node.group_expr.iter().chain(&node.aggr_expr) {
                look(expr, Wanted::All, node.input.schema(), &mut below)?;
            }
            below
        }
        _ => {
            let into = |input: LogicalPlan| {
                let all = vec![Wanted::All; input.schema().fields().len()];
                below(input, all).map(Transformed::yes)
            };
            return Ok(plan.map_children(into)?.data);
        }
    };
    let into = |input: LogicalPlan| below(input, below_it.clone()).map(Transformed::yes);
    Ok(plan.map_children(into)?.data)
}

/// Adds what `expr` looks at of the columns of `schema`, if `wanted` is looked at of its value.
fn look(expr: &Expr, wanted: Wanted, schema: &DFSchema, columns: &mut [Wanted]) -> Result<()> {
    match expr {
        Expr::Alias(Alias { expr, .. }) => look(expr, wanted, schema, columns),
        Expr::Column(column) => {
            columns[schema.index_of_column(column)?].add(wanted);
            Ok(())
        }
        _ => match field_of(expr) {
            Some((row, field)) => look(row, Wanted::Fields([(field.to_string(), wanted)].into()), schema, columns),
            None => {
                let mut result = Ok(());
                expr.apply_children(|child| {
                    result = look(child, Wanted::All, schema, columns);
                    Ok(match result {
                        Ok(()) => TreeNodeRecursion::Continue,
                        Err(_) => TreeNodeRecursion::Stop,
                    })
                })?;
                result
            }
        },
    }
}

/// `row` and `f` of `row.f`.
fn field_of(expr: &Expr) -> Option<(&Expr, &str)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    match args.as_slice() {
        [row, Expr::Literal(ScalarValue::Utf8(Some(field)), _)] if func.name() == FIELD => Some((row, field)),
        _ => None,
    }
}

fn marked(mut node: TableScan, mut wanted: Vec<Wanted>) -> Result<TableScan> {
    let Ok(scan) = Scan::of(&node.source) else { return Ok(node) };
    let schema = Arc::clone(&node.projected_schema);
    for filter in &node.filters {
        look(filter, Wanted::All, &schema, &mut wanted)?;
    }
    // The watermark's columns may be beside the projected ones, and are in the definition.
    let stored = DFSchema::try_from(scan.definition.schema.as_ref().clone())?;
    let mut of_watermark = vec![NOTHING; stored.fields().len()];
    for expr in scan.watermark.iter().flat_map(|watermark| [&watermark.time, &watermark.expression]) {
        let unqualified = crate::stream::unqualified(expr)?;
        look(&unqualified, Wanted::All, &stored, &mut of_watermark)?;
    }
    let mut unread = Unread::default();
    for (field, mut wanted) in schema.fields().iter().zip(wanted) {
        wanted.add(of_watermark[scan.definition.schema.index_of(field.name())?].clone());
        add_inside(&mut unread, field, &wanted);
    }
    if !unread.is_empty() {
        node.source = Arc::new(Scan { unread, ..scan.clone() });
    }
    Ok(node)
}
