//! Where each column of a table of files comes from: the records, the path, or the file's properties.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::ScalarValue;

use super::{default_name, partition};
use crate::connect::{FORMAT_METADATA, TableDefinition};
use crate::error::{Error, Result};
use crate::message::Batch;

pub(super) const METADATA: &[(&str, &str, &str)] = &[
    ("file.path", "absolute path of the file", "STRING NOT NULL"),
    ("file.name", "name of the file without its directory", "STRING NOT NULL"),
    ("file.size", "bytes of the file when reading it began", "BIGINT NOT NULL"),
    ("file.modification-time", "when the file was last written", "TIMESTAMP_LTZ(3) NOT NULL"),
];

/// A table of files, taken apart.
#[derive(Clone)]
pub(super) struct Columns {
    /// The table as it is within a file: without what the file's properties and the path tell.
    pub records: TableDefinition,
    /// What is read of `records`.
    pub projection: Vec<usize>,
    /// Of the rows that come out.
    schema: SchemaRef,
    /// One per column of `schema`.
    origins: Vec<Origin>,
    default_name: String,
    table: String,
}

#[derive(Clone)]
enum Origin {
    /// Place in `projection`.
    Record(usize),
    /// Of the file.
    Metadata(String),
    Partition,
}

/// A file about to be read.
pub(super) struct FileProperties {
    pub path: String,
    pub size: u64,
    /// Milliseconds since 1970 in UTC.
    pub modified_ms: i64,
}

impl Columns {
    pub fn new(table: &TableDefinition, projection: &[usize]) -> Result<Columns> {
        let of_file = |column| table.metadata_key(column).filter(|key| !key.starts_with(FORMAT_METADATA));
        let kept: Vec<usize> = (0..table.schema.fields().len())
            .filter(|&column| of_file(column).is_none() && !table.partitioned_by.contains(&column))
            .collect();
        let place = |column: usize| kept.iter().position(|&k| k == column);
        let records = TableDefinition {
            schema: Arc::new(table.schema.project(&kept)?),
            metadata: table.metadata.iter().filter_map(|(column, key)| Some((place(*column)?, key.clone()))).collect(),
            key: table.key.iter().filter_map(|column| place(*column)).collect(),
            partitioned_by: Vec::new(),
            ..table.clone()
        };
        let mut read = Vec::new();
        let mut origins = Vec::new();
        for &column in projection {
            origins.push(match (of_file(column), place(column)) {
                (Some(key), _) => Origin::Metadata(known_key(key, table)?),
                (None, None) => Origin::Partition,
                (None, Some(place)) => {
                    read.push(place);
                    Origin::Record(read.len() - 1)
                }
            });
        }
        let schema: Schema = table.schema.project(projection)?;
        Ok(Columns {
            records,
            projection: read,
            schema: Arc::new(schema),
            origins,
            default_name: default_name(table),
            table: table.name.clone(),
        })
    }

    /// Prepares for the rows of one file.
    ///
    /// # Errors
    /// The path lacks a partition column, or holds no value of its type.
    pub fn of_file(&self, file: &FileProperties) -> Result<FileColumns> {
        let constants = self.origins.iter().zip(self.schema.fields()).map(|(origin, field)| match origin {
            Origin::Record(place) => Ok(Column::Record(*place)),
            Origin::Metadata(key) => Ok(Column::Constant(file.value(key).cast_to(field.data_type())?)),
            Origin::Partition => {
                let why = |why: String| {
                    Error::new(format!("cannot read file {} of table {}", file.path, self.table)).why(why)
                };
                let value = partition::value_in(&file.path, field.name()).ok_or_else(|| {
                    why(format!("the table is partitioned by {0}, but the path has no directory {0}=...", field.name()))
                })?;
                partition::parse(&value, field.data_type(), &self.default_name)
                    .map(Column::Constant)
                    .map_err(|error| why(error.to_string()))
            }
        });
        Ok(FileColumns { schema: Arc::clone(&self.schema), columns: constants.collect::<Result<_>>()? })
    }
}

fn known_key(key: &str, table: &TableDefinition) -> Result<String> {
    match METADATA.iter().any(|(known, ..)| *known == key) {
        true => Ok(key.to_string()),
        false => Err(Error::new(format!("unknown metadata column '{key}' of table {}", table.name))
            .nearest(key, METADATA.iter().map(|(known, ..)| *known))),
    }
}

impl FileProperties {
    fn value(&self, key: &str) -> ScalarValue {
        match key {
            "file.path" => ScalarValue::from(self.path.as_str()),
            "file.name" => ScalarValue::from(self.path.rsplit('/').next().unwrap_or_default()),
            "file.size" => ScalarValue::Int64(i64::try_from(self.size).ok()),
            _ => ScalarValue::TimestampMillisecond(Some(self.modified_ms), Some("UTC".into())),
        }
    }
}

/// Completes the rows of one file.
pub(super) struct FileColumns {
    schema: SchemaRef,
    columns: Vec<Column>,
}

enum Column {
    Record(usize),
    Constant(ScalarValue),
}

impl FileColumns {
    pub fn no_rows(&self) -> Batch {
        Batch::append(RecordBatch::new_empty(Arc::clone(&self.schema)))
    }

    /// The columns asked for, in their order; `rows` are those of the projection of the records.
    pub fn complete(&self, rows: &Batch) -> Result<Batch> {
        let columns = self.columns.iter().map(|column| match column {
            Column::Record(place) => Ok(Arc::clone(rows.rows().column(*place))),
            Column::Constant(value) => Ok(value.to_array_of_size(rows.len())?),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(rows.with_rows(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?))
    }
}
