//! Behind a join with what is there when a row comes: a row that is taken back takes back what it was given, whatever is there by then.
//!
//! What the join emits has a column more, which says how rows belong together ([`with_mark`]): without it, two rows of one left row with a
//! match each could be one left row with two matches.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use tidemill_state::KeyTable;

use crate::error::{Error, Result};
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::operators::aggregate::{key_types, send_in_pieces, take_all};
use crate::operators::dirty::state_table;

/// What the column says: a further match of the row before.
pub(super) const FURTHER: i32 = 0;
/// The first match of a row.
pub(super) const FIRST: i32 = 1;
/// A row without a match, or one that is taken back, for which nothing was looked for.
pub(super) const ALONE: i32 = 2;

/// These columns and the one that [`Given`] reads.
pub fn with_mark(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().cloned();
    Arc::new(Schema::new(fields.chain([Arc::new(Field::new("$match", DataType::Int32, true))]).collect::<Vec<_>>()))
}

/// Emits the columns of the join. A row that is there already is given what it was given before.
#[derive(Clone, Debug)]
pub struct Given {
    /// Columns by which a row of the left that is taken back is known: all of its, but for processing times, which are others by then.
    pub known_by: Vec<usize>,
    /// Those of them that say in which shard a row is.
    pub keys: Vec<usize>,
    /// Rows of the left without a match come out with nulls.
    pub outer: bool,
    /// Of the left and the right.
    pub schema: SchemaRef,
}

impl OperatorSpec for Given {
    fn name(&self) -> &'static str {
        "given"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.list("of", self.known_by.iter().map(|&column| self.schema.field(column).name()));
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("the rows of the left that are there, with what they were given")
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let others: Vec<usize> = (0..self.schema.fields().len()).filter(|n| !self.known_by.contains(n)).collect();
        let kept = key_types(&self.schema, &others).into_iter().map(SortField::new);
        let unfit = |error: arrow::error::ArrowError| {
            let why = error.to_string();
            Error::new("a join cannot keep rows of these types").why(why).fix("select only the columns you need")
        };
        Ok(Box::new(Giving {
            table: KeyTable::new(&key_types(&self.schema, &self.known_by)).map_err(unfit)?,
            converter: RowConverter::new(kept.collect()).map_err(unfit)?,
            others,
            entries: Vec::new(),
            begun: None,
            spec: self.clone(),
        }))
    }
}

struct Giving {
    spec: Given,
    /// Rows of the left.
    table: KeyTable,
    /// The columns that are not known, and so are kept.
    others: Vec<usize>,
    converter: RowConverter,
    entries: Vec<Entry>,
    /// The row whose matches come, and how often it came.
    begun: Option<(u32, i64)>,
}

/// What a row of the left was given.
#[derive(Clone, Default)]
struct Entry {
    /// How often it is there.
    times: i64,
    /// What is kept of the rows that came out, in Arrow's row format.
    given: Vec<Arc<[u8]>>,
}

/// Rows to come out.
#[derive(Default)]
struct Emitted {
    /// By row of the batch, for what is known of them.
    row: Vec<u32>,
    given: Vec<Arc<[u8]>>,
    weights: Vec<i64>,
}

impl Emitted {
    fn push(&mut self, row: usize, given: &Arc<[u8]>, weight: i64) {
        self.row.push(row as u32);
        self.given.push(Arc::clone(given));
        self.weights.push(weight);
    }
}

impl Giving {
    fn take_in(&mut self, batch: &Batch) -> Result<Emitted> {
        let columns = batch.rows().columns();
        let of = |places: &[usize]| places.iter().map(|&n| Arc::clone(&columns[n])).collect::<Vec<ArrayRef>>();
        let mark = columns.last().expect("the mark is a column").as_primitive::<Int32Type>().values();
        let mut groups = Vec::new();
        self.table.intern(&of(&self.spec.known_by), batch.len(), &mut groups)?;
        self.entries.resize(self.table.groups(), Entry::default());
        let others = self.converter.convert_columns(&of(&self.others))?;
        let mut emitted = Emitted::default();
        for (row, &group) in groups.iter().enumerate() {
            let (entry, weight) = (&mut self.entries[group as usize], batch.weight(row));
            let bytes = || -> Arc<[u8]> { others.row(row).data().into() };
            if mark[row] == FURTHER {
                if let Some((_, change)) = self.begun.filter(|(begun, _)| *begun == group) {
                    let given = bytes();
                    emitted.push(row, &given, change);
                    entry.given.push(given);
                }
                continue;
            }
            // What is taken back before it comes is not there, and is not there when it comes.
            let (was, is) = (entry.times, entry.times + weight);
            let change = is.max(0) - was.max(0);
            let is_new = was <= 0 && is > 0;
            entry.times = is;
            self.begun = is_new.then_some((group, change));
            if is_new {
                entry.given = (mark[row] == FIRST || self.spec.outer).then(bytes).into_iter().collect();
            }
            if change != 0 {
                entry.given.iter().for_each(|given| emitted.push(row, given, change));
            }
        }
        for group in groups {
            if self.entries[group as usize].times == 0 && self.table.is_live(group) {
                self.entries[group as usize] = Entry::default();
                self.table.remove(group);
            }
        }
        Ok(emitted)
    }

    /// All columns of rows, from what is known of them and what was kept.
    fn columns(&self, known: Vec<ArrayRef>, given: &[Arc<[u8]>]) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let kept = self.converter.convert_rows(given.iter().map(|row| parser.parse(row)))?;
        let places = self.spec.known_by.iter().chain(&self.others).copied();
        let mut columns: Vec<(usize, ArrayRef)> = places.zip(known.into_iter().chain(kept)).collect();
        columns.sort_by_key(|(place, _)| *place);
        Ok(columns.into_iter().map(|(_, column)| column).collect())
    }
}

impl Operator for Giving {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let Emitted { row, given, weights } = self.take_in(&batch)?;
        let updates: BooleanArray = row.iter().map(|&row| Some(batch.is_update(row as usize))).collect();
        let rows = UInt32Array::from(row);
        let known: Vec<ArrayRef> =
            self.spec.known_by.iter().map(|&column| Arc::clone(batch.rows().column(column))).collect();
        let columns = self.columns(take_all(&known, &rows)?, &given)?;
        let rows = RecordBatch::try_new(Arc::clone(&self.spec.schema), columns)?;
        send_in_pieces(Batch::with_updates(rows, Int64Array::from(weights), updates), out);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let nothing: Vec<ArrayRef> =
            self.others.iter().map(|&n| new_null_array(self.spec.schema.field(n).data_type(), 1)).collect();
        let nothing: Arc<[u8]> = self.converter.convert_columns(&nothing)?.row(0).data().into();
        let (mut groups, mut given, mut times, mut is_given) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for group in self.table.live() {
            let entry = &self.entries[group as usize];
            let rows = if entry.given.is_empty() { std::slice::from_ref(&nothing) } else { &entry.given };
            for row in rows {
                groups.push(group);
                given.push(Arc::clone(row));
                times.push(entry.times);
                is_given.push(!entry.given.is_empty());
            }
        }
        let mut columns = self.columns(self.table.columns(&groups)?, &given)?;
        columns.push(Arc::new(Int64Array::from(times)));
        columns.push(Arc::new(BooleanArray::from(is_given)));
        let rows = state_table(&self.spec.schema, &["times", "is_given"], columns)?;
        Ok(vec![TableSnapshot::by_key("given", rows, self.spec.keys.iter().copied())])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let width = self.spec.schema.fields().len();
        for table in tables {
            let columns = table.rows.columns();
            let of = |places: &[usize]| places.iter().map(|&n| Arc::clone(&columns[n])).collect::<Vec<ArrayRef>>();
            let mut groups = Vec::new();
            self.table.intern(&of(&self.spec.known_by), table.rows.num_rows(), &mut groups)?;
            self.entries.resize(self.table.groups(), Entry::default());
            let others = self.converter.convert_columns(&of(&self.others))?;
            let times = columns[width].as_primitive::<Int64Type>();
            let is_given = columns[width + 1].as_boolean();
            for (row, group) in groups.into_iter().enumerate() {
                let entry = &mut self.entries[group as usize];
                entry.times = times.value(row);
                if is_given.value(row) {
                    entry.given.push(others.row(row).data().into());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    fn given(input: &SchemaRef, outer: bool) -> Given {
        let schema = Arc::new(Schema::new(input.fields()[..3].to_vec()));
        Given { known_by: vec![0, 1], keys: vec![0], outer, schema }
    }

    #[test]
    fn what_is_taken_back_is_what_was_given() {
        check(
            |input| given(input, true),
            expect![[r#"
                columns k text, n int, v int, mark small

                + x 1 10 1
                    => + x  1  10
                + x 1 11 0
                    => + x  1  11
                + y 1 null 2
                    => + y  1  null
                + z 1 null 1            // a match whose value is null
                    => + z  1  null
                | 1
                ! crash
                + x 1 12 1              // there already: given the same
                    => + x  1  10
                    => + x  1  11
                - y 1 null 2
                    => - y  1  null
                + y 2 20 1
                    => + y  2  20
                - x 1 null 2
                    => - x  1  10
                    => - x  1  11
                | 2
                ! crash
                - x 1 null 2
                    => - x  1  10
                    => - x  1  11
                - z 1 null 2
                    => - z  1  null
                + x 1 13 1              // it was gone: given anew
                    => + x  1  13
                - w 1 null 2            // taken back before it comes
                | 3
                ! crash
                + w 1 30 1
                + w 1 31 0
                - x 1 null 2
                    => - x  1  13
                $
                    => $
            "#]],
        );
    }

    #[test]
    fn a_processing_time_is_that_of_the_row_when_it_came() {
        check(
            |input| Given { known_by: vec![0], ..given(input, true) },
            expect![[r#"
                columns k text, at int, v int, mark small

                + x 100 10 1
                    => + x  100  10
                + y 100 null 2
                    => + y  100  null
                | 1
                ! crash
                - x 200 null 2
                    => - x  100  10
                - y 200 null 2
                    => - y  100  null
                + y 200 20 1
                    => + y  200  20
                $
                    => $
            "#]],
        );
    }

    #[test]
    fn an_inner_join_gives_nothing_where_there_was_no_match() {
        check(
            |input| given(input, false),
            expect![[r#"
                columns k text, n int, v int, mark small

                + x 1 null 2
                +2 y 1 10 1
                    => +2 y  1  10
                | 1
                ! crash
                - x 1 null 2
                - y 1 null 2
                    => - y  1  10
                $
                    => $
            "#]],
        );
    }
}
