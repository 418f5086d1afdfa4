//! OVER as it runs.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int64Type, Schema, SchemaRef, TimestampMillisecondType};
use arrow::row::{RowConverter, Rows};
use tidemill_state::{EventTime, KeyTable};

use super::frames::{Due, Framed, Round, kept, lag};
use super::history::History;
use super::{Over, OverFunction};
use crate::error::Result;
use crate::message::{Barrier, Batch};
use crate::operator::{Input, Operator, Output, TableSnapshot};
use crate::operators::aggregate::{key_types, send_in_pieces};
use crate::operators::dirty::{self, Dirty, state_table, with_deleted};
use crate::operators::idle::Idle;
use crate::operators::in_time::InTime;
use crate::operators::window::{restored, time_table};
use crate::operators::{Numbering, Order};
use crate::progress::Waiting;

pub(super) struct Running {
    keys: Vec<usize>,
    time: Option<usize>,
    order: Vec<Order>,
    takes_watermark: bool,
    schema: SchemaRef,
    input: SchemaRef,
    /// Rows ahead of the watermark.
    ahead: Option<InTime>,
    watermark: EventTime,
    late: u64,
    table: KeyTable,
    /// By group.
    counts: Vec<Counts>,
    functions: Vec<Function>,
    /// If some function looks back.
    history: Option<History>,
    /// The columns that the history has of the input.
    kept: Vec<usize>,
    /// Rows in the history after the last sweep.
    swept: usize,
    peers: RowConverter,
    dirty: Option<Dirty>,
    idle: Option<Idle>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    rows: i64,
    rank: i64,
    dense: i64,
}

enum Function {
    Number(Numbering),
    Lag { column: usize, offset: u64, default: Option<usize> },
    Aggregate(Framed),
}

impl Function {
    /// What it keeps of a group is more than rows.
    fn has_state(&self) -> bool {
        match self {
            Function::Number(_) => true,
            Function::Lag { .. } => false,
            Function::Aggregate(framed) => !framed.frame.is_bounded(),
        }
    }
}

/// The history is swept when it has more than this, and twice as many rows as after the last time.
const SWEEP_ROWS: usize = 1024;

impl Running {
    pub fn new(spec: &Over, incremental: bool) -> Result<Running> {
        let input: SchemaRef = Arc::new(Schema::new(spec.schema.fields()[..spec.width()].to_vec()));
        let kept = kept(&spec.keys, &spec.functions);
        let place = |column: usize| kept.iter().position(|&kept| kept == column).expect("all that is read is kept");
        let function = |function: &OverFunction| {
            Ok(match function {
                OverFunction::Number(numbering) => Function::Number(*numbering),
                OverFunction::Lag { argument, offset, default } => {
                    Function::Lag { column: place(*argument), offset: *offset, default: *default }
                }
                OverFunction::Aggregate { column, frame } => Function::Aggregate(Framed::new(column, *frame, place)?),
            })
        };
        let functions: Vec<Function> = spec.functions.iter().map(function).collect::<Result<_>>()?;
        let looks_back = spec.functions.iter().any(|function| match function {
            OverFunction::Lag { .. } => true,
            OverFunction::Aggregate { frame, .. } => frame.is_bounded(),
            OverFunction::Number(_) => false,
        });
        let ahead = spec.time.map(|time| InTime::new(&input, time, &spec.order)).transpose()?;
        Ok(Running {
            keys: spec.keys.clone(),
            time: spec.time,
            order: spec.order.clone(),
            takes_watermark: spec.takes_watermark,
            schema: Arc::clone(&spec.schema),
            ahead,
            watermark: EventTime::MIN,
            late: 0,
            table: KeyTable::new(&key_types(&input, &spec.keys))?,
            counts: Vec::new(),
            dirty: (incremental && functions.iter().any(Function::has_state)).then(Dirty::default),
            functions,
            history: looks_back.then_some(input.project(&kept)?).map(|schema| History::new(Arc::new(schema))),
            kept,
            swept: 0,
            peers: Order::converter(&spec.order, &input)?,
            idle: spec.ttl.map(Idle::new),
            input,
        })
    }

    fn groups_of(&mut self, rows: &RecordBatch, keys: &[usize]) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = keys.iter().map(|&key| Arc::clone(rows.column(key))).collect();
        let mut groups = Vec::new();
        self.table.intern(&keys, rows.num_rows(), &mut groups)?;
        let known = self.table.groups();
        self.counts.resize(known, Counts::default());
        for function in &mut self.functions {
            if let Function::Aggregate(framed) = function {
                framed.resize(known);
            }
        }
        if let Some(idle) = &mut self.idle {
            groups.iter().for_each(|&group| idle.used(group));
        }
        Ok(groups)
    }

    /// The columns computed for rows that are due, in order.
    fn results(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let groups = self.groups_of(rows, &self.keys.clone())?;
        let times: Vec<i64> = match self.time {
            Some(time) => rows.column(time).as_primitive::<TimestampMillisecondType>().values().to_vec(),
            None => vec![0; rows.num_rows()],
        };
        let is_peer = self.peers_of(rows, &groups, &times)?;
        let numbers = self.remember(rows, &groups, &times)?;
        let (single, peers) = (rounds(&groups, |_| false), rounds(&groups, |row| is_peer[row]));
        let due = Due { rows, groups: &groups, numbers: &numbers, times: &times, single, peers };
        let counts = self.count(&groups, &is_peer);
        let mut columns = rows.columns().to_vec();
        for function in &mut self.functions {
            columns.push(match function {
                Function::Number(numbering) => Arc::new(counts.iter().map(number(*numbering)).collect::<Int64Array>()),
                Function::Lag { column, offset, default } => {
                    let history = self.history.as_ref().expect("a function that looks back has a history");
                    lag(&due, history, *column, *offset, *default)?
                }
                Function::Aggregate(framed) => framed.results(&due, self.history.as_ref())?,
            });
        }
        self.trim(&groups)?;
        if let Some(dirty) = &mut self.dirty {
            groups.iter().for_each(|&group| dirty.mark(group));
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Which rows stand where the row before them in their group stands.
    fn peers_of(&self, rows: &RecordBatch, groups: &[u32], times: &[i64]) -> Result<Vec<bool>> {
        if self.time.is_none() {
            return Ok(vec![false; groups.len()]);
        }
        let columns: Vec<ArrayRef> = self.order.iter().map(|order| Arc::clone(rows.column(order.column))).collect();
        let order: Option<Rows> = match columns.is_empty() {
            true => None,
            false => Some(self.peers.convert_columns(&columns)?),
        };
        let mut last: HashMap<u32, usize> = HashMap::new();
        let is_equal = |a: usize, b: usize| {
            times[a] == times[b] && order.as_ref().is_none_or(|order| order.row(a) == order.row(b))
        };
        Ok((0..groups.len())
            .map(|row| last.insert(groups[row], row).is_some_and(|before| is_equal(before, row)))
            .collect())
    }

    /// Adds rows to the history, if there is one; their numbers in it.
    fn remember(&mut self, rows: &RecordBatch, groups: &[u32], times: &[i64]) -> Result<Vec<u64>> {
        let Some(history) = &mut self.history else { return Ok(Vec::new()) };
        let mut next: HashMap<u32, u64> = HashMap::new();
        let mut numbers = Vec::with_capacity(groups.len());
        for &group in groups {
            let number = next.entry(group).or_insert_with(|| history.end(group));
            numbers.push(*number);
            *number += 1;
        }
        history.add(rows.project(&self.kept)?, groups, times)?;
        Ok(numbers)
    }

    fn count(&mut self, groups: &[u32], is_peer: &[bool]) -> Vec<Counts> {
        let count = |(&group, &is_peer): (&u32, &bool)| {
            let counts = &mut self.counts[group as usize];
            counts.rows += 1;
            if !is_peer {
                counts.dense += 1;
                counts.rank = counts.rows;
            }
            *counts
        };
        groups.iter().zip(is_peer).map(count).collect()
    }

    /// Forgets rows that no frame of these groups reaches any more.
    fn trim(&mut self, groups: &[u32]) -> Result<()> {
        let Some(history) = &mut self.history else { return Ok(()) };
        for &group in groups {
            let first = self.functions.iter().filter_map(|function| match function {
                Function::Lag { offset, .. } => Some(history.end(group).saturating_sub(*offset)),
                Function::Aggregate(framed) if framed.frame.is_bounded() => Some(framed.start(group)),
                _ => None,
            });
            history.trim(group, first.min().unwrap_or(0));
        }
        history.compact()
    }

    /// Forgets groups whose rows the watermark has left behind, if all that is kept of them is a range.
    fn sweep(&mut self) -> Result<()> {
        let Some(history) = &mut self.history else { return Ok(()) };
        if history.len() <= SWEEP_ROWS.max(2 * self.swept) {
            return Ok(());
        }
        let groups: Vec<u32> = self.table.live().collect();
        for function in &mut self.functions {
            let Function::Aggregate(framed) = function else { return Ok(()) };
            let super::Frame::Range(Some(range)) = framed.frame else { return Ok(()) };
            let least = self.watermark.0.saturating_add(1).saturating_sub_unsigned(range);
            let starts: Vec<_> = groups.iter().map(|&group| (group, framed.start_at(history, group, least))).collect();
            framed.expire(history, &starts)?;
        }
        let mut gone = Vec::new();
        for group in groups {
            let framed = |function: &Function| match function {
                Function::Aggregate(framed) => framed.start(group),
                _ => 0,
            };
            let first = self.functions.iter().map(framed).min().unwrap_or(0);
            match first < history.end(group) {
                true => history.trim(group, first),
                false => gone.push(group),
            }
        }
        self.forget(&gone)?;
        self.swept = self.history.as_ref().map_or(0, History::len);
        Ok(())
    }

    /// Forgets groups, as if no row of theirs had come.
    fn forget(&mut self, groups: &[u32]) -> Result<()> {
        if let Some(dirty) = self.dirty.as_mut().filter(|_| !groups.is_empty()) {
            dirty.gone(self.table.columns(groups)?);
        }
        for &group in groups {
            self.table.remove(group);
            self.counts[group as usize] = Counts::default();
            self.history.iter_mut().for_each(|history| history.clear(group));
            for function in &mut self.functions {
                if let Function::Aggregate(framed) = function {
                    framed.clear(group);
                }
            }
        }
        self.history.as_mut().map_or(Ok(()), History::compact)
    }

    /// Rows wait for the watermark, if they are not late.
    fn add(&mut self, rows: RecordBatch) -> Result<()> {
        let latest = EventTime(self.watermark.0.saturating_sub(i64::from(self.takes_watermark)));
        if let Some(ahead) = &mut self.ahead {
            self.late += ahead.add_after(latest, rows)?;
        }
        Ok(())
    }

    fn advance(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        let due = match &mut self.ahead {
            Some(ahead) => ahead.due(time)?,
            None => None,
        };
        self.watermark = self.watermark.max(time);
        if let Some(rows) = due {
            let results = self.results(&rows)?;
            send_in_pieces(Batch::append(results), out);
            self.sweep()?;
        }
        Ok(())
    }
}

fn number(numbering: Numbering) -> impl Fn(&Counts) -> i64 {
    move |counts| match numbering {
        Numbering::RowNumber => counts.rows,
        Numbering::Rank => counts.rank,
        Numbering::DenseRank => counts.dense,
    }
}

/// Rows by turns of their groups; one that `joins` the row before it in its group comes in the same turn.
fn rounds(groups: &[u32], joins: impl Fn(usize) -> bool) -> Vec<Round> {
    let mut rounds: Vec<Round> = Vec::new();
    // The turn that a group was last in, and its place there.
    let mut last: HashMap<u32, (usize, u32)> = HashMap::new();
    for (row, &group) in groups.iter().enumerate() {
        let known = last.get(&group).copied();
        let (turn, place) = match known {
            Some(known) if joins(row) => known,
            _ => {
                let turn = known.map_or(0, |(turn, _)| turn + 1);
                if turn == rounds.len() {
                    rounds.push(Round::default());
                }
                rounds[turn].groups.push(group);
                (turn, rounds[turn].groups.len() as u32 - 1)
            }
        };
        last.insert(group, (turn, place));
        rounds[turn].rows.push(row as u32);
        rounds[turn].places.push(place);
    }
    rounds
}

impl Operator for Running {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        if self.ahead.is_none() {
            match (batch.is_empty(), batch.last_mark()) {
                (true, last) => last.into_iter().for_each(|time| out.watermark(time)),
                (false, _) => {
                    let results = self.results(batch.rows())?;
                    out.send(batch.with_rows(results));
                }
            }
            return Ok(());
        }
        let mut start = 0;
        for mark in batch.marks() {
            self.add(batch.rows().slice(start, mark.row - start))?;
            start = mark.row;
            self.on_watermark(mark.time, out)?;
        }
        self.add(batch.rows().slice(start, batch.len() - start))
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        self.advance(time, out)?;
        out.watermark(time);
        Ok(())
    }

    fn on_barrier(&mut self, barrier: &Barrier, _: &mut Output) -> Result<()> {
        let Some(idle) = &mut self.idle else { return Ok(()) };
        let mut unused = idle.due(barrier.time);
        unused.retain(|&group| self.table.is_live(group));
        self.forget(&unused)
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let mut tables = Vec::new();
        if self.functions.iter().any(Function::has_state) {
            tables.push(self.groups_table()?);
        }
        if let Some(history) = &self.history {
            let (rows, times) = history.snapshot()?;
            let schema = rows.schema();
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::new(Int64Array::from(times)));
            tables.push(TableSnapshot::by_key(
                "history",
                state_table(&schema, &["time"], columns)?,
                0..self.keys.len(),
            ));
        }
        if let Some(ahead) = &self.ahead {
            tables.push(TableSnapshot::by_key("rows", ahead.rows()?, self.keys.iter().copied()));
            tables.push(time_table(self.watermark)?);
        }
        Ok(tables)
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for table in tables {
            let rows = &table.rows;
            match table.table.as_ref() {
                "groups" => self.restore_groups(rows)?,
                "history" => {
                    let (times, columns) = rows.columns().split_last().expect("the time is a column");
                    let schema = Arc::new(self.input.project(&self.kept)?);
                    let options = RecordBatchOptions::new().with_row_count(Some(times.len()));
                    let rows = RecordBatch::try_new_with_options(schema, columns.to_vec(), &options)?;
                    let groups = self.groups_of(&rows, &(0..self.keys.len()).collect::<Vec<_>>())?;
                    let times = times.as_primitive::<Int64Type>().values();
                    let history = self.history.as_mut().expect("only a history is saved");
                    history.add(rows, &groups, times)?;
                    for function in &mut self.functions {
                        if let Function::Aggregate(framed) = function
                            && framed.frame.is_bounded()
                        {
                            framed.recall(history, self.table.live())?;
                        }
                    }
                }
                "rows" => {
                    let rows = RecordBatch::try_new(Arc::clone(&self.input), rows.columns().to_vec())?;
                    self.ahead.as_mut().expect("only rows that wait are saved").add(rows)?;
                }
                _ => self.watermark = restored(&table),
            }
        }
        Ok(())
    }

    fn waiting(&self) -> Option<Waiting> {
        let closes = self.ahead.as_ref()?.first()?;
        Some(Waiting { operator: "over", window: None, closes, watermark: self.watermark })
    }

    fn late_rows(&self) -> u64 {
        self.late
    }
}

impl Running {
    fn groups_table(&mut self) -> Result<TableSnapshot> {
        let (groups, gone, is_whole) = dirty::due(&mut self.dirty, &self.table);
        let mut columns = self.table.columns(&groups)?;
        let mut names = vec!["rows".to_string(), "rank".to_string(), "dense_rank".to_string()];
        let counted: [fn(&Counts) -> i64; 3] = [|of| of.rows, |of| of.rank, |of| of.dense];
        for of in counted {
            columns
                .push(Arc::new(groups.iter().map(|&group| of(&self.counts[group as usize])).collect::<Int64Array>()));
        }
        for (n, function) in self.functions.iter().enumerate() {
            if let Function::Aggregate(framed) = function
                && function.has_state()
            {
                for (part, state) in framed.accumulator.state(&groups)?.into_iter().enumerate() {
                    names.push(format!("state{n}_{part}"));
                    columns.push(state);
                }
            }
        }
        let keys = Schema::new(self.keys.iter().map(|&key| Arc::clone(&self.input.fields()[key])).collect::<Vec<_>>());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let replaces_by = self.dirty.is_some().then(|| (0..self.keys.len()).collect());
        if self.dirty.is_some() {
            columns = with_deleted(columns, gone)?;
        }
        let table = TableSnapshot::by_key("groups", state_table(&keys, &names, columns)?, 0..self.keys.len());
        Ok(TableSnapshot { replaces_by, is_whole, ..table })
    }

    fn restore_groups(&mut self, rows: &RecordBatch) -> Result<()> {
        let width = self.keys.len();
        let groups = self.groups_of(rows, &(0..width).collect::<Vec<_>>())?;
        let count = |n: usize| rows.column(width + n).as_primitive::<Int64Type>().values();
        for (n, &group) in groups.iter().enumerate() {
            self.counts[group as usize] = Counts { rows: count(0)[n], rank: count(1)[n], dense: count(2)[n] };
        }
        let mut next = width + 3;
        for function in &mut self.functions {
            let has_state = function.has_state();
            if let Function::Aggregate(framed) = function
                && has_state
            {
                let parts = framed.accumulator.state_types().len();
                framed.accumulator.merge(&groups, &rows.columns()[next..next + parts])?;
                next += parts;
            }
        }
        Ok(())
    }
}
