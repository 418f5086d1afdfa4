//! Every format, one file each.

use std::sync::Arc;

use crate::connect::Format;

mod parquet;

pub use self::parquet::Parquet;

/// Every built-in format, in the order the documentation shows them.
pub fn all() -> Vec<Arc<dyn Format>> {
    vec![Arc::new(Parquet)]
}
