//! Transcripts of OVER, and random rows against looking at all rows for each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use expect_test::expect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::EventTime;

use super::{Frame, Over, OverFunction};
use crate::message::{Batch, Message};
use crate::operator::{Input, OperatorSpec, Output, ShardContext};
use crate::operators::{Numbering, Ttl};
use crate::testing::{aggregate_column, check, check_undisturbed};

/// Over columns `key, ts, value`: by key, in the order of ts.
fn over(input: &SchemaRef, functions: Vec<OverFunction>) -> Over {
    let mut fields = input.fields().to_vec();
    fields.extend(functions.iter().enumerate().map(|(n, function)| {
        let data_type = match function {
            OverFunction::Number(_) => DataType::Int64,
            OverFunction::Lag { argument, .. } => input.field(*argument).data_type().clone(),
            OverFunction::Aggregate { column, .. } => column.call.result.data_type().clone(),
        };
        Arc::new(Field::new(format!("f{n}"), data_type, true))
    }));
    Over {
        keys: vec![0],
        time: Some(1),
        order: vec![],
        takes_watermark: false,
        ttl: None,
        functions,
        schema: Arc::new(Schema::new(fields)),
    }
}

fn sum(input: &SchemaRef, frame: Frame) -> OverFunction {
    OverFunction::Aggregate { column: aggregate_column(input, "SUM", Some(2), frame.is_bounded()), frame }
}

fn lag(offset: u64) -> OverFunction {
    OverFunction::Lag { argument: 2, offset, default: None }
}

#[test]
fn each_row_comes_once_in_the_order_of_time() {
    check(
        |input| {
            let all = [Frame::Rows(None), Frame::Range(None), Frame::Rows(Some(1)), Frame::Range(Some(2_000))];
            over(input, all.into_iter().map(|frame| sum(input, frame)).collect())
        },
        expect![[r#"
            columns k text, ts time, v int

            + x 0:03 4
            + x 0:01 1
            + y 0:02 10
            + x 0:03 2
            | 1
            ~ 0:02
                => + x  0:01  1  1  1  1  1
                => + y  0:02  10  10  10  10  10
                => ~ 0:02
            ! crash
            + x 0:01 100        // late
            + x 0:04 null
            + x 0:06 8
            ~ 0:10
                => + x  0:03  4  5  7  5  7
                => + x  0:03  2  7  7  6  7
                => + x  0:04  null  7  7  2  6
                => + x  0:06  8  15  15  8  8
                => ~ 0:10
            | 2
            + x 0:20 null
            $
                => + x  0:20  null  15  15  8  null
                => $
        "#]],
    );
}

#[test]
fn rows_are_numbered_and_see_those_before_them() {
    check(
        |input| {
            let numbers = [Numbering::RowNumber, Numbering::Rank, Numbering::DenseRank].map(OverFunction::Number);
            over(input, numbers.into_iter().chain([lag(1), lag(2)]).collect())
        },
        expect![[r#"
            columns k text, ts time, v int

            + x 0:01 1
            + x 0:01 2
            + x 0:02 3
            + null 0:02 4
            ~ 0:05
                => + x  0:01  1  1  1  1  1  null
                => + x  0:01  2  2  1  1  1  null
                => + x  0:02  3  3  3  2  2  1
                => + null  0:02  4  1  1  1  null  null
                => ~ 0:05
            | 1
            ! crash
            + x 0:06 5
            + null 0:06 6
            $
                => + x  0:06  5  4  4  3  3  2
                => + null  0:06  6  2  2  2  4  null
                => $
        "#]],
    );
}

#[test]
fn a_row_at_the_watermark_may_be_taken() {
    check(
        |input| {
            let functions = vec![OverFunction::Number(Numbering::RowNumber)];
            Over { takes_watermark: true, ..over(input, functions) }
        },
        expect![[r#"
            columns k text, ts time, v int

            + x 0:03 1
            ~ 0:02
                => ~ 0:02
            + x 0:01 2          // late
            + x 0:02 3
            | 1
            ! crash
            ~ 0:03
                => + x  0:02  3  1
                => + x  0:03  1  2
                => ~ 0:03
            $
                => $
        "#]],
    );
}

#[test]
fn without_event_time_rows_are_taken_as_they_come() {
    check(
        |input| {
            let functions = vec![sum(input, Frame::Rows(Some(1))), lag(1), OverFunction::Number(Numbering::RowNumber)];
            Over { time: None, ..over(input, functions) }
        },
        expect![[r#"
            columns k text, ts time, v int

            + x 0:03 4
                => + x  0:03  4  4  null  1
            ~ 0:05
                => ~ 0:05
            + x 0:01 1
                => + x  0:01  1  5  4  2
            | 1
            ! crash
            + y 0:02 10
                => + y  0:02  10  10  null  1
            + x 0:03 2
                => + x  0:03  2  3  1  3
            $
                => $
        "#]],
    );
}

type Row = (Option<i64>, i64, Option<i64>);

/// What each row gets, by looking at all rows before it; `rows` are in order.
fn expected(functions: &[OverFunction], rows: &[Row]) -> Vec<Vec<Option<i64>>> {
    let of = |n: usize| {
        let (key, time, _) = rows[n];
        let own: Vec<usize> = (0..rows.len()).filter(|&m| rows[m].0 == key).collect();
        let place = own.iter().position(|&m| m == n).expect("a row is of its own group");
        let last_peer = own.iter().rposition(|&m| rows[m].1 == time).expect("a row is its own peer");
        let values = functions.iter().map(|function| match function {
            OverFunction::Number(Numbering::RowNumber) => Some(place as i64 + 1),
            OverFunction::Number(Numbering::Rank) => Some(own.iter().filter(|&&m| rows[m].1 < time).count() as i64 + 1),
            OverFunction::Number(Numbering::DenseRank) => {
                let before: std::collections::BTreeSet<i64> = own.iter().map(|&m| rows[m].1).collect();
                Some(before.range(..time).count() as i64 + 1)
            }
            OverFunction::Lag { offset, .. } => last_peer.checked_sub(*offset as usize).and_then(|m| rows[own[m]].2),
            OverFunction::Aggregate { column, frame } => {
                let frame = match frame {
                    Frame::Rows(before) => &own[before.map_or(0, |n| place.saturating_sub(n as usize))..=place],
                    Frame::Range(range) => {
                        let least = range.map_or(i64::MIN, |range| time - range as i64);
                        &own[own.iter().position(|&m| rows[m].1 >= least).expect("the row itself")..=last_peer]
                    }
                };
                let values: Vec<i64> = frame.iter().filter_map(|&m| rows[m].2).collect();
                match column.call.function.name() {
                    "COUNT" => Some(values.len() as i64),
                    "MAX" => values.into_iter().max(),
                    _ => values.into_iter().reduce(|a, b| a + b),
                }
            }
        });
        values.collect()
    };
    (0..rows.len()).map(of).collect()
}

#[test]
fn random_rows_get_what_looking_at_all_rows_finds() {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let fields = vec![
        Field::new("k", DataType::Int64, true),
        Field::new("ts", time, true),
        Field::new("v", DataType::Int64, true),
    ];
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        // Sometimes only ranges, whose groups go when time has left them.
        let only_ranges = random.random_bool(0.3);
        let functions: Vec<OverFunction> = (0..random.random_range(1..4))
            .map(|_| match if only_ranges { 5 } else { random.random_range(0..6) } {
                0 => OverFunction::Number(Numbering::RowNumber),
                1 => OverFunction::Number(Numbering::DenseRank),
                2 => lag(random.random_range(0..4)),
                kind => {
                    let bound = random.random_range(0..5);
                    let frame = match (kind, random.random_bool(0.5)) {
                        (5, _) => Frame::Range(Some(bound)),
                        (3, true) => Frame::Rows(None),
                        (3, false) => Frame::Range(None),
                        _ => Frame::Rows(Some(bound)),
                    };
                    let name = ["SUM", "COUNT", "MAX"][random.random_range(0..3)];
                    OverFunction::Aggregate {
                        column: aggregate_column(&schema, name, Some(2), frame.is_bounded()),
                        frame,
                    }
                }
            })
            .collect();
        let spec = over(&schema, functions.clone());
        let mut operator = spec.open(&ShardContext::SINGLE).expect("it opens");
        let (mut rows, mut found): (Vec<Row>, Vec<Vec<Option<i64>>>) = (Vec::new(), Vec::new());
        let mut watermark = 0;
        for _ in 0..30 {
            let mut out = Output::default();
            let count = random.random_range(0..if seed % 20 == 0 { 200 } else { 6 });
            let new: Vec<Row> = (0..count)
                .map(|_| {
                    let null = |value: i64| Some(value).filter(|&value| value > 0);
                    let time = watermark + random.random_range(1..6);
                    (null(random.random_range(0..4)), time, null(random.random_range(0..9)))
                })
                .collect();
            rows.extend(&new);
            let columns: Vec<ArrayRef> = vec![
                Arc::new(new.iter().map(|row| row.0).collect::<Int64Array>()),
                Arc::new(new.iter().map(|row| Some(row.1)).collect::<TimestampMillisecondArray>()),
                Arc::new(new.iter().map(|row| row.2).collect::<Int64Array>()),
            ];
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("three columns");
            operator.on_batch(Input(0), Batch::append(batch), &mut out).expect("rows are taken in");
            watermark += random.random_range(0..5);
            operator.on_watermark(EventTime(watermark), &mut out).expect("time goes on");
            if random.random_bool(0.2) {
                let state = operator.snapshot().expect("the state can be saved");
                operator = spec.open(&ShardContext::SINGLE).expect("it opens again");
                operator.restore(state).expect("the state can be restored");
            }
            collect(&mut out, &mut found);
        }
        let mut out = Output::default();
        operator.on_watermark(EventTime::MAX, &mut out).expect("time ends");
        collect(&mut out, &mut found);
        rows.sort_by_key(|row| row.1);
        let results = expected(&functions, &rows);
        let all = rows.iter().zip(results).map(|(row, results)| [vec![row.0, Some(row.1), row.2], results].concat());
        assert_eq!(found, all.collect::<Vec<_>>(), "{functions:?} with seed {seed}");
    }
}

fn collect(out: &mut Output, into: &mut Vec<Vec<Option<i64>>>) {
    for message in out.drain() {
        let Message::Batch(batch) = message else { continue };
        for row in 0..batch.len() {
            let value = |column: &ArrayRef| match column.data_type() {
                DataType::Timestamp(..) => Some(column.as_primitive::<TimestampMillisecondType>().value(row)),
                _ => column.is_valid(row).then(|| column.as_primitive::<Int64Type>().value(row)),
            };
            into.push(batch.rows().columns().iter().map(value).collect());
        }
    }
}

#[test]
fn groups_that_time_has_left_are_forgotten() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("v", DataType::Int64, true),
    ]));
    let spec = over(&schema, vec![sum(&schema, Frame::Range(Some(10)))]);
    let mut operator = spec.open(&ShardContext::SINGLE).expect("it opens");
    let mut most = 0;
    for step in 0..100 {
        let keys = (step * 1000..(step + 1) * 1000).collect::<Int64Array>();
        let times: TimestampMillisecondArray = (0..1000).map(|_| Some(step * 100)).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(keys.clone()), Arc::new(times), Arc::new(keys)];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("three columns");
        let mut out = Output::default();
        operator.on_batch(Input(0), Batch::append(batch), &mut out).expect("rows are taken in");
        operator.on_watermark(EventTime(step * 100), &mut out).expect("time goes on");
        let tables: BTreeMap<_, _> =
            operator.snapshot().expect("a snapshot").into_iter().map(|table| (table.table, table.rows)).collect();
        most = most.max(tables["history"].num_rows());
    }
    assert!(most < 5000, "{most} rows of 100 000 are kept");
}

#[test]
fn keys_that_are_not_used_are_forgotten() {
    check_undisturbed(
        |[input]| {
            let functions = vec![OverFunction::Number(Numbering::RowNumber), sum(input, Frame::Rows(None)), lag(1)];
            Over { ttl: Some(Ttl(Duration::from_secs(10))), ..over(input, functions) }
        },
        expect![[r#"
            columns k text, ts time, v int

            + x 0:01 1
            + y 0:01 1
            ~ 0:02
                => + x  0:01  1  1  1  null
                => + y  0:01  1  1  1  null
                => ~ 0:02
            | 1 0:00
            | 2 0:01
            + x 0:03 2
            + y 0:03 2
            ~ 0:03
                => + x  0:03  2  2  3  1
                => + y  0:03  2  2  3  1
                => ~ 0:03
            | 3 0:02
            | 4 0:03
            + x 0:04 3
            ~ 0:04
                => + x  0:04  3  3  6  2
                => ~ 0:04
            | 5 0:12
            | 6 0:13            // y is forgotten
            + x 0:05 4
            + y 0:05 4
            ~ 0:05
                => + x  0:05  4  4  10  3
                => + y  0:05  4  1  4  null
                => ~ 0:05
            $
                => $
        "#]],
    );
}
