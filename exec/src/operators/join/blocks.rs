//! Rows in blocks of Arrow arrays, by number. Nobody looks for a row by its values, so nothing is hashed, and a column is there without the
//! others.

use arrow::array::{Array, ArrayRef, Int64Array, UInt32Array, new_null_array};
use arrow::compute::{concat, interleave, take};
use arrow::datatypes::DataType;

use super::side::NONE;
use crate::error::Result;
use crate::operators::dirty::Numbered;

/// Rows of which each has a number of its own, however often there are equal ones.
pub(super) struct Blocks {
    types: Vec<DataType>,
    blocks: Vec<Block>,
    /// Numbers of blocks that hold nothing.
    free_blocks: Vec<u32>,
    /// The last blocks to have come, which become one with those before them once they are large enough.
    recent: Vec<u32>,
    /// By number of a row.
    places: Vec<Place>,
    /// Numbers of rows that are gone.
    free: Vec<u32>,
    arrivals: i64,
}

#[derive(Clone, Copy)]
struct Place {
    /// [`NONE`]: the row is gone.
    block: u32,
    at: u32,
    /// Rises with each row that comes, and tells it from all others.
    arrival: i64,
}

#[derive(Default)]
struct Block {
    columns: Vec<ArrayRef>,
    /// The number of each row; [`NONE`] if it is gone.
    rows: Vec<u32>,
    live: usize,
}

/// Blocks with so many rows, or bytes, are left as they are.
const BLOCK_ROWS: usize = if cfg!(test) { 16 } else { 8192 };
const BLOCK_BYTES: usize = 16 << 20;

impl Block {
    fn is_full(&self) -> Result<bool> {
        let bytes = self.columns.iter().map(|column| column.to_data().get_slice_memory_size());
        Ok(self.rows.len() >= BLOCK_ROWS || bytes.sum::<Result<usize, _>>()? >= BLOCK_BYTES)
    }
}

impl Blocks {
    pub fn new(types: Vec<DataType>) -> Blocks {
        let (blocks, free_blocks, recent, places, free) = Default::default();
        Blocks { types, blocks, free_blocks, recent, places, free, arrivals: 0 }
    }

    /// One more than the largest number there has been.
    pub fn numbers(&self) -> usize {
        self.places.len()
    }

    /// Takes in rows that have just come; their numbers.
    pub fn append(&mut self, columns: &[ArrayRef], count: usize) -> Result<Vec<u32>> {
        let first = self.arrivals + 1;
        self.restore(columns, (first..).take(count))
    }

    /// Takes in rows that came at these times.
    pub fn restore(&mut self, columns: &[ArrayRef], arrivals: impl Iterator<Item = i64>) -> Result<Vec<u32>> {
        let block = self.free_blocks.pop().unwrap_or(self.blocks.len() as u32);
        let mut numbers = Vec::new();
        for (at, arrival) in (0u32..).zip(arrivals) {
            self.arrivals = self.arrivals.max(arrival);
            let place = Place { block, at, arrival };
            numbers.push(match self.free.pop() {
                Some(row) => {
                    self.places[row as usize] = place;
                    row
                }
                None => {
                    self.places.push(place);
                    self.places.len() as u32 - 1
                }
            });
        }
        self.blocks.resize_with(self.blocks.len().max(block as usize + 1), Block::default);
        if numbers.is_empty() {
            self.free_blocks.push(block);
            return Ok(numbers);
        }
        let (columns, live) = (columns.to_vec(), numbers.len());
        self.blocks[block as usize] = Block { columns, rows: numbers.clone(), live };
        self.recent.push(block);
        self.merge_recent()?;
        Ok(numbers)
    }

    /// Small blocks become larger ones, so that each row is copied a few times at most, and there are few blocks.
    fn merge_recent(&mut self) -> Result<()> {
        while let [.., before, last] = self.recent[..] {
            let rows = |block: u32| self.blocks[block as usize].rows.len();
            if self.blocks[before as usize].is_full()? || self.blocks[last as usize].is_full()? {
                self.recent = vec![last];
            } else if rows(before) <= 2 * rows(last) {
                self.merge(before, last)?;
                self.recent.pop();
            } else {
                break;
            }
        }
        Ok(())
    }

    fn merge(&mut self, into: u32, from: u32) -> Result<()> {
        let from_block = std::mem::take(&mut self.blocks[from as usize]);
        let block = &mut self.blocks[into as usize];
        for (column, more) in block.columns.iter_mut().zip(&from_block.columns) {
            *column = concat(&[column.as_ref(), more.as_ref()])?;
        }
        for row in from_block.rows {
            if row != NONE {
                self.places[row as usize] =
                    Place { block: into, at: block.rows.len() as u32, ..self.places[row as usize] };
            }
            block.rows.push(row);
        }
        block.live += from_block.live;
        self.free_blocks.push(from);
        Ok(())
    }

    /// Forgets a row; its number may be given to another.
    pub fn remove(&mut self, row: u32) -> Result<()> {
        let Place { block: number, at, .. } = self.places[row as usize];
        self.places[row as usize].block = NONE;
        self.free.push(row);
        let block = &mut self.blocks[number as usize];
        block.rows[at as usize] = NONE;
        block.live -= 1;
        if block.live == 0 {
            *block = Block::default();
            self.free_blocks.push(number);
            self.recent.retain(|&recent| recent != number);
        } else if block.live * 2 < block.rows.len() {
            let kept = (0u32..).zip(&block.rows).filter(|(_, row)| **row != NONE).map(|(at, _)| at);
            let kept = UInt32Array::from_iter_values(kept);
            for column in &mut block.columns {
                *column = take(column, &kept, None)?;
            }
            block.rows.retain(|&row| row != NONE);
            for (at, &row) in (0u32..).zip(&block.rows) {
                self.places[row as usize].at = at;
            }
        }
        Ok(())
    }

    /// These columns of rows, of which some may be [`NONE`]: then they are null.
    pub fn columns(&self, rows: &[u32], wanted: impl Iterator<Item = usize>) -> Result<Vec<ArrayRef>> {
        // Of the blocks that are needed, and before them, if it is, one row that is null.
        let has_none = rows.contains(&NONE);
        let mut needed: Vec<&Block> = Vec::new();
        let mut places_of: Vec<u32> = vec![NONE; self.blocks.len()];
        let indices: Vec<(usize, usize)> = rows
            .iter()
            .map(|&row| {
                if row == NONE {
                    return (0, 0);
                }
                let Place { block, at, .. } = self.places[row as usize];
                let place = &mut places_of[block as usize];
                if *place == NONE {
                    *place = needed.len() as u32 + u32::from(has_none);
                    needed.push(&self.blocks[block as usize]);
                }
                (*place as usize, at as usize)
            })
            .collect();
        let column = |column: usize| -> Result<ArrayRef> {
            let nulls = has_none.then(|| new_null_array(&self.types[column], 1));
            let blocks = needed.iter().map(|block| block.columns[column].as_ref());
            let arrays: Vec<&dyn Array> = nulls.iter().map(AsRef::as_ref).chain(blocks).collect();
            Ok(match arrays[..] {
                [] => new_null_array(&self.types[column], 0),
                [array] => take(array, &UInt32Array::from_iter_values(indices.iter().map(|(_, at)| *at as u32)), None)?,
                _ => interleave(&arrays, &indices)?,
            })
        };
        wanted.map(column).collect()
    }

    /// What tells these rows from all others.
    pub fn arrivals(&self, rows: &[u32]) -> Int64Array {
        Int64Array::from_iter_values(rows.iter().map(|&row| self.places[row as usize].arrival))
    }
}

impl Numbered for Blocks {
    fn live(&self) -> Vec<u32> {
        (0u32..).zip(&self.places).filter(|(_, place)| place.block != NONE).map(|(row, _)| row).collect()
    }

    fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    fn is_live(&self, row: u32) -> bool {
        self.places.get(row as usize).is_some_and(|place| place.block != NONE)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{AsArray, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn rows_are_found_by_their_numbers_whatever_came_and_went() {
        let mut blocks = Blocks::new(vec![DataType::Int64, DataType::Utf8]);
        let mut model: BTreeMap<u32, i64> = BTreeMap::new();
        let (mut next, mut chance) = (0i64, 7u64);
        let mut random = |below: u64| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 33) % below
        };
        for _ in 0..2000 {
            if random(3) > 0 {
                let values: Vec<i64> = (next..next + random(9) as i64).collect();
                next += values.len() as i64;
                let texts: StringArray = values.iter().map(|value| Some(format!("row {value}"))).collect();
                let columns: [ArrayRef; 2] = [Arc::new(Int64Array::from(values.clone())), Arc::new(texts)];
                let numbers = blocks.append(&columns, values.len()).unwrap();
                for (row, value) in numbers.into_iter().zip(values) {
                    assert_eq!(model.insert(row, value), None, "a number is of one row");
                }
            } else {
                for _ in 0..random(16) {
                    let Some(row) = model.keys().nth(random(model.len().max(1) as u64) as usize).copied() else {
                        break;
                    };
                    model.remove(&row);
                    blocks.remove(row).unwrap();
                }
            }
            assert_eq!(blocks.count(), model.len());
            assert_eq!(blocks.live(), model.keys().copied().collect::<Vec<_>>());
            let wanted: Vec<u32> = model.keys().rev().step_by(3).copied().chain([NONE]).collect();
            let columns = blocks.columns(&wanted, [1, 0].into_iter()).unwrap();
            let (texts, values) = (columns[0].as_string::<i32>(), columns[1].as_primitive::<Int64Type>());
            for (n, row) in wanted.iter().enumerate() {
                match model.get(row) {
                    None => assert!(texts.is_null(n) && values.is_null(n)),
                    Some(value) => {
                        assert_eq!((texts.value(n), values.value(n)), (format!("row {value}").as_str(), *value));
                    }
                }
            }
        }
        let places = blocks.blocks.iter().map(|block| block.rows.len()).sum::<usize>();
        assert!(places <= 2 * blocks.count(), "{places} places for {} rows", blocks.count());
    }
}
