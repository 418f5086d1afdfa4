//! Fields inside of rows: which of them a query looks at, and no others are read.
//!
//! The optimizer knows columns and nothing inside. A column that is a row of many fields (an event of several kinds, a nested record) is
//! therefore followed here from what asks for its fields down to the scan. There it is marked what nobody looks at, and where all that is above
//! asks for fields only, they are taken out at once: what lies between then moves these and not rows of everything.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Alias, ScalarFunction};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, SubqueryAlias, TableScan};
use tidemill_exec::connect::Unread;

use crate::functions::access::{FIELD, field_of_row};
use crate::scan::Scan;
use crate::stream::unqualified;

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
                    Some(wanted) => add_unread(&mut unread, field, wanted),
                }
            }
        }
        unread
    }

    /// The paths to what is wanted as a whole, behind `path`.
    fn paths(&self, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
        match self {
            Wanted::All => paths.push(path.clone()),
            Wanted::Fields(fields) => {
                for (field, wanted) in fields {
                    path.push(field.clone());
                    wanted.paths(path, paths);
                    path.pop();
                }
            }
        }
    }
}

fn add_unread(unread: &mut Unread, field: &Field, wanted: &Wanted) {
    let inside = wanted.unread(field.data_type());
    if !inside.is_empty() {
        unread.add(field.name(), inside);
    }
}

/// What is asked of a column.
#[derive(Clone, Debug)]
struct Asked {
    wanted: Wanted,
    /// It has to be there as it is, and not as its fields.
    as_it_is: bool,
}

impl Asked {
    fn all(columns: usize) -> Vec<Asked> {
        vec![Asked { wanted: Wanted::All, as_it_is: true }; columns]
    }

    fn nothing(columns: usize) -> Vec<Asked> {
        vec![Asked { wanted: NOTHING, as_it_is: false }; columns]
    }
}

/// Columns of a plan in whose place their fields are: by path, the column that has it.
type Taken = HashMap<Column, BTreeMap<Vec<String>, Column>>;

/// The same plan, which reads no more fields than it looks at.
pub fn narrow(plan: LogicalPlan) -> Result<LogicalPlan> {
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
    let all = Asked::all(plan.schema().fields().len());
    Ok(below(plan, all)?.0)
}

/// The plan, of each of whose columns this is `asked`, and which columns have gone for their fields.
fn below(plan: LogicalPlan, asked: Vec<Asked>) -> Result<(LogicalPlan, Taken)> {
    match plan {
        LogicalPlan::TableScan(node) => scan(node, asked),
        LogicalPlan::SubqueryAlias(node) => {
            let (input, taken) = below(Arc::unwrap_or_clone(node.input), asked)?;
            let renamed = |column: Column| Column::new(Some(node.alias.clone()), column.name);
            let fields = |fields: BTreeMap<_, _>| fields.into_iter().map(|(path, column)| (path, renamed(column)));
            let taken = taken.into_iter().map(|(column, of)| (renamed(column), fields(of).collect())).collect();
            Ok((LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), node.alias.clone())?), taken))
        }
        LogicalPlan::Filter(node) => {
            let mut asked = asked;
            look(&node.predicate, Wanted::All, node.input.schema(), &mut asked)?;
            let (input, taken) = below(Arc::unwrap_or_clone(node.input), asked)?;
            Ok((LogicalPlan::Filter(Filter::try_new(through(node.predicate, &taken)?, Arc::new(input))?), taken))
        }
        LogicalPlan::Projection(node) => projection(node, asked),
        LogicalPlan::Aggregate(ref node) => {
            let mut asked = Asked::nothing(node.input.schema().fields().len());
            for expr in node.group_expr.iter().chain(&node.aggr_expr) {
                look(expr, Wanted::All, node.input.schema(), &mut asked)?;
            }
            // The names of its columns are those of its expressions, so these stay.
            asked.iter_mut().for_each(|asked| asked.as_it_is = true);
            let into = |input| Ok(Transformed::yes(below(input, asked.clone())?.0));
            Ok((plan.map_children(into)?.data, Taken::new()))
        }
        _ => {
            let into = |input: LogicalPlan| {
                let all = Asked::all(input.schema().fields().len());
                Ok(Transformed::yes(below(input, all)?.0))
            };
            Ok((plan.map_children(into)?.data, Taken::new()))
        }
    }
}

fn projection(node: Projection, asked: Vec<Asked>) -> Result<(LogicalPlan, Taken)> {
    let mut of_input = Asked::nothing(node.input.schema().fields().len());
    for ((expr, Asked { wanted, as_it_is }), field) in node.expr.iter().zip(asked).zip(node.schema.fields()) {
        look(expr, wanted, node.input.schema(), &mut of_input)?;
        if let Some(column) = column_of(expr) {
            let prefix = name_of(field.name(), &[]);
            let is_known = node.schema.fields().iter().any(|other| other.name().starts_with(&prefix));
            of_input[node.input.schema().index_of_column(column)?].as_it_is |= as_it_is || is_known;
        }
    }
    let (input, below) = below(Arc::unwrap_or_clone(node.input), of_input)?;
    let (mut exprs, mut taken) = (Vec::with_capacity(node.expr.len()), Taken::new());
    for (expr, (qualifier, field)) in node.expr.into_iter().zip(node.schema.iter()) {
        if let Some(fields) = column_of(&expr).and_then(|column| below.get(column)) {
            let of_field = fields.iter().map(|(path, column)| {
                let name = name_of(field.name(), path);
                exprs.push(Expr::Column(column.clone()).alias_qualified(qualifier.cloned(), name.clone()));
                (path.clone(), Column::new(qualifier.cloned(), name))
            });
            let of_field = of_field.collect();
            taken.insert(Column::new(qualifier.cloned(), field.name()), of_field);
            continue;
        }
        let rewritten = through(expr.clone(), &below)?;
        exprs.push(match rewritten == expr {
            true => expr,
            false => rewritten.unalias().alias_qualified(qualifier.cloned(), field.name()),
        });
    }
    Ok((LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?), taken))
}

fn scan(mut node: TableScan, asked: Vec<Asked>) -> Result<(LogicalPlan, Taken)> {
    let Ok(scan) = Scan::of(&node.source) else { return Ok((LogicalPlan::TableScan(node), Taken::new())) };
    let schema = Arc::clone(&node.projected_schema);
    let mut asked = asked;
    for filter in &node.filters {
        look(filter, Wanted::All, &schema, &mut asked)?;
    }
    // The columns of the watermark and the key may be beside the projected ones, and are in the definition.
    let stored = DFSchema::try_from(scan.definition.schema.as_ref().clone())?;
    let mut of_table = Asked::nothing(stored.fields().len());
    for expr in scan.watermark.iter().flat_map(|watermark| [&watermark.time, &watermark.expression]) {
        look(&unqualified(expr)?, Wanted::All, &stored, &mut of_table)?;
    }
    scan.definition.key.iter().for_each(|&key| of_table[key].wanted = Wanted::All);
    let mut unread = Unread::default();
    for (n, field) in stored.fields().iter().enumerate() {
        let mut wanted = of_table[n].wanted.clone();
        if let Some(n) = schema.fields().iter().position(|projected| projected.name() == field.name()) {
            wanted.add(asked[n].wanted.clone());
        }
        add_unread(&mut unread, field, &wanted);
    }
    let is_view = scan.view.is_some();
    if !unread.is_empty() && !is_view {
        node.source = Arc::new(Scan { unread, ..scan.clone() });
    }
    let (mut exprs, mut taken) = (Vec::new(), Taken::new());
    for (Asked { wanted, as_it_is }, (qualifier, field)) in asked.iter().zip(schema.iter()) {
        let column = Column::new(qualifier.cloned(), field.name());
        let mut paths = Vec::new();
        wanted.paths(&mut Vec::new(), &mut paths);
        let is_known = |path: &Vec<String>| schema.field_with_unqualified_name(&name_of(field.name(), path)).is_ok();
        let stays = *as_it_is || is_view || *wanted == Wanted::All || paths.is_empty() || paths.iter().any(is_known);
        if stays {
            exprs.push(Expr::Column(column));
            continue;
        }
        let mut of_field = BTreeMap::new();
        for path in paths {
            let name = name_of(field.name(), &path);
            exprs.push(at_path(&column, &path).alias_qualified(qualifier.cloned(), name.clone()));
            of_field.insert(path, Column::new(qualifier.cloned(), name));
        }
        taken.insert(column, of_field);
    }
    let scan = LogicalPlan::TableScan(node);
    Ok(match taken.is_empty() {
        true => (scan, taken),
        false => (LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(scan))?), taken),
    })
}

/// Expressions over nothing but the columns and fields that they look at.
pub struct Hoisted {
    /// These, with names.
    pub columns: Vec<(Expr, String)>,
    /// The expressions, over columns of these names.
    pub exprs: Vec<Expr>,
}

/// Takes columns and fields out of expressions: some (`CASE`) copy what they are over, row by row, however much of it they look at.
pub fn hoist(exprs: Vec<Expr>, schema: &DFSchema) -> Result<Hoisted> {
    let mut asked = Asked::nothing(schema.fields().len());
    for expr in &exprs {
        look(expr, Wanted::All, schema, &mut asked)?;
    }
    let (mut columns, mut taken) = (Vec::new(), Taken::new());
    for (Asked { wanted, .. }, (qualifier, field)) in asked.iter().zip(schema.iter()) {
        let column = Column::new(qualifier.cloned(), field.name());
        let mut paths = Vec::new();
        wanted.paths(&mut Vec::new(), &mut paths);
        let mut of_field = BTreeMap::new();
        for path in paths {
            if path.is_empty() {
                columns.push((Expr::Column(column.clone()), field.name().clone()));
                continue;
            }
            let name = name_of(field.name(), &path);
            columns.push((at_path(&column, &path), name.clone()));
            of_field.insert(path, Column::new_unqualified(name));
        }
        taken.insert(column, of_field);
    }
    let exprs = exprs.into_iter().map(|expr| through(expr, &taken)).collect::<Result<_>>()?;
    Ok(Hoisted { columns, exprs })
}

/// `column.a.b`
fn at_path(column: &Column, path: &[String]) -> Expr {
    path.iter().fold(Expr::Column(column.clone()), |row, field| field_of_row(row, field))
}

/// `bid.price`
fn name_of(column: &str, path: &[String]) -> String {
    format!("{column}.{}", path.join("."))
}

/// The column that an expression is, perhaps by another name.
fn column_of(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Alias(Alias { expr, .. }) => column_of(expr),
        Expr::Column(column) => Some(column),
        _ => None,
    }
}

/// Adds what `expr` looks at of the columns of `schema`, if `wanted` is looked at of its value.
fn look(expr: &Expr, wanted: Wanted, schema: &DFSchema, columns: &mut [Asked]) -> Result<()> {
    match expr {
        Expr::Alias(Alias { expr, .. }) => look(expr, wanted, schema, columns),
        Expr::Column(column) => {
            columns[schema.index_of_column(column)?].wanted.add(wanted);
            Ok(())
        }
        _ => match row_and_field(expr) {
            Some((row, field)) => look(row, Wanted::Fields([(field.to_string(), wanted)].into()), schema, columns),
            None => expr
                .apply_children(|child| {
                    look(child, Wanted::All, schema, columns)?;
                    Ok(TreeNodeRecursion::Continue)
                })
                .map(drop),
        },
    }
}

/// `row` and `f` of `row.f`.
fn row_and_field(expr: &Expr) -> Option<(&Expr, &str)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    match args.as_slice() {
        [row, Expr::Literal(ScalarValue::Utf8(Some(field)), _)] if func.name() == FIELD => Some((row, field)),
        _ => None,
    }
}

/// A column and the path of fields into it.
fn column_and_path(expr: &Expr) -> Option<(&Column, Vec<String>)> {
    if let Expr::Column(column) = expr {
        return Some((column, Vec::new()));
    }
    let (row, field) = row_and_field(expr)?;
    let (column, mut path) = column_and_path(row)?;
    path.push(field.to_string());
    Some((column, path))
}

/// The expression over what is there in place of columns.
fn through(expr: Expr, taken: &Taken) -> Result<Expr> {
    let rewritten = expr.transform_down(|expr| {
        let Some((column, path)) = column_and_path(&expr) else { return Ok(Transformed::no(expr)) };
        let Some(fields) = taken.get(column) else { return Ok(Transformed::no(expr)) };
        let found = (1..=path.len()).find_map(|depth| Some((depth, fields.get(&path[..depth])?)));
        let Some((depth, column)) = found else { return Ok(Transformed::no(expr)) };
        Ok(Transformed::new(at_path(column, &path[depth..]), true, TreeNodeRecursion::Jump))
    })?;
    Ok(rewritten.data)
}
