//! What every decoder promises, as functions its tests call, and small helpers for those tests.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::changelog::ChangeBatch;
use crate::connect::{Decoder, Format, Options, TableDefinition};
use crate::text::{ColumnText, TextStyle, Zone};

/// What reading some bytes gave in the end.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In the text of the print connector.
    pub rows: Vec<String>,
    pub skipped: u64,
    pub error: Option<String>,
}

impl Outcome {
    pub fn rows(rows: &[&str]) -> Outcome {
        Outcome { rows: rows.iter().map(|row| row.to_string()).collect(), skipped: 0, error: None }
    }
}

/// Reads `chunks` as a transport does: what is left is handed in again with more behind it.
pub fn read(decoder: &mut dyn Decoder, chunks: &[&[u8]]) -> Outcome {
    let mut outcome = Outcome::rows(&[]);
    let mut held = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let last = index + 1 == chunks.len();
        held.extend_from_slice(chunk);
        loop {
            let decoded = decoder.decode(&held, last);
            if let Some(batch) = decoder.flush().expect("what was decoded can be flushed") {
                assert!(!batch.is_empty() && batch.len() <= super::rows::ROWS_MAX);
                outcome.rows.extend(print(batch.rows()));
            }
            outcome.skipped += decoder.skipped().map_or(0, |skipped| skipped.records);
            match decoded {
                Ok(0) => break,
                Ok(taken) => _ = held.drain(..taken),
                Err(error) => {
                    outcome.error = Some(error.to_string());
                    return outcome;
                }
            }
        }
    }
    assert!(held.is_empty(), "with `last`, everything is consumed; left is {:?}", String::from_utf8_lossy(&held));
    outcome
}

/// Reads `bytes` whole, cut in two at every place, and byte by byte; all must agree. Gives the common outcome.
pub fn at_every_cut(make: &dyn Fn() -> Box<dyn Decoder>, bytes: &[u8]) -> Outcome {
    let whole = read(make().as_mut(), &[bytes]);
    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        let outcome = read(make().as_mut(), &[front, back]);
        assert_eq!(outcome, whole, "cut at {cut} of {:?}", String::from_utf8_lossy(bytes));
    }
    let mut singles: Vec<&[u8]> = bytes.chunks(1).collect();
    singles.push(b"");
    assert_eq!(read(make().as_mut(), &singles), whole, "byte by byte, {:?}", String::from_utf8_lossy(bytes));
    whole
}

/// `+I[1, x]`
pub fn print(rows: &RecordBatch) -> Vec<String> {
    show(rows, TextStyle::Print, ["+I[", ", ", "]"])
}

/// `+I`, then the SQL client's texts, with tabs between.
pub fn client(rows: &RecordBatch) -> Vec<String> {
    show(rows, TextStyle::Client(Zone::UTC), ["+I\t", "\t", ""])
}

fn show(rows: &RecordBatch, style: TextStyle, [open, between, close]: [&str; 3]) -> Vec<String> {
    let columns: Vec<ColumnText> =
        rows.columns().iter().map(|column| ColumnText::new(column.as_ref(), style)).collect();
    let row = |row| columns.iter().map(|column| column.text(row)).collect::<Vec<_>>().join(between);
    (0..rows.num_rows()).map(|index| format!("{open}{}{close}", row(index))).collect()
}

/// A table called `t`.
pub fn table(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableDefinition {
    let fields: Vec<Field> =
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    TableDefinition {
        name: "t".to_string(),
        schema: Arc::new(Schema::new(fields)),
        metadata: Vec::new(),
        key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Options::new(options.iter().map(|(name, value)| (name.to_string(), value.to_string()))),
        time_zone: "UTC".to_string(),
        unread: Default::default(),
    }
}

/// Every column of `bytes`, at every cut.
pub fn decode_all(format: &dyn Format, table: &TableDefinition, bytes: &[u8]) -> Outcome {
    let projection: Vec<usize> = (0..table.schema.fields().len()).collect();
    decode(format, table, &projection, bytes)
}

pub fn decode(format: &dyn Format, table: &TableDefinition, projection: &[usize], bytes: &[u8]) -> Outcome {
    at_every_cut(&|| format.decoder(table, projection).expect("the table is valid"), bytes)
}

/// The batch that `bytes` are, in one piece.
pub fn batch(format: &dyn Format, table: &TableDefinition, bytes: &[u8]) -> RecordBatch {
    let projection: Vec<usize> = (0..table.schema.fields().len()).collect();
    let mut decoder = format.decoder(table, &projection).expect("the table is valid");
    assert_eq!(decoder.decode(bytes, true).expect("the bytes are valid"), bytes.len());
    decoder.flush().expect("rows can be flushed").expect("there are rows").rows().clone()
}

pub fn encode(format: &dyn Format, table: &TableDefinition, rows: &RecordBatch) -> String {
    let mut out = Vec::new();
    let mut encoder = format.encoder(table).expect("the table is valid");
    encoder.encode(&ChangeBatch::inserts(rows.clone()), &mut out).expect("the rows can be encoded");
    String::from_utf8(out).expect("text")
}

/// Mixes `pieces` at random and reads the result at every cut: nothing may panic, hang, or depend on the cut.
pub fn survive_garbage(make: &dyn Fn() -> Box<dyn Decoder>, pieces: &[&str], rounds: u64) {
    for seed in 0..rounds {
        let mut random = StdRng::seed_from_u64(seed);
        let mut bytes = Vec::new();
        while bytes.len() < random.random_range(1..60) {
            let piece = pieces[random.random_range(0..pieces.len())].as_bytes();
            bytes.extend_from_slice(&piece[..random.random_range(0..=piece.len())]);
            if random.random_ratio(1, 20) {
                bytes.push(random.random());
            }
        }
        at_every_cut(make, &bytes);
    }
}

pub fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

pub fn map(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

pub fn row(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect())
}

pub fn timestamp(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, None)
}

pub fn timestamp_ltz() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}
