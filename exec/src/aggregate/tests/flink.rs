//! Single answers: what Flink printed in recorded cases (named in comments), and the corners of its rules.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray};
use arrow::compute;
use arrow::datatypes::DataType;

use super::super::{Accumulator, AggregateCall, find};
use super::{call, show, tested_types};

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
fn a_variance_of_integers_is_cut_to_their_type() {
    let (_, mut variance) = open("VAR_POP", &[DataType::Int8], |_| {});
    let bytes = compute::cast(&numbers(&[1, 2, 100, -100]), &DataType::Int8).unwrap();
    // 0.25, 2156.2.. and 5000.6.., of which a byte is left.
    let cut = |value: i32| (value as i8).to_string();
    let said = follow(variance.as_mut(), &[bytes], &[1, 1, 1, 1]);
    assert_eq!(said, ["0".to_string(), "0".to_string(), cut(2156), cut(5000)]);
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
    assert!(find("MIN").unwrap().resolve(&[tested_types().pop().unwrap()]).is_err());
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
