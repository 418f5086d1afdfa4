//! `ROUND`, `TRUNCATE`, `CEIL`, `FLOOR`: fewer digits, same kind of number.
//!
//! Flink rounds the *decimal* form of a DOUBLE, the shortest text that reads back as it, half away from zero: so 1.005
//! to two digits is 1.01, although the binary number lies below 1.005. Away from such ties plain arithmetic gives the
//! same answer, and only near them the text is looked at.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::*;
use datafusion::error::Result;

use crate::functions::call::{Arguments, Call, Function, Kind::*};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("round", DataType::Float64, |call| fewer_digits(call, Mode::HalfUp))
            .takes(&[Number])
            .takes(&[Number, Int])
            .returns(|arguments| Ok(digits_type(arguments)))
            .nullable(),
        Function::new("truncate", DataType::Float64, |call| fewer_digits(call, Mode::Down))
            .takes(&[Number])
            .takes(&[Number, Int])
            .returns(|arguments| Ok(digits_type(arguments)))
            .nullable(),
        Function::new("ceil", DataType::Float64, |call| to_whole(call, Mode::Up))
            .takes(&[Number])
            .returns(whole_type)
            .alias("ceiling"),
        Function::new("floor", DataType::Float64, |call| to_whole(call, Mode::Floor))
            .takes(&[Number])
            .returns(whole_type),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// To the nearest; a tie goes away from zero.
    HalfUp,
    /// Towards zero.
    Down,
    /// Towards positive infinity.
    Up,
    /// Towards negative infinity.
    Floor,
}

impl Mode {
    /// `value / unit`, rounded; `unit` is positive.
    fn divide(self, value: i128, unit: i128) -> i128 {
        let (quotient, rest) = (value / unit, value % unit);
        let sign = value.signum();
        match self {
            Mode::HalfUp if rest.unsigned_abs() * 2 >= unit.unsigned_abs() => quotient + sign,
            Mode::Up if rest > 0 => quotient + 1,
            Mode::Floor if rest < 0 => quotient - 1,
            _ => quotient,
        }
    }
}

/// Decimals lose digits if the number of digits is a literal, and keep their type if it is not, as in Flink. One more
/// digit before the point holds the carry.
fn digits_type(arguments: &Arguments) -> DataType {
    let of = arguments.types[0];
    let DataType::Decimal128(p, s) = *of else { return of.clone() };
    let digits = if arguments.types.len() == 1 { Some(0) } else { arguments.int(1) };
    let (p, s) = (i64::from(p), i64::from(s));
    match digits {
        Some(digits) if digits < s => {
            let scale = digits.max(0);
            DataType::Decimal128((1 + p - s + scale).clamp(1, 38) as u8, scale as i8)
        }
        _ => of.clone(),
    }
}

fn whole_type(arguments: &Arguments) -> Result<DataType> {
    Ok(match arguments.types[0] {
        DataType::Decimal128(p, _) => DataType::Decimal128(*p, 0),
        other => other.clone(),
    })
}

fn fewer_digits(call: &Call, mode: Mode) -> Result<ArrayRef> {
    let digits = if call.count() == 2 { Some(call.long(1)?) } else { None };
    let digits = |row: usize| match &digits {
        Some(digits) => digits.get(row),
        None => Some(0),
    };
    let (array, step) = call.raw(0)?;
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let array = array.as_primitive::<Decimal128Type>();
            let (scale, to) = (i64::from(*scale), decimal_scale(call.result_type()));
            let rounded = (0..call.rows).map(|row| {
                let (at, digits) = (row * step, digits(row)?);
                if array.is_null(at) {
                    return None;
                }
                let value = if digits >= scale { array.value(at) } else { cut(array.value(at), scale - digits, mode) };
                // `value` still counts in units of the argument's scale.
                Some(mode.divide(value, power_of_ten(scale - to)?))
            });
            decimal(rounded.collect(), call.result_type())
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            let mut buffer = String::new();
            let rounded = (0..call.rows).map(|row| {
                let (at, digits) = (row * step, digits(row)?);
                array.is_valid(at).then(|| float_digits(array.value(at), digits, mode, &mut buffer))
            });
            Ok(Arc::new(rounded.collect::<PrimitiveArray<Float64Type>>()))
        }
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            let mut buffer = String::new();
            let rounded = (0..call.rows).map(|row| {
                let (at, digits) = (row * step, digits(row)?);
                array.is_valid(at).then(|| {
                    // The shortest text of a FLOAT, not of the DOUBLE next to it.
                    buffer.clear();
                    let _ = write!(buffer, "{}", array.value(at));
                    let value = buffer.parse().unwrap_or(f64::from(array.value(at)));
                    float_digits(value, digits, mode, &mut buffer) as f32
                })
            });
            Ok(Arc::new(rounded.collect::<PrimitiveArray<Float32Type>>()))
        }
        _ => {
            let numbers = call.long(0)?;
            let rounded = (0..call.rows).map(|row| {
                let (value, digits) = (numbers.get(row)?, digits(row)?);
                Some(if digits >= 0 { value } else { cut(i128::from(value), -digits, mode) as i64 })
            });
            wrapping(rounded.collect(), call.result_type())
        }
    }
}

/// `value` with its last `digits` digits made zero.
fn cut(value: i128, digits: i64, mode: Mode) -> i128 {
    match power_of_ten(digits) {
        Some(unit) => mode.divide(value, unit).wrapping_mul(unit),
        None => 0,
    }
}

fn power_of_ten(exponent: i64) -> Option<i128> {
    10i128.checked_pow(u32::try_from(exponent).ok()?)
}

fn decimal_scale(of: &DataType) -> i64 {
    match of {
        DataType::Decimal128(_, scale) => i64::from(*scale),
        _ => 0,
    }
}

/// What does not fit into the precision becomes NULL, as any decimal overflow.
fn decimal(values: PrimitiveArray<Decimal128Type>, of: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, _) = of else { return Ok(Arc::new(values)) };
    Ok(Arc::new(values.null_if_overflow_precision(*precision).with_data_type(of.clone())))
}

/// Narrows to the planned integer type, dropping what does not fit, as Java's casts do.
fn wrapping(values: PrimitiveArray<Int64Type>, of: &DataType) -> Result<ArrayRef> {
    Ok(match of {
        DataType::Int8 => Arc::new(values.unary::<_, Int8Type>(|value| value as i8)),
        DataType::Int16 => Arc::new(values.unary::<_, Int16Type>(|value| value as i16)),
        DataType::Int32 => Arc::new(values.unary::<_, Int32Type>(|value| value as i32)),
        _ => Arc::new(values),
    })
}

/// Integers below this are exact in a DOUBLE, and so are the powers of ten up to 10^22.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

fn float_digits(value: f64, digits: i64, mode: Mode, buffer: &mut String) -> f64 {
    if !value.is_finite() || value == 0.0 || digits > 400 {
        return value;
    }
    if (-22..=22).contains(&digits) {
        let unit = 10f64.powi(digits.unsigned_abs() as i32);
        let scaled = if digits >= 0 { value * unit } else { value / unit };
        if scaled.abs() < EXACT_MAX / 4096.0 {
            let fraction = scaled.abs().fract();
            // Far enough from where the decision turns that the error of one multiplication cannot matter.
            let turning = if mode == Mode::HalfUp { (fraction - 0.5).abs() } else { fraction.min(1.0 - fraction) };
            if turning > 1e-3 {
                let whole = if mode == Mode::HalfUp { scaled.round() } else { scaled.trunc() };
                return if digits >= 0 { whole / unit } else { whole * unit };
            }
        }
    }
    by_text(value, digits, mode, buffer)
}

/// Rounds the shortest decimal form of `value`.
fn by_text(value: f64, digits: i64, mode: Mode, buffer: &mut String) -> f64 {
    buffer.clear();
    // Digits and exponent, such as 1.2345e-7. Writing to a String does not fail.
    let _ = write!(buffer, "{:e}", value.abs());
    let Some((mantissa, exponent)) = buffer.split_once('e') else { return value };
    let (Ok(exponent), whole) = (exponent.parse::<i64>(), mantissa.replace('.', "")) else { return value };
    let Ok(number) = whole.parse::<i128>() else { return value };
    // |value| = number * 10^power, and its last digits are to go where power < -digits.
    let power = exponent - (whole.len() as i64 - 1);
    if power >= -digits {
        return value;
    }
    let rounded = match power_of_ten(-digits - power) {
        Some(unit) => mode.divide(number, unit),
        None => 0,
    };
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{rounded}e{}", -digits).parse().unwrap_or(value)
}

fn to_whole(call: &Call, mode: Mode) -> Result<ArrayRef> {
    let (array, _) = call.raw(0)?;
    Ok(match array.data_type() {
        DataType::Float64 => {
            let of = if mode == Mode::Up { f64::ceil } else { f64::floor };
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(of))
        }
        DataType::Float32 => {
            let of = if mode == Mode::Up { f32::ceil } else { f32::floor };
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(of))
        }
        DataType::Decimal128(_, scale) => {
            let unit = power_of_ten(i64::from(*scale)).unwrap_or(1);
            let whole: PrimitiveArray<Decimal128Type> =
                array.as_primitive::<Decimal128Type>().unary(|value| mode.divide(value, unit));
            Arc::new(whole.with_data_type(call.result_type().clone()))
        }
        _ => array,
    })
}
