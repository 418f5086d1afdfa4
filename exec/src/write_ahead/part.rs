//! What is committed as a whole: some changes of one shard, in the order in which they came.
//!
//! A part is the length of its head (two bytes), the head (JSON), and the rows, in Arrow's stream format with the kind of each as last column, unless
//! the head says which file these are in.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt8Type};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemill_state::Epoch;
use tidemill_state::checkpoint::{FileEntry, Store};

use crate::changelog::{ChangeBatch, RowKind};
use crate::error::{Error, Result};

/// What is prepared, and later committed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Part {
    pub shard: u16,
    pub parallelism: u16,
    /// The one that had ended last.
    epoch: u64,
    /// Nothing of this shard follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_end: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileEntry>,
    /// If there is no file.
    #[serde(skip)]
    rows: Bytes,
}

impl Part {
    pub fn new(shard: u16, parallelism: u16, epoch: Epoch) -> Part {
        Part { shard, parallelism, epoch: epoch.0, is_end: false, file: None, rows: Bytes::new() }
    }

    pub fn in_file(self, file: FileEntry) -> Part {
        Part { file: Some(file), ..self }
    }

    pub fn with_rows(self, rows: Bytes) -> Part {
        Part { rows, ..self }
    }

    /// The last one of its shard.
    pub fn end(self) -> Part {
        Part { is_end: true, ..self }
    }

    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    pub fn to_bytes(&self) -> Result<Bytes> {
        let head = serde_json::to_vec(self).map_err(|error| damaged(error.to_string()))?;
        let length = u16::try_from(head.len()).map_err(|_| damaged("its head is too long".to_string()))?;
        Ok([&length.to_le_bytes()[..], &head, &self.rows].concat().into())
    }

    /// # Errors
    /// The bytes are no part.
    pub fn of(prepared: &Bytes) -> Result<Part> {
        let cut_short = || damaged("it is cut short".to_string());
        let length = usize::from(u16::from_le_bytes(*prepared.first_chunk().ok_or_else(cut_short)?));
        let head = prepared.get(2..2 + length).ok_or_else(cut_short)?;
        let head: Part = serde_json::from_slice(head).map_err(|error| damaged(error.to_string()))?;
        Ok(head.with_rows(prepared.slice(2 + length..)))
    }

    /// # Errors
    /// The file is not there, or not what was written.
    pub async fn changes(&self, store: &Store) -> Result<Vec<ChangeBatch>> {
        match &self.file {
            Some(file) => decode(store.verified(file).await?),
            None if self.rows.is_empty() => Ok(Vec::new()),
            None => decode(self.rows.clone()),
        }
    }
}

fn damaged(why: String) -> Error {
    Error::new("a part of a write-ahead log is damaged").why(why)
}

/// Changes on their way into a part.
pub struct Encoding {
    schema: SchemaRef,
    stream: StreamWriter<Vec<u8>>,
}

impl Encoding {
    /// For rows of this schema.
    pub fn new(rows: &SchemaRef) -> Result<Encoding> {
        let mut fields: Vec<_> = rows.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("kind", DataType::UInt8, false)));
        let schema = Arc::new(Schema::new(fields));
        Ok(Encoding { stream: StreamWriter::try_new(Vec::new(), &schema)?, schema })
    }

    /// All of one schema, at least one.
    pub fn push(&mut self, batches: &[ChangeBatch]) -> Result<()> {
        let schema = batches[0].rows.schema();
        let rows = arrow::compute::concat_batches(&schema, batches.iter().map(|changes| &changes.rows))?;
        let kinds = batches.iter().flat_map(|changes| (0..changes.rows.num_rows()).map(|row| changes.kind(row) as u8));
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(UInt8Array::from_iter_values(kinds)) as ArrayRef);
        Ok(self.stream.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?)
    }

    pub fn bytes(&self) -> usize {
        self.stream.get_ref().len()
    }

    pub fn finish(self) -> Result<Bytes> {
        Ok(self.stream.into_inner()?.into())
    }
}

fn decode(bytes: Bytes) -> Result<Vec<ChangeBatch>> {
    let batches = StreamReader::try_new(Cursor::new(bytes), None)?.map(|batch| {
        let batch = batch?;
        let last = batch.num_columns().checked_sub(1).ok_or_else(|| damaged("it has no column".to_string()))?;
        let kinds = batch.column(last).as_primitive_opt::<UInt8Type>();
        let kinds = kinds.ok_or_else(|| damaged("it does not say what kinds its changes are".to_string()))?;
        let kinds: Vec<RowKind> = kinds.values().iter().map(|&kind| kind_of(kind)).collect::<Result<_>>()?;
        let rows = batch.project(&(0..last).collect::<Vec<_>>())?;
        let is_append = kinds.iter().all(|kind| *kind == RowKind::Insert);
        Ok(ChangeBatch { rows, kinds: (!is_append).then_some(kinds) })
    });
    batches.collect()
}

fn kind_of(number: u8) -> Result<RowKind> {
    let kinds = [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
    let kind = kinds.into_iter().find(|kind| *kind as u8 == number);
    kind.ok_or_else(|| damaged(format!("{number} is no kind of change")))
}
