//! Helpers for tests: small batches, and transcripts of operators.

mod transcript;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};

pub use transcript::{appended, check, check_inputs};

/// A batch of one text column `word`.
pub fn rows(words: &[&str]) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from(words.to_vec()));
    RecordBatch::try_from_iter([("word", column)]).expect("one column has one length")
}
