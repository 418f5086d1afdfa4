//! What can be wrong with a record, in words, and what the table's policy does about it.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use crate::connect::Skipped;
use crate::error::Error;

/// Why a value does not fit its column. Small and made of nothing, because with `ignore-parse-errors` it may happen per field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Not a value of the type.
    Kind,
    /// Of the kind, but beyond the type's range.
    Range,
    /// A time zone, for a type without.
    Zone,
    NotUtf8,
    /// More than 2 GiB of text in one batch.
    TooLong,
    /// NULL, for a column that is NOT NULL.
    Null,
    /// Not there, though `fail-on-missing-field` asks for it.
    Missing,
}

impl Wrong {
    /// A sentence about a value and the type it should have had.
    pub fn explain(self, value: &[u8], data_type: &DataType) -> String {
        let shown = shorten(value, 60);
        let wanted = type_name(data_type);
        match self {
            Wrong::Kind => match data_type {
                DataType::Timestamp(..) if looks_iso(value) => {
                    format!("'{shown}' is an ISO-8601 time, and SQL's form is asked for: 2020-02-29 12:34:56")
                }
                DataType::Timestamp(..) if looks_sql(value) => {
                    format!("'{shown}' is a time in SQL's form, and ISO-8601 is asked for: 2020-02-29T12:34:56")
                }
                DataType::Timestamp(..) if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => format!(
                    "'{shown}' is a number, not a {wanted}; declare the column BIGINT and use TO_TIMESTAMP_LTZ(.., 3)"
                ),
                DataType::Binary | DataType::FixedSizeBinary(_) => format!("'{shown}' is not base64"),
                _ => format!("'{shown}' is not a value of type {wanted}"),
            },
            Wrong::Range => format!("'{shown}' is out of range for type {wanted}"),
            Wrong::Zone => format!("'{shown}' names a time zone, which a {wanted} has not: declare it TIMESTAMP_LTZ"),
            Wrong::NotUtf8 => format!("'{shown}' is not UTF-8"),
            Wrong::TooLong => "the text is longer than 2 GiB".to_string(),
            Wrong::Null => "it is NULL, and the column is NOT NULL".to_string(),
            Wrong::Missing => "the field is missing".to_string(),
        }
    }
}

fn looks_iso(value: &[u8]) -> bool {
    value.get(10) == Some(&b'T') && value[0].is_ascii_digit()
}

fn looks_sql(value: &[u8]) -> bool {
    value.get(10) == Some(&b' ') && value[0].is_ascii_digit()
}

/// What a table does with records it cannot decode.
pub struct BadRecords {
    table: String,
    format: &'static str,
    /// Leave them out, and put NULL where only a field is bad.
    pub ignore: bool,
    /// The option that asks for it, if the format has one.
    option: Option<&'static str>,
    skipped: u64,
    example: String,
}

impl BadRecords {
    pub fn new(table: &str, format: &'static str, ignore: bool, option: Option<&'static str>) -> BadRecords {
        BadRecords { table: table.to_string(), format, ignore, option, skipped: 0, example: String::new() }
    }

    /// Counts a record that is left out.
    pub fn skip(&mut self, why: &str, record: &[u8]) {
        if self.skipped == 0 {
            self.example = format!("{why}: {}", shorten(record, 200));
        }
        self.skipped += 1;
    }

    /// What was left out since the last call.
    pub fn take(&mut self) -> Option<Skipped> {
        let records = std::mem::take(&mut self.skipped);
        (records > 0).then(|| Skipped { records, example: std::mem::take(&mut self.example) })
    }

    /// The error that ends the job.
    pub fn error(&self, why: &str, record: &[u8]) -> Error {
        let error = Error::new(format!("cannot decode a {} record of table {}", self.format, self.table))
            .why(format!("{why}, in the record: {}", shorten(record, 200)));
        match self.option {
            Some(option) => error.fix(format!("correct the record, or leave bad ones out with '{option}' = 'true'")),
            None => error,
        }
    }
}

/// At most `characters` of a text, control characters made visible.
pub fn shorten(text: &[u8], characters: usize) -> String {
    // A character has at most four bytes, so the cut comes after what is shown.
    let shown = String::from_utf8_lossy(&text[..text.len().min(characters * 4 + 4)]);
    let mut out = String::new();
    for (count, character) in shown.trim_end_matches(['\r', '\n']).chars().enumerate() {
        if count == characters {
            out.push_str("...");
            break;
        }
        match character.is_control() {
            true => out.extend(character.escape_default()),
            false => out.push(character),
        }
    }
    out
}

/// The name users write for an Arrow type.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_string(),
        DataType::Int8 => "TINYINT".to_string(),
        DataType::Int16 => "SMALLINT".to_string(),
        DataType::Int32 => "INT".to_string(),
        DataType::Int64 => "BIGINT".to_string(),
        DataType::Float32 => "FLOAT".to_string(),
        DataType::Float64 => "DOUBLE".to_string(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_string(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".to_string(),
        DataType::FixedSizeBinary(size) => format!("BINARY({size})"),
        DataType::Date32 => "DATE".to_string(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", precision(*unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", precision(*unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", precision(*unit)),
        DataType::Interval(IntervalUnit::YearMonth) => "INTERVAL YEAR TO MONTH".to_string(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL DAY TO SECOND".to_string(),
        DataType::List(_) | DataType::LargeList(_) => "ARRAY".to_string(),
        DataType::Map(..) => "MAP".to_string(),
        DataType::Struct(_) => "ROW".to_string(),
        other => other.to_string(),
    }
}

fn precision(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_records_are_shortened_and_control_characters_shown() {
        assert_eq!(shorten(b"a\tb\r\n", 10), "a\\tb");
        assert_eq!(shorten("ääää".as_bytes(), 3), "äää...");
        assert_eq!(shorten(b"abc", 3), "abc");
        assert_eq!(shorten(&[b'x'; 1000], 200).len(), 203);
    }

    #[test]
    fn the_error_shows_the_record_the_reason_and_the_fix() {
        let bad = BadRecords::new("t", "csv", false, Some("csv.ignore-parse-errors"));
        let why = format!("column a: {}", Wrong::Kind.explain(b"x", &DataType::Int32));
        assert_eq!(
            bad.error(&why, b"x,3\n").to_string(),
            "cannot decode a csv record of table t\n  why: column a: 'x' is not a value of type INT, in the record: x,3\n  \
             fix: correct the record, or leave bad ones out with 'csv.ignore-parse-errors' = 'true'"
        );
    }

    #[test]
    fn what_was_skipped_is_told_once_with_the_first_example() {
        let mut bad = BadRecords::new("t", "csv", true, None);
        bad.skip("too long", b"1,2,3");
        bad.skip("too short", b"1");
        assert_eq!(bad.take(), Some(Skipped { records: 2, example: "too long: 1,2,3".to_string() }));
        assert_eq!(bad.take(), None);
    }
}
