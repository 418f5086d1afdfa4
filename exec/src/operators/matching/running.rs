//! The running operator: rows in the order of time, by partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::row::{RowConverter, SortField};
use tidemill_state::{EventTime, KeyTable};

use super::MatchRecognize;
use super::navigation::Path;
use super::partition::{Found, Partition};
use super::rows::{RowRef, RowStore};
use crate::error::Result;
use crate::message::{Barrier, Batch, Mark};
use crate::operator::{Input, Operator, Output, TableSnapshot};
use crate::operators::aggregate::key_types;
use crate::operators::evaluate;
use crate::operators::window::{TimeKind, Timed, restored, time_table};

pub(super) struct Matching {
    spec: MatchRecognize,
    store: RowStore,
    keys: KeyTable,
    /// By group of `keys`.
    partitions: Vec<Partition>,
    /// Rows that the watermark has not passed, in the order in which they came, and whose they are.
    waiting: BTreeMap<i64, Vec<(RowRef, u32)>>,
    /// When a partition may have to give up its first row.
    deadlines: BTreeSet<(i64, u32)>,
    /// Partitions that may be without rows.
    emptied: Vec<u32>,
    order: RowConverter,
    watermark: EventTime,
    late: u64,
    /// Not emitted yet.
    found: Vec<Found>,
}

impl Operator for Matching {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let (chunk, groups) = self.add(batch.rows())?;
        let mut marks = batch.marks().iter().peekable();
        let mut passed = Vec::new();
        for (n, group) in groups.into_iter().enumerate() {
            while let Some(mark) = marks.next_if(|mark| mark.row <= n) {
                passed.push(self.advance(mark.time)?);
            }
            let row = RowStore::row(chunk, n);
            match self.spec.kind {
                TimeKind::Processing => self.take(row, group)?,
                TimeKind::Event if self.store.time(row) <= self.watermark.0 => {
                    self.late += 1;
                    self.store.release(row);
                    self.emptied.push(group);
                }
                TimeKind::Event => self.wait(row, group),
            }
        }
        for mark in marks {
            passed.push(self.advance(mark.time)?);
        }
        self.emit(passed, out)
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        let passed = self.advance(time)?;
        self.emit(vec![passed], out)
    }

    fn on_barrier(&mut self, barrier: &Barrier, out: &mut Output) -> Result<()> {
        if self.spec.kind == TimeKind::Processing {
            self.give_up(barrier.time.0)?;
            self.emit(Vec::new(), out)?;
        }
        let mut emptied = std::mem::take(&mut self.emptied);
        emptied.sort_unstable();
        emptied.dedup();
        for group in emptied {
            if self.partitions[group as usize].is_empty() {
                self.partitions[group as usize] = Partition::default();
                self.keys.remove(group);
            }
        }
        Ok(())
    }

    /// `rows`: those in partitions, then those that wait, and which they are.
    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let mut rows: Vec<RowRef> = self.partitions.iter().flat_map(|partition| partition.rows()).copied().collect();
        let passed = rows.len();
        rows.extend(self.waiting.values().flatten().map(|(row, _)| *row));
        let is_passed: BooleanArray = (0..rows.len()).map(|row| Some(row < passed)).collect();
        let mut fields = self.spec.input.fields().to_vec();
        fields.push(Arc::new(Field::new("passed", DataType::Boolean, false)));
        let mut columns = self.store.batch(&rows)?.columns().to_vec();
        columns.push(Arc::new(is_passed));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let keys = self.spec.partition.iter().copied();
        Ok(vec![TableSnapshot::by_key("rows", rows, keys), time_table(self.watermark)?])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for table in tables {
            if table.table == "time" {
                self.watermark = restored(&table);
                continue;
            }
            let (passed, columns) = table.rows.columns().split_last().expect("what has passed is a column");
            let (chunk, groups) = self.add(&RecordBatch::try_new(Arc::clone(&self.spec.input), columns.to_vec())?)?;
            for ((n, group), passed) in groups.into_iter().enumerate().zip(passed.as_boolean().values()) {
                let row = RowStore::row(chunk, n);
                if passed { self.take(row, group)? } else { self.wait(row, group) }
            }
        }
        Ok(())
    }

    fn late_rows(&self) -> u64 {
        self.late
    }
}

impl Matching {
    pub fn new(spec: MatchRecognize) -> Result<Matching> {
        let order = spec.order.iter().map(|order| {
            SortField::new_with_options(spec.input.field(order.column).data_type().clone(), order.options)
        });
        Ok(Matching {
            store: RowStore::new(Arc::clone(&spec.input)),
            keys: KeyTable::new(&key_types(&spec.input, &spec.partition))?,
            partitions: Vec::new(),
            waiting: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            emptied: Vec::new(),
            order: RowConverter::new(order.collect())?,
            watermark: EventTime::MIN,
            late: 0,
            found: Vec::new(),
            spec,
        })
    }

    /// Stores rows, and finds the partition of each.
    fn add(&mut self, rows: &RecordBatch) -> Result<(u32, Vec<u32>)> {
        let keys: Vec<ArrayRef> = self.spec.partition.iter().map(|&key| Arc::clone(rows.column(key))).collect();
        let mut groups = Vec::new();
        self.keys.intern(&keys, rows.num_rows(), &mut groups)?;
        self.partitions.resize_with(self.keys.groups(), Partition::default);
        Ok((self.store.add(&self.spec, rows.clone())?, groups))
    }

    fn wait(&mut self, row: RowRef, group: u32) {
        self.partitions[group as usize].waiting += 1;
        self.waiting.entry(self.store.time(row)).or_default().push((row, group));
    }

    /// The next row of a partition, in order.
    fn take(&mut self, row: RowRef, group: u32) -> Result<()> {
        let partition = &mut self.partitions[group as usize];
        partition.push(row);
        partition.run(&self.spec, &mut self.store, &mut self.found)?;
        self.settle(group);
        Ok(())
    }

    /// Notes what has changed by matching rows of a partition.
    fn settle(&mut self, group: u32) {
        let partition = &mut self.partitions[group as usize];
        if partition.is_empty() {
            self.emptied.push(group);
        }
        let Some(within) = self.spec.within else { return };
        let deadline = partition.rows().first().map(|first| self.store.time(*first).saturating_add(within));
        let before = std::mem::replace(&mut partition.deadline, deadline);
        if before != deadline {
            before.into_iter().for_each(|before| _ = self.deadlines.remove(&(before, group)));
            self.deadlines.extend(deadline.map(|deadline| (deadline, group)));
        }
    }

    /// No row at or before `time` comes any more. The mark says how many matches come before it.
    fn advance(&mut self, time: EventTime) -> Result<Mark> {
        while self.waiting.first_key_value().is_some_and(|(first, _)| *first <= time.0)
            && let Some((_, rows)) = self.waiting.pop_first()
        {
            for (row, group) in self.ordered(rows)? {
                self.partitions[group as usize].waiting -= 1;
                self.take(row, group)?;
            }
        }
        if self.spec.kind == TimeKind::Event {
            self.give_up(time.0)?;
        }
        self.watermark = time;
        Ok(Mark { row: self.found.len(), time })
    }

    /// Rows of the same time in the further order.
    fn ordered(&self, mut rows: Vec<(RowRef, u32)>) -> Result<Vec<(RowRef, u32)>> {
        if rows.len() > 1 && !self.spec.order.is_empty() {
            let batch = self.store.batch(&rows.iter().map(|(row, _)| *row).collect::<Vec<_>>())?;
            let columns: Vec<ArrayRef> =
                self.spec.order.iter().map(|order| Arc::clone(batch.column(order.column))).collect();
            let keys = self.order.convert_columns(&columns)?;
            let mut places: Vec<usize> = (0..rows.len()).collect();
            places.sort_by(|&a, &b| keys.row(a).cmp(&keys.row(b)));
            rows = places.into_iter().map(|place| rows[place]).collect();
        }
        Ok(rows)
    }

    /// Gives up first rows whose time for a match is over.
    fn give_up(&mut self, time: i64) -> Result<()> {
        while let Some(&(deadline, group)) = self.deadlines.first()
            && deadline <= time
        {
            self.partitions[group as usize].give_up(&self.spec, &mut self.store, &mut self.found)?;
            self.settle(group);
        }
        Ok(())
    }

    /// A row per match.
    fn measured(&self, found: &[Found]) -> Result<RecordBatch> {
        if found.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.spec.schema)));
        }
        let paths: Vec<Path<'_>> =
            found.iter().map(|found| Path { rows: &found.rows, variables: &found.variables }).collect();
        let navigated = self.spec.navigations.evaluate(&self.store, &paths)?;
        evaluate(&self.spec.measures, &navigated, &self.spec.schema)
    }

    /// Sends the matches that were found, with the watermarks between them.
    fn emit(&mut self, passed: Vec<Mark>, out: &mut Output) -> Result<()> {
        let found = std::mem::take(&mut self.found);
        let rows = self.measured(&found)?;
        let mut timed = Timed::new(&self.spec.schema);
        let mut sent = 0;
        for mark in passed {
            if mark.row > sent {
                timed.rows(rows.slice(sent, mark.row - sent));
                sent = mark.row;
            }
            timed.watermark(mark.time);
        }
        if found.len() > sent {
            timed.rows(rows.slice(sent, found.len() - sent));
        }
        timed.send(out)?;
        if self.store.tidy(self.partitions.len()) {
            let waiting = self.waiting.values_mut().flatten().map(|(row, _)| row);
            let rows = self.partitions.iter_mut().flat_map(Partition::rows_mut).chain(waiting);
            self.store.compact(&self.spec, rows.collect())?;
        }
        Ok(())
    }
}
