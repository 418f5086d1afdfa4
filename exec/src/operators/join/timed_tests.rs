//! Transcripts of window joins and interval joins, and random rows against nested loops.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::ScalarValue;
use datafusion_expr::Operator as Sign;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, lit};
use expect_test::expect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::EventTime;

use super::tests::{Bag, collect, join};
use super::{IntervalJoin, Join, JoinKind, WindowJoin};
use crate::message::Batch;
use crate::operator::{Input, OperatorSpec, Output, ShardContext};
use crate::operators::TimeKind;
use crate::testing::check_inputs;

/// Over columns `start, end, time, key, ...`.
fn window_join(kind: JoinKind, inputs: &[SchemaRef; 2]) -> WindowJoin {
    let keys = [vec![0, 1, 3], vec![0, 1, 3]];
    WindowJoin {
        join: Join { keys, ..join(kind, inputs, false) },
        windows: [(0, 1, 2), (0, 1, 2)],
        kind: TimeKind::Event,
    }
}

#[test]
fn rows_of_a_window_are_joined_when_it_closes() {
    check_inputs(
        |inputs| window_join(JoinKind::Full, inputs),
        expect![[r#"
            columns s time, e time, t time, k text
            columns s time, e time, t time, k text, v int

            + 0:00 0:10 0:09.999 x
            + 0:00 0:10 0:09.999 x
            + 0:10 0:20 0:19.999 y
            2nd + 0:00 0:10 0:09.999 x 1
            2nd + 0:00 0:10 0:09.999 z 2
            | 1
            ! crash
            ~ 0:09.999
                => + 0:00  0:10  0:09.999  x  0:00  0:10  0:09.999  x  1
                => + 0:00  0:10  0:09.999  x  0:00  0:10  0:09.999  x  1
                => + null  null  null  null  0:00  0:10  0:09.999  z  2
                => ~ 0:09.999
            2nd + 0:00 0:10 0:09.999 x 3    // late
            2nd + 0:10 0:20 0:19.999 y 4
            - 0:10 0:20 0:19.999 y          // taken back before the window closes
            | 2
            $
                => + null  null  null  null  0:10  0:20  0:19.999  y  4
                => $
        "#]],
    );
}

#[test]
fn rows_that_may_have_no_partner_wait_for_the_window_too() {
    check_inputs(
        |inputs| window_join(JoinKind::Anti, inputs),
        expect![[r#"
            columns s time, e time, t time, k text
            columns s time, e time, t time, k text

            + 0:00 0:10 0:09.999 x
            + 0:00 0:10 0:09.999 y
            | 1
            2nd + 0:00 0:10 0:09.999 x
            ~ 0:10
                => + 0:00  0:10  0:09.999  y
                => ~ 0:10
            $
                => $
        "#]],
    );
}

/// Over columns `key, time, ...`: the left is at most so much before the right, or after it.
fn interval_join(kind: JoinKind, inputs: &[SchemaRef; 2], before: i64, after: i64) -> IntervalJoin {
    let width = inputs[0].fields().len();
    let time = |n: usize| Arc::new(Column::new("ts", n)) as Arc<dyn PhysicalExpr>;
    let plus = |column: usize, by: i64| -> Arc<dyn PhysicalExpr> {
        let by = lit(ScalarValue::new_interval_mdn(0, 0, by * 1_000_000));
        Arc::new(BinaryExpr::new(time(column), Sign::Plus, by))
    };
    let compared = |left, sign, right| Arc::new(BinaryExpr::new(left, sign, right)) as Arc<dyn PhysicalExpr>;
    let condition = compared(
        compared(plus(1, before), Sign::GtEq, time(width + 1)),
        Sign::And,
        compared(time(1), Sign::LtEq, plus(width + 1, after)),
    );
    let join = Join { condition: Some(condition), append: true, ..join(kind, inputs, true) };
    IntervalJoin { join, times: [1, 1], least: -before, greatest: after }
}

#[test]
fn a_pair_comes_with_its_second_row_and_a_row_alone_when_time_has_passed_it() {
    check_inputs(
        |inputs| interval_join(JoinKind::Full, inputs, 4_000, 0),
        expect![[r#"
            columns k text, ts time
            columns k text, ts time, v int

            + x 0:01
            2nd + x 0:03 1
                => + x  0:01  x  0:03  1
            + null 0:02                 // matches nothing
                => + null  0:02  null  null  null
            + y 0:05
            | 1
            ! crash
            2nd + x 0:06 2
            ~ 0:07
                => + null  null  x  0:06  2
                => ~ 0:03
            2nd + y 0:08 3
                => + y  0:05  y  0:08  3
            2nd + y 0:08 3
                => + y  0:05  y  0:08  3
            + z 0:06
            + z 0:02                    // late, and nothing can come any more
                => + z  0:02  null  null  null
            | 2
            ! crash
            ~ 0:10
                => + z  0:06  null  null  null
                => ~ 0:06
            $
                => $
        "#]],
    );
}

#[test]
fn times_that_are_part_of_the_key_need_no_condition() {
    check_inputs(
        |inputs| {
            let join = Join { keys: [vec![0, 1], vec![0, 1]], append: true, ..join(JoinKind::Left, inputs, true) };
            IntervalJoin { join, times: [1, 1], least: 0, greatest: 0 }
        },
        expect![[r#"
            columns k text, ts time
            columns k text, ts time, v int

            + x 0:01
            2nd + x 0:01 1
                => + x  0:01  x  0:01  1
            2nd + x 0:02 2
            + x 0:03
            | 1
            ! crash
            ~ 0:02
                => ~ 0:02
            2nd + x 0:03 3
                => + x  0:03  x  0:03  3
            + y 0:03
            ~ 0:03
                => + y  0:03  null  null  null
                => ~ 0:03
            $
                => $
        "#]],
    );
}

/// A key and a time.
type Row = (Option<i64>, i64);

#[test]
fn random_rows_find_the_partners_that_nested_loops_find() {
    let fields = vec![
        Field::new("k", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ];
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let inputs = [Arc::clone(&schema), Arc::clone(&schema)];
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let kind = [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full][random.random_range(0..4)];
        let (before, after) = (random.random_range(-2..5), random.random_range(2..6));
        let spec = interval_join(kind, &inputs, before, after);
        let mut operator = spec.open(&ShardContext::SINGLE).expect("the join opens");
        let (mut rows, mut found): ([Vec<Row>; 2], Bag) = Default::default();
        let mut watermark = 0;
        for _ in 0..30 {
            let mut out = Output::default();
            let side = random.random_range(0..2);
            let new: Vec<Row> = (0..random.random_range(0..5))
                .map(|_| {
                    let key = Some(random.random_range(0..3)).filter(|&key| key > 0);
                    (key, watermark + random.random_range(1..6))
                })
                .collect();
            rows[side].extend(&new);
            let columns: Vec<ArrayRef> = vec![
                Arc::new(new.iter().map(|row| row.0).collect::<Int64Array>()),
                Arc::new(new.iter().map(|row| Some(row.1)).collect::<TimestampMillisecondArray>()),
            ];
            let batch = Batch::append(RecordBatch::try_new(Arc::clone(&schema), columns).expect("two columns"));
            operator.on_batch(Input(side as u8), batch, &mut out).expect("rows are joined");
            watermark += random.random_range(0..4);
            operator.on_watermark(EventTime(watermark), &mut out).expect("time goes on");
            if random.random_bool(0.2) {
                let state = operator.snapshot().expect("the state can be saved");
                operator = spec.open(&ShardContext::SINGLE).expect("the join opens again");
                operator.restore(state).expect("the state can be restored");
            }
            collect(&mut out, &mut found);
        }
        let mut out = Output::default();
        operator.on_watermark(EventTime::MAX, &mut out).expect("time ends");
        collect(&mut out, &mut found);
        let kept: usize = operator.snapshot().expect("a snapshot").iter().map(|table| table.rows.num_rows()).sum();
        assert_eq!(kept, 1, "only the watermark is left");

        let mut expected = Bag::new();
        let is_pair = |l: &Row, r: &Row| l.0.is_some() && l.0 == r.0 && l.1 >= r.1 - before && l.1 <= r.1 + after;
        let row = |row: Option<&Row>| row.map_or(vec![None; 2], |row| vec![row.0, Some(row.1)]);
        let mut add = |l, r| *expected.entry([row(l), row(r)].concat()).or_default() += 1;
        for l in &rows[0] {
            rows[1].iter().filter(|r| is_pair(l, r)).for_each(|r| add(Some(l), Some(r)));
            if matches!(kind, JoinKind::Left | JoinKind::Full) && !rows[1].iter().any(|r| is_pair(l, r)) {
                add(Some(l), None);
            }
        }
        if matches!(kind, JoinKind::Right | JoinKind::Full) {
            rows[1].iter().filter(|r| !rows[0].iter().any(|l| is_pair(l, r))).for_each(|r| add(None, Some(r)));
        }
        assert_eq!(found, expected, "{kind} with seed {seed}");
    }
}
