//! One value per record.

use super::Layout;
use crate::changelog::ChangeBatch;
use crate::connect::{Encoder, TableDefinition};
use crate::error::Result;
use crate::formats::physical_columns;
use crate::text::{CellKind, Cells};

pub struct RawEncoder {
    physical: Vec<usize>,
    layout: Layout,
}

impl RawEncoder {
    pub fn new(table: &TableDefinition, layout: Layout) -> RawEncoder {
        RawEncoder { physical: table.physical(), layout }
    }

    /// NULL has no bytes: the record is empty.
    fn push(&self, cells: &Cells, row: usize, out: &mut Vec<u8>) {
        if cells.is_null(row) {
            return;
        }
        let start = out.len();
        match &cells.kind {
            CellKind::Boolean(array) => out.push(u8::from(array.value(row))),
            CellKind::Int8(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            CellKind::Int16(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            CellKind::Int32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            CellKind::Int64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            CellKind::Float32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            CellKind::Float64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            _ => {
                if let Some(text) = cells.text(row) {
                    match self.layout.latin {
                        // What the charset has no byte for becomes a question mark, as in Java.
                        true => out.extend(text.chars().map(|c| u8::try_from(c).unwrap_or(b'?'))),
                        false => out.extend_from_slice(text.as_bytes()),
                    }
                } else if let Some(bytes) = cells.bytes(row) {
                    out.extend_from_slice(bytes);
                }
                return;
            }
        }
        if !self.layout.little_endian {
            out[start..].reverse();
        }
    }
}

impl Encoder for RawEncoder {
    fn encode(&mut self, changes: &ChangeBatch, out: &mut Vec<u8>) -> Result<()> {
        for column in physical_columns(&self.physical, &changes.rows) {
            let cells = Cells::new(changes.rows.column(column).as_ref());
            for row in 0..changes.rows.num_rows() {
                self.push(&cells, row, out);
                out.extend_from_slice(&self.layout.delimiter);
            }
        }
        Ok(())
    }
}
