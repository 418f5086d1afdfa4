//! One JSON object per line, written as the JSON format writes it to files and topics.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidemill_exec::ChangeBatch;
use tidemill_exec::connect::{Encoder, Format, Options, TableDefinition};
use tidemill_exec::formats::json::Json as JsonFormat;

use super::Renderer;
use crate::failure::Result;

pub struct Json {
    encoder: Box<dyn Encoder>,
    lines: Vec<u8>,
}

impl Json {
    /// # Errors
    /// The format cannot write a type of `schema`.
    pub fn new(schema: &SchemaRef) -> Result<Json> {
        let table = TableDefinition {
            name: "result".to_string(),
            schema: schema.clone(),
            metadata: Vec::new(),
            key: Vec::new(),
            partitioned_by: Vec::new(),
            // 1.50 rather than 1.5E0: what reads the output next may not know the other.
            options: Options::new([("json.encode.decimal-as-plain-number".to_string(), "true".to_string())]),
            time_zone: "UTC".to_string(),
            unread: Default::default(),
        };
        Ok(Json { encoder: JsonFormat.encoder(&table)?, lines: Vec::new() })
    }
}

impl Renderer for Json {
    fn rows(&mut self, rows: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        self.lines.clear();
        self.encoder.encode(&ChangeBatch::inserts(rows.clone()), &mut self.lines)?;
        out.write_all(&self.lines)?;
        Ok(())
    }
}
