//! State of some shards becomes that of more shards, or fewer.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use tidemill_state::checkpoint::Distribution;
use tidemill_state::{Batches, KeyGroup, KeyGroupRange, SpillError, SpilledRows, hash_rows};

use crate::error::{Error, Result};
use crate::operator::TableSnapshot;

/// What each of `to` shards restores of what each of `shards` had. With as many as before, every one gets its own.
///
/// # Errors
/// A shard had rows of a key that it does not own: its operator does not go by the keys it is said to go by.
pub fn rescale(shards: Vec<Vec<TableSnapshot>>, to: u16) -> Result<Vec<Vec<TableSnapshot>>> {
    let from = shards.len() as u16;
    if from == to {
        return Ok(shards);
    }
    let mut names: Vec<Cow<'static, str>> = Vec::new();
    for table in shards.iter().flatten() {
        if !names.contains(&table.table) {
            names.push(table.table.clone());
        }
    }
    let mut rescaled = vec![Vec::new(); usize::from(to)];
    for name in names {
        let old: Vec<(u16, &TableSnapshot)> = (0..from)
            .zip(&shards)
            .flat_map(|(shard, tables)| tables.iter().map(move |table| (shard, table)))
            .filter(|(_, table)| table.table == name)
            .collect();
        let Some((_, first)) = old.first() else { continue };
        let mut parts: Vec<Vec<RecordBatch>> = vec![Vec::new(); usize::from(to)];
        for (shard, table) in &old {
            deal(*shard, from, table, &mut parts)?;
        }
        for ((shard, new), parts) in (0..to).zip(&mut rescaled).zip(parts) {
            let rows = concat_batches(&first.rows.schema(), &parts)?;
            let of_new = |rows: &Arc<dyn SpilledRows>| match &first.distribution {
                Distribution::ByKey(keys) => {
                    Arc::new(OfShard { rows: Arc::clone(rows), keys: keys.clone(), shard, of: to })
                        as Arc<dyn SpilledRows>
                }
                Distribution::ToAll | Distribution::ToFirst => Arc::clone(rows),
            };
            let spilled = old.iter().flat_map(|(_, table)| &table.spilled).map(of_new).collect();
            new.push(TableSnapshot { rows, spilled, ..(*first).clone() });
        }
    }
    Ok(rescaled)
}

/// Adds the rows of a table that was shard number `shard` of `from` to the parts of the new shards.
fn deal(shard: u16, from: u16, table: &TableSnapshot, parts: &mut [Vec<RecordBatch>]) -> Result<()> {
    match &table.distribution {
        Distribution::ToAll => parts.iter_mut().for_each(|part| part.push(table.rows.clone())),
        Distribution::ToFirst => parts[0].push(table.rows.clone()),
        Distribution::ByKey(keys) if keys.is_empty() => parts[0].push(table.rows.clone()),
        Distribution::ByKey(keys) => {
            let columns: Vec<_> = keys.iter().map(|&key| table.rows.column(key).clone()).collect();
            let owned = KeyGroupRange::of_shard(shard, from);
            let mut rows_of = vec![Vec::new(); parts.len()];
            for (row, hash) in (0u32..).zip(hash_rows(&columns)?) {
                let group = KeyGroup::of(hash);
                if !owned.contains(group) {
                    return Err(Error::new("cannot restore at another parallelism than before")
                        .why(format!(
                            "table {} of shard {shard} has rows of keys that belong to another shard",
                            table.table
                        ))
                        .fix(format!("SET 'parallelism.default' = '{from}', as before")));
                }
                rows_of[usize::from(group.shard(parts.len() as u16))].push(row);
            }
            for (part, rows) in parts.iter_mut().zip(rows_of) {
                part.push(take_record_batch(&table.rows, &UInt32Array::from(rows))?);
            }
        }
    }
    Ok(())
}

/// Those of some rows on disk that one of several shards owns.
#[derive(Debug)]
struct OfShard {
    rows: Arc<dyn SpilledRows>,
    keys: Vec<usize>,
    shard: u16,
    of: u16,
}

impl SpilledRows for OfShard {
    fn read(&self) -> Result<Batches, SpillError> {
        let (keys, owned) = (self.keys.clone(), KeyGroupRange::of_shard(self.shard, self.of));
        Ok(Box::new(self.rows.read()?.map(move |rows| {
            let rows = rows?;
            let columns: Vec<_> = keys.iter().map(|&key| Arc::clone(rows.column(key))).collect();
            let hashes = hash_rows(&columns).expect("the columns that were keys are keys");
            let mine = (0u32..).zip(hashes).filter(|(_, hash)| owned.contains(KeyGroup::of(*hash))).map(|(row, _)| row);
            Ok(take_record_batch(&rows, &UInt32Array::from_iter_values(mine)).expect("the rows are there"))
        })))
    }
}
