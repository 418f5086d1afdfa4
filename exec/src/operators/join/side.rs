//! The rows of one input, by join key.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use tidemill_state::{EventTime, KeyTable};

use super::blocks::Blocks;
use crate::error::{Error, Result};
use crate::operator::TableSnapshot;
use crate::operators::Ttl;
use crate::operators::dirty::{self, Dirty, Numbered, state_table, with_deleted};
use crate::operators::idle::Idle;

/// No row; or the group of rows that match nothing, as their key is null.
pub(super) const NONE: u32 = u32::MAX;
/// The group of a number that no row has.
const FREE: u32 = NONE - 1;

pub(super) struct Side {
    schema: SchemaRef,
    keys: Vec<usize>,
    /// Numbers of rows, which address all that is known of them.
    numbers: Numbers,
    rows: Vec<Row>,
    /// By group, the first of its rows, which are linked both ways.
    first: Vec<u32>,
    /// Rows whose changes have not gone out.
    touched: Vec<Touched>,
    counts_matches: bool,
    dirty: Option<Dirty>,
    /// What was restored has other columns than what is given: the next snapshot replaces it.
    is_converted: bool,
    idle: Option<Idle>,
}

enum Numbers {
    /// Equal rows are one row that is there several times.
    Distinct(KeyTable),
    /// Each row is one of its own: none is ever taken back, so nobody looks for it.
    Apart(Blocks),
}

#[derive(Clone, Copy)]
pub(super) struct Row {
    /// How often it is there.
    pub weight: i64,
    /// How many rows of the other side match it. Only kept where the key alone does not say that.
    pub matches: i64,
    pub group: u32,
    next: u32,
    previous: u32,
    /// One more than its place among those touched, or 0.
    place: u32,
}

/// What a row was when changes last went out.
#[derive(Clone, Copy)]
pub(super) struct Touched {
    pub row: u32,
    pub weight: i64,
    pub matches: i64,
    /// It has changed as a half of an update.
    pub is_update: bool,
}

impl Row {
    const NONE: Row = Row { weight: 0, matches: 0, group: FREE, next: NONE, previous: NONE, place: 0 };
}

impl Side {
    /// `append`: rows only come.
    pub fn new(
        schema: &SchemaRef,
        keys: &[usize],
        counts_matches: bool,
        append: bool,
        ttl: Option<Ttl>,
        incremental: bool,
    ) -> Result<Side> {
        let types: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let cannot_keep = |error: arrow::error::ArrowError| {
            let why = error.to_string();
            Error::new("a join cannot keep rows of these types").why(why).fix("select only the columns you need")
        };
        // Of rows that are forgotten in time, one that comes again is used again.
        let numbers = match append && ttl.is_none() {
            true => Numbers::Apart(Blocks::new(types)),
            false => Numbers::Distinct(KeyTable::new(&types).map_err(cannot_keep)?),
        };
        Ok(Side {
            schema: Arc::clone(schema),
            keys: keys.to_vec(),
            numbers,
            rows: Vec::new(),
            first: Vec::new(),
            touched: Vec::new(),
            counts_matches,
            dirty: incremental.then(Dirty::default),
            is_converted: false,
            idle: ttl.map(Idle::new),
        })
    }

    pub fn row(&self, row: u32) -> Row {
        self.rows[row as usize]
    }

    /// The rows of a group.
    pub fn of_group(&self, group: u32) -> impl Iterator<Item = u32> {
        let is_row = |row: &u32| *row != NONE;
        std::iter::successors(self.first_of(group), move |&row| Some(self.rows[row as usize].next).filter(is_row))
    }

    pub fn first_of(&self, group: u32) -> Option<u32> {
        self.first.get(group as usize).copied().filter(|&row| row != NONE)
    }

    /// The next of its group.
    pub fn next_of(&self, row: u32) -> Option<u32> {
        Some(self.rows[row as usize].next).filter(|&next| next != NONE)
    }

    pub fn has_group(&self, group: u32) -> bool {
        self.first_of(group).is_some()
    }

    pub fn keys(&self) -> &[usize] {
        &self.keys
    }

    pub fn width(&self) -> usize {
        self.schema.fields().len()
    }

    pub fn touched(&self) -> &[Touched] {
        &self.touched
    }

    /// What a row was, if it is among the first `of` that have been touched.
    pub fn before(&self, row: u32, of: usize) -> Option<Touched> {
        let place = self.rows[row as usize].place.checked_sub(1)? as usize;
        (place < of).then(|| self.touched[place])
    }

    /// How often a row was there, how often it is, and whether that is by updates.
    pub fn change_of(&self, row: u32) -> (i64, i64, bool) {
        let now = self.rows[row as usize].weight;
        match self.before(row, usize::MAX) {
            Some(before) => (before.weight, now, before.is_update && before.weight != now),
            None => (now, now, false),
        }
    }

    /// The numbers of rows, which are in these groups.
    pub fn intern(&mut self, rows: &RecordBatch, groups: &[u32]) -> Result<Vec<u32>> {
        let numbers = self.numbers.of(rows)?;
        self.link_all(&numbers, groups);
        Ok(numbers)
    }

    fn link_all(&mut self, numbers: &[u32], groups: &[u32]) {
        self.rows.resize(self.numbers.most(), Row::NONE);
        let most = groups.iter().filter(|&&group| group != NONE).max().map_or(0, |&group| group as usize + 1);
        self.first.resize(self.first.len().max(most), NONE);
        for (&row, &group) in numbers.iter().zip(groups) {
            if self.rows[row as usize].group == FREE {
                self.link(row, group);
            }
        }
    }

    fn link(&mut self, row: u32, group: u32) {
        let mut next = NONE;
        if group != NONE {
            next = std::mem::replace(&mut self.first[group as usize], row);
            if next != NONE {
                self.rows[next as usize].previous = row;
            }
        }
        self.rows[row as usize] = Row { group, next, ..Row::NONE };
    }

    fn unlink(&mut self, row: u32) {
        let Row { group, next, previous, .. } = std::mem::replace(&mut self.rows[row as usize], Row::NONE);
        if next != NONE {
            self.rows[next as usize].previous = previous;
        }
        if previous != NONE {
            self.rows[previous as usize].next = next;
        } else if group != NONE {
            self.first[group as usize] = next;
        }
    }

    fn touch(&mut self, row: u32, is_update: bool) {
        let Row { weight, matches, place, .. } = self.rows[row as usize];
        match place.checked_sub(1) {
            Some(place) => self.touched[place as usize].is_update |= is_update,
            None => {
                self.touched.push(Touched { row, weight, matches, is_update });
                self.rows[row as usize].place = self.touched.len() as u32;
                self.dirty.iter_mut().for_each(|dirty| dirty.mark(row));
                self.idle.iter_mut().for_each(|idle| idle.used(row));
            }
        }
    }

    pub fn add(&mut self, row: u32, weight: i64, is_update: bool) {
        self.touch(row, is_update);
        self.rows[row as usize].weight += weight;
    }

    pub fn add_matches(&mut self, row: u32, matches: i64) {
        if matches != 0 {
            self.touch(row, false);
            self.rows[row as usize].matches += matches;
        }
    }

    /// Changes have gone out: forgets rows that are not there any more, and gives the groups that they were in.
    pub fn settle(&mut self) -> Result<Vec<u32>> {
        let (mut gone, mut groups, mut known) = (Vec::new(), Vec::new(), Vec::new());
        for Touched { row, weight, .. } in self.touched.drain(..) {
            let of_row = &mut self.rows[row as usize];
            of_row.place = 0;
            // A row that was forgotten may be taken back, which is not to be remembered.
            let is_gone = of_row.weight == 0 || self.idle.is_some() && of_row.weight < 0;
            // What matches nothing need not be kept: its changes are those of its weight.
            if is_gone || of_row.group == NONE {
                gone.push(row);
                groups.push(of_row.group);
                known.extend((weight != 0).then_some(row));
            }
        }
        self.mark_gone(&known)?;
        self.remove(&gone)?;
        groups.retain(|&group| group != NONE && !self.has_group(group));
        Ok(groups)
    }

    /// Forgets rows, whose changes have gone out, without that being a change; gives the groups that have none any more.
    pub fn forget(&mut self, rows: &[u32]) -> Result<Vec<u32>> {
        let mut groups: Vec<u32> = rows.iter().map(|&row| self.rows[row as usize].group).collect();
        self.mark_gone(rows)?;
        self.remove(rows)?;
        groups.retain(|&group| group != NONE && !self.has_group(group));
        Ok(groups)
    }

    /// Forgets rows that have not been used for long, as [`forget`](Self::forget) does. Not while any is touched.
    pub fn forget_unused(&mut self, now: EventTime) -> Result<Vec<u32>> {
        let Some(idle) = &mut self.idle else { return Ok(Vec::new()) };
        let mut unused = idle.due(now);
        unused.retain(|&row| self.rows[row as usize].weight != 0);
        self.forget(&unused)
    }

    /// The numbers of all rows.
    pub fn all(&self) -> Vec<u32> {
        self.numbers.live()
    }

    fn mark_gone(&mut self, rows: &[u32]) -> Result<()> {
        if let Some(dirty) = self.dirty.as_mut().filter(|_| !rows.is_empty()) {
            dirty.gone(self.numbers.identity(rows, self.schema.fields().len())?);
        }
        Ok(())
    }

    fn remove(&mut self, gone: &[u32]) -> Result<()> {
        for &row in gone {
            self.unlink(row);
            match &mut self.numbers {
                Numbers::Distinct(table) => table.remove(row),
                Numbers::Apart(blocks) => blocks.remove(row)?,
            }
        }
        Ok(())
    }

    /// The columns of rows, of which some may be [`NONE`]: then all is null.
    pub fn columns(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        self.some_columns(rows, &all)
    }

    /// Some of their columns.
    pub fn some_columns(&self, rows: &[u32], wanted: &[usize]) -> Result<Vec<ArrayRef>> {
        let table = match &self.numbers {
            Numbers::Distinct(table) => table,
            Numbers::Apart(blocks) => return blocks.columns(rows, wanted.iter().copied()),
        };
        // Rows that follow each other are often the same: the partners of one row.
        let (mut distinct, mut places): (Vec<u32>, Vec<Option<u32>>) = (Vec::new(), Vec::with_capacity(rows.len()));
        for &row in rows {
            if row != NONE && distinct.last() != Some(&row) {
                distinct.push(row);
            }
            places.push((row != NONE).then(|| distinct.len() as u32 - 1));
        }
        let columns = table.columns(&distinct)?;
        let columns: Vec<ArrayRef> = wanted.iter().map(|&column| Arc::clone(&columns[column])).collect();
        match distinct.len() == rows.len() {
            true => Ok(columns),
            false => crate::operators::aggregate::take_all(&columns, &UInt32Array::from(places)),
        }
    }

    /// Its rows with their weights, or those that have changed since the last snapshot.
    pub fn snapshot(&mut self, table: impl Into<Cow<'static, str>>) -> Result<TableSnapshot> {
        let width = self.schema.fields().len();
        if std::mem::take(&mut self.is_converted)
            && let Some(dirty) = &mut self.dirty
        {
            *dirty = Dirty::default();
            self.numbers.live().into_iter().for_each(|row| dirty.mark(row));
        }
        let (rows, gone, is_whole) = match &self.numbers {
            Numbers::Distinct(table) => dirty::due(&mut self.dirty, table),
            Numbers::Apart(blocks) => dirty::due(&mut self.dirty, blocks),
        };
        let mut columns = self.numbers.identity(&rows, width)?;
        let mut beside: Vec<&str> = self.numbers.arrival().into_iter().chain(["weight"]).collect();
        let each = |value: fn(&Row) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|&row| value(&self.rows[row as usize]))))
        };
        columns.push(each(|row| row.weight));
        if self.counts_matches {
            columns.push(each(|row| row.matches));
            beside.push("matches");
        }
        if self.dirty.is_some() {
            columns = with_deleted(columns, gone)?;
        }
        let identity = match &self.numbers {
            Numbers::Distinct(_) => (0..width).collect(),
            Numbers::Apart(_) => self.keys.iter().copied().chain([width]).collect(),
        };
        let replaces_by = self.dirty.is_some().then_some(identity);
        let state = state_table(&self.schema, &beside, columns)?;
        let whole = TableSnapshot::by_key(table, state, self.keys.iter().copied());
        Ok(TableSnapshot { replaces_by, is_whole, ..whole })
    }

    /// Takes over what [`snapshot`](Self::snapshot) gave. `groups` gives the groups of rows of the input.
    pub fn restore(
        &mut self,
        table: &TableSnapshot,
        mut groups: impl FnMut(&RecordBatch) -> Result<Vec<u32>>,
    ) -> Result<()> {
        let width = self.schema.fields().len();
        let options = RecordBatchOptions::new().with_row_count(Some(table.rows.num_rows()));
        let columns = table.rows.columns()[..width].to_vec();
        let rows = RecordBatch::try_new_with_options(nullable(&self.schema), columns, &options)?;
        let of_row = |column: usize| table.rows.column(column).as_primitive::<Int64Type>().values();
        let had_arrivals = table.rows.schema().field(width).name().starts_with(ARRIVAL);
        let weights = of_row(width + usize::from(had_arrivals));
        let matches = self.counts_matches.then(|| of_row(width + usize::from(had_arrivals) + 1));
        let groups = groups(&rows)?;
        let numbers = match &mut self.numbers {
            Numbers::Apart(blocks) if had_arrivals => blocks.restore(rows.columns(), of_row(width).iter().copied())?,
            numbers => numbers.of(&rows)?,
        };
        self.is_converted |= self.numbers.arrival().is_some() != had_arrivals && !numbers.is_empty();
        self.link_all(&numbers, &groups);
        for (place, &row) in numbers.iter().enumerate() {
            let row = &mut self.rows[row as usize];
            row.weight += weights[place];
            row.matches = matches.map_or(0, |matches| matches[place]);
        }
        if let Some(idle) = &mut self.idle {
            numbers.iter().for_each(|&row| idle.used(row));
        }
        // As of the checkpoint, nothing has changed.
        self.dirty = self.dirty.is_some().then(Dirty::default);
        Ok(())
    }

    /// Calls `each` with the group and the weight of every row.
    pub fn each(&self, mut each: impl FnMut(u32, i64)) {
        let rows = self.numbers.live().into_iter().map(|row| self.rows[row as usize]);
        rows.for_each(|row| each(row.group, row.weight));
    }
}

/// The column of state that tells equal rows apart.
const ARRIVAL: &str = "arrival";

impl Numbers {
    /// The numbers of rows.
    fn of(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        match self {
            Numbers::Distinct(table) => {
                let mut numbers = Vec::new();
                table.intern(rows.columns(), rows.num_rows(), &mut numbers)?;
                Ok(numbers)
            }
            Numbers::Apart(blocks) => blocks.append(rows.columns(), rows.num_rows()),
        }
    }

    /// One more than the largest number.
    fn most(&self) -> usize {
        match self {
            Numbers::Distinct(table) => table.groups(),
            Numbers::Apart(blocks) => blocks.numbers(),
        }
    }

    fn live(&self) -> Vec<u32> {
        match self {
            Numbers::Distinct(table) => table.live().collect(),
            Numbers::Apart(blocks) => blocks.live(),
        }
    }

    /// The columns that tell rows from all others, of a state with rows of so many columns.
    fn identity(&self, rows: &[u32], width: usize) -> Result<Vec<ArrayRef>> {
        match self {
            Numbers::Distinct(table) => Ok(table.columns(rows)?),
            Numbers::Apart(blocks) => {
                let mut columns = blocks.columns(rows, 0..width)?;
                columns.push(Arc::new(blocks.arrivals(rows)));
                Ok(columns)
            }
        }
    }

    /// The name of what is more in the identity of a row than its columns.
    fn arrival(&self) -> Option<&'static str> {
        match self {
            Numbers::Distinct(_) => None,
            Numbers::Apart(_) => Some(ARRIVAL),
        }
    }
}

fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
