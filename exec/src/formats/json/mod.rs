//! `'format' = 'json'`: one JSON object per record, by Flink's rules.
//!
//! [`decode`] finds records and applies the table's policy; [`read`] reads one record straight into columns; [`token`] knows what
//! strings, numbers and nesting look like in bytes; [`encode`] writes rows.

use std::str::FromStr;

use crate::connect::{Decoder, Encoder, Format, OptionKind, OptionSpec, TableDefinition};
use crate::error::{Error, Result};
use crate::text::Zone;
use crate::text::parse::TimestampStandard;

mod decode;
mod encode;
mod read;
mod token;

#[cfg(test)]
mod tests;

pub struct Json;

const FAIL_ON_MISSING_FIELD: &str = "json.fail-on-missing-field";
const IGNORE_PARSE_ERRORS: &str = "json.ignore-parse-errors";
const TIMESTAMP_STANDARD: &str = "json.timestamp-format.standard";
const PLAIN_DECIMALS: &str = "json.encode.decimal-as-plain-number";
const IGNORE_NULL_FIELDS: &str = "json.encode.ignore-null-fields";

static OPTIONS: &[OptionSpec] = &[
    OptionSpec::with_default(
        FAIL_ON_MISSING_FIELD,
        OptionKind::Boolean,
        "false",
        "fail if a column is not in a record",
    ),
    OptionSpec::with_default(
        IGNORE_PARSE_ERRORS,
        OptionKind::Boolean,
        "false",
        "leave out records that cannot be read, and put NULL for values that do not fit",
    ),
    OptionSpec::with_default(
        TIMESTAMP_STANDARD,
        OptionKind::OneOf(&["SQL", "ISO-8601"]),
        "SQL",
        "timestamps are 2020-02-29 12:34:56 (SQL) or 2020-02-29T12:34:56 (ISO-8601)",
    ),
    OptionSpec::with_default(
        "json.map-null-key.mode",
        OptionKind::OneOf(&["FAIL", "DROP", "LITERAL"]),
        "FAIL",
        "accepted for Flink's sake; no map has a NULL key here",
    ),
    OptionSpec::with_default(
        "json.map-null-key.literal",
        OptionKind::Text,
        "null",
        "accepted for Flink's sake; no map has a NULL key here",
    ),
    OptionSpec::with_default(PLAIN_DECIMALS, OptionKind::Boolean, "false", "write decimals as 100 and not as 1E+2"),
    OptionSpec::with_default(IGNORE_NULL_FIELDS, OptionKind::Boolean, "false", "write no field that is NULL"),
    OptionSpec::with_default(
        "json.decode.json-parser.enabled",
        OptionKind::Boolean,
        "true",
        "accepted for Flink's sake; there is one parser here",
    ),
];

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn decoder(&self, table: &TableDefinition, projection: &[usize]) -> Result<Box<dyn Decoder>> {
        let settings = DecodeSettings::of(table)?;
        Ok(Box::new(decode::JsonDecoder::new(table, projection, settings)?))
    }

    fn encoder(&self, table: &TableDefinition) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(encode::JsonEncoder::new(table)))
    }
}

/// How records of a table are read.
#[derive(Clone, Copy, Debug)]
struct DecodeSettings {
    ignore_parse_errors: bool,
    fail_on_missing_field: bool,
    standard: TimestampStandard,
    zone: Zone,
    /// Stands between records like white space: what the transport uses instead of a line break, if it does.
    separator: u8,
}

impl DecodeSettings {
    fn of(table: &TableDefinition) -> Result<DecodeSettings> {
        let boolean = |name| table.options.boolean(OPTIONS, name);
        let settings = DecodeSettings {
            ignore_parse_errors: boolean(IGNORE_PARSE_ERRORS),
            fail_on_missing_field: boolean(FAIL_ON_MISSING_FIELD),
            standard: timestamp_standard(table),
            zone: Zone::parse(&table.time_zone).unwrap_or(Zone::UTC),
            separator: table.options.get("byte-delimiter").and_then(|byte| u8::from_str(byte).ok()).unwrap_or(b'\n'),
        };
        if settings.ignore_parse_errors && settings.fail_on_missing_field {
            return Err(Error::new(format!(
                "options '{FAIL_ON_MISSING_FIELD}' and '{IGNORE_PARSE_ERRORS}' of table {} are both on",
                table.name
            ))
            .why("one asks to fail where the other asks to go on")
            .fix("set one of them to 'false'"));
        }
        Ok(settings)
    }
}

fn timestamp_standard(table: &TableDefinition) -> TimestampStandard {
    match table.options.text(OPTIONS, TIMESTAMP_STANDARD) {
        Some(standard) if standard.eq_ignore_ascii_case("ISO-8601") => TimestampStandard::Iso8601,
        _ => TimestampStandard::Sql,
    }
}
