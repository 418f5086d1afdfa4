//! `ORDER BY` as columns.

use std::fmt::{self, Display};

use arrow::compute::SortOptions;
use arrow::datatypes::Schema;
use arrow::row::{RowConverter, SortField};

use crate::error::Result;

/// By which column, in which direction, with nulls where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub column: usize,
    pub options: SortOptions,
}

impl Order {
    /// Makes rows comparable as bytes.
    pub(super) fn converter(order: &[Order], input: &Schema) -> Result<RowConverter> {
        let field =
            |order: &Order| SortField::new_with_options(input.field(order.column).data_type().clone(), order.options);
        Ok(RowConverter::new(order.iter().map(field).collect())?)
    }

    /// `price desc`
    pub(super) fn shown(self, input: &Schema) -> impl Display {
        let direction = if self.options.descending { "desc" } else { "asc" };
        let name = input.field(self.column).name().clone();
        fmt::from_fn(move |f| write!(f, "{name} {direction}"))
    }
}
