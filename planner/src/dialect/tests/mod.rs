//! The front end as its users see it: text in, statements or errors with a caret out.

mod errors;
mod expressions;
mod planning;
mod robustness;
mod scripts;
mod statements;

use super::*;

/// The statements of a script without variables; panics with the rendered error.
fn parsed(script: &str) -> Vec<ParsedStatement> {
    parse(script, &|_| None).unwrap_or_else(|error| panic!("{}", render(&error, script)))
}

fn one(script: &str) -> Statement {
    let mut statements = parsed(script);
    assert_eq!(statements.len(), 1, "{script}");
    statements.remove(0).statement
}

/// A query as it comes out of desugaring.
fn query(sql: &str) -> String {
    match one(sql) {
        Statement::Query(query) => query.to_string(),
        other => panic!("{other:?} is not a query"),
    }
}

/// The rendered error of a script.
fn error(script: &str) -> String {
    match parse(script, &|_| None) {
        Err(error) => render(&error, script),
        Ok(statements) => panic!("{script} parses: {statements:?}"),
    }
}
