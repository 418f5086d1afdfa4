//! Transcripts of ranks, and random changes against sorting all rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use expect_test::expect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::Epoch;

use super::{Numbering, Rank};
use crate::message::{Barrier, Batch, Message};
use crate::operator::{Input, OperatorSpec, Output, ShardContext};
use crate::operators::{Emit, Order, Ttl};
use crate::testing::{check, check_undisturbed};

/// By the first column, the greatest of the second first.
fn rank(input: &SchemaRef, first: u64, last: u64) -> Rank {
    let number = Arc::new(Field::new("rn", DataType::Int64, true));
    Rank {
        numbering: Numbering::RowNumber,
        keys: vec![0],
        order: vec![Order { column: 1, options: SortOptions { descending: true, nulls_first: false } }],
        first,
        last,
        numbered: true,
        later_first: false,
        append: false,
        emit: Emit::Epoch,
        ttl: None,
        schema: Arc::new(Schema::new(input.fields().iter().cloned().chain([number]).collect::<Vec<_>>())),
    }
}

#[test]
fn an_epoch_shows_the_net_change_of_the_first_rows() {
    check(
        |input| rank(input, 1, 2),
        expect![[r#"
            columns k text, v int, w int

            + x 1 1
            + x 3 2
            + x 2 3
            + null 5 4
            | 1
                => + x  3  2  1
                => + x  2  3  2
                => + null  5  4  1
            ! crash
            + x 9 5
            + x 9 6             // of equal rows the first comes first
            | 2
                => - x  3  2  1
                => + x  9  5  1
                => - x  2  3  2
                => + x  9  6  2
            - x 9 5
            - x 9 6
            | 3
                => - x  9  5  1
                => + x  3  2  1
                => - x  9  6  2
                => + x  2  3  2
            + x 1 7             // nobody sees it
            - null 5 4
            - y 1 1             // never was there
            | 4
                => - null  5  4  1
            ! crash
            - x 3 2
            - x 2 3
            $
                => - x  3  2  1
                => + x  1  1  1
                => - x  2  3  2
                => + x  1  7  2
                => $
        "#]],
    );
}

#[test]
fn without_the_number_a_row_that_moves_has_not_changed() {
    check(
        |input| Rank { numbered: false, append: true, keys: vec![], ..rank(input, 1, 2) },
        expect![[r#"
            columns k text, v int

            + x 1
            + x 2
            | 1
                => + x  2  null
                => + x  1  null
            + y 3
            | 2
                => - x  1  null
                => + y  3  null
            ! crash
            + y 3
            $
                => - x  2  null
                => + y  3  null
                => $
        "#]],
    );
}

#[test]
fn ranks_are_shared() {
    for (numbering, expected) in [
        (
            Numbering::Rank,
            expect![[r#"
                columns k text, v int

                + x 5
                + x 4
                + x 5
                + x 3
                | 1
                    => + x  5  1
                    => + x  5  1
                + x 6
                | 2
                    => - x  5  1
                    => - x  5  1
                    => + x  6  1
                    => + x  5  2
                    => + x  5  2
            "#]],
        ),
        (
            Numbering::DenseRank,
            expect![[r#"
                columns k text, v int

                + x 5
                + x 4
                + x 5
                + x 3
                | 1
                    => + x  5  1
                    => + x  5  1
                    => + x  4  2
                + x 4
                | 2
                    => + x  4  2
                ! crash
                - x 5
                - x 5
                | 3
                    => - x  5  1
                    => - x  5  1
                    => + x  4  1
                    => + x  4  1
                    => - x  4  2
                    => - x  4  2
                    => + x  3  2
            "#]],
        ),
    ] {
        check(|input| Rank { numbering, ..rank(input, 1, 2) }, expected);
    }
}

#[test]
fn the_later_of_equal_rows_may_come_first() {
    check(
        |input| Rank { later_first: true, append: true, numbered: false, ..rank(input, 1, 1) },
        expect![[r#"
            columns k text, v int, w int

            + x 1 1
            + x 1 2
            | 1
                => + x  1  2  null
            ! crash
            + x 1 3
            + x 0 4
            $
                => - x  1  2  null
                => + x  1  3  null
                => $
        "#]],
    );
}

/// Rows with the times they came, and what is shown of them with how often.
type Model = Vec<([Option<i64>; 3], u64)>;
type Bag = BTreeMap<Vec<Option<i64>>, i64>;

fn expected(spec: &Rank, rows: &Model) -> Bag {
    let mut sorted = rows.clone();
    sorted.sort_by_key(|(row, arrival)| {
        let arrival = *arrival as i64;
        (row[0], std::cmp::Reverse(row[1]), if spec.later_first { -arrival } else { arrival })
    });
    let (mut bag, mut before, mut count, mut number) = (Bag::new(), None::<[Option<i64>; 2]>, 0, 0);
    for (row, _) in sorted {
        if before.is_none_or(|before| before[0] != row[0]) {
            (count, number) = (0, 0);
        }
        let is_tie = before == Some([row[0], row[1]]);
        count += 1;
        number = match spec.numbering {
            Numbering::RowNumber => count,
            _ if is_tie => number,
            Numbering::Rank => count,
            Numbering::DenseRank => number + 1,
        };
        before = Some([row[0], row[1]]);
        if (spec.first..=spec.last).contains(&number) {
            let number = spec.numbered.then_some(number as i64);
            *bag.entry([row.to_vec(), vec![number]].concat()).or_default() += 1;
        }
    }
    bag
}

#[test]
fn random_changes_end_in_what_sorting_finds() {
    let columns = ["k", "v", "w"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let schema: SchemaRef = Arc::new(Schema::new(columns));
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let (append, first) = (random.random_bool(0.5), random.random_range(1..3));
        let numberings = [Numbering::RowNumber, Numbering::Rank, Numbering::DenseRank];
        let spec = Rank {
            numbering: numberings[random.random_range(0..3)],
            append,
            numbered: random.random_bool(0.5),
            later_first: random.random_bool(0.3),
            emit: if random.random_bool(0.5) { Emit::Epoch } else { Emit::EachRow },
            ..rank(&schema, first, first + random.random_range(0..3))
        };
        let context = ShardContext::SINGLE;
        let mut operator = spec.open(&context).expect("the rank opens");
        let (mut model, mut found, mut arrival) = (Model::new(), Bag::new(), 0);
        for epoch in 1..20 {
            let mut out = Output::default();
            let mut rows = Vec::new();
            for _ in 0..random.random_range(0..6) {
                if !append && !model.is_empty() && random.random_bool(0.5) {
                    // Of equal rows the first in the order is taken back.
                    let (row, _) = model[random.random_range(0..model.len())];
                    let mut equal = model.iter().enumerate().filter(|(_, (other, _))| *other == row).map(|(n, _)| n);
                    let gone = if spec.later_first { equal.next_back() } else { equal.next() };
                    model.remove(gone.expect("the row itself"));
                    rows.push((row, -1));
                } else {
                    let null = |value: i64| Some(value).filter(|&value| value > 0);
                    let row = [
                        null(random.random_range(0..3)),
                        null(random.random_range(0..4)),
                        Some(random.random_range(0..2)),
                    ];
                    model.push((row, arrival));
                    arrival += 1;
                    rows.push((row, 1));
                }
            }
            let column = |n: usize| Arc::new(rows.iter().map(|(row, _)| row[n]).collect::<Int64Array>()) as _;
            let batch = RecordBatch::try_new(Arc::clone(&schema), (0..3).map(column).collect()).expect("three columns");
            let weights = (!append).then(|| rows.iter().map(|(_, weight)| *weight).collect());
            operator.on_batch(Input(0), Batch::new(batch, weights), &mut out).expect("rows are ranked");
            operator.on_barrier(&Barrier::at_end(Epoch(epoch)), &mut out).expect("the epoch ends");
            for message in out.drain() {
                let Message::Batch(batch) = message else { continue };
                for row in 0..batch.len() {
                    let values = batch.rows().columns().iter();
                    let value = |column: &arrow::array::ArrayRef| {
                        column.is_valid(row).then(|| column.as_primitive::<Int64Type>().value(row))
                    };
                    *found.entry(values.map(value).collect()).or_default() += batch.weight(row);
                }
            }
            found.retain(|_, weight| *weight != 0);
            assert_eq!(found, expected(&spec, &model), "{spec:?} with seed {seed}, epoch {epoch}");
            if random.random_bool(0.2) {
                let state = operator.snapshot().expect("the state can be saved");
                operator = spec.open(&context).expect("the rank opens again");
                operator.restore(state).expect("the state can be restored");
            }
        }
    }
}

#[test]
fn keys_that_are_not_used_are_forgotten_in_silence() {
    check_undisturbed(
        |[input]| Rank { ttl: Some(Ttl(Duration::from_secs(10))), append: true, ..rank(input, 1, 1) },
        expect![[r#"
            columns k text, v int

            + x 5
            + y 5
            | 1 0:00
                => + x  5  1
                => + y  5  1
            | 2 0:01
            + x 1               // far from the first, but x is used
            | 3 0:10
            | 4 0:11
            + x 4
            + y 4
            $
                => + y  4  1
                => $
        "#]],
    );
}
