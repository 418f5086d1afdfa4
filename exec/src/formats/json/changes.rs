//! From records in [envelopes](super::envelope) to the changes that they stand for.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StructArray, UInt32Array,
};
use arrow::compute::{self, kernels};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::super::column::given;
use super::super::rows::ROWS_MAX;
use super::DecodeSettings;
use super::decode::JsonDecoder;
use super::envelope::{Change, Envelope, MetadataKind};
use super::filter::Filter;
use crate::connect::{Decoder, Skipped, TableDefinition, Unread};
use crate::error::Result;
use crate::message::Batch;

/// Reads envelopes as rows of `before`, `after`, the kind of change and metadata; each becomes as many changes as it has.
pub struct ChangeDecoder {
    envelopes: JsonDecoder,
    envelope: &'static Envelope,
    /// Of the rows that come out, and where each of its columns is.
    schema: SchemaRef,
    origins: Vec<Origin>,
    /// The columns that come out of the table's primary key, if a record replaces or removes the row of its key.
    by_key: Option<Vec<usize>>,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    /// So many fields before it in a row.
    Row(usize),
    /// In this column of the envelopes.
    Metadata(usize, MetadataKind),
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
        let (mut row, mut beside, mut origins): (Vec<FieldRef>, Vec<Field>, Vec<Origin>) = Default::default();
        for (&column, field) in projection.iter().zip(schema.fields()) {
            origins.push(match table.metadata_key(column) {
                None => {
                    row.push(Arc::clone(field));
                    Origin::Row(row.len() - 1)
                }
                Some(key) => {
                    let metadata = envelope.metadata_of(key, field, &table.name)?;
                    let place = beside.iter().position(|field| field.name() == metadata.field);
                    if place.is_none() {
                        let data_type = match metadata.kind {
                            MetadataKind::Time(_) => &DataType::Int64,
                            _ => field.data_type(),
                        };
                        beside.push(Field::new(metadata.field, data_type.clone(), field.is_nullable()));
                    }
                    Origin::Metadata(3 + place.unwrap_or(beside.len() - 1), metadata.kind)
                }
            });
        }
        let before = match envelope.differences {
            true => row.iter().map(given).collect(),
            false => row.clone().into(),
        };
        let mut fields = vec![
            envelope.rows(envelope.before, before),
            envelope.rows(envelope.after, row.into()),
            Field::new(envelope.kind, DataType::Utf8, true),
        ];
        fields.extend(beside);
        if is_wrapped {
            fields = vec![Field::new("payload", DataType::Struct(fields.into()), false)];
        }
        let all: Vec<usize> = (0..fields.len()).collect();
        let schema_around = Arc::new(Schema::new(fields));
        let around = TableDefinition { schema: schema_around, unread: Unread::default(), ..table.clone() };
        // An update is two changes, and begins where there is room for one. Records of many rows are not cut: offsets lie between
        // records.
        let is_upsert = table.is_upsert();
        let envelopes = JsonDecoder::new(&around, &all, settings)?
            .filtered(Filter::of(table, envelope.filters)?)
            .checked(move |columns, row| envelope.check(is_upsert, columns, row), ROWS_MAX - 1);
        let keys = || (0..projection.len()).filter(|&n| table.key.contains(&projection[n])).collect();
        Ok(ChangeDecoder { envelopes, envelope, schema, origins, by_key: is_upsert.then(keys) })
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

/// A change that comes out: the place of its row among those before or those after.
#[derive(Clone, Copy)]
struct Pick {
    /// Of its envelope.
    record: usize,
    before: Option<usize>,
    /// If there is a row before, what it has in the fields that are not different.
    after: usize,
}

impl ChangeDecoder {
    /// The changes that (checked) envelopes stand for, in order.
    fn changes(&self, envelopes: &RecordBatch) -> Result<Batch> {
        let mut columns = envelopes.columns();
        if let [payload] = columns {
            columns = payload.as_struct().columns();
        }
        let (before, after, kinds) = (Rows::of(&columns[0]), Rows::of(&columns[1]), columns[2].as_string::<i32>());
        let mut picks: Vec<Pick> = Vec::with_capacity(kinds.len());
        let (mut weights, mut updates) = (Vec::with_capacity(kinds.len()), Vec::with_capacity(kinds.len()));
        let mut change = |record, before, after, weight, is_update| {
            picks.push(Pick { record, before, after });
            weights.push(weight);
            updates.push(is_update);
        };
        for record in 0..kinds.len() {
            match self.envelope.change(kinds.value(record)) {
                Some(Change::Insert) => after.of_record(record).for_each(|row| change(record, None, row, 1, false)),
                Some(Change::Delete) if self.envelope.differences => {
                    after.of_record(record).for_each(|row| change(record, None, row, -1, false));
                }
                Some(Change::Delete) => {
                    before.of_record(record).for_each(|row| change(record, Some(row), row, -1, false));
                }
                Some(Change::Update) if self.by_key.is_some() && !before.is_there(record) => {
                    after.of_record(record).for_each(|row| change(record, None, row, 1, true));
                }
                Some(Change::Update) => {
                    for (was, is) in before.of_record(record).zip(after.of_record(record)) {
                        change(record, Some(was), is, -1, true);
                        change(record, None, is, 1, true);
                    }
                }
                Some(Change::Other) | None => unreachable!("every envelope was checked"),
            }
        }
        let records = UInt32Array::from_iter_values(picks.iter().map(|pick| pick.record as u32));
        let columns: Vec<ArrayRef> = self
            .origins
            .iter()
            .zip(self.schema.fields())
            .map(|(origin, field)| match *origin {
                Origin::Row(place) => self.row_column(before.rows.column(place), after.rows.column(place), &picks),
                Origin::Metadata(place, kind) => {
                    let values = compute::take(&columns[place], &records, None)?;
                    match kind {
                        MetadataKind::Time(unit) => {
                            let instant = compute::cast(&values, &DataType::Timestamp(unit, Some("UTC".into())))?;
                            Ok(compute::cast(&instant, field.data_type())?)
                        }
                        _ => Ok(values),
                    }
                }
            })
            .collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(picks.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        match &self.by_key {
            None => Ok(Batch::with_updates(rows, Int64Array::from(weights), BooleanArray::from(updates))),
            Some(keys) => by_key(&rows, keys, &weights, &updates),
        }
    }

    /// The values of one column in the picked rows.
    fn row_column(&self, before: &ArrayRef, after: &ArrayRef, picks: &[Pick]) -> Result<ArrayRef> {
        let given = self.envelope.differences.then(|| before.as_struct());
        let is_before = |row: &usize| given.is_none_or(|given| given.is_valid(*row));
        let places: Vec<(usize, usize)> = picks
            .iter()
            .map(|pick| pick.before.filter(is_before).map_or((1, pick.after), |before| (0, before)))
            .collect();
        let before = given.map_or(before, |given| given.column(0));
        Ok(compute::interleave(&[before, after], &places)?)
    }
}

/// Each row replaces that of its key, so what an update was before goes of itself; unless it had another key, and is to be removed.
fn by_key(rows: &RecordBatch, keys: &[usize], weights: &[i64], updates: &[bool]) -> Result<Batch> {
    let mut has_moved = vec![false; rows.num_rows()];
    for key in keys.iter().map(|&key| rows.column(key)).filter(|_| rows.num_rows() > 1) {
        let length = key.len() - 1;
        let next = kernels::cmp::distinct(&key.slice(0, length), &key.slice(1, length))?;
        has_moved.iter_mut().zip(next.values()).for_each(|(has_moved, is_other)| *has_moved |= is_other);
    }
    let keep: Vec<bool> = (0..rows.num_rows()).map(|row| weights[row] > 0 || !updates[row] || has_moved[row]).collect();
    let rows = compute::filter_record_batch(rows, &BooleanArray::from(keep.clone()))?;
    let kept = || (0..keep.len()).filter(|&row| keep[row]);
    // What is removed is no half of an update: it has another key than the row that comes.
    let updates: BooleanArray = kept().map(|row| Some(updates[row] && weights[row] > 0)).collect();
    Ok(Batch::with_updates(rows, kept().map(|row| weights[row]).collect(), updates))
}

/// A column of rows, of one or of any number per record.
struct Rows<'a> {
    column: &'a ArrayRef,
    rows: &'a StructArray,
    offsets: Option<&'a [i32]>,
}

impl Rows<'_> {
    fn of(column: &ArrayRef) -> Rows<'_> {
        match column.as_list_opt::<i32>() {
            None => Rows { column, rows: column.as_struct(), offsets: None },
            Some(lists) => Rows { column, rows: lists.values().as_struct(), offsets: Some(lists.value_offsets()) },
        }
    }

    /// Whether a record has any.
    fn is_there(&self, record: usize) -> bool {
        self.column.is_valid(record)
    }

    fn of_record(&self, record: usize) -> Range<usize> {
        match self.offsets {
            None => record..record + 1,
            Some(offsets) => offsets[record] as usize..offsets[record + 1] as usize,
        }
    }
}
