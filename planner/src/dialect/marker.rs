//! The function calls that stand for what sqlparser has no syntax tree for, and how to read them back.
//!
//! Parsing writes them ([`call`], [`text`]), planning reads them ([`table_argument`], [`descriptor`],
//! [`table_options`]), so that the names are spelt in one place.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query,
    TableAlias, TableFactor, Value,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// `TABLE ev PARTITION BY k` as an argument: `__table(ev, __partition_by(k), __order_by(), __options())`, later parts
/// left out if empty. In place of the name there may be a query.
pub const TABLE: &str = "__table";
pub const PARTITION_BY: &str = "__partition_by";
pub const ORDER_BY: &str = "__order_by";
/// `/*+ OPTIONS('a' = 'b') */` behind a table: `__options('a', 'b')`.
pub const OPTIONS: &str = "__options";

/// `/*+ STATE_TTL('a' = '1 s') */` behind SELECT: in place of table a, `(SELECT * FROM a WHERE __state_ttl(1000)) AS a`.
pub const STATE_TTL: &str = "__state_ttl";

/// `name(arguments)`
pub fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// The call of a table function as an expression.
pub fn function(name: ObjectName, args: Vec<FunctionArg>) -> Expr {
    let mut call = call("", Vec::new());
    if let Expr::Function(function) = &mut call {
        function.name = name;
        if let FunctionArguments::List(list) = &mut function.args {
            list.args = args;
        }
    }
    call
}

/// `'text'`
pub fn text(text: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.into()).with_span(Span::empty()))
}

/// The name of a call in lower case, and its unnamed arguments. `None` for anything else, also for calls with named
/// arguments.
pub fn as_call(expr: &Expr) -> Option<(String, Vec<&Expr>)> {
    let Expr::Function(function) = expr else { return None };
    let name = function.name.0.last()?.as_ident()?.value.to_ascii_lowercase();
    let arguments = match &function.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()?,
        _ => Vec::new(),
    };
    Some((name, arguments))
}

/// The last part of a name.
pub fn last_name(name: &ObjectName) -> Option<&str> {
    Some(name.0.last()?.as_ident()?.value.as_str())
}

/// The name, the arguments and the alias of a table function: `f(...)`, `TABLE(f(...))`, `LATERAL f(...)`.
pub fn table_function(relation: &TableFactor) -> Option<(&ObjectName, &[FunctionArg], Option<&TableAlias>)> {
    match relation {
        TableFactor::Function { name, args, alias, .. } => Some((name, args, alias.as_ref())),
        TableFactor::Table { name, args: Some(arguments), alias, .. } => Some((name, &arguments.args, alias.as_ref())),
        TableFactor::TableFunction { expr: Expr::Function(call), alias } => match &call.args {
            FunctionArguments::List(list) => Some((&call.name, &list.args, alias.as_ref())),
            _ => None,
        },
        _ => None,
    }
}

/// The text of an argument that is a string literal.
pub fn text_argument(argument: &FunctionArg) -> Option<&str> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => as_text(expr),
        _ => None,
    }
}

/// The text of a string literal.
pub fn as_text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The parts of `a` or `a.b.c`.
pub fn as_name(expr: &Expr) -> Option<Vec<Ident>> {
    match expr {
        Expr::Identifier(ident) => Some(vec![ident.clone()]),
        Expr::CompoundIdentifier(parts) => Some(parts.clone()),
        _ => None,
    }
}

/// A table or a query given to a table function: `TABLE ev PARTITION BY k`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableArgument {
    pub relation: TableFactor,
    pub partition_by: Vec<Ident>,
    pub order_by: Vec<Ident>,
    /// From an OPTIONS hint, in the order written.
    pub options: Vec<(String, String)>,
}

/// Reads a `__table(..)` call, or a query.
pub fn table_argument(expr: &Expr) -> Option<TableArgument> {
    let alone = [expr];
    let arguments = match as_call(expr) {
        Some((name, arguments)) if name == TABLE => arguments,
        _ => alone.to_vec(),
    };
    let mut arguments = arguments.into_iter();
    let relation = match arguments.next()? {
        Expr::Subquery(query) => derived(query),
        name if arguments.len() > 0 || as_call(expr).is_some() => table(ObjectName::from(as_name(name)?)),
        _ => return None,
    };
    let mut table = TableArgument { relation, partition_by: Vec::new(), order_by: Vec::new(), options: Vec::new() };
    for clause in arguments {
        let (kind, parts) = as_call(clause)?;
        let columns = || parts.iter().map(|part| as_name(part)?.pop()).collect::<Option<Vec<_>>>();
        match kind.as_str() {
            PARTITION_BY => table.partition_by = columns()?,
            ORDER_BY => table.order_by = columns()?,
            OPTIONS => table.options = pairs(&parts)?,
            _ => return None,
        }
    }
    Some(table)
}

/// The place of the name, and the options of an OPTIONS hint, which are taken out, of a `__table(..)` call that has some.
pub fn take_options(expr: &mut Expr) -> Option<(&mut Expr, Vec<(String, String)>)> {
    let options = table_argument(expr)?.options;
    let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = expr else { return None };
    list.args.retain(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(clause)) => as_call(clause).is_none_or(|(name, _)| name != OPTIONS),
        _ => true,
    });
    match list.args.first_mut()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(name)) if !options.is_empty() => Some((name, options)),
        _ => None,
    }
}

fn table(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

fn derived(query: &Query) -> TableFactor {
    TableFactor::Derived { lateral: false, subquery: Box::new(query.clone()), alias: None, sample: None }
}

/// Reads `DESCRIPTOR(a, b)`.
pub fn descriptor(expr: &Expr) -> Option<Vec<Ident>> {
    let (name, arguments) = as_call(expr)?;
    if name != "descriptor" {
        return None;
    }
    arguments.into_iter().map(|argument| as_name(argument)?.pop()).collect()
}

/// The options that hints give to a table reference, from its `with_hints`.
pub fn table_options(with_hints: &[Expr]) -> Vec<(String, String)> {
    with_hints
        .iter()
        .filter_map(as_call)
        .filter(|(name, _)| name == OPTIONS)
        .filter_map(|(_, parts)| pairs(&parts))
        .flatten()
        .collect()
}

fn pairs(parts: &[&Expr]) -> Option<Vec<(String, String)>> {
    parts
        .chunks(2)
        .map(|pair| Some((as_text(pair.first()?)?.to_string(), as_text(pair.get(1)?)?.to_string())))
        .collect()
}
