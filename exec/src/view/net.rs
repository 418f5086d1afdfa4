//! What changes come to when they are added up.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef};
use tidemill_state::KeyTable;

use crate::error::{Error, Result};
use crate::message::Batch;

/// Adds up the weights of equal rows.
pub struct Net {
    schema: SchemaRef,
    /// Rows as keys.
    rows: KeyTable,
    weights: Vec<i64>,
    numbers: Vec<u32>,
}

impl Net {
    /// # Errors
    /// Rows of these types cannot be compared.
    pub fn new(schema: &SchemaRef) -> Result<Net> {
        let rows = key_table(schema, &(0..schema.fields().len()).collect::<Vec<_>>())?;
        Ok(Net { schema: Arc::clone(schema), rows, weights: Vec::new(), numbers: Vec::new() })
    }

    /// The columns of `rows` are those of the schema; `weights` has one per row.
    pub fn add(&mut self, rows: &RecordBatch, weights: impl IntoIterator<Item = i64>) -> Result<()> {
        self.rows.intern(rows.columns(), rows.num_rows(), &mut self.numbers)?;
        self.weights.resize(self.rows.groups(), 0);
        for (&row, weight) in self.numbers.iter().zip(weights) {
            self.weights[row as usize] += weight;
        }
        Ok(())
    }

    pub fn add_batch(&mut self, batch: &Batch) -> Result<()> {
        self.add(batch.rows(), (0..batch.len()).map(|row| batch.weight(row)))
    }

    /// The rows whose weights do not come to zero, each once, in the order in which they first came. Begins anew.
    pub fn take(&mut self) -> Result<(RecordBatch, Vec<i64>)> {
        let left: Vec<u32> = self.rows.live().filter(|&row| self.weights[row as usize] != 0).collect();
        let weights = left.iter().map(|&row| self.weights[row as usize]).collect();
        let columns: Vec<ArrayRef> = self.rows.columns(&left)?;
        self.rows.clear();
        self.weights.clear();
        Ok((RecordBatch::try_new(Arc::clone(&self.schema), columns)?, weights))
    }

    /// The same as changes: rows that replace each other, as `identity` says, are halves of an update, one behind the other.
    pub fn take_changes(&mut self, identity: Option<&[usize]>) -> Result<Batch> {
        let (rows, weights) = self.take()?;
        if weights.iter().all(|&weight| weight == 1) {
            return Ok(Batch::append(rows));
        }
        let Some(key) = identity else { return Ok(Batch::new(rows, Some(Int64Array::from(weights)))) };
        let mut keys = key_table(&self.schema, key)?;
        let columns: Vec<ArrayRef> = key.iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let mut groups = Vec::new();
        keys.intern(&columns, rows.num_rows(), &mut groups)?;
        let (mut goes, mut comes) = (vec![false; keys.groups()], vec![false; keys.groups()]);
        for (&group, &weight) in groups.iter().zip(&weights) {
            let of = if weight < 0 { &mut goes } else { &mut comes };
            of[group as usize] = true;
        }
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|&row| (groups[row as usize], weights[row as usize] > 0));
        let is_update = |row: u32| goes[groups[row as usize] as usize] && comes[groups[row as usize] as usize];
        let updates: BooleanArray = order.iter().map(|&row| Some(is_update(row))).collect();
        let weights: Int64Array = order.iter().map(|&row| weights[row as usize]).collect();
        let rows = arrow::compute::take_record_batch(&rows, &UInt32Array::from(order))?;
        Ok(Batch::with_updates(rows, weights, updates))
    }
}

/// A table of the keys of rows of `schema`.
pub(super) fn key_table(schema: &SchemaRef, key: &[usize]) -> Result<KeyTable> {
    let types: Vec<DataType> = key.iter().map(|&column| schema.field(column).data_type().clone()).collect();
    KeyTable::new(&types).map_err(|error| {
        Error::new("a materialized view cannot keep rows of these types")
            .why(error.to_string())
            .fix("select only the columns you need")
    })
}
