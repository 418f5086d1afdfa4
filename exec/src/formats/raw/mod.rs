//! `'format' = 'raw'`: the record is the value of the table's one column.

use arrow::datatypes::DataType;

use crate::connect::{Decoder, Encoder, Format, OptionKind, OptionSpec, TableDefinition};
use crate::error::{Error, Result};

mod decode;
mod encode;

#[cfg(test)]
mod tests;

pub struct Raw;

const CHARSET: &str = "raw.charset";
const ENDIANNESS: &str = "raw.endianness";
const LINE_DELIMITER: &str = "raw.line-delimiter";

static OPTIONS: &[OptionSpec] = &[
    OptionSpec::with_default(
        CHARSET,
        OptionKind::OneOf(&["UTF-8", "UTF8", "ISO-8859-1", "LATIN1", "US-ASCII", "ASCII"]),
        "UTF-8",
        "how texts are encoded",
    ),
    OptionSpec::with_default(
        ENDIANNESS,
        OptionKind::OneOf(&["big-endian", "little-endian"]),
        "big-endian",
        "which byte of a number comes first",
    ),
    OptionSpec::optional(LINE_DELIMITER, OptionKind::Text, "what ends a record; a line break if not given"),
];

impl Format for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn decoder(&self, table: &TableDefinition, projection: &[usize]) -> Result<Box<dyn Decoder>> {
        let layout = Layout::of(table)?;
        Ok(match layout.content {
            Content::Text => Box::new(decode::TextDecoder::new(table, projection, layout)),
            Content::Bytes => Box::new(decode::BytesDecoder::new(table, projection, layout)),
            Content::Fixed(width) => Box::new(decode::FixedDecoder::new(table, projection, layout, width)),
        })
    }

    fn encoder(&self, table: &TableDefinition) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(encode::RawEncoder::new(table, Layout::of(table)?)))
    }
}

/// What a record looks like.
#[derive(Clone, Debug)]
struct Layout {
    content: Content,
    /// Ends a record; never empty.
    delimiter: Vec<u8>,
    /// Texts are ISO-8859-1 (of which ASCII is a part), not UTF-8.
    latin: bool,
    little_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Text,
    Bytes,
    /// A number or a boolean, of so many bytes.
    Fixed(usize),
}

impl Layout {
    /// # Errors
    /// The table has more or less than one physical column, or one that is no text, no bytes and no number.
    fn of(table: &TableDefinition) -> Result<Layout> {
        let [column] = table.physical()[..] else {
            return Err(Error::new(format!("table {} has {} columns", table.name, table.physical().len()))
                .why("'format' = 'raw' reads a record as one value")
                .fix("keep one column, or use 'format' = 'csv' or 'json'"));
        };
        let field = table.schema.field(column);
        let content = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Content::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Content::Bytes,
            DataType::Boolean | DataType::Int8 => Content::Fixed(1),
            DataType::Int16 => Content::Fixed(2),
            DataType::Int32 | DataType::Float32 => Content::Fixed(4),
            DataType::Int64 | DataType::Float64 => Content::Fixed(8),
            other => {
                return Err(Error::new(format!(
                    "column {} of table {} has the type {other}",
                    field.name(),
                    table.name
                ))
                .why("'format' = 'raw' knows texts, bytes, booleans, whole and floating numbers")
                .fix("declare the column STRING and convert it in the query"));
            }
        };
        let text = |name| table.options.text(OPTIONS, name).unwrap_or_default();
        let delimiter = match (table.options.get(LINE_DELIMITER), table.options.get("byte-delimiter")) {
            (Some(delimiter), _) if !delimiter.is_empty() => unescape(delimiter),
            (_, Some(byte)) => vec![byte.trim().parse().unwrap_or(b'\n')],
            _ => vec![b'\n'],
        };
        let charset = text(CHARSET);
        Ok(Layout {
            content,
            delimiter,
            latin: !charset.to_ascii_uppercase().starts_with("UTF"),
            little_endian: text(ENDIANNESS).eq_ignore_ascii_case("little-endian"),
        })
    }
}

/// `\n`, `\r`, `\t` and `\0` written out.
fn unescape(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0").into_bytes()
}
