//! Hints: `/*+ OPTIONS('path' = 'x') */` behind a table, `/*+ STATE_TTL('a' = '1d') */` behind SELECT.
//!
//! sqlparser drops comments. So hints are taken out of the token stream, remembered by the token they follow, and
//! given to the table reference with that token after parsing: see `desugar`.

use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use tidemill_exec::{Error, Place, Result};

use super::flink::FlinkDialect;

/// One hint as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// In upper case: `OPTIONS`, `STATE_TTL`, `BROADCAST`.
    pub name: String,
    pub arguments: Vec<HintArgument>,
    pub place: Place,
}

/// `'key' = 'value'`, or just a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HintArgument {
    pub key: Option<String>,
    pub value: String,
}

impl Hint {
    /// The pairs of a hint that has such.
    ///
    /// # Errors
    /// An argument without a key.
    pub(super) fn options(&self) -> Result<Vec<(String, String)>> {
        self.arguments
            .iter()
            .map(|argument| {
                let key = argument.key.clone().ok_or_else(|| {
                    Error::new(format!("the {} hint does not say what gets '{}'", self.name, argument.value))
                        .fix(format!("write {}('key' = 'value')", self.name))
                        .at(self.place)
                })?;
                Ok((key, argument.value.clone()))
            })
            .collect()
    }
}

/// Reads what is between `/*+` and `*/`: hints with or without arguments, with or without commas between.
pub(super) fn read(text: &str, place: Place) -> Result<Vec<Hint>> {
    let unreadable = || {
        Error::new(format!("cannot read the hint \"{}\"", text.trim()))
            .fix("write /*+ NAME('key' = 'value', ...) */; a comment has no + behind /*")
            .at(place)
    };
    let tokens = Tokenizer::new(&FlinkDialect, text).tokenize().map_err(|_| unreadable())?;
    let mut tokens = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    let mut hints = Vec::new();
    while let Some(token) = tokens.next() {
        let name = match token {
            Token::Word(word) => word.value.to_ascii_uppercase(),
            Token::Comma => continue,
            _ => return Err(unreadable()),
        };
        let mut hint = Hint { name, arguments: Vec::new(), place };
        if tokens.next_if_eq(&Token::LParen).is_some() {
            let mut inside = Vec::new();
            let mut open = 1;
            loop {
                match tokens.next().ok_or_else(unreadable)? {
                    Token::LParen => open += 1,
                    Token::RParen if open == 1 => break,
                    Token::RParen => open -= 1,
                    token => inside.push(token),
                }
            }
            hint.arguments = arguments(&inside);
        }
        hints.push(hint);
    }
    Ok(hints)
}

fn arguments(tokens: &[Token]) -> Vec<HintArgument> {
    tokens
        .split(|token| *token == Token::Comma)
        .filter(|argument| !argument.is_empty())
        .map(|argument| match argument.iter().position(|token| *token == Token::Eq) {
            Some(equals) => {
                HintArgument { key: Some(joined(&argument[..equals])), value: joined(&argument[equals + 1..]) }
            }
            None => HintArgument { key: None, value: joined(argument) },
        })
        .collect()
}

fn joined(tokens: &[Token]) -> String {
    tokens
        .iter()
        .map(|token| match token {
            Token::SingleQuotedString(text) => text.clone(),
            Token::Word(word) => word.value.clone(),
            other => other.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { line: 1, column: 1, width: 1 };

    #[test]
    fn hints_are_read_with_their_arguments() {
        let hints = read(" OPTIONS('a'='1', b.c = 2), broadcast(t) NO_ARGUMENTS", PLACE).unwrap();
        let shown: Vec<String> = hints
            .iter()
            .map(|hint| {
                let arguments = hint.arguments.iter().map(|a| format!("{:?}={}", a.key.as_deref(), a.value));
                format!("{} {}", hint.name, arguments.collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(shown, ["OPTIONS Some(\"a\")=1 Some(\"b.c\")=2", "BROADCAST None=t", "NO_ARGUMENTS "]);
    }

    #[test]
    fn a_hint_that_is_none_is_refused() {
        assert!(read("just = words", PLACE).is_err());
        assert!(read("OPTIONS('a'='1'", PLACE).is_err());
    }
}
