//! Flink's meaning for what DataFusion would read otherwise: one walk over a parsed query or expression.
//!
//! What becomes what is in the table in the documentation of [`super`].

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    GroupByExpr, Ident, JsonNullClause, LimitClause, NamedWindowExpr, ObjectName, ObjectNamePart, OrderByKind, Query,
    Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, UnaryOperator, Value, VisitMut, VisitorMut,
    WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Location;
use tidemill_exec::{Error, Place, Result};

use super::flink::FlinkDialect;
use super::forms::negated_if;
use super::hints::Hint;
use super::literal::{negated, number, plain};
use super::marker::{self, call, text};
use super::report::reserved;
use super::reserved::is_reserved;
use super::state_ttl;
use super::values;

/// Hints waiting for the syntax node whose last token they follow.
#[derive(Default)]
pub(super) struct Pending(Vec<(Location, Hint)>);

impl Pending {
    pub fn push(&mut self, after: Location, hint: Hint) {
        self.0.push((after, hint));
    }

    /// The hints of this name behind the token at `location`; others stay.
    pub fn named(&mut self, name: &str, location: Location) -> Vec<Hint> {
        let is_it = |(after, hint): &mut (Location, Hint)| *after == location && hint.name == name;
        self.0.extract_if(.., is_it).map(|(_, hint)| hint).collect()
    }

    /// The options given to the table whose name begins (in its last part) at `location`; other hints stay.
    pub fn options(&mut self, location: Location) -> Result<Vec<(String, String)>> {
        let pairs = self.named("OPTIONS", location).iter().map(Hint::options).collect::<Result<Vec<_>>>()?;
        Ok(pairs.concat())
    }

    /// What nothing has taken.
    pub fn rest(self) -> Vec<Hint> {
        self.0.into_iter().map(|(_, hint)| hint).collect()
    }
}

/// Desugars a query or an expression in place.
///
/// # Errors
/// A reserved word as a name; a clause that is not Flink's.
pub(super) fn desugar(node: &mut impl VisitMut, hints: &mut Pending) -> Result<()> {
    match node.visit(&mut Desugar { hints }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Desugar<'a> {
    hints: &'a mut Pending,
}

impl VisitorMut for Desugar<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        explicit_table(&mut query.body);
        flow(before_query(query))
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        limit(query);
        values::even(&mut query.body);
        if let Some(OrderByKind::Expressions(items)) = query.order_by.as_mut().map(|order| &mut order.kind) {
            items.iter_mut().for_each(|item| plain(&mut item.expr));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        // `GROUP BY (a, b)` groups by both, not by a row of them.
        if let GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            *expressions = std::mem::take(expressions)
                .into_iter()
                .flat_map(|expr| if let Expr::Tuple(parts) = expr { parts } else { vec![expr] })
                .collect();
        }
        let hints = self.hints.named("STATE_TTL", select.select_token.0.span.start);
        flow(state_ttl::apply(select, hints).and_then(|()| check_aliases(&select.projection)))
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let relations = select.from.iter().flat_map(relations).collect();
        name_items(&mut select.projection, &relations);
        if let GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            expressions.iter_mut().for_each(plain);
        }
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                plain_frame(spec);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        table_function(factor);
        flow(self.table(factor))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        overlaps(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        flow(self.expr(expr))
    }
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

/// `TABLE t` is `SELECT * FROM t`.
fn explicit_table(body: &mut SetExpr) {
    match body {
        SetExpr::Table(table) => {
            let parts =
                table.schema_name.iter().chain(&table.table_name).map(|part| format!("`{}`", part.replace('`', "``")));
            let sql = format!("SELECT * FROM {}", parts.collect::<Vec<_>>().join("."));
            let parsed = Parser::new(&FlinkDialect).try_with_sql(&sql).and_then(|mut parser| parser.parse_query());
            if let Ok(query) = parsed {
                *body = *query.body;
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            explicit_table(left);
            explicit_table(right);
        }
        _ => {}
    }
}

fn before_query(query: &mut Query) -> Result<()> {
    if !query.locks.is_empty() || query.for_clause.is_some() {
        return Err(Error::new("FOR at the end of a query means nothing to a stream")
            .why("there are no locks to take")
            .fix("leave it out; FOR SYSTEM_TIME AS OF follows the table's name"));
    }
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        check_alias(&cte.alias)?;
    }
    if let SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) = query.body.as_ref() {
        return Err(Error::new("WITH cannot stand before a statement that writes")
            .fix("write INSERT INTO t WITH ... SELECT ..."));
    }
    if let SetExpr::Select(select) = query.body.as_ref()
        && let Some(into) = &select.into
    {
        return Err(Error::new(format!("a query cannot be selected INTO {}", into.name))
            .fix(format!("write INSERT INTO {} SELECT ..., or CREATE TABLE {} AS SELECT ...", into.name, into.name))
            .at(into
                .name
                .0
                .last()
                .and_then(ObjectNamePart::as_ident)
                .map_or(Place { line: 1, column: 1, width: 1 }, place_of)));
    }
    Ok(())
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`, and limits are plain numbers.
fn limit(query: &mut Query) {
    if let Some(fetch) = query.fetch.take_if(|fetch| !fetch.with_ties && !fetch.percent) {
        let one = || {
            Expr::Value(
                Value::Number("1".to_string(), false).with_span(datafusion::sql::sqlparser::tokenizer::Span::empty()),
            )
        };
        let quantity = fetch.quantity.unwrap_or_else(one);
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, .. }) => *limit = Some(quantity),
            clause => {
                *clause = Some(LimitClause::LimitOffset { limit: Some(quantity), offset: None, limit_by: Vec::new() })
            }
        }
    }
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
        limit.iter_mut().for_each(plain);
        offset.iter_mut().for_each(|offset| plain(&mut offset.value));
    }
}

fn check_aliases(items: &[SelectItem]) -> Result<()> {
    items.iter().try_for_each(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => check_name(alias),
        _ => Ok(()),
    })
}

fn check_alias(alias: &TableAlias) -> Result<()> {
    check_name(&alias.name)?;
    alias.columns.iter().try_for_each(|column| check_name(&column.name))
}

/// # Errors
/// The name is a reserved word without quotes.
pub(super) fn check_name(name: &Ident) -> Result<()> {
    if name.quote_style == Some('\'') {
        // sqlparser keeps no place of these: the caller finds it.
        return Err(Error::new(text_as_name(&name.value))
            .why("names are quoted with backticks")
            .fix(format!("write `{}`", name.value)));
    }
    if name.quote_style.is_some() || !is_reserved(&name.value) {
        return Ok(());
    }
    Err(reserved(&name.value, place_of(name)))
}

pub(super) fn text_as_name(text: &str) -> String {
    format!("'{text}' is not a name")
}

fn place_of(name: &Ident) -> Place {
    let start = name.span.start;
    Place {
        line: start.line.max(1),
        column: start.column.max(1),
        width: name.span.end.column.saturating_sub(start.column).max(1),
    }
}

/// Gives the items of a SELECT list the names Flink gives them: `EXPR$0` by position to what is no column, `k0` to a
/// second `k`.
///
/// Behind a `*` Flink counts the columns it stands for, which are not known here, so positions are those of the items.
fn name_items(items: &mut [SelectItem], relations: &HashSet<String>) {
    let mut taken = HashSet::new();
    for (position, item) in items.iter_mut().enumerate() {
        let (expr, name, written) = match item {
            SelectItem::UnnamedExpr(expr) => match column_name(expr, relations) {
                Some((name, exact)) => (expr, name, exact),
                None => (expr, format!("EXPR${position}"), false),
            },
            SelectItem::ExprWithAlias { expr, alias } => (expr, alias.value.clone(), true),
            _ => continue,
        };
        let unique = unique(&name, &mut taken);
        if !written || unique != name {
            let alias = Ident::with_quote('`', unique);
            let expr = std::mem::replace(expr, Expr::Value(Value::Null.into()));
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

/// The last part of a column's name, and whether DataFusion would give the same: what is behind the name of a column, rather than of
/// a table, is a field of a row.
fn column_name(expr: &Expr, relations: &HashSet<String>) -> Option<(String, bool)> {
    match expr {
        Expr::Identifier(name) => Some((name.value.clone(), true)),
        Expr::CompoundIdentifier(parts) => {
            let is_column = parts.len() == 2 && relations.contains(&parts[0].value);
            Some((parts.last()?.value.clone(), is_column))
        }
        Expr::Nested(inner) => column_name(inner, relations),
        _ => None,
    }
}

/// The names by which a FROM item's relations go.
fn relations(from: &TableWithJoins) -> Vec<String> {
    let joined = from.joins.iter().map(|join| &join.relation);
    std::iter::once(&from.relation).chain(joined).flat_map(names).collect()
}

fn names(factor: &TableFactor) -> Vec<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => vec![alias.name.value.clone()],
        TableFactor::Table { name, .. } => {
            name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.clone()).into_iter().collect()
        }
        TableFactor::NestedJoin { table_with_joins, .. } => relations(table_with_joins),
        _ => Vec::new(),
    }
}

fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let mut unique = name.to_string();
    let mut attempt = 0;
    while !taken.insert(unique.clone()) {
        unique = format!("{name}{attempt}");
        attempt += 1;
    }
    unique
}

fn plain_frame(spec: &mut WindowSpec) {
    let Some(WindowFrame { start_bound, end_bound, .. }) = &mut spec.window_frame else { return };
    for bound in std::iter::once(start_bound).chain(end_bound) {
        match bound {
            WindowFrameBound::Preceding(Some(offset)) | WindowFrameBound::Following(Some(offset)) => plain(offset),
            _ => {}
        }
    }
}

/// `UNNEST(a)` parses as a table with arguments, `LATERAL TABLE(f(x))` as a function named TABLE: gives both their
/// own form.
fn table_function(factor: &mut TableFactor) {
    let is = |name: &ObjectName, word: &str| {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return false };
        ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case(word)
    };
    let exprs = |arguments: &[FunctionArg]| -> Option<Vec<Expr>> {
        arguments
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            })
            .collect()
    };
    let replaced = match factor {
        TableFactor::Table { name, args: Some(arguments), alias, with_ordinality, .. } if is(name, "UNNEST") => {
            exprs(&arguments.args).map(|array_exprs| unnest(array_exprs, alias.take(), *with_ordinality))
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } if is(name, "UNNEST") => {
            exprs(args).map(|array_exprs| unnest(array_exprs, alias.take(), *with_ordinality))
        }
        TableFactor::Function { lateral, name, args, alias, with_ordinality } if is(name, "TABLE") => {
            match exprs(args).as_deref() {
                Some([Expr::Function(function)]) => match &function.args {
                    FunctionArguments::List(list) => Some(TableFactor::Function {
                        lateral: *lateral,
                        name: function.name.clone(),
                        args: list.args.clone(),
                        with_ordinality: *with_ordinality,
                        alias: alias.take(),
                    }),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    };
    if let Some(replaced) = replaced {
        *factor = replaced;
    }
}

fn unnest(array_exprs: Vec<Expr>, alias: Option<TableAlias>, with_ordinality: bool) -> TableFactor {
    TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_offset_alias: None, with_ordinality }
}

/// `(a, b) OVERLAPS (c, d)`, before its sides become rows.
fn overlaps(expr: &mut Expr) {
    if let Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } = expr
        && let (Expr::Tuple(left), Expr::Tuple(right)) = (left.as_mut(), right.as_mut())
        && left.len() == 2
        && right.len() == 2
    {
        let arguments = left.drain(..).chain(right.drain(..)).collect();
        *expr = call("__overlaps", arguments);
    }
}

impl Desugar<'_> {
    fn table(&mut self, factor: &mut TableFactor) -> Result<()> {
        let alias = match factor {
            TableFactor::Table { name, alias, args, with_hints, .. } => {
                if let Some(ObjectNamePart::Identifier(last)) = name.0.last()
                    && args.is_none()
                {
                    check_name(last)?;
                    let options = self.hints.options(last.span.start)?;
                    if !options.is_empty() {
                        with_hints.push(options_call(options));
                    }
                }
                alias
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::MatchRecognize { alias, .. } => alias,
            _ => return Ok(()),
        };
        alias.as_ref().map_or(Ok(()), check_alias)
    }

    fn expr(&mut self, expr: &mut Expr) -> Result<()> {
        let replaced = match expr {
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) => Some(number(digits, value.span)),
                _ => None,
            },
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => negated(expr),
            Expr::Tuple(parts) => Some(call("__row", std::mem::take(parts))),
            Expr::Array(array) => Some(call("__array", std::mem::take(&mut array.elem))),
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let mut arguments = vec![take(expr), take(pattern)];
                arguments.extend(escape_char.take().map(Expr::Value));
                Some(negated_if(*negated, call("__similar", arguments)))
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                fields(root, access_chain);
                None
            }
            Expr::Function(function) => {
                if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                    plain_frame(spec);
                }
                null_clause(&mut function.name, &mut function.args);
                None
            }
            _ => None,
        };
        if let Some(replaced) = replaced {
            *expr = replaced;
        }
        self.table_argument(expr)
    }

    /// Gives `TABLE ev /*+ OPTIONS(..) */` its options.
    fn table_argument(&mut self, expr: &mut Expr) -> Result<()> {
        if self.hints.0.is_empty() {
            return Ok(());
        }
        let name = match marker::as_call(expr) {
            Some((function, arguments)) if function == marker::TABLE => {
                arguments.first().copied().and_then(marker::as_name)
            }
            _ => None,
        };
        let Some(last) = name.and_then(|mut parts| parts.pop()) else { return Ok(()) };
        let options = self.hints.options(last.span.start)?;
        if let (false, Expr::Function(function)) = (options.is_empty(), expr)
            && let FunctionArguments::List(list) = &mut function.args
        {
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(options_call(options))));
        }
        Ok(())
    }
}

fn options_call(options: Vec<(String, String)>) -> Expr {
    call(marker::OPTIONS, options.into_iter().flat_map(|(key, value)| [text(key), text(value)]).collect())
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

/// `items[1].sku`: DataFusion takes field names behind a subscript as texts only.
fn fields(root: &Expr, chain: &mut [AccessExpr]) {
    let mut is_name = matches!(root, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    for access in chain {
        match access {
            AccessExpr::Dot(Expr::Identifier(field)) if !is_name => {
                *access = AccessExpr::Dot(text(field.value.clone()));
            }
            AccessExpr::Dot(_) => {}
            AccessExpr::Subscript(_) => is_name = false,
        }
    }
}

/// `JSON_ARRAYAGG(v NULL ON NULL)` is a function of its own, because it keeps another state.
fn null_clause(name: &mut ObjectName, arguments: &mut FunctionArguments) {
    let FunctionArguments::List(list) = arguments else { return };
    let keeps_nulls = list
        .clauses
        .iter()
        .any(|clause| matches!(clause, FunctionArgumentClause::JsonNullClause(JsonNullClause::NullOnNull)));
    list.clauses.retain(|clause| !matches!(clause, FunctionArgumentClause::JsonNullClause(_)));
    if keeps_nulls && let Some(ObjectNamePart::Identifier(ident)) = name.0.last_mut() {
        ident.value = format!("{}_null_on_null", ident.value.to_ascii_lowercase());
    }
}
