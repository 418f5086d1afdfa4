//! Interval join: pairs whose times are no further apart than so much.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use tidemill_state::EventTime;

use super::Join;
use super::joining::Joining;
use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::operators::in_time::null_time;
use crate::operators::window::{restored, time_table};

/// A join of rows that stay, whose condition bounds how far the times of a pair are apart: it emits a pair when its second row comes, a row
/// without a partner when the watermark has passed all it could match, and keeps no row longer. A row that is late is joined with what is
/// kept yet.
#[derive(Debug)]
pub struct IntervalJoin {
    /// Inner, left, right or full; its condition says the bounds too.
    pub join: Join,
    /// By input, a column of event time.
    pub times: [usize; 2],
    /// Of the time of the left minus that of the right, in milliseconds.
    pub least: i64,
    pub greatest: i64,
}

impl IntervalJoin {
    /// When no row that comes later matches any more one that is at `time`.
    fn done_at(&self, side: usize, time: i64) -> i64 {
        match side {
            0 => time.saturating_sub(self.least),
            _ => time.saturating_add(self.greatest),
        }
    }

    /// How far behind the watermark rows may come out.
    fn delay(&self) -> i64 {
        0.max(self.greatest).max(self.least.saturating_neg())
    }
}

impl OperatorSpec for IntervalJoin {
    fn name(&self) -> &'static str {
        "interval-join"
    }

    fn schema(&self) -> SchemaRef {
        self.join.schema()
    }

    fn explain(&self, line: &mut ExplainLine) {
        self.join.explain(line);
        let name = |side: usize| self.join.inputs[side].field(self.times[side]).name();
        line.field("apart", format_args!("{} - {} from {} ms to {} ms", name(0), name(1), self.least, self.greatest));
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("rows in the interval behind the watermark, rows ahead of it")
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        let spec = IntervalJoin { join: self.join.clone(), ..*self };
        let joining = Joining::of_pairs(&self.join, context.durable.is_some())?;
        Ok(Box::new(IntervalJoining { spec, joining, ends: Default::default(), watermark: EventTime::MIN }))
    }
}

struct IntervalJoining {
    spec: IntervalJoin,
    joining: Joining,
    /// By input, the rows that are kept, by when they are done with. A row may be there several times.
    ends: [BTreeMap<i64, Vec<u32>>; 2],
    watermark: EventTime,
}

impl IntervalJoining {
    /// Rows of an input are to be forgotten in time.
    fn remember(&mut self, side: usize, rows: &[u32]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let times = self.joining.values(side, self.spec.times[side], rows)?;
        for (&row, time) in rows.iter().zip(times.as_primitive::<TimestampMillisecondType>().values()) {
            self.ends[side].entry(self.spec.done_at(side, *time)).or_default().push(row);
        }
        Ok(())
    }

    /// Forgets rows that can have no further match; those without any come out.
    fn expire(&mut self, out: &mut Output) -> Result<()> {
        for side in [0, 1] {
            let mut done: Vec<u32> = Vec::new();
            while let Some(first) = self.ends[side].first_entry()
                && *first.key() <= self.watermark.0
            {
                done.extend(first.remove());
            }
            let mut known = std::collections::HashSet::new();
            done.retain(|row| known.insert(*row));
            self.joining.forget(side, &done, out)?;
        }
        Ok(())
    }
}

impl Operator for IntervalJoining {
    fn on_batch(&mut self, input: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let side = usize::from(input.0);
        let time = self.spec.times[side];
        if batch.rows().column(time).null_count() > 0 {
            return Err(null_time(self.spec.join.inputs[side].field(time).name()));
        }
        let rows = self.joining.pairs_of(side, batch, out)?;
        self.remember(side, &rows)?;
        self.expire(out)
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = time;
        self.expire(out)?;
        out.watermark(match time {
            EventTime::MAX => time,
            EventTime(time) => EventTime(time.saturating_sub(self.spec.delay())),
        });
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let mut tables = self.joining.snapshot()?;
        tables.push(time_table(self.watermark)?);
        Ok(tables)
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let (times, sides): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.table == "time");
        times.iter().for_each(|table| self.watermark = restored(table));
        self.joining.restore(sides)?;
        for side in [0, 1] {
            self.remember(side, &self.joining.rows_of(side))?;
        }
        Ok(())
    }
}
