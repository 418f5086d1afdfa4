//! A format of lines and a few tables, so that connectors are tested without the formats users know.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;

use crate::changelog::ChangeBatch;
use crate::connect::{
    Decoder, Encoder, Format, Offset, OptionKind, OptionSpec, Options, Reader, Registry, Skipped, SplitBatch, SplitId,
    TableDefinition,
};
use crate::error::{Error, Result};
use crate::message::Batch;

/// `lines`: fields between commas, all of them text, numbers are parsed; a line starting with `bad` is an error.
pub struct Lines;

/// So few that offsets at batch boundaries are tested with small files.
pub const ROWS_PER_BATCH: usize = 3;

impl Format for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn options(&self) -> &'static [OptionSpec] {
        const { &[OptionSpec::optional("lines.ignore-parse-errors", OptionKind::Boolean, "leave out bad lines")] }
    }

    fn decoder(&self, table: &TableDefinition, projection: &[usize]) -> Result<Box<dyn Decoder>> {
        let physical = table.physical();
        let places = projection.iter().map(|column| physical.iter().position(|p| p == column).unwrap()).collect();
        let schema = Arc::new(table.schema.project(projection)?);
        Ok(Box::new(LineDecoder { schema, places, lines: Vec::new() }))
    }

    fn encoder(&self, _table: &TableDefinition) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(LineEncoder))
    }
}

struct LineDecoder {
    schema: SchemaRef,
    places: Vec<usize>,
    lines: Vec<String>,
}

impl Decoder for LineDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        let mut consumed = 0;
        while self.lines.len() < ROWS_PER_BATCH && consumed < bytes.len() {
            let rest = &bytes[consumed..];
            let end = memchr::memchr(b'\n', rest);
            if end.is_none() && !last {
                break;
            }
            let line = &rest[..end.unwrap_or(rest.len())];
            if line.starts_with(b"bad") {
                if self.lines.is_empty() {
                    return Err(Error::new("bad line"));
                }
                break;
            }
            self.lines.push(String::from_utf8_lossy(line).trim_end_matches('\r').to_string());
            consumed += end.map_or(rest.len(), |end| end + 1);
        }
        Ok(consumed)
    }

    fn flush(&mut self) -> Result<Option<Batch>> {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return Ok(None);
        }
        let columns = self.places.iter().zip(self.schema.fields()).map(|(&place, field)| {
            let texts: StringArray = lines.iter().map(|line| line.split(',').nth(place)).collect();
            arrow::compute::cast(&texts, field.data_type()).unwrap()
        });
        let options = RecordBatchOptions::new().with_row_count(Some(lines.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.collect(), &options)?;
        Ok(Some(Batch::append(rows)))
    }

    fn skipped(&mut self) -> Option<Skipped> {
        None
    }
}

struct LineEncoder;

impl Encoder for LineEncoder {
    fn encode(&mut self, changes: &ChangeBatch, out: &mut Vec<u8>) -> Result<()> {
        for row in lines_of(&Batch::append(changes.rows.clone())) {
            out.extend_from_slice(row.as_bytes());
            out.push(b'\n');
        }
        Ok(())
    }
}

/// Rows as `a,1`; null is `null`.
pub fn lines_of(batch: &Batch) -> Vec<String> {
    let texts: Vec<ArrayRef> =
        batch.rows().columns().iter().map(|c| arrow::compute::cast(c, &DataType::Utf8).unwrap()).collect();
    (0..batch.len())
        .map(|row| {
            let fields = texts.iter().map(|t| if t.is_null(row) { "null" } else { t.as_string::<i32>().value(row) });
            fields.collect::<Vec<_>>().join(",")
        })
        .collect()
}

/// A table called `t` of the given columns and options.
pub fn table(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableDefinition {
    let fields: Vec<Field> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    TableDefinition {
        name: "t".to_string(),
        schema: Arc::new(Schema::new(fields)),
        metadata: vec![],
        key: vec![],
        partitioned_by: vec![],
        options: Options::new(options.iter().map(|(k, v)| (k.to_string(), v.to_string()))),
        time_zone: "UTC".to_string(),
        unread: Default::default(),
    }
}

/// A table of one text column in the format `lines`.
pub fn lines_table(options: &[(&str, &str)]) -> (TableDefinition, Arc<dyn Format>) {
    let mut table = table(&[("line", DataType::Utf8)], options);
    table.options.set("format", "lines");
    (table, Arc::new(Lines))
}

/// The built-in connectors and formats, and `lines`.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.add_format(Arc::new(Lines));
    registry
}

/// Rows (strings and numbers) for a sink.
pub fn changes(table: &TableDefinition, lines: &[&str]) -> ChangeBatch {
    let mut decoder = Lines.decoder(table, &table.physical()).unwrap();
    let mut batches = Vec::new();
    for line in lines {
        decoder.decode(line.as_bytes(), true).unwrap();
        batches.extend(decoder.flush().unwrap());
    }
    ChangeBatch::inserts(Batch::concat(&table.schema, &batches).unwrap().into_rows())
}

/// Everything a reader gives, as lines.
pub async fn read_all(reader: &mut dyn Reader) -> Result<Vec<String>> {
    Ok(read_batches(reader).await?.iter().flat_map(|batch| lines_of(&batch.rows)).collect())
}

pub async fn read_batches(reader: &mut dyn Reader) -> Result<Vec<SplitBatch>> {
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().await? {
        batches.push(batch);
    }
    Ok(batches)
}

/// A batch of `number` rows at offset `number`.
pub fn numbered(number: u64) -> SplitBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..number as i64));
    SplitBatch {
        split: SplitId::new("0"),
        rows: Batch::append(RecordBatch::try_new(schema, vec![column]).unwrap()),
        resume_at: Offset(Bytes::copy_from_slice(&number.to_be_bytes())),
        skipped: None,
        ended: false,
    }
}
