//! Groups that go to disk and come back, against groups that stay in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::{CheckpointId, Epoch, Spill};

use super::tests::by_first;
use super::{Aggregate, Emit};
use crate::message::{Barrier, Batch, Message};
use crate::operator::{Input, JobToken, Operator, OperatorSpec, Output, ShardContext};
use crate::testing::{appended, settled};

/// Rows with their weights.
type Bag = BTreeMap<Vec<String>, i64>;

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Int64, true)]))
}

/// Rows of up to `keys` keys appear and disappear; some keys are null, or too long to go to disk.
fn changes(random: &mut StdRng, keys: u32, live: &mut Vec<(Option<String>, i64)>) -> Batch {
    let mut rows = Vec::new();
    for _ in 0..200 {
        if live.len() > 300 && random.random_bool(0.5) {
            rows.push((live.swap_remove(random.random_range(0..live.len())), -1));
            continue;
        }
        let key = match random.random_range(0..keys) {
            0 => None,
            1 => Some("long".repeat(10_000)),
            n => Some(format!("key number {n}")),
        };
        live.push((key.clone(), random.random_range(0..50)));
        rows.push((live[live.len() - 1].clone(), 1));
    }
    let k: ArrayRef = Arc::new(rows.iter().map(|((key, _), _)| key.clone()).collect::<StringArray>());
    let v: ArrayRef = Arc::new(rows.iter().map(|((_, v), _)| *v).collect::<Int64Array>());
    let batch = RecordBatch::try_new(columns(), vec![k, v]).expect("two columns");
    Batch::new(batch, Some(rows.iter().map(|row| row.1).collect()))
}

fn gather(bag: &mut Bag, mut out: Output) {
    for message in out.drain() {
        let Message::Batch(batch) = message else { continue };
        for row in 0..batch.len() {
            let text = |column: &ArrayRef| array_value_to_string(column, row).expect("it can be shown");
            *bag.entry(batch.rows().columns().iter().map(text).collect()).or_default() += batch.weight(row);
        }
    }
    bag.retain(|_, weight| *weight != 0);
}

fn step(operator: &mut dyn Operator, batch: &Batch, epoch: u64) -> Bag {
    let (mut out, mut bag) = (Output::default(), Bag::new());
    operator.on_batch(Input(0), batch.clone(), &mut out).expect("rows are taken");
    operator.on_barrier(&Barrier::at_end(Epoch(epoch)), &mut out).expect("changes go out");
    gather(&mut bag, out);
    bag
}

#[test]
fn with_any_amount_of_memory_the_changes_are_the_same_across_checkpoints_and_restarts() {
    let directory = tempfile::tempdir().expect("there is a directory for temporary files");
    for (seed, memory) in [(1, 0), (2, 16 << 10), (3, 64 << 10), (4, 1 << 30)] {
        for emit in [Emit::Epoch, Emit::EachRow] {
            let spec: Aggregate = by_first(&columns(), &["SUM", "MIN"], true, emit);
            let mut random = StdRng::seed_from_u64(seed);
            let spill = Spill::open(directory.path(), memory).expect("the disk can be used");
            let durable = Some(JobToken { job: 0, first: CheckpointId(1), part: 0 });
            let context = ShardContext { spill: Some(spill), durable, ..ShardContext::SINGLE };
            let mut in_memory = spec.open(&ShardContext::SINGLE).expect("it opens");
            let mut on_disk = spec.open(&context).expect("it opens");
            let (mut live, mut saved, mut taken, mut since) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for epoch in 1..=60 {
                let batch = changes(&mut random, 400, &mut live);
                let (expected, got) = (step(&mut *in_memory, &batch, epoch), step(&mut *on_disk, &batch, epoch));
                assert_eq!(got, expected, "seed {seed}, {memory} bytes, epoch {epoch}");
                since.push(batch);
                on_disk.copy_more().expect("it can be copied");
                // Some rows come before all is copied.
                if epoch % 3 == 2 {
                    saved = appended(saved, settled(&mut *on_disk, std::mem::take(&mut taken)));
                }
                if epoch % 3 == 0 {
                    taken = on_disk.snapshot().expect("it can be saved");
                    since.clear();
                }
                if epoch % 15 == 14 {
                    on_disk = spec.open(&context).expect("it opens again");
                    on_disk.restore(saved.clone()).expect("it can be restored");
                    since.iter().for_each(|batch| drop(step(&mut *on_disk, batch, epoch)));
                }
            }
        }
    }
}
