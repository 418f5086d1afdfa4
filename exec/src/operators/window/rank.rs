//! Window top-N and window deduplication: `ROW_NUMBER() OVER (PARTITION BY window_start, window_end, ... ORDER BY ...) <= n`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMillisecondType};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use hashbrown::HashMap;
use tidemill_state::EventTime;

use super::TimeKind;
use super::assign::null_time;
use super::current::{restored, time_table, watermark_column};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::operators::Order;
use crate::operators::aggregate::send_in_pieces;
use crate::progress::Waiting;
use crate::window::Window;

/// The rows of each window and key whose place in the order is between `first` and `last`, when the window closes.
///
/// Of rows that are equal in the order, the one that came first comes first, or the one that came last if `later_first`.
#[derive(Clone, Debug)]
pub struct WindowRank {
    /// Columns of the input: `window_start`, `window_end`, `window_time`.
    pub window: (usize, usize, usize),
    pub kind: TimeKind,
    /// Further columns of PARTITION BY.
    pub keys: Vec<usize>,
    pub order: Vec<Order>,
    /// Counted from 1.
    pub first: u64,
    pub last: u64,
    /// A last column says the place of the row, from 1.
    pub numbered: bool,
    pub later_first: bool,
    /// Rows may disappear from the input: any row may be needed yet, so none is forgotten before its window closes.
    pub retracting: bool,
    /// The input's fields, and if `numbered` a BIGINT.
    pub schema: SchemaRef,
}

impl OperatorSpec for WindowRank {
    fn name(&self) -> &'static str {
        "window-rank"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("window", format_args!("attached({})", self.schema.field(self.window.1).name()));
        line.list("keys", self.keys.iter().map(|&key| self.schema.field(key).name()));
        line.list("order", self.order.iter().map(|order| order.shown(&self.schema)));
        line.field("places", format_args!("{} to {}", self.first, self.last));
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("the first rows of each key and open window")
    }

    fn needs_clock(&self) -> bool {
        self.kind == TimeKind::Processing
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let width = self.schema.fields().len() - usize::from(self.numbered);
        let input = Arc::new(Schema::new(self.schema.fields()[..width].to_vec()));
        let fields = |columns: &[usize]| -> Vec<SortField> {
            columns.iter().map(|&column| SortField::new(input.field(column).data_type().clone())).collect()
        };
        Ok(Box::new(Ranking {
            spec: self.clone(),
            keys: RowConverter::new(fields(&self.keys))?,
            order: Order::converter(&self.order, &input)?,
            whole: RowConverter::new(fields(&(0..width).collect::<Vec<_>>()))?,
            input,
            open: BTreeMap::new(),
            watermark: EventTime::MIN,
            late: 0,
        }))
    }
}

struct Ranking {
    spec: WindowRank,
    keys: RowConverter,
    order: RowConverter,
    /// Finds the row that a retraction takes back.
    whole: RowConverter,
    input: SchemaRef,
    /// By when they close.
    open: BTreeMap<(EventTime, Window), Buffer>,
    watermark: EventTime,
    late: u64,
}

/// The rows of a window, in the order in which they came.
#[derive(Default)]
struct Buffer {
    batches: Vec<Batch>,
    rows: usize,
    /// Rows that were there when it was last pruned.
    pruned: usize,
}

/// A window is pruned when it has more than this, and twice as many as after the last time.
const PRUNE_ROWS: usize = 4096;

impl Operator for Ranking {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let last = batch.last_mark();
        self.add(batch)?;
        match last {
            Some(time) => self.on_watermark(time, out),
            None => Ok(()),
        }
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        if self.spec.kind == TimeKind::Event || time == EventTime::MAX {
            self.advance(time, out)?;
        }
        out.watermark(time);
        Ok(())
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        match self.spec.kind {
            TimeKind::Processing => self.advance(EventTime(barrier.time.0.saturating_sub(1)), out),
            TimeKind::Event => Ok(()),
        }
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let mut batches = vec![Batch::append(RecordBatch::new_empty(Arc::clone(&self.input)))];
        batches.extend(self.open.values().flat_map(|buffer| &buffer.batches).cloned());
        let all = Batch::concat(&self.input, &batches)?;
        let weights: Int64Array = (0..all.len()).map(|row| Some(all.weight(row))).collect();
        let mut fields = self.input.fields().to_vec();
        fields.push(Arc::new(Field::new("weight", DataType::Int64, false)));
        let mut columns = all.into_rows().columns().to_vec();
        columns.push(Arc::new(weights));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(vec![TableSnapshot::by_key("rows", rows, self.spec.keys.iter().copied()), time_table(self.watermark)?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let mut watermark = EventTime::MIN;
        for table in tables {
            match table.table.as_ref() {
                "time" => watermark = restored(&table),
                _ => {
                    let (weights, columns) = table.rows.columns().split_last().expect("the weights are a column");
                    let weights = weights.as_primitive::<Int64Type>().clone();
                    let rows = RecordBatch::try_new(Arc::clone(&self.input), columns.to_vec())?;
                    self.add(Batch::new(rows, self.spec.retracting.then_some(weights)))?;
                }
            }
        }
        self.watermark = watermark;
        Ok(())
    }

    fn waiting(&self) -> Option<Waiting> {
        let ((closes, window), _) = self.open.first_key_value().filter(|_| self.spec.kind == TimeKind::Event)?;
        Some(Waiting { operator: "window-rank", window: Some(*window), closes: *closes, watermark: self.watermark })
    }

    fn late_rows(&self) -> u64 {
        self.late
    }
}

impl Ranking {
    /// Keeps rows that are in time. A row belongs to one window, so it is enough to judge each by the watermark that it meets.
    fn add(&mut self, batch: Batch) -> Result<()> {
        let column = |n: usize| batch.rows().column(n).as_primitive::<TimestampMillisecondType>();
        let (starts, ends, times) =
            (column(self.spec.window.0), column(self.spec.window.1), column(self.spec.window.2));
        if times.null_count() > 0 {
            return Err(null_time(self.input.field(self.spec.window.2).name()));
        }
        let mut watermark = self.watermark;
        let watermarks = watermark_column(&batch, &mut watermark);
        let mut parts: Vec<((EventTime, Window), Vec<u32>)> = Vec::new();
        let mut places: HashMap<(EventTime, Window), usize> = HashMap::new();
        for row in 0..batch.len() {
            let closes = EventTime(times.value(row));
            let is_late = watermarks.is_valid(row) && closes.0 <= watermarks.value(row);
            if is_late && self.spec.kind == TimeKind::Event {
                self.late += 1;
                continue;
            }
            let window = (closes, Window { start: starts.value(row), end: ends.value(row) });
            let place = *places.entry(window).or_insert_with(|| {
                parts.push((window, Vec::new()));
                parts.len() - 1
            });
            parts[place].1.push(row as u32);
        }
        let batch = batch.without_marks();
        for (window, rows) in parts {
            let rows = if rows.len() == batch.len() { batch.clone() } else { batch.take(&UInt32Array::from(rows))? };
            let mut buffer = self.open.remove(&window).unwrap_or_default();
            buffer.rows += rows.len();
            buffer.batches.push(rows);
            if !self.spec.retracting && buffer.rows > PRUNE_ROWS.max(2 * buffer.pruned) {
                self.prune(&mut buffer)?;
            }
            self.open.insert(window, buffer);
        }
        Ok(())
    }

    /// Forgets rows behind the last place.
    fn prune(&self, buffer: &mut Buffer) -> Result<()> {
        let rows = self.net(buffer)?;
        let mut kept: Vec<u32> = self.ranked(&rows, 1)?.into_iter().map(|(row, _)| row).collect();
        kept.sort_unstable();
        let rows = compute::take_record_batch(&rows, &UInt32Array::from(kept))?;
        *buffer = Buffer { rows: rows.num_rows(), pruned: rows.num_rows(), batches: vec![Batch::append(rows)] };
        Ok(())
    }

    /// The rows of a window that were not taken back, in the order in which they came. The buffer then consists of them.
    fn net(&self, buffer: &mut Buffer) -> Result<RecordBatch> {
        let batch = Batch::concat(&self.input, &buffer.batches)?;
        let rows = match batch.weights().cloned() {
            None => batch.into_rows(),
            Some(weights) => {
                let bytes = self.whole.convert_columns(batch.rows().columns())?;
                let mut alive: Vec<i64> = weights.values().to_vec();
                let mut places: HashMap<OwnedRow, Vec<usize>> = HashMap::new();
                for row in 0..batch.len() {
                    let known = places.entry(bytes.row(row).owned()).or_default();
                    if alive[row] > 0 {
                        known.push(row);
                        continue;
                    }
                    while alive[row] < 0
                        && let Some(&taken) = known.last()
                    {
                        alive[row] += 1;
                        alive[taken] -= 1;
                        if alive[taken] == 0 {
                            known.pop();
                        }
                    }
                }
                let times = |(row, &times): (u32, &i64)| std::iter::repeat_n(row, times.max(0) as usize);
                let kept: UInt32Array = (0u32..).zip(&alive).flat_map(times).collect();
                compute::take_record_batch(batch.rows(), &kept)?
            }
        };
        *buffer = Buffer { rows: rows.num_rows(), pruned: buffer.pruned, batches: vec![Batch::append(rows.clone())] };
        Ok(rows)
    }

    /// Rows in places `first` to the last, with their places; those of a key together, in order.
    fn ranked(&self, rows: &RecordBatch, first: u64) -> Result<Vec<(u32, u64)>> {
        let converted = |converter: &RowConverter, columns: &mut dyn Iterator<Item = usize>| -> Result<Option<Rows>> {
            let columns: Vec<ArrayRef> = columns.map(|column| Arc::clone(rows.column(column))).collect();
            Ok(if columns.is_empty() { None } else { Some(converter.convert_columns(&columns)?) })
        };
        let keys = converted(&self.keys, &mut self.spec.keys.iter().copied())?;
        let order = converted(&self.order, &mut self.spec.order.iter().map(|order| order.column))?;
        let compare = |by: &Option<Rows>, a: u32, b: u32| {
            by.as_ref().map_or(Ordering::Equal, |by| by.row(a as usize).cmp(&by.row(b as usize)))
        };
        let arrival = |a: u32, b: u32| if self.spec.later_first { b.cmp(&a) } else { a.cmp(&b) };
        let mut sorted: Vec<u32> = (0..rows.num_rows() as u32).collect();
        sorted.sort_unstable_by(|&a, &b| {
            compare(&keys, a, b).then_with(|| compare(&order, a, b)).then_with(|| arrival(a, b))
        });
        let mut ranked = Vec::new();
        let (mut before, mut place) = (None, 0);
        for row in sorted {
            place = if before.is_some_and(|before| compare(&keys, before, row).is_eq()) { place + 1 } else { 1 };
            before = Some(row);
            if (first..=self.spec.last).contains(&place) {
                ranked.push((row, place));
            }
        }
        Ok(ranked)
    }

    fn advance(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        while let Some(first) = self.open.first_entry()
            && first.key().0 <= time
        {
            let mut buffer = first.remove();
            let rows = self.net(&mut buffer)?;
            let ranked = self.ranked(&rows, self.spec.first)?;
            let indices: UInt32Array = ranked.iter().map(|(row, _)| *row).collect();
            let mut columns = compute::take_arrays(rows.columns(), &indices, None)?;
            if self.spec.numbered {
                columns.push(Arc::new(ranked.iter().map(|(_, place)| *place as i64).collect::<Int64Array>()));
            }
            send_in_pieces(Batch::append(RecordBatch::try_new(self.spec.schema(), columns)?), out);
        }
        self.watermark = self.watermark.max(time);
        Ok(())
    }
}

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
