//! Random streams for tests: any cut into batches, any crash, the same outcome.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rand::Rng;
use rand::rngs::StdRng;
use tidemill_state::{Epoch, EventTime};

use crate::message::{Barrier, Batch, Mark, Message};
use crate::operator::{Input, Operator, OperatorSpec, Output, ShardContext};

#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Values of all columns, text ones by their numbers, and a weight.
    Row(Vec<Option<i64>>, i64),
    Watermark(i64),
}

/// What came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Between which watermarks each row came, and its values.
    pub rows: Vec<(i64, i64, String)>,
    pub late: u64,
}

/// Plays events to the end, in batches cut at random, with crashes at random.
pub(super) fn play(spec: &dyn OperatorSpec, input: &SchemaRef, events: &[Event], random: &mut StdRng) -> Outcome {
    let open = || spec.open(&ShardContext::SINGLE).expect("the operator opens");
    let mut operator = open();
    let mut out = Output::default();
    let mut late = 0;
    let cuts = [0.0, 0.02, 0.1, 0.5, 1.0][random.random_range(0..5)];
    let (mut rows, mut marks) = (Vec::new(), Vec::new());
    for (n, event) in events.iter().enumerate() {
        match event {
            Event::Row(values, weight) => rows.push((values, *weight)),
            Event::Watermark(time) => marks.push(Mark { row: rows.len(), time: EventTime(*time) }),
        }
        if random.random_bool(cuts) || n + 1 == events.len() {
            feed(operator.as_mut(), input, &rows, std::mem::take(&mut marks), &mut out);
            rows.clear();
            if random.random_bool(0.1) {
                late += operator.late_rows();
                let saved = operator.snapshot().expect("the state can be saved");
                operator = open();
                operator.restore(saved).expect("the state can be restored");
            }
        }
    }
    operator.on_watermark(EventTime::MAX, &mut out).expect("the last watermark is handled");
    operator.on_barrier(&Barrier::at_end(Epoch(1)), &mut out).expect("the end is handled");
    Outcome { rows: outcome(&mut out), late: late + operator.late_rows() }
}

fn feed(
    operator: &mut dyn Operator,
    input: &SchemaRef,
    rows: &[(&Vec<Option<i64>>, i64)],
    marks: Vec<Mark>,
    out: &mut Output,
) {
    if rows.is_empty() {
        let last = marks.last().into_iter();
        return last.for_each(|mark| operator.on_watermark(mark.time, out).expect("the watermark is handled"));
    }
    let columns = input.fields().iter().enumerate().map(|(n, field)| {
        let values = rows.iter().map(|(values, _)| values[n]);
        let column: ArrayRef = match field.data_type() {
            DataType::Int64 => Arc::new(Int64Array::from_iter(values)),
            DataType::Utf8 => {
                Arc::new(StringArray::from_iter(values.map(|value| value.map(|value| value.to_string()))))
            }
            _ => Arc::new(TimestampMillisecondArray::from_iter(values)),
        };
        column
    });
    let batch = RecordBatch::try_new(Arc::clone(input), columns.collect()).expect("the columns of the input");
    let weighted = rows.iter().any(|(_, weight)| *weight != 1);
    let weights = weighted.then(|| Int64Array::from_iter_values(rows.iter().map(|(_, weight)| *weight)));
    operator.on_batch(Input(0), Batch::new(batch, weights).with_marks(marks), out).expect("the rows are handled");
}

fn outcome(out: &mut Output) -> Vec<(i64, i64, String)> {
    let mut rows = Vec::new();
    let (mut before, mut open) = (i64::MIN, 0);
    for message in out.drain() {
        match message {
            Message::Batch(batch) => {
                assert!(batch.weights().is_none() && batch.marks().is_empty(), "results are append-only");
                rows.extend(texts(batch.rows()).into_iter().map(|text| (before, i64::MAX, text)));
            }
            Message::Watermark(time) => {
                assert!(before < time.0, "watermarks rise");
                rows[open..].iter_mut().for_each(|row| row.1 = time.0);
                (before, open) = (time.0, rows.len());
            }
            other => panic!("{other:?} comes from the task"),
        }
    }
    rows
}

/// Rows with times as numbers.
fn texts(rows: &RecordBatch) -> Vec<String> {
    let columns: Vec<ArrayRef> = rows
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Timestamp(..) => cast(column, &DataType::Int64).expect("a time is a number"),
            _ => Arc::clone(column),
        })
        .collect();
    let options = FormatOptions::default().with_null("null");
    let formatters: Vec<_> =
        columns.iter().map(|column| ArrayFormatter::try_new(column, &options).expect("it can be shown")).collect();
    (0..rows.num_rows())
        .map(|row| formatters.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "))
        .collect()
}

/// A value as in the rows of an [`Outcome`].
pub(super) fn shown(value: Option<i64>) -> String {
    value.map_or("null".to_string(), |value| value.to_string())
}
