//! Expressions as Flink prints them back: names in backticks, keywords and functions in upper case, single blanks.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::literal::unit;
use super::reserved::is_reserved;
use super::source::is_word;

/// The text of an expression that consists of these tokens.
pub(super) fn shown(tokens: &[TokenWithSpan]) -> String {
    let mut text = String::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| &tokens[index].token);
        if let Some(before) = before
            && !joined(before, &token.token)
        {
            text.push(' ');
        }
        match &token.token {
            Token::Word(word) if word.quote_style.is_none() => {
                let opens =
                    matches!(tokens.get(index + 1).map(|next| &next.token), Some(Token::LParen | Token::LBracket));
                text.push_str(&self::word(&word.value, opens, before));
            }
            Token::Word(word) => text.push_str(&backticked(&word.value)),
            Token::SingleQuotedString(value) => text.push_str(&format!("'{}'", value.replace('\'', "''"))),
            other => text.push_str(&other.to_string()),
        }
    }
    text
}

fn word(word: &str, opens: bool, before: Option<&Token>) -> String {
    let is_field = before == Some(&Token::Period);
    // `'5' MINUTES`, `TO SECOND`: the unit of an interval, which Flink prints in the singular.
    let measures =
        matches!(before, Some(Token::SingleQuotedString(_))) || before.is_some_and(|before| is_word(before, "TO"));
    match unit(word) {
        Some(unit) if measures => unit.to_string(),
        _ if !is_field && (is_reserved(word) || opens) => word.to_ascii_uppercase(),
        _ => backticked(word),
    }
}

fn backticked(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Whether two tokens stand next to each other without a blank.
fn joined(left: &Token, right: &Token) -> bool {
    const OPERATORS: [&str; 7] = ["IN", "AND", "OR", "NOT", "THEN", "WHEN", "ELSE"];
    let opens_call = matches!(left, Token::Word(_)) && !OPERATORS.iter().any(|operator| is_word(left, operator));
    matches!(left, Token::LParen | Token::LBracket | Token::Period | Token::DoubleColon)
        || matches!(
            right,
            Token::RParen | Token::RBracket | Token::LBracket | Token::Period | Token::Comma | Token::DoubleColon
        )
        || (*right == Token::LParen && opens_call)
}
