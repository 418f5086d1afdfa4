//! Parts of the engine by themselves: what a row costs a decoder, an exchange, a table of keys.
//!
//!     cargo bench -p tidemill-exec --bench micro -- json csv exchange keys
//!
//! The figures of one run may be compared with each other; those of two runs only if the machine was as busy.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::json::ReaderBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_exec::Batch;
use tidemill_exec::connect::{Decoder, Format, Options, TableDefinition, Unread};
use tidemill_exec::exchange::Router;
use tidemill_exec::formats::csv::Csv;
use tidemill_exec::formats::json::Json;
use tidemill_exec::graph::Exchange;
use tidemill_state::KeyTable;

/// So often is each measured, after once for nothing.
const RUNS: usize = 9;

const ROWS: usize = 200_000;

const BATCH: usize = 8192;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let parts: [(&str, fn()); 4] = [("json", json), ("csv", csv), ("exchange", exchange), ("keys", keys)];
    println!("{:44} {:>8} {:>8} {:>8}", "ns per row", "median", "best", "MB/s");
    for (_, part) in parts.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| word == name)) {
        part();
    }
}

fn measured(what: &str, rows: usize, bytes: usize, mut run: impl FnMut()) {
    run();
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let per_row = |time: f64| time / rows as f64 * 1e9;
    let speed = if bytes == 0 { String::new() } else { format!("{:.0}", bytes as f64 / times[0] / 1e6) };
    println!("{what:44} {:8.1} {:8.1} {speed:>8}", per_row(times[RUNS / 2]), per_row(times[0]));
}

/// The fields of a bid, as in Nexmark.
const BID: [&str; 7] = ["auction", "bidder", "price", "channel", "url", "dateTime", "extra"];

fn field(name: &&str) -> Field {
    let data_type = match *name {
        "auction" | "bidder" | "price" => DataType::Int64,
        "dateTime" => DataType::Timestamp(TimeUnit::Millisecond, None),
        _ => DataType::Utf8,
    };
    Field::new(*name, data_type, true)
}

/// Bids as the text of their fields.
fn bids() -> impl Iterator<Item = [String; 7]> {
    let mut random = StdRng::seed_from_u64(1);
    (0..ROWS).map(move |n| {
        let mut letters = |least: usize, most: usize| -> String {
            (0..random.random_range(least..=most)).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
        };
        let (channel, url, extra) = (letters(5, 8), letters(15, 15), letters(40, 100));
        let (second, milli) = (n / 1000, n % 1000);
        [
            random.random_range(1000..100_000).to_string(),
            random.random_range(1000..20_000).to_string(),
            random.random_range(100..10_000_000).to_string(),
            channel,
            format!("https://www.nexmark.com/{url}/item.htm?query=1"),
            format!("2015-07-15 00:{:02}:{:02}.{milli:03}", second / 60, second % 60),
            extra,
        ]
    })
}

fn table(columns: Vec<Field>, unread: Unread) -> TableDefinition {
    TableDefinition {
        name: "bids".to_string(),
        schema: Arc::new(Schema::new(columns)),
        metadata: Vec::new(),
        key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Options::default(),
        time_zone: "UTC".to_string(),
        unread,
    }
}

fn json() {
    let mut lines = String::new();
    for bid in bids() {
        lines.push_str("{\"event_type\":2,\"bid\":{");
        for (n, (name, text)) in BID.iter().zip(&bid).enumerate() {
            let (comma, quote) = (if n == 0 { "" } else { "," }, if n < 3 { "" } else { "\"" });
            let _ = write!(lines, "{comma}\"{name}\":{quote}{text}{quote}");
        }
        lines.push_str("}}\n");
    }
    for (what, read) in [("json: a row of 7 fields", &BID[..]), ("json: 3 of them", &["auction", "price", "dateTime"])]
    {
        let fields: Fields = BID.iter().map(field).collect();
        let columns =
            vec![Field::new("event_type", DataType::Int32, true), Field::new("bid", DataType::Struct(fields), true)];
        let mut unread = Unread::default();
        let mut inside = Unread::default();
        BID.iter().filter(|name| !read.contains(name)).for_each(|name| inside.add(name, Unread::default()));
        if !inside.is_empty() {
            unread.add("bid", inside);
        }
        if read.len() == BID.len() {
            let reader = ReaderBuilder::new(Arc::new(Schema::new(columns.clone()))).with_batch_size(BATCH);
            let mut decoder = reader.build_decoder().expect("a decoder");
            measured("json: the same by arrow-json", ROWS, lines.len(), || arrow_json(&mut decoder, lines.as_bytes()));
        }
        let mut decoder = Json.decoder(&table(columns, unread), &[0, 1]).expect("a decoder");
        measured(what, ROWS, lines.len(), || decode(decoder.as_mut(), lines.as_bytes()));
    }
}

/// What others use, to tell a slow machine from a slow decoder.
fn arrow_json(decoder: &mut arrow::json::reader::Decoder, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let read = decoder.decode(bytes).expect("the lines are good");
        black_box(decoder.flush().expect("rows"));
        bytes = &bytes[read..];
    }
}

fn csv() {
    let lines: String = bids().map(|bid| bid.join(",") + "\n").collect();
    let columns: Vec<Field> = BID.iter().map(field).collect();
    for (what, projection) in [("csv: 7 columns", &[0, 1, 2, 3, 4, 5, 6][..]), ("csv: 3 of them", &[0, 2, 5])] {
        let mut decoder = Csv.decoder(&table(columns.clone(), Unread::default()), projection).expect("a decoder");
        measured(what, ROWS, lines.len(), || decode(decoder.as_mut(), lines.as_bytes()));
    }
}

/// In chunks of whole lines, as a file hands them over.
fn decode(decoder: &mut dyn Decoder, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let length = bytes.len().min(256 << 10);
        let (chunk, rest) = bytes.split_at(memchr::memrchr(b'\n', &bytes[..length]).map_or(length, |end| end + 1));
        let mut at = 0;
        while at < chunk.len() {
            at += decoder.decode(&chunk[at..], true).expect("the lines are good");
            black_box(decoder.flush().expect("rows"));
        }
        bytes = rest;
    }
}

/// A key of numbers, one of texts, and a number beside them.
fn batches(keys: i64) -> Vec<RecordBatch> {
    let mut random = StdRng::seed_from_u64(2);
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("t", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
    ]));
    let batch = |_| {
        let numbers: Vec<i64> = (0..BATCH).map(|_| random.random_range(0..keys)).collect();
        let texts: ArrayRef =
            Arc::new(numbers.iter().map(|n| Some(format!("key number {n}"))).collect::<StringArray>());
        let values: ArrayRef = Arc::new((0..BATCH as i64).collect::<Int64Array>());
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(numbers)), texts, values])
            .expect("three columns")
    };
    (0..ROWS / BATCH).map(batch).collect()
}

fn exchange() {
    let batches: Vec<Batch> = batches(100_000).into_iter().map(Batch::append).collect();
    for (what, columns) in [("exchange: to 2 by a number", vec![0]), ("exchange: to 2 by a text", vec![1])] {
        let mut router = Router::new(Exchange::Hash(columns), 0, 2);
        measured(what, batches.len() * BATCH, 0, || {
            for batch in &batches {
                router.route(batch.clone(), |_, part| drop(black_box(part))).expect("rows are dealt out");
            }
        });
    }
}

fn keys() {
    for (many, name) in [(1000, "a thousand"), (1_000_000, "a million")] {
        let batches = batches(many);
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
