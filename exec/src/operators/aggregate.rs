//! `GROUP BY` over endless input: one live result row per key, kept up to date.
//!
//! Two phases where that pays: [`LocalAggregate`] before the exchange turns the rows of an epoch into partial states, one per key;
//! [`Aggregate`] behind it merges them (or takes rows directly), and emits how each key's result has changed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use tidemill_state::KeyTable;

use crate::aggregate::{Accumulator, AggregateCall};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};

/// When results go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// The net change of each key, at the end of each epoch.
    Epoch,
    /// A change per input row, as Flink does without mini-batch.
    EachRow,
}

/// One aggregate of the query, and where its input lies.
#[derive(Clone, Debug)]
pub struct AggregateColumn {
    pub call: AggregateCall,
    /// Columns of the input.
    pub arguments: Vec<usize>,
    /// A boolean column of the input: rows where it is not true do not count.
    pub filter: Option<usize>,
}

/// Results per key. Emits the key columns, then one column per aggregate.
#[derive(Debug)]
pub struct Aggregate {
    /// Columns of the input; without any, all rows are one group, and there is no result before the first row.
    pub keys: Vec<usize>,
    pub columns: Vec<AggregateColumn>,
    pub input: SchemaRef,
    /// The input are the rows of a [`LocalAggregate`] with the same keys and aggregates.
    pub partial: bool,
    /// Rows may disappear from the input.
    pub retracting: bool,
    pub emit: Emit,
    pub schema: SchemaRef,
}

impl Aggregate {
    /// `SELECT DISTINCT`: results that never change once they are there.
    fn is_distinct(&self) -> bool {
        self.columns.is_empty() && !self.retracting && !self.partial
    }
}

impl OperatorSpec for Aggregate {
    fn name(&self) -> &'static str {
        if self.is_distinct() { "distinct" } else { "aggregate" }
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        explain(line, &self.schema, self.keys.len(), &self.columns);
        if self.partial {
            line.field("phase", "global");
        }
        if self.emit == Emit::EachRow && !self.is_distinct() {
            line.field("emit", "each-row");
        }
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let key_types = if self.partial {
            self.schema.fields()[..self.keys.len()].iter().map(|field| field.data_type().clone()).collect()
        } else {
            key_types(&self.input, &self.keys)
        };
        Ok(Box::new(Aggregating {
            groups: Groups::new(&key_types, &self.columns)?,
            keys: self.keys.clone(),
            partial: self.partial,
            distinct: self.is_distinct(),
            emit: self.emit,
            schema: self.schema(),
            changed: Changed::default(),
        }))
    }
}

/// Partial states per key: the key columns, the net number of rows, then each aggregate's state columns.
#[derive(Debug)]
pub struct LocalAggregate {
    keys: Vec<usize>,
    columns: Vec<AggregateColumn>,
    input: SchemaRef,
    schema: SchemaRef,
}

impl LocalAggregate {
    pub fn new(keys: Vec<usize>, columns: Vec<AggregateColumn>, input: SchemaRef) -> Result<LocalAggregate> {
        let mut fields: Vec<Field> = keys.iter().map(|&key| input.field(key).clone()).collect();
        fields.push(Field::new("rows", DataType::Int64, false));
        for (n, column) in columns.iter().enumerate() {
            let state = column.call.function.accumulator(&column.call)?.state_types();
            fields.extend(
                state.into_iter().enumerate().map(|(part, state)| Field::new(format!("state{n}_{part}"), state, true)),
            );
        }
        Ok(LocalAggregate { keys, columns, input, schema: Arc::new(Schema::new(fields)) })
    }
}

impl OperatorSpec for LocalAggregate {
    fn name(&self) -> &'static str {
        "local-aggregate"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        explain(line, &self.schema, self.keys.len(), &self.columns);
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let key_types = key_types(&self.input, &self.keys);
        let groups = Groups::new(&key_types, &self.columns)?;
        let (keys, columns, schema) = (self.keys.clone(), self.columns.clone(), self.schema());
        Ok(Box::new(LocalAggregating { groups, key_types, keys, columns, schema }))
    }
}

fn key_types(input: &Schema, keys: &[usize]) -> Vec<DataType> {
    keys.iter().map(|&key| input.field(key).data_type().clone()).collect()
}

fn explain(line: &mut ExplainLine, schema: &Schema, keys: usize, columns: &[AggregateColumn]) {
    line.list("keys", schema.fields()[..keys].iter().map(|field| field.name()));
    if !columns.is_empty() {
        line.list("aggregates", columns.iter().map(|column| column.call.result.name()));
    }
}

/// Keys, row counts and accumulators, addressed by group.
struct Groups {
    keys: KeyTable,
    /// Net number of rows per group: a group is live while it is positive.
    rows: Vec<i64>,
    accumulators: Vec<(AggregateColumn, Box<dyn Accumulator>)>,
}

impl Groups {
    fn new(key_types: &[DataType], columns: &[AggregateColumn]) -> Result<Groups> {
        let accumulators = columns
            .iter()
            .map(|column| Ok((column.clone(), column.call.function.accumulator(&column.call)?)))
            .collect::<Result<_>>()?;
        Ok(Groups { keys: KeyTable::new(key_types)?, rows: Vec::new(), accumulators })
    }

    /// The group of each row, with room made for new ones.
    fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        self.keys.intern(keys, rows, groups)?;
        let groups = self.keys.groups();
        if groups > self.rows.len() {
            self.rows.resize(groups, 0);
            self.accumulators.iter_mut().for_each(|(_, accumulator)| accumulator.resize(groups));
        }
        Ok(())
    }

    /// Adds rows of the query's input.
    fn update(&mut self, groups: &[u32], rows: &RecordBatch, weights: Option<&[i64]>) -> Result<()> {
        match weights {
            None => groups.iter().for_each(|&group| self.rows[group as usize] += 1),
            Some(weights) => {
                groups.iter().zip(weights).for_each(|(&group, weight)| self.rows[group as usize] += weight)
            }
        }
        for (column, accumulator) in &mut self.accumulators {
            let arguments: Vec<ArrayRef> =
                column.arguments.iter().map(|&index| Arc::clone(rows.column(index))).collect();
            match column.filter {
                None => accumulator.update(groups, &arguments, weights)?,
                Some(filter) => {
                    let selected = selected(rows.column(filter).as_boolean());
                    let groups: Vec<u32> = selected.values().iter().map(|&row| groups[row as usize]).collect();
                    let weights: Option<Vec<i64>> =
                        weights.map(|weights| selected.values().iter().map(|&row| weights[row as usize]).collect());
                    let arguments = take_all(&arguments, &selected)?;
                    accumulator.update(&groups, &arguments, weights.as_deref())?;
                }
            }
        }
        Ok(())
    }

    /// Adds rows of a [`LocalAggregate`].
    fn merge(&mut self, groups: &[u32], rows: &RecordBatch, keys: usize) -> Result<()> {
        let counts = rows.column(keys).as_primitive::<Int64Type>();
        groups.iter().zip(counts.values()).for_each(|(&group, count)| self.rows[group as usize] += count);
        let mut next = keys + 1;
        for (_, accumulator) in &mut self.accumulators {
            let parts = accumulator.state_types().len();
            accumulator.merge(groups, &rows.columns()[next..next + parts])?;
            next += parts;
        }
        Ok(())
    }

    /// Key columns, net row counts and states of `groups`: what [`merge`](Self::merge) takes.
    fn partials(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = self.keys.columns(groups)?;
        columns.push(Arc::new(groups.iter().map(|&group| self.rows[group as usize]).collect::<Int64Array>()));
        for (_, accumulator) in &self.accumulators {
            columns.extend(accumulator.state(groups)?);
        }
        Ok(columns)
    }

    fn evaluate(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.accumulators.iter().map(|(_, accumulator)| accumulator.evaluate(groups)).collect()
    }

    fn is_live(&self, group: u32) -> bool {
        self.rows[group as usize] > 0
    }

    /// Forgets groups that have no rows any more.
    fn remove(&mut self, groups: &[u32]) {
        groups.iter().for_each(|&group| self.keys.remove(group));
        self.accumulators.iter_mut().for_each(|(_, accumulator)| accumulator.clear(groups));
    }
}

/// The rows where `filter` is true.
fn selected(filter: &BooleanArray) -> UInt32Array {
    (0u32..).zip(filter).filter(|(_, keep)| *keep == Some(true)).map(|(row, _)| row).collect()
}

fn take_all(columns: &[ArrayRef], indices: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| Ok(compute::take(column, indices, None)?)).collect()
}

struct Aggregating {
    groups: Groups,
    keys: Vec<usize>,
    partial: bool,
    distinct: bool,
    emit: Emit,
    schema: SchemaRef,
    changed: Changed,
}

/// Groups touched since results last went out, in order of first touch, and what their results were before.
#[derive(Default)]
struct Changed {
    /// Per group: whether it is in `groups`.
    is_changed: Vec<bool>,
    groups: Vec<u32>,
    /// Per entry of `groups`: its row in the concatenation of `before`, or `None` if it had no result.
    row_before: Vec<Option<u32>>,
    before: Vec<Vec<ArrayRef>>,
    rows_before: u32,
}

impl Operator for Aggregating {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let keys: Vec<ArrayRef> = if self.partial {
            batch.rows().columns()[..self.keys.len()].to_vec()
        } else {
            self.keys.iter().map(|&key| Arc::clone(batch.rows().column(key))).collect()
        };
        let known = self.groups.keys.groups();
        let mut groups = Vec::new();
        self.groups.intern(&keys, batch.len(), &mut groups)?;
        if self.distinct {
            let new: Vec<u32> = (known as u32..self.groups.keys.groups() as u32).collect();
            out.send(Batch::append(RecordBatch::try_new(Arc::clone(&self.schema), self.groups.keys.columns(&new)?)?));
            return Ok(());
        }
        if self.emit == Emit::Epoch {
            return self.apply(&groups, &batch);
        }
        let mut start = 0;
        while start < groups.len() {
            let run = run_of_distinct(&groups[start..]);
            self.apply(&groups[start..start + run], &batch.slice(start, run))?;
            self.emit_changes(out)?;
            start += run;
        }
        Ok(())
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        self.emit_changes(out)
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let live: Vec<u32> = self.groups.keys.live().collect();
        let columns = self.groups.partials(&live)?;
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(n, column)| {
                let name = match n.checked_sub(self.keys.len()) {
                    None => self.schema.field(n).name().clone(),
                    Some(0) => "rows".to_string(),
                    Some(n) => format!("state{n}"),
                };
                Field::new(name, column.data_type().clone(), true)
            })
            .collect();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(vec![TableSnapshot { table: "groups", rows }])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for TableSnapshot { rows, .. } in tables {
            let mut groups = Vec::new();
            self.groups.intern(&rows.columns()[..self.keys.len()], rows.num_rows(), &mut groups)?;
            self.groups.merge(&groups, &rows, self.keys.len())?;
        }
        Ok(())
    }
}

/// How many leading entries are pairwise different.
fn run_of_distinct(groups: &[u32]) -> usize {
    let mut seen = hashbrown::HashSet::with_capacity(groups.len().min(64));
    groups.iter().position(|group| !seen.insert(*group)).unwrap_or(groups.len())
}

impl Aggregating {
    fn apply(&mut self, groups: &[u32], batch: &Batch) -> Result<()> {
        self.touch(groups)?;
        if self.partial {
            self.groups.merge(groups, batch.rows(), self.keys.len())
        } else {
            self.groups.update(groups, batch.rows(), batch.weights().map(|weights| &weights.values()[..]))
        }
    }

    /// Remembers what the results of these groups are before they change.
    fn touch(&mut self, groups: &[u32]) -> Result<()> {
        let changed = &mut self.changed;
        changed.is_changed.resize(self.groups.rows.len(), false);
        let mut existing = Vec::new();
        for &group in groups {
            if std::mem::replace(&mut changed.is_changed[group as usize], true) {
                continue;
            }
            changed.groups.push(group);
            let is_live = self.groups.is_live(group);
            changed.row_before.push(is_live.then_some(changed.rows_before));
            if is_live {
                existing.push(group);
                changed.rows_before += 1;
            }
        }
        if !existing.is_empty() {
            changed.before.push(self.groups.evaluate(&existing)?);
        }
        Ok(())
    }

    /// Emits, for each changed group, its former result with weight -1 and its present one with +1, unless they are equal.
    fn emit_changes(&mut self, out: &mut Output) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        if changed.groups.is_empty() {
            self.changed = changed;
            return Ok(());
        }
        let live: Vec<u32> = changed.groups.iter().copied().filter(|&group| self.groups.is_live(group)).collect();
        let now = self.groups.evaluate(&live)?;
        let results = Results::new(&changed.before, now, changed.rows_before)?;

        let mut key_rows: Vec<u32> = Vec::with_capacity(changed.groups.len() * 2);
        let mut value_rows: Vec<u32> = Vec::with_capacity(changed.groups.len() * 2);
        let mut weights: Vec<i64> = Vec::with_capacity(changed.groups.len() * 2);
        let mut gone = Vec::new();
        let mut next_live = changed.rows_before;
        for (entry, (&group, &before)) in changed.groups.iter().zip(&changed.row_before).enumerate() {
            let after = self.groups.is_live(group).then(|| {
                next_live += 1;
                next_live - 1
            });
            if self.groups.rows[group as usize] == 0 {
                gone.push(group);
            }
            if let (Some(before), Some(after)) = (before, after)
                && results.equal(before, after)
            {
                continue;
            }
            for (row, weight) in [(before, -1), (after, 1)] {
                if let Some(row) = row {
                    key_rows.push(entry as u32);
                    value_rows.push(row);
                    weights.push(weight);
                }
            }
        }
        if !weights.is_empty() {
            let keys = self.groups.keys.columns(&changed.groups)?;
            let mut columns = take_all(&keys, &UInt32Array::from(key_rows))?;
            columns.extend(take_all(&results.columns, &UInt32Array::from(value_rows))?);
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(weights.len()));
            let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
            send_in_pieces(rows, weights, out);
        }
        self.groups.remove(&gone);
        self.changed = Changed { is_changed: changed.is_changed, groups: changed.groups, ..Changed::default() };
        self.changed.groups.drain(..).for_each(|group| self.changed.is_changed[group as usize] = false);
        Ok(())
    }
}

/// How many changed rows go out in one batch: what follows works on them while they are in the cache.
const PIECE_ROWS: usize = 8192;

/// Sends changes in batches of bounded size. A former result and the present one behind it are never parted: together they are an update.
fn send_in_pieces(rows: RecordBatch, weights: Vec<i64>, out: &mut Output) {
    let all = Batch::new(rows, weights.iter().any(|&weight| weight != 1).then(|| Int64Array::from(weights)));
    let mut start = 0;
    while start < all.len() {
        let mut end = (start + PIECE_ROWS).min(all.len());
        if end < all.len() && all.weight(end - 1) < 0 && all.weight(end) > 0 {
            end += 1;
        }
        out.send(all.slice(start, end - start));
        start = end;
    }
}

/// Former and present results one after the other, comparable by row.
struct Results {
    columns: Vec<ArrayRef>,
    comparators: Vec<arrow::array::DynComparator>,
}

impl Results {
    fn new(before: &[Vec<ArrayRef>], now: Vec<ArrayRef>, rows_before: u32) -> Result<Results> {
        if rows_before == 0 {
            return Ok(Results { columns: now, comparators: Vec::new() });
        }
        let mut columns = Vec::with_capacity(now.len());
        let mut comparators = Vec::with_capacity(now.len());
        for (n, now) in now.into_iter().enumerate() {
            let mut parts: Vec<&dyn Array> = before.iter().map(|part| part[n].as_ref()).collect();
            parts.push(now.as_ref());
            let column = compute::concat(&parts)?;
            comparators.push(comparator(&column)?);
            columns.push(column);
        }
        Ok(Results { columns, comparators })
    }

    fn equal(&self, a: u32, b: u32) -> bool {
        self.comparators.iter().all(|compare| compare(a as usize, b as usize).is_eq())
    }
}

/// Compares rows of one column; a type without an order is compared by content.
fn comparator(column: &ArrayRef) -> Result<arrow::array::DynComparator> {
    match arrow::array::make_comparator(column, column, compute::SortOptions::default()) {
        Ok(comparator) => Ok(comparator),
        Err(_) => {
            let column = Arc::clone(column);
            Ok(Box::new(move |a, b| {
                // Only equal or not is asked for.
                if column.slice(a, 1).to_data() == column.slice(b, 1).to_data() {
                    std::cmp::Ordering::Equal
                } else {
                    std::cmp::Ordering::Less
                }
            }))
        }
    }
}

/// Partial results go out at the latest when so many keys have gathered: the exchange evens out, and memory stays bounded.
const LOCAL_GROUPS: usize = 32 * 1024;

struct LocalAggregating {
    groups: Groups,
    key_types: Vec<DataType>,
    keys: Vec<usize>,
    columns: Vec<AggregateColumn>,
    schema: SchemaRef,
}

impl Operator for LocalAggregating {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(batch.rows().column(key))).collect();
        let mut groups = Vec::new();
        self.groups.intern(&keys, batch.len(), &mut groups)?;
        self.groups.update(&groups, batch.rows(), batch.weights().map(|weights| &weights.values()[..]))?;
        if self.groups.keys.len() >= LOCAL_GROUPS {
            self.emit(out)?;
        }
        Ok(())
    }

    fn on_barrier(&mut self, _: &Barrier, out: &mut Output) -> Result<()> {
        self.emit(out)
    }
}

impl LocalAggregating {
    fn emit(&mut self, out: &mut Output) -> Result<()> {
        if self.groups.keys.is_empty() {
            return Ok(());
        }
        let all: Vec<u32> = self.groups.keys.live().collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), self.groups.partials(&all)?)?;
        out.send(Batch::append(rows));
        self.groups = Groups::new(&self.key_types, &self.columns)?;
        Ok(())
    }
}
