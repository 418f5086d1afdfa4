//! Expressions with a grammar of their own, turned into ordinary function calls. The table of them is in the
//! documentation of [`super`].
//!
//! Every word that begins an expression passes through here and is decided at once. sqlparser by itself would try one
//! reading after the other, which for nested mistakes takes exponential time and loses the place of the mistake.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArguments, ObjectName, UnaryOperator, Value, WindowType,
};
use datafusion::sql::sqlparser::dialect::Precedence;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::flink::precedence;
use super::literal::{Interval, temporal, unit};
use super::marker::{self, call, text};
use super::report::explained;
use super::reserved::{is_reserved, is_structure};
use super::source::is_word;
use super::{json, type_text};

pub(super) type Parsed<T = Expr> = Result<T, ParserError>;

/// An expression that begins with a word; `None` for those that begin with anything else, which sqlparser knows.
pub(super) fn prefix(parser: &mut Parser<'_>) -> Option<Parsed> {
    let token = parser.peek_token();
    match &token.token {
        Token::Word(word) if word.quote_style.is_some() => Some(name_or_call(parser)),
        Token::Word(word) => {
            let upper = word.value.to_ascii_uppercase();
            Some(special(parser, &upper).unwrap_or_else(|| plain_word(parser, &upper, &token)))
        }
        _ => None,
    }
}

/// The expressions whose first word says that they are special; `None` for all others.
fn special(parser: &mut Parser<'_>, word: &str) -> Option<Parsed> {
    let next = parser.peek_nth_token_ref(1).token.clone();
    let opened = next == Token::LParen;
    let form: fn(&mut Parser<'_>, &str) -> Parsed = match word {
        "NULL" | "TRUE" | "FALSE" => return Some(parser.parse_value().map(Expr::Value)),
        "UNKNOWN" => {
            |_, _| Ok(call("__cast", vec![Expr::Value(Value::Null.with_span(Span::empty())), text("BOOLEAN")]))
        }
        "CASE" => |parser, _| parser.parse_case_expr(),
        "NOT" => not,
        "EXISTS" if opened => |parser, _| parser.parse_exists_expr(false),
        "INTERVAL" => interval,
        "DATE" | "TIME" | "TIMESTAMP" | "TIMESTAMP_LTZ" if is_text(&next) || is_word(&next, "WITH") => date_or_time,
        "CURRENT_TIMESTAMP"
        | "CURRENT_DATE"
        | "CURRENT_TIME"
        | "LOCALTIME"
        | "LOCALTIMESTAMP"
        | "CURRENT_ROW_TIMESTAMP"
        | "CURRENT_DATABASE"
        | "CURRENT_USER" => without_parentheses,
        "CAST" if opened => |parser, _| cast(parser, "__cast"),
        "TRY_CAST" | "SAFE_CAST" if opened => |parser, _| cast(parser, "__try_cast"),
        "ARRAY" if next == Token::LBracket => {
            |parser, _| elements(parser, "__array", &Token::LBracket, &Token::RBracket)
        }
        "MAP" if next == Token::LBracket => map,
        "ROW" if opened => |parser, _| elements(parser, "__row", &Token::LParen, &Token::RParen),
        "EXTRACT" if opened => extract,
        "CEIL" | "CEILING" | "FLOOR" if opened => ceil_or_floor,
        "OVERLAY" if opened => overlay,
        "POSITION" if opened => position,
        "SUBSTRING" | "SUBSTR" if opened => substring,
        "TRIM" if opened => trim,
        "TIMESTAMPADD" | "TIMESTAMPDIFF" if opened => timestamp_arithmetic,
        "TABLE" if matches!(next, Token::Word(_) | Token::LParen) => table,
        "JSON_VALUE" if opened => json::value,
        "JSON_QUERY" if opened => json::query,
        "JSON_EXISTS" if opened => json::exists,
        "JSON_OBJECT" if opened => json::object,
        "JSON_ARRAY" if opened => json::array,
        "JSON_OBJECTAGG" if opened => json::object_aggregate,
        _ => return None,
    };
    parser.advance_token();
    Some(form(parser, word))
}

fn plain_word(parser: &mut Parser<'_>, word: &str, token: &TokenWithSpan) -> Parsed {
    if parser.peek_nth_token_ref(1).token == Token::LParen && !is_structure(word) {
        return name_or_call(parser);
    }
    if is_structure(word) {
        return parser.expected("an expression", token.clone());
    }
    if is_reserved(word) {
        return Err(reserved(token));
    }
    name_or_call(parser)
}

/// A reserved word where a name should be.
pub(super) fn reserved(token: &TokenWithSpan) -> ParserError {
    let word = token.token.to_string();
    explained(
        token,
        format!("\"{word}\" is a reserved word and cannot be a name as it is"),
        "",
        format!("quote it with backticks: `{word}`"),
    )
}

fn name_or_call(parser: &mut Parser<'_>) -> Parsed {
    let name = parser.parse_identifier()?;
    if parser.peek_token_ref().token == Token::LParen {
        return parser.parse_function(ObjectName::from(vec![name]));
    }
    Ok(Expr::Identifier(name))
}

/// `a IS JSON`, `a IS DISTINCT FROM b`, `a BETWEEN SYMMETRIC b AND c`, `a::INT`; `None` for what sqlparser parses well.
pub(super) fn infix(parser: &mut Parser<'_>, left: &Expr, outer: u8) -> Option<Parsed> {
    let word = |nth: usize, expected: &str| is_word(&parser.peek_nth_token_ref(nth).token, expected);
    if parser.peek_token_ref().token == Token::DoubleColon {
        parser.advance_token();
        return Some(type_text::parse(parser).map(|kind| call("__cast", vec![left.clone(), text(kind)])));
    }
    let after_not = |at: usize| at + usize::from(word(at, "NOT"));
    if word(0, "IS") {
        let negated = word(1, "NOT");
        let at = after_not(1);
        if word(at, "JSON") {
            skip(parser, at + 1);
            let kind =
                ["VALUE", "SCALAR", "ARRAY", "OBJECT"].into_iter().find(|kind| take(parser, kind)).unwrap_or("VALUE");
            return Some(Ok(negated_if(negated, call("__is_json", vec![left.clone(), text(kind)]))));
        }
        if word(at, "DISTINCT") && word(at + 1, "FROM") {
            skip(parser, at + 2);
            return Some(parser.parse_subexpr(outer).map(|right| {
                let (left, right) = (Box::new(left.clone()), Box::new(right));
                if negated { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) }
            }));
        }
        return None;
    }
    let at = after_not(0);
    if word(at, "BETWEEN") && (word(at + 1, "SYMMETRIC") || word(at + 1, "ASYMMETRIC")) {
        let (negated, symmetric) = (at == 1, word(at + 1, "SYMMETRIC"));
        skip(parser, at + 2);
        return Some(between(parser, left, negated, symmetric));
    }
    None
}

fn between(parser: &mut Parser<'_>, left: &Expr, negated: bool, symmetric: bool) -> Parsed {
    let low = parser.parse_subexpr(precedence(Precedence::Between))?;
    parser.expect_keyword_is(Keyword::AND)?;
    let high = parser.parse_subexpr(precedence(Precedence::Between))?;
    let range = |low: &Expr, high: &Expr, negated: bool| Expr::Between {
        expr: Box::new(left.clone()),
        negated,
        low: Box::new(low.clone()),
        high: Box::new(high.clone()),
    };
    if !symmetric {
        return Ok(range(&low, &high, negated));
    }
    let either = Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(range(&low, &high, false)),
        op: BinaryOperator::Or,
        right: Box::new(range(&high, &low, false)),
    }));
    Ok(negated_if(negated, either))
}

pub(super) fn negated_if(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) } } else { expr }
}

fn not(parser: &mut Parser<'_>, _: &str) -> Parsed {
    if parser.parse_keyword(Keyword::EXISTS) {
        return parser.parse_exists_expr(true);
    }
    let expr = parser.parse_subexpr(precedence(Precedence::UnaryNot))?;
    Ok(negated_if(true, expr))
}

/// `INTERVAL [+|-] '1 2:3:4' DAY TO SECOND(3)`, behind the word INTERVAL.
fn interval(parser: &mut Parser<'_>, _: &str) -> Parsed {
    let negative = parser.consume_token(&Token::Minus);
    let _ = parser.consume_token(&Token::Plus);
    let token = parser.next_token();
    let value = match &token.token {
        Token::SingleQuotedString(value) => value.clone(),
        Token::Number(value, _) => value.clone(),
        _ => return parser.expected("a text such as '5' behind INTERVAL", token),
    };
    let from = interval_unit(parser, &token)?;
    let to = if take(parser, "TO") { Some(interval_unit(parser, &token)?) } else { None };
    let Some(parsed) = Interval::parse(&value, from, to) else {
        let range = to.map_or_else(|| from.to_string(), |to| format!("{from} TO {to}"));
        let example = match (from, to) {
            (_, None) => "'5'",
            ("YEAR", _) => "'1-6'",
            ("DAY", Some("SECOND")) => "'1 12:30:00'",
            ("DAY", Some("MINUTE")) => "'1 12:30'",
            ("DAY", _) => "'1 12'",
            ("HOUR", Some("SECOND")) => "'12:30:00'",
            _ => "'12:30'",
        };
        return Err(explained(
            &token,
            format!("'{value}' is not an interval of {range}"),
            "",
            format!("write INTERVAL {example} {range}"),
        ));
    };
    let literal = parsed.to_expr();
    Ok(if negative { Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(literal) } } else { literal })
}

fn interval_unit(parser: &mut Parser<'_>, value: &TokenWithSpan) -> Parsed<&'static str> {
    let found = match &parser.peek_token_ref().token {
        Token::Word(word) => unit(&word.value),
        _ => None,
    };
    let Some(name) = found else {
        // Other databases have the unit inside of the quotes.
        let text = value.token.to_string().replace('\'', "");
        let mut words = text.split_whitespace();
        let amount = words.next().unwrap_or("5");
        let name = words.next().and_then(unit).unwrap_or("SECOND");
        return Err(explained(
            value,
            format!("the interval '{text}' has no unit of time behind it"),
            "",
            format!("write INTERVAL '{amount}' {name}"),
        ));
    };
    parser.advance_token();
    if parser.consume_token(&Token::LParen) {
        parser.parse_comma_separated(Parser::parse_literal_uint)?;
        parser.expect_token(&Token::RParen)?;
    }
    Ok(name)
}

/// `DATE '2020-12-31'`, behind the word.
fn date_or_time(parser: &mut Parser<'_>, word: &str) -> Parsed {
    let mut kind = word;
    if take(parser, "WITH") {
        for expected in ["LOCAL", "TIME", "ZONE"] {
            expect(parser, expected)?;
        }
        kind = "TIMESTAMP_LTZ";
    }
    let token = parser.next_token();
    let Token::SingleQuotedString(value) = &token.token else {
        return parser.expected("a text", token);
    };
    temporal(kind, value)
        .map_err(|expected| explained(&token, format!("'{value}' is not a {word}"), "", format!("write {expected}")))
}

fn without_parentheses(parser: &mut Parser<'_>, word: &str) -> Parsed {
    if parser.consume_token(&Token::LParen) {
        // A precision, which Flink ignores, or nothing.
        if parser.peek_token_ref().token != Token::RParen {
            parser.parse_literal_uint()?;
        }
        parser.expect_token(&Token::RParen)?;
    }
    Ok(call(&word.to_ascii_lowercase(), Vec::new()))
}

fn cast(parser: &mut Parser<'_>, function: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    parser.expect_keyword_is(Keyword::AS)?;
    let kind = type_text::parse(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(call(function, vec![expr, text(kind)]))
}

fn elements(parser: &mut Parser<'_>, function: &str, open: &Token, close: &Token) -> Parsed {
    parser.expect_token(open)?;
    let mut elements = Vec::new();
    if !parser.consume_token(close) {
        elements = parser.parse_comma_separated(Parser::parse_expr)?;
        parser.expect_token(close)?;
    }
    Ok(call(function, elements))
}

fn map(parser: &mut Parser<'_>, _: &str) -> Parsed {
    let opening = parser.peek_token();
    let map = elements(parser, "__map", &Token::LBracket, &Token::RBracket)?;
    match marker::as_call(&map) {
        Some((_, entries)) if entries.len() % 2 == 1 => Err(explained(
            &opening,
            "the last key of the MAP has no value".to_string(),
            "keys and values alternate",
            "write MAP['key1', value1, 'key2', value2]".to_string(),
        )),
        _ => Ok(map),
    }
}

fn extract(parser: &mut Parser<'_>, _: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let field = unit_name(parser)?;
    parser.expect_keyword_is(Keyword::FROM)?;
    let expr = parser.parse_expr()?;
    parser.expect_token(&Token::RParen)?;
    Ok(call("__extract", vec![field, expr]))
}

/// A unit of time as a text, in upper case: DAY, but also EPOCH and DOW. Whether it fits is up to the function.
fn unit_name(parser: &mut Parser<'_>) -> Parsed {
    let token = parser.next_token();
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => {
            let upper = word.value.to_ascii_uppercase();
            Ok(text(unit(&upper).map_or(upper.as_str(), |singular| singular).trim_start_matches("SQL_TSI_")))
        }
        _ => parser.expected("a unit of time such as DAY", token),
    }
}

fn ceil_or_floor(parser: &mut Parser<'_>, word: &str) -> Parsed {
    let function = if word == "FLOOR" { "floor" } else { "ceil" };
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    let expr = if take(parser, "TO") {
        call(&format!("{function}_to"), vec![expr, unit_name(parser)?])
    } else {
        call(function, vec![expr])
    };
    parser.expect_token(&Token::RParen)?;
    Ok(expr)
}

fn overlay(parser: &mut Parser<'_>, _: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let mut arguments = vec![parser.parse_expr()?];
    let separators: [&str; 3] = ["PLACING", "FROM", "FOR"];
    for separator in separators {
        if !(take(parser, separator) || parser.consume_token(&Token::Comma)) {
            break;
        }
        arguments.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call("overlay", arguments))
}

fn position(parser: &mut Parser<'_>, _: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    // IN separates here, so it must not be taken for the operator.
    let mut arguments = vec![parser.parse_subexpr(precedence(Precedence::Between))?];
    parser.expect_keyword_is(Keyword::IN)?;
    arguments.push(parser.parse_expr()?);
    if take(parser, "FROM") {
        arguments.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call("position", arguments))
}

fn substring(parser: &mut Parser<'_>, word: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let mut arguments = vec![parser.parse_expr()?];
    for separator in ["FROM", "FOR"] {
        if take(parser, separator) || parser.consume_token(&Token::Comma) {
            arguments.push(parser.parse_expr()?);
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(&word.to_ascii_lowercase(), arguments))
}

fn trim(parser: &mut Parser<'_>, _: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let side = ["LEADING", "TRAILING", "BOTH"].into_iter().find(|side| take(parser, side));
    let mut what = text(" ");
    let mut expr = if take(parser, "FROM") {
        parser.parse_expr()?
    } else {
        let first = parser.parse_expr()?;
        if take(parser, "FROM") {
            what = first;
            parser.parse_expr()?
        } else {
            first
        }
    };
    if parser.consume_token(&Token::Comma) {
        what = std::mem::replace(&mut expr, parser.parse_expr()?);
        std::mem::swap(&mut what, &mut expr);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call("__trim", vec![text(side.unwrap_or("BOTH")), expr, what]))
}

fn timestamp_arithmetic(parser: &mut Parser<'_>, word: &str) -> Parsed {
    parser.expect_token(&Token::LParen)?;
    let mut arguments = vec![unit_name(parser)?];
    for _ in 0..2 {
        parser.expect_token(&Token::Comma)?;
        arguments.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(&word.to_ascii_lowercase(), arguments))
}

/// `TABLE name [PARTITION BY a | (a, b)] [ORDER BY a | (a, b)]`, or a query in parentheses for the name, behind the word TABLE.
fn table(parser: &mut Parser<'_>, _: &str) -> Parsed {
    let rows = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query()?;
        parser.expect_token(&Token::RParen)?;
        Expr::Subquery(query)
    } else {
        let mut parts = vec![parser.parse_identifier()?];
        while parser.consume_token(&Token::Period) {
            parts.push(parser.parse_identifier()?);
        }
        if parts.len() == 1 { Expr::Identifier(parts.remove(0)) } else { Expr::CompoundIdentifier(parts) }
    };
    let mut arguments = vec![rows];
    if parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY]) {
        arguments.push(call(marker::PARTITION_BY, columns(parser)?));
    }
    if parser.parse_keywords(&[Keyword::ORDER, Keyword::BY]) {
        arguments.push(call(marker::ORDER_BY, columns(parser)?));
        let _ = parser.parse_keyword(Keyword::ASC);
    }
    Ok(call(marker::TABLE, arguments))
}

fn columns(parser: &mut Parser<'_>) -> Parsed<Vec<Expr>> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(vec![Expr::Identifier(parser.parse_identifier()?)]);
    }
    let columns = parser.parse_comma_separated(Parser::parse_identifier)?;
    parser.expect_token(&Token::RParen)?;
    Ok(columns.into_iter().map(Expr::Identifier).collect())
}

/// Gives a call what may stand behind an aggregate: `FILTER (WHERE ..)` and `OVER ..`.
pub(super) fn aggregate(parser: &mut Parser<'_>, name: &str, arguments: Vec<Expr>) -> Parsed {
    let Expr::Function(call) = call(name, arguments) else { unreachable!("call() builds a function") };
    let mut function: Function = call;
    debug_assert!(matches!(function.args, FunctionArguments::List(_)));
    if parser.parse_keyword(Keyword::FILTER) {
        parser.expect_token(&Token::LParen)?;
        parser.expect_keyword_is(Keyword::WHERE)?;
        function.filter = Some(Box::new(parser.parse_expr()?));
        parser.expect_token(&Token::RParen)?;
    }
    if parser.parse_keyword(Keyword::OVER) {
        function.over = Some(if parser.consume_token(&Token::LParen) {
            WindowType::WindowSpec(parser.parse_window_spec()?)
        } else {
            WindowType::NamedWindow(parser.parse_identifier()?)
        });
    }
    Ok(Expr::Function(function))
}

fn is_text(token: &Token) -> bool {
    matches!(token, Token::SingleQuotedString(_))
}

fn skip(parser: &mut Parser<'_>, tokens: usize) {
    for _ in 0..tokens {
        parser.advance_token();
    }
}

/// Takes the next token if it is this word.
pub(super) fn take(parser: &mut Parser<'_>, word: &str) -> bool {
    let found = is_word(&parser.peek_token_ref().token, word);
    if found {
        parser.advance_token();
    }
    found
}

pub(super) fn expect(parser: &mut Parser<'_>, word: &str) -> Parsed<()> {
    if take(parser, word) { Ok(()) } else { parser.expected(word, parser.peek_token()) }
}
