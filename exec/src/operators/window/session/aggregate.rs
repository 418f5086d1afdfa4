//! Sessions that hold aggregates.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};

use super::open::{Closed, Merged, OpenSessions};
use super::running::Contents;
use crate::error::Result;
use crate::message::Batch;
use crate::operator::{Output, TableSnapshot};
use crate::operators::AggregateColumn;
use crate::operators::aggregate::{Groups, PIECE_ROWS, partial_fields};
use crate::operators::window::assign::window_columns;

/// A group per slot.
pub(super) struct Aggregates {
    groups: Groups,
    is_ordered: bool,
    keys: usize,
    schema: SchemaRef,
    /// Of a snapshot: keys, first and last row's time, net rows, states.
    state: SchemaRef,
}

impl Aggregates {
    pub fn new(columns: &[AggregateColumn], keys: usize, schema: SchemaRef) -> Result<Aggregates> {
        let mut fields: Vec<Field> =
            schema.fields()[..keys].iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        fields.extend(["session_start", "session_end"].map(|name| Field::new(name, time.clone(), false)));
        fields.extend(partial_fields(columns)?);
        Ok(Aggregates {
            groups: Groups::new(&[], columns)?,
            is_ordered: columns.iter().any(|column| column.call.function.is_ordered()),
            keys,
            schema,
            state: Arc::new(Schema::new(fields)),
        })
    }
}

impl Contents for Aggregates {
    const NAME: &'static str = "session-aggregate";

    fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    fn add(&mut self, slots: &[u32], room: usize, batch: &Batch) -> Result<()> {
        self.groups.make_room(room);
        self.groups.update(slots, batch.rows(), batch.weights().map(|weights| &weights.values()[..]))
    }

    fn merge(&mut self, Merged { from, into }: &Merged) -> Result<()> {
        let partials = self.groups.partials_of(from)?;
        self.groups.merge(into, &partials)?;
        self.groups.reset(from);
        Ok(())
    }

    fn emit(&mut self, closed: &[Closed], open: &OpenSessions, out: &mut Output) -> Result<()> {
        // A session all of whose rows were taken back is none.
        let mut live = closed.to_vec();
        live.retain(|session| self.groups.is_live(session.slot));
        for piece in live.chunks(PIECE_ROWS) {
            let slots: Vec<u32> = piece.iter().map(|session| session.slot).collect();
            let (starts, ends): (Vec<i64>, Vec<i64>) =
                piece.iter().map(|session| (session.window.start, session.window.end)).unzip();
            let clock = open.clock();
            let time_type = self.schema.field(self.keys + 2).data_type();
            let mut columns = open.key_columns(piece)?;
            columns.extend(window_columns(&starts, &ends, |end| clock.closes_at(end), time_type));
            columns.extend(self.groups.evaluate(&slots)?);
            out.send(Batch::append(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
        }
        self.groups.reset(&closed.iter().map(|session| session.slot).collect::<Vec<u32>>());
        Ok(())
    }

    fn snapshot(&mut self, open: &OpenSessions) -> Result<TableSnapshot> {
        self.groups.make_room(open.slots());
        let all = open.all();
        let slots: Vec<u32> = all.iter().map(|session| session.slot).collect();
        let times = |of: fn(&Closed) -> i64| TimestampMillisecondArray::from_iter_values(all.iter().map(of));
        let mut columns: Vec<ArrayRef> = open.key_columns(&all)?;
        columns.push(Arc::new(times(|session| session.window.start)));
        columns.push(Arc::new(times(|session| session.window.end)));
        columns.extend(self.groups.partials_of(&slots)?);
        let rows = RecordBatch::try_new(Arc::clone(&self.state), columns)?;
        Ok(TableSnapshot::by_key("sessions", rows, 0..self.keys))
    }

    fn restore(&mut self, rows: RecordBatch, open: &mut OpenSessions) -> Result<Option<Batch>> {
        let (keys, rest) = rows.columns().split_at(self.keys);
        let times = |column: &ArrayRef| column.as_primitive::<TimestampMillisecondType>().values().clone();
        let slots = open.restore(keys, &times(&rest[0]), &times(&rest[1]))?;
        self.groups.make_room(open.slots());
        self.groups.merge(&slots, &rest[2..])?;
        Ok(None)
    }
}
