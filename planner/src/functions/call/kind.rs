//! The kinds of values that arguments may be, and how types are named to users.

use arrow::datatypes::{DataType, TimeUnit};

/// What an argument may be. `NULL` without a type is accepted everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// An integer of any width.
    Int,
    /// An integer, a decimal or a floating point number.
    Number,
    Bytes,
    /// A date or a timestamp, with or without time zone.
    Date,
    /// A date, a timestamp or a time of day.
    Point,
    Interval,
    Any,
}

impl Kind {
    pub fn accepts(self, of: &DataType) -> bool {
        use DataType::*;
        match (self, of) {
            (Kind::Any, _) | (_, Null) => true,
            (Kind::Text, Dictionary(_, values)) => matches!(**values, Utf8 | LargeUtf8 | Utf8View),
            (Kind::Text, _) => matches!(of, Utf8 | LargeUtf8 | Utf8View),
            (Kind::Int, _) => of.is_integer(),
            (Kind::Number, _) => of.is_numeric(),
            (Kind::Bytes, _) => matches!(of, Binary | LargeBinary | BinaryView | FixedSizeBinary(_)),
            (Kind::Date, _) => matches!(of, Date32 | Date64 | Timestamp(..)),
            (Kind::Point, _) => matches!(of, Date32 | Date64 | Timestamp(..) | Time32(_) | Time64(_)),
            (Kind::Interval, _) => matches!(of, Interval(_) | Duration(_)),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "STRING",
            Kind::Int => "INT",
            Kind::Number => "a number",
            Kind::Bytes => "BYTES",
            Kind::Date => "a date or timestamp",
            Kind::Point => "a date, time or timestamp",
            Kind::Interval => "INTERVAL",
            Kind::Any => "anything",
        }
    }
}

/// A type as Flink's DDL spells it.
pub fn sql_name(of: &DataType) -> String {
    use DataType::*;
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match of {
        Null => "NULL".to_string(),
        Boolean => "BOOLEAN".to_string(),
        Int8 => "TINYINT".to_string(),
        Int16 => "SMALLINT".to_string(),
        Int32 => "INT".to_string(),
        Int64 => "BIGINT".to_string(),
        Float32 => "FLOAT".to_string(),
        Float64 => "DOUBLE".to_string(),
        Utf8 | LargeUtf8 | Utf8View => "STRING".to_string(),
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "BYTES".to_string(),
        Date32 | Date64 => "DATE".to_string(),
        Time32(_) | Time64(_) => "TIME".to_string(),
        Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        Interval(_) | Duration(_) => "INTERVAL".to_string(),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        List(item) | LargeList(item) | FixedSizeList(item, _) => format!("ARRAY<{}>", sql_name(item.data_type())),
        Map(..) => "MAP".to_string(),
        Struct(_) => "ROW".to_string(),
        other => other.to_string().to_uppercase(),
    }
}
