//! `AVG`.

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};

use super::distinct::Distinct;
use super::totals::{SHORT_DECIMAL, Total, Totals, finish, fit_decimal};
use super::types::{average, number, refuse};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::Result;

/// Flink's: of integers an integer of the same type, truncated toward zero; of `DECIMAL(p, s)` a `DECIMAL(38, max(6, s))`, half
/// rounded up.
#[derive(Debug)]
pub(super) struct Avg;

impl AggregateFunction for Avg {
    fn name(&self) -> &str {
        "AVG"
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        let argument = match arguments {
            [argument] => number(argument),
            _ => None,
        };
        let argument = argument.ok_or_else(|| refuse(self.name(), arguments, "one number"))?;
        Ok(Resolved { result: average(&argument), arguments: vec![argument], nullable: true })
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.distinct {
            return Distinct::over(self, call);
        }
        let result = call.result.data_type().clone();
        Ok(match call.argument_type() {
            DataType::Int8 => {
                Totals::<Int8Type, Int64Type>::boxed(DataType::Int64, integers::<Int8Type>(result, |mean| mean as i8))
            }
            DataType::Int16 => Totals::<Int16Type, Int64Type>::boxed(
                DataType::Int64,
                integers::<Int16Type>(result, |mean| mean as i16),
            ),
            DataType::Int32 => Totals::<Int32Type, Int64Type>::boxed(
                DataType::Int64,
                integers::<Int32Type>(result, |mean| mean as i32),
            ),
            DataType::Int64 => {
                Totals::<Int64Type, Int64Type>::boxed(DataType::Int64, integers::<Int64Type>(result, |mean| mean))
            }
            DataType::Float32 => Totals::<Float32Type, Float64Type>::boxed(
                DataType::Float64,
                finish::<f64, Float32Type>(result, |sum, count| Some((sum / count as f64) as f32)),
            ),
            DataType::Float64 => Totals::<Float64Type, Float64Type>::boxed(
                DataType::Float64,
                finish::<f64, Float64Type>(result, |sum, count| Some(sum / count as f64)),
            ),
            DataType::Decimal128(precision, scale) => {
                let up = scale_up(*scale, &result);
                if *precision <= SHORT_DECIMAL {
                    let mean = move |sum, count| decimal_mean(i256::from_i128(sum), count, up);
                    Totals::<Decimal128Type, Decimal128Type>::boxed(
                        DataType::Decimal128(38, *scale),
                        finish::<i128, Decimal128Type>(result, mean),
                    )
                } else {
                    let mean = move |sum, count| decimal_mean(sum, count, up);
                    Totals::<Decimal128Type, Decimal256Type>::boxed(
                        DataType::Decimal256(76, *scale),
                        finish::<i256, Decimal128Type>(result, mean),
                    )
                }
            }
            other => return Err(refuse(self.name(), std::slice::from_ref(other), "one number")),
        })
    }
}

fn integers<R: ArrowPrimitiveType>(
    result: DataType,
    narrow: impl Fn(i64) -> R::Native + Send + 'static,
) -> impl Fn(Vec<Total<i64>>) -> ArrayRef + Send + 'static {
    finish::<i64, R>(result, move |sum, count| Some(narrow(sum / count)))
}

/// What brings a sum to the scale of the average.
fn scale_up(from: i8, result: &DataType) -> i256 {
    let to = match result {
        DataType::Decimal128(_, scale) => *scale,
        _ => from,
    };
    i256::from_i128(10i128.pow(u32::try_from(i32::from(to) - i32::from(from)).unwrap_or(0)))
}

/// Half away from zero. A sum has at most 38 digits and 2^63 values, and `up` at most 10^6 (more only for negative scales), so
/// 256 bits hold it.
fn decimal_mean(sum: i256, count: i64, up: i256) -> Option<i128> {
    let count = i256::from_i128(i128::from(count));
    let scaled = sum.checked_mul(up)?;
    let (quotient, remainder) = (scaled.checked_div(count)?, scaled.checked_rem(count)?);
    let away = if remainder.wrapping_abs().wrapping_mul(i256::from_i128(2)) < count {
        i256::ZERO
    } else if scaled < i256::ZERO {
        i256::MINUS_ONE
    } else {
        i256::ONE
    };
    fit_decimal(quotient.wrapping_add(away))
}
