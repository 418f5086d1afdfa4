//! Every format, one file or folder each, and what they share: [`column`] (what decoders write into), [`rows`] (a batch in the making),
//! [`wrong`] (what can be wrong with a record).

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::connect::Format;

mod column;
pub mod csv;
pub mod json;
pub mod parquet;
pub mod raw;
mod rows;
mod scan;
mod wrong;

pub(crate) use wrong::type_name;

#[cfg(test)]
mod law;

/// Every built-in format, in the order the documentation shows them.
pub fn all() -> Vec<Arc<dyn Format>> {
    vec![
        Arc::new(json::Json),
        Arc::new(json::DEBEZIUM),
        Arc::new(json::OGG),
        Arc::new(json::MAXWELL),
        Arc::new(json::CANAL),
        Arc::new(csv::Csv),
        Arc::new(raw::Raw),
        Arc::new(parquet::Parquet),
    ]
}

/// Where the columns of a record are in `rows`: batches hold all columns of the table, or only the physical ones.
fn physical_columns(physical: &[usize], rows: &RecordBatch) -> impl Iterator<Item = usize> {
    let all = rows.num_columns() > physical.len();
    physical.iter().enumerate().map(move |(index, &column)| if all { column } else { index })
}
