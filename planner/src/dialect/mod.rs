//! SQL text to statements: the dialect of Flink SQL.
//!
//! ```text
//! script ──cut──> text of one statement ──tokens──> grammar ──> Statement
//!                 (variables replaced)              (sqlparser for queries, desugared)
//! ```
//!
//! sqlparser parses queries and expressions, `grammar` the statements around them. Where Flink's syntax has no
//! place in sqlparser's tree, or DataFusion would give it another meaning, it becomes an ordinary function call with
//! texts as arguments:
//!
//! | written | becomes |
//! |---|---|
//! | `7`, `2147483648` | literals of type INT, BIGINT: see [`Literals`] |
//! | `1.50`, `1e10` | literals of type DECIMAL(3, 2), DOUBLE |
//! | `CAST(x AS t)`, `x::t` | `__cast(x, 't')` |
//! | `TRY_CAST(x AS t)` | `__try_cast(x, 't')` |
//! | `DATE '2020-12-31'`, `TIME '..'`, `TIMESTAMP '.. .123'` | `__cast('2020-12-31', 'DATE')`, `'TIME(0)'`, `'TIMESTAMP(3)'`: as many digits as written |
//! | `TIMESTAMP WITH LOCAL TIME ZONE '..'` | `__cast('..', 'TIMESTAMP_LTZ(0)')` |
//! | `INTERVAL '1 2:3:4' DAY TO SECOND` | `INTERVAL '93784000 milliseconds'`, or `'14 months'`: see [`interval`] |
//! | `X'0102'` | sqlparser's hex literal |
//! | `U&'\00e9'`, `N'x'` | `'é'`, `'x'` |
//! | `ROW(a, b)`, `(a, b)` | `__row(a, b)` |
//! | `ARRAY[a, b]`, `MAP[k, v, ..]` | `__array(a, b)`, `__map(k, v, ..)` |
//! | `x[i]`, `x['k']` | sqlparser's subscript |
//! | `x[i].name`, `f(x).name` | field access by text `'name'`, as DataFusion wants it |
//! | `(a, b) OVERLAPS (c, d)` | `__overlaps(a, b, c, d)` |
//! | `a BETWEEN SYMMETRIC b AND c` | `(a BETWEEN b AND c OR a BETWEEN c AND b)` |
//! | `a SIMILAR TO b [ESCAPE c]` | `__similar(a, b[, c])` |
//! | `UNKNOWN` | `__cast(NULL, 'BOOLEAN')` |
//! | `x IS [NOT] JSON [VALUE\|SCALAR\|ARRAY\|OBJECT]` | `[NOT] __is_json(x, 'VALUE'..)` |
//! | `JSON_VALUE(x, p ..)` | `__json_value(x, p, 'RETURNING TYPE', 'ON EMPTY', default or NULL, 'ON ERROR', default or NULL)`; STRING, NULL, NULL if not said |
//! | `JSON_QUERY(x, p ..)` | `__json_query(x, p, 'RETURNING TYPE', 'WITHOUT'\|'CONDITIONAL'\|'UNCONDITIONAL', 'ON EMPTY', 'ON ERROR')` |
//! | `JSON_EXISTS(x, p ..)` | `__json_exists(x, p, 'FALSE'\|'TRUE'\|'UNKNOWN'\|'ERROR')` |
//! | `JSON_OBJECT(KEY k VALUE v, ..)` | `__json_object('NULL'\|'ABSENT', k, v, ..)` |
//! | `JSON_ARRAY(v, ..)` | `__json_array('ABSENT'\|'NULL', v, ..)` |
//! | `JSON_ARRAYAGG(v NULL ON NULL)` | `json_arrayagg_null_on_null(v)`; ABSENT ON NULL is the default |
//! | `JSON_OBJECTAGG(KEY k VALUE v ABSENT ON NULL)` | `json_objectagg_absent_on_null(k, v)`; NULL ON NULL is the default: `json_objectagg(k, v)` |
//! | `EXTRACT(YEAR FROM t)` | `__extract('YEAR', t)` |
//! | `CEIL(t TO DAY)`, `FLOOR(t TO DAY)` | `ceil_to(t, 'DAY')`, `floor_to(t, 'DAY')` |
//! | `TIMESTAMPADD(DAY, n, t)`, `TIMESTAMPDIFF(DAY, a, b)` | `timestampadd('DAY', n, t)`, `timestampdiff('DAY', a, b)` |
//! | `OVERLAY(s PLACING r FROM i FOR n)` | `overlay(s, r, i[, n])` |
//! | `POSITION(a IN b)` | `position(a, b)` |
//! | `SUBSTRING(s FROM i FOR n)` | `substring(s, i[, n])` |
//! | `TRIM([LEADING\|TRAILING\|BOTH] [c] FROM s)`, `TRIM(s)` | `__trim('BOTH', s, c)`, with `' '` for c |
//! | `CURRENT_TIMESTAMP`, `LOCALTIME`, .. | `current_timestamp()`, `localtime()`, .. |
//! | `TABLE ev PARTITION BY k` as an argument | `__table(ev, __partition_by(k))`: see [`marker::table_argument`] |
//! | `DESCRIPTOR(ts)` | itself, a call: see [`marker::descriptor`] |
//! | `FROM ev /*+ OPTIONS('a'='b') */` | `with_hints` of the table reference is `[__options('a', 'b')]`: see [`marker::table_options`] |
//! | `SELECT /*+ STATE_TTL('a'='1 s') */ ... FROM a` | `FROM (SELECT * FROM a WHERE __state_ttl(1000)) AS a`: see [`marker::STATE_TTL`] |
//! | other hints | [`ParsedStatement::hints`] |
//! | `LATERAL TABLE(f(x)) AS t(a)` | sqlparser's `TableFactor::Function` with `lateral`, named f |
//! | `UNNEST(a) [WITH ORDINALITY]` | sqlparser's `TableFactor::UNNEST` |
//! | `PATTERN (..) WITHIN i DEFINE ..` | a first definition named [`WITHIN`] |
//! | `FETCH FIRST n ROWS ONLY` | `LIMIT n` |
//! | `TABLE t` as a query | `SELECT * FROM t` |
//! | `GROUP BY (a, b)` | `GROUP BY a, b` |
//! | `SELECT a + 1, k, k` | ``SELECT a + 1 AS `EXPR$0`, k, k AS `k0` `` |
//!
//! Numbers stay plain in LIMIT, OFFSET, window frames, and as ordinals in ORDER BY and GROUP BY.

mod desugar;
mod flink;
mod forms;
mod grammar;
mod hints;
mod json;
mod limits;
mod literal;
pub mod marker;
mod report;
mod reserved;
mod script;
mod shown;
mod source;
mod state_ttl;
mod statement;
#[cfg(test)]
mod tests;
mod type_text;
mod values;

use tidemill_exec::{Place, Result};

pub use flink::FlinkDialect;
pub use hints::{Hint, HintArgument};
pub use literal::{Interval, Literals, interval, number_text};
pub use report::render;
pub use script::is_complete;
pub use source::WITHIN;
pub use statement::*;
pub use type_text::TypeText;

use source::{Cursor, Source};

/// A statement and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedStatement {
    pub statement: Statement,
    /// Its source, variables replaced, without the semicolon and the comments around it.
    pub text: String,
    /// Where it begins.
    pub place: Place,
    /// Hints that had no effect: the caller should say so.
    pub hints: Vec<Hint>,
}

/// The statements of a script, parsed one after the other as they are asked for, so that one can be executed before
/// a mistake further down is found. Ends after the first error.
pub struct Statements<'a> {
    script: Cursor<'a>,
    variables: &'a dyn Fn(&str) -> Option<String>,
    /// Byte to go on at; `None` after an error.
    at: Option<usize>,
}

/// The statements of `script`; `${NAME}` and `${NAME:-default}` stand for `variables`.
pub fn statements<'a>(script: &'a str, variables: &'a dyn Fn(&str) -> Option<String>) -> Statements<'a> {
    Statements { script: Cursor::new(script), variables, at: Some(0) }
}

impl Iterator for Statements<'_> {
    type Item = Result<ParsedStatement>;

    fn next(&mut self) -> Option<Result<ParsedStatement>> {
        let cut = script::cut(self.script.text, self.at.take()?)?;
        let start = self.script.seek_byte(cut.start);
        let first = Place { line: start.line, column: start.column, width: 1 };
        let parsed = Source::new(self.script.text, cut, first, self.variables).and_then(|source| parse_one(&source));
        self.at = parsed.is_ok().then_some(cut.next);
        Some(parsed)
    }
}

/// Parsing recurses over nested expressions and over chains such as `a OR b OR c ..`. Memory that is not touched
/// costs nothing.
const STACK_BYTES: usize = 96 << 20;

fn parse_one(source: &Source) -> Result<ParsedStatement> {
    limits::check(source)?;
    let (statement, hints) = stacker::grow(STACK_BYTES, || grammar::parse(source))?;
    Ok(ParsedStatement { statement, text: source.whole().to_string(), place: source.place(0), hints })
}

/// All statements of a script.
///
/// # Errors
/// The first statement that cannot be parsed, with its place in `script`; [`render`] shows it.
pub fn parse(script: &str, variables: &dyn Fn(&str) -> Option<String>) -> Result<Vec<ParsedStatement>> {
    statements(script, variables).collect()
}
