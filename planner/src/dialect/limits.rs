//! Refuses, before parsing, the few shapes of text that would take sqlparser exponential time, or too much stack to
//! let go of again.

use datafusion::sql::sqlparser::tokenizer::Token;
use tidemill_exec::{Error, Result};

use super::source::{Source, is_word};

/// Operators in a row, as in `a + b + c`: each is one level of the syntax tree, which is dropped recursively.
const CHAIN: usize = 10_000;

/// sqlparser reads `((SELECT` in FROM first as a query in parentheses, then as a join in parentheses that begins with
/// a query; with n parentheses n times. Nested, and with a mistake inside, these multiply.
const READINGS: usize = 1_000;

pub(super) fn check(source: &Source) -> Result<()> {
    // Per open parenthesis: operators since the last comma, and how often its contents may be read.
    let mut open = vec![(0usize, 1usize)];
    let mut parentheses = 0;
    for (index, token) in source.tokens.iter().enumerate() {
        let too_much = |what: &str, fix: &str| Err(Error::new(what).fix(fix).at(source.place(index)));
        let (_, outer) = open.last().copied().unwrap_or((0, 1));
        match &token.token {
            Token::LParen => {
                parentheses += 1;
                open.push((0, outer));
                continue;
            }
            Token::LBracket => open.push((0, outer)),
            Token::RParen | Token::RBracket => {
                open.pop();
            }
            Token::Comma | Token::SemiColon => {
                if let Some((operators, _)) = open.last_mut() {
                    *operators = 0;
                }
            }
            token if parentheses > 1 && ["SELECT", "WITH", "VALUES"].iter().any(|word| is_word(token, word)) => {
                let readings = outer.saturating_mul(parentheses);
                if readings > READINGS {
                    return too_much(
                        "too many parentheses around nested queries",
                        "leave out those around a single query",
                    );
                }
                if let Some((_, own)) = open.last_mut() {
                    *own = readings;
                }
            }
            token if is_operator(token) => {
                if let Some((operators, _)) = open.last_mut() {
                    *operators += 1;
                    if *operators > CHAIN {
                        return too_much(
                            &format!("more than {CHAIN} operators in a row"),
                            "split the expression; for a long list of values write x IN (a, b, ...)",
                        );
                    }
                }
            }
            _ => {}
        }
        parentheses = 0;
    }
    Ok(())
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(_) => ["AND", "OR", "NOT", "IS", "LIKE", "BETWEEN", "IN"].iter().any(|word| is_word(token, word)),
        Token::Number(..) | Token::SingleQuotedString(_) | Token::HexStringLiteral(_) | Token::Period => false,
        _ => true,
    }
}
