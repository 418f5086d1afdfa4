//! Transcripts of joins of many inputs, and random changes against nested loops.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::Operator as Sign;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column};
use expect_test::expect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::Epoch;

use super::{JoinInput, MultiJoin};
use crate::message::{Barrier, Batch, Message};
use crate::operator::{Input, Operator, OperatorSpec, Output, ShardContext};
use crate::operators::aggregate::PIECE_ROWS;
use crate::operators::join::tests::{Bag, batch, collect, join};
use crate::operators::{Emit, JoinKind, Ttl};
use crate::testing::{check_inputs, check_undisturbed};

/// On the first column of each; the inputs of these numbers are outer.
fn multi<const N: usize>(inputs: &[SchemaRef; N], outer: &[usize], append: bool) -> MultiJoin {
    let fields = inputs.iter().flat_map(|input| input.fields().iter().cloned());
    let input = |(n, schema): (usize, &SchemaRef)| JoinInput {
        schema: Arc::clone(schema),
        keys: vec![0],
        outer: outer.contains(&n),
        joined_by: Vec::new(),
        condition: None,
        ttl: None,
    };
    MultiJoin {
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        inputs: inputs.iter().enumerate().map(input).collect(),
        null_equals_null: false,
        append,
        emit: Emit::Epoch,
    }
}

/// With columns of all inputs, one less than the other, as the condition of an input.
fn with_less(mut join: MultiJoin, input: usize, less: usize, greater: usize) -> MultiJoin {
    let column = |n: usize| Arc::new(Column::new("v", n)) as Arc<dyn PhysicalExpr>;
    join.inputs[input].condition = Some(Arc::new(BinaryExpr::new(column(less), Sign::Lt, column(greater))));
    join
}

#[test]
fn rows_that_stay_are_joined_at_once() {
    check_inputs(
        |inputs: &[SchemaRef; 3]| multi(inputs, &[], true),
        expect![[r#"
            columns k text, a int
            columns k text, b int
            columns k text, c int

            + x 1
            3rd + x 100
            2nd + x 10
                => + x  1  x  10  x  100
            2nd + null 11       // null equals nothing
            + null 2
            3rd + null 101
            | 1
            ! crash
            3rd +2 x 200        // twice the same row is two rows
                => + x  1  x  10  x  200
                => + x  1  x  10  x  200
            + y 3
            $
                => $
        "#]],
    );
}

#[test]
fn an_epoch_emits_the_net_change_of_all_inputs() {
    check_inputs(
        |inputs: &[SchemaRef; 3]| multi(inputs, &[], false),
        expect![[r#"
            columns k text, a int
            columns k text, b int
            columns k text, c int

            + x 1
            2nd + x 10
            3rd + x 100
            3rd + y 100
            | 1
                => + x  1  x  10  x  100
            - x 1               // all change: no combination of old rows and new ones is ever seen
            + x 2
            2nd - x 10
            2nd + x 20
            3rd - x 100
            3rd + x 200
            | 2
                => - x  1  x  10  x  100
                => + x  2  x  20  x  200
            ! crash
            2nd - x 20          // goes and comes back: nothing has happened
            2nd + x 20
            + y 3
            | 3
            3rd +2 x 300
            2nd + x 30
            2nd - x 20
            + x 4
            | 4
                => - x  2  x  20  x  200
                => +2 x  4  x  30  x  300
                => + x  4  x  30  x  200
                => +2 x  2  x  30  x  300
                => + x  2  x  30  x  200
            - x 2
            - x 4
            $
                => -2 x  2  x  30  x  300
                => - x  2  x  30  x  200
                => -2 x  4  x  30  x  300
                => - x  4  x  30  x  200
                => $
        "#]],
    );
}

#[test]
fn a_left_join_gives_nulls_until_there_is_a_match() {
    check_inputs(
        |inputs: &[SchemaRef; 3]| multi(inputs, &[1, 2], false),
        expect![[r#"
            columns k text, a int
            columns k text, b int
            columns k text, c int

            + x 1
            + null 5            // matches nothing
            2nd + null 6
            | 1
                => + x  1  null  null  null  null
                => + null  5  null  null  null  null
            3rd + x 100
            | 2
                => - x  1  null  null  null  null
                => + x  1  null  null  x  100
            ! crash
            2nd + x 10
            2nd + x 11
            - null 5
            | 3
                => - x  1  null  null  x  100
                => + x  1  x  10  x  100
                => + x  1  x  11  x  100
                => - null  5  null  null  null  null
            3rd - x 100
            2nd - x 10
            | 4
                => - x  1  x  11  x  100
                => - x  1  x  10  x  100
                => + x  1  x  11  null  null
            2nd - x 11
            3rd + x 200
            $
                => - x  1  x  11  null  null
                => + x  1  null  null  x  200
                => $
        "#]],
    );
}

#[test]
fn where_it_is_joined_by_an_input_without_a_match_nothing_matches() {
    check_inputs(
        |inputs: &[SchemaRef; 4]| {
            let mut join = multi(inputs, &[1, 2], false);
            join.inputs[2].joined_by = vec![1];
            join
        },
        expect![[r#"
            columns k text, a int
            columns k text, b int
            columns k text, c int
            columns k text, d int

            + x 1
            3rd + x 100
            4th + x 1000
            | 1
                => + x  1  null  null  null  null  x  1000
            2nd + x 10
            | 2
                => - x  1  null  null  null  null  x  1000
                => + x  1  x  10  x  100  x  1000
            ! crash
            3rd - x 100
            4th + x 1001
            | 3
                => - x  1  x  10  x  100  x  1000
                => + x  1  x  10  null  null  x  1001
                => + x  1  x  10  null  null  x  1000
            2nd - x 10
            4th - x 1000
            $
                => - x  1  x  10  null  null  x  1001
                => - x  1  x  10  null  null  x  1000
                => + x  1  null  null  null  null  x  1001
                => $
        "#]],
    );
}

#[test]
fn rows_that_are_not_used_are_forgotten_in_silence() {
    check_undisturbed(
        |inputs: &[SchemaRef; 3]| {
            let mut join = multi(inputs, &[], false);
            join.inputs[1].ttl = Some(Ttl(Duration::from_secs(10)));
            join
        },
        expect![[r#"
            columns k text, a int
            columns k text, b int
            columns k text, c int

            + x 1
            2nd + x 10
            3rd + x 100
            | 1 0:00
                => + x  1  x  10  x  100
            | 2 0:01
            + x 2
            | 3 0:10
                => + x  2  x  10  x  100
            | 4 0:11            // x 10 is forgotten; others stay for good
            3rd + x 200
            | 5 0:12
            2nd + x 20
            2nd - x 10          // one that was forgotten
            $
                => - x  2  x  10  x  200
                => - x  2  x  10  x  100
                => - x  1  x  10  x  200
                => - x  1  x  10  x  100
                => + x  2  x  20  x  200
                => + x  2  x  20  x  100
                => + x  1  x  20  x  200
                => + x  1  x  20  x  100
                => $
        "#]],
    );
}

/// How the inputs of a random join are joined.
#[derive(Debug)]
struct Shape {
    outer: Vec<bool>,
    joined_by: Vec<Vec<usize>>,
    /// By input, an earlier one whose second column is less than its own.
    greater_than: Vec<Option<usize>>,
}

impl Shape {
    fn random(random: &mut StdRng) -> Shape {
        let inputs = random.random_range(3..5);
        let outer: Vec<bool> = (0..inputs).map(|n| n > 0 && random.random_bool(0.4)).collect();
        let joined_by = (0..inputs).map(|n| (1..n).filter(|&by| outer[by] && random.random_bool(0.5)).collect());
        let joined_by = joined_by.collect();
        let mut than = |n: usize| (n > 0 && !outer[n] && random.random_bool(0.5)).then(|| random.random_range(0..n));
        let greater_than = (0..inputs).map(&mut than).collect();
        Shape { outer, joined_by, greater_than }
    }

    fn spec(&self, schema: &SchemaRef, emit: Emit) -> MultiJoin {
        let fields = self.outer.iter().flat_map(|_| schema.fields().iter().cloned()).collect::<Vec<_>>();
        let schema_of = |n: usize| JoinInput {
            schema: Arc::clone(schema),
            keys: vec![0],
            outer: self.outer[n],
            joined_by: self.joined_by[n].clone(),
            condition: None,
            ttl: None,
        };
        let inputs = (0..self.outer.len()).map(schema_of).collect();
        let schema = Arc::new(Schema::new(fields));
        let join = MultiJoin { inputs, null_equals_null: false, append: false, emit, schema };
        let conditions = self.greater_than.iter().enumerate().filter_map(|(n, than)| Some((n, (*than)?)));
        conditions.fold(join, |join, (n, than)| with_less(join, n, than * 2 + 1, n * 2 + 1))
    }

    fn expected(&self, bags: &[Bag]) -> Bag {
        let mut joined: Vec<(Vec<Option<i64>>, i64)> = bags[0].iter().map(|(row, n)| (row.clone(), *n)).collect();
        for (n, bag) in bags.iter().enumerate().skip(1) {
            let mut next = Vec::new();
            for (row, times) in joined {
                let is_joined = row[0].is_some() && self.joined_by[n].iter().all(|by| row[by * 2].is_some());
                let matches: Vec<_> = bag.iter().filter(|(other, _)| is_joined && other[0] == row[0]).collect();
                if matches.is_empty() && self.outer[n] {
                    next.push(([row.clone(), vec![None; 2]].concat(), times));
                }
                for (other, more) in matches {
                    let holds = self.greater_than[n].is_none_or(
                        |than| matches!((row[than * 2 + 1], other[1]), (Some(less), Some(greater)) if less < greater),
                    );
                    if holds {
                        next.push(([row.clone(), other.clone()].concat(), times * more));
                    }
                }
            }
            joined = next;
        }
        let mut result = Bag::new();
        joined.into_iter().for_each(|(row, times)| *result.entry(row).or_default() += times);
        result
    }
}

fn key_and_value() -> SchemaRef {
    Arc::new(Schema::new(["k", "v"].map(|name| Field::new(name, DataType::Int64, true)).to_vec()))
}

#[test]
fn random_changes_end_in_what_nested_loops_find() {
    let schema = key_and_value();
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let shape = Shape::random(&mut random);
        let emit = if seed % 2 == 0 { Emit::Epoch } else { Emit::EachRow };
        let spec = shape.spec(&schema, emit);
        let inputs = spec.inputs.len();
        let mut operator = spec.open(&ShardContext::SINGLE).expect("the join opens");
        let (mut bags, mut found) = (vec![Bag::new(); inputs], Bag::new());
        for epoch in 1..12 {
            let mut out = Output::default();
            for _ in 0..random.random_range(0..5) {
                let input = random.random_range(0..inputs);
                let mut rows = Vec::new();
                for _ in 0..random.random_range(1..4) {
                    let key = Some(random.random_range(0..3)).filter(|&key| key > 0);
                    let row = [key, Some(random.random_range(0..3))];
                    let count = bags[input].entry(row.to_vec()).or_default();
                    let weight = if *count > 0 && random.random_bool(0.6) { -1 } else { 1 };
                    *count += weight;
                    rows.push((row, weight));
                }
                bags[input].retain(|_, count| *count != 0);
                operator.on_batch(Input(input as u8), batch(&schema, &rows), &mut out).expect("rows are joined");
            }
            operator.on_barrier(&Barrier::at_end(Epoch(epoch)), &mut out).expect("the epoch ends");
            let before = found.clone();
            let changes = collect(&mut out, &mut found);
            assert_eq!(found, shape.expected(&bags), "seed {seed}, epoch {epoch}: {shape:?}");
            if emit == Emit::Epoch {
                let keys = before.keys().chain(found.keys()).collect::<BTreeSet<_>>();
                let changed = keys.into_iter().filter(|key| before.get(*key) != found.get(*key)).count();
                assert_eq!(changes, changed, "seed {seed}, epoch {epoch}: the change is not net");
            }
            if random.random_bool(0.2) {
                let state = operator.snapshot().expect("the state can be saved");
                operator = spec.open(&ShardContext::SINGLE).expect("the join opens again");
                operator.restore(state).expect("the state can be restored");
            }
        }
    }
}

/// So many rows of one key.
fn rows(schema: &SchemaRef, count: i64) -> Batch {
    batch(schema, &(0..count).map(|v| ([Some(1), Some(v)], 1)).collect::<Vec<_>>())
}

fn rows_kept(operator: &mut dyn Operator) -> usize {
    operator.snapshot().expect("the state can be saved").iter().map(|table| table.rows.num_rows()).sum()
}

fn batches(out: &mut Output) -> Vec<Batch> {
    let batch = |message| if let Message::Batch(batch) = message { Some(batch) } else { None };
    out.drain().filter_map(batch).collect()
}

#[test]
fn a_star_keeps_the_rows_of_its_inputs_and_a_tower_their_products_too() {
    let schema = key_and_value();
    let mut star =
        multi(&[(); 4].map(|()| Arc::clone(&schema)), &[], true).open(&ShardContext::SINGLE).expect("the join opens");
    let mut out = Output::default();
    for input in 0..4 {
        star.on_batch(Input(input), rows(&schema, 10), &mut out).expect("rows are joined");
    }
    let of_star = batches(&mut out);
    assert_eq!(of_star.iter().map(Batch::len).sum::<usize>(), 10_000);
    assert!(of_star.iter().all(|batch| batch.len() <= PIECE_ROWS));
    assert_eq!(rows_kept(star.as_mut()), 40);

    let mut kept = 0;
    let (mut left, mut left_schema) = (vec![rows(&schema, 10)], Arc::clone(&schema));
    for _ in 0..3 {
        let spec = join(JoinKind::Inner, &[left_schema, Arc::clone(&schema)], true);
        let mut joining = spec.open(&ShardContext::SINGLE).expect("the join opens");
        let mut out = Output::default();
        joining.on_batch(Input(1), rows(&schema, 10), &mut out).expect("rows are joined");
        for batch in left {
            joining.on_batch(Input(0), batch, &mut out).expect("rows are joined");
        }
        kept += rows_kept(joining.as_mut());
        (left, left_schema) = (batches(&mut out), spec.schema());
    }
    assert_eq!(left.iter().map(Batch::len).sum::<usize>(), 10_000);
    assert_eq!(kept, 10 + 10 + 100 + 10 + 1000 + 10);
}

#[test]
fn what_the_first_inputs_cannot_fulfil_is_followed_no_further() {
    // 300 times 300 pairs, of which each would be joined with 300 rows, and those again.
    let schema = key_and_value();
    let inputs = [(); 4].map(|()| Arc::clone(&schema));
    let spec = with_less(multi(&inputs, &[], true), 1, 2, 0);
    let mut operator = spec.open(&ShardContext::SINGLE).expect("the join opens");
    let mut out = Output::default();
    for input in [3, 2, 1, 0] {
        operator.on_batch(Input(input), rows(&schema, 300), &mut out).expect("rows are joined");
    }
    // Keys that are equal are not less.
    assert_eq!(out.rows(), 0);
}

#[test]
fn more_combinations_than_fit_into_a_batch_come_in_several_and_a_group_takes_back_first() {
    let schema = key_and_value();
    let inputs = [(); 3].map(|()| Arc::clone(&schema));
    let spec = multi(&inputs, &[2], false);
    let mut operator = spec.open(&ShardContext::SINGLE).expect("the join opens");
    let mut out = Output::default();
    for input in [0, 1] {
        operator.on_batch(Input(input), rows(&schema, 120), &mut out).expect("rows are joined");
    }
    operator.on_barrier(&Barrier::at_end(Epoch(1)), &mut out).expect("the epoch ends");
    let first = batches(&mut out);
    assert_eq!(first.iter().map(Batch::len).sum::<usize>(), 120 * 120);
    operator.on_batch(Input(2), rows(&schema, 1), &mut out).expect("rows are joined");
    operator.on_barrier(&Barrier::at_end(Epoch(2)), &mut out).expect("the epoch ends");
    let second = batches(&mut out);
    assert!(second.iter().all(|batch| batch.len() <= PIECE_ROWS), "no batch is larger than others are");
    let weights: Vec<i64> = second.iter().flat_map(|batch| (0..batch.len()).map(|row| batch.weight(row))).collect();
    assert_eq!(weights, [vec![-1; 120 * 120], vec![1; 120 * 120]].concat());
}

#[test]
fn rows_that_come_out_too_often_to_be_counted_are_an_error() {
    let schema = key_and_value();
    let inputs = [(); 3].map(|()| Arc::clone(&schema));
    let mut operator = multi(&inputs, &[], false).open(&ShardContext::SINGLE).expect("the join opens");
    let mut out = Output::default();
    for input in 0..3 {
        let many = batch(&schema, &[([Some(1), Some(1)], 1 << 30)]);
        operator.on_batch(Input(input), many, &mut out).expect("rows are taken in");
    }
    let error = operator.on_barrier(&Barrier::at_end(Epoch(1)), &mut out).expect_err("2^90 rows are too many");
    assert!(error.to_string().contains("more often than can be counted"), "{error}");
}
