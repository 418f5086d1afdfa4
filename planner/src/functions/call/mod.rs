//! What every scalar function shares: how it is declared, how its arguments are checked, how a body reads them.
//!
//! A [`Function`] is a declaration: name, accepted argument lists, result type, and a body that computes a whole batch.
//! The body sees a [`Call`]: a constant argument stays one value, however many rows the batch has, so patterns, units
//! and formats are read once. If all arguments are constant, so is the result, and the body runs over one row.

mod batch;
mod function;
mod kind;
mod texts;

pub use batch::{Call, Column};
pub use function::{Arguments, Function, shown};
pub use kind::{Kind, sql_name};
pub use texts::{check_text_bytes, texts, try_texts};

#[cfg(test)]
pub mod testing;
