//! JSON by Flink's rules: `'format' = 'json'`, one object per row, and formats whose objects are changes of rows.
//!
//! [`decode`] finds records and applies the table's policy; [`read`] reads one record straight into columns; [`token`] knows what
//! strings, numbers and nesting look like in bytes; [`encode`] writes rows. [`envelope`] is what changes come in, [`changes`] takes
//! them out, and [`filter`] leaves out those of other tables.

use std::str::FromStr;

use crate::connect::{Decoder, Encoder, Format, OptionKind, OptionSpec, TableDefinition};
use crate::error::{Error, Result};
use crate::text::Zone;
use crate::text::parse::TimestampStandard;

mod changes;
mod decode;
mod encode;
mod envelope;
mod filter;
mod read;
mod token;

#[cfg(test)]
mod changes_tests;
#[cfg(test)]
mod tests;

use envelope::Envelope;

/// `'format' = 'json'`: each record is a row that appears.
pub struct Json;

/// A format whose records are changes, each in an envelope that says which.
pub struct ChangeJson {
    names: &'static Names,
    envelope: &'static Envelope,
}

/// `'format' = 'debezium-json'`, also without Kafka Connect.
pub const DEBEZIUM: ChangeJson = ChangeJson { names: &DEBEZIUM_NAMES, envelope: &envelope::DEBEZIUM };

/// `'format' = 'ogg-json'`, as Oracle GoldenGate writes it.
pub const OGG: ChangeJson = ChangeJson { names: &OGG_NAMES, envelope: &envelope::OGG };

/// `'format' = 'maxwell-json'`, as Maxwell writes it.
pub const MAXWELL: ChangeJson = ChangeJson { names: &MAXWELL_NAMES, envelope: &envelope::MAXWELL };

/// `'format' = 'canal-json'`, as Canal writes it.
pub const CANAL: ChangeJson = ChangeJson { names: &CANAL_NAMES, envelope: &envelope::CANAL };

/// A format's name, and its options, which begin with that.
struct Names {
    format: &'static str,
    options: &'static [OptionSpec],
    ignore_parse_errors: &'static str,
    timestamp_standard: &'static str,
    plain_decimals: &'static str,
    ignore_null_fields: &'static str,
}

const FAIL_ON_MISSING_FIELD: &str = "json.fail-on-missing-field";
const SCHEMA_INCLUDE: &str = "debezium-json.schema-include";

macro_rules! names {
    ($format:literal $(, $more:expr)*) => {
        Names {
            format: $format,
            options: &[
                $($more,)*
                OptionSpec::with_default(
                    concat!($format, ".ignore-parse-errors"),
                    OptionKind::Boolean,
                    "false",
                    "leave out records that cannot be read, and put NULL for values that do not fit",
                ),
                OptionSpec::with_default(
                    concat!($format, ".timestamp-format.standard"),
                    OptionKind::OneOf(&["SQL", "ISO-8601"]),
                    "SQL",
                    "timestamps are 2020-02-29 12:34:56 (SQL) or 2020-02-29T12:34:56 (ISO-8601)",
                ),
                OptionSpec::with_default(
                    concat!($format, ".map-null-key.mode"),
                    OptionKind::OneOf(&["FAIL", "DROP", "LITERAL"]),
                    "FAIL",
                    "accepted for Flink's sake; no map has a NULL key here",
                ),
                OptionSpec::with_default(
                    concat!($format, ".map-null-key.literal"),
                    OptionKind::Text,
                    "null",
                    "accepted for Flink's sake; no map has a NULL key here",
                ),
                OptionSpec::with_default(
                    concat!($format, ".encode.decimal-as-plain-number"),
                    OptionKind::Boolean,
                    "false",
                    "write decimals as 100 and not as 1E+2",
                ),
                OptionSpec::with_default(
                    concat!($format, ".encode.ignore-null-fields"),
                    OptionKind::Boolean,
                    "false",
                    "write no field that is NULL",
                ),
            ],
            ignore_parse_errors: concat!($format, ".ignore-parse-errors"),
            timestamp_standard: concat!($format, ".timestamp-format.standard"),
            plain_decimals: concat!($format, ".encode.decimal-as-plain-number"),
            ignore_null_fields: concat!($format, ".encode.ignore-null-fields"),
        }
    };
}

static JSON_NAMES: Names = names!(
    "json",
    OptionSpec::with_default(
        FAIL_ON_MISSING_FIELD,
        OptionKind::Boolean,
        "false",
        "fail if a column is not in a record",
    ),
    OptionSpec::with_default(
        "json.decode.json-parser.enabled",
        OptionKind::Boolean,
        "true",
        "accepted for Flink's sake; there is one parser here",
    )
);

static DEBEZIUM_NAMES: Names = names!(
    "debezium-json",
    OptionSpec::with_default(
        SCHEMA_INCLUDE,
        OptionKind::Boolean,
        "false",
        "each record is {\"schema\": .., \"payload\": ..}, as Kafka Connect writes them with schemas enabled",
    )
);

static OGG_NAMES: Names = names!("ogg-json");

static MAXWELL_NAMES: Names = names!("maxwell-json");

static CANAL_NAMES: Names = names!(
    "canal-json",
    OptionSpec::optional(
        "canal-json.database.include",
        OptionKind::Text,
        "only changes of databases whose whole name this regular expression matches",
    ),
    OptionSpec::optional(
        "canal-json.table.include",
        OptionKind::Text,
        "only changes of tables whose whole name this regular expression matches",
    )
);

impl Format for Json {
    fn name(&self) -> &'static str {
        JSON_NAMES.format
    }

    fn options(&self) -> &'static [OptionSpec] {
        JSON_NAMES.options
    }

    fn decoder(&self, table: &TableDefinition, projection: &[usize]) -> Result<Box<dyn Decoder>> {
        let settings = DecodeSettings::of(table, &JSON_NAMES)?;
        Ok(Box::new(decode::JsonDecoder::new(table, projection, settings)?))
    }

    fn encoder(&self, table: &TableDefinition) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(encode::JsonEncoder::new(table, &JSON_NAMES, None)))
    }
}

impl Format for ChangeJson {
    fn name(&self) -> &'static str {
        self.names.format
    }

    fn options(&self) -> &'static [OptionSpec] {
        self.names.options
    }

    fn decoder(&self, table: &TableDefinition, projection: &[usize]) -> Result<Box<dyn Decoder>> {
        let settings = DecodeSettings::of(table, self.names)?;
        let is_wrapped = table.options.boolean(self.names.options, SCHEMA_INCLUDE);
        Ok(Box::new(changes::ChangeDecoder::new(table, projection, settings, self.envelope, is_wrapped)?))
    }

    fn encoder(&self, table: &TableDefinition) -> Result<Box<dyn Encoder>> {
        if table.options.boolean(self.names.options, SCHEMA_INCLUDE) {
            return Err(Error::new(format!("cannot write to table {}", table.name))
                .why(format!("records with their schema ('{SCHEMA_INCLUDE}' = 'true') are only read, as in Flink"))
                .fix("leave the option out of the table that is written"));
        }
        Ok(Box::new(encode::JsonEncoder::new(table, self.names, Some(self.envelope))))
    }

    fn metadata(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        self.envelope.metadata()
    }

    fn decodes_updates(&self) -> bool {
        true
    }

    fn encodes_updates(&self) -> bool {
        true
    }
}

/// How records of a table are read.
#[derive(Clone, Copy)]
struct DecodeSettings {
    names: &'static Names,
    ignore_parse_errors: bool,
    fail_on_missing_field: bool,
    standard: TimestampStandard,
    zone: Zone,
    /// Stands between records like white space: what the transport uses instead of a line break, if it does.
    separator: u8,
}

impl DecodeSettings {
    fn of(table: &TableDefinition, names: &'static Names) -> Result<DecodeSettings> {
        let boolean = |name| table.options.boolean(names.options, name);
        let settings = DecodeSettings {
            names,
            ignore_parse_errors: boolean(names.ignore_parse_errors),
            fail_on_missing_field: boolean(FAIL_ON_MISSING_FIELD),
            standard: names.standard_of(table),
            zone: Zone::parse(&table.time_zone).unwrap_or(Zone::UTC),
            separator: table.options.get("byte-delimiter").and_then(|byte| u8::from_str(byte).ok()).unwrap_or(b'\n'),
        };
        if settings.ignore_parse_errors && settings.fail_on_missing_field {
            return Err(Error::new(format!(
                "options '{FAIL_ON_MISSING_FIELD}' and '{}' of table {} are both on",
                names.ignore_parse_errors, table.name
            ))
            .why("one asks to fail where the other asks to go on")
            .fix("set one of them to 'false'"));
        }
        Ok(settings)
    }
}

impl Names {
    fn standard_of(&self, table: &TableDefinition) -> TimestampStandard {
        match table.options.text(self.options, self.timestamp_standard) {
            Some(standard) if standard.eq_ignore_ascii_case("ISO-8601") => TimestampStandard::Iso8601,
            _ => TimestampStandard::Sql,
        }
    }
}
