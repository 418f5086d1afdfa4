//! Helpers for tests: small batches, and transcripts of operators.

mod transcript;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Field, SchemaRef};

use crate::aggregate::{AggregateCall, find};
use crate::operators::AggregateColumn;

pub use transcript::{appended, check, check_inputs, check_undisturbed, settled};

/// A batch of one text column `word`.
pub fn rows(words: &[&str]) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from(words.to_vec()));
    RecordBatch::try_from_iter([("word", column)]).expect("one column has one length")
}

/// An aggregate of rows of `input`.
pub fn aggregate_column(
    input: &SchemaRef,
    function: &str,
    argument: Option<usize>,
    retracting: bool,
) -> AggregateColumn {
    let function = find(function).expect("an aggregate of this name");
    let arguments: Vec<_> = argument.iter().map(|&n| Arc::clone(&input.fields()[n])).collect();
    let types: Vec<_> = arguments.iter().map(|field| field.data_type().clone()).collect();
    let result = function.resolve(&types).expect("it takes such arguments").result;
    let result = Arc::new(Field::new(function.name(), result, true));
    let call = AggregateCall { function, arguments, distinct: false, ignore_nulls: false, result, retracting };
    AggregateColumn { call, arguments: argument.into_iter().collect(), filter: None }
}
