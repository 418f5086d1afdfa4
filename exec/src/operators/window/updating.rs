//! Windows whose results come more than once: before they close, and again for rows that come late (`table.exec.emit.*`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMillisecondType};
use tidemill_state::EventTime;
use tidemill_state::checkpoint::Distribution;

use super::assign::null_time;
use super::current::least;
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::operators::aggregate::{Aggregate, AggregateColumn, Aggregating, Emit, key_types, run_of_distinct};
use crate::progress::Waiting;
use crate::window::{Length, Window};

/// How often results that have changed go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firing {
    /// With every change: at the end of each epoch, or per row where the query emits per row.
    EachChange,
    /// So often by the wall clock.
    Every(Duration),
}

/// Results per key and window: when the window closes, if asked for also before, and again when late rows change them. Emits the
/// key columns, `window_start`, `window_end`, `window_time`, then one column per aggregate.
#[derive(Debug)]
pub struct UpdatingWindowAggregate {
    /// `window_start`, `window_end` and `window_time` of the input: rows come once per window.
    pub window: [usize; 3],
    /// Further columns of the input.
    pub keys: Vec<usize>,
    pub columns: Vec<AggregateColumn>,
    pub input: SchemaRef,
    /// How long after it has closed a window still takes rows.
    pub lateness: Duration,
    pub early: Option<Firing>,
    pub late: Firing,
    pub emit: Emit,
    pub schema: SchemaRef,
}

impl OperatorSpec for UpdatingWindowAggregate {
    fn name(&self) -> &'static str {
        "updating-window-aggregate"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("window", format_args!("attached({})", self.input.field(self.window[1]).name()));
        line.list("keys", self.schema.fields()[..self.keys.len()].iter().map(|field| field.name()));
        line.list("aggregates", self.columns.iter().map(|column| column.call.result.name()));
        let each = |firing: Firing| match firing {
            Firing::EachChange => "with each change".to_string(),
            Firing::Every(delay) => format!("every {}", Length(delay.as_millis() as i64)),
        };
        if let Some(early) = self.early {
            line.field("early", each(early));
        }
        line.field("late", each(self.late)).field("lateness", Length(self.lateness.as_millis() as i64));
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("one group per key and window that is open or still takes late rows")
    }

    fn needs_clock(&self) -> bool {
        [self.early, Some(self.late)].iter().flatten().any(|firing| matches!(firing, Firing::Every(_)))
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let keys: Vec<usize> = self.keys.iter().copied().chain(self.window).collect();
        let types = key_types(&self.input, &keys);
        let retracting = self.columns.iter().any(|column| column.call.retracting);
        let aggregate = Aggregate {
            keys: keys.clone(),
            columns: self.columns.clone(),
            input: Arc::clone(&self.input),
            partial: false,
            retracting,
            emit: self.emit,
            ttl: None,
            schema: Arc::clone(&self.schema),
        };
        Ok(Box::new(UpdatingWindows {
            results: Aggregating::new(&aggregate, &types, false)?,
            keys,
            time: self.window[2],
            lateness: self.lateness.as_millis() as i64,
            early: Timer::new(self.early),
            late: Timer::new(Some(self.late)),
            emit: self.emit,
            closes: Vec::new(),
            by_closing: BTreeMap::new(),
            watermark: EventTime::MIN,
            late_rows: 0,
            input: Arc::clone(&self.input),
        }))
    }
}

/// When results of a kind are due.
struct Timer {
    firing: Option<Firing>,
    /// By the wall clock.
    last: Option<EventTime>,
}

impl Timer {
    fn new(firing: Option<Firing>) -> Timer {
        Timer { firing, last: None }
    }

    /// Whether changes are due when they happen.
    fn is_immediate(&self) -> bool {
        self.firing == Some(Firing::EachChange)
    }

    /// Whether changes are due at this barrier.
    fn rings(&mut self, barrier: &Barrier) -> bool {
        match self.firing {
            None => false,
            Some(Firing::EachChange) => true,
            Some(Firing::Every(delay)) => {
                let last = *self.last.get_or_insert(barrier.time);
                let rings = barrier.time.0.saturating_sub(last.0) >= delay.as_millis() as i64;
                if rings {
                    self.last = Some(barrier.time);
                }
                rings
            }
        }
    }
}

struct UpdatingWindows {
    /// By key and window; a change goes out when it is due.
    results: Aggregating,
    /// Columns of the input, the window's last.
    keys: Vec<usize>,
    time: usize,
    lateness: i64,
    early: Timer,
    late: Timer,
    emit: Emit,
    /// Per group, when its window closes.
    closes: Vec<i64>,
    by_closing: BTreeMap<i64, Vec<u32>>,
    watermark: EventTime,
    late_rows: u64,
    input: SchemaRef,
}

impl Operator for UpdatingWindows {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let mut from = 0;
        for mark in batch.marks() {
            self.add(batch.slice(from, mark.row - from).without_marks(), out)?;
            from = mark.row;
            self.on_watermark(mark.time, out)?;
        }
        self.add(batch.slice(from, batch.len() - from).without_marks(), out)
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        let former = self.watermark;
        self.watermark = former.max(time);
        if self.by_closing.range(former.0.saturating_add(1)..=time.0).next().is_some() {
            let closes = &self.closes;
            let gone =
                self.results.emit_changes(|group| (former.0 + 1..=time.0).contains(&closes[group as usize]), out)?;
            self.forget(&gone)?;
        }
        self.expire(out)?;
        out.watermark(time);
        Ok(())
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        let (early, late) = (self.early.rings(barrier), self.late.rings(barrier));
        let (closes, watermark) = (&self.closes, self.watermark.0);
        let due = |group: u32| if closes[group as usize] > watermark { early } else { late };
        let gone = self.results.emit_changes(due, out)?;
        self.forget(&gone)
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let mut tables = self.results.snapshot()?;
        tables.push(self.results.pending()?);
        let last = |timer: &Timer| timer.last.unwrap_or(EventTime::MIN).0;
        let fields =
            [("watermark", self.watermark.0), ("early_fired", last(&self.early)), ("late_fired", last(&self.late))];
        let schema = Schema::new(fields.map(|(name, _)| Field::new(name, DataType::Int64, false)).to_vec());
        let columns = fields.map(|(_, value)| Arc::new(Int64Array::from(vec![value])) as ArrayRef).to_vec();
        // Rows find their shard by their keys without the window.
        let keys: Vec<usize> = (0..self.keys.len() - 3).collect();
        tables.iter_mut().for_each(|table| table.distribution = Distribution::ByKey(keys.clone()));
        let rows = RecordBatch::try_new(Arc::new(schema), columns)?;
        tables.push(TableSnapshot::whole("time", rows, Distribution::ToAll));
        Ok(tables)
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        let (groups, others): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.table == "groups");
        self.results.restore(groups)?;
        for TableSnapshot { table, rows, .. } in others {
            if table == "pending" {
                self.results.restore_pending(&rows)?;
                continue;
            }
            let last = |time: i64| (time > i64::MIN).then_some(EventTime(time));
            self.watermark = EventTime(least(&rows, 0));
            (self.early.last, self.late.last) = (last(least(&rows, 1)), last(least(&rows, 2)));
        }
        let live: Vec<u32> = self.results.groups.keys.live().collect();
        let keys = self.results.groups.keys.columns(&live)?;
        if let Some(times) = keys.last() {
            let times = times.as_primitive::<TimestampMillisecondType>();
            self.know(&live, times.values());
        }
        Ok(())
    }

    fn waiting(&self) -> Option<Waiting> {
        let closes = *self.by_closing.range(self.watermark.0.saturating_add(1)..).next()?.0;
        let groups = self.by_closing.get(&closes)?;
        let keys = self.results.groups.keys.columns(groups.get(..1)?).ok()?;
        let of = |from_last: usize| keys[keys.len() - from_last].as_primitive::<TimestampMillisecondType>().value(0);
        let window = Window { start: of(3), end: of(2) };
        let (closes, watermark) = (EventTime(closes), self.watermark);
        Some(Waiting { operator: "updating-window-aggregate", window: Some(window), closes, watermark })
    }

    fn late_rows(&self) -> u64 {
        self.late_rows
    }
}

impl UpdatingWindows {
    fn add(&mut self, batch: Batch, out: &mut Output) -> Result<()> {
        let column = batch.rows().column(self.time).as_primitive::<TimestampMillisecondType>();
        if column.null_count() > 0 {
            return Err(null_time(self.input.field(self.time).name()));
        }
        let in_time: BooleanArray = column
            .values()
            .iter()
            .map(|&closes| Some(closes.saturating_add(self.lateness) > self.watermark.0))
            .collect();
        let late = in_time.false_count();
        self.late_rows += late as u64;
        let batch = if late > 0 { batch.filter(&in_time)? } else { batch };
        if batch.is_empty() {
            return Ok(());
        }
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(batch.rows().column(key))).collect();
        let mut groups = Vec::new();
        self.results.groups.intern(&keys, batch.len(), &mut groups)?;
        let times = batch.rows().column(self.time).as_primitive::<TimestampMillisecondType>();
        self.know(&groups, times.values());
        if self.emit == Emit::Epoch {
            return self.results.apply(&groups, &batch);
        }
        let mut from = 0;
        while from < groups.len() {
            let run = run_of_distinct(&groups[from..]);
            self.results.apply(&groups[from..from + run], &batch.slice(from, run))?;
            let (early, late) = (self.early.is_immediate(), self.late.is_immediate());
            let (closes, watermark) = (&self.closes, self.watermark.0);
            let due = |group: u32| if closes[group as usize] > watermark { early } else { late };
            let empty = self.results.emit_changes(due, out)?;
            self.results.groups.reset(&empty);
            from += run;
        }
        Ok(())
    }

    /// Notes when the windows of groups close.
    fn know(&mut self, groups: &[u32], closes: &[i64]) {
        self.closes.resize(self.results.groups.rows.len(), i64::MIN);
        for (&group, &closes) in groups.iter().zip(closes) {
            let known = &mut self.closes[group as usize];
            if *known != closes {
                *known = closes;
                self.by_closing.entry(closes).or_default().push(group);
            }
        }
    }

    /// Forgets groups that have no rows.
    fn forget(&mut self, gone: &[u32]) -> Result<()> {
        for &group in gone {
            let closes = std::mem::replace(&mut self.closes[group as usize], i64::MIN);
            if let Some(groups) = self.by_closing.get_mut(&closes) {
                groups.retain(|known| *known != group);
                if groups.is_empty() {
                    self.by_closing.remove(&closes);
                }
            }
        }
        self.results.groups.remove(gone)
    }

    /// Forgets windows that take no more rows; their results stand.
    fn expire(&mut self, out: &mut Output) -> Result<()> {
        let until = self.watermark.0.saturating_sub(self.lateness);
        while let Some(first) = self.by_closing.first_entry()
            && *first.key() <= until
        {
            let groups = first.remove();
            let closes = &self.closes;
            self.results.emit_changes(|group| closes[group as usize] <= until, out)?;
            groups.iter().for_each(|&group| self.closes[group as usize] = i64::MIN);
            self.results.groups.remove(&groups)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::{aggregate_column as column, check};

    /// Over columns `key, start, end, time, value`: by key, `COUNT(*)` and `SUM(value)`.
    fn spec(input: &SchemaRef, early: Option<Firing>, late: Firing, emit: Emit) -> UpdatingWindowAggregate {
        let columns = vec![column(input, "COUNT", None, false), column(input, "SUM", Some(4), false)];
        let mut fields = input.fields()[..4].to_vec();
        fields.extend(columns.iter().map(|column| Arc::clone(&column.call.result)));
        UpdatingWindowAggregate {
            window: [1, 2, 3],
            keys: vec![0],
            columns,
            input: Arc::clone(input),
            lateness: Duration::from_secs(30),
            early,
            late,
            emit,
            schema: Arc::new(Schema::new(fields)),
        }
    }

    #[test]
    fn late_rows_change_a_result_until_the_lateness_is_over() {
        check(
            |input| spec(input, None, Firing::EachChange, Emit::EachRow),
            expect![[r#"
                columns user text, s time, e time, t time, amount int

                + ann 0:00 0:10 0:09.999 1
                + ann 0:00 0:10 0:09.999 2
                + bob 0:10 0:20 0:19.999 7
                ~ 0:12
                    => + ann  0:00  0:10  0:09.999  2  3
                    => ~ 0:12
                + ann 0:00 0:10 0:09.999 4
                    => - ann  0:00  0:10  0:09.999  2  3
                    => + ann  0:00  0:10  0:09.999  3  7
                + ann 0:00 0:10 0:09.999 5
                    => - ann  0:00  0:10  0:09.999  3  7
                    => + ann  0:00  0:10  0:09.999  4  12
                | 1
                ~ 0:39.998
                    => + bob  0:10  0:20  0:19.999  1  7
                    => ~ 0:39.998
                + cid 0:00 0:10 0:09.999 1
                    => + cid  0:00  0:10  0:09.999  1  1
                ~ 0:39.999
                    => ~ 0:39.999
                + ann 0:00 0:10 0:09.999 1    // too late
                | 2
                $
                    => $
            "#]],
        );
    }

    #[test]
    fn early_results_come_by_the_clock_and_late_ones_together() {
        let every = |seconds| Firing::Every(Duration::from_secs(seconds));
        check(
            |input| spec(input, Some(every(5)), every(10), Emit::Epoch),
            expect![[r#"
                columns user text, s time, e time, t time, amount int

                + ann 0:00 0:10 0:09.999 1
                | 1 0:20
                + ann 0:00 0:10 0:09.999 2
                | 2 0:24
                | 3 0:25
                    => + ann  0:00  0:10  0:09.999  2  3
                | 4 0:30
                + ann 0:00 0:10 0:09.999 4
                ~ 0:12
                    => - ann  0:00  0:10  0:09.999  2  3
                    => + ann  0:00  0:10  0:09.999  3  7
                    => ~ 0:12
                + ann 0:00 0:10 0:09.999 8
                | 5 0:36
                + bob 0:00 0:10 0:09.999 8
                | 6 0:40
                    => - ann  0:00  0:10  0:09.999  3  7
                    => + ann  0:00  0:10  0:09.999  4  15
                    => + bob  0:00  0:10  0:09.999  1  8
                $
                    => $
            "#]],
        );
    }
}
