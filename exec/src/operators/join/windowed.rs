//! Window join: rows of the same window, once it has closed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMillisecondType};
use hashbrown::HashMap;
use tidemill_state::{Epoch, EventTime};

use super::Join;
use super::joining::Joining;
use crate::error::Result;
use crate::message::{Barrier, Batch, Message};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::operators::TimeKind;
use crate::operators::aggregate::send_in_pieces;
use crate::operators::dirty::state_table;
use crate::operators::window::{null_time, restored, time_table};
use crate::progress::Waiting;
use crate::window::Window;

/// A join whose keys are, among others, the start and the end of a window. Its results come when the window closes, and stay.
#[derive(Debug)]
pub struct WindowJoin {
    pub join: Join,
    /// By input: `window_start`, `window_end`, `window_time`.
    pub windows: [(usize, usize, usize); 2],
    pub kind: TimeKind,
}

impl OperatorSpec for WindowJoin {
    fn name(&self) -> &'static str {
        "window-join"
    }

    fn schema(&self) -> SchemaRef {
        self.join.schema()
    }

    fn explain(&self, line: &mut ExplainLine) {
        self.join.explain(line);
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("rows of open windows")
    }

    fn needs_clock(&self) -> bool {
        self.kind == TimeKind::Processing
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        // Seen at opening, not when the first window closes.
        Joining::new(&self.join, false)?;
        Ok(Box::new(WindowJoining {
            join: self.join.clone(),
            windows: self.windows,
            kind: self.kind,
            open: BTreeMap::new(),
            watermark: EventTime::MIN,
            late: 0,
        }))
    }
}

struct WindowJoining {
    join: Join,
    windows: [(usize, usize, usize); 2],
    kind: TimeKind,
    /// Rows by input, by when their windows close.
    open: BTreeMap<(EventTime, Window), [Vec<Batch>; 2]>,
    watermark: EventTime,
    late: u64,
}

impl WindowJoining {
    fn add(&mut self, side: usize, batch: Batch) -> Result<()> {
        let (start, end, time) = self.windows[side];
        let column = |n: usize| batch.rows().column(n).as_primitive::<TimestampMillisecondType>();
        let (starts, ends, times) = (column(start), column(end), column(time));
        if times.null_count() > 0 {
            return Err(null_time(self.join.inputs[side].field(time).name()));
        }
        let mut parts: Vec<((EventTime, Window), Vec<u32>)> = Vec::new();
        let mut places: HashMap<(EventTime, Window), usize> = HashMap::new();
        for row in 0..batch.len() {
            let closes = EventTime(times.value(row));
            if self.kind == TimeKind::Event && closes <= self.watermark {
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
        for (window, rows) in parts {
            let rows = if rows.len() == batch.len() { batch.clone() } else { batch.take(&UInt32Array::from(rows))? };
            self.open.entry(window).or_default()[side].push(rows);
        }
        Ok(())
    }

    fn advance(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(time);
        while let Some(first) = self.open.first_entry()
            && first.key().0 <= time
        {
            // Rows of other windows cannot match: each is a join of its own.
            let mut joining = Joining::new(&self.join, false)?;
            let mut changes = Output::default();
            for (side, batches) in (0u8..).zip(first.remove()) {
                for batch in batches {
                    joining.on_batch(Input(side), batch, &mut changes)?;
                }
            }
            joining.on_barrier(&Barrier::at_end(Epoch(0)), &mut changes)?;
            for message in changes.drain() {
                if let Message::Batch(batch) = message {
                    send_in_pieces(repeated(batch)?, out);
                }
            }
        }
        Ok(())
    }
}

impl WindowJoining {
    fn side(&self, side: usize, name: &'static str) -> Result<TableSnapshot> {
        let schema = &self.join.inputs[side];
        let mut batches = vec![Batch::append(RecordBatch::new_empty(Arc::clone(schema)))];
        batches.extend(self.open.values().flat_map(|rows| &rows[side]).cloned());
        let all = Batch::concat(schema, &batches)?;
        let weights: Int64Array = (0..all.len()).map(|row| Some(all.weight(row))).collect();
        let mut columns = all.into_rows().columns().to_vec();
        columns.push(Arc::new(weights));
        let rows = state_table(schema, &["weight"], columns)?;
        Ok(TableSnapshot::by_key(name, rows, self.join.keys[side].iter().copied()))
    }
}

/// Rows as often as they are there.
fn repeated(batch: Batch) -> Result<Batch> {
    if (0..batch.len()).all(|row| batch.weight(row) == 1) {
        return Ok(Batch::append(batch.into_rows()));
    }
    let times = |row: usize| std::iter::repeat_n(row as u32, batch.weight(row).max(0) as usize);
    let rows: UInt32Array = (0..batch.len()).flat_map(times).collect::<Vec<u32>>().into();
    Ok(Batch::append(arrow::compute::take_record_batch(batch.rows(), &rows)?))
}

impl Operator for WindowJoining {
    fn on_batch(&mut self, input: Input, batch: Batch, _: &mut Output) -> Result<()> {
        self.add(usize::from(input.0), batch)
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        if self.kind == TimeKind::Event || time == EventTime::MAX {
            self.advance(time, out)?;
        }
        out.watermark(time);
        Ok(())
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        match self.kind {
            TimeKind::Processing => self.advance(EventTime(barrier.time.0.saturating_sub(1)), out),
            TimeKind::Event => Ok(()),
        }
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        Ok(vec![self.side(0, "left")?, self.side(1, "right")?, time_table(self.watermark)?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let mut watermark = EventTime::MIN;
        for table in tables {
            let side = match table.table.as_ref() {
                "left" => 0,
                "right" => 1,
                _ => {
                    watermark = restored(&table);
                    continue;
                }
            };
            let (weights, columns) = table.rows.columns().split_last().expect("the weights are a column");
            let rows = RecordBatch::try_new(Arc::clone(&self.join.inputs[side]), columns.to_vec())?;
            let weights = weights.as_primitive::<Int64Type>().clone();
            let is_append = weights.values().iter().all(|weight| *weight == 1);
            self.add(side, Batch::new(rows, (!is_append).then_some(weights)))?;
        }
        self.watermark = watermark;
        Ok(())
    }

    fn waiting(&self) -> Option<Waiting> {
        let ((closes, window), _) = self.open.first_key_value().filter(|_| self.kind == TimeKind::Event)?;
        Some(Waiting { operator: "window-join", window: Some(*window), closes: *closes, watermark: self.watermark })
    }

    fn late_rows(&self) -> u64 {
        self.late
    }
}
