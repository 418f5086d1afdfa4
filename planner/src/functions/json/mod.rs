//! JSON: asking documents by path (`JSON_VALUE`, `JSON_QUERY`, `JSON_EXISTS`, `IS JSON`) and making them.

mod construct;
mod path;
mod query;
mod value;

use super::function::Function;

pub fn all() -> Vec<Function> {
    [query::all(), construct::all()].concat()
}
