//! Arrow field to Flink's type text.

use std::fmt::Write;

use arrow::datatypes::{DataType, Field, IntervalUnit};

use super::{TYPE_KEY, item_field, length, map_types, precision};

/// The type of `field` as Flink's `DESCRIBE` prints it: `DECIMAL(10, 3)`, `ARRAY<INT> NOT NULL`,
/// ``ROW<`x` INT, `y` STRING>``.
pub fn flink_type(field: &Field) -> String {
    text(field, false)
}

/// As [`flink_type`], with `STRING` and `BYTES` in the long form `VARCHAR(2147483647)` of `SHOW CREATE TABLE`.
pub fn flink_type_long(field: &Field) -> String {
    text(field, true)
}

fn text(field: &Field, long: bool) -> String {
    let mut out = String::new();
    push(&mut out, field, field.is_nullable(), long);
    out
}

fn push(out: &mut String, field: &Field, nullable: bool, long: bool) {
    push_root(out, field, long);
    // The type of a bare NULL has no other values.
    if !nullable && field.data_type() != &DataType::Null {
        out.push_str(" NOT NULL");
    }
}

fn push_root(out: &mut String, field: &Field, long: bool) {
    let declared = field.metadata().get(TYPE_KEY);
    let name = match field.data_type() {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 | DataType::UInt8 => "SMALLINT",
        DataType::Int32 | DataType::UInt16 => "INT",
        DataType::Int64 | DataType::UInt32 => "BIGINT",
        // Only functions that Flink lacks give this one.
        DataType::UInt64 => "DECIMAL(20, 0)",
        DataType::Float16 | DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => match (length(field), declared) {
            (Some(_), Some(text)) => text,
            _ if long => "VARCHAR(2147483647)",
            _ => "STRING",
        },
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => match (length(field), declared) {
            (Some(_), Some(text)) => text,
            _ if long => "VARBINARY(2147483647)",
            _ => "BYTES",
        },
        DataType::FixedSizeBinary(length) => return push_fmt(out, format_args!("BINARY({length})")),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            return push_fmt(out, format_args!("DECIMAL({precision}, {scale})"));
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            return push_fmt(out, format_args!("TIME({})", precision(field)));
        }
        DataType::Timestamp(_, None) => return push_fmt(out, format_args!("TIMESTAMP({})", precision(field))),
        DataType::Timestamp(_, Some(_)) => {
            return push_fmt(out, format_args!("TIMESTAMP_LTZ({})", precision(field)));
        }
        DataType::Interval(unit) => match declared {
            Some(text) if text.starts_with("INTERVAL") => text,
            _ if *unit == IntervalUnit::YearMonth => "INTERVAL YEAR TO MONTH",
            _ => "INTERVAL DAY TO SECOND(3)",
        },
        DataType::Duration(_) => "INTERVAL DAY TO SECOND(3)",
        DataType::Struct(fields) => {
            out.push_str("ROW<");
            for (index, field) in fields.iter().enumerate() {
                let comma = if index > 0 { ", " } else { "" };
                push_fmt(out, format_args!("{comma}`{}` ", field.name().replace('`', "``")));
                push(out, field, field.is_nullable(), long);
                if let Some(comment) = field.metadata().get(super::COMMENT_KEY) {
                    push_fmt(out, format_args!(" '{}'", comment.replace('\'', "''")));
                }
            }
            ">"
        }
        data_type @ DataType::Map(..) => match map_types(data_type) {
            Some((key, value)) => {
                let multiset = declared.is_some_and(|text| text == "MULTISET");
                out.push_str(if multiset { "MULTISET<" } else { "MAP<" });
                push(out, &key.field("key"), key.nullable, long);
                if !multiset {
                    out.push_str(", ");
                    push(out, &value.field("value"), value.nullable, long);
                }
                ">"
            }
            None => "MAP",
        },
        DataType::Dictionary(_, values) => {
            let field = Field::new("", values.as_ref().clone(), true).with_metadata(field.metadata().clone());
            return push_root(out, &field, long);
        }
        data_type => match item_field(data_type) {
            Some(item) => {
                out.push_str("ARRAY<");
                push(out, item, item.is_nullable(), long);
                ">"
            }
            None => return push_fmt(out, format_args!("{data_type}")),
        },
    };
    out.push_str(name);
}

fn push_fmt(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::super::parse_type;
    use super::*;

    fn roundtrip(text: &str) -> String {
        flink_type(&parse_type(text, "UTC").unwrap().field("c"))
    }

    #[test]
    fn types_print_as_flink_prints_them() {
        for text in [
            "BOOLEAN",
            "TINYINT NOT NULL",
            "DECIMAL(10, 3)",
            "CHAR(3) NOT NULL",
            "VARCHAR(2000) NOT NULL",
            "STRING",
            "BYTES",
            "TIME(0)",
            "TIMESTAMP(2)",
            "TIMESTAMP(3)",
            "TIMESTAMP_LTZ(3)",
            "TIMESTAMP_LTZ(9)",
            "ARRAY<DECIMAL(11, 1) NOT NULL> NOT NULL",
            "MAP<STRING, INT>",
            "MAP<CHAR(1) NOT NULL, INT> NOT NULL",
            "MULTISET<BIGINT> NOT NULL",
            "ROW<`x` INT, `y` ROW<`z` STRING>>",
            "ROW<`EXPR$0` INT, `EXPR$1` CHAR(1) NOT NULL> NOT NULL",
            "INTERVAL DAY TO SECOND(3)",
        ] {
            assert_eq!(roundtrip(text), text);
        }
    }

    #[test]
    fn other_spellings_mean_the_same_type() {
        assert_eq!(roundtrip("integer"), "INT");
        assert_eq!(roundtrip("double precision not null"), "DOUBLE NOT NULL");
        assert_eq!(roundtrip("DEC"), "DECIMAL(10, 0)");
        assert_eq!(roundtrip("VARCHAR(2147483647)"), "STRING");
        assert_eq!(roundtrip("VARCHAR"), "VARCHAR(1)");
        assert_eq!(roundtrip("TIMESTAMP"), "TIMESTAMP(6)");
        assert_eq!(roundtrip("TIMESTAMP(3) WITH LOCAL TIME ZONE"), "TIMESTAMP_LTZ(3)");
        assert_eq!(roundtrip("ROW(a INT, `b c` DOUBLE PRECISION 'why')"), "ROW<`a` INT, `b c` DOUBLE 'why'>");
        assert_eq!(roundtrip("ROW<INT, STRING NOT NULL>"), "ROW<`f0` INT, `f1` STRING NOT NULL>");
        assert_eq!(roundtrip("INT NOT NULL ARRAY"), "ARRAY<INT NOT NULL>");
    }

    #[test]
    fn the_long_form_spells_string_out() {
        let field = parse_type("MAP<STRING, BYTES>", "UTC").unwrap().field("c");
        assert_eq!(flink_type_long(&field), "MAP<VARCHAR(2147483647), VARBINARY(2147483647)>");
    }

    #[test]
    fn an_unknown_type_names_the_nearest() {
        let error = parse_type("ARRAY<BIGNIT>", "UTC").unwrap_err();
        assert_eq!(error.to_string(), "type BIGNIT is unknown\n  fix: did you mean BIGINT?");
    }

    #[test]
    fn metadata_of_another_type_is_ignored() {
        let two = parse_type("TIMESTAMP(2)", "UTC").unwrap().field("c");
        let micros = parse_type("TIMESTAMP(6)", "UTC").unwrap();
        assert_eq!(flink_type(&two.with_data_type(micros.data_type)), "TIMESTAMP(6)");
    }
}
