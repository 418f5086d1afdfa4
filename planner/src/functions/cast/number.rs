//! Numbers to numbers, as Java converts them: integers keep their low bits, floating point numbers saturate, decimals
//! round half up and are NULL where they do not fit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, PrimitiveArray};
use arrow::compute;
use arrow::datatypes::*;
use tidemill_exec::{Error, Result};

use super::parse_decimal;
use crate::types::exact_as_decimal;

/// 10 to the power of 0 to 38, as far as an `i128` goes.
pub fn power_of_ten(exponent: u32) -> i128 {
    const POWERS: [i128; 39] = {
        let mut powers = [1; 39];
        let mut at = 1;
        while at < 39 {
            powers[at] = powers[at - 1] * 10;
            at += 1;
        }
        powers
    };
    POWERS[exponent.min(38) as usize]
}

/// Whether so many digits hold `value`.
pub fn decimal_fits(value: i128, precision: u8) -> bool {
    value.unsigned_abs() < power_of_ten(precision.into()).unsigned_abs()
}

/// The same number with another count of digits behind the point, rounded half up (away from zero); `None` if it
/// overflows.
pub fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    if to >= from {
        let shift = (i32::from(to) - i32::from(from)) as u32;
        return if shift > 38 && value != 0 { None } else { value.checked_mul(power_of_ten(shift)) };
    }
    let shift = (i32::from(from) - i32::from(to)) as u32;
    if shift > 38 {
        return Some(0);
    }
    Some(divide_half_up(value, power_of_ten(shift)))
}

fn divide_half_up(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
    if up { quotient + value.signum() } else { quotient }
}

/// A decimal column; values are checked already.
pub fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> Result<Decimal128Array> {
    Ok(Decimal128Array::from(values).with_precision_and_scale(precision, scale)?)
}

/// A numeric column as another numeric type, or as BOOLEAN (which is true for all but 0).
pub fn convert(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Int8 => primitive::<Int8Type>(array, to),
        DataType::Int16 => primitive::<Int16Type>(array, to),
        DataType::Int32 => primitive::<Int32Type>(array, to),
        DataType::Int64 => primitive::<Int64Type>(array, to),
        DataType::Float32 => primitive::<Float32Type>(array, to),
        DataType::Float64 => primitive::<Float64Type>(array, to),
        DataType::Decimal128(_, scale) => decimal(array, *scale, to),
        // Unsigned numbers come from functions of DataFusion only.
        DataType::UInt64 => convert(&compute::cast(array, &DataType::Decimal128(20, 0))?, to),
        _ => convert(&compute::cast(array, &DataType::Int64)?, to),
    }
}

/// What a conversion needs to know of a native number: Java's conversions, which are Rust's `as`.
trait Number: Copy {
    fn int(self) -> i32;
    fn long(self) -> i64;
    fn float(self) -> f32;
    fn double(self) -> f64;
    fn exact(self, precision: u8, scale: i8) -> Option<i128>;
}

macro_rules! integers {
    ($($native:ty),*) => {$(
        impl Number for $native {
            fn int(self) -> i32 {
                self as i32
            }
            fn long(self) -> i64 {
                self.into()
            }
            fn float(self) -> f32 {
                self as f32
            }
            fn double(self) -> f64 {
                self as f64
            }
            fn exact(self, precision: u8, scale: i8) -> Option<i128> {
                rescale(self.into(), 0, scale).filter(|value| decimal_fits(*value, precision))
            }
        }
    )*};
}
integers!(i8, i16, i32, i64);

macro_rules! floats {
    ($($native:ty),*) => {$(
        impl Number for $native {
            fn int(self) -> i32 {
                self as i32
            }
            fn long(self) -> i64 {
                self as i64
            }
            fn float(self) -> f32 {
                self as f32
            }
            fn double(self) -> f64 {
                self.into()
            }
            /// Through the digits it prints, so that 0.1 is 0.1.
            fn exact(self, precision: u8, scale: i8) -> Option<i128> {
                parse_decimal(&format!("{self:e}"), precision, scale).flatten()
            }
        }
    )*};
}
floats!(f32, f64);

fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef, to: &DataType) -> Result<ArrayRef>
where
    T::Native: Number,
{
    let values = array.as_primitive::<T>();
    Ok(match to {
        // A byte or short is what is left of the int, also for floating point numbers.
        DataType::Int8 => Arc::new(values.unary::<_, Int8Type>(|value| value.int() as i8)),
        DataType::Int16 => Arc::new(values.unary::<_, Int16Type>(|value| value.int() as i16)),
        DataType::Int32 => Arc::new(values.unary::<_, Int32Type>(|value| value.int())),
        DataType::Int64 => Arc::new(values.unary::<_, Int64Type>(|value| value.long())),
        DataType::Float32 => Arc::new(values.unary::<_, Float32Type>(|value| value.float())),
        DataType::Float64 => Arc::new(values.unary::<_, Float64Type>(|value| value.double())),
        DataType::Decimal128(precision, scale) => {
            let exact: PrimitiveArray<Decimal128Type> = values.unary_opt(|value| value.exact(*precision, *scale));
            Arc::new(exact.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Boolean => Arc::new(BooleanArray::from_unary(values, |value| value.double() != 0.0)),
        other => return Err(unknown(array.data_type(), other)),
    })
}

fn decimal(array: &ArrayRef, scale: i8, to: &DataType) -> Result<ArrayRef> {
    let values = array.as_primitive::<Decimal128Type>();
    let whole = power_of_ten(scale.max(0) as u32);
    Ok(match to {
        DataType::Decimal128(precision, target) => {
            let rescaled: PrimitiveArray<Decimal128Type> = values
                .unary_opt(|value| rescale(value, scale, *target).filter(|value| decimal_fits(*value, *precision)));
            Arc::new(rescaled.with_precision_and_scale(*precision, *target)?)
        }
        // The low bits of the whole part, as Java's BigDecimal.longValue.
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let longs: ArrayRef = Arc::new(values.unary::<_, Int64Type>(|value| (value / whole) as i64));
            return primitive::<Int64Type>(&longs, to);
        }
        DataType::Float64 => Arc::new(values.unary::<_, Float64Type>(|value| decimal_to_double(value, scale))),
        DataType::Float32 => Arc::new(values.unary::<_, Float32Type>(|value| decimal_to_double(value, scale) as f32)),
        DataType::Boolean => Arc::new(BooleanArray::from_unary(values, |value| value != 0)),
        other => return Err(unknown(array.data_type(), other)),
    })
}

/// The nearest double. Up to 15 digits and 22 places one division is exact; beyond, the text is read.
fn decimal_to_double(value: i128, scale: i8) -> f64 {
    if value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / power_of_ten(scale as u32) as f64;
    }
    let mut text = String::new();
    tidemill_exec::text::push_decimal(&mut text, value, scale);
    text.parse().unwrap_or(f64::NAN)
}

fn unknown(from: &DataType, to: &DataType) -> Error {
    debug_assert!(exact_as_decimal(to).is_none(), "all exact numbers are handled");
    Error::new(format!("cannot cast {from} to {to}"))
}
