//! What change data capture puts around a row: the row before and after a change, and which kind of change it is.
//!
//! | format | a row that goes | a row that changes | rows in a record |
//! |---|---|---|---|
//! | debezium, ogg | is `before` | is `before`, then `after` | one |
//! | maxwell | is `data` | is `data` with the fields of `old` put in, then `data` | one |
//! | canal | is in `data` | the same | any number, in arrays |

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::super::column::{Column, Kind};
use super::token::BadValue;
use crate::error::{Error, Result};
use crate::formats::type_name;

/// An envelope of the form `{<before>: {..}, <after>: {..}, <kind>: "..", ..}`.
pub struct Envelope {
    /// The field with the row as it was.
    pub before: &'static str,
    /// The field with the row as it is now.
    pub after: &'static str,
    /// The field that says which kind of change it is.
    pub kind: &'static str,
    kinds: &'static [(&'static str, Change)],
    /// Whether `before` has only the fields that are different in `after`. A row that goes is in `after` then.
    pub differences: bool,
    /// Whether `before` and `after` are arrays of rows.
    many: bool,
    /// Options that say of which tables records are read, and the fields that these match.
    pub filters: &'static [(&'static str, &'static str)],
    metadata: &'static [Metadata],
    /// What of the envelope stands before a row that appears, and after it.
    pub appears: [&'static str; 2],
    /// The same of a row that replaces the one of its key, which is not told.
    pub replaces: [&'static str; 2],
    /// The same of a row that disappears.
    pub disappears: [&'static str; 2],
}

/// A field beside the rows that a column can have.
pub struct Metadata {
    /// What users write.
    key: &'static str,
    pub field: &'static str,
    pub kind: MetadataKind,
    about: &'static str,
}

const fn metadata(key: &'static str, field: &'static str, kind: MetadataKind, about: &'static str) -> Metadata {
    Metadata { key, field, kind, about }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataKind {
    Text,
    Texts,
    /// `MAP<STRING, INT>`
    Numbers,
    /// Since 1970.
    Time(TimeUnit),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Insert,
    Update,
    Delete,
    /// Of something else than rows.
    Other,
}

const MILLIS: MetadataKind = MetadataKind::Time(TimeUnit::Millisecond);

/// `r` are rows that were there when reading began.
pub static DEBEZIUM: Envelope = Envelope {
    before: "before",
    after: "after",
    kind: "op",
    kinds: &[("c", Change::Insert), ("r", Change::Insert), ("u", Change::Update), ("d", Change::Delete)],
    differences: false,
    many: false,
    filters: &[],
    metadata: &[metadata("value.ingestion-timestamp", "ts_ms", MILLIS, "when the change was captured")],
    appears: [r#"{"before":null,"after":"#, r#","op":"c"}"#],
    replaces: [r#"{"before":null,"after":"#, r#","op":"u"}"#],
    disappears: [r#"{"before":"#, r#","after":null,"op":"d"}"#],
};

pub static OGG: Envelope = Envelope {
    kind: "op_type",
    kinds: &[("I", Change::Insert), ("U", Change::Update), ("D", Change::Delete)],
    metadata: &[
        metadata("value.table", "table", MetadataKind::Text, "name of the table"),
        metadata("value.primary-keys", "primary_keys", MetadataKind::Texts, "names of the key's columns"),
    ],
    appears: [r#"{"before":null,"after":"#, r#","op_type":"I"}"#],
    replaces: [r#"{"before":null,"after":"#, r#","op_type":"U"}"#],
    disappears: [r#"{"before":"#, r#","after":null,"op_type":"D"}"#],
    ..DEBEZIUM
};

pub static MAXWELL: Envelope = Envelope {
    before: "old",
    after: "data",
    kind: "type",
    kinds: &[("insert", Change::Insert), ("update", Change::Update), ("delete", Change::Delete)],
    differences: true,
    many: false,
    filters: &[],
    metadata: &[
        metadata("value.database", "database", MetadataKind::Text, "name of the database"),
        metadata("value.table", "table", MetadataKind::Text, "name of the table"),
        metadata("value.primary-key-columns", "primary_key_columns", MetadataKind::Texts, "names of the key's columns"),
        metadata(
            "value.ingestion-timestamp",
            "ts",
            MetadataKind::Time(TimeUnit::Second),
            "when the change was captured, in whole seconds",
        ),
    ],
    appears: [r#"{"data":"#, r#","type":"insert"}"#],
    replaces: [r#"{"data":"#, r#","type":"update"}"#],
    disappears: [r#"{"data":"#, r#","type":"delete"}"#],
};

pub static CANAL: Envelope = Envelope {
    kinds: &[
        ("INSERT", Change::Insert),
        ("UPDATE", Change::Update),
        ("DELETE", Change::Delete),
        ("CREATE", Change::Other),
    ],
    many: true,
    filters: &[("canal-json.database.include", "database"), ("canal-json.table.include", "table")],
    metadata: &[
        metadata("value.database", "database", MetadataKind::Text, "name of the database"),
        metadata("value.table", "table", MetadataKind::Text, "name of the table"),
        metadata("value.sql-type", "sqlType", MetadataKind::Numbers, "numbers of the columns' types, by column"),
        metadata("value.pk-names", "pkNames", MetadataKind::Texts, "names of the key's columns"),
        metadata("value.ingestion-timestamp", "ts", MILLIS, "when the change was captured"),
        metadata("value.event-timestamp", "es", MILLIS, "when the change happened"),
    ],
    appears: [r#"{"data":["#, r#"],"type":"INSERT"}"#],
    replaces: [r#"{"data":["#, r#"],"type":"UPDATE"}"#],
    disappears: [r#"{"data":["#, r#"],"type":"DELETE"}"#],
    ..MAXWELL
};

impl MetadataKind {
    fn sql(self) -> &'static str {
        match self {
            MetadataKind::Text => "STRING",
            MetadataKind::Texts => "ARRAY<STRING>",
            MetadataKind::Numbers => "MAP<STRING, INT>",
            MetadataKind::Time(_) => "TIMESTAMP_LTZ(3)",
        }
    }

    fn fits(self, column: &DataType) -> bool {
        match (self, column) {
            (MetadataKind::Text, DataType::Utf8) | (MetadataKind::Time(_), DataType::Timestamp(_, Some(_))) => true,
            (MetadataKind::Texts, DataType::List(item)) => *item.data_type() == DataType::Utf8,
            (MetadataKind::Numbers, DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(entry) => {
                    entry.iter().map(|field| field.data_type()).eq([&DataType::Utf8, &DataType::Int32])
                }
                _ => false,
            },
            _ => false,
        }
    }
}

impl Envelope {
    /// As [`Format::metadata`](crate::connect::Format::metadata).
    pub fn metadata(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        self.metadata.iter().map(|metadata| (metadata.key, metadata.about, metadata.kind.sql())).collect()
    }

    pub fn change(&self, kind: &str) -> Option<Change> {
        self.kinds.iter().find(|(known, _)| *known == kind).map(|(_, change)| *change)
    }

    /// The field of an envelope that holds rows of `fields`.
    pub fn rows(&self, name: &str, fields: Fields) -> Field {
        let row = DataType::Struct(fields);
        match self.many {
            false => Field::new(name, row, true),
            true => Field::new(name, DataType::List(Arc::new(Field::new("row", row, false))), true),
        }
    }

    /// How many changes the record `row` is, if the rows before and after them are there as its kind says. `by_key`: what an update replaces is
    /// known by its key, and need not be there.
    pub fn check(&self, by_key: bool, columns: &[Column], row: usize) -> Result<usize, BadValue> {
        let bad = |path: &str, why: String| Err(BadValue { path: path.to_string(), why });
        let fields = match columns {
            [Column { kind: Kind::Row(payload), .. }] => &payload[..],
            columns => columns,
        };
        let (before, after) = (rows_in(&fields[0], row), rows_in(&fields[1], row));
        let known = || self.kinds.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", ");
        let Some(kind) = fields[2].text(row) else {
            return bad(self.kind, format!("it is missing, and must say what changed: one of {}", known()));
        };
        let no_before = || match self.differences {
            true => bad(self.before, "it is NULL, and must be what was different before".to_string()),
            false => bad(
                self.before,
                match by_key {
                    true => "it is NULL, and must have the key of the row that goes".to_string(),
                    false => {
                        "it is NULL, and must be the row as it was (Postgres writes it with REPLICA IDENTITY FULL; \
                              without, a table with a primary key can have 'changelog.mode' = 'upsert')"
                            .to_string()
                    }
                },
            ),
        };
        let no_after = || bad(self.after, "it is NULL, and must be the row as it is now".to_string());
        match self.change(kind) {
            None => bad(self.kind, format!("'{kind}' is not one of {}", known())),
            Some(Change::Other) => Ok(0),
            Some(Change::Insert) => after.map_or_else(no_after, |after| Ok(after.len())),
            Some(Change::Delete) if self.differences => after.map_or_else(
                || bad(self.after, "it is NULL, and must be the row as it was".to_string()),
                |after| Ok(after.len()),
            ),
            Some(Change::Delete) => before.map_or_else(no_before, |before| Ok(before.len())),
            Some(Change::Update) => match (before, after) {
                (_, None) => no_after(),
                (None, Some(after)) if by_key => Ok(after.len()),
                (None, _) => no_before(),
                (Some(before), Some(after)) if before.len() < after.len() => {
                    bad(self.before, format!("it has {} rows for the {} of {}", before.len(), after.len(), self.after))
                }
                (_, Some(after)) => Ok(2 * after.len()),
            },
        }
    }

    /// The metadata that a column asks for.
    ///
    /// # Errors
    /// There is none of that key, or it is of another type than the column.
    pub fn metadata_of(&self, key: &str, column: &Field, table: &str) -> Result<&Metadata> {
        let Some(metadata) = self.metadata.iter().find(|metadata| metadata.key == key) else {
            return Err(Error::new(format!("unknown metadata column '{key}' of table {table}"))
                .nearest(key, self.metadata.iter().map(|metadata| metadata.key)));
        };
        if !metadata.kind.fits(column.data_type()) {
            return Err(Error::new(format!(
                "column {} of table {table} has the type {}",
                column.name(),
                type_name(column.data_type())
            ))
            .why(format!("metadata '{key}' is of type {}", metadata.kind.sql()))
            .fix(format!("declare the column {}, and convert it in the query", metadata.kind.sql())));
        }
        Ok(metadata)
    }
}

/// Which of the rows of a column belong to record `row`; `None` if it has NULL there.
fn rows_in(column: &Column, row: usize) -> Option<Range<usize>> {
    column.is_valid(row).then(|| match &column.kind {
        Kind::List(offsets, _) => offsets[row] as usize..offsets[row + 1] as usize,
        _ => row..row + 1,
    })
}
