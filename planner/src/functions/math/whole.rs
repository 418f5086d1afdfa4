//! Functions that keep the type of their argument: `ABS`, `SIGN`, `MOD`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::*;
use datafusion::error::{DataFusionError, Result};
use tidemill_exec::Error;

use crate::functions::call::{Arguments, Call, Function, Kind::*};

pub fn all() -> Vec<Function> {
    vec![
        // The smallest integer of a type has no positive counterpart and stays itself, as in Java.
        Function::new("abs", DataType::Float64, |call| {
            let (array, _) = call.raw(0)?;
            Ok(match array.data_type() {
                DataType::Int8 => map::<Int8Type>(&array, i8::wrapping_abs),
                DataType::Int16 => map::<Int16Type>(&array, i16::wrapping_abs),
                DataType::Int32 => map::<Int32Type>(&array, i32::wrapping_abs),
                DataType::Int64 => map::<Int64Type>(&array, i64::wrapping_abs),
                DataType::Float32 => map::<Float32Type>(&array, f32::abs),
                DataType::Float64 => map::<Float64Type>(&array, f64::abs),
                DataType::Decimal128(..) => decimal(&array, i128::wrapping_abs)?,
                _ => array,
            })
        })
        .takes(&[Number])
        .keeps_type(),
        Function::new("sign", DataType::Float64, |call| {
            let (array, _) = call.raw(0)?;
            Ok(match array.data_type() {
                DataType::Int8 => map::<Int8Type>(&array, i8::signum),
                DataType::Int16 => map::<Int16Type>(&array, i16::signum),
                DataType::Int32 => map::<Int32Type>(&array, i32::signum),
                DataType::Int64 => map::<Int64Type>(&array, i64::signum),
                DataType::Float32 => map::<Float32Type>(&array, |x| if x == 0.0 { x } else { x.signum() }),
                DataType::Float64 => map::<Float64Type>(&array, |x| if x == 0.0 { x } else { x.signum() }),
                // 1 with the scale of the argument. DECIMAL(p, p) cannot hold it.
                DataType::Decimal128(p, s) if i16::from(*s) >= i16::from(*p) => {
                    arrow::array::new_null_array(array.data_type(), array.len())
                }
                DataType::Decimal128(_, s) => {
                    let one = 10i128.pow(u32::from(s.unsigned_abs()));
                    decimal(&array, |x| x.signum() * one)?
                }
                _ => array,
            })
        })
        .takes(&[Number])
        .keeps_type()
        .nullable(),
        Function::new("mod", DataType::Int64, modulo).takes(&[Number, Number]).returns(modulo_type),
    ]
}

fn map<T: ArrowPrimitiveType>(array: &ArrayRef, of: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    Arc::new(array.as_primitive::<T>().unary::<_, T>(of))
}

fn decimal(array: &ArrayRef, of: impl Fn(i128) -> i128) -> Result<ArrayRef> {
    let mapped: PrimitiveArray<Decimal128Type> = array.as_primitive::<Decimal128Type>().unary(of);
    Ok(Arc::new(mapped.with_data_type(array.data_type().clone())))
}

/// Integers give the divisor's type (the result is smaller than it), decimals one that holds both, else DOUBLE.
fn modulo_type(arguments: &Arguments) -> Result<DataType> {
    let as_decimal = |of: &DataType| match of {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(p, s) => Some((*p, *s)),
        _ => None,
    };
    let (a, b) = (arguments.types[0], arguments.types[1]);
    if (a.is_integer() || a.is_null()) && b.is_integer() {
        return Ok(b.clone());
    }
    Ok(match (as_decimal(a), as_decimal(b)) {
        (Some((p1, s1)), Some((p2, s2))) => {
            let scale = s1.max(s2);
            let whole = (p1 as i8 - s1).min(p2 as i8 - s2);
            DataType::Decimal128(((whole + scale) as u8).clamp(1, 38), scale)
        }
        _ => DataType::Float64,
    })
}

/// The remainder with the sign of the dividend.
fn modulo(call: &Call) -> Result<ArrayRef> {
    match call.result_type() {
        DataType::Float64 => {
            let (a, b) = (call.double(0)?, call.double(1)?);
            let of = |row| Some(a.get(row)? % b.get(row)?);
            Ok(Arc::new((0..call.rows).map(of).collect::<PrimitiveArray<Float64Type>>()))
        }
        DataType::Decimal128(_, scale) => {
            let wide = DataType::Decimal128(38, *scale);
            let ((a, a_step), (b, b_step)) = (call.cast(0, &wide)?, call.cast(1, &wide)?);
            let (a, b) = (a.as_primitive::<Decimal128Type>(), b.as_primitive::<Decimal128Type>());
            let of = |row: usize| {
                let (i, j) = (row * a_step, row * b_step);
                if a.is_null(i) || b.is_null(j) {
                    return Ok(None);
                }
                a.value(i).checked_rem(b.value(j)).map(Some).ok_or_else(by_zero)
            };
            let remainders = (0..call.rows).map(of).collect::<Result<PrimitiveArray<Decimal128Type>>>()?;
            Ok(Arc::new(remainders.with_data_type(call.result_type().clone())))
        }
        _ => {
            let (a, b) = (call.long(0)?, call.long(1)?);
            let of = |row| match (a.get(row), b.get(row)) {
                (Some(_), Some(0)) => Err(by_zero()),
                (Some(a), Some(b)) => Ok(Some(a.wrapping_rem(b))),
                _ => Ok(None),
            };
            Ok(Arc::new((0..call.rows).map(of).collect::<Result<Int64Array>>()?))
        }
    }
}

fn by_zero() -> DataFusionError {
    Error::new("division by zero in MOD").fix("guard it: CASE WHEN b <> 0 THEN MOD(a, b) END").into()
}
