//! Values of a column by native type, text, or row format: how single values are kept, compared and given back.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, ArrowNativeTypeOp, AsArray, BinaryBuilder, BooleanArray, NullBufferBuilder,
    StringBuilder, make_array,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use arrow::row::{RowConverter, SortField};

use crate::error::Result;

/// A set of values that one column can hold.
pub(super) trait Domain: Send + 'static {
    /// A value in an array.
    type Value: Ord + ?Sized;
    /// A value that is kept.
    type Kept: Ord + Borrow<Self::Value> + Send;

    fn data_type(&self) -> &DataType;

    fn keep(value: &Self::Value) -> Self::Kept;

    fn replace(kept: &mut Self::Kept, value: &Self::Value);

    /// Bytes on the heap.
    fn heap(_kept: &Self::Kept) -> usize {
        0
    }

    /// The rows that are not null, in order.
    fn for_each(&self, array: &ArrayRef, each: impl FnMut(usize, &Self::Value)) -> Result<()>;

    fn array<'a>(&self, values: impl Iterator<Item = Option<&'a Self::Value>>) -> Result<ArrayRef>
    where
        Self::Value: 'a;
}

/// Runs `$body` with `$domain` bound to the domain of type `$type`.
macro_rules! with_domain {
    ($type:expr, $domain:ident => $body:expr) => {{
        use arrow::datatypes::{DataType as D, IntervalUnit};
        use $crate::aggregate::domain::{Natives, Rows, Text};
        macro_rules! native {
            ($native:ty) => {{
                let $domain = Natives::<$native>::new($type);
                $body
            }};
        }
        match $type {
            D::Boolean | D::UInt8 => native!(u8),
            D::Int8 => native!(i8),
            D::Int16 => native!(i16),
            D::UInt16 => native!(u16),
            D::Int32 | D::Date32 | D::Time32(_) | D::Interval(IntervalUnit::YearMonth) => native!(i32),
            D::UInt32 => native!(u32),
            D::Int64 | D::Date64 | D::Time64(_) | D::Timestamp(_, _) | D::Duration(_) => native!(i64),
            D::UInt64 => native!(u64),
            D::Float32 => native!(f32),
            D::Float64 => native!(f64),
            D::Decimal128(_, _) => native!(i128),
            D::Utf8 | D::Binary => {
                let $domain = Text::new($type);
                $body
            }
            _ => {
                let $domain = Rows::new($type)?;
                $body
            }
        }
    }};
}
pub(super) use with_domain;

/// In total order: NaN above all numbers, so that a maximum does not depend on the order of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Native<N>(pub N);

impl<N: ArrowNativeTypeOp> Ord for Native<N> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.compare(other.0)
    }
}

impl<N: ArrowNativeTypeOp> PartialOrd for Native<N> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<N: ArrowNativeTypeOp> PartialEq for Native<N> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<N: ArrowNativeTypeOp> Eq for Native<N> {}

/// Fixed-width values as the numbers they are stored as, whatever they mean: a timestamp is an `i64`. A boolean is a `u8`.
pub(super) struct Natives<N> {
    data_type: DataType,
    native: PhantomData<N>,
}

impl<N> Natives<N> {
    pub fn new(data_type: &DataType) -> Natives<N> {
        Natives { data_type: data_type.clone(), native: PhantomData }
    }
}

impl<N: ArrowNativeTypeOp + ArrowNativeType> Domain for Natives<N> {
    type Value = Native<N>;
    type Kept = Native<N>;

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    #[inline]
    fn keep(value: &Native<N>) -> Native<N> {
        *value
    }

    #[inline]
    fn replace(kept: &mut Native<N>, value: &Native<N>) {
        *kept = *value;
    }

    #[inline]
    fn for_each(&self, array: &ArrayRef, mut each: impl FnMut(usize, &Native<N>)) -> Result<()> {
        let values: ScalarBuffer<N> = match array.data_type() {
            DataType::Boolean => {
                array.as_boolean().values().iter().map(|bit| N::usize_as(usize::from(bit))).collect::<Vec<N>>().into()
            }
            _ => {
                let data = array.to_data();
                ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
            }
        };
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => values.iter().enumerate().for_each(|(row, value)| each(row, &Native(*value))),
            Some(nulls) => nulls.valid_indices().for_each(|row| each(row, &Native(values[row]))),
        }
        Ok(())
    }

    fn array<'a>(&self, values: impl Iterator<Item = Option<&'a Native<N>>>) -> Result<ArrayRef>
    where
        N: 'a,
    {
        let (mut natives, mut nulls) = (Vec::with_capacity(values.size_hint().0), NullBufferBuilder::new(0));
        for value in values {
            nulls.append(value.is_some());
            natives.push(value.map_or(N::default(), |value| value.0));
        }
        let nulls: Option<NullBuffer> = nulls.finish();
        if self.data_type == DataType::Boolean {
            let bits = natives.iter().map(|native| *native != N::default()).collect();
            return Ok(Arc::new(BooleanArray::new(bits, nulls)));
        }
        let data = ArrayData::builder(self.data_type.clone()).len(natives.len()).nulls(nulls);
        Ok(make_array(data.add_buffer(Buffer::from_vec(natives)).build()?))
    }
}

/// Text and bytes, ordered by their bytes.
pub(super) struct Text {
    data_type: DataType,
}

impl Text {
    /// `data_type` is `Utf8` or `Binary`.
    pub fn new(data_type: &DataType) -> Text {
        Text { data_type: data_type.clone() }
    }
}

impl Domain for Text {
    type Value = [u8];
    type Kept = Vec<u8>;

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn keep(value: &[u8]) -> Vec<u8> {
        value.to_vec()
    }

    fn replace(kept: &mut Vec<u8>, value: &[u8]) {
        kept.clear();
        kept.extend_from_slice(value);
    }

    fn heap(kept: &Vec<u8>) -> usize {
        kept.capacity()
    }

    fn for_each(&self, array: &ArrayRef, mut each: impl FnMut(usize, &[u8])) -> Result<()> {
        let valid = |row: &usize| array.is_valid(*row);
        match self.data_type {
            DataType::Utf8 => {
                let text = array.as_string::<i32>();
                (0..text.len()).filter(valid).for_each(|row| each(row, text.value(row).as_bytes()));
            }
            _ => {
                let bytes = array.as_binary::<i32>();
                (0..bytes.len()).filter(valid).for_each(|row| each(row, bytes.value(row)));
            }
        }
        Ok(())
    }

    fn array<'a>(&self, values: impl Iterator<Item = Option<&'a [u8]>>) -> Result<ArrayRef> {
        Ok(match self.data_type {
            DataType::Utf8 => {
                let mut builder = StringBuilder::new();
                for value in values {
                    builder.append_option(
                        value.map(|bytes| str::from_utf8(bytes).expect("text is kept as the text it came from")),
                    );
                }
                Arc::new(builder.finish())
            }
            _ => {
                let mut builder = BinaryBuilder::new();
                values.for_each(|value| builder.append_option(value));
                Arc::new(builder.finish())
            }
        })
    }
}

/// Anything else, in Arrow's row format.
pub(super) struct Rows {
    data_type: DataType,
    converter: RowConverter,
}

impl Rows {
    pub fn new(data_type: &DataType) -> Result<Rows> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Rows { data_type: data_type.clone(), converter })
    }
}

impl Domain for Rows {
    type Value = [u8];
    type Kept = Vec<u8>;

    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn keep(value: &[u8]) -> Vec<u8> {
        Text::keep(value)
    }

    fn replace(kept: &mut Vec<u8>, value: &[u8]) {
        Text::replace(kept, value);
    }

    fn heap(kept: &Vec<u8>) -> usize {
        Text::heap(kept)
    }

    fn for_each(&self, array: &ArrayRef, mut each: impl FnMut(usize, &[u8])) -> Result<()> {
        let rows = self.converter.convert_columns(std::slice::from_ref(array))?;
        let nulls = array.logical_nulls();
        let valid = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
        (0..array.len()).filter(valid).for_each(|row| each(row, rows.row(row).data()));
        Ok(())
    }

    fn array<'a>(&self, values: impl Iterator<Item = Option<&'a [u8]>>) -> Result<ArrayRef> {
        let null = arrow::array::new_null_array(&self.data_type, 1);
        let null = self.converter.convert_columns(&[null])?;
        let parser = self.converter.parser();
        let rows: Vec<_> = values.map(|value| parser.parse(value.unwrap_or(null.row(0).data()))).collect();
        Ok(self.converter.convert_rows(rows)?.remove(0))
    }
}
