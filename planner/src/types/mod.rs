//! Flink's SQL types as Arrow fields, both ways: [`parse_type`] reads type text, [`flink_type`] writes it.
//!
//! Arrow knows less than SQL: it has no `CHAR(3)`, no `TIMESTAMP(2)`, no `MULTISET`. What it cannot say is kept as
//! metadata of the field under [`TYPE_KEY`], as the type text itself; a field without it has the plain type that its
//! Arrow type suggests ([`flink_type`] lists which). Metadata that does not fit the Arrow type is ignored, because
//! casts that DataFusion inserts carry a column's metadata along to its new type.

mod common;
mod parse;
mod print;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;

pub use common::{common_type, exact_as_decimal};
pub use parse::parse_type;
pub use print::{flink_type, flink_type_long};

/// Field metadata: the SQL type where Arrow's falls short, e.g. `VARCHAR(20)`, `TIMESTAMP(2)`, `MULTISET`.
pub const TYPE_KEY: &str = "tidemill.type";
/// Under [`TYPE_KEY`], marks text that is the result of a cast, so that it stays a `STRING` when the plan makes it a
/// literal (which would be `CHAR(n)`).
pub const STRING: &str = "STRING";
/// Field metadata: `COMMENT '...'` of a column or of a field of a `ROW`.
pub const COMMENT_KEY: &str = "tidemill.comment";
/// Metadata of the key field of a `MAP`: Arrow forbids null keys, so only this tells `MAP<INT NOT NULL, ..>` apart.
pub const KEY_NOT_NULL_KEY: &str = "tidemill.key-not-null";
/// Field metadata: the text is JSON that another JSON constructor takes in as it is, without quoting it.
pub const JSON_KEY: &str = "tidemill.json";

/// A SQL type: everything of an Arrow field but its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlType {
    pub data_type: DataType,
    pub nullable: bool,
    pub metadata: HashMap<String, String>,
}

impl SqlType {
    pub fn new(data_type: DataType, nullable: bool) -> SqlType {
        SqlType { data_type, nullable, metadata: HashMap::new() }
    }

    /// The type of `field`, with all of its metadata.
    pub fn of(field: &Field) -> SqlType {
        SqlType {
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            metadata: field.metadata().clone(),
        }
    }

    /// The type of an argument that may be a literal: Flink types `'abc'` as `CHAR(3)`. Without what belongs to the
    /// column rather than to its type.
    pub fn of_argument(field: &Field, literal: Option<&ScalarValue>) -> SqlType {
        let mut of = SqlType::of(field);
        if let Some(ScalarValue::Utf8(Some(text))) = literal
            && !of.metadata.contains_key(TYPE_KEY)
        {
            of = of.with_text(format!("CHAR({})", text.chars().count()));
        }
        of.metadata.retain(|key, text| key == TYPE_KEY && text != STRING);
        of
    }

    pub fn nullable(mut self, nullable: bool) -> SqlType {
        self.nullable = nullable;
        self
    }

    pub fn field(&self, name: impl Into<String>) -> Field {
        Field::new(name, self.data_type.clone(), self.nullable).with_metadata(self.metadata.clone())
    }

    fn with_text(mut self, text: impl Into<String>) -> SqlType {
        self.metadata.insert(TYPE_KEY.to_string(), text.into());
        self
    }
}

/// `CHAR(n)` or `VARCHAR(n)`, `BINARY(n)` or `VARBINARY(n)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Shorter values are padded to `max`.
    pub fixed: bool,
    /// Characters of text, bytes of binary data.
    pub max: usize,
}

/// The declared length of a text or binary field; `None` for `STRING`, `BYTES` and every other type.
pub fn length(field: &Field) -> Option<Length> {
    let text = field.metadata().get(TYPE_KEY)?;
    let (name, max) = text.strip_suffix(')')?.split_once('(')?;
    let fixed = match (name, field.data_type()) {
        ("CHAR", data_type) | ("VARCHAR", data_type) if is_text(data_type) => name == "CHAR",
        ("BINARY", data_type) | ("VARBINARY", data_type) if is_binary(data_type) => name == "BINARY",
        _ => return None,
    };
    Some(Length { fixed, max: max.parse().ok()? })
}

/// Fraction digits of a time or timestamp field; 0 for other types.
pub fn precision(field: &Field) -> u8 {
    let unit = match field.data_type() {
        // Flink's TIME has no fraction unless one is declared.
        DataType::Time32(_) => 0,
        DataType::Timestamp(unit, _) | DataType::Time64(unit) => digits(unit),
        _ => return 0,
    };
    let declared = field.metadata().get(TYPE_KEY).and_then(|text| {
        let (name, rest) = text.split_once('(')?;
        let digits: u8 = rest.split_once(')')?.0.parse().ok()?;
        match field.data_type() {
            DataType::Timestamp(unit, _) => {
                (name.starts_with("TIMESTAMP") && unit_of(digits) == *unit).then_some(digits)
            }
            _ => (name == "TIME").then_some(digits),
        }
    });
    declared.unwrap_or(unit)
}

/// The Arrow unit that holds so many fraction digits.
pub fn unit_of(precision: u8) -> TimeUnit {
    match precision {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

/// Fraction digits an Arrow unit holds.
pub fn digits(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

pub fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

pub fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// `ARRAY<item>`; the name and nullability of items are part of the Arrow type, so every array must use this one.
pub fn array_of(item: &SqlType) -> DataType {
    DataType::List(Arc::new(item.field("item")))
}

/// `MAP<key, value>`. Keys cannot be null in Arrow; whether they were declared so is kept aside.
pub fn map_of(key: &SqlType, value: &SqlType) -> DataType {
    let mut key_field = key.field("key").with_nullable(false);
    if !key.nullable {
        let mut metadata = key_field.metadata().clone();
        metadata.insert(KEY_NOT_NULL_KEY.to_string(), "true".to_string());
        key_field = key_field.with_metadata(metadata);
    }
    let entries = Fields::from(vec![key_field, value.field("value")]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// A map field that stands for a multiset.
pub fn as_multiset(field: Field) -> Field {
    field.with_metadata(HashMap::from([(TYPE_KEY.to_string(), "MULTISET".to_string())]))
}

/// Whether a map stands for a multiset.
pub fn is_multiset(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Map(..))
        && field.metadata().get(TYPE_KEY).is_some_and(|text| text == "MULTISET")
}

/// `MULTISET<item>`: each item and how many of it there are. What `COLLECT` gives.
pub fn multiset_of(item: &SqlType) -> SqlType {
    let count = SqlType::new(DataType::Int32, false);
    SqlType::new(map_of(item, &count), true).with_text("MULTISET")
}

/// Key and value of a `MAP`, the key with the nullability it was declared with.
pub fn map_types(data_type: &DataType) -> Option<(SqlType, SqlType)> {
    let DataType::Map(entries, _) = data_type else { return None };
    let DataType::Struct(fields) = entries.data_type() else { return None };
    let [key, value] = &fields[..] else { return None };
    let mut key = SqlType::of(key);
    key.nullable = key.metadata.remove(KEY_NOT_NULL_KEY).is_none();
    Some((key, SqlType::of(value)))
}

/// The item field of an array type.
pub fn item_field(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

/// DataFusion's interval type, which holds both of Flink's.
pub const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
