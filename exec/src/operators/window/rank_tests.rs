//! Transcripts of window ranks, and what pruning must not change.

use arrow::compute::SortOptions;
use expect_test::expect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::testing::check;

/// Over columns `start, end, time, key, value`: by key, the greatest values first.
fn spec(input: &SchemaRef, first: u64, last: u64) -> WindowRank {
    let mut fields = input.fields().to_vec();
    fields.push(Arc::new(Field::new("rn", DataType::Int64, true)));
    WindowRank {
        window: (0, 1, 2),
        kind: TimeKind::Event,
        keys: vec![3],
        order: vec![Order { column: 4, options: SortOptions { descending: true, nulls_first: false } }],
        first,
        last,
        numbered: true,
        later_first: false,
        retracting: true,
        schema: Arc::new(Schema::new(fields)),
    }
}

#[test]
fn the_first_rows_of_each_key_come_when_the_window_closes() {
    check(
        |input| spec(input, 1, 2),
        expect![[r#"
            columns s time, e time, t time, user text, v int

            + 0:00 0:10 0:09.999 ann 3
            + 0:00 0:10 0:09.999 ann 5
            + 0:00 0:10 0:09.999 bob null
            + 0:00 0:10 0:09.999 ann 4
            + 0:10 0:20 0:19.999 ann 9
            + 0:00 0:10 0:09.999 bob 1
            + 0:00 0:10 0:09.999 bob 1
            | 1
            ~ 0:09.999
                => + 0:00  0:10  0:09.999  ann  5  1
                => + 0:00  0:10  0:09.999  ann  4  2
                => + 0:00  0:10  0:09.999  bob  1  1
                => + 0:00  0:10  0:09.999  bob  1  2
                => ~ 0:09.999
            + 0:00 0:10 0:09.999 ann 7   // late
            | 2
            $
                => + 0:10  0:20  0:19.999  ann  9  1
                => $
        "#]],
    );
}

#[test]
fn places_may_begin_later_and_rows_may_be_taken_back() {
    check(
        |input| spec(input, 2, 3),
        expect![[r#"
            columns s time, e time, t time, user text, v int

            + 0:00 0:10 0:09.999 ann 3
            + 0:00 0:10 0:09.999 ann 5
            +2 0:00 0:10 0:09.999 ann 4
            - 0:00 0:10 0:09.999 ann 5
            - 0:00 0:10 0:09.999 ann 4
            + 0:00 0:10 0:09.999 ann 2
            | 1
            $
                => + 0:00  0:10  0:09.999  ann  3  2
                => + 0:00  0:10  0:09.999  ann  2  3
                => $
        "#]],
    );
}

#[test]
fn of_equal_rows_the_last_is_kept_if_asked() {
    check(
        |input| WindowRank {
            order: vec![Order { column: 2, options: SortOptions::default() }],
            later_first: true,
            ..spec(input, 1, 1)
        },
        expect![[r#"
            columns s time, e time, t time, user text, v int

            + 0:00 0:10 0:09.999 ann 3
            + 0:00 0:10 0:09.999 ann 5
            + 0:00 0:10 0:09.999 ann 4
            $
                => + 0:00  0:10  0:09.999  ann  4  1
                => $
        "#]],
    );
}

#[test]
fn pruning_changes_nothing() {
    let fields = ["s", "e", "t"]
        .map(|name| Field::new(name, DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None), true));
    let mut fields = fields.to_vec();
    fields.extend(["user", "v"].map(|name| Field::new(name, DataType::Int64, true)));
    let input: SchemaRef = Arc::new(Schema::new(fields));
    let mut random = StdRng::seed_from_u64(3);
    let values: Vec<(i64, i64)> =
        (0..30_000).map(|_| (random.random_range(0..5), random.random_range(0..20_000))).collect();
    let append_only = WindowRank { retracting: false, ..spec(&input, 1, 3) };
    let mut operator = append_only.open(&ShardContext::SINGLE).expect("it opens");
    let mut out = Output::default();
    for part in values.chunks(1000) {
        let time =
            |time: i64| -> ArrayRef { Arc::new(arrow::array::TimestampMillisecondArray::from(vec![time; part.len()])) };
        let number =
            |of: fn(&(i64, i64)) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(part.iter().map(of))) };
        let columns = vec![time(0), time(10), time(9), number(|row| row.0), number(|row| row.1)];
        let rows = RecordBatch::try_new(Arc::clone(&input), columns).expect("five columns");
        operator.on_batch(Input(0), Batch::append(rows), &mut out).expect("rows are taken");
    }
    operator.on_watermark(EventTime(9), &mut out).expect("time passes");
    let mut expected = Vec::new();
    for key in 0..5 {
        let mut of_key: Vec<i64> = values.iter().filter(|row| row.0 == key).map(|row| row.1).collect();
        of_key.sort_unstable_by(|a, b| b.cmp(a));
        expected.extend(of_key.into_iter().take(3).map(|value| (key, value)));
    }
    let mut found = Vec::new();
    for message in out.drain() {
        if let crate::message::Message::Batch(batch) = message {
            let number = |n: usize| batch.rows().column(n).as_primitive::<arrow::datatypes::Int64Type>().clone();
            found.extend(number(3).values().iter().copied().zip(number(4).values().iter().copied()));
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn a_row_moves_up_when_one_before_it_is_taken_back_however_many_came() {
    let fields = ["s", "e", "t"]
        .map(|name| Field::new(name, DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None), true));
    let mut fields = fields.to_vec();
    fields.extend(["user", "v"].map(|name| Field::new(name, DataType::Int64, true)));
    let input: SchemaRef = Arc::new(Schema::new(fields));
    let rows = |values: std::ops::Range<i64>| {
        let length = (values.end - values.start) as usize;
        let time =
            |time: i64| -> ArrayRef { Arc::new(arrow::array::TimestampMillisecondArray::from(vec![time; length])) };
        let number = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let columns = vec![time(0), time(10), time(9), number(vec![0; length]), number(values.collect())];
        RecordBatch::try_new(Arc::clone(&input), columns).expect("five columns")
    };
    let mut operator = spec(&input, 1, 1).open(&ShardContext::SINGLE).expect("it opens");
    let mut out = Output::default();
    for start in (0..20_000).step_by(1000) {
        operator.on_batch(Input(0), Batch::append(rows(start..start + 1000)), &mut out).expect("rows are taken");
    }
    let saved = operator.snapshot().expect("the state can be saved");
    operator = spec(&input, 1, 1).open(&ShardContext::SINGLE).expect("it opens");
    operator.restore(saved).expect("the state can be restored");
    let taken_back = Batch::new(rows(19_999..20_000), Some(Int64Array::from(vec![-1])));
    operator.on_batch(Input(0), taken_back, &mut out).expect("the row is taken back");
    operator.on_watermark(EventTime(9), &mut out).expect("time passes");
    let first = out.drain().find_map(|message| match message {
        crate::message::Message::Batch(batch) => Some(batch.rows().column(4).as_primitive::<Int64Type>().value(0)),
        _ => None,
    });
    assert_eq!(first, Some(19_998));
}
