//! `SELECT /*+ STATE_TTL('a' = '1 d') */ ... FROM a`: the hint moves to the tables it names.

use datafusion::sql::sqlparser::ast::{Ident, Select, SetExpr, TableAlias, TableFactor, TableWithJoins};
use datafusion::sql::sqlparser::parser::Parser;
use tidemill_exec::connect::parse_duration;
use tidemill_exec::{Error, Result};

use super::flink::FlinkDialect;
use super::hints::Hint;
use super::marker;

/// Puts a query that says how long state is kept in place of each table that a hint names.
///
/// # Errors
/// A name that is none of a table of this SELECT; a time that is none.
pub(super) fn apply(select: &mut Select, hints: Vec<Hint>) -> Result<()> {
    for hint in hints {
        for (table, time) in hint.options()? {
            let wrong = |what: String| {
                Error::new(what)
                    .fix("write STATE_TTL('alias' = '1 d'), with a table of this FROM by its alias")
                    .at(hint.place)
            };
            let time = parse_duration(&time)
                .map_err(|why| wrong(format!("STATE_TTL cannot keep {table} for '{time}'")).why(why))?;
            let mut found = false;
            for factor in select.from.iter_mut().flat_map(factors) {
                if name(factor).is_some_and(|name| name.value == table) {
                    keep(factor, time.as_millis());
                    found = true;
                }
            }
            if !found {
                let known: Vec<String> = select
                    .from
                    .iter_mut()
                    .flat_map(factors)
                    .filter_map(|factor| name(factor).map(|name| name.value.clone()))
                    .collect();
                return Err(wrong(format!("STATE_TTL names {table}, which is no table of this SELECT"))
                    .why(format!("there are: {}", known.join(", "))));
            }
        }
    }
    Ok(())
}

fn factors(from: &mut TableWithJoins) -> Vec<&mut TableFactor> {
    let joined = from.joins.iter_mut().map(|join| &mut join.relation);
    let each = |factor| match factor {
        &mut TableFactor::NestedJoin { ref mut table_with_joins, .. } => factors(table_with_joins),
        factor => vec![factor],
    };
    std::iter::once(&mut from.relation).chain(joined).flat_map(each).collect()
}

/// What a hint calls it. A table as of some time keeps nothing that is unused.
fn name(factor: &TableFactor) -> Option<&Ident> {
    match factor {
        TableFactor::Table { version: Some(_), .. } => None,
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(&alias.name)
        }
        TableFactor::Table { name, args: None, .. } => name.0.last()?.as_ident(),
        _ => None,
    }
}

fn keep(factor: &mut TableFactor, millis: u128) {
    let name = name(factor).cloned();
    let alias = name.map(|name| TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    let sql = format!("SELECT * FROM t WHERE {}({millis})", marker::STATE_TTL);
    let parsed = Parser::new(&FlinkDialect).try_with_sql(&sql).and_then(|mut parser| parser.parse_query());
    if let Ok(mut subquery) = parsed
        && let SetExpr::Select(select) = subquery.body.as_mut()
    {
        std::mem::swap(&mut select.from[0].relation, factor);
        *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
    }
}
