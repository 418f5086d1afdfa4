//! What a lookup join asks for a batch, and what it makes of the answer. No waiting here.

use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use tidemill_state::KeyTable;

use super::LookupTable;
use crate::connect::Found;
use crate::error::Result;
use crate::message::Batch;
use crate::operator::ExplainLine;
use crate::operators::{Pairs, evaluate, numbered, take_all, with_mark};

/// Emits the columns of the left, then what is computed of the table's rows: for each row of the left once, with what is in the table when
/// it comes.
#[derive(Clone, Debug)]
pub struct LookupJoin {
    pub table: LookupTable,
    /// By column of the table's key, its value, over the left. A null finds nothing.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Over the columns that the table is asked for: which rows count, and what comes out of them.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    pub columns: Vec<Arc<dyn PhysicalExpr>>,
    /// Rows of the left without a match come out with nulls.
    pub outer: bool,
    /// The left may take rows back: [`Given`](crate::operators::Given) stands behind.
    pub is_marked: bool,
    /// What else must be true of a pair: over the columns that come out.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    pub limits: LookupLimits,
    /// Of the left's rows, and of theirs with those of the table.
    pub left: SchemaRef,
    pub schema: SchemaRef,
}

/// `table.exec.async-lookup.*`
#[derive(Clone, Copy, Debug)]
pub struct LookupLimits {
    /// Lookups under way at once, per shard; each is for the rows of a batch.
    pub capacity: usize,
    /// How long a lookup may take, with all it takes to ask again. `None`: for ever.
    pub timeout: Option<Duration>,
}

impl LookupJoin {
    /// `kind=left, on=[k = id], ...`: what it computes.
    fn meaning_line(&self, line: &mut ExplainLine) {
        line.field("table", &self.table.name).field("kind", if self.outer { "left" } else { "inner" });
        line.list("on", self.table.key().zip(&self.keys).map(|(column, value)| format!("{column} = {value}")));
        if let Some(filter) = &self.filter {
            line.field("filter", filter);
        }
        if let Some(condition) = &self.condition {
            line.field("condition", condition);
        }
    }

    /// What it computes, however it asks.
    pub fn meaning(&self) -> String {
        let mut line = ExplainLine::default();
        self.meaning_line(&mut line);
        line.list("columns", &self.columns);
        format!("lookup-join({line})")
    }

    /// Of what comes out.
    pub fn output(&self) -> SchemaRef {
        if self.is_marked { with_mark(&self.schema) } else { Arc::clone(&self.schema) }
    }

    /// One for each shard.
    pub(crate) fn open(&self) -> Result<Answering> {
        let types: Vec<DataType> =
            self.keys.iter().map(|key| key.data_type(&self.left)).collect::<std::result::Result<_, _>>()?;
        let right = self.schema.fields()[self.left.fields().len()..].to_vec();
        Ok(Answering {
            keys: KeyTable::new(&types)?,
            pairs: Pairs::new(self.outer, self.condition.clone(), self.is_marked, &self.schema),
            right: Arc::new(Schema::new(right)),
            join: self.clone(),
        })
    }
}

impl Display for LookupJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = ExplainLine::default();
        self.meaning_line(&mut line);
        write!(f, "lookup-join({line}, {})", self.table)
    }
}

/// A lookup join in one shard.
pub(crate) struct Answering {
    join: LookupJoin,
    /// Of one batch at a time.
    keys: KeyTable,
    pairs: Pairs,
    /// Of what comes out of the table's rows.
    right: SchemaRef,
}

/// What is asked for the rows of a batch.
pub(crate) struct Question {
    /// Different ones, none of them null.
    pub keys: RecordBatch,
    /// For each row of the batch, which of the keys is its, or none.
    of_row: Vec<Option<u32>>,
}

impl Answering {
    /// What to ask for these rows.
    pub fn question(&mut self, batch: &Batch) -> Result<Question> {
        let rows = batch.rows();
        let is_asked = |row: usize| !self.join.is_marked || batch.weight(row) > 0;
        let values = |key: &Arc<dyn PhysicalExpr>| Ok(key.evaluate(rows)?.into_array(rows.num_rows())?);
        let columns: Vec<ArrayRef> = self.join.keys.iter().map(values).collect::<Result<_>>()?;
        let kept: UInt32Array = (0..rows.num_rows())
            .filter(|&row| is_asked(row) && columns.iter().all(|key| key.is_valid(row)))
            .map(|row| row as u32)
            .collect();
        let columns = if kept.len() == rows.num_rows() { columns } else { take_all(&columns, &kept)? };
        self.keys.clear();
        let mut groups = Vec::new();
        self.keys.intern(&columns, kept.len(), &mut groups)?;
        let distinct: Vec<u32> = (0..self.keys.len() as u32).collect();
        let mut of_row = vec![None; rows.num_rows()];
        kept.values().iter().zip(groups).for_each(|(&row, key)| of_row[row as usize] = Some(key));
        Ok(Question { keys: self.join.table.keys(self.keys.columns(&distinct)?)?, of_row })
    }

    /// The rows of `left` with what was found for them.
    pub fn answer(&self, left: &Batch, question: &Question, found: Found, emit: impl FnMut(Batch)) -> Result<()> {
        let Found { mut rows, mut keys } = found.checked(question.keys.num_rows())?;
        if let Some(condition) = &self.join.filter {
            let keep = condition.evaluate(&rows)?.into_array(rows.num_rows())?;
            (rows, keys) = (
                filter_record_batch(&rows, keep.as_boolean())?,
                filter(&keys, keep.as_boolean())?.as_primitive().clone(),
            );
        }
        let rows = evaluate(&self.join.columns, &rows, &self.right)?;
        let by_key = ByKey::new(&keys, question.keys.num_rows());
        let matches = |row: usize| by_key.rows(question.of_row[row]);
        self.pairs.of(left, matches, |numbers| numbered(rows.columns(), numbers), emit)
    }
}

/// The numbers of rows, those of each key together, in their order.
struct ByKey {
    /// Where those of each key begin, and where the last end.
    starts: Vec<usize>,
    rows: Vec<u32>,
}

impl ByKey {
    fn new(of: &UInt32Array, keys: usize) -> ByKey {
        let mut starts = vec![0; keys + 1];
        of.values().iter().for_each(|&key| starts[key as usize + 1] += 1);
        (0..keys).for_each(|key| starts[key + 1] += starts[key]);
        let (mut next, mut rows) = (starts.clone(), vec![0; of.len()]);
        for (row, &key) in (0u32..).zip(of.values()) {
            rows[next[key as usize]] = row;
            next[key as usize] += 1;
        }
        ByKey { starts, rows }
    }

    fn rows(&self, key: Option<u32>) -> impl Iterator<Item = u32> + '_ {
        let of_key = key.map_or(&[][..], |key| &self.rows[self.starts[key as usize]..self.starts[key as usize + 1]]);
        of_key.iter().copied()
    }
}
