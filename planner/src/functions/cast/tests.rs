//! Values from what Flink printed.

use super::super::function::testing::*;
use super::*;
use datafusion::common::ScalarValue;

fn cast(value: Arg, to: &str) -> String {
    show(all(), "__cast", &[value, text(to)])
}

fn try_cast(value: Arg, to: &str) -> String {
    show(all(), "__try_cast", &[value, text(to)])
}

fn double(value: f64) -> Arg {
    Arg::Literal(ScalarValue::from(value))
}

fn decimal(value: i128, precision: u8, scale: i8) -> Arg {
    Arg::Literal(ScalarValue::Decimal128(Some(value), precision, scale))
}

fn boolean(value: bool) -> Arg {
    Arg::Literal(ScalarValue::from(value))
}

#[test]
fn text_becomes_numbers() {
    assert_eq!(cast(text("12"), "INT"), "INT NOT NULL: 12");
    assert_eq!(cast(text(" 12 "), "INT"), "INT NOT NULL: 12");
    assert_eq!(cast(text("12.7"), "INT"), "INT NOT NULL: 12");
    assert_eq!(try_cast(text("x"), "INT"), "INT: NULL");
    assert_eq!(try_cast(text("300"), "TINYINT"), "TINYINT: NULL");
    assert_eq!(cast(text("1.239"), "DECIMAL(5,2)"), "DECIMAL(5, 2) NOT NULL: 1.24");
    assert_eq!(cast(text("1e2"), "DECIMAL(5,2)"), "DECIMAL(5, 2) NOT NULL: 100.00");
    assert_eq!(try_cast(text("1000"), "DECIMAL(5,2)"), "DECIMAL(5, 2): NULL");
    assert_eq!(cast(text("1.5e3"), "DOUBLE"), "DOUBLE NOT NULL: 1500.0");
    assert_eq!(try_cast(text("inf"), "DOUBLE"), "DOUBLE: NULL");
}

#[test]
fn bad_text_is_an_error_that_names_text_and_type() {
    let error = evaluate(all(), "__cast", &[text("x"), text("INT")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot cast 'x' to INT\n  why: the text does not read as this type, or is out of its range\n  \
         fix: use TRY_CAST to get NULL instead"
    );
}

#[test]
fn numbers_wrap_saturate_and_round_as_in_java() {
    assert_eq!(cast(int(300), "TINYINT"), "TINYINT NOT NULL: 44");
    assert_eq!(cast(decimal(399, 3, 2), "INT"), "INT NOT NULL: 3");
    assert_eq!(cast(decimal(-399, 3, 2), "INT"), "INT NOT NULL: -3");
    assert_eq!(cast(double(3.99), "INT"), "INT NOT NULL: 3");
    assert_eq!(cast(double(1e30), "INT"), "INT NOT NULL: 2147483647");
    assert_eq!(cast(decimal(1235, 4, 3), "DECIMAL(5,2)"), "DECIMAL(5, 2) NOT NULL: 1.24");
    assert_eq!(cast(decimal(-1235, 4, 3), "DECIMAL(5,2)"), "DECIMAL(5, 2) NOT NULL: -1.24");
    assert_eq!(try_cast(int(1000), "DECIMAL(3,0)"), "DECIMAL(3, 0): NULL");
    assert_eq!(cast(double(0.1), "DECIMAL(20,18)"), "DECIMAL(20, 18) NOT NULL: 0.100000000000000000");
    assert_eq!(cast(decimal(15, 2, 1), "DOUBLE"), "DOUBLE NOT NULL: 1.5");
}

#[test]
fn booleans_are_numbers_and_words() {
    assert_eq!(cast(boolean(true), "INT"), "INT NOT NULL: 1");
    assert_eq!(cast(int(0), "BOOLEAN"), "BOOLEAN NOT NULL: FALSE");
    assert_eq!(cast(text("true"), "BOOLEAN"), "BOOLEAN NOT NULL: TRUE");
    assert_eq!(try_cast(text("maybe"), "BOOLEAN"), "BOOLEAN: NULL");
    assert_eq!(cast(boolean(true), "STRING"), "STRING NOT NULL: TRUE");
}

#[test]
fn numbers_become_text_as_in_java() {
    assert_eq!(cast(decimal(15, 2, 1), "STRING"), "STRING NOT NULL: 1.5");
    assert_eq!(cast(double(1.0), "STRING"), "STRING NOT NULL: 1.0");
    assert_eq!(cast(double(1e10), "STRING"), "STRING NOT NULL: 1.0E10");
}

#[test]
fn text_is_cut_and_padded_to_its_length() {
    assert_eq!(cast(text("abcdef"), "CHAR(3)"), "CHAR(3) NOT NULL: abc");
    assert_eq!(cast(text("ab"), "CHAR(4)"), "CHAR(4) NOT NULL: ab  ");
    assert_eq!(cast(text("äbcdef"), "VARCHAR(3)"), "VARCHAR(3) NOT NULL: äbc");
    assert_eq!(cast(text("a"), "BYTES"), "BYTES NOT NULL: a");
    assert_eq!(cast(Arg::Literal(ScalarValue::Binary(Some(vec![97, 98]))), "STRING"), "STRING NOT NULL: ab");
}

#[test]
fn text_becomes_dates_and_times() {
    assert_eq!(try_cast(text("2020-13-01"), "DATE"), "DATE: NULL");
    assert_eq!(try_cast(text("2021-02-29"), "DATE"), "DATE: NULL");
    assert_eq!(cast(text("2020-1-1"), "DATE"), "DATE NOT NULL: 2020-01-01");
    assert_eq!(cast(text("12:34:56.789"), "TIME"), "TIME(0) NOT NULL: 12:34:56");
    assert_eq!(cast(text("12:34:56.789"), "TIME(3)"), "TIME(3) NOT NULL: 12:34:56.789");
    assert_eq!(cast(text("2020-02-29 12:34:56"), "TIMESTAMP(3)"), "TIMESTAMP(3) NOT NULL: 2020-02-29 12:34:56.000");
    assert_eq!(cast(text("2020-02-29 1:2:3.456789"), "TIMESTAMP(2)"), "TIMESTAMP(2) NOT NULL: 2020-02-29 01:02:03.45");
    assert_eq!(cast(text("2020-02-29"), "TIMESTAMP"), "TIMESTAMP(6) NOT NULL: 2020-02-29 00:00:00.000000");
    assert_eq!(cast(text("2020-02-29T12:34:56"), "TIMESTAMP"), "cannot cast '2020-02-29T12:34:56' to TIMESTAMP(6)");
}

#[test]
fn moments_are_shown_on_the_clock_of_the_session() {
    let berlin = |value: &str, to: &str, then: &str| {
        let (_, moment) = evaluate_in("Europe/Berlin", all(), "__cast", &[text(value), text(to)]).unwrap();
        let moment = ScalarValue::try_from_array(&moment, 0).unwrap();
        let (_, shown) = evaluate_in("Europe/Berlin", all(), "__cast", &[Arg::Literal(moment), text(then)]).unwrap();
        ScalarValue::try_from_array(&shown, 0).unwrap().to_string()
    };
    assert_eq!(berlin("2020-06-01 12:00:00", "TIMESTAMP_LTZ(3)", "STRING"), "2020-06-01 12:00:00.000");
    assert_eq!(berlin("2020-06-01 00:30:00", "TIMESTAMP_LTZ(3)", "DATE"), "2020-06-01");
    let (_, moment) =
        evaluate_in("Europe/Berlin", all(), "__cast", &[text("2020-06-01 12:00:00"), text("TIMESTAMP_LTZ(0)")])
            .unwrap();
    use arrow::datatypes::TimestampSecondType;
    assert_eq!(moment.as_primitive::<TimestampSecondType>().value(0), 1_591_005_600, "10 o'clock in UTC");
}

#[test]
fn timestamps_do_not_become_numbers() {
    let error = evaluate(all(), "__cast", &[column("TIMESTAMP(3)", &[None]), text("BIGINT")]).unwrap_err();
    assert_eq!(error.what(), "cannot cast TIMESTAMP(3) to BIGINT");
    assert!(error.has_fix());
}

#[test]
fn null_is_of_any_type() {
    assert_eq!(cast(null(), "INT"), "INT: NULL");
    assert_eq!(cast(null(), "ROW<a INT>"), "ROW<`a` INT>: NULL");
}

#[test]
fn columns_keep_their_nulls() {
    let column = column("INT", &[Some("1"), None, Some("-7")]);
    assert_eq!(cast(column, "STRING"), "STRING: 1, NULL, -7");
}

#[test]
fn collections_are_cast_element_by_element() {
    use super::super::collection;
    let list = || value(collection::all(), "__array", &[int(1), int(2)]);
    assert_eq!(cast(list(), "STRING"), "STRING NOT NULL: [1, 2]");
    assert_eq!(cast(list(), "ARRAY<DOUBLE>"), "ARRAY<DOUBLE> NOT NULL: [1.0, 2.0]");
    let map = || value(collection::all(), "__map", &[text("a"), int(1)]);
    assert_eq!(cast(map(), "STRING"), "STRING NOT NULL: {a=1}");
    assert_eq!(cast(map(), "MAP<STRING, BIGINT>"), "MAP<STRING, BIGINT> NOT NULL: {a=1}");
    let row = || value(super::super::row::all(), "__row", &[int(1), text("a"), null()]);
    assert_eq!(cast(row(), "STRING"), "STRING NOT NULL: (1, a, NULL)");
    let named = "ROW<x STRING, y STRING, z INT>";
    assert_eq!(cast(row(), named), "ROW<`x` STRING, `y` STRING, `z` INT> NOT NULL: (1, a, NULL)");
}

#[test]
fn timestamps_have_a_date_and_a_time() {
    let moment = || column("TIMESTAMP(3)", &[Some("2020-02-29 12:34:56.789"), Some("1969-12-31 23:59:59.5"), None]);
    assert_eq!(cast(moment(), "DATE"), "DATE: 2020-02-29, 1969-12-31, NULL");
    assert_eq!(cast(moment(), "TIME(3)"), "TIME(3): 12:34:56.789, 23:59:59.500, NULL");
    assert_eq!(cast(moment(), "TIMESTAMP(0)"), "TIMESTAMP(0): 2020-02-29 12:34:56, 1969-12-31 23:59:59, NULL");
    assert_eq!(cast(column("DATE", &[Some("2020-02-29")]), "TIMESTAMP(3)"), "TIMESTAMP(3): 2020-02-29 00:00:00.000");
    assert_eq!(cast(column("TIME", &[Some("1:2:3")]), "TIMESTAMP(0)"), "TIMESTAMP(0): 1970-01-01 01:02:03");
}

#[test]
fn intervals_are_months_or_milliseconds() {
    use arrow::datatypes::IntervalMonthDayNano;
    let interval = |months, days, nanoseconds| {
        Arg::Literal(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds })))
    };
    assert_eq!(cast(interval(14, 0, 0), "INT"), "INT NOT NULL: 14");
    assert_eq!(cast(interval(14, 0, 0), "STRING"), "STRING NOT NULL: +1-02");
    assert_eq!(cast(interval(0, 1, 1_500_000_000), "BIGINT"), "BIGINT NOT NULL: 86401500");
    assert_eq!(cast(interval(0, -1, 0), "STRING"), "STRING NOT NULL: -1 00:00:00.000");
}

#[test]
fn bytes_are_cut_and_padded_to_their_length() {
    let sized = |to: &str| {
        let (_, array) = evaluate(all(), "__cast", &[text("ab"), text(to)]).unwrap();
        array.as_binary::<i32>().value(0).to_vec()
    };
    assert_eq!(sized("BINARY(3)"), [97, 98, 0]);
    assert_eq!(sized("VARBINARY(1)"), [97]);
}
