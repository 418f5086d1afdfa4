//! State: tables of keys, and what a checkpoint of an aggregation costs beside writing as many bytes.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use tidemill_exec::{JobToken, Operator, OperatorSpec, ShardContext};
use tidemill_state::checkpoint::Store;
use tidemill_state::{CheckpointId, KeyTable};

use super::operators::{aggregate, feed};
use super::{BATCH, ROWS, batches, measured, measured_each};

/// So many rows of a million keys that most are known.
const ROWS_OF_MANY: usize = 4_000_000;

pub fn keys() {
    for (many, name, rows) in [(1000, "a thousand", ROWS), (1_000_000, "a million", ROWS_OF_MANY)] {
        let batches = batches(rows, many);
        for (kind, column) in [("numbers", 0), ("texts", 1)] {
            let types = [batches[0].column(column).data_type().clone()];
            let mut groups = Vec::new();
            let mut intern = |table: &mut KeyTable| {
                for batch in &batches {
                    table.intern(&[Arc::clone(batch.column(column))], BATCH, &mut groups).expect("keys");
                }
                black_box(table.len());
            };
            let rows = batches.len() * BATCH;
            let empty = || KeyTable::new(&types).expect("a table");
            measured(&format!("keys: {kind}, of {name}, new"), rows, 0, || intern(&mut empty()));
            let mut table = empty();
            intern(&mut table);
            measured(&format!("keys: {kind}, of {name}, known"), rows, 0, || intern(&mut table));
        }
    }
}

/// A million groups, all of which have changed: their rows gathered, encoded, written and synced; and what the disk takes for as many bytes.
pub fn snapshot() {
    let batches = batches(ROWS_OF_MANY, 1_000_000);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let objects = LocalFileSystem::new_with_prefix(path).expect("a store");
    let store = Store::new(Arc::new(objects), Path::default(), "job".to_string(), Some(path.to_path_buf()));
    let token = JobToken { job: 1, first: CheckpointId(1), part: 0 };
    let context = ShardContext { durable: Some(token), ..ShardContext::SINGLE };
    let mut operator = aggregate(&batches[0].schema(), 0).open(&context).expect("an aggregation");
    let mut pieces = Vec::new();
    measured_each(
        "snapshot: gathered",
        1_000_000,
        0,
        &mut operator,
        |operator| feed(operator.as_mut(), &batches),
        |operator| pieces = runtime.block_on(gathered(operator.as_mut())),
    );
    let rows = pieces.iter().map(RecordBatch::num_rows).sum();
    let memory = pieces.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
    let schema = pieces[0].schema();
    let table = concat_batches(&schema, &pieces).expect("pieces of one table");
    let mut bytes = 0;
    let mut write = || bytes = runtime.block_on(store.write("table".to_string(), table.clone())).expect("a file").bytes;
    measured("snapshot: encoded, written and synced", rows, memory, &mut write);
    for (what, length) in [("as many bytes", bytes as usize), ("as many as in memory", memory)] {
        let content = vec![7; length];
        measured(&format!("snapshot: {what}, written and synced"), rows, length, || {
            let mut file = File::create(path.join("raw")).expect("a file");
            file.write_all(&content).and_then(|()| file.sync_all()).expect("a disk");
        });
    }
}

async fn gathered(operator: &mut dyn Operator) -> Vec<RecordBatch> {
    let table = operator.snapshot().expect("a snapshot").pop().expect("the table of groups");
    while operator.copy_more().expect("more of it") {}
    let mut pieces = vec![table.rows];
    if let Some(following) = table.following {
        while let Some(piece) = following.piece(pieces.len() - 1).await.expect("the next piece") {
            pieces.push(piece);
        }
    }
    pieces
}
