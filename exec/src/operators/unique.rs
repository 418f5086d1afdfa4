//! Guards the primary key of a sink.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::util::display::array_value_to_string;

use crate::error::{Error, Result};
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};

/// Fails the job at a row that is not the first of its key. Rows come with their number among those of the key, in the last column.
#[derive(Debug, Clone)]
pub struct Unique {
    pub key: Vec<usize>,
    /// The sink's table, for the message.
    pub table: String,
    pub schema: SchemaRef,
}

impl OperatorSpec for Unique {
    fn name(&self) -> &'static str {
        "unique"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("key", self.key.iter().map(|&column| self.schema.field(column).name()));
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Guard(self.clone())))
    }
}

struct Guard(Unique);

impl Operator for Guard {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let rows = batch.rows();
        let numbers = rows.column(rows.num_columns() - 1).as_primitive::<Int64Type>();
        if let Some(row) = (0..batch.len()).find(|&row| numbers.value(row) > 1 && batch.weight(row) > 0) {
            return Err(self.conflict(&batch, row)?);
        }
        out.send(batch);
        Ok(())
    }
}

impl Guard {
    fn conflict(&self, batch: &Batch, row: usize) -> Result<Error> {
        let Unique { key, table, schema } = &self.0;
        let value = |&column: &usize| {
            let value = array_value_to_string(batch.rows().column(column), row)?;
            Ok(format!("{} = {value}", schema.field(column).name()))
        };
        let values = key.iter().map(value).collect::<Result<Vec<_>>>()?.join(", ");
        Ok(Error::new(format!("two rows have the primary key {values} of table {table}"))
            .why("the query gives both, and ON CONFLICT DO ERROR is asked for")
            .fix("write ON CONFLICT DO DEDUPLICATE to keep the last row, DO NOTHING to keep the first, or give the query's rows this key"))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn a_second_row_of_a_key_is_an_error_that_names_it() {
        let fields = vec![Field::new("k", DataType::Utf8, true), Field::new("number", DataType::Int64, true)];
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let spec = Unique { key: vec![0], table: "t".to_string(), schema: Arc::clone(&schema) };
        let mut guard = spec.open(&ShardContext::SINGLE).expect("it opens");
        let batch = |number: i64, weight: i64| {
            let key = Arc::new(StringArray::from(vec!["x"]));
            let rows = RecordBatch::try_new(Arc::clone(&schema), vec![key, Arc::new(Int64Array::from(vec![number]))]);
            Batch::new(rows.expect("two columns"), Some(Int64Array::from(vec![weight])))
        };
        let mut out = Output::default();
        for (number, weight) in [(1, 1), (2, -1), (1, -1)] {
            guard.on_batch(Input(0), batch(number, weight), &mut out).expect("there is one row");
        }
        let error = guard.on_batch(Input(0), batch(2, 1), &mut out).expect_err("there are two");
        assert!(error.to_string().contains("two rows have the primary key k = x of table t"), "{error}");
    }
}
