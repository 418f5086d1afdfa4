//! Transcripts of joins, and random changes against nested loops.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMillisecondType};
use datafusion_expr::Operator as Sign;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column};
use expect_test::expect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::{CheckpointId, Epoch};

use super::{Join, JoinKind};
use crate::message::{Barrier, Batch, Message};
use crate::operator::{Input, JobToken, OperatorSpec, Output, ShardContext};
use crate::operators::{Emit, Ttl};
use crate::testing::{check_inputs, check_undisturbed};

const KINDS: [JoinKind; 7] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti, JoinKind::Mark];

/// On the first column of each.
pub(super) fn join(kind: JoinKind, inputs: &[SchemaRef; 2], append: bool) -> Join {
    let [left, right] = inputs.each_ref().map(|input| input.fields().iter().cloned().collect::<Vec<_>>());
    let fields = match kind {
        JoinKind::Semi | JoinKind::Anti => left,
        JoinKind::Mark => [left, vec![Arc::new(Field::new("mark", DataType::Boolean, true))]].concat(),
        _ => [left, right].concat(),
    };
    Join {
        kind,
        keys: [vec![0], vec![0]],
        null_equals_null: false,
        condition: None,
        inputs: inputs.clone(),
        append,
        emit: Emit::Epoch,
        ttl: [None; 2],
        schema: Arc::new(Schema::new(fields)),
    }
}

/// The last column of the left is less than the last of the right.
fn less(inputs: &[SchemaRef; 2]) -> Arc<dyn PhysicalExpr> {
    let [left, right] = inputs.each_ref().map(|input| input.fields().len());
    let column = |n: usize| Arc::new(Column::new("v", n)) as Arc<dyn PhysicalExpr>;
    Arc::new(BinaryExpr::new(column(left - 1), Sign::Lt, column(left + right - 1)))
}

#[test]
fn rows_that_stay_are_joined_at_once() {
    check_inputs(
        |inputs| join(JoinKind::Inner, inputs, true),
        expect![[r#"
            columns k text, a int
            columns k text, b int

            + x 1
            2nd + x 10
                => + x  1  x  10
            2nd + null 11       // null equals nothing
            + null 2
            | 1
            ! crash
            2nd +2 x 20         // twice the same row is two rows
                => + x  1  x  20
                => + x  1  x  20
            | 2
            ! crash
            + x 1
                => + x  1  x  20
                => + x  1  x  20
                => + x  1  x  10
            $
                => $
        "#]],
    );
}

#[test]
fn an_epoch_emits_the_net_change_of_both_sides() {
    check_inputs(
        |inputs| join(JoinKind::Inner, inputs, false),
        expect![[r#"
            columns k text, a int
            columns k text, b int

            + x 1
            2nd + x 10
            | 1
                => + x  1  x  10
            - x 1               // both halves change: no pair of an old row and a new one is ever seen
            + x 2
            2nd - x 10
            2nd + x 20
            | 2
                => - x  1  x  10
                => + x  2  x  20
            ! crash
            2nd - x 20          // goes and comes back: nothing has happened
            2nd + x 20
            | 3
            - x 2
            $
                => - x  2  x  20
                => $
        "#]],
    );
}

#[test]
fn a_row_without_a_match_comes_with_nulls_until_it_has_one() {
    check_inputs(
        |inputs| join(JoinKind::Full, inputs, false),
        expect![[r#"
            columns k text, a int
            columns k text, b int

            + x 1
            + null 5
            2nd + y 7
            | 1
                => + x  1  null  null
                => + null  null  y  7
                => + null  5  null  null
            2nd + x 10
            | 2
                => - x  1  null  null
                => + x  1  x  10
            ! crash
            2nd + x 11
            - null 5
            | 3
                => + x  1  x  11
                => - null  5  null  null
            2nd - x 10
            2nd - x 11
            + y 2
            | 4
                => - x  1  x  10
                => - x  1  x  11
                => + x  1  null  null
                => - null  null  y  7
                => + y  2  y  7
            $
                => $
        "#]],
    );
}

#[test]
fn a_condition_decides_per_row_which_have_a_match() {
    check_inputs(
        |inputs| Join { condition: Some(less(inputs)), ..join(JoinKind::Left, inputs, false) },
        expect![[r#"
            columns k text, a int
            columns k text, b int

            + x 1
            + x 9
            2nd + x 5
            | 1
                => + x  1  x  5
                => + x  9  null  null
            ! crash
            2nd + x 10
            | 2
                => - x  9  null  null
                => + x  9  x  10
                => + x  1  x  10
            2nd - x 5
            2nd - x 10
            | 3
                => - x  1  x  5
                => - x  9  x  10
                => - x  1  x  10
                => + x  1  null  null
                => + x  9  null  null
        "#]],
    );
}

#[test]
fn semi_anti_and_mark_joins_count_matches() {
    for (kind, expected) in [
        (
            JoinKind::Semi,
            expect![[r#"
                columns k text, a int
                columns k text

                + x 1
                + x 2
                2nd + x
                | 1
                    => + x  2
                    => + x  1
                2nd + x
                2nd + x
                | 2
                ! crash
                2nd -3 x
                | 3
                    => - x  2
                    => - x  1
            "#]],
        ),
        (
            JoinKind::Anti,
            expect![[r#"
                columns k text, a int
                columns k text

                + x 1
                + null 3        // matches nothing
                | 1
                    => + x  1
                    => + null  3
                2nd + x
                | 2
                    => - x  1
                ! crash
                + x 4
                2nd - x
                | 3
                    => + x  4
                    => + x  1
            "#]],
        ),
        (
            JoinKind::Mark,
            expect![[r#"
                columns k text, a int
                columns k text

                + x 1
                + y 2
                | 1
                    => + x  1  false
                    => + y  2  false
                2nd + x
                | 2
                    => - x  1  false
                    => + x  1  true
            "#]],
        ),
    ] {
        check_inputs(|inputs| join(kind, inputs, false), expected);
    }
}

/// Rows with how often they are there.
pub(super) type Bag = BTreeMap<Vec<Option<i64>>, i64>;

fn expected(kind: JoinKind, condition: bool, bags: &[Bag; 2]) -> Bag {
    let mut result = Bag::new();
    let mut add = |row: Vec<Option<i64>>, weight: i64| *result.entry(row).or_default() += weight;
    let is_pair = |l: &[Option<i64>], r: &[Option<i64>]| l[0].is_some() && l[0] == r[0] && (!condition || l[1] < r[1]);
    let [left, right] = bags;
    let alone = |row: &[Option<i64>], bag: &Bag, is_left: bool| {
        !bag.keys().any(|other| if is_left { is_pair(row, other) } else { is_pair(other, row) })
    };
    for (l, n) in left {
        let unmatched = alone(l, right, true);
        match kind {
            JoinKind::Semi if !unmatched => add(l.clone(), *n),
            JoinKind::Anti if unmatched => add(l.clone(), *n),
            JoinKind::Mark => add([l.clone(), vec![Some(i64::from(!unmatched))]].concat(), *n),
            JoinKind::Left | JoinKind::Full if unmatched => add([l.clone(), vec![None; 2]].concat(), *n),
            _ => {}
        }
        if kind.has_pairs() {
            let pairs = right.iter().filter(|(r, _)| is_pair(l, r));
            pairs.for_each(|(r, m)| add([l.clone(), r.clone()].concat(), n * m));
        }
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        let unmatched = right.iter().filter(|(r, _)| alone(r, left, false));
        unmatched.for_each(|(r, n)| add([vec![None; 2], r.clone()].concat(), *n));
    }
    result.retain(|_, weight| *weight != 0);
    result
}

pub(super) fn batch(schema: &SchemaRef, rows: &[([Option<i64>; 2], i64)]) -> Batch {
    let column = |n: usize| Arc::new(rows.iter().map(|(row, _)| row[n]).collect::<Int64Array>()) as _;
    let columns = RecordBatch::try_new(Arc::clone(schema), vec![column(0), column(1)]).expect("two columns");
    Batch::new(columns, Some(rows.iter().map(|(_, weight)| *weight).collect()))
}

pub(super) fn collect(out: &mut Output, into: &mut Bag) -> usize {
    let mut changes = 0;
    for message in out.drain() {
        let Message::Batch(batch) = message else { continue };
        for row in 0..batch.len() {
            let value = |column: &arrow::array::ArrayRef| match column.data_type() {
                DataType::Boolean => Some(i64::from(column.as_boolean().value(row))),
                DataType::Timestamp(..) => {
                    let times = column.as_primitive::<TimestampMillisecondType>();
                    arrow::array::Array::is_valid(column, row).then(|| times.value(row))
                }
                _ => arrow::array::Array::is_valid(column, row).then(|| column.as_primitive::<Int64Type>().value(row)),
            };
            let values = batch.rows().columns().iter().map(value).collect();
            *into.entry(values).or_default() += batch.weight(row);
            changes += 1;
        }
    }
    into.retain(|_, weight| *weight != 0);
    changes
}

#[test]
fn random_changes_end_in_what_nested_loops_find() {
    let columns = ["k", "v"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let schema: SchemaRef = Arc::new(Schema::new(columns));
    let inputs = [Arc::clone(&schema), Arc::clone(&schema)];
    for seed in 0..40 {
        for kind in KINDS {
            for (condition, emit, stays) in [
                (false, Emit::Epoch, false),
                (true, Emit::Epoch, false),
                (false, Emit::EachRow, false),
                (true, Emit::EachRow, false),
                (false, Emit::Epoch, true),
                (true, Emit::EachRow, true),
            ] {
                let mut random = StdRng::seed_from_u64(seed);
                let condition_of = condition.then(|| less(&inputs));
                let mut spec = Join { condition: condition_of, emit, ..join(kind, &inputs, stays) };
                let mut operator = spec.open(&ShardContext::SINGLE).expect("the join opens");
                let (mut bags, mut found) = ([Bag::new(), Bag::new()], Bag::new());
                for epoch in 1..12 {
                    let mut out = Output::default();
                    for _ in 0..random.random_range(0..4) {
                        let side = random.random_range(0..2);
                        let mut rows = Vec::new();
                        for _ in 0..random.random_range(1..5) {
                            let key = Some(random.random_range(0..3)).filter(|&key| key > 0);
                            let row = [key, Some(random.random_range(0..3))];
                            let count = bags[side].entry(row.to_vec()).or_default();
                            let weight = match *count > 0 && random.random_bool(0.5) {
                                true if stays => 2,
                                true => -1,
                                false => 1,
                            };
                            *count += weight;
                            rows.push((row, weight));
                        }
                        bags[side].retain(|_, count| *count != 0);
                        operator.on_batch(Input(side as u8), batch(&schema, &rows), &mut out).expect("rows are joined");
                    }
                    operator.on_barrier(&Barrier::at_end(Epoch(epoch)), &mut out).expect("the epoch ends");
                    let before = found.clone();
                    let changes = collect(&mut out, &mut found);
                    assert_eq!(found, expected(kind, condition, &bags), "{kind} with seed {seed}, epoch {epoch}");
                    if emit == Emit::Epoch && !stays {
                        let keys = before.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>();
                        let changed = keys.into_iter().filter(|key| before.get(*key) != found.get(*key)).count();
                        assert_eq!(changes, changed, "{kind} with seed {seed}: the change of epoch {epoch} is not net");
                    }
                    if random.random_bool(0.2) {
                        let state = operator.snapshot().expect("the state can be saved");
                        // The query may be another one now, whose rows go, or come only.
                        spec.append = stays && random.random_bool(0.5);
                        operator = spec.open(&ShardContext::SINGLE).expect("the join opens again");
                        operator.restore(state).expect("the state can be restored");
                    }
                }
            }
        }
    }
}

/// Changes alone would not fit behind the rows that were restored.
#[test]
fn state_that_was_kept_otherwise_is_given_as_a_whole_once() {
    let columns = ["k", "v"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let schema: SchemaRef = Arc::new(Schema::new(columns));
    let inputs = [Arc::clone(&schema), Arc::clone(&schema)];
    let token = JobToken { job: 0, first: CheckpointId(1), part: 0 };
    let durable = ShardContext { durable: Some(token), ..ShardContext::SINGLE };
    for append in [true, false] {
        let mut before = join(JoinKind::Inner, &inputs, append).open(&durable).expect("the join opens");
        let mut out = Output::default();
        let rows: Vec<_> = (0..10).map(|n| ([Some(n), Some(n)], 1)).collect();
        before.on_batch(Input(0), batch(&schema, &rows), &mut out).expect("rows are joined");
        before.on_barrier(&Barrier::at_end(Epoch(1)), &mut out).expect("the epoch ends");
        let state = before.snapshot().expect("the state can be saved");
        let state: Vec<_> = state.into_iter().map(|table| table.merged().expect("it is whole")).collect();

        let mut after = join(JoinKind::Inner, &inputs, !append).open(&durable).expect("the join opens again");
        after.restore(state).expect("the state can be restored");
        for (epoch, is_whole, rows) in [(2, true, 11), (3, false, 1)] {
            let row = [([Some(100 + epoch as i64), None], 1)];
            after.on_batch(Input(0), batch(&schema, &row), &mut out).expect("rows are joined");
            after.on_barrier(&Barrier::at_end(Epoch(epoch)), &mut out).expect("the epoch ends");
            let left = after.snapshot().expect("the state can be saved").swap_remove(0);
            assert_eq!((left.is_whole, left.rows.num_rows()), (is_whole, rows), "epoch {epoch}, append {append}");
        }
    }
}

/// A side whose rows are not used forgets them.
fn forgetful(kind: JoinKind, inputs: &[SchemaRef; 2], ttl: [Option<u64>; 2], append: bool) -> Join {
    Join { ttl: ttl.map(|ttl| ttl.map(|ttl| Ttl(Duration::from_secs(ttl)))), ..join(kind, inputs, append) }
}

#[test]
fn rows_that_are_not_used_are_forgotten_in_silence() {
    check_undisturbed(
        |inputs| forgetful(JoinKind::Inner, inputs, [Some(10), None], true),
        expect![[r#"
            columns k text, a int
            columns k text, b int

            + x 1
            2nd + x 7
                => + x  1  x  7
            | 1 0:00
            | 2 0:01
            + x 2
                => + x  2  x  7
            | 3 0:10
            | 4 0:11            // x 1 is forgotten; x 7 stays for good
            2nd + x 8
                => + x  2  x  8
            | 5 0:12
            + x 3
                => + x  3  x  8
                => + x  3  x  7
            $
                => $
        "#]],
    );
    check_undisturbed(
        |inputs| forgetful(JoinKind::Left, inputs, [Some(100), Some(10)], false),
        expect![[r#"
            columns k text, a int
            columns k text, b int

            + x 1
            + y 2
            2nd + x 7
            | 1 0:00
                => + x  1  x  7
                => + y  2  null  null
            | 2 0:01
            | 3 0:11            // x 7 is forgotten, and x 1 not alone
            2nd + x 8           // so nothing is to be taken back
            2nd + y 8
            | 4 0:12
                => + x  1  x  8
                => - y  2  null  null
                => + y  2  y  8
            2nd - x 7           // one that was forgotten
            2nd - x 8
            | 5 0:13
                => - x  1  x  7
                => - x  1  x  8
                => + x  1  null  null
            $
                => $
        "#]],
    );
}
