//! Type text to [`SqlType`]: a small recursive descent over words and punctuation.

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Fields, TimeUnit};
use tidemill_exec::{Error, Result};

use super::{COMMENT_KEY, INTERVAL, SqlType, array_of, digits, map_of, multiset_of, unit_of};

/// The type that Flink's `text` names, e.g. `DECIMAL(10, 3) NOT NULL`, ``ROW<`x` INT, y ARRAY<STRING>>``.
/// `time_zone` becomes the Arrow zone of `TIMESTAMP_LTZ`.
///
/// # Errors
/// An unknown type name (with the nearest known one), a length or precision out of range, text that goes on too long.
pub fn parse_type(text: &str, time_zone: &str) -> Result<SqlType> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens: &tokens, at: 0, time_zone };
    let parsed = parser.data_type()?;
    match parser.tokens.get(parser.at) {
        None => Ok(parsed),
        Some(token) => Err(parser.wrong(format!("{} does not belong to a type", token.show()))),
    }
}

/// Every name a type may start with, for "did you mean".
const NAMES: &[&str] = &[
    "ARRAY",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BYTES",
    "CHAR",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTEGER",
    "INTERVAL",
    "MAP",
    "MULTISET",
    "NUMERIC",
    "ROW",
    "SMALLINT",
    "STRING",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "VARBINARY",
    "VARCHAR",
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// In backquotes.
    Quoted(String),
    /// In single quotes.
    Text(String),
    Symbol(char),
}

impl Token {
    fn show(&self) -> String {
        match self {
            Token::Word(word) => word.clone(),
            Token::Quoted(name) => format!("`{name}`"),
            Token::Text(text) => format!("'{text}'"),
            Token::Symbol(symbol) => symbol.to_string(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        if c.is_whitespace() {
            chars.next();
        } else if c == '`' || c == '\'' {
            chars.next();
            let mut inner = String::new();
            loop {
                match chars.next() {
                    // A quote inside is written twice.
                    Some(next) if next == c && chars.peek() == Some(&c) => {
                        chars.next();
                        inner.push(c);
                    }
                    Some(next) if next == c => break,
                    Some(next) => inner.push(next),
                    None => return Err(Error::new(format!("type {text:?} ends inside a quote"))),
                }
            }
            tokens.push(if c == '`' { Token::Quoted(inner) } else { Token::Text(inner) });
        } else if c.is_alphanumeric() || c == '_' || c == '$' {
            let mut word = String::new();
            while let Some(&next) = chars.peek() {
                if !(next.is_alphanumeric() || next == '_' || next == '$') {
                    break;
                }
                word.push(next);
                chars.next();
            }
            tokens.push(Token::Word(word));
        } else {
            chars.next();
            tokens.push(Token::Symbol(c));
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    time_zone: &'a str,
}

impl Parser<'_> {
    /// A type, what is nullable about it, and Flink's suffix form of arrays (`INT ARRAY`).
    fn data_type(&mut self) -> Result<SqlType> {
        let mut parsed = self.base()?;
        loop {
            if self.words(&["NOT", "NULL"]) {
                parsed.nullable = false;
            } else if self.words(&["NULL"]) {
                parsed.nullable = true;
            } else if self.words(&["ARRAY"]) {
                parsed = SqlType::new(array_of(&parsed), true);
            } else if self.words(&["MULTISET"]) {
                parsed = multiset_of(&parsed);
            } else {
                return Ok(parsed);
            }
        }
    }

    fn base(&mut self) -> Result<SqlType> {
        let name = match self.tokens.get(self.at) {
            Some(Token::Word(word)) => word.clone(),
            Some(other) => return Err(self.wrong(format!("{} stands where a type was expected", other.show()))),
            None => return Err(self.wrong("a type was expected at the end".to_string())),
        };
        self.at += 1;
        let plain = |data_type| Ok(SqlType::new(data_type, true));
        match name.to_ascii_uppercase().as_str() {
            "BOOLEAN" => plain(DataType::Boolean),
            "TINYINT" => plain(DataType::Int8),
            "SMALLINT" => plain(DataType::Int16),
            "INT" | "INTEGER" => plain(DataType::Int32),
            "BIGINT" => plain(DataType::Int64),
            "FLOAT" => plain(DataType::Float32),
            "DOUBLE" => {
                self.words(&["PRECISION"]);
                plain(DataType::Float64)
            }
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal(),
            "STRING" => plain(DataType::Utf8),
            "BYTES" => plain(DataType::Binary),
            "CHAR" => self.sized(DataType::Utf8, "CHAR"),
            "VARCHAR" => self.sized(DataType::Utf8, "VARCHAR"),
            "BINARY" => self.sized(DataType::Binary, "BINARY"),
            "VARBINARY" => self.sized(DataType::Binary, "VARBINARY"),
            "DATE" => plain(DataType::Date32),
            "TIME" => self.time(),
            "TIMESTAMP" => self.timestamp(false),
            "TIMESTAMP_LTZ" => self.timestamp(true),
            "INTERVAL" => self.interval(),
            "NULL" => plain(DataType::Null),
            "ARRAY" => {
                self.open("ARRAY")?;
                let item = self.data_type()?;
                self.close()?;
                plain(array_of(&item))
            }
            "MULTISET" => {
                self.open("MULTISET")?;
                let item = self.data_type()?;
                self.close()?;
                Ok(multiset_of(&item))
            }
            "MAP" => {
                self.open("MAP")?;
                let key = self.data_type()?;
                self.expect(',')?;
                let value = self.data_type()?;
                self.close()?;
                plain(map_of(&key, &value))
            }
            "ROW" => self.row(),
            _ => Err(Error::new(format!("type {name} is unknown")).nearest(&name, NAMES.iter().copied())),
        }
    }

    fn decimal(&mut self) -> Result<SqlType> {
        let (precision, scale) = match self.numbers()?.as_slice() {
            [] => (10, 0),
            [precision] => (*precision, 0),
            [precision, scale] => (*precision, *scale),
            _ => return Err(self.wrong("DECIMAL takes a precision and a scale".to_string())),
        };
        if precision == 0 || precision > DECIMAL128_MAX_PRECISION as usize || scale > precision {
            return Err(Error::new(format!("DECIMAL({precision}, {scale}) is out of range"))
                .why("the precision is 1 to 38 digits, of which 0 to all are behind the point"));
        }
        Ok(SqlType::new(DataType::Decimal128(precision as u8, scale as i8), true))
    }

    /// `CHAR`, `CHAR(n)` and friends; the longest variable length is the same as having none.
    fn sized(&mut self, data_type: DataType, name: &str) -> Result<SqlType> {
        let length = match self.numbers()?.as_slice() {
            [] => 1,
            [length] => *length,
            _ => return Err(self.wrong(format!("{name} takes one length"))),
        };
        if length == 0 {
            return Err(self.wrong(format!("the length of {name} is at least 1")));
        }
        let plain = SqlType::new(data_type, true);
        if name.starts_with("VAR") && length >= i32::MAX as usize {
            return Ok(plain);
        }
        Ok(plain.with_text(format!("{name}({length})")))
    }

    fn time(&mut self) -> Result<SqlType> {
        let precision = self.precision(0)?;
        self.words(&["WITHOUT", "TIME", "ZONE"]);
        let plain = SqlType::new(DataType::Time32(TimeUnit::Millisecond), true);
        Ok(if precision == 0 { plain } else { plain.with_text(format!("TIME({precision})")) })
    }

    fn timestamp(&mut self, local: bool) -> Result<SqlType> {
        let precision = self.precision(6)?;
        let local = local || self.words(&["WITH", "LOCAL", "TIME", "ZONE"]);
        if !local && self.words(&["WITH", "TIME", "ZONE"]) {
            return Err(Error::new("type TIMESTAMP WITH TIME ZONE does not exist")
                .why("no value carries a zone of its own")
                .fix("write TIMESTAMP_LTZ(3) for a moment shown in the session's time zone, or TIMESTAMP(3)"));
        }
        if !local {
            self.words(&["WITHOUT", "TIME", "ZONE"]);
        }
        let unit = unit_of(precision);
        let canonical = digits(&unit) == precision;
        let zone = local.then(|| Arc::from(self.time_zone));
        let plain = SqlType::new(DataType::Timestamp(unit, zone), true);
        if canonical {
            return Ok(plain);
        }
        let name = if local { "TIMESTAMP_LTZ" } else { "TIMESTAMP" };
        Ok(plain.with_text(format!("{name}({precision})")))
    }

    /// `INTERVAL DAY(2) TO SECOND(3)`: the qualifier matters for printing only, so it is kept as it is written.
    fn interval(&mut self) -> Result<SqlType> {
        let mut text = "INTERVAL".to_string();
        loop {
            let unit = match self.tokens.get(self.at) {
                Some(Token::Word(word)) => word.to_ascii_uppercase(),
                _ => return Err(self.wrong("INTERVAL needs a unit, e.g. INTERVAL DAY TO SECOND(3)".to_string())),
            };
            if !["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"].contains(&unit.as_str()) {
                return Err(Error::new(format!("unit {unit} of INTERVAL is unknown"))
                    .nearest(&unit, ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"]));
            }
            self.at += 1;
            text.push(' ');
            text.push_str(&unit);
            if let Some(digits) = self.numbers()?.first() {
                text.push_str(&format!("({digits})"));
            }
            if !self.words(&["TO"]) {
                return Ok(SqlType::new(INTERVAL, true).with_text(text));
            }
            text.push_str(" TO");
        }
    }

    /// `ROW<a INT, b STRING 'comment'>` or with parentheses; fields without a name are `f0`, `f1`, ...
    fn row(&mut self) -> Result<SqlType> {
        let close = if self.symbol('(') {
            ')'
        } else {
            self.expect('<')?;
            '>'
        };
        let mut fields = Vec::new();
        while !self.symbol(close) {
            if !fields.is_empty() {
                self.expect(',')?;
            }
            let named = matches!(
                (self.tokens.get(self.at), self.tokens.get(self.at + 1)),
                (Some(Token::Quoted(_)), _) | (Some(Token::Word(_)), Some(Token::Word(_)))
            ) && !self.starts_type_alone();
            let name = match self.tokens.get(self.at) {
                Some(Token::Quoted(name) | Token::Word(name)) if named => {
                    self.at += 1;
                    name.clone()
                }
                _ => format!("f{}", fields.len()),
            };
            let mut field = self.data_type()?;
            self.words(&["COMMENT"]);
            if let Some(Token::Text(comment)) = self.tokens.get(self.at) {
                field.metadata.insert(COMMENT_KEY.to_string(), comment.clone());
                self.at += 1;
            }
            fields.push(field.field(name));
        }
        Ok(SqlType::new(DataType::Struct(Fields::from(fields)), true))
    }

    /// Two words that are one type, as in `ROW<DOUBLE PRECISION>` or `ROW<INT NOT NULL>`, not a name and a type.
    fn starts_type_alone(&self) -> bool {
        let word = |at: usize| match self.tokens.get(at) {
            Some(Token::Word(word)) => word.to_ascii_uppercase(),
            _ => String::new(),
        };
        matches!(
            (word(self.at).as_str(), word(self.at + 1).as_str()),
            (_, "NOT" | "NULL" | "PRECISION" | "COMMENT" | "WITH" | "WITHOUT")
                | ("INTERVAL", "YEAR" | "MONTH" | "DAY" | "HOUR" | "MINUTE" | "SECOND")
        )
    }

    fn precision(&mut self, default: u8) -> Result<u8> {
        match self.numbers()?.as_slice() {
            [] => Ok(default),
            [precision @ 0..=9] => Ok(*precision as u8),
            _ => Err(self.wrong("the precision of a time is 0 to 9 digits".to_string())),
        }
    }

    /// `(1, 2)`, or nothing.
    fn numbers(&mut self) -> Result<Vec<usize>> {
        let mut numbers = Vec::new();
        if !self.symbol('(') {
            return Ok(numbers);
        }
        loop {
            match self.tokens.get(self.at) {
                Some(Token::Word(word)) if word.parse::<usize>().is_ok() => {
                    numbers.extend(word.parse::<usize>());
                    self.at += 1;
                }
                _ => return Err(self.wrong("a number was expected in the parentheses".to_string())),
            }
            if self.symbol(')') {
                return Ok(numbers);
            }
            self.expect(',')?;
        }
    }

    /// Steps over `words` if all of them come next.
    fn words(&mut self, words: &[&str]) -> bool {
        let here = self.tokens.get(self.at..).unwrap_or_default();
        let found = here.len() >= words.len()
            && here
                .iter()
                .zip(words)
                .all(|(token, word)| matches!(token, Token::Word(next) if next.eq_ignore_ascii_case(word)));
        if found {
            self.at += words.len();
        }
        found
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = self.tokens.get(self.at) == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: char) -> Result<()> {
        if self.symbol(symbol) {
            return Ok(());
        }
        let found = self.tokens.get(self.at).map_or("the end".to_string(), Token::show);
        Err(self.wrong(format!("expected {symbol} but found {found}")))
    }

    fn open(&mut self, name: &str) -> Result<()> {
        if self.symbol('<') {
            return Ok(());
        }
        Err(self.wrong(format!("{name} needs the type of its elements, e.g. {name}<STRING>")))
    }

    fn close(&mut self) -> Result<()> {
        self.expect('>')
    }

    fn wrong(&self, why: String) -> Error {
        Error::new(format!("cannot read the type {}", self.text.trim())).why(why)
    }
}
