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

/// An envelope of the form `{"before": {..}, "after": {..}, <field>: <kind>}`.
pub struct Envelope {
    /// The field that says which kind of change it is.
    field: &'static str,
    kinds: &'static [(&'static str, Change)],
    /// What of the envelope stands before a row that appears, and after it.
    pub appears: [&'static str; 2],
    /// The same of a row that disappears.
    pub disappears: [&'static str; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Insert,
    Update,
    Delete,
}

/// `r` are rows that were there when reading began.
pub static DEBEZIUM: Envelope = Envelope {
    field: "op",
    kinds: &[("c", Change::Insert), ("r", Change::Insert), ("u", Change::Update), ("d", Change::Delete)],
    appears: [r#"{"before":null,"after":"#, r#","op":"c"}"#],
    disappears: [r#"{"before":"#, r#","after":null,"op":"d"}"#],
};

pub static OGG: Envelope = Envelope {
    field: "op_type",
    kinds: &[("I", Change::Insert), ("U", Change::Update), ("D", Change::Delete)],
    appears: [r#"{"before":null,"after":"#, r#","op_type":"I"}"#],
    disappears: [r#"{"before":"#, r#","after":null,"op_type":"D"}"#],
};

impl Envelope {
    fn change(&self, kind: &str) -> Option<Change> {
        self.kinds.iter().find(|(known, _)| *known == kind).map(|(_, change)| *change)
    }

    /// Whether the row before and the row after a change are there as its kind says.
    fn check(&self, columns: &[Column], row: usize) -> Result<(), BadValue> {
        let bad = |path: &str, why: String| Err(BadValue { path: path.to_string(), why });
        let fields = match columns {
            [Column { kind: Kind::Row(payload), .. }] => &payload[..],
            columns => columns,
        };
        let (before, after, kind) = (&fields[0], &fields[1], &fields[2]);
        let known = || self.kinds.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", ");
        let Some(kind) = kind.text(row) else {
            return bad(self.field, format!("it is missing, and must say what changed: one of {}", known()));
        };
        match self.change(kind) {
            None => bad(self.field, format!("'{kind}' is not one of {}", known())),
            Some(Change::Update | Change::Delete) if !before.is_valid(row) => bad(
                "before",
                "it is NULL, and must be the row as it was (Postgres writes it with REPLICA IDENTITY FULL)".to_string(),
            ),
            Some(Change::Insert | Change::Update) if !after.is_valid(row) => {
                bad("after", "it is NULL, and must be the row as it is now".to_string())
            }
            Some(_) => Ok(()),
        }
    }
}

/// Reads envelopes as rows of `before`, `after` and the kind of change; each becomes one change or two.
pub struct ChangeDecoder {
    envelopes: JsonDecoder,
    envelope: &'static Envelope,
    schema: SchemaRef,
}

impl ChangeDecoder {
    /// `is_wrapped`: the envelope is in a field `payload`.
    pub fn new(
        table: &TableDefinition,
        projection: &[usize],
        settings: DecodeSettings,
        envelope: &'static Envelope,
        is_wrapped: bool,
    ) -> Result<ChangeDecoder> {
        let schema: SchemaRef = Arc::new(table.schema.project(projection)?);
        let row = DataType::Struct(schema.fields().clone());
        let mut fields: Fields = [("before", row.clone()), ("after", row), (envelope.field, DataType::Utf8)]
            .into_iter()
            .map(|(name, data_type)| Field::new(name, data_type, true))
            .collect();
        if is_wrapped {
            fields = vec![Field::new("payload", DataType::Struct(fields), false)].into();
        }
        let all: Vec<usize> = (0..fields.len()).collect();
        let around = TableDefinition { schema: Arc::new(Schema::new(fields)), ..table.clone() };
        // An update is two rows.
        let envelopes = JsonDecoder::new(&around, &all, settings)?
            .checked(|columns, row| envelope.check(columns, row), ROWS_MAX / 2);
        Ok(ChangeDecoder { envelopes, envelope, schema })
    }
}

impl Decoder for ChangeDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        self.envelopes.decode(bytes, last)
    }

    fn flush(&mut self) -> Result<Option<Batch>> {
        match self.envelopes.flush()? {
            Some(envelopes) => self.changes(envelopes.rows()).map(Some),
            None => Ok(None),
        }
    }

    fn skipped(&mut self) -> Option<Skipped> {
        self.envelopes.skipped()
    }
}

impl ChangeDecoder {
    /// The changes that (checked) envelopes stand for, in order.
    fn changes(&self, envelopes: &RecordBatch) -> Result<Batch> {
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
            match self.envelope.change(kinds.value(row)) {
                Some(Change::Insert) => change((1, row), 1, false),
                Some(Change::Delete) => change((0, row), -1, false),
                Some(Change::Update) => {
                    change((0, row), -1, true);
                    change((1, row), 1, true);
                }
                None => unreachable!("every envelope was checked"),
            }
        }
        let columns: Vec<ArrayRef> = before
            .columns()
            .iter()
            .zip(after.columns())
            .map(|(before, after)| Ok(compute::interleave(&[before, after], &picks)?))
            .collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(picks.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Batch::with_updates(rows, Int64Array::from(weights), BooleanArray::from(updates)))
    }
}
