//! The law of [`Accumulator`], for every function and type: random rows, nulls, weights, batch cuts and splits into accumulators
//! that are merged by state, against a model that keeps each group as a plain list of rows.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute;
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::*;

mod flink;

const GROUPS: u32 = 5;

/// A value of any type, as a small number; `None` is null.
type Code = Option<i64>;

/// The values with these codes, in a type that is tested.
fn column(data_type: &DataType, codes: &[Code]) -> ArrayRef {
    let numbers = || codes.iter().copied();
    let words = || numbers().map(|code| code.map(|code| "abcdefg".repeat(3)[(code + 3) as usize..][..3].to_string()));
    match data_type {
        DataType::Boolean => Arc::new(numbers().map(|code| code.map(|code| code > 0)).collect::<BooleanArray>()),
        DataType::Float32 | DataType::Float64 => {
            let halves = numbers().map(|code| code.map(|code| code as f64 / 2.0)).collect::<Float64Array>();
            compute::cast(&halves, data_type).unwrap()
        }
        DataType::Decimal128(precision, scale) => {
            let values = numbers().map(|code| code.map(|code| i128::from(code) * 25)).collect::<Decimal128Array>();
            Arc::new(values.with_precision_and_scale(*precision, *scale).unwrap())
        }
        DataType::Utf8 => Arc::new(words().collect::<StringArray>()),
        DataType::Binary => compute::cast(&words().collect::<StringArray>(), data_type).unwrap(),
        DataType::List(_) => {
            let mut lists = ListBuilder::new(Int64Builder::new());
            numbers().for_each(|code| lists.append_option(code.map(|code| [Some(code), None, Some(code * 2)])));
            Arc::new(lists.finish())
        }
        _ => compute::cast(&numbers().collect::<Int64Array>(), data_type).unwrap(),
    }
}

fn tested_types() -> Vec<DataType> {
    vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(10, 2),
        DataType::Decimal128(30, 8),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))),
    ]
}

fn call(function: &Arc<dyn AggregateFunction>, arguments: &[DataType]) -> Option<AggregateCall> {
    let resolved = function.resolve(arguments).ok()?;
    let field = |data_type: &DataType| Arc::new(Field::new("x", data_type.clone(), true));
    Some(AggregateCall {
        function: Arc::clone(function),
        arguments: resolved.arguments.iter().map(field).collect(),
        distinct: false,
        ignore_nulls: false,
        result: Arc::new(Field::new("r", resolved.result, resolved.nullable)),
        retracting: false,
    })
}

/// Rows that come (+1) and go (-1).
#[derive(Clone, Copy, Debug)]
struct Change {
    group: u32,
    code: Code,
    weight: i64,
}

fn feed(accumulator: &mut dyn Accumulator, data_type: &DataType, changes: &[Change], random: &mut StdRng) {
    let mut rest = changes;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(random.random_range(1..=rest.len()));
        rest = after;
        let groups: Vec<u32> = batch.iter().map(|change| change.group).collect();
        let codes: Vec<Code> = batch.iter().map(|change| change.code).collect();
        let weights: Vec<i64> = batch.iter().map(|change| change.weight).collect();
        // A slice, so that offsets are not forgotten.
        let values = column(data_type, &[&[Some(1), None], codes.as_slice()].concat()).slice(2, codes.len());
        let weights = weights.iter().any(|weight| *weight != 1).then_some(weights);
        accumulator.update(&groups, &[values], weights.as_deref()).unwrap();
    }
}

fn show(array: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    (0..array.len()).map(|row| formatter.value(row).to_string()).collect()
}

/// What the function should say about these rows, in order.
fn expected(call: &AggregateCall, data_type: &DataType, rows: &[Code]) -> String {
    let mut codes: Vec<i64> = rows.iter().copied().flatten().collect();
    let mut all: Vec<Code> = rows.to_vec();
    if call.distinct {
        let once = |seen: &mut Vec<Code>, code: Code| {
            if !seen.contains(&code) {
                seen.push(code);
            }
        };
        // As the type tells them apart: there are but two booleans.
        let key =
            |code: Code| if *data_type == DataType::Boolean { code.map(|code| i64::from(code > 0)) } else { code };
        all = rows.iter().fold(Vec::new(), |mut seen, code| {
            once(&mut seen, key(*code));
            seen
        });
        codes = all.iter().copied().flatten().collect();
    }
    let show_codes = |codes: &[Code]| show(&column(data_type, codes));
    let show_code = |code: Option<i64>| show_codes(&[code]).remove(0);
    let unit: f64 = match data_type {
        DataType::Float32 | DataType::Float64 => 0.5,
        DataType::Decimal128(_, scale) => 25.0 / 10f64.powi(i32::from(*scale)),
        _ => 1.0,
    };
    let (n, sum) = (codes.len() as i64, codes.iter().sum::<i64>());
    let number = |value: f64, result: &DataType| match result {
        // Truncated, and rounded half away from zero.
        integer if integer.is_integer() => (value as i64).to_string(),
        DataType::Decimal128(_, scale) => format!("{:.*}", *scale as usize, value + value.signum() * 1e-13),
        _ => format!("{value:.6}"),
    };
    let result = call.result.data_type();
    let null = "null".to_string();
    match call.function.name() {
        "COUNT" => n.to_string(),
        "APPROX_COUNT_DISTINCT" => {
            let mut shown: Vec<String> = codes.iter().map(|code| show_code(Some(*code))).collect();
            shown.sort();
            shown.dedup();
            shown.len().to_string()
        }
        "SUM" if n == 0 => null,
        "SUM" | "$SUM0" => number(sum as f64 * unit, result),
        "AVG" if n == 0 => null,
        "AVG" => number(sum as f64 * unit / n as f64, result),
        "MIN" => show_code(codes.iter().min().copied()),
        "MAX" => show_code(codes.iter().max().copied()),
        "FIRST_VALUE" => show_code(codes.first().copied()),
        "LAST_VALUE" => show_code(codes.last().copied()),
        "LISTAGG" if n == 0 => null,
        "LISTAGG" => codes.iter().map(|code| show_code(Some(*code))).collect::<Vec<_>>().join(","),
        "ARRAY_AGG" if all.is_empty() => null,
        "ARRAY_AGG" => format!("[{}]", show_codes(&all).join(", ")),
        "COLLECT" => {
            let mut counts: Vec<(String, u32)> = Vec::new();
            for shown in codes.iter().map(|code| show_code(Some(*code))) {
                match counts.iter_mut().find(|(known, _)| *known == shown) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((shown, 1)),
                }
            }
            counts.sort();
            format!("{counts:?}")
        }
        "BOOL_AND" | "BOOL_OR" if n == 0 => null,
        "BOOL_AND" => codes.iter().all(|code| *code > 0).to_string(),
        "BOOL_OR" => codes.iter().any(|code| *code > 0).to_string(),
        "JSON_ARRAYAGG" => format!("n={n}"),
        "JSON_ARRAYAGG_NULL_ON_NULL" => format!("n={}", all.len()),
        name => {
            let (sample, root) = (i64::from(name.ends_with("SAMP")), name.starts_with("STDDEV"));
            if n - sample <= 0 {
                return null;
            }
            let mean = sum as f64 / n as f64;
            let squares: f64 = codes.iter().map(|code| (*code as f64 - mean).powi(2)).sum();
            let variance = squares / (n - sample) as f64 * unit * unit;
            let value = if root { variance.sqrt() } else { variance };
            format!("~{value}")
        }
    }
}

/// The result in the words of [`expected`].
fn actual(call: &AggregateCall, accumulator: &dyn Accumulator, groups: &[u32]) -> Vec<String> {
    let results = accumulator.evaluate(groups).unwrap();
    assert_eq!(results.data_type(), call.result.data_type());
    let entries = |row| {
        let entries = results.as_map().value(row);
        let counts = entries.column(1).as_primitive::<arrow::datatypes::Int32Type>().values().to_vec();
        let mut entries: Vec<(String, i32)> = show(entries.column(0)).into_iter().zip(counts).collect();
        entries.sort();
        format!("{entries:?}")
    };
    let shown = show(&results);
    let words = shown.into_iter().enumerate().map(|(row, shown)| match (call.function.name(), results.data_type()) {
        (_, _) if results.is_null(row) => "null".to_string(),
        ("SUM" | "$SUM0" | "AVG" | "STDDEV_POP" | "STDDEV_SAMP" | "VAR_POP" | "VAR_SAMP", float)
            if float.is_floating() =>
        {
            format!("{:.6}", shown.parse::<f64>().unwrap() + 0.0)
        }
        ("COLLECT", _) => entries(row),
        (name, _) if name.starts_with("JSON_ARRAYAGG") => {
            let items: serde_json::Value = serde_json::from_str(&shown).unwrap();
            format!("n={}", items.as_array().unwrap().len())
        }
        _ => shown,
    });
    words.collect()
}

/// Equal; but a variance only nearly: rounding shows in the last digits, and may push it below the integer to which it is cut.
#[track_caller]
fn agree(call: &AggregateCall, actual: &[String], expected: &[String], what: &str) {
    let agrees = |(actual, expected): (&String, &String)| match expected.strip_prefix('~') {
        None => actual == expected,
        Some(exact) => {
            let (actual, exact) = (actual.parse::<f64>().unwrap_or(f64::NAN), exact.parse::<f64>().unwrap());
            let below = if call.result.data_type().is_integer() { 1.0 } else { 0.0 };
            exact - below - 1e-5 < actual && actual < exact + 1e-5
        }
    };
    assert!(actual.iter().zip(expected).all(agrees), "{actual:?} instead of {expected:?}\n  {what}");
}

/// Rows, some of which are taken out again; in order-insensitive aggregates even before they come.
fn changes(call: &AggregateCall, random: &mut StdRng) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut live: Vec<Change> = Vec::new();
    for _ in 0..random.random_range(0..60) {
        if call.retracting && !live.is_empty() && random.random_bool(0.4) {
            let gone = live.swap_remove(random.random_range(0..live.len()));
            changes.push(Change { weight: -1, ..gone });
        } else {
            let code = random.random_bool(0.8).then(|| random.random_range(-3..=3));
            live.push(Change { group: random.random_range(0..GROUPS), code, weight: 1 });
            changes.extend(live.last());
        }
    }
    if !call.function.is_ordered() {
        changes.shuffle(random);
    }
    changes
}

/// The rows of a group after all changes, in order.
fn model(call: &AggregateCall, data_type: &DataType, changes: &[Change], group: u32) -> Vec<Code> {
    let mut rows: Vec<Code> = Vec::new();
    let mut owed: Vec<Code> = Vec::new();
    let same = |a: &Code, b: &Code| show(&column(data_type, &[*a])) == show(&column(data_type, &[*b]));
    // Of distinct values it matters when each last appeared, so keep how often each is in beside the order.
    let mut extra: Vec<Code> = Vec::new();
    for change in changes.iter().filter(|change| change.group == group) {
        let find = |list: &[Code]| list.iter().position(|row| same(row, &change.code));
        if change.weight > 0 {
            match find(&owed) {
                Some(at) => drop(owed.remove(at)),
                None if call.distinct && find(&rows).is_some() => extra.push(change.code),
                None => rows.push(change.code),
            }
        } else if let Some(at) = find(&extra) {
            extra.remove(at);
        } else if let Some(at) = find(&rows) {
            rows.remove(at);
        } else {
            owed.push(change.code);
        }
    }
    rows
}

#[test]
fn every_aggregate_depends_only_on_the_rows_that_are_in() {
    let mut random = StdRng::seed_from_u64(4711);
    let mut tried = 0;
    for function in all() {
        for data_type in tested_types() {
            let Some(call) = call(&function, std::slice::from_ref(&data_type)) else { continue };
            for (retracting, distinct) in [(false, false), (true, false), (false, true), (true, true)] {
                let call = AggregateCall { retracting, distinct, ..call.clone() };
                for _ in 0..8 {
                    check(&call, &data_type, &mut random);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 3_000, "{tried}");
}

fn check(call: &AggregateCall, data_type: &DataType, random: &mut StdRng) {
    let changes = changes(call, random);
    let groups: Vec<u32> = (0..GROUPS).collect();
    let words: Vec<String> =
        groups.iter().map(|group| expected(call, data_type, &model(call, data_type, &changes, *group))).collect();
    let name = format!("{} of {data_type}, {call:?}: {changes:?}", call.function.name());

    // All in one accumulator.
    let mut whole = call.function.accumulator(call).unwrap();
    whole.resize(GROUPS as usize);
    feed(whole.as_mut(), data_type, &changes, random);
    agree(call, &actual(call, whole.as_ref(), &groups), &words, &name);
    agree(call, &actual(call, whole.as_ref(), &groups), &words, &format!("asked twice: {name}"));

    // Several, merged by state. Order counts for some; then the second begins where the first ended, and as rows that are in the
    // first cannot be taken out in the second without changing which one goes, rows only come.
    let parts = random.random_range(1..4usize);
    let split: Vec<Vec<Change>> = if call.function.is_ordered() && (call.retracting || call.distinct) {
        vec![changes.clone()]
    } else if call.function.is_ordered() {
        changes.chunks(changes.len().div_ceil(parts).max(1)).map(<[Change]>::to_vec).collect()
    } else {
        let mut split = vec![Vec::new(); parts];
        changes.iter().for_each(|change| split[random.random_range(0..parts)].push(*change));
        split
    };
    let mut merged = call.function.accumulator(call).unwrap();
    merged.resize(GROUPS as usize);
    let mut absorbed = call.function.accumulator(call).unwrap();
    absorbed.resize(GROUPS as usize);
    let mut taken_in = Vec::new();
    let (mut states, mut state_groups) = (vec![Vec::new(); merged.state_types().len()], Vec::new());
    for part in split {
        let mut accumulator = call.function.accumulator(call).unwrap();
        accumulator.resize(GROUPS as usize);
        feed(accumulator.as_mut(), data_type, &part, random);
        let mut order = groups.clone();
        order.shuffle(random);
        let state = accumulator.state(&order).unwrap();
        let state_types: Vec<DataType> = state.iter().map(|column| column.data_type().clone()).collect();
        assert_eq!(state_types, merged.state_types(), "{name}");
        states.iter_mut().zip(state).for_each(|(all, column): (&mut Vec<ArrayRef>, _)| all.push(column));
        absorbed.absorb(&order, accumulator.as_ref(), &order).unwrap();
        state_groups.extend(order);
        taken_in.push(accumulator);
    }
    agree(call, &actual(call, absorbed.as_ref(), &groups), &words, &format!("absorbed: {name}"));
    if absorbed.is_invertible() {
        let mut all = call.function.accumulator(call).unwrap();
        all.resize(GROUPS as usize);
        feed(all.as_mut(), data_type, &changes, random);
        taken_in.iter().for_each(|part| all.absorb(&groups, part.as_ref(), &groups).unwrap());
        taken_in.iter().for_each(|part| all.take_out(&groups, part.as_ref(), &groups).unwrap());
        agree(call, &actual(call, all.as_ref(), &groups), &words, &format!("absorbed and taken out: {name}"));
    }
    if !state_groups.is_empty() {
        // As one batch of states, in which groups repeat; cut in two anywhere.
        let states: Vec<ArrayRef> = states
            .iter()
            .map(|columns| compute::concat(&columns.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap())
            .collect();
        let cut = random.random_range(0..=state_groups.len());
        for (from, to) in [(0, cut), (cut, state_groups.len())] {
            let columns: Vec<ArrayRef> = states.iter().map(|column| column.slice(from, to - from)).collect();
            merged.merge(&state_groups[from..to], &columns).unwrap();
        }
    }
    agree(call, &actual(call, merged.as_ref(), &groups), &words, &format!("merged: {name}"));

    // A cleared slot is as good as new, and its neighbours do not notice.
    let reused = random.random_range(0..GROUPS);
    whole.clear(&[reused]);
    let mut words = words;
    words[reused as usize] = expected(call, data_type, &[]);
    agree(call, &actual(call, whole.as_ref(), &groups), &words, &format!("cleared {reused}: {name}"));
    whole.resize(GROUPS as usize + 3);
    let again =
        [Change { group: reused, code: Some(1), weight: 1 }, Change { group: GROUPS + 2, code: None, weight: 1 }];
    feed(whole.as_mut(), data_type, &again, random);
    words[reused as usize] = expected(call, data_type, &[Some(1)]);
    words.push(expected(call, data_type, &[None]));
    let groups: Vec<u32> = groups.into_iter().chain([GROUPS + 2]).collect();
    agree(call, &actual(call, whole.as_ref(), &groups), &words, &format!("reused {reused}: {name}"));
    let _ = whole.bytes();
}
