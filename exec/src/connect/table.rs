//! A table as connectors and formats see it.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, SchemaRef};

use super::options::Options;

/// A table as `CREATE TABLE` left it, with no trace of the statement.
///
/// Lives here and not in the planner, because connectors need it and may not look up.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDefinition {
    /// As the user wrote it, for messages.
    pub name: String,
    /// The columns a connector reads or writes, in declaration order: physical and metadata ones, never computed ones.
    pub schema: SchemaRef,
    /// Which of them are metadata: (index into `schema`, the connector's key for it, such as `file.path`).
    pub metadata: Vec<(usize, String)>,
    /// `PRIMARY KEY`, as indices into `schema`; empty if there is none.
    pub key: Vec<usize>,
    /// `PARTITIONED BY`, as indices into `schema`.
    pub partitioned_by: Vec<usize>,
    /// Checked against the connector's and the format's option lists.
    pub options: Options,
    /// `table.local-time-zone`: how texts without a zone become `TIMESTAMP_LTZ` and back.
    pub time_zone: String,
    /// A source need not read these.
    pub unread: Unread,
}

/// Fields inside of columns that nobody looks at, so that a source may give NULL for them: by the name of the column, and then of each
/// row inside. A name with nothing inside stands for the field as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread(BTreeMap<String, Unread>);

impl Unread {
    /// Of the fields inside this one.
    pub fn inside(&self, field: &str) -> Unread {
        self.0.get(field).cloned().unwrap_or_default()
    }

    /// Whether all of this field is unread.
    pub fn is_whole(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(Unread::is_empty)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a field with what is unread inside it; with nothing, all of it is.
    pub fn add(&mut self, field: &str, inside: Unread) {
        self.0.insert(field.to_string(), inside);
    }

    /// `bid(auction, price)`: a column, and which fields of it are read if not all are.
    pub fn shown(&self, column: &Field) -> String {
        let inside = self.inside(column.name());
        match column.data_type() {
            DataType::Struct(fields) if !inside.is_empty() => {
                let read = fields.iter().filter(|field| !inside.is_whole(field.name()));
                let read: Vec<String> = read.map(|field| inside.shown(field)).collect();
                format!("{}({})", column.name(), read.join(", "))
            }
            _ => column.name().clone(),
        }
    }

    /// What is unread here and there.
    pub fn and(&self, other: &Unread) -> Unread {
        let both = self.0.iter().filter_map(|(field, here)| {
            let there = other.0.get(field)?;
            let both = match (here.is_empty(), there.is_empty()) {
                (true, _) => there.clone(),
                (_, true) => here.clone(),
                _ => Some(here.and(there)).filter(|both| !both.is_empty())?,
            };
            Some((field.clone(), both))
        });
        Unread(both.collect())
    }
}

impl TableDefinition {
    /// Whether column `index` is metadata, and of which key.
    pub fn metadata_key(&self, index: usize) -> Option<&str> {
        self.metadata.iter().find(|(column, _)| *column == index).map(|(_, key)| key.as_str())
    }

    /// Indices of the columns that are part of the record itself (what formats decode and encode).
    pub fn physical(&self) -> Vec<usize> {
        (0..self.schema.fields().len()).filter(|&column| self.metadata_key(column).is_none()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(fields: &[(&str, Unread)]) -> Unread {
        let mut unread = Unread::default();
        fields.iter().for_each(|(field, inside)| unread.add(field, inside.clone()));
        unread
    }

    #[test]
    fn what_two_readers_leave_is_what_neither_reads() {
        let whole = Unread::default;
        let here = unread(&[("a", whole()), ("b", unread(&[("x", whole()), ("y", whole())])), ("c", whole())]);
        let there = unread(&[("a", whole()), ("b", unread(&[("y", whole()), ("z", whole())])), ("d", whole())]);
        let both = unread(&[("a", whole()), ("b", unread(&[("y", whole())]))]);
        assert_eq!((here.and(&there), there.and(&here)), (both.clone(), both));
        // One leaves a row as a whole, the other a part of it.
        let part = unread(&[("a", unread(&[("x", whole())]))]);
        assert_eq!((here.and(&part), part.and(&here)), (part.clone(), part));
        // Each leaves what the other reads.
        let (x, y) = (unread(&[("b", unread(&[("x", whole())]))]), unread(&[("b", unread(&[("y", whole())]))]));
        assert_eq!(x.and(&y), whole());
    }
}
