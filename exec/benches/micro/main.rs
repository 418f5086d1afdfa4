//! Parts of the engine by themselves: what a row costs a decoder, an exchange, an operator, a table of keys, a checkpoint.
//!
//!     cargo bench -p tidemill-exec --bench micro -- json csv exchange keys operators snapshot
//!
//! The figures of one run may be compared with each other; those of two runs only if the machine was as busy.

mod decoders;
mod operators;
mod state;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_exec::Batch;
use tidemill_exec::exchange::Router;
use tidemill_exec::graph::Exchange;

/// So often is each measured, after once for nothing.
const RUNS: usize = 9;

const ROWS: usize = 200_000;

const BATCH: usize = 8192;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [(&str, fn()); 6] = [
        ("json", decoders::json),
        ("csv", decoders::csv),
        ("exchange", exchange),
        ("keys", state::keys),
        ("operators", operators::all),
        ("snapshot", state::snapshot),
    ];
    println!("{:44} {:>8} {:>8} {:>8}", "ns per row", "median", "best", "MB/s");
    for (_, part) in parts.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| word == name)) {
        part();
    }
}

fn measured(what: &str, rows: usize, bytes: usize, mut run: impl FnMut()) {
    measured_each(what, rows, bytes, (), |()| (), |()| run());
}

/// The same, where something is to be done before each run that is not measured.
fn measured_each<T>(
    what: &str,
    rows: usize,
    bytes: usize,
    mut on: T,
    mut before: impl FnMut(&mut T),
    mut run: impl FnMut(&mut T),
) {
    let mut time = || {
        before(&mut on);
        let begun = Instant::now();
        run(&mut on);
        begun.elapsed().as_secs_f64()
    };
    time();
    let mut times: Vec<f64> = (0..RUNS).map(|_| time()).collect();
    times.sort_by(f64::total_cmp);
    let per_row = |time: f64| time / rows as f64 * 1e9;
    let speed = if bytes == 0 { String::new() } else { format!("{:.0}", bytes as f64 / times[0] / 1e6) };
    println!("{what:44} {:8.1} {:8.1} {speed:>8}", per_row(times[RUNS / 2]), per_row(times[0]));
}

/// Numbers and texts that are keys, so many different ones; a number; and a time, a millisecond later in each row.
fn batches(rows: usize, keys: i64) -> Vec<RecordBatch> {
    let mut random = StdRng::seed_from_u64(2);
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]));
    let batch = |n: usize| {
        let numbers: Vec<i64> = (0..BATCH).map(|_| random.random_range(0..keys)).collect();
        let texts: ArrayRef =
            Arc::new(numbers.iter().map(|n| Some(format!("key number {n}"))).collect::<StringArray>());
        let values: ArrayRef = Arc::new((0..BATCH as i64).collect::<Int64Array>());
        let first = (n * BATCH) as i64;
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(first..first + BATCH as i64));
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(numbers)), texts, values, times])
            .expect("four columns")
    };
    (0..rows / BATCH).map(batch).collect()
}

fn exchange() {
    let batches: Vec<Batch> = batches(ROWS, 100_000).into_iter().map(Batch::append).collect();
    for (what, columns) in [("exchange: to 2 by a number", vec![0]), ("exchange: to 2 by a text", vec![1])] {
        let mut router = Router::new(Exchange::Hash(columns), 0, 2);
        measured(what, batches.len() * BATCH, 0, || {
            for batch in &batches {
                router.route(batch.clone(), |_, part| drop(black_box(part))).expect("rows are dealt out");
            }
        });
    }
}
