//! Decoders, beside those of others, to tell a slow machine from a slow decoder.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use arrow::json::ReaderBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_exec::connect::{Decoder, Format, Options, TableDefinition, Unread};
use tidemill_exec::formats::csv::Csv;
use tidemill_exec::formats::json::Json;

use super::{BATCH, ROWS, measured};

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

pub fn json() {
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

pub fn csv() {
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
