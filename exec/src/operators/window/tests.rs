//! Window aggregation: transcripts, and random streams against a plain model.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use expect_test::expect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::{Epoch, EventTime};

use super::{LocalWindowAggregate, RowWindow, TimeKind, WindowAggregate, window_fields};
use crate::message::{Barrier, Batch, Mark, Message};
use crate::operator::{Input, Operator, OperatorSpec, Output, ShardContext};
use crate::testing::{aggregate_column as column, check};
use crate::window::{Shape, Windows};

/// Over columns `key, ts, value`: by key, `COUNT(*)` and `functions` of value.
fn aggregate(input: &SchemaRef, windows: Windows, functions: &[&str], retracting: bool) -> WindowAggregate {
    let mut columns = vec![column(input, "COUNT", None, retracting)];
    columns.extend(functions.iter().map(|function| column(input, function, Some(2), retracting)));
    let mut fields = vec![Arc::clone(&input.fields()[0])];
    fields.extend(window_fields(None));
    fields.extend(columns.iter().map(|column| Arc::clone(&column.call.result)));
    WindowAggregate {
        window: RowWindow::Slice { windows, time: 1 },
        kind: TimeKind::Event,
        keys: vec![0],
        columns,
        input: Arc::clone(input),
        partial: false,
        schema: Arc::new(Schema::new(fields)),
    }
}

#[test]
fn a_window_closes_once_and_rows_behind_it_are_late() {
    check(
        |input| aggregate(input, Windows::tumble(10_000), &["SUM"], false),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 1
            + bob 0:02 2
            + ann 0:11 5
            ~ 0:09.998        // the window up to 0:10 is complete only one millisecond later
                => ~ 0:09.998
            + ann 0:09 3
            ~ 0:09.999
                => + ann  0:00  0:10  0:09.999  2  4
                => + bob  0:00  0:10  0:09.999  1  2
                => ~ 0:09.999
            + ann 0:08 9      // late
            + cid 0:10 4      // not late, though behind the next row's watermark
            | 1
            ~ 0:30
                => + ann  0:10  0:20  0:19.999  1  5
                => + cid  0:10  0:20  0:19.999  1  4
                => ~ 0:30
            + ann -0:05 1     // late
            $
                => $
        "#]],
    );
}

#[test]
fn sums_leave_with_their_slices() {
    check(
        |input| aggregate(input, Windows::hop(5_000, 10_000), &["SUM"], false),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 1
            + ann 0:06 10
            + bob 0:07 7
            ~ 0:10
                => + ann  -1:55  0:05  0:04.999  1  1
                => + ann  0:00  0:10  0:09.999  2  11
                => + bob  0:00  0:10  0:09.999  1  7
                => ~ 0:10
            + ann 0:11 100
            + ann 0:08 1000   // late for the window up to 0:10 only
            | 1
            ~ 0:15
                => + ann  0:05  0:15  0:14.999  3  1110
                => + bob  0:05  0:15  0:14.999  1  7
                => ~ 0:15
            ~ 0:20
                => + ann  0:10  0:20  0:19.999  1  100
                => ~ 0:20
            + ann 1:01 5
            $
                => + ann  0:55  1:05  1:04.999  1  5
                => + ann  1:00  1:10  1:09.999  1  5
                => $
        "#]],
    );
}

#[test]
fn windows_without_invertible_aggregates_and_with_late_rows() {
    check(
        |input| aggregate(input, Windows::hop(5_000, 20_000), &["MAX"], false),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 9
            + ann 0:06 3
            + bob 0:07 7
            + ann 0:12 1
            ~ 0:10
                => + ann  -1:45  0:05  0:04.999  1  9
                => + ann  -1:50  0:10  0:09.999  2  9
                => + bob  -1:50  0:10  0:09.999  1  7
                => ~ 0:10
            | 1
            + ann 0:06 4
            ~ 0:15
                => + ann  -1:55  0:15  0:14.999  4  9
                => + bob  -1:55  0:15  0:14.999  1  7
                => ~ 0:15
            + ann 0:16 2
            + bob 0:08 8
            | 2
            ~ 0:20
                => + ann  0:00  0:20  0:19.999  5  9
                => + bob  0:00  0:20  0:19.999  2  8
                => ~ 0:20
            ~ 0:25
                => + ann  0:05  0:25  0:24.999  4  4
                => + bob  0:05  0:25  0:24.999  2  8
                => ~ 0:25
            | 3
            ~ 0:30
                => + ann  0:10  0:30  0:29.999  2  2
                => ~ 0:30
            $
                => + ann  0:15  0:35  0:34.999  1  2
                => $
        "#]],
    );
}

#[test]
fn cumulating_windows_grow_and_late_rows_count_in_the_later_steps() {
    check(
        |input| aggregate(input, Windows::cumulate(5_000, 15_000), &["SUM"], false),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 1
            + ann 0:07 2
            + ann 0:03 3
            ~ 0:07
                => + ann  0:00  0:05  0:04.999  2  4
                => ~ 0:07
            + ann 0:11 4
            ~ 0:11
                => + ann  0:00  0:10  0:09.999  3  6
                => ~ 0:11
            + ann 0:06 5
            | 1
            + bob 0:16 6
            ~ 0:16
                => + ann  0:00  0:15  0:14.999  5  15
                => ~ 0:16
            + ann 0:12 7      // late: the last window with it, up to 0:15, has closed
            $
                => + bob  0:15  0:20  0:19.999  1  6
                => + bob  0:15  0:25  0:24.999  1  6
                => + bob  0:15  0:30  0:29.999  1  6
                => $
        "#]],
    );
}

#[test]
fn retractions_are_taken_out_before_a_window_closes() {
    check(
        |input| aggregate(input, Windows::tumble(10_000), &["SUM", "MAX"], true),
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 1
            + ann 0:02 8
            + bob 0:02 2
            - ann 0:02 8
            - bob 0:02 2
            | 1
            ~ 0:10
                => + ann  0:00  0:10  0:09.999  1  1  1
                => ~ 0:10
            $
                => $
        "#]],
    );
}

#[test]
fn processing_time_closes_windows_at_barriers_and_at_the_end() {
    check(
        |input| WindowAggregate {
            kind: TimeKind::Processing,
            ..aggregate(input, Windows::tumble(10_000), &["SUM"], false)
        },
        expect![[r#"
            columns user text, ts time, amount int

            + ann 0:01 1
            ~ 1:00            // no business of this operator's
                => ~ 1:00
            | 1 0:02
            + ann 0:03 2
            | 2 0:10
                => + ann  0:00  0:10  0:09.999  2  3
            + ann 0:11 4
            $
                => + ann  0:10  0:20  0:19.999  1  4
                => $
        "#]],
    );
}

#[test]
fn attached_windows_close_like_their_own() {
    let spec = |input: &SchemaRef| {
        let columns = vec![column(input, "COUNT", None, false)];
        let mut fields = window_fields(None).to_vec();
        fields.push(Arc::clone(&columns[0].call.result));
        WindowAggregate {
            window: RowWindow::Attached { start: 0, end: 1, time: 2 },
            kind: TimeKind::Event,
            keys: vec![],
            columns,
            input: Arc::clone(input),
            partial: false,
            schema: Arc::new(Schema::new(fields)),
        }
    };
    check(
        spec,
        expect![[r#"
            columns start time, end time, at time

            + 0:00 0:10 0:09.999
            + 0:05 0:10 0:09.999
            + 0:00 0:10 0:09.999
            ~ 0:09.999
                => + 0:00  0:10  0:09.999  2
                => + 0:05  0:10  0:09.999  1
                => ~ 0:09.999
            + 0:00 0:10 0:09.999
            + 0:00 0:20 0:19.999
            $
                => + 0:00  0:20  0:19.999  1
                => $
        "#]],
    );
}

/// One row of a random stream.
#[derive(Clone, Debug)]
enum Event {
    Row { key: i64, time: i64, value: i64 },
    Watermark(i64),
}

/// Key, window start, window end.
type Place = (i64, i64, i64);

/// What must come out, computed by the definition, and how many rows are late.
fn model(events: &[Event], windows: Windows) -> (BTreeMap<Place, Vec<i64>>, u64) {
    let mut results: BTreeMap<Place, Vec<i64>> = BTreeMap::new();
    let (mut late, mut watermark) = (0, i64::MIN);
    for event in events {
        match event {
            Event::Watermark(time) => watermark = *time,
            Event::Row { key, time, value } => {
                let of_row: Vec<_> = windows.of_slice(windows.slice_of(*time)).collect();
                let open = of_row.iter().filter(|window| window.end - 1 > watermark);
                let before = results.values().map(Vec::len).sum::<usize>();
                open.for_each(|window| results.entry((*key, window.start, window.end)).or_default().push(*value));
                let is_in = results.values().map(Vec::len).sum::<usize>() > before;
                late += u64::from(!is_in && !of_row.is_empty());
            }
        }
    }
    (results, late)
}

fn random_events(random: &mut StdRng) -> Vec<Event> {
    let (mut events, mut latest, mut watermark) = (Vec::new(), 0, i64::MIN);
    for _ in 0..random.random_range(1..200) {
        latest += random.random_range(0..4);
        let time = latest - random.random_range(0..30i64);
        events.push(Event::Row { key: random.random_range(0..3), time, value: random.random_range(-50..50) });
        let next = latest - random.random_range(5..25i64);
        if next > watermark && random.random_bool(0.5) {
            watermark = next;
            events.push(Event::Watermark(next));
        }
    }
    events
}

fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("value", DataType::Int64, true),
    ]))
}

/// The events as batches with marks, cut at random.
fn batches(events: &[Event], random: &mut StdRng) -> Vec<Message> {
    let mut messages = Vec::new();
    let (mut rows, mut marks): (Vec<(i64, i64, i64)>, Vec<Mark>) = (Vec::new(), Vec::new());
    let mut flush = |rows: &mut Vec<(i64, i64, i64)>, marks: &mut Vec<Mark>| {
        let column = |of: fn(&(i64, i64, i64)) -> i64| Int64Array::from_iter_values(rows.iter().map(of));
        let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1));
        let columns: Vec<ArrayRef> =
            vec![Arc::new(column(|row| row.0)), Arc::new(times), Arc::new(column(|row| row.2))];
        let batch = Batch::append(RecordBatch::try_new(input(), columns).expect("three columns"));
        match (rows.is_empty(), marks.last()) {
            (false, _) => messages.push(Message::Batch(batch.with_marks(std::mem::take(marks)))),
            (true, Some(mark)) => messages.push(Message::Watermark(mark.time)),
            (true, None) => {}
        }
        rows.clear();
        marks.clear();
    };
    for event in events {
        match event {
            Event::Row { key, time, value } => rows.push((*key, *time, *value)),
            Event::Watermark(time) => marks.push(Mark { row: rows.len(), time: EventTime(*time) }),
        }
        if random.random_bool(0.1) {
            flush(&mut rows, &mut marks);
        }
    }
    flush(&mut rows, &mut marks);
    messages
}

fn feed(operator: &mut dyn Operator, message: Message, out: &mut Output) {
    match message {
        Message::Batch(batch) => operator.on_batch(Input(0), batch, out),
        Message::Watermark(time) => operator.on_watermark(time, out),
        Message::Barrier(barrier) => operator.on_barrier(&barrier, out),
        other => panic!("no {other:?} is fed"),
    }
    .expect("the operator takes it");
}

/// Runs a chain of operators; the rows that come out, by place.
fn run(chain: &mut [Box<dyn Operator>], messages: Vec<Message>) -> BTreeMap<Place, Vec<i64>> {
    let mut results = BTreeMap::new();
    let end = [Message::Watermark(EventTime::MAX), Message::Barrier(Barrier::at_end(Epoch(1)))];
    for message in messages.into_iter().chain(end) {
        let mut stream = vec![message];
        for operator in chain.iter_mut() {
            let mut out = Output::default();
            for message in stream {
                let barrier = matches!(message, Message::Barrier(_)).then(|| message.clone());
                feed(operator.as_mut(), message, &mut out);
                barrier.into_iter().for_each(|barrier| out.push(barrier));
            }
            stream = out.drain().collect();
        }
        for message in stream {
            let Message::Batch(batch) = message else { continue };
            let number = |column: usize, row: usize| match batch.rows().column(column).data_type() {
                DataType::Int64 => batch.rows().column(column).as_primitive::<Int64Type>().value(row),
                _ => batch.rows().column(column).as_primitive::<TimestampMillisecondType>().value(row),
            };
            for row in 0..batch.len() {
                let values = (4..batch.rows().num_columns()).map(|column| number(column, row)).collect();
                let place = (number(0, row), number(1, row), number(2, row));
                assert_eq!(results.insert(place, values), None, "a window closes once");
            }
        }
    }
    results
}

#[test]
fn random_streams_give_what_the_definition_says_in_one_phase_and_two() {
    let shapes = [
        Shape::Tumble { size: 10 },
        Shape::Hop { slide: 5, size: 15 },
        Shape::Hop { slide: 4, size: 10 },
        Shape::Hop { slide: 1, size: 20 },
        Shape::Hop { slide: 10, size: 4 },
        Shape::Cumulate { step: 3, max: 12 },
    ];
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let shape = shapes[seed as usize % shapes.len()];
        let windows = Windows { offset: random.random_range(-7..7), shape, ..Windows::tumble(1) };
        let events = random_events(&mut random);
        let (expected, late) = model(&events, windows);
        let invertible = seed % 2 == 0;
        let functions: &[&str] = if invertible { &["SUM"] } else { &["SUM", "MIN", "MAX"] };
        let expected: BTreeMap<Place, Vec<i64>> = expected
            .into_iter()
            .map(|(place, values)| {
                let (min, max) = (values.iter().min().copied(), values.iter().max().copied());
                let mut results = vec![values.len() as i64, values.iter().sum()];
                results.extend([min, max].into_iter().flatten().filter(|_| !invertible));
                (place, results)
            })
            .collect();
        let spec = aggregate(&input(), windows, functions, false);
        let one = spec.open(&ShardContext::SINGLE).expect("it opens");
        let mut one = [one];
        assert_eq!(run(&mut one, batches(&events, &mut random)), expected, "seed {seed}: {windows} over {events:?}");
        assert_eq!(one[0].late_rows(), late, "seed {seed}");

        let local = LocalWindowAggregate::new(windows, 1, vec![0], spec.columns.clone(), input()).expect("a spec");
        let global = WindowAggregate { partial: true, input: local.schema(), ..spec };
        let open = |spec: &dyn OperatorSpec| spec.open(&ShardContext::SINGLE).expect("it opens");
        let mut two = [open(&local), open(&global)];
        assert_eq!(run(&mut two, batches(&events, &mut random)), expected, "seed {seed}: two phases, {windows}");
        assert_eq!(two[1].late_rows(), late, "seed {seed}: two phases");
    }
}

#[test]
fn a_list_over_hopping_windows_has_the_newest_slice_first() {
    // As Flink prints it.
    let input: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("value", DataType::Utf8, true),
    ]));
    let spec = aggregate(&input, Windows::hop(5_000, 15_000), &["LISTAGG"], false);
    let mut operator = spec.open(&ShardContext::SINGLE).expect("it opens");
    let times = TimestampMillisecondArray::from(vec![1_000, 11_000, 16_000, 8_000]);
    let values = StringArray::from(vec!["1", "2", "3", "4"]);
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["a"; 4])), Arc::new(times), Arc::new(values)];
    let marks = [(1, 1_000), (2, 11_000), (3, 16_000)].map(|(row, time)| Mark { row, time: EventTime(time) });
    let batch = Batch::append(RecordBatch::try_new(input, columns).expect("three columns")).with_marks(marks.to_vec());
    let mut out = Output::default();
    operator.on_batch(Input(0), batch, &mut out).expect("rows are taken");
    operator.on_watermark(EventTime(20_000), &mut out).expect("time passes");
    let lists: Vec<String> = out
        .drain()
        .flat_map(|message| match message {
            Message::Batch(batch) => {
                let lists = batch.rows().column(5).as_string::<i32>().clone();
                lists.iter().flatten().map(str::to_string).collect::<Vec<_>>()
            }
            _ => Vec::new(),
        })
        .collect();
    assert_eq!(lists, ["1", "1", "2,1", "3,2,4"]);
}
