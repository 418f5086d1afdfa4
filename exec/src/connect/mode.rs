//! What the records of a table say of the rows before them: `changelog.mode`, with the name and values of Confluent's Flink.

use std::sync::Arc;

use arrow::datatypes::Schema;

use super::options::{OptionKind, OptionSpec};
use super::table::TableDefinition;
use crate::error::{Error, Result};

/// What every table can be told, whatever its connector.
pub const CHANGELOG_OPTIONS: &[OptionSpec] = &[OptionSpec::optional(
    "changelog.mode",
    OptionKind::OneOf(&["append", "upsert", "retract"]),
    "append: rows only come; upsert: a record replaces the row of its primary key; retract: rows are taken back as a whole; default: as the format has it",
)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangelogMode {
    /// Rows only come.
    Append,
    /// A record replaces the row of its key, or removes it.
    Upsert,
    /// A row is taken back as it came.
    Retract,
}

impl TableDefinition {
    /// `None`: as its format has it.
    pub fn changelog_mode(&self) -> Option<ChangelogMode> {
        match self.options.get("changelog.mode")?.to_lowercase().as_str() {
            "append" => Some(ChangelogMode::Append),
            "upsert" => Some(ChangelogMode::Upsert),
            _ => Some(ChangelogMode::Retract),
        }
    }

    pub fn is_upsert(&self) -> bool {
        self.changelog_mode() == Some(ChangelogMode::Upsert)
    }

    /// The table, if its records can mean what `changelog.mode` says. `has_changes`: its format, or the connector, can take rows back.
    ///
    /// # Errors
    /// They cannot.
    pub fn check_changelog_mode(&self, has_changes: bool) -> Result<()> {
        let wrong = |mode: &str| Error::new(format!("table {} cannot have 'changelog.mode' = '{mode}'", self.name));
        match self.changelog_mode() {
            Some(ChangelogMode::Upsert) if self.key.is_empty() => Err(wrong("upsert")
                .why("it has no primary key, and only that tells which row a record replaces")
                .fix("declare PRIMARY KEY (...) NOT ENFORCED in CREATE TABLE")),
            Some(ChangelogMode::Retract) if !has_changes => Err(wrong("retract")
                .why("its records are rows, and none of them says that one goes")
                .fix("use a format of changes such as debezium-json; or write 'upsert', with a primary key")),
            _ => Ok(()),
        }
    }

    /// The same for one whose records may remove a row of which only the key is known: other columns may be NULL there.
    pub fn with_keys_alone(&self) -> TableDefinition {
        let fields = self.schema.fields().iter().enumerate().map(|(n, field)| match self.key.contains(&n) {
            true => Arc::clone(field),
            false => Arc::new(field.as_ref().clone().with_nullable(true)),
        });
        TableDefinition { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), ..self.clone() }
    }
}
