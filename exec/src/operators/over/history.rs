//! Rows that frames still reach back to.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::SchemaRef;

use crate::error::Result;

/// Rows by group, in order. Each has a number in its group that stays.
pub(super) struct History {
    schema: SchemaRef,
    /// With the id of the first row of each; ids rise by one per row.
    batches: Vec<(u64, RecordBatch)>,
    next: u64,
    groups: Vec<Group>,
    live: usize,
}

#[derive(Clone, Default)]
struct Group {
    /// The number of the first row that is kept.
    first: u64,
    rows: VecDeque<Past>,
}

#[derive(Clone, Copy)]
struct Past {
    id: u64,
    time: i64,
}

impl History {
    pub fn new(schema: SchemaRef) -> History {
        History { schema, batches: Vec::new(), next: 0, groups: Vec::new(), live: 0 }
    }

    /// Appends rows to their groups.
    pub fn add(&mut self, rows: RecordBatch, groups: &[u32], times: &[i64]) -> Result<()> {
        let most = groups.iter().max().map_or(0, |&group| group as usize + 1);
        self.groups.resize(self.groups.len().max(most), Group::default());
        for (id, (&group, &time)) in (self.next..).zip(groups.iter().zip(times)) {
            self.groups[group as usize].rows.push_back(Past { id, time });
        }
        self.batches.push((self.next, rows));
        self.next += groups.len() as u64;
        self.live += groups.len();
        // Each is at least twice as large as the next, so there are few.
        while let [.., (start, left), (_, right)] = &self.batches[..]
            && left.num_rows() < 2 * right.num_rows()
        {
            let merged = (*start, concat_batches(&self.schema, [left, right])?);
            self.batches.truncate(self.batches.len() - 2);
            self.batches.push(merged);
        }
        Ok(())
    }

    /// The number behind that of the last row of a group.
    pub fn end(&self, group: u32) -> u64 {
        self.groups.get(group as usize).map_or(0, |group| group.first + group.rows.len() as u64)
    }

    pub fn first(&self, group: u32) -> u64 {
        self.groups.get(group as usize).map_or(0, |group| group.first)
    }

    fn at(&self, group: u32, number: u64) -> Past {
        let group = &self.groups[group as usize];
        group.rows[(number - group.first) as usize]
    }

    /// The time of a row that is kept.
    pub fn time(&self, group: u32, number: u64) -> i64 {
        self.at(group, number).time
    }

    /// Values of a column in rows, by group and number; null for a row that is not there.
    pub fn values(&self, column: usize, rows: &[Option<(u32, u64)>]) -> Result<ArrayRef> {
        let null = arrow::array::new_null_array(self.schema.field(column).data_type(), 1);
        let mut arrays: Vec<&dyn Array> = vec![null.as_ref()];
        arrays.extend(self.batches.iter().map(|(_, batch)| batch.column(column).as_ref()));
        let place = |row: &Option<(u32, u64)>| match row {
            None => (0, 0),
            Some((group, number)) => {
                let (batch, row) = self.place(self.at(*group, *number).id);
                (batch + 1, row)
            }
        };
        Ok(interleave(&arrays, &rows.iter().map(place).collect::<Vec<_>>())?)
    }

    fn place(&self, id: u64) -> (usize, usize) {
        let batch = self.batches.partition_point(|(start, _)| *start <= id) - 1;
        (batch, (id - self.batches[batch].0) as usize)
    }

    /// Forgets the rows of a group before this number.
    pub fn trim(&mut self, group: u32, number: u64) {
        let Some(group) = self.groups.get_mut(group as usize) else { return };
        while group.first < number && group.rows.pop_front().is_some() {
            group.first += 1;
            self.live -= 1;
        }
    }

    /// The group begins anew.
    pub fn clear(&mut self, group: u32) {
        if let Some(group) = self.groups.get_mut(group as usize) {
            self.live -= group.rows.len();
            *group = Group::default();
        }
    }

    /// Gives memory back, if a good part of it holds rows that nobody needs.
    pub fn compact(&mut self) -> Result<()> {
        let held: usize = self.batches.iter().map(|(_, batch)| batch.num_rows()).sum();
        if held <= 2 * self.live + 1024 {
            return Ok(());
        }
        let (rows, order) = self.all()?;
        for (id, (group, row)) in order.into_iter().enumerate() {
            self.groups[group as usize].rows[row].id = id as u64;
        }
        (self.next, self.batches) = (rows.num_rows() as u64, vec![(0, rows)]);
        Ok(())
    }

    /// All rows that are kept, as they came, and where each is in its group.
    fn all(&self) -> Result<(RecordBatch, Vec<(u32, usize)>)> {
        let mut ids: Vec<(u64, u32, usize)> = Vec::with_capacity(self.live);
        for (number, group) in (0u32..).zip(&self.groups) {
            ids.extend(group.rows.iter().enumerate().map(|(row, past)| (past.id, number, row)));
        }
        ids.sort_unstable();
        let places: Vec<(usize, usize)> = ids.iter().map(|(id, ..)| self.place(*id)).collect();
        let column = |column: usize| -> Result<ArrayRef> {
            let arrays: Vec<&dyn Array> = self.batches.iter().map(|(_, batch)| batch.column(column).as_ref()).collect();
            match places.is_empty() {
                true => Ok(arrow::array::new_empty_array(self.schema.field(column).data_type())),
                false => Ok(interleave(&arrays, &places)?),
            }
        };
        let columns = (0..self.schema.fields().len()).map(column).collect::<Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(places.len()));
        let rows = RecordBatch::try_new_with_options(std::sync::Arc::clone(&self.schema), columns, &options)?;
        Ok((rows, ids.into_iter().map(|(_, group, row)| (group, row)).collect()))
    }

    /// All rows that are kept, as they came, with their times.
    pub fn snapshot(&self) -> Result<(RecordBatch, Vec<i64>)> {
        let (rows, order) = self.all()?;
        let times = order.iter().map(|&(group, row)| self.groups[group as usize].rows[row].time).collect();
        Ok((rows, times))
    }

    pub fn len(&self) -> usize {
        self.live
    }
}
