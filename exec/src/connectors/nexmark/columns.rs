//! Declared columns, checked against what there is, and their values as Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, StringArray, StructArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::event::{Event, Kind};
use super::rules::Rules;
use super::values::{Make, fields};
use crate::connect::TableDefinition;
use crate::error::{Error, Result};
use crate::formats::type_name;

const COLUMNS: [&str; 4] = ["event_type", "person", "auction", "bid"];

/// A column the table declares.
#[derive(Clone)]
pub(super) enum Column {
    EventType,
    /// The events of one kind, with these of its fields, some unread; NULL for all others.
    Rows(Kind, Fields, Vec<Option<Make>>),
}

impl Column {
    /// # Errors
    /// There is no such column or field, or not of this type.
    pub fn of(table: &TableDefinition, field: &Field) -> Result<Column> {
        let unread = table.unread.inside(field.name());
        let table = table.name.as_str();
        let kind = match field.name().as_str() {
            "event_type" => {
                check_type(table, field.name(), field, &DataType::Int32)?;
                return Ok(Column::EventType);
            }
            "person" => Kind::Person,
            "auction" => Kind::Auction,
            "bid" => Kind::Bid,
            other => {
                return Err(Error::new(format!("table {table} has a column {other}"))
                    .why(format!("connector 'nexmark' gives the columns {}", COLUMNS.join(", ")))
                    .nearest(other, COLUMNS));
            }
        };
        let DataType::Struct(declared) = field.data_type() else {
            return Err(wrong_type(table, field.name(), &declared_type(field), "ROW"));
        };
        if !field.is_nullable() {
            return Err(Error::new(format!("column {} of table {table} is declared NOT NULL", field.name()))
                .why("it is NULL for events of other kinds")
                .fix(format!("leave NOT NULL out, and ask for event_type = {}", kind as i32)));
        }
        let makes = declared.iter().map(|inner| {
            let made = make(table, field.name(), kind, inner)?;
            Ok(Some(made).filter(|_| !unread.is_whole(inner.name())))
        });
        Ok(Column::Rows(kind, declared.clone(), makes.collect::<Result<_>>()?))
    }

    pub fn values(&self, rules: &Rules, events: &[Event]) -> Result<ArrayRef> {
        match self {
            Column::EventType => {
                Ok(Arc::new(Int32Array::from_iter_values(events.iter().map(|event| event.kind as i32))))
            }
            Column::Rows(kind, fields, makes) => {
                let columns = makes.iter().zip(fields).map(|(make, field)| match make {
                    Some(make) => make.values(*kind, rules, events),
                    None => Ok(new_null_array(field.data_type(), events.len())),
                });
                let columns = columns.collect::<Result<_>>()?;
                let is_it: NullBuffer = events.iter().map(|event| event.kind == *kind).collect();
                let rows = StructArray::try_new_with_length(fields.clone(), columns, Some(is_it), events.len())?;
                Ok(Arc::new(rows))
            }
        }
    }
}

impl Make {
    fn data_type(self) -> DataType {
        match self {
            Make::Number(_) => DataType::Int64,
            Make::Time(_) => DataType::Timestamp(TimeUnit::Millisecond, None),
            Make::Text(_) => DataType::Utf8,
        }
    }

    /// A value per event; of those of another kind any, which nobody sees.
    fn values(self, kind: Kind, rules: &Rules, events: &[Event]) -> Result<ArrayRef> {
        Ok(match self {
            Make::Number(make) => Arc::new(Int64Array::from_iter_values(
                events.iter().map(|event| if event.kind == kind { make(rules, event) as i64 } else { 0 }),
            )),
            Make::Time(make) => Arc::new(TimestampMillisecondArray::from_iter_values(
                events.iter().map(|event| if event.kind == kind { make(rules, event) } else { 0 }),
            )),
            Make::Text(make) => {
                let (mut bytes, mut lengths) = (Vec::new(), Vec::with_capacity(events.len()));
                for event in events {
                    let before = bytes.len();
                    if event.kind == kind {
                        make(rules, event, &mut bytes);
                    }
                    lengths.push(bytes.len() - before);
                }
                Arc::new(StringArray::try_new(OffsetBuffer::from_lengths(lengths), bytes.into(), None)?)
            }
        })
    }
}

fn make(table: &str, column: &str, kind: Kind, field: &Field) -> Result<Make> {
    let known = fields(kind);
    let Some((_, make)) = known.iter().find(|(name, _)| name == field.name()) else {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        return Err(Error::new(format!("column {column} of table {table} has a field {}", field.name()))
            .why(format!("connector 'nexmark' gives the fields {}", names.join(", ")))
            .nearest(field.name(), names));
    };
    check_type(table, &format!("{column}.{}", field.name()), field, &make.data_type())?;
    Ok(*make)
}

fn check_type(table: &str, path: &str, field: &Field, expected: &DataType) -> Result<()> {
    // A field with a note about its type is narrower than its values are kept: VARCHAR(20), TIMESTAMP(2).
    match field.data_type() == expected && field.metadata().is_empty() {
        true => Ok(()),
        false => Err(wrong_type(table, path, &declared_type(field), &type_name(expected))),
    }
}

fn declared_type(field: &Field) -> String {
    field.metadata().values().next().cloned().unwrap_or_else(|| type_name(field.data_type()))
}

fn wrong_type(table: &str, path: &str, declared: &str, expected: &str) -> Error {
    Error::new(format!("column {path} of table {table} is declared as {declared}"))
        .why(format!("connector 'nexmark' gives {expected} for it"))
        .fix(format!("declare it as {expected}"))
}
