//! Transcripts of patterns, and random ones against a model that tries everything.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use datafusion_expr::Operator as Comparison;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{binary, col, lit};
use expect_test::expect;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::EventTime;

use super::*;
use crate::message::{Batch, Message};
use crate::operator::{Input, Output};
use crate::testing::check;

const A: Pattern = Pattern::Variable(0);
const B: Pattern = Pattern::Variable(1);
const C: Pattern = Pattern::Variable(2);

fn repeat(of: Pattern, min: u32, max: Option<u32>, greedy: bool) -> Pattern {
    Pattern::Repeat { of: Box::new(of), min, max, greedy }
}

fn row(end: End, offset: usize, variable: Option<usize>, name: &str, input: &Schema) -> Navigation {
    Navigation::Row { end, offset, variable, value: col(name, input).expect("the column is there") }
}

/// Over columns `user, ts, v`: A is a rising row, B a falling one, C any. Gives the user, the first and the last value of all, and the last
/// value of A.
fn spec(input: &SchemaRef, pattern: Pattern) -> MatchRecognize {
    let names: Arc<[String]> = ["A", "B", "C"].map(str::to_string).into();
    let navigations = vec![
        row(End::First, 0, None, "user", input),
        row(End::First, 0, None, "v", input),
        row(End::Last, 0, None, "v", input),
        row(End::Last, 0, Some(0), "v", input),
    ];
    let navigations = Navigations::new(navigations, Arc::clone(&names), input).expect("they fit the input");
    let out = navigations.schema();
    let measures: Vec<Arc<dyn PhysicalExpr>> =
        out.fields().iter().map(|field| col(field.name(), out).expect("the column is there")).collect();
    let compared = |comparison, to: Navigation| {
        let navigations = vec![row(End::Last, 0, None, "v", input), to];
        let navigations = Navigations::new(navigations, Arc::clone(&names), input).expect("they fit the input");
        let schema = Arc::clone(navigations.schema());
        let column = |name| col(name, &schema).expect("the column is there");
        let condition = binary(column("$0"), comparison, column("$1"), &schema).expect("it is a comparison");
        Variable { row: None, path: Some((condition, navigations)) }
    };
    let before = || row(End::Last, 1, None, "v", input);
    let rises = compared(Comparison::Gt, before());
    let falls = compared(Comparison::Lt, before());
    MatchRecognize {
        partition: vec![0],
        time: 1,
        kind: TimeKind::Event,
        order: vec![],
        automaton: Automaton::new(&pattern).expect("the pattern can be run"),
        pattern,
        names,
        variables: vec![rises, falls, Variable::default()],
        looks_back: true,
        schema: Arc::clone(out),
        navigations,
        measures,
        skip: Skip::PastLastRow,
        within: None,
        input: Arc::clone(input),
        definitions: vec![],
    }
}

#[test]
fn a_rise_and_a_fall_are_found_in_the_order_of_time_and_late_rows_are_dropped() {
    check(
        |input| spec(input, Pattern::Concat(vec![C, repeat(A, 1, None, true), B])),
        expect![[r#"
            columns user text, ts time, v int

            + ann 0:03 5
            + ann 0:01 1
            + bob 0:01 9
            ~ 0:02
                => ~ 0:02
            + ann 0:02 3      // late
            + ann 0:04 2
            + bob 0:03 10
            | 1
            ~ 0:04
                => + ann  1  2  5
                => ~ 0:04
            + bob 0:05 11
            + bob 0:06 4
            | 2
            ~ 0:10
                => + bob  9  4  11
                => ~ 0:10
            $
                => $
        "#]],
    );
}

#[test]
fn without_time_left_the_first_row_is_given_up() {
    check(
        |input| MatchRecognize {
            within: Some(3000),
            ..spec(input, Pattern::Concat(vec![C, repeat(A, 1, None, false), B]))
        },
        expect![[r#"
            columns user text, ts time, v int

            + ann 0:01 1
            + ann 0:02 2
            + ann 0:03 3
            ~ 0:03
                => ~ 0:03
            | 1
            + ann 0:04 1
            + bob 0:04 1
            ~ 0:04
                => + ann  2  1  3
                => ~ 0:04
            | 2
            ~ 0:09
                => ~ 0:09
            + bob 0:10 1
            $
                => $
        "#]],
    );
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let refused = |pattern: Pattern| Automaton::new(&pattern).expect_err("it is refused").what().to_string();
    assert_eq!(refused(repeat(A, 0, None, true)), "a greedy quantifier is the last element of the pattern");
    assert_eq!(refused(repeat(A, 0, None, false)), "the pattern matches no rows at all");
    assert_eq!(
        refused(Pattern::Concat(vec![repeat(A, 1, Some(3), true), repeat(B, 0, Some(1), true)])),
        "a greedy quantifier is the last element of the pattern"
    );
    assert_eq!(refused(repeat(repeat(A, 200, Some(200), true), 200, Some(200), true)), "the pattern is too long");
}

#[test]
fn random_rows_are_matched_as_by_trying_everything() {
    let pattern = |random: &mut StdRng| {
        let any = |random: &mut StdRng| [A, B, C][random.random_range(0..3)].clone();
        let part = |random: &mut StdRng| {
            let one = any(random);
            match random.random_range(0..8) {
                0 => repeat(one, 0, None, false),
                1 => repeat(one, 1, None, random.random_bool(0.5)),
                2 => repeat(one, 0, Some(1), true),
                3 => repeat(one, 1, Some(3), random.random_bool(0.5)),
                4 => Pattern::Alternation(vec![one, Pattern::Concat(vec![any(random), any(random)])]),
                _ => one,
            }
        };
        let mut parts: Vec<Pattern> = (0..random.random_range(1..4)).map(|_| part(random)).collect();
        parts.push(any(random));
        Pattern::Concat(parts)
    };
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let fields = [("user", DataType::Int64), ("ts", time), ("v", DataType::Int64)];
    let input = Arc::new(Schema::new(fields.map(|(name, of)| Field::new(name, of, true)).to_vec()));
    for seed in 0..600 {
        let mut random = StdRng::seed_from_u64(seed);
        let pattern = pattern(&mut random);
        let skip = if random.random_bool(0.5) { Skip::PastLastRow } else { Skip::ToNextRow };
        let values: Vec<i64> = (0..30).map(|_| random.random_range(0..4)).collect();
        // Half of the time, conditions look at the row only.
        let mut spec = MatchRecognize { skip, ..spec(&input, pattern.clone()) };
        let looks_back = random.random_bool(0.5);
        if !looks_back {
            let compared = |comparison, to: i64| {
                let value = col("v", &input).expect("the column is there");
                Some(binary(value, comparison, lit(to), &input).expect("it is a comparison"))
            };
            spec.variables[0] = Variable { row: compared(Comparison::Gt, 1), path: None };
            spec.variables[1] = Variable { row: compared(Comparison::Lt, 3), path: None };
            spec.looks_back = false;
        }
        let wants_more = Cell::new(false);
        let holds = |variable: usize, start: usize, at: usize| match (variable, looks_back) {
            _ if at == values.len() => {
                wants_more.set(true);
                false
            }
            (0, false) => values[at] > 1,
            (1, false) => values[at] < 3,
            (0, true) => at > start && values[at] > values[at - 1],
            (1, true) => at > start && values[at] < values[at - 1],
            _ => true,
        };
        let mut expected = Vec::new();
        let mut start = 0;
        while start < values.len() {
            wants_more.set(false);
            let mut all = Vec::new();
            ends(&pattern, start, start, Vec::new(), 0, &holds, &mut |at, _, taken| all.push((at, taken)));
            // If there is none, but could be with more rows, no later match is emitted either.
            let first = all.into_iter().enumerate().min_by_key(|(n, (at, _))| (*at, *n)).map(|(_, found)| found);
            match first {
                Some((at, taken)) => {
                    let last_of_a = taken.iter().rposition(|of| *of == 0).map(|place| values[start + place]);
                    expected.push((values[start], values[at - 1], last_of_a));
                    start = if skip == Skip::PastLastRow { at } else { start + 1 };
                }
                None if wants_more.take() => break,
                None => start += 1,
            }
        }
        let mut operator = spec.open(&ShardContext::SINGLE).expect("it opens");
        let mut out = Output::default();
        let mut sent = 0;
        while sent < values.len() {
            let next = (sent + random.random_range(1..9)).min(values.len());
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(vec![7; next - sent])),
                Arc::new(TimestampMillisecondArray::from_iter_values((sent..next).map(|n| n as i64))),
                Arc::new(Int64Array::from(values[sent..next].to_vec())),
            ];
            let batch = RecordBatch::try_new(Arc::clone(&input) as SchemaRef, columns).expect("three columns");
            operator.on_batch(Input(0), Batch::append(batch), &mut out).expect("rows are taken");
            operator.on_watermark(EventTime(next as i64 - 1), &mut out).expect("time passes");
            if random.random_bool(0.3) {
                let saved = operator.snapshot().expect("the state can be saved");
                operator = spec.open(&ShardContext::SINGLE).expect("it opens");
                operator.restore(saved).expect("the state can be restored");
            }
            sent = next;
        }
        operator.on_watermark(EventTime::MAX, &mut out).expect("time ends");
        let mut found = Vec::new();
        for message in out.drain() {
            if let Message::Batch(batch) = message {
                let column = |n: usize| batch.rows().column(n).as_primitive::<Int64Type>().clone();
                let (first, last, of_a) = (column(1), column(2), column(3));
                found.extend((0..batch.len()).map(|n| (first.value(n), last.value(n), of_a.iter().nth(n).flatten())));
            }
        }
        let names = ["A", "B", "C"].map(str::to_string);
        assert_eq!(found, expected, "seed {seed}: ({}) {skip:?} over {values:?}", pattern.display(&names));
    }
}

type Then<'a> = &'a mut dyn FnMut(usize, u64, Vec<usize>);

/// Calls `then` with every way to match `pattern` from row `at` on, the preferred first: the row behind, what that must not be, and the
/// variables.
fn ends(
    pattern: &Pattern,
    start: usize,
    at: usize,
    taken: Vec<usize>,
    unless: u64,
    holds: &dyn Fn(usize, usize, usize) -> bool,
    then: Then<'_>,
) {
    match pattern {
        Pattern::Variable(variable) => {
            let kept = |at| (0..3).any(|greedy| unless >> greedy & 1 == 1 && holds(greedy, start, at));
            if holds(*variable, start, at) && !kept(at) {
                then(at + 1, 0, [taken, vec![*variable]].concat());
            }
        }
        Pattern::Concat(parts) => match parts.split_first() {
            None => then(at, unless, taken),
            Some((first, rest)) => {
                let rest = Pattern::Concat(rest.to_vec());
                ends(first, start, at, taken, unless, holds, &mut |at, unless, taken| {
                    ends(&rest, start, at, taken, unless, holds, then);
                });
            }
        },
        Pattern::Alternation(parts) => {
            for part in parts {
                ends(part, start, at, taken.clone(), unless, holds, then);
            }
        }
        Pattern::Repeat { of, min, max, greedy } => {
            let Pattern::Variable(variable) = **of else { panic!("only variables are repeated here") };
            let keeps = *greedy && *max != Some(*min) && (*min, *max) != (0, Some(1));
            let mut times: Vec<u32> = (*min..=max.unwrap_or(31)).collect();
            if *greedy {
                times.reverse();
            }
            for times in times {
                let all = Pattern::Concat(vec![of.as_ref().clone(); times as usize]);
                ends(&all, start, at, taken.clone(), unless, holds, &mut |at, unless, taken| {
                    then(at, if keeps { unless | 1 << variable } else { unless }, taken);
                });
            }
        }
    }
}
