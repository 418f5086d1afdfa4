//! `'format' = 'csv'`: a line per record, fields by position, by Flink's rules.
//!
//! [`field`] knows where fields and records end; [`decode`] puts them into columns and applies the table's policy; [`encode`]
//! writes rows.

use crate::connect::{Decoder, Encoder, Format, OptionKind, OptionSpec, TableDefinition};
use crate::error::{Error, Result};

mod decode;
mod encode;
mod field;

#[cfg(test)]
mod tests;

pub struct Csv;

const FIELD_DELIMITER: &str = "csv.field-delimiter";
const DISABLE_QUOTE: &str = "csv.disable-quote-character";
const QUOTE: &str = "csv.quote-character";
const ALLOW_COMMENTS: &str = "csv.allow-comments";
const IGNORE_PARSE_ERRORS: &str = "csv.ignore-parse-errors";
const ARRAY_DELIMITER: &str = "csv.array-element-delimiter";
const ESCAPE: &str = "csv.escape-character";
const NULL_LITERAL: &str = "csv.null-literal";
const SCIENTIFIC_DECIMALS: &str = "csv.write-bigdecimal-in-scientific-notation";
const IGNORE_FIRST_LINE: &str = "csv.ignore-first-line";

static OPTIONS: &[OptionSpec] = &[
    OptionSpec::with_default(FIELD_DELIMITER, OptionKind::Text, ",", "what separates fields, such as ; or \\t"),
    OptionSpec::with_default(DISABLE_QUOTE, OptionKind::Boolean, "false", "quotes are characters like any other"),
    OptionSpec::with_default(QUOTE, OptionKind::Text, "\"", "encloses a field that contains delimiters"),
    OptionSpec::with_default(ALLOW_COMMENTS, OptionKind::Boolean, "false", "leave out lines that begin with #"),
    OptionSpec::with_default(
        IGNORE_PARSE_ERRORS,
        OptionKind::Boolean,
        "false",
        "leave out lines that cannot be read, and put NULL for values that do not fit",
    ),
    OptionSpec::with_default(ARRAY_DELIMITER, OptionKind::Text, ";", "what separates the elements of an ARRAY or ROW"),
    OptionSpec::optional(ESCAPE, OptionKind::Text, "makes the character after it an ordinary one"),
    OptionSpec::optional(NULL_LITERAL, OptionKind::Text, "the text that stands for NULL"),
    OptionSpec::with_default(SCIENTIFIC_DECIMALS, OptionKind::Boolean, "true", "write decimals as 1E+2 and not as 100"),
    OptionSpec::with_default(
        IGNORE_FIRST_LINE,
        OptionKind::Boolean,
        "false",
        "the first line of a file names the columns: leave it out",
    ),
];

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn decoder(&self, table: &TableDefinition, projection: &[usize]) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(decode::CsvDecoder::new(table, projection, Dialect::of(table)?)?))
    }

    fn encoder(&self, table: &TableDefinition) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(encode::CsvEncoder::new(table, Dialect::of(table)?)?))
    }
}

/// The characters that mean something.
#[derive(Clone, Debug)]
struct Dialect {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    /// Ends a record.
    end: u8,
    /// Between the elements of an array; never empty.
    array_delimiter: String,
    null: Option<String>,
}

impl Dialect {
    /// # Errors
    /// A delimiter, quote or escape is not one ASCII character, or two of them are the same.
    fn of(table: &TableDefinition) -> Result<Dialect> {
        let text = |name| table.options.text(OPTIONS, name);
        let one = |name| text(name).map(|value| one_character(table, name, value)).transpose();
        let quote = if table.options.boolean(OPTIONS, DISABLE_QUOTE) { None } else { one(QUOTE)? };
        let dialect = Dialect {
            delimiter: one(FIELD_DELIMITER)?.unwrap_or(b','),
            quote,
            escape: one(ESCAPE)?,
            end: table.options.get("byte-delimiter").and_then(|byte| byte.parse().ok()).unwrap_or(b'\n'),
            array_delimiter: text(ARRAY_DELIMITER).filter(|text| !text.is_empty()).unwrap_or(";").to_string(),
            null: text(NULL_LITERAL).map(str::to_string),
        };
        let twice = |name: &str, what| {
            Error::new(format!("option '{name}' of table {} is also the {what}", table.name))
                .why("a character can mean only one thing")
        };
        if dialect.quote == Some(dialect.delimiter) {
            return Err(twice(QUOTE, "field delimiter"));
        }
        if dialect.escape == Some(dialect.delimiter) {
            return Err(twice(ESCAPE, "field delimiter"));
        }
        Ok(dialect)
    }
}

/// One ASCII character, which may be written as in Java: `\t`, `\u0001`.
fn one_character(table: &TableDefinition, name: &str, value: &str) -> Result<u8> {
    let character = match value.as_bytes() {
        [byte] => Some(*byte),
        b"\\t" => Some(b'\t'),
        b"\\\\" => Some(b'\\'),
        b"\\\"" => Some(b'"'),
        b"\\'" => Some(b'\''),
        [b'\\', b'u', digits @ ..] if digits.len() == 4 => {
            std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
        }
        _ => None,
    };
    match character.filter(|byte| byte.is_ascii() && !matches!(byte, b'\n' | b'\r')) {
        Some(byte) => Ok(byte),
        None => Err(Error::new(format!("option '{name}' of table {} has the value '{value}'", table.name))
            .why("it must be one ASCII character, and no line break")
            .fix("write it as it is, or as \\t or \\u0001")),
    }
}
