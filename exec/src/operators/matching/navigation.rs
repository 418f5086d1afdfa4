//! What conditions and measures say of a match: `LAST(B.price, 1)`, `AVG(A.price)`.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use super::rows::{RowRef, RowStore};
use crate::aggregate::AggregateCall;
use crate::error::Result;

/// One value per match, out of its rows. Of a variable's rows, or of all if it is `None`.
#[derive(Clone, Debug)]
pub enum Navigation {
    /// `value`, an expression over the input, of the row that is `offset` rows from an end; null if there is none.
    Row { end: End, offset: usize, variable: Option<usize>, value: Arc<dyn PhysicalExpr> },
    Aggregate {
        call: AggregateCall,
        arguments: Vec<Arc<dyn PhysicalExpr>>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        variable: Option<usize>,
    },
    /// The variable that the last row is.
    Classifier,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    First,
    Last,
}

/// Rows of a match, or of a part of one, and which variable each of them is.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    pub rows: &'a [RowRef],
    pub variables: &'a [u8],
}

impl Path<'_> {
    fn row(&self, end: End, offset: usize, variable: Option<usize>) -> Option<RowRef> {
        let is_one = |&(_, of): &(&RowRef, &u8)| variable.is_none_or(|variable| usize::from(*of) == variable);
        let mut rows = self.rows.iter().zip(self.variables).filter(is_one);
        let found = match end {
            End::First => rows.nth(offset),
            End::Last => rows.rev().nth(offset),
        };
        found.map(|(row, _)| *row)
    }
}

/// Columns, a navigation each.
#[derive(Clone, Debug)]
pub struct Navigations {
    columns: Vec<Navigation>,
    /// Of the variables.
    names: Arc<[String]>,
    schema: SchemaRef,
}

impl Navigations {
    /// Columns over rows of `input`, called `$0`, `$1` and so on. `names` are those of the variables.
    ///
    /// # Errors
    /// An expression does not fit `input`.
    pub fn new(columns: Vec<Navigation>, names: Arc<[String]>, input: &Schema) -> Result<Navigations> {
        let field = |(n, column): (usize, &Navigation)| {
            let data_type = match column {
                Navigation::Row { value, .. } => value.data_type(input)?,
                Navigation::Aggregate { call, .. } => call.result.data_type().clone(),
                Navigation::Classifier => DataType::Utf8,
            };
            Ok(Field::new(format!("${n}"), data_type, true))
        };
        let fields = columns.iter().enumerate().map(field).collect::<Result<Vec<_>>>()?;
        Ok(Navigations { columns, names, schema: Arc::new(Schema::new(fields)) })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A row per path.
    pub(super) fn evaluate(&self, store: &RowStore, paths: &[Path<'_>]) -> Result<RecordBatch> {
        let columns =
            self.columns.iter().map(|column| self.column(column, store, paths)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(paths.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn column(&self, column: &Navigation, store: &RowStore, paths: &[Path<'_>]) -> Result<ArrayRef> {
        match column {
            Navigation::Row { end, offset, variable, value } => {
                let rows: Vec<_> = paths.iter().map(|path| path.row(*end, *offset, *variable)).collect();
                store.values(value, &rows)
            }
            Navigation::Aggregate { call, arguments, filter, variable } => {
                let mut accumulator = call.function.accumulator(call)?;
                accumulator.resize(paths.len());
                let (mut rows, mut groups) = (Vec::new(), Vec::new());
                for (group, path) in (0u32..).zip(paths) {
                    let is_one = |of: &u8| variable.is_none_or(|variable| usize::from(*of) == variable);
                    let of_variable = path.rows.iter().zip(path.variables).filter(|(_, of)| is_one(of));
                    rows.extend(of_variable.map(|(row, _)| Some(*row)));
                    groups.resize(rows.len(), group);
                }
                if let Some(filter) = filter {
                    let counts = store.values(filter, &rows)?;
                    let counts: Vec<bool> = counts.as_boolean().iter().map(|counts| counts == Some(true)).collect();
                    let mut of_rows = counts.iter();
                    rows.retain(|_| of_rows.next() == Some(&true));
                    let mut of_groups = counts.iter();
                    groups.retain(|_| of_groups.next() == Some(&true));
                }
                let arguments = arguments.iter().map(|value| store.values(value, &rows)).collect::<Result<Vec<_>>>()?;
                accumulator.update(&groups, &arguments, None)?;
                accumulator.evaluate(&(0..paths.len() as u32).collect::<Vec<_>>())
            }
            Navigation::Classifier => {
                let name = |path: &Path<'_>| path.variables.last().map(|of| self.names[usize::from(*of)].as_str());
                Ok(Arc::new(paths.iter().map(name).collect::<StringArray>()))
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::First => "FIRST",
            End::Last => "LAST",
        })
    }
}
