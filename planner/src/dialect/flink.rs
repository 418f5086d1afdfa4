//! Flink's dialect for sqlparser: what it may accept, and the expressions it could not parse by itself.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence};
use datafusion::sql::sqlparser::keywords::{self, Keyword};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::forms;
use super::reserved::is_reserved;

/// Flink SQL. Names keep their case, backticks quote them, texts are in `'` with `''` for a quote and no backslash
/// escapes.
#[derive(Debug)]
pub struct FlinkDialect;

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_eq_operator(&self) -> bool {
        // `f(a = b)` is a comparison.
        false
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn is_column_alias(&self, keyword: &Keyword, _parser: &mut Parser) -> bool {
        !keywords::RESERVED_FOR_COLUMN_ALIAS.contains(keyword) && !is_reserved(&format!("{keyword:?}"))
    }

    fn is_table_alias(&self, keyword: &Keyword, _parser: &mut Parser) -> bool {
        !keywords::RESERVED_FOR_TABLE_ALIAS.contains(keyword) && !is_reserved(&format!("{keyword:?}"))
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        forms::prefix(parser)
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        forms::infix(parser, expr, precedence)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        match &parser.peek_token_ref().token {
            // `JSON_OBJECT('k' : v)`; there is no `:` operator.
            Token::Colon => Some(Ok(self.prec_unknown())),
            // `DIV` and `OPERATOR` are names to Flink.
            Token::Word(word)
                if matches!(word.keyword, Keyword::DIV | Keyword::OPERATOR | Keyword::MATCH | Keyword::XOR) =>
            {
                Some(Ok(self.prec_unknown()))
            }
            Token::Word(word) if word.keyword == Keyword::NOT => {
                // `NOT NULL` behind an expression is a constraint, never an operator.
                matches!(&parser.peek_nth_token_ref(1).token, Token::Word(next) if next.keyword == Keyword::NULL)
                    .then(|| Ok(self.prec_unknown()))
            }
            _ => None,
        }
    }
}

/// How tightly the operators bind that [`forms`] parses.
pub(super) fn precedence(of: Precedence) -> u8 {
    FlinkDialect.prec_value(of)
}
