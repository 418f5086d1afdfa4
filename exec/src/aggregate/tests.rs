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

fn types() -> Vec<DataType> {
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
        for data_type in types() {
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
    agree(call, &actual(call, whole.as_ref(), &groups), &words, &format!("{name}"));
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
        state_groups.extend(order);
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

/// An accumulator of one group that may be taken from, and its call.
fn open(
    name: &str,
    arguments: &[DataType],
    change: impl Fn(&mut AggregateCall),
) -> (AggregateCall, Box<dyn Accumulator>) {
    let mut call = call(&find(name).unwrap(), arguments).unwrap();
    call.retracting = true;
    change(&mut call);
    let mut accumulator = call.function.accumulator(&call).unwrap();
    accumulator.resize(1);
    (call, accumulator)
}

/// What it says after each of these rows.
fn follow(accumulator: &mut dyn Accumulator, rows: &[ArrayRef], weights: &[i64]) -> Vec<String> {
    let one = |(row, weight): (usize, &i64)| {
        let columns: Vec<ArrayRef> = rows.iter().map(|column| column.slice(row, 1)).collect();
        accumulator.update(&[0], &columns, Some(&[*weight])).unwrap();
        show(&accumulator.evaluate(&[0]).unwrap()).remove(0)
    };
    weights.iter().enumerate().map(one).collect()
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn first_last_listagg_and_distinct_follow_flink_over_an_updating_input() {
    // agg_retract_first_last: the counts of a, b, a, c, a as they appear and disappear.
    let counts = numbers(&[1, 1, 1, 2, 1, 2, 3]);
    let weights = [1, 1, -1, 1, 1, -1, 1];
    let check = |name: &str, distinct, rows: ArrayRef, expected: [&str; 7]| {
        let (_, mut accumulator) = open(name, &[rows.data_type().clone()], |call| call.distinct = distinct);
        assert_eq!(follow(accumulator.as_mut(), &[rows], &weights), expected, "{name}");
    };
    check("FIRST_VALUE", false, Arc::clone(&counts), ["1", "1", "1", "1", "1", "1", "1"]);
    check("LAST_VALUE", false, Arc::clone(&counts), ["1", "1", "1", "2", "1", "1", "3"]);
    check("COUNT", true, Arc::clone(&counts), ["1", "1", "1", "2", "2", "1", "2"]);
    let words = compute::cast(&counts, &DataType::Utf8).unwrap();
    check("LISTAGG", false, words, ["1", "1,1", "1", "1,2", "1,2,1", "1,1", "1,1,3"]);
}

#[test]
fn the_maximum_falls_back_when_it_is_taken_out() {
    // agg_delete_group, group x
    let (_, mut max) = open("MAX", &[DataType::Int64], |_| {});
    assert_eq!(follow(max.as_mut(), &[numbers(&[10, 20, 20, 10])], &[1, 1, -1, -1]), ["10", "20", "10", "null"]);
}

#[test]
fn an_unchanged_maximum_stays_as_it_is() {
    // agg_no_change
    let (_, mut max) = open("MAX", &[DataType::Int64], |call| call.retracting = false);
    assert_eq!(follow(max.as_mut(), &[numbers(&[5, 3, 5, 7])], &[1; 4]), ["5", "5", "5", "7"]);
}

#[test]
fn a_count_of_two_columns_leaves_out_rows_in_which_either_is_null() {
    // agg_null_keys has one column; two are the same.
    let (_, mut count) = open("COUNT", &[DataType::Utf8, DataType::Int64], |_| {});
    let words = texts(&[Some("x"), None, Some("y"), Some("x")]);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(1)]));
    assert_eq!(follow(count.as_mut(), &[words, values], &[1, 1, 1, -1]), ["1", "1", "1", "0"]);
    let (_, mut rows) = open("COUNT", &[], |_| {});
    rows.update(&[0, 0, 0], &[], None).unwrap();
    assert_eq!(show(&rows.evaluate(&[0]).unwrap()), ["3"]);
}

#[test]
fn integer_sums_wrap_and_averages_truncate_toward_zero() {
    // agg_int_types
    let (call, mut sum) = open("SUM", &[DataType::Int8], |_| {});
    assert_eq!(call.result.data_type(), &DataType::Int8);
    let bytes = compute::cast(&numbers(&[100, 100, -1]), &DataType::Int8).unwrap();
    assert_eq!(follow(sum.as_mut(), &[Arc::clone(&bytes)], &[1, 1, 1]), ["100", "-56", "-57"]);
    let (_, mut average) = open("AVG", &[DataType::Int8], |_| {});
    assert_eq!(follow(average.as_mut(), &[bytes], &[1, 1, 1]), ["100", "100", "66"]);
    let (_, mut average) = open("AVG", &[DataType::Int64], |_| {});
    assert_eq!(follow(average.as_mut(), &[numbers(&[-1, -2, 0])], &[1, 1, 1]), ["-1", "-1", "-1"]);
}

#[test]
fn a_decimal_sum_that_does_not_fit_is_null_until_it_fits_again() {
    let most = Decimal128Array::from(vec![10i128.pow(38) - 1, 1, 1]).with_precision_and_scale(38, 0).unwrap();
    let (call, mut sum) = open("SUM", &[most.data_type().clone()], |_| {});
    assert_eq!(call.result.data_type(), &DataType::Decimal128(38, 0));
    let nines = "9".repeat(38);
    assert_eq!(follow(sum.as_mut(), &[Arc::new(most)], &[1, 1, -1]), [nines.as_str(), "null", nines.as_str()]);
}

#[test]
fn a_decimal_average_has_six_digits_or_more_and_rounds_half_up() {
    let halves = Decimal128Array::from(vec![1, 2, -6, -4]).with_precision_and_scale(4, 1).unwrap();
    let (call, mut average) = open("AVG", &[halves.data_type().clone()], |_| {});
    assert_eq!(call.result.data_type(), &DataType::Decimal128(38, 6));
    let said = follow(average.as_mut(), &[Arc::new(halves)], &[1, 1, 1, 1]);
    assert_eq!(said, ["0.100000", "0.150000", "-0.100000", "-0.175000"]);
    let tiny = Decimal128Array::from(vec![1, 0, 0]).with_precision_and_scale(10, 8).unwrap();
    let (call, mut average) = open("AVG", &[tiny.data_type().clone()], |_| {});
    assert_eq!(call.result.data_type(), &DataType::Decimal128(38, 8));
    assert_eq!(follow(average.as_mut(), &[Arc::new(tiny)], &[1, 1, 1]), ["0.00000001", "0.00000001", "0.00000000"]);
}

#[test]
fn a_variance_keeps_its_digits_far_from_zero_and_after_taking_out() {
    let (_, mut variance) = open("VAR_POP", &[DataType::Float64], |_| {});
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0, 1e9 + 3.0, 1e9 + 1.0]));
    assert_eq!(
        follow(variance.as_mut(), &[values], &[1, 1, 1, -1, -1]),
        ["0.0", "0.25", "0.6666666666666666", "0.25", "0.0"]
    );
    // What came before it was taken out is forgotten, whatever remains of it in the last digit.
    let (_, mut sample) = open("STDDEV_SAMP", &[DataType::Float64], |_| {});
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.27, 0.28, 0.27, 0.28, 0.5]));
    assert_eq!(follow(sample.as_mut(), &[values], &[-1, 1, 1, -1, 1]), ["null"; 5]);
}

#[test]
fn each_text_of_a_list_brings_the_separator_before_it() {
    let (_, mut list) = open("STRING_AGG", &[DataType::Utf8, DataType::Utf8], |_| {});
    let words = texts(&[Some("a"), None, Some(""), Some("c")]);
    assert_eq!(follow(list.as_mut(), &[words, texts(&[Some("|"); 4])], &[1; 4]), ["a", "a", "a|", "a||c"]);
}

#[test]
fn json_texts_are_escaped_and_nulls_kept_where_asked() {
    let words = texts(&[Some("a\"b"), None, Some("c")]);
    let (_, mut absent) = open("JSON_ARRAYAGG", &[DataType::Utf8], |_| {});
    let said = follow(absent.as_mut(), &[Arc::clone(&words)], &[1, 1, 1]);
    assert_eq!(said, [r#"["a\"b"]"#, r#"["a\"b"]"#, r#"["a\"b","c"]"#]);
    let (_, mut kept) = open("JSON_ARRAYAGG_NULL_ON_NULL", &[DataType::Utf8], |_| {});
    assert_eq!(follow(kept.as_mut(), &[words], &[1, 1, 1])[2], r#"["a\"b",null,"c"]"#);
    let keys = texts(&[Some("A"), Some("B"), Some("C"), Some("B")]);
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), None]));
    let (_, mut object) = open("JSON_OBJECTAGG", &[DataType::Utf8, DataType::Int64], |_| {});
    let said = follow(object.as_mut(), &[Arc::clone(&keys), Arc::clone(&values)], &[1, 1, 1, -1]);
    assert_eq!(said[1..], [r#"{"A":1,"B":null}"#, r#"{"A":1,"B":null,"C":3}"#, r#"{"A":1,"C":3}"#]);
    let (_, mut object) = open("JSON_OBJECTAGG_ABSENT_ON_NULL", &[DataType::Utf8, DataType::Int64], |_| {});
    assert_eq!(follow(object.as_mut(), &[Arc::clone(&keys), Arc::clone(&values)], &[1, 1, 1])[2], r#"{"A":1,"C":3}"#);
    object.update(&[0], &[keys.slice(0, 1), values.slice(0, 1)], None).unwrap();
    assert!(object.evaluate(&[0]).unwrap_err().what().contains("\"A\" comes twice"));
}

#[test]
fn an_argument_of_another_type_is_refused_with_what_would_do() {
    let error = find("sum").unwrap().resolve(&[DataType::Utf8]).unwrap_err();
    assert!(error.has_fix());
    assert_eq!(error.what(), "cannot compute SUM(Utf8)");
    assert!(find("BOOL_AND").unwrap().resolve(&[DataType::Int64]).is_err());
    assert!(find("LISTAGG").unwrap().resolve(&[DataType::Int64]).is_err());
    assert!(find("MIN").unwrap().resolve(&[types().pop().unwrap()]).is_err());
}

#[test]
fn memory_is_given_back_when_groups_are_cleared_and_reused() {
    for (name, distinct) in [("MAX", false), ("COUNT", true), ("ARRAY_AGG", false), ("COLLECT", false)] {
        let (_, mut accumulator) = open(name, &[DataType::Utf8], |call| call.distinct = distinct);
        let fill = |accumulator: &mut dyn Accumulator, round: usize| {
            let words: StringArray = (0..2_000).map(|n| Some(format!("a rather long text {round} {n}"))).collect();
            accumulator.update(&[0; 2_000], &[Arc::new(words)], None).unwrap();
        };
        fill(accumulator.as_mut(), 0);
        accumulator.clear(&[0]);
        let once = accumulator.bytes();
        for round in 1..10 {
            fill(accumulator.as_mut(), round);
            accumulator.clear(&[0]);
        }
        assert!(accumulator.bytes() <= once * 3, "{name}: {once} bytes, then {}", accumulator.bytes());
    }
}
