//! `GROUP BY TUMBLE(ts, INTERVAL '10' SECOND)` with `TUMBLE_START(..)` and its like: rewritten to the table function that means the same.
//!
//! ```text
//! SELECT k, HOP_END(ts, s, z), COUNT(*) FROM t WHERE c GROUP BY k, HOP(ts, s, z)
//! SELECT k, window_end, COUNT(*) FROM TABLE(HOP((SELECT * FROM t WHERE c), DESCRIPTOR(ts), s, z)) AS t
//!   GROUP BY k, window_start, window_end, window_time
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function as Call, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, GroupByExpr, Ident,
    ObjectName, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};
use tidemill_exec::{Error, Result};

use super::arguments::Function;
use crate::dialect::marker;

/// The argument that tells a rewritten window from one in FROM.
const GROUPED: &str = "$grouped";

/// Takes the mark of a rewritten window out of its arguments; whether it was there.
pub fn take_mark(arguments: &mut Vec<FunctionArg>) -> bool {
    let is_mark = |argument: &FunctionArg| matches!(argument, FunctionArg::Named { name, .. } if name.value == GROUPED);
    let before = arguments.len();
    arguments.retain(|argument| !is_mark(argument));
    arguments.len() < before
}

/// Rewrites every SELECT in `query` that groups by a window function.
///
/// # Errors
/// Two windows in one GROUP BY; an auxiliary function without its window, or of another one; a window over what is no column.
pub fn rewrite(query: &mut Query) -> Result<()> {
    match query.visit(&mut Selects) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Selects;

impl VisitorMut for Selects {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match over_table_function(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// A window of a GROUP BY.
struct Window {
    function: Function,
    arguments: Vec<Expr>,
}

fn over_table_function(select: &mut Select) -> Result<()> {
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return Ok(()) };
    let mut windows: Vec<Window> = keys.iter().filter_map(group_window).collect();
    let Some(window) = windows.pop() else { return Ok(()) };
    if let Some(other) = windows.first() {
        return Err(Error::new(format!(
            "cannot group by {} and by {} at once",
            other.function.name(),
            window.function.name()
        ))
        .fix("make the windows of one in FROM, and group its results by the other"));
    }
    keys.retain(|key| group_window(key).is_none());
    let partition: Vec<Expr> = match window.function {
        Function::Session => keys.iter().map(|key| column_of(key, &window)).collect::<Result<_>>()?,
        _ => Vec::new(),
    };
    keys.extend(["window_start", "window_end", "window_time"].map(|name| Expr::Identifier(Ident::new(name))));

    let time = window.arguments.first().ok_or_else(|| misused(&window))?;
    let time = column_of(time, &window)?;
    let from = std::mem::take(&mut select.from);
    let alias = alias_of(&from);
    let data = Expr::Subquery(Box::new(all_of(select, from)));
    let data = match partition.is_empty() {
        true => data,
        false => marker::call(marker::TABLE, vec![data, marker::call(marker::PARTITION_BY, partition)]),
    };
    let mut arguments = vec![data, marker::call("descriptor", vec![time])];
    arguments.extend(window.arguments.iter().skip(1).cloned());
    let unnamed = |expr: Expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    let grouped = FunctionArg::Named {
        name: Ident::new(GROUPED),
        arg: FunctionArgExpr::Wildcard,
        operator: FunctionArgOperator::RightArrow,
    };
    let arguments = arguments.into_iter().map(unnamed).chain([grouped]).collect();
    let expr = marker::function(ObjectName::from(vec![Ident::new(window.function.name())]), arguments);
    select.from = vec![TableWithJoins { relation: TableFactor::TableFunction { expr, alias }, joins: Vec::new() }];

    let mut auxiliary = Auxiliary { window: &window };
    for (n, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expr) = item
            && auxiliary_part(expr).is_some()
        {
            // Named as Flink names what has no name.
            *item =
                SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('`', format!("EXPR${n}")) };
        }
    }
    let visited = match select.projection.visit(&mut auxiliary) {
        ControlFlow::Continue(()) => select.having.visit(&mut auxiliary),
        stopped => stopped,
    };
    match visited {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// `SELECT * FROM from WHERE ..`, of which nothing is left in `select`.
fn all_of(select: &mut Select, from: Vec<TableWithJoins>) -> Query {
    let inner = Select {
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        from,
        selection: select.selection.take(),
        distinct: None,
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        having: None,
        ..select.clone()
    };
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(inner))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// The name by which the query calls its only table.
fn alias_of(from: &[TableWithJoins]) -> Option<TableAlias> {
    let [TableWithJoins { relation, joins }] = from else { return None };
    if !joins.is_empty() {
        return None;
    }
    let named = |name: Ident| TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    match relation {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. } => Some(named(alias.name.clone())),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned().map(named),
        _ => None,
    }
}

/// `TUMBLE(ts, size)` and its like, but not the table function, which is given a table.
fn group_window(key: &Expr) -> Option<Window> {
    let (name, arguments) = marker::as_call(key)?;
    let function = Function::named(&name)?;
    Some(Window { function, arguments: arguments.into_iter().cloned().collect() })
}

/// A column without the name of its table.
fn column_of(expr: &Expr, window: &Window) -> Result<Expr> {
    marker::as_name(expr).and_then(|mut parts| parts.pop()).map(Expr::Identifier).ok_or_else(|| {
        Error::new(format!("{} in GROUP BY is over columns, and {expr} is none", window.function.name()))
            .fix("compute it in a subquery: FROM (SELECT *, ... AS c FROM t)")
    })
}

fn misused(window: &Window) -> Error {
    Error::new(format!("{} lacks its arguments", window.function.name()))
        .fix(format!("write GROUP BY {}(ts, INTERVAL '10' SECOND)", window.function.name()))
}

/// Which column of the window a call of `TUMBLE_START` or its like is: the function, and START, END, ROWTIME or PROCTIME.
fn auxiliary_part(expr: &Expr) -> Option<(Function, String)> {
    let Expr::Function(Call { name, args: FunctionArguments::List(_), .. }) = expr else { return None };
    auxiliary_name(marker::last_name(name)?)
}

fn auxiliary_name(name: &str) -> Option<(Function, String)> {
    let name = name.to_uppercase();
    let (window, part) = name.split_once('_')?;
    let known = ["START", "END", "ROWTIME", "PROCTIME"].contains(&part);
    Some((Function::named(window).filter(|_| known)?, part.to_string()))
}

/// `TUMBLE`, `TUMBLE_START` and the like.
pub fn is_window_function(name: &str) -> bool {
    Function::named(name).is_some() || auxiliary_name(name).is_some()
}

struct Auxiliary<'a> {
    window: &'a Window,
}

impl VisitorMut for Auxiliary<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Some((function, part)) = auxiliary_part(expr) else { return ControlFlow::Continue(()) };
        let same = marker::as_call(expr).is_some_and(|(_, arguments)| {
            arguments.iter().map(|argument| argument.to_string()).eq(self.window.arguments.iter().map(Expr::to_string))
        });
        if function != self.window.function || !same {
            return ControlFlow::Break(
                Error::new(format!("{expr} is not of the window that the query groups by"))
                    .fix("give it the same arguments as the window in GROUP BY"),
            );
        }
        *expr = match part.as_str() {
            "START" => Expr::Identifier(Ident::new("window_start")),
            "END" => Expr::Identifier(Ident::new("window_end")),
            "ROWTIME" => Expr::Identifier(Ident::new("window_time")),
            _ => marker::call("proctime", Vec::new()),
        };
        ControlFlow::Continue(())
    }
}
