//! `SUM` and `$SUM0`.

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};

use super::distinct::Distinct;
use super::totals::{Adds, SHORT_DECIMAL, Total, Totals, finish, fit_decimal};
use super::types::{number, primitive, refuse};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::Result;

/// Keeps the type of integers and wraps, as Flink does; `DECIMAL(p, s)` becomes `DECIMAL(38, s)`, null where it does not fit.
#[derive(Debug)]
pub(super) struct Sum {
    /// `$SUM0`: 0 instead of null where no value is in.
    pub empty_is_zero: bool,
}

impl AggregateFunction for Sum {
    fn name(&self) -> &str {
        if self.empty_is_zero { "$SUM0" } else { "SUM" }
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        let argument = match arguments {
            [argument] => number(argument),
            _ => None,
        };
        let argument = argument.ok_or_else(|| refuse(self.name(), arguments, "one number"))?;
        let result = match &argument {
            DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
            other => other.clone(),
        };
        let nullable = !self.empty_is_zero || matches!(result, DataType::Decimal128(_, _));
        Ok(Resolved { arguments: vec![argument], result, nullable })
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.distinct {
            return Distinct::over(self, call);
        }
        let result = call.result.data_type().clone();
        Ok(match call.argument_type() {
            DataType::Int8 => {
                self.totals::<Int8Type, Int64Type, Int8Type>(DataType::Int64, result, |sum| Some(sum as i8))
            }
            DataType::Int16 => {
                self.totals::<Int16Type, Int64Type, Int16Type>(DataType::Int64, result, |sum| Some(sum as i16))
            }
            DataType::Int32 => {
                self.totals::<Int32Type, Int64Type, Int32Type>(DataType::Int64, result, |sum| Some(sum as i32))
            }
            DataType::Int64 => self.totals::<Int64Type, Int64Type, Int64Type>(DataType::Int64, result, Some),
            DataType::Float32 => self.totals::<Float32Type, Float32Type, Float32Type>(DataType::Float32, result, Some),
            DataType::Float64 => self.totals::<Float64Type, Float64Type, Float64Type>(DataType::Float64, result, Some),
            DataType::Decimal128(precision, _) if *precision <= SHORT_DECIMAL => {
                let fit = |sum| fit_decimal(i256::from_i128(sum));
                self.totals::<Decimal128Type, Decimal128Type, Decimal128Type>(result.clone(), result, fit)
            }
            DataType::Decimal128(_, scale) => self.totals::<Decimal128Type, Decimal256Type, Decimal128Type>(
                DataType::Decimal256(76, *scale),
                result,
                fit_decimal,
            ),
            other => return Err(refuse(self.name(), std::slice::from_ref(other), "one number")),
        })
    }
}

impl Sum {
    fn totals<V: ArrowPrimitiveType, T: Adds<V>, R: ArrowPrimitiveType>(
        &self,
        total_type: DataType,
        result: DataType,
        fit: impl Fn(T::Native) -> Option<R::Native> + Send + 'static,
    ) -> Box<dyn Accumulator> {
        if self.empty_is_zero {
            let each = move |slots: Vec<Total<T::Native>>| -> ArrayRef {
                primitive::<R>(&result, slots.iter().map(|slot| fit(slot.total)))
            };
            Totals::<V, T>::boxed(total_type, each)
        } else {
            Totals::<V, T>::boxed(total_type, finish::<T::Native, R>(result, move |sum, _| fit(sum)))
        }
    }
}
