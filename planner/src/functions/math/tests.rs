use super::all;
use crate::functions::call::testing::*;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

fn call(name: &str, args: &[ScalarValue]) -> String {
    eval(&all(), name, args)
}

/// A decimal from its text, with as many digits as it shows and a precision of `p`.
fn decimal(p: u8, shown: &str) -> ScalarValue {
    let scale = shown.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    ScalarValue::Decimal128(shown.replace('.', "").parse().ok(), p, scale as i8)
}

fn value(name: &str, args: &[ScalarValue]) -> ScalarValue {
    try_value(&all(), name, args).unwrap()
}

#[test]
fn abs_sign_and_mod_keep_types() {
    assert_eq!(value("abs", &[ScalarValue::Int8(Some(-128))]), ScalarValue::Int8(Some(-128)));
    assert_eq!(value("abs", &[int(-3)]), int(3));
    assert_eq!(value("abs", &[decimal(5, "-1.50")]), decimal(5, "1.50"));
    assert_eq!(value("sign", &[long(-9)]), long(-1));
    assert_eq!(value("sign", &[double(-0.5)]), double(-1.0));
    assert_eq!(value("sign", &[decimal(5, "-1.50")]), decimal(5, "-1.00"));
    assert_eq!(value("mod", &[long(-7), int(3)]), int(-1));
    assert_eq!(value("mod", &[int(7), int(-3)]), int(1));
    assert_eq!(value("mod", &[decimal(5, "7.50"), int(2)]), decimal(5, "1.50"));
    assert_eq!(value("mod", &[double(7.5), int(2)]), double(1.5));
    assert_eq!(value("mod", &[long(i64::MIN), int(-1)]), int(0));
    assert_eq!(call("mod", &[ScalarValue::Int32(None), int(0)]), "NULL");
    assert!(try_eval(&all(), "mod", &[int(1), int(0)]).unwrap_err().to_string().contains("division by zero"));
    assert!(try_eval(&all(), "mod", &[decimal(3, "1.0"), int(0)]).is_err());
}

#[test]
fn round_goes_half_away_from_zero_at_any_digit() {
    assert_eq!(value("round", &[double(2.5)]), double(3.0));
    assert_eq!(value("round", &[double(-2.5)]), double(-3.0));
    assert_eq!(value("round", &[double(1.005), int(2)]), double(1.01));
    assert_eq!(value("round", &[double(0.285), int(2)]), double(0.29));
    assert_eq!(value("round", &[double(1234.5), int(-2)]), double(1200.0));
    assert_eq!(value("round", &[double(1250.0), int(-2)]), double(1300.0));
    assert_eq!(value("round", &[double(1e300), int(2)]), double(1e300));
    assert_eq!(value("round", &[double(123.456), int(30)]), double(123.456));
    assert_eq!(value("round", &[double(f64::INFINITY), int(2)]), double(f64::INFINITY));
    assert_eq!(value("round", &[int(15), int(-1)]), int(20));
    assert_eq!(value("round", &[int(-15), int(-1)]), int(-20));
    assert_eq!(value("round", &[int(15), int(-40)]), int(0));
    assert_eq!(value("round", &[ScalarValue::Float32(Some(0.285)), int(2)]), ScalarValue::Float32(Some(0.29)));
    assert_eq!(call("round", &[double(1.5), ScalarValue::Int32(None)]), "NULL");
}

#[test]
fn rounding_a_decimal_to_a_literal_shortens_its_type() {
    assert_eq!(value("round", &[decimal(5, "1.235"), int(2)]), decimal(5, "1.24"));
    assert_eq!(value("round", &[decimal(5, "99.995"), int(2)]), decimal(5, "100.00"));
    assert_eq!(value("round", &[decimal(5, "12.345")]), decimal(3, "12"));
    assert_eq!(value("round", &[decimal(5, "155.55"), int(-1)]), decimal(4, "160"));
    assert_eq!(value("round", &[decimal(5, "1.235"), int(9)]), decimal(5, "1.235"));
    assert_eq!(value("truncate", &[decimal(5, "42.324"), int(2)]), decimal(5, "42.32"));
    assert_eq!(value("ceil", &[decimal(5, "-1.25")]), decimal(5, "-1"));
    assert_eq!(value("floor", &[decimal(5, "-1.25")]), decimal(5, "-2"));
}

#[test]
fn truncate_goes_towards_zero() {
    assert_eq!(value("truncate", &[double(42.324), int(2)]), double(42.32));
    assert_eq!(value("truncate", &[double(-42.329), int(2)]), double(-42.32));
    assert_eq!(value("truncate", &[double(0.29), int(2)]), double(0.29));
    assert_eq!(value("truncate", &[double(8.2), int(1)]), double(8.2));
    assert_eq!(value("truncate", &[int(1999), int(-3)]), int(1000));
}

#[test]
fn ceil_and_floor_keep_integers_and_reals() {
    assert_eq!(value("ceiling", &[int(3)]), int(3));
    assert_eq!(value("ceil", &[double(-1.5)]), double(-1.0));
    assert_eq!(value("floor", &[ScalarValue::Float32(Some(-1.5))]), ScalarValue::Float32(Some(-2.0)));
}

#[test]
fn log_has_its_base_first() {
    assert_eq!(call("log", &[int(2), int(8)]), "3");
    assert_eq!(call("log", &[double(1.0)]), "0");
    assert_eq!(call("log2", &[int(8)]), "3");
    assert_eq!(call("log10", &[int(1000)]), "3");
    assert_eq!(call("power", &[int(2), int(10)]), "1024");
    assert_eq!(call("sqrt", &[decimal(3, "2.25")]), "1.5");
    assert_eq!(call("ln", &[int(-1)]), "NaN");
    assert_eq!(call("degrees", &[double(std::f64::consts::PI)]), "180");
    assert_eq!(call("pi", &[]), "3.141592653589793");
    assert_eq!(call("sin", &[ScalarValue::Null]), "NULL");
    assert_eq!(call("atan2", &[int(1), int(1)]), "0.7853981633974483");
}

#[test]
fn a_seed_gives_javas_sequence() {
    let functions = all();
    // The third row of new java.util.Random(42): nextDouble(), and nextInt(10), which begins 0, 3, 8.
    assert_eq!(eval(&functions, "rand", &[int(42)]), "0.30871945533265976");
    let drawn = try_value(&functions, "rand_integer", &[int(42), int(10)]).unwrap();
    assert_eq!(drawn, int(8));
    assert!(try_eval(&functions, "rand_integer", &[int(0)]).is_err());
}

#[test]
fn text_is_no_number() {
    assert!(try_eval(&all(), "abs", &[text("1")]).is_err());
    assert_eq!(value("round", &[ScalarValue::Null]).data_type(), DataType::Null);
}
