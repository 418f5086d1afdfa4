//! A table as connectors and formats see it.

use arrow::datatypes::SchemaRef;

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
