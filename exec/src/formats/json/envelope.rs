//! What change data capture puts around a row: the row before and after a change, and which kind of change it is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use super::super::column::{Column, Kind};
use super::super::rows::ROWS_MAX;
use super::DecodeSettings;
use super::decode::JsonDecoder;
use super::token::BadValue;
use crate::connect::{Decoder, Skipped, TableDefinition};
use crate::error::Result;
use crate::message::Batch;

/// An envelope of the form `{"before": {..}, "after": {..}, <kind>: ..}`.
pub struct Envelope {
    /// The field that says which kind of change it is.
    kind: &'static str,
    /// What of the envelope stands before a row that appears, and after it.
    pub appears: [&'static str; 2],
    /// The same of a row that disappears.
    pub disappears: [&'static str; 2],
    check: super::decode::Check,
}

/// Inserts are `c`, or `r` if they were there when reading began.
pub static DEBEZIUM: Envelope = Envelope {
    kind: "op",
    appears: [r#"{"before":null,"after":"#, r#","op":"c"}"#],
    disappears: [r#"{"before":"#, r#","after":null,"op":"d"}"#],
    check: |columns, row| check(change_of(columns, row), "op", "c, r, u or d"),
};

pub static OGG: Envelope = Envelope {
    kind: "op_type",
    appears: [r#"{"before":null,"after":"#, r#","op_type":"I"}"#],
    disappears: [r#"{"before":"#, r#","after":null,"op_type":"D"}"#],
    check: |columns, row| check(change_of(columns, row), "op_type", "I, U or D"),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Insert,
    Update,
    Delete,
}

impl Change {
    /// By the letters of either format.
    fn parse(kind: &str) -> Option<Change> {
        match kind {
            "c" | "r" | "I" => Some(Change::Insert),
            "u" | "U" => Some(Change::Update),
            "d" | "D" => Some(Change::Delete),
            _ => None,
        }
    }
}

/// Reads envelopes as rows of `before`, `after` and the kind of change; each becomes one change or two.
pub struct ChangeDecoder {
    envelopes: JsonDecoder,
    schema: SchemaRef,
}

impl ChangeDecoder {
    /// `is_wrapped`: the envelope is in a field `payload`.
    pub fn new(
        table: &TableDefinition,
        projection: &[usize],
        settings: DecodeSettings,
        envelope: &Envelope,
        is_wrapped: bool,
    ) -> Result<ChangeDecoder> {
        let schema: SchemaRef = Arc::new(table.schema.project(projection)?);
        let row = DataType::Struct(schema.fields().clone());
        let mut fields: Fields = [("before", row.clone()), ("after", row), (envelope.kind, DataType::Utf8)]
            .into_iter()
            .map(|(name, data_type)| Field::new(name, data_type, true))
            .collect();
        if is_wrapped {
            fields = vec![Field::new("payload", DataType::Struct(fields), false)].into();
        }
        let all: Vec<usize> = (0..fields.len()).collect();
        let around = TableDefinition { schema: Arc::new(Schema::new(fields)), ..table.clone() };
        // An update is two rows.
        let envelopes = JsonDecoder::new(&around, &all, settings)?.checked(envelope.check, ROWS_MAX / 2);
        Ok(ChangeDecoder { envelopes, schema })
    }
}

impl Decoder for ChangeDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        self.envelopes.decode(bytes, last)
    }

    fn flush(&mut self) -> Result<Option<Batch>> {
        match self.envelopes.flush()? {
            Some(envelopes) => changes(envelopes.rows(), &self.schema).map(Some),
            None => Ok(None),
        }
    }

    fn skipped(&mut self) -> Option<Skipped> {
        self.envelopes.skipped()
    }
}

/// The changes that (checked) envelopes stand for, in order.
fn changes(envelopes: &RecordBatch, schema: &SchemaRef) -> Result<Batch> {
    let mut columns = envelopes.columns();
    if let [payload] = columns {
        columns = payload.as_struct().columns();
    }
    let (before, after, kinds) = (columns[0].as_struct(), columns[1].as_struct(), columns[2].as_string::<i32>());
    // From which of the two, and which row of it.
    let mut picks: Vec<(usize, usize)> = Vec::with_capacity(kinds.len());
    let (mut weights, mut updates) = (Vec::with_capacity(kinds.len()), Vec::with_capacity(kinds.len()));
    let mut change = |pick, weight, is_update| {
        picks.push(pick);
        weights.push(weight);
        updates.push(is_update);
    };
    for row in 0..kinds.len() {
        match Change::parse(kinds.value(row)) {
            Some(Change::Insert) | None => change((1, row), 1, false),
            Some(Change::Delete) => change((0, row), -1, false),
            Some(Change::Update) => {
                change((0, row), -1, true);
                change((1, row), 1, true);
            }
        }
    }
    let columns: Vec<ArrayRef> = before
        .columns()
        .iter()
        .zip(after.columns())
        .map(|(before, after)| Ok(compute::interleave(&[before, after], &picks)?))
        .collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(picks.len()));
    let rows = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
    Ok(Batch::with_updates(rows, Int64Array::from(weights), BooleanArray::from(updates)))
}

/// The last row of columns in the making.
struct LastChange<'a> {
    kind: Option<&'a str>,
    has_before: bool,
    has_after: bool,
}

fn change_of(columns: &[Column], row: usize) -> LastChange<'_> {
    let columns = match columns {
        [Column { kind: Kind::Row(payload), .. }] => payload,
        columns => columns,
    };
    LastChange { kind: columns[2].text(row), has_before: columns[0].is_valid(row), has_after: columns[1].is_valid(row) }
}

/// Whether the row before and after the change are there as its kind says.
fn check(change: LastChange<'_>, field: &str, kinds: &str) -> Result<(), BadValue> {
    let bad = |path: &str, why: String| Err(BadValue { path: path.to_string(), why });
    match change.kind.map(Change::parse) {
        None => bad(field, format!("it is missing, and must say what changed: {kinds}")),
        Some(None) => bad(field, format!("'{}' is not {kinds}", change.kind.unwrap_or_default())),
        Some(Some(Change::Update | Change::Delete)) if !change.has_before => bad(
            "before",
            "it is NULL, and must be the row as it was (Postgres writes it with REPLICA IDENTITY FULL)".to_string(),
        ),
        Some(Some(Change::Insert | Change::Update)) if !change.has_after => {
            bad("after", "it is NULL, and must be the row as it is now".to_string())
        }
        Some(Some(_)) => Ok(()),
    }
}
