//! `GROUP BY window_start, window_end, ...`

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMillisecondType};
use hashbrown::HashMap;
use tidemill_state::EventTime;

use super::TimeKind;
use super::assign::{null_time, window_columns};
use super::combine::{Combine, Combined, Kept};
use super::current::{restored, time_table};
use super::partition::{local_times, partition};
use super::slices::{Part, Pool, Slices};
use super::timed::Timed;
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::operators::AggregateColumn;
use crate::operators::aggregate::{Groups, key_types};
use crate::progress::Waiting;
use crate::window::{LocalClock, Shape, Window, Windows};

/// Which window, or slice of windows, a row belongs to.
#[derive(Clone, Debug)]
pub enum RowWindow {
    /// The slice that its time is in: a column of the input, a `Timestamp` in milliseconds.
    Slice { windows: Windows, time: usize },
    /// The one that columns of the input name: start and end (`Timestamp`s in milliseconds, of the local clock), and `window_time`.
    Attached { start: usize, end: usize, time: usize },
}

/// Results per key and window, when the window closes. Emits the key columns, `window_start`, `window_end`, `window_time`, then one column
/// per aggregate.
#[derive(Debug)]
pub struct WindowAggregate {
    pub window: RowWindow,
    pub kind: TimeKind,
    /// Columns of the input.
    pub keys: Vec<usize>,
    pub columns: Vec<AggregateColumn>,
    pub input: SchemaRef,
    /// The input are the rows of a [`LocalWindowAggregate`](super::LocalWindowAggregate) with the same windows, keys and aggregates.
    pub partial: bool,
    pub schema: SchemaRef,
}

impl OperatorSpec for WindowAggregate {
    fn name(&self) -> &'static str {
        "window-aggregate"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        match &self.window {
            RowWindow::Slice { windows, time } => {
                line.field("window", windows);
                if !self.partial {
                    line.field("time", self.input.field(*time).name());
                }
            }
            RowWindow::Attached { end, .. } => {
                line.field("window", format_args!("attached({})", self.input.field(*end).name()));
            }
        }
        line.list("keys", self.schema.fields()[..self.keys.len()].iter().map(|field| field.name()));
        line.list("aggregates", self.columns.iter().map(|column| column.call.result.name()));
        if self.kind == TimeKind::Processing {
            line.field("closed-by", "processing time");
        }
        if self.partial {
            line.field("phase", "global");
        }
    }

    /// The same with a local phase before it and without.
    fn meaning(&self) -> Option<String> {
        let mut line = ExplainLine::default();
        match &self.window {
            RowWindow::Slice { windows, .. } => line.field("window", windows),
            RowWindow::Attached { end, .. } => line.field("window", self.input.field(*end).name()),
        };
        line.list("keys", self.schema.fields()[..self.keys.len()].iter().map(|field| field.name()));
        line.list("aggregates", self.columns.iter().map(|column| column.call.result.name()));
        Some(format!("{}({line}, {:?})", self.name(), self.kind))
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("one group per key and slice of the open windows")
    }

    fn needs_clock(&self) -> bool {
        self.kind == TimeKind::Processing
    }

    fn waits_for_time(&self) -> bool {
        self.kind == TimeKind::Event
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let keys = match self.partial {
            true => self.schema.fields()[..self.keys.len()].iter().map(|field| field.data_type().clone()).collect(),
            false => key_types(&self.input, &self.keys),
        };
        let mut pool = Pool::new(keys, self.columns.clone());
        let (shape, clock) = match &self.window {
            RowWindow::Slice { windows, .. } => (windows.shape, windows.clock),
            RowWindow::Attached { .. } => (Shape::Tumble { size: 1 }, LocalClock::UTC),
        };
        let is_ordered = self.columns.iter().any(|column| column.call.function.is_ordered());
        Ok(Box::new(WindowAggregating {
            combine: Combine::of(shape, &mut pool, is_ordered)?,
            pool,
            slices: Slices::default(),
            clock,
            watermark: EventTime::MIN,
            boundary: EventTime::MIN,
            late: 0,
            window: self.window.clone(),
            kind: self.kind,
            keys: self.keys.clone(),
            partial: self.partial,
            input: Arc::clone(&self.input),
            schema: self.schema(),
        }))
    }
}

/// A slice; when the last window with it closes, if there is one; and which rows are in it, if not all.
type SliceRows = (Window, Option<EventTime>, Option<UInt32Array>);

struct WindowAggregating {
    slices: Slices,
    combine: Combine,
    pool: Pool,
    clock: LocalClock,
    /// Windows that close at or before this have closed: event time, or processing time.
    watermark: EventTime,
    /// No window closes before this: marks up to it change nothing.
    boundary: EventTime,
    late: u64,
    window: RowWindow,
    kind: TimeKind,
    keys: Vec<usize>,
    partial: bool,
    input: SchemaRef,
    schema: SchemaRef,
}

impl Operator for WindowAggregating {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let schema = Arc::clone(&self.schema);
        let mut timed = Timed::new(&schema);
        let mut from = 0;
        if self.kind == TimeKind::Event {
            for mark in batch.marks() {
                if mark.time < self.boundary || mark.time <= self.watermark {
                    continue;
                }
                self.add(&batch.slice(from, mark.row - from).without_marks())?;
                from = mark.row;
                self.pass(mark.time, &mut timed)?;
            }
        }
        self.add(&batch.slice(from, batch.len() - from).without_marks())?;
        if let Some(time) = batch.last_mark() {
            self.pass(time, &mut timed)?;
        }
        timed.send(out)
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        let schema = Arc::clone(&self.schema);
        let mut timed = Timed::new(&schema);
        self.pass(time, &mut timed)?;
        timed.send(out)
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        if self.kind == TimeKind::Event {
            return Ok(());
        }
        let schema = Arc::clone(&self.schema);
        let mut timed = Timed::new(&schema);
        self.advance(EventTime(barrier.time.0.saturating_sub(1)), &mut timed)?;
        timed.send(out)
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let mut tables = vec![self.slices.snapshot("slices", &mut self.pool)?];
        if let Some(prefixes) = self.combine.prefixes_mut() {
            tables.push(prefixes.snapshot("prefixes", &mut self.pool)?);
        }
        tables.push(time_table(self.watermark)?);
        Ok(tables)
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for table in tables {
            match (table.table.as_ref(), self.combine.prefixes_mut()) {
                ("slices", _) => self.slices.restore(&table.rows, &mut self.pool)?,
                ("prefixes", Some(prefixes)) => prefixes.restore(&table.rows, &mut self.pool)?,
                _ => {
                    self.watermark = restored(&table);
                    self.boundary = self.next_boundary();
                }
            }
        }
        Ok(())
    }

    fn waiting(&self) -> Option<Waiting> {
        // Processing time passes by itself.
        let (window, closes) = self.next_window(i64::MIN).filter(|_| self.kind == TimeKind::Event)?;
        Some(Waiting { operator: "window-aggregate", window: Some(window), closes, watermark: self.watermark })
    }

    fn late_rows(&self) -> u64 {
        self.late
    }
}

impl WindowAggregating {
    /// Adds rows to their slices.
    fn add(&mut self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        for (slice, closes, rows) in self.parts(batch)? {
            let part = match &rows {
                None => batch.clone(),
                Some(rows) => batch.take(rows)?,
            };
            let part = match self.partial {
                true => {
                    let (keys, rest) = part.rows().columns().split_at(self.keys.len());
                    Part::Partials { keys: keys.to_vec(), partials: rest[1..].to_vec(), length: part.len() }
                }
                false => Part::Rows {
                    keys: self.keys.iter().map(|&key| Arc::clone(part.rows().column(key))).collect(),
                    rows: part,
                },
            };
            // A slice without windows closes never: it lies between them.
            let Some(closes) = closes else { continue };
            if closes <= self.watermark {
                self.late += part.rows();
                continue;
            }
            if self.combine.add_late(slice, &part, &mut self.pool)? == Kept::InSlice {
                part.add_to(self.slices.get(slice, closes, &mut self.pool)?)?;
            }
        }
        Ok(())
    }

    /// The slices that rows are in, in order; when each closes; and which rows, if not all.
    fn parts(&self, batch: &Batch) -> Result<Vec<SliceRows>> {
        match &self.window {
            RowWindow::Slice { windows, time } => {
                let closes = |slice: Window| windows.last_of_slice(slice).map(|last| self.clock.closes_at(last.end));
                let parts = if self.partial {
                    // What is one millisecond before its end is in the slice.
                    let ends = batch.rows().column(self.keys.len()).as_primitive::<Int64Type>();
                    let within: Vec<i64> = ends.values().iter().map(|end| end - 1).collect();
                    partition(&within, windows)
                } else {
                    let times = self.times(batch, *time)?;
                    let local = local_times(times, &self.clock);
                    partition(&local, windows)
                };
                Ok(parts.into_iter().map(|(slice, rows)| (slice, closes(slice), rows)).collect())
            }
            RowWindow::Attached { start, end, time } => {
                let (starts, ends) = (self.times(batch, *start)?, self.times(batch, *end)?);
                let closes = self.times(batch, *time)?;
                let mut parts: Vec<(Window, EventTime, Vec<u32>)> = Vec::new();
                let mut places: HashMap<Window, usize> = HashMap::new();
                for row in 0..batch.len() {
                    let window = Window { start: starts.value(row), end: ends.value(row) };
                    let place = *places.entry(window).or_insert_with(|| {
                        parts.push((window, EventTime(closes.value(row)), Vec::new()));
                        parts.len() - 1
                    });
                    parts[place].2.push(row as u32);
                }
                parts.sort_unstable_by_key(|(window, ..)| *window);
                let all = |rows: Vec<u32>| (rows.len() < batch.len()).then(|| UInt32Array::from(rows));
                Ok(parts.into_iter().map(|(window, closes, rows)| (window, Some(closes), all(rows))).collect())
            }
        }
    }

    fn times<'a>(&self, batch: &'a Batch, column: usize) -> Result<&'a TimestampMillisecondArray> {
        let times = batch.rows().column(column).as_primitive::<TimestampMillisecondType>();
        match times.null_count() {
            0 => Ok(times),
            _ => Err(null_time(self.input.field(column).name())),
        }
    }

    /// A watermark: what it closes comes out before it.
    fn pass(&mut self, time: EventTime, timed: &mut Timed<'_>) -> Result<()> {
        // The end of input is the end of processing time too.
        if self.kind == TimeKind::Event || time == EventTime::MAX {
            self.advance(time, timed)?;
        }
        timed.watermark(time);
        Ok(())
    }

    /// Closes what is due.
    fn advance(&mut self, time: EventTime, timed: &mut Timed<'_>) -> Result<()> {
        if time <= self.watermark {
            return Ok(());
        }
        if time >= self.boundary {
            let mut closed = i64::MIN;
            loop {
                match self.next_window(closed) {
                    Some((window, closes)) if closes <= time => {
                        self.watermark = self.watermark.max(EventTime(closes.0.saturating_sub(1)));
                        self.close(window, closes, timed)?;
                        closed = window.end;
                    }
                    Some(_) => break,
                    None => {
                        self.combine.rest(&mut self.slices, &mut self.pool);
                        break;
                    }
                }
            }
        }
        self.watermark = time;
        self.boundary = self.next_boundary();
        Ok(())
    }

    fn next_boundary(&self) -> EventTime {
        match &self.window {
            RowWindow::Slice { windows, .. } if self.watermark > EventTime::MIN => windows.next_closing(self.watermark),
            // A row may name any window.
            _ => EventTime(self.watermark.0.saturating_add(1)),
        }
    }

    /// The next window to close that has rows and ends after `closed`, and at which watermark.
    fn next_window(&self, closed: i64) -> Option<(Window, EventTime)> {
        match &self.window {
            RowWindow::Attached { .. } => {
                self.slices.0.first_key_value().map(|(window, slice)| (*window, slice.closes))
            }
            RowWindow::Slice { windows, .. } => {
                let of_slices =
                    self.slices.0.keys().find_map(|slice| windows.first_open(*slice, self.watermark, closed));
                let of_prefixes = self.combine.prefixes().map(|prefix| match windows.shape {
                    Shape::Cumulate { step, .. } => Window { end: prefix.end + step, ..prefix },
                    _ => prefix,
                });
                let next = of_prefixes.chain(of_slices).min()?;
                Some((next, self.clock.closes_at(next.end)))
            }
        }
    }

    fn close(&mut self, window: Window, closes: EventTime, timed: &mut Timed<'_>) -> Result<()> {
        match self.combine.combine(window, &mut self.slices, &mut self.pool)? {
            Combined::Ready(groups) => results(groups, window, closes, &self.schema, timed)?,
            Combined::Made(groups) => {
                results(&groups, window, closes, &self.schema, timed)?;
                self.pool.give_back(*groups);
            }
        }
        Ok(())
    }
}

/// The results of a window, one row per key that has rows.
fn results(
    groups: &Groups,
    window: Window,
    closes: EventTime,
    schema: &SchemaRef,
    timed: &mut Timed<'_>,
) -> Result<()> {
    let live: Vec<u32> = groups.keys.live().filter(|&group| groups.is_live(group)).collect();
    if live.is_empty() {
        return Ok(());
    }
    let mut columns = groups.keys.columns(&live)?;
    let zone = schema.field(columns.len() + 2).data_type().clone();
    let (starts, ends) = (vec![window.start; live.len()], vec![window.end; live.len()]);
    columns.extend(window_columns(&starts, &ends, |_| closes, &zone));
    columns.extend(groups.evaluate(&live)?);
    timed.rows(RecordBatch::try_new(Arc::clone(schema), columns)?);
    Ok(())
}
