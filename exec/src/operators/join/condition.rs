//! What must be true of rows that have been brought together.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::utils::collect_columns;

use super::side::Side;
use crate::error::Result;
use crate::operators::with_columns_at;

/// A condition over columns of several inputs; the others need not be there.
pub(super) struct Condition {
    expression: Arc<dyn PhysicalExpr>,
    /// By input, those of its columns that the condition looks at.
    columns: BTreeMap<usize, Vec<usize>>,
    schema: SchemaRef,
}

impl Condition {
    /// `expression` is over the columns of all inputs.
    pub fn new<'a>(
        expression: &Arc<dyn PhysicalExpr>,
        inputs: impl IntoIterator<Item = &'a SchemaRef>,
    ) -> Result<Condition> {
        let mut seen: Vec<usize> = collect_columns(expression).iter().map(|column| column.index()).collect();
        seen.sort_unstable();
        seen.dedup();
        let place = |column: usize| seen.binary_search(&column).expect("it is one that is seen");
        let expression = with_columns_at(expression, place)?;
        let (mut columns, mut fields, mut start) = (BTreeMap::new(), Vec::new(), 0);
        for (input, schema) in inputs.into_iter().enumerate() {
            let end = start + schema.fields().len();
            let of_input = seen.iter().filter(|column| (start..end).contains(column)).map(|column| column - start);
            let of_input: Vec<usize> = of_input.collect();
            fields.extend(of_input.iter().map(|&column| schema.field(column).clone().with_nullable(true)));
            if !of_input.is_empty() {
                columns.insert(input, of_input);
            }
            start = end;
        }
        Ok(Condition { expression, columns, schema: Arc::new(Schema::new(fields)) })
    }

    /// Whether it is true of each of `count` combinations, of which `rows` gives the rows of an input.
    pub fn holds(&self, sides: &[Side], rows: impl Fn(usize) -> Vec<u32>, count: usize) -> Result<BooleanArray> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (&input, wanted) in &self.columns {
            columns.extend(sides[input].some_columns(&rows(input), wanted)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(self.expression.evaluate(&rows)?.into_array(count)?.as_boolean().clone())
    }
}
