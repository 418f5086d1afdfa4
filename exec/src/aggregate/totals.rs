//! What `SUM` and `AVG` keep: a total and how many values are in it, per group.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, i256,
};

use super::types::{combine, gather, grow, primitive, reset, scatter, scatter_weighted};
use super::{Accumulator, same};
use crate::error::Result;

/// A type in which values of type `V` are added up.
pub(super) trait Adds<V: ArrowPrimitiveType>: ArrowPrimitiveType {
    fn widen(value: V::Native) -> Self::Native;
    fn weigh(weight: i64) -> Self::Native;
}

macro_rules! adds {
    ($total:ty: $($value:ty),+; $widen:expr, $weigh:expr) => {
        $(impl Adds<$value> for $total {
            #[inline]
            fn widen(value: <$value as ArrowPrimitiveType>::Native) -> Self::Native {
                $widen(value)
            }
            #[inline]
            fn weigh(weight: i64) -> Self::Native {
                $weigh(weight)
            }
        })+
    };
}

// Integers of any width in 64 bits that wrap: cut to the width of the result, the sum has wrapped as Flink's does.
adds!(Int64Type: Int8Type, Int16Type, Int32Type, Int64Type; i64::from, |weight| weight);
// A sum of FLOAT is rounded to FLOAT at each step, as in Flink; an average of FLOAT adds up DOUBLE.
adds!(Float32Type: Float32Type; |value| value, |weight| weight as f32);
adds!(Float64Type: Float32Type, Float64Type; f64::from, |weight| weight as f64);
// A decimal of up to 18 digits times 2^63 rows stays below 10^38. Longer ones need more, or a sum that overflows on its way to
// a result that fits would be lost.
adds!(Decimal128Type: Decimal128Type; |value| value, i128::from);
adds!(Decimal256Type: Decimal128Type; i256::from_i128, |weight| i256::from_i128(i128::from(weight)));

/// The most digits of a decimal whose sums are kept in 128 bits.
pub(super) const SHORT_DECIMAL: u8 = 18;

#[derive(Clone, Copy, Default)]
pub(super) struct Total<N> {
    pub total: N,
    /// Values that are in; not only whether: the last one may be taken out again, and then the sum is null.
    pub count: i64,
}

/// Makes results from totals.
pub(super) type Finish<N> = Box<dyn Fn(Vec<Total<N>>) -> ArrayRef + Send>;

/// Totals of values of type `V`, kept as `T`.
pub(super) struct Totals<V, T: ArrowPrimitiveType> {
    slots: Vec<Total<T::Native>>,
    /// `T` with its precision and scale.
    total_type: DataType,
    finish: Finish<T::Native>,
    value: PhantomData<fn(V)>,
}

impl<V: ArrowPrimitiveType, T: Adds<V>> Totals<V, T> {
    pub fn boxed(
        total_type: DataType,
        finish: impl Fn(Vec<Total<T::Native>>) -> ArrayRef + Send + 'static,
    ) -> Box<dyn Accumulator> {
        let finish = Box::new(finish);
        Box::new(Totals::<V, T> { slots: Vec::new(), total_type, finish, value: PhantomData })
    }
}

impl<V: ArrowPrimitiveType, T: Adds<V>> Accumulator for Totals<V, T> {
    fn resize(&mut self, groups: usize) {
        grow(&mut self.slots, groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()> {
        let values = arguments[0].as_primitive::<V>();
        match weights {
            None => scatter(&mut self.slots, groups, values.values(), values.nulls(), |slot, value| {
                slot.total = slot.total.add_wrapping(T::widen(value));
                slot.count += 1;
            }),
            Some(weights) => {
                let add = |slot: &mut Total<T::Native>, value, weight| {
                    // Weights are nearly always 1 or -1, and a multiplication of 256 bits is dear.
                    let value = T::widen(value);
                    slot.total = match weight {
                        1 => slot.total.add_wrapping(value),
                        -1 => slot.total.sub_wrapping(value),
                        _ => slot.total.add_wrapping(value.mul_wrapping(T::weigh(weight))),
                    };
                    slot.count += weight;
                };
                scatter_weighted(&mut self.slots, groups, values.values(), values.nulls(), weights, add);
            }
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.total_type.clone(), DataType::Int64]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let slots = gather(&self.slots, groups);
        let totals = PrimitiveArray::<T>::from_iter_values(slots.iter().map(|slot| slot.total));
        let totals = Arc::new(totals.with_data_type(self.total_type.clone()));
        Ok(vec![totals, Arc::new(Int64Array::from_iter_values(slots.iter().map(|slot| slot.count)))])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let (totals, counts) = (state[0].as_primitive::<T>(), state[1].as_primitive::<Int64Type>());
        scatter_weighted(
            &mut self.slots,
            groups,
            totals.values(),
            totals.nulls(),
            counts.values(),
            |slot, total, n| {
                slot.total = slot.total.add_wrapping(total);
                slot.count += n;
            },
        );
        Ok(())
    }

    fn absorb(&mut self, groups: &[u32], other: &dyn Accumulator, of_other: &[u32]) -> Result<()> {
        combine(&mut self.slots, groups, &same::<Self>(other).slots, of_other, |slot, more| {
            slot.total = slot.total.add_wrapping(more.total);
            slot.count += more.count;
        });
        Ok(())
    }

    /// Sums of floats are not: they would keep the rounding of what has left.
    fn is_invertible(&self) -> bool {
        !self.total_type.is_floating()
    }

    fn take_out(&mut self, groups: &[u32], other: &dyn Accumulator, of_other: &[u32]) -> Result<()> {
        combine(&mut self.slots, groups, &same::<Self>(other).slots, of_other, |slot, less| {
            slot.total = slot.total.sub_wrapping(less.total);
            slot.count -= less.count;
        });
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        Ok((self.finish)(gather(&self.slots, groups)))
    }

    fn clear(&mut self, groups: &[u32]) {
        reset(&mut self.slots, groups);
    }

    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Total<T::Native>>()
    }
}

/// One result per total by `each`; null where no value is in.
pub(super) fn finish<N: Copy, R: ArrowPrimitiveType>(
    result: DataType,
    each: impl Fn(N, i64) -> Option<R::Native> + Send + 'static,
) -> impl Fn(Vec<Total<N>>) -> ArrayRef + Send + 'static {
    move |slots| {
        let results = slots.iter().map(|slot| if slot.count > 0 { each(slot.total, slot.count) } else { None });
        primitive::<R>(&result, results)
    }
}

/// The value as a `DECIMAL(38, ..)`, or `None` if it has more digits.
pub(super) fn fit_decimal(value: i256) -> Option<i128> {
    const LIMIT: i128 = 10i128.pow(38);
    value.to_i128().filter(|value| -LIMIT < *value && *value < LIMIT)
}
