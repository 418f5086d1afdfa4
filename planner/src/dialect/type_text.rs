//! Types are read here only far enough to know where they end; what they mean is decided where types are.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use tidemill_exec::Place;

use super::literal::unit;
use super::source::is_word;

/// A type as written, in one spelling: names of types in upper case, single blanks, `DECIMAL(5, 2)`, `` ROW<a INT, `b
/// c` STRING> ``.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeText {
    pub text: String,
    pub place: Place,
}

/// Reads a type and gives its text, without a `NOT NULL` behind it.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    let mut reader = Reader { parser, closed: false, depth: 0 };
    let text = reader.data_type()?;
    if reader.closed {
        return reader.parser.expected("a type with as many > as <", reader.parser.peek_token());
    }
    Ok(text)
}

struct Reader<'a, 'b> {
    parser: &'a mut Parser<'b>,
    /// `>>` was one token, and its second half is still to come.
    closed: bool,
    depth: usize,
}

impl Reader<'_, '_> {
    fn data_type(&mut self) -> Result<String, ParserError> {
        self.depth += 1;
        if self.depth > 30 {
            return Err(ParserError::RecursionLimitExceeded);
        }
        let mut text = self.plain_type()?;
        // The standard's own spelling of collections: INT ARRAY.
        while !self.closed {
            if self.word("ARRAY") {
                text.push_str(" ARRAY");
            } else if self.word("MULTISET") {
                text.push_str(" MULTISET");
            } else {
                break;
            }
        }
        self.depth -= 1;
        Ok(text)
    }

    fn plain_type(&mut self) -> Result<String, ParserError> {
        let token = self.parser.next_token();
        let Token::Word(word) = &token.token else {
            return self.parser.expected("a type", token);
        };
        if word.quote_style.is_some() {
            return self.parser.expected("a type", token);
        }
        let name = word.value.to_ascii_uppercase();
        let next = self.parser.peek_token();
        match (name.as_str(), &next.token) {
            ("ROW" | "STRUCTURED" | "MAP" | "ARRAY" | "MULTISET", Token::Lt | Token::Neq) | ("ROW", Token::LParen) => {
                self.nested(&name)
            }
            ("INTERVAL", _) => self.interval(),
            ("RAW", Token::LParen) => {
                self.parser.expect_token(&Token::LParen)?;
                let class = self.parser.parse_literal_string()?;
                self.parser.expect_token(&Token::Comma)?;
                let serializer = self.parser.parse_literal_string()?;
                self.parser.expect_token(&Token::RParen)?;
                Ok(format!("RAW({}, {})", quoted(&class), quoted(&serializer)))
            }
            _ => self.scalar(name),
        }
    }

    fn nested(&mut self, name: &str) -> Result<String, ParserError> {
        let round = self.parser.consume_token(&Token::LParen);
        if !round {
            if self.parser.consume_token(&Token::Neq) {
                return Ok(format!("{name}<>"));
            }
            self.parser.expect_token(&Token::Lt)?;
        }
        let mut parts = Vec::new();
        if !self.closes(round) {
            loop {
                parts.push(if name == "ROW" { self.field()? } else { self.element()? });
                if self.closed || !self.parser.consume_token(&Token::Comma) {
                    break;
                }
            }
            if !self.closes(round) {
                let expected = if round { "a comma or ) in the type" } else { "a comma or > in the type" };
                return self.parser.expected(expected, self.parser.peek_token());
            }
        }
        Ok(format!("{name}<{}>", parts.join(", ")))
    }

    fn closes(&mut self, round: bool) -> bool {
        if round {
            return self.parser.consume_token(&Token::RParen);
        }
        if self.closed {
            self.closed = false;
            return true;
        }
        if self.parser.consume_token(&Token::ShiftRight) {
            self.closed = true;
            return true;
        }
        self.parser.consume_token(&Token::Gt)
    }

    fn field(&mut self) -> Result<String, ParserError> {
        let name = self.parser.parse_identifier()?;
        let element = self.element()?;
        let comment = match &self.parser.peek_token().token {
            Token::SingleQuotedString(comment) if !self.closed => format!(" {}", quoted(comment)),
            _ => String::new(),
        };
        if !comment.is_empty() {
            self.parser.next_token();
        }
        let name = match name.quote_style {
            Some(_) => format!("`{}`", name.value.replace('`', "``")),
            None => name.value,
        };
        Ok(format!("{name} {element}{comment}"))
    }

    /// A type with `NOT NULL` or `NULL` behind it, or a string as in `STRUCTURED<'Name', ..>`.
    fn element(&mut self) -> Result<String, ParserError> {
        if let Token::SingleQuotedString(class) = self.parser.peek_token().token {
            self.parser.next_token();
            return Ok(quoted(&class));
        }
        let mut text = self.data_type()?;
        if !self.closed {
            if self.parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) {
                text.push_str(" NOT NULL");
            } else {
                let _ = self.parser.parse_keyword(Keyword::NULL);
            }
        }
        Ok(text)
    }

    fn interval(&mut self) -> Result<String, ParserError> {
        let mut text = format!("INTERVAL {}", self.interval_unit()?);
        if self.word("TO") {
            text = format!("{text} TO {}", self.interval_unit()?);
        }
        Ok(text)
    }

    fn interval_unit(&mut self) -> Result<String, ParserError> {
        let token = self.parser.next_token();
        let name = match &token.token {
            Token::Word(word) => unit(&word.value),
            _ => None,
        };
        match name {
            Some(name) => Ok(format!("{name}{}", self.numbers()?)),
            None => self.parser.expected("YEAR, MONTH, DAY, HOUR, MINUTE or SECOND", token),
        }
    }

    fn scalar(&mut self, mut name: String) -> Result<String, ParserError> {
        match name.as_str() {
            "DOUBLE" if self.word("PRECISION") => return Ok(name),
            "CHARACTER" | "CHAR" | "BINARY" if self.word("VARYING") => {
                name = if name == "BINARY" { "VARBINARY" } else { "VARCHAR" }.to_string();
            }
            _ => {}
        }
        while self.parser.consume_token(&Token::Period) {
            name = format!("{name}.{}", self.parser.parse_identifier()?);
        }
        let numbers = self.numbers()?;
        if name == "TIMESTAMP" || name == "TIME" {
            let next = self.parser.peek_nth_token_ref(1).token.clone();
            let zone = is_word(&next, "TIME") || is_word(&next, "LOCAL");
            if zone && self.word("WITHOUT") {
                self.time_zone()?;
            } else if zone && self.word("WITH") {
                let local = if self.word("LOCAL") { " LOCAL" } else { "" };
                self.time_zone()?;
                return Ok(format!("{name}{numbers} WITH{local} TIME ZONE"));
            }
        }
        Ok(format!("{name}{numbers}"))
    }

    fn time_zone(&mut self) -> Result<(), ParserError> {
        self.parser.expect_keyword_is(Keyword::TIME)?;
        self.parser.expect_keyword_is(Keyword::ZONE)
    }

    /// `(10, 2)`, or nothing.
    fn numbers(&mut self) -> Result<String, ParserError> {
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(String::new());
        }
        let mut numbers = vec![self.parser.parse_literal_uint()?.to_string()];
        while self.parser.consume_token(&Token::Comma) {
            numbers.push(self.parser.parse_literal_uint()?.to_string());
        }
        self.parser.expect_token(&Token::RParen)?;
        Ok(format!("({})", numbers.join(", ")))
    }

    fn word(&mut self, word: &str) -> bool {
        let found = is_word(&self.parser.peek_token_ref().token, word);
        if found {
            self.parser.advance_token();
        }
        found
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
