//! The JSON functions, whose behaviour is said in clauses: `JSON_VALUE(x, '$.a' RETURNING INT NULL ON EMPTY ERROR ON
//! ERROR)`.

use datafusion::sql::sqlparser::ast::{Expr, Value};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::forms::{Parsed, aggregate, expect, take};
use super::marker::{call, text};
use super::source::is_word;
use super::type_text;

/// `(x, path`, the beginning that three of them share.
fn input_and_path(parser: &mut Parser<'_>) -> Parsed<Vec<Expr>> {
    parser.expect_token(&Token::LParen)?;
    let input = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    Ok(vec![input, parser.parse_expr()?])
}

fn returning(parser: &mut Parser<'_>) -> Parsed {
    Ok(text(if take(parser, "RETURNING") { type_text::parse(parser)? } else { "STRING".to_string() }))
}

fn null() -> Expr {
    Expr::Value(Value::Null.with_span(Span::empty()))
}

/// What to give if the path leads nowhere (`ON EMPTY`) or the input is wrong (`ON ERROR`): a behaviour and, for
/// DEFAULT, a value.
struct Behaviours {
    empty: (String, Expr),
    error: (String, Expr),
}

/// Reads the behaviour of one function, if there is one.
type Behaviour = fn(&mut Parser<'_>) -> Parsed<Option<(String, Expr)>>;

/// Reads `<behaviour> ON EMPTY` and `<behaviour> ON ERROR` in any order.
fn behaviours(parser: &mut Parser<'_>, of: Behaviour, default: &str) -> Parsed<Behaviours> {
    let mut found = Behaviours { empty: (default.to_string(), null()), error: (default.to_string(), null()) };
    while let Some(behaviour) = of(parser)? {
        expect(parser, "ON")?;
        if take(parser, "EMPTY") {
            found.empty = behaviour;
        } else {
            expect(parser, "ERROR")?;
            found.error = behaviour;
        }
    }
    Ok(found)
}

/// `JSON_VALUE(x, path [RETURNING type] [NULL|ERROR|DEFAULT v ON EMPTY] [.. ON ERROR])`
pub(super) fn value(parser: &mut Parser<'_>, _: &str) -> Parsed {
    let mut arguments = input_and_path(parser)?;
    arguments.push(returning(parser)?);
    let found = behaviours(
        parser,
        |parser| {
            Ok(if take(parser, "NULL") {
                Some(("NULL".to_string(), null()))
            } else if take(parser, "ERROR") {
                Some(("ERROR".to_string(), null()))
            } else if take(parser, "DEFAULT") {
                Some(("DEFAULT".to_string(), parser.parse_expr()?))
            } else {
                None
            })
        },
        "NULL",
    )?;
    parser.expect_token(&Token::RParen)?;
    for (behaviour, default) in [found.empty, found.error] {
        arguments.extend([text(behaviour), default]);
    }
    Ok(call("__json_value", arguments))
}

/// `JSON_QUERY(x, path [RETURNING type] [wrapper] [NULL|EMPTY ARRAY|EMPTY OBJECT|ERROR ON EMPTY] [.. ON ERROR])`
pub(super) fn query(parser: &mut Parser<'_>, _: &str) -> Parsed {
    let mut arguments = input_and_path(parser)?;
    arguments.push(returning(parser)?);
    arguments.push(text(wrapper(parser)?));
    let found = behaviours(
        parser,
        |parser| {
            let behaviour = if take(parser, "NULL") {
                "NULL"
            } else if take(parser, "ERROR") {
                "ERROR"
            } else if take(parser, "EMPTY") {
                if take(parser, "OBJECT") {
                    "EMPTY OBJECT"
                } else {
                    expect(parser, "ARRAY")?;
                    "EMPTY ARRAY"
                }
            } else {
                return Ok(None);
            };
            Ok(Some((behaviour.to_string(), null())))
        },
        "NULL",
    )?;
    parser.expect_token(&Token::RParen)?;
    arguments.extend([text(found.empty.0), text(found.error.0)]);
    Ok(call("__json_query", arguments))
}

fn wrapper(parser: &mut Parser<'_>) -> Parsed<&'static str> {
    let kind = if take(parser, "WITHOUT") {
        "WITHOUT"
    } else if take(parser, "WITH") {
        if take(parser, "CONDITIONAL") {
            "CONDITIONAL"
        } else {
            let _ = take(parser, "UNCONDITIONAL");
            "UNCONDITIONAL"
        }
    } else {
        return Ok("WITHOUT");
    };
    let _ = take(parser, "ARRAY");
    expect(parser, "WRAPPER")?;
    Ok(kind)
}

/// `JSON_EXISTS(x, path [TRUE|FALSE|UNKNOWN|ERROR ON ERROR])`
pub(super) fn exists(parser: &mut Parser<'_>, _: &str) -> Parsed {
    let mut arguments = input_and_path(parser)?;
    let behaviour = ["TRUE", "FALSE", "UNKNOWN", "ERROR"].into_iter().find(|behaviour| take(parser, behaviour));
    if behaviour.is_some() {
        expect(parser, "ON")?;
        expect(parser, "ERROR")?;
    }
    parser.expect_token(&Token::RParen)?;
    arguments.push(text(behaviour.unwrap_or("FALSE")));
    Ok(call("__json_exists", arguments))
}

/// `[NULL|ABSENT ON NULL]`
fn on_null(parser: &mut Parser<'_>, default: &'static str) -> Parsed<&'static str> {
    let found = ["NULL", "ABSENT"].into_iter().find(|behaviour| {
        let next =
            is_word(&parser.peek_token_ref().token, behaviour) && is_word(&parser.peek_nth_token_ref(1).token, "ON");
        next && take(parser, behaviour)
    });
    if found.is_some() {
        expect(parser, "ON")?;
        expect(parser, "NULL")?;
    }
    Ok(found.unwrap_or(default))
}

/// `[KEY] k VALUE v` or `k : v`
fn entry(parser: &mut Parser<'_>) -> Parsed<[Expr; 2]> {
    // KEY may itself be the name of the column that holds the key.
    let introduced = is_word(&parser.peek_token_ref().token, "KEY")
        && !matches!(parser.peek_nth_token_ref(1).token, Token::Colon | Token::Period)
        && !is_word(&parser.peek_nth_token_ref(1).token, "VALUE");
    if introduced {
        parser.advance_token();
    }
    let key = parser.parse_expr()?;
    if !parser.consume_token(&Token::Colon) {
        expect(parser, "VALUE")?;
    }
    Ok([key, parser.parse_expr()?])
}

/// `JSON_OBJECT([KEY] k VALUE v, .. [NULL|ABSENT ON NULL])`
pub(super) fn object(parser: &mut Parser<'_>, _: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let mut entries = Vec::new();
    if !ends(parser) {
        entries = parser.parse_comma_separated(entry)?;
    }
    let behaviour = on_null(parser, "NULL")?;
    parser.expect_token(&Token::RParen)?;
    let mut arguments = vec![text(behaviour)];
    arguments.extend(entries.into_iter().flatten());
    Ok(call("__json_object", arguments))
}

/// `JSON_ARRAY(v, .. [NULL|ABSENT ON NULL])`
pub(super) fn array(parser: &mut Parser<'_>, _: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let mut values = Vec::new();
    if !ends(parser) {
        values = parser.parse_comma_separated(Parser::parse_expr)?;
    }
    let behaviour = on_null(parser, "ABSENT")?;
    parser.expect_token(&Token::RParen)?;
    let mut arguments = vec![text(behaviour)];
    arguments.extend(values);
    Ok(call("__json_array", arguments))
}

/// No elements: `)`, or the clause about nulls at once.
fn ends(parser: &Parser<'_>) -> bool {
    let clause = is_word(&parser.peek_nth_token_ref(1).token, "ON");
    parser.peek_token_ref().token == Token::RParen || clause
}

/// `JSON_OBJECTAGG([KEY] k VALUE v [NULL|ABSENT ON NULL]) [FILTER ..] [OVER ..]`
pub(super) fn object_aggregate(parser: &mut Parser<'_>, _: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let arguments = entry(parser)?;
    let behaviour = on_null(parser, "NULL")?;
    parser.expect_token(&Token::RParen)?;
    let name = if behaviour == "NULL" { "json_objectagg" } else { "json_objectagg_absent_on_null" };
    aggregate(parser, name, arguments.into())
}
