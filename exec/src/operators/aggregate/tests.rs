//! Transcripts of GROUP BY.

use arrow::datatypes::{Field, Schema, SchemaRef};
use expect_test::expect;

use super::{Aggregate, AggregateColumn, Emit, LocalAggregate};
use crate::operators::Ttl;
use crate::testing::{aggregate_column as column, check, check_undisturbed};
use std::sync::Arc;
use std::time::Duration;

/// By column 0; `COUNT(*)`, then these functions of column 1.
pub(super) fn by_first(input: &SchemaRef, functions: &[&str], retracting: bool, emit: Emit) -> Aggregate {
    let mut columns = vec![column(input, "COUNT", None, retracting)];
    columns.extend(functions.iter().map(|function| column(input, function, Some(1), retracting)));
    grouped(input, vec![0], columns, retracting, emit)
}

fn grouped(
    input: &SchemaRef,
    keys: Vec<usize>,
    columns: Vec<AggregateColumn>,
    retracting: bool,
    emit: Emit,
) -> Aggregate {
    let mut fields: Vec<_> = keys.iter().map(|&key| Arc::clone(&input.fields()[key])).collect();
    fields.extend(columns.iter().map(|column| Arc::clone(&column.call.result)));
    let schema = Arc::new(Schema::new(fields));
    Aggregate { keys, columns, input: Arc::clone(input), partial: false, retracting, emit, ttl: None, schema }
}

#[test]
fn an_epoch_emits_the_net_change_of_each_key_and_unchanged_results_stay_silent() {
    check(
        |input| by_first(input, &["SUM"], false, Emit::Epoch),
        expect![[r#"
            columns user text, amount int

            + ann 5
            + bob 1
            + ann 2
            | 1
                => + bob  1  1
                => + ann  2  7
            + ann 1
            + null 4          // null is a key like any other
            | 2
                => - ann  2  7
                => + ann  3  8
                => + null  1  4
            ! crash
            + bob null        // a null does not change a sum, but the row counts
            | 3
                => - bob  1  1
                => + bob  2  1
            | 4
            $
                => $
        "#]],
    );
}

#[test]
fn each_row_mode_emits_a_change_per_row() {
    check(
        |input| by_first(input, &[], false, Emit::EachRow),
        expect![[r#"
            columns word text, n int

            + An 1
                => + An  1
            + An 1
                => - An  1
                => + An  2
            + Be 1
                => + Be  1
            | 1
            $
                => $
        "#]],
    );
}

#[test]
fn a_key_without_rows_disappears_and_can_come_back() {
    check(
        |input| by_first(input, &["MAX", "MIN"], true, Emit::Epoch),
        expect![[r#"
            columns user text, amount int

            + ann 5
            + ann 9
            + bob 1
            | 1
                => + ann  2  9  5
                => + bob  1  1  1
            - ann 9
            - bob 1
            | 2
                => - ann  2  9  5
                => + ann  1  5  5
                => - bob  1  1  1
            ! crash
            + bob 3
            - bob 3           // comes and goes within an epoch: nobody sees it
            + bob 4
            | 3
                => + bob  1  4  4
            $
                => $
        "#]],
    );
}

#[test]
fn without_keys_there_is_no_result_before_the_first_row() {
    check(
        |input| grouped(input, vec![], vec![column(input, "COUNT", None, false)], false, Emit::Epoch),
        expect![[r#"
            columns user text

            | 1
            + ann
            + bob
            | 2
                => + 2
            $
                => $
        "#]],
    );
}

#[test]
fn distinct_emits_a_row_at_its_first_sight() {
    check(
        |input| grouped(input, vec![0], vec![], false, Emit::Epoch),
        expect![[r#"
            columns user text

            + ann
                => + ann
            + ann
            + null
                => + null
            | 1
            ! crash
            + ann
            + bob
                => + bob
            $
                => $
        "#]],
    );
}

#[test]
fn distinct_over_changing_rows_takes_a_row_back_with_its_last_copy() {
    check(
        |input| grouped(input, vec![0], vec![], true, Emit::Epoch),
        expect![[r#"
            columns user text

            +2 ann
            | 1
                => + ann
            - ann
            | 2
            - ann
            | 3
                => - ann
            $
                => $
        "#]],
    );
}

#[test]
fn the_local_phase_turns_the_rows_of_an_epoch_into_one_partial_per_key() {
    check(
        |input| {
            let columns = vec![column(input, "COUNT", None, false), column(input, "MAX", Some(1), false)];
            LocalAggregate::new(vec![0], columns, Arc::clone(input)).expect("states have types")
        },
        expect![[r#"
            columns user text, amount int

            + ann 5
            + bob 1
            + ann 7
            | 1
                => + ann  2  2  7
                => + bob  1  1  1
            + ann 2
            | 2
                => + ann  1  1  2
            $
                => $
        "#]],
    );
}

#[test]
fn where_rows_are_almost_as_many_keys_the_local_phase_passes_them_on_for_a_while() {
    check_undisturbed(
        |[input]| {
            let columns = vec![column(input, "COUNT", None, false), column(input, "MAX", Some(1), false)];
            LocalAggregate::new(vec![0], columns, Arc::clone(input)).expect("states have types")
        },
        expect![[r#"
            columns user text, amount int

            + ann 1
            + bob 2
            + cat 3
            + dan 4
            | 1
                => + ann  1  1  1
                => + bob  1  1  2
                => + cat  1  1  3
                => + dan  1  1  4
            + ann 5
                => + ann  1  1  5
            + ann null
                => + ann  1  1  null
            - bob 2
                => + bob  -1  -1  2
            | 2
            + ann 6
                => + ann  1  1  6
            + ann 7
                => + ann  1  1  7
            + ann 8
                => + ann  1  1  8
            + ann 9
                => + ann  1  1  9
            + ann 10
                => + ann  1  1  10
            | 3
            + ann 11
            + ann 12
            | 4
                => + ann  2  2  12
            $
                => $
        "#]],
    );
}

#[test]
fn many_changes_go_out_in_pieces() {
    use crate::message::{Barrier, Batch, Message};
    use crate::operator::{Input, OperatorSpec, Output, ShardContext};
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::DataType;
    use tidemill_state::Epoch;

    let input: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let spec = grouped(&input, vec![0], vec![column(&input, "COUNT", None, false)], false, Emit::Epoch);
    let mut operator = spec.open(&ShardContext::SINGLE).expect("it opens");
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20_001));
    let rows = RecordBatch::try_new(input, vec![column]).expect("one column");
    let mut sent: Vec<Batch> = Vec::new();
    for epoch in 1..=2 {
        let mut out = Output::default();
        operator.on_batch(Input(0), Batch::append(rows.clone()), &mut out).expect("rows are counted");
        operator.on_barrier(&Barrier::at_end(Epoch(epoch)), &mut out).expect("changes go out");
        sent = out
            .drain()
            .filter_map(|message| match message {
                Message::Batch(batch) => Some(batch),
                _ => None,
            })
            .collect();
    }
    assert_eq!(sent.iter().map(Batch::len).sum::<usize>(), 40_002);
    for batch in &sent {
        assert!(batch.len() <= 8192);
        assert!((0..batch.len()).all(|row| batch.is_update(row)));
    }
}

#[test]
fn keys_that_are_not_used_are_forgotten_in_silence() {
    let spec = |retracting| {
        move |[input]: &[SchemaRef; 1]| Aggregate {
            ttl: Some(Ttl(Duration::from_secs(10))),
            ..by_first(input, &["SUM"], retracting, Emit::Epoch)
        }
    };
    check_undisturbed(
        spec(true),
        expect![[r#"
            columns user text, amount int

            + ann 5
            + bob 1
            | 1 0:00
                => + ann  1  5
                => + bob  1  1
            | 2 0:01
            + ann 0             // what keeps the result is to know that it is used
            | 3 0:05
                => - ann  1  5
                => + ann  2  5
            | 4 0:10
            | 5 0:11            // bob is forgotten
            - bob 1             // and cannot be taken back
            + bob 2
            + ann 1
            | 6 0:12
                => + bob  1  2
                => - ann  2  5
                => + ann  3  6
            - bob 2
            | 7 0:13
                => - bob  1  2
            - bob 2             // his last row was taken back before
            | 8 0:30
            | 9 0:40
            | 10 0:41           // ann is forgotten
            + ann 1
            $
                => + ann  1  1
                => $
        "#]],
    );
    check_undisturbed(
        |inputs @ [input]| Aggregate {
            columns: vec![],
            schema: Arc::new(Schema::new(vec![input.field(0).clone()])),
            ..spec(false)(inputs)
        },
        expect![[r#"
            columns user text, amount int

            + ann 5
                => + ann
            + bob 1
                => + bob
            | 1 0:00
            | 2 0:01
            + ann 1
            | 3 0:10
            | 4 0:11
            + ann 1
            + bob 1
                => + bob
            $
                => $
        "#]],
    );
}
